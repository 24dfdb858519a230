/* The local sink: what is there is found, proven and read; what is removed is that alone. */
#include "storage_fixture.h"

#include "steno/base/error.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static void what_is_there_is_verified_and_read(void **state)
{
    Fixture *fixture = *state;
    g_autofree char *fifo = g_build_filename(fixture->root, "fifo", NULL);
    g_autofree char *other = g_strdup(HELLO_SHA256), *upper = g_ascii_strup(HELLO_SHA256, -1);
    other[63]++;
    assert_int_equal(fixture_put(fixture, "a/b/x"), 0);
    assert_int_equal(fixture_verify(fixture, "a/b/x", 5, HELLO_SHA256), 0);
    assert_int_equal(fixture_verify(fixture, "a/b/x", 5, upper), 0);
    assert_int_equal(fixture_verify(fixture, "a/b/x", 4, HELLO_SHA256), STENO_ERROR_VERIFY_FAILED);
    assert_int_equal(fixture_verify(fixture, "a/b/x", 5, other), STENO_ERROR_VERIFY_FAILED);
    assert_int_equal(fixture_verify(fixture, "a/b/x", 5, ""), STENO_ERROR_VERIFY_FAILED);
    assert_int_equal(fixture_verify(fixture, "a/b/y", 5, HELLO_SHA256), STENO_ERROR_NOT_FOUND);
    assert_int_equal(fixture_verify(fixture, "a/c/x", 5, HELLO_SHA256), STENO_ERROR_NOT_FOUND);
    assert_int_equal(fixture_verify(fixture, "a/b", 5, HELLO_SHA256), STENO_ERROR_STORAGE_FAILED);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    assert_int_equal(fixture_verify(fixture, "fifo", 5, HELLO_SHA256), STENO_ERROR_STORAGE_FAILED);
    assert_int_equal(fixture_read(fixture, "a/b/x", 5, "hello"), 0);
    assert_int_equal(fixture_read(fixture, "a/b/x", 100, "hello"), 0);
    assert_int_equal(fixture_read(fixture, "a/b/x", 4, ""), STENO_ERROR_STORAGE_FAILED);
    assert_int_equal(fixture_read(fixture, "a/b/y", 4, ""), STENO_ERROR_NOT_FOUND);
    assert_int_equal(fixture_read(fixture, "fifo", 4, ""), STENO_ERROR_STORAGE_FAILED);
    g_autofree char *missing = g_build_filename(fixture->folder, "missing", NULL);
    g_autoptr(StenoStore) nowhere = steno_store_open_local(missing);
    assert_false(steno_store_verify(nowhere, "x", 5, HELLO_SHA256, STENO_PROOF_STORED, NULL, NULL));
    assert_false(g_file_test(missing, G_FILE_TEST_EXISTS)); /* looking makes nothing */
}

/* The cheap proof must not be one of the size alone: files are let go because of it. */
static void a_changed_file_has_no_proof(void **state)
{
    Fixture *fixture = *state;
    g_autofree char *path = g_build_filename(fixture->root, "x", NULL);
    assert_int_equal(fixture_put(fixture, "x"), 0);
    assert_true(steno_store_verify(fixture->store, "x", 5, HELLO_SHA256, STENO_PROOF_STORED, NULL, NULL));
    assert_true(g_file_set_contents(path, "jello", 5, NULL));
    assert_false(steno_store_verify(fixture->store, "x", 5, HELLO_SHA256, STENO_PROOF_STORED, NULL, NULL));
}

