/* Sections of a capture: from parts' last lines and section-NNNN.json, whatever a crash left of them. */
#include "capture_helpers.h"

#include "steno/base/error.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/resource.h>

#define SECOND_US G_GINT64_CONSTANT(1000000)

static int setup(void **state)
{
    *state = helper_folder();
    g_autofree char *path = g_build_filename(*state, "recording.json", NULL);
    g_autofree char *text = g_strdup_printf("{\"zero\": %" G_GINT64_FORMAT "}", ZERO_US);
    return g_file_set_contents(path, text, -1, NULL) ? 0 : 1;
}

static int teardown(void **state)
{
    helper_remove(*state);
    g_free(*state);
    return 0;
}

/* The part's events.jsonl is this text. */
static void put_part(const char *folder, guint part, const char *text)
{
    g_autofree char *path = g_strdup_printf("%s/part-%04u", folder, part);
    g_autofree char *file = g_build_filename(path, "events.jsonl", NULL);
    assert_int_equal(g_mkdir(path, 0700), 0);
    assert_true(g_file_set_contents(file, text, -1, NULL));
}

static void put_rotated(const char *folder, guint part, guint section, gint64 seam_us)
{
    g_autofree char *text = g_strdup_printf("{\"t\":1,\"event\":\"state\",\"state\":\"recording\"}\n"
                                            "{\"event\":\"rotated\",\"section\":%u,\"seam\":%" G_GINT64_FORMAT "}\n",
                                            section, seam_us);
    put_part(folder, part, text);
}

static void remove_part(const char *folder, guint part)
{
    g_autofree char *path = g_strdup_printf("%s/part-%04u", folder, part);
    helper_remove(path);
}

static GArray *sections_of(const char *folder)
{
    g_autoptr(GError) error = NULL;
    GArray *sections = steno_capture_sections(folder, &error);
    g_assert_no_error(error);
    return sections;
}

static void assert_section(const GArray *sections, guint at, guint first, guint last, gint64 begin_us, gint64 end_us,
                           gboolean stored)
{
    assert_true(at < sections->len);
    const StenoCaptureSection *section = &g_array_index(sections, StenoCaptureSection, at);
    assert_int_equal(section->number, at + 1);
    assert_int_equal(section->first_part, first);
    assert_int_equal(section->last_part, last);
    assert_int_equal(section->begin_wall_us, begin_us);
    assert_int_equal(section->end_wall_us, end_us);
    assert_int_equal(section->stored, stored);
}

static void assert_damaged(const char *folder)
{
    g_autoptr(GError) error = NULL;
    assert_null(steno_capture_sections(folder, &error));
    g_assert_error(error, STENO_ERROR, STENO_ERROR_CAPTURE_DAMAGED);
}

static void test_nothing_rotated(void **state)
{
    g_autoptr(GArray) none = sections_of(*state);
    assert_int_equal(none->len, 0);
    put_part(*state, 1, "");
    put_part(*state, 3, "{\"event\":\"ended\"}\n");
    g_autoptr(GArray) sections = sections_of(*state);
    assert_int_equal(sections->len, 1);
    assert_section(sections, 0, 1, 3, ZERO_US, 0, FALSE);
}

/* A crash in the middle of a section, and one within a seam, make no section. */
static void test_crashes(void **state)
{
    gint64 first_us = ZERO_US + 5 * SECOND_US, second_us = ZERO_US + 15 * SECOND_US;
    put_part(*state, 1, "{\"event\":\"muted\"}\n");
    put_rotated(*state, 2, 1, first_us);
    put_part(*state, 3, "{\"event\":\"muted\"}\n{\"event\":\"rotated\",\"section\":2,\"seam\":1795000010000000}");
    put_rotated(*state, 4, 2, second_us);
    put_part(*state, 5, "{\"event\":\"muted\"}\n");
    g_autoptr(GArray) sections = sections_of(*state);
    assert_int_equal(sections->len, 3);
    assert_section(sections, 0, 1, 2, ZERO_US, first_us, FALSE);
    assert_section(sections, 1, 3, 4, first_us, second_us, FALSE);
    assert_section(sections, 2, 5, 5, second_us, 0, FALSE);
}

