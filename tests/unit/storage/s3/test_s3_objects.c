/* Everything but put(), against a server that does all that a server should not. */
#include "s3_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void set(char **where, const char *text)
{
    g_free(*where);
    *where = g_strdup(text);
}

static void assert_header(S3Fixture *fixture, guint step, const char *name, const char *expected)
{
    g_autofree char *value = s3_server_header(fixture->server, step, name);
    if (expected)
        assert_string_equal(value, expected);
    else
        assert_null(value);
}

/* ---- fetching ---------------------------------------------------------------------------------------------------- */

static gboolean collect(gpointer user, const guint8 *data, gsize bytes, GError **error)
{
    (void)error;
    g_string_append_len(user, (const char *)data, (gssize)bytes);
    return TRUE;
}

static gboolean refuse(gpointer user, const guint8 *data, gsize bytes, GError **error)
{
    (void)user, (void)data, (void)bytes;
    g_set_error(error, STENO_ERROR, STENO_ERROR_CONFLICT, "enough");
    return FALSE;
}

static void fetch(const S3Step *steps, gint64 offset, gint64 length, const char *contents, int expected)
{
    S3Fixture *fixture = s3_fixture_new(steps, NULL);
    g_autoptr(GString) got = g_string_new(NULL);
    gboolean done = steno_store_fetch(fixture->store, "key", offset, length, collect, got, NULL, &fixture->error);
    s3_fixture_expect(fixture, done, expected);
    assert_string_equal(got->str, contents);
    s3_fixture_free(fixture);
}

static void test_fetch_broken_off(void **state)
{
    (void)state;
    const S3Step steps[] = {
        {"GET /bucket/key ", "200 OK", "Content-Length: 10\r\nETag: \"e\"\r\n", "01234", S3_STEP_CLOSE},
        {"GET /bucket/key ", "503 Slow Down"},
        {"GET /bucket/key ", "206 Partial Content", "Content-Range: bytes 5-9/10\r\nETag: \"e\"\r\n", "56789"},
        END};
    S3Fixture *fixture = s3_fixture_new(steps, NULL);
    g_autoptr(GString) got = g_string_new(NULL);
    assert_true(steno_store_fetch(fixture->store, "key", 0, -1, collect, got, NULL, &fixture->error));
    assert_string_equal(got->str, "0123456789");
    assert_header(fixture, 0, "range", NULL);
    assert_header(fixture, 2, "range", "bytes=5-");
    assert_header(fixture, 2, "if-match", "\"e\"");
    s3_fixture_free(fixture);
}

static void test_fetch_range(void **state)
{
    (void)state;
    const S3Step right[] = {{"GET /bucket/key ", "206 Partial Content", "Content-Range: bytes 2-4/10\r\n", "234"}, END};
    const S3Step other[] = {{"GET /bucket/key ", "206 Partial Content", "Content-Range: bytes 3-5/10\r\n", "345"}, END};
    const S3Step all[] = {{"GET /bucket/key ", "200 OK", NULL, "0123456789"}, END};
    const S3Step behind[] = {{"GET /bucket/key ", "416 Range Not Satisfiable", NULL, XML_ERROR("InvalidRange")},
                             {"HEAD /bucket/key ", "200 OK", "Content-Length: 10\r\n"},
                             END};
    const S3Step changed[] = {
        {"GET /bucket/key ", "200 OK", "Content-Length: 10\r\nETag: \"e\"\r\n", "01234", S3_STEP_CLOSE},
        {"GET /bucket/key ", "412 Precondition Failed", NULL, XML_ERROR("PreconditionFailed")},
        END};
    const S3Step nothing[] = {END};
    fetch(right, 2, 3, "234", -1);
    fetch(other, 2, 3, "", STENO_ERROR_STORAGE_FAILED);
    fetch(all, 2, 3, "", STENO_ERROR_STORAGE_FAILED);
    fetch(all, 0, 3, "012", -1);
    fetch(behind, 10, -1, "", -1);
    fetch(behind, 11, -1, "", STENO_ERROR_STORAGE_FAILED);
    fetch(changed, 0, -1, "01234", STENO_ERROR_STORAGE_FAILED);
    fetch(nothing, 5, 0, "", -1);
}

