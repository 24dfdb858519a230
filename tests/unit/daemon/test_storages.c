/* Several storages: whose turn it is, what is told of trouble, and files that are stored while a recording goes on. */
#include "daemon_fixture.h"
#include "daemon_internal.h"

#include "steno/base/clock.h"
#include "steno/base/error.h"

#include <string.h>

static const char *text_of(const json_t *json, const char *name)
{
    return json_string_value(json_object_get(json, name));
}

/* A recording with these members besides; its id. */
static char *begin_with(const char *app, const char *channel, const char *members)
{
    g_autofree char *body =
        g_strdup_printf("{'body': {'app': '%s', 'platform': 'janus-1', 'channel': '%s'%s}}", app, channel, members);
    g_autoptr(StenoDaemonReply) reply = ask(STENO_COMMAND_RECORDING_START, body);
    if (reply->error)
        fail_msg("%s", reply->error->message);
    return g_strdup(text_of(reply->body, "id"));
}

static void want(StenoJob *job, guint store)
{
    job->events->store_wanted(job->user, store);
}

/* "name state error" of each storage as GET shows them. */
static char *storages_of(const char *id)
{
    json_t *json = show(id);
    GString *text = g_string_new(NULL);
    size_t i;
    const json_t *storage;
    json_array_foreach (json_object_get(json, "storages"), i, storage) {
        const char *code = text_of(json_object_get(storage, "error"), "code");
        g_string_append_printf(text, "%s%s %s %s", i > 0 ? ", " : "", text_of(storage, "name"),
                               text_of(storage, "state"), code ? code : "-");
    }
    json_decref(json);
    return g_string_free(text, FALSE);
}

static void assert_storages(const char *id, const char *expected)
{
    g_autofree char *shown = storages_of(id);
    assert_string_equal(shown, expected);
}

/* ---- where to ---------------------------------------------------------------------------------------------------- */

static void test_destinations(void **state)
{
    (void)state;
    g_autofree char *id = begin("bank", "1");
    StenoJob *job = job_of(id);
    assert_int_equal(job->stores->len, 2);
    assert_string_equal(steno_store_name(job->stores->pdata[0]), "second");
    assert_string_equal(steno_store_name(job->stores->pdata[1]), "primary");
    assert_true(job->first);
    json_t *json = show(id);
    const json_t *storage = json_array_get(json_object_get(json, "storages"), 1);
    assert_string_equal(text_of(storage, "name"), "primary");
    assert_string_equal(text_of(storage, "state"), "pending");
    assert_int_equal(json_object_size(storage), 7);
    json_decref(json);
    job->events->state(job->user, "storing");
    tell_storage(job, 0, 0, "blocked", "storage-denied", "");
    tell_storage(job, 0, 1, "stored", NULL, ", 'uri': 'file:///x'");
    tell_storage(job, 0, 0, "skipped", NULL, "");
    assert_storages(id, "second skipped -, primary stored -");
    tell_failed(job, "stopped", STENO_ERROR_CAPTURE_DAMAGED);
    fixture_turn();
}

/* One that the configuration lost stops nobody; when all are lost, they are waited for. */
static void test_lost(void **state)
{
    (void)state;
    g_autofree char *both = begin("archive", "1"), *one = begin_with("clinic", "2", ", 'storages': ['second']");
    tell_recording(job_of(both));
    tell_recording(job_of(one));
    fixture_turn();
    gpointer second = g_ptr_array_steal_index(fixture.config->storages, 1);
    fixture_restart();
    assert_int_equal(job_of(both)->stores->len, 1);
    assert_null(job_of(one));
    assert_state(one, "recording");
    json_t *json = show(one);
    assert_string_equal(text_of(json_object_get(json, "error"), "code"), "config");
    json_decref(json);
    tell_stored(job_of(both), "stopped");
    fixture_turn();
    assert_storages(both, "primary stored -, second failed -");
    g_ptr_array_add(fixture.config->storages, second);
    fixture_restart();
    assert_true(job_of(one)->resumed && job_of(one)->record);
}

