/*
 * rtp: clear RTP and RTCP of one transport → each track's packets in order, with what is missing said.
 *
 * One StenoRtp serves one transport (a PeerConnection or a socket pair): it finds the track of a packet (SSRC, then MID
 * header extension RFC 9143, then payload type when only one track has it), undoes RTX (RFC 4588), extends sequence
 * numbers and timestamps, reorders for up to 2 s, asks for what is missing (NACK, RFC 4585) and for key frames (PLI),
 * reports (RR and SDES, RFC 3550; transport-wide congestion control; REMB), and maps RTP time to the wall clock by
 * sender reports.
 *
 * Every extended sequence number from a track's first packet to its last is exactly one of: put out, in a gap, or
 * nothing (padding, or a payload type that was not negotiated). At a start the first packets are held until the first
 * tick that is 10 ms later, because the very first may have been overtaken.
 *
 * Knows no codec, no socket and no thread: everything runs on the caller's (network) thread, and time is what the
 * caller says. Nothing is allocated per packet.
 */
#ifndef STENO_RTP_H
#define STENO_RTP_H

#include "steno/frame.h"

#define STENO_RTP_TRACKS_MAX 256           /* a transport: far above what an SFU bundles */
#define STENO_RTP_PAYLOAD_TYPES_MAX 32     /* a track */
#define STENO_RTP_REORDER_MAX_US 2000000   /* a recorder can wait; after that a packet is lost */
#define STENO_RTP_REORDER_MAX_PACKETS 4096 /* a track holds back no more than this */
#define STENO_RTP_MID_MAX_BYTES 32

typedef struct {
    guint8 payload_type; /* 0–127 */
    StenoCodec codec;    /* UNKNOWN for one that is only a retransmission format */
    guint32 clock_hz;
    gint16 rtx_of; /* this is RTX (RFC 4588) for that payload type; -1: it is not RTX */
} StenoRtpPayload;

typedef struct {
    guint32 track;                         /* the caller's number, not 0 */
    char mid[STENO_RTP_MID_MAX_BYTES + 1]; /* "" when there is none */
    guint32 ssrc, rtx_ssrc;                /* 0: not announced, learnt from MID or payload type */
    StenoRtpPayload payloads[STENO_RTP_PAYLOAD_TYPES_MAX];
    guint n_payloads;
    bool video;
    bool nack, pli, fir; /* what the peer said it understands (a=rtcp-fb) */
    bool remb, transport_cc;
} StenoRtpTrackConfig;

typedef struct {
    guint8 mid_extension; /* a=extmap ids, 0: not negotiated */
    guint8 transport_cc_extension;
    guint8 abs_send_time_extension;
    bool reduced_size;  /* a=rtcp-rsize */
    bool feedback;      /* FALSE: nobody listens (push by SDP without RTCP): send nothing */
    guint32 remb_bps;   /* what we claim to be able to receive; 0: 100 Mbit/s */
    gint64 reorder_us;  /* how long to wait for a missing packet; 0: STENO_RTP_REORDER_MAX_US */
    guint32 local_ssrc; /* of our reports */
    char cname[64];     /* of our SDES; random, tells nobody anything */
} StenoRtpConfig;

/* A sender report seen on a track, and what was made of it: evidence for the assembly. */
typedef struct {
    gint64 rtp_ts;      /* extended, of the report */
    gint64 ntp_wall_us; /* the sender's clock, µs since 1970 */
    gint64 arrival_us;  /* CLOCK_MONOTONIC */
    gint64 offset_us;   /* recorder's wall clock minus sender's, as used now (least seen delay) */
} StenoRtpClockSample;

typedef struct {
    guint64 packets, bytes; /* media packets put out, and their payload; no padding */
    guint64 duplicates;
    guint64 reordered; /* came after a later one */
    guint64 recovered; /* came after we asked for them (RTX or plain) */
    guint64 lost;      /* given up */
    guint64 late;      /* came after they were given up */
    guint64 invalid;   /* of a payload type that was not negotiated, or of no sequence (a stray) */
    guint64 nacks_sent, plis_sent;
    guint64 resets;    /* SSRC changes, sequence or timestamp jumps */
    guint32 jitter_us; /* RFC 3550 §6.4.1 */
    guint32 held;      /* packets waiting for order right now */
} StenoRtpStats;

