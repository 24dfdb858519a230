/* A job and its recorders: started, paused, stopped, died, stalled, refused; what is told of it. */
#include "world.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

static gboolean has_recorder(World *world)
{
    return world_recorder(world) > 0;
}

static void a_recording_runs_from_its_start_to_its_files(void **state)
{
    World *world = *state;
    world_start(world, "hello,rec,ev:3,wait");
    world_await(world, "talking", 3);
    steno_job_stop(world->job, "max-duration");
    world_await_done(world);
    assert_null(world->error);
    assert_string_equal(world->end_reason, "max-duration");
    assert_null(world->kept);
    assert_true(world_exists(world->folder, "alice.webm"));
    assert_true(world_exists(world->folder, "manifest.json"));
    const char *const order[] = {
        "state:joining", "state:recording", "talking 1.3",     "talking 1.5", "state:assembling",
        "assembly",      "state:storing",   "state:completed", "done",        NULL};
    world_assert_order(world, order);
    assert_int_equal(world_count(world, "ended"), 0);
}

static void pause_goes_to_the_recorder_and_to_the_next_one(void **state)
{
    World *world = *state;
    world_start(world, "hello,rec,wait");
    world_await(world, "state:recording", 1);
    steno_job_pause(world->job, TRUE);
    world_await(world, "state:paused", 1);
    world_signal(world, SIGKILL);
    world_await(world, "state 2.2", 1); /* the next part begins paused */
    world_await(world, "state:paused", 2);
    steno_job_pause(world->job, FALSE);
    world_await(world, "state:recording", 2);
    const char *const order[] = {"state:recording", "state:paused",    "state:reconnecting",
                                 "state:paused",    "state:recording", NULL};
    world_assert_order(world, order);
}

static void an_update_carries_only_what_may_change(void **state)
{
    World *world = *state;
    world_start(world, "hello,rec,wait");
    world_await(world, "state:recording", 1);
    world->spec->max_duration_s = 77;
    steno_job_update(world->job);
    world_await(world, "updated", 1);
    const json_t *job = json_object_get(world->last, "job");
    assert_int_equal(json_integer_value(json_object_get(job, "max_duration_s")), 77);
    assert_null(json_object_get(job, "channel"));
    assert_null(json_object_get(job, "token"));
}

static void a_dead_recorder_is_followed_by_the_next_part(void **state)
{
    World *world = *state;
    world_start(world, "hello,rec,ev:2,die|hello,rec,wait");
    world_await(world, "state 2.2", 1);
    world_await(world, "state:recording", 2);
    const char *const order[] = {
        "state:recording", "talking 1.4", "state:internal", "state:reconnecting", "state:joining",
        "state:recording", NULL};
    world_assert_order(world, order);
    steno_job_stop(world->job, "stopped");
    world_await_done(world);
    assert_null(world->error);
}

static void what_a_dead_recorder_could_not_tell_is_read_from_its_file(void **state)
{
    World *world = *state;
    world_start(world, "hello,rec,ev:1,lose:3,torn,die|hello,rec,lose:2,ev:1,wait");
    world_await(world, "talking", 7);
    const char *const order[] = {"talking 1.3", "talking 1.4", "talking 1.5", "talking 1.6", "state:reconnecting",
                                 "talking 2.3", "talking 2.4", "talking 2.5", NULL};
    world_assert_order(world, order);
    assert_int_equal(world_count(world, "talking"), 7);
}

static void what_is_told_again_is_not_passed_on(void **state)
{
    World *world = *state;
    world_start(world, "hello,rec,ev:2,again,ev:1,wait");
    world_await(world, "talking", 3);
    assert_int_equal(world_count(world, "talking"), 3);
}

static void a_part_that_was_told_and_never_came_to_the_disk_is_not_used_again(void **state)
{
    World *world = *state;
    world_start(world, "hello,early:2,die|hello,rec,ev:1,wait");
    world_await(world, "talking", 3);
    const char *const order[] = {"talking 1.1", "talking 1.2", "state 2.1", "talking 2.3", NULL};
    world_assert_order(world, order);
}

static void one_that_always_dies_is_given_up(void **state)
{
    World *world = *state;
    world->place.restarts_max = 3;
    world_start(world, "hello,rec,die");
    world_await_done(world);
    assert_string_equal(world->end_reason, "recorder-died");
    assert_true(g_error_matches(world->error, STENO_ERROR, STENO_ERROR_INTERNAL));
    assert_int_equal(world_count(world, "state:recording"), 4);
    assert_non_null(world->folder); /* what it captured is stored all the same */
}

