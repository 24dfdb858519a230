/* `steno assemble`: a capture assembled and stored by hand, also one of which sections were stored already. */
#include "world.h"

#include <stdlib.h>
#include <string.h>

static char *assemble(World *world, const char *work, GError **error)
{
    char *uri = NULL;
    const StenoJobAssembly assembly = {
        .capture = world->capture, .store = world->stores[1], .signer = world->place.signer, .work = work};
    gboolean done = steno_job_assemble(&assembly, &uri, error);
    assert_int_equal(done, uri != NULL);
    char *folder = uri ? g_filename_from_uri(uri, NULL, NULL) : NULL;
    g_free(uri);
    return folder;
}

static void a_capture_is_assembled_by_hand(void **state)
{
    World *world = *state;
    g_autofree char *key = g_build_filename(world->base, "key.pem", NULL);
    world->place.signer = steno_signer_load_or_make(key, NULL, NULL);
    g_autofree char *work = g_build_filename(world->base, "work", NULL);
    g_autofree char *expected = world_folder(world, world->other);
    world_make_capture(world);
    for (guint i = 0; i < 2; i++) {
        g_autoptr(GError) error = NULL;
        g_autofree char *folder = assemble(world, i == 0 ? NULL : work, &error);
        assert_null(error);
        assert_string_equal(folder, expected);
        assert_true(world_exists(folder, "alice.webm"));
        assert_true(world_exists(folder, "manifest.json.sig"));
        assert_true(world_exists(i == 0 ? world->capture : work, i == 0 ? "out/alice.webm" : "alice.webm"));
    }
    assert_true(world_exists(world->capture, "part-0001")); /* by hand nothing is let go */
}

static void make_sections(const World *world)
{
    world_write(world->capture, "part-0001/events.jsonl",
                "{\"event\":\"rotated\",\"section\":1,\"seam\":1795377341000000,\"part\":1,\"seq\":1}\n");
    world_write(world->capture, "part-0002/events.jsonl",
                "{\"event\":\"ended\",\"end_reason\":\"max-idle\",\"error\":null,\"part\":2,\"seq\":1}\n");
}

static void its_sections_are_made_as_well(void **state)
{
    World *world = *state;
    g_autoptr(GError) error = NULL;
    world_make_capture(world);
    make_sections(world);
    g_autofree char *folder = assemble(world, NULL, &error);
    assert_null(error);
    assert_true(world_exists(folder, "alice.001.webm"));
    assert_true(world_exists(folder, "manifest.001.json"));
    assert_true(world_exists(folder, "alice.webm"));
    assert_true(world_exists(world->capture, "section-0001.json"));
    assert_true(world_exists(world->capture, "part-0001"));
    assert_int_equal(world_assemblies(world), 2);
    /* With its parts gone, what is stored stays as it is. */
    g_autofree char *part = g_strdup_printf("rm -r '%s/part-0001'", world->capture);
    assert_int_equal(system(part), 0);
    g_free(assemble(world, NULL, &error));
    assert_null(error);
    assert_int_equal(world_assemblies(world), 3);
}

static void joined_it_is_one(void **state)
{
    World *world = *state;
    g_autoptr(GError) error = NULL;
    world_make_capture(world);
    make_sections(world);
    g_autofree char *recording = g_strdup_printf(
        "{\"id\":\"%s\",\"channel\":\"ward\",\"zero\":1795377340000000,\"rotate_join\":true}", world->spec->id);
    world_write(world->capture, "recording.json", recording);
    g_autofree char *folder = assemble(world, NULL, &error);
    assert_null(error);
    assert_false(world_exists(folder, "alice.001.webm"));
    assert_true(world_exists(folder, "alice.webm"));
    assert_int_equal(world_assemblies(world), 1);
}

static void what_fails_is_told(void **state)
{
    World *world = *state;
    g_autoptr(GError) error = NULL;
    assert_null(assemble(world, NULL, &error));
    assert_true(g_error_matches(error, STENO_ERROR, STENO_ERROR_CAPTURE_DAMAGED));
    g_clear_error(&error);
    world_make_capture(world);
    world_assembler(world, "damaged\nnothing\n");
    assert_null(assemble(world, NULL, &error));
    assert_true(g_error_matches(error, STENO_ERROR, STENO_ERROR_CAPTURE_DAMAGED));
    g_clear_error(&error);
    assert_null(assemble(world, NULL, &error));
    assert_true(g_error_matches(error, STENO_ERROR, STENO_ERROR_NOTHING_RECORDED));
    g_clear_error(&error);
    world_break(world->other);
    assert_null(assemble(world, NULL, &error));
    assert_true(g_error_matches(error, STENO_ERROR, STENO_ERROR_STORAGE_UNWRITABLE));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, world_set_up, world_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_capture_is_assembled_by_hand),
        TEST(its_sections_are_made_as_well),
        TEST(joined_it_is_one),
        TEST(what_fails_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
