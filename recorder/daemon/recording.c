/* One recording that has not ended: its job's events become its row, its model and what webhooks are told. */
#include "daemon_internal.h"

#include "steno/base/clock.h"
#include "steno/base/error.h"

#include <string.h>

/* ---- coming and going -------------------------------------------------------------------------------------------- */

Recording *recording_new(StenoDaemon *daemon, StenoJournalRecording *row, Request *request)
{
    Recording *recording = g_new0(Recording, 1);
    recording->daemon = daemon;
    recording->row = row;
    recording->request = request;
    recording->log = steno_log_new(daemon->log, "rec=%s", row->id);
    recording->model = model_new(row->detail);
    recording->progress = -1;
    recording->paused = json_is_true(json_object_get(recording_internal(row), "paused"));
    storing_begin(recording);
    g_hash_table_replace(daemon->recordings, g_strdup(row->id), recording);
    return recording;
}

void recording_free(gpointer data)
{
    Recording *recording = data;
    outbox_forget(recording);
    recording_drop_job(recording);
    storing_clear(recording);
    if (recording->free_source)
        g_source_remove(recording->free_source);
    model_free(recording->model);
    request_free(recording->request);
    steno_journal_recording_free(recording->row);
    steno_log_free(recording->log);
    json_decref(recording->shown);
    g_free(recording);
}

Recording *recording_find(const StenoDaemon *daemon, const char *id)
{
    return g_hash_table_lookup(daemon->recordings, id);
}

gboolean recording_records(const Recording *recording)
{
    static const char *const states[] = {"joining", "recording", "paused", "reconnecting", NULL};
    return recording->job && !recording->ended && g_strv_contains(states, recording->row->state);
}

/* ---- states ------------------------------------------------------------------------------------------------------ */

static void set_internal(Recording *recording, const char *name, gboolean value)
{
    json_object_set_new(recording_internal(recording->row), name, json_boolean(value));
}

static void on_started(Recording *recording, const json_t *event)
{
    StenoJournalRecording *row = recording->row;
    gint64 zero_wall_us = json_integer_value(json_object_get(event, "zero_wall_us"));
    if (row->started_us > 0)
        return;
    row->started_us = zero_wall_us > 0 ? zero_wall_us : steno_clock_wall_us();
    g_autofree char *started_at = steno_clock_format(row->started_us);
    outbox_event(recording, "started", json_pack("{s:s}", "started_at", started_at));
}

static void tell_pause(Recording *recording, gboolean paused)
{
    if (recording->paused == paused)
        return;
    recording->paused = paused;
    set_internal(recording, "paused", paused);
    outbox_event(recording, paused ? "paused" : "resumed", json_object());
}

void recording_set_state(Recording *recording, const char *state, const json_t *event)
{
    StenoJournalRecording *row = recording->row;
    if (recording->ended || strcmp(row->state, state) == 0)
        return;
    recording_set_text(&row->state, state);
    json_decref(row->error);
    json_t *error = json_object_get(event, "error");
    row->error = json_is_object(error) ? json_incref(error) : NULL;
    if (strcmp(state, "recording") == 0 || strcmp(state, "paused") == 0) {
        on_started(recording, event);
        tell_pause(recording, state[0] == 'p');
    } else if (strcmp(state, "reconnecting") == 0) {
        outbox_event(recording, "reconnecting", json_pack("{s:O?}", "error", row->error));
    }
    storing_set_error(recording);
    outbox_dirty(recording, TRUE);
    steno_notice(recording->log, "%s", state);
}

/* The job's own states; those of the recorder came as its events before. */
static void on_state(gpointer user, const char *state)
{
    Recording *recording = user;
    recording->looking = FALSE;
    if (strcmp(state, "completed") == 0 || strcmp(state, "failed") == 0 || strcmp(recording->row->state, state) == 0)
        return; /* an end is told by `done` */
    recording_set_state(recording, state, NULL);
}

static void on_told(gpointer user, const char *type, json_t *data)
{
    outbox_event(user, type, data);
}

/* Assembling can't go on, and is tried again: why is told until the next state. */
static void tell_blocked(Recording *recording, json_t *error)
{
    json_decref(recording->row->error);
    recording->row->error = json_incref(error);
    outbox_dirty(recording, TRUE);
}

