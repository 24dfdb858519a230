/* How a recording looks: the JSON of its row, and what its manifest says of its files. */
#include "daemon_internal.h"

#include "steno/base/clock.h"
#include "steno/base/error.h"

#include <string.h>

/* A manifest of 10,000 tracks has less. */
#define MANIFEST_MAX_BYTES (64 * 1024 * 1024)

void recording_set_text(char **member, const char *text)
{
    if (*member == text)
        return;
    g_free(*member);
    *member = g_strdup(text);
}

json_t *recording_internal(StenoJournalRecording *row)
{
    if (!row->detail)
        row->detail = json_object();
    json_t *internal = json_object_get(row->detail, "internal");
    if (!internal) {
        internal = json_object();
        json_object_set_new(row->detail, "internal", internal);
    }
    return internal;
}

char *recording_root(const StenoConfig *config, const char *storage, const char *app)
{
    const StenoConfigStorage *found = storage ? steno_config_storage(config, storage) : NULL;
    return found ? g_build_filename(found->root, app, NULL) : NULL;
}

char *recording_folder(const StenoJournalRecording *row)
{
    const json_t *storage = json_array_get(json_object_get(row->detail, "storages"), 0);
    const char *uri = json_string_value(json_object_get(storage, "uri"));
    return uri ? g_filename_from_uri(uri, NULL, NULL) : NULL;
}

/* ---- JSON -------------------------------------------------------------------------------------------------------- */

static json_t *time_or_null(gint64 wall_us)
{
    g_autofree char *text = wall_us > 0 ? steno_clock_format(wall_us) : NULL;
    return text ? json_string(text) : json_null();
}

json_t *recording_event_data(const StenoJournalRecording *row)
{
    json_t *labels = row->labels ? json_deep_copy(row->labels) : json_object();
    return json_pack("{s:s, s:s, s:s, s:s, s:o}", "recording", row->id, "app", row->app, "platform", row->platform,
                     "channel", row->channel, "labels", labels);
}

/* What is not there yet looks like this. */
static json_t *empty_detail(void)
{
    return json_pack("{s:[], s:[], s:{s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i}, s:i, s:[], s:[]}", "participants",
                     "tracks", "counts", "duration_ms", 0, "participants", 0, "tracks", 0, "frames", 0, "bytes", 0,
                     "packets", 0, "lost", 0, "recovered", 0, "parts", 0, "files", "storages");
}

json_t *recording_to_json(const StenoJournalRecording *row, const Recording *recording)
{
    if (recording && recording->shown)
        return json_deep_copy(recording->shown);
    if (recording)
        model_into_detail(recording->model, row->detail);
    json_t *json =
        json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:s?, s:s?}", "id", row->id, "app", row->app,
                  "platform", row->platform, "channel", row->channel, "profile", row->profile, "state", row->state,
                  "created_at", time_or_null(row->created_us), "updated_at", time_or_null(row->updated_us), "start_at",
                  time_or_null(row->start_at_us), "started_at", time_or_null(row->started_us), "ended_at",
                  time_or_null(row->ended_us), "webhook", row->webhook, "end_reason", row->end_reason);
    json_object_set_new(json, "request", row->request ? json_deep_copy(row->request) : json_object());
    json_object_set_new(json, "labels", row->labels ? json_deep_copy(row->labels) : json_object());
    json_object_set_new(json, "error", row->error ? json_deep_copy(row->error) : json_null());
    json_object_set_new(json, "progress",
                        recording && recording->progress >= 0 ? json_real(recording->progress) : json_null());
    json_t *detail = row->detail ? json_deep_copy(row->detail) : json_object();
    json_object_del(detail, "internal");
    json_object_update_new(json, detail);
    json_object_update_missing_new(json, empty_detail());
    return json;
}

/* ---- the manifest ------------------------------------------------------------------------------------------------ */

