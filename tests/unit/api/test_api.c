/* What is pure: heads, chunks, targets, routes, credentials, limits, bodies, ranges, problems. */
#include "auth.h"
#include "body.h"
#include "certificate.h"
#include "http.h"
#include "limit.h"
#include "problem.h"
#include "range.h"
#include "routes.h"
#include "target.h"

#include "steno/base/error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/* ---- http -------------------------------------------------------------------------------------------------------- */

static HttpResult read_head(const char *text, HttpHead *head, HttpFault *fault)
{
    gsize used = 0;
    HttpResult result = http_head_read(text, strlen(text), &used, head, fault);
    if (result == HTTP_DONE)
        assert_int_equal(used, strlen(text));
    return result;
}

static void test_heads(void **state)
{
    (void)state;
    HttpHead head;
    HttpFault fault;
    const char *good =
        "\r\nPOST /v1/recordings?a=b HTTP/1.1\r\nhost: x\r\nContent-LENGTH: 17\r\nExpect: 100-Continue\r\n"
        "If-None-Match: \"a\"\r\nIf-None-Match: \"b\"\r\nUnknown: \xff\r\n\r\n";
    assert_int_equal(read_head(good, &head, &fault), HTTP_DONE);
    assert_string_equal(head.method, "POST");
    assert_string_equal(head.target, "/v1/recordings?a=b");
    assert_string_equal(head.fields[HTTP_IF_NONE_MATCH], "\"a\", \"b\"");
    assert_int_equal(head.length, 17);
    assert_true(head.keep_alive && head.expect_continue && !head.chunked);
    http_head_clear(&head);
    /* Every beginning of it is only a beginning. */
    for (gsize i = 0; i < strlen(good); i++) {
        gsize used;
        assert_int_equal(http_head_read(good, i, &used, &head, &fault), HTTP_MORE);
    }
    assert_int_equal(read_head("GET / HTTP/1.0\r\n\r\n", &head, &fault), HTTP_DONE);
    assert_false(head.keep_alive);
    assert_int_equal(head.length, -1);
    http_head_clear(&head);
}

static void test_chunks(void **state)
{
    (void)state;
    const char *text = "3\r\nabc\r\n00a;x=\"y\"\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\nnext";
    /* In pieces of every size. */
    for (gsize piece = 1; piece <= strlen(text); piece++) {
        HttpChunks chunks = {0};
        HttpFault fault;
        g_autoptr(GString) body = g_string_new(NULL);
        HttpResult result = HTTP_MORE;
        gsize at = 0, used = 0;
        while (result == HTTP_MORE && at < strlen(text)) {
            result = http_chunks_read(&chunks, text + at, MIN(piece, strlen(text) - at), &used, body, 13, &fault);
            at += used;
        }
        assert_int_equal(result, HTTP_DONE);
        assert_string_equal(body->str, "abc0123456789");
        assert_string_equal(text + at, "next");
    }
    static const struct {
        const char *text;
        int status;
    } bad[] = {{"3\nabc\r\n", 400},    {"-3\r\n", 400},        {"\r\n", 400},
               {"3 \r\nabc", 400},     {"3\r\nabcd\r\n", 400}, {"0x3\r\n", 400},
               {"123456789\r\n", 400}, {"ffffffff\r\n", 413},  {"d\r\n0123456789012\r\n1\r\n", 413}};
    for (gsize i = 0; i < G_N_ELEMENTS(bad); i++) {
        HttpChunks chunks = {0};
        HttpFault fault;
        gsize used;
        g_autoptr(GString) body = g_string_new(NULL);
        assert_int_equal(http_chunks_read(&chunks, bad[i].text, strlen(bad[i].text), &used, body, 13, &fault),
                         HTTP_BAD);
        assert_int_equal(fault.status, bad[i].status);
        assert_true(body->len <= 13);
    }
}

/* ---- target, routes ---------------------------------------------------------------------------------------------- */

