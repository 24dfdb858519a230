/*
 * codec: packets in order → whole encoded frames. Pure functions of bytes: no clock, no I/O, no thread of its own.
 *
 * A depacketizer is fed the packets of one RTP stream of one codec in sequence order, and told where some are missing.
 * It emits FORMAT before the first frame and whenever the parameters change (parameter sets, picture size, channels),
 * MEDIA for each whole frame, and GAP for what is missing.
 *
 * What a frame holds: Opus: one packet's payload (RFC 7587); G.711: the samples of one packet; VP8, VP9: the frame
 * without payload descriptor (VP9: all spatial layers of the picture, with a superframe index when there are several);
 * H.264, H.265: the access unit in Annex B with 4-byte start codes, parameter sets in band as sent; AV1: the temporal
 * unit as a low-overhead bitstream (obu_size set), without temporal delimiters.
 *
 * FORMAT stands immediately before the frame it is of. Opus always says two channels: each packet chooses for itself,
 * and a decoder told two plays both kinds right.
 *
 * decodable: after a gap in video, frames are emitted all the same (nothing that came is thrown away), with decodable
 * false until the next key frame, because they refer to something that is missing; unless the payload descriptor proves
 * that they do not (VP8, VP9). Video before the first key frame is not emitted, but told as one GAP, cause no-keyframe.
 *
 * GAPs: `packets` of cause lost are exactly those told by steno_depacketizer_gap(); of damaged, no-keyframe and
 * overflow those that came and are in no frame for that cause. A frame that was dropped because a neighbour was lost
 * costs no packets, but time: its gap reaches from its timestamp to where the next frame begins. A GAP is emitted when
 * the next frame begins, with the next gap of other packets or by flush; for audio at once. Its arrival_us is of the
 * last packet.
 */
#ifndef STENO_CODEC_H
#define STENO_CODEC_H

#include "steno/frame.h"

typedef struct StenoDepacketizer StenoDepacketizer;

typedef struct {
    StenoCodec codec;
    guint32 clock_hz; /* of the RTP clock: 48000 for Opus, 90000 for video */
    guint8 channels;  /* audio, from SDP; 0: the codec's default */
    const char *fmtp; /* the a=fmtp parameters, or NULL (sprop-parameter-sets, packetization-mode …) */
    guint32 track;    /* written into each frame */
    /*
     * The payload is under the channel's own AES: frames are put together by what the payload format says outside of
     * it, and emitted as `encrypted`, without a look into them: whole ones only, keyframe false, decodable true,
     * before them a FORMAT without size and parameters, `encrypted` too. No frame waits for a key frame. Content opens
     * them (of VP9, each layer: steno_codec_layers()), and an inspector (below) says what they are. AV1 has no payload
     * format that hides its units: NULL.
     */
    bool opaque;
} StenoDepacketizerConfig;

/* Takes a whole frame; the callee owns it. */
typedef void (*StenoFrameSink)(gpointer user, StenoFrame *frame);

typedef struct {
    guint64 frames;      /* MEDIA frames emitted */
    guint64 undecodable; /* of these, with decodable = false */
    guint64 damaged;     /* packets in frames that were not what the payload format says */
    guint64 refused;     /* frames given up because a pool or STENO_FRAME_MAX_BYTES was full */
} StenoDepacketizerStats;

/*
 * A depacketizer, or NULL when there is none for the codec. The pool must outlive it. Frames come out of
 * steno_depacketizer_push/gap/flush, on the caller's thread.
 */
StenoDepacketizer *steno_depacketizer_new(const StenoDepacketizerConfig *config, StenoFramePool *pool,
                                          StenoFrameSink sink, gpointer user);
void steno_depacketizer_free(StenoDepacketizer *depacketizer);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(StenoDepacketizer, steno_depacketizer_free)

/*
 * The next packet in sequence order; seq, rtp_ts, payload_offset, payload_bytes, marker and arrival_us are read. The
 * caller keeps the packet. 0, or -EBADMSG when the payload is malformed (counted; a GAP with cause damaged was
 * emitted).
 */
int steno_depacketizer_push(StenoDepacketizer *depacketizer, const StenoPacket *packet);

/*
 * Packets are missing between the last push and the next: emits a GAP frame with these figures, drops the frame that
 * was being put together, and for video marks what follows as not decodable until a key frame.
 */
void steno_depacketizer_gap(StenoDepacketizer *depacketizer, gint64 first_seq, gint64 last_seq, guint32 packets,
                            gint64 rtp_ts, gint64 until_rtp_ts, StenoGapCause cause);

/*
 * The stream ends or its source changes: emits what is whole and all gaps, forgets the rest. Video that follows is not
 * decodable until a key frame.
 */
void steno_depacketizer_flush(StenoDepacketizer *depacketizer);

/* TRUE while video waits for a key frame (start, after a gap): the caller asks the sender for one. */
bool steno_depacketizer_needs_keyframe(const StenoDepacketizer *depacketizer);

const StenoDepacketizerStats *steno_depacketizer_stats(const StenoDepacketizer *depacketizer);

/* ---- frames that content has opened ------------------------------------------------------------------------------ */

#define STENO_CODEC_LAYERS_MAX 8

/*
 * What was encrypted as one: senders encrypt each spatial layer of a VP9 picture on its own. Fills in the sizes of the
 * parts of an opaque depacketizer's frame, one after the other in `data` (what is behind them is an index and is not
 * encrypted), and returns how many: 1 for all other codecs and for a picture of one layer.
 */
guint steno_codec_layers(StenoCodec codec, const guint8 *data, gsize bytes, gsize sizes[STENO_CODEC_LAYERS_MAX]);
/*
 * The parts, opened, lie one after the other in `data`, with these sizes: puts the index behind them again, when there
 * are several, and returns the frame's size. data has room when it has room for the encrypted frame.
 */
gsize steno_codec_join_layers(guint8 *data, const gsize *sizes, guint count);

/*
 * What an opaque depacketizer could not tell: takes whole frames in the clear, in order, and emits what a depacketizer
 * would have emitted: FORMAT, MEDIA with keyframe and decodable, and GAPs (no-keyframe, damaged; without sequence
 * numbers: -1, and packets 0). After a gap, video is not decodable until a key frame.
 */
typedef struct StenoInspector StenoInspector;

/* NULL when there is none for the codec. config.opaque is not read. Otherwise as steno_depacketizer_new(). */
StenoInspector *steno_inspector_new(const StenoDepacketizerConfig *config, StenoFramePool *pool, StenoFrameSink sink,
                                    gpointer user);
void steno_inspector_free(StenoInspector *inspector);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(StenoInspector, steno_inspector_free)
/* The next frame: MEDIA, `encrypted` false; owned by the callee, which emits this very frame, at once (H.264, H.265:
 * start codes of three bytes made four). 0, or -EBADMSG when it is no frame of the codec (counted; a GAP with cause
 * damaged is emitted in its place, when the next frame begins). */
int steno_inspector_frame(StenoInspector *inspector, StenoFrame *frame);
/* Something is missing here: a GAP frame, which is emitted as it is; owned by the callee. */
void steno_inspector_gap(StenoInspector *inspector, StenoFrame *gap);
/* The stream ends or begins anew: video that follows needs a key frame, and what follows is told its FORMAT again. */
void steno_inspector_flush(StenoInspector *inspector);
bool steno_inspector_needs_keyframe(const StenoInspector *inspector);
const StenoDepacketizerStats *steno_inspector_stats(const StenoInspector *inspector);

#endif
