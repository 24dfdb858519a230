/* One recording from the outside: what its owner may do. */
#include "job_internal.h"

#include "steno/base/error.h"
#include "steno/storage.h"

/* ---- the next step ----------------------------------------------------------------------------------------------- */

static gboolean on_step(gpointer data)
{
    StenoJob *job = data;
    job->timer = 0;
    job->step(job);
    return G_SOURCE_REMOVE;
}

void job_next(StenoJob *job, guint delay_ms, void (*step)(StenoJob *job))
{
    if (job->timer)
        g_source_remove(job->timer);
    job->step = step;
    job->timer = g_timeout_add(delay_ms, on_step, job);
}

void job_set_error(StenoJob *job, GError *error)
{
    if (job->error)
        g_error_free(error);
    else
        job->error = error;
}

/* ---- beginning --------------------------------------------------------------------------------------------------- */

static char *spool_of(const StenoJobPlace *place)
{
    g_autofree char *spool = place->spool ? g_strdup(place->spool) : g_build_filename(place->root, ".spool", NULL);
    return g_canonicalize_filename(spool, NULL);
}

static StenoJob *job_new(const StenoJobSpec *spec, const StenoJobPlace *place, const char *spool, const StenoLog *log,
                         const StenoJobEvents *events, gpointer user)
{
    StenoJob *job = g_new0(StenoJob, 1);
    job->spec = spec;
    job->log = log;
    job->events = events;
    job->user = user;
    job->root = g_strdup(place->root);
    job->capture = g_build_filename(spool, spec->id, NULL);
    job->assembled = g_build_filename(job->capture, "out", NULL);
    job->runtime_dir = g_strdup(place->runtime_dir);
    job->keep_capture = place->keep_capture;
    job->outlive = place->outlive;
    job->restarts_max = place->restarts_max;
    job->watch.stall_s = place->stall_s;
    job->paused = spec->paused;
    return job;
}

StenoJob *steno_job_start(const StenoJobSpec *spec, const StenoJobPlace *place, const StenoLog *log,
                          const StenoJobEvents *events, gpointer user, GError **error)
{
    if (!steno_job_spec_check(spec, error) || !steno_sink_local.check(place->root, error))
        return NULL;
    g_autofree char *spool = spool_of(place);
    if (g_mkdir_with_parents(spool, 0700) != 0 || !steno_sink_local.check(spool, error)) {
        g_prefix_error(error, "the spool folder: ");
        return NULL;
    }
    StenoJob *job = job_new(spec, place, spool, log, events, user);
    if (job_start_recorder(job, error))
        return job;
    steno_job_free(job);
    return NULL;
}

StenoJob *steno_job_resume(const StenoJobSpec *spec, gboolean record, const StenoJobPlace *place, const StenoLog *log,
                           const StenoJobEvents *events, gpointer user, GError **error)
{
    /* Storage that cannot be written now stops nobody from recording: it is seen when the files are stored. */
    g_autofree char *spool = spool_of(place);
    if (!steno_job_spec_check(spec, error))
        return NULL;
    if (!g_file_test(spool, G_FILE_TEST_IS_DIR)) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_STORAGE_UNWRITABLE,
                    "going on with recording %s: the spool folder '%s' is not there (is it mounted?)", spec->id, spool);
        return NULL;
    }
    StenoJob *job = job_new(spec, place, spool, log, events, user);
    job->told = (EventPosition){place->event_part, place->event_seq};
    job->resumed = TRUE;
    job->stopping = !record;
    job_next(job, 0, job_look);
    return job;
}

/* ---- while it runs ----------------------------------------------------------------------------------------------- */

void steno_job_stop(StenoJob *job, const char *end_reason)
{
    if (job->phase == PHASE_ENDED || job->stop_reason)
        return;
    job->stopping = TRUE;
    job->stop_reason = g_strdup(end_reason);
    job_stop_recording(job);
}

void steno_job_pause(StenoJob *job, gboolean paused)
{
    job->paused = paused;
    job_send_pause(job);
}

void steno_job_update(StenoJob *job)
{
    job_send_update(job);
    if (job->awaiting_token && job->spec->token)
        job_next(job, 0, job_record);
}

void steno_job_assemble_now(StenoJob *job)
{
    if (job->assembly_wanted)
        job_assemble(job);
}

void steno_job_free(StenoJob *job)
{
    if (!job)
        return;
    guint sources[] = {job->timer, job->watch_timer, job->stop_timer};
    for (guint i = 0; i < G_N_ELEMENTS(sources); i++) {
        if (sources[i])
            g_source_remove(sources[i]);
    }
    recorder_process_free(job->recorder);
    if (job->assembler)
        job_assembler_cancel(job->assembler);
    if (job->delivery)
        delivery_cancel(job->delivery);
    g_clear_error(&job->stalled);
    g_clear_error(&job->error);
    g_free(job->state);
    g_free(job->stop_reason);
    g_free(job->end_reason);
    g_free(job->runtime_dir);
    g_free(job->assembled);
    g_free(job->capture);
    g_free(job->root);
    g_free(job);
}
