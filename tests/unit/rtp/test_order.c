/* Order, loss and new sources: which packets come out, under which numbers, and what is said to be missing. */
#include "harness.h"

#include <errno.h>

static void started(Bench *bench, guint16 seq, guint32 ts)
{
    bench_video(bench, seq, ts);
    bench_tick(bench, TICK_US);
    assert_int_equal(count_of(bench, OUT_PACKET), 1);
    forget(bench);
}

static void test_in_order_goes_straight_on(void **state)
{
    (void)state;
    Bench *bench = bench_start(NULL);
    started(bench, 1000, 5000);
    for (guint i = 1; i <= 100; i++) {
        (void)bench_receive(bench,
                            (Made){.seq = (guint16)(1000 + i), .ts = 5000 + 3000 * i, .tag = i, .marker = i % 2});
        const Out *out = nth(bench, OUT_PACKET, i - 1); /* without a tick */
        assert_int_equal(out->seq, 1000 + i);
        assert_int_equal(out->rtp_ts, 5000 + 3000 * i);
        assert_int_equal(out->tag, i);
        assert_int_equal(out->marker, i % 2);
        assert_int_equal(out->payload_bytes, 20);
        assert_int_equal(out->payload_type, VIDEO_PT);
    }
    assert_false(steno_rtp_is_recovering(bench->rtp));
    StenoRtpStats stats = stats_of(bench, VIDEO);
    assert_int_equal(stats.packets, 101);
    assert_int_equal(stats.bytes, 101 * 20);
    assert_int_equal(stats.reordered + stats.lost + stats.duplicates + stats.recovered, 0);
    bench_free(bench);
}

static void test_first_packets_may_be_overtaken(void **state)
{
    (void)state;
    Bench *bench = bench_start(NULL);
    bench_video(bench, 2, 0); /* a wrap right at the start, too */
    bench_video(bench, 0, 0);
    bench_video(bench, 65535, 0);
    assert_int_equal(count_of(bench, OUT_PACKET), 0);
    assert_true(steno_rtp_is_recovering(bench->rtp));
    bench_tick(bench, TICK_US);
    assert_int_equal(count_of(bench, OUT_PACKET), 2);
    assert_int_equal(nth(bench, OUT_PACKET, 0)->tag, 65535);
    bench_video(bench, 1, 0);
    assert_int_equal(count_of(bench, OUT_PACKET), 4);
    for (guint i = 1; i < 4; i++)
        assert_int_equal(nth(bench, OUT_PACKET, i)->seq, nth(bench, OUT_PACKET, 0)->seq + i);
    bench_video(bench, 65534, 0); /* too late now: the start was put out */
    assert_int_equal(count_of(bench, OUT_PACKET), 4);
    assert_int_equal(count_of(bench, OUT_GAP), 0);
    bench_free(bench);
}

static void test_reordering(void **state)
{
    (void)state;
    Bench *bench = bench_start(NULL);
    started(bench, 65533, 0);
    static const guint16 order[] = {65535, 1, 65534, 0, 3, 2, 4};
    for (guint i = 0; i < G_N_ELEMENTS(order); i++)
        bench_video(bench, order[i], 0);
    assert_int_equal(count_of(bench, OUT_PACKET), 7);
    for (guint i = 0; i < 7; i++) {
        assert_int_equal(nth(bench, OUT_PACKET, i)->seq, 65534 + i);
        assert_int_equal(nth(bench, OUT_PACKET, i)->tag, (guint16)(65534 + i));
    }
    assert_int_equal(stats_of(bench, VIDEO).reordered, 3);
    assert_int_equal(stats_of(bench, VIDEO).held, 0);
    bench_free(bench);
}

