/* What a client may say and when, what it is told again when it comes back, and who may write a capture. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "control.h"
#include "lock.h"
#include "replay.h"
#include "steno/base/error.h"

#include <glib/gstdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- messages ---------------------------------------------------------------------------------------------------- */

typedef struct {
    GString *done;
    Control control;
} Fixture;

static void note_start(gpointer user, const ControlStart *start)
{
    Fixture *fixture = user;
    g_string_append_printf(fixture->done, "start %s %u %" G_GINT64_FORMAT " %d;", start->capture, start->part,
                           start->zero_wall_us, start->finish_when_alone);
}

static void note_attach(gpointer user, guint part, guint seq)
{
    g_string_append_printf(((Fixture *)user)->done, "attach %u %u;", part, seq);
}

static void note_stop(gpointer user, const char *end_reason)
{
    g_string_append_printf(((Fixture *)user)->done, "stop %s;", end_reason);
}

static void note_pause(gpointer user, gboolean paused)
{
    g_string_append_printf(((Fixture *)user)->done, "pause %d;", paused);
}

static gboolean note_update(gpointer user, const json_t *job, GError **error)
{
    (void)error;
    g_string_append_printf(((Fixture *)user)->done, "update %zu;", json_object_size(job));
    return TRUE;
}

static const ControlCommands commands = {note_start, note_attach, note_stop, note_pause, note_update};

static void fixture_init(Fixture *fixture)
{
    *fixture = (Fixture){.done = g_string_new(NULL)};
    fixture->control = (Control){.commands = &commands, .user = fixture};
}

static void said(Fixture *fixture, const char *text, const char *done)
{
    g_autoptr(GError) error = NULL;
    json_t *message = json_loads(text, 0, NULL);
    assert_non_null(message);
    g_string_truncate(fixture->done, 0);
    gboolean lawful = control_message(&fixture->control, message, &error);
    json_decref(message);
    assert_true(lawful == !error);
    assert_true(lawful == (done[0] != '\0'));
    assert_string_equal(fixture->done->str, done);
}

#define START                                                                                                          \
    "{\"command\":\"start\",\"job\":{},\"capture\":\"/c\",\"part\":2,\"zero_wall_us\":7,\"finish_when_alone\":true}"

static void a_client_says_first_who_it_is(void **state)
{
    (void)state;
    Fixture fixture;
    fixture_init(&fixture);
    said(&fixture, "{\"command\":\"stop\"}", "");
    said(&fixture, "{\"command\":\"pause\"}", "");
    said(&fixture, "{\"command\":\"attach\",\"part\":1,\"seq\":1}", ""); /* nothing has been started */
    said(&fixture, START, "start /c 2 7 1;");
    said(&fixture, START, "");
    said(&fixture, "{\"command\":\"attach\",\"part\":1,\"seq\":1}", "");
    said(&fixture, "{\"command\":\"pause\"}", "pause 1;");
    said(&fixture, "{\"command\":\"resume\"}", "pause 0;");
    said(&fixture, "{\"command\":\"update\",\"job\":{\"max_height\":1}}", "update 1;");
    fixture.control.attached = FALSE; /* it went */
    said(&fixture, "{\"command\":\"stop\"}", "");
    said(&fixture, START, "");
    said(&fixture, "{\"command\":\"attach\",\"part\":0,\"seq\":0}", "attach 0 0;");
    said(&fixture, "{\"command\":\"stop\",\"end_reason\":\"disk-low\"}", "stop disk-low;");
    said(&fixture, "{\"command\":\"stop\"}", "stop stopped;");
    g_string_free(fixture.done, TRUE);
}

static void nonsense_is_refused(void **state)
{
    (void)state;
    static const char *const before[] = {
        "{}",
        "{\"command\":1}",
        "{\"command\":\"dance\"}",
        "{\"command\":\"start\"}",
        "{\"command\":\"start\",\"job\":[],\"capture\":\"/c\",\"part\":1}",
        "{\"command\":\"start\",\"job\":{},\"capture\":\"\",\"part\":1}",
        "{\"command\":\"start\",\"job\":{},\"capture\":7,\"part\":1}",
        "{\"command\":\"start\",\"job\":{},\"capture\":\"/c\",\"part\":0}",
        "{\"command\":\"start\",\"job\":{},\"capture\":\"/c\",\"part\":4294967297}",
        "{\"command\":\"start\",\"job\":{},\"capture\":\"/c\",\"part\":1,\"zero_wall_us\":-1}",
    };
    static const char *const after[] = {
        "{\"command\":\"stop\",\"end_reason\":7}",
        "{\"command\":\"stop\",\"end_reason\":\"\"}",
        "{\"command\":\"stop\",\"end_reason\":\"a b\"}",
        "{\"command\":\"stop\",\"end_reason\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}",
        "{\"command\":\"update\"}",
        "{\"command\":\"update\",\"job\":\"x\"}",
    };
    Fixture fixture;
    fixture_init(&fixture);
    for (guint i = 0; i < G_N_ELEMENTS(before); i++)
        said(&fixture, before[i], "");
    said(&fixture, START, "start /c 2 7 1;");
    for (guint i = 0; i < G_N_ELEMENTS(after); i++)
        said(&fixture, after[i], "");
    fixture.control.attached = FALSE;
    said(&fixture, "{\"command\":\"attach\",\"part\":1}", "");
    said(&fixture, "{\"command\":\"attach\",\"part\":-1,\"seq\":1}", "");
    said(&fixture, "{\"command\":\"attach\",\"part\":1,\"seq\":\"1\"}", "");
    g_string_free(fixture.done, TRUE);
}

