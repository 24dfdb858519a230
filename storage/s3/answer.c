#include "answer.h"

#include <string.h>

#define MESSAGE_MAX_CHARS 300

typedef struct {
    guint status;     /* 0: any */
    const char *code; /* NULL: any */
    S3Action action;
    StenoError error;
    const char *advice; /* {key}: access key id, {right}, {bucket}, {region} */
} Row;

#define ADVICE_RIGHT "give the key {key} the right {right}, and look at the bucket's policy"
#define ADVICE_KEY "is {key} the right access key, and the secret that belongs to it?"
#define ADVICE_BUCKET "is bucket = \"{bucket}\" right? It must be there"
#define ADVICE_REGION "is region = \"{region}\" right?"
#define ADVICE_FULL "make room, or raise the quota"
#define ADVICE_SETTINGS "look at the storage's settings and the bucket's"

/* The first row that fits: a code says more than a status. */
static const Row rows[] = {
    {0, "InternalError", S3_RETRY, STENO_ERROR_STORAGE_UNREACHABLE},
    {0, "ServiceUnavailable", S3_SLOW_DOWN, STENO_ERROR_STORAGE_UNREACHABLE},
    {0, "SlowDown", S3_SLOW_DOWN, STENO_ERROR_STORAGE_UNREACHABLE},
    {0, "Throttling", S3_SLOW_DOWN, STENO_ERROR_STORAGE_UNREACHABLE},
    {0, "ThrottlingException", S3_SLOW_DOWN, STENO_ERROR_STORAGE_UNREACHABLE},
    {0, "ThrottledException", S3_SLOW_DOWN, STENO_ERROR_STORAGE_UNREACHABLE},
    {0, "RequestThrottled", S3_SLOW_DOWN, STENO_ERROR_STORAGE_UNREACHABLE},
    {0, "RequestThrottledException", S3_SLOW_DOWN, STENO_ERROR_STORAGE_UNREACHABLE},
    {0, "TooManyRequests", S3_SLOW_DOWN, STENO_ERROR_STORAGE_UNREACHABLE},
    {0, "TooManyRequestsException", S3_SLOW_DOWN, STENO_ERROR_STORAGE_UNREACHABLE},
    {0, "RequestLimitExceeded", S3_SLOW_DOWN, STENO_ERROR_STORAGE_UNREACHABLE},
    {0, "BandwidthLimitExceeded", S3_SLOW_DOWN, STENO_ERROR_STORAGE_UNREACHABLE},
    {0, "RequestTimeout", S3_RETRY_NOW, STENO_ERROR_STORAGE_UNREACHABLE},
    {0, "RequestTimeoutException", S3_RETRY_NOW, STENO_ERROR_STORAGE_UNREACHABLE},
    {0, "IncompleteBody", S3_RETRY, STENO_ERROR_STORAGE_UNREACHABLE},
    {0, "OperationAborted", S3_RETRY, STENO_ERROR_STORAGE_UNREACHABLE},
    {0, "RequestTimeTooSkewed", S3_SET_CLOCK, STENO_ERROR_STORAGE_DENIED, "set this machine's clock"},
    {0, "ExpiredToken", S3_RENEW_KEYS, STENO_ERROR_STORAGE_DENIED,
     "the session token of {key} has expired: give a new one"},
    {0, "ExpiredTokenException", S3_RENEW_KEYS, STENO_ERROR_STORAGE_DENIED,
     "the session token of {key} has expired: give a new one"},
    {0, "InvalidToken", S3_RENEW_KEYS, STENO_ERROR_STORAGE_DENIED, ADVICE_KEY},
    {0, "TokenRefreshRequired", S3_RENEW_KEYS, STENO_ERROR_STORAGE_DENIED, ADVICE_KEY},
    {0, "InvalidAccessKeyId", S3_RENEW_KEYS, STENO_ERROR_STORAGE_DENIED, ADVICE_KEY},
    {0, "XAdminUserNotFound", S3_RENEW_KEYS, STENO_ERROR_STORAGE_DENIED, ADVICE_KEY},
    {0, "SignatureDoesNotMatch", S3_RENEW_KEYS, STENO_ERROR_STORAGE_DENIED, ADVICE_KEY},
    {0, "PermanentRedirect", S3_LEARN_REGION, STENO_ERROR_STORAGE_DENIED, ADVICE_REGION},
    {0, "TemporaryRedirect", S3_LEARN_REGION, STENO_ERROR_STORAGE_DENIED, ADVICE_REGION},
    {0, "AuthorizationHeaderMalformed", S3_LEARN_REGION, STENO_ERROR_STORAGE_DENIED, ADVICE_REGION},
    {0, "IllegalLocationConstraintException", S3_LEARN_REGION, STENO_ERROR_STORAGE_DENIED, ADVICE_REGION},
    {0, "BadDigest", S3_READ_AGAIN, STENO_ERROR_STORAGE_FAILED},
    {0, "InvalidDigest", S3_READ_AGAIN, STENO_ERROR_STORAGE_FAILED},
    {0, "XAmzContentSHA256Mismatch", S3_READ_AGAIN, STENO_ERROR_STORAGE_FAILED},
    {0, "XAmzContentChecksumMismatch", S3_READ_AGAIN, STENO_ERROR_STORAGE_FAILED},
    {0, "ChecksumMismatch", S3_READ_AGAIN, STENO_ERROR_STORAGE_FAILED},
    {0, "NotImplemented", S3_LACKING, STENO_ERROR_STORAGE_DENIED, ADVICE_SETTINGS},
    {0, "NoSuchUpload", S3_NO_UPLOAD, STENO_ERROR_STORAGE_FAILED},
    {0, "InvalidPart", S3_PARTS_WRONG, STENO_ERROR_STORAGE_FAILED},
    {0, "InvalidPartOrder", S3_PARTS_WRONG, STENO_ERROR_STORAGE_FAILED},
    {0, "EntityTooSmall", S3_PARTS_WRONG, STENO_ERROR_STORAGE_FAILED},
    {0, "PreconditionFailed", S3_EXISTS, STENO_ERROR_STORAGE_FAILED},
    {0, "ConditionalRequestConflict", S3_CONFLICT, STENO_ERROR_STORAGE_FAILED},
    {0, "NoSuchBucket", S3_GIVE_UP, STENO_ERROR_STORAGE_DENIED, ADVICE_BUCKET},
    {0, "InvalidBucketName", S3_GIVE_UP, STENO_ERROR_STORAGE_DENIED, ADVICE_BUCKET},
    {0, "NoSuchKey", S3_MISSING, STENO_ERROR_NOT_FOUND},
    {0, "InvalidRange", S3_RANGE, STENO_ERROR_STORAGE_FAILED},
    {0, "QuotaExceeded", S3_GIVE_UP, STENO_ERROR_STORAGE_FULL, ADVICE_FULL},
    {0, "QuotaExceededException", S3_GIVE_UP, STENO_ERROR_STORAGE_FULL, ADVICE_FULL},
    {0, "StorageFull", S3_GIVE_UP, STENO_ERROR_STORAGE_FULL, ADVICE_FULL},
    {0, "XMinioStorageFull", S3_GIVE_UP, STENO_ERROR_STORAGE_FULL, ADVICE_FULL},
    {0, "InsufficientStorage", S3_GIVE_UP, STENO_ERROR_STORAGE_FULL, ADVICE_FULL},
    {0, "ObjectLockConfigurationNotFoundError", S3_GIVE_UP, STENO_ERROR_STORAGE_DENIED,
     "lock_mode and lock_legal_hold need a bucket that was made with Object Lock"},
    {0, "InvalidStorageClass", S3_GIVE_UP, STENO_ERROR_STORAGE_DENIED, "is storage_class right?"},
    {0, "InvalidRequest", S3_GIVE_UP, STENO_ERROR_STORAGE_DENIED, ADVICE_SETTINGS},
    {0, "InvalidArgument", S3_GIVE_UP, STENO_ERROR_STORAGE_DENIED, ADVICE_SETTINGS},
    {0, "InvalidEncryptionAlgorithmError", S3_GIVE_UP, STENO_ERROR_STORAGE_DENIED, "is encryption right?"},
    {0, "AccessDenied", S3_GIVE_UP, STENO_ERROR_STORAGE_DENIED, ADVICE_RIGHT},
    {301, NULL, S3_LEARN_REGION, STENO_ERROR_STORAGE_DENIED, ADVICE_REGION},
    {302, NULL, S3_LEARN_REGION, STENO_ERROR_STORAGE_DENIED, ADVICE_REGION},
    {303, NULL, S3_LEARN_REGION, STENO_ERROR_STORAGE_DENIED, ADVICE_REGION},
    {307, NULL, S3_LEARN_REGION, STENO_ERROR_STORAGE_DENIED, ADVICE_REGION},
    {308, NULL, S3_LEARN_REGION, STENO_ERROR_STORAGE_DENIED, ADVICE_REGION},
    {401, NULL, S3_GIVE_UP, STENO_ERROR_STORAGE_DENIED, ADVICE_KEY},
    {403, NULL, S3_GIVE_UP, STENO_ERROR_STORAGE_DENIED, ADVICE_RIGHT},
    {404, NULL, S3_MISSING, STENO_ERROR_NOT_FOUND},
    {405, NULL, S3_GIVE_UP, STENO_ERROR_STORAGE_DENIED, "is endpoint the address of an S3 server?"},
    {408, NULL, S3_RETRY_NOW, STENO_ERROR_STORAGE_UNREACHABLE},
    {409, NULL, S3_RETRY, STENO_ERROR_STORAGE_UNREACHABLE},
    {412, NULL, S3_EXISTS, STENO_ERROR_STORAGE_FAILED},
    {416, NULL, S3_RANGE, STENO_ERROR_STORAGE_FAILED},
    {429, NULL, S3_SLOW_DOWN, STENO_ERROR_STORAGE_UNREACHABLE},
    {500, NULL, S3_RETRY, STENO_ERROR_STORAGE_UNREACHABLE},
    {501, NULL, S3_LACKING, STENO_ERROR_STORAGE_DENIED, ADVICE_SETTINGS},
    {502, NULL, S3_RETRY, STENO_ERROR_STORAGE_UNREACHABLE},
    {503, NULL, S3_SLOW_DOWN, STENO_ERROR_STORAGE_UNREACHABLE},
    {504, NULL, S3_RETRY, STENO_ERROR_STORAGE_UNREACHABLE},
    {507, NULL, S3_GIVE_UP, STENO_ERROR_STORAGE_FULL, ADVICE_FULL},
    {509, NULL, S3_RETRY, STENO_ERROR_STORAGE_UNREACHABLE},
};

