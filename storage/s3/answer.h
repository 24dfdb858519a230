/* What an answer of S3 means, and what is to be done about it: one table. */
#ifndef STENO_STORAGE_S3_ANSWER_H
#define STENO_STORAGE_S3_ANSWER_H

#include "request.h"
#include "xml.h"

#include "steno/base/error.h"

typedef enum {
    S3_ACCEPT,       /* done */
    S3_RETRY,        /* it will pass: again after a while */
    S3_RETRY_NOW,    /* again at once, then after a while */
    S3_SLOW_DOWN,    /* again after a while, with fewer requests at a time */
    S3_SET_CLOCK,    /* sign anew with the server's time */
    S3_RENEW_KEYS,   /* sign anew with other credentials */
    S3_LEARN_REGION, /* sign anew for the region that it tells, where that is allowed */
    S3_READ_AGAIN,   /* what arrived was not what was signed */
    S3_LACKING,      /* 501: it does not have what a header asked for */
    S3_NO_UPLOAD,    /* the multipart upload is not there (any more) */
    S3_PARTS_WRONG,  /* its parts are not those that we name */
    S3_EXISTS,       /* If-None-Match: there is an object */
    S3_CONFLICT,     /* If-None-Match: somebody else writes it */
    S3_MISSING,      /* no such object */
    S3_RANGE,        /* no such bytes */
    S3_GIVE_UP       /* somebody must do something */
} S3Action;

typedef struct {
    S3Action action;
    StenoError error;
    const char *advice; /* NULL: none */
    S3XmlError xml;
    char *region; /* where it says that the bucket is; or NULL */
} S3Verdict;

/* Fills *verdict, whose contents before are forgotten. */
void s3_judge(const S3Transfer *transfer, S3Verdict *verdict);
void s3_verdict_clear(S3Verdict *verdict);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(S3Verdict, s3_verdict_clear)

/* "cannot store KEY in bucket B at https://HOST: 403 AccessDenied: words; advice". keys may be NULL. */
void s3_verdict_set_error(S3 *s3, const S3Request *request, const S3Transfer *transfer, const S3Keys *keys,
                          const S3Verdict *verdict, GError **error);

#endif