/* The recorder has them now, and nobody else shall (inline_keys = "once"). */
static void drop_keys(Recording *recording)
{
    if (!recording->spec || !recording->spec->key_once)
        return;
    steno_secret_unref(g_steal_pointer(&recording->spec->key_set));
    if (recording->request)
        steno_secret_unref(g_steal_pointer(&recording->request->key_set));
}

static void on_event(gpointer user, json_t *event)
{
    Recording *recording = user;
    StenoJournalRecording *row = recording->row;
    static const char *const states[] = {"joining", "recording", "paused", "reconnecting", NULL};
    const char *state = json_string_value(json_object_get(event, "state"));
    const char *name = json_string_value(json_object_get(event, "event"));
    const json_t *progress = json_object_get(event, "progress");
    const json_t *seq = json_object_get(event, "seq");
    if (recording->ended || !name)
        return;
    if (json_is_number(progress)) {
        /* That of a section, while it records, is nobody's waiting. */
        if (json_integer_value(json_object_get(event, "section")) == 0)
            recording->progress = json_number_value(progress);
        return;
    }
    if (strcmp(name, "storage") == 0) {
        storing_on_storage(recording, event);
        return;
    }
    recording->looking = FALSE;
    if (strcmp(name, "section_stored") == 0) {
        storing_on_section(recording, event);
        return;
    }
    if (json_is_integer(seq)) {
        row->event_part = (guint)json_integer_value(json_object_get(event, "part"));
        row->event_seq = (guint)json_integer_value(seq);
        drop_keys(recording);
    }
    model_event(recording->model, event, steno_clock_wall_us(), on_told, recording);
    if (strcmp(name, "state") == 0 && state && g_strv_contains(states, state)) {
        /* The job's own word, not the recorder's: the recorder is gone. */
        recording->daemon->counts.recorder_restarts += !seq && strcmp(state, "reconnecting") == 0;
        recording_set_state(recording, state, event);
    }
    if (strcmp(name, "assembling_blocked") == 0)
        tell_blocked(recording, json_object_get(event, "error"));
    outbox_dirty(recording, FALSE);
}

static void on_assembly_wanted(gpointer user)
{
    Recording *recording = user;
    recording->looking = FALSE;
    assemblies_want(recording);
}

static void on_assembly_over(gpointer user)
{
    assemblies_release(user);
}

static void on_store_wanted(gpointer user, guint store)
{
    Recording *recording = user;
    uploads_want(recording->placed[store]);
}

static void on_store_over(gpointer user, guint store)
{
    Recording *recording = user;
    uploads_release(recording->placed[store]);
}

/* ---- the end ----------------------------------------------------------------------------------------------------- */

static gboolean free_later(gpointer data)
{
    Recording *recording = data;
    recording->free_source = 0;
    g_hash_table_remove(recording->daemon->recordings, recording->row->id);
    return G_SOURCE_REMOVE;
}

void recording_end_written(Recording *recording)
{
    const StenoJournalRecording *row = recording->row;
    StenoDaemon *daemon = recording->daemon;
    gboolean completed = strcmp(row->state, "completed") == 0;
    json_decref(g_steal_pointer(&recording->shown));
    const json_t *counts = json_object_get(row->detail, "counts");
    *(completed ? &daemon->counts.completed : &daemon->counts.failed) += 1;
    daemon->counts.packets += (guint64)json_integer_value(json_object_get(counts, "packets"));
    daemon->counts.lost += (guint64)json_integer_value(json_object_get(counts, "lost"));
    daemon->counts.bytes += (guint64)json_integer_value(json_object_get(counts, "bytes"));
    daemon->counts.sealed += (guint64)json_integer_value(json_object_get(counts, "sealed"));
    const char *words = json_string_value(json_object_get(row->error, "message"));
    steno_log(recording->log, completed ? STENO_LOG_NOTICE : STENO_LOG_ERROR, "%s: %s%s%s", row->state,
              row->end_reason ? row->end_reason : "", words ? ": " : "", words ? words : "");
    /* Not at once: we may be called from within its job. */
    if (!recording->free_source)
        recording->free_source = g_idle_add(free_later, recording);
}

/* What was not told when it was stored, section by section. */
static json_t *files_of_end(const json_t *files, gint64 sections, gint64 *section)
{
    json_t *rest = json_array();
    size_t i;
    json_t *file;
    *section = 0;
    json_array_foreach (files, i, file) {
        gint64 its = json_integer_value(json_object_get(file, "section"));
        if (its == 0 || its > sections) {
            json_array_append(rest, file);
            *section = its;
        }
    }
    return rest;
}

