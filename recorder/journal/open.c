#include "journal_internal.h"

#include "query.h"

#include "steno/base/clock.h"
#include "steno/base/error.h"

#include <string.h>
#include <unistd.h>

/* How long a call waits for another program (an administrator's sqlite3) that holds the database locked. */
#define BUSY_MS 2000
/* A row is a few KB, some MB with thousands of participants; more than this is a mistake, and told as one. */
#define ROW_BYTES_MAX (16 * 1024 * 1024)

/*
 * synchronous: what was acknowledged survives a power cut. secure_delete: what was forgotten is gone from the file,
 * too. trusted_schema, cell_size_check: a damaged file is found out rather than believed. The write-ahead log goes back
 * to journal_size_limit when a long transaction made it larger.
 */
static const char settings[] = "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA secure_delete = ON; "
                               "PRAGMA temp_store = MEMORY; PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; "
                               "PRAGMA journal_size_limit = 16777216";

/* This answer of SQLite says that the file is no sound database, rather than that the machine has trouble. */
static gboolean is_damage(int rc)
{
    switch (rc & 0xff) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_ERROR:
    case SQLITE_FORMAT:
    case SQLITE_SCHEMA:
    case SQLITE_TOOBIG:
    case SQLITE_MISMATCH:
    case SQLITE_CONSTRAINT:
    case SQLITE_INTERNAL:
        return TRUE;
    default:
        return FALSE;
    }
}

/* What is known of a file while it is being opened. */
typedef struct {
    StenoJournal *journal;
    StenoJournalHow how;
    char *damage; /* why it is damaged, in words */
} Opening;

static OpenResult answer(Opening *opening, int rc, const char *doing, GError **error)
{
    StenoJournal *journal = opening->journal;
    if (rc == SQLITE_OK)
        return OPEN_GOOD;
    if (is_damage(rc)) {
        if (!opening->damage)
            opening->damage = g_strdup_printf("%s: %s", doing, sqlite3_errmsg(journal->db));
        g_clear_error(error);
        return OPEN_DAMAGED;
    }
    if (!error || !*error)
        query_set_error(error, journal->db, rc, journal->path, doing, NULL);
    return OPEN_FAILED;
}

int journal_one_text(sqlite3 *db, const char *sql, char **text)
{
    sqlite3_stmt *statement = NULL;
    int rc = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);
    if (rc == SQLITE_OK && (rc = sqlite3_step(statement)) == SQLITE_ROW) {
        *text = g_strdup((const char *)sqlite3_column_text(statement, 0));
        rc = SQLITE_OK;
    }
    sqlite3_finalize(statement);
    return rc == SQLITE_DONE ? SQLITE_CORRUPT : rc;
}