/* ---- turns ------------------------------------------------------------------------------------------------------- */

static void test_turns(void **state)
{
    (void)state;
    fixture.config->limits.uploads = 1;
    g_autofree char *one = begin("archive", "1"), *two = begin("archive", "2"), *three = begin("archive", "3");
    StenoJob *first = job_of(one), *second = job_of(two), *third = job_of(three);
    want(second, 0);
    want(first, 0);
    want(third, 0);
    want(third, 1);
    want(third, 1);
    fixture_turn();
    assert_int_equal(second->stored_now[0], 1);
    assert_int_equal(first->stored_now[0] + third->stored_now[0], 0);
    /* Another storage has turns of its own. */
    assert_int_equal(third->stored_now[1], 1);
    second->events->store_over(second->user, 0);
    want(second, 0);
    fixture_turn();
    assert_int_equal(first->stored_now[0], 1);
    assert_int_equal(third->stored_now[0], 0);
    /* An end gives its turn back. */
    tell_failed(first, "stopped", STENO_ERROR_CAPTURE_DAMAGED);
    fixture_turn();
    assert_int_equal(third->stored_now[0], 1);
    tell_failed(third, "stopped", STENO_ERROR_CAPTURE_DAMAGED);
    fixture_turn();
    assert_int_equal(second->stored_now[0], 2);
}

/* A window that begins or began so many hours from now, and lasts for two. */
static void set_window(const char *storage, int hours)
{
    StenoConfigStorage *settings = (StenoConfigStorage *)steno_config_storage(fixture.config, storage);
    g_autoptr(GDateTime) now = g_date_time_new_now_local();
    g_autoptr(GDateTime) from = g_date_time_add_hours(now, hours), until = g_date_time_add_hours(now, hours + 2);
    g_autofree char *begins = g_date_time_format(from, "%H:%M"), *ends = g_date_time_format(until, "%H:%M");
    g_free(settings->upload_window);
    settings->upload_window = g_strconcat(begins, "-", ends, NULL);
}

static void test_hours(void **state)
{
    (void)state;
    set_window("second", 2);
    fixture_restart();
    g_autofree char *id = begin("archive", "1");
    StenoJob *job = job_of(id);
    want(job, 0);
    want(job, 1);
    fixture_turn();
    assert_int_equal(job->stored_now[0], 1);
    assert_int_equal(job->stored_now[1], 0);
    set_window("second", -1);
    AWAIT(job->stored_now[1] == 1);
    set_window("second", 2);
    AWAIT(job->left[1] == 1);
    assert_int_equal(job->left[0], 0);
    set_window("second", -1);
    AWAIT(job->stored_now[1] == 2);
}

/* ---- trouble ----------------------------------------------------------------------------------------------------- */

static gboolean is_ready(const char *check, const char *detail)
{
    g_autoptr(StenoDaemonReply) reply = ask(STENO_COMMAND_READY, "{}");
    size_t i;
    const json_t *one;
    gboolean ok = FALSE;
    json_array_foreach (json_object_get(reply->body, "checks"), i, one) {
        if (strcmp(text_of(one, "name"), check) != 0)
            continue;
        ok = json_is_true(json_object_get(one, "ok"));
        if (!strstr(text_of(one, "detail"), detail))
            fail_msg("%s: %s", check, text_of(one, "detail"));
    }
    return ok;
}

static void assert_metric(const char *line)
{
    g_autoptr(StenoDaemonReply) reply = ask(STENO_COMMAND_METRICS, "{}");
    if (!strstr(reply->text, line))
        fail_msg("there is no %s", line);
}

/* The storage as GET /v1/storages shows it, for who is bound to an app (NULL: every). */
static json_t *storage_as(const char *app, const char *name)
{
    g_autoptr(StenoDaemonReply) reply = ask_as(STENO_COMMAND_STORAGE_LIST, app, STENO_ROLE_VIEWER, "{}");
    size_t i;
    json_t *storage;
    json_array_foreach (json_object_get(reply->body, "storages"), i, storage) {
        if (strcmp(text_of(storage, "name"), name) == 0)
            return json_incref(storage);
    }
    return NULL;
}

