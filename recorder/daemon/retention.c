#include "retention.h"

#include "retention_delete.h"
#include "retention_private.h"

#include "steno/base/clock.h"
#include "steno/base/error.h"

#include <gio/gio.h>
#include <string.h>

#define DAY_US ((gint64)86400 * G_USEC_PER_SEC)
#define DEFAULT_HOLD_LABEL "legal_hold"

/* What the thread has. */
typedef struct {
    gatomicrefcount references;
    Deletion *deletion; /* NULL: nobody waits for it any more; main thread only */
    char *id, *app;
    GPtrArray *places; /* of RetentionPlace; those that a lock may protect come first */
    GCancellable *cancellable;
    gboolean removing; /* else verifying */
} Work;

/* One recording whose files are to go. */
struct Deletion {
    Retention *retention;
    char *id;
    StenoActor *actor; /* NULL: stenod itself */
    const char *reason;
    RetentionDone done;
    gpointer user;
    GError *error; /* refused from the start */
    Work *work;
};

/* ---- making and freeing ------------------------------------------------------------------------------------------ */

static Work *work_new(Deletion *deletion, const char *app)
{
    Work *work = g_new0(Work, 1);
    g_atomic_ref_count_init(&work->references);
    work->deletion = deletion;
    work->id = g_strdup(deletion->id);
    work->app = g_strdup(app);
    work->cancellable = g_cancellable_new();
    work->places = g_ptr_array_new_with_free_func((GDestroyNotify)retention_place_free);
    return work;
}

static Work *work_ref(Work *work)
{
    g_atomic_ref_count_inc(&work->references);
    return work;
}

static void work_unref(gpointer data)
{
    Work *work = data;
    if (!g_atomic_ref_count_dec(&work->references))
        return;
    g_free(work->id);
    g_free(work->app);
    g_ptr_array_unref(work->places);
    g_object_unref(work->cancellable);
    g_free(work);
}

static void deletion_free(Deletion *deletion)
{
    if (deletion->work) {
        g_cancellable_cancel(deletion->work->cancellable);
        deletion->work->deletion = NULL;
        work_unref(deletion->work);
    }
    if (deletion->actor) {
        g_free(deletion->actor->id);
        g_free(deletion->actor->app);
        g_free(deletion->actor->address);
        g_free(deletion->actor);
    }
    g_clear_error(&deletion->error);
    g_free(deletion->id);
    g_free(deletion);
}

static void take_next(Retention *retention);

static void finish(Deletion *deletion, const GError *error)
{
    Retention *retention = deletion->retention;
    if (retention->running == deletion)
        retention->running = NULL;
    deletion->done(deletion->user, error);
    deletion_free(deletion);
    take_next(retention);
}

static void fail(Deletion *deletion, StenoError code, const char *format, ...) G_GNUC_PRINTF(3, 4);
static void fail(Deletion *deletion, StenoError code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_autoptr(GError) error = g_error_new_valist(STENO_ERROR, (int)code, format, arguments);
    va_end(arguments);
    finish(deletion, error);
}

/* ---- may it go? -------------------------------------------------------------------------------------------------- */

gboolean retention_is_held(const Retention *retention, const StenoJournalRecording *row)
{
    const StenoConfigApp *app = steno_config_app(retention->config, row->app);
    const char *label = app ? app->legal_hold_label : DEFAULT_HOLD_LABEL;
    return row->legal_hold || (label && json_object_get(row->labels, label));
}

/* The row, when its files may go; else it has ended with an error. */
static StenoJournalRecording *read_row(Deletion *deletion)
{
    Retention *retention = deletion->retention;
    g_autoptr(GError) error = NULL;
    g_autoptr(StenoJournalRecording) row = steno_journal_recording_get(retention->journal, deletion->id, &error);
    if (!row && error) {
        finish(deletion, error);
        return NULL;
    }
    if (!row) {
        fail(deletion, STENO_ERROR_NOT_FOUND, "there is no recording %s", deletion->id);
        return NULL;
    }
    const StenoConfigApp *app = steno_config_app(retention->config, row->app);
    gint64 days = app ? app->retention_days : 0;
    if (strcmp(row->state, "completed") != 0 && strcmp(row->state, "failed") != 0)
        fail(deletion, STENO_ERROR_CONFLICT, "recording %s is %s: stop it first", row->id, row->state);
    else if (retention_is_held(retention, row))
        fail(deletion, STENO_ERROR_LEGAL_HOLD, "recording %s is on legal hold", row->id);
    else if (deletion->actor && steno_clock_wall_us() < row->ended_us + days * DAY_US)
        fail(deletion, STENO_ERROR_LEGAL_HOLD,
             "recording %s must be kept for the %" G_GINT64_FORMAT " days of retention of the app %s", row->id, days,
             row->app);
    else
        return g_steal_pointer(&row);
    return NULL;
}

