/* put() in parts, against a server that does all that a server should not. */
#include "s3_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define PART_BYTES (5 * 1024 * 1024)
#define LAST_BYTES 1000
#define FILE_BYTES (2 * PART_BYTES + LAST_BYTES)

#define NO_UPLOADS                                                                                                     \
    {                                                                                                                  \
        "GET /bucket?prefix=key&uploads=", "200 OK", NULL, "<ListMultipartUploadsResult/>"                             \
    }
#define CREATE                                                                                                         \
    {                                                                                                                  \
        "POST /bucket/key?uploads= ", "200 OK", NULL,                                                                  \
            "<InitiateMultipartUploadResult><UploadId>up/1+</UploadId></InitiateMultipartUploadResult>"                \
    }
#define PART(n) "PUT /bucket/key?partNumber=" #n "&uploadId=up%2F1%2B "
#define PUT_PART(n)                                                                                                    \
    {                                                                                                                  \
        PART(n), "200 OK", etags[n]                                                                                    \
    }
#define LIST_PARTS "GET /bucket/key?uploadId=up%2F1%2B "
#define COMPLETE "POST /bucket/key?uploadId=up%2F1%2B "
#define COMPLETED                                                                                                      \
    {                                                                                                                  \
        COMPLETE, "200 OK", NULL, "\n \n<CompleteMultipartUploadResult/>"                                              \
    }
#define ABORT                                                                                                          \
    {                                                                                                                  \
        "DELETE /bucket/key?uploadId=up%2F1%2B ", "204 No Content"                                                     \
    }
#define HEAD_ALL                                                                                                       \
    {                                                                                                                  \
        "HEAD /bucket/key ", "200 OK", head                                                                            \
    }

/* What the file is: made once. */
static char *contents, *sha256_hex;
static char *etags[4], *head, *head_wrong;

static char *md5_of(gsize offset, gsize bytes)
{
    return g_compute_checksum_for_data(G_CHECKSUM_MD5, (const guchar *)contents + offset, bytes);
}

static int make_contents(void **state)
{
    (void)state;
    guint32 x = 1;
    guint8 digests[3 * 16];
    contents = g_malloc(FILE_BYTES);
    for (gsize i = 0; i < FILE_BYTES; i++)
        contents[i] = (char)((x = x * 1664525 + 1013904223) >> 24);
    sha256_hex = g_compute_checksum_for_data(G_CHECKSUM_SHA256, (const guchar *)contents, FILE_BYTES);
    for (guint i = 0; i < 3; i++) {
        gsize bytes = i < 2 ? PART_BYTES : LAST_BYTES;
        g_autofree char *md5 = md5_of((gsize)i * PART_BYTES, bytes);
        etags[i + 1] = g_strdup_printf("ETag: \"%s\"\r\n", md5);
        for (guint j = 0; j < 16; j++) {
            unsigned byte;
            assert_int_equal(sscanf(md5 + 2 * j, "%2x", &byte), 1);
            digests[16 * i + j] = (guint8)byte;
        }
    }
    g_autofree char *all = g_compute_checksum_for_data(G_CHECKSUM_MD5, digests, sizeof digests);
    head = g_strdup_printf("Content-Length: %d\r\nETag: \"%s-3\"\r\nx-amz-meta-steno-sha256: %s\r\n", FILE_BYTES, all,
                           sha256_hex);
    head_wrong = g_strdup_printf("Content-Length: %d\r\nETag: \"%s-4\"\r\nx-amz-meta-steno-sha256: %s\r\n", FILE_BYTES,
                                 all, sha256_hex);
    return 0;
}

static int free_contents(void **state)
{
    (void)state;
    g_free(contents);
    g_free(sha256_hex);
    for (guint i = 0; i < 4; i++)
        g_free(etags[i]);
    g_free(head);
    g_free(head_wrong);
    return 0;
}