static void test_fetch_refused_by_caller(void **state)
{
    (void)state;
    const S3Step steps[] = {{"GET /bucket/key ", "200 OK", NULL, "0123456789"}, END};
    S3Fixture *fixture = s3_fixture_new(steps, NULL);
    gboolean done = steno_store_fetch(fixture->store, "key", 0, -1, refuse, NULL, NULL, &fixture->error);
    s3_fixture_expect(fixture, done, STENO_ERROR_CONFLICT);
    s3_fixture_free(fixture);
}

static void test_read(void **state)
{
    (void)state;
    const S3Step steps[] = {{"GET /bucket/key ", "200 OK", NULL, "0123456789"},
                            {"GET /bucket/key ", "200 OK", NULL, "0123456789"},
                            {"GET /bucket/key ", "404 Not Found", NULL, XML_ERROR("NoSuchKey")},
                            {"GET /bucket/key ", "404 Not Found", NULL, XML_ERROR("NoSuchBucket")},
                            END};
    S3Fixture *fixture = s3_fixture_new(steps, NULL);
    g_autoptr(GBytes) bytes = steno_store_read(fixture->store, "key", 10, NULL, &fixture->error);
    assert_int_equal(g_bytes_get_size(bytes), 10);
    static const int errors[] = {STENO_ERROR_STORAGE_FAILED, STENO_ERROR_NOT_FOUND, STENO_ERROR_STORAGE_DENIED};
    for (guint i = 0; i < G_N_ELEMENTS(errors); i++) {
        g_clear_error(&fixture->error);
        assert_null(steno_store_read(fixture->store, "key", 9, NULL, &fixture->error));
        s3_fixture_expect(fixture, FALSE, errors[i]);
    }
    s3_fixture_free(fixture);
}

/* ---- verifying --------------------------------------------------------------------------------------------------- */

static void verify(const S3Step *steps, StenoProof proof, int expected)
{
    S3Fixture *fixture = s3_fixture_new(steps, NULL);
    gboolean done = steno_store_verify(fixture->store, "key", 5, HELLO_SHA256, proof, NULL, &fixture->error);
    s3_fixture_expect(fixture, done, expected);
    s3_fixture_free(fixture);
}

static void test_verify(void **state)
{
    (void)state;
    const S3Step right[] = {HEAD_HELLO, END};
    const S3Step short_one[] = {{"HEAD /bucket/key ", "200 OK", "Content-Length: 4\r\n"}, END};
    const S3Step untold[] = {{"HEAD /bucket/key ", "200 OK", "Content-Length: 5\r\n"}, END};
    const S3Step missing[] = {HEAD_NOTHING, {"GET /bucket/key ", "404 Not Found", NULL, XML_ERROR("NoSuchKey")}, END};
    const S3Step no_bucket[] = {
        HEAD_NOTHING, {"GET /bucket/key ", "404 Not Found", NULL, XML_ERROR("NoSuchBucket")}, END};
    const S3Step flipped[] = {{"GET /bucket/key ", "200 OK", NULL, "hellp"}, END};
    const S3Step hello[] = {{"GET /bucket/key ", "200 OK", NULL, "hello"}, END};
    verify(right, STENO_PROOF_STORED, -1);
    verify(short_one, STENO_PROOF_STORED, STENO_ERROR_VERIFY_FAILED);
    verify(untold, STENO_PROOF_STORED, STENO_ERROR_VERIFY_FAILED);
    verify(missing, STENO_PROOF_STORED, STENO_ERROR_NOT_FOUND);
    /* A bucket that is not there is not an object that is not there: nobody may take it for deleted. */
    verify(no_bucket, STENO_PROOF_STORED, STENO_ERROR_STORAGE_DENIED);
    verify(flipped, STENO_PROOF_CONTENTS, STENO_ERROR_VERIFY_FAILED);
    verify(hello, STENO_PROOF_CONTENTS, -1);
}

/* ---- removing ---------------------------------------------------------------------------------------------------- */

static void remove_key(const S3Step *steps, int expected)
{
    S3Fixture *fixture = s3_fixture_new(steps, NULL);
    s3_fixture_expect(fixture, steno_store_remove(fixture->store, "key", TRUE, NULL, &fixture->error), expected);
    s3_fixture_free(fixture);
}

