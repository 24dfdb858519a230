/*
 * A recording's files: what its manifest names, the manifests and what proves them, and nothing else. They are looked
 * for in a thread, in one storage after the other; what is on this machine is opened, the rest is fetched from where it
 * is.
 */
#include "daemon_internal.h"

#include "manifest_name.h"

#include "steno/base/error.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Files that are looked for at a time: a storage that hangs holds a thread each. */
#define OPENING_MAX 64

gboolean command_file_list(StenoDaemon *daemon, Ask *ask)
{
    Recording *recording;
    g_autoptr(StenoJournalRecording) row = NULL;
    if (command_find(daemon, ask, &recording, &row))
        ask->reply->body = json_pack("{s:o}", "files", recording_files(recording ? recording->row : row, recording));
    return TRUE;
}

/* ---- where it may be --------------------------------------------------------------------------------------------- */

typedef struct {
    StenoStore *store;
    char *key;
    gboolean complete; /* it has all of the recording */
} Candidate;

static void candidate_free(gpointer data)
{
    Candidate *candidate = data;
    steno_store_unref(candidate->store);
    g_free(candidate->key);
    g_free(candidate);
}

/* The key of the file, when the storage has, or may have, the recording's folder. */
static void add_candidate(const StenoDaemon *daemon, GPtrArray *candidates, const json_t *storage, const char *file,
                          gboolean complete)
{
    const char *name = json_string_value(json_object_get(storage, "name"));
    const char *uri = json_string_value(json_object_get(storage, "uri"));
    StenoStore *store = stores_find(daemon->stores, name);
    g_autofree char *folder = store && uri ? steno_store_key_of_uri(store, uri) : NULL;
    if (!folder)
        return;
    Candidate *candidate = g_new(Candidate, 1);
    *candidate = (Candidate){steno_store_ref(store), g_strconcat(folder, "/", file, NULL), complete};
    g_ptr_array_add(candidates, candidate);
}

/* First `preferred` (may be NULL), then those that have all of the recording, then those that have some of it. */
static GPtrArray *find_candidates(const StenoDaemon *daemon, const json_t *storages, const char *preferred,
                                  const char *file)
{
    GPtrArray *candidates = g_ptr_array_new_with_free_func(candidate_free);
    for (guint turn = 0; turn < 3; turn++) {
        size_t i;
        const json_t *storage;
        json_array_foreach (storages, i, storage) {
            gboolean is_preferred = g_strcmp0(json_string_value(json_object_get(storage, "name")), preferred) == 0;
            gboolean is_stored = g_strcmp0(json_string_value(json_object_get(storage, "state")), "stored") == 0;
            if (turn == (is_preferred ? 0u : is_stored ? 1u : 2u))
                add_candidate(daemon, candidates, storage, file, is_stored);
        }
    }
    return candidates;
}

/* ---- opening, in a thread ---------------------------------------------------------------------------------------- */

typedef struct {
    Ask *ask;
    GPtrArray *candidates; /* of Candidate * */
    gboolean redirect;     /* where the storage can */
    char *name, *media_type, *sha256_hex;
    gint64 expected_bytes; /* -1: not known */
    gboolean optional;     /* a recording may have none */
    /* Found: */
    const Candidate *found;
    int fd;
    char *url;       /* secret */
    gboolean absent; /* no storage has it, as one says that has all else */
    gint64 bytes, modified_us;
    GError *error;
} Opening;

static void free_secret(char *text)
{
    if (text)
        steno_secret_wipe(text, strlen(text));
    g_free(text);
}

static void opening_free(gpointer data)
{
    Opening *opening = data;
    g_ptr_array_unref(opening->candidates);
    g_free(opening->name);
    g_free(opening->media_type);
    g_free(opening->sha256_hex);
    if (opening->fd >= 0)
        close(opening->fd);
    free_secret(opening->url);
    g_clear_error(&opening->error);
    g_free(opening);
}

static gboolean stat_local(Opening *opening, GError **error)
{
    struct stat status;
    if (fstat(opening->fd, &status) != 0 || !S_ISREG(status.st_mode)) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_VERIFY_FAILED, "'%s' in the storage is no file", opening->name);
        return FALSE;
    }
    opening->bytes = status.st_size;
    opening->modified_us = status.st_mtim.tv_sec * G_USEC_PER_SEC + status.st_mtim.tv_nsec / 1000;
    return TRUE;
}

