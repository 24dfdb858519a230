/*
 * The start: everything that is known, or lies on disk, goes on from where it is. Rows that have not ended first; then
 * captures in the spool that no row knows; and when the journal is new, what the storages' manifests tell of what was.
 */
#include "daemon_internal.h"

#include "steno/base/clock.h"
#include "steno/base/error.h"

#include <string.h>
#include <sys/stat.h>

/* A capture that no row knows is gone on with when it was written to so lately; an older one is only assembled. */
#define ADOPT_RECENT_US (10 * 60 * G_USEC_PER_SEC)
/* Manifests that are read in a rebuild; the newest of each folder are not told apart, the rest stays on disk. */
#define REBUILD_MAX 100000
/* Rows added in one transaction. */
#define REBUILD_BATCH 500

/* ---- rows -------------------------------------------------------------------------------------------------------- */

static gboolean is_over(const StenoJournalRecording *row, const Request *request)
{
    gint64 start_us = row->started_us > 0 ? row->started_us : MAX(row->created_us, row->start_at_us);
    return request && request->max_duration_s > 0 &&
           steno_clock_wall_us() >= start_us + request->max_duration_s * G_USEC_PER_SEC;
}

static gboolean has_capture(const StenoDaemon *daemon, const char *id)
{
    g_autofree char *path = g_build_filename(daemon->config->top.spool_dir, id, "recording.json", NULL);
    return g_file_test(path, G_FILE_TEST_EXISTS);
}

static void recover_row(StenoDaemon *daemon, StenoJournalRecording *row)
{
    g_autoptr(GError) error = NULL;
    Request *request = request_from_journal(row->request, &error);
    gboolean queued = strcmp(row->state, "queued") == 0;
    gboolean captured = has_capture(daemon, row->id);
    gboolean record = g_strcmp0(row->desired, "record") == 0 && !is_over(row, request);
    Recording *recording = recording_new(daemon, row, request);
    if (!request)
        steno_error(recording->log, "its request in the journal cannot be read: %s", error->message);
    /* Stored, and then we died before that was written down: its capture is gone. */
    if (!captured && recording_is_stored(recording))
        return;
    if (queued && !captured && request && row->start_at_us > 0 && g_strcmp0(row->desired, "record") == 0)
        recording_schedule(recording);
    else
        recording_resume(recording, record);
}

static gboolean recover_rows(StenoDaemon *daemon, GError **error)
{
    g_autoptr(GPtrArray) rows = steno_journal_recordings_unfinished(daemon->journal, error);
    if (!rows)
        return FALSE;
    g_ptr_array_set_free_func(rows, NULL);
    for (guint i = 0; i < rows->len; i++)
        recover_row(daemon, rows->pdata[i]);
    if (rows->len > 0)
        steno_notice(daemon->log, "goes on with %u recordings", rows->len);
    return TRUE;
}

/* ---- captures and manifests without a row ------------------------------------------------------------------------ */

static const char *text(const json_t *object, const char *name)
{
    const char *value = json_string_value(json_object_get(object, name));
    return value && value[0] ? value : NULL;
}

static json_t *labels_of(const json_t *object)
{
    json_t *labels = json_object_get(object, "labels");
    if (json_is_object(labels))
        return json_deep_copy(labels);
    labels = text(object, "labels") ? json_loads(text(object, "labels"), 0, NULL) : NULL;
    if (json_is_object(labels))
        return labels;
    json_decref(labels);
    return json_object();
}

/* The name of the platform in the configuration: as told, or the one with this connector when there is only one. */
static const char *platform_of(const StenoDaemon *daemon, const json_t *recording)
{
    const char *name = text(recording, "platform_name"), *connector = text(recording, "platform");
    const char *found = NULL;
    for (guint i = 0; !name && i < daemon->config->platforms->len; i++) {
        const StenoConfigPlatform *platform = daemon->config->platforms->pdata[i];
        if (g_strcmp0(platform->connector, connector) == 0)
            found = found ? "unknown" : platform->name;
    }
    return name ? name : found ? found : "unknown";
}

