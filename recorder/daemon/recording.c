/* One recording that has not ended: its job's events become its row, its model and what webhooks are told. */
#include "daemon_internal.h"

#include "steno/base/clock.h"
#include "steno/base/error.h"
#include "steno/storage.h"

#include <string.h>

/* A spool that is not there (not mounted yet) is looked for again: 5, 10, … 300 s apart, for as long as it takes. */
#define SPOOL_RETRY_FIRST_S 5
#define SPOOL_RETRY_MAX_S 300

static const StenoJobEvents job_events;

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
    g_hash_table_replace(daemon->recordings, g_strdup(row->id), recording);
    return recording;
}

static void drop_job(Recording *recording)
{
    assemblies_release(recording);
    if (recording->timer)
        g_source_remove(recording->timer);
    recording->timer = 0;
    steno_job_free(g_steal_pointer(&recording->job));
    steno_job_spec_free(g_steal_pointer(&recording->spec));
    recording->progress = -1;
}

void recording_free(gpointer data)
{
    Recording *recording = data;
    outbox_forget(recording);
    drop_job(recording);
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

/* event may be NULL. */
static void set_state(Recording *recording, const char *state, const json_t *event)
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
    outbox_dirty(recording, TRUE);
    steno_notice(recording->log, "%s", state);
}

/* The job's own states; those of the recorder came as its events before. */
static void on_state(gpointer user, const char *state)
{
    Recording *recording = user;
    if (strcmp(state, "completed") == 0 || strcmp(state, "failed") == 0 || strcmp(recording->row->state, state) == 0)
        return; /* an end is told by `done` */
    if (strcmp(state, "storing") == 0)
        assemblies_release(recording);
    set_state(recording, state, NULL);
}

static void on_told(gpointer user, const char *type, json_t *data)
{
    outbox_event(user, type, data);
}

/* Assembling or storing can't go on, and is tried again: why is told until the next state. */
static void tell_blocked(Recording *recording, json_t *error)
{
    json_decref(recording->row->error);
    recording->row->error = json_incref(error);
    outbox_dirty(recording, TRUE);
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
        recording->progress = json_number_value(progress);
        return;
    }
    if (json_is_integer(seq)) {
        row->event_part = (guint)json_integer_value(json_object_get(event, "part"));
        row->event_seq = (guint)json_integer_value(seq);
    }
    model_event(recording->model, event, steno_clock_wall_us(), on_told, recording);
    if (strcmp(name, "state") == 0 && state && g_strv_contains(states, state)) {
        /* The job's own word, not the recorder's: the recorder is gone. */
        recording->daemon->counts.recorder_restarts += !seq && strcmp(state, "reconnecting") == 0;
        set_state(recording, state, event);
    }
    if (g_str_has_suffix(name, "_blocked"))
        tell_blocked(recording, json_object_get(event, "error"));
    outbox_dirty(recording, FALSE);
}

static void on_assembly_wanted(gpointer user)
{
    assemblies_want(user);
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
    const char *words = json_string_value(json_object_get(row->error, "message"));
    steno_log(recording->log, completed ? STENO_LOG_NOTICE : STENO_LOG_ERROR, "%s: %s%s%s", row->state,
              row->end_reason ? row->end_reason : "", words ? ": " : "", words ? words : "");
    /* Not at once: we may be called from within its job. */
    if (!recording->free_source)
        recording->free_source = g_idle_add(free_later, recording);
}

static void tell_end(Recording *recording, gboolean stored)
{
    StenoJournalRecording *row = recording->row;
    const json_t *counts = json_object_get(row->detail, "counts");
    json_t *files = json_object_get(row->detail, "files");
    if (stored)
        outbox_event(recording, "part_stored", json_pack("{s:O}", "files", files));
    if (strcmp(row->state, "completed") == 0)
        outbox_event(recording, "completed",
                     json_pack("{s:s?, s:O, s:I, s:O?}", "end_reason", row->end_reason, "files", files, "duration_ms",
                               json_integer_value(json_object_get(counts, "duration_ms")), "error", row->error));
    else
        outbox_event(recording, "failed",
                     json_pack("{s:s?, s:O?}", "end_reason", row->end_reason, "error", row->error));
}

