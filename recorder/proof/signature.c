#include "steno/proof.h"

#include "openssl.h"

#include "steno/base/error.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <string.h>

#define KEY_BYTES 32

static gboolean is_of(EVP_PKEY *key, const guint8 *data, gsize bytes, const guint8 *signature, gsize signature_bytes)
{
    g_autoptr(EVP_MD_CTX) context = EVP_MD_CTX_new();
    gboolean good = context && EVP_DigestVerifyInit(context, NULL, NULL, NULL, key) == 1 &&
                    EVP_DigestVerify(context, signature, signature_bytes, data, bytes) == 1;
    ERR_clear_error();
    return good;
}

/* The next key of the file; NULL with *more FALSE at its end. Others than Ed25519 (RFC 8410 §4) are passed over. */
static EVP_PKEY *next_key(BIO *text, gboolean *more)
{
    static const guint8 head[] = {0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00};
    char *name = NULL, *header = NULL;
    guint8 *der = NULL;
    long bytes = 0;
    EVP_PKEY *key = NULL;
    *more = PEM_read_bio(text, &name, &header, &der, &bytes) == 1;
    if (*more && strcmp(name, PEM_STRING_PUBLIC) == 0 && bytes == (long)sizeof head + KEY_BYTES &&
        memcmp(der, head, sizeof head) == 0)
        key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, der + sizeof head, KEY_BYTES);
    OPENSSL_free(name);
    OPENSSL_free(header);
    OPENSSL_free(der);
    ERR_clear_error();
    return key;
}

gboolean steno_proof_verify(const char *public_pem, const guint8 *data, gsize bytes, const guint8 *signature,
                            gsize signature_bytes, GError **error)
{
    g_autoptr(BIO) text = BIO_new_mem_buf(public_pem, -1);
    guint keys = 0;
    gboolean good = FALSE;
    gboolean more = text != NULL;
    while (more && !good) {
        g_autoptr(EVP_PKEY) key = next_key(text, &more);
        keys += key != NULL;
        good = key && signature_bytes == STENO_PROOF_SIGNATURE_BYTES &&
               is_of(key, data, bytes, signature, signature_bytes);
    }
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
