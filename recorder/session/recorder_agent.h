/*
 * The recorder's agent: a process of its own that does for a confined recorder what that can't. It looks up names, and
 * asks key sources that need files or programs. It sees names of hosts and participants, and keys; never the channel.
 */
#ifndef SESSION_RECORDER_AGENT_H
#define SESSION_RECORDER_AGENT_H

#include "names.h"

#include "steno/base/job.h"

typedef struct {
    int keys; /* for steno_content_source_new(); -1: not needed */
    int lanes[NAMES_LANES];
} Agent;

/*
 * Forks, and so must be called before there are threads. The agent ends when these sockets are closed, or this process
 * ends. It is confined itself, unless the key source is a program or module of the customer's. INTERNAL.
 */
gboolean agent_start(StenoJobSpec *job, Agent *agent, GError **error);

#endif