/* There is nothing more to do but to write it down. */
static void recording_end(Recording *recording, const char *folder, const char *end_reason, const GError *error)
{
    StenoJournalRecording *row = recording->row;
    g_autoptr(GError) unreadable = NULL;
    /* Until it is written, everybody sees it as it was. */
    recording->shown = recording_to_json(row, recording);
    recording->ended = TRUE;
    assemblies_release(recording);
    gboolean has_files = folder && recording_take_manifest(row, recording->model, folder, &unreadable);
    if (unreadable && !error)
        error = unreadable;
    if (!has_files)
        recording_not_stored(row);
    recording_set_text(
        &row->state, has_files && json_array_size(json_object_get(row->detail, "files")) > 0 ? "completed" : "failed");
    recording_set_text(&row->end_reason, end_reason);
    recording_set_text(&row->desired, "stop");
    json_decref(row->error);
    row->error = error ? steno_error_to_json(error) : NULL;
    if (row->ended_us == 0)
        row->ended_us = steno_clock_wall_us();
    model_into_detail(recording->model, row->detail);
    tell_end(recording, has_files);
    outbox_dirty(recording, TRUE);
}

static gboolean on_look_again(gpointer data)
{
    Recording *recording = data;
    recording->timer = 0;
    recording_resume(recording, recording->record_later);
    return G_SOURCE_REMOVE;
}

static void look_later(Recording *recording, gboolean record, const GError *error)
{
    StenoJournalRecording *row = recording->row;
    guint delay_s = MIN(SPOOL_RETRY_FIRST_S << MIN(recording->looks, 10), SPOOL_RETRY_MAX_S);
    recording->looks++;
    recording->record_later = record;
    steno_warning(recording->log, "cannot go on yet, the next look is in %u s: %s", delay_s, error->message);
    json_decref(row->error);
    row->error = steno_error_to_json(error);
    outbox_dirty(recording, TRUE);
    recording->timer = g_timeout_add_seconds(delay_s, on_look_again, recording);
}

static void on_done(gpointer user, const char *folder, const char *capture, const char *end_reason, const GError *error)
{
    Recording *recording = user;
    (void)capture;
    if (!recording->ended)
        recording_end(recording, folder, end_reason, error);
}

static const StenoJobEvents job_events = {
    .state = on_state,
    .event = on_event,
    .assembly_wanted = on_assembly_wanted,
    .done = on_done,
};

/* ---- the job ----------------------------------------------------------------------------------------------------- */

static gboolean make_spec(Recording *recording, GError **error)
{
    const StenoJournalRecording *row = recording->row;
    gboolean paused = json_is_true(json_object_get(recording_internal(recording->row), "pause_wanted"));
    if (!recording->request) {
        g_set_error_literal(error, STENO_ERROR, STENO_ERROR_JOURNAL, "its request in the journal cannot be read");
        return FALSE;
    }
    recording->spec = request_to_spec(recording->request, recording->daemon->config, row->id, paused, error);
    return recording->spec != NULL;
}

static gboolean run_job(Recording *recording, gboolean resume, gboolean record, GError **error)
{
    const StenoDaemon *daemon = recording->daemon;
    const StenoConfig *config = daemon->config;
    const StenoJournalRecording *row = recording->row;
    g_autofree char *root = recording_root(config, recording->request->storage, row->app);
    if (!root) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_CONFIG, "the configuration has no storage '%s' any more",
                    recording->request->storage);
        return FALSE;
    }
    const StenoJobPlace place = {
        .root = root,
        .spool = config->top.spool_dir,
        .runtime_dir = config->top.runtime_dir,
        .outlive = TRUE,
        .restarts_max = (guint)config->limits.restarts,
        .stall_s = (guint)config->limits.stall_s,
        .event_part = row->event_part,
        .event_seq = row->event_seq,
    };
    recording->job =
        resume ? steno_job_resume(recording->spec, record, &place, recording->log, &job_events, recording, error)
               : steno_job_start(recording->spec, &place, recording->log, &job_events, recording, error);
    return recording->job != NULL;
}

