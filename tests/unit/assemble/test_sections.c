/*
 * Captures that were rotated: each section by itself, the whole of them, and all joined. The same frames are also
 * captured without a rotation, which is what the joined files must be, byte by byte.
 */
#include "place.h"

#include "steno/base/error.h"

#include <glib/gstdio.h>
#include <libavformat/avformat.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define LENGTH_US (12 * SCENE_SECOND)
#define OPUS_PACKET_US 20000

/* Key frames are each second: the pictures change over 300 and 800 ms after the seams. */
static const gint64 seams_us[] = {3700000, 8200000};
static const gint64 changes_us[] = {4000000, 9000000};
#define SECTIONS 3

static const Clip *sound_clip(void)
{
    return clip_make(STENO_CODEC_OPUS, "sine=f=440:d=12:r=48000", "-ac 2 -c:a libopus");
}

static const Clip *vp8_clip(void)
{
    return clip_make(STENO_CODEC_VP8, "testsrc2=s=320x180:r=30:d=12",
                     "-c:v libvpx -b:v 500k -g 30 -keyint_min 30 -deadline realtime -auto-alt-ref 0");
}

static const Clip *h264_clip(void)
{
    return clip_make(STENO_CODEC_H264, "testsrc2=s=320x180:r=30:d=12", SCENE_X264);
}

/* One section's frames of a participant: its sound, and its picture, which changes over later. */
static void play(Scene *scene, guint section, guint track, const Clip *clip)
{
    const gint64 *cuts = steno_codec_is_video(clip->codec) ? changes_us : seams_us;
    Play play = {.track = track, .clip = clip, .rtp_base = 77777, .jitter_us = 20000, .goes_on = section > 1};
    play.from_us = play.at_us = section > 1 ? cuts[section - 2] : 0;
    play.until_us = section < SECTIONS ? cuts[section - 1] : LENGTH_US;
    play.offset_us = 5 * SCENE_SECOND;
    assert_true(scene_play(scene, &play) > 0);
}

static void tell_stats(Scene *scene, guint track, gint64 at_us, guint packets)
{
    json_t *event = json_pack("{s:s, s:i, s:i, s:I}", "event", "stats", "track", (int)track, "packets", (int)packets,
                              "t", (json_int_t)(SCENE_ZERO_US + at_us));
    steno_capture_measurement(scene->capture, event);
}

/* Two participants with sound and picture, and a pause of nobody's frames over the first seam. */
static void capture(const char *folder, gboolean rotate)
{
    Scene *scene = scene_open(folder, 1);
    scene_event(scene, 0, "{s:s, s:s}", "event", "state", "state", "recording");
    for (guint i = 0; i < 2; i++) {
        g_autofree char *id = g_strdup_printf("%u", 17 + i);
        scene_join(scene, 0, id, i ? "Bob" : "Ann");
        scene_track(scene, 0, 2 * i + 1, id, "0", sound_clip());
        scene_track(scene, 0, 2 * i + 2, id, "1", i ? h264_clip() : vp8_clip());
    }
    for (guint section = 1; section <= SECTIONS; section++) {
        for (guint i = 0; i < 2; i++) {
            play(scene, section, 2 * i + 1, sound_clip());
            play(scene, section, 2 * i + 2, i ? h264_clip() : vp8_clip());
        }
        /* Figures count from each part's beginning. */
        tell_stats(scene, 1, section * SCENE_SECOND, rotate ? 100 : 100 * section);
        if (section < SECTIONS && rotate)
            scene = scene_rotate(scene, section, seams_us[section - 1]);
    }
    scene_close(scene, "ended");
}

static void assemble_section(Place *place, guint section, gboolean join)
{
    StenoAssembleOptions options = {
        .capture = place->capture, .output = place->output, .section = section, .join = join};
    GError *error = NULL;
    json_decref(place->manifest);
    place->manifest = NULL;
    if (!steno_assemble(&options, &place->manifest, &error))
        fail_msg("%s", error->message);
}

static void expect_error(const Place *place, guint section, gboolean join, StenoError code)
{
    StenoAssembleOptions options = {
        .capture = place->capture, .output = place->output, .section = section, .join = join};
    g_autoptr(GError) error = NULL;
    assert_false(steno_assemble(&options, NULL, &error));
    if (!g_error_matches(error, STENO_ERROR, (gint)code))
        fail_msg("another error: %s", error->message);
}

