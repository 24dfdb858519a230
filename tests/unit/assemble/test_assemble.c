/* Captures of real clips through the real writer, assembled; what came out is read by ffmpeg and ffprobe. */
#include "place.h"

#include "steno/base/error.h"

#include <glib/gstdio.h>
#include <libavutil/log.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- a late picture, for each codec ------------------------------------------------------------------------------ */

typedef struct {
    StenoCodec codec;
    const char *encoder, *container;
} VideoCase;

static void test_late_video(void **state)
{
    (void)state;
    static const VideoCase cases[] = {
        {STENO_CODEC_VP8, "-c:v libvpx -b:v 500k -g 30 -deadline realtime -auto-alt-ref 0", "webm"},
        {STENO_CODEC_VP9, "-c:v libvpx-vp9 -b:v 500k -g 30 -deadline realtime -cpu-used 8", "webm"},
        {STENO_CODEC_H264, SCENE_X264, "mp4"},
        {STENO_CODEC_H265,
         "-pix_fmt yuv420p -c:v libx265 -preset ultrafast -tune zerolatency -x265-params log-level=none", "mp4"},
        {STENO_CODEC_AV1, "-pix_fmt yuv420p -c:v libaom-av1 -usage realtime -cpu-used 8 -g 30", "mp4"},
    };
    const Clip *opus = clip_make(STENO_CODEC_OPUS, "sine=f=440:d=6:r=48000", "-ac 2 -c:a libopus");
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        const Clip *video = clip_make(cases[i].codec, SCENE_PICTURES, cases[i].encoder);
        Place place;
        place_init(&place);
        Scene *scene = scene_open(place.capture, 1);
        scene_join(scene, SCENE_SECOND, "17", "Ann");
        scene_track(scene, SCENE_SECOND, 1, "17", "0", opus);
        scene_track(scene, 3 * SCENE_SECOND, 2, "17", "1", video);
        guint sounds = scene_play(scene, &(Play){.track = 1,
                                                 .clip = opus,
                                                 .at_us = SCENE_SECOND,
                                                 .rtp_base = 5000,
                                                 .offset_us = 3600 * SCENE_SECOND,
                                                 .jitter_us = 30000});
        guint pictures = scene_play(scene, &(Play){.track = 2,
                                                   .clip = video,
                                                   .at_us = 3 * SCENE_SECOND,
                                                   .rtp_base = -100,
                                                   .offset_us = 3600 * SCENE_SECOND,
                                                   .jitter_us = 60000});
        scene_close(scene, "ended");
        place_assemble(&place);
        assert_int_equal(json_array_size(json_object_get(place.manifest, "outputs")), 1);
        const char *file = json_string_value(json_object_get(place_output(&place, 0), "file"));
        g_autofree char *wanted = g_strdup_printf("Ann.%s", cases[i].container);
        assert_string_equal(file, wanted);
        assert_int_equal(place_integer(place_stream(&place, 0, 0), "frames"), pictures);
        assert_int_equal(place_integer(place_stream(&place, 0, 1), "frames"), sounds);
        place_decode(&place, 0);
        g_autoptr(GArray) times = place_times(&place, 0, 0);
        assert_int_equal(times->len, pictures);
        place_assert_near(place_time_at(times, 0), 3 * SCENE_SECOND, 4000);
        /* As even as they were: a container of milliseconds rounds. */
        gint64 rounding = strcmp(cases[i].container, "mp4") == 0 ? 30 : 600;
        for (guint f = 1; f < times->len; f++)
            place_assert_near(place_time_at(times, f) - place_time_at(times, 0),
                              g_array_index(video->pts_us, gint64, f), rounding * 2);
        g_autoptr(GArray) sound_times = place_times(&place, 0, 1);
        assert_int_equal(place_time_at(sound_times, 0), 0);
        place_assert_near(place_integer(place_stream(&place, 0, 1), "first_us"), SCENE_SECOND - 6500, 4000);
        place_assert_near(place_integer(place_output(&place, 0), "duration_us"), 7 * SCENE_SECOND, 40000);
        place_assert_near(place_samples(&place, 0), 7 * 48000, 1500);
        place_clear(&place);
    }
}

/* ---- one participant, much happening ----------------------------------------------------------------------------- */

/* A shared screen with two pictures a second is the last that is heard of a participant: WebM does not say how long. */
static void test_slow_pictures(void **state)
{
    (void)state;
    const Clip *video = clip_make(STENO_CODEC_VP8, "testsrc2=s=320x180:r=2:d=6", "-c:v libvpx -deadline realtime");
    Place place;
    place_init(&place);
    Scene *scene = scene_open(place.capture, 1);
    scene_join(scene, 0, "17", "Ann");
    scene_track(scene, 0, 1, "17", "0", video);
    guint pictures = scene_play(scene, &(Play){.track = 1, .clip = video});
    scene_close(scene, "ended");
    place_assemble(&place); /* and verifies */
    assert_int_equal(place_integer(place_stream(&place, 0, 0), "frames"), pictures);
    place_assert_near(place_integer(place_stream(&place, 0, 0), "end_us"), 6 * SCENE_SECOND, 5000);
    place_clear(&place);
}

