#include "sframe_header.h"

/* Half of the configuration byte: the number itself, or (bit 3) the count of bytes that it takes, less one. */
static gboolean read_number(const guint8 **at, const guint8 *end, guint8 half, guint64 *number)
{
    *number = half & 7;
    if (!(half & 8))
        return TRUE;
    guint count = (half & 7u) + 1;
    if ((gsize)(end - *at) < count)
        return FALSE;
    *number = 0;
    for (guint i = 0; i < count; i++)
        *number = *number << 8 | *(*at)++;
    return TRUE;
}

gboolean sframe_header_read(const guint8 *data, gsize bytes, SframeHeader *header)
{
    if (bytes == 0)
        return FALSE;
    const guint8 *at = data + 1;
    SframeHeader read;
    if (!read_number(&at, data + bytes, data[0] >> 4, &read.kid) ||
        !read_number(&at, data + bytes, data[0] & 15, &read.ctr))
        return FALSE;
    read.bytes = (guint)(at - data);
    *header = read;
    return TRUE;
}
