/* The retention: only what is too old or too much goes, proven first; nothing else does. */
#include "retention_private.h"

#include "sink.h"

#include "steno/base/clock.h"
#include "steno/base/error.h"

#include <glib/gstdio.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define DAY_US (G_GINT64_CONSTANT(86400) * G_USEC_PER_SEC)
#define FILE_BYTES 1000

typedef struct {
    char *folder, *root, *archive, *audit_path;
    StenoConfig *config;
    StenoStore *primary, *second;
    StenoJournal *journal;
    StenoAudit *audit;
    Retention *retention;
    guint answers;
    GError *answer;
} Fixture;

/* ---- the fixture ------------------------------------------------------------------------------------------------- */

static int setup(void **state)
{
    Fixture *fixture = g_new0(Fixture, 1);
    StenoJournalHow how;
    fixture->folder = g_dir_make_tmp("steno-retention-XXXXXX", NULL);
    fixture->root = g_build_filename(fixture->folder, "root", NULL);
    fixture->archive = g_build_filename(fixture->folder, "archive", NULL);
    fixture->audit_path = g_build_filename(fixture->folder, "audit.jsonl", NULL);
    g_autofree char *journal = g_build_filename(fixture->folder, "journal.sqlite", NULL);
    assert_int_equal(g_mkdir(fixture->root, 0755), 0);
    fixture->journal = steno_journal_open(journal, "test", &how, NULL);
    fixture->audit = steno_audit_open(fixture->audit_path, NULL);
    assert_true(fixture->journal && fixture->audit);
    *state = fixture;
    return 0;
}

static void remove_tree(const char *path)
{
    g_autoptr(GDir) dir = g_file_test(path, G_FILE_TEST_IS_SYMLINK) ? NULL : g_dir_open(path, 0, NULL);
    const char *name;
    while (dir && (name = g_dir_read_name(dir))) {
        g_autofree char *child = g_build_filename(path, name, NULL);
        remove_tree(child);
    }
    assert_int_equal(g_remove(path), 0);
}

static int teardown(void **state)
{
    Fixture *fixture = *state;
    retention_free(fixture->retention);
    steno_store_unref(fixture->primary);
    steno_store_unref(fixture->second);
    steno_config_unref(fixture->config);
    steno_journal_close(fixture->journal);
    steno_audit_close(fixture->audit);
    remove_tree(fixture->folder);
    g_clear_error(&fixture->answer);
    g_free(fixture->folder);
    g_free(fixture->root);
    g_free(fixture->archive);
    g_free(fixture->audit_path);
    g_free(fixture);
    return 0;
}

/* The second storage's: a local one whose objects may be locked. */
static gboolean locked;

static gboolean remove_unless_locked(gpointer state, const char *key, gboolean folders, GCancellable *cancellable,
                                     GError **error)
{
    if (locked)
        return steno_error_set(error, STENO_ERROR_LEGAL_HOLD, "%s is locked until 2030-01-01", key);
    return steno_sink_local.remove(state, key, folders, cancellable, error);
}

static StenoStore *find_store(gpointer user, const char *name)
{
    Fixture *fixture = user;
    return strcmp(name, "primary") == 0 ? fixture->primary : strcmp(name, "archive") == 0 ? fixture->second : NULL;
}

static void start_with(Fixture *fixture, const char *app_settings, const char *archive_settings)
{
    static StenoSink sink;
    g_autoptr(GError) error = NULL;
    g_autofree char *path = g_build_filename(fixture->folder, "steno.conf", NULL);
    g_autofree char *text =
        g_strdup_printf("state_dir = \"%s/none\";\n"
                        "storages = ( { name = \"primary\"; root = \"%s\"; },\n"
                        "{ name = \"archive\"; root = \"%s\"; %s } );\n"
                        "apps = ( { name = \"other\"; }, { name = \"clinic\"; %s } );\n",
                        fixture->folder, fixture->root, fixture->archive, archive_settings, app_settings);
    assert_true(g_file_set_contents(path, text, -1, NULL));
    fixture->config = steno_config_load(path, &error);
    if (!fixture->config)
        fail_msg("%s", error->message);
    sink = steno_sink_local;
    sink.remove = remove_unless_locked;
    locked = FALSE;
    fixture->primary = steno_store_open(fixture->config, steno_config_storage(fixture->config, "primary"), NULL);
    fixture->second = store_open_sink(&sink, fixture->config, steno_config_storage(fixture->config, "archive"), NULL);
    assert_true(fixture->primary && fixture->second);
    fixture->retention = retention_new(fixture->config, fixture->journal, fixture->audit, NULL, find_store, fixture);
}

static void start(Fixture *fixture, const char *app_settings)
{
    start_with(fixture, app_settings, "");
}

