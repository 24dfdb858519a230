#include "certificate.h"

#include "steno/base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

G_DEFINE_AUTOPTR_CLEANUP_FUNC(EVP_PKEY, EVP_PKEY_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(X509, X509_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(BIO, BIO_free_all)

static gboolean set_openssl_error(GError **error, const char *what)
{
    unsigned long code = ERR_get_error();
    char words[128] = "no reason given";
    if (code)
        ERR_error_string_n(code, words, sizeof(words));
    ERR_clear_error();
    return steno_error_set(error, STENO_ERROR_INTERNAL, "cannot %s: OpenSSL says %s", what, words);
}

/* ---- what is there ----------------------------------------------------------------------------------------------- */

static gboolean is_good(const char *certificate_path, const char *key_path)
{
    g_autoptr(BIO) certificate_file = BIO_new_file(certificate_path, "r");
    g_autoptr(BIO) key_file = BIO_new_file(key_path, "r");
    g_autoptr(X509) certificate = certificate_file ? PEM_read_bio_X509(certificate_file, NULL, NULL, NULL) : NULL;
    g_autoptr(EVP_PKEY) key = key_file ? PEM_read_bio_PrivateKey(key_file, NULL, NULL, NULL) : NULL;
    time_t soon = time(NULL) + (time_t)CERTIFICATE_RENEW_DAYS * 24 * 3600;
    gboolean good = certificate && key && X509_check_private_key(certificate, key) == 1 &&
                    X509_cmp_time(X509_get0_notAfter(certificate), &soon) > 0;
    ERR_clear_error();
    return good;
}

/* ---- a new one --------------------------------------------------------------------------------------------------- */

static gboolean add_extension(X509 *certificate, int nid, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, certificate, certificate, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    gboolean added = extension && X509_add_ext(certificate, extension, -1) == 1;
    X509_EXTENSION_free(extension);
    return added;
}

static gboolean is_host_name(const char *name)
{
    for (const char *c = name; *c; c++) {
        if (!g_ascii_isalnum(*c) && *c != '-' && *c != '.')
            return FALSE;
    }
    return name[0] != '\0';
}

static gboolean add_names(X509 *certificate)
{
    char host[256] = "";
    if (gethostname(host, sizeof(host) - 1) != 0 || !is_host_name(host))
        host[0] = '\0';
    g_autofree char *names = g_strdup_printf("DNS:localhost,IP:127.0.0.1,IP:::1%s%s", host[0] ? ",DNS:" : "", host);
    X509_NAME *subject = X509_get_subject_name(certificate);
    /* A common name has at most 64 characters (RFC 5280); clients look at the alternative names alone. */
    g_autofree char *common = g_strndup(host[0] ? host : "localhost", 64);
    return X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const guchar *)common, -1, -1, 0) == 1 &&
           X509_set_issuer_name(certificate, subject) == 1 && add_extension(certificate, NID_subject_alt_name, names) &&
           add_extension(certificate, NID_basic_constraints, "critical,CA:FALSE") &&
           add_extension(certificate, NID_key_usage, "critical,digitalSignature") &&
           add_extension(certificate, NID_ext_key_usage, "serverAuth") &&
           add_extension(certificate, NID_subject_key_identifier, "hash");
}

static X509 *make_certificate(EVP_PKEY *key)
{
    g_autoptr(X509) certificate = X509_new();
    guint8 serial[16];
    if (!certificate || RAND_bytes(serial, sizeof(serial)) != 1)
        return NULL;
    serial[0] &= 0x7f;
    BIGNUM *number = BN_bin2bn(serial, sizeof(serial), NULL);
    gboolean good = number && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate)) &&
                    X509_set_version(certificate, X509_VERSION_3) == 1 &&
                    /* An hour ago: clients' clocks differ. */
                    X509_gmtime_adj(X509_getm_notBefore(certificate), -3600) &&
                    X509_gmtime_adj(X509_getm_notAfter(certificate), (long)CERTIFICATE_DAYS * 24 * 3600 - 3600) &&
                    X509_set_pubkey(certificate, key) == 1 && add_names(certificate) &&
                    X509_sign(certificate, key, EVP_sha256()) > 0;
    BN_free(number);
    return good ? g_steal_pointer(&certificate) : NULL;
}

/* Writes beside the file, syncs, renames: a crash leaves the old one or the new one. */
static gboolean write_pem(const char *path, mode_t mode, EVP_PKEY *key, X509 *certificate, GError **error)
{
    g_autofree char *beside = g_strconcat(path, ".new", NULL);
    unlink(beside);
    int fd = open(beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
    if (fd < 0)
        return steno_error_set_errno(error, errno, "cannot make %s", beside);
    g_autoptr(BIO) file = BIO_new_fd(fd, BIO_NOCLOSE);
    gboolean written = file && (key ? PEM_write_bio_PKCS8PrivateKey(file, key, NULL, NULL, 0, NULL, NULL) == 1
                                    : PEM_write_bio_X509(file, certificate) == 1);
    gboolean kept = written && fsync(fd) == 0;
    int saved = errno;
    if (close(fd) != 0 || !kept || rename(beside, path) != 0) {
        saved = kept ? errno : saved;
        unlink(beside);
        return steno_error_set_errno(error, saved ? saved : EIO, "cannot write %s", path);
    }
    return TRUE;
}

static gboolean make(const char *certificate_path, const char *key_path, GError **error)
{
    g_autoptr(EVP_PKEY) key = EVP_EC_gen("P-256");
    g_autoptr(X509) certificate = key ? make_certificate(key) : NULL;
    if (!certificate)
        return set_openssl_error(error, "make a TLS certificate");
    /* The key first: with a new key beside an old certificate the next start sees that they are no pair. */
    return write_pem(key_path, 0600, key, NULL, error) && write_pem(certificate_path, 0644, NULL, certificate, error);
}

gboolean certificate_find(const char *folder, char **certificate, char **key, gboolean *made, GError **error)
{
    g_autofree char *certificate_path = g_build_filename(folder, "cert.pem", NULL);
    g_autofree char *key_path = g_build_filename(folder, "key.pem", NULL);
    *made = !is_good(certificate_path, key_path);
    if (*made) {
        if (g_mkdir_with_parents(folder, 0755) != 0)
            return steno_error_set_errno(error, errno, "cannot make the folder %s", folder);
        if (!make(certificate_path, key_path, error))
            return FALSE;
    }
    *certificate = g_steal_pointer(&certificate_path);
    *key = g_steal_pointer(&key_path);
    return TRUE;
}