/* ---- the audit --------------------------------------------------------------------------------------------------- */

static gboolean append(Deletion *deletion, const char *app, const char *result, json_t *detail, GError **error)
{
    const StenoActor *actor = deletion->actor;
    StenoAuditEntry entry = {
        .actor = actor ? actor->id : "stenod",
        .role = actor ? steno_role_name(actor->role) : NULL,
        .address = actor ? actor->address : NULL,
        .action = "file.delete",
        .app = app,
        .target = deletion->id,
        .result = result,
        .detail = detail,
    };
    json_object_set_new(detail, "reason", json_string(deletion->reason));
    gboolean appended = steno_audit_append(deletion->retention->audit, &entry, error);
    json_decref(detail);
    return appended;
}

/* Before anything goes: what exactly. */
static gboolean audit_begin(Deletion *deletion, const char *app, GError **error)
{
    for (guint i = 0; i < deletion->work->places->len; i++) {
        const RetentionPlace *place = g_ptr_array_index(deletion->work->places, i);
        json_t *detail = json_pack("{s:s, s:s, s:s, s:O}", "stage", "begin", "storage", steno_store_name(place->store),
                                   "folder", place->key, "files", place->files);
        if (!append(deletion, app, "ok", detail, error))
            return FALSE;
    }
    return TRUE;
}

/* How it went. The deletion stands, whether this can be written or not. */
static void audit_end(Deletion *deletion, const char *app, const GError *result)
{
    g_autoptr(GError) error = NULL;
    json_t *detail = json_pack("{s:s}", "stage", "end");
    if (result)
        json_object_set_new(detail, "error", steno_error_to_json(result));
    const char *slug = !result                         ? "ok"
                       : result->domain == STENO_ERROR ? steno_error_slug((StenoError)result->code)
                                                       : "internal";
    if (!append(deletion, app, slug, detail, &error))
        steno_error(deletion->retention->log, "the end of deleting recording %s is not in the audit log: %s",
                    deletion->id, error->message);
}

/* ---- the row ----------------------------------------------------------------------------------------------------- */

static gboolean is_of_places(const Work *work, const json_t *storage_name)
{
    for (guint i = 0; i < work->places->len; i++) {
        const RetentionPlace *place = g_ptr_array_index(work->places, i);
        if (g_strcmp0(json_string_value(storage_name), steno_store_name(place->store)) == 0)
            return TRUE;
    }
    return FALSE;
}

static void mark_deleted(const Work *work, StenoJournalRecording *row)
{
    g_autofree char *now = steno_clock_format(steno_clock_wall_us());
    size_t i;
    json_t *one;
    json_array_foreach (json_object_get(row->detail, "files"), i, one)
        if (is_of_places(work, json_object_get(one, "storage")) && !json_is_string(json_object_get(one, "deleted_at")))
            json_object_set_new(one, "deleted_at", json_string(now));
    json_array_foreach (json_object_get(row->detail, "storages"), i, one)
        if (is_of_places(work, json_object_get(one, "name")))
            json_object_set_new(one, "state", json_string("deleted"));
    row->files_bytes = 0;
}

/* ---- one deletion, step by step ---------------------------------------------------------------------------------- */

static void on_thread_done(GObject *source, GAsyncResult *result, gpointer user);

