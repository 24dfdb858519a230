/* Durations, times, tables, the event stream, the manual. */
#include "client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- durations --------------------------------------------------------------------------------------------------- */

static void test_durations(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        gint64 seconds; /* -1: refused */
    } cases[] = {
        {"1h", 3600},     {"90m", 5400},       {"30s", 30},        {"1h30m", 5400},    {"1d12h", 129600},
        {"1h0m1s", 3601}, {"45", 45},          {"0", 0},           {"365d", 31536000}, {"", -1},
        {"h", -1},        {"1h30", -1},        {"30m1h", -1},      {"1h1h", -1},       {"366d", -1},
        {"-1h", -1},      {"1.5h", -1},        {"1h ", -1},        {" 1h", -1},        {"1H", -1},
        {"1w", -1},       {"9999999999s", -1}, {"999999999d", -1},
    };
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) error = NULL;
        gint64 seconds = -1;
        gboolean good = cli_parse_duration("--for", cases[i].text, &seconds, &error);
        if (good != (cases[i].seconds >= 0) || seconds != cases[i].seconds)
            fail_msg("'%s' is %" G_GINT64_FORMAT ", and not %" G_GINT64_FORMAT, cases[i].text, seconds,
                     cases[i].seconds);
        if (!good)
            assert_true(g_error_matches(error, STENO_ERROR, STENO_ERROR_USAGE) && strstr(error->message, "--for"));
    }
}

/* ---- times ------------------------------------------------------------------------------------------------------- */

static void test_times(void **state)
{
    (void)state;
    /* In Berlin: winter time from 2026-10-25 03:00 CEST, summer time from 2026-03-29 02:00 CET. */
    static const struct {
        const char *now, *text, *utc; /* NULL: refused */
    } cases[] = {
        {"2026-11-21T20:00:00Z", "23:30", "2026-11-21T22:30:00Z"},
        {"2026-11-21T20:00:00Z", "08:30", "2026-11-22T07:30:00Z"},
        {"2026-11-21T20:00:00Z", "21:00", "2026-11-22T20:00:00Z"}, /* now is not the next one */
        {"2026-11-21T20:00:00Z", "21:00:01", "2026-11-21T20:00:01Z"},
        {"2026-11-21T23:30:00Z", "00:15", "2026-11-22T23:15:00Z"}, /* it is the 22nd there */
        {"2026-12-31T20:00:00Z", "08:00", "2027-01-01T07:00:00Z"},
        {"2026-10-24T20:00:00Z", "08:00", "2026-10-25T07:00:00Z"}, /* an hour more between */
        {"2026-03-28T20:00:00Z", "02:30", NULL},
        {"2026-11-21T20:00:00Z", "2026-07-01 08:30", "2026-07-01T06:30:00Z"},
        {"2026-11-21T20:00:00Z", "2026-07-01T08:30", "2026-07-01T06:30:00Z"},
        {"2026-11-21T20:00:00Z", "2026-07-01 08:30:15", "2026-07-01T06:30:15Z"},
        {"2026-11-21T20:00:00Z", "2027-03-28 02:30", NULL},
        {"2026-11-21T20:00:00Z", "2026-02-30 08:30", NULL},
        {"2026-11-21T20:00:00Z", "2026-11-22T08:30:00Z", "2026-11-22T08:30:00Z"},
        {"2026-11-21T20:00:00Z", "2026-11-22T08:30:00+05:30", "2026-11-22T03:00:00Z"},
        {"2026-11-21T20:00:00Z", "2026-11-22T08:30:00.5Z", "2026-11-22T08:30:00Z"},
        {"2026-11-21T20:00:00Z", "24:00", NULL},
        {"2026-11-21T20:00:00Z", "8:30", NULL},
        {"2026-11-21T20:00:00Z", "08:60", NULL},
        {"2026-11-21T20:00:00Z", "08:30:", NULL},
        {"2026-11-21T20:00:00Z", "08:30 tomorrow", NULL},
        {"2026-11-21T20:00:00Z", "2026-11-22", NULL},
        {"2026-11-21T20:00:00Z", "2026-13-01T08:30:00Z", NULL},
        {"2026-11-21T20:00:00Z", "", NULL},
        {"2026-11-21T20:00:00Z", "08$30", NULL},
    };
    g_autoptr(GTimeZone) berlin = g_time_zone_new_identifier("Europe/Berlin");
    assert_non_null(berlin);
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(GDateTime) now = g_date_time_new_from_iso8601(cases[i].now, NULL);
        g_autofree char *utc =
            cli_parse_time("--at", cases[i].text, g_date_time_to_unix(now) * G_USEC_PER_SEC, berlin, &error);
        if (g_strcmp0(utc, cases[i].utc) != 0)
            fail_msg("'%s' is %s, and not %s", cases[i].text, utc ? utc : error->message, cases[i].utc);
        if (!utc)
            assert_true(g_error_matches(error, STENO_ERROR, STENO_ERROR_USAGE) && strstr(error->message, "--at"));
    }
}

