/*
 * Inside of the Janus connector. janus.c: joining, leaving, coming back; janus_room.c: who is there;
 * janus_subscriber.c: one participant's media; janus_streams.c: which of its streams. Everything in the main thread.
 */
#ifndef STENO_CHANNEL_JANUS_PRIVATE_H
#define STENO_CHANNEL_JANUS_PRIVATE_H

#include "janus_api.h"
#include "steno/channel.h"

typedef struct JanusChannel JanusChannel;
typedef struct JanusSubscriber JanusSubscriber;

typedef struct {
    char *id, *name;
    json_t *feed;      /* the id as Janus writes it: number or string */
    gboolean recorded; /* FALSE beyond STENO_CHANNEL_PARTICIPANTS_MAX */
    gboolean seen;     /* in the list that is being read */
    gboolean talking;
    JanusSubscriber *subscriber; /* NULL: does not publish, or not yet subscribed */
    guint failures;
    gint64 not_before_mono_us; /* do not subscribe earlier */
} JanusParticipant;

struct JanusChannel {
    StenoChannel base;
    guint references;
    gboolean closed;
    const StenoJobSpec *job;
    StenoLog *log;
    StenoChannelEvents events;
    gpointer user;
    GMainContext *context;

    char *url;
    JanusCredentials *credentials;
    StenoHttp *http;
    JanusApi *api;       /* NULL: no session */
    JanusApi *ended_api; /* that of a channel that has ended, for close */
    gint64 control;      /* the handle that asks, 0: none */
    StenoChannelState state;
    GSource *timer; /* to start, to poll, or to come back */
    gint64 away_mono_us;
    guint attempts;

    gboolean ids_are_strings;
    gboolean id_refused; /* a number where a name was wanted, or the other way round */
    guint pending;       /* of the questions asked when joining */
    GError *join_error;
    gboolean requires_private_id, requires_encryption;
    gboolean showing;    /* a visible join was asked for */
    gint64 private_id;   /* what it gave; 0: none */
    char *self;          /* our id when visible, else NULL */
    json_t *joined_with; /* the list of participants at joining */
    gboolean listing;    /* a list was asked for */
    guint ticks;

    GHashTable *participants; /* id → JanusParticipant */
    GHashTable *subscribers;  /* a set of JanusSubscriber */
    guint32 last_peer;
};

/* ---- janus.c ---- */

/* The session is lost or of no use: closes all peers, then ends or comes back, as the error demands. */
void janus_channel_lost(JanusChannel *channel, const GError *error);
/* The room is over, as it should. */
void janus_channel_ended(JanusChannel *channel);
/* Asks to be seen, for a private_id (require_pvtid), or ends with NOT_SILENT. */
void janus_channel_need_private_id(JanusChannel *channel);

/* The room's number or name; a new reference. */
json_t *janus_room_id(const JanusChannel *channel);
/* {"request": request, "room": …} */
json_t *janus_room_request(const JanusChannel *channel, const char *request);
/* The same for a join, with what the room wants to be shown. */
json_t *janus_join_request(JanusChannel *channel, const char *type);
/* What a refused request of the room means to the user. Never NULL. */
GError *janus_room_error(const JanusChannel *channel, const JanusReply *reply);
gboolean janus_is_private_id_error(const JanusReply *reply);
/* Is media that its senders encrypt of no use to us, since the job neither has keys nor records it sealed? */
gboolean janus_refuses_encrypted(const JanusChannel *channel);
/* END_TO_END: who is end-to-end encrypted, as this mark of Janus says. */
GError *janus_encrypted_error(const char *who, const char *mark);

/* ---- janus_room.c ---- */

/* Compares a list of participants with those known. The channel may be closed when it returns. */
void janus_room_update(JanusChannel *channel, json_t *participants);
/* Once a second: asks for the list, looks for new streams. */
void janus_room_tick(JanusChannel *channel);
void janus_participant_free(JanusParticipant *participant);

/* ---- janus_subscriber.c ---- */

#define JANUS_LAYERS 3 /* substreams of simulcast, spatial layers of SVC */

