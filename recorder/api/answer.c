/* Answers: the same security headers on each, problem documents for errors. */
#include "problem.h"
#include "server.h"

#include "steno/base/clock.h"
#include "steno/base/error.h"
#include "steno/base/secret.h"

#include <string.h>

static const char plain_json[] = "application/json";

Answer *answer_new(int status)
{
    Answer *answer = g_new(Answer, 1);
    answer->status = status;
    answer->headers = g_string_new(NULL);
    return answer;
}

static gboolean is_clean(const char *value)
{
    for (const char *c = value; *c; c++) {
        if (*c < ' ' || *c > '~')
            return FALSE;
    }
    return TRUE;
}

/* Whatever value reaches this can end neither its line nor the head. */
void answer_header(Answer *answer, const char *name, const char *value)
{
    if (value && is_clean(value))
        g_string_append_printf(answer->headers, "%s: %s\r\n", name, value);
}

static void add_limit(Connection *connection, Answer *answer)
{
    const LimitTable *table = connection->limited_by;
    if (!table)
        return;
    const LimitState *limit = &connection->limit;
    const char *name = table == connection->api->key_limits       ? "key"
                       : table == connection->api->address_limits ? "address"
                                                                  : "login";
    guint requests, window_s;
    limit_policy(table, &requests, &window_s);
    g_string_append_printf(answer->headers,
                           "RateLimit-Policy: \"%s\";q=%u;w=%u\r\n"
                           "RateLimit: \"%s\";r=%u;t=%u\r\n",
                           name, requests, window_s, name, limit->remaining, limit->reset_s);
    if (!limit->allowed)
        g_string_append_printf(answer->headers, "Retry-After: %u\r\n", limit->retry_after_s);
}

static void wipe_line(gpointer data)
{
    GString *line = data;
    steno_secret_wipe(line->str, line->len);
    g_string_free(line, TRUE);
}

/* It may be a new API key's secret, or a signed address. Takes the line. */
static GBytes *line_to_bytes(GString *line)
{
    return g_bytes_new_with_free_func(line->str, line->len, wipe_line, line);
}

void answer_send_head(Connection *connection, Answer *answer, const char *type, gint64 bytes)
{
    g_autoptr(GDateTime) now = g_date_time_new_now_utc();
    g_autofree char *date = g_date_time_format(now, "%a, %d %b %Y %H:%M:%S GMT");
    GString *head = g_string_sized_new(1024);
    add_limit(connection, answer);
    if (answer->status == 401)
        g_string_append(answer->headers, "WWW-Authenticate: Basic realm=\"steno\", charset=\"UTF-8\"\r\n"
                                         "WWW-Authenticate: Bearer realm=\"steno\"\r\n");
    g_string_append_printf(head,
                           "HTTP/1.1 %d %s\r\n"
                           "Date: %s\r\n"
                           "Strict-Transport-Security: max-age=31536000\r\n"
                           "Content-Security-Policy: default-src 'none'; frame-ancestors 'none'\r\n"
                           "X-Content-Type-Options: nosniff\r\n"
                           "Referrer-Policy: no-referrer\r\n"
                           "Cache-Control: %s\r\n",
                           answer->status, http_status_words(answer->status), date,
                           connection->file ? "private" : "no-store");
    if (type)
        g_string_append_printf(head, "Content-Type: %s\r\n", type);
    /* RFC 9110 §8.6: none with 204; with 304 it would be that of the file. */
    if (bytes >= 0 && answer->status != 204 && answer->status != 304)
        g_string_append_printf(head, "Content-Length: %" G_GINT64_FORMAT "\r\n", bytes);
    if (connection->close_after)
        g_string_append(head, "Connection: close\r\n");
    g_string_append_printf(head, "%s\r\n", answer->headers->str);
    metrics_count(&connection->api->metrics, connection->match.route, answer->status,
                  steno_clock_mono_us() - connection->began_us);
    steno_debug(connection->api->log, "%s %s: %d (%s)", connection->head.method ? connection->head.method : "?",
                route_name(connection->match.route), answer->status,
                connection->key_id ? connection->key_id : "nobody");
    connection_queue(connection, line_to_bytes(head));
    wipe_line(answer->headers);
    g_free(answer);
}

void answer_send(Connection *connection, Answer *answer, const char *type, GBytes *body)
{
    connection_set_state(connection, CONNECTION_SEND, SEND_TIMEOUT_US);
    answer_send_head(connection, answer, type, body ? (gint64)g_bytes_get_size(body) : 0);
    if (body && !connection->match.head)
        connection_queue(connection, body);
    else if (body)
        g_bytes_unref(body);
}

