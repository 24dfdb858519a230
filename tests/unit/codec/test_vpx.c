/* VP8 (RFC 7741) and VP9 (RFC 9628): descriptors, pictures, and what is proven decodable after a loss. */
#include "harness.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define TICK 3000

/* ---- VP8 --------------------------------------------------------------------------------------------------------- */

/* A VP8 key frame header of 320×240, and of 160×120. */
#define VP8_KEY 0x10, 0x02, 0x00, 0x9d, 0x01, 0x2a, 0x40, 0x01, 0xf0, 0x00
#define VP8_SMALL_KEY 0x10, 0x02, 0x00, 0x9d, 0x01, 0x2a, 0xa0, 0x00, 0x78, 0x00
#define VP8_DELTA 0x11, 0x02, 0x00

static const StenoFrame *expect_kind(Harness *harness, StenoFrameKind kind)
{
    const StenoFrame *frame = harness_next(harness);
    assert_non_null(frame);
    assert_int_equal(frame->kind, kind);
    return frame;
}

static const StenoFrame *expect_gap(Harness *harness, StenoGapCause cause, guint packets)
{
    const StenoFrame *frame = expect_kind(harness, STENO_FRAME_GAP);
    assert_int_equal(frame->gap.cause, cause);
    assert_int_equal(frame->gap.packets, packets);
    return frame;
}

static const StenoFrame *expect_media(Harness *harness, bool keyframe, bool decodable)
{
    const StenoFrame *frame = expect_kind(harness, STENO_FRAME_MEDIA);
    assert_int_equal(frame->keyframe, keyframe);
    assert_int_equal(frame->decodable, decodable);
    return frame;
}

static void expect_format(Harness *harness, guint width, guint height)
{
    const StenoFrame *frame = expect_kind(harness, STENO_FRAME_FORMAT);
    assert_int_equal(frame->format.width, width);
    assert_int_equal(frame->format.height, height);
    assert_int_equal(frame->format.clock_hz, 90000);
    assert_int_equal(frame->payload_bytes, 0);
}

static void test_vp8_frames(void **state)
{
    (void)state;
    Harness harness;
    harness_init(&harness, STENO_CODEC_VP8, NULL);
    assert_true(steno_depacketizer_needs_keyframe(harness.depacketizer));
    /* No extension, one-byte picture ID, two-byte picture ID with all of L, T and K. */
    assert_int_equal(PUSH(&harness, false, 0x10, VP8_KEY), 0);
    assert_int_equal(PUSH(&harness, true, 0x00, 0xaa, 0xbb), 0);
    assert_false(steno_depacketizer_needs_keyframe(harness.depacketizer));
    harness_tick(&harness, TICK);
    assert_int_equal(PUSH(&harness, true, 0x90, 0x80, 0x05, VP8_DELTA), 0);
    harness_tick(&harness, TICK);
    assert_int_equal(PUSH(&harness, true, 0x90, 0xf0, 0x80, 0x06, 0x01, 0x20, VP8_DELTA), 0);
    harness_tick(&harness, TICK);
    assert_int_equal(PUSH(&harness, true, 0x10, VP8_SMALL_KEY), 0);
    expect_format(&harness, 320, 240);
    const StenoFrame *frame = expect_media(&harness, true, true);
    assert_int_equal(frame->payload_bytes, 12);
    assert_int_equal(frame->payload[11], 0xbb);
    assert_int_equal(expect_media(&harness, false, true)->payload_bytes, 3);
    assert_int_equal(expect_media(&harness, false, true)->payload_bytes, 3);
    expect_format(&harness, 160, 120);
    expect_media(&harness, true, true);
    assert_null(harness_next(&harness));
    harness_clear(&harness);
}

/* Its marker's packet does not come, but the next timestamp does: the frame is whole. */
static void test_vp8_end_by_timestamp(void **state)
{
    (void)state;
    Harness harness;
    harness_init(&harness, STENO_CODEC_VP8, NULL);
    PUSH(&harness, false, 0x10, VP8_KEY);
    harness_tick(&harness, TICK);
    PUSH(&harness, false, 0x10, VP8_DELTA);
    expect_format(&harness, 320, 240);
    expect_media(&harness, true, true);
    assert_null(harness_next(&harness));
    harness_flush(&harness);
    expect_media(&harness, false, true);
    harness_clear(&harness);
}