static void test_remove(void **state)
{
    (void)state;
    const S3Step done[] = {HEAD_HELLO, {"DELETE /bucket/key ", "204 No Content"}, END};
    const S3Step denied[] = {
        HEAD_HELLO, {"DELETE /bucket/key ", "403 Forbidden", NULL, XML_ERROR("AccessDenied")}, END};
    const S3Step held[] = {{"HEAD /bucket/key ", "200 OK", "Content-Length: 5\r\nx-amz-object-lock-legal-hold: ON\r\n"},
                           END};
    const S3Step retained[] = {{"HEAD /bucket/key ", "200 OK",
                                "Content-Length: 5\r\nx-amz-object-lock-mode: GOVERNANCE\r\n"
                                "x-amz-object-lock-retain-until-date: 2999-01-01T00:00:00.000000000Z\r\n"},
                               END};
    const S3Step retained_before[] = {{"HEAD /bucket/key ", "200 OK",
                                       "Content-Length: 5\r\nx-amz-object-lock-mode: GOVERNANCE\r\n"
                                       "x-amz-object-lock-retain-until-date: 2001-01-01T00:00:00Z\r\n"},
                                      {"DELETE /bucket/key ", "204 No Content"},
                                      END};
    const S3Step missing[] = {HEAD_NOTHING, {"GET /bucket/key ", "404 Not Found", NULL, XML_ERROR("NoSuchKey")}, END};
    remove_key(done, -1);
    remove_key(denied, STENO_ERROR_STORAGE_DENIED);
    remove_key(held, STENO_ERROR_LEGAL_HOLD);
    remove_key(retained, STENO_ERROR_LEGAL_HOLD);
    remove_key(retained_before, -1);
    remove_key(missing, STENO_ERROR_NOT_FOUND);
}

/* ---- lists ------------------------------------------------------------------------------------------------------- */

static gboolean append(gpointer user, const char *key, gint64 bytes)
{
    g_string_append_printf(user, "%s=%" G_GINT64_FORMAT " ", key, bytes);
    return !g_str_has_suffix(key, "last");
}

static void list(const S3Step *steps, const char *contents, int expected)
{
    S3Fixture *fixture = s3_fixture_new(steps, NULL);
    g_autoptr(GString) got = g_string_new(NULL);
    s3_fixture_expect(fixture, steno_store_list(fixture->store, "a/", append, got, NULL, &fixture->error), expected);
    if (expected == -1)
        assert_string_equal(got->str, contents);
    s3_fixture_free(fixture);
}

#define LIST "GET /bucket?list-type=2&prefix=a%2F "
#define LISTED(key) "<Contents><Key>" key "</Key><Size>1</Size></Contents>"
#define MORE "<IsTruncated>true</IsTruncated><NextContinuationToken>t+/</NextContinuationToken>"

static void test_list(void **state)
{
    (void)state;
    const S3Step pages[] = {
        {LIST, "200 OK", NULL, "<ListBucketResult>" LISTED("a/&lt;&#252;") MORE "</ListBucketResult>"},
        {"GET /bucket?continuation-token=t%2B%2F&list-type=2&prefix=a%2F ", "200 OK", NULL,
         "<ListBucketResult>" LISTED("a/2") "</ListBucketResult>"},
        END};
    const S3Step enough[] = {
        {LIST, "200 OK", NULL, "<ListBucketResult>" LISTED("a/last") LISTED("a/more") MORE "</ListBucketResult>"}, END};
    const S3Step for_ever[] = {
        {LIST, "200 OK", NULL, "<ListBucketResult>" MORE "</ListBucketResult>"},
        {"GET /bucket?continuation-token=", "200 OK", NULL, "<ListBucketResult>" MORE "</ListBucketResult>"},
        END};
    const S3Step foreign[] = {{LIST, "200 OK", NULL, "<ListBucketResult>" LISTED("b/1") "</ListBucketResult>"}, END};
    const S3Step html[] = {{LIST, "200 OK", NULL, "<html><body>hello</body></html>"}, END};
    const S3Step doctype[] = {
        {LIST, "200 OK", NULL, "<!DOCTYPE a [<!ENTITY b \"c\">]><ListBucketResult></ListBucketResult>"}, END};
    list(pages, "a/<ü=1 a/2=1 ", -1);
    list(enough, "a/last=1 ", -1);
    list(for_ever, NULL, STENO_ERROR_STORAGE_FAILED);
    list(foreign, NULL, STENO_ERROR_STORAGE_FAILED);
    list(html, NULL, STENO_ERROR_STORAGE_FAILED);
    list(doctype, NULL, STENO_ERROR_STORAGE_FAILED);
}

