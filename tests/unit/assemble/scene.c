#include "scene.h"

#include <glib/gstdio.h>
#include <libavcodec/bsf.h>
#include <libavformat/avformat.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define MONO_ZERO_US (1000 * SCENE_SECOND)

/* ---- commands and folders ---------------------------------------------------------------------------------------- */

char *scene_run(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *command = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    g_auto(GStrv) argv = NULL;
    g_autofree char *complaint = NULL;
    char *output = NULL;
    int status = -1;
    assert_true(g_shell_parse_argv(command, NULL, &argv, NULL));
    assert_true(g_spawn_sync(NULL, argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, &output, &complaint, &status, NULL));
    if (status != 0 || *complaint)
        fail_msg("%s\nends with %d and says: %s", command, status, complaint);
    return output;
}

char *scene_folder(void)
{
    char *folder = g_dir_make_tmp("steno-assemble-XXXXXX", NULL);
    assert_non_null(folder);
    return folder;
}

void scene_remove(const char *folder)
{
    GDir *dir = g_dir_open(folder, 0, NULL);
    const char *name;
    while (dir && (name = g_dir_read_name(dir))) {
        g_autofree char *path = g_build_filename(folder, name, NULL);
        if (g_file_test(path, G_FILE_TEST_IS_DIR) && !g_file_test(path, G_FILE_TEST_IS_SYMLINK))
            scene_remove(path);
        else
            (void)g_unlink(path);
    }
    if (dir)
        g_dir_close(dir);
    (void)g_rmdir(folder);
}

/* ---- clips ------------------------------------------------------------------------------------------------------- */

static const char *filter_name(StenoCodec codec)
{
    return codec == STENO_CODEC_H264 ? "h264_mp4toannexb" : codec == STENO_CODEC_H265 ? "hevc_mp4toannexb" : "null";
}

static void take_packet(Clip *clip, AVPacket *packet, AVRational time_base)
{
    gint64 pts_us = av_rescale_q(packet->pts, time_base, (AVRational){1, 1000000});
    gboolean key = (packet->flags & AV_PKT_FLAG_KEY) != 0;
    g_ptr_array_add(clip->frames, g_bytes_new(packet->data, (gsize)packet->size));
    g_array_append_val(clip->pts_us, pts_us);
    g_array_append_val(clip->keys, key);
    av_packet_unref(packet);
}

static void read_clip(Clip *clip, const char *path)
{
    AVFormatContext *format = NULL;
    AVBSFContext *filter = NULL;
    assert_int_equal(avformat_open_input(&format, path, NULL, NULL), 0);
    AVStream *stream = format->streams[0];
    assert_int_equal(av_bsf_alloc(av_bsf_get_by_name(filter_name(clip->codec)), &filter), 0);
    avcodec_parameters_copy(filter->par_in, stream->codecpar);
    filter->time_base_in = stream->time_base;
    assert_int_equal(av_bsf_init(filter), 0);
    clip->width = (guint)stream->codecpar->width;
    clip->height = (guint)stream->codecpar->height;
    clip->channels = (guint)stream->codecpar->ch_layout.nb_channels;
    clip->clock_hz = steno_codec_is_video(clip->codec) ? 90000 : (guint)stream->codecpar->sample_rate;
    gboolean annexb = clip->codec == STENO_CODEC_H264 || clip->codec == STENO_CODEC_H265;
    if (annexb)
        g_byte_array_append(clip->parameters, filter->par_out->extradata, (guint)filter->par_out->extradata_size);
    else if (clip->codec == STENO_CODEC_AV1)
        g_byte_array_append(clip->parameters, stream->codecpar->extradata + 4,
                            (guint)stream->codecpar->extradata_size - 4);
    AVPacket *packet = av_packet_alloc();
    while (av_read_frame(format, packet) >= 0) {
        assert_int_equal(av_bsf_send_packet(filter, packet), 0);
        while (av_bsf_receive_packet(filter, packet) >= 0)
            take_packet(clip, packet, stream->time_base);
    }
    av_packet_free(&packet);
    av_bsf_free(&filter);
    avformat_close_input(&format);
}

static void clip_free(gpointer data)
{
    Clip *clip = data;
    g_ptr_array_unref(clip->frames);
    g_array_unref(clip->pts_us);
    g_array_unref(clip->keys);
    g_byte_array_unref(clip->parameters);
    g_free(clip);
}

