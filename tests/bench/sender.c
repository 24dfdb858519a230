/*
 * bench-sender: N participants' SRTP, the same clip for all, in real time and paced as a sender over a network does it.
 * Each line on standard input is answered by how many packets, and bytes of RTP payload, were sent so far.
 */
#include "bench.h"
#include "packetize.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <libavcodec/avcodec.h>
#include <libavcodec/bsf.h>
#include <libavformat/avformat.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PAYLOAD_BYTES 1150
#define TICK_US 5000
#define BATCH 64
#define PACKET_BYTES 1500
#define REPORT_US G_USEC_PER_SEC
/* Seconds from 1900 to 1970. */
#define NTP_EPOCH G_GUINT64_CONSTANT(2208988800)

typedef struct {
    gint64 time_us; /* when to send it, from the clip's start */
    gint64 rtp_ts;
    guint32 offset;
    guint16 bytes;
    gboolean marker;
} ClipPacket;

typedef struct {
    guint8 payload_type;
    guint clock_hz;
    gint64 duration_us;
    GArray *packets;
    GByteArray *payloads;
    gint64 rtp_ts; /* of the frame that is being cut */
} Clip;

/* One track of one participant. */
typedef struct {
    const Clip *clip;
    int fd, rtcp_fd;
    srtp_t srtp;
    guint32 ssrc;
    guint16 seq;
    guint next;
    gint64 loops, phase_us, next_report_us;
    guint32 sent, rtp_ts;
    guint64 octets;
} Track;

typedef struct {
    struct mmsghdr messages[BATCH];
    struct iovec vectors[BATCH];
    guint8 packets[BATCH][PACKET_BYTES];
    guint queued;
} Batch;

/* ---- the clip ---------------------------------------------------------------------------------------------------- */

static void die(const char *words, const char *what)
{
    g_printerr("bench-sender: %s %s\n", words, what);
    exit(1);
}

static void take_payload(gpointer user, const guint8 *payload, gsize bytes, bool marker)
{
    Clip *clip = user;
    ClipPacket packet = {
        .rtp_ts = clip->rtp_ts, .offset = clip->payloads->len, .bytes = (guint16)bytes, .marker = marker};
    g_byte_array_append(clip->payloads, payload, (guint)bytes);
    g_array_append_val(clip->packets, packet);
}

/* Spreads a frame's packets over the time until the next one, as a pacer does. */
static void pace(Clip *clip, guint first, gint64 start_us, gint64 length_us)
{
    guint n = clip->packets->len - first;
    for (guint i = 0; i < n; i++)
        g_array_index(clip->packets, ClipPacket, first + i).time_us = start_us + length_us * i / n;
}

static AVBSFContext *open_filter(const AVCodecParameters *coded, AVRational time_base)
{
    AVBSFContext *filter = NULL;
    const char *name = coded->codec_id == AV_CODEC_ID_H264 ? "h264_mp4toannexb" : "null";
    if (av_bsf_alloc(av_bsf_get_by_name(name), &filter) < 0)
        die("no filter", name);
    avcodec_parameters_copy(filter->par_in, coded);
    filter->time_base_in = time_base;
    if (av_bsf_init(filter) < 0)
        die("no filter", name);
    return filter;
}

static Clip *load(const char *path, guint8 payload_type, gint64 frame_us)
{
    AVFormatContext *format = NULL;
    if (avformat_open_input(&format, path, NULL, NULL) < 0 || avformat_find_stream_info(format, NULL) < 0)
        die("cannot read", path);
    const AVCodecParameters *coded = format->streams[0]->codecpar;
    gboolean video = coded->codec_type == AVMEDIA_TYPE_VIDEO;
    Clip *clip = g_new0(Clip, 1);
    clip->payload_type = payload_type;
    clip->clock_hz = video ? 90000 : 48000;
    clip->packets = g_array_new(FALSE, TRUE, sizeof(ClipPacket));
    clip->payloads = g_byte_array_new();
    Packetizer packetizer;
    packetizer_init(&packetizer, video ? STENO_CODEC_H264 : STENO_CODEC_OPUS);
    packetizer.max_payload = PAYLOAD_BYTES;
    AVBSFContext *filter = open_filter(coded, format->streams[0]->time_base);
    AVPacket *packet = av_packet_alloc();
    while (av_read_frame(format, packet) >= 0) {
        if (av_bsf_send_packet(filter, packet) < 0 || av_bsf_receive_packet(filter, packet) < 0)
            die("cannot filter", path);
        guint first = clip->packets->len;
        clip->rtp_ts = clip->duration_us * clip->clock_hz / G_USEC_PER_SEC;
        if (packetizer_frame(&packetizer, packet->data, (gsize)packet->size, take_payload, clip) < 0)
            die("cannot packetize", path);
        pace(clip, first, clip->duration_us, video ? frame_us : 0);
        clip->duration_us += frame_us;
        av_packet_unref(packet);
    }
    av_packet_free(&packet);
    av_bsf_free(&filter);
    avformat_close_input(&format);
    return clip;
}

/* ---- sending ----------------------------------------------------------------------------------------------------- */

static guint64 flush(Batch *batch, int fd)
{
    guint sent = 0, taken = batch->queued;
    for (guint i = 0; i < taken; i++) {
        batch->messages[i].msg_hdr.msg_iov = &batch->vectors[i];
        batch->messages[i].msg_hdr.msg_iovlen = 1;
    }
    while (sent < taken) {
        int n = sendmmsg(fd, batch->messages + sent, taken - sent, 0);
        sent += n > 0 ? (guint)n : 1; /* refused: nobody listens */
    }
    batch->queued = 0;
    return taken;
}

