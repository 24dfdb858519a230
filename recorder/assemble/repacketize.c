#include "repacketize.h"

#include <string.h>

#define PAYLOAD_BYTES 1200
#define HEAD_MAX_BYTES 3

typedef struct {
    RepacketizeSink sink;
    gpointer user;
    guint8 payload[HEAD_MAX_BYTES + PAYLOAD_BYTES];
} Repacketizer;

static void put(Repacketizer *self, const guint8 *head, gsize head_bytes, const guint8 *data, gsize bytes,
                gboolean last)
{
    memcpy(self->payload, head, head_bytes);
    memcpy(self->payload + head_bytes, data, bytes);
    self->sink(self->user, self->payload, head_bytes + bytes, last);
}

/* One byte before each piece: what it is in all of them, and what it has besides in the first and the last one. */
static void put_pieces(Repacketizer *self, guint8 all, guint8 first, guint8 final, const guint8 *data, gsize bytes)
{
    for (gsize at = 0; at < bytes; at += PAYLOAD_BYTES) {
        gsize n = MIN(bytes - at, PAYLOAD_BYTES);
        gboolean last = at + n == bytes;
        guint8 head = (guint8)(all | (at == 0 ? first : 0) | (last ? final : 0));
        put(self, &head, 1, data + at, n, last);
    }
}

/* ---- H.264, H.265 ------------------------------------------------------------------------------------------------ */

/* RFC 6184 §5.6, §5.8; RFC 7798 §4.4.1, §4.4.3. */
static void put_nal(Repacketizer *self, StenoCodec codec, const guint8 *nal, gsize bytes, gboolean last)
{
    gsize nal_head = codec == STENO_CODEC_H264 ? 1 : 2;
    if (bytes <= PAYLOAD_BYTES) {
        put(self, nal, 0, nal, bytes, last);
        return;
    }
    guint8 type = codec == STENO_CODEC_H264 ? nal[0] & 0x1f : nal[0] >> 1 & 0x3f;
    guint8 head[HEAD_MAX_BYTES];
    head[0] = codec == STENO_CODEC_H264 ? (nal[0] & 0xe0) | 28 : (nal[0] & 0x81) | 49 << 1;
    head[1] = nal[1];
    for (gsize at = nal_head; at < bytes; at += PAYLOAD_BYTES) {
        gsize n = MIN(bytes - at, PAYLOAD_BYTES);
        gboolean final = at + n == bytes;
        head[nal_head] = (guint8)(type | (at == nal_head ? 0x80 : 0) | (final ? 0x40 : 0));
        put(self, head, nal_head + 1, nal + at, n, last && final);
    }
}

static void put_nals(Repacketizer *self, StenoCodec codec, const guint8 *data, gsize bytes)
{
    static const guint8 start_code[] = {0, 0, 0, 1};
    const guint8 *end = data + bytes, *nal = memmem(data, bytes, start_code, sizeof start_code);
    while (nal) {
        nal += sizeof start_code;
        const guint8 *next = memmem(nal, (gsize)(end - nal), start_code, sizeof start_code);
        gsize nal_bytes = (gsize)((next ? next : end) - nal);
        if (nal_bytes > 2)
            put_nal(self, codec, nal, nal_bytes, !next);
        nal = next;
    }
}

/* ---- AV1 --------------------------------------------------------------------------------------------------------- */

/* The OBU at the beginning of the data: its head, without a size, and its payload. Returns the bytes of it all; 0:
 * there is none. */
static gsize read_obu(const guint8 *data, gsize bytes, guint8 head[2], gsize *head_bytes, const guint8 **payload,
                      gsize *payload_bytes)
{
    *head_bytes = bytes > 0 && data[0] & 0x04 ? 2 : 1;
    if (bytes < *head_bytes || !(data[0] & 0x02)) /* each tells its size */
        return 0;
    memcpy(head, data, *head_bytes);
    head[0] &= (guint8)~0x02;
    guint64 size = 0;
    gsize at = *head_bytes;
    for (guint i = 0; i < 8 && at < bytes; i++) {
        guint8 byte = data[at++];
        size |= (guint64)(byte & 0x7f) << (7 * i);
        if (byte & 0x80)
            continue;
        if (size > bytes - at)
            return 0;
        *payload = data + at;
        *payload_bytes = (gsize)size;
        return at + (gsize)size;
    }
    return 0;
}

/* AV1 RTP payload format §4.4: one OBU, or a piece of one, in each. */
static void put_obus(Repacketizer *self, const guint8 *data, gsize bytes)
{
    guint8 sequence = 0x08; /* N: a coded video sequence begins */
    guint8 head[2];
    const guint8 *payload;
    gsize head_bytes, payload_bytes, n;
    for (; (n = read_obu(data, bytes, head, &head_bytes, &payload, &payload_bytes)) > 0; data += n, bytes -= n) {
        g_autoptr(GByteArray) obu = g_byte_array_sized_new((guint)(head_bytes + payload_bytes));
        g_byte_array_append(obu, head, (guint)head_bytes);
        g_byte_array_append(obu, payload, (guint)payload_bytes);
        for (gsize at = 0; at < obu->len; at += PAYLOAD_BYTES) {
            gsize part = MIN(obu->len - at, PAYLOAD_BYTES);
            gboolean final = at + part == obu->len;
            guint8 aggregation = (guint8)((at > 0 ? 0x80 : 0) | (final ? 0 : 0x40) | 0x10 | sequence);
            put(self, &aggregation, 1, obu->data + at, part, final && n == bytes);
            sequence = 0;
        }
    }
}

void repacketize(StenoCodec codec, const guint8 *data, gsize bytes, RepacketizeSink sink, gpointer user)
{
    Repacketizer self = {.sink = sink, .user = user};
    if (codec == STENO_CODEC_VP8)
        put_pieces(&self, 0, 0x10, 0, data, bytes); /* RFC 7741 §4.2: S */
    else if (codec == STENO_CODEC_VP9)
        put_pieces(&self, 0, 0x08, 0x04, data, bytes); /* RFC 9628 §4.2: B, E */
    else if (codec == STENO_CODEC_AV1)
        put_obus(&self, data, bytes);
    else
        put_nals(&self, codec, data, bytes);
}
