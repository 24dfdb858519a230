/* Headers, and whose packet it is: SSRC, MID, payload type, RTX. */
#include "harness.h"

#include <errno.h>
#include <string.h>

static void no_ssrc(StenoRtpConfig *config, StenoRtpTrackConfig *video, StenoRtpTrackConfig *audio)
{
    (void)config;
    video->ssrc = video->rtx_ssrc = audio->ssrc = 0;
}

static void test_malformed_headers(void **state)
{
    (void)state;
    Bench *bench = bench_start(NULL);
    static const struct {
        const char *why;
        guint8 data[24];
        gsize bytes;
    } cases[] = {
        {"empty", {0}, 0},
        {"short", {0x80, 96, 0, 1, 0, 0, 0, 0, 0x11, 0x11, 0}, 11},
        {"version 1", {0x40, 96, 0, 1, 0, 0, 0, 0, 0x11, 0x11, 0, 0, 1}, 13},
        {"CSRC beyond the end", {0x82, 96, 0, 1, 0, 0, 0, 0, 0x11, 0x11, 0, 0, 1, 2, 3, 4}, 16},
        {"extension header beyond the end", {0x90, 96, 0, 1, 0, 0, 0, 0, 0x11, 0x11, 0, 0, 0xbe, 0xde}, 14},
        {"extension beyond the end", {0x90, 96, 0, 1, 0, 0, 0, 0, 0x11, 0x11, 0, 0, 0xbe, 0xde, 0, 2, 1, 2, 3, 4}, 20},
        {"padding of nothing", {0xa0, 96, 0, 1, 0, 0, 0, 0, 0x11, 0x11, 0, 0}, 12},
        {"padding of 0", {0xa0, 96, 0, 1, 0, 0, 0, 0, 0x11, 0x11, 0, 0, 9, 0}, 14},
        {"padding beyond the payload", {0xa0, 96, 0, 1, 0, 0, 0, 0, 0x11, 0x11, 0, 0, 9, 3}, 14},
    };
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++)
        if (bench_receive_bytes(bench, cases[i].data, cases[i].bytes) != -EBADMSG)
            fail_msg("taken: %s", cases[i].why);
    assert_int_equal(steno_rtp_unmatched(bench->rtp), G_N_ELEMENTS(cases));
    assert_int_equal(bench_receive(bench, (Made){.ssrc = 5, .payload_type = 5}), -ENOENT);
    assert_int_equal(steno_rtp_unmatched(bench->rtp), G_N_ELEMENTS(cases) + 1);
    steno_rtp_drain(bench->rtp);
    assert_int_equal(bench->out->len, 0);
    bench_free(bench);
}

static void test_payload_after_csrc_extension_and_padding(void **state)
{
    (void)state;
    Bench *bench = bench_start(NULL);
    static const guint8 data[] = {0xb1, 0x80 | 96, 0,    7,    0,    0, 0, 9, 0x11, 0x11, 0, 0, /* header */
                                  1,    2,         3,    4,                                     /* CSRC */
                                  0x12, 0x34,      0,    1,    0,    0, 0, 0,                   /* extension */
                                  0xaa, 0xbb,      0xcc, 0xdd, 0xee, 0, 0};                     /* payload, padding */
    guint8 padded[sizeof data + 1];
    memcpy(padded, data, sizeof data);
    padded[sizeof data] = 3;
    assert_int_equal(bench_receive_bytes(bench, padded, sizeof padded), 0);
    steno_rtp_drain(bench->rtp);
    const Out *out = nth(bench, OUT_PACKET, 0);
    assert_int_equal(out->payload_bytes, 5);
    assert_int_equal(out->tag, 0xaabbccdd);
    assert_int_equal(out->seq, 7);
    assert_int_equal(out->rtp_ts, 9);
    assert_true(out->marker);
    bench_free(bench);
}

/* A packet of SSRC 9, payload type 96, with these extension elements. */
static int with_extension(Bench *bench, guint16 profile, const char *elements, gsize bytes)
{
    guint8 data[64] = {0x90, 96, 0, 1, 0, 0, 0, 0, 0, 0, 0, 9};
    gsize words = (bytes + 3) / 4;
    data[12] = (guint8)(profile >> 8);
    data[13] = (guint8)profile;
    data[15] = (guint8)words;
    memcpy(data + 16, elements, bytes);
    return bench_receive_bytes(bench, data, 16 + 4 * words + 4);
}

static void two_with_one_payload_type(StenoRtpConfig *config, StenoRtpTrackConfig *video, StenoRtpTrackConfig *audio)
{
    no_ssrc(config, video, audio);
    audio->payloads[0] = video->payloads[0];
}

