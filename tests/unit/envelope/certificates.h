/*
 * certificates: recipients for the tests, with what openssl's command does not make (past and future ones, weak keys).
 */
#ifndef TESTS_ENVELOPE_CERTIFICATES_H
#define TESTS_ENVELOPE_CERTIFICATES_H

#include <glib.h>

typedef struct {
    const char *name;      /* NAME.pem and NAME.key are made; the subject is CN=NAME */
    const char *type;      /* "RSA", "EC", "ED25519" */
    guint bits;            /* of RSA */
    const char *curve;     /* of EC */
    gint64 begin_s, end_s; /* from now */
    const char *usage;     /* keyUsage; NULL: none */
    guint64 serial;
} TestCertificate;

void certificate_make(const char *folder, const TestCertificate *certificate);

#endif
