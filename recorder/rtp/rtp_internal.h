/*
 * Inside the rtp room. A packet's way: receiver.c (parse, demux, undo RTX) → sequence.c (which extended number is it,
 * is it of the same source at all) → reorder.c (in order: straight on; else a slot of the window) → output.c
 * (timestamp, gap, the caller). nack.c, rtcp_write.c and twcc.c run at the tick; rtcp_read.c and clock.c take what the
 * sender reports.
 *
 * Two sequence spaces: inside, a number's low 16 bits are those on the wire and a new source starts again at its first
 * (what NACK and RR need); outside (StenoPacket.seq, gaps) numbers never go back: outside = inside + seq_shift.
 */
#ifndef STENO_RTP_INTERNAL_H
#define STENO_RTP_INTERNAL_H

#include "steno/rtp.h"

#define RTP_HEADER_BYTES 12
#define RTP_DROPOUT_MAX 3000             /* RFC 3550 A.1 MAX_DROPOUT: a larger step is another source, or an outage */
#define RTP_SUSPECT_NEAR 100             /* RFC 3550 A.1 MAX_MISORDER: this close, one suspect confirms the other */
#define RTP_START_WINDOW 64              /* at a start, packets this far before the first still belong to it */
#define RTP_START_HOLD_US 10000          /* … when they come before the first tick that is this much later */
#define RTP_TIMESTAMP_JUMP_S 10          /* timestamps and arrivals that disagree more are of a new source */
#define RTP_OUTAGE_MIN_US G_USEC_PER_SEC /* a large step after a silence this long, timestamps agreeing, is loss */
#define RTP_SOURCE_HOLDOFF_US 2000000    /* stragglers of the source before this one are late, not another change */
#define RTP_WINDOW_MIN_SLOTS 64          /* first size of a window; doubles up to STENO_RTP_REORDER_MAX_PACKETS */
#define RTP_HISTORY_PACKETS 4096         /* so far back given-up packets are told from duplicates */
#define RTP_SSRC_TABLE_SLOTS 2048        /* ≥ 2 × the 4 SSRCs each of STENO_RTP_TRACKS_MAX tracks can have */
#define RTP_RTCP_MAX_BYTES 1200          /* fits every path's MTU with SRTCP and TURN around it */
#define RTP_REPORT_INTERVAL_US G_USEC_PER_SEC
#define RTP_KEYFRAME_INTERVAL_US 500000
#define RTP_TWCC_INTERVAL_US 50000
#define RTP_TWCC_WINDOW 8192  /* packets; 100 ms of 80 000 a second */
#define RTP_TWCC_BACK_MAX 512 /* a packet that comes this late is still reported */
#define RTP_NACK_INTERVAL_MIN_US 20000
#define RTP_NACK_REORDER_PACKETS 3 /* this far behind (RFC 5681's three) it is missing, not merely reordered */
#define RTP_RTT_START_US 100000
#define RTP_CLOCK_REPORTS 16 /* sender reports that the line RTP → NTP is drawn through */

typedef struct {
    guint8 payload_type;
    bool marker;
    guint16 seq;
    guint32 timestamp, ssrc;
    guint16 extension_profile; /* 0xBEDE: one-byte, 0x100X: two-byte elements (RFC 8285) */
    guint16 extension_bytes;
    const guint8 *extension; /* the elements; NULL: none */
    guint16 payload_offset, payload_bytes;
} RtpHeader;

/* One number of the window: a packet that waits, or what was done to get it. */
typedef struct {
    StenoPacket *packet; /* NULL: missing */
    gint64 missing_since_us;
    gint64 nack_us; /* of the last NACK */
    guint32 nack_interval_us;
    guint8 tries; /* NACKs sent */
} RtpSlot;

/* The numbers next … highest; the slot of a number is slots[number & (capacity - 1)]. The highest is never missing. */
typedef struct {
    RtpSlot *slots;
    guint capacity;
    gint64 next, highest;
    guint held, missing;
} RtpWindow;

/* RFC 3550 A.1, A.3 and A.8, of the current source. */
typedef struct {
    gint64 base_seq;
    guint64 received, received_prior, expected_prior;
    guint32 transit;
    guint32 jitter_q4; /* ticks × 16 */
    bool has_transit;
    guint32 last_sr; /* middle 32 bits of its NTP time; 0: none yet */
    gint64 last_sr_us;
} RtpReception;

/* Where the extended timestamps stand: those of the last packet put out. */
typedef struct {
    bool known;
    bool restart; /* the next packet is of a new source */
    guint32 wire, clock_hz;
    gint64 extended, arrival_us;
} RtpTimestamps;

/* One sender's clock against ours; shared by the tracks with its CNAME (RFC 3550 §6.5.1). */
typedef struct {
    guint references;
    char *cname; /* NULL: of one track whose CNAME is not known */
    bool known;
    guint generation;  /* grows when the sender sets its clock */
    gint64 offset_us;  /* our wall clock − the sender's, with the least delay seen */
    gint64 updated_us; /* CLOCK_MONOTONIC */
} RtpSenderClock;

