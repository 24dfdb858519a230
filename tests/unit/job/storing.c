/* Several storages, each at its own pace: away, full, back again; in turns; the first that takes it; left at any time.
 */
#include "world.h"

#include <glib/gstdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

static int set_up_two(void **state)
{
    int failed = world_set_up(state);
    World *world = *state;
    world->place.n_stores = 2;
    return failed;
}

static void assert_stored_in(const World *world, const char *root)
{
    g_autofree char *folder = world_folder(world, root);
    assert_true(world_exists(folder, "alice.webm"));
    assert_true(world_exists(folder, "manifest.json"));
}

static void assert_completed(World *world)
{
    world_await_done(world);
    if (world->error)
        fail_msg("%s", world->error->message);
    assert_false(world_exists(world->spool, world->spec->id));
    assert_int_equal(world_count(world, "state:completed"), 1);
}

/* ---- all of them ------------------------------------------------------------------------------------------------- */

static void all_storages_get_it(void **state)
{
    World *world = *state;
    world_make_capture(world);
    world_resume(world, TRUE);
    assert_completed(world);
    assert_stored_in(world, world->root);
    assert_stored_in(world, world->other);
    const char *const primary[] = {"state:assembling",         "state:storing",   "storage 0 primary storing",
                                   "storage 0 primary stored", "state:completed", NULL};
    const char *const archive[] = {"storage 0 archive storing", "storage 0 archive stored", "done", NULL};
    world_assert_order(world, primary);
    world_assert_order(world, archive);
    g_autofree char *folder = world_folder(world, world->root);
    assert_string_equal(world->folder, folder);
}

static void one_that_is_blocked_keeps_the_other_from_nothing_but_the_end(void **state)
{
    World *world = *state;
    world_break(world->other);
    world_make_capture(world);
    world_resume(world, TRUE);
    world_await(world, "storage 0 primary stored", 1);
    world_await(world, "storage 0 archive blocked:storage-unwritable", 1);
    assert_false(world->done);
    assert_true(world_exists(world->capture, "part-0001/track-0001.0.mkv"));
    assert_stored_in(world, world->root);
    /* Blocked still: it is told once. */
    assert_true(steno_job_store_retry(world->job, "archive"));
    assert_false(steno_job_store_retry(world->job, "archive")); /* it is under way */
    while (!steno_job_store_retry(world->job, "archive"))
        g_main_context_iteration(NULL, TRUE);
    assert_false(steno_job_store_retry(world->job, "primary"));
    assert_false(steno_job_store_retry(world->job, "no such"));
    assert_int_equal(world_count(world, "storage 0 archive blocked"), 1);
    world_mend(world->other);
    while (!world->done) {
        (void)steno_job_store_retry(world->job, NULL);
        g_main_context_iteration(NULL, TRUE);
    }
    assert_completed(world);
    assert_stored_in(world, world->other);
    assert_int_equal(world_count(world, "storage 0 archive blocked"), 1);
    assert_int_equal(world_assemblies(world), 1);
}

static void trouble_that_passes_is_waited_for(void **state)
{
    World *world = *state;
    /* A storage that is replaced by a file is no folder: that is no permission, and not full. */
    world_make_capture(world);
    g_autofree char *moved = g_strconcat(world->other, ".away", NULL);
    assert_int_equal(g_rename(world->other, moved), 0);
    world_write(world->base, "other", "no folder");
    world_resume(world, TRUE);
    world_await(world, "storage 0 primary stored", 1);
    while (world_count(world, "storage 0 archive retrying") + world_count(world, "storage 0 archive blocked") == 0)
        g_main_context_iteration(NULL, TRUE);
    assert_int_equal(g_unlink(world->other), 0);
    assert_int_equal(g_rename(moved, world->other), 0);
    while (!world->done) {
        (void)steno_job_store_retry(world->job, "archive");
        g_main_context_iteration(NULL, TRUE);
    }
    assert_completed(world);
    assert_stored_in(world, world->other);
}

