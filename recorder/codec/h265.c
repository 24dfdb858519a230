/*
 * H.265 (RFC 7798): single NAL units, aggregation packets, fragmentation units; with DONL and DOND when the SDP says
 * that they are there (they are passed over: nobody interleaves over one stream). PACI packets are damaged: no sender
 * is known.
 *
 * A key frame is an IRAP picture (IDR, CRA, BLA) whose parameter sets are known. RASL pictures after a CRA that
 * decoding begins with refer to what was never there: they are not decodable, and nothing depends on them.
 *
 * What proves the beginning of an access unit after a loss, and when its sets are sure: as in h264.c.
 */
#include "depacketizer.h"
#include "h26x.h"

#include <errno.h>
#include <stdlib.h>

enum { NAL_RASL_N = 8, NAL_RASL_R = 9, NAL_BLA_W_LP = 16, NAL_BLA_N_LP = 18, NAL_CRA = 21, NAL_VCL_MAX = 31 };
enum { NAL_VPS = 32, NAL_SPS = 33, NAL_PPS = 34, NAL_AUD = 35, NAL_PREFIX_SEI = 39 };
enum { PACKET_SINGLE_MAX = 47, PACKET_AP = 48, PACKET_FU = 49 };

typedef struct {
    StenoNalSets sets;
    bool sets_in_band; /* this stream sends parameter sets */
    bool has_don;      /* DONL and DOND fields are in the packets */
    bool no_rasl;      /* the last IRAP picture began the decoding: its RASL pictures cannot be decoded */

    /* The open access unit. */
    bool has_sps, has_pps, has_slice, has_irap, has_bla, has_rasl;
    int pps;
    bool in_fragment;     /* a FU has begun and not ended */
    guint8 fragment_type; /* its NAL unit type */
    guint32 fragment_at;  /* its offset in the frame */
} H265;

static guint nal_type(const guint8 *nal)
{
    return nal[0] >> 1 & 0x3f;
}

static void forget_unit(H265 *h265)
{
    h265->has_sps = h265->has_pps = h265->has_slice = h265->has_irap = false;
    h265->has_bla = h265->has_rasl = h265->in_fragment = false;
    h265->pps = -1;
}

static void see_slice(H265 *h265, const guint8 *nal, gsize bytes)
{
    const guint type = nal_type(nal);
    StenoSliceFacts slice;
    steno_h265_slice(nal, bytes, &slice);
    if (!h265->has_slice)
        h265->pps = slice.pps;
    h265->has_slice = true;
    h265->has_irap |= type >= NAL_BLA_W_LP && type <= NAL_CRA;
    h265->has_bla |= type >= NAL_BLA_W_LP && type <= NAL_BLA_N_LP;
    h265->has_rasl |= type == NAL_RASL_N || type == NAL_RASL_R;
}

/* A whole NAL unit of at least three bytes, in a packet or in the frame. */
static void see_nal(StenoDepacketizer *depacketizer, const guint8 *nal, gsize bytes)
{
    H265 *h265 = depacketizer->state;
    StenoNalSetFacts facts;
    if (bytes < 3 || (nal[0] & 1) || nal[1] >> 3 != 0) /* nuh_layer_id: enhancement layers have their own sets */
        return;
    switch (nal_type(nal)) {
    case NAL_VPS:
        if (steno_h265_vps(nal, bytes, &facts))
            steno_nal_sets_put(&h265->sets, STENO_NAL_VPS, &facts, nal, bytes);
        break;
    case NAL_SPS:
        h265->sets_in_band = true;
        h265->has_sps = steno_h265_sps(nal, bytes, &facts);
        if (h265->has_sps)
            steno_nal_sets_put(&h265->sets, STENO_NAL_SPS, &facts, nal, bytes);
        break;
    case NAL_PPS:
        h265->sets_in_band = true;
        h265->has_pps = steno_h265_pps(nal, bytes, &facts);
        if (h265->has_pps)
            steno_nal_sets_put(&h265->sets, STENO_NAL_PPS, &facts, nal, bytes);
        break;
    default:
        if (nal_type(nal) <= NAL_VCL_MAX)
            see_slice(h265, nal, bytes);
    }
}

static void h265_start(StenoDepacketizer *depacketizer)
{
    H265 *h265 = depacketizer->state;
    steno_nal_sets_init(&h265->sets);
    steno_nal_sprop(depacketizer, "sprop-vps", see_nal);
    steno_nal_sprop(depacketizer, "sprop-sps", see_nal);
    steno_nal_sprop(depacketizer, "sprop-pps", see_nal);
    h265->sets_in_band = false;
    g_autofree char *difference = steno_fmtp_value(depacketizer->config.fmtp, "sprop-max-don-diff");
    h265->has_don = difference && strtoul(difference, NULL, 10) > 0;
    forget_unit(h265);
}

static void h265_stop(StenoDepacketizer *depacketizer)
{
    H265 *h265 = depacketizer->state;
    steno_nal_sets_clear(&h265->sets);
}

/* Can this NAL unit only stand at the beginning of an access unit? It may be cut off. */
static bool is_beginning(const guint8 *nal, gsize bytes)
{
    const guint type = nal_type(nal);
    StenoSliceFacts slice;
    if (type > NAL_VCL_MAX)
        return (type >= NAL_VPS && type <= NAL_AUD) || type == NAL_PREFIX_SEI;
    steno_h265_slice(nal, bytes, &slice);
    return slice.first;
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
    if (length < 3 || length > payload_bytes - *at || nal_type(payload + *at) > PACKET_SINGLE_MAX)
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
    if (depacketizer->head_unsure && !is_beginning(first, first_bytes))
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
    if (depacketizer->head_unsure && !is_beginning(beginning, known + 2))
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
    const guint type = nal_type(payload);
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
    if (depacketizer->head_unsure && !is_beginning(beginning, MIN(bytes + 2, sizeof beginning)))
        return steno_depacketizer_skip(depacketizer, packet);
    steno_depacketizer_take(depacketizer, packet);
    steno_nal_append(depacketizer, payload, 2);
    steno_depacketizer_append(depacketizer, payload + header, bytes);
    if (!depacketizer->open_refused)
        see_nal(depacketizer, depacketizer->open->payload + depacketizer->open->payload_bytes - bytes - 2, bytes + 2);
    return 0;
}

static int h265_close(StenoDepacketizer *depacketizer, StenoFrameFacts *facts, StenoFormat *format)
{
    H265 *h265 = depacketizer->state;
    if (h265->in_fragment)
        return -EBADMSG;
    if (!h265->has_slice)
        return depacketizer->open_refused ? 0 : 1;
    const bool sets_known = steno_nal_sets_activate(&h265->sets, h265->pps);
    const bool sets_sure = !depacketizer->open_unsure || !h265->sets_in_band || (h265->has_sps && h265->has_pps);
    facts->keyframe = h265->has_irap && sets_known && sets_sure;
    if (facts->keyframe)
        h265->no_rasl = !depacketizer->started || depacketizer->broken || h265->has_bla;
    facts->leading = h265->has_rasl && h265->no_rasl;
    steno_nal_sets_format(&h265->sets, format);
    forget_unit(h265);
    return 0;
}

static void h265_reset(StenoDepacketizer *depacketizer, guint32 lost)
{
    (void)lost;
    forget_unit(depacketizer->state);
}

const StenoCodecOps steno_codec_h265 = {
    .codec = STENO_CODEC_H265,
    .default_clock_hz = 90000,
    .state_bytes = sizeof(H265),
    .start = h265_start,
    .stop = h265_stop,
    .push = h265_push,
    .close = h265_close,
    .reset = h265_reset,
};
