/*
 * SRTP against a second opinion: RFC 7714 and RFC 3711 B.2/B.3 computed with OpenSSL's AES, first checked with the
 * RFCs' own vectors (they start from session keys, which libsrtp does not take), then compared byte by byte with what
 * we send.
 */
#include "pair.h"

#include "srtp.h"

#include <openssl/evp.h>

static const guint8 header[12] = {0x80, 0x40, 0xf1, 0x7b, 0x80, 0x41, 0xf8, 0xd3, 0x55, 0x01, 0xa0, 0xb2};
static const char gallia[] = "Gallia est omnis divisa in partes tres";
#define GALLIA (sizeof gallia - 1)

/* RFC 7714 §8.1, §9: with rollover counter 0. Writes ciphertext and tag behind the header. */
static void reference_gcm(const guint8 *key, guint key_bytes, const guint8 *salt, const guint8 *packet, gsize bytes,
                          guint8 *out)
{
    guint8 iv[12] = {0, 0, packet[8], packet[9], packet[10], packet[11], 0, 0, 0, 0, packet[2], packet[3]};
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    int n;

    for (guint i = 0; i < sizeof iv; i++)
        iv[i] ^= salt[i];
    assert_int_equal(
        EVP_EncryptInit_ex(context, key_bytes == 16 ? EVP_aes_128_gcm() : EVP_aes_256_gcm(), NULL, key, iv), 1);
    memcpy(out, packet, 12);
    assert_int_equal(EVP_EncryptUpdate(context, NULL, &n, packet, 12), 1);
    assert_int_equal(EVP_EncryptUpdate(context, out + 12, &n, packet + 12, (int)bytes - 12), 1);
    assert_int_equal(EVP_EncryptFinal_ex(context, out + bytes, &n), 1);
    assert_int_equal(EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_GCM_GET_TAG, 16, out + bytes), 1);
    EVP_CIPHER_CTX_free(context);
}

/* RFC 3711 §4.3.3: AES-CM key derivation; label 0 is the encryption key, 2 the salt. */
static void reference_kdf(const guint8 *key, guint key_bytes, const guint8 *salt, guint salt_bytes, guint8 label,
                          guint8 *out, guint bytes)
{
    static const guint8 zeros[64];
    guint8 iv[16] = {0};
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    int n;

    memcpy(iv, salt, salt_bytes);
    iv[7] ^= label;
    assert_int_equal(
        EVP_EncryptInit_ex(context, key_bytes == 16 ? EVP_aes_128_ctr() : EVP_aes_256_ctr(), NULL, key, iv), 1);
    assert_int_equal(EVP_EncryptUpdate(context, out, &n, zeros, (int)bytes), 1);
    EVP_CIPHER_CTX_free(context);
}

static void reference_is_right(void **state)
{
    /* RFC 7714 §16.1.1 */
    static const guint8 salt[12] = {0x51, 0x75, 0x69, 0x64, 0x20, 0x70, 0x72, 0x6f, 0x20, 0x71, 0x75, 0x6f};
    static const guint8 expected[] = {
        0xf2, 0x4d, 0xe3, 0xa3, 0xfb, 0x34, 0xde, 0x6c, 0xac, 0xba, 0x86, 0x1c, 0x9d, 0x7e, 0x4b, 0xca, 0xbe, 0x63,
        0x3b, 0xd5, 0x0d, 0x29, 0x4e, 0x6f, 0x42, 0xa5, 0xf4, 0x7a, 0x51, 0xc7, 0xd1, 0x9b, 0x36, 0xde, 0x3a, 0xdf,
        0x88, 0x33, 0x89, 0x9d, 0x7f, 0x27, 0xbe, 0xb1, 0x6a, 0x91, 0x52, 0xcf, 0x76, 0x5e, 0xe4, 0x39, 0x0c, 0xce};
    /* RFC 3711 B.3 */
    static const guint8 master[16] = {0xE1, 0xF9, 0x7A, 0x0D, 0x3E, 0x01, 0x8B, 0xE0,
                                      0xD6, 0x4F, 0xA3, 0x2C, 0x06, 0xDE, 0x41, 0x39};
    static const guint8 master_salt[14] = {0x0E, 0xC6, 0x75, 0xAD, 0x49, 0x8A, 0xFE,
                                           0xEB, 0xB6, 0x96, 0x0B, 0x3A, 0xAB, 0xE6};
    static const guint8 cipher_key[16] = {0xC6, 0x1E, 0x7A, 0x93, 0x74, 0x4F, 0x39, 0xEE,
                                          0x10, 0x73, 0x4A, 0xFE, 0x3F, 0xF7, 0xA0, 0x87};
    static const guint8 cipher_salt[14] = {0x30, 0xCB, 0xBC, 0x08, 0x86, 0x3D, 0x8C,
                                           0x85, 0xD4, 0x9D, 0xB3, 0x4A, 0x9A, 0xE1};
    guint8 key[16], packet[12 + GALLIA], out[12 + GALLIA + 16], derived[16];

    (void)state;
    for (guint i = 0; i < sizeof key; i++)
        key[i] = (guint8)i;
    memcpy(packet, header, 12);
    memcpy(packet + 12, gallia, GALLIA);
    reference_gcm(key, 16, salt, packet, sizeof packet, out);
    assert_memory_equal(out + 12, expected, sizeof expected);
    reference_kdf(master, 16, master_salt, 14, 0, derived, 16);
    assert_memory_equal(derived, cipher_key, 16);
    reference_kdf(master, 16, master_salt, 14, 2, derived, 14);
    assert_memory_equal(derived, cipher_salt, 14);
}

