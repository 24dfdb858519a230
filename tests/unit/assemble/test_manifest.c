/*
 * The table-driven validator against docs/manifest.schema.json: every member of a manifest that has everything is left
 * out, made double, replaced by values of all kinds; both must say the same of each.
 */
#include "scene.h"

#include "steno/assemble.h"
#include "steno/base/error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>

static const char *const replacements[] = {
    "null",
    "true",
    "0",
    "1",
    "2",
    "-1",
    "-100000001",
    "4503599627370496",
    "4503599627370497",
    "2147483648",
    "1.5",
    "\"\"",
    "\"x\"",
    "\"opus\"",
    "\"vp8\"",
    "\"aac\"",
    "\"audio\"",
    "\"clean\"",
    "\"completed\"",
    "\"steno\"",
    "\"rtp\"",
    "\"lost\"",
    "\"bad-key\"",
    "\"sealed\"",
    "\"cenc\"",
    "\"frame\"",
    "\"mka\"",
    "\"../x\"",
    "\".x\"",
    "\"a/b\"",
    "\"2026-11-21T20:00:00.000Z\"",
    "\"2026-11-21T20:00:00Z\"",
    "\"2026-11-21T20:00:00.0000Z\"",
    "\"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdeF\"",
    "[]",
    "{}",
    "[1]",
    "[\"x\"]",
    "[\"opus\"]",
    "[null]",
    "[{}]",
};

typedef struct {
    json_t *root;
    FILE *lines;
    guint lawful, unlawful;
} Mutation;

static void judge(Mutation *mutation, const char *what)
{
    char *text = json_dumps(mutation->root, JSON_COMPACT | JSON_ENCODE_ANY);
    g_autoptr(GError) error = NULL;
    json_t *parsed = steno_manifest_parse(text, strlen(text), &error);
    assert_true(!parsed == !!error);
    if (error)
        assert_true(g_error_matches(error, STENO_ERROR, STENO_ERROR_VERIFY_FAILED));
    json_t *line = json_pack("{s:b, s:s, s:O}", "lawful", parsed != NULL, "what", what, "manifest", mutation->root);
    json_dumpf(line, mutation->lines, JSON_COMPACT);
    fputc('\n', mutation->lines);
    mutation->lawful += parsed != NULL;
    mutation->unlawful += parsed == NULL;
    json_decref(line);
    json_decref(parsed);
    free(text);
}

static void mutate(Mutation *mutation, json_t *at, const char *where);

static void mutate_member(Mutation *mutation, json_t *object, const char *name, const char *where)
{
    g_autofree char *path = g_strdup_printf("%s/%s", where, name);
    json_t *value = json_incref(json_object_get(object, name));
    for (guint i = 0; i < G_N_ELEMENTS(replacements); i++) {
        g_autofree char *what = g_strdup_printf("%s := %s", path, replacements[i]);
        json_object_set_new(object, name, json_loads(replacements[i], JSON_DECODE_ANY, NULL));
        judge(mutation, what);
    }
    json_object_del(object, name);
    judge(mutation, path);
    json_object_set(object, name, value);
    mutate(mutation, value, path);
    json_decref(value);
}

static void mutate(Mutation *mutation, json_t *at, const char *where)
{
    if (json_is_array(at)) {
        for (size_t i = 0; i < json_array_size(at); i++) {
            g_autofree char *path = g_strdup_printf("%s/%zu", where, i);
            mutate(mutation, json_array_get(at, i), path);
        }
    }
    if (!json_is_object(at))
        return;
    json_object_set_new(at, "foreign", json_null());
    judge(mutation, where);
    json_object_del(at, "foreign");
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
    const char *name;
    json_t *value;
    json_object_foreach (at, name, value)
        g_ptr_array_add(names, g_strdup(name));
    for (guint i = 0; i < names->len; i++)
        mutate_member(mutation, at, names->pdata[i], where);
}

static void test_agrees_with_schema(void **state)
{
    (void)state;
    g_autofree char *folder = scene_folder();
    g_autofree char *lines = g_build_filename(folder, "lines", NULL);
    Mutation mutation = {
        .root = json_load_file(STENO_TEST_DIR "/unit/assemble/manifest.json", 0, NULL),
        .lines = fopen(lines, "w"),
    };
    judge(&mutation, "as it is");
    assert_int_equal(mutation.lawful, 1);
    mutate(&mutation, mutation.root, "");
    fclose(mutation.lines);
    json_decref(mutation.root);
    print_message("%u lawful, %u unlawful\n", mutation.lawful, mutation.unlawful);
    g_autofree char *output = NULL;
    int status;
    char *argv[] = {"python3", STENO_TEST_DIR "/unit/assemble/schema_agrees.py",
                    STENO_TEST_DIR "/../docs/manifest.schema.json", lines, NULL};
    assert_true(g_spawn_sync(NULL, argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, &output, NULL, &status, NULL));
    scene_remove(folder);
    print_message("%s", output);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        skip();
    assert_int_equal(status, 0);
}

static void test_refuses(void **state)
{
    (void)state;
    static const char *const texts[] = {"", "{", "[]", "{\"schema_version\":1,\"schema_version\":1}", "nul"};
    for (guint i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_autoptr(GError) error = NULL;
        assert_null(steno_manifest_parse(texts[i], strlen(texts[i]), &error));
        assert_non_null(error);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_agrees_with_schema),
        cmocka_unit_test(test_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
