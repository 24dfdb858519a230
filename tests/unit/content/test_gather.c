/* All keys of a recording at once, for its assembly; and many answers made one. */
#include "source_fixture.h"

#include "source_desk.h"
#include "source_merge.h"

#include "steno/base/error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define PATIENCE_S 20

static StenoSecret *gather(const Fixture *fixture, const StenoContentWant *wants, guint n_wants, GError **error)
{
    return steno_content_gather(fixture->job, -1, wants, n_wants, PATIENCE_S, NULL, error);
}

static void fails(const Fixture *fixture, const StenoContentWant *wants, guint n_wants, guint timeout_s, int code,
                  const char *words)
{
    g_autoptr(GError) error = NULL;
    assert_null(steno_content_gather(fixture->job, -1, wants, n_wants, timeout_s, NULL, &error));
    if (!g_error_matches(error, STENO_ERROR, code) || !strstr(error->message, words))
        fail_msg("'%s' is not in: %s", words, error->message);
    assert_null(strstr(error->message, PLANTED));
}

static guint count(const StenoSecret *text)
{
    g_autoptr(StenoContentKeys) keys = steno_content_keys_parse(
        steno_content_format("livekit"), steno_secret_text(text), steno_secret_bytes(text), "a test", NULL);
    assert_non_null(keys);
    return steno_content_keys_count(keys);
}

static void test_nothing(void **state)
{
    Fixture *fixture = *state;
    fixture_set(&fixture->job->content_keys, "later");
    fails(fixture, NULL, 0, 1, STENO_ERROR_NO_KEY, "no source");
    fixture_set(&fixture->job->content_keys, "inline");
    fails(fixture, NULL, 0, 1, STENO_ERROR_NO_KEY, "no source");
    fixture_set(&fixture->job->content_keys, "folder");
    fails(fixture, NULL, 0, 1, STENO_ERROR_USAGE, "key_path");
    g_autofree char *path = fixture_path(fixture, "keys.json");
    fixture_set(&fixture->job->key_path, path);
    fails(fixture, NULL, 0, PATIENCE_S, STENO_ERROR_NO_KEY, "'folder' has no content keys");
    fixture_write(fixture, "keys.json", "{\"keys\": [\"" PLANTED "\"]}", 0400);
    fails(fixture, NULL, 0, PATIENCE_S, STENO_ERROR_KEYS_INVALID, "");
    fixture_write(fixture, "keys.json", "{}", 0444);
    fails(fixture, NULL, 0, 1, STENO_ERROR_KEY_SOURCE, "(mode 0444)");
}

static void test_whole(void **state)
{
    Fixture *fixture = *state;
    g_autofree char *keys = fixture_key_set(5);
    g_autoptr(GError) error = NULL;
    const StenoContentWant want = {(char *)"alice", 3};
    fixture->job->key_set = fixture_secret(keys);
    g_autoptr(StenoSecret) given = gather(fixture, &want, 1, &error);
    assert_non_null(given);
    assert_string_equal(steno_secret_text(given), keys);
    g_clear_pointer(&fixture->job->key_set, steno_secret_unref);
    g_autofree char *path = fixture_path(fixture, "keys.json");
    fixture_write(fixture, "keys.json", keys, 0400);
    fixture_set(&fixture->job->content_keys, "folder");
    fixture_set(&fixture->job->key_path, path);
    g_autoptr(StenoSecret) read = gather(fixture, &want, 1, &error);
    assert_non_null(read);
    assert_string_equal(steno_secret_text(read), keys);
}