/* The request as far as it is known: enough to assemble and store it, and to go on with what can be gone on with. */
static json_t *request_of(const StenoDaemon *daemon, const json_t *recording, const char *app, const char *storage)
{
    const char *outputs = text(recording, "outputs"), *audio = text(recording, "audio");
    const char *channel = text(recording, "channel");
    const char *platform = platform_of(daemon, recording);
    const StenoConfigPlatform *known = steno_config_platform(daemon->config, platform);
    json_t *whole = NULL;
    json_t *asked =
        json_pack("{s:s, s:s, s:s, s:{s:s}, s:[{s:s, s:s}], s:[s], s:o}", "app", app, "platform", platform, "channel",
                  channel ? channel : "channel", "token", "source", known && known->token_secret_file ? "mint" : "none",
                  "outputs", "type", outputs ? outputs : "participant", "audio", audio ? audio : "copy", "storages",
                  storage, "labels", labels_of(recording));
    g_autoptr(Request) request = request_from_journal(asked, NULL);
    if (request)
        whole = request_to_json(request);
    json_decref(asked);
    return whole;
}

static StenoJournalRecording *row_of(const StenoDaemon *daemon, const char *id, const json_t *recording,
                                     const char *app, const char *storage, gint64 zero_us)
{
    const StenoConfigApp *known = steno_config_app(daemon->config, app);
    json_t *request = request_of(daemon, recording, app, storage);
    if (!request)
        return NULL;
    StenoJournalRecording *row = steno_journal_recording_new();
    recording_set_text(&row->id, id);
    recording_set_text(&row->app, app);
    recording_set_text(&row->platform, text(request, "platform"));
    recording_set_text(&row->channel, text(request, "channel"));
    recording_set_text(&row->profile, text(request, "profile"));
    recording_set_text(&row->state, "reconnecting");
    recording_set_text(&row->desired, "record");
    row->request = request;
    row->labels = json_deep_copy(json_object_get(request, "labels"));
    row->detail = json_pack("{s:[{s:s, s:s, s:n}]}", "storages", "name", storage, "state", "pending", "uri");
    row->created_us = row->updated_us = row->started_us = zero_us;
    row->legal_hold = request_has_label(row->labels, known ? known->legal_hold_label : NULL);
    return row;
}

static const char *storage_of_app(const StenoDaemon *daemon, const StenoConfigApp *app)
{
    const StenoConfigStorage *first = daemon->config->storages->len > 0 ? daemon->config->storages->pdata[0] : NULL;
    return app->storages[0] ? app->storages[0] : first ? first->name : NULL;
}

static gboolean is_id(const char *id)
{
    return id && strlen(id) == 26 && strspn(id, "0123456789ABCDEFGHJKMNPQRSTVWXYZ") == 26;
}

static gint64 last_write_us(const char *capture)
{
    gint64 last_us = 0;
    g_autoptr(GDir) dir = g_dir_open(capture, 0, NULL);
    const char *name;
    while (dir && (name = g_dir_read_name(dir))) {
        g_autofree char *events = g_build_filename(capture, name, "events.jsonl", NULL);
        struct stat status;
        if (stat(events, &status) == 0)
            last_us = MAX(last_us, status.st_mtim.tv_sec * G_USEC_PER_SEC);
    }
    return last_us;
}

static void on_capture(gpointer user, const char *capture, const json_t *json)
{
    StenoDaemon *daemon = user;
    g_autoptr(GError) error = NULL;
    const char *id = text(json, "id"), *app_name = text(json, "app");
    const StenoConfigApp *app = app_name ? steno_config_app(daemon->config, app_name) : NULL;
    const char *storage = app ? storage_of_app(daemon, app) : NULL;
    if (!is_id(id) || recording_find(daemon, id))
        return;
    g_autoptr(StenoJournalRecording) known = steno_journal_recording_get(daemon->journal, id, &error);
    if (known || error)
        return; /* it has ended: a failed one's capture is kept for people */
    if (!storage) {
        steno_warning(daemon->log, "the capture '%s' belongs to no app that is configured, and is left alone", capture);
        return;
    }
    gboolean recent = steno_clock_wall_us() - last_write_us(capture) < ADOPT_RECENT_US;
    g_autoptr(StenoJournalRecording) row =
        row_of(daemon, id, json, app_name, storage, json_integer_value(json_object_get(json, "zero")));
    if (!row || !steno_journal_recording_add(daemon->journal, row, &error)) {
        steno_error(daemon->log, "the capture '%s' cannot be adopted: %s", capture,
                    error ? error->message : "its recording.json makes no sense");
        return;
    }
    steno_notice(daemon->log, "rec=%s: its capture lay there without a row, and is adopted", id);
    audit_own(daemon, "recording.adopt", app_name, id, "ok", NULL);
    Request *request = request_from_journal(row->request, NULL);
    recording_resume(recording_new(daemon, g_steal_pointer(&row), request), recent);
}

