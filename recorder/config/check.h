/* What the sources of checks share. */
#ifndef STENO_CONFIG_CHECK_H
#define STENO_CONFIG_CHECK_H

#include "load.h"

/* A fault at the place of a key. */
#define FAULT(load, thing, section_id, key_name, ...)                                                                  \
    config_check_fault(load, thing, config_key_find(CONFIG_SECTION_##section_id, #key_name), __VA_ARGS__)

void config_check_fault(ConfigLoad *load, const ConfigThing *thing, const ConfigKey *key, const char *format, ...)
    G_GNUC_PRINTF(4, 5);

/* A file that must be there and readable. */
void config_check_file(ConfigLoad *load, const ConfigThing *thing, const ConfigKey *key, const char *path);
/* Notes the keys of an entry whose words begin with another `type` than its own ("s3: …", "service, vault: …"). */
void config_note_other_types(ConfigLoad *load, const ConfigThing *thing);

/* An entry of storages. */
void config_check_storage(ConfigLoad *load, const ConfigThing *thing);
/* An entry of key_sources; and what an app says of its channels' keys and its files' encryption. */
void config_check_key_source(ConfigLoad *load, const ConfigThing *thing);
void config_check_app_content(ConfigLoad *load, const ConfigThing *thing);

#endif
