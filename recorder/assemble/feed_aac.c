/*
 * Sound for players that do not know Opus: decoded, put on one line of samples with silence in the holes, encoded as
 * AAC. Here samples are the clock: drift is taken out by resampling a little, so that sound and picture stay together.
 */
#include "feed.h"
#include "opus.h"

#include "steno/base/error.h"

#include <libavutil/audio_fifo.h>
#include <libavutil/opt.h>
#include <libswresample/swresample.h>
#include <string.h>

#define AAC_HZ 48000
#define AAC_BITS_PER_CHANNEL 64000
/* Less is not worth a correction; more than that in one second would be heard. */
#define CORRECT_FROM_SAMPLES 48
#define CORRECT_MAX_SAMPLES 1200
/* Silence goes out in pieces of this. */
#define SILENCE_SAMPLES 4800

typedef struct {
    Feed feed;
    FeedReader reader;
    GArray *items;
    guint next;
    gint64 until; /* silence goes on until there */
    int channels;
    StenoCodec codec; /* of the decoder that is open */
    AVCodecContext *decoder, *encoder;
    SwrContext *resampler;
    AVAudioFifo *fifo;
    AVFrame *decoded, *resampled, *block;
    AVPacket *input;
    gint64 made;    /* samples that went into the fifo, or wait in the resampler */
    gint64 silence; /* samples of silence that are still to be made */
    gint64 encoded; /* samples given to the encoder */
    gboolean flushed;
} AacFeed;

static gboolean failed(GError **error, const char *doing, int code)
{
    char words[AV_ERROR_MAX_STRING_SIZE];
    av_strerror(code, words, sizeof words);
    g_set_error(error, STENO_ERROR, STENO_ERROR_INTERNAL, "%s: %s", doing, words);
    return FALSE;
}

static gboolean open_decoder(AacFeed *self, StenoCodec codec, const ScanSegment *segment, GError **error)
{
    static const enum AVCodecID ids[STENO_CODEC_COUNT] = {
        [STENO_CODEC_OPUS] = AV_CODEC_ID_OPUS,
        [STENO_CODEC_PCMU] = AV_CODEC_ID_PCM_MULAW,
        [STENO_CODEC_PCMA] = AV_CODEC_ID_PCM_ALAW,
    };
    const AVCodec *decoder = avcodec_find_decoder(ids[codec]);
    if (!decoder)
        return failed(error, "opening the audio decoder", AVERROR_DECODER_NOT_FOUND);
    avcodec_free_context(&self->decoder);
    self->decoder = avcodec_alloc_context3(decoder);
    self->decoder->sample_rate = codec == STENO_CODEC_OPUS ? OPUS_HZ : (int)segment->clock_hz;
    av_channel_layout_default(&self->decoder->ch_layout, codec == STENO_CODEC_OPUS ? self->channels : 1);
    if (codec == STENO_CODEC_OPUS) {
        self->decoder->extradata = av_mallocz(OPUS_HEAD_BYTES + AV_INPUT_BUFFER_PADDING_SIZE);
        self->decoder->extradata_size = OPUS_HEAD_BYTES;
        opus_head(self->decoder->extradata, (guint)self->channels);
    }
    int code = avcodec_open2(self->decoder, decoder, NULL);
    self->codec = codec;
    return code >= 0 || failed(error, "opening the audio decoder", code);
}

static gboolean keep(AacFeed *self, AVFrame *frame, GError **error)
{
    int code = av_audio_fifo_write(self->fifo, (void **)frame->extended_data, frame->nb_samples);
    return code >= 0 || failed(error, "keeping samples", code);
}

/* Sends one decoded frame (NULL: what the resampler still has) on to the fifo. */
static gboolean resample(AacFeed *self, AVFrame *frame, GError **error)
{
    av_frame_unref(self->resampled);
    self->resampled->format = AV_SAMPLE_FMT_FLTP;
    self->resampled->sample_rate = AAC_HZ;
    av_channel_layout_default(&self->resampled->ch_layout, self->channels);
    int code = swr_convert_frame(self->resampler, self->resampled, frame);
    if (code & (AVERROR_INPUT_CHANGED | AVERROR_OUTPUT_CHANGED) && code < 0) {
        swr_close(self->resampler); /* another codec: it begins anew */
        code = swr_convert_frame(self->resampler, self->resampled, frame);
    }
    if (code < 0)
        return failed(error, "resampling", code);
    return self->resampled->nb_samples == 0 || keep(self, self->resampled, error);
}

