/* Putting a file: whole when it is small, in parts when it is large; and the proof that it is there. */
#ifndef STENO_STORAGE_S3_UPLOAD_H
#define STENO_STORAGE_S3_UPLOAD_H

#include "call.h"
#include "cut.h"
#include "memo.h"

/* The sink's put(). */
gboolean s3_put(gpointer state, const StenoPut *put, GError **error);

/* ---- between put.c and the ways to send -------------------------------------------------------------------------- */

/* A put on its way. */
typedef struct {
    S3 *s3;
    S3Call call;
    const StenoPut *put;
    S3ChecksumKind kind;
    gboolean compares_etags; /* with MD5s, where the server's ETags are such */
    int fd;
    gint64 stored_bytes;
    char *memo_path;     /* or NULL */
    gboolean mismatched; /* the server did not know parts that it had told */
    GError *unseen;      /* why nobody may look whether there is something already; or NULL */
    /* What the object must be told with when it is there; NULL: nobody knows. */
    char *etag, *checksum;
} S3Upload;

typedef enum {
    S3_UPLOADED,
    S3_AFRESH, /* begin again: what was known of the server is not true (any more) */
    S3_UPLOAD_FAILED
} S3Uploaded;

S3Uploaded s3_upload_whole(S3Upload *upload, GError **error);
S3Uploaded s3_upload_parts(S3Upload *upload, GError **error);
/* Forgets an upload that is remembered, and aborts it: the object came to be otherwise. */
void s3_upload_forget(S3Upload *upload);

/* What is asked for of the object: on PutObject, and on CreateMultipartUpload. */
void s3_upload_add_headers(const S3Upload *upload, S3Request *request);
/* If-None-Match, where it is wanted. */
void s3_upload_add_guard(const S3Upload *upload, S3Request *request);
/* All of that in short: an upload that was begun with something else is no good. Caller frees. */
char *s3_upload_settings(const S3Upload *upload);
/* What to do when a request to send is over. */
S3Uploaded s3_upload_over(S3Upload *upload, const S3Verdict *verdict, const S3Request *request, GError **failed,
                          GError **error);
void s3_upload_tell(S3Upload *upload, const GError *trouble);
/* Is it the ETag of this MD5? ETags stand in quotes; not every server has them. */
gboolean s3_upload_is_etag(const char *theirs, const char *md5_hex);
/* SOURCE_DAMAGED: hex is not what the file must be. */
gboolean s3_upload_check_source(const S3Upload *upload, const char *hex, GError **error);

#endif
