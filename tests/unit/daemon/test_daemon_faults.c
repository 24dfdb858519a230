/* What fails around the daemon: the journal, the audit log, stenod itself, the storage. */
#include "daemon_fixture.h"

#include "steno/base/clock.h"
#include "steno/base/error.h"

#include <glib/gstdio.h>
#include <string.h>

static void await_told(const char *type)
{
    while (count_told(type) == 0)
        g_main_context_iteration(NULL, TRUE);
}

/* ---- the journal ------------------------------------------------------------------------------------------------- */

/* Nothing is begun that is not written down. */
static void test_start_unwritten(void **state)
{
    (void)state;
    fixture.journal_fails = TRUE;
    assert_refused(
        ask(STENO_COMMAND_RECORDING_START, "{'body': {'app': 'clinic', 'platform': 'janus-1', 'channel': '1'}}"),
        STENO_ERROR_JOURNAL, "told to fail");
    assert_int_equal(fixture.jobs->len, 0);
    g_autoptr(StenoDaemonReply) ready = ask(STENO_COMMAND_READY, "{}");
    assert_true(json_is_false(json_object_get(ready->body, "ready")));
    fixture.journal_fails = FALSE;
    g_free(begin("clinic", "1"));
    g_autoptr(StenoDaemonReply) again = ask(STENO_COMMAND_READY, "{}");
    assert_true(json_is_true(json_object_get(again->body, "ready")));
}

/* What runs goes on, what happens is kept in order, and its end is told when it is written, not before. */
static void test_unwritten_end(void **state)
{
    (void)state;
    g_autofree char *id = begin("clinic", "1");
    StenoJob *job = job_of(id);
    tell_recording(job);
    fixture_turn();
    fixture.journal_fails = TRUE;
    tell(job, 1, 2, "'event': 'participant_joined', 'participant': '7', 'name': 'alice'");
    tell(job, 1, 3, "'event': 'state', 'state': 'paused'");
    fixture_turn();
    assert_state(id, "paused");
    tell(job, 1, 4, "'event': 'state', 'state': 'recording'");
    tell_stored(job, "stopped");
    fixture_turn();
    assert_state(id, "storing");
    json_t *json = show(id);
    assert_true(json_is_null(json_object_get(json, "end_reason")));
    assert_int_equal(json_array_size(json_object_get(json, "files")), 0);
    json_decref(json);
    assert_int_equal(fixture.told->len, 1);
    fixture.journal_fails = FALSE;
    await_told("recording.completed");
    static const char *const order[] = {"recording.started", "recording.participant_joined", "recording.paused",
                                        "recording.resumed", "recording.part_stored",        "recording.completed"};
    assert_int_equal(fixture.told->len, G_N_ELEMENTS(order));
    for (guint i = 0; i < G_N_ELEMENTS(order); i++)
        assert_string_equal(fixture.told->pdata[i], order[i]);
    assert_state(id, "completed");
}

/* stenod dies with events in memory: the position in the journal is the one before them. */
static void test_position(void **state)
{
    (void)state;
    g_autofree char *id = begin("clinic", "1");
    StenoJob *job = job_of(id);
    tell_recording(job);
    fixture_turn();
    fixture.journal_fails = TRUE;
    tell(job, 1, 2, "'event': 'participant_joined', 'participant': '7', 'name': 'alice'");
    fixture_turn();
    steno_daemon_free(g_steal_pointer(&fixture.daemon));
    fixture.journal_fails = FALSE;
    fixture_restart();
    job = job_of(id);
    assert_true(job->resumed && job->record);
    assert_int_equal(job->event_part, 1);
    assert_int_equal(job->event_seq, 1);
    tell(job, 1, 2, "'event': 'participant_joined', 'participant': '7', 'name': 'alice'");
    await_told("recording.participant_joined");
    assert_int_equal(count_told("recording.participant_joined"), 1);
    fixture_restart();
    assert_int_equal(job_of(id)->event_seq, 2);
    assert_int_equal(count_told("recording.started"), 1);
}

/* ---- the audit log ----------------------------------------------------------------------------------------------- */

static void test_unaudited(void **state)
{
    (void)state;
    g_autofree char *id = begin("clinic", "1"), *arguments = g_strdup_printf("{'id': '%s'}", id);
    tell_recording(job_of(id));
    fixture.audit_fails = TRUE;
    assert_refused(
        ask(STENO_COMMAND_RECORDING_START, "{'body': {'app': 'clinic', 'platform': 'janus-1', 'channel': '2'}}"),
        STENO_ERROR_STORAGE_FAILED, "the audit log cannot be written");
    assert_int_equal(fixture.jobs->len, 1);
    assert_refused(ask(STENO_COMMAND_KEY_ADD, "{'body': {'role': 'admin'}}"), STENO_ERROR_STORAGE_FAILED, "audit log");
    /* Ending a recording must be possible all the same. */
    g_autoptr(StenoDaemonReply) stopped = ask(STENO_COMMAND_RECORDING_STOP, arguments);
    assert_null(stopped->error);
    assert_string_equal(job_of(id)->stopped, "stopped");
    tell_stored(job_of(id), "stopped");
    fixture_turn();
    assert_refused(ask(STENO_COMMAND_MANIFEST, arguments), STENO_ERROR_STORAGE_FAILED, "audit log");
    assert_refused(ask(STENO_COMMAND_RECORDING_FORGET, arguments), STENO_ERROR_STORAGE_FAILED, "audit log");
    fixture.audit_fails = FALSE;
    assert_state(id, "completed");
}

