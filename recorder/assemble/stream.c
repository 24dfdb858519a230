#include "stream.h"

#include "annexb.h"
#include "opus.h"

#include "steno/base/error.h"

#include <string.h>

/* How many key frames to look at for parameters that were told nowhere else. */
#define KEY_FRAMES_MAX 16

static enum AVCodecID codec_id(StenoCodec codec)
{
    static const enum AVCodecID ids[STENO_CODEC_COUNT] = {
        [STENO_CODEC_OPUS] = AV_CODEC_ID_OPUS,     [STENO_CODEC_PCMU] = AV_CODEC_ID_PCM_MULAW,
        [STENO_CODEC_PCMA] = AV_CODEC_ID_PCM_ALAW, [STENO_CODEC_VP8] = AV_CODEC_ID_VP8,
        [STENO_CODEC_VP9] = AV_CODEC_ID_VP9,       [STENO_CODEC_H264] = AV_CODEC_ID_H264,
        [STENO_CODEC_H265] = AV_CODEC_ID_HEVC,     [STENO_CODEC_AV1] = AV_CODEC_ID_AV1,
    };
    return ids[codec];
}

static gboolean set_extradata(AVCodecParameters *parameters, const guint8 *data, gsize bytes)
{
    av_freep(&parameters->extradata);
    parameters->extradata = av_mallocz(bytes + AV_INPUT_BUFFER_PADDING_SIZE);
    if (!parameters->extradata)
        return FALSE;
    memcpy(parameters->extradata, data, bytes);
    parameters->extradata_size = (int)bytes;
    return TRUE;
}

/* Decodes one key frame: the last way to learn what a picture is like. */
static void probe_picture(AVCodecParameters *parameters, const StenoCaptureFrame *frame)
{
    const AVCodec *codec = avcodec_find_decoder(parameters->codec_id);
    AVCodecContext *context = codec ? avcodec_alloc_context3(codec) : NULL;
    AVPacket *packet = av_packet_alloc();
    AVFrame *picture = av_frame_alloc();
    if (context && avcodec_open2(context, codec, NULL) >= 0 && frame->payload_bytes <= G_MAXINT32 &&
        av_new_packet(packet, (int)frame->payload_bytes) >= 0) {
        memcpy(packet->data, frame->payload, frame->payload_bytes);
        if (avcodec_send_packet(context, packet) >= 0 && avcodec_send_packet(context, NULL) >= 0 &&
            avcodec_receive_frame(context, picture) >= 0) {
            parameters->width = picture->width;
            parameters->height = picture->height;
            parameters->format = picture->format;
            parameters->profile = context->profile;
        }
    }
    av_frame_free(&picture);
    av_packet_free(&packet);
    avcodec_free_context(&context);
}

static gboolean needs_extradata(StenoCodec codec)
{
    return codec == STENO_CODEC_H264 || codec == STENO_CODEC_H265 || codec == STENO_CODEC_AV1;
}

/* An MP4 tells how VP9 is sampled, which nothing but its frames does. */
static gboolean needs_picture(const PlanOutput *output, const PlanStream *plan, const AVCodecParameters *parameters)
{
    gboolean sampled = output->container == PLAN_MP4 && plan->codec == STENO_CODEC_VP9;
    return parameters->width == 0 || (sampled && parameters->format < 0);
}

/* Looks for size and parameters in the first key frames, where the capture's format did not have them. */
static gboolean learn_from_frames(Model *model, const PlanOutput *output, const PlanStream *plan,
                                  AVCodecParameters *parameters, GError **error)
{
    FeedReader reader = {.model = model, .stream = plan};
    g_autoptr(GArray) items = feed_items(plan, (AVRational){1, 1000});
    gboolean sound = TRUE;
    guint seen = 0;
    for (guint i = 0; sound && i < items->len && seen < KEY_FRAMES_MAX; i++) {
        const FeedItem *item = &g_array_index(items, FeedItem, i);
        StenoCaptureFrame frame;
        if (!needs_picture(output, plan, parameters) &&
            (parameters->extradata_size > 0 || !needs_extradata(plan->codec)))
            break;
        if (!(feed_frame(plan, item)->flags & FRAME_KEY))
            continue;
        seen++;
        sound = feed_reader_read(&reader, item, &frame, error);
        if (!sound)
            break;
        if (needs_picture(output, plan, parameters))
            probe_picture(parameters, &frame);
        g_autoptr(GByteArray) sets = annexb_parameters(plan->codec, frame.payload, frame.payload_bytes);
        if (parameters->extradata_size == 0 && sets->len > 0)
            set_extradata(parameters, sets->data, sets->len);
    }
    feed_reader_clear(&reader);
    return sound;
}

