/* May it be started? Limits and disk; then its row, before anything else happens. */
#include "daemon_internal.h"

#include "steno/base/clock.h"
#include "steno/base/error.h"

#include <string.h>

/* Those that are queued for later are none yet: they are counted when their time comes. */
static guint count_active(const StenoDaemon *daemon, const char *app)
{
    GHashTableIter iter;
    const Recording *recording;
    guint n = 0;
    g_hash_table_iter_init(&iter, daemon->recordings);
    while (g_hash_table_iter_next(&iter, NULL, (gpointer *)&recording))
        n += recording_records(recording) && (!app || strcmp(recording->row->app, app) == 0);
    return n;
}

static gboolean check_limits(const StenoDaemon *daemon, const Request *request, GError **error)
{
    const StenoConfigApp *app = steno_config_app(daemon->config, request->app);
    guint most = (guint)daemon->config->limits.max_recordings;
    if (count_active(daemon, NULL) >= most) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_LIMIT_REACHED,
                    "%u recordings run, and limits.max_recordings allows no more: stop one, or raise it", most);
        return FALSE;
    }
    if (app && app->max_recordings > 0 && count_active(daemon, app->name) >= app->max_recordings) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_LIMIT_REACHED,
                    "%u recordings of app '%s' run, and its max_recordings allows no more: stop one, or raise it",
                    (guint)app->max_recordings, app->name);
        return FALSE;
    }
    return TRUE;
}

gboolean admit_only_one(const StenoDaemon *daemon, const Request *request, GError **error)
{
    GHashTableIter iter;
    const Recording *recording;
    g_hash_table_iter_init(&iter, daemon->recordings);
    while (g_hash_table_iter_next(&iter, NULL, (gpointer *)&recording)) {
        const StenoJournalRecording *row = recording->row;
        if (!recording->ended && strcmp(row->app, request->app) == 0 && strcmp(row->platform, request->platform) == 0 &&
            strcmp(row->channel, request->channel) == 0 && strcmp(row->profile, request->profile) == 0) {
            g_set_error_literal(error, STENO_ERROR, STENO_ERROR_ALREADY_RECORDING, row->id);
            return FALSE;
        }
    }
    return TRUE;
}

gboolean admit_check(StenoDaemon *daemon, const Request *request, GError **error)
{
    if (daemon->finishing) {
        g_set_error_literal(error, STENO_ERROR, STENO_ERROR_SHUTTING_DOWN,
                            "stenod is being stopped and starts nothing new; try again in a minute");
        return FALSE;
    }
    double free_percent = disk_free_percent(daemon);
    if (free_percent < (double)daemon->config->limits.refuse_below_percent) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_DISK_LOW,
                    "only %.1f %% of the disk of '%s' is free, and limits.refuse_below_percent is %d: make room",
                    free_percent, daemon->config->top.spool_dir, (int)daemon->config->limits.refuse_below_percent);
        return FALSE;
    }
    return check_limits(daemon, request, error);
}

static gboolean write_rows(StenoDaemon *daemon, StenoJournalRecording *row, const char *key, const char *digest,
                           GError **error)
{
    return steno_journal_recording_add(daemon->journal, row, error) &&
           (!row->webhook || steno_journal_delivery_add(daemon->journal, row->id, row->webhook, error)) &&
           (!key || steno_journal_idempotency_put(daemon->journal, row->app, key, digest, row->id, error));
}

gboolean admit_write(Ask *ask, StenoJournalRecording *row, const char *key, const char *digest, GError **error)
{
    StenoDaemon *daemon = ask->daemon;
    if (!steno_journal_begin(daemon->journal, error))
        return FALSE;
    if (!write_rows(daemon, row, key, digest, error)) {
        steno_journal_rollback(daemon->journal);
        return FALSE;
    }
    /* What cannot be told to the audit log is not begun. */
    if (!audit_ask(ask, NULL)) {
        steno_journal_rollback(daemon->journal);
        g_set_error_literal(error, STENO_ERROR, STENO_ERROR_STORAGE_FAILED,
                            "the audit log cannot be written, and nothing is started without it; see the log");
        return FALSE;
    }
    if (steno_journal_commit(daemon->journal, error)) {
        ask->audited = TRUE;
        return TRUE;
    }
    steno_journal_rollback(daemon->journal);
    return FALSE;
}
