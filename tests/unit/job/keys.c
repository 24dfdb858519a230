/* Content keys on their way to an assembler, and what becomes of what they do not open. */
#include "world.h"

#include "keys.h"

#include <glib-unix.h>
#include <glib/gstdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define KEYS "{\"keys\":[{\"participant\":\"alice\",\"passphrase\":\"planted\"}]}"

static void set_text(char **member, const char *text)
{
    g_free(*member);
    *member = g_strdup(text);
}

static void set_inline(World *world, const char *text)
{
    set_text(&world->spec->content, "livekit");
    set_text(&world->spec->content_keys, "inline");
    steno_secret_unref(world->spec->key_set);
    world->spec->key_set = text ? steno_secret_new(text, strlen(text)) : NULL;
}

/* how: what the fake source does. */
static void set_source(World *world, const char *how)
{
    set_text(&world->spec->content, "livekit");
    set_text(&world->spec->content_keys, "service");
    set_text(&world->spec->key_url, how);
    g_free(world->spec->key_path);
    world->spec->key_path = g_build_filename(world->base, "asked.json", NULL);
    world->spec->key_secret = steno_secret_new("signing", 7);
}

static char *read_text(const char *folder, const char *name)
{
    g_autofree char *path = g_build_filename(folder, name, NULL);
    char *text = NULL;
    (void)g_file_get_contents(path, &text, NULL, NULL);
    return text;
}

static void assert_words(const World *world, const char *word, gboolean there)
{
    g_autofree char *args = read_text(world->spool, "assemble.args");
    g_auto(GStrv) words = g_strsplit(g_strchomp(args), " ", -1);
    if (g_strv_contains((const char *const *)words, word) != there)
        fail_msg("%s: %s", word, args);
}

static void assemble(World *world, const char *modes)
{
    world_make_capture(world);
    world_assembler(world, modes);
    world_resume(world, TRUE);
    world_await_done(world);
}

static void assert_completed(World *world)
{
    if (world->error)
        fail_msg("%s", world->error->message);
    assert_true(world_exists(world->folder, "alice.webm"));
    assert_false(world_exists(world->spool, world->spec->id));
}

/* The recording ends with the error, but what is sealed is in storage, and the capture is gone. */
static void assert_sealed(World *world, StenoError code)
{
    if (!world->folder)
        fail_msg("%s", world->error ? world->error->message : "no folder");
    assert_true(world_exists(world->folder, "sealed-recording.json"));
    assert_true(world_exists(world->folder, "manifest.json"));
    assert_false(world_exists(world->spool, world->spec->id));
    assert_null(world->kept);
    assert_int_equal(world_count(world, "storage 0 primary stored"), 1);
    if (code == STENO_ERROR_COUNT)
        assert_null(world->error);
    else
        assert_true(g_error_matches(world->error, STENO_ERROR, (gint)code));
    assert_int_equal(world_count(world, code == STENO_ERROR_COUNT ? "state:completed" : "state:failed"), 1);
}

/* ---- the way of the keys ----------------------------------------------------------------------------------------- */

static void given_keys_are_written_to_the_assembler(void **state)
{
    World *world = *state;
    set_inline(world, KEYS);
    assemble(world, "ask\n");
    assert_completed(world);
    g_autofree char *got = read_text(world->spool, "keys.got");
    assert_string_equal(got, KEYS);
    assert_words(world, "--keys", TRUE);
    assert_words(world, "--sealed", FALSE);
}

static void others_are_fetched_past_this_process(void **state)
{
    World *world = *state;
    set_source(world, "give");
    assemble(world, "ask\n");
    assert_completed(world);
    g_autofree char *got = read_text(world->spool, "keys.got");
    assert_string_equal(got, "{\"keys\":[],\"filling\":\"kkkkkkkkkk\"}");
    g_autofree char *asked = read_text(world->base, "asked.json");
    json_t *request = json_loads(asked, 0, NULL);
    const json_t *want = json_array_get(json_object_get(request, "wanted"), 0);
    assert_string_equal(json_string_value(json_object_get(want, "participant")), "alice");
    assert_string_equal(json_string_value(json_object_get(want, "kid")), "18446744073709551615");
    assert_string_equal(json_string_value(json_object_get(json_object_get(request, "job"), "key_secret")), "signing");
    assert_int_equal(json_integer_value(json_object_get(request, "timeout_s")), KEYS_MAX_S - KEYS_MAX_S / 6);
    json_decref(request);
}

