/* HTTPS requests to a key service or vault, whose answers are secret. */
#ifndef CONTENT_SOURCE_HTTP_H
#define CONTENT_SOURCE_HTTP_H

#include "source_buffer.h"
#include "source_kind.h"

#include <curl/curl.h>

typedef struct KeyHttp KeyHttp;

typedef struct {
    guint status;       /* 0: there is no answer */
    SourceBuffer *body; /* lent; may be stolen from */
    guint wait_s;       /* Retry-After; 0: none */
    const char *where;  /* the address as it may be told */
    GError *error;      /* lent; status 0: KEY_SOURCE */
} KeyHttpReply;

/* Makes an answer of it, and tells it to who asked. */
typedef void (*KeyHttpDone)(const KeyHttpReply *reply, SourceAnswered answered, gpointer user);

typedef struct {
    const char *what; /* "the key service", for words */
    const char *url;
    gboolean allow_http;
    struct curl_slist *headers; /* taken, and wiped */
    const char *body;           /* POST; NULL: GET */
    gsize max_bytes;            /* of the answer */
} KeyHttpRequest;

/* Of this thread; settings outlive it: trust and client certificate are theirs. */
KeyHttp *key_http_new(const SourceSettings *settings, GMainContext *context);
/* What is under way is not answered. */
void key_http_free(KeyHttp *http);
/* Calls `done` once, later; answered and user are what it is to tell it to. */
void key_http_send(KeyHttp *http, const KeyHttpRequest *request, KeyHttpDone done, SourceAnswered answered,
                   gpointer user);

/* The answer to a question as most statuses mean it: TROUBLE, with the error set; or ABSENT for 204 and 404. */
SourceOutcome key_http_judge(const KeyHttpReply *reply, const char *what, GError **error);

/* Is it an address (https, or http of this machine when allowed) without user, password and fragment? USAGE. */
gboolean key_http_check(const StenoJobSpec *job, gboolean allow_loopback_http, GError **error);

#endif
