/* The commands about one recording. */
#include "daemon_internal.h"

#include "steno/base/clock.h"
#include "steno/base/error.h"
#include "steno/content.h"

#include <string.h>

#define IDEMPOTENCY_KEY_MAX_BYTES 255

/* ---- start ------------------------------------------------------------------------------------------------------- */

static StenoJournalRecording *new_row(const StenoDaemon *daemon, const Request *request)
{
    const StenoConfigApp *app = steno_config_app(daemon->config, request->app);
    StenoJournalRecording *row = steno_journal_recording_new();
    row->id = steno_job_new_id();
    recording_set_text(&row->app, request->app);
    recording_set_text(&row->platform, request->platform);
    recording_set_text(&row->channel, request->channel);
    recording_set_text(&row->profile, request->profile);
    recording_set_text(&row->state, "queued");
    recording_set_text(&row->desired, "record");
    recording_set_text(&row->webhook, request->webhook);
    row->request = request_to_json(request);
    row->labels = json_deep_copy(request->labels);
    row->created_us = row->updated_us = steno_clock_wall_us();
    row->start_at_us = request->start_at_us;
    row->legal_hold = request_has_label(request->labels, app ? app->legal_hold_label : NULL);
    return row;
}

static void reply_started(Ask *ask, const StenoJournalRecording *row, const Recording *recording)
{
    ask->reply->body = recording_to_json(row, recording);
    ask->reply->created = TRUE;
    g_free(ask->reply->location);
    ask->reply->location = g_strdup_printf("/v1/recordings/%s", row->id);
}

/* The key was used: the recording of that time, as it is now. */
static gboolean replay(StenoDaemon *daemon, Ask *ask, const char *id)
{
    const Recording *recording = recording_find(daemon, id);
    g_autoptr(StenoJournalRecording) row = NULL;
    if (!recording)
        row = steno_journal_recording_get(daemon->journal, id, &ask->reply->error);
    if (ask->reply->error)
        return TRUE;
    if (!recording && !row)
        return command_refuse(ask, STENO_ERROR_NOT_FOUND, "the recording '%s' of this Idempotency-Key is forgotten",
                              id);
    recording_set_text(&ask->target, id);
    reply_started(ask, recording ? recording->row : row, recording);
    ask->reply->replayed = TRUE;
    return TRUE;
}

static char *digest_of(const json_t *body)
{
    char *text = json_dumps(body, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);
    char *digest = g_compute_checksum_for_string(G_CHECKSUM_SHA256, text ? text : "", -1);
    if (text)
        steno_secret_wipe(text, strlen(text));
    free(text);
    return digest;
}

static gboolean find_key(StenoDaemon *daemon, const Request *request, const char *key, const char *digest, char **id,
                         GError **error)
{
    *id = NULL;
    if (!key)
        return TRUE;
    if (!key[0] || strlen(key) > IDEMPOTENCY_KEY_MAX_BYTES) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_USAGE, "the Idempotency-Key must have 1 to %d bytes",
                    IDEMPOTENCY_KEY_MAX_BYTES);
        return FALSE;
    }
    g_autoptr(GError) why = NULL;
    gboolean found = steno_journal_idempotency_find(daemon->journal, request->app, key, digest, id, &why);
    outbox_judge_read(daemon, &why);
    if (why)
        g_propagate_error(error, g_steal_pointer(&why));
    return found;
}

/* In the journal, then begun; the other way round a crash would leave a recording that nobody asked for. */
static gboolean start(StenoDaemon *daemon, Ask *ask, Request *taken, const char *key, const char *digest)
{
    g_autoptr(Request) request = taken;
    g_autoptr(GError) error = NULL;
    g_autoptr(StenoJournalRecording) row = new_row(daemon, request);
    gboolean later = row->start_at_us > row->created_us;
    /* Would it be possible at all? Secrets and settings are looked at before anything is promised. */
    g_autoptr(StenoJobSpec) spec = request_to_spec(request, daemon->config, row->id, FALSE, &error);
    recording_set_text(&ask->target, row->id);
    if (!spec || !steno_content_check_job(spec, &error) || !admit_only_one(daemon, request, &error) ||
        (!later && !admit_check(daemon, request, &error)) ||
        !outbox_judge(daemon, admit_write(ask, row, key, digest, &error), &error)) {
        recording_set_text(&ask->target, NULL);
        if (g_error_matches(error, STENO_ERROR, STENO_ERROR_ALREADY_RECORDING)) {
            ask->reply->problem = json_pack("{s:s}", "recording", error->message);
            command_refuse(ask, STENO_ERROR_ALREADY_RECORDING, "channel '%s' is being recorded already, by %s",
                           request->channel, error->message);
            return TRUE;
        }
        ask->reply->error = g_steal_pointer(&error);
        return TRUE;
    }
    Recording *recording = recording_new(daemon, g_steal_pointer(&row), g_steal_pointer(&request));
    if (later)
        recording_schedule(recording);
    else if (!recording_start(recording, &ask->reply->error))
        return TRUE;
    reply_started(ask, recording->row, recording);
    return TRUE;
}

