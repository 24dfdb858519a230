/*
 * steno-publisher: sends a prepared clip in real time, to a Janus VideoRoom or as plain (S)RTP. For tests and loads
 * without a browser. Made of our own transport room and libavformat; one thread for media.
 */
#ifndef STENO_PUBLISHER_H
#define STENO_PUBLISHER_H

#include "steno/frame.h"

#include <gio/gio.h>
#include <jansson.h>

/* ---- clip.c: a clip, cut into RTP payloads once, shared by all participants -------------------------------------- */

typedef struct {
    gint64 time_us; /* when to send it, from the clip's start */
    guint32 rtp_ts; /* of presentation, from the clip's start */
    gboolean keyframe;
    guint32 first_packet, n_packets;
} ClipFrame;

typedef struct {
    guint32 offset; /* in payloads */
    guint16 bytes;
    gboolean marker;
} ClipPacket;

typedef struct {
    StenoCodec codec;
    guint32 clock_hz;
    guint8 channels;
    guint8 h264_profile[3]; /* profile, constraints, level: from the first SPS */
    gint64 duration_us;
    GArray *frames;  /* ClipFrame */
    GArray *packets; /* ClipPacket */
    GByteArray *payloads;
} Clip;

/* The first video or audio stream of a file that libavformat can read; seal (may be NULL): how its frames are
 * encrypted, a description for tests/lib/seal.h. */
Clip *clip_load(const char *path, gboolean video, const char *seal, GError **error);
void clip_free(Clip *clip);

/* ---- sender.c: one participant's packets ------------------------------------------------------------------------- */

#define HISTORY_PACKETS 2048 /* 2 s at 8 Mbit/s: what a NACK may ask for again */
#define TRACKS_MAX 2

typedef struct {
    guint16 seq;
    guint16 transport_seq;
    guint32 send_time; /* 24 bits of abs-send-time */
    guint32 rtp_ts;
    guint32 packet; /* of the clip */
    gboolean used;
} SentPacket;

typedef struct Participant Participant;

typedef struct {
    const Clip *clip;
    const char *kind; /* "audio", "video" */
    char mid;
    guint8 payload_type, rtx_payload_type;                             /* rtx 0: plain resend */
    guint8 mid_extension, send_time_extension, transport_cc_extension; /* 0: not agreed on */
    guint32 ssrc, rtx_ssrc, ts_base;
    guint16 seq, rtx_seq;
    guint32 next_frame;
    gint64 loops;
    gint64 mute_from_us, mute_to_us; /* from the start; equal: never */
    SentPacket history[HISTORY_PACKETS];
    guint32 last_rtp_ts; /* of the newest frame sent */
    guint64 frames, packets, bytes, resent, nacked, plis, keyframes;
    gint64 first_wall_us, last_wall_us; /* presentation time of the first and the last frame sent */
} Track;

struct Participant {
    char *name;
    char *cname;
    Track tracks[TRACKS_MAX];
    guint n_tracks;
    gint64 start_mono_us, start_wall_us; /* 0: media does not flow yet */
    gint64 next_report_us, phase_us;
    gint64 period_us; /* of the loop */
    gboolean loop, done;
    guint16 transport_seq;
    void (*send)(Participant *participant, guint track, gboolean rtcp, const guint8 *data, gsize bytes);
    gpointer user; /* of send */
};

/* Adds a track; SSRCs and the like are chosen at random. */
Track *participant_add_track(Participant *participant, const Clip *clip, gboolean video);
/* Media flows from mono_us + delay_us on. */
void participant_start(Participant *participant, gint64 mono_us, gint64 delay_us);
/* Sends all that is due. */
void participant_tick(Participant *participant, gint64 mono_us);
/* RTCP of the peer: NACK, PLI, FIR. */
void participant_take_rtcp(Participant *participant, const guint8 *data, gsize bytes);
void participant_send_bye(Participant *participant);
/* What was sent, for the last JSON line. */
json_t *participant_report(const Participant *participant);
void participant_clear(Participant *participant);

/* ---- options and outputs ----------------------------------------------------------------------------------------- */

typedef struct {
    char *url, *token, *room_token, *pin, *api_secret, *display, *ca_file;
    gint64 room;
    char *video, *audio, *sdp_out, *to, *srtp, *mute_at, *seal;
    gboolean loop, sdp_each, no_rtx, no_extensions;
    int count, seconds, delay_ms;
} Options;

/* A kind of output: janus.c, udp.c. */
typedef struct Output Output;
typedef struct {
    /* Connects participants and starts them; blocks. */
    Output *(*open)(const Options *options, Participant *participants, guint n, GMainContext *context, GError **error);
    /* Each tick: takes what came from the peers, flushes what was sent. FALSE: the connection is gone. */
    gboolean (*tick)(Output *output, gint64 mono_us);
    /* Leaves and frees. */
    void (*close)(Output *output);
} OutputKind;

extern const OutputKind janus_output, udp_output;

#endif
