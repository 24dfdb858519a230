#include "objects.h"

#include <string.h>

static gboolean refuse_list(S3 *s3, GError **error)
{
    g_autofree char *where = s3_where(s3);
    g_set_error(error, STENO_ERROR, STENO_ERROR_STORAGE_FAILED,
                "cannot list %s: its answer makes no sense; is endpoint the address of an S3 server?", where);
    return FALSE;
}

static S3XmlPage *run_page(S3Call *call, const S3Request *request,
                           S3XmlPage *(*read_page)(const char *xml, gsize bytes), GError **error)
{
    g_autoptr(S3Transfer) transfer = s3_call_run(call, request, FALSE, NULL, error);
    if (!transfer)
        return NULL;
    S3XmlPage *page = read_page((const char *)transfer->body->data, transfer->body->len);
    if (!page)
        refuse_list(call->s3, error);
    return page;
}

/* ---- objects ----------------------------------------------------------------------------------------------------- */

static gboolean list_objects(S3Call *call, const char *prefix,
                             gboolean (*found)(gpointer user, const char *key, gint64 bytes), gpointer user,
                             GError **error)
{
    g_autofree char *token = NULL;
    for (;;) {
        g_autoptr(S3Request) request = s3_request_new("list", "s3:ListBucket", "GET", NULL);
        s3_pairs_add(request->query, "list-type", "2");
        s3_pairs_add(request->query, "prefix", prefix);
        s3_pairs_add(request->query, "continuation-token", token);
        request->answer_max_bytes = S3_XML_MAX_BYTES;
        g_autoptr(S3XmlPage) page = run_page(call, request, s3_xml_read_objects, error);
        if (!page)
            return FALSE;
        for (guint i = 0; i < page->entries->len; i++) {
            const S3XmlEntry *entry = g_ptr_array_index(page->entries, i);
            if (!entry->key || entry->bytes < 0 || !g_str_has_prefix(entry->key, prefix))
                return refuse_list(call->s3, error);
            if (!found(user, entry->key, entry->bytes))
                return TRUE;
        }
        if (!page->truncated)
            return TRUE;
        if (g_strcmp0(token, page->next) == 0)
            return refuse_list(call->s3, error);
        g_free(token);
        token = g_steal_pointer(&page->next);
    }
}

gboolean s3_list(gpointer state, const char *prefix, gboolean (*found)(gpointer user, const char *key, gint64 bytes),
                 gpointer user, GCancellable *cancellable, GError **error)
{
    S3Call call;
    s3_call_begin(&call, state, cancellable);
    gboolean listed = list_objects(&call, prefix, found, user, error);
    s3_call_end(&call);
    return listed;
}

/* ---- uploads ----------------------------------------------------------------------------------------------------- */

gboolean s3_uploads_list(S3Call *call, const char *prefix,
                         gboolean (*found)(gpointer user, const S3XmlEntry *upload, GError **error), gpointer user,
                         GError **error)
{
    g_autofree char *key = NULL, *upload = NULL;
    for (;;) {
        g_autoptr(S3Request) request = s3_request_new("list uploads", "s3:ListBucketMultipartUploads", "GET", NULL);
        s3_pairs_add(request->query, "uploads", "");
        s3_pairs_add(request->query, "prefix", prefix);
        s3_pairs_add(request->query, "key-marker", key);
        s3_pairs_add(request->query, "upload-id-marker", upload);
        request->answer_max_bytes = S3_XML_MAX_BYTES;
        g_autoptr(S3XmlPage) page = run_page(call, request, s3_xml_read_uploads, error);
        if (!page)
            return FALSE;
        for (guint i = 0; i < page->entries->len; i++) {
            const S3XmlEntry *entry = g_ptr_array_index(page->entries, i);
            GError *failed = NULL;
            if (!entry->key || !entry->upload_id || !g_str_has_prefix(entry->key, prefix))
                return refuse_list(call->s3, error);
            if (!found(user, entry, &failed)) {
                if (failed)
                    g_propagate_error(error, failed);
                return !failed;
            }
        }
        if (!page->truncated)
            return TRUE;
        if (g_strcmp0(key, page->next) == 0 && g_strcmp0(upload, page->next_upload) == 0)
            return refuse_list(call->s3, error);
        g_free(key);
        g_free(upload);
        key = g_steal_pointer(&page->next);
        upload = g_steal_pointer(&page->next_upload);
    }
}

gboolean s3_upload_abort(S3Call *call, const char *key, const char *upload_id, GError **error)
{
    g_auto(S3Verdict) verdict = {0};
    g_autoptr(S3Request) request = s3_request_new("abort the upload of", "s3:AbortMultipartUpload", "DELETE", key);
    s3_pairs_add(request->query, "uploadId", upload_id);
    g_autoptr(GError) failed = NULL;
    g_autoptr(S3Transfer) transfer = s3_call_run(call, request, FALSE, &verdict, &failed);
    if (transfer || verdict.action == S3_NO_UPLOAD || verdict.action == S3_MISSING)
        return TRUE;
    g_propagate_error(error, g_steal_pointer(&failed));
    return FALSE;
}

typedef struct {
    S3Call *call;
    gboolean (*orphan)(gpointer user, const char *key, gint64 begun_us);
    gpointer user;
    guint *aborted;
} Orphans;

static gboolean abort_orphan(gpointer user, const S3XmlEntry *upload, GError **error)
{
    Orphans *orphans = user;
    g_autoptr(GTimeZone) utc = g_time_zone_new_utc();
    g_autoptr(GDateTime) time = upload->time ? g_date_time_new_from_iso8601(upload->time, utc) : NULL;
    gint64 begun_us = time ? g_date_time_to_unix(time) * G_USEC_PER_SEC + g_date_time_get_microsecond(time) : 0;
    if (!orphans->orphan(orphans->user, upload->key, begun_us))
        return TRUE;
    if (!s3_upload_abort(orphans->call, upload->key, upload->upload_id, error))
        return FALSE;
    (*orphans->aborted)++;
    return TRUE;
}

gboolean s3_abort_orphans(gpointer state, const char *prefix,
                          gboolean (*orphan)(gpointer user, const char *key, gint64 begun_us), gpointer user,
                          guint *aborted, GCancellable *cancellable, GError **error)
{
    S3Call call;
    Orphans orphans = {&call, orphan, user, aborted};
    s3_call_begin(&call, state, cancellable);
    gboolean done = s3_uploads_list(&call, prefix, abort_orphan, &orphans, error);
    s3_call_end(&call);
    return done;
}
