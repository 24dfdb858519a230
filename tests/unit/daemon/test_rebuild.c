/* A journal that is new, or half made, learns what the storages have; and what was left behind there goes. */
#include "daemon_fixture.h"
#include "daemon_internal.h"

#include "steno/base/clock.h"
#include "steno/base/error.h"

#include <string.h>

#define ZERO_US (G_GINT64_CONSTANT(1790000000) * G_USEC_PER_SEC)

static StenoStore *store_of(const char *name)
{
    return stores_find(fixture.daemon->stores, name);
}

/* A recording that only storages know; its id. */
static char *plant(const char *store, const char *app, const char *id)
{
    json_t *manifest = NULL;
    char *planted = id ? g_strdup(id) : steno_job_new_id();
    g_free(put_recording(store_of(store), app, "7", planted, ZERO_US, &manifest));
    json_decref(manifest);
    return planted;
}

/* stenod dies; what the next one finds is a journal that was opened once, and nothing else. */
static void lose_journal(void)
{
    g_autoptr(GError) error = NULL;
    steno_daemon_free(g_steal_pointer(&fixture.daemon));
    g_autofree char *command = g_strdup_printf("sh -c 'rm %s/state/journal.sqlite*'", fixture.folder);
    assert_true(g_spawn_command_line_sync(command, NULL, NULL, NULL, NULL));
    g_autofree char *path = g_build_filename(fixture.folder, "state", "journal.sqlite", NULL);
    StenoJournal *journal = steno_journal_open(path, "steno", NULL, &error);
    assert_non_null(journal);
    steno_journal_close(journal);
}

static void await_rebuilt(void)
{
    AWAIT(!fixture.daemon->rebuild);
}

static StenoJournalRecording *row_of(const char *id)
{
    return steno_journal_recording_get(fixture.daemon->journal, id, NULL);
}

/* ---- rebuilding -------------------------------------------------------------------------------------------------- */

static void test_opened(void **state)
{
    (void)state;
    await_rebuilt();
    g_autofree char *id = plant("primary", "clinic", NULL);
    lose_journal();
    fixture_restart();
    await_rebuilt();
    json_t *json = show(id);
    assert_string_equal(json_string_value(json_object_get(json, "state")), "completed");
    assert_string_equal(json_string_value(json_object_get(json, "channel")), "7");
    assert_string_equal(json_string_value(json_object_get(json, "platform")), "janus-1");
    assert_int_equal(json_array_size(json_object_get(json, "files")), 2);
    json_decref(json);
    g_autofree char *arguments = g_strdup_printf("{'id': '%s', 'name': 'alice.webm'}", id);
    g_autoptr(StenoDaemonReply) reply = ask(STENO_COMMAND_FILE_OPEN, arguments);
    assert_null(reply->error);
    g_autofree char *audited = audit_of("journal.rebuild");
    assert_string_equal(audited, "stenod ok -\n");
    /* Once and for all. */
    fixture.lists = 0;
    fixture_restart();
    assert_null(fixture.daemon->rebuild);
    assert_int_equal(fixture.lists, 0);
}

/* More than one transaction's worth, in two storages, and an app that nobody knows. */
static void test_many(void **state)
{
    (void)state;
    g_autoptr(GPtrArray) ids = g_ptr_array_new_with_free_func(g_free);
    await_rebuilt();
    for (guint i = 0; i < 104; i++)
        g_ptr_array_add(ids, plant(i % 2 ? "primary" : "second", "archive", NULL));
    g_autofree char *twice = plant("primary", "archive", NULL), *strange = plant("primary", "gone", NULL);
    g_free(plant("second", "archive", twice));
    lose_journal();
    fixture_restart();
    await_rebuilt();
    for (guint i = 0; i < ids->len; i++) {
        g_autoptr(StenoJournalRecording) row = row_of(ids->pdata[i]);
        assert_non_null(row);
    }
    g_autoptr(StenoJournalRecording) both = row_of(twice), none = row_of(strange);
    assert_int_equal(json_array_size(json_object_get(both->detail, "storages")), 2);
    assert_null(none);
}

/* Killed in the middle: what is there stays, the rest comes. */
static void test_interrupted(void **state)
{
    (void)state;
    await_rebuilt();
    g_autofree char *one = plant("primary", "clinic", NULL), *two = plant("second", "clinic", NULL);
    lose_journal();
    /* The first storage does not answer, and stenod dies before it would be asked again. */
    fixture.lists_fail = 1;
    fixture_restart();
    for (;;) {
        g_autoptr(StenoJournalRecording) first = row_of(one), second = row_of(two);
        if (first || second)
            break;
        g_main_context_iteration(NULL, TRUE);
    }
    /* The other one comes to its end. */
    for (guint i = 0; i < 10; i++)
        fixture_turn();
    assert_non_null(fixture.daemon->rebuild);
    fixture_restart();
    assert_non_null(fixture.daemon->rebuild);
    await_rebuilt();
    g_autoptr(StenoJournalRecording) first = row_of(one), second = row_of(two);
    assert_true(first && second);
}

/* The journal can't be written for a while: nothing is marked, and nothing is lost. */
static void test_unwritten(void **state)
{
    (void)state;
    await_rebuilt();
    g_autofree char *id = plant("primary", "clinic", NULL);
    lose_journal();
    fixture_restart();
    fixture.journal_fails = TRUE;
    guint before = fixture.journal_writes;
    AWAIT(fixture.journal_writes > before);
    fixture_turn();
    g_autoptr(StenoJournalRecording) none = row_of(id);
    assert_null(none);
    fixture.journal_fails = FALSE;
    fixture_restart();
    await_rebuilt();
    g_autoptr(StenoJournalRecording) row = row_of(id);
    assert_non_null(row);
}