static void a_megabyte_of_keys_passes_an_assembler_that_is_slow(void **state)
{
    World *world = *state;
    g_autofree char *large = g_strnfill(1024 * 1024, 'k');
    large[1024 * 1024 - 1] = '}';
    for (guint i = 0; i < 2; i++) {
        if (i == 0)
            set_inline(world, large);
        else
            set_source(world, "big");
        world_make_capture(world);
        world_assembler(world, "ask-late\n");
        world_resume(world, TRUE);
        while (world_assemblies(world) < i + 1)
            g_main_context_iteration(NULL, FALSE);
        world_write(world->spool, "read", "");
        world_await_done(world);
        assert_completed(world);
        g_autofree char *got = read_text(world->spool, "keys.got");
        if (strlen(got) <= 1024 * 1024 - 100)
            fail_msg("%u: %zu bytes", i, strlen(got));
        assert_int_equal(got[strlen(got) - 1], '}');
        world_leave(world);
        world_forget_done(world);
        world->place.event_part = world->place.event_seq = 0;
    }
}

static void who_does_not_ask_gets_none(void **state)
{
    World *world = *state;
    set_source(world, "give");
    assemble(world, "\n");
    assert_completed(world);
    assert_false(world_exists(world->base, "asked.json"));
}

static void what_is_not_encrypted_needs_none(void **state)
{
    World *world = *state;
    assemble(world, "\n");
    assert_completed(world);
    assert_words(world, "--keys", FALSE);
    assert_words(world, "--sealed", FALSE);
    assert_words(world, "--encrypt", FALSE);
}

/* ---- faults ------------------------------------------------------------------------------------------------------ */

static void sources_that_fail_leave_it_sealed(void **state)
{
    static const struct {
        const char *how, *words;
    } rows[] = {
        {"refuse", "cannot be reached or refuses"},
        {"none", "content key is missing"},
        {"die", "signal 9"},
    };
    World *world = *state;
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        set_source(world, rows[i].how);
        assemble(world, "ask\n");
        assert_true(g_error_matches(world->error, STENO_ERROR, STENO_ERROR_NO_KEY));
        if (!strstr(world->error->message, rows[i].words))
            fail_msg("%s", world->error->message);
        assert_true(world_exists(world->folder, "sealed-recording.json"));
        assert_false(world_exists(world->spool, world->spec->id));
        world_leave(world);
        world_forget_done(world);
        world->place.event_part = world->place.event_seq = 0;
    }
}

/* Half of a key set is no lawful one: it is asked for again. */
static void keys_that_are_cut_are_asked_for_again(void **state)
{
    World *world = *state;
    set_source(world, "half");
    world_make_capture(world);
    world_assembler(world, "check\ncheck\n");
    world_resume(world, TRUE);
    world_await_done(world);
    assert_completed(world);
    assert_int_equal(world_assemblies(world), 3); /* the last one did not ask */
}

/* …but a set that is wrong is wrong, and nothing is thrown away. */
static void wrong_keys_are_told(void **state)
{
    World *world = *state;
    set_inline(world, KEYS);
    assemble(world, "invalid\n");
    assert_true(g_error_matches(world->error, STENO_ERROR, STENO_ERROR_KEYS_INVALID));
    assert_int_equal(world_assemblies(world), 1);
    assert_string_equal(world->kept, world->capture);
}

static void an_assembler_that_dies_while_it_asks_runs_again(void **state)
{
    World *world = *state;
    g_autofree char *large = g_strnfill(1024 * 1024, 'k');
    for (guint i = 0; i < 3; i++) {
        if (i == 0)
            set_inline(world, large);
        else
            set_source(world, i == 1 ? "hang" : "big");
        assemble(world, "ask-die\n");
        assert_completed(world);
        assert_int_equal(world_assemblies(world), 2 * (i + 1));
        world_leave(world);
        world_forget_done(world);
        world->place.event_part = world->place.event_seq = 0;
    }
}

static gboolean has_asked(World *world)
{
    return world_exists(world->base, "asked.json");
}

static gboolean is_childless(World *world)
{
    (void)world;
    return waitpid(-1, NULL, WNOHANG) < 0;
}

static void a_job_that_goes_takes_its_children_along(void **state)
{
    World *world = *state;
    set_source(world, "hang");
    world_make_capture(world);
    world_assembler(world, "ask\n");
    world_resume(world, TRUE);
    world_until(world, has_asked);
    world_leave(world);
    world_until(world, is_childless);
}

