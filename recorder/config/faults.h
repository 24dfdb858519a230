/* What is wrong with a configuration: all of it that could be found, a line each. */
#ifndef STENO_CONFIG_FAULTS_H
#define STENO_CONFIG_FAULTS_H

#include <glib.h>

/* More would only be repetitions; the message says how many there are. */
#define CONFIG_FAULTS_MAX 100

typedef struct {
    const char *file; /* lent: lives as long as the load */
    guint line;       /* from 1; 0: the file as a whole, or (of a key) not given */
} ConfigPlace;

typedef struct {
    GPtrArray *lines;
    guint count; /* those that were not kept, too */
} ConfigFaults;

ConfigFaults *config_faults_new(void);
void config_faults_free(ConfigFaults *faults);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ConfigFaults, config_faults_free)

/* section and key may be NULL or "". */
void config_faults_add(ConfigFaults *faults, ConfigPlace place, const char *section, const char *key,
                       const char *format, ...) G_GNUC_PRINTF(5, 6);

/* CONFIG with all lines; FALSE, for `return`. There must be one. */
gboolean config_faults_raise(const ConfigFaults *faults, GError **error);

/* What the user wrote, so that it can be printed: in quotes, one line, not too long. Caller frees. */
char *config_quote(const char *text);

#endif
