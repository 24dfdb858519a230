#include "query.h"

#include "steno/base/error.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/*
 * A page is read along one index that has its order, from where the last page ended; other filters are looked at row by
 * row. Which index is said, not guessed: SQLite knows nothing of how common a value is, and would now and then sort all
 * recordings for a page of them.
 */

typedef struct {
    const StenoJournalFilter *filter;
    const char *const *states; /* of the filter, each once; NULL-terminated */
    guint state_count;
    const char *index;
    gboolean of_label;   /* read along the labels rather than the recordings */
    gboolean each_state; /* read along each state on its own, and merged */
    guint rows;
    gint64 after_us;
    const char *after_id; /* NULL: from the start */
} Plan;

void journal_list_query_clear(ListQuery *query)
{
    g_string_free(query->sql, TRUE);
    g_ptr_array_unref(query->texts);
    g_array_unref(query->numbers);
}

static void add_text(ListQuery *query, const char *sql, const char *text)
{
    g_string_append(query->sql, sql);
    g_ptr_array_add(query->texts, g_strdup(text));
}

static void add_number(ListQuery *query, const char *sql, gint64 number)
{
    g_string_append(query->sql, sql);
    g_ptr_array_add(query->texts, NULL);
    g_array_append_val(query->numbers, number);
}

/* The bounds of time and of the last page, each way only the tighter: SQLite takes one to seek by, and not always it.
 */
static void add_range(ListQuery *query, const Plan *plan)
{
    const StenoJournalFilter *filter = plan->filter;
    gboolean oldest = filter->oldest_first;
    const char *t = plan->of_label ? "l" : "r";
    if (filter->created_from_us && !(plan->after_id && oldest && plan->after_us >= filter->created_from_us)) {
        g_string_append_printf(query->sql, " AND %s.created_us >= ", t);
        add_number(query, "?", filter->created_from_us);
    }
    if (filter->created_until_us && !(plan->after_id && !oldest && plan->after_us < filter->created_until_us)) {
        g_string_append_printf(query->sql, " AND %s.created_us < ", t);
        add_number(query, "?", filter->created_until_us);
    }
    if (plan->after_id) {
        g_string_append_printf(query->sql, " AND (%s.created_us, %s.%s) %s ", t, t,
                               plan->of_label ? "recording_id" : "id", oldest ? ">" : "<");
        add_number(query, "(?, ", plan->after_us);
        add_text(query, "?)", plan->after_id);
    }
}

static void add_states(ListQuery *query, const Plan *plan)
{
    for (guint i = 0; i < plan->state_count; i++)
        add_text(query, i == 0 ? " AND r.state IN (?" : ", ?", plan->states[i]);
    if (plan->state_count > 0)
        g_string_append_c(query->sql, ')');
}

/* One walk along one index. state: only this one; NULL: those of the filter. */
static void add_select(ListQuery *query, const Plan *plan, const char *columns, const char *state)
{
    const StenoJournalFilter *filter = plan->filter;
    if (plan->of_label) {
        g_string_append_printf(
            query->sql, "SELECT %s FROM label l INDEXED BY %s CROSS JOIN recording r WHERE r.id = l.recording_id",
            columns, plan->index);
        add_text(query, " AND l.name = ?", filter->label);
        if (filter->label_value)
            add_text(query, " AND l.value = ?", filter->label_value);
        if (filter->app)
            add_text(query, " AND l.app = ?", filter->app);
    } else {
        g_string_append_printf(query->sql, "SELECT %s FROM recording r INDEXED BY %s WHERE 1 = 1", columns,
                               plan->index);
        if (filter->app)
            add_text(query, " AND r.app = ?", filter->app);
    }
    if (filter->channel)
        add_text(query, " AND r.channel = ?", filter->channel);
    if (filter->platform)
        add_text(query, " AND r.platform = ?", filter->platform);
    if (filter->with_files)
        g_string_append(query->sql, " AND r.files_bytes > 0");
    if (state)
        add_text(query, " AND r.state = ?", state);
    else
        add_states(query, plan);
    add_range(query, plan);
    const char *order = filter->oldest_first ? "" : " DESC";
    if (plan->of_label)
        g_string_append_printf(query->sql, " ORDER BY l.created_us%s, l.recording_id%s", order, order);
    else
        g_string_append_printf(query->sql, " ORDER BY r.created_us%s, r.id%s", order, order);
    add_number(query, " LIMIT ?", plan->rows);
}

/* Common states and rare ones alike: the first rows of each, and of them the first. */
static void add_merge(ListQuery *query, const Plan *plan)
{
    const char *order = plan->filter->oldest_first ? "" : " DESC";
    g_string_append(query->sql, "SELECT " RECORDING_COLUMNS " FROM recording r WHERE r.id IN (SELECT m.id FROM (");
    for (guint i = 0; i < plan->state_count; i++) {
        g_string_append_printf(query->sql, "%sSELECT s%u.id, s%u.created_us FROM (", i > 0 ? " UNION ALL " : "", i, i);
        add_select(query, plan, "r.id, r.created_us", plan->states[i]);
        g_string_append_printf(query->sql, ") AS s%u", i);
    }
    g_string_append_printf(query->sql, ") AS m ORDER BY m.created_us%s, m.id%s", order, order);
    add_number(query, " LIMIT ?)", plan->rows);
    g_string_append_printf(query->sql, " ORDER BY r.created_us%s, r.id%s", order, order);
}