static void what_is_removed_is_that_object_alone(void **state)
{
    Fixture *fixture = *state;
    g_autofree char *folder = g_build_filename(fixture->root, "a/b", NULL);
    assert_int_equal(fixture_put(fixture, "a/b/x"), 0);
    assert_int_equal(fixture_put(fixture, "a/b/y"), 0);
    assert_int_equal(fixture_put(fixture, "a/z"), 0);
    assert_int_equal(fixture_remove(fixture, "a/b/none", TRUE), STENO_ERROR_NOT_FOUND);
    assert_int_equal(fixture_remove(fixture, "a/none/x", TRUE), STENO_ERROR_NOT_FOUND);
    assert_int_not_equal(fixture_remove(fixture, "a/b", TRUE), 0);
    assert_int_equal(fixture_remove(fixture, "a/b/x", TRUE), 0);
    fixture_expect(fixture, "a/b/y", "hello");
    assert_int_equal(fixture_remove(fixture, "a/b/y", FALSE), 0);
    assert_int_equal(fixture_count(folder), 0);
    /* Folders go upwards as far as they are empty, also when the object was gone already. */
    assert_int_equal(fixture_remove(fixture, "a/b/y", TRUE), STENO_ERROR_NOT_FOUND);
    assert_false(g_file_test(folder, G_FILE_TEST_EXISTS));
    fixture_expect(fixture, "a/z", "hello");
    assert_int_equal(fixture_remove(fixture, "a/z", TRUE), 0);
    assert_int_equal(fixture_count(fixture->root), 0);
    assert_int_equal(fixture_put(fixture, "top"), 0);
    assert_int_equal(fixture_remove(fixture, "top", TRUE), 0);
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
        assert_int_equal(fixture_verify(fixture, keys[i], 5, HELLO_SHA256), STENO_ERROR_STORAGE_FAILED);
        assert_int_equal(fixture_read(fixture, keys[i], 5, ""), STENO_ERROR_STORAGE_FAILED);
        assert_int_equal(fixture_remove(fixture, keys[i], TRUE), STENO_ERROR_STORAGE_FAILED);
    }
    assert_int_equal(fixture_verify(fixture, "file", 5, HELLO_SHA256), STENO_ERROR_STORAGE_FAILED);
    assert_int_equal(steno_store_open_object(fixture->store, "file", NULL), -1);
    assert_int_equal(fixture_remove(fixture, "file", TRUE), 0); /* the link goes, not what it leads to */
    assert_true(g_file_test(target, G_FILE_TEST_EXISTS));
    assert_false(g_file_test(file_link, G_FILE_TEST_IS_SYMLINK));
}

/* ---- pieces ------------------------------------------------------------------------------------------------------ */

typedef struct {
    GByteArray *bytes;
    guint pieces, refuse_at;
    GCancellable *cancel;
} Taker;

static gboolean take(gpointer user, const guint8 *data, gsize bytes, GError **error)
{
    Taker *taker = user;
    g_byte_array_append(taker->bytes, data, (guint)bytes);
    if (++taker->pieces == taker->refuse_at)
        return steno_error_set(error, STENO_ERROR_CONFLICT, "enough");
    if (taker->cancel)
        g_cancellable_cancel(taker->cancel);
    return TRUE;
}

static int fetch(const Fixture *fixture, Taker *taker, gint64 offset, gint64 length)
{
    g_autoptr(GError) error = NULL;
    g_byte_array_set_size(taker->bytes, 0);
    taker->pieces = 0;
    gboolean good = steno_store_fetch(fixture->store, "x", offset, length, take, taker, taker->cancel, &error);
    assert_true(good == !error);
    return good ? 0 : error->code;
}

static void a_part_of_an_object_is_fetched(void **state)
{
    Fixture *fixture = *state;
    g_autoptr(GByteArray) bytes = g_byte_array_new();
    g_autofree char *large = g_strnfill(1000000, 'y');
    Taker taker = {.bytes = bytes};
    assert_int_equal(fetch(fixture, &taker, 0, -1), STENO_ERROR_NOT_FOUND);
    assert_int_equal(fixture_put(fixture, "x"), 0);
    assert_int_equal(fetch(fixture, &taker, 0, -1), 0);
    assert_int_equal(bytes->len, 5);
    assert_int_equal(fetch(fixture, &taker, 1, 3), 0);
    assert_int_equal(bytes->len, 3);
    assert_memory_equal(bytes->data, "ell", 3);
    assert_int_equal(fetch(fixture, &taker, 3, 100), 0);
    assert_int_equal(bytes->len, 2);
    assert_int_equal(fetch(fixture, &taker, 5, -1), 0);
    assert_int_equal(taker.pieces, 0);
    assert_int_equal(fetch(fixture, &taker, 6, -1), STENO_ERROR_STORAGE_FAILED);
    fixture_write_source(fixture, large);
    assert_int_equal(fixture_replace(fixture, "x"), 0);
    assert_int_equal(fetch(fixture, &taker, 7, -1), 0);
    assert_int_equal(bytes->len, 999993);
    assert_true(taker.pieces > 1);
    taker.refuse_at = 2;
    assert_int_equal(fetch(fixture, &taker, 0, -1), STENO_ERROR_CONFLICT);
    assert_int_equal(taker.pieces, 2);
    g_autoptr(GCancellable) cancel = g_cancellable_new();
    taker = (Taker){.bytes = bytes, .cancel = cancel};
    assert_int_equal(fetch(fixture, &taker, 0, -1), STENO_ERROR_INTERRUPTED);
    assert_int_equal(taker.pieces, 1);
}

