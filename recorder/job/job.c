/* One recording from the outside: what its owner may do. */
#include "job_internal.h"

#include "steno/base/error.h"
#include "steno/envelope.h"

#include <errno.h>
#include <string.h>

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

/* A local store without anything else beside it is what a machine without configuration has. */
static char *local_root(const StenoJobPlace *place)
{
    g_autofree char *uri = steno_store_uri(place->stores[0], "");
    return g_str_has_prefix(uri, "file://") ? g_filename_from_uri(uri, NULL, NULL) : NULL;
}

static char *spool_of(const StenoJobPlace *place, GError **error)
{
    g_autofree char *root = place->n_stores > 0 ? local_root(place) : NULL;
    if (place->n_stores == 0 || place->n_stores > STENO_JOB_STORES_MAX) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_USAGE, "a recording goes to 1–%d storages, not to %u",
                    STENO_JOB_STORES_MAX, place->n_stores);
        return NULL;
    }
    if (!place->spool && !root) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_USAGE,
                    "a spool folder must be given where the first storage is none of this machine");
        return NULL;
    }
    g_autofree char *spool = place->spool ? g_strdup(place->spool) : g_build_filename(root, ".spool", NULL);
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
    job->lock_fd = -1;
    g_queue_init(&job->sections);
    job->n_stores = place->n_stores;
    for (guint i = 0; i < place->n_stores; i++)
        job->stores[i].store = steno_store_ref(place->stores[i]);
    job->first = place->first;
    if (place->timestamps)
        job->timestamps =
            (StenoTimestampAuthority){g_strdup(place->timestamps->url), g_strdup(place->timestamps->ca_file)};
    job->sealing = (Sealing){
        .signer = place->signer ? steno_signer_ref(place->signer) : NULL,
        .timestamps = place->timestamps ? &job->timestamps : NULL,
        .required = place->timestamp_required,
    };
    job->started_wall_us = place->started_wall_us;
    job->frames_told = place->frames;
    job->capture = g_build_filename(spool, spec->id, NULL);
    job->runtime_dir = g_strdup(place->runtime_dir);
    job->keep_capture = place->keep_capture;
    job->outlive = place->outlive;
    job->restarts_max = place->restarts_max;
    job->watch.stall_s = place->stall_s;
    job->paused = spec->paused;
    return job;
}

static gboolean check_root(const StenoJobPlace *place, GError **error)
{
    g_autofree char *root = place->n_stores == 1 ? local_root(place) : NULL;
    return !root || steno_store_check(place->stores[0], NULL, error);
}

static gboolean check_spool(const char *spool, GError **error)
{
    g_autoptr(StenoStore) store = steno_store_open_local(spool);
    gboolean good = g_mkdir_with_parents(spool, 0700) == 0 && steno_store_check(store, NULL, error);
    if (!good && error && !*error)
        (void)steno_error_set_errno(error, errno, "making '%s'", spool);
    if (!good)
        g_prefix_error(error, "the spool folder: ");
    return good;
}

/* Told before anybody is recorded, rather than when the files are to be stored. */
static gboolean check_recipients(const StenoJobSpec *spec, GError **error)
{
    if (strcmp(spec->output_encryption, "cms") != 0)
        return TRUE;
    g_autoptr(StenoEnvelope) envelope = steno_envelope_new((const char *const *)spec->output_recipients, error);
    return envelope != NULL;
}

StenoJob *steno_job_start(const StenoJobSpec *spec, const StenoJobPlace *place, const StenoLog *log,
                          const StenoJobEvents *events, gpointer user, GError **error)
{
    gboolean possible = steno_job_spec_check(spec, error) && check_recipients(spec, error);
    g_autofree char *spool = possible ? spool_of(place, error) : NULL;
    if (!spool || !check_root(place, error) || !check_spool(spool, error))
        return NULL;
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
    g_autofree char *spool = steno_job_spec_check(spec, error) ? spool_of(place, error) : NULL;
    if (!spool)
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

gboolean steno_job_store_retry(StenoJob *job, const char *store)
{
    gboolean any = job_looks_retry(job, store);
    for (GList *link = job->sections.head; link; link = link->next)
        any |= section_retry(link->data, store);
    return any;
}

/* ---- its end ----------------------------------------------------------------------------------------------------- */

static void free_settings(StenoJob *job)
{
    for (guint i = 0; i < job->n_stores; i++)
        steno_store_unref(job->stores[i].store);
    steno_signer_unref(job->sealing.signer);
    g_free((char *)job->timestamps.url);
    g_free((char *)job->timestamps.ca_file);
    recording_place_clear(&job->place);
    g_free(job->runtime_dir);
    g_free(job->capture);
}

void steno_job_free(StenoJob *job)
{
    if (!job)
        return;
    guint sources[] = {job->timer, job->watch_timer, job->stop_timer, job->work_source, job->stock_timer};
    for (guint i = 0; i < G_N_ELEMENTS(sources); i++) {
        if (sources[i])
            g_source_remove(sources[i]);
    }
    recorder_process_free(job->recorder);
    worker_leave(job->looking);
    job_sections_clear(job);
    g_clear_error(&job->stalled);
    g_clear_error(&job->error);
    json_decref(job->manifest);
    g_free(job->uri);
    g_free(job->state);
    g_free(job->stop_reason);
    g_free(job->end_reason);
    free_settings(job);
    g_free(job);
}
