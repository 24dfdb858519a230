/*
 * The start: everything that is known, or lies on disk, goes on from where it is. Rows that have not ended first; then
 * captures in the spool that no row knows; what the storages' manifests tell of what was comes behind (rebuild.c).
 */
#include "daemon_internal.h"

#include "steno/base/clock.h"
#include "steno/base/error.h"

#include <string.h>
#include <sys/stat.h>

/* A capture that no row knows is gone on with when it was written to so lately; an older one is only assembled. */
#define ADOPT_RECENT_US (10 * 60 * G_USEC_PER_SEC)

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

/* Since it was begun, its channel was put on the list of those that are never recorded. */
static gboolean is_off_the_record(StenoDaemon *daemon, const StenoJournalRecording *row, const Request *request)
{
    g_autoptr(GError) error = NULL;
    if (!request || request_may_be_recorded(daemon->config, request, &error))
        return FALSE;
    steno_error(daemon->log, "rec=%s: is stopped: %s", row->id, error->message);
    audit_own(daemon, "recording.stop", row->app, row->id, "ok",
              json_pack("{s:s}", "end_reason", steno_error_slug(STENO_ERROR_OFF_THE_RECORD)));
    return TRUE;
}

static void resume_row(StenoDaemon *daemon, StenoJournalRecording *row)
{
    g_autoptr(GError) error = NULL;
    Request *request = request_from_journal(row->request, &error);
    gboolean queued = strcmp(row->state, "queued") == 0;
    gboolean captured = has_capture(daemon, row->id);
    gboolean record = g_strcmp0(row->desired, "record") == 0;
    Recording *recording = recording_new(daemon, row, request);
    if (!request)
        steno_error(recording->log, "its request in the journal cannot be read: %s", error->message);
    if (queued && !captured && request && row->start_at_us > 0 && record)
        recording_schedule(recording);
    else
        recording_resume(recording, record && !is_over(row, request) && !is_off_the_record(daemon, row, request));
}

static gboolean recover_rows(StenoDaemon *daemon, GError **error)
{
    g_autoptr(GPtrArray) rows = steno_journal_recordings_unfinished(daemon->journal, error);
    if (!rows)
        return FALSE;
    g_ptr_array_set_free_func(rows, NULL);
    for (guint i = 0; i < rows->len; i++)
        resume_row(daemon, rows->pdata[i]);
    if (rows->len > 0)
        steno_notice(daemon->log, "goes on with %u recordings", rows->len);
    return TRUE;
}

/* ---- what is told of a recording without a row --------------------------------------------------------------------
 */

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
static const char *platform_of(const StenoConfig *config, const json_t *recording)
{
    const char *name = text(recording, "platform_name"), *connector = text(recording, "platform");
    const char *found = NULL;
    for (guint i = 0; !name && i < config->platforms->len; i++) {
        const StenoConfigPlatform *platform = config->platforms->pdata[i];
        if (g_strcmp0(platform->connector, connector) == 0)
            found = found ? "unknown" : platform->name;
    }
    return name ? name : found ? found : "unknown";
}

/* Where its keys came from is not told: the app's source, where it has one for this format; else those come later. */
static json_t *content_of(const StenoConfig *config, const json_t *content, const char *app)
{
    const StenoConfigApp *known = steno_config_app(config, app);
    const char *format = text(content, "format");
    if (!format)
        return json_null();
    gboolean has_keys = known && known->keys && strcmp(known->content, format) == 0;
    return json_pack("{s:s, s:s}", "format", format, "keys", has_keys ? known->keys : STENO_CONFIG_KEYS_LATER);
}

/* The request as far as it is known: enough to assemble and store it, and to go on with what can be gone on with. */
static json_t *request_of(const StenoConfig *config, const json_t *recording, const json_t *content, const char *app,
                          char *const *storages, gboolean first)
{
    const char *outputs = text(recording, "outputs"), *audio = text(recording, "audio");
    const char *channel = text(recording, "channel");
    const char *platform = platform_of(config, recording);
    const StenoConfigPlatform *known = steno_config_platform(config, platform);
    json_t *names = json_array(), *whole = NULL;
    for (char *const *name = storages; *name; name++)
        json_array_append_new(names, json_string(*name));
    json_t *asked =
        json_pack("{s:s, s:s, s:s, s:{s:s}, s:[{s:s, s:s}], s:o, s:s, s:I, s:b, s:o, s:o}", "app", app, "platform",
                  platform, "channel", channel ? channel : "channel", "token", "source",
                  known && known->token_secret_file ? "mint" : "none", "outputs", "type",
                  outputs ? outputs : "participant", "audio", audio ? audio : "copy", "storages", names, "store",
                  first ? "first" : "all", "rotate_s", json_integer_value(json_object_get(recording, "rotate_s")),
                  "rotate_join", json_is_true(json_object_get(recording, "rotate_join")), "labels",
                  labels_of(recording), "content", content_of(config, content, app));
    g_autoptr(Request) request = request_from_journal(asked, NULL);
    if (request)
        whole = request_to_json(request);
    json_decref(asked);
    return whole;
}

