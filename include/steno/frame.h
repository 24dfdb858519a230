/*
 * The currency of the house: what passes between the stages of a recorder.
 *
 * Packets (StenoPacket) go from transport through rtp to codec on the network thread; frames (StenoFrame) go from codec
 * through content to capture, over a single-producer ring to the writer thread. Both come from pools, so that the
 * packet path allocates nothing once it is warm and takes no lock.
 */
#ifndef STENO_FRAME_H
#define STENO_FRAME_H

#include <glib.h>
#include <stdatomic.h>
#include <stdbool.h>

/* ---- codecs ------------------------------------------------------------------------------------------------------ */

typedef enum {
    STENO_CODEC_UNKNOWN,
    STENO_CODEC_OPUS, /* RFC 7587 */
    STENO_CODEC_PCMU, /* RFC 3551 */
    STENO_CODEC_PCMA, /* RFC 3551 */
    STENO_CODEC_VP8,  /* RFC 7741 */
    STENO_CODEC_VP9,  /* RFC 9628 */
    STENO_CODEC_H264, /* RFC 6184 */
    STENO_CODEC_H265, /* RFC 7798 */
    STENO_CODEC_AV1,  /* AV1 RTP payload format 1.0 */
    STENO_CODEC_COUNT
} StenoCodec;

/* "opus", "pcmu", "vp8", "h264" …: the names in SDP (lower case), events and the manifest. Static. */
const char *steno_codec_name(StenoCodec codec);
/* The codec of an SDP encoding name, any case; UNKNOWN for what we do not record (red, telephone-event, rtx …). */
StenoCodec steno_codec_from_name(const char *name);
bool steno_codec_is_video(StenoCodec codec);

/* ---- packets ----------------------------------------------------------------------------------------------------- */

/* Room for a jumbo of a LAN; what is longer is dropped and counted by the transport. */
#define STENO_PACKET_MAX_BYTES 2048

/*
 * One RTP packet in the clear, in a buffer of a pool. Whoever is given it owns it and gives it back with
 * steno_packet_free(); all on the network thread.
 */
typedef struct StenoPacket StenoPacket;
struct StenoPacket {
    StenoPacket *next; /* for lists of the owner and the pool's own */
    struct StenoPacketPool *pool;
    gint64 arrival_us; /* CLOCK_MONOTONIC at the read */
    guint32 bytes;     /* of data: RTP header, extensions, payload; no SRTP trailer */

    /* Filled in by rtp from the header (RFC 3550 §5.1), for codec. */
    gint64 seq;    /* extended sequence number */
    gint64 rtp_ts; /* extended timestamp, ticks of the codec's clock */
    guint16 payload_offset, payload_bytes;
    bool marker;

    guint8 data[STENO_PACKET_MAX_BYTES];
};

typedef struct StenoPacketPool StenoPacketPool;

/* A pool that holds at most max_packets; a packet beyond is refused (NULL) and counted. */
StenoPacketPool *steno_packet_pool_new(guint max_packets);
/* All packets must be back. */
void steno_packet_pool_free(StenoPacketPool *pool);
/* A packet with undefined contents, or NULL when the pool's ceiling is reached. */
StenoPacket *steno_packet_new(StenoPacketPool *pool);
void steno_packet_free(StenoPacket *packet);
/* How often the ceiling was hit. */
guint64 steno_packet_pool_refused(const StenoPacketPool *pool);

/* ---- frames ------------------------------------------------------------------------------------------------------ */

/* A larger encoded frame is dropped as broken: a 4K key frame at the highest quality is a third of it. */
#define STENO_FRAME_MAX_BYTES (8 * 1024 * 1024)

typedef enum {
    STENO_FRAME_NONE,
    STENO_FRAME_MEDIA,  /* one whole encoded frame */
    STENO_FRAME_GAP,    /* packets are missing here */
    STENO_FRAME_FORMAT, /* what follows is of this codec, with these parameters; before the first MEDIA too */
    STENO_FRAME_END,    /* nothing follows on this track */
} StenoFrameKind;

