/*
 * What is to be written to the journal. A recording's row and its events are written in one transaction, so that an
 * event is neither lost nor told twice whenever we die. A journal that can't be written stops no recording: what waits
 * is kept in order in memory and tried again.
 */
#include "daemon_internal.h"

#include "steno/base/clock.h"
#include "steno/base/error.h"

#define RETRY_FIRST_MS 250
#define RETRY_MAX_MS 10000
/* Recordings written in one transaction: one write to disk for all that came at about the same time. */
#define BATCH_MAX 64

typedef struct {
    char *type;
    json_t *data;
} PendingEvent;

static void pending_event_free(gpointer data)
{
    PendingEvent *event = data;
    g_free(event->type);
    json_decref(event->data);
    g_free(event);
}

/* ---- the journal's health ---------------------------------------------------------------------------------------- */

gboolean outbox_judge(StenoDaemon *daemon, gboolean done, GError *const *why)
{
    Outbox *outbox = &daemon->outbox;
    const GError *error = *why;
    if (done || !g_error_matches(error, STENO_ERROR, STENO_ERROR_JOURNAL)) {
        if (done && outbox->fault) {
            steno_notice(daemon->log, "the journal can be written again");
            g_clear_pointer(&outbox->fault, g_free);
        }
        return done;
    }
    daemon->counts.journal_errors++;
    if (!outbox->fault)
        steno_error(daemon->log, "recordings go on, what happens is kept in memory until it can be written: %s",
                    error->message);
    g_free(outbox->fault);
    outbox->fault = g_strdup(error->message);
    return FALSE;
}

/* That it can be read says nothing of whether it can be written. */
void outbox_judge_read(StenoDaemon *daemon, GError *const *why)
{
    if (*why)
        (void)outbox_judge(daemon, FALSE, why);
}

/* ---- one transaction --------------------------------------------------------------------------------------------- */

static gboolean write_recording(StenoDaemon *daemon, Recording *recording, GPtrArray *told, GError **error)
{
    if (recording->row->detail)
        model_into_detail(recording->model, recording->row->detail);
    if (!steno_journal_recording_save(daemon->journal, recording->row, error))
        return FALSE;
    for (GList *item = recording->pending.head; item; item = item->next) {
        const PendingEvent *pending = item->data;
        StenoJournalEvent *event = NULL;
        if (!steno_journal_event_add(daemon->journal, recording->row->id, recording->row->app, pending->type,
                                     pending->data, &event, error))
            return FALSE;
        g_ptr_array_add(told, event);
    }
    return TRUE;
}

static gboolean write_batch(StenoDaemon *daemon, GPtrArray *batch, GPtrArray *told, GError **error)
{
    if (!steno_journal_begin(daemon->journal, error))
        return FALSE;
    for (guint i = 0; i < batch->len; i++) {
        if (!write_recording(daemon, batch->pdata[i], told, error)) {
            steno_journal_rollback(daemon->journal);
            return FALSE;
        }
    }
    if (steno_journal_commit(daemon->journal, error))
        return TRUE;
    steno_journal_rollback(daemon->journal);
    return FALSE;
}

void outbox_told(StenoDaemon *daemon, const StenoJournalEvent *event)
{
    if (!daemon->watch || !daemon->watch->event)
        return;
    json_t *json = steno_daemon_event_to_json(event);
    char *line = json_dumps(json, JSON_COMPACT);
    daemon->watch->event(daemon->watch_user, event->seq, event->app, event->type, line);
    free(line);
    json_decref(json);
}

static void event_free(gpointer event)
{
    steno_journal_event_free(event);
}

static void written(StenoDaemon *daemon, Recording *recording)
{
    daemon->outbox.pending_events -= recording->pending.length;
    g_queue_clear_full(&recording->pending, pending_event_free);
    recording->dirty = recording->urgent = FALSE;
    g_queue_remove(&daemon->outbox.dirty, recording);
    if (recording->ended)
        recording_end_written(recording);
}

/* Somebody else has taken the row, or it is gone: it is theirs now, and their resume finds the recorder. */
static void fenced(StenoDaemon *daemon, Recording *recording, const GError *error)
{
    steno_error(recording->log, "is not ours any more and is left alone: %s", error->message);
    g_hash_table_remove(daemon->recordings, recording->row->id);
}

static gboolean flush_batch(StenoDaemon *daemon, GPtrArray *batch, GError **error)
{
    g_autoptr(GPtrArray) told = g_ptr_array_new_with_free_func(event_free);
    if (!write_batch(daemon, batch, told, error))
        return FALSE;
    for (guint i = 0; i < batch->len; i++)
        written(daemon, batch->pdata[i]);
    for (guint i = 0; i < told->len; i++)
        outbox_told(daemon, told->pdata[i]);
    if (told->len > 0)
        webhooks_wake(daemon->webhooks);
    return TRUE;
}