gboolean recording_start(Recording *recording, GError **error)
{
    g_autoptr(GError) why = NULL;
    recording->daemon->counts.started++;
    set_state(recording, "joining", NULL);
    if (make_spec(recording, &why) && run_job(recording, FALSE, TRUE, &why))
        return TRUE;
    recording_end(recording, NULL, "join-failed", why);
    g_propagate_error(error, g_steal_pointer(&why));
    return FALSE;
}

static gboolean on_start_at(gpointer data)
{
    Recording *recording = data;
    g_autoptr(GError) error = NULL;
    /* Clocks are set now and then: the timer is only how long to wait before looking again. */
    if (recording->row->start_at_us > steno_clock_wall_us()) {
        recording->timer = 0;
        recording_schedule(recording);
        return G_SOURCE_REMOVE;
    }
    recording->timer = 0;
    if (!admit_check(recording->daemon, recording->request, &error))
        recording_end(recording, NULL, "join-failed", error);
    else
        (void)recording_start(recording, NULL);
    return G_SOURCE_REMOVE;
}

/* No timer sleeps longer, so that a clock that was set is noticed. */
#define SCHEDULE_LOOK_MS 10000

void recording_schedule(Recording *recording)
{
    gint64 wait_ms = (recording->row->start_at_us - steno_clock_wall_us()) / 1000;
    recording->timer = g_timeout_add((guint)CLAMP(wait_ms + 1, 1, SCHEDULE_LOOK_MS), on_start_at, recording);
}

/* Assembling and storing needs no platform: what is missing from the configuration must not keep files from coming. */
static gboolean make_bare_spec(Recording *recording)
{
    if (!recording->request)
        return FALSE;
    StenoJobSpec *spec = steno_job_spec_new();
    spec->id = g_strdup(recording->row->id);
    spec->platform = g_strdup("sdp");
    spec->url = g_strdup("/");
    spec->channel = g_strdup(recording->row->channel);
    spec->app = g_strdup(recording->row->app);
    g_free(spec->outputs);
    spec->outputs = g_strdup(recording->request->outputs);
    g_free(spec->audio);
    spec->audio = g_strdup(recording->request->output_audio);
    recording->spec = spec;
    return TRUE;
}

void recording_resume(Recording *recording, gboolean record)
{
    g_autoptr(GError) error = NULL;
    steno_job_free(g_steal_pointer(&recording->job));
    steno_job_spec_free(g_steal_pointer(&recording->spec));
    gboolean ready = make_spec(recording, &error);
    if (!ready && make_bare_spec(recording)) {
        steno_error(recording->log, "cannot be continued, what there is will be assembled: %s", error->message);
        g_clear_error(&error);
        ready = TRUE;
        record = FALSE;
    }
    if (ready && run_job(recording, TRUE, record, &error))
        return;
    if (steno_error_is_storage(error))
        look_later(recording, record, error);
    else
        recording_end(recording, NULL, recording->row->end_reason ? recording->row->end_reason : "storage", error);
}

gboolean recording_is_stored(Recording *recording)
{
    StenoJournalRecording *row = recording->row;
    const StenoConfig *config = recording->daemon->config;
    g_autofree char *root = recording->request ? recording_root(config, recording->request->storage, row->app) : NULL;
    if (!root || row->started_us == 0)
        return FALSE;
    g_autofree char *key = steno_storage_recording_key(row->channel, row->started_us, row->id);
    g_autofree char *folder = g_build_filename(root, key, NULL);
    g_autofree char *manifest = g_build_filename(folder, "manifest.json", NULL);
    if (!g_file_test(manifest, G_FILE_TEST_IS_REGULAR))
        return FALSE;
    recording_end(recording, folder, row->end_reason ? row->end_reason : "stopped", NULL);
    return TRUE;
}

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
        recording_end(recording, NULL, end_reason, error);
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
