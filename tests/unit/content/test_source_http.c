/* A key service and a vault: scripted, over real TLS. */
#include "source_fixture.h"

#include "steno/base/error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void use_service(Fixture *fixture, guint port)
{
    g_autofree char *url = g_strdup_printf("https://127.0.0.1:%u/keys?tenant=" PLANTED, port);
    fixture_set(&fixture->job->content_keys, "service");
    fixture_set(&fixture->job->key_url, url);
    steno_secret_unref(fixture->job->key_secret);
    fixture->job->key_secret = fixture_secret(SERVICE_SECRET);
}

static void expect_error(Fixture *fixture, int code, const char *words)
{
    const GError *error = fixture_last_error(fixture);
    if (!g_error_matches(error, STENO_ERROR, code) || !strstr(error->message, words))
        fail_msg("'%s' is not in: %s", words, error->message);
}

static const json_t *request_at(const json_t *requests, gsize i)
{
    const json_t *request = json_array_get(requests, i);
    assert_non_null(request);
    return request;
}

static void test_whole_channel(void **state)
{
    Fixture *fixture = *state;
    fixture_start_server(fixture);
    use_service(fixture, fixture->tls_port);
    fixture_answer(fixture, "whole", 200, fixture_key_set(2));
    fixture_start(fixture);
    fixture_await_keys(fixture, 1);
    assert_int_equal(fixture_last_count(fixture), 2);
    json_t *requests = fixture_requests(fixture);
    assert_int_equal(json_array_size(requests), 1);
    const json_t *request = request_at(requests, 0);
    assert_true(json_is_true(json_object_get(request, "signed")));
    assert_string_equal(json_string_value(json_object_get(request, "body")),
                        "{\"app\":\"app\",\"channel\":\"room\",\"recording\":\"rec\",\"participant\":null,\"kid\":null,"
                        "\"format\":\"livekit\"}");
    json_decref(requests);
}

/* A key that the service gets only while somebody waits for it. */
static void test_late_key(void **state)
{
    Fixture *fixture = *state;
    fixture_start_server(fixture);
    use_service(fixture, fixture->tls_port);
    fixture_start(fixture);
    steno_content_source_want(fixture->source, "alice", G_MAXUINT64);
    steno_content_source_want(fixture->source, "alice", G_MAXUINT64);
    fixture_await_requests(fixture, 3); /* the whole, and hers twice */
    fixture_answer(fixture, "alice.18446744073709551615", 200, fixture_key_set(1));
    fixture_await_keys(fixture, 1);
    steno_content_source_unwant(fixture->source, "alice", G_MAXUINT64);
    assert_int_equal(fixture->errors->len, 0);
    json_t *requests = fixture_requests(fixture);
    guint hers = 0;
    for (gsize i = 0; i < json_array_size(requests); i++)
        hers += strstr(json_string_value(json_object_get(request_at(requests, i), "body")),
                       "\"participant\":\"alice\",\"kid\":\"18446744073709551615\"") != NULL;
    assert_int_equal(hers + 1, json_array_size(requests));
    json_decref(requests);
}

/* As many as are asked for at once, and more, each with an answer of its own. */
static void test_many(void **state)
{
    Fixture *fixture = *state;
    fixture_start_server(fixture);
    use_service(fixture, fixture->tls_port);
    for (guint i = 0; i < 20; i++) {
        g_autofree char *question = g_strdup_printf("p%u.5", i);
        fixture_answer(fixture, question, 200, fixture_key_set(i + 1));
    }
    fixture_start(fixture);
    for (guint i = 0; i < 20; i++) {
        g_autofree char *participant = g_strdup_printf("p%u", i);
        steno_content_source_want(fixture->source, participant, 5);
    }
    fixture_await_keys(fixture, 20);
    guint sum = 0;
    for (guint i = 0; i < 20; i++)
        sum += g_array_index(fixture->counts, guint, i);
    assert_int_equal(sum, 210);
}

