/*
 * A codec's out-of-band parameters: as the FORMAT frame has them, and as Matroska's CodecPrivate wants them (avcC,
 * hvcC, av1C, OpusHead, WAVEFORMATEX).
 */
#ifndef STENO_CAPTURE_PARAMETERS_H
#define STENO_CAPTURE_PARAMETERS_H

#include "steno/frame.h"

/*
 * Appends the CodecPrivate of a FORMAT frame; nothing when the codec has none. Parameters that cannot be parsed are
 * kept as they are, behind a byte FF: nothing that came is thrown away.
 */
void steno_parameters_to_private(const StenoFrame *format, GByteArray *out);

/* Appends the parameters of a CodecPrivate as in the FORMAT frame. Parameter sets come back ordered by type. */
void steno_parameters_from_private(StenoCodec codec, const guint8 *data, gsize bytes, GByteArray *out);

/* PCMU or PCMA, by the format tag of a WAVEFORMATEX; UNKNOWN for anything else. */
StenoCodec steno_parameters_acm_codec(const guint8 *data, gsize bytes);

#endif