/* Without an answer. */
static const struct {
    S3Action action;
    StenoError error;
    const char *advice;
} outcomes[] = {
    [S3_SILENT] = {S3_RETRY, STENO_ERROR_STORAGE_UNREACHABLE, NULL},
    [S3_TIMED_OUT] = {S3_SLOW_DOWN, STENO_ERROR_STORAGE_UNREACHABLE, NULL},
    [S3_GUARDED] = {S3_GIVE_UP, STENO_ERROR_GEOFENCE, "this address is not within allow_endpoint_cidr"},
    [S3_UNTRUSTED] = {S3_GIVE_UP, STENO_ERROR_STORAGE_DENIED,
                      "is endpoint the name in its certificate, and ca_file right?"},
    [S3_TOO_LONG] = {S3_GIVE_UP, STENO_ERROR_STORAGE_FAILED, "is endpoint the address of an S3 server?"},
    [S3_SOURCE] = {S3_GIVE_UP, STENO_ERROR_SOURCE_DAMAGED, NULL},
    [S3_ENDED_EARLY] = {S3_GIVE_UP, STENO_ERROR_STORAGE_FAILED, NULL},
};

static void take_row(S3Verdict *verdict, guint status, const char *code)
{
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++)
        /* A 404 that says something else than NoSuchKey is not about the object. */
        if (rows[i].code ? g_strcmp0(rows[i].code, code) == 0 : rows[i].status == status && !(status == 404 && code)) {
            verdict->action = rows[i].action;
            verdict->error = rows[i].error;
            verdict->advice = rows[i].advice;
            return;
        }
    /* A 200 with an error that nobody knows, and whatever a server says of itself, will pass; what it says of our
     * request will not. */
    gboolean passes = status < 300 || status >= 500;
    verdict->action = passes ? S3_RETRY : S3_GIVE_UP;
    verdict->error = passes          ? STENO_ERROR_STORAGE_UNREACHABLE
                     : status == 404 ? STENO_ERROR_STORAGE_DENIED
                                     : STENO_ERROR_STORAGE_FAILED;
}

