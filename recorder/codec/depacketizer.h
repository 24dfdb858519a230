/*
 * What the codecs share: the frame being put together, what is told about what is missing, and the table of codecs.
 *
 * A codec appends what it finds in packets to the open frame and closes it; which frames go out, as what, and what is
 * told about those that do not, is decided in depacketizer.c, the same for all codecs.
 */
#ifndef STENO_CODEC_DEPACKETIZER_H
#define STENO_CODEC_DEPACKETIZER_H

#include "steno/codec.h"

/* What a codec says about a frame when it is whole. */
typedef struct {
    bool keyframe;
    bool independent; /* this frame needs nothing that was lost: proven, not hoped */
    bool intact;      /* no frame was lost at all: proven, not hoped. What follows is decodable too */
    bool leading;     /* cannot be decoded, but nothing depends on it (H.265 RASL after a CRA we began with) */
} StenoFrameFacts;

/* The codec's parameters, as in a FORMAT frame. Compared with the last ones told; only a difference is told. */
typedef struct {
    guint16 width, height;
    guint8 channels;
    const guint8 *parameters; /* lent */
    gsize parameters_bytes;
} StenoFormat;

typedef struct {
    StenoCodec codec;
    guint32 default_clock_hz;
    gsize state_bytes; /* of the codec's own state, zeroed at the start */
    /* Reads the configuration (fmtp). NULL: nothing to read. */
    void (*start)(StenoDepacketizer *depacketizer);
    void (*stop)(StenoDepacketizer *depacketizer);
    /* One packet with a payload. 0 or -EBADMSG: then the caller drops the open frame and tells the damage. */
    int (*push)(StenoDepacketizer *depacketizer, const StenoPacket *packet);
    /*
     * The open frame ends here, because of a marker or of what comes next. Fills in the facts and the format; 0, 1 when
     * there is no picture in it (parameter sets alone), or -EBADMSG when it is not whole. NULL: a frame is one packet
     * (audio).
     */
    int (*close)(StenoDepacketizer *depacketizer, StenoFrameFacts *facts, StenoFormat *format);
    /* The open frame was dropped: forget what was begun. `lost` packets before the next one are missing. NULL: no need.
     */
    void (*reset)(StenoDepacketizer *depacketizer, guint32 lost);
} StenoCodecOps;

extern const StenoCodecOps steno_codec_opus, steno_codec_pcmu, steno_codec_pcma, steno_codec_vp8, steno_codec_vp9,
    steno_codec_h264, steno_codec_h265, steno_codec_av1;

/* A gap that was not told yet: it ends where the next frame begins. */
typedef struct {
    bool set;
    gint64 first_seq, last_seq;
    guint32 packets;
    gint64 rtp_ts, until_rtp_ts;
} StenoPendingGap;

struct StenoDepacketizer {
    StenoDepacketizerConfig config; /* fmtp is ours */
    const StenoCodecOps *ops;
    void *state; /* the codec's */
    StenoFramePool *pool;
    StenoFrameSink sink;
    gpointer user;
    StenoDepacketizerStats stats;

    StenoFrame *open; /* being put together; NULL when there is none, or no room for it */
    gint64 open_first_seq, open_last_seq;
    guint32 open_packets; /* 0: no frame is open */
    bool open_refused;    /* a ceiling was hit: nothing more goes in, and at its end it is told as OVERFLOW */
    bool open_unsure;     /* it began where packets may be missing */

    gint64 frame_rtp_ts; /* of the open frame, or of the one that is skipped */
    bool skipping;       /* a frame was dropped: its other packets are passed over */
    bool head_unsure;    /* packets may be missing before the next one: the codec has to prove that a frame begins */
    bool started;        /* a first frame went out; video: a key frame */
    bool broken;         /* video: something is missing that the next frames may refer to */

    StenoPendingGap gaps[STENO_GAP_CAUSES];
    gint64 last_arrival_us;

    struct { /* as told last */
        bool told;
        guint16 width, height;
        guint8 channels;
        GByteArray *parameters;
    } format;
};

/* Is a frame open? */
static inline bool steno_depacketizer_is_open(const StenoDepacketizer *depacketizer)
{
    return depacketizer->open_packets > 0;
}

/* The packet's payload. */
static inline const guint8 *steno_packet_payload(const StenoPacket *packet)
{
    return packet->data + packet->payload_offset;
}

/*
 * The packet belongs to the open frame, which begins with it when there is none: then the gaps before it are told. Once
 * a packet. When the pool is full the frame has no buffer; the codec goes on as if all were well.
 */
void steno_depacketizer_take(StenoDepacketizer *depacketizer, const StenoPacket *packet);
/* Appends to the open frame. At a ceiling the frame is given up, told at its end; open_refused is true from then on. */
void steno_depacketizer_append(StenoDepacketizer *depacketizer, const guint8 *data, gsize bytes);
/*
 * The packet belongs to a frame whose beginning never came (start of the stream, after a gap): passed over, with all of
 * the same timestamp. -EBADMSG when nothing explains that it is missing.
 */
int steno_depacketizer_skip(StenoDepacketizer *depacketizer, const StenoPacket *packet);

/* The first value of key=value in fmtp, up to the next ';', or NULL. Caller frees. */
char *steno_fmtp_value(const char *fmtp, const char *key);

#endif
