/* The writer and the reader against each other: what goes in comes out, whatever it is. */
#include "capture_helpers.h"

#include "steno/base/clock.h"
#include "steno/base/error.h"

#include <glib/gstdio.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#define SPS "\0\0\0\1\x67\x42\xc0\x1e\xd9\x00\xa0\x47\xfe\xc8"
#define PPS "\0\0\0\1\x68\xce\x3c\x80"
#define SPS_PPS SPS PPS

typedef struct {
    char *folder;
    StenoFramePool *pool;
} Fixture;

static int setup(void **state)
{
    Fixture *fixture = g_new0(Fixture, 1);
    fixture->folder = helper_folder();
    fixture->pool = steno_frame_pool_new(256 * 1024 * 1024);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    Fixture *fixture = *state;
    helper_remove(fixture->folder);
    steno_frame_pool_free(fixture->pool);
    g_free(fixture->folder);
    g_free(fixture);
    return 0;
}

static StenoCaptureReader *open_track(Fixture *fixture, guint part, guint track, guint segment)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *path = g_strdup_printf("%s/part-%04u/track-%04u.%u.mkv", fixture->folder, part, track, segment);
    StenoCaptureReader *reader = steno_capture_reader_open(path, &error);
    if (error)
        fail_msg("%s", error->message);
    return reader;
}

static void finish(StenoCapture *capture)
{
    g_autoptr(GError) error = NULL;
    if (!steno_capture_finish(capture, &error))
        fail_msg("%s", error->message);
}

static json_t *find_event(json_t *events, const char *type, guint nth)
{
    size_t i;
    json_t *event;
    json_array_foreach (events, i, event) {
        if (g_strcmp0(json_string_value(json_object_get(event, "event")), type) == 0 && nth-- == 0)
            return event;
    }
    fail_msg("no event %s", type);
    return NULL;
}

static gint64 member(json_t *event, const char *name)
{
    json_t *value = json_object_get(event, name);
    assert_true(json_is_integer(value));
    return json_integer_value(value);
}

/* ---- payloads ---------------------------------------------------------------------------------------------------- */

typedef struct {
    const char *data;
    gsize bytes;
} Payload;
#define PAYLOAD(text)                                                                                                  \
    {                                                                                                                  \
        text, sizeof(text) - 1                                                                                         \
    }

/* Units of every odd shape: empty, ending in zeros, 3-byte start codes inside, no start code at all. */
static const Payload payloads[] = {
    PAYLOAD("\0\0\0\1\x65\x88\x80"),
    PAYLOAD("\0\0\0\1\x09\xf0\0\0\0\1\x65\x11\0\0\1\x22\0\0\0\0\1\x33"),
    PAYLOAD("\0\0\0\1"),
    PAYLOAD("\0\0\0\1\0\0\0\1\0\0\0\1\x41"),
    PAYLOAD("\0\0\0\1\x41\0\0\0"),
    PAYLOAD("\0\0\0\1\x41\1\0\1\0\0\1"),
    PAYLOAD("\0\0\1\x41 three byte start code"),
    PAYLOAD("no start code"),
    PAYLOAD(""),
    PAYLOAD("\0"),
    PAYLOAD("\1\0\0\0\1\0\0\0\1"),
};

/* All of them in the clear, then all of them sealed. */
static void push_payloads(Fixture *fixture, StenoCapture *capture, StenoCodec codec, guint track)
{
    for (guint sealed = 0; sealed < 2; sealed++) {
        StenoFrame *format = helper_format(fixture->pool, codec, track, NULL, 0);
        format->encrypted = sealed;
        helper_push(capture, format);
        for (guint i = 0; i < G_N_ELEMENTS(payloads); i++) {
            StenoFrame *frame = helper_frame(fixture->pool, STENO_FRAME_MEDIA, codec, track, ZERO_US + i * 40000,
                                             payloads[i].data, payloads[i].bytes);
            frame->keyframe = i % 3 == 0;
            frame->decodable = i % 2 == 0;
            frame->encrypted = sealed;
            helper_push(capture, frame);
        }
    }
    helper_push(capture, helper_frame(fixture->pool, STENO_FRAME_END, codec, track, ZERO_US, NULL, 0));
}

