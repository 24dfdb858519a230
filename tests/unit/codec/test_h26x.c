/* H.264 (RFC 6184) and H.265 (RFC 7798): packets, access units, parameter sets, losses. */
#include "harness.h"
#include "writer.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define TICK 3000

/* ---- NAL units made by hand ------------------------------------------------------------------------------------ */

/* H.264 SPS of so many macroblocks, the last row of pixels pairs cropped; high: with chroma format and scaling lists.
 */
static Writer h264_sps(guint id, guint mbs_x, guint mbs_y, bool high, bool crop)
{
    Writer w = {0};
    writer_bits(&w, 8, 0x67);
    writer_bits(&w, 8, high ? 100 : 66);
    writer_bits(&w, 16, 0x001f);
    writer_ue(&w, id);
    if (high) {
        writer_ue(&w, 1); /* 4:2:0 */
        writer_ue(&w, 0);
        writer_ue(&w, 0);
        writer_bits(&w, 1, 0);
        writer_bits(&w, 1, 1); /* scaling matrix: the first list with a delta of -8, which ends it */
        writer_bits(&w, 1, 1);
        writer_ue(&w, 16);
        writer_bits(&w, 7, 0);
    }
    writer_ue(&w, 0);
    writer_ue(&w, 2); /* pic_order_cnt_type */
    writer_ue(&w, 1);
    writer_bits(&w, 1, 0);
    writer_ue(&w, mbs_x - 1);
    writer_ue(&w, mbs_y - 1);
    writer_bits(&w, 2, 3); /* frame_mbs_only, direct_8x8 */
    writer_bits(&w, 1, crop);
    if (crop) {
        writer_ue(&w, 0);
        writer_ue(&w, 0);
        writer_ue(&w, 0);
        writer_ue(&w, 4); /* 8 px at the bottom */
    }
    writer_bits(&w, 1, 0);
    writer_trail(&w);
    writer_escape(&w, 1);
    return w;
}

static Writer h264_pps(guint id, guint sps, guint variant)
{
    Writer w = {0};
    writer_bits(&w, 8, 0x68);
    writer_ue(&w, id);
    writer_ue(&w, sps);
    writer_bits(&w, 4, variant);
    writer_trail(&w);
    return w;
}

/* Followed by 40 bytes, so that it can be fragmented. */
static Writer h264_slice(guint header, guint first_mb, guint type, guint pps)
{
    Writer w = {0};
    writer_bits(&w, 8, header);
    writer_ue(&w, first_mb);
    writer_ue(&w, type);
    writer_ue(&w, pps);
    writer_trail(&w);
    for (guint i = 0; i < 40; i++)
        writer_bits(&w, 8, 0x80 + i);
    return w;
}

#define H264_IDR h264_slice(0x65, 0, 7, 0)
#define H264_P h264_slice(0x41, 0, 5, 0)

static int push_nal(Harness *harness, Writer nal, bool marker)
{
    return harness_push(harness, nal.data, writer_bytes(&nal), marker);
}

/* H.264 STAP-A or H.265 AP, with the packet header given. */
static gsize aggregate(guint8 *out, gsize header, const Writer *nals, guint count)
{
    gsize fill = header;
    for (guint i = 0; i < count; i++) {
        out[fill++] = 0;
        out[fill++] = (guint8)writer_bytes(&nals[i]);
        memcpy(out + fill, nals[i].data, writer_bytes(&nals[i]));
        fill += writer_bytes(&nals[i]);
    }
    return fill;
}

static int push_stap(Harness *harness, const Writer *nals, guint count, bool marker)
{
    guint8 payload[512] = {0x78};
    return harness_push(harness, payload, aggregate(payload, 1, nals, count), marker);
}

/* FU-A: bytes from…to of the NAL unit behind its header. */
static int push_fu(Harness *harness, Writer nal, gsize from, gsize to, bool marker)
{
    guint8 payload[512] = {(nal.data[0] & 0xe0) | 28, nal.data[0] & 0x1f};
    payload[1] |= (from == 1 ? 0x80 : 0) | (to == writer_bytes(&nal) ? 0x40 : 0);
    memcpy(payload + 2, nal.data + from, to - from);
    return harness_push(harness, payload, 2 + to - from, marker);
}

