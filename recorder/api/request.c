/* What becomes of a request: who asks, how often, for what; then the daemon is asked. */
#include "body.h"
#include "server.h"

#include "steno/base/clock.h"
#include "steno/base/error.h"
#include "steno/base/secret.h"

#include <string.h>

/* ---- who --------------------------------------------------------------------------------------------------------- */

static void on_told(gpointer user, StenoDaemonReply *reply)
{
    (void)user;
    steno_daemon_reply_free(reply);
}

/* An id that looks like one of ours; what else was typed there may be somebody's password. */
static gboolean is_key_id(const char *id)
{
    return g_str_has_prefix(id, "key_") && strlen(id) == 30 && strspn(id + 4, "0123456789ABCDEFGHJKMNPQRSTVWXYZ") == 26;
}

static void tell_of_login(Connection *connection, const char *id)
{
    LimitState all;
    limit_take(connection->api->told_limits, "all", steno_clock_mono_us(), &all);
    if (!all.allowed)
        return;
    StenoDaemonRequest *request = steno_daemon_request_new(STENO_COMMAND_LOGIN_REFUSED);
    request->actor.address = g_strdup(connection->address);
    json_decref(request->arguments);
    request->arguments = json_pack("{ss}", "reason", "no such API key, revoked, or another secret");
    if (id && is_key_id(id))
        json_object_set_new(request->arguments, "id", json_string(id));
    steno_daemon_ask(connection->api->daemon, request, on_told, NULL);
}

/* Wrong credentials: good ones from the same address are let in all the same, so that nobody can lock others out. */
static void refuse_login(Connection *connection, const char *id)
{
    StenoApi *api = connection->api;
    api->metrics.logins_refused++;
    connection->limited_by = api->login_limits;
    limit_take(api->login_limits, connection->address_name, steno_clock_mono_us(), &connection->limit);
    if (connection->limit.allowed) {
        tell_of_login(connection, id);
        answer_error_code(connection, STENO_ERROR_UNAUTHENTICATED,
                          "the API key is unknown or revoked, or its secret is wrong");
        return;
    }
    api->metrics.limited++;
    answer_error_code(connection, STENO_ERROR_TOO_MANY_REQUESTS, "too many wrong logins from this address");
    if (connection->state == CONNECTION_SEND)
        connection_set_state(connection, CONNECTION_HELD, LOGIN_DELAY_US);
}

static gboolean know_peer(Connection *connection)
{
    if (!connection->trusted) {
        answer_error_code(connection, STENO_ERROR_FORBIDDEN,
                          "over this socket only root, stenod's own user and members of its group may ask");
        return FALSE;
    }
    connection->key_id = g_strdup_printf("uid:%u", (guint)connection->uid);
    connection->role = STENO_ROLE_ADMIN;
    return TRUE;
}

static gboolean know_key(Connection *connection)
{
    const char *header = connection->head.fields[HTTP_AUTHORIZATION];
    if (!header)
        return TRUE;
    char *id = NULL, *secret = NULL;
    AuthKey key;
    gboolean good = auth_read_header(header, &id, &secret) && auth_check(connection->api->keys, id, secret, &key);
    auth_wipe(secret);
    if (good) {
        connection->key_id = g_strdup(key.id);
        connection->app = g_strdup(key.app);
        connection->role = key.role;
    } else {
        refuse_login(connection, id);
    }
    g_free(id);
    return good;
}

/* FALSE: it has been answered. The Unix socket is not limited: who may use it can stop stenod as well. */
static gboolean may_ask_now(Connection *connection)
{
    StenoApi *api = connection->api;
    if (connection->is_unix)
        return TRUE;
    connection->limited_by = connection->key_id ? api->key_limits : api->address_limits;
    limit_take(connection->limited_by, connection->key_id ? connection->key_id : connection->address_name,
               steno_clock_mono_us(), &connection->limit);
    if (connection->limit.allowed)
        return TRUE;
    api->metrics.limited++;
    answer_error_code(connection, STENO_ERROR_TOO_MANY_REQUESTS,
                      connection->key_id ? "this API key has made more requests than it may"
                                         : "this address has made more requests without an API key than it may");
    return FALSE;
}

/* ---- what -------------------------------------------------------------------------------------------------------- */

