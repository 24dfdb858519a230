/* G.711, PCMU and PCMA (RFC 3551 §4.5.14): the payload is the samples, one byte each, the channels interleaved. */
#include "depacketizer.h"

#include <errno.h>

typedef struct {
    guint8 channels;
} G711;

static void g711_start(void *state, StenoDepacketizerConfig *config)
{
    G711 *g711 = state;
    if (config->channels == 0)
        config->channels = 1;
    g711->channels = config->channels;
}

static int g711_see(void *state, const guint8 *data, gsize bytes)
{
    const G711 *g711 = state;
    (void)data;
    return bytes % g711->channels == 0 ? 0 : -EBADMSG;
}

const StenoReaderOps steno_reader_g711 = {
    .state_bytes = sizeof(G711),
    .start = g711_start,
    .see = g711_see,
};

const StenoPayloadOps steno_payload_g711 = {
    .push = steno_depacketizer_push_whole,
};
