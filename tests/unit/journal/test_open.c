/* Opening: what is sound is opened, what is old is migrated, what is damaged is set aside, what is in use is refused.
 */
#include "journal_fixture.h"

#include "journal_internal.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void add_rows(StenoJournal *journal, guint count)
{
    assert_ok(steno_journal_begin(journal, error));
    for (guint i = 0; i < count; i++) {
        g_autofree char *id = g_strdup_printf("r%u", i);
        g_autoptr(StenoJournalRecording) row = row_new(id);
        row->labels = json_pack("{s:s}", "case", id);
        row->detail = json_pack("{s:s}", "text", "some text, so that there are a few pages of it");
        assert_ok(steno_journal_recording_add(journal, row, error));
        assert_ok(steno_journal_event_add(journal, id, "clinic", "recording.started", row->detail, NULL, error));
    }
    assert_ok(steno_journal_commit(journal, error));
}

static guint count_rows(StenoJournal *journal)
{
    StenoJournalFilter filter = {0};
    g_autoptr(GPtrArray) rows = NULL;
    assert_ok((rows = steno_journal_recordings_list(journal, &filter, 1000, NULL, NULL, error)));
    return rows->len;
}

static mode_t mode_of(const Fixture *fixture, const char *suffix)
{
    g_autofree char *path = g_strconcat(fixture->path, suffix, NULL);
    struct stat status;
    assert_int_equal(stat(path, &status), 0);
    return status.st_mode & 07777;
}

/* ---- sound ------------------------------------------------------------------------------------------------------- */

static void test_made_and_opened(void **state)
{
    Fixture *fixture = *state;
    mode_t before = umask(0);
    assert_int_equal(fixture_open(fixture), STENO_JOURNAL_MADE);
    add_rows(fixture->journal, 3);
    umask(before);
    assert_int_equal(mode_of(fixture, ""), 0600);
    assert_int_equal(mode_of(fixture, "-wal"), 0600);
    assert_int_equal(mode_of(fixture, "-shm"), 0600);
    assert_int_equal(mode_of(fixture, ".lock"), 0600);
    g_autofree char *mode = fixture_sql_text(fixture, "PRAGMA journal_mode");
    assert_string_equal(mode, "wal");
    int synchronous = 0, foreign_keys = 0;
    assert_int_equal(journal_pragma_int(fixture->journal->db, "PRAGMA synchronous", &synchronous), SQLITE_OK);
    assert_int_equal(journal_pragma_int(fixture->journal->db, "PRAGMA foreign_keys", &foreign_keys), SQLITE_OK);
    assert_int_equal(synchronous, 2);
    assert_int_equal(foreign_keys, 1);
    fixture_close(fixture);
    assert_int_equal(fixture_count_files(fixture, ""), 2); /* the lock stays, nothing else */
    assert_int_equal(g_chmod(fixture->path, 0644), 0);
    assert_int_equal(fixture_open(fixture), STENO_JOURNAL_OPENED);
    assert_int_equal(mode_of(fixture, ""), 0600);
    assert_int_equal(count_rows(fixture->journal), 3);
    /* Emptied as by a crash in the making of it. */
    fixture_close(fixture);
    assert_int_equal(truncate(fixture->path, 0), 0);
    assert_int_equal(fixture_open(fixture), STENO_JOURNAL_MADE);
    assert_int_equal(count_rows(fixture->journal), 0);
}

static void test_impossible_places(void **state)
{
    Fixture *fixture = *state;
    g_autofree char *missing = g_build_filename(fixture->folder, "none", "journal.sqlite", NULL);
    g_autofree char *target = g_build_filename(fixture->folder, "link", NULL);
    assert_refused(steno_journal_open(missing, "o", NULL, error), STENO_ERROR_JOURNAL);
    assert_int_equal(g_mkdir(fixture->path, 0700), 0);
    assert_refused(steno_journal_open(fixture->path, "o", NULL, error), STENO_ERROR_JOURNAL);
    assert_int_equal(g_rmdir(fixture->path), 0);
    assert_int_equal(symlink("elsewhere", target), 0);
    assert_refused(steno_journal_open(target, "o", NULL, error), STENO_ERROR_JOURNAL);
    /* Nothing is held by a failure. */
    assert_int_equal(fixture_open(fixture), STENO_JOURNAL_MADE);
}

