/*
 * recipients: the certificates of those who may read what is encrypted.
 */
#ifndef STENO_ENVELOPE_RECIPIENTS_H
#define STENO_ENVELOPE_RECIPIENTS_H

#include <glib.h>
#include <openssl/x509.h>

/* The first certificate of a PEM file, when CMS can encrypt for it. USAGE. The caller frees it. */
X509 *recipient_read(const char *path, GError **error);
/* Its subject and serial number in words. The caller frees it. */
char *recipient_words(const X509 *certificate);

/* OpenSSL's words for what failed last; its queue of errors is empty then. Static. */
const char *envelope_openssl_reason(void);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(X509, X509_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(BIO, BIO_free_all)

#endif