static void check_payloads(Fixture *fixture, StenoCodec codec, guint track, gboolean sealed)
{
    g_autoptr(StenoCaptureReader) reader = open_track(fixture, 1, track, sealed);
    StenoCaptureFrame frame;
    assert_int_equal(steno_capture_reader_codec(reader), codec);
    assert_int_equal(steno_capture_reader_is_sealed(reader), sealed);
    for (guint i = 0; i < G_N_ELEMENTS(payloads); i++) {
        const Payload *payload = &payloads[i];
        assert_int_equal(steno_capture_reader_next(reader, &frame), 1);
        assert_int_equal(frame.payload_bytes, payload->bytes);
        assert_memory_equal(frame.payload, payload->data, payload->bytes);
        assert_int_equal(frame.wall_us, ZERO_US + i * 40000);
        assert_int_equal(frame.rtp_ts, i * 3600);
        assert_int_equal(frame.arrival_us, i * 40000 + 5000);
        assert_int_equal(frame.keyframe, i % 3 == 0);
        assert_int_equal(frame.decodable, i % 2 == 0);
        assert_int_equal(frame.encrypted, sealed);
    }
    assert_int_equal(steno_capture_reader_next(reader, &frame), 0);
    assert_int_equal(steno_capture_reader_skipped(reader), 0);
}

static void every_payload_comes_back_byte_by_byte(void **state)
{
    Fixture *fixture = *state;
    StenoCapture *capture = helper_capture(fixture->folder, 1);
    for (StenoCodec codec = STENO_CODEC_OPUS; codec < STENO_CODEC_COUNT; codec++)
        push_payloads(fixture, capture, codec, codec);
    finish(capture);
    for (StenoCodec codec = STENO_CODEC_OPUS; codec < STENO_CODEC_COUNT; codec++) {
        check_payloads(fixture, codec, codec, FALSE);
        check_payloads(fixture, codec, codec, TRUE);
    }
}

static void format_and_parameters_come_back(void **state)
{
    Fixture *fixture = *state;
    StenoCapture *capture = helper_capture(fixture->folder, 1);
    guint width, height, channels, clock_hz;
    gsize bytes;
    helper_push(capture, helper_format(fixture->pool, STENO_CODEC_H264, 1, SPS_PPS, sizeof SPS_PPS - 1));
    helper_push(capture, helper_frame(fixture->pool, STENO_FRAME_MEDIA, STENO_CODEC_H264, 1, ZERO_US, "x", 1));
    helper_push(capture, helper_format(fixture->pool, STENO_CODEC_OPUS, 2, NULL, 0));
    helper_push(capture, helper_frame(fixture->pool, STENO_FRAME_MEDIA, STENO_CODEC_OPUS, 2, ZERO_US, "x", 1));
    finish(capture);

    g_autoptr(StenoCaptureReader) video = open_track(fixture, 1, 1, 0);
    steno_capture_reader_format(video, &width, &height, &channels, &clock_hz);
    assert_int_equal(width, 640);
    assert_int_equal(height, 360);
    assert_int_equal(clock_hz, 90000);
    const guint8 *parameters = steno_capture_reader_parameters(video, &bytes);
    assert_int_equal(bytes, sizeof SPS_PPS - 1);
    assert_memory_equal(parameters, SPS_PPS, bytes);

    g_autoptr(StenoCaptureReader) audio = open_track(fixture, 1, 2, 0);
    steno_capture_reader_format(audio, &width, &height, &channels, &clock_hz);
    assert_int_equal(channels, 2);
    assert_int_equal(clock_hz, 48000);
    assert_null(steno_capture_reader_parameters(audio, &bytes));
    assert_int_equal(bytes, 0);
}

/* ---- formats ----------------------------------------------------------------------------------------------------- */