static void media_that_is_announced_and_not_captured_is_a_stall(void **state)
{
    World *world = *state;
    world->place.stall_s = 1;
    world_start(world, "hello,rec,frozen,wait|hello,rec,grow,wait");
    world_await(world, "state 2.2", 1);
    const char *const order[] = {"state:recording",    "stalled:stalled", "state:stalled",
                                 "state:reconnecting", "state:recording", NULL};
    world_assert_order(world, order);
}

static void a_paused_or_muted_channel_is_no_stall(void **state)
{
    World *world = *state;
    world->place.stall_s = 1;
    world_start(world, "hello,rec,idle,wait");
    world_await(world, "state:recording", 1);
    gint64 until = g_get_monotonic_time() + 2500000;
    while (g_get_monotonic_time() < until)
        g_main_context_iteration(NULL, TRUE);
    assert_int_equal(world_count(world, "stalled"), 0);
}

static void the_first_recorders_failed_join_is_the_end(void **state)
{
    World *world = *state;
    world_start(world, "hello,end:join-failed:unreachable");
    world_await_done(world);
    assert_true(g_error_matches(world->error, STENO_ERROR, STENO_ERROR_UNREACHABLE));
    assert_string_equal(world->end_reason, "join-failed");
    assert_null(world->folder);
    assert_false(world_exists(world->spool, world->spec->id));
}

static void a_later_ones_failed_join_is_tried_again(void **state)
{
    World *world = *state;
    world_start(world, "hello,rec,die|hello,rec,end:join-failed:unreachable|hello,rec,ev:1,wait");
    world_await(world, "talking 3.3", 1);
    const char *const order[] = {"state:recording",
                                 "state:internal",
                                 "state:reconnecting",
                                 "state:unreachable",
                                 "state:reconnecting",
                                 "talking 3.3",
                                 NULL};
    world_assert_order(world, order);
    assert_false(world->done);
}

static void a_later_ones_failed_join_is_the_end_when_there_is_no_time(void **state)
{
    World *world = *state;
    world->spec->reconnect_s = 0;
    world_start(world, "hello,rec,die|hello,rec,end:join-failed:unreachable");
    world_await_done(world);
    assert_true(g_error_matches(world->error, STENO_ERROR, STENO_ERROR_UNREACHABLE));
    assert_non_null(world->folder);
}

static void a_disk_that_fails_for_a_moment_ends_nothing(void **state)
{
    World *world = *state;
    world_start(world, "hello,rec,end:storage:storage-full|hello,rec,ev:1,wait");
    world_await(world, "talking 2.3", 1);
    const char *const order[] = {"state:recording", "state:storage-full", "state:reconnecting", "talking 2.3", NULL};
    world_assert_order(world, order);
}

static void a_disk_that_fails_again_and_again_is_the_end(void **state)
{
    World *world = *state;
    world->spec->reconnect_s = 2;
    world_start(world, "hello,rec,end:storage:storage-full");
    world_await_done(world);
    assert_true(g_error_matches(world->error, STENO_ERROR, STENO_ERROR_STORAGE_FULL));
    assert_string_equal(world->end_reason, "storage");
    assert_in_range(world_count(world, "state:recording"), 3, 8); /* slower each time */
}

static void a_disk_that_fails_is_the_end_in_the_foreground(void **state)
{
    World *world = *state;
    world->place.outlive = FALSE;
    world_start(world, "hello,rec,end:storage:storage-full|hello,rec,wait");
    world_await_done(world);
    assert_true(g_error_matches(world->error, STENO_ERROR, STENO_ERROR_STORAGE_FULL));
    assert_int_equal(world_count(world, "state:reconnecting"), 0);
}

static void a_token_that_is_lost_is_waited_for(void **state)
{
    World *world = *state;
    world_start(world, "hello,rec,die|hello,rec,end:join-failed:token-refused|hello,rec,ev:1,wait");
    world_await(world, "state:token-needed", 1);
    assert_string_equal((char *)world->told->pdata[world->told->len - 1], "state:reconnecting");
    steno_job_update(world->job); /* not yet */
    world->spec->token = steno_secret_new("a token", 7);
    steno_job_update(world->job);
    world_await(world, "talking 3.3", 1);
}

