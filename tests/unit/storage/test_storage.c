/* The local sink: what it puts is there, whole, and nothing else is. */
#include "steno/storage.h"

#include "steno/base/error.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define HELLO_SHA256 "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"

typedef struct {
    char *folder, *root, *source;
} Fixture;

static void remove_tree(const char *path)
{
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    const char *name;
    while (dir && (name = g_dir_read_name(dir))) {
        g_autofree char *child = g_build_filename(path, name, NULL);
        if (!g_file_test(child, G_FILE_TEST_IS_SYMLINK) && g_file_test(child, G_FILE_TEST_IS_DIR))
            remove_tree(child);
        else
            g_unlink(child);
    }
    g_rmdir(path);
}

static int setup(void **state)
{
    Fixture *fixture = g_new0(Fixture, 1);
    fixture->folder = g_dir_make_tmp("steno-storage-XXXXXX", NULL);
    fixture->root = g_build_filename(fixture->folder, "root", NULL);
    fixture->source = g_build_filename(fixture->folder, "source", NULL);
    assert_int_equal(g_mkdir(fixture->root, 0755), 0);
    assert_true(g_file_set_contents(fixture->source, "hello", 5, NULL));
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    Fixture *fixture = *state;
    remove_tree(fixture->folder);
    g_free(fixture->folder);
    g_free(fixture->root);
    g_free(fixture->source);
    g_free(fixture);
    return 0;
}

static void put(Fixture *fixture, const char *key)
{
    g_autoptr(GError) error = NULL;
    if (!steno_sink_local.put(fixture->root, fixture->source, key, FALSE, &error))
        fail_msg("%s: %s", key, error->message);
}

static void put_fails(Fixture *fixture, const char *root, const char *key, int code)
{
    g_autoptr(GError) error = NULL;
    if (steno_sink_local.put(root, fixture->source, key, FALSE, &error))
        fail_msg("%s was stored", key);
    assert_true(error->domain == STENO_ERROR);
    assert_int_equal(error->code, code);
}

static void check_contents(Fixture *fixture, const char *key, const char *expected)
{
    g_autofree char *path = g_build_filename(fixture->root, key, NULL);
    g_autofree char *text = NULL;
    assert_true(g_file_get_contents(path, &text, NULL, NULL));
    assert_string_equal(text, expected);
}

static guint count_files(const char *folder)
{
    guint count = 0;
    g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
    while (g_dir_read_name(dir))
        count++;
    return count;
}

static void a_file_is_stored_below_folders_that_are_made(void **state)
{
    Fixture *fixture = *state;
    put(fixture, "a/b c/d.webm");
    check_contents(fixture, "a/b c/d.webm", "hello");
    g_autofree char *folder = g_build_filename(fixture->root, "a/b c", NULL);
    assert_int_equal(count_files(folder), 1);
}

static void an_empty_and_a_large_file_are_stored(void **state)
{
    Fixture *fixture = *state;
    g_autofree char *large = g_malloc(3000001);
    g_autofree char *path = g_build_filename(fixture->root, "large", NULL);
    char stored[STENO_STORAGE_SHA256_HEX_BYTES], original[STENO_STORAGE_SHA256_HEX_BYTES];
    gint64 bytes;
    for (guint i = 0; i < 3000001; i++)
        large[i] = (char)(i * 2654435761u >> 24);
    assert_true(g_file_set_contents(fixture->source, large, 3000001, NULL));
    put(fixture, "large");
    assert_true(steno_storage_digest(path, stored, &bytes, NULL));
    assert_int_equal(bytes, 3000001);
    assert_true(steno_storage_digest(fixture->source, original, &bytes, NULL));
    assert_string_equal(stored, original);
    assert_true(g_file_set_contents(fixture->source, "", 0, NULL));
    put(fixture, "empty");
    check_contents(fixture, "empty", "");
}