static void test_blocked(void **state)
{
    (void)state;
    g_autofree char *id = begin("archive", "1");
    StenoJob *job = job_of(id);
    tell_recording(job);
    job->events->state(job->user, "storing");
    assert_true(is_ready("uploads", "nothing is blocked"));
    tell_storage(job, 0, 0, "storing", NULL, ", 'bytes': 1000, 'bytes_total': 5000");
    tell_storage(job, 0, 1, "retrying", "storage-unreachable", "");
    tell_storage(job, 0, 0, "storing", NULL, ", 'bytes': 3000, 'bytes_total': 5000");
    assert_storages(id, "primary storing -, second retrying storage-unreachable");
    tell_storage(job, 0, 0, "blocked", "storage-denied", "");
    for (guint i = 0; i < 3; i++)
        tell_storage(job, 0, 0, "blocked", "storage-denied", "");
    fixture_turn();
    assert_int_equal(count_told("recording.storing_blocked"), 1);
    /* The worst is the recording's own. */
    json_t *json = show(id);
    assert_string_equal(text_of(json, "state"), "storing");
    assert_string_equal(text_of(json_object_get(json, "error"), "code"), "storage-denied");
    assert_non_null(text_of(json_array_get(json_object_get(json, "storages"), 0), "since"));
    json_decref(json);
    assert_false(is_ready("uploads", "on storage primary: it says storage-denied"));
    assert_false(is_ready("storage:primary", "it says storage-denied"));
    assert_metric("\nsteno_uploads{state=\"blocked\"} 1\n");
    assert_metric("\nsteno_uploads{state=\"retrying\"} 1\n");
    assert_metric("\nsteno_upload_bytes_total 3000\n");
    assert_metric("\nsteno_upload_failures_total 2\n");
    json_t *storage = storage_as(NULL, "primary");
    assert_int_equal(json_integer_value(json_object_get(json_object_get(storage, "uploads"), "blocked")), 1);
    assert_string_equal(text_of(json_object_get(json_object_get(storage, "blocked"), "error"), "code"),
                        "storage-denied");
    json_decref(storage);
    /* Of another app's nobody learns. */
    storage = storage_as("clinic", "primary");
    assert_int_equal(json_integer_value(json_object_get(json_object_get(storage, "uploads"), "blocked")), 0);
    assert_true(json_is_null(json_object_get(storage, "blocked")));
    json_decref(storage);
    tell_storage(job, 0, 0, "storing", NULL, ", 'bytes': 4000");
    fixture_turn();
    assert_int_equal(count_told("recording.storing_resumed"), 1);
    json = show(id);
    assert_string_equal(text_of(json_object_get(json, "error"), "code"), "storage-unreachable");
    json_decref(json);
    tell_stored(job, "stopped");
    fixture_turn();
    assert_state(id, "completed");
    assert_int_equal(count_told("recording.storing_resumed"), 1);
    assert_metric("\nsteno_upload_blocked_since_seconds 0\n");
    assert_true(is_ready("storage:primary", "can be written"));
}

/* The next stenod finds it blocked, too: that is no news. What is over is. */
static void test_blocked_restart(void **state)
{
    (void)state;
    g_autofree char *id = begin("archive", "1");
    tell_recording(job_of(id));
    job_of(id)->events->state(job_of(id)->user, "storing");
    tell_storage(job_of(id), 0, 0, "blocked", "storage-denied", "");
    tell_storage(job_of(id), 0, 1, "storing", NULL, "");
    fixture_turn();
    fixture_restart();
    assert_storages(id, "primary blocked storage-denied, second pending -");
    assert_false(is_ready("uploads", "storage primary"));
    StenoJob *job = job_of(id);
    tell_storage(job, 0, 0, "waiting", NULL, "");
    tell_storage(job, 0, 0, "storing", NULL, "");
    tell_storage(job, 0, 0, "blocked", "storage-denied", "");
    fixture_turn();
    assert_int_equal(count_told("recording.storing_blocked"), 1);
    assert_int_equal(count_told("recording.storing_resumed"), 0);
    tell_storage(job, 0, 0, "stored", NULL, ", 'uri': 'file:///x'");
    fixture_turn();
    assert_int_equal(count_told("recording.storing_resumed"), 1);
}