static char *folder_of(const Fixture *fixture, const char *app, const char *id)
{
    return g_strdup_printf("%s/%s/room 1%%/20261121T200000Z_%s", fixture->root, app, id);
}

static char *file_of(const Fixture *fixture, const char *id, const char *name)
{
    g_autofree char *folder = folder_of(fixture, "clinic", id);
    return g_build_filename(folder, name, NULL);
}

static json_t *make_file(const char *folder, const char *name)
{
    g_autofree char *path = g_build_filename(folder, name, NULL);
    g_autofree char *contents = g_strnfill(FILE_BYTES, name[0]);
    g_autofree char *sha256 = g_compute_checksum_for_string(G_CHECKSUM_SHA256, contents, -1);
    assert_true(g_file_set_contents(path, contents, -1, NULL));
    return json_pack("{s:s, s:i, s:s}", "file", name, "size_bytes", FILE_BYTES, "sha256", sha256);
}

/* A stored recording of two files that ended so many days ago. */
static void add_recording(Fixture *fixture, const char *app, const char *id, gint64 days, const char *label)
{
    g_autoptr(StenoJournalRecording) row = steno_journal_recording_new();
    g_autoptr(GError) error = NULL;
    g_autofree char *folder = folder_of(fixture, app, id);
    g_autofree char *uri = g_filename_to_uri(folder, NULL, NULL);
    g_autofree char *manifest_path = g_build_filename(folder, "manifest.json", NULL);
    assert_int_equal(g_mkdir_with_parents(folder, 0755), 0);
    json_t *manifest = json_pack("{s:{s:s}, s:[o, o]}", "recording", "id", id, "outputs",
                                 make_file(folder, "alice.webm"), make_file(folder, "bob.webm"));
    assert_int_equal(json_dump_file(manifest, manifest_path, 0), 0);
    json_decref(manifest);
    char **texts[] = {&row->id, &row->app, &row->platform, &row->channel, &row->profile, &row->state, &row->desired};
    const char *values[] = {id, app, "janus-1", id, "default", "completed", "stop"};
    for (guint i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_free(*texts[i]);
        *texts[i] = g_strdup(values[i]);
    }
    json_decref(row->request);
    json_decref(row->labels);
    json_decref(row->detail);
    row->request = json_object();
    row->labels = label ? json_pack("{s:s}", label, "") : json_object();
    row->detail = json_pack("{s:[{s:s, s:s, s:n}, {s:s, s:s, s:s}], s:[{s:s, s:s, s:s}]}", "files", "name",
                            "alice.webm", "storage", "primary", "deleted_at", "name", "gone.webm", "storage", "primary",
                            "deleted_at", "before", "storages", "name", "primary", "state", "stored", "uri", uri);
    row->created_us = row->started_us = row->ended_us = steno_clock_wall_us() - days * DAY_US;
    row->files_bytes = 2 * FILE_BYTES;
    if (!steno_journal_recording_add(fixture->journal, row, &error))
        fail_msg("%s", error->message);
}

static StenoJournalRecording *row_of(Fixture *fixture, const char *id)
{
    StenoJournalRecording *row = steno_journal_recording_get(fixture->journal, id, NULL);
    assert_non_null(row);
    return row;
}

/* Are its files there (all, or none), and does the row say so? */
static gboolean is_there(Fixture *fixture, const char *id)
{
    g_autoptr(StenoJournalRecording) row = row_of(fixture, id);
    g_autofree char *alice = file_of(fixture, id, "alice.webm"), *bob = file_of(fixture, id, "bob.webm");
    g_autofree char *manifest = file_of(fixture, id, "manifest.json");
    gboolean there = g_file_test(alice, G_FILE_TEST_EXISTS);
    const json_t *file = json_array_get(json_object_get(row->detail, "files"), 0);
    const json_t *storage = json_array_get(json_object_get(row->detail, "storages"), 0);
    assert_true(g_file_test(manifest, G_FILE_TEST_EXISTS));
    assert_int_equal(g_file_test(bob, G_FILE_TEST_EXISTS), there);
    assert_int_equal(row->files_bytes, there ? 2 * FILE_BYTES : 0);
    assert_int_equal(json_is_string(json_object_get(file, "deleted_at")), !there);
    assert_string_equal(json_string_value(json_object_get(storage, "state")), there ? "stored" : "deleted");
    const json_t *before = json_array_get(json_object_get(row->detail, "files"), 1);
    assert_string_equal(json_string_value(json_object_get(before, "deleted_at")), "before");
    return there;
}

static gboolean on_deadline(gpointer user)
{
    (void)user;
    fail_msg("not within half a minute");
    return G_SOURCE_REMOVE;
}

