/*
 * Signature Version 4 of AWS, as S3 wants it: the path is encoded once, the query sorted, every header that is given
 * signed. Pure functions.
 */
#ifndef STENO_STORAGE_S3_SIGN_H
#define STENO_STORAGE_S3_SIGN_H

#include "credentials.h"

#include <glib.h>

#define S3_SHA256_OF_NOTHING "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define S3_UNSIGNED_PAYLOAD "UNSIGNED-PAYLOAD"

typedef struct {
    const char *name, *value; /* value NULL: "" */
} S3Pair;

typedef struct {
    const char *method;
    const char *path;      /* encoded as it goes out (s3_encode_path()) */
    const S3Pair *query;   /* in clear, any order; ends with name NULL; may be NULL */
    const S3Pair *headers; /* all that are to be signed, "host" and "x-amz-date" among them; ends with name NULL */
    const char *payload_sha256_hex; /* of the body, or S3_UNSIGNED_PAYLOAD */
    const char *region, *service;   /* "us-east-1", "s3" */
    gint64 wall_us;                 /* the time of x-amz-date */
} S3ToSign;

/* Every byte but A-Z a-z 0-9 - . _ ~ (and '/' in a path) as upper-case %XX (RFC 3986). Caller frees. */
char *s3_encode(const char *text);
char *s3_encode_path(const char *path);
/* "name=value&…", encoded and sorted: what goes out, and what is signed. "" for nothing. Caller frees. */
char *s3_encode_query(const S3Pair *query);
/* "20261122T080000Z". Caller frees. */
char *s3_date(gint64 wall_us);

/* The value of the header Authorization. Caller frees. */
char *s3_sign(const S3ToSign *request, const S3Keys *keys);
/* The whole query of a presigned address, with its signature: X-Amz-… of `expires_s`, beside request->query. headers:
 * "host" alone. It is a secret. Caller frees. */
char *s3_presign_query(const S3ToSign *request, const S3Keys *keys, guint expires_s);
/* For tests: the canonical request and the string to sign. Caller frees. */
char *s3_canonical_request(const S3ToSign *request);
char *s3_string_to_sign(const S3ToSign *request);

#endif