static void a_new_format_begins_a_new_file_and_the_same_one_does_not(void **state)
{
    Fixture *fixture = *state;
    StenoCapture *capture = helper_capture(fixture->folder, 1);
    for (guint i = 0; i < 6; i++) {
        StenoFrame *format = helper_format(fixture->pool, STENO_CODEC_VP8, 7, NULL, 0);
        format->format.width = i < 3 ? 640 : 320;
        helper_push(capture, format);
        helper_push(capture, helper_frame(fixture->pool, STENO_FRAME_MEDIA, STENO_CODEC_VP8, 7, ZERO_US, "x", 1));
    }
    helper_push(capture, helper_frame(fixture->pool, STENO_FRAME_END, STENO_CODEC_VP8, 7, ZERO_US, NULL, 0));
    /* A format without a frame leaves no file. */
    helper_push(capture, helper_format(fixture->pool, STENO_CODEC_VP8, 8, NULL, 0));
    finish(capture);

    assert_int_equal(helper_count_frames(fixture->folder, 1, 7, 0), 3);
    assert_int_equal(helper_count_frames(fixture->folder, 1, 7, 1), 3);
    assert_int_equal(helper_count_frames(fixture->folder, 1, 7, 2), -1);
    assert_int_equal(helper_count_frames(fixture->folder, 1, 8, 0), -1);
    json_t *events = helper_events(fixture->folder, 1);
    assert_int_equal(helper_count_events(events, "format"), 2);
    json_t *second = find_event(events, "format", 1);
    assert_int_equal(member(second, "track"), 7);
    assert_int_equal(member(second, "segment"), 1);
    assert_int_equal(member(second, "width"), 320);
    assert_string_equal(json_string_value(json_object_get(second, "codec")), "vp8");
    json_decref(events);
}

static void a_flood_of_formats_ends_at_the_ceiling(void **state)
{
    Fixture *fixture = *state;
    StenoCapture *capture = helper_capture(fixture->folder, 1);
    StenoCaptureStats stats;
    for (guint i = 0; i < STENO_CAPTURE_SEGMENTS_MAX + 5; i++) {
        StenoFrame *format = helper_format(fixture->pool, STENO_CODEC_VP8, 1, NULL, 0);
        format->format.width = (guint16)(1 + i % 2);
        helper_push(capture, format);
        helper_push(capture, helper_frame(fixture->pool, STENO_FRAME_MEDIA, STENO_CODEC_VP8, 1, ZERO_US, "x", 1));
    }
    do {
        g_usleep(1000);
        steno_capture_stats(capture, &stats);
    } while (stats.frames + stats.frames_dropped < STENO_CAPTURE_SEGMENTS_MAX + 5);
    assert_int_equal(stats.frames_dropped, 5);
    finish(capture);
    assert_int_equal(helper_count_frames(fixture->folder, 1, 1, STENO_CAPTURE_SEGMENTS_MAX - 1), 1);
    assert_int_equal(helper_count_frames(fixture->folder, 1, 1, STENO_CAPTURE_SEGMENTS_MAX), -1);
}

static void frames_before_a_format_are_dropped_and_counted(void **state)
{
    Fixture *fixture = *state;
    StenoCapture *capture = helper_capture(fixture->folder, 1);
    StenoCaptureStats stats;
    helper_push(capture, helper_frame(fixture->pool, STENO_FRAME_MEDIA, STENO_CODEC_VP8, 1, ZERO_US, "x", 1));
    do {
        g_usleep(1000);
        steno_capture_stats(capture, &stats);
    } while (stats.frames_dropped == 0);
    assert_int_equal(stats.frames_dropped, 1);
    finish(capture);
}

/* A sealed file is told as such before and after it is read, and nothing else gets into it. */
static void a_file_is_sealed_as_a_whole_or_not_at_all(void **state)
{
    Fixture *fixture = *state;
    StenoCapture *capture = helper_capture(fixture->folder, 1);
    StenoCaptureStats stats;
    for (guint i = 0; i < 6; i++) {
        gboolean sealed = i >= 3;
        if (i % 3 == 0) {
            StenoFrame *format = helper_format(fixture->pool, STENO_CODEC_OPUS, 1, NULL, 0);
            format->encrypted = sealed;
            helper_push(capture, format);
        }
        StenoFrame *frame = helper_frame(fixture->pool, STENO_FRAME_MEDIA, STENO_CODEC_OPUS, 1, ZERO_US, "x", 1);
        frame->encrypted = i % 3 == 1 ? !sealed : sealed;
        helper_push(capture, frame);
    }
    do {
        g_usleep(1000);
        steno_capture_stats(capture, &stats);
    } while (stats.frames + stats.frames_dropped < 6);
    assert_int_equal(stats.frames_dropped, 2);
    finish(capture);
    assert_int_equal(helper_count_frames(fixture->folder, 1, 1, 0), 2);
    assert_int_equal(helper_count_frames(fixture->folder, 1, 1, 1), 2);
    json_t *events = helper_events(fixture->folder, 1), *event;
    size_t at;
    guint n = 0;
    json_array_foreach (events, at, event) {
        if (g_strcmp0(json_string_value(json_object_get(event, "event")), "format") == 0)
            assert_int_equal(json_is_true(json_object_get(event, "sealed")), n++ == 1);
    }
    assert_int_equal(n, 2);
    json_decref(events);
}

