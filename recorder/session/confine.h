/*
 * What the recorder gives up once it knows its job (sandbox.h), and what the job still needs then. Before there are
 * threads.
 */
#ifndef SESSION_CONFINE_H
#define SESSION_CONFINE_H

#include "recorder_agent.h"

#include "steno/sandbox.h"

typedef struct {
    const char *capture;       /* the folder to write to; NULL: none */
    const char *socket_folder; /* where the recorder's own socket is taken away at the end; NULL: nowhere */
} ConfinePlaces;

/*
 * Gives the agent what it needs, then enters. *keys_fd: for the source of content keys, or -1. Files that the job names
 * (certificates) are opened, and the job then names their descriptors: they stay what they are now. INTERNAL.
 */
gboolean confine(StenoJobSpec *job, Agent *agent, const ConfinePlaces *places, int *keys_fd, StenoSandboxState *state,
                 GError **error);

#endif
