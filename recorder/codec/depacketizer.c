#include "depacketizer.h"

#include <errno.h>
#include <string.h>

#define FRAME_FIRST_BYTES 16384 /* a frame begins with this much room: a delta frame of 720p at 2.5 Mbit/s is 10 kB */

static const StenoCodecOps *const codecs[STENO_CODEC_COUNT] = {
    [STENO_CODEC_OPUS] = &steno_codec_opus, [STENO_CODEC_PCMU] = &steno_codec_pcmu,
    [STENO_CODEC_PCMA] = &steno_codec_pcma, [STENO_CODEC_VP8] = &steno_codec_vp8,
    [STENO_CODEC_VP9] = &steno_codec_vp9,   [STENO_CODEC_H264] = &steno_codec_h264,
    [STENO_CODEC_H265] = &steno_codec_h265, [STENO_CODEC_AV1] = &steno_codec_av1,
};

static bool is_video(const StenoDepacketizer *depacketizer)
{
    return depacketizer->ops->close != NULL;
}

/* ---- gaps -------------------------------------------------------------------------------------------------------- */

/* Tells a pending gap. It stays pending when the pool is full: nothing that is missing may go untold. */
static void gap_emit(StenoDepacketizer *depacketizer, StenoGapCause cause)
{
    StenoPendingGap *gap = &depacketizer->gaps[cause];
    StenoFrame *frame = steno_frame_new(depacketizer->pool, STENO_FRAME_GAP, 0);
    if (!frame)
        return;
    frame->codec = depacketizer->config.codec;
    frame->track = depacketizer->config.track;
    frame->rtp_ts = gap->rtp_ts;
    frame->arrival_us = depacketizer->last_arrival_us;
    frame->gap.first_seq = gap->first_seq;
    frame->gap.last_seq = gap->last_seq;
    frame->gap.packets = gap->packets;
    frame->gap.until_rtp_ts = gap->until_rtp_ts;
    frame->gap.cause = cause;
    gap->set = false;
    depacketizer->sink(depacketizer->user, frame);
}

/*
 * Tells all pending gaps in the order of their packets; each reaches at least to until_rtp_ts. What waits for a key
 * frame is told when that comes.
 */
static void gaps_emit(StenoDepacketizer *depacketizer, gint64 until_rtp_ts, bool no_keyframe_too)
{
    bool tried[STENO_GAP_CAUSES] = {false};
    for (;;) {
        int next = -1;
        for (int cause = 0; cause < STENO_GAP_CAUSES; cause++) {
            const StenoPendingGap *gap = &depacketizer->gaps[cause];
            if (!gap->set || tried[cause] || (cause == STENO_GAP_NO_KEYFRAME && !no_keyframe_too))
                continue;
            if (next < 0 || gap->first_seq < depacketizer->gaps[next].first_seq)
                next = cause;
        }
        if (next < 0)
            return;
        tried[next] = true;
        depacketizer->gaps[next].until_rtp_ts = MAX(depacketizer->gaps[next].until_rtp_ts, until_rtp_ts);
        gap_emit(depacketizer, (StenoGapCause)next);
    }
}

/* Adds packets to the pending gap of a cause. */
static void gap_add(StenoDepacketizer *depacketizer, StenoGapCause cause, const StenoPendingGap *more)
{
    StenoPendingGap *gap = &depacketizer->gaps[cause];
    if (!gap->set) {
        *gap = *more;
        gap->set = true;
        return;
    }
    gap->first_seq = MIN(gap->first_seq, more->first_seq);
    gap->last_seq = MAX(gap->last_seq, more->last_seq);
    gap->packets += more->packets;
    gap->rtp_ts = MIN(gap->rtp_ts, more->rtp_ts);
    gap->until_rtp_ts = MAX(gap->until_rtp_ts, more->until_rtp_ts);
}

/*
 * A new gap: what was pending before ends where this one begins. Packets that follow on the pending gap of the same
 * cause only make it longer, so that a flood of garbage is one gap.
 */
static void gap_begin(StenoDepacketizer *depacketizer, StenoGapCause cause, const StenoPendingGap *gap)
{
    const StenoPendingGap *same = &depacketizer->gaps[cause];
    if (!same->set || same->last_seq + 1 != gap->first_seq)
        gaps_emit(depacketizer, gap->rtp_ts, false);
    gap_add(depacketizer, cause, gap);
}

