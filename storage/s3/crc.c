#include "crc.h"

#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <sys/auxv.h>
#endif

#define CRC32C_POLYNOMIAL G_GUINT64_CONSTANT(0x82f63b78)            /* RFC 3720 §12.1, reflected */
#define CRC64NVME_POLYNOMIAL G_GUINT64_CONSTANT(0x9a6c9329ac4bc9b5) /* NVM Express NVM Command Set 1.0 §5.2.1.3.4 */

/* The CRC of each byte, and of each byte with 1 to 7 zeros behind it: eight bytes in one step. Made for each CRC that
 * needs it (20 µs), so that nobody shares anything. */
typedef guint64 Table[8][256];

struct Crc {
    guint64 (*update)(const Crc *crc, guint64 value, const guint8 *data, gsize bytes);
    guint64 mask;  /* all ones, as many as the CRC has bits */
    guint64 value; /* not inverted */
    Table table;
};

/* ---- tables ------------------------------------------------------------------------------------------------------ */

static void make_table(Table table, guint64 polynomial)
{
    for (guint i = 0; i < 256; i++) {
        guint64 value = i;
        for (guint bit = 0; bit < 8; bit++)
            value = (value >> 1) ^ (value & 1 ? polynomial : 0);
        table[0][i] = value;
    }
    for (guint slice = 1; slice < 8; slice++)
        for (guint i = 0; i < 256; i++)
            table[slice][i] = (table[slice - 1][i] >> 8) ^ table[0][table[slice - 1][i] & 0xff];
}

static guint64 load(const guint8 *data)
{
    guint64 word;
    memcpy(&word, data, sizeof word);
    return GUINT64_FROM_LE(word);
}

static guint64 update_by_table(const Crc *crc, guint64 value, const guint8 *data, gsize bytes)
{
    for (; bytes >= 8; bytes -= 8, data += 8) {
        guint64 word = value ^ load(data);
        value = 0;
        for (guint slice = 0; slice < 8; slice++)
            value ^= crc->table[7 - slice][(word >> (8 * slice)) & 0xff];
    }
    for (; bytes; bytes--, data++)
        value = (value >> 8) ^ crc->table[0][(value ^ *data) & 0xff];
    return value;
}

/* ---- the processor's instructions -------------------------------------------------------------------------------- */

#if defined(__x86_64__)

__attribute__((target("sse4.2"))) static guint64 update_crc32c(const Crc *crc, guint64 value, const guint8 *data,
                                                               gsize bytes)
{
    (void)crc;
    for (; bytes >= 8; bytes -= 8, data += 8)
        value = _mm_crc32_u64(value, load(data));
    for (; bytes; bytes--, data++)
        value = _mm_crc32_u8((guint32)value, *data);
    return value;
}

/*
 * Folding (Gopal et al., Fast CRC Computation for Generic Polynomials Using PCLMULQDQ, Intel 2009): 128 bits, moved D
 * bits on, are their upper half times x^(D+63) and their lower half times x^(D-1) modulo the polynomial. Reflected, so
 * the upper half is the one with the first bytes, and a product stands one bit too low: hence not 64 and 0.
 */
#define FOLD_128 _mm_set_epi64x(0x21e9761e252621ac, (gint64)0xeadc41fd2ba3d420)
#define FOLD_512 _mm_set_epi64x(0x62242240ace5045a, 0x0c32cdb31e18a84a)

__attribute__((target("pclmul,sse2"))) static __m128i fold(__m128i from, __m128i to, __m128i by)
{
    return _mm_xor_si128(to, _mm_xor_si128(_mm_clmulepi64_si128(from, by, 0x00), _mm_clmulepi64_si128(from, by, 0x11)));
}

