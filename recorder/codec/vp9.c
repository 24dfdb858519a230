/*
 * VP9 (RFC 9628), flexible and non-flexible mode.
 *
 * A frame is a picture: all spatial layers with one timestamp. Of two layers or more it is made a superframe (VP9
 * bitstream specification §B) by appending the index that RTP leaves out, so that a decoder finds each layer. In an
 * opaque stream each layer frame is a frame: that is what a sender encrypts. The inspector puts the picture together.
 *
 * What is decodable after a loss: by proof.h; and in flexible mode, where each picture names the ones it refers to
 * (P_DIFF), when all of these are known to be decodable and the frame says that it takes no probabilities from earlier
 * ones (error_resilient_mode).
 */
#include "depacketizer.h"
#include "proof.h"
#include "vp9_header.h"

#include <errno.h>

#define HISTORY 128      /* P_DIFF is seven bits */
#define HISTORY_LOST 100 /* more packets lost than this, and picture IDs may have gone round the history */

typedef struct {
    bool begin, end; /* B, E: of a layer frame */
    bool inter;      /* P */
    bool flexible;   /* F */
    StenoPictureId id;
    int sid;          /* -1: not sent */
    bool inter_layer; /* D */
    guint8 p_diff[3];
    guint n_p_diff;
    gsize bytes; /* of the descriptor */
} Descriptor;

typedef struct {
    StenoProof proof;

    /* The open picture. */
    StenoPictureId id;
    bool flexible, references_good;           /* all that it names is decodable */
    bool in_layer;                            /* its last packet was not the end of a layer frame */
    guint32 layer_at[STENO_CODEC_LAYERS_MAX]; /* offsets in the frame */
    guint n_layers;
    bool head_missing; /* lower layers may be missing before its first packet */

    int history[HISTORY]; /* picture IDs known to be decodable, by their low bits; -1: none */
    int newest_id;        /* the last picture ID put into the history, or -1 */
    guint64 lost;         /* packets that may be missing since */
} Vp9;

/* The scalability structure, RFC 9628 §4.2.1. FALSE when it is cut off. */
static bool skip_structure(const guint8 *data, gsize bytes, gsize *at)
{
    if (*at >= bytes)
        return false;
    const guint8 head = data[(*at)++];
    if (head & 0x10) /* Y: sizes of the layers */
        *at += 4 * ((head >> 5) + 1u);
    if (!(head & 0x08)) /* G */
        return *at < bytes;
    if (*at >= bytes)
        return false;
    for (guint pictures = data[(*at)++]; pictures > 0; pictures--) {
        if (*at >= bytes)
            return false;
        const guint references = data[*at] >> 2 & 3;
        *at += 1 + references;
    }
    return *at < bytes;
}

static bool read_picture_id(const guint8 *data, gsize bytes, gsize *at, StenoPictureId *id)
{
    if (*at >= bytes)
        return false;
    id->picture_id = data[*at] & 0x7f;
    id->picture_id_mask = 0x7f;
    if (!(data[(*at)++] & 0x80))
        return true;
    if (*at >= bytes)
        return false;
    id->picture_id = id->picture_id << 8 | data[(*at)++];
    id->picture_id_mask = 0x7fff;
    return true;
}

static bool read_layer(const guint8 *data, gsize bytes, gsize *at, Descriptor *descriptor)
{
    if (*at >= bytes)
        return false;
    const guint8 layer = data[(*at)++];
    descriptor->id.tid = layer >> 5;
    descriptor->id.switch_up = layer & 0x10;
    descriptor->sid = layer >> 1 & 7;
    descriptor->inter_layer = layer & 0x01;
    if (descriptor->flexible)
        return true;
    if (*at >= bytes)
        return false;
    descriptor->id.tl0picidx = data[(*at)++];
    return true;
}