/* What is known, and what runs, is left as it is; a second storage is added to what is over. */
static void test_known(void **state)
{
    (void)state;
    await_rebuilt();
    g_autofree char *live = begin("clinic", "1"), *over = begin("clinic", "2");
    tell_recording(job_of(live));
    tell_stored(job_of(over), "max-duration");
    fixture_turn();
    g_free(plant("second", "clinic", live));
    g_free(plant("second", "clinic", over));
    /* As if the mark had never been set. */
    steno_daemon_free(g_steal_pointer(&fixture.daemon));
    g_autofree char *forget = g_strdup_printf("sqlite3 %s/state/journal.sqlite 'DELETE FROM mark'", fixture.folder);
    int status = -1;
    assert_true(g_spawn_command_line_sync(forget, NULL, NULL, &status, NULL));
    assert_int_equal(status, 0);
    fixture_restart();
    await_rebuilt();
    assert_state(live, "recording");
    g_autoptr(StenoJournalRecording) row = row_of(over);
    assert_string_equal(row->end_reason, "max-duration");
    const json_t *storages = json_object_get(row->detail, "storages");
    assert_int_equal(json_array_size(storages), 2);
    assert_string_equal(json_string_value(json_object_get(json_array_get(storages, 1), "name")), "second");
    assert_string_equal(json_string_value(json_object_get(json_array_get(storages, 1), "state")), "stored");
}

/* ---- keys -------------------------------------------------------------------------------------------------------- */

static void test_prefixes(void **state)
{
    (void)state;
    g_auto(GStrv) prefixes = stores_prefixes(fixture.config, store_of("primary"));
    g_autofree char *joined = g_strjoinv(" ", prefixes);
    assert_string_equal(joined, "clinic/ court/ archive/ bank/ ward/");
    StenoConfigStorage *settings = (StenoConfigStorage *)steno_config_storage(fixture.config, "second");
    settings->key = g_strdup("audio/{date}/{app}/{recording}/{file}");
    fixture_restart();
    g_auto(GStrv) common = stores_prefixes(fixture.config, store_of("second"));
    assert_int_equal(g_strv_length(common), 1);
    assert_string_equal(common[0], "audio/");
}

static void test_id_of_key(void **state)
{
    (void)state;
    static const struct {
        const char *key, *id;
    } cases[] = {
        {"a/b/20261122T080000Z_01J00000000000000000000000/x.webm", "01J00000000000000000000000"},
        {"01J00000000000000000000000/x", "01J00000000000000000000000"},
        {"a/01J00000000000000000000001/01J00000000000000000000000/x", "01J00000000000000000000000"},
        {"a/b/x.webm", NULL},
        {"a/01J000000000000000000000000/x", NULL},
        {"a/01j00000000000000000000000/x", NULL},
        {"", NULL},
    };
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *id = recover_id_of_key(cases[i].key);
        assert_int_equal(g_strcmp0(id, cases[i].id), 0);
    }
}

/* ---- orphans ----------------------------------------------------------------------------------------------------- */

static char *key_of(const char *id, const char *file)
{
    g_autoptr(StenoJournalRecording) row = row_of(id);
    const StenoStorePlace place = {row->app, row->channel, row->started_us, row->id};
    g_autofree char *folder = steno_store_folder(store_of("primary"), &place);
    return g_strconcat(folder, "/", file, NULL);
}

/* Only in the folder of a recording that is ours and over. */
static void test_orphans(void **state)
{
    (void)state;
    g_autofree char *live = begin("clinic", "1"), *over = begin("clinic", "2"), *others = steno_job_new_id();
    tell_recording(job_of(live));
    tell_recording(job_of(over));
    tell_failed(job_of(over), "stopped", STENO_ERROR_CAPTURE_DAMAGED);
    fixture_turn();
    g_autofree char *orphan = key_of(over, "alice.webm"), *writing = key_of(live, "alice.webm");
    g_autofree char *foreign = g_strdup_printf("clinic/2/20261122T080000Z_%s/alice.webm", others);
    g_autofree char *elsewhere = g_strdup_printf("clinic/backup/%s/alice.webm", over);
    const char *const keys[] = {writing, foreign, orphan, elsewhere, "clinic/notes.txt", NULL};
    fixture.unfinished = keys;
    for (guint i = 0; i < 200 && fixture.aborted->len == 0; i++) {
        orphans_tick(fixture.daemon->orphans);
        fixture_turn();
    }
    AWAIT(fixture.aborted->len > 0);
    assert_int_equal(fixture.aborted->len, 1);
    assert_string_equal(fixture.aborted->pdata[0], orphan);
    g_autofree char *audited = NULL;
    while (!audited || !audited[0]) {
        g_free(audited);
        fixture_turn();
        audited = audit_of("storage.orphans");
    }
    assert_string_equal(audited, "stenod ok primary\n");
    fixture.unfinished = NULL;
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_opened), TEST(test_many),     TEST(test_interrupted), TEST(test_unwritten),
        TEST(test_known),  TEST(test_prefixes), TEST(test_id_of_key),   TEST(test_orphans),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
