#include "outlet.h"

#include <string.h>

bool steno_outlet_init(StenoOutlet *outlet, const StenoDepacketizerConfig *config, StenoFramePool *pool,
                       StenoFrameSink sink, gpointer user)
{
    guint32 clock_hz = 0;
    const StenoReaderOps *reader = steno_reader_find(config->codec, &clock_hz);
    if (!reader)
        return false;
    *outlet = (StenoOutlet){
        .config = *config,
        .reader = reader,
        .reader_state = g_malloc0(reader->state_bytes),
        .pool = pool,
        .sink = sink,
        .user = user,
        .video = steno_codec_is_video(config->codec),
        .format = {.parameters = g_byte_array_new()},
    };
    outlet->config.fmtp = g_strdup(config->fmtp);
    if (config->clock_hz == 0)
        outlet->config.clock_hz = clock_hz;
    if (reader->start)
        reader->start(outlet->reader_state, &outlet->config);
    return true;
}

void steno_outlet_clear(StenoOutlet *outlet)
{
    if (outlet->reader->stop)
        outlet->reader->stop(outlet->reader_state);
    g_free(outlet->reader_state);
    g_byte_array_unref(outlet->format.parameters);
    g_free((char *)outlet->config.fmtp);
}

/* ---- gaps -------------------------------------------------------------------------------------------------------- */

static void gap_emit(StenoOutlet *outlet, StenoGapCause cause)
{
    StenoPendingGap *gap = &outlet->gaps[cause];
    StenoFrame *frame = steno_frame_new(outlet->pool, STENO_FRAME_GAP, 0);
    if (!frame)
        return;
    frame->codec = outlet->config.codec;
    frame->track = outlet->config.track;
    frame->rtp_ts = gap->rtp_ts;
    frame->arrival_us = outlet->last_arrival_us;
    frame->gap.first_seq = gap->first_seq;
    frame->gap.last_seq = gap->last_seq;
    frame->gap.packets = gap->packets;
    frame->gap.until_rtp_ts = gap->until_rtp_ts;
    frame->gap.cause = cause;
    gap->set = false;
    outlet->sink(outlet->user, frame);
}

static bool is_before(const StenoPendingGap *a, const StenoPendingGap *b)
{
    return a->first_seq != b->first_seq ? a->first_seq < b->first_seq : a->rtp_ts < b->rtp_ts;
}

void steno_outlet_gaps_emit(StenoOutlet *outlet, gint64 until_rtp_ts, bool no_keyframe_too)
{
    bool tried[STENO_GAP_CAUSES] = {false};
    for (;;) {
        int next = -1;
        for (int cause = 0; cause < STENO_GAP_CAUSES; cause++) {
            const StenoPendingGap *gap = &outlet->gaps[cause];
            if (!gap->set || tried[cause] || (cause == STENO_GAP_NO_KEYFRAME && !no_keyframe_too))
                continue;
            if (next < 0 || is_before(gap, &outlet->gaps[next]))
                next = cause;
        }
        if (next < 0)
            return;
        tried[next] = true;
        outlet->gaps[next].until_rtp_ts = MAX(outlet->gaps[next].until_rtp_ts, until_rtp_ts);
        gap_emit(outlet, (StenoGapCause)next);
    }
}

static void gap_add(StenoOutlet *outlet, StenoGapCause cause, const StenoPendingGap *more)
{
    StenoPendingGap *gap = &outlet->gaps[cause];
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

void steno_outlet_gap(StenoOutlet *outlet, StenoGapCause cause, const StenoPendingGap *gap)
{
    const StenoPendingGap *same = &outlet->gaps[cause];
    const bool follows = same->set && (gap->first_seq < 0 || same->last_seq + 1 == gap->first_seq);
    if (!follows)
        steno_outlet_gaps_emit(outlet, gap->rtp_ts, false);
    gap_add(outlet, cause, gap);
}

void steno_outlet_no_keyframe(StenoOutlet *outlet, const StenoPendingGap *gap)
{
    gap_add(outlet, STENO_GAP_NO_KEYFRAME, gap);
}

void steno_outlet_refuse(StenoOutlet *outlet, const StenoPendingGap *gap)
{
    outlet->stats.refused++;
    steno_outlet_gap(outlet, STENO_GAP_OVERFLOW, gap);
    outlet->broken = outlet->video;
}

/* ---- frames ------------------------------------------------------------------------------------------------------ */

/* A FORMAT frame when the format differs from the one told. FALSE: it has to be told, but the pool is full. */
static bool format_tell(StenoOutlet *outlet, const StenoFormat *format, const StenoFrame *media)
{
    GByteArray *told = outlet->format.parameters;
    if (outlet->format.told && outlet->format.width == format->width && outlet->format.height == format->height &&
        outlet->format.channels == format->channels && told->len == format->parameters_bytes &&
        (told->len == 0 || memcmp(told->data, format->parameters, told->len) == 0))
        return true;
    StenoFrame *frame = steno_frame_new(outlet->pool, STENO_FRAME_FORMAT, format->parameters_bytes);
    if (!frame)
        return false;
    frame->codec = outlet->config.codec;
    frame->track = outlet->config.track;
    frame->rtp_ts = media->rtp_ts;
    frame->arrival_us = media->arrival_us;
    frame->encrypted = outlet->config.opaque;
    frame->format.clock_hz = outlet->config.clock_hz;
    frame->format.width = format->width;
    frame->format.height = format->height;
    frame->format.channels = format->channels;
    if (format->parameters_bytes > 0)
        memcpy(frame->payload, format->parameters, format->parameters_bytes);
    frame->payload_bytes = format->parameters_bytes;
    g_byte_array_set_size(told, 0);
    if (format->parameters_bytes > 0)
        g_byte_array_append(told, format->parameters, format->parameters_bytes);
    outlet->format.told = true;
    outlet->format.width = format->width;
    outlet->format.height = format->height;
    outlet->format.channels = format->channels;
    outlet->sink(outlet->user, frame);
    return true;
}

StenoOutcome steno_outlet_emit(StenoOutlet *outlet, StenoFrame *frame, const StenoFrameFacts *facts,
                               const StenoFormat *format)
{
    if (outlet->video && !outlet->started && !facts->keyframe)
        return STENO_OUTLET_WAITS;
    steno_outlet_gaps_emit(outlet, frame->rtp_ts, true);
    if (!format_tell(outlet, format, frame))
        return STENO_OUTLET_FULL;
    if (facts->keyframe || facts->intact)
        outlet->broken = false;
    outlet->started = true;
    frame->encrypted = outlet->config.opaque;
    frame->keyframe = facts->keyframe && !outlet->config.opaque;
    frame->decodable = !facts->leading && (!outlet->broken || facts->independent);
    outlet->stats.frames++;
    if (!frame->decodable)
        outlet->stats.undecodable++;
    outlet->sink(outlet->user, frame);
    return STENO_OUTLET_EMITTED;
}