/* One question a key; what is not there is not waited for. */
static void test_by_key(void **state)
{
    Fixture *fixture = *state;
    fixture_start_server(fixture);
    g_autofree char *url = g_strdup_printf("https://127.0.0.1:%u/", fixture->tls_port);
    fixture_set(&fixture->job->content_keys, "service");
    fixture_set(&fixture->job->key_url, url);
    fixture->job->key_secret = fixture_secret(SERVICE_SECRET);
    const StenoContentWant wants[] = {{(char *)"alice", 1}, {(char *)"bob", 2}, {(char *)"carol", 3}};
    fails(fixture, wants, 3, PATIENCE_S, STENO_ERROR_NO_KEY, "'service' has no content keys");
    fixture_answer(
        fixture, "alice.1", 200,
        g_strdup("{\"keys\": [{\"participant\": \"alice\", \"kid\": 1, \"key\": \"" PLANTED "00AAAA==\"}]}"));
    fixture_answer(fixture, "bob.2", 200,
                   g_strdup("{\"format\": \"livekit\", \"keys\": [{\"participant\": \"bob\", \"kid\": \"2\", \"key\": "
                            "\"" PLANTED "01AAAA==\"}]}"));
    g_autoptr(GError) error = NULL;
    g_autoptr(StenoSecret) text = gather(fixture, wants, 3, &error);
    if (!text)
        fail_msg("%s", error->message);
    assert_int_equal(count(text), 2);
    /* One that is refused does not keep the others back; nor does time, when there is something. */
    fixture_answer(fixture, "carol.3", 403, NULL);
    g_autoptr(StenoSecret) less = steno_content_gather(fixture->job, -1, wants, 3, 2, NULL, &error);
    assert_non_null(less);
    assert_int_equal(count(less), 2);
    fails(fixture, wants + 2, 1, 1, STENO_ERROR_KEY_SOURCE, "403");
    fixture_write(fixture, "answers/carol.3", "{\"hang\": true}", 0600);
    fails(fixture, wants + 2, 1, 1, STENO_ERROR_KEY_SOURCE, "did not answer within 1 s");
}

/* ---- merging ----------------------------------------------------------------------------------------------------- */

static StenoSecret *merge(const char *const *texts, GError **error)
{
    g_autoptr(GPtrArray) secrets = g_ptr_array_new_with_free_func((GDestroyNotify)steno_secret_unref);
    for (guint i = 0; texts[i]; i++)
        g_ptr_array_add(secrets, fixture_secret(texts[i]));
    return source_merge(secrets, error);
}

static void test_merge(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "{\"ratchet_window\": 4, \"keys\": [{\"kid\": 1, \"passphrase\": \"a\"}, {\"participant\": \"b\", "
        "\"passphrase\": "
        "\"b\"}]}",
        "{\"format\": \"livekit\", \"ratchet_window\": 4, \"keys\": [{\"kid\": \"1\", \"passphrase\": \"A\"}]}",
        "{\"keys\": [{\"participant\": \"b\", \"kid\": 18446744073709551, \"passphrase\": \"c\"}, {\"participant\": "
        "\"\", \"passphrase\": \"d\"}, {\"epoch\": 1, \"passphrase\": \"e\"}], \"ratchet_window\": 4}",
        NULL};
    g_autoptr(GError) error = NULL;
    g_autoptr(StenoSecret) text = merge(texts, &error);
    assert_non_null(text);
    assert_string_equal(
        steno_secret_text(text),
        "{\"ratchet_window\":4,\"keys\":[{\"kid\":\"1\",\"passphrase\":\"A\"},{\"participant\":\"b\",\"passphrase\":"
        "\"b\"},{\"participant\":\"b\",\"kid\":18446744073709551,\"passphrase\":\"c\"},{\"participant\":\"\","
        "\"passphrase\":\"d\"},{\"epoch\":1,\"passphrase\":\"e\"}]}");
    static const char *const others[] = {"{\"keys\": []}", "{\"keys\": [], \"salt\": \"" PLANTED "\"}", NULL};
    assert_null(merge(others, &error));
    assert_true(g_error_matches(error, STENO_ERROR, STENO_ERROR_KEYS_INVALID));
    assert_non_null(strstr(error->message, "'salt'"));
    assert_null(strstr(error->message, PLANTED));
}

