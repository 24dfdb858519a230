/* What is captured becomes files, and these go to storage: nothing is "completed" before they are proven there. */
#include "job_internal.h"

#include "capture_folder.h"

#include "steno/base/error.h"

/* An assembly that dies so often will die again. */
#define CRASHES_MAX 3

/* Another one has ended or is ending the same work: an assembly that is being killed, a thread of a job that was left.
 */
static gboolean is_anothers(const GError *error)
{
    return g_error_matches(error, STENO_ERROR, STENO_ERROR_CONFLICT);
}

/* It has stored the capture and let it go, so that this was all in vain. */
static gboolean was_anothers(StenoJob *job)
{
    if (g_file_test(job->capture, G_FILE_TEST_IS_DIR))
        return FALSE;
    job->stopping = TRUE;
    job_next(job, 0, job_look);
    return TRUE;
}

static void try_again(StenoJob *job, void (*step)(StenoJob *job))
{
    job_next(job, retry_delay_ms(job->attempts++, g_random_int()), step);
}

void job_finish(StenoJob *job, const char *folder)
{
    gboolean kept = g_file_test(job->capture, G_FILE_TEST_IS_DIR);
    job_tell_state(job, job->error ? "failed" : "completed");
    job->events->done(job->user, folder, kept ? job->capture : NULL, job->end_reason ? job->end_reason : "stopped",
                      job->error);
}

/* ---- store ------------------------------------------------------------------------------------------------------- */

static void store_again(StenoJob *job)
{
    /* Somebody may have made room in the wrong place. */
    g_autofree char *manifest = g_build_filename(job->assembled, "manifest.json", NULL);
    if (g_file_test(manifest, G_FILE_TEST_EXISTS))
        job_store(job);
    else
        job_assemble(job);
}

static void on_delivered(gpointer user, const char *folder, const GError *error, const GError *warning)
{
    StenoJob *job = user;
    g_autofree char *stored = g_strdup(folder);
    job->delivery = NULL;
    if (error && was_anothers(job))
        return;
    if (error && job->outlive && (steno_error_is_storage(error) || is_anothers(error))) {
        steno_warning(job->log, "storing is tried again, until it succeeds: %s", error->message);
        try_again(job, store_again);
        if (!is_anothers(error))
            job_tell_error(job, "storing_blocked", error);
        return;
    }
    if (error)
        job_set_error(job, g_error_copy(error));
    if (warning)
        steno_warning(job->log, "the recording is stored, but its capture could not be removed: %s", warning->message);
    job_finish(job, stored);
}

void job_store(StenoJob *job)
{
    const DeliveryConfig config = {
        .capture = job->capture,
        .assembled = job->assembled,
        .root = job->root,
        .keep_capture = job->keep_capture,
        .done = on_delivered,
        .user = job,
    };
    job->delivery = delivery_start(&config);
    job_tell_state(job, "storing");
}

/* ---- assemble ---------------------------------------------------------------------------------------------------- */

static void assembly_failed(StenoJob *job, const GError *error, gboolean crashed)
{
    gboolean blocked = job->outlive && (steno_error_is_storage(error) || is_anothers(error));
    if (was_anothers(job))
        return;
    if (blocked || (crashed && ++job->crashes < CRASHES_MAX)) {
        steno_warning(job->log, "assembling is tried again: %s", error->message);
        try_again(job, job_assemble);
        if (blocked && !is_anothers(error))
            job_tell_error(job, "assembling_blocked", error);
        return;
    }
    job_set_error(job, g_error_copy(error));
    job_finish(job, NULL);
}

static void on_progress(gpointer user, double done)
{
    StenoJob *job = user;
    json_t *event = json_pack("{s:s, s:f}", "event", "assembly", "progress", done);
    job->events->event(job->user, event);
    json_decref(event);
}

static void on_assembled(gpointer user, const GError *error, gboolean crashed)
{
    StenoJob *job = user;
    gboolean nothing = g_error_matches(error, STENO_ERROR, STENO_ERROR_NOTHING_RECORDED);
    job->assembler = NULL;
    if (error && !nothing) {
        assembly_failed(job, error, crashed);
        return;
    }
    if (error)
        job_set_error(job, g_error_copy(error));
    job->attempts = 0;
    /* A recording without media has its manifest all the same: it tells that there was nothing, and why. */
    job_store(job);
}

static const AssemblerEvents assembler_events = {.progress = on_progress, .done = on_assembled};

void job_assemble(StenoJob *job)
{
    g_autoptr(GError) error = NULL;
    job->assembly_wanted = FALSE;
    job->assembler = job_assembler_run(job->capture, job->assembled, job->spec->outputs, job->spec->audio,
                                       &assembler_events, job, &error);
    if (!job->assembler)
        assembly_failed(job, error, g_error_matches(error, STENO_ERROR, STENO_ERROR_INTERNAL));
}

static void want_assembly(StenoJob *job)
{
    if (job_capture_parts(job->capture) == 0) {
        if (!job->error)
            job_set_error(job, g_error_new_literal(STENO_ERROR, STENO_ERROR_NOTHING_RECORDED,
                                                   "nothing was recorded: the channel was never joined"));
        (void)job_capture_remove(job->capture, NULL);
        job_finish(job, NULL);
        return;
    }
    job->assembly_wanted = TRUE;
    job_tell_state(job, "assembling");
    if (job->events->assembly_wanted)
        job->events->assembly_wanted(job->user);
    else
        job_assemble(job);
}

/* ---- the end of recording ---------------------------------------------------------------------------------------- */

void job_end(StenoJob *job, const char *end_reason, GError *error)
{
    g_autoptr(GError) why = NULL;
    job->phase = PHASE_ENDED;
    g_free(job->end_reason);
    job->end_reason = g_strdup(end_reason);
    if (error)
        job_set_error(job, error);
    /* From here on whoever comes assembles. Without it, a capture whose recorder told no ending would go on. */
    if (g_file_test(job->capture, G_FILE_TEST_IS_DIR) && !job_ending_write(job->capture, end_reason, job->error, &why))
        steno_warning(job->log, "the recording's ending could not be written: %s", why->message);
    job_next(job, 0, want_assembly);
}