static void size_time_and_descriptor_are_told(void **state)
{
    Fixture *fixture = *state;
    gint64 bytes = 0, modified_us = 0, now_us = g_get_real_time();
    g_autoptr(GError) error = NULL;
    char text[10];
    assert_int_equal(fixture_put(fixture, "a/x"), 0);
    assert_true(steno_store_stat(fixture->store, "a/x", &bytes, &modified_us, NULL, NULL));
    assert_int_equal(bytes, 5);
    assert_true(ABS(modified_us - now_us) < 60 * G_USEC_PER_SEC);
    int fd = steno_store_open_object(fixture->store, "a/x", NULL);
    assert_int_equal(read(fd, text, sizeof text), 5);
    close(fd);
    assert_int_equal(steno_store_open_object(fixture->store, "a/y", &error), -1);
    assert_int_equal(error->code, STENO_ERROR_NOT_FOUND);
    assert_false(steno_store_stat(fixture->store, "a", &bytes, &modified_us, NULL, NULL));
    /* Nobody fetches from a folder by an address. */
    g_clear_error(&error);
    assert_null(steno_store_presign(fixture->store, "a/x", "x", "text/plain", NULL, &error));
    assert_null(error);
}

/* ---- lists ------------------------------------------------------------------------------------------------------- */

typedef struct {
    GPtrArray *keys;
    guint most;
    gint64 bytes;
} List;

static gboolean on_found(gpointer user, const char *key, gint64 bytes)
{
    List *list = user;
    g_ptr_array_add(list->keys, g_strdup(key));
    list->bytes += bytes;
    return list->keys->len < list->most;
}

static gint by_text(gconstpointer a, gconstpointer b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void expect_list(const Fixture *fixture, const char *prefix, const char *expected)
{
    g_autoptr(GPtrArray) keys = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GError) error = NULL;
    List list = {.keys = keys, .most = G_MAXUINT};
    if (!steno_store_list(fixture->store, prefix, on_found, &list, NULL, &error))
        fail_msg("%s", error->message);
    g_ptr_array_sort(keys, by_text);
    g_ptr_array_add(keys, NULL);
    g_autofree char *joined = g_strjoinv(" ", (char **)keys->pdata);
    assert_string_equal(joined, expected);
    assert_int_equal(list.bytes, 5 * (gint64)(keys->len - 1));
}