/* Only a last line counts, also behind lines that are longer than what is read of a file. */
static void test_last_line(void **state)
{
    g_autofree char *spaces = g_strnfill(70000, ' ');
    g_autofree char *text = g_strdup_printf("{\"event\":\"talking\"%s}\n"
                                            "{\"event\":\"rotated\",\"section\":1,\"seam\":%" G_GINT64_FORMAT "}\n",
                                            spaces, ZERO_US + SECOND_US);
    g_autofree char *other = g_strdup_printf("%s{\"event\":\"talking\"%s}\n", text, spaces);
    put_part(*state, 1, other);
    put_part(*state, 2, text);
    g_autoptr(GArray) sections = sections_of(*state);
    assert_int_equal(sections->len, 1);
    assert_section(sections, 0, 1, 2, ZERO_US, ZERO_US + SECOND_US, FALSE);
}

static void store(const char *folder, const StenoCaptureSection *section)
{
    g_autoptr(GError) error = NULL;
    steno_capture_section_stored(folder, section, json_pack("{s:s}", "schema", "x"), &error);
    g_assert_no_error(error);
}

/* What is stored is told by its file: before its parts are taken away, and after; also out of turn. */
static void test_stored(void **state)
{
    gint64 first_us = ZERO_US + 5 * SECOND_US, second_us = ZERO_US + 10 * SECOND_US;
    put_rotated(*state, 1, 1, first_us);
    put_part(*state, 2, "");
    put_rotated(*state, 3, 2, second_us);
    put_part(*state, 4, "");
    g_autoptr(GArray) before = sections_of(*state);
    store(*state, &g_array_index(before, StenoCaptureSection, 1));
    remove_part(*state, 2);
    g_autoptr(GArray) half = sections_of(*state);
    assert_section(half, 0, 1, 1, ZERO_US, first_us, FALSE);
    assert_section(half, 1, 2, 3, first_us, second_us, TRUE);
    assert_section(half, 2, 4, 4, second_us, 0, FALSE);
    remove_part(*state, 3);
    store(*state, &g_array_index(before, StenoCaptureSection, 0));
    remove_part(*state, 1);
    g_autoptr(GArray) sections = sections_of(*state);
    assert_int_equal(sections->len, 3);
    assert_section(sections, 0, 1, 1, ZERO_US, first_us, TRUE);
    assert_section(sections, 1, 2, 3, first_us, second_us, TRUE);
    assert_section(sections, 2, 4, 4, second_us, 0, FALSE);

    g_autofree char *path = g_build_filename(*state, "section-0001.json", NULL);
    json_t *json = json_load_file(path, 0, NULL);
    assert_string_equal(json_string_value(json_object_get(json_object_get(json, "manifest"), "schema")), "x");
    json_decref(json);
}

static void test_damage(void **state)
{
    g_autofree char *path = g_build_filename(*state, "section-0001.json", NULL);
    put_rotated(*state, 1, 2, ZERO_US + SECOND_US); /* no section 1 ends anywhere */
    assert_damaged(*state);
    remove_part(*state, 1);
    put_rotated(*state, 1, 1, ZERO_US - SECOND_US); /* before it begins */
    assert_damaged(*state);
    remove_part(*state, 1);
    put_part(*state, 1, "");
    assert_true(g_file_set_contents(path, "{\"section\":1", -1, NULL));
    assert_damaged(*state);
    assert_int_equal(g_unlink(path), 0);

    /* Part 1 does not say where it ends, though section 2 is stored. */
    StenoCaptureSection second = {2, 2, 2, ZERO_US + SECOND_US, ZERO_US + 2 * SECOND_US, TRUE};
    store(*state, &second);
    assert_damaged(*state);
    remove_part(*state, 1);
    assert_damaged(*state);
    assert_null(steno_capture_sections("/nonexistent/capture", NULL));
}

/* ---- the last line ----------------------------------------------------------------------------------------------- */

