/* A bit reader for headers. Reading past the end gives zeros and is remembered. */
#ifndef STENO_CAPTURE_BITS_H
#define STENO_CAPTURE_BITS_H

#include <glib.h>

typedef struct {
    const guint8 *data;
    gsize bits, at;
    gboolean past_end;
} StenoBits;

static inline guint32 steno_bits(StenoBits *reader, guint count)
{
    guint32 value = 0;
    for (guint i = 0; i < count; i++, reader->at++) {
        guint bit = 0;
        if (reader->at < reader->bits)
            bit = (reader->data[reader->at / 8] >> (7 - reader->at % 8)) & 1;
        else
            reader->past_end = TRUE;
        value = value << 1 | bit;
    }
    return value;
}

static inline void steno_bits_skip(StenoBits *reader, guint count)
{
    reader->at += count;
    reader->past_end |= reader->at > reader->bits;
}

/* ue(v): ITU-T H.264 §9.1; AV1's uvlc() is the same. */
static inline guint32 steno_bits_ue(StenoBits *reader)
{
    guint zeros = 0;
    while (!reader->past_end && !steno_bits(reader, 1))
        zeros++;
    if (zeros == 0 || zeros > 31)
        return zeros == 0 ? 0 : G_MAXUINT32;
    return (1u << zeros) - 1 + steno_bits(reader, zeros);
}

#endif
