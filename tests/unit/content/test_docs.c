/* The key files that docs/CHANNEL-AES.md shows are such. */
#include "steno/content.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

/* cmocka.h needs what stands above. */
#include <cmocka.h>

#define BEGIN "```json\n"
#define END "\n```"

static void test_examples(void **state)
{
    (void)state;
    g_autofree char *path = g_build_filename(STENO_TEST_DIR, "..", "docs", "CHANNEL-AES.md", NULL), *text = NULL;
    guint sets = 0;
    assert_true(g_file_get_contents(path, &text, NULL, NULL));
    for (char *at = text; (at = strstr(at, BEGIN));) {
        at += strlen(BEGIN);
        char *end = strstr(at, END);
        assert_non_null(end);
        g_autofree char *example = g_strndup(at, (gsize)(end - at));
        at = end;
        json_t *set = json_loads(example, 0, NULL);
        if (!set)
            fail_msg("not JSON: %s", example);
        const char *name = json_string_value(json_object_get(set, "format"));
        if (name && json_object_get(set, "keys")) {
            const StenoContentFormat *format = steno_content_format(name);
            assert_non_null(format);
            g_autoptr(GError) error = NULL;
            g_autoptr(StenoContentKeys) keys =
                steno_content_keys_parse(format, example, strlen(example), "the example", &error);
            if (!keys)
                fail_msg("%s: %s", error->message, example);
            sets++;
        }
        json_decref(set);
    }
    assert_true(sets >= 6);
}

/* Every format is in the table at its beginning. */
static void test_formats(void **state)
{
    (void)state;
    g_autofree char *path = g_build_filename(STENO_TEST_DIR, "..", "docs", "CHANNEL-AES.md", NULL), *text = NULL;
    assert_true(g_file_get_contents(path, &text, NULL, NULL));
    for (const char *const *name = steno_content_format_names(); *name; name++) {
        g_autofree char *quoted = g_strdup_printf("`%s`", *name);
        if (!strstr(text, quoted))
            fail_msg("docs/CHANNEL-AES.md does not tell of %s", *name);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_examples), cmocka_unit_test(test_formats)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
