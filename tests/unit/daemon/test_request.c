/* Start requests: what is accepted becomes what it says, what is refused is told with its place. */
#include "daemon_config.h"
#include "request.h"

#include "steno/base/clock.h"
#include "steno/base/error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <glib/gstdio.h>
#include <string.h>

#define PLACE "'app': 'clinic', 'platform': 'janus-1', 'channel': '1234'"

static char *folder;
static StenoConfig *config;

static int set_up(void **state)
{
    (void)state;
    folder = g_dir_make_tmp("steno-request-XXXXXX", NULL);
    config = daemon_config_new(folder);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    g_autofree char *command = g_strdup_printf("rm -rf '%s'", folder);
    steno_config_unref(config);
    g_free(folder);
    return g_spawn_command_line_sync(command, NULL, NULL, NULL, NULL) ? 0 : 1;
}

/* With ' for ". */
static json_t *parse(const char *quoted)
{
    g_autofree char *text = g_strdelimit(g_strdup(quoted), "'", '"');
    json_t *json = json_loads(text, JSON_DECODE_ANY, NULL);
    assert_non_null(json);
    return json;
}

static Request *take(const char *quoted, const char *actor_app, GError **error)
{
    json_t *body = parse(quoted);
    Request *request = request_from_json(config, body, actor_app, error);
    json_decref(body);
    return request;
}

static void refused(const char *quoted, StenoError code, const char *message)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Request) request = take(quoted, NULL, &error);
    if (request)
        fail_msg("accepted: %s", quoted);
    if (!g_str_has_prefix(error->message, message))
        fail_msg("%s: '%s', but expected '%s'", quoted, error->message, message);
    assert_int_equal(error->code, code);
}

static gboolean patch(Request *request, const char *quoted, GError **error)
{
    json_t *body = parse(quoted);
    gboolean done = request_patch(request, config, body, error);
    json_decref(body);
    return done;
}

static void test_defaults(void **state)
{
    (void)state;
    g_autoptr(GError) error = NULL;
    g_autoptr(Request) request = take("{" PLACE "}", "clinic", &error);
    assert_null(error);
    json_t *json = request_to_json(request);
    json_t *expected =
        parse("{" PLACE ", 'profile': 'default', 'token': {'source': 'mint'}, 'subscribe': {'audio': "
              "'all', 'video': 'all', 'max_height': 0}, 'outputs': [{'type': 'participant', 'audio': "
              "'copy'}], 'storages': ['primary'], 'store': 'all', 'rotate_s': 3600, 'rotate_join': false, "
              "'max_duration_s': 0, 'max_idle_s': 300, 'start_at': null, 'labels': {}, 'webhook': 'ward-7', 'content': "
              "null}");
    assert_true(json_equal(json, expected));
    json_decref(expected);
    json_decref(json);
}

/* Each member, out and in again: what lies in the journal is what was asked for. */
static void test_whole(void **state)
{
    (void)state;
    g_autoptr(GError) error = NULL;
    const char *text =
        "{" PLACE ", 'profile': 'wide', 'token': {'source': 'given', 'value': 'opaque-token'}, 'subscribe': "
        "{'audio': 'none', 'video': ['alice', 'bob'], 'max_height': 720}, 'outputs': [{'type': 'track', "
        "'audio': 'aac'}], 'storages': ['second', 'primary'], 'store': 'first', 'rotate_s': 600, 'rotate_join': true, "
        "'max_duration_s': 3600, 'max_idle_s': 60, 'start_at': "
        "'2026-11-22T08:00:00.000Z', 'labels': {'case': '17', 'empty': ''}, 'webhook': 'ward-8', "
        "'content': {'format': 'sframe', 'keys': 'vault', 'fail_on_undecryptable_s': 20}}";
    g_autoptr(Request) request = take(text, NULL, &error);
    assert_null(error);
    assert_string_equal(steno_secret_text(request->token), "opaque-token");
    json_t *json = request_to_json(request), *expected = parse(text);
    json_object_del(json_object_get(expected, "token"), "value");
    assert_true(json_equal(json, expected));
    g_autoptr(Request) again = request_from_journal(json, &error);
    assert_null(error);
    assert_null(again->token);
    json_t *json_again = request_to_json(again);
    assert_true(json_equal(json, json_again));
    json_decref(json_again);
    json_decref(expected);
    json_decref(json);
}

