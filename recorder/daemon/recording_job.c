/* A recording's job: what it is given, and when it begins. */
#include "daemon_internal.h"

#include "steno/base/clock.h"
#include "steno/base/error.h"

#include <string.h>

/*
 * A spool that is not there (not mounted yet), or storages that the configuration lost: looked for again 5, 10, … 300 s
 * apart, for as long as it takes.
 */
#define LOOK_FIRST_S 5
#define LOOK_MAX_S 300

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

void recording_drop_job(Recording *recording)
{
    assemblies_release(recording);
    storing_leave(recording);
    if (recording->timer)
        g_source_remove(recording->timer);
    recording->timer = 0;
    steno_job_free(g_steal_pointer(&recording->job));
    steno_job_spec_free(g_steal_pointer(&recording->spec));
    recording->progress = -1;
}

/* The stores of its destinations. One that the configuration lost is waited for by nobody while there are others. */
static gboolean place_stores(Recording *recording, StenoStore **stores, GError **error)
{
    recording->n_placed = 0;
    for (guint i = 0; i < STENO_JOB_STORES_MAX && recording->destinations[i].name; i++) {
        Destination *destination = &recording->destinations[i];
        StenoStore *store = stores_find(recording->daemon->stores, destination->name);
        if (!store) {
            steno_error(recording->log, "the configuration has no storage '%s' any more", destination->name);
            continue;
        }
        destination->place = recording->n_placed;
        stores[recording->n_placed] = store;
        recording->placed[recording->n_placed++] = destination;
    }
    if (recording->n_placed > 0)
        return TRUE;
    g_set_error(error, STENO_ERROR, STENO_ERROR_CONFIG,
                "the configuration has no storage '%s' any more: put it back, and reload",
                recording->destinations[0].name ? recording->destinations[0].name : "");
    return FALSE;
}

static gboolean run_job(Recording *recording, gboolean resume, gboolean record, GError **error)
{
    const StenoDaemon *daemon = recording->daemon;
    const StenoConfig *config = daemon->config;
    const StenoJournalRecording *row = recording->row;
    StenoStore *stores[STENO_JOB_STORES_MAX];
    if (!place_stores(recording, stores, error))
        return FALSE;
    const StenoJobPlace place = {
        .spool = config->top.spool_dir,
        .runtime_dir = config->top.runtime_dir,
        .stores = stores,
        .n_stores = recording->n_placed,
        .first = recording->request->store_first,
        .signer = daemon->signer,
        .timestamps = daemon->timestamps.url ? &daemon->timestamps : NULL,
        .timestamp_required = config->top.timestamp_required,
        .outlive = TRUE,
        .restarts_max = (guint)config->limits.restarts,
        .stall_s = (guint)config->limits.stall_s,
        .event_part = row->event_part,
        .event_seq = row->event_seq,
        .started_wall_us = row->started_us,
        .frames = (guint64)model_count(recording->model, "frames"),
    };
    recording->looking = resume;
    recording->job =
        resume
            ? steno_job_resume(recording->spec, record, &place, recording->log, &recording_job_events, recording, error)
            : steno_job_start(recording->spec, &place, recording->log, &recording_job_events, recording, error);
    return recording->job != NULL;
}

gboolean recording_start(Recording *recording, GError **error)
{
    g_autoptr(GError) why = NULL;
    recording->daemon->counts.started++;
    recording_set_state(recording, "joining", NULL);
    if (make_spec(recording, &why) && run_job(recording, FALSE, TRUE, &why))
        return TRUE;
    recording_fail(recording, "join-failed", why);
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
    StenoDaemon *daemon = recording->daemon;
    if (!request_may_be_recorded(daemon->config, recording->request, &error)) {
        audit_own(daemon, "recording.start", recording->row->app, recording->row->id,
                  steno_error_slug(STENO_ERROR_OFF_THE_RECORD), NULL);
        recording_fail(recording, "join-failed", error);
    } else if (!admit_check(daemon, recording->request, &error)) {
        recording_fail(recording, "join-failed", error);
    } else {
        (void)recording_start(recording, NULL);
    }
    return G_SOURCE_REMOVE;
}

/* No timer sleeps longer, so that a clock that was set is noticed. */
#define SCHEDULE_LOOK_MS 10000

void recording_schedule(Recording *recording)
{
    gint64 wait_ms = (recording->row->start_at_us - steno_clock_wall_us()) / 1000;
    recording->timer = g_timeout_add((guint)CLAMP(wait_ms + 1, 1, SCHEDULE_LOOK_MS), on_start_at, recording);
}

/*
 * Assembling and storing needs no platform: what is missing from the configuration must not keep files from coming. But
 * it needs what encrypts them for storage, and is not done in clear instead.
 */
static gboolean make_bare_spec(Recording *recording, GError **error)
{
    if (!recording->request)
        return FALSE;
    g_autoptr(StenoJobSpec) spec = steno_job_spec_new();
    spec->id = g_strdup(recording->row->id);
    spec->platform = g_strdup("sdp");
    spec->url = g_strdup("/");
    spec->channel = g_strdup(recording->row->channel);
    spec->app = g_strdup(recording->row->app);
    g_free(spec->outputs);
    spec->outputs = g_strdup(recording->request->outputs);
    g_free(spec->audio);
    spec->audio = g_strdup(recording->request->output_audio);
    spec->rotate_s = recording->request->rotate_s;
    spec->rotate_join = recording->request->rotate_join;
    if (!request_content_into_spec(recording->request, recording->daemon->config, spec, error))
        return FALSE;
    recording->spec = g_steal_pointer(&spec);
    return TRUE;
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
    guint delay_s = MIN(LOOK_FIRST_S << MIN(recording->looks, 10), LOOK_MAX_S);
    recording->looks++;
    recording->record_later = record;
    steno_warning(recording->log, "cannot go on yet, the next look is in %u s: %s", delay_s, error->message);
    json_decref(row->error);
    row->error = steno_error_to_json(error);
    outbox_dirty(recording, TRUE);
    recording->timer = g_timeout_add_seconds(delay_s, on_look_again, recording);
}

void recording_resume(Recording *recording, gboolean record)
{
    g_autoptr(GError) error = NULL, why = NULL;
    recording_drop_job(recording);
    gboolean ready = make_spec(recording, &error);
    if (!ready && make_bare_spec(recording, &why)) {
        steno_error(recording->log, "cannot be continued, what there is will be assembled: %s", error->message);
        g_clear_error(&error);
        ready = TRUE;
        record = FALSE;
    }
    if (ready && run_job(recording, TRUE, record, &error))
        return;
    /* Somebody can put right what is mounted and configured. */
    if (steno_error_is_storage(error) || g_error_matches(error, STENO_ERROR, STENO_ERROR_CONFIG))
        look_later(recording, record, error);
    else
        recording_fail(recording, recording->row->end_reason ? recording->row->end_reason : "storage", error);
}
