/*
 * GET /v1/events: Server-Sent Events. First what the journal has behind the client's last one, page by page as the
 * client takes them; then what the daemon tells as it happens. Between both nothing is lost and nothing told twice: an
 * event that comes while a page is being asked for makes us ask for one more page.
 */
#include "server.h"

#include "steno/base/clock.h"
#include "steno/base/error.h"

#include <string.h>

#define HEARTBEAT_US (15 * G_USEC_PER_SEC)
/* A client that leaves so much unread gets the rest from the journal, when it has read this. One that reads nothing at
 * all is cut off (SEND_TIMEOUT_US), and comes back with Last-Event-ID. */
#define QUEUE_MAX_BYTES (256 * 1024)
/* Of all connections from the net, every fourth may follow events. */
#define CLIENTS_SHARE 4
#define PAGE_EVENTS 200
/* Behind every event that there will be: asks whether the client may, and for nothing. */
#define AFTER_ALL "999999999999999999"

struct Sse {
    gboolean live;     /* the journal has nothing more */
    gboolean asked;    /* a page is on its way */
    gboolean headed;   /* the answer's head was sent */
    gboolean from_now; /* no Last-Event-ID: nothing of the past */
    gboolean follow;   /* goes on after what the journal has */
    gint64 cursor;     /* the last one told */
    gint64 seen;       /* the last one that came while a page was on its way */
    gint64 heartbeat_us;
    char *app, *recording;
};

void sse_end(Connection *connection)
{
    Sse *sse = g_steal_pointer(&connection->sse);
    if (!sse)
        return;
    if (sse->headed)
        connection->api->sse_count--;
    g_free(sse->app);
    g_free(sse->recording);
    g_free(sse);
}

/* ---- pages of the journal ---------------------------------------------------------------------------------------- */

static void ask_page(Connection *connection)
{
    Sse *sse = connection->sse;
    g_autofree char *after = sse->from_now ? g_strdup(AFTER_ALL) : g_strdup_printf("%" G_GINT64_FORMAT, sse->cursor);
    g_autofree char *count = g_strdup_printf("%d", PAGE_EVENTS);
    json_t *arguments = json_copy(connection->arguments);
    json_object_set_new(arguments, "after", json_string(after));
    json_object_set_new(arguments, "count", json_string(count));
    sse->asked = TRUE;
    sse->seen = 0;
    request_ask(connection, STENO_COMMAND_EVENTS, arguments);
}

/* ?follow=false: only what the journal has. Ours, and nothing that the daemon knows. */
static gboolean read_follow(Connection *connection, Sse *sse)
{
    const char *text = json_string_value(json_object_get(connection->arguments, "follow"));
    sse->follow = g_strcmp0(text, "false") != 0;
    if (text && sse->follow && strcmp(text, "true") != 0) {
        answer_error_code(connection, STENO_ERROR_USAGE, "?follow: must be true or false");
        return FALSE;
    }
    json_object_del(connection->arguments, "follow");
    return TRUE;
}

static gboolean read_cursor(Connection *connection, Sse *sse)
{
    const char *header = connection->head.fields[HTTP_LAST_EVENT_ID];
    const char *after = json_string_value(json_object_get(connection->arguments, "after"));
    const char *text = header && header[0] ? header : after;
    if (!text) {
        sse->from_now = TRUE;
        return TRUE;
    }
    gsize digits = strspn(text, "0123456789");
    if (digits == 0 || digits > 18 || text[digits]) {
        answer_error_code(connection, STENO_ERROR_USAGE,
                          text == after ? "?after: must be the id of an event: a number"
                                        : "the Last-Event-ID header must be the id of an event: a number");
        return FALSE;
    }
    sse->cursor = g_ascii_strtoll(text, NULL, 10);
    return TRUE;
}

void sse_begin(Connection *connection)
{
    StenoApi *api = connection->api;
    if (json_object_get(connection->arguments, "count")) {
        answer_error_code(connection, STENO_ERROR_USAGE, "?count: there is no such parameter");
        return;
    }
    if (api->sse_count >= MAX(4, api->net.max / CLIENTS_SHARE)) {
        answer_error_code(connection, STENO_ERROR_TOO_MANY_REQUESTS, "too many clients follow events");
        return;
    }
    Sse *sse = g_new0(Sse, 1);
    connection->sse = sse;
    if (!read_follow(connection, sse) || !read_cursor(connection, sse)) {
        sse_end(connection);
        return;
    }
    sse->app = g_strdup(json_string_value(json_object_get(connection->arguments, "app")));
    sse->recording = g_strdup(json_string_value(json_object_get(connection->arguments, "recording")));
    ask_page(connection);
}

/* ---- out --------------------------------------------------------------------------------------------------------- */