/* ---- the lock ---------------------------------------------------------------------------------------------------- */

static void test_second_process_is_refused(void **state)
{
    Fixture *fixture = *state;
    g_autoptr(GError) error = NULL;
    fixture_open(fixture);
    assert_null(steno_journal_open(fixture->path, "other", NULL, &error));
    assert_true(g_error_matches(error, STENO_ERROR, STENO_ERROR_JOURNAL));
    g_autofree char *who = g_strdup_printf("pid %d, owner ward-7", (int)getpid());
    assert_non_null(strstr(error->message, who));
    add_rows(fixture->journal, 1);
    fixture_close(fixture);
    fixture_open(fixture);
    assert_int_equal(count_rows(fixture->journal), 1);
}

/* A recorder that stenod starts must not hold stenod's journal when stenod is gone. */
static void test_lock_is_let_go_at_exec(void **state)
{
    Fixture *fixture = *state;
    int ready[2];
    fixture_open(fixture);
    assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
    pid_t child = fork();
    if (child == 0) {
        execlp("sleep", "sleep", "600", (char *)NULL);
        _exit(1);
    }
    close(ready[1]);
    char none;
    assert_int_equal(read(ready[0], &none, 1), 0); /* the child's end is closed by its exec */
    close(ready[0]);
    fixture_close(fixture);
    assert_int_equal(fixture_open(fixture), STENO_JOURNAL_OPENED);
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, NULL, 0), child);
}

/* ---- versions ---------------------------------------------------------------------------------------------------- */

static void test_later_version_is_refused(void **state)
{
    Fixture *fixture = *state;
    g_autoptr(GError) error = NULL;
    fixture_open(fixture);
    add_rows(fixture->journal, 1);
    fixture_close(fixture);
    /* A later version may have what this one's SQLite cannot even read. */
    fixture_sql(fixture, "PRAGMA user_version = 17; CREATE TABLE later (x); PRAGMA writable_schema = 1; "
                         "UPDATE sqlite_master SET sql = 'CREATE LATER' WHERE name = 'later'");
    assert_null(steno_journal_open(fixture->path, "o", NULL, &error));
    assert_true(g_error_matches(error, STENO_ERROR, STENO_ERROR_JOURNAL));
    assert_non_null(strstr(error->message, "version 17"));
    assert_int_equal(fixture_count_files(fixture, ".damaged"), 0);
}

/* What a copy is marked by is there from the first row on. */
static const char *const toy_rows[] = {
    "CREATE TABLE event (seq INTEGER PRIMARY KEY AUTOINCREMENT); CREATE TABLE mark (name TEXT); CREATE TABLE toy (a)",
    "ALTER TABLE toy ADD COLUMN b TEXT; UPDATE toy SET b = a || '!'",
    "CREATE TABLE more (c TEXT); INSERT INTO more SELECT b FROM toy",
    "CREATE TABLE last (d TEXT); INSERT INTO last VALUES ('half'); INSERT INTO nowhere VALUES (1)",
};

static sqlite3 *connect_to(const Fixture *fixture)
{
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(fixture->path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "PRAGMA journal_mode = WAL", NULL, NULL, NULL), SQLITE_OK);
    return db;
}

