#include "parameters.h"

#include "annexb.h"
#include "bits.h"

#include <string.h>

#define NAL_H264_SPS 7
#define NAL_H264_PPS 8
#define NAL_H265_VPS 32
#define NAL_H265_SPS 33
#define NAL_H265_PPS 34
/* Begins a CodecPrivate that holds parameters as they came: none of the codecs' own records begins so. */
#define PRIVATE_RAW 0xFF
#define UNIT_MAX_BYTES 65535 /* avcC and hvcC count a unit's bytes in 16 bits */

static void put_u8(GByteArray *out, guint value)
{
    guint8 byte = (guint8)value;
    g_byte_array_append(out, &byte, 1);
}

static void put_be16(GByteArray *out, guint value)
{
    put_u8(out, value >> 8);
    put_u8(out, value);
}

static void put_le16(GByteArray *out, guint value)
{
    put_u8(out, value);
    put_u8(out, value >> 8);
}

static void put_le32(GByteArray *out, guint32 value)
{
    put_le16(out, value & 0xFFFF);
    put_le16(out, value >> 16);
}

/* ---- NAL units --------------------------------------------------------------------------------------------------- */

typedef struct {
    const guint8 *data;
    gsize bytes;
} Unit;

/* The next unit of an Annex B stream with 4-byte start codes. */
static gboolean next_unit(const guint8 *data, gsize bytes, gsize *at, Unit *unit)
{
    if (*at >= bytes)
        return FALSE;
    gsize start = *at + 4;
    gsize end = steno_annexb_find(data, bytes, start);
    *unit = (Unit){data + start, end - start};
    *at = end;
    return TRUE;
}

static guint unit_type(StenoCodec codec, const Unit *unit)
{
    if (unit->bytes < 2 || unit->bytes > UNIT_MAX_BYTES)
        return G_MAXUINT;
    return codec == STENO_CODEC_H264 ? unit->data[0] & 0x1F : (unit->data[0] >> 1) & 0x3F;
}

/* Appends all units of a type with their 16-bit lengths; returns how many. */
static guint put_units(GByteArray *out, const StenoFrame *format, guint type)
{
    guint count = 0;
    gsize at = 0;
    Unit unit;
    while (next_unit(format->payload, format->payload_bytes, &at, &unit)) {
        if (unit_type(format->codec, &unit) != type)
            continue;
        put_be16(out, (guint)unit.bytes);
        g_byte_array_append(out, unit.data, (guint)unit.bytes);
        count++;
    }
    return count;
}

/* The first unit of a type. */
static gboolean find_unit(const StenoFrame *format, guint type, Unit *found)
{
    gsize at = 0;
    Unit unit;
    while (next_unit(format->payload, format->payload_bytes, &at, &unit)) {
        if (unit_type(format->codec, &unit) == type) {
            *found = unit;
            return TRUE;
        }
    }
    return FALSE;
}

/* A unit without its emulation prevention bytes (ITU-T H.264 §7.4.1), to be freed with g_free. */
static guint8 *unescape(const Unit *unit, gsize *bytes)
{
    guint8 *out = g_malloc(unit->bytes);
    gsize n = 0;
    guint zeros = 0;
    for (gsize i = 0; i < unit->bytes; i++) {
        if (zeros >= 2 && unit->data[i] == 3) {
            zeros = 0;
            continue;
        }
        zeros = unit->data[i] ? 0 : zeros + 1;
        out[n++] = unit->data[i];
    }
    *bytes = n;
    return out;
}

/* ---- H.264: ISO/IEC 14496-15 §5.3.3.1 ---------------------------------------------------------------------------- */

static gboolean avc_has_chroma_fields(guint profile)
{
    return profile == 100 || profile == 110 || profile == 122 || profile == 144 || profile == 244;
}

static gboolean put_avcc(GByteArray *out, const StenoFrame *format)
{
    Unit sps;
    if (!find_unit(format, NAL_H264_SPS, &sps) || sps.bytes < 4)
        return FALSE;
    guint8 head[] = {1, sps.data[1], sps.data[2], sps.data[3], 0xFF};
    g_byte_array_append(out, head, sizeof head);
    guint count_at = out->len;
    put_u8(out, 0);
    guint spss = put_units(out, format, NAL_H264_SPS);
    out->data[count_at] = (guint8)(0xE0 | spss);
    count_at = out->len;
    put_u8(out, 0);
    guint ppss = put_units(out, format, NAL_H264_PPS);
    out->data[count_at] = (guint8)ppss;

    if (avc_has_chroma_fields(sps.data[1])) {
        gsize bytes;
        g_autofree guint8 *raw = unescape(&sps, &bytes);
        StenoBits bits = {raw, bytes * 8, 32, FALSE};
        (void)steno_bits_ue(&bits); /* seq_parameter_set_id */
        guint chroma = steno_bits_ue(&bits);
        if (chroma == 3)
            steno_bits_skip(&bits, 1);
        guint luma_depth = steno_bits_ue(&bits), chroma_depth = steno_bits_ue(&bits);
        if (bits.past_end || chroma > 3 || luma_depth > 7 || chroma_depth > 7)
            return FALSE;
        guint8 tail[] = {(guint8)(0xFC | chroma), (guint8)(0xF8 | luma_depth), (guint8)(0xF8 | chroma_depth), 0};
        g_byte_array_append(out, tail, sizeof tail);
    }
    return spss <= 31 && ppss <= 255;
}

