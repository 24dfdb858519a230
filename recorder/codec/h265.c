/*
 * H.265 (RFC 7798): single NAL units, aggregation packets, fragmentation units; with DONL and DOND when the SDP says
 * that they are there (they are passed over: nobody interleaves over one stream). PACI packets are damaged: no sender
 * is known.
 *
 * What proves the beginning of an access unit after a loss: as in h264.c.
 */
#include "depacketizer.h"
#include "h26x.h"

#include <errno.h>
#include <stdlib.h>

enum { PACKET_SINGLE_MAX = 47, PACKET_AP = 48, PACKET_FU = 49 };

typedef struct {
    bool has_don;            /* DONL and DOND fields are in the packets */
    StenoNalOutline outline; /* opaque streams */
    bool in_fragment;        /* a FU has begun and not ended */
    guint8 fragment_type;    /* its NAL unit type */
    guint32 fragment_at;     /* its offset in the frame */
} H265;

/* A whole NAL unit, in a packet or in the frame. */
static void see_nal(StenoDepacketizer *depacketizer, const guint8 *nal, gsize bytes)
{
    H265 *h265 = depacketizer->state;
    if (steno_depacketizer_is_opaque(depacketizer))
        steno_nal_outline_add(&h265->outline, steno_h265_type(nal), steno_h265_class(steno_h265_type(nal)));
    else
        steno_h265_see_nal(depacketizer->outlet.reader_state, nal, bytes);
}

/* May the access unit begin with this NAL unit, which may be cut off? Opaque ones are judged at their end. */
static bool may_begin(const StenoDepacketizer *depacketizer, const guint8 *nal, gsize bytes)
{
    return !depacketizer->head_unsure || steno_depacketizer_is_opaque(depacketizer) ||
           steno_h265_is_beginning(nal, bytes);
}

static void h265_start(StenoDepacketizer *depacketizer)
{
    H265 *h265 = depacketizer->state;
    g_autofree char *difference = steno_fmtp_value(depacketizer->outlet.config.fmtp, "sprop-max-don-diff");
    h265->has_don = difference && strtoul(difference, NULL, 10) > 0;
}

/* The next NAL unit of an aggregation packet after *at. FALSE when it is malformed; *bytes 0 at the end. */
static bool next_aggregated(const H265 *h265, const guint8 *payload, gsize payload_bytes, gsize *at, const guint8 **nal,
                            gsize *bytes)
{
    *bytes = 0;
    if (*at == payload_bytes)
        return true;
    const gsize don = !h265->has_don ? 0 : *at == 2 ? 2 : 1; /* DONL in front of the first, DOND of the others */
    if (payload_bytes - *at < don + 2)
        return false;
    *at += don;
    const gsize length = (gsize)payload[*at] << 8 | payload[*at + 1];
    *at += 2;
    if (length < 3 || length > payload_bytes - *at || steno_h265_type(payload + *at) > PACKET_SINGLE_MAX)
        return false;
    *nal = payload + *at;
    *bytes = length;
    *at += length;
    return true;
}

static int push_aggregate(StenoDepacketizer *depacketizer, const StenoPacket *packet)
{
    const H265 *h265 = depacketizer->state;
    const guint8 *payload = steno_packet_payload(packet), *nal = NULL, *first = NULL;
    gsize at = 2, bytes = 0, first_bytes = 0;
    do { /* all or nothing of a packet */
        if (!next_aggregated(h265, payload, packet->payload_bytes, &at, &nal, &bytes))
            return -EBADMSG;
        if (!first) {
            first = nal;
            first_bytes = bytes;
        }
    } while (bytes > 0);
    if (!first)
        return -EBADMSG;
    if (!may_begin(depacketizer, first, first_bytes))
        return steno_depacketizer_skip(depacketizer, packet);
    steno_depacketizer_take(depacketizer, packet);
    at = 2;
    while (next_aggregated(h265, payload, packet->payload_bytes, &at, &nal, &bytes) && bytes > 0) {
        steno_nal_append(depacketizer, nal, bytes);
        see_nal(depacketizer, nal, bytes);
    }
    return 0;
}

