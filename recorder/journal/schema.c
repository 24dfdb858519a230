#include "journal_internal.h"

#include "query.h"

#include "steno/base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <unistd.h>

/*
 * The SQL is what SQLite 3.34 and PostgreSQL 13 have in common, but for the number of an event. Columns that are walked
 * over come before the large ones, which SQLite keeps on pages of their own.
 */
static const char version_1[] =
    "CREATE TABLE recording ("
    "  id TEXT NOT NULL PRIMARY KEY, app TEXT NOT NULL, platform TEXT NOT NULL, channel TEXT NOT NULL,"
    "  profile TEXT NOT NULL, state TEXT NOT NULL, desired TEXT NOT NULL,"
    "  owner TEXT, epoch BIGINT NOT NULL, lease_until_us BIGINT NOT NULL,"
    "  created_us BIGINT NOT NULL, updated_us BIGINT NOT NULL,"
    "  start_at_us BIGINT NOT NULL, started_us BIGINT NOT NULL, ended_us BIGINT NOT NULL,"
    "  event_part BIGINT NOT NULL, event_seq BIGINT NOT NULL,"
    "  files_bytes BIGINT NOT NULL, legal_hold INTEGER NOT NULL,"
    "  webhook TEXT, end_reason TEXT, labels TEXT, error TEXT, request TEXT, detail TEXT);"
    "CREATE UNIQUE INDEX recording_one_active ON recording (app, platform, channel, profile) WHERE " UNFINISHED ";"
    "CREATE INDEX recording_unfinished ON recording (owner, created_us, id) WHERE " UNFINISHED ";"
    "CREATE INDEX recording_by_time ON recording (created_us, id);"
    "CREATE INDEX recording_by_app ON recording (app, created_us, id);"
    "CREATE INDEX recording_by_state ON recording (state, created_us, id);"
    "CREATE INDEX recording_by_app_state ON recording (app, state, created_us, id);"
    "CREATE INDEX recording_by_channel ON recording (channel, created_us, id);"
    "CREATE INDEX recording_by_platform ON recording (platform, created_us, id);"
    "CREATE INDEX recording_with_files ON recording (app, created_us, id, files_bytes) WHERE files_bytes > 0;"
    /* app and created_us are the recording's, which never change: a page of a label comes from its index alone. */
    "CREATE TABLE label ("
    "  recording_id TEXT NOT NULL REFERENCES recording (id) ON DELETE CASCADE, name TEXT NOT NULL,"
    "  value TEXT NOT NULL, created_us BIGINT NOT NULL, app TEXT NOT NULL, PRIMARY KEY (recording_id, name));"
    "CREATE INDEX label_by_value ON label (name, value, created_us, recording_id, app);"
    "CREATE INDEX label_by_name ON label (name, created_us, recording_id, app);"
    /* AUTOINCREMENT: a number is never used again, even when all events were forgotten (PostgreSQL: bigserial). */
    "CREATE TABLE event ("
    "  seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL,"
    "  recording_id TEXT REFERENCES recording (id) ON DELETE CASCADE, app TEXT, type TEXT NOT NULL,"
    "  created_us BIGINT NOT NULL, data TEXT);"
    "CREATE INDEX event_by_recording ON event (recording_id, seq);"
    "CREATE INDEX event_by_app ON event (app, seq);"
    "CREATE INDEX event_by_time ON event (created_us, seq);"
    /* last_seq is the recording's last event: who is behind is known without looking for it. */
    "CREATE TABLE delivery ("
    "  recording_id TEXT NOT NULL REFERENCES recording (id) ON DELETE CASCADE, endpoint TEXT NOT NULL,"
    "  cursor_seq BIGINT NOT NULL, last_seq BIGINT NOT NULL, attempts BIGINT NOT NULL, next_at_us BIGINT NOT NULL,"
    "  PRIMARY KEY (recording_id, endpoint));"
    "CREATE INDEX delivery_behind ON delivery (next_at_us, cursor_seq, recording_id, endpoint)"
    "  WHERE last_seq > cursor_seq;"
    "CREATE TABLE endpoint_disabled (name TEXT NOT NULL PRIMARY KEY, disabled_us BIGINT NOT NULL, why TEXT);"
    "CREATE TABLE idempotency ("
    "  app TEXT NOT NULL, idem_key TEXT NOT NULL, digest TEXT NOT NULL,"
    "  recording_id TEXT NOT NULL REFERENCES recording (id) ON DELETE CASCADE, created_us BIGINT NOT NULL,"
    "  PRIMARY KEY (app, idem_key));"
    "CREATE INDEX idempotency_by_recording ON idempotency (recording_id);"
    "CREATE INDEX idempotency_by_time ON idempotency (created_us);"
    "CREATE TABLE api_key ("
    "  id TEXT NOT NULL PRIMARY KEY, app TEXT, role TEXT NOT NULL, label TEXT, sha256_hex TEXT NOT NULL,"
    "  created_us BIGINT NOT NULL, revoked_us BIGINT NOT NULL);";

static const char version_2[] = "CREATE TABLE mark (name TEXT NOT NULL PRIMARY KEY);";

