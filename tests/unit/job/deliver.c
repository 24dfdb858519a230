/* From assembled files to one storage, and the removal of a capture: only what is a recording's goes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "capture_folder.h"
#include "deliver.h"
#include "steno/base/error.h"
#include "steno/job.h"

#include <glib/gstdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define FOLDER "ward 7_b/20261122T195540Z_01TEST"

typedef struct {
    char *base, *root, *capture, *assembled, *folder; /* folder: where they are stored */
    StenoStore *store;
} Folders;

static void write_file(const char *folder, const char *name, const char *text)
{
    g_autofree char *path = g_build_filename(folder, name, NULL);
    assert_true(g_file_set_contents(path, text, -1, NULL));
}

static gboolean exists(const char *folder, const char *name)
{
    g_autofree char *path = g_build_filename(folder, name, NULL);
    return g_file_test(path, G_FILE_TEST_EXISTS);
}

/* An assembly with these files (name, text, …, NULL). */
static void write_assembly(const Folders *folders, const char *manifest_name, ...)
{
    json_t *outputs = json_array();
    va_list arguments;
    va_start(arguments, manifest_name);
    for (const char *name; (name = va_arg(arguments, const char *));) {
        const char *text = va_arg(arguments, const char *);
        g_autofree char *sha256 = g_compute_checksum_for_string(G_CHECKSUM_SHA256, text, -1);
        write_file(folders->assembled, name, text);
        json_array_append_new(
            outputs, json_pack("{s:s, s:i, s:s}", "file", name, "size_bytes", (int)strlen(text), "sha256", sha256));
    }
    va_end(arguments);
    json_t *manifest = json_pack("{s:o}", "outputs", outputs);
    char *text = json_dumps(manifest, JSON_COMPACT);
    write_file(folders->assembled, manifest_name, text);
    free(text);
    json_decref(manifest);
}

static int set_up(void **state)
{
    Folders *folders = g_new0(Folders, 1);
    folders->base = g_dir_make_tmp("steno-XXXXXX", NULL);
    folders->root = g_build_filename(folders->base, "root", NULL);
    folders->capture = g_build_filename(folders->base, "capture", NULL);
    folders->assembled = g_build_filename(folders->capture, "out", NULL);
    folders->folder = g_build_filename(folders->root, FOLDER, NULL);
    g_autofree char *part = g_build_filename(folders->capture, "part-0001", NULL);
    g_autofree char *later = g_build_filename(folders->capture, "part-0012", NULL);
    assert_int_equal(g_mkdir(folders->root, 0755), 0);
    assert_int_equal(g_mkdir_with_parents(part, 0700), 0);
    assert_int_equal(g_mkdir_with_parents(later, 0700), 0);
    assert_int_equal(g_mkdir_with_parents(folders->assembled, 0700), 0);
    write_file(folders->capture, "recording.json",
               "{\"id\":\"01TEST\",\"channel\":\"ward 7/b\",\"zero\":1795377340000000}");
    write_file(part, "events.jsonl", "{}\n");
    write_file(part, "track-0001.0.mkv", "media");
    write_assembly(folders, "manifest.json", "alice.webm", "picture and sound", NULL);
    folders->store = steno_store_open_local(folders->root);
    *state = folders;
    return 0;
}

static int tear_down(void **state)
{
    Folders *folders = *state;
    g_autofree char *command = g_strdup_printf("rm -rf '%s'", folders->base);
    assert_int_equal(system(command), 0);
    steno_store_unref(folders->store);
    g_free(folders->base);
    g_free(folders->root);
    g_free(folders->capture);
    g_free(folders->assembled);
    g_free(folders->folder);
    g_free(folders);
    return 0;
}

static GError *deliver(const Folders *folders, guint section, gboolean sealed, gboolean stamped)
{
    GError *error = NULL;
    g_autoptr(Shipment) shipment = shipment_load(folders->assembled, section, NULL, sealed, stamped, &error);
    const DeliverConfig config = {
        .store = folders->store, .folder = FOLDER, .shipment = shipment, .capture = folders->capture};
    gboolean delivered = shipment && job_deliver(&config, &error);
    assert_int_equal(delivered, error == NULL);
    return error;
}

