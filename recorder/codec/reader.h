/*
 * Reading whole frames in the clear: is it a key frame, how large is the picture, which parameters does it bring. The
 * same for frames that a depacketizer puts together, and for those that an inspector is given.
 *
 * A reader sees the parts of a frame (NAL units, OBUs, layer frames) one by one, or the whole frame at once, and then
 * concludes.
 */
#ifndef STENO_CODEC_READER_H
#define STENO_CODEC_READER_H

#include "steno/codec.h"

/* What is known of a frame when it is whole. */
typedef struct {
    bool keyframe;
    bool independent; /* this frame needs nothing that was lost: proven, not hoped */
    bool intact;      /* no frame was lost at all: proven, not hoped. What follows is decodable too */
    bool leading;     /* cannot be decoded, but nothing depends on it (H.265 RASL after a CRA we began with) */
    bool resilient;   /* VP9: it takes no probabilities from frames before it */
} StenoFrameFacts;

/* The codec's parameters, as in a FORMAT frame. Compared with the last ones told; only a difference is told. */
typedef struct {
    guint16 width, height;
    guint8 channels;
    const guint8 *parameters; /* lent */
    gsize parameters_bytes;
} StenoFormat;

/* What a reader cannot see in the frame. */
typedef struct {
    bool head_unsure; /* the frame's beginning may be missing */
    bool fresh;       /* decoding begins with it, if it is a key frame: the first one, or after a gap */
} StenoReading;

typedef struct {
    gsize state_bytes; /* zeroed at the start */
    /* Reads the configuration, and puts right what the codec leaves no choice in (clock_hz, channels). May be NULL. */
    void (*start)(void *state, StenoDepacketizerConfig *config);
    void (*stop)(void *state); /* may be NULL */
    /* A whole frame of at least one byte. 0, or -EBADMSG when it is no frame of the codec. */
    int (*see)(void *state, const guint8 *data, gsize bytes);
    /*
     * The frame that was seen ends: fills in facts and format. FALSE: there is no picture in it (parameter sets alone),
     * and what is seen next is counted to it. NULL: nothing is to be concluded (audio).
     */
    bool (*conclude)(void *state, const StenoReading *reading, StenoFrameFacts *facts, StenoFormat *format);
    /* What was seen of a frame is nothing any more: it was dropped. NULL: no need. */
    void (*forget)(void *state);
    bool is_annexb; /* H.264, H.265 */
} StenoReaderOps;

extern const StenoReaderOps steno_reader_opus, steno_reader_g711, steno_reader_vp8, steno_reader_vp9, steno_reader_h264,
    steno_reader_h265, steno_reader_av1;

/* The codec's reader, its clock where the SDP does not say, or NULL when we do not know the codec. */
const StenoReaderOps *steno_reader_find(StenoCodec codec, guint32 *clock_hz);

/* The first value of key=value in fmtp, up to the next ';', or NULL. Caller frees. */
char *steno_fmtp_value(const char *fmtp, const char *key);

#endif
