#include "source_cms.h"

#include "steno/base/error.h"
#include "steno/content.h"

/* First: cms.h tells of its PEM functions only behind it. */
#include <openssl/pem.h>

#include <openssl/bio.h>
#include <openssl/cms.h>
#include <openssl/conf.h>
#include <openssl/err.h>
#include <openssl/provider.h>
#include <openssl/store.h>
#include <openssl/ui.h>
#include <string.h>

#define PEM_MARK "-----BEGIN"
#define PROVIDER "pkcs11"

/*
 * OpenSSL with a context of our own: a token's provider must not be asked for what the rest of the process does with
 * OpenSSL.
 */
struct KeyToken {
    const char *uri;
    const StenoSecret *pin;
    gboolean pin_given;
    OSSL_LIB_CTX *context;
    OSSL_PROVIDER *fallback, *provider;
};

/* The reason that OpenSSL gave, which has nothing of the data in it. */
static const char *reason(void)
{
    const char *words = ERR_reason_error_string(ERR_peek_last_error());
    return words ? words : "it gives no reason";
}

static gboolean is_pkcs11(const char *uri)
{
    return g_ascii_strncasecmp(uri, "pkcs11:", strlen("pkcs11:")) == 0;
}

/* The administrator's openssl.cnf says where the token's module is. */
static gboolean open_context(KeyToken *token, GError **error)
{
    if (token->context)
        return TRUE;
    g_autoptr(GError) why = NULL;
    token->context = OSSL_LIB_CTX_new();
    char *file = CONF_get1_default_config_file();
    if (file && g_file_test(file, G_FILE_TEST_EXISTS) && !OSSL_LIB_CTX_load_config(token->context, file))
        steno_error_set(&why, STENO_ERROR_KEY_SOURCE, "OpenSSL cannot read its configuration '%s': %s", file, reason());
    OPENSSL_free(file);
    if (!why && !OSSL_PROVIDER_available(token->context, "default") && !OSSL_PROVIDER_available(token->context, "fips"))
        token->fallback = OSSL_PROVIDER_load(token->context, "default");
    if (!why && is_pkcs11(token->uri) && !OSSL_PROVIDER_available(token->context, PROVIDER)) {
        token->provider = OSSL_PROVIDER_load(token->context, PROVIDER);
        if (!token->provider)
            steno_error_set(&why, STENO_ERROR_KEY_SOURCE,
                            "OpenSSL has no provider '" PROVIDER "', with which it would use the token of key_url "
                            "(%s): install pkcs11-provider, and name the token's module in openssl.cnf",
                            reason());
    }
    if (!why)
        return TRUE;
    OSSL_PROVIDER_unload(token->fallback);
    OSSL_LIB_CTX_free(token->context);
    token->fallback = token->provider = NULL;
    token->context = NULL;
    g_propagate_error(error, g_steal_pointer(&why));
    return FALSE;
}

/* ---- the private key --------------------------------------------------------------------------------------------- */

static int give_pin(char *buffer, int room, int writing, void *user)
{
    KeyToken *token = user;
    gsize bytes = token->pin ? steno_secret_bytes(token->pin) : 0;
    if (writing || !bytes || bytes > (gsize)room)
        return -1;
    token->pin_given = TRUE;
    memcpy(buffer, steno_secret_data(token->pin), bytes);
    return (int)bytes;
}

static EVP_PKEY *load(KeyToken *token, UI_METHOD *method)
{
    EVP_PKEY *key = NULL;
    OSSL_STORE_CTX *store = OSSL_STORE_open_ex(token->uri, token->context, NULL, method, token, NULL, NULL, NULL);
    if (!store)
        return NULL;
    (void)OSSL_STORE_expect(store, OSSL_STORE_INFO_PKEY);
    while (!key && !OSSL_STORE_eof(store)) {
        OSSL_STORE_INFO *info = OSSL_STORE_load(store);
        if (info && OSSL_STORE_INFO_get_type(info) == OSSL_STORE_INFO_PKEY)
            key = OSSL_STORE_INFO_get1_PKEY(info);
        OSSL_STORE_INFO_free(info);
        if (!info && OSSL_STORE_error(store))
            break;
    }
    OSSL_STORE_close(store);
    return key;
}