static int connect_to(StenoJournal *journal)
{
    int rc = sqlite3_open_v2(journal->path, &journal->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    if (rc != SQLITE_OK)
        return rc;
    (void)sqlite3_extended_result_codes(journal->db, 1);
    (void)sqlite3_busy_timeout(journal->db, BUSY_MS);
    (void)sqlite3_limit(journal->db, SQLITE_LIMIT_LENGTH, ROW_BYTES_MAX);
    (void)sqlite3_db_config(journal->db, SQLITE_DBCONFIG_DEFENSIVE, 1, (int *)NULL);
    /* Until it is known to be sound: closing a damaged one must leave it and its log as they were found. */
    (void)sqlite3_db_config(journal->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, (int *)NULL);
    return SQLITE_OK;
}

static OpenResult refuse_later(const StenoJournal *journal, guint32 version, GError **error)
{
    g_set_error(error, STENO_ERROR, STENO_ERROR_JOURNAL,
                "opening the journal %s: it is of version %u, made by a later Steno, and this one knows up to %d: "
                "install that Steno again, or remove %s-wal and -shm, and put back the copy %s.v%d",
                journal->path, version, journal_schema.version, journal->path, journal->path, journal_schema.version);
    return OPEN_FAILED;
}

/* Whether it is a journal at all, and of which version: told by the header alone, as a later version's tables may be
 * beyond this one's SQLite. */
static OpenResult identify(Opening *opening, int *version, GError **error)
{
    sqlite3 *db = opening->journal->db;
    int id = 0, objects = 0;
    int rc = journal_pragma_int(db, "PRAGMA application_id", &id);
    if (rc == SQLITE_OK)
        rc = journal_pragma_int(db, "PRAGMA user_version", version);
    if (rc == SQLITE_OK && id == JOURNAL_APPLICATION_ID && *version > journal_schema.version)
        return refuse_later(opening->journal, (guint32)*version, error);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(db, settings, NULL, NULL, NULL);
    if (rc == SQLITE_OK)
        rc = journal_pragma_int(db, "SELECT count(*) FROM sqlite_master", &objects);
    if (rc != SQLITE_OK)
        return answer(opening, rc, "reading its header", error);
    if (id == 0 && *version == 0 && objects == 0) {
        opening->how = STENO_JOURNAL_MADE; /* the making of it was cut off */
        return OPEN_GOOD;
    }
    if (id != JOURNAL_APPLICATION_ID || *version < 1) {
        opening->damage = g_strdup("it is another program's database");
        return OPEN_DAMAGED;
    }
    return OPEN_GOOD;
}

static OpenResult check(Opening *opening, int version, GError **error)
{
    sqlite3 *db = opening->journal->db;
    g_autofree char *verdict = NULL;
    int rc = journal_one_text(db, "PRAGMA quick_check(1)", &verdict);
    if (rc == SQLITE_OK && g_strcmp0(verdict, "ok") != 0) {
        opening->damage = g_strdup_printf("its check says: %s", verdict);
        return OPEN_DAMAGED;
    }
    if (rc == SQLITE_OK)
        rc = journal_schema_check(db, &journal_schema, version, &opening->damage);
    return opening->damage ? OPEN_DAMAGED : answer(opening, rc, "checking it", error);
}

/* WAL, so that a commit is one write and one sync, and a copy can be read while it is written. */
static OpenResult set_wal(Opening *opening, GError **error)
{
    g_autofree char *mode = NULL;
    int rc = journal_one_text(opening->journal->db, "PRAGMA journal_mode = WAL", &mode);
    if (rc == SQLITE_OK && g_strcmp0(mode, "wal") != 0) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_JOURNAL,
                    "opening the journal %s: its file system has no shared memory for a write-ahead log: put it on a "
                    "local disk",
                    opening->journal->path);
        return OPEN_FAILED;
    }
    return answer(opening, rc, "setting its write-ahead log", error);
}

/* Who has the file's lock owns what is in it, whatever it was called before. */
static int take_over(StenoJournal *journal)
{
    sqlite3_stmt *statement = NULL;
    int rc = sqlite3_prepare_v2(journal->db,
                                "UPDATE recording SET owner = ?, epoch = epoch + 1 WHERE owner IS NULL OR owner <> ?",
                                -1, &statement, NULL);
    if (rc == SQLITE_OK) {
        (void)sqlite3_bind_text(statement, 1, journal->owner, -1, SQLITE_STATIC);
        (void)sqlite3_bind_text(statement, 2, journal->owner, -1, SQLITE_STATIC);
        (void)sqlite3_step(statement);
    }
    int finalized = sqlite3_finalize(statement);
    return rc == SQLITE_OK ? finalized : rc;
}

