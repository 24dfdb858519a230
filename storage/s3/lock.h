/*
 * Object Lock and encryption: what the customer is promised of every object. A server that takes an object and does not
 * keep the promise (radosgw 16 forgets the lock of a multipart upload, others every encryption) is found out.
 */
#ifndef STENO_STORAGE_S3_LOCK_H
#define STENO_STORAGE_S3_LOCK_H

#include "objects.h"

/* Headers of PutObject and CreateMultipartUpload. */
void s3_lock_add_headers(S3 *s3, S3Request *request);
/* Is Object Lock wanted for every object? */
gboolean s3_lock_wanted(const S3 *s3);
/* Locks an object that HEAD does not show as locked. STORAGE_DENIED. */
gboolean s3_lock_ensure(S3Call *call, const char *key, const S3Object *object, GError **error);
/* Has the bucket Object Lock, as far as we may know? STORAGE_DENIED. */
gboolean s3_lock_check(S3Call *call, GError **error);

/* Headers of the same requests. */
void s3_encryption_add_headers(S3 *s3, S3Request *request);
/* Does the answer to one of them, or to a HEAD, say that it was done? STORAGE_DENIED. */
gboolean s3_encryption_check(S3 *s3, const S3Transfer *transfer, const char *key, GError **error);

#endif
