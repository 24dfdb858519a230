/* A job that comes after another one: whoever records is taken over, or made to go, and nothing is told twice. */
#include "world.h"

#include "recorded_events.h"
#include "recorder_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static void start_and_leave(World *world, const char *script, const char *until, guint times)
{
    world_start(world, script);
    world_await(world, until, times);
    world_leave(world);
}

static gboolean is_recorder_gone(World *world)
{
    return world_recorder(world) == 0;
}

static void a_recorder_that_runs_is_taken_over(void **state)
{
    World *world = *state;
    start_and_leave(world, "hello,rec,ev:2,wait", "talking", 2);
    int pid = world_recorder(world);
    assert_true(pid > 0);
    world_resume(world, TRUE);
    world_await(world, "updated", 1);
    assert_int_equal(world_recorder(world), pid);
    steno_job_stop(world->job, "stopped");
    world_await_done(world);
    assert_null(world->error);
    assert_int_equal(world_count(world, "talking"), 2);
    assert_int_equal(world_count(world, "state:reconnecting"), 0);
    assert_int_equal(waitpid(pid, NULL, WNOHANG), -1); /* no zombie is left */
}

static void what_was_told_while_nobody_listened_comes_once(void **state)
{
    World *world = *state;
    start_and_leave(world, "hello,rec,ev:5,lose:4,ev:3,wait", "talking", 8);
    /* As if the job had gone earlier. */
    g_ptr_array_set_size(world->told, 0);
    world->place.event_part = 1;
    world->place.event_seq = 4;
    world_resume(world, TRUE);
    world_await(world, "updated", 1);
    assert_int_equal(world_count(world, "talking"), 10);
    const char *const order[] = {"talking 1.5",  "talking 1.6",  "talking 1.7",  "talking 1.8",
                                 "talking 1.9",  "talking 1.10", "talking 1.11", "talking 1.12",
                                 "talking 1.13", "talking 1.14", "updated 1.15", NULL};
    world_assert_order(world, order);
}

static void one_that_does_not_answer_is_killed_and_followed(void **state)
{
    World *world = *state;
    start_and_leave(world, "deaf,hello,rec,wait|hello,rec,wait", "state:recording", 1);
    int pid = world_recorder(world);
    world_resume(world, TRUE);
    world_await(world, "state 2.2", 1);
    int next = world_recorder(world);
    assert_true(next > 0 && next != pid);
    assert_int_equal(kill(pid, 0), -1);
}

static void one_that_hangs_is_killed_and_followed(void **state)
{
    World *world = *state;
    start_and_leave(world, "hello,rec,wait|hello,rec,wait", "state:recording", 1);
    world_signal(world, SIGSTOP);
    world_resume(world, TRUE);
    world_await(world, "state 2.2", 1);
}

static void one_that_died_meanwhile_is_followed_and_leaves_no_zombie(void **state)
{
    World *world = *state;
    start_and_leave(world, "hello,rec,ev:1,wait|hello,rec,wait", "talking", 1);
    int pid = world_recorder(world);
    assert_int_equal(kill(pid, SIGKILL), 0);
    world_until(world, is_recorder_gone);
    world_resume(world, TRUE);
    world_await(world, "state 2.2", 1);
    assert_int_equal(waitpid(pid, NULL, WNOHANG), -1);
}

static void one_whose_socket_is_gone_is_killed_by_its_lock(void **state)
{
    World *world = *state;
    start_and_leave(world, "hello,rec,wait|hello,rec,wait", "state:recording", 1);
    g_autofree char *path = g_strdup_printf("%s/recordings/%s.sock", world->runtime, world->spec->id);
    assert_int_equal(unlink(path), 0);
    world_resume(world, TRUE);
    world_await(world, "state 2.2", 1);
}

static void one_that_is_not_to_record_any_more_is_ended(void **state)
{
    World *world = *state;
    start_and_leave(world, "hello,rec,wait", "state:recording", 1);
    world_resume(world, FALSE);
    steno_job_stop(world->job, "shutdown"); /* the owner may tell why */
    world_await_done(world);
    assert_string_equal(world->end_reason, "shutdown");
    assert_non_null(world->folder);
}