/* ---- gaps -------------------------------------------------------------------------------------------------------- */

static void push_gap(Fixture *fixture, StenoCapture *capture, StenoGapCause cause, gint64 first, gint64 last)
{
    StenoFrame *frame =
        helper_frame(fixture->pool, STENO_FRAME_GAP, STENO_CODEC_VP8, 1, ZERO_US + first * 1000, NULL, 0);
    frame->gap.cause = cause;
    frame->gap.first_seq = first;
    frame->gap.last_seq = last;
    frame->gap.packets = (guint32)(last - first + 1);
    frame->gap.until_rtp_ts = (last + 1) * 90;
    helper_push(capture, frame);
}

static void adjacent_gaps_of_one_cause_are_one(void **state)
{
    Fixture *fixture = *state;
    StenoCapture *capture = helper_capture(fixture->folder, 1);
    helper_push(capture, helper_format(fixture->pool, STENO_CODEC_VP8, 1, NULL, 0));
    for (gint64 seq = 100; seq < 10100; seq++)
        push_gap(fixture, capture, STENO_GAP_LOST, seq, seq);
    push_gap(fixture, capture, STENO_GAP_OVERFLOW, 10100, 10109);
    helper_push(capture, helper_frame(fixture->pool, STENO_FRAME_MEDIA, STENO_CODEC_VP8, 1, ZERO_US, "x", 1));
    push_gap(fixture, capture, STENO_GAP_OVERFLOW, 10111, 10111);
    push_gap(fixture, capture, STENO_GAP_OVERFLOW, 10113, 10114);
    finish(capture);

    json_t *events = helper_events(fixture->folder, 1);
    assert_in_range(helper_count_events(events, "gap"), 4, 5); /* the long one may be told in two pieces */
    gint64 packets = 0, last_seq = 99;
    size_t i;
    json_t *event;
    json_array_foreach (events, i, event) {
        if (g_strcmp0(json_string_value(json_object_get(event, "event")), "gap") != 0)
            continue;
        assert_true(member(event, "first_seq") > last_seq);
        last_seq = member(event, "last_seq");
        packets += member(event, "packets");
        assert_int_equal(member(event, "from"), ZERO_US + member(event, "first_seq") * 1000);
        assert_int_equal(member(event, "until"), ZERO_US + (last_seq + 1) * 1000);
        assert_int_equal(member(event, "until_rtp_ts"), (last_seq + 1) * 90);
    }
    assert_int_equal(packets, 10000 + 10 + 1 + 2);
    assert_string_equal(json_string_value(json_object_get(find_event(events, "gap", 0), "cause")), "lost");
    json_decref(events);
}

/* ---- time -------------------------------------------------------------------------------------------------------- */

static void the_wall_clock_may_jump_and_the_record_keeps_it(void **state)
{
    static const gint64 walls[] = {0, 40000, -5000000, 80000, 3600000000, 100000, 10000000000};
    Fixture *fixture = *state;
    StenoCapture *capture = helper_capture(fixture->folder, 1);
    helper_push(capture, helper_format(fixture->pool, STENO_CODEC_VP8, 1, NULL, 0));
    for (guint i = 0; i < G_N_ELEMENTS(walls); i++)
        helper_push(capture,
                    helper_frame(fixture->pool, STENO_FRAME_MEDIA, STENO_CODEC_VP8, 1, ZERO_US + walls[i], "x", 1));
    finish(capture);
    g_autoptr(StenoCaptureReader) reader = open_track(fixture, 1, 1, 0);
    StenoCaptureFrame frame;
    for (guint i = 0; i < G_N_ELEMENTS(walls); i++) {
        assert_int_equal(steno_capture_reader_next(reader, &frame), 1);
        assert_int_equal(frame.wall_us, ZERO_US + walls[i]);
    }
}