static void assert_storing(const char *members, const char *expected)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *text = g_strdup_printf("{'platform': 'janus-1', 'channel': '1', %s}", members);
    g_autoptr(Request) request = take(text, NULL, &error);
    if (!request)
        fail_msg("%s", error->message);
    g_autofree char *names = g_strjoinv(" ", request->storages);
    g_autofree char *told = g_strdup_printf("%s %s %d %d", names, request->store_first ? "first" : "all",
                                            (int)request->rotate_s, request->rotate_join);
    assert_string_equal(told, expected);
}

/* By the app's store, rotate and rotate_join; what is asked for goes before. */
static void test_storing(void **state)
{
    (void)state;
    assert_storing("'app': 'clinic'", "primary all 3600 0");
    assert_storing("'app': 'archive'", "primary second all 600 1");
    assert_storing("'app': 'archive', 'storages': ['second'], 'rotate_s': 0", "second all 0 1");
    assert_storing("'app': 'archive', 'store': 'first', 'rotate_join': false", "primary second first 600 0");
    assert_storing("'app': 'bank'", "second primary first 3600 0");
    assert_storing("'app': 'bank', 'storages': ['primary', 'second']", "primary second all 3600 0");
    assert_storing("'app': 'bank', 'store': 'all'", "second primary all 3600 0");
}

