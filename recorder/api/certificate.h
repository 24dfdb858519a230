/* The certificate of the first start: ECDSA P-256, signed by itself. */
#ifndef STENO_API_CERTIFICATE_H
#define STENO_API_CERTIFICATE_H

#include <glib.h>

/*
 * The longest that every client accepts of a certificate somebody put among the trusted ones by hand (Apple's limit).
 * It is made anew by the first start within the last 30 days.
 */
#define CERTIFICATE_DAYS 825
#define CERTIFICATE_RENEW_DAYS 30

/*
 * Finds FOLDER/cert.pem and FOLDER/key.pem (0600); makes them when they are missing, unreadable, no pair, or soon
 * over. *made: they are new. Paths: caller frees. STORAGE_*, INTERNAL.
 */
gboolean certificate_find(const char *folder, char **certificate, char **key, gboolean *made, GError **error);

#endif
