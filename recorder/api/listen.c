/* Listening sockets: bound here rather than by lws, so that a wrong address is told, and no connection is taken that
 * there is no room for. */
#include "server.h"

#include "steno/base/clock.h"
#include "steno/base/error.h"

#include <errno.h>
#include <grp.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* Connections that the kernel keeps while we are busy with others. */
#define BACKLOG 512
/* Accepted at a time, before others have their turn. */
#define ACCEPTS_AT_ONCE 16

/* ---- binding ----------------------------------------------------------------------------------------------------- */

static Listener *add_listener(StenoApi *api, int fd, const char *path)
{
    Listener *listener = g_new0(Listener, 1);
    listener->fd = fd;
    listener->is_unix = path != NULL;
    listener->path = g_strdup(path);
    g_ptr_array_add(api->listeners, listener);
    return listener;
}

static gboolean refuse_address(GError **error, const char *text, const char *why)
{
    return steno_error_set(error, STENO_ERROR_CONFIG, "api.listen: cannot listen at %s: %s", text, why);
}

static gboolean split_address(const char *text, char **host, char **port)
{
    const char *colon = strrchr(text, ':');
    if (!colon || colon == text || !colon[1])
        return FALSE;
    gboolean bracketed = text[0] == '[' && colon[-1] == ']';
    if (!bracketed && memchr(text, ':', (gsize)(colon - text)))
        return FALSE;
    *host = bracketed ? g_strndup(text + 1, (gsize)(colon - text) - 2) : g_strndup(text, (gsize)(colon - text));
    *port = g_strdup(colon + 1);
    return TRUE;
}

static gboolean listen_net(StenoApi *api, const char *text, GError **error)
{
    g_autofree char *host = NULL;
    g_autofree char *port = NULL;
    if (!split_address(text, &host, &port))
        return refuse_address(error, text, "this is not HOST:PORT or [IPv6]:PORT");
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    int failed = getaddrinfo(host, port, &hints, &found);
    if (failed)
        return refuse_address(error, text, gai_strerror(failed));
    int on = 1;
    int fd = socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    gboolean good = fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
                    (found->ai_family != AF_INET6 || setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) == 0) &&
                    bind(fd, found->ai_addr, found->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0;
    int saved = errno;
    freeaddrinfo(found);
    if (good) {
        add_listener(api, fd, NULL);
        return TRUE;
    }
    if (fd >= 0)
        close(fd);
    return refuse_address(error, text, g_strerror(saved));
}

/* Bound beside its place, given its owner and mode, and then moved there: nobody meets it half made, and an old one is
 * replaced. */
static gboolean listen_unix(StenoApi *api, const char *path, GError **error)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    g_autofree char *beside = g_strconcat(path, ".new", NULL);
    g_autofree char *folder = g_path_get_dirname(path);
    if (strlen(beside) >= sizeof(address.sun_path))
        return steno_error_set(error, STENO_ERROR_CONFIG,
                               "api.socket: %s is too long: a socket's path has at most %zu bytes", path,
                               sizeof(address.sun_path) - strlen(".new") - 1);
    strcpy(address.sun_path, beside);
    int fd = -1;
    gboolean good = g_mkdir_with_parents(folder, 0755) == 0 && (unlink(beside) == 0 || errno == ENOENT) &&
                    (fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)) >= 0 &&
                    /* Before bind(): the file has this mode from its first moment. */
                    fchmod(fd, 0600) == 0 && bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0 &&
                    (api->socket_group == (gid_t)-1 || chown(beside, (uid_t)-1, api->socket_group) == 0) &&
                    chmod(beside, 0660) == 0 && listen(fd, BACKLOG) == 0 && rename(beside, path) == 0;
    int saved = errno;
    if (good) {
        add_listener(api, fd, path);
        return TRUE;
    }
    if (fd >= 0)
        close(fd);
    unlink(beside);
    return steno_error_set_errno(error, saved, "cannot make the API's socket %s", path);
}

/* (gid_t)-1: there is none. */
static gid_t group_of(const char *name)
{
    struct group group, *found = NULL;
    g_autofree char *buffer = g_malloc(65536);
    if (!name || getgrnam_r(name, &group, buffer, 65536, &found) != 0 || !found)
        return (gid_t)-1;
    return found->gr_gid;
}

gboolean listen_open(StenoApi *api, GError **error)
{
    const StenoConfigApi *config = &api->config->api;
    api->socket_group = group_of(config->socket_group);
    if (config->socket_group && api->socket_group == (gid_t)-1)
        steno_notice(api->log, "there is no group %s: the socket is for root and stenod's own user",
                     config->socket_group);
    for (gsize i = 0; config->listen[i]; i++) {
        if (!listen_net(api, config->listen[i], error))
            return FALSE;
    }
    return !config->socket || listen_unix(api, config->socket, error);
}

