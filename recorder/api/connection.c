/* One connection: bytes in, requests one after the other, bytes out. */
#include "server.h"

#include "steno/base/clock.h"
#include "steno/base/secret.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

/* ---- birth and death --------------------------------------------------------------------------------------------- */

/* How long it may be open for a request that may come later. */
static gint64 idle_timeout_us(const Connection *connection)
{
    return connection->api->config->api.idle_timeout_s * G_USEC_PER_SEC;
}

Connection *connection_new(StenoApi *api, int fd, gboolean is_unix, const char *address)
{
    Connection *connection = g_new0(Connection, 1);
    connection->api = api;
    connection->serial = ++api->last_serial;
    connection->is_unix = is_unix;
    connection->trusted = is_unix && auth_peer(fd, api->socket_group, &connection->uid);
    connection->address = g_strdup(address);
    connection->address_name = is_unix ? NULL : limit_address_name(address);
    connection->pool = is_unix ? &api->local : &api->net;
    connection->pool->count++;
    connection->idle_link.data = connection;
    connection->in = g_string_new(NULL);
    connection->stream_fd = -1;
    connection->reading = TRUE;
    g_queue_init(&connection->out);
    g_hash_table_insert(api->connections, &connection->serial, connection);
    api->metrics.connections++;
    connection_set_state(connection, CONNECTION_HEAD, is_unix ? idle_timeout_us(connection) : REQUEST_TIMEOUT_US);
    return connection;
}

static void set_idle(Connection *connection, gboolean idle)
{
    if (idle == connection->is_idle)
        return;
    connection->is_idle = idle;
    if (idle)
        g_queue_push_tail_link(&connection->pool->idle, &connection->idle_link);
    else
        g_queue_unlink(&connection->pool->idle, &connection->idle_link);
}

/* Its place is free for another. */
static void leave_pool(Connection *connection)
{
    if (connection->killed)
        return;
    connection->killed = TRUE;
    set_idle(connection, FALSE);
    connection->pool->count--;
}

void connection_kill(Connection *connection)
{
    if (connection->killed)
        return;
    leave_pool(connection);
    connection->deadline_us = 0;
    lws_set_timeout(connection->wsi, PENDING_TIMEOUT_USER_REASON_BASE, LWS_TO_KILL_ASYNC);
}

static void wipe_string(GString *text)
{
    steno_secret_wipe(text->str, text->allocated_len);
    g_string_free(text, TRUE);
}

static void clear_out(Connection *connection)
{
    GBytes *bytes;
    while ((bytes = g_queue_pop_head(&connection->out)))
        g_bytes_unref(bytes);
    connection->out_bytes = 0;
    connection->out_offset = 0;
}

void connection_closed(Connection *connection)
{
    StenoApi *api = connection->api;
    leave_pool(connection);
    g_hash_table_remove(api->connections, &connection->serial);
    request_clear(connection);
    sse_end(connection);
    clear_out(connection);
    wipe_string(connection->in);
    g_free(connection->address);
    g_free(connection->address_name);
    g_free(connection);
    listen_resume(api);
}

/* ---- states ------------------------------------------------------------------------------------------------------ */

/* Whether lws reads: not while an answer is being made, so that nothing heaps up that nobody asked for yet. */
static void set_reading(Connection *connection, gboolean reading)
{
    if (connection->reading == reading || !connection->wsi)
        return;
    connection->reading = reading;
    lws_rx_flow_control(connection->wsi, reading);
}

void connection_set_state(Connection *connection, ConnectionState state, gint64 timeout_us)
{
    connection->state = state;
    connection->deadline_us = timeout_us ? steno_clock_mono_us() + timeout_us : 0;
    if (connection->killed)
        return;
    set_idle(connection, state == CONNECTION_HEAD || state == CONNECTION_HELD || state == CONNECTION_LINGER);
    set_reading(connection, state == CONNECTION_HEAD || state == CONNECTION_BODY || state == CONNECTION_SSE ||
                                state == CONNECTION_LINGER);
    if (connection->is_idle)
        listen_resume(connection->api);
}

