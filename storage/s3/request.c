#include "request.h"

#include "steno/base/error.h"

#include <string.h>

/* The largest answer with credentials in it. */
#define PLAIN_ANSWER_MAX_BYTES (64 * 1024)
#define PLAIN_QUIET_S 10
/* While an upload is put together, nothing may move for much longer. */
#define SLOW_FACTOR 10

/* ---- what is asked ----------------------------------------------------------------------------------------------- */

S3Request *s3_request_new(const char *doing, const char *right, const char *method, const char *key)
{
    S3Request *request = g_new0(S3Request, 1);
    request->doing = doing;
    request->right = right;
    request->method = method;
    request->key = g_strdup(key);
    request->query = s3_pairs_new();
    request->headers = s3_pairs_new();
    request->fd = -1;
    request->bytes = -1;
    g_strlcpy(request->sha256_hex, S3_SHA256_OF_NOTHING, sizeof request->sha256_hex);
    request->answer_max_bytes = S3_ANSWER_MAX_BYTES;
    return request;
}

void s3_request_free(S3Request *request)
{
    if (!request)
        return;
    g_free(request->key);
    s3_pairs_free(request->query);
    s3_pairs_free(request->headers);
    g_free(request->body);
    g_free(request);
}

void s3_request_set_body(S3Request *request, char *body)
{
    g_autofree char *hex = g_compute_checksum_for_string(G_CHECKSUM_SHA256, body, -1);
    request->body = body;
    request->bytes = (gint64)strlen(body);
    g_strlcpy(request->sha256_hex, hex, sizeof request->sha256_hex);
}

void s3_request_set_file(S3Request *request, int fd, gint64 offset, gint64 bytes, const char *sha256_hex)
{
    request->fd = fd;
    request->offset = offset;
    request->bytes = bytes;
    g_strlcpy(request->sha256_hex, sha256_hex, sizeof request->sha256_hex);
}

void s3_request_add_customer_key(const S3 *s3, S3Request *request)
{
    if (!s3->customer_key)
        return;
    s3_pairs_add(request->headers, "x-amz-server-side-encryption-customer-algorithm", "AES256");
    s3_pairs_add(request->headers, "x-amz-server-side-encryption-customer-key", steno_secret_text(s3->customer_key));
    s3_pairs_add(request->headers, "x-amz-server-side-encryption-customer-key-md5", s3->customer_key_md5);
}

/* ---- sent -------------------------------------------------------------------------------------------------------- */

/* Not every server takes signatures of headers that are none of Amazon's (Google's), and proxies may change them. */
static gboolean is_signed(const char *name)
{
    return g_str_has_prefix(name, "x-amz-") || strcmp(name, "host") == 0 || strcmp(name, "content-md5") == 0;
}

static S3Pairs *headers_of(const S3Request *request, const S3Keys *keys, const char *host, gint64 wall_us)
{
    S3Pairs *headers = s3_pairs_copy(request->headers);
    g_autofree char *date = s3_date(wall_us);
    s3_pairs_add(headers, "host", host);
    s3_pairs_add(headers, "x-amz-date", date);
    s3_pairs_add(headers, "x-amz-content-sha256", request->sha256_hex);
    if (keys->session_token)
        s3_pairs_add(headers, "x-amz-security-token", steno_secret_text(keys->session_token));
    return headers;
}

static void sign(S3ToSign *sign_this, S3Pairs *headers, const S3Keys *keys)
{
    g_autoptr(S3Pairs) those = s3_pairs_new();
    for (const S3Pair *header = s3_pairs_list(headers); header->name; header++)
        if (is_signed(header->name))
            s3_pairs_add(those, header->name, header->value);
    sign_this->headers = s3_pairs_list(those);
    g_autofree char *authorization = s3_sign(sign_this, keys);
    s3_pairs_add(headers, "authorization", authorization);
}

static char *path_of(const S3 *s3, const S3Request *request)
{
    g_autofree char *path = NULL;
    if (s3->virtual_host)
        path = g_strdup_printf("/%s", request->key ? request->key : "");
    else
        path =
            g_strdup_printf("/%s%s%s", s3->settings->bucket, request->key ? "/" : "", request->key ? request->key : "");
    return s3_encode_path(path);
}