static bool read_p_diffs(const guint8 *data, gsize bytes, gsize *at, Descriptor *descriptor)
{
    bool more = true;
    while (more) {
        if (*at >= bytes || descriptor->n_p_diff == G_N_ELEMENTS(descriptor->p_diff))
            return false;
        more = data[*at] & 1;
        descriptor->p_diff[descriptor->n_p_diff++] = data[(*at)++] >> 1;
    }
    return true;
}

/* RFC 9628 §4.2 */
static bool read_descriptor(const guint8 *data, gsize bytes, Descriptor *descriptor)
{
    const guint8 head = data[0];
    gsize at = 1;
    *descriptor = (Descriptor){
        .begin = head & 0x08,
        .end = head & 0x04,
        .inter = head & 0x40,
        .flexible = head & 0x10,
        .id = {.picture_id = -1, .tl0picidx = -1, .tid = -1},
        .sid = -1,
    };
    if ((head & 0x80) && !read_picture_id(data, bytes, &at, &descriptor->id))
        return false;
    if ((head & 0x20) && !read_layer(data, bytes, &at, descriptor))
        return false;
    if (descriptor->flexible && descriptor->inter && !read_p_diffs(data, bytes, &at, descriptor))
        return false;
    if ((head & 0x02) && !skip_structure(data, bytes, &at))
        return false;
    descriptor->bytes = at;
    return at < bytes;
}

static void history_clear(Vp9 *vp9)
{
    for (guint i = 0; i < HISTORY; i++)
        vp9->history[i] = -1;
    vp9->newest_id = -1;
}

/* The open picture is or is not decodable; the ones that it skips were lost. */
static void history_add(Vp9 *vp9, bool good)
{
    const int id = vp9->id.picture_id, mask = vp9->id.picture_id_mask;
    if (id < 0) {
        history_clear(vp9);
        return;
    }
    if (vp9->newest_id >= 0 && ((id - vp9->newest_id) & mask) >= HISTORY)
        history_clear(vp9);
    if (vp9->newest_id >= 0) {
        for (int lost = (vp9->newest_id + 1) & mask; lost != id; lost = (lost + 1) & mask)
            vp9->history[lost % HISTORY] = -1;
    }
    vp9->history[id % HISTORY] = good ? id : -1;
    vp9->newest_id = id;
    vp9->lost = 0;
}

static void vp9_start(StenoDepacketizer *depacketizer)
{
    Vp9 *vp9 = depacketizer->state;
    steno_proof_init(&vp9->proof);
    history_clear(vp9);
}

/* Are all pictures that a layer frame names known to be decodable? */
static bool are_references_good(const Vp9 *vp9, const Descriptor *descriptor)
{
    if (!descriptor->inter)
        return true;
    if (!descriptor->flexible || descriptor->id.picture_id < 0)
        return false;
    for (guint i = 0; i < descriptor->n_p_diff; i++) {
        const int id = (descriptor->id.picture_id - descriptor->p_diff[i]) & descriptor->id.picture_id_mask;
        if (descriptor->p_diff[i] == 0 || vp9->history[id % HISTORY] != id)
            return false;
    }
    return true;
}

static void begin_picture(Vp9 *vp9, const Descriptor *descriptor, bool head_unsure)
{
    vp9->id = descriptor->id;
    vp9->flexible = descriptor->flexible;
    vp9->references_good = true;
    vp9->in_layer = false;
    vp9->n_layers = 0;
    vp9->head_missing = head_unsure && descriptor->sid > 0;
}

