/*
 * Messages between the processes of one recording: newline-delimited JSON objects over a Unix stream socket.
 *
 * Both ends are GLib main-context sources. A line may hold secrets (the job), so that buffers are wiped after use.
 */
#ifndef STENO_BASE_IPC_H
#define STENO_BASE_IPC_H

#include <glib.h>
#include <jansson.h>

/* A longer line ends the connection: the longest lawful one is a job with its secrets, of which a key set may have 1
 * MiB, twice that with its quotes escaped. */
#define STENO_IPC_LINE_MAX_BYTES (2304 * 1024)
/* What may wait to be sent to a peer that does not read; more ends the connection. */
#define STENO_IPC_QUEUE_MAX_BYTES (4 * 1024 * 1024)

typedef struct StenoIpc StenoIpc;

typedef struct {
    /* One whole message. The callee does not own it. */
    void (*message)(gpointer user, json_t *message);
    /* The peer is gone (error NULL) or the connection broke. Called once; the callee still frees the StenoIpc. */
    void (*closed)(gpointer user, const GError *error);
} StenoIpcEvents;

/* Takes a connected stream socket (closes it when freed). Events come from `context` (NULL: the default one). */
StenoIpc *steno_ipc_new(int fd, GMainContext *context, const StenoIpcEvents *events, gpointer user);
void steno_ipc_free(StenoIpc *ipc);

/* Queues one message; takes the reference to it, on failure too. FALSE when the connection is closed. */
gboolean steno_ipc_send(StenoIpc *ipc, json_t *message);
/* Waits (blocking) until all that is queued has left, or the timeout has passed. */
void steno_ipc_flush(StenoIpc *ipc, guint timeout_ms);

/* Listens at path, mode 0600; an old socket there is removed. Returns the file descriptor or -1. */
int steno_ipc_listen(const char *path, GError **error);
int steno_ipc_connect(const char *path, GError **error);

#endif