static void test_loss_is_said_after_the_window(void **state)
{
    (void)state;
    Bench *bench = bench_start(NULL);
    started(bench, 100, 3000);
    bench_video(bench, 101, 6000);
    bench_video(bench, 104, 15000);
    bench_video(bench, 105, 18000);
    bench_wait(bench, 1900000);
    assert_int_equal(count_of(bench, OUT_PACKET), 1);
    assert_true(steno_rtp_is_recovering(bench->rtp));
    assert_int_equal(stats_of(bench, VIDEO).held, 2);
    bench_wait(bench, 120000);
    const Out *gap = nth(bench, OUT_GAP, 0);
    assert_int_equal(gap->seq, 102);
    assert_int_equal(gap->last_seq, 103);
    assert_int_equal(gap->rtp_ts, 6000);
    assert_int_equal(gap->until_rtp_ts, 15000);
    assert_int_equal(gap->cause, STENO_GAP_LOST);
    assert_int_equal(count_of(bench, OUT_PACKET), 3);
    assert_ptr_equal(gap + 1, nth(bench, OUT_PACKET, 1)); /* in order with the packets */
    assert_int_equal(stats_of(bench, VIDEO).lost, 2);
    /* What comes now is late, and once more a duplicate. */
    bench_video(bench, 103, 12000);
    bench_video(bench, 103, 12000);
    bench_video(bench, 101, 6000);
    assert_int_equal(count_of(bench, OUT_PACKET), 3);
    assert_int_equal(stats_of(bench, VIDEO).late, 1);
    assert_int_equal(stats_of(bench, VIDEO).duplicates, 2);
    bench_free(bench);
}

static void test_duplicates(void **state)
{
    (void)state;
    Bench *bench = bench_start(NULL);
    started(bench, 10, 0);
    bench_video(bench, 10, 0);
    bench_video(bench, 13, 0);
    bench_video(bench, 13, 0);
    bench_video(bench, 11, 0);
    bench_video(bench, 12, 0);
    bench_video(bench, 12, 0);
    assert_int_equal(count_of(bench, OUT_PACKET), 3);
    assert_int_equal(stats_of(bench, VIDEO).duplicates, 3);
    bench_free(bench);
}

static void test_drain(void **state)
{
    (void)state;
    Bench *bench = bench_start(NULL);
    bench_video(bench, 10, 0);
    bench_video(bench, 12, 0);
    steno_rtp_drain(bench->rtp);
    assert_int_equal(count_of(bench, OUT_PACKET), 2);
    assert_int_equal(nth(bench, OUT_GAP, 0)->seq, 11);
    bench_video(bench, 13, 0);
    assert_int_equal(nth(bench, OUT_PACKET, 2)->seq, 13);
    bench_free(bench);
}

static void test_remove_track_puts_out_what_it_holds(void **state)
{
    (void)state;
    Bench *bench = bench_start(NULL);
    bench_video(bench, 10, 0);
    bench_video(bench, 12, 0);
    steno_rtp_remove_track(bench->rtp, VIDEO);
    assert_int_equal(count_of(bench, OUT_PACKET), 2);
    StenoRtpStats stats;
    assert_false(steno_rtp_stats(bench->rtp, VIDEO, &stats));
    assert_int_equal(bench_receive(bench, (Made){.seq = 13}), -ENOENT);
    assert_int_equal(bench_receive(bench, (Made){.ssrc = AUDIO_SSRC}), 0);
    bench_free(bench);
}

static void test_free_gives_back_what_is_held(void **state)
{
    (void)state;
    Bench *bench = bench_start(NULL);
    bench_video(bench, 10, 0);
    bench_video(bench, 12, 0);
    bench_video(bench, 30000, 0); /* a suspect */
    bench_free(bench);            /* the pool asserts */
}

