/*
 * One codec's depacketizer (STENO_FUZZ_CODEC) fed a sequence of packets, gaps and flushes.
 *
 * Input: one byte of options (1: a pool that is soon full; 2: with parameters in the fmtp), then for each packet one
 * byte of flags (1: marker, 2: a new timestamp, 4: packets are lost before it, how many in bits 4 to 7; 8: a flush
 * before it), two bytes of length (low first) and the payload.
 */
#include "steno/codec.h"

#include <stdint.h>
#include <string.h>

#define POOL_BYTES (16 * 1024 * 1024)
#define TINY_POOL_BYTES (40 * 1024)
#define KEPT 16 /* frames that the sink holds back, so that the pool is under pressure */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

typedef struct {
    StenoFrame *kept[KEPT];
    guint at;
    StenoFrameKind last;
    bool formatted, keyframe;
    gint64 last_seq;
    guint64 frames, undecodable, lost;
} Sink;

static void check_media(Sink *sink, const StenoFrame *frame)
{
    g_assert(sink->formatted);
    g_assert(frame->payload_bytes > 0 && frame->payload_bytes <= STENO_FRAME_MAX_BYTES);
    g_assert(frame->payload_bytes <= frame->payload_capacity);
    if (frame->keyframe && frame->decodable)
        sink->keyframe = true;
    g_assert(sink->keyframe); /* nothing comes before a key frame; each frame of audio is one */
    sink->frames++;
    sink->undecodable += !frame->decodable;
}

static void take(gpointer user, StenoFrame *frame)
{
    Sink *sink = user;
    g_assert(frame->codec == STENO_FUZZ_CODEC && frame->track == 3);
    g_assert(sink->last != STENO_FRAME_FORMAT || frame->kind == STENO_FRAME_MEDIA);
    switch (frame->kind) {
    case STENO_FRAME_MEDIA:
        check_media(sink, frame);
        break;
    case STENO_FRAME_GAP:
        g_assert(frame->gap.first_seq <= frame->gap.last_seq && frame->gap.packets > 0);
        g_assert(frame->gap.packets <= frame->gap.last_seq - frame->gap.first_seq + 1);
        g_assert(frame->rtp_ts <= frame->gap.until_rtp_ts);
        if (frame->gap.cause == STENO_GAP_LOST)
            sink->lost += frame->gap.packets;
        break;
    case STENO_FRAME_FORMAT:
        sink->formatted = true;
        break;
    default:
        g_assert_not_reached();
    }
    sink->last = frame->kind;
    if (sink->kept[sink->at])
        steno_frame_unref(sink->kept[sink->at]);
    sink->kept[sink->at] = frame;
    sink->at = (sink->at + 1) % KEPT;
}

static void release(Sink *sink)
{
    for (guint i = 0; i < KEPT; i++) {
        if (sink->kept[i])
            steno_frame_unref(sink->kept[i]);
        sink->kept[i] = NULL;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    if (bytes < 1)
        return 0;
    static const char fmtp[] =
        "packetization-mode=1; sprop-parameter-sets=Z0LAFtoCgL/lwFqAgICgAAADACAAAAeB4sXU,aM48gA==;"
        "sprop-vps=QAEMAf//AWAAAAMAkAAAAwAAAwA8lZgJ;sprop-max-don-diff=1;x=";
    const StenoDepacketizerConfig config = {.codec = STENO_FUZZ_CODEC, .track = 3, .fmtp = data[0] & 2 ? fmtp : NULL};
    StenoFramePool *pool = steno_frame_pool_new(data[0] & 1 ? TINY_POOL_BYTES : POOL_BYTES);
    Sink sink = {.last = STENO_FRAME_NONE};
    StenoDepacketizer *depacketizer = steno_depacketizer_new(&config, pool, take, &sink);
    StenoPacket packet = {.seq = 65000, .rtp_ts = 4294960000, .payload_offset = 12};
    guint64 lost = 0;
    for (size_t at = 1; at + 3 <= bytes;) {
        const uint8_t flags = data[at];
        const size_t length = MIN((size_t)(data[at + 1] | data[at + 2] << 8), bytes - at - 3);
        at += 3;
        const gint64 last_ts = packet.rtp_ts;
        packet.rtp_ts += flags & 2 ? 3000 : 0;
        if (flags & 8)
            steno_depacketizer_flush(depacketizer);
        if (flags & 4) {
            const guint missing = 1 + (flags >> 4) * 10;
            steno_depacketizer_gap(depacketizer, packet.seq, packet.seq + missing - 1, missing, last_ts, packet.rtp_ts,
                                   STENO_GAP_LOST);
            packet.seq += missing;
            lost += missing;
        }
        packet.marker = flags & 1;
        packet.payload_bytes = MIN(length, STENO_PACKET_MAX_BYTES - 12);
        /* At the end of the packet, so that a read past the payload is one past the packet. */
        packet.payload_offset = STENO_PACKET_MAX_BYTES - packet.payload_bytes;
        memcpy(packet.data + packet.payload_offset, data + at, packet.payload_bytes);
        at += length;
        (void)steno_depacketizer_push(depacketizer, &packet);
        (void)steno_depacketizer_needs_keyframe(depacketizer);
        packet.seq++;
    }
    release(&sink);
    steno_depacketizer_flush(depacketizer);
    release(&sink);
    steno_depacketizer_flush(depacketizer);
    const StenoDepacketizerStats *stats = steno_depacketizer_stats(depacketizer);
    g_assert(sink.lost == lost);
    g_assert(sink.frames == stats->frames && sink.undecodable == stats->undecodable);
    steno_depacketizer_free(depacketizer);
    release(&sink);
    steno_frame_pool_free(pool); /* a frame that was not given back keeps the pool: the leak checker sees it */
    return 0;
}