void connection_check_time(Connection *connection, gint64 now_us)
{
    if (connection->state == CONNECTION_SSE)
        sse_check_time(connection, now_us);
    if (connection->killed || connection->deadline_us == 0 || now_us < connection->deadline_us)
        return;
    if (connection->state == CONNECTION_HELD) {
        connection_set_state(connection, CONNECTION_SEND, SEND_TIMEOUT_US);
        lws_callback_on_writable(connection->wsi);
        return;
    }
    connection->api->metrics.sse_cut_off += connection->state == CONNECTION_SSE;
    connection_kill(connection);
}

/* ---- in ---------------------------------------------------------------------------------------------------------- */

/* Takes bytes off the front of what was read; nothing of a request with a token is left in memory. */
static void drop_input(Connection *connection, gsize bytes)
{
    GString *in = connection->in;
    memmove(in->str, in->str + bytes, in->len - bytes);
    steno_secret_wipe(in->str + in->len - bytes, bytes);
    g_string_truncate(in, in->len - bytes);
}

static void bad_request(Connection *connection, const HttpFault *fault)
{
    connection->close_after = TRUE;
    connection->body_unread = TRUE;
    if (fault->status == 413)
        answer_error_code(connection, STENO_ERROR_BODY_TOO_LARGE, "the body is longer than 256 KiB");
    else
        answer_status(connection, fault->status, fault->words);
}

static void read_head(Connection *connection)
{
    gsize used = 0;
    HttpFault fault;
    gboolean first = connection->began_us == 0;
    HttpResult result = http_head_read(connection->in->str, connection->in->len, &used, &connection->head, &fault);
    if (first) {
        connection->began_us = steno_clock_mono_us();
        connection->deadline_us = connection->began_us + REQUEST_TIMEOUT_US;
    }
    if (result == HTTP_MORE)
        return;
    if (result == HTTP_BAD) {
        bad_request(connection, &fault);
        return;
    }
    connection->began_us = steno_clock_mono_us();
    drop_input(connection, used);
    request_begin(connection);
}

static void read_body(Connection *connection)
{
    gsize used = 0;
    HttpFault fault;
    HttpResult result;
    if (connection->head.chunked) {
        result = http_chunks_read(&connection->chunks, connection->in->str, connection->in->len, &used,
                                  connection->body, STENO_API_BODY_MAX_BYTES, &fault);
    } else {
        used = MIN(connection->in->len, (gsize)connection->head.length - connection->body->len);
        g_string_append_len(connection->body, connection->in->str, (gssize)used);
        result = (gint64)connection->body->len == connection->head.length ? HTTP_DONE : HTTP_MORE;
    }
    drop_input(connection, used);
    if (result == HTTP_BAD)
        bad_request(connection, &fault);
    else if (result == HTTP_DONE)
        request_perform(connection);
}

static void read_input(Connection *connection)
{
    ConnectionState before;
    do {
        before = connection->state;
        if (before == CONNECTION_HEAD && connection->in->len > 0)
            read_head(connection);
        else if (before == CONNECTION_BODY)
            read_body(connection);
    } while (connection->state != before);
}

void connection_shaken(Connection *connection, struct lws *wsi)
{
    /* A client that waits for our acknowledgement before it sends its request is not to wait for 40 ms. */
    int on = 1;
    (void)setsockopt(lws_get_socket_fd(wsi), IPPROTO_TCP, TCP_QUICKACK, &on, sizeof(on));
    connection->deadline_us = steno_clock_mono_us() + idle_timeout_us(connection);
}

void connection_received(Connection *connection, const char *data, gsize bytes)
{
    if (connection->killed || connection->state == CONNECTION_SSE)
        return;
    if (connection->state == CONNECTION_LINGER) {
        connection->lingered_bytes += bytes;
        if (connection->lingered_bytes > LINGER_MAX_BYTES)
            connection_kill(connection);
        return;
    }
    if (!connection->heard)
        lws_set_timeout(connection->wsi, NO_PENDING_TIMEOUT, 0); /* lws's own, of the handshake */
    connection->heard = TRUE;
    g_string_append_len(connection->in, data, (gssize)bytes);
    read_input(connection);
}

/* ---- out --------------------------------------------------------------------------------------------------------- */

void connection_queue(Connection *connection, GBytes *bytes)
{
    if (g_bytes_get_size(bytes) == 0) {
        g_bytes_unref(bytes);
        return;
    }
    connection->out_bytes += g_bytes_get_size(bytes);
    g_queue_push_tail(&connection->out, bytes);
    if (connection->wsi && connection->state != CONNECTION_HELD)
        lws_callback_on_writable(connection->wsi);
}

