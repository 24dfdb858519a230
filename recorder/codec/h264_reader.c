/*
 * A key frame is an IDR picture, or a picture of I slices only whose access unit brings its SPS: the entry point of
 * encoders that never send IDR (intra refresh, broadcast gear), with or without recovery point SEI. Its parameter sets
 * have to be known. Where the beginning of the access unit may be missing, sets may have been lost with it: it counts
 * as a key frame only when it brings SPS and PPS, or when the stream never sent any.
 */
#include "h26x.h"

enum { NAL_SLICE = 1, NAL_PARTITION_A = 2, NAL_IDR = 5, NAL_SEI = 6, NAL_SPS = 7, NAL_PPS = 8, NAL_AUD = 9 };

typedef struct {
    StenoNalSets sets;
    bool sets_in_band; /* this stream sends parameter sets */

    /* What was seen of the access unit. */
    bool has_sps, has_pps, has_slice, has_idr, has_inter;
    int pps;
} H264Reader;

StenoNalClass steno_h264_class(guint8 type)
{
    switch (type) {
    case NAL_SLICE:
    case NAL_PARTITION_A:
        return STENO_NAL_IS_DELTA;
    case NAL_IDR:
        return STENO_NAL_IS_KEY;
    case NAL_SPS:
    case NAL_PPS:
        return STENO_NAL_IS_SET;
    case NAL_SEI:
    case NAL_AUD:
        return STENO_NAL_IS_HEAD;
    default:
        return STENO_NAL_IS_OTHER;
    }
}

bool steno_h264_is_beginning(const guint8 *nal, gsize bytes)
{
    StenoSliceFacts slice;
    switch (steno_h264_class(nal[0] & 0x1f)) {
    case STENO_NAL_IS_HEAD:
    case STENO_NAL_IS_SET:
        return true;
    case STENO_NAL_IS_DELTA:
    case STENO_NAL_IS_KEY:
        steno_h264_slice(nal, bytes, &slice);
        return slice.first;
    default:
        return false;
    }
}

void steno_h264_see_nal(void *state, const guint8 *nal, gsize bytes)
{
    H264Reader *h264 = state;
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

static void h264_forget(void *state)
{
    H264Reader *h264 = state;
    h264->has_sps = h264->has_pps = h264->has_slice = h264->has_idr = h264->has_inter = false;
    h264->pps = -1;
}

static void h264_start(void *state, StenoDepacketizerConfig *config)
{
    H264Reader *h264 = state;
    steno_nal_sets_init(&h264->sets);
    steno_nal_sprop(h264, config->fmtp, "sprop-parameter-sets", steno_h264_see_nal);
    h264->sets_in_band = false;
    h264_forget(h264);
}

static void h264_stop(void *state)
{
    H264Reader *h264 = state;
    steno_nal_sets_clear(&h264->sets);
}

static int h264_see(void *state, const guint8 *data, gsize bytes)
{
    return steno_nal_split(data, bytes, state, steno_h264_see_nal);
}

static bool h264_conclude(void *state, const StenoReading *reading, StenoFrameFacts *facts, StenoFormat *format)
{
    H264Reader *h264 = state;
    if (!h264->has_slice)
        return false;
    const bool sets_known = steno_nal_sets_activate(&h264->sets, h264->pps);
    const bool sets_sure = !reading->head_unsure || !h264->sets_in_band || (h264->has_sps && h264->has_pps);
    facts->keyframe = (h264->has_idr || (h264->has_sps && !h264->has_inter)) && sets_known && sets_sure;
    steno_nal_sets_format(&h264->sets, format);
    h264_forget(h264);
    return true;
}

const StenoReaderOps steno_reader_h264 = {
    .state_bytes = sizeof(H264Reader),
    .start = h264_start,
    .stop = h264_stop,
    .see = h264_see,
    .conclude = h264_conclude,
    .forget = h264_forget,
    .is_annexb = true,
};