/* Why something is missing; the words of the manifest. */
typedef enum {
    STENO_GAP_LOST,         /* "lost": packets did not arrive and were not resent in time */
    STENO_GAP_NO_KEYFRAME,  /* "no-keyframe": video that cannot be decoded before the next key frame is not kept */
    STENO_GAP_DAMAGED,      /* "damaged": packets came, but are not what their payload format says */
    STENO_GAP_OVERFLOW,     /* "overflow": a ceiling of ours was hit (writer too slow, pool empty) */
    STENO_GAP_DISCONNECTED, /* "disconnected": the channel or the media path was away */
    STENO_GAP_RECORDER,     /* "recorder": the recorder process was away */
    STENO_GAP_PAUSED,       /* "paused": by order */
    STENO_GAP_NO_KEY,       /* "no-key": frames came under the channel's own AES, and their key was never there */
    STENO_GAP_BAD_KEY,      /* "bad-key": …and their tag says no to every key that we have */
    STENO_GAP_CAUSES
} StenoGapCause;

const char *steno_gap_cause_name(StenoGapCause cause);

typedef struct StenoFrame StenoFrame;
struct StenoFrame {
    StenoFrame *next; /* of the pool, or of the frame's owner */
    struct StenoFramePool *pool;
    atomic_int references;

    StenoFrameKind kind;
    StenoCodec codec;
    guint32 track;  /* the recording's number of the track, from 1 */
    gint64 rtp_ts;  /* extended RTP timestamp, ticks of the track's clock */
    gint64 wall_us; /* sender's clock by RTCP SR, moved to the recorder's; arrival until the first SR. µs since 1970 */
    gint64 arrival_us; /* CLOCK_MONOTONIC of the packet that made it whole */
    bool keyframe;
    bool decodable; /* FALSE for video that refers to a frame that is missing */
    bool encrypted; /* the payload is still under the channel's own AES; of a FORMAT: that of what follows is */

    union {
        struct { /* GAP: the packets first_seq … last_seq, both inclusive, in extended sequence numbers */
            gint64 first_seq, last_seq;
            guint32 packets;
            gint64 until_rtp_ts; /* the gap ends before this RTP timestamp */
            StenoGapCause cause;
        } gap;
        struct { /* FORMAT: payload holds the codec's out-of-band parameters (Annex B parameter sets, AV1 sequence
                    header) */
            guint32 clock_hz;
            guint16 width, height; /* px; 0 for audio or unknown */
            guint8 channels;       /* audio; 0 for video */
        } format;
    };

    guint32 payload_bytes;
    guint32 payload_capacity; /* bytes */
    guint8 *payload;
};

typedef struct StenoFramePool StenoFramePool;

/*
 * A pool of frames for one producing thread. Frames may be unreferenced on any thread: they come back over an atomic
 * stack. max_bytes bounds what all living frames hold together.
 */
StenoFramePool *steno_frame_pool_new(gsize max_bytes);
/* Gives the pool up; it goes when its last frame comes back. Producing thread. */
void steno_frame_pool_free(StenoFramePool *pool);
/*
 * A zeroed frame of the kind with room for at least capacity bytes of payload (0: none). Producing thread. NULL when
 * capacity > STENO_FRAME_MAX_BYTES or the pool's ceiling is reached.
 */
StenoFrame *steno_frame_new(StenoFramePool *pool, StenoFrameKind kind, gsize capacity);
/*
 * Makes room for at least capacity bytes of payload, keeping what is there. Producing thread, sole owner. FALSE, with
 * the frame as it was, at a ceiling.
 */
bool steno_frame_reserve(StenoFrame *frame, gsize capacity);
StenoFrame *steno_frame_ref(StenoFrame *frame);
void steno_frame_unref(StenoFrame *frame);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(StenoFrame, steno_frame_unref)

/* ---- ring -------------------------------------------------------------------------------------------------------- */

/* A single-producer, single-consumer ring of frames: no lock, no allocation. */
typedef struct StenoFrameRing StenoFrameRing;

/* slots is rounded up to a power of two. */
StenoFrameRing *steno_frame_ring_new(guint slots);
/* Unreferences what is still in it. */
void steno_frame_ring_free(StenoFrameRing *ring);
/* Hands a frame over. The ring owns it; when it is full, false, and the caller still owns it. Producer. */
bool steno_frame_ring_push(StenoFrameRing *ring, StenoFrame *frame);
/* The oldest frame, now the caller's, or NULL. Consumer. */
StenoFrame *steno_frame_ring_pop(StenoFrameRing *ring);
/* How many frames wait. Either side; a snapshot. */
guint steno_frame_ring_length(const StenoFrameRing *ring);

#endif
