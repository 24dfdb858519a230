#include "webhooks.h"

#include "webhooks_private.h"

#include "steno/base/clock.h"
#include "steno/base/error.h"

/* Looking at all that waits costs some ms when much does: a flood of events is looked at together. */
#define LOOK_EVERY_US (20 * 1000)
/* Before a journal that failed is tried again. */
#define JOURNAL_PAUSE_US (5 * G_USEC_PER_SEC)
#define RETRY_MAX_US ((gint64)WEBHOOKS_RETRY_MAX_S * G_USEC_PER_SEC)
/* Of an endpoint that the configuration does not have (any more), as the default of give_up_s. */
#define STRANGER_GIVE_UP_US ((gint64)3 * 86400 * G_USEC_PER_SEC)
/* Events looked through at a time for one that the endpoint wants. */
#define EVENTS_AT_ONCE 64

/* One event on its way. */
typedef struct {
    Webhooks *webhooks;
    Endpoint *endpoint;
    char *key;
    StenoJournalDelivery *row;
    StenoJournalEvent *event;
} Delivery;

/* ---- the journal ------------------------------------------------------------------------------------------------- */

static void schedule(Webhooks *webhooks, gint64 delay_us)
{
    gint64 mono_us = g_get_monotonic_time() + MAX(delay_us, 0);
    if (webhooks->timer_mono_us >= 0 && webhooks->timer_mono_us <= mono_us)
        return;
    webhooks->timer_mono_us = mono_us;
    g_source_set_ready_time(webhooks->timer, mono_us);
}

/* Nothing is begun while the journal fails: a receiver must not get the same event again and again. */
static gboolean journal_failed(Webhooks *webhooks, const GError *error)
{
    if (g_get_monotonic_time() >= webhooks->paused_mono_us)
        steno_error(webhooks->log, "webhooks wait for the journal: %s", error->message);
    webhooks->paused_mono_us = g_get_monotonic_time() + JOURNAL_PAUSE_US;
    schedule(webhooks, JOURNAL_PAUSE_US);
    return FALSE;
}

static gboolean save(Webhooks *webhooks, const StenoJournalDelivery *row)
{
    g_autoptr(GError) error = NULL;
    if (steno_journal_delivery_save(webhooks->journal, row, &error))
        return TRUE;
    if (g_error_matches(error, STENO_ERROR, STENO_ERROR_NOT_FOUND))
        return FALSE; /* the recording was forgotten meanwhile, and its events with it */
    return journal_failed(webhooks, error);
}

static GPtrArray *events_after(Webhooks *webhooks, const StenoJournalDelivery *row)
{
    g_autoptr(GError) error = NULL;
    GPtrArray *events =
        steno_journal_events(webhooks->journal, row->cursor, NULL, row->recording_id, EVENTS_AT_ONCE, &error);
    if (!events)
        journal_failed(webhooks, error);
    return events;
}

/* The delivery's place moves on behind the event. */
static gboolean move_on(Webhooks *webhooks, StenoJournalDelivery *row, gint64 seq)
{
    row->cursor = seq;
    row->attempts = 0;
    row->next_at_us = steno_clock_wall_us(); /* behind those that have waited longer */
    return save(webhooks, row);
}

static gboolean wants(const Endpoint *endpoint, const char *type)
{
    char **events = endpoint->settings->events;
    return !events[0] || g_strv_contains((const char *const *)events, type);
}

/* The next event that the endpoint wants; its place moves on over others. NULL: there is none, or the journal failed.
 */
static StenoJournalEvent *next_event(Webhooks *webhooks, const Endpoint *endpoint, StenoJournalDelivery *row)
{
    for (;;) {
        g_autoptr(GPtrArray) events = events_after(webhooks, row);
        if (!events || events->len == 0)
            return NULL;
        gint64 passed = 0;
        for (guint i = 0; i < events->len; i++) {
            StenoJournalEvent *event = g_ptr_array_index(events, i);
            if (!wants(endpoint, event->type)) {
                passed = event->seq;
                continue;
            }
            if (passed && !move_on(webhooks, row, passed))
                return NULL;
            return g_ptr_array_steal_index(events, i);
        }
        if (!move_on(webhooks, row, passed))
            return NULL;
    }
}

