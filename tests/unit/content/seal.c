#include "seal.h"

#include "kdf.h"

#include <openssl/evp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define WAIT_MAX_S 60

void seal_livekit_key(const guint8 *key, gsize bytes, guint step, guint8 aes[16])
{
    static const guint8 info[128];
    static const char salt[] = "LKFrameEncryptionKey";
    guint8 material[2][32];
    for (guint i = 0; i <= step; i++)
        assert_true(content_hkdf(CONTENT_HKDF_EXTRACT_AND_EXPAND, "SHA256", i ? material[(i - 1) & 1] : key,
                                 i ? 32 : bytes, salt, sizeof salt - 1, info, sizeof info, material[i & 1], 32));
    memcpy(aes, material[step & 1], 16);
}

static void encrypt(const guint8 *key, const guint8 *iv, const guint8 *aad, gsize aad_bytes, const guint8 *plain,
                    gsize bytes, GByteArray *out)
{
    int written = 0;
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    const guint at = out->len;
    g_byte_array_set_size(out, (guint)(at + bytes + 16));
    assert_int_equal(EVP_EncryptInit_ex2(ctx, EVP_aes_128_gcm(), key, iv, NULL), 1);
    assert_int_equal(EVP_EncryptUpdate(ctx, NULL, &written, aad, (int)aad_bytes), 1);
    if (bytes)
        assert_int_equal(EVP_EncryptUpdate(ctx, out->data + at, &written, plain, (int)bytes), 1);
    assert_int_equal(EVP_EncryptFinal_ex(ctx, out->data + at + bytes, &written), 1);
    assert_int_equal(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, 16, out->data + at + bytes), 1);
    EVP_CIPHER_CTX_free(ctx);
}

GBytes *seal_plain(guint number, gsize bytes)
{
    guint8 *plain = g_malloc(bytes);
    for (gsize i = 0; i < bytes; i++)
        plain[i] = (guint8)(number * 31 + i * 7 + (i >> 8));
    return g_bytes_new_take(plain, bytes);
}

GBytes *seal_livekit(const guint8 aes[16], guint8 kid, guint number, gsize bytes)
{
    g_autoptr(GBytes) plain = seal_plain(number, bytes);
    const guint8 *data = g_bytes_get_data(plain, NULL);
    const guint8 iv[12] = {1, 2, 3, 4, [8] = number >> 24, number >> 16 & 0xff, number >> 8 & 0xff, number & 0xff};
    const guint8 trailer[2] = {12, kid};
    GByteArray *frame = g_byte_array_new();
    g_byte_array_append(frame, data, 1);
    encrypt(aes, iv, data, 1, data + 1, bytes - 1, frame);
    g_byte_array_append(frame, iv, sizeof iv);
    g_byte_array_append(frame, trailer, sizeof trailer);
    return g_byte_array_free_to_bytes(frame);
}

static void sframe_secret(const guint8 *base_key, gsize bytes, guint8 secret[32])
{
    assert_true(content_hkdf(CONTENT_HKDF_EXTRACT, "SHA256", base_key, bytes, NULL, 0, NULL, 0, secret, 32));
}

static void sframe_expand(const guint8 secret[32], const char *label, guint64 kid, guint8 *out, gsize bytes)
{
    guint8 info[64];
    const gsize label_bytes = strlen(label);
    memcpy(info, label, label_bytes);
    for (guint i = 0; i < 8; i++)
        info[label_bytes + i] = (guint8)(kid >> (56 - 8 * i));
    info[label_bytes + 8] = 0;
    info[label_bytes + 9] = 4;
    assert_true(content_hkdf(CONTENT_HKDF_EXPAND, "SHA256", secret, 32, NULL, 0, info, label_bytes + 10, out, bytes));
}

GBytes *seal_sframe(const guint8 *base_key, guint steps, guint64 kid, guint64 ctr, guint number, gsize bytes)
{
    static const char label[] = "SFrame 1.0 Ratchet";
    guint8 base[32], secret[32], key[16], nonce[12];
    gsize base_bytes = 16;
    memcpy(base, base_key, base_bytes);
    for (guint i = 0; i < steps; i++, base_bytes = 32) {
        sframe_secret(base, base_bytes, secret);
        assert_true(
            content_hkdf(CONTENT_HKDF_EXPAND, "SHA256", secret, 32, NULL, 0, label, sizeof label - 1, base, 32));
    }
    sframe_secret(base, base_bytes, secret);
    sframe_expand(secret, "SFrame 1.0 Secret key ", kid, key, sizeof key);
    sframe_expand(secret, "SFrame 1.0 Secret salt ", kid, nonce, sizeof nonce);
    guint8 header[17] = {0x88 | 7 << 4 | 7};
    for (guint i = 0; i < 8; i++) {
        header[1 + i] = (guint8)(kid >> (56 - 8 * i));
        header[9 + i] = (guint8)(ctr >> (56 - 8 * i));
        nonce[4 + i] ^= header[9 + i];
    }
    g_autoptr(GBytes) plain = seal_plain(number, bytes);
    GByteArray *frame = g_byte_array_new();
    g_byte_array_append(frame, header, sizeof header);
    encrypt(key, nonce, header, sizeof header, g_bytes_get_data(plain, NULL), bytes, frame);
    return g_byte_array_free_to_bytes(frame);
}

StenoContentKeys *seal_keys(const char *format, const char *json)
{
    GError *error = NULL;
    StenoContentKeys *keys =
        steno_content_keys_parse(steno_content_format(format), json, strlen(json), "a test", &error);
    if (error)
        fail_msg("%s", error->message);
    assert_non_null(keys);
    return keys;
}

StenoContentOutcome seal_open(StenoContentOpener *opener, StenoCodec codec, GBytes *frame, GBytes *plain, gboolean wait)
{
    gsize bytes = 0;
    const guint8 *data = g_bytes_get_data(frame, &bytes);
    /* Exactly as large, so that a sanitizer sees a byte more. */
    g_autofree guint8 *lent = g_memdup2(data, bytes), *out = g_malloc(MAX(bytes, 1));
    StenoContentOpened opened = {0};
    const gint64 until = g_get_monotonic_time() + WAIT_MAX_S * G_USEC_PER_SEC;
    StenoContentOutcome outcome;
    do {
        outcome = steno_content_open(opener, codec, lent, bytes, out, &opened);
        g_thread_yield();
    } while (wait && outcome == STENO_CONTENT_NO_KEY && g_get_monotonic_time() < until);
    if (bytes)
        assert_memory_equal(lent, data, bytes);
    assert_true(opened.bytes <= bytes);
    if (plain && (outcome == STENO_CONTENT_OPENED || outcome == STENO_CONTENT_CLEAR)) {
        assert_int_equal(opened.bytes, g_bytes_get_size(plain));
        if (opened.bytes)
            assert_memory_equal(out, g_bytes_get_data(plain, NULL), opened.bytes);
    }
    return outcome;
}