/* SPS, PPS and IDR as one access unit. */
static void push_key(Harness *harness, guint mbs_x, guint mbs_y)
{
    const Writer nals[] = {h264_sps(0, mbs_x, mbs_y, false, false), h264_pps(0, 0, 0), H264_IDR};
    assert_int_equal(push_stap(harness, nals, 3, true), 0);
    harness_tick(harness, TICK);
}

static void push_p(Harness *harness)
{
    assert_int_equal(push_nal(harness, H264_P, true), 0);
    harness_tick(harness, TICK);
}

/* ---- what is expected ------------------------------------------------------------------------------------------ */

/* The kinds that came, as letters: F format, K key frame, M decodable, U undecodable; L, D, N, O gaps by cause. */
static char *kinds(Harness *harness)
{
    GString *letters = g_string_new(NULL);
    const StenoFrame *frame;
    while ((frame = harness_next(harness))) {
        if (frame->kind == STENO_FRAME_FORMAT)
            g_string_append_c(letters, 'F');
        else if (frame->kind == STENO_FRAME_GAP)
            g_string_append_c(letters, "LNDO"[frame->gap.cause]);
        else
            g_string_append_c(letters, frame->keyframe ? 'K' : frame->decodable ? 'M' : 'U');
    }
    return g_string_free(letters, FALSE);
}

static void expect_kinds(Harness *harness, const char *expected)
{
    g_autofree char *came = kinds(harness);
    assert_string_equal(came, expected);
}

static const StenoFrame *frame_at(const Harness *harness, guint index)
{
    assert_true(index < harness->frames->len);
    return g_ptr_array_index(harness->frames, index);
}

/* Is the frame these NAL units with 4-byte start codes? */
static void expect_annexb(const StenoFrame *frame, const Writer *nals, guint count)
{
    gsize at = 0;
    for (guint i = 0; i < count; i++) {
        const gsize bytes = writer_bytes(&nals[i]);
        assert_true(at + 4 + bytes <= frame->payload_bytes);
        assert_memory_equal(frame->payload + at, ((const guint8[]){0, 0, 0, 1}), 4);
        assert_memory_equal(frame->payload + at + 4, nals[i].data, bytes);
        at += 4 + bytes;
    }
    assert_int_equal(at, frame->payload_bytes);
}

/* ---- H.264 ----------------------------------------------------------------------------------------------------- */

static void test_h264_packets(void **state)
{
    (void)state;
    Harness harness;
    harness_init(&harness, STENO_CODEC_H264, "packetization-mode=1");
    const Writer nals[] = {h264_sps(0, 20, 15, false, true), h264_pps(0, 0, 0), H264_IDR, h264_slice(0x65, 9, 7, 0)};
    assert_int_equal(push_stap(&harness, nals, 2, false), 0);
    assert_int_equal(push_fu(&harness, nals[2], 1, 20, false), 0);
    assert_int_equal(push_fu(&harness, nals[2], 20, 30, false), 0);
    assert_int_equal(push_fu(&harness, nals[2], 30, writer_bytes(&nals[2]), false), 0);
    assert_int_equal(push_nal(&harness, nals[3], true), 0);
    harness_tick(&harness, TICK);
    push_p(&harness);
    expect_kinds(&harness, "FKM");
    assert_int_equal(frame_at(&harness, 0)->format.width, 320);
    assert_int_equal(frame_at(&harness, 0)->format.height, 232);
    expect_annexb(frame_at(&harness, 0), nals, 2);
    expect_annexb(frame_at(&harness, 1), nals, 4);
    harness_clear(&harness);
}

static void test_h264_formats(void **state)
{
    (void)state;
    Harness harness;
    harness_init(&harness, STENO_CODEC_H264, NULL);
    push_key(&harness, 20, 15);
    push_key(&harness, 20, 15); /* the same again: no format */
    push_key(&harness, 40, 30);
    const Writer pps[] = {h264_sps(0, 40, 30, false, false), h264_pps(0, 0, 5), H264_IDR};
    push_stap(&harness, pps, 3, true); /* another PPS, same SPS */
    harness_tick(&harness, TICK);
    const Writer other[] = {h264_sps(1, 10, 8, true, false), h264_pps(3, 1, 0), h264_slice(0x65, 0, 7, 3)};
    push_stap(&harness, other, 3, true); /* another SPS by its number */
    expect_kinds(&harness, "FKKFKFKFK");
    assert_int_equal(frame_at(&harness, 3)->format.width, 640);
    expect_annexb(frame_at(&harness, 5), pps, 2);
    assert_int_equal(frame_at(&harness, 7)->format.width, 160);
    assert_int_equal(frame_at(&harness, 7)->format.height, 128);
    expect_annexb(frame_at(&harness, 7), other, 2);
    harness_clear(&harness);
}