static void test_targets(void **state)
{
    (void)state;
    Target target;
    assert_true(target_read("/v1/a%20b+c/%C3%BC?x=1+2%263&y", &target, NULL));
    assert_string_equal(target.path, "/v1/a%20b+c/%C3%BC");
    assert_string_equal(target.segments[1], "a b+c");
    assert_string_equal(target.segments[2], "ü");
    assert_null(target.segments[3]);
    assert_string_equal(json_string_value(json_object_get(target.query, "x")), "1 2&3");
    assert_string_equal(json_string_value(json_object_get(target.query, "y")), "");
    target_clear(&target);
    static const struct {
        const char *text;
        StenoError code;
    } bad[] = {{"/a/../b", STENO_ERROR_NOT_FOUND}, {"/a//b", STENO_ERROR_NOT_FOUND},  {"/a/%2e", STENO_ERROR_NOT_FOUND},
               {"/a/", STENO_ERROR_NOT_FOUND},     {"*", STENO_ERROR_NOT_FOUND},      {"/a%2Fb", STENO_ERROR_USAGE},
               {"/a%00", STENO_ERROR_USAGE},       {"/%", STENO_ERROR_USAGE},         {"/%g0", STENO_ERROR_USAGE},
               {"/%ff", STENO_ERROR_USAGE},        {"/a?b=1&b=2", STENO_ERROR_USAGE}, {"/a?=", STENO_ERROR_USAGE}};
    for (gsize i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) error = NULL;
        assert_false(target_read(bad[i].text, &target, &error));
        assert_true(g_error_matches(error, STENO_ERROR, (int)bad[i].code));
        target_clear(&target);
    }
}

/* Every row of commands.def is found by its own method and path, and by no other. */
static void test_routes(void **state)
{
    (void)state;
    static const char *const paths[] = {
#define STENO_COMMAND(name, action, role, audited, method, path, words) method " " path,
#include "steno/commands.def"
#undef STENO_COMMAND
    };
    for (guint i = 0; i < G_N_ELEMENTS(paths); i++) {
        g_auto(GStrv) parts = g_strsplit(paths[i], " ", 2);
        if (!parts[1][0])
            continue;
        g_auto(GStrv) segments = g_strsplit(parts[1] + 1, "/", -1);
        json_t *arguments = json_object();
        RouteMatch match;
        routes_match(parts[0], segments, arguments, &match);
        assert_int_equal(match.route, i);
        assert_non_null(strstr(match.allow, parts[0]));
        assert_int_equal(json_object_size(arguments),
                         (strchr(parts[1], '{') != NULL) + (strstr(parts[1], "files/{") != NULL));
        g_free(match.allow);
        routes_match("PUT", segments, NULL, &match);
        assert_int_equal(match.route, ROUTE_NONE);
        assert_non_null(match.allow);
        g_free(match.allow);
        g_autofree char *longer_path = g_strconcat(parts[1] + 1, "/x/y/z", NULL);
        g_auto(GStrv) longer = g_strsplit(longer_path, "/", -1);
        routes_match(parts[0], longer, NULL, &match);
        assert_null(match.allow);
        json_decref(arguments);
    }
}

/* ---- who, how often ---------------------------------------------------------------------------------------------- */

static void test_credentials(void **state)
{
    (void)state;
    char *id, *secret;
    assert_true(auth_read_header("basic a2V5XzE6YTpi", &id, &secret));
    assert_string_equal(id, "key_1");
    assert_string_equal(secret, "a:b");
    g_free(id);
    auth_wipe(secret);
    assert_true(auth_read_header("Bearer key_1.a.b", &id, &secret));
    assert_string_equal(secret, "a.b");
    g_free(id);
    auth_wipe(secret);
    static const char *const bad[] = {
        "",       "Basic",     "Basic ",        "Basic a2V5", "Basic a2V5XzE6YQ=", "Basic !!!!",
        "Bearer", "Bearer .x", "Bearer no-dot", "Token x.y",  "Basic Og=="};
    for (gsize i = 0; i < G_N_ELEMENTS(bad); i++)
        assert_false(auth_read_header(bad[i], &id, &secret));
}

