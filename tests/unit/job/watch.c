/* The arithmetic of stalls and delays. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "watch.h"

#define S ((gint64)G_USEC_PER_SEC)

/* Seconds of figures, each second, with this many announced tracks and new frames; the second of the first stall, or
 * -1. */
static int run(StallWatch *watch, gint64 *now, int seconds, guint announced, guint new_frames, gboolean paused,
               Stall expected)
{
    for (int i = 1; i <= seconds; i++) {
        *now += S;
        stall_watch_stats(watch, *now, announced, watch->frames + new_frames, paused);
        Stall stall = stall_watch_check(watch, *now);
        if (stall != STALL_NONE) {
            assert_int_equal(stall, expected);
            return i;
        }
    }
    return -1;
}

static void media_that_flows_never_stalls(void **state)
{
    (void)state;
    StallWatch watch = {.stall_s = 10};
    gint64 now = 1000 * S;
    stall_watch_begin(&watch, now);
    assert_int_equal(run(&watch, &now, 1000, 3, 50, FALSE, STALL_NONE), -1);
}

static void announced_media_without_frames_stalls(void **state)
{
    (void)state;
    StallWatch watch = {.stall_s = 10};
    gint64 now = 1000 * S;
    stall_watch_begin(&watch, now);
    assert_int_equal(run(&watch, &now, 5, 2, 50, FALSE, STALL_NONE), -1);
    assert_int_equal(run(&watch, &now, 100, 2, 0, FALSE, STALL_FROZEN), 10);
}

static void the_wait_begins_when_media_is_announced(void **state)
{
    (void)state;
    StallWatch watch = {.stall_s = 10};
    gint64 now = 1000 * S;
    stall_watch_begin(&watch, now);
    assert_int_equal(run(&watch, &now, 500, 0, 0, FALSE, STALL_NONE), -1);
    assert_int_equal(run(&watch, &now, 500, 2, 0, TRUE, STALL_NONE), -1);
    assert_int_equal(run(&watch, &now, 100, 1, 0, FALSE, STALL_FROZEN), 10);
}

static void the_wait_doubles_up_to_ten_minutes_until_frames_come(void **state)
{
    (void)state;
    StallWatch watch = {.stall_s = 10};
    gint64 now = 1000 * S;
    static const int waits[] = {10, 20, 40, 80, 160, 320, 600, 600, 600};
    for (guint i = 0; i < G_N_ELEMENTS(waits); i++) {
        stall_watch_begin(&watch, now);
        stall_watch_stats(&watch, now, 1, 0, FALSE);
        assert_int_equal(run(&watch, &now, 2000, 1, 0, FALSE, STALL_FROZEN), waits[i]);
    }
    stall_watch_begin(&watch, now);
    assert_int_equal(run(&watch, &now, 1, 1, 5, FALSE, STALL_NONE), -1);
    assert_int_equal(run(&watch, &now, 2000, 1, 0, FALSE, STALL_FROZEN), 10);
}

static void a_long_stall_time_is_no_less_than_it_was_asked_for(void **state)
{
    (void)state;
    StallWatch watch = {.stall_s = 3600, .in_vain = 3};
    gint64 now = 0;
    stall_watch_begin(&watch, now);
    stall_watch_stats(&watch, now, 1, 0, FALSE);
    assert_int_equal(run(&watch, &now, 5000, 1, 0, FALSE, STALL_FROZEN), 3600);
}

static int silent_after(StallWatch *watch, gint64 *now)
{
    for (int i = 1; i <= 1000; i++) {
        *now += S;
        Stall stall = stall_watch_check(watch, *now);
        if (stall != STALL_NONE) {
            assert_int_equal(stall, STALL_SILENT);
            return i;
        }
    }
    return -1;
}

