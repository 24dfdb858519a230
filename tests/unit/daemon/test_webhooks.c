/* Webhooks against a receiver that fails in every way: each event arrives, in order a recording, signed. */
#include "webhooks_fixture.h"

#include "steno/base/version.h"

#include <glib/gstdio.h>
#include <string.h>

#define HTTP "allow_http = true; allow_private = true; retry_first_ms = 100; "
#define PATIENT "timeout_s = 10; "  /* a busy machine is no failure */
#define IMPATIENT "timeout_s = 2; " /* for what hangs */
#define ONE "01A"

static void start(Fixture *fixture, const char *path, const char *more)
{
    g_autofree char *settings = g_strdup_printf("url = \"http://127.0.0.1:%%u/%s\"; " HTTP "%s", path, more);
    fixture_configure(fixture, settings);
    fixture_start(fixture);
}

static StenoConfigWebhook *settings_of(Fixture *fixture)
{
    return g_ptr_array_index(fixture->config->webhooks, 0);
}

/* ---- delivering -------------------------------------------------------------------------------------------------- */

/* Every request of a recording is of the event that is next, until that has been taken; then of the one behind it. */
static void check_order(json_t *requests, const char *recording, guint events)
{
    gint64 seq = 0;
    guint taken = 0;
    gboolean open = FALSE;
    size_t i;
    json_t *request;
    json_array_foreach (requests, i, request) {
        if (strcmp(text_of(request, "recording"), recording) != 0)
            continue;
        if (open)
            assert_int_equal(number_of(request, "seq"), seq);
        else
            assert_true(number_of(request, "seq") > seq);
        seq = number_of(request, "seq");
        open = strcmp(text_of(request, "outcome"), "ok") != 0;
        taken += !open;
    }
    assert_false(open);
    assert_int_equal(taken, events);
}

static void check_each(json_t *requests)
{
    g_autoptr(GHashTable) digests = g_hash_table_new(g_str_hash, g_str_equal);
    size_t i;
    json_t *request;
    json_array_foreach (requests, i, request) {
        const char *id = text_of(request, "id"), *digest = text_of(request, "digest");
        assert_true(g_str_has_prefix(id, "msg_"));
        assert_true(is_so(request, "same_id") && is_so(request, "application") && is_so(request, "fresh"));
        assert_false(is_so(request, "overlaps"));
        assert_int_equal(number_of(request, "signatures"), 1);
        assert_string_equal(json_string_value(json_array_get(json_object_get(request, "signed"), 0)), "new");
        assert_string_equal(text_of(request, "agent"), "Steno/" STENO_VERSION);
        assert_string_equal(text_of(request, "content"), "application/json");
        if (g_hash_table_contains(digests, id))
            assert_string_equal(g_hash_table_lookup(digests, id), digest); /* a retry says the same */
        g_hash_table_insert(digests, (gpointer)id, (gpointer)digest);
    }
}

static void a_receiver_that_fails_half_of_the_time_gets_every_event_in_order(void **state)
{
    enum { RECORDINGS = 10, EVENTS = 6 };
    Fixture *fixture = *state;
    for (guint i = 0; i < RECORDINGS; i++) {
        g_autofree char *id = g_strdup_printf("01R%u", i);
        fixture_add_recording(fixture, id, "hook");
        fixture_add_event(fixture, id, "recording.started");
    }
    g_autofree char *secrets = g_strdup_printf(IMPATIENT "secret_file = \"%s\"; application_secret_file = \"%s\";",
                                               fixture->secret_file, fixture->application_file);
    start(fixture, "half", secrets);
    for (guint event = 1; event < EVENTS; event++)
        for (guint i = 0; i < RECORDINGS; i++) {
            g_autofree char *id = g_strdup_printf("01R%u", i);
            fixture_add_event(fixture, id, "recording.gap");
            fixture_settle();
        }
    fixture_wait(fixture, nothing_waits, "all events are delivered");
    json_t *requests = fixture_requests(fixture);
    for (guint i = 0; i < RECORDINGS; i++) {
        g_autofree char *id = g_strdup_printf("01R%u", i);
        check_order(requests, id, EVENTS);
    }
    check_each(requests);
    WebhookCounts counts;
    webhooks_counts(fixture->webhooks, &counts);
    assert_int_equal(counts.delivered, RECORDINGS * EVENTS);
    /* libcurl itself tries once more when a connection that it used again was closed. */
    assert_true(counts.delivered + counts.failed <= json_array_size(requests));
    assert_true(counts.failed > RECORDINGS);
    assert_int_equal(counts.given_up + counts.waiting, 0);
    json_decref(requests);
}

