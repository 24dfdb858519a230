/* What the sources of the session room share. The main thread owns StenoSession, the network thread Net and its peers.
 */
#ifndef STENO_SESSION_INTERNAL_H
#define STENO_SESSION_INTERNAL_H

#include "steno/capture.h"
#include "steno/channel.h"
#include "steno/codec.h"
#include "steno/content.h"
#include "steno/rtp.h"
#include "steno/session.h"
#include "steno/transport.h"

/* How often the network thread reads its sockets: slowly while nothing is missing, fast while something may be resent.
 */
#define SESSION_TICK_CALM_MS 50
#define SESSION_TICK_BUSY_MS 20
#define SESSION_BUSY_AFTER_LOSS_US (10 * G_USEC_PER_SEC)
/* 2 s of reordering for 40 participants at 400 packets/s, with as much again for bursts. */
#define SESSION_PACKETS_MAX 65536
/* What frames may hold while the disk stalls: 40 participants at 2.5 Mbit/s for 20 s. */
#define SESSION_FRAMES_MAX_BYTES (256 * 1024 * 1024)
/* A track without a packet for this long is told as muted: longer than Opus' longest DTX interval (400 ms). */
#define SESSION_MUTED_AFTER_US G_USEC_PER_SEC
#define SESSION_STATS_EVERY_S 10
/* Events told while no part is open, which wait for the next one: of a room with all its participants. */
#define SESSION_EARLY_MAX 1024
/* Events of the next part that wait until the old one's last one is told: as many as wait to be written. */
#define SESSION_HELD_MAX STENO_CAPTURE_EVENTS_MAX
/* Sender reports of a track that are repeated in the next part: as many as rtp draws its line through. */
#define SESSION_CLOCKS_KEPT 16
/* The next part is opened so long before the rotation: what a slow disk takes to make a folder. */
#define SESSION_ROTATE_AHEAD_US (2 * G_USEC_PER_SEC)
/* Where the next part could not be opened, it is tried again after this long. */
#define SESSION_ROTATE_AGAIN_US (10 * G_USEC_PER_SEC)
/* How often a picture that has not changed over yet is asked for a key frame. */
#define SESSION_KEYFRAME_AGAIN_US G_USEC_PER_SEC
/* Key ids that a track cannot be decrypted with at a time: more than a ring of sixteen and its ratchets. Those beyond
 * are sealed like the others, but neither told nor asked for until one was not heard of for… */
#define SESSION_TROUBLES_MAX 32
/* …this long: then nobody waits for it any more. */
#define SESSION_UNWANTED_AFTER_US (10 * G_USEC_PER_SEC)
/* What cannot be decrypted is told after this long; most keys that are late come before it. */
#define SESSION_UNDECRYPTABLE_AFTER_US G_USEC_PER_SEC
/* Steps of a passphrase's ratchet take tens of ms each to derive: until they are there, nothing is known of the key. */
#define SESSION_DERIVING_MAX_US (3 * G_USEC_PER_SEC)
/* A track that was clear for less than this stays sealed for as long, then for twice as long, … */
#define SESSION_CLEAR_MIN_US (G_USEC_PER_SEC / 2)
/* …but not longer than this; and so long each time after that many changes: a part has 10,000 files a track. */
#define SESSION_SEALED_HOLD_MAX_US (10 * G_USEC_PER_SEC)
#define SESSION_CHANGES_MAX 1000
/* Packets of one frame that wait until it is whole: as many as rtp holds back. A larger frame is sealed. */
#define SESSION_KEPT_PACKETS_MAX STENO_RTP_REORDER_MAX_PACKETS
/* How long a packet of a pushed stream, that nobody would resend, may be late. */
#define SESSION_REORDER_PUSHED_US (500 * 1000)

/* ---- plans: what an offer asks of the network thread (plan.c) ---------------------------------------------------- */

typedef struct {
    StenoRtpTrackConfig rtp;
    char *fmtp[STENO_RTP_PAYLOAD_TYPES_MAX];      /* of rtp.payloads */
    guint8 channels[STENO_RTP_PAYLOAD_TYPES_MAX]; /* of rtp.payloads */
    gboolean dropped;                             /* it comes, but is not wanted */
} TrackPlan;

