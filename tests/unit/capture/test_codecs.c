/*
 * Real encoded clips through the capture, and the track files held against libavformat: it must find in them the very
 * packets and parameters that its own Matroska of the clip has, and decode them without a word.
 */
#include "capture_helpers.h"

#include <glib/gstdio.h>
#include <libavcodec/avcodec.h>
#include <libavcodec/bsf.h>
#include <libavformat/avformat.h>
#include <libavutil/intreadwrite.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

typedef struct {
    StenoCodec codec;
    const char *source, *encoder; /* of ffmpeg */
    const char *container;        /* a muxer; the clip is read back from it */
} Clip;

static const Clip clips[] = {
    {STENO_CODEC_H264, "testsrc2=s=320x180:r=30:d=2", "-pix_fmt yuv420p -c:v libx264 -g 20 -tune zerolatency", "mkv"},
    {STENO_CODEC_H264, "testsrc2=s=318x178:r=30:d=1", "-pix_fmt yuv444p10 -c:v libx264 -g 20 -bf 0", "mkv"},
    {STENO_CODEC_H265, "testsrc2=s=320x180:r=30:d=1",
     "-pix_fmt yuv420p -c:v libx265 -preset ultrafast -tune zerolatency -x265-params log-level=none", "mkv"},
    {STENO_CODEC_H265, "testsrc2=s=320x180:r=30:d=1",
     "-pix_fmt yuv422p10 -c:v libx265 -preset ultrafast -tune zerolatency -x265-params log-level=none", "mkv"},
    {STENO_CODEC_VP8, "testsrc2=s=320x180:r=30:d=2", "-c:v libvpx -b:v 500k -g 20 -deadline realtime -auto-alt-ref 0",
     "mkv"},
    {STENO_CODEC_VP9, "testsrc2=s=320x180:r=30:d=2", "-c:v libvpx-vp9 -b:v 500k -g 20 -deadline realtime -cpu-used 8",
     "mkv"},
    {STENO_CODEC_AV1, "testsrc2=s=320x180:r=30:d=1", "-pix_fmt yuv420p -c:v libaom-av1 -usage realtime -cpu-used 8",
     "mkv"},
    {STENO_CODEC_AV1, "testsrc2=s=320x180:r=30:d=1", "-pix_fmt yuv420p10 -c:v libaom-av1 -usage realtime -cpu-used 8",
     "mkv"},
    {STENO_CODEC_AV1, "testsrc2=s=320x180:r=30:d=1", "-pix_fmt gray -c:v libaom-av1 -usage realtime -cpu-used 8",
     "mkv"},
    {STENO_CODEC_OPUS, "sine=f=440:d=2:r=48000", "-ac 2 -c:a libopus", "mkv"},
    {STENO_CODEC_OPUS, "sine=f=440:d=2:r=48000", "-ac 1 -c:a libopus", "mkv"},
    {STENO_CODEC_PCMU, "sine=f=440:d=2:r=8000", "-ac 1 -c:a pcm_mulaw", "mkv"},
    {STENO_CODEC_PCMA, "sine=f=440:d=2:r=8000", "-ac 1 -c:a pcm_alaw", "mkv"},
};

static void run(const char *command)
{
    g_autofree char *complaint = NULL;
    g_autoptr(GError) error = NULL;
    int status;
    g_auto(GStrv) argv = NULL;
    g_assert_true(g_shell_parse_argv(command, NULL, &argv, &error));
    if (!g_spawn_sync(NULL, argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, &complaint, &status, &error))
        fail_msg("%s", error->message);
    if (status != 0 || complaint[0])
        fail_msg("%s\nends with %d and says: %s", command, status, complaint);
}

static AVFormatContext *open_file(const char *path)
{
    AVFormatContext *format = NULL;
    if (avformat_open_input(&format, path, NULL, NULL) < 0)
        fail_msg("libavformat cannot open %s", path);
    assert_int_equal(format->nb_streams, 1);
    return format;
}

/* As a depacketizer gives it: 4-byte start codes instead of 4-byte lengths. */
static void lengths_to_start_codes(guint8 *data, gsize bytes)
{
    for (gsize at = 0; at + 4 <= bytes;) {
        gsize length = (gsize)AV_RB32(data + at);
        memcpy(data + at, "\0\0\0\1", 4);
        at += 4 + length;
    }
}