/* Sound is silent for 2 s (no packets), the picture goes away and comes back on another track. */
static void test_mute_and_rejoin(void **state)
{
    (void)state;
    const Clip *opus = clip_opus();
    const Clip *video = clip_h264("320x180");
    Place place;
    place_init(&place);
    Scene *scene = scene_open(place.capture, 1);
    scene_join(scene, 0, "17", "Bob/..");
    scene_track(scene, 0, 1, "17", "0", opus);
    scene_track(scene, 0, 2, "17", "1", video);
    guint sounds = scene_play(scene, &(Play){.track = 1, .clip = opus, .until_us = 2 * SCENE_SECOND});
    sounds +=
        scene_play(scene, &(Play){.track = 1, .clip = opus, .at_us = 4 * SCENE_SECOND, .from_us = 4 * SCENE_SECOND});
    scene_event(scene, 3 * SCENE_SECOND, "{s:s, s:i, s:s}", "event", "muted", "track", 1, "evidence", "rtp");
    scene_event(scene, 4 * SCENE_SECOND, "{s:s, s:i, s:s}", "event", "unmuted", "track", 1, "evidence", "rtp");
    guint pictures = scene_play(scene, &(Play){.track = 2, .clip = video, .until_us = SCENE_SECOND});
    scene_track(scene, 3 * SCENE_SECOND, 3, "17", "5", video);
    pictures += scene_play(scene, &(Play){.track = 3, .clip = video, .at_us = 3 * SCENE_SECOND, .rtp_base = 1 << 30});
    scene_close(scene, "ended");
    place_assemble(&place);
    assert_int_equal(json_array_size(json_object_get(place.manifest, "outputs")), 1);
    assert_string_equal(json_string_value(json_object_get(place_output(&place, 0), "file")), "Bob_.mp4");
    assert_int_equal(json_array_size(json_object_get(place_output(&place, 0), "streams")), 2);
    assert_int_equal(place_integer(place_stream(&place, 0, 0), "frames"), pictures);
    assert_int_equal(place_integer(place_stream(&place, 0, 1), "frames"), sounds);
    place_assert_near(place_integer(place_stream(&place, 0, 1), "silence_packets"), 150,
                      2); /* 2 s, and 1 s at the end */
    g_autoptr(GArray) times = place_times(&place, 0, 0);
    place_assert_near(place_time_at(times, 30), 3 * SCENE_SECOND, 4000);
    /* Sound goes on in silence until the last picture begins. */
    place_assert_near(place_samples(&place, 0), 7 * 48000 - 1600, 500);
    place_decode(&place, 0);
    const json_t *mutes = json_object_get(json_array_get(json_object_get(place.manifest, "tracks"), 0), "mutes");
    assert_int_equal(json_array_size(mutes), 1);
    place_clear(&place);
}

/* The sender's clock begins anew in the middle of a track, in another place: its time goes on. */
static void test_new_source(void **state)
{
    (void)state;
    const Clip *opus = clip_opus();
    const Clip *video = clip_h264("320x180");
    for (int reports = 0; reports < 2; reports++) {
        Place place;
        place_init(&place);
        Scene *scene = scene_open(place.capture, 1);
        scene_join(scene, 0, "17", "Ivy");
        scene_track(scene, 0, 1, "17", "0", opus);
        scene_track(scene, 0, 2, "17", "1", video);
        Play sound = {.track = 1, .clip = opus, .jitter_us = 20000, .no_reports = !reports};
        Play picture = {.track = 2, .clip = video, .jitter_us = 20000, .no_reports = !reports};
        guint sounds = scene_play(scene, &sound), pictures = scene_play(scene, &picture);
        sound.at_us = picture.at_us = 8 * SCENE_SECOND;
        sound.rtp_base = picture.rtp_base = 500000000;
        sounds += scene_play(scene, &sound);
        pictures += scene_play(scene, &picture);
        scene_close(scene, "ended");
        place_assemble(&place);
        assert_int_equal(place_integer(place_stream(&place, 0, 0), "frames"), pictures);
        assert_int_equal(place_integer(place_stream(&place, 0, 1), "frames"), sounds);
        g_autoptr(GArray) times = place_times(&place, 0, 0);
        place_assert_near(place_time_at(times, 0), 0, 5000);
        place_assert_near(place_time_at(times, 120), 8 * SCENE_SECOND, 5000);
        place_assert_near(place_samples(&place, 0), 14 * 48000, 1500);
        place_decode(&place, 0);
        place_clear(&place);
    }
}

