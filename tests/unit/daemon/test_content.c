/* Channels' own encryption in a whole daemon: keys that must be nowhere, and what becomes of recordings without them.
 */
#include "daemon_fixture.h"

#include "steno/base/clock.h"
#include "steno/base/error.h"

#include <glib/gstdio.h>
#include <string.h>

#define PLANTED "planted passphrase 5f2e"
#define KEY_SET "{'keys': [{'passphrase': '" PLANTED "'}]}"
#define START(app, channel, more)                                                                                      \
    "{'body': {'app': '" app "', 'platform': 'janus-1', 'channel': '" channel "'" more "}}"

static const char *text_of(const json_t *json, const char *name)
{
    return json_string_value(json_object_get(json, name));
}

static char *start(const char *arguments)
{
    g_autoptr(StenoDaemonReply) reply = ask(STENO_COMMAND_RECORDING_START, arguments);
    if (reply->error)
        fail_msg("%s", reply->error->message);
    char *answer = json_dumps(reply->body, 0);
    assert_null(strstr(answer, PLANTED));
    free(answer);
    return g_strdup(text_of(reply->body, "id"));
}

static json_t *content_of(const char *id)
{
    json_t *json = show(id);
    json_t *content = json_incref(json_object_get(json, "content"));
    json_decref(json);
    return content;
}

/* ---- the key ----------------------------------------------------------------------------------------------------- */

static void assert_not_in(const char *path, const char *needle)
{
    g_autofree char *bytes = NULL;
    gsize length = 0;
    if (g_file_test(path, G_FILE_TEST_IS_DIR)) {
        g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
        const char *name;
        while (dir && (name = g_dir_read_name(dir))) {
            g_autofree char *below = g_build_filename(path, name, NULL);
            assert_not_in(below, needle);
        }
        return;
    }
    if (g_file_get_contents(path, &bytes, &length, NULL) && g_strstr_len(bytes, (gssize)length, needle))
        fail_msg("'%s' is in %s", needle, path);
    if (bytes && memmem(bytes, length, needle, strlen(needle)))
        fail_msg("'%s' is in %s", needle, path);
}

/* Neither the key nor anything to try passphrases on. */
static void assert_nowhere(const char *body_with_key)
{
    g_autofree char *text = g_strdelimit(g_strdup(body_with_key), "'", '"');
    json_t *arguments = json_loads(text, 0, NULL);
    char *body = json_dumps(json_object_get(arguments, "body"), JSON_COMPACT | JSON_SORT_KEYS);
    g_autofree char *digest = g_compute_checksum_for_string(G_CHECKSUM_SHA256, body, -1);
    assert_not_in(fixture.folder, PLANTED);
    assert_not_in(fixture.folder, digest);
    free(body);
    json_decref(arguments);
}

static void test_planted(void **state)
{
    (void)state;
    const char *arguments = "{'idempotency_key': 'k', 'body': {'app': 'clinic', 'platform': 'janus-1', 'channel': '1', "
                            "'content': {'format': 'livekit', 'keys': " KEY_SET "}}}";
    g_autofree char *id = start(arguments);
    StenoJob *job = job_of(id);
    assert_non_null(strstr(steno_secret_text(job->spec->key_set), PLANTED));
    assert_string_equal(job->spec->content_keys, "inline");
    tell_recording(job);
    /* Kept for a recorder that takes this one's place. */
    assert_non_null(job->spec->key_set);
    json_t *content = content_of(id);
    assert_string_equal(text_of(content, "keys"), "inline");
    assert_int_equal(json_object_size(content), 4);
    json_decref(content);
    /* Sent again, it is the same recording. */
    g_autofree char *again = start(arguments);
    assert_string_equal(again, id);
    g_autofree char *update = g_strdup_printf("{'id': '%s', 'body': {'max_idle_s': 60}}", id);
    g_autoptr(StenoDaemonReply) changed = ask(STENO_COMMAND_RECORDING_UPDATE, update);
    assert_null(changed->error);
    assert_non_null(job->spec->key_set);
    fixture_turn();
    fixture_restart();
    /* It is gone, and the recording goes on. */
    job = job_of(id);
    assert_true(job->resumed && job->record);
    assert_string_equal(job->spec->content, "livekit");
    assert_string_equal(job->spec->content_keys, "inline");
    assert_null(job->spec->key_set);
    tell_stored(job, "stopped");
    fixture_turn();
    assert_nowhere(arguments);
}