static void on_answer(gpointer user, const GError *error)
{
    Fixture *fixture = user;
    fixture->answers++;
    g_clear_error(&fixture->answer);
    fixture->answer = error ? g_error_copy(error) : NULL;
}

static void wait_for_answers(Fixture *fixture, guint answers)
{
    guint deadline = g_timeout_add_seconds(30, on_deadline, NULL);
    while (fixture->answers < answers)
        g_main_context_iteration(NULL, TRUE);
    g_source_remove(deadline);
}

/* As a person asks. 0, or the error's code. */
static int ask(Fixture *fixture, const char *id)
{
    StenoActor actor = {.id = (char *)"key_1", .role = STENO_ROLE_ADMIN, .address = (char *)"192.0.2.7"};
    guint before = fixture->answers;
    retention_delete_files(fixture->retention, id, &actor, on_answer, fixture);
    assert_int_equal(fixture->answers, before); /* never from within */
    wait_for_answers(fixture, before + 1);
    assert_true(!fixture->answer || fixture->answer->domain == STENO_ERROR);
    return fixture->answer ? fixture->answer->code : 0;
}

static void look(Fixture *fixture)
{
    guint deadline = g_timeout_add_seconds(30, on_deadline, NULL);
    retention_look(fixture->retention);
    while (fixture->retention->look.phase != LOOK_IDLE)
        g_main_context_iteration(NULL, TRUE);
    g_source_remove(deadline);
}

static void write_file(Fixture *fixture, const char *id, const char *name, const char *contents)
{
    g_autofree char *path = file_of(fixture, id, name);
    assert_true(g_file_set_contents(path, contents, -1, NULL));
}

/* The audit's entries with this text in them. */
static guint count_audited(Fixture *fixture, const char *words)
{
    g_autofree char *text = NULL;
    guint count = 0;
    assert_true(g_file_get_contents(fixture->audit_path, &text, NULL, NULL));
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    for (guint i = 0; lines[i]; i++)
        count += strstr(lines[i], words) != NULL;
    return count;
}

/* ---- asked for --------------------------------------------------------------------------------------------------- */

static void files_are_deleted_when_asked_for(void **state)
{
    Fixture *fixture = *state;
    start(fixture, "");
    add_recording(fixture, "clinic", "01A", 0, NULL);
    add_recording(fixture, "clinic", "01B", 0, NULL);
    assert_int_equal(ask(fixture, "01A"), 0);
    assert_false(is_there(fixture, "01A"));
    assert_true(is_there(fixture, "01B"));
    assert_int_equal(ask(fixture, "01A"), 0); /* done already */
    assert_int_equal(count_audited(fixture, "\"file.delete\""), 2);
    assert_int_equal(count_audited(fixture, "\"stage\":\"begin\""), 1);
    assert_int_equal(count_audited(fixture, "bob.webm"), 1);
    assert_int_equal(count_audited(fixture, "\"key_1\""), 2);
    assert_int_equal(count_audited(fixture, "192.0.2.7"), 2);
    assert_int_equal(ask(fixture, "01C"), STENO_ERROR_NOT_FOUND);
    g_autofree char *hash = NULL;
    guint64 entries = 0;
    assert_true(steno_audit_verify(fixture->audit_path, &entries, &hash, NULL));
}

static void what_is_held_young_or_running_stays(void **state)
{
    Fixture *fixture = *state;
    start(fixture, "retention_days = 10; legal_hold_label = \"hold\";");
    add_recording(fixture, "clinic", "01HELD", 20, "hold");
    add_recording(fixture, "clinic", "01YOUNG", 9, NULL);
    add_recording(fixture, "clinic", "01OLD", 11, "legal_hold"); /* not this app's label */
    add_recording(fixture, "clinic", "01RUNS", 20, NULL);
    g_autoptr(StenoJournalRecording) row = row_of(fixture, "01RUNS");
    g_free(row->state);
    row->state = g_strdup("storing");
    assert_true(steno_journal_recording_save(fixture->journal, row, NULL));
    assert_int_equal(ask(fixture, "01HELD"), STENO_ERROR_LEGAL_HOLD);
    assert_int_equal(ask(fixture, "01YOUNG"), STENO_ERROR_LEGAL_HOLD);
    assert_int_equal(ask(fixture, "01RUNS"), STENO_ERROR_CONFLICT);
    assert_int_equal(ask(fixture, "01OLD"), 0);
    assert_true(is_there(fixture, "01HELD") && is_there(fixture, "01YOUNG") && is_there(fixture, "01RUNS"));
    assert_false(is_there(fixture, "01OLD"));
}

