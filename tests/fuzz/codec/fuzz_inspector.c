/*
 * One codec's inspector (STENO_FUZZ_CODEC), fed whole frames, or what its opaque depacketizer makes of packets.
 *
 * Input: one byte of options (1: a pool that is soon full; 2: with parameters in the fmtp; 4: packets), then for each
 * frame or packet one byte of flags (1: marker, 2: a new timestamp, 4: something is missing before it, how many packets
 * in bits 4 to 7; 8: a flush before it), two bytes of length (low first) and the payload.
 */
#include "steno/codec.h"

#include <stdint.h>
#include <string.h>

#define POOL_BYTES (16 * 1024 * 1024)
#define TINY_POOL_BYTES (40 * 1024)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

typedef struct {
    StenoFramePool *pool;
    StenoInspector *inspector;
    StenoDepacketizer *depacketizer; /* NULL: frames */
    gint64 seq, rtp_ts;

    StenoFrameKind last; /* that came out of the inspector */
    bool formatted, keyframe;
    guint64 frames, undecodable, gaps_in, gaps_out;
    bool opaque_formatted;
    guint64 opaque_frames, lost_in, lost_out;
} Fuzz;

static void check_annexb(const StenoFrame *frame)
{
    if (frame->codec != STENO_CODEC_H264 && frame->codec != STENO_CODEC_H265)
        return;
    g_assert(frame->payload_bytes > 4 && memcmp(frame->payload, "\0\0\0\1", 4) == 0);
    for (guint32 i = 4; i + 3 <= frame->payload_bytes; i++)
        g_assert(memcmp(frame->payload + i, "\0\0\1", 3) != 0 || frame->payload[i - 1] == 0);
}

static void take(gpointer user, StenoFrame *frame)
{
    Fuzz *fuzz = user;
    g_assert(frame->codec == STENO_FUZZ_CODEC && frame->track == 3 && !frame->encrypted);
    g_assert(fuzz->last != STENO_FRAME_FORMAT || frame->kind == STENO_FRAME_MEDIA);
    switch (frame->kind) {
    case STENO_FRAME_MEDIA:
        g_assert(fuzz->formatted && frame->payload_bytes > 0);
        fuzz->keyframe |= frame->keyframe && frame->decodable;
        g_assert(fuzz->keyframe);
        fuzz->frames++;
        fuzz->undecodable += !frame->decodable;
        check_annexb(frame);
        break;
    case STENO_FRAME_GAP:
        g_assert(frame->rtp_ts <= frame->gap.until_rtp_ts);
        if (frame->gap.first_seq >= 0)
            fuzz->gaps_out++;
        else
            g_assert(frame->gap.last_seq == -1 && frame->gap.packets == 0 && frame->gap.cause != STENO_GAP_LOST);
        break;
    case STENO_FRAME_FORMAT:
        fuzz->formatted = true;
        break;
    default:
        g_assert_not_reached();
    }
    fuzz->last = frame->kind;
    steno_frame_unref(frame);
}

static void give_gap(Fuzz *fuzz, StenoFrame *gap)
{
    fuzz->gaps_in++;
    steno_inspector_gap(fuzz->inspector, gap);
}

/* What the opaque depacketizer gives, opened as if it had been in the clear. */
static void take_opaque(gpointer user, StenoFrame *frame)
{
    Fuzz *fuzz = user;
    gsize sizes[STENO_CODEC_LAYERS_MAX], sum = 0;
    switch (frame->kind) {
    case STENO_FRAME_FORMAT:
        g_assert(frame->encrypted && !fuzz->opaque_formatted);
        g_assert(frame->payload_bytes == 0 && frame->format.width == 0 && frame->format.height == 0);
        fuzz->opaque_formatted = true;
        break;
    case STENO_FRAME_MEDIA:
        g_assert(frame->encrypted && !frame->keyframe && frame->decodable && fuzz->opaque_formatted);
        fuzz->opaque_frames++;
        const guint layers = steno_codec_layers(frame->codec, frame->payload, frame->payload_bytes, sizes);
        for (guint i = 0; i < layers; i++)
            sum += sizes[i];
        g_assert(layers >= 1 && layers <= STENO_CODEC_LAYERS_MAX && sum <= frame->payload_bytes);
        g_assert(steno_codec_join_layers(frame->payload, sizes, layers) == frame->payload_bytes);
        frame->encrypted = false;
        (void)steno_inspector_frame(fuzz->inspector, frame);
        return;
    case STENO_FRAME_GAP:
        if (frame->gap.cause == STENO_GAP_LOST)
            fuzz->lost_out += frame->gap.packets;
        give_gap(fuzz, frame);
        return;
    default:
        g_assert_not_reached();
    }
    steno_frame_unref(frame);
}

