/* The daemon's commands and what becomes of recordings, with puppets for jobs. */
#include "daemon_fixture.h"

#include "steno/base/clock.h"
#include "steno/base/error.h"
#include "steno/proof.h"

#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

static const char *text_of(const json_t *json, const char *name)
{
    return json_string_value(json_object_get(json, name));
}

static char *with_id(const char *id, const char *more)
{
    return g_strdup_printf("{'id': '%s'%s}", id, more);
}

static StenoDaemonReply *ask_id(StenoCommand command, const char *id, const char *more)
{
    g_autofree char *arguments = with_id(id, more);
    return ask(command, arguments);
}

/* The events as the watcher heard them, without "recording.". */
static void assert_told(const char *expected)
{
    GString *heard = g_string_new(NULL);
    fixture_turn();
    for (guint i = 0; i < fixture.told->len; i++)
        g_string_append_printf(heard, "%s%s", i > 0 ? " " : "",
                               (const char *)fixture.told->pdata[i] + strlen("recording."));
    assert_string_equal(heard->str, expected);
    g_string_free(heard, TRUE);
}

/* ---- a recording's life ------------------------------------------------------------------------------------------ */

static void test_life(void **state)
{
    (void)state;
    g_autofree char *id = begin("clinic", "1234");
    StenoJob *job = job_of(id);
    assert_non_null(job);
    assert_int_equal(job->stores->len, 1);
    assert_string_equal(steno_store_name(job->stores->pdata[0]), "primary");
    assert_int_equal(strlen(job->fingerprint), 64);
    assert_false(job->timestamps);
    assert_int_equal(job->spec->rotate_s, 3600);
    assert_state(id, "joining");
    tell_recording(job);
    tell(job, 1, 2, "'event': 'participant_joined', 'participant': '7', 'name': 'alice'");
    assert_state(id, "recording");
    tell(job, 1, 3, "'event': 'state', 'state': 'paused'");
    tell(job, 1, 4, "'event': 'state', 'state': 'recording'");
    tell(job, 1, 5, "'event': 'state', 'state': 'reconnecting', 'error': {'code': 'unreachable', 'message': 'x'}");
    tell(job, 2, 1, "'event': 'state', 'state': 'recording'");
    tell(job, 2, 2, "'event': 'gap', 'track': 1, 'cause': 'lost', 'from': 1, 'until': 2, 'packets': 3");
    tell(job, 2, 3, "'event': 'participant_left', 'participant': '7'");
    job->events->assembly_wanted(job->user);
    fixture_turn();
    assert_true(job->assembling);
    assert_state(id, "assembling");
    tell_stored(job, "stopped");
    assert_told("started participant_joined paused resumed reconnecting gap participant_left part_stored completed");
    assert_null(job_of(id));
    json_t *json = show(id);
    assert_string_equal(text_of(json, "state"), "completed");
    assert_string_equal(text_of(json, "end_reason"), "stopped");
    const json_t *storage = json_array_get(json_object_get(json, "storages"), 0);
    assert_true(g_str_has_prefix(text_of(storage, "uri"), "file:///"));
    assert_true(g_str_has_suffix(text_of(storage, "uri"), "/"));
    const json_t *file = json_array_get(json_object_get(json, "files"), 0);
    assert_string_equal(text_of(file, "name"), "alice.webm");
    assert_string_equal(text_of(file, "media_type"), "video/webm");
    assert_int_equal(json_integer_value(json_object_get(json_object_get(json, "counts"), "duration_ms")), 2000);
    assert_null(json_object_get(json, "internal"));
    json_decref(json);
}

static char *read_text(const char *folder, const char *name)
{
    g_autofree char *path = g_build_filename(folder, name, NULL);
    char *text = NULL;
    assert_true(g_file_get_contents(path, &text, NULL, NULL));
    return text;
}