/* Parameter sets in the SDP, and none in band. */
static void test_h264_sprop(void **state)
{
    (void)state;
    const Writer sps = h264_sps(0, 20, 15, false, false), pps = h264_pps(0, 0, 0);
    g_autofree char *first = g_base64_encode(sps.data, writer_bytes(&sps));
    g_autofree char *second = g_base64_encode(pps.data, writer_bytes(&pps));
    g_autofree char *fmtp =
        g_strdup_printf("profile-level-id=42001f; sprop-parameter-sets=%s,%s; packetization-mode=1", first, second);
    Harness harness;
    harness_init(&harness, STENO_CODEC_H264, fmtp);
    push_nal(&harness, H264_IDR, true);
    harness_lose(&harness, 1, TICK);
    push_nal(&harness, H264_IDR, true); /* no set can have been lost: there never were any */
    expect_kinds(&harness, "FKLK");
    assert_int_equal(frame_at(&harness, 0)->format.width, 320);
    harness_clear(&harness);

    harness_init(&harness, STENO_CODEC_H264, NULL);
    push_nal(&harness, H264_IDR, true); /* of unknown parameters: nobody can decode it */
    harness_flush(&harness);
    expect_kinds(&harness, "N");
    harness_clear(&harness);
}

/* Parameter sets alone, with a marker or a timestamp of their own, are no frame. */
static void test_h264_sets_alone(void **state)
{
    (void)state;
    Harness harness;
    harness_init(&harness, STENO_CODEC_H264, NULL);
    push_nal(&harness, h264_sps(0, 20, 15, false, false), true);
    push_nal(&harness, h264_pps(0, 0, 0), true);
    push_nal(&harness, H264_IDR, true);
    harness_tick(&harness, TICK);
    push_nal(&harness, h264_sps(0, 40, 15, false, false), true);
    push_nal(&harness, h264_pps(0, 0, 0), true);
    harness_tick(&harness, TICK);
    push_nal(&harness, H264_IDR, true);
    expect_kinds(&harness, "FKFK");
    const Writer nals[] = {h264_sps(0, 20, 15, false, false), h264_pps(0, 0, 0), H264_IDR};
    expect_annexb(frame_at(&harness, 1), nals, 3);
    assert_int_equal(frame_at(&harness, 2)->format.width, 640);
    harness_clear(&harness);
}

/* An I picture with its SPS is an entry point; with a P slice in it, or without SPS, it is none. */
static void test_h264_intra_entry(void **state)
{
    (void)state;
    Harness harness;
    harness_init(&harness, STENO_CODEC_H264, NULL);
    const Writer mixed[] = {h264_sps(0, 20, 15, false, false), h264_pps(0, 0, 0), h264_slice(0x41, 0, 7, 0),
                            h264_slice(0x41, 9, 5, 0)};
    push_stap(&harness, mixed, 4, true);
    harness_tick(&harness, TICK);
    push_nal(&harness, h264_slice(0x41, 0, 7, 0), true);
    harness_tick(&harness, TICK);
    push_stap(&harness, mixed, 3, true);
    expect_kinds(&harness, "NFK");
    assert_int_equal(frame_at(&harness, 0)->gap.packets, 2);
    harness_clear(&harness);
}