static void give_packet(Fuzz *fuzz, uint8_t flags, const uint8_t *payload, size_t bytes)
{
    StenoPacket packet = {.marker = flags & 1};
    const gint64 last_ts = fuzz->rtp_ts;
    fuzz->rtp_ts += flags & 2 ? 3000 : 0;
    if (flags & 8)
        steno_depacketizer_flush(fuzz->depacketizer);
    if (flags & 4) {
        const guint missing = 1 + (flags >> 4) * 10;
        fuzz->lost_in += missing;
        steno_depacketizer_gap(fuzz->depacketizer, fuzz->seq, fuzz->seq + missing - 1, missing, last_ts, fuzz->rtp_ts,
                               STENO_GAP_LOST);
        fuzz->seq += missing;
    }
    packet.seq = fuzz->seq++;
    packet.rtp_ts = fuzz->rtp_ts;
    packet.payload_bytes = MIN(bytes, STENO_PACKET_MAX_BYTES - 12);
    /* At the end of the packet, so that a read past the payload is one past the packet. */
    packet.payload_offset = STENO_PACKET_MAX_BYTES - packet.payload_bytes;
    memcpy(packet.data + packet.payload_offset, payload, packet.payload_bytes);
    (void)steno_depacketizer_push(fuzz->depacketizer, &packet);
    g_assert(!steno_depacketizer_needs_keyframe(fuzz->depacketizer));
}

static void give_frame(Fuzz *fuzz, uint8_t flags, const uint8_t *payload, size_t bytes)
{
    fuzz->rtp_ts += flags & 2 ? 3000 : 0;
    if (flags & 8)
        steno_inspector_flush(fuzz->inspector);
    StenoFrame *gap = flags & 4 ? steno_frame_new(fuzz->pool, STENO_FRAME_GAP, 0) : NULL;
    if (gap) {
        gap->codec = STENO_FUZZ_CODEC;
        gap->track = 3;
        gap->rtp_ts = gap->gap.until_rtp_ts = fuzz->rtp_ts;
        give_gap(fuzz, gap);
    }
    StenoFrame *frame = steno_frame_new(fuzz->pool, STENO_FRAME_MEDIA, bytes);
    if (!frame)
        return;
    frame->codec = STENO_FUZZ_CODEC;
    frame->track = 3;
    frame->rtp_ts = fuzz->rtp_ts;
    if (bytes > 0)
        memcpy(frame->payload, payload, bytes);
    frame->payload_bytes = (guint32)bytes;
    (void)steno_inspector_frame(fuzz->inspector, frame);
    (void)steno_inspector_needs_keyframe(fuzz->inspector);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    if (bytes < 1)
        return 0;
    static const char fmtp[] =
        "packetization-mode=1; sprop-parameter-sets=Z0LAFtoCgL/lwFqAgICgAAADACAAAAeB4sXU,aM48gA==;"
        "sprop-vps=QAEMAf//AWAAAAMAkAAAAwAAAwA8lZgJ;sprop-max-don-diff=1;x=";
    StenoDepacketizerConfig config = {.codec = STENO_FUZZ_CODEC, .track = 3, .fmtp = data[0] & 2 ? fmtp : NULL};
    Fuzz fuzz = {.seq = 65000, .rtp_ts = 4294960000};
    fuzz.pool = steno_frame_pool_new(data[0] & 1 ? TINY_POOL_BYTES : POOL_BYTES);
    fuzz.inspector = steno_inspector_new(&config, fuzz.pool, take, &fuzz);
    config.opaque = true;
    if (data[0] & 4)
        fuzz.depacketizer = steno_depacketizer_new(&config, fuzz.pool, take_opaque, &fuzz);
    for (size_t at = 1; at + 3 <= bytes;) {
        const uint8_t flags = data[at];
        const size_t length = MIN((size_t)(data[at + 1] | data[at + 2] << 8), bytes - at - 3);
        if (fuzz.depacketizer)
            give_packet(&fuzz, flags, data + at + 3, length);
        else
            give_frame(&fuzz, flags, data + at + 3, length);
        at += 3 + length;
    }
    if (fuzz.depacketizer) {
        steno_depacketizer_flush(fuzz.depacketizer);
        g_assert(steno_depacketizer_stats(fuzz.depacketizer)->frames == fuzz.opaque_frames);
        g_assert(fuzz.lost_in == fuzz.lost_out);
    }
    steno_inspector_flush(fuzz.inspector);
    const StenoDepacketizerStats *stats = steno_inspector_stats(fuzz.inspector);
    g_assert(fuzz.frames == stats->frames && fuzz.undecodable == stats->undecodable);
    g_assert(fuzz.gaps_in == fuzz.gaps_out);
    steno_depacketizer_free(fuzz.depacketizer);
    steno_inspector_free(fuzz.inspector);
    steno_frame_pool_free(fuzz.pool); /* a frame that was not given back keeps the pool: the leak checker sees it */
    return 0;
}
