#include "objects.h"

#include "../digest.h"

#include "steno/base/clock.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

/* ---- HEAD -------------------------------------------------------------------------------------------------------- */

void s3_object_clear(S3Object *object)
{
    g_clear_pointer(&object->sha256_hex, g_free);
    g_clear_pointer(&object->etag, g_free);
    g_clear_pointer(&object->checksum, g_free);
}

static gint64 wall_us_of(const char *iso)
{
    g_autoptr(GTimeZone) utc = g_time_zone_new_utc();
    g_autoptr(GDateTime) time = iso ? g_date_time_new_from_iso8601(iso, utc) : NULL;
    return time ? g_date_time_to_unix(time) * G_USEC_PER_SEC : 0;
}

static void read_lock(S3 *s3, const S3Transfer *transfer, S3Object *object)
{
    const char *mode = s3_transfer_header(transfer, "x-amz-object-lock-mode");
    gint64 until_us = wall_us_of(s3_transfer_header(transfer, "x-amz-object-lock-retain-until-date"));
    object->held = g_strcmp0(s3_transfer_header(transfer, "x-amz-object-lock-legal-hold"), "ON") == 0;
    object->retained = mode && mode[0] && until_us > s3_now_wall_us(s3);
}

gboolean s3_object_head(S3Call *call, const char *key, S3ChecksumKind kind, gboolean brief, S3Object *object,
                        GError **error)
{
    guint64 bytes = 0;
    g_autoptr(S3Request) request = s3_request_new("look at", "s3:GetObject", "HEAD", key);
    s3_request_add_customer_key(call->s3, request);
    const char *header = s3_checksum_header(kind);
    if (kind > S3_CHECKSUM_MD5)
        s3_pairs_add(request->headers, "x-amz-checksum-mode", "ENABLED");
    g_autoptr(S3Transfer) transfer = s3_call_run(call, request, brief, NULL, error);
    if (!transfer)
        return FALSE;
    const char *length = s3_transfer_header(transfer, "content-length");
    const char *modified = s3_transfer_header(transfer, "last-modified");
    if (!length || !g_ascii_string_to_unsigned(length, 10, 0, G_MAXINT64, &bytes, NULL)) {
        g_autofree char *where = s3_where(call->s3);
        g_set_error(error, STENO_ERROR, STENO_ERROR_STORAGE_FAILED, "%s does not tell the size of %s", where, key);
        return FALSE;
    }
    time_t seconds = modified ? curl_getdate(modified, NULL) : -1;
    object->bytes = (gint64)bytes;
    object->modified_us = seconds > 0 ? (gint64)seconds * G_USEC_PER_SEC : 0;
    object->sha256_hex = g_strdup(s3_transfer_header(transfer, S3_META_SHA256));
    object->etag = g_strdup(s3_transfer_header(transfer, "etag"));
    object->checksum = kind > S3_CHECKSUM_MD5 ? g_strdup(s3_transfer_header(transfer, header)) : NULL;
    read_lock(call->s3, transfer, object);
    return TRUE;
}

gboolean s3_stat(gpointer state, const char *key, gint64 *bytes, gint64 *modified_us, GCancellable *cancellable,
                 GError **error)
{
    S3Call call;
    g_auto(S3Object) object = {0};
    s3_call_begin(&call, state, cancellable);
    gboolean there = s3_object_head(&call, key, S3_CHECKSUM_NONE, FALSE, &object, error);
    s3_call_end(&call);
    *bytes = object.bytes;
    *modified_us = object.modified_us;
    return there;
}

/* ---- fetching ---------------------------------------------------------------------------------------------------- */

typedef struct {
    S3 *s3;
    S3Call *call;
    const char *key;
    gint64 offset, end; /* what is to come: end -1: all */
    char *etag;         /* of the first answer: the rest must be of the same object */
    gboolean (*take)(gpointer user, const guint8 *data, gsize bytes, GError **error);
    gpointer user;
    gboolean judged; /* this answer's headers */
    GError *error;   /* of take(), or of an answer that makes no sense */
} Fetch;

