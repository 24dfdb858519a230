#include "query.h"

#include "steno/base/error.h"

#include <stdlib.h>
#include <string.h>

static const char *advice(int rc)
{
    switch (rc & 0xff) {
    case SQLITE_FULL:
        return ": make room on its disk";
    case SQLITE_IOERR:
        return ": look at its disk";
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return ": it is damaged; at its next start stenod sets it aside and makes a new one";
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
    case SQLITE_READONLY:
        return ": see that its folder and files belong to stenod's user and can be written";
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return ": another program holds it locked; end that";
    default:
        return "";
    }
}

gboolean query_set_error(GError **error, sqlite3 *db, int rc, const char *path, const char *doing, const char *what)
{
    /* The connection's words are of its last call, which need not be the one that failed. */
    const char *words = db && sqlite3_extended_errcode(db) == rc ? sqlite3_errmsg(db) : sqlite3_errstr(rc);
    g_set_error(error, STENO_ERROR, STENO_ERROR_JOURNAL, "%s%s%s: the journal %s: %s (SQLite %d)%s", doing,
                what ? " " : "", what ? what : "", path, words, rc, advice(rc));
    return FALSE;
}

static Query start(StenoJournal *journal, const char *sql, gboolean once, const char *doing, const char *what)
{
    Query query = {.journal = journal, .once = once, .doing = doing, .what = what};
    query.statement = once ? NULL : g_hash_table_lookup(journal->statements, sql);
    if (!query.statement) {
        query.rc =
            sqlite3_prepare_v3(journal->db, sql, -1, once ? 0 : SQLITE_PREPARE_PERSISTENT, &query.statement, NULL);
        if (query.statement && !once)
            g_hash_table_insert(journal->statements, (gpointer)sqlite3_sql(query.statement), query.statement);
    }
    return query;
}

Query query_start(StenoJournal *journal, const char *sql, const char *doing, const char *what)
{
    return start(journal, sql, FALSE, doing, what);
}

Query query_start_once(StenoJournal *journal, const char *sql, const char *doing, const char *what)
{
    return start(journal, sql, TRUE, doing, what);
}

void query_end(Query *query)
{
    if (!query->statement)
        return;
    if (query->once) {
        sqlite3_finalize(query->statement);
    } else {
        /* At once: a statement that is not reset holds a lock, and the write-ahead log could not be emptied. */
        (void)sqlite3_reset(query->statement);
        (void)sqlite3_clear_bindings(query->statement);
    }
    query->statement = NULL;
}

static void bound(Query *query, int rc)
{
    if (query->rc == SQLITE_OK)
        query->rc = rc;
}

void query_bind_text(Query *query, const char *text)
{
    query->bound++;
    if (!query->statement)
        return;
    bound(query, text ? sqlite3_bind_text(query->statement, query->bound, text, -1, SQLITE_STATIC)
                      : sqlite3_bind_null(query->statement, query->bound));
}

void query_bind_int(Query *query, gint64 value)
{
    query->bound++;
    if (query->statement)
        bound(query, sqlite3_bind_int64(query->statement, query->bound, value));
}

void query_bind_json(Query *query, const json_t *json)
{
    if (!json) {
        query_bind_text(query, NULL);
        return;
    }
    query->bound++;
    if (!query->statement)
        return;
    /* Sorted, so that the same labels are the same text. */
    char *text = json_dumps(json, JSON_COMPACT | JSON_SORT_KEYS);
    bound(query, text ? sqlite3_bind_text(query->statement, query->bound, text, -1, free) : SQLITE_MISUSE);
}

int query_step(Query *query)
{
    if (query->rc == SQLITE_OK || query->rc == SQLITE_ROW) {
        query->rc = sqlite3_step(query->statement);
        query->column = 0;
    }
    return query->rc;
}

gboolean query_fail(Query *query, GError **error)
{
    if (query->journal->group)
        query->journal->group_failed = TRUE;
    return query_set_error(error, query->journal->db, query->rc, query->journal->path, query->doing, query->what);
}

int query_next(Query *query, GError **error)
{
    switch (query_step(query)) {
    case SQLITE_ROW:
        return 1;
    case SQLITE_DONE:
        return 0;
    default:
        query_fail(query, error);
        return -1;
    }
}

gboolean query_run(Query *query, GError **error)
{
    int rc;
    while ((rc = query_step(query)) == SQLITE_ROW)
        continue;
    return rc == SQLITE_DONE || query_fail(query, error);
}

int query_changes(const Query *query)
{
    return sqlite3_changes(query->journal->db);
}

char *query_text(Query *query)
{
    const char *text = (const char *)sqlite3_column_text(query->statement, query->column++);
    if (!text)
        return NULL;
    return g_utf8_validate(text, -1, NULL) ? g_strdup(text) : g_utf8_make_valid(text, -1);
}

char *query_text_must(Query *query)
{
    char *text = query_text(query);
    return text ? text : g_strdup("");
}

gint64 query_int(Query *query)
{
    return sqlite3_column_int64(query->statement, query->column++);
}

gboolean query_json(Query *query, json_t **json, GError **error)
{
    const char *text = (const char *)sqlite3_column_text(query->statement, query->column++);
    *json = NULL;
    if (!text)
        return TRUE;
    *json = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    if (json_is_object(*json))
        return TRUE;
    g_clear_pointer(json, json_decref);
    query->rc = SQLITE_CORRUPT;
    return query_fail(query, error);
}