static void what_is_not_as_the_manifest_says_stays_with_all_others(void **state)
{
    Fixture *fixture = *state;
    start(fixture, "");
    add_recording(fixture, "clinic", "01A", 0, NULL);
    write_file(fixture, "01A", "bob.webm", "something else");
    assert_int_equal(ask(fixture, "01A"), STENO_ERROR_VERIFY_FAILED);
    assert_true(is_there(fixture, "01A"));
    g_autofree char *same_size = g_strnfill(FILE_BYTES, 'x');
    write_file(fixture, "01A", "bob.webm", same_size);
    assert_int_equal(ask(fixture, "01A"), STENO_ERROR_VERIFY_FAILED);
    assert_non_null(strstr(fixture->answer->message, "bob.webm"));
    assert_true(is_there(fixture, "01A"));
    write_file(fixture, "01A", "manifest.json", "{}");
    assert_int_equal(ask(fixture, "01A"), STENO_ERROR_VERIFY_FAILED);
    write_file(fixture, "01A", "manifest.json", "{\"recording\": {\"id\": \"01B\"}, \"outputs\": []}");
    assert_int_equal(ask(fixture, "01A"), STENO_ERROR_VERIFY_FAILED);
    g_autofree char *manifest = file_of(fixture, "01A", "manifest.json");
    assert_int_equal(g_unlink(manifest), 0);
    assert_int_equal(ask(fixture, "01A"), STENO_ERROR_VERIFY_FAILED);
    assert_non_null(strstr(fixture->answer->message, "manifest"));
    assert_int_equal(count_audited(fixture, "file.delete"), 0);
}

static void a_deletion_that_was_cut_short_is_finished(void **state)
{
    Fixture *fixture = *state;
    start(fixture, "");
    add_recording(fixture, "clinic", "01A", 0, NULL);
    g_autofree char *alice = file_of(fixture, "01A", "alice.webm");
    assert_int_equal(g_unlink(alice), 0);
    assert_int_equal(ask(fixture, "01A"), 0);
    assert_false(is_there(fixture, "01A"));
}

/* The manifest may say what it likes: nothing outside of the recording's own folder goes. */
static void nothing_outside_of_the_recordings_folder_goes(void **state)
{
    static const char *const names[] = {"../victim", "/etc/hostname", "sub/victim", "..", ".hidden", "manifest.json",
                                        ""};
    Fixture *fixture = *state;
    start(fixture, "");
    add_recording(fixture, "clinic", "01A", 0, NULL);
    add_recording(fixture, "clinic", "01B", 0, NULL);
    g_autofree char *digest = g_compute_checksum_for_string(G_CHECKSUM_SHA256, "", -1);
    for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *manifest =
            g_strdup_printf("{\"recording\": {\"id\": \"01A\"}, \"outputs\": [{\"file\": \"%s\", \"size_bytes\": 0, "
                            "\"sha256\": \"%s\"}]}",
                            names[i], digest);
        write_file(fixture, "01A", "manifest.json", manifest);
        assert_int_equal(ask(fixture, "01A"), STENO_ERROR_VERIFY_FAILED);
    }
    assert_true(is_there(fixture, "01B"));
}

static void set_uri(Fixture *fixture, const char *id, const char *folder)
{
    g_autoptr(StenoJournalRecording) row = row_of(fixture, id);
    g_autofree char *uri = g_strconcat("file://", folder, NULL);
    json_object_set_new(json_array_get(json_object_get(row->detail, "storages"), 0), "uri", json_string(uri));
    assert_true(steno_journal_recording_save(fixture->journal, row, NULL));
}

/* Also when what lies there could be proven. */
static void only_the_recordings_own_folder_is_one(void **state)
{
    static const char *const folders[] = {"root/clinic/room/x_01AB", "root/clinic/room/x01A",
                                          "root/clinic/room",        "rooted/clinic/room/x_01A",
                                          "clinic/room/x_01A",       "root/clinic/../y/x_01A",
                                          "root/clinic/./x_01A",     "root/clinic//x_01A",
                                          "root/../z/room/x_01A",    "root"};
    Fixture *fixture = *state;
    start(fixture, "");
    add_recording(fixture, "clinic", "01A", 0, NULL);
    g_autofree char *own = file_of(fixture, "01A", "manifest.json");
    g_autofree char *manifest = NULL;
    assert_true(g_file_get_contents(own, &manifest, NULL, NULL));
    for (guint i = 0; i < G_N_ELEMENTS(folders); i++) {
        g_autofree char *folder = g_build_filename(fixture->folder, folders[i], NULL);
        g_autofree char *path = g_strconcat(folder, "/manifest.json", NULL);
        assert_int_equal(g_mkdir_with_parents(folder, 0755), 0);
        json_decref(make_file(folder, "alice.webm"));
        json_decref(make_file(folder, "bob.webm"));
        assert_true(g_file_set_contents(path, manifest, -1, NULL));
        set_uri(fixture, "01A", folder);
        assert_int_equal(ask(fixture, "01A"), STENO_ERROR_VERIFY_FAILED);
        g_autofree char *alice = g_strconcat(folder, "/alice.webm", NULL);
        assert_true(g_file_test(alice, G_FILE_TEST_EXISTS));
    }
    set_uri(fixture, "01A", "");
    assert_int_equal(ask(fixture, "01A"), STENO_ERROR_VERIFY_FAILED);
    g_autofree char *right = g_build_filename(fixture->root, "clinic/room/x_01A", NULL);
    g_autofree char *right_manifest = g_build_filename(right, "manifest.json", NULL);
    assert_int_equal(g_mkdir_with_parents(right, 0755), 0);
    assert_true(g_file_set_contents(right_manifest, manifest, -1, NULL));
    set_uri(fixture, "01A", right);
    assert_int_equal(ask(fixture, "01A"), 0); /* the files' place, as the row has it, was right now */
}