static gboolean is_old(gpointer user, const char *key, gint64 begun_us)
{
    (void)user, (void)key;
    return begun_us < G_GINT64_CONSTANT(1000000000) * G_USEC_PER_SEC;
}

static void test_orphans(void **state)
{
    (void)state;
    const S3Step steps[] = {
        {"GET /bucket?prefix=a%2F&uploads=", "200 OK", NULL,
         "<ListMultipartUploadsResult><IsTruncated>true</IsTruncated><NextKeyMarker>a/1</NextKeyMarker>"
         "<NextUploadIdMarker>u1</NextUploadIdMarker><Upload><Key>a/1</Key><UploadId>u1</UploadId>"
         "<Initiated>2000-01-01T00:00:00.000Z</Initiated></Upload></ListMultipartUploadsResult>"},
        {"DELETE /bucket/a/1?uploadId=u1 ", "204 No Content"},
        {"GET /bucket?key-marker=a%2F1&prefix=a%2F&upload-id-marker=u1&uploads=", "200 OK", NULL,
         "<ListMultipartUploadsResult><Upload><Key>a/2</Key><UploadId>u2</UploadId>"
         "<Initiated>2030-01-01T00:00:00.000Z</Initiated></Upload><Upload><Key>a/3</Key><UploadId>u3</UploadId>"
         "<Initiated>2000-01-01T00:00:00.000Z</Initiated></Upload></ListMultipartUploadsResult>"},
        {"DELETE /bucket/a/3?uploadId=u3 ", "404 Not Found", NULL, XML_ERROR("NoSuchUpload")},
        END};
    S3Fixture *fixture = s3_fixture_new(steps, NULL);
    guint aborted = 0;
    gboolean done = steno_store_abort_orphans(fixture->store, "a/", is_old, NULL, &aborted, NULL, &fixture->error);
    s3_fixture_expect(fixture, done, -1);
    assert_int_equal(aborted, 2);
    s3_fixture_free(fixture);
}

/* ---- check ------------------------------------------------------------------------------------------------------- */

#define PROBE "/bucket/.steno-check-"
#define ABORTED                                                                                                        \
    {                                                                                                                  \
        "DELETE " PROBE, "204 No Content"                                                                              \
    }
#define BEGUN                                                                                                          \
    {                                                                                                                  \
        "POST " PROBE, "200 OK", NULL,                                                                                 \
            "<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>"                    \
    }

static void want_lock(StenoConfigStorage *settings)
{
    set(&settings->lock_mode, "governance");
    settings->lock_days = 1;
}

static void check(const S3Step *steps, void (*edit)(StenoConfigStorage *settings), int expected)
{
    S3Fixture *fixture = s3_fixture_new(steps, edit);
    s3_fixture_expect(fixture, steno_store_check(fixture->store, NULL, &fixture->error), expected);
    s3_fixture_free(fixture);
}

static void test_check(void **state)
{
    (void)state;
    const S3Step plain[] = {{"DELETE " PROBE, "204 No Content"},
                            {"PUT " PROBE, "200 OK"},
                            {"HEAD " PROBE, "200 OK"},
                            {"DELETE " PROBE, "204 No Content"},
                            END};
    const S3Step no_look[] = {
        {"DELETE " PROBE, "204 No Content"}, {"PUT " PROBE, "200 OK"},
        {"HEAD " PROBE, "403 Forbidden"},    {"GET " PROBE, "403 Forbidden", NULL, XML_ERROR("AccessDenied")},
        {"DELETE " PROBE, "204 No Content"}, END};
    const S3Step read_only[] = {{"DELETE " PROBE, "403 Forbidden", NULL, XML_ERROR("AccessDenied")},
                                {"POST " PROBE, "403 Forbidden", NULL, XML_ERROR("AccessDenied")},
                                END};
    const S3Step no_removal[] = {
        {"DELETE " PROBE, "403 Forbidden", NULL, XML_ERROR("AccessDenied")}, BEGUN, ABORTED, END};
    const S3Step versions[] = {{"DELETE " PROBE, "204 No Content", "x-amz-version-id: v1\r\n"},
                               {"DELETE " PROBE, "204 No Content"},
                               BEGUN,
                               ABORTED,
                               END};
    const S3Step wrong_key[] = {{"DELETE " PROBE, "403 Forbidden", NULL, XML_ERROR("SignatureDoesNotMatch")}, END};
    const S3Step no_lock[] = {
        {"GET /bucket?object-lock=", "404 Not Found", NULL, XML_ERROR("ObjectLockConfigurationNotFoundError")}, END};
    const S3Step lock[] = {
        {"GET /bucket?object-lock=", "200 OK", NULL, "<ObjectLockConfiguration/>"}, BEGUN, ABORTED, END};
    const S3Step no_s3[] = {{"DELETE " PROBE, "405 Method Not Allowed", NULL, "<html>nginx</html>"}, END};
    check(plain, NULL, -1);
    check(no_look, NULL, STENO_ERROR_STORAGE_DENIED);
    check(read_only, NULL, STENO_ERROR_STORAGE_DENIED);
    check(no_removal, NULL, -1);
    check(versions, NULL, -1);
    check(wrong_key, NULL, STENO_ERROR_STORAGE_DENIED);
    check(no_lock, want_lock, STENO_ERROR_STORAGE_DENIED);
    check(lock, want_lock, -1);
    check(no_s3, NULL, STENO_ERROR_STORAGE_DENIED);
}