static void test_padding_takes_a_number_only(void **state)
{
    (void)state;
    Bench *bench = bench_start(NULL);
    started(bench, 10, 0);
    (void)bench_receive(bench, (Made){.seq = 11, .padding_only = true});
    (void)bench_receive(bench, (Made){.seq = 12, .tag = 12, .padding_bytes = 7});
    (void)bench_receive(bench, (Made){.seq = 14, .padding_only = true});
    (void)bench_receive(bench, (Made){.seq = 13, .tag = 13});
    (void)bench_receive(bench, (Made){.seq = 15, .payload_type = 50}); /* nobody's payload type */
    (void)bench_receive(bench, (Made){.seq = 17, .padding_only = true, .ts = 900});
    (void)bench_receive(bench, (Made){.seq = 18, .tag = 18, .ts = 900});
    assert_int_equal(count_of(bench, OUT_PACKET), 2);
    assert_int_equal(nth(bench, OUT_PACKET, 0)->payload_bytes, 20);
    bench_wait(bench, 2100000);
    assert_int_equal(count_of(bench, OUT_GAP), 1);
    assert_int_equal(nth(bench, OUT_GAP, 0)->seq, 16);
    assert_int_equal(nth(bench, OUT_GAP, 0)->last_seq, 16);
    assert_int_equal(nth(bench, OUT_GAP, 0)->until_rtp_ts, 900);
    assert_int_equal(nth(bench, OUT_PACKET, 2)->seq, 18);
    assert_int_equal(stats_of(bench, VIDEO).packets, 4);
    assert_int_equal(stats_of(bench, VIDEO).invalid, 1);
    bench_free(bench);
}

static void test_numbers_wrap(void **state)
{
    (void)state;
    Bench *bench = bench_start(NULL);
    guint32 ts = 0xffffffff - 90000 * 10;
    started(bench, 65000, ts);
    for (guint i = 1; i < 200000; i++) {
        if (i % 100 == 0)
            bench->now_us += 100000;
        bench_video(bench, (guint16)(65000 + i), ts + 90 * i);
    }
    assert_int_equal(count_of(bench, OUT_RESET), 0);
    const Out *last = nth(bench, OUT_PACKET, 199998);
    assert_int_equal(last->seq, 65000 + 199999);
    assert_int_equal(last->rtp_ts, (gint64)ts + 90 * 199999);
    bench_free(bench);
}

static void test_timestamp_after_a_long_pause(void **state)
{
    (void)state;
    Bench *bench = bench_start(NULL);
    started(bench, 1, 1000);
    bench->now_us += G_GINT64_CONSTANT(50000) * G_USEC_PER_SEC; /* 90 kHz wrap in 47 721 s */
    bench_video(bench, 2, (guint32)(1000 + 90000 * G_GINT64_CONSTANT(50000)));
    assert_int_equal(count_of(bench, OUT_RESET), 0);
    assert_int_equal(nth(bench, OUT_PACKET, 0)->rtp_ts, 1000 + 90000 * G_GINT64_CONSTANT(50000));
    bench_free(bench);
}

static void test_overflow(void **state)
{
    (void)state;
    Bench *bench = bench_start(NULL);
    started(bench, 0, 0);
    for (guint i = 2; i < 2 + STENO_RTP_REORDER_MAX_PACKETS - 1; i++)
        bench_video(bench, (guint16)i, 0);
    assert_int_equal(count_of(bench, OUT_GAP), 0);
    assert_int_equal(stats_of(bench, VIDEO).held, STENO_RTP_REORDER_MAX_PACKETS - 1);
    bench_video(bench, 2 + STENO_RTP_REORDER_MAX_PACKETS - 1, 0);
    assert_int_equal(nth(bench, OUT_GAP, 0)->cause, STENO_GAP_OVERFLOW);
    assert_int_equal(nth(bench, OUT_GAP, 0)->seq, 1);
    assert_int_equal(nth(bench, OUT_GAP, 0)->last_seq, 1);
    assert_int_equal(count_of(bench, OUT_PACKET), STENO_RTP_REORDER_MAX_PACKETS);
    assert_int_equal(stats_of(bench, VIDEO).held, 0);
    bench_free(bench);
}

