/* Assembling and storing: tried again where that may help, never told as done before it is, left at any moment. */
#include "world.h"

#include "capture_folder.h"

#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void want(gpointer user)
{
    World *world = user;
    g_ptr_array_add(world->told, g_strdup("wanted"));
}

static void assert_completed(World *world)
{
    world_await_done(world);
    assert_null(world->error);
    assert_string_equal(world->end_reason, "max-idle");
    assert_true(world_exists(world->folder, "manifest.json"));
    assert_int_equal(json_array_size(json_object_get(world->manifest, "outputs")), 1);
    assert_false(world_exists(world->spool, world->spec->id));
    assert_int_equal(world_count(world, "state:completed"), 1);
}

static void an_ended_capture_is_assembled_and_stored(void **state)
{
    World *world = *state;
    world_make_capture(world);
    world_resume(world, TRUE);
    assert_completed(world);
    assert_int_equal(world_count(world, "state 1.1"), 1);
}

static void the_owner_says_when_it_is_assembled(void **state)
{
    World *world = *state;
    world->events.assembly_wanted = want;
    world_make_capture(world);
    world_resume(world, TRUE);
    world_await(world, "wanted", 1);
    assert_int_equal(world_assemblies(world), 0);
    steno_job_assemble_now(world->job);
    steno_job_assemble_now(world->job); /* once is enough */
    assert_completed(world);
    assert_int_equal(world_assemblies(world), 1);
}

static void a_full_disk_is_waited_for(void **state)
{
    World *world = *state;
    world_make_capture(world);
    world_assembler(world, "full\nfull\n");
    world_resume(world, TRUE);
    assert_completed(world);
    assert_int_equal(world_assemblies(world), 3);
    assert_int_equal(world_count(world, "assembling_blocked:storage-full"), 2);
}

static void a_full_disk_is_told_in_the_foreground(void **state)
{
    World *world = *state;
    world->place.outlive = FALSE;
    world_make_capture(world);
    world_assembler(world, "full\n");
    world_resume(world, TRUE);
    world_await_done(world);
    assert_true(g_error_matches(world->error, STENO_ERROR, STENO_ERROR_STORAGE_FULL));
    assert_string_equal(world->kept, world->capture);
}

static void an_assembler_may_crash_twice(void **state)
{
    World *world = *state;
    world_make_capture(world);
    world_assembler(world, "crash\ncrash\n");
    world_resume(world, TRUE);
    assert_completed(world);
}

static void an_assembler_that_crashes_thrice_is_the_end(void **state)
{
    World *world = *state;
    world_make_capture(world);
    world_assembler(world, "crash\ncrash\ncrash\n");
    world_resume(world, TRUE);
    world_await_done(world);
    assert_true(g_error_matches(world->error, STENO_ERROR, STENO_ERROR_INTERNAL));
    assert_string_equal(world->kept, world->capture);
    assert_int_equal(world_count(world, "state:failed"), 1);
}

static void a_damaged_capture_is_kept(void **state)
{
    World *world = *state;
    world_make_capture(world);
    world_assembler(world, "damaged\n");
    world_resume(world, TRUE);
    world_await_done(world);
    assert_true(g_error_matches(world->error, STENO_ERROR, STENO_ERROR_CAPTURE_DAMAGED));
    assert_int_equal(world_assemblies(world), 1);
    assert_string_equal(world->kept, world->capture);
}

static void nothing_recorded_is_stored_with_its_manifest(void **state)
{
    World *world = *state;
    world_make_capture(world);
    world_assembler(world, "nothing\n");
    world_resume(world, TRUE);
    world_await_done(world);
    assert_true(g_error_matches(world->error, STENO_ERROR, STENO_ERROR_NOTHING_RECORDED));
    assert_true(world_exists(world->folder, "manifest.json"));
    assert_null(world->kept);
}

static void frames_that_did_not_come_to_disk_keep_the_capture(void **state)
{
    World *world = *state;
    world_make_capture(world);
    world_assembler(world, "nothing\n");
    world->place.frames = 15;
    world_resume(world, TRUE);
    world_await_done(world);
    assert_true(g_error_matches(world->error, STENO_ERROR, STENO_ERROR_NOTHING_RECORDED));
    assert_non_null(strstr(world->error->message, "15 frames were received"));
    assert_true(world_exists(world->folder, "manifest.json"));
    assert_string_equal(world->kept, world->capture);
}