static void verify(const Place *place)
{
    g_autoptr(GError) error = NULL;
    if (!steno_verify(place->output, &(StenoVerifyEvents){.fault = place_print_fault}, NULL, &error))
        fail_msg("%s", error->message);
}

static void expect_fault(const Place *place)
{
    g_autoptr(GError) error = NULL;
    assert_false(steno_verify(place->output, &(StenoVerifyEvents){0}, NULL, &error));
    assert_true(g_error_matches(error, STENO_ERROR, STENO_ERROR_VERIFY_FAILED));
}

/* What job does once a section is proven in storage. */
static void store(const Place *place, guint section, gboolean remove)
{
    g_autoptr(GArray) sections = steno_capture_sections(place->capture, NULL);
    assert_true(sections && section <= sections->len);
    const StenoCaptureSection *row = &g_array_index(sections, StenoCaptureSection, section - 1);
    assert_true(steno_capture_section_stored(place->capture, row, json_incref(place->manifest), NULL));
    for (guint part = row->first_part; remove && part <= row->last_part; part++) {
        g_autofree char *path = g_strdup_printf("%s/part-%04u", place->capture, part);
        scene_remove(path);
    }
}

static char *read_file(const Place *place, const char *name)
{
    g_autofree char *path = g_build_filename(place->output, name, NULL);
    char *text = NULL;
    if (!g_file_get_contents(path, &text, NULL, NULL))
        fail_msg("%s is not there", path);
    return text;
}

/* ---- packets ----------------------------------------------------------------------------------------------------- */

typedef struct {
    GPtrArray *data; /* of GBytes */
    GArray *at_us;   /* by wall clock */
} Packets;

static void packets_init(Packets *packets)
{
    packets->data = g_ptr_array_new_with_free_func((GDestroyNotify)g_bytes_unref);
    packets->at_us = g_array_new(FALSE, FALSE, sizeof(gint64));
}

static void packets_clear(Packets *packets)
{
    g_ptr_array_unref(packets->data);
    g_array_unref(packets->at_us);
}

static gint64 zero_of(const json_t *output)
{
    return json_object_get(output, "zero_us") ? place_integer(output, "zero_us") : SCENE_ZERO_US;
}

/* All packets of one kind of stream of a file, behind those that are there already. */
static void read_packets(const Place *place, guint output, guint stream, Packets *packets)
{
    g_autofree char *path = place_path(place, output);
    AVFormatContext *input = NULL;
    assert_int_equal(avformat_open_input(&input, path, NULL, NULL), 0);
    AVPacket *packet = av_packet_alloc();
    while (av_read_frame(input, packet) >= 0) {
        if ((guint)packet->stream_index == stream) {
            gint64 at_us = zero_of(place_output(place, output)) +
                           av_rescale_q(packet->pts, input->streams[stream]->time_base, (AVRational){1, 1000000});
            g_ptr_array_add(packets->data, g_bytes_new(packet->data, (gsize)packet->size));
            g_array_append_val(packets->at_us, at_us);
        }
        av_packet_unref(packet);
    }
    av_packet_free(&packet);
    avformat_close_input(&input);
}

/* A packet that begins before its section does cannot be put there; the next ones are in their places again. */
static gint64 slack_at(gint64 at_us)
{
    for (guint i = 0; i < G_N_ELEMENTS(seams_us); i++)
        if (ABS(at_us - SCENE_ZERO_US - seams_us[i]) < 2 * OPUS_PACKET_US)
            return OPUS_PACKET_US / 2;
    return 2500;
}

static void expect_same_packets(const Packets *sections, const Packets *joined)
{
    assert_int_equal(sections->data->len, joined->data->len);
    for (guint i = 0; i < joined->data->len; i++) {
        gint64 at_us = g_array_index(joined->at_us, gint64, i);
        assert_true(g_bytes_equal(sections->data->pdata[i], joined->data->pdata[i]));
        place_assert_near(g_array_index(sections->at_us, gint64, i), at_us, slack_at(at_us));
    }
}

