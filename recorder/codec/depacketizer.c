#include "depacketizer.h"

#include <errno.h>
#include <string.h>

#define FRAME_FIRST_BYTES 16384 /* a frame begins with this much room: a delta frame of 720p at 2.5 Mbit/s is 10 kB */

static const StenoPayloadOps *const payloads[STENO_CODEC_COUNT] = {
    [STENO_CODEC_OPUS] = &steno_payload_opus, [STENO_CODEC_PCMU] = &steno_payload_g711,
    [STENO_CODEC_PCMA] = &steno_payload_g711, [STENO_CODEC_VP8] = &steno_payload_vp8,
    [STENO_CODEC_VP9] = &steno_payload_vp9,   [STENO_CODEC_H264] = &steno_payload_h264,
    [STENO_CODEC_H265] = &steno_payload_h265, [STENO_CODEC_AV1] = &steno_payload_av1,
};

/* Packets that came, but are not kept, since no frame began yet. */
static void gap_no_keyframe(StenoDepacketizer *depacketizer, gint64 first_seq, gint64 last_seq, guint32 packets,
                            gint64 rtp_ts)
{
    const StenoPendingGap gap = {
        .first_seq = first_seq, .last_seq = last_seq, .packets = packets, .rtp_ts = rtp_ts, .until_rtp_ts = rtp_ts + 1};
    steno_outlet_no_keyframe(&depacketizer->outlet, &gap);
}

/* ---- the open frame ---------------------------------------------------------------------------------------------- */

static void open_begin(StenoDepacketizer *depacketizer, const StenoPacket *packet)
{
    StenoOutlet *outlet = &depacketizer->outlet;
    steno_outlet_gaps_emit(outlet, packet->rtp_ts, !outlet->video);
    const gsize room = outlet->video ? FRAME_FIRST_BYTES : packet->payload_bytes;
    StenoFrame *frame = steno_frame_new(outlet->pool, STENO_FRAME_MEDIA, room);
    depacketizer->open = frame;
    depacketizer->open_refused = !frame;
    depacketizer->open_unsure = depacketizer->head_unsure;
    depacketizer->open_first_seq = packet->seq;
    depacketizer->frame_rtp_ts = packet->rtp_ts;
    if (!frame)
        return;
    frame->codec = outlet->config.codec;
    frame->track = outlet->config.track;
    frame->rtp_ts = packet->rtp_ts;
}

void steno_depacketizer_take(StenoDepacketizer *depacketizer, const StenoPacket *packet)
{
    if (depacketizer->open_packets == 0)
        open_begin(depacketizer, packet);
    depacketizer->open_packets++;
    depacketizer->open_last_seq = packet->seq;
    depacketizer->open_marked = packet->marker;
    if (depacketizer->open)
        depacketizer->open->arrival_us = packet->arrival_us;
}

void steno_depacketizer_append(StenoDepacketizer *depacketizer, const guint8 *data, gsize bytes)
{
    StenoFrame *frame = depacketizer->open;
    if (depacketizer->open_refused || bytes == 0)
        return;
    const gsize need = (gsize)frame->payload_bytes + bytes;
    if (need > frame->payload_capacity) {
        const gsize geometric = MIN(2 * (gsize)frame->payload_capacity, STENO_FRAME_MAX_BYTES);
        if (need > STENO_FRAME_MAX_BYTES || !steno_frame_reserve(frame, MAX(geometric, need))) {
            depacketizer->open_refused = true;
            return;
        }
    }
    memcpy(frame->payload + frame->payload_bytes, data, bytes);
    frame->payload_bytes += bytes;
}

/* Forgets the open frame; its time stays in frame_rtp_ts. */
static void open_forget(StenoDepacketizer *depacketizer)
{
    if (depacketizer->open)
        steno_frame_unref(depacketizer->open);
    depacketizer->open = NULL;
    depacketizer->open_packets = 0;
    depacketizer->open_refused = false;
}

/* …and what was read of it. */
static void open_reset(StenoDepacketizer *depacketizer, guint32 lost)
{
    open_forget(depacketizer);
    if (depacketizer->outlet.reader->forget)
        depacketizer->outlet.reader->forget(depacketizer->outlet.reader_state);
    if (depacketizer->ops->reset)
        depacketizer->ops->reset(depacketizer, lost);
}

/* The open frame is given up because of what happened to its neighbours: with no packet lost, but time. */
static void open_drop(StenoDepacketizer *depacketizer, guint32 lost)
{
    if (depacketizer->open_packets > 0) {
        depacketizer->skipping = true;
        if (depacketizer->outlet.video && !depacketizer->outlet.started)
            gap_no_keyframe(depacketizer, depacketizer->open_first_seq, depacketizer->open_last_seq,
                            depacketizer->open_packets, depacketizer->frame_rtp_ts);
    }
    open_reset(depacketizer, lost);
}