static S3Fixture *fixture_of(const S3Step *steps, void (*edit)(StenoConfigStorage *settings))
{
    S3Fixture *fixture = s3_fixture_new(steps, edit);
    s3_fixture_write(fixture, contents, FILE_BYTES);
    return fixture;
}

static void run(const S3Step *steps, int expected)
{
    S3Fixture *fixture = fixture_of(steps, NULL);
    s3_fixture_put(fixture, sha256_hex, expected);
    s3_fixture_free(fixture);
}

static guint memos(const S3Fixture *fixture)
{
    guint n = 0;
    g_autoptr(GDir) dir = g_dir_open(fixture->memo, 0, NULL);
    while (g_dir_read_name(dir))
        n++;
    return n;
}

/* ---- from the beginning to the end ------------------------------------------------------------------------------- */

static void test_parts(void **state)
{
    (void)state;
    const S3Step steps[] = {HEAD_NOTHING, NO_UPLOADS, CREATE,   PUT_PART(1), PUT_PART(2),
                            PUT_PART(3),  COMPLETED,  HEAD_ALL, END};
    S3Fixture *fixture = fixture_of(steps, NULL);
    s3_fixture_put(fixture, sha256_hex, -1);
    gsize bytes;
    const char *body = g_bytes_get_data(s3_server_body(fixture->server, 4), &bytes);
    assert_int_equal(bytes, PART_BYTES);
    assert_memory_equal(body, contents + PART_BYTES, PART_BYTES);
    g_autofree char *meta = s3_server_header(fixture->server, 2, "x-amz-meta-steno-sha256");
    assert_string_equal(meta, sha256_hex);
    body = g_bytes_get_data(s3_server_body(fixture->server, 6), &bytes);
    g_autofree char *xml = g_strndup(body, bytes);
    assert_non_null(strstr(xml, "<Part><PartNumber>3</PartNumber><ETag>"));
    assert_int_equal(memos(fixture), 0);
    s3_fixture_free(fixture);
}

static void test_passing_faults(void **state)
{
    (void)state;
    const S3Step steps[] = {HEAD_NOTHING,
                            {"GET /bucket?prefix=key&uploads=", "403 Forbidden", NULL, XML_ERROR("AccessDenied")},
                            CREATE,
                            PUT_PART(1),
                            PUT_PART(2),
                            {PART(3), "200 OK", NULL, XML_ERROR("InternalError")},
                            {PART(3), "200 OK"}, /* and no ETag */
                            {PART(3), "503 Slow Down", NULL, XML_ERROR("SlowDown")},
                            {PART(3), NULL, NULL, NULL, S3_STEP_CLOSE},
                            PUT_PART(3),
                            {COMPLETE, "200 OK", NULL, "  \n" XML_ERROR("InternalError")},
                            {COMPLETE, "500 Internal Server Error"},
                            COMPLETED,
                            HEAD_ALL,
                            END};
    run(steps, -1);
}

/* The first Complete was done, and its answer was lost. */
static void test_completed_before(void **state)
{
    (void)state;
    const S3Step steps[] = {HEAD_NOTHING,
                            NO_UPLOADS,
                            CREATE,
                            PUT_PART(1),
                            PUT_PART(2),
                            PUT_PART(3),
                            {COMPLETE, "504 Gateway Timeout"},
                            {COMPLETE, "404 Not Found", NULL, XML_ERROR("NoSuchUpload")},
                            HEAD_ALL,
                            END};
    run(steps, -1);
}

static void test_upload_lost(void **state)
{
    (void)state;
    const S3Step steps[] = {
        HEAD_NOTHING, NO_UPLOADS,  CREATE,    {PART(1), "404 Not Found", NULL, XML_ERROR("NoSuchUpload")},
        HEAD_NOTHING, NO_UPLOADS,  CREATE,    PUT_PART(1),
        PUT_PART(2),  PUT_PART(3), COMPLETED, HEAD_ALL,
        END};
    run(steps, -1);
}

