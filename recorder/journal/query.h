/*
 * One run of one statement: start, bind in order, step, read in order. An error on the way sticks and comes out where
 * the statement is stepped. What is bound must live until the query ends.
 */
#ifndef STENO_JOURNAL_QUERY_H
#define STENO_JOURNAL_QUERY_H

#include "journal_internal.h"

typedef struct Query {
    StenoJournal *journal;
    sqlite3_stmt *statement;
    gboolean once; /* not kept for the next time */
    int rc;
    int bound, column;
    const char *doing, *what;
} Query;

/* doing: "adding the recording", what: its id or NULL; both for the words of an error. */
Query query_start(StenoJournal *journal, const char *sql, const char *doing, const char *what);
/* The same for SQL that is made for the occasion and is not worth keeping. */
Query query_start_once(StenoJournal *journal, const char *sql, const char *doing, const char *what);
void query_end(Query *query);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Query, query_end)

void query_bind_text(Query *query, const char *text); /* NULL binds NULL */
void query_bind_int(Query *query, gint64 value);
void query_bind_json(Query *query, const json_t *json); /* NULL binds NULL */

/* SQLITE_ROW, SQLITE_DONE or an error code, for who wants to tell errors apart. */
int query_step(Query *query);
/* 1: there is a row, 0: no more, -1: error. */
int query_next(Query *query, GError **error);
/* Runs a statement that gives no rows. */
gboolean query_run(Query *query, GError **error);
/* Sets the JOURNAL error of what the last step answered. Returns FALSE. */
gboolean query_fail(Query *query, GError **error);
/* How many rows the last write changed. */
int query_changes(const Query *query);

/* The next column of the row. */
char *query_text(Query *query);      /* NULL when it is NULL; always valid UTF-8. Caller frees */
char *query_text_must(Query *query); /* "" when it is NULL: a column that never should be. Caller frees */
gint64 query_int(Query *query);
/* *json NULL when the column is. FALSE and JOURNAL when it holds no object. */
gboolean query_json(Query *query, json_t **json, GError **error);

/* JOURNAL with what was being done, the journal's path, SQLite's words and what can be done about them. FALSE. */
gboolean query_set_error(GError **error, sqlite3 *db, int rc, const char *path, const char *doing, const char *what);

#endif
