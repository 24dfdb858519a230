/* One file on its way to libconfig: read, made safe, its @include lines taken out. */
#ifndef STENO_CONFIG_SOURCE_H
#define STENO_CONFIG_SOURCE_H

#include "faults.h"

typedef struct {
    guint line;
    char *pattern; /* as it was written */
} ConfigInclude;

typedef struct {
    char *text;       /* what libconfig reads: as many lines as the file, without comments and includes */
    GArray *includes; /* of ConfigInclude, in order */
} ConfigSource;

/* A regular file of at most STENO_CONFIG_FILE_MAX_BYTES; NULL: *fault says why. Caller frees both. */
char *config_source_read(const char *path, gsize *bytes, char **fault);

/*
 * Scans a file's text. libconfig 1.5 would read any file that `@include` names, even one in the middle of a group, tell
 * a missing quote many lines too late, and cut whole numbers of more than 32 bits without a word: the scan takes
 * includes out, refuses text that goes on over a line's end, and marks such numbers as long. NULL: told in faults.
 */
ConfigSource *config_source_scan(const char *file, const char *text, gsize bytes, ConfigFaults *faults);
void config_source_free(ConfigSource *source);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ConfigSource, config_source_free)

/*
 * The files that an include of `file` names, in the order of their names: the file itself (whether it is there or not),
 * or those that fit when its last part has * or ?. NULL: *fault says why. Caller frees.
 */
char **config_source_expand(const char *file, const char *pattern, char **fault);

#endif
