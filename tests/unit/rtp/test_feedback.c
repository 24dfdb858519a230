/* What we send: bytes as the RFCs lay them out, and when. */
#include "harness.h"

#include <stdlib.h>

static void all_feedback(StenoRtpConfig *config, StenoRtpTrackConfig *video, StenoRtpTrackConfig *audio)
{
    (void)config;
    video->remb = audio->remb = video->transport_cc = audio->transport_cc = true;
}

static void reduced(StenoRtpConfig *config, StenoRtpTrackConfig *video, StenoRtpTrackConfig *audio)
{
    all_feedback(config, video, audio);
    config->reduced_size = true;
}

static void silent(StenoRtpConfig *config, StenoRtpTrackConfig *video, StenoRtpTrackConfig *audio)
{
    all_feedback(config, video, audio);
    config->feedback = false;
}

static void without_nack(StenoRtpConfig *config, StenoRtpTrackConfig *video, StenoRtpTrackConfig *audio)
{
    (void)config, (void)audio;
    video->nack = false;
}

static void fir_only(StenoRtpConfig *config, StenoRtpTrackConfig *video, StenoRtpTrackConfig *audio)
{
    (void)config, (void)audio;
    video->pli = false;
    video->fir = true;
}

static void test_nack_bytes(void **state)
{
    (void)state;
    Bench *bench = bench_start(reduced);
    bench_video(bench, 65530, 0);
    bench_tick(bench, TICK_US);
    forget(bench);
    /* Missing: 65532, 65534, 0 … 16 but 12, 19 */
    static const guint16 present[] = {65531, 65533, 65535, 12, 17, 18, 20, 21, 22};
    for (guint i = 0; i < G_N_ELEMENTS(present); i++)
        bench_video(bench, present[i], 0);
    bench_tick(bench, TICK_US);
    gsize bytes;
    const guint8 *nack = sent_rtcp(bench, 205, 1, 0, &bytes);
    assert_non_null(nack);
    static const guint8 expected[] = {0x81, 205,  0,    4,     /* V=2, FMT=1; 5 words */
                                      0x0b, 0xad, 0xca, 0xfe,  /* we */
                                      0x11, 0x11, 0x00, 0x00}; /* the source */
    assert_memory_equal(nack, expected, 12);
    /* 65532, then bits 2 (65534), 4 … 15 (0 … 11): bit n is PID + n + 1. 65534: 1; 0: 3 … 11: 14; 12 is here: 15 not.
     */
    assert_int_equal(get16(nack + 12), 65532);
    assert_int_equal(get16(nack + 14), 0x7ffa);
    /* 13, 14, 15, 16, 19 */
    assert_int_equal(get16(nack + 16), 13);
    assert_int_equal(get16(nack + 18), 0x0027);
    assert_int_equal(bytes, 20);
    assert_int_equal(stats_of(bench, VIDEO).nacks_sent, 1);
    bench_free(bench);
}

static void test_nack_waits_for_reordering(void **state)
{
    (void)state;
    Bench *bench = bench_start(reduced);
    bench_video(bench, 10, 0);
    bench_tick(bench, TICK_US);
    bench->now_us += 5000;
    bench_video(bench, 12, 0); /* the hole was seen just now, one behind */
    bench_tick(bench, 1);
    assert_int_equal(count_rtcp(bench, 205, 1), 0);
    bench_tick(bench, TICK_US - 1);
    assert_int_equal(count_rtcp(bench, 205, 1), 1);
    bench_free(bench);
}

static void test_nack_is_repeated(void **state)
{
    (void)state;
    Bench *bench = bench_start(NULL);
    bench_video(bench, 10, 0);
    bench_tick(bench, TICK_US);
    bench_video(bench, 12, 0);
    bench_wait(bench, 1980000);
    guint tries = count_rtcp(bench, 205, 1);
    assert_true(tries >= 9 && tries <= 40);
    assert_true(steno_rtp_is_recovering(bench->rtp));
    bench_wait(bench, 100000); /* given up: never again, but a key frame */
    forget(bench);
    bench_wait(bench, 1000000);
    assert_int_equal(count_rtcp(bench, 205, 1), 0);
    assert_false(steno_rtp_is_recovering(bench->rtp));
    bench_free(bench);
}