static void the_same_contents_are_success_and_others_are_refused(void **state)
{
    Fixture *fixture = *state;
    put(fixture, "x");
    put(fixture, "x");
    assert_true(g_file_set_contents(fixture->source, "jello", 5, NULL));
    put_fails(fixture, fixture->root, "x", STENO_ERROR_STORAGE_FAILED);
    check_contents(fixture, "x", "hello");
    assert_true(steno_sink_local.put(fixture->root, fixture->source, "x", TRUE, NULL));
    check_contents(fixture, "x", "jello");
    assert_int_equal(count_files(fixture->root), 1);
}

static void names_that_lead_elsewhere_are_refused(void **state)
{
    static const char *const keys[] = {"",     "/",     "/etc/x", "a//b", "a/",     "../x", "a/../../x",
                                       "a/..", "./x",   ".",      "..",   "a/./b",  "/..",  "x/",
                                       "..//", "../..", "a/b/..", "//",   "a/../b", "./",   "../"};
    Fixture *fixture = *state;
    for (guint i = 0; i < G_N_ELEMENTS(keys); i++)
        put_fails(fixture, fixture->root, keys[i], STENO_ERROR_STORAGE_FAILED);
    assert_int_equal(count_files(fixture->root), 0);
    assert_int_equal(count_files(fixture->folder), 2);
}

static void every_printable_character_and_odd_names_are_stored(void **state)
{
    Fixture *fixture = *state;
    for (char c = ' '; c <= '~'; c++) {
        char name[] = {'a', c, 'b', 0};
        if (c != '/')
            put(fixture, name);
    }
    g_autofree char *longest = g_strnfill(255, 'n');
    g_autofree char *too_long = g_strnfill(256, 'n');
    put(fixture, longest);
    put(fixture, "Zoë Ødegård 日本語 🎙.webm");
    put(fixture, "...");
    put(fixture, ".hidden");
    put(fixture, "-rf");
    check_contents(fixture, "Zoë Ødegård 日本語 🎙.webm", "hello");
    put_fails(fixture, fixture->root, too_long, STENO_ERROR_STORAGE_FAILED);
}

static void a_symbolic_link_is_never_followed(void **state)
{
    Fixture *fixture = *state;
    g_autofree char *outside = g_build_filename(fixture->folder, "outside", NULL);
    g_autofree char *folder_link = g_build_filename(fixture->root, "link", NULL);
    g_autofree char *file_link = g_build_filename(fixture->root, "file", NULL);
    g_autofree char *target = g_build_filename(outside, "target", NULL);
    g_mkdir(outside, 0755);
    assert_true(g_file_set_contents(target, "hello", 5, NULL));
    assert_int_equal(symlink(outside, folder_link), 0);
    assert_int_equal(symlink(target, file_link), 0);
    g_autoptr(GError) error = NULL;
    assert_false(steno_sink_local.put(fixture->root, fixture->source, "link/x", TRUE, &error));
    assert_int_equal(count_files(outside), 1);
    put_fails(fixture, fixture->root, "file", STENO_ERROR_STORAGE_FAILED);
    /* Replacing replaces the link, not what it leads to. */
    assert_true(g_file_set_contents(fixture->source, "jello", 5, NULL));
    assert_true(steno_sink_local.put(fixture->root, fixture->source, "file", TRUE, NULL));
    g_autofree char *text = NULL;
    assert_true(g_file_get_contents(target, &text, NULL, NULL));
    assert_string_equal(text, "hello");
    check_contents(fixture, "file", "jello");
}

static void check_refuses(const char *root, const char *words)
{
    g_autoptr(GError) error = NULL;
    assert_false(steno_sink_local.check(root, &error));
    assert_int_equal(error->code, STENO_ERROR_STORAGE_UNWRITABLE);
    if (!strstr(error->message, words) || !strstr(error->message, root))
        fail_msg("\"%s\" does not tell \"%s\"", error->message, words);
}