/* Turns samples a little faster or slower, so that the sender's clock and ours stay together. */
static void correct(AacFeed *self, gint64 wanted)
{
    gint64 late = wanted - self->made;
    if (!swr_is_initialized(self->resampler))
        return;
    gint64 delta = ABS(late) < CORRECT_FROM_SAMPLES ? 0 : CLAMP(late, -CORRECT_MAX_SAMPLES, CORRECT_MAX_SAMPLES);
    (void)swr_set_compensation(self->resampler, (int)delta, AAC_HZ);
}

static gint64 samples_out(const AacFeed *self)
{
    gint64 waiting = swr_is_initialized(self->resampler) ? swr_get_delay(self->resampler, AAC_HZ) : 0;
    return self->encoded + av_audio_fifo_size(self->fifo) + waiting;
}

static gboolean decode_item(AacFeed *self, const FeedItem *item, GError **error)
{
    StenoCaptureFrame frame;
    const ScanSegment *segment = feed_segment(self->feed.stream, item);
    if (!feed_reader_read(&self->reader, item, &frame, error))
        return FALSE;
    if (segment->codec != self->codec && !open_decoder(self, segment->codec, segment, error))
        return FALSE;
    if (av_new_packet(self->input, (int)frame.payload_bytes) < 0)
        g_error("out of memory");
    memcpy(self->input->data, frame.payload, frame.payload_bytes);
    correct(self, item->pts);
    int code = avcodec_send_packet(self->decoder, self->input);
    av_packet_unref(self->input);
    while (code >= 0 && (code = avcodec_receive_frame(self->decoder, self->decoded)) >= 0) {
        gboolean kept = resample(self, self->decoded, error);
        av_frame_unref(self->decoded);
        if (!kept)
            return FALSE;
    }
    self->made = samples_out(self); /* what could not be decoded is a hole for the next frame to fill */
    if (self->feed.frames++ == 0)
        self->feed.first_us = av_rescale_q(MAX(item->pts, 0), self->feed.time_base, (AVRational){1, 1000000});
    return TRUE;
}

/* A hole of more than a correction's worth before `pts`: what waits in the resampler comes out, then silence. */
static gboolean open_hole(AacFeed *self, gint64 pts, GError **error)
{
    if (pts - self->made <= CORRECT_MAX_SAMPLES)
        return TRUE;
    if (swr_is_initialized(self->resampler)) {
        if (!resample(self, NULL, error))
            return FALSE;
        swr_close(self->resampler);
    }
    self->made = samples_out(self);
    self->silence = pts - self->made;
    return TRUE;
}

static gboolean make_silence(AacFeed *self, GError **error)
{
    av_frame_unref(self->resampled);
    self->resampled->format = AV_SAMPLE_FMT_FLTP;
    self->resampled->sample_rate = AAC_HZ;
    self->resampled->nb_samples = (int)MIN(self->silence, SILENCE_SAMPLES);
    av_channel_layout_default(&self->resampled->ch_layout, self->channels);
    if (av_frame_get_buffer(self->resampled, 0) < 0)
        g_error("out of memory");
    av_samples_set_silence(self->resampled->extended_data, 0, self->resampled->nb_samples, self->channels,
                           AV_SAMPLE_FMT_FLTP);
    self->silence -= self->resampled->nb_samples;
    self->made += self->resampled->nb_samples;
    return keep(self, self->resampled, error);
}

/* Makes some more samples; *end when there are none left to make. */
static gboolean make_more(AacFeed *self, gboolean *end, GError **error)
{
    if (self->silence > 0)
        return make_silence(self, error);
    if (self->next < self->items->len) {
        const FeedItem *item = &g_array_index(self->items, FeedItem, self->next);
        if (!open_hole(self, item->pts, error))
            return FALSE;
        if (self->silence > 0)
            return TRUE;
        self->next++;
        return decode_item(self, item, error);
    }
    if (!open_hole(self, self->until, error))
        return FALSE;
    *end = self->silence == 0;
    if (*end && swr_is_initialized(self->resampler)) {
        gboolean kept = resample(self, NULL, error);
        swr_close(self->resampler);
        return kept;
    }
    return TRUE;
}