/* ---- tests ------------------------------------------------------------------------------------------------------- */

/* As if nothing had been rotated: the same bytes, of files and manifest. */
static void test_joined(void **state)
{
    (void)state;
    for (int audio = STENO_AUDIO_COPY; audio <= STENO_AUDIO_AAC; audio++) {
        Place place, plain;
        place_init(&place);
        place_init(&plain);
        capture(place.capture, TRUE);
        capture(plain.capture, FALSE);
        StenoAssembleOptions options = {.output = place.output, .capture = place.capture, .join = TRUE, .audio = audio};
        assert_true(steno_assemble(&options, NULL, NULL));
        verify(&place);
        place_assemble_with(&plain, STENO_OUTPUTS_PARTICIPANT, (StenoAudio)audio);
        g_autofree char *a = read_file(&place, "manifest.json"); /* holds each file's hash */
        g_autofree char *b = read_file(&plain, "manifest.json");
        assert_string_equal(a, b);
        place_clear(&place);
        place_clear(&plain);
    }
}

static void expect_section(const Place *place, guint section)
{
    static const char *const extensions[] = {"webm", "mp4"};
    gint64 begin_us = section > 1 ? seams_us[section - 2] : 0;
    assert_int_equal(json_array_size(json_object_get(place->manifest, "outputs")), 2);
    assert_int_equal(json_array_size(json_object_get(place->manifest, "gaps")), 0);
    assert_int_equal(json_array_size(json_object_get(place->manifest, "problems")), 0);
    for (guint i = 0; i < 2; i++) {
        const json_t *output = place_output(place, i);
        g_autofree char *name = g_strdup_printf("%s.%03u.%s", i ? "Bob" : "Ann", section, extensions[i]);
        assert_string_equal(json_string_value(json_object_get(output, "file")), name);
        assert_int_equal(place_integer(output, "section"), section);
        assert_int_equal(place_integer(output, "zero_us"), SCENE_ZERO_US + begin_us);
        gint64 picture_us = section > 1 ? changes_us[section - 2] - begin_us : 0;
        gint64 until_us = section < SECTIONS ? changes_us[section - 1] : LENGTH_US;
        place_assert_near(place_integer(place_stream(place, i, 0), "first_us"), picture_us, 5000);
        place_assert_near(place_integer(place_stream(place, i, 0), "end_us"), until_us - begin_us, 5000);
        place_assert_near(place_integer(place_stream(place, i, 1), "first_us"), 0, OPUS_PACKET_US);
        assert_int_equal(place_integer(place_stream(place, i, 1), "silence_packets"), 0);
        place_decode(place, i);
    }
}

/* No frame in two sections, none lost: one after the other, their packets are those of the joined file. */
static void test_packets(void **state)
{
    (void)state;
    Place place, joined;
    place_init(&place);
    place_init(&joined);
    capture(place.capture, TRUE);
    capture(joined.capture, FALSE);
    place_assemble(&joined);
    Packets sections[2][2], all[2][2];
    for (guint i = 0; i < 4; i++) {
        packets_init(&sections[i / 2][i % 2]);
        packets_init(&all[i / 2][i % 2]);
        read_packets(&joined, i / 2, i % 2, &all[i / 2][i % 2]);
    }
    for (guint section = 1; section <= SECTIONS; section++) {
        assemble_section(&place, section, FALSE);
        expect_section(&place, section);
        for (guint i = 0; i < 4; i++)
            read_packets(&place, i / 2, i % 2, &sections[i / 2][i % 2]);
    }
    for (guint i = 0; i < 4; i++) {
        expect_same_packets(&sections[i / 2][i % 2], &all[i / 2][i % 2]);
        packets_clear(&sections[i / 2][i % 2]);
        packets_clear(&all[i / 2][i % 2]);
    }
    place_clear(&place);
    place_clear(&joined);
}

