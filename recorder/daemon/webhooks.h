/* Webhooks: delivers the journal's events to the endpoints of the configuration. */
#ifndef STENO_DAEMON_WEBHOOKS_H
#define STENO_DAEMON_WEBHOOKS_H

#include "steno/base/log.h"
#include "steno/config.h"
#include "steno/journal.h"

typedef struct Webhooks Webhooks;

/* Goes on with every delivery that waits in the journal. CONFIG when a secret can't be read. */
Webhooks *webhooks_new(StenoConfig *config, StenoJournal *journal, const StenoLog *log, GError **error);
/* There is a new event, or an endpoint was enabled. Cheap: may be called after every event. */
void webhooks_wake(Webhooks *webhooks);
/* [{"name", "url" (without query), "events", "state": "ok" | "failing" | "disabled", "waiting", "last_error", …}], for
 * these names (NULL-terminated; NULL: all). */
json_t *webhooks_describe(Webhooks *webhooks, const char *const *names, GError **error);
/* For the metrics. */
typedef struct {
    guint64 delivered, failed, given_up;
    guint waiting;
} WebhookCounts;
void webhooks_counts(const Webhooks *webhooks, WebhookCounts *counts);
void webhooks_free(Webhooks *webhooks);

#endif
