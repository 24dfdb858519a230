/* put() of one small object, against a server that does all that a server should not. */
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

static void run(const S3Step *steps, void (*edit)(StenoConfigStorage *settings), int expected, const char *words)
{
    S3Fixture *fixture = s3_fixture_new(steps, edit);
    s3_fixture_put_hello(fixture, expected);
    if (words)
        s3_fixture_said(fixture, words);
    s3_fixture_free(fixture);
}

static void assert_header(S3Fixture *fixture, guint step, const char *name, const char *expected)
{
    g_autofree char *value = s3_server_header(fixture->server, step, name);
    if (expected)
        assert_string_equal(value, expected);
    else
        assert_null(value);
}

/* ---- what goes out ----------------------------------------------------------------------------------------------- */

static void test_requests(void **state)
{
    (void)state;
    const S3Step steps[] = {HEAD_NOTHING, PUT_HELLO, HEAD_HELLO, END};
    S3Fixture *fixture = s3_fixture_new(steps, NULL);
    s3_fixture_put_hello(fixture, -1);
    assert_header(fixture, 1, "x-amz-content-sha256", HELLO_SHA256);
    assert_header(fixture, 1, "x-amz-meta-steno-sha256", HELLO_SHA256);
    assert_header(fixture, 1, "content-md5", "XUFAKrxLKna5cZ2REBfFkg==");
    assert_header(fixture, 1, "expect", NULL);
    assert_header(fixture, 1, "content-length", "5");
    assert_header(fixture, 1, "if-none-match", NULL);
    g_autofree char *authorization = s3_server_header(fixture->server, 1, "authorization");
    assert_true(g_str_has_prefix(authorization, "AWS4-HMAC-SHA256 Credential=AKID/"));
    assert_non_null(strstr(authorization, "/us-east-1/s3/aws4_request"));
    assert_non_null(strstr(authorization, "content-md5;host;x-amz-content-sha256;x-amz-date;x-amz-meta-steno-sha256"));
    gsize bytes;
    const char *body = g_bytes_get_data(s3_server_body(fixture->server, 1), &bytes);
    assert_int_equal(bytes, 5);
    assert_memory_equal(body, HELLO, 5);
    assert_int_equal(fixture->troubles, 0);
    s3_fixture_free(fixture);
}

static void ask_for_all(StenoConfigStorage *settings)
{
    static const char *tags[] = {"a=b c", "d=1+2", NULL};
    set(&settings->encryption, "kms");
    set(&settings->kms_key_id, "key/1");
    set(&settings->lock_mode, "compliance");
    settings->lock_days = 1;
    settings->lock_legal_hold = TRUE;
    set(&settings->storage_class, "GLACIER_IR");
    set(&settings->checksum, "none");
    settings->if_none_match = TRUE;
    g_strfreev(settings->tags);
    settings->tags = g_strdupv((char **)tags);
}

static void test_wishes(void **state)
{
    (void)state;
    const S3Step steps[] = {
        HEAD_NOTHING,
        {"PUT /bucket/key ", "200 OK", "ETag: \"" HELLO_MD5 "\"\r\nx-amz-server-side-encryption: aws:kms\r\n"},
        {"HEAD /bucket/key ", "200 OK",
         "Content-Length: 5\r\nx-amz-meta-steno-sha256: " HELLO_SHA256
         "\r\nx-amz-object-lock-mode: COMPLIANCE\r\nx-amz-object-lock-legal-hold: ON\r\n"
         "x-amz-object-lock-retain-until-date: 2999-01-01T00:00:00.000Z\r\n"},
        END};
    S3Fixture *fixture = s3_fixture_new(steps, ask_for_all);
    s3_fixture_put_hello(fixture, -1);
    assert_header(fixture, 1, "x-amz-server-side-encryption", "aws:kms");
    assert_header(fixture, 1, "x-amz-server-side-encryption-aws-kms-key-id", "key/1");
    assert_header(fixture, 1, "x-amz-object-lock-mode", "COMPLIANCE");
    assert_header(fixture, 1, "x-amz-object-lock-legal-hold", "ON");
    assert_header(fixture, 1, "x-amz-storage-class", "GLACIER_IR");
    assert_header(fixture, 1, "x-amz-tagging", "a=b%20c&d=1%2B2");
    assert_header(fixture, 1, "if-none-match", "*");
    /* Object Lock takes no object without a checksum, whatever `checksum` says. */
    assert_header(fixture, 1, "content-md5", "XUFAKrxLKna5cZ2REBfFkg==");
    s3_fixture_free(fixture);
}