/* As job does it: each section is stored and its parts are taken away; the end brings the rest and the whole. */
static void make_whole(Place *place)
{
    capture(place->capture, TRUE);
    for (guint section = 1; section < SECTIONS; section++) {
        expect_error(place, 0, FALSE, STENO_ERROR_CONFLICT);
        assemble_section(place, section, FALSE);
        const json_t *recording = json_object_get(place->manifest, "recording");
        assert_string_equal(json_string_value(json_object_get(recording, "end_reason")), "rotated");
        store(place, section, TRUE);
        expect_error(place, section, FALSE, STENO_ERROR_CONFLICT);
        expect_error(place, 0, TRUE, STENO_ERROR_CONFLICT);
    }
    expect_error(place, SECTIONS + 1, FALSE, STENO_ERROR_NOT_FOUND);
    assemble_section(place, 0, FALSE);
}

static void test_whole(void **state)
{
    (void)state;
    Place place;
    place_init(&place);
    make_whole(&place);
    verify(&place);
    const json_t *recording = json_object_get(place.manifest, "recording");
    assert_int_equal(json_array_size(json_object_get(place.manifest, "outputs")), 2 * SECTIONS);
    assert_int_equal(json_array_size(json_object_get(place.manifest, "tracks")), 4 * SECTIONS);
    assert_int_equal(json_array_size(json_object_get(place.manifest, "gaps")), 0);
    assert_int_equal(json_array_size(json_object_get(recording, "parts")), SECTIONS);
    assert_int_equal(place_integer(recording, "zero_us"), SCENE_ZERO_US);
    assert_string_equal(json_string_value(json_object_get(recording, "end_reason")), "stopped");
    const json_t *sections = json_object_get(recording, "sections");
    assert_int_equal(json_array_size(sections), SECTIONS);
    for (guint i = 0; i < SECTIONS; i++) {
        const json_t *row = json_array_get(sections, i);
        g_autofree char *name = i + 1 < SECTIONS ? steno_manifest_name(i + 1) : NULL;
        assert_int_equal(place_integer(row, "from_us"), SCENE_ZERO_US + (i ? seams_us[i - 1] : 0));
        assert_int_equal(g_strcmp0(json_string_value(json_object_get(row, "manifest")), name), 0);
    }
    /* Who stayed over the seams was there once, and all the time. */
    const json_t *ann = json_array_get(json_object_get(place.manifest, "participants"), 0);
    assert_string_equal(json_string_value(json_object_get(ann, "name")), "Ann");
    assert_int_equal(json_array_size(json_object_get(ann, "present")), 1);
    assert_int_equal(json_array_size(json_object_get(ann, "tracks")), 2 * SECTIONS);
    /* Again, the same bytes; and also when the last one is stored and nothing is left but to tell it all. */
    g_autofree char *first = read_file(&place, "manifest.json");
    assemble_section(&place, 0, FALSE);
    g_autofree char *second = read_file(&place, "manifest.json");
    assert_string_equal(first, second);
    place_clear(&place);
}

static void change(const Place *place, const char *name, const char *from, const char *into)
{
    g_autofree char *text = read_file(place, name);
    g_autofree char *path = g_build_filename(place->output, name, NULL);
    char *at = strstr(text, from);
    assert_non_null(at);
    assert_int_equal(strlen(from), strlen(into));
    memcpy(at, into, strlen(into));
    assert_true(g_file_set_contents(path, text, -1, NULL));
}

/* The whole tells one file more of a section than its own manifest does, and that file is there and sound. */
static void add_output(const Place *place)
{
    g_autofree char *path = g_build_filename(place->output, "manifest.json", NULL);
    g_autofree char *text = read_file(place, "manifest.json");
    g_autofree char *sound = place_path(place, 0);
    g_autofree char *copy = g_build_filename(place->output, "Eve.001.webm", NULL);
    g_free(scene_run("cp %s %s", sound, copy));
    json_t *manifest = json_loads(text, 0, NULL);
    json_t *outputs = json_object_get(manifest, "outputs");
    json_t *more = json_deep_copy(json_array_get(outputs, 0));
    json_object_set_new(more, "file", json_string("Eve.001.webm"));
    json_array_append_new(outputs, more);
    assert_int_equal(json_dump_file(manifest, path, 0), 0);
    json_decref(manifest);
    expect_fault(place);
    assert_int_equal(g_unlink(copy), 0);
    assert_true(g_file_set_contents(path, text, -1, NULL));
    verify(place);
}