/* ---- what is told again ------------------------------------------------------------------------------------------ */

static gboolean collect(gpointer user, json_t *event)
{
    GString *told = user;
    g_string_append_printf(told, "%d.%d ", (int)json_integer_value(json_object_get(event, "part")),
                           (int)json_integer_value(json_object_get(event, "seq")));
    return told->len < 200;
}

static void add(Replay *replay, int part, int seq)
{
    json_t *event = json_pack("{s:s, s:i, s:i}", "event", "x", "part", part, "seq", seq);
    replay_add(replay, event);
    json_decref(event);
}

static void told_after(const Replay *replay, guint part, guint seq, const char *wanted)
{
    g_autoptr(GString) told = g_string_new(NULL);
    replay_after(replay, part, seq, collect, told);
    assert_string_equal(told->str, wanted);
}

static void exactly_what_came_after_is_told_again(void **state)
{
    (void)state;
    Replay *replay = replay_new(6);
    told_after(replay, 0, 0, "");
    json_t *stats = json_pack("{s:s}", "event", "stats");
    replay_add(replay, stats); /* no number: not one to be told again */
    json_decref(stats);
    for (int seq = 1; seq <= 3; seq++)
        add(replay, 1, seq);
    for (int seq = 1; seq <= 2; seq++)
        add(replay, 2, seq);
    told_after(replay, 0, 0, "1.1 1.2 1.3 2.1 2.2 ");
    told_after(replay, 1, 2, "1.3 2.1 2.2 ");
    told_after(replay, 1, 3, "2.1 2.2 ");
    told_after(replay, 1, 900, "2.1 2.2 ");
    told_after(replay, 2, 2, "");
    told_after(replay, 3, 0, "");
    /* Beyond the ceiling the oldest go. */
    add(replay, 2, 3);
    add(replay, 2, 4);
    told_after(replay, 0, 0, "1.2 1.3 2.1 2.2 2.3 2.4 ");
    replay_free(replay);
}

static gboolean stop_at_once(gpointer user, json_t *event)
{
    (void)event;
    ++*(guint *)user;
    return FALSE;
}

static void telling_ends_when_the_client_is_gone(void **state)
{
    (void)state;
    Replay *replay = replay_new(6);
    guint calls = 0;
    add(replay, 1, 1);
    add(replay, 1, 2);
    replay_after(replay, 0, 0, stop_at_once, &calls);
    assert_int_equal(calls, 1);
    replay_free(replay);
}

/* ---- the lock ---------------------------------------------------------------------------------------------------- */

static void one_recorder_writes_a_capture(void **state)
{
    (void)state;
    g_autofree char *top = g_dir_make_tmp("steno-lock-XXXXXX", NULL);
    g_autofree char *capture = g_build_filename(top, "a", "capture", NULL);
    g_autofree char *path = g_build_filename(capture, "recorder.lock", NULL);
    g_autoptr(GError) error = NULL;
    int fd = lock_capture(capture, &error);
    assert_true(fd >= 0);
    assert_int_equal(lock_capture(capture, &error), -1);
    assert_true(g_error_matches(error, STENO_ERROR, STENO_ERROR_CONFLICT));
    g_autofree char *pid = g_strdup_printf("(pid %d)", (int)getpid());
    assert_non_null(strstr(error->message, pid));
    close(fd);
    /* The lock goes with its holder; its file stays, and is no obstacle. */
    assert_true(g_file_test(path, G_FILE_TEST_EXISTS));
    fd = lock_capture(capture, NULL);
    assert_true(fd >= 0);
    /* Removed with its capture, it locks nothing any more. */
    assert_int_equal(g_unlink(path), 0);
    int other = lock_capture(capture, NULL);
    assert_true(other >= 0);
    close(fd);
    close(other);
    (void)g_unlink(path);
    /* Where none can be made, that is said. */
    assert_int_equal(g_rmdir(capture), 0);
    assert_true(g_file_set_contents(capture, "", 0, NULL));
    g_autoptr(GError) unwritable = NULL;
    assert_int_equal(lock_capture(capture, &unwritable), -1);
    assert_non_null(strstr(unwritable->message, "recorder.lock"));
    (void)g_unlink(capture);
    g_autofree char *middle = g_build_filename(top, "a", NULL);
    (void)g_rmdir(middle);
    (void)g_rmdir(top);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_client_says_first_who_it_is),         cmocka_unit_test(nonsense_is_refused),
        cmocka_unit_test(exactly_what_came_after_is_told_again), cmocka_unit_test(telling_ends_when_the_client_is_gone),
        cmocka_unit_test(one_recorder_writes_a_capture),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
