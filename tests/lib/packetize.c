#include "packetize.h"

#include <errno.h>
#include <string.h>

void packetizer_init(Packetizer *packetizer, StenoCodec codec)
{
    *packetizer = (Packetizer){.codec = codec, .max_payload = PACKETIZE_MAX_PAYLOAD, .picture_id = 0x7ff0};
}

/* ---- VP8, VP9 ---------------------------------------------------------------------------------------------------- */

static int packetize_vpx(Packetizer *packetizer, const guint8 *frame, gsize bytes, PacketizeSink sink, gpointer user)
{
    const bool vp9 = packetizer->codec == STENO_CODEC_VP9;
    /* VP9: two bits frame marker, two bits profile (profile 3 has one more), show_existing_frame, frame_type. */
    const bool reserved = vp9 && (frame[0] & 0x30) == 0x30;
    const bool shown_again = vp9 && (frame[0] & (reserved ? 0x04 : 0x08));
    const bool inter =
        vp9 && (packetizer->sealed ? !packetizer->keyframe : shown_again || (frame[0] & (reserved ? 0x02 : 0x04)));
    const gsize header = vp9 ? 3 : 4;
    guint8 payload[PACKETIZE_MAX_PAYLOAD];
    for (gsize at = 0; at < bytes;) {
        const gsize take = MIN(bytes - at, packetizer->max_payload - header);
        const bool first = at == 0, last = at + take == bytes;
        guint8 *out = payload;
        if (vp9) {
            /* I, P, B, E; no layers, not flexible, no scalability structure. */
            *out++ = 0x80 | (inter ? 0x40 : 0) | (first ? 0x08 : 0) | (last ? 0x04 : 0);
        } else {
            *out++ = 0x80 | (first ? 0x10 : 0); /* X, S; partition index 0 */
            *out++ = 0x80;                      /* I */
        }
        *out++ = 0x80 | (packetizer->picture_id >> 8 & 0x7f);
        *out++ = packetizer->picture_id & 0xff;
        memcpy(out, frame + at, take);
        at += take;
        sink(user, payload, header + take, last);
    }
    packetizer->picture_id = (packetizer->picture_id + 1) & 0x7fff;
    return 0;
}

/* ---- H.264, H.265 ------------------------------------------------------------------------------------------------ */

typedef struct {
    const guint8 *data;
    gsize bytes;
} Nal;

#define NALS_MAX 256

/* The offset of the next 00 00 01 at or after `at`, or bytes. */
static gsize find_start_code(const guint8 *data, gsize bytes, gsize at)
{
    for (; at + 3 <= bytes; at++) {
        if (data[at] == 0 && data[at + 1] == 0 && data[at + 2] == 1)
            return at;
    }
    return bytes;
}

static guint split_annexb(const guint8 *data, gsize bytes, bool sealed, Nal *nals)
{
    guint count = 0;
    gsize at = find_start_code(data, bytes, 0);
    while (at < bytes && count < NALS_MAX) {
        const gsize begin = at + 3;
        gsize end = at = find_start_code(data, bytes, begin);
        /* trailing_zero_8bits, or the zero_byte of the next start code; at a sealed frame's end it is its key index. */
        while (end > begin && data[end - 1] == 0 && !(sealed && end == bytes))
            end--;
        if (end > begin)
            nals[count++] = (Nal){data + begin, end - begin};
    }
    return count;
}

static void send_fragments(const Packetizer *packetizer, const Nal *nal, bool marker, PacketizeSink sink, gpointer user)
{
    const bool h265 = packetizer->codec == STENO_CODEC_H265;
    const gsize nal_header = h265 ? 2 : 1, header = nal_header + 1;
    guint8 payload[PACKETIZE_MAX_PAYLOAD];
    for (gsize at = nal_header; at < nal->bytes;) {
        const gsize take = MIN(nal->bytes - at, packetizer->max_payload - header);
        const guint8 bounds = (at == nal_header ? 0x80 : 0) | (at + take == nal->bytes ? 0x40 : 0);
        if (h265) {
            payload[0] = (nal->data[0] & 0x81) | 49 << 1;
            payload[1] = nal->data[1];
            payload[2] = bounds | (nal->data[0] >> 1 & 0x3f);
        } else {
            payload[0] = (nal->data[0] & 0xe0) | 28;
            payload[1] = bounds | (nal->data[0] & 0x1f);
        }
        memcpy(payload + header, nal->data + at, take);
        at += take;
        sink(user, payload, header + take, marker && at == nal->bytes);
    }
}

/* Puts as many of the NAL units as fit into one aggregation packet; returns how many. Fewer than two: none was sent. */
static guint send_aggregate(const Packetizer *packetizer, const Nal *nals, guint count, PacketizeSink sink,
                            gpointer user)
{
    const bool h265 = packetizer->codec == STENO_CODEC_H265;
    guint8 payload[PACKETIZE_MAX_PAYLOAD];
    gsize fill = h265 ? 2 : 1;
    guint taken = 0;
    guint8 importance = 0;
    for (; taken < count && fill + 2 + nals[taken].bytes <= packetizer->max_payload; taken++) {
        payload[fill++] = nals[taken].bytes >> 8;
        payload[fill++] = nals[taken].bytes & 0xff;
        memcpy(payload + fill, nals[taken].data, nals[taken].bytes);
        fill += nals[taken].bytes;
        importance = MAX(importance, nals[taken].data[0] & 0x60);
    }
    if (taken < 2)
        return taken;
    if (h265) {
        payload[0] = 48 << 1;
        payload[1] = 1;
    } else {
        payload[0] = importance | 24;
    }
    sink(user, payload, fill, taken == count);
    return taken;
}