static void left_while_it_is_assembled_it_is_assembled_again(void **state)
{
    World *world = *state;
    world_make_capture(world);
    world_assembler(world, "hang\n");
    world_resume(world, TRUE);
    world_await(world, "state:assembling", 1);
    while (world_assemblies(world) == 0)
        g_main_context_iteration(NULL, FALSE);
    world_leave(world);
    world_resume(world, TRUE);
    assert_completed(world);
    assert_int_equal(world_assemblies(world), 2);
}

static void left_while_it_is_stored_it_is_stored(void **state)
{
    World *world = *state;
    for (guint i = 0; i < 20; i++) {
        world_forget_done(world);
        world_make_capture(world);
        world_resume(world, TRUE);
        world_await(world, "state:storing", 1);
        world_leave(world);
        /* The thread may still be at a file, or have finished: either is gone on from. */
        world_resume(world, TRUE);
        world_await_done(world);
        assert_null(world->error);
        assert_true(world_exists(world->folder, "alice.webm"));
        assert_false(world_exists(world->spool, world->spec->id));
        world_leave(world);
        g_ptr_array_set_size(world->told, 0);
    }
}

/* As if it had died before it was forgotten; and a file in storage has been damaged since. */
static void a_delivered_capture_is_verified_and_forgotten(void **state)
{
    World *world = *state;
    world->place.keep_capture = TRUE;
    world_make_capture(world);
    world_resume(world, TRUE);
    world_await_done(world);
    assert_string_equal(world->kept, world->capture);
    g_autofree char *folder = g_strdup(world->folder);
    world_write(folder, "alice.webm", "rot");
    world_leave(world);
    world->place.keep_capture = FALSE;
    world_forget_done(world);
    /* Somebody else is still at it. */
    int lock_fd = job_capture_lock(world->capture, NULL);
    world_resume(world, TRUE);
    gint64 until = g_get_monotonic_time() + 300000;
    while (g_get_monotonic_time() < until)
        g_main_context_iteration(NULL, FALSE);
    assert_false(world->done);
    close(lock_fd);
    world_await_done(world);
    assert_null(world->error);
    assert_int_equal(world_assemblies(world), 1); /* what was assembled is not assembled again */
    assert_string_equal(world->folder, folder);
    g_autofree char *text = NULL, *path = g_build_filename(folder, "alice.webm", NULL);
    assert_true(g_file_get_contents(path, &text, NULL, NULL));
    assert_true(g_str_has_prefix(text, "media of"));
    assert_false(world_exists(world->spool, world->spec->id));
}

static void take_capture(gpointer user, const char *capture, const json_t *recording)
{
    char **found = user;
    assert_null(*found);
    assert_int_equal(json_integer_value(json_object_get(recording, "zero")), 1795377340000000);
    *found = g_strdup(capture);
}

static void captures_are_found(void **state)
{
    World *world = *state;
    world_make_capture(world);
    world_write(world->spool, "notes/readme.txt", "no capture");
    world_write(world->spool, ".stored-X/recording.json", "{\"id\":\"X\"}");
    g_autofree char *found = NULL;
    steno_job_captures(world->spool, take_capture, &found);
    assert_string_equal(found, world->capture);
    steno_job_captures("/nowhere", take_capture, NULL);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, world_set_up, world_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(an_ended_capture_is_assembled_and_stored),
        TEST(the_owner_says_when_it_is_assembled),
        TEST(a_full_disk_is_waited_for),
        TEST(a_full_disk_is_told_in_the_foreground),
        TEST(an_assembler_may_crash_twice),
        TEST(an_assembler_that_crashes_thrice_is_the_end),
        TEST(a_damaged_capture_is_kept),
        TEST(nothing_recorded_is_stored_with_its_manifest),
        TEST(frames_that_did_not_come_to_disk_keep_the_capture),
        TEST(left_while_it_is_assembled_it_is_assembled_again),
        TEST(left_while_it_is_stored_it_is_stored),
        TEST(a_delivered_capture_is_verified_and_forgotten),
        TEST(captures_are_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