/* The sender's clock steps in the middle of the sound: what the reports say holds on each side, nothing is dropped. */
static void test_clock_step(void **state)
{
    (void)state;
    const Clip *opus = clip_make(STENO_CODEC_OPUS, "sine=f=440:d=12:r=48000", "-ac 2 -c:a libopus");
    static const gint64 steps_us[] = {300000, -300000};
    for (guint i = 0; i < G_N_ELEMENTS(steps_us); i++) {
        Place place;
        place_init(&place);
        Scene *scene = scene_open(place.capture, 1);
        scene_join(scene, 0, "17", "Jo");
        scene_track(scene, 0, 1, "17", "0", opus);
        guint before = scene_play(scene, &(Play){.track = 1, .clip = opus, .until_us = 5 * SCENE_SECOND});
        guint after = scene_play(
            scene,
            &(Play){.track = 1, .clip = opus, .from_us = 5 * SCENE_SECOND, .at_us = 5 * SCENE_SECOND + steps_us[i]});
        scene_close(scene, "ended");
        place_assemble(&place);
        guint silence = steps_us[i] > 0 ? 15 : 0; /* 300 ms */
        assert_int_equal(place_integer(place_stream(&place, 0, 0), "frames"), before + after);
        place_assert_near(place_integer(place_stream(&place, 0, 0), "silence_packets"), silence, 1);
        g_autoptr(GArray) times = place_times(&place, 0, 0);
        for (guint t = 1; t < times->len; t++)
            assert_true(place_time_at(times, t) > place_time_at(times, t - 1));
        place_assert_near(place_time_at(times, before - 1), (before - 1) * 20000 - 6500, 4000);
        place_assert_near(place_time_at(times, times->len - 1), (before + after - 1) * 20000 - 6500 + steps_us[i],
                          4000);
        place_decode(&place, 0);
        place_clear(&place);
    }
}

/* An SFU switches layers, and guesses the RTP time of the new one: the same again, a few ticks or 20 ms back. */
static void test_layer_switch(void **state)
{
    (void)state;
    static const gint64 back_ticks[] = {0, 5, 1800};
    for (guint codec = 0; codec < 2; codec++)
        for (guint i = 0; i < G_N_ELEMENTS(back_ticks); i++) {
            const Clip *video = codec ? clip_vp8() : clip_h264("320x180");
            Place place;
            place_init(&place);
            Scene *scene = scene_open(place.capture, 1);
            scene_join(scene, 0, "17", "Kim");
            scene_track(scene, 0, 1, "17", "0", video);
            guint frames = scene_play(scene, &(Play){.track = 1, .clip = video, .until_us = 2 * SCENE_SECOND});
            frames += scene_play(scene, &(Play){.track = 1,
                                                .clip = video,
                                                .from_us = 2 * SCENE_SECOND,
                                                .at_us = 2 * SCENE_SECOND - SCENE_SECOND / 30,
                                                .rtp_base = -3000 - back_ticks[i]});
            scene_close(scene, "ended");
            place_assemble(&place);
            assert_int_equal(place_integer(place_stream(&place, 0, 0), "frames"), frames);
            g_autoptr(GArray) times = place_times(&place, 0, 0);
            assert_int_equal(times->len, frames);
            for (guint t = 1; t < times->len; t++)
                assert_true(place_time_at(times, t) > place_time_at(times, t - 1));
            place_assert_near(place_time_at(times, 60) - place_time_at(times, 59), codec ? 1000 : 11,
                              2); /* the least step of each */
            place_assert_near(place_time_at(times, 61) - place_time_at(times, 59), 33333 - back_ticks[i] * 100 / 9,
                              1000);
            place_decode(&place, 0);
            place_clear(&place);
        }
}

static void check_sizes(const Place *place, const char *first, const char *last)
{
    g_autofree char *path = place_path(place, 0);
    g_autofree char *text =
        scene_run("ffprobe -v error -select_streams v:0 -show_entries frame=width,height -of csv=p=0 %s", path);
    g_auto(GStrv) lines = g_strsplit(g_strstrip(text), "\n", -1);
    assert_true(g_str_has_prefix(lines[0], first));
    assert_true(g_str_has_prefix(lines[g_strv_length(lines) - 1], last));
}

/* Another resolution half-way, with other parameter sets: one file, one stream. */
static void test_resolution_change(void **state)
{
    (void)state;
    const struct {
        StenoCodec codec;
        const char *encoder, *extension;
    } cases[] = {
        {STENO_CODEC_H264, SCENE_X264, "mp4"},
        {STENO_CODEC_H265,
         "-pix_fmt yuv420p -c:v libx265 -preset ultrafast -tune zerolatency -x265-params log-level=none", "mp4"},
        {STENO_CODEC_VP8, "-c:v libvpx -b:v 500k -g 30 -deadline realtime -auto-alt-ref 0", "webm"},
    };
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        const Clip *small = clip_make(cases[i].codec, "testsrc2=s=320x180:r=30:d=2", cases[i].encoder);
        const Clip *large = clip_make(cases[i].codec, "testsrc2=s=640x360:r=30:d=2", cases[i].encoder);
        Place place;
        place_init(&place);
        Scene *scene = scene_open(place.capture, 1);
        scene_join(scene, 0, "17", "");
        scene_track(scene, 0, 1, "17", "0", small);
        guint frames = scene_play(scene, &(Play){.track = 1, .clip = small});
        frames += scene_play(scene, &(Play){.track = 1, .clip = large, .at_us = 2 * SCENE_SECOND, .rtp_base = 180000});
        scene_close(scene, "ended");
        place_assemble(&place);
        g_autofree char *wanted = g_strdup_printf("17.%s", cases[i].extension);
        assert_string_equal(json_string_value(json_object_get(place_output(&place, 0), "file")), wanted);
        assert_int_equal(json_array_size(json_object_get(place_output(&place, 0), "streams")), 1);
        assert_int_equal(place_integer(place_stream(&place, 0, 0), "frames"), frames);
        check_sizes(&place, "320,180", "640,360");
        place_decode(&place, 0);
        place_clear(&place);
    }
}