/* ---- tables ------------------------------------------------------------------------------------------------------ */

static CliTable *people(void)
{
    static const char *const heads[] = {"ID", "NAME", "AGE", NULL};
    CliTable *table = cli_table_new(heads, 1);
    cli_table_add(table, "1", "Jürgen von der Lippe", "78");
    cli_table_add(table, "20", "山田", NULL);
    cli_table_add(table, "3", "a\tb\nc\x1b[2Jd\xff\xe2\x80\xae", "");
    return table;
}

static void test_table(void **state)
{
    (void)state;
    static const struct {
        gboolean plain;
        guint width;
        const char *text;
    } cases[] = {
        {FALSE, 0,
         "ID  NAME                  AGE\n1   Jürgen von der Lippe  78\n20  山田                  -\n3   a b c [2Jd�    "
         "       -\n"},
        {FALSE, 20, "ID  NAME         AGE\n1   Jürgen von…  78\n20  山田         -\n3   a b c [2Jd�  -\n"},
        {FALSE, 5, "ID  NAME      AGE\n1   Jürgen …  78\n20  山田      -\n3   a b c […  -\n"},
        {TRUE, 5, "1\tJürgen von der Lippe\t78\n20\t山田\t\n3\ta b c [2Jd�\t\n"},
    };
    CliTable *table = people();
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *text = cli_table_format(table, cases[i].plain, cases[i].width);
        assert_string_equal(text, cases[i].text);
    }
    cli_table_free(table);
}

/* ---- events ------------------------------------------------------------------------------------------------------ */

static gboolean on_event(gpointer user, const char *id, const char *type, const char *data)
{
    g_string_append_printf(user, "%s|%s|%s;", id ? id : "", type, data);
    return strcmp(type, "end") != 0;
}

static void test_events(void **state)
{
    (void)state;
    static const char stream[] = ": hello\n\nid: 1\nevent: a\ndata: {\"x\":1}\n\n"
                                 "id: 2\r\ndata: one\r\ndata:two\r\n\r\nevent: b\n\n\revent: c\rdata\r\r"
                                 "retry: 10\ndata: x:y\nnonsense\n\nevent: end\ndata: z\n\nevent: never\ndata: z\n\n";
    /* In pieces of each size: what comes does not depend on how it was cut. */
    for (gsize piece = 1; piece <= sizeof stream; piece++) {
        GString *told = g_string_new(NULL);
        CliSse *sse = cli_sse_new(on_event, told);
        gboolean good = TRUE;
        for (gsize at = 0; good && at < strlen(stream); at += piece)
            good = cli_sse_feed(sse, stream + at, MIN(piece, strlen(stream) - at));
        assert_false(good);
        assert_string_equal(told->str, "1|a|{\"x\":1};2|message|one\ntwo;2|c|;2|message|x:y;2|end|z;");
        cli_sse_free(sse);
        g_string_free(told, TRUE);
    }
}

