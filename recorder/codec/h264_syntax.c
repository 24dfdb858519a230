#include "h26x.h"

#define CHROMA_400 0
#define CHROMA_420 1
#define CHROMA_422 2
#define CHROMA_444 3
#define DIMENSION_MAX 65536 /* px: what the fields of a container can say */

/* scaling_list(), §7.3.2.1.1.1 */
static void skip_scaling_list(StenoBits *bits, guint size)
{
    gint32 last = 8, next = 8;
    for (guint i = 0; i < size && !bits->failed; i++) {
        if (next != 0)
            next = (last + steno_bits_se(bits) % 256 + 256) % 256;
        if (next != 0)
            last = next;
    }
}

static bool has_chroma_format(guint profile)
{
    static const guint8 profiles[] = {100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135};
    for (guint i = 0; i < G_N_ELEMENTS(profiles); i++) {
        if (profiles[i] == profile)
            return true;
    }
    return false;
}

/* Returns ChromaArrayType. */
static guint read_chroma(StenoBits *bits)
{
    guint chroma = steno_bits_ue(bits);
    const guint format = chroma;
    if (chroma == CHROMA_444 && steno_bits_flag(bits)) /* separate_colour_plane_flag */
        chroma = CHROMA_400;
    steno_bits_ue(bits); /* bit_depth_luma_minus8 */
    steno_bits_ue(bits); /* bit_depth_chroma_minus8 */
    steno_bits_skip(bits, 1);
    if (steno_bits_flag(bits)) { /* seq_scaling_matrix_present_flag */
        for (guint i = 0; i < (format == CHROMA_444 ? 12u : 8u); i++) {
            if (steno_bits_flag(bits))
                skip_scaling_list(bits, i < 6 ? 16 : 64);
        }
    }
    return chroma;
}

static void skip_picture_order_count(StenoBits *bits)
{
    const guint type = steno_bits_ue(bits);
    if (type == 0) {
        steno_bits_ue(bits);
    } else if (type == 1) {
        steno_bits_skip(bits, 1);
        steno_bits_se(bits);
        steno_bits_se(bits);
        const guint count = steno_bits_ue(bits);
        for (guint i = 0; i < count && i < 256 && !bits->failed; i++)
            steno_bits_se(bits);
    }
}

bool steno_h264_sps(const guint8 *nal, gsize bytes, StenoNalSetFacts *facts)
{
    StenoBits bits;
    steno_bits_init_rbsp(&bits, nal, bytes);
    steno_bits_skip(&bits, 8);
    const guint profile = steno_bits_read(&bits, 8);
    steno_bits_skip(&bits, 16); /* constraint flags, level_idc */
    *facts = (StenoNalSetFacts){.id = steno_bits_ue(&bits), .refers = G_MAXUINT};
    const guint chroma = has_chroma_format(profile) ? read_chroma(&bits) : CHROMA_420;
    steno_bits_ue(&bits); /* log2_max_frame_num_minus4 */
    skip_picture_order_count(&bits);
    steno_bits_ue(&bits); /* max_num_ref_frames */
    steno_bits_skip(&bits, 1);
    const guint64 width = ((guint64)steno_bits_ue(&bits) + 1) * 16;
    const guint64 map_units = (guint64)steno_bits_ue(&bits) + 1;
    const bool frames_only = steno_bits_flag(&bits);
    const guint64 height = map_units * 16 * (frames_only ? 1 : 2);
    if (!frames_only)
        steno_bits_skip(&bits, 1);
    steno_bits_skip(&bits, 1); /* direct_8x8_inference_flag */
    guint64 cut_x = 0, cut_y = 0;
    if (steno_bits_flag(&bits)) { /* frame_cropping_flag */
        cut_x = (guint64)steno_bits_ue(&bits) + steno_bits_ue(&bits);
        cut_y = (guint64)steno_bits_ue(&bits) + steno_bits_ue(&bits);
        cut_x *= chroma == CHROMA_420 || chroma == CHROMA_422 ? 2 : 1;
        cut_y *= (chroma == CHROMA_420 ? 2 : 1) * (frames_only ? 1 : 2);
    }
    if (bits.failed || facts->id >= STENO_NAL_SPS_MAX || width > DIMENSION_MAX || height > DIMENSION_MAX ||
        cut_x >= width || cut_y >= height)
        return false;
    facts->width = (guint32)(width - cut_x);
    facts->height = (guint32)(height - cut_y);
    return true;
}

bool steno_h264_pps(const guint8 *nal, gsize bytes, StenoNalSetFacts *facts)
{
    StenoBits bits;
    steno_bits_init_rbsp(&bits, nal, bytes);
    steno_bits_skip(&bits, 8);
    *facts = (StenoNalSetFacts){.id = steno_bits_ue(&bits)};
    facts->refers = steno_bits_ue(&bits);
    return !bits.failed && facts->id < STENO_NAL_PPS_MAX && facts->refers < STENO_NAL_SPS_MAX;
}

void steno_h264_slice(const guint8 *nal, gsize bytes, StenoSliceFacts *facts)
{
    StenoBits bits;
    steno_bits_init_rbsp(&bits, nal, MIN(bytes, 32));
    steno_bits_skip(&bits, 8);
    facts->first = steno_bits_ue(&bits) == 0 && !bits.failed;
    const guint type = steno_bits_ue(&bits) % 5;
    facts->intra = !bits.failed && (type == 2 || type == 4);
    const guint pps = steno_bits_ue(&bits);
    facts->pps = bits.failed || pps >= STENO_NAL_PPS_MAX ? -1 : (int)pps;
}