static Clip *encode(StenoCodec codec, const char *source, const char *encoder)
{
    Clip *clip = g_new0(Clip, 1);
    clip->codec = codec;
    clip->frames = g_ptr_array_new_with_free_func((GDestroyNotify)g_bytes_unref);
    clip->pts_us = g_array_new(FALSE, FALSE, sizeof(gint64));
    clip->keys = g_array_new(FALSE, FALSE, sizeof(gboolean));
    clip->parameters = g_byte_array_new();
    g_autofree char *folder = scene_folder();
    /* nut keeps the encoder's own time base, so that times are exact */
    gboolean mp4 = steno_codec_is_video(codec) && codec != STENO_CODEC_VP8;
    g_autofree char *path = g_build_filename(folder, mp4 ? "clip.mp4" : "clip.nut", NULL);
    g_free(scene_run("ffmpeg -nostdin -v error -f lavfi -i %s %s %s", source, encoder, path));
    read_clip(clip, path);
    scene_remove(folder);
    return clip;
}

const Clip *clip_make(StenoCodec codec, const char *source, const char *encoder)
{
    static GHashTable *clips;
    if (!clips)
        clips = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, clip_free);
    char *key = g_strdup_printf("%s %s", source, encoder);
    Clip *clip = g_hash_table_lookup(clips, key);
    if (clip) {
        g_free(key);
        return clip;
    }
    clip = encode(codec, source, encoder);
    g_hash_table_insert(clips, key, clip);
    return clip;
}

const Clip *clip_opus(void)
{
    return clip_make(STENO_CODEC_OPUS, "sine=f=440:d=6:r=48000", "-ac 2 -c:a libopus");
}

const Clip *clip_h264(const char *size)
{
    g_autofree char *source = g_strdup_printf("testsrc2=s=%s:r=30:d=4", size);
    return clip_make(STENO_CODEC_H264, source, SCENE_X264);
}

const Clip *clip_vp8(void)
{
    return clip_make(STENO_CODEC_VP8, SCENE_PICTURES, "-c:v libvpx -b:v 500k -g 30 -deadline realtime -auto-alt-ref 0");
}

/* ---- captures ---------------------------------------------------------------------------------------------------- */

Scene *scene_open(const char *folder, guint part)
{
    return scene_open_encrypted(folder, part, NULL);
}

Scene *scene_open_encrypted(const char *folder, guint part, const char *content)
{
    Scene *scene = g_new0(Scene, 1);
    scene->folder = g_strdup(folder);
    scene->part = part;
    scene->pool = steno_frame_pool_new(256 * 1024 * 1024);
    json_t *recording =
        json_pack("{s:s, s:s, s:s}", "id", "01JDTESTTESTTESTTESTTESTTE", "platform", "janus", "channel", "1234");
    scene->content = content;
    if (content)
        json_object_set_new(recording, "content",
                            json_pack("{s:s, s:s}", "format", content, "unit",
                                      strcmp(content, "sframe-packet") == 0 ? "packet" : "frame"));
    StenoCaptureConfig config = {.folder = folder, .part = part, .zero_wall_us = SCENE_ZERO_US, .recording = recording};
    GError *error = NULL;
    scene->capture = steno_capture_new(&config, &error);
    if (!scene->capture)
        fail_msg("%s", error->message);
    json_decref(recording);
    scene->announced = json_array();
    scene->formats = g_hash_table_new(NULL, NULL);
    return scene;
}

void scene_event(Scene *scene, gint64 at_us, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    json_t *event = json_vpack_ex(NULL, 0, format, arguments);
    va_end(arguments);
    assert_non_null(event);
    json_object_set_new(event, "t", json_integer(SCENE_ZERO_US + at_us));
    static const char *const announced[] = {"participant_joined", "track_added", "clock", NULL};
    if (g_strv_contains(announced, json_string_value(json_object_get(event, "event"))))
        json_array_append_new(scene->announced, json_copy(event));
    steno_capture_event(scene->capture, event);
}

static void finish(Scene *scene)
{
    assert_true(steno_capture_finish(scene->capture, NULL));
    steno_frame_pool_free(scene->pool);
    json_decref(scene->announced);
    g_hash_table_unref(scene->formats);
    g_free(scene->folder);
    g_free(scene);
}

void scene_close(Scene *scene, const char *state)
{
    if (g_strcmp0(state, "ended") == 0)
        scene_event(scene, 3600 * SCENE_SECOND, "{s:s, s:s, s:n}", "event", "ended", "end_reason", "stopped", "error");
    else if (state)
        scene_event(scene, 3600 * SCENE_SECOND, "{s:s, s:s}", "event", "state", "state", state);
    finish(scene);
}

