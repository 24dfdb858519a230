#include "query.h"

gboolean steno_journal_marked(StenoJournal *journal, const char *name, gboolean *marked, GError **error)
{
    g_auto(Query) query = query_start(journal, "SELECT name FROM mark WHERE name = ?", "looking for the mark", name);
    query_bind_text(&query, name);
    int next = query_next(&query, error);
    *marked = next > 0;
    return next >= 0;
}

static gboolean put(StenoJournal *journal, const char *name, GError **error)
{
    g_auto(Query) query = query_start(journal, "INSERT INTO mark (name) VALUES (?) ON CONFLICT (name) DO NOTHING",
                                      "writing the mark", name);
    query_bind_text(&query, name);
    return query_run(&query, error);
}

gboolean steno_journal_mark(StenoJournal *journal, const char *name, GError **error)
{
    return journal_write_begin(journal, error) && journal_write_end(journal, put(journal, name, error), error);
}
