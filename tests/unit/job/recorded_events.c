/* The order of events, the lines of a file, and what is read back from captures. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "capture_folder.h"
#include "recorded_events.h"

#include <stdlib.h>
#include <string.h>

static char *capture;

static int make_capture(void **state)
{
    (void)state;
    capture = g_dir_make_tmp("steno-XXXXXX", NULL);
    return 0;
}

static int remove_capture(void **state)
{
    (void)state;
    g_autofree char *command = g_strdup_printf("rm -rf '%s'", capture);
    g_clear_pointer(&capture, g_free);
    return system(command);
}

static void write_events(guint part, const char *text)
{
    g_autofree char *folder = g_strdup_printf("%s/part-%04u", capture, part);
    g_autofree char *path = g_build_filename(folder, "events.jsonl", NULL);
    assert_int_equal(g_mkdir_with_parents(folder, 0700), 0);
    assert_true(g_file_set_contents(path, text, -1, NULL));
}

static void append(gpointer user, json_t *event)
{
    EventPosition position;
    assert_true(event_position_of(event, &position));
    g_string_append_printf(user, "%u.%u ", position.part, position.seq);
}

static void assert_read(EventPosition after, EventPosition until, const char *expected)
{
    g_autoptr(GString) read = g_string_new("");
    recorded_events_read(capture, after, until, append, read);
    assert_string_equal(read->str, expected);
}

/* ---- order ------------------------------------------------------------------------------------------------------- */

static void positions_are_ordered(void **state)
{
    (void)state;
    static const EventPosition ascending[] = {{0, 0}, {1, 1}, {1, 2}, {1, 10}, {2, 1}, {10, 1}, {10, 4000000000u}};
    for (guint i = 0; i < G_N_ELEMENTS(ascending); i++) {
        for (guint k = 0; k < G_N_ELEMENTS(ascending); k++) {
            int order = event_position_compare(ascending[i], ascending[k]);
            assert_int_equal((order > 0) - (order < 0), (i > k) - (i < k));
        }
    }
}

static void holes_are_seen(void **state)
{
    (void)state;
    assert_false(event_position_has_hole((EventPosition){1, 4}, (EventPosition){1, 5}));
    assert_true(event_position_has_hole((EventPosition){1, 4}, (EventPosition){1, 6}));
    assert_true(event_position_has_hole((EventPosition){1, 4}, (EventPosition){2, 1}));
    assert_false(event_position_has_hole((EventPosition){0, 0}, (EventPosition){1, 1}));
    assert_true(event_position_has_hole((EventPosition){0, 0}, (EventPosition){1, 2}));
    assert_true(event_position_has_hole((EventPosition){0, 0}, (EventPosition){2, 1}));
}

static void a_position_needs_both_numbers(void **state)
{
    (void)state;
    static const char *const without[] = {"{}",
                                          "{\"part\":1}",
                                          "{\"seq\":1}",
                                          "{\"part\":0,\"seq\":1}",
                                          "{\"part\":1,\"seq\":-1}",
                                          "{\"part\":\"1\",\"seq\":1}",
                                          "{\"part\":1,\"seq\":4294967296}",
                                          "{\"part\":1,\"seq\":1.5}"};
    for (guint i = 0; i < G_N_ELEMENTS(without); i++) {
        EventPosition position = {7, 7};
        json_t *event = json_loads(without[i], 0, NULL);
        assert_false(event_position_of(event, &position));
        assert_int_equal(position.part, 7);
        json_decref(event);
    }
}

/* ---- lines ------------------------------------------------------------------------------------------------------- */

static void append_line(gpointer user, const char *line, gsize bytes)
{
    g_string_append_printf(user, "<%.*s>", (int)bytes, line);
}

static void lines_are_the_same_however_they_are_cut(void **state)
{
    (void)state;
    static const char text[] = "one\n\ntwo and more\n{}\nthree\ntorn";
    for (gsize step = 1; step < sizeof text; step++) {
        g_autoptr(GString) lines = g_string_new("");
        EventLines reader;
        event_lines_init(&reader, append_line, lines);
        for (gsize at = 0; at < sizeof text - 1; at += step)
            event_lines_feed(&reader, text + at, MIN(step, sizeof text - 1 - at));
        event_lines_clear(&reader);
        assert_string_equal(lines->str, "<one><two and more><{}><three>");
    }
}

