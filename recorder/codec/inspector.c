#include "nal.h"

#include <errno.h>

struct StenoInspector {
    StenoOutlet outlet;
};

StenoInspector *steno_inspector_new(const StenoDepacketizerConfig *config, StenoFramePool *pool, StenoFrameSink sink,
                                    gpointer user)
{
    StenoDepacketizerConfig clear = *config;
    clear.opaque = false;
    StenoInspector *inspector = g_new0(StenoInspector, 1);
    if (!steno_outlet_init(&inspector->outlet, &clear, pool, sink, user))
        g_clear_pointer(&inspector, g_free);
    return inspector;
}

void steno_inspector_free(StenoInspector *inspector)
{
    if (!inspector)
        return;
    steno_outlet_clear(&inspector->outlet);
    g_free(inspector);
}

static void forget(StenoInspector *inspector)
{
    if (inspector->outlet.reader->forget)
        inspector->outlet.reader->forget(inspector->outlet.reader_state);
}

/* ---- one frame --------------------------------------------------------------------------------------------------- */

/* A frame stands for no packets that we know of. */
static StenoPendingGap frame_gap(const StenoFrame *frame)
{
    return (StenoPendingGap){
        .first_seq = -1, .last_seq = -1, .rtp_ts = frame->rtp_ts, .until_rtp_ts = frame->rtp_ts + 1};
}

static int damage(StenoInspector *inspector, StenoFrame *frame)
{
    StenoOutlet *outlet = &inspector->outlet;
    const StenoPendingGap gap = frame_gap(frame);
    steno_frame_unref(frame);
    forget(inspector);
    outlet->stats.damaged++;
    steno_outlet_gap(outlet, STENO_GAP_DAMAGED, &gap);
    outlet->broken = outlet->video;
    return -EBADMSG;
}

static void refuse(StenoInspector *inspector, StenoFrame *frame)
{
    const StenoPendingGap gap = frame_gap(frame);
    steno_frame_unref(frame);
    forget(inspector);
    steno_outlet_refuse(&inspector->outlet, &gap);
}

/* All of the frame was seen: it goes out, or what becomes of it is told. */
static void conclude(StenoInspector *inspector, StenoFrame *frame)
{
    StenoOutlet *outlet = &inspector->outlet;
    const StenoReading reading = {.fresh = !outlet->started || outlet->broken};
    StenoFrameFacts facts = {.keyframe = true};
    StenoFormat format = {.channels = outlet->config.channels};
    if (outlet->reader->conclude && !outlet->reader->conclude(outlet->reader_state, &reading, &facts, &format)) {
        forget(inspector);
        steno_frame_unref(frame); /* parameter sets alone: they were read, nothing is missing */
        return;
    }
    const StenoPendingGap gap = frame_gap(frame);
    switch (steno_outlet_emit(outlet, frame, &facts, &format)) {
    case STENO_OUTLET_EMITTED:
        break;
    case STENO_OUTLET_WAITS:
        steno_frame_unref(frame);
        steno_outlet_no_keyframe(outlet, &gap);
        break;
    case STENO_OUTLET_FULL:
        refuse(inspector, frame);
        break;
    }
}

/* ---- the public face --------------------------------------------------------------------------------------------- */

int steno_inspector_frame(StenoInspector *inspector, StenoFrame *frame)
{
    StenoOutlet *outlet = &inspector->outlet;
    outlet->last_arrival_us = frame->arrival_us;
    if (frame->payload_bytes == 0 ||
        outlet->reader->see(outlet->reader_state, frame->payload, frame->payload_bytes) < 0)
        return damage(inspector, frame);
    if (outlet->reader->is_annexb && !steno_nal_lengthen_start_codes(frame))
        refuse(inspector, frame);
    else
        conclude(inspector, frame);
    return 0;
}

void steno_inspector_gap(StenoInspector *inspector, StenoFrame *gap)
{
    StenoOutlet *outlet = &inspector->outlet;
    steno_outlet_gaps_emit(outlet, gap->rtp_ts, false);
    outlet->broken = outlet->video;
    outlet->sink(outlet->user, gap);
}

void steno_inspector_flush(StenoInspector *inspector)
{
    StenoOutlet *outlet = &inspector->outlet;
    steno_outlet_gaps_emit(outlet, G_MININT64, true);
    outlet->broken = outlet->video;
    outlet->format.told = false;
}

bool steno_inspector_needs_keyframe(const StenoInspector *inspector)
{
    return steno_outlet_needs_keyframe(&inspector->outlet);
}

const StenoDepacketizerStats *steno_inspector_stats(const StenoInspector *inspector)
{
    return &inspector->outlet.stats;
}