static gboolean refuse_answer(Fetch *fetch, const char *why)
{
    g_autofree char *where = s3_where(fetch->s3);
    g_set_error(&fetch->error, STENO_ERROR, STENO_ERROR_STORAGE_FAILED, "cannot read %s in %s: %s", fetch->key, where,
                why);
    return FALSE;
}

/* Are these the bytes that were asked for? */
static gboolean is_range(Fetch *fetch, const S3Transfer *transfer)
{
    const char *range = s3_transfer_header(transfer, "content-range");
    g_autofree char *expected = g_strdup_printf("bytes %" G_GINT64_FORMAT "-", fetch->offset);
    if (transfer->status == 206 && !(range && g_str_has_prefix(range, expected)))
        return refuse_answer(fetch, "it sent other bytes than were asked for");
    if (transfer->status == 200 && fetch->offset > 0)
        return refuse_answer(fetch, "it cannot send a part of an object");
    if (!fetch->etag)
        fetch->etag = g_strdup(s3_transfer_header(transfer, "etag"));
    return TRUE;
}

static gboolean take_bytes(gpointer user, const S3Transfer *transfer, const guint8 *data, gsize bytes)
{
    Fetch *fetch = user;
    if (!fetch->judged && !is_range(fetch, transfer))
        return FALSE;
    fetch->judged = TRUE;
    if (fetch->end >= 0)
        bytes = (gsize)MIN((gint64)bytes, fetch->end - fetch->offset);
    if (!fetch->take(fetch->user, data, bytes, &fetch->error))
        return FALSE;
    fetch->offset += (gint64)bytes;
    fetch->call->succeeded_mono_us = g_get_monotonic_time();
    return TRUE;
}

static S3Request *fetch_request(Fetch *fetch)
{
    S3Request *request = s3_request_new("read", "s3:GetObject", "GET", fetch->key);
    s3_request_add_customer_key(fetch->s3, request);
    if (fetch->offset > 0 || fetch->end >= 0) {
        g_autofree char *last = fetch->end >= 0 ? g_strdup_printf("%" G_GINT64_FORMAT, fetch->end - 1) : g_strdup("");
        g_autofree char *range = g_strdup_printf("bytes=%" G_GINT64_FORMAT "-%s", fetch->offset, last);
        s3_pairs_add(request->headers, "range", range);
    }
    s3_pairs_add(request->headers, "if-match", fetch->etag);
    request->take = take_bytes;
    request->user = fetch;
    fetch->judged = FALSE;
    return request;
}

/* Nothing lies behind the end: that is a 416, too. */
static gboolean is_at_end(Fetch *fetch)
{
    g_auto(S3Object) object = {0};
    return s3_object_head(fetch->call, fetch->key, S3_CHECKSUM_NONE, FALSE, &object, NULL) &&
           object.bytes == fetch->offset;
}

/* An answer that breaks off is asked for again from where it did. */
static gboolean fetch_all(Fetch *fetch, GError **error)
{
    g_auto(S3Tries) tries = {0};
    for (;;) {
        gint64 wait_us;
        g_auto(S3Verdict) verdict = {0};
        g_autoptr(S3Request) request = fetch_request(fetch);
        g_autoptr(S3Transfer) transfer = s3_call_start(fetch->call, request, &tries, NULL, error);
        if (!transfer)
            return FALSE;
        if (!s3_session_await(fetch->call->session, transfer, fetch->call->cancellable))
            return store_goes_on(fetch->call->cancellable, error);
        if (transfer->outcome == S3_ENDED_EARLY) {
            g_propagate_error(error, g_steal_pointer(&fetch->error));
            return FALSE;
        }
        s3_judge(transfer, &verdict);
        if (verdict.action == S3_RANGE && fetch->end < 0 && is_at_end(fetch))
            return TRUE;
        S3Next next = s3_call_next(fetch->call, request, transfer, &tries, &verdict, &wait_us, error);
        if (next != S3_AGAIN)
            return next == S3_ACCEPTED;
        if (!store_wait(wait_us, fetch->call->cancellable, error))
            return FALSE;
        if (fetch->end >= 0 && fetch->offset >= fetch->end)
            return TRUE;
    }
}

