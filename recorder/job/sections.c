/* What is to be stored, in its order: sections that a rotation closed, while it is recorded, and in the end the rest.
 */
#include "job_internal.h"

#include "steno/base/error.h"

#include <unistd.h>

/* ---- the queue --------------------------------------------------------------------------------------------------- */

gboolean job_is_patient(const StenoJob *job)
{
    return job->outlive || job->phase != PHASE_ENDED;
}

gboolean section_is_head(const Section *section)
{
    return g_queue_peek_head(&section->job->sections) == section;
}

Section *section_before(const Section *section)
{
    GList *link = g_queue_find(&section->job->sections, section);
    return link && link->prev ? link->prev->data : NULL;
}

static Section *section_add(StenoJob *job, const StenoCaptureSection *of)
{
    Section *section = g_new0(Section, 1);
    section->job = job;
    section->of = *of;
    section->folder = job_capture_out(job->capture, of->number);
    section_storing_init(section);
    g_queue_push_tail(&job->sections, section);
    return section;
}

static void section_free(Section *section)
{
    StenoJob *job = section->job;
    if (job->assembling == section) {
        job_assembler_cancel(job->assembler);
        job->assembling = NULL;
        job->assembler = NULL;
    }
    if (section->timer)
        g_source_remove(section->timer);
    worker_leave(section->worker);
    section_storing_clear(section);
    shipment_unref(section->shipment);
    g_clear_error(&section->lacking);
    g_free(section->folder);
    g_free(section);
}

void job_section_remove(Section *section)
{
    g_queue_remove(&section->job->sections, section);
    section_free(section);
}

void job_sections_clear(StenoJob *job)
{
    Section *section;
    while ((section = g_queue_pop_tail(&job->sections)))
        section_free(section);
    if (job->lock_fd >= 0)
        close(job->lock_fd);
    job->lock_fd = -1;
}

/* ---- taking stock ------------------------------------------------------------------------------------------------ */

static gboolean has(const StenoJob *job, guint number)
{
    for (GList *link = job->sections.head; link; link = link->next) {
        const Section *section = link->data;
        if (section->of.number == number)
            return TRUE;
    }
    return FALSE;
}

/* What was told as stored, and could not be removed any more. */
static void add_stored(StenoJob *job, const StenoCaptureSection *of)
{
    g_autofree char *out = job_capture_out(job->capture, of->number);
    if (!g_file_test(out, G_FILE_TEST_IS_DIR))
        return;
    Section *section = section_add(job, of);
    section->stage = STAGE_CLOSING;
    section->stored_before = TRUE;
}

static void add_closed(StenoJob *job, const StenoCaptureSection *of)
{
    Section *section = section_add(job, of);
    g_autofree char *name = shipment_manifest_name(of->number);
    g_autofree char *manifest = g_build_filename(section->folder, name, NULL);
    /* The manifest is made last, and a closed section does not change any more: it is assembled. */
    if (g_file_test(manifest, G_FILE_TEST_EXISTS))
        section->stage = STAGE_SEALING;
}

static void add_whole(StenoJob *job)
{
    const StenoCaptureSection whole = {.number = 0};
    Section *section = section_add(job, &whole);
    if (job_ending_is_assembled(job->capture))
        section->stage = STAGE_SEALING;
}

static void add_sections(StenoJob *job)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GArray) sections = steno_capture_sections(job->capture, &error);
    if (!sections)
        steno_warning(job->log, "its sections cannot be told apart: %s", error->message);
    for (guint i = 0; sections && i < sections->len; i++) {
        const StenoCaptureSection *of = &g_array_index(sections, StenoCaptureSection, i);
        if (has(job, of->number))
            continue;
        if (of->stored)
            add_stored(job, of);
        else if (of->end_wall_us > 0)
            add_closed(job, of);
    }
}

static void nothing_was_captured(StenoJob *job)
{
    /* What another job is at, or has stored and let go meanwhile, is not nothing. */
    if (job->stock_attempts > 0 && !g_file_test(job->capture, G_FILE_TEST_IS_DIR)) {
        job->stopping = TRUE;
        job_next(job, 0, job_look);
        return;
    }
    if (!job->error)
        job_set_error(job, g_error_new_literal(STENO_ERROR, STENO_ERROR_NOTHING_RECORDED,
                                               "nothing was recorded: the channel was never joined"));
    (void)job_capture_remove(job->capture, NULL);
    job_finish(job, NULL, NULL);
}