static void it_may_be_taken_over_again_and_again(void **state)
{
    World *world = *state;
    start_and_leave(world, "hello,rec,grow,wait", "state:recording", 1);
    for (guint i = 1; i <= 10; i++) {
        world_resume(world, TRUE);
        world_await(world, "updated", i);
        world_leave(world);
    }
    world_resume(world, TRUE);
    steno_job_stop(world->job, "stopped");
    world_await_done(world);
    assert_int_equal(world_count(world, "updated"), 11);
    assert_int_equal(world_count(world, "state 1.1"), 1);
}

/* The owner remembers what it wants in the specification. */
static void a_pause_outlives_both(void **state)
{
    World *world = *state;
    world_start(world, "hello,rec,wait");
    world_await(world, "state:recording", 1);
    world_leave(world);
    world_signal(world, SIGKILL);
    world_until(world, is_recorder_gone);
    world->spec->paused = TRUE;
    world_resume(world, TRUE);
    world_await(world, "state 2.2", 1);
    world_await(world, "state:paused", 1);
    world_leave(world);
    world->spec->paused = FALSE;
    world_resume(world, TRUE);
    world_await(world, "state 2.3", 1);
    world_await(world, "state:recording", 2);
}

static void a_pause_asked_for_while_it_is_found_is_told(void **state)
{
    World *world = *state;
    start_and_leave(world, "hello,rec,wait", "state:recording", 1);
    world_resume(world, TRUE);
    steno_job_pause(world->job, TRUE);
    world_await(world, "state:paused", 1);
}

static void a_recorder_that_another_was_faster_than_finds_it(void **state)
{
    World *world = *state;
    world_start(world, "hello,rec,die|refuse|hello,rec,ev:1,wait");
    /* "refuse" wrote no part, so that its script comes again: until the conflicts are too many. */
    world_await_done(world);
    assert_true(g_error_matches(world->error, STENO_ERROR, STENO_ERROR_CONFLICT));
    assert_non_null(world->folder);
}

/* ---- of another process ------------------------------------------------------------------------------------------ */

/* A process of its own starts it and dies: the recorder is nobody's child of ours then. */
static void start_and_die(World *world, const char *script, const char *until, guint times)
{
    g_free(world->spec->channel);
    world->spec->channel = g_strdup(script);
    pid_t owner = fork();
    if (owner == 0) {
        world_start(world, script);
        world_await(world, until, times);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(owner, &status, 0), owner);
    assert_int_equal(status, 0);
    assert_true(world_recorder(world) > 0);
    assert_int_equal(waitpid(world_recorder(world), &status, WNOHANG), -1);
}

static void another_processs_recorder_is_taken_over(void **state)
{
    World *world = *state;
    start_and_die(world, "hello,rec,ev:2,wait|hello,rec,wait", "talking", 2);
    int pid = world_recorder(world);
    world_resume(world, TRUE);
    world_await(world, "updated", 1);
    assert_int_equal(world_recorder(world), pid);
    assert_int_equal(world_count(world, "talking"), 2);
    assert_int_equal(kill(pid, SIGKILL), 0); /* its end is seen all the same */
    world_await(world, "state 2.2", 1);
    steno_job_stop(world->job, "stopped");
    world_await_done(world);
    assert_null(world->error);
}

static void another_processs_recorder_that_hangs_is_killed(void **state)
{
    World *world = *state;
    start_and_die(world, "hello,rec,wait|hello,rec,wait", "state:recording", 1);
    world_signal(world, SIGSTOP);
    world_resume(world, TRUE);
    world_await(world, "state 2.2", 1);
}

/* ---- the lock ---------------------------------------------------------------------------------------------------- */

static int hold_lock(const World *world, int pid)
{
    g_autofree char *text = g_strdup_printf("%d\n", pid);
    world_write(world->capture, "recorder.lock", text);
    g_autofree char *path = g_build_filename(world->capture, "recorder.lock", NULL);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
    return fd;
}