/* Whatever key signs: its public half is where all are looked for, with those of before. */
static void test_signing_key(void **state)
{
    (void)state;
    g_autofree char *path = g_build_filename(fixture.folder, "given", "key.pem", NULL);
    g_autofree char *public_folder = g_build_filename(fixture.folder, "state", "signing", NULL);
    g_autofree char *before = read_text(public_folder, "public.pem");
    g_autoptr(StenoSigner) given = steno_signer_load_or_make(path, NULL, NULL);
    assert_true(g_str_has_prefix(before, "-----BEGIN PUBLIC KEY-----"));
    fixture.config->top.signing_key_file = g_strdup(path);
    fixture_restart();
    g_autofree char *both = g_strconcat(steno_signer_public_pem(given), before, NULL);
    g_autofree char *after = read_text(public_folder, "public.pem");
    assert_string_equal(after, both);
    g_autofree char *id = begin("clinic", "1234");
    assert_string_equal(job_of(id)->fingerprint, steno_signer_fingerprint(given));
}

/* One that failed has a reason; the channel is free then. */
static void test_failed(void **state)
{
    (void)state;
    g_autofree char *id = begin("clinic", "1234");
    tell_failed(job_of(id), "join-failed", STENO_ERROR_TOKEN_REFUSED);
    assert_told("failed");
    json_t *json = show(id);
    assert_string_equal(text_of(json, "state"), "failed");
    assert_string_equal(text_of(json_object_get(json, "error"), "code"), "token-refused");
    json_decref(json);
    g_autofree char *next = begin("clinic", "1234");
    assert_string_not_equal(next, id);
}

static void test_start_fails(void **state)
{
    (void)state;
    fixture.start_fails = TRUE;
    assert_refused(
        ask(STENO_COMMAND_RECORDING_START, "{'body': {'app': 'clinic', 'platform': 'janus-1', 'channel': '1'}}"),
        STENO_ERROR_INTERNAL, "told to fail");
    assert_told("failed");
    g_free(begin("clinic", "1"));
}

static void test_change(void **state)
{
    (void)state;
    g_autofree char *id = begin("clinic", "1234");
    StenoJob *job = job_of(id);
    tell_recording(job);
    g_autoptr(StenoDaemonReply) paused = ask_id(STENO_COMMAND_RECORDING_PAUSE, id, "");
    assert_true(paused->accepted && job->paused && job->spec->paused);
    g_autoptr(StenoDaemonReply) resumed = ask_id(STENO_COMMAND_RECORDING_RESUME, id, "");
    assert_true(resumed->accepted && !job->paused);
    g_autoptr(StenoDaemonReply) changed = ask_id(STENO_COMMAND_RECORDING_UPDATE, id,
                                                 ", 'body': {'max_duration_s': 60, 'labels': {'legal_hold': '1'}, "
                                                 "'token': {'source': 'given', 'value': 'fresh-one'}}");
    assert_null(changed->error);
    assert_int_equal(job->updates, 1);
    assert_int_equal(job->spec->max_duration_s, 60);
    assert_string_equal(steno_secret_text(job->spec->token), "fresh-one");
    assert_null(job->spec->token_secret);
    assert_string_equal(text_of(json_object_get(changed->body, "labels"), "legal_hold"), "1");
    g_autoptr(StenoDaemonReply) stopped = ask_id(STENO_COMMAND_RECORDING_STOP, id, "");
    assert_true(stopped->accepted);
    assert_string_equal(job->stopped, "stopped");
    tell_stored(job, "stopped");
    fixture_turn();
    assert_refused(ask_id(STENO_COMMAND_RECORDING_PAUSE, id, ""), STENO_ERROR_CONFLICT,
                   "is completed and cannot be paused");
    assert_refused(ask_id(STENO_COMMAND_RECORDING_UPDATE, id, ", 'body': {}"), STENO_ERROR_CONFLICT, "is completed");
    g_autoptr(StenoDaemonReply) again = ask_id(STENO_COMMAND_RECORDING_STOP, id, "");
    assert_null(again->error);
    assert_false(again->accepted);
}

/* ---- admission --------------------------------------------------------------------------------------------------- */

