#include "query.h"

#include "steno/base/clock.h"
#include "steno/base/error.h"
#include "steno/base/job.h"

void steno_journal_event_free(StenoJournalEvent *event)
{
    if (!event)
        return;
    g_free(event->id);
    g_free(event->recording_id);
    g_free(event->app);
    g_free(event->type);
    json_decref(event->data);
    g_free(event);
}

/* ---- add --------------------------------------------------------------------------------------------------------- */

static gboolean insert(StenoJournal *journal, StenoJournalEvent *event, const json_t *data, GError **error)
{
    g_auto(Query) query = query_start(
        journal, "INSERT INTO event (id, recording_id, app, type, created_us, data) VALUES (?, ?, ?, ?, ?, ?)",
        "adding an event of the recording", event->recording_id ? event->recording_id : "(none)");
    query_bind_text(&query, event->id);
    query_bind_text(&query, event->recording_id);
    query_bind_text(&query, event->app);
    query_bind_text(&query, event->type);
    query_bind_int(&query, event->created_us);
    query_bind_json(&query, data);
    int rc = query_step(&query);
    if (rc == SQLITE_CONSTRAINT_FOREIGNKEY) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_NOT_FOUND,
                    "adding the event %s: the recording %s is not in the journal", event->type, event->recording_id);
        return FALSE;
    }
    if (rc != SQLITE_DONE)
        return query_fail(&query, error);
    event->seq = sqlite3_last_insert_rowid(journal->db);
    return TRUE;
}

/* The recording's endpoints are behind now. */
static gboolean tell_deliveries(StenoJournal *journal, const StenoJournalEvent *event, GError **error)
{
    g_auto(Query) query = query_start(journal, "UPDATE delivery SET last_seq = ? WHERE recording_id = ?",
                                      "adding an event of the recording", event->recording_id);
    query_bind_int(&query, event->seq);
    query_bind_text(&query, event->recording_id);
    return query_run(&query, error);
}

gboolean steno_journal_event_add(StenoJournal *journal, const char *recording_id, const char *app, const char *type,
                                 const json_t *data, StenoJournalEvent **event, GError **error)
{
    g_autofree char *ulid = steno_job_new_id();
    g_autoptr(StenoJournalEvent) added = g_new0(StenoJournalEvent, 1);
    added->id = g_strconcat("msg_", ulid, NULL);
    added->recording_id = g_strdup(recording_id);
    added->app = g_strdup(app);
    added->type = g_strdup(type);
    added->created_us = steno_clock_wall_us();
    if (!journal_write_begin(journal, error))
        return FALSE;
    gboolean ok = insert(journal, added, data, error) && (!recording_id || tell_deliveries(journal, added, error));
    if (!journal_write_end(journal, ok, error))
        return FALSE;
    if (event) {
        added->data = json_deep_copy(data);
        *event = g_steal_pointer(&added);
    }
    return TRUE;
}

/* ---- read -------------------------------------------------------------------------------------------------------- */

static StenoJournalEvent *read_event(Query *query, GError **error)
{
    g_autoptr(StenoJournalEvent) event = g_new0(StenoJournalEvent, 1);
    event->seq = query_int(query);
    event->id = query_text_must(query);
    event->recording_id = query_text(query);
    event->app = query_text(query);
    event->type = query_text_must(query);
    event->created_us = query_int(query);
    return query_json(query, &event->data, error) ? g_steal_pointer(&event) : NULL;
}

#define SELECT_EVENTS "SELECT seq, id, recording_id, app, type, created_us, data FROM event "
#define IN_ORDER " ORDER BY seq LIMIT ?"

static const char *events_sql(const char *app, const char *recording_id)
{
    if (recording_id)
        return app ? SELECT_EVENTS "WHERE seq > ? AND recording_id = ? AND app = ?" IN_ORDER
                   : SELECT_EVENTS "WHERE seq > ? AND recording_id = ?" IN_ORDER;
    return app ? SELECT_EVENTS "WHERE seq > ? AND app = ?" IN_ORDER : SELECT_EVENTS "WHERE seq > ?" IN_ORDER;
}

GPtrArray *steno_journal_events(StenoJournal *journal, gint64 after, const char *app, const char *recording_id,
                                guint count, GError **error)
{
    g_autoptr(GPtrArray) events = g_ptr_array_new_with_free_func((GDestroyNotify)steno_journal_event_free);
    g_auto(Query) query = query_start(journal, events_sql(app, recording_id), "reading events", NULL);
    int next;
    query_bind_int(&query, after);
    if (recording_id)
        query_bind_text(&query, recording_id);
    if (app)
        query_bind_text(&query, app);
    query_bind_int(&query, count);
    while ((next = query_next(&query, error)) > 0) {
        StenoJournalEvent *event = read_event(&query, error);
        if (!event)
            return NULL;
        g_ptr_array_add(events, event);
    }
    return next == 0 ? g_steal_pointer(&events) : NULL;
}

gint64 steno_journal_events_last(StenoJournal *journal, GError **error)
{
    g_auto(Query) query = query_start(journal, "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'event'",
                                      "reading the last event's number", NULL);
    return query_next(&query, error) > 0 ? query_int(&query) : -1;
}

/* ---- forget ------------------------------------------------------------------------------------------------------ */

gboolean steno_journal_events_prune(StenoJournal *journal, gint64 created_before_us, GError **error)
{
    return journal_prune(
        journal,
        "DELETE FROM event WHERE seq IN (SELECT e.seq FROM event e WHERE e.created_us < ? AND NOT EXISTS "
        "(SELECT 1 FROM delivery d WHERE d.recording_id = e.recording_id AND d.cursor_seq < e.seq) ORDER BY "
        "e.created_us LIMIT ?)",
        "forgetting old events", created_before_us, error);
}
