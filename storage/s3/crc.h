/*
 * CRC32C and CRC64NVME of bytes, as fast as the processor can. Both are reflected, begin with ones and end inverted;
 * a running value here is the inverted one, so that 0 is where to begin and every value is a result. Pure functions.
 */
#ifndef STENO_STORAGE_S3_CRC_H
#define STENO_STORAGE_S3_CRC_H

#include <glib.h>

typedef struct Crc Crc;

typedef enum { CRC_32C, CRC_64NVME } CrcKind;

/* portable: not with the processor's own instructions. Caller frees with crc_free(). */
Crc *crc_new(CrcKind kind, gboolean portable);
void crc_free(Crc *crc);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Crc, crc_free)

void crc_add(Crc *crc, const void *data, gsize bytes);
guint64 crc_value(const Crc *crc);

/* CRC64NVME of A and then B, of theirs and B's length. */
guint64 crc64nvme_combine(guint64 a, guint64 b, guint64 b_bytes);

#endif