static void test_migrations(void **state)
{
    Fixture *fixture = *state;
    const Schema first = {toy_rows, 1}, third = {toy_rows, 3}, broken = {toy_rows, 4};
    gboolean migrated = TRUE;
    g_autoptr(GError) failure = NULL;
    sqlite3 *db = connect_to(fixture);
    assert_int_equal(journal_migrate(db, fixture->path, &first, &migrated, &failure), SQLITE_OK);
    assert_false(migrated);
    assert_int_equal(fixture_count_files(fixture, ".v"), 0);
    assert_int_equal(sqlite3_exec(db, "INSERT INTO toy VALUES ('x')", NULL, NULL, NULL), SQLITE_OK);

    /* The connection stays open, so that what is to be copied is still in the write-ahead log. */
    assert_int_equal(journal_migrate(db, fixture->path, &third, &migrated, &failure), SQLITE_OK);
    assert_true(migrated);
    g_autofree char *moved = fixture_sql_text(fixture, "SELECT c FROM more");
    g_autofree char *version = fixture_sql_text(fixture, "PRAGMA user_version");
    assert_string_equal(moved, "x!");
    assert_string_equal(version, "3");
    g_autofree char *copy_path = g_strconcat(fixture->path, ".v1", NULL);
    Fixture copy = {.folder = fixture->folder, .path = copy_path};
    g_autofree char *copied = fixture_sql_text(&copy, "SELECT a FROM toy");
    g_autofree char *copied_version = fixture_sql_text(&copy, "PRAGMA user_version");
    assert_string_equal(copied, "x");
    assert_string_equal(copied_version, "1");
    assert_int_equal(mode_of(fixture, ".v1"), 0600);
    char *damage = NULL;
    assert_int_equal(journal_schema_check(db, &third, 3, &damage), SQLITE_OK);
    assert_null(damage);
    assert_int_equal(journal_migrate(db, fixture->path, &third, &migrated, &failure), SQLITE_OK);
    assert_false(migrated);

    /* A row that fails leaves nothing of itself. */
    assert_int_not_equal(journal_migrate(db, fixture->path, &broken, &migrated, &failure), SQLITE_OK);
    assert_true(g_error_matches(failure, STENO_ERROR, STENO_ERROR_JOURNAL));
    g_autofree char *kept = fixture_sql_text(fixture, "PRAGMA user_version");
    g_autofree char *nothing = fixture_sql_text(fixture, "SELECT name FROM sqlite_master WHERE name = 'last'");
    assert_string_equal(kept, "3");
    assert_null(nothing);
    sqlite3_close(db);
}

/* A journal of the first release: all that it holds is there afterwards, and in the copy beside it. */
static void test_version_1_is_migrated(void **state)
{
    Fixture *fixture = *state;
    const Schema first = {journal_schema.migrations, 1};
    gboolean migrated, marked = TRUE;
    fixture_open(fixture);
    add_rows(fixture->journal, 50);
    fixture_close(fixture);
    fixture_sql(fixture, "DROP TABLE mark; PRAGMA user_version = 1");
    sqlite3 *db = connect_to(fixture);
    char *damage = NULL;
    assert_int_equal(journal_schema_check(db, &first, 1, &damage), SQLITE_OK);
    assert_null(damage);
    assert_int_equal(journal_migrate(db, fixture->path, &first, &migrated, NULL), SQLITE_OK);
    assert_false(migrated);
    sqlite3_close(db);

    assert_int_equal(fixture_open(fixture), STENO_JOURNAL_MIGRATED);
    assert_int_equal(count_rows(fixture->journal), 50);
    g_autoptr(GPtrArray) events = NULL;
    assert_ok((events = steno_journal_events(fixture->journal, 0, NULL, NULL, 1000, error)));
    assert_int_equal(events->len, 50);
    assert_ok(steno_journal_marked(fixture->journal, "rebuilt", &marked, error));
    assert_false(marked);
    assert_ok(steno_journal_mark(fixture->journal, "rebuilt", error));
    fixture_close(fixture);
    g_autofree char *copy_path = g_strconcat(fixture->path, ".v1", NULL);
    Fixture copy = {.folder = fixture->folder, .path = copy_path};
    g_autofree char *copied = fixture_sql_text(&copy, "SELECT count(*) FROM recording");
    g_autofree char *version = fixture_sql_text(&copy, "PRAGMA user_version");
    assert_string_equal(copied, "50");
    assert_string_equal(version, "1");

    assert_int_equal(fixture_open(fixture), STENO_JOURNAL_OPENED);
    assert_ok(steno_journal_marked(fixture->journal, "rebuilt", &marked, error));
    assert_true(marked);
}