static void test_h264_losses(void **state)
{
    (void)state;
    Harness harness;
    harness_init(&harness, STENO_CODEC_H264, NULL);
    push_key(&harness, 20, 15);
    const Writer slice = H264_P;
    const gint64 cut_ts = harness.rtp_ts;
    push_fu(&harness, slice, 1, 20, false); /* cut: its end is lost, and the beginning of the next */
    harness_lose(&harness, 2, TICK);
    push_fu(&harness, slice, 30, writer_bytes(&slice), true);
    harness_tick(&harness, TICK);
    push_p(&harness);
    harness_lose(&harness, 1, 0); /* the head of this one cannot be proven: a slice from macroblock 9 */
    push_nal(&harness, h264_slice(0x41, 9, 5, 0), true);
    harness_tick(&harness, TICK);
    harness_lose(&harness, 1, 0); /* proven by macroblock 0 */
    push_p(&harness);
    harness_lose(&harness, 1, 0); /* new parameter sets may have been lost before this IDR */
    push_nal(&harness, H264_IDR, true);
    harness_tick(&harness, TICK);
    harness_lose(&harness, 1, 0);
    push_key(&harness, 20, 15);
    push_p(&harness);
    expect_kinds(&harness, "FKLULLULULKM");
    assert_int_equal(frame_at(&harness, 2)->rtp_ts, cut_ts);
    assert_int_equal(frame_at(&harness, 2)->gap.until_rtp_ts, cut_ts + 2 * TICK);
    assert_int_equal(frame_at(&harness, 2)->gap.packets, 2);
    harness_clear(&harness);
}

static void test_h264_damage(void **state)
{
    (void)state;
    static const guint8 bad[][8] = {
        {0x60, 1, 2, 3},       /* type 0 */
        {0xe1, 0x88, 1, 2},    /* forbidden_zero_bit */
        {0x79, 0, 1, 0, 1, 5}, /* STAP-B */
        {0x7a, 0, 1, 0, 1, 5}, /* MTAP16 */
        {0x7d, 0x85, 1, 2, 3}, /* FU-B */
        {0x78, 0, 9, 0x41, 1}, /* STAP-A: longer than the packet */
        {0x78, 0, 0, 0x41, 1}, /* … an empty unit */
        {0x7c, 0x05, 1, 2},    /* FU-A in the middle of nothing */
        {0x7c, 0x9c, 1, 2},    /* FU-A of a FU-A */
    };
    for (guint i = 0; i < G_N_ELEMENTS(bad); i++) {
        Harness harness;
        harness_init(&harness, STENO_CODEC_H264, NULL);
        push_key(&harness, 20, 15);
        if (harness_push(&harness, bad[i], sizeof bad[i], true) != -EBADMSG)
            fail_msg("packet %u", i);
        harness_tick(&harness, TICK);
        push_p(&harness);
        expect_kinds(&harness, "FKDU");
        harness_clear(&harness);
    }
    Harness harness;
    harness_init(&harness, STENO_CODEC_H264, NULL);
    push_key(&harness, 20, 15);
    const Writer slice = H264_P;
    push_fu(&harness, slice, 1, 20, true); /* never ends */
    harness_tick(&harness, TICK);
    push_fu(&harness, slice, 1, 20, false);
    assert_int_equal(push_nal(&harness, slice, true), -EBADMSG); /* another unit in a fragmented one */
    assert_int_equal(PUSH(&harness, true, 0x78), 0);             /* of the same frame: passed over */
    harness_flush(&harness);
    expect_kinds(&harness, "FKDD");
    harness_clear(&harness);
}

/* ---- H.265 ----------------------------------------------------------------------------------------------------- */

#define H265_NAL(type) ((type) << 9 | 1)

static Writer h265_vps(void)
{
    Writer w = {0};
    writer_bits(&w, 16, H265_NAL(32));
    writer_bits(&w, 4, 0);
    writer_bits(&w, 20, 0xfffff);
    return w;
}

/* With one sub-layer that has a profile and a level, and 8 px cropped at the bottom of 4:2:0. */
static Writer h265_sps(guint width, guint height)
{
    Writer w = {0};
    writer_bits(&w, 16, H265_NAL(33));
    writer_bits(&w, 4, 0);
    writer_bits(&w, 3, 1);
    writer_bits(&w, 1, 1);
    for (guint i = 0; i < 12; i++)
        writer_bits(&w, 8, i == 0 ? 1 : 0);
    writer_bits(&w, 2, 3);
    writer_bits(&w, 14, 0);
    for (guint i = 0; i < 12; i++)
        writer_bits(&w, 8, 0);
    writer_ue(&w, 0);
    writer_ue(&w, 1);
    writer_ue(&w, width);
    writer_ue(&w, height);
    writer_bits(&w, 1, 1);
    writer_ue(&w, 0);
    writer_ue(&w, 0);
    writer_ue(&w, 0);
    writer_ue(&w, 4);
    writer_trail(&w);
    writer_escape(&w, 2);
    return w;
}

