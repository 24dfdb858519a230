#include "query.h"

#include "steno/base/clock.h"
#include "steno/base/error.h"

void steno_journal_key_free(StenoJournalKey *key)
{
    if (!key)
        return;
    g_free(key->id);
    g_free(key->app);
    g_free(key->role);
    g_free(key->label);
    g_free(key);
}

static gboolean add(StenoJournal *journal, const StenoJournalKey *key, GError **error)
{
    g_auto(Query) query = query_start(
        journal,
        "INSERT INTO api_key (id, app, role, label, sha256_hex, created_us, revoked_us) VALUES (?, ?, ?, ?, ?, ?, ?)",
        "adding the API key", key->id);
    query_bind_text(&query, key->id);
    query_bind_text(&query, key->app);
    query_bind_text(&query, key->role);
    query_bind_text(&query, key->label);
    query_bind_text(&query, key->sha256_hex);
    query_bind_int(&query, key->created_us);
    query_bind_int(&query, key->revoked_us);
    if (query_step(&query) != SQLITE_CONSTRAINT_PRIMARYKEY)
        return query.rc == SQLITE_DONE || query_fail(&query, error);
    g_set_error(error, STENO_ERROR, STENO_ERROR_CONFLICT, "adding the API key %s: there is one of this id already",
                key->id);
    return FALSE;
}

gboolean steno_journal_key_add(StenoJournal *journal, const StenoJournalKey *key, GError **error)
{
    return journal_write_begin(journal, error) && journal_write_end(journal, add(journal, key, error), error);
}

GPtrArray *steno_journal_keys(StenoJournal *journal, GError **error)
{
    g_autoptr(GPtrArray) keys = g_ptr_array_new_with_free_func((GDestroyNotify)steno_journal_key_free);
    g_auto(Query) query = query_start(journal,
                                      "SELECT id, app, role, label, sha256_hex, created_us, revoked_us FROM api_key "
                                      "ORDER BY created_us, id",
                                      "reading the API keys", NULL);
    int next;
    while ((next = query_next(&query, error)) > 0) {
        StenoJournalKey *key = g_new0(StenoJournalKey, 1);
        key->id = query_text_must(&query);
        key->app = query_text(&query);
        key->role = query_text_must(&query);
        key->label = query_text_must(&query);
        g_autofree char *sha256_hex = query_text_must(&query);
        (void)g_strlcpy(key->sha256_hex, sha256_hex, sizeof key->sha256_hex);
        key->created_us = query_int(&query);
        key->revoked_us = query_int(&query);
        g_ptr_array_add(keys, key);
    }
    return next == 0 ? g_steal_pointer(&keys) : NULL;
}

static gboolean mark_revoked(StenoJournal *journal, const char *id, GError **error)
{
    /* Twice is once: the time of the first stays. */
    g_auto(Query) query =
        query_start(journal,
                    "UPDATE api_key SET revoked_us = CASE revoked_us WHEN 0 THEN ? ELSE revoked_us END "
                    "WHERE id = ?",
                    "revoking the API key", id);
    query_bind_int(&query, steno_clock_wall_us());
    query_bind_text(&query, id);
    if (!query_run(&query, error))
        return FALSE;
    if (query_changes(&query) > 0)
        return TRUE;
    g_set_error(error, STENO_ERROR, STENO_ERROR_NOT_FOUND, "there is no API key %s", id);
    return FALSE;
}

gboolean steno_journal_key_revoke(StenoJournal *journal, const char *id, GError **error)
{
    return journal_write_begin(journal, error) && journal_write_end(journal, mark_revoked(journal, id, error), error);
}
