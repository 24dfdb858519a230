#include "query.h"

#include "steno/base/clock.h"
#include "steno/base/error.h"

#include <string.h>

/* Of a new row, until the first steno_journal_renew(). */
#define FIRST_LEASE_US (60 * G_USEC_PER_SEC)

StenoJournalRecording *steno_journal_recording_new(void)
{
    StenoJournalRecording *recording = g_new0(StenoJournalRecording, 1);
    recording->profile = g_strdup("default");
    recording->state = g_strdup("queued");
    recording->desired = g_strdup("record");
    return recording;
}

void steno_journal_recording_free(StenoJournalRecording *recording)
{
    if (!recording)
        return;
    g_free(recording->id);
    g_free(recording->app);
    g_free(recording->platform);
    g_free(recording->channel);
    g_free(recording->profile);
    g_free(recording->state);
    g_free(recording->desired);
    g_free(recording->webhook);
    g_free(recording->end_reason);
    json_decref(recording->request);
    json_decref(recording->labels);
    json_decref(recording->error);
    json_decref(recording->detail);
    g_free(recording);
}

/* ---- read -------------------------------------------------------------------------------------------------------- */

StenoJournalRecording *journal_recording_read(Query *query, GError **error)
{
    g_autoptr(StenoJournalRecording) r = g_new0(StenoJournalRecording, 1);
    r->id = query_text_must(query);
    r->app = query_text_must(query);
    r->platform = query_text_must(query);
    r->channel = query_text_must(query);
    r->profile = query_text_must(query);
    r->state = query_text_must(query);
    r->desired = query_text_must(query);
    r->webhook = query_text(query);
    r->end_reason = query_text(query);
    if (!query_json(query, &r->request, error) || !query_json(query, &r->labels, error) ||
        !query_json(query, &r->error, error) || !query_json(query, &r->detail, error))
        return NULL;
    r->created_us = query_int(query);
    r->updated_us = query_int(query);
    r->start_at_us = query_int(query);
    r->started_us = query_int(query);
    r->ended_us = query_int(query);
    r->event_part = (guint)query_int(query);
    r->event_seq = (guint)query_int(query);
    r->epoch = query_int(query);
    r->files_bytes = query_int(query);
    r->legal_hold = query_int(query) != 0;
    return g_steal_pointer(&r);
}

GPtrArray *journal_recordings_read(Query *query, GError **error)
{
    g_autoptr(GPtrArray) rows = g_ptr_array_new_with_free_func((GDestroyNotify)steno_journal_recording_free);
    int next;
    while ((next = query_next(query, error)) > 0) {
        StenoJournalRecording *recording = journal_recording_read(query, error);
        if (!recording)
            return NULL;
        g_ptr_array_add(rows, recording);
    }
    return next == 0 ? g_steal_pointer(&rows) : NULL;
}

StenoJournalRecording *steno_journal_recording_get(StenoJournal *journal, const char *id, GError **error)
{
    g_auto(Query) query = query_start(journal, "SELECT " RECORDING_COLUMNS " FROM recording r WHERE r.id = ?",
                                      "reading the recording", id);
    query_bind_text(&query, id);
    return query_next(&query, error) > 0 ? journal_recording_read(&query, error) : NULL;
}

GPtrArray *steno_journal_recordings_unfinished(StenoJournal *journal, GError **error)
{
    g_auto(Query) query =
        query_start(journal,
                    "SELECT " RECORDING_COLUMNS " FROM recording r WHERE r.owner = ? AND r." UNFINISHED
                    " ORDER BY r.created_us, r.id",
                    "reading the recordings that are not over", NULL);
    query_bind_text(&query, journal->owner);
    return journal_recordings_read(&query, error);
}

gint64 steno_journal_files_bytes(StenoJournal *journal, const char *app, GError **error)
{
    g_auto(Query) query =
        query_start(journal, "SELECT coalesce(sum(files_bytes), 0) FROM recording WHERE app = ? AND files_bytes > 0",
                    "adding up the files of the app", app);
    query_bind_text(&query, app);
    return query_next(&query, error) > 0 ? query_int(&query) : -1;
}

/* ---- write ------------------------------------------------------------------------------------------------------- */

static gboolean write_labels(StenoJournal *journal, const StenoJournalRecording *recording, GError **error)
{
    const char *name;
    json_t *value;
    json_object_foreach (recording->labels, name, value) {
        if (!json_is_string(value)) {
            g_set_error(error, STENO_ERROR, STENO_ERROR_USAGE,
                        "writing the labels of the recording %s: '%s' is no string", recording->id, name);
            return FALSE;
        }
        g_auto(Query) query = query_start(journal,
                                          "INSERT INTO label (recording_id, name, value, created_us, app) "
                                          "SELECT id, ?, ?, created_us, app FROM recording WHERE id = ?",
                                          "writing the labels of the recording", recording->id);
        query_bind_text(&query, name);
        query_bind_text(&query, json_string_value(value));
        query_bind_text(&query, recording->id);
        if (!query_run(&query, error))
            return FALSE;
    }
    return TRUE;
}

