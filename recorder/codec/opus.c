/*
 * Opus (RFC 7587): the payload is one Opus packet (RFC 6716 §3).
 *
 * FORMAT says two channels whatever the SDP says: the RTP map is always opus/48000/2, each packet chooses mono or
 * stereo for itself, and sprop-stereo is only what the sender thinks likely. A decoder told two channels plays both
 * kinds right; one told one channel would mix down the stereo packets.
 *
 * Packets of one or two bytes (DTX) are frames like others.
 */
#include "depacketizer.h"

#include <errno.h>

#define MAX_FRAME_BYTES 1275 /* RFC 6716 §3.2.1 */
#define MAX_PACKET_US 120000 /* R5 */

/* How long one frame of the configuration in the TOC byte lasts, RFC 6716 table 2. */
static guint frame_us(guint8 toc)
{
    static const guint16 silk_ms[4] = {10, 20, 40, 60};
    const guint config = toc >> 3;
    if (config < 12)
        return silk_ms[config & 3] * 1000u;
    if (config < 16)
        return config & 1 ? 20000 : 10000;
    return 2500u << (config & 3);
}

/* A frame length of one or two bytes, RFC 6716 §3.2.1. FALSE when it is not there. */
static bool read_length(const guint8 *data, gsize bytes, gsize *at, gsize *length)
{
    if (*at >= bytes)
        return false;
    *length = data[(*at)++];
    if (*length < 252)
        return true;
    if (*at >= bytes)
        return false;
    *length += 4 * (gsize)data[(*at)++];
    return true;
}

/* Code 3: a signalled number of frames, RFC 6716 §3.2.5. */
static bool is_code3(const guint8 *data, gsize bytes)
{
    if (bytes < 2)
        return false;
    const guint count = data[1] & 0x3f;
    if (count == 0 || count * frame_us(data[0]) > MAX_PACKET_US)
        return false;
    gsize at = 2, padding = 0;
    if (data[1] & 0x40) {
        guint8 more = 255;
        while (more == 255) {
            if (at >= bytes)
                return false;
            more = data[at++];
            padding += more == 255 ? 254 : more;
        }
    }
    if (padding > bytes - at)
        return false;
    const gsize end = bytes - padding;
    if (!(data[1] & 0x80)) /* constant bit rate */
        return (end - at) % count == 0 && (end - at) / count <= MAX_FRAME_BYTES;
    gsize sum = 0;
    for (guint i = 0; i + 1 < count; i++) {
        gsize length;
        if (!read_length(data, end, &at, &length))
            return false;
        sum += length;
    }
    return sum <= end - at && end - at - sum <= MAX_FRAME_BYTES;
}

/* A well-formed packet: R1 to R7 of RFC 6716 §3.4. */
static bool is_opus_packet(const guint8 *data, gsize bytes)
{
    gsize at = 1, length;
    switch (data[0] & 3) {
    case 0:
        return bytes - 1 <= MAX_FRAME_BYTES;
    case 1:
        return (bytes - 1) % 2 == 0 && (bytes - 1) / 2 <= MAX_FRAME_BYTES;
    case 2:
        return read_length(data, bytes, &at, &length) && length <= bytes - at && bytes - at - length <= MAX_FRAME_BYTES;
    default:
        return is_code3(data, bytes);
    }
}

static void opus_start(void *state, StenoDepacketizerConfig *config)
{
    (void)state;
    config->channels = 2;
    config->clock_hz = 48000;
}

static int opus_see(void *state, const guint8 *data, gsize bytes)
{
    (void)state;
    return is_opus_packet(data, bytes) ? 0 : -EBADMSG;
}

const StenoReaderOps steno_reader_opus = {
    .start = opus_start,
    .see = opus_see,
};

const StenoPayloadOps steno_payload_opus = {
    .push = steno_depacketizer_push_whole,
};