static void a_symbolic_link_in_the_way_is_not_followed(void **state)
{
    Fixture *fixture = *state;
    start(fixture, "");
    add_recording(fixture, "clinic", "01A", 0, NULL);
    g_autofree char *own = folder_of(fixture, "clinic", "01A");
    g_autofree char *moved = g_build_filename(fixture->folder, "moved", NULL);
    assert_int_equal(g_rename(own, moved), 0);
    assert_int_equal(symlink(moved, own), 0);
    assert_int_not_equal(ask(fixture, "01A"), 0);
    assert_true(is_there(fixture, "01A"));
}

static void a_hold_that_comes_while_files_are_read_counts(void **state)
{
    Fixture *fixture = *state;
    start(fixture, "");
    add_recording(fixture, "clinic", "01A", 0, NULL);
    retention_delete_files(fixture->retention, "01A", NULL, on_answer, fixture);
    /* It has begun, and its files are being read. */
    while (!fixture->retention->running)
        g_main_context_iteration(NULL, TRUE);
    g_autoptr(StenoJournalRecording) row = row_of(fixture, "01A");
    row->legal_hold = TRUE;
    assert_true(steno_journal_recording_save(fixture->journal, row, NULL));
    wait_for_answers(fixture, 1);
    assert_true(g_error_matches(fixture->answer, STENO_ERROR, STENO_ERROR_LEGAL_HOLD));
    assert_true(is_there(fixture, "01A"));
}

static void one_is_deleted_once_and_the_end_answers_all(void **state)
{
    Fixture *fixture = *state;
    start(fixture, "");
    add_recording(fixture, "clinic", "01A", 0, NULL);
    add_recording(fixture, "clinic", "01B", 0, NULL);
    retention_delete_files(fixture->retention, "01A", NULL, on_answer, fixture);
    assert_int_equal(ask(fixture, "01A"), STENO_ERROR_CONFLICT);
    wait_for_answers(fixture, 2);
    assert_null(fixture->answer);
    retention_delete_files(fixture->retention, "01B", NULL, on_answer, fixture);
    while (!fixture->retention->running)
        g_main_context_iteration(NULL, TRUE);
    for (guint i = 0; i < RETENTION_WAITING_MAX + 1; i++) {
        g_autofree char *id = g_strdup_printf("02%u", i);
        retention_delete_files(fixture->retention, id, NULL, on_answer, fixture);
    }
    assert_int_equal(fixture->retention->refused.length, 1);
    fixture->answers = 0;
    g_clear_pointer(&fixture->retention, retention_free);
    assert_int_equal(fixture->answers, RETENTION_WAITING_MAX + 2);
    assert_true(g_error_matches(fixture->answer, STENO_ERROR, STENO_ERROR_SHUTTING_DOWN));
    /* The thread's end finds nobody. */
    while (g_main_context_iteration(NULL, FALSE))
        ;
}

/* ---- of its own -------------------------------------------------------------------------------------------------- */

static void what_is_too_old_goes(void **state)
{
    Fixture *fixture = *state;
    start(fixture, "retention_days = 10;");
    add_recording(fixture, "clinic", "01A", 30, NULL);
    add_recording(fixture, "clinic", "01B", 20, "legal_hold");
    add_recording(fixture, "clinic", "01C", 11, NULL);
    add_recording(fixture, "clinic", "01D", 9, NULL);
    add_recording(fixture, "other", "01E", 100, NULL);
    look(fixture);
    assert_false(is_there(fixture, "01A"));
    assert_true(is_there(fixture, "01B"));
    assert_false(is_there(fixture, "01C"));
    assert_true(is_there(fixture, "01D"));
    g_autoptr(StenoJournalRecording) other = row_of(fixture, "01E");
    assert_int_equal(other->files_bytes, 2 * FILE_BYTES);
    assert_int_equal(count_audited(fixture, "\"stenod\""), 4);
    assert_int_equal(count_audited(fixture, "\"reason\":\"retention_days\""), 4);
}

