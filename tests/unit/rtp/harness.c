#include "harness.h"

#include <string.h>

guint16 get16(const guint8 *at)
{
    return (guint16)(at[0] * 256 + at[1]);
}

guint32 get32(const guint8 *at)
{
    return (guint32)get16(at) * 65536 + get16(at + 2);
}

static void put16(guint8 *at, guint value)
{
    at[0] = (guint8)(value / 256);
    at[1] = (guint8)value;
}

static void put32(guint8 *at, guint32 value)
{
    put16(at, value >> 16);
    put16(at + 2, value & 0xffff);
}

static void on_packet(gpointer user, guint32 track, const StenoRtpPayload *payload, StenoPacket *packet)
{
    Bench *bench = user;
    Out out = {.kind = OUT_PACKET,
               .track = track,
               .seq = packet->seq,
               .rtp_ts = packet->rtp_ts,
               .payload_type = payload->payload_type,
               .payload_bytes = packet->payload_bytes,
               .marker = packet->marker};
    if (packet->payload_bytes >= 4)
        out.tag = get32(packet->data + packet->payload_offset);
    g_array_append_val(bench->out, out);
    steno_packet_free(packet);
}

static void on_gap(gpointer user, guint32 track, gint64 first_seq, gint64 last_seq, gint64 rtp_ts, gint64 until_rtp_ts,
                   StenoGapCause cause)
{
    Bench *bench = user;
    Out out = {.kind = OUT_GAP,
               .track = track,
               .seq = first_seq,
               .last_seq = last_seq,
               .rtp_ts = rtp_ts,
               .until_rtp_ts = until_rtp_ts,
               .cause = cause};
    g_array_append_val(bench->out, out);
}

static void on_reset(gpointer user, guint32 track, guint32 ssrc)
{
    Bench *bench = user;
    Out out = {.kind = OUT_RESET, .track = track, .ssrc = ssrc};
    g_array_append_val(bench->out, out);
}

static void on_clock(gpointer user, guint32 track, const StenoRtpClockSample *sample)
{
    Bench *bench = user;
    Out out = {.kind = OUT_CLOCK, .track = track, .sample = *sample};
    g_array_append_val(bench->out, out);
}

static void on_bye(gpointer user, guint32 track)
{
    Bench *bench = user;
    Out out = {.kind = OUT_BYE, .track = track};
    g_array_append_val(bench->out, out);
}

static void on_rtcp(gpointer user, const guint8 *data, gsize bytes)
{
    Bench *bench = user;
    GByteArray *copy = g_byte_array_new();
    g_byte_array_append(copy, data, (guint)bytes);
    g_ptr_array_add(bench->sent, copy);
    if (bench->on_sent)
        bench->on_sent(bench->on_sent_user, data, bytes);
}

static void free_bytes(gpointer data)
{
    g_byte_array_unref(data);
}

Bench *bench_new(void)
{
    Bench *bench = g_new0(Bench, 1);
    bench->config = (StenoRtpConfig){.mid_extension = 4,
                                     .transport_cc_extension = 3,
                                     .feedback = true,
                                     .local_ssrc = LOCAL_SSRC,
                                     .cname = "steno-test"};
    bench->pool = steno_packet_pool_new(10000);
    bench->now_us = START_US;
    bench->out = g_array_new(FALSE, FALSE, sizeof(Out));
    bench->sent = g_ptr_array_new_with_free_func(free_bytes);
    return bench;
}

StenoRtpTrackConfig video_track(void)
{
    return (StenoRtpTrackConfig){
        .track = VIDEO,
        .mid = "v0",
        .ssrc = VIDEO_SSRC,
        .rtx_ssrc = VIDEO_RTX_SSRC,
        .payloads = {{.payload_type = VIDEO_PT, .codec = STENO_CODEC_VP8, .clock_hz = 90000, .rtx_of = -1},
                     {.payload_type = RTX_PT, .clock_hz = 90000, .rtx_of = VIDEO_PT}},
        .n_payloads = 2,
        .video = true,
        .nack = true,
        .pli = true};
}

StenoRtpTrackConfig audio_track(void)
{
    return (StenoRtpTrackConfig){
        .track = AUDIO,
        .mid = "a0",
        .ssrc = AUDIO_SSRC,
        .payloads = {{.payload_type = AUDIO_PT, .codec = STENO_CODEC_OPUS, .clock_hz = 48000, .rtx_of = -1}},
        .n_payloads = 1,
        .nack = true};
}

Bench *bench_start(void (*edit)(StenoRtpConfig *config, StenoRtpTrackConfig *video, StenoRtpTrackConfig *audio))
{
    static const StenoRtpEvents events = {
        .packet = on_packet, .gap = on_gap, .reset = on_reset, .clock = on_clock, .bye = on_bye, .send_rtcp = on_rtcp};
    Bench *bench = bench_new();
    StenoRtpTrackConfig video = video_track(), audio = audio_track();
    if (edit)
        edit(&bench->config, &video, &audio);
    bench->rtp = steno_rtp_new(&bench->config, &events, bench);
    assert_int_equal(steno_rtp_set_track(bench->rtp, &video), 0);
    assert_int_equal(steno_rtp_set_track(bench->rtp, &audio), 0);
    return bench;
}

void bench_free(Bench *bench)
{
    steno_rtp_free(bench->rtp);
    steno_packet_pool_free(bench->pool); /* asserts that every packet is back */
    g_array_unref(bench->out);
    g_ptr_array_unref(bench->sent);
    g_free(bench);
}

