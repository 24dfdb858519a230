/* conf/steno.conf and steno.conf(5) are what the table prints, and what the example says can be loaded. */
#include "folder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#define REPOSITORY STENO_TEST_DIR "/.."

static const struct {
    const char *section, *name;
} keys[] = {
#define STENO_CONFIG_KEY(section, kind, name, ...) {#section, #name},
#include "steno/config_keys.def"
#undef STENO_CONFIG_KEY
};

static void expect_file(const char *path, const char *printed)
{
    g_autofree char *text = NULL;
    assert_true(g_file_get_contents(path, &text, NULL, NULL));
    if (strcmp(text, printed) != 0)
        fail_msg("%s is not what steno-config-docs prints: run it", path);
}

static void files_are_what_is_printed(void **state)
{
    (void)state;
    g_autofree char *example = steno_config_print_example(), *manual = steno_config_print_manual();
    expect_file(REPOSITORY "/conf/steno.conf", example);
    expect_file(REPOSITORY "/docs/man/steno.conf.5", manual);
}

static guint count(const char *text, const char *part)
{
    guint found = 0;
    for (const char *p = text; (p = strstr(p, part)) != NULL; p += strlen(part))
        found++;
    return found;
}

/* Keys of one name are in several sections: each must be there as often. */
static void every_key_is_documented(void **state)
{
    (void)state;
    g_autofree char *example = steno_config_print_example(), *manual = steno_config_print_manual();
    for (guint i = 0; i < G_N_ELEMENTS(keys); i++) {
        gboolean is_top = strcmp(keys[i].section, "TOP") == 0; /* else indented */
        g_autofree char *setting = g_strdup_printf("%c#%s = ", is_top ? '\n' : ' ', keys[i].name);
        g_autofree char *item = g_strdup_printf(".It Cm %s ", keys[i].name);
        guint same = 0;
        for (guint j = 0; j < G_N_ELEMENTS(keys); j++)
            same += strcmp(keys[i].name, keys[j].name) == 0;
        assert_int_equal(count(example, setting), same);
        assert_int_equal(count(manual, item), same);
    }
}

static void shipped_file_loads(void **state)
{
    g_autofree char *example = steno_config_print_example();
    g_autoptr(StenoConfig) config = folder_load(*state, example);
    assert_int_equal(config->platforms->len + config->storages->len + config->webhooks->len + config->apps->len, 0);
    assert_int_equal(config->notes->len, 3);
}

/* As its first lines say: a # that is followed by no space is taken away. */
static char *uncomment(const char *example)
{
    g_autoptr(GRegex) comment = g_regex_new("^( *)#([^ \n])", G_REGEX_MULTILINE, 0, NULL);
    return g_regex_replace(comment, example, -1, 0, "\\1\\2", 0, NULL);
}

static char *replace(char *text, const char *from, const char *to)
{
    g_auto(GStrv) pieces = g_strsplit(text, from, -1);
    assert_non_null(pieces[1]);
    g_free(text);
    return g_strjoinv(to, pieces);
}

static void uncommented_file_loads(void **state)
{
    const char *folder = *state;
    g_autofree char *example = steno_config_print_example(), *text = uncomment(example);
    g_autofree char *token = folder_write_mode(folder, "secrets/janus-1-token", "t", 0600);
    g_autofree char *hook = folder_write_mode(folder, "secrets/ward-7", "whsec_AAAA", 0600);
    g_autofree char *secrets = g_build_filename(folder, "secrets", NULL);
    assert_non_null(strstr(text, "\n        token_ttl_s = 3600;\n"));
    text = replace(text, "/etc/steno/secrets", secrets);
    g_autoptr(StenoConfig) config = folder_load(folder, text);
    assert_int_equal(config->notes->len, 0);
    assert_non_null(steno_config_app(config, "clinic"));
    assert_non_null(steno_config_storage(config, "primary"));
    const StenoConfigPlatform *platform = steno_config_platform(config, "janus-1");
    assert_string_equal(platform->token_secret_file, token);
    assert_string_equal(steno_config_webhook(config, "ward-7")->secret_file, hook);

    /* What stands there commented out is the default: single values are the same without it. */
    g_autoptr(StenoConfig) empty = folder_load(folder, "");
    assert_string_equal(config->top.state_dir, empty->top.state_dir);
    assert_int_equal(config->api.max_connections, empty->api.max_connections);
    assert_string_equal(config->api.listen[0], empty->api.listen[0]);
    assert_null(config->api.certificate_file);
    assert_memory_equal(&config->limits, &empty->limits, sizeof config->limits);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_are_what_is_printed),
        cmocka_unit_test(every_key_is_documented),
        cmocka_unit_test_setup_teardown(shipped_file_loads, folder_setup, folder_teardown),
        cmocka_unit_test_setup_teardown(uncommented_file_loads, folder_setup, folder_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
