/*
 * A journal that is new, was set aside, or put back from a backup, learns of what was recorded from the manifests in
 * the storages. Behind everything else, and begun again by the next start until each storage was listed to its end: a
 * crash in the middle, or a storage that does not answer, leaves nothing out.
 *
 * Lists and manifests are read in threads; the journal is asked and written a few rows at a time in between.
 */
#include "daemon_internal.h"

#include "steno/base/error.h"

#include <string.h>

#define MANIFEST "/manifest.json"
/* Manifests that are read, and rows that are added in one transaction: the main loop is held up for some 10 ms. */
#define REBUILD_BATCH 100
/* Keys kept in memory of a storage (100 MB); a start that finds more takes these, and tells it. */
#define REBUILD_KEYS_MAX 1000000
/* A storage that can't be read is tried again so much later. */
#define REBUILD_RETRY_S 60
/* A recording is named before its row is written: one that was named so shortly before a copy may not be in it. */
#define REBUILD_COPY_SLACK_US (60 * G_USEC_PER_SEC)

/* One storage's way through. */
typedef struct {
    Rebuild *rebuild;
    StenoStore *store;
    GPtrArray *keys; /* of char *; NULL: not listed yet */
    gboolean cut;    /* there are more */
    guint at, taken; /* keys[at … at + taken) are under way */
    guint source;
    gboolean done;
} Round;

struct Rebuild {
    StenoDaemon *daemon;
    GCancellable *ending;
    GPtrArray *rounds; /* of Round * */
    gint64 since_us;   /* the journal is a copy of then: what it does not have of before was forgotten; 0: it is new */
    guint found, added, unknown;
    guint source;
};

static void round_list(Round *round);
static gboolean on_step(gpointer data);

/* ---- what a thread is given -------------------------------------------------------------------------------------- */

typedef struct {
    StenoConfig *config;
    StenoStore *store;
    GPtrArray *keys; /* of char *: found, or to be read */
    GPtrArray *rows; /* of StenoJournalRecording * */
    gboolean cut;
    guint unknown; /* manifests of no app of ours */
} Work;

static void work_free(gpointer data)
{
    Work *work = data;
    steno_config_unref(work->config);
    steno_store_unref(work->store);
    g_ptr_array_unref(work->keys);
    g_ptr_array_unref(work->rows);
    g_free(work);
}

static void row_free(gpointer row)
{
    steno_journal_recording_free(row);
}

static void begin_work(Round *round, GPtrArray *keys, GTaskThreadFunc function, GAsyncReadyCallback done)
{
    Work *work = g_new0(Work, 1);
    work->config = steno_config_ref(round->rebuild->daemon->config);
    work->store = steno_store_ref(round->store);
    work->keys = keys;
    work->rows = g_ptr_array_new_with_free_func(row_free);
    GTask *task = g_task_new(NULL, round->rebuild->ending, done, round);
    g_task_set_task_data(task, work, work_free);
    g_task_run_in_thread(task, function);
    g_object_unref(task);
}

static void step_soon(Round *round)
{
    round->source = g_idle_add(on_step, round);
}

static gboolean on_again(gpointer data)
{
    Round *round = data;
    round->source = 0;
    if (round->keys)
        step_soon(round);
    else
        round_list(round);
    return G_SOURCE_REMOVE;
}

static void try_later(Round *round, const GError *error)
{
    steno_warning(round->rebuild->daemon->log,
                  "the journal is new; what storage %s has is looked for again in %d s, until then it is not shown: %s",
                  steno_store_name(round->store), REBUILD_RETRY_S, error->message);
    round->source = g_timeout_add_seconds(REBUILD_RETRY_S, on_again, round);
}

/* ---- listing ----------------------------------------------------------------------------------------------------- */

static gboolean on_key(gpointer user, const char *key, gint64 bytes)
{
    Work *work = user;
    if (!g_str_has_suffix(key, MANIFEST) || bytes > MANIFEST_MAX_BYTES)
        return TRUE;
    work->cut = work->keys->len >= REBUILD_KEYS_MAX;
    if (!work->cut)
        g_ptr_array_add(work->keys, g_strdup(key));
    return !work->cut;
}