static OpenResult open_database(Opening *opening, GError **error)
{
    StenoJournal *journal = opening->journal;
    gboolean fresh = FALSE, migrated = FALSE;
    guint32 told = 0;
    int version = 0;
    opening->how = STENO_JOURNAL_OPENED;
    if (!journal_prepare_file(journal->path, &fresh, &told, &opening->damage, error))
        return OPEN_FAILED;
    if (opening->damage)
        return OPEN_DAMAGED;
    /* Before SQLite touches it, and what is beside it. */
    if (told > (guint32)journal_schema.version && told <= G_MAXINT32)
        return refuse_later(journal, told, error);
    OpenResult result = answer(opening, connect_to(journal), "opening it", error);
    if (result == OPEN_GOOD)
        result = identify(opening, &version, error);
    if (result == OPEN_GOOD && opening->how != STENO_JOURNAL_MADE)
        result = check(opening, version, error);
    if (result == OPEN_GOOD)
        result = set_wal(opening, error);
    if (result == OPEN_GOOD)
        result = answer(opening, journal_migrate(journal->db, journal->path, &journal_schema, &migrated, error),
                        "migrating it", error);
    if (result == OPEN_GOOD)
        result = answer(opening, take_over(journal), "taking over its recordings", error);
    /* The file's own header tells its version to who has no SQLite: a package that would go back to an earlier Steno.
     */
    if (result == OPEN_GOOD)
        (void)sqlite3_wal_checkpoint_v2(journal->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    if (migrated)
        opening->how = STENO_JOURNAL_MIGRATED;
    return result;
}

static void disconnect(StenoJournal *journal)
{
    g_hash_table_remove_all(journal->statements);
    (void)sqlite3_close(journal->db);
    journal->db = NULL;
}

/*
 * Numbers of events only grow, also over a damaged journal whose last one nobody knows: the new one's start at the time
 * in ms, which the old one's can't have reached with less than a thousand events a second.
 */
static int seed_events(sqlite3 *db)
{
    g_autofree char *sql = g_strdup_printf(
        "INSERT INTO sqlite_sequence (name, seq) VALUES ('event', %" G_GINT64_FORMAT ")", steno_clock_wall_us() / 1000);
    return sqlite3_exec(db, sql, NULL, NULL, NULL);
}

OpenResult journal_open_file(StenoJournal *journal, StenoJournalHow *how, char **damage, GError **error)
{
    Opening opening = {.journal = journal};
    OpenResult result = open_database(&opening, error);
    *how = opening.how;
    *damage = opening.damage;
    if (result == OPEN_GOOD)
        (void)sqlite3_db_config(journal->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, (int *)NULL);
    return result;
}

static gboolean open_or_renew(StenoJournal *journal, StenoJournalHow *how, GError **error)
{
    g_autofree char *damage = NULL, *damage_of_new = NULL;
    OpenResult result = journal_open_file(journal, how, &damage, error);
    if (result == OPEN_DAMAGED) {
        g_autofree char *name = NULL;
        disconnect(journal);
        if (!journal_set_aside(journal->path, &name, error))
            return FALSE;
        journal->damage = g_strdup_printf("%s; it is kept as %s", damage, name);
        result = journal_open_file(journal, how, &damage_of_new, error);
        *how = STENO_JOURNAL_SET_ASIDE;
        int rc = result == OPEN_GOOD ? seed_events(journal->db) : SQLITE_OK;
        if (rc != SQLITE_OK)
            return query_set_error(error, journal->db, rc, journal->path, "numbering the events", NULL);
    }
    if (result == OPEN_DAMAGED)
        g_set_error(error, STENO_ERROR, STENO_ERROR_JOURNAL,
                    "making the journal %s: what was just written cannot be read again (%s): look at its disk",
                    journal->path, damage_of_new);
    return result == OPEN_GOOD;
}

static void finalize_statement(gpointer statement)
{
    (void)sqlite3_finalize(statement);
}

StenoJournal *journal_new(const char *path, const char *owner, int lock_fd)
{
    StenoJournal *journal = g_new0(StenoJournal, 1);
    journal->path = g_strdup(path);
    journal->owner = g_strdup(owner);
    journal->lock_fd = lock_fd;
    journal->statements = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, finalize_statement);
    return journal;
}

StenoJournal *steno_journal_open(const char *path, const char *owner, StenoJournalHow *how, GError **error)
{
    int lock_fd = journal_lock(path, owner, error);
    if (lock_fd < 0)
        return NULL;
    StenoJournalHow opened;
    StenoJournal *journal = journal_new(path, owner, lock_fd);
    if (!open_or_renew(journal, &opened, error)) {
        steno_journal_close(journal);
        return NULL;
    }
    if (how)
        *how = opened;
    return journal;
}

const char *steno_journal_damage(const StenoJournal *journal)
{
    return journal->damage;
}

void steno_journal_close(StenoJournal *journal)
{
    if (!journal)
        return;
    if (journal->db)
        steno_journal_rollback(journal);
    disconnect(journal);
    g_hash_table_unref(journal->statements);
    close(journal->lock_fd);
    g_free(journal->path);
    g_free(journal->owner);
    g_free(journal->damage);
    g_free(journal);
}