/* Hours of trouble and progress write nothing to the journal. */
static void test_no_news(void **state)
{
    (void)state;
    g_autofree char *id = begin("archive", "1");
    StenoJob *job = job_of(id);
    tell_recording(job);
    job->events->state(job->user, "storing");
    tell_storage(job, 0, 0, "retrying", "storage-unreachable", "");
    tell_storage(job, 0, 1, "storing", NULL, "");
    fixture_turn();
    guint before = fixture.journal_writes;
    for (guint i = 0; i < 50; i++) {
        g_autofree char *bytes = g_strdup_printf(", 'bytes': %u", i);
        tell_storage(job, 0, 0, i % 2 ? "retrying" : "blocked", i % 2 ? "storage-unreachable" : "storage-full", "");
        tell_storage(job, 0, 1, "storing", NULL, bytes);
        fixture_turn();
    }
    /* That it is blocked; and the lease, which comes by time. */
    assert_true(fixture.journal_writes - before <= 4);
    assert_int_equal(count_told("recording.storing_blocked"), 1);
}

static void test_retry(void **state)
{
    (void)state;
    g_autofree char *one = begin("archive", "1"), *two = begin("clinic", "2");
    g_autoptr(StenoDaemonReply) all = ask(STENO_COMMAND_STORAGE_RETRY, "{'name': 'primary'}");
    assert_int_equal(json_integer_value(json_object_get(all->body, "retried")), 2);
    g_autoptr(StenoDaemonReply) some = ask(STENO_COMMAND_STORAGE_RETRY, "{'name': 'second'}");
    assert_int_equal(json_integer_value(json_object_get(some->body, "retried")), 1);
    g_autoptr(StenoDaemonReply) theirs =
        ask_as(STENO_COMMAND_STORAGE_RETRY, "clinic", STENO_ROLE_OPERATOR, "{'name': 'primary'}");
    assert_int_equal(json_integer_value(json_object_get(theirs->body, "retried")), 1);
    assert_int_equal(job_of(one)->retries, 2);
    assert_int_equal(job_of(two)->retries, 2);
    assert_refused(ask(STENO_COMMAND_STORAGE_RETRY, "{'name': 'third'}"), STENO_ERROR_NOT_FOUND, "no storage 'third'");
    assert_refused(ask_as(STENO_COMMAND_STORAGE_RETRY, "court", STENO_ROLE_OPERATOR, "{'name': 'primary'}"),
                   STENO_ERROR_NOT_FOUND, "no storage 'primary'");
    g_autofree char *audited = audit_of("storage.retry");
    assert_true(g_str_has_prefix(audited, "key_TEST ok primary\n"));
}

/* An end waits for what is being stored, and not for what nobody can store. */
static void test_finish(void **state)
{
    (void)state;
    g_autofree char *id = begin("archive", "1");
    StenoJob *job = job_of(id);
    tell_recording(job);
    steno_daemon_finish(fixture.daemon);
    job->events->state(job->user, "storing");
    tell_storage(job, 0, 0, "blocked", "storage-denied", "");
    tell_storage(job, 0, 1, "storing", NULL, "");
    assert_false(storing_is_held_up(recording_find(fixture.daemon, id)));
    tell_storage(job, 0, 1, "stored", NULL, ", 'uri': 'file:///x'");
    AWAIT(fixture.finished);
}

/* ---- sections ---------------------------------------------------------------------------------------------------- */

