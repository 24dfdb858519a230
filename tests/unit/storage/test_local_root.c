/* The local sink's root: what is no place for recordings, or is away, is told. */
#include "storage_fixture.h"

#include "local.h"

#include "steno/base/error.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

static void check_refuses(const char *root, const char *words)
{
    g_autoptr(StenoStore) store = steno_store_open_local(root);
    assert_int_equal(fixture_check(store, words), STENO_ERROR_STORAGE_UNWRITABLE);
    assert_int_equal(fixture_check(store, root), STENO_ERROR_STORAGE_UNWRITABLE);
}

static void roots_that_others_could_turn_are_refused(void **state)
{
    Fixture *fixture = *state;
    g_autofree char *link = g_build_filename(fixture->folder, "link", NULL);
    g_autofree char *missing = g_build_filename(fixture->folder, "missing", NULL);
    g_autofree char *deeper = g_build_filename(fixture->folder, "no/where", NULL);
    g_autoptr(StenoStore) by_link = steno_store_open_local(link), made = steno_store_open_local(missing);
    assert_int_equal(fixture_check(fixture->store, NULL), 0);
    assert_int_equal(fixture_count(fixture->root), 0);
    assert_int_equal(symlink(fixture->root, link), 0);
    check_refuses(link, "symbolic link");
    assert_int_equal(fixture_put_to(fixture, by_link, "x"), STENO_ERROR_STORAGE_UNWRITABLE);
    check_refuses(fixture->source, "not a folder");
    check_refuses(deeper, "No such file");
    assert_int_equal(fixture_check(made, NULL), 0);
    assert_true(g_file_test(missing, G_FILE_TEST_IS_DIR));
    assert_int_equal(g_chmod(fixture->root, 01777), 0);
    check_refuses(fixture->root, "chmod o-w");
    assert_int_equal(fixture_put(fixture, "x"), STENO_ERROR_STORAGE_UNWRITABLE);
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
        gboolean writable = steno_store_check(fixture->store, NULL, &error);
        _exit(!writable && error->code == STENO_ERROR_STORAGE_UNWRITABLE && strstr(error->message, "as user") ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    g_chmod(fixture->root, 0755);
}

/* ---- a mount that goes away -------------------------------------------------------------------------------------- */

static int list_nothing(const Fixture *fixture)
{
    g_autoptr(GError) error = NULL;
    return steno_store_list(fixture->store, "", NULL, NULL, NULL, &error) ? 0 : error->code;
}

/* The root is a mount point, and what is mounted there is away: nothing may be written to the disk below. */
static void an_empty_folder_is_not_taken_for_the_root(void **state)
{
    Fixture *fixture = *state;
    g_autofree char *elsewhere = g_build_filename(fixture->folder, "mounted", NULL);
    g_autofree char *marker = g_build_filename(fixture->root, ".steno-storage", NULL);
    fixture_reopen(fixture, NULL);
    assert_int_equal(fixture_check(fixture->store, NULL), 0);
    assert_int_equal(fixture_put(fixture, "a/x"), 0);
    assert_true(g_file_test(marker, G_FILE_TEST_EXISTS));
    assert_int_equal(g_rename(fixture->root, elsewhere), 0);
    assert_int_equal(g_mkdir(fixture->root, 0755), 0);
    for (int i = 0; i < 2; i++) { /* the process that used it, and one that begins now */
        assert_int_equal(fixture_check(fixture->store, "is it mounted?"), STENO_ERROR_STORAGE_UNWRITABLE);
        assert_int_equal(fixture_put(fixture, "a/y"), STENO_ERROR_STORAGE_UNWRITABLE);
        assert_int_equal(fixture_verify(fixture, "a/x", 5, HELLO_SHA256), STENO_ERROR_STORAGE_UNWRITABLE);
        assert_int_equal(fixture_remove(fixture, "a/x", TRUE), STENO_ERROR_STORAGE_UNWRITABLE);
        assert_int_equal(list_nothing(fixture), STENO_ERROR_STORAGE_UNWRITABLE);
        assert_int_equal(fixture_count(fixture->root), 0);
        fixture_reopen(fixture, NULL);
    }
    assert_int_equal(g_rmdir(fixture->root), 0);
    assert_int_equal(g_rename(elsewhere, fixture->root), 0);
    assert_int_equal(fixture_put(fixture, "a/y"), 0);
    assert_int_equal(fixture_verify(fixture, "a/x", 5, HELLO_SHA256), 0);
}

/* A new disk for the old root is lawful, once somebody says so; so is another root for the same storage. */
static void a_new_root_is_taken_when_somebody_says_so(void **state)
{
    Fixture *fixture = *state;
    g_autofree char *marker = g_build_filename(fixture->root, ".steno-storage", NULL);
    g_autofree char *other = g_build_filename(fixture->folder, "other", NULL);
    fixture_reopen(fixture, NULL);
    assert_int_equal(fixture_put(fixture, "x"), 0);
    assert_int_equal(g_unlink(marker), 0);
    assert_int_equal(fixture_put(fixture, "y"), STENO_ERROR_STORAGE_UNWRITABLE);
    assert_true(g_file_set_contents(marker, "", 0, NULL));
    assert_int_equal(fixture_put(fixture, "y"), 0);
    g_autoptr(StenoStore) moved = fixture_open(fixture, other, NULL);
    assert_int_equal(fixture_put_to(fixture, moved, "y"), 0);
    assert_int_equal(g_unlink(marker), 0);
    assert_int_equal(fixture_put(fixture, "z"), 0); /* the other one is remembered now */
}

/* Who has no state folder remembers nothing, and leaves no marker. */
static void a_store_without_configuration_has_no_marker(void **state)
{
    Fixture *fixture = *state;
    assert_int_equal(fixture_check(fixture->store, NULL), 0);
    assert_int_equal(fixture_put(fixture, "x"), 0);
    assert_int_equal(fixture_count(fixture->root), 1);
    assert_int_equal(fixture_count(fixture->state_dir), 0);
}

static void a_real_mount_may_go_and_come_back(void **state)
{
    Fixture *fixture = *state;
    g_autofree char *disk = g_build_filename(fixture->folder, "disk", NULL);
    fixture_reopen(fixture, NULL);
    assert_int_equal(g_mkdir(disk, 0755), 0);
    if (mount(disk, fixture->root, NULL, MS_BIND, NULL) != 0)
        skip(); /* not root */
    assert_int_equal(fixture_put(fixture, "x"), 0);
    assert_int_equal(umount2(fixture->root, MNT_DETACH), 0);
    assert_int_equal(fixture_put(fixture, "y"), STENO_ERROR_STORAGE_UNWRITABLE);
    assert_int_equal(fixture_count(fixture->root), 0);
    assert_int_equal(mount(disk, fixture->root, NULL, MS_BIND, NULL), 0);
    int later = fixture_put(fixture, "y");
    assert_int_equal(umount2(fixture->root, MNT_DETACH), 0);
    assert_int_equal(later, 0);
    assert_int_equal(fixture_count(disk), 3);
}

/* What a kernel answers for a mount that does not; there is none here that would. */
static void what_a_dead_mount_answers_will_pass(void **state)
{
    static const int away[] = {ESTALE, EIO, ENOTCONN, EHOSTDOWN, EHOSTUNREACH, ETIMEDOUT, ECONNREFUSED};
    (void)state;
    for (guint i = 0; i < G_N_ELEMENTS(away); i++) {
        g_autoptr(GError) error = NULL;
        assert_false(local_fail(&error, away[i], "writing %s in %s", "x", "/srv"));
        assert_int_equal(error->code, STENO_ERROR_STORAGE_UNREACHABLE);
        assert_true(g_str_has_prefix(error->message, "writing x in /srv: "));
        assert_true(steno_error_is_storage(error));
    }
    g_autoptr(GError) full = NULL, odd = NULL;
    assert_false(local_fail(&full, ENOSPC, "writing"));
    assert_int_equal(full->code, STENO_ERROR_STORAGE_FULL);
    assert_false(local_fail(&odd, EBADF, "writing"));
    assert_int_equal(odd->code, STENO_ERROR_STORAGE_FAILED);
}

/* ---- a mount that hangs ------------------------------------------------------------------------------------------ */

/* fsync() of a mount whose server is away: it returns when the server is back. */
int __real_fsync(int fd);
int __wrap_fsync(int fd);

static GMutex away_lock;
static GCond away_changed;
static gboolean is_away;
static guint held, wanted_held;

int __wrap_fsync(int fd)
{
    g_mutex_lock(&away_lock);
    held++;
    g_cond_broadcast(&away_changed);
    while (is_away)
        g_cond_wait(&away_changed, &away_lock);
    held--;
    g_cond_broadcast(&away_changed);
    g_mutex_unlock(&away_lock);
    return __real_fsync(fd);
}

/* Waits until so many are held, and ends who waits for them. */
static gpointer cancel_when_held(gpointer cancellable)
{
    g_mutex_lock(&away_lock);
    while (held < wanted_held)
        g_cond_wait(&away_changed, &away_lock);
    g_mutex_unlock(&away_lock);
    g_cancellable_cancel(cancellable);
    return NULL;
}

static int check_until_held(Fixture *fixture)
{
    g_autoptr(GCancellable) cancellable = g_cancellable_new();
    g_autoptr(GError) error = NULL;
    GThread *thread = g_thread_new("cancel", cancel_when_held, cancellable);
    assert_false(steno_store_check(fixture->store, cancellable, &error));
    g_thread_join(thread);
    return error->code;
}

static void a_mount_that_hangs_holds_nobody(void **state)
{
    Fixture *fixture = *state;
    g_mutex_lock(&away_lock);
    is_away = TRUE;
    g_mutex_unlock(&away_lock);
    for (wanted_held = 1; wanted_held <= 4; wanted_held++)
        assert_int_equal(check_until_held(fixture), STENO_ERROR_INTERRUPTED);
    /* As many as may hang do. */
    assert_int_equal(fixture_check(fixture->store, "does not answer"), STENO_ERROR_STORAGE_UNREACHABLE);
    g_mutex_lock(&away_lock);
    assert_int_equal(held, 4);
    is_away = FALSE;
    g_cond_broadcast(&away_changed);
    while (held > 0)
        g_cond_wait(&away_changed, &away_lock);
    g_mutex_unlock(&away_lock);
    int code;
    while ((code = fixture_check(fixture->store, NULL)) == STENO_ERROR_STORAGE_UNREACHABLE)
        g_thread_yield();
    assert_int_equal(code, 0);
    while (fixture_count(fixture->root) > 0)
        g_thread_yield();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
        TEST(roots_that_others_could_turn_are_refused),    TEST(an_unwritable_root_says_who_needs_the_right),
        TEST(an_empty_folder_is_not_taken_for_the_root),   TEST(a_new_root_is_taken_when_somebody_says_so),
        TEST(a_store_without_configuration_has_no_marker), TEST(a_real_mount_may_go_and_come_back),
        TEST(what_a_dead_mount_answers_will_pass),         TEST(a_mount_that_hangs_holds_nobody),
    };
    return cmocka_run_group_tests_name("local_root", tests, NULL, NULL);
}