/* A row of before there were several storages: it was not rotated. */
static void test_old_row(void **state)
{
    (void)state;
    g_autoptr(GError) error = NULL;
    json_t *json = parse("{" PLACE ", 'profile': 'default', 'token': {'source': 'mint'}, 'subscribe': {'audio': 'all', "
                         "'video': 'all', 'max_height': 0}, 'outputs': [{'type': 'participant', 'audio': 'copy'}], "
                         "'storages': ['primary'], 'max_duration_s': 0, 'max_idle_s': 300, 'start_at': null, "
                         "'labels': {}, 'webhook': null}");
    g_autoptr(Request) request = request_from_journal(json, &error);
    json_decref(json);
    assert_null(error);
    assert_string_equal(request->storages[0], "primary");
    assert_null(request->storages[1]);
    assert_false(request->store_first || request->rotate_join);
    assert_int_equal(request->rotate_s, 0);
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *members, *message;
    } cases[] = {
        {"", "/app: is missing"},
        {"'app': 'clinic', 'channel': '1'", "/platform: is missing"},
        {"'app': 'clinic', 'platform': 'janus-1'", "/channel: is missing"},
        {"'app': 7, 'platform': 'janus-1', 'channel': '1'", "/app: must be a string"},
        {"'app': '../x', 'platform': 'janus-1', 'channel': '1'", "/app: is '../x', but may have only"},
        {"'app': 'clinic', 'platform': 'no', 'channel': '1'", "/platform: app 'clinic' has no platform 'no'"},
        {"'app': 'court', 'platform': 'janus-2', 'channel': '1'", "/platform: app 'court' has no platform"},
        {"'app': 'clinic', 'platform': 'janus-1', 'channel': ''", "/channel: must not be empty"},
        {"'app': 'clinic', 'platform': 'janus-1', 'channel': 'a\\nb'", "/channel: must not have control characters"},
        {"'app': 'clinic', 'platform': 'files', 'channel': '../etc'", "/channel: is not the name of"},
        {PLACE ", 'chanel': '1'", "/chanel: there is no such member"},
        {PLACE ", 'a/b~c': 1", "/a~1b~0c: there is no such member"},
        {PLACE ", 'profile': 'a b'", "/profile: is 'a b'"},
        {PLACE ", 'token': 'x'", "/token: must be an object"},
        {PLACE ", 'token': {'source': 'x'}", "/token/source: is 'x', but must be one of: mint, given, none"},
        {PLACE ", 'token': {'source': 'given'}", "/token/value: is missing"},
        {PLACE ", 'token': {'source': 'mint', 'value': 'x'}", "/token/value: belongs to"},
        {"'app': 'clinic', 'platform': 'janus-2', 'channel': '1', 'token': {'source': 'mint'}",
         "/token/source: is 'mint'"},
        {PLACE ", 'subscribe': {'audio': 'some'}", "/subscribe/audio: must be \"all\""},
        {PLACE ", 'subscribe': {'video': ['a', 7]}", "/subscribe/video/1: must be a string"},
        {PLACE ", 'subscribe': {'max_height': -1}", "/subscribe/max_height: is -1, but must lie between 0 and 8640"},
        {PLACE ", 'subscribe': {'max_height': 1.5}", "/subscribe/max_height: must be a whole number"},
        {PLACE ", 'subscribe': {'sound': 'all'}", "/subscribe/sound: there is no such member"},
        {PLACE ", 'outputs': []", "/outputs: must be a list of exactly one"},
        {PLACE ", 'outputs': [{'type': 'mp3'}]", "/outputs/0/type: is 'mp3', but must be one of: participant, track"},
        {PLACE ", 'outputs': [{}]", "/outputs/0/type: must be one of"},
        {PLACE ", 'outputs': [{'type': 'track', 'audio': 'mp3'}]", "/outputs/0/audio: is 'mp3'"},
        {PLACE ", 'storages': []", "/storages: must be a list of 1 to 8 storages' names"},
        {PLACE ", 'storages': 'primary'", "/storages: must be a list of 1 to 8"},
        {PLACE ", 'storages': ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i']", "/storages: must be a list of 1 to 8"},
        {PLACE ", 'storages': ['primary', 'second', 'primary']", "/storages/2: 'primary' is named twice"},
        {PLACE ", 'storages': ['primary', 7]", "/storages/1: must be a string"},
        {PLACE ", 'storages': ['primary', 'third']", "/storages/1: app 'clinic' has no storage 'third'"},
        {PLACE ", 'store': 'one'", "/store: is 'one', but must be one of: all, first"},
        {PLACE ", 'rotate_s': -1", "/rotate_s: is -1, but must lie between 0 and 604800"},
        {PLACE ", 'rotate_s': 4", "/rotate_s: is 4, but must be 0 or at least 5"},
        {PLACE ", 'rotate_join': 1", "/rotate_join: must be true or false"},
        {PLACE ", 'storages': ['third']", "/storages/0: app 'clinic' has no storage 'third'"},
        {"'app': 'court', 'platform': 'janus-1', 'channel': '1', 'storages': ['primary']", "/storages/0: app 'court'"},
        {PLACE ", 'max_duration_s': 31536001", "/max_duration_s: is 31536001, but must lie between"},
        {"'app': 'court', 'platform': 'janus-1', 'channel': '1', 'max_duration_s': 601",
         "/max_duration_s: is 601, but app"},
        {"'app': 'court', 'platform': 'janus-1', 'channel': '1', 'max_duration_s': 0",
         "/max_duration_s: is 0, but app"},
        {PLACE ", 'max_idle_s': true", "/max_idle_s: must be a whole number"},
        {PLACE ", 'start_at': '2026-11-22 08:00'", "/start_at: is '2026-11-22 08:00', but must be a time"},
        {PLACE ", 'start_at': '2026-11-22T08:00:00'", "/start_at: is"},
        {PLACE ", 'start_at': '2999-01-01T00:00:00Z'", "/start_at: is more than a year ahead"},
        {PLACE ", 'labels': {'a b': 'x'}", "/labels/a b: a label's name"},
        {PLACE ", 'labels': {'a': 7}", "/labels/a: must be a string"},
        {PLACE ", 'content': 'livekit'", "/content: must be an object"},
        {PLACE ", 'content': {'formats': 'livekit'}", "/content/formats: there is no such member"},
        {PLACE ", 'content': {'format': 'rot13'}", "/content/format: must be one of: none, "},
        {PLACE ", 'content': {'format': 7}", "/content/format: must be one of: none, "},
        {PLACE ", 'content': {'format': 'livekit'}", "/content/keys: is missing: the channel is encrypted (livekit)"},
        {PLACE ", 'content': {'format': 'livekit', 'keys': 7}", "/content/keys: must be the name of a key source"},
        {PLACE ", 'content': {'format': 'livekit', 'keys': 'no'}",
         "/content/keys: app 'clinic' has no key source 'no'"},
        {PLACE ", 'content': {'format': 'livekit', 'keys': '../x'}", "/content/keys: is '../x', but may have only"},
        {PLACE ", 'content': {'format': 'livekit', 'keys': 'inline'}", "/content/keys: app 'clinic' has no key source"},
        {PLACE ", 'content': {'keys': 'files'}", "/content/keys: is given, but there is no format"},
        {PLACE ", 'content': {'secret': 'hush'}", "/content/secret: is given, but there is no format"},
        {PLACE ", 'content': {'format': 'none', 'fail_on_undecryptable_s': 5}", "/content/fail_on_undecryptable_s: is"},
        {PLACE ", 'content': {'format': 'aes-128-gcm', 'salt': 'x'}", "/content/salt: is given without a secret"},
        {PLACE ", 'content': {'format': 'aes-128-gcm', 'secret': 'hush', 'keys': 'files'}",
         "/content/secret: is given beside keys"},
        {PLACE ", 'content': {'format': 'aes-128-ecb', 'secret': 'hush'}", "/content/format: is 'aes-128-ecb', which"},
        {PLACE ", 'content': {'format': 'aes-256-xts', 'secret': 'hush'}", "/content/format: is 'aes-256-xts', which"},
        {PLACE ", 'content': {'format': 'livekit', 'keys': 'later', 'fail_on_undecryptable_s': 5}",
         "/content/fail_on_undecryptable_s: is given, but with keys that come later"},
        {PLACE ", 'content': {'format': 'livekit', 'keys': 'later', 'fail_on_undecryptable_s': -1}",
         "/content/fail_on_undecryptable_s: is -1, but must lie between 0 and 86400"},
        {"'app': 'ward', 'platform': 'janus-1', 'channel': '1', 'content': {'keys': 'vault'}",
         "/content/keys: app 'ward' has no key source 'vault'"},
        {PLACE ", 'webhook': 'ward-9'", "/webhook: app 'clinic' has no webhook 'ward-9'"},
        {"'app': 'court', 'platform': 'janus-1', 'channel': '1', 'webhook': 'ward-7'", "/webhook: app 'court'"},
    };
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *text = g_strdup_printf("{%s}", cases[i].members);
        refused(text, STENO_ERROR_USAGE, cases[i].message);
    }
    refused("[]", STENO_ERROR_USAGE, ": the request's body must be a JSON object");
    refused("'x'", STENO_ERROR_USAGE, ": the request's body must be a JSON object");
}

