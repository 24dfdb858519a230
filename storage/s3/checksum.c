#include "checksum.h"

#include "crc.h"

#include <openssl/evp.h>
#include <string.h>

static const struct {
    const char *name, *header, *algorithm;
    gsize bytes;
} kinds[] = {
    [S3_CHECKSUM_NONE] = {"none", NULL, NULL, 0},
    [S3_CHECKSUM_MD5] = {"md5", "content-md5", NULL, 16},
    [S3_CHECKSUM_SHA256] = {"sha256", "x-amz-checksum-sha256", "SHA256", 32},
    [S3_CHECKSUM_CRC32C] = {"crc32c", "x-amz-checksum-crc32c", "CRC32C", 4},
    [S3_CHECKSUM_CRC64NVME] = {"crc64nvme", "x-amz-checksum-crc64nvme", "CRC64NVME", 8},
};

struct S3Checksum {
    S3ChecksumKind kind;
    EVP_MD_CTX *digest; /* or a CRC */
    Crc *crc;
};

const char *s3_checksum_header(S3ChecksumKind kind)
{
    return kinds[kind].header;
}

const char *s3_checksum_algorithm(S3ChecksumKind kind)
{
    return kinds[kind].algorithm;
}

gsize s3_checksum_bytes(S3ChecksumKind kind)
{
    return kinds[kind].bytes;
}

gboolean s3_checksum_kind_of_name(const char *name, S3ChecksumKind *kind)
{
    for (guint i = 0; i < G_N_ELEMENTS(kinds); i++) {
        if (strcmp(kinds[i].name, name) == 0) {
            *kind = (S3ChecksumKind)i;
            return TRUE;
        }
    }
    return FALSE;
}

static EVP_MD_CTX *begin_digest(const char *name)
{
    EVP_MD *algorithm = EVP_MD_fetch(NULL, name, NULL);
    EVP_MD_CTX *digest = EVP_MD_CTX_new();
    if (!algorithm || !digest || EVP_DigestInit_ex2(digest, algorithm, NULL) != 1) {
        EVP_MD_CTX_free(digest);
        digest = NULL;
    }
    EVP_MD_free(algorithm);
    return digest;
}

static S3Checksum *begin(S3ChecksumKind kind, gboolean portable)
{
    S3Checksum *checksum = g_new0(S3Checksum, 1);
    checksum->kind = kind;
    if (kind == S3_CHECKSUM_CRC32C || kind == S3_CHECKSUM_CRC64NVME)
        checksum->crc = crc_new(kind == S3_CHECKSUM_CRC32C ? CRC_32C : CRC_64NVME, portable);
    else
        checksum->digest = begin_digest(kind == S3_CHECKSUM_MD5 ? "MD5" : "SHA256");
    if (checksum->crc || checksum->digest)
        return checksum;
    s3_checksum_free(checksum);
    return NULL;
}

S3Checksum *s3_checksum_begin(S3ChecksumKind kind)
{
    return begin(kind, FALSE);
}

S3Checksum *s3_checksum_begin_portable(S3ChecksumKind kind)
{
    return begin(kind, TRUE);
}

void s3_checksum_add(S3Checksum *checksum, const void *data, gsize bytes)
{
    if (checksum->crc)
        crc_add(checksum->crc, data, bytes);
    else if (EVP_DigestUpdate(checksum->digest, data, bytes) != 1)
        g_error("OpenSSL cannot go on with a digest");
}

static void put_big_endian(guint8 *out, gsize bytes, guint64 value)
{
    for (; bytes; bytes--, value >>= 8)
        out[bytes - 1] = (guint8)value;
}

static guint64 get_big_endian(const guint8 in[8])
{
    guint64 value = 0;
    for (guint i = 0; i < 8; i++)
        value = value << 8 | in[i];
    return value;
}

void s3_checksum_end(S3Checksum *checksum, guint8 digest[S3_CHECKSUM_MAX_BYTES])
{
    if (checksum->crc) {
        put_big_endian(digest, s3_checksum_bytes(checksum->kind), crc_value(checksum->crc));
    } else if (EVP_DigestFinal_ex(checksum->digest, digest, NULL) != 1) {
        g_error("OpenSSL cannot end a digest");
    }
    s3_checksum_free(checksum);
}

void s3_checksum_free(S3Checksum *checksum)
{
    if (!checksum)
        return;
    EVP_MD_CTX_free(checksum->digest);
    crc_free(checksum->crc);
    g_free(checksum);
}

void s3_crc64nvme_combine(guint8 a[8], const guint8 b[8], guint64 b_bytes)
{
    put_big_endian(a, 8, crc64nvme_combine(get_big_endian(a), get_big_endian(b), b_bytes));
}
