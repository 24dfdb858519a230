/* Files: versions, ranges, and pieces that are read when the client can take them. */
#include "problem.h"
#include "range.h"
#include "server.h"

#include "steno/base/clock.h"

#include <fcntl.h>
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
        Answer *answer = answer_new(416);
        g_autofree char *size = g_strdup_printf("bytes */%" G_GINT64_FORMAT, reply->file_bytes);
        answer_header(answer, "Content-Range", size);
        answer_json(connection, answer, "application/problem+json",
                    problem_of_status(416, "the range begins behind the end of the file", connection->target.path));
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
    if (status == 304 || connection->match.head)
        return;
    connection->file_offset = offset;
    connection->file_left = bytes;
    posix_fadvise(reply->fd, offset, bytes, POSIX_FADV_SEQUENTIAL);
}

gsize download_next(Connection *connection)
{
    gsize want = (gsize)MIN(connection->file_left, CHUNK_BYTES);
    ssize_t got = pread(connection->file->fd, connection->api->chunk, want, (off_t)connection->file_offset);
    if (got <= 0) {
        /* Cut short: the client sees by Content-Length that it was. */
        steno_warning(connection->api->log, "a file that was being sent ended early or cannot be read");
        return 0;
    }
    connection->file_offset += got;
    connection->file_left -= got;
    return (gsize)got;
}
