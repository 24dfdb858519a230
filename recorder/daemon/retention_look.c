/* Finds what is too old or too much. One row or page a turn of the main loop. */
#include "retention_private.h"

#include "steno/base/clock.h"
#include "steno/base/error.h"

#define LOOK_EVERY_S 60
#define PAGE_ROWS 50
#define DAY_US ((gint64)86400 * G_USEC_PER_SEC)

static gboolean step(gpointer user);

static void step_soon(Retention *retention)
{
    if (!retention->look.source)
        retention->look.source = g_idle_add(step, retention);
}

/* ---- what could not be deleted ----------------------------------------------------------------------------------- */

/* Not worth a try today. */
static gboolean is_left(RetentionLook *look, const char *id)
{
    const gint64 *again_mono_us = g_hash_table_lookup(look->left, id);
    if (again_mono_us && g_get_monotonic_time() >= *again_mono_us)
        g_hash_table_remove(look->left, id);
    return g_hash_table_contains(look->left, id);
}

static void leave(RetentionLook *look, const char *id)
{
    gint64 again_mono_us = g_get_monotonic_time() + (gint64)RETENTION_LEFT_S * G_USEC_PER_SEC;
    g_hash_table_insert(look->left, g_strdup(id), g_memdup2(&again_mono_us, sizeof again_mono_us));
}

static gboolean has_expired(gpointer id, gpointer again_mono_us, gpointer now_mono_us)
{
    (void)id;
    return *(gint64 *)again_mono_us <= *(gint64 *)now_mono_us;
}

/* ---- from app to app --------------------------------------------------------------------------------------------- */

static const StenoConfigApp *app_of(const Retention *retention)
{
    return g_ptr_array_index(retention->config->apps, retention->look.app);
}

static void clear_page(RetentionLook *look)
{
    g_clear_pointer(&look->page, g_ptr_array_unref);
    g_clear_pointer(&look->next_page, g_free);
    look->at = 0;
}

static void begin_phase(RetentionLook *look, int phase)
{
    clear_page(look);
    look->phase = phase;
}

static void end(Retention *retention)
{
    begin_phase(&retention->look, LOOK_IDLE);
}

static void next_app(Retention *retention)
{
    retention->look.app++;
    begin_phase(&retention->look, retention->look.app < retention->config->apps->len ? LOOK_DAYS : LOOK_IDLE);
}

/* Is there too much at all? Most of the time one sum answers it. */
static void begin_bytes(Retention *retention)
{
    RetentionLook *look = &retention->look;
    const StenoConfigApp *app = app_of(retention);
    g_autoptr(GError) error = NULL;
    gint64 bytes = app->retention_bytes > 0 ? steno_journal_files_bytes(retention->journal, app->name, &error) : 0;
    if (error) {
        steno_error(retention->log, "the retention cannot read the journal: %s", error->message);
        end(retention);
        return;
    }
    look->excess_bytes = bytes - app->retention_bytes;
    if (app->retention_bytes > 0 && look->excess_bytes > 0)
        begin_phase(look, LOOK_KEPT);
    else
        next_app(retention);
}

static void next_phase(Retention *retention)
{
    RetentionLook *look = &retention->look;
    if (look->phase == LOOK_DAYS)
        begin_bytes(retention);
    else if (look->phase == LOOK_KEPT && look->excess_bytes > 0)
        begin_phase(look, LOOK_BYTES);
    else
        next_app(retention);
}

/* ---- one row ----------------------------------------------------------------------------------------------------- */

static void pause_look(Retention *retention, const char *why)
{
    retention->look.paused_mono_us = g_get_monotonic_time() + (gint64)RETENTION_PAUSE_S * G_USEC_PER_SEC;
    steno_error(retention->log, "the retention deletes nothing for %d min: %s", RETENTION_PAUSE_S / 60, why);
    end(retention);
}

/* What is left where it is does not count as too much any more; nor does what is gone. */
static void on_deleted(gpointer user, const GError *error)
{
    Retention *retention = user;
    RetentionLook *look = &retention->look;
    if (look->phase == LOOK_IDLE)
        return; /* stopped */
    const StenoJournalRecording *row = g_ptr_array_index(look->page, look->at++);
    look->excess_bytes -= row->files_bytes;
    step_soon(retention);
    if (!error) {
        look->failures = 0;
        steno_notice(retention->log,
                     "the retention of the app %s deleted the files of recording %s (%" G_GINT64_FORMAT " bytes)",
                     row->app, row->id, row->files_bytes);
        return;
    }
    /* A lock of the storage's: it works as it should. */
    if (g_error_matches(error, STENO_ERROR, STENO_ERROR_LEGAL_HOLD)) {
        steno_info(retention->log, "the retention leaves recording %s of the app %s: %s", row->id, row->app,
                   error->message);
        leave(look, row->id);
        return;
    }
    if (g_error_matches(error, STENO_ERROR, STENO_ERROR_CONFLICT) ||
        g_error_matches(error, STENO_ERROR, STENO_ERROR_NOT_FOUND) ||
        g_error_matches(error, STENO_ERROR, STENO_ERROR_TOO_MANY_REQUESTS))
        return;
    steno_error(retention->log, "the retention leaves recording %s of the app %s where it is: %s", row->id, row->app,
                error->message);
    leave(look, row->id);
    if (++look->failures >= RETENTION_FAILURES_MAX)
        pause_look(retention, "too many recordings in a row could not be deleted; look at the storage");
}