static void queue_packet(Batch *batch, Track *track, const ClipPacket *packet)
{
    guint8 *out = batch->packets[batch->queued];
    int bytes = 12 + packet->bytes;
    track->rtp_ts =
        (guint32)(packet->rtp_ts + track->loops * track->clip->duration_us * track->clip->clock_hz / G_USEC_PER_SEC);
    guint32 timestamp = htonl(track->rtp_ts), ssrc = htonl(track->ssrc);
    out[0] = 0x80;
    out[1] = (guint8)(track->clip->payload_type | (packet->marker ? 0x80 : 0));
    out[2] = (guint8)(track->seq >> 8);
    out[3] = (guint8)track->seq++;
    memcpy(out + 4, &timestamp, 4);
    memcpy(out + 8, &ssrc, 4);
    memcpy(out + 12, track->clip->payloads->data + packet->offset, packet->bytes);
    if (srtp_protect(track->srtp, out, &bytes) != srtp_err_status_ok)
        die("libsrtp fails on", "RTP");
    batch->vectors[batch->queued] = (struct iovec){out, (size_t)bytes};
    batch->queued++;
    track->sent++;
    track->octets += packet->bytes;
}

static guint64 send_report(Batch *batch, Track *track)
{
    struct timespec wall;
    clock_gettime(CLOCK_REALTIME, &wall);
    guint32 words[7] = {htonl(0x80C80006),
                        htonl(track->ssrc),
                        htonl((guint32)((guint64)wall.tv_sec + NTP_EPOCH)),
                        htonl((guint32)(((guint64)wall.tv_nsec << 32) / 1000000000)),
                        htonl(track->rtp_ts),
                        htonl(track->sent),
                        htonl((guint32)track->octets)};
    int bytes = sizeof words;
    memcpy(batch->packets[0], words, sizeof words);
    if (srtp_protect_rtcp(track->srtp, batch->packets[0], &bytes) != srtp_err_status_ok)
        die("libsrtp fails on", "RTCP");
    batch->vectors[0] = (struct iovec){batch->packets[0], (size_t)bytes};
    batch->queued = 1;
    return flush(batch, track->rtcp_fd);
}

/* Sends what is due; returns how many packets. */
static guint64 tick(Batch *batch, Track *track, gint64 elapsed_us)
{
    guint64 sent = 0;
    for (;;) {
        const ClipPacket *packet = &g_array_index(track->clip->packets, ClipPacket, track->next);
        if (packet->time_us + track->loops * track->clip->duration_us + track->phase_us > elapsed_us)
            break;
        queue_packet(batch, track, packet);
        if (batch->queued == BATCH)
            sent += flush(batch, track->fd);
        if (++track->next == track->clip->packets->len) {
            track->next = 0;
            track->loops++;
        }
    }
    if (batch->queued > 0)
        sent += flush(batch, track->fd);
    if (track->sent > 0 && elapsed_us >= track->next_report_us) {
        sent += send_report(batch, track);
        track->next_report_us = elapsed_us + REPORT_US;
    }
    return sent;
}

static void answer(const Track *tracks, guint n, guint64 sent)
{
    guint64 octets = 0;
    for (guint i = 0; i < n; i++)
        octets += tracks[i].octets;
    printf("%" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT "\n", sent, octets);
    fflush(stdout);
}

static gint64 now_us(void)
{
    return g_get_monotonic_time();
}

int main(int argc, char **argv)
{
    g_autofree char *video = NULL, *audio = NULL;
    const GOptionEntry entries[] = {{"video", 0, 0, G_OPTION_ARG_FILENAME, &video, "H.264 at 30 frames/s", "FILE"},
                                    {"audio", 0, 0, G_OPTION_ARG_FILENAME, &audio, "Opus in 20 ms frames", "FILE"},
                                    {NULL}};
    bench_parse(&argc, &argv, entries);
    Clip *clips[2] = {load(video, 96, 33333), load(audio, 111, 20000)};
    guint n = 2 * (guint)bench_options.count;
    Track *tracks = g_new0(Track, n);
    Batch *batch = g_new0(Batch, 1);
    guint64 sent = 0;
    char line[16];
    for (guint i = 0; i < n; i++) {
        guint16 port = (guint16)((guint)bench_options.port + i / 2 * PORTS + i % 2 * 2);
        tracks[i] = (Track){.clip = clips[i % 2], .ssrc = 0x10000000 + i, .phase_us = (gint64)i * 33333 / n};
        tracks[i].fd = bench_socket(port, FALSE);
        tracks[i].rtcp_fd = bench_socket((guint16)(port + 1), FALSE);
        tracks[i].srtp = bench_srtp(TRUE);
    }
    (void)fcntl(STDIN_FILENO, F_SETFL, O_NONBLOCK);
    gint64 start = now_us();
    for (gint64 next = start;; next += TICK_US) {
        gint64 wait = next - now_us();
        if (wait > 0)
            g_usleep((gulong)wait);
        for (guint i = 0; i < n; i++)
            sent += tick(batch, &tracks[i], now_us() - start);
        ssize_t got = read(STDIN_FILENO, line, sizeof line);
        if (got == 0)
            return 0;
        if (got > 0)
            answer(tracks, n, sent);
    }
}