static void recordings_do_not_wait_for_each_other(void **state)
{
    Fixture *fixture = *state;
    fixture_add_recording(fixture, ONE, "hook");
    fixture_add_recording(fixture, "01B", "hook");
    fixture_add_event(fixture, ONE, "recording.started");
    start(fixture, "once-hang", IMPATIENT); /* the first request hangs */
    fixture_wait_for_requests(fixture, 1);
    fixture_add_event(fixture, "01B", "recording.started");
    fixture_add_event(fixture, "01B", "recording.completed");
    fixture_wait_for_requests(fixture, 3);
    json_t *requests = fixture_requests(fixture);
    assert_string_equal(text_of(json_array_get(requests, 0), "recording"), ONE);
    assert_string_equal(text_of(json_array_get(requests, 1), "recording"), "01B");
    assert_string_equal(text_of(json_array_get(requests, 2), "recording"), "01B");
    json_decref(requests);
    fixture_wait(fixture, nothing_waits, "the one that hung is delivered");
    assert_int_equal(fixture_count(fixture), 4);
}

static void nothing_runs_while_nothing_waits(void **state)
{
    Fixture *fixture = *state;
    fixture_add_recording(fixture, ONE, "hook");
    start(fixture, "empty", PATIENT);
    fixture_add_event(fixture, ONE, "recording.started");
    fixture_wait(fixture, nothing_waits, "the event is delivered");
    fixture_settle();
    fixture_wait(fixture, nothing_waits, "the connection is idle");
    assert_int_equal(fixture->webhooks->timer_mono_us, -1);
    assert_int_equal(g_hash_table_size(fixture->webhooks->deliveries), 0);
    for (guint i = 0; i < 1000; i++)
        webhooks_wake(fixture->webhooks);
    assert_true(fixture->webhooks->timer_mono_us >= 0);
    fixture_add_event(fixture, ONE, "recording.completed");
    fixture_wait(fixture, nothing_waits, "the second event is delivered");
    assert_int_equal(fixture_count(fixture), 2);
}

static void only_events_that_are_wanted_are_sent(void **state)
{
    Fixture *fixture = *state;
    fixture_add_recording(fixture, ONE, "hook");
    for (guint i = 0; i < 150; i++)
        fixture_add_event(fixture, ONE, i == 100 ? "recording.completed" : "recording.gap");
    start(fixture, "ok", "events = [ \"recording.completed\" ];");
    fixture_wait(fixture, nothing_waits, "the wanted event is delivered");
    json_t *requests = fixture_requests(fixture);
    assert_int_equal(json_array_size(requests), 1);
    assert_string_equal(text_of(json_array_get(requests, 0), "type"), "recording.completed");
    json_decref(requests);
}

/* ---- crashes ----------------------------------------------------------------------------------------------------- */

static gboolean is_delivered(Fixture *fixture)
{
    WebhookCounts counts;
    webhooks_counts(fixture->webhooks, &counts);
    return counts.delivered > 0;
}

static void a_crash_between_delivery_and_save_doubles_it_at_most(void **state)
{
    Fixture *fixture = *state;
    fixture_add_recording(fixture, ONE, "hook");
    fixture_add_event(fixture, ONE, "recording.started");
    fixture_add_event(fixture, ONE, "recording.completed");
    start(fixture, "ok", PATIENT);
    /* What is saved in a transaction that is rolled back was never saved. */
    assert_true(steno_journal_begin(fixture->journal, NULL));
    fixture_wait(fixture, is_delivered, "the first event is delivered");
    fixture_stop(fixture);
    steno_journal_rollback(fixture->journal);
    fixture_start(fixture);
    fixture_wait(fixture, nothing_waits, "both events are delivered");
    json_t *requests = fixture_requests(fixture);
    guint count = (guint)json_array_size(requests);
    /* The second one may have been on its way as well. */
    assert_in_range(count, 3, 4);
    assert_string_equal(text_of(json_array_get(requests, 0), "id"), text_of(json_array_get(requests, count - 2), "id"));
    assert_string_not_equal(text_of(json_array_get(requests, 0), "id"),
                            text_of(json_array_get(requests, count - 1), "id"));
    json_decref(requests);
}

