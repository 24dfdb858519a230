/*
 * Streams under the channel's own AES: what an opaque depacketizer puts together, and an inspector says of it once it
 * was opened, has to be what a depacketizer gives of the same stream in the clear, frame for frame.
 *
 * Clips of real encoders, in three dresses: in the clear; sealed, as LiveKit seals frames (here with an exclusive or,
 * which is as opaque to a depacketizer, and reversible without a key); and sealed with losses, of which only whole
 * frames may come out, and all whose beginning is proven.
 */
#include "packets.h"

#include <errno.h>
#include <libavutil/log.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define POOL_BYTES (256 * 1024 * 1024)
#define KEYSTREAM 0x5a
#define SEALED_TAIL "\0\x0c\1" /* any tail: a frame grows when it is sealed, and may have zeros there */

/* ---- sealing ----------------------------------------------------------------------------------------------------- */

static bool is_nal_codec(StenoCodec codec)
{
    return codec == STENO_CODEC_H264 || codec == STENO_CODEC_H265;
}

/* Where the encryption begins: H.264, H.265: behind two bytes of the first slice. */
static gsize clear_bytes(StenoCodec codec, const guint8 *data, gsize bytes)
{
    for (gsize at = 0; is_nal_codec(codec) && at + 4 < bytes; at++) {
        if (data[at] != 0 || data[at + 1] != 0 || data[at + 2] != 1)
            continue;
        const guint8 h264 = data[at + 3] & 0x1f, h265 = data[at + 3] >> 1 & 0x3f;
        if (codec == STENO_CODEC_H264 ? h264 == 1 || h264 == 5 : h265 < 32)
            return at + 3 + 2;
    }
    return 0;
}

/* Emulation prevention, as LiveKit's writeRbsp does it. */
static void append_escaped(GByteArray *out, const guint8 *data, gsize bytes)
{
    guint zeros = 0;
    for (gsize i = 0; i < bytes; i++) {
        if (zeros >= 2 && data[i] <= 3) {
            g_byte_array_append(out, (const guint8 *)"\3", 1);
            zeros = 0;
        }
        g_byte_array_append(out, data + i, 1);
        zeros = data[i] == 0 ? zeros + 1 : 0;
    }
}

static GByteArray *seal(StenoCodec codec, const guint8 *data, gsize bytes)
{
    const gsize clear = clear_bytes(codec, data, bytes);
    GByteArray *body = g_byte_array_new(), *out = g_byte_array_new();
    for (gsize i = clear; i < bytes; i++)
        g_byte_array_append(body, &(guint8){data[i] ^ KEYSTREAM}, 1);
    g_byte_array_append(body, (const guint8 *)SEALED_TAIL, 3);
    g_byte_array_append(out, data, (guint)clear);
    if (is_nal_codec(codec))
        append_escaped(out, body->data, body->len);
    else
        g_byte_array_append(out, body->data, body->len);
    g_byte_array_unref(body);
    return out;
}

/* The frame in the clear. */
static StenoFrame *unseal(const StenoFrame *frame, StenoFramePool *pool)
{
    StenoFrame *clear = steno_frame_new(pool, STENO_FRAME_MEDIA, frame->payload_bytes);
    const gsize begin = clear_bytes(frame->codec, frame->payload, frame->payload_bytes);
    guint zeros = 0;
    if (begin > 0)
        memcpy(clear->payload, frame->payload, begin);
    clear->payload_bytes = (guint32)begin;
    for (gsize i = begin; i < frame->payload_bytes; i++) {
        if (is_nal_codec(frame->codec) && zeros >= 2 && frame->payload[i] == 3) {
            zeros = 0;
            continue;
        }
        zeros = frame->payload[i] == 0 ? zeros + 1 : 0;
        clear->payload[clear->payload_bytes++] = frame->payload[i] ^ KEYSTREAM;
    }
    clear->payload_bytes -= 3;
    return clear;
}

static StenoFrame *copy(const StenoFrame *frame, StenoFramePool *pool)
{
    StenoFrame *clear = steno_frame_new(pool, frame->kind, frame->payload_bytes);
    if (frame->payload_bytes > 0)
        memcpy(clear->payload, frame->payload, frame->payload_bytes);
    clear->payload_bytes = frame->payload_bytes;
    return clear;
}

