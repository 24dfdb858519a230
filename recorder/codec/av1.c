/*
 * AV1 (RTP Payload Format for AV1, version 1.0): OBU elements over packets → a temporal unit in the low-overhead
 * format.
 *
 * RTP leaves out obu_size; it is put back. Of an OBU in one packet the size is known when it begins; of a fragmented
 * one room is left that fits all but small and huge ones, which are moved once. Temporal delimiters and tile lists are
 * left out, as the payload format says of them.
 *
 * After a loss the beginning of a temporal unit is proven by an OBU that begins in the packet and is none of the rest
 * of a frame.
 */
#include "av1_header.h"
#include "av1_reader.h"
#include "depacketizer.h"

#include <errno.h>
#include <string.h>

#define RESERVED_SIZE_BYTES 2 /* for a fragmented OBU: fits from 128 to 16383 bytes */

typedef struct {
    bool in_fragment; /* an OBU goes on in the next packet */
    bool passed_over; /* … of a kind that is left out */
    bool sized;       /* … with the size that the sender wrote */
    guint32 obu_at;   /* its offset in the frame */
    guint32 obu_body; /* the offset of what follows its header and size */
} Av1;

typedef struct {
    const guint8 *data;
    gsize bytes;
} Element;

static gsize write_leb128(guint8 out[5], gsize value)
{
    gsize count = 0;
    do {
        out[count++] = (value & 0x7f) | (value > 0x7f ? 0x80 : 0);
        value >>= 7;
    } while (value > 0);
    return count;
}

/* The next element of a packet; index counts them. FALSE when it is malformed; data NULL at the end. */
static bool next_element(const guint8 *payload, gsize bytes, gsize *at, guint index, Element *element)
{
    const guint count = payload[0] >> 4 & 3; /* W */
    *element = (Element){NULL, 0};
    if (count > 0 ? index == count : *at == bytes)
        return *at == bytes;
    gsize length = bytes - *at;
    if (count == 0 || index + 1 < count) {
        if (!steno_av1_leb128(payload, bytes, at, &length) || length > bytes - *at)
            return false;
    }
    *element = (Element){payload + *at, length};
    *at += length;
    return true;
}

/* Is the packet what its aggregation header says? *first is the first element that is not empty. */
static bool check_packet(const guint8 *payload, gsize bytes, Element *first)
{
    Element element;
    gsize at = 1;
    guint index = 0;
    *first = (Element){NULL, 0};
    do {
        if (!next_element(payload, bytes, &at, index, &element))
            return false;
        const bool begins = element.bytes > 0 && (index > 0 || !(payload[0] & 0x80));
        if (begins && element.bytes < steno_av1_obu_header_bytes(element.data[0])) /* nobody cuts there */
            return false;
        if (!first->data && element.bytes > 0)
            *first = element;
        index++;
    } while (element.data);
    return first->data != NULL;
}

/* Appends the beginning of an OBU; fragment: its size is not known yet. */
static void begin_obu(StenoDepacketizer *depacketizer, Av1 *av1, const Element *element, bool fragment)
{
    const guint type = steno_av1_obu_type(element->data[0]);
    av1->passed_over = type == STENO_AV1_TEMPORAL_DELIMITER || type == STENO_AV1_TILE_LIST;
    if (av1->passed_over)
        return;
    const gsize header = steno_av1_obu_header_bytes(element->data[0]);
    guint8 head[2 + 5] = {element->data[0] | 0x02, header == 2 ? element->data[1] : 0};
    gsize fill = header;
    av1->sized = steno_av1_obu_has_size(element->data[0]);
    if (!av1->sized) {
        if (fragment)
            fill += RESERVED_SIZE_BYTES;
        else
            fill += write_leb128(head + fill, element->bytes - header);
    }
    if (!depacketizer->open_refused) {
        av1->obu_at = depacketizer->open->payload_bytes;
        av1->obu_body = av1->obu_at + fill;
    }
    steno_depacketizer_append(depacketizer, head, fill);
    steno_depacketizer_append(depacketizer, element->data + header, element->bytes - header);
}

