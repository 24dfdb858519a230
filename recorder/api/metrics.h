/* The API's own counters, in Prometheus' text form (0.0.4). */
#ifndef STENO_API_METRICS_H
#define STENO_API_METRICS_H

#include "routes.h"

#include <glib.h>
#include <openssl/ssl.h>

/* Upper bounds of the buckets of how long requests take, seconds; the last is infinite. */
#define METRICS_BUCKETS 9

typedef struct {
    guint64 requests[ROUTES][6]; /* by route and class of status */
    guint64 durations[METRICS_BUCKETS];
    double duration_s;
    guint64 connections, evicted, logins_refused, limited, sse_cut_off;
} Metrics;

void metrics_count(Metrics *metrics, guint route, int status, gint64 took_us);
/* tls: of the HTTPS listeners, whose certificate is told of; NULL: there are none. */
void metrics_print(const Metrics *metrics, guint open_connections, guint sse_clients, const SSL_CTX *tls,
                   GString *text);

#endif
