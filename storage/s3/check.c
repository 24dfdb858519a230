#include "lock.h"

#include "steno/base/job.h"

#include <string.h>

#define WITHIN_US (9 * G_USEC_PER_SEC)

/* What stands before the first {…} of the template, to its last '/': where this storage's keys are. */
static char *probe_key(S3 *s3)
{
    const char *template = store_key_template(s3->store);
    g_autofree char *constant = g_strndup(template, strcspn(template, "{"));
    char *slash = strrchr(constant, '/');
    g_autofree char *id = steno_job_new_id();
    if (slash)
        slash[1] = '\0';
    return g_strdup_printf("%s.steno-check-%s", slash ? constant : "", id);
}

/* Where nothing that was put may be taken away again: an upload that is begun and aborted leaves nothing. */
static gboolean check_upload(S3Call *call, const char *key, GError **error)
{
    g_autoptr(S3Request) request = s3_request_new("begin to store", "s3:PutObject", "POST", key);
    s3_pairs_add(request->query, "uploads", "");
    s3_request_set_body(request, g_strdup(""));
    s3_encryption_add_headers(call->s3, request);
    s3_lock_add_headers(call->s3, request);
    g_autoptr(S3Transfer) transfer = s3_call_run(call, request, FALSE, NULL, error);
    g_autofree char *id =
        transfer ? s3_xml_read_upload_id((const char *)transfer->body->data, transfer->body->len) : NULL;
    if (!transfer)
        return FALSE;
    if (id)
        return s3_upload_abort(call, key, id, error);
    g_autofree char *where = s3_where(call->s3);
    g_set_error(error, STENO_ERROR, STENO_ERROR_STORAGE_DENIED,
                "%s does not answer as an S3 server does; is endpoint right?", where);
    return FALSE;
}

static gboolean delete_version(S3Call *call, const char *key, const char *version, GError **error)
{
    g_autoptr(S3Request) request = s3_request_new("remove", "s3:DeleteObjectVersion", "DELETE", key);
    s3_pairs_add(request->query, "versionId", version);
    g_autoptr(S3Transfer) transfer = s3_call_run(call, request, FALSE, NULL, error);
    return transfer != NULL;
}

/*
 * May an object be taken away again, without a trace? Removing what is not there tells. A bucket with versions would
 * keep the object, and has left a mark of the removal.
 */
static gboolean find_removable(S3Call *call, const char *key, gboolean *removable, GError **error)
{
    g_auto(S3Verdict) verdict = {0};
    g_autoptr(GError) failed = NULL;
    g_autoptr(S3Request) request = s3_request_new("remove", "s3:DeleteObject", "DELETE", key);
    g_autoptr(S3Transfer) transfer = s3_call_run(call, request, FALSE, &verdict, &failed);
    const char *version = transfer ? s3_transfer_header(transfer, "x-amz-version-id") : NULL;
    g_autoptr(GError) ignored = NULL;
    if (version && !delete_version(call, key, version, &ignored))
        steno_debug(call->s3->log, "%s", ignored->message);
    *removable = (transfer && !version) || verdict.action == S3_MISSING;
    if (transfer || g_strcmp0(verdict.xml.code, "AccessDenied") == 0)
        return TRUE;
    g_propagate_error(error, g_steal_pointer(&failed));
    return FALSE;
}

static gboolean check_object(S3Call *call, const char *key, GError **error)
{
    g_autoptr(S3Request) request = s3_request_new("store", "s3:PutObject", "PUT", key);
    s3_request_set_body(request, g_strdup(""));
    s3_encryption_add_headers(call->s3, request);
    g_autoptr(S3Transfer) transfer = s3_call_run(call, request, FALSE, NULL, error);
    if (!transfer)
        return FALSE;
    g_auto(S3Object) object = {0};
    gboolean right = s3_encryption_check(call->s3, transfer, key, error) &&
                     s3_object_head(call, key, S3_CHECKSUM_NONE, FALSE, &object, error);
    g_autoptr(GError) left = NULL;
    if (!s3_object_delete(call, key, right ? error : &left))
        return FALSE;
    return right;
}

static gboolean check_all(S3Call *call, GError **error)
{
    g_autofree char *key = probe_key(call->s3);
    gboolean removable = FALSE;
    if (s3_lock_wanted(call->s3) ? !s3_lock_check(call, error) : !find_removable(call, key, &removable, error))
        return FALSE;
    return removable ? check_object(call, key, error) : check_upload(call, key, error);
}

gboolean s3_check(gpointer state, GCancellable *cancellable, GError **error)
{
    S3Call call;
    s3_call_begin(&call, state, cancellable);
    call.deadline_mono_us = g_get_monotonic_time() + WITHIN_US;
    gboolean well = check_all(&call, error);
    s3_call_end(&call);
    return well;
}