/* The recorder dies in the first part: its files are torn; a second part goes on. */
static void test_torn_part(void **state)
{
    (void)state;
    const Clip *opus = clip_opus();
    const Clip *video = clip_vp8();
    Place place;
    place_init(&place);
    for (guint part = 1; part <= 2; part++) {
        gint64 at_us = (part - 1) * 8 * SCENE_SECOND;
        Scene *scene = scene_open(place.capture, part);
        scene_join(scene, at_us, "17", "Cleo");
        scene_track(scene, at_us, 1, "17", "0", opus);
        scene_track(scene, at_us, 2, "17", "1", video);
        scene_play(scene, &(Play){.track = 1, .clip = opus, .at_us = at_us, .rtp_base = part * 7777});
        scene_play(scene, &(Play){.track = 2, .clip = video, .at_us = at_us, .rtp_base = part * 99999});
        scene_close(scene, part == 2 ? "ended" : NULL);
    }
    g_autofree char *torn = g_build_filename(place.capture, "part-0001", "track-0002.0.mkv", NULL);
    GStatBuf status;
    assert_int_equal(g_stat(torn, &status), 0);
    assert_int_equal(truncate(torn, status.st_size * 2 / 3), 0);
    g_autofree char *events = g_build_filename(place.capture, "part-0001", "events.jsonl", NULL);
    FILE *file = g_fopen(events, "a");
    fputs("{\"garbage\n{\"t\": 17950000", file);
    fclose(file);
    place_assemble(&place);
    assert_int_equal(json_array_size(json_object_get(place.manifest, "outputs")), 1);
    assert_int_equal(json_array_size(json_object_get(place_output(&place, 0), "streams")), 2);
    assert_int_equal(place_count_gaps(&place, "recorder"), 1);
    assert_int_equal(json_array_size(json_object_get(place.manifest, "problems")), 1); /* the torn last line is none */
    const json_t *parts = json_object_get(json_object_get(place.manifest, "recording"), "parts");
    assert_string_equal(json_string_value(json_object_get(json_array_get(parts, 0), "end")), "torn");
    assert_string_equal(json_string_value(json_object_get(json_array_get(parts, 1), "end")), "clean");
    place_assert_near(place_samples(&place, 0), 14 * 48000, 1500);
    place_decode(&place, 0);
    place_clear(&place);
}

static void expect_gap(const json_t *gap, guint part, gint64 from_us, gint64 until_us)
{
    assert_int_equal(place_integer(gap, "part"), part);
    assert_true(json_is_null(json_object_get(gap, "track")));
    place_assert_near(place_integer(gap, "from_us") - SCENE_ZERO_US, from_us, 1000);
    place_assert_near(place_integer(gap, "until_us") - SCENE_ZERO_US, until_us, 1000);
}

/* Paused for 3 s, then a crash while it is paused again; what was told before the next part is no part of it; and the
 * ending, in a part of its own. */
