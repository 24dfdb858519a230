/* Open bitstream units of AV1 (AV1 bitstream specification §5.3), whole and in the clear. */
#ifndef STENO_CODEC_AV1_READER_H
#define STENO_CODEC_AV1_READER_H

#include "reader.h"

static inline guint steno_av1_obu_type(guint8 header)
{
    return header >> 3 & 0x0f;
}

static inline gsize steno_av1_obu_header_bytes(guint8 header)
{
    return header & 0x04 ? 2 : 1; /* obu_extension_flag */
}

static inline bool steno_av1_obu_has_size(guint8 header)
{
    return header & 0x02; /* obu_has_size_field */
}

/* leb128(), AV1 §4.10.5. FALSE when it is cut off or beyond 32 bits. */
bool steno_av1_leb128(const guint8 *data, gsize bytes, gsize *at, gsize *value);

/* The reader sees one OBU of a temporal unit, with its size; body_at: where what follows header and size begins. */
void steno_av1_see_obu(void *state, const guint8 *obu, gsize obu_bytes, gsize body_at);

#endif