static void test_pli_and_its_rate(void **state)
{
    (void)state;
    Bench *bench = bench_start(NULL);
    steno_rtp_request_keyframe(bench->rtp, VIDEO); /* the SSRC was announced: no need to wait for a packet */
    bench_tick(bench, TICK_US);
    gsize bytes;
    const guint8 *pli = sent_rtcp(bench, 206, 1, 0, &bytes);
    static const guint8 expected[] = {0x81, 206, 0, 2, 0x0b, 0xad, 0xca, 0xfe, 0x11, 0x11, 0, 0};
    assert_int_equal(bytes, 12);
    assert_memory_equal(pli, expected, 12);
    for (guint i = 0; i < 50; i++) { /* each 20 ms for a second */
        steno_rtp_request_keyframe(bench->rtp, VIDEO);
        bench_tick(bench, TICK_US);
    }
    assert_int_equal(count_rtcp(bench, 206, 1), 3);
    assert_int_equal(stats_of(bench, VIDEO).plis_sent, 3);
    bench_free(bench);
}

static void test_fir(void **state)
{
    (void)state;
    Bench *bench = bench_start(fir_only);
    for (guint i = 0; i < 2; i++) {
        steno_rtp_request_keyframe(bench->rtp, VIDEO);
        bench_tick(bench, 600000);
    }
    gsize bytes;
    const guint8 *fir = sent_rtcp(bench, 206, 4, 1, &bytes);
    static const guint8 expected[] = {0x84, 206, 0,    4,    0x0b, 0xad, 0xca, 0xfe, 0, 0,
                                      0,    0,   0x11, 0x11, 0,    0,    1,    0,    0, 0}; /* the second: number 1 */
    assert_int_equal(bytes, 20);
    assert_memory_equal(fir, expected, 20);
    bench_free(bench);
}

static void test_pli_when_video_is_given_up(void **state)
{
    (void)state;
    Bench *bench = bench_start(NULL);
    bench_video(bench, 1, 0);
    bench_video(bench, 3, 0);
    (void)bench_receive(bench, (Made){.ssrc = AUDIO_SSRC, .seq = 1});
    (void)bench_receive(bench, (Made){.ssrc = AUDIO_SSRC, .seq = 3});
    bench_wait(bench, 2200000);
    assert_int_equal(count_rtcp(bench, 206, 1), 1);
    assert_int_equal(get32(sent_rtcp(bench, 206, 1, 0, NULL) + 8), VIDEO_SSRC);
    bench_free(bench);
}

static void test_no_feedback(void **state)
{
    (void)state;
    Bench *bench = bench_start(silent);
    (void)bench_receive(bench, (Made){.seq = 1, .twcc = 1});
    (void)bench_receive(bench, (Made){.seq = 3, .twcc = 3});
    steno_rtp_request_keyframe(bench->rtp, VIDEO);
    bench_wait(bench, 3000000);
    assert_int_equal(bench->sent->len, 0);
    assert_int_equal(stats_of(bench, VIDEO).lost, 1);
    bench_free(bench);
}

static int send_sr(Bench *bench, guint32 ssrc, guint64 ntp, guint32 rtp_ts)
{
    guint8 sr[28] = {0x80, 200, 0, 6};
    for (guint i = 0; i < 4; i++) {
        sr[4 + i] = (guint8)(ssrc >> (24 - 8 * i));
        sr[16 + i] = (guint8)(rtp_ts >> (24 - 8 * i));
    }
    for (guint i = 0; i < 8; i++)
        sr[8 + i] = (guint8)(ntp >> (56 - 8 * i));
    return steno_rtp_receive_rtcp(bench->rtp, sr, sizeof sr, bench->now_us);
}

/* Janus takes the medium of a compound from its first report block: it must be the one that the feedback is about. */
static void test_feedback_follows_its_own_report(void **state)
{
    (void)state;
    Bench *bench = bench_start(reduced);
    (void)bench_receive(bench, (Made){.ssrc = AUDIO_SSRC, .seq = 1});
    bench_video(bench, 10, 0);
    bench_tick(bench, TICK_US);
    for (guint i = 0; i < 2; i++) { /* each source has a report that names it first */
        gboolean found = FALSE;
        for (guint n = 0; n < bench->sent->len; n++) {
            const GByteArray *compound = bench->sent->pdata[n];
            found |= compound->data[1] == 201 && compound->data[0] == 0x81 &&
                     get32(compound->data + 8) == (i ? AUDIO_SSRC : VIDEO_SSRC);
        }
        assert_true(found);
    }
    forget(bench);
    bench_video(bench, 14, 0);
    (void)bench_receive(bench, (Made){.ssrc = AUDIO_SSRC, .seq = 2});
    steno_rtp_request_keyframe(bench->rtp, VIDEO);
    bench_tick(bench, TICK_US);
    gsize bytes;
    assert_non_null(sent_rtcp(bench, 205, 1, 0, &bytes));
    assert_non_null(sent_rtcp(bench, 206, 1, 0, &bytes));
    for (guint n = 0; n < bench->sent->len; n++) {
        const GByteArray *compound = bench->sent->pdata[n];
        if (compound->data[1] == 205 || compound->data[1] == 206)
            assert_int_not_equal(compound->data[0] & 0x1f, 1); /* transport-wide feedback and REMB are about all */
        else
            assert_int_equal(get32(compound->data + 8), VIDEO_SSRC);
    }
    bench_free(bench);
}

