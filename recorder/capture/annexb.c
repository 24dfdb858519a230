#include "annexb.h"

#include <string.h>

static const guint8 start_code[4] = {0, 0, 0, 1};

/* memchr for the 1 runs at memory speed, and in compressed data it stops every 256 bytes only. */
gsize steno_annexb_find(const guint8 *data, gsize bytes, gsize from)
{
    gsize i = from + 3;
    while (i < bytes) {
        const guint8 *one = memchr(data + i, 1, bytes - i);
        if (!one)
            return bytes;
        i = (gsize)(one - data);
        if (data[i - 1] == 0 && data[i - 2] == 0 && data[i - 3] == 0)
            return i - 3;
        i++;
    }
    return bytes;
}

gboolean steno_annexb_to_lengths(guint8 *data, gsize bytes)
{
    if (bytes < 4 || memcmp(data, start_code, 4) != 0)
        return FALSE;
    gsize unit = 0;
    while (unit < bytes) {
        gsize next = steno_annexb_find(data, bytes, unit + 4);
        guint32 length = GUINT32_TO_BE((guint32)(next - unit - 4));
        memcpy(data + unit, &length, 4);
        unit = next;
    }
    return TRUE;
}

gboolean steno_annexb_from_lengths(guint8 *data, gsize bytes)
{
    gsize unit = 0;
    while (unit < bytes) {
        guint32 length;
        if (bytes - unit < 4)
            return FALSE;
        memcpy(&length, data + unit, 4);
        length = GUINT32_FROM_BE(length);
        if (length > bytes - unit - 4)
            return FALSE;
        memcpy(data + unit, start_code, 4);
        unit += 4 + length;
    }
    return TRUE;
}