static void a_frame_before_a_silence_is_on_disk_without_another(void **state)
{
    Fixture *fixture = *state;
    StenoCapture *capture = helper_capture(fixture->folder, 1);
    StenoCaptureStats stats;
    gint64 pushed = steno_clock_mono_us();
    helper_push(capture, helper_format(fixture->pool, STENO_CODEC_VP8, 1, NULL, 0));
    helper_push(capture, helper_frame(fixture->pool, STENO_FRAME_MEDIA, STENO_CODEC_VP8, 1, ZERO_US, "x", 1));
    push_gap(fixture, capture, STENO_GAP_LOST, 1, 2);
    do {
        g_usleep(1000);
        steno_capture_stats(capture, &stats);
        assert_true(steno_clock_mono_us() < pushed + 60 * G_USEC_PER_SEC);
    } while (stats.last_sync_mono_us <= pushed);
    assert_int_equal(helper_count_frames(fixture->folder, 1, 1, 0), 1);
    json_t *events = helper_events(fixture->folder, 1);
    assert_int_equal(helper_count_events(events, "gap"), 1);
    json_decref(events);
    finish(capture);
}

/* ---- events ------------------------------------------------------------------------------------------------------ */

static void events_are_lines_and_beyond_the_ceiling_they_are_counted(void **state)
{
    Fixture *fixture = *state;
    StenoCapture *capture = helper_capture(fixture->folder, 1);
    StenoCaptureStats stats;
    const guint sent = 20 * STENO_CAPTURE_EVENTS_MAX;
    steno_capture_event(capture, json_pack("{s:s, s:I, s:s}", "event", "first", "t", (json_int_t)5, "name", "a\n\"b"));
    for (guint i = 1; i < sent; i++)
        steno_capture_event(capture, json_pack("{s:s}", "event", "more"));
    steno_capture_stats(capture, &stats);
    finish(capture);
    json_t *events = helper_events(fixture->folder, 1);
    assert_true(stats.events_dropped > 0);
    assert_int_equal(json_array_size(events) + stats.events_dropped, sent);
    assert_int_equal(member(json_array_get(events, 0), "t"), 5);
    assert_string_equal(json_string_value(json_object_get(json_array_get(events, 0), "name")), "a\n\"b");
    assert_true(member(json_array_get(events, 1), "t") > G_GINT64_CONSTANT(1500000000000000));
    json_decref(events);
}

static void queue_event(gpointer user, json_t *event)
{
    g_async_queue_push(user, event);
}

static gpointer tell_many(gpointer capture)
{
    for (guint i = 0; i < 500; i++)
        steno_capture_event(capture, json_pack("{s:s}", "event", "other"));
    return NULL;
}