typedef struct {
    guint32 peer;
    char *participant;
    StenoCapture *capture; /* where its new tracks were announced; NULL: nowhere */
    gboolean plain;        /* an SDP file's socket, without ICE */
    StenoRtpConfig rtp;
    GPtrArray *tracks; /* TrackPlan * */
    /* ICE + DTLS */
    char *ufrag, *password;
    char **fingerprints, **candidates;
    StenoDtlsSetup setup;
    gboolean ice_lite, end_of_candidates;
    /* plain */
    char *address, *source;
    guint16 port, rtcp_port;
    char *sdes_suite;
    StenoSecret *sdes_key;
} PeerPlan;

/* The plan of an offer; its tracks' numbers are still 0. SDP_INVALID or WEAK_CRYPTO. */
PeerPlan *session_plan_new(guint32 peer, const StenoSdp *offer, GError **error);
void session_plan_free(PeerPlan *plan);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PeerPlan, session_plan_free)

/* ---- the network thread (net.c, wiring.c) ------------------------------------------------------------------------ */

typedef struct Net Net;

/* All called on the main thread. */
typedef struct {
    void (*gathered)(gpointer user, guint32 peer, StenoTransportLocal *local); /* the callee owns local */
    void (*peer_connected)(gpointer user, guint32 peer, const char *srtp_profile, const char *dtls_cipher);
    void (*peer_failed)(gpointer user, guint32 peer, const GError *error);
    /* The first packet of a track, a pause in its packets, and their coming back. */
    void (*track_flow)(gpointer user, guint32 track, gboolean flowing, gint64 wall_us);
    /* Every track has changed over to the next capture: nothing goes into the old one any more. */
    void (*changed_over)(gpointer user);
    /* A track waits for this key, or does not any more. */
    void (*key_wanted)(gpointer user, const char *participant, guint64 kid, gboolean wanted);
    /* A track could not be decrypted for job.fail_on_undecryptable_s. kid: as text; NULL: it cannot be read. */
    void (*undecryptable)(gpointer user, guint32 track, StenoContentOutcome cause, const char *kid);
    /* A track cannot be recorded: what it says cannot be put together. */
    void (*track_refused)(gpointer user, guint32 track, const GError *error);
} NetEvents;

/* Figures that any thread may read. */
typedef struct {
    gint64 last_media_mono_us; /* 0: none yet */
    guint64 frames, bytes;     /* handed to the capture */
    guint64 packets, lost, recovered;
    guint64 invalid;  /* packets that were no valid media: SRTP, RTP or payload format said no */
    guint64 sealed;   /* of frames: those that are kept as they came, encrypted */
    guint64 injected; /* frames of the server's own, left out */
} NetTotals;

Net *session_net_new(const StenoJobSpec *job, StenoGeofence *geofence, const StenoLog *log, const NetEvents *events,
                     gpointer user);
/* Ends the thread; every peer is closed first. */
void session_net_free(Net *net);

/* From here on frames go into this capture; NULL: nowhere. Waits until the network thread has taken it. */
void session_net_set_capture(Net *net, StenoCapture *capture);
/* Tracks change over to this capture at the seam; at give_up_wall_us also pictures that had no key frame. Waits until
 * the network thread has taken it; `changed_over` follows. */
void session_net_rotate(Net *net, StenoCapture *next, gint64 seam_wall_us, gint64 give_up_wall_us);
/* Back to the old capture; FALSE when it is too late: a track may have changed over. Waits. */
gboolean session_net_unrotate(Net *net, StenoCapture *old);
/* Opens or renegotiates a peer; takes the plan. */
void session_net_apply(Net *net, PeerPlan *plan);
/* Ends a peer's tracks and closes it. */
void session_net_close_peer(Net *net, guint32 peer);
/* From here on, frames may be opened with these keys as well. */
void session_net_add_keys(Net *net, StenoContentKeys *keys);
/* Ends every peer; waits until the last frame is in the capture's ring. */
void session_net_close_all(Net *net);
/* A track is not wanted any more, or is again. */
void session_net_drop(Net *net, guint32 track, gboolean dropped);
/* From here on media is dropped, or taken again, beginning with key frames. Returns the moment, wall µs: all that came
 * before it was dealt with as before. */
gint64 session_net_pause(Net *net, gboolean paused);
void session_net_totals(const Net *net, NetTotals *totals);

/* ---- the network thread from the inside (net.c owns, wiring.c works) --------------------------------------------- */

typedef struct NetPeer NetPeer;
typedef struct Decryption Decryption; /* decrypt.h */