/* What an app says of content is for those that do not, and keys that are given are theirs alone. */
static void assert_content(const char *app, const char *member, const char *expected)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *text = g_strdup_printf("{'app': '%s', 'platform': 'janus-1', 'channel': '1'%s}", app, member);
    g_autoptr(Request) request = take(text, NULL, &error);
    if (!request)
        fail_msg("%s: %s", member, error->message);
    g_autofree char *told = g_strdup_printf("%s %s %d %s", request->content, request->keys ? request->keys : "-",
                                            (int)request->fail_on_undecryptable_s,
                                            request->key_set ? steno_secret_text(request->key_set) : "-");
    assert_string_equal(told, expected);
    /* The journal has no key, and is read without one. */
    json_t *json = request_to_json(request);
    char *written = json_dumps(json, 0);
    assert_null(strstr(written, "hush"));
    g_autoptr(Request) again = request_from_journal(json, &error);
    assert_non_null(again);
    assert_null(again->key_set);
    assert_string_equal(again->content, request->content);
    if (request_has_content(request))
        assert_string_equal(again->keys, request->keys);
    free(written);
    json_decref(json);
}

static void test_content(void **state)
{
    (void)state;
    assert_content("clinic", "", "none - 0 -");
    assert_content("clinic", ", 'content': null", "none - 0 -");
    assert_content("clinic", ", 'content': {'format': 'none'}", "none - 0 -");
    assert_content("clinic", ", 'content': {'format': 'jitsi', 'keys': 'vault', 'fail_on_undecryptable_s': 9}",
                   "jitsi vault 9 -");
    assert_content("clinic", ", 'content': {'format': 'sframe', 'keys': 'later'}", "sframe later 0 -");
    assert_content("clinic", ", 'content': {'format': 'aes-128-gcm', 'secret': 'hush'}",
                   "aes-128-gcm inline 0 {\"keys\":[{\"secret\":\"hush\"}]}");
    assert_content("clinic", ", 'content': {'format': 'aes-128-gcm2', 'secret': 'hush', 'salt': 'c2FsdA=='}",
                   "aes-128-gcm2 inline 0 {\"keys\":[{\"secret\":\"hush\",\"salt\":\"c2FsdA==\"}]}");
    assert_content("ward", "", "livekit files 30 -");
    assert_content("ward", ", 'content': null", "none - 0 -");
    assert_content("ward", ", 'content': {'keys': 'later'}", "livekit later 0 -");
    assert_content("ward", ", 'content': {'fail_on_undecryptable_s': 0}", "livekit files 0 -");
    assert_content("ward", ", 'content': {'keys': {'keys': [{'passphrase': 'hush'}]}}",
                   "livekit inline 30 {\"keys\":[{\"passphrase\":\"hush\"}]}");
}

