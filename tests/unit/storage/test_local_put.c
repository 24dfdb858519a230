/* The local sink: what it puts is there, whole, and nothing else is. */
#include "storage_fixture.h"

#include "steno/base/error.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <grp.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

static void a_file_is_stored_below_folders_that_are_made(void **state)
{
    Fixture *fixture = *state;
    assert_int_equal(fixture_put(fixture, "a/b c/d.webm"), 0);
    fixture_expect(fixture, "a/b c/d.webm", "hello");
    g_autofree char *folder = g_build_filename(fixture->root, "a/b c", NULL);
    assert_int_equal(fixture_count(folder), 1);
    assert_int_equal(fixture_count(fixture->root), 1);
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
    assert_int_equal(fixture_put(fixture, "large"), 0);
    assert_true(steno_storage_digest(path, stored, &bytes, NULL));
    assert_int_equal(bytes, 3000001);
    assert_true(steno_storage_digest(fixture->source, original, &bytes, NULL));
    assert_string_equal(stored, original);
    fixture_write_source(fixture, "");
    assert_int_equal(fixture_put(fixture, "empty"), 0);
    fixture_expect(fixture, "empty", "");
}

static void the_same_contents_are_success_and_others_are_refused(void **state)
{
    Fixture *fixture = *state;
    StenoPut put = {.source = fixture->source, .key = "x", .bytes = 5, .sha256_hex = HELLO_SHA256};
    assert_int_equal(fixture_put(fixture, "x"), 0);
    assert_int_equal(fixture_put(fixture, "x"), 0);
    fixture_write_source(fixture, "jello");
    assert_int_equal(fixture_put(fixture, "x"), STENO_ERROR_STORAGE_FAILED);
    fixture_expect(fixture, "x", "hello");
    assert_int_equal(fixture_put_with(fixture->store, &put), 0); /* what is there is what is wanted */
    assert_int_equal(fixture_replace(fixture, "x"), 0);
    fixture_expect(fixture, "x", "jello");
    assert_int_equal(fixture_count(fixture->root), 1);
}

static void every_printable_character_and_odd_names_are_stored(void **state)
{
    Fixture *fixture = *state;
    for (char c = ' '; c <= '~'; c++) {
        char name[] = {'a', c, 'b', 0};
        if (c != '/')
            assert_int_equal(fixture_put(fixture, name), 0);
    }
    g_autofree char *longest = g_strnfill(255, 'n');
    g_autofree char *too_long = g_strnfill(256, 'n');
    assert_int_equal(fixture_put(fixture, longest), 0);
    assert_int_equal(fixture_put(fixture, "Zoë Ødegård 日本語 🎙.webm"), 0);
    assert_int_equal(fixture_put(fixture, "..."), 0);
    assert_int_equal(fixture_put(fixture, ".hidden"), 0);
    assert_int_equal(fixture_put(fixture, "-rf"), 0);
    fixture_expect(fixture, "Zoë Ødegård 日本語 🎙.webm", "hello");
    assert_int_equal(fixture_put(fixture, too_long), STENO_ERROR_STORAGE_FAILED);
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
    assert_int_equal(fixture_replace(fixture, "link/x"), STENO_ERROR_STORAGE_FAILED);
    assert_int_equal(fixture_count(outside), 1);
    assert_int_equal(fixture_put(fixture, "file"), STENO_ERROR_STORAGE_FAILED);
    /* Replacing replaces the link, not what it leads to. */
    fixture_write_source(fixture, "jello");
    assert_int_equal(fixture_replace(fixture, "file"), 0);
    g_autofree char *text = NULL;
    assert_true(g_file_get_contents(target, &text, NULL, NULL));
    assert_string_equal(text, "hello");
    fixture_expect(fixture, "file", "jello");
}

/* ---- the source -------------------------------------------------------------------------------------------------- */