static int append_to_line(const char *text, size_t bytes, void *user)
{
    g_string_append_len(user, text, (gssize)bytes);
    return 0;
}

void answer_json(Connection *connection, Answer *answer, const char *type, json_t *json)
{
    GString *line = g_string_sized_new(1024);
    json_dump_callback(json, append_to_line, line, JSON_COMPACT);
    json_decref(json);
    g_string_append_c(line, '\n');
    answer_send(connection, answer, type, line_to_bytes(line));
}

/* ---- errors ------------------------------------------------------------------------------------------------------ */

static void send_problem(Connection *connection, int status, json_t *problem)
{
    Answer *answer = answer_new(status);
    if (status == 405)
        answer_header(answer, "Allow", connection->match.allow);
    if (status == 503)
        answer_header(answer, "Retry-After", "5");
    answer_json(connection, answer, "application/problem+json", problem);
}

static const char *instance_of(Connection *connection)
{
    return connection->target.path;
}

void answer_error(Connection *connection, const GError *error, const json_t *more)
{
    int status;
    json_t *problem = problem_of_error(error, instance_of(connection), more, &status);
    if (status >= 500 && status != 503)
        steno_info(connection->api->log, "%s was answered %d: %s", route_name(connection->match.route), status,
                   error->message);
    send_problem(connection, status, problem);
}

void answer_error_code(Connection *connection, StenoError code, const char *detail)
{
    g_autoptr(GError) error = g_error_new_literal(STENO_ERROR, (int)code, detail);
    answer_error(connection, error, NULL);
}

void answer_status(Connection *connection, int status, const char *detail)
{
    send_problem(connection, status, problem_of_status(status, detail, instance_of(connection)));
}

/* ---- what the daemon replied ------------------------------------------------------------------------------------- */

static void add_parameter(GString *query, const char *name, const char *value)
{
    g_autofree char *escaped_name = g_uri_escape_string(name, NULL, FALSE);
    g_autofree char *escaped_value = g_uri_escape_string(value, NULL, FALSE);
    g_string_append_printf(query, "%c%s=%s", query->len ? '&' : '?', escaped_name, escaped_value);
}

/* Link: the same request, with the next page's token. */
static void add_next_page(Connection *connection, Answer *answer, const json_t *body)
{
    const char *token = json_string_value(json_object_get(body, "next_page_token"));
    if (!token)
        return;
    g_autoptr(GString) query = g_string_new(NULL);
    const char *name;
    json_t *value;
    json_object_foreach (connection->target.query, name, value) {
        if (strcmp(name, "page_token") != 0)
            add_parameter(query, name, json_string_value(value));
    }
    add_parameter(query, "page_token", token);
    g_autofree char *link = g_strdup_printf("<%s%s>; rel=\"next\"", connection->target.path, query->str);
    answer_header(answer, "Link", link);
}

static void send_text(Connection *connection, const StenoDaemonReply *reply)
{
    StenoApi *api = connection->api;
    GString *text = g_string_new(reply->text);
    const char *type = "text/plain; charset=utf-8";
    if (connection->match.route == STENO_COMMAND_METRICS) {
        type = "text/plain; version=0.0.4; charset=utf-8";
        metrics_print(&api->metrics, api->net.count + api->local.count, api->sse_count, api->tls_context, text);
    }
    answer_send(connection, answer_new(200), type, g_string_free_to_bytes(text));
}

/* readyz tells what is not ready in the same form as what is. */
static int status_of(const Connection *connection, const StenoDaemonReply *reply)
{
    if (connection->match.route == STENO_COMMAND_READY && json_is_false(json_object_get(reply->body, "ready")))
        return 503;
    if (reply->created)
        return 201;
    if (reply->accepted)
        return 202;
    return reply->body ? 200 : 204;
}

void answer_reply(Connection *connection, StenoDaemonReply *reply)
{
    if (!reply->error && (reply->fd >= 0 || reply->stream)) {
        download_send(connection, reply);
        return;
    }
    if (reply->error) {
        answer_error(connection, reply->error, reply->problem);
    } else if (reply->redirect_url) {
        Answer *answer = answer_new(302);
        answer_header(answer, "Location", reply->redirect_url);
        answer_send(connection, answer, NULL, NULL);
    } else if (reply->text) {
        send_text(connection, reply);
    } else {
        Answer *answer = answer_new(status_of(connection, reply));
        answer_header(answer, "Location", reply->location);
        add_next_page(connection, answer, reply->body);
        if (reply->replayed)
            answer_header(answer, "Idempotency-Replayed", "true");
        if (reply->body)
            answer_json(connection, answer, plain_json, json_incref(reply->body));
        else
            answer_send(connection, answer, NULL, NULL);
    }
    steno_daemon_reply_free(reply);
}