static void gcm_is_the_rfcs(void **state)
{
    static const StenoSrtpProfile rows[] = {STENO_SRTP_AEAD_AES_128_GCM, STENO_SRTP_AEAD_AES_256_GCM};

    (void)state;
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        guint key_bytes = steno_srtp_profile_info(rows[i])->key_bytes;
        guint8 key[32 + 12], session_key[32], session_salt[12], expected[12 + GALLIA + 16];
        guint8 packet[12 + GALLIA + STENO_SRTP_TRAILER_MAX];
        guint32 bytes = 12 + GALLIA;

        for (guint k = 0; k < sizeof key; k++)
            key[k] = (guint8)(3 * k + 7);
        memcpy(packet, header, 12);
        memcpy(packet + 12, gallia, GALLIA);
        reference_kdf(key, key_bytes, key + key_bytes, 12, 0, session_key, key_bytes);
        reference_kdf(key, key_bytes, key + key_bytes, 12, 2, session_salt, 12);
        reference_gcm(session_key, key_bytes, session_salt, packet, bytes, expected);

        StenoSrtp *srtp = steno_srtp_new(rows[i], key, key, NULL);
        assert_non_null(srtp);
        assert_true(steno_srtp_protect(srtp, FALSE, packet, &bytes));
        assert_int_equal(bytes, sizeof expected);
        assert_memory_equal(packet, expected, sizeof expected);
        assert_int_equal(steno_srtp_unprotect(srtp, FALSE, packet, &bytes), STENO_SRTP_OK);
        assert_int_equal(bytes, 12 + GALLIA);
        assert_memory_equal(packet + 12, gallia, GALLIA);
        steno_srtp_free(srtp);
    }
}

/* Each profile: what one side protects, the other takes once, in any order within the window, and nobody else. */
static void profiles_protect(void **state)
{
    (void)state;
    for (guint i = 0; i < STENO_SRTP_PROFILES; i++) {
        guint8 there[64], back[64], packet[300 + STENO_SRTP_TRAILER_MAX], first[300 + STENO_SRTP_TRAILER_MAX];
        guint32 bytes, first_bytes = 0;
        memset(there, 0x11, sizeof there);
        memset(back, 0x22, sizeof back);
        StenoSrtp *a = steno_srtp_new(i, back, there, NULL), *b = steno_srtp_new(i, there, back, NULL);
        assert_non_null(a);
        assert_non_null(b);
        for (guint16 seq = 1; seq <= STENO_TRANSPORT_REPLAY_WINDOW; seq++) {
            bytes = (guint32)make_rtp(packet, seq, 0x77, 100);
            assert_true(steno_srtp_protect(a, FALSE, packet, &bytes));
            if (seq == 1) {
                memcpy(first, packet, bytes);
                first_bytes = bytes;
                continue;
            }
            guint8 copy[sizeof packet];
            guint32 copy_bytes = bytes;
            memcpy(copy, packet, bytes);
            assert_int_equal(steno_srtp_unprotect(b, FALSE, packet, &bytes), STENO_SRTP_OK);
            assert_int_equal(bytes, 112);
            assert_int_equal(steno_srtp_unprotect(b, FALSE, copy, &copy_bytes), STENO_SRTP_REPLAY);
        }
        /* The oldest that the window must still hold. */
        assert_int_equal(steno_srtp_unprotect(b, FALSE, first, &first_bytes), STENO_SRTP_OK);
        assert_int_equal(packet[20], 0x77);

        bytes = (guint32)make_rtp(packet, 2000, 1, 100);
        assert_true(steno_srtp_protect(a, FALSE, packet, &bytes));
        packet[50] ^= 1;
        assert_int_equal(steno_srtp_unprotect(b, FALSE, packet, &bytes), STENO_SRTP_FAILURE);
        bytes = 20;
        assert_int_equal(steno_srtp_unprotect(b, FALSE, packet, &bytes), STENO_SRTP_FAILURE);
        bytes = (guint32)make_rtcp(packet);
        assert_true(steno_srtp_protect(a, TRUE, packet, &bytes));
        assert_int_equal(steno_srtp_unprotect(b, TRUE, packet, &bytes), STENO_SRTP_OK);
        assert_int_equal(bytes, 20);
        steno_srtp_free(a);
        steno_srtp_free(b);
    }
}

/* A resend is the same packet again: it must come out of libsrtp the same, and twice. */
static void a_sender_may_repeat(void **state)
{
    guint8 key[64] = {1}, one[300 + STENO_SRTP_TRAILER_MAX], two[300 + STENO_SRTP_TRAILER_MAX];
    guint32 one_bytes = (guint32)make_rtp(one, 7, 9, 100), two_bytes = (guint32)make_rtp(two, 7, 9, 100);
    StenoSrtp *srtp = steno_srtp_new(STENO_SRTP_AEAD_AES_128_GCM, key, key, NULL);

    (void)state;
    assert_true(steno_srtp_protect(srtp, FALSE, one, &one_bytes));
    assert_true(steno_srtp_protect(srtp, FALSE, two, &two_bytes));
    assert_int_equal(one_bytes, two_bytes);
    assert_memory_equal(one, two, one_bytes);
    steno_srtp_free(srtp);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(reference_is_right), cmocka_unit_test(gcm_is_the_rfcs),
                                       cmocka_unit_test(profiles_protect), cmocka_unit_test(a_sender_may_repeat)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