static void test_lock_put_on_afterwards(void **state)
{
    (void)state;
    const S3Step steps[] = {
        HEAD_NOTHING,
        {"PUT /bucket/key ", "200 OK", "ETag: \"" HELLO_MD5 "\"\r\nx-amz-server-side-encryption: aws:kms\r\n"},
        HEAD_HELLO,
        {"PUT /bucket/key?retention", "200 OK"},
        {"PUT /bucket/key?legal-hold", "403 Forbidden", NULL, XML_ERROR("AccessDenied")},
        END};
    run(steps, ask_for_all, STENO_ERROR_STORAGE_DENIED, "s3:PutObjectLegalHold");
}

static void test_encryption_ignored(void **state)
{
    (void)state;
    const S3Step steps[] = {HEAD_NOTHING, PUT_HELLO, {"DELETE /bucket/key ", "204 No Content"}, END};
    run(steps, ask_for_all, STENO_ERROR_STORAGE_DENIED, "does not encrypt");
}

/* ---- what passes ------------------------------------------------------------------------------------------------- */

static void test_passing_faults(void **state)
{
    (void)state;
    static const S3Step faults[] = {
        {"PUT /bucket/key ", "200 OK", NULL, XML_ERROR("InternalError")},
        {"PUT /bucket/key ", "200 OK", NULL, XML_ERROR("NobodyKnowsThisOne")},
        {"PUT /bucket/key ", "503 Slow Down", NULL, XML_ERROR("SlowDown")},
        {"PUT /bucket/key ", "500 Internal Server Error"},
        {"PUT /bucket/key ", "502 Bad Gateway", NULL, "<html>what is that</p>"},
        {"PUT /bucket/key ", "400 Bad Request", NULL, XML_ERROR("RequestTimeout")},
        {"PUT /bucket/key ", "409 Conflict", NULL, XML_ERROR("OperationAborted")},
        {"PUT /bucket/key ", "429 Too Many Requests"},
        {"PUT /bucket/key ", NULL, NULL, NULL, S3_STEP_CLOSE},
        {"PUT /bucket/key ", "200 OK", "Content-Length: 100\r\n", "half", S3_STEP_CLOSE},
    };
    for (guint i = 0; i < G_N_ELEMENTS(faults); i++) {
        const S3Step steps[] = {HEAD_NOTHING, faults[i], PUT_HELLO, HEAD_HELLO, END};
        S3Fixture *fixture = s3_fixture_new(steps, NULL);
        s3_fixture_put_hello(fixture, -1);
        /* A connection that was used before and is closed is made anew, and is no trouble. */
        assert_int_equal(fixture->troubles, faults[i].status ? 1 : 0);
        s3_fixture_free(fixture);
    }
}

static void test_clock(void **state)
{
    (void)state;
    const S3Step steps[] = {HEAD_NOTHING,
                            {"PUT /bucket/key ", "403 Forbidden", "Date: Tue, 01 Jan 2030 00:00:00 GMT\r\n",
                             XML_ERROR("RequestTimeTooSkewed")},
                            PUT_HELLO,
                            HEAD_HELLO,
                            END};
    S3Fixture *fixture = s3_fixture_new(steps, NULL);
    s3_fixture_put_hello(fixture, -1);
    g_autofree char *date = s3_server_header(fixture->server, 2, "x-amz-date");
    assert_true(g_str_has_prefix(date, "20300101T0000"));
    s3_fixture_free(fixture);
}

/* A HEAD's answer has no body: what is wrong with it is asked for. */
static void test_clock_of_head(void **state)
{
    (void)state;
    const S3Step steps[] = {{"HEAD /bucket/key ", "403 Forbidden"},
                            {"GET /bucket/key ", "403 Forbidden", "Date: Tue, 01 Jan 2030 00:00:00 GMT\r\n",
                             XML_ERROR("RequestTimeTooSkewed")},
                            HEAD_HELLO,
                            END};
    run(steps, NULL, -1, NULL);
}