/* A clip like it, with sealed frames; the last frame's parameters stay. */
static Clip *sealed_clip(const Clip *clip)
{
    Clip *sealed = g_new0(Clip, 1);
    *sealed = *clip;
    sealed->parameters = avcodec_parameters_alloc();
    sealed->packets = g_ptr_array_new();
    sealed->sealed = true;
    for (guint i = 0; i < clip->packets->len; i++) {
        const AVPacket *packet = g_ptr_array_index(clip->packets, i);
        g_autoptr(GByteArray) bytes = seal(clip->codec, packet->data, (gsize)packet->size);
        AVPacket *out = av_packet_alloc();
        g_assert(av_new_packet(out, (int)bytes->len) == 0);
        memcpy(out->data, bytes->data, bytes->len);
        out->pts = packet->pts;
        out->dts = packet->dts;
        out->flags = packet->flags;
        g_ptr_array_add(sealed->packets, out);
    }
    return sealed;
}

/* ---- opening ----------------------------------------------------------------------------------------------------- */

static void keep(gpointer user, StenoFrame *frame)
{
    g_ptr_array_add(user, frame);
}

typedef struct {
    StenoFramePool *pool;
    StenoInspector *inspector;
    GPtrArray *frames;
} Opened;

static void opened_init(Opened *opened, StenoCodec codec, const char *fmtp, gsize pool_bytes)
{
    opened->pool = steno_frame_pool_new(pool_bytes);
    opened->frames = g_ptr_array_new_with_free_func((GDestroyNotify)steno_frame_unref);
    opened->inspector = steno_inspector_new(&(StenoDepacketizerConfig){.codec = codec, .fmtp = fmtp, .track = 7},
                                            opened->pool, keep, opened->frames);
    assert_non_null(opened->inspector);
}

static void opened_clear(Opened *opened)
{
    steno_inspector_free(opened->inspector);
    g_ptr_array_unref(opened->frames);
    steno_frame_pool_free(opened->pool);
}

/* What came out of an opaque depacketizer, opened and inspected. */
static void opened_take(Opened *opened, const GPtrArray *frames, bool sealed)
{
    for (guint i = 0; i < frames->len; i++) {
        const StenoFrame *frame = g_ptr_array_index(frames, i);
        if (frame->kind == STENO_FRAME_GAP) {
            StenoFrame *gap = steno_frame_new(opened->pool, STENO_FRAME_GAP, 0);
            gap->codec = frame->codec;
            gap->track = frame->track;
            gap->rtp_ts = frame->rtp_ts;
            gap->arrival_us = frame->arrival_us;
            gap->gap = frame->gap;
            steno_inspector_gap(opened->inspector, gap);
            continue;
        }
        assert_true(frame->encrypted);
        assert_int_equal(frame->kind == STENO_FRAME_FORMAT, i == 0);
        if (frame->kind == STENO_FRAME_FORMAT) {
            assert_int_equal(frame->payload_bytes, 0);
            assert_int_equal(frame->format.width, 0);
            assert_int_equal(frame->format.height, 0);
            continue;
        }
        assert_false(frame->keyframe);
        assert_true(frame->decodable);
        StenoFrame *clear = sealed ? unseal(frame, opened->pool) : copy(frame, opened->pool);
        clear->codec = frame->codec;
        clear->track = frame->track;
        clear->rtp_ts = frame->rtp_ts;
        clear->arrival_us = frame->arrival_us;
        assert_int_equal(steno_inspector_frame(opened->inspector, clear), 0);
    }
    steno_inspector_flush(opened->inspector);
}

/* ---- the same, frame for frame ----------------------------------------------------------------------------------- */

static void compare_frames(const GPtrArray *expected, const GPtrArray *got, bool same_arrival)
{
    for (guint i = 0; i < MAX(expected->len, got->len); i++) {
        if (i >= expected->len || i >= got->len)
            fail_msg("%u frames expected, %u came", expected->len, got->len);
        const StenoFrame *a = g_ptr_array_index(expected, i), *b = g_ptr_array_index(got, i);
        assert_int_equal(a->kind, b->kind);
        assert_int_equal(a->codec, b->codec);
        assert_int_equal(a->track, b->track);
        assert_int_equal(a->rtp_ts, b->rtp_ts);
        if (same_arrival)
            assert_int_equal(a->arrival_us, b->arrival_us);
        assert_int_equal(a->keyframe, b->keyframe);
        assert_int_equal(a->decodable, b->decodable);
        assert_false(b->encrypted);
        if (a->kind == STENO_FRAME_FORMAT)
            assert_memory_equal(&a->format, &b->format, sizeof a->format);
        if (a->payload_bytes != b->payload_bytes ||
            (a->payload_bytes > 0 && memcmp(a->payload, b->payload, a->payload_bytes) != 0))
            fail_msg("frame %u differs (%u and %u bytes)", i, a->payload_bytes, b->payload_bytes);
    }
}