static void test_vp8_before_key_frame(void **state)
{
    (void)state;
    Harness harness;
    harness_init(&harness, STENO_CODEC_VP8, NULL);
    const gint64 first_ts = harness.rtp_ts;
    PUSH(&harness, true, 0x00, 1, 2); /* the end of a frame whose beginning was before us */
    harness_tick(&harness, TICK);
    PUSH(&harness, false, 0x10, VP8_DELTA);
    PUSH(&harness, true, 0x00, 1);
    harness_tick(&harness, TICK);
    assert_true(steno_depacketizer_needs_keyframe(harness.depacketizer));
    PUSH(&harness, true, 0x10, VP8_KEY);
    const StenoFrame *gap = expect_gap(&harness, STENO_GAP_NO_KEYFRAME, 3);
    assert_int_equal(gap->gap.first_seq, HARNESS_FIRST_SEQ);
    assert_int_equal(gap->gap.last_seq, HARNESS_FIRST_SEQ + 2);
    assert_int_equal(gap->rtp_ts, first_ts);
    assert_int_equal(gap->gap.until_rtp_ts, first_ts + 2 * TICK);
    expect_format(&harness, 320, 240);
    expect_media(&harness, true, true);
    harness_clear(&harness);
}

/* No key frame ever comes: it is told at the end. */
static void test_vp8_never_a_key_frame(void **state)
{
    (void)state;
    Harness harness;
    harness_init(&harness, STENO_CODEC_VP8, NULL);
    PUSH(&harness, true, 0x10, VP8_DELTA);
    harness_lose(&harness, 4, 2 * TICK);
    PUSH(&harness, true, 0x10, VP8_DELTA);
    harness_flush(&harness);
    expect_gap(&harness, STENO_GAP_LOST, 4);
    expect_gap(&harness, STENO_GAP_NO_KEYFRAME, 2);
    assert_null(harness_next(&harness));
    harness_clear(&harness);
}

/* The loss cuts the end of one frame and the beginning of the next: time reaches over both, packets are those lost. */
static void test_vp8_gap_over_two_frames(void **state)
{
    (void)state;
    Harness harness;
    harness_init(&harness, STENO_CODEC_VP8, NULL);
    PUSH(&harness, true, 0x10, VP8_KEY);
    harness_tick(&harness, TICK);
    const gint64 cut_ts = harness.rtp_ts;
    PUSH(&harness, false, 0x10, VP8_DELTA);
    harness_lose(&harness, 2, TICK);
    PUSH(&harness, true, 0x00, 7, 7);
    assert_int_equal(harness.frames->len, 2); /* it is not known yet how far the gap reaches */
    harness_tick(&harness, TICK);
    PUSH(&harness, true, 0x10, VP8_DELTA);
    assert_true(steno_depacketizer_needs_keyframe(harness.depacketizer));
    harness_tick(&harness, TICK);
    PUSH(&harness, true, 0x10, VP8_KEY);
    harness_tick(&harness, TICK);
    PUSH(&harness, true, 0x10, VP8_DELTA);
    harness_next(&harness), harness_next(&harness);
    const StenoFrame *gap = expect_gap(&harness, STENO_GAP_LOST, 2);
    assert_int_equal(gap->rtp_ts, cut_ts);
    assert_int_equal(gap->gap.until_rtp_ts, cut_ts + 2 * TICK);
    assert_int_equal(gap->gap.first_seq, HARNESS_FIRST_SEQ + 2);
    assert_int_equal(gap->gap.last_seq, HARNESS_FIRST_SEQ + 3);
    expect_media(&harness, false, false);
    expect_media(&harness, true, true);
    expect_media(&harness, false, true);
    assert_null(harness_next(&harness));
    assert_int_equal(steno_depacketizer_stats(harness.depacketizer)->undecodable, 1);
    harness_clear(&harness);
}