/* Each manifest of a section is held against the whole; a signature or a timestamp is no stranger. */
static void test_tampering(void **state)
{
    (void)state;
    static const char *const lies[][2] = {
        {"\"name\": \"steno\"", "\"name\": \"stenO\""},
        {"\"id\": \"01JD", "\"id\": \"01JX"},
        {"\"number\": 1", "\"number\": 7"},
        {"\"decodable_frames\": ", "\"decodable_frames\": 1"},
        {"\"state\": \"completed\"", "\"state\": \"completeD\""},
        {"\"section\": 1", "\"section\": 2"},
        {"\"silence_packets\": 0", "\"silence_packets\": 3"},
    };
    Place place;
    place_init(&place);
    make_whole(&place);
    g_autofree char *text = read_file(&place, "manifest.001.json");
    g_autofree char *path = g_build_filename(place.output, "manifest.001.json", NULL);
    for (guint i = 0; i < G_N_ELEMENTS(lies); i++) {
        gsize bytes = MIN(strlen(lies[i][0]), strlen(lies[i][1]));
        g_autofree char *from = g_strndup(lies[i][0], bytes), *into = g_strndup(lies[i][1], bytes);
        if (strcmp(from, into) == 0) { /* one digit more */
            g_auto(GStrv) halves = g_strsplit(text, lies[i][0], 2);
            g_autofree char *longer = g_strconcat(halves[0], lies[i][1], halves[1], NULL);
            assert_true(g_file_set_contents(path, longer, -1, NULL));
        } else {
            change(&place, "manifest.001.json", from, into);
        }
        expect_fault(&place);
        assert_true(g_file_set_contents(path, text, -1, NULL));
    }
    assert_int_equal(g_unlink(path), 0);
    expect_fault(&place);
    assert_true(g_file_set_contents(path, text, -1, NULL));
    static const char *const beside[] = {"manifest.json.sig", "manifest.json.tsr", "manifest.002.json.sig"};
    for (guint i = 0; i < G_N_ELEMENTS(beside); i++) {
        g_autofree char *proof = g_build_filename(place.output, beside[i], NULL);
        assert_true(g_file_set_contents(proof, "x", -1, NULL));
    }
    verify(&place);
    add_output(&place);
    g_autofree char *foreign = g_build_filename(place.output, "manifest.009.json", NULL);
    assert_true(g_file_set_contents(foreign, text, -1, NULL));
    expect_fault(&place);
    place_clear(&place);
}

/* Joined in the end, but the storage did not let the sections go: they are known, and checked. */
static void test_left_over(void **state)
{
    (void)state;
    Place place;
    place_init(&place);
    capture(place.capture, TRUE);
    assemble_section(&place, 1, FALSE);
    g_autofree char *left = place_path(&place, 0);
    assemble_section(&place, 0, TRUE);
    verify(&place);
    assert_int_equal(g_unlink(left), 0);
    expect_fault(&place);
    place_clear(&place);
}

/* A crash inside of the second section; the recorder that follows begins its numbers anew. */
static void crash(const char *folder, gboolean rotate)
{
    Scene *scene = scene_open(folder, 1);
    scene_join(scene, 0, "17", "Ann");
    scene_track(scene, 0, 1, "17", "0", sound_clip());
    play(scene, 1, 1, sound_clip());
    if (rotate)
        scene = scene_rotate(scene, 1, seams_us[0]);
    play(scene, 2, 1, sound_clip());
    scene_close(scene, NULL);
    scene = scene_open(folder, rotate ? 3 : 2);
    scene_event(scene, 9 * SCENE_SECOND, "{s:s, s:s, s:b}", "event", "state", "state", "joining", "early", 1);
    scene_join(scene, 10 * SCENE_SECOND, "17", "Ann");
    scene_track(scene, 10 * SCENE_SECOND, 1, "17", "0", sound_clip());
    Play last = {.track = 1, .clip = sound_clip(), .at_us = 10 * SCENE_SECOND, .from_us = 10 * SCENE_SECOND};
    scene_play(scene, &last);
    scene_close(scene, "ended");
}