/* From within these, only request_keyframe, wall_us and stats may be called. Any may be NULL. */
typedef struct {
    /* The next packet of a track in order, header fields filled in. The callee owns it. */
    void (*packet)(gpointer user, guint32 track, const StenoRtpPayload *payload, StenoPacket *packet);
    /*
     * Packets first_seq … last_seq (extended, inclusive) are given up. rtp_ts and until_rtp_ts are the timestamps
     * before and after the hole. cause is LOST, or OVERFLOW when a ceiling of ours dropped them.
     */
    void (*gap)(gpointer user, guint32 track, gint64 first_seq, gint64 last_seq, gint64 rtp_ts, gint64 until_rtp_ts,
                StenoGapCause cause);
    /* The source began anew (other SSRC, jump): what follows does not continue what was. Extended numbers stay
     * monotonic. */
    void (*reset)(gpointer user, guint32 track, guint32 ssrc);
    void (*clock)(gpointer user, guint32 track, const StenoRtpClockSample *sample);
    /* The sender said BYE for the track's SSRC. */
    void (*bye)(gpointer user, guint32 track);
    /* A compound (or reduced-size) RTCP packet in the clear, to be protected and sent. Not owned by the callee. */
    void (*send_rtcp)(gpointer user, const guint8 *data, gsize bytes);
} StenoRtpEvents;

typedef struct StenoRtp StenoRtp;

StenoRtp *steno_rtp_new(const StenoRtpConfig *config, const StenoRtpEvents *events, gpointer user);
/* Gives back all held packets without emitting them; steno_rtp_drain() first, to keep them. */
void steno_rtp_free(StenoRtp *rtp);

/* Adds a track, or changes one of the same number (renegotiation). 0, or -ENOSPC at STENO_RTP_TRACKS_MAX. */
int steno_rtp_set_track(StenoRtp *rtp, const StenoRtpTrackConfig *config);
/* Emits what the track holds, with gaps, and forgets it. */
void steno_rtp_remove_track(StenoRtp *rtp, guint32 track);

/* A packet from the transport; takes it. 0, -EBADMSG (malformed) or -ENOENT (of no track), both counted. */
int steno_rtp_receive(StenoRtp *rtp, StenoPacket *packet);
/* A compound RTCP packet in the clear. 0 or -EBADMSG; what was well-formed before the fault has been taken. */
int steno_rtp_receive_rtcp(StenoRtp *rtp, const guint8 *data, gsize bytes, gint64 arrival_us);

/*
 * Does what is due: gives up what came too late, sends NACKs, PLIs and reports. Call at every tick (20–50 ms) after the
 * sockets were drained. now_us is CLOCK_MONOTONIC.
 */
void steno_rtp_tick(StenoRtp *rtp, gint64 now_us);
/* TRUE while packets are missing that may still come: the caller ticks fast (20 ms) then. */
bool steno_rtp_is_recovering(const StenoRtp *rtp);
/* Emits everything held, as if no more would come. What comes later goes on from there. */
void steno_rtp_drain(StenoRtp *rtp);

/* The codec needs a key frame: a PLI (or FIR) goes out with the next tick, at most one in 500 ms a track. */
void steno_rtp_request_keyframe(StenoRtp *rtp, guint32 track);

/* Wall-clock time (recorder's clock), µs since 1970, of an extended timestamp of the track; 0 before its first packet.
 */
gint64 steno_rtp_wall_us(const StenoRtp *rtp, guint32 track, gint64 rtp_ts);

/* Copies the track's figures; FALSE when there is no such track. */
bool steno_rtp_stats(const StenoRtp *rtp, guint32 track, StenoRtpStats *stats);
/* Packets that were malformed or of no track. */
guint64 steno_rtp_unmatched(const StenoRtp *rtp);

#endif
