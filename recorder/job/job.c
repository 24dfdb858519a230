/* One recording from the outside, as a state machine: record (again and again, when recorders die), assemble, store. */
#include "job_internal.h"

#include "steno/base/clock.h"
#include "steno/base/error.h"
#include "steno/storage.h"

#include <string.h>

/* A recorder that died is started again after this long: at once the first time, slower when it keeps dying. */
#define RESTART_FIRST_MS 100
#define RESTART_MAX_MS 10000
/* A recorder that lived so long was no failure to start. */
#define RESTART_FORGIVEN_US (60 * G_USEC_PER_SEC)

struct StenoJob {
    const StenoJobSpec *spec;
    const StenoLog *log;
    const StenoJobEvents *events;
    gpointer user;
    char *root, *capture, *assembled;
    gboolean keep_capture;
    guint restarts_max;

    RecorderProcess *recorder;
    gint64 started_mono_us; /* of this recorder */
    guint restarts;         /* in a row, without one that lived */
    guint restart_timer;
    gboolean stopping;
    char *end_reason;
    GError *error;
};

static void job_record(StenoJob *job);

static void job_finish(StenoJob *job, const char *folder)
{
    gboolean kept = g_file_test(job->capture, G_FILE_TEST_IS_DIR);
    job->events->state(job->user, job->error ? "failed" : "completed");
    job->events->done(job->user, folder, kept ? job->capture : NULL, job->end_reason ? job->end_reason : "stopped",
                      job->error);
}

static void set_error(StenoJob *job, GError *error)
{
    if (job->error)
        g_error_free(error);
    else
        job->error = error;
}

/* ---- store ------------------------------------------------------------------------------------------------------- */

static void job_store(StenoJob *job)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *folder = NULL;
    job->events->state(job->user, "storing");
    if (!job_deliver(job->capture, job->assembled, job->root, &folder, &error))
        set_error(job, g_steal_pointer(&error));
    else if (!job->keep_capture && !job_capture_remove(job->capture, &error))
        steno_warning(job->log, "the recording is stored, but its capture could not be removed: %s", error->message);
    job_finish(job, folder);
}

/* ---- assemble ---------------------------------------------------------------------------------------------------- */

static void on_assembly_progress(gpointer user, double done)
{
    StenoJob *job = user;
    json_t *event = json_pack("{s:s, s:f}", "event", "assembly", "progress", done);
    job->events->event(job->user, event);
    json_decref(event);
}

static void on_assembled(gpointer user, const GError *error)
{
    StenoJob *job = user;
    gboolean nothing = g_error_matches(error, STENO_ERROR, STENO_ERROR_NOTHING_RECORDED);
    if (error)
        set_error(job, g_error_copy(error));
    /* A recording without media has its manifest all the same: it tells that there was nothing, and why. */
    if (!error || nothing)
        job_store(job);
    else
        job_finish(job, NULL);
}

static const AssemblerEvents assembler_events = {.progress = on_assembly_progress, .done = on_assembled};

static void job_assemble(StenoJob *job)
{
    g_autoptr(GError) error = NULL;
    if (job_capture_parts(job->capture) == 0) {
        if (!job->error)
            set_error(job, g_error_new_literal(STENO_ERROR, STENO_ERROR_NOTHING_RECORDED,
                                               "nothing was recorded: the channel was never joined"));
        (void)job_capture_remove(job->capture, NULL);
        job_finish(job, NULL);
        return;
    }
    job->events->state(job->user, "assembling");
    if (!job_assembler_run(job->capture, job->assembled, job->spec->outputs, job->spec->audio, &assembler_events, job,
                           &error)) {
        set_error(job, g_steal_pointer(&error));
        job_finish(job, NULL);
    }
}

/* ---- record ------------------------------------------------------------------------------------------------------ */

static void on_recorder_event(gpointer user, json_t *event)
{
    StenoJob *job = user;
    const char *name = json_string_value(json_object_get(event, "event"));
    const char *state = json_string_value(json_object_get(event, "state"));
    job->events->event(job->user, event);
    if (g_strcmp0(name, "state") == 0 && state)
        job->events->state(job->user, state);
}

static gboolean on_restart(gpointer data)
{
    StenoJob *job = data;
    job->restart_timer = 0;
    job_record(job);
    return G_SOURCE_REMOVE;
}