static void test_crash(void **state)
{
    (void)state;
    Place place, plain;
    place_init(&place);
    place_init(&plain);
    crash(place.capture, TRUE);
    crash(plain.capture, FALSE);
    assemble_section(&place, 0, TRUE);
    place_assemble(&plain);
    g_autofree char *a = read_file(&place, "manifest.json"), *b = read_file(&plain, "manifest.json");
    assert_string_equal(a, b);
    assemble_section(&place, 1, FALSE);
    assert_int_equal(json_array_size(json_object_get(place.manifest, "gaps")), 0);
    store(&place, 1, TRUE);
    assemble_section(&place, 0, FALSE);
    assert_int_equal(place_count_gaps(&place, "recorder"), 1);
    const json_t *gap = place_gap(&place, "recorder", 0);
    assert_int_equal(place_integer(gap, "part"), 2);
    place_assert_near(place_integer(gap, "from_us"), SCENE_ZERO_US + seams_us[1], 25000);
    place_assert_near(place_integer(gap, "until_us"), SCENE_ZERO_US + 10 * SCENE_SECOND, 5000);
    assert_int_equal(json_array_size(json_object_get(place.manifest, "outputs")), 2);
    place_clear(&place);
    place_clear(&plain);
}

/* The recorder dies just after it has rotated: what follows is another one's, and the hole is told. */
static void test_crash_at_seam(void **state)
{
    (void)state;
    for (int join = 0; join < 2; join++) {
        Place place;
        place_init(&place);
        Scene *scene = scene_open(place.capture, 1);
        scene_join(scene, 0, "17", "Ann");
        scene_track(scene, 0, 1, "17", "0", sound_clip());
        play(scene, 1, 1, sound_clip());
        Scene *next = scene_rotate(scene, 1, seams_us[0]);
        g_autofree char *gone = g_strdup_printf("%s/part-0002", place.capture);
        scene_close(next, NULL);
        scene_remove(gone);
        scene = scene_open(place.capture, 2);
        scene_event(scene, 9 * SCENE_SECOND, "{s:s, s:s, s:b}", "event", "state", "state", "joining", "early", 1);
        scene_join(scene, 10 * SCENE_SECOND, "17", "Ann");
        scene_track(scene, 10 * SCENE_SECOND, 1, "17", "0", sound_clip());
        scene_play(scene, &(Play){.track = 1, .clip = sound_clip(), .at_us = 10 * SCENE_SECOND});
        scene_close(scene, "ended");
        if (!join) {
            assemble_section(&place, 1, FALSE);
            store(&place, 1, TRUE);
        }
        assemble_section(&place, 0, join);
        verify(&place);
        assert_int_equal(place_count_gaps(&place, "recorder"), 1);
        place_assert_near(place_integer(place_gap(&place, "recorder", 0), "until_us"),
                          SCENE_ZERO_US + 10 * SCENE_SECOND, 5000);
        if (join)
            assert_int_equal(json_array_size(json_object_get(place_stream(&place, 0, 0), "tracks")), 2);
        place_clear(&place);
    }
}

/* Nobody says anything in the first section: no file, no failure of the whole. */
static void test_silent_section(void **state)
{
    (void)state;
    Place place;
    place_init(&place);
    Scene *scene = scene_open(place.capture, 1);
    scene_join(scene, 0, "17", "Ann");
    scene_track(scene, 0, 1, "17", "0", sound_clip());
    scene = scene_rotate(scene, 1, seams_us[0]);
    play(scene, 2, 1, sound_clip());
    scene_close(scene, "ended");
    expect_error(&place, 1, FALSE, STENO_ERROR_NOTHING_RECORDED);
    g_autofree char *text = read_file(&place, "manifest.001.json");
    place.manifest = steno_manifest_parse(text, strlen(text), NULL);
    assert_non_null(place.manifest);
    const json_t *recording = json_object_get(place.manifest, "recording");
    assert_string_equal(json_string_value(json_object_get(recording, "state")), "completed");
    store(&place, 1, TRUE);
    assemble_section(&place, 0, FALSE);
    verify(&place);
    assert_int_equal(json_array_size(json_object_get(place.manifest, "outputs")), 1);
    place_clear(&place);
}