static gboolean open_remote(Opening *opening, const Candidate *candidate, GError **error)
{
    g_autoptr(GError) why = NULL;
    if (!steno_store_stat(candidate->store, candidate->key, &opening->bytes, &opening->modified_us, NULL, error))
        return FALSE;
    if (opening->redirect)
        opening->url =
            steno_store_presign(candidate->store, candidate->key, opening->name, opening->media_type, NULL, &why);
    if (!why)
        return TRUE;
    g_propagate_error(error, g_steal_pointer(&why));
    return FALSE;
}

static gboolean open_candidate(Opening *opening, const Candidate *candidate, GError **error)
{
    g_autoptr(GError) why = NULL;
    opening->fd = steno_store_open_object(candidate->store, candidate->key, &why);
    if (why) {
        g_propagate_error(error, g_steal_pointer(&why));
        return FALSE;
    }
    if (!(opening->fd >= 0 ? stat_local(opening, error) : open_remote(opening, candidate, error)))
        return FALSE;
    /* A checksum of other contents must not go out with these. */
    if (opening->expected_bytes < 0 || opening->bytes == opening->expected_bytes)
        return TRUE;
    g_set_error(error, STENO_ERROR, STENO_ERROR_VERIFY_FAILED,
                "the file in the storage has %" G_GINT64_FORMAT " bytes, and its manifest says %" G_GINT64_FORMAT
                ": it was changed",
                opening->bytes, opening->expected_bytes);
    return FALSE;
}

static void close_candidate(Opening *opening)
{
    if (opening->fd >= 0)
        close(opening->fd);
    opening->fd = -1;
    free_secret(g_steal_pointer(&opening->url));
}

static void open_any(GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
    Opening *opening = data;
    (void)source;
    (void)cancellable;
    for (guint i = 0; i < opening->candidates->len && !opening->found; i++) {
        const Candidate *candidate = opening->candidates->pdata[i];
        g_autoptr(GError) error = NULL;
        if (open_candidate(opening, candidate, &error)) {
            opening->found = candidate;
            break;
        }
        close_candidate(opening);
        if (opening->optional && candidate->complete && g_error_matches(error, STENO_ERROR, STENO_ERROR_NOT_FOUND))
            opening->absent = TRUE;
        /* That one storage does not have it says less than what is wrong with another. */
        if (!opening->error || g_error_matches(opening->error, STENO_ERROR, STENO_ERROR_NOT_FOUND)) {
            g_clear_error(&opening->error);
            opening->error = g_steal_pointer(&error);
        }
    }
    g_task_return_boolean(task, TRUE);
}

/* ---- the reply --------------------------------------------------------------------------------------------------- */

static void reply_found(StenoDaemon *daemon, Ask *ask, Opening *opening)
{
    StenoDaemonReply *reply = ask->reply;
    if (opening->fd < 0 && !opening->url) {
        reply->stream = stream_new(daemon->streams, opening->found->store, opening->found->key);
        if (!reply->stream) {
            command_refuse(ask, STENO_ERROR_TOO_MANY_REQUESTS,
                           "%d files are being fetched from storages at the moment; try again later", STREAMS_MAX);
            return;
        }
    }
    reply->fd = opening->fd;
    opening->fd = -1;
    reply->redirect_url = g_steal_pointer(&opening->url);
    reply->file_bytes = opening->bytes;
    reply->file_modified_us = opening->modified_us;
    reply->file_name = g_steal_pointer(&opening->name);
    reply->file_media_type = g_steal_pointer(&opening->media_type);
    reply->file_sha256_hex = g_steal_pointer(&opening->sha256_hex);
}

static void on_opened(GObject *source, GAsyncResult *result, gpointer user)
{
    (void)source;
    (void)user;
    Opening *opening = g_task_get_task_data(G_TASK(result));
    Ask *ask = opening->ask;
    if (ask->daemon) {
        ask->daemon->opening--;
        if (opening->found)
            reply_found(ask->daemon, ask, opening);
        else if (opening->absent || g_error_matches(opening->error, STENO_ERROR, STENO_ERROR_NOT_FOUND))
            command_refuse(ask, STENO_ERROR_NOT_FOUND, "the file '%s' is not in its storage%s", opening->name,
                           opening->optional ? "" : " any more");
        else
            ask->reply->error = g_steal_pointer(&opening->error);
    }
    ask_done(ask);
}

