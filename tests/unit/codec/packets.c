#include "packets.h"

#include <libavformat/avformat.h>
#include <string.h>

#define BUFFER_BYTES 2048
#define FIRST_SEQ 65500
#define FIRST_TS 100000 /* libavformat takes a timestamp of 0 for none */

static void write_ts(guint8 *packet, guint32 ts)
{
    for (guint i = 0; i < 4; i++)
        packet[4 + i] = ts >> (24 - 8 * i) & 0xff;
}

guint32 packets_ts(const guint8 *packet)
{
    return (guint32)packet[4] << 24 | (guint32)packet[5] << 16 | (guint32)packet[6] << 8 | packet[7];
}

typedef struct {
    GPtrArray *packets; /* GBytes, whole RTP packets */
    guint16 seq;
    guint32 ts;
    guint8 payload_type;
} Rtp;

static int keep_packet(void *user, uint8_t *data, int bytes)
{
    Rtp *rtp = user;
    if (data[1] >= 200 && data[1] <= 204) /* its sender reports come the same way */
        return bytes;
    write_ts(data, packets_ts(data) + FIRST_TS);
    g_ptr_array_add(rtp->packets, g_bytes_new(data, (gsize)bytes));
    return bytes;
}

static GPtrArray *packets_new(void)
{
    return g_ptr_array_new_with_free_func((GDestroyNotify)g_bytes_unref);
}

GPtrArray *packets_by_libavformat(const Clip *clip)
{
    AVFormatContext *muxer = NULL;
    g_assert(avformat_alloc_output_context2(&muxer, NULL, "rtp", NULL) >= 0);
    muxer->strict_std_compliance = FF_COMPLIANCE_EXPERIMENTAL; /* VP9 */
    muxer->flags |= AVFMT_FLAG_BITEXACT;
    AVStream *stream = avformat_new_stream(muxer, NULL);
    avcodec_parameters_copy(stream->codecpar, clip->parameters);
    stream->time_base = clip->time_base;
    Rtp rtp = {.packets = packets_new()};
    muxer->packet_size = PACKETIZE_MAX_PAYLOAD + 12;
    muxer->pb =
        avio_alloc_context(av_malloc(BUFFER_BYTES), PACKETIZE_MAX_PAYLOAD + 12, 1, &rtp, NULL, keep_packet, NULL);
    muxer->pb->max_packet_size = PACKETIZE_MAX_PAYLOAD + 12;
    AVDictionary *options = NULL;
    av_dict_set_int(&options, "seq", FIRST_SEQ, 0);
    const bool can = avformat_write_header(muxer, &options) >= 0;
    av_dict_free(&options);
    for (guint i = 0; can && i < clip->packets->len; i++) {
        AVPacket *packet = av_packet_clone(g_ptr_array_index(clip->packets, i));
        g_assert(av_write_frame(muxer, packet) >= 0);
        av_packet_free(&packet);
    }
    if (can)
        av_write_trailer(muxer);
    av_freep(&muxer->pb->buffer);
    avio_context_free(&muxer->pb);
    avformat_free_context(muxer);
    if (!can)
        g_clear_pointer(&rtp.packets, g_ptr_array_unref);
    return rtp.packets;
}

static void add_header(gpointer user, const guint8 *payload, gsize bytes, bool marker)
{
    Rtp *rtp = user;
    guint8 packet[12 + PACKETIZE_MAX_PAYLOAD] = {0x80, (marker ? 0x80 : 0) | rtp->payload_type};
    packet[2] = rtp->seq >> 8;
    packet[3] = rtp->seq++ & 0xff;
    write_ts(packet, rtp->ts);
    packet[11] = 1;
    memcpy(packet + 12, payload, bytes);
    g_ptr_array_add(rtp->packets, g_bytes_new(packet, 12 + bytes));
}

GPtrArray *packets_by_us(const Clip *clip, gsize max_payload)
{
    Rtp rtp = {.packets = packets_new(), .seq = FIRST_SEQ, .payload_type = 96};
    if (clip->codec == STENO_CODEC_PCMU || clip->codec == STENO_CODEC_PCMA)
        rtp.payload_type = clip->codec == STENO_CODEC_PCMU ? 0 : 8;
    Packetizer packetizer;
    packetizer_init(&packetizer, clip->codec);
    packetizer.max_payload = steno_codec_is_video(clip->codec) ? max_payload : PACKETIZE_MAX_PAYLOAD;
    packetizer.sealed = clip->sealed;
    for (guint i = 0; i < clip->packets->len; i++) {
        const AVPacket *packet = g_ptr_array_index(clip->packets, i);
        rtp.ts = (guint32)packet->pts + FIRST_TS;
        packetizer.keyframe = packet->flags & AV_PKT_FLAG_KEY;
        g_assert(packetizer_frame(&packetizer, packet->data, (gsize)packet->size, add_header, &rtp) == 0);
    }
    return rtp.packets;
}

void packets_push(Harness *harness, const GPtrArray *packets)
{
    for (guint i = 0; i < packets->len; i++) {
        gsize bytes;
        const guint8 *packet = g_bytes_get_data(g_ptr_array_index(packets, i), &bytes);
        harness->rtp_ts = packets_ts(packet);
        g_assert(harness_push(harness, packet + 12, bytes - 12, packet[1] & 0x80) == 0);
    }
    harness_flush(harness);
}
