/* The table of keys as data: what config_keys.def says, for the reader, the checks and the printers. */
#ifndef STENO_CONFIG_TABLE_H
#define STENO_CONFIG_TABLE_H

#include "steno/config.h"

/* In the order in which they are printed. */
typedef enum {
    CONFIG_SECTION_TOP,
    CONFIG_SECTION_API,
    CONFIG_SECTION_LIMITS,
    CONFIG_SECTION_PLATFORM,
    CONFIG_SECTION_STORAGE,
    CONFIG_SECTION_WEBHOOK,
    CONFIG_SECTION_KEYS,
    CONFIG_SECTION_APP,
    CONFIG_SECTIONS
} ConfigSection;

typedef enum {
    CONFIG_KIND_STRING,
    CONFIG_KIND_CHOICE,
    CONFIG_KIND_PATH,
    CONFIG_KIND_FILE,
    CONFIG_KIND_SECRET_FILE,
    CONFIG_KIND_BOOL,
    CONFIG_KIND_INT,
    CONFIG_KIND_BYTES,
    CONFIG_KIND_DURATION,
    CONFIG_KIND_LIST,
    CONFIG_KIND_REFS
} ConfigKind;

typedef struct {
    ConfigSection section;
    ConfigKind kind;
    const char *name, *fallback;
    gint64 minimum, maximum;
    const char *allowed, *words;
    gsize offset; /* of its member in the section's struct */
} ConfigKey;

typedef struct {
    const char *id;   /* as in config_keys.def */
    const char *name; /* in the file; "" for the top */
    gboolean is_list;
    gsize object_bytes;
    gsize offset; /* in StenoConfig: of the object, or of the list's GPtrArray */
    const char *words;
} ConfigSectionRow;

/* The member of an object that a key describes. */
#define CONFIG_MEMBER(type, object, key) ((type *)(void *)((char *)(object) + (key)->offset))

/* All keys, sections in order; the last has no name. */
const ConfigKey *config_keys(void);
guint config_keys_count(void);
/* NULL when the section has none of this name. */
const ConfigKey *config_key_find(ConfigSection section, const char *name);

const ConfigSectionRow *config_section(ConfigSection section);
/* By its id; every id of the table is one. */
ConfigSection config_section_by_id(const char *id);
/* NULL for what is no list. */
GPtrArray *config_section_list(const StenoConfig *config, ConfigSection section);

gboolean config_key_is_list(const ConfigKey *key);
gboolean config_key_is_required(const ConfigKey *key);
/* "1 to 10", "0 or more": of INT, BYTES and DURATION. Caller frees. */
char *config_key_range(const ConfigKey *key);
/* A whole number, or one with K, M, G or T; FALSE when it is none or more than 63 bits hold. */
gboolean config_bytes_parse(const char *text, gint64 *bytes);
/* A whole number, or one with s, m, h or d, in seconds; FALSE as above. */
gboolean config_duration_parse(const char *text, gint64 *seconds);

/* Nothing but defaults, and no entry in any list. */
StenoConfig *config_new(void);
/* A new object with every key at its default; required ones are NULL. */
gpointer config_object_new(ConfigSection section);
void config_object_defaults(ConfigSection section, gpointer object);
void config_object_clear(ConfigSection section, gpointer object);

#endif