/* What is read and found good: is it new, and may it be? TRUE: the reply is complete. */
static gboolean go_on(StenoDaemon *daemon, Ask *ask, Request *taken, const char *digest)
{
    g_autoptr(Request) request = taken;
    const char *key = ask_text(ask, "idempotency_key");
    g_autofree char *id = NULL;
    if (!find_key(daemon, request, key, digest, &id, &ask->reply->error))
        return TRUE;
    return id ? replay(daemon, ask, id) : start(daemon, ask, g_steal_pointer(&request), key, digest);
}

/* Keys that were given are derived to see whether they can be: thousands of passphrases take minutes. */
typedef struct {
    Ask *ask;
    Request *request;
    char *digest;
} KeyCheck;

static void key_check_free(gpointer data)
{
    KeyCheck *check = data;
    request_free(check->request);
    g_free(check->digest);
    g_free(check);
}

static void check_keys(GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
    const KeyCheck *check = data;
    GError *error = NULL;
    (void)source;
    (void)cancellable;
    if (request_content_check_keys(check->request, &error))
        g_task_return_boolean(task, TRUE);
    else
        g_task_return_error(task, error);
}

static void on_keys_checked(GObject *source, GAsyncResult *result, gpointer user)
{
    KeyCheck *check = g_task_get_task_data(G_TASK(result));
    Ask *ask = check->ask;
    g_autoptr(GError) error = NULL;
    (void)source;
    (void)user;
    gboolean sound = g_task_propagate_boolean(G_TASK(result), &error);
    if (ask->daemon && !sound)
        ask->reply->error = g_steal_pointer(&error);
    else if (ask->daemon)
        (void)go_on(ask->daemon, ask, g_steal_pointer(&check->request), check->digest);
    ask_done(ask);
}

static gboolean go_on_with_keys(Ask *ask, Request *request, const char *digest)
{
    KeyCheck *check = g_new0(KeyCheck, 1);
    *check = (KeyCheck){ask, request, g_strdup(digest)};
    GTask *task = g_task_new(NULL, NULL, on_keys_checked, NULL);
    g_task_set_task_data(task, check, key_check_free);
    g_task_run_in_thread(task, check_keys);
    g_object_unref(task);
    return FALSE;
}

gboolean command_recording_start(StenoDaemon *daemon, Ask *ask)
{
    json_t *body = json_object_get(ask->request->arguments, "body");
    Request *request = request_from_json(daemon->config, body, ask->request->actor.app, &ask->reply->error);
    if (!request)
        return TRUE;
    recording_set_text(&ask->app, request->app);
    /*
     * Content keys are in the request now, in locked memory. The journal keeps a digest of the body without them: who
     * has it must not have anything to try passphrases on. So they are not compared when an Idempotency-Key is used
     * again.
     */
    request_content_strip(body);
    g_autofree char *digest = digest_of(body);
    return request->key_set ? go_on_with_keys(ask, request, digest) : go_on(daemon, ask, request, digest);
}

/* ---- which one --------------------------------------------------------------------------------------------------- */

static gboolean is_theirs(const Ask *ask, const StenoJournalRecording *row)
{
    return !ask->request->actor.app || strcmp(ask->request->actor.app, row->app) == 0;
}

static gboolean no_such(Ask *ask)
{
    return command_refuse(ask, STENO_ERROR_NOT_FOUND, "there is no recording '%s'", ask_text(ask, "id"));
}

gboolean command_find(StenoDaemon *daemon, Ask *ask, Recording **recording, StenoJournalRecording **row)
{
    const char *id = ask_text(ask, "id");
    g_autoptr(GError) error = NULL;
    *row = NULL;
    *recording = recording_find(daemon, id);
    if (!*recording)
        *row = steno_journal_recording_get(daemon->journal, id, &error);
    const StenoJournalRecording *found = *recording ? (*recording)->row : *row;
    if (found && is_theirs(ask, found)) {
        recording_set_text(&ask->app, found->app);
        return TRUE;
    }
    steno_journal_recording_free(g_steal_pointer(row));
    *recording = NULL;
    outbox_judge_read(daemon, &error);
    if (error)
        ask->reply->error = g_steal_pointer(&error);
    else
        no_such(ask);
    return FALSE;
}

gboolean command_recording_get(StenoDaemon *daemon, Ask *ask)
{
    Recording *recording;
    g_autoptr(StenoJournalRecording) row = NULL;
    if (command_find(daemon, ask, &recording, &row))
        ask->reply->body = recording_to_json(recording ? recording->row : row, recording);
    return TRUE;
}

/* What was changed goes to the journal before it is told. */
static gboolean reply_changed(StenoDaemon *daemon, Ask *ask)
{
    (void)outbox_flush(daemon, FALSE);
    return command_recording_get(daemon, ask);
}