/* Before anybody is refused, so that refusals are counted by what was asked for. */
static gboolean find_route(Connection *connection, GError **error)
{
    if (!target_read(connection->head.target, &connection->target, error))
        return FALSE;
    connection->arguments = json_object();
    routes_match(connection->head.method, connection->target.segments, connection->arguments, &connection->match);
    if (connection->match.allow)
        return TRUE;
    return steno_error_set(error, STENO_ERROR_NOT_FOUND, "there is nothing at this path");
}

static gboolean has_method(Connection *connection)
{
    if (strcmp(connection->head.method, "OPTIONS") == 0) {
        Answer *answer = answer_new(204);
        answer_header(answer, "Allow", connection->match.allow);
        answer_send(connection, answer, NULL, NULL);
        return FALSE;
    }
    if (connection->match.route == ROUTE_NONE) {
        g_autofree char *detail = g_strdup_printf("this path has only: %s", connection->match.allow);
        answer_error_code(connection, STENO_ERROR_METHOD_NOT_ALLOWED, detail);
        return FALSE;
    }
    return TRUE;
}

static gboolean has_body(const HttpHead *head)
{
    return head->chunked || head->length > 0;
}

static gboolean may_send_body(Connection *connection)
{
    const HttpHead *head = &connection->head;
    if (!has_body(head))
        return TRUE;
    if (!route_takes_body(connection->match.route)) {
        answer_error_code(connection, STENO_ERROR_USAGE, "this request takes no body");
        return FALSE;
    }
    if (head->length > STENO_API_BODY_MAX_BYTES) {
        answer_error_code(connection, STENO_ERROR_BODY_TOO_LARGE, "the body is longer than 256 KiB");
        return FALSE;
    }
    if (!body_type_ok(head->fields[HTTP_CONTENT_TYPE])) {
        answer_error_code(connection, STENO_ERROR_UNSUPPORTED_MEDIA_TYPE, "the Content-Type must be application/json");
        return FALSE;
    }
    return TRUE;
}

/* FALSE: it has been answered. */
static gboolean is_allowed(Connection *connection)
{
    g_autoptr(GError) error = NULL;
    gboolean found = find_route(connection, &error);
    if (!(connection->is_unix ? know_peer(connection) : know_key(connection)) || !may_ask_now(connection))
        return FALSE;
    if (!found) {
        answer_error(connection, error, NULL);
        return FALSE;
    }
    if (!has_method(connection))
        return FALSE;
    if (!connection->key_id && !route_is_open(connection->match.route)) {
        answer_error_code(connection, STENO_ERROR_UNAUTHENTICATED,
                          "an API key is needed: HTTP Basic with its id and secret, or Bearer id.secret");
        return FALSE;
    }
    return may_send_body(connection);
}

void request_begin(Connection *connection)
{
    gboolean body = has_body(&connection->head);
    connection->match.route = ROUTE_NONE;
    connection->close_after = !connection->head.keep_alive;
    connection->body_unread = body;
    /* Until the body is wanted, an answer means that it will not be read: then the connection can't be used again. */
    gboolean keep = connection->head.keep_alive;
    connection->close_after |= body;
    if (!is_allowed(connection))
        return;
    if (!body) {
        request_perform(connection);
        return;
    }
    connection->close_after = !keep;
    connection->body = g_string_sized_new(connection->head.length > 0 ? (gsize)connection->head.length : 512);
    connection_set_state(connection, CONNECTION_BODY, REQUEST_TIMEOUT_US);
    if (connection->head.expect_continue && connection->in->len == 0)
        connection_queue(connection, g_bytes_new_static("HTTP/1.1 100 Continue\r\n\r\n", 25));
}

/* ---- doing it ---------------------------------------------------------------------------------------------------- */

typedef struct {
    Mailbox *mailbox;
    guint64 connection;
} Ask;

/* On the main thread. */
static void on_replied(gpointer user, StenoDaemonReply *reply)
{
    Ask *ask = user;
    Message *message = g_new0(Message, 1);
    message->kind = MESSAGE_REPLY;
    message->connection = ask->connection;
    message->reply = reply;
    mailbox_post(ask->mailbox, message);
    mailbox_unref(ask->mailbox);
    g_free(ask);
}

void request_ask(Connection *connection, StenoCommand command, json_t *arguments)
{
    StenoDaemonRequest *request = steno_daemon_request_new(command);
    request->actor.id = g_strdup(connection->key_id);
    request->actor.app = g_strdup(connection->app);
    request->actor.role = connection->role;
    request->actor.address = g_strdup(connection->address);
    json_decref(request->arguments);
    request->arguments = arguments;
    Ask *ask = g_new(Ask, 1);
    ask->mailbox = mailbox_ref(connection->api->mailbox);
    ask->connection = connection->serial;
    steno_daemon_ask(connection->api->daemon, request, on_replied, ask);
}