/* Where keys come from, and how files are encrypted, as the configuration says now. */
static void test_spec_of_content(void **state)
{
    (void)state;
    g_autoptr(GError) error = NULL;
    g_autoptr(Request) plain = take("{" PLACE "}", NULL, &error);
    g_autoptr(StenoJobSpec) spec = request_to_spec(plain, config, "ID", FALSE, &error);
    assert_string_equal(spec->content, "none");
    assert_null(spec->content_keys);
    assert_string_equal(spec->output_encryption, "none");
    g_autoptr(Request) vault = take("{" PLACE ", 'content': {'format': 'sframe', 'keys': 'vault'}}", NULL, &error);
    g_autoptr(StenoJobSpec) of_vault = request_to_spec(vault, config, "ID", FALSE, &error);
    assert_string_equal(of_vault->content, "sframe");
    assert_string_equal(of_vault->content_keys, "vault");
    assert_string_equal(of_vault->key_url, "http://127.0.0.1:1");
    assert_string_equal(of_vault->key_mount, "kv");
    assert_string_equal(steno_secret_text(of_vault->key_secret), "token-secret-of-the-tests");
    assert_false(of_vault->key_once || of_vault->allow_insecure_modes);
    g_autoptr(Request) ward = take("{'app': 'ward', 'platform': 'janus-1', 'channel': '1', 'content': {'keys': "
                                   "{'keys': [{'passphrase': 'hush'}]}}}",
                                   NULL, &error);
    g_autoptr(StenoJobSpec) of_ward = request_to_spec(ward, config, "ID", FALSE, &error);
    assert_string_equal(of_ward->content_keys, "inline");
    assert_true(of_ward->key_once);
    assert_int_equal(of_ward->fail_on_undecryptable_s, 30);
    assert_string_equal(steno_secret_text(of_ward->key_set), "{\"keys\":[{\"passphrase\":\"hush\"}]}");
    assert_string_equal(of_ward->output_encryption, "cenc");
    assert_string_equal(steno_secret_text(of_ward->output_key), DAEMON_CONFIG_OUTPUT_KEY);
    json_t *json = steno_job_spec_to_json(of_ward, FALSE);
    char *text = json_dumps(json, 0);
    assert_null(strstr(text, "hush"));
    assert_null(strstr(text, "ffeeddcc"));
    free(text);
    json_decref(json);
    /* A change of the request is not one of its keys. */
    assert_true(patch(ward, "{'max_duration_s': 60}", &error));
    assert_non_null(ward->key_set);
    /* What the configuration lost is waited for. */
    g_free(vault->keys);
    vault->keys = g_strdup("gone");
    assert_null(request_to_spec(vault, config, "ID", FALSE, &error));
    assert_true(g_error_matches(error, STENO_ERROR, STENO_ERROR_CONFIG));
}