/* A second loss in the rest of a frame that the first one cut: both are told, one ends where the other begins. */
static void test_vp8_two_gaps(void **state)
{
    (void)state;
    Harness harness;
    harness_init(&harness, STENO_CODEC_VP8, NULL);
    PUSH(&harness, true, 0x10, VP8_KEY);
    harness_lose(&harness, 1, TICK);
    PUSH(&harness, false, 0x00, 7);
    harness_lose(&harness, 3, 0);
    PUSH(&harness, true, 0x00, 8);
    harness_tick(&harness, TICK);
    PUSH(&harness, true, 0x10, VP8_KEY);
    harness_next(&harness), harness_next(&harness);
    const StenoFrame *first = expect_gap(&harness, STENO_GAP_LOST, 1);
    const StenoFrame *second = expect_gap(&harness, STENO_GAP_LOST, 3);
    assert_int_equal(first->gap.until_rtp_ts, second->rtp_ts);
    assert_int_equal(second->gap.until_rtp_ts, harness.rtp_ts);
    expect_media(&harness, true, true);
    harness_clear(&harness);
}

static void test_vp8_damage(void **state)
{
    (void)state;
    Harness harness;
    harness_init(&harness, STENO_CODEC_VP8, NULL);
    PUSH(&harness, true, 0x10, VP8_KEY);
    harness_tick(&harness, TICK);
    PUSH(&harness, false, 0x10, VP8_DELTA);
    assert_int_equal(PUSH(&harness, false, 0x90, 0x80), -EBADMSG); /* the descriptor is cut off */
    assert_int_equal(PUSH(&harness, true, 0x00, 7), 0);            /* the rest of the frame is passed over */
    harness_tick(&harness, TICK);
    PUSH(&harness, true, 0x10, VP8_DELTA);
    harness_tick(&harness, TICK);
    assert_int_equal(PUSH(&harness, true, 0x00, 7), -EBADMSG); /* no beginning, and nothing explains why */
    harness_tick(&harness, TICK);
    assert_int_equal(PUSH(&harness, true, 0x10, 0x10, 0x02, 0x00, 1, 2, 3), -EBADMSG); /* no start code */
    harness_flush(&harness);
    harness_next(&harness), harness_next(&harness);
    const StenoFrame *gap = expect_gap(&harness, STENO_GAP_DAMAGED, 1);
    assert_int_equal(gap->gap.until_rtp_ts - gap->rtp_ts, TICK);
    expect_media(&harness, false, false);
    expect_gap(&harness, STENO_GAP_DAMAGED, 2);
    assert_null(harness_next(&harness));
    assert_int_equal(steno_depacketizer_stats(harness.depacketizer)->damaged, 3);
    harness_clear(&harness);
}

/* Each way in which a descriptor can be cut off. */
static void test_vp8_truncated(void **state)
{
    (void)state;
    static const guint8 whole[] = {0x90, 0xf0, 0x80, 0x06, 0x01, 0x20, 0x11};
    for (gsize bytes = 1; bytes < sizeof whole; bytes++) {
        Harness harness;
        harness_init(&harness, STENO_CODEC_VP8, NULL);
        assert_int_equal(harness_push(&harness, whole, bytes, true), -EBADMSG);
        harness_clear(&harness);
    }
}

/* A frame with two-byte picture ID, TL0PICIDX, TID and Y. */
static void push_layered(Harness *harness, bool key, guint id, guint tl0, guint tid, bool sync)
{
    const guint8 head[] = {0x90, 0xe0, 0x80 | (id >> 8 & 0x7f), id & 0xff, tl0 & 0xff, tid << 6 | (sync ? 0x20 : 0)};
    const guint8 body[] = {VP8_KEY};
    guint8 payload[sizeof head + sizeof body];
    memcpy(payload, head, sizeof head);
    memcpy(payload + sizeof head, body, sizeof body);
    payload[sizeof head] |= !key;
    assert_int_equal(harness_push(harness, payload, sizeof payload, true), 0);
    harness_tick(harness, TICK);
}