static Writer h265_pps(void)
{
    Writer w = {0};
    writer_bits(&w, 16, H265_NAL(34));
    writer_ue(&w, 0);
    writer_ue(&w, 0);
    writer_bits(&w, 5, 0);
    writer_trail(&w);
    return w;
}

static Writer h265_slice(guint type, bool first)
{
    Writer w = {0};
    writer_bits(&w, 16, H265_NAL(type));
    writer_bits(&w, 1, first);
    if (type >= 16)
        writer_bits(&w, 1, 0);
    writer_ue(&w, 0);
    writer_trail(&w);
    for (guint i = 0; i < 40; i++)
        writer_bits(&w, 8, 0x80 + i);
    return w;
}

static int push_ap(Harness *harness, const Writer *nals, guint count, bool marker)
{
    guint8 payload[512] = {48 << 1, 1};
    return harness_push(harness, payload, aggregate(payload, 2, nals, count), marker);
}

static int push_fu265(Harness *harness, Writer nal, gsize from, gsize to, bool marker)
{
    guint8 payload[512] = {49 << 1, 1, nal.data[0] >> 1};
    payload[2] |= (from == 2 ? 0x80 : 0) | (to == writer_bytes(&nal) ? 0x40 : 0);
    memcpy(payload + 3, nal.data + from, to - from);
    return harness_push(harness, payload, 3 + to - from, marker);
}

static void push_picture(Harness *harness, guint type)
{
    assert_int_equal(push_nal(harness, h265_slice(type, true), true), 0);
    harness_tick(harness, TICK);
}

static void push_key265(Harness *harness, guint type)
{
    const Writer nals[] = {h265_vps(), h265_sps(320, 240), h265_pps(), h265_slice(type, true)};
    assert_int_equal(push_ap(harness, nals, 4, true), 0);
    harness_tick(harness, TICK);
}

static void test_h265_packets(void **state)
{
    (void)state;
    Harness harness;
    harness_init(&harness, STENO_CODEC_H265, NULL);
    const Writer nals[] = {h265_vps(), h265_sps(320, 240), h265_pps(), h265_slice(19, true), h265_slice(19, false)};
    assert_int_equal(push_ap(&harness, nals, 3, false), 0);
    assert_int_equal(push_fu265(&harness, nals[3], 2, 20, false), 0);
    assert_int_equal(push_fu265(&harness, nals[3], 20, 30, false), 0);
    assert_int_equal(push_fu265(&harness, nals[3], 30, writer_bytes(&nals[3]), false), 0);
    assert_int_equal(push_nal(&harness, nals[4], true), 0);
    harness_tick(&harness, TICK);
    push_picture(&harness, 1);
    expect_kinds(&harness, "FKM");
    assert_int_equal(frame_at(&harness, 0)->format.width, 320);
    assert_int_equal(frame_at(&harness, 0)->format.height, 232);
    expect_annexb(frame_at(&harness, 0), nals, 3);
    expect_annexb(frame_at(&harness, 1), nals, 5);
    harness_clear(&harness);
}

/* DONL and DOND are passed over when the SDP says that they are there. */
static void test_h265_don(void **state)
{
    (void)state;
    const Writer sets[] = {h265_vps(), h265_sps(320, 240), h265_pps()};
    GString *fmtp = g_string_new("sprop-max-don-diff=2");
    static const char *const keys[] = {"sprop-vps", "sprop-sps", "sprop-pps"};
    for (guint i = 0; i < 3; i++) {
        g_autofree char *base64 = g_base64_encode(sets[i].data, writer_bytes(&sets[i]));
        g_string_append_printf(fmtp, ";%s=%s", keys[i], base64);
    }
    Harness harness;
    harness_init(&harness, STENO_CODEC_H265, fmtp->str);
    g_string_free(fmtp, TRUE);
    assert_int_equal(PUSH(&harness, true, 19 << 1, 1, 0, 7, 0xaf, 1, 2, 3), 0);
    harness_tick(&harness, TICK);
    assert_int_equal(PUSH(&harness, true, 48 << 1, 1, 0, 8, 0, 3, 2, 1, 0xd0, 1, 0, 4, 2, 1, 0x40, 9), 0);
    harness_tick(&harness, TICK);
    assert_int_equal(PUSH(&harness, false, 49 << 1, 1, 0x81, 0, 9, 0xd0), 0);
    assert_int_equal(PUSH(&harness, true, 49 << 1, 1, 0x41, 7), 0);
    expect_kinds(&harness, "FKMM");
    static const guint8 single[] = {0, 0, 0, 1, 19 << 1, 1, 0xaf, 1, 2, 3};
    static const guint8 two[] = {0, 0, 0, 1, 2, 1, 0xd0, 0, 0, 0, 1, 2, 1, 0x40, 9};
    static const guint8 fragments[] = {0, 0, 0, 1, 2, 1, 0xd0, 7};
    assert_int_equal(frame_at(&harness, 1)->payload_bytes, sizeof single);
    assert_memory_equal(frame_at(&harness, 1)->payload, single, sizeof single);
    assert_int_equal(frame_at(&harness, 2)->payload_bytes, sizeof two);
    assert_memory_equal(frame_at(&harness, 2)->payload, two, sizeof two);
    assert_int_equal(frame_at(&harness, 3)->payload_bytes, sizeof fragments);
    assert_memory_equal(frame_at(&harness, 3)->payload, fragments, sizeof fragments);
    harness_clear(&harness);
}

