/* What the printers of conf/steno.conf and steno.conf(5) share. */
#ifndef STENO_CONFIG_PRINT_H
#define STENO_CONFIG_PRINT_H

#include "table.h"

/* As it stands in a file: 10, true, "text", [ "a", "b" ]; required keys have an example of their own. Caller frees. */
char *config_print_default(const ConfigKey *key);
/* The same, or for keys of lists what the example shows instead. Caller frees. */
char *config_print_example_value(const ConfigKey *key);
/* What is allowed, such as "1 to 10" or "a, b"; NULL when the key's words say it all. Caller frees. */
char *config_print_allowed(const ConfigKey *key);

/* Appends text in lines of at most `width` bytes, each beginning with prefix and ending with a line's end. */
void config_print_wrapped(GString *out, const char *prefix, const char *text, gsize width);

#endif