static void test_refused(void **state)
{
    Fixture *fixture = *state;
    fixture_start_server(fixture);
    use_service(fixture, fixture->tls_port);
    fixture_answer(fixture, "whole", 403, NULL);
    fixture_start(fixture);
    fixture_await_errors(fixture, 1);
    expect_error(fixture, STENO_ERROR_KEY_SOURCE, "HTTP status 403: it refuses us");
    /* The same again is not told again; another one is. */
    fixture_await_requests(fixture, 2);
    fixture_answer(fixture, "whole", 307, NULL);
    fixture_await_errors(fixture, 2);
    expect_error(fixture, STENO_ERROR_KEY_SOURCE, "redirects are not followed");
    fixture_stop(fixture);
    fixture_answer(fixture, "whole", 200, g_strdup("{\"keys\": \"" PLANTED "\"}"));
    fixture_start(fixture);
    fixture_await_errors(fixture, 3);
    expect_error(fixture, STENO_ERROR_KEYS_INVALID, "");
    assert_int_equal(fixture->counts->len, 0);
}

static void test_wrong_signature(void **state)
{
    Fixture *fixture = *state;
    fixture_start_server(fixture);
    use_service(fixture, fixture->tls_port);
    fixture_answer(fixture, "whole", 200, fixture_key_set(1));
    steno_secret_unref(fixture->job->key_secret);
    fixture->job->key_secret = fixture_secret("whsec_YW5vdGhlciBzZWNyZXQgb2YgdGhlIHRlc3RzLi4u");
    fixture_start(fixture);
    fixture_await_errors(fixture, 1);
    expect_error(fixture, STENO_ERROR_KEY_SOURCE, "HTTP status 401");
    fixture_stop(fixture);
    /* While it is rotated, both sign. */
    steno_secret_unref(fixture->job->key_secret);
    fixture->job->key_secret = fixture_secret("whsec_YW5vdGhlciBzZWNyZXQgb2YgdGhlIHRlc3RzLi4u\n" SERVICE_SECRET "\n");
    fixture_start(fixture);
    fixture_await_keys(fixture, 1);
}

static void set_certificate(Fixture *fixture, const char *name)
{
    g_autofree char *certificate_name = g_strconcat(name, ".pem", NULL);
    g_autofree char *key_name = g_strconcat(name, ".key", NULL);
    g_autofree char *certificate = fixture_path(fixture, certificate_name);
    g_autofree char *key = fixture_path(fixture, key_name);
    g_autofree char *text = NULL;
    assert_true(g_file_get_contents(key, &text, NULL, NULL));
    fixture_set(&fixture->job->key_client_certificate_file, certificate);
    steno_secret_unref(fixture->job->key_client_key);
    fixture->job->key_client_key = fixture_secret(text);
}

static void test_mtls(void **state)
{
    Fixture *fixture = *state;
    fixture_start_server(fixture);
    use_service(fixture, fixture->mtls_port);
    fixture_answer(fixture, "whole", 200, fixture_key_set(1));
    g_clear_pointer(&fixture->job->key_secret, steno_secret_unref);
    set_certificate(fixture, "client");
    fixture_start(fixture);
    fixture_await_keys(fixture, 1);
    fixture_stop(fixture);
    json_t *requests = fixture_requests(fixture);
    assert_true(json_is_true(json_object_get(request_at(requests, 0), "certificate")));
    assert_false(json_is_true(json_object_get(request_at(requests, 0), "signed")));
    json_decref(requests);
    set_certificate(fixture, "stranger");
    fixture_start(fixture);
    fixture_await_errors(fixture, 1);
    expect_error(fixture, STENO_ERROR_KEY_SOURCE, "cannot ask the key service at https://127.0.0.1:");
}

static void test_untrusted(void **state)
{
    Fixture *fixture = *state;
    fixture_start_server(fixture);
    use_service(fixture, fixture->tls_port);
    fixture_set(&fixture->job->key_ca_file, NULL);
    fixture_start(fixture);
    fixture_await_errors(fixture, 1);
    expect_error(fixture, STENO_ERROR_KEY_SOURCE, "certificate");
    json_t *requests = fixture_requests(fixture);
    assert_int_equal(json_array_size(requests), 0);
    json_decref(requests);
}

