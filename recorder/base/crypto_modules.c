#include "steno/base/crypto_modules.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/provider.h>

/* OUTSIDE: not by OpenSSL, and so never in a FIPS provider. */
typedef enum { CIPHER, MAC, DIGEST, KDF, EXCHANGE, SIGNATURE, ASYMMETRIC, RANDOM, OUTSIDE } Kind;

static const struct {
    const char *use, *algorithm;
    Kind kind;
    const char *name;   /* OpenSSL's; of what is outside, the module's */
    const char *digest; /* that it works with; NULL: none */
} uses[] = {
    {"content: LiveKit, Jitsi, SFrame", "AES-128-GCM", CIPHER, "AES-128-GCM", NULL},
    {"content: LiveKit, Jitsi, SFrame", "AES-256-GCM", CIPHER, "AES-256-GCM", NULL},
    {"content: SFrame", "AES-128-CTR", CIPHER, "AES-128-CTR", NULL},
    {"content: SFrame", "HMAC-SHA256", MAC, "HMAC", "SHA256"},
    {"content: aes-128-xts", "AES-128-XTS", CIPHER, "AES-128-XTS", NULL},
    {"content: aes-256-xts", "AES-256-XTS", CIPHER, "AES-256-XTS", NULL},
    {"content: insecure modes", "AES-128-ECB", CIPHER, "AES-128-ECB", NULL},
    {"content: insecure modes", "SM4-128-ECB", CIPHER, "SM4-ECB", NULL},
    {"content keys", "HKDF-SHA256", KDF, "HKDF", "SHA256"},
    {"content keys", "HKDF-SHA512", KDF, "HKDF", "SHA512"},
    {"content keys", "PBKDF2-HMAC-SHA256", KDF, "PBKDF2", "SHA256"},
    {"DTLS, TLS: key exchange", "ECDH P-256", EXCHANGE, "ECDH", NULL},
    {"DTLS, TLS: key exchange", "X25519", EXCHANGE, "X25519", NULL},
    {"DTLS, TLS: certificates", "ECDSA P-256", SIGNATURE, "ECDSA", "SHA256"},
    {"DTLS, TLS: certificates", "RSA", SIGNATURE, "RSA", "SHA256"},
    {"DTLS, TLS: secrets", "TLS 1.2 PRF", KDF, "TLS1-PRF", "SHA256"},
    {"DTLS, TLS: secrets", "TLS 1.3 HKDF", KDF, "TLS13-KDF", "SHA256"},
    {"DTLS, TLS: records", "AES-128-GCM", CIPHER, "AES-128-GCM", NULL},
    {"DTLS, TLS: records", "AES-256-GCM", CIPHER, "AES-256-GCM", NULL},
    {"tokens: Janus", "HMAC-SHA1", MAC, "HMAC", "SHA1"},
    {"requests: S3, key services", "HMAC-SHA256", MAC, "HMAC", "SHA256"},
    {"requests: webhooks", "HMAC-SHA256", OUTSIDE, "GLib", NULL},
    {"manifest: signature", "Ed25519", SIGNATURE, "ED25519", NULL},
    {"manifest, storage: hashes", "SHA-256", DIGEST, "SHA256", NULL},
    {"audit log, journal: hashes", "SHA-256", OUTSIDE, "GLib", NULL},
    {"stored files: CMS", "AES-256-GCM", CIPHER, "AES-256-GCM", NULL},
    {"stored files: CMS recipients", "RSA-OAEP", ASYMMETRIC, "RSA", "SHA256"},
    {"stored files: CMS recipients", "ECDH", EXCHANGE, "ECDH", NULL},
    {"stored files: CMS recipients", "X9.63 KDF", KDF, "X963KDF", "SHA256"},
    {"stored files: CENC", "AES-128-CTR", OUTSIDE, "FFmpeg", NULL},
    {"random numbers", "CTR-DRBG", RANDOM, "CTR-DRBG", NULL},
};

