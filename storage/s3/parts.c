/* The parts of a multipart upload: cut, compared with what is there, sent many at a time. */
#include "multipart.h"

#include <string.h>

/* Many parts that fail at once are one reason to slow down, not many. */
#define SLOW_DOWN_AT_MOST_EVERY_US G_USEC_PER_SEC

/* ---- parts ------------------------------------------------------------------------------------------------------- */

static gboolean is_md5(const char *etag, const S3Cut *cut)
{
    g_autofree char *hex = s3_cut_md5_hex(cut);
    return hex && s3_upload_is_etag(etag, hex);
}

/* Is it there already, byte by byte? */
static gboolean is_listed(const S3Part *part)
{
    g_autofree char *checksum = part->cut.kind > S3_CHECKSUM_MD5 ? s3_cut_checksum(&part->cut) : NULL;
    if (part->listed_bytes != part->cut.bytes || !part->listed_etag)
        return FALSE;
    if (checksum && part->listed_checksum)
        return strcmp(checksum, part->listed_checksum) == 0;
    return !checksum && is_md5(part->listed_etag, &part->cut);
}

static void store_part(S3Multipart *multipart, S3Part *part, const char *etag)
{
    part->state = S3_PART_STORED;
    part->etag = g_strdup(etag);
    if (part->cut.has_md5 && !is_md5(etag, &part->cut))
        multipart->etags_are_md5 = FALSE;
    g_clear_pointer(&part->request, s3_request_free);
    s3_tries_clear(&part->tries);
    multipart->n_stored++;
    multipart->upload->stored_bytes += part->cut.bytes;
    s3_upload_tell(multipart->upload, NULL);
}

static S3Request *part_request(const S3Multipart *multipart, const S3Part *part)
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
static gboolean take_cuts(S3Multipart *multipart, GError **error)
{
    S3Cut cut;
    GError *failed = NULL;
    while (multipart->n_cut < multipart->n_parts && s3_cutter_take(multipart->cutter, &cut, &failed)) {
        S3Part *part = &multipart->parts[multipart->n_cut++];
        part->cut = cut;
        part->state = S3_PART_READY;
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
static gboolean start_parts(S3Multipart *multipart, gint64 *until_mono_us, GError **error)
{
    S3Upload *upload = multipart->upload;
    gint64 now_mono_us = g_get_monotonic_time();
    *until_mono_us = G_MAXINT64;
    while (multipart->first_open < multipart->n_cut && multipart->parts[multipart->first_open].state == S3_PART_STORED)
        multipart->first_open++;
    for (guint i = multipart->first_open;
         i < multipart->n_cut && s3_session_running(upload->call.session) < multipart->at_a_time; i++) {
        S3Part *part = &multipart->parts[i];
        if (part->state != S3_PART_READY)
            continue;
        if (part->not_before_mono_us > now_mono_us) {
            *until_mono_us = MIN(*until_mono_us, part->not_before_mono_us);
            continue;
        }
        if (!part->request)
            part->request = part_request(multipart, part);
        if (!s3_call_start(&upload->call, part->request, &part->tries, part, error))
            return FALSE;
        part->state = S3_PART_SENDING;
    }
    return TRUE;
}

/* ---- how many at a time ------------------------------------------------------------------------------------------ */

static void speed_up(S3Multipart *multipart)
{
    guint most = (guint)multipart->upload->s3->settings->parallel;
    if (++multipart->in_a_row < multipart->at_a_time)
        return;
    multipart->in_a_row = 0;
    multipart->at_a_time = MIN(multipart->at_a_time + 1, most);
}

static void slow_down(S3Multipart *multipart)
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
static gboolean reread(S3Multipart *multipart, const S3Part *part, GError **error)
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

static S3Uploaded part_ended(S3Multipart *multipart, const S3Transfer *transfer, GError **error)
{
    S3Upload *upload = multipart->upload;
    S3Part *part = transfer->owner;
    gint64 wait_us;
    g_auto(S3Verdict) verdict = {0};
    g_autoptr(GError) failed = NULL;
    const char *etag = s3_transfer_header(transfer, "etag");
    s3_judge(transfer, &verdict);
    if (verdict.action == S3_ACCEPT && !etag) {
        verdict.action = S3_RETRY; /* it says yes, and has nothing to show for it */
        verdict.error = STENO_ERROR_STORAGE_UNREACHABLE;
    }
    part->state = S3_PART_READY;
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

static S3Uploaded send_parts(S3Multipart *multipart, GError **error)
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

gboolean s3_multipart_is_for_nothing(const S3Multipart *multipart, S3Uploaded uploaded, const GError *error)
{
    return uploaded == S3_UPLOAD_FAILED &&
           (!multipart->remembered || g_error_matches(error, STENO_ERROR, STENO_ERROR_SOURCE_DAMAGED));
}

/* A part that is stored behind an abort would stay for ever: those on their way come first. */
static void let_end(const S3Multipart *multipart)
{
    S3Session *session = multipart->upload->call.session;
    gint64 until_mono_us = g_get_monotonic_time() + S3_ABORT_WITHIN_US;
    while (s3_session_running(session) > 0 && g_get_monotonic_time() < until_mono_us)
        s3_transfer_free(s3_session_next(session, until_mono_us, NULL));
}

S3Uploaded s3_multipart_send(S3Multipart *multipart, GError **error)
{
    S3Upload *upload = multipart->upload;
    S3CutterOptions options = {.fd = upload->fd,
                               .bytes = multipart->memo.bytes,
                               .part_bytes = multipart->memo.part_bytes,
                               .kind = upload->kind,
                               .with_md5 = multipart->listed && upload->kind == S3_CHECKSUM_NONE,
                               .last_with_md5 = upload->compares_etags,
                               .ahead = (guint)upload->s3->settings->parallel,
                               .ready = on_cut,
                               .user = upload->call.session};
    multipart->cutter = s3_cutter_new(&options);
    S3Uploaded uploaded = send_parts(multipart, error);
    s3_cutter_free(multipart->cutter);
    if (uploaded == S3_AFRESH || s3_multipart_is_for_nothing(multipart, uploaded, *error))
        let_end(multipart);
    s3_session_drop_all(upload->call.session);
    return uploaded;
}