static void test_keys(void **state)
{
    (void)state;
    g_autoptr(GPtrArray) rows = g_ptr_array_new();
    StenoJournalKey good = {.id = (char *)"a", .app = (char *)"clinic", .role = (char *)"operator"}, revoked = good,
                    odd = good;
    g_autofree char *hex = g_compute_checksum_for_string(G_CHECKSUM_SHA256, "secret", -1);
    memcpy(good.sha256_hex, hex, 65);
    revoked = good;
    revoked.id = (char *)"b";
    revoked.revoked_us = 1;
    odd = good;
    odd.id = (char *)"c";
    odd.role = (char *)"king";
    g_ptr_array_add(rows, &good);
    g_ptr_array_add(rows, &revoked);
    g_ptr_array_add(rows, &odd);
    AuthKeys *keys = auth_keys_new(rows);
    AuthKey key;
    assert_true(auth_check(keys, "a", "secret", &key));
    assert_string_equal(key.app, "clinic");
    assert_int_equal(key.role, STENO_ROLE_OPERATOR);
    assert_false(auth_check(keys, "a", "secrets", &key));
    assert_false(auth_check(keys, "a", "", &key));
    assert_false(auth_check(keys, "b", "secret", &key));
    assert_false(auth_check(keys, "c", "secret", &key));
    assert_false(auth_check(keys, "d", "secret", &key));
    assert_false(auth_check(NULL, "a", "secret", &key));
    assert_true(auth_key_lives(keys, "a") && !auth_key_lives(keys, "b") && !auth_key_lives(keys, "d"));
    auth_keys_free(keys);
}

static void test_limits(void **state)
{
    (void)state;
    LimitTable *table = limit_new(10, 20, 3);
    LimitState limit;
    for (int i = 0; i < 20; i++) {
        limit_take(table, "a", 1000000, &limit);
        assert_true(limit.allowed);
        assert_int_equal(limit.remaining, 19 - i);
    }
    limit_take(table, "a", 1000000, &limit);
    assert_false(limit.allowed);
    assert_int_equal(limit.retry_after_s, 1);
    assert_int_equal(limit.reset_s, 2);
    limit_take(table, "a", 1099999, &limit);
    assert_false(limit.allowed);
    limit_take(table, "a", 1100001, &limit);
    assert_true(limit.allowed);
    limit_take(table, "a", G_USEC_PER_SEC * 1000, &limit);
    assert_int_equal(limit.remaining, 19);
    /* The table is bounded; who is forgotten is the one that was not asked for longest. */
    limit_take(table, "b", G_USEC_PER_SEC * 1000, &limit);
    limit_take(table, "c", G_USEC_PER_SEC * 1000, &limit);
    limit_take(table, "a", G_USEC_PER_SEC * 1000, &limit);
    limit_take(table, "d", G_USEC_PER_SEC * 1000, &limit);
    assert_int_equal(limit_count(table), 3);
    limit_take(table, "a", G_USEC_PER_SEC * 1000, &limit);
    assert_int_equal(limit.remaining, 17);
    limit_take(table, "b", G_USEC_PER_SEC * 1000, &limit);
    assert_int_equal(limit.remaining, 19);
    limit_free(table);
    g_autofree char *six = limit_address_name("2001:db8:1:2:3:4:5:6"), *four = limit_address_name("192.0.2.7");
    assert_string_equal(six, "2001:db8:1:2::");
    assert_string_equal(four, "192.0.2.7");
}

/* ---- bodies, ranges, problems, the certificate ------------------------------------------------------------------- */

static void test_depth(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        gboolean good;
    } bodies[] = {{"[[[]]]", TRUE},        {"[[[[]]]]", FALSE}, {"[[[\"[[[\"]]]", TRUE},
                  {"[\"\\\"[[[\"]", TRUE}, {"]]][[[", TRUE},    {"{\"a\":{\"b\":[{", FALSE}};
    for (gsize i = 0; i < G_N_ELEMENTS(bodies); i++)
        assert_int_equal(body_depth_ok(bodies[i].text, strlen(bodies[i].text), 3), bodies[i].good);
    g_autoptr(GError) error = NULL;
    assert_null(body_read("{\"secret-word\" 1}", 17, &error));
    assert_null(strstr(error->message, "secret-word"));
}

static void test_ranges(void **state)
{
    (void)state;
    gint64 offset = -1, bytes = -1;
    assert_int_equal(range_read("bytes=0-", 10, &offset, &bytes), RANGE_PART);
    assert_true(offset == 0 && bytes == 10);
    assert_int_equal(range_read("bytes=-3", 10, &offset, &bytes), RANGE_PART);
    assert_true(offset == 7 && bytes == 3);
    assert_int_equal(range_read("bytes=3-100", 10, &offset, &bytes), RANGE_PART);
    assert_true(offset == 3 && bytes == 7);
    assert_int_equal(range_read("bytes=10-", 10, &offset, &bytes), RANGE_UNSATISFIABLE);
    assert_int_equal(range_read("bytes=0-0", 0, &offset, &bytes), RANGE_UNSATISFIABLE);
    assert_int_equal(range_read("bytes=-1", 0, &offset, &bytes), RANGE_UNSATISFIABLE);
    assert_int_equal(range_read("bytes=1-2,3-4", 10, &offset, &bytes), RANGE_WHOLE);
    assert_int_equal(range_read(NULL, 10, &offset, &bytes), RANGE_WHOLE);
    g_autofree char *name = range_disposition("../a\"b\r\nü;.mkv");
    assert_string_equal(name, "attachment; filename=\"a_b_____.mkv\"; filename*=UTF-8''a%22b%0D%0A%C3%BC%3B.mkv");
}