static void work_in_thread(GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
    (void)source;
    (void)cancellable;
    Work *work = data;
    GError *error = NULL;
    for (guint i = 0; i < work->places->len && !error; i++) {
        RetentionPlace *place = g_ptr_array_index(work->places, i);
        if (work->removing)
            (void)retention_place_remove(place, work->cancellable, &error);
        else
            (void)retention_place_verify(place, work->app, work->id, work->cancellable, &error);
    }
    if (error)
        g_task_return_error(task, error);
    else
        g_task_return_boolean(task, TRUE);
}

static void run_in_thread(Work *work)
{
    g_autoptr(GTask) task = g_task_new(NULL, NULL, on_thread_done, NULL);
    g_task_set_task_data(task, work_ref(work), work_unref);
    g_task_run_in_thread(task, work_in_thread);
}

static gboolean may_be_locked(const StenoConfigStorage *settings)
{
    return settings && (settings->lock_legal_hold || strcmp(settings->lock_mode, "none") != 0);
}

static gboolean add_place(Deletion *deletion, const char *name, const char *uri, gboolean complete, GError **error)
{
    Retention *retention = deletion->retention;
    StenoStore *store = name ? retention->store(retention->store_user, name) : NULL;
    if (!store)
        return steno_error_set(error, STENO_ERROR_STORAGE_FAILED,
                               "recording %s is in the storage %s, which the configuration does not have", deletion->id,
                               name ? name : "(none)");
    RetentionPlace *place = retention_place_new(store, deletion->id, uri, complete, error);
    if (!place)
        return FALSE;
    /* What a lock forbids shall be found out before other storages have lost their files. */
    gboolean first = may_be_locked(steno_config_storage(retention->config, name));
    g_ptr_array_insert(deletion->work->places, first ? 0 : -1, place);
    return TRUE;
}

/* The places where the row says that files are stored, or some of them. */
static gboolean add_places(Deletion *deletion, const StenoJournalRecording *row, GError **error)
{
    size_t i;
    const json_t *one;
    json_array_foreach (json_object_get(row->detail, "storages"), i, one) {
        const char *state = json_string_value(json_object_get(one, "state"));
        const char *uri = json_string_value(json_object_get(one, "uri"));
        gboolean complete = g_strcmp0(state, "stored") == 0;
        if ((!complete && !uri) || g_strcmp0(state, "deleted") == 0)
            continue;
        if (!add_place(deletion, json_string_value(json_object_get(one, "name")), uri, complete, error))
            return FALSE;
    }
    return TRUE;
}

static void begin(Deletion *deletion)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(StenoJournalRecording) row = read_row(deletion);
    if (!row)
        return;
    deletion->work = work_new(deletion, row->app);
    if (!add_places(deletion, row, &error))
        finish(deletion, error);
    else if (deletion->work->places->len == 0)
        finish(deletion, NULL);
    else
        run_in_thread(deletion->work);
}

/* A hold may have come while the files were read. */
static void after_verify(Deletion *deletion)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(StenoJournalRecording) row = read_row(deletion);
    if (!row)
        return;
    if (!audit_begin(deletion, row->app, &error)) {
        finish(deletion, error);
        return;
    }
    deletion->work->removing = TRUE;
    run_in_thread(deletion->work);
}

static void after_remove(Deletion *deletion, const GError *failed)
{
    Retention *retention = deletion->retention;
    g_autoptr(GError) error = failed ? g_error_copy(failed) : NULL;
    g_autoptr(StenoJournalRecording) row = NULL;
    g_autofree char *app = NULL;
    /* As it is by now. When it is gone, there is nothing to mark. */
    row = steno_journal_recording_get(retention->journal, deletion->id, error ? NULL : &error);
    if (row) {
        app = g_strdup(row->app);
        if (!error) {
            mark_deleted(deletion->work, row);
            (void)steno_journal_recording_save(retention->journal, row, &error);
        }
    }
    audit_end(deletion, app, error);
    finish(deletion, error);
}

static void on_thread_done(GObject *source, GAsyncResult *result, gpointer user)
{
    (void)source;
    (void)user;
    Work *work = g_task_get_task_data(G_TASK(result));
    g_autoptr(GError) error = NULL;
    (void)g_task_propagate_boolean(G_TASK(result), &error);
    if (!work->deletion)
        return; /* answered by retention_free() */
    if (work->removing)
        after_remove(work->deletion, error);
    else if (error)
        finish(work->deletion, error);
    else
        after_verify(work->deletion);
}

