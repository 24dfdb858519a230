#include "query.h"

#include <string.h>

gboolean steno_journal_marked(StenoJournal *journal, const char *name, gboolean *marked, GError **error)
{
    g_auto(Query) query = query_start(journal, "SELECT name FROM mark WHERE name = ?", "looking for the mark", name);
    query_bind_text(&query, name);
    int next = query_next(&query, error);
    *marked = next > 0;
    return next >= 0;
}

gboolean steno_journal_copied_us(StenoJournal *journal, gint64 *copied_us, GError **error)
{
    g_auto(Query) query = query_start(journal, "SELECT max(name) FROM mark WHERE name LIKE '" MARK_COPIED "%'",
                                      "looking for the mark of a copy", NULL);
    int next = query_next(&query, error);
    g_autofree char *name = next > 0 ? query_text(&query) : NULL;
    *copied_us = name ? g_ascii_strtoll(name + strlen(MARK_COPIED), NULL, 10) : 0;
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
