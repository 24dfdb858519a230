/*
 * AV1 headers (AV1 bitstream specification §5.5, §5.9), as far as key frames and the picture size need them.
 *
 * Inter frames may say "the size of that reference", so the sizes of the eight reference frames are kept.
 */
#ifndef STENO_CODEC_AV1_HEADER_H
#define STENO_CODEC_AV1_HEADER_H

#include <glib.h>
#include <stdbool.h>

#define STENO_AV1_OPERATING_POINTS_MAX 32

enum {
    STENO_AV1_SEQUENCE_HEADER = 1,
    STENO_AV1_TEMPORAL_DELIMITER = 2,
    STENO_AV1_FRAME_HEADER = 3,
    STENO_AV1_TILE_GROUP = 4,
    STENO_AV1_METADATA = 5,
    STENO_AV1_FRAME = 6,
    STENO_AV1_REDUNDANT_FRAME_HEADER = 7,
    STENO_AV1_TILE_LIST = 8,
    STENO_AV1_PADDING = 15,
};

/* What the frame headers need of a sequence header. */
typedef struct {
    bool reduced_still_picture;
    bool decoder_model, equal_picture_interval;
    guint8 buffer_removal_bits, presentation_bits, delay_bits;
    guint8 n_operating_points;
    bool has_decoder_model[STENO_AV1_OPERATING_POINTS_MAX];
    guint16 operating_point[STENO_AV1_OPERATING_POINTS_MAX];
    guint8 width_bits, height_bits;
    guint32 width, height; /* px, the largest */
    bool frame_ids;
    guint8 frame_id_bits, delta_frame_id_bits;
    guint8 screen_content_tools; /* 2: each frame says */
    guint8 integer_mv;           /* 2: each frame says */
    guint8 order_hint_bits;      /* 0: none */
    bool superres;
} StenoAv1Sequence;

typedef struct {
    guint32 width, height; /* px, after super-resolution; 0: unknown */
} StenoAv1Size;

typedef struct {
    bool keyframe; /* a key frame that is shown at once: decoding can begin here */
    bool shown;
    StenoAv1Size size;
} StenoAv1Frame;

/* The payload of a sequence header OBU. FALSE when it is malformed. */
bool steno_av1_sequence(const guint8 *data, gsize bytes, StenoAv1Sequence *sequence);
/*
 * The payload of a frame or frame header OBU of a temporal and spatial layer; brings the sizes of the references up to
 * date. FALSE when it is malformed.
 */
bool steno_av1_frame(const guint8 *data, gsize bytes, const StenoAv1Sequence *sequence, guint temporal_id,
                     guint spatial_id, StenoAv1Size references[8], StenoAv1Frame *frame);

#endif