static void test_vp8_layers(void **state)
{
    (void)state;
    Harness harness;
    harness_init(&harness, STENO_CODEC_VP8, NULL);
    push_layered(&harness, true, 0x7ffe, 254, 0, false);
    push_layered(&harness, false, 0x7fff, 254, 1, true);
    harness_lose(&harness, 1, TICK); /* padding: the picture ID goes on, over its wrap */
    push_layered(&harness, false, 0, 255, 0, false);
    assert_false(steno_depacketizer_needs_keyframe(harness.depacketizer));
    harness_lose(&harness, 1, TICK);               /* the frame 1, of TID 1 */
    push_layered(&harness, false, 2, 0, 0, false); /* base layer, TL0PICIDX goes on, over its wrap */
    push_layered(&harness, false, 3, 0, 1, false); /* refers to what may be lost */
    push_layered(&harness, false, 4, 0, 1, true);  /* refers to the base layer only */
    assert_true(steno_depacketizer_needs_keyframe(harness.depacketizer));
    harness_lose(&harness, 1, TICK); /* the base layer frame 5 */
    push_layered(&harness, false, 6, 1, 1, true);
    push_layered(&harness, false, 7, 2, 0, false);
    push_layered(&harness, true, 8, 3, 0, false);
    harness_lose(&harness, 400, TICK); /* so many that numbers may have gone round */
    push_layered(&harness, false, 9, 4, 0, false);
    static const int expected[] = {1, 1, -1, 1, -1, 1, 0, 1, -1, 0, 0, 1, -1, 0};
    harness_next(&harness);
    for (guint i = 0; i < G_N_ELEMENTS(expected); i++) {
        const StenoFrame *frame = harness_next(&harness);
        assert_non_null(frame);
        if ((frame->kind == STENO_FRAME_GAP ? -1 : frame->decodable) != expected[i])
            fail_msg("frame %u", i);
    }
    assert_null(harness_next(&harness));
    harness_clear(&harness);
}

/* ---- VP9 --------------------------------------------------------------------------------------------------------- */

/* Uncompressed headers: a key frame of 320×240; an inter frame that is shown, refreshes slot 0 and is as large as its
   first reference; the same with error_resilient_mode; one of its own size 160×120. */
#define VP9_KEY 0x82, 0x49, 0x83, 0x42, 0x00, 0x13, 0xf0, 0x0e, 0xf0, 0x00
#define VP9_INTER 0x86, 0x00, 0x40, 0x00, 0x80, 0x00, 0x00
#define VP9_RESILIENT 0x87, 0x01, 0x00, 0x02, 0x00, 0x00
#define VP9_OWN_SIZE 0x86, 0x00, 0x40, 0x00, 0x00, 0x4f, 0x80, 0x3b, 0x80

static void test_vp9_frames(void **state)
{
    (void)state;
    Harness harness;
    harness_init(&harness, STENO_CODEC_VP9, NULL);
    /* Begins a frame, with a scalability structure: two layers with sizes, one picture in the group with two
     * references. */
    assert_int_equal(PUSH(&harness, false, 0x8a, 0x05, 0x38, 0, 160, 0, 120, 1, 64, 0, 240, 1, 0x08, 1, 2, VP9_KEY), 0);
    assert_int_equal(PUSH(&harness, true, 0x84, 0x05, 0xcc), 0);
    harness_tick(&harness, TICK);
    assert_int_equal(PUSH(&harness, true, 0xcc, 0x80, 0x06, VP9_INTER), 0);
    harness_tick(&harness, TICK);
    assert_int_equal(PUSH(&harness, true, 0xcc, 0x80, 0x07, VP9_OWN_SIZE), 0);
    expect_format(&harness, 320, 240);
    assert_int_equal(expect_media(&harness, true, true)->payload_bytes, 11);
    assert_int_equal(expect_media(&harness, false, true)->payload_bytes, 7);
    expect_format(&harness, 160, 120); /* VP9 may change the size without a key frame */
    expect_media(&harness, false, true);
    assert_null(harness_next(&harness));
    harness_clear(&harness);
}