/* ---- one delivery ------------------------------------------------------------------------------------------------ */

static void delivery_free(gpointer data)
{
    Delivery *delivery = data;
    g_free(delivery->key);
    g_clear_pointer(&delivery->row, steno_journal_delivery_free);
    g_clear_pointer(&delivery->event, steno_journal_event_free);
    g_free(delivery);
}

/* Does something wait for the room that the delivery takes? */
static gboolean is_crowded(const Delivery *delivery)
{
    return delivery->webhooks->crowded || delivery->endpoint->crowded;
}

/* Makes room; what was due and found none is looked for again. */
static void release(Delivery *delivery)
{
    Webhooks *webhooks = delivery->webhooks;
    gboolean crowded = is_crowded(delivery);
    delivery->endpoint->under_way--;
    g_hash_table_remove(webhooks->deliveries, delivery->key);
    if (crowded)
        webhooks_wake(webhooks);
}

static char *body_of(const StenoJournalEvent *event)
{
    g_autofree char *timestamp = steno_clock_format(event->created_us);
    json_t *body = json_pack("{s:s, s:s, s:s, s:I, s:O?}", "type", event->type, "timestamp", timestamp, "id", event->id,
                             "seq", (json_int_t)event->seq, "data", event->data);
    char *dumped = json_dumps(body, JSON_COMPACT);
    char *text = g_strdup(dumped);
    free(dumped);
    json_decref(body);
    return text;
}

static void add_header(GPtrArray *headers, const char *name, const char *value)
{
    if (value)
        g_ptr_array_add(headers, g_strdup_printf("%s: %s", name, value));
}

static void on_answer(gpointer user, const WebhookAnswer *answer);

static void send_event(Delivery *delivery)
{
    Webhooks *webhooks = delivery->webhooks;
    Endpoint *endpoint = delivery->endpoint;
    const StenoJournalEvent *event = delivery->event;
    g_autoptr(GError) error = NULL;
    if (!webhook_secrets_refresh(endpoint->secrets, &error))
        steno_error(webhooks->log, "webhook %s goes on with the secret it had: %s", endpoint->settings->name,
                    error->message);
    char *body = body_of(event);
    gint64 now_s = steno_clock_wall_us() / G_USEC_PER_SEC;
    g_autofree char *timestamp = g_strdup_printf("%" G_GINT64_FORMAT, now_s);
    g_autofree char *signature = webhook_secrets_sign(endpoint->secrets, event->id, now_s, body);
    g_autofree char *application = webhook_secrets_sign_application(endpoint->secrets, body);
    g_autoptr(GPtrArray) headers = g_ptr_array_new_with_free_func(g_free);
    add_header(headers, "webhook-id", event->id);
    add_header(headers, "webhook-timestamp", timestamp);
    add_header(headers, "webhook-signature", signature);
    add_header(headers, "X-ApplicationSignature", application);
    g_ptr_array_add(headers, NULL);
    webhook_http_post(endpoint->http, (const char *const *)headers->pdata, body, on_answer, delivery);
}

/* The delivery's next event, or its end. */
static void go_on(Delivery *delivery)
{
    Webhooks *webhooks = delivery->webhooks;
    g_clear_pointer(&delivery->event, steno_journal_event_free);
    /* Others who wait go first. */
    if (!is_crowded(delivery) && g_get_monotonic_time() >= webhooks->paused_mono_us)
        delivery->event = next_event(webhooks, delivery->endpoint, delivery->row);
    if (delivery->event)
        send_event(delivery);
    else
        release(delivery);
}

static void delivered(Delivery *delivery)
{
    Webhooks *webhooks = delivery->webhooks;
    Endpoint *endpoint = delivery->endpoint;
    if (endpoint->failures > 0)
        steno_notice(webhooks->log, "webhook %s takes events again", endpoint->settings->name);
    endpoint->failures = 0;
    endpoint->delivered_us = steno_clock_wall_us();
    webhooks->counts.delivered++;
    (void)move_on(webhooks, delivery->row, delivery->event->seq);
    go_on(delivery);
}