static void a_crash_while_the_receiver_thinks_repeats_the_request(void **state)
{
    Fixture *fixture = *state;
    fixture_add_recording(fixture, ONE, "hook");
    fixture_add_event(fixture, ONE, "recording.started");
    start(fixture, "once-hang", IMPATIENT);
    fixture_wait_for_requests(fixture, 1);
    fixture_stop(fixture);
    fixture_start(fixture);
    fixture_wait(fixture, nothing_waits, "the event is delivered");
    json_t *requests = fixture_requests(fixture);
    assert_int_equal(json_array_size(requests), 2);
    assert_string_equal(text_of(json_array_get(requests, 0), "id"), text_of(json_array_get(requests, 1), "id"));
    json_decref(requests);
}

static void a_recording_that_is_forgotten_meanwhile_does_no_harm(void **state)
{
    Fixture *fixture = *state;
    fixture_add_recording(fixture, ONE, "hook");
    fixture_add_recording(fixture, "01B", "hook");
    fixture_add_event(fixture, ONE, "recording.started");
    start(fixture, "once-hang", IMPATIENT);
    fixture_wait_for_requests(fixture, 1);
    assert_true(steno_journal_recording_forget(fixture->journal, ONE, NULL));
    fixture_add_event(fixture, "01B", "recording.started");
    fixture_wait(fixture, nothing_waits, "the other recording's event is delivered");
    assert_int_equal(fixture->webhooks->paused_mono_us, 0);
}

/* ---- failing ----------------------------------------------------------------------------------------------------- */

static gboolean is_disabled(Fixture *fixture)
{
    json_t *disabled = steno_journal_endpoints_disabled(fixture->journal, NULL);
    gboolean found = json_array_size(disabled) > 0;
    json_decref(disabled);
    return found;
}

static void gone_disables_until_it_is_enabled_again(void **state)
{
    Fixture *fixture = *state;
    fixture_add_recording(fixture, ONE, "hook");
    start(fixture, "once-gone", PATIENT);
    fixture_add_event(fixture, ONE, "recording.started");
    fixture_wait(fixture, is_disabled, "410 disables the webhook");
    fixture_add_event(fixture, ONE, "recording.completed");
    fixture_settle();
    json_t *described = fixture_describe(fixture);
    assert_string_equal(text_of(described, "state"), "disabled");
    assert_non_null(strstr(text_of(described, "disabled_why"), "410"));
    assert_non_null(text_of(described, "disabled_at"));
    json_decref(described);
    assert_int_equal(fixture_count(fixture), 1);
    assert_true(steno_journal_endpoint_set_disabled(fixture->journal, "hook", FALSE, NULL, NULL));
    webhooks_wake(fixture->webhooks);
    fixture_wait(fixture, nothing_waits, "both events are delivered");
    json_t *requests = fixture_requests(fixture);
    assert_int_equal(json_array_size(requests), 3);
    assert_string_equal(text_of(json_array_get(requests, 0), "id"), text_of(json_array_get(requests, 1), "id"));
    json_decref(requests);
}

static gboolean has_failed(Fixture *fixture)
{
    WebhookCounts counts;
    webhooks_counts(fixture->webhooks, &counts);
    return counts.failed > 0;
}

/* Fails the first event at the path; the description's last_error. Caller frees. */
static char *failure_at(Fixture *fixture, const char *path, const char *more)
{
    fixture_add_recording(fixture, ONE, "hook");
    fixture_add_event(fixture, ONE, "recording.started");
    start(fixture, path, more);
    fixture_wait(fixture, has_failed, "the request fails");
    json_t *described = fixture_describe(fixture);
    assert_string_equal(text_of(described, "state"), "failing");
    assert_int_equal(number_of(described, "waiting"), 1);
    assert_non_null(text_of(described, "last_failed_at"));
    assert_null(text_of(described, "last_delivered_at"));
    char *words = g_strdup(text_of(described, "last_error"));
    json_decref(described);
    assert_false(nothing_waits(fixture));
    return words;
}

static void redirects_are_not_followed(void **state)
{
    Fixture *fixture = *state;
    g_autofree char *words = failure_at(fixture, "302", PATIENT);
    assert_non_null(strstr(words, "redirects are not followed"));
    fixture_wait_for_requests(fixture, 3);
    json_t *requests = fixture_requests(fixture);
    size_t i;
    json_t *request;
    json_array_foreach (requests, i, request)
        assert_string_equal(text_of(request, "path"), "/302");
    json_decref(requests);
}