/* ---- damage ------------------------------------------------------------------------------------------------------ */

static void make_journal(Fixture *fixture, guint rows)
{
    fixture_open(fixture);
    add_rows(fixture->journal, rows);
    fixture_close(fixture);
}

static void overwrite(const Fixture *fixture, const char *suffix, goffset at, const void *data, gsize bytes)
{
    g_autofree char *path = g_strconcat(fixture->path, suffix, NULL);
    int fd = open(path, O_WRONLY);
    assert_int_equal(pwrite(fd, data, bytes, at), bytes);
    close(fd);
}

static void test_damaged_is_set_aside(void **state)
{
    Fixture *fixture = *state;
    make_journal(fixture, 50);
    g_autofree char *before = NULL, *kept = NULL;
    gsize bytes, kept_bytes;
    overwrite(fixture, "", 0, "garbage", 7);
    assert_true(g_file_get_contents(fixture->path, &before, &bytes, NULL));
    assert_int_equal(fixture_open(fixture), STENO_JOURNAL_SET_ASIDE);
    assert_int_equal(count_rows(fixture->journal), 0);
    assert_int_equal(mode_of(fixture, ""), 0600);

    g_autoptr(GDir) dir = g_dir_open(fixture->folder, 0, NULL);
    const char *name;
    while ((name = g_dir_read_name(dir)) && !strstr(name, ".damaged-"))
        continue;
    assert_non_null(name);
    assert_int_equal(strlen(strstr(name, ".damaged-")), strlen(".damaged-20261121T195540Z"));
    g_autofree char *aside = g_build_filename(fixture->folder, name, NULL);
    g_autofree char *words = g_strdup_printf("it is no SQLite database; it is kept as %s", aside);
    assert_string_equal(steno_journal_damage(fixture->journal), words);
    assert_true(g_file_get_contents(aside, &kept, &kept_bytes, NULL));
    assert_int_equal(kept_bytes, bytes);
    assert_memory_equal(kept, before, bytes);

    /* Numbers of events go on above the old ones'. */
    add_rows(fixture->journal, 1);
    assert_true(steno_journal_events_last(fixture->journal, NULL) > 1000000);
    /* And again within the same second. */
    fixture_close(fixture);
    overwrite(fixture, "", 0, "garbage", 7);
    assert_int_equal(fixture_open(fixture), STENO_JOURNAL_SET_ASIDE);
    assert_int_equal(fixture_count_files(fixture, ".damaged"), 2);
}

/* The log beside a damaged journal may hold what was last acknowledged: it is kept as it was found. */
static void test_log_of_a_damaged_journal_is_kept(void **state)
{
    Fixture *fixture = *state;
    g_autofree char *wal = g_strconcat(fixture->path, "-wal", NULL), *before = NULL, *after = NULL;
    gsize bytes, bytes_after;
    guint8 garbage[4096];
    make_journal(fixture, 100);
    fixture_open(fixture);
    g_autoptr(StenoJournalRecording) row = row_new("last");
    assert_ok(steno_journal_recording_add(fixture->journal, row, error));
    (void)sqlite3_db_config(fixture->journal->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, (int *)NULL);
    fixture_close(fixture);
    memset(garbage, 0x77, sizeof garbage);
    for (goffset page = 4096; page < 100 * 4096; page += 4096)
        overwrite(fixture, "", page, garbage, sizeof garbage);
    assert_true(g_file_get_contents(wal, &before, &bytes, NULL) && bytes > 4096);
    assert_int_equal(fixture_open(fixture), STENO_JOURNAL_SET_ASIDE);
    g_autofree char *kept =
        g_strconcat(strstr(steno_journal_damage(fixture->journal), "kept as ") + strlen("kept as "), "-wal", NULL);
    assert_true(g_file_get_contents(kept, &after, &bytes_after, NULL));
    assert_int_equal(bytes_after, bytes);
    assert_memory_equal(after, before, bytes);
}

