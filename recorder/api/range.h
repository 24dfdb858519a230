/* Parts and versions of a file: Range (RFC 9110 §14), entity tags (§8.8.3). Pure functions. */
#ifndef STENO_API_RANGE_H
#define STENO_API_RANGE_H

#include <glib.h>

typedef enum {
    RANGE_WHOLE,        /* none asked for, or one that we don't serve (several ranges, another unit): send all */
    RANGE_PART,         /* from *offset, *bytes long */
    RANGE_UNSATISFIABLE /* it begins behind the end */
} RangeKind;

/* The range of a file of so many bytes that a Range header asks for (NULL: none). */
RangeKind range_read(const char *header, gint64 file_bytes, gint64 *offset, gint64 *bytes);
/* Is the (quoted, strong) tag in an If-None-Match list? "*" is, and so is a weak one of the same text. */
gboolean range_etag_listed(const char *header, const char *etag);
/* "report.mkv" to attachment; filename="report.mkv"; filename*=UTF-8''report.mkv. Caller frees. */
char *range_disposition(const char *file_name);

#endif
