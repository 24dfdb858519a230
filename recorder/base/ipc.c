#include "steno/base/ipc.h"

#include "steno/base/error.h"
#include "steno/base/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

struct StenoIpc {
    int fd;
    GMainContext *context;
    GSource *readable, *writable;
    char *in; /* STENO_IPC_LINE_MAX_BYTES, wiped when freed */
    gsize in_bytes;
    GString *out;
    gboolean closed;
    gboolean *freed; /* set while a callback runs */
    const StenoIpcEvents *events;
    gpointer user;
};

static void drop_source(GSource **source)
{
    if (!*source)
        return;
    g_source_destroy(*source);
    g_source_unref(*source);
    *source = NULL;
}

static void ipc_close(StenoIpc *ipc, const GError *error)
{
    if (ipc->closed)
        return;
    ipc->closed = TRUE;
    drop_source(&ipc->readable);
    drop_source(&ipc->writable);
    ipc->events->closed(ipc->user, error);
}

static void ipc_fail(StenoIpc *ipc, const char *words)
{
    g_autoptr(GError) error = g_error_new(STENO_ERROR, STENO_ERROR_PROTOCOL, "between our processes: %s", words);
    ipc_close(ipc, error);
}

/* FALSE when the callback freed the connection, or it is closed. */
static gboolean take_line(StenoIpc *ipc, const char *line, gsize bytes)
{
    gboolean freed = FALSE;
    json_error_t why;
    json_t *message = json_loadb(line, bytes, JSON_REJECT_DUPLICATES, &why);
    ipc->freed = &freed;
    if (message && json_is_object(message))
        ipc->events->message(ipc->user, message);
    else
        ipc_fail(ipc, "a line that is no JSON object");
    json_decref(message);
    if (freed)
        return FALSE;
    ipc->freed = NULL;
    return !ipc->closed;
}

/* Hands over all whole lines; the rest moves to the front. */
static void take_lines(StenoIpc *ipc)
{
    gsize from = 0;
    char *end;
    while ((end = memchr(ipc->in + from, '\n', ipc->in_bytes - from))) {
        gsize bytes = (gsize)(end - ipc->in) - from;
        if (bytes > 0 && !take_line(ipc, ipc->in + from, bytes))
            return;
        from += bytes + 1;
    }
    memmove(ipc->in, ipc->in + from, ipc->in_bytes - from);
    ipc->in_bytes -= from;
    steno_secret_wipe(ipc->in + ipc->in_bytes, from);
    if (ipc->in_bytes == STENO_IPC_LINE_MAX_BYTES)
        ipc_fail(ipc, "a line that is too long");
}

static gboolean on_readable(gint fd, GIOCondition condition, gpointer user)
{
    StenoIpc *ipc = user;
    (void)condition;
    gssize n = read(fd, ipc->in + ipc->in_bytes, STENO_IPC_LINE_MAX_BYTES - ipc->in_bytes);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return G_SOURCE_CONTINUE;
    if (n <= 0) {
        ipc_close(ipc, NULL);
        return G_SOURCE_REMOVE;
    }
    ipc->in_bytes += (gsize)n;
    take_lines(ipc);
    return G_SOURCE_CONTINUE;
}

static void wipe_out(StenoIpc *ipc, gsize bytes)
{
    steno_secret_wipe(ipc->out->str, bytes);
    g_string_erase(ipc->out, 0, (gssize)bytes);
}

