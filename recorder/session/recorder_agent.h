/*
 * The recorder's agent: a process of its own that does for a confined recorder what that can't. It looks up names, and
 * asks key sources that need files or programs. It sees names of hosts and participants, and keys; never the channel.
 */
#ifndef SESSION_RECORDER_AGENT_H
#define SESSION_RECORDER_AGENT_H

#include "names.h"

#include "steno/base/job.h"

typedef struct {
    int keys; /* for steno_content_source_new() */
    int lanes[NAMES_LANES];
} Agent;

/*
 * Forks, and so must be called before there are threads, and before there is a secret that it has no need of. The agent
 * ends when the sockets are closed, or this process ends. INTERNAL.
 */
gboolean agent_start(Agent *agent, GError **error);

/*
 * What it needs of the job, once: the job, where content keys come from what a confined recorder does not reach. It is
 * confined then itself, unless that is a program or module of the customer's. *keys_fd: for the source, or -1. From
 * here on names are looked up by the agent. INTERNAL.
 */
gboolean agent_take_job(Agent *agent, const StenoJobSpec *job, int *keys_fd, GError **error);

#endif