static gboolean add_query(Connection *connection)
{
    const char *name;
    json_t *value;
    json_object_foreach (connection->target.query, name, value) {
        /* "body" and the like are ours to give. */
        if (json_object_get(connection->arguments, name) || strcmp(name, "body") == 0 ||
            strcmp(name, "idempotency_key") == 0) {
            g_autofree char *detail = g_strdup_printf("?%s: there is no such parameter", name);
            answer_error_code(connection, STENO_ERROR_USAGE, detail);
            return FALSE;
        }
        json_object_set(connection->arguments, name, value);
    }
    return TRUE;
}

/* An address that is signed for GET answers no HEAD: that is told from here. */
static void keep_head_here(Connection *connection)
{
    if (!connection->match.head ||
        (connection->match.route != STENO_COMMAND_FILE_OPEN && connection->match.route != STENO_COMMAND_MANIFEST))
        return;
    const char *via = json_string_value(json_object_get(connection->arguments, "via"));
    if (!via || strcmp(via, "redirect") == 0)
        json_object_set_new(connection->arguments, "via", json_string("stream"));
}

static gboolean add_body(Connection *connection)
{
    if (!connection->body || connection->body->len == 0)
        return TRUE;
    g_autoptr(GError) error = NULL;
    json_t *body = body_read(connection->body->str, connection->body->len, &error);
    steno_secret_wipe(connection->body->str, connection->body->len);
    if (!body) {
        answer_error(connection, error, NULL);
        return FALSE;
    }
    json_object_set_new(connection->arguments, "body", body);
    return TRUE;
}

static gboolean add_idempotency_key(Connection *connection)
{
    const char *key = connection->head.fields[HTTP_IDEMPOTENCY_KEY];
    if (!key || connection->match.route != STENO_COMMAND_RECORDING_START)
        return TRUE;
    gsize bytes = strlen(key);
    for (gsize i = 0; i < bytes; i++) {
        if (key[i] < ' ' || key[i] > '~')
            bytes = 0;
    }
    if (bytes == 0 || bytes > 255) {
        answer_error_code(connection, STENO_ERROR_USAGE,
                          "the Idempotency-Key header must have 1 to 255 printable ASCII characters");
        return FALSE;
    }
    json_object_set_new(connection->arguments, "idempotency_key", json_string(key));
    return TRUE;
}

void request_perform(Connection *connection)
{
    connection->body_unread = FALSE;
    if (connection->api->stop_at_us) {
        answer_error_code(connection, STENO_ERROR_SHUTTING_DOWN, "stenod is being stopped");
        return;
    }
    if (!add_query(connection) || !add_body(connection) || !add_idempotency_key(connection))
        return;
    keep_head_here(connection);
    if (connection->match.route == STENO_COMMAND_LIVE) {
        answer_json(connection, answer_new(200), "application/json", json_pack("{sb}", "live", TRUE));
    } else if (connection->match.route == ROUTE_OPENAPI) {
        gsize bytes;
        const char *text = openapi_json(&bytes);
        answer_send(connection, answer_new(200), "application/json", g_bytes_new_static(text, bytes));
    } else {
        connection_set_state(connection, CONNECTION_ASKED, 0);
        if (connection->match.route == STENO_COMMAND_EVENTS)
            sse_begin(connection);
        else
            request_ask(connection, (StenoCommand)connection->match.route, g_steal_pointer(&connection->arguments));
    }
}

void request_clear(Connection *connection)
{
    http_head_clear(&connection->head);
    target_clear(&connection->target);
    g_clear_pointer(&connection->match.allow, g_free);
    g_clear_pointer(&connection->arguments, json_decref);
    g_clear_pointer(&connection->key_id, g_free);
    g_clear_pointer(&connection->app, g_free);
    connection->role = STENO_ROLE_NOBODY;
    connection->limited_by = NULL;
    if (connection->body) {
        steno_secret_wipe(connection->body->str, connection->body->allocated_len);
        g_string_free(g_steal_pointer(&connection->body), TRUE);
    }
    connection->chunks = (HttpChunks){0};
    connection->began_us = 0;
    connection->body_unread = FALSE;
    download_end(connection);
}