static void a_source_that_changed_is_found_and_nothing_is_stored(void **state)
{
    Fixture *fixture = *state;
    StenoPut put = {.source = fixture->source, .key = "x", .bytes = 5, .sha256_hex = HELLO_SHA256};
    fixture_write_source(fixture, "hellp");
    assert_int_equal(fixture_put_with(fixture->store, &put), STENO_ERROR_SOURCE_DAMAGED);
    fixture_write_source(fixture, "hell");
    assert_int_equal(fixture_put_with(fixture->store, &put), STENO_ERROR_SOURCE_DAMAGED);
    assert_int_equal(g_unlink(fixture->source), 0);
    assert_int_equal(fixture_put_with(fixture->store, &put), STENO_ERROR_SOURCE_DAMAGED);
    put.source = "/dev/null";
    assert_int_equal(fixture_put_with(fixture->store, &put), STENO_ERROR_SOURCE_DAMAGED);
    assert_int_equal(fixture_count(fixture->root), 0);
    /* Nobody said what it was. */
    assert_int_equal(fixture_put(fixture, "x"), STENO_ERROR_STORAGE_FAILED);
    fixture_write_source(fixture, "hello");
    put.source = fixture->source;
    g_autofree char *upper = g_ascii_strup(HELLO_SHA256, -1);
    put.sha256_hex = upper;
    assert_int_equal(fixture_put_with(fixture->store, &put), 0);
}

/* ---- progress and its end ---------------------------------------------------------------------------------------- */

#define LARGE_BYTES 5000000

typedef struct {
    GCancellable *cancellable;
    gint64 cancel_at_bytes, bytes;
    guint calls;
} Progress;

static void on_progress(gpointer user, gint64 bytes_stored, const GError *trouble)
{
    Progress *progress = user;
    assert_null(trouble);
    assert_true(bytes_stored > progress->bytes);
    progress->bytes = bytes_stored;
    progress->calls++;
    if (bytes_stored >= progress->cancel_at_bytes)
        g_cancellable_cancel(progress->cancellable);
}

static void slow_down(StenoConfigStorage *settings)
{
    settings->max_bytes_per_s = 1;
}

static void a_put_tells_how_far_it_is_and_can_be_ended(void **state)
{
    Fixture *fixture = *state;
    g_autofree char *large = g_malloc0(LARGE_BYTES);
    g_autoptr(GCancellable) cancellable = g_cancellable_new();
    Progress progress = {.cancellable = cancellable, .cancel_at_bytes = 2000000};
    StenoPut put = {
        .source = fixture->source, .key = "x", .cancellable = cancellable, .progress = on_progress, .user = &progress};
    assert_true(g_file_set_contents(fixture->source, large, LARGE_BYTES, NULL));
    assert_int_equal(fixture_put_with(fixture->store, &put), STENO_ERROR_INTERRUPTED);
    assert_int_equal(fixture_count(fixture->root), 0);
    assert_true(progress.bytes < LARGE_BYTES);
    /* One that was ended before does nothing at all. */
    progress.bytes = 0;
    assert_int_equal(fixture_put_with(fixture->store, &put), STENO_ERROR_INTERRUPTED);
    assert_int_equal(progress.bytes, 0);
    g_cancellable_reset(cancellable);
    progress = (Progress){.cancellable = cancellable, .cancel_at_bytes = G_MAXINT64};
    assert_int_equal(fixture_put_with(fixture->store, &put), 0);
    assert_int_equal(progress.bytes, LARGE_BYTES);
    assert_true(progress.calls > 2);
    /* A put that has to wait a month for its second piece is ended as well. */
    fixture_reopen(fixture, slow_down);
    progress = (Progress){.cancellable = cancellable, .cancel_at_bytes = 1};
    put.key = "slow";
    assert_int_equal(fixture_put_with(fixture->store, &put), STENO_ERROR_INTERRUPTED);
    assert_int_equal(progress.calls, 1);
    assert_int_equal(fixture_count(fixture->root), 1);
}

