#include "query.h"

#include "steno/base/clock.h"
#include "steno/base/error.h"

static gboolean mismatch(const char *key, GError **error)
{
    g_set_error(error, STENO_ERROR, STENO_ERROR_IDEMPOTENCY_MISMATCH,
                "the Idempotency-Key '%s' was used for another request: take a new one", key);
    return FALSE;
}

gboolean steno_journal_idempotency_find(StenoJournal *journal, const char *app, const char *key, const char *digest,
                                        char **recording_id, GError **error)
{
    g_auto(Query) query =
        query_start(journal, "SELECT recording_id, digest FROM idempotency WHERE app = ? AND idem_key = ?",
                    "looking for the idempotency key", key);
    query_bind_text(&query, app);
    query_bind_text(&query, key);
    int next = query_next(&query, error);
    if (next < 0)
        return FALSE;
    g_autofree char *found = next > 0 ? query_text_must(&query) : NULL;
    g_autofree char *for_digest = next > 0 ? query_text_must(&query) : NULL;
    if (found && g_strcmp0(for_digest, digest) != 0)
        return mismatch(key, error);
    *recording_id = g_steal_pointer(&found);
    return TRUE;
}

static gboolean put(StenoJournal *journal, const char *app, const char *key, const char *digest,
                    const char *recording_id, GError **error)
{
    g_autofree char *other = NULL;
    if (!steno_journal_idempotency_find(journal, app, key, digest, &other, error))
        return FALSE;
    if (other)
        return g_strcmp0(other, recording_id) == 0 || mismatch(key, error);
    g_auto(Query) query = query_start(
        journal, "INSERT INTO idempotency (app, idem_key, digest, recording_id, created_us) VALUES (?, ?, ?, ?, ?)",
        "writing the idempotency key", key);
    query_bind_text(&query, app);
    query_bind_text(&query, key);
    query_bind_text(&query, digest);
    query_bind_text(&query, recording_id);
    query_bind_int(&query, steno_clock_wall_us());
    if (query_step(&query) != SQLITE_CONSTRAINT_FOREIGNKEY)
        return query.rc == SQLITE_DONE || query_fail(&query, error);
    g_set_error(error, STENO_ERROR, STENO_ERROR_NOT_FOUND,
                "writing an idempotency key: the recording %s is not in the journal", recording_id);
    return FALSE;
}

gboolean steno_journal_idempotency_put(StenoJournal *journal, const char *app, const char *key, const char *digest,
                                       const char *recording_id, GError **error)
{
    return journal_write_begin(journal, error) &&
           journal_write_end(journal, put(journal, app, key, digest, recording_id, error), error);
}

gboolean steno_journal_idempotency_prune(StenoJournal *journal, gint64 created_before_us, GError **error)
{
    return journal_prune(journal,
                         "DELETE FROM idempotency WHERE (app, idem_key) IN "
                         "(SELECT app, idem_key FROM idempotency WHERE created_us < ? LIMIT ?)",
                         "forgetting old idempotency keys", created_before_us, error);
}
