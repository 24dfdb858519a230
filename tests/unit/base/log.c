/* Nothing secret passes the log, and secret files are read with care. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "steno/base/error.h"
#include "steno/base/log.h"
#include "steno/base/secret.h"

#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>

static void assert_masked(const char *text, const char *expected)
{
    g_autofree char *redacted = steno_log_redact(text);
    assert_string_equal(redacted, expected);
}

static void registered_secrets_are_masked(void **state)
{
    (void)state;
    steno_log_hide_secret("hunter22");
    assert_masked("the word is hunter22, and hunter22 again", "the word is ***, and *** again");
}

static void what_looks_secret_is_masked(void **state)
{
    (void)state;
    assert_masked("GET http://h:8088/janus/1?rid=2&token=abc failed", "GET http://h:8088/janus/1?*** failed");
    assert_masked("Authorization: Bearer abc.def.ghi", "Authorization: Bearer ***");
    assert_masked("pin=1234 was refused", "pin=*** was refused");
    assert_masked("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz",
                  "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:***");
    assert_masked("nothing to hide", "nothing to hide");
}

static void many_secrets_stay_masked(void **state)
{
    (void)state;
    steno_log_hide_secret("the-first-secret");
    for (int i = 0; i < 3 * STENO_LOG_SECRETS_MAX; i++) {
        g_autofree char *secret = g_strdup_printf("minted-token-%d.", i);
        steno_log_hide_secret(secret);
    }
    assert_masked("the-first-secret", "***");
    g_autofree char *newest = g_strdup_printf("minted-token-%d.", 3 * STENO_LOG_SECRETS_MAX - 1);
    assert_masked(newest, "***");
}

static void assert_file_refused(const char *path, const char *words)
{
    g_autoptr(GError) error = NULL;
    assert_null(steno_secret_read_file(path, &error));
    assert_true(g_error_matches(error, STENO_ERROR, STENO_ERROR_USAGE));
    if (!strstr(error->message, words))
        fail_msg("'%s' does not say '%s'", error->message, words);
}

static void secret_files_are_read_with_care(void **state)
{
    (void)state;
    g_autofree char *folder = g_dir_make_tmp("steno-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(folder, "secret", NULL);
    assert_file_refused(path, "cannot read");
    assert_true(g_file_set_contents(path, "s3cret-text\r\n", -1, NULL));
    assert_int_equal(chmod(path, 0644), 0);
    assert_file_refused(path, "chmod 0600");
    assert_int_equal(chmod(path, 0600), 0);
    g_autoptr(StenoSecret) secret = steno_secret_read_file(path, NULL);
    assert_non_null(secret);
    assert_string_equal(steno_secret_text(secret), "s3cret-text");
    assert_int_equal(steno_secret_bytes(secret), 11);
    assert_masked("s3cret-text", "***");
    assert_true(g_file_set_contents(path, "\n", -1, NULL));
    assert_int_equal(chmod(path, 0600), 0);
    assert_file_refused(path, "empty");
    g_autofree char *large = g_strnfill(STENO_SECRET_FILE_MAX_BYTES + 1, 'x');
    assert_true(g_file_set_contents(path, large, -1, NULL));
    assert_int_equal(chmod(path, 0600), 0);
    assert_file_refused(path, "larger than");
    (void)g_unlink(path);
    (void)g_rmdir(folder);
}

static void secrets_compare_and_count_references(void **state)
{
    (void)state;
    assert_true(steno_secret_equal((const guint8 *)"abcd", (const guint8 *)"abcd", 4));
    assert_false(steno_secret_equal((const guint8 *)"abcd", (const guint8 *)"abce", 4));
    StenoSecret *secret = steno_secret_new("abcd", 4);
    StenoSecret *other = steno_secret_ref(secret);
    steno_secret_unref(secret);
    assert_string_equal(steno_secret_text(other), "abcd");
    steno_secret_unref(other);
    steno_secret_unref(NULL);
}

static void levels_have_names(void **state)
{
    (void)state;
    StenoLogLevel level;
    assert_true(steno_log_level_from_name("debug", &level));
    assert_int_equal(level, STENO_LOG_DEBUG);
    assert_false(steno_log_level_from_name("loud", &level));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(registered_secrets_are_masked),
        cmocka_unit_test(what_looks_secret_is_masked),
        cmocka_unit_test(many_secrets_stay_masked),
        cmocka_unit_test(secret_files_are_read_with_care),
        cmocka_unit_test(secrets_compare_and_count_references),
        cmocka_unit_test(levels_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