static void a_token_that_does_not_come_is_the_end(void **state)
{
    World *world = *state;
    world->spec->reconnect_s = 1;
    world_start(world, "hello,rec,die|hello,rec,end:join-failed:token-expired");
    world_await_done(world);
    assert_true(g_error_matches(world->error, STENO_ERROR, STENO_ERROR_TOKEN_NEEDED));
    assert_string_equal(world->end_reason, "connection-lost");
    assert_non_null(world->folder);
}

static void a_stop_while_nobody_records_ends_it(void **state)
{
    World *world = *state;
    world_start(world, "hello,rec,die|hello,rec,end:join-failed:token-refused");
    world_await(world, "state:token-needed", 1);
    steno_job_stop(world->job, "shutdown");
    assert_false(world->done); /* never from within */
    world_await_done(world);
    assert_string_equal(world->end_reason, "shutdown");
    assert_null(world->error);
}

static void a_recorder_that_dies_while_it_ends_ends_it(void **state)
{
    World *world = *state;
    world_start(world, "hello,deafstop,rec,wait");
    world_await(world, "state:recording", 1);
    steno_job_stop(world->job, "stopped");
    world_signal(world, SIGKILL);
    world_await_done(world);
    assert_null(world->error);
    assert_int_equal(world_count(world, "state:reconnecting"), 0);
}

static void without_outlive_the_recorder_goes_with_the_job(void **state)
{
    World *world = *state;
    world->place.outlive = FALSE;
    world_start(world, "hello,rec,wait");
    world_await(world, "state:recording", 1);
    world_until(world, has_recorder);
    int pid = world_recorder(world);
    world_leave(world);
    assert_int_equal(world_recorder(world), 0);
    assert_int_equal(kill(pid, 0), -1); /* reaped */
}

static void a_recorder_inherits_nothing_but_its_socket(void **state)
{
    World *world = *state;
    int leaked = dup(0); /* not close-on-exec */
    world_start(world, "hello,rec,wait");
    world_await(world, "state:recording", 1);
    int pid = world_recorder(world);
    assert_int_equal(getpgid(pid), pid);
    assert_int_equal(getsid(pid), pid);
    g_autofree char *folder = g_strdup_printf("/proc/%d/fd", pid);
    g_autofree char *own = g_strdup_printf("/proc/%d/fd/%d", getpid(), leaked);
    g_autofree char *input = g_strdup_printf("/proc/%d/fd/0", pid);
    g_autofree char *target = g_file_read_link(input, NULL);
    assert_string_equal(target, "/dev/null");
    g_autofree char *ours = g_file_read_link(own, NULL);
    g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
    const char *name;
    while ((name = g_dir_read_name(dir))) {
        g_autofree char *path = g_build_filename(folder, name, NULL);
        g_autofree char *its = g_file_read_link(path, NULL);
        if (its && strcmp(ours, "/dev/null") != 0 && strcmp(name, "1") != 0 && strcmp(name, "2") != 0)
            assert_string_not_equal(its, ours);
    }
    close(leaked);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, world_set_up, world_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_recording_runs_from_its_start_to_its_files),
        TEST(pause_goes_to_the_recorder_and_to_the_next_one),
        TEST(an_update_carries_only_what_may_change),
        TEST(a_dead_recorder_is_followed_by_the_next_part),
        TEST(what_a_dead_recorder_could_not_tell_is_read_from_its_file),
        TEST(what_is_told_again_is_not_passed_on),
        TEST(a_part_that_was_told_and_never_came_to_the_disk_is_not_used_again),
        TEST(one_that_always_dies_is_given_up),
        TEST(media_that_is_announced_and_not_captured_is_a_stall),
        TEST(a_paused_or_muted_channel_is_no_stall),
        TEST(the_first_recorders_failed_join_is_the_end),
        TEST(a_later_ones_failed_join_is_tried_again),
        TEST(a_later_ones_failed_join_is_the_end_when_there_is_no_time),
        TEST(a_disk_that_fails_for_a_moment_ends_nothing),
        TEST(a_disk_that_fails_again_and_again_is_the_end),
        TEST(a_disk_that_fails_is_the_end_in_the_foreground),
        TEST(a_token_that_is_lost_is_waited_for),
        TEST(a_token_that_does_not_come_is_the_end),
        TEST(a_stop_while_nobody_records_ends_it),
        TEST(a_recorder_that_dies_while_it_ends_ends_it),
        TEST(without_outlive_the_recorder_goes_with_the_job),
        TEST(a_recorder_inherits_nothing_but_its_socket),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