static void recorder_died(StenoJob *job, const char *how)
{
    if (steno_clock_mono_us() - job->started_mono_us >= RESTART_FORGIVEN_US)
        job->restarts = 0;
    steno_warning(job->log, "the recorder died (%s); what it captured is kept%s", how,
                  job->stopping ? "" : ", and another goes on as the next part");
    if (job->stopping) {
        job_assemble(job);
        return;
    }
    if (job->restarts >= job->restarts_max) {
        set_error(job, g_error_new(STENO_ERROR, STENO_ERROR_INTERNAL, "the recorder died %u times in a row, last by %s",
                                   job->restarts + 1, how));
        g_free(job->end_reason);
        job->end_reason = g_strdup("recorder-died");
        job_assemble(job);
        return;
    }
    guint delay_ms = MIN(RESTART_FIRST_MS << MIN(job->restarts, 10), RESTART_MAX_MS);
    job->restarts++;
    job->events->state(job->user, "reconnecting");
    job->restart_timer = g_timeout_add(delay_ms, on_restart, job);
}

static void take_ending(StenoJob *job, const json_t *told)
{
    GError *error = steno_error_from_json(json_object_get(told, "error"), "the recorder failed");
    g_free(job->end_reason);
    job->end_reason = g_strdup(json_string_value(json_object_get(told, "end_reason")));
    if (error)
        set_error(job, error);
}

static void on_recorder_exited(gpointer user, const json_t *told, const char *how)
{
    StenoJob *job = user;
    if (told)
        take_ending(job, told);
    gboolean ended = told != NULL;
    g_autofree char *words = g_strdup(how);
    job_recorder_free(g_steal_pointer(&job->recorder));
    if (ended)
        job_assemble(job);
    else
        recorder_died(job, words);
}

static const RecorderProcessEvents recorder_events = {.event = on_recorder_event, .exited = on_recorder_exited};

static gboolean start_recorder(StenoJob *job, GError **error)
{
    job->started_mono_us = steno_clock_mono_us();
    job->recorder = job_recorder_start(job->spec, job->capture, job_capture_parts(job->capture) + 1,
                                       job_capture_zero(job->capture), job->log, &recorder_events, job, error);
    return job->recorder != NULL;
}

static void job_record(StenoJob *job)
{
    g_autoptr(GError) error = NULL;
    if (start_recorder(job, &error))
        return;
    set_error(job, g_steal_pointer(&error));
    job_assemble(job);
}

/* ---- public ------------------------------------------------------------------------------------------------------ */

StenoJob *steno_job_start(const StenoJobSpec *spec, const StenoJobPlace *place, const StenoLog *log,
                          const StenoJobEvents *events, gpointer user, GError **error)
{
    if (!steno_job_spec_check(spec, error) || !steno_sink_local.check(place->root, error))
        return NULL;
    g_autofree char *spool = place->spool ? g_strdup(place->spool) : g_build_filename(place->root, ".spool", NULL);
    if (g_mkdir_with_parents(spool, 0700) != 0 || !steno_sink_local.check(spool, error)) {
        g_prefix_error(error, "the spool folder: ");
        return NULL;
    }
    StenoJob *job = g_new0(StenoJob, 1);
    job->spec = spec;
    job->log = log;
    job->events = events;
    job->user = user;
    job->root = g_strdup(place->root);
    job->capture = g_build_filename(spool, spec->id, NULL);
    job->assembled = g_build_filename(job->capture, "out", NULL);
    job->keep_capture = place->keep_capture;
    job->restarts_max = place->restarts_max;
    if (start_recorder(job, error))
        return job;
    steno_job_free(job);
    return NULL;
}

void steno_job_stop(StenoJob *job, const char *end_reason)
{
    if (job->stopping)
        return;
    job->stopping = TRUE;
    if (job->recorder) {
        job_recorder_stop(job->recorder, end_reason);
    } else if (job->restart_timer) {
        g_source_remove(job->restart_timer);
        job->restart_timer = 0;
        job->end_reason = g_strdup(end_reason);
        job_assemble(job);
    }
}

void steno_job_free(StenoJob *job)
{
    if (!job)
        return;
    if (job->restart_timer)
        g_source_remove(job->restart_timer);
    job_recorder_free(job->recorder);
    g_clear_error(&job->error);
    g_free(job->end_reason);
    g_free(job->assembled);
    g_free(job->capture);
    g_free(job->root);
    g_free(job);
}
