/* Pages: every filter against a plain walk over the same rows, and that no statement reads all rows for a few. */
#include "journal_fixture.h"

#include "journal_internal.h"

#include <string.h>

#define ROWS 240

static const char *const states[] = {"queued", "recording", "completed", "failed"};

/* Rows of few different values each, some of the same time. */
static StenoJournalRecording *make_row(GRand *random, guint i)
{
    g_autofree char *id = g_strdup_printf("r%03u", (i * 7919) % ROWS);
    StenoJournalRecording *row = row_new(id);
    row->created_us = 1000 + (gint64)(i / 3);
    row_set(&row->profile, id); /* so that they don't stand in each other's way */
    row_set(&row->app, g_rand_boolean(random) ? "clinic" : "lab");
    row_set(&row->platform, g_rand_boolean(random) ? "janus-1" : "janus-2");
    row_set(&row->channel, g_rand_boolean(random) ? "a" : "b");
    row_set(&row->state, states[g_rand_int_range(random, 0, G_N_ELEMENTS(states))]);
    row->files_bytes = g_rand_boolean(random) ? 1000 : 0;
    row->labels = json_object();
    if (g_rand_boolean(random))
        json_object_set_new(row->labels, "case", json_string(g_rand_boolean(random) ? "17" : "18"));
    if (g_rand_boolean(random))
        json_object_set_new(row->labels, "ward", json_string("17"));
    return row;
}

/* Rows of the model, in no order. */
static GPtrArray *fill(Fixture *fixture)
{
    GPtrArray *rows = g_ptr_array_new_with_free_func((GDestroyNotify)steno_journal_recording_free);
    GRand *random = g_rand_new_with_seed(17);
    assert_ok(steno_journal_begin(fixture->journal, error));
    for (guint i = 0; i < ROWS; i++) {
        StenoJournalRecording *row = make_row(random, i);
        assert_ok(steno_journal_recording_add(fixture->journal, row, error));
        g_ptr_array_add(rows, row);
    }
    assert_ok(steno_journal_commit(fixture->journal, error));
    g_rand_free(random);
    return rows;
}

/* ---- the model --------------------------------------------------------------------------------------------------- */

static gboolean has_state(const StenoJournalFilter *filter, const char *state)
{
    return !filter->states || g_strv_contains(filter->states, state);
}

static gboolean matches(const StenoJournalFilter *filter, const StenoJournalRecording *row)
{
    const char *label = filter->label ? json_string_value(json_object_get(row->labels, filter->label)) : NULL;
    return (!filter->app || strcmp(filter->app, row->app) == 0) && has_state(filter, row->state) &&
           (!filter->channel || strcmp(filter->channel, row->channel) == 0) &&
           (!filter->platform || strcmp(filter->platform, row->platform) == 0) && (!filter->label || label) &&
           (!filter->label_value || strcmp(filter->label_value, label) == 0) &&
           (!filter->created_from_us || row->created_us >= filter->created_from_us) &&
           (!filter->created_until_us || row->created_us < filter->created_until_us) &&
           (!filter->with_files || row->files_bytes > 0);
}

static gint by_time(gconstpointer a, gconstpointer b)
{
    const StenoJournalRecording *x = *(StenoJournalRecording *const *)a, *y = *(StenoJournalRecording *const *)b;
    if (x->created_us != y->created_us)
        return x->created_us < y->created_us ? -1 : 1;
    return strcmp(x->id, y->id);
}

static gint by_time_newest(gconstpointer a, gconstpointer b)
{
    return by_time(b, a);
}

