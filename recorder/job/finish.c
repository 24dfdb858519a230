/* The end: nothing is "completed" before it is proven in storage. */
#include "job_internal.h"

#include "steno/base/error.h"

static void finish(StenoJob *job)
{
    gboolean kept = g_file_test(job->capture, G_FILE_TEST_IS_DIR);
    const StenoJobResult result = {
        .manifest = job->manifest,
        .uri = job->uri,
        .capture = kept ? job->capture : NULL,
        .end_reason = job->end_reason ? job->end_reason : "stopped",
        .error = job->error,
    };
    job_sections_clear(job);
    job_tell_state(job, job->error ? "failed" : "completed");
    job->events->done(job->user, &result);
}

void job_finish(StenoJob *job, const json_t *manifest, const char *uri)
{
    if (job->finishing)
        return;
    job->finishing = TRUE;
    job->phase = PHASE_ENDED;
    job->manifest = json_incref((json_t *)manifest);
    job->uri = g_strdup(uri);
    job_next(job, 0, finish);
}

static gboolean is_whole(const Section *section)
{
    return section && section->of.number == 0 && section->shipment;
}

void job_fail(StenoJob *job, GError *error)
{
    const Section *head = g_queue_peek_head(&job->sections);
    g_autofree char *uri = NULL;
    if (job->phase != PHASE_ENDED) {
        steno_error(job->log, "what is recorded cannot be stored yet: %s", error->message);
        g_error_free(error);
        return;
    }
    job_set_error(job, error);
    for (guint i = 0; is_whole(head) && !uri && i < job->n_stores; i++) {
        StenoStore *store = job->stores[i].store;
        g_autofree char *folder = recording_place_folder(&job->place, store);
        if (head->storings[i].state == STORING_STORED)
            uri = steno_store_uri(store, folder);
    }
    job_finish(job, uri ? head->shipment->manifest : NULL, uri);
}

/* What rests was patient while it was recorded: in the foreground it has one attempt more. */
static void hurry(StenoJob *job)
{
    for (GList *link = job->sections.head; link; link = link->next) {
        Section *section = link->data;
        section->crashes = 0;
        (void)section_retry(section, NULL);
        if (section->timer)
            g_source_remove(section->timer);
        section->timer = 0;
    }
}

void job_end(StenoJob *job, const char *end_reason, GError *error)
{
    g_autoptr(GError) why = NULL;
    job->phase = PHASE_ENDED;
    g_free(job->end_reason);
    job->end_reason = g_strdup(end_reason);
    if (error)
        job_set_error(job, error);
    /* From here on whoever comes assembles. Without it, a capture whose recorder told no ending would go on. */
    json_t *known = job_ending_read(job->capture);
    if (!known && g_file_test(job->capture, G_FILE_TEST_IS_DIR) &&
        !job_ending_write(job->capture, end_reason, job->error, &why))
        steno_warning(job->log, "the recording's ending could not be written: %s", why->message);
    json_decref(known);
    if (!job->outlive)
        hurry(job);
    job_take_stock(job);
}