static void test_keys_are_read(void **state)
{
    (void)state;
    g_autoptr(GError) error = NULL;
    g_autoptr(Request) good = take("{" PLACE ", 'content': {'format': 'livekit', 'keys': {'keys': [{'passphrase': "
                                   "'hush'}]}}}",
                                   NULL, &error);
    assert_true(request_content_check_keys(good, &error));
    g_autoptr(Request) bad = take("{" PLACE ", 'content': {'format': 'livekit', 'keys': {'keys': [{'passphrase': "
                                  "'hush', 'kid': -1}]}}}",
                                  NULL, &error);
    assert_false(request_content_check_keys(bad, &error));
    assert_true(g_error_matches(error, STENO_ERROR, STENO_ERROR_KEYS_INVALID));
    assert_true(g_str_has_prefix(error->message, "/content/keys: "));
    assert_null(strstr(error->message, "hush"));
}

static void test_off_the_record(void **state)
{
    (void)state;
    static const char *const never[] = {"board-", "board-7", "17", "0017", "17x", " 17"};
    static const char *const others[] = {"aboard-7", "Board-7", "170", "117", "board"};
    for (guint i = 0; i < G_N_ELEMENTS(never); i++) {
        g_autofree char *text = g_strdup_printf("{'app': 'ward', 'platform': 'janus-1', 'channel': '%s'}", never[i]);
        refused(text, STENO_ERROR_OFF_THE_RECORD, "/channel: app 'ward' never records channel");
    }
    for (guint i = 0; i < G_N_ELEMENTS(others); i++) {
        g_autofree char *text = g_strdup_printf("{'app': 'ward', 'platform': 'janus-1', 'channel': '%s'}", others[i]);
        g_autoptr(GError) error = NULL;
        g_autoptr(Request) request = take(text, NULL, &error);
        assert_non_null(request);
    }
    /* Another app's business. */
    g_autoptr(Request) request = take("{'app': 'clinic', 'platform': 'janus-1', 'channel': 'board-7'}", NULL, NULL);
    assert_non_null(request);
}

/* What is another app's does not exist. */
static void test_isolation(void **state)
{
    (void)state;
    g_autoptr(GError) unknown = NULL, foreign = NULL;
    assert_null(take("{'app': 'nowhere', 'platform': 'janus-1', 'channel': '1'}", "court", &unknown));
    assert_null(take("{" PLACE "}", "court", &foreign));
    assert_true(g_error_matches(foreign, STENO_ERROR, STENO_ERROR_NOT_FOUND));
    assert_int_equal(unknown->code, foreign->code);
    assert_string_equal(foreign->message, "/app: there is no app 'clinic'");
}

static char *repeated(const char *text, guint n)
{
    GString *string = g_string_new(NULL);
    while (n-- > 0)
        g_string_append(string, text);
    return g_string_free(string, FALSE);
}

static void test_ceilings(void **state)
{
    (void)state;
    g_autoptr(GError) error = NULL;
    g_autofree char *longest = repeated("x", REQUEST_CHANNEL_MAX_BYTES), *more = g_strconcat(longest, "x", NULL);
    g_autofree char *fits = g_strdup_printf("{'app': 'clinic', 'platform': 'janus-1', 'channel': '%s'}", longest);
    g_autofree char *too_long = g_strdup_printf("{'app': 'clinic', 'platform': 'janus-1', 'channel': '%s'}", more);
    g_autoptr(Request) request = take(fits, NULL, &error);
    assert_non_null(request);
    refused(too_long, STENO_ERROR_USAGE, "/channel: is 257 bytes long, but must be at most 256");

    GString *labels = g_string_new("{" PLACE ", 'labels': {'x': ''");
    for (guint i = 0; i < REQUEST_LABELS_MAX; i++)
        g_string_append_printf(labels, ", 'l%u': 'v'", i);
    g_string_append(labels, "}}");
    refused(labels->str, STENO_ERROR_USAGE, "/labels: are 65, but there can be at most 64");
    g_string_free(labels, TRUE);

    g_autofree char *names = repeated("'a',", REQUEST_SUBSCRIBED_MAX);
    g_autofree char *many = g_strdup_printf("{" PLACE ", 'subscribe': {'audio': [%s'a']}}", names);
    refused(many, STENO_ERROR_USAGE, "/subscribe/audio: names 1001 participants");
    g_autofree char *token = repeated("t", REQUEST_TOKEN_MAX_BYTES + 1);
    g_autofree char *given = g_strdup_printf("{" PLACE ", 'token': {'source': 'given', 'value': '%s'}}", token);
    refused(given, STENO_ERROR_USAGE, "/token/value: is 16385 bytes long");
}