/* One stream of the participant: subscribed, or given up since it is not wanted. */
typedef struct {
    char *mid;      /* in the subscription */
    char *feed_mid; /* of the participant */
    gboolean video;
    gboolean active;
    gboolean silenced; /* in our last answer, as it was not wanted then */
    gboolean given_up; /* by us: it may be wanted again */
    guint wanted_layer, asked_layer;
    int layer;                   /* what Janus sends, as far as it told; -1: unknown */
    guint heights[JANUS_LAYERS]; /* seen of each layer, px; 0: not yet */
} JanusStream;

struct JanusSubscriber {
    JanusChannel *channel;
    JanusParticipant *participant; /* NULL: given up while it was attaching */
    gint64 handle;                 /* 0: attaching */
    guint32 peer;                  /* 0: no offer yet */
    StenoSdp *offer;
    gboolean awaits_answer;
    gboolean started; /* Janus has our last answer */
    gboolean up, probing, restarted;
    guint probes;
    gboolean asking;               /* a changed subscription is being asked for */
    gboolean wishes_wait;          /* they changed while nothing could be asked */
    gint64 updating_until_mono_us; /* what was asked for comes with the next offer, or by then never */
    gint64 newest_mid;             /* the largest feed mid known, -1: none is a number */
    GPtrArray *streams;            /* JanusStream * */
    char *duplicate;               /* the mid of a second subscription of a stream, while it is unsubscribed; NULL */
    json_t *first_jsep;            /* the first offer, while what is not wanted of it is unsubscribed; NULL */
};

void janus_subscriber_new(JanusChannel *channel, JanusParticipant *participant);
/* Gives it up: tells peer_closed, detaches. wait: subscribe again only after a growing time. */
void janus_subscriber_drop(JanusSubscriber *subscriber, gboolean wait);
void janus_subscriber_free(JanusSubscriber *subscriber);
void janus_subscriber_event(JanusSubscriber *subscriber, json_t *event);
/* Looks whether the participant has a stream that we do not have. */
void janus_subscriber_probe(JanusSubscriber *subscriber);
/* Asks for what differs from what is wanted, if anything does. */
void janus_subscriber_reconcile(JanusSubscriber *subscriber);
void janus_subscriber_answer(JanusSubscriber *subscriber, const StenoTransportLocal *local);
void janus_subscriber_failed(JanusSubscriber *subscriber, const GError *why);

/* ---- janus_streams.c ---- */

void janus_stream_free(gpointer stream);
gboolean janus_wants(const JanusChannel *channel, const JanusParticipant *participant, gboolean video);
/*
 * Reads the streams of an "attached" or "updated" event. Returns how many are active. *duplicate is the mid of a stream
 * that carries the same as an earlier one, or stays as it is. subscriber->duplicate is passed over.
 */
guint janus_streams_read(JanusSubscriber *subscriber, const json_t *list, const char **duplicate);
/* {"feed": …}, of one stream or (NULL) of all, in the first size to be asked for. */
json_t *janus_stream_request(const JanusSubscriber *subscriber, const char *feed_mid);
/* The request that gives up what is not wanted; NULL: nothing. */
json_t *janus_streams_unsubscribe(JanusSubscriber *subscriber);
/* The next request on the way to what is wanted; NULL: it is so. */
json_t *janus_streams_next_request(JanusSubscriber *subscriber);
/* Asked for, and refused: they are no more. */
void janus_streams_forget_lost(JanusSubscriber *subscriber);
/* What is not wanted of an offer sleeps, for us, whatever Janus thinks of it. */
void janus_streams_silence(JanusSubscriber *subscriber, StenoSdp *offer);
/* Pictures of this height come of a stream; Janus says that it sends this layer; max_height has changed. */
void janus_streams_picture(JanusSubscriber *subscriber, const char *mid, guint height);
void janus_streams_layer(JanusSubscriber *subscriber, const char *mid, gint64 layer);
void janus_streams_choose(JanusSubscriber *subscriber);

#endif