static void test_mid_extension(void **state)
{
    (void)state;
    static const struct {
        guint16 profile;
        const char *elements;
        gsize bytes;
        guint32 track; /* 0: nobody's */
    } cases[] = {
        {0xBEDE, "\x41v0", 3, VIDEO},
        {0xBEDE,
         "\x41"
         "a0",
         3, AUDIO},
        {0xBEDE,
         "\x41"
         "zz",
         3, 0},
        {0xBEDE, "\x00\x00\x31\x01\x02\x00\x41v0", 9, VIDEO}, /* padding, another element */
        {0xBEDE, "\xf0\x00\x41v0", 5, 0},                     /* 15 ends it: then two tracks could be meant */
        {0xBEDE, "\x01\x00\x41v0", 5, 0},                     /* so does 0 with a length */
        {0xBEDE, "\x4fv0", 3, 0},                             /* element beyond the end */
        {0x1000, "\x04\x02v0", 4, VIDEO},                     /* two-byte */
        {0x1005, "\x07\x00\x00\x03\x03\x01\x02\x03\x04\x02v0", 12, VIDEO},
        {0x1000, "\x04\x09v0", 4, 0},
        {0x1000, "\x00\x00\x00\x04", 4, 0},
        {0x2000, "\x41v0", 3, 0}, /* no RFC 8285 profile */
    };
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        Bench *bench = bench_start(two_with_one_payload_type);
        int result = with_extension(bench, cases[i].profile, cases[i].elements, cases[i].bytes);
        steno_rtp_drain(bench->rtp);
        if (result != (cases[i].track ? 0 : -ENOENT))
            fail_msg("case %u: %d", i, result);
        if (cases[i].track)
            assert_int_equal(nth(bench, OUT_PACKET, 0)->track, cases[i].track);
        bench_free(bench);
    }
}

static void test_payload_type(void **state)
{
    (void)state;
    Bench *bench = bench_start(no_ssrc);
    assert_int_equal(bench_receive(bench, (Made){.ssrc = 9, .payload_type = AUDIO_PT, .tag = 1}), 0);
    assert_int_equal(bench_receive(bench, (Made){.ssrc = 8, .payload_type = VIDEO_PT, .tag = 2}), 0);
    steno_rtp_drain(bench->rtp);
    assert_int_equal(nth(bench, OUT_PACKET, 0)->track + nth(bench, OUT_PACKET, 1)->track, AUDIO + VIDEO);
    bench_free(bench);
    bench = bench_start(two_with_one_payload_type);
    assert_int_equal(bench_receive(bench, (Made){.ssrc = 9, .payload_type = VIDEO_PT}), -ENOENT);
    bench_free(bench);
}

static void test_announced_track_takes_no_stranger(void **state)
{
    (void)state;
    Bench *bench = bench_start(NULL);
    assert_int_equal(bench_receive(bench, (Made){.ssrc = 9, .payload_type = VIDEO_PT}), -ENOENT);
    bench_video(bench, 1, 0);
    assert_int_equal(bench_receive(bench, (Made){.ssrc = 9, .payload_type = VIDEO_PT}), -ENOENT);
    bench_wait(bench, 3000000); /* its source is silent: this is it, begun anew */
    assert_int_equal(bench_receive(bench, (Made){.ssrc = 9, .payload_type = VIDEO_PT}), 0);
    assert_int_equal(count_of(bench, OUT_RESET), 1);
    bench_free(bench);
}

static void test_renegotiated_ssrc(void **state)
{
    (void)state;
    Bench *bench = bench_start(NULL);
    bench_video(bench, 1, 0);
    bench_tick(bench, TICK_US);
    StenoRtpTrackConfig video = video_track();
    video.ssrc = 0x777;
    assert_int_equal(steno_rtp_set_track(bench->rtp, &video), 0);
    bench_video(bench, 2, 0); /* still under way */
    assert_int_equal(bench_receive(bench, (Made){.ssrc = 0x777, .payload_type = VIDEO_PT, .seq = 9}), 0);
    bench_tick(bench, TICK_US);
    assert_int_equal(count_of(bench, OUT_PACKET), 3);
    assert_int_equal(nth(bench, OUT_RESET, 0)->ssrc, 0x777);
    assert_int_equal(nth(bench, OUT_PACKET, 2)->seq, 3);
    bench_free(bench);
}