typedef struct {
    gint64 rtp_ts, ntp_us;
} RtpClockPoint;

/* Extended timestamp → the sender's wall clock. */
typedef struct {
    RtpSenderClock *sender;
    guint generation; /* of sender, at our last report; when it is not the sender's, offset_us counts */
    gint64 offset_us;
    bool stranger; /* this track's clock is not its CNAME's: do not share again */
    RtpClockPoint points[RTP_CLOCK_REPORTS];
    guint n_points, newest;
    RtpClockPoint suspect; /* a report that does not fit; the next one may confirm it */
    bool has_suspect;
    gint64 base_rtp_ts, base_ntp_us; /* a point of the line */
    double us_per_tick;
    bool has_anchor; /* before the first report: the first packet's arrival */
    gint64 anchor_rtp_ts, anchor_wall_us;
    struct { /* a report that came before the first packet */
        bool waiting;
        guint32 ssrc, rtp_ts;
        guint64 ntp;
        gint64 arrival_us;
    } early;
} RtpTrackClock;

typedef struct {
    StenoRtpTrackConfig config;
    gint8 payload_index[128]; /* in config.payloads, -1: none */

    bool heard;   /* ssrc is that of a current source */
    bool fresh;   /* its first packet is still to come */
    bool started; /* its first packets were put out */
    guint32 ssrc, rtx_ssrc;
    guint32 previous_ssrc, previous_rtx_ssrc;
    gint64 switched_us, first_us, last_arrival_us;
    gint64 progress_us;   /* arrival of the last packet that fitted and was new */
    StenoPacket *suspect; /* does not fit the sequence; a second one near it makes a reset */

    RtpWindow window;
    gint64 seq_shift;
    gint64 last_out_seq; /* outside */
    bool any_out;
    guint64 given_up[RTP_HISTORY_PACKETS / 64];

    struct {
        bool waiting;
        gint64 first_seq, last_seq; /* outside */
        StenoGapCause cause;
    } gap;

    RtpTimestamps timestamps;
    RtpReception reception;
    RtpTrackClock clock;

    bool reported, report_at_once;
    gint64 reported_us;
    bool keyframe_wanted;
    bool keyframe_ever;
    gint64 keyframe_us;
    guint8 fir_seq;
    StenoRtpStats stats;
} RtpTrack;

typedef struct {
    guint32 ssrc;
    guint16 track; /* index + 1; 0: empty */
} RtpSsrcEntry;

typedef struct {
    gint64 *arrival_us; /* by number & (RTP_TWCC_WINDOW - 1); 0: did not come. NULL until the first */
    gint64 report_from, highest;
    bool pending;
    guint8 feedback_count;
    gint64 sent_us;
    guint32 media_ssrc;
} RtpTwcc;

struct StenoRtp {
    StenoRtpConfig config;
    StenoRtpEvents events;
    gpointer user;

    RtpTrack *tracks[STENO_RTP_TRACKS_MAX];
    guint32 numbers[STENO_RTP_TRACKS_MAX]; /* of tracks: looked through without touching them */
    guint n_tracks;
    RtpSsrcEntry ssrcs[RTP_SSRC_TABLE_SLOTS];
    guint32 last_ssrc; /* of the last packet: most come in a row */
    RtpTrack *last_track;

    bool transport_cc; /* wanted for some track */
    RtpTwcc twcc;
    gint64 now_us, previous_tick_us;
    gint64 rtt_us; /* from NACK to its answer */
    bool any_packet, remb_sent;
    gint64 remb_us;
    guint64 unmatched;
};

/* ---- header.c */
/* 0 or -EBADMSG; RFC 3550 §5.1. */
int rtp_header_parse(RtpHeader *header, const guint8 *data, gsize bytes);
/* The element with this id, NULL when there is none; its length goes to bytes. RFC 8285 §4. */
const guint8 *rtp_header_extension(const RtpHeader *header, guint8 id, guint *bytes);

/* ---- demux.c */
RtpTrack *rtp_demux(StenoRtp *rtp, const RtpHeader *header, gint64 arrival_us);
RtpTrack *rtp_demux_ssrc(const StenoRtp *rtp, guint32 ssrc);
/* After any change of tracks or SSRCs. */
void rtp_demux_rebuild(StenoRtp *rtp);
/* NULL: the packet consumes its number, but is nothing that anybody wants. */
const StenoRtpPayload *rtp_track_payload(const RtpTrack *track, guint8 payload_type);

/* ---- sequence.c */
/* A media packet of the track (RTX undone: resent). Takes it. */
void rtp_sequence_receive(StenoRtp *rtp, RtpTrack *track, StenoPacket *packet, const RtpHeader *header, bool resent);
/* Ends the current source: puts out what it holds; the next packet starts another, of this SSRC. */
void rtp_sequence_restart(StenoRtp *rtp, RtpTrack *track, guint32 ssrc);

