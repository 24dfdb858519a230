/*
 * Key sources that read files or run what is the customer's work in a process apart, the recorder's agent: the recorder
 * itself is confined. Both ends are of one process image (a fork), so that structs go over the socket as they are.
 */
#ifndef CONTENT_SOURCE_AGENT_H
#define CONTENT_SOURCE_AGENT_H

#include "source_kind.h"

/* Recorder to agent, before the participant's name, which may be none. */
typedef struct {
    guint64 id, kid;
    guint32 name_bytes;
    gboolean has_name;
} AgentQuestion;

/* Agent to recorder, before `bytes` of the key set, or of an error's words. */
typedef struct {
    guint64 id; /* 0: there may be another answer now */
    guint32 bytes, wait_s;
    gint32 outcome, code; /* SourceOutcome; StenoError */
    gboolean final;
} AgentAnswer;

#define AGENT_NAME_MAX_BYTES 4096

/* The kind, as it is asked over settings->agent_fd, which closing it closes. */
SourceKind source_agent_kind(const SourceKind *kind);

#endif
