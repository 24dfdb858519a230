#include "clip.h"

#include <libavutil/channel_layout.h>
#include <libavutil/opt.h>
#include <math.h>

#define FRAMES_EACH 45   /* of each size */
#define FRAME_TICKS 3000 /* 30 frames/s on a clock of 90 kHz */
#define BIT_RATE 2500000

static const struct {
    StenoCodec codec;
    const char *encoder;
    const char *options; /* a=b:c=d */
    int rate;            /* Hz, audio */
} encoders[] = {
    {STENO_CODEC_OPUS, "libopus", "", 48000},
    {STENO_CODEC_PCMU, "pcm_mulaw", "", 8000},
    {STENO_CODEC_PCMA, "pcm_alaw", "", 8000},
    {STENO_CODEC_VP8, "libvpx", "deadline=realtime:cpu-used=8", 0},
    /* With look-ahead, so that there are superframes with hidden frames. */
    {STENO_CODEC_VP9, "libvpx-vp9", "deadline=good:cpu-used=5:lag-in-frames=16:auto-alt-ref=1", 0},
    {STENO_CODEC_H264, "libx264", "preset=ultrafast:x264-params=slices=3\\:aud=1", 0},
    {STENO_CODEC_H265, "libx265", "preset=ultrafast:x265-params=log-level=none\\:slices=2\\:keyint=20", 0},
    {STENO_CODEC_AV1, "libaom-av1", "cpu-used=8:usage=realtime:lag-in-frames=0", 0},
};

static void drain(Clip *clip, AVCodecContext *context, gint64 offset)
{
    AVPacket *packet = av_packet_alloc();
    while (avcodec_receive_packet(context, packet) == 0) {
        packet->pts += offset;
        packet->dts += offset;
        g_ptr_array_add(clip->packets, packet);
        packet = av_packet_alloc();
    }
    av_packet_free(&packet);
}

/* A moving gradient with noise: something that costs bits. */
static void paint(AVFrame *frame, guint number, GRand *rand)
{
    for (int plane = 0; plane < 3; plane++) {
        const int shift = plane ? 1 : 0;
        for (int y = 0; y < frame->height >> shift; y++) {
            guint8 *row = frame->data[plane] + (gsize)y * (gsize)frame->linesize[plane];
            for (int x = 0; x < frame->width >> shift; x++)
                row[x] = (guint8)(x + y * 2 + (int)number * 5 + (int)(g_rand_int(rand) & 31));
        }
    }
}

static void tone(AVFrame *frame, gint64 at)
{
    gint16 *samples = (gint16 *)frame->data[0];
    for (int i = 0; i < frame->nb_samples; i++) {
        for (int channel = 0; channel < frame->ch_layout.nb_channels; channel++)
            *samples++ = (gint16)(12000 * sin((double)(at + i) * 0.05 * (channel + 1)));
    }
}

static void encode_video(Clip *clip, AVCodecContext *context, guint half)
{
    GRand *rand = g_rand_new_with_seed(half + 1);
    AVFrame *frame = av_frame_alloc();
    frame->format = context->pix_fmt;
    frame->width = context->width;
    frame->height = context->height;
    g_assert(av_frame_get_buffer(frame, 0) == 0);
    for (guint i = 0; i < FRAMES_EACH; i++) {
        g_assert(av_frame_make_writable(frame) == 0);
        paint(frame, i, rand);
        frame->pts = i * FRAME_TICKS;
        g_assert(avcodec_send_frame(context, frame) == 0);
        drain(clip, context, half * FRAMES_EACH * FRAME_TICKS);
    }
    avcodec_send_frame(context, NULL);
    drain(clip, context, half * FRAMES_EACH * FRAME_TICKS);
    av_frame_free(&frame);
    g_rand_free(rand);
}