__attribute__((target("pclmul,sse2"))) static guint64 update_crc64nvme(const Crc *crc, guint64 value,
                                                                       const guint8 *data, gsize bytes)
{
    if (bytes < 64)
        return update_by_table(crc, value, data, bytes);
    __m128i lanes[4];
    for (guint i = 0; i < 4; i++)
        lanes[i] = _mm_loadu_si128((const __m128i *)data + i);
    lanes[0] = _mm_xor_si128(lanes[0], _mm_cvtsi64_si128((gint64)value));
    for (data += 64, bytes -= 64; bytes >= 64; data += 64, bytes -= 64)
        for (guint i = 0; i < 4; i++)
            lanes[i] = fold(lanes[i], _mm_loadu_si128((const __m128i *)data + i), FOLD_512);
    __m128i one = lanes[0];
    for (guint i = 1; i < 4; i++)
        one = fold(one, lanes[i], FOLD_128);
    for (; bytes >= 16; data += 16, bytes -= 16)
        one = fold(one, _mm_loadu_si128((const __m128i *)data), FOLD_128);
    guint8 rest[16];
    _mm_storeu_si128((__m128i *)rest, one);
    return update_by_table(crc, update_by_table(crc, 0, rest, sizeof rest), data, bytes);
}

static gboolean has_crc32c(void)
{
    return __builtin_cpu_supports("sse4.2") != 0;
}

static gboolean has_crc64nvme(void)
{
    return __builtin_cpu_supports("pclmul") != 0;
}

#elif defined(__aarch64__)

/* In assembly, since the compilers differ in how a function may use what not every processor has. */
static guint64 update_crc32c(const Crc *crc, guint64 value, const guint8 *data, gsize bytes)
{
    (void)crc;
    guint32 crc32 = (guint32)value;
    for (; bytes >= 8; bytes -= 8, data += 8)
        __asm__(".arch_extension crc\n\tcrc32cx %w0, %w0, %x1" : "+r"(crc32) : "r"(load(data)));
    for (; bytes; bytes--, data++)
        __asm__(".arch_extension crc\n\tcrc32cb %w0, %w0, %w1" : "+r"(crc32) : "r"((guint32)*data));
    return crc32;
}

static gboolean has_crc32c(void)
{
    return (getauxval(AT_HWCAP) & HWCAP_CRC32) != 0;
}

#endif

/* ---- the interface ----------------------------------------------------------------------------------------------- */

Crc *crc_new(CrcKind kind, gboolean portable)
{
    Crc *crc = g_new0(Crc, 1);
    crc->mask = kind == CRC_32C ? G_MAXUINT32 : G_MAXUINT64;
    crc->value = crc->mask;
    crc->update = update_by_table;
    make_table(crc->table, kind == CRC_32C ? CRC32C_POLYNOMIAL : CRC64NVME_POLYNOMIAL);
#if defined(__x86_64__) || defined(__aarch64__)
    if (!portable && kind == CRC_32C && has_crc32c())
        crc->update = update_crc32c;
#endif
#if defined(__x86_64__)
    if (!portable && kind == CRC_64NVME && has_crc64nvme())
        crc->update = update_crc64nvme;
#endif
    return crc;
}

void crc_free(Crc *crc)
{
    g_free(crc);
}

void crc_add(Crc *crc, const void *data, gsize bytes)
{
    crc->value = crc->update(crc, crc->value, data, bytes);
}

guint64 crc_value(const Crc *crc)
{
    return crc->value ^ crc->mask;
}

/* ---- combining --------------------------------------------------------------------------------------------------- */

/* a * b modulo the polynomial, reflected: the top bit is x^0. */
static guint64 multiply(guint64 a, guint64 b)
{
    guint64 product = 0;
    for (guint bit = 0; bit < 64; bit++) {
        if (a >> 63)
            product ^= b;
        a <<= 1;
        b = (b >> 1) ^ (b & 1 ? CRC64NVME_POLYNOMIAL : 0);
    }
    return product;
}

guint64 crc64nvme_combine(guint64 a, guint64 b, guint64 b_bytes)
{
    guint64 power = G_GUINT64_CONSTANT(1) << 55; /* x^8: a byte on */
    for (; b_bytes; b_bytes >>= 1) {
        if (b_bytes & 1)
            a = multiply(a, power);
        power = multiply(power, power);
    }
    return a ^ b;
}
