#include "metrics.h"

#include "steno/base/clock.h"

#include <time.h>

#include <openssl/x509.h>

static const double bounds[METRICS_BUCKETS - 1] = {0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5};

void metrics_count(Metrics *metrics, guint route, int status, gint64 took_us)
{
    metrics->requests[MIN(route, ROUTES - 1)][CLAMP(status / 100, 0, 5)]++;
    double took_s = (double)took_us / 1e6;
    guint i = 0;
    while (i < METRICS_BUCKETS - 1 && took_s > bounds[i])
        i++;
    metrics->durations[i]++;
    metrics->duration_s += took_s;
}

static void print_one(GString *text, const char *name, const char *type, const char *help, guint64 value)
{
    g_string_append_printf(text, "# HELP %s %s\n# TYPE %s %s\n%s %" G_GUINT64_FORMAT "\n", name, help, name, type, name,
                           value);
}

static void print_number(GString *text, double value)
{
    char number[G_ASCII_DTOSTR_BUF_SIZE];
    g_string_append(text, g_ascii_formatd(number, sizeof(number), "%.9g", value));
}

static void print_durations(const Metrics *metrics, GString *text)
{
    g_string_append(text, "# HELP steno_http_request_duration_seconds From a request's head to its answer's.\n"
                          "# TYPE steno_http_request_duration_seconds histogram\n");
    guint64 sum = 0;
    for (guint i = 0; i < METRICS_BUCKETS; i++) {
        sum += metrics->durations[i];
        g_string_append(text, "steno_http_request_duration_seconds_bucket{le=\"");
        if (i < METRICS_BUCKETS - 1)
            print_number(text, bounds[i]);
        else
            g_string_append(text, "+Inf");
        g_string_append_printf(text, "\"} %" G_GUINT64_FORMAT "\n", sum);
    }
    g_string_append(text, "steno_http_request_duration_seconds_sum ");
    print_number(text, metrics->duration_s);
    g_string_append_printf(text, "\nsteno_http_request_duration_seconds_count %" G_GUINT64_FORMAT "\n", sum);
}

/* Unix time; -1: there is none, or it can't be read. */
static gint64 certificate_until_s(const SSL_CTX *tls)
{
    const X509 *certificate = tls ? SSL_CTX_get0_certificate(tls) : NULL;
    struct tm until = {0};
    if (!certificate || ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &until) != 1)
        return -1;
    return (gint64)timegm(&until);
}

static void print_machine(const SSL_CTX *tls, GString *text)
{
    print_one(text, "steno_clock_seconds", "gauge", "Unix time of this server: Prometheus compares it with its own.",
              (guint64)(steno_clock_wall_us() / G_USEC_PER_SEC));
    gint64 until_s = certificate_until_s(tls);
    if (until_s >= 0)
        print_one(text, "steno_certificate_expiry_seconds", "gauge", "Unix time when the API's certificate ends.",
                  (guint64)until_s);
}

void metrics_print(const Metrics *metrics, guint open_connections, guint sse_clients, const SSL_CTX *tls, GString *text)
{
    g_string_append(text, "# HELP steno_http_requests_total Requests answered.\n"
                          "# TYPE steno_http_requests_total counter\n");
    for (guint i = 0; i < ROUTES; i++) {
        for (guint j = 1; j < 6; j++) {
            if (metrics->requests[i][j] > 0)
                g_string_append_printf(
                    text, "steno_http_requests_total{command=\"%s\",code=\"%uxx\"} %" G_GUINT64_FORMAT "\n",
                    route_name(i), j, metrics->requests[i][j]);
        }
    }
    print_durations(metrics, text);
    print_one(text, "steno_http_connections", "gauge", "Connections that are open.", open_connections);
    print_one(text, "steno_http_connections_total", "counter", "Connections accepted.", metrics->connections);
    print_one(text, "steno_http_connections_evicted_total", "counter",
              "Idle connections closed to make room for new ones.", metrics->evicted);
    print_one(text, "steno_http_logins_refused_total", "counter", "Requests with wrong credentials.",
              metrics->logins_refused);
    print_one(text, "steno_http_rate_limited_total", "counter", "Requests refused by a rate limit.", metrics->limited);
    print_one(text, "steno_sse_clients", "gauge", "Clients that follow events.", sse_clients);
    print_one(text, "steno_sse_cut_off_total", "counter", "Clients that did not read their events in time.",
              metrics->sse_cut_off);
    print_machine(tls, text);
}