static void check_same(const Clip *clip, const GPtrArray *packets, const GPtrArray *sealed)
{
    Harness clear, opaque;
    Opened opened;
    harness_init(&clear, clip->codec, NULL);
    packets_push(&clear, packets);
    harness_init_opaque(&opaque, clip->codec, NULL);
    packets_push(&opaque, sealed ? sealed : packets);
    opened_init(&opened, clip->codec, NULL, POOL_BYTES);
    opened_take(&opened, opaque.frames, sealed != NULL);
    assert_true(clear.frames->len >= clip->packets->len);
    compare_frames(clear.frames, opened.frames, sealed == NULL);
    const StenoDepacketizerStats *a = steno_depacketizer_stats(clear.depacketizer);
    assert_memory_equal(a, steno_inspector_stats(opened.inspector), sizeof *a);
    opened_clear(&opened);
    harness_clear(&opaque);
    harness_clear(&clear);
}

static void test_same_in_the_clear(void **state)
{
    g_autoptr(Clip) clip = clip_new((StenoCodec)GPOINTER_TO_UINT(*state), true);
    if (!clip)
        skip();
    GPtrArray *ways[] = {packets_by_us(clip, 300), packets_by_us(clip, PACKETIZE_MAX_PAYLOAD),
                         packets_by_libavformat(clip)};
    for (guint i = 0; i < G_N_ELEMENTS(ways); i++) {
        check_same(clip, ways[i], NULL);
        g_ptr_array_unref(ways[i]);
    }
}

static void test_same_sealed(void **state)
{
    g_autoptr(Clip) clip = clip_new((StenoCodec)GPOINTER_TO_UINT(*state), true);
    if (!clip)
        skip();
    g_autoptr(Clip) sealed = sealed_clip(clip);
    for (guint i = 0; i < 2; i++) {
        const gsize max_payload = i ? PACKETIZE_MAX_PAYLOAD : 300;
        g_autoptr(GPtrArray) packets = packets_by_us(clip, max_payload);
        g_autoptr(GPtrArray) sealed_packets = packets_by_us(sealed, max_payload);
        check_same(clip, packets, sealed_packets);
    }
}

/* Of AV1 there are no opaque frames; those of a depacketizer are what an inspector is given. */
static void test_same_av1(void **state)
{
    (void)state;
    g_autoptr(Clip) clip = clip_new(STENO_CODEC_AV1, true);
    if (!clip)
        skip();
    g_autoptr(GPtrArray) packets = packets_by_us(clip, 300);
    Harness clear;
    Opened opened;
    harness_init(&clear, STENO_CODEC_AV1, NULL);
    packets_push(&clear, packets);
    opened_init(&opened, STENO_CODEC_AV1, NULL, POOL_BYTES);
    for (guint i = 0; i < clear.frames->len; i++) {
        const StenoFrame *frame = g_ptr_array_index(clear.frames, i);
        if (frame->kind != STENO_FRAME_MEDIA)
            continue;
        StenoFrame *again = copy(frame, opened.pool);
        again->codec = frame->codec;
        again->track = frame->track;
        again->rtp_ts = frame->rtp_ts;
        again->arrival_us = frame->arrival_us;
        assert_int_equal(steno_inspector_frame(opened.inspector, again), 0);
    }
    compare_frames(clear.frames, opened.frames, true);
    opened_clear(&opened);
    harness_clear(&clear);
    const StenoDepacketizerConfig config = {.codec = STENO_CODEC_AV1, .opaque = true};
    StenoFramePool *pool = steno_frame_pool_new(1024);
    assert_null(steno_depacketizer_new(&config, pool, keep, NULL));
    steno_frame_pool_free(pool);
}

/* ---- losses ------------------------------------------------------------------------------------------------------ */

typedef struct {
    gint64 ts;
    bool whole;  /* all its packets came */
    bool proven; /* … and the one before them */
    bool emitted;
} Fate;