StenoJournalRecording *recover_row(const StenoConfig *config, const char *id, const json_t *recording,
                                   const json_t *content, const char *app, char *const *storages, gboolean first,
                                   gint64 zero_us)
{
    const StenoConfigApp *known = steno_config_app(config, app);
    json_t *request = request_of(config, recording, content, app, storages, first);
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
    row->created_us = row->updated_us = row->started_us = zero_us;
    row->legal_hold = request_has_label(row->labels, known ? known->legal_hold_label : NULL);
    return row;
}

#define ID_CHARACTERS "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
#define ID_LENGTH 26
#define ID_TIME_LENGTH 10 /* of which the first bytes are the time in ms */

gboolean recover_is_id(const char *id)
{
    return id && strlen(id) == ID_LENGTH && strspn(id, ID_CHARACTERS) == ID_LENGTH;
}

gint64 recover_id_us(const char *id)
{
    gint64 ms = 0;
    for (guint i = 0; i < ID_TIME_LENGTH; i++)
        ms = ms * 32 + (strchr(ID_CHARACTERS, id[i]) - ID_CHARACTERS);
    return ms * 1000;
}

char *recover_id_of_key(const char *key)
{
    const char *found = NULL;
    while (*key) {
        gsize length = strspn(key, ID_CHARACTERS);
        found = length == ID_LENGTH ? key : found;
        key += MAX(length, 1);
    }
    return found ? g_strndup(found, ID_LENGTH) : NULL;
}

/* ---- captures without a row -------------------------------------------------------------------------------------- */

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

static StenoJournalRecording *row_of_capture(const StenoDaemon *daemon, const char *id, const json_t *json,
                                             const StenoConfigApp *app, GError **error)
{
    g_auto(GStrv) storages = NULL;
    gboolean first;
    if (!request_default_storages(daemon->config, app, &storages, &first, error))
        return NULL;
    StenoJournalRecording *row = recover_row(daemon->config, id, json, json_object_get(json, "content"), app->name,
                                             storages, first, json_integer_value(json_object_get(json, "zero")));
    if (!row)
        g_set_error_literal(error, STENO_ERROR, STENO_ERROR_CAPTURE_DAMAGED, "its recording.json makes no sense");
    return row;
}

static void on_capture(gpointer user, const char *capture, const json_t *json)
{
    StenoDaemon *daemon = user;
    g_autoptr(GError) error = NULL;
    const char *id = text(json, "id"), *app_name = text(json, "app");
    const StenoConfigApp *app = app_name ? steno_config_app(daemon->config, app_name) : NULL;
    if (!recover_is_id(id) || recording_find(daemon, id))
        return;
    g_autoptr(StenoJournalRecording) known = steno_journal_recording_get(daemon->journal, id, &error);
    if (known || error)
        return; /* it has ended: a failed one's capture is kept for people */
    if (!app) {
        steno_warning(daemon->log, "the capture '%s' belongs to no app that is configured, and is left alone", capture);
        return;
    }
    gboolean recent = steno_clock_wall_us() - last_write_us(capture) < ADOPT_RECENT_US;
    g_autoptr(StenoJournalRecording) row = row_of_capture(daemon, id, json, app, &error);
    if (!row || !steno_journal_recording_add(daemon->journal, row, &error)) {
        steno_error(daemon->log, "the capture '%s' cannot be adopted: %s", capture, error->message);
        return;
    }
    steno_notice(daemon->log, "rec=%s: its capture lay there without a row, and is adopted", id);
    audit_own(daemon, "recording.adopt", app_name, id, "ok", NULL);
    Request *request = request_from_journal(row->request, NULL);
    gboolean record = recent && !is_off_the_record(daemon, row, request);
    recording_resume(recording_new(daemon, g_steal_pointer(&row), request), record);
}

gboolean recover_all(StenoDaemon *daemon, GError **error)
{
    if (!recover_rows(daemon, error))
        return FALSE;
    steno_job_captures(daemon->config->top.spool_dir, on_capture, daemon);
    return TRUE;
}