static void test_spec(void **state)
{
    (void)state;
    g_autoptr(GError) error = NULL;
    g_autoptr(Request) request =
        take("{" PLACE ", 'subscribe': {'audio': 'none', 'video': ['alice']}, 'labels': {'b': '2', 'a': '1'}}", NULL,
             &error);
    g_autoptr(StenoJobSpec) spec = request_to_spec(request, config, "ID", TRUE, &error);
    assert_null(error);
    assert_string_equal(spec->platform, "janus");
    assert_string_equal(spec->platform_name, "janus-1");
    assert_string_equal(spec->url, "https://sfu.example/janus");
    assert_string_equal(steno_secret_text(spec->token_secret), "token-secret-of-the-tests");
    assert_null(spec->token);
    assert_string_equal(spec->subscribe_audio[0], "none");
    assert_string_equal(spec->subscribe_video[0], "alice");
    assert_string_equal(spec->labels, "{\"a\":\"1\",\"b\":\"2\"}");
    assert_true(spec->paused);
    /* Rotated secrets are those of the next start. */
    g_autofree char *secret = g_build_filename(folder, "secret", NULL);
    assert_true(g_file_set_contents_full(secret, "rotated\n", -1, G_FILE_SET_CONTENTS_CONSISTENT, 0600, NULL));
    g_autoptr(StenoJobSpec) next = request_to_spec(request, config, "ID", FALSE, &error);
    assert_string_equal(steno_secret_text(next->token_secret), "rotated");
    assert_int_equal(g_unlink(secret), 0);
    assert_null(request_to_spec(request, config, "ID", FALSE, &error));
    assert_non_null(error);
}

static void test_spec_of_file(void **state)
{
    (void)state;
    g_autoptr(GError) error = NULL;
    g_autoptr(Request) request = take("{'app': 'clinic', 'platform': 'files', 'channel': 'room'}", NULL, &error);
    g_autoptr(StenoJobSpec) spec = request_to_spec(request, config, "ID", FALSE, &error);
    assert_null(error);
    g_autofree char *path = g_build_filename(folder, "room.sdp", NULL);
    assert_string_equal(spec->url, path);
}

static void test_patch(void **state)
{
    (void)state;
    g_autoptr(GError) error = NULL;
    g_autoptr(Request) request =
        take("{" PLACE ", 'token': {'source': 'given', 'value': 'first'}, 'labels': {'a': '1'}}", NULL, &error);
    assert_true(patch(request, "{'max_duration_s': 60, 'subscribe': {'video': 'none'}, 'labels': {'b': '2'}}", &error));
    assert_int_equal(request->max_duration_s, 60);
    assert_null(request->audio);
    assert_non_null(request->video);
    assert_null(json_object_get(request->labels, "a"));
    assert_string_equal(steno_secret_text(request->token), "first");
    assert_true(patch(request, "{'token': {'source': 'given', 'value': 'second'}}", &error));
    assert_string_equal(steno_secret_text(request->token), "second");
    /* Nothing of a change that is refused. */
    assert_false(patch(request, "{'max_duration_s': 90, 'max_idle_s': -1}", &error));
    assert_true(g_str_has_prefix(error->message, "/max_idle_s: is -1"));
    assert_int_equal(request->max_duration_s, 60);
    g_clear_error(&error);
    static const char *const fixed[] = {"{'channel': '2'}", "{'storages': ['second']}", "{'store': 'first'}",
                                        "{'rotate_s': 60}", "{'rotate_join': true}"};
    for (guint i = 0; i < G_N_ELEMENTS(fixed); i++) {
        g_clear_error(&error);
        assert_false(patch(request, fixed[i], &error));
        assert_non_null(strstr(error->message, "there is no such member"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_defaults, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_whole, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_storing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_old_row, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_content, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_spec_of_content, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_keys_are_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_off_the_record, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_isolation, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_ceilings, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_spec, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_spec_of_file, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_patch, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