/* Pushes what is not lost, and says of each frame what became of its packets. */
static GArray *push_lossy(Harness *harness, const GPtrArray *packets, GRand *rand)
{
    GArray *fates = g_array_new(FALSE, TRUE, sizeof(Fate));
    gint64 lost_from = harness->seq; /* -1: nothing is missing before the next packet */
    guint burst = 0;
    for (guint i = 0; i < packets->len; i++) {
        gsize bytes;
        const guint8 *packet = g_bytes_get_data(g_ptr_array_index(packets, i), &bytes);
        const gint64 ts = packets_ts(packet);
        if (fates->len == 0 || g_array_index(fates, Fate, fates->len - 1).ts != ts) {
            const Fate fate = {.ts = ts, .whole = true, .proven = lost_from < 0};
            g_array_append_val(fates, fate);
        }
        /* The first one comes: how a stream's frames begin is learned from it. */
        if (burst == 0 && fates->len > 1 && g_rand_int_range(rand, 0, 12) == 0)
            burst = (guint)g_rand_int_range(rand, 1, 4);
        if (burst > 0) {
            burst--;
            lost_from = lost_from < 0 ? harness->seq : lost_from;
            g_array_index(fates, Fate, fates->len - 1).whole = false;
            harness->seq++;
            continue;
        }
        if (lost_from >= 0 && lost_from < harness->seq)
            steno_depacketizer_gap(harness->depacketizer, lost_from, harness->seq - 1,
                                   (guint32)(harness->seq - lost_from), harness->rtp_ts, ts, STENO_GAP_LOST);
        lost_from = -1;
        harness->rtp_ts = ts;
        assert_int_equal(harness_push(harness, packet + 12, bytes - 12, packet[1] & 0x80), 0);
    }
    harness_flush(harness);
    return fates;
}

static const StenoFrame *media_at(const GPtrArray *frames, gint64 ts)
{
    for (guint i = 0; i < frames->len; i++) {
        const StenoFrame *frame = g_ptr_array_index(frames, i);
        if (frame->kind == STENO_FRAME_MEDIA && frame->rtp_ts == ts)
            return frame;
    }
    fail_msg("a frame of a time that was never sent");
    return NULL;
}

static void check_lossy(const Clip *clip, guint32 seed)
{
    g_autoptr(GPtrArray) packets = packets_by_us(clip, 300);
    g_autoptr(GRand) rand = g_rand_new_with_seed(seed);
    Harness lossless, lossy;
    harness_init_opaque(&lossless, clip->codec, NULL);
    packets_push(&lossless, packets);
    harness_init_opaque(&lossy, clip->codec, NULL);
    GArray *fates = push_lossy(&lossy, packets, rand);
    guint emitted = 0, came = 0;
    for (guint i = 0; i < lossy.frames->len; i++) {
        const StenoFrame *frame = g_ptr_array_index(lossy.frames, i);
        emitted += frame->kind == STENO_FRAME_MEDIA;
    }
    for (guint i = 0; i < fates->len; i++) {
        const Fate *fate = &g_array_index(fates, Fate, i);
        const StenoFrame *frame = NULL, *whole = media_at(lossless.frames, fate->ts);
        for (guint j = 0; j < lossy.frames->len && !frame; j++) {
            const StenoFrame *each = g_ptr_array_index(lossy.frames, j);
            if (each->kind == STENO_FRAME_MEDIA && each->rtp_ts == fate->ts)
                frame = each;
        }
        if (fate->whole && fate->proven)
            assert_non_null(frame);
        if (!frame)
            continue;
        came++;
        assert_true(fate->whole);
        assert_int_equal(frame->payload_bytes, whole->payload_bytes);
        assert_memory_equal(frame->payload, whole->payload, whole->payload_bytes);
    }
    assert_int_equal(came, emitted);
    assert_int_equal(steno_depacketizer_stats(lossy.depacketizer)->damaged, 0);
    g_array_unref(fates);
    harness_clear(&lossy);
    harness_clear(&lossless);
}

static void test_losses(void **state)
{
    g_autoptr(Clip) clip = clip_new((StenoCodec)GPOINTER_TO_UINT(*state), true);
    if (!clip)
        skip();
    g_autoptr(Clip) sealed = sealed_clip(clip);
    for (guint32 seed = 1; seed <= 20; seed++) {
        check_lossy(clip, seed);
        check_lossy(sealed, seed);
    }
}

/* ---- what is read, and what is not ------------------------------------------------------------------------------- */

static const StenoFrame *expect(Harness *harness, StenoFrameKind kind)
{
    const StenoFrame *frame = harness_next(harness);
    assert_non_null(frame);
    assert_int_equal(frame->kind, kind);
    return frame;
}