static void tell_end(Recording *recording, gboolean stored)
{
    StenoJournalRecording *row = recording->row;
    const json_t *counts = json_object_get(row->detail, "counts");
    json_t *files = json_object_get(row->detail, "files");
    gint64 sections = json_integer_value(json_object_get(recording_internal(row), "sections")), section;
    json_t *rest = files_of_end(files, sections, &section);
    if (stored && (sections == 0 || json_array_size(rest) > 0))
        outbox_event(
            recording, "part_stored",
            json_pack("{s:o, s:O}", "section", section > 0 ? json_integer(section) : json_null(), "files", rest));
    json_decref(rest);
    if (strcmp(row->state, "completed") == 0)
        outbox_event(recording, "completed",
                     json_pack("{s:s?, s:O, s:I, s:O?}", "end_reason", row->end_reason, "files", files, "duration_ms",
                               json_integer_value(json_object_get(counts, "duration_ms")), "error", row->error));
    else
        outbox_event(recording, "failed",
                     json_pack("{s:s?, s:O?}", "end_reason", row->end_reason, "error", row->error));
}

void recording_end(Recording *recording, const StenoJobResult *result)
{
    StenoJournalRecording *row = recording->row;
    /* Until it is written, everybody sees it as it was. */
    recording->shown = recording_to_json(row, recording);
    recording->ended = TRUE;
    assemblies_release(recording);
    storing_leave(recording);
    if (result->manifest)
        storing_end(recording, result->manifest, result->uri);
    else
        storing_fail(recording);
    recording_set_text(&row->end_reason, result->end_reason);
    recording_set_text(&row->desired, "stop");
    json_decref(row->error);
    row->error = result->error ? steno_error_to_json(result->error) : NULL;
    recording_set_text(&row->state, result->manifest && recording_is_complete(row) ? "completed" : "failed");
    if (row->ended_us == 0)
        row->ended_us = steno_clock_wall_us();
    model_into_detail(recording->model, row->detail);
    tell_end(recording, result->manifest != NULL);
    outbox_dirty(recording, TRUE);
}

void recording_fail(Recording *recording, const char *end_reason, const GError *error)
{
    const StenoJobResult result = {.end_reason = end_reason, .error = error};
    recording_end(recording, &result);
}

static void on_done(gpointer user, const StenoJobResult *result)
{
    Recording *recording = user;
    if (!recording->ended)
        recording_end(recording, result);
}

const StenoJobEvents recording_job_events = {
    .state = on_state,
    .event = on_event,
    .assembly_wanted = on_assembly_wanted,
    .assembly_over = on_assembly_over,
    .store_wanted = on_store_wanted,
    .store_over = on_store_over,
    .done = on_done,
};

/* ---- what people ask for ----------------------------------------------------------------------------------------- */

void recording_stop(Recording *recording, const char *end_reason)
{
    StenoJournalRecording *row = recording->row;
    if (recording->ended)
        return;
    recording_set_text(&row->desired, "stop");
    outbox_dirty(recording, TRUE);
    if (recording->job) {
        steno_job_stop(recording->job, end_reason);
    } else if (strcmp(row->state, "queued") == 0) {
        g_autoptr(GError) error = g_error_new_literal(STENO_ERROR, STENO_ERROR_NOTHING_RECORDED,
                                                      "nothing was recorded: it was stopped before it began");
        if (recording->timer)
            g_source_remove(recording->timer);
        recording->timer = 0;
        recording_fail(recording, end_reason, error);
    }
}

void recording_pause(Recording *recording, gboolean paused)
{
    set_internal(recording, "pause_wanted", paused);
    recording->spec->paused = paused;
    outbox_dirty(recording, TRUE);
    steno_job_pause(recording->job, paused);
}

void recording_changed(Recording *recording)
{
    StenoJournalRecording *row = recording->row;
    const StenoConfigApp *app = steno_config_app(recording->daemon->config, row->app);
    json_decref(row->request);
    row->request = request_to_json(recording->request);
    json_decref(row->labels);
    row->labels = json_deep_copy(recording->request->labels);
    row->legal_hold = request_has_label(row->labels, app ? app->legal_hold_label : NULL);
    outbox_dirty(recording, TRUE);
    if (!recording->job || !recording->spec)
        return;
    request_into_spec(recording->request, recording->spec);
    steno_job_update(recording->job);
}
