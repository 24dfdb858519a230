/* What is proven in storage is marked as stored, told, and what was captured of it may go. */
#include "job_internal.h"

#include "steno/base/error.h"

#include <fcntl.h>
#include <unistd.h>

/* Joined files of sections that a storage does not let go are left there after so many attempts. */
#define UNDO_ATTEMPTS 5

typedef struct {
    char *capture;
    StenoCaptureSection of;
    gboolean keep_parts;
    json_t *manifest; /* to be marked; a copy of our own */
    int lock_fd;

    /* Of the whole. */
    StenoStore *stores[STENO_JOB_STORES_MAX];
    char *folders[STENO_JOB_STORES_MAX];
    guint n_stores;
    gboolean undo, keep_capture;
    GCancellable *cancellable;     /* the thread's */
    GError *unreachable, *refused; /* why joined files of sections are still there */

    GError *error;
} Closing;

static void closing_free(gpointer data)
{
    Closing *closing = data;
    for (guint i = 0; i < closing->n_stores; i++) {
        steno_store_unref(closing->stores[i]);
        g_free(closing->folders[i]);
    }
    json_decref(closing->manifest);
    g_clear_error(&closing->unreachable);
    g_clear_error(&closing->refused);
    g_clear_error(&closing->error);
    g_free(closing->capture);
    g_free(closing);
}

static Closing *closing_new(const Section *section)
{
    const StenoJob *job = section->job;
    Closing *closing = g_new0(Closing, 1);
    closing->capture = g_strdup(job->capture);
    closing->of = section->of;
    closing->keep_parts = job->spec->rotate_join || job->keep_capture;
    closing->lock_fd = fcntl(job->lock_fd, F_DUPFD_CLOEXEC, 0);
    return closing;
}

static gboolean on_timer(gpointer data)
{
    Section *section = data;
    section->timer = 0;
    job_advance(section->job);
    return G_SOURCE_REMOVE;
}

static void rest(Section *section)
{
    section->timer = g_timeout_add(retry_delay_ms(section->attempts++, g_random_int()), on_timer, section);
}

/* ---- marking ----------------------------------------------------------------------------------------------------- */

static void run_mark(Worker *worker, gpointer data, GCancellable *cancellable)
{
    Closing *closing = data;
    (void)worker;
    (void)cancellable;
    gboolean marked =
        steno_capture_section_stored(closing->capture, &closing->of, json_incref(closing->manifest), &closing->error);
    if (!marked && g_error_matches(closing->error, STENO_ERROR, STENO_ERROR_STORAGE_FULL)) {
        /* Its files can be made again: they make room for the mark, by which its parts make room. */
        g_clear_error(&closing->error);
        (void)(job_capture_forget_section(closing->capture, closing->of.number, 0, 0, &closing->error) &&
               steno_capture_section_stored(closing->capture, &closing->of, json_incref(closing->manifest),
                                            &closing->error));
    }
    close(closing->lock_fd);
}

static void on_marked(gpointer user, gpointer data)
{
    Section *section = user;
    StenoJob *job = section->job;
    Closing *closing = data;
    section->worker = NULL;
    section->stored_before = !closing->error;
    if (closing->error && !job_is_patient(job)) {
        job_fail(job, g_steal_pointer(&closing->error));
        return;
    }
    if (closing->error) {
        steno_warning(job->log, "a section is stored, but this can't be written down: %s", closing->error->message);
        rest(section);
    }
    job_advance(job);
}

static void mark(Section *section)
{
    static const WorkerKind kind = {.run = run_mark, .done = on_marked, .free = closing_free};
    Closing *closing = closing_new(section);
    closing->manifest = json_deep_copy(section->shipment->manifest);
    section->worker = worker_start(&kind, closing, section);
}

/* ---- removing a section's parts ---------------------------------------------------------------------------------- */

static void run_clear(Worker *worker, gpointer data, GCancellable *cancellable)
{
    Closing *closing = data;
    guint first = closing->keep_parts ? 0 : closing->of.first_part;
    guint last = closing->keep_parts ? 0 : closing->of.last_part;
    (void)worker;
    (void)cancellable;
    (void)job_capture_forget_section(closing->capture, closing->of.number, first, last, &closing->error);
    close(closing->lock_fd);
}