/* Writes the size of a fragmented OBU, moving it when the room does not fit. FALSE when there is no room to move. */
static bool write_size(StenoDepacketizer *depacketizer, Av1 *av1)
{
    StenoFrame *frame = depacketizer->open;
    const gsize body_bytes = frame->payload_bytes - av1->obu_body;
    guint8 size[5];
    const gsize size_bytes = write_leb128(size, body_bytes);
    if (size_bytes > RESERVED_SIZE_BYTES) {
        static const guint8 nothing[5];
        steno_depacketizer_append(depacketizer, nothing, size_bytes - RESERVED_SIZE_BYTES);
        if (depacketizer->open_refused)
            return false;
    }
    const guint32 size_at = av1->obu_body - RESERVED_SIZE_BYTES;
    if (size_bytes != RESERVED_SIZE_BYTES)
        memmove(frame->payload + size_at + size_bytes, frame->payload + av1->obu_body, body_bytes);
    memcpy(frame->payload + size_at, size, size_bytes);
    av1->obu_body = size_at + size_bytes;
    frame->payload_bytes = av1->obu_body + body_bytes;
    return true;
}

/* The OBU at obu_at is whole. FALSE when it says a size that it has not. */
static bool end_obu(StenoDepacketizer *depacketizer, Av1 *av1, bool fragmented)
{
    if (av1->passed_over || depacketizer->open_refused)
        return true;
    if (av1->sized) {
        const StenoFrame *frame = depacketizer->open;
        gsize at = av1->obu_body, size = 0;
        if (!steno_av1_leb128(frame->payload, frame->payload_bytes, &at, &size) || size != frame->payload_bytes - at)
            return false;
        av1->obu_body = at;
    } else if (fragmented && !write_size(depacketizer, av1)) {
        return true;
    }
    const StenoFrame *frame = depacketizer->open;
    steno_av1_see_obu(depacketizer->outlet.reader_state, frame->payload + av1->obu_at,
                      frame->payload_bytes - av1->obu_at, av1->obu_body - av1->obu_at);
    return true;
}

/* Can an OBU that begins like this be the first of a temporal unit? */
static bool is_beginning(const Element *element)
{
    const guint8 header = element->data[0];
    if (steno_av1_obu_header_bytes(header) == 2 && (element->data[1] >> 3 & 3) > 0) /* spatial_id */
        return false;
    switch (steno_av1_obu_type(header)) {
    case STENO_AV1_SEQUENCE_HEADER:
    case STENO_AV1_TEMPORAL_DELIMITER:
    case STENO_AV1_METADATA:
    case STENO_AV1_FRAME_HEADER:
    case STENO_AV1_FRAME:
        return true;
    default:
        return false;
    }
}

/* One element: a whole OBU, or a fragment of one that goes on from before (continued) or goes on behind (unfinished).
 */
static int take_element(StenoDepacketizer *depacketizer, Av1 *av1, const Element *element, bool continued,
                        bool unfinished)
{
    if (!continued) {
        if (element->bytes == 0)
            return 0;
        begin_obu(depacketizer, av1, element, unfinished);
    } else if (!av1->passed_over) {
        steno_depacketizer_append(depacketizer, element->data, element->bytes);
    }
    av1->in_fragment = unfinished;
    return unfinished || end_obu(depacketizer, av1, continued) ? 0 : -EBADMSG;
}

static int av1_push(StenoDepacketizer *depacketizer, const StenoPacket *packet)
{
    Av1 *av1 = depacketizer->state;
    const guint8 *payload = steno_packet_payload(packet);
    const gsize bytes = packet->payload_bytes;
    const bool continued = payload[0] & 0x80, unfinished = payload[0] & 0x40; /* Z, Y */
    Element element;
    if (!check_packet(payload, bytes, &element))
        return -EBADMSG;
    if (!steno_depacketizer_is_open(depacketizer) &&
        (continued || (depacketizer->head_unsure && !is_beginning(&element))))
        return steno_depacketizer_skip(depacketizer, packet);
    if (continued != av1->in_fragment)
        return -EBADMSG;
    steno_depacketizer_take(depacketizer, packet);
    gsize at = 1;
    for (guint index = 0; next_element(payload, bytes, &at, index, &element) && element.data; index++) {
        const int result =
            take_element(depacketizer, av1, &element, continued && index == 0, unfinished && at == bytes);
        if (result < 0)
            return result;
    }
    return 0;
}

static StenoEnding av1_close(StenoDepacketizer *depacketizer)
{
    const Av1 *av1 = depacketizer->state;
    return av1->in_fragment ? STENO_ENDING_DAMAGED : STENO_ENDING_WHOLE;
}

static void av1_reset(StenoDepacketizer *depacketizer, guint32 lost)
{
    Av1 *av1 = depacketizer->state;
    (void)lost;
    av1->in_fragment = false;
}

const StenoPayloadOps steno_payload_av1 = {
    .state_bytes = sizeof(Av1),
    .push = av1_push,
    .close = av1_close,
    .reset = av1_reset,
    .is_never_opaque = true,
};