/* ---- H.265: ISO/IEC 14496-15 §8.3.3.1 ---------------------------------------------------------------------------- */

typedef struct {
    guint8 profile_tier_level[12];
    guint chroma, luma_depth, chroma_depth, layers, nested;
} HevcSps;

static gboolean parse_hevc_sps(const Unit *unit, HevcSps *sps)
{
    gsize bytes;
    g_autofree guint8 *raw = unescape(unit, &bytes);
    StenoBits bits = {raw, bytes * 8, 16 + 4, FALSE};
    guint sublayers = steno_bits(&bits, 3);
    sps->layers = sublayers + 1;
    sps->nested = steno_bits(&bits, 1);
    for (guint i = 0; i < sizeof sps->profile_tier_level; i++)
        sps->profile_tier_level[i] = (guint8)steno_bits(&bits, 8);
    guint present = 0; /* two bits a sublayer: profile, level */
    for (guint i = 0; sublayers && i < 8; i++)
        present = present << 2 | steno_bits(&bits, 2);
    for (guint i = 0; i < sublayers; i++) {
        guint flags = present >> (14 - 2 * i);
        steno_bits_skip(&bits, (flags & 2 ? 88 : 0) + (flags & 1 ? 8 : 0));
    }
    (void)steno_bits_ue(&bits); /* sps_seq_parameter_set_id */
    sps->chroma = steno_bits_ue(&bits);
    if (sps->chroma == 3)
        steno_bits_skip(&bits, 1);
    (void)steno_bits_ue(&bits);
    (void)steno_bits_ue(&bits);
    if (steno_bits(&bits, 1))
        for (guint i = 0; i < 4; i++)
            (void)steno_bits_ue(&bits);
    sps->luma_depth = steno_bits_ue(&bits);
    sps->chroma_depth = steno_bits_ue(&bits);
    return !bits.past_end && sps->chroma <= 3 && sps->luma_depth <= 7 && sps->chroma_depth <= 7;
}

static gboolean put_hvcc(GByteArray *out, const StenoFrame *format)
{
    static const guint8 types[] = {NAL_H265_VPS, NAL_H265_SPS, NAL_H265_PPS};
    Unit unit;
    HevcSps sps;
    if (!find_unit(format, NAL_H265_SPS, &unit) || !parse_hevc_sps(&unit, &sps))
        return FALSE;
    put_u8(out, 1);
    g_byte_array_append(out, sps.profile_tier_level, sizeof sps.profile_tier_level);
    put_be16(out, 0xF000); /* min_spatial_segmentation_idc: unknown */
    put_u8(out, 0xFC);     /* parallelismType: unknown */
    put_u8(out, 0xFC | sps.chroma);
    put_u8(out, 0xF8 | sps.luma_depth);
    put_u8(out, 0xF8 | sps.chroma_depth);
    put_be16(out, 0); /* avgFrameRate: unknown */
    put_u8(out, sps.layers << 3 | sps.nested << 2 | 3);
    guint arrays_at = out->len, arrays = 0;
    put_u8(out, 0);
    for (guint i = 0; i < G_N_ELEMENTS(types); i++) {
        if (!find_unit(format, types[i], &unit))
            continue;
        put_u8(out, types[i]); /* array_completeness 0: others may come in band */
        guint count_at = out->len;
        put_be16(out, 0);
        guint count = put_units(out, format, types[i]);
        if (count > G_MAXUINT16)
            return FALSE;
        out->data[count_at] = (guint8)(count >> 8);
        out->data[count_at + 1] = (guint8)count;
        arrays++;
    }
    out->data[arrays_at] = (guint8)arrays;
    return TRUE;
}

/* ---- AV1: AV1 in ISOBMFF §2.3; the sequence header is AV1 §5.5 --------------------------------------------------- */