Scene *scene_rotate(Scene *scene, guint section, gint64 seam_us)
{
    Scene *next = scene_open_encrypted(scene->folder, scene->part + 1, scene->content);
    size_t i;
    json_t *event;
    json_array_foreach (scene->announced, i, event) {
        json_t *again = json_copy(event);
        json_object_set_new(again, "t", json_integer(SCENE_ZERO_US + seam_us));
        json_array_append(next->announced, event);
        steno_capture_measurement(next->capture, again);
    }
    steno_capture_set_last(scene->capture, json_pack("{s:s, s:I, s:i, s:I}", "event", "rotated", "t",
                                                     (json_int_t)(SCENE_ZERO_US + seam_us + SCENE_SECOND), "section",
                                                     (int)section, "seam", (json_int_t)(SCENE_ZERO_US + seam_us)));
    finish(scene);
    return next;
}

void scene_join(Scene *scene, gint64 at_us, const char *id, const char *name)
{
    scene_event(scene, at_us, "{s:s, s:s, s:s}", "event", "participant_joined", "participant", id, "name", name);
}

static void push(Scene *scene, StenoFrame *frame)
{
    assert_non_null(frame);
    while (!steno_frame_ring_push(steno_capture_ring(scene->capture), frame))
        g_thread_yield();
}

/* Of what is sealed, no more than SDP told is known. */
static void push_format(Scene *scene, guint track, const Clip *clip, gint64 wall_us, gboolean sealed)
{
    StenoFrame *frame = steno_frame_new(scene->pool, STENO_FRAME_FORMAT, clip->parameters->len);
    frame->codec = clip->codec;
    frame->track = track;
    frame->wall_us = wall_us;
    frame->encrypted = sealed;
    frame->format.clock_hz = clip->clock_hz;
    if (sealed) {
        frame->format.channels = (guint8)clip->channels;
        push(scene, frame);
        return;
    }
    frame->format.width = (guint16)clip->width;
    frame->format.height = (guint16)clip->height;
    frame->format.channels = (guint8)clip->channels;
    if (clip->parameters->len > 0)
        memcpy(frame->payload, clip->parameters->data, clip->parameters->len);
    frame->payload_bytes = clip->parameters->len;
    push(scene, frame);
}

void scene_track(Scene *scene, gint64 at_us, guint track, const char *participant, const char *mid, const Clip *clip)
{
    scene_event(scene, at_us, "{s:s, s:i, s:s, s:s, s:s, s:s, s:i, s:i, s:i, s:s}", "event", "track_added", "track",
                (int)track, "participant", participant, "mid", mid, "kind",
                steno_codec_is_video(clip->codec) ? "video" : "audio", "codec", steno_codec_name(clip->codec),
                "clock_hz", (int)clip->clock_hz, "ssrc", 1000 + (int)track, "peer", 1, "source", "");
}

static void report(Scene *scene, const Play *play, gint64 true_us, gint64 rtp_ts)
{
    /* The report is off by up to a millisecond, as browsers' are, and its way took up to 20 ms. */
    gint64 delay_us = 2000 + (rtp_ts * 7919 % 18000 + 18000) % 18000;
    gint64 ntp_us = SCENE_ZERO_US + true_us - play->offset_us + rtp_ts % 997 - 498;
    scene_event(scene, true_us + delay_us, "{s:s, s:i, s:I, s:I, s:I, s:I}", "event", "clock", "track",
                (int)play->track, "rtp_ts", (json_int_t)rtp_ts, "ntp", (json_int_t)ntp_us, "arrival",
                (json_int_t)(SCENE_ZERO_US + true_us + delay_us), "offset", (json_int_t)(play->offset_us + 2000));
}

/* One block of the file. */
static void push_block(Scene *scene, const StenoFrame *like, const void *data, gsize bytes)
{
    StenoFrame *frame = steno_frame_new(scene->pool, STENO_FRAME_MEDIA, bytes);
    frame->codec = like->codec;
    frame->track = like->track;
    frame->rtp_ts = like->rtp_ts;
    frame->arrival_us = like->arrival_us;
    frame->wall_us = like->wall_us;
    frame->keyframe = like->keyframe;
    frame->decodable = like->decodable;
    frame->encrypted = like->encrypted;
    if (bytes > 0)
        memcpy(frame->payload, data, bytes);
    frame->payload_bytes = (guint32)bytes;
    push(scene, frame);
}

