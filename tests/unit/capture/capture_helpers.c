#include "capture_helpers.h"

#include <glib/gstdio.h>
#include <string.h>

char *helper_folder(void)
{
    g_autoptr(GError) error = NULL;
    char *folder = g_dir_make_tmp("steno-capture-XXXXXX", &error);
    g_assert_no_error(error);
    return folder;
}

void helper_remove(const char *folder)
{
    g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
    const char *name;
    while (dir && (name = g_dir_read_name(dir))) {
        g_autofree char *path = g_build_filename(folder, name, NULL);
        if (g_file_test(path, G_FILE_TEST_IS_DIR))
            helper_remove(path);
        else
            g_unlink(path);
    }
    g_rmdir(folder);
}

StenoCapture *helper_capture(const char *folder, guint part)
{
    g_autoptr(GError) error = NULL;
    StenoCaptureConfig config = {.folder = folder, .part = part, .zero_wall_us = ZERO_US};
    StenoCapture *capture = steno_capture_new(&config, &error);
    g_assert_no_error(error);
    return capture;
}

StenoFrame *helper_frame(StenoFramePool *pool, StenoFrameKind kind, StenoCodec codec, guint32 track, gint64 wall_us,
                         const void *payload, gsize bytes)
{
    StenoFrame *frame = steno_frame_new(pool, kind, bytes);
    g_assert_nonnull(frame);
    frame->codec = codec;
    frame->track = track;
    frame->wall_us = wall_us;
    frame->rtp_ts = (wall_us - ZERO_US) * 9 / 100;
    frame->arrival_us = wall_us - ZERO_US + 5000;
    frame->decodable = true;
    frame->payload_bytes = (guint32)bytes;
    if (bytes)
        memcpy(frame->payload, payload, bytes);
    return frame;
}

StenoFrame *helper_format(StenoFramePool *pool, StenoCodec codec, guint32 track, const void *payload, gsize bytes)
{
    StenoFrame *frame = helper_frame(pool, STENO_FRAME_FORMAT, codec, track, ZERO_US, payload, bytes);
    bool video = steno_codec_is_video(codec);
    frame->format.clock_hz = video ? 90000 : codec == STENO_CODEC_OPUS ? 48000 : 8000;
    frame->format.width = video ? 640 : 0;
    frame->format.height = video ? 360 : 0;
    frame->format.channels = video ? 0 : codec == STENO_CODEC_OPUS ? 2 : 1;
    return frame;
}

void helper_push(StenoCapture *capture, StenoFrame *frame)
{
    while (!steno_frame_ring_push(steno_capture_ring(capture), frame))
        g_usleep(1000);
}

json_t *helper_events(const char *folder, guint part)
{
    g_autofree char *path = g_strdup_printf("%s/part-%04u/events.jsonl", folder, part);
    g_autofree char *text = NULL;
    g_autoptr(GError) error = NULL;
    gsize bytes;
    g_file_get_contents(path, &text, &bytes, &error);
    g_assert_no_error(error);
    json_t *events = json_array();
    /* Not g_strsplit(): under ASan, its strstr() goes over the whole rest for each line. */
    const char *line = text, *end = text + bytes, *newline;
    for (; line < end && (newline = memchr(line, '\n', (size_t)(end - line))); line = newline + 1) {
        json_t *event = json_loadb(line, (size_t)(newline - line), 0, NULL);
        if (event)
            json_array_append_new(events, event);
    }
    return events;
}

guint helper_count_events(json_t *events, const char *type)
{
    guint count = 0;
    size_t i;
    json_t *event;
    json_array_foreach (events, i, event)
        count += g_strcmp0(json_string_value(json_object_get(event, "event")), type) == 0;
    return count;
}

int helper_count_frames(const char *folder, guint part, guint track, guint segment)
{
    g_autofree char *path = g_strdup_printf("%s/part-%04u/track-%04u.%u.mkv", folder, part, track, segment);
    g_autoptr(StenoCaptureReader) reader = steno_capture_reader_open(path, NULL);
    if (!reader)
        return -1;
    int count = 0;
    StenoCaptureFrame frame;
    while (steno_capture_reader_next(reader, &frame))
        count++;
    return count;
}