static gsize put_extension(guint8 *data, const Made *made)
{
    gsize at = 4;
    if (made->mid) {
        gsize length = strlen(made->mid);
        data[at++] = (guint8)(4 << 4 | (length - 1));
        memcpy(data + at, made->mid, length);
        at += length;
    }
    if (made->twcc) {
        data[at++] = 3 << 4 | 1;
        put16(data + at, (guint)(made->twcc - 1) & 0xffff);
        at += 2;
    }
    while (at % 4)
        data[at++] = 0;
    put16(data, 0xBEDE);
    put16(data + 2, (guint)(at / 4 - 1));
    return at;
}

int bench_receive(Bench *bench, Made made)
{
    guint8 data[STENO_PACKET_MAX_BYTES] = {0x80};
    guint32 ssrc = made.ssrc ? made.ssrc : made.rtx ? VIDEO_RTX_SSRC : VIDEO_SSRC;
    guint8 payload_type = made.payload_type    ? made.payload_type
                          : made.rtx           ? RTX_PT
                          : ssrc == AUDIO_SSRC ? AUDIO_PT
                                               : VIDEO_PT;
    data[1] = (guint8)(payload_type | (made.marker ? 0x80 : 0));
    put16(data + 2, made.rtx ? made.rtx_seq : made.seq);
    put32(data + 4, made.ts);
    put32(data + 8, ssrc);
    gsize at = 12;
    if (made.mid || made.twcc) {
        data[0] |= 0x10;
        at += put_extension(data + at, &made);
    }
    if (made.rtx) {
        put16(data + at, made.seq);
        at += 2;
    }
    if (!made.padding_only) {
        put32(data + at, made.tag);
        at += made.payload_bytes ? made.payload_bytes : 20;
    } else if (made.padding_bytes == 0) {
        made.padding_bytes = 40;
    }
    if (made.padding_bytes) {
        data[0] |= 0x20;
        at += made.padding_bytes;
        data[at - 1] = (guint8)made.padding_bytes;
    }
    return bench_receive_bytes(bench, data, at);
}

int bench_receive_bytes(Bench *bench, const guint8 *data, gsize bytes)
{
    StenoPacket *packet = steno_packet_new(bench->pool);
    assert_non_null(packet);
    memcpy(packet->data, data, bytes);
    packet->bytes = (guint32)bytes;
    packet->arrival_us = bench->now_us;
    return steno_rtp_receive(bench->rtp, packet);
}

void bench_tick(Bench *bench, gint64 us)
{
    bench->now_us += us;
    steno_rtp_tick(bench->rtp, bench->now_us);
}

void bench_wait(Bench *bench, gint64 us)
{
    for (; us > 0; us -= TICK_US)
        bench_tick(bench, MIN(us, TICK_US));
}

void bench_video(Bench *bench, guint16 seq, guint32 ts)
{
    (void)bench_receive(bench, (Made){.seq = seq, .ts = ts, .tag = seq});
}

guint count_of(const Bench *bench, OutKind kind)
{
    guint count = 0;
    for (guint i = 0; i < bench->out->len; i++)
        count += g_array_index(bench->out, Out, i).kind == kind;
    return count;
}

const Out *nth(const Bench *bench, OutKind kind, guint n)
{
    for (guint i = 0; i < bench->out->len; i++) {
        const Out *out = &g_array_index(bench->out, Out, i);
        if (out->kind == kind && n-- == 0)
            return out;
    }
    fail_msg("only %u of kind %d came out", count_of(bench, kind), (int)kind);
    return NULL;
}

void forget(Bench *bench)
{
    g_array_set_size(bench->out, 0);
    g_ptr_array_set_size(bench->sent, 0);
}

StenoRtpStats stats_of(const Bench *bench, guint32 track)
{
    StenoRtpStats stats;
    assert_true(steno_rtp_stats(bench->rtp, track, &stats));
    return stats;
}

const guint8 *sent_rtcp(const Bench *bench, guint8 type, int format, guint n, gsize *bytes)
{
    for (guint i = 0; i < bench->sent->len; i++) {
        const GByteArray *datagram = g_ptr_array_index(bench->sent, i);
        assert_true(datagram->len <= 1200);
        if (!bench->config.reduced_size) {
            /* RFC 3550 §6.1: RR first, then SDES. */
            assert_int_equal(datagram->data[1], 201);
            assert_int_equal(datagram->data[4 * (get16(datagram->data + 2) + 1) + 1], 202);
        }
        for (gsize at = 0; at < datagram->len;) {
            assert_true(datagram->len - at >= 8);
            assert_int_equal(datagram->data[at] >> 6, 2);
            gsize length = 4 * (get16(datagram->data + at + 2) + 1u);
            assert_true(length <= datagram->len - at);
            assert_int_equal(get32(datagram->data + at + 4), LOCAL_SSRC);
            if (datagram->data[at + 1] == type && (format < 0 || (datagram->data[at] & 0x1f) == format) && n-- == 0) {
                if (bytes)
                    *bytes = length;
                return datagram->data + at;
            }
            at += length;
        }
    }
    return NULL;
}

guint count_rtcp(const Bench *bench, guint8 type, int format)
{
    guint n = 0;
    while (sent_rtcp(bench, type, format, n, NULL))
        n++;
    return n;
}

void each_nack(const guint8 *packet, gsize bytes, void (*asked)(gpointer user, guint32 ssrc, guint16 seq),
               gpointer user)
{
    guint32 ssrc = get32(packet + 8);
    for (gsize at = 12; at + 4 <= bytes; at += 4) {
        guint16 pid = get16(packet + at), blp = get16(packet + at + 2);
        asked(user, ssrc, pid);
        for (guint bit = 0; bit < 16; bit++)
            if (blp >> bit & 1)
                asked(user, ssrc, (guint16)(pid + bit + 1));
    }
}
