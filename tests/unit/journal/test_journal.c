/* The journal's rows: what goes in comes out, what must be refused is. */
#include "journal_fixture.h"

#include "steno/base/clock.h"

#include <string.h>

static void add_simple(StenoJournal *journal, const char *id)
{
    g_autoptr(StenoJournalRecording) row = row_new(id);
    assert_ok(steno_journal_recording_add(journal, row, error));
}

/* ---- recordings -------------------------------------------------------------------------------------------------- */

static void test_recording_comes_back(void **state)
{
    Fixture *fixture = *state;
    g_autoptr(StenoJournalRecording) row = row_new("r1");
    g_autoptr(GError) none = NULL;
    row->labels = json_pack("{s:s, s:s}", "case", "17", "ward", "7 \xc3\xa4");
    assert_ok(steno_journal_recording_add(fixture->journal, row, error));
    assert_true(row->created_us > 0 && row->updated_us >= row->created_us);
    assert_int_equal(row->epoch, 1);

    row_set(&row->state, "recording");
    row_set(&row->desired, "stop");
    row_set(&row->webhook, "ward-7");
    row_set(&row->end_reason, "stopped");
    row->error = json_pack("{s:s, s:s}", "code", "tls", "message", "it failed");
    row->detail = json_pack("{s:[s, i], s:n}", "tracks", "a", 1, "none");
    row->start_at_us = 1;
    row->started_us = G_GINT64_CONSTANT(1763771234567890);
    row->ended_us = 3;
    row->event_part = 4;
    row->event_seq = 5;
    row->files_bytes = G_GINT64_CONSTANT(6000000000);
    row->legal_hold = TRUE;
    assert_ok(steno_journal_recording_save(fixture->journal, row, error));
    g_autoptr(StenoJournalRecording) again = NULL;
    assert_ok((again = steno_journal_recording_get(fixture->journal, "r1", error)));
    assert_rows_equal(row, again);

    /* Also when nothing that is in an index has changed, and when the process has begun anew. */
    row->event_seq = 6;
    json_object_set_new(row->detail, "more", json_true());
    assert_ok(steno_journal_recording_save(fixture->journal, row, error));
    fixture_close(fixture);
    assert_int_equal(fixture_open(fixture), STENO_JOURNAL_OPENED);
    g_autoptr(StenoJournalRecording) last = NULL;
    assert_ok((last = steno_journal_recording_get(fixture->journal, "r1", error)));
    assert_rows_equal(row, last);
    assert_null(steno_journal_recording_get(fixture->journal, "r2", &none));
    assert_null(none);
}

static void test_one_active_a_channel(void **state)
{
    Fixture *fixture = *state;
    g_autoptr(StenoJournalRecording) first = row_new("r1"), second = row_new("r2");
    g_autoptr(GError) error_of_second = NULL;
    row_set(&second->channel, "r1");
    assert_ok(steno_journal_recording_add(fixture->journal, first, error));
    assert_false(steno_journal_recording_add(fixture->journal, second, &error_of_second));
    assert_true(g_error_matches(error_of_second, STENO_ERROR, STENO_ERROR_ALREADY_RECORDING));
    assert_string_equal(error_of_second->message, "r1");
    assert_int_equal(second->created_us, 0);
    /* Another profile, platform or app is another thing. */
    row_set(&second->profile, "audio");
    assert_ok(steno_journal_recording_add(fixture->journal, second, error));
    /* Nor may it become one by being changed. */
    row_set(&second->profile, "default");
    assert_refused(steno_journal_recording_save(fixture->journal, second, error), STENO_ERROR_ALREADY_RECORDING);
    row_set(&first->state, "completed");
    assert_ok(steno_journal_recording_save(fixture->journal, first, error));
    assert_ok(steno_journal_recording_save(fixture->journal, second, error));
    g_autoptr(StenoJournalRecording) twin = row_new("r1");
    assert_refused(steno_journal_recording_add(fixture->journal, twin, error), STENO_ERROR_ALREADY_RECORDING);
    row_set(&twin->channel, "other");
    assert_refused(steno_journal_recording_add(fixture->journal, twin, error), STENO_ERROR_CONFLICT);
}

