/*
 * Included by config.h: one struct a section of config_keys.def, with one member a key. The preprocessor has no loop,
 * so each struct reads the whole table and keeps the keys of its section.
 */
#ifndef STENO_CONFIG_STRUCTS_H
#define STENO_CONFIG_STRUCTS_H

#include <glib.h>

/* What a key's kind is in C. Texts are owned by the configuration. */
#define STENO_CONFIG_STRING(name) char *name; /* NULL when "" */
#define STENO_CONFIG_CHOICE(name) char *name; /* never NULL */
#define STENO_CONFIG_PATH(name) char *name;
#define STENO_CONFIG_FILE(name) char *name;
#define STENO_CONFIG_SECRET_FILE(name) char *name; /* for steno_config_secret() */
#define STENO_CONFIG_BOOL(name) gboolean name;
#define STENO_CONFIG_INT(name) gint64 name;
#define STENO_CONFIG_BYTES(name) gint64 name;
#define STENO_CONFIG_DURATION(name) gint64 name; /* seconds */
#define STENO_CONFIG_LIST(name) char **name;     /* NULL-terminated, never NULL */
#define STENO_CONFIG_REFS(name) char **name;

/* Until a struct says that a section is its own, its keys are dropped. */
#define STENO_CONFIG_KEEP(kind, name) STENO_CONFIG_##kind(name)
#define STENO_CONFIG_DROP(kind, name)
#define STENO_CONFIG_KEY(section, kind, name, ...) STENO_CONFIG_OF_##section(kind, name)
#define STENO_CONFIG_OF_TOP STENO_CONFIG_DROP
#define STENO_CONFIG_OF_API STENO_CONFIG_DROP
#define STENO_CONFIG_OF_LIMITS STENO_CONFIG_DROP
#define STENO_CONFIG_OF_PLATFORM STENO_CONFIG_DROP
#define STENO_CONFIG_OF_STORAGE STENO_CONFIG_DROP
#define STENO_CONFIG_OF_WEBHOOK STENO_CONFIG_DROP
#define STENO_CONFIG_OF_KEYS STENO_CONFIG_DROP
#define STENO_CONFIG_OF_APP STENO_CONFIG_DROP

/* Settings outside of groups. */
#undef STENO_CONFIG_OF_TOP
#define STENO_CONFIG_OF_TOP STENO_CONFIG_KEEP
typedef struct {
#include "steno/config_keys.def"
} StenoConfigTop;
#undef STENO_CONFIG_OF_TOP
#define STENO_CONFIG_OF_TOP STENO_CONFIG_DROP

/* api = { … } */
#undef STENO_CONFIG_OF_API
#define STENO_CONFIG_OF_API STENO_CONFIG_KEEP
typedef struct {
#include "steno/config_keys.def"
} StenoConfigApi;
#undef STENO_CONFIG_OF_API
#define STENO_CONFIG_OF_API STENO_CONFIG_DROP

/* limits = { … } */
#undef STENO_CONFIG_OF_LIMITS
#define STENO_CONFIG_OF_LIMITS STENO_CONFIG_KEEP
typedef struct {
#include "steno/config_keys.def"
} StenoConfigLimits;
#undef STENO_CONFIG_OF_LIMITS
#define STENO_CONFIG_OF_LIMITS STENO_CONFIG_DROP

/* An entry of platforms = ( { … }, … ) */
#undef STENO_CONFIG_OF_PLATFORM
#define STENO_CONFIG_OF_PLATFORM STENO_CONFIG_KEEP
typedef struct {
#include "steno/config_keys.def"
} StenoConfigPlatform;
#undef STENO_CONFIG_OF_PLATFORM
#define STENO_CONFIG_OF_PLATFORM STENO_CONFIG_DROP

/* An entry of storages. */
#undef STENO_CONFIG_OF_STORAGE
#define STENO_CONFIG_OF_STORAGE STENO_CONFIG_KEEP
typedef struct {
#include "steno/config_keys.def"
} StenoConfigStorage;
#undef STENO_CONFIG_OF_STORAGE
#define STENO_CONFIG_OF_STORAGE STENO_CONFIG_DROP

/* An entry of webhooks. */
#undef STENO_CONFIG_OF_WEBHOOK
#define STENO_CONFIG_OF_WEBHOOK STENO_CONFIG_KEEP
typedef struct {
#include "steno/config_keys.def"
} StenoConfigWebhook;
#undef STENO_CONFIG_OF_WEBHOOK
#define STENO_CONFIG_OF_WEBHOOK STENO_CONFIG_DROP

/* An entry of key_sources. */
#undef STENO_CONFIG_OF_KEYS
#define STENO_CONFIG_OF_KEYS STENO_CONFIG_KEEP
typedef struct {
#include "steno/config_keys.def"
} StenoConfigKeys;
#undef STENO_CONFIG_OF_KEYS
#define STENO_CONFIG_OF_KEYS STENO_CONFIG_DROP

/* An entry of apps. */
#undef STENO_CONFIG_OF_APP
#define STENO_CONFIG_OF_APP STENO_CONFIG_KEEP
typedef struct {
#include "steno/config_keys.def"
} StenoConfigApp;
#undef STENO_CONFIG_OF_APP
#define STENO_CONFIG_OF_APP STENO_CONFIG_DROP

#undef STENO_CONFIG_OF_TOP
#undef STENO_CONFIG_OF_API
#undef STENO_CONFIG_OF_LIMITS
#undef STENO_CONFIG_OF_PLATFORM
#undef STENO_CONFIG_OF_STORAGE
#undef STENO_CONFIG_OF_WEBHOOK
#undef STENO_CONFIG_OF_KEYS
#undef STENO_CONFIG_OF_APP
#undef STENO_CONFIG_KEY
#undef STENO_CONFIG_KEEP
#undef STENO_CONFIG_DROP
#undef STENO_CONFIG_STRING
#undef STENO_CONFIG_CHOICE
#undef STENO_CONFIG_PATH
#undef STENO_CONFIG_FILE
#undef STENO_CONFIG_SECRET_FILE
#undef STENO_CONFIG_BOOL
#undef STENO_CONFIG_INT
#undef STENO_CONFIG_BYTES
#undef STENO_CONFIG_DURATION
#undef STENO_CONFIG_LIST
#undef STENO_CONFIG_REFS

#endif
