/* Included by config.h: one struct a section of config_keys.def. The preprocessor has no loop, so that each is spelled.
 */
#ifndef STENO_CONFIG_STRUCTS_H
#define STENO_CONFIG_STRUCTS_H

#define STENO_CONFIG_KEEP(kind, name) STENO_CONFIG_##kind(name)
#define STENO_CONFIG_DROP(kind, name)
#define STENO_CONFIG_KEY(section, kind, name, ...) STENO_CONFIG_OF_##section(kind, name)
#define STENO_CONFIG_OF_TOP STENO_CONFIG_DROP
#define STENO_CONFIG_OF_API STENO_CONFIG_DROP
#define STENO_CONFIG_OF_LIMITS STENO_CONFIG_DROP
#define STENO_CONFIG_OF_PLATFORM STENO_CONFIG_DROP
#define STENO_CONFIG_OF_STORAGE STENO_CONFIG_DROP
#define STENO_CONFIG_OF_WEBHOOK STENO_CONFIG_DROP
#define STENO_CONFIG_OF_APP STENO_CONFIG_DROP

#undef STENO_CONFIG_OF_TOP
#define STENO_CONFIG_OF_TOP STENO_CONFIG_KEEP
typedef struct {
#include "steno/config_keys.def"
} StenoConfigTop;
#undef STENO_CONFIG_OF_TOP
#define STENO_CONFIG_OF_TOP STENO_CONFIG_DROP

#undef STENO_CONFIG_OF_API
#define STENO_CONFIG_OF_API STENO_CONFIG_KEEP
typedef struct {
#include "steno/config_keys.def"
} StenoConfigApi;
#undef STENO_CONFIG_OF_API
#define STENO_CONFIG_OF_API STENO_CONFIG_DROP

#undef STENO_CONFIG_OF_LIMITS
#define STENO_CONFIG_OF_LIMITS STENO_CONFIG_KEEP
typedef struct {
#include "steno/config_keys.def"
} StenoConfigLimits;
#undef STENO_CONFIG_OF_LIMITS
#define STENO_CONFIG_OF_LIMITS STENO_CONFIG_DROP

#undef STENO_CONFIG_OF_PLATFORM
#define STENO_CONFIG_OF_PLATFORM STENO_CONFIG_KEEP
typedef struct {
#include "steno/config_keys.def"
} StenoConfigPlatform;
#undef STENO_CONFIG_OF_PLATFORM
#define STENO_CONFIG_OF_PLATFORM STENO_CONFIG_DROP

#undef STENO_CONFIG_OF_STORAGE
#define STENO_CONFIG_OF_STORAGE STENO_CONFIG_KEEP
typedef struct {
#include "steno/config_keys.def"
} StenoConfigStorage;
#undef STENO_CONFIG_OF_STORAGE
#define STENO_CONFIG_OF_STORAGE STENO_CONFIG_DROP

#undef STENO_CONFIG_OF_WEBHOOK
#define STENO_CONFIG_OF_WEBHOOK STENO_CONFIG_KEEP
typedef struct {
#include "steno/config_keys.def"
} StenoConfigWebhook;
#undef STENO_CONFIG_OF_WEBHOOK
#define STENO_CONFIG_OF_WEBHOOK STENO_CONFIG_DROP

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
#undef STENO_CONFIG_OF_APP
#undef STENO_CONFIG_KEY
#undef STENO_CONFIG_KEEP
#undef STENO_CONFIG_DROP

#endif
