/* A multipart upload: begun, or gone on with, and what becomes of it when it fails. */
#include "multipart.h"

#include "lock.h"

#include <string.h>

#define PARTS_MAX 10000
#define PARALLEL_AT_FIRST 2

/* ---- beginning --------------------------------------------------------------------------------------------------- */

static gboolean create(S3Multipart *multipart, S3Uploaded *uploaded, GError **error)
{
    S3Upload *upload = multipart->upload;
    g_auto(S3Verdict) verdict = {0};
    g_autoptr(GError) failed = NULL;
    g_autoptr(S3Request) request = s3_request_new("begin to store", "s3:PutObject", "POST", upload->put->key);
    s3_pairs_add(request->query, "uploads", "");
    s3_request_set_body(request, g_strdup(""));
    s3_upload_add_headers(upload, request);
    if (upload->kind > S3_CHECKSUM_MD5) {
        s3_pairs_add(request->headers, "x-amz-checksum-algorithm", s3_checksum_algorithm(upload->kind));
        s3_pairs_add(request->headers, "x-amz-checksum-type",
                     upload->kind == S3_CHECKSUM_CRC64NVME ? "FULL_OBJECT" : "COMPOSITE");
    }
    g_autoptr(S3Transfer) transfer = s3_call_run(&upload->call, request, FALSE, &verdict, &failed);
    if (!transfer) {
        *uploaded = s3_upload_over(upload, &verdict, request, &failed, error);
        return FALSE;
    }
    multipart->memo.upload_id = s3_xml_read_upload_id((const char *)transfer->body->data, transfer->body->len);
    *uploaded = S3_UPLOAD_FAILED;
    if (multipart->memo.upload_id)
        return s3_encryption_check(upload->s3, transfer, upload->put->key, error);
    g_autofree char *where = s3_where(upload->s3);
    g_set_error(error, STENO_ERROR, STENO_ERROR_STORAGE_FAILED,
                "%s begins an upload without telling its id; is endpoint the address of an S3 server?", where);
    return FALSE;
}

static gint64 choose_part_bytes(const S3Upload *upload)
{
    gint64 part_bytes = upload->s3->settings->part_bytes;
    while ((upload->put->bytes + part_bytes - 1) / part_bytes > PARTS_MAX)
        part_bytes *= 2;
    return part_bytes;
}

typedef struct {
    S3Upload *upload;
    const char *but; /* not this one; or NULL */
    GPtrArray *ids;
} Stale;

static gboolean keep_stale(gpointer user, const S3XmlEntry *entry, GError **error)
{
    (void)error;
    Stale *stale = user;
    if (strcmp(entry->key, stale->upload->put->key) == 0 && g_strcmp0(entry->upload_id, stale->but) != 0)
        g_ptr_array_add(stale->ids, g_strdup(entry->upload_id));
    return TRUE;
}

/*
 * Uploads of this key that nobody remembers: a crash between their beginning and the memo, or an answer with their id
 * that was lost. They hold no part that is worth anything, and what they were begun with is not known. Who may not list
 * them leaves them to abort_orphans().
 */
static void abort_stale(S3Upload *upload, const char *but)
{
    g_autoptr(GError) ignored = NULL;
    g_autoptr(GPtrArray) ids = g_ptr_array_new_with_free_func(g_free);
    Stale stale = {upload, but, ids};
    gboolean listed = s3_uploads_list(&upload->call, upload->put->key, keep_stale, &stale, &ignored);
    for (guint i = 0; listed && i < ids->len; i++)
        listed = s3_upload_abort(&upload->call, upload->put->key, g_ptr_array_index(ids, i), &ignored);
    if (!listed)
        steno_debug(upload->s3->log, "%s", ignored->message);
}

static gboolean begin(S3Multipart *multipart, S3Uploaded *uploaded, GError **error)
{
    S3Upload *upload = multipart->upload;
    g_autoptr(GError) failed = NULL;
    abort_stale(upload, NULL);
    guint before = upload->call.attempts_again;
    if (!create(multipart, uploaded, error))
        return FALSE;
    if (upload->call.attempts_again > before)
        abort_stale(upload, multipart->memo.upload_id);
    multipart->memo.part_bytes = choose_part_bytes(upload);
    multipart->memo.bytes = upload->put->bytes;
    multipart->memo.sha256_hex = g_strdup(upload->put->sha256_hex);
    multipart->memo.settings = s3_upload_settings(upload);
    multipart->remembered = upload->memo_path && s3_memo_write(upload->memo_path, &multipart->memo, &failed);
    if (failed)
        steno_warning(upload->s3->log, "the upload cannot be gone on with after a crash: %s", failed->message);
    return TRUE;
}

/* ---- going on ---------------------------------------------------------------------------------------------------- */

/* What was begun for the same contents, with the same settings. */
static gboolean remembers(S3Multipart *multipart)
{
    S3Upload *upload = multipart->upload;
    if (!upload->memo_path || !s3_memo_read(upload->memo_path, &multipart->memo))
        return FALSE;
    g_autofree char *settings = s3_upload_settings(upload);
    const S3Memo *memo = &multipart->memo;
    if (memo->bytes == upload->put->bytes && strcmp(memo->sha256_hex, upload->put->sha256_hex) == 0 &&
        strcmp(memo->settings, settings) == 0 && (memo->bytes - 1) / memo->part_bytes < PARTS_MAX)
        return TRUE;
    s3_memo_clear(&multipart->memo);
    s3_upload_forget(upload);
    return FALSE;
}

void s3_upload_forget(S3Upload *upload)
{
    g_auto(S3Memo) memo = {0};
    g_autoptr(GError) ignored = NULL;
    if (!upload->memo_path || !s3_memo_read(upload->memo_path, &memo))
        return;
    if (!s3_upload_abort(&upload->call, upload->put->key, memo.upload_id, &ignored))
        steno_debug(upload->s3->log, "%s", ignored->message);
    s3_memo_remove(upload->memo_path);
}

