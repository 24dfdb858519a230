/* Opus (RFC 7587) and G.711, and what all codecs share: gaps, flush, ceilings. */
#include "harness.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define OPUS_20MS_MONO 0x08   /* config 1 (SILK, 20 ms), mono, one frame */
#define OPUS_20MS_STEREO 0xfc /* config 31 (CELT, 20 ms), stereo, one frame */

static void test_opus_frames(void **state)
{
    (void)state;
    Harness harness;
    harness_init(&harness, STENO_CODEC_OPUS, "minptime=10;useinbandfec=1;sprop-stereo=0");
    assert_int_equal(PUSH(&harness, true, OPUS_20MS_MONO, 1, 2, 3), 0);
    harness_tick(&harness, 960);
    assert_int_equal(PUSH(&harness, false, OPUS_20MS_STEREO), 0); /* DTX */
    const StenoFrame *frame = harness_next(&harness);
    assert_int_equal(frame->kind, STENO_FRAME_FORMAT);
    assert_int_equal(frame->format.clock_hz, 48000);
    assert_int_equal(frame->format.channels, 2);
    assert_int_equal(frame->track, 7);
    frame = harness_next(&harness);
    assert_int_equal(frame->kind, STENO_FRAME_MEDIA);
    assert_int_equal(frame->payload_bytes, 4);
    assert_int_equal(frame->payload[3], 3);
    assert_true(frame->keyframe && frame->decodable);
    assert_int_equal(frame->arrival_us, HARNESS_FIRST_SEQ * 1000);
    const gint64 first_ts = frame->rtp_ts;
    frame = harness_next(&harness);
    assert_int_equal(frame->kind, STENO_FRAME_MEDIA);
    assert_int_equal(frame->payload_bytes, 1);
    assert_int_equal(frame->rtp_ts - first_ts, 960);
    assert_null(harness_next(&harness));
    assert_false(steno_depacketizer_needs_keyframe(harness.depacketizer));
    harness_clear(&harness);
}

static void test_opus_packets(void **state)
{
    (void)state;
    static const struct {
        guint8 bytes[8];
        gsize length;
        bool lawful;
    } packets[] = {
        {{0x09, 1, 1}, 3, true},                    /* code 1: two of equal size */
        {{0x09, 1, 1, 1}, 4, false},                /* … not equal */
        {{0x0a, 1, 5, 6}, 4, true},                 /* code 2: first has one byte */
        {{0x0a, 9, 5, 6}, 4, false},                /* … or says so */
        {{0x0a}, 1, false},                         /* no length */
        {{0x0a, 252}, 2, false},                    /* half a length */
        {{0x0b, 0x02, 1, 2}, 4, true},              /* code 3: two, constant */
        {{0x0b, 0x02, 1, 2, 3}, 5, false},          /* … not divisible */
        {{0x0b, 0x82, 1, 2, 3}, 5, true},           /* two, variable */
        {{0x0b, 0x82, 4, 2, 3}, 5, false},          /* … too long */
        {{0x0b, 0x41, 2, 9, 0, 0}, 6, true},        /* one, with two bytes of padding */
        {{0x0b, 0x41, 9, 9, 0, 0}, 6, false},       /* … more padding than packet */
        {{0x0b, 0x41, 255}, 3, false},              /* … whose length is cut off */
        {{0x0b, 0x00}, 2, false},                   /* none */
        {{0x0b, 0x07, 1, 1, 1, 1, 1, 1}, 8, false}, /* 7 × 20 ms > 120 ms */
        {{0x0b}, 1, false},                         /* no count */
    };
    for (guint i = 0; i < G_N_ELEMENTS(packets); i++) {
        Harness harness;
        harness_init(&harness, STENO_CODEC_OPUS, NULL);
        const int result = harness_push(&harness, packets[i].bytes, packets[i].length, false);
        if (result != (packets[i].lawful ? 0 : -EBADMSG))
            fail_msg("packet %u: %d", i, result);
        harness_clear(&harness);
    }
}

/* Padding of 255 and more: each 255 means 254 bytes, and more to come (RFC 6716 §3.2.5). */
static void test_opus_long_padding(void **state)
{
    (void)state;
    const guint8 head[] = {0x0b, 0x41, 255, 1, 9};
    for (guint missing = 0; missing < 2; missing++) {
        guint8 packet[sizeof head + 255] = {0};
        memcpy(packet, head, sizeof head);
        Harness harness;
        harness_init(&harness, STENO_CODEC_OPUS, NULL);
        /* With all of its padding, and with no byte but the padding's: the frame may be empty, but not less. */
        assert_int_equal(harness_push(&harness, packet, sizeof packet - missing, false), 0);
        assert_int_equal(harness_push(&harness, packet, sizeof packet - 2, false), -EBADMSG);
        harness_clear(&harness);
    }
}

