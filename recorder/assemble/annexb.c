#include "annexb.h"

/* The offset behind the next start code at or after `from`; bytes when there is none. *code is where it begins. */
static gsize next_nal(const guint8 *data, gsize bytes, gsize from, gsize *code)
{
    for (gsize i = from; i + 3 <= bytes; i++)
        if (data[i] == 0 && data[i + 1] == 0 && data[i + 2] == 1) {
            *code = i > from && data[i - 1] == 0 ? i - 1 : i;
            return i + 3;
        }
    *code = bytes;
    return bytes;
}

static gboolean is_sps(StenoCodec codec, guint8 header)
{
    return codec == STENO_CODEC_H264 ? (header & 0x1f) == 7 : (header >> 1 & 0x3f) == 33;
}

static gboolean is_parameter_set(StenoCodec codec, guint8 header)
{
    guint type = codec == STENO_CODEC_H264 ? header & 0x1f : header >> 1 & 0x3f;
    return codec == STENO_CODEC_H264 ? type == 7 || type == 8 : type >= 32 && type <= 34;
}

gboolean annexb_has_parameters(StenoCodec codec, const guint8 *data, gsize bytes)
{
    gsize code;
    for (gsize nal = next_nal(data, bytes, 0, &code); nal < bytes; nal = next_nal(data, bytes, nal, &code))
        if (is_sps(codec, data[nal]))
            return TRUE;
    return FALSE;
}

/* The sequence header OBU of a temporal unit (AV1 §5.3.2: type 1), each OBU with its size. */
static void append_sequence_header(GByteArray *out, const guint8 *data, gsize bytes)
{
    gsize at = 0;
    while (at < bytes && (data[at] & 2)) {
        gsize start = at++;
        at += data[start] & 4 ? 1 : 0;
        guint64 size = 0;
        for (guint shift = 0; shift < 35 && at < bytes; shift += 7) {
            guint8 byte = data[at++];
            size |= (guint64)(byte & 0x7f) << shift;
            if (!(byte & 0x80))
                break;
        }
        if (at > bytes || size > bytes - at)
            return;
        at += size;
        if ((data[start] >> 3 & 15) == 1) {
            g_byte_array_append(out, data + start, (guint)(at - start));
            return;
        }
    }
}

GByteArray *annexb_parameters(StenoCodec codec, const guint8 *data, gsize bytes)
{
    static const guint8 start_code[4] = {0, 0, 0, 1};
    GByteArray *out = g_byte_array_new();
    if (codec == STENO_CODEC_AV1)
        append_sequence_header(out, data, bytes);
    if (codec != STENO_CODEC_H264 && codec != STENO_CODEC_H265)
        return out;
    gsize end, after;
    for (gsize nal = next_nal(data, bytes, 0, &end); nal < bytes; nal = after) {
        after = next_nal(data, bytes, nal, &end);
        if (!is_parameter_set(codec, data[nal]))
            continue;
        g_byte_array_append(out, start_code, sizeof start_code);
        g_byte_array_append(out, data + nal, (guint)(end - nal));
    }
    return out;
}