typedef struct {
    NetPeer *peer;
    TrackPlan *plan;
    guint32 number;
    StenoCodec codec; /* of the depacketizer */
    StenoDepacketizer *depacketizer;
    Decryption *decryption; /* NULL: the channel has no AES of its own */
    gboolean flowing;
    gboolean dropped; /* not wanted */
    gboolean begun;   /* a capture has had a frame of it */
    /* Where its frames go: Net's newest capture, or during a rotation still the one before. NULL: nowhere. */
    StenoCapture *capture;
    StenoFrameRing *ring;
    StenoFrame *format;                              /* the last one, for the next part's beginning */
    gboolean wants_keyframe;                         /* its picture goes on in a part that has no key frame of it */
    StenoRtpClockSample clocks[SESSION_CLOCKS_KEPT]; /* the last reports, a ring */
    guint n_clocks;
    StenoRtpStats rtp_before;                        /* what was told in parts before */
    StenoDepacketizerStats codec_before, codec_gone; /* codec_gone: of depacketizers before this one */
    guint64 sealed_before;
    StenoCodec refused; /* the codec that was told to be impossible */
    gint64 last_arrival_us;
    guint64 packets_told; /* into the totals */
    guint64 lost_told, recovered_told;
    /* Frames that found the ring full, told as a gap when there is room again. */
    guint32 overflow_frames;
    gboolean overflow_format; /* a FORMAT was among them */
    gint64 overflow_rtp_ts, overflow_wall_us;
} NetTrack;

struct NetPeer {
    Net *net;
    guint32 number;
    StenoTransport *transport;
    StenoRtp *rtp;
    GPtrArray *tracks;          /* NetTrack * */
    PeerPlan *plan;             /* of the last offer */
    StenoTransportLocal *local; /* what was gathered last */
    gboolean connected;
    guint64 invalid_told;
};

struct Net {
    gatomicrefcount references; /* the session's, and one a message on its way to the main thread */
    const StenoJobSpec *job;
    StenoGeofence *geofence;
    const StenoLog *log;
    const NetEvents *events;
    gpointer user;
    GThread *thread;
    GMainContext *context;
    GMainLoop *loop;
    /* Below: the network thread's. */
    StenoPacketPool *packets;
    StenoFramePool *frames;
    const StenoContentFormat *content; /* NULL: none */
    gboolean keys_later;               /* there will be no keys, and that is as it should be */
    StenoContentRing *ring;
    StenoPacket *opened;   /* where RTP payloads are opened */
    StenoCapture *capture; /* the newest */
    struct {               /* changeover.c */
        gboolean running;
        gint64 seam_wall_us, give_up_wall_us, last_request_us;
    } rotation;
    gboolean paused;
    GHashTable *peers; /* number → NetPeer * */
    GSource *tick;
    gint64 last_loss_us, last_flow_check_us, last_stats_us;
    GMutex totals_lock; /* taken once a tick */
    NetTotals totals, ticking;
};

/* wiring.c */
gboolean session_wiring_open(NetPeer *peer, const PeerPlan *plan, GError **error);
void session_wiring_set_tracks(NetPeer *peer, PeerPlan *plan);
void session_wiring_drain(NetPeer *peer, gint64 now_us);
void session_wiring_tick(NetPeer *peer, gint64 now_us);
void session_wiring_check_flow(NetPeer *peer, gint64 now_us);
void session_wiring_close(NetPeer *peer);
/* All that has come until now is put out, as if no more would come. */
void session_wiring_empty(NetPeer *peer, gint64 now_us);
/* What is half put together ends here, and what follows begins with a key frame. */
void session_wiring_break(NetTrack *track);
void session_wiring_want_keyframe(const NetTrack *track);
/* Ends the track's depacketizer as it is; the next packet begins a new one. */
void session_wiring_end_codec(NetTrack *track);
/* A frame on its way into the capture: a StenoFrameSink of the track. */
void session_wiring_capture(gpointer user, StenoFrame *frame);
/* What was at this time found no room. */
void session_wiring_overflowed(NetTrack *track, gint64 rtp_ts);
void session_wiring_track_free(gpointer track);

/* changeover.c: tracks go from one capture to the next */
void session_changeover_begin(Net *net, StenoCapture *next, gint64 seam_wall_us, gint64 give_up_wall_us);
gboolean session_changeover_cancel(Net *net, StenoCapture *old);
/* Before a frame is handed over: the track changes over if this is where. */
void session_changeover_frame(NetTrack *track, const StenoFrame *frame);
/* What follows on the track begins with a key frame. */
void session_changeover_break(NetTrack *track);
/* Once a tick, while there is a rotation or a picture wants a key frame. */
void session_changeover_tick(Net *net, gint64 now_us);
/* The FORMAT that is in force, again. FALSE: there is no room for it. */
gboolean session_changeover_repeat_format(const NetTrack *track, StenoFrameRing *ring, gint64 wall_us);
void session_changeover_heard_clock(NetTrack *track, const StenoRtpClockSample *sample);
void session_wiring_tell_clock(const NetTrack *track, const StenoRtpClockSample *sample);
/* Frames that found no room are told as one gap before the next; FALSE: there is no room for that either. */
gboolean session_wiring_tell_overflow(NetTrack *track, const StenoFrame *next);