static void list_keys(GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
    Work *work = data;
    (void)source;
    g_auto(GStrv) prefixes = stores_prefixes(work->config, work->store);
    for (char **prefix = prefixes; *prefix && !work->cut; prefix++) {
        GError *error = NULL;
        if (!steno_store_list(work->store, *prefix, on_key, work, cancellable, &error)) {
            g_task_return_error(task, error);
            return;
        }
    }
    g_task_return_boolean(task, TRUE);
}

static void on_listed(GObject *source, GAsyncResult *result, gpointer user)
{
    Round *round = user;
    g_autoptr(GError) error = NULL;
    (void)source;
    gboolean listed = g_task_propagate_boolean(G_TASK(result), &error);
    if (g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
        return; /* the rebuild is gone */
    if (!listed) {
        try_later(round, error);
        return;
    }
    const Work *work = g_task_get_task_data(G_TASK(result));
    round->keys = g_ptr_array_ref(work->keys);
    round->cut = work->cut;
    if (round->cut)
        steno_error(round->rebuild->daemon->log,
                    "storage %s has more than %d recordings: the journal takes these, and the rest is not shown",
                    steno_store_name(round->store), REBUILD_KEYS_MAX);
    step_soon(round);
}

static void round_list(Round *round)
{
    begin_work(round, g_ptr_array_new_with_free_func(g_free), list_keys, on_listed);
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

static const char *text(const json_t *object, const char *name)
{
    const char *value = json_string_value(json_object_get(object, name));
    return value && value[0] ? value : NULL;
}

/* The row of a recording whose manifest lies there; NULL when it is none of ours. */
static StenoJournalRecording *row_of(Work *work, const char *key, const json_t *manifest)
{
    const json_t *recording = json_object_get(manifest, "recording");
    const char *id = text(recording, "id"), *app = text(recording, "app");
    char *storages[] = {(char *)steno_store_name(work->store), NULL};
    if (!recover_is_id(id) || !app || !steno_config_app(work->config, app)) {
        work->unknown++;
        return NULL;
    }
    StenoJournalRecording *row =
        recover_row(work->config, id, recording, json_object_get(manifest, "content"), app, storages, FALSE,
                    json_integer_value(json_object_get(recording, "zero_us")));
    if (!row)
        return NULL;
    Model *model = model_new(NULL);
    recording_take_manifest(row, model, manifest, storages[0]);
    model_into_detail(model, row->detail);
    model_free(model);
    g_autofree char *folder = g_strndup(key, strlen(key) - strlen(MANIFEST));
    g_autofree char *uri = steno_store_uri(work->store, folder);
    json_object_set_new(row->detail, "storages",
                        json_pack("[o]", recording_storage(storages[0], "stored", uri, row->files_bytes)));
    recording_set_text(&row->desired, "stop");
    recording_set_text(&row->end_reason, text(recording, "end_reason"));
    json_t *fault = json_object_get(recording, "error");
    row->error = json_is_object(fault) ? json_deep_copy(fault) : NULL;
    recording_set_text(&row->state, recording_is_complete(row) ? "completed" : "failed");
    return row;
}

static void read_manifests(GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
    Work *work = data;
    (void)source;
    for (guint i = 0; i < work->keys->len; i++) {
        const char *key = work->keys->pdata[i];
        GError *error = NULL;
        g_autoptr(GBytes) bytes = steno_store_read(work->store, key, MANIFEST_MAX_BYTES, cancellable, &error);
        if (!bytes && !g_error_matches(error, STENO_ERROR, STENO_ERROR_NOT_FOUND)) {
            g_task_return_error(task, error);
            return;
        }
        g_clear_error(&error); /* it went away meanwhile */
        gsize size = 0;
        const char *contents = bytes ? g_bytes_get_data(bytes, &size) : "";
        json_t *manifest = json_loadb(contents, size, JSON_REJECT_DUPLICATES, NULL);
        StenoJournalRecording *row = row_of(work, key, manifest);
        if (row)
            g_ptr_array_add(work->rows, row);
        json_decref(manifest);
    }
    g_task_return_boolean(task, TRUE);
}

/* ---- the journal ------------------------------------------------------------------------------------------------- */

static gboolean has_storage(const StenoJournalRecording *row, const char *name)
{
    size_t i;
    const json_t *storage;
    json_array_foreach (json_object_get(row->detail, "storages"), i, storage) {
        if (g_strcmp0(json_string_value(json_object_get(storage, "name")), name) == 0)
            return TRUE;
    }
    return FALSE;
}

/* One more storage that has a recording which is known. */
static gboolean add_storage(const Rebuild *rebuild, StenoJournalRecording *known, const StenoJournalRecording *row,
                            const char *storage, GError **error)
{
    json_t *storages = json_object_get(known->detail, "storages");
    gboolean stored = strcmp(known->state, "completed") == 0 || strcmp(known->state, "failed") == 0;
    if (recording_find(rebuild->daemon, row->id) || !stored || json_array_size(storages) == 0 ||
        strcmp(known->app, row->app) != 0 || has_storage(known, storage))
        return TRUE;
    json_array_append(storages, json_array_get(json_object_get(row->detail, "storages"), 0));
    return steno_journal_recording_save(rebuild->daemon->journal, known, error);
}

static gboolean add_row(Rebuild *rebuild, StenoJournalRecording *row, const char *storage, GError **error)
{
    g_autoptr(GError) why = NULL;
    StenoJournal *journal = rebuild->daemon->journal;
    g_autoptr(StenoJournalRecording) known = steno_journal_recording_get(journal, row->id, &why);
    if (why) {
        g_propagate_error(error, g_steal_pointer(&why));
        return FALSE;
    }
    if (known)
        return add_storage(rebuild, known, row, storage, error);
    if (!steno_journal_recording_add(journal, row, error))
        return FALSE;
    rebuild->added++;
    return TRUE;
}

static gboolean add_rows(Rebuild *rebuild, GPtrArray *rows, const char *storage, GError **error)
{
    StenoJournal *journal = rebuild->daemon->journal;
    rebuild->added = 0;
    if (!steno_journal_begin(journal, error))
        return FALSE;
    for (guint i = 0; i < rows->len; i++) {
        if (!add_row(rebuild, rows->pdata[i], storage, error)) {
            steno_journal_rollback(journal);
            return FALSE;
        }
    }
    if (!steno_journal_commit(journal, error))
        return FALSE;
    rebuild->found += rebuild->added;
    return TRUE;
}

static void on_read(GObject *source, GAsyncResult *result, gpointer user)
{
    Round *round = user;
    Rebuild *rebuild = round->rebuild;
    g_autoptr(GError) error = NULL;
    (void)source;
    gboolean done = g_task_propagate_boolean(G_TASK(result), &error);
    if (g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
        return; /* the rebuild is gone */
    const Work *work = g_task_get_task_data(G_TASK(result));
    if (done) {
        done = add_rows(rebuild, work->rows, steno_store_name(round->store), &error);
        (void)outbox_judge(rebuild->daemon, done, &error);
    }
    if (!done) {
        try_later(round, error);
        return;
    }
    rebuild->unknown += work->unknown;
    round->at += round->taken;
    step_soon(round);
}

/* What the journal has not, or not in this storage. */
static gboolean is_wanted(const Round *round, const char *key)
{
    const StenoDaemon *daemon = round->rebuild->daemon;
    g_autofree char *id = recover_id_of_key(key);
    if (id && recording_find(daemon, id))
        return FALSE;
    g_autoptr(StenoJournalRecording) row = id ? steno_journal_recording_get(daemon->journal, id, NULL) : NULL;
    if (!row)
        return !id || recover_id_us(id) >= round->rebuild->since_us;
    return !has_storage(row, steno_store_name(round->store));
}

/* ---- step by step ------------------------------------------------------------------------------------------------ */

static gboolean on_whole(gpointer data);

static void look_whether_whole(Rebuild *rebuild)
{
    for (guint i = 0; i < rebuild->rounds->len; i++) {
        if (!((const Round *)rebuild->rounds->pdata[i])->done)
            return;
    }
    rebuild->source = g_idle_add(on_whole, rebuild);
}

/* Every storage was listed to its end. */
static gboolean on_whole(gpointer data)
{
    Rebuild *rebuild = data;
    StenoDaemon *daemon = rebuild->daemon;
    g_autoptr(GError) error = NULL;
    gboolean cut = FALSE;
    for (guint i = 0; i < rebuild->rounds->len; i++)
        cut |= ((const Round *)rebuild->rounds->pdata[i])->cut;
    rebuild->source = 0;
    if (!cut && !outbox_judge(daemon, steno_journal_mark(daemon->journal, STENO_JOURNAL_MARK_WHOLE, &error), &error)) {
        rebuild->source = g_timeout_add_seconds(REBUILD_RETRY_S, on_whole, rebuild);
        return G_SOURCE_REMOVE;
    }
    if (rebuild->unknown > 0)
        steno_warning(daemon->log, "%u manifests in the storages are of no app that is configured, and are left alone",
                      rebuild->unknown);
    if (rebuild->found > 0) {
        steno_notice(daemon->log, "%s: %u recordings were taken from their manifests",
                     rebuild->since_us ? "the journal is a backup's" : "the journal is new", rebuild->found);
        audit_own(daemon, "journal.rebuild", NULL, NULL, "ok", json_pack("{s:i}", "recordings", (int)rebuild->found));
    }
    rebuild_free(g_steal_pointer(&daemon->rebuild));
    return G_SOURCE_REMOVE;
}

static gboolean on_step(gpointer data)
{
    Round *round = data;
    GPtrArray *wanted = g_ptr_array_new_with_free_func(g_free);
    round->source = 0;
    round->taken = MIN(REBUILD_BATCH, round->keys->len - round->at);
    for (guint i = 0; i < round->taken; i++) {
        const char *key = round->keys->pdata[round->at + i];
        if (is_wanted(round, key))
            g_ptr_array_add(wanted, g_strdup(key));
    }
    if (wanted->len > 0) {
        begin_work(round, wanted, read_manifests, on_read);
        return G_SOURCE_REMOVE;
    }
    g_ptr_array_unref(wanted);
    round->at += round->taken;
    round->done = round->at == round->keys->len;
    if (round->done)
        look_whether_whole(round->rebuild);
    else
        step_soon(round);
    return G_SOURCE_REMOVE;
}

/* ---- beginning and ending ---------------------------------------------------------------------------------------- */

static void round_free(gpointer data)
{
    Round *round = data;
    if (round->source)
        g_source_remove(round->source);
    if (round->keys)
        g_ptr_array_unref(round->keys);
    steno_store_unref(round->store);
    g_free(round);
}

Rebuild *rebuild_begin(StenoDaemon *daemon, gboolean migrated, GError **error)
{
    gboolean whole = FALSE;
    gint64 copied_us = 0;
    if (!steno_journal_marked(daemon->journal, STENO_JOURNAL_MARK_WHOLE, &whole, error) || whole ||
        !steno_journal_copied_us(daemon->journal, &copied_us, error))
        return NULL;
    /* What somebody had it forget must not come back, and be deleted when its time comes. */
    if (migrated) {
        (void)steno_journal_mark(daemon->journal, STENO_JOURNAL_MARK_WHOLE, error);
        return NULL;
    }
    Rebuild *rebuild = g_new0(Rebuild, 1);
    rebuild->daemon = daemon;
    rebuild->ending = g_cancellable_new();
    rebuild->since_us = MAX(copied_us - REBUILD_COPY_SLACK_US, 0);
    rebuild->rounds = g_ptr_array_new_with_free_func(round_free);
    for (guint i = 0; i < daemon->config->storages->len; i++) {
        const StenoConfigStorage *settings = daemon->config->storages->pdata[i];
        Round *round = g_new0(Round, 1);
        round->rebuild = rebuild;
        round->store = steno_store_ref(stores_find(daemon->stores, settings->name));
        g_ptr_array_add(rebuild->rounds, round);
        round_list(round);
    }
    look_whether_whole(rebuild);
    return rebuild;
}

void rebuild_free(Rebuild *rebuild)
{
    if (!rebuild)
        return;
    g_cancellable_cancel(rebuild->ending);
    g_object_unref(rebuild->ending);
    if (rebuild->source)
        g_source_remove(rebuild->source);
    g_ptr_array_unref(rebuild->rounds);
    g_free(rebuild);
}
