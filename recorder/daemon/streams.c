/*
 * Contents that come from a storage: a thread fetches them into a pipe, whose other end is the caller's. The pipe holds
 * the thread back when the caller is slow, and ends it when the caller has gone.
 */
#include "daemon_internal.h"

#include "steno/base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

struct Streams {
    gatomicrefcount references;
    gint n; /* atomic; of StenoDaemonStream */
    GCancellable *ending;
};

struct StenoDaemonStream {
    Streams *streams;
    StenoStore *store;
    char *key;
    gint64 offset, bytes;
    int fd; /* to write to; -1: not begun */
};

/* ---- how many ---------------------------------------------------------------------------------------------------- */

Streams *streams_new(void)
{
    Streams *streams = g_new0(Streams, 1);
    g_atomic_ref_count_init(&streams->references);
    streams->ending = g_cancellable_new();
    return streams;
}

static void streams_unref(Streams *streams)
{
    if (!g_atomic_ref_count_dec(&streams->references))
        return;
    g_object_unref(streams->ending);
    g_free(streams);
}

void streams_free(Streams *streams)
{
    if (!streams)
        return;
    g_cancellable_cancel(streams->ending);
    streams_unref(streams);
}

StenoDaemonStream *stream_new(Streams *streams, StenoStore *store, const char *key)
{
    if (g_atomic_int_add(&streams->n, 1) >= STREAMS_MAX) {
        g_atomic_int_add(&streams->n, -1);
        return NULL;
    }
    StenoDaemonStream *stream = g_new0(StenoDaemonStream, 1);
    g_atomic_ref_count_inc(&streams->references);
    stream->streams = streams;
    stream->store = steno_store_ref(store);
    stream->key = g_strdup(key);
    stream->fd = -1;
    return stream;
}

void stream_free(StenoDaemonStream *stream)
{
    if (!stream)
        return;
    if (stream->fd >= 0)
        close(stream->fd);
    g_atomic_int_add(&stream->streams->n, -1);
    streams_unref(stream->streams);
    steno_store_unref(stream->store);
    g_free(stream->key);
    g_free(stream);
}

/* ---- the thread -------------------------------------------------------------------------------------------------- */

static gboolean take(gpointer user, const guint8 *data, gsize bytes, GError **error)
{
    const StenoDaemonStream *stream = user;
    while (bytes > 0) {
        ssize_t n = write(stream->fd, data, bytes);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            g_set_error_literal(error, STENO_ERROR, STENO_ERROR_INTERRUPTED, "nobody reads any more");
            return FALSE;
        }
        data += n;
        bytes -= (gsize)n;
    }
    return TRUE;
}

/* A pipe without a reader is told by write(), not by a signal. */
static void block_sigpipe(void)
{
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGPIPE);
    (void)pthread_sigmask(SIG_BLOCK, &signals, NULL);
}

static gpointer run(gpointer data)
{
    StenoDaemonStream *stream = data;
    g_autoptr(GError) error = NULL;
    block_sigpipe();
    if (!steno_store_fetch(stream->store, stream->key, stream->offset, stream->bytes, take, stream,
                           stream->streams->ending, &error) &&
        !g_error_matches(error, STENO_ERROR, STENO_ERROR_INTERRUPTED))
        steno_error(NULL, "a download from the storage %s ends early: %s", steno_store_name(stream->store),
                    error->message);
    stream_free(stream);
    return NULL;
}

int steno_daemon_stream_begin(StenoDaemonStream **taken, gint64 offset, gint64 bytes, GError **error)
{
    StenoDaemonStream *stream = g_steal_pointer(taken);
    g_autoptr(GError) why = NULL;
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_INTERNAL, "cannot make a pipe for a download: %s",
                    g_strerror(errno));
        stream_free(stream);
        return -1;
    }
    (void)fcntl(ends[0], F_SETFL, O_NONBLOCK);
    stream->offset = offset;
    stream->bytes = bytes;
    stream->fd = ends[1];
    GThread *thread = g_thread_try_new("download", run, stream, &why);
    if (thread) {
        g_thread_unref(thread);
        return ends[0];
    }
    close(ends[0]);
    g_set_error(error, STENO_ERROR, STENO_ERROR_INTERNAL, "cannot begin a download: %s", why->message);
    stream_free(stream);
    return -1;
}