static void the_oldest_goes_when_there_is_too_much(void **state)
{
    Fixture *fixture = *state;
    start(fixture, "retention_bytes = 5000;");
    add_recording(fixture, "clinic", "01A", 30, "legal_hold"); /* does not count */
    add_recording(fixture, "clinic", "01B", 20, NULL);
    add_recording(fixture, "clinic", "01C", 10, NULL);
    add_recording(fixture, "other", "01E", 100, NULL);
    look(fixture);
    assert_true(is_there(fixture, "01A") && is_there(fixture, "01B") && is_there(fixture, "01C"));
    add_recording(fixture, "clinic", "01D", 1, NULL);
    look(fixture);
    assert_true(is_there(fixture, "01A"));
    assert_false(is_there(fixture, "01B"));
    assert_true(is_there(fixture, "01C") && is_there(fixture, "01D"));
}

static void many_pages_are_gone_through(void **state)
{
    enum { RECORDINGS = 120 };
    Fixture *fixture = *state;
    start(fixture, "retention_days = 10; retention_bytes = 20000;");
    for (guint i = 0; i < RECORDINGS; i++) {
        g_autofree char *id = g_strdup_printf("01R%03u", i);
        add_recording(fixture, "clinic", id, i < 60 ? 20 : 5, i < 55 ? "legal_hold" : NULL);
    }
    look(fixture);
    for (guint i = 0; i < RECORDINGS; i++) {
        g_autofree char *id = g_strdup_printf("01R%03u", i);
        assert_int_equal(is_there(fixture, id), i < 55 || i >= RECORDINGS - 10);
    }
}

static void what_could_not_be_proven_is_left_for_a_day(void **state)
{
    Fixture *fixture = *state;
    start(fixture, "retention_bytes = 1;");
    add_recording(fixture, "clinic", "01A", 30, NULL);
    add_recording(fixture, "clinic", "01B", 20, NULL);
    write_file(fixture, "01A", "bob.webm", "something else");
    look(fixture);
    assert_true(is_there(fixture, "01A"));
    assert_false(is_there(fixture, "01B"));
    g_autofree char *bob = g_strnfill(FILE_BYTES, 'b');
    write_file(fixture, "01A", "bob.webm", bob);
    look(fixture);
    assert_true(is_there(fixture, "01A"));
    /* The day is over. */
    gint64 *again = g_hash_table_lookup(fixture->retention->look.left, "01A");
    *again = g_get_monotonic_time();
    look(fixture);
    assert_false(is_there(fixture, "01A"));
}

static void a_storage_that_is_not_there_ends_the_look(void **state)
{
    enum { RECORDINGS = 3 * RETENTION_FAILURES_MAX };
    Fixture *fixture = *state;
    start(fixture, "retention_days = 1;");
    for (guint i = 0; i < RECORDINGS; i++) {
        g_autofree char *id = g_strdup_printf("01R%03u", i);
        add_recording(fixture, "clinic", id, 20, NULL);
    }
    g_autofree char *moved = g_build_filename(fixture->folder, "moved", NULL);
    assert_int_equal(g_rename(fixture->root, moved), 0);
    assert_int_equal(g_mkdir(fixture->root, 0755), 0);
    look(fixture);
    assert_int_equal(g_hash_table_size(fixture->retention->look.left), RETENTION_FAILURES_MAX);
    look(fixture); /* not so soon */
    assert_int_equal(g_hash_table_size(fixture->retention->look.left), RETENTION_FAILURES_MAX);
    assert_int_equal(g_rmdir(fixture->root), 0);
    assert_int_equal(g_rename(moved, fixture->root), 0);
    fixture->retention->look.paused_mono_us = 0;
    look(fixture);
    assert_true(is_there(fixture, "01R000"));
    assert_false(is_there(fixture, "01R029"));
}

/* ---- several storages -------------------------------------------------------------------------------------------- */

static char *archived(const Fixture *fixture, const char *id, const char *name)
{
    return g_strdup_printf("%s/media/%s/%s", fixture->archive, id, name);
}

/* The recording is in the archive, too: these files, by a manifest of this name. */
static void archive(Fixture *fixture, const char *id, const char *state, const char *manifest_name, json_t *outputs)
{
    g_autoptr(StenoJournalRecording) row = row_of(fixture, id);
    g_autofree char *manifest_path = archived(fixture, id, manifest_name);
    g_autofree char *uri = g_strdup_printf("file://%s/media/%s/", fixture->archive, id);
    json_t *manifest = json_pack("{s:{s:s, s:s}, s:o}", "recording", "id", id, "app", "clinic", "outputs", outputs);
    assert_int_equal(json_dump_file(manifest, manifest_path, 0), 0);
    json_decref(manifest);
    json_t *storages = json_object_get(row->detail, "storages");
    if (json_array_size(storages) == 1)
        json_array_append_new(storages, json_pack("{s:s, s:s, s:s}", "name", "archive", "state", state, "uri", uri));
    assert_true(steno_journal_recording_save(fixture->journal, row, NULL));
}