static void allow_regions(StenoConfigStorage *settings)
{
    static const char *regions[] = {"us-east-1", "eu-central-1", NULL};
    g_strfreev(settings->allow_regions);
    settings->allow_regions = g_strdupv((char **)regions);
}

static void test_region_learned(void **state)
{
    (void)state;
    const S3Step steps[] = {HEAD_NOTHING,
                            {"PUT /bucket/key ", "301 Moved Permanently", "x-amz-bucket-region: eu-central-1\r\n",
                             XML_ERROR("PermanentRedirect")},
                            PUT_HELLO,
                            HEAD_HELLO,
                            END};
    S3Fixture *fixture = s3_fixture_new(steps, allow_regions);
    s3_fixture_put_hello(fixture, -1);
    g_autofree char *authorization = s3_server_header(fixture->server, 3, "authorization");
    assert_non_null(strstr(authorization, "/eu-central-1/s3/"));
    s3_fixture_free(fixture);
}

/* The file has others by the time that the old ones are refused. */
static void test_keys_renewed(void **state)
{
    (void)state;
    const S3Step steps[] = {
        HEAD_HELLO, HEAD_NOTHING, {"PUT /bucket/key ", "403 Forbidden", NULL, XML_ERROR("InvalidAccessKeyId")},
        PUT_HELLO,  HEAD_HELLO,   END};
    S3Fixture *fixture = s3_fixture_new(steps, NULL);
    gint64 bytes, modified_us;
    assert_true(steno_store_stat(fixture->store, "key", &bytes, &modified_us, NULL, NULL));
    assert_true(g_file_set_contents_full(fixture->keys, "AKID2\nanother secret\n", -1, 0, 0600, NULL));
    s3_fixture_put_hello(fixture, -1);
    g_autofree char *before = s3_server_header(fixture->server, 2, "authorization");
    g_autofree char *after = s3_server_header(fixture->server, 3, "authorization");
    assert_non_null(strstr(before, "=AKID/"));
    assert_non_null(strstr(after, "=AKID2/"));
    s3_fixture_free(fixture);
}

/* ---- what somebody must change ----------------------------------------------------------------------------------- */

static void test_refusals(void **state)
{
    (void)state;
    static const struct {
        S3Step step;
        int error;
        const char *words;
    } cases[] = {
        {{"PUT /bucket/key ", "403 Forbidden", NULL, XML_ERROR("AccessDenied")},
         STENO_ERROR_STORAGE_DENIED,
         "give the key AKID the right s3:PutObject"},
        {{"PUT /bucket/key ", "403 Forbidden", NULL, XML_ERROR("SignatureDoesNotMatch")},
         STENO_ERROR_STORAGE_DENIED,
         "is AKID the right access key"},
        {{"PUT /bucket/key ", "403 Forbidden", NULL, XML_ERROR("ExpiredToken")}, STENO_ERROR_STORAGE_DENIED, "expired"},
        {{"PUT /bucket/key ", "404 Not Found", NULL, XML_ERROR("NoSuchBucket")},
         STENO_ERROR_STORAGE_DENIED,
         "is bucket = \"bucket\" right?"},
        {{"PUT /bucket/key ", "507 Insufficient Storage"}, STENO_ERROR_STORAGE_FULL, "507"},
        {{"PUT /bucket/key ", "403 Forbidden", NULL, XML_ERROR("QuotaExceeded")}, STENO_ERROR_STORAGE_FULL, "quota"},
        {{"PUT /bucket/key ", "400 Bad Request", NULL, XML_ERROR("EntityTooLarge")}, STENO_ERROR_STORAGE_FAILED, "400"},
        {{"PUT /bucket/key ", "404 Not Found", NULL, "what?"}, STENO_ERROR_STORAGE_DENIED, "404"},
        {{"PUT /bucket/key ", "501 Not Implemented", NULL, XML_ERROR("NotImplemented")},
         STENO_ERROR_STORAGE_DENIED,
         "501"},
        /* Redirects are never followed; and a region is only believed where it is allowed. */
        {{"PUT /bucket/key ", "307 Temporary Redirect", "Location: http://127.0.0.1:1/bucket/key\r\n"},
         STENO_ERROR_STORAGE_DENIED,
         "a redirect, which is not followed"},
        {{"PUT /bucket/key ", "301 Moved", "x-amz-bucket-region: us-west-2\r\n"},
         STENO_ERROR_STORAGE_DENIED,
         "us-west-2"},
        {{"PUT /bucket/key ", "400 Bad Request", NULL,
          "<Error><Code>AuthorizationHeaderMalformed</Code><Region>us-west-2</Region></Error>"},
         STENO_ERROR_STORAGE_DENIED,
         "the bucket is in region us-west-2"},
    };
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        const S3Step steps[] = {HEAD_NOTHING, cases[i].step, END};
        run(steps, NULL, cases[i].error, cases[i].words);
    }
}