/* Packets that came, but are not kept, since no key frame came yet. */
static void gap_no_keyframe(StenoDepacketizer *depacketizer, gint64 first_seq, gint64 last_seq, guint32 packets,
                            gint64 rtp_ts)
{
    const StenoPendingGap gap = {
        .first_seq = first_seq, .last_seq = last_seq, .packets = packets, .rtp_ts = rtp_ts, .until_rtp_ts = rtp_ts + 1};
    gap_add(depacketizer, STENO_GAP_NO_KEYFRAME, &gap);
}

/* ---- the open frame ---------------------------------------------------------------------------------------------- */

static void open_begin(StenoDepacketizer *depacketizer, const StenoPacket *packet)
{
    gaps_emit(depacketizer, packet->rtp_ts, !is_video(depacketizer));
    const gsize room = is_video(depacketizer) ? FRAME_FIRST_BYTES : packet->payload_bytes;
    StenoFrame *frame = steno_frame_new(depacketizer->pool, STENO_FRAME_MEDIA, room);
    depacketizer->open = frame;
    depacketizer->open_refused = !frame;
    depacketizer->open_unsure = depacketizer->head_unsure;
    depacketizer->open_first_seq = packet->seq;
    depacketizer->frame_rtp_ts = packet->rtp_ts;
    if (!frame)
        return;
    frame->codec = depacketizer->config.codec;
    frame->track = depacketizer->config.track;
    frame->rtp_ts = packet->rtp_ts;
}

