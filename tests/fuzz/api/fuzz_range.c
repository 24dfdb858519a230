/* Range and If-None-Match headers, file names. The first eight bytes are the file's length. */
#include "range.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    guint64 length;
    if (bytes < sizeof(length))
        return 0;
    memcpy(&length, data, sizeof(length));
    gint64 file_bytes = (gint64)(length & G_MAXINT64), offset = 0, part = 0;
    g_autofree char *header = g_strndup((const char *)data + sizeof(length), bytes - sizeof(length));
    if (range_read(header, file_bytes, &offset, &part) == RANGE_PART)
        g_assert_true(offset >= 0 && part > 0 && offset < file_bytes && part <= file_bytes - offset);
    (void)range_etag_listed(header, "\"0123456789abcdef\"");
    g_autofree char *name = range_disposition(header);
    for (const char *c = name; *c; c++)
        g_assert_true(*c >= ' ' && *c < 0x7f);
    return 0;
}