/* FALSE when the peer is gone. */
static gboolean write_some(StenoIpc *ipc)
{
    while (ipc->out->len > 0) {
        gssize n = send(ipc->fd, ipc->out->str, ipc->out->len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN;
        wipe_out(ipc, (gsize)n);
    }
    return TRUE;
}

static gboolean on_writable(gint fd, GIOCondition condition, gpointer user)
{
    StenoIpc *ipc = user;
    (void)fd;
    (void)condition;
    if (!write_some(ipc)) {
        ipc_close(ipc, NULL);
        return G_SOURCE_REMOVE;
    }
    if (ipc->out->len > 0)
        return G_SOURCE_CONTINUE;
    drop_source(&ipc->writable);
    return G_SOURCE_REMOVE;
}

static GSource *watch(StenoIpc *ipc, GIOCondition condition, GUnixFDSourceFunc callback)
{
    GSource *source = g_unix_fd_source_new(ipc->fd, condition);
    g_source_set_callback(source, G_SOURCE_FUNC(callback), ipc, NULL);
    g_source_attach(source, ipc->context);
    return source;
}

StenoIpc *steno_ipc_new(int fd, GMainContext *context, const StenoIpcEvents *events, gpointer user)
{
    StenoIpc *ipc = g_new0(StenoIpc, 1);
    (void)g_unix_set_fd_nonblocking(fd, TRUE, NULL);
    ipc->fd = fd;
    ipc->context = context;
    ipc->events = events;
    ipc->user = user;
    ipc->in = g_malloc(STENO_IPC_LINE_MAX_BYTES);
    /* Never grown past what is reserved here while it holds a job: growing would leave a copy of it behind. */
    ipc->out = g_string_sized_new(STENO_IPC_LINE_MAX_BYTES);
    ipc->readable = watch(ipc, G_IO_IN, on_readable);
    return ipc;
}

void steno_ipc_free(StenoIpc *ipc)
{
    if (!ipc)
        return;
    if (ipc->freed)
        *ipc->freed = TRUE;
    drop_source(&ipc->readable);
    drop_source(&ipc->writable);
    close(ipc->fd);
    steno_secret_wipe(ipc->in, STENO_IPC_LINE_MAX_BYTES);
    g_free(ipc->in);
    steno_secret_wipe(ipc->out->str, ipc->out->allocated_len);
    g_string_free(ipc->out, TRUE);
    g_free(ipc);
}

gboolean steno_ipc_send(StenoIpc *ipc, json_t *message)
{
    char *line = ipc->closed ? NULL : json_dumps(message, JSON_COMPACT);
    json_decref(message);
    if (!line)
        return FALSE;
    gsize bytes = strlen(line);
    gboolean fits = ipc->out->len + bytes < STENO_IPC_QUEUE_MAX_BYTES;
    if (fits) {
        g_string_append_len(ipc->out, line, (gssize)bytes);
        g_string_append_c(ipc->out, '\n');
    }
    steno_secret_wipe(line, bytes);
    free(line);
    if (!fits || !write_some(ipc)) {
        ipc_fail(ipc, fits ? "the other process is gone" : "the other process does not read");
        return FALSE;
    }
    if (ipc->out->len > 0 && !ipc->writable)
        ipc->writable = watch(ipc, G_IO_OUT, on_writable);
    return TRUE;
}

void steno_ipc_flush(StenoIpc *ipc, guint timeout_ms)
{
    gint64 until_us = g_get_monotonic_time() + (gint64)timeout_ms * 1000;
    while (!ipc->closed && ipc->out->len > 0) {
        gint64 left_ms = (until_us - g_get_monotonic_time()) / 1000;
        struct pollfd wait = {.fd = ipc->fd, .events = POLLOUT};
        if (left_ms <= 0 || poll(&wait, 1, (int)left_ms) <= 0 || !write_some(ipc))
            return;
    }
}

/* ---- sockets ----------------------------------------------------------------------------------------------------- */

static gboolean address_of(const char *path, struct sockaddr_un *address, GError **error)
{
    memset(address, 0, sizeof *address);
    address->sun_family = AF_UNIX;
    if (strlen(path) >= sizeof address->sun_path) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_USAGE,
                    "the socket's path '%s' is longer than %zu bytes: choose a shorter runtime folder", path,
                    sizeof address->sun_path - 1);
        return FALSE;
    }
    strcpy(address->sun_path, path);
    return TRUE;
}

int steno_ipc_listen(const char *path, GError **error)
{
    struct sockaddr_un address;
    if (!address_of(path, &address, error))
        return -1;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        (void)steno_error_set_errno(error, errno, "cannot make a socket");
        return -1;
    }
    (void)unlink(path);
    mode_t mask = umask(0177);
    int bound = bind(fd, (struct sockaddr *)&address, sizeof address);
    int saved_errno = errno;
    (void)umask(mask);
    if (bound == 0 && listen(fd, 4) == 0)
        return fd;
    (void)steno_error_set_errno(error, bound == 0 ? errno : saved_errno, "cannot listen at '%s'", path);
    close(fd);
    return -1;
}

int steno_ipc_connect(const char *path, GError **error)
{
    struct sockaddr_un address;
    if (!address_of(path, &address, error))
        return -1;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) == 0)
        return fd;
    (void)steno_error_set_errno(error, errno, "cannot connect to '%s'", path);
    if (fd >= 0)
        close(fd);
    return -1;
}
