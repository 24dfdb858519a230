/*
 * A reader of bits, most significant first, that never reads past its end: what is not there reads as zero, and
 * `failed` says so at the end. For H.26x it leaves out emulation_prevention_three_byte (H.264 §7.4.1).
 */
#ifndef STENO_CODEC_BITS_H
#define STENO_CODEC_BITS_H

#include <glib.h>
#include <stdbool.h>

typedef struct {
    const guint8 *data;
    gsize bytes, at; /* the next byte to load */
    guint8 byte;     /* the byte being read */
    guint8 left;     /* bits of it not read yet */
    guint8 zeros;    /* zero bytes in a row before data[at] */
    bool escaped;    /* an RBSP inside a NAL unit */
    bool failed;     /* more was read than there is, or an Exp-Golomb code longer than 32 bits */
} StenoBits;

void steno_bits_init(StenoBits *bits, const guint8 *data, gsize bytes);
/* The RBSP of a NAL unit. */
void steno_bits_init_rbsp(StenoBits *bits, const guint8 *data, gsize bytes);
/* The next count bits, 0–32. */
guint32 steno_bits_read(StenoBits *bits, guint count);
static inline bool steno_bits_flag(StenoBits *bits)
{
    return steno_bits_read(bits, 1) != 0;
}
void steno_bits_skip(StenoBits *bits, guint count);
/* ue(v) and se(v), H.264 §9.1. */
guint32 steno_bits_ue(StenoBits *bits);
gint32 steno_bits_se(StenoBits *bits);

#endif
