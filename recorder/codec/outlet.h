/*
 * What goes out, the same for packets and for frames: FORMAT where it changes, MEDIA with what is known of it, and what
 * is told about what is missing.
 */
#ifndef STENO_CODEC_OUTLET_H
#define STENO_CODEC_OUTLET_H

#include "reader.h"

/* A gap that was not told yet: it ends where the next frame begins. */
typedef struct {
    bool set;
    gint64 first_seq, last_seq; /* -1: frames came without packets */
    guint32 packets;
    gint64 rtp_ts, until_rtp_ts;
} StenoPendingGap;

typedef struct {
    StenoDepacketizerConfig config; /* fmtp is ours */
    const StenoReaderOps *reader;
    void *reader_state;
    StenoFramePool *pool;
    StenoFrameSink sink;
    gpointer user;
    StenoDepacketizerStats stats;

    bool video;
    bool started; /* a first frame went out; video: a key frame */
    bool broken;  /* video: something is missing that the next frames may refer to */

    StenoPendingGap gaps[STENO_GAP_CAUSES];
    gint64 last_arrival_us;

    struct { /* as told last */
        bool told;
        guint16 width, height;
        guint8 channels;
        GByteArray *parameters;
    } format;
} StenoOutlet;

/* FALSE when there is no reader for the codec. */
bool steno_outlet_init(StenoOutlet *outlet, const StenoDepacketizerConfig *config, StenoFramePool *pool,
                       StenoFrameSink sink, gpointer user);
void steno_outlet_clear(StenoOutlet *outlet);

/*
 * Tells all pending gaps in the order of their packets; each reaches at least to until_rtp_ts. What waits for a key
 * frame is told when that comes. Gaps stay pending when the pool is full: nothing that is missing may go untold.
 */
void steno_outlet_gaps_emit(StenoOutlet *outlet, gint64 until_rtp_ts, bool no_keyframe_too);
/*
 * A new gap: what was pending before ends where this one begins. What follows on the pending gap of the same cause only
 * makes it longer, so that a flood of garbage is one gap.
 */
void steno_outlet_gap(StenoOutlet *outlet, StenoGapCause cause, const StenoPendingGap *gap);
/* Video that came, but is not kept, since no key frame came yet. */
void steno_outlet_no_keyframe(StenoOutlet *outlet, const StenoPendingGap *gap);

typedef enum {
    STENO_OUTLET_EMITTED, /* the frame is the sink's */
    STENO_OUTLET_WAITS,   /* for a key frame: the caller drops the frame, and tells it */
    STENO_OUTLET_FULL,    /* of the pool there is nothing left for its FORMAT: the caller refuses the frame */
} StenoOutcome;

/* A whole frame goes out, behind the gaps before it. */
StenoOutcome steno_outlet_emit(StenoOutlet *outlet, StenoFrame *frame, const StenoFrameFacts *facts,
                               const StenoFormat *format);
/* A ceiling was hit: what is told as overflow. */
void steno_outlet_refuse(StenoOutlet *outlet, const StenoPendingGap *gap);

/* Does video wait for a key frame? */
static inline bool steno_outlet_needs_keyframe(const StenoOutlet *outlet)
{
    return outlet->video && (!outlet->started || outlet->broken);
}

#endif
