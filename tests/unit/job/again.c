/* `steno assemble`: a capture assembled and stored by hand, also one of which sections were stored already, or one of
 * which only the sealed files are left. */
#include "world.h"

#include <glib/gstdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char *assemble_as(World *world, StenoJobAssembly assembly, GError **error)
{
    char *uri = NULL;
    assembly.store = world->stores[1];
    assembly.signer = world->place.signer;
    gboolean done = steno_job_assemble(&assembly, &uri, error);
    assert_int_equal(done, uri != NULL);
    char *folder = uri ? g_filename_from_uri(uri, NULL, NULL) : NULL;
    g_free(uri);
    return folder;
}

static char *assemble(World *world, const char *work, GError **error)
{
    return assemble_as(world, (StenoJobAssembly){.capture = world->capture, .work = work}, error);
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

/* ---- what is sealed ---------------------------------------------------------------------------------------------- */

#define KEYS "{\"keys\":[{\"passphrase\":\"planted\"}]}"

static char *read_text(const char *folder, const char *name)
{
    g_autofree char *path = g_build_filename(folder, name, NULL);
    char *text = NULL;
    (void)g_file_get_contents(path, &text, NULL, NULL);
    return text;
}

static void its_keys_are_given(void **state)
{
    World *world = *state;
    g_autoptr(GError) error = NULL;
    g_autoptr(StenoSecret) keys = steno_secret_new(KEYS, strlen(KEYS));
    world_make_capture(world);
    make_sections(world);
    world_assembler(world, "ask\nask\n");
    g_autofree char *folder = assemble_as(world, (StenoJobAssembly){.capture = world->capture, .keys = keys}, &error);
    assert_null(error);
    assert_true(world_exists(folder, "alice.webm"));
    g_autofree char *got = read_text(world->spool, "keys.got");
    assert_string_equal(got, KEYS);
}

static void what_stays_sealed_is_stored_and_told(void **state)
{
    World *world = *state;
    g_autoptr(GError) error = NULL;
    g_autoptr(StenoSecret) keys = steno_secret_new(KEYS, strlen(KEYS));
    g_autofree char *folder = world_folder(world, world->other);
    world_make_capture(world);
    world_assembler(world, "bad-key\n");
    assert_null(assemble_as(world, (StenoJobAssembly){.capture = world->capture, .keys = keys}, &error));
    assert_true(g_error_matches(error, STENO_ERROR, STENO_ERROR_BAD_KEY));
    assert_true(world_exists(folder, "sealed-recording.json"));
    assert_true(world_exists(folder, "manifest.json"));
    assert_true(world_exists(world->capture, "part-0001"));
}

static void sealed_on_purpose_is_no_error(void **state)
{
    World *world = *state;
    g_autoptr(GError) error = NULL;
    world_make_capture(world);
    g_autofree char *recording = g_strdup_printf("{\"id\":\"%s\",\"channel\":\"ward\",\"zero\":1795377340000000,"
                                                 "\"content_keys\":\"later\"}",
                                                 world->spec->id);
    world_write(world->capture, "recording.json", recording);
    world_assembler(world, "sealed\n");
    g_autofree char *folder = assemble(world, NULL, &error);
    assert_null(error);
    assert_true(world_exists(folder, "sealed-recording.json"));
}

/* As `steno get` brings it. Caller frees. */
static char *make_finished(const World *world)
{
    char *folder = g_build_filename(world->base, "fetched", NULL);
    g_autofree char *manifest = g_strdup_printf("{\"recording\":{\"id\":\"%s\",\"channel\":\"ward\",\"zero\":\"…\","
                                                "\"zero_us\":1795377340000000},\"outputs\":[]}",
                                                world->spec->id);
    world_write(folder, "manifest.json", manifest);
    world_write(folder, "sealed-recording.json", "sealed");
    return folder;
}

static guint count_names(const char *folder)
{
    g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
    guint count = 0;
    while (g_dir_read_name(dir))
        count++;
    return count;
}

static void a_finished_recording_is_unsealed_beside_itself(void **state)
{
    World *world = *state;
    g_autoptr(GError) error = NULL;
    g_autoptr(StenoSecret) keys = steno_secret_new(KEYS, strlen(KEYS));
    g_autofree char *finished = make_finished(world);
    g_autofree char *place = world_folder(world, world->other), *expected = g_strconcat(place, "-unsealed", NULL);
    guint before = count_names(world->base);
    world_write(world->spool, "assemble.mode", "");
    /* The fakes keep their notes beside what they are given. */
    world_write(world->base, "assemble.mode", "ask\nbad-key\n");
    g_autofree char *folder = assemble_as(world, (StenoJobAssembly){.capture = finished, .keys = keys}, &error);
    if (error)
        fail_msg("%s", error->message);
    assert_string_equal(folder, expected);
    assert_true(world_exists(folder, "alice.webm"));
    assert_false(g_file_test(place, G_FILE_TEST_EXISTS));
    assert_int_equal(count_names(finished), 2);
    g_autofree char *got = read_text(world->base, "keys.got");
    assert_string_equal(got, KEYS);
    /* With wrong keys all stays as it is. */
    assert_null(assemble_as(world, (StenoJobAssembly){.capture = finished, .keys = keys}, &error));
    assert_true(g_error_matches(error, STENO_ERROR, STENO_ERROR_BAD_KEY));
    assert_true(world_exists(folder, "alice.webm"));
    assert_int_equal(count_names(finished), 2);
    assert_int_equal(count_names(world->base), before + 4); /* the notes */
    g_clear_error(&error);
    assert_null(assemble_as(world, (StenoJobAssembly){.capture = finished}, &error));
    assert_true(g_error_matches(error, STENO_ERROR, STENO_ERROR_USAGE));
}

/* ---- encrypted files --------------------------------------------------------------------------------------------- */

static void files_are_encrypted_as_the_recording_was_asked_for(void **state)
{
    World *world = *state;
    g_autoptr(GError) error = NULL;
    world_make_capture(world);
    g_autofree char *recording =
        g_strdup_printf("{\"id\":\"%s\",\"channel\":\"ward\",\"zero\":1795377340000000,"
                        "\"output_encryption\":\"cms\",\"output_recipients\":[\"x.pem\",\"y.pem\"]}",
                        world->spec->id);
    world_write(world->capture, "recording.json", recording);
    g_free(assemble(world, NULL, &error));
    assert_null(error);
    g_autofree char *args = read_text(world->spool, "assemble.args");
    assert_non_null(strstr(args, "--encrypt cms --recipient x.pem --recipient y.pem"));
    /* …unless it is said otherwise. */
    g_free(assemble_as(world, (StenoJobAssembly){.capture = world->capture, .output_encryption = "none"}, &error));
    assert_null(error);
    g_autofree char *plain = read_text(world->spool, "assemble.args");
    assert_null(strstr(plain, "--encrypt"));
}

static void encryption_that_cannot_be_is_told(void **state)
{
    World *world = *state;
    static char *nobody[] = {NULL}, *somebody[] = {"x.pem", NULL};
    g_autoptr(StenoSecret) key = steno_secret_new("key", 3);
    const StenoJobAssembly rows[] = {
        {.output_encryption = "cms", .recipients = nobody},
        {.output_encryption = "cms"},
        {.output_encryption = "none", .recipients = somebody},
        {.recipients = somebody},
        {.output_encryption = "cenc"},
        {.output_key = key},
    };
    world_make_capture(world);
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) error = NULL;
        StenoJobAssembly assembly = rows[i];
        assembly.capture = world->capture;
        assert_null(assemble_as(world, assembly, &error));
        assert_true(g_error_matches(error, STENO_ERROR, STENO_ERROR_USAGE));
    }
    assert_int_equal(world_assemblies(world), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, world_set_up, world_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_capture_is_assembled_by_hand),
        TEST(its_sections_are_made_as_well),
        TEST(joined_it_is_one),
        TEST(what_fails_is_told),
        TEST(its_keys_are_given),
        TEST(what_stays_sealed_is_stored_and_told),
        TEST(sealed_on_purpose_is_no_error),
        TEST(a_finished_recording_is_unsealed_beside_itself),
        TEST(files_are_encrypted_as_the_recording_was_asked_for),
        TEST(encryption_that_cannot_be_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