static void test_merge_ceiling(void **state)
{
    (void)state;
    g_autofree char *one = fixture_key_set(STENO_CONTENT_KEYS_MAX);
    const char *const fits[] = {one, one, NULL};
    const char *const more[] = {one, "{\"keys\": [{\"kid\": 9999999, \"key\": \"x\"}]}", NULL};
    g_autoptr(GError) error = NULL;
    g_autoptr(StenoSecret) text = merge(fits, &error);
    assert_non_null(text);
    assert_null(merge(more, &error));
    assert_true(g_error_matches(error, STENO_ERROR, STENO_ERROR_KEYS_INVALID));
    assert_non_null(strstr(error->message, "more than 4096 keys"));
}

/* ---- the desk ---------------------------------------------------------------------------------------------------- */

static gpointer never_open(const SourceSettings *settings, GMainContext *context, GSourceFunc changed, gpointer user)
{
    (void)context, (void)changed, (void)user;
    return (gpointer)settings;
}

static void never_close(gpointer opened)
{
    (void)opened;
}

static guint n_asked;

static void never_ask(gpointer opened, const SourceQuestion *question, SourceAnswered answered, gpointer user)
{
    (void)opened, (void)question, (void)answered, (void)user;
    n_asked++;
}

/* Somebody who makes up kids fills the desk, and not the memory. */
static void test_wants_ceiling(void **state)
{
    Fixture *fixture = *state;
    static const SourceKind never = {
        .name = "never", .by_key = TRUE, .parallel = 3, .open = never_open, .close = never_close, .ask = never_ask};
    static const SourceDeskEvents events = {NULL};
    g_autoptr(SourceSettings) settings = source_settings_new(fixture->job);
    SourceDesk *desk = source_desk_new(&never, settings, g_main_context_default(), &events, NULL);
    for (guint64 kid = 0; kid < STENO_CONTENT_KEYS_MAX; kid++)
        assert_true(source_desk_want(desk, "mallory", kid));
    assert_false(source_desk_want(desk, "alice", 0));
    assert_true(source_desk_want(desk, "mallory", 0));
    n_asked = 0;
    while (g_main_context_iteration(NULL, FALSE))
        continue;
    assert_int_equal(n_asked, 3);
    assert_false(source_desk_is_settled(desk));
    /* Also those that lie with the kind. */
    for (guint64 kid = 0; kid < STENO_CONTENT_KEYS_MAX; kid++)
        source_desk_unwant(desk, "mallory", kid);
    assert_true(source_desk_want(desk, "alice", 0));
    source_desk_free(desk);
}

/* The same trouble with every question. */
static void failing_ask(gpointer opened, const SourceQuestion *question, SourceAnswered answered, gpointer user)
{
    (void)opened, (void)question;
    g_autoptr(GError) error = g_error_new_literal(STENO_ERROR, STENO_ERROR_KEY_SOURCE, "away");
    const SourceAnswer answer = {.outcome = SOURCE_TROUBLE, .error = error};
    n_asked++;
    answered(user, &answer);
}

static void count_trouble(gpointer user, const GError *error)
{
    (void)error;
    ++*(guint *)user;
}

static void test_trouble_once(void **state)
{
    Fixture *fixture = *state;
    static const SourceKind failing = {
        .name = "failing", .by_key = TRUE, .parallel = 3, .open = never_open, .close = never_close, .ask = failing_ask};
    static const SourceDeskEvents events = {.trouble = count_trouble};
    guint told = 0;
    g_autoptr(SourceSettings) settings = source_settings_new(fixture->job);
    n_asked = 0;
    SourceDesk *desk = source_desk_new(&failing, settings, g_main_context_default(), &events, &told);
    for (guint64 kid = 0; kid < 10; kid++)
        assert_true(source_desk_want(desk, "alice", kid));
    /* All of them, and some again. */
    while (n_asked < 15)
        g_main_context_iteration(NULL, TRUE);
    assert_int_equal(told, 1);
    assert_false(source_desk_is_settled(desk));
    source_desk_free(desk);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(test_nothing),     TEST(test_whole),         TEST(test_by_key),
                                       TEST(test_merge),       TEST(test_merge_ceiling), TEST(test_wants_ceiling),
                                       TEST(test_trouble_once)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
