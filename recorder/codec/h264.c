/*
 * H.264 (RFC 6184), packetization modes 0 and 1: single NAL units, STAP-A, FU-A. What belongs to the interleaved mode
 * (STAP-B, MTAP, FU-B) is damaged: nobody offers it, and it needs a reordering that WebRTC forbids.
 *
 * A key frame is an IDR picture, or a picture of I slices only whose access unit brings its SPS: the entry point of
 * encoders that never send IDR (intra refresh, broadcast gear), with or without recovery point SEI. Its parameter sets
 * have to be known.
 *
 * RFC 6184 has no sign for the beginning of an access unit. After a loss it is proven by what can only stand there: an
 * access unit delimiter, parameter sets, SEI, or the slice that begins with macroblock 0. Sets in front of it may have
 * been lost even so: such an IDR counts as a key frame only when it brings SPS and PPS, or when the stream never sent
 * any.
 */
#include "depacketizer.h"
#include "h26x.h"

#include <errno.h>

enum { NAL_SLICE = 1, NAL_PARTITION_A = 2, NAL_IDR = 5, NAL_SEI = 6, NAL_SPS = 7, NAL_PPS = 8, NAL_AUD = 9 };
enum { PACKET_SINGLE_MAX = 23, PACKET_STAP_A = 24, PACKET_FU_A = 28 };

typedef struct {
    StenoNalSets sets;
    bool sets_in_band; /* this stream sends parameter sets */

    /* The open access unit. */
    bool has_sps, has_pps, has_slice, has_idr, has_inter;
    int pps;
    bool in_fragment;     /* a FU-A has begun and not ended */
    guint8 fragment_type; /* its NAL unit type */
    guint32 fragment_at;  /* its offset in the frame */
} H264;

static void forget_unit(H264 *h264)
{
    h264->has_sps = h264->has_pps = h264->has_slice = h264->has_idr = h264->has_inter = h264->in_fragment = false;
    h264->pps = -1;
}

/* A whole NAL unit, in a packet or in the frame. */
static void see_nal(StenoDepacketizer *depacketizer, const guint8 *nal, gsize bytes)
{
    H264 *h264 = depacketizer->state;
    StenoNalSetFacts facts;
    StenoSliceFacts slice;
    switch (nal[0] & 0x1f) {
    case NAL_SPS:
        h264->sets_in_band = true;
        h264->has_sps = steno_h264_sps(nal, bytes, &facts);
        if (h264->has_sps)
            steno_nal_sets_put(&h264->sets, STENO_NAL_SPS, &facts, nal, bytes);
        break;
    case NAL_PPS:
        h264->sets_in_band = true;
        h264->has_pps = steno_h264_pps(nal, bytes, &facts);
        if (h264->has_pps)
            steno_nal_sets_put(&h264->sets, STENO_NAL_PPS, &facts, nal, bytes);
        break;
    case NAL_SLICE:
    case NAL_PARTITION_A:
    case NAL_IDR:
        steno_h264_slice(nal, bytes, &slice);
        if (!h264->has_slice)
            h264->pps = slice.pps;
        h264->has_slice = true;
        h264->has_idr |= (nal[0] & 0x1f) == NAL_IDR;
        h264->has_inter |= !slice.intra;
        break;
    default:
        break;
    }
}

static void h264_start(StenoDepacketizer *depacketizer)
{
    H264 *h264 = depacketizer->state;
    steno_nal_sets_init(&h264->sets);
    steno_nal_sprop(depacketizer, "sprop-parameter-sets", see_nal);
    h264->sets_in_band = false;
    forget_unit(h264);
}

static void h264_stop(StenoDepacketizer *depacketizer)
{
    H264 *h264 = depacketizer->state;
    steno_nal_sets_clear(&h264->sets);
}

/* Can this NAL unit only stand at the beginning of an access unit? It may be cut off. */
static bool is_beginning(const guint8 *nal, gsize bytes)
{
    StenoSliceFacts slice;
    switch (nal[0] & 0x1f) {
    case NAL_SEI:
    case NAL_SPS:
    case NAL_PPS:
    case NAL_AUD:
        return true;
    case NAL_SLICE:
    case NAL_PARTITION_A:
    case NAL_IDR:
        steno_h264_slice(nal, bytes, &slice);
        return slice.first;
    default:
        return false;
    }
}

/* The first NAL unit of an aggregation packet. FALSE when they do not fill it exactly. */
static bool check_aggregate(const guint8 *payload, gsize bytes, const guint8 **first, gsize *first_bytes)
{
    *first = NULL;
    for (gsize at = 1; at < bytes;) {
        if (bytes - at < 2)
            return false;
        const gsize length = (gsize)payload[at] << 8 | payload[at + 1];
        at += 2;
        if (length == 0 || length > bytes - at)
            return false;
        const guint type = payload[at] & 0x1f;
        if (type == 0 || type > PACKET_SINGLE_MAX)
            return false;
        if (!*first) {
            *first = payload + at;
            *first_bytes = length;
        }
        at += length;
    }
    return *first != NULL;
}

