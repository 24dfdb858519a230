#include "lock.h"

#include <string.h>

/* ---- Object Lock ------------------------------------------------------------------------------------------------- */

static gboolean wants_retention(const S3 *s3)
{
    return strcmp(s3->settings->lock_mode, "none") != 0;
}

gboolean s3_lock_wanted(const S3 *s3)
{
    return wants_retention(s3) || s3->settings->lock_legal_hold;
}

static char *retain_until(S3 *s3)
{
    g_autoptr(GDateTime) now = g_date_time_new_from_unix_utc(s3_now_wall_us(s3) / G_USEC_PER_SEC);
    g_autoptr(GDateTime) until = g_date_time_add_days(now, (gint)s3->settings->lock_days);
    return g_date_time_format(until, "%Y-%m-%dT%H:%M:%SZ");
}

void s3_lock_add_headers(S3 *s3, S3Request *request)
{
    if (wants_retention(s3)) {
        g_autofree char *until = retain_until(s3), *mode = g_ascii_strup(s3->settings->lock_mode, -1);
        s3_pairs_add(request->headers, "x-amz-object-lock-mode", mode);
        s3_pairs_add(request->headers, "x-amz-object-lock-retain-until-date", until);
    }
    if (s3->settings->lock_legal_hold)
        s3_pairs_add(request->headers, "x-amz-object-lock-legal-hold", "ON");
}

/* PUT of a small document about the object, with the checksum that such requests must have. */
static gboolean put_document(S3Call *call, const char *key, const char *about, const char *right, const char *document,
                             GError **error)
{
    S3ChecksumKind kind = s3_checksum_kind(call->s3);
    guint8 digest[S3_CHECKSUM_MAX_BYTES];
    S3Checksum *checksum = s3_checksum_begin(kind);
    s3_checksum_add(checksum, document, strlen(document));
    s3_checksum_end(checksum, digest);
    g_autofree char *text = g_base64_encode(digest, s3_checksum_bytes(kind));
    g_autoptr(S3Request) request = s3_request_new("lock", right, "PUT", key);
    s3_pairs_add(request->query, about, "");
    s3_pairs_add(request->headers, s3_checksum_header(kind), text);
    s3_request_set_body(request, g_strdup(document));
    g_autoptr(S3Transfer) transfer = s3_call_run(call, request, FALSE, NULL, error);
    return transfer != NULL;
}

gboolean s3_lock_ensure(S3Call *call, const char *key, const S3Object *object, GError **error)
{
    S3 *s3 = call->s3;
    if (wants_retention(s3) && !object->retained) {
        g_autofree char *until = retain_until(s3), *mode = g_ascii_strup(s3->settings->lock_mode, -1);
        g_autofree char *document = g_strdup_printf("<Retention xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"
                                                    "<Mode>%s</Mode><RetainUntilDate>%s</RetainUntilDate></Retention>",
                                                    mode, until);
        if (!put_document(call, key, "retention", "s3:PutObjectRetention", document, error))
            return FALSE;
    }
    if (s3->settings->lock_legal_hold && !object->held)
        return put_document(call, key, "legal-hold", "s3:PutObjectLegalHold",
                            "<LegalHold xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Status>ON</Status>"
                            "</LegalHold>",
                            error);
    return TRUE;
}

gboolean s3_lock_check(S3Call *call, GError **error)
{
    g_auto(S3Verdict) verdict = {0};
    g_autoptr(GError) failed = NULL;
    g_autoptr(S3Request) request =
        s3_request_new("look at Object Lock of", "s3:GetBucketObjectLockConfiguration", "GET", NULL);
    s3_pairs_add(request->query, "object-lock", "");
    g_autoptr(S3Transfer) transfer = s3_call_run(call, request, FALSE, &verdict, &failed);
    /* Who may not look, or cannot, is told by the first upload. */
    if (transfer || g_strcmp0(verdict.xml.code, "AccessDenied") == 0 || verdict.action == S3_LACKING)
        return TRUE;
    g_propagate_error(error, g_steal_pointer(&failed));
    return FALSE;
}

/* ---- encryption -------------------------------------------------------------------------------------------------- */

void s3_encryption_add_headers(S3 *s3, S3Request *request)
{
    const StenoConfigStorage *settings = s3->settings;
    if (strcmp(settings->encryption, "aes256") == 0)
        s3_pairs_add(request->headers, "x-amz-server-side-encryption", "AES256");
    if (strcmp(settings->encryption, "kms") == 0) {
        s3_pairs_add(request->headers, "x-amz-server-side-encryption", "aws:kms");
        s3_pairs_add(request->headers, "x-amz-server-side-encryption-aws-kms-key-id", settings->kms_key_id);
    }
    s3_request_add_customer_key(s3, request);
}

gboolean s3_encryption_check(S3 *s3, const S3Transfer *transfer, const char *key, GError **error)
{
    const char *encryption = s3->settings->encryption;
    const char *header =
        s3->customer_key ? "x-amz-server-side-encryption-customer-algorithm" : "x-amz-server-side-encryption";
    if (strcmp(encryption, "none") == 0 || s3_transfer_header(transfer, header))
        return TRUE;
    g_autofree char *where = s3_where(s3);
    g_set_error(error, STENO_ERROR, STENO_ERROR_STORAGE_DENIED,
                "cannot store %s in %s: it takes the request for encryption = \"%s\", and does not encrypt", key, where,
                encryption);
    return FALSE;
}
