/*
 * Webhooks: delivers the journal's events to the endpoints of the configuration, at least once, in order a recording.
 *
 * One request a (recording, endpoint) is under way; its place in the journal moves on after a 2xx alone. On the main
 * thread; nothing runs while nothing waits.
 */
#ifndef STENO_DAEMON_WEBHOOKS_H
#define STENO_DAEMON_WEBHOOKS_H

#include "steno/base/log.h"
#include "steno/config.h"
#include "steno/journal.h"

/* Requests under way: so that a receiver is not flooded after an outage, and one that hangs does not hold up others. */
#define WEBHOOKS_ENDPOINT_MAX 8
#define WEBHOOKS_MAX 64
/* After so many failures in a row one request at a time is enough to see whether the receiver is back. */
#define WEBHOOKS_FAILURES_MAX 10
/* The longest delay of a retry, also of one that the receiver asked for (Retry-After). */
#define WEBHOOKS_RETRY_MAX_S 3600
/* No more of what the journal has waiting is looked at, told or counted. */
#define WEBHOOKS_WAITING_MAX STENO_JOURNAL_PAGE_MAX

typedef struct Webhooks Webhooks;

/* Goes on with every delivery that waits in the journal. CONFIG when a secret or URL can't be used (says whose). */
Webhooks *webhooks_new(StenoConfig *config, StenoJournal *journal, const StenoLog *log, GError **error);
/* There is a new event, or an endpoint was enabled. Cheap: may be called after every event. */
void webhooks_wake(Webhooks *webhooks);
/*
 * [{"name", "url" (without user, password and query), "events", "state": "ok" | "failing" | "disabled", "waiting"
 * (recordings with something to deliver, at most WEBHOOKS_WAITING_MAX), "last_error", "last_delivered_at",
 * "last_failed_at" (null: not since stenod started), "disabled_at", "disabled_why"}], for these names
 * (NULL-terminated; NULL: all). The caller owns it. JOURNAL.
 */
json_t *webhooks_describe(Webhooks *webhooks, const char *const *names, GError **error);
/* For the metrics. */
typedef struct {
    guint64 delivered, failed; /* requests */
    guint64 given_up;          /* events */
    guint waiting;             /* recordings and endpoints with something to deliver, at most WEBHOOKS_WAITING_MAX */
} WebhookCounts;
void webhooks_counts(const Webhooks *webhooks, WebhookCounts *counts);
/* What is under way is delivered again by the next one. */
void webhooks_free(Webhooks *webhooks);

#endif