/* ---- stenod ------------------------------------------------------------------------------------------------------ */

static void test_restart(void **state)
{
    (void)state;
    g_autofree char *one = begin("clinic", "1"), *two = begin("clinic", "2");
    tell_recording(job_of(one));
    tell_recording(job_of(two));
    g_autofree char *arguments = g_strdup_printf("{'id': '%s'}", two);
    g_autoptr(StenoDaemonReply) paused = ask(STENO_COMMAND_RECORDING_PAUSE, arguments);
    assert_null(paused->error);
    tell(job_of(two), 1, 2, "'event': 'state', 'state': 'paused'");
    g_autofree char *other = g_strdup_printf("{'id': '%s'}", one);
    g_autoptr(StenoDaemonReply) stopped = ask(STENO_COMMAND_RECORDING_STOP, other);
    assert_null(stopped->error);
    fixture_turn();
    fixture_restart();
    assert_true(job_of(one)->resumed && !job_of(one)->record);
    assert_true(job_of(two)->resumed && job_of(two)->record);
    assert_true(job_of(two)->spec->paused);
    assert_state(two, "paused");
    tell(job_of(two), 1, 3, "'event': 'state', 'state': 'recording'");
    await_told("recording.resumed");
    assert_int_equal(count_told("recording.paused"), 1);
}

/* A capture that no row knows. */
static void test_adopt(void **state)
{
    (void)state;
    g_autofree char *id = steno_job_new_id();
    g_autofree char *capture = g_build_filename(fixture.folder, "spool", id, NULL);
    g_autofree char *path = g_build_filename(capture, "recording.json", NULL);
    g_autofree char *json = g_strdup_printf(
        "{\"id\": \"%s\", \"app\": \"clinic\", \"platform\": \"janus\", \"platform_name\": \"janus-1\", \"channel\": "
        "\"9\", "
        "\"outputs\": \"participant\", \"audio\": \"copy\", \"zero\": %" G_GINT64_FORMAT ", \"capture_format\": 1}",
        id, steno_clock_wall_us());
    assert_int_equal(g_mkdir_with_parents(capture, 0700), 0);
    assert_true(g_file_set_contents(path, json, -1, NULL));
    fixture_restart();
    assert_non_null(job_of(id));
    assert_true(job_of(id)->resumed);
    /* Nobody wrote to it lately: only its files are made. */
    assert_false(job_of(id)->record);
    assert_string_equal(job_of(id)->spec->channel, "9");
    g_autofree char *audited = audit_of("recording.adopt");
    assert_non_null(strstr(audited, id));
    fixture_restart();
    assert_int_equal(fixture.jobs->len, 1);
}

static void test_finish(void **state)
{
    (void)state;
    g_autofree char *id = begin("clinic", "1");
    tell_recording(job_of(id));
    steno_daemon_finish(fixture.daemon);
    assert_string_equal(job_of(id)->stopped, "shutdown");
    assert_refused(
        ask(STENO_COMMAND_RECORDING_START, "{'body': {'app': 'clinic', 'platform': 'janus-1', 'channel': '2'}}"),
        STENO_ERROR_SHUTTING_DOWN, "is being stopped");
    assert_false(fixture.finished);
    tell_stored(job_of(id), "shutdown");
    while (!fixture.finished)
        g_main_context_iteration(NULL, TRUE);
    assert_state(id, "completed");
}

/* Whoever asked is answered, also at the end. */
static void on_replied(gpointer user, StenoDaemonReply *reply)
{
    assert_true(g_error_matches(reply->error, STENO_ERROR, STENO_ERROR_SHUTTING_DOWN));
    steno_daemon_reply_free(reply);
    *(guint *)user += 1;
}

static void test_closed(void **state)
{
    guint replies = 0;
    (void)state;
    for (guint i = 0; i < 5; i++)
        steno_daemon_ask(fixture.daemon, steno_daemon_request_new(STENO_COMMAND_LIVE), on_replied, &replies);
    steno_daemon_free(g_steal_pointer(&fixture.daemon));
    assert_int_equal(replies, 5);
    fixture_restart();
}

static void test_second_stenod(void **state)
{
    (void)state;
    g_autoptr(GError) error = NULL;
    static const StenoDaemonEvents events = {0};
    assert_null(steno_daemon_start(fixture.config, NULL, &events, NULL, &error));
    assert_non_null(strstr(error->message, "another stenod runs"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_start_unwritten), TEST(test_unwritten_end), TEST(test_position),
        TEST(test_unaudited),       TEST(test_restart),       TEST(test_adopt),
        TEST(test_finish),          TEST(test_closed),        TEST(test_second_stenod),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