static void test_what_is_no_journal_is_set_aside(void **state)
{
    Fixture *fixture = *state;
    static const char *const sql[] = {
        "PRAGMA application_id = 17",
        "PRAGMA user_version = 0",
        "DROP TABLE event",
        "DROP INDEX recording_one_active",
        "ALTER TABLE recording ADD COLUMN x",
        "PRAGMA writable_schema = 1; UPDATE sqlite_master SET sql = 'nonsense' WHERE name = 'label'",
        "PRAGMA writable_schema = 1; UPDATE sqlite_master SET rootpage = 2 WHERE name = 'label'",
    };
    for (gsize i = 0; i < G_N_ELEMENTS(sql); i++) {
        make_journal(fixture, 2);
        fixture_sql(fixture, sql[i]);
        assert_int_equal(fixture_open(fixture), STENO_JOURNAL_SET_ASIDE);
        fixture_close(fixture);
    }
    /* What somebody has added does no harm. */
    make_journal(fixture, 0);
    fixture_sql(fixture, "CREATE TABLE notes (x); ANALYZE");
    assert_int_equal(fixture_open(fixture), STENO_JOURNAL_OPENED);
}

static void test_log_without_database_is_set_aside(void **state)
{
    Fixture *fixture = *state;
    fixture_open(fixture);
    add_rows(fixture->journal, 5);
    /* As a crash leaves it: with a log. */
    (void)sqlite3_db_config(fixture->journal->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, (int *)NULL);
    fixture_close(fixture);
    assert_int_equal(g_unlink(fixture->path), 0);
    assert_int_equal(fixture_open(fixture), STENO_JOURNAL_SET_ASIDE);
    assert_int_equal(fixture_count_files(fixture, ".damaged"), 2); /* -wal, -shm */
}

/* Whatever byte is another one: a journal is there in the end, and can be used; damage that is seen is set aside. */
static void try_changed(Fixture *fixture, const char *good, gsize bytes, gsize at, guint8 value, guint *aside)
{
    g_autofree char *changed = g_memdup2(good, bytes);
    g_autoptr(GError) refusal = NULL;
    StenoJournalHow how = STENO_JOURNAL_MADE;
    changed[at] = (char)value;
    assert_true(g_file_set_contents(fixture->path, changed, (gssize)bytes, NULL));
    fixture->journal = steno_journal_open(fixture->path, "ward-7", &how, &refusal);
    if (!fixture->journal) {
        /* The version's bytes can't be told from a later version. */
        if (at < 60 || at > 63)
            fail_msg("byte %zu = %u: %s", at, value, refusal->message);
        return;
    }
    assert_true(how == STENO_JOURNAL_OPENED || how == STENO_JOURNAL_SET_ASIDE);
    *aside += how == STENO_JOURNAL_SET_ASIDE;
    g_autoptr(StenoJournalRecording) row = row_new("one more");
    if (how == STENO_JOURNAL_SET_ASIDE)
        assert_ok(steno_journal_recording_add(fixture->journal, row, error));
    else
        (void)steno_journal_recording_add(fixture->journal, row, NULL);
    fixture_close(fixture);
}