/* The receiver wants no more. FALSE when that could not be written: then it is a failure as any other. */
static gboolean disable(Delivery *delivery)
{
    Webhooks *webhooks = delivery->webhooks;
    const char *name = delivery->endpoint->settings->name;
    g_autoptr(GError) error = NULL;
    if (!steno_journal_endpoint_set_disabled(webhooks->journal, name, TRUE, "it answered 410 Gone", &error))
        return journal_failed(webhooks, error);
    steno_warning(webhooks->log,
                  "webhook %s answered 410 Gone: nothing is sent to it until it is enabled again (POST "
                  "/v1/webhooks/%s/enable)",
                  name, name);
    release(delivery);
    return TRUE;
}

/* Doubling, with full jitter, so that those who failed together don't come back together. */
static gint64 retry_delay_us(const Endpoint *endpoint, guint attempts, gint64 retry_after_s)
{
    gint64 longest_us = endpoint->settings->retry_first_ms * 1000;
    for (guint i = 1; i < attempts && longest_us < RETRY_MAX_US; i++)
        longest_us *= 2;
    gint64 delay_us = (gint64)(g_random_double() * (double)MIN(longest_us, RETRY_MAX_US));
    return MAX(delay_us, CLAMP(retry_after_s, 0, WEBHOOKS_RETRY_MAX_S) * G_USEC_PER_SEC);
}

static void tell_failure(Delivery *delivery, const char *words)
{
    Webhooks *webhooks = delivery->webhooks;
    Endpoint *endpoint = delivery->endpoint;
    g_free(endpoint->last_error);
    endpoint->last_error = steno_log_redact(words);
    endpoint->failed_us = steno_clock_wall_us();
    webhooks->counts.failed++;
    if (endpoint->failures++ == 0)
        steno_warning(webhooks->log, "webhook %s fails, and is tried again: %s", endpoint->settings->name, words);
    else
        steno_debug(webhooks->log, "webhook %s: %s of %s failed %u times: %s", endpoint->settings->name,
                    delivery->event->type, delivery->row->recording_id, delivery->row->attempts + 1, words);
}

static void failed(Delivery *delivery, const WebhookAnswer *answer)
{
    Webhooks *webhooks = delivery->webhooks;
    StenoJournalDelivery *row = delivery->row;
    const StenoJournalEvent *event = delivery->event;
    gint64 now_us = steno_clock_wall_us();
    gint64 give_up_us = event->created_us + delivery->endpoint->settings->give_up_s * G_USEC_PER_SEC;
    tell_failure(delivery, answer->words);
    if (now_us >= give_up_us) {
        steno_error(webhooks->log, "webhook %s: %s (%s) of recording %s is given up after %u failures: %s",
                    delivery->endpoint->settings->name, event->type, event->id, row->recording_id, row->attempts + 1,
                    answer->words);
        webhooks->counts.given_up++;
        (void)move_on(webhooks, row, event->seq);
        go_on(delivery);
        return;
    }
    row->attempts++;
    /* Once more right before the end. */
    row->next_at_us =
        MIN(now_us + retry_delay_us(delivery->endpoint, row->attempts, answer->retry_after_s), give_up_us);
    if (save(webhooks, row))
        schedule(webhooks, row->next_at_us - now_us);
    release(delivery);
}

static void on_answer(gpointer user, const WebhookAnswer *answer)
{
    Delivery *delivery = user;
    if (answer->delivered)
        delivered(delivery);
    else if (answer->status != 410 || !disable(delivery))
        failed(delivery, answer);
}

/* ---- what waits -------------------------------------------------------------------------------------------------- */

/* Not before next_at_us; but a clock that was set back must not hold it up for longer than any delay lasts. */
static gboolean is_due(const StenoJournalDelivery *row, gint64 now_us)
{
    return row->next_at_us <= now_us || row->next_at_us > now_us + RETRY_MAX_US;
}