static gboolean is_annexb(StenoCodec codec)
{
    return codec == STENO_CODEC_H264 || codec == STENO_CODEC_H265;
}

/* The parameters as a FORMAT frame has them, by FFmpeg's own filter. */
static GByteArray *parameters_of(StenoCodec codec, const AVCodecParameters *coded)
{
    GByteArray *out = g_byte_array_new();
    if (codec == STENO_CODEC_AV1)
        g_byte_array_append(out, coded->extradata + 4, (guint)coded->extradata_size - 4);
    if (is_annexb(codec)) {
        AVBSFContext *filter;
        av_bsf_alloc(av_bsf_get_by_name(codec == STENO_CODEC_H264 ? "h264_mp4toannexb" : "hevc_mp4toannexb"), &filter);
        avcodec_parameters_copy(filter->par_in, coded);
        assert_int_equal(av_bsf_init(filter), 0);
        g_byte_array_append(out, filter->par_out->extradata, (guint)filter->par_out->extradata_size);
        av_bsf_free(&filter);
    }
    return out;
}

static void capture_clip(const Clip *clip, const char *path, const char *folder, GPtrArray *frames,
                         GByteArray *parameters)
{
    AVFormatContext *format = open_file(path);
    AVCodecParameters *coded = format->streams[0]->codecpar;
    StenoFramePool *pool = steno_frame_pool_new(64 * 1024 * 1024);
    StenoCapture *capture = helper_capture(folder, 1);
    g_autoptr(GByteArray) found = parameters_of(clip->codec, coded);
    g_byte_array_append(parameters, found->data, found->len);
    StenoFrame *head = helper_format(pool, clip->codec, 1, found->data, found->len);
    head->format.width = (guint16)coded->width;
    head->format.height = (guint16)coded->height;
    if (!steno_codec_is_video(clip->codec))
        head->format.channels = (guint8)coded->ch_layout.nb_channels;
    helper_push(capture, head);

    AVPacket *packet = av_packet_alloc();
    while (av_read_frame(format, packet) >= 0) {
        if (is_annexb(clip->codec)) {
            av_packet_make_writable(packet);
            lengths_to_start_codes(packet->data, (gsize)packet->size);
        }
        StenoFrame *frame = helper_frame(pool, STENO_FRAME_MEDIA, clip->codec, 1, ZERO_US + packet->pts * 1000,
                                         packet->data, (gsize)packet->size);
        frame->keyframe = (packet->flags & AV_PKT_FLAG_KEY) != 0;
        g_ptr_array_add(frames, steno_frame_ref(frame));
        helper_push(capture, frame);
        av_packet_unref(packet);
    }
    av_packet_free(&packet);
    avformat_close_input(&format);
    assert_true(steno_capture_finish(capture, NULL));
    steno_frame_pool_free(pool);
}

static void check_with_our_reader(const Clip *clip, const char *track, GPtrArray *frames, GByteArray *parameters)
{
    g_autoptr(StenoCaptureReader) reader = steno_capture_reader_open(track, NULL);
    assert_non_null(reader);
    assert_int_equal(steno_capture_reader_codec(reader), clip->codec);
    gsize bytes;
    const guint8 *read = steno_capture_reader_parameters(reader, &bytes);
    if (clip->codec != STENO_CODEC_H265) { /* x265 adds an SEI with its options, which hvcC may do without */
        assert_int_equal(bytes, parameters->len);
        assert_memory_equal(read, parameters->data, bytes);
    } else {
        assert_true(bytes > 0 && bytes <= parameters->len);
        assert_memory_equal(read, parameters->data, bytes);
    }
    StenoCaptureFrame frame;
    for (guint i = 0; i < frames->len; i++) {
        const StenoFrame *original = g_ptr_array_index(frames, i);
        assert_int_equal(steno_capture_reader_next(reader, &frame), 1);
        assert_int_equal(frame.payload_bytes, original->payload_bytes);
        assert_memory_equal(frame.payload, original->payload, frame.payload_bytes);
        assert_int_equal(frame.keyframe, original->keyframe);
        assert_int_equal(frame.wall_us, original->wall_us);
    }
    assert_int_equal(steno_capture_reader_next(reader, &frame), 0);
    assert_int_equal(steno_capture_reader_skipped(reader), 0);
}

