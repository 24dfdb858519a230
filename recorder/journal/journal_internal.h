/* journal, inside: the connection, its transactions, and the opening of its file. */
#ifndef STENO_JOURNAL_INTERNAL_H
#define STENO_JOURNAL_INTERNAL_H

#include "steno/journal.h"

#include <sqlite3.h>

struct StenoJournal {
    char *path, *owner;
    char *damage; /* why one was set aside, or NULL */
    int lock_fd;
    sqlite3 *db;
    GHashTable *statements; /* sqlite3_stmt by its SQL: each is compiled once */
    gboolean group;         /* between begin and commit */
    gboolean group_failed;  /* SQLite may have rolled back already: nothing more may be written, or half would stay */
};

/* "queued" … "failed" (DESIGN §7): which are over. As SQL, the same words in queries and partial indices. */
#define UNFINISHED "state NOT IN ('completed', 'failed')"

/*
 * A write: begin, and end with whether all went well. On its own it is a transaction; within a group a savepoint, so
 * that a call that failed leaves nothing behind either way. end returns ok and, when that was TRUE, whether it is on
 * disk.
 */
gboolean journal_write_begin(StenoJournal *journal, GError **error);
gboolean journal_write_end(StenoJournal *journal, gboolean ok, GError **error);

/* Runs a DELETE whose parameters are a time and how many rows at most. */
gboolean journal_prune(StenoJournal *journal, const char *sql, const char *doing, gint64 before_us, GError **error);

/* ---- lock.c ------------------------------------------------------------------------------------------------------ */

/* Takes <path>.lock, which holds our pid and owner. -1 and JOURNAL when another process has it. Close it to let it go.
 */
int journal_lock(const char *path, const char *owner, GError **error);

/* ---- file.c ------------------------------------------------------------------------------------------------------ */

/* Renames a damaged journal with what SQLite keeps beside it to *new_name (caller frees): <path>.damaged-<time>. */
gboolean journal_set_aside(const char *path, char **new_name, GError **error);
/* Makes the file 0600 when there is none. *damage (caller frees) says why SQLite need not be asked. *version: what its
 * header tells of a journal of ours (what is still in the write-ahead log alone it does not tell); else 0. */
gboolean journal_prepare_file(const char *path, gboolean *fresh, guint32 *version, char **damage, GError **error);
/* A new name is on disk only when the folder that holds it is. */
gboolean journal_sync_parent(const char *path, GError **error);

/* ---- open.c ------------------------------------------------------------------------------------------------------ */

typedef enum { OPEN_GOOD, OPEN_DAMAGED, OPEN_FAILED } OpenResult;

/* The first column of the first row. Caller frees *text. An SQLite code. */
int journal_one_text(sqlite3 *db, const char *sql, char **text);
/* A journal whose file is not open yet; takes lock_fd. */
StenoJournal *journal_new(const char *path, const char *owner, int lock_fd);
/* Judges and opens its file. *damage (caller frees) says why it is DAMAGED, *error why it FAILED. */
OpenResult journal_open_file(StenoJournal *journal, StenoJournalHow *how, char **damage, GError **error);

/* ---- schema.c ---------------------------------------------------------------------------------------------------- */

/* What a version adds to the one before: row N - 1 makes version N. */
typedef struct {
    const char *const *migrations; /* SQL, run in one transaction each */
    int version;                   /* how many there are */
} Schema;

extern const Schema journal_schema;

/* "Steno" in the file's header, so that nobody else's database is taken for a journal. */
#define JOURNAL_APPLICATION_ID 0x53746e6f

int journal_pragma_int(sqlite3 *db, const char *sql, int *value);
/*
 * Brings the database to the schema's version; a copy of an older one is made beside it first (<path>.v<N>). An SQLite
 * code; *error is set unless that is SQLITE_OK. *migrated: it was of an earlier version.
 */
int journal_migrate(sqlite3 *db, const char *path, const Schema *schema, gboolean *migrated, GError **error);
/* Whether the database has everything that `version` of the schema has, as it has it; what it has besides is not ours.
 * An SQLite code; *damage (caller frees) says what is missing. */
int journal_schema_check(sqlite3 *db, const Schema *schema, int version, char **damage);

/* ---- copy.c ------------------------------------------------------------------------------------------------------ */

/* The database as it is at one moment, of this version, into the empty file of this path: one that, opened in its
 * place, knows that it is a copy (steno_journal_copy). An SQLite code. */
int journal_copy_db(sqlite3 *db, const char *path, int version);

/* Begins the mark of a copy; behind it is when it was made, in µs. */
#define MARK_COPIED "copied-"

/* ---- list.c ------------------------------------------------------------------------------------------------------ */

/* The statement of a page, with its parameters in the order in which they are bound. Caller frees. */
typedef struct {
    GString *sql;
    GPtrArray *texts; /* char *, owned; NULL: the next of numbers */
    GArray *numbers;  /* gint64 */
} ListQuery;
void journal_list_query(ListQuery *query, const StenoJournalFilter *filter, guint rows, gint64 after_us,
                        const char *after_id);
void journal_list_query_clear(ListQuery *query);

/* ---- recordings.c ------------------------------------------------------------------------------------------------ */

struct Query;
/* The columns that journal_recording_read() reads, each of the table r. */
#define RECORDING_COLUMNS                                                                                              \
    "r.id, r.app, r.platform, r.channel, r.profile, r.state, r.desired, r.webhook, r.end_reason, r.request, "          \
    "r.labels, "                                                                                                       \
    "r.error, r.detail, r.created_us, r.updated_us, r.start_at_us, r.started_us, r.ended_us, r.event_part, "           \
    "r.event_seq, r.epoch, r.files_bytes, r.legal_hold"
StenoJournalRecording *journal_recording_read(struct Query *query, GError **error);
/* All rows of the query. NULL on error. */
GPtrArray *journal_recordings_read(struct Query *query, GError **error);

#endif