static void test_writes_are_fenced(void **state)
{
    Fixture *fixture = *state;
    g_autoptr(StenoJournalRecording) row = row_new("r1");
    assert_ok(steno_journal_recording_add(fixture->journal, row, error));
    fixture_sql(fixture, "UPDATE recording SET owner = 'ward-8', epoch = epoch + 1");
    row_set(&row->state, "completed");
    assert_refused(steno_journal_recording_save(fixture->journal, row, error), STENO_ERROR_CONFLICT);
    assert_refused(steno_journal_recording_forget(fixture->journal, "r1", error), STENO_ERROR_CONFLICT);
    g_autoptr(GPtrArray) none = NULL;
    assert_ok((none = steno_journal_recordings_unfinished(fixture->journal, error)));
    assert_int_equal(none->len, 0);
    g_autofree char *stays = fixture_sql_text(fixture, "SELECT state FROM recording");
    assert_string_equal(stays, "queued");
    /* Back under our name, but of a later claim. */
    fixture_sql(fixture, "UPDATE recording SET owner = 'ward-7'");
    assert_refused(steno_journal_recording_save(fixture->journal, row, error), STENO_ERROR_CONFLICT);
    row_set(&row->id, "r9");
    assert_refused(steno_journal_recording_save(fixture->journal, row, error), STENO_ERROR_NOT_FOUND);
}

static void test_opening_takes_over(void **state)
{
    Fixture *fixture = *state;
    add_simple(fixture->journal, "r1");
    fixture_close(fixture);
    assert_ok((fixture->journal = steno_journal_open(fixture->path, "renamed", NULL, error)));
    g_autoptr(GPtrArray) ours = NULL;
    assert_ok((ours = steno_journal_recordings_unfinished(fixture->journal, error)));
    assert_int_equal(ours->len, 1);
    assert_int_equal(((StenoJournalRecording *)ours->pdata[0])->epoch, 2);
    assert_ok(steno_journal_recording_save(fixture->journal, ours->pdata[0], error));
}

static void test_unfinished_and_lease(void **state)
{
    Fixture *fixture = *state;
    static const char *const states[] = {"queued",     "joining", "recording", "paused", "reconnecting",
                                         "assembling", "storing", "completed", "failed"};
    for (guint i = 0; i < G_N_ELEMENTS(states); i++) {
        g_autoptr(StenoJournalRecording) row = row_new(states[i]);
        row->created_us = 1000 - (gint64)i;
        row_set(&row->state, states[i]);
        assert_ok(steno_journal_recording_add(fixture->journal, row, error));
    }
    g_autoptr(GPtrArray) rows = NULL;
    assert_ok((rows = steno_journal_recordings_unfinished(fixture->journal, error)));
    assert_int_equal(rows->len, 7);
    for (guint i = 0; i < rows->len; i++)
        assert_string_equal(((StenoJournalRecording *)rows->pdata[i])->id, states[6 - i]);
    fixture_sql(fixture, "UPDATE recording SET lease_until_us = 7");
    gint64 now_us = steno_clock_wall_us();
    assert_ok(steno_journal_renew(fixture->journal, 15, error));
    g_autofree char *sql = g_strdup_printf("SELECT count(*) FROM recording WHERE lease_until_us >= %" G_GINT64_FORMAT
                                           " AND state NOT IN ('completed', 'failed')",
                                           now_us + 15 * G_USEC_PER_SEC);
    g_autofree char *renewed = fixture_sql_text(fixture, sql);
    g_autofree char *others = fixture_sql_text(fixture, "SELECT count(*) FROM recording WHERE lease_until_us = 7");
    assert_string_equal(renewed, "7");
    assert_string_equal(others, "2");
}

static void test_forget_takes_all(void **state)
{
    Fixture *fixture = *state;
    g_autoptr(StenoJournalRecording) row = row_new("r1");
    row->labels = json_pack("{s:s}", "case", "17");
    assert_ok(steno_journal_recording_add(fixture->journal, row, error));
    add_simple(fixture->journal, "r2");
    for (int i = 0; i < 2; i++) {
        const char *id = i ? "r2" : "r1";
        assert_ok(steno_journal_delivery_add(fixture->journal, id, "hook", error));
        assert_ok(steno_journal_event_add(fixture->journal, id, "clinic", "recording.started", NULL, NULL, error));
        assert_ok(steno_journal_idempotency_put(fixture->journal, "clinic", id, "d", id, error));
    }
    assert_ok(steno_journal_recording_forget(fixture->journal, "r1", error));
    g_autofree char *left = fixture_sql_text(
        fixture,
        "SELECT (SELECT count(*) FROM recording) || (SELECT count(*) FROM label) || (SELECT count(*) FROM event)"
        " || (SELECT count(*) FROM delivery) || (SELECT count(*) FROM idempotency)");
    assert_string_equal(left, "10111");
    assert_int_equal(steno_journal_events_last(fixture->journal, NULL), 2);
    assert_ok(steno_journal_recording_forget(fixture->journal, "r2", error));
    assert_int_equal(steno_journal_events_last(fixture->journal, NULL), 2);
    assert_refused(steno_journal_recording_forget(fixture->journal, "r2", error), STENO_ERROR_NOT_FOUND);
}

