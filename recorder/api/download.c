/* Files, from disk or through a pipe from a storage: versions, ranges, and pieces that are read when the client can
 * take them. */
#include "problem.h"
#include "range.h"
#include "server.h"

#include "steno/base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <string.h>
#include <unistd.h>

/* "sha-256=:base64:" (RFC 9530) of the whole file, whatever part of it is sent. */
static char *repr_digest(const char *sha256_hex)
{
    guint8 digest[32];
    for (gsize i = 0; i < sizeof(digest); i++) {
        int high = g_ascii_xdigit_value(sha256_hex[2 * i]);
        int low = high < 0 ? -1 : g_ascii_xdigit_value(sha256_hex[2 * i + 1]);
        if (low < 0)
            return NULL;
        digest[i] = (guint8)(high * 16 + low);
    }
    g_autofree char *base64 = g_base64_encode(digest, sizeof(digest));
    return sha256_hex[64] ? NULL : g_strdup_printf("sha-256=:%s:", base64);
}

static void add_version(Answer *answer, const StenoDaemonReply *reply, const char *etag, const char *digest)
{
    answer_header(answer, "ETag", etag);
    answer_header(answer, "Repr-Digest", digest);
    answer_header(answer, "Accept-Ranges", "bytes");
    if (reply->file_modified_us > 0) {
        g_autoptr(GDateTime) when = g_date_time_new_from_unix_utc(reply->file_modified_us / G_USEC_PER_SEC);
        g_autofree char *text = when ? g_date_time_format(when, "%a, %d %b %Y %H:%M:%S GMT") : NULL;
        answer_header(answer, "Last-Modified", text);
    }
}

/* A range is served only of the version that the client has the rest of (RFC 9110 §13.1.5). */
static gboolean range_applies(const Connection *connection, const char *etag)
{
    const char *condition = connection->head.fields[HTTP_IF_RANGE];
    return !condition || (etag && strcmp(condition, etag) == 0);
}

static const char *media_type(const StenoDaemonReply *reply)
{
    const char *type = reply->file_media_type;
    if (!type || !type[0])
        return "application/octet-stream";
    for (const char *c = type; *c; c++) {
        if (*c < ' ' || *c > '~')
            return "application/octet-stream";
    }
    return type;
}

/* ---- a storage's pipe -------------------------------------------------------------------------------------------- */

/*
 * lws polls a descriptor of its own: it closes one whose writer is done, even when it was told not to read it, and
 * what is in the pipe by then is still to be sent.
 */
static gboolean watch_stream(Connection *connection)
{
    lws_sock_file_fd_type fd = {.filefd = fcntl(connection->stream_fd, F_DUPFD_CLOEXEC, 0)};
    if (fd.filefd < 0)
        return FALSE;
    connection->stream_watch =
        lws_adopt_descriptor_vhost(connection->api->plain, LWS_ADOPT_RAW_FILE_DESC, fd, "steno", NULL);
    if (!connection->stream_watch)
        return FALSE; /* lws has closed it */
    lws_set_opaque_user_data(connection->stream_watch, connection);
    lws_rx_flow_control(connection->stream_watch, 0);
    return TRUE;
}

static gboolean begin_stream(Connection *connection, StenoDaemonReply *reply, gint64 offset, gint64 bytes,
                             GError **error)
{
    connection->stream_fd = steno_daemon_stream_begin(&reply->stream, offset, bytes, error);
    if (connection->stream_fd < 0)
        return FALSE;
    if (g_unix_set_fd_nonblocking(connection->stream_fd, TRUE, error) && watch_stream(connection))
        return TRUE;
    if (error && !*error)
        g_set_error_literal(error, STENO_ERROR, STENO_ERROR_INTERNAL, "cannot watch a storage's pipe");
    download_end(connection);
    return FALSE;
}

void download_ready(Connection *connection)
{
    lws_rx_flow_control(connection->stream_watch, 0);
    if (!connection->stream_awaited)
        return;
    connection->stream_awaited = FALSE;
    lws_callback_on_writable(connection->wsi);
}

void download_unwatched(Connection *connection)
{
    connection->stream_watch = NULL;
    if (!connection->stream_awaited)
        return;
    connection->stream_awaited = FALSE;
    lws_callback_on_writable(connection->wsi);
}