/* A pause over a seam is one, and so is who is muted; sound that is silent at the seam fills both files up to it. */
static void pause_over_seam(const char *folder, gboolean rotate)
{
    Scene *scene = scene_open(folder, 1);
    scene_event(scene, 0, "{s:s, s:s}", "event", "state", "state", "recording");
    scene_join(scene, 0, "17", "Ann");
    scene_track(scene, 0, 1, "17", "0", sound_clip());
    Play sound = {.track = 1, .clip = sound_clip(), .until_us = 2 * SCENE_SECOND};
    scene_play(scene, &sound);
    gint64 from_us = 2 * SCENE_SECOND, until_us = 6 * SCENE_SECOND;
    scene_event(scene, from_us, "{s:s, s:s}", "event", "state", "state", "paused");
    if (rotate) {
        scene_event(scene, seams_us[0], "{s:s, s:n, s:s, s:I, s:I}", "event", "gap", "track", "cause", "paused", "from",
                    (json_int_t)(SCENE_ZERO_US + from_us), "until", (json_int_t)(SCENE_ZERO_US + seams_us[0]));
        scene = scene_rotate(scene, 1, seams_us[0]);
        scene_event(scene, seams_us[0], "{s:s, s:s}", "event", "state", "state", "paused");
        from_us = seams_us[0];
    }
    scene_event(scene, until_us, "{s:s, s:n, s:s, s:I, s:I}", "event", "gap", "track", "cause", "paused", "from",
                (json_int_t)(SCENE_ZERO_US + from_us), "until", (json_int_t)(SCENE_ZERO_US + until_us));
    scene_event(scene, until_us, "{s:s, s:s}", "event", "state", "state", "recording");
    sound = (Play){.track = 1, .clip = sound_clip(), .from_us = until_us, .at_us = until_us, .goes_on = TRUE};
    scene_play(scene, &sound);
    scene_close(scene, "ended");
}

static void test_pause(void **state)
{
    (void)state;
    Place place, plain;
    place_init(&place);
    place_init(&plain);
    pause_over_seam(place.capture, TRUE);
    pause_over_seam(plain.capture, FALSE);
    assemble_section(&place, 0, TRUE);
    place_assemble(&plain);
    g_autofree char *a = read_file(&place, "manifest.json"), *b = read_file(&plain, "manifest.json");
    assert_string_equal(a, b);
    assemble_section(&place, 1, FALSE);
    const json_t *gap = place_gap(&place, "paused", 0);
    assert_int_equal(place_integer(gap, "until_us"), SCENE_ZERO_US + seams_us[0]);
    assemble_section(&place, 2, FALSE);
    gap = place_gap(&place, "paused", 0);
    assert_int_equal(place_integer(gap, "from_us"), SCENE_ZERO_US + seams_us[0]);
    assert_int_equal(json_array_size(json_object_get(place.manifest, "gaps")), 1);
    place_assert_near(place_samples(&place, 0), 83 * 4800, 1500); /* from the seam to 12 s */
    place_clear(&place);
    place_clear(&plain);
}

/* Two of one name: behind the seam they are told in another order, and keep their files' names all the same. */
static void test_namesakes(void **state)
{
    (void)state;
    Place place;
    place_init(&place);
    Scene *scene = scene_open(place.capture, 1);
    for (guint i = 0; i < 2; i++) {
        const char *id = i ? "18" : "17";
        scene_join(scene, 0, id, "Ann");
        scene_track(scene, 0, i + 1, id, "0", sound_clip());
        play(scene, 1, i + 1, sound_clip());
    }
    size_t i = 1; /* the second one is told first */
    while (strcmp(json_string_value(json_object_get(json_array_get(scene->announced, i), "event")),
                  "participant_joined") != 0)
        i++;
    json_array_insert(scene->announced, 0, json_array_get(scene->announced, i));
    scene = scene_rotate(scene, 1, seams_us[0]);
    for (guint track = 1; track <= 2; track++)
        play(scene, 2, track, sound_clip());
    scene_close(scene, "ended");
    for (guint section = 1; section <= 2; section++) {
        assemble_section(&place, section, FALSE);
        g_autofree char *wanted = g_strdup_printf("Ann-18.%03u.webm", section);
        assert_string_equal(json_string_value(json_object_get(place_output(&place, 1), "file")), wanted);
        assert_string_equal(json_string_value(json_object_get(place_output(&place, 1), "participant")), "18");
    }
    place_clear(&place);
}