/* A provider stays loaded as long as the process needs it: what a fetched method names outlives the method. */
#define PROVIDER_OF(type)                                                                                              \
    do {                                                                                                               \
        type *method = type##_fetch(NULL, name, properties);                                                           \
        provider = method ? type##_get0_provider(method) : NULL;                                                       \
        type##_free(method);                                                                                           \
    } while (0)

/* Who would do it now; NULL: nobody. */
static const OSSL_PROVIDER *find_provider(Kind kind, const char *name, const char *properties)
{
    const OSSL_PROVIDER *provider = NULL;
    ERR_set_mark();
    switch (kind) {
    case CIPHER:
        PROVIDER_OF(EVP_CIPHER);
        break;
    case MAC:
        PROVIDER_OF(EVP_MAC);
        break;
    case DIGEST:
        PROVIDER_OF(EVP_MD);
        break;
    case KDF:
        PROVIDER_OF(EVP_KDF);
        break;
    case EXCHANGE:
        PROVIDER_OF(EVP_KEYEXCH);
        break;
    case SIGNATURE:
        PROVIDER_OF(EVP_SIGNATURE);
        break;
    case ASYMMETRIC:
        PROVIDER_OF(EVP_ASYM_CIPHER);
        break;
    case RANDOM:
        PROVIDER_OF(EVP_RAND);
        break;
    case OUTSIDE:
        break;
    }
    ERR_pop_to_mark();
    return provider;
}

/* Its own implementation is one of a validated module: only those carry the property. */
static gboolean is_fips(const OSSL_PROVIDER *provider, Kind kind, const char *name)
{
    return provider && find_provider(kind, name, "fips=yes") == provider;
}

gboolean steno_crypto_is_fips(void)
{
    return EVP_default_properties_is_fips_enabled(NULL) && find_provider(DIGEST, "SHA256", "fips=yes") != NULL;
}

json_t *steno_crypto_module(const char *use, const char *algorithm, const char *module, const char *version,
                            gboolean fips)
{
    return json_pack("{s:s, s:s, s:s?, s:s?, s:b}", "use", use, "algorithm", algorithm, "module", module, "version",
                     version, "fips", fips);
}

static json_t *row_of(guint i)
{
    if (uses[i].kind == OUTSIDE)
        return steno_crypto_module(uses[i].use, uses[i].algorithm, uses[i].name, NULL, FALSE);
    const OSSL_PROVIDER *provider = find_provider(uses[i].kind, uses[i].name, NULL);
    const OSSL_PROVIDER *digest = uses[i].digest ? find_provider(DIGEST, uses[i].digest, NULL) : provider;
    if (!provider || !digest)
        return steno_crypto_module(uses[i].use, uses[i].algorithm, NULL, NULL, FALSE);
    gboolean fips =
        is_fips(provider, uses[i].kind, uses[i].name) && (!uses[i].digest || is_fips(digest, DIGEST, uses[i].digest));
    char *name = NULL, *version = NULL;
    OSSL_PARAM parameters[] = {OSSL_PARAM_construct_utf8_ptr(OSSL_PROV_PARAM_NAME, &name, 0),
                               OSSL_PARAM_construct_utf8_ptr(OSSL_PROV_PARAM_VERSION, &version, 0),
                               OSSL_PARAM_construct_end()};
    ERR_set_mark();
    (void)OSSL_PROVIDER_get_params(provider, parameters);
    ERR_pop_to_mark();
    return steno_crypto_module(uses[i].use, uses[i].algorithm, name ? name : OSSL_PROVIDER_get0_name(provider), version,
                               fips);
}

json_t *steno_crypto_modules(void)
{
    json_t *rows = json_array();
    for (guint i = 0; i < G_N_ELEMENTS(uses); i++)
        json_array_append_new(rows, row_of(i));
    return rows;
}