static void test_region_forbidden(void **state)
{
    (void)state;
    const S3Step steps[] = {HEAD_NOTHING, {"PUT /bucket/key ", "301 Moved", "x-amz-bucket-region: us-west-2\r\n"}, END};
    run(steps, allow_regions, STENO_ERROR_GEOFENCE, "us-west-2");
}

static void fence(StenoConfigStorage *settings)
{
    static const char *networks[] = {"10.0.0.0/8", "::1/128", NULL};
    g_strfreev(settings->allow_endpoint_cidr);
    settings->allow_endpoint_cidr = g_strdupv((char **)networks);
}

static void test_address_forbidden(void **state)
{
    (void)state;
    const S3Step steps[] = {END};
    run(steps, fence, STENO_ERROR_GEOFENCE, "127.0.0.1");
}

static void test_words_of_strangers(void **state)
{
    (void)state;
    /* Neither lines nor controls of a stranger get into a message; and not much of them. */
    char words[2000];
    memset(words, 'x', sizeof words - 1);
    words[sizeof words - 1] = '\0';
    g_autofree char *body =
        g_strdup_printf("<Error><Code>AccessDenied</Code><Message>a\nb&#9;%s</Message></Error>", words);
    const S3Step steps[] = {HEAD_NOTHING, {"PUT /bucket/key ", "403 Forbidden", NULL, body}, END};
    S3Fixture *fixture = s3_fixture_new(steps, NULL);
    s3_fixture_put_hello(fixture, STENO_ERROR_STORAGE_DENIED);
    s3_fixture_said(fixture, "a b xxx");
    assert_true(strlen(fixture->error->message) < 700);
    assert_null(strstr(fixture->error->message, "secret of the key"));
    s3_fixture_free(fixture);
}

/* ---- what is there already --------------------------------------------------------------------------------------- */

static void test_there_already(void **state)
{
    (void)state;
    const S3Step steps[] = {HEAD_HELLO, END};
    run(steps, NULL, -1, NULL);
}

static void test_other_contents(void **state)
{
    (void)state;
    const S3Step longer[] = {{"HEAD /bucket/key ", "200 OK", "Content-Length: 6\r\n"}, END};
    const S3Step other[] = {{"HEAD /bucket/key ", "200 OK", "Content-Length: 5\r\nx-amz-meta-steno-sha256: 00\r\n"},
                            END};
    const S3Step untold[] = {{"HEAD /bucket/key ", "200 OK", "Content-Length: 5\r\n"}, END};
    run(longer, NULL, STENO_ERROR_STORAGE_FAILED, "with other contents");
    run(other, NULL, STENO_ERROR_STORAGE_FAILED, "with other contents");
    run(untold, NULL, STENO_ERROR_STORAGE_FAILED, "with other contents");
}

static void guard(StenoConfigStorage *settings)
{
    settings->if_none_match = TRUE;
}

static void test_somebody_was_faster(void **state)
{
    (void)state;
    const S3Step steps[] = {HEAD_NOTHING,
                            {"PUT /bucket/key ", "412 Precondition Failed", NULL, XML_ERROR("PreconditionFailed")},
                            {"HEAD /bucket/key ", "200 OK", "Content-Length: 6\r\n"},
                            END};
    run(steps, guard, STENO_ERROR_STORAGE_FAILED, "with other contents");
}