static void test_opus_damage_and_gap(void **state)
{
    (void)state;
    Harness harness;
    harness_init(&harness, STENO_CODEC_OPUS, NULL);
    PUSH(&harness, false, OPUS_20MS_MONO, 1);
    harness_tick(&harness, 960);
    assert_int_equal(PUSH(&harness, false, 0x0a), -EBADMSG);
    harness_tick(&harness, 960);
    assert_int_equal(PUSH(&harness, false, 0x0a), -EBADMSG);
    harness_tick(&harness, 960);
    PUSH(&harness, false, OPUS_20MS_MONO, 2);
    harness_lose(&harness, 3, 4 * 960);
    const guint told = harness.frames->len;
    assert_int_equal(told, 5); /* the loss is told at once: a talker may pause for long */
    PUSH(&harness, false, OPUS_20MS_MONO, 3);
    harness_next(&harness);
    const StenoFrame *frame = harness_next(&harness);
    const gint64 first_ts = frame->rtp_ts;
    frame = harness_next(&harness);
    assert_int_equal(frame->kind, STENO_FRAME_GAP);
    assert_int_equal(frame->gap.cause, STENO_GAP_DAMAGED);
    assert_int_equal(frame->gap.packets, 2); /* a flood of garbage is one gap */
    assert_int_equal(frame->gap.first_seq, HARNESS_FIRST_SEQ + 1);
    assert_int_equal(frame->gap.last_seq, HARNESS_FIRST_SEQ + 2);
    assert_int_equal(frame->rtp_ts, first_ts + 960);
    assert_int_equal(frame->gap.until_rtp_ts, first_ts + 3 * 960);
    assert_int_equal(harness_next(&harness)->payload[1], 2);
    frame = harness_next(&harness);
    assert_int_equal(frame->gap.cause, STENO_GAP_LOST);
    assert_int_equal(frame->gap.packets, 3);
    assert_int_equal(frame->gap.first_seq, HARNESS_FIRST_SEQ + 4);
    assert_int_equal(frame->gap.last_seq, HARNESS_FIRST_SEQ + 6);
    frame = harness_next(&harness);
    assert_int_equal(frame->payload[1], 3);
    assert_true(frame->decodable);
    assert_int_equal(steno_depacketizer_stats(harness.depacketizer)->damaged, 2);
    assert_int_equal(steno_depacketizer_stats(harness.depacketizer)->frames, 3);
    harness_clear(&harness);
}

static void test_padding_is_nothing(void **state)
{
    (void)state;
    Harness harness;
    harness_init(&harness, STENO_CODEC_OPUS, NULL);
    assert_int_equal(harness_push(&harness, NULL, 0, false), 0);
    harness_flush(&harness);
    assert_null(harness_next(&harness));
    harness_clear(&harness);
}

static void test_g711(void **state)
{
    (void)state;
    Harness harness;
    harness_init(&harness, STENO_CODEC_PCMA, NULL);
    assert_int_equal(PUSH(&harness, true, 1, 2, 3), 0);
    const StenoFrame *frame = harness_next(&harness);
    assert_int_equal(frame->format.clock_hz, 8000);
    assert_int_equal(frame->format.channels, 1);
    assert_int_equal(frame->codec, STENO_CODEC_PCMA);
    assert_int_equal(harness_next(&harness)->payload_bytes, 3);
    harness_clear(&harness);

    const StenoDepacketizerConfig stereo = {.codec = STENO_CODEC_PCMU, .clock_hz = 16000, .channels = 2};
    harness_init(&harness, STENO_CODEC_PCMU, NULL);
    StenoDepacketizer *own = harness.depacketizer;
    harness.depacketizer = steno_depacketizer_new(&stereo, harness.pool, NULL, NULL);
    assert_int_equal(PUSH(&harness, true, 1, 2, 3), -EBADMSG);
    steno_depacketizer_free(own);
    harness_clear(&harness);
}

static void test_none_for_unknown(void **state)
{
    (void)state;
    StenoDepacketizerConfig config = {.codec = STENO_CODEC_UNKNOWN};
    assert_null(steno_depacketizer_new(&config, NULL, NULL, NULL));
    config.codec = STENO_CODEC_COUNT;
    assert_null(steno_depacketizer_new(&config, NULL, NULL, NULL));
    steno_depacketizer_free(NULL);
}

/* The pool is full: nothing comes out, and when there is room again all is told, to the packet. */
static void test_full_pool(void **state)
{
    (void)state;
    Harness harness;
    harness_init_pool(&harness, STENO_CODEC_OPUS, NULL, 8 * sizeof(StenoFrame));
    guint pushed = 0;
    for (; pushed < 50; pushed++) {
        assert_int_equal(PUSH(&harness, false, OPUS_20MS_MONO, 1), 0);
        harness_tick(&harness, 960);
        if (pushed % 10 == 9)
            harness_lose(&harness, 2, 1920);
    }
    const StenoDepacketizerStats *stats = steno_depacketizer_stats(harness.depacketizer);
    assert_true(stats->refused > 0);
    guint frames = 0, lost = 0, overflow = 0;
    for (guint round = 0; round < 2; round++) {
        const StenoFrame *frame;
        while ((frame = harness_next(&harness))) {
            frames += frame->kind == STENO_FRAME_MEDIA;
            if (frame->kind == STENO_FRAME_GAP && frame->gap.cause == STENO_GAP_LOST)
                lost += frame->gap.packets;
            if (frame->kind == STENO_FRAME_GAP && frame->gap.cause == STENO_GAP_OVERFLOW)
                overflow += frame->gap.packets;
        }
        g_ptr_array_set_size(harness.frames, 0);
        harness.at = 0;
        harness_flush(&harness);
    }
    assert_int_equal(lost, 10);
    assert_int_equal(frames + overflow, pushed);
    assert_int_equal(overflow, stats->refused);
    harness_clear(&harness);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_opus_frames),        cmocka_unit_test(test_opus_packets),
        cmocka_unit_test(test_opus_long_padding),  cmocka_unit_test(test_opus_damage_and_gap),
        cmocka_unit_test(test_padding_is_nothing), cmocka_unit_test(test_g711),
        cmocka_unit_test(test_none_for_unknown),   cmocka_unit_test(test_full_pool),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
