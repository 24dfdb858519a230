#include "steno/proof.h"

#include "openssl.h"

#include "steno/base/error.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <string.h>

static gboolean is_of(EVP_PKEY *key, const guint8 *data, gsize bytes, const guint8 *signature, gsize signature_bytes)
{
    g_autoptr(EVP_MD_CTX) context = EVP_MD_CTX_new();
    gboolean good = context && EVP_DigestVerifyInit(context, NULL, NULL, NULL, key) == 1 &&
                    EVP_DigestVerify(context, signature, signature_bytes, data, bytes) == 1;
    ERR_clear_error();
    return good;
}

gboolean steno_proof_verify(const char *public_pem, const guint8 *data, gsize bytes, const guint8 *signature,
                            gsize signature_bytes, GError **error)
{
    g_autoptr(BIO) text = BIO_new_mem_buf(public_pem, -1);
    guint keys = 0;
    gboolean good = FALSE;
    EVP_PKEY *key;
    while (!good && text && (key = PEM_read_bio_PUBKEY(text, NULL, NULL, NULL))) {
        if (EVP_PKEY_is_a(key, "ED25519")) {
            keys++;
            good =
                signature_bytes == STENO_PROOF_SIGNATURE_BYTES && is_of(key, data, bytes, signature, signature_bytes);
        }
        EVP_PKEY_free(key);
    }
    ERR_clear_error();
    if (!keys)
        g_set_error(error, STENO_ERROR, STENO_ERROR_CONFIG,
                    "there is no Ed25519 public key in PEM (-----BEGIN PUBLIC KEY-----) to check the signature with");
    else if (signature_bytes != STENO_PROOF_SIGNATURE_BYTES)
        g_set_error(error, STENO_ERROR, STENO_ERROR_SIGNATURE,
                    "the signature has %" G_GSIZE_FORMAT " bytes, but an Ed25519 signature has %d", signature_bytes,
                    STENO_PROOF_SIGNATURE_BYTES);
    else if (!good)
        g_set_error(error, STENO_ERROR, STENO_ERROR_SIGNATURE,
                    "the signature is not of these bytes with %s: they were changed, or it is another server's key",
                    keys == 1 ? "this key" : "any of these keys");
    return good;
}
