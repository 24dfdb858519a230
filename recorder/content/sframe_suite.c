#include "sframe_suite.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <string.h>

static const SframeSuite suites[] = {
    {1, "SHA256", 32, 48, 16, 10}, {2, "SHA256", 32, 48, 16, 8},  {3, "SHA256", 32, 48, 16, 4},
    {4, "SHA256", 32, 16, 16, 16}, {5, "SHA512", 64, 32, 32, 16},
};

struct SframeAead {
    const SframeSuite *suite;
    AesGcm *gcm; /* suites 4 and 5 */
    EVP_CIPHER_CTX *ctr;
    EVP_MAC_CTX *hmac;
};

const SframeSuite *sframe_suite(guint id)
{
    return id >= 1 && id <= G_N_ELEMENTS(suites) ? &suites[id - 1] : NULL;
}

static gboolean uses_gcm(const SframeSuite *suite)
{
    return suite->aes_bytes == suite->key_bytes;
}

static EVP_CIPHER_CTX *ctr_new(const guint8 *key)
{
    EVP_CIPHER *cipher = EVP_CIPHER_fetch(NULL, "AES-128-CTR", NULL);
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    if (!cipher || !context || EVP_DecryptInit_ex2(context, cipher, key, NULL, NULL) != 1) {
        EVP_CIPHER_CTX_free(context);
        context = NULL;
    }
    EVP_CIPHER_free(cipher);
    return context;
}

static EVP_MAC_CTX *hmac_new(const char *hash, const guint8 *key, gsize key_bytes)
{
    char digest[16];
    (void)g_strlcpy(digest, hash, sizeof digest);
    const OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
                                 OSSL_PARAM_construct_end()};
    EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    EVP_MAC_CTX *context = mac ? EVP_MAC_CTX_new(mac) : NULL;
    if (!context || EVP_MAC_init(context, key, key_bytes, params) != 1) {
        EVP_MAC_CTX_free(context);
        context = NULL;
    }
    EVP_MAC_free(mac);
    return context;
}

SframeAead *sframe_aead_new(const SframeSuite *suite, const guint8 *key)
{
    g_autoptr(SframeAead) aead = g_new0(SframeAead, 1);
    aead->suite = suite;
    if (uses_gcm(suite)) {
        aead->gcm = aes_gcm_new(key, suite->key_bytes);
        return aead->gcm ? g_steal_pointer(&aead) : NULL;
    }
    aead->ctr = ctr_new(key);
    aead->hmac = hmac_new(suite->hash, key + suite->aes_bytes, suite->key_bytes - suite->aes_bytes);
    return aead->ctr && aead->hmac ? g_steal_pointer(&aead) : NULL;
}

void sframe_aead_free(SframeAead *aead)
{
    if (!aead)
        return;
    aes_gcm_free(aead->gcm);
    EVP_CIPHER_CTX_free(aead->ctr);
    EVP_MAC_CTX_free(aead->hmac);
    g_free(aead);
}

/* RFC 9605 §4.5.1: the lengths, the nonce, the associated data, the ciphertext; as much of it as the suite says. */
static gboolean tag_is_right(const SframeAead *aead, const AesGcmFrame *frame, gsize bytes)
{
    const guint tag_bytes = aead->suite->tag_bytes;
    const guint64 lengths[3] = {GUINT64_TO_BE((guint64)(frame->aad_bytes[0] + frame->aad_bytes[1])),
                                GUINT64_TO_BE((guint64)bytes), GUINT64_TO_BE((guint64)tag_bytes)};
    guint8 tag[32];
    size_t written = 0;
    if (EVP_MAC_init(aead->hmac, NULL, 0, NULL) != 1 ||
        EVP_MAC_update(aead->hmac, (const guint8 *)lengths, sizeof lengths) != 1 ||
        EVP_MAC_update(aead->hmac, frame->iv, SFRAME_NONCE_BYTES) != 1)
        return FALSE;
    for (guint i = 0; i < G_N_ELEMENTS(frame->aad); i++)
        if (frame->aad_bytes[i] > 0 && EVP_MAC_update(aead->hmac, frame->aad[i], frame->aad_bytes[i]) != 1)
            return FALSE;
    return EVP_MAC_update(aead->hmac, frame->data, bytes) == 1 &&
           EVP_MAC_final(aead->hmac, tag, &written, sizeof tag) == 1 &&
           CRYPTO_memcmp(tag, frame->data + bytes, tag_bytes) == 0;
}

gboolean sframe_aead_open(SframeAead *aead, const AesGcmFrame *frame, guint8 *out)
{
    if (aead->gcm)
        return aes_gcm_open(aead->gcm, frame, out);
    if (frame->bytes < aead->suite->tag_bytes)
        return FALSE;
    const gsize bytes = frame->bytes - aead->suite->tag_bytes;
    if (!tag_is_right(aead, frame, bytes))
        return FALSE;
    guint8 counter[16] = {0};
    int written = 0;
    memcpy(counter, frame->iv, SFRAME_NONCE_BYTES);
    return EVP_DecryptInit_ex2(aead->ctr, NULL, NULL, counter, NULL) == 1 &&
           (bytes == 0 || EVP_DecryptUpdate(aead->ctr, out, &written, frame->data, (int)bytes) == 1);
}
