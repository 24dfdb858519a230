/* What a rotation closed is stored while it is recorded, in its order, and let go; killed at any point, it goes on. */
#include "world.h"

#include "capture_folder.h"

#include <glib/gstdio.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void assert_stored(const World *world, const char *root, guint sections)
{
    g_autofree char *folder = world_folder(world, root);
    for (guint i = 1; i <= sections; i++) {
        g_autofree char *file = g_strdup_printf("alice.%03u.webm", i);
        g_autofree char *manifest = g_strdup_printf("manifest.%03u.json", i);
        assert_true(world_exists(folder, file));
        assert_true(world_exists(folder, manifest));
        assert_int_equal(world_exists(folder, "manifest.001.json.sig"), world->place.signer != NULL);
    }
}

static void assert_whole(World *world, guint outputs)
{
    world_await_done(world);
    if (world->error)
        fail_msg("%s", world->error->message);
    assert_int_equal(json_array_size(json_object_get(world->manifest, "outputs")), outputs);
    assert_false(world_exists(world->spool, world->spec->id));
    g_autofree char *folder = world_folder(world, world->root);
    assert_true(world_exists(folder, "alice.webm"));
    assert_true(world_exists(folder, "manifest.json"));
    assert_string_equal(world->folder, folder);
}

/* Parts go in one step each; then the section is done with. */
static gboolean is_first_gone(World *world)
{
    return !world_exists(world->capture, "part-0001") && !world_exists(world->capture, "out-0001") &&
           world_exists(world->capture, "section-0001.json");
}

static void a_section_is_stored_while_it_is_recorded(void **state)
{
    World *world = *state;
    g_autofree char *key = g_build_filename(world->base, "key.pem", NULL);
    world->place.signer = steno_signer_load_or_make(key, NULL, NULL);
    world_start(world, "hello,rec,ev:2,rot:1,ev:1,wait");
    world_await(world, "section_stored 1", 1);
    world_until(world, is_first_gone);
    assert_stored(world, world->root, 1);
    assert_true(world_exists(world->capture, "part-0002"));
    assert_int_equal(world_count(world, "state:assembling"), 0);
    assert_int_equal(world_count(world, "state:storing"), 0);
    const char *const order[] = {
        "rotated 1.5", "assembly", "storage 1 primary storing", "storage 1 primary stored", "section_stored 1", NULL};
    world_assert_order(world, order);
    steno_job_stop(world->job, "stopped");
    assert_whole(world, 2);
    assert_stored(world, world->root, 1);
    const char *const ending[] = {"section_stored 1",         "state:assembling", "state:storing",
                                  "storage 0 primary stored", "state:completed",  NULL};
    world_assert_order(world, ending);
}

static void nobody_else_may_be_at_the_capture_only_while_there_is_work(void **state)
{
    World *world = *state;
    world_start(world, "hello,rec,rot:1,wait");
    world_await(world, "section_stored 1", 1);
    world_until(world, is_first_gone);
    int fd;
    while ((fd = job_capture_lock(world->capture, NULL)) < 0)
        g_main_context_iteration(NULL, FALSE);
    close(fd);
}

static void sections_go_one_after_the_other(void **state)
{
    World *world = *state;
    world->place.n_stores = 2;
    world_start(world, "hello,rec,rot:1,rot:2,rot:3,wait");
    world_await(world, "section_stored 3", 1);
    const char *const order[] = {"section_stored 1", "section_stored 2", "section_stored 3", NULL};
    world_assert_order(world, order);
    assert_stored(world, world->root, 3);
    assert_stored(world, world->other, 3);
    steno_job_stop(world->job, "stopped");
    assert_whole(world, 4);
    assert_int_equal(world_assemblies(world), 4);
}