/* The one that leaves the fewest rows to look at. */
static void choose_index(Plan *plan)
{
    const StenoJournalFilter *filter = plan->filter;
    plan->of_label = filter->label != NULL;
    if (filter->label)
        plan->index = filter->label_value ? "label_by_value" : "label_by_name";
    else if (filter->channel)
        plan->index = "recording_by_channel";
    else if (filter->with_files && filter->app)
        plan->index = "recording_with_files";
    else if (plan->state_count > 0)
        plan->index = filter->app ? "recording_by_app_state" : "recording_by_state";
    else if (filter->platform)
        plan->index = "recording_by_platform";
    else
        plan->index = filter->app ? "recording_by_app" : "recording_by_time";
    plan->each_state = plan->state_count > 0 && g_str_has_suffix(plan->index, "_state");
}

void journal_list_query(ListQuery *query, const StenoJournalFilter *filter, guint rows, gint64 after_us,
                        const char *after_id)
{
    g_autoptr(GPtrArray) states = g_ptr_array_new();
    for (guint i = 0; filter->states && filter->states[i]; i++) {
        if (!g_ptr_array_find_with_equal_func(states, filter->states[i], g_str_equal, NULL))
            g_ptr_array_add(states, (gpointer)filter->states[i]);
    }
    Plan plan = {
        .filter = filter, .state_count = states->len, .rows = rows, .after_us = after_us, .after_id = after_id};
    g_ptr_array_add(states, NULL);
    plan.states = (const char *const *)states->pdata;
    choose_index(&plan);

    query->sql = g_string_sized_new(1024);
    query->texts = g_ptr_array_new_with_free_func(g_free);
    query->numbers = g_array_new(FALSE, FALSE, sizeof(gint64));
    if (plan.each_state && plan.state_count > 1)
        add_merge(query, &plan);
    else
        add_select(query, &plan, RECORDING_COLUMNS, plan.each_state ? plan.states[0] : NULL);
}

/* ---- pages ------------------------------------------------------------------------------------------------------- */

/* "n" or "o" for the order, the time of the page's last row, ".", its id. */
static char *make_token(const StenoJournalFilter *filter, const StenoJournalRecording *last)
{
    return g_strdup_printf("%c%" G_GINT64_FORMAT ".%s", filter->oldest_first ? 'o' : 'n', last->created_us, last->id);
}

static gboolean read_token(const char *token, const StenoJournalFilter *filter, gint64 *after_us, const char **after_id,
                           GError **error)
{
    char *end = NULL;
    errno = 0;
    if (token[0] == (filter->oldest_first ? 'o' : 'n') && g_ascii_isdigit(token[1]))
        *after_us = g_ascii_strtoll(token + 1, &end, 10);
    if (!end || errno != 0 || *end != '.' || !end[1] || strlen(end) > 128 || !g_str_is_ascii(end)) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_USAGE,
                    "listing recordings: the page token is not one that a page in this order ended with");
        return FALSE;
    }
    *after_id = end + 1;
    return TRUE;
}

static GPtrArray *read_rows(StenoJournal *journal, const ListQuery *list, GError **error)
{
    g_auto(Query) query = query_start_once(journal, list->sql->str, "listing recordings", NULL);
    for (guint i = 0, number = 0; i < list->texts->len; i++) {
        if (list->texts->pdata[i])
            query_bind_text(&query, list->texts->pdata[i]);
        else
            query_bind_int(&query, g_array_index(list->numbers, gint64, number++));
    }
    return journal_recordings_read(&query, error);
}

GPtrArray *steno_journal_recordings_list(StenoJournal *journal, const StenoJournalFilter *filter, guint count,
                                         const char *page_token, char **next_token, GError **error)
{
    ListQuery list;
    gint64 after_us = 0;
    const char *after_id = NULL;
    count = CLAMP(count, 1, STENO_JOURNAL_PAGE_MAX);
    if (page_token && !read_token(page_token, filter, &after_us, &after_id, error))
        return NULL;
    /* One more than asked for tells whether there is a next page. */
    journal_list_query(&list, filter, count + 1, after_us, after_id);
    GPtrArray *rows = read_rows(journal, &list, error);
    journal_list_query_clear(&list);
    if (!rows)
        return NULL;
    gboolean more = rows->len > count;
    if (more)
        g_ptr_array_set_size(rows, (gint)count);
    if (next_token)
        *next_token = more ? make_token(filter, rows->pdata[count - 1]) : NULL;
    return rows;
}