static void tell_section(StenoJob *job, guint section)
{
    json_t *event = json_pack("{s:s, s:i, s:[{s:s, s:s, s:i, s:s, s:i}], s:{}}", "event", "section_stored", "section",
                              (int)section, "outputs", "file", section == 1 ? "alice.001.webm" : "alice.002.webm",
                              "participant", "7", "size_bytes", 5, "sha256", "6a", "section", (int)section, "manifest");
    job->events->event(job->user, event);
    json_decref(event);
}

/* "name section storage" of each file. */
static void assert_files(const char *id, const char *expected)
{
    json_t *json = show(id);
    GString *text = g_string_new(NULL);
    size_t i;
    const json_t *file;
    json_array_foreach (json_object_get(json, "files"), i, file)
        g_string_append_printf(text, "%s%s %d %s", i > 0 ? ", " : "", text_of(file, "name"),
                               (int)json_integer_value(json_object_get(file, "section")), text_of(file, "storage"));
    json_decref(json);
    assert_string_equal(text->str, expected);
    g_string_free(text, TRUE);
}

static void end_with(StenoJob *job, const char *outputs)
{
    g_autofree char *text = g_strdup_printf("{'recording': {'id': '%s', 'zero_us': 1, 'ended_us': 2}, 'outputs': [%s]}",
                                            job->spec->id, outputs);
    json_t *manifest = json_loads(g_strdelimit(text, "'", '"'), 0, NULL);
    const StenoJobResult result = {.manifest = manifest, .uri = "file:///nowhere", .end_reason = "stopped"};
    job->events->done(job->user, &result);
    json_decref(manifest);
    fixture_turn();
}

static void test_sections(void **state)
{
    (void)state;
    g_autofree char *id = begin("bank", "1");
    StenoJob *job = job_of(id);
    tell_recording(job);
    tell_storage(job, 1, 0, "stored", NULL, ", 'uri': 'file:///s'");
    tell_section(job, 1);
    assert_state(id, "recording");
    assert_files(id, "alice.001.webm 1 second");
    assert_storages(id, "second pending -, primary pending -");
    /* The next one went to another storage; both are told again after a crash. */
    tell_storage(job, 2, 1, "stored", NULL, ", 'uri': 'file:///p'");
    tell_section(job, 2);
    fixture_turn();
    fixture_restart();
    job = job_of(id);
    tell_section(job, 1);
    tell_section(job, 2);
    fixture_turn();
    assert_int_equal(count_told("recording.part_stored"), 2);
    assert_files(id, "alice.001.webm 1 second, alice.002.webm 2 primary");
    job->events->state(job->user, "storing");
    tell_storage(job, 0, 0, "stored", NULL, ", 'uri': 'file:///s'");
    tell_storage(job, 0, 1, "skipped", NULL, "");
    end_with(job, "{'file': 'alice.001.webm', 'size_bytes': 5, 'sha256': '6a', 'section': 1}, "
                  "{'file': 'alice.002.webm', 'size_bytes': 6, 'sha256': '6a', 'section': 2}, "
                  "{'file': 'alice.003.webm', 'size_bytes': 7, 'sha256': '6a', 'section': 3}");
    assert_files(id, "alice.001.webm 1 second, alice.002.webm 2 primary, alice.003.webm 3 second");
    assert_int_equal(count_told("recording.part_stored"), 3);
    g_autoptr(StenoJournalRecording) row = steno_journal_recording_get(fixture.daemon->journal, id, NULL);
    assert_int_equal(row->files_bytes, 18);
    assert_string_equal(row->state, "completed");
}

/* The joined files take the place of the sections'. */
static void test_joined(void **state)
{
    (void)state;
    g_autofree char *id = begin("archive", "1");
    StenoJob *job = job_of(id);
    tell_recording(job);
    tell_storage(job, 1, 0, "stored", NULL, ", 'uri': 'file:///p'");
    tell_storage(job, 1, 1, "stored", NULL, ", 'uri': 'file:///s'");
    tell_section(job, 1);
    job->events->state(job->user, "storing");
    assert_files(id, "alice.001.webm 1 primary");
    tell_storage(job, 0, 0, "stored", NULL, ", 'uri': 'file:///p'");
    tell_storage(job, 0, 1, "stored", NULL, ", 'uri': 'file:///s'");
    end_with(job, "{'file': 'alice.webm', 'size_bytes': 12, 'sha256': '6a'}");
    assert_files(id, "alice.webm 0 primary");
    assert_storages(id, "primary stored -, second stored -");
    assert_int_equal(count_told("recording.part_stored"), 2);
}