void steno_depacketizer_take(StenoDepacketizer *depacketizer, const StenoPacket *packet)
{
    if (depacketizer->open_packets == 0)
        open_begin(depacketizer, packet);
    depacketizer->open_packets++;
    depacketizer->open_last_seq = packet->seq;
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

/* The open frame is given up because of what happened to its neighbours: with no packet lost, but time. */
static void open_drop(StenoDepacketizer *depacketizer, guint32 lost)
{
    if (depacketizer->open_packets > 0) {
        depacketizer->skipping = true;
        if (is_video(depacketizer) && !depacketizer->started)
            gap_no_keyframe(depacketizer, depacketizer->open_first_seq, depacketizer->open_last_seq,
                            depacketizer->open_packets, depacketizer->frame_rtp_ts);
    }
    open_forget(depacketizer);
    if (depacketizer->ops->reset)
        depacketizer->ops->reset(depacketizer, lost);
}

/* A FORMAT frame when the format differs from the one told. FALSE: it has to be told, but the pool is full. */
static bool format_tell(StenoDepacketizer *depacketizer, const StenoFormat *format, const StenoFrame *media)
{
    GByteArray *told = depacketizer->format.parameters;
    if (depacketizer->format.told && depacketizer->format.width == format->width &&
        depacketizer->format.height == format->height && depacketizer->format.channels == format->channels &&
        told->len == format->parameters_bytes &&
        (told->len == 0 || memcmp(told->data, format->parameters, told->len) == 0))
        return true;
    StenoFrame *frame = steno_frame_new(depacketizer->pool, STENO_FRAME_FORMAT, format->parameters_bytes);
    if (!frame)
        return false;
    frame->codec = depacketizer->config.codec;
    frame->track = depacketizer->config.track;
    frame->rtp_ts = media->rtp_ts;
    frame->arrival_us = media->arrival_us;
    frame->format.clock_hz = depacketizer->config.clock_hz;
    frame->format.width = format->width;
    frame->format.height = format->height;
    frame->format.channels = format->channels;
    if (format->parameters_bytes > 0)
        memcpy(frame->payload, format->parameters, format->parameters_bytes);
    frame->payload_bytes = format->parameters_bytes;
    g_byte_array_set_size(told, 0);
    if (format->parameters_bytes > 0)
        g_byte_array_append(told, format->parameters, format->parameters_bytes);
    depacketizer->format.told = true;
    depacketizer->format.width = format->width;
    depacketizer->format.height = format->height;
    depacketizer->format.channels = format->channels;
    depacketizer->sink(depacketizer->user, frame);
    return true;
}

/* A ceiling was hit: the frame is told as overflow. */
static void open_refuse(StenoDepacketizer *depacketizer)
{
    const gint64 rtp_ts = depacketizer->frame_rtp_ts;
    const StenoPendingGap gap = {.first_seq = depacketizer->open_first_seq,
                                 .last_seq = depacketizer->open_last_seq,
                                 .packets = depacketizer->open_packets,
                                 .rtp_ts = rtp_ts,
                                 .until_rtp_ts = rtp_ts + 1};
    open_forget(depacketizer); /* first: the gap may need its memory */
    depacketizer->stats.refused++;
    gap_begin(depacketizer, STENO_GAP_OVERFLOW, &gap);
    if (depacketizer->ops->reset)
        depacketizer->ops->reset(depacketizer, 1);
    depacketizer->broken = is_video(depacketizer);
}

static void open_emit(StenoDepacketizer *depacketizer, const StenoFrameFacts *facts, const StenoFormat *format)
{
    StenoFrame *frame = depacketizer->open;
    if (is_video(depacketizer) && !depacketizer->started && !facts->keyframe) {
        gap_no_keyframe(depacketizer, depacketizer->open_first_seq, depacketizer->open_last_seq,
                        depacketizer->open_packets, frame->rtp_ts);
        open_forget(depacketizer);
        return;
    }
    gaps_emit(depacketizer, frame->rtp_ts, true);
    if (!format_tell(depacketizer, format, frame)) {
        open_refuse(depacketizer);
        return;
    }
    if (facts->keyframe || facts->intact)
        depacketizer->broken = false;
    depacketizer->started = true;
    frame->keyframe = facts->keyframe;
    frame->decodable = !facts->leading && (!depacketizer->broken || facts->independent);
    depacketizer->stats.frames++;
    if (!frame->decodable)
        depacketizer->stats.undecodable++;
    depacketizer->open = NULL;
    depacketizer->open_packets = 0;
    depacketizer->sink(depacketizer->user, frame);
}

/* What came is not what its payload format says: the packets of the gap are told, the open frame is dropped. */
static void damage(StenoDepacketizer *depacketizer, const StenoPendingGap *gap)
{
    depacketizer->stats.damaged += gap->packets;
    gap_begin(depacketizer, STENO_GAP_DAMAGED, gap);
    open_drop(depacketizer, 0);
    depacketizer->broken = is_video(depacketizer);
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
    depacketizer->skipping = is_video(depacketizer);
}

static void damage_frame(StenoDepacketizer *depacketizer)
{
    const StenoPendingGap gap = {.first_seq = depacketizer->open_first_seq,
                                 .last_seq = depacketizer->open_last_seq,
                                 .packets = depacketizer->open_packets,
                                 .rtp_ts = depacketizer->frame_rtp_ts,
                                 .until_rtp_ts = depacketizer->frame_rtp_ts + 1};
    depacketizer->open_packets = 0; /* told as damaged, not as dropped */
    damage(depacketizer, &gap);
}

/* The open frame has no picture: its parameter sets were read, nothing is missing. */
static void open_discard(StenoDepacketizer *depacketizer)
{
    open_forget(depacketizer);
    if (depacketizer->ops->reset)
        depacketizer->ops->reset(depacketizer, 0);
}

/* The open frame ends: it goes out, or what becomes of it is told. final: no more packets of it can come. */
static void open_close(StenoDepacketizer *depacketizer, bool final)
{
    if (depacketizer->open_packets == 0)
        return;
    StenoFrameFacts facts = {.keyframe = true};
    StenoFormat format = {.channels = depacketizer->config.channels};
    const int result = depacketizer->ops->close ? depacketizer->ops->close(depacketizer, &facts, &format) : 0;
    if (result > 0 && !final)
        return;
    if (depacketizer->open_refused)
        open_refuse(depacketizer);
    else if (result < 0)
        damage_frame(depacketizer);
    else if (result > 0)
        open_discard(depacketizer);
    else
        open_emit(depacketizer, &facts, &format);
}

int steno_depacketizer_skip(StenoDepacketizer *depacketizer, const StenoPacket *packet)
{
    if (!depacketizer->head_unsure)
        return -EBADMSG;
    depacketizer->skipping = true;
    depacketizer->frame_rtp_ts = packet->rtp_ts;
    if (!depacketizer->started)
        gap_no_keyframe(depacketizer, packet->seq, packet->seq, 1, packet->rtp_ts);
    return 0;
}

/* ---- the public face --------------------------------------------------------------------------------------------- */

StenoDepacketizer *steno_depacketizer_new(const StenoDepacketizerConfig *config, StenoFramePool *pool,
                                          StenoFrameSink sink, gpointer user)
{
    if ((guint)config->codec >= G_N_ELEMENTS(codecs) || !codecs[config->codec])
        return NULL;
    StenoDepacketizer *depacketizer = g_new0(StenoDepacketizer, 1);
    depacketizer->config = *config;
    depacketizer->config.fmtp = g_strdup(config->fmtp);
    depacketizer->ops = codecs[config->codec];
    if (config->clock_hz == 0)
        depacketizer->config.clock_hz = depacketizer->ops->default_clock_hz;
    depacketizer->state = g_malloc0(depacketizer->ops->state_bytes);
    depacketizer->pool = pool;
    depacketizer->sink = sink;
    depacketizer->user = user;
    depacketizer->head_unsure = true;
    depacketizer->format.parameters = g_byte_array_new();
    if (depacketizer->ops->start)
        depacketizer->ops->start(depacketizer);
    return depacketizer;
}

void steno_depacketizer_free(StenoDepacketizer *depacketizer)
{
    if (!depacketizer)
        return;
    open_forget(depacketizer);
    if (depacketizer->ops->stop)
        depacketizer->ops->stop(depacketizer);
    g_byte_array_unref(depacketizer->format.parameters);
    g_free(depacketizer->state);
    g_free((char *)depacketizer->config.fmtp);
    g_free(depacketizer);
}

int steno_depacketizer_push(StenoDepacketizer *depacketizer, const StenoPacket *packet)
{
    depacketizer->last_arrival_us = packet->arrival_us;
    /* A marker may be missing, or its packet be one of padding: a new timestamp ends the frame too. */
    if (depacketizer->open_packets > 0 && packet->rtp_ts != depacketizer->frame_rtp_ts)
        open_close(depacketizer, true);
    if (packet->payload_bytes == 0) /* padding (RFC 3550 §5.1), sent to probe the bandwidth: nothing is in it */
        return 0;
    if (depacketizer->skipping) {
        if (packet->rtp_ts == depacketizer->frame_rtp_ts) {
            depacketizer->head_unsure = false;
            if (!depacketizer->started)
                gap_no_keyframe(depacketizer, packet->seq, packet->seq, 1, packet->rtp_ts);
            return 0;
        }
        depacketizer->skipping = false;
    }
    const int result = depacketizer->ops->push(depacketizer, packet);
    depacketizer->head_unsure = false;
    if (result < 0)
        damage_packet(depacketizer, packet);
    else if (packet->marker || !is_video(depacketizer))
        open_close(depacketizer, false);
    return result;
}

void steno_depacketizer_gap(StenoDepacketizer *depacketizer, gint64 first_seq, gint64 last_seq, guint32 packets,
                            gint64 rtp_ts, gint64 until_rtp_ts, StenoGapCause cause)
{
    const StenoPendingGap gap = {
        .first_seq = first_seq,
        .last_seq = last_seq,
        .packets = packets,
        .rtp_ts = depacketizer->open_packets > 0 ? MIN(rtp_ts, depacketizer->frame_rtp_ts) : rtp_ts,
        .until_rtp_ts = until_rtp_ts,
    };
    gap_begin(depacketizer, cause, &gap);
    open_drop(depacketizer, packets);
    depacketizer->head_unsure = true;
    depacketizer->broken = is_video(depacketizer);
    if (!is_video(depacketizer))
        gaps_emit(depacketizer, until_rtp_ts, true);
}

void steno_depacketizer_flush(StenoDepacketizer *depacketizer)
{
    open_close(depacketizer, true);
    open_drop(depacketizer, G_MAXUINT32);
    gaps_emit(depacketizer, G_MININT64, true);
    depacketizer->skipping = false;
    depacketizer->head_unsure = true;
    depacketizer->broken = is_video(depacketizer);
}

bool steno_depacketizer_needs_keyframe(const StenoDepacketizer *depacketizer)
{
    return is_video(depacketizer) && (!depacketizer->started || depacketizer->broken);
}

const StenoDepacketizerStats *steno_depacketizer_stats(const StenoDepacketizer *depacketizer)
{
    return &depacketizer->stats;
}

char *steno_fmtp_value(const char *fmtp, const char *key)
{
    const gsize length = strlen(key);
    for (const char *at = fmtp; at && *at;) {
        while (*at == ' ' || *at == ';')
            at++;
        const gsize item = strcspn(at, ";");
        if (item > length && g_ascii_strncasecmp(at, key, length) == 0 && at[length] == '=')
            return g_strstrip(g_strndup(at + length + 1, item - length - 1));
        at += item;
    }
    return NULL;
}
