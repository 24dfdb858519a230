/* Clips for the differential test: real encoders (libavcodec) on a moving picture, or a tone, with a change of size. */
#ifndef STENO_TESTS_CODEC_CLIP_H
#define STENO_TESTS_CODEC_CLIP_H

#include "steno/frame.h"

#include <libavcodec/avcodec.h>

typedef struct {
    StenoCodec codec;
    enum AVCodecID id;
    AVRational time_base; /* of the packets: the RTP clock */
    GPtrArray *packets;   /* AVPacket *, in decoding order */
    AVCodecParameters *parameters;
    guint width[2], height[2]; /* px, before and after the change */
    guint changed_at;          /* the packet that the second size begins with */
    bool sealed;               /* packets are under an encryption of the test's */
} Clip;

/* NULL when this libavcodec has no encoder for it. small: pictures of a few hundred bytes, for seeds. */
Clip *clip_new(StenoCodec codec, bool small);
void clip_free(Clip *clip);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Clip, clip_free)

#endif