static void test_files_bytes(void **state)
{
    Fixture *fixture = *state;
    assert_int_equal(steno_journal_files_bytes(fixture->journal, "clinic", NULL), 0);
    for (int i = 0; i < 3; i++) {
        g_autofree char *id = g_strdup_printf("r%d", i);
        g_autoptr(StenoJournalRecording) row = row_new(id);
        row->files_bytes = i * G_GINT64_CONSTANT(5000000000);
        assert_ok(steno_journal_recording_add(fixture->journal, row, error));
    }
    assert_int_equal(steno_journal_files_bytes(fixture->journal, "clinic", NULL), G_GINT64_CONSTANT(15000000000));
    assert_int_equal(steno_journal_files_bytes(fixture->journal, "other", NULL), 0);
}

static void test_labels_must_be_strings(void **state)
{
    Fixture *fixture = *state;
    g_autoptr(StenoJournalRecording) row = row_new("r1");
    row->labels = json_pack("{s:i}", "case", 17);
    assert_refused(steno_journal_recording_add(fixture->journal, row, error), STENO_ERROR_USAGE);
    assert_null(steno_journal_recording_get(fixture->journal, "r1", NULL));
}

/* ---- groups ------------------------------------------------------------------------------------------------------ */

static void test_groups(void **state)
{
    Fixture *fixture = *state;
    StenoJournal *journal = fixture->journal;
    assert_ok(steno_journal_begin(journal, error));
    assert_refused(steno_journal_begin(journal, error), STENO_ERROR_INTERNAL);
    add_simple(journal, "r1");
    assert_ok(steno_journal_event_add(journal, "r1", "clinic", "recording.started", NULL, NULL, error));
    g_autofree char *unseen = fixture_sql_text(fixture, "SELECT count(*) FROM recording");
    assert_string_equal(unseen, "0");
    assert_ok(steno_journal_commit(journal, error));
    g_autofree char *seen = fixture_sql_text(fixture, "SELECT count(*) FROM recording");
    assert_string_equal(seen, "1");

    assert_ok(steno_journal_begin(journal, error));
    add_simple(journal, "r2");
    steno_journal_rollback(journal);
    assert_null(steno_journal_recording_get(journal, "r2", NULL));
    assert_refused(steno_journal_commit(journal, error), STENO_ERROR_INTERNAL);

    /* A call that is refused leaves nothing, and the others of the group stay. */
    g_autoptr(StenoJournalRecording) twin = row_new("r3");
    twin->labels = json_pack("{s:i}", "case", 17);
    assert_ok(steno_journal_begin(journal, error));
    add_simple(journal, "r2");
    assert_refused(steno_journal_recording_add(journal, twin, error), STENO_ERROR_USAGE);
    assert_refused(steno_journal_event_add(journal, "r9", NULL, "x", NULL, NULL, error), STENO_ERROR_NOT_FOUND);
    assert_ok(steno_journal_commit(journal, error));
    g_autoptr(StenoJournalRecording) kept = steno_journal_recording_get(journal, "r2", NULL);
    assert_non_null(kept);
    assert_null(steno_journal_recording_get(journal, "r3", NULL));

    /* What was not committed when the journal is closed never was. */
    assert_ok(steno_journal_begin(journal, error));
    add_simple(journal, "r4");
    fixture_close(fixture);
    fixture_open(fixture);
    assert_null(steno_journal_recording_get(fixture->journal, "r4", NULL));
}

/* A row larger than any can be fails as a full disk would: what comes before and after it in the group goes, too. */
static void test_failed_group_is_lost(void **state)
{
    Fixture *fixture = *state;
    StenoJournal *journal = fixture->journal;
    g_autofree char *large = g_strnfill(17 * 1024 * 1024, 'x');
    g_autoptr(StenoJournalRecording) row = row_new("r2"), later = row_new("r3");
    row->detail = json_pack("{s:s}", "large", large);
    assert_refused(steno_journal_recording_add(journal, row, error), STENO_ERROR_JOURNAL);
    assert_ok(steno_journal_begin(journal, error));
    add_simple(journal, "r1");
    assert_refused(steno_journal_recording_add(journal, row, error), STENO_ERROR_JOURNAL);
    assert_refused(steno_journal_recording_add(journal, later, error), STENO_ERROR_JOURNAL);
    assert_refused(steno_journal_commit(journal, error), STENO_ERROR_JOURNAL);
    g_autofree char *none = fixture_sql_text(fixture, "SELECT count(*) FROM recording");
    assert_string_equal(none, "0");
    add_simple(journal, "r1");
    assert_ok(steno_journal_begin(journal, error));
    assert_ok(steno_journal_recording_add(journal, later, error));
    assert_ok(steno_journal_commit(journal, error));
}