/* A picture that could not wait for a key frame: in the section it begins with the next one, joined nothing is missing.
 */
static void test_no_keyframe_at_seam(void **state)
{
    (void)state;
    Place place;
    place_init(&place);
    Scene *scene = scene_open(place.capture, 1);
    scene_join(scene, 0, "17", "Ann");
    scene_track(scene, 0, 1, "17", "0", vp8_clip());
    Play picture = {.track = 1, .clip = vp8_clip(), .until_us = 3500000};
    guint frames = scene_play(scene, &picture);
    scene = scene_rotate(scene, 1, 3500000);
    picture = (Play){.track = 1, .clip = vp8_clip(), .from_us = 3500000, .at_us = 3500000, .goes_on = TRUE};
    frames += scene_play(scene, &picture);
    scene_close(scene, "ended");
    assemble_section(&place, 0, TRUE);
    assert_int_equal(place_integer(place_stream(&place, 0, 0), "frames"), frames);
    assert_int_equal(json_array_size(json_object_get(place.manifest, "gaps")), 0);
    place_decode(&place, 0);
    assemble_section(&place, 2, FALSE);
    assert_int_equal(place_count_gaps(&place, "no-keyframe"), 1);
    place_assert_near(place_integer(place_stream(&place, 0, 0), "first_us"), 500000, 5000);
    place_decode(&place, 0);
    place_clear(&place);
}

/* ---- damage ------------------------------------------------------------------------------------------------------ */

/* More than any frame has. */
#define DAMAGE_BYTES 30000

static void take_problem(gpointer user, const char *words)
{
    g_ptr_array_add(user, g_strdup(words));
}

/* A bit in the middle of a closed file, many bytes there, or its end are not what was written: told, and what hangs on
 * them left out. */
static void test_damage(void **state)
{
    (void)state;
    for (guint damage = 0; damage < 3; damage++) {
        Place place;
        place_init(&place);
        Scene *scene = scene_open(place.capture, 1);
        scene_join(scene, 0, "17", "Ann");
        scene_track(scene, 0, 1, "17", "0", vp8_clip());
        guint frames = scene_play(scene, &(Play){.track = 1, .clip = vp8_clip()});
        scene_close(scene, "ended");
        g_autofree char *path = g_build_filename(place.capture, "part-0001", "track-0001.0.mkv", NULL);
        g_autofree char *data = NULL;
        gsize bytes;
        assert_true(g_file_get_contents(path, &data, &bytes, NULL));
        if (damage == 0)
            data[bytes / 2] ^= 4;
        else
            memset(data + (damage == 1 ? bytes / 2 : bytes - DAMAGE_BYTES), 0, DAMAGE_BYTES);
        assert_true(g_file_set_contents(path, data, (gssize)bytes, NULL));
        place_assemble(&place); /* and verifies: it is no fault of the files */
        assert_true(place_integer(place_stream(&place, 0, 0), "frames") < frames);
        guint gaps = place_count_gaps(&place, "damaged"); /* more than one where something between could be read */
        const json_t *gap = place_gap(&place, "damaged", gaps - 1);
        assert_int_equal(json_is_null(json_object_get(gap, "until_us")), damage == 2);
        place_decode(&place, 0); /* no picture refers to one that is missing */
        g_autoptr(GPtrArray) problems = g_ptr_array_new_with_free_func(g_free);
        assert_true(steno_verify(place.output, &(StenoVerifyEvents){.problem = take_problem}, problems, NULL));
        assert_int_equal(problems->len, 1);
        assert_true(g_str_has_prefix(problems->pdata[0], "part-0001/track-0001.0.mkv is damaged: "));
        place_clear(&place);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_joined),
        cmocka_unit_test(test_packets),
        cmocka_unit_test(test_whole),
        cmocka_unit_test(test_tampering),
        cmocka_unit_test(test_left_over),
        cmocka_unit_test(test_crash),
        cmocka_unit_test(test_crash_at_seam),
        cmocka_unit_test(test_silent_section),
        cmocka_unit_test(test_pause),
        cmocka_unit_test(test_namesakes),
        cmocka_unit_test(test_no_keyframe_at_seam),
        cmocka_unit_test(test_damage),
    };
    av_log_set_level(AV_LOG_WARNING);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
