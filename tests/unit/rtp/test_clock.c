/* Sender reports, CNAME and BYE: RTP time → wall clock. */
#include "harness.h"

#include <stdlib.h>
#include <string.h>

#include "steno/base/clock.h"

#define HZ 90000

/* A sender whose clock reads `epoch` at START, whose sampling clock runs at rate × HZ from ts `first`. */
typedef struct {
    Bench *bench;
    guint32 ssrc, first;
    gint64 epoch_us;
    double rate;
    guint16 seq;
} Sender;

static guint32 ts_of(const Sender *sender, gint64 since_us)
{
    return sender->first + (guint32)(gint64)((double)since_us * sender->rate * HZ / 1e6);
}

static void send_media(Sender *sender, gint64 since_us, gint64 delay_us)
{
    sender->bench->now_us = START_US + since_us + delay_us;
    (void)bench_receive(
        sender->bench,
        (Made){.ssrc = sender->ssrc, .payload_type = VIDEO_PT, .seq = sender->seq++, .ts = ts_of(sender, since_us)});
    steno_rtp_tick(sender->bench->rtp, sender->bench->now_us);
}

static void put32(guint8 *at, guint32 value)
{
    for (guint i = 0; i < 4; i++)
        at[i] = (guint8)(value >> (24 - 8 * i));
}

static void send_report(Sender *sender, guint64 ntp, guint32 rtp_ts, const char *cname, gint64 arrival_us)
{
    guint8 data[128] = {0x80, 200, 0, 6};
    put32(data + 4, sender->ssrc);
    put32(data + 8, (guint32)(ntp >> 32));
    put32(data + 12, (guint32)ntp);
    put32(data + 16, rtp_ts);
    gsize bytes = 28;
    if (cname) {
        gsize length = strlen(cname), words = (4 + 2 + length + 4) / 4;
        guint8 *sdes = data + bytes;
        sdes[0] = 0x81;
        sdes[1] = 202;
        sdes[3] = (guint8)words;
        put32(sdes + 4, sender->ssrc);
        sdes[8] = 1;
        sdes[9] = (guint8)length;
        memcpy(sdes + 10, cname, length);
        bytes += 4 + 4 * words;
    }
    assert_int_equal(steno_rtp_receive_rtcp(sender->bench->rtp, data, bytes, arrival_us), 0);
}

static void report_at(Sender *sender, gint64 since_us, gint64 delay_us, const char *cname)
{
    send_report(sender, steno_clock_wall_us_to_ntp(sender->epoch_us + since_us), ts_of(sender, since_us), cname,
                START_US + since_us + delay_us);
}

static gint64 wall_at(const Sender *sender, guint32 track, gint64 since_us)
{
    gint64 ticks = (gint64)((double)since_us * sender->rate * HZ / 1e6);
    return steno_rtp_wall_us(sender->bench->rtp, track, (gint64)sender->first + ticks) -
           steno_clock_mono_to_wall_us(START_US);
}

static void two_videos(StenoRtpConfig *config, StenoRtpTrackConfig *video, StenoRtpTrackConfig *audio)
{
    (void)config;
    audio->payloads[0] = video->payloads[0];
}

#define NTP_EPOCH G_GINT64_CONSTANT(1700000000000000)

static void test_arrival_until_the_first_report(void **state)
{
    (void)state;
    Bench *bench = bench_start(NULL);
    assert_int_equal(steno_rtp_wall_us(bench->rtp, VIDEO, 5), 0);
    assert_int_equal(steno_rtp_wall_us(bench->rtp, 55, 5), 0);
    Sender sender = {bench, VIDEO_SSRC, 4000000000u, NTP_EPOCH, 1, 0};
    send_media(&sender, 0, 30000);
    send_media(&sender, 20000, 30000);
    assert_in_range(wall_at(&sender, VIDEO, 0), 29999, 30001);
    assert_in_range(wall_at(&sender, VIDEO, 1000000), 1029999, 1030001);
    bench_free(bench);
}

static void test_least_delay_counts(void **state)
{
    (void)state;
    Bench *bench = bench_start(NULL);
    Sender sender = {bench, VIDEO_SSRC, 4294900000u, NTP_EPOCH, 1, 0};
    for (gint64 i = 0; i < 100; i++) {
        send_media(&sender, i * 100000, 50000);
        if (i % 10 == 5)
            report_at(&sender, i * 100000, i == 45 ? 10000 : 80000 + i * 1000, NULL);
    }
    assert_int_equal(count_of(bench, OUT_CLOCK), 10);
    /* Least seen 10 ms; forgotten by at most 0.2 ms a second. */
    assert_in_range(wall_at(&sender, VIDEO, 5000000), 5010000, 5011100);
    const Out *out = nth(bench, OUT_CLOCK, 4);
    assert_in_range(llabs(out->sample.ntp_wall_us - (NTP_EPOCH + 4500000)), 0, 1);
    assert_int_equal(out->sample.rtp_ts, 4294900000 + 405000);
    assert_int_equal(out->sample.arrival_us, START_US + 4510000);
    assert_in_range(
        llabs(out->sample.ntp_wall_us + out->sample.offset_us - steno_clock_mono_to_wall_us(START_US) - 4510000), 0, 2);
    bench_free(bench);
}