static void test_any_changed_byte(void **state)
{
    Fixture *fixture = *state;
    g_autofree char *good = NULL;
    gsize bytes;
    guint aside = 0;
    make_journal(fixture, 40);
    assert_true(g_file_get_contents(fixture->path, &good, &bytes, NULL));
    for (gsize at = 0; at < 100; at++) {
        try_changed(fixture, good, bytes, at, 0, &aside);
        try_changed(fixture, good, bytes, at, 0xff, &aside);
        try_changed(fixture, good, bytes, at, (guint8)(good[at] + 1), &aside);
    }
    for (gsize at = 100; at < bytes; at += 997)
        try_changed(fixture, good, bytes, at, (guint8)~good[at], &aside);
    /* The head of each page. */
    for (gsize page = 4096; page < bytes; page += 4096)
        try_changed(fixture, good, bytes, page, 0x77, &aside);
    assert_true(aside > 100);
}

static void test_cut_anywhere(void **state)
{
    Fixture *fixture = *state;
    g_autofree char *good = NULL;
    gsize bytes;
    make_journal(fixture, 40);
    assert_true(g_file_get_contents(fixture->path, &good, &bytes, NULL));
    for (gsize at = 1; at < bytes; at += at < 200 ? 33 : 4096) {
        assert_true(g_file_set_contents(fixture->path, good, (gssize)at, NULL));
        assert_int_equal(fixture_open(fixture), STENO_JOURNAL_SET_ASIDE);
        fixture_close(fixture);
    }
}

static void test_damage_while_running(void **state)
{
    Fixture *fixture = *state;
    guint8 garbage[4096];
    fixture_open(fixture);
    add_rows(fixture->journal, 200);
    assert_int_equal(sqlite3_wal_checkpoint_v2(fixture->journal->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL), 0);
    assert_int_equal(sqlite3_db_release_memory(fixture->journal->db), SQLITE_OK);
    memset(garbage, 0x77, sizeof garbage);
    for (goffset page = 4096; page < 200 * 4096; page += 4096)
        overwrite(fixture, "", page, garbage, sizeof garbage);

    StenoJournal *journal = fixture->journal;
    StenoJournalFilter filter = {0};
    g_autoptr(StenoJournalRecording) row = row_new("new");
    for (int i = 0; i < 3; i++) {
        assert_refused(steno_journal_recording_get(journal, "r1", error), STENO_ERROR_JOURNAL);
        assert_refused(steno_journal_recordings_list(journal, &filter, 10, NULL, NULL, error), STENO_ERROR_JOURNAL);
        assert_refused(steno_journal_recordings_unfinished(journal, error), STENO_ERROR_JOURNAL);
        assert_refused(steno_journal_recording_add(journal, row, error), STENO_ERROR_JOURNAL);
        assert_refused(steno_journal_recording_forget(journal, "r1", error), STENO_ERROR_JOURNAL);
        assert_refused(steno_journal_event_add(journal, "r1", NULL, "t", NULL, NULL, error), STENO_ERROR_JOURNAL);
        assert_refused(steno_journal_events(journal, 0, NULL, NULL, 10, error), STENO_ERROR_JOURNAL);
        assert_int_equal(steno_journal_files_bytes(journal, "clinic", NULL), -1);
        assert_refused(steno_journal_mark(journal, "done", error), STENO_ERROR_JOURNAL);
    }
    fixture_close(fixture);
    assert_int_equal(fixture_open(fixture), STENO_JOURNAL_SET_ASIDE);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup_closed, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_made_and_opened),
        TEST(test_impossible_places),
        TEST(test_second_process_is_refused),
        TEST(test_lock_is_let_go_at_exec),
        TEST(test_later_version_is_refused),
        TEST(test_migrations),
        TEST(test_version_1_is_migrated),
        TEST(test_damaged_is_set_aside),
        TEST(test_log_of_a_damaged_journal_is_kept),
        TEST(test_what_is_no_journal_is_set_aside),
        TEST(test_log_without_database_is_set_aside),
        TEST(test_any_changed_byte),
        TEST(test_cut_anywhere),
        TEST(test_damage_while_running),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