/* ---- rebuilding -------------------------------------------------------------------------------------------------- */

typedef struct {
    StenoDaemon *daemon;
    const char *storage, *app;
    guint found;
} Rebuild;

static void rebuild_one(Rebuild *rebuild, const char *folder)
{
    StenoDaemon *daemon = rebuild->daemon;
    g_autofree char *path = g_build_filename(folder, "manifest.json", NULL);
    g_autoptr(GError) error = NULL;
    json_t *manifest = json_load_file(path, JSON_REJECT_DUPLICATES, NULL);
    const json_t *recording = json_object_get(manifest, "recording");
    const char *id = text(recording, "id");
    g_autoptr(StenoJournalRecording) row = is_id(id) ? row_of(daemon, id, recording, rebuild->app, rebuild->storage,
                                                              json_integer_value(json_object_get(recording, "zero_us")))
                                                     : NULL;
    if (row && recording_take_manifest(row, NULL, folder, &error)) {
        gboolean completed = json_array_size(json_object_get(row->detail, "files")) > 0;
        recording_set_text(&row->state, completed ? "completed" : "failed");
        recording_set_text(&row->desired, "stop");
        recording_set_text(&row->end_reason, text(recording, "end_reason"));
        json_t *fault = json_object_get(recording, "error");
        row->error = json_is_object(fault) ? json_deep_copy(fault) : NULL;
        if (steno_journal_recording_add(daemon->journal, row, &error))
            rebuild->found++;
    }
    if (error)
        steno_warning(daemon->log, "the recording in '%s' is not in the journal: %s", folder, error->message);
    json_decref(manifest);
}

/* Each folder of a folder. */
static void each_folder(Rebuild *rebuild, const char *path, void (*found)(Rebuild *rebuild, const char *folder))
{
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    const char *name;
    while (dir && rebuild->found < REBUILD_MAX && (name = g_dir_read_name(dir))) {
        g_autofree char *child = g_build_filename(path, name, NULL);
        if (name[0] != '.' && g_file_test(child, G_FILE_TEST_IS_DIR) && !g_file_test(child, G_FILE_TEST_IS_SYMLINK))
            found(rebuild, child);
    }
}

static void rebuild_recording(Rebuild *rebuild, const char *folder)
{
    g_autofree char *manifest = g_build_filename(folder, "manifest.json", NULL);
    if (!g_file_test(manifest, G_FILE_TEST_IS_REGULAR))
        return;
    rebuild_one(rebuild, folder);
    if (rebuild->found % REBUILD_BATCH == 0) {
        (void)steno_journal_commit(rebuild->daemon->journal, NULL);
        (void)steno_journal_begin(rebuild->daemon->journal, NULL);
    }
}

static void rebuild_channel(Rebuild *rebuild, const char *folder)
{
    each_folder(rebuild, folder, rebuild_recording);
}

static gboolean rebuild_from_storages(StenoDaemon *daemon, guint *found, GError **error)
{
    Rebuild rebuild = {.daemon = daemon};
    const StenoConfig *config = daemon->config;
    if (!steno_journal_begin(daemon->journal, error))
        return FALSE;
    for (guint s = 0; s < config->storages->len; s++) {
        const StenoConfigStorage *storage = config->storages->pdata[s];
        for (guint a = 0; a < config->apps->len; a++) {
            rebuild.storage = storage->name;
            rebuild.app = ((const StenoConfigApp *)config->apps->pdata[a])->name;
            g_autofree char *root = recording_root(config, storage->name, rebuild.app);
            each_folder(&rebuild, root, rebuild_channel);
        }
    }
    *found = rebuild.found;
    return steno_journal_commit(daemon->journal, error);
}

gboolean recover_all(StenoDaemon *daemon, gboolean rebuild, GError **error)
{
    guint found = 0;
    if (rebuild && !rebuild_from_storages(daemon, &found, error))
        return FALSE;
    if (found > 0) {
        steno_notice(daemon->log, "the journal is new: %u recordings were taken from their manifests", found);
        audit_own(daemon, "journal.rebuild", NULL, NULL, "ok", json_pack("{s:i}", "recordings", (int)found));
    }
    if (!recover_rows(daemon, error))
        return FALSE;
    steno_job_captures(daemon->config->top.spool_dir, on_capture, daemon);
    return TRUE;
}
