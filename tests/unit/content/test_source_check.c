/* What of a job is refused before anything is fetched. */
#include "source_fixture.h"

#include "steno/base/error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void is_well(const Fixture *fixture)
{
    g_autoptr(GError) error = NULL;
    if (!steno_content_check_job(fixture->job, &error))
        fail_msg("refused: %s", error->message);
}

/* Refused with words that say what to look at. */
static void is_refused(const Fixture *fixture, const char *words)
{
    g_autoptr(GError) error = NULL;
    assert_false(steno_content_check_job(fixture->job, &error));
    assert_true(g_error_matches(error, STENO_ERROR, STENO_ERROR_USAGE));
    if (!strstr(error->message, words))
        fail_msg("'%s' is not in: %s", words, error->message);
    assert_null(strstr(error->message, PLANTED));
}

static void set_secret(StenoSecret **member, const char *text)
{
    steno_secret_unref(*member);
    *member = text ? fixture_secret(text) : NULL;
}

static void test_none(void **state)
{
    Fixture *fixture = *state;
    StenoJobSpec *job = fixture->job;
    fixture_set(&job->content, "none");
    is_well(fixture);
    fixture_set(&job->content, NULL);
    is_well(fixture);
    fixture_set(&job->content, "none");
    fixture_set(&job->content_keys, "later");
    is_refused(fixture, "content is none");
    fixture_set(&job->content_keys, NULL);
    set_secret(&job->key_set, "{}");
    is_refused(fixture, "content is none");
}

static void test_format(void **state)
{
    Fixture *fixture = *state;
    fixture_set(&fixture->job->content_keys, "later");
    is_well(fixture);
    fixture_set(&fixture->job->content, "rot13");
    is_refused(fixture, "none, sframe");
    fixture_set(&fixture->job->content, "aes-128-ecb");
    is_refused(fixture, "allow_insecure_modes");
    fixture->job->allow_insecure_modes = TRUE;
    is_well(fixture);
}

static void test_where(void **state)
{
    Fixture *fixture = *state;
    StenoJobSpec *job = fixture->job;
    is_refused(fixture, "content_keys must be one of: later, inline, folder, service, vault, pkcs11, command");
    fixture_set(&job->content_keys, "clipboard");
    is_refused(fixture, "'clipboard'");
    fixture_set(&job->content_keys, "inline");
    is_refused(fixture, "no key_set");
    set_secret(&job->key_set, "{}");
    is_well(fixture);
    fixture_set(&job->content_keys, "");
    is_well(fixture);
    fixture_set(&job->content_keys, "later");
    is_refused(fixture, "later");
    fixture_set(&job->content_keys, "folder");
    is_refused(fixture, "both");
}

static void test_folder(void **state)
{
    Fixture *fixture = *state;
    StenoJobSpec *job = fixture->job;
    fixture_set(&job->content_keys, "folder");
    is_refused(fixture, "key_path");
    fixture_set(&job->key_path, fixture->folder);
    is_well(fixture);
    static const char *const outside[] = {"../room", "..", "a/b", ".room", "room\n", "", NULL};
    for (guint i = 0; outside[i]; i++) {
        fixture_set(&job->channel, outside[i]);
        is_refused(fixture, "name");
    }
    fixture_set(&job->channel, "room");
    fixture_set(&job->app, "../app");
    is_refused(fixture, "app");
}

static void test_service(void **state)
{
    Fixture *fixture = *state;
    StenoJobSpec *job = fixture->job;
    fixture_set(&job->content_keys, "service");
    is_refused(fixture, "key_url");
    static const char *const wrong[] = {"http://127.0.0.1/keys", "https://user:" PLANTED "@keys/",
                                        "ftp://keys/",           "https:///keys",
                                        "https://keys/#x",       NULL};
    set_secret(&job->key_secret, SERVICE_SECRET);
    for (guint i = 0; wrong[i]; i++) {
        fixture_set(&job->key_url, wrong[i]);
        is_refused(fixture, "key_url");
    }
    fixture_set(&job->key_url, "https://keys.example/ask?tenant=1");
    is_well(fixture);
    set_secret(&job->key_secret, SERVICE_SECRET "\n" SERVICE_SECRET "\n");
    is_well(fixture);
    set_secret(&job->key_secret, SERVICE_SECRET "\n" PLANTED);
    is_refused(fixture, "key_secret");
    set_secret(&job->key_secret, "whsec_" PLANTED);
    is_refused(fixture, "24 to 64");
    set_secret(&job->key_secret, "\n");
    is_refused(fixture, "key_secret");
    set_secret(&job->key_secret, NULL);
    is_refused(fixture, "who asks");
    set_secret(&job->key_client_key, PLANTED);
    is_refused(fixture, "belong together");
    fixture_set(&job->key_client_certificate_file, "/client.pem");
    is_well(fixture);
}

static void test_vault(void **state)
{
    Fixture *fixture = *state;
    StenoJobSpec *job = fixture->job;
    fixture_set(&job->content_keys, "vault");
    fixture_set(&job->key_url, "http://vault.example:8200");
    set_secret(&job->key_secret, VAULT_TOKEN);
    is_refused(fixture, "http of this machine");
    fixture_set(&job->key_url, "http://127.0.0.1:8200");
    is_well(fixture);
    fixture_set(&job->key_url, "http://127.0.0.1.example:8200");
    is_refused(fixture, "key_url");
    fixture_set(&job->key_url, "https://vault.example:8200/?x");
    is_refused(fixture, "query");
    fixture_set(&job->key_url, "https://vault.example:8200/");
    is_well(fixture);
    set_secret(&job->key_secret, PLANTED "\r\nx-more: yes");
    is_refused(fixture, "token");
    set_secret(&job->key_secret, NULL);
    is_refused(fixture, "token");
    set_secret(&job->key_secret, VAULT_TOKEN);
    fixture_set(&job->key_prefix, "a/../../sys");
    is_refused(fixture, "key_prefix");
    fixture_set(&job->key_prefix, "a/b");
    fixture_set(&job->channel, "a/b");
    is_refused(fixture, "channel");
}

