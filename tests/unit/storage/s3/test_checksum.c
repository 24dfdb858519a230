/* Checksums against known answers, the fast ways against the plain ones, pieces against the whole. */
#include "s3/checksum.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#define BUFFER_BYTES 5000

/* Each as it stands in a header. */
static const struct {
    S3ChecksumKind kind;
    const char *text, *base64;
} answers[] = {
    {S3_CHECKSUM_MD5, "", "1B2M2Y8AsgTpgAmY7PhCfg=="},
    {S3_CHECKSUM_MD5, "123456789", "JfnnlDI7RTiF9RgfG2JNCw=="},
    {S3_CHECKSUM_SHA256, "", "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="},
    {S3_CHECKSUM_SHA256, "abc", "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0="},
    {S3_CHECKSUM_CRC32C, "", "AAAAAA=="},
    {S3_CHECKSUM_CRC32C, "123456789", "4waSgw=="}, /* e3069283 */
    {S3_CHECKSUM_CRC64NVME, "", "AAAAAAAAAAA="},
    {S3_CHECKSUM_CRC64NVME, "123456789", "rosUhgp5mIg="}, /* ae8b14860a799888 */
};

static void digest_of(S3ChecksumKind kind, gboolean portable, const void *data, gsize bytes, gsize step,
                      guint8 digest[S3_CHECKSUM_MAX_BYTES])
{
    S3Checksum *checksum = portable ? s3_checksum_begin_portable(kind) : s3_checksum_begin(kind);
    assert_non_null(checksum);
    for (gsize at = 0; at < bytes; at += step)
        s3_checksum_add(checksum, (const char *)data + at, MIN(step, bytes - at));
    s3_checksum_end(checksum, digest);
}

static void known_answers(void **state)
{
    (void)state;
    for (guint i = 0; i < G_N_ELEMENTS(answers); i++) {
        for (guint portable = 0; portable < 2; portable++) {
            guint8 digest[S3_CHECKSUM_MAX_BYTES];
            digest_of(answers[i].kind, portable, answers[i].text, strlen(answers[i].text), BUFFER_BYTES, digest);
            g_autofree char *base64 = g_base64_encode(digest, s3_checksum_bytes(answers[i].kind));
            assert_string_equal(base64, answers[i].base64);
        }
    }
}

/* RFC 3720 §B.4 */
static void crc32c_of_the_rfc(void **state)
{
    (void)state;
    guint8 data[3][32], digest[S3_CHECKSUM_MAX_BYTES];
    static const guint8 wanted[3][4] = {{0x8a, 0x91, 0x36, 0xaa}, {0x62, 0xa8, 0xab, 0x43}, {0x46, 0xdd, 0x79, 0x4e}};
    memset(data[0], 0, 32);
    memset(data[1], 0xff, 32);
    for (guint i = 0; i < 32; i++)
        data[2][i] = (guint8)i;
    for (guint i = 0; i < 3; i++) {
        digest_of(S3_CHECKSUM_CRC32C, FALSE, data[i], 32, 32, digest);
        assert_memory_equal(digest, wanted[i], 4);
    }
}

static guint8 *noise(guint32 seed)
{
    guint8 *data = g_malloc(BUFFER_BYTES);
    g_autoptr(GRand) random = g_rand_new_with_seed(seed);
    for (guint i = 0; i < BUFFER_BYTES; i++)
        data[i] = (guint8)g_rand_int(random);
    return data;
}

/* Every length around the blocks of the fast ways, at every alignment, as a whole and in pieces. */
static void fast_is_plain(void **state)
{
    (void)state;
    g_autofree guint8 *data = noise(1);
    static const S3ChecksumKind kinds[] = {S3_CHECKSUM_CRC32C, S3_CHECKSUM_CRC64NVME};
    for (guint k = 0; k < G_N_ELEMENTS(kinds); k++) {
        for (gsize bytes = 0; bytes < 400; bytes++) {
            guint8 fast[S3_CHECKSUM_MAX_BYTES], plain[S3_CHECKSUM_MAX_BYTES], pieces[S3_CHECKSUM_MAX_BYTES];
            const guint8 *from = data + bytes % 17;
            digest_of(kinds[k], FALSE, from, bytes, BUFFER_BYTES, fast);
            digest_of(kinds[k], TRUE, from, bytes, 1, plain);
            digest_of(kinds[k], FALSE, from, bytes, bytes / 3 + 1, pieces);
            assert_memory_equal(fast, plain, s3_checksum_bytes(kinds[k]));
            assert_memory_equal(fast, pieces, s3_checksum_bytes(kinds[k]));
        }
    }
}

static void parts_make_the_whole(void **state)
{
    (void)state;
    g_autofree guint8 *data = noise(2);
    guint8 whole[S3_CHECKSUM_MAX_BYTES];
    digest_of(S3_CHECKSUM_CRC64NVME, FALSE, data, BUFFER_BYTES, BUFFER_BYTES, whole);
    static const gsize steps[] = {1, 7, 64, 1024, 4999, 5000};
    for (guint i = 0; i < G_N_ELEMENTS(steps); i++) {
        guint8 sum[S3_CHECKSUM_MAX_BYTES] = {0}, part[S3_CHECKSUM_MAX_BYTES];
        for (gsize at = 0; at < BUFFER_BYTES; at += steps[i]) {
            gsize bytes = MIN(steps[i], BUFFER_BYTES - at);
            digest_of(S3_CHECKSUM_CRC64NVME, FALSE, data + at, bytes, bytes, part);
            s3_crc64nvme_combine(sum, part, bytes);
        }
        assert_memory_equal(sum, whole, 8);
    }
    /* However they are grouped; lengths beyond 32 bits. */
    guint8 left[8], right[8], middle[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    guint64 long_bytes = G_GUINT64_CONSTANT(1) << 40;
    memcpy(left, whole, 8);
    s3_crc64nvme_combine(left, middle, long_bytes + 3);
    s3_crc64nvme_combine(left, whole, BUFFER_BYTES);
    memcpy(right, middle, 8);
    s3_crc64nvme_combine(right, whole, BUFFER_BYTES);
    guint8 grouped[8];
    memcpy(grouped, whole, 8);
    s3_crc64nvme_combine(grouped, right, long_bytes + 3 + BUFFER_BYTES);
    assert_memory_equal(left, grouped, 8);
}

static void names(void **state)
{
    (void)state;
    S3ChecksumKind kind = S3_CHECKSUM_MD5;
    assert_true(s3_checksum_kind_of_name("none", &kind));
    assert_int_equal(kind, S3_CHECKSUM_NONE);
    assert_null(s3_checksum_header(kind));
    assert_true(s3_checksum_kind_of_name("crc64nvme", &kind));
    assert_string_equal(s3_checksum_header(kind), "x-amz-checksum-crc64nvme");
    assert_string_equal(s3_checksum_algorithm(kind), "CRC64NVME");
    assert_int_equal(s3_checksum_bytes(kind), 8);
    assert_true(s3_checksum_kind_of_name("md5", &kind));
    assert_string_equal(s3_checksum_header(kind), "content-md5");
    assert_null(s3_checksum_algorithm(kind));
    assert_false(s3_checksum_kind_of_name("auto", &kind));
    assert_int_equal(kind, S3_CHECKSUM_MD5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(known_answers), cmocka_unit_test(crc32c_of_the_rfc),
                                       cmocka_unit_test(fast_is_plain), cmocka_unit_test(parts_make_the_whole),
                                       cmocka_unit_test(names)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