static void test_rtx(void **state)
{
    (void)state;
    Bench *bench = bench_start(NULL);
    bench_video(bench, 10, 0);
    bench_tick(bench, TICK_US);
    bench_video(bench, 14, 900);
    bench_tick(bench, TICK_US); /* asked for */
    for (guint16 seq = 13; seq > 10; seq--)
        assert_int_equal(
            bench_receive(bench, (Made){.seq = seq, .ts = 450, .tag = seq, .rtx = true, .marker = seq == 12}), 0);
    for (guint i = 1; i < 5; i++) {
        const Out *out = nth(bench, OUT_PACKET, i);
        assert_int_equal(out->tag, 10 + i);
        assert_int_equal(out->seq, 10 + i);
        assert_int_equal(out->payload_type, VIDEO_PT);
        assert_int_equal(out->payload_bytes, 20);
        assert_int_equal(out->marker, i == 2);
    }
    StenoRtpStats stats = stats_of(bench, VIDEO);
    assert_int_equal(stats.recovered, 3);
    assert_int_equal(stats.reordered, 0);
    /* Again, as padding, and for what was never near. */
    assert_int_equal(bench_receive(bench, (Made){.seq = 12, .tag = 12, .rtx = true}), 0);
    assert_int_equal(bench_receive(bench, (Made){.seq = 0, .rtx = true, .padding_only = true}), 0);
    assert_int_equal(bench_receive(bench, (Made){.seq = 30000, .rtx = true}), 0);
    assert_int_equal(bench_receive(bench, (Made){.seq = 30001, .rtx = true}), 0);
    assert_int_equal(count_of(bench, OUT_PACKET), 5);
    assert_int_equal(count_of(bench, OUT_RESET), 0);
    bench_free(bench);
}

static void test_rtx_ssrc_is_learnt(void **state)
{
    (void)state;
    Bench *bench = bench_start(no_ssrc);
    assert_int_equal(bench_receive(bench, (Made){.ssrc = 50, .payload_type = RTX_PT, .rtx = true, .seq = 1}), 0);
    assert_int_equal(bench_receive(bench, (Made){.ssrc = 40, .payload_type = VIDEO_PT, .seq = 1, .tag = 1}), 0);
    assert_int_equal(bench_receive(bench, (Made){.ssrc = 40, .payload_type = VIDEO_PT, .seq = 3, .tag = 3}), 0);
    bench_tick(bench, TICK_US);
    bench_tick(bench, TICK_US);
    assert_int_equal(bench_receive(bench, (Made){.ssrc = 50, .payload_type = RTX_PT, .rtx = true, .seq = 2, .tag = 2}),
                     0);
    assert_int_equal(nth(bench, OUT_PACKET, 1)->tag, 2);
    assert_int_equal(stats_of(bench, VIDEO).recovered, 1);
    assert_int_equal(stats_of(bench, VIDEO).late, 1); /* what came before the first */
    /* Media on the SSRC of RTX is nothing. */
    assert_int_equal(bench_receive(bench, (Made){.ssrc = 50, .payload_type = VIDEO_PT, .seq = 4}), -ENOENT);
    assert_int_equal(count_of(bench, OUT_RESET), 0);
    bench_free(bench);
}

static void test_tracks_have_a_ceiling(void **state)
{
    (void)state;
    Bench *bench = bench_start(NULL);
    StenoRtpTrackConfig config = audio_track();
    for (guint i = 2; i < STENO_RTP_TRACKS_MAX; i++) {
        config.track = 100 + i;
        config.ssrc = 100000 + i;
        config.rtx_ssrc = 200000 + i;
        assert_int_equal(steno_rtp_set_track(bench->rtp, &config), 0);
    }
    config.track = 1;
    assert_int_equal(steno_rtp_set_track(bench->rtp, &config), 0); /* there already */
    config.track = 99;
    assert_int_equal(steno_rtp_set_track(bench->rtp, &config), -ENOSPC);
    for (guint i = 2; i < STENO_RTP_TRACKS_MAX; i++)
        assert_int_equal(bench_receive(bench, (Made){.ssrc = 100000 + i, .payload_type = AUDIO_PT}), 0);
    steno_rtp_drain(bench->rtp);
    assert_int_equal(count_of(bench, OUT_PACKET), STENO_RTP_TRACKS_MAX - 2);
    for (guint i = 2; i < STENO_RTP_TRACKS_MAX; i++)
        steno_rtp_remove_track(bench->rtp, 100 + i);
    assert_int_equal(bench_receive(bench, (Made){.ssrc = AUDIO_SSRC}), 0);
    bench_free(bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_malformed_headers),
        cmocka_unit_test(test_payload_after_csrc_extension_and_padding),
        cmocka_unit_test(test_mid_extension),
        cmocka_unit_test(test_payload_type),
        cmocka_unit_test(test_announced_track_takes_no_stranger),
        cmocka_unit_test(test_renegotiated_ssrc),
        cmocka_unit_test(test_rtx),
        cmocka_unit_test(test_rtx_ssrc_is_learnt),
        cmocka_unit_test(test_tracks_have_a_ceiling),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
