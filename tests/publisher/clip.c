#include "publisher.h"

#include "packetize.h"
#include "seal.h"

#include <libavcodec/avcodec.h>
#include <libavcodec/bsf.h>
#include <libavformat/avformat.h>
#include <string.h>

/* What sealing adds to a payload, at most. */
#define SEAL_ROOM_BYTES 64

static const struct {
    enum AVCodecID id;
    StenoCodec codec;
    guint32 clock_hz;
} codecs[] = {
    {AV_CODEC_ID_OPUS, STENO_CODEC_OPUS, 48000},    {AV_CODEC_ID_PCM_MULAW, STENO_CODEC_PCMU, 8000},
    {AV_CODEC_ID_PCM_ALAW, STENO_CODEC_PCMA, 8000}, {AV_CODEC_ID_VP8, STENO_CODEC_VP8, 90000},
    {AV_CODEC_ID_VP9, STENO_CODEC_VP9, 90000},      {AV_CODEC_ID_H264, STENO_CODEC_H264, 90000},
    {AV_CODEC_ID_HEVC, STENO_CODEC_H265, 90000},    {AV_CODEC_ID_AV1, STENO_CODEC_AV1, 90000},
};

typedef struct {
    Clip *clip;
    AVFormatContext *format;
    AVStream *stream;
    AVBSFContext *filter; /* MP4's length-prefixed NAL units to Annex B */
    Packetizer packetizer;
    Sealer *sealer; /* NULL: frames are sent as they are */
    SealedFrame frame;
    gint64 first_pts, first_dts;
} Loader;

static gboolean fail(GError **error, const char *path, const char *words)
{
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED, "%s: %s", path, words);
    return FALSE;
}

static void on_payload(gpointer user, const guint8 *payload, gsize bytes, bool marker)
{
    const Loader *loader = user;
    Clip *clip = loader->clip;
    g_autoptr(GByteArray) sealed = NULL;
    if (loader->sealer && sealer_is_per_packet(loader->sealer)) {
        sealed = sealer_seal(loader->sealer, &loader->frame, payload, bytes);
        payload = sealed->data;
        bytes = sealed->len;
    }
    ClipPacket packet = {clip->payloads->len, (guint16)bytes, marker};

    g_byte_array_append(clip->payloads, payload, (guint)bytes);
    g_array_append_val(clip->packets, packet);
}

static void note_profile(Clip *clip, const guint8 *data, gsize bytes)
{
    for (gsize i = 0; i + 7 < bytes && clip->h264_profile[0] == 0; i++) {
        if (data[i] == 0 && data[i + 1] == 0 && data[i + 2] == 1 && (data[i + 3] & 0x1f) == 7)
            memcpy(clip->h264_profile, data + i + 4, 3);
    }
}

static gboolean packetize(Loader *loader, const ClipFrame *frame, const AVPacket *packet)
{
    Packetizer *packetizer = &loader->packetizer;
    if (!loader->sealer)
        return packetizer_frame(packetizer, packet->data, (gsize)packet->size, on_payload, loader) == 0;
    loader->frame = (SealedFrame){loader->clip->codec, frame->keyframe, frame->time_us, frame->rtp_ts};
    if (sealer_is_per_packet(loader->sealer))
        return packetizer_frame(packetizer, packet->data, (gsize)packet->size, on_payload, loader) == 0;
    g_autoptr(GByteArray) sealed = sealer_seal(loader->sealer, &loader->frame, packet->data, (gsize)packet->size);
    packetizer->sealed = true;
    packetizer->keyframe = frame->keyframe;
    return packetizer_frame(packetizer, sealed->data, sealed->len, on_payload, loader) == 0;
}

static gboolean add_packet(Loader *loader, const AVPacket *packet)
{
    Clip *clip = loader->clip;
    AVRational rate = loader->stream->avg_frame_rate.num ? loader->stream->avg_frame_rate : (AVRational){30, 1};
    AVRational clock = {1, (int)clip->clock_hz}, micro = {1, G_USEC_PER_SEC}, base = loader->stream->time_base;
    ClipFrame frame = {.keyframe = (packet->flags & AV_PKT_FLAG_KEY) != 0, .first_packet = clip->packets->len};

    if (packet->pts == AV_NOPTS_VALUE) { /* raw streams: count frames */
        frame.time_us = av_rescale_q(clip->frames->len, av_inv_q(rate), micro);
        frame.rtp_ts = (guint32)av_rescale_q(clip->frames->len, av_inv_q(rate), clock);
    } else {
        gint64 dts = packet->dts == AV_NOPTS_VALUE ? packet->pts : packet->dts;
        if (clip->frames->len == 0) {
            loader->first_pts = packet->pts;
            loader->first_dts = dts;
        }
        frame.time_us = av_rescale_q(dts - loader->first_dts, base, micro);
        frame.rtp_ts = (guint32)av_rescale_q(packet->pts - loader->first_pts, base, clock);
    }
    gint64 duration_us = packet->duration > 0 && packet->pts != AV_NOPTS_VALUE
                             ? av_rescale_q(packet->duration, base, micro)
                             : av_rescale_q(1, av_inv_q(rate), micro);
    if (clip->codec == STENO_CODEC_H264)
        note_profile(clip, packet->data, (gsize)packet->size);
    if (!packetize(loader, &frame, packet))
        return FALSE;
    frame.n_packets = clip->packets->len - frame.first_packet;
    clip->duration_us = MAX(clip->duration_us, frame.time_us + duration_us);
    g_array_append_val(clip->frames, frame);
    return TRUE;
}