void s3_judge(const S3Transfer *transfer, S3Verdict *verdict)
{
    memset(verdict, 0, sizeof *verdict);
    if (transfer->outcome != S3_SENT) {
        verdict->action = outcomes[transfer->outcome].action;
        verdict->error = outcomes[transfer->outcome].error;
        verdict->advice = outcomes[transfer->outcome].advice;
        return;
    }
    gboolean failed = transfer->status < 200 || transfer->status >= 300;
    if (transfer->body->len > 0 &&
        s3_xml_read_error((const char *)transfer->body->data, transfer->body->len, &verdict->xml))
        failed = TRUE;
    if (!failed)
        return;
    take_row(verdict, transfer->status, verdict->xml.code);
    const char *region = s3_transfer_header(transfer, "x-amz-bucket-region");
    verdict->region = g_strdup(region ? region : verdict->xml.region);
}

void s3_verdict_clear(S3Verdict *verdict)
{
    s3_xml_error_clear(&verdict->xml);
    g_clear_pointer(&verdict->region, g_free);
}

/* ---- in words ---------------------------------------------------------------------------------------------------- */

/* What a stranger says, on one line and not too long. */
static void append_theirs(GString *message, const char *theirs)
{
    guint chars = 0;
    for (const char *c = theirs; *c && chars < MESSAGE_MAX_CHARS; c = g_utf8_next_char(c), chars++) {
        gunichar character = g_utf8_get_char(c);
        g_string_append_unichar(message, g_unichar_isprint(character) ? character : ' ');
    }
}