/* RASL pictures of the CRA that decoding begins with are not decodable, those of a later one are. */
static void test_h265_leading(void **state)
{
    (void)state;
    Harness harness;
    harness_init(&harness, STENO_CODEC_H265, NULL);
    push_key265(&harness, 21);
    push_picture(&harness, 9);
    push_picture(&harness, 1);
    push_key265(&harness, 21);
    push_picture(&harness, 9);
    harness_lose(&harness, 1, TICK);
    push_key265(&harness, 21);
    push_picture(&harness, 8);
    push_picture(&harness, 1);
    expect_kinds(&harness, "FKUMKMLKUM");
    assert_false(steno_depacketizer_needs_keyframe(harness.depacketizer));
    harness_clear(&harness);
}

static void test_h265_losses(void **state)
{
    (void)state;
    Harness harness;
    harness_init(&harness, STENO_CODEC_H265, NULL);
    push_key265(&harness, 19);
    harness_lose(&harness, 1, 0);
    push_nal(&harness, h265_slice(1, false), true); /* not the first slice segment */
    harness_tick(&harness, TICK);
    push_picture(&harness, 1);
    harness_lose(&harness, 1, 0);
    push_picture(&harness, 19); /* its parameter sets may have been lost */
    push_key265(&harness, 19);
    expect_kinds(&harness, "FKLULUK");
    harness_clear(&harness);

    harness_init(&harness, STENO_CODEC_H265, NULL);
    push_picture(&harness, 19); /* of unknown parameters: nobody can decode it */
    push_key265(&harness, 19);
    expect_kinds(&harness, "NFK");
    harness_clear(&harness);
}

static void test_h265_damage(void **state)
{
    (void)state;
    static const guint8 bad[][8] = {
        {50 << 1, 1, 1, 2, 3},          /* PACI */
        {0x82, 1, 0xd0},                /* forbidden_zero_bit */
        {48 << 1, 1, 0, 9, 2, 1, 0xd0}, /* AP: longer than the packet */
        {48 << 1, 1, 0, 2, 2, 1},       /* … a unit without payload */
        {49 << 1, 1, 0x01, 1},          /* FU in the middle of nothing */
        {49 << 1, 1, 0xb1, 1},          /* FU of a FU */
    };
    for (guint i = 0; i < G_N_ELEMENTS(bad); i++) {
        Harness harness;
        harness_init(&harness, STENO_CODEC_H265, NULL);
        push_key265(&harness, 19);
        if (harness_push(&harness, bad[i], sizeof bad[i], true) != -EBADMSG)
            fail_msg("packet %u", i);
        harness_tick(&harness, TICK);
        push_picture(&harness, 1);
        expect_kinds(&harness, "FKDU");
        harness_clear(&harness);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_h264_packets),     cmocka_unit_test(test_h264_formats),
        cmocka_unit_test(test_h264_sprop),       cmocka_unit_test(test_h264_sets_alone),
        cmocka_unit_test(test_h264_intra_entry), cmocka_unit_test(test_h264_losses),
        cmocka_unit_test(test_h264_damage),      cmocka_unit_test(test_h265_packets),
        cmocka_unit_test(test_h265_don),         cmocka_unit_test(test_h265_leading),
        cmocka_unit_test(test_h265_losses),      cmocka_unit_test(test_h265_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
