/* RTCP as it comes, on tracks that are in the middle of a stream; and what is answered then. */
#include "steno/rtp.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void on_packet(gpointer user, guint32 track, const StenoRtpPayload *payload, StenoPacket *packet)
{
    (void)user, (void)track, (void)payload;
    steno_packet_free(packet);
}

static void on_rtcp(gpointer user, const guint8 *data, gsize bytes)
{
    (void)user;
    if (bytes > 1200 || bytes % 4 || data[0] >> 6 != 2)
        abort();
}

static void receive(StenoRtp *rtp, StenoPacketPool *pool, guint8 ssrc, guint seq, gint64 now_us)
{
    guint8 high = (guint8)(seq >> 8), low = (guint8)seq;
    guint8 data[16] = {0x80, 96, high, low, 0, high, low, 0, 0, 0, 0, ssrc, 1};
    StenoPacket *packet = steno_packet_new(pool);
    memcpy(packet->data, data, sizeof data);
    packet->bytes = sizeof data;
    packet->arrival_us = now_us;
    (void)steno_rtp_receive(rtp, packet);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static const StenoRtpEvents events = {.packet = on_packet, .send_rtcp = on_rtcp};
    StenoRtpConfig config = {.feedback = true, .local_ssrc = 0x5e, .cname = "fuzz"};
    StenoPacketPool *pool = steno_packet_pool_new(64);
    StenoRtp *rtp = steno_rtp_new(&config, &events, NULL);
    gint64 now_us = 1000000;
    for (guint32 track = 1; track <= 2; track++) {
        StenoRtpTrackConfig one = {
            .track = track,
            .ssrc = track,
            .payloads = {{.payload_type = 96, .codec = STENO_CODEC_VP8, .clock_hz = 90000, .rtx_of = -1}},
            .n_payloads = 1,
            .nack = true};
        (void)steno_rtp_set_track(rtp, &one);
        receive(rtp, pool, (guint8)track, 1, now_us);
    }
    /* A datagram each: two bytes of length, then the packet. */
    for (guint seq = 4; bytes >= 2; seq++) {
        gsize length = MIN((gsize)(data[0] << 8 | data[1]) % 1500, bytes - 2);
        now_us += 20000;
        steno_rtp_tick(rtp, now_us);
        (void)steno_rtp_receive_rtcp(rtp, data + 2, length, now_us);
        receive(rtp, pool, 1 + seq % 2, seq / 2, now_us);
        (void)steno_rtp_wall_us(rtp, 1, 0);
        (void)steno_rtp_wall_us(rtp, 2, 90000);
        data += 2 + length;
        bytes -= 2 + length;
    }
    steno_rtp_drain(rtp);
    steno_rtp_free(rtp);
    steno_packet_pool_free(pool);
    return 0;
}