static void in_the_foreground_the_others_get_it_before_it_fails(void **state)
{
    World *world = *state;
    world->place.outlive = FALSE;
    world_break(world->root);
    world_make_capture(world);
    world_resume(world, TRUE);
    world_await_done(world);
    assert_true(g_error_matches(world->error, STENO_ERROR, STENO_ERROR_STORAGE_UNWRITABLE));
    assert_string_equal(world->kept, world->capture);
    g_autofree char *folder = world_folder(world, world->other);
    assert_string_equal(world->folder, folder); /* where it is */
    assert_stored_in(world, world->other);
    world_leave(world);
    world_forget_done(world);
    world_mend(world->root);
    world_resume(world, TRUE);
    assert_completed(world);
    assert_stored_in(world, world->root);
}

static void no_storage_at_all_fails_in_the_foreground(void **state)
{
    World *world = *state;
    world->place.outlive = FALSE;
    world_break(world->root);
    world_break(world->other);
    world_make_capture(world);
    world_resume(world, TRUE);
    world_await_done(world);
    assert_true(g_error_matches(world->error, STENO_ERROR, STENO_ERROR_STORAGE_UNWRITABLE));
    assert_null(world->folder);
    assert_string_equal(world->kept, world->capture);
}

/* ---- the first one ----------------------------------------------------------------------------------------------- */

static void the_first_one_is_enough(void **state)
{
    World *world = *state;
    world->place.first = TRUE;
    world_make_capture(world);
    world_resume(world, TRUE);
    assert_completed(world);
    assert_stored_in(world, world->root);
    g_autofree char *folder = world_folder(world, world->other);
    assert_false(world_exists(folder, ""));
    const char *const order[] = {"storage 0 primary storing", "storage 0 primary stored", "storage 0 archive skipped",
                                 "state:completed", NULL};
    world_assert_order(world, order);
}

static void the_next_one_takes_what_the_first_does_not(void **state)
{
    World *world = *state;
    world->place.first = TRUE;
    world_break(world->root);
    world_make_capture(world);
    world_resume(world, TRUE);
    assert_completed(world);
    assert_stored_in(world, world->other);
    const char *const order[] = {"storage 0 primary blocked", "storage 0 archive storing", "storage 0 archive stored",
                                 "storage 0 primary skipped", NULL};
    world_assert_order(world, order);
}

static void when_none_takes_it_all_are_tried_again(void **state)
{
    World *world = *state;
    world->place.first = TRUE;
    world_break(world->root);
    world_break(world->other);
    world_make_capture(world);
    world_resume(world, TRUE);
    world_await(world, "storage 0 archive blocked", 1);
    while (!steno_job_store_retry(world->job, "archive"))
        g_main_context_iteration(NULL, TRUE);
    world_mend(world->root);
    while (!world->done) {
        (void)steno_job_store_retry(world->job, NULL);
        g_main_context_iteration(NULL, TRUE);
    }
    assert_completed(world);
    assert_stored_in(world, world->root);
}

static void in_the_foreground_the_first_that_takes_it_is_tried_once_each(void **state)
{
    World *world = *state;
    world->place.first = TRUE;
    world->place.outlive = FALSE;
    world_break(world->root);
    world_break(world->other);
    world_make_capture(world);
    world_resume(world, TRUE);
    world_await_done(world);
    assert_true(g_error_matches(world->error, STENO_ERROR, STENO_ERROR_STORAGE_UNWRITABLE));
    assert_null(world->folder);
}

/* ---- turns ------------------------------------------------------------------------------------------------------- */

static void want(gpointer user, guint store)
{
    World *world = user;
    g_ptr_array_add(world->told, g_strdup_printf("wanted %u", store));
}

static void over(gpointer user, guint store)
{
    World *world = user;
    g_ptr_array_add(world->told, g_strdup_printf("over %u", store));
}

static void the_owner_says_when_it_is_stored(void **state)
{
    World *world = *state;
    world->events.store_wanted = want;
    world->events.store_over = over;
    world_make_capture(world);
    world_resume(world, TRUE);
    world_await(world, "wanted 0", 1);
    world_await(world, "wanted 1", 1);
    assert_int_equal(world_count(world, "storage 0 primary waiting"), 1);
    assert_int_equal(world_count(world, "storage 0 primary storing"), 0);
    steno_job_store_now(world->job, 1);
    steno_job_store_now(world->job, 1); /* once is enough */
    steno_job_store_now(world->job, 7);
    world_await(world, "over 1", 1);
    assert_int_equal(world_count(world, "storage 0 archive stored"), 1);
    assert_int_equal(world_count(world, "storage 0 primary storing"), 0);
    steno_job_store_now(world->job, 0);
    assert_completed(world);
    assert_int_equal(world_count(world, "over"), 2);
}

