/* Signature Version 4 against published vectors (tests/vectors/sigv4.json), as far as they are S3's rules. */
#include "s3/sign.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>
#include <string.h>

#define PAIRS_MAX 16
#define NORMALIZES "S3 signs the path as it goes out: dots and slashes are part of a key"

/* What does not apply. */
static const struct {
    const char *name, *reason;
} skipped[] = {
    {"get-relative-normalized", NORMALIZES},
    {"get-relative-relative-normalized", NORMALIZES},
    {"get-slash-dot-slash-normalized", NORMALIZES},
    {"get-slash-normalized", NORMALIZES},
    {"get-slash-pointless-dot-normalized", NORMALIZES},
    {"get-slashes-normalized", NORMALIZES},
};
#define CASES_THAT_APPLY 32

typedef struct {
    json_t *file;
    S3Keys keys;
} Vectors;

static int load(void **state)
{
    Vectors *vectors = g_new0(Vectors, 1);
    vectors->file = json_load_file(STENO_TEST_DIR "/vectors/sigv4.json", 0, NULL);
    assert_non_null(vectors->file);
    const char *secret = json_string_value(json_object_get(vectors->file, "secret_access_key"));
    vectors->keys.access_key_id = g_strdup(json_string_value(json_object_get(vectors->file, "access_key_id")));
    vectors->keys.secret_access_key = steno_secret_new(secret, strlen(secret));
    *state = vectors;
    return 0;
}

static int unload(void **state)
{
    Vectors *vectors = *state;
    json_decref(vectors->file);
    g_free(vectors->keys.access_key_id);
    steno_secret_unref(vectors->keys.secret_access_key);
    g_free(vectors);
    return 0;
}

static const char *text(const json_t *object, const char *name)
{
    return json_string_value(json_object_get(object, name));
}

static const char *reason_to_skip(const char *name)
{
    for (guint i = 0; i < G_N_ELEMENTS(skipped); i++)
        if (strcmp(skipped[i].name, name) == 0)
            return skipped[i].reason;
    return NULL;
}

static guint read_pairs(const json_t *list, S3Pair pairs[PAIRS_MAX])
{
    guint n = 0;
    json_t *item;
    size_t i;
    json_array_foreach (list, i, item) {
        assert_in_range(n, 0, PAIRS_MAX - 5);
        pairs[n++] = (S3Pair){json_string_value(json_array_get(item, 0)), json_string_value(json_array_get(item, 1))};
    }
    pairs[n] = (S3Pair){NULL, NULL};
    return n;
}

/* A case as it is signed: by header (with_headers), or by query. */
typedef struct {
    S3ToSign request;
    S3Pair query[PAIRS_MAX], headers[PAIRS_MAX];
    char *path, *hash;
    S3Keys keys;
} Signed;

static void begin(Signed *made, const Vectors *vectors, const json_t *one, gboolean by_header)
{
    const char *token = json_is_true(json_object_get(one, "omit_token")) ? NULL : text(one, "token");
    guint n = read_pairs(json_object_get(one, "headers"), made->headers);
    read_pairs(json_object_get(one, "query"), made->query);
    gboolean body = json_is_true(json_object_get(one, "sign_body"));
    made->hash = g_compute_checksum_for_string(G_CHECKSUM_SHA256, body ? text(one, "body") : "", -1);
    if (by_header) {
        made->headers[n++] = (S3Pair){"X-Amz-Date", "20150830T123600Z"};
        if (token)
            made->headers[n++] = (S3Pair){"X-Amz-Security-Token", token};
        if (body)
            made->headers[n++] = (S3Pair){"x-amz-content-sha256", made->hash};
        made->headers[n] = (S3Pair){NULL, NULL};
    }
    made->path = s3_encode_path(text(one, "path"));
    made->keys = vectors->keys;
    made->keys.session_token = token ? steno_secret_new(token, strlen(token)) : NULL;
    made->request = (S3ToSign){.method = text(one, "method"),
                               .path = made->path,
                               .query = made->query,
                               .headers = made->headers,
                               .payload_sha256_hex = made->hash,
                               .region = text(vectors->file, "region"),
                               .service = text(vectors->file, "service"),
                               .wall_us = json_integer_value(json_object_get(vectors->file, "wall_us"))};
}

static void end(Signed *made)
{
    g_free(made->path);
    g_free(made->hash);
    steno_secret_unref(made->keys.session_token);
}

