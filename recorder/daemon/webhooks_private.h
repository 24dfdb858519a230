/* What webhooks.c and webhooks_describe.c share. */
#ifndef STENO_DAEMON_WEBHOOKS_PRIVATE_H
#define STENO_DAEMON_WEBHOOKS_PRIVATE_H

#include "webhook_sign.h"
#include "webhooks.h"
#include "webhooks_http.h"

typedef struct {
    const StenoConfigWebhook *settings;
    WebhookSecrets *secrets;
    WebhookHttp *http;
    guint under_way;
    gboolean crowded; /* something that is due waits for one of them to end */
    guint failures;   /* in a row */
    gint64 delivered_us, failed_us;
    char *last_error;
} Endpoint;

struct Webhooks {
    StenoConfig *config; /* whose webhooks the endpoints are */
    StenoJournal *journal;
    const StenoLog *log;
    GHashTable *endpoints;  /* by name */
    GHashTable *strangers;  /* names that the configuration does not have, told once */
    GHashTable *deliveries; /* under way, by recording and endpoint */
    GSource *timer;
    gint64 timer_mono_us;  /* -1: it waits for nothing */
    gint64 looked_mono_us; /* at the journal */
    gint64 paused_mono_us; /* until then: the journal failed */
    gboolean crowded;      /* the same, whatever its endpoint */
    WebhookCounts counts;
};

#endif