static void an_event_is_given_up_and_the_next_one_carries_on(void **state)
{
    Fixture *fixture = *state;
    fixture_add_recording(fixture, ONE, "hook");
    start(fixture, "500", PATIENT);
    settings_of(fixture)->give_up_s = 1; /* less than the configuration allows */
    fixture_add_event(fixture, ONE, "recording.started");
    fixture_add_event(fixture, ONE, "recording.completed");
    fixture_wait(fixture, nothing_waits, "both events are given up");
    WebhookCounts counts;
    webhooks_counts(fixture->webhooks, &counts);
    assert_int_equal(counts.given_up, 2);
    assert_int_equal(counts.delivered, 0);
    assert_true(counts.failed > 2);
    json_t *requests = fixture_requests(fixture);
    json_t *last = json_array_get(requests, json_array_size(requests) - 1);
    assert_string_equal(text_of(last, "type"), "recording.completed");
    json_decref(requests);
}

static void retry_after_is_honoured(void **state)
{
    Fixture *fixture = *state;
    fixture_add_recording(fixture, ONE, "hook");
    fixture_add_event(fixture, ONE, "recording.started");
    start(fixture, "once-later", PATIENT);
    fixture_wait(fixture, nothing_waits, "the event is delivered");
    json_t *requests = fixture_requests(fixture);
    assert_int_equal(json_array_size(requests), 2);
    double first = json_real_value(json_object_get(json_array_get(requests, 0), "at"));
    double second = json_real_value(json_object_get(json_array_get(requests, 1), "at"));
    assert_true(second - first >= 2);
    json_decref(requests);
}

static void retry_after_is_bounded(void **state)
{
    Fixture *fixture = *state;
    g_autofree char *words = failure_at(fixture, "much-later", PATIENT);
    assert_non_null(strstr(words, "429"));
    StenoJournalDelivery *row = fixture_waiting(fixture);
    gint64 delay_us = row->next_at_us - g_get_real_time();
    assert_in_range(delay_us / G_USEC_PER_SEC, WEBHOOKS_RETRY_MAX_S - 60, WEBHOOKS_RETRY_MAX_S);
    assert_int_equal(row->attempts, 1);
    /* A clock that is set back by a day does not make it wait for a day. */
    row->next_at_us += G_GINT64_CONSTANT(86400) * G_USEC_PER_SEC;
    assert_true(steno_journal_delivery_save(fixture->journal, row, NULL));
    steno_journal_delivery_free(row);
    webhooks_wake(fixture->webhooks);
    fixture_wait_for_requests(fixture, 2);
}

static void an_endless_answer_is_cut_off_and_counts_by_its_status(void **state)
{
    Fixture *fixture = *state;
    fixture_add_recording(fixture, ONE, "hook");
    fixture_add_event(fixture, ONE, "recording.started");
    start(fixture, "endless", PATIENT);
    fixture_wait(fixture, nothing_waits, "the event is delivered");
    assert_int_equal(fixture_count(fixture), 1);
}

static void half_an_answer_and_none_are_failures(void **state)
{
    Fixture *fixture = *state;
    g_autofree char *words = failure_at(fixture, "half-answer", PATIENT);
    assert_non_null(strstr(words, "bytes remaining"));
}

static void a_receiver_that_hangs_is_told_so(void **state)
{
    g_autofree char *words = failure_at(*state, "hang", IMPATIENT);
    assert_string_equal(words, "no answer within 2 s");
}

static void an_endpoint_without_configuration_keeps_its_events(void **state)
{
    Fixture *fixture = *state;
    fixture_add_recording(fixture, ONE, "another");
    fixture_add_event(fixture, ONE, "recording.started");
    start(fixture, "ok", PATIENT);
    fixture_settle();
    g_autoptr(GPtrArray) rows = steno_journal_deliveries_waiting(fixture->journal, 2, NULL);
    assert_int_equal(rows->len, 1);
    const StenoJournalDelivery *row = g_ptr_array_index(rows, 0);
    assert_in_range((row->next_at_us - g_get_real_time()) / G_USEC_PER_SEC, 3500, 3600);
    assert_int_equal(row->cursor, 0);
}

/* ---- whom it talks to -------------------------------------------------------------------------------------------- */

