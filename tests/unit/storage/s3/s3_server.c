#include "s3_server.h"

#include <gio/gio.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

typedef struct {
    char *head;
    GBytes *body;
} Request;

struct S3Server {
    const S3Step *steps;
    guint n_steps;
    GSocketService *service;
    GMainContext *context;
    GThread *thread;
    gint stopping;
    guint16 port;
    GMutex lock;
    GCond changed;
    GPtrArray *requests;    /* of Request * */
    GPtrArray *connections; /* of GSocketConnection *, open */
    char *fault;
    guint at; /* the step that is next */
};

static void request_free(gpointer data)
{
    Request *request = data;
    g_free(request->head);
    g_bytes_unref(request->body);
    g_free(request);
}

/* ---- one request ------------------------------------------------------------------------------------------------- */

static char *header_of(const char *head, const char *name)
{
    g_auto(GStrv) lines = g_strsplit(head, "\r\n", -1);
    for (guint i = 1; lines[0] && lines[i]; i++) {
        char *colon = strchr(lines[i], ':');
        if (!colon)
            continue;
        *colon = '\0';
        if (g_ascii_strcasecmp(lines[i], name) == 0)
            return g_strdup(g_strstrip(colon + 1));
    }
    return NULL;
}

static Request *read_request(GDataInputStream *in)
{
    GString *head = g_string_new(NULL);
    char *line;
    while ((line = g_data_input_stream_read_line(in, NULL, NULL, NULL))) {
        gboolean last = !line[0];
        g_string_append_printf(head, "%s\r\n", line);
        g_free(line);
        if (last)
            break;
    }
    if (!line) {
        g_string_free(head, TRUE);
        return NULL;
    }
    g_autofree char *length = header_of(head->str, "content-length");
    gsize bytes = length ? (gsize)g_ascii_strtoull(length, NULL, 10) : 0, got = 0;
    guint8 *body = g_malloc(bytes + 1);
    (void)g_input_stream_read_all(G_INPUT_STREAM(in), body, bytes, &got, NULL, NULL);
    Request *request = g_new0(Request, 1);
    request->head = g_string_free(head, FALSE);
    request->body = g_bytes_new_take(body, got);
    return request;
}

/* NULL: nothing more is to be said on this connection. */
static const S3Step *note(S3Server *server, Request *request)
{
    g_mutex_lock(&server->lock);
    g_ptr_array_add(server->requests, request);
    while (server->at < server->n_steps && server->steps[server->at].any_number &&
           !g_str_has_prefix(request->head, server->steps[server->at].request))
        server->at++;
    const S3Step *step = server->at < server->n_steps ? &server->steps[server->at] : NULL;
    if (step && !step->any_number)
        server->at++;
    if ((!step || !g_str_has_prefix(request->head, step->request)) && !server->fault) {
        server->fault =
            g_strdup_printf("request %u should be \"%s\", but is \"%.*s\"", server->requests->len - 1,
                            step ? step->request : "none", (int)strcspn(request->head, "\r"), request->head);
        step = NULL;
    }
    g_cond_broadcast(&server->changed);
    g_mutex_unlock(&server->lock);
    return step;
}

static gboolean answer(GOutputStream *out, const S3Step *step)
{
    const char *body = step->body ? step->body : "", *headers = step->headers ? step->headers : "";
    gboolean no_body = g_str_has_prefix(step->request, "HEAD ");
    GString *text = g_string_new(NULL);
    g_string_printf(text, "HTTP/1.1 %s\r\n%s", step->status, headers);
    if (!strstr(headers, "Content-Length"))
        g_string_append_printf(text, "Content-Length: %zu\r\n", strlen(body));
    g_string_append_printf(text, "\r\n%s", no_body ? "" : body);
    gboolean sent = g_output_stream_write_all(out, text->str, text->len, NULL, NULL, NULL);
    g_string_free(text, TRUE);
    return sent;
}

static gboolean on_connection(GThreadedSocketService *service, GSocketConnection *connection, GObject *source,
                              gpointer user)
{
    (void)service, (void)source;
    S3Server *server = user;
    g_mutex_lock(&server->lock);
    g_ptr_array_add(server->connections, g_object_ref(connection));
    g_mutex_unlock(&server->lock);
    g_autoptr(GDataInputStream) in = g_data_input_stream_new(g_io_stream_get_input_stream(G_IO_STREAM(connection)));
    g_data_input_stream_set_newline_type(in, G_DATA_STREAM_NEWLINE_TYPE_CR_LF);
    for (gboolean open = TRUE; open;) {
        Request *request = read_request(in);
        const S3Step *step = request ? note(server, request) : NULL;
        if (step && step->kind == S3_STEP_HANG)
            continue; /* until the client goes */
        if (step && (step->kind == S3_STEP_ANSWER || step->status))
            open = answer(g_io_stream_get_output_stream(G_IO_STREAM(connection)), step);
        open = open && step && step->kind == S3_STEP_ANSWER;
    }
    g_mutex_lock(&server->lock);
    g_ptr_array_remove_fast(server->connections, connection);
    g_mutex_unlock(&server->lock);
    g_io_stream_close(G_IO_STREAM(connection), NULL, NULL);
    return TRUE;
}