static void roots_that_others_could_turn_are_refused(void **state)
{
    Fixture *fixture = *state;
    g_autofree char *link = g_build_filename(fixture->folder, "link", NULL);
    g_autofree char *missing = g_build_filename(fixture->folder, "missing", NULL);
    g_autofree char *deeper = g_build_filename(fixture->folder, "no/where", NULL);
    assert_true(steno_sink_local.check(fixture->root, NULL));
    assert_int_equal(count_files(fixture->root), 0);
    assert_int_equal(symlink(fixture->root, link), 0);
    check_refuses(link, "symbolic link");
    put_fails(fixture, link, "x", STENO_ERROR_STORAGE_UNWRITABLE);
    check_refuses(fixture->source, "not a folder");
    check_refuses(deeper, "No such file");
    assert_true(steno_sink_local.check(missing, NULL));
    assert_int_equal(g_chmod(fixture->root, 01777), 0);
    check_refuses(fixture->root, "chmod o-w");
    put_fails(fixture, fixture->root, "x", STENO_ERROR_STORAGE_UNWRITABLE);
    check_refuses("/proc", "/proc");
}

/* In a child without root's rights, when we have them. */
static void an_unwritable_root_says_who_needs_the_right(void **state)
{
    Fixture *fixture = *state;
    int status;
    g_chmod(fixture->folder, 0755);
    g_chmod(fixture->root, 0555);
    pid_t child = fork();
    if (child == 0) {
        g_autoptr(GError) error = NULL;
        if (geteuid() == 0 && setuid(65534) != 0)
            _exit(2);
        gboolean writable = steno_sink_local.check(fixture->root, &error);
        _exit(!writable && error->code == STENO_ERROR_STORAGE_UNWRITABLE && strstr(error->message, "as user") ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    g_chmod(fixture->root, 0755);
}

static void a_full_disk_leaves_nothing_behind(void **state)
{
    Fixture *fixture = *state;
    g_autofree char *large = g_malloc0(2000000);
    g_autoptr(GError) error = NULL;
    assert_true(g_file_set_contents(fixture->source, large, 2000000, NULL));
    if (mount("steno", fixture->root, "tmpfs", 0, "size=1m,mode=755") != 0)
        skip(); /* not root */
    put_fails(fixture, fixture->root, "folder/x", STENO_ERROR_STORAGE_FULL);
    g_autofree char *folder = g_build_filename(fixture->root, "folder", NULL);
    assert_int_equal(count_files(folder), 0);
    g_autofree char *filler = g_build_filename(fixture->root, "filler", NULL);
    (void)g_file_set_contents(filler, large, 1024 * 1024, NULL);
    int fd = open(filler, O_WRONLY | O_CREAT | O_APPEND, 0600);
    while (write(fd, large, 4096) > 0)
        ;
    close(fd);
    assert_false(steno_sink_local.check(fixture->root, &error));
    assert_int_equal(error->code, STENO_ERROR_STORAGE_FULL);
    assert_int_equal(umount2(fixture->root, MNT_DETACH), 0);
}

static void what_a_crash_left_is_taken_up_and_a_rival_is_told(void **state)
{
    Fixture *fixture = *state;
    g_autofree char *digest = g_compute_checksum_for_string(G_CHECKSUM_SHA256, "x", -1);
    g_autofree char *left = g_strdup_printf("%s/.steno-%.16s.partial", fixture->root, digest);
    assert_true(g_file_set_contents(left, "half of something much longer", -1, NULL));
    int fd = open(left, O_RDWR);
    assert_int_equal(flock(fd, LOCK_EX), 0);
    put_fails(fixture, fixture->root, "x", STENO_ERROR_STORAGE_FAILED);
    assert_true(g_file_test(left, G_FILE_TEST_EXISTS));
    close(fd);
    put(fixture, "x");
    check_contents(fixture, "x", "hello");
    assert_int_equal(count_files(fixture->root), 1);
}

static void a_missing_source_is_told(void **state)
{
    Fixture *fixture = *state;
    g_unlink(fixture->source);
    put_fails(fixture, fixture->root, "x", STENO_ERROR_STORAGE_FAILED);
    assert_int_equal(count_files(fixture->root), 0);
}

static void digest_and_keys_are_as_told(void **state)
{
    Fixture *fixture = *state;
    char hex[STENO_STORAGE_SHA256_HEX_BYTES];
    gint64 bytes;
    assert_true(steno_storage_digest(fixture->source, hex, &bytes, NULL));
    assert_string_equal(hex, HELLO_SHA256);
    assert_int_equal(bytes, 5);
    g_autofree char *key = steno_storage_recording_key("../room/1", G_GINT64_CONSTANT(1795291200000000), "01JABC");
    assert_string_equal(key, "_room_1/20261121T200000Z_01JABC");
    assert_ptr_equal(steno_sink_find("local"), &steno_sink_local);
    assert_null(steno_sink_find("nowhere"));
}

/* ---- looking and removing ---------------------------------------------------------------------------------------- */

static int verify(Fixture *fixture, const char *key, gint64 bytes, const char *hex)
{
    g_autoptr(GError) error = NULL;
    if (steno_sink_local.verify(fixture->root, key, bytes, hex, &error))
        return 0;
    assert_true(error->domain == STENO_ERROR);
    return error->code;
}

static int remove_key(Fixture *fixture, const char *key, gboolean folders)
{
    g_autoptr(GError) error = NULL;
    if (steno_sink_local.remove(fixture->root, key, folders, &error))
        return 0;
    assert_true(error->domain == STENO_ERROR);
    return error->code;
}

static int read_key(Fixture *fixture, const char *key, gsize max_bytes, const char *expected)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GBytes) bytes = steno_sink_local.read(fixture->root, key, max_bytes, &error);
    if (!bytes)
        return error->code;
    assert_int_equal(g_bytes_get_size(bytes), strlen(expected));
    assert_memory_equal(g_bytes_get_data(bytes, NULL), expected, strlen(expected));
    return 0;
}