/* ---- events and deliveries --------------------------------------------------------------------------------------- */

static void test_events(void **state)
{
    Fixture *fixture = *state;
    StenoJournal *journal = fixture->journal;
    g_autoptr(StenoJournalEvent) event = NULL;
    json_t *data = json_pack("{s:s}", "participant", "alice");
    assert_int_equal(steno_journal_events_last(journal, NULL), 0);
    add_simple(journal, "r1");
    add_simple(journal, "r2");
    assert_ok(steno_journal_event_add(journal, "r1", "clinic", "recording.participant_joined", data, &event, error));
    assert_int_equal(event->seq, 1);
    assert_true(g_str_has_prefix(event->id, "msg_") && strlen(event->id) == 30);
    assert_ok(steno_journal_event_add(journal, "r2", "clinic", "b", NULL, NULL, error));
    assert_ok(steno_journal_event_add(journal, NULL, NULL, "server", NULL, NULL, error));
    assert_ok(steno_journal_event_add(journal, "r1", "lab", "d", NULL, NULL, error));
    assert_refused(steno_journal_event_add(journal, "r9", "lab", "d", NULL, NULL, error), STENO_ERROR_NOT_FOUND);

    g_autoptr(GPtrArray) all = NULL, clinic = NULL, of_r1 = NULL, both = NULL, after = NULL;
    assert_ok((all = steno_journal_events(journal, 0, NULL, NULL, 100, error)));
    assert_ok((clinic = steno_journal_events(journal, 0, "clinic", NULL, 100, error)));
    assert_ok((of_r1 = steno_journal_events(journal, 0, NULL, "r1", 100, error)));
    assert_ok((both = steno_journal_events(journal, 0, "lab", "r1", 100, error)));
    assert_ok((after = steno_journal_events(journal, 1, NULL, NULL, 2, error)));
    assert_int_equal(all->len, 4);
    assert_int_equal(clinic->len, 2);
    assert_int_equal(of_r1->len, 2);
    assert_int_equal(both->len, 1);
    assert_int_equal(after->len, 2);
    const StenoJournalEvent *first = all->pdata[0], *server = all->pdata[2];
    assert_string_equal(first->id, event->id);
    assert_string_equal(first->recording_id, "r1");
    assert_string_equal(first->app, "clinic");
    assert_string_equal(first->type, "recording.participant_joined");
    assert_int_equal(first->created_us, event->created_us);
    assert_true(json_equal(first->data, data) && json_equal(event->data, data));
    assert_null(server->recording_id);
    assert_null(server->app);
    assert_null(server->data);
    assert_int_equal(((StenoJournalEvent *)after->pdata[0])->seq, 2);
    json_decref(data);
}

static guint waiting(StenoJournal *journal, GPtrArray **rows)
{
    if (*rows)
        g_ptr_array_unref(*rows);
    assert_ok((*rows = steno_journal_deliveries_waiting(journal, 100, error)));
    return (*rows)->len;
}

