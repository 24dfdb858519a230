/* Timestamps of a real authority (openssl ts), and of ones that are not honest. */
#include "authority.h"
#include "shell.h"

#include "steno/base/clock.h"
#include "steno/base/error.h"
#include "steno/proof.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <glib/gstdio.h>
#include <string.h>

typedef struct {
    char *folder, *ca, *other_ca, *manifest, *stamp_path;
    Authority *authority;
} Fixture;

static int setup(void **state)
{
    Fixture *f = g_new0(Fixture, 1);
    f->folder = folder_new();
    f->authority = authority_start(f->folder);
    f->ca = in_folder(f->folder, "ca.pem");
    f->other_ca = in_folder(f->folder, "other_ca.pem");
    f->manifest = in_folder(f->folder, "manifest.json");
    f->stamp_path = in_folder(f->folder, "manifest.json.tsr");
    *state = f;
    return f->authority && g_file_set_contents(f->manifest, "{}\n", -1, NULL) ? 0 : -1;
}

static int teardown(void **state)
{
    Fixture *f = *state;
    authority_stop(f->authority);
    folder_free(f->folder);
    g_free(f->ca);
    g_free(f->other_ca);
    g_free(f->manifest);
    g_free(f->stamp_path);
    g_free(f);
    return 0;
}

/* Each test has files of its own. */
static void sign(Fixture *f)
{
    g_autofree char *key = in_folder(f->folder, "key.pem");
    g_autoptr(GError) error = NULL;
    g_autoptr(StenoSigner) signer = steno_signer_load_or_make(key, NULL, &error);
    assert_null(error);
    assert_true(steno_signer_sign(signer, f->manifest, &error));
    (void)g_unlink(f->stamp_path);
    authority_mood(f->authority, AUTHORITY_HONEST);
}

static GBytes *contents(const char *path)
{
    char *data = NULL;
    gsize bytes = 0;
    assert_true(g_file_get_contents(path, &data, &bytes, NULL));
    return g_bytes_new_take(data, bytes);
}

static gboolean judge(const char *ca, GBytes *data, GBytes *stamp, gint64 *at_us, GError **error)
{
    gsize data_bytes = 0, stamp_bytes = 0;
    const guint8 *d = g_bytes_get_data(data, &data_bytes), *s = g_bytes_get_data(stamp, &stamp_bytes);
    return steno_timestamp_verify(ca, d, data_bytes, s, stamp_bytes, at_us, error);
}

static void fetch_fails(Fixture *f, const char *ca, StenoError code, const char *words)
{
    StenoTimestampAuthority authority = {authority_url(f->authority), ca};
    g_autoptr(GError) error = NULL;
    assert_false(steno_timestamp_fetch(&authority, f->manifest, &error));
    if (!g_error_matches(error, STENO_ERROR, (gint)code) || !strstr(error->message, words))
        fail_msg("%d, not %d: '%s' (wanted: '%s')", error->code, (int)code, error->message, words);
    assert_null(strstr(error->message, "password"));
    assert_null(strstr(error->message, "SECRET"));
    assert_false(g_file_test(f->stamp_path, G_FILE_TEST_EXISTS));
}

static void honest(void **state)
{
    Fixture *f = *state;
    sign(f);
    gint64 before_us = steno_clock_wall_us();
    for (int with_ca = 0; with_ca < 2; with_ca++) {
        StenoTimestampAuthority authority = {authority_url(f->authority), with_ca ? f->ca : NULL};
        g_autoptr(GError) error = NULL;
        assert_true(steno_timestamp_fetch(&authority, f->manifest, &error));
        assert_true(
            shell(f->folder, "openssl ts -verify -data manifest.json.sig -in manifest.json.tsr -CAfile ca.pem"));
        g_autofree char *signature_path = g_strconcat(f->manifest, ".sig", NULL);
        g_autoptr(GBytes) signature = contents(signature_path), stamp = contents(f->stamp_path);
        gint64 at_us = 0;
        assert_true(judge(with_ca ? f->ca : NULL, signature, stamp, &at_us, &error));
        assert_in_range(at_us, before_us - 2 * G_USEC_PER_SEC, steno_clock_wall_us() + 2 * G_USEC_PER_SEC);
        assert_false(judge(f->other_ca, signature, stamp, &at_us, &error));
        assert_true(g_error_matches(error, STENO_ERROR, STENO_ERROR_SIGNATURE));
        g_clear_error(&error);
        assert_false(judge("/nonexistent", signature, stamp, &at_us, &error));
        assert_true(g_error_matches(error, STENO_ERROR, STENO_ERROR_CONFIG));
        g_clear_error(&error);
        g_autoptr(GBytes) other = g_bytes_new("other", 5);
        assert_false(judge(NULL, other, stamp, &at_us, &error));
        assert_true(g_error_matches(error, STENO_ERROR, STENO_ERROR_SIGNATURE));
    }
}