static void skip_av1_timing(StenoBits *bits, gboolean *decoder_model, guint *delay_bits)
{
    *decoder_model = FALSE;
    if (!steno_bits(bits, 1))
        return;
    steno_bits_skip(bits, 64);
    if (steno_bits(bits, 1))
        (void)steno_bits_ue(bits);
    *decoder_model = steno_bits(bits, 1);
    if (*decoder_model) {
        *delay_bits = steno_bits(bits, 5) + 1;
        steno_bits_skip(bits, 32 + 5 + 5);
    }
}

/* Reads the operating points; gives level and tier of the first. */
static void read_av1_points(StenoBits *bits, guint *level, guint *tier)
{
    gboolean decoder_model;
    guint delay_bits = 0;
    skip_av1_timing(bits, &decoder_model, &delay_bits);
    gboolean display_delay = steno_bits(bits, 1);
    guint points = steno_bits(bits, 5) + 1;
    for (guint i = 0; i < points; i++) {
        steno_bits_skip(bits, 12);
        guint point_level = steno_bits(bits, 5);
        guint point_tier = point_level > 7 ? steno_bits(bits, 1) : 0;
        if (decoder_model && steno_bits(bits, 1))
            steno_bits_skip(bits, 2 * delay_bits + 1);
        if (display_delay && steno_bits(bits, 1))
            steno_bits_skip(bits, 4);
        if (i == 0) {
            *level = point_level;
            *tier = point_tier;
        }
    }
}

static void skip_av1_tools(StenoBits *bits, gboolean reduced)
{
    guint width_bits = steno_bits(bits, 4) + 1, height_bits = steno_bits(bits, 4) + 1;
    steno_bits_skip(bits, width_bits + height_bits);
    if (!reduced && steno_bits(bits, 1))
        steno_bits_skip(bits, 7);
    steno_bits_skip(bits, 3);
    if (!reduced) {
        steno_bits_skip(bits, 4);
        gboolean order_hint = steno_bits(bits, 1);
        if (order_hint)
            steno_bits_skip(bits, 2);
        guint screen_content = steno_bits(bits, 1) ? 2 : steno_bits(bits, 1);
        if (screen_content > 0 && !steno_bits(bits, 1))
            steno_bits_skip(bits, 1);
        if (order_hint)
            steno_bits_skip(bits, 3);
    }
    steno_bits_skip(bits, 3);
}

/* color_config() as the third byte of av1C has it, without the tier. */
static guint read_av1_color(StenoBits *bits, guint profile)
{
    guint high = steno_bits(bits, 1);
    guint twelve = profile == 2 && high ? steno_bits(bits, 1) : 0;
    guint mono = profile == 1 ? 0 : steno_bits(bits, 1);
    guint description = steno_bits(bits, 1) ? steno_bits(bits, 24) : 0x020202;
    guint x = 1, y = 1, position = 0;
    if (!mono) {
        if (description == 0x010D00) { /* sRGB */
            x = y = 0;
        } else {
            steno_bits_skip(bits, 1);
            if (profile == 1) {
                x = y = 0;
            } else if (profile == 2) {
                x = twelve ? steno_bits(bits, 1) : 1;
                y = twelve && x ? steno_bits(bits, 1) : 0;
            }
            position = x && y ? steno_bits(bits, 2) : 0;
        }
    }
    return high << 6 | twelve << 5 | mono << 4 | x << 3 | y << 2 | position;
}

static gboolean put_av1c(GByteArray *out, const guint8 *data, gsize bytes)
{
    const guint sequence_header = 1;
    if (bytes < 2 || (data[0] >> 3 & 15) != sequence_header || !(data[0] & 2))
        return FALSE;
    gsize at = data[0] & 4 ? 2 : 1;
    while (at < bytes && data[at] & 0x80) /* leb128 size: all of it is here */
        at++;
    at++;
    if (at >= bytes)
        return FALSE;
    StenoBits bits = {data + at, (bytes - at) * 8, 0, FALSE};
    guint profile = steno_bits(&bits, 3), level = 0, tier = 0;
    steno_bits_skip(&bits, 1);
    gboolean reduced = steno_bits(&bits, 1);
    if (reduced)
        level = steno_bits(&bits, 5);
    else
        read_av1_points(&bits, &level, &tier);
    skip_av1_tools(&bits, reduced);
    guint color = read_av1_color(&bits, profile);
    if (bits.past_end)
        return FALSE;
    guint8 head[] = {0x81, (guint8)(profile << 5 | level), (guint8)(tier << 7 | color), 0};
    g_byte_array_append(out, head, sizeof head);
    g_byte_array_append(out, data, (guint)bytes);
    return TRUE;
}

/* ---- audio ------------------------------------------------------------------------------------------------------- */

/*
 * RFC 7845 §5.1. Pre-skip is 0: a recording begins in the middle of a stream, and what an encoder's start would make
 * one skip is long over.
 */