static void on_closed(gpointer user)
{
    *(gboolean *)user = TRUE;
}

static gboolean on_end(gint fd, GIOCondition condition, gpointer user)
{
    char byte;
    (void)condition;
    assert_int_equal(read(fd, &byte, 1), 0);
    *(gboolean *)user = TRUE;
    return G_SOURCE_REMOVE;
}

static void a_source_that_hangs_is_killed(void **state)
{
    World *world = *state;
    g_autoptr(GError) error = NULL;
    int fd;
    gboolean ended = FALSE, closed = FALSE;
    set_source(world, "hang");
    const KeysConfig config = {.job = world->spec, .timeout_s = 1};
    Keys *keys = keys_new(&config, &fd, &error);
    json_t *wanted = json_array();
    g_unix_fd_add(fd, G_IO_IN, on_end, &ended);
    keys_wanted(keys, wanted);
    while (!ended)
        g_main_context_iteration(NULL, TRUE);
    keys_close(keys, on_closed, &closed);
    while (!closed)
        g_main_context_iteration(NULL, TRUE);
    assert_true(keys_are_cut(keys));
    assert_string_equal(keys_trouble(keys), "the source of content keys did not answer within 1 s");
    keys_free(keys);
    json_decref(wanted);
    close(fd);
}

/* ---- what stays sealed ------------------------------------------------------------------------------------------- */

static void what_cannot_be_decrypted_is_stored_and_told(void **state)
{
    static const StenoError codes[] = {STENO_ERROR_NO_KEY, STENO_ERROR_BAD_KEY};
    static const char *const modes[] = {"no-key\n", "bad-key\n"};
    World *world = *state;
    set_inline(world, KEYS);
    for (guint i = 0; i < 2; i++) {
        assemble(world, modes[i]);
        assert_sealed(world, codes[i]);
        world_leave(world);
        world_forget_done(world);
        g_ptr_array_set_size(world->told, 0);
        world->place.event_part = world->place.event_seq = 0;
    }
}

static void it_is_told_after_a_crash_as_well(void **state)
{
    World *world = *state;
    set_inline(world, KEYS);
    world_make_capture(world);
    world_assembler(world, "bad-key\n");
    world_break(world->root);
    world_resume(world, TRUE);
    world_await(world, "storage 0 primary blocked", 1);
    world_leave(world);
    world_mend(world->root);
    world_resume(world, TRUE);
    world_await_done(world);
    assert_int_equal(world_assemblies(world), 1);
    assert_sealed(world, STENO_ERROR_BAD_KEY);
    /* And when only the storage knows it any more. */
    world_leave(world);
    world_forget_done(world);
    world->place.started_wall_us = 1795377340000000;
    world_resume(world, FALSE);
    world_await_done(world);
    assert_true(g_error_matches(world->error, STENO_ERROR, STENO_ERROR_BAD_KEY));
}

static void sealed_on_purpose_is_a_success(void **state)
{
    World *world = *state;
    set_text(&world->spec->content, "sframe");
    set_text(&world->spec->content_keys, "later");
    assemble(world, "sealed\n");
    assert_sealed(world, STENO_ERROR_COUNT);
    assert_words(world, "--keys", FALSE);
    assert_words(world, "--sealed", TRUE);
}

static void a_section_that_is_sealed_is_stored_like_any_other(void **state)
{
    World *world = *state;
    set_inline(world, KEYS);
    world_make_capture(world);
    world_write(world->capture, "part-0001/events.jsonl",
                "{\"event\":\"rotated\",\"section\":1,\"seam\":1795377341000000,\"part\":1,\"seq\":1}\n");
    world_write(world->capture, "part-0002/events.jsonl",
                "{\"event\":\"ended\",\"end_reason\":\"max-idle\",\"error\":null,\"part\":2,\"seq\":1}\n");
    world_assembler(world, "no-key\nask\n");
    world_resume(world, TRUE);
    world_await_done(world);
    assert_completed(world);
    assert_true(world_exists(world->folder, "sealed-recording.001.json"));
    assert_int_equal(world_count(world, "section_stored 1"), 1);
}

/* ---- recorders --------------------------------------------------------------------------------------------------- */

static json_t *await_job(World *world, const char *script)
{
    g_autofree char *path = g_strconcat(world->capture, ".job", NULL);
    (void)g_unlink(path);
    world_start(world, script);
    world_await(world, "state:recording", 1);
    return json_load_file(path, 0, NULL);
}

