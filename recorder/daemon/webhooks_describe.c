/* How the webhooks do: for GET /v1/webhooks and the metrics. */
#include "webhooks_private.h"

#include "target_guard.h"

#include "steno/base/clock.h"

/* What the journal has waiting for one endpoint. */
typedef struct {
    guint waiting, failing;
} Waiting;

static Waiting waiting_of(const GPtrArray *rows, const char *name)
{
    Waiting found = {0};
    for (guint i = 0; i < rows->len; i++) {
        const StenoJournalDelivery *row = g_ptr_array_index(rows, i);
        if (!g_str_equal(row->endpoint, name))
            continue;
        found.waiting++;
        found.failing += row->attempts > 0;
    }
    return found;
}

static json_t *disabled_of(const json_t *disabled, const char *name)
{
    size_t i;
    json_t *one;
    json_array_foreach (disabled, i, one)
        if (g_strcmp0(json_string_value(json_object_get(one, "name")), name) == 0)
            return one;
    return NULL;
}

static json_t *time_or_null(gint64 wall_us)
{
    if (wall_us == 0)
        return json_null();
    g_autofree char *text = steno_clock_format(wall_us);
    return json_string(text);
}

static json_t *describe(const Endpoint *endpoint, const Waiting *waiting, const json_t *disabled)
{
    const StenoConfigWebhook *settings = endpoint->settings;
    g_autofree char *url = target_guard_mask_url(settings->url);
    json_t *events = json_array();
    for (guint i = 0; settings->events[i]; i++)
        json_array_append_new(events, json_string(settings->events[i]));
    /* What waits for another try was failing when an earlier stenod was here. */
    const char *state = disabled ? "disabled" : endpoint->failures > 0 || waiting->failing > 0 ? "failing" : "ok";
    return json_pack("{s:s, s:s, s:o, s:s, s:i, s:s?, s:o, s:o, s:O?, s:O?}", "name", settings->name, "url", url,
                     "events", events, "state", state, "waiting", (int)waiting->waiting, "last_error",
                     endpoint->last_error, "last_delivered_at", time_or_null(endpoint->delivered_us), "last_failed_at",
                     time_or_null(endpoint->failed_us), "disabled_at", json_object_get(disabled, "disabled_at"),
                     "disabled_why", json_object_get(disabled, "why"));
}

json_t *webhooks_describe(Webhooks *webhooks, const char *const *names, GError **error)
{
    g_autoptr(GPtrArray) rows = steno_journal_deliveries_waiting(webhooks->journal, WEBHOOKS_WAITING_MAX, error);
    json_t *disabled = rows ? steno_journal_endpoints_disabled(webhooks->journal, error) : NULL;
    if (!disabled)
        return NULL;
    json_t *list = json_array();
    for (guint i = 0; i < webhooks->config->webhooks->len; i++) {
        const StenoConfigWebhook *settings = g_ptr_array_index(webhooks->config->webhooks, i);
        if (names && !g_strv_contains(names, settings->name))
            continue;
        Waiting waiting = waiting_of(rows, settings->name);
        json_array_append_new(list, describe(g_hash_table_lookup(webhooks->endpoints, settings->name), &waiting,
                                             disabled_of(disabled, settings->name)));
    }
    json_decref(disabled);
    return list;
}

void webhooks_counts(const Webhooks *webhooks, WebhookCounts *counts)
{
    g_autoptr(GPtrArray) rows = steno_journal_deliveries_waiting(webhooks->journal, WEBHOOKS_WAITING_MAX, NULL);
    *counts = webhooks->counts;
    counts->waiting = rows ? rows->len : 0;
}