static void a_line_without_end_takes_no_memory(void **state)
{
    (void)state;
    g_autoptr(GString) lines = g_string_new("");
    g_autofree char *block = g_strnfill(65536, 'x');
    EventLines reader;
    event_lines_init(&reader, append_line, lines);
    event_lines_feed(&reader, "before\n", 7);
    for (guint i = 0; i < 1024; i++) {
        event_lines_feed(&reader, block, 65536);
        assert_true(reader.line->allocated_len <= 2 * EVENT_LINE_MAX_BYTES);
    }
    event_lines_feed(&reader, "\nafter\n", 7);
    event_lines_clear(&reader);
    assert_string_equal(lines->str, "<before><after>");
}

/* ---- files ------------------------------------------------------------------------------------------------------- */

static void events_are_read_in_order_from_a_position(void **state)
{
    (void)state;
    const EventPosition none = {0, 0};
    write_events(1, "{\"event\":\"a\",\"seq\":1}\n{\"event\":\"clock\"}\n{\"event\":\"b\",\"seq\":2}\n"
                    "{\"event\":\"c\",\"seq\":3}\n{\"event\":\"d\",\"se");
    write_events(2, "{\"event\":\"a\",\"seq\":1}\n");
    write_events(10, "{\"event\":\"a\",\"seq\":1,\"part\":10}\n{\"event\":\"b\",\"seq\":2,\"part\":10}\n");
    assert_read(none, none, "1.1 1.2 1.3 2.1 10.1 10.2 ");
    assert_read((EventPosition){1, 2}, none, "1.3 2.1 10.1 10.2 ");
    assert_read((EventPosition){1, 2}, (EventPosition){10, 2}, "1.3 2.1 10.1 ");
    assert_read((EventPosition){1, 3}, (EventPosition){1, 4}, "");
    assert_read((EventPosition){2, 5}, none, "10.1 10.2 ");
    assert_read((EventPosition){11, 0}, none, "");
}

static void damage_is_passed_over(void **state)
{
    (void)state;
    const EventPosition none = {0, 0};
    write_events(1, "{\"event\":\"a\",\"seq\":1}\nnonsense\n{\"event\":7,\"seq\":2}\n[\"seq\"]\n"
                    "{\"event\":\"b\",\"seq\":3}\n{\"event\":\"again\",\"seq\":2}\n{\"event\":\"c\",\"seq\":\"4\"}\n"
                    "{\"event\":\"d\",\"seq\":4,\"part\":99}\n");
    assert_read(none, none, "1.1 1.3 1.4 ");
}

static void nothing_is_read_where_nothing_is(void **state)
{
    (void)state;
    const EventPosition none = {0, 0};
    assert_read(none, none, "");
    g_autofree char *folder = g_build_filename(capture, "part-0001", NULL);
    assert_int_equal(g_mkdir_with_parents(folder, 0700), 0);
    assert_read(none, none, "");
}

static void assert_ending(const char *reason)
{
    json_t *ending = recorded_ending_read(capture);
    const char *told = json_string_value(json_object_get(ending, "end_reason"));
    assert_int_equal(ending != NULL, reason != NULL);
    assert_string_equal(told ? told : "", reason ? reason : "");
    json_decref(ending);
}

static void the_ending_is_that_of_the_last_part(void **state)
{
    (void)state;
    assert_ending(NULL);
    write_events(1, "{\"event\":\"talking\",\"participant\":\"ended\",\"seq\":1}\n{\"event\":\"ended\","
                    "\"end_reason\":\"join-failed\",\"seq\":3}\n");
    assert_ending("join-failed");
    write_events(2, "{\"event\":\"state\",\"state\":\"ended\",\"seq\":1}\n{\"event\":\"ended\",\"end_rea");
    assert_ending(NULL);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_capture, remove_capture)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(positions_are_ordered),
        cmocka_unit_test(holes_are_seen),
        cmocka_unit_test(a_position_needs_both_numbers),
        cmocka_unit_test(lines_are_the_same_however_they_are_cut),
        cmocka_unit_test(a_line_without_end_takes_no_memory),
        TEST(events_are_read_in_order_from_a_position),
        TEST(damage_is_passed_over),
        TEST(nothing_is_read_where_nothing_is),
        TEST(the_ending_is_that_of_the_last_part),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
