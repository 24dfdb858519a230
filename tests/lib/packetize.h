/*
 * packetize: encoded frames → RTP payloads, plain and clean by the RFC of each codec. For tests and test publishers
 * only.
 *
 * Opus RFC 7587, G.711 RFC 3551, VP8 RFC 7741 and VP9 RFC 9628 (non-flexible) with a 15-bit picture ID, H.264 RFC 6184
 * (single NAL unit, STAP-A, FU-A: packetization-mode 1), H.265 RFC 7798 (single, AP, FU), AV1 RTP payload format 1.0.
 */
#ifndef STENO_TESTS_PACKETIZE_H
#define STENO_TESTS_PACKETIZE_H

#include "steno/frame.h"

#define PACKETIZE_MAX_PAYLOAD 1200 /* bytes: the default, and the most there is */

typedef struct {
    StenoCodec codec;
    gsize max_payload;  /* bytes of a payload, at most PACKETIZE_MAX_PAYLOAD */
    guint16 picture_id; /* VP8, VP9: of the next frame, 15 bits; counts by itself */
    bool sealed;        /* frames are encrypted: nothing is read of them that is not in the clear … */
    bool keyframe;      /* … but this, of the next frame */
} Packetizer;

/* One RTP payload, lent until the callback returns; marker is set on the last one of a frame (never for audio). */
typedef void (*PacketizeSink)(gpointer user, const guint8 *payload, gsize bytes, bool marker);

/* Everything at its default. */
void packetizer_init(Packetizer *packetizer, StenoCodec codec);

/*
 * Cuts one frame into payloads: an Opus packet, G.711 samples, a VP8 frame, a VP9 frame or superframe (one spatial
 * layer), an H.264 or H.265 access unit in Annex B, an AV1 temporal unit as low-overhead OBUs. 0, or -EINVAL when it is
 * not that.
 */
int packetizer_frame(Packetizer *packetizer, const guint8 *frame, gsize bytes, PacketizeSink sink, gpointer user);

#endif