static void test_endless_event(void **state)
{
    (void)state;
    GString *told = g_string_new(NULL);
    CliSse *sse = cli_sse_new(on_event, told);
    g_autofree char *piece = g_malloc(65536);
    memset(piece, 'x', 65536);
    gsize fed = 0;
    while (cli_sse_feed(sse, piece, 65536) && fed <= CLI_SSE_LINE_MAX_BYTES)
        fed += 65536;
    assert_true(fed <= CLI_SSE_LINE_MAX_BYTES);
    cli_sse_free(sse);
    g_string_free(told, TRUE);
}

/* ---- paths ------------------------------------------------------------------------------------------------------- */

static void test_paths(void **state)
{
    (void)state;
    static const struct {
        const char *id, *path;
    } cases[] = {
        {"01A", "/v1/recordings/01A/stop"},
        {"../keys", "/v1/recordings/..%2Fkeys/stop"},
        {"a b?c#d%", "/v1/recordings/a%20b%3Fc%23d%25/stop"},
        {"..", "/v1/recordings/%2E%2E/stop"},
        {".", "/v1/recordings/%2E/stop"},
        {"ä", "/v1/recordings/%C3%A4/stop"},
    };
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *path = cli_path("recordings", cases[i].id, "stop", NULL);
        assert_string_equal(path, cases[i].path);
    }
    g_autoptr(GString) query = g_string_new("/v1/events");
    cli_query(query, "app", "a&b");
    cli_query(query, "recording", "01A");
    assert_string_equal(query->str, "/v1/events?app=a%26b&recording=01A");
}

/* ---- documents --------------------------------------------------------------------------------------------------- */

static void test_manual(void **state)
{
    (void)state;
    g_autofree char *text = NULL, *page = cli_print_manual();
    assert_true(g_file_get_contents(STENO_TEST_DIR "/../docs/man/steno.1", &text, NULL, NULL));
    if (strcmp(text, page) != 0)
        fail_msg("docs/man/steno.1 is not what steno-docs prints: run it");
}

/* Every option of every command has its words, and no two have one name. */
static void test_options(void **state)
{
    (void)state;
    for (const CliCommand *const *command = cli_commands(); *command; command++) {
        gsize count = 0;
        g_autofree CliOption *own = cli_own_options(*command, &count);
        g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);
        for (gsize i = 0; i < count; i++) {
            assert_true(own[i].words && own[i].words[0]);
            assert_true(own[i].kind == CLI_FLAG || own[i].argument);
            assert_true(own[i].kind != CLI_INT || own[i].maximum > own[i].minimum);
            if (!g_hash_table_add(seen, (gpointer)own[i].name))
                fail_msg("steno %s has --%s twice", (*command)->name, own[i].name);
        }
        for (const CliOption *option = cli_remote_options(); (*command)->remote && option->name; option++)
            assert_true(g_hash_table_add(seen, (gpointer)option->name));
        for (const CliOption *option = cli_common_options(); option->name; option++)
            assert_true(g_hash_table_add(seen, (gpointer)option->name));
        assert_true((*command)->words[0] && (*command)->summary[0] && (*command)->examples[0]);
    }
}

/* Slugs in the commands' rows are those of errors. */
static void test_codes(void **state)
{
    (void)state;
    for (const CliCommand *const *command = cli_commands(); *command; command++) {
        g_auto(GStrv) slugs = g_strsplit((*command)->codes ? (*command)->codes : "", " ", -1);
        for (char **slug = slugs; *slug; slug++) {
            StenoError code;
            if ((*slug)[0] && !steno_error_from_slug(*slug, &code))
                fail_msg("steno %s tells of '%s', which is no error", (*command)->name, *slug);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_durations), cmocka_unit_test(test_times),         cmocka_unit_test(test_table),
        cmocka_unit_test(test_events),    cmocka_unit_test(test_endless_event), cmocka_unit_test(test_paths),
        cmocka_unit_test(test_manual),    cmocka_unit_test(test_options),       cmocka_unit_test(test_codes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