/* The members that are often written and in no index, in the order of both statements that write them. */
static void bind_common(Query *query, const StenoJournalRecording *recording, gint64 updated_us)
{
    query_bind_text(query, recording->desired);
    query_bind_int(query, updated_us);
    query_bind_int(query, recording->start_at_us);
    query_bind_int(query, recording->started_us);
    query_bind_int(query, recording->ended_us);
    query_bind_int(query, recording->event_part);
    query_bind_int(query, recording->event_seq);
    query_bind_int(query, recording->legal_hold);
    query_bind_text(query, recording->webhook);
    query_bind_text(query, recording->end_reason);
    query_bind_json(query, recording->error);
    query_bind_json(query, recording->request);
    query_bind_json(query, recording->detail);
}

/* Those that indices are made of. */
static void bind_indexed(Query *query, const StenoJournalRecording *recording)
{
    query_bind_text(query, recording->platform);
    query_bind_text(query, recording->channel);
    query_bind_text(query, recording->profile);
    query_bind_text(query, recording->state);
    query_bind_int(query, recording->files_bytes);
    query_bind_json(query, recording->labels);
}

#define SET_COMMON                                                                                                     \
    "UPDATE recording SET desired = ?, updated_us = ?, start_at_us = ?, started_us = ?, ended_us = ?, event_part = "   \
    "?, "                                                                                                              \
    "event_seq = ?, legal_hold = ?, webhook = ?, end_reason = ?, error = ?, request = ?, detail = ?"

/* Names the recording that stands in the way of this one, if that is what a write failed by. */
static gboolean is_active_already(StenoJournal *journal, const StenoJournalRecording *recording, GError **error)
{
    g_auto(Query) query = query_start(
        journal,
        "SELECT id FROM recording WHERE app = ? AND platform = ? AND channel = ? AND profile = ? AND id <> ? "
        "AND " UNFINISHED,
        "looking for a recording of the channel", NULL);
    query_bind_text(&query, recording->app);
    query_bind_text(&query, recording->platform);
    query_bind_text(&query, recording->channel);
    query_bind_text(&query, recording->profile);
    query_bind_text(&query, recording->id);
    if (query_step(&query) != SQLITE_ROW)
        return FALSE;
    g_autofree char *id = query_text_must(&query);
    g_set_error_literal(error, STENO_ERROR, STENO_ERROR_ALREADY_RECORDING, id);
    return TRUE;
}

static gboolean run_unique(Query *query, const StenoJournalRecording *recording, GError **error)
{
    int rc = query_step(query);
    if (rc == SQLITE_DONE)
        return TRUE;
    if (rc == SQLITE_CONSTRAINT_UNIQUE && is_active_already(query->journal, recording, error))
        return FALSE;
    if (rc == SQLITE_CONSTRAINT_PRIMARYKEY) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_CONFLICT,
                    "adding the recording %s: there is one of this id already", recording->id);
        return FALSE;
    }
    return query_fail(query, error);
}

static gboolean insert(StenoJournal *journal, const StenoJournalRecording *recording, gint64 now_us, GError **error)
{
    g_auto(Query) query = query_start(journal,
                                      "INSERT INTO recording (desired, updated_us, start_at_us, started_us, ended_us, "
                                      "event_part, event_seq, legal_hold, webhook, end_reason, error, request, detail, "
                                      "platform, channel, profile, state, files_bytes, labels, "
                                      "id, app, created_us, owner, epoch, lease_until_us) VALUES "
                                      "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1, ?)",
                                      "adding the recording", recording->id);
    bind_common(&query, recording, now_us);
    bind_indexed(&query, recording);
    query_bind_text(&query, recording->id);
    query_bind_text(&query, recording->app);
    query_bind_int(&query, recording->created_us);
    query_bind_text(&query, journal->owner);
    query_bind_int(&query, now_us + FIRST_LEASE_US);
    return run_unique(&query, recording, error) && write_labels(journal, recording, error);
}

gboolean steno_journal_recording_add(StenoJournal *journal, StenoJournalRecording *recording, GError **error)
{
    gint64 now_us = steno_clock_wall_us(), created_us = recording->created_us;
    if (!journal_write_begin(journal, error))
        return FALSE;
    if (recording->created_us == 0)
        recording->created_us = now_us;
    if (!journal_write_end(journal, insert(journal, recording, now_us, error), error)) {
        recording->created_us = created_us;
        return FALSE;
    }
    recording->updated_us = now_us;
    recording->epoch = 1;
    return TRUE;
}