static void test_drift(void **state)
{
    (void)state;
    Bench *bench = bench_start(NULL);
    /* The camera runs 120 ppm fast, its host's clock as ours; reports jitter by ±4 ms, each 5 s for ten minutes. */
    Sender sender = {bench, VIDEO_SSRC, 0, NTP_EPOCH, 1.000120, 0};
    GRand *random = g_rand_new_with_seed(3);
    gint64 end_us = 600 * G_USEC_PER_SEC;
    for (gint64 at = 0; at < end_us; at += 100000) {
        send_media(&sender, at, 20000);
        if (at % 5000000 == 0) {
            gint64 error_us = g_rand_int_range(random, -4000, 4000);
            send_report(&sender, steno_clock_wall_us_to_ntp(NTP_EPOCH + at + error_us), ts_of(&sender, at), NULL,
                        START_US + at + 20000);
        }
    }
    assert_int_equal(count_of(bench, OUT_RESET), 0);
    /* At the end, and 30 s beyond the last report: by the nominal rate it would be 3.6 ms more there. */
    assert_in_range(wall_at(&sender, VIDEO, end_us) - end_us, 14000, 24000);
    assert_in_range(wall_at(&sender, VIDEO, end_us + 30000000) - end_us - 30000000, 14000, 24000);
    g_rand_free(random);
    bench_free(bench);
}

static void test_broken_reports(void **state)
{
    (void)state;
    Bench *bench = bench_start(NULL);
    Sender sender = {bench, VIDEO_SSRC, 1000, NTP_EPOCH, 1, 0};
    send_media(&sender, 0, 0);
    send_media(&sender, 20000, 0);
    report_at(&sender, 30000, 0, NULL);
    send_report(&sender, 0, 77, NULL, START_US + 40000);                                              /* no clock */
    send_report(&sender, steno_clock_wall_us_to_ntp(NTP_EPOCH), 3000000000u, NULL, START_US + 50000); /* no sense */
    send_report(&sender, G_MAXUINT64, ts_of(&sender, 60000), NULL, START_US + 60000);                 /* alone */
    report_at(&sender, 1000000, 0, NULL);
    assert_int_equal(count_of(bench, OUT_CLOCK), 2);
    assert_in_range(llabs(wall_at(&sender, VIDEO, 1000000) - 1000000), 0, 2);
    bench_free(bench);
}

static void test_sender_sets_its_clock(void **state)
{
    (void)state;
    Bench *bench = bench_start(two_videos);
    Sender a = {bench, VIDEO_SSRC, 1000, NTP_EPOCH, 1, 0}, b = {bench, AUDIO_SSRC, 5000, NTP_EPOCH, 1, 0};
    for (gint64 i = 0; i < 400; i++) {
        gint64 at = i * 100000;
        send_media(&a, at, 0);
        send_media(&b, at, 0);
        if (i == 200)
            a.epoch_us = b.epoch_us = NTP_EPOCH + G_GINT64_CONSTANT(3600) * G_USEC_PER_SEC; /* summer time, wrongly */
        if (i % 20 == 5)
            report_at(&a, at, 0, "one");
        if (i % 50 == 7)
            report_at(&b, at, 0, "one");
        if (i > 5)
            assert_in_range(llabs(wall_at(&a, VIDEO, at) - at), 0, 10);
        if (i > 7)
            assert_in_range(llabs(wall_at(&b, AUDIO, at) - at), 0, 10);
    }
    bench_free(bench);
}

static void test_one_cname_is_one_clock(void **state)
{
    (void)state;
    Bench *bench = bench_start(two_videos);
    Sender a = {bench, VIDEO_SSRC, 1000, NTP_EPOCH, 1, 0}, b = {bench, AUDIO_SSRC, 5000, NTP_EPOCH, 1, 0};
    send_media(&a, 0, 0);
    send_media(&b, 0, 0);
    send_media(&a, 20000, 0);
    send_media(&b, 20000, 0);
    report_at(&a, 30000, 15000, "one");
    report_at(&b, 30000, 90000, "one"); /* its reports are slow, its packets are in sync all the same */
    report_at(&b, 130000, 90000, "one");
    assert_in_range(llabs(wall_at(&a, VIDEO, 130000) - wall_at(&b, AUDIO, 130000)), 0, 2);
    assert_in_range(wall_at(&b, AUDIO, 130000), 145000, 145100);
    bench_free(bench);
}

