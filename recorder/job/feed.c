#include "feed.h"

#include "steno/base/error.h"

#include <errno.h>
#include <glib-unix.h>
#include <sys/socket.h>
#include <unistd.h>

struct Feed {
    int fd;
    guint source; /* 0: it is over */
    StenoSecret *text;
    gsize written;
};

gboolean feed_socket(int *ours, int *theirs, GError **error)
{
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0)
        return steno_error_set(error, STENO_ERROR_INTERNAL, "cannot make a socket for a child: %s", g_strerror(errno));
    *ours = fds[0];
    *theirs = fds[1];
    return TRUE;
}

static gboolean on_writable(gint fd, GIOCondition condition, gpointer user)
{
    Feed *feed = user;
    gsize left = steno_secret_bytes(feed->text) - feed->written;
    (void)condition;
    gssize n = send(fd, steno_secret_data(feed->text) + feed->written, left, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n >= 0)
        feed->written += (gsize)n;
    else if (errno == EAGAIN || errno == EINTR)
        return G_SOURCE_CONTINUE;
    if (n >= 0 && feed->written < steno_secret_bytes(feed->text))
        return G_SOURCE_CONTINUE;
    close(fd);
    feed->source = 0;
    return G_SOURCE_REMOVE;
}

Feed *feed_start(int fd, StenoSecret *text)
{
    Feed *feed = g_new0(Feed, 1);
    feed->fd = fd;
    feed->text = steno_secret_ref(text);
    feed->source = g_unix_fd_add(fd, G_IO_OUT, on_writable, feed);
    return feed;
}

void feed_free(Feed *feed)
{
    if (!feed)
        return;
    if (feed->source) {
        g_source_remove(feed->source);
        close(feed->fd);
    }
    steno_secret_unref(feed->text);
    g_free(feed);
}
