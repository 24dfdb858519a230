/*
 * sink: a new file that OpenSSL writes to, in few large steps; what went wrong with it is known as errno.
 */
#ifndef STENO_ENVELOPE_SINK_H
#define STENO_ENVELOPE_SINK_H

#include <glib.h>
#include <openssl/bio.h>

typedef struct Sink Sink;

/* Makes the file (0600); it must not exist. NULL with errno. */
Sink *sink_new(const char *path);
/* Closes it; what is not written is dropped. */
void sink_free(Sink *sink);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Sink, sink_free)

/* Where to write, lent; flushing it writes all. */
BIO *sink_bio(const Sink *sink);
/* The errno of the first write that failed, 0: none did. */
int sink_failed(const Sink *sink);
/* All of it is on disk, and the file closed; else errno. */
int sink_finish(Sink *sink);

#endif