static void test_one_a_channel(void **state)
{
    (void)state;
    g_autofree char *id = begin("clinic", "1234");
    g_autoptr(StenoDaemonReply) second =
        ask(STENO_COMMAND_RECORDING_START, "{'body': {'app': 'clinic', 'platform': 'janus-1', 'channel': '1234'}}");
    assert_true(g_error_matches(second->error, STENO_ERROR, STENO_ERROR_ALREADY_RECORDING));
    assert_string_equal(text_of(second->problem, "recording"), id);
    assert_int_equal(fixture.jobs->len, 1);
    g_autoptr(StenoDaemonReply) other =
        ask(STENO_COMMAND_RECORDING_START,
            "{'body': {'app': 'clinic', 'platform': 'janus-1', 'channel': '1234', 'profile': 'wide'}}");
    assert_null(other->error);
}

static void test_limits(void **state)
{
    (void)state;
    g_free(begin("court", "1"));
    assert_refused(
        ask(STENO_COMMAND_RECORDING_START, "{'body': {'app': 'court', 'platform': 'janus-1', 'channel': '2'}}"),
        STENO_ERROR_LIMIT_REACHED, "app 'court'");
    g_autofree char *one = begin("clinic", "1");
    g_free(begin("clinic", "2"));
    assert_refused(
        ask(STENO_COMMAND_RECORDING_START, "{'body': {'app': 'clinic', 'platform': 'janus-1', 'channel': '3'}}"),
        STENO_ERROR_LIMIT_REACHED, "limits.max_recordings");
    /* What is assembled and stored takes no place any more. */
    job_of(one)->events->state(job_of(one)->user, "assembling");
    g_free(begin("clinic", "3"));
    /* A refusal leaves nothing behind. */
    g_autoptr(StenoDaemonReply) list = ask(STENO_COMMAND_RECORDING_LIST, "{}");
    assert_int_equal(json_array_size(json_object_get(list->body, "recordings")), 4);
}

static void test_disk_low(void **state)
{
    (void)state;
    g_autofree char *id = begin("clinic", "1");
    tell_recording(job_of(id));
    fixture.config->limits.refuse_below_percent = 101;
    assert_refused(
        ask(STENO_COMMAND_RECORDING_START, "{'body': {'app': 'clinic', 'platform': 'janus-1', 'channel': '2'}}"),
        STENO_ERROR_DISK_LOW, "limits.refuse_below_percent");
    g_autoptr(StenoDaemonReply) ready = ask(STENO_COMMAND_READY, "{}");
    assert_true(json_is_false(json_object_get(ready->body, "ready")));
    assert_null(job_of(id)->stopped);
    fixture.config->limits.finish_below_percent = 101;
    while (!job_of(id)->stopped)
        g_main_context_iteration(NULL, TRUE);
    assert_string_equal(job_of(id)->stopped, "disk-low");
}

static void test_idempotency(void **state)
{
    (void)state;
    const char *request = "{'idempotency_key': 'k1', 'body': {'app': 'clinic', 'platform': 'janus-1', 'channel': '1'}}";
    g_autoptr(StenoDaemonReply) first = ask(STENO_COMMAND_RECORDING_START, request);
    assert_true(first->created && !first->replayed);
    g_autofree char *id = g_strdup(text_of(first->body, "id"));
    tell_recording(job_of(id));
    g_autoptr(StenoDaemonReply) second =
        ask(STENO_COMMAND_RECORDING_START,
            "{'idempotency_key': 'k1', 'body': {'channel': '1', 'platform': 'janus-1', 'app': 'clinic'}}");
    assert_null(second->error);
    assert_true(second->replayed);
    assert_string_equal(text_of(second->body, "id"), id);
    assert_string_equal(text_of(second->body, "state"), "recording");
    assert_int_equal(fixture.jobs->len, 1);
    assert_refused(ask(STENO_COMMAND_RECORDING_START,
                       "{'idempotency_key': 'k1', 'body': {'app': 'clinic', 'platform': 'janus-1', 'channel': '2'}}"),
                   STENO_ERROR_IDEMPOTENCY_MISMATCH, "");
    /* Also after the recording has ended, and stenod was started anew. */
    tell_stored(job_of(id), "stopped");
    fixture_turn();
    fixture_restart();
    g_autoptr(StenoDaemonReply) third = ask(STENO_COMMAND_RECORDING_START, request);
    assert_true(third->replayed);
    assert_string_equal(text_of(third->body, "state"), "completed");
}

