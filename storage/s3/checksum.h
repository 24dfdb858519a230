/*
 * Checksums that S3 compares with what arrived (Content-MD5, x-amz-checksum-*), counted while bytes pass. The CRCs are
 * what the processor has instructions for, else tables.
 */
#ifndef STENO_STORAGE_S3_CHECKSUM_H
#define STENO_STORAGE_S3_CHECKSUM_H

#include <glib.h>

typedef enum {
    S3_CHECKSUM_NONE, /* never a checksum: what a storage without one has */
    S3_CHECKSUM_MD5,
    S3_CHECKSUM_SHA256,
    S3_CHECKSUM_CRC32C,
    S3_CHECKSUM_CRC64NVME
} S3ChecksumKind;

#define S3_CHECKSUM_MAX_BYTES 32

/* The request's header ("content-md5", "x-amz-checksum-crc32c"); NULL of NONE. Static. */
const char *s3_checksum_header(S3ChecksumKind kind);
/* As x-amz-checksum-algorithm says it ("CRC64NVME"); NULL of NONE and MD5. Static. */
const char *s3_checksum_algorithm(S3ChecksumKind kind);
/* Of the configuration's word ("none", "md5", …; not "auto"); FALSE for anything else. */
gboolean s3_checksum_kind_of_name(const char *name, S3ChecksumKind *kind);
/* How long the checksum is; CRCs are big-endian, as S3 wants them. */
gsize s3_checksum_bytes(S3ChecksumKind kind);

/* One thread at a time. */
typedef struct S3Checksum S3Checksum;

/* kind: not NONE. NULL when there is none of this kind here: MD5, where FIPS rules. */
S3Checksum *s3_checksum_begin(S3ChecksumKind kind);
/* For tests: the same without the processor's instructions. */
S3Checksum *s3_checksum_begin_portable(S3ChecksumKind kind);
void s3_checksum_add(S3Checksum *checksum, const void *data, gsize bytes);
/* Frees it; digest has s3_checksum_bytes(). In a header it stands as base64 (g_base64_encode()). */
void s3_checksum_end(S3Checksum *checksum, guint8 digest[S3_CHECKSUM_MAX_BYTES]);
/* Without an end. */
void s3_checksum_free(S3Checksum *checksum);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(S3Checksum, s3_checksum_free)

/* CRC64NVME of A and then B, of CRC64NVME of A, of B, and the length of B. All 8 bytes, big-endian, as _end() has it;
 * both may be the same memory. Of no bytes at all it is 0. */
void s3_crc64nvme_combine(guint8 a[8], const guint8 b[8], guint64 b_bytes);

#endif
