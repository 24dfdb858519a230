/* VP8 over RTP (RFC 7741). What is decodable after a loss: proof.h. */
#include "depacketizer.h"
#include "proof.h"

#include <errno.h>

typedef struct {
    bool start; /* S, and partition index 0 */
    StenoPictureId id;
    gsize bytes; /* of the descriptor */
} Descriptor;

typedef struct {
    StenoPictureId id; /* of the open frame */
    StenoProof proof;
} Vp8;

/* RFC 7741 §4.2 */
static bool read_descriptor(const guint8 *data, gsize bytes, Descriptor *descriptor)
{
    gsize at = 1;
    guint8 extension = 0;
    *descriptor = (Descriptor){.id = {.picture_id = -1, .tl0picidx = -1, .tid = -1}};
    descriptor->start = (data[0] & 0x17) == 0x10;
    if (data[0] & 0x80) {
        if (at >= bytes)
            return false;
        extension = data[at++];
    }
    if (extension & 0x80) { /* I */
        if (at >= bytes)
            return false;
        descriptor->id.picture_id = data[at] & 0x7f;
        descriptor->id.picture_id_mask = 0x7f;
        if (data[at++] & 0x80) { /* M */
            if (at >= bytes)
                return false;
            descriptor->id.picture_id = descriptor->id.picture_id << 8 | data[at++];
            descriptor->id.picture_id_mask = 0x7fff;
        }
    }
    if (extension & 0x40) { /* L */
        if (at >= bytes)
            return false;
        descriptor->id.tl0picidx = data[at++];
    }
    if (extension & 0x30) { /* T, K */
        if (at >= bytes)
            return false;
        if (extension & 0x20) {
            descriptor->id.tid = data[at] >> 6;
            descriptor->id.layer_sync = data[at] & 0x20;
        }
        at++;
    }
    descriptor->bytes = at;
    return at < bytes;
}

static void vp8_start(StenoDepacketizer *depacketizer)
{
    Vp8 *vp8 = depacketizer->state;
    steno_proof_init(&vp8->proof);
}

static int vp8_push(StenoDepacketizer *depacketizer, const StenoPacket *packet)
{
    Vp8 *vp8 = depacketizer->state;
    const guint8 *payload = steno_packet_payload(packet);
    Descriptor descriptor;
    if (!read_descriptor(payload, packet->payload_bytes, &descriptor))
        return -EBADMSG;
    payload += descriptor.bytes;
    const gsize bytes = packet->payload_bytes - descriptor.bytes;
    if (steno_depacketizer_is_open(depacketizer)) {
        if (descriptor.start || descriptor.id.picture_id != vp8->id.picture_id)
            return -EBADMSG;
    } else {
        if (!descriptor.start)
            return steno_depacketizer_skip(depacketizer, packet);
        StenoOutlet *outlet = &depacketizer->outlet;
        if (!outlet->config.opaque && outlet->reader->see(outlet->reader_state, payload, bytes) < 0)
            return -EBADMSG;
        vp8->id = descriptor.id;
    }
    steno_depacketizer_take(depacketizer, packet);
    steno_depacketizer_append(depacketizer, payload, bytes);
    return 0;
}

static StenoEnding vp8_close(StenoDepacketizer *depacketizer)
{
    (void)depacketizer; /* RFC 7741 has no sign for the last packet but the marker */
    return STENO_ENDING_WHOLE;
}

static void vp8_prove(StenoDepacketizer *depacketizer, StenoFrameFacts *facts)
{
    Vp8 *vp8 = depacketizer->state;
    steno_proof_picture(&vp8->proof, &vp8->id, depacketizer->outlet.broken, facts);
}

static void vp8_reset(StenoDepacketizer *depacketizer, guint32 lost)
{
    Vp8 *vp8 = depacketizer->state;
    steno_proof_lost(&vp8->proof, lost);
}

const StenoPayloadOps steno_payload_vp8 = {
    .state_bytes = sizeof(Vp8),
    .start = vp8_start,
    .push = vp8_push,
    .close = vp8_close,
    .prove = vp8_prove,
    .reset = vp8_reset,
};