gboolean s3_fetch(gpointer state, const char *key, gint64 offset, gint64 length,
                  gboolean (*take)(gpointer user, const guint8 *data, gsize bytes, GError **error), gpointer user,
                  GCancellable *cancellable, GError **error)
{
    S3Call call;
    Fetch fetch = {.s3 = state,
                   .call = &call,
                   .key = key,
                   .offset = offset,
                   .end = length < 0 ? -1 : offset + length,
                   .take = take,
                   .user = user};
    if (length == 0)
        return TRUE;
    s3_call_begin(&call, state, cancellable);
    gboolean fetched = fetch_all(&fetch, error);
    s3_call_end(&call);
    g_free(fetch.etag);
    g_clear_error(&fetch.error);
    return fetched;
}

typedef struct {
    GByteArray *data;
    gsize max_bytes;
    const char *key;
} Small;

static gboolean keep_small(gpointer user, const guint8 *data, gsize bytes, GError **error)
{
    Small *small = user;
    if (small->data->len + bytes > small->max_bytes) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_STORAGE_FAILED, "%s is larger than %zu bytes", small->key,
                    small->max_bytes);
        return FALSE;
    }
    g_byte_array_append(small->data, data, (guint)bytes);
    return TRUE;
}

GBytes *s3_read(gpointer state, const char *key, gsize max_bytes, GCancellable *cancellable, GError **error)
{
    Small small = {g_byte_array_new(), max_bytes, key};
    gboolean read = s3_fetch(state, key, 0, -1, keep_small, &small, cancellable, error);
    GBytes *bytes = g_byte_array_free_to_bytes(small.data);
    if (!read)
        g_clear_pointer(&bytes, g_bytes_unref);
    return bytes;
}

/* ---- verifying --------------------------------------------------------------------------------------------------- */

static gboolean differs(S3 *s3, const char *key, GError **error, const char *what, const char *theirs, const char *ours)
{
    g_autofree char *where = s3_where(s3);
    g_set_error(error, STENO_ERROR, STENO_ERROR_VERIFY_FAILED, "%s in %s: its %s is %s, but should be %s", key, where,
                what, theirs ? theirs : "not told", ours);
    return FALSE;
}

static gboolean verify_size(S3 *s3, const char *key, gint64 theirs, gint64 ours, GError **error)
{
    if (theirs == ours)
        return TRUE;
    g_autofree char *their_text = g_strdup_printf("%" G_GINT64_FORMAT " bytes", theirs);
    g_autofree char *our_text = g_strdup_printf("%" G_GINT64_FORMAT, ours);
    return differs(s3, key, error, "size", their_text, our_text);
}

static gboolean verify_stored(S3 *s3, const char *key, gint64 bytes, const char *sha256_hex, GCancellable *cancellable,
                              GError **error)
{
    S3Call call;
    g_auto(S3Object) object = {0};
    s3_call_begin(&call, s3, cancellable);
    gboolean there = s3_object_head(&call, key, S3_CHECKSUM_NONE, FALSE, &object, error);
    s3_call_end(&call);
    if (!there || !verify_size(s3, key, object.bytes, bytes, error))
        return FALSE;
    return g_strcmp0(object.sha256_hex, sha256_hex) == 0 ||
           differs(s3, key, error, "SHA-256", object.sha256_hex, sha256_hex);
}

typedef struct {
    S3Checksum *sha256;
    gint64 bytes;
} Count;

static gboolean count(gpointer user, const guint8 *data, gsize bytes, GError **error)
{
    (void)error;
    Count *counted = user;
    s3_checksum_add(counted->sha256, data, bytes);
    counted->bytes += (gint64)bytes;
    return TRUE;
}