static void put_opus_head(GByteArray *out, const StenoFrame *format)
{
    g_byte_array_append(out, (const guint8 *)"OpusHead\1", 9);
    put_u8(out, CLAMP(format->format.channels, 1, 2));
    put_le16(out, 0);
    put_le32(out, 48000);
    put_le16(out, 0); /* gain */
    put_u8(out, 0);   /* mapping family 0: mono or stereo */
}

static void put_waveformatex(GByteArray *out, const StenoFrame *format)
{
    guint channels = MAX(format->format.channels, 1);
    put_le16(out, format->codec == STENO_CODEC_PCMU ? 7 : 6);
    put_le16(out, channels);
    put_le32(out, format->format.clock_hz);
    put_le32(out, format->format.clock_hz * channels);
    put_le16(out, channels);
    put_le16(out, 8);
    put_le16(out, 0);
}

StenoCodec steno_parameters_acm_codec(const guint8 *data, gsize bytes)
{
    if (bytes < 2 || data[1] != 0)
        return STENO_CODEC_UNKNOWN;
    return data[0] == 7 ? STENO_CODEC_PCMU : data[0] == 6 ? STENO_CODEC_PCMA : STENO_CODEC_UNKNOWN;
}

/* ---- both ways --------------------------------------------------------------------------------------------------- */

void steno_parameters_to_private(const StenoFrame *format, GByteArray *out)
{
    guint before = out->len;
    gboolean done = TRUE;
    gboolean annexb = format->payload_bytes >= 4 && memcmp(format->payload, "\0\0\0\1", 4) == 0;
    switch (format->codec) {
    case STENO_CODEC_OPUS:
        put_opus_head(out, format);
        break;
    case STENO_CODEC_PCMU:
    case STENO_CODEC_PCMA:
        put_waveformatex(out, format);
        break;
    case STENO_CODEC_H264:
        done = annexb && put_avcc(out, format);
        break;
    case STENO_CODEC_H265:
        done = annexb && put_hvcc(out, format);
        break;
    case STENO_CODEC_AV1:
        done = put_av1c(out, format->payload, format->payload_bytes);
        break;
    default:
        done = FALSE;
    }
    if (done)
        return;
    g_byte_array_set_size(out, before);
    if (format->payload_bytes) {
        put_u8(out, PRIVATE_RAW);
        g_byte_array_append(out, format->payload, format->payload_bytes);
    }
}

/* Appends `count` units that have 16-bit lengths; FALSE when they do not fit. */
static gboolean get_units(const guint8 *data, gsize bytes, gsize *at, guint count, GByteArray *out)
{
    for (guint i = 0; i < count; i++) {
        if (bytes - *at < 2)
            return FALSE;
        gsize length = (gsize)data[*at] << 8 | data[*at + 1];
        *at += 2;
        if (length > bytes - *at)
            return FALSE;
        g_byte_array_append(out, (const guint8 *)"\0\0\0\1", 4);
        g_byte_array_append(out, data + *at, (guint)length);
        *at += length;
    }
    return TRUE;
}

static gboolean get_avcc(const guint8 *data, gsize bytes, GByteArray *out)
{
    gsize at = 6;
    if (bytes < 7 || data[0] != 1 || !get_units(data, bytes, &at, data[5] & 31, out) || at >= bytes)
        return FALSE;
    guint ppss = data[at++];
    return get_units(data, bytes, &at, ppss, out);
}

static gboolean get_hvcc(const guint8 *data, gsize bytes, GByteArray *out)
{
    gsize at = 23;
    if (bytes < at || data[0] != 1)
        return FALSE;
    for (guint i = 0; i < data[22]; i++) {
        if (bytes - at < 3)
            return FALSE;
        guint count = (guint)data[at + 1] << 8 | data[at + 2];
        at += 3;
        if (!get_units(data, bytes, &at, count, out))
            return FALSE;
    }
    return TRUE;
}

void steno_parameters_from_private(StenoCodec codec, const guint8 *data, gsize bytes, GByteArray *out)
{
    guint before = out->len;
    gboolean done = FALSE;
    if (bytes > 0 && data[0] == PRIVATE_RAW) {
        g_byte_array_append(out, data + 1, (guint)(bytes - 1));
        return;
    }
    if (codec == STENO_CODEC_H264)
        done = get_avcc(data, bytes, out);
    else if (codec == STENO_CODEC_H265)
        done = get_hvcc(data, bytes, out);
    else if (codec == STENO_CODEC_AV1 && bytes > 4 && data[0] == 0x81)
        done = g_byte_array_append(out, data + 4, (guint)(bytes - 4)) != NULL;
    if (!done)
        g_byte_array_set_size(out, before);
}
