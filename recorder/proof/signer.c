#include "steno/proof.h"

#include "durable.h"
#include "openssl.h"

#include "steno/base/error.h"
#include "steno/base/log.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <string.h>

#define KEY_BYTES 32
/* Public keys of many years lie in one public.pem; the first one is ours. */
#define PUBLIC_MAX_BYTES (64 * 1024)

G_DEFINE_AUTOPTR_CLEANUP_FUNC(PKCS8_PRIV_KEY_INFO, PKCS8_PRIV_KEY_INFO_free)

struct StenoSigner {
    gatomicrefcount references;
    StenoSecret *key; /* RFC 8032's 32 bytes; OpenSSL's own form of it lives for one signature */
    char *public_pem;
    char *fingerprint;
};

/* ---- the key ----------------------------------------------------------------------------------------------------- */

/* PEM's and DER's bytes of it lie in OpenSSL's clear-on-free memory. */
static PKCS8_PRIV_KEY_INFO *read_pkcs8(const StenoSecret *pem, GError **error)
{
    g_autoptr(BIO) text = BIO_new_mem_buf(steno_secret_data(pem), (int)steno_secret_bytes(pem));
    char *name = NULL, *header = NULL;
    guint8 *der = NULL;
    long bytes = 0;
    PKCS8_PRIV_KEY_INFO *info = NULL;
    if (text && PEM_read_bio_ex(text, &name, &header, &der, &bytes, PEM_FLAG_SECURE) == 1) {
        const guint8 *at = der;
        if (strcmp(name, PEM_STRING_PKCS8INF) == 0)
            info = d2i_PKCS8_PRIV_KEY_INFO(NULL, &at, bytes);
        OPENSSL_secure_clear_free(der, (gsize)bytes);
    }
    if (!info)
        g_set_error(error, STENO_ERROR, STENO_ERROR_CONFIG,
                    "cannot read the signing key: it is %s; make one with: openssl genpkey -algorithm ed25519",
                    name && strcmp(name, PEM_STRING_PKCS8) == 0 ? "encrypted" : "no PKCS#8 private key in PEM");
    OPENSSL_secure_free(name);
    OPENSSL_secure_free(header);
    ERR_clear_error();
    return info;
}

static EVP_PKEY *read_private(const StenoSecret *pem, GError **error)
{
    g_autoptr(PKCS8_PRIV_KEY_INFO) info = read_pkcs8(pem, error);
    if (!info)
        return NULL;
    const ASN1_OBJECT *type = NULL;
    const guint8 *octets = NULL;
    int bytes = 0;
    /* RFC 8410 §7: an OCTET STRING within the OCTET STRING. */
    static const guint8 head[] = {V_ASN1_OCTET_STRING, KEY_BYTES};
    char words[80] = "unknown";
    EVP_PKEY *key = NULL;
    if (PKCS8_pkey_get0(&type, &octets, &bytes, NULL, info) == 1 && OBJ_obj2nid(type) == NID_ED25519 &&
        bytes == (int)sizeof head + KEY_BYTES && memcmp(octets, head, sizeof head) == 0)
        key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, octets + sizeof head, KEY_BYTES);
    if (!key) {
        if (type)
            OBJ_obj2txt(words, sizeof words, type, 0);
        g_set_error(error, STENO_ERROR, STENO_ERROR_CONFIG,
                    "the signing key is of type %s, but must be Ed25519: openssl genpkey -algorithm ed25519", words);
        ERR_clear_error();
    }
    return key;
}

static gboolean describe(StenoSigner *signer, EVP_PKEY *key)
{
    guint8 *der = NULL;
    int der_bytes = i2d_PUBKEY(key, &der);
    g_autoptr(BIO) text = BIO_new(BIO_s_mem());
    char *pem = NULL;
    long pem_bytes = text && PEM_write_bio_PUBKEY(text, key) == 1 ? BIO_get_mem_data(text, &pem) : 0;
    if (der_bytes > 0 && pem_bytes > 0) {
        signer->fingerprint = g_compute_checksum_for_data(G_CHECKSUM_SHA256, der, (gsize)der_bytes);
        signer->public_pem = g_strndup(pem, (gsize)pem_bytes);
    }
    OPENSSL_free(der);
    return signer->public_pem != NULL;
}

static StenoSigner *signer_of(EVP_PKEY *key, GError **error)
{
    guint8 raw[KEY_BYTES];
    size_t bytes = sizeof raw;
    g_autoptr(StenoSigner) signer = g_new0(StenoSigner, 1);
    g_atomic_ref_count_init(&signer->references);
    if (EVP_PKEY_get_raw_private_key(key, raw, &bytes) == 1 && bytes == sizeof raw)
        signer->key = steno_secret_new(raw, sizeof raw);
    OPENSSL_cleanse(raw, sizeof raw);
    if (!signer->key || !describe(signer, key)) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_INTERNAL, "cannot take the signing key: OpenSSL says %s",
                    openssl_reason());
        return NULL;
    }
    return g_steal_pointer(&signer);
}

StenoSigner *steno_signer_new(StenoSecret *pem, GError **error)
{
    g_autoptr(EVP_PKEY) key = read_private(pem, error);
    return key ? signer_of(key, error) : NULL;
}

StenoSigner *steno_signer_ref(StenoSigner *signer)
{
    if (signer)
        g_atomic_ref_count_inc(&signer->references);
    return signer;
}

void steno_signer_unref(StenoSigner *signer)
{
    if (!signer || !g_atomic_ref_count_dec(&signer->references))
        return;
    steno_secret_unref(signer->key);
    g_free(signer->public_pem);
    g_free(signer->fingerprint);
    g_free(signer);
}