static json_t *make_archived(Fixture *fixture, const char *id, const char *name)
{
    g_autofree char *folder = archived(fixture, id, "");
    assert_int_equal(g_mkdir_with_parents(folder, 0755), 0);
    return make_file(folder, name);
}

static gboolean is_archived(Fixture *fixture, const char *id, const char *name)
{
    g_autofree char *path = archived(fixture, id, name);
    return g_file_test(path, G_FILE_TEST_EXISTS);
}

static void files_go_from_every_storage(void **state)
{
    Fixture *fixture = *state;
    start(fixture, "");
    add_recording(fixture, "clinic", "01A", 0, NULL);
    archive(
        fixture, "01A", "stored", "manifest.json",
        json_pack("[o, o]", make_archived(fixture, "01A", "alice.webm"), make_archived(fixture, "01A", "bob.webm")));
    json_decref(make_archived(fixture, "01A", "manifest.json.sig"));
    assert_int_equal(ask(fixture, "01A"), 0);
    assert_false(is_there(fixture, "01A"));
    assert_false(is_archived(fixture, "01A", "alice.webm") || is_archived(fixture, "01A", "bob.webm"));
    assert_true(is_archived(fixture, "01A", "manifest.json") && is_archived(fixture, "01A", "manifest.json.sig"));
    g_autoptr(StenoJournalRecording) row = row_of(fixture, "01A");
    const json_t *second = json_array_get(json_object_get(row->detail, "storages"), 1);
    assert_string_equal(json_string_value(json_object_get(second, "state")), "deleted");
    assert_int_equal(count_audited(fixture, "\"stage\":\"begin\""), 2);
    assert_int_equal(count_audited(fixture, "\"storage\":\"archive\""), 1);
}

static void one_wrong_copy_keeps_them_all(void **state)
{
    Fixture *fixture = *state;
    start(fixture, "");
    add_recording(fixture, "clinic", "01A", 0, NULL);
    archive(fixture, "01A", "stored", "manifest.json", json_pack("[o]", make_archived(fixture, "01A", "alice.webm")));
    g_autofree char *alice = archived(fixture, "01A", "alice.webm");
    g_autofree char *other = g_strnfill(FILE_BYTES, 'x');
    assert_true(g_file_set_contents(alice, other, -1, NULL));
    assert_int_equal(ask(fixture, "01A"), STENO_ERROR_VERIFY_FAILED);
    assert_true(is_there(fixture, "01A") && is_archived(fixture, "01A", "alice.webm"));
}

/* It took a section and then nothing more: there is no manifest of the whole. */
static void sections_of_a_storage_that_failed_go_too(void **state)
{
    Fixture *fixture = *state;
    start(fixture, "");
    add_recording(fixture, "clinic", "01A", 0, NULL);
    archive(fixture, "01A", "failed", "manifest.001.json",
            json_pack("[o]", make_archived(fixture, "01A", "alice.001.webm")));
    archive(fixture, "01A", "failed", "manifest.002.json",
            json_pack("[o]", make_archived(fixture, "01A", "alice.002.webm")));
    json_decref(make_archived(fixture, "01A", "unproven.webm"));
    assert_int_equal(ask(fixture, "01A"), 0);
    assert_false(is_there(fixture, "01A"));
    assert_false(is_archived(fixture, "01A", "alice.001.webm") || is_archived(fixture, "01A", "alice.002.webm"));
    assert_true(is_archived(fixture, "01A", "manifest.001.json") && is_archived(fixture, "01A", "unproven.webm"));
}

static void add_storage(Fixture *fixture, const char *id, json_t *storage)
{
    g_autoptr(StenoJournalRecording) row = row_of(fixture, id);
    json_array_append_new(json_object_get(row->detail, "storages"), storage);
    assert_true(steno_journal_recording_save(fixture->journal, row, NULL));
}

