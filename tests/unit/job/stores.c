/* Is a recording in storage? By the manifest that is really its own, in the first store that has it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "steno/base/error.h"
#include "stores.h"

#include <glib/gstdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#define ZERO G_GINT64_CONSTANT(1795377340000000)
#define MANIFEST "{\"recording\":{\"id\":\"01ID\"},\"outputs\":[]}"

typedef struct {
    char *base, *roots[2];
    StenoStore *stores[2];
    RecordingPlace place;
    StoresLook look;
} Shelf;

static int set_up(void **state)
{
    Shelf *shelf = g_new0(Shelf, 1);
    shelf->base = g_dir_make_tmp("steno-XXXXXX", NULL);
    for (guint i = 0; i < 2; i++) {
        shelf->roots[i] = g_strdup_printf("%s/%u", shelf->base, i);
        assert_int_equal(g_mkdir(shelf->roots[i], 0755), 0);
        shelf->stores[i] = steno_store_open_local(shelf->roots[i]);
    }
    recording_place_set(&shelf->place, NULL, "ward", "01ID", ZERO);
    *state = shelf;
    return 0;
}

static int tear_down(void **state)
{
    Shelf *shelf = *state;
    g_autofree char *command = g_strdup_printf("rm -rf '%s'", shelf->base);
    assert_int_equal(system(command), 0);
    for (guint i = 0; i < 2; i++) {
        steno_store_unref(shelf->stores[i]);
        g_free(shelf->roots[i]);
    }
    recording_place_clear(&shelf->place);
    stores_look_clear(&shelf->look);
    g_free(shelf->base);
    g_free(shelf);
    return 0;
}

static void put(const Shelf *shelf, guint store, const char *text)
{
    g_autofree char *folder = g_build_filename(shelf->roots[store], "ward", "20261122T195540Z_01ID", NULL);
    g_autofree char *path = g_build_filename(folder, "manifest.json", NULL);
    assert_int_equal(g_mkdir_with_parents(folder, 0755), 0);
    assert_true(g_file_set_contents(path, text, -1, NULL));
}

static guint look(Shelf *shelf)
{
    stores_look_clear(&shelf->look);
    stores_look(shelf->stores, 2, &shelf->place, NULL, &shelf->look);
    assert_int_equal(shelf->look.found != G_MAXUINT, shelf->look.manifest != NULL);
    return shelf->look.found;
}

static void the_first_that_has_it_is_found(void **state)
{
    Shelf *shelf = *state;
    assert_int_equal(look(shelf), G_MAXUINT);
    assert_false(stores_look_failed(&shelf->look));
    put(shelf, 1, MANIFEST);
    assert_int_equal(look(shelf), 1);
    assert_string_equal(shelf->look.folder, "ward/20261122T195540Z_01ID");
    put(shelf, 0, MANIFEST);
    assert_int_equal(look(shelf), 0);
    shelf->place.started_wall_us = 0; /* nobody knows when it began */
    assert_int_equal(look(shelf), 0);
    assert_string_equal(shelf->look.folder, "ward/20261122T195540Z_01ID");
}

static void only_its_own_manifest_counts(void **state)
{
    Shelf *shelf = *state;
    put(shelf, 0, "{\"recording\":{\"id\":\"another\"}}");
    put(shelf, 1, "{\"recor");
    assert_int_equal(look(shelf), G_MAXUINT);
    assert_false(stores_look_failed(&shelf->look));
}

static void one_that_cannot_tell_matters_only_when_none_has_it(void **state)
{
    Shelf *shelf = *state;
    put(shelf, 0, MANIFEST);
    assert_int_equal(g_chmod(shelf->roots[0], 0777), 0);
    guint found = look(shelf);
    if (found == G_MAXUINT) /* it may still be read where it cannot be written */
        assert_true(stores_look_failed(&shelf->look));
    g_autofree char *away = g_strconcat(shelf->roots[0], ".away", NULL);
    assert_int_equal(g_rename(shelf->roots[0], away), 0);
    assert_int_equal(look(shelf), G_MAXUINT);
    assert_true(stores_look_failed(&shelf->look));
    put(shelf, 1, MANIFEST);
    assert_int_equal(look(shelf), 1);
    assert_false(stores_look_failed(&shelf->look));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(the_first_that_has_it_is_found),
        TEST(only_its_own_manifest_counts),
        TEST(one_that_cannot_tell_matters_only_when_none_has_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