static void assert_text(const char *folder, const char *name, const char *expected)
{
    g_autofree char *path = g_build_filename(folder, name, NULL), *text = NULL;
    assert_true(g_file_get_contents(path, &text, NULL, NULL));
    assert_string_equal(text, expected);
}

static void files_are_delivered_by_channel_and_time(void **state)
{
    const Folders *folders = *state;
    RecordingPlace place = {0};
    assert_true(job_capture_place(folders->capture, &place, NULL));
    g_autofree char *folder = recording_place_folder(&place, folders->store);
    recording_place_clear(&place);
    assert_string_equal(folder, FOLDER);
    assert_null(deliver(folders, 0, FALSE, FALSE));
    assert_text(folders->folder, "alice.webm", "picture and sound");
    assert_true(exists(folders->folder, "manifest.json"));
    /* Again, with another content: a new assembly takes the place of the old. */
    write_assembly(folders, "manifest.json", "alice.webm", "picture and more sound", NULL);
    assert_null(deliver(folders, 0, FALSE, FALSE));
    assert_text(folders->folder, "alice.webm", "picture and more sound");
}

static void another_assembly_takes_its_old_files_away(void **state)
{
    const Folders *folders = *state;
    write_file(folders->assembled, "manifest.json.sig", "signature");
    write_file(folders->assembled, "manifest.json.tsr", "stamp");
    assert_null(deliver(folders, 0, TRUE, TRUE));
    assert_true(exists(folders->folder, "manifest.json.tsr"));
    write_file(folders->folder, "notes.txt", "somebody else's");
    write_assembly(folders, "manifest.json", "alice-audio.opus", "sound", NULL);
    assert_null(deliver(folders, 0, TRUE, FALSE));
    assert_false(exists(folders->folder, "alice.webm"));
    assert_true(exists(folders->folder, "alice-audio.opus"));
    assert_true(exists(folders->folder, "notes.txt"));
    assert_true(exists(folders->folder, "manifest.json.sig"));
    assert_false(exists(folders->folder, "manifest.json.tsr")); /* it was of another manifest */
}

static void without_a_manifest_nothing_is_delivered_as_done(void **state)
{
    const Folders *folders = *state;
    g_autofree char *manifest = g_build_filename(folders->assembled, "manifest.json", NULL);
    assert_int_equal(g_unlink(manifest), 0);
    g_autoptr(GError) error = deliver(folders, 0, FALSE, FALSE);
    assert_true(g_error_matches(error, STENO_ERROR, STENO_ERROR_SOURCE_DAMAGED));
}

static void assert_damaged(const Folders *folders)
{
    g_autoptr(GError) error = deliver(folders, 0, FALSE, FALSE);
    assert_true(g_error_matches(error, STENO_ERROR, STENO_ERROR_SOURCE_DAMAGED));
    assert_false(exists(folders->folder, "manifest.json"));
}

static void what_is_not_as_the_manifest_says_is_not_stored(void **state)
{
    const Folders *folders = *state;
    write_file(folders->assembled, "alice.webm", "picture and souhd"); /* one bit */
    assert_damaged(folders);
    write_file(folders->assembled, "alice.webm", "picture");
    assert_damaged(folders);
    g_autofree char *path = g_build_filename(folders->assembled, "alice.webm", NULL);
    assert_int_equal(g_unlink(path), 0);
    assert_damaged(folders);
    write_assembly(folders, "manifest.json", NULL);
    write_file(folders->assembled, "manifest.json",
               "{\"outputs\":[{\"file\":\"../recording.json\",\"size_bytes\":4,"
               "\"sha256\":\"x\"}]}");
    assert_damaged(folders);
}

static void what_earlier_sections_stored_need_not_be_there(void **state)
{
    const Folders *folders = *state;
    g_autoptr(GError) error = NULL;
    write_assembly(folders, "manifest.json", "alice.001.webm", "first", "alice.webm", "last", NULL);
    g_autofree char *path = g_build_filename(folders->assembled, "alice.001.webm", NULL);
    assert_int_equal(g_unlink(path), 0);
    assert_damaged(folders);
    g_autoptr(GHashTable) stored = g_hash_table_new(g_str_hash, g_str_equal);
    g_hash_table_add(stored, (gpointer) "alice.001.webm");
    g_autoptr(Shipment) shipment = shipment_load(folders->assembled, 0, stored, FALSE, FALSE, &error);
    assert_non_null(shipment);
    assert_int_equal(shipment->files->len, 2);
    assert_true(g_hash_table_contains(shipment->names, "alice.001.webm"));
    assert_string_equal(shipment_manifest(shipment)->name, "manifest.json");
}