static gboolean on_stock_timer(gpointer data)
{
    StenoJob *job = data;
    job->stock_timer = 0;
    job_advance(job);
    return G_SOURCE_REMOVE;
}

/* Another one assembles or stores this capture: a thread of a job that was left, or somebody by hand. */
static gboolean hold_lock(StenoJob *job)
{
    g_autoptr(GError) error = NULL;
    if (job->lock_fd < 0)
        job->lock_fd = job_capture_lock(job->capture, &error);
    if (job->lock_fd >= 0)
        return TRUE;
    if (job->stock_attempts == 0)
        steno_notice(job->log, "storing waits: %s", error->message);
    job->stock_timer = g_timeout_add(rejoin_delay_ms(job->stock_attempts++, g_random_int()), on_stock_timer, job);
    return FALSE;
}

/* FALSE: it is not known yet, or the job is over. */
static gboolean take_stock(StenoJob *job)
{
    gboolean ended = job->phase == PHASE_ENDED, captured = job_capture_parts(job->capture) > 0;
    if (job->stock_timer)
        return FALSE;
    if (!captured && ended) {
        nothing_was_captured(job);
        return FALSE;
    }
    if (captured && !hold_lock(job))
        return FALSE;
    job->stock_wanted = FALSE;
    job->stock_attempts = 0;
    if (!captured)
        return TRUE;
    g_autoptr(GError) error = NULL;
    if (!job->place.id && !job_capture_place(job->capture, &job->place, &error)) {
        job_fail(job, g_steal_pointer(&error));
        return FALSE;
    }
    add_sections(job);
    if (ended && !has(job, 0))
        add_whole(job);
    return TRUE;
}

/* ---- getting on -------------------------------------------------------------------------------------------------- */

/* Before a store asks for it, an assembly would only take up room. The whole takes in all that was stored before. */
static gboolean is_assembly_due(const Section *section)
{
    const Section *before = section_before(section);
    if (!before)
        return TRUE;
    if (section->of.number == 0 || section->job->first)
        return FALSE;
    for (guint i = 0; i < section->job->n_stores; i++) {
        if (before->storings[i].state == STORING_STORED)
            return TRUE;
    }
    return FALSE;
}

static void section_advance(Section *section)
{
    if (section->timer || section->worker)
        return;
    switch (section->stage) {
    case STAGE_CLOSED:
        if (is_assembly_due(section))
            section_want_assembly(section);
        break;
    case STAGE_ASSEMBLING:
        break;
    case STAGE_SEALING:
        section_seal(section);
        break;
    case STAGE_STORING:
        section_store(section);
        break;
    case STAGE_CLOSING:
        if (section_is_head(section))
            section_close(section);
        break;
    }
}

static void tell_stage(StenoJob *job)
{
    const Section *head = g_queue_peek_head(&job->sections);
    if (job->phase == PHASE_ENDED && head)
        job_tell_state(job, head->stage < STAGE_STORING ? "assembling" : "storing");
}

static gboolean on_work(gpointer data)
{
    StenoJob *job = data;
    job->work_source = 0;
    if (job->finishing)
        return G_SOURCE_REMOVE;
    if (job->stock_wanted && !take_stock(job))
        return G_SOURCE_REMOVE;
    tell_stage(job);
    for (GList *link = job->sections.head; link && !job->finishing; link = link->next)
        section_advance(link->data);
    /* Nothing is to be done, until another section is closed: others may have the capture meanwhile. */
    if (g_queue_is_empty(&job->sections) && job->lock_fd >= 0)
        job_sections_clear(job);
    return G_SOURCE_REMOVE;
}

void job_advance(StenoJob *job)
{
    if (!job->work_source && !job->finishing)
        job->work_source = g_idle_add_full(G_PRIORITY_DEFAULT, on_work, job, NULL);
}

void job_take_stock(StenoJob *job)
{
    job->stock_wanted = TRUE;
    job_advance(job);
}