/* The other one gets what it can get meanwhile; nothing is marked before both have it. */
static void one_storage_is_away_for_some_sections(void **state)
{
    World *world = *state;
    world->place.n_stores = 2;
    world_break(world->other);
    world_start(world, "hello,rec,rot:1,rot:2,wait");
    world_await(world, "storage 2 primary stored", 1);
    world_await(world, "storage 1 archive blocked", 1);
    assert_int_equal(world_count(world, "section_stored"), 0);
    assert_int_equal(world_count(world, "storage 2 archive"), 0); /* in their order */
    assert_true(world_exists(world->capture, "part-0001"));
    assert_true(world_exists(world->capture, "part-0002"));
    steno_job_stop(world->job, "stopped");
    world_await(world, "state:storing", 1);
    assert_int_equal(world_count(world, "storage 2 archive"), 0);
    assert_int_equal(world_count(world, "storage 0"), 0); /* the whole comes last */
    world_mend(world->other);
    while (!world->done) {
        (void)steno_job_store_retry(world->job, NULL);
        g_main_context_iteration(NULL, TRUE);
    }
    assert_whole(world, 3);
    assert_stored(world, world->other, 2);
}

static void all_storages_away_nothing_is_assembled_in_advance(void **state)
{
    World *world = *state;
    world_start(world, "hello,rec,rot:1,rot:2,rot:3,ev:1,wait");
    world_break(world->root); /* it must be there at the start */
    world_await(world, "storage 1 primary blocked", 1);
    world_await(world, "talking", 1);
    assert_int_equal(world_assemblies(world), 1);
    world_mend(world->root);
    assert_true(steno_job_store_retry(world->job, "primary"));
    world_await(world, "section_stored 3", 1);
    steno_job_stop(world->job, "stopped");
    assert_whole(world, 4);
}

static void the_first_storage_is_tried_anew_for_each_section(void **state)
{
    World *world = *state;
    world->place.n_stores = 2;
    world->place.first = TRUE;
    world_break(world->root);
    world_start(world, "hello,rec,rot:1,wait");
    world_await(world, "section_stored 1", 1);
    assert_stored(world, world->other, 1);
    assert_int_equal(world_count(world, "storage 1 primary skipped"), 1);
    world_mend(world->root);
    steno_job_stop(world->job, "stopped");
    world_await_done(world);
    assert_null(world->error);
    assert_int_equal(world_count(world, "storage 0 primary stored"), 1);
}

static void in_the_foreground_a_section_is_waited_for_until_it_ends(void **state)
{
    World *world = *state;
    world->place.outlive = FALSE;
    world_start(world, "hello,rec,rot:1,wait");
    world_break(world->root);
    world_await(world, "storage 1 primary blocked", 1);
    steno_job_stop(world->job, "stopped");
    world_await_done(world);
    assert_true(g_error_matches(world->error, STENO_ERROR, STENO_ERROR_STORAGE_UNWRITABLE));
    assert_string_equal(world->kept, world->capture);
    assert_true(world_exists(world->capture, "part-0001"));
    world_leave(world);
    world_forget_done(world);
    world_mend(world->root);
    world_resume(world, TRUE);
    assert_whole(world, 2);
}

static void a_section_that_cannot_be_assembled_is_tried_again(void **state)
{
    World *world = *state;
    world_assembler(world, "damaged\ncrash\nfull\nnothing\n");
    world_start(world, "hello,rec,rot:1,wait");
    world_await(world, "storage 1 primary stored", 1);
    assert_int_equal(world_assemblies(world), 4);
    assert_int_equal(world_count(world, "assembling_blocked:storage-full"), 1);
    g_autofree char *folder = world_folder(world, world->root);
    assert_true(world_exists(folder, "manifest.001.json")); /* it tells that there was nothing */
}

/* ---- joining ----------------------------------------------------------------------------------------------------- */

static void joined_its_sections_are_taken_back(void **state)
{
    World *world = *state;
    world->spec->rotate_join = TRUE;
    world->place.n_stores = 2;
    world_start(world, "hello,rec,rot:1,rot:2,wait");
    world_await(world, "section_stored 2", 1);
    assert_stored(world, world->root, 2);
    assert_stored(world, world->other, 2);
    assert_true(world_exists(world->capture, "part-0001"));
    steno_job_stop(world->job, "stopped");
    assert_whole(world, 1);
    assert_string_equal(json_string_value(json_object_get(json_object_get(world->manifest, "recording"), "join")),
                        "joined");
    g_autofree char *folder = world_folder(world, world->root), *other = world_folder(world, world->other);
    assert_false(world_exists(folder, "alice.001.webm"));
    assert_false(world_exists(folder, "manifest.001.json"));
    assert_false(world_exists(other, "alice.002.webm"));
    assert_false(world_exists(other, "manifest.002.json"));
    assert_true(world_exists(other, "alice.webm"));
}