/* Who may not list is told AccessDenied of what is not there: then nothing is overwritten unseen. */
static void test_unseen(void **state)
{
    (void)state;
    const S3Step nothing[] = {{"HEAD /bucket/key ", "403 Forbidden"},
                              {"GET /bucket/key ", "403 Forbidden", NULL, XML_ERROR("AccessDenied")},
                              PUT_HELLO,
                              HEAD_HELLO,
                              END};
    const S3Step something[] = {{"HEAD /bucket/key ", "403 Forbidden"},
                                {"GET /bucket/key ", "403 Forbidden", NULL, XML_ERROR("AccessDenied")},
                                {"PUT /bucket/key ", "412 Precondition Failed", NULL, XML_ERROR("PreconditionFailed")},
                                END};
    S3Fixture *fixture = s3_fixture_new(nothing, NULL);
    s3_fixture_put_hello(fixture, -1);
    assert_header(fixture, 2, "if-none-match", "*");
    s3_fixture_free(fixture);
    run(something, NULL, STENO_ERROR_STORAGE_DENIED, "s3:GetObject");
}

static void test_feature_lacking(void **state)
{
    (void)state;
    const S3Step steps[] = {
        HEAD_NOTHING, {"PUT /bucket/key ", "501 Not Implemented", NULL, XML_ERROR("NotImplemented")},
        HEAD_NOTHING, PUT_HELLO,
        HEAD_HELLO,   END};
    S3Fixture *fixture = s3_fixture_new(steps, guard);
    s3_fixture_put_hello(fixture, -1);
    assert_header(fixture, 1, "if-none-match", "*");
    assert_header(fixture, 3, "if-none-match", NULL);
    s3_fixture_free(fixture);
}

static void want_crc(StenoConfigStorage *settings)
{
    set(&settings->checksum, "crc32c");
}

static void test_checksum_lacking(void **state)
{
    (void)state;
    const S3Step steps[] = {HEAD_NOTHING,
                            {"PUT /bucket/key ", "501 Not Implemented", NULL,
                             "<Error><Code>NotImplemented</Code><Header>x-amz-checksum-crc32c</Header></Error>"},
                            HEAD_NOTHING,
                            PUT_HELLO,
                            HEAD_HELLO,
                            END};
    S3Fixture *fixture = s3_fixture_new(steps, want_crc);
    s3_fixture_put_hello(fixture, -1);
    assert_header(fixture, 1, "x-amz-checksum-crc32c", "mnG7TA==");
    assert_header(fixture, 3, "x-amz-checksum-crc32c", NULL);
    assert_header(fixture, 3, "content-md5", "XUFAKrxLKna5cZ2REBfFkg==");
    s3_fixture_free(fixture);
}

/* ---- the proof --------------------------------------------------------------------------------------------------- */

/* What was stored wrong is taken away: or the next put() would believe it. */
static void test_stored_wrong(void **state)
{
    (void)state;
    static const char *const heads[] = {
        "Content-Length: 4\r\nx-amz-meta-steno-sha256: " HELLO_SHA256 "\r\n",
        "Content-Length: 5\r\nx-amz-meta-steno-sha256: 00\r\n",
        "Content-Length: 5\r\n",
        "Content-Length: 5\r\nETag: \"5d41402abc4b2a76b9719d911017c593\"\r\nx-amz-meta-steno-sha256: " HELLO_SHA256
        "\r\n",
    };
    for (guint i = 0; i < G_N_ELEMENTS(heads); i++) {
        const S3Step steps[] = {HEAD_NOTHING,
                                PUT_HELLO,
                                {"HEAD /bucket/key ", "200 OK", heads[i]},
                                {"DELETE /bucket/key ", "204 No Content"},
                                END};
        run(steps, NULL, STENO_ERROR_VERIFY_FAILED, "should be");
    }
}

static void test_crc_stored_wrong(void **state)
{
    (void)state;
    const S3Step steps[] = {
        HEAD_NOTHING,
        PUT_HELLO,
        {"HEAD /bucket/key ", "200 OK",
         "Content-Length: 5\r\nx-amz-checksum-crc32c: AAAAAA==\r\nx-amz-meta-steno-sha256: " HELLO_SHA256 "\r\n"},
        {"DELETE /bucket/key ", "204 No Content"},
        END};
    run(steps, want_crc, STENO_ERROR_VERIFY_FAILED, "mnG7TA==");
}

