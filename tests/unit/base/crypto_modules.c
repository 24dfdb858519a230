/*
 * Which module does each algorithm. OpenSSL reads its configuration once a process: each case is a process of its own,
 * which prints what it sees.
 */
#include "steno/base/crypto_modules.h"

#include <glib/gstdio.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define CONFIGURATION(providers, properties)                                                                           \
    "openssl_conf = init\n[init]\nproviders = providers\nalg_section = algorithms\n[algorithms]\n" properties          \
    "\n[providers]\n" providers "\n[active]\nactivate = 1\n"

/* {"fips": …, "modules": […]} of a process with this configuration (NULL: the machine's own). The caller's. */
static json_t *see(const char *configuration)
{
    g_autofree char *folder = g_dir_make_tmp("steno-crypto-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(folder, "openssl.cnf", NULL);
    g_autofree char *program = g_file_read_link("/proc/self/exe", NULL);
    g_autofree char *output = NULL;
    g_autoptr(GError) error = NULL;
    g_auto(GStrv) environment = g_get_environ();
    char *argv[] = {program, (char *)"--print", NULL};
    int status = -1;
    if (configuration) {
        assert_true(g_file_set_contents(path, configuration, -1, NULL));
        environment = g_environ_setenv(environment, "OPENSSL_CONF", path, TRUE);
    }
    if (!g_spawn_sync(NULL, argv, environment, G_SPAWN_DEFAULT, NULL, NULL, &output, NULL, &status, &error))
        fail_msg("%s", error->message);
    assert_int_equal(status, 0);
    g_unlink(path);
    g_rmdir(folder);
    json_t *seen = json_loads(output, 0, NULL);
    assert_non_null(seen);
    return seen;
}

static const json_t *find(const json_t *seen, const char *use, const char *algorithm)
{
    size_t i;
    json_t *row;
    json_array_foreach (json_object_get(seen, "modules"), i, row) {
        if (g_str_has_prefix(json_string_value(json_object_get(row, "use")), use) &&
            strcmp(json_string_value(json_object_get(row, "algorithm")), algorithm) == 0)
            return row;
    }
    fail_msg("no row of %s for %s", algorithm, use);
    return NULL;
}

static const char *module_of(const json_t *seen, const char *use, const char *algorithm)
{
    return json_string_value(json_object_get(find(seen, use, algorithm), "module"));
}

/* By another library, whatever OpenSSL is told. */
static bool is_outside(const json_t *row)
{
    const char *module = json_string_value(json_object_get(row, "module"));
    return module && (strcmp(module, "GLib") == 0 || strcmp(module, "FFmpeg") == 0);
}

/* As most machines are: OpenSSL's default provider does everything, and is no FIPS module. */
static void test_default(void **state)
{
    (void)state;
    json_t *seen = see(CONFIGURATION("default = active", ""));
    size_t i;
    json_t *row;
    assert_true(json_is_false(json_object_get(seen, "fips")));
    assert_true(json_array_size(json_object_get(seen, "modules")) > 20);
    json_array_foreach (json_object_get(seen, "modules"), i, row) {
        assert_int_equal(json_object_size(row), 5);
        assert_true(json_is_false(json_object_get(row, "fips")));
        if (is_outside(row))
            continue;
        assert_string_equal(json_string_value(json_object_get(row, "module")), "OpenSSL Default Provider");
        assert_int_equal(json_string_value(json_object_get(row, "version"))[0], '3');
    }
    json_decref(seen);
}

/* FIPS is demanded, and nobody is there who has it: nothing can be done, and that is said. */
static void test_demanded_without_a_module(void **state)
{
    (void)state;
    json_t *seen = see(CONFIGURATION("default = active", "default_properties = fips=yes"));
    size_t i;
    json_t *row;
    assert_true(json_is_false(json_object_get(seen, "fips")));
    json_array_foreach (json_object_get(seen, "modules"), i, row) {
        assert_true(is_outside(row) || json_is_null(json_object_get(row, "module")));
        assert_true(json_is_null(json_object_get(row, "version")));
        assert_true(json_is_false(json_object_get(row, "fips")));
    }
    json_decref(seen);
}

/* What the active modules lack is told row by row: base has no ciphers, null has nothing. */
static void test_partial(void **state)
{
    (void)state;
    json_t *seen = see(CONFIGURATION("null = active", ""));
    assert_null(module_of(seen, "content", "AES-128-GCM"));
    assert_null(module_of(seen, "tokens: Janus", "HMAC-SHA1"));
    json_decref(seen);
    seen = see(CONFIGURATION("legacy = active", ""));
    assert_null(module_of(seen, "content", "AES-128-GCM"));
    assert_null(module_of(seen, "content keys", "HKDF-SHA256"));
    json_decref(seen);
}

/* Where the machine has a FIPS module (STENO_TEST_FIPS_CONF: an OPENSSL_CONF that demands it), it is told. */
static void test_fips(void **state)
{
    (void)state;
    g_autofree char *configuration = NULL;
    const char *path = g_getenv("STENO_TEST_FIPS_CONF");
    if (!path)
        skip();
    assert_true(g_file_get_contents(path, &configuration, NULL, NULL));
    json_t *seen = see(configuration);
    assert_true(json_is_true(json_object_get(seen, "fips")));
    assert_true(json_is_true(json_object_get(find(seen, "content", "AES-128-GCM"), "fips")));
    assert_true(json_is_true(json_object_get(find(seen, "content keys", "HKDF-SHA256"), "fips")));
    assert_true(json_is_true(json_object_get(find(seen, "tokens: Janus", "HMAC-SHA1"), "fips")));
    assert_non_null(strstr(module_of(seen, "content", "AES-128-GCM"), "FIPS"));
    assert_null(module_of(seen, "content: insecure modes", "SM4-128-ECB"));
    json_decref(seen);
}

static int print(void)
{
    json_t *seen = json_pack("{s:b, s:o}", "fips", steno_crypto_is_fips(), "modules", steno_crypto_modules());
    json_dumpf(seen, stdout, 0);
    json_decref(seen);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--print") == 0)
        return print();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_default),
        cmocka_unit_test(test_demanded_without_a_module),
        cmocka_unit_test(test_partial),
        cmocka_unit_test(test_fips),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