void download_end(Connection *connection)
{
    if (connection->stream_watch) {
        lws_set_opaque_user_data(connection->stream_watch, NULL);
        lws_set_timeout(connection->stream_watch, PENDING_TIMEOUT_USER_REASON_BASE, LWS_TO_KILL_ASYNC);
        connection->stream_watch = NULL;
    }
    if (connection->stream_fd >= 0)
        close(connection->stream_fd);
    connection->stream_fd = -1;
    connection->stream_awaited = FALSE;
    connection->file_left = 0;
    if (connection->file)
        steno_daemon_reply_free(g_steal_pointer(&connection->file));
}

/* ---- answers ----------------------------------------------------------------------------------------------------- */

static void refuse_range(Connection *connection, gint64 file_bytes)
{
    Answer *answer = answer_new(416);
    g_autofree char *size = g_strdup_printf("bytes */%" G_GINT64_FORMAT, file_bytes);
    answer_header(answer, "Content-Range", size);
    answer_json(connection, answer, "application/problem+json",
                problem_of_status(416, "the range begins behind the end of the file", connection->target.path));
}

void download_send(Connection *connection, StenoDaemonReply *reply)
{
    g_autofree char *digest = reply->file_sha256_hex ? repr_digest(reply->file_sha256_hex) : NULL;
    g_autofree char *etag = digest ? g_strdup_printf("\"%s\"", reply->file_sha256_hex) : NULL;
    gint64 offset = 0, bytes = reply->file_bytes;
    RangeKind range = RANGE_WHOLE;
    if (range_applies(connection, etag))
        range = range_read(connection->head.fields[HTTP_RANGE], reply->file_bytes, &offset, &bytes);
    int status = range == RANGE_PART ? 206 : 200;
    if (range_etag_listed(connection->head.fields[HTTP_IF_NONE_MATCH], etag))
        status = 304;
    if (status != 304 && range == RANGE_UNSATISFIABLE) {
        refuse_range(connection, reply->file_bytes);
        steno_daemon_reply_free(reply);
        return;
    }
    gboolean empty = status == 304 || connection->match.head || bytes == 0;
    g_autoptr(GError) error = NULL;
    if (!empty && reply->stream && !begin_stream(connection, reply, offset, bytes, &error)) {
        answer_error(connection, error, NULL);
        steno_daemon_reply_free(reply);
        return;
    }
    Answer *answer = answer_new(status);
    add_version(answer, reply, etag, digest);
    if (status == 206) {
        g_autofree char *part = g_strdup_printf("bytes %" G_GINT64_FORMAT "-%" G_GINT64_FORMAT "/%" G_GINT64_FORMAT,
                                                offset, offset + bytes - 1, reply->file_bytes);
        answer_header(answer, "Content-Range", part);
    }
    g_autofree char *disposition = range_disposition(reply->file_name ? reply->file_name : "file");
    if (status != 304)
        answer_header(answer, "Content-Disposition", disposition);
    connection->file = reply;
    connection_set_state(connection, CONNECTION_SEND, SEND_TIMEOUT_US);
    answer_send_head(connection, answer, status == 304 ? NULL : media_type(reply), bytes);
    if (empty)
        return;
    connection->file_offset = offset;
    connection->file_left = bytes;
    if (reply->fd >= 0)
        posix_fadvise(reply->fd, offset, bytes, POSIX_FADV_SEQUENTIAL);
}

DownloadResult download_next(Connection *connection, gsize *bytes)
{
    gsize want = (gsize)MIN(connection->file_left, CHUNK_BYTES);
    guint8 *chunk = connection->api->chunk;
    gboolean streamed = connection->stream_fd >= 0;
    ssize_t got = streamed ? read(connection->stream_fd, chunk, want)
                           : pread(connection->file->fd, chunk, want, (off_t)connection->file_offset);
    if (streamed && got < 0 && (errno == EAGAIN || errno == EINTR)) {
        connection->stream_awaited = TRUE;
        if (connection->stream_watch)
            lws_rx_flow_control(connection->stream_watch, 1);
        else
            download_unwatched(connection); /* nothing blocks any more */
        return DOWNLOAD_WAIT;
    }
    if (got <= 0) {
        /* Cut short: the client sees by Content-Length that it was. */
        steno_warning(connection->api->log, "a file that was being sent ended early or cannot be read");
        return DOWNLOAD_CUT;
    }
    connection->file_offset += got;
    connection->file_left -= got;
    *bytes = (gsize)got;
    return DOWNLOAD_PIECE;
}