/* A server whose ETags are no MD5s is believed by what else it tells. */
static void test_etag_no_md5(void **state)
{
    (void)state;
    const S3Step steps[] = {HEAD_NOTHING,
                            {"PUT /bucket/key ", "200 OK", "ETag: \"0123\"\r\n"},
                            {"HEAD /bucket/key ", "200 OK",
                             "Content-Length: 5\r\nETag: \"0123\"\r\nx-amz-meta-steno-sha256: " HELLO_SHA256 "\r\n"},
                            END};
    run(steps, NULL, -1, NULL);
}

static void test_gone_at_once(void **state)
{
    (void)state;
    const S3Step steps[] = {HEAD_NOTHING,
                            PUT_HELLO,
                            HEAD_NOTHING,
                            {"GET /bucket/key ", "404 Not Found", NULL, XML_ERROR("NoSuchKey")},
                            END};
    run(steps, NULL, STENO_ERROR_STORAGE_FAILED, "NoSuchKey");
}

/* ---- the source -------------------------------------------------------------------------------------------------- */

static void test_source_damaged(void **state)
{
    (void)state;
    const S3Step steps[] = {HEAD_NOTHING, END};
    S3Fixture *fixture = s3_fixture_new(steps, NULL);
    s3_fixture_write(fixture, "hellp", 5);
    s3_fixture_put_hello(fixture, STENO_ERROR_SOURCE_DAMAGED);
    s3_fixture_free(fixture);
}

static void test_source_shorter(void **state)
{
    (void)state;
    const S3Step steps[] = {END};
    S3Fixture *fixture = s3_fixture_new(steps, NULL);
    StenoPut put = {.source = fixture->source, .key = "key", .bytes = 6, .sha256_hex = HELLO_SHA256};
    s3_fixture_expect(fixture, steno_store_put(fixture->store, &put, &fixture->error), STENO_ERROR_SOURCE_DAMAGED);
    s3_fixture_free(fixture);
}

/* ---- interrupted ------------------------------------------------------------------------------------------------- */

static gpointer cancel_second(gpointer user)
{
    gpointer *both = user;
    s3_server_await(both[0], 2);
    g_cancellable_cancel(both[1]);
    return NULL;
}

static void test_interrupted(void **state)
{
    (void)state;
    const S3Step steps[] = {HEAD_NOTHING, {"PUT /bucket/key ", NULL, NULL, NULL, S3_STEP_HANG}, END};
    S3Fixture *fixture = s3_fixture_new(steps, NULL);
    g_autoptr(GCancellable) cancellable = g_cancellable_new();
    gpointer both[] = {fixture->server, cancellable};
    GThread *thread = g_thread_new("cancel", cancel_second, both);
    StenoPut put = {
        .source = fixture->source, .key = "key", .bytes = 5, .sha256_hex = HELLO_SHA256, .cancellable = cancellable};
    s3_fixture_expect(fixture, steno_store_put(fixture->store, &put, &fixture->error), STENO_ERROR_INTERRUPTED);
    g_thread_join(thread);
    s3_fixture_free(fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests),
        cmocka_unit_test(test_wishes),
        cmocka_unit_test(test_lock_put_on_afterwards),
        cmocka_unit_test(test_encryption_ignored),
        cmocka_unit_test(test_passing_faults),
        cmocka_unit_test(test_clock),
        cmocka_unit_test(test_clock_of_head),
        cmocka_unit_test(test_region_learned),
        cmocka_unit_test(test_keys_renewed),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_region_forbidden),
        cmocka_unit_test(test_address_forbidden),
        cmocka_unit_test(test_words_of_strangers),
        cmocka_unit_test(test_there_already),
        cmocka_unit_test(test_other_contents),
        cmocka_unit_test(test_somebody_was_faster),
        cmocka_unit_test(test_unseen),
        cmocka_unit_test(test_feature_lacking),
        cmocka_unit_test(test_checksum_lacking),
        cmocka_unit_test(test_stored_wrong),
        cmocka_unit_test(test_crc_stored_wrong),
        cmocka_unit_test(test_etag_no_md5),
        cmocka_unit_test(test_gone_at_once),
        cmocka_unit_test(test_source_damaged),
        cmocka_unit_test(test_source_shorter),
        cmocka_unit_test(test_interrupted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
