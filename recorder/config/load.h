/* Loading in its steps: files, values, checks of the whole. */
#ifndef STENO_CONFIG_LOAD_H
#define STENO_CONFIG_LOAD_H

#include "faults.h"
#include "table.h"

#include <libconfig.h>

/* One object (the top, a group, an entry of a list) and where it and its keys were given. */
typedef struct {
    ConfigSection section;
    gpointer object; /* lent by the configuration */
    ConfigPlace place;
    ConfigPlace *places; /* by index in config_keys(); line 0: not given */
} ConfigThing;

typedef struct {
    StenoConfig *config;
    ConfigFaults *faults;
    GPtrArray *things;        /* of ConfigThing, in the order in which they were met */
    GStringChunk *file_names; /* for ConfigPlace */
    guint files;
    gboolean incomplete; /* something could not be read: what refers to it must not be called missing */
    gboolean alone;      /* opens no other file, neither includes nor secrets */
} ConfigLoad;

/* NULL when it was set, else what is wrong: "is …, but must be …". Caller frees. */
char *config_value_read(const ConfigKey *key, const config_setting_t *setting, gpointer object);

/* What no value can tell alone. */
void config_check(ConfigLoad *load);

/* One more of the configuration's `files`, unless it is there already. */
void config_name_file(ConfigLoad *load, const char *path);

/* Where a key of a thing was given, or the thing where it was not. */
ConfigPlace config_thing_place(const ConfigThing *thing, const ConfigKey *key);

/* steno_config_load() of a text; with `alone` it opens no file at all. */
StenoConfig *config_load_text(const char *file, const char *text, gsize bytes, gboolean alone, GError **error);

#endif