static void what_is_there_is_verified_and_read(void **state)
{
    Fixture *fixture = *state;
    g_autofree char *fifo = g_build_filename(fixture->root, "fifo", NULL);
    g_autofree char *other = g_strdup(HELLO_SHA256);
    other[63]++;
    put(fixture, "a/b/x");
    assert_int_equal(verify(fixture, "a/b/x", 5, HELLO_SHA256), 0);
    assert_int_equal(verify(fixture, "a/b/x", 4, HELLO_SHA256), STENO_ERROR_VERIFY_FAILED);
    assert_int_equal(verify(fixture, "a/b/x", 5, other), STENO_ERROR_VERIFY_FAILED);
    assert_int_equal(verify(fixture, "a/b/x", 5, ""), STENO_ERROR_VERIFY_FAILED);
    assert_int_equal(verify(fixture, "a/b/y", 5, HELLO_SHA256), STENO_ERROR_NOT_FOUND);
    assert_int_equal(verify(fixture, "a/c/x", 5, HELLO_SHA256), STENO_ERROR_NOT_FOUND);
    assert_int_equal(verify(fixture, "a/b", 5, HELLO_SHA256), STENO_ERROR_STORAGE_FAILED);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    assert_int_equal(verify(fixture, "fifo", 5, HELLO_SHA256), STENO_ERROR_STORAGE_FAILED);
    assert_int_equal(read_key(fixture, "a/b/x", 5, "hello"), 0);
    assert_int_equal(read_key(fixture, "a/b/x", 100, "hello"), 0);
    assert_int_equal(read_key(fixture, "a/b/x", 4, ""), STENO_ERROR_STORAGE_FAILED);
    assert_int_equal(read_key(fixture, "a/b/y", 4, ""), STENO_ERROR_NOT_FOUND);
    assert_int_equal(read_key(fixture, "fifo", 4, ""), STENO_ERROR_STORAGE_FAILED);
    g_autofree char *missing = g_build_filename(fixture->folder, "missing", NULL);
    assert_false(steno_sink_local.verify(missing, "x", 5, HELLO_SHA256, NULL));
    assert_false(g_file_test(missing, G_FILE_TEST_EXISTS)); /* looking makes nothing */
}