static void test_problems(void **state)
{
    (void)state;
    static const struct {
        StenoError code;
        const char *message, *kind, *name;
    } errors[] = {{STENO_ERROR_USAGE, "/a b/0: is wrong", "pointer", "/a b/0"},
                  {STENO_ERROR_USAGE, ": must be an object", "pointer", ""},
                  {STENO_ERROR_USAGE, "?page_size: is wrong", "parameter", "page_size"},
                  {STENO_ERROR_USAGE, "the body is missing", NULL, NULL},
                  {STENO_ERROR_STORAGE_FAILED, "/srv: cannot be read", NULL, NULL}};
    for (gsize i = 0; i < G_N_ELEMENTS(errors); i++) {
        int status;
        g_autoptr(GError) error = g_error_new_literal(STENO_ERROR, (int)errors[i].code, errors[i].message);
        json_t *problem = problem_of_error(error, "/x", NULL, &status);
        json_t *one = json_array_get(json_object_get(problem, "errors"), 0);
        assert_int_equal(one != NULL, errors[i].kind != NULL);
        if (one)
            assert_string_equal(json_string_value(json_object_get(one, errors[i].kind)), errors[i].name);
        assert_int_equal(json_integer_value(json_object_get(problem, "status")), status);
        json_decref(problem);
    }
    /* What is not of the house is a fault of ours, and does not overwrite members. */
    int status;
    g_autoptr(GError) foreign = g_error_new_literal(G_FILE_ERROR, 1, "x");
    json_t *more = json_pack("{ss,ss}", "status", "mine", "recording", "y");
    json_t *problem = problem_of_error(foreign, NULL, more, &status);
    assert_int_equal(status, 500);
    assert_int_equal(json_integer_value(json_object_get(problem, "status")), 500);
    assert_string_equal(json_string_value(json_object_get(problem, "recording")), "y");
    json_decref(more);
    json_decref(problem);
}

static void test_certificate(void **state)
{
    (void)state;
    g_autofree char *folder = g_dir_make_tmp("steno-api-XXXXXX", NULL);
    g_autofree char *tls = g_build_filename(folder, "tls", NULL);
    g_autofree char *certificate = NULL, *key = NULL, *before = NULL, *after = NULL;
    gboolean made;
    assert_true(certificate_find(tls, &certificate, &key, &made, NULL) && made);
    g_assert_true(g_file_get_contents(key, &before, NULL, NULL));
    g_clear_pointer(&certificate, g_free);
    g_clear_pointer(&key, g_free);
    assert_true(certificate_find(tls, &certificate, &key, &made, NULL) && !made);
    /* Damaged: made anew. */
    assert_true(g_file_set_contents(certificate, "x", 1, NULL));
    g_clear_pointer(&certificate, g_free);
    g_clear_pointer(&key, g_free);
    assert_true(certificate_find(tls, &certificate, &key, &made, NULL) && made);
    g_assert_true(g_file_get_contents(key, &after, NULL, NULL));
    assert_string_not_equal(before, after);
    /* Where nothing can be written it says so. */
    g_autoptr(GError) error = NULL;
    g_autofree char *no_certificate = NULL, *no_key = NULL;
    assert_false(certificate_find("/proc/none/tls", &no_certificate, &no_key, &made, &error));
    assert_non_null(strstr(error->message, "/proc/none/tls"));
    g_autofree char *clean = g_strdup_printf("rm -r '%s'", folder);
    assert_int_equal(system(clean), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_heads),    cmocka_unit_test(test_chunks),      cmocka_unit_test(test_targets),
        cmocka_unit_test(test_routes),   cmocka_unit_test(test_keys),        cmocka_unit_test(test_credentials),
        cmocka_unit_test(test_limits),   cmocka_unit_test(test_depth),       cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_problems), cmocka_unit_test(test_certificate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
