#include "rbsp.h"

#include <string.h>

/* The codecs' slices as LiveKit counts them: not data partitions, nor reserved types (H.264 table 7-1, H.265 7-1). */
static gboolean is_slice(StenoCodec codec, guint8 header)
{
    if (codec == STENO_CODEC_H264)
        return (header & 0x1f) == 1 || (header & 0x1f) == 5;
    const guint type = header >> 1 & 0x3f;
    return type <= 9 || (type >= 16 && type <= 21);
}

gsize content_rbsp_clear_bytes(StenoCodec codec, const guint8 *data, gsize bytes)
{
    for (gsize at = 2; at + 2 < bytes; at++) {
        const guint8 *one = memchr(data + at, 1, bytes - 2 - at);
        if (!one)
            return 0;
        at = (gsize)(one - data);
        if (one[-1] == 0 && one[-2] == 0 && is_slice(codec, one[1]))
            return at + 3;
    }
    return 0;
}

gsize content_rbsp_find_escape(const guint8 *data, gsize bytes)
{
    for (gsize at = 2; at < bytes; at++) {
        const guint8 *three = memchr(data + at, 3, bytes - at);
        if (!three)
            return bytes;
        at = (gsize)(three - data);
        if (three[-1] == 0 && three[-2] == 0)
            return at;
    }
    return bytes;
}

gsize content_rbsp_unescape(const guint8 *data, gsize bytes, gsize escape, guint8 *out)
{
    gsize filled = 0, from = 0;
    while (escape < bytes) {
        memcpy(out + filled, data + from, escape - from);
        filled += escape - from;
        /* The zeros before it do not count for the next one. */
        from = escape + 1;
        escape = from + content_rbsp_find_escape(data + from, bytes - from);
    }
    memcpy(out + filled, data + from, bytes - from);
    return filled + bytes - from;
}