static void what_is_removed_is_that_object_alone(void **state)
{
    Fixture *fixture = *state;
    g_autofree char *folder = g_build_filename(fixture->root, "a/b", NULL);
    put(fixture, "a/b/x");
    put(fixture, "a/b/y");
    put(fixture, "a/z");
    assert_int_equal(remove_key(fixture, "a/b/none", TRUE), STENO_ERROR_NOT_FOUND);
    assert_int_equal(remove_key(fixture, "a/none/x", TRUE), STENO_ERROR_NOT_FOUND);
    assert_int_not_equal(remove_key(fixture, "a/b", TRUE), 0);
    assert_int_equal(remove_key(fixture, "a/b/x", TRUE), 0);
    check_contents(fixture, "a/b/y", "hello");
    assert_int_equal(remove_key(fixture, "a/b/y", FALSE), 0);
    assert_int_equal(count_files(folder), 0);
    /* Folders go upwards as far as they are empty, also when the object was gone already. */
    assert_int_equal(remove_key(fixture, "a/b/y", TRUE), STENO_ERROR_NOT_FOUND);
    assert_false(g_file_test(folder, G_FILE_TEST_EXISTS));
    check_contents(fixture, "a/z", "hello");
    assert_int_equal(remove_key(fixture, "a/z", TRUE), 0);
    assert_int_equal(count_files(fixture->root), 0);
    put(fixture, "top");
    assert_int_equal(remove_key(fixture, "top", TRUE), 0);
    assert_true(g_file_test(fixture->root, G_FILE_TEST_IS_DIR));
}

static void nothing_outside_of_the_root_is_looked_at_or_removed(void **state)
{
    static const char *const keys[] = {"../outside/x", "/etc/passwd", "a/../../outside/x", "link/x", "..", "", "link/"};
    Fixture *fixture = *state;
    g_autofree char *outside = g_build_filename(fixture->folder, "outside", NULL);
    g_autofree char *target = g_build_filename(outside, "x", NULL);
    g_autofree char *folder_link = g_build_filename(fixture->root, "link", NULL);
    g_autofree char *file_link = g_build_filename(fixture->root, "file", NULL);
    g_autofree char *inside = g_build_filename(fixture->root, "a", NULL);
    g_mkdir(outside, 0755);
    g_mkdir(inside, 0755);
    assert_true(g_file_set_contents(target, "hello", 5, NULL));
    assert_int_equal(symlink(outside, folder_link), 0);
    assert_int_equal(symlink(target, file_link), 0);
    for (guint i = 0; i < G_N_ELEMENTS(keys); i++) {
        assert_int_equal(verify(fixture, keys[i], 5, HELLO_SHA256), STENO_ERROR_STORAGE_FAILED);
        assert_int_equal(read_key(fixture, keys[i], 5, ""), STENO_ERROR_STORAGE_FAILED);
        assert_int_equal(remove_key(fixture, keys[i], TRUE), STENO_ERROR_STORAGE_FAILED);
    }
    assert_int_equal(verify(fixture, "file", 5, HELLO_SHA256), STENO_ERROR_STORAGE_FAILED);
    assert_int_equal(remove_key(fixture, "file", TRUE), 0); /* the link goes, not what it leads to */
    assert_true(g_file_test(target, G_FILE_TEST_EXISTS));
    assert_false(g_file_test(file_link, G_FILE_TEST_IS_SYMLINK));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(a_file_is_stored_below_folders_that_are_made),
        TEST(an_empty_and_a_large_file_are_stored),
        TEST(the_same_contents_are_success_and_others_are_refused),
        TEST(names_that_lead_elsewhere_are_refused),
        TEST(every_printable_character_and_odd_names_are_stored),
        TEST(a_symbolic_link_is_never_followed),
        TEST(roots_that_others_could_turn_are_refused),
        TEST(an_unwritable_root_says_who_needs_the_right),
        TEST(a_full_disk_leaves_nothing_behind),
        TEST(what_a_crash_left_is_taken_up_and_a_rival_is_told),
        TEST(a_missing_source_is_told),
        TEST(digest_and_keys_are_as_told),
        TEST(what_is_there_is_verified_and_read),
        TEST(what_is_removed_is_that_object_alone),
        TEST(nothing_outside_of_the_root_is_looked_at_or_removed),
    };
    return cmocka_run_group_tests_name("storage", tests, NULL, NULL);
}