/* Three spatial layers are one frame, with a superframe index. */
static void test_vp9_spatial_layers(void **state)
{
    (void)state;
    Harness harness;
    harness_init(&harness, STENO_CODEC_VP9, NULL);
    assert_int_equal(PUSH(&harness, false, 0xac, 0x05, 0x00, 0x09, VP9_KEY), 0);
    assert_int_equal(PUSH(&harness, false, 0xa8, 0x05, 0x03, 0x09, VP9_INTER), 0);
    assert_int_equal(PUSH(&harness, false, 0xa4, 0x05, 0x03, 0x09, 0xdd), 0);
    assert_int_equal(PUSH(&harness, true, 0xac, 0x05, 0x05, 0x09, VP9_OWN_SIZE), 0);
    expect_format(&harness, 160, 120);
    const StenoFrame *frame = expect_media(&harness, true, true);
    static const guint8 index[] = {0xda, 10, 0, 0, 0, 8, 0, 0, 0, 9, 0, 0, 0, 0xda};
    assert_int_equal(frame->payload_bytes, 10 + 8 + 9 + sizeof index);
    assert_memory_equal(frame->payload + 27, index, sizeof index);
    harness_clear(&harness);
}

/* After a loss a layer that is predicted from the one below is no beginning of a picture. */
static void test_vp9_lower_layer_lost(void **state)
{
    (void)state;
    Harness harness;
    harness_init(&harness, STENO_CODEC_VP9, NULL);
    PUSH(&harness, true, 0xac, 0x05, 0x00, 0x09, VP9_KEY);
    harness_lose(&harness, 1, TICK);
    assert_int_equal(PUSH(&harness, true, 0xec, 0x06, 0x03, 0x0a, VP9_INTER), 0);
    harness_tick(&harness, TICK);
    PUSH(&harness, true, 0xec, 0x07, 0x00, 0x0b, VP9_INTER);
    harness_next(&harness), harness_next(&harness);
    const StenoFrame *gap = expect_gap(&harness, STENO_GAP_LOST, 1);
    assert_int_equal(gap->gap.until_rtp_ts, harness.rtp_ts);
    expect_media(&harness, false, false);
    assert_null(harness_next(&harness));
    harness_clear(&harness);
}

/* Flexible mode: a picture is decodable when all that it names is, and it is error resilient. */
static void test_vp9_flexible(void **state)
{
    (void)state;
    Harness harness;
    harness_init(&harness, STENO_CODEC_VP9, NULL);
    PUSH(&harness, true, 0x9c, 0x7e, VP9_KEY); /* 126 */
    harness_tick(&harness, TICK);
    PUSH(&harness, true, 0xdc, 0x7f, 0x02, VP9_RESILIENT); /* 127 refers to 126 */
    harness_lose(&harness, 1, TICK);                       /* 0 */
    harness_tick(&harness, TICK);
    PUSH(&harness, true, 0xdc, 0x01, 0x05, 0x06, VP9_RESILIENT); /* 1 refers to 127 and 126: over the wrap */
    harness_tick(&harness, TICK);
    PUSH(&harness, true, 0xdc, 0x02, 0x04, VP9_RESILIENT); /* 2 refers to 0 */
    harness_tick(&harness, TICK);
    PUSH(&harness, true, 0xdc, 0x03, 0x04, VP9_INTER); /* 3 refers to 1, but takes probabilities from others */
    harness_tick(&harness, TICK);
    PUSH(&harness, true, 0xdc, 0x04, 0x06, VP9_RESILIENT); /* 4 refers to 1 */
    static const int expected[] = {1, 1, -1, 1, 0, 0, 1};
    harness_next(&harness);
    for (guint i = 0; i < G_N_ELEMENTS(expected); i++) {
        const StenoFrame *frame = harness_next(&harness);
        assert_non_null(frame);
        if ((frame->kind == STENO_FRAME_GAP ? -1 : frame->decodable) != expected[i])
            fail_msg("frame %u", i);
    }
    harness_clear(&harness);
}

