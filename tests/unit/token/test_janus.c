/* Janus tokens against signatures made by `openssl dgst -sha1 -hmac SECRET -binary | base64`. */
#include "steno/base/error.h"
#include "steno/token.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#define KEY_100 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"

static const struct {
    const char *secret, *realm;
    const char *descriptors[4];
    gint64 expires_s;
    const char *token;
} known[] = {
    {"supersecret",
     "janus",
     {"janus.plugin.videoroom"},
     1735689600,
     "1735689600,janus,janus.plugin.videoroom:zrysHqzPpbiA+DC7FyQXHQ9seus="},
    {"k",
     "janus.plugin.videoroom",
     {"room=1234"},
     2000000000,
     "2000000000,janus.plugin.videoroom,room=1234:FgNRthtjaOBN7zQ1LKMeunYML0U="},
    /* A key longer than SHA-1's block is hashed first (RFC 2104). */
    {KEY_100, "a", {"b", "c", "d"}, 1, "1,a,b,c,d:e3YiKFJXhKvNroanse/XwOKM9Nc="},
};

static StenoSecret *secret_of(const char *text)
{
    return steno_secret_new(text, strlen(text));
}

static void mints_known_answers(void **state)
{
    (void)state;
    for (guint i = 0; i < G_N_ELEMENTS(known); i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(StenoSecret) secret = secret_of(known[i].secret);
        g_autoptr(StenoSecret) token =
            steno_token_mint_janus(secret, known[i].realm, known[i].descriptors, known[i].expires_s, &error);
        assert_null(error);
        assert_string_equal(steno_secret_text(token), known[i].token);
        assert_int_equal(steno_token_janus_expiry(known[i].token), known[i].expires_s);
        assert_true(steno_token_verify_janus(secret, known[i].token, known[i].realm, known[i].descriptors,
                                             known[i].expires_s, &error));
    }
}

static void refuses_to_mint_separators(void **state)
{
    (void)state;
    g_autoptr(StenoSecret) secret = secret_of("s");
    static const char *const bad[] = {"", "a,b", "a:b", ",", ":"};
    for (guint i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) realm_error = NULL, descriptor_error = NULL;
        assert_null(steno_token_mint_janus(secret, bad[i], NULL, 1, &realm_error));
        assert_true(g_error_matches(realm_error, STENO_ERROR, STENO_ERROR_USAGE));
        const char *descriptors[] = {"room=1", bad[i], NULL};
        assert_null(steno_token_mint_janus(secret, "janus", descriptors, 1, &descriptor_error));
        assert_true(g_error_matches(descriptor_error, STENO_ERROR, STENO_ERROR_USAGE));
    }
}

static void keeps_its_ceilings(void **state)
{
    (void)state;
    g_autoptr(StenoSecret) secret = secret_of("s");
    const char *many[STENO_TOKEN_DESCRIPTORS_MAX + 2] = {NULL};
    for (guint i = 0; i < STENO_TOKEN_DESCRIPTORS_MAX; i++)
        many[i] = "d";
    g_autoptr(GError) error = NULL;
    g_autoptr(StenoSecret) token = steno_token_mint_janus(secret, "janus", many, 10, &error);
    assert_non_null(token);
    assert_true(steno_token_verify_janus(secret, steno_secret_text(token), "janus", many, 10, &error));
    many[STENO_TOKEN_DESCRIPTORS_MAX] = "d";
    assert_null(steno_token_mint_janus(secret, "janus", many, 10, &error));
    assert_true(g_error_matches(error, STENO_ERROR, STENO_ERROR_USAGE));

    g_autofree char *longest = g_strnfill(STENO_TOKEN_MAX_BYTES, 'r');
    g_autoptr(GError) long_error = NULL;
    assert_null(steno_token_mint_janus(secret, longest, NULL, 10, &long_error));
    assert_true(g_error_matches(long_error, STENO_ERROR, STENO_ERROR_USAGE));
    g_autoptr(GError) zero_error = NULL;
    assert_null(steno_token_mint_janus(secret, "janus", NULL, 0, &zero_error));
}

static void tells_no_expiry_of_opaque_tokens(void **state)
{
    (void)state;
    static const char *const opaque[] = {"",
                                         "a1b2c3d4",
                                         "janus:abc",
                                         "123:abc=",
                                         "12,janus",
                                         "12,janus:",
                                         "12,janus:a:b",
                                         "-5,janus:abcd",
                                         "1234567890123456789,janus:abcd",
                                         "x12,janus:abcd"};
    for (guint i = 0; i < G_N_ELEMENTS(opaque); i++)
        assert_int_equal(steno_token_janus_expiry(opaque[i]), -1);
    assert_int_equal(steno_token_janus_expiry(NULL), -1);
}

static void expect_refused(const char *secret_text, const char *token, const char *realm, const char *descriptor,
                           gint64 now_s, StenoError code)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(StenoSecret) secret = secret_of(secret_text);
    const char *descriptors[] = {descriptor, NULL};
    assert_false(steno_token_verify_janus(secret, token, realm, descriptors, now_s, &error));
    assert_true(g_error_matches(error, STENO_ERROR, code));
    /* What leaves the process must not hold the signature. */
    assert_null(strstr(error->message, "zrysHqz"));
}

static void refuses_what_does_not_hold(void **state)
{
    (void)state;
    const char *good = known[0].token, *plugin = "janus.plugin.videoroom";
    expect_refused("supersecret", good, "janus", plugin, 1735689601, STENO_ERROR_TOKEN_EXPIRED);
    expect_refused("supersecreT", good, "janus", plugin, 1, STENO_ERROR_TOKEN_REFUSED);
    expect_refused("supersecret", good, "other", plugin, 1, STENO_ERROR_TOKEN_REFUSED);
    expect_refused("supersecret", good, "janus", "room=1", 1, STENO_ERROR_TOKEN_REFUSED);
    expect_refused("supersecret", "nonsense", "janus", plugin, 1, STENO_ERROR_TOKEN_REFUSED);
    /* A later expiry under the old signature, a cut signature, a longer one. */
    expect_refused("supersecret", "1735689601,janus,janus.plugin.videoroom:zrysHqzPpbiA+DC7FyQXHQ9seus=", "janus",
                   plugin, 1, STENO_ERROR_TOKEN_REFUSED);
    expect_refused("supersecret", "1735689600,janus,janus.plugin.videoroom:zrysHqzPpbiA+DC7FyQXHQ9seus", "janus",
                   plugin, 1, STENO_ERROR_TOKEN_REFUSED);
    expect_refused("supersecret", "1735689600,janus,janus.plugin.videoroom:zrysHqzPpbiA+DC7FyQXHQ9seus==", "janus",
                   plugin, 1, STENO_ERROR_TOKEN_REFUSED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mints_known_answers),        cmocka_unit_test(refuses_to_mint_separators),
        cmocka_unit_test(keeps_its_ceilings),         cmocka_unit_test(tells_no_expiry_of_opaque_tokens),
        cmocka_unit_test(refuses_what_does_not_hold),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