/* All filters there are: one number each. */
static StenoJournalFilter filter_of(guint number)
{
    static const char *const one[] = {"completed", NULL};
    static const char *const some[] = {"completed", "queued", "completed", "unknown", NULL};
    StenoJournalFilter filter = {0};
    filter.app = number & 1 ? "clinic" : NULL;
    filter.channel = number & 2 ? "a" : NULL;
    filter.platform = number & 4 ? "janus-2" : NULL;
    filter.with_files = number & 8 ? 1 : 0;
    filter.oldest_first = number & 16 ? TRUE : FALSE;
    filter.created_from_us = number & 32 ? 1010 : 0;
    filter.created_until_us = number & 32 ? 1070 : 0;
    filter.states = (number >> 6) % 3 == 1 ? one : (number >> 6) % 3 == 2 ? some : NULL;
    filter.label = (number >> 6) / 3 > 0 ? "case" : NULL;
    filter.label_value = (number >> 6) / 3 > 1 ? "17" : NULL;
    return filter;
}

#define FILTERS (64 * 9)

/* ---- pages ------------------------------------------------------------------------------------------------------- */

static void check_pages(StenoJournal *journal, const StenoJournalFilter *filter, GPtrArray *expected, guint count)
{
    g_autofree char *token = NULL;
    guint at = 0;
    do {
        g_autofree char *next = NULL;
        g_autoptr(GPtrArray) page = NULL;
        assert_ok((page = steno_journal_recordings_list(journal, filter, count, token, &next, error)));
        assert_int_equal(page->len, MIN(count, expected->len - at));
        for (guint i = 0; i < page->len; i++, at++)
            assert_rows_equal(page->pdata[i], expected->pdata[at]);
        assert_true(!next == (at == expected->len));
        g_free(token);
        token = g_steal_pointer(&next);
    } while (token);
}

static void test_every_filter(void **state)
{
    Fixture *fixture = *state;
    g_autoptr(GPtrArray) rows = fill(fixture);
    guint found = 0;
    for (guint number = 0; number < FILTERS; number++) {
        StenoJournalFilter filter = filter_of(number);
        g_autoptr(GPtrArray) expected = g_ptr_array_new();
        for (guint i = 0; i < rows->len; i++)
            if (matches(&filter, rows->pdata[i]))
                g_ptr_array_add(expected, rows->pdata[i]);
        g_ptr_array_sort(expected, filter.oldest_first ? by_time : by_time_newest);
        check_pages(fixture->journal, &filter, expected, 7);
        check_pages(fixture->journal, &filter, expected, STENO_JOURNAL_PAGE_MAX);
        found += expected->len;
    }
    assert_true(found > FILTERS);
}

static void test_new_rows_do_not_shift_pages(void **state)
{
    Fixture *fixture = *state;
    g_autoptr(GPtrArray) rows = fill(fixture);
    StenoJournalFilter filter = {0};
    g_autofree char *token = NULL;
    g_autoptr(GPtrArray) first = NULL, second = NULL;
    g_ptr_array_sort(rows, by_time_newest);
    assert_ok((first = steno_journal_recordings_list(fixture->journal, &filter, 10, NULL, &token, error)));
    g_autoptr(StenoJournalRecording) newer = row_new("new");
    assert_ok(steno_journal_recording_add(fixture->journal, newer, error));
    /* The very row that the page ended with may be gone. */
    assert_ok(steno_journal_recording_forget(fixture->journal, ((StenoJournalRecording *)first->pdata[9])->id, error));
    assert_ok((second = steno_journal_recordings_list(fixture->journal, &filter, 10, token, NULL, error)));
    for (guint i = 0; i < 10; i++)
        assert_rows_equal(second->pdata[i], rows->pdata[10 + i]);
}

static void test_foreign_tokens(void **state)
{
    Fixture *fixture = *state;
    StenoJournalFilter newest = {0};
    static const char *const tokens[] = {"",
                                         "n",
                                         "n1",
                                         "n.",
                                         "n1.",
                                         "x1.r1",
                                         "n-1.r1",
                                         "o1.r1",
                                         "n1x.r1",
                                         "n 1.r1",
                                         "1.r1",
                                         "n+1.r1",
                                         "n99999999999999999999.r1",
                                         "n1.\xc3\xa4",
                                         "%"};
    for (gsize i = 0; i < G_N_ELEMENTS(tokens); i++)
        assert_refused(steno_journal_recordings_list(fixture->journal, &newest, 10, tokens[i], NULL, error),
                       STENO_ERROR_USAGE);
    g_autofree char *endless = g_strnfill(100000, 'n');
    assert_refused(steno_journal_recordings_list(fixture->journal, &newest, 10, endless, NULL, error),
                   STENO_ERROR_USAGE);
    g_autoptr(GPtrArray) none = NULL;
    assert_ok((
        none = steno_journal_recordings_list(fixture->journal, &newest, 0, "n1.'; DROP TABLE recording", NULL, error)));
    assert_int_equal(none->len, 0);
}