static void test_planted_secret(void **state)
{
    (void)state;
    const char *arguments = START("clinic", "1", ", 'content': {'format': 'aes-128-gcm', 'secret': '" PLANTED "'}");
    /* Not lawful for this format: the words must not say it. */
    g_autoptr(StenoDaemonReply) reply = ask(STENO_COMMAND_RECORDING_START, arguments);
    if (reply->error)
        assert_null(strstr(reply->error->message, PLANTED));
    fixture_turn();
    assert_nowhere(arguments);
}

static void test_bad_keys(void **state)
{
    (void)state;
    static const char *const sets[] = {
        "{}",
        "{'keys': []}",
        "{'keys': [{'passphrase': ''}]}",
        "{'keys': [{'passphrase': '" PLANTED "', 'colour': 'blue'}]}",
        "{'keys': [{'passphrase': '" PLANTED "'}, {'passphrase': '" PLANTED "'}]}",
        "{'format': 'jitsi', 'keys': [{'passphrase': '" PLANTED "'}]}",
    };
    for (guint i = 0; i < G_N_ELEMENTS(sets); i++) {
        g_autofree char *arguments =
            g_strdup_printf("{'body': {'app': 'clinic', 'platform': 'janus-1', 'channel': '1', 'content': {'format': "
                            "'livekit', 'keys': %s}}}",
                            sets[i]);
        g_autoptr(StenoDaemonReply) reply = ask(STENO_COMMAND_RECORDING_START, arguments);
        if (!g_error_matches(reply->error, STENO_ERROR, STENO_ERROR_KEYS_INVALID) ||
            !g_str_has_prefix(reply->error->message, "/content/keys: ") || strstr(reply->error->message, PLANTED))
            fail_msg("%s: %s", sets[i], reply->error ? reply->error->message : "accepted");
    }
    assert_int_equal(fixture.jobs->len, 0);
    assert_not_in(fixture.folder, PLANTED);
}

/* inline_keys = "once": the recorder alone has them, once it has them. */
static void test_once(void **state)
{
    (void)state;
    g_autofree char *id = start(START("ward", "1", ", 'content': {'keys': " KEY_SET "}"));
    StenoJob *job = job_of(id);
    assert_true(job->spec->key_once);
    assert_non_null(job->spec->key_set);
    tell_recording(job);
    assert_null(job->spec->key_set);
    g_autofree char *update = g_strdup_printf("{'id': '%s', 'body': {'max_idle_s': 60}}", id);
    g_autoptr(StenoDaemonReply) changed = ask(STENO_COMMAND_RECORDING_UPDATE, update);
    assert_null(changed->error);
    assert_null(job->spec->key_set);
}

/* stenod ends while keys are being looked at: who asked is answered, and nothing is begun. */
static void on_replied(gpointer user, StenoDaemonReply *reply)
{
    *(StenoDaemonReply **)user = reply;
}

static void test_closed_meanwhile(void **state)
{
    (void)state;
    StenoDaemonReply *reply = NULL;
    StenoDaemonRequest *request = steno_daemon_request_new(STENO_COMMAND_RECORDING_START);
    json_decref(request->arguments);
    request->arguments =
        json_pack("{s:{s:s, s:s, s:s, s:{s:s, s:{s:[{s:s}]}}}}", "body", "app", "clinic", "platform", "janus-1",
                  "channel", "1", "content", "format", "livekit", "keys", "keys", "passphrase", PLANTED);
    request->actor = (StenoActor){g_strdup("key_TEST"), NULL, STENO_ROLE_ADMIN, g_strdup("192.0.2.7")};
    steno_daemon_ask(fixture.daemon, request, on_replied, &reply);
    /* It has been taken, and its thread runs. */
    g_main_context_iteration(NULL, FALSE);
    fixture_restart();
    AWAIT(reply);
    assert_refused(reply, STENO_ERROR_SHUTTING_DOWN, "being stopped");
    assert_int_equal(fixture.jobs->len, 0);
    fixture_turn();
}

/* ---- off the record ---------------------------------------------------------------------------------------------- */

