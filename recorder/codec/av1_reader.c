/*
 * A key frame is a temporal unit whose first frame is a shown KEY_FRAME, with a known sequence header; where its
 * beginning may be missing, with one of its own.
 */
#include "av1_reader.h"

#include "av1_header.h"

#include <errno.h>
#include <string.h>

#define SEQUENCE_HEADER_MAX_BYTES 1024 /* with 32 operating points a tenth of it */

typedef struct {
    bool sequence_known;
    StenoAv1Sequence sequence;
    GByteArray *sequence_obu; /* with its size */
    StenoAv1Size references[8];
    StenoAv1Size size; /* of the last shown frame whose size was found */

    /* What was seen of the temporal unit. */
    bool has_sequence, has_frame, keyframe;
} Av1Reader;

bool steno_av1_leb128(const guint8 *data, gsize bytes, gsize *at, gsize *value)
{
    guint64 sum = 0;
    for (guint i = 0; i < 8; i++) {
        if (*at >= bytes)
            return false;
        const guint8 byte = data[(*at)++];
        sum |= (guint64)(byte & 0x7f) << (7 * i);
        if (!(byte & 0x80)) {
            *value = (gsize)sum;
            return sum <= G_MAXUINT32;
        }
    }
    return false;
}

static void see_sequence(Av1Reader *av1, const guint8 *obu, gsize obu_bytes, const guint8 *body, gsize bytes)
{
    StenoAv1Sequence sequence;
    if (obu_bytes > SEQUENCE_HEADER_MAX_BYTES || !steno_av1_sequence(body, bytes, &sequence))
        return;
    av1->has_sequence = av1->sequence_known = true;
    av1->sequence = sequence;
    if (av1->sequence_obu->len == obu_bytes && memcmp(av1->sequence_obu->data, obu, obu_bytes) == 0)
        return;
    g_byte_array_set_size(av1->sequence_obu, 0);
    g_byte_array_append(av1->sequence_obu, obu, obu_bytes);
}

static void see_frame(Av1Reader *av1, guint8 extension, const guint8 *body, gsize bytes)
{
    StenoAv1Frame frame;
    const bool first = !av1->has_frame;
    av1->has_frame = true;
    /* What cannot be read is kept all the same: it is no key frame. */
    if (!av1->sequence_known ||
        !steno_av1_frame(body, bytes, &av1->sequence, extension >> 5, extension >> 3 & 3, av1->references, &frame))
        return;
    if (first)
        av1->keyframe = frame.keyframe;
    if (frame.shown && frame.size.width > 0)
        av1->size = frame.size;
}

void steno_av1_see_obu(void *state, const guint8 *obu, gsize obu_bytes, gsize body_at)
{
    Av1Reader *av1 = state;
    const guint type = steno_av1_obu_type(obu[0]);
    const guint8 extension = steno_av1_obu_header_bytes(obu[0]) == 2 ? obu[1] : 0;
    if (type == STENO_AV1_SEQUENCE_HEADER)
        see_sequence(av1, obu, obu_bytes, obu + body_at, obu_bytes - body_at);
    else if (type == STENO_AV1_FRAME || type == STENO_AV1_FRAME_HEADER)
        see_frame(av1, extension, obu + body_at, obu_bytes - body_at);
}

static void av1_start(void *state, StenoDepacketizerConfig *config)
{
    Av1Reader *av1 = state;
    (void)config;
    av1->sequence_obu = g_byte_array_new();
}

static void av1_stop(void *state)
{
    Av1Reader *av1 = state;
    g_byte_array_unref(av1->sequence_obu);
}

static int av1_see(void *state, const guint8 *data, gsize bytes)
{
    for (gsize at = 0; at < bytes;) {
        const guint8 *obu = data + at;
        gsize body_at = steno_av1_obu_header_bytes(obu[0]), body_bytes = 0;
        if ((obu[0] & 0x80) || !steno_av1_obu_has_size(obu[0]) || /* obu_forbidden_bit */
            !steno_av1_leb128(obu, bytes - at, &body_at, &body_bytes) || body_bytes > bytes - at - body_at)
            return -EBADMSG;
        steno_av1_see_obu(state, obu, body_at + body_bytes, body_at);
        at += body_at + body_bytes;
    }
    return 0;
}

static void av1_forget(void *state)
{
    Av1Reader *av1 = state;
    av1->has_sequence = av1->has_frame = av1->keyframe = false;
}

static bool av1_conclude(void *state, const StenoReading *reading, StenoFrameFacts *facts, StenoFormat *format)
{
    Av1Reader *av1 = state;
    if (!av1->has_frame)
        return false;
    facts->keyframe = av1->keyframe && (!reading->head_unsure || av1->has_sequence);
    format->width = MIN(av1->size.width, G_MAXUINT16);
    format->height = MIN(av1->size.height, G_MAXUINT16);
    format->parameters = av1->sequence_obu->data;
    format->parameters_bytes = av1->sequence_obu->len;
    av1_forget(av1);
    return true;
}

const StenoReaderOps steno_reader_av1 = {
    .state_bytes = sizeof(Av1Reader),
    .start = av1_start,
    .stop = av1_stop,
    .see = av1_see,
    .conclude = av1_conclude,
    .forget = av1_forget,
};