static int vp9_push(StenoDepacketizer *depacketizer, const StenoPacket *packet)
{
    Vp9 *vp9 = depacketizer->state;
    const guint8 *payload = steno_packet_payload(packet);
    Descriptor descriptor;
    if (!read_descriptor(payload, packet->payload_bytes, &descriptor))
        return -EBADMSG;
    if (!steno_depacketizer_is_open(depacketizer)) {
        /* A layer that is predicted from the one below is no beginning. */
        if (!descriptor.begin || (depacketizer->head_unsure && descriptor.sid > 0 && descriptor.inter_layer))
            return steno_depacketizer_skip(depacketizer, packet);
        begin_picture(vp9, &descriptor, depacketizer->head_unsure);
    } else if (descriptor.id.picture_id != vp9->id.picture_id) {
        return -EBADMSG;
    }
    if (descriptor.begin == vp9->in_layer || (descriptor.begin && vp9->n_layers == STENO_CODEC_LAYERS_MAX))
        return -EBADMSG;
    steno_depacketizer_take(depacketizer, packet);
    if (descriptor.begin) {
        vp9->layer_at[vp9->n_layers++] = depacketizer->open ? depacketizer->open->payload_bytes : 0;
        vp9->references_good = vp9->references_good && are_references_good(vp9, &descriptor);
    }
    vp9->in_layer = !descriptor.end;
    steno_depacketizer_append(depacketizer, payload + descriptor.bytes, packet->payload_bytes - descriptor.bytes);
    return 0;
}

/* Of a superframe whose layers are superframes too, a decoder would find no layer. */
static bool brings_index(const StenoFrame *frame, const gsize *layers, guint n_layers)
{
    const guint8 *layer = frame->payload;
    for (guint i = 0; i < n_layers; i++) {
        gsize sizes[8];
        if (steno_vp9_superframe(layer, layers[i], sizes) > 0)
            return true;
        layer += layers[i];
    }
    return false;
}

static StenoEnding vp9_close(StenoDepacketizer *depacketizer)
{
    const Vp9 *vp9 = depacketizer->state;
    if (vp9->in_layer)
        return STENO_ENDING_DAMAGED;
    if (depacketizer->open_refused)
        return STENO_ENDING_WHOLE;
    const StenoFrame *frame = depacketizer->open;
    const bool opaque = steno_depacketizer_is_opaque(depacketizer);
    gsize layers[STENO_CODEC_LAYERS_MAX];
    for (guint i = 0; i < vp9->n_layers; i++) {
        const guint32 end = i + 1 < vp9->n_layers ? vp9->layer_at[i + 1] : frame->payload_bytes;
        layers[i] = end - vp9->layer_at[i];
        if (!opaque)
            steno_reader_vp9.see(depacketizer->outlet.reader_state, frame->payload + vp9->layer_at[i], layers[i]);
    }
    if (vp9->n_layers > 1 && (opaque || !brings_index(frame, layers, vp9->n_layers))) {
        guint8 index[STENO_VP9_INDEX_MAX_BYTES];
        steno_depacketizer_append(depacketizer, index, steno_vp9_index(index, layers, vp9->n_layers));
    }
    return STENO_ENDING_WHOLE;
}

/* Says what the descriptors and running numbers prove, and remembers the picture for later ones. */
static void vp9_prove(StenoDepacketizer *depacketizer, StenoFrameFacts *facts)
{
    Vp9 *vp9 = depacketizer->state;
    const bool broken = depacketizer->outlet.broken;
    if (vp9->head_missing) {
        steno_proof_lost(&vp9->proof, G_MAXUINT32);
        return;
    }
    steno_proof_picture(&vp9->proof, &vp9->id, broken, facts);
    if (facts->keyframe)
        history_clear(vp9);
    if (vp9->flexible && facts->resilient && vp9->references_good)
        facts->independent = true;
    history_add(vp9, facts->keyframe || facts->intact || facts->independent || !broken);
}

static void vp9_reset(StenoDepacketizer *depacketizer, guint32 lost)
{
    Vp9 *vp9 = depacketizer->state;
    steno_proof_lost(&vp9->proof, lost);
    vp9->lost += MAX(lost, 1);
    if (vp9->lost > HISTORY_LOST)
        history_clear(vp9);
}

const StenoPayloadOps steno_payload_vp9 = {
    .state_bytes = sizeof(Vp9),
    .start = vp9_start,
    .push = vp9_push,
    .close = vp9_close,
    .prove = vp9_prove,
    .reset = vp9_reset,
};