static void test_pkcs11(void **state)
{
    Fixture *fixture = *state;
    StenoJobSpec *job = fixture->job;
    fixture_set(&job->content_keys, "pkcs11");
    fixture_set(&job->key_path, fixture->folder);
    is_refused(fixture, "RFC 7512");
    fixture_set(&job->key_url, "pkcs11:token=steno;object=keys;type=private?pin-value=" PLANTED);
    is_refused(fixture, "PIN");
    fixture_set(&job->key_url, "pkcs11:token=steno;object=keys;type=private");
    is_well(fixture);
    fixture_set(&job->key_path, NULL);
    is_refused(fixture, "key_path");
}

static void test_command(void **state)
{
    Fixture *fixture = *state;
    StenoJobSpec *job = fixture->job;
    fixture_set(&job->content_keys, "command");
    is_refused(fixture, "absolute");
    fixture_set(&job->key_path, "keys.sh --room");
    is_refused(fixture, "absolute");
    fixture_set(&job->key_path, "/usr/local/bin/keys");
    is_well(fixture);
}

static void test_output(void **state)
{
    Fixture *fixture = *state;
    StenoJobSpec *job = fixture->job;
    fixture_set(&job->content, "none");
    fixture_set(&job->output_encryption, "rot13");
    is_refused(fixture, "none, cms, cenc");
    fixture_set(&job->output_encryption, "cms");
    is_refused(fixture, "output_recipients");
    g_strfreev(job->output_recipients);
    job->output_recipients = g_strsplit("/a.pem", ",", -1);
    is_well(fixture);
    fixture_set(&job->output_encryption, "cenc");
    static const char *const wrong[] = {NULL,
                                        "",
                                        PLANTED,
                                        "00112233445566778899aabbccddeeff",
                                        "00112233445566778899aabbccddeeff:00112233445566778899aabbccddeef",
                                        "00112233445566778899aabbccddeeff:00112233445566778899aabbccddeefg",
                                        "00112233445566778899aabbccddeeff:00112233445566778899aabbccddeeff0"};
    for (guint i = 0; i < G_N_ELEMENTS(wrong); i++) {
        set_secret(&job->output_key, wrong[i]);
        is_refused(fixture, "KID:KEY");
    }
    set_secret(&job->output_key, "00112233445566778899aabbccddeeff:00112233445566778899AABBCCDDEEFF");
    is_well(fixture);
}

static void test_no_source(void **state)
{
    Fixture *fixture = *state;
    StenoJobSpec *job = fixture->job;
    static const StenoContentSourceEvents events = {NULL};
    g_autoptr(GError) error = NULL;
    /* A recorder that took the place of another gets no keys that were to be handed over once. */
    fixture_set(&job->content_keys, "inline");
    assert_null(steno_content_source_new(job, -1, NULL, &events, NULL, &error));
    assert_null(error);
    fixture_set(&job->content_keys, "later");
    assert_null(steno_content_source_new(job, -1, NULL, &events, NULL, &error));
    assert_null(error);
    fixture_set(&job->content, "none");
    assert_null(steno_content_source_new(job, -1, NULL, &events, NULL, &error));
    assert_null(error);
    fixture_set(&job->content, "livekit");
    fixture_set(&job->content_keys, "service");
    assert_null(steno_content_source_new(job, -1, NULL, &events, NULL, &error));
    assert_true(g_error_matches(error, STENO_ERROR, STENO_ERROR_USAGE));
}

static void test_inline(void **state)
{
    Fixture *fixture = *state;
    StenoJobSpec *job = fixture->job;
    static const StenoContentSourceEvents events = {NULL};
    g_autoptr(GError) error = NULL;
    set_secret(&job->key_set, "{\"keys\": [{\"key\": \"" PLANTED PLANTED PLANTED PLANTED "!\"}]}");
    assert_null(steno_content_source_new(job, -1, NULL, &events, NULL, &error));
    assert_true(g_error_matches(error, STENO_ERROR, STENO_ERROR_KEYS_INVALID));
    assert_null(strstr(error->message, PLANTED));
    g_autofree char *keys = fixture_key_set(3);
    set_secret(&job->key_set, keys);
    fixture_start(fixture);
    assert_int_equal(fixture->counts->len, 0); /* not from inside of _new() */
    steno_content_source_want(fixture->source, "alice", 1);
    fixture_await_keys(fixture, 1);
    assert_int_equal(fixture_last_count(fixture), 3);
    steno_content_source_unwant(fixture->source, "alice", 1);
    /* Freed before it could tell: it tells nobody. */
    fixture_stop(fixture);
    fixture_start(fixture);
    fixture_stop(fixture);
    assert_int_equal(fixture->counts->len, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(test_none),    TEST(test_format),    TEST(test_where),  TEST(test_folder),
                                       TEST(test_service), TEST(test_vault),     TEST(test_pkcs11), TEST(test_command),
                                       TEST(test_output),  TEST(test_no_source), TEST(test_inline)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
