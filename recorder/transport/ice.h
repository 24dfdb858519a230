/*
 * What the two files of the ICE transport share: ice.c (our side: libnice, sockets, DTLS) and ice_remote.c (the peer's
 * descriptions).
 */
#ifndef STENO_TRANSPORT_ICE_H
#define STENO_TRANSPORT_ICE_H

#include "dtls.h"
#include "servers.h"

#include <nice/agent.h>

#define COMPONENT 1         /* BUNDLE and rtcp-mux: there is only one */
#define CHECK_PACING_MS 5u  /* the least that RFC 8445 §14.2 allows: an SFU has few candidates, and somebody waits */
#define MEDIA_SOCKETS_MAX 8 /* one for each local address that was ever selected */
#define REMOTES_MAX (STENO_TRANSPORT_CANDIDATES_MAX + 16)
/* libnice gives up by itself when all checks failed; this is for a peer that never tells its candidates. */
#define CONNECT_TIMEOUT_MS 30000

typedef struct {
    StenoTransport common;
    NiceAgent *agent;
    guint stream;
    StenoDtls *dtls;
    StenoIceServers *servers;
    gboolean gathering, gathered;
    StenoDtlsSetup setup; /* ours; ACTPASS until the peer's is known */
    StenoDtlsSetup preferred_setup;
    char *remote_ufrag, *remote_password;
    gboolean restarted; /* local credentials are newer than the peer's */
    gboolean path;      /* there is a selected pair */
    GSList *waiting;    /* NiceCandidate: of the peer, until we gather */
    guint n_remote_candidates;
    struct sockaddr_storage remotes[REMOTES_MAX]; /* where media may come from; the last that did is the first */
    guint n_remotes, next_remote;
    StenoBatch *batch;
    struct {
        GSocket *base;
        int fd;
    } media[MEDIA_SOCKETS_MAX];
    guint n_media;
    GMainContext *tick_context; /* libnice's sources, when media comes through them */
    GSource *deadline, *announce;
    gint64 now_us; /* of the drain that runs */
    guint drained;
} StenoIce;

/* FAILED with this error. */
void steno_ice_fail(StenoIce *ice, const GError *error);
void steno_ice_fail_with(StenoIce *ice, int code, const char *words);
/* Media may come from here from now on. */
void steno_ice_add_remote_address(StenoIce *ice, const NiceAddress *address);
/* `gathered` follows from the context, once we have gathered. */
void steno_ice_announce(StenoIce *ice);

/* Of the table of functions. */
gboolean steno_ice_set_remote(StenoTransport *transport, const StenoTransportRemote *remote, GError **error);
void steno_ice_add_candidate(StenoTransport *transport, const char *candidate);
gboolean steno_ice_restart(StenoTransport *transport, GError **error);

#endif
