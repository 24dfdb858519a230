/* From assembled files to the customer's folder, and the removal of a capture: only what is a capture's goes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "capture_folder.h"
#include "deliver.h"
#include "steno/base/error.h"

#include <glib/gstdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

typedef struct {
    char *base, *root, *capture, *assembled;
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

static int set_up(void **state)
{
    Folders *folders = g_new0(Folders, 1);
    folders->base = g_dir_make_tmp("steno-XXXXXX", NULL);
    folders->root = g_build_filename(folders->base, "root", NULL);
    folders->capture = g_build_filename(folders->base, "capture", NULL);
    folders->assembled = g_build_filename(folders->capture, "out", NULL);
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
    write_file(folders->assembled, "alice.webm", "picture and sound");
    write_file(folders->assembled, "manifest.json", "{}");
    *state = folders;
    return 0;
}

static int tear_down(void **state)
{
    Folders *folders = *state;
    g_autofree char *command = g_strdup_printf("rm -rf '%s'", folders->base);
    assert_int_equal(system(command), 0);
    g_free(folders->base);
    g_free(folders->root);
    g_free(folders->capture);
    g_free(folders->assembled);
    g_free(folders);
    return 0;
}

static void files_are_delivered_by_channel_and_time(void **state)
{
    const Folders *folders = *state;
    g_autofree char *folder = NULL;
    g_autoptr(GError) error = NULL;
    assert_true(job_deliver(folders->capture, folders->assembled, folders->root, NULL, &folder, &error));
    assert_true(exists(folder, "alice.webm"));
    assert_true(exists(folder, "manifest.json"));
    assert_true(g_str_has_suffix(folder, "/20261122T195540Z_01TEST"));
    assert_null(strstr(folder, "7/b"));
    /* Again, with another content: a new assembly takes the place of the old. */
    g_autofree char *again = NULL;
    write_file(folders->assembled, "alice.webm", "picture and more sound");
    assert_true(job_deliver(folders->capture, folders->assembled, folders->root, NULL, &again, &error));
    assert_string_equal(folder, again);
}

static void another_assembly_takes_its_old_files_away(void **state)
{
    const Folders *folders = *state;
    g_autofree char *folder = NULL, *again = NULL;
    g_autoptr(GError) error = NULL;
    write_file(folders->assembled, "manifest.json", "{\"outputs\":[{\"file\":\"alice.webm\"}]}");
    assert_true(job_deliver(folders->capture, folders->assembled, folders->root, NULL, &folder, &error));
    write_file(folder, "notes.txt", "somebody else's");
    g_autofree char *old = g_build_filename(folders->assembled, "alice.webm", NULL);
    assert_int_equal(g_unlink(old), 0);
    write_file(folders->assembled, "alice-audio.opus", "sound");
    write_file(folders->assembled, "manifest.json", "{\"outputs\":[{\"file\":\"alice-audio.opus\"}]}");
    assert_true(job_deliver(folders->capture, folders->assembled, folders->root, NULL, &again, &error));
    assert_false(exists(again, "alice.webm"));
    assert_true(exists(again, "alice-audio.opus"));
    assert_true(exists(again, "notes.txt"));
}

static void without_a_manifest_nothing_is_delivered_as_done(void **state)
{
    const Folders *folders = *state;
    g_autofree char *folder = NULL, *manifest = g_build_filename(folders->assembled, "manifest.json", NULL);
    g_autoptr(GError) error = NULL;
    assert_int_equal(g_unlink(manifest), 0);
    assert_false(job_deliver(folders->capture, folders->assembled, folders->root, NULL, &folder, &error));
    assert_non_null(error);
    assert_null(folder);
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
    g_autofree char *folder = NULL;
    g_autoptr(GError) error = NULL;
    assert_false(job_deliver(folders->root, folders->assembled, folders->root, NULL, &folder, &error));
    assert_true(g_error_matches(error, STENO_ERROR, STENO_ERROR_CAPTURE_DAMAGED));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(files_are_delivered_by_channel_and_time, set_up, tear_down),
        cmocka_unit_test_setup_teardown(another_assembly_takes_its_old_files_away, set_up, tear_down),
        cmocka_unit_test_setup_teardown(without_a_manifest_nothing_is_delivered_as_done, set_up, tear_down),
        cmocka_unit_test_setup_teardown(parts_and_zero_are_read_from_the_capture, set_up, tear_down),
        cmocka_unit_test_setup_teardown(only_a_captures_own_files_are_removed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_no_capture_is_told, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
