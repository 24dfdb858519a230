#include "reader.h"
#include "vp9_header.h"

typedef struct {
    StenoVp9References references;
    StenoVp9Size size; /* of the last picture whose size was found */

    /* What was seen of the picture. */
    bool seen, keyframe, not_resilient;
} Vp9Reader;

/*
 * One layer frame, which may be a superframe itself (hidden frames; all layers). What cannot be read is kept all the
 * same: it is no key frame.
 */
static int vp9_see(void *state, const guint8 *data, gsize bytes)
{
    Vp9Reader *vp9 = state;
    gsize sizes[8];
    guint count = steno_vp9_superframe(data, bytes, sizes);
    if (count == 0)
        sizes[count++] = bytes;
    for (guint i = 0; i < count; i++) {
        StenoVp9Header header;
        const bool readable = steno_vp9_header(data, sizes[i], &vp9->references, &header);
        if (!vp9->seen)
            vp9->keyframe = readable && header.keyframe;
        vp9->seen = true;
        vp9->not_resilient |= !readable || (!header.error_resilient && !header.keyframe);
        if (readable && header.shown && header.size.width > 0)
            vp9->size = header.size;
        data += sizes[i];
    }
    return 0;
}

static void vp9_forget(void *state)
{
    Vp9Reader *vp9 = state;
    vp9->seen = vp9->keyframe = vp9->not_resilient = false;
}

static bool vp9_conclude(void *state, const StenoReading *reading, StenoFrameFacts *facts, StenoFormat *format)
{
    Vp9Reader *vp9 = state;
    (void)reading;
    facts->keyframe = vp9->keyframe;
    facts->resilient = !vp9->not_resilient;
    format->width = MIN(vp9->size.width, G_MAXUINT16);
    format->height = MIN(vp9->size.height, G_MAXUINT16);
    vp9_forget(vp9);
    return true;
}

const StenoReaderOps steno_reader_vp9 = {
    .state_bytes = sizeof(Vp9Reader),
    .see = vp9_see,
    .conclude = vp9_conclude,
    .forget = vp9_forget,
};