static void test_later(void **state)
{
    (void)state;
    g_autofree char *at = steno_clock_format(steno_clock_wall_us() + 2 * G_USEC_PER_SEC);
    g_autofree char *request =
        g_strdup_printf("{'body': {'app': 'clinic', 'platform': 'janus-1', 'channel': '1', 'start_at': '%s'}}", at);
    g_autoptr(StenoDaemonReply) reply = ask(STENO_COMMAND_RECORDING_START, request);
    assert_null(reply->error);
    g_autofree char *id = g_strdup(text_of(reply->body, "id"));
    assert_string_equal(text_of(reply->body, "state"), "queued");
    assert_int_equal(fixture.jobs->len, 0);
    fixture_restart();
    assert_state(id, "queued");
    while (!job_of(id))
        g_main_context_iteration(NULL, TRUE);
    assert_false(job_of(id)->resumed);
    assert_state(id, "joining");
}

static void test_later_stopped(void **state)
{
    (void)state;
    g_autofree char *at = steno_clock_format(steno_clock_wall_us() + 3600 * (gint64)G_USEC_PER_SEC);
    g_autofree char *request =
        g_strdup_printf("{'body': {'app': 'clinic', 'platform': 'janus-1', 'channel': '1', 'start_at': '%s'}}", at);
    g_autoptr(StenoDaemonReply) reply = ask(STENO_COMMAND_RECORDING_START, request);
    g_autofree char *id = g_strdup(text_of(reply->body, "id"));
    g_autoptr(StenoDaemonReply) stopped = ask_id(STENO_COMMAND_RECORDING_STOP, id, "");
    assert_null(stopped->error);
    fixture_turn();
    assert_state(id, "failed");
}

/* ---- assemblies -------------------------------------------------------------------------------------------------- */

static void test_assemblies(void **state)
{
    (void)state;
    g_autofree char *one = begin("clinic", "1"), *two = begin("clinic", "2"), *three = begin("clinic", "3");
    StenoJob *first = job_of(one), *second = job_of(two), *third = job_of(three);
    second->events->assembly_wanted(second->user);
    first->events->assembly_wanted(first->user);
    third->events->assembly_wanted(third->user);
    fixture_turn();
    assert_true(second->assembling && !first->assembling && !third->assembling);
    tell_failed(second, "stopped", STENO_ERROR_CAPTURE_DAMAGED);
    fixture_turn();
    assert_true(first->assembling && !third->assembling);
    first->events->assembly_over(first->user);
    fixture_turn();
    assert_true(third->assembling);
}

/* ---- isolation and roles ----------------------------------------------------------------------------------------- */

