/*
 * session: one recording from the inside (the recorder process). Wires channel → transport → rtp → codec → capture; the
 * only room that sees all of them. wiring.c is where the flow is read top to bottom.
 */
#ifndef STENO_SESSION_H
#define STENO_SESSION_H

#include "steno/base/job.h"
#include "steno/base/log.h"

typedef struct StenoSession StenoSession;

/* All from the main thread. */
typedef struct {
    /*
     * Something happened: {"event": "joining" | "recording" | "reconnecting" | "participant_joined" | … | "stats"}.
     * Not owned by the callee.
     */
    void (*event)(gpointer user, json_t *event);
    /*
     * The recording has ended and the capture is closed. error NULL: it ended as it should. end_reason: "stopped",
     * "max-duration", "max-idle", "channel-ended", "connection-lost", "join-failed", "storage". The callee frees the
     * session later.
     */
    void (*ended)(gpointer user, const char *end_reason, const GError *error);
} StenoSessionEvents;

typedef struct {
    const char *capture; /* the capture's folder */
    guint first_part;    /* 1, or more when another recorder was here before */
    gint64 zero_wall_us; /* 0: now */
} StenoSessionPlace;

/* Starts in the default main context. Takes a reference to nothing: job must outlive the session. */
StenoSession *steno_session_start(const StenoJobSpec *job, const StenoSessionPlace *place, const StenoLog *log,
                                  const StenoSessionEvents *events, gpointer user, GError **error);
/* Asks it to end ("stopped", …); `ended` follows. */
void steno_session_stop(StenoSession *session, const char *end_reason);
void steno_session_free(StenoSession *session);

#endif
