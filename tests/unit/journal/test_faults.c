/*
 * Whatever fails and whenever: a call that returned TRUE is in the journal, one that failed is not, and the journal
 * goes on. The Nth write, sync, open or read fails, N = 1, 2, … until none does; and the process is killed.
 */
#include "journal_fixture.h"

#include "fault_vfs.h"
#include "journal_internal.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* What the calls that returned TRUE have told the journal. */
typedef struct {
    GHashTable *states; /* state by id, of those that are there */
    gint64 seq;         /* of the last event */
    gint64 cursor;      /* of the delivery of r0 */
    guint keys;
    guint failures;
} Model;

static void model_init(Model *model)
{
    memset(model, 0, sizeof *model);
    model->states = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
}

/* Counts a failure, which must be one of the journal. */
static gboolean told(Model *model, gboolean ok, GError *error)
{
    assert_true(ok == !error);
    if (!ok && !g_error_matches(error, STENO_ERROR, STENO_ERROR_JOURNAL) &&
        !g_error_matches(error, STENO_ERROR, STENO_ERROR_NOT_FOUND))
        fail_msg("%s", error->message);
    model->failures += !ok;
    g_clear_error(&error);
    return ok;
}

#define TOLD(call)                                                                                                     \
    ({                                                                                                                 \
        GError *error = NULL;                                                                                          \
        gboolean done = (call);                                                                                        \
        told(model, done, error);                                                                                      \
    })

static void set_state(Model *model, const char *id, const char *state)
{
    g_hash_table_insert(model->states, g_strdup(id), g_strdup(state));
}

/* ---- what is done ------------------------------------------------------------------------------------------------ */

static void add_one(StenoJournal *journal, Model *model, const char *id)
{
    g_autoptr(StenoJournalRecording) row = row_new(id);
    row->labels = json_pack("{s:s}", "case", id);
    if (!TOLD(steno_journal_recording_add(journal, row, &error)))
        return;
    set_state(model, id, "queued");
    row_set(&row->state, "recording");
    if (TOLD(steno_journal_recording_save(journal, row, &error)))
        set_state(model, id, "recording");
    else
        row_set(&row->state, "queued");
    row->event_seq = 3;
    (void)TOLD(steno_journal_recording_save(journal, row, &error));
    StenoJournalEvent *event = NULL;
    if (TOLD(steno_journal_event_add(journal, id, "clinic", "t", row->request, &event, &error)))
        model->seq = event->seq;
    else
        assert_null(event);
    steno_journal_event_free(event);
}

/* Two recordings and an event: all or nothing. */
static void add_group(StenoJournal *journal, Model *model)
{
    g_autoptr(StenoJournalRecording) a = row_new("g1"), b = row_new("g2");
    StenoJournalEvent *event = NULL;
    if (!TOLD(steno_journal_begin(journal, &error)))
        return;
    gboolean all = TOLD(steno_journal_recording_add(journal, a, &error));
    all &= TOLD(steno_journal_recording_add(journal, b, &error));
    if (all)
        all &= TOLD(steno_journal_event_add(journal, "g1", "clinic", "t", NULL, &event, &error));
    gint64 seq = event ? event->seq : 0;
    steno_journal_event_free(event);
    gboolean committed = TOLD(steno_journal_commit(journal, &error));
    if (committed && !all)
        fail_msg("%s", "a group with a failed write was committed");
    if (!committed)
        return;
    set_state(model, "g1", "queued");
    set_state(model, "g2", "queued");
    model->seq = seq;
}

static void add_others(StenoJournal *journal, Model *model)
{
    StenoJournalKey key = {.id = (char *)"key_1", .role = (char *)"admin"};
    StenoJournalFilter filter = {0};
    char *found = NULL;
    if (TOLD(steno_journal_delivery_add(journal, "r0", "hook", &error))) {
        StenoJournalDelivery delivery = {.recording_id = (char *)"r0", .endpoint = (char *)"hook", .cursor = 1};
        if (TOLD(steno_journal_delivery_save(journal, &delivery, &error)))
            model->cursor = 1;
    }
    if (TOLD(steno_journal_key_add(journal, &key, &error)))
        model->keys = 1;
    (void)TOLD(steno_journal_idempotency_put(journal, "clinic", "k", "d", "r0", &error));
    (void)TOLD(steno_journal_idempotency_find(journal, "clinic", "k", "d", &found, &error));
    g_free(found);
    (void)TOLD(steno_journal_renew(journal, 15, &error));
    (void)TOLD(steno_journal_endpoint_set_disabled(journal, "x", TRUE, "410", &error));
    (void)TOLD(steno_journal_events_prune(journal, 1, &error));
    GPtrArray *rows = NULL;
    (void)TOLD((rows = steno_journal_recordings_list(journal, &filter, 10, NULL, NULL, &error)) != NULL);
    g_clear_pointer(&rows, g_ptr_array_unref);
    (void)TOLD((rows = steno_journal_deliveries_waiting(journal, 10, &error)) != NULL);
    g_clear_pointer(&rows, g_ptr_array_unref);
    (void)TOLD((rows = steno_journal_events(journal, 0, NULL, NULL, 10, &error)) != NULL);
    g_clear_pointer(&rows, g_ptr_array_unref);
    if (TOLD(steno_journal_recording_forget(journal, "r1", &error)))
        g_hash_table_remove(model->states, "r1");
}