/* All packets of the open frame. */
static StenoPendingGap open_gap(const StenoDepacketizer *depacketizer)
{
    return (StenoPendingGap){.first_seq = depacketizer->open_first_seq,
                             .last_seq = depacketizer->open_last_seq,
                             .packets = depacketizer->open_packets,
                             .rtp_ts = depacketizer->frame_rtp_ts,
                             .until_rtp_ts = depacketizer->frame_rtp_ts + 1};
}

/* A ceiling was hit: the frame is told as overflow. */
static void open_refuse(StenoDepacketizer *depacketizer)
{
    const StenoPendingGap gap = open_gap(depacketizer);
    open_reset(depacketizer, 1); /* first: the gap may need its memory */
    steno_outlet_refuse(&depacketizer->outlet, &gap);
}

static void open_emit(StenoDepacketizer *depacketizer, const StenoFrameFacts *facts, const StenoFormat *format)
{
    switch (steno_outlet_emit(&depacketizer->outlet, depacketizer->open, facts, format)) {
    case STENO_OUTLET_EMITTED:
        depacketizer->open = NULL;
        depacketizer->open_packets = 0;
        break;
    case STENO_OUTLET_WAITS:
        gap_no_keyframe(depacketizer, depacketizer->open_first_seq, depacketizer->open_last_seq,
                        depacketizer->open_packets, depacketizer->frame_rtp_ts);
        open_forget(depacketizer);
        break;
    case STENO_OUTLET_FULL:
        open_refuse(depacketizer);
        break;
    }
}

/* What came is not what its payload format says: the packets of the gap are told, the open frame is dropped. */
static void damage(StenoDepacketizer *depacketizer, const StenoPendingGap *gap)
{
    depacketizer->outlet.stats.damaged += gap->packets;
    steno_outlet_gap(&depacketizer->outlet, STENO_GAP_DAMAGED, gap);
    open_drop(depacketizer, 0);
    depacketizer->outlet.broken = depacketizer->outlet.video;
}

static void damage_packet(StenoDepacketizer *depacketizer, const StenoPacket *packet)
{
    const StenoPendingGap gap = {.first_seq = packet->seq,
                                 .last_seq = packet->seq,
                                 .packets = 1,
                                 .rtp_ts = packet->rtp_ts,
                                 .until_rtp_ts = packet->rtp_ts + 1};
    if (depacketizer->open_packets > 0 && depacketizer->open_last_seq == packet->seq)
        depacketizer->open_packets--; /* told as damaged, not as dropped */
    damage(depacketizer, &gap);
    depacketizer->frame_rtp_ts = packet->rtp_ts;
    depacketizer->skipping = depacketizer->outlet.video;
}

static void damage_frame(StenoDepacketizer *depacketizer)
{
    const StenoPendingGap gap = open_gap(depacketizer);
    depacketizer->open_packets = 0; /* told as damaged, not as dropped */
    damage(depacketizer, &gap);
}

/* What the reader and running numbers say of the open frame. FALSE: there is no picture in it. */
static bool open_read(StenoDepacketizer *depacketizer, StenoFrameFacts *facts, StenoFormat *format)
{
    const StenoOutlet *outlet = &depacketizer->outlet;
    const StenoReading reading = {.head_unsure = depacketizer->open_unsure,
                                  .fresh = !outlet->started || outlet->broken};
    if (outlet->reader->conclude && !outlet->reader->conclude(outlet->reader_state, &reading, facts, format))
        return false;
    if (depacketizer->ops->prove)
        depacketizer->ops->prove(depacketizer, facts);
    return true;
}

/* The open frame ends: it goes out, or what becomes of it is told. final: no more packets of it can come. */
static void open_close(StenoDepacketizer *depacketizer, bool final)
{
    if (depacketizer->open_packets == 0)
        return;
    StenoFrameFacts facts = {.keyframe = true};
    StenoFormat format = {.channels = depacketizer->outlet.config.channels};
    StenoEnding ending = depacketizer->ops->close ? depacketizer->ops->close(depacketizer) : STENO_ENDING_WHOLE;
    if (ending == STENO_ENDING_WHOLE && !depacketizer->open_refused && !steno_depacketizer_is_opaque(depacketizer) &&
        !open_read(depacketizer, &facts, &format))
        ending = STENO_ENDING_NO_PICTURE;
    if (ending == STENO_ENDING_NO_PICTURE && !final)
        return;
    if (depacketizer->open_refused)
        open_refuse(depacketizer);
    else if (ending == STENO_ENDING_DAMAGED)
        damage_frame(depacketizer);
    else if (ending == STENO_ENDING_BEHEADED)
        open_drop(depacketizer, 0);
    else if (ending == STENO_ENDING_NO_PICTURE && !steno_depacketizer_is_opaque(depacketizer))
        open_reset(depacketizer, 0); /* its parameter sets were read, nothing is missing */
    else
        open_emit(depacketizer, &facts, &format);
}

int steno_depacketizer_skip(StenoDepacketizer *depacketizer, const StenoPacket *packet)
{
    if (!depacketizer->head_unsure)
        return -EBADMSG;
    depacketizer->skipping = true;
    depacketizer->frame_rtp_ts = packet->rtp_ts;
    if (!depacketizer->outlet.started)
        gap_no_keyframe(depacketizer, packet->seq, packet->seq, 1, packet->rtp_ts);
    return 0;
}