typedef struct {
    const char *folder;
    gint told, told_before_disk, finished; /* atomic */
} Ending;

/* What is told must be on disk already. */
static void note_told(gpointer user, json_t *event)
{
    Ending *ending = user;
    if (g_strcmp0(json_string_value(json_object_get(event, "event")), "rotated") == 0) {
        json_t *events = helper_events(ending->folder, 1);
        g_atomic_int_inc(&ending->told);
        if (helper_count_events(events, "rotated") != 1)
            g_atomic_int_inc(&ending->told_before_disk);
        json_decref(events);
    }
    json_decref(event);
}

static void note_finished(gpointer user)
{
    g_atomic_int_inc(&((Ending *)user)->finished);
}

static json_t *rotated(void)
{
    return json_pack("{s:s, s:i, s:I}", "event", "rotated", "section", 1, "seam", (json_int_t)(ZERO_US + SECOND_US));
}

static void test_rotated_is_told_when_it_is_on_disk(void **state)
{
    Ending ending = {.folder = *state};
    StenoCaptureConfig config = {
        .folder = *state, .part = 1, .zero_wall_us = ZERO_US, .told = note_told, .user = &ending};
    StenoCapture *capture = steno_capture_new(&config, NULL);
    assert_non_null(capture);
    steno_capture_event(capture, json_pack("{s:s}", "event", "muted"));
    steno_capture_finish_begin(capture, rotated(), note_finished, &ending);
    while (!g_atomic_int_get(&ending.finished))
        g_usleep(1000);
    assert_int_equal(g_atomic_int_get(&ending.told), 1);
    assert_int_equal(ending.told_before_disk, 0);
    assert_true(steno_capture_finish(capture, NULL));
    assert_int_equal(ending.told, 1);
    put_part(*state, 2, "");
    g_autoptr(GArray) sections = sections_of(*state);
    assert_int_equal(sections->len, 2);
    assert_section(sections, 0, 1, 1, ZERO_US, ZERO_US + SECOND_US, FALSE);
}

static void test_rotated_is_not_told_when_it_is_not_on_disk(void **state)
{
    struct rlimit before, limit;
    Ending ending = {.folder = *state};
    StenoCaptureConfig config = {
        .folder = *state, .part = 1, .zero_wall_us = ZERO_US, .told = note_told, .user = &ending};
    StenoCapture *capture = steno_capture_new(&config, NULL);
    assert_non_null(capture);
    (void)signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before);
    limit = before;
    limit.rlim_cur = 4;
    setrlimit(RLIMIT_FSIZE, &limit);
    steno_capture_finish_begin(capture, rotated(), note_finished, &ending);
    g_autoptr(GError) error = NULL;
    gboolean finished = steno_capture_finish(capture, &error);
    setrlimit(RLIMIT_FSIZE, &before);
    assert_false(finished);
    g_assert_error(error, STENO_ERROR, STENO_ERROR_STORAGE_FULL);
    assert_int_equal(ending.finished, 1);
    assert_int_equal(ending.told, 0);
    g_autoptr(GArray) sections = sections_of(*state);
    assert_section(sections, 0, 1, 1, ZERO_US, 0, FALSE);
}

static void test_a_part_that_nobody_used_leaves_nothing(void **state)
{
    g_autofree char *path = g_build_filename(*state, "part-0001", NULL);
    steno_capture_discard(helper_capture(*state, 1));
    assert_false(g_file_test(path, G_FILE_TEST_EXISTS));
    steno_capture_discard(helper_capture(*state, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_nothing_rotated, setup, teardown),
        cmocka_unit_test_setup_teardown(test_crashes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_last_line, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stored, setup, teardown),
        cmocka_unit_test_setup_teardown(test_damage, setup, teardown),
        cmocka_unit_test_setup_teardown(test_rotated_is_told_when_it_is_on_disk, setup, teardown),
        cmocka_unit_test_setup_teardown(test_rotated_is_not_told_when_it_is_not_on_disk, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_part_that_nobody_used_leaves_nothing, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
