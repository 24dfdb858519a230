/* The job specification: defaults, limits, JSON both ways; and ids, errors, clocks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "steno/base/clock.h"
#include "steno/base/error.h"
#include "steno/base/job.h"

#include <errno.h>
#include <string.h>

static StenoJobSpec *parse(const char *text, GError **error)
{
    json_t *json = json_loads(text, 0, NULL);
    assert_non_null(json);
    StenoJobSpec *spec = steno_job_spec_from_json(json, error);
    json_decref(json);
    return spec;
}

static void assert_refused(const char *text, const char *words)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(StenoJobSpec) spec = parse(text, &error);
    assert_true(!spec || !steno_job_spec_check(spec, &error));
    assert_true(g_error_matches(error, STENO_ERROR, STENO_ERROR_USAGE));
    if (!strstr(error->message, words))
        fail_msg("'%s' does not say '%s'", error->message, words);
}

static void defaults_are_those_of_the_table(void **state)
{
    (void)state;
    g_autoptr(StenoJobSpec) spec = steno_job_spec_new();
    assert_int_equal(spec->max_idle_s, 300);
    assert_int_equal(spec->reconnect_s, 300);
    assert_string_equal(spec->outputs, "participant");
    assert_non_null(spec->turn);
    assert_null(spec->turn[0]);
    assert_false(spec->loopback);
}

static void json_reads_back_with_secrets_only_when_asked(void **state)
{
    (void)state;
    g_autoptr(GError) error = NULL;
    g_autoptr(StenoJobSpec) spec = parse("{\"platform\":\"janus\",\"url\":\"https://h/janus\",\"channel\":\"1\","
                                         "\"token\":\"planted-secret\",\"turn\":[\"turn:a\",\"turn:b\"],"
                                         "\"turn_user\":\"u\",\"turn_password\":\"planted-too\",\"max_idle_s\":7}",
                                         &error);
    assert_non_null(spec);
    assert_true(steno_job_spec_check(spec, &error));
    json_t *bare = steno_job_spec_to_json(spec, FALSE), *full = steno_job_spec_to_json(spec, TRUE);
    char *text = json_dumps(bare, 0);
    assert_null(strstr(text, "planted"));
    free(text);
    g_autoptr(StenoJobSpec) again = steno_job_spec_from_json(full, &error);
    assert_non_null(again);
    assert_string_equal(steno_secret_text(again->token), "planted-secret");
    assert_string_equal(again->turn[1], "turn:b");
    assert_int_equal(again->max_idle_s, 7);
    json_decref(bare);
    json_decref(full);
}

static void wrong_jobs_are_refused_by_name(void **state)
{
    (void)state;
    assert_refused("{\"plattform\":\"janus\"}", "plattform");
    assert_refused("{\"max_idle_s\":\"7\"}", "max_idle_s");
    assert_refused("{\"max_idle_s\":-1}", "between 0 and");
    assert_refused("{\"turn\":\"turn:a\"}", "turn");
    assert_refused("{\"turn\":[1]}", "turn");
    assert_refused("{\"loopback\":1}", "loopback");
    assert_refused("{\"token\":1}", "token");
    assert_refused("{\"platform\":\"zoom\",\"url\":\"x\"}", "janus, sdp");
    assert_refused("{\"platform\":\"janus\"}", "url");
    assert_refused("{\"platform\":\"janus\",\"url\":\"http://h/janus\"}", "channel");
    assert_refused("{\"platform\":\"janus\",\"url\":\"ws://h\",\"channel\":\"1\"}", "http://");
    assert_refused("{\"platform\":\"sdp\",\"url\":\"x\",\"audio\":\"mp3\"}", "copy, aac");
    assert_refused("{\"platform\":\"sdp\",\"url\":\"x\",\"turn\":[\"turn:a\"]}", "turn_user");
    assert_refused(
        "{\"platform\":\"janus\",\"url\":\"http://h\",\"channel\":\"1\",\"token\":\"aaaa\",\"token_secret\":\"bbbb\"}",
        "both token and token_secret");
    assert_refused("{\"platform\":\"sdp\",\"url\":\"x\",\"turn\":[\"turns:a\"]}", "over TLS");
    assert_refused("{\"platform\":\"sdp\",\"url\":\"x\",\"rotate_s\":4}", "rotate_s is 4");
    assert_refused("[]", "object");
}

/* ---- changing ---------------------------------------------------------------------------------------------------- */