static void test_never_record(void **state)
{
    (void)state;
    static const char arguments[] = START("ward", "board-7", ", 'content': {'keys': " KEY_SET "}");
    assert_refused(ask(STENO_COMMAND_RECORDING_START, arguments), STENO_ERROR_OFF_THE_RECORD, "never records");
    assert_refused(ask_as(STENO_COMMAND_RECORDING_START, "ward", STENO_ROLE_OPERATOR, START("ward", "017", "")),
                   STENO_ERROR_OFF_THE_RECORD, "never records channel '017' (never_record has '17')");
    g_autofree char *audit = audit_of("recording.start");
    assert_string_equal(audit, "key_TEST off-the-record -\nkey_TEST off-the-record -\n");
    assert_int_equal(fixture.jobs->len, 0);
    g_autoptr(StenoDaemonReply) list = ask(STENO_COMMAND_RECORDING_LIST, "{}");
    assert_int_equal(json_array_size(json_object_get(list->body, "recordings")), 0);
}

static void never_record(const char *app, const char *pattern)
{
    StenoConfigApp *settings = (StenoConfigApp *)steno_config_app(fixture.config, app);
    g_strfreev(settings->never_record);
    settings->never_record = g_strsplit(pattern, " ", -1);
}

/* It is put on the list while it is recorded, or waits for its time. */
static void test_never_any_more(void **state)
{
    (void)state;
    g_autofree char *running = start(START("clinic", "board-7", "")), *other = start(START("clinic", "1", ""));
    g_autofree char *at = steno_clock_format(steno_clock_wall_us() + 2 * G_USEC_PER_SEC);
    g_autofree char *later = g_strdup_printf(
        "{'body': {'app': 'clinic', 'platform': 'janus-1', 'channel': 'board-8', 'start_at': '%s'}}", at);
    g_autofree char *queued = start(later);
    never_record("clinic", "board-*");
    fixture_restart();
    assert_false(job_of(running)->record);
    assert_true(job_of(other)->record);
    g_autofree char *audit = audit_of("recording.stop");
    g_autofree char *expected = g_strdup_printf("stenod ok %s\n", running);
    assert_string_equal(audit, expected);
    AWAIT(count_told("recording.failed") == 1);
    json_t *json = show(queued);
    assert_string_equal(text_of(json_object_get(json, "error"), "code"), "off-the-record");
    json_decref(json);
    assert_null(job_of(queued));
}

/* ---- what cannot be decrypted ------------------------------------------------------------------------------------ */

static char *metric(const char *name)
{
    g_autoptr(StenoDaemonReply) reply = ask(STENO_COMMAND_METRICS, "{}");
    g_autofree char *line = g_strdup_printf("\n%s ", name);
    const char *found = strstr(reply->text, line);
    assert_non_null(found);
    found += strlen(line);
    return g_strndup(found, strcspn(found, "\n"));
}

static void assert_metrics(const char *undecryptable, const char *sealed)
{
    g_autofree char *tracks = metric("steno_undecryptable_tracks"), *frames = metric("steno_sealed_frames_total");
    assert_string_equal(tracks, undecryptable);
    assert_string_equal(frames, sealed);
}

static void test_undecryptable(void **state)
{
    (void)state;
    g_autofree char *id = start(START("ward", "1", ""));
    StenoJob *job = job_of(id);
    assert_string_equal(job->spec->content_keys, "folder");
    tell_recording(job);
    tell(job, 1, 2,
         "'event': 'undecryptable', 'track': 1, 'participant': '7', 'kid': '3', 'cause': 'no-key', 'since': 1");
    fixture_turn();
    assert_int_equal(count_told("recording.undecryptable"), 1);
    tell(job, 1, 3, "'event': 'stats', 'frames': 10, 'sealed': 4");
    assert_metrics("1", "4");
    json_t *content = content_of(id);
    assert_true(json_is_true(json_object_get(content, "sealed")));
    assert_string_equal(text_of(json_array_get(json_object_get(content, "undecryptable"), 0), "kid"), "3");
    json_decref(content);
    tell(job, 1, 4, "'event': 'decryptable', 'track': 1, 'participant': '7', 'since': 1, 'frames': 4");
    fixture_turn();
    assert_int_equal(count_told("recording.decryptable"), 1);
    content = content_of(id);
    assert_int_equal(json_array_size(json_object_get(content, "undecryptable")), 0);
    json_decref(content);
    tell_stored(job, "stopped");
    fixture_turn();
    assert_state(id, "completed");
    assert_metrics("0", "4");
    content = content_of(id);
    assert_true(json_is_false(json_object_get(content, "sealed")));
    json_decref(content);
}