static void a_kept_capture_keeps_its_parts(void **state)
{
    World *world = *state;
    world->place.keep_capture = TRUE;
    world_start(world, "hello,rec,rot:1,wait");
    world_await(world, "section_stored 1", 1);
    steno_job_stop(world->job, "stopped");
    world_await_done(world);
    assert_null(world->error);
    assert_true(world_exists(world->kept, "part-0001"));
    assert_true(world_exists(world->kept, "part-0002"));
}

/* ---- crashes ----------------------------------------------------------------------------------------------------- */

/* Whoever comes after it: the recorder may be dead as well, and goes on as the next part. */
static void go_on(World *world, const char *moment, gboolean kill_recorder, gboolean join)
{
    world->spec->rotate_join = join;
    world_start(world, "hello,rec,rot:1,ev:1,wait|hello,rec,rot:1,ev:1,wait|hello,rec,wait");
    world_await(world, moment, 1);
    int pid = world_recorder(world);
    world_leave(world);
    if (kill_recorder && pid > 0)
        assert_int_equal(kill(pid, SIGKILL), 0);
    g_ptr_array_set_size(world->told, 0);
    world_resume(world, TRUE);
    world_await(world, "state:recording", 1);
    steno_job_stop(world->job, "stopped");
    assert_whole(world, join ? 1 : 2);
    if (!join)
        assert_stored(world, world->root, 1);
}

static void left_at_any_moment_it_goes_on(void **state)
{
    World *world = *state;
    static const char *const moments[] = {"rotated",
                                          "assembly",
                                          "storage 1 primary waiting",
                                          "storage 1 primary storing",
                                          "storage 1 primary stored",
                                          "section_stored 1"};
    for (guint i = 0; i < G_N_ELEMENTS(moments) * 4; i++) {
        go_on(world, moments[i / 4], i & 1, (i & 2) != 0);
        world_leave(world);
        world_forget_done(world);
        g_ptr_array_set_size(world->told, 0);
        world->place.event_part = world->place.event_seq = 0;
        g_free(world->spec->id);
        world->spec->id = steno_job_new_id();
        g_free(world->capture);
        world->capture = g_build_filename(world->spool, world->spec->id, NULL);
    }
}

/* A capture of two sections whose recorder has told its ending, as it lies after what `prepare` has done to it. */
static void make_sections(World *world)
{
    world_make_capture(world);
    world_write(world->capture, "part-0001/events.jsonl",
                "{\"event\":\"state\",\"state\":\"recording\",\"part\":1,\"seq\":1}\n"
                "{\"event\":\"rotated\",\"section\":1,\"seam\":1795377341000000,\"part\":1,\"seq\":2}\n");
    world_write(world->capture, "part-0002/events.jsonl",
                "{\"event\":\"ended\",\"end_reason\":\"max-idle\",\"error\":null,\"part\":2,\"seq\":1}\n");
}

static void run_to_its_end(World *world)
{
    world_resume(world, TRUE);
    assert_whole(world, 2);
    assert_stored(world, world->root, 1);
}

static void mark(World *world)
{
    g_autofree char *folder = world_folder(world, world->root);
    g_autofree char *path = g_build_filename(folder, "manifest.001.json", NULL), *text = NULL;
    assert_true(g_file_get_contents(path, &text, NULL, NULL));
    g_autofree char *stored =
        g_strdup_printf("{\"section\":1,\"first_part\":1,\"last_part\":1,\"begin\":1795377340000000,"
                        "\"seam\":1795377341000000,\"manifest\":%s}",
                        text);
    world_write(world->capture, "section-0001.json", stored);
}

