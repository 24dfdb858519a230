/* The frame header of VP8 (RFC 6386 §9.1, §19.1), as far as key frames and the picture size need it. */
#include "reader.h"

#include <errno.h>

typedef struct {
    guint16 width, height; /* of the last key frame */
    bool keyframe;         /* the frame that was seen is one */
} Vp8Reader;

/* A key frame without its start code is none. What is given may be cut off behind the header. */
static int vp8_see(void *state, const guint8 *data, gsize bytes)
{
    Vp8Reader *vp8 = state;
    vp8->keyframe = !(data[0] & 1);
    if (!vp8->keyframe)
        return 0;
    if (bytes < 10 || data[3] != 0x9d || data[4] != 0x01 || data[5] != 0x2a)
        return -EBADMSG;
    vp8->width = (data[6] | data[7] << 8) & 0x3fff;
    vp8->height = (data[8] | data[9] << 8) & 0x3fff;
    return 0;
}

static bool vp8_conclude(void *state, const StenoReading *reading, StenoFrameFacts *facts, StenoFormat *format)
{
    const Vp8Reader *vp8 = state;
    (void)reading;
    facts->keyframe = vp8->keyframe;
    format->width = vp8->width;
    format->height = vp8->height;
    return true;
}

const StenoReaderOps steno_reader_vp8 = {
    .state_bytes = sizeof(Vp8Reader),
    .see = vp8_see,
    .conclude = vp8_conclude,
};