/* ---- addresses --------------------------------------------------------------------------------------------------- */

static void stream(StenoConfigStorage *settings)
{
    set(&settings->downloads, "stream");
}

static void test_presign(void **state)
{
    (void)state;
    const S3Step steps[] = {END};
    S3Fixture *fixture = s3_fixture_new(steps, NULL);
    g_autofree char *url =
        steno_store_presign(fixture->store, "a b/ü", "Bob's.mp4", "video/mp4", NULL, &fixture->error);
    g_autofree char *start =
        g_strdup_printf("http://127.0.0.1:%u/bucket/a%%20b/%%C3%%BC?", s3_server_port(fixture->server));
    assert_true(g_str_has_prefix(url, start));
    assert_non_null(strstr(url, "X-Amz-Expires=300"));
    assert_non_null(strstr(url, "response-content-type=video%2Fmp4"));
    assert_non_null(strstr(url, "filename%2A%3DUTF-8%27%27Bob%2527s.mp4"));
    s3_fixture_free(fixture);
    fixture = s3_fixture_new(steps, stream);
    assert_null(steno_store_presign(fixture->store, "key", NULL, NULL, NULL, &fixture->error));
    assert_null(fixture->error);
    s3_fixture_free(fixture);
}

/* ---- settings ---------------------------------------------------------------------------------------------------- */

static void bad_endpoint(StenoConfigStorage *settings)
{
    set(&settings->endpoint, "https://host/path");
}

static void plain_http(StenoConfigStorage *settings)
{
    set(&settings->endpoint, "http://host");
    settings->allow_http = FALSE;
}

static void no_bucket(StenoConfigStorage *settings)
{
    g_clear_pointer(&settings->bucket, g_free);
}

static void no_days(StenoConfigStorage *settings)
{
    set(&settings->lock_mode, "governance");
}

static void other_regions(StenoConfigStorage *settings)
{
    static const char *regions[] = {"eu-west-1", NULL};
    g_strfreev(settings->allow_regions);
    settings->allow_regions = g_strdupv((char **)regions);
}

static void test_settings(void **state)
{
    (void)state;
    static void (*const edits[])(StenoConfigStorage *) = {bad_endpoint, plain_http, no_bucket, no_days, other_regions};
    for (guint i = 0; i < G_N_ELEMENTS(edits); i++) {
        StenoConfigStorage *settings;
        g_autoptr(GError) error = NULL;
        g_autoptr(StenoConfig) config = steno_config_with_storage("primary", "s3", &settings);
        set(&settings->bucket, "bucket");
        edits[i](settings);
        assert_null(steno_store_open(config, settings, &error));
        assert_int_equal(error->code, STENO_ERROR_CONFIG);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fetch_broken_off),
        cmocka_unit_test(test_fetch_range),
        cmocka_unit_test(test_fetch_refused_by_caller),
        cmocka_unit_test(test_read),
        cmocka_unit_test(test_verify),
        cmocka_unit_test(test_remove),
        cmocka_unit_test(test_list),
        cmocka_unit_test(test_orphans),
        cmocka_unit_test(test_check),
        cmocka_unit_test(test_presign),
        cmocka_unit_test(test_settings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