static void objects_are_listed_by_prefix(void **state)
{
    static const char *const keys[] = {"a/b/x", "a/b/y", "a/bc/z", "a/b.c", "b", "zoë/ü"};
    Fixture *fixture = *state;
    g_autofree char *partial = g_build_filename(fixture->root, "a", ".steno-0123.partial", NULL);
    g_autofree char *link = g_build_filename(fixture->root, "link", NULL);
    g_autofree char *odd = g_build_filename(fixture->root, "a", "\xff", NULL);
    fixture_reopen(fixture, NULL); /* with a marker */
    for (guint i = 0; i < G_N_ELEMENTS(keys); i++)
        assert_int_equal(fixture_put(fixture, keys[i]), 0);
    assert_true(g_file_set_contents(partial, "hello", 5, NULL));
    assert_true(g_file_set_contents(odd, "hello", 5, NULL));
    assert_int_equal(symlink(fixture->folder, link), 0);
    expect_list(fixture, "", "a/b.c a/b/x a/b/y a/bc/z b zoë/ü");
    expect_list(fixture, "a/b", "a/b.c a/b/x a/b/y a/bc/z");
    expect_list(fixture, "a/b/", "a/b/x a/b/y");
    expect_list(fixture, "a/b/x", "a/b/x");
    expect_list(fixture, "a/b/xx", "");
    expect_list(fixture, "zo", "zoë/ü");
    expect_list(fixture, "none/at/all", "");
    expect_list(fixture, "b/x", ""); /* b is no folder */
    /* It ends when it is told to. */
    g_autoptr(GPtrArray) some = g_ptr_array_new_with_free_func(g_free);
    List list = {.keys = some, .most = 2};
    assert_true(steno_store_list(fixture->store, "", on_found, &list, NULL, NULL));
    assert_int_equal(some->len, 2);
    g_autoptr(GCancellable) cancellable = g_cancellable_new();
    g_autoptr(GError) error = NULL;
    g_cancellable_cancel(cancellable);
    assert_false(steno_store_list(fixture->store, "", on_found, &list, cancellable, &error));
    assert_int_equal(error->code, STENO_ERROR_INTERRUPTED);
}

static gboolean is_of_recording(gpointer user, const char *key, gint64 begun_us)
{
    assert_true(ABS(begun_us - g_get_real_time()) < 60 * G_USEC_PER_SEC);
    return strstr(key, user) != NULL;
}

static guint abort_orphans(const Fixture *fixture, const char *prefix, const char *of)
{
    g_autoptr(GError) error = NULL;
    guint aborted = 99;
    if (!steno_store_abort_orphans(fixture->store, prefix, is_of_recording, (gpointer)of, &aborted, NULL, &error))
        fail_msg("%s", error->message);
    return aborted;
}

static void temporary_files_that_nobody_writes_go(void **state)
{
    static const char *const folders[] = {"app/01A", "app/01B", "else/01A"};
    Fixture *fixture = *state;
    int lock = -1;
    for (guint i = 0; i < G_N_ELEMENTS(folders); i++) {
        g_autofree char *key = g_strconcat(folders[i], "/x", NULL);
        g_autofree char *path = g_strdup_printf("%s/%s/.steno-77.partial", fixture->root, folders[i]);
        assert_int_equal(fixture_put(fixture, key), 0);
        assert_true(g_file_set_contents(path, "half", 4, NULL));
        if (i == 0)
            assert_int_equal(flock(lock = open(path, O_RDONLY), LOCK_EX), 0);
    }
    g_autofree char *a = g_build_filename(fixture->root, "app/01A", NULL);
    g_autofree char *b = g_build_filename(fixture->root, "app/01B", NULL);
    assert_int_equal(abort_orphans(fixture, "app/", "01A"), 0); /* somebody writes it */
    assert_int_equal(fixture_count(a), 2);
    close(lock);
    assert_int_equal(abort_orphans(fixture, "app/", "01A"), 1);
    assert_int_equal(fixture_count(a), 1);
    assert_int_equal(fixture_count(b), 2);
    assert_int_equal(abort_orphans(fixture, "", "01"), 2);
    assert_int_equal(fixture_count(b), 1);
    assert_int_equal(abort_orphans(fixture, "", ""), 0); /* objects are none */
    assert_true(steno_store_abort_orphans(fixture->store, "", is_of_recording, (gpointer) "", NULL, NULL, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
        TEST(what_is_there_is_verified_and_read),   TEST(a_changed_file_has_no_proof),
        TEST(what_is_removed_is_that_object_alone), TEST(nothing_outside_of_the_root_is_looked_at_or_removed),
        TEST(a_part_of_an_object_is_fetched),       TEST(size_time_and_descriptor_are_told),
        TEST(objects_are_listed_by_prefix),         TEST(temporary_files_that_nobody_writes_go),
    };
    return cmocka_run_group_tests_name("local_look", tests, NULL, NULL);
}