static void test_pause(void **state)
{
    (void)state;
    const Clip *opus = clip_opus();
    Place place;
    place_init(&place);
    Scene *scene = scene_open(place.capture, 1);
    scene_event(scene, -2 * SCENE_SECOND, "{s:s, s:s, s:b}", "event", "state", "state", "joining", "early", 1);
    scene_event(scene, 0, "{s:s, s:s}", "event", "state", "state", "recording");
    scene_join(scene, 0, "17", "Ida");
    scene_track(scene, 0, 1, "17", "0", opus);
    Play play = {.track = 1, .clip = opus, .until_us = 2 * SCENE_SECOND};
    scene_play(scene, &play);
    scene_event(scene, 2 * SCENE_SECOND, "{s:s, s:s}", "event", "state", "state", "paused");
    scene_event(scene, 5 * SCENE_SECOND, "{s:s, s:n, s:s, s:I, s:I}", "event", "gap", "track", "cause", "paused",
                "from", (json_int_t)(SCENE_ZERO_US + 2 * SCENE_SECOND), "until",
                (json_int_t)(SCENE_ZERO_US + 5 * SCENE_SECOND));
    scene_event(scene, 5 * SCENE_SECOND, "{s:s, s:s}", "event", "state", "state", "recording");
    play = (Play){.track = 1,
                  .clip = opus,
                  .at_us = 5 * SCENE_SECOND,
                  .from_us = 0,
                  .until_us = SCENE_SECOND,
                  .rtp_base = 5 * 48000};
    scene_play(scene, &play);
    scene_event(scene, 6 * SCENE_SECOND, "{s:s, s:s}", "event", "state", "state", "paused");
    scene_event(scene, 7 * SCENE_SECOND, "{s:s, s:s}", "event", "participant_left", "participant", "17");
    scene_close(scene, NULL);
    scene = scene_open(place.capture, 2);
    scene_event(scene, 8 * SCENE_SECOND, "{s:s, s:s, s:b}", "event", "state", "state", "joining", "early", 1);
    scene_event(scene, 10 * SCENE_SECOND, "{s:s, s:s, s:n, s:b}", "event", "ended", "end_reason", "join-failed",
                "error", "early", 0);
    scene_close(scene, NULL);
    place_assemble(&place);
    expect_gap(place_gap(&place, "paused", 0), 1, 2 * SCENE_SECOND, 5 * SCENE_SECOND);
    expect_gap(place_gap(&place, "paused", 1), 1, 6 * SCENE_SECOND, 7 * SCENE_SECOND);
    expect_gap(place_gap(&place, "recorder", 0), 1, 7 * SCENE_SECOND, 10 * SCENE_SECOND);
    assert_int_equal(json_array_size(json_object_get(place.manifest, "gaps")), 3);
    const json_t *recording = json_object_get(place.manifest, "recording");
    assert_string_equal(json_string_value(json_object_get(recording, "end_reason")), "join-failed");
    const json_t *parts = json_object_get(recording, "parts");
    assert_string_equal(json_string_value(json_object_get(json_array_get(parts, 0), "end")), "torn");
    assert_string_equal(json_string_value(json_object_get(json_array_get(parts, 1), "end")), "clean");
    place_assert_near(place_integer(json_array_get(parts, 0), "from_us"), SCENE_ZERO_US, 1000);
    place_assert_near(place_integer(json_array_get(parts, 1), "from_us"), SCENE_ZERO_US + 10 * SCENE_SECOND, 1000);
    place_assert_near(place_samples(&place, 0), 6 * 48000, 1500);
    place_decode(&place, 0);
    place_clear(&place);
}

/* What the recording was asked for is in its manifest; what makes no sense of it is not. */
static void test_labels(void **state)
{
    (void)state;
    Place place;
    place_init(&place);
    Scene *scene = scene_open(place.capture, 1);
    scene_join(scene, 0, "17", "Jon");
    scene_track(scene, 0, 1, "17", "0", clip_opus());
    scene_play(scene, &(Play){.track = 1, .clip = clip_opus()});
    scene_close(scene, "ended");
    place_assemble(&place);
    const json_t *recording = json_object_get(place.manifest, "recording");
    assert_string_equal(json_string_value(json_object_get(recording, "app")), "");
    assert_int_equal(json_object_size(json_object_get(recording, "labels")), 0);
    g_autofree char *path = g_build_filename(place.capture, "recording.json", NULL);
    json_t *asked = json_load_file(path, 0, NULL);
    json_object_set_new(asked, "app", json_string("clinic"));
    json_object_set_new(asked, "platform_name", json_string("janus-1"));
    json_object_set_new(asked, "labels", json_pack("{s:s, s:i}", "case", "17", "number", 17));
    assert_int_equal(json_dump_file(asked, path, 0), 0);
    json_decref(asked);
    place_assemble(&place);
    recording = json_object_get(place.manifest, "recording");
    assert_string_equal(json_string_value(json_object_get(recording, "app")), "clinic");
    assert_string_equal(json_string_value(json_object_get(recording, "platform_name")), "janus-1");
    const json_t *labels = json_object_get(recording, "labels");
    assert_int_equal(json_object_size(labels), 1);
    assert_string_equal(json_string_value(json_object_get(labels, "case")), "17");
    place_clear(&place);
}

/* Frames are lost: what refers to them is left out, and told. */
static void test_lost_frames(void **state)
{
    (void)state;
    const Clip *video = clip_vp8();
    Place place;
    place_init(&place);
    Scene *scene = scene_open(place.capture, 1);
    scene_join(scene, 0, "17", "Dan");
    scene_track(scene, 0, 1, "17", "0", video);
    guint frames = scene_play(scene, &(Play){.track = 1, .clip = video, .lost_from = 40, .lost_until = 43});
    assert_int_equal(frames, 117);
    scene_close(scene, "ended");
    place_assemble(&place);
    assert_int_equal(place_integer(place_stream(&place, 0, 0), "frames"),
                     120 - 20); /* 40 to 59: the next key frame is 60 */
    const json_t *gap = json_array_get(json_object_get(place.manifest, "gaps"), 0);
    assert_int_equal(place_count_gaps(&place, "no-keyframe"), 1);
    assert_int_equal(place_integer(gap, "frames"), 17);
    place_assert_near(place_integer(gap, "from_us") - SCENE_ZERO_US, 43 * SCENE_SECOND / 30, 4000);
    place_assert_near(place_integer(gap, "until_us") - SCENE_ZERO_US, 2 * SCENE_SECOND, 4000);
    place_decode(&place, 0);
    place_clear(&place);
}