static void test_isolation(void **state)
{
    (void)state;
    static const StenoCommand commands[] = {
        STENO_COMMAND_RECORDING_GET,  STENO_COMMAND_RECORDING_FORGET, STENO_COMMAND_RECORDING_PAUSE,
        STENO_COMMAND_RECORDING_STOP, STENO_COMMAND_RECORDING_RESUME, STENO_COMMAND_RECORDING_UPDATE,
        STENO_COMMAND_FILE_LIST,      STENO_COMMAND_MANIFEST,
    };
    g_autofree char *id = begin("clinic", "1"), *arguments = with_id(id, "");
    for (guint i = 0; i < G_N_ELEMENTS(commands); i++)
        assert_refused(ask_as(commands[i], "court", STENO_ROLE_ADMIN, arguments), STENO_ERROR_NOT_FOUND,
                       "there is no recording");
    assert_null(job_of(id)->stopped);
    g_autoptr(StenoDaemonReply) list = ask_as(STENO_COMMAND_RECORDING_LIST, "court", STENO_ROLE_VIEWER, "{}");
    assert_int_equal(json_array_size(json_object_get(list->body, "recordings")), 0);
    g_autoptr(StenoDaemonReply) asked =
        ask_as(STENO_COMMAND_RECORDING_LIST, "court", STENO_ROLE_VIEWER, "{'app': 'clinic'}");
    assert_int_equal(json_array_size(json_object_get(asked->body, "recordings")), 0);
    tell_recording(job_of(id));
    assert_told("started");
    g_autoptr(StenoDaemonReply) events = ask_as(STENO_COMMAND_EVENTS, "court", STENO_ROLE_VIEWER, "{'app': 'clinic'}");
    assert_int_equal(json_array_size(json_object_get(events->body, "events")), 0);
    g_autoptr(StenoDaemonReply) own = ask_as(STENO_COMMAND_EVENTS, "clinic", STENO_ROLE_VIEWER, "{}");
    assert_int_equal(json_array_size(json_object_get(own->body, "events")), 1);
    g_autoptr(StenoDaemonReply) platforms = ask_as(STENO_COMMAND_PLATFORM_LIST, "court", STENO_ROLE_VIEWER, "{}");
    assert_int_equal(json_array_size(json_object_get(platforms->body, "platforms")), 1);
    g_autoptr(StenoDaemonReply) storages = ask_as(STENO_COMMAND_STORAGE_LIST, "court", STENO_ROLE_VIEWER, "{}");
    assert_int_equal(json_array_size(json_object_get(storages->body, "storages")), 1);
    assert_refused(ask_as(STENO_COMMAND_PLATFORM_CHECK, "court", STENO_ROLE_OPERATOR, "{'name': 'janus-2'}"),
                   STENO_ERROR_NOT_FOUND, "there is no platform");
    assert_refused(ask_as(STENO_COMMAND_WEBHOOK_ENABLE, "court", STENO_ROLE_ADMIN, "{'name': 'ward-7'}"),
                   STENO_ERROR_NOT_FOUND, "there is no webhook");
}

/* Each command, with the role just below the one it needs. */
static void test_roles(void **state)
{
    (void)state;
    for (guint i = 0; i < STENO_COMMANDS; i++) {
        const StenoCommandRow *row = steno_command_row((StenoCommand)i);
        if (row->role == STENO_ROLE_NOBODY)
            continue;
        StenoRole less = (StenoRole)(row->role - 1);
        assert_refused(ask_as((StenoCommand)i, NULL, less, "{'id': 'x', 'name': 'x', 'nonsense': 'x'}"),
                       less == STENO_ROLE_NOBODY ? STENO_ERROR_UNAUTHENTICATED : STENO_ERROR_FORBIDDEN, "this needs");
    }
    /* A refusal is in the audit log, whatever the table says. */
    g_autofree char *audited = audit_of("key.list");
    assert_string_equal(audited, "key_TEST forbidden x/x\n");
}

