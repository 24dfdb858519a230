/* Hours by the clock on the wall, also where that is set forth and back. */
#include "upload_window.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <time.h>

static int set_up(void **state)
{
    (void)state;
    g_setenv("TZ", "Europe/Berlin", TRUE);
    tzset();
    return 0;
}

/* A moment, as UTC. */
static gboolean open_at(const char *window, const char *utc)
{
    g_autoptr(GDateTime) time = g_date_time_new_from_iso8601(utc, NULL);
    assert_non_null(time);
    return upload_window_is_open(window, g_date_time_to_unix(time) * G_USEC_PER_SEC);
}

static void test_day(void **state)
{
    (void)state;
    assert_false(open_at("08:00-18:30", "2026-11-22T06:59:59Z"));
    assert_true(open_at("08:00-18:30", "2026-11-22T07:00:00Z"));
    assert_true(open_at("08:00-18:30", "2026-11-22T17:29:59Z"));
    assert_false(open_at("08:00-18:30", "2026-11-22T17:30:00Z"));
}

static void test_over_midnight(void **state)
{
    (void)state;
    assert_false(open_at("20:00-06:00", "2026-11-22T18:59:59Z"));
    assert_true(open_at("20:00-06:00", "2026-11-22T19:00:00Z"));
    assert_true(open_at("20:00-06:00", "2026-11-22T23:30:00Z"));
    assert_true(open_at("20:00-06:00", "2026-11-23T04:59:59Z"));
    assert_false(open_at("20:00-06:00", "2026-11-23T05:00:00Z"));
}

static void test_always(void **state)
{
    (void)state;
    assert_true(open_at(NULL, "2026-11-22T12:00:00Z"));
    assert_true(open_at("07:00-07:00", "2026-11-22T12:00:00Z"));
}

/* 2026-03-29, 02:00 → 03:00: the end of 02:30 never comes on the wall, and 03:00 is past it. */
static void test_summer_begins(void **state)
{
    (void)state;
    assert_true(open_at("20:00-02:30", "2026-03-29T00:59:59Z"));
    assert_false(open_at("20:00-02:30", "2026-03-29T01:00:00Z"));
    /* The same hour on the wall is another one than the day before. */
    assert_false(open_at("20:00-06:00", "2026-03-28T18:30:00Z"));
    assert_true(open_at("20:00-06:00", "2026-03-29T18:30:00Z"));
}

/* 2026-10-25, 03:00 → 02:00: it is 02:15 twice. */
static void test_summer_ends(void **state)
{
    (void)state;
    assert_true(open_at("02:00-02:30", "2026-10-25T00:15:00Z"));
    assert_false(open_at("02:00-02:30", "2026-10-25T00:45:00Z"));
    assert_true(open_at("02:00-02:30", "2026-10-25T01:15:00Z"));
    assert_false(open_at("02:00-02:30", "2026-10-25T01:45:00Z"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_day),           cmocka_unit_test(test_over_midnight), cmocka_unit_test(test_always),
        cmocka_unit_test(test_summer_begins), cmocka_unit_test(test_summer_ends),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
