#include "server.h"

#include <gio/gio.h>
#include <string.h>

#define PATIENCE_US (60 * G_USEC_PER_SEC)

struct Server {
    GMainContext *context;
    gint stopping; /* atomic */
    GThread *thread;
    GSocketService *service;
    guint16 port;
    GMutex lock;
    GCond changed;
    guint connections, open, requests;
};

static const char *answer_to(const char *line)
{
    if (g_str_has_prefix(line, "GET /ok "))
        return "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    if (g_str_has_prefix(line, "GET /moved "))
        return "HTTP/1.1 302 Found\r\nLocation: /ok\r\nContent-Length: 0\r\n\r\n";
    return NULL;
}

static void count(Server *server, guint *counter, int by)
{
    g_mutex_lock(&server->lock);
    *counter += (guint)by;
    g_cond_broadcast(&server->changed);
    g_mutex_unlock(&server->lock);
}

/* One connection, on a thread of its own, until the client closes it. */
static gboolean on_connection(GThreadedSocketService *service, GSocketConnection *connection, GObject *source,
                              gpointer user)
{
    (void)service;
    (void)source;
    Server *server = user;
    count(server, &server->connections, 1);
    count(server, &server->open, 1);
    g_autoptr(GDataInputStream) in = g_data_input_stream_new(g_io_stream_get_input_stream(G_IO_STREAM(connection)));
    g_data_input_stream_set_newline_type(in, G_DATA_STREAM_NEWLINE_TYPE_CR_LF);
    GOutputStream *out = g_io_stream_get_output_stream(G_IO_STREAM(connection));
    g_autofree char *first = NULL;
    char *line;
    while ((line = g_data_input_stream_read_line(in, NULL, NULL, NULL))) {
        if (line[0] && !first) {
            first = line;
            continue;
        }
        if (!line[0] && first) {
            count(server, &server->requests, 1);
            const char *answer = answer_to(first);
            if (answer)
                g_output_stream_write_all(out, answer, strlen(answer), NULL, NULL, NULL);
            g_clear_pointer(&first, g_free);
        }
        g_free(line);
    }
    count(server, &server->open, -1);
    return TRUE;
}

static gpointer run(gpointer user)
{
    Server *server = user;
    g_main_context_push_thread_default(server->context);
    while (!g_atomic_int_get(&server->stopping))
        g_main_context_iteration(server->context, TRUE);
    g_main_context_pop_thread_default(server->context);
    return NULL;
}

Server *server_start(void)
{
    Server *server = g_new0(Server, 1);
    g_mutex_init(&server->lock);
    g_cond_init(&server->changed);
    server->context = g_main_context_new();
    g_main_context_push_thread_default(server->context);
    server->service = g_threaded_socket_service_new(-1);
    g_autoptr(GInetAddress) loopback = g_inet_address_new_loopback(G_SOCKET_FAMILY_IPV4);
    g_autoptr(GSocketAddress) address = g_inet_socket_address_new(loopback, 0);
    g_autoptr(GSocketAddress) bound = NULL;
    g_autoptr(GError) error = NULL;
    if (!g_socket_listener_add_address(G_SOCKET_LISTENER(server->service), address, G_SOCKET_TYPE_STREAM,
                                       G_SOCKET_PROTOCOL_TCP, NULL, &bound, &error))
        g_error("listening: %s", error->message);
    server->port = g_inet_socket_address_get_port(G_INET_SOCKET_ADDRESS(bound));
    g_signal_connect(server->service, "run", G_CALLBACK(on_connection), server);
    g_socket_service_start(server->service);
    g_main_context_pop_thread_default(server->context);
    server->thread = g_thread_new("server", run, server);
    return server;
}

void server_stop(Server *server)
{
    g_atomic_int_set(&server->stopping, 1);
    g_main_context_wakeup(server->context);
    g_thread_join(server->thread);
    g_socket_service_stop(server->service);
    g_socket_listener_close(G_SOCKET_LISTENER(server->service));
    while (g_main_context_iteration(server->context, FALSE))
        ;
    g_object_unref(server->service);
    g_main_context_unref(server->context);
    g_mutex_clear(&server->lock);
    g_cond_clear(&server->changed);
    g_free(server);
}

guint16 server_port(const Server *server)
{
    return server->port;
}

static guint read_counter(Server *server, const guint *counter)
{
    g_mutex_lock(&server->lock);
    guint value = *counter;
    g_mutex_unlock(&server->lock);
    return value;
}

guint server_connections(Server *server)
{
    return read_counter(server, &server->connections);
}

guint server_requests(Server *server)
{
    return read_counter(server, &server->requests);
}

gboolean server_wait_until_alone(Server *server)
{
    gint64 end_mono_us = g_get_monotonic_time() + PATIENCE_US;
    g_mutex_lock(&server->lock);
    while (server->open > 0 && g_cond_wait_until(&server->changed, &server->lock, end_mono_us))
        ;
    gboolean alone = server->open == 0;
    g_mutex_unlock(&server->lock);
    return alone;
}