/* Gives the encoder its next block; the last one may be short. */
static gboolean encode_block(AacFeed *self, GError **error)
{
    int samples = MIN(av_audio_fifo_size(self->fifo), self->encoder->frame_size);
    AVFrame *block = NULL;
    if (samples > 0) {
        block = self->block;
        av_frame_unref(block);
        block->format = AV_SAMPLE_FMT_FLTP;
        block->sample_rate = AAC_HZ;
        block->nb_samples = samples;
        block->pts = self->encoded;
        av_channel_layout_default(&block->ch_layout, self->channels);
        if (av_frame_get_buffer(block, 0) < 0)
            g_error("out of memory");
        av_audio_fifo_read(self->fifo, (void **)block->extended_data, samples);
    }
    self->flushed = !block;
    int code = avcodec_send_frame(self->encoder, block);
    self->encoded += samples;
    return code >= 0 || failed(error, "encoding AAC", code);
}

static gboolean aac_next(Feed *feed, AVPacket *packet, GError **error)
{
    AacFeed *self = (AacFeed *)feed;
    int code;
    while ((code = avcodec_receive_packet(self->encoder, packet)) == AVERROR(EAGAIN)) {
        gboolean end = FALSE;
        while (!end && av_audio_fifo_size(self->fifo) < self->encoder->frame_size)
            if (!make_more(self, &end, error))
                return FALSE;
        if (!encode_block(self, error))
            return FALSE;
    }
    if (code == AVERROR_EOF)
        return TRUE;
    if (code < 0)
        return failed(error, "encoding AAC", code);
    packet->flags |= AV_PKT_FLAG_KEY;
    feed->packets++;
    feed->end_us = av_rescale_q(self->encoded, feed->time_base, (AVRational){1, 1000000});
    return TRUE;
}

static void aac_free(Feed *feed)
{
    AacFeed *self = (AacFeed *)feed;
    feed_reader_clear(&self->reader);
    g_array_unref(self->items);
    avcodec_free_context(&self->decoder);
    avcodec_free_context(&self->encoder);
    swr_free(&self->resampler);
    av_audio_fifo_free(self->fifo);
    av_frame_free(&self->decoded);
    av_frame_free(&self->resampled);
    av_frame_free(&self->block);
    av_packet_free(&self->input);
    g_free(self);
}

static gboolean open_encoder(AacFeed *self, AVCodecParameters *parameters, GError **error)
{
    const AVCodec *codec = avcodec_find_encoder(AV_CODEC_ID_AAC);
    if (!codec)
        return failed(error, "opening the AAC encoder", AVERROR_ENCODER_NOT_FOUND);
    self->encoder = avcodec_alloc_context3(codec);
    self->encoder->sample_fmt = AV_SAMPLE_FMT_FLTP;
    self->encoder->sample_rate = AAC_HZ;
    self->encoder->bit_rate = AAC_BITS_PER_CHANNEL * self->channels;
    self->encoder->time_base = self->feed.time_base;
    self->encoder->flags |= AV_CODEC_FLAG_GLOBAL_HEADER | AV_CODEC_FLAG_BITEXACT;
    av_channel_layout_default(&self->encoder->ch_layout, self->channels);
    int code = avcodec_open2(self->encoder, codec, NULL);
    if (code >= 0)
        code = avcodec_parameters_from_context(parameters, self->encoder);
    return code >= 0 || failed(error, "opening the AAC encoder", code);
}

/* Always resamples, also from 48 kHz, so that it can correct drift. */
static SwrContext *new_resampler(void)
{
    SwrContext *resampler = swr_alloc();
    av_opt_set_int(resampler, "flags", SWR_FLAG_RESAMPLE, 0);
    return resampler;
}

Feed *feed_aac_new(Model *model, const PlanStream *stream, gint64 until_us, AVCodecParameters *parameters,
                   GError **error)
{
    AacFeed *self = g_new0(AacFeed, 1);
    self->feed.time_base = (AVRational){1, AAC_HZ};
    self->feed.stream = stream;
    self->feed.next = aac_next;
    self->feed.free = aac_free;
    self->reader = (FeedReader){.model = model, .stream = stream};
    self->items = feed_items(stream, self->feed.time_base);
    self->until = av_rescale_q(until_us, (AVRational){1, 1000000}, self->feed.time_base);
    self->channels = feed_any(stream, FRAME_STEREO) ? 2 : 1;
    self->resampler = new_resampler();
    self->fifo = av_audio_fifo_alloc(AV_SAMPLE_FMT_FLTP, self->channels, AAC_HZ);
    self->decoded = av_frame_alloc();
    self->resampled = av_frame_alloc();
    self->block = av_frame_alloc();
    self->input = av_packet_alloc();
    if (open_encoder(self, parameters, error))
        return &self->feed;
    aac_free(&self->feed);
    return NULL;
}
