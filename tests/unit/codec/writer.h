/* Writes bits, most significant first: the syntax elements of parameter sets and headers made by hand. */
#ifndef STENO_TESTS_CODEC_WRITER_H
#define STENO_TESTS_CODEC_WRITER_H

#include <glib.h>

typedef struct {
    guint8 data[256];
    gsize bits;
} Writer;

void writer_bits(Writer *writer, guint count, guint64 value);
/* ue(v) */
void writer_ue(Writer *writer, guint value);
/* A one, then zeros to the end of the byte (rbsp_trailing_bits, trailing_bits). */
void writer_trail(Writer *writer);
/* Puts in emulation_prevention_three_byte, from the byte `from` on. */
void writer_escape(Writer *writer, gsize from);
gsize writer_bytes(const Writer *writer);

#endif
