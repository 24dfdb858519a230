/*
 * H.264 (RFC 6184), packetization modes 0 and 1: single NAL units, STAP-A, FU-A. What belongs to the interleaved mode
 * (STAP-B, MTAP, FU-B) is damaged: nobody offers it, and it needs a reordering that WebRTC forbids.
 *
 * RFC 6184 has no sign for the beginning of an access unit. After a loss it is proven by what can only stand there: an
 * access unit delimiter, parameter sets, SEI, or the slice that begins with macroblock 0; in an opaque stream by
 * StenoNalOutline.
 */
#include "depacketizer.h"
#include "h26x.h"

#include <errno.h>

enum { PACKET_SINGLE_MAX = 23, PACKET_STAP_A = 24, PACKET_FU_A = 28 };

typedef struct {
    StenoNalOutline outline; /* opaque streams */
    bool in_fragment;        /* a FU-A has begun and not ended */
    guint8 fragment_type;    /* its NAL unit type */
    guint32 fragment_at;     /* its offset in the frame */
} H264;

/* A whole NAL unit, in a packet or in the frame. */
static void see_nal(StenoDepacketizer *depacketizer, const guint8 *nal, gsize bytes)
{
    H264 *h264 = depacketizer->state;
    if (steno_depacketizer_is_opaque(depacketizer))
        steno_nal_outline_add(&h264->outline, nal[0] & 0x1f, steno_h264_class(nal[0] & 0x1f));
    else
        steno_h264_see_nal(depacketizer->outlet.reader_state, nal, bytes);
}

/* May the access unit begin with this NAL unit, which may be cut off? Opaque ones are judged at their end. */
static bool may_begin(const StenoDepacketizer *depacketizer, const guint8 *nal, gsize bytes)
{
    return !depacketizer->head_unsure || steno_depacketizer_is_opaque(depacketizer) ||
           steno_h264_is_beginning(nal, bytes);
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
    if (!may_begin(depacketizer, first, first_bytes))
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
    if (!may_begin(depacketizer, beginning, known + 1))
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
    if (!may_begin(depacketizer, payload, packet->payload_bytes))
        return steno_depacketizer_skip(depacketizer, packet);
    steno_depacketizer_take(depacketizer, packet);
    steno_nal_append(depacketizer, payload, packet->payload_bytes);
    see_nal(depacketizer, payload, packet->payload_bytes);
    return 0;
}

static StenoEnding h264_close(StenoDepacketizer *depacketizer)
{
    H264 *h264 = depacketizer->state;
    if (h264->in_fragment)
        return STENO_ENDING_DAMAGED;
    if (!steno_depacketizer_is_opaque(depacketizer) || depacketizer->open_refused)
        return STENO_ENDING_WHOLE;
    return steno_nal_outline_close(&h264->outline, depacketizer->open_unsure);
}

static void h264_reset(StenoDepacketizer *depacketizer, guint32 lost)
{
    H264 *h264 = depacketizer->state;
    (void)lost;
    h264->in_fragment = false;
    steno_nal_outline_forget(&h264->outline);
}

const StenoPayloadOps steno_payload_h264 = {
    .state_bytes = sizeof(H264),
    .push = h264_push,
    .close = h264_close,
    .reset = h264_reset,
};