/* Camera and screen at the same time: two streams, the camera is the default. By tracks: a file each. */
static void test_screen_share(void **state)
{
    (void)state;
    const Clip *camera = clip_h264("320x180");
    const Clip *screen = clip_h264("640x360");
    const Clip *opus = clip_opus();
    Place place;
    place_init(&place);
    Scene *scene = scene_open(place.capture, 1);
    scene_join(scene, 0, "17", "Eve");
    scene_track(scene, 0, 1, "17", "0", opus);
    scene_track(scene, 0, 2, "17", "1", camera);
    scene_track(scene, SCENE_SECOND, 3, "17", "2", screen);
    scene_play(scene, &(Play){.track = 1, .clip = opus});
    scene_play(scene, &(Play){.track = 2, .clip = camera});
    scene_play(scene, &(Play){.track = 3, .clip = screen, .at_us = SCENE_SECOND});
    scene_close(scene, "ended");
    place_assemble(&place);
    assert_int_equal(json_array_size(json_object_get(place.manifest, "outputs")), 1);
    assert_int_equal(json_array_size(json_object_get(place_output(&place, 0), "streams")), 3);
    assert_true(json_is_true(json_object_get(place_stream(&place, 0, 0), "default")));
    assert_true(json_is_false(json_object_get(place_stream(&place, 0, 1), "default")));
    g_autoptr(GArray) times = place_times(&place, 0, 1);
    place_assert_near(place_time_at(times, 0), SCENE_SECOND, 4000);
    place_decode(&place, 0);
    place_assemble_with(&place, STENO_OUTPUTS_TRACK,
                        STENO_AUDIO_COPY); /* replaces: the verification finds nothing foreign */
    assert_int_equal(json_array_size(json_object_get(place.manifest, "outputs")), 3);
    for (guint i = 0; i < 3; i++)
        place_decode(&place, i);
    place_clear(&place);
}

/* What no other container takes goes into Matroska, one stream a codec. */
static void test_mixtures(void **state)
{
    (void)state;
    const Clip *vp8 = clip_vp8();
    const Clip *h264 = clip_h264("320x180");
    const Clip *pcmu = clip_make(STENO_CODEC_PCMU, "sine=f=440:d=6:r=8000", "-ac 1 -c:a pcm_mulaw");
    const Clip *pcma = clip_make(STENO_CODEC_PCMA, "sine=f=440:d=6:r=8000", "-ac 1 -c:a pcm_alaw");
    Place place;
    place_init(&place);
    Scene *scene = scene_open(place.capture, 1);
    scene_join(scene, 0, "17", "Same");
    scene_join(scene, 0, "18", "same");
    scene_track(scene, 0, 1, "17", "0", vp8);
    scene_track(scene, 0, 2, "17", "1", pcmu);
    scene_track(scene, 0, 3, "18", "0", pcma);
    scene_play(scene, &(Play){.track = 1, .clip = vp8});
    scene_play(scene, &(Play){.track = 1, .clip = h264, .at_us = 4 * SCENE_SECOND, .rtp_base = 4 * 90000});
    scene_play(scene, &(Play){.track = 2, .clip = pcmu, .at_us = SCENE_SECOND});
    scene_play(scene, &(Play){.track = 3, .clip = pcma, .at_us = SCENE_SECOND});
    scene_close(scene, "ended");
    place_assemble(&place);
    assert_string_equal(json_string_value(json_object_get(place_output(&place, 0), "file")), "Same.mkv");
    assert_string_equal(json_string_value(json_object_get(place_output(&place, 1), "file")), "same-18.mka");
    assert_int_equal(json_array_size(json_object_get(place_output(&place, 0), "streams")), 3);
    place_decode(&place, 0);
    place_decode(&place, 1);
    place_assert_near(place_samples(&place, 0), 8 * 48000, 2000);
    place_assert_near(place_samples(&place, 1), 7 * 48000, 1500);
    place_clear(&place);
}