/* Payloads that no depacketizer of clear streams would take: key frames without a start code, no Opus packet … */
static void test_payloads_are_not_read(void **state)
{
    static const guint8 opus[] = {0x03, 0x00}; /* a code 3 packet of no frames */
    static const guint8 vp8[] = {0x10, 0x00, 0xff, 0xff};
    static const guint8 vp9[] = {0x0c, 0x00};
    static const struct {
        StenoCodec codec;
        const guint8 *payload;
        gsize bytes, descriptor;
    } rows[] = {{STENO_CODEC_OPUS, opus, sizeof opus, 0},
                {STENO_CODEC_PCMU, opus, 1, 0},
                {STENO_CODEC_VP8, vp8, sizeof vp8, 1},
                {STENO_CODEC_VP9, vp9, sizeof vp9, 1}};
    (void)state;
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        Harness harness;
        harness_init_opaque(&harness, rows[i].codec, NULL);
        assert_int_equal(harness_push(&harness, rows[i].payload, rows[i].bytes, true), 0);
        assert_false(steno_depacketizer_needs_keyframe(harness.depacketizer));
        assert_true(expect(&harness, STENO_FRAME_FORMAT)->encrypted);
        const StenoFrame *frame = expect(&harness, STENO_FRAME_MEDIA);
        assert_int_equal(frame->payload_bytes, rows[i].bytes - rows[i].descriptor);
        assert_true(frame->encrypted);
        assert_false(frame->keyframe);
        assert_true(frame->decodable);
        harness_lose(&harness, 2, 3000);
        assert_int_equal(harness_push(&harness, rows[i].payload, rows[i].bytes, true), 0);
        assert_int_equal(expect(&harness, STENO_FRAME_GAP)->gap.packets, 2);
        assert_true(expect(&harness, STENO_FRAME_MEDIA)->decodable);
        assert_false(steno_depacketizer_needs_keyframe(harness.depacketizer));
        assert_null(harness_next(&harness));
        harness_clear(&harness);
    }
}

/* An access unit whose parameter sets were lost would be taken for a forged one: it does not come out. */
static void test_beheaded_access_units(void **state)
{
    (void)state;
    Harness harness;
    harness_init_opaque(&harness, STENO_CODEC_H264, NULL);
    for (guint round = 0; round < 2; round++) {
        PUSH(&harness, false, 0x67, 1, 2);
        PUSH(&harness, true, 0x65, 0x88, 9);
        harness_tick(&harness, 3000);
        PUSH(&harness, true, 0x41, 0x9a, 9);
        harness_tick(&harness, 3000);
    }
    harness_lose(&harness, 1, 0);
    PUSH(&harness, true, 0x65, 0x88, 9); /* its SPS is what was lost */
    harness_tick(&harness, 3000);
    PUSH(&harness, true, 0x41, 0x9a, 1);
    harness_tick(&harness, 3000);
    harness_lose(&harness, 1, 3000);
    PUSH(&harness, true, 0x41, 0x9a, 2); /* begins as all of its kind do */
    expect(&harness, STENO_FRAME_FORMAT);
    for (guint i = 0; i < 4; i++)
        expect(&harness, STENO_FRAME_MEDIA);
    expect(&harness, STENO_FRAME_GAP);
    assert_int_equal(expect(&harness, STENO_FRAME_MEDIA)->payload[6], 1);
    expect(&harness, STENO_FRAME_GAP);
    assert_int_equal(expect(&harness, STENO_FRAME_MEDIA)->payload[6], 2);
    harness_flush(&harness);
    assert_null(harness_next(&harness));
    harness_clear(&harness);
}