static void a_recorder_gets_its_keys_and_so_does_the_next(void **state)
{
    World *world = *state;
    set_inline(world, KEYS);
    for (guint i = 0; i < 2; i++) {
        world->spec->key_once = i == 1;
        g_autofree char *path = g_strconcat(world->capture, ".job", NULL);
        json_t *first = await_job(world, "hello,show,rec,wait");
        assert_string_equal(json_string_value(json_object_get(first, "key_set")), KEYS);
        (void)g_unlink(path);
        world_signal(world, SIGKILL);
        world_await(world, "state 2.2", 1);
        json_t *next = json_load_file(path, 0, NULL);
        assert_non_null(next);
        if (i == 0)
            assert_string_equal(json_string_value(json_object_get(next, "key_set")), KEYS);
        else
            assert_null(json_object_get(next, "key_set"));
        assert_string_equal(json_string_value(json_object_get(next, "content_keys")), i == 0 ? "inline" : "later");
        json_decref(first);
        json_decref(next);
        steno_job_stop(world->job, "stopped");
        world_await_done(world);
        world_leave(world);
        world_forget_done(world);
        g_ptr_array_set_size(world->told, 0);
        g_free(world->spec->id);
        world->spec->id = steno_job_new_id();
        g_free(world->capture);
        world->capture = g_build_filename(world->spool, world->spec->id, NULL);
        world->place.event_part = world->place.event_seq = 0;
    }
}

/* ---- outputs ----------------------------------------------------------------------------------------------------- */

static void outputs_are_encrypted_as_asked(void **state)
{
    World *world = *state;
    set_text(&world->spec->output_encryption, "cms");
    g_strfreev(world->spec->output_recipients);
    world->spec->output_recipients = g_strsplit("a.pem|b.pem", "|", -1);
    assemble(world, "\n");
    assert_completed(world);
    assert_words(world, "cms", TRUE);
    assert_words(world, "a.pem", TRUE);
    assert_words(world, "b.pem", TRUE);
    world_leave(world);
    world_forget_done(world);
    world->place.event_part = world->place.event_seq = 0;

    static const char key[] = "00112233445566778899aabbccddeeff:ffeeddccbbaa99887766554433221100";
    set_text(&world->spec->output_encryption, "cenc");
    g_strfreev(world->spec->output_recipients);
    world->spec->output_recipients = g_new0(char *, 1);
    world->spec->output_key = steno_secret_new(key, strlen(key));
    assemble(world, "\n");
    assert_completed(world);
    assert_words(world, "cenc", TRUE);
    assert_words(world, key, FALSE);
    g_autofree char *got = read_text(world->spool, "output.key");
    assert_string_equal(got, key);
}

static void recipients_that_cannot_be_are_told_before_it_begins(void **state)
{
    World *world = *state;
    g_autoptr(GError) error = NULL;
    set_text(&world->spec->output_encryption, "cms");
    g_strfreev(world->spec->output_recipients);
    world->spec->output_recipients = g_strsplit("/nowhere/a.pem", "|", -1);
    assert_null(steno_job_start(world->spec, &world->place, NULL, &world->events, world, &error));
    assert_true(g_error_matches(error, STENO_ERROR, STENO_ERROR_USAGE));
    assert_non_null(strstr(error->message, "/nowhere/a.pem"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, world_set_up, world_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(given_keys_are_written_to_the_assembler),
        TEST(others_are_fetched_past_this_process),
        TEST(a_megabyte_of_keys_passes_an_assembler_that_is_slow),
        TEST(who_does_not_ask_gets_none),
        TEST(what_is_not_encrypted_needs_none),
        TEST(sources_that_fail_leave_it_sealed),
        TEST(keys_that_are_cut_are_asked_for_again),
        TEST(wrong_keys_are_told),
        TEST(an_assembler_that_dies_while_it_asks_runs_again),
        TEST(a_job_that_goes_takes_its_children_along),
        TEST(a_source_that_hangs_is_killed),
        TEST(what_cannot_be_decrypted_is_stored_and_told),
        TEST(it_is_told_after_a_crash_as_well),
        TEST(sealed_on_purpose_is_a_success),
        TEST(a_section_that_is_sealed_is_stored_like_any_other),
        TEST(a_recorder_gets_its_keys_and_so_does_the_next),
        TEST(outputs_are_encrypted_as_asked),
        TEST(recipients_that_cannot_be_are_told_before_it_begins),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
