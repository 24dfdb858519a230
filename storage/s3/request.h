/* One request of S3: what it asks for, signed and sent once, with its answer. */
#ifndef STENO_STORAGE_S3_REQUEST_H
#define STENO_STORAGE_S3_REQUEST_H

#include "s3.h"

/* Small answers: errors, upload ids. */
#define S3_ANSWER_MAX_BYTES (64 * 1024)

typedef struct {
    const char *doing; /* for messages: "store", "look at" */
    const char *right; /* what the key must be allowed to do: "s3:PutObject" */
    const char *method;
    char *key;                /* NULL: the bucket itself */
    S3Pairs *query, *headers; /* headers beside those of every request */
    char *body;               /* in memory; or NULL */
    int fd;                   /* or of a file, when body is NULL and bytes is not -1; lent */
    gint64 offset, bytes;     /* bytes -1: no body */
    char sha256_hex[65];      /* of the body */
    gboolean slow;            /* the server may think for long */
    gsize answer_max_bytes;
    gboolean (*take)(gpointer user, const S3Transfer *transfer, const guint8 *data, gsize bytes); /* as in S3Send */
    gpointer user;
} S3Request;

/* Without a body, query and headers. doing, right and method are static; key is copied. */
S3Request *s3_request_new(const char *doing, const char *right, const char *method, const char *key);
void s3_request_free(S3Request *request);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(S3Request, s3_request_free)

/* Takes the text. */
void s3_request_set_body(S3Request *request, char *body);
/* fd is lent. */
void s3_request_set_file(S3Request *request, int fd, gint64 offset, gint64 bytes, const char *sha256_hex);
/* SSE-C: on every request that reads or writes contents. */
void s3_request_add_customer_key(const S3 *s3, S3Request *request);

/* Signs with keys at the time and for the region that are known now, and starts. deadline_mono_us: 0 for none. The
 * request lives longer than the transfer. */
S3Transfer *s3_request_start(S3 *s3, S3Session *session, const S3Request *request, const S3Keys *keys,
                             gint64 deadline_mono_us, gpointer owner);
/* As S3CredentialsHttp wants it; user is the S3. */
guint s3_request_plain(gpointer user, const char *method, const char *url, const char *const *headers, const char *body,
                       GBytes **answer, GCancellable *cancellable, GError **error);

#endif
