/*
 * http: libcurl's multi interface in a GLib main context. Curl tells which sockets and which time to watch, GLib
 * watches them: no thread, no polling, nothing blocks but what libcurl blocks in itself (see below).
 *
 * Thread: everything is called, and calls back, on the one thread that runs the context.
 *
 * Ownership: an easy handle is its maker's. The maker sets its options, adds it, and cleans it up once it has ended or
 * was removed; what a request says, whom it may reach and what its answer means is the maker's affair.
 *
 * Connections belong to a multi and are used again by all of its requests, without asking the maker's
 * CURLOPT_OPENSOCKETFUNCTION again: two owners that may reach different addresses each have a multi of their own.
 *
 * A name that is looked up by libcurl (threaded resolver) blocks whoever takes the request back meanwhile. Who takes
 * requests back often, looks up by GResolver and sets CURLOPT_RESOLVE.
 */
#ifndef STENO_HTTP_H
#define STENO_HTTP_H

#include <curl/curl.h>
#include <glib.h>

typedef struct StenoHttpMulti StenoHttpMulti;

/*
 * A request has ended, with code as of curl_easy_perform(); user is that of its adding. Its handle is not in the multi
 * any more: it may be asked, cleaned up, or added again. May add, remove others, and free the multi. Never called from
 * inside of steno_http_multi_add() or _remove().
 */
typedef void (*StenoHttpEnded)(gpointer user, CURLcode code);

/* Ceilings, in connections; 0: libcurl's own. */
typedef struct {
    guint per_host; /* open at once to one host; further requests wait (within their CURLOPT_TIMEOUT_MS) */
    guint kept;     /* kept open for later requests when idle; libcurl's own: 4 times the requests that run */
} StenoHttpCeilings;

/* context NULL: the default one. Referenced. */
StenoHttpMulti *steno_http_multi_new(GMainContext *context, StenoHttpCeilings ceilings, StenoHttpEnded ended);

/*
 * Closes all connections; may be called from inside of `ended`. NULL is nothing. Requests that are still in it must
 * have been removed.
 */
void steno_http_multi_free(StenoHttpMulti *multi);

/* Starts a request. user goes to CURLOPT_PRIVATE, and to `ended`, which is called once unless it is removed before. */
void steno_http_multi_add(StenoHttpMulti *multi, CURL *easy, gpointer user);

/* Takes a request back: its `ended` is not called. Nothing happens when it is not in the multi. */
void steno_http_multi_remove(StenoHttpMulti *multi, CURL *easy);

/*
 * An easy handle with what holds for all of ours: no redirects, no proxies (none of the environment either: a guard
 * of addresses would see the proxy's only), no signals, https only (and http when allowed), certificates verified
 * against ca_file, or the system's when it is NULL. Both strings are copied. Also for curl_easy_perform(), once there
 * is a multi. The caller cleans it up.
 */
CURL *steno_http_easy_new(const char *url, gboolean allow_http, const char *ca_file);

#endif