void connection_replied(Connection *connection, StenoDaemonReply *reply)
{
    if (connection->sse)
        sse_replied(connection, reply);
    else if (connection->state == CONNECTION_ASKED)
        answer_reply(connection, reply);
    else
        steno_daemon_reply_free(reply);
}

/* Moves what is queued into api->chunk: small pieces leave as one. */
static gsize gather(Connection *connection)
{
    gsize filled = 0;
    GBytes *front;
    while (filled < CHUNK_BYTES && (front = g_queue_peek_head(&connection->out))) {
        gsize size;
        const guint8 *data = g_bytes_get_data(front, &size);
        gsize bytes = MIN(size - connection->out_offset, CHUNK_BYTES - filled);
        memcpy(connection->api->chunk + filled, data + connection->out_offset, bytes);
        filled += bytes;
        connection->out_offset += bytes;
        connection->out_bytes -= bytes;
        if (connection->out_offset == size) {
            g_bytes_unref(g_queue_pop_head(&connection->out));
            connection->out_offset = 0;
        }
    }
    return filled;
}

/* FALSE: the connection broke. */
static gboolean write_chunk(Connection *connection, gsize bytes)
{
    gboolean written = lws_write(connection->wsi, connection->api->chunk, bytes, LWS_WRITE_RAW) >= 0;
    connection->deadline_us = steno_clock_mono_us() + SEND_TIMEOUT_US;
    return written;
}

/* What is queued; many answers and events are for one reader only. */
static gboolean write_queued(Connection *connection)
{
    gsize bytes = gather(connection);
    gboolean written = write_chunk(connection, bytes);
    steno_secret_wipe(connection->api->chunk, bytes);
    return written;
}

/* The next piece of a file. *waiting: it has not come from its storage yet. */
static gboolean write_file(Connection *connection, gboolean *waiting)
{
    gsize bytes = 0;
    DownloadResult result = download_next(connection, &bytes);
    *waiting = result == DOWNLOAD_WAIT;
    if (*waiting)
        connection->deadline_us = steno_clock_mono_us() + STREAM_TIMEOUT_US;
    return *waiting || (result == DOWNLOAD_PIECE && write_chunk(connection, bytes));
}

/* Tells the client that this was all: lws closes raw sockets without TLS's close_notify. */
static void say_end(Connection *connection)
{
    SSL *ssl = connection->is_unix ? NULL : lws_get_ssl(connection->wsi);
    if (ssl)
        SSL_shutdown(ssl);
    shutdown(lws_get_socket_fd(connection->wsi), SHUT_WR);
}

/* The whole answer has left. */
static int answered(Connection *connection)
{
    gboolean linger = connection->body_unread;
    request_clear(connection);
    if (connection->close_after || connection->api->stop_at_us) {
        say_end(connection);
        if (!linger)
            return -1;
        connection_set_state(connection, CONNECTION_LINGER, LINGER_US);
        return 0;
    }
    connection_set_state(connection, CONNECTION_HEAD, idle_timeout_us(connection));
    read_input(connection);
    return 0;
}

int connection_writable(Connection *connection)
{
    if (connection->killed)
        return -1;
    if (connection->state == CONNECTION_BODY && connection->out.length > 0) /* 100 Continue */
        return write_queued(connection) ? 0 : -1;
    if (connection->state != CONNECTION_SEND && connection->state != CONNECTION_SSE)
        return 0;
    if (connection->out.length == 0 && connection->file_left == 0) {
        if (connection->state == CONNECTION_SEND)
            return answered(connection);
        connection->deadline_us = 0;
        set_reading(connection, TRUE);
        sse_drained(connection);
        return 0;
    }
    gboolean waiting = FALSE;
    if (!(connection->out.length > 0 ? write_queued(connection) : write_file(connection, &waiting)))
        return -1;
    if (waiting)
        return 0;
    /* lws spins on a socket that it may read while it still has to write. */
    if (connection->state == CONNECTION_SSE)
        set_reading(connection, !lws_partial_buffered(connection->wsi));
    lws_callback_on_writable(connection->wsi);
    return 0;
}