/* Starts a program that holds the lock, whatever it calls itself. */
static pid_t hold_lock_as(const World *world, const char *name)
{
    int fd = hold_lock(world, 0);
    pid_t child = fork();
    if (child == 0) {
        /* The lock is the child's own, not one that it shares with us. */
        close(fd);
        g_autofree char *path = g_build_filename(world->capture, "recorder.lock", NULL);
        fd = open(path, O_RDWR);
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        while (flock(fd, LOCK_EX) != 0) {
            if (errno != EINTR)
                _exit(1);
        }
        execl("/bin/sleep", name, "60", NULL);
        _exit(127);
    }
    close(fd);
    return child;
}

static void nobody_else_is_ever_killed(void **state)
{
    World *world = *state;
    static const char *const nonsense[] = {"", "0\n", "1\n", "-1\n", "99999999999999999999\n", "x"};
    for (guint i = 0; i < G_N_ELEMENTS(nonsense); i++) {
        world_write(world->capture, "recorder.lock", nonsense[i]);
        assert_false(recorder_lock_kill(world->capture));
    }
    int fd = hold_lock(world, getppid());
    assert_true(recorder_lock_held(world->capture));
    assert_false(recorder_lock_kill(world->capture)); /* it is ours */
    close(fd);
    assert_false(recorder_lock_held(world->capture));
    pid_t child = hold_lock_as(world, "steno-recorder");
    while (recorder_lock_pid(world->capture) != child)
        g_usleep(1000);                               /* until then it is still ours */
    assert_false(recorder_lock_kill(world->capture)); /* whatever it calls itself */
    assert_int_equal(waitpid(child, NULL, WNOHANG), 0);
    (void)kill(child, SIGKILL);
    (void)waitpid(child, NULL, 0);
}

/* The number in a lock that nobody holds, or that another holds, may have become another recorder's. */
static void another_recorder_is_not_killed(void **state)
{
    World *world = *state;
    start_and_leave(world, "hello,rec,wait", "state:recording", 1);
    int pid = world_recorder(world);
    World other = *world;
    other.capture = g_build_filename(world->spool, "another", NULL);
    int fd = hold_lock(&other, pid);
    assert_false(recorder_lock_kill(other.capture));
    close(fd);
    assert_int_equal(recorder_lock_pid(other.capture), pid);
    assert_false(recorder_lock_kill(other.capture));
    assert_int_equal(world_recorder(world), pid);
    g_free(other.capture);
}

static void a_lock_of_somebody_else_is_waited_for(void **state)
{
    World *world = *state;
    int fd = hold_lock(world, 1);
    g_free(world->spec->channel);
    world->spec->channel = g_strdup("hello,rec,wait");
    world_resume(world, TRUE);
    gint64 until = g_get_monotonic_time() + 1500000;
    while (g_get_monotonic_time() < until)
        g_main_context_iteration(NULL, TRUE);
    assert_int_equal(world->told->len, 0);
    close(fd);
    world_await(world, "state:recording", 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, world_set_up, world_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_recorder_that_runs_is_taken_over),
        TEST(what_was_told_while_nobody_listened_comes_once),
        TEST(one_that_does_not_answer_is_killed_and_followed),
        TEST(one_that_hangs_is_killed_and_followed),
        TEST(one_that_died_meanwhile_is_followed_and_leaves_no_zombie),
        TEST(one_whose_socket_is_gone_is_killed_by_its_lock),
        TEST(one_that_is_not_to_record_any_more_is_ended),
        TEST(it_may_be_taken_over_again_and_again),
        TEST(a_pause_outlives_both),
        TEST(a_pause_asked_for_while_it_is_found_is_told),
        TEST(a_recorder_that_another_was_faster_than_finds_it),
        TEST(another_processs_recorder_is_taken_over),
        TEST(another_processs_recorder_that_hangs_is_killed),
        TEST(nobody_else_is_ever_killed),
        TEST(another_recorder_is_not_killed),
        TEST(a_lock_of_somebody_else_is_waited_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