static gboolean open_filter(Loader *loader)
{
    const AVCodecParameters *parameters = loader->stream->codecpar;
    const char *name = parameters->codec_id == AV_CODEC_ID_H264 ? "h264_mp4toannexb" : "hevc_mp4toannexb";

    if ((parameters->codec_id != AV_CODEC_ID_H264 && parameters->codec_id != AV_CODEC_ID_HEVC) ||
        parameters->extradata_size < 1 || parameters->extradata[0] != 1)
        return TRUE;
    return av_bsf_alloc(av_bsf_get_by_name(name), &loader->filter) == 0 &&
           avcodec_parameters_copy(loader->filter->par_in, parameters) == 0 && av_bsf_init(loader->filter) == 0;
}

static gboolean read_all(Loader *loader, const char *path, GError **error)
{
    AVPacket *packet = av_packet_alloc();
    gboolean ok = TRUE;

    while (ok && av_read_frame(loader->format, packet) == 0) {
        if (packet->stream_index == loader->stream->index && packet->size > 0) {
            if (loader->filter &&
                (av_bsf_send_packet(loader->filter, packet) != 0 || av_bsf_receive_packet(loader->filter, packet) != 0))
                ok = fail(error, path, "cannot be turned into Annex B");
            else if (!add_packet(loader, packet))
                ok = fail(error, path, "holds a frame that cannot be packetized");
        }
        av_packet_unref(packet);
    }
    av_packet_free(&packet);
    return ok && (loader->clip->frames->len > 0 || fail(error, path, "holds no frame"));
}

static gboolean load(Loader *loader, const char *path, gboolean video, GError **error)
{
    if (avformat_open_input(&loader->format, path, NULL, NULL) != 0 ||
        avformat_find_stream_info(loader->format, NULL) < 0)
        return fail(error, path, "libavformat cannot read it");
    int index = av_find_best_stream(loader->format, video ? AVMEDIA_TYPE_VIDEO : AVMEDIA_TYPE_AUDIO, -1, -1, NULL, 0);
    if (index < 0)
        return fail(error, path, video ? "has no video stream" : "has no audio stream");
    loader->stream = loader->format->streams[index];
    for (guint i = 0; i < G_N_ELEMENTS(codecs); i++) {
        if (codecs[i].id == loader->stream->codecpar->codec_id) {
            loader->clip->codec = codecs[i].codec;
            loader->clip->clock_hz = codecs[i].clock_hz;
        }
    }
    if (loader->clip->codec == STENO_CODEC_UNKNOWN)
        return fail(error, path, "is of a codec that is not sent over RTP here");
    loader->clip->channels = (guint8)(video ? 0 : loader->stream->codecpar->ch_layout.nb_channels);
    packetizer_init(&loader->packetizer, loader->clip->codec);
    if (loader->sealer && sealer_is_per_packet(loader->sealer))
        loader->packetizer.max_payload -= SEAL_ROOM_BYTES;
    return (open_filter(loader) || fail(error, path, "cannot be turned into Annex B")) && read_all(loader, path, error);
}

Clip *clip_load(const char *path, gboolean video, const char *seal, GError **error)
{
    Loader loader = {.clip = g_new0(Clip, 1)};

    loader.clip->frames = g_array_new(FALSE, FALSE, sizeof(ClipFrame));
    loader.clip->packets = g_array_new(FALSE, FALSE, sizeof(ClipPacket));
    loader.clip->payloads = g_byte_array_new();
    if (seal)
        loader.sealer = sealer_new(seal, error);
    gboolean ok = (!seal || loader.sealer) && load(&loader, path, video, error);
    sealer_free(loader.sealer);
    av_bsf_free(&loader.filter);
    avformat_close_input(&loader.format);
    if (ok)
        return loader.clip;
    clip_free(loader.clip);
    return NULL;
}

void clip_free(Clip *clip)
{
    if (!clip)
        return;
    g_array_unref(clip->frames);
    g_array_unref(clip->packets);
    g_byte_array_unref(clip->payloads);
    g_free(clip);
}
