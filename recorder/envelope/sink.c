#include "sink.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define BUFFER_BYTES (256 * 1024)

struct Sink {
    int fd;
    int failed;
    BIO_METHOD *method;
    BIO *bio;
    gsize have;
    guint8 buffer[BUFFER_BYTES];
};

static gboolean flush(Sink *sink)
{
    for (gsize at = 0; at < sink->have && !sink->failed;) {
        gssize n = write(sink->fd, sink->buffer + at, sink->have - at);
        if (n > 0)
            at += (gsize)n;
        else if (n == 0 || errno != EINTR)
            sink->failed = n == 0 ? ENOSPC : errno;
    }
    sink->have = 0;
    return !sink->failed;
}

static int on_write(BIO *bio, const char *data, int bytes)
{
    Sink *sink = BIO_get_data(bio);
    for (gsize at = 0, left; at < (gsize)bytes; at += left) {
        left = MIN((gsize)bytes - at, BUFFER_BYTES - sink->have);
        memcpy(sink->buffer + sink->have, data + at, left);
        sink->have += left;
        if (sink->have == BUFFER_BYTES && !flush(sink))
            return -1;
    }
    return bytes;
}

static long on_control(BIO *bio, int command, long number, void *pointer)
{
    (void)number;
    (void)pointer;
    return command == BIO_CTRL_FLUSH ? flush(BIO_get_data(bio)) : 0;
}

Sink *sink_new(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return NULL;
    Sink *sink = g_new0(Sink, 1);
    sink->fd = fd;
    sink->method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "file");
    (void)BIO_meth_set_write(sink->method, on_write);
    (void)BIO_meth_set_ctrl(sink->method, on_control);
    sink->bio = BIO_new(sink->method);
    BIO_set_data(sink->bio, sink);
    BIO_set_init(sink->bio, 1);
    return sink;
}

void sink_free(Sink *sink)
{
    if (!sink)
        return;
    BIO_free(sink->bio);
    BIO_meth_free(sink->method);
    if (sink->fd >= 0)
        close(sink->fd);
    g_free(sink);
}

BIO *sink_bio(const Sink *sink)
{
    return sink->bio;
}

int sink_failed(const Sink *sink)
{
    return sink->failed;
}

int sink_finish(Sink *sink)
{
    if (flush(sink) && fsync(sink->fd) != 0)
        sink->failed = errno;
    int fd = sink->fd;
    sink->fd = -1;
    if (close(fd) != 0 && !sink->failed)
        sink->failed = errno;
    return sink->failed;
}