static int begin_fragment(StenoDepacketizer *depacketizer, const StenoPacket *packet, const guint8 *data, gsize bytes)
{
    H265 *h265 = depacketizer->state;
    const guint8 *payload = steno_packet_payload(packet);
    const guint8 type = payload[2] & 0x3f;
    guint8 beginning[32] = {(payload[0] & 0x81) | type << 1, payload[1]};
    const gsize known = MIN(bytes, sizeof beginning - 2);
    for (gsize i = 0; i < known; i++)
        beginning[i + 2] = data[i];
    if (!may_begin(depacketizer, beginning, known + 2))
        return steno_depacketizer_skip(depacketizer, packet);
    steno_depacketizer_take(depacketizer, packet);
    h265->in_fragment = true;
    h265->fragment_type = type;
    steno_nal_append(depacketizer, beginning, 2);
    h265->fragment_at = depacketizer->open_refused ? 0 : depacketizer->open->payload_bytes - 2;
    return 0;
}

static int push_fragment(StenoDepacketizer *depacketizer, const StenoPacket *packet)
{
    H265 *h265 = depacketizer->state;
    const guint8 *payload = steno_packet_payload(packet);
    const bool start = packet->payload_bytes > 3 && (payload[2] & 0x80);
    const gsize header = 3 + (start && h265->has_don ? 2 : 0);
    if (packet->payload_bytes <= header || (payload[2] & 0x3f) > PACKET_SINGLE_MAX)
        return -EBADMSG;
    const guint8 *data = payload + header;
    const gsize bytes = packet->payload_bytes - header;
    if (start) {
        if (h265->in_fragment)
            return -EBADMSG;
        const int result = begin_fragment(depacketizer, packet, data, bytes);
        if (result < 0 || !h265->in_fragment)
            return result;
    } else {
        if (!steno_depacketizer_is_open(depacketizer))
            return steno_depacketizer_skip(depacketizer, packet);
        if (!h265->in_fragment || h265->fragment_type != (payload[2] & 0x3f))
            return -EBADMSG;
        steno_depacketizer_take(depacketizer, packet);
    }
    steno_depacketizer_append(depacketizer, data, bytes);
    if (payload[2] & 0x40) { /* E */
        h265->in_fragment = false;
        if (!depacketizer->open_refused)
            see_nal(depacketizer, depacketizer->open->payload + h265->fragment_at,
                    depacketizer->open->payload_bytes - h265->fragment_at);
    }
    return 0;
}

static int h265_push(StenoDepacketizer *depacketizer, const StenoPacket *packet)
{
    const H265 *h265 = depacketizer->state;
    const guint8 *payload = steno_packet_payload(packet);
    if (packet->payload_bytes < 3 || (payload[0] & 0x80)) /* forbidden_zero_bit */
        return -EBADMSG;
    const guint type = steno_h265_type(payload);
    if (type == PACKET_FU)
        return push_fragment(depacketizer, packet);
    if (h265->in_fragment)
        return -EBADMSG;
    if (type == PACKET_AP)
        return push_aggregate(depacketizer, packet);
    const gsize header = h265->has_don ? 4 : 2; /* DONL stands behind the NAL unit header */
    if (type > PACKET_SINGLE_MAX || packet->payload_bytes <= header)
        return -EBADMSG;
    guint8 beginning[32] = {payload[0], payload[1]};
    const gsize bytes = packet->payload_bytes - header;
    for (gsize i = 0; i < MIN(bytes, sizeof beginning - 2); i++)
        beginning[i + 2] = payload[header + i];
    if (!may_begin(depacketizer, beginning, MIN(bytes + 2, sizeof beginning)))
        return steno_depacketizer_skip(depacketizer, packet);
    steno_depacketizer_take(depacketizer, packet);
    steno_nal_append(depacketizer, payload, 2);
    steno_depacketizer_append(depacketizer, payload + header, bytes);
    if (!depacketizer->open_refused)
        see_nal(depacketizer, depacketizer->open->payload + depacketizer->open->payload_bytes - bytes - 2, bytes + 2);
    return 0;
}

static StenoEnding h265_close(StenoDepacketizer *depacketizer)
{
    H265 *h265 = depacketizer->state;
    if (h265->in_fragment)
        return STENO_ENDING_DAMAGED;
    if (!steno_depacketizer_is_opaque(depacketizer) || depacketizer->open_refused)
        return STENO_ENDING_WHOLE;
    return steno_nal_outline_close(&h265->outline, depacketizer->open_unsure);
}

static void h265_reset(StenoDepacketizer *depacketizer, guint32 lost)
{
    H265 *h265 = depacketizer->state;
    (void)lost;
    h265->in_fragment = false;
    steno_nal_outline_forget(&h265->outline);
}

const StenoPayloadOps steno_payload_h265 = {
    .state_bytes = sizeof(H265),
    .start = h265_start,
    .push = h265_push,
    .close = h265_close,
    .reset = h265_reset,
};
