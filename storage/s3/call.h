/*
 * One call of the sink: its requests, one after the other or many at a time, tried again as the answers want it, for as
 * long as patience lasts: STENO_STORAGE_PATIENCE_S after the last success.
 */
#ifndef STENO_STORAGE_S3_CALL_H
#define STENO_STORAGE_S3_CALL_H

#include "answer.h"

typedef struct {
    S3 *s3;
    S3Session *session;
    GCancellable *cancellable;
    gint64 succeeded_mono_us;                              /* the last success, or the beginning */
    guint attempts_again;                                  /* of all its requests so far */
    gint64 deadline_mono_us;                               /* all must be over by then; 0: none */
    void (*trouble)(gpointer user, const GError *trouble); /* something failed that is tried again; or NULL */
    gpointer user;
} S3Call;

void s3_call_begin(S3Call *call, S3 *s3, GCancellable *cancellable);
/* What still runs is dropped. */
void s3_call_end(S3Call *call);

/* What has been tried with one request. Starts as zeros. */
typedef struct {
    guint failures, renewals, readings;
    gboolean at_once, clock_set, region_learned;
    S3Keys *keys, *refused; /* the ones of the last attempt; and the ones that are not to be used again */
} S3Tries;

void s3_tries_clear(S3Tries *tries);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(S3Tries, s3_tries_clear)

/* Starts an attempt; NULL: there are no credentials. */
S3Transfer *s3_call_start(S3Call *call, const S3Request *request, S3Tries *tries, gpointer owner, GError **error);

typedef enum {
    S3_ACCEPTED,
    S3_AGAIN, /* after *wait_us */
    S3_OVER   /* error is set, and the verdict says more */
} S3Next;
/* What becomes of a request whose transfer has ended. */
S3Next s3_call_next(S3Call *call, const S3Request *request, const S3Transfer *transfer, S3Tries *tries,
                    const S3Verdict *verdict, gint64 *wait_us, GError **error);

/*
 * One request until it is accepted or over; NULL when it is over, and *verdict says why (INTERRUPTED, no credentials:
 * S3_GIVE_UP). A HEAD that fails is told apart by a GET, whose errors have a body, but for a 404 when
 * `missing_is_fine`. verdict may be NULL.
 */
S3Transfer *s3_call_run(S3Call *call, const S3Request *request, gboolean missing_is_fine, S3Verdict *verdict,
                        GError **error);

#endif