static void private_addresses_are_refused_unless_allowed(void **state)
{
    static const char *const hosts[] = {"127.0.0.1", "localhost", "[::1]", "[::ffff:7f00:1]"};
    Fixture *fixture = *state;
    fixture_add_recording(fixture, ONE, "hook");
    fixture_add_event(fixture, ONE, "recording.started");
    for (guint i = 0; i < G_N_ELEMENTS(hosts); i++) {
        g_autofree char *settings = g_strdup_printf(
            "url = \"http://%s:%%u/ok\"; allow_http = true; retry_first_ms = 100; timeout_s = 5;", hosts[i]);
        fixture_configure(fixture, settings);
        fixture_start(fixture);
        fixture_wait(fixture, has_failed, hosts[i]);
        json_t *described = fixture_describe(fixture);
        if (!strstr(text_of(described, "last_error"), "allow_private"))
            fail_msg("%s: %s", hosts[i], text_of(described, "last_error"));
        json_decref(described);
        fixture_stop(fixture);
    }
    assert_int_equal(fixture_count(fixture), 0);
}

static void names_are_looked_up_and_proxies_ignored(void **state)
{
    Fixture *fixture = *state;
    fixture_add_recording(fixture, ONE, "hook");
    fixture_add_event(fixture, ONE, "recording.started");
    g_setenv("http_proxy", "http://127.0.0.1:1", TRUE);
    g_setenv("ALL_PROXY", "http://127.0.0.1:1", TRUE);
    fixture_configure(fixture, "url = \"http://LocalHost:%u/ok?a=b\"; " HTTP PATIENT);
    fixture_start(fixture);
    fixture_wait(fixture, nothing_waits, "the event is delivered");
    fixture_add_event(fixture, ONE, "recording.completed");
    fixture_wait(fixture, nothing_waits, "the second event is delivered");
    g_unsetenv("http_proxy");
    g_unsetenv("ALL_PROXY");
    json_t *described = fixture_describe(fixture), *requests = fixture_requests(fixture);
    g_autofree char *url = g_strdup_printf("http://LocalHost:%u/ok", fixture->port);
    assert_string_equal(text_of(described, "url"), url);
    assert_string_equal(text_of(described, "state"), "ok");
    assert_non_null(text_of(described, "last_delivered_at"));
    assert_string_equal(text_of(json_array_get(requests, 0), "path"), "/ok?a=b");
    json_decref(described);
    json_decref(requests);
}

static void a_name_that_nobody_has_fails(void **state)
{
    Fixture *fixture = *state;
    fixture_add_recording(fixture, ONE, "hook");
    fixture_add_event(fixture, ONE, "recording.started");
    fixture_configure(fixture, "url = \"http://nobody.invalid:%u/ok\"; " HTTP PATIENT);
    fixture_start(fixture);
    fixture_wait(fixture, has_failed, "the lookup fails");
    json_t *described = fixture_describe(fixture);
    assert_non_null(strstr(text_of(described, "last_error"), "its name"));
    json_decref(described);
    /* While one is under way, it can be ended. */
    webhooks_wake(fixture->webhooks);
    fixture_settle();
    fixture_stop(fixture);
}

static void deliver_over_tls(Fixture *fixture, gboolean with_ca, gboolean expected)
{
    g_autofree char *settings = g_strdup_printf(
        "url = \"https://localhost:%%u/ok\"; allow_private = true; timeout_s = 5; retry_first_ms = 100;%s%s%s",
        with_ca ? "ca_file = \"" : "", with_ca ? fixture->certificate : "", with_ca ? "\";" : "");
    guint before = fixture_count(fixture);
    fixture_configure(fixture, settings);
    fixture_start(fixture);
    fixture_add_event(fixture, ONE, "recording.gap");
    fixture_wait(fixture, expected ? nothing_waits : has_failed, expected ? "TLS delivery" : "TLS failure");
    assert_int_equal(fixture_count(fixture) > before, expected);
    fixture_stop(fixture);
}

static void tls_is_verified_and_not_old(void **state)
{
    Fixture *fixture = *state;
    fixture_add_recording(fixture, ONE, "hook");
    fixture_receive_tls(fixture, FALSE);
    deliver_over_tls(fixture, FALSE, FALSE);
    deliver_over_tls(fixture, TRUE, TRUE);
    fixture_receive_tls(fixture, TRUE);
    deliver_over_tls(fixture, TRUE, FALSE);
}

/* ---- secrets and settings ---------------------------------------------------------------------------------------- */

static void write_secrets(Fixture *fixture, const char *text)
{
    assert_true(g_file_set_contents_full(fixture->secret_file, text, -1, G_FILE_SET_CONTENTS_CONSISTENT, 0600, NULL));
}