/* Is there an Object Lock of ours that cannot have run out yet? It began when the files were stored. */
static gboolean is_locked(const Retention *retention, const StenoJournalRecording *row)
{
    size_t i;
    const json_t *one;
    json_array_foreach (json_object_get(row->detail, "storages"), i, one) {
        const char *name = json_string_value(json_object_get(one, "name"));
        const StenoConfigStorage *settings = steno_config_storage(retention->config, name);
        if (settings && settings->lock_days > 0 &&
            g_strcmp0(json_string_value(json_object_get(one, "state")), "stored") == 0 &&
            steno_clock_wall_us() < row->ended_us + settings->lock_days * DAY_US)
            return TRUE;
    }
    return FALSE;
}

typedef enum { ROW_PASSED, ROW_BEING_DELETED, ROW_ENDS_PHASE, ROW_ENDS_LOOK } Row;

static Row look_at(Retention *retention, const StenoJournalRecording *row)
{
    RetentionLook *look = &retention->look;
    gint64 too_old_us = steno_clock_wall_us() - app_of(retention)->retention_days * DAY_US;
    gboolean kept = retention_is_held(retention, row) || is_left(look, row->id) || is_locked(retention, row);
    if (look->phase == LOOK_KEPT) {
        look->excess_bytes -= kept ? row->files_bytes : 0;
        return ROW_PASSED;
    }
    /* None that follows is older. */
    if (look->phase == LOOK_DAYS ? row->created_us > too_old_us : look->excess_bytes <= 0)
        return ROW_ENDS_PHASE;
    if (kept || (look->phase == LOOK_DAYS && (row->ended_us == 0 || row->ended_us > too_old_us)))
        return ROW_PASSED;
    if (g_hash_table_size(look->left) >= RETENTION_LEFT_MAX) {
        pause_look(retention, "as many recordings as it remembers could not be deleted; look at the storage");
        return ROW_ENDS_LOOK;
    }
    retention_delete_own(retention, row->id, look->phase == LOOK_DAYS ? "retention_days" : "retention_bytes",
                         on_deleted, retention);
    return ROW_BEING_DELETED;
}

/* ---- page by page ------------------------------------------------------------------------------------------------ */

/* FALSE: the look has ended. */
static gboolean read_page(Retention *retention)
{
    static const char *const states[] = {"completed", "failed", NULL};
    RetentionLook *look = &retention->look;
    StenoJournalFilter filter = {
        .app = app_of(retention)->name, .states = states, .oldest_first = TRUE, .with_files = TRUE};
    g_autofree char *token = g_steal_pointer(&look->next_page);
    g_autoptr(GError) error = NULL;
    clear_page(look);
    look->page = steno_journal_recordings_list(retention->journal, &filter, PAGE_ROWS, token, &look->next_page, &error);
    if (look->page)
        return TRUE;
    steno_error(retention->log, "the retention cannot read the journal: %s", error->message);
    end(retention);
    return FALSE;
}

/* Goes through the page. FALSE: somebody else goes on, or nobody. */
static gboolean go_through_page(Retention *retention)
{
    RetentionLook *look = &retention->look;
    for (; look->at < look->page->len; look->at++) {
        Row row = look_at(retention, g_ptr_array_index(look->page, look->at));
        if (row == ROW_ENDS_PHASE) {
            next_phase(retention);
            return TRUE;
        }
        if (row != ROW_PASSED)
            return FALSE;
    }
    if (look->next_page)
        return read_page(retention);
    next_phase(retention);
    return TRUE;
}

static gboolean step(gpointer user)
{
    Retention *retention = user;
    RetentionLook *look = &retention->look;
    gboolean more = TRUE;
    look->source = 0;
    if (look->phase == LOOK_IDLE)
        return G_SOURCE_REMOVE;
    if (look->phase == LOOK_DAYS && app_of(retention)->retention_days == 0)
        next_phase(retention);
    else if (!look->page)
        more = read_page(retention);
    else
        more = go_through_page(retention);
    if (more)
        step_soon(retention);
    return G_SOURCE_REMOVE;
}

/* ---- beginning and end ------------------------------------------------------------------------------------------- */

void retention_look(Retention *retention)
{
    RetentionLook *look = &retention->look;
    gint64 now_mono_us = g_get_monotonic_time();
    if (look->phase != LOOK_IDLE || now_mono_us < look->paused_mono_us || retention->config->apps->len == 0)
        return;
    g_hash_table_foreach_remove(look->left, has_expired, &now_mono_us);
    look->phase = LOOK_DAYS;
    look->app = 0;
    look->failures = 0;
    step_soon(retention);
}

static gboolean on_timer(gpointer user)
{
    retention_look(user);
    return G_SOURCE_CONTINUE;
}

void retention_look_start(Retention *retention)
{
    gboolean wanted = FALSE;
    for (guint i = 0; i < retention->config->apps->len; i++) {
        const StenoConfigApp *app = g_ptr_array_index(retention->config->apps, i);
        wanted = wanted || app->retention_days > 0 || app->retention_bytes > 0;
    }
    retention->look.left = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    if (wanted)
        retention->look.timer = g_timeout_add_seconds(LOOK_EVERY_S, on_timer, retention);
}

void retention_look_stop(Retention *retention)
{
    RetentionLook *look = &retention->look;
    end(retention);
    if (look->source)
        g_source_remove(look->source);
    if (look->timer)
        g_source_remove(look->timer);
    g_hash_table_unref(look->left);
}
