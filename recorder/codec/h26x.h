/* The syntax of H.264 (ITU-T H.264 §7.3) and H.265 (ITU-T H.265 §7.3) that a depacketizer has to read. */
#ifndef STENO_CODEC_H26X_H
#define STENO_CODEC_H26X_H

#include "nal.h"

/* Each takes a whole NAL unit, header included; FALSE when it is malformed. */
bool steno_h264_sps(const guint8 *nal, gsize bytes, StenoNalSetFacts *facts);
bool steno_h264_pps(const guint8 *nal, gsize bytes, StenoNalSetFacts *facts);
bool steno_h265_vps(const guint8 *nal, gsize bytes, StenoNalSetFacts *facts);
bool steno_h265_sps(const guint8 *nal, gsize bytes, StenoNalSetFacts *facts);
bool steno_h265_pps(const guint8 *nal, gsize bytes, StenoNalSetFacts *facts);

/* The beginning of a slice header; the NAL unit may be cut off behind it. pps -1: it cannot be read. */
typedef struct {
    bool first; /* of the picture */
    bool intra; /* H.264: an I or SI slice */
    int pps;
} StenoSliceFacts;

void steno_h264_slice(const guint8 *nal, gsize bytes, StenoSliceFacts *facts);
void steno_h265_slice(const guint8 *nal, gsize bytes, StenoSliceFacts *facts);

static inline guint8 steno_h265_type(const guint8 *nal)
{
    return nal[0] >> 1 & 0x3f;
}

StenoNalClass steno_h264_class(guint8 type);
StenoNalClass steno_h265_class(guint8 type);
/* Can this NAL unit only stand at the beginning of an access unit? It may be cut off. */
bool steno_h264_is_beginning(const guint8 *nal, gsize bytes);
bool steno_h265_is_beginning(const guint8 *nal, gsize bytes);
/* The reader sees one whole NAL unit. */
void steno_h264_see_nal(void *state, const guint8 *nal, gsize bytes);
void steno_h265_see_nal(void *state, const guint8 *nal, gsize bytes);

#endif