/* AAC: the tone begins where it began, and a sender whose clock is slow does not drift away. */
static void test_aac(void **state)
{
    (void)state;
    const Clip *opus = clip_opus();
    const Clip *video = clip_h264("320x180");
    const Clip *pcmu = clip_make(STENO_CODEC_PCMU, "sine=f=440:d=6:r=8000", "-ac 1 -c:a pcm_mulaw");
    Place place;
    place_init(&place);
    Scene *scene = scene_open(place.capture, 1);
    scene_join(scene, 0, "17", "Fay");
    scene_track(scene, 0, 1, "17", "0", opus);
    scene_track(scene, 0, 2, "17", "1", video);
    scene_track(scene, 0, 3, "17", "0", pcmu);
    scene_play(scene, &(Play){.track = 1, .clip = opus, .at_us = SCENE_SECOND});
    scene_play(scene, &(Play){.track = 2, .clip = video});
    scene_play(scene, &(Play){.track = 3, .clip = pcmu, .at_us = 8 * SCENE_SECOND});
    scene_close(scene, "ended");
    place_assemble_with(&place, STENO_OUTPUTS_PARTICIPANT, STENO_AUDIO_AAC);
    assert_string_equal(json_string_value(json_object_get(place_output(&place, 0), "file")), "Fay.mp4");
    assert_int_equal(json_array_size(json_object_get(place_output(&place, 0), "streams")), 2);
    place_decode(&place, 0);
    place_assert_near(place_samples(&place, 0), 14 * 48000, 2048);
    g_autofree char *path = place_path(&place, 0);
    g_autofree char *text =
        scene_run("sh -c \"ffmpeg -nostdin -hide_banner -i %s -map 0:a -af silencedetect=n=-40dB:d=0.5 -f null - "
                  "2>&1 | grep -o 'silence_[a-z]*: [0-9.]*' | cut -d' ' -f2\"",
                  path);
    g_auto(GStrv) lines = g_strsplit(g_strstrip(text), "\n", -1);
    static const double told[] = {0, 1, 1, 7, 8, 1}; /* from, until, how long, twice */
    assert_int_equal(g_strv_length(lines), G_N_ELEMENTS(told));
    for (guint i = 0; i < G_N_ELEMENTS(told); i++)
        place_assert_near((gint64)(g_ascii_strtod(lines[i], NULL) * 1e6), (gint64)(told[i] * 1e6), 20000);
    place_clear(&place);
}

/* B-frames, as broadcast gear sends them: decode order in the file, presentation times kept. */
static void test_b_frames(void **state)
{
    (void)state;
    const Clip *video =
        clip_make(STENO_CODEC_H264, SCENE_PICTURES, "-pix_fmt yuv420p -c:v libx264 -preset ultrafast -g 30 -bf 2");
    Place place;
    place_init(&place);
    Scene *scene = scene_open(place.capture, 1);
    scene_join(scene, 0, "17", "Gus");
    scene_track(scene, 0, 1, "17", "0", video);
    guint frames = scene_play(scene, &(Play){.track = 1, .clip = video, .at_us = SCENE_SECOND, .no_reports = TRUE});
    scene_close(scene, "ended");
    place_assemble(&place);
    assert_int_equal(place_integer(place_stream(&place, 0, 0), "frames"), frames);
    place_decode(&place, 0);
    g_autoptr(GArray) times = place_times(&place, 0, 0);
    for (guint i = 1; i < times->len; i++)
        place_assert_near(place_time_at(times, i) - place_time_at(times, 0),
                          g_array_index(video->pts_us, gint64, i) - g_array_index(video->pts_us, gint64, 0), 60);
    place_clear(&place);
}

/* ---- promises ---------------------------------------------------------------------------------------------------- */

static char *hashes(const Place *place)
{
    GString *all = g_string_new(NULL);
    g_autofree char *path = g_build_filename(place->output, "manifest.json", NULL);
    g_autofree char *text = NULL;
    assert_true(g_file_get_contents(path, &text, NULL, NULL)); /* holds the hash of every file */
    g_string_append(all, text);
    return g_string_free(all, FALSE);
}

static void make_everything(Place *place)
{
    const Clip *opus = clip_opus();
    const Clip *vp8 = clip_vp8();
    const Clip *h264 = clip_h264("320x180");
    Scene *scene = scene_open(place->capture, 1);
    for (int i = 0; i < 2; i++) {
        g_autofree char *id = g_strdup_printf("%d", 17 + i);
        scene_join(scene, 0, id, "");
        scene_track(scene, 0, (guint)i * 2 + 1, id, "0", opus);
        scene_track(scene, 0, (guint)i * 2 + 2, id, "1", i ? vp8 : h264);
        scene_play(scene, &(Play){.track = (guint)i * 2 + 1, .clip = opus, .jitter_us = 40000});
        scene_play(scene, &(Play){.track = (guint)i * 2 + 2, .clip = i ? vp8 : h264, .at_us = SCENE_SECOND});
    }
    scene_close(scene, "ended");
}

/* Same capture in, same bytes out: again, in another place, and with AAC. */
static void test_same_bytes(void **state)
{
    (void)state;
    Place place;
    place_init(&place);
    make_everything(&place);
    for (int audio = STENO_AUDIO_COPY; audio <= STENO_AUDIO_AAC; audio++) {
        place_assemble_with(&place, STENO_OUTPUTS_PARTICIPANT, (StenoAudio)audio);
        assert_int_equal(json_array_size(json_object_get(place.manifest, "problems")), 0);
        g_autofree char *first = hashes(&place);
        Place other = {.output = scene_folder()};
        g_autofree char *elsewhere = scene_folder();
        other.capture = g_build_filename(elsewhere, "a much longer name of a folder", NULL);
        g_free(scene_run("cp -r %s '%s'", place.capture, other.capture));
        place_assemble_with(&other, STENO_OUTPUTS_PARTICIPANT, (StenoAudio)audio);
        g_autofree char *second = hashes(&other);
        assert_string_equal(first, second);
        place_assemble_with(&place, STENO_OUTPUTS_PARTICIPANT, (StenoAudio)audio);
        g_autofree char *third = hashes(&place);
        assert_string_equal(first, third);
        place_clear(&other);
        scene_remove(elsewhere);
    }
    place_clear(&place);
}