/* From three threads: main, another, and the writer; with lines from before, and the last one last. */
static void numbers_lines_and_telling_have_one_order(void **state)
{
    Fixture *fixture = *state;
    GAsyncQueue *told = g_async_queue_new();
    json_t *early = json_pack("[{s:s, s:I, s:i, s:i}]", "event", "joining", "t", (json_int_t)5, "part", 3, "seq", 1);
    StenoCaptureConfig config = {.folder = fixture->folder,
                                 .part = 3,
                                 .zero_wall_us = ZERO_US,
                                 .early = early,
                                 .early_seq = 2,
                                 .told = queue_event,
                                 .user = told};
    StenoCapture *capture = steno_capture_new(&config, NULL);
    GThread *thread = g_thread_new("teller", tell_many, capture);
    steno_capture_measurement(capture, json_pack("{s:s}", "event", "clock"));
    for (guint i = 0; i < 200; i++) {
        g_autofree char *parameters = g_strdup_printf("%u", i);
        helper_push(capture, helper_format(fixture->pool, STENO_CODEC_AV1, 1, parameters, strlen(parameters)));
        helper_push(capture, helper_frame(fixture->pool, STENO_FRAME_MEDIA, STENO_CODEC_AV1, 1, i * 3000, "x", 1));
        steno_capture_event(capture, json_pack("{s:s}", "event", "more"));
    }
    g_thread_join(thread);
    steno_capture_set_last(capture, json_pack("{s:s}", "event", "ended"));
    finish(capture);
    json_t *events = helper_events(fixture->folder, 3), *line;
    size_t i;
    gint64 seq = 2;
    assert_string_equal(json_string_value(json_object_get(json_array_get(events, 0), "event")), "joining");
    json_array_foreach (events, i, line) {
        if (i == 0)
            continue;
        if (!json_object_get(line, "seq")) {
            assert_string_equal(json_string_value(json_object_get(line, "event")), "clock");
            continue;
        }
        assert_int_equal(member(line, "seq"), ++seq);
        assert_int_equal(member(line, "part"), 3);
        json_t *one = g_async_queue_try_pop(told);
        assert_true(json_equal(one, line));
        json_decref(one);
    }
    assert_null(g_async_queue_try_pop(told));
    assert_int_equal(seq, 2 + 500 + 200 + 200 + 1);
    assert_string_equal(json_string_value(json_object_get(json_array_get(events, i - 1), "event")), "ended");
    json_decref(events);
    json_decref(early);
    g_async_queue_unref(told);
}

/* ---- folders and failures ---------------------------------------------------------------------------------------- */

static void recording_json_is_written_once_and_parts_are_new(void **state)
{
    Fixture *fixture = *state;
    g_autoptr(GError) error = NULL;
    json_t *recording = json_pack("{s:s}", "id", "01J");
    StenoCaptureConfig config = {.folder = fixture->folder, .part = 1, .zero_wall_us = ZERO_US, .recording = recording};
    finish(steno_capture_new(&config, NULL));
    json_object_set_new(recording, "id", json_string("other"));
    config.part = 2;
    finish(steno_capture_new(&config, NULL));
    assert_null(steno_capture_new(&config, &error));
    assert_non_null(error);
    json_decref(recording);

    g_autofree char *path = g_build_filename(fixture->folder, "recording.json", NULL);
    json_t *read = json_load_file(path, 0, NULL);
    assert_string_equal(json_string_value(json_object_get(read, "id")), "01J");
    assert_int_equal(member(read, "zero"), ZERO_US);
    assert_int_equal(member(read, "capture_format"), STENO_CAPTURE_FORMAT);
    json_decref(read);
}

typedef struct {
    gint calls;
    gint code;
} Failure;

static void note_failure(gpointer user, const GError *error)
{
    Failure *failure = user;
    failure->code = error->code;
    g_atomic_int_inc(&failure->calls);
}

/* Pushes until it fails; what was written before must be readable. */
static void fill(Fixture *fixture, const char *folder, int expected_code)
{
    Failure failure = {0};
    g_autoptr(GError) error = NULL;
    g_autofree guint8 *noise = g_malloc(100000);
    StenoCaptureConfig config = {
        .folder = folder, .part = 1, .zero_wall_us = ZERO_US, .failed = note_failure, .user = &failure};
    StenoCaptureStats stats;
    memset(noise, 0xA5, 100000);
    StenoCapture *capture = steno_capture_new(&config, &error);
    assert_non_null(capture);
    helper_push(capture, helper_format(fixture->pool, STENO_CODEC_VP8, 1, NULL, 0));
    for (guint i = 0; !g_atomic_int_get(&failure.calls); i++)
        helper_push(capture, helper_frame(fixture->pool, STENO_FRAME_MEDIA, STENO_CODEC_VP8, 1,
                                          ZERO_US + i * G_GINT64_CONSTANT(33333), noise, 100000));
    for (guint i = 0; i < 10; i++)
        helper_push(capture, helper_frame(fixture->pool, STENO_FRAME_MEDIA, STENO_CODEC_VP8, 1, ZERO_US, noise, 100));
    do {
        g_usleep(1000);
        steno_capture_stats(capture, &stats);
    } while (stats.frames_dropped < 10);
    assert_false(steno_capture_finish(capture, &error));
    assert_int_equal(error->code, expected_code);
    assert_int_equal(failure.code, expected_code);
    assert_int_equal(failure.calls, 1);
    /* All but the cluster that failed, and whatever of that one came through whole. */
    int frames = helper_count_frames(folder, 1, 1, 0);
    assert_true(frames > 0);
    assert_true((guint64)frames + 4 >= stats.frames);
}

