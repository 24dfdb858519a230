/* How a recording looks: the JSON of its row. */
#include "daemon_internal.h"

#include "steno/base/clock.h"

#include <string.h>

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

/* ---- JSON -------------------------------------------------------------------------------------------------------- */

json_t *recording_time(gint64 wall_us)
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
    return json_pack("{s:[], s:[], s:{s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i}, s:i, s:[], s:[]}", "participants",
                     "tracks", "counts", "duration_ms", 0, "participants", 0, "tracks", 0, "frames", 0, "bytes", 0,
                     "packets", 0, "lost", 0, "recovered", 0, "sealed", 0, "parts", 0, "files", "storages");
}

json_t *recording_storage(const char *name, const char *state, const char *uri, gint64 bytes)
{
    return json_pack("{s:s, s:s, s:s?, s:n, s:n, s:I, s:I}", "name", name, "state", state, "uri", uri, "since", "error",
                     "bytes", (json_int_t)bytes, "bytes_total", (json_int_t)bytes);
}

/* A folder's URI ends as one: what is put behind it is a file. */
static void end_uri(json_t *storage)
{
    const char *uri = json_string_value(json_object_get(storage, "uri"));
    if (!uri || g_str_has_suffix(uri, "/"))
        return;
    g_autofree char *folder = g_strconcat(uri, "/", NULL);
    json_object_set_new(storage, "uri", json_string(folder));
}

/* Rows of earlier versions have fewer members. */
static void complete_members(json_t *json, gint64 files_bytes)
{
    size_t i;
    json_t *item, *request = json_object_get(json, "request");
    if (json_object_size(request) > 0)
        json_object_update_missing_new(
            request, json_pack("{s:s, s:i, s:b, s:n}", "store", "all", "rotate_s", 0, "rotate_join", 0, "content"));
    json_object_update_missing_new(json_object_get(json, "counts"), json_pack("{s:i}", "sealed", 0));
    json_array_foreach (json_object_get(json, "files"), i, item)
        json_object_update_missing_new(item, json_pack("{s:n, s:b, s:n}", "section", "sealed", 0, "encryption"));
    json_array_foreach (json_object_get(json, "storages"), i, item) {
        gboolean stored = g_strcmp0(json_string_value(json_object_get(item, "state")), "stored") == 0;
        json_object_update_missing_new(item, recording_storage("", "", NULL, stored ? files_bytes : 0));
        end_uri(item);
    }
}

/* What was asked for, and what has become of it. */
static json_t *content_to_json(const StenoJournalRecording *row)
{
    const json_t *asked = json_object_get(row->request, "content");
    if (!json_is_object(asked))
        return json_null();
    json_t *json = model_content(row->detail);
    for (const char *const *name = (const char *const[]){"format", "keys", NULL}; *name; name++)
        json_object_set(json, *name, json_object_get(asked, *name));
    return json;
}

json_t *recording_files(const StenoJournalRecording *row, const Recording *recording)
{
    json_t *json = recording_to_json(row, recording);
    json_t *files = json_incref(json_object_get(json, "files"));
    json_decref(json);
    return files;
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
                  "created_at", recording_time(row->created_us), "updated_at", recording_time(row->updated_us),
                  "start_at", recording_time(row->start_at_us), "started_at", recording_time(row->started_us),
                  "ended_at", recording_time(row->ended_us), "webhook", row->webhook, "end_reason", row->end_reason);
    json_object_set_new(json, "request", row->request ? json_deep_copy(row->request) : json_object());
    json_object_set_new(json, "labels", row->labels ? json_deep_copy(row->labels) : json_object());
    json_object_set_new(json, "error", row->error ? json_deep_copy(row->error) : json_null());
    json_object_set_new(json, "progress",
                        recording && recording->progress >= 0 ? json_real(recording->progress) : json_null());
    json_object_set_new(json, "content", content_to_json(row));
    json_t *detail = row->detail ? json_deep_copy(row->detail) : json_object();
    json_object_del(detail, "internal");
    json_object_update_new(json, detail);
    json_object_update_missing_new(json, empty_detail());
    complete_members(json, row->files_bytes);
    return json;
}
