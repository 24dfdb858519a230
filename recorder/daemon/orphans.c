/*
 * What was begun in a storage and never finished: parts of uploads that are paid for and shown to nobody. At the start,
 * and once a day, each storage is looked through for them.
 *
 * Only what is surely ours, and surely over, is taken away: begun a day ago, in the very folder of a recording that the
 * journal knows as ended. A bucket may be shared with other instances, and with anybody.
 */
#include "daemon_internal.h"

#include "steno/base/clock.h"
#include "steno/base/error.h"

#include <string.h>

#define ORPHANS_FIRST_S 60
#define ORPHANS_EVERY_S (24 * 3600)
#define ORPHAN_AGE_US (24 * 3600 * (gint64)G_USEC_PER_SEC)
/* Looked up in the journal in one go; the rest is there tomorrow, too. */
#define ORPHANS_MAX 500

struct Orphans {
    StenoDaemon *daemon;
    GCancellable *ending;
    guint64 seconds;
    guint under_way;
};

/* One storage's look, in two passes: what there is; and, without what the journal does not know, away with it. */
typedef struct {
    StenoConfig *config;
    StenoStore *store;
    gint64 begun_before_us;
    GHashTable *keys; /* char *; a set */
    gboolean remove;
    guint aborted;
} Look;

static void look_free(gpointer data)
{
    Look *look = data;
    steno_config_unref(look->config);
    steno_store_unref(look->store);
    g_hash_table_unref(look->keys);
    g_free(look);
}

static gboolean is_orphan(gpointer user, const char *key, gint64 begun_us)
{
    Look *look = user;
    if (begun_us <= 0 || begun_us > look->begun_before_us)
        return FALSE;
    if (look->remove)
        return g_hash_table_contains(look->keys, key);
    if (g_hash_table_size(look->keys) < ORPHANS_MAX)
        g_hash_table_add(look->keys, g_strdup(key));
    return FALSE;
}

static void look_through(GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
    Look *look = data;
    (void)source;
    g_auto(GStrv) prefixes = stores_prefixes(look->config, look->store);
    for (char **prefix = prefixes; *prefix; prefix++) {
        GError *error = NULL;
        guint aborted = 0;
        gboolean done = steno_store_abort_orphans(look->store, *prefix, is_orphan, look, &aborted, cancellable, &error);
        look->aborted += aborted;
        if (!done) {
            g_task_return_error(task, error);
            return;
        }
    }
    g_task_return_boolean(task, TRUE);
}

/* Is it in the folder of a recording of ours that has ended? */
static gboolean is_ours(const StenoDaemon *daemon, const StenoStore *store, const char *key)
{
    g_autofree char *id = recover_id_of_key(key), *folder = g_path_get_dirname(key);
    if (!id || recording_find(daemon, id))
        return FALSE;
    g_autoptr(StenoJournalRecording) row = steno_journal_recording_get(daemon->journal, id, NULL);
    if (!row || (strcmp(row->state, "completed") != 0 && strcmp(row->state, "failed") != 0) || row->started_us == 0)
        return FALSE;
    const StenoStorePlace place = {row->app, row->channel, row->started_us, row->id};
    g_autofree char *its = steno_store_folder(store, &place);
    return strcmp(folder, its) == 0;
}

static gboolean is_not_ours(gpointer key, gpointer value, gpointer user)
{
    gpointer *both = user;
    (void)value;
    return !is_ours(both[0], both[1], key);
}

static void begin(Orphans *orphans, Look *look);

static void on_looked(GObject *source, GAsyncResult *result, gpointer user)
{
    Orphans *orphans = user;
    g_autoptr(GError) error = NULL;
    (void)source;
    gboolean done = g_task_propagate_boolean(G_TASK(result), &error);
    if (g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
        return; /* nobody is there any more */
    Look *look = g_task_get_task_data(G_TASK(result));
    StenoDaemon *daemon = orphans->daemon;
    orphans->under_way--;
    if (!done)
        steno_warning(daemon->log, "storage %s could not be looked through for what was left behind: %s",
                      steno_store_name(look->store), error->message);
    if (look->aborted > 0) {
        steno_notice(daemon->log, "storage %s: %u unfinished files of recordings that have ended were taken away",
                     steno_store_name(look->store), look->aborted);
        audit_own(daemon, "storage.orphans", NULL, steno_store_name(look->store), "ok",
                  json_pack("{s:i}", "aborted", (int)look->aborted));
    }
    if (!done || look->remove)
        return;
    gpointer both[] = {daemon, look->store};
    g_hash_table_foreach_remove(look->keys, is_not_ours, both);
    if (g_hash_table_size(look->keys) == 0)
        return;
    Look *second = g_new0(Look, 1);
    *second = (Look){.config = steno_config_ref(look->config),
                     .store = steno_store_ref(look->store),
                     .begun_before_us = look->begun_before_us,
                     .keys = g_hash_table_ref(look->keys),
                     .remove = TRUE};
    begin(orphans, second);
}

static void begin(Orphans *orphans, Look *look)
{
    GTask *task = g_task_new(NULL, orphans->ending, on_looked, orphans);
    g_task_set_task_data(task, look, look_free);
    orphans->under_way++;
    g_task_run_in_thread(task, look_through);
    g_object_unref(task);
}

static void look_at_all(Orphans *orphans)
{
    StenoDaemon *daemon = orphans->daemon;
    for (guint i = 0; i < daemon->config->storages->len; i++) {
        const StenoConfigStorage *settings = daemon->config->storages->pdata[i];
        Look *look = g_new0(Look, 1);
        *look = (Look){.config = steno_config_ref(daemon->config),
                       .store = steno_store_ref(stores_find(daemon->stores, settings->name)),
                       .begun_before_us = steno_clock_wall_us() - ORPHAN_AGE_US,
                       .keys = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL)};
        begin(orphans, look);
    }
}

Orphans *orphans_new(StenoDaemon *daemon)
{
    Orphans *orphans = g_new0(Orphans, 1);
    orphans->daemon = daemon;
    orphans->ending = g_cancellable_new();
    return orphans;
}

void orphans_free(Orphans *orphans)
{
    if (!orphans)
        return;
    g_cancellable_cancel(orphans->ending);
    g_object_unref(orphans->ending);
    g_free(orphans);
}

void orphans_tick(Orphans *orphans)
{
    if (orphans->seconds++ % ORPHANS_EVERY_S == ORPHANS_FIRST_S && orphans->under_way == 0)
        look_at_all(orphans);
}
