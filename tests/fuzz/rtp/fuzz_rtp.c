/*
 * The whole receiver on a sequence of commands: packets (raw, or with a sound header and the input's numbers), RTCP,
 * ticks, changes of tracks. Aborts when an extended number comes twice or goes back, or a gap overlaps.
 */
#include "steno/rtp.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

#define TRACKS 3
#define STEPS_MAX 128 /* so that a run stays under a millisecond */

typedef struct {
    StenoRtp *rtp;
    StenoPacketPool *pool; /* kept from run to run: making it is most of the work */
    gint64 now_us;
    bool any[TRACKS + 1];
    gint64 last_seq[TRACKS + 1], last_ts[TRACKS + 1];
} Fuzz;

static void advance(Fuzz *fuzz, guint32 track, gint64 first, gint64 last)
{
    if (track < 1 || track > TRACKS || first > last || (fuzz->any[track] && first <= fuzz->last_seq[track]))
        abort();
    fuzz->any[track] = true;
    fuzz->last_seq[track] = last;
}

static void on_packet(gpointer user, guint32 track, const StenoRtpPayload *payload, StenoPacket *packet)
{
    Fuzz *fuzz = user;
    advance(fuzz, track, packet->seq, packet->seq);
    if (payload->rtx_of >= 0 || packet->payload_bytes == 0 ||
        (guint32)packet->payload_offset + packet->payload_bytes > packet->bytes)
        abort();
    (void)steno_rtp_wall_us(fuzz->rtp, track, packet->rtp_ts);
    steno_packet_free(packet);
}

static void on_gap(gpointer user, guint32 track, gint64 first_seq, gint64 last_seq, gint64 rtp_ts, gint64 until_rtp_ts,
                   StenoGapCause cause)
{
    (void)rtp_ts, (void)until_rtp_ts, (void)cause;
    advance(user, track, first_seq, last_seq);
    steno_rtp_request_keyframe(((Fuzz *)user)->rtp, track);
}

static void on_rtcp(gpointer user, const guint8 *data, gsize bytes)
{
    (void)user;
    if (bytes > 1200 || bytes % 4 || data[0] >> 6 != 2)
        abort();
}

static void set_track(Fuzz *fuzz, guint32 number, guint8 variant)
{
    StenoRtpTrackConfig config = {
        .track = number,
        .ssrc = variant & 1 ? number : 0,
        .rtx_ssrc = variant & 2 ? number + 16 : 0,
        .payloads = {{.payload_type = (guint8)(96 + number), .codec = STENO_CODEC_VP8, .clock_hz = 90000, .rtx_of = -1},
                     {.payload_type = (guint8)(100 + number), .clock_hz = 90000, .rtx_of = (gint16)(96 + number)},
                     {.payload_type = 120, .codec = STENO_CODEC_PCMU, .clock_hz = 8000, .rtx_of = -1}},
        .n_payloads = 3,
        .video = number != 1,
        .nack = true,
        .pli = variant & 4,
        .fir = true,
        .remb = true,
        .transport_cc = true,
    };
    config.mid[0] = (char)('a' + number);
    (void)steno_rtp_set_track(fuzz->rtp, &config);
}

static gsize take(const uint8_t **data, size_t *bytes, guint8 *to, gsize most)
{
    gsize taken = MIN(most, *bytes);
    memcpy(to, *data, taken);
    *data += taken;
    *bytes -= taken;
    return taken;
}

static void receive(Fuzz *fuzz, const uint8_t **data, size_t *bytes, guint8 command)
{
    StenoPacket *packet = steno_packet_new(fuzz->pool);
    if (!packet)
        return;
    packet->arrival_us = fuzz->now_us;
    if (command & 0x20) { /* as it is */
        packet->bytes = (guint32)take(data, bytes, packet->data, command & 0x1f ? 32 : STENO_PACKET_MAX_BYTES);
    } else { /* a sound header: kind, number, timestamp steps */
        guint8 field[4] = {0};
        (void)take(data, bytes, field, 4);
        guint8 track = (guint8)(1 + field[0] % TRACKS), rtx = field[0] >> 3 & 1;
        guint8 header[20] = {0x80,     (guint8)((rtx ? 100 : 96) + track),
                             field[1], field[2],
                             0,        field[3],
                             0,        0,
                             0,        0,
                             0,        (guint8)(track + (rtx ? 16 : 0) + (field[0] & 0x80 ? 32 : 0)),
                             field[1], field[2]};
        packet->bytes = field[0] & 0x40 ? 12 : 20;
        memcpy(packet->data, header, sizeof header);
    }
    (void)steno_rtp_receive(fuzz->rtp, packet);
}

static void burst(Fuzz *fuzz, const uint8_t **data, size_t *bytes)
{
    guint8 field[4] = {0};
    (void)take(data, bytes, field, 4);
    for (guint i = 0; i < field[2] % 64u; i++) {
        guint16 seq = (guint16)((field[0] << 8 | field[1]) + i * (1 + (field[3] & 3)));
        guint8 header[16] = {0x80, 97, (guint8)(seq >> 8), (guint8)seq, 0, 0, 0, 0, 0, 0, 0, 1, 1};
        StenoPacket *packet = steno_packet_new(fuzz->pool);
        if (!packet)
            return;
        packet->arrival_us = fuzz->now_us;
        packet->bytes = sizeof header;
        memcpy(packet->data, header, sizeof header);
        (void)steno_rtp_receive(fuzz->rtp, packet);
    }
}

static void step(Fuzz *fuzz, const uint8_t **data, size_t *bytes)
{
    guint8 command = 0, rtcp[256];
    (void)take(data, bytes, &command, 1);
    switch (command >> 6) {
    case 0:
        receive(fuzz, data, bytes, command);
        break;
    case 1:
        fuzz->now_us += (gint64)(command & 0x3f) * (command & 0x3f) * 1500;
        steno_rtp_tick(fuzz->rtp, fuzz->now_us);
        break;
    case 2: {
        gsize length = take(data, bytes, rtcp, 4u * (command & 0x3f));
        (void)steno_rtp_receive_rtcp(fuzz->rtp, rtcp, length, fuzz->now_us);
        break;
    }
    default:
        if (command & 0x20)
            burst(fuzz, data, bytes);
        else
            set_track(fuzz, 1 + (command & 0x18) % TRACKS, command & 7);
        if (command == 0xff)
            steno_rtp_drain(fuzz->rtp);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static const StenoRtpEvents events = {.packet = on_packet, .gap = on_gap, .send_rtcp = on_rtcp};
    StenoRtpConfig config = {.mid_extension = 1,
                             .transport_cc_extension = 2,
                             .reduced_size = bytes > 0 && data[0] & 1,
                             .feedback = true,
                             .local_ssrc = 0x5e,
                             .cname = "fuzz"};
    static StenoPacketPool *pool;
    if (!pool)
        pool = steno_packet_pool_new(512);
    Fuzz fuzz = {.now_us = 1000000, .pool = pool};
    fuzz.rtp = steno_rtp_new(&config, &events, &fuzz);
    for (guint32 track = 1; track <= TRACKS; track++)
        set_track(&fuzz, track, bytes > 0 ? data[0] >> 1 : 7);
    for (guint steps = 0; bytes > 0 && steps < STEPS_MAX; steps++)
        step(&fuzz, &data, &bytes);
    steno_rtp_drain(fuzz.rtp);
    steno_rtp_free(fuzz.rtp);
    return 0;
}
