/* A multipart upload: begun or gone on with, its parts sent many at a time, completed. */
#include "upload.h"

#include "lock.h"

#include <string.h>

#define PARTS_MAX 10000
#define PARALLEL_AT_FIRST 2
/* Many parts that fail at once are one reason to slow down, not many. */
#define SLOW_DOWN_AT_MOST_EVERY_US G_USEC_PER_SEC
/* What is not remembered anywhere is aborted within this time when it fails. */
#define ABORT_WITHIN_US (5 * G_USEC_PER_SEC)

typedef enum { PART_UNCUT, PART_READY, PART_SENDING, PART_STORED } PartState;

typedef struct {
    PartState state;
    guint number;
    S3Cut cut;
    gint64 listed_bytes; /* as ListParts told them; -1: it did not */
    char *listed_etag, *listed_checksum;
    char *etag;
    S3Request *request;
    S3Tries tries;
    gint64 not_before_mono_us;
} Part;

typedef struct {
    S3Upload *upload;
    S3Memo memo;
    Part *parts;
    guint n_parts, n_cut, n_stored, first_open; /* parts before first_open are stored */
    S3Cutter *cutter;
    gboolean listed, remembered, etags_are_md5; /* remembered: by a memo that is written */
    guint at_a_time, in_a_row;                  /* AIMD */
    gint64 slowed_mono_us;
} Multipart;

/* ---- beginning --------------------------------------------------------------------------------------------------- */

static gboolean create(Multipart *multipart, S3Uploaded *uploaded, GError **error)
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
    GPtrArray *ids;
} Stale;

static gboolean keep_stale(gpointer user, const S3XmlEntry *entry, GError **error)
{
    (void)error;
    Stale *stale = user;
    if (strcmp(entry->key, stale->upload->put->key) == 0)
        g_ptr_array_add(stale->ids, g_strdup(entry->upload_id));
    return TRUE;
}

/*
 * Uploads of this key that nobody remembers: a crash between their beginning and the memo. They hold no part that is
 * worth anything, and what they were begun with is not known. Who may not list them leaves them to abort_orphans().
 */
static void abort_stale(S3Upload *upload)
{
    g_autoptr(GError) ignored = NULL;
    g_autoptr(GPtrArray) ids = g_ptr_array_new_with_free_func(g_free);
    Stale stale = {upload, ids};
    gboolean listed = s3_uploads_list(&upload->call, upload->put->key, keep_stale, &stale, &ignored);
    for (guint i = 0; listed && i < ids->len; i++)
        listed = s3_upload_abort(&upload->call, upload->put->key, g_ptr_array_index(ids, i), &ignored);
    if (!listed)
        steno_debug(upload->s3->log, "%s", ignored->message);
}