static gboolean describe_video(Model *model, const PlanOutput *output, const PlanStream *plan,
                               AVCodecParameters *parameters, GError **error)
{
    g_autoptr(GArray) items = feed_items(plan, (AVRational){1, 1000});
    const ScanSegment *segment = feed_segment(plan, &g_array_index(items, FeedItem, 0));
    parameters->codec_type = AVMEDIA_TYPE_VIDEO;
    parameters->width = (int)segment->width;
    parameters->height = (int)segment->height;
    if (needs_extradata(plan->codec) && segment->parameters_bytes > 0)
        set_extradata(parameters, segment->parameters, segment->parameters_bytes);
    if (!learn_from_frames(model, output, plan, parameters, error))
        return FALSE;
    if (parameters->width == 0 || parameters->height == 0 ||
        (needs_extradata(plan->codec) && parameters->extradata_size == 0)) {
        const ModelTrack *track = feed_run(plan, 0)->scan->track;
        g_set_error(error, STENO_ERROR, STENO_ERROR_CAPTURE_DAMAGED,
                    "part %u, track %u: no key frame tells what the %s picture is like", track->part, track->number,
                    steno_codec_name(plan->codec));
        return FALSE;
    }
    /* Where parameter sets change, they stay in the samples: 'avc3' and 'hev1' say so (ISO 14496-15). */
    if (output->container == PLAN_MP4 && plan->codec == STENO_CODEC_H264)
        parameters->codec_tag = plan->parameters_change ? MKTAG('a', 'v', 'c', '3') : MKTAG('a', 'v', 'c', '1');
    if (output->container == PLAN_MP4 && plan->codec == STENO_CODEC_H265)
        parameters->codec_tag = plan->parameters_change ? MKTAG('h', 'e', 'v', '1') : MKTAG('h', 'v', 'c', '1');
    return TRUE;
}

static void describe_audio(const PlanStream *plan, AVCodecParameters *parameters)
{
    parameters->codec_type = AVMEDIA_TYPE_AUDIO;
    int channels = 1;
    if (plan->codec == STENO_CODEC_OPUS) {
        channels = feed_any(plan, FRAME_STEREO) ? 2 : 1;
        guint8 head[OPUS_HEAD_BYTES];
        opus_head(head, (guint)channels);
        set_extradata(parameters, head, sizeof head);
        parameters->sample_rate = OPUS_HZ;
        parameters->frame_size = 960;
    } else {
        g_autoptr(GArray) items = feed_items(plan, (AVRational){1, 1000});
        const ScanSegment *segment = feed_segment(plan, &g_array_index(items, FeedItem, 0));
        channels = CLAMP((int)segment->channels, 1, 2);
        parameters->sample_rate = (int)segment->clock_hz;
        parameters->bits_per_coded_sample = 8;
        parameters->block_align = channels;
        parameters->bit_rate = (gint64)parameters->sample_rate * 8 * channels;
    }
    av_channel_layout_default(&parameters->ch_layout, channels);
}

gboolean stream_describe(Model *model, const PlanOutput *output, const PlanStream *plan, AVStream *stream,
                         GError **error)
{
    AVCodecParameters *parameters = stream->codecpar;
    parameters->codec_id = codec_id(plan->codec);
    if (plan->video)
        return describe_video(model, output, plan, parameters, error);
    describe_audio(plan, parameters);
    return TRUE;
}