/* One by one, after a batch that failed for the sake of one. */
static gboolean flush_each(StenoDaemon *daemon, GPtrArray *batch)
{
    for (guint i = 0; i < batch->len; i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(GPtrArray) one = g_ptr_array_new();
        g_ptr_array_add(one, batch->pdata[i]);
        if (outbox_judge(daemon, flush_batch(daemon, one, &error), &error))
            continue;
        if (!g_error_matches(error, STENO_ERROR, STENO_ERROR_CONFLICT) &&
            !g_error_matches(error, STENO_ERROR, STENO_ERROR_NOT_FOUND))
            return FALSE;
        fenced(daemon, batch->pdata[i], error);
    }
    return TRUE;
}

static GPtrArray *take_batch(StenoDaemon *daemon, gboolean all)
{
    GPtrArray *batch = g_ptr_array_new();
    for (GList *item = daemon->outbox.dirty.head; item && batch->len < BATCH_MAX; item = item->next) {
        Recording *recording = item->data;
        if (all || recording->urgent)
            g_ptr_array_add(batch, recording);
    }
    return batch;
}

static gboolean on_flush_again(gpointer data)
{
    StenoDaemon *daemon = data;
    daemon->outbox.retry_timer = 0;
    (void)outbox_flush(daemon, TRUE);
    return G_SOURCE_REMOVE;
}

static void flush_later(StenoDaemon *daemon)
{
    Outbox *outbox = &daemon->outbox;
    if (outbox->retry_timer)
        return;
    outbox->backoff_ms = outbox->backoff_ms ? MIN(outbox->backoff_ms * 2, RETRY_MAX_MS) : RETRY_FIRST_MS;
    outbox->retry_timer = g_timeout_add(outbox->backoff_ms, on_flush_again, daemon);
}

gboolean outbox_flush(StenoDaemon *daemon, gboolean all)
{
    for (;;) {
        g_autoptr(GPtrArray) batch = take_batch(daemon, all);
        g_autoptr(GError) error = NULL;
        if (batch->len == 0)
            break;
        if (outbox_judge(daemon, flush_batch(daemon, batch, &error), &error))
            continue;
        if (!flush_each(daemon, batch)) {
            flush_later(daemon);
            return FALSE;
        }
    }
    daemon->outbox.backoff_ms = 0;
    return TRUE;
}

/* ---- what waits -------------------------------------------------------------------------------------------------- */

static gboolean on_flush(gpointer data)
{
    StenoDaemon *daemon = data;
    daemon->outbox.source = 0;
    (void)outbox_flush(daemon, FALSE);
    return G_SOURCE_REMOVE;
}

void outbox_dirty(Recording *recording, gboolean urgent)
{
    Outbox *outbox = &recording->daemon->outbox;
    if (!recording->dirty)
        g_queue_push_tail(&outbox->dirty, recording);
    recording->dirty = TRUE;
    recording->urgent |= urgent;
    /* Once what has arrived together has been looked at; while the journal fails, its retry takes all. */
    if (urgent && !outbox->source && !outbox->retry_timer)
        outbox->source = g_idle_add_full(G_PRIORITY_DEFAULT, on_flush, recording->daemon, NULL);
}

void outbox_event(Recording *recording, const char *type, json_t *data)
{
    StenoDaemon *daemon = recording->daemon;
    json_t *whole = recording_event_data(recording->row);
    json_object_update_new(whole, data);
    if (daemon->outbox.pending_events >= OUTBOX_EVENTS_MAX) {
        if (daemon->counts.events_dropped++ == 0)
            steno_error(daemon->log, "%d events wait for the journal: more are not told", OUTBOX_EVENTS_MAX);
        json_decref(whole);
        return;
    }
    PendingEvent *event = g_new(PendingEvent, 1);
    *event = (PendingEvent){g_strconcat("recording.", type, NULL), whole};
    g_queue_push_tail(&recording->pending, event);
    daemon->outbox.pending_events++;
    outbox_dirty(recording, TRUE);
}

void outbox_forget(Recording *recording)
{
    StenoDaemon *daemon = recording->daemon;
    daemon->outbox.pending_events -= recording->pending.length;
    g_queue_clear_full(&recording->pending, pending_event_free);
    g_queue_remove(&daemon->outbox.dirty, recording);
}

void outbox_clear(StenoDaemon *daemon)
{
    if (daemon->outbox.source)
        g_source_remove(daemon->outbox.source);
    if (daemon->outbox.retry_timer)
        g_source_remove(daemon->outbox.retry_timer);
    g_queue_clear(&daemon->outbox.dirty);
    g_clear_pointer(&daemon->outbox.fault, g_free);
}