/* net.c: what the job says of the channel's own AES; before the first peer, after the last. */
void session_net_open_content(Net *net);
void session_net_close_content(Net *net);

/* stats.c */
/* What the codecs of a track have done in all. */
void session_stats_of_codec(const NetTrack *track, StenoDepacketizerStats *stats);
/* The track's depacketizer ends: what it has done is kept. */
void session_stats_end_codec(NetTrack *track);
void session_stats_tell_track(const NetTrack *track);
void session_stats_tell(NetPeer *peer);
void session_stats_add_totals(NetPeer *peer);

/* messages.c: to the main thread */
void session_net_unref(Net *net);
/* Runs a function once in a context. */
void session_net_post(GMainContext *context, GSourceFunc function, gpointer data, GDestroyNotify destroy);
void session_net_tell_changed_over(Net *net);
void session_net_tell_gathered(NetPeer *peer, const StenoTransportLocal *local);
void session_net_tell_connected(NetPeer *peer);
void session_net_tell_failed(NetPeer *peer, const GError *error);
void session_net_tell_flow(NetPeer *peer, guint32 track, gboolean flowing, gint64 wall_us);
void session_net_tell_key_wanted(Net *net, const char *participant, guint64 kid, gboolean wanted);
void session_net_tell_undecryptable(const NetTrack *track, StenoContentOutcome cause, const char *kid);
void session_net_tell_refused(const NetTrack *track, const GError *error);

/* ---- the main thread (session.c, tracks.c) ----------------------------------------------------------------------- */

/* A stream of a participant, from the offer that brought it to the one that took it away. */
typedef struct {
    guint32 number, peer;
    char *participant;
    char *mid;     /* "" when there is none */
    json_t *added; /* as it was told */
    gboolean video;
    gboolean started;        /* its first packet has come */
    gboolean flowing;        /* packets come, as far as RTP tells */
    gboolean dropped;        /* it is not wanted */
    gboolean muted, talking; /* so the platform says */
} Track;

/* A participant's medium that was cut off: when it flows again, the hole is told. */
typedef struct {
    char *participant;
    gboolean video;
    gint64 from_wall_us;
} Away;

typedef struct Rotation Rotation;

struct StenoSession {
    const StenoJobSpec *job;
    const StenoLog *log;
    const StenoSessionEvents *events;
    gpointer user;

    StenoGeofence *geofence;
    StenoChannel *channel;
    Net *net;
    StenoContentSource *keys; /* NULL: there is none */
    int keys_fd;              /* of who asks their source; -1: this process */
    GHashTable *wants;        /* keys that tracks wait for */
    GError *key_trouble;      /* why they could not be had, the last time */

    char *folder;
    guint part; /* the one that is open, or the next one to begin */
    StenoCapture *capture;
    Rotation *rotation;
    gint64 zero_wall_us;
    json_t *recording;
    /* From any thread to the main thread's client (telling.c). */
    GSource *wake; /* fires on the main thread when there is something below */
    GMutex told_lock;
    GQueue told;     /* json_t *, in the order of their numbers */
    guint held_part; /* its events wait until the part before has told its last one; 0: none does */
    GQueue held;     /* json_t * */
    guint held_dropped;
    GError *failure; /* of the capture */
    json_t *early;   /* events that wait for the next part, an array */
    guint early_seq; /* the last number given to one of them */
    const char *state;

    GHashTable *participants; /* id → name */
    GPtrArray *tracks;        /* Track * */
    GPtrArray *away;          /* Away * */
    GHashTable *answered;     /* peers with an offer that waits for our side */
    guint32 next_track;

    gboolean paused, was_paused;
    gint64 paused_wall_us;  /* since then, in this part */
    gint64 resumed_mono_us; /* 0: never */

    gint64 joined_mono_us; /* when the recording began, also under an earlier recorder; 0: not yet */
    gint64 came_mono_us;   /* when this recorder joined */
    guint second_timer, end_timer;
    gboolean later;     /* another recorder was here before and may have recorded something */
    gboolean has_parts; /* the capture has one */
    guint seen;         /* participants so far */
    GError *last_failure;
    char *end_reason;
    GError *end_error;
};

