#include "journal_fixture.h"

#include <glib/gstdio.h>
#include <sqlite3.h>
#include <string.h>
#include <unistd.h>

int fixture_setup_closed(void **state)
{
    Fixture *fixture = g_new0(Fixture, 1);
    /* In memory: thousands of syncs are made here, and none of them is what is tested. */
    gboolean memory = access("/dev/shm", W_OK) == 0;
    fixture->folder = g_build_filename(memory ? "/dev/shm" : g_get_tmp_dir(), "steno-journal-XXXXXX", NULL);
    assert_non_null(g_mkdtemp(fixture->folder));
    fixture->path = g_build_filename(fixture->folder, "journal.sqlite", NULL);
    *state = fixture;
    return 0;
}

int fixture_setup(void **state)
{
    fixture_setup_closed(state);
    assert_int_equal(fixture_open(*state), STENO_JOURNAL_MADE);
    return 0;
}

int fixture_teardown(void **state)
{
    Fixture *fixture = *state;
    steno_journal_close(fixture->journal);
    g_autoptr(GDir) dir = g_dir_open(fixture->folder, 0, NULL);
    const char *name;
    while ((name = g_dir_read_name(dir))) {
        g_autofree char *path = g_build_filename(fixture->folder, name, NULL);
        g_unlink(path);
    }
    g_rmdir(fixture->folder);
    g_free(fixture->folder);
    g_free(fixture->path);
    g_free(fixture);
    return 0;
}

StenoJournalHow fixture_open(Fixture *fixture)
{
    StenoJournalHow how = STENO_JOURNAL_OPENED;
    assert_null(fixture->journal);
    assert_ok((fixture->journal = steno_journal_open(fixture->path, "ward-7", &how, error)));
    return how;
}

void fixture_close(Fixture *fixture)
{
    g_clear_pointer(&fixture->journal, steno_journal_close);
}

static sqlite3 *connect_to(const Fixture *fixture)
{
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open_v2(fixture->path, &db, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
    return db;
}

void fixture_sql(const Fixture *fixture, const char *sql)
{
    sqlite3 *db = connect_to(fixture);
    char *words = NULL;
    if (sqlite3_exec(db, sql, NULL, NULL, &words) != SQLITE_OK)
        fail_msg("%s: %s", sql, words);
    sqlite3_close(db);
}

char *fixture_sql_text(const Fixture *fixture, const char *sql)
{
    sqlite3 *db = connect_to(fixture);
    sqlite3_stmt *statement = NULL;
    char *text = NULL;
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &statement, NULL), SQLITE_OK);
    if (sqlite3_step(statement) == SQLITE_ROW)
        text = g_strdup((const char *)sqlite3_column_text(statement, 0));
    sqlite3_finalize(statement);
    sqlite3_close(db);
    return text;
}

guint fixture_count_files(const Fixture *fixture, const char *suffix)
{
    g_autofree char *name = g_path_get_basename(fixture->path);
    g_autofree char *prefix = g_strconcat(name, suffix, NULL);
    g_autoptr(GDir) dir = g_dir_open(fixture->folder, 0, NULL);
    const char *entry;
    guint count = 0;
    while ((entry = g_dir_read_name(dir)))
        count += g_str_has_prefix(entry, prefix);
    return count;
}

void row_set(char **member, const char *value)
{
    g_free(*member);
    *member = g_strdup(value);
}

StenoJournalRecording *row_new(const char *id)
{
    StenoJournalRecording *row = steno_journal_recording_new();
    row->id = g_strdup(id);
    row->app = g_strdup("clinic");
    row->platform = g_strdup("janus-1");
    row->channel = g_strdup(id);
    row->request = json_pack("{s:s}", "channel", id);
    return row;
}

static void assert_texts_equal(const char *a, const char *b)
{
    if (g_strcmp0(a, b) != 0)
        fail_msg("'%s' is not '%s'", a ? a : "NULL", b ? b : "NULL");
}

static void assert_json_equal(const json_t *a, const json_t *b)
{
    assert_true(a == b || json_equal(a, b));
}

void assert_rows_equal(const StenoJournalRecording *a, const StenoJournalRecording *b)
{
    assert_texts_equal(a->id, b->id);
    assert_texts_equal(a->app, b->app);
    assert_texts_equal(a->platform, b->platform);
    assert_texts_equal(a->channel, b->channel);
    assert_texts_equal(a->profile, b->profile);
    assert_texts_equal(a->state, b->state);
    assert_texts_equal(a->desired, b->desired);
    assert_texts_equal(a->webhook, b->webhook);
    assert_texts_equal(a->end_reason, b->end_reason);
    assert_json_equal(a->request, b->request);
    assert_json_equal(a->labels, b->labels);
    assert_json_equal(a->error, b->error);
    assert_json_equal(a->detail, b->detail);
    assert_int_equal(a->created_us, b->created_us);
    assert_int_equal(a->updated_us, b->updated_us);
    assert_int_equal(a->start_at_us, b->start_at_us);
    assert_int_equal(a->started_us, b->started_us);
    assert_int_equal(a->ended_us, b->ended_us);
    assert_int_equal(a->event_part, b->event_part);
    assert_int_equal(a->event_seq, b->event_seq);
    assert_int_equal(a->epoch, b->epoch);
    assert_int_equal(a->files_bytes, b->files_bytes);
    assert_int_equal(a->legal_hold, b->legal_hold);
}