/* VP8 (RFC 7741) and Opus in packets of at most PACKET_BYTES, each sealed. */
#define PACKET_BYTES 1000

static void push_packets(Scene *scene, const Play *play, const StenoFrame *like, const guint8 *data, gsize bytes)
{
    gboolean video = steno_codec_is_video(like->codec);
    for (gsize at = 0; at < bytes; at += PACKET_BYTES) {
        gsize part = MIN(bytes - at, PACKET_BYTES);
        guint8 payload[1 + PACKET_BYTES] = {at == 0 ? 0x10 : 0x00};
        memcpy(payload + video, data + at, part);
        g_autoptr(GBytes) sealed = sealer_seal(play->sealer, payload, part + video);
        gsize sealed_bytes;
        const void *sealed_data = g_bytes_get_data(sealed, &sealed_bytes);
        g_autoptr(GByteArray) block = g_byte_array_new();
        gint64 seq = GINT64_TO_LE(*play->seq);
        guint8 marker = at + part == bytes;
        (*play->seq)++;
        g_byte_array_append(block, (const guint8 *)&seq, sizeof seq);
        g_byte_array_append(block, &marker, 1);
        g_byte_array_append(block, sealed_data, (guint)sealed_bytes);
        push_block(scene, like, block->data, block->len);
    }
    *play->seq += like->rtp_ts % 5 == 0; /* a packet of padding, which is not kept */
}

static void push_frame(Scene *scene, const Play *play, StenoFrame *like, const guint8 *data, gsize bytes)
{
    if (!play->sealer) {
        push_block(scene, like, data, bytes);
        return;
    }
    like->encrypted = like->decodable = true;
    like->keyframe = false;
    if (play->seq) {
        push_packets(scene, play, like, data, bytes);
        return;
    }
    g_autoptr(GBytes) sealed = sealer_seal(play->sealer, data, bytes);
    gsize sealed_bytes;
    const void *sealed_data = g_bytes_get_data(sealed, &sealed_bytes);
    push_block(scene, like, sealed_data, sealed_bytes);
}

guint scene_play(Scene *scene, const Play *play)
{
    const Clip *clip = play->clip;
    gint64 until_us = play->until_us ? play->until_us : G_MAXINT64, reported_us = G_MININT64 / 2;
    guint pushed = 0;
    gboolean decodable = TRUE;
    gboolean new_here = g_hash_table_add(scene->formats, GUINT_TO_POINTER(play->track));
    if (new_here || !play->goes_on)
        push_format(scene, play->track, clip, SCENE_ZERO_US + play->at_us, play->sealer != NULL);
    for (guint i = 0; i < clip->frames->len; i++) {
        gint64 pts_us = g_array_index(clip->pts_us, gint64, i);
        gboolean key = g_array_index(clip->keys, gboolean, i);
        if (pts_us < play->from_us || pts_us >= until_us)
            continue;
        if (i >= play->lost_from && i < play->lost_until) {
            decodable = FALSE;
            if (play->seq)
                (*play->seq)++;
            continue;
        }
        decodable |= key || !steno_codec_is_video(clip->codec);
        gint64 true_us = play->at_us + pts_us - play->from_us;
        double ticks = (double)pts_us * clip->clock_hz / 1e6 * (1.0 - play->drift_ppm / 1e6);
        gint64 rtp_ts = play->rtp_base + (gint64)(ticks + 0.5);
        gint64 jitter_us = play->jitter_us ? (gint64)i * 7919 % play->jitter_us : 0;
        gsize bytes;
        const void *data = g_bytes_get_data(clip->frames->pdata[i], &bytes);
        StenoFrame like = {
            .codec = clip->codec,
            .track = play->track,
            .rtp_ts = rtp_ts,
            .arrival_us = MONO_ZERO_US + true_us + 2000 + jitter_us,
            .wall_us = SCENE_ZERO_US + true_us + 2000 + jitter_us, /* what was known live: the arrival */
            .keyframe = key,
            .decodable = decodable,
        };
        push_frame(scene, play, &like, data, bytes);
        pushed++;
        if (!play->no_reports && true_us - reported_us >= SCENE_SECOND) {
            report(scene, play, true_us, rtp_ts);
            reported_us = true_us;
        }
    }
    return pushed;
}