/* The disk as a power cut may leave it at each step of a section's way. */
static void cut_off_at_any_step_it_ends_the_same(void **state)
{
    World *world = *state;
    g_autofree char *folder = NULL;
    world->place.keep_capture = TRUE; /* to have files of a section to put there */
    make_sections(world);
    world_resume(world, TRUE);
    world_await_done(world);
    folder = g_strdup(world->folder);
    for (guint step = 0; step < 9; step++) {
        world_leave(world);
        world_forget_done(world);
        g_ptr_array_set_size(world->told, 0);
        g_autofree char *clean = g_strdup_printf("rm -rf '%s'", world->capture);
        assert_int_equal(system(clean), 0);
        world->place.keep_capture = FALSE;
        world->place.event_part = world->place.event_seq = 0;
        make_sections(world);
        guint assemblies = world_assemblies(world);
        g_autofree char *remake = g_strdup_printf("mkdir -p '%s/out-0001' && cp '%s'/*.001.* '%s/out-0001'",
                                                  world->capture, folder, world->capture);
        g_autofree char *away =
            g_strdup_printf("mv '%s/part-0001' '%s/.gone-part-0001'", world->capture, world->capture);
        g_autofree char *out_away =
            g_strdup_printf("mv '%s/out-0001' '%s/.gone-out-0001'", world->capture, world->capture);
        guint expected = 2, told = 1;
        switch (step) {
        case 0: /* closed */
            break;
        case 1: /* half assembled */
            world_write(world->capture, "out-0001/alice.001.webm", "hal");
            break;
        case 2: /* assembled, with a file that is damaged since */
            assert_int_equal(system(remake), 0);
            world_write(world->capture, "out-0001/alice.001.webm", "rot");
            break;
        case 3: /* assembled */
            assert_int_equal(system(remake), 0);
            expected = 1;
            break;
        case 4: /* half stored */
            world_write(folder, "alice.001.webm", "hal");
            assert_int_equal(system(remake), 0);
            world_write(world->capture, "out-0001/alice.001.webm", "rot");
            break;
        case 5: /* marked, and not told */
            assert_int_equal(system(remake), 0);
            mark(world);
            expected = 1;
            break;
        case 6: /* half removed */
            assert_int_equal(system(remake), 0);
            mark(world);
            assert_int_equal(system(away), 0);
            expected = 1;
            break;
        case 7: /* removed but for what was renamed */
            assert_int_equal(system(remake), 0);
            mark(world);
            assert_int_equal(system(away), 0);
            assert_int_equal(system(out_away), 0);
            expected = 1;
            told = 0;
            break;
        case 8: /* all removed */
            mark(world);
            g_autofree char *gone = g_strdup_printf("rm -r '%s/part-0001'", world->capture);
            assert_int_equal(system(gone), 0);
            expected = 1;
            told = 0;
            break;
        }
        run_to_its_end(world);
        assert_int_equal(world_assemblies(world) - assemblies, expected);
        assert_int_equal(world_count(world, "section_stored 1"), told);
    }
}

/* The recorder died right after a rotation: there is nothing after the last seam. */
static void all_may_be_in_sections(void **state)
{
    World *world = *state;
    world_make_capture(world);
    world_write(world->capture, "part-0001/events.jsonl",
                "{\"event\":\"rotated\",\"section\":1,\"seam\":1795377341000000,\"part\":1,\"seq\":1}\n");
    world_resume(world, FALSE);
    assert_whole(world, 2);
    assert_string_equal(world->end_reason, "recorder-died");
}

static void a_later_recorder_gets_a_part_that_nobody_had(void **state)
{
    World *world = *state;
    world_start(world, "hello,rec,rot:1,ev:1,wait|hello,rec,wait|hello,rec,wait");
    world_await(world, "section_stored 1", 1);
    world_until(world, is_first_gone);
    world_signal(world, SIGKILL);
    world_await(world, "state 3.2", 1);
    steno_job_stop(world->job, "stopped");
    assert_whole(world, 2);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, world_set_up, world_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_section_is_stored_while_it_is_recorded),
        TEST(nobody_else_may_be_at_the_capture_only_while_there_is_work),
        TEST(sections_go_one_after_the_other),
        TEST(one_storage_is_away_for_some_sections),
        TEST(all_storages_away_nothing_is_assembled_in_advance),
        TEST(the_first_storage_is_tried_anew_for_each_section),
        TEST(in_the_foreground_a_section_is_waited_for_until_it_ends),
        TEST(a_section_that_cannot_be_assembled_is_tried_again),
        TEST(joined_its_sections_are_taken_back),
        TEST(a_kept_capture_keeps_its_parts),
        TEST(left_at_any_moment_it_goes_on),
        TEST(cut_off_at_any_step_it_ends_the_same),
        TEST(all_may_be_in_sections),
        TEST(a_later_recorder_gets_a_part_that_nobody_had),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