/* Somebody stores another file under the name, while ours is on its way. */
static void be_faster(gpointer user, gint64 bytes_stored, const GError *trouble)
{
    (void)bytes_stored;
    (void)trouble;
    assert_true(g_file_set_contents(user, "other", 5, NULL));
}

static void who_was_faster_keeps_the_name(void **state)
{
    Fixture *fixture = *state;
    g_autofree char *rival = g_build_filename(fixture->root, "x", NULL);
    StenoPut put = {.source = fixture->source, .key = "x", .progress = be_faster, .user = rival};
    assert_int_equal(fixture_put_with(fixture->store, &put), STENO_ERROR_STORAGE_FAILED);
    fixture_expect(fixture, "x", "other");
    assert_int_equal(fixture_count(fixture->root), 1);
}

static void what_a_crash_left_is_taken_up_and_a_rival_is_told(void **state)
{
    Fixture *fixture = *state;
    g_autofree char *digest = g_compute_checksum_for_string(G_CHECKSUM_SHA256, "x", -1);
    g_autofree char *left = g_strdup_printf("%s/.steno-%.16s.partial", fixture->root, digest);
    assert_true(g_file_set_contents(left, "half of something much longer", -1, NULL));
    int fd = open(left, O_RDWR);
    assert_int_equal(flock(fd, LOCK_EX), 0);
    assert_int_equal(fixture_put(fixture, "x"), STENO_ERROR_STORAGE_FAILED);
    assert_true(g_file_test(left, G_FILE_TEST_EXISTS));
    close(fd);
    assert_int_equal(fixture_put(fixture, "x"), 0);
    fixture_expect(fixture, "x", "hello");
    assert_int_equal(fixture_count(fixture->root), 1);
}

/* ---- room -------------------------------------------------------------------------------------------------------- */

static void a_full_disk_leaves_nothing_behind(void **state)
{
    Fixture *fixture = *state;
    g_autofree char *large = g_malloc0(2000000);
    assert_true(g_file_set_contents(fixture->source, large, 2000000, NULL));
    if (mount("steno", fixture->root, "tmpfs", 0, "size=1m,mode=755") != 0)
        skip(); /* not root */
    assert_int_equal(fixture_put(fixture, "folder/x"), STENO_ERROR_STORAGE_FULL);
    g_autofree char *folder = g_build_filename(fixture->root, "folder", NULL);
    assert_int_equal(fixture_count(folder), 0);
    g_autofree char *filler = g_build_filename(fixture->root, "filler", NULL);
    int fd = open(filler, O_WRONLY | O_CREAT | O_APPEND, 0600);
    while (write(fd, large, 4096) > 0)
        ;
    close(fd);
    assert_int_equal(fixture_check(fixture->store, NULL), STENO_ERROR_STORAGE_FULL);
    assert_int_equal(umount2(fixture->root, MNT_DETACH), 0);
}

static void leave_all_free(StenoConfigStorage *settings)
{
    settings->min_free_bytes = G_MAXINT64;
}

static void leave_some_free(StenoConfigStorage *settings)
{
    settings->min_free_bytes = 1;
}

static void what_would_take_the_last_room_is_not_begun(void **state)
{
    Fixture *fixture = *state;
    fixture_reopen(fixture, leave_all_free);
    assert_int_equal(fixture_put(fixture, "a/x"), STENO_ERROR_STORAGE_FULL);
    assert_int_equal(fixture_check(fixture->store, "min_free_bytes"), STENO_ERROR_STORAGE_FULL);
    assert_int_equal(fixture_count(fixture->root), 0);
    fixture_reopen(fixture, leave_some_free);
    assert_int_equal(fixture_put(fixture, "a/x"), 0);
    assert_int_equal(fixture_check(fixture->store, NULL), 0);
    fixture_reopen(fixture, leave_all_free);
    assert_int_equal(fixture_put(fixture, "a/x"), 0); /* what is there needs no room */
    assert_int_equal(fixture_put(fixture, "a/y"), STENO_ERROR_STORAGE_FULL);
    gint64 free_bytes = 0, total_bytes = 0;
    assert_true(steno_store_space(fixture->store, &free_bytes, &total_bytes));
    assert_true(free_bytes > 0 && free_bytes <= total_bytes);
}