/* Layers of a VP9 picture, each encrypted by itself. */
static void test_layers(void **state)
{
    (void)state;
    gsize sizes[STENO_CODEC_LAYERS_MAX];
    guint8 room[64];
    Harness harness;
    harness_init_opaque(&harness, STENO_CODEC_VP9, NULL);
    PUSH(&harness, false, 0xa8, 0x01, 0x00, 0x00, 1, 2); /* I L B, SID 0 */
    PUSH(&harness, false, 0xa4, 0x01, 0x00, 0x00, 3);    /* E */
    PUSH(&harness, true, 0xac, 0x01, 0x02, 0x00, 4, 5);  /* B E, SID 1 */
    expect(&harness, STENO_FRAME_FORMAT);
    const StenoFrame *frame = expect(&harness, STENO_FRAME_MEDIA);
    assert_int_equal(frame->payload_bytes, 5 + 2 + 2 * 4);
    assert_int_equal(steno_codec_layers(STENO_CODEC_VP9, frame->payload, frame->payload_bytes, sizes), 2);
    assert_int_equal(sizes[0], 3);
    assert_int_equal(sizes[1], 2);
    assert_int_equal(steno_codec_layers(STENO_CODEC_VP8, frame->payload, frame->payload_bytes, sizes), 1);
    assert_int_equal(sizes[0], frame->payload_bytes);
    assert_int_equal(steno_codec_layers(STENO_CODEC_VP9, frame->payload, frame->payload_bytes - 1, sizes), 1);
    assert_int_equal(sizes[0], frame->payload_bytes - 1);

    memcpy(room, "\1\2\4", 3); /* opened, they are shorter */
    assert_int_equal(steno_codec_join_layers(room, (const gsize[]){2, 1}, 2), 3 + 10);
    assert_int_equal(steno_codec_layers(STENO_CODEC_VP9, room, 13, sizes), 2);
    assert_int_equal(sizes[1], 1);
    assert_int_equal(steno_codec_join_layers(room, (const gsize[]){3}, 1), 3);

    /* Nothing in a layer makes it two. */
    harness_tick(&harness, 3000);
    PUSH(&harness, true, 0x8c, 0x02, 7, 0xc1, 1, 1, 0xc1);
    frame = expect(&harness, STENO_FRAME_MEDIA);
    assert_int_equal(steno_codec_layers(STENO_CODEC_VP9, frame->payload, frame->payload_bytes, sizes), 1);
    assert_int_equal(sizes[0], 5);
    harness_clear(&harness);
}

/* ---- the inspector ----------------------------------------------------------------------------------------------- */

static int give(Opened *opened, gint64 rtp_ts, const void *data, gsize bytes)
{
    StenoFrame *frame = steno_frame_new(opened->pool, STENO_FRAME_MEDIA, bytes);
    if (bytes > 0)
        memcpy(frame->payload, data, bytes);
    frame->payload_bytes = (guint32)bytes;
    frame->rtp_ts = rtp_ts;
    return steno_inspector_frame(opened->inspector, frame);
}

static const StenoFrame *came(const Opened *opened, guint at, StenoFrameKind kind, gint64 rtp_ts)
{
    assert_true(at < opened->frames->len);
    const StenoFrame *frame = g_ptr_array_index(opened->frames, at);
    assert_int_equal(frame->kind, kind);
    assert_int_equal(frame->rtp_ts, rtp_ts);
    return frame;
}

static void check_gap(const StenoFrame *frame, StenoGapCause cause, gint64 until)
{
    assert_int_equal(frame->gap.cause, cause);
    assert_int_equal(frame->gap.first_seq, -1);
    assert_int_equal(frame->gap.last_seq, -1);
    assert_int_equal(frame->gap.packets, 0);
    assert_int_equal(frame->gap.until_rtp_ts, until);
}

static const guint8 vp8_key[] = {0x10, 0, 0, 0x9d, 0x01, 0x2a, 0x40, 0x01, 0xb4, 0x00, 1}; /* 320x180 */
static const guint8 vp8_bad[] = {0x10, 0, 0, 0x9d, 0x01, 0x2b, 0x40, 0x01, 0xb4, 0x00, 1};
static const guint8 vp8_delta[] = {0x11, 0, 0, 1};

static void test_inspector_waits_for_a_keyframe(void **state)
{
    (void)state;
    Opened opened;
    opened_init(&opened, STENO_CODEC_VP8, NULL, POOL_BYTES);
    assert_true(steno_inspector_needs_keyframe(opened.inspector));
    assert_int_equal(give(&opened, 1000, vp8_delta, sizeof vp8_delta), 0);
    assert_int_equal(give(&opened, 4000, vp8_delta, sizeof vp8_delta), 0);
    assert_int_equal(opened.frames->len, 0);
    assert_int_equal(give(&opened, 7000, vp8_key, sizeof vp8_key), 0);
    assert_false(steno_inspector_needs_keyframe(opened.inspector));
    check_gap(came(&opened, 0, STENO_FRAME_GAP, 1000), STENO_GAP_NO_KEYFRAME, 7000);
    assert_int_equal(came(&opened, 1, STENO_FRAME_FORMAT, 7000)->format.width, 320);
    assert_true(came(&opened, 2, STENO_FRAME_MEDIA, 7000)->keyframe);

    StenoFrame *gap = steno_frame_new(opened.pool, STENO_FRAME_GAP, 0);
    gap->rtp_ts = 10000;
    gap->gap.first_seq = 5;
    steno_inspector_gap(opened.inspector, gap);
    assert_ptr_equal(came(&opened, 3, STENO_FRAME_GAP, 10000), gap);
    assert_true(steno_inspector_needs_keyframe(opened.inspector));
    give(&opened, 13000, vp8_delta, sizeof vp8_delta);
    assert_false(came(&opened, 4, STENO_FRAME_MEDIA, 13000)->decodable);
    give(&opened, 16000, vp8_key, sizeof vp8_key);
    assert_true(came(&opened, 5, STENO_FRAME_MEDIA, 16000)->decodable);

    steno_inspector_flush(opened.inspector);
    assert_true(steno_inspector_needs_keyframe(opened.inspector));
    give(&opened, 19000, vp8_key, sizeof vp8_key);
    came(&opened, 6, STENO_FRAME_FORMAT, 19000); /* told again */
    came(&opened, 7, STENO_FRAME_MEDIA, 19000);
    assert_int_equal(opened.frames->len, 8);
    opened_clear(&opened);
}

