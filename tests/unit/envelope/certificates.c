#include "certificates.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>

static EVP_PKEY *key_make(const TestCertificate *certificate)
{
    if (g_str_equal(certificate->type, "RSA"))
        return EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)certificate->bits);
    if (g_str_equal(certificate->type, "EC"))
        return EVP_PKEY_Q_keygen(NULL, NULL, "EC", certificate->curve);
    return EVP_PKEY_Q_keygen(NULL, NULL, certificate->type);
}

static FILE *file_open(const char *folder, const char *name, const char *suffix)
{
    g_autofree char *path = g_strdup_printf("%s/%s%s", folder, name, suffix);
    FILE *file = fopen(path, "w");
    g_assert_nonnull(file);
    return file;
}

void certificate_make(const char *folder, const TestCertificate *certificate)
{
    EVP_PKEY *key = key_make(certificate);
    X509 *x509 = X509_new();
    X509_NAME *name = X509_get_subject_name(x509);
    g_assert_nonnull(key);
    X509_set_version(x509, 2);
    ASN1_INTEGER_set_uint64(X509_get_serialNumber(x509), certificate->serial);
    X509_gmtime_adj(X509_getm_notBefore(x509), (long)certificate->begin_s);
    X509_gmtime_adj(X509_getm_notAfter(x509), (long)certificate->end_s);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const guint8 *)certificate->name, -1, -1, 0);
    X509_set_issuer_name(x509, name);
    X509_set_pubkey(x509, key);
    if (certificate->usage) {
        X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, NID_key_usage, certificate->usage);
        X509_add_ext(x509, extension, -1);
        X509_EXTENSION_free(extension);
    }
    const EVP_MD *digest = g_str_equal(certificate->type, "ED25519") ? NULL : EVP_sha256();
    g_assert_cmpint(X509_sign(x509, key, digest), >, 0);
    FILE *file = file_open(folder, certificate->name, ".pem");
    g_assert_cmpint(PEM_write_X509(file, x509), ==, 1);
    fclose(file);
    file = file_open(folder, certificate->name, ".key");
    g_assert_cmpint(PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL), ==, 1);
    fclose(file);
    X509_free(x509);
    EVP_PKEY_free(key);
}