static void test_one_cname_two_clocks(void **state)
{
    bool name_first = *state; /* NULL or not */
    Bench *bench = bench_start(two_videos);
    Sender a = {bench, VIDEO_SSRC, 1000, NTP_EPOCH, 1, 0}, b = {bench, AUDIO_SSRC, 5000, NTP_EPOCH / 2, 1, 0};
    for (gint64 i = 0; i < 100; i++) {
        gint64 at = i * 100000;
        send_media(&a, at, 0);
        send_media(&b, at, 0);
        if (i == 4 && name_first) { /* before it says anything of its clock */
            send_report(&a, 0, 0, "server", START_US + at);
            send_report(&b, 0, 0, "server", START_US + at);
        }
        if (i % 10 == 5) {
            report_at(&a, at, 0, "server"); /* some servers call everybody so */
            report_at(&b, at, 0, "server");
        }
        if (i > 6) {
            assert_in_range(llabs(wall_at(&a, VIDEO, at) - at), 0, 10);
            assert_in_range(llabs(wall_at(&b, AUDIO, at) - at), 0, 10);
        }
    }
    bench_free(bench);
}

static void test_report_before_the_first_packet(void **state)
{
    (void)state;
    Bench *bench = bench_start(NULL);
    Sender sender = {bench, VIDEO_SSRC, 1000, NTP_EPOCH, 1, 0};
    report_at(&sender, 0, 10000, NULL);
    send_media(&sender, 10000, 40000);
    send_media(&sender, 30000, 40000);
    assert_int_equal(count_of(bench, OUT_CLOCK), 1);
    assert_in_range(llabs(wall_at(&sender, VIDEO, 30000) - 40000), 0, 2);
    bench_free(bench);
}

static void test_rtcp_forms(void **state)
{
    (void)state;
    Bench *bench = bench_start(NULL);
    static const guint8 xr_then_bye[] = {0x80, 207, 0, 2, 0, 0, 0, 1, 9,    9,    9, 9,              /* XR */
                                         0x80, 250, 0, 0,                                            /* unknown */
                                         0xa2, 203, 0, 3, 0, 0, 0, 7, 0x11, 0x11, 0, 0, 0, 0, 0, 4}; /* padded */
    assert_int_equal(steno_rtp_receive_rtcp(bench->rtp, xr_then_bye, sizeof xr_then_bye, bench->now_us), 0);
    assert_int_equal(count_of(bench, OUT_BYE), 0); /* its source was never heard */
    bench_video(bench, 1, 0);
    assert_int_equal(steno_rtp_receive_rtcp(bench->rtp, xr_then_bye, sizeof xr_then_bye, bench->now_us), 0);
    assert_int_equal(count_of(bench, OUT_BYE), 1);
    assert_int_equal(nth(bench, OUT_BYE, 0)->track, VIDEO);
    for (gsize bytes = 0; bytes < sizeof xr_then_bye; bytes++) {
        g_autofree guint8 *cut = g_malloc(bytes + 1);
        memcpy(cut, xr_then_bye, bytes);
        bool whole = bytes == 12 || bytes == 16;
        assert_int_equal(steno_rtp_receive_rtcp(bench->rtp, cut, bytes, bench->now_us) == 0, whole);
    }
    static const guint8 faulty[] = {0x81, 203, 0, 1, 0x11, 0x11, 0, 0, 0x41, 200, 0, 0};
    assert_int_not_equal(steno_rtp_receive_rtcp(bench->rtp, faulty, sizeof faulty, bench->now_us), 0);
    assert_int_equal(count_of(bench, OUT_BYE), 2); /* what was before the fault counts */
    bench_free(bench);
}

int main(void)
{
    static bool name_first = true;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_arrival_until_the_first_report),
        cmocka_unit_test(test_least_delay_counts),
        cmocka_unit_test(test_drift),
        cmocka_unit_test(test_broken_reports),
        cmocka_unit_test(test_sender_sets_its_clock),
        cmocka_unit_test(test_one_cname_is_one_clock),
        cmocka_unit_test(test_one_cname_two_clocks),
        cmocka_unit_test_prestate(test_one_cname_two_clocks, &name_first),
        cmocka_unit_test(test_report_before_the_first_packet),
        cmocka_unit_test(test_rtcp_forms),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