/* What is mostly changed is in no index. *changed FALSE: something else is to be written, too, or the row isn't ours.
 */
static gboolean update_common(StenoJournal *journal, const StenoJournalRecording *recording, gint64 now_us,
                              gboolean *changed, GError **error)
{
    g_auto(Query) query =
        query_start(journal,
                    SET_COMMON " WHERE platform = ? AND channel = ? AND profile = ? AND state = ? AND "
                               "files_bytes = ? AND coalesce(labels, '') = coalesce(?, '') AND "
                               "id = ? AND owner = ? AND epoch = ?",
                    "writing the recording", recording->id);
    bind_common(&query, recording, now_us);
    bind_indexed(&query, recording);
    query_bind_text(&query, recording->id);
    query_bind_text(&query, journal->owner);
    query_bind_int(&query, recording->epoch);
    if (!query_run(&query, error))
        return FALSE;
    *changed = query_changes(&query) > 0;
    return TRUE;
}

static gboolean update_all(StenoJournal *journal, const StenoJournalRecording *recording, gint64 now_us,
                           gboolean *changed, GError **error)
{
    g_auto(Query) query =
        query_start(journal,
                    SET_COMMON ", platform = ?, channel = ?, profile = ?, state = ?, files_bytes = ?, "
                               "labels = ? WHERE id = ? AND owner = ? AND epoch = ?",
                    "writing the recording", recording->id);
    bind_common(&query, recording, now_us);
    bind_indexed(&query, recording);
    query_bind_text(&query, recording->id);
    query_bind_text(&query, journal->owner);
    query_bind_int(&query, recording->epoch);
    if (!run_unique(&query, recording, error))
        return FALSE;
    *changed = query_changes(&query) > 0;
    return TRUE;
}

/* Why a fenced write found no row: it is gone, or another's. */
static gboolean fenced(StenoJournal *journal, const char *id, GError **error)
{
    g_auto(Query) query =
        query_start(journal, "SELECT owner, epoch FROM recording WHERE id = ?", "looking for the owner of", id);
    query_bind_text(&query, id);
    int next = query_next(&query, error);
    if (next == 0)
        g_set_error(error, STENO_ERROR, STENO_ERROR_NOT_FOUND, "writing the recording %s: it is not in the journal",
                    id);
    if (next > 0) {
        g_autofree char *owner = query_text_must(&query);
        g_set_error(error, STENO_ERROR, STENO_ERROR_CONFLICT,
                    "writing the recording %s: it was taken over by %s (epoch %" G_GINT64_FORMAT ")", id, owner,
                    query_int(&query));
    }
    return FALSE;
}

static gboolean delete_labels(StenoJournal *journal, const char *id, GError **error)
{
    g_auto(Query) query =
        query_start(journal, "DELETE FROM label WHERE recording_id = ?", "writing the labels of the recording", id);
    query_bind_text(&query, id);
    return query_run(&query, error);
}

static gboolean save(StenoJournal *journal, const StenoJournalRecording *recording, gint64 now_us, GError **error)
{
    gboolean changed = FALSE;
    if (!update_common(journal, recording, now_us, &changed, error))
        return FALSE;
    if (changed)
        return TRUE;
    if (!update_all(journal, recording, now_us, &changed, error))
        return FALSE;
    if (!changed)
        return fenced(journal, recording->id, error);
    return delete_labels(journal, recording->id, error) && write_labels(journal, recording, error);
}

gboolean steno_journal_recording_save(StenoJournal *journal, StenoJournalRecording *recording, GError **error)
{
    gint64 now_us = steno_clock_wall_us();
    if (!journal_write_begin(journal, error) ||
        !journal_write_end(journal, save(journal, recording, now_us, error), error))
        return FALSE;
    recording->updated_us = now_us;
    return TRUE;
}

static gboolean forget(StenoJournal *journal, const char *id, GError **error)
{
    /* What refers to it goes with it (ON DELETE CASCADE). */
    g_auto(Query) query =
        query_start(journal, "DELETE FROM recording WHERE id = ? AND owner = ?", "forgetting the recording", id);
    query_bind_text(&query, id);
    query_bind_text(&query, journal->owner);
    if (!query_run(&query, error))
        return FALSE;
    return query_changes(&query) > 0 || fenced(journal, id, error);
}

gboolean steno_journal_recording_forget(StenoJournal *journal, const char *id, GError **error)
{
    return journal_write_begin(journal, error) && journal_write_end(journal, forget(journal, id, error), error);
}
