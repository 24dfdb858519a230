/*
 * channel: one platform's signalling each. Never sees RTP. A const table of connectors.
 *
 * A channel lives in the main thread's GMainContext. It says who is there and offers media peers (PeerConnections, or
 * plain sockets of an SDP file); the session makes the transports, and gives their side back for the answer.
 */
#ifndef STENO_CHANNEL_H
#define STENO_CHANNEL_H

#include "steno/base/job.h"
#include "steno/base/log.h"
#include "steno/sdp.h"

#define STENO_CHANNEL_PARTICIPANTS_MAX 500 /* a recording; more are told in events and not recorded */
#define STENO_CHANNEL_RECONNECT_BACKOFF_MAX_MS 10000

typedef struct StenoChannel StenoChannel;

typedef enum {
    STENO_CHANNEL_JOINING,
    STENO_CHANNEL_JOINED,
    STENO_CHANNEL_RECONNECTING, /* the platform is away; all peers have been closed */
    STENO_CHANNEL_ENDED,        /* nothing more comes */
} StenoChannelState;

typedef struct {
    const char *id;   /* the platform's id of the participant; unique in the channel */
    const char *name; /* display name, "" when there is none */
} StenoParticipant;

/* All from the main thread. What is passed is only lent. */
typedef struct {
    void (*participant_joined)(gpointer user, const StenoParticipant *participant);
    void (*participant_left)(gpointer user, const char *participant_id);
    /*
     * A peer offers media of one participant; the first offer of a peer number opens it, later ones renegotiate it
     * (streams added, dropped; other ICE credentials: an ICE restart). For WebRTC the session answers with
     * steno_channel_answer(); for plain SDP (no ICE) there is nothing to answer. In a plain offer, exactly one m-line.
     */
    void (*peer_offer)(gpointer user, guint32 peer, const char *participant_id, const StenoSdp *offer);
    /* A participant's media can't be had, for this reason; the channel goes on trying. */
    void (*participant_failed)(gpointer user, const char *participant_id, const GError *error);
    void (*peer_closed)(gpointer user, guint32 peer);
    /*
     * What the platform tells of a stream: type is "muted", "unmuted", "layer" (detail: which), "talking" or "silent".
     * mid NULL: of the participant. detail may be NULL. Janus tells the unseen of layers and, once a second, of who
     * talks; not of mutes.
     */
    void (*stream_event)(gpointer user, guint32 peer, const char *mid, const char *type, json_t *detail);
    /*
     * error is set for RECONNECTING (why), and for ENDED when it failed: before the first JOINED the join failed, after
     * it the channel was lost. The session then closes the channel.
     */
    void (*state)(gpointer user, StenoChannelState state, const GError *error);
} StenoChannelEvents;

/* A connector: one platform. */
typedef struct {
    const char *platform; /* the name in --platform and REST */
    const char *words;    /* one line for --help */
    /* Starts to join. `job` outlives the channel. NULL with an error when the job is impossible (USAGE, GEOFENCE,
     * SDP_INVALID). */
    StenoChannel *(*open)(const StenoJobSpec *job, const StenoGeofence *geofence, const StenoLog *log,
                          const StenoChannelEvents *events, gpointer user, GError **error);
    /* Our side of a peer is ready, for the last offer: build the answer and send it. */
    void (*answer)(StenoChannel *channel, guint32 peer, const StenoTransportLocal *local);
    /* The peer's media path failed: restart ICE or subscribe anew, with backoff. */
    void (*peer_failed)(StenoChannel *channel, guint32 peer, const GError *why);
    /*
     * The job's subscribe_audio, subscribe_video, max_height or token has changed: subscribes to what is wanted now and
     * to nothing else (steno_job_spec_wants()), as far as the platform lets one choose.
     */
    void (*update)(StenoChannel *channel);
    /* Pictures of this size, px, come on a stream: other layers are chosen where max_height wants them. */
    void (*picture)(StenoChannel *channel, guint32 peer, const char *mid, guint width, guint height);
    /* Leaves: tells the platform, waiting at most 2 s, and frees. No events during or after. */
    void (*close)(StenoChannel *channel);
} StenoConnector;

/* The first member of each connector's own channel struct. */
struct StenoChannel {
    const StenoConnector *connector;
};

/* NULL-terminated. */
const StenoConnector *const *steno_connectors(void);
const StenoConnector *steno_connector_find(const char *platform);

#endif
