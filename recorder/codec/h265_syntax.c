#include "h26x.h"

#define DIMENSION_MAX 65536 /* px: what the fields of a container can say */
#define FIRST_IRAP 16
#define LAST_IRAP 23

bool steno_h265_vps(const guint8 *nal, gsize bytes, StenoNalSetFacts *facts)
{
    StenoBits bits;
    steno_bits_init_rbsp(&bits, nal, bytes);
    steno_bits_skip(&bits, 16);
    *facts = (StenoNalSetFacts){.id = steno_bits_read(&bits, 4), .refers = G_MAXUINT};
    return !bits.failed;
}

/* profile_tier_level(), §7.3.3 */
static void skip_profile_tier_level(StenoBits *bits, guint sub_layers)
{
    bool profile[8] = {false}, level[8] = {false};
    steno_bits_skip(bits, 88 + 8);
    for (guint i = 0; i < sub_layers; i++) {
        profile[i] = steno_bits_flag(bits);
        level[i] = steno_bits_flag(bits);
    }
    if (sub_layers > 0)
        steno_bits_skip(bits, 2 * (8 - sub_layers));
    for (guint i = 0; i < sub_layers; i++)
        steno_bits_skip(bits, (profile[i] ? 88 : 0) + (level[i] ? 8 : 0));
}

bool steno_h265_sps(const guint8 *nal, gsize bytes, StenoNalSetFacts *facts)
{
    StenoBits bits;
    steno_bits_init_rbsp(&bits, nal, bytes);
    steno_bits_skip(&bits, 16);
    const guint vps = steno_bits_read(&bits, 4);
    const guint sub_layers = steno_bits_read(&bits, 3);
    steno_bits_skip(&bits, 1);
    if (sub_layers == 7)
        return false;
    skip_profile_tier_level(&bits, sub_layers);
    *facts = (StenoNalSetFacts){.id = steno_bits_ue(&bits), .refers = vps};
    const guint chroma = steno_bits_ue(&bits);
    const bool planes = chroma == 3 && steno_bits_flag(&bits); /* separate_colour_plane_flag */
    const guint64 width = steno_bits_ue(&bits), height = steno_bits_ue(&bits);
    guint64 cut_x = 0, cut_y = 0;
    if (steno_bits_flag(&bits)) { /* conformance_window_flag */
        cut_x = (guint64)steno_bits_ue(&bits) + steno_bits_ue(&bits);
        cut_y = (guint64)steno_bits_ue(&bits) + steno_bits_ue(&bits);
        cut_x *= !planes && (chroma == 1 || chroma == 2) ? 2 : 1;
        cut_y *= !planes && chroma == 1 ? 2 : 1;
    }
    if (bits.failed || facts->id >= STENO_NAL_SPS_MAX || width > DIMENSION_MAX || height > DIMENSION_MAX ||
        cut_x >= width || cut_y >= height)
        return false;
    facts->width = (guint32)(width - cut_x);
    facts->height = (guint32)(height - cut_y);
    return true;
}

bool steno_h265_pps(const guint8 *nal, gsize bytes, StenoNalSetFacts *facts)
{
    StenoBits bits;
    steno_bits_init_rbsp(&bits, nal, bytes);
    steno_bits_skip(&bits, 16);
    *facts = (StenoNalSetFacts){.id = steno_bits_ue(&bits)};
    facts->refers = steno_bits_ue(&bits);
    return !bits.failed && facts->id < STENO_NAL_PPS_MAX && facts->refers < STENO_NAL_SPS_MAX;
}

void steno_h265_slice(const guint8 *nal, gsize bytes, StenoSliceFacts *facts)
{
    const guint type = nal[0] >> 1 & 0x3f;
    StenoBits bits;
    steno_bits_init_rbsp(&bits, nal, MIN(bytes, 32));
    steno_bits_skip(&bits, 16);
    facts->first = steno_bits_flag(&bits);
    if (type >= FIRST_IRAP && type <= LAST_IRAP)
        steno_bits_skip(&bits, 1); /* no_output_of_prior_pics_flag */
    const guint pps = steno_bits_ue(&bits);
    facts->intra = false;
    facts->pps = bits.failed || pps >= STENO_NAL_PPS_MAX ? -1 : (int)pps;
}
