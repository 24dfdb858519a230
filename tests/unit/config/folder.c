#include "folder.h"

#include "steno/base/error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <gio/gio.h>
#include <string.h>
#include <sys/stat.h>

int folder_setup(void **state)
{
    *state = g_dir_make_tmp("steno-config-XXXXXX", NULL);
    return *state ? 0 : -1;
}

static void remove_all(const char *path)
{
    GDir *dir = g_file_test(path, G_FILE_TEST_IS_SYMLINK) ? NULL : g_dir_open(path, 0, NULL);
    for (const char *name; dir && (name = g_dir_read_name(dir)) != NULL;) {
        g_autofree char *one = g_build_filename(path, name, NULL);
        remove_all(one);
    }
    if (dir)
        g_dir_close(dir);
    assert_int_equal(remove(path), 0);
}

int folder_teardown(void **state)
{
    remove_all(*state);
    g_free(*state);
    return 0;
}

char *folder_write_mode(const char *folder, const char *name, const char *text, int mode)
{
    char *path = g_build_filename(folder, name, NULL);
    g_autofree char *parent = g_path_get_dirname(path);
    assert_int_equal(g_mkdir_with_parents(parent, 0755), 0);
    assert_true(g_file_set_contents(path, text, -1, NULL));
    assert_int_equal(chmod(path, (mode_t)mode), 0);
    return path;
}

char *folder_write(const char *folder, const char *name, const char *text)
{
    return folder_write_mode(folder, name, text, 0644);
}

StenoConfig *folder_load(const char *folder, const char *text)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *path = folder_write(folder, "steno.conf", text);
    StenoConfig *config = steno_config_load(path, &error);
    if (error)
        print_error("%s\n", error->message);
    assert_non_null(config);
    assert_null(error);
    return config;
}

char *folder_refuse(const char *folder, const char *text)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *path = folder_write(folder, "steno.conf", text);
    g_autofree char *prefix = g_strconcat(folder, "/", NULL);
    assert_null(steno_config_load(path, &error));
    assert_true(g_error_matches(error, STENO_ERROR, STENO_ERROR_CONFIG));
    assert_true(g_utf8_validate(error->message, -1, NULL));
    g_auto(GStrv) pieces = g_strsplit(error->message, prefix, -1);
    return g_strjoinv("", pieces);
}