static gboolean apply(StenoJobSpec *spec, const char *text, GError **error)
{
    json_t *changes = json_loads(text, 0, NULL);
    assert_non_null(changes);
    gboolean applied = steno_job_spec_apply(spec, changes, error);
    json_decref(changes);
    return applied;
}

static StenoJobSpec *running(void)
{
    g_autoptr(GError) error = NULL;
    StenoJobSpec *spec =
        parse("{\"platform\":\"janus\",\"url\":\"http://h\",\"channel\":\"1\",\"token\":\"old\",\"max_idle_s\":5,"
              "\"subscribe_audio\":[\"a\",\"b\"]}",
              &error);
    assert_non_null(spec);
    return spec;
}

static void what_may_change_is_taken_over_and_the_rest_stays(void **state)
{
    (void)state;
    g_autoptr(StenoJobSpec) spec = running();
    g_autoptr(GError) error = NULL;
    assert_true(apply(spec,
                      "{\"max_duration_s\":60,\"subscribe_audio\":[\"c\"],\"subscribe_video\":[\"none\"],"
                      "\"max_height\":720,\"token\":\"new\"}",
                      &error));
    assert_int_equal(spec->max_duration_s, 60);
    assert_int_equal(spec->max_idle_s, 5);
    assert_int_equal(spec->max_height, 720);
    assert_int_equal(g_strv_length(spec->subscribe_audio), 1);
    assert_string_equal(spec->subscribe_audio[0], "c");
    assert_string_equal(spec->subscribe_video[0], "none");
    assert_string_equal(steno_secret_text(spec->token), "new");
    assert_string_equal(spec->channel, "1");
    assert_true(apply(spec, "{\"subscribe_audio\":[],\"max_idle_s\":0}", &error));
    assert_int_equal(g_strv_length(spec->subscribe_audio), 0);
    assert_int_equal(spec->max_idle_s, 0);
    assert_true(apply(spec, "{}", &error));
}

static void what_may_not_change_changes_nothing(void **state)
{
    (void)state;
    static const struct {
        const char *changes, *words;
    } refused[] = {
        {"{\"max_height\":5,\"channel\":\"2\"}", "channel cannot be changed"},
        {"{\"max_height\":5,\"paused\":true}", "paused cannot be changed"},
        {"{\"max_height\":5,\"nonsense\":1}", "no job setting 'nonsense'"},
        {"{\"max_height\":5,\"subscribe_audio\":[\"x\",1]}", "subscribe_audio must be a list"},
        {"{\"subscribe_audio\":[],\"max_height\":99999}", "max_height is 99999"},
        {"{\"max_height\":5,\"token\":7}", "token must be"},
        {"[]", "object"},
    };
    for (guint i = 0; i < G_N_ELEMENTS(refused); i++) {
        g_autoptr(StenoJobSpec) spec = running();
        g_autoptr(GError) error = NULL;
        assert_false(apply(spec, refused[i].changes, &error));
        assert_true(g_error_matches(error, STENO_ERROR, STENO_ERROR_USAGE));
        if (!strstr(error->message, refused[i].words))
            fail_msg("'%s' does not say '%s'", error->message, refused[i].words);
        assert_int_equal(spec->max_height, 0);
        assert_int_equal(g_strv_length(spec->subscribe_audio), 2);
        assert_string_equal(steno_secret_text(spec->token), "old");
        assert_string_equal(spec->channel, "1");
    }
    /* The whole would be impossible: a token besides the secret to mint tokens with. */
    g_autoptr(GError) error = NULL;
    g_autoptr(StenoJobSpec) minting =
        parse("{\"platform\":\"janus\",\"url\":\"http://h\",\"channel\":\"1\",\"token_secret\":\"secret\"}", &error);
    assert_false(apply(minting, "{\"max_height\":5,\"token\":\"new\"}", &error));
    assert_null(minting->token);
    assert_int_equal(minting->max_height, 0);
}