int steno_depacketizer_push_whole(StenoDepacketizer *depacketizer, const StenoPacket *packet)
{
    const StenoOutlet *outlet = &depacketizer->outlet;
    const guint8 *payload = steno_packet_payload(packet);
    if (!outlet->config.opaque && outlet->reader->see(outlet->reader_state, payload, packet->payload_bytes) < 0)
        return -EBADMSG;
    steno_depacketizer_take(depacketizer, packet);
    steno_depacketizer_append(depacketizer, payload, packet->payload_bytes);
    return 0;
}

/* ---- the public face --------------------------------------------------------------------------------------------- */

StenoDepacketizer *steno_depacketizer_new(const StenoDepacketizerConfig *config, StenoFramePool *pool,
                                          StenoFrameSink sink, gpointer user)
{
    const StenoPayloadOps *ops = (guint)config->codec < G_N_ELEMENTS(payloads) ? payloads[config->codec] : NULL;
    if (!ops || (config->opaque && ops->is_never_opaque))
        return NULL;
    StenoDepacketizer *depacketizer = g_new0(StenoDepacketizer, 1);
    if (!steno_outlet_init(&depacketizer->outlet, config, pool, sink, user))
        g_assert_not_reached(); /* a payload format without a reader */
    depacketizer->ops = ops;
    depacketizer->state = g_malloc0(ops->state_bytes);
    depacketizer->head_unsure = true;
    if (ops->start)
        ops->start(depacketizer);
    return depacketizer;
}

void steno_depacketizer_free(StenoDepacketizer *depacketizer)
{
    if (!depacketizer)
        return;
    open_forget(depacketizer);
    steno_outlet_clear(&depacketizer->outlet);
    g_free(depacketizer->state);
    g_free(depacketizer);
}

int steno_depacketizer_push(StenoDepacketizer *depacketizer, const StenoPacket *packet)
{
    depacketizer->outlet.last_arrival_us = packet->arrival_us;
    /* A marker may be missing, or its packet be one of padding: a new timestamp ends the frame too. */
    if (depacketizer->open_packets > 0 && packet->rtp_ts != depacketizer->frame_rtp_ts)
        open_close(depacketizer, true);
    if (packet->payload_bytes == 0) /* padding (RFC 3550 §5.1), sent to probe the bandwidth: nothing is in it */
        return 0;
    if (depacketizer->skipping) {
        if (packet->rtp_ts == depacketizer->frame_rtp_ts) {
            depacketizer->head_unsure = false;
            if (!depacketizer->outlet.started)
                gap_no_keyframe(depacketizer, packet->seq, packet->seq, 1, packet->rtp_ts);
            return 0;
        }
        depacketizer->skipping = false;
    }
    const int result = depacketizer->ops->push(depacketizer, packet);
    depacketizer->head_unsure = false;
    if (result < 0)
        damage_packet(depacketizer, packet);
    else if (packet->marker || !depacketizer->outlet.video)
        open_close(depacketizer, false);
    return result;
}

void steno_depacketizer_gap(StenoDepacketizer *depacketizer, gint64 first_seq, gint64 last_seq, guint32 packets,
                            gint64 rtp_ts, gint64 until_rtp_ts, StenoGapCause cause)
{
    StenoOutlet *outlet = &depacketizer->outlet;
    const StenoPendingGap gap = {
        .first_seq = first_seq,
        .last_seq = last_seq,
        .packets = packets,
        .rtp_ts = depacketizer->open_packets > 0 ? MIN(rtp_ts, depacketizer->frame_rtp_ts) : rtp_ts,
        .until_rtp_ts = until_rtp_ts,
    };
    steno_outlet_gap(outlet, cause, &gap);
    open_drop(depacketizer, packets);
    depacketizer->head_unsure = true;
    outlet->broken = outlet->video;
    if (!outlet->video)
        steno_outlet_gaps_emit(outlet, until_rtp_ts, true);
}

void steno_depacketizer_flush(StenoDepacketizer *depacketizer)
{
    StenoOutlet *outlet = &depacketizer->outlet;
    /* Half an opaque frame would be taken for a forged one; half a picture in the clear is better than none. */
    if (depacketizer->open_marked || !steno_depacketizer_is_opaque(depacketizer))
        open_close(depacketizer, true);
    open_drop(depacketizer, G_MAXUINT32);
    steno_outlet_gaps_emit(outlet, G_MININT64, true);
    depacketizer->skipping = false;
    depacketizer->head_unsure = true;
    outlet->broken = outlet->video;
}

bool steno_depacketizer_needs_keyframe(const StenoDepacketizer *depacketizer)
{
    return !steno_depacketizer_is_opaque(depacketizer) && steno_outlet_needs_keyframe(&depacketizer->outlet);
}

const StenoDepacketizerStats *steno_depacketizer_stats(const StenoDepacketizer *depacketizer)
{
    return &depacketizer->outlet.stats;
}