static void test_receiver_report(void **state)
{
    (void)state;
    Bench *bench = bench_start(without_nack);
    bench_video(bench, 65530, 0);
    bench_tick(bench, 100000); /* the first report */
    const guint8 *rr = sent_rtcp(bench, 201, 1, 0, NULL);
    assert_int_equal(get32(rr + 8), VIDEO_SSRC);
    assert_int_equal(get32(rr + 12), 0);
    assert_int_equal(get32(rr + 16), 65530);
    assert_int_equal(get32(rr + 24), 0); /* no SR yet */
    assert_int_equal(get32(rr + 28), 0);
    forget(bench);
    assert_int_equal(send_sr(bench, VIDEO_SSRC, G_GUINT64_CONSTANT(0xe1234567abcdef01), 0), 0);
    bench_tick(bench, 0); /* the first is answered at once */
    rr = sent_rtcp(bench, 201, 1, 0, NULL);
    assert_int_equal(get32(rr + 24), 0x4567abcd);
    assert_int_equal(get32(rr + 28), 0);
    forget(bench);
    for (guint i = 1; i < 16; i++) /* 65531 … 9: 4 of 16 lost, one of them sent again */
        if (i % 4)
            bench_video(bench, (guint16)(65530 + i), 0);
    bench_video(bench, 65534, 0);
    bench_video(bench, 10, 0);
    bench_tick(bench, 500000);
    assert_int_equal(count_rtcp(bench, 201, 1), 0); /* not yet */
    bench_tick(bench, 500000);
    rr = sent_rtcp(bench, 201, 1, 0, NULL);
    /* Expected since: 16; received 14 (12 + 1 + 1): fraction 2/16 = 32/256, cumulative 2. */
    assert_int_equal(get32(rr + 12), 32u << 24 | 2);
    assert_int_equal(get32(rr + 16), 65536 + 10);
    assert_int_equal(get32(rr + 24), 0x4567abcd);
    assert_int_equal(get32(rr + 28), 65536); /* a second */
    /* SDES */
    gsize bytes;
    const guint8 *sdes = sent_rtcp(bench, 202, 1, 0, &bytes);
    assert_memory_equal(sdes + 4, "\x0b\xad\xca\xfe\x01\x0asteno-test\0", 17);
    assert_int_equal(bytes % 4, 0);
    bench_free(bench);
}

static void test_silence_is_not_reported(void **state)
{
    (void)state;
    Bench *bench = bench_start(NULL);
    bench_video(bench, 1, 0);
    bench_tick(bench, TICK_US);
    forget(bench);
    bench_tick(bench, 1100000);
    assert_int_equal(count_rtcp(bench, 201, 1), 0);
    bench_video(bench, 2, 0);
    bench_tick(bench, TICK_US);
    assert_int_equal(count_rtcp(bench, 201, 1), 1);
    bench_free(bench);
}

static void test_jitter(void **state)
{
    (void)state;
    Bench *bench = bench_start(NULL);
    for (guint i = 0; i < 2000; i++) {
        (void)bench_receive(bench, (Made){.ssrc = AUDIO_SSRC, .seq = (guint16)i, .ts = 960 * i});
        bench->now_us += i % 2 ? 10000 : 30000; /* |D| is 10 ms each time */
    }
    assert_in_range(stats_of(bench, AUDIO).jitter_us, 9900, 10000);
    bench_tick(bench, 0);
    const guint8 *rr = sent_rtcp(bench, 201, 1, 0, NULL);
    assert_in_range(get32(rr + 20), 475, 480); /* ticks of 48 kHz */
    bench_free(bench);
}

