#include "storage_fixture.h"

#include "steno/base/error.h"

#include <glib/gstdio.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

static void remove_tree(const char *path)
{
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    const char *name;
    while (dir && (name = g_dir_read_name(dir))) {
        g_autofree char *child = g_build_filename(path, name, NULL);
        if (!g_file_test(child, G_FILE_TEST_IS_SYMLINK) && g_file_test(child, G_FILE_TEST_IS_DIR))
            remove_tree(child);
        else
            g_unlink(child);
    }
    g_rmdir(path);
}

int fixture_setup(void **state)
{
    Fixture *fixture = g_new0(Fixture, 1);
    fixture->folder = g_dir_make_tmp("steno-storage-XXXXXX", NULL);
    fixture->root = g_build_filename(fixture->folder, "root", NULL);
    fixture->source = g_build_filename(fixture->folder, "source", NULL);
    fixture->state_dir = g_build_filename(fixture->folder, "state", NULL);
    assert_int_equal(g_mkdir(fixture->root, 0755), 0);
    assert_int_equal(g_mkdir(fixture->state_dir, 0755), 0);
    fixture_write_source(fixture, "hello");
    fixture->store = steno_store_open_local(fixture->root);
    *state = fixture;
    return 0;
}

int fixture_teardown(void **state)
{
    Fixture *fixture = *state;
    steno_store_unref(fixture->store);
    remove_tree(fixture->folder);
    g_free(fixture->folder);
    g_free(fixture->root);
    g_free(fixture->source);
    g_free(fixture->state_dir);
    g_free(fixture);
    return 0;
}

StenoStore *fixture_open(const Fixture *fixture, const char *root, void (*edit)(StenoConfigStorage *settings))
{
    StenoConfigStorage *settings;
    g_autoptr(StenoConfig) config = steno_config_with_storage("primary", "local", &settings);
    settings->root = g_strdup(root);
    g_free(config->top.state_dir);
    config->top.state_dir = g_strdup(fixture->state_dir);
    if (edit)
        edit(settings);
    StenoStore *store = steno_store_open(config, settings, NULL);
    assert_non_null(store);
    return store;
}

void fixture_reopen(Fixture *fixture, void (*edit)(StenoConfigStorage *settings))
{
    steno_store_unref(fixture->store);
    fixture->store = fixture_open(fixture, fixture->root, edit);
}

void fixture_write_source(const Fixture *fixture, const char *text)
{
    assert_true(g_file_set_contents(fixture->source, text, -1, NULL));
}

void fixture_expect(const Fixture *fixture, const char *key, const char *contents)
{
    g_autofree char *path = g_build_filename(fixture->root, key, NULL);
    g_autofree char *text = NULL;
    assert_true(g_file_get_contents(path, &text, NULL, NULL));
    assert_string_equal(text, contents);
}

guint fixture_count(const char *folder)
{
    guint count = 0;
    g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
    assert_non_null(dir);
    while (g_dir_read_name(dir))
        count++;
    return count;
}

static int code_of(gboolean good, const GError *error)
{
    assert_true(good == !error);
    if (good)
        return 0;
    assert_true(error->domain == STENO_ERROR);
    return error->code;
}

int fixture_put_with(StenoStore *store, const StenoPut *put)
{
    g_autoptr(GError) error = NULL;
    gboolean good = steno_store_put(store, put, &error);
    return code_of(good, error);
}

int fixture_put_to(const Fixture *fixture, StenoStore *store, const char *key)
{
    StenoPut put = {.source = fixture->source, .key = key};
    return fixture_put_with(store, &put);
}

int fixture_put(const Fixture *fixture, const char *key)
{
    return fixture_put_to(fixture, fixture->store, key);
}

int fixture_replace(const Fixture *fixture, const char *key)
{
    StenoPut put = {.source = fixture->source, .key = key, .replace = TRUE};
    return fixture_put_with(fixture->store, &put);
}

int fixture_verify(const Fixture *fixture, const char *key, gint64 bytes, const char *hex)
{
    g_autoptr(GError) error = NULL;
    gboolean good = steno_store_verify(fixture->store, key, bytes, hex, STENO_PROOF_CONTENTS, NULL, &error);
    return code_of(good, error);
}

int fixture_remove(const Fixture *fixture, const char *key, gboolean folders)
{
    g_autoptr(GError) error = NULL;
    gboolean good = steno_store_remove(fixture->store, key, folders, NULL, &error);
    return code_of(good, error);
}

int fixture_read(const Fixture *fixture, const char *key, gsize max_bytes, const char *expected)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GBytes) bytes = steno_store_read(fixture->store, key, max_bytes, NULL, &error);
    if (!bytes)
        return code_of(FALSE, error);
    assert_int_equal(g_bytes_get_size(bytes), strlen(expected));
    assert_memory_equal(g_bytes_get_data(bytes, NULL), expected, strlen(expected));
    return 0;
}

int fixture_check(StenoStore *store, const char *words)
{
    g_autoptr(GError) error = NULL;
    gboolean good = steno_store_check(store, NULL, &error);
    if (words && (good || !strstr(error->message, words)))
        fail_msg("\"%s\" does not tell \"%s\"", good ? "(no error)" : error->message, words);
    return code_of(good, error);
}