static void by_header(const Vectors *vectors, const json_t *one)
{
    const json_t *wanted = json_object_get(one, "header");
    Signed made = {0};
    begin(&made, vectors, one, TRUE);
    g_autofree char *canonical = s3_canonical_request(&made.request);
    g_autofree char *to_sign = s3_string_to_sign(&made.request);
    g_autofree char *authorization = s3_sign(&made.request, &made.keys);
    assert_string_equal(canonical, text(wanted, "canonical_request"));
    assert_string_equal(to_sign, text(wanted, "string_to_sign"));
    assert_string_equal(authorization, text(wanted, "authorization"));
    assert_non_null(strstr(authorization, text(wanted, "signature")));
    end(&made);
}

static void by_query(const Vectors *vectors, const json_t *one)
{
    const json_t *wanted = json_object_get(one, "query_signed");
    Signed made = {0};
    begin(&made, vectors, one, FALSE);
    guint expires_s = (guint)json_integer_value(json_object_get(one, "expires_s"));
    g_autofree char *query = s3_presign_query(&made.request, &made.keys, expires_s);
    g_auto(GStrv) lines = g_strsplit(text(wanted, "canonical_request"), "\n", -1);
    g_autofree char *expected = g_strdup_printf("%s&X-Amz-Signature=%s", lines[2], text(wanted, "signature"));
    assert_string_equal(query, expected);
    end(&made);
}

static void vectors_by_header_and_query(void **state)
{
    const Vectors *vectors = *state;
    guint done = 0, left_out = 0;
    json_t *one;
    size_t i;
    json_array_foreach (json_object_get(vectors->file, "cases"), i, one) {
        if (reason_to_skip(text(one, "name"))) {
            print_message("%s: skipped: %s\n", text(one, "name"), reason_to_skip(text(one, "name")));
            left_out++;
            continue;
        }
        print_message("%s\n", text(one, "name"));
        by_header(vectors, one);
        by_query(vectors, one);
        done++;
    }
    assert_int_equal(left_out, G_N_ELEMENTS(skipped));
    assert_int_equal(done, CASES_THAT_APPLY);
}

/* ---- what the vectors do not have -------------------------------------------------------------------------------- */

static void encoding(void **state)
{
    (void)state;
    g_autofree char *all = s3_encode("a/b c+d=e~f-g_h.i*'()!\xc3\xa9%");
    assert_string_equal(all, "a%2Fb%20c%2Bd%3De~f-g_h.i%2A%27%28%29%21%C3%A9%25");
    g_autofree char *path = s3_encode_path("/b//c/../d e/\xff+");
    assert_string_equal(path, "/b//c/../d%20e/%FF%2B");
    const S3Pair query[] = {{"uploads", NULL}, {"a-b", "2"}, {"a", "="}, {"a", "1 &"}, {"A", ""}, {NULL, NULL}};
    g_autofree char *sorted = s3_encode_query(query);
    assert_string_equal(sorted, "A=&a=%3D&a=1%20%26&a-b=2&uploads=");
    g_autofree char *nothing = s3_encode_query(NULL);
    assert_string_equal(nothing, "");
    g_autofree char *date = s3_date(G_GINT64_CONSTANT(1440938160999999));
    assert_string_equal(date, "20150830T123600Z");
}

/* Names of which one begins the other, and headers without a value: what libcurl's signer had wrong. */
static void headers_are_sorted_by_their_whole_name(void **state)
{
    (void)state;
    const S3Pair headers[] = {
        {"x-amz-meta-a-b", "2"}, {"X-Amz-Meta-A", " 1  2 "}, {"host", "h"}, {"x-amz-meta-e", NULL}, {NULL, NULL}};
    const S3ToSign request = {.method = "PUT",
                              .path = "",
                              .headers = headers,
                              .payload_sha256_hex = S3_UNSIGNED_PAYLOAD,
                              .region = "r",
                              .service = "s3"};
    g_autofree char *canonical = s3_canonical_request(&request);
    assert_string_equal(canonical, "PUT\n/\n\nhost:h\nx-amz-meta-a:1 2\nx-amz-meta-a-b:2\nx-amz-meta-e:\n\n"
                                   "host;x-amz-meta-a;x-amz-meta-a-b;x-amz-meta-e\nUNSIGNED-PAYLOAD");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(vectors_by_header_and_query, load, unload),
                                       cmocka_unit_test(encoding),
                                       cmocka_unit_test(headers_are_sorted_by_their_whole_name)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