static void test_new_ssrc(void **state)
{
    (void)state;
    Bench *bench = bench_start(NULL);
    started(bench, 100, 3000);
    bench_video(bench, 102, 9000);
    bench->now_us += 1000000;
    (void)bench_receive(bench,
                        (Made){.ssrc = 77, .payload_type = VIDEO_PT, .seq = 40000, .ts = 7, .tag = 1, .mid = "v0"});
    assert_int_equal(nth(bench, OUT_GAP, 0)->seq, 101); /* drained */
    assert_int_equal(nth(bench, OUT_PACKET, 0)->seq, 102);
    assert_int_equal(nth(bench, OUT_RESET, 0)->ssrc, 77);
    (void)bench_receive(bench, (Made){.ssrc = 77, .payload_type = VIDEO_PT, .seq = 39999, .ts = 7, .tag = 2});
    bench_video(bench, 103, 9000); /* a straggler */
    bench_tick(bench, TICK_US);
    assert_int_equal(nth(bench, OUT_PACKET, 1)->tag, 2);
    assert_int_equal(nth(bench, OUT_PACKET, 1)->seq, 103);
    assert_int_equal(nth(bench, OUT_PACKET, 1)->rtp_ts, 9000 + 90000);
    assert_int_equal(nth(bench, OUT_PACKET, 2)->seq, 104);
    assert_int_equal(nth(bench, OUT_PACKET, 2)->rtp_ts, 9000 + 90000);
    assert_int_equal(stats_of(bench, VIDEO).late, 1);
    assert_int_equal(stats_of(bench, VIDEO).resets, 1);
    /* And back, when that is meant. */
    bench->now_us += 3000000;
    bench_video(bench, 5000, 9000);
    bench_tick(bench, TICK_US);
    assert_int_equal(nth(bench, OUT_PACKET, 3)->seq, 105);
    assert_int_equal(count_of(bench, OUT_RESET), 2);
    bench_free(bench);
}

static void test_sequence_jump_needs_two(void **state)
{
    (void)state;
    Bench *bench = bench_start(NULL);
    started(bench, 100, 3000);
    bench_video(bench, 20000, 3000); /* a stray: nothing */
    bench_video(bench, 101, 6000);
    assert_int_equal(count_of(bench, OUT_PACKET), 1);
    bench_video(bench, 50000, 6000); /* another: the stray goes */
    assert_int_equal(stats_of(bench, VIDEO).invalid, 1);
    bench_video(bench, 50002, 12000); /* confirmed, with a hole */
    bench_video(bench, 50001, 9000);
    bench_tick(bench, TICK_US);
    assert_int_equal(count_of(bench, OUT_RESET), 1);
    assert_int_equal(count_of(bench, OUT_GAP), 0);
    static const guint16 tags[] = {101, 50000, 50001, 50002};
    for (guint i = 0; i < 4; i++) {
        assert_int_equal(nth(bench, OUT_PACKET, i)->tag, tags[i]);
        assert_int_equal(nth(bench, OUT_PACKET, i)->seq, 101 + i);
    }
    bench_free(bench);
}

static void test_restart_behind(void **state)
{
    (void)state;
    Bench *bench = bench_start(NULL);
    started(bench, 5000, 3000);
    /* A little behind, but with timestamps that are far ahead: the same SSRC began anew. */
    bench_video(bench, 4000, 3000 + 90000 * 100);
    bench_video(bench, 4001, 3000 + 90000 * 100);
    bench_tick(bench, TICK_US);
    assert_int_equal(count_of(bench, OUT_RESET), 1);
    assert_int_equal(nth(bench, OUT_PACKET, 0)->seq, 5001);
    assert_int_equal(nth(bench, OUT_PACKET, 1)->seq, 5002);
    bench_free(bench);
}

