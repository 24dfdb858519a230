/* A recording's files, as its manifest tells them. */
#include "daemon_internal.h"

#include <string.h>

static const char *media_type(const char *name)
{
    static const struct {
        const char *extension, *audio, *video;
    } types[] = {
        {".webm", NULL, "video/webm"},      {".mp4", NULL, "video/mp4"},        {".m4a", "audio/mp4", NULL},
        {".mkv", NULL, "video/x-matroska"}, {".mka", "audio/x-matroska", NULL}, {".json", "application/json", NULL},
        {".cms", "application/cms", NULL},
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
    const char *kind = json_string_value(json_object_get(output, "kind"));
    const json_t *encryption = json_object_get(output, "encryption");
    json_int_t section = json_integer_value(json_object_get(output, "section"));
    if (!name || !name[0] || name[0] == '.' || strchr(name, '/') || !sha256)
        return NULL;
    g_autofree char *escaped = g_uri_escape_string(name, NULL, FALSE);
    g_autofree char *url = g_strdup_printf("/v1/recordings/%s/files/%s", id, escaped);
    return json_pack("{s:s, s:I, s:s, s:s, s:s?, s:o, s:b, s:s?, s:s, s:s, s:n}", "name", name, "bytes",
                     json_integer_value(json_object_get(output, "size_bytes")), "sha256", sha256, "media_type",
                     media_type(name), "participant", participant, "section",
                     section > 0 ? json_integer(section) : json_null(), "sealed", g_strcmp0(kind, "sealed") == 0,
                     "encryption", json_string_value(json_object_get(encryption, "method")), "url", url, "storage",
                     storage, "deleted_at");
}

json_t *recording_describe_files(const char *id, const char *storage, const json_t *outputs)
{
    json_t *files = json_array();
    size_t i;
    const json_t *output;
    json_array_foreach (outputs, i, output) {
        json_t *file = describe_file(id, storage, output);
        if (file)
            json_array_append_new(files, file);
    }
    return files;
}

gint64 recording_files_bytes(const json_t *files)
{
    gint64 bytes = 0;
    size_t i;
    const json_t *file;
    json_array_foreach (files, i, file)
        bytes += json_integer_value(json_object_get(file, "bytes"));
    return bytes;
}

/* Sections may lie in different storages: each was told when it was stored. */
static void keep_storages(json_t *files, const json_t *known)
{
    size_t i, k;
    json_t *file;
    const json_t *before;
    g_autoptr(GHashTable) storages = g_hash_table_new(g_str_hash, g_str_equal);
    json_array_foreach (known, k, before) {
        const char *name = json_string_value(json_object_get(before, "name"));
        if (name)
            g_hash_table_replace(storages, (gpointer)name, json_object_get(before, "storage"));
    }
    json_array_foreach (files, i, file) {
        json_t *storage = g_hash_table_lookup(storages, json_string_value(json_object_get(file, "name")));
        if (storage)
            json_object_set(file, "storage", storage);
    }
}

gboolean recording_is_complete(const StenoJournalRecording *row)
{
    const char *code = json_string_value(json_object_get(row->error, "code"));
    return json_array_size(json_object_get(row->detail, "files")) > 0 &&
           g_strcmp0(code, steno_error_slug(STENO_ERROR_NO_KEY)) != 0 &&
           g_strcmp0(code, steno_error_slug(STENO_ERROR_BAD_KEY)) != 0;
}

void recording_take_manifest(StenoJournalRecording *row, Model *model, const json_t *manifest, const char *storage)
{
    const json_t *recording = json_object_get(manifest, "recording");
    json_t *files = recording_describe_files(row->id, storage, json_object_get(manifest, "outputs"));
    (void)recording_internal(row);
    keep_storages(files, json_object_get(row->detail, "files"));
    row->files_bytes = recording_files_bytes(files);
    json_object_set_new(row->detail, "files", files);
    gint64 ended_us = json_integer_value(json_object_get(recording, "ended_us"));
    gint64 zero_us = json_integer_value(json_object_get(recording, "zero_us"));
    row->ended_us = ended_us > 0 ? ended_us : row->ended_us;
    row->started_us = row->started_us > 0 ? row->started_us : zero_us;
    model_take_manifest(model, manifest);
}
