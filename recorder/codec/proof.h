/*
 * What running numbers prove after a loss: picture IDs and temporal layers of VP8 (RFC 7741 §4.2) and VP9 in
 * non-flexible mode (RFC 9628 §4.2).
 *
 * - The picture ID follows on that of the last good picture: no picture was lost at all (padding was).
 * - A base layer picture (TID 0) whose TL0PICIDX follows on that of the last decodable one can be decoded: base layer
 *   pictures refer to base layer pictures only.
 * - A picture with VP8's layer sync bit refers to its base layer picture only.
 * - After a decodable picture with VP9's switching up point, higher layers refer to nothing older of themselves.
 * Anything else waits for a key frame.
 */
#ifndef STENO_CODEC_PROOF_H
#define STENO_CODEC_PROOF_H

#include "depacketizer.h"

typedef struct {
    int picture_id, picture_id_mask; /* picture_id -1: not sent */
    int tl0picidx, tid;              /* -1: not sent */
    bool layer_sync;                 /* VP8: Y */
    bool switch_up;                  /* VP9: U */
} StenoPictureId;

typedef struct {
    int last_picture_id; /* of the last picture, when that was good; else -1 */
    int base_tl0picidx;  /* of the last base layer picture, when that was good; else -1 */
    guint64 lost;        /* packets that may be missing since */
} StenoProof;

void steno_proof_init(StenoProof *proof);
/* Packets are missing, or a picture was dropped (lost 0). */
void steno_proof_lost(StenoProof *proof, guint32 lost);
/* A whole picture came; broken: something before it is missing. Fills in independent and intact. */
void steno_proof_picture(StenoProof *proof, const StenoPictureId *id, bool broken, StenoFrameFacts *facts);

#endif