static void test_inspector_tells_damage(void **state)
{
    (void)state;
    Opened opened;
    opened_init(&opened, STENO_CODEC_VP8, NULL, POOL_BYTES);
    assert_int_equal(give(&opened, 1000, vp8_key, sizeof vp8_key), 0);
    assert_int_equal(give(&opened, 4000, vp8_bad, sizeof vp8_bad), -EBADMSG);
    assert_int_equal(give(&opened, 7000, "", 0), -EBADMSG); /* one gap with the one before */
    assert_int_equal(give(&opened, 10000, vp8_delta, sizeof vp8_delta), 0);
    check_gap(came(&opened, 2, STENO_FRAME_GAP, 4000), STENO_GAP_DAMAGED, 10000);
    assert_false(came(&opened, 3, STENO_FRAME_MEDIA, 10000)->decodable);
    assert_int_equal(steno_inspector_stats(opened.inspector)->damaged, 2);
    assert_int_equal(steno_inspector_stats(opened.inspector)->frames, 2);
    assert_int_equal(steno_inspector_stats(opened.inspector)->undecodable, 1);
    opened_clear(&opened);
}

/* What is no frame of the codec, although its key fits. */
static void test_inspector_refuses(void **state)
{
    static const struct {
        StenoCodec codec;
        const char *frame;
        gsize bytes;
    } rows[] = {
        {STENO_CODEC_OPUS, "\3\0", 2},
        {STENO_CODEC_H264, "\x65\x88", 2},
        {STENO_CODEC_H264, "\0\0\1", 3},
        {STENO_CODEC_H264, "\1\0\0\1\x65", 5},
        {STENO_CODEC_H264, "\0\0\0\1\x65\x88\0\0\1\0\0\1\x41", 13},
        {STENO_CODEC_H265, "\0\0\0\0\1\x26\1\1", 8},
        {STENO_CODEC_AV1, "\x32\x05\1", 3},   /* longer than it is */
        {STENO_CODEC_AV1, "\x30\x01\1", 3},   /* without a size */
        {STENO_CODEC_AV1, "\xb2\x01\1", 3},   /* the forbidden bit */
        {STENO_CODEC_AV1, "\x32\xff\xff", 3}, /* a size cut off */
        {STENO_CODEC_AV1, "\x36", 1},         /* an extension cut off */
    };
    (void)state;
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        Opened opened;
        opened_init(&opened, rows[i].codec, NULL, POOL_BYTES);
        assert_int_equal(give(&opened, 1000, rows[i].frame, rows[i].bytes), -EBADMSG);
        steno_inspector_flush(opened.inspector);
        check_gap(came(&opened, 0, STENO_FRAME_GAP, 1000), STENO_GAP_DAMAGED, 1001);
        assert_int_equal(opened.frames->len, 1);
        opened_clear(&opened);
    }
    Opened opened;
    opened.pool = steno_frame_pool_new(1000);
    assert_null(steno_inspector_new(&(StenoDepacketizerConfig){.codec = STENO_CODEC_UNKNOWN}, opened.pool, keep, NULL));
    steno_frame_pool_free(opened.pool);
}

#define SPS "\x67\x42\xc0\x16\xda\x02\x80\xbf\xe5\xc0\x5a\x80\x80\x80\xa0\0\0\3\0\x20\0\0\7\x81\xe2\xc5\xd4"
#define PPS "\x68\xce\x3c\x80"
#define IDR "\x65\x88\x84\x21\xa0"