static void test_unreachable(void **state)
{
    Fixture *fixture = *state;
    use_service(fixture, 1);
    fixture_start(fixture);
    for (guint64 kid = 0; kid < 10; kid++)
        steno_content_source_want(fixture->source, "alice", kid);
    fixture_await_errors(fixture, 1);
    expect_error(fixture, STENO_ERROR_KEY_SOURCE, "cannot ask the key service at https://127.0.0.1:1/keys: ");
    assert_null(strstr(fixture_last_error(fixture)->message, " ms"));
    fixture_stop(fixture);
    assert_int_equal(fixture->errors->len, 1);
}

/* One that never answers does not hold up who lets the source go. */
static void test_hanging(void **state)
{
    Fixture *fixture = *state;
    fixture_start_server(fixture);
    use_service(fixture, fixture->tls_port);
    fixture_write(fixture, "answers/whole", "{\"hang\": true}", 0600);
    fixture_write(fixture, "answers/alice.1", "{\"hang\": true}", 0600);
    fixture_start(fixture);
    steno_content_source_want(fixture->source, "alice", 1);
    fixture_await_requests(fixture, 2);
    steno_content_source_unwant(fixture->source, "alice", 1);
    steno_content_source_want(fixture->source, "alice", 2);
    fixture_await_requests(fixture, 3);
    gint64 from_mono_us = g_get_monotonic_time();
    fixture_stop(fixture);
    /* Far below the 10 s that curl would wait. */
    assert_true(g_get_monotonic_time() - from_mono_us < 3 * G_USEC_PER_SEC);
    assert_int_equal(fixture->counts->len + fixture->errors->len, 0);
}

static void test_too_large(void **state)
{
    Fixture *fixture = *state;
    fixture_start_server(fixture);
    use_service(fixture, fixture->tls_port);
    fixture_answer(fixture, "whole", 200, g_strnfill(STENO_CONTENT_KEYS_MAX_BYTES + 1, ' '));
    fixture_start(fixture);
    fixture_await_errors(fixture, 1);
    expect_error(fixture, STENO_ERROR_KEYS_INVALID, "more than 1048576 bytes");
}

/* ---- vault ------------------------------------------------------------------------------------------------------- */

static void use_vault(Fixture *fixture)
{
    g_autofree char *url = g_strdup_printf("http://127.0.0.1:%u/", fixture->plain_port);
    fixture_set(&fixture->job->content_keys, "vault");
    fixture_set(&fixture->job->key_url, url);
    fixture->job->key_secret = fixture_secret(VAULT_TOKEN);
}

/* Its answer to our path; versions: oldest first. */
static void set_versions(const Fixture *fixture, const char *path, json_t *versions)
{
    fixture_vault(fixture, json_pack("{s:s, s:{s:{s:o}}}", "token", VAULT_TOKEN, "mounts", "secret", path, versions));
}

static json_t *key_set_json(guint keys)
{
    g_autofree char *text = fixture_key_set(keys);
    return json_loads(text, 0, NULL);
}

static void test_vault(void **state)
{
    Fixture *fixture = *state;
    fixture_start_server(fixture);
    use_vault(fixture);
    set_versions(fixture, "steno/app/room", json_pack("[o]", key_set_json(2)));
    fixture_start(fixture);
    fixture_await_keys(fixture, 1);
    assert_int_equal(fixture_last_count(fixture), 2);
    /* A new version, as text, while somebody wants it. */
    g_autofree char *text = fixture_key_set(3);
    set_versions(fixture, "steno/app/room", json_pack("[n, {s:s}]", "keys_json", text));
    steno_content_source_want(fixture->source, "alice", 2);
    fixture_await_keys(fixture, 2);
    assert_int_equal(fixture_last_count(fixture), 3);
    assert_int_equal(fixture->errors->len, 0);
    json_t *requests = fixture_requests(fixture);
    const json_t *request = request_at(requests, 0);
    assert_string_equal(json_string_value(json_object_get(request, "path")), "/v1/secret/data/steno/app/room");
    assert_string_equal(json_string_value(json_object_get(json_object_get(request, "headers"), "x-vault-token")),
                        VAULT_TOKEN);
    json_decref(requests);
}