/* It was never asked, or failed before it took anything. */
static void storages_that_have_nothing_do_not_matter(void **state)
{
    Fixture *fixture = *state;
    start(fixture, "");
    add_recording(fixture, "clinic", "01A", 0, NULL);
    add_recording(fixture, "clinic", "01B", 0, NULL);
    add_storage(fixture, "01A", json_pack("{s:s, s:s, s:n}", "name", "unknown", "state", "skipped", "uri"));
    g_autofree char *uri = g_strdup_printf("file://%s/media/01B/", fixture->archive);
    assert_int_equal(g_mkdir(fixture->archive, 0755), 0);
    add_storage(fixture, "01B", json_pack("{s:s, s:s, s:s}", "name", "archive", "state", "failed", "uri", uri));
    assert_int_equal(ask(fixture, "01A"), 0);
    assert_int_equal(ask(fixture, "01B"), 0);
    assert_false(is_there(fixture, "01A") || is_there(fixture, "01B"));
}

static void the_manifest_of_another_app_proves_nothing(void **state)
{
    Fixture *fixture = *state;
    start(fixture, "");
    add_recording(fixture, "other", "01A", 0, NULL);
    archive(fixture, "01A", "stored", "manifest.json", json_pack("[o]", make_archived(fixture, "01A", "alice.webm")));
    assert_int_equal(ask(fixture, "01A"), STENO_ERROR_VERIFY_FAILED);
    assert_true(is_archived(fixture, "01A", "alice.webm"));
}

static void what_a_storage_has_locked_stays_everywhere(void **state)
{
    Fixture *fixture = *state;
    start_with(fixture, "retention_days = 10;", "lock_legal_hold = true;");
    for (guint i = 0; i < 2 * RETENTION_FAILURES_MAX; i++) {
        g_autofree char *id = g_strdup_printf("01R%02u", i);
        add_recording(fixture, "clinic", id, 20, NULL);
        archive(fixture, id, "stored", "manifest.json", json_pack("[o]", make_archived(fixture, id, "alice.webm")));
    }
    locked = TRUE;
    assert_int_equal(ask(fixture, "01R00"), STENO_ERROR_LEGAL_HOLD);
    assert_non_null(strstr(fixture->answer->message, "until 2030-01-01"));
    assert_true(is_there(fixture, "01R00") && is_archived(fixture, "01R00", "alice.webm"));
    /* They are no reason to stop, and are asked for once a day. */
    look(fixture);
    assert_int_equal(fixture->retention->look.paused_mono_us, 0);
    assert_int_equal(g_hash_table_size(fixture->retention->look.left), 2 * RETENTION_FAILURES_MAX);
    locked = FALSE;
    look(fixture);
    assert_true(is_there(fixture, "01R01"));
    g_hash_table_remove_all(fixture->retention->look.left);
    look(fixture);
    assert_false(is_there(fixture, "01R01") || is_archived(fixture, "01R01", "alice.webm"));
}

/* While lock_days have not passed nothing is even tried. */
static void what_cannot_be_unlocked_yet_is_not_tried(void **state)
{
    Fixture *fixture = *state;
    start_with(fixture, "retention_days = 10;", "lock_mode = \"governance\"; lock_days = 30;");
    add_recording(fixture, "clinic", "01A", 20, NULL);
    add_recording(fixture, "clinic", "01B", 40, NULL);
    archive(fixture, "01A", "stored", "manifest.json", json_pack("[o]", make_archived(fixture, "01A", "alice.webm")));
    archive(fixture, "01B", "stored", "manifest.json", json_pack("[o]", make_archived(fixture, "01B", "alice.webm")));
    look(fixture);
    assert_true(is_there(fixture, "01A"));
    assert_false(is_there(fixture, "01B"));
    assert_int_equal(g_hash_table_size(fixture->retention->look.left), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(files_are_deleted_when_asked_for),
        TEST(what_is_held_young_or_running_stays),
        TEST(what_is_not_as_the_manifest_says_stays_with_all_others),
        TEST(a_deletion_that_was_cut_short_is_finished),
        TEST(nothing_outside_of_the_recordings_folder_goes),
        TEST(only_the_recordings_own_folder_is_one),
        TEST(a_symbolic_link_in_the_way_is_not_followed),
        TEST(a_hold_that_comes_while_files_are_read_counts),
        TEST(one_is_deleted_once_and_the_end_answers_all),
        TEST(what_is_too_old_goes),
        TEST(files_go_from_every_storage),
        TEST(one_wrong_copy_keeps_them_all),
        TEST(sections_of_a_storage_that_failed_go_too),
        TEST(storages_that_have_nothing_do_not_matter),
        TEST(the_manifest_of_another_app_proves_nothing),
        TEST(what_a_storage_has_locked_stays_everywhere),
        TEST(what_cannot_be_unlocked_yet_is_not_tried),
        TEST(the_oldest_goes_when_there_is_too_much),
        TEST(many_pages_are_gone_through),
        TEST(what_could_not_be_proven_is_left_for_a_day),
        TEST(a_storage_that_is_not_there_ends_the_look),
    };
    return cmocka_run_group_tests_name("retention", tests, NULL, NULL);
}