static void test_many_reports(void **state)
{
    (void)state;
    Bench *bench = bench_start(NULL);
    StenoRtpTrackConfig config = audio_track();
    for (guint i = 0; i < 100; i++) {
        config.track = 100 + i;
        config.ssrc = 100000 + i;
        assert_int_equal(steno_rtp_set_track(bench->rtp, &config), 0);
        (void)bench_receive(bench, (Made){.ssrc = 100000 + i, .payload_type = AUDIO_PT});
    }
    bench_tick(bench, TICK_US);
    guint blocks = 0;
    gsize bytes;
    const guint8 *rr;
    for (guint n = 0; (rr = sent_rtcp(bench, 201, -1, n, &bytes)); n++) {
        assert_int_equal(bytes, 8 + 24 * (rr[0] & 0x1f));
        blocks += rr[0] & 0x1f;
    }
    assert_int_equal(blocks, 100);
    bench_free(bench);
}

static void test_remb(void **state)
{
    (void)state;
    Bench *bench = bench_start(all_feedback);
    bench_tick(bench, TICK_US);
    assert_int_equal(bench->sent->len, 0);
    bench_video(bench, 1, 0);
    (void)bench_receive(bench, (Made){.ssrc = AUDIO_SSRC, .seq = 1});
    bench_tick(bench, TICK_US); /* with the first packet */
    gsize bytes;
    const guint8 *remb = sent_rtcp(bench, 206, 15, 0, &bytes);
    assert_int_equal(bytes, 28);
    /* 100 000 000 = 195312 (0x2faf0) × 2^9, with what is below cut off; the exponent has the upper six bits */
    static const guint8 expected[] = {0x8f, 206, 0, 6,    0x0b, 0xad, 0xca, 0xfe, 0, 0, 0,    0,    'R', 'E',
                                      'M',  'B', 2, 0x26, 0xfa, 0xf0, 0x11, 0x11, 0, 0, 0x22, 0x22, 0,   0};
    assert_memory_equal(remb, expected, 28);
    bench_wait(bench, 3000000);
    assert_int_equal(count_rtcp(bench, 206, 15), 4);
    bench_free(bench);
}

/* Reads transport-wide feedback on its own: arrival µs by number into a table, -1 for a number said to be missing. */
static void read_twcc(const Bench *bench, gint64 *arrival, guint numbers)
{
    for (guint i = 0; i < numbers; i++)
        arrival[i] = 0;
    gsize bytes;
    const guint8 *packet;
    for (guint n = 0; (packet = sent_rtcp(bench, 205, 15, n, &bytes)); n++) {
        guint base = get16(packet + 12), count = get16(packet + 14);
        gint64 time = (gint64)(get32(packet + 16) >> 8) * 64000;
        assert_int_equal(packet[19], n); /* feedback count */
        GArray *symbols = g_array_new(FALSE, FALSE, 1);
        gsize at = 20;
        while (symbols->len < count) {
            assert_true(at + 2 <= bytes);
            guint chunk = get16(packet + at);
            at += 2;
            guint8 symbol;
            if (chunk >> 15 == 0) {
                symbol = (guint8)(chunk >> 13 & 3);
                for (guint i = 0; i < (chunk & 0x1fff); i++)
                    g_array_append_val(symbols, symbol);
            } else if ((chunk >> 14 & 1) == 0) {
                for (int bit = 13; bit >= 0; bit--) {
                    symbol = chunk >> bit & 1;
                    g_array_append_val(symbols, symbol);
                }
            } else {
                for (int bit = 12; bit >= 0; bit -= 2) {
                    symbol = chunk >> bit & 3;
                    g_array_append_val(symbols, symbol);
                }
            }
        }
        for (guint i = 0; i < count; i++) {
            guint8 symbol = g_array_index(symbols, guint8, i);
            guint number = (guint16)(base + i);
            assert_true(symbol != 3 && number < numbers);
            if (symbol == 0) {
                arrival[number] = -1;
                continue;
            }
            assert_true(at + symbol <= bytes);
            gint64 delta = symbol == 1 ? packet[at] : (gint16)get16(packet + at);
            at += symbol;
            time += 250 * delta;
            arrival[number] = time;
        }
        assert_true(bytes - at < 4);
        while (at < bytes)
            assert_int_equal(packet[at++], 0);
        g_array_unref(symbols);
    }
}

