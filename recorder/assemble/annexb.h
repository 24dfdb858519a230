/*
 * annexb: parameter sets in H.264 and H.265 access units, and the sequence header of AV1.
 */
#ifndef STENO_ASSEMBLE_ANNEXB_H
#define STENO_ASSEMBLE_ANNEXB_H

#include "steno/frame.h"

/* Does the access unit bring an SPS of its own? */
gboolean annexb_has_parameters(StenoCodec codec, const guint8 *data, gsize bytes);

/* The parameter sets (VPS, SPS, PPS) or the sequence header in a key frame, as Annex B or OBU. Empty when there are
 * none. */
GByteArray *annexb_parameters(StenoCodec codec, const guint8 *data, gsize bytes);

#endif