static void what_is_to_be_tried_again_asks_again(void **state)
{
    World *world = *state;
    world->events.store_wanted = want;
    world->events.store_over = over;
    world_break(world->root);
    world_make_capture(world);
    world_resume(world, TRUE);
    world_await(world, "wanted 0", 1);
    steno_job_store_now(world->job, 0);
    world_await(world, "over 0", 1);
    assert_int_equal(world_count(world, "storage 0 primary blocked"), 1);
    world_mend(world->root);
    assert_true(steno_job_store_retry(world->job, "primary"));
    world_await(world, "wanted 0", 2);
    assert_int_equal(world_count(world, "storage 0 primary waiting"), 1); /* blocked, until it gets on */
    steno_job_store_now(world->job, 0);
    world_await(world, "over 0", 2);
    assert_int_equal(world_count(world, "storage 0 primary stored"), 1);
    steno_job_store_now(world->job, 1);
    assert_completed(world);
}

/* Its hours are over while it stores: whatever was done by then, it is wanted again, or stored. */
static void left_it_is_wanted_again(void **state)
{
    World *world = *state;
    world->place.n_stores = 1;
    world->events.store_wanted = want;
    world->events.store_over = over;
    world_make_capture(world);
    world_resume(world, TRUE);
    guint wanted = 1;
    world_await(world, "wanted 0", wanted);
    steno_job_store_leave(world->job, 0); /* nothing is under way */
    for (guint i = 0; i < 3 && world_count(world, "storage 0 primary stored") == 0; i++) {
        steno_job_store_now(world->job, 0);
        steno_job_store_leave(world->job, 0);
        world_await(world, "over 0", i + 1);
        if (world_count(world, "storage 0 primary stored") == 0)
            world_await(world, "wanted 0", ++wanted);
    }
    steno_job_store_now(world->job, 0);
    assert_completed(world);
}

/* ---- damage ------------------------------------------------------------------------------------------------------ */

static void what_is_damaged_before_it_is_stored_is_assembled_again(void **state)
{
    World *world = *state;
    world_assembler(world, "rot\nflip\n"); /* a bit, and a size */
    world_make_capture(world);
    world_resume(world, TRUE);
    assert_completed(world);
    assert_int_equal(world_assemblies(world), 3);
    assert_stored_in(world, world->root);
    assert_stored_in(world, world->other);
    g_autofree char *folder = world_folder(world, world->other), *text = NULL;
    g_autofree char *path = g_build_filename(folder, "alice.webm", NULL);
    assert_true(g_file_get_contents(path, &text, NULL, NULL));
    assert_true(g_str_has_prefix(text, "media of"));
}

static void what_is_damaged_each_time_is_given_up_in_the_foreground(void **state)
{
    World *world = *state;
    world->place.outlive = FALSE;
    world_assembler(world, "rot\nrot\nrot\n");
    world_make_capture(world);
    world_resume(world, TRUE);
    world_await_done(world);
    assert_true(g_error_matches(world->error, STENO_ERROR, STENO_ERROR_SOURCE_DAMAGED));
    assert_string_equal(world->kept, world->capture);
    assert_null(world->folder);
}

/* ---- timestamps -------------------------------------------------------------------------------------------------- */

static const StenoTimestampAuthority nobody = {.url = "http://127.0.0.1:9/"};

static void sign(World *world)
{
    g_autofree char *key = g_build_filename(world->base, "key.pem", NULL);
    world->place.signer = steno_signer_load_or_make(key, NULL, NULL);
    world->place.timestamps = &nobody;
}

static void a_timestamp_that_cannot_be_had_is_told(void **state)
{
    World *world = *state;
    sign(world);
    world_make_capture(world);
    world_resume(world, TRUE);
    assert_completed(world);
    assert_int_equal(world_count(world, "timestamp_missing:unreachable"), 1);
    g_autofree char *other = world_folder(world, world->other);
    assert_true(world_exists(world->folder, "manifest.json.sig"));
    assert_true(world_exists(other, "manifest.json.sig"));
    assert_false(world_exists(other, "manifest.json.tsr"));
}