/* ---- the server -------------------------------------------------------------------------------------------------- */

static gpointer run(gpointer user)
{
    S3Server *server = user;
    g_main_context_push_thread_default(server->context);
    g_socket_service_start(server->service);
    while (!g_atomic_int_get(&server->stopping))
        g_main_context_iteration(server->context, TRUE);
    g_main_context_pop_thread_default(server->context);
    return NULL;
}

S3Server *s3_server_start(const S3Step *steps)
{
    S3Server *server = g_new0(S3Server, 1);
    server->steps = steps;
    while (steps[server->n_steps].request)
        server->n_steps++;
    g_mutex_init(&server->lock);
    g_cond_init(&server->changed);
    server->requests = g_ptr_array_new_with_free_func(request_free);
    server->connections = g_ptr_array_new_with_free_func(g_object_unref);
    server->context = g_main_context_new();
    g_main_context_push_thread_default(server->context);
    server->service = g_threaded_socket_service_new(32);
    g_autoptr(GInetAddress) loopback = g_inet_address_new_loopback(G_SOCKET_FAMILY_IPV4);
    g_autoptr(GSocketAddress) any = g_inet_socket_address_new(loopback, 0);
    g_autoptr(GSocketAddress) bound = NULL;
    assert_true(g_socket_listener_add_address(G_SOCKET_LISTENER(server->service), any, G_SOCKET_TYPE_STREAM,
                                              G_SOCKET_PROTOCOL_TCP, NULL, &bound, NULL));
    server->port = g_inet_socket_address_get_port(G_INET_SOCKET_ADDRESS(bound));
    g_signal_connect(server->service, "run", G_CALLBACK(on_connection), server);
    g_main_context_pop_thread_default(server->context);
    server->thread = g_thread_new("s3-server", run, server);
    return server;
}

void s3_server_stop(S3Server *server)
{
    g_atomic_int_set(&server->stopping, 1);
    g_main_context_wakeup(server->context);
    g_thread_join(server->thread);
    g_socket_service_stop(server->service);
    g_socket_listener_close(G_SOCKET_LISTENER(server->service));
    g_mutex_lock(&server->lock);
    for (guint i = 0; i < server->connections->len; i++) {
        GSocketConnection *connection = g_ptr_array_index(server->connections, i);
        (void)g_socket_shutdown(g_socket_connection_get_socket(connection), TRUE, TRUE, NULL);
    }
    g_mutex_unlock(&server->lock);
    for (gboolean busy = TRUE; busy; g_thread_yield()) {
        g_mutex_lock(&server->lock);
        busy = server->connections->len > 0;
        g_mutex_unlock(&server->lock);
    }
    if (!server->fault && server->at < server->n_steps)
        server->fault = g_strdup_printf("\"%s\" did not come", server->steps[server->at].request);
    if (server->fault)
        fail_msg("%s", server->fault);
    g_object_unref(server->service);
    g_main_context_unref(server->context);
    g_ptr_array_unref(server->requests);
    g_ptr_array_unref(server->connections);
    g_mutex_clear(&server->lock);
    g_cond_clear(&server->changed);
    g_free(server);
}

guint16 s3_server_port(const S3Server *server)
{
    return server->port;
}

static Request *request_at(S3Server *server, guint step)
{
    g_mutex_lock(&server->lock);
    Request *request = step < server->requests->len ? g_ptr_array_index(server->requests, step) : NULL;
    g_mutex_unlock(&server->lock);
    assert_non_null(request);
    return request;
}

const char *s3_server_head(S3Server *server, guint step)
{
    return request_at(server, step)->head;
}

GBytes *s3_server_body(S3Server *server, guint step)
{
    return request_at(server, step)->body;
}

char *s3_server_header(S3Server *server, guint step, const char *name)
{
    return header_of(s3_server_head(server, step), name);
}

void s3_server_await(S3Server *server, guint requests)
{
    gint64 until_us = g_get_monotonic_time() + 20 * G_USEC_PER_SEC;
    g_mutex_lock(&server->lock);
    while (server->requests->len < requests)
        assert_true(g_cond_wait_until(&server->changed, &server->lock, until_us));
    g_mutex_unlock(&server->lock);
}