/* Non-flexible mode: the base layer by TL0PICIDX, the others after a switching up point (U). */
static void test_vp9_temporal_layers(void **state)
{
    (void)state;
    static const guint8 layers[][4] = {
        /* lost before, TID and U, TL0PICIDX, decodable */
        {0, 0x10, 10, 1}, {0, 0x20, 10, 1}, {1, 0x00, 11, 1}, {0, 0x20, 11, 0},
        {0, 0x10, 12, 1}, {0, 0x20, 12, 1}, {1, 0x20, 13, 0}, {0, 0x10, 14, 0},
    };
    Harness harness;
    harness_init(&harness, STENO_CODEC_VP9, NULL);
    for (guint i = 0; i < G_N_ELEMENTS(layers); i++) {
        static guint id = 0x10;
        if (layers[i][0]) {
            harness_lose(&harness, 1, TICK);
            id++;
        }
        if (i == 0)
            PUSH(&harness, true, 0xac, id, layers[i][1], layers[i][2], VP9_KEY);
        else
            PUSH(&harness, true, 0xec, id, layers[i][1], layers[i][2], VP9_INTER);
        harness_tick(&harness, TICK);
        id++;
    }
    guint at = 0;
    const StenoFrame *frame;
    while ((frame = harness_next(&harness))) {
        if (frame->kind == STENO_FRAME_MEDIA && frame->decodable != layers[at++][3])
            fail_msg("picture %u", at - 1);
    }
    assert_int_equal(at, G_N_ELEMENTS(layers));
    harness_clear(&harness);
}

static void test_vp9_damage(void **state)
{
    (void)state;
    Harness harness;
    harness_init(&harness, STENO_CODEC_VP9, NULL);
    PUSH(&harness, true, 0x8c, 0x05, VP9_KEY);
    harness_tick(&harness, TICK);
    assert_int_equal(PUSH(&harness, false, 0xc8, 0x06, VP9_INTER), 0);
    assert_int_equal(PUSH(&harness, true, 0xc8, 0x06, VP9_INTER), -EBADMSG); /* a layer begins in a layer */
    harness_tick(&harness, TICK);
    assert_int_equal(PUSH(&harness, false, 0xc8, 0x07, VP9_INTER), 0); /* never ends */
    harness_tick(&harness, TICK);
    assert_int_equal(PUSH(&harness, true, 0xcc, 0x08, VP9_INTER), 0);
    harness_next(&harness), harness_next(&harness);
    expect_gap(&harness, STENO_GAP_DAMAGED, 1);
    expect_gap(&harness, STENO_GAP_DAMAGED, 1);
    expect_media(&harness, false, false);
    assert_null(harness_next(&harness));
    harness_clear(&harness);
}

static void test_vp9_truncated(void **state)
{
    (void)state;
    /* I with two bytes, L, F, P with two P_DIFF, V with sizes and a group. */
    static const guint8 whole[] = {0xfa, 0x80, 0x05, 0x01, 0x05, 0x06, 0x18, 1, 64, 0, 240, 1, 0x04, 1, 0x80};
    for (gsize bytes = 1; bytes < sizeof whole; bytes++) {
        Harness harness;
        harness_init(&harness, STENO_CODEC_VP9, NULL);
        if (harness_push(&harness, whole, bytes, true) != -EBADMSG)
            fail_msg("%zu bytes", bytes);
        harness_clear(&harness);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vp8_frames),
        cmocka_unit_test(test_vp8_end_by_timestamp),
        cmocka_unit_test(test_vp8_before_key_frame),
        cmocka_unit_test(test_vp8_never_a_key_frame),
        cmocka_unit_test(test_vp8_gap_over_two_frames),
        cmocka_unit_test(test_vp8_two_gaps),
        cmocka_unit_test(test_vp8_damage),
        cmocka_unit_test(test_vp8_truncated),
        cmocka_unit_test(test_vp8_layers),
        cmocka_unit_test(test_vp9_frames),
        cmocka_unit_test(test_vp9_spatial_layers),
        cmocka_unit_test(test_vp9_lower_layer_lost),
        cmocka_unit_test(test_vp9_flexible),
        cmocka_unit_test(test_vp9_temporal_layers),
        cmocka_unit_test(test_vp9_damage),
        cmocka_unit_test(test_vp9_truncated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