/* One that runs; others are refused with the state. */
static Recording *find_running(StenoDaemon *daemon, Ask *ask, gboolean queued_too, const char *what)
{
    Recording *recording;
    g_autoptr(StenoJournalRecording) row = NULL;
    if (!command_find(daemon, ask, &recording, &row))
        return NULL;
    if (recording && !recording->ended &&
        (recording_records(recording) || (queued_too && strcmp(recording->row->state, "queued") == 0)))
        return recording;
    const char *state = recording ? recording->row->state : row->state;
    if (recording && recording->shown)
        state = json_string_value(json_object_get(recording->shown, "state"));
    command_refuse(ask, STENO_ERROR_CONFLICT, "the recording is %s and cannot be %s", state, what);
    return NULL;
}

/* ---- change ------------------------------------------------------------------------------------------------------ */

gboolean command_recording_update(StenoDaemon *daemon, Ask *ask)
{
    Recording *recording = find_running(daemon, ask, TRUE, "changed");
    if (!recording)
        return TRUE;
    if (!recording->request)
        return command_refuse(ask, STENO_ERROR_CONFLICT, "the recording's request cannot be read any more");
    if (!request_patch(recording->request, daemon->config, json_object_get(ask->request->arguments, "body"),
                       &ask->reply->error))
        return TRUE;
    recording_changed(recording);
    return reply_changed(daemon, ask);
}

static gboolean pause_or_resume(StenoDaemon *daemon, Ask *ask, gboolean paused)
{
    Recording *recording = find_running(daemon, ask, FALSE, paused ? "paused" : "resumed");
    if (!recording)
        return TRUE;
    recording_pause(recording, paused);
    ask->reply->accepted = TRUE;
    return reply_changed(daemon, ask);
}

gboolean command_recording_pause(StenoDaemon *daemon, Ask *ask)
{
    return pause_or_resume(daemon, ask, TRUE);
}

gboolean command_recording_resume(StenoDaemon *daemon, Ask *ask)
{
    return pause_or_resume(daemon, ask, FALSE);
}

gboolean command_recording_stop(StenoDaemon *daemon, Ask *ask)
{
    Recording *recording;
    g_autoptr(StenoJournalRecording) row = NULL;
    if (!command_find(daemon, ask, &recording, &row))
        return TRUE;
    /* What is ending, or has ended, is as it was asked to be. */
    if (recording && !recording->ended) {
        recording_stop(recording, "stopped");
        ask->reply->accepted = TRUE;
    }
    return reply_changed(daemon, ask);
}

/* ---- forget ------------------------------------------------------------------------------------------------------ */

/* with_files: also what was captured, and never became files. */
static void forget_now(StenoDaemon *daemon, Ask *ask, gboolean with_files)
{
    g_autoptr(GError) error = NULL;
    const char *id = ask_text(ask, "id");
    g_autofree char *capture = g_build_filename(daemon->config->top.spool_dir, id, NULL);
    gboolean captured = g_file_test(capture, G_FILE_TEST_IS_DIR);
    if (captured && !with_files) {
        command_refuse(ask, STENO_ERROR_CONFLICT,
                       "its media are only in the capture '%s': make files of it with `steno assemble`, or forget it "
                       "with its files",
                       capture);
        return;
    }
    if (!audit_ask(ask, NULL)) {
        command_refuse(ask, STENO_ERROR_STORAGE_FAILED, "the audit log cannot be written: nothing is forgotten");
        return;
    }
    if (captured && !steno_job_capture_forget(capture, &ask->reply->error))
        return;
    ask->audited = outbox_judge(daemon, steno_journal_recording_forget(daemon->journal, id, &error), &error);
    if (error)
        ask->reply->error = g_steal_pointer(&error);
}

static void on_files_deleted(gpointer user, const GError *error)
{
    Ask *ask = user;
    if (ask->daemon && error)
        ask->reply->error = g_error_copy(error);
    else if (ask->daemon)
        forget_now(ask->daemon, ask, TRUE);
    ask_done(ask);
}

gboolean command_recording_forget(StenoDaemon *daemon, Ask *ask)
{
    const char *files = ask_text(ask, "files");
    Recording *recording;
    g_autoptr(StenoJournalRecording) row = NULL;
    if (files && strcmp(files, "true") != 0 && strcmp(files, "false") != 0)
        return command_refuse(ask, STENO_ERROR_USAGE, "?files: must be true or false");
    if (!command_find(daemon, ask, &recording, &row))
        return TRUE;
    if (recording && !recording->free_source)
        return command_refuse(ask, STENO_ERROR_CONFLICT, "the recording has not ended: stop it first");
    if (g_strcmp0(files, "true") == 0) {
        retention_delete_files(daemon->retention, ask_text(ask, "id"), &ask->request->actor, on_files_deleted, ask);
        return FALSE;
    }
    forget_now(daemon, ask, FALSE);
    return TRUE;
}