static void test_changed_labels_are_found(void **state)
{
    Fixture *fixture = *state;
    g_autoptr(StenoJournalRecording) row = row_new("r1");
    StenoJournalFilter old = {.label = "case", .label_value = "17"}, new = {.label = "case", .label_value = "18"};
    row->labels = json_pack("{s:s, s:s}", "case", "17", "gone", "x");
    assert_ok(steno_journal_recording_add(fixture->journal, row, error));
    json_object_set_new(row->labels, "case", json_string("18"));
    json_object_del(row->labels, "gone");
    assert_ok(steno_journal_recording_save(fixture->journal, row, error));
    g_autoptr(GPtrArray) of_old = NULL, of_new = NULL, of_gone = NULL;
    assert_ok((of_old = steno_journal_recordings_list(fixture->journal, &old, 10, NULL, NULL, error)));
    assert_ok((of_new = steno_journal_recordings_list(fixture->journal, &new, 10, NULL, NULL, error)));
    old.label = "gone";
    old.label_value = NULL;
    assert_ok((of_gone = steno_journal_recordings_list(fixture->journal, &old, 10, NULL, NULL, error)));
    assert_int_equal(of_old->len, 0);
    assert_int_equal(of_new->len, 1);
    assert_int_equal(of_gone->len, 0);
}

/* ---- how SQLite goes about it ------------------------------------------------------------------------------------ */

/* The steps of the statement's plan, a line each. Caller frees. */
static char *plan_of(sqlite3 *db, const char *sql)
{
    g_autofree char *explain = g_strconcat("EXPLAIN QUERY PLAN ", sql, NULL);
    GString *steps = g_string_new("");
    sqlite3_stmt *statement = NULL;
    assert_int_equal(sqlite3_prepare_v2(db, explain, -1, &statement, NULL), SQLITE_OK);
    while (sqlite3_step(statement) == SQLITE_ROW)
        g_string_append_printf(steps, "%s\n", (const char *)sqlite3_column_text(statement, 3));
    sqlite3_finalize(statement);
    return g_string_free(steps, FALSE);
}

/* No table is walked without an index, and nothing is sorted but so often. */
static void check_plan(sqlite3 *db, const char *sql, guint sorts_allowed)
{
    static const char *const fine[] = {"USING INDEX",
                                       "USING COVERING INDEX",
                                       "CONSTANT ROW",
                                       "SCAN api_key",
                                       "SCAN endpoint_disabled",
                                       "SCAN sqlite_sequence",
                                       "SCAN m",
                                       "SCAN s"};
    g_autofree char *plan = plan_of(db, sql);
    g_auto(GStrv) steps = g_strsplit(plan, "\n", -1);
    guint sorts = 0;
    for (guint i = 0; steps[i]; i++) {
        gboolean walks = g_str_has_prefix(steps[i], "SCAN");
        for (gsize f = 0; f < G_N_ELEMENTS(fine); f++)
            walks = walks && !strstr(steps[i], fine[f]);
        sorts += strstr(steps[i], "TEMP B-TREE") != NULL;
        if (walks || strstr(steps[i], "AUTOMATIC"))
            fail_msg("%s: %s", sql, plan);
    }
    if (sorts > sorts_allowed)
        fail_msg("%s: %s", sql, plan);
}

