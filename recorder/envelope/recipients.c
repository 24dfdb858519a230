#include "recipients.h"

#include "steno/base/error.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

/* NIST SP 800-57: RSA with 2048 bits, curves with 224. */
#define SECURITY_BITS_MIN 112
#define FILE_MAX_BYTES (64 * 1024)

const char *envelope_openssl_reason(void)
{
    const char *words = ERR_reason_error_string(ERR_peek_last_error());
    ERR_clear_error();
    return words ? words : "no reason given";
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

static X509 *read_pem(const char *path, GError **error)
{
    g_autofree char *text = NULL;
    gsize bytes = 0;
    g_autoptr(GError) why = NULL;
    if (!g_file_get_contents(path, &text, &bytes, &why)) {
        (void)steno_error_set(error, STENO_ERROR_USAGE, "cannot read the recipient's certificate: %s", why->message);
        return NULL;
    }
    g_autoptr(BIO) pem = bytes <= FILE_MAX_BYTES ? BIO_new_mem_buf(text, (int)bytes) : NULL;
    X509 *certificate = pem ? PEM_read_bio_X509(pem, NULL, NULL, NULL) : NULL;
    if (!certificate)
        (void)steno_error_set(error, STENO_ERROR_USAGE,
                              "'%s' holds no X.509 certificate in PEM: give the recipient's certificate, not a key",
                              path);
    ERR_clear_error();
    return certificate;
}

/* ---- judging ----------------------------------------------------------------------------------------------------- */

static char *time_words(const ASN1_TIME *time)
{
    struct tm tm;
    if (ASN1_TIME_to_tm(time, &tm) != 1)
        return g_strdup("an unreadable time");
    return g_strdup_printf("%04d-%02d-%02d %02d:%02d UTC", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour,
                           tm.tm_min);
}

static gboolean is_valid_now(const X509 *certificate, const char *path, GError **error)
{
    const ASN1_TIME *begin = X509_get0_notBefore(certificate), *end = X509_get0_notAfter(certificate);
    /* 0: the time cannot be read. */
    int begin_is = X509_cmp_current_time(begin), end_is = X509_cmp_current_time(end);
    if (begin_is < 0 && end_is > 0)
        return TRUE;
    g_autofree char *words = time_words(begin_is < 0 ? end : begin);
    return steno_error_set(error, STENO_ERROR_USAGE,
                           "the recipient's certificate '%s' %s %s: give one that is valid now, or set the clock right",
                           path, begin_is < 0 ? "expired at" : "is not valid before", words);
}

/* What its owner says that the key is for: all, when nothing is said. */
static gboolean may_encrypt(X509 *certificate, gboolean rsa)
{
    return (X509_get_key_usage(certificate) & (rsa ? KU_KEY_ENCIPHERMENT : KU_KEY_AGREEMENT)) != 0;
}

static gboolean is_usable(X509 *certificate, const char *path, GError **error)
{
    EVP_PKEY *key = X509_get0_pubkey(certificate);
    if (!key)
        return steno_error_set(error, STENO_ERROR_USAGE,
                               "the key of the recipient's certificate '%s' cannot be used: OpenSSL says %s", path,
                               envelope_openssl_reason());
    gboolean rsa = EVP_PKEY_is_a(key, "RSA");
    if (!rsa && !EVP_PKEY_is_a(key, "EC"))
        return steno_error_set(error, STENO_ERROR_USAGE,
                               "the recipient's certificate '%s' has a key of type %s, for which CMS cannot encrypt: "
                               "give one with RSA (2048 bits or more) or EC",
                               path, EVP_PKEY_get0_type_name(key));
    if (EVP_PKEY_get_security_bits(key) < SECURITY_BITS_MIN)
        return steno_error_set(error, STENO_ERROR_USAGE,
                               "the recipient's certificate '%s' has a weak key, %s with %d bits: give one with RSA "
                               "(2048 bits or more) or EC (P-256 or better)",
                               path, rsa ? "RSA" : "EC", EVP_PKEY_get_bits(key));
    if (!may_encrypt(certificate, rsa))
        return steno_error_set(error, STENO_ERROR_USAGE,
                               "the recipient's certificate '%s' says that its key is not for encryption: its "
                               "keyUsage lacks %s",
                               path, rsa ? "keyEncipherment" : "keyAgreement");
    return TRUE;
}

X509 *recipient_read(const char *path, GError **error)
{
    g_autoptr(X509) certificate = read_pem(path, error);
    if (!certificate || !is_valid_now(certificate, path, error) || !is_usable(certificate, path, error))
        return NULL;
    return g_steal_pointer(&certificate);
}

/* ---- telling ----------------------------------------------------------------------------------------------------- */

char *recipient_words(const X509 *certificate)
{
    g_autoptr(BIO) text = BIO_new(BIO_s_mem());
    char *words = NULL;
    /* Not escaped where it is UTF-8. */
    (void)X509_NAME_print_ex(text, X509_get_subject_name(certificate), 0, XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB);
    (void)BIO_puts(text, ", serial ");
    (void)i2a_ASN1_INTEGER(text, X509_get0_serialNumber(certificate));
    long bytes = BIO_get_mem_data(text, &words);
    return g_utf8_make_valid(words, (gssize)bytes);
}