S3Transfer *s3_request_start(S3 *s3, S3Session *session, const S3Request *request, const S3Keys *keys,
                             gint64 deadline_mono_us, gpointer owner)
{
    gint64 wall_us = s3_now_wall_us(s3);
    g_autofree char *region = s3_region(s3), *host = s3_host(s3, region);
    g_autofree char *path = path_of(s3, request), *query = s3_encode_query(s3_pairs_list(request->query));
    g_autoptr(S3Pairs) headers = headers_of(request, keys, host, wall_us);
    S3ToSign sign_this = {.method = request->method,
                          .path = path,
                          .query = s3_pairs_list(request->query),
                          .payload_sha256_hex = request->sha256_hex,
                          .region = region,
                          .service = "s3",
                          .wall_us = wall_us};
    sign(&sign_this, headers, keys);
    g_autofree char *url = g_strdup_printf("%s://%s%s%s%s", s3->scheme, host, path, query[0] ? "?" : "", query);
    S3Send send = {.method = request->method,
                   .url = url,
                   .headers = s3_pairs_list(headers),
                   .body = request->body,
                   .fd = request->fd,
                   .offset = request->offset,
                   .bytes = request->bytes,
                   .paced = request->fd >= 0,
                   .quiet_s = (guint)s3->settings->timeout_s * (request->slow ? SLOW_FACTOR : 1),
                   .deadline_mono_us = deadline_mono_us,
                   .answer_max_bytes = request->answer_max_bytes,
                   .take = request->take,
                   .user = request->user};
    return s3_transfer_start(session, &send, owner);
}

/* ---- for credentials --------------------------------------------------------------------------------------------- */

static S3Pairs *pairs_of_lines(const char *const *lines)
{
    S3Pairs *pairs = s3_pairs_new();
    for (; lines && *lines; lines++) {
        g_auto(GStrv) parts = g_strsplit(*lines, ":", 2);
        s3_pairs_add(pairs, parts[0], parts[1] ? g_strstrip(parts[1]) : "");
        if (parts[1])
            steno_secret_wipe(parts[1], strlen(parts[1]));
    }
    return pairs;
}

guint s3_request_plain(gpointer user, const char *method, const char *url, const char *const *headers, const char *body,
                       GBytes **answer, GCancellable *cancellable, GError **error)
{
    S3 *s3 = user;
    guint status = 0;
    S3Session *session = s3_session_new(s3->store, s3->guard);
    g_autoptr(S3Pairs) pairs = pairs_of_lines(headers);
    S3Send send = {.method = method,
                   .url = url,
                   .headers = s3_pairs_list(pairs),
                   .body = body,
                   .fd = -1,
                   .bytes = body ? (gint64)strlen(body) : -1,
                   .direct = g_str_has_prefix(url, "http:"),
                   .quiet_s = PLAIN_QUIET_S,
                   .deadline_mono_us = g_get_monotonic_time() + PLAIN_QUIET_S * G_USEC_PER_SEC,
                   .answer_max_bytes = PLAIN_ANSWER_MAX_BYTES};
    g_autoptr(S3Transfer) transfer = s3_transfer_start(session, &send, NULL);
    if (!s3_session_await(session, transfer, cancellable)) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_INTERRUPTED, "interrupted");
    } else if (transfer->outcome == S3_GUARDED) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_GEOFENCE, "%s is not within allow_endpoint_cidr", transfer->words);
    } else if (transfer->outcome != S3_SENT) {
        g_set_error(error, STENO_ERROR,
                    transfer->outcome == S3_UNTRUSTED ? STENO_ERROR_STORAGE_DENIED : STENO_ERROR_STORAGE_UNREACHABLE,
                    "%s", transfer->words);
    } else {
        status = transfer->status;
        *answer = g_bytes_new(transfer->body->data, transfer->body->len);
    }
    g_clear_pointer(&transfer, s3_transfer_free);
    s3_session_free(session);
    return status;
}