gboolean listen_start(StenoApi *api, GError **error)
{
    for (guint i = 0; i < api->listeners->len; i++) {
        Listener *listener = g_ptr_array_index(api->listeners, i);
        lws_sock_file_fd_type fd = {.filefd = listener->fd};
        struct lws_vhost *vhost = listener->is_unix || !api->tls ? api->plain : api->tls;
        listener->wsi = lws_adopt_descriptor_vhost(vhost, LWS_ADOPT_RAW_FILE_DESC, fd, "steno", NULL);
        if (!listener->wsi)
            return steno_error_set(error, STENO_ERROR_INTERNAL, "libwebsockets does not take a listening socket");
    }
    return TRUE;
}

/* ---- accepting --------------------------------------------------------------------------------------------------- */

static void pause_listener(Listener *listener, gboolean paused)
{
    if (listener->paused == paused || !listener->wsi)
        return;
    listener->paused = paused;
    lws_rx_flow_control(listener->wsi, !paused);
}

void listen_resume(StenoApi *api)
{
    if (api->stop_at_us)
        return;
    for (guint i = 0; i < api->listeners->len; i++)
        pause_listener(g_ptr_array_index(api->listeners, i), FALSE);
}

/* FALSE: there is none; every connection has a request in progress. */
static gboolean make_room(StenoApi *api, Pool *pool)
{
    while (pool->count >= pool->max) {
        GList *longest = g_queue_peek_head_link(&pool->idle);
        if (!longest)
            return FALSE;
        api->metrics.evicted++;
        connection_kill(longest->data);
    }
    return TRUE;
}

static void describe_peer(const struct sockaddr_storage *peer, socklen_t bytes, char *text, gsize size)
{
    if (peer->ss_family == AF_UNIX)
        g_strlcpy(text, "unix", size);
    else if (getnameinfo((const struct sockaddr *)peer, bytes, text, (socklen_t)size, NULL, 0, NI_NUMERICHOST) != 0)
        g_strlcpy(text, "unknown", size);
}

static void adopt(StenoApi *api, const Listener *listener, int fd, const char *address)
{
    Connection *connection = connection_new(api, fd, listener->is_unix, address);
    guint64 serial = connection->serial;
    lws_adopt_desc_t how = {
        .vh = listener->is_unix ? api->plain : api->tls,
        .type = LWS_ADOPT_SOCKET | (listener->is_unix ? 0 : LWS_ADOPT_ALLOW_SSL),
        .fd = {.sockfd = fd},
        .vh_prot_name = "steno",
        .opaque = connection,
    };
    struct lws *wsi = lws_adopt_descriptor_vhost_via_info(&how);
    /* It may have been closed, or handed over already. */
    connection = g_hash_table_lookup(api->connections, &serial);
    if (connection && wsi)
        connection->wsi = wsi;
    else if (connection)
        connection_closed(connection);
}

void listen_accept(StenoApi *api, struct lws *wsi)
{
    Listener *listener = NULL;
    for (guint i = 0; i < api->listeners->len; i++) {
        Listener *one = g_ptr_array_index(api->listeners, i);
        if (one->wsi == wsi)
            listener = one;
    }
    if (!listener || api->stop_at_us)
        return;
    for (int i = 0; i < ACCEPTS_AT_ONCE; i++) {
        struct sockaddr_storage peer = {0};
        socklen_t bytes = sizeof(peer);
        if (!make_room(api, listener->is_unix ? &api->local : &api->net)) {
            pause_listener(listener, TRUE);
            return;
        }
        int fd = accept4(listener->fd, (struct sockaddr *)&peer, &bytes, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            /* No descriptor is left: wait for a connection's end, or for the next tick. */
            if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
                steno_warning(api->log, "cannot accept a connection: %s", g_strerror(errno));
                pause_listener(listener, TRUE);
            }
            return;
        }
        int on = 1; /* an answer's last piece must not wait for the client to acknowledge the one before */
        if (!listener->is_unix)
            (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        char address[NI_MAXHOST];
        describe_peer(&peer, bytes, address, sizeof(address));
        adopt(api, listener, fd, address);
    }
}

/* ---- the end ----------------------------------------------------------------------------------------------------- */

void listen_stop(StenoApi *api)
{
    for (guint i = 0; i < api->listeners->len; i++)
        pause_listener(g_ptr_array_index(api->listeners, i), TRUE);
}

void listen_close(StenoApi *api)
{
    for (guint i = 0; i < api->listeners->len; i++) {
        Listener *listener = g_ptr_array_index(api->listeners, i);
        if (!listener->wsi)
            close(listener->fd); /* else lws has closed it */
        if (listener->path)
            unlink(listener->path);
        g_free(listener->path);
        g_free(listener);
    }
    g_ptr_array_unref(api->listeners);
}