static void deliver_one(Fixture *fixture, const char *signatures)
{
    guint before = fixture_count(fixture);
    fixture_add_event(fixture, ONE, "recording.gap");
    fixture_wait(fixture, nothing_waits, "the event is delivered");
    json_t *requests = fixture_requests(fixture);
    assert_int_equal(json_array_size(requests), before + 1);
    json_t *last = json_array_get(requests, before);
    g_autofree char *found = g_strdup("");
    size_t i;
    json_t *name;
    json_array_foreach (json_object_get(last, "signed"), i, name) {
        char *longer = g_strconcat(found, " ", json_string_value(name), NULL);
        g_free(found);
        found = longer;
    }
    assert_string_equal(found, signatures);
    json_decref(requests);
}

static void secrets_are_rotated_without_a_restart(void **state)
{
    Fixture *fixture = *state;
    g_autofree char *settings = g_strdup_printf(PATIENT "secret_file = \"%s\";", fixture->secret_file);
    fixture_add_recording(fixture, ONE, "hook");
    write_secrets(fixture, OLD_SECRET);
    start(fixture, "ok", settings);
    deliver_one(fixture, " old");
    write_secrets(fixture, NEW_SECRET "\n" OLD_SECRET "\n\n");
    deliver_one(fixture, " new old");
    write_secrets(fixture, "oops\n");
    deliver_one(fixture, " new old");
    write_secrets(fixture, NEW_SECRET "\r\n");
    deliver_one(fixture, " new");
}

static void check_refused(Fixture *fixture, const char *settings, const char *words)
{
    g_autofree char *message = fixture_refused(fixture, settings);
    if (!strstr(message, words))
        fail_msg("\"%s\" does not tell \"%s\"", message, words);
    assert_null(strstr(message, "word@"));
    assert_null(strstr(message, "sekret"));
}

static void what_cannot_work_is_refused_at_the_start(void **state)
{
    Fixture *fixture = *state;
    g_autofree char *with_secret = g_strdup_printf("url = \"https://h/\"; secret_file = \"%s\";", fixture->secret_file);
    check_refused(fixture, "url = \"http://user:word@h/?sekret\";", "http");
    check_refused(fixture, "url = \"ftp://user:word@h/?sekret\";", "https");
    check_refused(fixture, "url = \"h/sekret\";", "https");
    check_refused(fixture, "url = \"https://h/\"; ca_file = \"/nowhere\";", "/nowhere");
    check_refused(fixture, "url = \"https://h/\"; secret_file = \"/nowhere\";", "/nowhere");
    write_secrets(fixture, "sekret");
    check_refused(fixture, with_secret, "line 1");
    write_secrets(fixture, NEW_SECRET "\nwhsec_c2hvcnQ=");
    check_refused(fixture, with_secret, "line 2");
    write_secrets(fixture, "\n\n \n");
    check_refused(fixture, with_secret, fixture->secret_file);
    g_chmod(fixture->secret_file, 0644);
    check_refused(fixture, with_secret, fixture->secret_file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
        TEST(a_receiver_that_fails_half_of_the_time_gets_every_event_in_order),
        TEST(recordings_do_not_wait_for_each_other),
        TEST(nothing_runs_while_nothing_waits),
        TEST(only_events_that_are_wanted_are_sent),
        TEST(a_crash_between_delivery_and_save_doubles_it_at_most),
        TEST(a_crash_while_the_receiver_thinks_repeats_the_request),
        TEST(a_recording_that_is_forgotten_meanwhile_does_no_harm),
        TEST(gone_disables_until_it_is_enabled_again),
        TEST(redirects_are_not_followed),
        TEST(an_event_is_given_up_and_the_next_one_carries_on),
        TEST(retry_after_is_honoured),
        TEST(retry_after_is_bounded),
        TEST(an_endless_answer_is_cut_off_and_counts_by_its_status),
        TEST(half_an_answer_and_none_are_failures),
        TEST(a_receiver_that_hangs_is_told_so),
        TEST(an_endpoint_without_configuration_keeps_its_events),
        TEST(private_addresses_are_refused_unless_allowed),
        TEST(names_are_looked_up_and_proxies_ignored),
        TEST(a_name_that_nobody_has_fails),
        TEST(tls_is_verified_and_not_old),
        TEST(secrets_are_rotated_without_a_restart),
        TEST(what_cannot_work_is_refused_at_the_start),
    };
    /* Else OpenSSL's own settings, not ours, would refuse an old version. */
    g_setenv("OPENSSL_CONF", STENO_TEST_DIR "/unit/daemon/weak_openssl.cnf", TRUE);
    return cmocka_run_group_tests_name("webhooks", tests, NULL, NULL);
}