static void test_parts_not_known(void **state)
{
    (void)state;
    g_autofree char *list =
        g_strdup_printf("<ListPartsResult><Part><PartNumber>2</PartNumber><Size>%d</Size><ETag>%.*s</ETag></Part>"
                        "</ListPartsResult>",
                        PART_BYTES, (int)(strlen(etags[2]) - 8), etags[2] + 6);
    const S3Step steps[] = {HEAD_NOTHING,
                            NO_UPLOADS,
                            CREATE,
                            PUT_PART(1),
                            PUT_PART(2),
                            PUT_PART(3),
                            {COMPLETE, "400 Bad Request", NULL, XML_ERROR("InvalidPart")},
                            HEAD_NOTHING,
                            {LIST_PARTS, "200 OK", NULL, list},
                            PUT_PART(1),
                            PUT_PART(3),
                            {COMPLETE, "400 Bad Request", NULL, XML_ERROR("InvalidPart")},
                            ABORT,
                            HEAD_NOTHING,
                            NO_UPLOADS,
                            CREATE,
                            PUT_PART(1),
                            PUT_PART(2),
                            PUT_PART(3),
                            COMPLETED,
                            HEAD_ALL,
                            END};
    run(steps, -1);
}

static void test_stored_wrong(void **state)
{
    (void)state;
    const S3Step steps[] = {HEAD_NOTHING,
                            NO_UPLOADS,
                            CREATE,
                            PUT_PART(1),
                            PUT_PART(2),
                            PUT_PART(3),
                            COMPLETED,
                            {"HEAD /bucket/key ", "200 OK", head_wrong},
                            {"DELETE /bucket/key ", "204 No Content"},
                            END};
    run(steps, STENO_ERROR_VERIFY_FAILED);
}

static void want_auto(StenoConfigStorage *settings)
{
    g_free(settings->checksum);
    settings->checksum = g_strdup("auto");
}

static void want_none(StenoConfigStorage *settings)
{
    g_free(settings->checksum);
    settings->checksum = g_strdup("none");
}

/* Without Content-MD5 the parts' ETags tell what the whole's must be; "none" looks at none. */
static void test_etags_compared(void **state)
{
    (void)state;
    const S3Step right[] = {HEAD_NOTHING, NO_UPLOADS, CREATE,   PUT_PART(1), PUT_PART(2),
                            PUT_PART(3),  COMPLETED,  HEAD_ALL, END};
    const S3Step wrong[] = {HEAD_NOTHING,
                            NO_UPLOADS,
                            CREATE,
                            PUT_PART(1),
                            PUT_PART(2),
                            PUT_PART(3),
                            COMPLETED,
                            {"HEAD /bucket/key ", "200 OK", head_wrong},
                            {"DELETE /bucket/key ", "204 No Content"},
                            END};
    const S3Step not_looked_at[] = {HEAD_NOTHING, NO_UPLOADS,  CREATE,    PUT_PART(1),
                                    PUT_PART(2),  PUT_PART(3), COMPLETED, {"HEAD /bucket/key ", "200 OK", head_wrong},
                                    END};
    S3Fixture *fixture = fixture_of(right, want_auto);
    s3_fixture_put(fixture, sha256_hex, -1);
    g_autofree char *md5 = s3_server_header(fixture->server, 3, "content-md5");
    assert_null(md5);
    s3_fixture_free(fixture);
    fixture = fixture_of(wrong, want_auto);
    s3_fixture_put(fixture, sha256_hex, STENO_ERROR_VERIFY_FAILED);
    s3_fixture_free(fixture);
    fixture = fixture_of(not_looked_at, want_none);
    s3_fixture_put(fixture, sha256_hex, -1);
    s3_fixture_free(fixture);
}

