/* G.711, PCMU and PCMA (RFC 3551 §4.5.14): the payload is the samples, one byte each, the channels interleaved. */
#include "depacketizer.h"

#include <errno.h>

static void g711_start(StenoDepacketizer *depacketizer)
{
    if (depacketizer->config.channels == 0)
        depacketizer->config.channels = 1;
}

static int g711_push(StenoDepacketizer *depacketizer, const StenoPacket *packet)
{
    if (packet->payload_bytes % depacketizer->config.channels != 0)
        return -EBADMSG;
    steno_depacketizer_take(depacketizer, packet);
    steno_depacketizer_append(depacketizer, steno_packet_payload(packet), packet->payload_bytes);
    return 0;
}

const StenoCodecOps steno_codec_pcmu = {
    .codec = STENO_CODEC_PCMU,
    .default_clock_hz = 8000,
    .start = g711_start,
    .push = g711_push,
};

const StenoCodecOps steno_codec_pcma = {
    .codec = STENO_CODEC_PCMA,
    .default_clock_hz = 8000,
    .start = g711_start,
    .push = g711_push,
};