static void test_arguments(void **state)
{
    (void)state;
    assert_refused(ask(STENO_COMMAND_RECORDING_LIST, "{'stat': 'x'}"), STENO_ERROR_USAGE, "?stat: there is no such");
    assert_refused(ask(STENO_COMMAND_RECORDING_LIST, "{'state': 'running'}"), STENO_ERROR_USAGE, "?state: must be of");
    assert_refused(ask(STENO_COMMAND_RECORDING_LIST, "{'page_size': '0'}"), STENO_ERROR_USAGE, "?page_size: must be");
    assert_refused(ask(STENO_COMMAND_RECORDING_LIST, "{'page_token': 'x'}"), STENO_ERROR_USAGE, "?page_token: ");
    assert_refused(ask(STENO_COMMAND_RECORDING_LIST, "{'order': 'x'}"), STENO_ERROR_USAGE, "?order: must be");
    assert_refused(ask(STENO_COMMAND_RECORDING_LIST, "{'label': ':x'}"), STENO_ERROR_USAGE, "?label: must be");
    assert_refused(ask(STENO_COMMAND_RECORDING_LIST, "{'created_from': 'today'}"), STENO_ERROR_USAGE,
                   "?created_from: ");
    assert_refused(ask(STENO_COMMAND_RECORDING_LIST, "{'body': {'a': 1}}"), STENO_ERROR_USAGE,
                   ": this request has no body");
    assert_refused(ask(STENO_COMMAND_EVENTS, "{'after': '-1'}"), STENO_ERROR_USAGE, "?after: must be");
    assert_refused(ask(STENO_COMMAND_RECORDING_FORGET, "{'id': 'x', 'files': 'yes'}"), STENO_ERROR_USAGE, "?files: ");
    assert_refused(ask(STENO_COMMAND_RECORDING_START, "{}"), STENO_ERROR_USAGE, ": the request's body");
}

/* ---- files ------------------------------------------------------------------------------------------------------- */

static void test_files(void **state)
{
    (void)state;
    static const char *const tricks[] = {"../manifest.json", "manifest.json", "/etc/passwd",      "", ".", "..",
                                         "alice.webm/",      "./alice.webm",  "alice.webm\\u0000"};
    g_autofree char *id = begin("clinic", "1");
    tell_recording(job_of(id));
    assert_refused(ask_id(STENO_COMMAND_MANIFEST, id, ""), STENO_ERROR_NOT_FOUND, "it has not ended");
    tell_stored(job_of(id), "stopped");
    fixture_turn();
    g_autoptr(StenoDaemonReply) good = ask_id(STENO_COMMAND_FILE_OPEN, id, ", 'name': 'alice.webm'");
    assert_null(good->error);
    char contents[16] = "";
    assert_int_equal(read(good->fd, contents, sizeof contents), 5);
    assert_string_equal(contents, "alice");
    assert_int_equal(good->file_bytes, 5);
    assert_int_equal(strlen(good->file_sha256_hex), 64);
    g_autoptr(StenoDaemonReply) manifest = ask_id(STENO_COMMAND_MANIFEST, id, "");
    assert_null(manifest->error);
    assert_string_equal(manifest->file_media_type, "application/json");
    for (guint i = 0; i < G_N_ELEMENTS(tricks) - 1; i++) {
        g_autofree char *name = g_strdup_printf(", 'name': '%s'", tricks[i]);
        assert_refused(ask_id(STENO_COMMAND_FILE_OPEN, id, name), STENO_ERROR_NOT_FOUND, "no file of this name");
    }
    /* Changed behind our back: not with a checksum that is of something else. */
    assert_refused(ask_id(STENO_COMMAND_FILE_OPEN, id, ", 'name': 'bob.mka'"), STENO_ERROR_VERIFY_FAILED,
                   "it was changed");
    g_autofree char *audited = audit_of("file.read");
    assert_non_null(strstr(audited, "key_TEST ok "));
    assert_non_null(strstr(audited, "/alice.webm"));
}

static void test_file_link(void **state)
{
    (void)state;
    g_autofree char *id = begin("clinic", "1");
    tell_recording(job_of(id));
    tell_stored(job_of(id), "stopped");
    fixture_turn();
    json_t *json = show(id);
    const json_t *storage = json_array_get(json_object_get(json, "storages"), 0);
    g_autofree char *folder = g_filename_from_uri(text_of(storage, "uri"), NULL, NULL);
    g_autofree char *file = g_build_filename(folder, "alice.webm", NULL);
    json_decref(json);
    assert_int_equal(g_unlink(file), 0);
    assert_refused(ask_id(STENO_COMMAND_FILE_OPEN, id, ", 'name': 'alice.webm'"), STENO_ERROR_NOT_FOUND,
                   "not in its storage");
    assert_int_equal(symlink("/etc/hostname", file), 0);
    g_autoptr(StenoDaemonReply) reply = ask_id(STENO_COMMAND_FILE_OPEN, id, ", 'name': 'alice.webm'");
    assert_non_null(reply->error);
    assert_int_equal(reply->fd, -1);
}