const char *steno_signer_public_pem(const StenoSigner *signer)
{
    return signer->public_pem;
}

const char *steno_signer_fingerprint(const StenoSigner *signer)
{
    return signer->fingerprint;
}

/* ---- its files --------------------------------------------------------------------------------------------------- */

gboolean steno_signer_publish(const StenoSigner *signer, const char *path, GError **error)
{
    g_autofree char *earlier = NULL;
    gsize bytes = 0;
    g_autoptr(GError) unread = NULL;
    if (!g_file_get_contents(path, &earlier, &bytes, &unread) &&
        !g_error_matches(unread, G_FILE_ERROR, G_FILE_ERROR_NOENT)) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_STORAGE_FAILED, "cannot read public keys: %s", unread->message);
        return FALSE;
    }
    if (earlier && strstr(earlier, signer->public_pem))
        return TRUE;
    if (bytes > PUBLIC_MAX_BYTES) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_STORAGE_FAILED,
                    "%s has more than %d bytes: those are no public keys", path, PUBLIC_MAX_BYTES);
        return FALSE;
    }
    g_autofree char *folder = g_path_get_dirname(path);
    if (g_mkdir_with_parents(folder, 0755) != 0)
        return steno_error_set_errno(error, errno, "cannot make the folder %s", folder);
    g_autofree char *text = g_strconcat(signer->public_pem, earlier, NULL);
    return durable_write(path, 0644, text, strlen(text), FALSE, NULL, error);
}

static gboolean write_private(EVP_PKEY *key, const char *path, gboolean *lost, GError **error)
{
    g_autofree char *folder = g_path_get_dirname(path);
    if (g_mkdir_with_parents(folder, 0755) != 0)
        return steno_error_set_errno(error, errno, "cannot make the folder %s", folder);
    g_autoptr(BIO) text = BIO_new(BIO_s_secmem()); /* wiped when it is freed */
    char *pem = NULL;
    long bytes = text && PEM_write_bio_PKCS8PrivateKey(text, key, NULL, NULL, 0, NULL, NULL) == 1
                     ? BIO_get_mem_data(text, &pem)
                     : 0;
    if (bytes <= 0) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_INTERNAL, "cannot write a signing key: OpenSSL says %s",
                    openssl_reason());
        return FALSE;
    }
    return durable_write(path, 0600, pem, (gsize)bytes, TRUE, lost, error);
}

static gboolean make(const char *path, gboolean *lost, GError **error)
{
    g_autoptr(EVP_PKEY) key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    if (!key) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_INTERNAL,
                    "cannot make an Ed25519 key: OpenSSL says %s (is a provider that forbids it loaded?)",
                    openssl_reason());
        return FALSE;
    }
    return write_private(key, path, lost, error);
}

static StenoSigner *load(const char *path, GError **error)
{
    g_autoptr(GError) unread = NULL;
    g_autoptr(StenoSecret) pem = steno_secret_read_file(path, &unread);
    if (!pem) {
        g_set_error_literal(error, STENO_ERROR, STENO_ERROR_CONFIG, unread->message);
        return NULL;
    }
    StenoSigner *signer = steno_signer_new(pem, error);
    if (!signer)
        g_prefix_error(error, "%s: ", path);
    return signer;
}

StenoSigner *steno_signer_load_or_make(const char *path, gboolean *made, GError **error)
{
    /* Of two that make one at the same time, the first wins, and the other takes the winner's. */
    gboolean lost = TRUE;
    if (!g_file_test(path, G_FILE_TEST_EXISTS) && !make(path, &lost, error))
        return NULL;
    if (made)
        *made = !lost;
    g_autoptr(StenoSigner) signer = load(path, error);
    if (!signer)
        return NULL;
    g_autofree char *folder = g_path_get_dirname(path);
    g_autofree char *public_path = g_build_filename(folder, "public.pem", NULL);
    g_autoptr(GError) unpublished = NULL;
    if (!steno_signer_publish(signer, public_path, &unpublished)) {
        if (!lost) {
            g_propagate_error(error, g_steal_pointer(&unpublished));
            return NULL;
        }
        /* A key of the administrator's may lie where nobody may write. */
        steno_debug(NULL, "the signing key's public half is not beside it: %s", unpublished->message);
    }
    return g_steal_pointer(&signer);
}

/* ---- signing ----------------------------------------------------------------------------------------------------- */

gboolean steno_signer_sign(const StenoSigner *signer, const char *path, GError **error)
{
    g_autofree char *data = NULL;
    gsize bytes = 0;
    g_autoptr(GError) unread = NULL;
    if (!g_file_get_contents(path, &data, &bytes, &unread)) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_STORAGE_FAILED, "cannot sign: %s", unread->message);
        return FALSE;
    }
    guint8 signature[STENO_PROOF_SIGNATURE_BYTES];
    size_t signature_bytes = sizeof signature;
    g_autoptr(EVP_PKEY) key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, steno_secret_data(signer->key),
                                                           steno_secret_bytes(signer->key));
    g_autoptr(EVP_MD_CTX) context = EVP_MD_CTX_new();
    if (!key || !context || EVP_DigestSignInit(context, NULL, NULL, NULL, key) != 1 ||
        EVP_DigestSign(context, signature, &signature_bytes, (const guint8 *)data, bytes) != 1 ||
        signature_bytes != sizeof signature) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_INTERNAL, "cannot sign %s: OpenSSL says %s", path,
                    openssl_reason());
        return FALSE;
    }
    g_autofree char *beside = g_strconcat(path, STENO_PROOF_SIGNATURE_SUFFIX, NULL);
    return durable_write(beside, 0644, signature, sizeof signature, FALSE, NULL, error);
}
