/*
 * A key frame is an IRAP picture (IDR, CRA, BLA) whose parameter sets are known. RASL pictures after a CRA that
 * decoding begins with refer to what was never there: they are not decodable, and nothing depends on them. When sets
 * are sure: as in h264_reader.c.
 */
#include "h26x.h"

enum { NAL_RASL_N = 8, NAL_RASL_R = 9, NAL_BLA_W_LP = 16, NAL_BLA_N_LP = 18, NAL_CRA = 21, NAL_VCL_MAX = 31 };
enum { NAL_VPS = 32, NAL_SPS = 33, NAL_PPS = 34, NAL_AUD = 35, NAL_PREFIX_SEI = 39 };

typedef struct {
    StenoNalSets sets;
    bool sets_in_band; /* this stream sends parameter sets */
    bool no_rasl;      /* the last IRAP picture began the decoding: its RASL pictures cannot be decoded */

    /* What was seen of the access unit. */
    bool has_sps, has_pps, has_slice, has_irap, has_bla, has_rasl;
    int pps;
} H265Reader;

StenoNalClass steno_h265_class(guint8 type)
{
    if (type >= NAL_BLA_W_LP && type <= NAL_CRA)
        return STENO_NAL_IS_KEY;
    if (type <= NAL_VCL_MAX)
        return STENO_NAL_IS_DELTA;
    if (type <= NAL_PPS)
        return STENO_NAL_IS_SET;
    return type == NAL_AUD || type == NAL_PREFIX_SEI ? STENO_NAL_IS_HEAD : STENO_NAL_IS_OTHER;
}

bool steno_h265_is_beginning(const guint8 *nal, gsize bytes)
{
    StenoSliceFacts slice;
    switch (steno_h265_class(steno_h265_type(nal))) {
    case STENO_NAL_IS_HEAD:
    case STENO_NAL_IS_SET:
        return true;
    case STENO_NAL_IS_DELTA:
    case STENO_NAL_IS_KEY:
        steno_h265_slice(nal, bytes, &slice);
        return slice.first;
    default:
        return false;
    }
}

static void see_slice(H265Reader *h265, const guint8 *nal, gsize bytes)
{
    const guint8 type = steno_h265_type(nal);
    StenoSliceFacts slice;
    steno_h265_slice(nal, bytes, &slice);
    if (!h265->has_slice)
        h265->pps = slice.pps;
    h265->has_slice = true;
    h265->has_irap |= steno_h265_class(type) == STENO_NAL_IS_KEY;
    h265->has_bla |= type >= NAL_BLA_W_LP && type <= NAL_BLA_N_LP;
    h265->has_rasl |= type == NAL_RASL_N || type == NAL_RASL_R;
}

void steno_h265_see_nal(void *state, const guint8 *nal, gsize bytes)
{
    H265Reader *h265 = state;
    StenoNalSetFacts facts;
    if (bytes < 3 || (nal[0] & 1) || nal[1] >> 3 != 0) /* nuh_layer_id: enhancement layers have their own sets */
        return;
    switch (steno_h265_type(nal)) {
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
        if (steno_h265_type(nal) <= NAL_VCL_MAX)
            see_slice(h265, nal, bytes);
    }
}

static void h265_forget(void *state)
{
    H265Reader *h265 = state;
    h265->has_sps = h265->has_pps = h265->has_slice = false;
    h265->has_irap = h265->has_bla = h265->has_rasl = false;
    h265->pps = -1;
}

static void h265_start(void *state, StenoDepacketizerConfig *config)
{
    H265Reader *h265 = state;
    steno_nal_sets_init(&h265->sets);
    steno_nal_sprop(h265, config->fmtp, "sprop-vps", steno_h265_see_nal);
    steno_nal_sprop(h265, config->fmtp, "sprop-sps", steno_h265_see_nal);
    steno_nal_sprop(h265, config->fmtp, "sprop-pps", steno_h265_see_nal);
    h265->sets_in_band = false;
    h265_forget(h265);
}

static void h265_stop(void *state)
{
    H265Reader *h265 = state;
    steno_nal_sets_clear(&h265->sets);
}

static int h265_see(void *state, const guint8 *data, gsize bytes)
{
    return steno_nal_split(data, bytes, state, steno_h265_see_nal);
}

static bool h265_conclude(void *state, const StenoReading *reading, StenoFrameFacts *facts, StenoFormat *format)
{
    H265Reader *h265 = state;
    if (!h265->has_slice)
        return false;
    const bool sets_known = steno_nal_sets_activate(&h265->sets, h265->pps);
    const bool sets_sure = !reading->head_unsure || !h265->sets_in_band || (h265->has_sps && h265->has_pps);
    facts->keyframe = h265->has_irap && sets_known && sets_sure;
    if (facts->keyframe)
        h265->no_rasl = reading->fresh || h265->has_bla;
    facts->leading = h265->has_rasl && h265->no_rasl && !facts->keyframe;
    steno_nal_sets_format(&h265->sets, format);
    h265_forget(h265);
    return true;
}

const StenoReaderOps steno_reader_h265 = {
    .state_bytes = sizeof(H265Reader),
    .start = h265_start,
    .stop = h265_stop,
    .see = h265_see,
    .conclude = h265_conclude,
    .forget = h265_forget,
    .is_annexb = true,
};