static int push_aggregate(StenoDepacketizer *depacketizer, const StenoPacket *packet)
{
    const guint8 *payload = steno_packet_payload(packet), *first;
    const gsize bytes = packet->payload_bytes;
    gsize first_bytes = 0;
    if (!check_aggregate(payload, bytes, &first, &first_bytes))
        return -EBADMSG;
    if (depacketizer->head_unsure && !is_beginning(first, first_bytes))
        return steno_depacketizer_skip(depacketizer, packet);
    steno_depacketizer_take(depacketizer, packet);
    for (gsize at = 1; at < bytes;) {
        const gsize length = (gsize)payload[at] << 8 | payload[at + 1];
        at += 2;
        steno_nal_append(depacketizer, payload + at, length);
        see_nal(depacketizer, payload + at, length);
        at += length;
    }
    return 0;
}

static int begin_fragment(StenoDepacketizer *depacketizer, const StenoPacket *packet, guint8 header)
{
    H264 *h264 = depacketizer->state;
    const guint8 *payload = steno_packet_payload(packet);
    guint8 beginning[32] = {header};
    const gsize known = MIN(packet->payload_bytes - 2u, sizeof beginning - 1);
    for (gsize i = 0; i < known; i++)
        beginning[i + 1] = payload[i + 2];
    if (depacketizer->head_unsure && !is_beginning(beginning, known + 1))
        return steno_depacketizer_skip(depacketizer, packet);
    steno_depacketizer_take(depacketizer, packet);
    h264->in_fragment = true;
    h264->fragment_type = header & 0x1f;
    steno_nal_append(depacketizer, &header, 1);
    h264->fragment_at = depacketizer->open_refused ? 0 : depacketizer->open->payload_bytes - 1;
    return 0;
}

static int push_fragment(StenoDepacketizer *depacketizer, const StenoPacket *packet)
{
    H264 *h264 = depacketizer->state;
    const guint8 *payload = steno_packet_payload(packet);
    if (packet->payload_bytes < 3)
        return -EBADMSG;
    const bool start = payload[1] & 0x80, end = payload[1] & 0x40;
    const guint8 type = payload[1] & 0x1f;
    if (type == 0 || type > PACKET_SINGLE_MAX)
        return -EBADMSG;
    if (start) {
        if (h264->in_fragment)
            return -EBADMSG;
        const int result = begin_fragment(depacketizer, packet, (payload[0] & 0xe0) | type);
        if (result < 0 || !h264->in_fragment)
            return result;
    } else {
        if (!steno_depacketizer_is_open(depacketizer))
            return steno_depacketizer_skip(depacketizer, packet);
        if (!h264->in_fragment || h264->fragment_type != type)
            return -EBADMSG;
        steno_depacketizer_take(depacketizer, packet);
    }
    steno_depacketizer_append(depacketizer, payload + 2, packet->payload_bytes - 2);
    if (end) {
        h264->in_fragment = false;
        if (!depacketizer->open_refused)
            see_nal(depacketizer, depacketizer->open->payload + h264->fragment_at,
                    depacketizer->open->payload_bytes - h264->fragment_at);
    }
    return 0;
}

static int h264_push(StenoDepacketizer *depacketizer, const StenoPacket *packet)
{
    const H264 *h264 = depacketizer->state;
    const guint8 *payload = steno_packet_payload(packet);
    const guint type = payload[0] & 0x1f;
    if (type == PACKET_FU_A)
        return push_fragment(depacketizer, packet);
    if (h264->in_fragment || (payload[0] & 0x80)) /* forbidden_zero_bit */
        return -EBADMSG;
    if (type == PACKET_STAP_A)
        return push_aggregate(depacketizer, packet);
    if (type == 0 || type > PACKET_SINGLE_MAX)
        return -EBADMSG;
    if (depacketizer->head_unsure && !is_beginning(payload, packet->payload_bytes))
        return steno_depacketizer_skip(depacketizer, packet);
    steno_depacketizer_take(depacketizer, packet);
    steno_nal_append(depacketizer, payload, packet->payload_bytes);
    see_nal(depacketizer, payload, packet->payload_bytes);
    return 0;
}

static int h264_close(StenoDepacketizer *depacketizer, StenoFrameFacts *facts, StenoFormat *format)
{
    H264 *h264 = depacketizer->state;
    if (h264->in_fragment)
        return -EBADMSG;
    if (!h264->has_slice)
        return depacketizer->open_refused ? 0 : 1;
    const bool sets_known = steno_nal_sets_activate(&h264->sets, h264->pps);
    const bool sets_sure = !depacketizer->open_unsure || !h264->sets_in_band || (h264->has_sps && h264->has_pps);
    facts->keyframe = (h264->has_idr || (h264->has_sps && !h264->has_inter)) && sets_known && sets_sure;
    steno_nal_sets_format(&h264->sets, format);
    forget_unit(h264);
    return 0;
}

static void h264_reset(StenoDepacketizer *depacketizer, guint32 lost)
{
    (void)lost;
    forget_unit(depacketizer->state);
}

const StenoCodecOps steno_codec_h264 = {
    .codec = STENO_CODEC_H264,
    .default_clock_hz = 90000,
    .state_bytes = sizeof(H264),
    .start = h264_start,
    .stop = h264_stop,
    .push = h264_push,
    .close = h264_close,
    .reset = h264_reset,
};
