/* What the journal's tests share: a folder with a journal in it, and rows to put there. */
#ifndef TESTS_JOURNAL_FIXTURE_H
#define TESTS_JOURNAL_FIXTURE_H

#include "steno/base/error.h"
#include "steno/journal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

typedef struct {
    char *folder, *path;
    StenoJournal *journal; /* closed by the teardown, if it is open */
} Fixture;

int fixture_setup(void **state); /* with the journal open */
int fixture_setup_closed(void **state);
int fixture_teardown(void **state);
/* Opens it, or fails the test; how it was opened. */
StenoJournalHow fixture_open(Fixture *fixture);
void fixture_close(Fixture *fixture);
/* Runs SQL through a connection of its own, as an administrator's sqlite3 would. */
void fixture_sql(const Fixture *fixture, const char *sql);
/* The first column of the first row, as text; NULL for none. Caller frees. */
char *fixture_sql_text(const Fixture *fixture, const char *sql);
/* How many files of the folder begin with the journal's name and then this. */
guint fixture_count_files(const Fixture *fixture, const char *suffix);

/* A row of the app "clinic", platform "janus-1"; its channel is its id. */
StenoJournalRecording *row_new(const char *id);
void row_set(char **member, const char *value);
/* All members are the same. */
void assert_rows_equal(const StenoJournalRecording *a, const StenoJournalRecording *b);

#define assert_ok(call)                                                                                                \
    do {                                                                                                               \
        g_autoptr(GError) failure = NULL;                                                                              \
        GError **error = &failure;                                                                                     \
        if (!(call))                                                                                                   \
            fail_msg("%s: %s", #call, failure ? failure->message : "no error set");                                    \
    } while (0)

#define assert_refused(call, expected)                                                                                 \
    do {                                                                                                               \
        g_autoptr(GError) failure = NULL;                                                                              \
        GError **error = &failure;                                                                                     \
        assert_false(call);                                                                                            \
        assert_non_null(failure);                                                                                      \
        if (!g_error_matches(failure, STENO_ERROR, expected))                                                          \
            fail_msg("%s: %s", #call, failure->message);                                                               \
    } while (0)

#endif