static void subscriptions_go_by_id_or_name(void **state)
{
    (void)state;
    static const struct {
        const char *list;
        gboolean ada, bob, nameless;
    } cases[] = {
        {"[]", TRUE, TRUE, TRUE},
        {"[\"none\"]", FALSE, FALSE, FALSE},
        {"[\"Ada\"]", TRUE, FALSE, FALSE},
        {"[\"2\"]", FALSE, TRUE, FALSE},
        {"[\"none\",\"2\"]", FALSE, TRUE, FALSE},
        {"[\"\"]", FALSE, FALSE, FALSE},
        {"[\"1\",\"2\",\"3\"]", TRUE, TRUE, TRUE},
    };
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *changes =
            g_strdup_printf("{\"platform\":\"sdp\",\"url\":\"x\",\"subscribe_video\":%s}", cases[i].list);
        g_autoptr(StenoJobSpec) asked = parse(changes, NULL);
        assert_int_equal(steno_job_spec_wants(asked, TRUE, "1", "Ada"), cases[i].ada);
        assert_int_equal(steno_job_spec_wants(asked, TRUE, "2", "Bob"), cases[i].bob);
        assert_int_equal(steno_job_spec_wants(asked, TRUE, "3", ""), cases[i].nameless);
        assert_int_equal(steno_job_spec_wants(asked, TRUE, "3", NULL), cases[i].nameless);
        assert_true(steno_job_spec_wants(asked, FALSE, "1", "Ada"));
    }
}

static void labels_are_an_object_of_strings(void **state)
{
    (void)state;
    g_autoptr(GError) error = NULL;
    g_autoptr(StenoJobSpec) spec =
        parse("{\"platform\":\"sdp\",\"url\":\"x\",\"labels\":\"{\\\"case\\\":\\\"17\\\"}\"}", &error);
    assert_true(steno_job_spec_check(spec, &error));
    assert_refused("{\"platform\":\"sdp\",\"url\":\"x\",\"labels\":\"{\\\"case\\\":17}\"}", "labels");
    assert_refused("{\"platform\":\"sdp\",\"url\":\"x\",\"labels\":\"[]\"}", "labels");
    assert_refused("{\"platform\":\"sdp\",\"url\":\"x\",\"labels\":\"case=17\"}", "labels");
}

static void ids_are_ulids_in_order_of_time(void **state)
{
    (void)state;
    g_autofree char *first = steno_job_new_id(), *second = steno_job_new_id();
    assert_int_equal(strlen(first), 26);
    assert_int_equal(strspn(first, "0123456789ABCDEFGHJKMNPQRSTVWXYZ"), 26);
    assert_true(strncmp(first, second, 10) <= 0);
    assert_string_not_equal(first, second);
}

static void every_error_has_its_row(void **state)
{
    (void)state;
    for (unsigned i = 0; i < STENO_ERROR_COUNT; i++) {
        StenoError read_back;
        assert_true(steno_error_from_slug(steno_error_slug((StenoError)i), &read_back));
        assert_int_equal(read_back, i);
        g_autoptr(GError) error = g_error_new_literal(STENO_ERROR, (gint)i, "x");
        for (unsigned other = 0; other < i; other++) {
            g_autoptr(GError) earlier = g_error_new_literal(STENO_ERROR, (gint)other, "x");
            assert_int_not_equal(steno_error_exit_code(error), steno_error_exit_code(earlier));
        }
    }
    assert_int_equal(steno_error_exit_code(NULL), 0);
    g_autoptr(GError) full = NULL;
    (void)steno_error_set_errno(&full, ENOSPC, "writing %s", "x");
    assert_true(g_error_matches(full, STENO_ERROR, STENO_ERROR_STORAGE_FULL));
    assert_string_equal(full->message, "writing x: No space left on device");
}

static void clocks_convert_and_print(void **state)
{
    (void)state;
    /* RFC 5905's epoch: 1970-01-01 is 2208988800 s after 1900. */
    assert_int_equal(steno_clock_ntp_to_wall_us(G_GUINT64_CONSTANT(2208988800) << 32), 0);
    gint64 now_us = 1795377340123456;
    assert_true(ABS(steno_clock_ntp_to_wall_us(steno_clock_wall_us_to_ntp(now_us)) - now_us) <= 1);
    g_autofree char *text = steno_clock_format(now_us), *compact = steno_clock_format_compact(now_us);
    assert_string_equal(text, "2026-11-22T19:55:40.123Z");
    assert_string_equal(compact, "20261122T195540Z");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_those_of_the_table),
        cmocka_unit_test(json_reads_back_with_secrets_only_when_asked),
        cmocka_unit_test(wrong_jobs_are_refused_by_name),
        cmocka_unit_test(what_may_change_is_taken_over_and_the_rest_stays),
        cmocka_unit_test(what_may_not_change_changes_nothing),
        cmocka_unit_test(subscriptions_go_by_id_or_name),
        cmocka_unit_test(labels_are_an_object_of_strings),
        cmocka_unit_test(ids_are_ulids_in_order_of_time),
        cmocka_unit_test(every_error_has_its_row),
        cmocka_unit_test(clocks_convert_and_print),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
