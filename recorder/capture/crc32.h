/* CRC-32 of ISO 3309, as EBML has it (RFC 8794 §11.3.1): eight bytes at a time, since a writer counts every byte. */
#ifndef STENO_CAPTURE_CRC32_H
#define STENO_CAPTURE_CRC32_H

#include <glib.h>

/* table[n][b]: byte b, followed by n zero bytes. */
typedef struct {
    guint32 table[8][256];
} StenoCrc32;

/* 5 µs: for each writer and reader its own, so that nothing is shared. */
void steno_crc32_init(StenoCrc32 *crc32);
guint32 steno_crc32(const StenoCrc32 *crc32, const guint8 *data, gsize bytes);

#endif