static void send_text(Connection *connection, const char *text)
{
    connection->sse->heartbeat_us = steno_clock_mono_us() + HEARTBEAT_US;
    connection_queue(connection, g_bytes_new(text, strlen(text)));
}

/* line is one line: JSON without line ends. */
static void send_event(Connection *connection, gint64 seq, const char *type, const char *line)
{
    g_autofree char *text = g_strdup_printf("id: %" G_GINT64_FORMAT "\nevent: %s\ndata: %s\n\n", seq, type, line);
    connection->sse->cursor = seq;
    send_text(connection, text);
}

static void send_head(Connection *connection)
{
    connection->close_after = TRUE; /* the answer ends with the connection */
    connection->sse->headed = TRUE;
    connection->api->sse_count++;
    connection_set_state(connection, CONNECTION_SSE, SEND_TIMEOUT_US);
    Answer *answer = answer_new(200);
    answer_header(answer, "X-Accel-Buffering", "no"); /* a reverse proxy must not hold events back */
    answer_send_head(connection, answer, "text/event-stream", -1);
    send_text(connection, "retry: 2000\n\n");
}

static guint send_page(Connection *connection, const json_t *body)
{
    const json_t *events = json_is_array(body) ? body : json_object_get(body, "events");
    gsize i;
    json_t *event;
    json_array_foreach (events, i, event) {
        gint64 seq = json_integer_value(json_object_get(event, "seq"));
        const char *type = json_string_value(json_object_get(event, "type"));
        if (!type || seq <= connection->sse->cursor)
            continue;
        char *line = json_dumps(event, JSON_COMPACT);
        send_event(connection, seq, type, line);
        free(line);
    }
    return (guint)json_array_size(events);
}

static void end_of_journal(Connection *connection)
{
    connection->sse->live = connection->sse->follow;
    if (connection->sse->follow)
        return;
    connection_set_state(connection, CONNECTION_SEND, SEND_TIMEOUT_US); /* that was all */
    lws_callback_on_writable(connection->wsi);
}

void sse_replied(Connection *connection, StenoDaemonReply *reply)
{
    Sse *sse = connection->sse;
    sse->asked = FALSE;
    if (reply->error && sse->headed) {
        connection_kill(connection); /* it comes back, and is told why then */
    } else if (reply->error) {
        sse_end(connection);
        answer_error(connection, reply->error, reply->problem);
    } else {
        if (!sse->headed)
            send_head(connection);
        guint count = send_page(connection, reply->body);
        if (sse->from_now || (count == 0 && sse->seen <= sse->cursor))
            end_of_journal(connection);
        else if (connection->out_bytes == 0)
            ask_page(connection);
    }
    steno_daemon_reply_free(reply);
}

void sse_drained(Connection *connection)
{
    if (!connection->sse->live && !connection->sse->asked)
        ask_page(connection);
}

/* ---- as it happens ----------------------------------------------------------------------------------------------- */

/* recording: of the event, or NULL. */
static gboolean is_for(const Connection *connection, const Message *message, const char *recording)
{
    const Sse *sse = connection->sse;
    if (connection->app && g_strcmp0(connection->app, message->app) != 0)
        return FALSE;
    if (sse->app && g_strcmp0(sse->app, message->app) != 0)
        return FALSE;
    return !sse->recording || g_strcmp0(sse->recording, recording) == 0;
}

static void tell(Connection *connection, const Message *message)
{
    Sse *sse = connection->sse;
    if (sse->live && connection->out_bytes > QUEUE_MAX_BYTES) {
        sse->live = FALSE;
        sse->from_now = FALSE;
    }
    if (!sse->live) {
        sse->seen = message->seq;
        return;
    }
    if (message->seq <= sse->cursor)
        return;
    send_event(connection, message->seq, message->type, message->line);
}

void sse_event(StenoApi *api, const Message *message)
{
    json_t *json = NULL;
    const char *recording = NULL;
    GHashTableIter iter;
    gpointer value;
    g_hash_table_iter_init(&iter, api->connections);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        Connection *connection = value;
        if (!connection->sse || connection->killed)
            continue;
        if (connection->sse->recording && !json) {
            json = json_loads(message->line, 0, NULL);
            recording = json_string_value(json_object_get(json_object_get(json, "data"), "recording"));
        }
        if (is_for(connection, message, recording))
            tell(connection, message);
    }
    json_decref(json);
}

void sse_check_time(Connection *connection, gint64 now_us)
{
    /* A key that was revoked sees nothing more. */
    if (!connection->is_unix && !auth_key_lives(connection->api->keys, connection->key_id))
        connection_kill(connection);
    else if (now_us >= connection->sse->heartbeat_us)
        send_text(connection, ": \n\n");
}