static void a_full_disk_fails_once_and_keeps_what_there_is(void **state)
{
    Fixture *fixture = *state;
    g_autofree char *disk = g_build_filename(fixture->folder, "disk", NULL);
    g_mkdir(disk, 0700);
    if (mount("steno", disk, "tmpfs", 0, "size=1m") != 0)
        skip(); /* not root */
    g_autofree char *folder = g_build_filename(disk, "capture", NULL);
    fill(fixture, folder, STENO_ERROR_STORAGE_FULL);
    assert_int_equal(umount2(disk, MNT_DETACH), 0);
}

static void a_file_that_may_not_grow_fails_once_and_keeps_what_there_is(void **state)
{
    Fixture *fixture = *state;
    struct rlimit before, limit;
    getrlimit(RLIMIT_FSIZE, &before);
    limit = before;
    limit.rlim_cur = 1000 * 1000 + 3;
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &limit);
    fill(fixture, fixture->folder, STENO_ERROR_STORAGE_FULL);
    setrlimit(RLIMIT_FSIZE, &before);
}

static void a_folder_that_cannot_be_made_is_told(void **state)
{
    (void)state;
    g_autoptr(GError) error = NULL;
    StenoCaptureConfig config = {.folder = "/proc/steno/capture", .part = 1, .zero_wall_us = ZERO_US};
    assert_null(steno_capture_new(&config, &error));
    assert_int_equal(error->code, STENO_ERROR_STORAGE_UNWRITABLE);
    assert_non_null(strstr(error->message, "/proc/steno/capture"));
}

static void too_many_tracks_are_dropped_and_counted(void **state)
{
    Fixture *fixture = *state;
    StenoCapture *capture = helper_capture(fixture->folder, 1);
    StenoCaptureStats stats;
    for (guint track = 1; track <= STENO_CAPTURE_TRACKS_MAX + 3; track++) {
        helper_push(capture, helper_format(fixture->pool, STENO_CODEC_VP8, track, NULL, 0));
        if (track > STENO_CAPTURE_TRACKS_MAX)
            helper_push(capture, helper_frame(fixture->pool, STENO_FRAME_MEDIA, STENO_CODEC_VP8, track, 0, "x", 1));
    }
    do {
        g_usleep(1000);
        steno_capture_stats(capture, &stats);
    } while (stats.frames_dropped < 3);
    finish(capture);
    assert_int_equal(stats.frames, 0);
}

int main(void)
{
    /* Thousands of files are synced here; how fast the disk is does not belong to it. */
    if (g_file_test("/dev/shm", G_FILE_TEST_IS_DIR))
        g_setenv("TMPDIR", "/dev/shm", TRUE);
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(every_payload_comes_back_byte_by_byte),
        TEST(format_and_parameters_come_back),
        TEST(a_new_format_begins_a_new_file_and_the_same_one_does_not),
        TEST(a_flood_of_formats_ends_at_the_ceiling),
        TEST(frames_before_a_format_are_dropped_and_counted),
        TEST(a_file_is_sealed_as_a_whole_or_not_at_all),
        TEST(adjacent_gaps_of_one_cause_are_one),
        TEST(the_wall_clock_may_jump_and_the_record_keeps_it),
        TEST(a_frame_before_a_silence_is_on_disk_without_another),
        TEST(events_are_lines_and_beyond_the_ceiling_they_are_counted),
        TEST(numbers_lines_and_telling_have_one_order),
        TEST(recording_json_is_written_once_and_parts_are_new),
        TEST(a_full_disk_fails_once_and_keeps_what_there_is),
        TEST(a_file_that_may_not_grow_fails_once_and_keeps_what_there_is),
        TEST(a_folder_that_cannot_be_made_is_told),
        TEST(too_many_tracks_are_dropped_and_counted),
    };
    return cmocka_run_group_tests_name("capture", tests, NULL, NULL);
}