/* Not one bit of what is signed may change unseen, with the authority's certificate known or not. */
static void every_bit_counts(void **state)
{
    Fixture *f = *state;
    sign(f);
    StenoTimestampAuthority authority = {authority_url(f->authority), f->ca};
    g_autoptr(GError) error = NULL;
    assert_true(steno_timestamp_fetch(&authority, f->manifest, &error));
    g_autofree char *signature_path = g_strconcat(f->manifest, ".sig", NULL);
    g_autoptr(GBytes) signature = contents(signature_path), stamp = contents(f->stamp_path);
    gsize bytes = 0;
    const guint8 *data = g_bytes_get_data(stamp, &bytes);
    gint64 genuine_us = 0;
    assert_true(judge(f->ca, signature, stamp, &genuine_us, &error));
    for (gsize at = 0; at < bytes; at++) {
        g_autofree guint8 *copy = g_memdup2(data, bytes);
        copy[at] ^= (guint8)(1 << at % 8);
        g_autoptr(GBytes) flipped = g_bytes_new(copy, bytes);
        gint64 at_us = 0;
        /* What it still takes says the same: the status' encoding and unsigned certificates are nobody's statement. */
        if (judge(f->ca, signature, flipped, &at_us, NULL))
            assert_int_equal(at_us, genuine_us);
    }
    for (gsize cut = 0; cut < bytes; cut += 7) {
        g_autoptr(GBytes) part = g_bytes_new(data, cut);
        gint64 at_us = 0;
        assert_false(judge(NULL, signature, part, &at_us, NULL));
    }
}

static void dishonest(void **state)
{
    Fixture *f = *state;
    sign(f);
    StenoTimestampAuthority authority = {authority_url(f->authority), NULL};
    g_autoptr(GError) error = NULL;
    assert_true(steno_timestamp_fetch(&authority, f->manifest, &error)); /* whose answer OTHER_QUERY says again */
    assert_int_equal(g_unlink(f->stamp_path), 0);
    const struct {
        AuthorityMood mood;
        StenoError code;
        const char *words;
    } rows[] = {
        {AUTHORITY_OTHER_QUERY, STENO_ERROR_SIGNATURE, "nonce"},
        {AUTHORITY_OTHER_NONCE, STENO_ERROR_SIGNATURE, "nonce"},
        {AUTHORITY_REFUSES, STENO_ERROR_SIGNATURE, "made no stamp"},
        {AUTHORITY_FLIPPED, STENO_ERROR_SIGNATURE, "signature is wrong"},
        {AUTHORITY_LARGE, STENO_ERROR_SIGNATURE, "more than 65536 bytes"},
        {AUTHORITY_HTML, STENO_ERROR_SIGNATURE, "no timestamp"},
        {AUTHORITY_MOVED, STENO_ERROR_SIGNATURE, "302"},
        {AUTHORITY_BUSY, STENO_ERROR_UNREACHABLE, "503"},
        {AUTHORITY_CUT, STENO_ERROR_UNREACHABLE, "timestamp authority"},
    };
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        guint before = authority_queries(f->authority);
        authority_mood(f->authority, rows[i].mood);
        fetch_fails(f, NULL, rows[i].code, rows[i].words);
        assert_int_equal(authority_queries(f->authority), before + 1); /* no redirect is followed */
    }
    authority_mood(f->authority, AUTHORITY_HONEST);
    fetch_fails(f, f->other_ca, STENO_ERROR_SIGNATURE, "trusted");
}

static void nobody_there(void **state)
{
    Fixture *f = *state;
    sign(f);
    const struct {
        const char *url;
        StenoError code;
    } rows[] = {{"http://127.0.0.1:1/", STENO_ERROR_UNREACHABLE},
                {"file:///etc/passwd", STENO_ERROR_UNREACHABLE},
                {"not an address", STENO_ERROR_UNREACHABLE}};
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        StenoTimestampAuthority authority = {rows[i].url, NULL};
        g_autoptr(GError) error = NULL;
        assert_false(steno_timestamp_fetch(&authority, f->manifest, &error));
        assert_true(g_error_matches(error, STENO_ERROR, (gint)rows[i].code));
    }
    g_autofree char *unsigned_path = in_folder(f->folder, "unsigned");
    StenoTimestampAuthority authority = {authority_url(f->authority), NULL};
    g_autoptr(GError) error = NULL;
    assert_false(steno_timestamp_fetch(&authority, unsigned_path, &error));
    assert_true(steno_error_is_storage(error));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(honest),
        cmocka_unit_test(every_bit_counts),
        cmocka_unit_test(dishonest),
        cmocka_unit_test(nobody_there),
    };
    return cmocka_run_group_tests_name("proof_timestamp", tests, setup, teardown);
}