/* ---- reorder.c */
void rtp_window_start(RtpTrack *track, gint64 seq);
/* A number between next - RTP_START_WINDOW and next + STENO_RTP_REORDER_MAX_PACKETS. Takes the packet. */
void rtp_window_insert(StenoRtp *rtp, RtpTrack *track, StenoPacket *packet, gint64 seq, bool resent);
/* Puts out what is in order. */
void rtp_window_flush(StenoRtp *rtp, RtpTrack *track);
/* Gives up what has been missing since before that time. */
void rtp_window_expire(StenoRtp *rtp, RtpTrack *track, gint64 since_us);
/* Gives up and puts out until the number fits. */
void rtp_window_make_room(StenoRtp *rtp, RtpTrack *track, gint64 seq);
void rtp_window_drain(StenoRtp *rtp, RtpTrack *track);
/* Packets next … before - 1 were lost in an outage; nothing is held. */
void rtp_window_skip(RtpTrack *track, gint64 before);
/* Gives back what is held. */
void rtp_window_clear(RtpTrack *track);

/* ---- output.c */
/* The next in order, the gap before it first. */
void rtp_output(StenoRtp *rtp, RtpTrack *track, StenoPacket *packet);
void rtp_output_gap(RtpTrack *track, gint64 first, gint64 last, StenoGapCause cause);

/* ---- clock.c */
void rtp_clock_anchor(StenoRtp *rtp, RtpTrack *track, gint64 rtp_ts, gint64 arrival_us);
void rtp_clock_report(StenoRtp *rtp, RtpTrack *track, guint32 ssrc, guint64 ntp, guint32 rtp_ts, gint64 arrival_us);
void rtp_clock_name(StenoRtp *rtp, RtpTrack *track, const char *cname, gsize bytes);
/* The track's source began anew: reports so far say nothing about it. */
void rtp_clock_restart(RtpTrack *track);
void rtp_clock_clear(RtpTrack *track);
gint64 rtp_clock_wall_us(const RtpTrack *track, gint64 rtp_ts);

/* ---- twcc.c, nack.c, rtcp_write.c */
typedef struct {
    StenoRtp *rtp;
    RtpTrack *subject; /* whose report block each compound begins with; NULL: nobody's */
    guint used;
    guint8 data[RTP_RTCP_MAX_BYTES];
} RtpRtcpWriter;

void rtp_twcc_record(StenoRtp *rtp, guint16 seq, guint32 ssrc, gint64 arrival_us);
void rtp_twcc_write(RtpRtcpWriter *writer);
void rtp_nack_write(RtpRtcpWriter *writer, RtpTrack *track);
void rtp_nack_answered(StenoRtp *rtp, const RtpTrack *track, const RtpSlot *slot, gint64 arrival_us, bool resent);
/* Room for a whole RTCP packet; sends what is there when it no longer fits, and opens a compound. */
guint8 *rtp_rtcp_reserve(RtpRtcpWriter *writer, guint bytes);
/* Header and the two SSRCs of a feedback packet, RFC 4585 §6.1. */
guint8 *rtp_rtcp_feedback(RtpRtcpWriter *writer, guint8 type, guint8 format, guint32 media_ssrc, guint fci_bytes);
/* Everything that is due. */
void rtp_rtcp_write(StenoRtp *rtp);

static inline guint16 rtp_read16(const guint8 *at)
{
    return (guint16)(at[0] << 8 | at[1]);
}

static inline guint32 rtp_read32(const guint8 *at)
{
    return (guint32)at[0] << 24 | (guint32)at[1] << 16 | (guint32)at[2] << 8 | at[3];
}

static inline void rtp_write16(guint8 *at, guint16 value)
{
    at[0] = (guint8)(value >> 8);
    at[1] = (guint8)value;
}

static inline void rtp_write32(guint8 *at, guint32 value)
{
    rtp_write16(at, (guint16)(value >> 16));
    rtp_write16(at + 2, (guint16)value);
}

static inline RtpSlot *rtp_window_slot(const RtpWindow *window, gint64 seq)
{
    return &window->slots[(guint64)seq & (window->capacity - 1)];
}

static inline bool rtp_history_given_up(const RtpTrack *track, gint64 seq)
{
    return track->given_up[((guint64)seq / 64) % G_N_ELEMENTS(track->given_up)] >> ((guint64)seq % 64) & 1;
}

static inline void rtp_history_set(RtpTrack *track, gint64 seq, bool given_up)
{
    guint64 *word = &track->given_up[((guint64)seq / 64) % G_N_ELEMENTS(track->given_up)];
    guint64 bit = G_GUINT64_CONSTANT(1) << ((guint64)seq % 64);
    *word = given_up ? *word | bit : *word & ~bit;
}

#endif