static void do_all(StenoJournal *journal, Model *model)
{
    add_one(journal, model, "r0");
    add_one(journal, model, "r1");
    add_group(journal, model);
    add_others(journal, model);
    /* Pages must be read anew now and then, and the log be emptied, so that this is tried as well. */
    (void)sqlite3_db_release_memory(journal->db);
    (void)sqlite3_wal_checkpoint_v2(journal->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    (void)sqlite3_db_release_memory(journal->db);
    add_one(journal, model, "r2");
}

/* ---- what must be there ------------------------------------------------------------------------------------------ */

static void check_model(StenoJournal *journal, const Model *model)
{
    StenoJournalFilter filter = {0};
    g_autoptr(GPtrArray) rows = NULL, keys = NULL;
    assert_ok((rows = steno_journal_recordings_list(journal, &filter, 1000, NULL, NULL, error)));
    for (guint i = 0; i < rows->len; i++) {
        const StenoJournalRecording *row = rows->pdata[i];
        const char *state = g_hash_table_lookup(model->states, row->id);
        if (g_strcmp0(state, row->state) != 0)
            fail_msg("%s is %s, but was told to be %s", row->id, row->state, state ? state : "not there");
    }
    assert_int_equal(rows->len, g_hash_table_size(model->states));
    assert_int_equal(steno_journal_events_last(journal, NULL), model->seq);
    assert_ok((keys = steno_journal_keys(journal, error)));
    assert_int_equal(keys->len, model->keys);
    sqlite3_stmt *check = NULL;
    assert_int_equal(sqlite3_prepare_v2(journal->db, "PRAGMA integrity_check", -1, &check, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(check), SQLITE_ROW);
    assert_string_equal(sqlite3_column_text(check, 0), "ok");
    sqlite3_finalize(check);
}

/* A copy of the files as they are now: what a power cut or kill would leave. */
static void copy_files(const Fixture *fixture, const Fixture *to)
{
    static const char *const suffixes[] = {"", "-wal"};
    for (gsize i = 0; i < G_N_ELEMENTS(suffixes); i++) {
        g_autofree char *from = g_strconcat(fixture->path, suffixes[i], NULL);
        g_autofree char *copy = g_strconcat(to->path, suffixes[i], NULL);
        g_autofree char *data = NULL;
        gsize bytes;
        (void)g_unlink(copy);
        if (g_file_get_contents(from, &data, &bytes, NULL))
            assert_true(g_file_set_contents(copy, data, (gssize)bytes, NULL));
    }
}

static void remove_files(const Fixture *fixture)
{
    static const char *const suffixes[] = {"", "-wal", "-shm", "-journal"};
    for (gsize i = 0; i < G_N_ELEMENTS(suffixes); i++) {
        g_autofree char *path = g_strconcat(fixture->path, suffixes[i], NULL);
        (void)g_unlink(path);
    }
}

/* One round: FALSE when nothing failed. */
static gboolean round_of(Fixture *fixture, Fixture *killed, FaultKind kind, int nth, gboolean for_good)
{
    g_autoptr(GError) error = NULL;
    Model model;
    int failed;
    remove_files(fixture);
    model_init(&model);
    fault_vfs_arm(kind, nth, for_good);
    fixture->journal = steno_journal_open(fixture->path, "ward-7", NULL, &error);
    if (!fixture->journal) {
        assert_true(g_error_matches(error, STENO_ERROR, STENO_ERROR_JOURNAL));
        fault_vfs_arm(kind, 0, FALSE);
        /* What a failed opening leaves is taken for what it is: the beginning of a journal, and no damage. */
        fixture_open(fixture);
    }
    do_all(fixture->journal, &model);
    (void)fault_vfs_calls(&failed);
    fault_vfs_arm(kind, 0, FALSE);
    gboolean any = failed || error;

    /* The same connection goes on. */
    add_one(fixture->journal, &model, "after");
    check_model(fixture->journal, &model);
    copy_files(fixture, killed);
    assert_int_equal(fixture_open(killed), STENO_JOURNAL_OPENED);
    check_model(killed->journal, &model);
    fixture_close(killed);
    fixture_close(fixture);
    assert_int_equal(fixture_open(fixture), STENO_JOURNAL_OPENED);
    check_model(fixture->journal, &model);
    fixture_close(fixture);
    assert_int_equal(fixture_count_files(fixture, ".damaged"), 0);
    g_hash_table_unref(model.states);
    return any;
}

static void run_rounds(Fixture *fixture, FaultKind kind, gboolean for_good, int at_least)
{
    g_autofree char *path = g_build_filename(fixture->folder, "killed", NULL);
    Fixture killed = {.folder = fixture->folder, .path = path};
    int nth = 1;
    /* A disk that stays full is like one that was, most of the time: there each third will do. */
    while (round_of(fixture, &killed, kind, nth, for_good))
        nth += for_good ? 3 : 1;
    print_message("up to call %d\n", nth);
    assert_true(nth > at_least);
}

static void test_full_once(void **state)
{
    run_rounds(*state, FAULT_FULL, FALSE, 100);
}

static void test_full_for_good(void **state)
{
    run_rounds(*state, FAULT_FULL, TRUE, 100);
}

static void test_write_once(void **state)
{
    run_rounds(*state, FAULT_WRITE, FALSE, 100);
}

static void test_write_for_good(void **state)
{
    run_rounds(*state, FAULT_WRITE, TRUE, 100);
}

static void test_sync_once(void **state)
{
    run_rounds(*state, FAULT_SYNC, FALSE, 15);
}

static void test_sync_for_good(void **state)
{
    run_rounds(*state, FAULT_SYNC, TRUE, 15);
}

static void test_read_once(void **state)
{
    run_rounds(*state, FAULT_READ, FALSE, 15);
}

static void test_read_for_good(void **state)
{
    run_rounds(*state, FAULT_READ, TRUE, 15);
}

/* ---- the process is killed --------------------------------------------------------------------------------------- */

/* Adds recordings until it is killed, and tells each that it was told to be there. */
static void write_until_killed(const char *path, int ready_fd, guint first)
{
    StenoJournal *journal = steno_journal_open(path, "ward-7", NULL, NULL);
    for (guint i = first; journal; i++) {
        g_autofree char *id = g_strdup_printf("r%u", i);
        g_autoptr(StenoJournalRecording) row = row_new(id);
        if (!steno_journal_begin(journal, NULL) || !steno_journal_recording_add(journal, row, NULL) ||
            !steno_journal_event_add(journal, id, "clinic", "t", NULL, NULL, NULL) ||
            !steno_journal_commit(journal, NULL) || write(ready_fd, "+", 1) != 1)
            break;
    }
    _exit(1);
}

static void test_kill(void **state)
{
    Fixture *fixture = *state;
    GRand *random = g_rand_new_with_seed(17);
    guint acknowledged = 0;
    for (int round = 0; round < 40; round++) {
        int fds[2];
        char acks[256];
        assert_int_equal(pipe(fds), 0);
        pid_t child = fork();
        if (child == 0)
            write_until_killed(fixture->path, fds[1], acknowledged);
        close(fds[1]);
        int wait_for = g_rand_int_range(random, 1, 60);
        for (int i = 0; i < wait_for; i++, acknowledged++)
            assert_int_equal(read(fds[0], acks, 1), 1);
        kill(child, SIGKILL);
        ssize_t n;
        while ((n = read(fds[0], acks, sizeof acks)) > 0)
            acknowledged += (guint)n;
        close(fds[0]);
        assert_int_equal(waitpid(child, NULL, 0), child);

        assert_int_equal(fixture_open(fixture), STENO_JOURNAL_OPENED);
        g_autofree char *count = fixture_sql_text(fixture, "SELECT count(*) FROM recording");
        g_autofree char *events = fixture_sql_text(fixture, "SELECT count(*) FROM event");
        g_autofree char *check = fixture_sql_text(fixture, "PRAGMA integrity_check");
        guint there = (guint)g_ascii_strtoull(count, NULL, 10);
        /* One more may be in it that the kill kept from being told; never half of it. */
        assert_in_range(there, acknowledged, acknowledged + 1);
        assert_string_equal(count, events);
        assert_string_equal(check, "ok");
        acknowledged = there;
        fixture_close(fixture);
    }
    g_rand_free(random);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup_closed, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_full_once),      TEST(test_full_for_good), TEST(test_write_once),
        TEST(test_write_for_good), TEST(test_sync_once),     TEST(test_sync_for_good),
        TEST(test_read_once),      TEST(test_read_for_good), TEST(test_kill),
    };
    fault_vfs_install();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