static void test_forget(void **state)
{
    (void)state;
    g_autofree char *id = begin("clinic", "1");
    tell_recording(job_of(id));
    assert_refused(ask_id(STENO_COMMAND_RECORDING_FORGET, id, ""), STENO_ERROR_CONFLICT, "has not ended");
    tell_stored(job_of(id), "stopped");
    fixture_turn();
    g_autoptr(StenoDaemonReply) forgotten = ask_id(STENO_COMMAND_RECORDING_FORGET, id, ", 'files': 'false'");
    assert_null(forgotten->error);
    assert_refused(ask_id(STENO_COMMAND_RECORDING_GET, id, ""), STENO_ERROR_NOT_FOUND, "there is no recording");
    g_autofree char *audited = audit_of("recording.forget");
    g_autofree char *expected = g_strdup_printf("key_TEST conflict %s\nkey_TEST ok %s\n", id, id);
    assert_string_equal(audited, expected);
}

/* What was captured and never became files is nobody's to delete by the way. */
static void test_forget_capture(void **state)
{
    (void)state;
    g_autofree char *id = begin("clinic", "1");
    g_autofree char *capture = g_build_filename(fixture.config->top.spool_dir, id, NULL);
    g_autofree char *file = g_build_filename(capture, "recording.json", NULL);
    assert_int_equal(g_mkdir_with_parents(capture, 0700), 0);
    assert_true(g_file_set_contents(file, "{}", -1, NULL));
    tell_failed(job_of(id), "storage", STENO_ERROR_CAPTURE_DAMAGED);
    fixture_turn();
    assert_state(id, "failed");
    assert_refused(ask_id(STENO_COMMAND_RECORDING_FORGET, id, ""), STENO_ERROR_CONFLICT, "only in the capture");
    assert_true(g_file_test(file, G_FILE_TEST_EXISTS));
    g_autoptr(StenoDaemonReply) forgotten = ask_id(STENO_COMMAND_RECORDING_FORGET, id, ", 'files': 'true'");
    assert_null(forgotten->error);
    assert_false(g_file_test(capture, G_FILE_TEST_EXISTS));
    assert_refused(ask_id(STENO_COMMAND_RECORDING_GET, id, ""), STENO_ERROR_NOT_FOUND, "there is no recording");
}

/* ---- keys -------------------------------------------------------------------------------------------------------- */

static void test_keys(void **state)
{
    (void)state;
    g_autoptr(StenoDaemonReply) added =
        ask(STENO_COMMAND_KEY_ADD, "{'body': {'app': 'clinic', 'role': 'viewer', 'label': 'x'}}");
    assert_true(added->created);
    assert_int_equal(fixture.keys->len, 1);
    g_autofree char *id = g_strdup(text_of(added->body, "id"));
    const char *secret = text_of(added->body, "secret");
    assert_int_equal(strlen(secret), 43);
    g_autoptr(StenoDaemonReply) theirs = ask_as(STENO_COMMAND_KEY_LIST, "clinic", STENO_ROLE_ADMIN, "{}");
    assert_int_equal(json_array_size(json_object_get(theirs->body, "keys")), 1);
    assert_null(json_object_get(json_array_get(json_object_get(theirs->body, "keys"), 0), "secret"));
    g_autofree char *arguments = with_id(id, "");
    assert_refused(ask_as(STENO_COMMAND_KEY_REVOKE, "court", STENO_ROLE_ADMIN, arguments), STENO_ERROR_NOT_FOUND,
                   "no API key");
    assert_refused(
        ask_as(STENO_COMMAND_KEY_ADD, "court", STENO_ROLE_ADMIN, "{'body': {'app': 'clinic', 'role': 'admin'}}"),
        STENO_ERROR_NOT_FOUND, "/app: there is no app");
    assert_refused(ask(STENO_COMMAND_KEY_ADD, "{'body': {'role': 'root'}}"), STENO_ERROR_USAGE, "/role: is 'root'");
    g_autoptr(StenoDaemonReply) revoked = ask(STENO_COMMAND_KEY_REVOKE, arguments);
    assert_non_null(text_of(revoked->body, "revoked_at"));
    /* The secret is nowhere on disk. */
    g_autofree char *grep = g_strdup_printf("grep -rqF -e %s %s", secret, fixture.folder);
    int status = 0;
    assert_true(g_spawn_command_line_sync(grep, NULL, NULL, &status, NULL));
    assert_true(status != 0);
    /* A bound administrator's new keys are bound, too. */
    g_autoptr(StenoDaemonReply) bound =
        ask_as(STENO_COMMAND_KEY_ADD, "court", STENO_ROLE_ADMIN, "{'body': {'role': 'viewer'}}");
    assert_string_equal(text_of(bound->body, "app"), "court");
}