static EVP_PKEY *load_key(KeyToken *token, gboolean *pin_refused, GError **error)
{
    UI_METHOD *method = UI_UTIL_wrap_read_pem_callback(give_pin, 0);
    token->pin_given = FALSE;
    ERR_clear_error();
    EVP_PKEY *key = load(token, method);
    UI_destroy_method(method);
    *pin_refused = !key && token->pin_given;
    if (!key)
        steno_error_set(error, STENO_ERROR_KEY_SOURCE, "OpenSSL finds no private key at key_url: %s%s", reason(),
                        *pin_refused ? "; the PIN (key_secret) was given, and is not given again until the key file "
                                       "changes, so that the token is not locked"
                                     : "");
    return key;
}

/* ---- the message ------------------------------------------------------------------------------------------------- */

static CMS_ContentInfo *parse(const KeyToken *token, const SourceBuffer *message)
{
    CMS_ContentInfo *cms = CMS_ContentInfo_new_ex(token->context, NULL);
    BIO *bio = BIO_new_mem_buf(message->data, (int)message->bytes);
    gboolean pem = message->bytes > strlen(PEM_MARK) && memcmp(message->data, PEM_MARK, strlen(PEM_MARK)) == 0;
    CMS_ContentInfo *parsed = pem ? PEM_read_bio_CMS(bio, &cms, NULL, NULL) : d2i_CMS_bio(bio, &cms);
    BIO_free(bio);
    if (!parsed)
        CMS_ContentInfo_free(cms);
    return parsed;
}

static gboolean is_encrypted(const CMS_ContentInfo *cms)
{
    int type = OBJ_obj2nid(CMS_get0_type(cms));
    return type == NID_pkcs7_enveloped || type == NID_id_smime_ct_authEnvelopedData;
}

static StenoSecret *decrypt(CMS_ContentInfo *cms, EVP_PKEY *key)
{
    StenoSecret *text = NULL;
    const char *bytes = NULL;
    /* Memory of OpenSSL's, which it wipes when it is freed. */
    BIO *out = BIO_new(BIO_s_mem());
    if (CMS_decrypt(cms, key, NULL, NULL, out, 0) == 1) {
        long n = BIO_get_mem_data(out, &bytes);
        if (n > 0 && n <= STENO_CONTENT_KEYS_MAX_BYTES)
            text = steno_secret_new(bytes, (gsize)n);
    }
    BIO_free(out);
    return text;
}

StenoSecret *key_token_decrypt(KeyToken *token, const SourceBuffer *message, gboolean *pin_refused, GError **error)
{
    *pin_refused = FALSE;
    if (!open_context(token, error))
        return NULL;
    ERR_clear_error();
    CMS_ContentInfo *cms = parse(token, message);
    EVP_PKEY *key = NULL;
    StenoSecret *text = NULL;
    if (!cms || !is_encrypted(cms)) {
        steno_error_set(error, STENO_ERROR_KEYS_INVALID,
                        "the key file is no encrypted CMS message in DER or PEM; make it with: openssl cms -encrypt "
                        "-binary -aes-256-gcm -outform DER -in KEYS.json -out KEYS.json.cms CERTIFICATE.pem");
    } else if ((key = load_key(token, pin_refused, error))) {
        text = decrypt(cms, key);
        if (!text)
            steno_error_set(error, STENO_ERROR_KEYS_INVALID,
                            "the key file cannot be decrypted with the private key at key_url: %s; is it encrypted "
                            "for that key's certificate?",
                            reason());
    }
    EVP_PKEY_free(key);
    CMS_ContentInfo_free(cms);
    ERR_clear_error();
    return text;
}

KeyToken *key_token_new(const char *uri, const StenoSecret *pin)
{
    KeyToken *token = g_new0(KeyToken, 1);
    token->uri = uri;
    token->pin = pin;
    return token;
}

void key_token_free(KeyToken *token)
{
    OSSL_PROVIDER_unload(token->provider);
    OSSL_PROVIDER_unload(token->fallback);
    OSSL_LIB_CTX_free(token->context);
    g_free(token);
}