/* Everything that it has is sealed: that is stored, but it has failed, also for who rebuilds the journal. */
static void test_nothing_decrypted(void **state)
{
    (void)state;
    g_autofree char *id = start(START("ward", "1", ""));
    StenoJob *job = job_of(id);
    tell_recording(job);
    json_t *manifest = NULL;
    g_autofree char *uri = put_recording(job->stores->pdata[0], "ward", "1", id, steno_clock_wall_us(), &manifest);
    json_t *output = json_array_get(json_object_get(manifest, "outputs"), 0);
    json_object_set_new(output, "kind", json_string("sealed"));
    json_object_set_new(output, "encryption", json_pack("{s:s}", "method", "cms"));
    json_object_set_new(manifest, "content",
                        json_pack("{s:s, s:s, s:b}", "format", "livekit", "unit", "frame", "sealed", 1));
    g_autofree char *more = g_strdup_printf(", 'uri': '%s', 'bytes': 10, 'bytes_total': 10", uri);
    tell_storage(job, 0, 0, "stored", NULL, more);
    g_autoptr(GError) error = g_error_new_literal(STENO_ERROR, STENO_ERROR_BAD_KEY, "nothing could be decrypted");
    const StenoJobResult result = {.manifest = manifest, .uri = uri, .end_reason = "stopped", .error = error};
    job->events->done(job->user, &result);
    fixture_turn();
    assert_int_equal(count_told("recording.failed"), 1);
    json_t *json = show(id);
    assert_string_equal(text_of(json, "state"), "failed");
    assert_string_equal(text_of(json_object_get(json, "error"), "code"), "bad-key");
    assert_string_equal(text_of(json_array_get(json_object_get(json, "storages"), 0), "state"), "stored");
    const json_t *file = json_array_get(json_object_get(json, "files"), 0);
    assert_true(json_is_true(json_object_get(file, "sealed")));
    assert_string_equal(text_of(file, "encryption"), "cms");
    assert_true(json_is_true(json_object_get(json_object_get(json, "content"), "sealed")));
    json_decref(json);
    json_decref(manifest);
}

/* ---- what the configuration lost --------------------------------------------------------------------------------- */

/* A recording whose files are to be encrypted waits for what encrypts them: they are not stored in clear instead. */
static void test_output_key_is_gone(void **state)
{
    (void)state;
    g_autofree char *id = start(START("ward", "1", ""));
    assert_string_equal(job_of(id)->spec->output_encryption, "cenc");
    fixture_turn();
    g_autofree char *path = g_build_filename(fixture.folder, "cenc", NULL);
    assert_int_equal(g_unlink(path), 0);
    fixture_restart();
    assert_null(job_of(id));
    json_t *json = show(id);
    assert_string_equal(text_of(json_object_get(json, "error"), "code"), "config");
    json_decref(json);
}

/* …and what only lost its platform is assembled, encrypted. */
static void test_platform_is_gone(void **state)
{
    (void)state;
    g_autofree char *id = start(START("ward", "1", ""));
    fixture_turn();
    StenoConfigPlatform *platform = (StenoConfigPlatform *)steno_config_platform(fixture.config, "janus-1");
    platform->name[0] = 'x';
    fixture_restart();
    StenoJob *job = job_of(id);
    assert_false(job->record);
    assert_string_equal(job->spec->output_encryption, "cenc");
    assert_string_equal(job->spec->content, "livekit");
    assert_string_equal(job->spec->content_keys, "folder");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_planted),           TEST(test_planted_secret),
        TEST(test_bad_keys),          TEST(test_once),
        TEST(test_closed_meanwhile),  TEST(test_never_record),
        TEST(test_never_any_more),    TEST(test_undecryptable),
        TEST(test_nothing_decrypted), TEST(test_output_key_is_gone),
        TEST(test_platform_is_gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