static gboolean begin(Multipart *multipart, S3Uploaded *uploaded, GError **error)
{
    S3Upload *upload = multipart->upload;
    g_autoptr(GError) failed = NULL;
    abort_stale(upload);
    if (!create(multipart, uploaded, error))
        return FALSE;
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
static gboolean remembers(Multipart *multipart)
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

static void keep_listed(Multipart *multipart, S3XmlPage *page)
{
    for (guint i = 0; i < page->entries->len; i++) {
        S3XmlEntry *entry = g_ptr_array_index(page->entries, i);
        if (entry->number < 1 || entry->number > multipart->n_parts)
            continue;
        Part *part = &multipart->parts[entry->number - 1];
        part->listed_bytes = entry->bytes;
        g_free(part->listed_etag);
        g_free(part->listed_checksum);
        part->listed_etag = g_steal_pointer(&entry->etag);
        part->listed_checksum = g_steal_pointer(&entry->checksum);
    }
}

/* What is there of it; each part is compared with the file when it is cut. */
static gboolean list_parts(Multipart *multipart, S3Uploaded *uploaded, GError **error)
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

static void make_parts(Multipart *multipart)
{
    gint64 bytes = multipart->memo.bytes, part_bytes = multipart->memo.part_bytes;
    multipart->n_parts = (guint)((bytes + part_bytes - 1) / part_bytes);
    multipart->parts = g_new0(Part, multipart->n_parts);
    for (guint i = 0; i < multipart->n_parts; i++) {
        multipart->parts[i].number = i + 1;
        multipart->parts[i].listed_bytes = -1;
    }
}

/* ---- parts ------------------------------------------------------------------------------------------------------- */

static char *md5_hex(const S3Cut *cut)
{
    char hex[33];
    for (guint i = 0; i < sizeof cut->md5; i++)
        g_snprintf(hex + 2 * i, 3, "%02x", cut->md5[i]);
    return g_strdup(hex);
}

static gboolean is_md5(const char *etag, const S3Cut *cut)
{
    g_autofree char *hex = md5_hex(cut), *bare = g_strdup(etag);
    g_strdelimit(bare, "\"", ' ');
    return cut->has_md5 && strcmp(g_strstrip(bare), hex) == 0;
}

/* Is it there already, byte by byte? */
static gboolean is_listed(const Part *part)
{
    g_autofree char *checksum = part->cut.kind > S3_CHECKSUM_MD5 ? s3_cut_checksum(&part->cut) : NULL;
    if (part->listed_bytes != part->cut.bytes || !part->listed_etag)
        return FALSE;
    if (checksum && part->listed_checksum)
        return strcmp(checksum, part->listed_checksum) == 0;
    return !checksum && is_md5(part->listed_etag, &part->cut);
}

static void store_part(Multipart *multipart, Part *part, const char *etag)
{
    part->state = PART_STORED;
    part->etag = g_strdup(etag);
    if (!is_md5(etag, &part->cut))
        multipart->etags_are_md5 = FALSE;
    g_clear_pointer(&part->request, s3_request_free);
    s3_tries_clear(&part->tries);
    multipart->n_stored++;
    multipart->upload->stored_bytes += part->cut.bytes;
    s3_upload_tell(multipart->upload, NULL);
}

static S3Request *part_request(const Multipart *multipart, const Part *part)
{
    S3Upload *upload = multipart->upload;
    S3Request *request = s3_request_new("store a part of", "s3:PutObject", "PUT", upload->put->key);
    g_autofree char *checksum = s3_cut_checksum(&part->cut);
    s3_pairs_add_number(request->query, "partNumber", part->number);
    s3_pairs_add(request->query, "uploadId", multipart->memo.upload_id);
    s3_request_set_file(request, upload->fd, part->cut.offset, part->cut.bytes, part->cut.sha256_hex);
    s3_request_add_customer_key(upload->s3, request);
    if (checksum)
        s3_pairs_add(request->headers, s3_checksum_header(part->cut.kind), checksum);
    return request;
}

/* Takes what the cutter has; FALSE: an error. */
static gboolean take_cuts(Multipart *multipart, GError **error)
{
    S3Cut cut;
    GError *failed = NULL;
    while (multipart->n_cut < multipart->n_parts && s3_cutter_take(multipart->cutter, &cut, &failed)) {
        Part *part = &multipart->parts[multipart->n_cut++];
        part->cut = cut;
        part->state = PART_READY;
        if (multipart->n_cut == multipart->n_parts &&
            !s3_upload_check_source(multipart->upload, s3_cutter_whole_hex(multipart->cutter), error))
            return FALSE;
        if (is_listed(part))
            store_part(multipart, part, part->listed_etag);
    }
    if (failed)
        g_propagate_error(error, failed);
    return !failed;
}

/* Starts as many as may be on their way; returns when the next one may start that waits for its turn. */
static gboolean start_parts(Multipart *multipart, gint64 *until_mono_us, GError **error)
{
    S3Upload *upload = multipart->upload;
    gint64 now_mono_us = g_get_monotonic_time();
    *until_mono_us = G_MAXINT64;
    while (multipart->first_open < multipart->n_cut && multipart->parts[multipart->first_open].state == PART_STORED)
        multipart->first_open++;
    for (guint i = multipart->first_open;
         i < multipart->n_cut && s3_session_running(upload->call.session) < multipart->at_a_time; i++) {
        Part *part = &multipart->parts[i];
        if (part->state != PART_READY)
            continue;
        if (part->not_before_mono_us > now_mono_us) {
            *until_mono_us = MIN(*until_mono_us, part->not_before_mono_us);
            continue;
        }
        if (!part->request)
            part->request = part_request(multipart, part);
        if (!s3_call_start(&upload->call, part->request, &part->tries, part, error))
            return FALSE;
        part->state = PART_SENDING;
    }
    return TRUE;
}

/* ---- how many at a time ------------------------------------------------------------------------------------------ */

static void speed_up(Multipart *multipart)
{
    guint most = (guint)multipart->upload->s3->settings->parallel;
    if (++multipart->in_a_row < multipart->at_a_time)
        return;
    multipart->in_a_row = 0;
    multipart->at_a_time = MIN(multipart->at_a_time + 1, most);
}

static void slow_down(Multipart *multipart)
{
    gint64 now_mono_us = g_get_monotonic_time();
    multipart->in_a_row = 0;
    if (now_mono_us - multipart->slowed_mono_us < SLOW_DOWN_AT_MOST_EVERY_US)
        return;
    multipart->slowed_mono_us = now_mono_us;
    multipart->at_a_time = MAX(multipart->at_a_time / 2, 1);
}

/* ---- sending ----------------------------------------------------------------------------------------------------- */

/* The bytes that arrived were not those that were hashed: are they still what they were? */
static gboolean reread(Multipart *multipart, const Part *part, GError **error)
{
    S3Upload *upload = multipart->upload;
    S3Cut again = part->cut;
    if (!s3_cut(upload->fd, &again, FALSE, NULL, upload->call.cancellable, error))
        return FALSE;
    if (strcmp(again.sha256_hex, part->cut.sha256_hex) == 0)
        return TRUE;
    g_set_error(error, STENO_ERROR, STENO_ERROR_SOURCE_DAMAGED,
                "%s changes while it is read, at byte %" G_GINT64_FORMAT, upload->put->source, part->cut.offset);
    return FALSE;
}

static S3Uploaded part_ended(Multipart *multipart, const S3Transfer *transfer, GError **error)
{
    S3Upload *upload = multipart->upload;
    Part *part = transfer->owner;
    gint64 wait_us;
    g_auto(S3Verdict) verdict = {0};
    g_autoptr(GError) failed = NULL;
    const char *etag = s3_transfer_header(transfer, "etag");
    s3_judge(transfer, &verdict);
    if (verdict.action == S3_ACCEPT && !etag) {
        verdict.action = S3_RETRY; /* it says yes, and has nothing to show for it */
        verdict.error = STENO_ERROR_STORAGE_UNREACHABLE;
    }
    part->state = PART_READY;
    S3Next next = s3_call_next(&upload->call, part->request, transfer, &part->tries, &verdict, &wait_us, &failed);
    if (next == S3_ACCEPTED) {
        store_part(multipart, part, etag);
        speed_up(multipart);
        return S3_UPLOADED;
    }
    if (verdict.action == S3_SLOW_DOWN)
        slow_down(multipart);
    if (verdict.action == S3_READ_AGAIN && !reread(multipart, part, error))
        return S3_UPLOAD_FAILED;
    if (next == S3_OVER)
        return s3_upload_over(upload, &verdict, part->request, &failed, error);
    part->not_before_mono_us = g_get_monotonic_time() + wait_us;
    return S3_UPLOADED;
}

static S3Uploaded send_parts(Multipart *multipart, GError **error)
{
    S3Upload *upload = multipart->upload;
    while (multipart->n_stored < multipart->n_parts) {
        gint64 until_mono_us;
        if (!take_cuts(multipart, error) || !start_parts(multipart, &until_mono_us, error))
            return S3_UPLOAD_FAILED;
        if (multipart->n_stored == multipart->n_parts)
            break;
        g_autoptr(S3Transfer) transfer = s3_session_next(upload->call.session, until_mono_us, upload->call.cancellable);
        S3Uploaded uploaded = transfer ? part_ended(multipart, transfer, error) : S3_UPLOADED;
        if (uploaded != S3_UPLOADED)
            return uploaded;
        if (!store_goes_on(upload->call.cancellable, error))
            return S3_UPLOAD_FAILED;
    }
    return S3_UPLOADED;
}

static void on_cut(gpointer session)
{
    s3_session_wake(session);
}

/* What will not be gone on with: nothing is remembered, or the file is not what it was. */
static gboolean is_for_nothing(const Multipart *multipart, S3Uploaded uploaded, const GError *error)
{
    return uploaded == S3_UPLOAD_FAILED &&
           (!multipart->remembered || g_error_matches(error, STENO_ERROR, STENO_ERROR_SOURCE_DAMAGED));
}

/* A part that is stored behind an abort would stay for ever: those on their way come first. */
static void let_end(const Multipart *multipart)
{
    S3Session *session = multipart->upload->call.session;
    gint64 until_mono_us = g_get_monotonic_time() + ABORT_WITHIN_US;
    while (s3_session_running(session) > 0 && g_get_monotonic_time() < until_mono_us)
        s3_transfer_free(s3_session_next(session, until_mono_us, NULL));
}

static S3Uploaded send_all(Multipart *multipart, GError **error)
{
    S3Upload *upload = multipart->upload;
    S3CutterOptions options = {.fd = upload->fd,
                               .bytes = multipart->memo.bytes,
                               .part_bytes = multipart->memo.part_bytes,
                               .kind = upload->kind,
                               .with_md5 = multipart->listed && upload->kind == S3_CHECKSUM_NONE,
                               .ahead = (guint)upload->s3->settings->parallel,
                               .ready = on_cut,
                               .user = upload->call.session};
    multipart->cutter = s3_cutter_new(&options);
    S3Uploaded uploaded = send_parts(multipart, error);
    s3_cutter_free(multipart->cutter);
    if (is_for_nothing(multipart, uploaded, *error))
        let_end(multipart);
    s3_session_drop_all(upload->call.session);
    return uploaded;
}

/* ---- completing -------------------------------------------------------------------------------------------------- */

/* <CompleteMultipartUpload> */
static char *complete_body(const Multipart *multipart)
{
    S3ChecksumKind kind = multipart->upload->kind;
    GString *xml = g_string_new("<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
    for (guint i = 0; i < multipart->n_parts; i++) {
        const Part *part = &multipart->parts[i];
        g_autofree char *etag = g_markup_escape_text(part->etag, -1);
        g_string_append_printf(xml, "<Part><PartNumber>%u</PartNumber><ETag>%s</ETag>", part->number, etag);
        if (kind > S3_CHECKSUM_MD5) {
            g_autofree char *checksum = s3_cut_checksum(&part->cut);
            g_string_append_printf(xml, "<Checksum%s>%s</Checksum%s>", s3_checksum_algorithm(kind), checksum,
                                   s3_checksum_algorithm(kind));
        }
        g_string_append(xml, "</Part>");
    }
    g_string_append(xml, "</CompleteMultipartUpload>");
    return g_string_free(xml, FALSE);
}

/* The digest of the parts' digests, "-N" behind it; of CRC64NVME: of the whole. */
static char *checksum_of_all(const Multipart *multipart, S3ChecksumKind kind)
{
    guint8 digest[S3_CHECKSUM_MAX_BYTES] = {0};
    gsize bytes = s3_checksum_bytes(kind);
    if (kind == S3_CHECKSUM_CRC64NVME) {
        for (guint i = 0; i < multipart->n_parts; i++)
            s3_crc64nvme_combine(digest, multipart->parts[i].cut.checksum, (guint64)multipart->parts[i].cut.bytes);
        return g_base64_encode(digest, bytes);
    }
    S3Checksum *checksum = s3_checksum_begin(kind);
    for (guint i = 0; i < multipart->n_parts; i++)
        s3_checksum_add(
            checksum, kind == S3_CHECKSUM_MD5 ? multipart->parts[i].cut.md5 : multipart->parts[i].cut.checksum, bytes);
    s3_checksum_end(checksum, digest);
    if (kind == S3_CHECKSUM_MD5) {
        S3Cut as_hex = {0};
        memcpy(as_hex.md5, digest, sizeof as_hex.md5);
        g_autofree char *hex = md5_hex(&as_hex);
        return g_strdup_printf("%s-%u", hex, multipart->n_parts);
    }
    g_autofree char *text = g_base64_encode(digest, bytes);
    return g_strdup_printf("%s-%u", text, multipart->n_parts);
}

static S3Uploaded complete(Multipart *multipart, GError **error)
{
    S3Upload *upload = multipart->upload;
    g_auto(S3Verdict) verdict = {0};
    g_autoptr(GError) failed = NULL;
    if (upload->kind > S3_CHECKSUM_MD5)
        upload->checksum = checksum_of_all(multipart, upload->kind);
    if (multipart->etags_are_md5)
        upload->etag = checksum_of_all(multipart, S3_CHECKSUM_MD5);
    g_autoptr(S3Request) request = s3_request_new("complete", "s3:PutObject", "POST", upload->put->key);
    s3_pairs_add(request->query, "uploadId", multipart->memo.upload_id);
    s3_request_set_body(request, complete_body(multipart));
    s3_upload_add_guard(upload, request);
    if (upload->kind == S3_CHECKSUM_CRC64NVME) {
        s3_pairs_add(request->headers, s3_checksum_header(upload->kind), upload->checksum);
        s3_pairs_add(request->headers, "x-amz-checksum-type", "FULL_OBJECT");
    }
    request->slow = TRUE;
    g_autoptr(S3Transfer) transfer = s3_call_run(&upload->call, request, FALSE, &verdict, &failed);
    if (!transfer)
        return s3_upload_over(upload, &verdict, request, &failed, error);
    /* A 200 that says nothing: the proof tells. */
    if (!s3_xml_is_completed((const char *)transfer->body->data, transfer->body->len))
        steno_debug(upload->s3->log, "completing %s was answered without a result", upload->put->key);
    return S3_UPLOADED;
}

/* ---- the whole --------------------------------------------------------------------------------------------------- */

/* What is to be sent again by somebody stays where it is when it is remembered. */
static void give_up(Multipart *multipart, S3Uploaded uploaded, const GError *error)
{
    S3Upload *upload = multipart->upload;
    if (!multipart->memo.upload_id || (uploaded == S3_UPLOAD_FAILED && !is_for_nothing(multipart, uploaded, error)))
        return;
    if (multipart->remembered && uploaded == S3_AFRESH)
        return; /* s3_upload_over() has dropped it, or the next round goes on with it */
    g_autoptr(GError) ignored = NULL;
    upload->call.cancellable = NULL;
    upload->call.deadline_mono_us = g_get_monotonic_time() + ABORT_WITHIN_US;
    if (!s3_upload_abort(&upload->call, upload->put->key, multipart->memo.upload_id, &ignored))
        steno_warning(upload->s3->log, "an upload is left behind: %s", ignored->message);
    upload->call.cancellable = upload->put->cancellable;
    upload->call.deadline_mono_us = 0;
    if (upload->memo_path)
        s3_memo_remove(upload->memo_path);
}

static void clear(Multipart *multipart)
{
    for (guint i = 0; i < multipart->n_parts; i++) {
        Part *part = &multipart->parts[i];
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
    Multipart multipart = {.upload = upload,
                           .at_a_time = MIN(PARALLEL_AT_FIRST, (guint)upload->s3->settings->parallel)};
    multipart.listed = multipart.remembered = remembers(&multipart);
    gboolean begun = multipart.listed || begin(&multipart, &uploaded, &failed);
    if (begun) {
        make_parts(&multipart);
        multipart.etags_are_md5 = upload->kind == S3_CHECKSUM_MD5;
    }
    if (begun && multipart.listed)
        begun = list_parts(&multipart, &uploaded, &failed);
    if (begun)
        uploaded = send_all(&multipart, &failed);
    if (begun && uploaded == S3_UPLOADED)
        uploaded = complete(&multipart, &failed);
    if (uploaded != S3_UPLOADED)
        give_up(&multipart, uploaded, failed);
    clear(&multipart);
    if (failed)
        g_propagate_error(error, failed);
    return uploaded;
}