static void encode_audio(Clip *clip, AVCodecContext *context)
{
    AVFrame *frame = av_frame_alloc();
    frame->format = context->sample_fmt;
    frame->sample_rate = context->sample_rate;
    frame->nb_samples = context->frame_size ? context->frame_size : context->sample_rate / 50;
    av_channel_layout_copy(&frame->ch_layout, &context->ch_layout);
    g_assert(av_frame_get_buffer(frame, 0) == 0);
    for (guint i = 0; i < 100; i++) {
        g_assert(av_frame_make_writable(frame) == 0);
        frame->pts = (gint64)i * frame->nb_samples;
        tone(frame, frame->pts);
        g_assert(avcodec_send_frame(context, frame) == 0);
        drain(clip, context, 0);
    }
    avcodec_send_frame(context, NULL);
    drain(clip, context, 0);
    av_frame_free(&frame);
}

static AVCodecContext *open_encoder(Clip *clip, const AVCodec *codec, const char *options, int rate, guint half)
{
    AVCodecContext *context = avcodec_alloc_context3(codec);
    if (rate > 0) {
        context->sample_rate = rate;
        context->sample_fmt = AV_SAMPLE_FMT_S16;
        av_channel_layout_default(&context->ch_layout, clip->codec == STENO_CODEC_OPUS ? 2 : 1);
        context->time_base = (AVRational){1, rate};
        context->bit_rate = clip->codec == STENO_CODEC_OPUS ? 64000 : 0;
    } else {
        context->width = (int)clip->width[half];
        context->height = (int)clip->height[half];
        context->pix_fmt = AV_PIX_FMT_YUV420P;
        context->time_base = clip->time_base;
        context->framerate = (AVRational){30, 1};
        context->bit_rate = clip->width[0] < 640 ? BIT_RATE / 40 : BIT_RATE;
        context->gop_size = 20;
        context->max_b_frames = 0;
        context->thread_count = 1;
        context->profile = FF_PROFILE_UNKNOWN;
    }
    AVDictionary *dictionary = NULL;
    g_assert(av_dict_parse_string(&dictionary, options, "=", ":", 0) == 0);
    g_assert(avcodec_open2(context, codec, &dictionary) == 0);
    g_assert(av_dict_count(dictionary) == 0);
    return context;
}

Clip *clip_new(StenoCodec codec, bool small)
{
    for (guint i = 0; i < G_N_ELEMENTS(encoders); i++) {
        if (encoders[i].codec != codec)
            continue;
        const AVCodec *encoder = avcodec_find_encoder_by_name(encoders[i].encoder);
        if (!encoder)
            return NULL;
        const bool video = encoders[i].rate == 0;
        Clip *clip = g_new0(Clip, 1);
        *clip = (Clip){.codec = codec,
                       .id = encoder->id,
                       .time_base = {1, video ? 90000 : encoders[i].rate},
                       .packets = g_ptr_array_new(),
                       .parameters = avcodec_parameters_alloc(),
                       .width = {small ? 80 : 640, small ? 66 : 426},
                       .height = {small ? 64 : 360, small ? 50 : 238}};
        for (guint half = 0; half < (video ? 2 : 1); half++) {
            AVCodecContext *context = open_encoder(clip, encoder, encoders[i].options, encoders[i].rate, half);
            clip->changed_at = clip->packets->len;
            if (half == 0)
                avcodec_parameters_from_context(clip->parameters, context);
            if (video)
                encode_video(clip, context, half);
            else
                encode_audio(clip, context);
            avcodec_free_context(&context);
        }
        return clip;
    }
    return NULL;
}

void clip_free(Clip *clip)
{
    if (!clip)
        return;
    for (guint i = 0; i < clip->packets->len; i++) {
        AVPacket *packet = g_ptr_array_index(clip->packets, i);
        av_packet_free(&packet);
    }
    g_ptr_array_unref(clip->packets);
    avcodec_parameters_free(&clip->parameters);
    g_free(clip);
}