/* Missing, then deleted: no trouble, but no keys. */
static void test_vault_late(void **state)
{
    Fixture *fixture = *state;
    fixture_start_server(fixture);
    use_vault(fixture);
    fixture_set(&fixture->job->channel, "a room & more");
    fixture_set(&fixture->job->key_prefix, "/team/keys/");
    set_versions(fixture, "elsewhere", json_array());
    fixture_start(fixture);
    steno_content_source_want(fixture->source, "alice", 0);
    fixture_await_requests(fixture, 1);
    set_versions(fixture, "team/keys/app/a%20room%20%26%20more", json_pack("[n]"));
    fixture_await_requests(fixture, 2);
    set_versions(fixture, "team/keys/app/a%20room%20%26%20more", json_pack("[n,o]", key_set_json(1)));
    fixture_await_keys(fixture, 1);
    assert_int_equal(fixture->errors->len, 0);
}

/* A vault that answers with this refuses with these words. */
static void expect_trouble(Fixture *fixture, json_t *vault, const char *words)
{
    fixture_vault(fixture, vault);
    fixture_start(fixture);
    fixture_await_errors(fixture, fixture->errors->len + 1);
    fixture_stop(fixture);
    expect_error(fixture, STENO_ERROR_KEY_SOURCE, words);
}

static void test_vault_trouble(void **state)
{
    Fixture *fixture = *state;
    fixture_start_server(fixture);
    use_vault(fixture);
    expect_trouble(fixture, json_pack("{s:s, s:b, s:{}}", "token", VAULT_TOKEN, "sealed", 1, "mounts"),
                   "HTTP status 503: it is asked again (it says: Vault is sealed)");
    expect_trouble(fixture, json_pack("{s:s, s:{}}", "token", VAULT_TOKEN, "mounts"),
                   "is key_mount right? (it says: no handler for route");
    expect_trouble(fixture,
                   json_pack("{s:s, s:s, s:{}}", "token", "another", "refusal", "permission\ndenied", "mounts"),
                   "may this channel's keys be read with it? (it says: permission denied)");
    expect_trouble(fixture, json_pack("{s:b}", "standby", 1), "redirects are not followed");
    /* One that says our token back. */
    g_autofree char *echo = g_strconcat("bad token=", VAULT_TOKEN, NULL);
    expect_trouble(fixture, json_pack("{s:s, s:s, s:{}}", "token", "another", "refusal", echo, "mounts"), "token=***");
}

static void test_vault_nonsense(void **state)
{
    Fixture *fixture = *state;
    fixture_start_server(fixture);
    use_vault(fixture);
    set_versions(fixture, "steno/app/room", json_pack("[s]", PLANTED));
    fixture_start(fixture);
    fixture_await_errors(fixture, 1);
    expect_error(fixture, STENO_ERROR_KEYS_INVALID, "no secret of a KV v2 engine");
    steno_content_source_want(fixture->source, "alice", 0);
    set_versions(fixture, "steno/app/room", json_pack("[{s:s, s:s}]", "keys_json", PLANTED, "more", PLANTED));
    fixture_await_errors(fixture, 2);
    expect_error(fixture, STENO_ERROR_KEYS_INVALID, "keys_json");
    set_versions(fixture, "steno/app/room", json_pack("[{s:s}]", "password", PLANTED));
    fixture_await_errors(fixture, 3);
    expect_error(fixture, STENO_ERROR_KEYS_INVALID, "password");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(test_whole_channel), TEST(test_late_key),        TEST(test_many),
                                       TEST(test_refused),       TEST(test_wrong_signature), TEST(test_mtls),
                                       TEST(test_untrusted),     TEST(test_unreachable),     TEST(test_hanging),
                                       TEST(test_too_large),     TEST(test_vault),           TEST(test_vault_late),
                                       TEST(test_vault_trouble), TEST(test_vault_nonsense)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
