/*
 * http: requests of a connector, driven by a GMainContext (the room http). No redirects, no proxies, TLS verified, each
 * connection's address held against the geofence. URLs and bodies may hold tokens: they are wiped, and never in an
 * error or log.
 */
#ifndef STENO_CHANNEL_HTTP_H
#define STENO_CHANNEL_HTTP_H

#include "steno/base/log.h"
#include "steno/transport.h"

#define STENO_HTTP_BODY_MAX_BYTES (1024 * 1024) /* of an answer: Janus' longest are offers and lists of rooms */
#define STENO_HTTP_CONNECTIONS_MAX 8            /* to the server: the long poll, and requests besides it */

typedef struct StenoHttp StenoHttp;

/* Either error is set (UNREACHABLE, TLS, GEOFENCE, PROTOCOL), or status and body are. Lent. */
typedef struct {
    const GError *error;
    long status;
    const char *body; /* NUL-terminated */
    gsize bytes;
} StenoHttpAnswer;

/* Called once, unless the request was dropped. */
typedef void (*StenoHttpDone)(gpointer user, const StenoHttpAnswer *answer);

/* ca_file NULL: the system's certificates. geofence is referenced; ca_file and log must outlive the client. */
StenoHttp *steno_http_new(GMainContext *context, const char *ca_file, StenoGeofence *geofence, const StenoLog *log);
/* Drops all requests (their `destroy` is called, `done` is not) and frees, also from inside of a `done`. */
void steno_http_free(StenoHttp *http);

/*
 * GET when body is NULL, else POST of JSON. Takes body (wiped and freed); url is copied. user is given to done and then
 * to destroy (may be NULL).
 */
void steno_http_request(StenoHttp *http, const char *url, char *body, guint timeout_s, StenoHttpDone done,
                        gpointer user, GDestroyNotify destroy);

/* Drops every request. */
void steno_http_drop_all(StenoHttp *http);

/* The same POST, blocking for at most timeout_ms, the answer thrown away: for leaving. Takes body. */
void steno_http_post_and_wait(StenoHttp *http, const char *url, char *body, guint timeout_ms);

#endif