/* telling.c: events, from any thread, numbered, to the capture and to whoever listens. */
void session_telling_init(StenoSession *session);
void session_telling_clear(StenoSession *session);
/* Main thread; takes the event. While no part is open it gets a number of the next one, and waits to be its first. */
void session_tell(StenoSession *session, json_t *event);
void session_tell_state(StenoSession *session, const char *state, const GError *error);
/* The capture's callbacks: told() takes the event, on any thread; failed() is on the writer thread. */
void session_told(gpointer user, json_t *event);
void session_capture_failed(gpointer user, const GError *error);
/* Events of this part are held back until "rotated" is told, or they are released. */
void session_telling_hold(StenoSession *session, guint part);
void session_telling_release(StenoSession *session);
/* Hands what is queued to the client now. Returns "ended" when it was among it: that one is the caller's. */
json_t *session_telling_flush(StenoSession *session);

/* session.c */
void session_heard_format(StenoSession *session, const json_t *event);

/* parts.c */
/* Opens the part of the capture that is next, unless one is open. STORAGE_*. */
gboolean session_part_begin(StenoSession *session, GError **error);
/* Closes every peer, and with them the part. FALSE with the first fault of its files. */
gboolean session_part_end(StenoSession *session, GError **error);
/* The first call counts; the error is copied. */
void session_end(StenoSession *session, const char *reason, const GError *error);

/* keys.c: content keys, from their source to the network thread. */
/* Opens the job's source of keys, if there is one. */
gboolean session_keys_open(StenoSession *session, GError **error);
void session_keys_close(StenoSession *session);
/* One more track waits for this key, or one less. */
void session_keys_want(StenoSession *session, const char *participant, guint64 kid, gboolean wanted);
/* Ends the session: a track could not be decrypted for too long. */
void session_keys_give_up(StenoSession *session, guint32 track, StenoContentOutcome cause, const char *kid);

/* pause.c */
void session_pause_begin_part(StenoSession *session);
/* While the part is still open: the pause is told as far as it is of this part, and goes on from there. */
void session_pause_end_part(StenoSession *session, gint64 wall_us);

/* rotation.c: a new part each rotate_s, while the channel is kept. */
void session_rotation_init(StenoSession *session);
void session_rotation_clear(StenoSession *session);
/* A part has begun that is none of a rotation's. */
void session_rotation_begin_part(StenoSession *session);
/* Before peers are closed: no rotation begins from here on. One that has begun goes on. */
void session_rotation_interrupt(StenoSession *session);
/* After it: a rotation that has begun ends, with its old part. Blocking; FALSE with the first fault of its files. */
gboolean session_rotation_settle(StenoSession *session, GError **error);
void session_rotation_changed_over(StenoSession *session);
/* The number of the next part to begin: those that a rotation tried are used up. */
guint session_rotation_next_part(const StenoSession *session);
/* The part whose events are told: the old one, until it has told its last. */
guint session_rotation_told_part(const StenoSession *session);

/* tracks.c: participants' streams, from the offer that brings them to the one that takes them away. */
void session_tracks_init(StenoSession *session);
void session_tracks_clear(StenoSession *session);
Track *session_track_find(const StenoSession *session, guint32 number);
Track *session_track_at(const StenoSession *session, guint32 peer, const char *mid);
/* Gives every stream of the plan its number, old or new, and tells which came and which went. */
void session_tracks_number(StenoSession *session, PeerPlan *plan, const char *participant, const StenoSdp *offer);
/* The peer has gone: so have its tracks, and what they carried is missed until it comes back. */
void session_tracks_lose(StenoSession *session, guint32 peer);
/* Nobody waits any more for what a participant (NULL: any) carried. */
void session_tracks_forgive(StenoSession *session, const char *participant);
/* Drops what the job does not want, and takes again what it does. */
void session_tracks_update(StenoSession *session);
/* What a new part has to know of those that go on into it: told to nobody, since nothing happened. */
void session_tracks_announce(const StenoSession *session, gint64 wall_us);
/* How many tracks should flow: their packets come, or the platform says that they are spoken into. */
guint session_tracks_announced(const StenoSession *session);
/* What the platform tells of a stream; mid NULL: of all of the peer's. */
void session_tracks_heard(StenoSession *session, guint32 peer, const char *mid, const char *type);
/* The track flows: if its participant's medium had been cut off, the hole is told. */
void session_tracks_tell_back(StenoSession *session, const Track *track, gint64 wall_us);

#endif
