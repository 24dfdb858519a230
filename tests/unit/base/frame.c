/* Pools, ring and reference counts of the currency, also between threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "steno/frame.h"

#include <string.h>

static void codec_names_read_back(void **state)
{
    (void)state;
    for (unsigned i = STENO_CODEC_OPUS; i < STENO_CODEC_COUNT; i++)
        assert_int_equal(steno_codec_from_name(steno_codec_name((StenoCodec)i)), i);
    assert_int_equal(steno_codec_from_name("OPUS"), STENO_CODEC_OPUS);
    assert_int_equal(steno_codec_from_name("red"), STENO_CODEC_UNKNOWN);
    assert_int_equal(steno_codec_from_name(NULL), STENO_CODEC_UNKNOWN);
    assert_true(steno_codec_is_video(STENO_CODEC_AV1));
    assert_false(steno_codec_is_video(STENO_CODEC_PCMA));
}

static void packet_pool_refuses_beyond_its_ceiling(void **state)
{
    (void)state;
    StenoPacketPool *pool = steno_packet_pool_new(2);
    StenoPacket *a = steno_packet_new(pool), *b = steno_packet_new(pool);
    assert_non_null(a);
    assert_non_null(b);
    assert_null(steno_packet_new(pool));
    assert_int_equal(steno_packet_pool_refused(pool), 1);
    steno_packet_free(a);
    assert_ptr_equal(steno_packet_new(pool), a);
    steno_packet_free(a);
    steno_packet_free(b);
    steno_packet_pool_free(pool);
}

static void frame_pool_bounds_what_lives(void **state)
{
    (void)state;
    StenoFramePool *pool = steno_frame_pool_new(64 * 1024);
    assert_null(steno_frame_new(pool, STENO_FRAME_MEDIA, STENO_FRAME_MAX_BYTES + 1));
    assert_null(steno_frame_new(pool, STENO_FRAME_MEDIA, 128 * 1024));
    StenoFrame *frame = steno_frame_new(pool, STENO_FRAME_MEDIA, 32 * 1024);
    assert_non_null(frame);
    assert_null(steno_frame_new(pool, STENO_FRAME_MEDIA, 32 * 1024));
    steno_frame_unref(frame);
    /* What lies unused in one size makes room for another. */
    frame = steno_frame_new(pool, STENO_FRAME_MEDIA, 16 * 1024);
    assert_non_null(frame);
    steno_frame_unref(frame);
    steno_frame_pool_free(pool);
}

static void reserve_keeps_the_payload(void **state)
{
    (void)state;
    StenoFramePool *pool = steno_frame_pool_new(1024 * 1024);
    StenoFrame *frame = steno_frame_new(pool, STENO_FRAME_MEDIA, 4);
    memcpy(frame->payload, "word", 4);
    frame->payload_bytes = 4;
    assert_true(steno_frame_reserve(frame, 100000));
    assert_true(frame->payload_capacity >= 100000);
    assert_memory_equal(frame->payload, "word", 4);
    assert_false(steno_frame_reserve(frame, STENO_FRAME_MAX_BYTES + 1));
    assert_memory_equal(frame->payload, "word", 4);
    steno_frame_unref(frame);
    steno_frame_pool_free(pool);
}

static void a_frame_outlives_its_pool(void **state)
{
    (void)state;
    StenoFramePool *pool = steno_frame_pool_new(1024 * 1024);
    StenoFrame *frame = steno_frame_new(pool, STENO_FRAME_MEDIA, 1000);
    steno_frame_pool_free(pool);
    memset(frame->payload, 1, 1000);
    steno_frame_unref(frame);
}

static void ring_is_bounded_and_in_order(void **state)
{
    (void)state;
    StenoFramePool *pool = steno_frame_pool_new(1024 * 1024);
    StenoFrameRing *ring = steno_frame_ring_new(3); /* rounded up to 4 */
    StenoFrame *frames[5];
    for (int i = 0; i < 5; i++) {
        frames[i] = steno_frame_new(pool, STENO_FRAME_MEDIA, 0);
        frames[i]->rtp_ts = i;
        assert_int_equal(steno_frame_ring_push(ring, frames[i]), i < 4);
    }
    assert_int_equal(steno_frame_ring_length(ring), 4);
    for (int i = 0; i < 2; i++) {
        StenoFrame *frame = steno_frame_ring_pop(ring);
        assert_int_equal(frame->rtp_ts, i);
        steno_frame_unref(frame);
    }
    steno_frame_unref(frames[4]);
    steno_frame_ring_free(ring); /* with two in it */
    steno_frame_pool_free(pool);
}

#define PASSED 200000

static gpointer consume(gpointer data)
{
    StenoFrameRing *ring = data;
    gint64 expected = 0;
    while (expected < PASSED) {
        StenoFrame *frame = steno_frame_ring_pop(ring);
        if (!frame) {
            g_thread_yield();
            continue;
        }
        if (frame->rtp_ts != expected || memcmp(frame->payload, &expected, sizeof expected) != 0)
            return GINT_TO_POINTER(1);
        expected++;
        steno_frame_unref(frame);
    }
    return NULL;
}

static void frames_pass_between_threads_whole(void **state)
{
    (void)state;
    StenoFramePool *pool = steno_frame_pool_new(16 * 1024 * 1024);
    StenoFrameRing *ring = steno_frame_ring_new(256);
    GThread *thread = g_thread_new("consumer", consume, ring);
    for (gint64 i = 0; i < PASSED; i++) {
        StenoFrame *frame = steno_frame_new(pool, STENO_FRAME_MEDIA, 8 + (gsize)(i % 3) * 400);
        assert_non_null(frame);
        frame->rtp_ts = i;
        memcpy(frame->payload, &i, sizeof i);
        while (!steno_frame_ring_push(ring, frame))
            g_thread_yield();
    }
    assert_null(g_thread_join(thread));
    steno_frame_ring_free(ring);
    steno_frame_pool_free(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(codec_names_read_back),
        cmocka_unit_test(packet_pool_refuses_beyond_its_ceiling),
        cmocka_unit_test(frame_pool_bounds_what_lives),
        cmocka_unit_test(reserve_keeps_the_payload),
        cmocka_unit_test(a_frame_outlives_its_pool),
        cmocka_unit_test(ring_is_bounded_and_in_order),
        cmocka_unit_test(frames_pass_between_threads_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