static void keep_listed(S3Multipart *multipart, S3XmlPage *page)
{
    for (guint i = 0; i < page->entries->len; i++) {
        S3XmlEntry *entry = g_ptr_array_index(page->entries, i);
        if (entry->number < 1 || entry->number > multipart->n_parts)
            continue;
        S3Part *part = &multipart->parts[entry->number - 1];
        part->listed_bytes = entry->bytes;
        g_free(part->listed_etag);
        g_free(part->listed_checksum);
        part->listed_etag = g_steal_pointer(&entry->etag);
        part->listed_checksum = g_steal_pointer(&entry->checksum);
    }
}

/* What is there of it; each part is compared with the file when it is cut. */
static gboolean list_parts(S3Multipart *multipart, S3Uploaded *uploaded, GError **error)
{
    S3Upload *upload = multipart->upload;
    g_autofree char *marker = NULL;
    for (guint pages = 0; pages <= PARTS_MAX; pages++) {
        g_auto(S3Verdict) verdict = {0};
        g_autoptr(GError) failed = NULL;
        g_autoptr(S3Request) request =
            s3_request_new("list the parts of", "s3:ListMultipartUploadParts", "GET", upload->put->key);
        s3_pairs_add(request->query, "uploadId", multipart->memo.upload_id);
        s3_pairs_add(request->query, "part-number-marker", marker);
        request->answer_max_bytes = S3_XML_MAX_BYTES;
        g_autoptr(S3Transfer) transfer = s3_call_run(&upload->call, request, FALSE, &verdict, &failed);
        if (!transfer && (verdict.action == S3_NO_UPLOAD || verdict.action == S3_MISSING)) {
            s3_memo_remove(upload->memo_path);
            *uploaded = S3_AFRESH;
            return FALSE;
        }
        if (!transfer) {
            *uploaded = s3_upload_over(upload, &verdict, request, &failed, error);
            return FALSE;
        }
        g_autoptr(S3XmlPage) page = s3_xml_read_parts((const char *)transfer->body->data, transfer->body->len);
        if (!page)
            return TRUE; /* then everything is sent again */
        keep_listed(multipart, page);
        if (!page->truncated || g_strcmp0(marker, page->next) == 0)
            return TRUE;
        g_free(marker);
        marker = g_steal_pointer(&page->next);
    }
    return TRUE;
}

static void make_parts(S3Multipart *multipart)
{
    gint64 bytes = multipart->memo.bytes, part_bytes = multipart->memo.part_bytes;
    multipart->n_parts = (guint)((bytes + part_bytes - 1) / part_bytes);
    multipart->parts = g_new0(S3Part, multipart->n_parts);
    for (guint i = 0; i < multipart->n_parts; i++) {
        multipart->parts[i].number = i + 1;
        multipart->parts[i].listed_bytes = -1;
    }
}

/* ---- the whole --------------------------------------------------------------------------------------------------- */

/* What is to be sent again by somebody stays where it is when it is remembered. */
static void give_up(S3Multipart *multipart, S3Uploaded uploaded, const GError *error)
{
    S3Upload *upload = multipart->upload;
    if (!multipart->memo.upload_id ||
        (uploaded == S3_UPLOAD_FAILED && !s3_multipart_is_for_nothing(multipart, uploaded, error)))
        return;
    if (multipart->remembered && uploaded == S3_AFRESH)
        return; /* s3_upload_over() has dropped it, or the next round goes on with it */
    g_autoptr(GError) ignored = NULL;
    upload->call.cancellable = NULL;
    upload->call.deadline_mono_us = g_get_monotonic_time() + S3_ABORT_WITHIN_US;
    if (!s3_upload_abort(&upload->call, upload->put->key, multipart->memo.upload_id, &ignored))
        steno_warning(upload->s3->log, "an upload is left behind: %s", ignored->message);
    upload->call.cancellable = upload->put->cancellable;
    upload->call.deadline_mono_us = 0;
    if (upload->memo_path)
        s3_memo_remove(upload->memo_path);
}

static void clear(S3Multipart *multipart)
{
    for (guint i = 0; i < multipart->n_parts; i++) {
        S3Part *part = &multipart->parts[i];
        g_free(part->listed_etag);
        g_free(part->listed_checksum);
        g_free(part->etag);
        s3_request_free(part->request);
        s3_tries_clear(&part->tries);
    }
    g_free(multipart->parts);
    s3_memo_clear(&multipart->memo);
}

S3Uploaded s3_upload_parts(S3Upload *upload, GError **error)
{
    S3Uploaded uploaded = S3_UPLOADED;
    GError *failed = NULL;
    S3Multipart multipart = {.upload = upload,
                             .at_a_time = MIN(PARALLEL_AT_FIRST, (guint)upload->s3->settings->parallel)};
    multipart.listed = multipart.remembered = remembers(&multipart);
    gboolean begun = multipart.listed || begin(&multipart, &uploaded, &failed);
    if (begun) {
        make_parts(&multipart);
        multipart.etags_are_md5 = upload->compares_etags;
    }
    if (begun && multipart.listed)
        begun = list_parts(&multipart, &uploaded, &failed);
    if (begun)
        uploaded = s3_multipart_send(&multipart, &failed);
    if (begun && uploaded == S3_UPLOADED)
        uploaded = s3_multipart_complete(&multipart, &failed);
    if (uploaded != S3_UPLOADED)
        give_up(&multipart, uploaded, failed);
    clear(&multipart);
    if (failed)
        g_propagate_error(error, failed);
    return uploaded;
}
