#include "query.h"

#include "steno/base/clock.h"
#include "steno/base/error.h"

void steno_journal_delivery_free(StenoJournalDelivery *delivery)
{
    if (!delivery)
        return;
    g_free(delivery->recording_id);
    g_free(delivery->endpoint);
    g_free(delivery);
}

/* ---- deliveries -------------------------------------------------------------------------------------------------- */

static gboolean add(StenoJournal *journal, const char *recording_id, const char *endpoint, GError **error)
{
    gint64 last = steno_journal_events_last(journal, error);
    if (last < 0)
        return FALSE;
    g_auto(Query) query =
        query_start(journal,
                    "INSERT INTO delivery (recording_id, endpoint, cursor_seq, last_seq, attempts, next_at_us) "
                    "VALUES (?, ?, ?, ?, 0, 0) ON CONFLICT (recording_id, endpoint) DO NOTHING",
                    "adding a webhook to the recording", recording_id);
    query_bind_text(&query, recording_id);
    query_bind_text(&query, endpoint);
    query_bind_int(&query, last);
    query_bind_int(&query, last);
    if (query_step(&query) != SQLITE_CONSTRAINT_FOREIGNKEY)
        return query.rc == SQLITE_DONE || query_fail(&query, error);
    g_set_error(error, STENO_ERROR, STENO_ERROR_NOT_FOUND,
                "adding the webhook %s: the recording %s is not in the journal", endpoint, recording_id);
    return FALSE;
}

gboolean steno_journal_delivery_add(StenoJournal *journal, const char *recording_id, const char *endpoint,
                                    GError **error)
{
    return journal_write_begin(journal, error) &&
           journal_write_end(journal, add(journal, recording_id, endpoint, error), error);
}

GPtrArray *steno_journal_deliveries_waiting(StenoJournal *journal, guint count, GError **error)
{
    g_autoptr(GPtrArray) deliveries = g_ptr_array_new_with_free_func((GDestroyNotify)steno_journal_delivery_free);
    g_auto(Query) query = query_start(journal,
                                      "SELECT recording_id, endpoint, cursor_seq, attempts, next_at_us "
                                      "FROM delivery INDEXED BY delivery_behind WHERE last_seq > cursor_seq "
                                      "AND endpoint NOT IN (SELECT name FROM endpoint_disabled) "
                                      "ORDER BY next_at_us, cursor_seq LIMIT ?",
                                      "reading the webhooks that wait", NULL);
    int next;
    query_bind_int(&query, count);
    while ((next = query_next(&query, error)) > 0) {
        StenoJournalDelivery *delivery = g_new0(StenoJournalDelivery, 1);
        delivery->recording_id = query_text_must(&query);
        delivery->endpoint = query_text_must(&query);
        delivery->cursor = query_int(&query);
        delivery->attempts = (guint)query_int(&query);
        delivery->next_at_us = query_int(&query);
        g_ptr_array_add(deliveries, delivery);
    }
    return next == 0 ? g_steal_pointer(&deliveries) : NULL;
}

static gboolean save(StenoJournal *journal, const StenoJournalDelivery *delivery, GError **error)
{
    g_auto(Query) query = query_start(
        journal,
        "UPDATE delivery SET cursor_seq = ?, attempts = ?, next_at_us = ? WHERE recording_id = ? AND endpoint = ?",
        "writing how far a webhook is with the recording", delivery->recording_id);
    query_bind_int(&query, delivery->cursor);
    query_bind_int(&query, delivery->attempts);
    query_bind_int(&query, delivery->next_at_us);
    query_bind_text(&query, delivery->recording_id);
    query_bind_text(&query, delivery->endpoint);
    if (!query_run(&query, error))
        return FALSE;
    if (query_changes(&query) > 0)
        return TRUE;
    g_set_error(error, STENO_ERROR, STENO_ERROR_NOT_FOUND, "the recording %s has no webhook %s", delivery->recording_id,
                delivery->endpoint);
    return FALSE;
}

gboolean steno_journal_delivery_save(StenoJournal *journal, const StenoJournalDelivery *delivery, GError **error)
{
    return journal_write_begin(journal, error) && journal_write_end(journal, save(journal, delivery, error), error);
}

/* ---- endpoints --------------------------------------------------------------------------------------------------- */

static gboolean set_disabled(StenoJournal *journal, const char *endpoint, gboolean disabled, const char *why,
                             GError **error)
{
    const char *sql = disabled ? "INSERT INTO endpoint_disabled (name, disabled_us, why) VALUES (?, ?, ?) "
                                 "ON CONFLICT (name) DO NOTHING"
                               : "DELETE FROM endpoint_disabled WHERE name = ?";
    g_auto(Query) query =
        query_start(journal, sql, disabled ? "disabling the webhook" : "enabling the webhook", endpoint);
    query_bind_text(&query, endpoint);
    if (disabled) {
        query_bind_int(&query, steno_clock_wall_us());
        query_bind_text(&query, why);
    }
    return query_run(&query, error);
}

gboolean steno_journal_endpoint_set_disabled(StenoJournal *journal, const char *endpoint, gboolean disabled,
                                             const char *why, GError **error)
{
    return journal_write_begin(journal, error) &&
           journal_write_end(journal, set_disabled(journal, endpoint, disabled, why, error), error);
}

json_t *steno_journal_endpoints_disabled(StenoJournal *journal, GError **error)
{
    g_auto(Query) query = query_start(journal, "SELECT name, disabled_us, why FROM endpoint_disabled ORDER BY name",
                                      "reading which webhooks are disabled", NULL);
    json_t *endpoints = json_array();
    int next;
    while ((next = query_next(&query, error)) > 0) {
        g_autofree char *name = query_text_must(&query);
        g_autofree char *at = steno_clock_format(query_int(&query));
        g_autofree char *why = query_text(&query);
        json_array_append_new(endpoints, json_pack("{s:s, s:s, s:s?}", "name", name, "disabled_at", at, "why", why));
    }
    if (next < 0)
        g_clear_pointer(&endpoints, json_decref);
    return endpoints;
}
