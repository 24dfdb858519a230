#include "query.h"

#include "steno/base/clock.h"
#include "steno/base/error.h"

/* ---- transactions ------------------------------------------------------------------------------------------------ */

static gboolean run(StenoJournal *journal, const char *sql, const char *doing, GError **error)
{
    g_auto(Query) query = query_start(journal, sql, doing, NULL);
    return query_run(&query, error);
}

/* Never fails for the caller: SQLite has given up the transaction, whatever it answers. */
static void roll_back(StenoJournal *journal)
{
    if (!sqlite3_get_autocommit(journal->db))
        (void)run(journal, "ROLLBACK", "rolling back", NULL);
}

static gboolean group_lost(GError **error)
{
    g_set_error(error, STENO_ERROR, STENO_ERROR_JOURNAL,
                "writing to the journal: an earlier write of the same transaction failed, so that none of it is kept");
    return FALSE;
}

gboolean steno_journal_begin(StenoJournal *journal, GError **error)
{
    if (journal->group) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_INTERNAL, "beginning a transaction of the journal within another");
        return FALSE;
    }
    if (!run(journal, "BEGIN IMMEDIATE", "beginning a transaction", error))
        return FALSE;
    journal->group = TRUE;
    journal->group_failed = FALSE;
    return TRUE;
}

gboolean steno_journal_commit(StenoJournal *journal, GError **error)
{
    gboolean lost = journal->group_failed;
    if (!journal->group) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_INTERNAL, "committing a transaction of the journal without one");
        return FALSE;
    }
    journal->group = FALSE;
    gboolean ok = lost ? group_lost(error) : run(journal, "COMMIT", "committing a transaction", error);
    if (!ok)
        roll_back(journal);
    return ok;
}

void steno_journal_rollback(StenoJournal *journal)
{
    journal->group = FALSE;
    roll_back(journal);
}

gboolean journal_write_begin(StenoJournal *journal, GError **error)
{
    if (!journal->group)
        return run(journal, "BEGIN IMMEDIATE", "beginning to write", error);
    if (journal->group_failed)
        return group_lost(error);
    return run(journal, "SAVEPOINT one", "beginning to write", error);
}

gboolean journal_write_end(StenoJournal *journal, gboolean ok, GError **error)
{
    if (!journal->group) {
        if (ok && !run(journal, "COMMIT", "writing to disk", error))
            ok = FALSE;
        if (!ok)
            roll_back(journal);
        return ok;
    }
    if (ok)
        return run(journal, "RELEASE one", "writing", error);
    /* When SQLite has rolled back all of the group, or can't undo this call alone, the group is lost. */
    if (sqlite3_get_autocommit(journal->db) || !run(journal, "ROLLBACK TO one", "undoing a write", NULL) ||
        !run(journal, "RELEASE one", "undoing a write", NULL))
        journal->group_failed = TRUE;
    return FALSE;
}

/* ---- prune ------------------------------------------------------------------------------------------------------- */

gboolean journal_prune(StenoJournal *journal, const char *sql, const char *doing, gint64 before_us, GError **error)
{
    g_auto(Query) query = query_start(journal, sql, doing, NULL);
    query_bind_int(&query, before_us);
    query_bind_int(&query, STENO_JOURNAL_PRUNE_MAX);
    if (!journal_write_begin(journal, error))
        return FALSE;
    gboolean ok = query_run(&query, error);
    query_end(&query);
    return journal_write_end(journal, ok, error);
}

/* ---- lease ------------------------------------------------------------------------------------------------------- */

gboolean steno_journal_renew(StenoJournal *journal, gint64 lease_s, GError **error)
{
    g_auto(Query) query =
        query_start(journal, "UPDATE recording SET lease_until_us = ? WHERE owner = ? AND " UNFINISHED,
                    "renewing the leases", NULL);
    query_bind_int(&query, steno_clock_wall_us() + lease_s * G_USEC_PER_SEC);
    query_bind_text(&query, journal->owner);
    if (!journal_write_begin(journal, error))
        return FALSE;
    gboolean ok = query_run(&query, error);
    query_end(&query);
    return journal_write_end(journal, ok, error);
}