/* What is in storage stays there, and is told, when the end fails; without its manifest it is not completed. */
static void test_sections_failed(void **state)
{
    (void)state;
    g_autofree char *id = begin("clinic", "1");
    tell_recording(job_of(id));
    tell_section(job_of(id), 1);
    tell_failed(job_of(id), "stopped", STENO_ERROR_CAPTURE_DAMAGED);
    fixture_turn();
    assert_state(id, "failed");
    assert_files(id, "alice.001.webm 1 primary");
}

/* Stored, its capture gone, and then stenod died before it was written down: the job knows, by its place. */
static void test_stored_unwritten(void **state)
{
    (void)state;
    g_autofree char *id = begin("clinic", "1");
    tell_recording(job_of(id));
    fixture_turn();
    fixture.journal_fails = TRUE;
    tell_stored(job_of(id), "stopped");
    steno_daemon_free(g_steal_pointer(&fixture.daemon));
    fixture.journal_fails = FALSE;
    fixture_restart();
    assert_true(job_of(id)->started_wall_us > 0);
    /* It tells nothing but the end. */
    end_with(job_of(id), "{'file': 'alice.webm', 'size_bytes': 12, 'sha256': '6a'}");
    AWAIT(count_told("recording.completed") == 1);
    assert_storages(id, "primary stored -");
    assert_files(id, "alice.webm 0 primary");
}

/* A row of before there were several storages and sections: shown with every member. */
static void test_old_row(void **state)
{
    (void)state;
    static const char *const later[] = {"store", "rotate_s", "rotate_join"};
    g_autofree char *id = begin("archive", "1");
    tell_recording(job_of(id));
    tell_stored(job_of(id), "stopped");
    fixture_turn();
    g_autoptr(StenoJournalRecording) row = steno_journal_recording_get(fixture.daemon->journal, id, NULL);
    json_t *storage = json_array_get(json_object_get(row->detail, "storages"), 0);
    json_t *file = json_array_get(json_object_get(row->detail, "files"), 0);
    for (guint i = 0; i < G_N_ELEMENTS(later); i++)
        assert_int_equal(json_object_del(row->request, later[i]), 0);
    assert_int_equal(json_object_del(file, "section"), 0);
    assert_true(json_object_del(storage, "since") == 0 && json_object_del(storage, "bytes") == 0);
    assert_true(steno_journal_recording_save(fixture.daemon->journal, row, NULL));
    json_t *json = show(id);
    const json_t *request = json_object_get(json, "request");
    assert_string_equal(text_of(request, "store"), "all");
    assert_int_equal(json_integer_value(json_object_get(request, "rotate_s")), 0);
    assert_true(json_is_false(json_object_get(request, "rotate_join")));
    assert_true(json_is_null(json_object_get(json_array_get(json_object_get(json, "files"), 0), "section")));
    storage = json_array_get(json_object_get(json, "storages"), 0);
    assert_true(json_is_null(json_object_get(storage, "since")));
    assert_true(json_integer_value(json_object_get(storage, "bytes")) > 0);
    assert_int_equal(json_object_size(storage), 7);
    json_decref(json);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_destinations),    TEST(test_lost),
        TEST(test_turns),           TEST(test_hours),
        TEST(test_blocked),         TEST(test_blocked_restart),
        TEST(test_no_news),         TEST(test_retry),
        TEST(test_finish),          TEST(test_sections),
        TEST(test_old_row),         TEST(test_joined),
        TEST(test_sections_failed), TEST(test_stored_unwritten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
