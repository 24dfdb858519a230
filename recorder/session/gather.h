/*
 * `steno-recorder --keys`: no recording, but the keys of one, for its assembly, which has no network (steno/session.h).
 */
#ifndef STENO_SESSION_GATHER_H
#define STENO_SESSION_GATHER_H

#include "steno/content.h"

/* More keys than a key set may hold are not asked for. */
#define GATHER_WANTS_MAX STENO_CONTENT_KEYS_MAX
#define GATHER_TIMEOUT_MAX_S 600

/* What is asked for. */
typedef struct {
    StenoJobSpec *job;
    GArray *wants; /* StenoContentWant */
    guint timeout_s;
} GatherRequest;

/* Reads a request; checks all of it. USAGE. */
GatherRequest *gather_request_read(const char *text, gsize bytes, GError **error);
void gather_request_free(GatherRequest *request);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GatherRequest, gather_request_free)

/* What the process gives up before it asks; *keys_fd: whom it asks (content.h). */
typedef gboolean (*GatherConfine)(gpointer user, StenoJobSpec *job, int *keys_fd, GError **error);

/* Reads the request from in_fd until its end, and writes the text of the key set to out_fd. Blocking. confine NULL:
 * nothing. USAGE, what steno_content_gather() says, and what confine says. */
gboolean gather(int in_fd, int out_fd, GatherConfine confine, gpointer user, GError **error);

#endif