static void a_timestamp_that_must_be_there_is_waited_for(void **state)
{
    World *world = *state;
    sign(world);
    world->place.timestamp_required = TRUE;
    world_make_capture(world);
    world_resume(world, TRUE);
    world_await(world, "storage 0 primary retrying:unreachable", 1);
    world_await(world, "storage 0 archive retrying:unreachable", 1);
    assert_true(steno_job_store_retry(world->job, "archive"));
    assert_false(world->done);
    world_leave(world);
    world->place.timestamp_required = FALSE; /* configured anew */
    world_resume(world, TRUE);
    assert_completed(world);
    assert_int_equal(world_assemblies(world), 1);
}

static void a_timestamp_that_must_be_there_fails_in_the_foreground(void **state)
{
    World *world = *state;
    sign(world);
    world->place.timestamp_required = TRUE;
    world->place.outlive = FALSE;
    world_make_capture(world);
    world_resume(world, TRUE);
    world_await_done(world);
    assert_true(g_error_matches(world->error, STENO_ERROR, STENO_ERROR_UNREACHABLE));
    assert_null(world->folder);
    assert_string_equal(world->kept, world->capture);
}

/* ---- leaving ----------------------------------------------------------------------------------------------------- */

static void left_at_any_moment_it_goes_on(void **state)
{
    World *world = *state;
    static const char *const moments[] = {
        "state:assembling",        "assembly", "state:storing", "storage 0 primary storing", "storage 0 primary stored",
        "storage 0 archive stored"};
    for (guint i = 0; i < G_N_ELEMENTS(moments); i++) {
        world_forget_done(world);
        g_ptr_array_set_size(world->told, 0);
        world_make_capture(world);
        world_resume(world, TRUE);
        world_await(world, moments[i], 1);
        world_leave(world);
        g_ptr_array_set_size(world->told, 0);
        world_resume(world, TRUE);
        assert_completed(world);
        assert_stored_in(world, world->root);
        assert_stored_in(world, world->other);
        world_leave(world);
    }
}

static void what_was_let_go_is_found_again(void **state)
{
    World *world = *state;
    world_make_capture(world);
    world_resume(world, TRUE);
    assert_completed(world);
    g_autofree char *folder = g_strdup(world->folder);
    for (guint i = 0; i < 2; i++) { /* by its time, and without */
        world_leave(world);
        world_forget_done(world);
        g_ptr_array_set_size(world->told, 0);
        world->place.started_wall_us = i == 0 ? 1795377340000000 : 0;
        world_resume(world, TRUE);
        assert_completed(world);
        assert_string_equal(world->folder, folder);
        assert_string_equal(world->end_reason, "stopped");
        assert_int_equal(json_array_size(json_object_get(world->manifest, "outputs")), 1);
        assert_int_equal(world_count(world, "storage 0 primary stored"), 1);
        assert_int_equal(world_count(world, "storage 0 archive stored"), 1);
        assert_int_equal(world_count(world, "state"), 1);
    }
}

/* Nothing on disk, and storage cannot tell: it is not "nothing recorded". */
static void storage_that_cannot_tell_is_asked_again(void **state)
{
    World *world = *state;
    g_autofree char *hidden = g_strconcat(world->root, ".away", NULL);
    world->place.n_stores = 1;
    world->place.started_wall_us = 1795377340000000;
    world_make_capture(world);
    world_resume(world, TRUE);
    assert_completed(world);
    world_leave(world);
    world_forget_done(world);
    g_ptr_array_set_size(world->told, 0);
    assert_int_equal(g_rename(world->root, hidden), 0);
    assert_int_equal(symlink("/nowhere", world->root), 0);
    world_resume(world, FALSE);
    while (world_count(world, "storage 0 primary blocked") + world_count(world, "storage 0 primary retrying") == 0)
        g_main_context_iteration(NULL, TRUE);
    assert_false(world->done);
    assert_int_equal(g_unlink(world->root), 0);
    assert_int_equal(g_rename(hidden, world->root), 0);
    while (!world->done) {
        (void)steno_job_store_retry(world->job, "primary");
        g_main_context_iteration(NULL, TRUE);
    }
    assert_completed(world);
    assert_int_equal(json_array_size(json_object_get(world->manifest, "outputs")), 1);
}