/* ---- one after the other ----------------------------------------------------------------------------------------- */

static gboolean on_next(gpointer user)
{
    Retention *retention = user;
    Deletion *refused;
    retention->source = 0;
    while ((refused = g_queue_pop_head(&retention->refused)))
        finish(refused, refused->error);
    if (!retention->running && (retention->running = g_queue_pop_head(&retention->waiting)))
        begin(retention->running);
    return G_SOURCE_REMOVE;
}

static void take_next(Retention *retention)
{
    gboolean wanted = retention->refused.length > 0 || (!retention->running && retention->waiting.length > 0);
    if (wanted && !retention->source)
        retention->source = g_idle_add(on_next, retention);
}

static gboolean is_known(const Retention *retention, const char *id)
{
    for (const GList *at = retention->waiting.head; at; at = at->next)
        if (strcmp(((const Deletion *)at->data)->id, id) == 0)
            return TRUE;
    return retention->running && strcmp(retention->running->id, id) == 0;
}

static StenoActor *copy_actor(const StenoActor *actor)
{
    StenoActor *copy = g_new0(StenoActor, 1);
    copy->id = g_strdup(actor->id ? actor->id : "nobody");
    copy->app = g_strdup(actor->app);
    copy->role = actor->role;
    copy->address = g_strdup(actor->address);
    return copy;
}

static void add(Retention *retention, const char *recording_id, const StenoActor *actor, const char *reason,
                RetentionDone done, gpointer user)
{
    Deletion *deletion = g_new0(Deletion, 1);
    deletion->retention = retention;
    deletion->id = g_strdup(recording_id);
    deletion->actor = actor ? copy_actor(actor) : NULL;
    deletion->reason = reason;
    deletion->done = done;
    deletion->user = user;
    if (is_known(retention, recording_id))
        deletion->error = g_error_new(STENO_ERROR, STENO_ERROR_CONFLICT,
                                      "the files of recording %s are being deleted already", recording_id);
    else if (retention->waiting.length >= RETENTION_WAITING_MAX)
        deletion->error =
            g_error_new(STENO_ERROR, STENO_ERROR_TOO_MANY_REQUESTS,
                        "%d recordings wait for their files to be deleted; try again later", RETENTION_WAITING_MAX);
    g_queue_push_tail(deletion->error ? &retention->refused : &retention->waiting, deletion);
    take_next(retention);
}

void retention_delete_files(Retention *retention, const char *recording_id, const StenoActor *actor, RetentionDone done,
                            gpointer user)
{
    add(retention, recording_id, actor, "asked", done, user);
}

void retention_delete_own(Retention *retention, const char *recording_id, const char *reason, RetentionDone done,
                          gpointer user)
{
    add(retention, recording_id, NULL, reason, done, user);
}

/* ---- beginning and end ------------------------------------------------------------------------------------------- */

Retention *retention_new(StenoConfig *config, StenoJournal *journal, StenoAudit *audit, const StenoLog *log,
                         RetentionStore store, gpointer user)
{
    Retention *retention = g_new0(Retention, 1);
    retention->config = steno_config_ref(config);
    retention->journal = journal;
    retention->audit = audit;
    retention->log = log;
    retention->store = store;
    retention->store_user = user;
    retention_look_start(retention);
    return retention;
}

static void shut(GQueue *queue, const GError *error)
{
    Deletion *deletion;
    while ((deletion = g_queue_pop_head(queue))) {
        deletion->done(deletion->user, error);
        deletion_free(deletion);
    }
}

void retention_free(Retention *retention)
{
    if (!retention)
        return;
    g_autoptr(GError) error = g_error_new_literal(STENO_ERROR, STENO_ERROR_SHUTTING_DOWN,
                                                  "stenod is being stopped before the files were deleted");
    retention_look_stop(retention);
    if (retention->source)
        g_source_remove(retention->source);
    if (retention->running)
        g_queue_push_head(&retention->waiting, retention->running);
    shut(&retention->waiting, error);
    shut(&retention->refused, error);
    steno_config_unref(retention->config);
    g_free(retention);
}