/* via=redirect|stream; what is not told, the storage decides. */
static gboolean read_via(Ask *ask, gboolean *redirect)
{
    const char *via = ask_text(ask, "via");
    *redirect = g_strcmp0(via, "stream") != 0;
    if (!via || !*redirect || strcmp(via, "redirect") == 0)
        return TRUE;
    command_refuse(ask, STENO_ERROR_USAGE, "?via: is '%s', but must be one of: redirect, stream", via);
    return FALSE;
}

/* shown: as GET shows the recording. file: its object there, or NULL. Returns as a handler does. */
static gboolean open_file(StenoDaemon *daemon, Ask *ask, const json_t *shown, const json_t *file, const char *name,
                          const char *media_type)
{
    const char *storage = json_string_value(json_object_get(file, "storage"));
    gboolean redirect;
    if (!read_via(ask, &redirect))
        return TRUE;
    if (daemon->opening >= OPENING_MAX)
        return command_refuse(ask, STENO_ERROR_TOO_MANY_REQUESTS,
                              "%d files are being looked for in their storages; try again later", OPENING_MAX);
    g_autoptr(GPtrArray) candidates = find_candidates(daemon, json_object_get(shown, "storages"), storage, name);
    if (candidates->len == 0)
        return command_refuse(ask, STENO_ERROR_NOT_FOUND, "the recording has no files in a storage");
    Opening *opening = g_new0(Opening, 1);
    opening->ask = ask;
    opening->candidates = g_steal_pointer(&candidates);
    opening->redirect = redirect;
    opening->name = g_strdup(name);
    opening->media_type = g_strdup(media_type);
    opening->sha256_hex = g_strdup(json_string_value(json_object_get(file, "sha256")));
    opening->expected_bytes = file ? json_integer_value(json_object_get(file, "bytes")) : -1;
    opening->optional = !file && strcmp(name, MANIFEST_NAME) != 0;
    opening->fd = -1;
    GTask *task = g_task_new(NULL, NULL, on_opened, NULL);
    g_task_set_task_data(task, opening, opening_free);
    daemon->opening++;
    g_task_run_in_thread(task, open_any);
    g_object_unref(task);
    return FALSE;
}

static const json_t *find_file(const json_t *files, const char *name)
{
    size_t i;
    const json_t *file;
    json_array_foreach (files, i, file) {
        if (g_strcmp0(json_string_value(json_object_get(file, "name")), name) == 0)
            return file;
    }
    return NULL;
}

gboolean command_file_open(StenoDaemon *daemon, Ask *ask)
{
    Recording *recording;
    g_autoptr(StenoJournalRecording) row = NULL;
    gboolean done = TRUE;
    if (!command_find(daemon, ask, &recording, &row))
        return TRUE;
    json_t *shown = recording_to_json(recording ? recording->row : row, recording);
    const char *name = ask_text(ask, "name");
    const json_t *file = find_file(json_object_get(shown, "files"), name);
    const char *deleted_at = json_string_value(json_object_get(file, "deleted_at"));
    /* That of the whole has a path of its own. */
    const char *beside = name && strcmp(name, MANIFEST_NAME) != 0 ? manifest_name_media_type(name) : NULL;
    if (!file && beside)
        done = open_file(daemon, ask, shown, NULL, name, beside);
    else if (!file)
        command_refuse(ask, STENO_ERROR_NOT_FOUND, "the recording has no file of this name");
    else if (deleted_at)
        command_refuse(ask, STENO_ERROR_NOT_FOUND, "the file was deleted at %s, by retention or by order", deleted_at);
    else
        done = open_file(daemon, ask, shown, file, name, json_string_value(json_object_get(file, "media_type")));
    json_decref(shown);
    return done;
}

gboolean command_manifest(StenoDaemon *daemon, Ask *ask)
{
    Recording *recording;
    g_autoptr(StenoJournalRecording) row = NULL;
    if (!command_find(daemon, ask, &recording, &row))
        return TRUE;
    if (recording && !recording->free_source)
        return command_refuse(ask, STENO_ERROR_NOT_FOUND, "the recording has no manifest yet: it has not ended");
    json_t *shown = recording_to_json(recording ? recording->row : row, recording);
    gboolean done = open_file(daemon, ask, shown, NULL, MANIFEST_NAME, manifest_name_media_type(MANIFEST_NAME));
    json_decref(shown);
    return done;
}