static void count_fault(gpointer user, const char *file, const char *words)
{
    (void)file;
    (void)words;
    ++*(guint *)user;
}

static void expect_fault(const Place *place)
{
    guint faults = 0;
    g_autoptr(GError) error = NULL;
    assert_false(steno_verify(place->output, &(StenoVerifyEvents){.fault = count_fault}, &faults, &error));
    assert_true(faults > 0);
    assert_true(g_error_matches(error, STENO_ERROR, STENO_ERROR_VERIFY_FAILED));
}

static void expect_sound(const Place *place)
{
    assert_true(steno_verify(place->output, &(StenoVerifyEvents){.fault = place_print_fault}, NULL, NULL));
}

/* Every change is found, and what is put back is sound again. */
static void test_tampering(void **state)
{
    (void)state;
    Place place;
    place_init(&place);
    make_everything(&place);
    place_assemble(&place);
    for (guint i = 0; i < 3; i++) {
        g_autofree char *path = i < 2 ? place_path(&place, i) : g_build_filename(place.output, "manifest.json", NULL);
        g_autofree char *data = NULL;
        gsize bytes;
        assert_true(g_file_get_contents(path, &data, &bytes, NULL));
        data[bytes / 2] ^= 1;
        assert_true(g_file_set_contents(path, data, (gssize)bytes, NULL));
        if (i < 2) /* a bit of the manifest may be one that means nothing */
            expect_fault(&place);
        data[bytes / 2] ^= 1;
        assert_true(g_file_set_contents(path, data, (gssize)bytes - 1 - (i == 2), NULL));
        expect_fault(&place);
        assert_int_equal(g_unlink(path), 0);
        expect_fault(&place);
        assert_true(g_file_set_contents(path, data, (gssize)bytes, NULL));
        expect_sound(&place);
    }
    g_autofree char *extra = g_build_filename(place.output, "extra", NULL);
    assert_true(g_file_set_contents(extra, "", 0, NULL));
    expect_fault(&place);
    assert_int_equal(g_unlink(extra), 0);
    /* A manifest that is wrong about a file, with the file's hash being right. */
    static const char *const lies[] = {"duration_us", "size_bytes"};
    g_autofree char *path = g_build_filename(place.output, "manifest.json", NULL);
    for (guint i = 0; i < G_N_ELEMENTS(lies); i++) {
        json_t *manifest = json_deep_copy(place.manifest);
        json_t *output = json_array_get(json_object_get(manifest, "outputs"), 0);
        json_object_set_new(output, lies[i], json_integer(place_integer(output, lies[i]) + 500000));
        assert_int_equal(json_dump_file(manifest, path, 0), 0);
        expect_fault(&place);
        json_decref(manifest);
    }
    json_t *stream =
        json_array_get(json_object_get(json_array_get(json_object_get(place.manifest, "outputs"), 1), "streams"), 0);
    json_object_set_new(stream, "packets", json_integer(place_integer(stream, "packets") + 1));
    assert_int_equal(json_dump_file(place.manifest, path, 0), 0);
    expect_fault(&place);
    place_clear(&place);
}

static void expect_error(const Place *place, StenoError code)
{
    StenoAssembleOptions options = {.capture = place->capture, .output = place->output};
    g_autoptr(GError) error = NULL;
    assert_false(steno_assemble(&options, NULL, &error));
    assert_true(g_error_matches(error, STENO_ERROR, code));
}

static void test_nothing(void **state)
{
    (void)state;
    Place place;
    place_init(&place);
    expect_error(&place, STENO_ERROR_CAPTURE_DAMAGED);
    Scene *scene = scene_open(place.capture, 1);
    scene_join(scene, 0, "17", "Hal");
    scene_close(scene, "ended");
    expect_error(&place, STENO_ERROR_NOTHING_RECORDED);
    expect_sound(&place); /* the manifest is there, and says so */
    place_clear(&place);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_late_video),
        cmocka_unit_test(test_slow_pictures),
        cmocka_unit_test(test_mute_and_rejoin),
        cmocka_unit_test(test_new_source),
        cmocka_unit_test(test_clock_step),
        cmocka_unit_test(test_layer_switch),
        cmocka_unit_test(test_resolution_change),
        cmocka_unit_test(test_torn_part),
        cmocka_unit_test(test_lost_frames),
        cmocka_unit_test(test_screen_share),
        cmocka_unit_test(test_mixtures),
        cmocka_unit_test(test_aac),
        cmocka_unit_test(test_b_frames),
        cmocka_unit_test(test_same_bytes),
        cmocka_unit_test(test_tampering),
        cmocka_unit_test(test_nothing),
        cmocka_unit_test(test_pause),
        cmocka_unit_test(test_labels),
    };
    av_log_set_level(AV_LOG_WARNING);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