static void silence_stalls(void **state)
{
    (void)state;
    StallWatch watch = {.stall_s = 3};
    gint64 now = 1000 * S;
    stall_watch_begin(&watch, now);
    assert_int_equal(silent_after(&watch, &now), STALL_JOIN_MAX_S);
    stall_watch_begin(&watch, now);
    stall_watch_stats(&watch, now, 0, 0, FALSE);
    assert_int_equal(silent_after(&watch, &now), 10);
    stall_watch_begin(&watch, now);
    stall_watch_stats(&watch, now, 0, 0, FALSE);
    now += 9 * S;
    stall_watch_heard(&watch, now);
    watch.checked_us = now;
    assert_int_equal(silent_after(&watch, &now), 10);
    watch.stall_s = 30;
    stall_watch_begin(&watch, now);
    stall_watch_stats(&watch, now, 0, 0, FALSE);
    assert_int_equal(silent_after(&watch, &now), 30);
    assert_int_equal(watch.in_vain, 0);
}

static void who_slept_himself_blames_nobody(void **state)
{
    (void)state;
    StallWatch watch = {.stall_s = 10};
    gint64 now = 1000 * S;
    stall_watch_begin(&watch, now);
    stall_watch_stats(&watch, now, 1, 5, FALSE);
    now += 3600 * S;
    assert_int_equal(stall_watch_check(&watch, now), STALL_NONE);
    assert_int_equal(silent_after(&watch, &now), 10);
}

static void zero_is_never(void **state)
{
    (void)state;
    StallWatch watch = {.stall_s = 0};
    gint64 now = 0;
    stall_watch_begin(&watch, now);
    assert_int_equal(run(&watch, &now, 5000, 1, 0, FALSE, STALL_NONE), -1);
    assert_int_equal(silent_after(&watch, &now), -1);
}

/* ---- delays ------------------------------------------------------------------------------------------------------ */

static void the_first_restart_is_at_once_and_later_ones_slower(void **state)
{
    (void)state;
    Deaths deaths = {0};
    static const gint delays[] = {0, 100, 200, 400, 800, 1600, 3200, 6400, 10000, 10000};
    for (guint i = 0; i < G_N_ELEMENTS(delays); i++)
        assert_int_equal(deaths_add(&deaths, S, FALSE, 10), delays[i]);
    assert_int_equal(deaths_add(&deaths, S, FALSE, 10), -1);
    assert_int_equal(deaths_add(&deaths, 61 * S, FALSE, 10), 0); /* this one lived */
}

static void one_that_captures_is_never_given_up_and_back_within_a_second(void **state)
{
    (void)state;
    Deaths deaths = {0};
    for (guint i = 0; i < 1000; i++) {
        gint delay = deaths_add(&deaths, S, TRUE, 3);
        assert_in_range(delay, 0, 1000);
        assert_true(i > 0 || delay <= 100);
    }
    assert_int_equal(deaths_add(&deaths, 11 * S, TRUE, 3), 0);
}

static void none_may_be_restarted_when_none_is_allowed(void **state)
{
    (void)state;
    Deaths deaths = {0};
    assert_int_equal(deaths_add(&deaths, 1000 * S, TRUE, 0), -1);
}

static void retries_are_spread(void **state)
{
    (void)state;
    for (guint attempts = 0; attempts < 40; attempts++) {
        guint most = attempts < 6 ? 1000u << attempts : 60000;
        assert_int_equal(retry_delay_ms(attempts, 0), most);
        for (guint32 random = 1; random < 100000; random += 997)
            assert_in_range(retry_delay_ms(attempts, random), most / 2, most);
        assert_in_range(rejoin_delay_ms(attempts, G_MAXUINT32), 125, 10000);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(media_that_flows_never_stalls),
        cmocka_unit_test(announced_media_without_frames_stalls),
        cmocka_unit_test(the_wait_begins_when_media_is_announced),
        cmocka_unit_test(the_wait_doubles_up_to_ten_minutes_until_frames_come),
        cmocka_unit_test(a_long_stall_time_is_no_less_than_it_was_asked_for),
        cmocka_unit_test(silence_stalls),
        cmocka_unit_test(who_slept_himself_blames_nobody),
        cmocka_unit_test(zero_is_never),
        cmocka_unit_test(the_first_restart_is_at_once_and_later_ones_slower),
        cmocka_unit_test(one_that_captures_is_never_given_up_and_back_within_a_second),
        cmocka_unit_test(none_may_be_restarted_when_none_is_allowed),
        cmocka_unit_test(retries_are_spread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