static const char *media_type(const char *name)
{
    static const struct {
        const char *extension, *audio, *video;
    } types[] = {
        {".webm", NULL, "video/webm"},      {".mp4", NULL, "video/mp4"},        {".m4a", "audio/mp4", NULL},
        {".mkv", NULL, "video/x-matroska"}, {".mka", "audio/x-matroska", NULL}, {".json", "application/json", NULL},
    };
    for (guint i = 0; i < G_N_ELEMENTS(types); i++) {
        if (g_str_has_suffix(name, types[i].extension))
            return types[i].audio ? types[i].audio : types[i].video;
    }
    return "application/octet-stream";
}

static json_t *describe_file(const char *id, const char *storage, const json_t *output)
{
    const char *name = json_string_value(json_object_get(output, "file"));
    const char *sha256 = json_string_value(json_object_get(output, "sha256"));
    const char *participant = json_string_value(json_object_get(output, "participant"));
    if (!name || !name[0] || name[0] == '.' || strchr(name, '/') || !sha256)
        return NULL;
    g_autofree char *escaped = g_uri_escape_string(name, NULL, FALSE);
    g_autofree char *url = g_strdup_printf("/v1/recordings/%s/files/%s", id, escaped);
    return json_pack("{s:s, s:I, s:s, s:s, s:s?, s:s, s:s, s:n}", "name", name, "bytes",
                     json_integer_value(json_object_get(output, "size_bytes")), "sha256", sha256, "media_type",
                     media_type(name), "participant", participant, "url", url, "storage", storage, "deleted_at");
}

static json_t *read_manifest(const char *folder, GError **error)
{
    g_autofree char *path = g_build_filename(folder, "manifest.json", NULL);
    g_autofree char *contents = NULL;
    gsize bytes;
    g_autoptr(GError) why = NULL;
    json_error_t fault = {0};
    if (!g_file_get_contents(path, &contents, &bytes, &why)) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_STORAGE_FAILED,
                    "the recording is stored, but its manifest cannot "
                    "be read: %s",
                    why->message);
        return NULL;
    }
    json_t *manifest = bytes <= MANIFEST_MAX_BYTES ? json_loadb(contents, bytes, JSON_REJECT_DUPLICATES, &fault) : NULL;
    if (!json_is_object(manifest)) {
        json_decref(manifest);
        g_set_error(error, STENO_ERROR, STENO_ERROR_VERIFY_FAILED, "the manifest '%s' cannot be read: %s", path,
                    fault.text[0] ? fault.text : "it is no object, or too large");
        return NULL;
    }
    return manifest;
}

gboolean recording_take_manifest(StenoJournalRecording *row, Model *model, const char *folder, GError **error)
{
    json_t *manifest = read_manifest(folder, error);
    if (!manifest)
        return FALSE;
    const json_t *storages = json_object_get(row->request, "storages");
    const char *storage = json_string_value(json_array_get(storages, 0));
    const json_t *recording = json_object_get(manifest, "recording");
    g_autofree char *uri = g_filename_to_uri(folder, NULL, NULL);
    json_t *files = json_array();
    size_t i;
    const json_t *output;
    row->files_bytes = 0;
    json_array_foreach (json_object_get(manifest, "outputs"), i, output) {
        json_t *file = describe_file(row->id, storage ? storage : "", output);
        if (!file)
            continue;
        row->files_bytes += json_integer_value(json_object_get(file, "bytes"));
        json_array_append_new(files, file);
    }
    (void)recording_internal(row);
    json_object_set_new(row->detail, "files", files);
    json_object_set_new(row->detail, "storages",
                        json_pack("[{s:s, s:s, s:s?}]", "name", storage ? storage : "", "state", "stored", "uri", uri));
    gint64 ended_us = json_integer_value(json_object_get(recording, "ended_us"));
    gint64 zero_us = json_integer_value(json_object_get(recording, "zero_us"));
    row->ended_us = ended_us > 0 ? ended_us : row->ended_us;
    row->started_us = row->started_us > 0 ? row->started_us : zero_us;
    if (model)
        model_take_manifest(model, manifest);
    json_decref(manifest);
    return TRUE;
}

void recording_not_stored(StenoJournalRecording *row)
{
    size_t i;
    json_t *storage;
    json_array_foreach (json_object_get(row->detail, "storages"), i, storage)
        json_object_set_new(storage, "state", json_string("failed"));
}