static void a_section_is_taken_back(void **state)
{
    const Folders *folders = *state;
    assert_null(deliver(folders, 0, FALSE, FALSE));
    write_assembly(folders, "manifest.002.json", "alice.002.webm", "second", NULL);
    write_file(folders->assembled, "manifest.002.json.sig", "signature");
    assert_null(deliver(folders, 2, TRUE, FALSE));
    assert_true(exists(folders->folder, "manifest.002.json.sig"));
    g_autoptr(Shipment) shipment = shipment_load(folders->assembled, 2, NULL, TRUE, FALSE, NULL);
    for (guint i = 0; i < 2; i++) { /* again: what is gone is gone */
        assert_true(job_deliver_undo(folders->store, FOLDER, 2, shipment->manifest, NULL, NULL));
        assert_false(exists(folders->folder, "alice.002.webm"));
        assert_false(exists(folders->folder, "manifest.002.json"));
        assert_false(exists(folders->folder, "manifest.002.json.sig"));
    }
    assert_true(exists(folders->folder, "alice.webm"));
    assert_true(exists(folders->folder, "manifest.json"));
}

static void parts_and_zero_are_read_from_the_capture(void **state)
{
    const Folders *folders = *state;
    assert_int_equal(job_capture_parts(folders->capture), 12);
    assert_int_equal(job_capture_parts(folders->root), 0);
    assert_int_equal(job_capture_zero(folders->capture), 1795377340000000);
    assert_int_equal(job_capture_zero(folders->root), 0);
}

static void only_a_captures_own_files_are_removed(void **state)
{
    const Folders *folders = *state;
    g_autoptr(GError) error = NULL;
    write_file(folders->capture, "notes.txt", "somebody else's");
    assert_false(job_capture_remove(folders->capture, &error)); /* not empty */
    assert_true(exists(folders->capture, "notes.txt"));
    assert_false(exists(folders->capture, "part-0001"));
    g_clear_error(&error);
    g_autofree char *notes = g_build_filename(folders->capture, "notes.txt", NULL);
    assert_int_equal(g_unlink(notes), 0);
    assert_true(job_capture_remove(folders->capture, &error));
    assert_false(exists(folders->base, "capture"));
}

static void what_is_no_capture_is_told(void **state)
{
    const Folders *folders = *state;
    g_autoptr(GError) error = NULL;
    RecordingPlace place = {0};
    assert_false(job_capture_place(folders->root, &place, &error));
    assert_true(g_error_matches(error, STENO_ERROR, STENO_ERROR_CAPTURE_DAMAGED));
}

/* A capture that was renamed away while somebody waited for its lock is none any more. */
static void a_lock_is_of_what_is_there(void **state)
{
    const Folders *folders = *state;
    g_autoptr(GError) error = NULL;
    int fd = job_capture_lock(folders->capture, NULL);
    assert_true(fd >= 0);
    assert_int_equal(job_capture_lock(folders->capture, &error), -1);
    assert_true(g_error_matches(error, STENO_ERROR, STENO_ERROR_CONFLICT));
    g_clear_error(&error);
    assert_true(steno_job_capture_forget(folders->capture, NULL));
    assert_int_equal(job_capture_lock(folders->capture, &error), -1);
    assert_true(g_error_matches(error, STENO_ERROR, STENO_ERROR_CAPTURE_DAMAGED));
    g_close(fd, NULL);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(files_are_delivered_by_channel_and_time),
        TEST(another_assembly_takes_its_old_files_away),
        TEST(without_a_manifest_nothing_is_delivered_as_done),
        TEST(what_is_not_as_the_manifest_says_is_not_stored),
        TEST(what_earlier_sections_stored_need_not_be_there),
        TEST(a_section_is_taken_back),
        TEST(parts_and_zero_are_read_from_the_capture),
        TEST(only_a_captures_own_files_are_removed),
        TEST(what_is_no_capture_is_told),
        TEST(a_lock_is_of_what_is_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