static void append_answer(GString *message, const S3Transfer *transfer, const S3Verdict *verdict)
{
    if (transfer->outcome != S3_SENT) {
        g_string_append(message, transfer->words);
        return;
    }
    g_string_append_printf(message, "%u", transfer->status);
    if (verdict->xml.code) {
        g_string_append_c(message, ' ');
        append_theirs(message, verdict->xml.code);
    }
    if (verdict->xml.message) {
        g_string_append(message, ": ");
        append_theirs(message, verdict->xml.message);
    }
    if (verdict->action == S3_LEARN_REGION && verdict->region) {
        g_string_append(message, ": the bucket is in region ");
        append_theirs(message, verdict->region);
    } else if (transfer->status >= 300 && transfer->status < 400) {
        g_string_append(message, ", a redirect, which is not followed");
    }
}

void s3_verdict_set_error(S3 *s3, const S3Request *request, const S3Transfer *transfer, const S3Keys *keys,
                          const S3Verdict *verdict, GError **error)
{
    g_autofree char *where = s3_where(s3), *region = s3_region(s3);
    GString *message = g_string_new(NULL);
    g_string_append_printf(message, "cannot %s %s%s%s: ", request->doing, request->key ? request->key : "",
                           request->key ? " in " : "", where);
    append_answer(message, transfer, verdict);
    if (verdict->advice) {
        GString *advice = g_string_new(verdict->advice);
        g_string_replace(advice, "{key}", keys ? keys->access_key_id : "?", 0);
        g_string_replace(advice, "{right}", request->right, 0);
        g_string_replace(advice, "{bucket}", s3->settings->bucket, 0);
        g_string_replace(advice, "{region}", region, 0);
        g_string_append_printf(message, "; %s", advice->str);
        g_string_free(advice, TRUE);
    }
    g_set_error_literal(error, STENO_ERROR, (gint)verdict->error, message->str);
    g_string_free(message, TRUE);
}
