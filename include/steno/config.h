/*
 * config: what the administrator told stenod. One table of keys (config_keys.def), read from libconfig files.
 *
 * A configuration is whole and checked, or there is none: unknown keys, wrong types, impossible values, names that
 * nothing has, secret files that are missing or readable for others are refused with file, line and what is allowed.
 */
#ifndef STENO_CONFIG_H
#define STENO_CONFIG_H

#include "steno/base/secret.h"

#include <glib.h>

#define STENO_CONFIG_DEFAULT_PATH "/etc/steno/steno.conf"
/* Named things a section may have: what people write by hand, with room. */
#define STENO_CONFIG_NAMES_MAX 1000
/* Names of apps, platforms, storages and webhooks: [A-Za-z0-9._-], at most so many bytes. */
#define STENO_CONFIG_NAME_MAX_BYTES 64

#define STENO_CONFIG_STRING(name) char *name; /* NULL when "" */
#define STENO_CONFIG_CHOICE(name) char *name;
#define STENO_CONFIG_PATH(name) char *name;
#define STENO_CONFIG_SECRET_FILE(name) char *name;
#define STENO_CONFIG_BOOL(name) gboolean name;
#define STENO_CONFIG_INT(name) gint64 name;
#define STENO_CONFIG_BYTES(name) gint64 name;
#define STENO_CONFIG_LIST(name) char **name; /* NULL-terminated, never NULL */
#define STENO_CONFIG_REFS(name) char **name;

/* One struct a section: StenoConfigTop, StenoConfigApi, StenoConfigLimits, StenoConfigPlatform, … */
#include "steno/config_structs.h"

typedef struct {
    StenoConfigTop top;
    StenoConfigApi api;
    StenoConfigLimits limits;
    GPtrArray *apps, *platforms, *storages, *webhooks; /* of StenoConfigApp *, StenoConfigPlatform *, … */
    gint ref_count;
} StenoConfig;

/* Reads and checks a file and all that it includes. CONFIG naming file, line, key and what is allowed. */
StenoConfig *steno_config_load(const char *path, GError **error);
StenoConfig *steno_config_ref(StenoConfig *config);
void steno_config_unref(StenoConfig *config);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(StenoConfig, steno_config_unref)

/* By name; NULL when there is none. Lent. */
const StenoConfigApp *steno_config_app(const StenoConfig *config, const char *name);
const StenoConfigPlatform *steno_config_platform(const StenoConfig *config, const char *name);
const StenoConfigStorage *steno_config_storage(const StenoConfig *config, const char *name);
const StenoConfigWebhook *steno_config_webhook(const StenoConfig *config, const char *name);

/* May the app use the platform, storage, webhook of this name (given in its list, or its list is empty)? */
gboolean steno_config_app_has(char *const *list, gboolean all_when_empty, const char *name);

/* Reads a SECRET_FILE value ("credential:NAME" too). *secret is NULL when file is. */
gboolean steno_config_secret(const char *file, StenoSecret **secret, GError **error);

/* One row of the table, for who prints it. */
typedef enum {
    STENO_CONFIG_SECTION_TOP,
    STENO_CONFIG_SECTION_API,
    STENO_CONFIG_SECTION_LIMITS,
    STENO_CONFIG_SECTION_PLATFORM,
    STENO_CONFIG_SECTION_STORAGE,
    STENO_CONFIG_SECTION_WEBHOOK,
    STENO_CONFIG_SECTION_APP,
    STENO_CONFIG_SECTIONS
} StenoConfigSection;

/* conf/steno.conf as it is shipped (every key with its words, commented out at its default), and steno.conf(5) as roff.
 * Both are made of the table; a test holds the files in the repository against them. Caller frees. */
char *steno_config_print_example(void);
char *steno_config_print_manual(void);

#endif