/* Takes *row when the delivery has begun. */
static void begin(Webhooks *webhooks, Endpoint *endpoint, char *key, StenoJournalDelivery *row)
{
    Delivery *delivery = g_new0(Delivery, 1);
    delivery->webhooks = webhooks;
    delivery->endpoint = endpoint;
    delivery->key = key;
    delivery->row = row;
    g_hash_table_insert(webhooks->deliveries, delivery->key, delivery);
    endpoint->under_way++;
    delivery->event = next_event(webhooks, endpoint, row);
    if (delivery->event)
        send_event(delivery);
    else
        release(delivery);
}

/* The configuration may have it again tomorrow: its events wait as those of one that fails. */
static void keep_for_stranger(Webhooks *webhooks, StenoJournalDelivery *row)
{
    g_autoptr(GPtrArray) events = events_after(webhooks, row);
    if (!events || events->len == 0)
        return;
    if (g_hash_table_size(webhooks->strangers) < STENO_CONFIG_NAMES_MAX &&
        g_hash_table_add(webhooks->strangers, g_strdup(row->endpoint)))
        steno_warning(webhooks->log, "events wait for the webhook %s, which the configuration does not have",
                      row->endpoint);
    const StenoJournalEvent *event = g_ptr_array_index(events, 0);
    gint64 now_us = steno_clock_wall_us(), give_up_us = event->created_us + STRANGER_GIVE_UP_US;
    if (now_us >= give_up_us) {
        steno_error(webhooks->log,
                    "webhook %s: %s (%s) of recording %s is given up: the configuration does not have it",
                    row->endpoint, event->type, event->id, row->recording_id);
        webhooks->counts.given_up++;
        if (move_on(webhooks, row, event->seq))
            schedule(webhooks, LOOK_EVERY_US);
        return;
    }
    row->next_at_us = MIN(now_us + RETRY_MAX_US, give_up_us);
    if (save(webhooks, row))
        schedule(webhooks, row->next_at_us - now_us);
}

/* FALSE, remembering that somebody waits, when there is no room for one more. */
static gboolean has_room(Webhooks *webhooks, Endpoint *endpoint)
{
    guint room = endpoint->failures < WEBHOOKS_FAILURES_MAX ? WEBHOOKS_ENDPOINT_MAX : 1;
    if (endpoint->under_way >= room)
        endpoint->crowded = TRUE;
    else if (g_hash_table_size(webhooks->deliveries) >= WEBHOOKS_MAX)
        webhooks->crowded = TRUE;
    else
        return TRUE;
    return FALSE;
}

/* TRUE when row was taken. */
static gboolean consider(Webhooks *webhooks, StenoJournalDelivery *row, gint64 now_us)
{
    g_autofree char *key = g_strconcat(row->recording_id, "/", row->endpoint, NULL);
    if (g_hash_table_contains(webhooks->deliveries, key))
        return FALSE;
    if (!is_due(row, now_us)) {
        schedule(webhooks, row->next_at_us - now_us);
        return FALSE;
    }
    Endpoint *endpoint = g_hash_table_lookup(webhooks->endpoints, row->endpoint);
    if (!endpoint) {
        keep_for_stranger(webhooks, row);
        return FALSE;
    }
    if (!has_room(webhooks, endpoint))
        return FALSE;
    begin(webhooks, endpoint, g_steal_pointer(&key), row);
    return TRUE;
}

static void no_longer_crowded(Webhooks *webhooks)
{
    GHashTableIter iterator;
    gpointer endpoint;
    webhooks->crowded = FALSE;
    g_hash_table_iter_init(&iterator, webhooks->endpoints);
    while (g_hash_table_iter_next(&iterator, NULL, &endpoint))
        ((Endpoint *)endpoint)->crowded = FALSE;
}

