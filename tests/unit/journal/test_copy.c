/* A copy for a backup: of a journal that is open, and being written; whole, checked, and one that knows what it is. */
#include "journal_fixture.h"

#include "journal_internal.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static void add_row(StenoJournal *journal, const char *id)
{
    g_autoptr(StenoJournalRecording) row = row_new(id);
    assert_ok(steno_journal_recording_add(journal, row, error));
    assert_ok(steno_journal_event_add(journal, id, "clinic", "recording.started", NULL, NULL, error));
}

static Fixture copy_of(const Fixture *fixture)
{
    return (Fixture){.folder = fixture->folder, .path = g_strconcat(fixture->path, ".copy", NULL)};
}

/* What is acknowledged is in it, though it is in the write-ahead log alone; what is not, is not. */
static void test_copied_while_it_is_written(void **state)
{
    Fixture *fixture = *state, copy = copy_of(fixture);
    gint64 recordings = 0;
    struct stat status;
    add_row(fixture->journal, "a");
    assert_ok(steno_journal_begin(fixture->journal, error));
    add_row(fixture->journal, "b");
    assert_ok(steno_journal_copy(fixture->path, copy.path, &recordings, error));
    assert_ok(steno_journal_commit(fixture->journal, error));
    assert_int_equal(recordings, 1);
    assert_int_equal(stat(copy.path, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0600);
    assert_int_equal(fixture_count_files(fixture, ".copy-"), 0); /* neither a log nor anything else beside it */
    g_autofree char *mode = fixture_sql_text(&copy, "PRAGMA journal_mode"),
                    *id = fixture_sql_text(&copy, "SELECT group_concat(id) FROM recording");
    assert_string_equal(mode, "delete");
    assert_string_equal(id, "a");
    g_free(copy.path);
}

/* Put back, it goes on with numbers of events that nobody was told, and is not believed to know the storages. */
static void test_put_back(void **state)
{
    Fixture *fixture = *state, copy = copy_of(fixture);
    gint64 recordings = 0, copied_us = 1, before_us = g_get_real_time();
    gboolean whole = TRUE;
    add_row(fixture->journal, "a");
    assert_ok(steno_journal_mark(fixture->journal, STENO_JOURNAL_MARK_WHOLE, error));
    assert_ok(steno_journal_copied_us(fixture->journal, &copied_us, error));
    assert_int_equal(copied_us, 0);
    assert_ok(steno_journal_copy(fixture->path, copy.path, &recordings, error));
    assert_ok(steno_journal_marked(fixture->journal, STENO_JOURNAL_MARK_WHOLE, &whole, error));
    assert_true(whole); /* the journal itself is what it was */
    for (guint i = 0; i < 20; i++) {
        g_autofree char *id = g_strdup_printf("r%u", i);
        add_row(fixture->journal, id);
    }
    gint64 last = steno_journal_events_last(fixture->journal, NULL);
    fixture_close(fixture);
    assert_int_equal(g_rename(copy.path, fixture->path), 0);
    assert_int_equal(fixture_open(fixture), STENO_JOURNAL_OPENED);
    assert_ok(steno_journal_marked(fixture->journal, STENO_JOURNAL_MARK_WHOLE, &whole, error));
    assert_false(whole);
    assert_ok(steno_journal_copied_us(fixture->journal, &copied_us, error));
    assert_true(copied_us >= before_us && copied_us <= g_get_real_time());
    add_row(fixture->journal, "after");
    assert_true(steno_journal_events_last(fixture->journal, NULL) > last);
    /* The copy of a copy tells the later time, and no copy of one that is not whole is called whole. */
    gint64 first_us = copied_us;
    assert_ok(steno_journal_copy(fixture->path, copy.path, &recordings, error));
    g_autofree char *marks = fixture_sql_text(&copy, "SELECT count(*) FROM mark");
    assert_string_equal(marks, "0");
    assert_int_equal(g_unlink(copy.path), 0);
    assert_ok(steno_journal_mark(fixture->journal, STENO_JOURNAL_MARK_WHOLE, error));
    assert_ok(steno_journal_copy(fixture->path, copy.path, &recordings, error));
    g_autofree char *mark = fixture_sql_text(&copy, "SELECT group_concat(name) FROM mark");
    assert_true(g_str_has_prefix(mark, MARK_COPIED));
    assert_true(g_ascii_strtoll(mark + strlen(MARK_COPIED), NULL, 10) > first_us);
    g_free(copy.path);
}

static void test_of_an_earlier_version(void **state)
{
    Fixture *fixture = *state, copy = copy_of(fixture);
    gint64 recordings = 0;
    add_row(fixture->journal, "a");
    fixture_close(fixture);
    fixture_sql(fixture, "DROP TABLE mark; PRAGMA user_version = 1");
    assert_ok(steno_journal_copy(fixture->path, copy.path, &recordings, error));
    assert_int_equal(recordings, 1);
    g_autofree char *version = fixture_sql_text(&copy, "PRAGMA user_version");
    assert_string_equal(version, "1");
    /* It was the only one that had it open, and leaves nothing beside it. */
    assert_int_equal(fixture_count_files(fixture, "-wal"), 0);
    g_free(copy.path);
}

static void refused(const Fixture *fixture, const char *to, const char *words)
{
    g_autoptr(GError) error = NULL;
    gint64 recordings = 0;
    assert_false(steno_journal_copy(fixture->path, to, &recordings, &error));
    if (!strstr(error->message, words))
        fail_msg("'%s' does not say '%s'", error->message, words);
}

static void test_refused(void **state)
{
    Fixture *fixture = *state, copy = copy_of(fixture);
    g_autofree char *nowhere = g_build_filename(fixture->folder, "nowhere", "copy", NULL);
    add_row(fixture->journal, "a");
    fixture_close(fixture);
    refused(fixture, nowhere, "No such file or directory");
    assert_true(g_file_set_contents(copy.path, "mine", -1, NULL));
    refused(fixture, copy.path, "File exists");
    g_autofree char *kept = NULL;
    assert_true(g_file_get_contents(copy.path, &kept, NULL, NULL));
    assert_string_equal(kept, "mine");
    assert_int_equal(g_unlink(copy.path), 0);
    fixture_sql(fixture, "DROP INDEX event_by_time");
    refused(fixture, copy.path, "it is damaged (its table or index event_by_time");
    fixture_sql(fixture, "PRAGMA user_version = 17");
    refused(fixture, copy.path, "of version 17");
    fixture_sql(fixture, "PRAGMA application_id = 17");
    refused(fixture, copy.path, "no journal of Steno's");
    assert_true(g_file_set_contents(fixture->path, "no database at all, but long enough to be read as one", -1, NULL));
    refused(fixture, copy.path, "not a database");
    assert_int_equal(g_unlink(fixture->path), 0);
    refused(fixture, copy.path, "No such file or directory");
    assert_int_equal(fixture_count_files(fixture, ".copy"), 0);
    g_free(copy.path);
}

/* The disk is full on the way: nothing is left of the copy, and the journal is what it was. */
static void test_full_disk(void **state)
{
    Fixture *fixture = *state, copy = copy_of(fixture);
    gint64 recordings = 0;
    struct rlimit before, little;
    for (guint i = 0; i < 200; i++) {
        g_autofree char *id = g_strdup_printf("r%u", i);
        add_row(fixture->journal, id);
    }
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    little = before;
    little.rlim_cur = 64 * 1024;
    (void)signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &little), 0);
    refused(fixture, copy.path, "copying to");
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(fixture_count_files(fixture, ".copy"), 0);
    add_row(fixture->journal, "after");
    assert_ok(steno_journal_copy(fixture->path, copy.path, &recordings, error));
    assert_int_equal(recordings, 201);
    g_free(copy.path);
}

/* The version is told by the file alone: what packages read has no write-ahead log. */
static void test_header_tells_the_version(void **state)
{
    Fixture *fixture = *state;
    guint8 header[100];
    int fd = open(fixture->path, O_RDONLY);
    assert_int_equal(pread(fd, header, sizeof header, 0), sizeof header);
    close(fd);
    assert_int_equal(header[60] << 24 | header[61] << 16 | header[62] << 8 | header[63], STENO_JOURNAL_VERSION);
    assert_memory_equal(header + 68, "Stno", 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_copied_while_it_is_written, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_put_back, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_of_an_earlier_version, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_refused, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_full_disk, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_header_tells_the_version, fixture_setup, fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
