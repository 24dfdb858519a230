/* A copy for a backup, made beside the process that writes the journal. */
#include "query.h"

#include "steno/base/clock.h"
#include "steno/base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* Of the file a reader may wait: somebody recovers the write-ahead log, or has it locked by hand. */
#define BUSY_MS 10000

/* Since this version there are marks. */
#define VERSION_OF_MARKS 2

/* ---- a copy of any database of ours ------------------------------------------------------------------------------ */

static int copy_pages(sqlite3 *from, sqlite3 *to)
{
    sqlite3_backup *backup = sqlite3_backup_init(to, "main", from, "main");
    if (!backup)
        return sqlite3_errcode(to);
    (void)sqlite3_backup_step(backup, -1);
    return sqlite3_backup_finish(backup);
}

/*
 * What the journal tells about itself that is not true of a copy. A number of an event is never used again, also when
 * the journal went on after this copy: they go on at the time in ms, as over a damaged one (open.c). What the storages
 * have is not known for what was asked for since.
 */
static int mark(sqlite3 *db, int version, gint64 began_us)
{
    g_autofree char *numbers = g_strdup_printf("DELETE FROM sqlite_sequence WHERE name = 'event';"
                                               "INSERT INTO sqlite_sequence (name, seq) SELECT 'event', "
                                               "max(%" G_GINT64_FORMAT ", coalesce((SELECT max(seq) FROM event), 0))",
                                               steno_clock_wall_us() / 1000);
    g_autofree char *marks = g_strdup_printf("DELETE FROM mark WHERE name LIKE '" MARK_COPIED "%%';"
                                             "INSERT INTO mark (name) SELECT '" MARK_COPIED "%" G_GINT64_FORMAT
                                             "' FROM mark WHERE name = '" STENO_JOURNAL_MARK_WHOLE "';"
                                             "DELETE FROM mark WHERE name = '" STENO_JOURNAL_MARK_WHOLE "'",
                                             began_us);
    int rc = sqlite3_exec(db, "PRAGMA secure_delete = ON; BEGIN IMMEDIATE", NULL, NULL, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(db, numbers, NULL, NULL, NULL);
    if (rc == SQLITE_OK && version >= VERSION_OF_MARKS)
        rc = sqlite3_exec(db, marks, NULL, NULL, NULL);
    return rc == SQLITE_OK ? sqlite3_exec(db, "COMMIT", NULL, NULL, NULL) : rc;
}

int journal_copy_db(sqlite3 *db, const char *path, int version)
{
    gint64 began_us = steno_clock_wall_us();
    g_autofree char *mode = NULL;
    sqlite3 *copy = NULL;
    int rc = sqlite3_open_v2(path, &copy, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    if (rc == SQLITE_OK)
        rc = copy_pages(db, copy);
    /* One file, with no log beside it that must not be forgotten; a failure throws it away. */
    if (rc == SQLITE_OK)
        rc = journal_one_text(copy, "PRAGMA journal_mode = MEMORY", &mode);
    if (rc == SQLITE_OK)
        rc = mark(copy, version, began_us);
    (void)sqlite3_close(copy);
    return rc;
}

/* ---- of the journal, for a backup -------------------------------------------------------------------------------- */

typedef struct {
    const char *path, *to;
    sqlite3 *from, *db; /* the journal, the copy */
    int version;
} Copy;

static gboolean open_journal(Copy *copy, GError **error)
{
    int id = 0;
    struct stat status;
    if (lstat(copy->path, &status) != 0 || (!S_ISREG(status.st_mode) && (errno = EINVAL)))
        return steno_error_set_errno(error, errno, "copying the journal %s", copy->path);
    int rc = sqlite3_open_v2(copy->path, &copy->from, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_busy_timeout(copy->from, BUSY_MS);
    /* A damaged one, and its log, stay as they were found: what comes next may be their rescue. */
    if (rc == SQLITE_OK)
        rc = sqlite3_db_config(copy->from, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, (int *)NULL);
    if (rc == SQLITE_OK)
        rc = journal_pragma_int(copy->from, "PRAGMA application_id", &id);
    if (rc == SQLITE_OK)
        rc = journal_pragma_int(copy->from, "PRAGMA user_version", &copy->version);
    if (rc != SQLITE_OK)
        return query_set_error(error, copy->from, rc, copy->path, "copying", NULL);
    if (id != JOURNAL_APPLICATION_ID || copy->version < 1 || copy->version > journal_schema.version) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_JOURNAL,
                    id == JOURNAL_APPLICATION_ID
                        ? "copying the journal %s: it is of version %d, which this Steno does not know: use the one "
                          "that made it"
                        : "copying the journal %s: it is no journal of Steno's (version %d)",
                    copy->path, copy->version);
        return FALSE;
    }
    return TRUE;
}

/* Here and not by SQLite, for the mode. */
static gboolean make_file(const Copy *copy, GError **error)
{
    int fd = open(copy->to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return steno_error_set_errno(error, errno, "making the journal's copy %s", copy->to);
    close(fd);
    return TRUE;
}

/* Not believed, but read: what is found out when it is needed is found out too late. */
static gboolean check(const Copy *copy, gint64 *recordings, GError **error)
{
    g_autofree char *verdict = NULL, *count = NULL, *damage = NULL;
    int rc = journal_one_text(copy->db, "PRAGMA quick_check(1)", &verdict);
    if (rc == SQLITE_OK && g_strcmp0(verdict, "ok") == 0)
        rc = journal_schema_check(copy->db, &journal_schema, copy->version, &damage);
    if (rc == SQLITE_OK && !damage && g_strcmp0(verdict, "ok") == 0)
        rc = journal_one_text(copy->db, "SELECT count(*) FROM recording", &count);
    if (rc != SQLITE_OK)
        return query_set_error(error, copy->db, rc, copy->to, "checking the copy", NULL);
    if (!count) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_JOURNAL,
                    "copying the journal %s: it is damaged (%s): stenod's next start sets it aside and makes a new one",
                    copy->path, damage ? damage : verdict);
        return FALSE;
    }
    *recordings = g_ascii_strtoll(count, NULL, 10);
    (void)sqlite3_db_config(copy->from, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, (int *)NULL);
    return TRUE;
}

static gboolean fill(Copy *copy, gint64 *recordings, GError **error)
{
    int rc = journal_copy_db(copy->from, copy->to, copy->version);
    if (rc == SQLITE_OK)
        rc = sqlite3_open_v2(copy->to, &copy->db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL);
    if (rc != SQLITE_OK)
        return query_set_error(error, copy->db, rc, copy->path, "copying to", copy->to);
    return check(copy, recordings, error);
}

gboolean steno_journal_copy(const char *path, const char *to, gint64 *recordings, GError **error)
{
    Copy copy = {.path = path, .to = to};
    gboolean made = open_journal(&copy, error) && make_file(&copy, error);
    gboolean good = made && fill(&copy, recordings, error);
    (void)sqlite3_close(copy.from);
    (void)sqlite3_close(copy.db);
    if (made && !good)
        (void)g_unlink(to);
    return good;
}