static void look(Webhooks *webhooks)
{
    gint64 now_mono_us = g_get_monotonic_time();
    if (now_mono_us < webhooks->paused_mono_us) {
        schedule(webhooks, webhooks->paused_mono_us - now_mono_us);
        return;
    }
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) rows = steno_journal_deliveries_waiting(webhooks->journal, WEBHOOKS_WAITING_MAX, &error);
    if (!rows) {
        journal_failed(webhooks, error);
        return;
    }
    webhooks->looked_mono_us = now_mono_us;
    no_longer_crowded(webhooks);
    gint64 now_us = steno_clock_wall_us();
    for (guint i = 0; i < rows->len && g_get_monotonic_time() >= webhooks->paused_mono_us; i++)
        if (consider(webhooks, g_ptr_array_index(rows, i), now_us))
            rows->pdata[i] = NULL;
    /* There may be more, which were not seen. */
    if (rows->len == WEBHOOKS_WAITING_MAX)
        webhooks->crowded = TRUE;
}

static gboolean on_timer(gpointer user)
{
    Webhooks *webhooks = user;
    webhooks->timer_mono_us = -1;
    look(webhooks);
    return G_SOURCE_CONTINUE;
}

void webhooks_wake(Webhooks *webhooks)
{
    schedule(webhooks, webhooks->looked_mono_us + LOOK_EVERY_US - g_get_monotonic_time());
}

/* ---- beginning and end ------------------------------------------------------------------------------------------- */

static void endpoint_free(gpointer data)
{
    Endpoint *endpoint = data;
    webhook_http_free(endpoint->http);
    webhook_secrets_free(endpoint->secrets);
    g_free(endpoint->last_error);
    g_free(endpoint);
}

static gboolean add_endpoint(Webhooks *webhooks, const StenoConfigWebhook *settings, GError **error)
{
    Endpoint *endpoint = g_new0(Endpoint, 1);
    endpoint->settings = settings;
    g_hash_table_insert(webhooks->endpoints, settings->name, endpoint);
    endpoint->http = webhook_http_new(settings, error);
    if (endpoint->http)
        endpoint->secrets = webhook_secrets_new(settings->secret_file, settings->application_secret_file, error);
    if (!endpoint->secrets)
        g_prefix_error(error, "webhook %s: ", settings->name);
    return endpoint->secrets != NULL;
}

/* A source that is ready at a time that is set, and only once. */
static gboolean dispatch_timer(GSource *source, GSourceFunc callback, gpointer user)
{
    g_source_set_ready_time(source, -1);
    return callback(user);
}

static void add_timer(Webhooks *webhooks)
{
    static GSourceFuncs functions = {.dispatch = dispatch_timer};
    webhooks->timer = g_source_new(&functions, sizeof(GSource));
    webhooks->timer_mono_us = -1;
    g_source_set_callback(webhooks->timer, on_timer, webhooks, NULL);
    g_source_attach(webhooks->timer, NULL);
}

Webhooks *webhooks_new(StenoConfig *config, StenoJournal *journal, const StenoLog *log, GError **error)
{
    Webhooks *webhooks = g_new0(Webhooks, 1);
    webhooks->config = steno_config_ref(config);
    webhooks->journal = journal;
    webhooks->log = log;
    webhooks->endpoints = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, endpoint_free);
    webhooks->strangers = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    webhooks->deliveries = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, delivery_free);
    add_timer(webhooks);
    for (guint i = 0; i < config->webhooks->len; i++)
        if (!add_endpoint(webhooks, g_ptr_array_index(config->webhooks, i), error)) {
            webhooks_free(webhooks);
            return NULL;
        }
    schedule(webhooks, 0);
    return webhooks;
}

void webhooks_free(Webhooks *webhooks)
{
    if (!webhooks)
        return;
    g_source_destroy(webhooks->timer);
    g_source_unref(webhooks->timer);
    g_hash_table_unref(webhooks->endpoints); /* with their requests, which know of the deliveries */
    g_hash_table_unref(webhooks->deliveries);
    g_hash_table_unref(webhooks->strangers);
    steno_config_unref(webhooks->config);
    g_free(webhooks);
}
