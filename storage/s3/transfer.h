/*
 * One HTTP exchange with guards on it: addresses, redirects (not followed), what an answer may hold, and how long
 * nothing may move. It knows nothing of S3. A session is what one thread sends its exchanges with; sessions are kept by
 * the store, so that their connections are used again.
 */
#ifndef STENO_STORAGE_S3_TRANSFER_H
#define STENO_STORAGE_S3_TRANSFER_H

#include "../sink.h"
#include "guard.h"
#include "pairs.h"

#include <curl/curl.h>

typedef struct S3Session S3Session;
typedef struct S3Transfer S3Transfer;

/* What goes out. All is lent until the transfer is freed, but url and headers: they are copied. */
typedef struct {
    const char *method, *url;
    const S3Pair *headers;
    const char *body;        /* in memory; or NULL */
    int fd;                  /* or of a file, when body is NULL and bytes is not -1 */
    gint64 offset, bytes;    /* bytes -1: no body at all */
    gboolean direct;         /* not by the proxy, without our certificate, http is lawful: credentials */
    gboolean paced;          /* out of max_bytes_per_s */
    guint quiet_s;           /* given up when nothing moves for so long */
    gint64 deadline_mono_us; /* or at this time; 0: none */
    gsize answer_max_bytes;
    /* Where the body of a 200 or 206 goes as it comes, instead of into the answer. FALSE ends it. */
    gboolean (*take)(gpointer user, const S3Transfer *transfer, const guint8 *data, gsize bytes);
    gpointer user;
} S3Send;

typedef enum {
    S3_SENT,       /* there is an answer, and all of it */
    S3_SILENT,     /* no connection, no answer, half an answer */
    S3_TIMED_OUT,  /* the same, and nothing moved */
    S3_GUARDED,    /* every address lies outside of allow_endpoint_cidr */
    S3_UNTRUSTED,  /* TLS: its certificate, its name, or ours */
    S3_TOO_LONG,   /* more than answer_max_bytes */
    S3_SOURCE,     /* the file could not be read, or is shorter than it was */
    S3_ENDED_EARLY /* take() said so */
} S3Outcome;

struct S3Transfer {
    S3Session *session;
    S3Send send;
    S3Outcome outcome;
    char *words;         /* what is wrong, when it was not sent; NULL else */
    guint status;        /* of HTTP; 0: none */
    GHashTable *headers; /* of the answer, names in lower case */
    GByteArray *body;
    gpointer owner; /* the caller's */

    CURL *easy;
    struct curl_slist *slist;
    gint64 sent_bytes;    /* handed to curl so far */
    gsize paid_bytes;     /* of max_bytes_per_s, not handed over yet */
    gint64 pause_mono_us; /* 0: not paused */
    gint64 moved_mono_us;
    gint64 moved_bytes;
    gsize header_bytes;
    char *refused; /* the address that the guard did not like last */
    gboolean opened, stalled, short_source, too_long, ended_early;
    char message[CURL_ERROR_SIZE];
};

/* guard and store live longer. */
S3Session *s3_session_new(StenoStore *store, const S3Guard *guard);
/* What still runs is dropped. */
void s3_session_free(S3Session *session);
void s3_session_drop_all(S3Session *session);

/* owner is kept in the transfer. */
S3Transfer *s3_transfer_start(S3Session *session, const S3Send *send, gpointer owner);
/*
 * One that has ended, the caller's to free; NULL when until_mono_us comes first (G_MAXINT64: never), the cancellable
 * fires, or s3_session_wake() was called.
 */
S3Transfer *s3_session_next(S3Session *session, gint64 until_mono_us, GCancellable *cancellable);
/* Until this one, the only one on its way, has ended, whatever else wakes the session (it may be late). FALSE: the
 * cancellable fired. */
gboolean s3_session_await(S3Session *session, const S3Transfer *transfer, GCancellable *cancellable);
/* From any thread. */
void s3_session_wake(S3Session *session);
guint s3_session_running(const S3Session *session);
void s3_transfer_free(S3Transfer *transfer);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(S3Transfer, s3_transfer_free)

/* The answer's header, or NULL. */
const char *s3_transfer_header(const S3Transfer *transfer, const char *name);

#endif
