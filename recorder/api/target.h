/* A request's target (RFC 3986): path segments and query, percent-decoded strictly. */
#ifndef STENO_API_TARGET_H
#define STENO_API_TARGET_H

#include <glib.h>
#include <jansson.h>

/* The longest route has six. */
#define TARGET_SEGMENTS_MAX 8
#define TARGET_PARAMETERS_MAX 32
/* Of a segment, decoded: what a file name may have. */
#define TARGET_SEGMENT_MAX_BYTES 255

typedef struct {
    char *path;      /* as it came, without the query: for `instance` */
    char **segments; /* decoded: valid UTF-8 without control characters, '/', "." and ".."; NULL-terminated */
    json_t *query;   /* an object of strings */
} Target;

/*
 * USAGE: cannot be read (bad percent-encoding, an encoded '/', a control character, a parameter twice). NOT_FOUND: can,
 * but no resource has such a path (empty segments, "." and "..").
 */
gboolean target_read(const char *text, Target *target, GError **error);
void target_clear(Target *target);

#endif