static void what_no_storage_has_is_nothing(void **state)
{
    World *world = *state;
    world->place.started_wall_us = 1795377340000000;
    world_resume(world, FALSE);
    world_await_done(world);
    assert_true(g_error_matches(world->error, STENO_ERROR, STENO_ERROR_NOTHING_RECORDED));
    assert_null(world->folder);
}

/* ---- the rest ---------------------------------------------------------------------------------------------------- */

static void a_full_disk_blocks(void **state)
{
    World *world = *state;
    if (geteuid() != 0 || mount("none", world->other, "tmpfs", 0, "size=64k,mode=755") != 0)
        skip();
    g_autofree char *filler = g_build_filename(world->other, "filler", NULL);
    g_autofree char *zeros = g_malloc0(64 * 1024);
    (void)g_file_set_contents(filler, zeros, 60 * 1024, NULL);
    world_make_capture(world);
    world_resume(world, TRUE);
    world_await(world, "storage 0 archive blocked:storage-full", 1);
    /* Its first file is there, and it comes to the same place again: it is not resumed and blocked each time. */
    for (guint i = 0; i < 2; i++) {
        while (!steno_job_store_retry(world->job, "archive"))
            g_main_context_iteration(NULL, TRUE);
    }
    while (!steno_job_store_retry(world->job, "archive"))
        g_main_context_iteration(NULL, TRUE);
    guint blocked = world_count(world, "storage 0 archive blocked");
    (void)g_unlink(filler);
    while (!world->done) {
        (void)steno_job_store_retry(world->job, NULL);
        g_main_context_iteration(NULL, TRUE);
    }
    gboolean stored = !world->error;
    assert_int_equal(umount(world->other), 0);
    assert_true(stored);
    assert_int_equal(blocked, 1);
}

static void it_needs_a_storage(void **state)
{
    World *world = *state;
    g_autoptr(GError) error = NULL;
    for (guint n = 0; n <= STENO_JOB_STORES_MAX + 1; n += STENO_JOB_STORES_MAX + 1) {
        world->place.n_stores = n;
        assert_null(steno_job_start(world->spec, &world->place, NULL, &world->events, world, &error));
        assert_true(g_error_matches(error, STENO_ERROR, STENO_ERROR_USAGE));
        g_clear_error(&error);
        assert_null(steno_job_resume(world->spec, TRUE, &world->place, NULL, &world->events, world, &error));
        assert_true(g_error_matches(error, STENO_ERROR, STENO_ERROR_USAGE));
        g_clear_error(&error);
    }
    world->place.n_stores = 1;
    world_break(world->root);
    assert_null(steno_job_start(world->spec, &world->place, NULL, &world->events, world, &error));
    assert_true(g_error_matches(error, STENO_ERROR, STENO_ERROR_STORAGE_UNWRITABLE));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up_two, world_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(all_storages_get_it),
        TEST(one_that_is_blocked_keeps_the_other_from_nothing_but_the_end),
        TEST(trouble_that_passes_is_waited_for),
        TEST(in_the_foreground_the_others_get_it_before_it_fails),
        TEST(no_storage_at_all_fails_in_the_foreground),
        TEST(the_first_one_is_enough),
        TEST(the_next_one_takes_what_the_first_does_not),
        TEST(when_none_takes_it_all_are_tried_again),
        TEST(in_the_foreground_the_first_that_takes_it_is_tried_once_each),
        TEST(the_owner_says_when_it_is_stored),
        TEST(what_is_to_be_tried_again_asks_again),
        TEST(left_it_is_wanted_again),
        TEST(what_is_damaged_before_it_is_stored_is_assembled_again),
        TEST(what_is_damaged_each_time_is_given_up_in_the_foreground),
        TEST(a_timestamp_that_cannot_be_had_is_told),
        TEST(a_timestamp_that_must_be_there_is_waited_for),
        TEST(a_timestamp_that_must_be_there_fails_in_the_foreground),
        TEST(left_at_any_moment_it_goes_on),
        TEST(what_was_let_go_is_found_again),
        TEST(storage_that_cannot_tell_is_asked_again),
        TEST(what_no_storage_has_is_nothing),
        TEST(a_full_disk_blocks),
        TEST(it_needs_a_storage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
