/*
 * config: what the administrator told stenod. One table of keys (config_keys.def), read from libconfig files.
 *
 * A configuration is whole and checked, or there is none: unknown keys, wrong types, impossible values, names that
 * nothing has, secret files that are missing or readable for others are refused with file, line and what is allowed.
 *
 * Files are libconfig's language with two differences. `@include "FILE"` stands on a line of its own, outside of groups
 * and lists; FILE is taken from the folder of the file that includes it, and its last part may have * and ? ("conf.d"
 * with "*.conf": read in the order of their names). And a file that is read later adds to the lists of the ones before,
 * and overrides their single values, where libconfig would refuse the second `apps`.
 */
#ifndef STENO_CONFIG_H
#define STENO_CONFIG_H

#include "steno/base/secret.h"

#include <glib.h>

#define STENO_CONFIG_DEFAULT_PATH "/etc/steno/steno.conf"
/* Named things a section may have: what people write by hand, with room. */
#define STENO_CONFIG_NAMES_MAX 1000
/* Names of apps, platforms, storages, webhooks and key sources: [A-Za-z0-9._-], at most so many bytes, safe as a
 * folder's name. */
#define STENO_CONFIG_NAME_MAX_BYTES 64
/* A file larger than this is no configuration: the limits above fit twice. */
#define STENO_CONFIG_FILE_MAX_BYTES (1024 * 1024)
/* Files that include files that include files: as deep as libconfig goes; and all of them together. */
#define STENO_CONFIG_INCLUDE_DEPTH_MAX 10
#define STENO_CONFIG_FILES_MAX 1000

/* One struct a section: StenoConfigTop, StenoConfigApi, StenoConfigLimits, StenoConfigPlatform, … */
#include "steno/config_structs.h"

typedef struct {
    StenoConfigTop top;
    StenoConfigApi api;
    StenoConfigLimits limits;
    /* Of StenoConfigApp *, StenoConfigPlatform *, … */
    GPtrArray *apps, *platforms, *storages, *webhooks, *key_sources;
    GPtrArray *notes; /* of char *: allowed, but hardly meant ("there is nothing in apps: …") */
    GPtrArray *files; /* of char *: what it was read from, and every file that it names, secrets too; for a backup */
    gint ref_count;
} StenoConfig;

/*
 * Reads and checks a file and all that it includes, secret files too. CONFIG: a line for each of the faults (as many as
 * could be found at once): "FILE:LINE: KEY: what it is, but must be …". Credentials of the service are not read outside
 * of it (a note tells so): only systemd hands them over.
 */
StenoConfig *steno_config_load(const char *path, GError **error);
/* Both from any thread. */
StenoConfig *steno_config_ref(StenoConfig *config);
void steno_config_unref(StenoConfig *config);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(StenoConfig, steno_config_unref)

/*
 * One of nothing but defaults, with one storage of this name and type, whose members the caller may set (g_free,
 * g_strdup) before anybody else sees it. For what needs no configuration file: `steno record`, `steno assemble`, tests.
 */
StenoConfig *steno_config_with_storage(const char *name, const char *type, StenoConfigStorage **storage);

/* By name; NULL when there is none. Lent. */
const StenoConfigApp *steno_config_app(const StenoConfig *config, const char *name);
const StenoConfigPlatform *steno_config_platform(const StenoConfig *config, const char *name);
const StenoConfigStorage *steno_config_storage(const StenoConfig *config, const char *name);
const StenoConfigWebhook *steno_config_webhook(const StenoConfig *config, const char *name);
const StenoConfigKeys *steno_config_key_source(const StenoConfig *config, const char *name);

/* Instead of a key source's name: record sealed, and assemble when the keys are there. */
#define STENO_CONFIG_KEYS_LATER "later"

/* May the app use the platform, storage, webhook, key source of this name (given in its list, or its list is empty)? */
gboolean steno_config_app_has(char *const *list, gboolean all_when_empty, const char *name);

/* Reads a SECRET_FILE value ("credential:NAME" too). *secret is NULL when file is. CONFIG, saying what to do. */
gboolean steno_config_secret(const char *file, StenoSecret **secret, GError **error);

/* conf/steno.conf as it is shipped (every key with its words, commented out at its default), and steno.conf(5) as roff.
 * Both are made of the table; a test holds the files in the repository against them. Caller frees. */
char *steno_config_print_example(void);
char *steno_config_print_manual(void);

#endif
