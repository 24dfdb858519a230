/*
 * What the payload formats share: the frame being put together, and the table of them.
 *
 * A payload format appends what it finds in packets to the open frame and closes it; what is in the frame is the
 * reader's matter (reader.h), which frames go out, as what, and what is told about those that do not, the outlet's
 * (outlet.h). Of an opaque stream nothing is read but what the payload format says.
 */
#ifndef STENO_CODEC_DEPACKETIZER_H
#define STENO_CODEC_DEPACKETIZER_H

#include "outlet.h"

typedef enum {
    STENO_ENDING_WHOLE,
    STENO_ENDING_NO_PICTURE, /* parameter sets alone */
    STENO_ENDING_DAMAGED,    /* the payload format says that there is more */
    STENO_ENDING_BEHEADED,   /* what is in front of it was lost, and it is nothing without */
} StenoEnding;

typedef struct {
    gsize state_bytes; /* of the payload format's own state, zeroed at the start */
    /* Reads the configuration (fmtp). NULL: nothing to read. */
    void (*start)(StenoDepacketizer *depacketizer);
    /* One packet with a payload. 0 or -EBADMSG: then the caller drops the open frame and tells the damage. */
    int (*push)(StenoDepacketizer *depacketizer, const StenoPacket *packet);
    /* The open frame ends here, because of a marker or of what comes next. NULL: a frame is one packet (audio). */
    StenoEnding (*close)(StenoDepacketizer *depacketizer);
    /* After the reader: adds what running numbers prove. NULL: there are none. */
    void (*prove)(StenoDepacketizer *depacketizer, StenoFrameFacts *facts);
    /* The open frame was dropped: forget what was begun. `lost` packets before the next one are missing. NULL: no need.
     */
    void (*reset)(StenoDepacketizer *depacketizer, guint32 lost);
    bool is_never_opaque;
} StenoPayloadOps;

extern const StenoPayloadOps steno_payload_opus, steno_payload_g711, steno_payload_vp8, steno_payload_vp9,
    steno_payload_h264, steno_payload_h265, steno_payload_av1;

struct StenoDepacketizer {
    StenoOutlet outlet;
    const StenoPayloadOps *ops;
    void *state; /* the payload format's */

    StenoFrame *open; /* being put together; NULL when there is none, or no room for it */
    gint64 open_first_seq, open_last_seq;
    guint32 open_packets; /* 0: no frame is open */
    bool open_refused;    /* a ceiling was hit: nothing more goes in, and at its end it is told as OVERFLOW */
    bool open_unsure;     /* it began where packets may be missing */
    bool open_marked;     /* its last packet has the marker */

    gint64 frame_rtp_ts; /* of the open frame, or of the one that is skipped */
    bool skipping;       /* a frame was dropped: its other packets are passed over */
    bool head_unsure;    /* packets may be missing before the next one: the codec has to prove that a frame begins */
};

/* Is a frame open? */
static inline bool steno_depacketizer_is_open(const StenoDepacketizer *depacketizer)
{
    return depacketizer->open_packets > 0;
}

/* Is nothing to be read but the payload format? */
static inline bool steno_depacketizer_is_opaque(const StenoDepacketizer *depacketizer)
{
    return depacketizer->outlet.config.opaque;
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

/* The push of audio: a packet is a frame. */
int steno_depacketizer_push_whole(StenoDepacketizer *depacketizer, const StenoPacket *packet);

#endif
