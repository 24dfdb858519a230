/*
 * webhooks_http: POST requests to one endpoint, on the default main context (the room http).
 *
 * No redirects, no proxies, no cookies; TLS 1.2 or later, verified; each connection's address held against the target
 * guard. An endpoint has connections of its own: one that another endpoint was allowed to open is never shared. Names
 * are looked up by GLib, since libcurl's threaded lookup blocks the caller when a request is taken back meanwhile.
 */
#ifndef STENO_DAEMON_WEBHOOKS_HTTP_H
#define STENO_DAEMON_WEBHOOKS_HTTP_H

#include "steno/config.h"

/* Of an answer, headers and body: it is thrown away, so that this is only what we read before we hang up. */
#define WEBHOOK_ANSWER_MAX_BYTES (64 * 1024)
#define WEBHOOK_CONNECTIONS_MAX 8

typedef struct WebhookHttp WebhookHttp;

/* Lent. */
typedef struct {
    gboolean delivered;   /* a whole answer, 2xx */
    long status;          /* 0: none came */
    gint64 retry_after_s; /* as asked for by the receiver; 0: not */
    const char *words;    /* why it is not delivered */
} WebhookAnswer;

/* Called once, unless the request was dropped; from the main loop. May make the next request. */
typedef void (*WebhookAnswered)(gpointer user, const WebhookAnswer *answer);

/* settings must outlive it. CONFIG: its URL, or its ca_file, is not usable. */
WebhookHttp *webhook_http_new(const StenoConfigWebhook *settings, GError **error);
/* Drops every request. */
void webhook_http_free(WebhookHttp *http);

/* headers: "Name: value" besides Content-Type and User-Agent, NULL-terminated, copied. Takes body. */
void webhook_http_post(WebhookHttp *http, const char *const *headers, char *body, WebhookAnswered answered,
                       gpointer user);

#endif