/* Slices that were hidden behind the first one come with start codes as their encoder wrote them. */
static void test_inspector_lengthens_start_codes(void **state)
{
    static const char given[] = "\0\0\1" SPS "\0\0\0\1" PPS "\0\0\1" IDR "\0\0\1\x65\x44\x21\0\0\0\1\x65\x22\x21";
    static const char wanted[] =
        "\0\0\0\1" SPS "\0\0\0\1" PPS "\0\0\0\1" IDR "\0\0\0\1\x65\x44\x21\0\0\0\1\x65\x22\x21";
    (void)state;
    Opened opened;
    opened_init(&opened, STENO_CODEC_H264, NULL, POOL_BYTES);
    assert_int_equal(give(&opened, 1000, given, sizeof given - 1), 0);
    assert_int_equal(came(&opened, 0, STENO_FRAME_FORMAT, 1000)->format.width, 640);
    const StenoFrame *frame = came(&opened, 1, STENO_FRAME_MEDIA, 1000);
    assert_int_equal(frame->payload_bytes, sizeof wanted - 1);
    assert_memory_equal(frame->payload, wanted, sizeof wanted - 1);
    assert_true(frame->keyframe);
    /* Parameter sets alone are no picture, and nothing is missing. */
    assert_int_equal(give(&opened, 4000, "\0\0\1" SPS, 3 + sizeof SPS - 1), 0);
    assert_int_equal(opened.frames->len, 2);
    opened_clear(&opened);
}

/* A pool that is full is told as overflow, and lives on. */
static void test_inspector_overflow(void **state)
{
    (void)state;
    Opened opened;
    opened_init(&opened, STENO_CODEC_H264, "sprop-parameter-sets=Z0LAFtoCgL/lwFqAgICgAAADACAAAAeB4sXU,aM48gA==", 8000);
    GPtrArray *ballast = g_ptr_array_new_with_free_func((GDestroyNotify)steno_frame_unref);
    StenoFrame *frame = steno_frame_new(opened.pool, STENO_FRAME_MEDIA, 64);
    memcpy(frame->payload, "\0\0\0\1" IDR, 4 + sizeof IDR - 1);
    frame->payload_bytes = 4 + sizeof IDR - 1;
    for (StenoFrame *more; (more = steno_frame_new(opened.pool, STENO_FRAME_MEDIA, 16));)
        g_ptr_array_add(ballast, more);
    assert_int_equal(steno_inspector_frame(opened.inspector, frame), 0);
    assert_int_equal(steno_inspector_stats(opened.inspector)->refused, 1);
    assert_true(steno_inspector_needs_keyframe(opened.inspector));
    g_ptr_array_unref(ballast);
    steno_inspector_flush(opened.inspector);
    const StenoFrame *gap = g_ptr_array_index(opened.frames, 0);
    assert_int_equal(gap->kind, STENO_FRAME_GAP);
    assert_int_equal(gap->gap.cause, STENO_GAP_OVERFLOW);
    assert_int_equal(give(&opened, 4000, "\0\0\0\1" IDR, 4 + sizeof IDR - 1), 0);
    assert_true(came(&opened, 2, STENO_FRAME_MEDIA, 4000)->decodable);
    opened_clear(&opened);
}

/* libx265 does not give back all that it allocates for slices. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libx265\n";
}

int main(void)
{
    av_log_set_level(AV_LOG_ERROR);
#define OF(test, codec)                                                                                                \
    {                                                                                                                  \
#test " " #codec, test, NULL, NULL, GUINT_TO_POINTER(STENO_CODEC_##codec)                                      \
    }
#define OF_EACH(test)                                                                                                  \
    OF(test, OPUS), OF(test, PCMU), OF(test, PCMA), OF(test, VP8), OF(test, VP9), OF(test, H264), OF(test, H265)
    const struct CMUnitTest tests[] = {
        OF_EACH(test_same_in_the_clear),
        OF_EACH(test_same_sealed),
        OF_EACH(test_losses),
        cmocka_unit_test(test_same_av1),
        cmocka_unit_test(test_payloads_are_not_read),
        cmocka_unit_test(test_beheaded_access_units),
        cmocka_unit_test(test_layers),
        cmocka_unit_test(test_inspector_waits_for_a_keyframe),
        cmocka_unit_test(test_inspector_tells_damage),
        cmocka_unit_test(test_inspector_refuses),
        cmocka_unit_test(test_inspector_lengthens_start_codes),
        cmocka_unit_test(test_inspector_overflow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