static int packetize_h26x(const Packetizer *packetizer, const guint8 *frame, gsize bytes, PacketizeSink sink,
                          gpointer user)
{
    Nal nals[NALS_MAX];
    const guint count = split_annexb(frame, bytes, packetizer->sealed, nals);
    if (count == 0)
        return -EINVAL;
    for (guint i = 0; i < count;) {
        const guint together = send_aggregate(packetizer, nals + i, count - i, sink, user);
        if (together == 1)
            sink(user, nals[i].data, nals[i].bytes, i + 1 == count);
        else if (together == 0)
            send_fragments(packetizer, &nals[i], i + 1 == count, sink, user);
        i += MAX(together, 1);
    }
    return 0;
}

/* ---- AV1 --------------------------------------------------------------------------------------------------------- */

#define AV1_SEQUENCE_HEADER 1
#define AV1_TEMPORAL_DELIMITER 2
#define AV1_TILE_LIST 8

/* An OBU without its size field: one or two bytes of header, then the rest. */
typedef struct {
    guint8 header[2];
    guint header_bytes;
    const guint8 *data;
    gsize data_bytes;
} Obu;

static gsize obu_bytes(const Obu *obu)
{
    return obu->header_bytes + obu->data_bytes;
}

static int split_obus(const guint8 *data, gsize bytes, Obu *obus, bool *sequence)
{
    int count = 0;
    for (gsize at = 0; at < bytes;) {
        Obu obu = {.header = {data[at] & ~0x02}, .header_bytes = data[at] & 0x04 ? 2 : 1};
        const guint type = data[at] >> 3 & 0x0f;
        const bool has_size = data[at] & 0x02;
        at++;
        if (obu.header_bytes == 2) {
            if (at >= bytes)
                return -EINVAL;
            obu.header[1] = data[at++];
        }
        guint64 size = bytes - at;
        if (has_size) {
            guint shift = 0;
            size = 0;
            do {
                if (at >= bytes || shift > 28)
                    return -EINVAL;
                size |= (guint64)(data[at] & 0x7f) << shift;
                shift += 7;
            } while (data[at++] & 0x80);
        }
        if (size > bytes - at || count == NALS_MAX)
            return -EINVAL;
        obu.data = data + at;
        obu.data_bytes = size;
        at += size;
        *sequence |= type == AV1_SEQUENCE_HEADER;
        if (type != AV1_TEMPORAL_DELIMITER && type != AV1_TILE_LIST)
            obus[count++] = obu;
    }
    return count;
}

/* Copies `take` bytes of an OBU from `from` on, header included. */
static void copy_obu(guint8 *out, const Obu *obu, gsize from, gsize take)
{
    for (gsize i = 0; i < take; i++, from++)
        out[i] = from < obu->header_bytes ? obu->header[from] : obu->data[from - obu->header_bytes];
}

static int packetize_av1(const Packetizer *packetizer, const guint8 *frame, gsize bytes, PacketizeSink sink,
                         gpointer user)
{
    Obu obus[NALS_MAX];
    bool sequence = false;
    const int count = split_obus(frame, bytes, obus, &sequence);
    if (count <= 0)
        return -EINVAL;
    guint8 payload[PACKETIZE_MAX_PAYLOAD];
    int obu = 0;
    gsize done = 0; /* bytes of obus[obu] that were sent */
    for (bool first = true; obu < count; first = false) {
        gsize fill = 1, length_at[3] = {0}, length[3] = {0};
        guint elements = 0;
        const bool continued = done > 0;
        /* Every element gets two bytes for its length; the last one's are taken out again below. */
        while (obu < count && elements < 3 && fill + 2 < packetizer->max_payload) {
            const gsize left = obu_bytes(&obus[obu]) - done;
            const gsize take = MIN(left, packetizer->max_payload - fill - 2);
            length_at[elements] = fill;
            length[elements++] = take;
            copy_obu(payload + fill + 2, &obus[obu], done, take);
            fill += 2 + take;
            done += take;
            if (take < left)
                break;
            obu++;
            done = 0;
        }
        for (guint i = 0; i + 1 < elements; i++) {
            payload[length_at[i]] = 0x80 | (length[i] & 0x7f);
            payload[length_at[i] + 1] = length[i] >> 7;
        }
        const gsize last = length_at[elements - 1];
        memmove(payload + last, payload + last + 2, length[elements - 1]);
        fill -= 2;
        payload[0] = (continued ? 0x80 : 0) | (done > 0 ? 0x40 : 0) | elements << 4 | (first && sequence ? 0x08 : 0);
        sink(user, payload, fill, obu == count);
    }
    return 0;
}

int packetizer_frame(Packetizer *packetizer, const guint8 *frame, gsize bytes, PacketizeSink sink, gpointer user)
{
    if (bytes == 0 || packetizer->max_payload < 16 || packetizer->max_payload > PACKETIZE_MAX_PAYLOAD)
        return -EINVAL;
    switch (packetizer->codec) {
    case STENO_CODEC_OPUS:
    case STENO_CODEC_PCMU:
    case STENO_CODEC_PCMA:
        if (bytes > packetizer->max_payload)
            return -EINVAL;
        sink(user, frame, bytes, false);
        return 0;
    case STENO_CODEC_VP8:
    case STENO_CODEC_VP9:
        return packetize_vpx(packetizer, frame, bytes, sink, user);
    case STENO_CODEC_H264:
    case STENO_CODEC_H265:
        return packetize_h26x(packetizer, frame, bytes, sink, user);
    case STENO_CODEC_AV1:
        return packetize_av1(packetizer, frame, bytes, sink, user);
    default:
        return -EINVAL;
    }
}
