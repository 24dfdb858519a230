#include "sealer.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define BASE_BYTES 16
#define TAG_BYTES 16

static void base_key(guint8 seed, guint8 out[BASE_BYTES])
{
    for (guint i = 0; i < BASE_BYTES; i++)
        out[i] = (guint8)(seed * 17 + i);
}

static void derive(const guint8 *base, const char *label, guint64 kid, guint8 *out, gsize bytes)
{
    guint8 info[64];
    gsize at = strlen(label);
    memcpy(info, label, at);
    for (guint i = 0; i < 8; i++)
        info[at++] = (guint8)(kid >> (56 - 8 * i));
    info[at++] = 0;
    info[at++] = 4; /* the suite */
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
    EVP_KDF_CTX *context = EVP_KDF_CTX_new(kdf);
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)"SHA256", 0),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)base, BASE_BYTES),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, info, at),
        OSSL_PARAM_construct_end(),
    };
    assert_int_equal(EVP_KDF_derive(context, out, bytes, params), 1);
    EVP_KDF_CTX_free(context);
    EVP_KDF_free(kdf);
}

Sealer sealer_new(guint64 kid, guint8 seed)
{
    Sealer sealer = {.kid = kid};
    guint8 base[BASE_BYTES];
    base_key(seed, base);
    derive(base, "SFrame 1.0 Secret key ", kid, sealer.key, sizeof sealer.key);
    derive(base, "SFrame 1.0 Secret salt ", kid, sealer.salt, sizeof sealer.salt);
    return sealer;
}

/* The shortest form of a number behind the config byte; returns the four bits of it. */
static guint8 put_number(guint64 value, guint8 *out, gsize *at)
{
    if (value < 8)
        return (guint8)value;
    guint bytes = 1;
    while (bytes < 8 && value >> (8 * bytes))
        bytes++;
    for (guint i = bytes; i-- > 0;)
        out[(*at)++] = (guint8)(value >> (8 * i));
    return (guint8)(8 | (bytes - 1));
}

GBytes *sealer_seal(Sealer *sealer, const void *data, gsize bytes)
{
    guint8 *out = g_malloc(17 + bytes + TAG_BYTES), nonce[12];
    gsize header = 1;
    out[0] = (guint8)(put_number(sealer->kid, out, &header) << 4);
    out[0] |= put_number(sealer->counter, out, &header);
    memcpy(nonce, sealer->salt, sizeof nonce);
    for (guint i = 0; i < 8; i++)
        nonce[4 + i] ^= (guint8)(sealer->counter >> (56 - 8 * i));
    sealer->counter++;
    int n = 0;
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    assert_int_equal(EVP_EncryptInit_ex(context, EVP_aes_128_gcm(), NULL, sealer->key, nonce), 1);
    assert_int_equal(EVP_EncryptUpdate(context, NULL, &n, out, (int)header), 1);
    assert_int_equal(EVP_EncryptUpdate(context, out + header, &n, data, (int)bytes), 1);
    assert_int_equal(EVP_EncryptFinal_ex(context, out + header + n, &n), 1);
    assert_int_equal(EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, TAG_BYTES, out + header + bytes), 1);
    EVP_CIPHER_CTX_free(context);
    return g_bytes_new_take(out, header + bytes + TAG_BYTES);
}

char *sealer_key(const Sealer *sealer, guint8 seed, const char *participant)
{
    guint8 base[BASE_BYTES];
    base_key(seed, base);
    g_autofree char *text = g_base64_encode(base, sizeof base);
    g_autofree char *whose = participant ? g_strdup_printf("\"participant\":\"%s\",", participant) : g_strdup("");
    return g_strdup_printf("{%s\"kid\":\"%" G_GUINT64_FORMAT "\",\"key\":\"%s\"}", whose, sealer->kid, text);
}