static void check_private(const Clip *clip, const AVCodecParameters *theirs, const AVCodecParameters *ours)
{
    if (clip->codec == STENO_CODEC_H265) {
        assert_true(ours->extradata_size > 23);
        assert_memory_equal(ours->extradata, theirs->extradata, 13); /* profile, tier, level */
        assert_memory_equal(ours->extradata + 16, theirs->extradata + 16, 3);
        assert_int_equal(ours->extradata[21], theirs->extradata[21]);
    } else if (clip->codec == STENO_CODEC_OPUS) {
        assert_int_equal(ours->extradata_size, 19);
        assert_memory_equal(ours->extradata, theirs->extradata, 10); /* pre-skip is ours */
    } else {
        assert_int_equal(ours->extradata_size, theirs->extradata_size);
        if (ours->extradata_size)
            assert_memory_equal(ours->extradata, theirs->extradata, (size_t)ours->extradata_size);
    }
}

/* What libavformat reads in our file is what it reads in its own. */
static void check_with_libavformat(const Clip *clip, const char *path, const char *track)
{
    AVFormatContext *theirs = open_file(path), *ours = open_file(track);
    AVPacket *a = av_packet_alloc(), *b = av_packet_alloc();
    const AVCodecParameters *coded = theirs->streams[0]->codecpar, *read = ours->streams[0]->codecpar;
    assert_int_equal(read->codec_id, coded->codec_id);
    assert_int_equal(read->width, coded->width);
    assert_int_equal(read->height, coded->height);
    assert_int_equal(read->sample_rate, coded->sample_rate);
    assert_int_equal(read->ch_layout.nb_channels, coded->ch_layout.nb_channels);
    check_private(clip, coded, read);
    while (av_read_frame(theirs, a) >= 0) {
        assert_int_equal(av_read_frame(ours, b), 0);
        assert_int_equal(a->size, b->size);
        assert_memory_equal(a->data, b->data, (size_t)a->size);
        if (steno_codec_is_video(clip->codec))
            assert_int_equal(a->flags & AV_PKT_FLAG_KEY, b->flags & AV_PKT_FLAG_KEY);
        assert_int_equal(MAX(a->pts, 0), b->pts);
        av_packet_unref(a);
        av_packet_unref(b);
    }
    assert_int_equal(av_read_frame(ours, b), AVERROR_EOF);
    av_packet_free(&a);
    av_packet_free(&b);
    avformat_close_input(&theirs);
    avformat_close_input(&ours);
}

static void clips_come_back_and_libavformat_agrees(void **state)
{
    (void)state;
    for (guint i = 0; i < G_N_ELEMENTS(clips); i++) {
        const Clip *clip = &clips[i];
        g_autofree char *folder = helper_folder();
        g_autofree char *path = g_strdup_printf("%s/clip.%s", folder, clip->container);
        g_autofree char *track = g_strdup_printf("%s/part-0001/track-0001.0.mkv", folder);
        g_autofree char *encode = g_strdup_printf("ffmpeg -v fatal -f lavfi -i %s -fflags +bitexact -t 2 %s %s",
                                                  clip->source, clip->encoder, path);
        g_autofree char *decode = g_strdup_printf("ffmpeg -v error -xerror -i %s -f null -", track);
        g_autoptr(GPtrArray) frames = g_ptr_array_new_with_free_func((GDestroyNotify)steno_frame_unref);
        g_autoptr(GByteArray) parameters = g_byte_array_new();
        print_message("%s %s\n", steno_codec_name(clip->codec), clip->encoder);
        run(encode);
        capture_clip(clip, path, folder, frames, parameters);
        assert_true(frames->len > 10);
        check_with_our_reader(clip, track, frames, parameters);
        check_with_libavformat(clip, path, track);
        run(decode);
        helper_remove(folder);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(clips_come_back_and_libavformat_agrees)};
    return cmocka_run_group_tests_name("capture_codecs", tests, NULL, NULL);
}
