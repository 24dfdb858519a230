#include "proof.h"

/* When more packets than this are missing, a 7-bit picture ID may have gone round. */
#define LOST_MAX 120

void steno_proof_init(StenoProof *proof)
{
    *proof = (StenoProof){.last_picture_id = -1, .base_tl0picidx = -1};
}

void steno_proof_lost(StenoProof *proof, guint32 lost)
{
    proof->lost += MAX(lost, 1);
    if (proof->lost > LOST_MAX)
        proof->last_picture_id = proof->base_tl0picidx = -1;
}

static bool is_good(const StenoProof *proof, const StenoPictureId *id)
{
    if (id->tl0picidx < 0 || id->tid < 0 || proof->base_tl0picidx < 0)
        return false;
    if (id->tid == 0)
        return id->tl0picidx == ((proof->base_tl0picidx + 1) & 0xff);
    return id->layer_sync && id->tl0picidx == proof->base_tl0picidx;
}

void steno_proof_picture(StenoProof *proof, const StenoPictureId *id, bool broken, StenoFrameFacts *facts)
{
    facts->independent = is_good(proof, id);
    facts->intact = proof->last_picture_id >= 0 && id->picture_id >= 0 &&
                    id->picture_id == ((proof->last_picture_id + 1) & id->picture_id_mask);
    if (facts->independent && id->switch_up)
        facts->intact = true;
    if (facts->keyframe || facts->intact || !broken) {
        proof->last_picture_id = id->picture_id;
        if (id->tid <= 0)
            proof->base_tl0picidx = id->tl0picidx;
        proof->lost = 0;
        return;
    }
    proof->last_picture_id = -1;
    if (id->tid == 0 && facts->independent) {
        proof->base_tl0picidx = id->tl0picidx;
        proof->lost = 0;
    } else if (id->tid <= 0 || id->tl0picidx != proof->base_tl0picidx) {
        proof->base_tl0picidx = -1;
    }
}