/* Made once, and again only when no other key could make one. */
static void test_first_key(void **state)
{
    (void)state;
    assert_refused(ask_as(STENO_COMMAND_KEY_INIT, NULL, STENO_ROLE_ADMIN, "{}"), STENO_ERROR_FORBIDDEN,
                   "on the server itself");
    g_autoptr(StenoDaemonReply) bound = ask(STENO_COMMAND_KEY_ADD, "{'body': {'role': 'admin', 'app': 'clinic'}}");
    assert_null(bound->error);
    g_autoptr(StenoDaemonReply) first = ask_here(STENO_COMMAND_KEY_INIT, "{}");
    assert_null(first->error);
    assert_true(first->created);
    assert_string_equal(text_of(first->body, "role"), "admin");
    assert_true(json_is_null(json_object_get(first->body, "app")));
    assert_int_equal(strlen(text_of(first->body, "secret")), 43);
    assert_int_equal(fixture.keys->len, 2);
    assert_refused(ask_here(STENO_COMMAND_KEY_INIT, "{}"), STENO_ERROR_CONFLICT, "`steno key add --role admin`");
    g_autofree char *audited = audit_of("key.init");
    g_autofree char *expected =
        g_strdup_printf("key_TEST forbidden -\nuid:0 ok %s\nuid:0 conflict -\n", text_of(first->body, "id"));
    assert_string_equal(audited, expected);
    g_autofree char *arguments = with_id(text_of(first->body, "id"), "");
    g_autoptr(StenoDaemonReply) revoked = ask(STENO_COMMAND_KEY_REVOKE, arguments);
    assert_null(revoked->error);
    g_autoptr(StenoDaemonReply) again = ask_here(STENO_COMMAND_KEY_INIT, "{}");
    assert_true(again->created);
}

static void test_logins(void **state)
{
    (void)state;
    for (guint i = 0; i < 200; i++) {
        g_autoptr(StenoDaemonReply) reply = ask_as(STENO_COMMAND_LOGIN_REFUSED, NULL, STENO_ROLE_NOBODY, "{}");
        assert_null(reply->error);
    }
    g_autofree char *audited = audit_of("login");
    g_auto(GStrv) lines = g_strsplit(audited, "\n", -1);
    assert_true(g_strv_length(lines) - 1 <= 120);
    assert_true(g_strv_length(lines) - 1 >= 60);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_life),        TEST(test_signing_key),   TEST(test_failed),         TEST(test_start_fails),
        TEST(test_change),      TEST(test_one_a_channel), TEST(test_limits),         TEST(test_disk_low),
        TEST(test_idempotency), TEST(test_later),         TEST(test_later_stopped),  TEST(test_assemblies),
        TEST(test_isolation),   TEST(test_roles),         TEST(test_arguments),      TEST(test_files),
        TEST(test_file_link),   TEST(test_forget),        TEST(test_forget_capture), TEST(test_keys),
        TEST(test_first_key),   TEST(test_logins),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