/* ---- who may read it --------------------------------------------------------------------------------------------- */

static struct stat status_of(const Fixture *fixture, const char *key)
{
    struct stat status;
    g_autofree char *path = g_build_filename(fixture->root, key, NULL);
    assert_int_equal(stat(path, &status), 0);
    return status;
}

static void share(StenoConfigStorage *settings)
{
    g_free(settings->mode);
    settings->mode = g_strdup("0664");
    settings->group = g_strdup("daemon");
}

static void ask_for_nobodys_group(StenoConfigStorage *settings)
{
    settings->group = g_strdup("no such group");
}

static void files_have_the_mode_and_group_of_the_settings(void **state)
{
    Fixture *fixture = *state;
    mode_t before = umask(0077);
    fixture_reopen(fixture, NULL);
    assert_int_equal(fixture_put(fixture, "a/x"), 0);
    assert_int_equal(status_of(fixture, "a/x").st_mode, S_IFREG | 0640);
    assert_int_equal(status_of(fixture, "a").st_mode, S_IFDIR | 0750);
    fixture_reopen(fixture, ask_for_nobodys_group);
    assert_int_equal(fixture_put(fixture, "y"), STENO_ERROR_STORAGE_UNWRITABLE);
    const struct group *daemon_group = getgrnam("daemon");
    if (geteuid() == 0 && daemon_group) {
        gid_t id = daemon_group->gr_gid;
        fixture_reopen(fixture, share);
        assert_int_equal(fixture_put(fixture, "b/x"), 0);
        assert_int_equal(status_of(fixture, "b/x").st_mode, S_IFREG | 0664);
        assert_int_equal(status_of(fixture, "b").st_mode, S_IFDIR | 0775);
        assert_int_equal(status_of(fixture, "b/x").st_gid, id);
        assert_int_equal(status_of(fixture, "b").st_gid, id);
        assert_int_not_equal(status_of(fixture, "a").st_gid, id);
    }
    /* Without a configuration it is the umask's business. */
    g_autoptr(StenoStore) plain = steno_store_open_local(fixture->root);
    umask(0027);
    assert_int_equal(fixture_put_to(fixture, plain, "c/x"), 0);
    assert_int_equal(status_of(fixture, "c/x").st_mode, S_IFREG | 0640);
    assert_int_equal(status_of(fixture, "c").st_mode, S_IFDIR | 0750);
    umask(0002);
    assert_int_equal(fixture_put_to(fixture, plain, "d/x"), 0);
    assert_int_equal(status_of(fixture, "d/x").st_mode, S_IFREG | 0664);
    assert_int_equal(status_of(fixture, "d").st_mode, S_IFDIR | 0775);
    umask(before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
        TEST(a_file_is_stored_below_folders_that_are_made),
        TEST(an_empty_and_a_large_file_are_stored),
        TEST(the_same_contents_are_success_and_others_are_refused),
        TEST(every_printable_character_and_odd_names_are_stored),
        TEST(a_symbolic_link_is_never_followed),
        TEST(a_source_that_changed_is_found_and_nothing_is_stored),
        TEST(a_put_tells_how_far_it_is_and_can_be_ended),
        TEST(who_was_faster_keeps_the_name),
        TEST(what_a_crash_left_is_taken_up_and_a_rival_is_told),
        TEST(a_full_disk_leaves_nothing_behind),
        TEST(what_would_take_the_last_room_is_not_begun),
        TEST(files_have_the_mode_and_group_of_the_settings),
    };
    return cmocka_run_group_tests_name("local_put", tests, NULL, NULL);
}