static void test_replay_is_no_restart(void **state)
{
    (void)state;
    Bench *bench = bench_start(NULL);
    started(bench, 0, 0);
    for (guint i = 1; i < 1500; i++) { /* 30 s at 50 packets a second */
        bench->now_us += 20000;
        bench_video(bench, (guint16)i, 1800 * i);
        if (i > 1000) {
            bench_video(bench, (guint16)(i - 1000), 1800 * (i - 1000));
            bench_video(bench, (guint16)(i - 999), 1800 * (i - 999));
        }
    }
    assert_int_equal(count_of(bench, OUT_RESET), 0);
    assert_int_equal(count_of(bench, OUT_PACKET), 1499);
    assert_int_equal(stats_of(bench, VIDEO).duplicates, 998);
    bench_free(bench);
}

static void test_outage_is_loss(void **state)
{
    (void)state;
    Bench *bench = bench_start(NULL);
    started(bench, 0, 0);
    bench->now_us += 10 * G_USEC_PER_SEC - TICK_US;
    bench_video(bench, 10000, 90000 * 10); /* 1000 a second */
    const Out *gap = nth(bench, OUT_GAP, 0);
    assert_int_equal(gap->seq, 1);
    assert_int_equal(gap->last_seq, 9999);
    assert_int_equal(gap->until_rtp_ts, 900000);
    assert_int_equal(nth(bench, OUT_PACKET, 0)->seq, 10000);
    assert_int_equal(count_of(bench, OUT_RESET), 0);
    bench_video(bench, 9999, 90000 * 10 - 90);
    assert_int_equal(stats_of(bench, VIDEO).late, 1);
    bench_free(bench);
}

static void test_short_jump_is_a_gap(void **state)
{
    (void)state;
    Bench *bench = bench_start(NULL);
    started(bench, 0, 0);
    bench_video(bench, 2900, 3000);
    bench_wait(bench, 2100000);
    assert_int_equal(nth(bench, OUT_GAP, 0)->seq, 1);
    assert_int_equal(nth(bench, OUT_GAP, 0)->last_seq, 2899);
    assert_int_equal(count_of(bench, OUT_RESET), 0);
    bench_free(bench);
}

static void test_timestamp_jump(void **state)
{
    (void)state;
    Bench *bench = bench_start(NULL);
    started(bench, 1, 1000);
    bench->now_us += 40000 - TICK_US;
    bench_video(bench, 2, 1000 + 90000 * 60);
    assert_int_equal(count_of(bench, OUT_RESET), 1);
    assert_int_equal(nth(bench, OUT_PACKET, 0)->seq, 2);
    assert_int_equal(nth(bench, OUT_PACKET, 0)->rtp_ts, 1000 + 3600);
    bench_video(bench, 3, 1000 + 90000 * 60 + 3000);
    assert_int_equal(nth(bench, OUT_PACKET, 1)->rtp_ts, 1000 + 6600);
    assert_int_equal(count_of(bench, OUT_RESET), 1);
    bench_free(bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_in_order_goes_straight_on),
        cmocka_unit_test(test_first_packets_may_be_overtaken),
        cmocka_unit_test(test_reordering),
        cmocka_unit_test(test_loss_is_said_after_the_window),
        cmocka_unit_test(test_duplicates),
        cmocka_unit_test(test_drain),
        cmocka_unit_test(test_remove_track_puts_out_what_it_holds),
        cmocka_unit_test(test_free_gives_back_what_is_held),
        cmocka_unit_test(test_padding_takes_a_number_only),
        cmocka_unit_test(test_numbers_wrap),
        cmocka_unit_test(test_timestamp_after_a_long_pause),
        cmocka_unit_test(test_overflow),
        cmocka_unit_test(test_new_ssrc),
        cmocka_unit_test(test_sequence_jump_needs_two),
        cmocka_unit_test(test_restart_behind),
        cmocka_unit_test(test_replay_is_no_restart),
        cmocka_unit_test(test_outage_is_loss),
        cmocka_unit_test(test_short_jump_is_a_gap),
        cmocka_unit_test(test_timestamp_jump),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
