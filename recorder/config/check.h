/* What check.c and check_storage.c share. */
#ifndef STENO_CONFIG_CHECK_H
#define STENO_CONFIG_CHECK_H

#include "load.h"

/* A fault at the place of a key. */
#define FAULT(load, thing, section_id, key_name, ...)                                                                  \
    config_check_fault(load, thing, config_key_find(CONFIG_SECTION_##section_id, #key_name), __VA_ARGS__)

void config_check_fault(ConfigLoad *load, const ConfigThing *thing, const ConfigKey *key, const char *format, ...)
    G_GNUC_PRINTF(4, 5);

/* An entry of storages. */
void config_check_storage(ConfigLoad *load, const ConfigThing *thing);

#endif