/* A server whose ETags are no MD5s is believed by what else it tells. */
static void test_etags_no_md5(void **state)
{
    (void)state;
    const S3Step steps[] = {HEAD_NOTHING,
                            NO_UPLOADS,
                            CREATE,
                            {PART(1), "200 OK", "ETag: one\r\n"},
                            {PART(2), "200 OK", "ETag: \"two\"\r\n"},
                            {PART(3), "200 OK", "ETag: \"0123456789abcdef0123456789abcdef\"\r\n"},
                            COMPLETED,
                            {"HEAD /bucket/key ", "200 OK", head_wrong},
                            END};
    S3Fixture *fixture = fixture_of(steps, want_auto);
    s3_fixture_put(fixture, sha256_hex, -1);
    s3_fixture_free(fixture);
}

static void test_somebody_writes_it(void **state)
{
    (void)state;
    const S3Step steps[] = {HEAD_NOTHING,
                            NO_UPLOADS,
                            CREATE,
                            PUT_PART(1),
                            PUT_PART(2),
                            PUT_PART(3),
                            {COMPLETE, "409 Conflict", NULL, XML_ERROR("ConditionalRequestConflict")},
                            ABORT,
                            HEAD_ALL,
                            END};
    run(steps, -1);
}

/* ---- after a crash ----------------------------------------------------------------------------------------------- */

/* Ends a put() in the middle, with a memo left. */
#define BROKEN_OFF                                                                                                     \
    HEAD_NOTHING, NO_UPLOADS, CREATE, PUT_PART(1),                                                                     \
    {                                                                                                                  \
        PART(2), "403 Forbidden", NULL, XML_ERROR("AccessDenied")                                                      \
    }

static char *list_of(const char *first, const char *second)
{
    return g_strdup_printf("<ListPartsResult>%s%s</ListPartsResult>", first, second);
}

static char *listed(guint number, gsize bytes, const char *etag)
{
    return g_strdup_printf("<Part><PartNumber>%u</PartNumber><Size>%zu</Size><ETag>%.*s</ETag></Part>", number, bytes,
                           (int)(strlen(etag) - 8), etag + 6);
}

static void test_goes_on(void **state)
{
    (void)state;
    g_autofree char *first = listed(1, PART_BYTES, etags[1]), *wrong = listed(2, PART_BYTES, etags[1]);
    g_autofree char *list = list_of(first, wrong);
    const S3Step steps[] = {BROKEN_OFF,  HEAD_NOTHING, {LIST_PARTS, "200 OK", NULL, list},
                            PUT_PART(2), PUT_PART(3),  COMPLETED,
                            HEAD_ALL,    END};
    S3Fixture *fixture = fixture_of(steps, NULL);
    s3_fixture_put(fixture, sha256_hex, STENO_ERROR_STORAGE_DENIED);
    assert_int_equal(memos(fixture), 1);
    s3_fixture_put(fixture, sha256_hex, -1);
    assert_int_equal(memos(fixture), 0);
    s3_fixture_free(fixture);
}

static void test_list_of_pages(void **state)
{
    (void)state;
    g_autofree char *first = listed(1, PART_BYTES, etags[1]), *second = listed(2, PART_BYTES, etags[2]);
    g_autofree char *page =
        list_of(first, "<IsTruncated>true</IsTruncated><NextPartNumberMarker>1</NextPartNumberMarker>");
    g_autofree char *last = list_of(second, "<IsTruncated>false</IsTruncated>");
    const S3Step steps[] = {BROKEN_OFF,
                            HEAD_NOTHING,
                            {LIST_PARTS, "200 OK", NULL, page},
                            {"GET /bucket/key?part-number-marker=1&uploadId=up%2F1%2B ", "200 OK", NULL, last},
                            PUT_PART(3),
                            COMPLETED,
                            HEAD_ALL,
                            END};
    S3Fixture *fixture = fixture_of(steps, NULL);
    s3_fixture_put(fixture, sha256_hex, STENO_ERROR_STORAGE_DENIED);
    s3_fixture_put(fixture, sha256_hex, -1);
    s3_fixture_free(fixture);
}

