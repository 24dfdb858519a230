/* Signed once, and the same signature ever after; a timestamp is asked for, and missed or waited for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "seal.h"
#include "steno/base/error.h"

#include <glib/gstdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    char *base, *manifest, *signature;
    StenoSigner *signer;
} Desk;

static int set_up(void **state)
{
    Desk *desk = g_new0(Desk, 1);
    desk->base = g_dir_make_tmp("steno-XXXXXX", NULL);
    desk->manifest = g_build_filename(desk->base, "manifest.json", NULL);
    desk->signature = g_strconcat(desk->manifest, ".sig", NULL);
    g_autofree char *key = g_build_filename(desk->base, "key.pem", NULL);
    desk->signer = steno_signer_load_or_make(key, NULL, NULL);
    assert_non_null(desk->signer);
    assert_true(g_file_set_contents(desk->manifest, "{}", -1, NULL));
    *state = desk;
    return 0;
}

static int tear_down(void **state)
{
    Desk *desk = *state;
    g_autofree char *command = g_strdup_printf("rm -rf '%s'", desk->base);
    assert_int_equal(system(command), 0);
    steno_signer_unref(desk->signer);
    g_free(desk->base);
    g_free(desk->manifest);
    g_free(desk->signature);
    g_free(desk);
    return 0;
}

static char *signature_of(const Desk *desk)
{
    gsize bytes;
    char *text;
    assert_true(g_file_get_contents(desk->signature, &text, &bytes, NULL));
    assert_int_equal(bytes, STENO_PROOF_SIGNATURE_BYTES);
    char *hex = g_compute_checksum_for_data(G_CHECKSUM_SHA256, (const guchar *)text, bytes);
    g_free(text);
    return hex;
}

static void a_signature_that_holds_is_kept(void **state)
{
    const Desk *desk = *state;
    const Sealing sealing = {.signer = desk->signer};
    gboolean stamped = TRUE;
    GStatBuf first, second;
    assert_true(job_seal(desk->manifest, &sealing, NULL, &stamped, NULL, NULL));
    assert_false(stamped);
    g_autofree char *before = signature_of(desk);
    assert_int_equal(g_stat(desk->signature, &first), 0);
    assert_true(job_seal(desk->manifest, &sealing, NULL, &stamped, NULL, NULL));
    assert_int_equal(g_stat(desk->signature, &second), 0);
    assert_int_equal(first.st_ino, second.st_ino); /* not written again */
    /* Of another manifest, or half of one, it is made anew. */
    assert_true(g_file_set_contents(desk->signature, "half", -1, NULL));
    assert_true(job_seal(desk->manifest, &sealing, NULL, &stamped, NULL, NULL));
    g_autofree char *again = signature_of(desk);
    assert_string_equal(before, again);
    assert_true(g_file_set_contents(desk->manifest, "{\"another\":1}", -1, NULL));
    assert_true(job_seal(desk->manifest, &sealing, NULL, &stamped, NULL, NULL));
    g_autofree char *other = signature_of(desk);
    assert_string_not_equal(before, other);
}

static void without_a_signer_there_is_nothing(void **state)
{
    const Desk *desk = *state;
    const StenoTimestampAuthority nobody = {.url = "http://127.0.0.1:9/"};
    const Sealing sealing = {.timestamps = &nobody, .required = TRUE};
    gboolean stamped = TRUE;
    assert_true(job_seal(desk->manifest, &sealing, NULL, &stamped, NULL, NULL));
    assert_false(stamped);
    assert_false(g_file_test(desk->signature, G_FILE_TEST_EXISTS));
}

static void a_timestamp_may_be_missing_unless_it_is_required(void **state)
{
    const Desk *desk = *state;
    const StenoTimestampAuthority nobody = {.url = "http://127.0.0.1:9/"};
    Sealing sealing = {.signer = desk->signer, .timestamps = &nobody};
    gboolean stamped = TRUE;
    g_autoptr(GError) unstamped = NULL, error = NULL;
    assert_true(job_seal(desk->manifest, &sealing, NULL, &stamped, &unstamped, &error));
    assert_false(stamped);
    assert_true(g_error_matches(unstamped, STENO_ERROR, STENO_ERROR_UNREACHABLE));
    g_clear_error(&unstamped);
    sealing.required = TRUE;
    assert_false(job_seal(desk->manifest, &sealing, NULL, &stamped, &unstamped, &error));
    assert_true(g_error_matches(error, STENO_ERROR, STENO_ERROR_UNREACHABLE));
    assert_non_null(unstamped);
}

static void what_was_cancelled_is_told_so(void **state)
{
    const Desk *desk = *state;
    const StenoTimestampAuthority nobody = {.url = "http://127.0.0.1:9/"};
    const Sealing sealing = {.signer = desk->signer, .timestamps = &nobody, .required = TRUE};
    GCancellable *cancellable = g_cancellable_new();
    gboolean stamped = TRUE;
    g_autoptr(GError) unstamped = NULL, error = NULL;
    g_cancellable_cancel(cancellable);
    assert_false(job_seal(desk->manifest, &sealing, cancellable, &stamped, &unstamped, &error));
    assert_true(g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED));
    g_object_unref(cancellable);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_signature_that_holds_is_kept),
        TEST(without_a_signer_there_is_nothing),
        TEST(a_timestamp_may_be_missing_unless_it_is_required),
        TEST(what_was_cancelled_is_told_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