static void test_twcc_bytes(void **state)
{
    (void)state;
    Bench *bench = bench_start(reduced);
    bench->now_us = 64000 * 1000 + 1000; /* reference 1000 */
    static const int numbers[] = {5, 6, 8, 7, 10};
    static const int later[] = {0, 250, 100000, 0, 1000};
    for (guint i = 0; i < 5; i++) {
        bench->now_us += later[i];
        (void)bench_receive(bench, (Made){.seq = (guint16)i, .twcc = numbers[i] + 1});
    }
    bench_tick(bench, TICK_US);
    gsize bytes;
    const guint8 *twcc = sent_rtcp(bench, 205, 15, 0, &bytes);
    /*
     * Numbers 5 … 10. Arrivals after the reference: 1000, 1250, 101250 (7), 101250 (8), none (9), 102250 (10).
     * Deltas of 250 µs: 4, 1, 400 (large), 0, –, 4. Symbols 1 1 2 1 0 1 0: 11 01 01 10 01 00 01 00.
     */
    static const guint8 expected[] = {0x8f, 205, 0, 6,    0x0b, 0xad, 0xca, 0xfe, 0x11, 0x11, 0,    0,    0, 5,
                                      0,    6,   0, 0x03, 0xe8, 0,    0xd6, 0x44, 4,    1,    0x01, 0x90, 0, 4};
    assert_int_equal(bytes, 28);
    assert_memory_equal(twcc, expected, 28);
    bench_free(bench);
}

static void test_twcc_of_many(void **state)
{
    (void)state;
    enum { NUMBERS = 6000 };
    Bench *bench = bench_start(reduced);
    bench->now_us = G_GINT64_CONSTANT(5000) * 64000;
    GRand *random = g_rand_new_with_seed(7);
    gint64 *sent = g_new0(gint64, NUMBERS), *said = g_new0(gint64, NUMBERS);
    guint received = 0;
    for (guint i = 0; i < NUMBERS; i++) {
        bench->now_us += g_rand_int_range(random, 0, i % 500 == 0 ? 200000 : 300);
        bool burst_loss = i % 1000 > 900 && i % 1000 < 960;
        if (i > 0 && i < NUMBERS - 1 && (burst_loss || g_rand_int_range(random, 0, 100) < 10))
            continue;
        sent[i] = bench->now_us;
        (void)bench_receive(bench, (Made){.seq = (guint16)received++, .twcc = (int)i + 1});
        if (i % 150 == 0)
            bench_tick(bench, 0);
    }
    bench_tick(bench, 100000);
    read_twcc(bench, said, NUMBERS);
    for (guint i = 0; i < NUMBERS; i++) {
        if (sent[i] == 0)
            assert_int_equal(said[i], -1);
        else
            assert_in_range(llabs(said[i] - sent[i]), 0, 250);
    }
    assert_true(count_rtcp(bench, 205, 15) > 10);
    g_free(sent);
    g_free(said);
    g_rand_free(random);
    bench_free(bench);
}

static void test_twcc_late_and_wrapped(void **state)
{
    (void)state;
    Bench *bench = bench_start(reduced);
    (void)bench_receive(bench, (Made){.seq = 0, .twcc = 65534 + 1});
    (void)bench_receive(bench, (Made){.seq = 1, .twcc = 1 + 1}); /* 65535 and 0 are missing */
    bench_tick(bench, 60000);
    const guint8 *twcc = sent_rtcp(bench, 205, 15, 0, NULL);
    assert_int_equal(get16(twcc + 12), 65534);
    assert_int_equal(get16(twcc + 14), 4);
    (void)bench_receive(bench, (Made){.seq = 2, .twcc = 65535 + 1}); /* late: reported after all */
    bench_tick(bench, 60000);
    twcc = sent_rtcp(bench, 205, 15, 1, NULL);
    assert_int_equal(get16(twcc + 12), 65535);
    assert_int_equal(get16(twcc + 14), 3);
    bench_tick(bench, 60000); /* nothing new, nothing said */
    assert_int_equal(count_rtcp(bench, 205, 15), 2);
    bench_free(bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nack_bytes),
        cmocka_unit_test(test_nack_waits_for_reordering),
        cmocka_unit_test(test_nack_is_repeated),
        cmocka_unit_test(test_pli_and_its_rate),
        cmocka_unit_test(test_fir),
        cmocka_unit_test(test_pli_when_video_is_given_up),
        cmocka_unit_test(test_no_feedback),
        cmocka_unit_test(test_feedback_follows_its_own_report),
        cmocka_unit_test(test_receiver_report),
        cmocka_unit_test(test_silence_is_not_reported),
        cmocka_unit_test(test_jitter),
        cmocka_unit_test(test_many_reports),
        cmocka_unit_test(test_remb),
        cmocka_unit_test(test_twcc_bytes),
        cmocka_unit_test(test_twcc_of_many),
        cmocka_unit_test(test_twcc_late_and_wrapped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