static void test_deliveries(void **state)
{
    Fixture *fixture = *state;
    StenoJournal *journal = fixture->journal;
    g_autoptr(GPtrArray) rows = NULL;
    add_simple(journal, "r1");
    add_simple(journal, "r2");
    /* Events from now on, not those before. */
    assert_ok(steno_journal_event_add(journal, "r1", "clinic", "a", NULL, NULL, error));
    assert_ok(steno_journal_delivery_add(journal, "r1", "hook", error));
    assert_ok(steno_journal_delivery_add(journal, "r2", "hook", error));
    assert_ok(steno_journal_delivery_add(journal, "r2", "other", error));
    assert_refused(steno_journal_delivery_add(journal, "r9", "hook", error), STENO_ERROR_NOT_FOUND);
    assert_int_equal(waiting(journal, &rows), 0);
    assert_ok(steno_journal_event_add(journal, "r1", "clinic", "b", NULL, NULL, error));
    assert_int_equal(waiting(journal, &rows), 1);
    StenoJournalDelivery *delivery = rows->pdata[0];
    assert_string_equal(delivery->recording_id, "r1");
    assert_string_equal(delivery->endpoint, "hook");
    assert_int_equal(delivery->cursor, 1);
    assert_int_equal(delivery->attempts, 0);

    /* A failed attempt is kept, and asking for it again does not begin anew. */
    delivery->attempts = 3;
    delivery->next_at_us = 5000;
    assert_ok(steno_journal_delivery_save(journal, delivery, error));
    assert_ok(steno_journal_delivery_add(journal, "r1", "hook", error));
    assert_ok(steno_journal_event_add(journal, "r2", "clinic", "c", NULL, NULL, error));
    assert_int_equal(waiting(journal, &rows), 3);
    delivery = rows->pdata[2];
    assert_string_equal(delivery->recording_id, "r1");
    assert_int_equal(delivery->attempts, 3);
    assert_int_equal(delivery->next_at_us, 5000);

    /* Events that a delivery needs are not forgotten, others are; a delivered one is no longer waiting. */
    assert_ok(steno_journal_events_prune(journal, steno_clock_wall_us() + 1, error));
    g_autoptr(GPtrArray) kept = NULL, left = NULL;
    assert_ok((kept = steno_journal_events(journal, 0, NULL, NULL, 100, error)));
    assert_int_equal(kept->len, 2);
    delivery->cursor = 2;
    assert_ok(steno_journal_delivery_save(journal, delivery, error));
    assert_int_equal(waiting(journal, &rows), 2);

    /* Disabled: nothing of it, but it is not lost either. */
    assert_ok(steno_journal_endpoint_set_disabled(journal, "other", TRUE, "it said 410", error));
    assert_ok(steno_journal_endpoint_set_disabled(journal, "other", TRUE, "again", error));
    assert_int_equal(waiting(journal, &rows), 1);
    assert_string_equal(((StenoJournalDelivery *)rows->pdata[0])->endpoint, "hook");
    json_t *disabled = NULL;
    assert_ok((disabled = steno_journal_endpoints_disabled(journal, error)));
    assert_int_equal(json_array_size(disabled), 1);
    assert_string_equal(json_string_value(json_object_get(json_array_get(disabled, 0), "name")), "other");
    assert_string_equal(json_string_value(json_object_get(json_array_get(disabled, 0), "why")), "it said 410");
    assert_non_null(json_object_get(json_array_get(disabled, 0), "disabled_at"));
    json_decref(disabled);
    assert_ok(steno_journal_events_prune(journal, steno_clock_wall_us() + 1, error));
    assert_ok((left = steno_journal_events(journal, 0, NULL, NULL, 100, error)));
    assert_int_equal(left->len, 1);
    assert_ok(steno_journal_endpoint_set_disabled(journal, "other", FALSE, NULL, error));
    assert_int_equal(waiting(journal, &rows), 2);
    delivery = rows->pdata[0];
    row_set(&delivery->endpoint, "nobody");
    assert_refused(steno_journal_delivery_save(journal, delivery, error), STENO_ERROR_NOT_FOUND);
}

/* ---- idempotency and keys ---------------------------------------------------------------------------------------- */

static void test_idempotency(void **state)
{
    Fixture *fixture = *state;
    StenoJournal *journal = fixture->journal;
    g_autofree char *found = NULL;
    add_simple(journal, "r1");
    assert_ok(steno_journal_idempotency_find(journal, "clinic", "k", "digest", &found, error));
    assert_null(found);
    assert_ok(steno_journal_idempotency_put(journal, "clinic", "k", "digest", "r1", error));
    assert_ok(steno_journal_idempotency_put(journal, "clinic", "k", "digest", "r1", error));
    assert_ok(steno_journal_idempotency_find(journal, "clinic", "k", "digest", &found, error));
    assert_string_equal(found, "r1");
    g_clear_pointer(&found, g_free);
    assert_refused(steno_journal_idempotency_find(journal, "clinic", "k", "other", &found, error),
                   STENO_ERROR_IDEMPOTENCY_MISMATCH);
    assert_refused(steno_journal_idempotency_put(journal, "clinic", "k", "other", "r1", error),
                   STENO_ERROR_IDEMPOTENCY_MISMATCH);
    assert_refused(steno_journal_idempotency_put(journal, "clinic", "l", "digest", "r9", error), STENO_ERROR_NOT_FOUND);
    assert_null(found);
    /* Another app's key is another key. */
    assert_ok(steno_journal_idempotency_find(journal, "lab", "k", "other", &found, error));
    assert_null(found);
    assert_ok(steno_journal_idempotency_prune(journal, 1, error));
    assert_ok(steno_journal_idempotency_find(journal, "clinic", "k", "digest", &found, error));
    assert_non_null(found);
    g_clear_pointer(&found, g_free);
    assert_ok(steno_journal_idempotency_prune(journal, steno_clock_wall_us() + 1, error));
    assert_ok(steno_journal_idempotency_find(journal, "clinic", "k", "digest", &found, error));
    assert_null(found);
}