static void test_upload_gone_meanwhile(void **state)
{
    (void)state;
    const S3Step steps[] = {
        BROKEN_OFF, HEAD_NOTHING, {LIST_PARTS, "404 Not Found", NULL, XML_ERROR("NoSuchUpload")}, HEAD_ALL, END};
    S3Fixture *fixture = fixture_of(steps, NULL);
    s3_fixture_put(fixture, sha256_hex, STENO_ERROR_STORAGE_DENIED);
    s3_fixture_put(fixture, sha256_hex, -1);
    assert_int_equal(memos(fixture), 0);
    s3_fixture_free(fixture);
}

/* Stored otherwise meanwhile: the upload is not left behind. */
static void test_there_meanwhile(void **state)
{
    (void)state;
    const S3Step steps[] = {BROKEN_OFF, HEAD_ALL, ABORT, END};
    S3Fixture *fixture = fixture_of(steps, NULL);
    s3_fixture_put(fixture, sha256_hex, STENO_ERROR_STORAGE_DENIED);
    s3_fixture_put(fixture, sha256_hex, -1);
    assert_int_equal(memos(fixture), 0);
    s3_fixture_free(fixture);
}

/* Uploads that nobody remembers, of this key and of one that only begins like it. */
static void test_stale_uploads(void **state)
{
    (void)state;
    const S3Step steps[] = {HEAD_NOTHING,
                            {"GET /bucket?prefix=key&uploads=", "200 OK", NULL,
                             "<ListMultipartUploadsResult><Upload><Key>key</Key><UploadId>up/1+</UploadId></Upload>"
                             "<Upload><Key>key2</Key><UploadId>up2</UploadId></Upload></ListMultipartUploadsResult>"},
                            ABORT,
                            CREATE,
                            PUT_PART(1),
                            PUT_PART(2),
                            PUT_PART(3),
                            COMPLETED,
                            HEAD_ALL,
                            END};
    run(steps, -1);
}

/* ---- the source -------------------------------------------------------------------------------------------------- */

static void test_source_damaged(void **state)
{
    (void)state;
    /* Which of the parts are sent before the last one is read, nobody knows; but the upload is aborted at last. */
    const S3Step steps[] = {
        HEAD_NOTHING, NO_UPLOADS,
        CREATE,       {"PUT /bucket/key?", "200 OK", "ETag: \"1\"\r\n", NULL, S3_STEP_ANSWER, .any_number = TRUE},
        ABORT,        END};
    S3Fixture *fixture = fixture_of(steps, NULL);
    contents[FILE_BYTES - 1] ^= 1;
    s3_fixture_write(fixture, contents, FILE_BYTES);
    contents[FILE_BYTES - 1] ^= 1;
    s3_fixture_put(fixture, sha256_hex, STENO_ERROR_SOURCE_DAMAGED);
    assert_int_equal(memos(fixture), 0);
    s3_fixture_free(fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_passing_faults),
        cmocka_unit_test(test_completed_before),
        cmocka_unit_test(test_upload_lost),
        cmocka_unit_test(test_parts_not_known),
        cmocka_unit_test(test_stored_wrong),
        cmocka_unit_test(test_etags_compared),
        cmocka_unit_test(test_etags_no_md5),
        cmocka_unit_test(test_somebody_writes_it),
        cmocka_unit_test(test_goes_on),
        cmocka_unit_test(test_list_of_pages),
        cmocka_unit_test(test_upload_gone_meanwhile),
        cmocka_unit_test(test_there_meanwhile),
        cmocka_unit_test(test_stale_uploads),
        cmocka_unit_test(test_source_damaged),
    };
    return cmocka_run_group_tests(tests, make_contents, free_contents);
}