static void test_pages_are_read_along_an_index(void **state)
{
    Fixture *fixture = *state;
    for (guint number = 0; number < 2 * FILTERS; number++) {
        StenoJournalFilter filter = filter_of(number / 2);
        ListQuery query;
        journal_list_query(&query, &filter, 51, 1050, number % 2 ? "r1" : NULL);
        /* Of the merged states, the page is sorted and then its rows. */
        check_plan(fixture->journal->db, query.sql->str, strstr(query.sql->str, "UNION") ? 2 : 0);
        /* Where a page ended is where the next is sought, not walked to. */
        g_autofree char *plan = plan_of(fixture->journal->db, query.sql->str);
        if (number % 2 && !strstr(plan, filter.oldest_first ? "id)>(?,?)" : "id)<(?,?)"))
            fail_msg("%s: %s", query.sql->str, plan);
        /* A rare state is not looked for among all the others. */
        if (filter.states && !filter.label && !filter.channel && !(filter.with_files && filter.app) &&
            !strstr(plan, "state=?"))
            fail_msg("%s: %s", query.sql->str, plan);
        journal_list_query_clear(&query);
    }
}

static void test_other_statements_use_an_index(void **state)
{
    Fixture *fixture = *state;
    StenoJournal *journal = fixture->journal;
    g_autoptr(StenoJournalRecording) row = row_new("r1");
    StenoJournalDelivery delivery = {.recording_id = row->id, .endpoint = row->app};
    StenoJournalKey key = {.id = row->id, .role = row->app};
    g_autofree char *found = NULL;
    /* Each statement once, so that the journal has it compiled. */
    row->labels = json_pack("{s:s}", "case", "17");
    assert_ok(steno_journal_recording_add(journal, row, error));
    row_set(&row->state, "recording");
    assert_ok(steno_journal_recording_save(journal, row, error));
    steno_journal_recording_free(steno_journal_recording_get(journal, "r1", NULL));
    g_ptr_array_unref(steno_journal_recordings_unfinished(journal, NULL));
    assert_int_equal(steno_journal_files_bytes(journal, "clinic", NULL), 0);
    assert_ok(steno_journal_renew(journal, 15, error));
    assert_ok(steno_journal_delivery_add(journal, "r1", "clinic", error));
    assert_ok(steno_journal_event_add(journal, "r1", "clinic", "t", NULL, NULL, error));
    for (int i = 0; i < 4; i++)
        g_ptr_array_unref(steno_journal_events(journal, 0, i & 1 ? "clinic" : NULL, i & 2 ? "r1" : NULL, 10, NULL));
    assert_ok(steno_journal_events_prune(journal, 1, error));
    assert_ok(steno_journal_delivery_save(journal, &delivery, error));
    g_ptr_array_unref(steno_journal_deliveries_waiting(journal, 10, NULL));
    assert_ok(steno_journal_endpoint_set_disabled(journal, "x", TRUE, NULL, error));
    assert_ok(steno_journal_endpoint_set_disabled(journal, "x", FALSE, NULL, error));
    json_decref(steno_journal_endpoints_disabled(journal, NULL));
    assert_ok(steno_journal_idempotency_put(journal, "clinic", "k", "d", "r1", error));
    assert_ok(steno_journal_idempotency_find(journal, "clinic", "k", "d", &found, error));
    assert_ok(steno_journal_idempotency_prune(journal, 1, error));
    assert_ok(steno_journal_key_add(journal, &key, error));
    assert_ok(steno_journal_key_revoke(journal, "r1", error));
    g_ptr_array_unref(steno_journal_keys(journal, NULL));
    assert_ok(steno_journal_recording_forget(journal, "r1", error));

    guint statements = 0;
    for (sqlite3_stmt *s = NULL; (s = sqlite3_next_stmt(journal->db, s)); statements++) {
        const char *sql = sqlite3_sql(s);
        guint sorts = strstr(sql, "FROM api_key") ? 1 : 0;
        check_plan(journal->db, sql, sorts);
    }
    assert_in_range(statements, 30, 60);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_every_filter),
        TEST(test_new_rows_do_not_shift_pages),
        TEST(test_foreign_tokens),
        TEST(test_changed_labels_are_found),
        TEST(test_pages_are_read_along_an_index),
        TEST(test_other_statements_use_an_index),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