static void on_cleared(gpointer user, gpointer data)
{
    Section *section = user;
    StenoJob *job = section->job;
    const Closing *closing = data;
    section->worker = NULL;
    if (closing->error)
        steno_warning(job->log, "a section is stored, but what was captured of it could not be removed: %s",
                      closing->error->message);
    job_section_remove(section);
    job_advance(job);
}

static void tell_and_clear(Section *section)
{
    static const WorkerKind kind = {.run = run_clear, .done = on_cleared, .free = closing_free};
    StenoJob *job = section->job;
    json_t *stored = job_capture_stored_section(job->capture, section->of.number);
    json_t *manifest = json_object_get(stored, "manifest");
    if (manifest)
        job_tell_event(job,
                       json_pack("{s:s, s:i, s:O, s:O}", "event", "section_stored", "section", (int)section->of.number,
                                 "outputs", json_object_get(manifest, "outputs"), "manifest", manifest));
    json_decref(stored);
    section->worker = worker_start(&kind, closing_new(section), section);
}

/* ---- the whole --------------------------------------------------------------------------------------------------- */

static void undo_section(gpointer user, const json_t *stored)
{
    Closing *closing = user;
    guint number = (guint)json_integer_value(json_object_get(stored, "section"));
    for (guint i = 0; i < closing->n_stores; i++) {
        g_autoptr(GError) why = NULL;
        if (job_deliver_undo(closing->stores[i], closing->folders[i], number, json_object_get(stored, "manifest"),
                             closing->cancellable, &why))
            continue;
        GError **place = g_error_matches(why, STENO_ERROR, STENO_ERROR_STORAGE_UNREACHABLE) ? &closing->unreachable
                                                                                            : &closing->refused;
        if (!*place)
            *place = g_steal_pointer(&why);
    }
}

static void run_whole(Worker *worker, gpointer data, GCancellable *cancellable)
{
    Closing *closing = data;
    (void)worker;
    closing->cancellable = cancellable;
    if (closing->undo)
        job_capture_stored_sections(closing->capture, undo_section, closing);
    if (!closing->unreachable && !closing->keep_capture && !g_cancellable_is_cancelled(cancellable))
        (void)steno_job_capture_forget(closing->capture, &closing->error);
    close(closing->lock_fd);
}

static const Storing *find_stored(const Section *section)
{
    for (guint i = 0; i < section->job->n_stores; i++) {
        if (section->storings[i].state == STORING_STORED)
            return &section->storings[i];
    }
    return NULL;
}

static void finish(Section *section)
{
    StenoJob *job = section->job;
    StenoStore *store = job->stores[find_stored(section)->store].store;
    g_autofree char *folder = recording_place_folder(&job->place, store);
    g_autofree char *uri = steno_store_uri(store, folder);
    job_finish(job, section->shipment->manifest, uri);
}

static void on_whole_closed(gpointer user, gpointer data)
{
    Section *section = user;
    StenoJob *job = section->job;
    const Closing *closing = data;
    const GError *left = closing->unreachable ? closing->unreachable : closing->refused;
    section->worker = NULL;
    if (closing->unreachable && job_is_patient(job) && section->attempts < UNDO_ATTEMPTS) {
        rest(section);
        return;
    }
    if (left)
        steno_warning(job->log, "files of sections, which are joined now, are left in storage: %s", left->message);
    if (closing->unreachable) {
        section->crashes = UNDO_ATTEMPTS; /* not again: what is still to be done is to let the capture go */
        job_advance(job);
        return;
    }
    if (closing->error)
        steno_warning(job->log, "the recording is stored, but its capture could not be removed: %s",
                      closing->error->message);
    finish(section);
}

static void close_whole(Section *section)
{
    static const WorkerKind kind = {.run = run_whole, .done = on_whole_closed, .free = closing_free};
    const StenoJob *job = section->job;
    Closing *closing = closing_new(section);
    closing->keep_capture = job->keep_capture;
    closing->undo = job->spec->rotate_join && section->crashes < UNDO_ATTEMPTS;
    closing->n_stores = job->n_stores;
    for (guint i = 0; i < job->n_stores; i++) {
        closing->stores[i] = steno_store_ref(job->stores[i].store);
        closing->folders[i] = recording_place_folder(&job->place, job->stores[i].store);
    }
    section->worker = worker_start(&kind, closing, section);
}

void section_close(Section *section)
{
    if (section->of.number == 0)
        close_whole(section);
    else if (section->stored_before)
        tell_and_clear(section);
    else
        mark(section);
}