static void test_keys(void **state)
{
    Fixture *fixture = *state;
    StenoJournal *journal = fixture->journal;
    StenoJournalKey admin = {.id = (char *)"key_1", .role = (char *)"admin", .label = (char *)"first", .created_us = 1};
    StenoJournalKey viewer = {
        .id = (char *)"key_2", .app = (char *)"lab", .role = (char *)"viewer", .label = (char *)"", .created_us = 2};
    memset(admin.sha256_hex, 'a', 64);
    memset(viewer.sha256_hex, 'b', 64);
    assert_ok(steno_journal_key_add(journal, &viewer, error));
    assert_ok(steno_journal_key_add(journal, &admin, error));
    assert_refused(steno_journal_key_add(journal, &admin, error), STENO_ERROR_CONFLICT);
    g_autoptr(GPtrArray) keys = NULL, later = NULL, last = NULL;
    assert_ok((keys = steno_journal_keys(journal, error)));
    assert_int_equal(keys->len, 2);
    const StenoJournalKey *a = keys->pdata[0], *b = keys->pdata[1];
    assert_string_equal(a->id, "key_1");
    assert_null(a->app);
    assert_string_equal(a->role, "admin");
    assert_string_equal(a->label, "first");
    assert_string_equal(a->sha256_hex, admin.sha256_hex);
    assert_string_equal(b->app, "lab");
    assert_int_equal(b->created_us, 2);
    assert_int_equal(b->revoked_us, 0);
    assert_ok(steno_journal_key_revoke(journal, "key_2", error));
    assert_ok((later = steno_journal_keys(journal, error)));
    gint64 revoked_us = ((StenoJournalKey *)later->pdata[1])->revoked_us;
    assert_true(revoked_us > 0);
    assert_ok(steno_journal_key_revoke(journal, "key_2", error));
    assert_ok((last = steno_journal_keys(journal, error)));
    assert_int_equal(((StenoJournalKey *)last->pdata[1])->revoked_us, revoked_us);
    assert_refused(steno_journal_key_revoke(journal, "key_3", error), STENO_ERROR_NOT_FOUND);
}

static void test_marks(void **state)
{
    StenoJournal *journal = ((Fixture *)*state)->journal;
    gboolean marked = TRUE;
    assert_ok(steno_journal_marked(journal, "rebuilt", &marked, error));
    assert_false(marked);
    assert_ok(steno_journal_mark(journal, "rebuilt", error));
    assert_ok(steno_journal_mark(journal, "rebuilt", error));
    assert_ok(steno_journal_marked(journal, "rebuilt", &marked, error));
    assert_true(marked);
    assert_ok(steno_journal_marked(journal, "other", &marked, error));
    assert_false(marked);
    /* A mark goes with the transaction that it is part of. */
    assert_ok(steno_journal_begin(journal, error));
    assert_ok(steno_journal_mark(journal, "other", error));
    steno_journal_rollback(journal);
    assert_ok(steno_journal_marked(journal, "other", &marked, error));
    assert_false(marked);
    assert_ok(steno_journal_begin(journal, error));
    assert_ok(steno_journal_mark(journal, "other", error));
    assert_ok(steno_journal_commit(journal, error));
    assert_ok(steno_journal_marked(journal, "other", &marked, error));
    assert_true(marked);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_recording_comes_back),
        TEST(test_one_active_a_channel),
        TEST(test_writes_are_fenced),
        TEST(test_opening_takes_over),
        TEST(test_unfinished_and_lease),
        TEST(test_forget_takes_all),
        TEST(test_files_bytes),
        TEST(test_labels_must_be_strings),
        TEST(test_groups),
        TEST(test_failed_group_is_lost),
        TEST(test_events),
        TEST(test_deliveries),
        TEST(test_idempotency),
        TEST(test_keys),
        TEST(test_marks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
