#include "harness.h"

#include <string.h>

static void keep(gpointer user, StenoFrame *frame)
{
    Harness *harness = user;
    g_ptr_array_add(harness->frames, frame);
}

static void init(Harness *harness, const StenoDepacketizerConfig *config, gsize pool_bytes)
{
    *harness = (Harness){.seq = HARNESS_FIRST_SEQ, .rtp_ts = G_GINT64_CONSTANT(0xfffff000)};
    harness->pool = steno_frame_pool_new(pool_bytes);
    harness->frames = g_ptr_array_new_with_free_func((GDestroyNotify)steno_frame_unref);
    harness->depacketizer = steno_depacketizer_new(config, harness->pool, keep, harness);
}

void harness_init_pool(Harness *harness, StenoCodec codec, const char *fmtp, gsize pool_bytes)
{
    init(harness, &(StenoDepacketizerConfig){.codec = codec, .fmtp = fmtp, .track = 7}, pool_bytes);
}

void harness_init_opaque(Harness *harness, StenoCodec codec, const char *fmtp)
{
    init(harness, &(StenoDepacketizerConfig){.codec = codec, .fmtp = fmtp, .track = 7, .opaque = true},
         64 * 1024 * 1024);
}

void harness_init(Harness *harness, StenoCodec codec, const char *fmtp)
{
    harness_init_pool(harness, codec, fmtp, 64 * 1024 * 1024);
}

void harness_clear(Harness *harness)
{
    steno_depacketizer_free(harness->depacketizer);
    g_ptr_array_unref(harness->frames);
    steno_frame_pool_free(harness->pool);
}

int harness_push(Harness *harness, const void *payload, gsize bytes, bool marker)
{
    /* The packet ends where its heap block ends, so that a read past the end is seen. */
    const gsize size = offsetof(StenoPacket, data) + 12 + bytes;
    g_autofree StenoPacket *packet = g_malloc0(size);
    packet->seq = harness->seq++;
    packet->rtp_ts = harness->rtp_ts;
    packet->arrival_us = packet->seq * 1000;
    packet->bytes = 12 + bytes;
    packet->payload_offset = 12;
    packet->payload_bytes = bytes;
    packet->marker = marker;
    if (bytes > 0)
        memcpy(packet->data + 12, payload, bytes);
    return steno_depacketizer_push(harness->depacketizer, packet);
}

void harness_tick(Harness *harness, gint64 ticks)
{
    harness->rtp_ts += ticks;
}

void harness_lose(Harness *harness, guint packets, gint64 ticks)
{
    steno_depacketizer_gap(harness->depacketizer, harness->seq, harness->seq + packets - 1, packets, harness->rtp_ts,
                           harness->rtp_ts + ticks, STENO_GAP_LOST);
    harness->seq += packets;
    harness->rtp_ts += ticks;
}

void harness_flush(Harness *harness)
{
    steno_depacketizer_flush(harness->depacketizer);
}

const StenoFrame *harness_next(Harness *harness)
{
    return harness->at < harness->frames->len ? g_ptr_array_index(harness->frames, harness->at++) : NULL;
}
