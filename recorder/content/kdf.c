#include "kdf.h"

#include <openssl/core_names.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

static gboolean derive(const char *name, const OSSL_PARAM *params, guint8 *out, gsize out_bytes)
{
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, name, NULL);
    EVP_KDF_CTX *ctx = kdf ? EVP_KDF_CTX_new(kdf) : NULL;
    gboolean derived = ctx && EVP_KDF_derive(ctx, out, out_bytes, params) == 1;
    EVP_KDF_CTX_free(ctx);
    EVP_KDF_free(kdf);
    return derived;
}

/* OSSL_PARAM wants what it does not change as not const; and a pointer, also to nothing. */
static OSSL_PARAM octets(const char *name, const void *data, gsize bytes)
{
    static char nothing;
    return OSSL_PARAM_construct_octet_string(name, data ? (void *)data : &nothing, bytes);
}

gboolean content_pbkdf2(const void *passphrase, gsize passphrase_bytes, const void *salt, gsize salt_bytes,
                        guint iterations, guint8 *out, gsize out_bytes)
{
    char digest[] = "SHA256";
    unsigned int count = iterations;
    OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0),
                           octets(OSSL_KDF_PARAM_PASSWORD, passphrase, passphrase_bytes),
                           octets(OSSL_KDF_PARAM_SALT, salt, salt_bytes),
                           OSSL_PARAM_construct_uint(OSSL_KDF_PARAM_ITER, &count), OSSL_PARAM_construct_end()};
    return derive("PBKDF2", params, out, out_bytes);
}

gboolean content_hkdf(ContentHkdfMode mode, const char *digest, const void *key, gsize key_bytes, const void *salt,
                      gsize salt_bytes, const void *info, gsize info_bytes, guint8 *out, gsize out_bytes)
{
    int kdf_mode = mode == CONTENT_HKDF_EXTRACT  ? EVP_KDF_HKDF_MODE_EXTRACT_ONLY
                   : mode == CONTENT_HKDF_EXPAND ? EVP_KDF_HKDF_MODE_EXPAND_ONLY
                                                 : EVP_KDF_HKDF_MODE_EXTRACT_AND_EXPAND;
    OSSL_PARAM params[6];
    guint n = 0;
    params[n++] = OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &kdf_mode);
    params[n++] = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)digest, 0);
    params[n++] = octets(OSSL_KDF_PARAM_KEY, key, key_bytes);
    if (mode != CONTENT_HKDF_EXPAND)
        params[n++] = octets(OSSL_KDF_PARAM_SALT, salt, salt_bytes);
    if (mode != CONTENT_HKDF_EXTRACT)
        params[n++] = octets(OSSL_KDF_PARAM_INFO, info, info_bytes);
    params[n] = OSSL_PARAM_construct_end();
    return derive("HKDF", params, out, out_bytes);
}