gboolean s3_verify(gpointer state, const char *key, gint64 bytes, const char *sha256_hex, StenoProof proof,
                   GCancellable *cancellable, GError **error)
{
    if (proof == STENO_PROOF_STORED)
        return verify_stored(state, key, bytes, sha256_hex, cancellable, error);
    char hex[STENO_STORAGE_SHA256_HEX_BYTES];
    guint8 digest[S3_CHECKSUM_MAX_BYTES];
    Count counted = {s3_checksum_begin(S3_CHECKSUM_SHA256), 0};
    gboolean read = s3_fetch(state, key, 0, -1, count, &counted, cancellable, error);
    s3_checksum_end(counted.sha256, digest);
    for (guint i = 0; i < sizeof digest; i++)
        snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    if (!read || !verify_size(state, key, counted.bytes, bytes, error))
        return FALSE;
    return strcmp(hex, sha256_hex) == 0 || differs(state, key, error, "SHA-256", hex, sha256_hex);
}

/* ---- removing ---------------------------------------------------------------------------------------------------- */

gboolean s3_object_delete(S3Call *call, const char *key, GError **error)
{
    g_autoptr(S3Request) request = s3_request_new("remove", "s3:DeleteObject", "DELETE", key);
    g_autoptr(S3Transfer) transfer = s3_call_run(call, request, FALSE, NULL, error);
    return transfer != NULL;
}

/*
 * A bucket with versions would take a DELETE of a locked object and only hide it: who is not to delete is told so
 * before.
 */
static gboolean remove_unlocked(S3Call *call, const char *key, GError **error)
{
    g_auto(S3Object) object = {0};
    if (!s3_object_head(call, key, S3_CHECKSUM_NONE, FALSE, &object, error))
        return FALSE;
    if (!object.retained && !object.held)
        return s3_object_delete(call, key, error);
    g_autofree char *where = s3_where(call->s3);
    g_set_error(error, STENO_ERROR, STENO_ERROR_LEGAL_HOLD,
                "cannot remove %s in %s: Object Lock (a retention or legal hold) forbids it", key, where);
    return FALSE;
}

gboolean s3_remove(gpointer state, const char *key, gboolean folders, GCancellable *cancellable, GError **error)
{
    (void)folders;
    S3Call call;
    s3_call_begin(&call, state, cancellable);
    gboolean removed = remove_unlocked(&call, key, error);
    s3_call_end(&call);
    return removed;
}

/* ---- presigning -------------------------------------------------------------------------------------------------- */

/* filename* as RFC 6266 and RFC 8187 want it. */
static char *disposition_of(const char *name)
{
    g_autofree char *encoded = s3_encode(name);
    return g_strdup_printf("attachment; filename*=UTF-8''%s", encoded);
}

char *s3_presign(gpointer state, const char *key, const char *name, const char *media_type, GCancellable *cancellable,
                 GError **error)
{
    S3 *s3 = state;
    if (s3->customer_key || strcmp(s3->settings->downloads, "stream") == 0)
        return NULL;
    g_autoptr(S3Keys) keys = s3_credentials_get(s3->credentials, NULL, cancellable, error);
    if (!keys)
        return NULL;
    g_autofree char *region = s3_region(s3), *host = s3_host(s3, region);
    g_autofree char *clear_path =
        s3->virtual_host ? g_strdup_printf("/%s", key) : g_strdup_printf("/%s/%s", s3->settings->bucket, key);
    g_autofree char *path = s3_encode_path(clear_path), *disposition = name ? disposition_of(name) : NULL;
    S3Pair headers[] = {{"host", host}, {NULL}};
    g_autoptr(S3Pairs) query = s3_pairs_new();
    s3_pairs_add(query, "response-content-disposition", disposition);
    s3_pairs_add(query, "response-content-type", media_type);
    S3ToSign sign = {.method = "GET",
                     .path = path,
                     .query = s3_pairs_list(query),
                     .headers = headers,
                     .payload_sha256_hex = S3_UNSIGNED_PAYLOAD,
                     .region = region,
                     .service = "s3",
                     .wall_us = s3_now_wall_us(s3)};
    g_autofree char *signed_query = s3_presign_query(&sign, keys, (guint)s3->settings->presign_s);
    return g_strdup_printf("%s://%s%s?%s", s3->scheme, host, path, signed_query);
}