/* A new version is a new row at the end. A row that was released is never changed. */
static const char *const migrations[] = {version_1, version_2};

G_STATIC_ASSERT(G_N_ELEMENTS(migrations) == STENO_JOURNAL_VERSION);

const Schema journal_schema = {migrations, G_N_ELEMENTS(migrations)};

int journal_pragma_int(sqlite3 *db, const char *sql, int *value)
{
    sqlite3_stmt *statement = NULL;
    int rc = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);
    if (rc == SQLITE_OK) {
        rc = sqlite3_step(statement);
        if (rc == SQLITE_ROW) {
            *value = sqlite3_column_int(statement, 0);
            rc = SQLITE_OK;
        } else if (rc == SQLITE_DONE) {
            rc = SQLITE_CORRUPT;
        }
    }
    sqlite3_finalize(statement);
    return rc;
}

/* ---- migration --------------------------------------------------------------------------------------------------- */

/* <path>.v<version>, whole or not at all. */
static int copy_beside(sqlite3 *db, const char *path, int version, GError **error)
{
    g_autofree char *name = g_strdup_printf("%s.v%d", path, version);
    g_autofree char *temporary = g_strconcat(name, ".tmp", NULL);
    (void)g_unlink(temporary);
    int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_JOURNAL, "copying the journal to %s before it is migrated: %s",
                    name, g_strerror(errno));
        return SQLITE_CANTOPEN;
    }
    close(fd);
    int rc = journal_copy_db(db, temporary, version);
    if (rc == SQLITE_OK && g_rename(temporary, name) != 0)
        rc = SQLITE_IOERR;
    if (rc != SQLITE_OK) {
        query_set_error(error, NULL, rc, path, "copying to beside it, before it is migrated,", name);
        (void)g_unlink(temporary);
        return rc;
    }
    return journal_sync_parent(path, error) ? SQLITE_OK : SQLITE_IOERR;
}

static int run_row(sqlite3 *db, const char *sql, int version)
{
    g_autofree char *all = g_strdup_printf("BEGIN IMMEDIATE; %s; PRAGMA application_id = %d; PRAGMA user_version = %d; "
                                           "COMMIT",
                                           sql, JOURNAL_APPLICATION_ID, version);
    int rc = sqlite3_exec(db, all, NULL, NULL, NULL);
    if (rc != SQLITE_OK && !sqlite3_get_autocommit(db))
        (void)sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
    return rc;
}

int journal_migrate(sqlite3 *db, const char *path, const Schema *schema, gboolean *migrated, GError **error)
{
    int version = 0;
    int rc = journal_pragma_int(db, "PRAGMA user_version", &version);
    *migrated = rc == SQLITE_OK && version > 0 && version < schema->version;
    if (rc == SQLITE_OK && *migrated && (rc = copy_beside(db, path, version, error)) != SQLITE_OK)
        return rc;
    for (; rc == SQLITE_OK && version < schema->version; version++)
        rc = run_row(db, schema->migrations[version], version + 1);
    if (rc != SQLITE_OK)
        query_set_error(error, NULL, rc, path, "making the tables", NULL);
    return rc;
}

/* ---- check ------------------------------------------------------------------------------------------------------- */

static int read_objects(sqlite3 *db, GHashTable *objects)
{
    sqlite3_stmt *statement = NULL;
    int rc = sqlite3_prepare_v2(db, "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL", -1, &statement, NULL);
    while (rc == SQLITE_OK && (rc = sqlite3_step(statement)) == SQLITE_ROW) {
        const char *name = (const char *)sqlite3_column_text(statement, 0);
        const char *sql = (const char *)sqlite3_column_text(statement, 1);
        g_hash_table_insert(objects, g_strdup(name ? name : ""), g_strdup(sql ? sql : ""));
        rc = SQLITE_OK;
    }
    sqlite3_finalize(statement);
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

/* What a new database of that version has. */
static int expected_objects(const Schema *schema, int version, GHashTable *objects)
{
    sqlite3 *db = NULL;
    int rc = sqlite3_open_v2(":memory:", &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    for (int i = 0; rc == SQLITE_OK && i < version; i++)
        rc = sqlite3_exec(db, schema->migrations[i], NULL, NULL, NULL);
    if (rc == SQLITE_OK)
        rc = read_objects(db, objects);
    sqlite3_close(db);
    return rc;
}

int journal_schema_check(sqlite3 *db, const Schema *schema, int version, char **damage)
{
    g_autoptr(GHashTable) expected = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    g_autoptr(GHashTable) actual = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    int rc = expected_objects(schema, version, expected);
    if (rc == SQLITE_OK)
        rc = read_objects(db, actual);
    if (rc != SQLITE_OK)
        return rc;
    GHashTableIter iter;
    gpointer name, sql;
    g_hash_table_iter_init(&iter, expected);
    while (g_hash_table_iter_next(&iter, &name, &sql)) {
        if (g_strcmp0(g_hash_table_lookup(actual, name), sql) != 0) {
            *damage = g_strdup_printf("its table or index %s is not as it should be", (const char *)name);
            break;
        }
    }
    return SQLITE_OK;
}
