/*
 * Captures of channels that are encrypted by themselves, sealed in whole or in part, assembled with keys, with wrong
 * ones and with none. What comes out with the right ones must be what the same capture in the clear gives, byte by
 * byte.
 */
#include "place.h"

#include "steno/base/error.h"

#include <gio/gio.h>
#include <glib/gstdio.h>
#include <libavutil/log.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define SEED 3
#define WRONG_SEED 4
#define KID G_GUINT64_CONSTANT(18446744073709551615)

/* ---- assembling -------------------------------------------------------------------------------------------------- */

/* The keys that are given, and what was asked for. */
typedef struct {
    const char *keys; /* the rows of a key set; NULL: there are none */
    const char *more; /* members of the set */
    guint asked;
    json_t *wanted;
} Keys;

static StenoSecret *give_keys(gpointer user, const json_t *wanted)
{
    Keys *keys = user;
    keys->asked++;
    json_decref(keys->wanted);
    keys->wanted = json_deep_copy(wanted);
    if (!keys->keys)
        return NULL;
    g_autofree char *text = g_strdup_printf("{\"suite\":4,%s\"keys\":[%s]}", keys->more ? keys->more : "", keys->keys);
    return steno_secret_new(text, strlen(text));
}

/* TRUE, or the code of what went wrong in *code. Whatever came out is verified. */
static gboolean try_assemble(Place *place, StenoAssembleOptions options, Keys *keys, int *code)
{
    g_autoptr(GError) error = NULL, fault = NULL;
    options.capture = options.capture ? options.capture : place->capture;
    options.output = place->output;
    options.keys = keys ? give_keys : NULL;
    options.user = keys;
    json_decref(place->manifest);
    place->manifest = NULL;
    gboolean done = steno_assemble(&options, &place->manifest, &error);
    assert_true(done == !error);
    if (error)
        print_message("%s\n", error->message);
    *code = error ? error->code : 0;
    g_autofree char *name = steno_manifest_name(options.section);
    g_autofree char *path = g_build_filename(place->output, name, NULL);
    if (!place->manifest)
        place->manifest = json_load_file(path, 0, NULL);
    if (place->manifest && options.section == 0 &&
        !steno_verify(place->output, &(StenoVerifyEvents){.fault = place_print_fault}, NULL, &fault))
        fail_msg("%s", fault->message);
    return done;
}

static void assemble(Place *place, StenoAssembleOptions options, Keys *keys)
{
    int code;
    assert_true(try_assemble(place, options, keys, &code));
}

static const char *text_of(const json_t *row, const char *name)
{
    const char *text = json_string_value(json_object_get(row, name));
    return text ? text : "";
}

static gboolean is_sealed(const json_t *output)
{
    return strcmp(text_of(output, "kind"), "sealed") == 0;
}

static guint count_outputs(const Place *place, gboolean sealed)
{
    guint n = 0;
    size_t i;
    const json_t *output;
    json_array_foreach (json_object_get(place->manifest, "outputs"), i, output)
        n += is_sealed(output) == sealed;
    return n;
}

/* Do both have the same media files? */
static void assert_same_media(const Place *a, const Place *b)
{
    assert_int_equal(count_outputs(a, FALSE), count_outputs(b, FALSE));
    for (guint i = 0; i < count_outputs(a, FALSE); i++) {
        const json_t *x = place_output(a, i), *y = place_output(b, i);
        if (!json_equal(x, y)) {
            json_dumpf(x, stdout, JSON_COMPACT);
            puts("");
            json_dumpf(y, stdout, JSON_COMPACT);
            puts("");
        }
        assert_true(json_equal(x, y));
    }
}

/* Nothing of the clip may be in any file of the folder. */
static void assert_nothing_of(const char *folder, const Clip *clip)
{
    g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
    const char *name;
    guint files = 0;
    while ((name = g_dir_read_name(dir))) {
        g_autofree char *path = g_build_filename(folder, name, NULL);
        g_autofree char *text = NULL;
        gsize bytes;
        assert_true(g_file_get_contents(path, &text, &bytes, NULL)); /* there is no folder either */
        files++;
        for (guint i = 0; i < clip->frames->len; i++) {
            gsize frame_bytes;
            const guint8 *frame = g_bytes_get_data(clip->frames->pdata[i], &frame_bytes);
            for (gsize at = 16; at + 24 <= frame_bytes; at += 200)
                if (memcmp(frame + at, frame + at + 1, 23) != 0 &&
                    memmem(text, bytes, frame + at, 24)) /* not of zeros */
                    fail_msg("%s holds bytes of frame %u", name, i);
        }
    }
    assert_true(files > 0);
}

static void assert_only(const char *folder, const char *prefix)
{
    g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
    const char *name;
    while ((name = g_dir_read_name(dir)))
        if (!g_str_has_prefix(name, prefix) && !g_str_has_prefix(name, "manifest"))
            fail_msg("%s does not belong here", name);
}

/* ---- scenes ------------------------------------------------------------------------------------------------------ */

/* Stretches of a clip, each sealed (with a sealer) or not; until 0 ends. */
typedef struct {
    gint64 until_us;
    Sealer *sealer;
} Stretch;

static void play_stretches(Scene *scene, Play play, const Stretch *stretches)
{
    gint64 at_us = play.at_us;
    for (const Stretch *stretch = stretches; stretch->until_us; stretch++) {
        play.sealer = stretch->sealer;
        play.until_us = stretch->until_us;
        play.at_us = at_us + play.from_us;
        play.no_reports = TRUE;
        scene_play(scene, &play);
        play.from_us = stretch->until_us;
    }
}

/* Ann's sound on track 1 and picture on track 2. video NULL: none. */
static void make_capture(const char *folder, const char *content, const Clip *audio, const Clip *video,
                         const Stretch *sound, const Stretch *picture)
{
    Scene *scene = scene_open_encrypted(folder, 1, content);
    gboolean packets = g_strcmp0(content, "sframe-packet") == 0;
    gint64 seqs[2] = {65000, 1};
    scene_join(scene, 0, "17", "Ann");
    scene_track(scene, 0, 1, "17", "0", audio);
    if (video)
        scene_track(scene, 0, 2, "17", "1", video);
    play_stretches(scene, (Play){.track = 1, .clip = audio, .rtp_base = 5000, .seq = packets ? &seqs[0] : NULL}, sound);
    if (video)
        play_stretches(scene, (Play){.track = 2, .clip = video, .rtp_base = -100, .seq = packets ? &seqs[1] : NULL},
                       picture);
    scene_close(scene, "ended");
}

static const Stretch all_clear[] = {{100 * SCENE_SECOND, NULL}, {0, NULL}};

/* The same, never encrypted: what must come out. */
static void make_reference(Place *place, const Clip *audio, const Clip *video)
{
    place_init(place);
    make_capture(place->capture, NULL, audio, video, all_clear, all_clear);
    place_assemble(place);
}

/* ---- keys later -------------------------------------------------------------------------------------------------- */

typedef struct {
    StenoCodec codec;
    const char *encoder;
} VideoCase;

static const VideoCase video_cases[] = {
    {STENO_CODEC_VP8, "-c:v libvpx -b:v 500k -g 30 -deadline realtime -auto-alt-ref 0"},
    {STENO_CODEC_VP9, "-c:v libvpx-vp9 -b:v 500k -g 30 -deadline realtime -cpu-used 8"},
    {STENO_CODEC_H264, SCENE_X264},
    {STENO_CODEC_H265,
     "-pix_fmt yuv420p -c:v libx265 -preset ultrafast -tune zerolatency -x265-params log-level=none:info=0:keyint=30"},
};

/* All is sealed, and stored so; with the key, the files are made of what was stored, on another machine. */
static void test_later(void **state)
{
    (void)state;
    for (guint i = 0; i < G_N_ELEMENTS(video_cases); i++) {
        const Clip *video = clip_make(video_cases[i].codec, SCENE_PICTURES, video_cases[i].encoder);
        Place reference, sealed, opened;
        make_reference(&reference, clip_opus(), video);
        place_init(&sealed);
        place_init(&opened);
        Sealer sealer = sealer_new(KID, SEED);
        const Stretch all[] = {{100 * SCENE_SECOND, &sealer}, {0, NULL}};
        make_capture(sealed.capture, "sframe", clip_opus(), video, all, all);
        assemble(&sealed, (StenoAssembleOptions){.sealed = TRUE}, NULL);
        assert_int_equal(count_outputs(&sealed, FALSE), 0);
        assert_int_equal(count_outputs(&sealed, TRUE), 4);
        assert_only(sealed.output, "sealed-");
        assert_nothing_of(sealed.output, video);
        assert_nothing_of(sealed.output, clip_opus());
        const json_t *recording = json_object_get(sealed.manifest, "recording");
        assert_string_equal(text_of(recording, "state"), "completed");
        assert_true(json_is_true(json_object_get(json_object_get(sealed.manifest, "content"), "sealed")));
        assert_int_equal(json_array_size(json_object_get(sealed.manifest, "problems")), 0);
        const json_t *gap = place_gap(&sealed, "no-key", 1);
        assert_string_equal(text_of(gap, "participant"), "17");
        assert_string_equal(text_of(gap, "kid"), "18446744073709551615");
        assert_int_equal(place_integer(gap, "frames"), video->frames->len);

        g_autofree char *rows = sealer_key(&sealer, SEED, "17");
        Keys keys = {.keys = rows};
        assemble(&opened, (StenoAssembleOptions){.capture = sealed.output}, &keys);
        assert_int_equal(keys.asked, 1);
        assert_int_equal(json_array_size(keys.wanted), 1);
        assert_string_equal(text_of(json_array_get(keys.wanted, 0), "kid"), "18446744073709551615");
        assert_string_equal(text_of(json_array_get(keys.wanted, 0), "participant"), "17");
        json_decref(keys.wanted);
        assert_int_equal(count_outputs(&opened, TRUE), 0);
        assert_same_media(&reference, &opened);
        assert_string_equal(text_of(json_object_get(opened.manifest, "recording"), "end_reason"), "stopped");
        place_clear(&reference);
        place_clear(&sealed);
        place_clear(&opened);
    }
}

/* ---- in part ----------------------------------------------------------------------------------------------------- */

static void compare_with_reference(const char *content, const Clip *video, const Stretch *sound, const Stretch *picture,
                                   const char *rows)
{
    Place reference, place;
    make_reference(&reference, clip_opus(), video);
    place_init(&place);
    make_capture(place.capture, content, clip_opus(), video, sound, picture);
    Keys keys = {.keys = rows};
    for (guint again = 0; again < 2; again++) { /* the same keys in: the same bytes out */
        assemble(&place, (StenoAssembleOptions){0}, &keys);
        assert_same_media(&reference, &place);
        assert_int_equal(count_outputs(&place, TRUE), 0);
        assert_int_equal(place_count_gaps(&place, "no-key") + place_count_gaps(&place, "bad-key"), 0);
        assert_int_equal(place_count_gaps(&place, "no-keyframe"), 0);
    }
    json_decref(keys.wanted);
    place_clear(&reference);
    place_clear(&place);
}

/* The key came late: sound is in the clear at once, pictures from the next key frame on. */
static void test_late_key(void **state)
{
    (void)state;
    Sealer sealer = sealer_new(5, SEED);
    const Stretch sound[] = {{2300000, &sealer}, {100 * SCENE_SECOND, NULL}, {0, NULL}};
    const Stretch picture[] = {{3 * SCENE_SECOND - 1, &sealer}, {100 * SCENE_SECOND, NULL}, {0, NULL}};
    g_autofree char *rows = sealer_key(&sealer, SEED, NULL);
    compare_with_reference("sframe", clip_vp8(), sound, picture, rows);
    compare_with_reference("sframe", clip_h264("320x180"), sound, picture, rows);
}

/* The sender goes on with a key that the recorder does not have yet, in the middle of a picture's references; then
 * comes yet another. */
static void test_rotation(void **state)
{
    (void)state;
    Sealer first = sealer_new(1, SEED), second = sealer_new(2, SEED + 2), third = sealer_new(300, SEED + 3);
    const Stretch sound[] = {{1500000, NULL},    {2000000, &first}, {2500000, &second}, {3000000, &third},
                             {3500000, &second}, {4500000, NULL},   {5000000, &third},  {0, NULL}};
    const Stretch picture[] = {{1500000, NULL},   {2000000, &first}, {2500000, &second},
                               {2999999, &third}, {3500000, &first}, {100 * SCENE_SECOND, &first},
                               {0, NULL}};
    g_autofree char *a = sealer_key(&first, SEED, "17"), *b = sealer_key(&second, SEED + 2, "17");
    g_autofree char *c = sealer_key(&third, SEED + 3, NULL);
    g_autofree char *rows = g_strjoin(",", a, b, c, NULL);
    Stretch all_sound[G_N_ELEMENTS(sound) + 1];
    memcpy(all_sound, sound, sizeof sound);
    all_sound[G_N_ELEMENTS(sound) - 1] = (Stretch){100 * SCENE_SECOND, NULL};
    all_sound[G_N_ELEMENTS(sound)] = (Stretch){0, NULL};
    compare_with_reference("sframe", clip_vp8(), all_sound, picture, rows);
    compare_with_reference("sframe", clip_h264("320x180"), all_sound, picture, rows);
}

/* Each RTP payload is encrypted. */
static void test_packets(void **state)
{
    (void)state;
    Sealer sealer = sealer_new(5, SEED);
    const Stretch sound[] = {{1300000, &sealer}, {2300000, NULL}, {100 * SCENE_SECOND, &sealer}, {0, NULL}};
    const Stretch picture[] = {
        {2 * SCENE_SECOND - 1, &sealer}, {3 * SCENE_SECOND - 1, NULL}, {100 * SCENE_SECOND, &sealer}, {0, NULL}};
    g_autofree char *rows = sealer_key(&sealer, SEED, "17");
    compare_with_reference("sframe-packet", clip_vp8(), sound, picture, rows);
    /* In the middle of a picture's references: they go on from what is in the clear. */
    const Stretch middle[] = {{1500000, NULL}, {3 * SCENE_SECOND - 1, &sealer}, {100 * SCENE_SECOND, NULL}, {0, NULL}};
    compare_with_reference("sframe-packet", clip_vp8(), sound, middle, rows);
}

/* ---- what does not open ------------------------------------------------------------------------------------------ */

static void test_wrong_key(void **state)
{
    (void)state;
    static const char *const contents[] = {"sframe", "sframe-packet"};
    for (guint i = 0; i < G_N_ELEMENTS(contents); i++) {
        Place place;
        place_init(&place);
        Sealer sealer = sealer_new(5, SEED);
        const Stretch all[] = {{100 * SCENE_SECOND, &sealer}, {0, NULL}};
        make_capture(place.capture, contents[i], clip_opus(), clip_vp8(), all, all);
        g_autofree char *rows = sealer_key(&sealer, WRONG_SEED, "17");
        Keys keys = {.keys = rows};
        int code;
        assert_false(try_assemble(&place, (StenoAssembleOptions){0}, &keys, &code));
        assert_int_equal(code, STENO_ERROR_BAD_KEY);
        assert_only(place.output, "sealed-");
        assert_nothing_of(place.output, clip_vp8());
        assert_nothing_of(place.output, clip_opus());
        assert_string_equal(text_of(json_object_get(place.manifest, "recording"), "state"), "failed");
        assert_int_equal(json_array_size(json_object_get(place.manifest, "problems")), 1);
        assert_int_equal(place_count_gaps(&place, "bad-key"), 2);
        const json_t *gap = place_gap(&place, "bad-key", 1);
        assert_string_equal(text_of(gap, "kid"), "5");
        assert_int_equal(place_integer(gap, "frames"), clip_vp8()->frames->len);
        if (i == 1)
            assert_true(place_integer(gap, "packets") > clip_vp8()->frames->len);
        /* Nobody has a key. */
        keys.keys = NULL;
        assert_false(try_assemble(&place, (StenoAssembleOptions){0}, &keys, &code));
        assert_int_equal(code, STENO_ERROR_NO_KEY);
        assert_int_equal(place_count_gaps(&place, "no-key"), 2);
        assert_int_equal(count_outputs(&place, TRUE), 4);
        /* It makes no sense. */
        keys.keys = "{\"kid\":5}";
        StenoAssembleOptions options = {
            .capture = place.capture, .output = place.output, .keys = give_keys, .user = &keys};
        g_autoptr(GError) error = NULL;
        assert_false(steno_assemble(&options, NULL, &error));
        assert_true(g_error_matches(error, STENO_ERROR, STENO_ERROR_KEYS_INVALID));
        json_decref(keys.wanted);
        place_clear(&place);
    }
}

/* One of two has no key: the other's files are made, and of the one, what stays sealed is kept. */
static void test_one_without_key(void **state)
{
    (void)state;
    Place place, rest;
    place_init(&place);
    place_init(&rest);
    Sealer ann = sealer_new(5, SEED), bob = sealer_new(6, SEED + 2);
    Scene *scene = scene_open_encrypted(place.capture, 1, "sframe");
    scene_join(scene, 0, "17", "Ann");
    scene_join(scene, 0, "18", "sealed-part-0001-track-0003.0");
    scene_track(scene, 0, 1, "17", "0", clip_opus());
    scene_track(scene, 0, 2, "18", "0", clip_opus());
    scene_track(scene, 0, 3, "18", "1", clip_vp8());
    scene_play(scene, &(Play){.track = 1, .clip = clip_opus(), .sealer = &ann});
    scene_play(scene, &(Play){.track = 2, .clip = clip_opus()});
    scene_play(scene, &(Play){.track = 3, .clip = clip_vp8(), .sealer = &bob});
    scene_close(scene, "ended");
    g_autofree char *a = sealer_key(&ann, SEED, "17"), *b = sealer_key(&bob, SEED + 2, "18");
    Keys keys = {.keys = a};
    assemble(&place, (StenoAssembleOptions){0}, &keys);
    assert_int_equal(json_array_size(keys.wanted), 2);
    assert_int_equal(count_outputs(&place, FALSE), 2);
    assert_int_equal(count_outputs(&place, TRUE), 3); /* recording, events, the picture */
    assert_string_equal(text_of(json_object_get(place.manifest, "recording"), "state"), "completed");
    assert_int_equal(json_array_size(json_object_get(place.manifest, "problems")), 1);
    assert_int_equal(place_count_gaps(&place, "no-key"), 1);
    assert_nothing_of(place.output, clip_vp8());
    /* With Bob's key, the rest is made of what was kept. */
    keys.keys = b;
    assemble(&rest, (StenoAssembleOptions){.capture = place.output}, &keys);
    assert_int_equal(count_outputs(&rest, FALSE), 1);
    assert_int_equal(place_integer(place_stream(&rest, 0, 0), "frames"), clip_vp8()->frames->len);
    json_decref(keys.wanted);
    place_clear(&place);
    place_clear(&rest);
}

/* A frame that was changed on its way costs the pictures up to the next key frame, and is told. */
static void test_changed_frame(void **state)
{
    (void)state;
    const Clip *video = clip_vp8();
    Place place;
    place_init(&place);
    Sealer sealer = sealer_new(5, SEED), other = sealer_new(5, WRONG_SEED);
    Scene *scene = scene_open_encrypted(place.capture, 1, "sframe");
    scene_join(scene, 0, "17", "Ann");
    scene_track(scene, 0, 1, "17", "0", video);
    gint64 bad_us = g_array_index(video->pts_us, gint64, 40), next_us = g_array_index(video->pts_us, gint64, 41);
    Play play = {.track = 1, .clip = video, .sealer = &sealer, .until_us = bad_us};
    scene_play(scene, &play);
    scene_play(scene, &(Play){.track = 1,
                              .clip = video,
                              .goes_on = TRUE,
                              .sealer = &other,
                              .from_us = bad_us,
                              .until_us = next_us,
                              .at_us = bad_us});
    scene_play(
        scene,
        &(Play){.track = 1, .clip = video, .goes_on = TRUE, .sealer = &sealer, .from_us = next_us, .at_us = next_us});
    scene_close(scene, "ended");
    g_autofree char *rows = sealer_key(&sealer, SEED, NULL);
    Keys keys = {.keys = rows};
    assemble(&place, (StenoAssembleOptions){0}, &keys);
    assert_int_equal(place_count_gaps(&place, "bad-key"), 1);
    const json_t *gap = place_gap(&place, "bad-key", 0);
    assert_int_equal(place_integer(gap, "frames"), 1);
    place_assert_near(place_integer(gap, "from_us") - SCENE_ZERO_US, bad_us, 5000);
    place_assert_near(place_integer(gap, "until_us") - SCENE_ZERO_US, next_us, 5000);
    assert_int_equal(place_integer(place_gap(&place, "no-keyframe", 0), "frames"), 60 - 41);
    assert_int_equal(place_integer(place_stream(&place, 0, 0), "frames"), video->frames->len - 20);
    assert_int_equal(count_outputs(&place, TRUE), 3); /* its file is kept */
    place_decode(&place, 0);
    json_decref(keys.wanted);
    place_clear(&place);
}

/* What was lost before it was sealed is missing from the pictures as it would be in the clear. */
static void check_lost(const char *content, gint64 *seq)
{
    const Clip *video = clip_vp8();
    Place place;
    place_init(&place);
    Sealer sealer = sealer_new(5, SEED);
    Scene *scene = scene_open_encrypted(place.capture, 1, content);
    scene_join(scene, 0, "17", "Ann");
    scene_track(scene, 0, 1, "17", "0", video);
    gint64 lost_us = g_array_index(video->pts_us, gint64, 40), next_us = g_array_index(video->pts_us, gint64, 43);
    scene_play(scene, &(Play){.track = 1, .clip = video, .sealer = &sealer, .seq = seq, .until_us = lost_us});
    gint64 lost_seq = seq ? *seq : 100;
    scene_play(scene, &(Play){.track = 1,
                              .clip = video,
                              .goes_on = TRUE,
                              .sealer = &sealer,
                              .seq = seq,
                              .at_us = lost_us,
                              .from_us = lost_us,
                              .lost_from = 40,
                              .lost_until = 43});
    scene_event(scene, next_us, "{s:s, s:i, s:s, s:I, s:I, s:i, s:I, s:I}", "event", "gap", "track", 1, "cause", "lost",
                "first_seq", (json_int_t)lost_seq, "last_seq", (json_int_t)(lost_seq + 2), "packets", 3, "rtp_ts",
                (json_int_t)(lost_us * 9 / 100), "until_rtp_ts", (json_int_t)(next_us * 9 / 100));
    scene_close(scene, "ended");
    g_autofree char *rows = sealer_key(&sealer, SEED, NULL);
    Keys keys = {.keys = rows};
    assemble(&place, (StenoAssembleOptions){0}, &keys);
    assert_int_equal(place_count_gaps(&place, "lost"), 1);
    assert_int_equal(place_integer(place_gap(&place, "no-keyframe", 0), "frames"), 60 - 43);
    assert_int_equal(place_integer(place_stream(&place, 0, 0), "frames"), video->frames->len - 20);
    json_decref(keys.wanted);
    place_clear(&place);
}

static void test_lost_frames(void **state)
{
    (void)state;
    gint64 seq = 65500;
    check_lost("sframe", NULL);
    check_lost("sframe-packet", &seq);
}

/* What is no frame of the format at all tells no key id, and the capture may say nothing of how it was encrypted. */
static void test_garbage(void **state)
{
    (void)state;
    Place place;
    place_init(&place);
    Sealer sealer = sealer_new(5, SEED);
    const Stretch all[] = {{100 * SCENE_SECOND, &sealer}, {0, NULL}};
    make_capture(place.capture, NULL, clip_opus(), NULL, all, NULL);
    Keys keys = {.keys = "{}"};
    int code;
    assert_false(try_assemble(&place, (StenoAssembleOptions){0}, &keys, &code));
    assert_int_equal(code, STENO_ERROR_NO_KEY);
    assert_int_equal(keys.asked, 0); /* there is no saying for what */
    assert_true(json_is_null(json_object_get(place_gap(&place, "no-key", 0), "kid")));
    assert_int_equal(json_array_size(json_object_get(place.manifest, "problems")), 2);
    place_clear(&place);
}

/* Of a capture in the clear, nobody is asked for keys. */
static void test_not_asked(void **state)
{
    (void)state;
    Place place;
    place_init(&place);
    make_capture(place.capture, "sframe", clip_opus(), clip_vp8(), all_clear, all_clear);
    Keys keys = {.keys = "nonsense"};
    assemble(&place, (StenoAssembleOptions){0}, &keys);
    assert_int_equal(keys.asked, 0);
    assert_int_equal(count_outputs(&place, FALSE), 1);
    assert_true(json_is_false(json_object_get(json_object_get(place.manifest, "content"), "sealed")));
    place_clear(&place);
}

/* ---- sections ---------------------------------------------------------------------------------------------------- */

/* sealed: which of the three sections, as bits. */
static void rotate_sealed(const char *folder, Sealer *sealer, guint sealed)
{
    const Clip *audio = clip_opus(), *video = clip_vp8();
    Scene *scene = scene_open_encrypted(folder, 1, "sframe");
    scene_join(scene, 0, "17", "Ann");
    scene_track(scene, 0, 1, "17", "0", audio);
    scene_track(scene, 0, 2, "17", "1", video);
    for (guint section = 1; section <= 3; section++) {
        gint64 from_us = (section - 1) * 1500000, until_us = section < 3 ? section * 1500000 : 0;
        Sealer *with = sealed & 1u << section ? sealer : NULL;
        for (guint track = 1; track <= 2; track++)
            scene_play(scene, &(Play){.track = track,
                                      .clip = track == 1 ? audio : video,
                                      .at_us = from_us,
                                      .from_us = from_us,
                                      .until_us = until_us,
                                      .sealer = with,
                                      .no_reports = TRUE});
        if (section < 3)
            scene = scene_rotate(scene, section, section * 1500000);
    }
    scene_close(scene, "ended");
}

/* As a job does it: each section when it ends, and the rest with all of them. */
static void assemble_sections(Place *place, StenoAssembleOptions options)
{
    g_autoptr(GArray) sections = steno_capture_sections(place->capture, NULL);
    assert_int_equal(sections->len, 3);
    for (guint section = 1; section <= 2; section++) {
        options.section = section;
        assemble(place, options, NULL);
        assert_true(steno_capture_section_stored(place->capture,
                                                 &g_array_index(sections, StenoCaptureSection, section - 1),
                                                 json_incref(place->manifest), NULL));
    }
    options.section = 0;
    assemble(place, options, NULL);
}

static void test_sections(void **state)
{
    (void)state;
    Place reference, place, opened;
    Sealer sealer = sealer_new(5, SEED);
    place_init(&reference);
    rotate_sealed(reference.capture, NULL, 0);
    assemble(&reference, (StenoAssembleOptions){.join = TRUE}, NULL);
    place_init(&place);
    rotate_sealed(place.capture, &sealer, 1 << 1 | 1 << 2 | 1 << 3);
    assemble_sections(&place, (StenoAssembleOptions){.sealed = TRUE});
    assert_int_equal(count_outputs(&place, TRUE), 3 * 4);
    assert_string_equal(text_of(json_object_get(place.manifest, "recording"), "state"), "completed");
    g_autofree char *name = g_build_filename(place.output, "sealed-part-0002-track-0001.0.002.mkv", NULL);
    assert_true(g_file_test(name, G_FILE_TEST_EXISTS));
    g_autofree char *rows = sealer_key(&sealer, SEED, "17");
    Keys keys = {.keys = rows};
    place_init(&opened);
    assemble(&opened, (StenoAssembleOptions){.capture = place.output}, &keys);
    assert_same_media(&reference, &opened);
    assert_int_equal(place_count_gaps(&opened, "no-keyframe"), 0);
    json_decref(keys.wanted);
    place_clear(&reference);
    place_clear(&place);
    place_clear(&opened);
}

/* Only the middle one is sealed: what is left of it stands alone. */
static void test_middle_section(void **state)
{
    (void)state;
    Place place, opened;
    Sealer sealer = sealer_new(5, SEED);
    place_init(&place);
    rotate_sealed(place.capture, &sealer, 1 << 2);
    assemble_sections(&place, (StenoAssembleOptions){.sealed = TRUE});
    assert_int_equal(count_outputs(&place, TRUE), 4);
    assert_int_equal(count_outputs(&place, FALSE), 2);
    g_autofree char *rows = sealer_key(&sealer, SEED, "17");
    Keys keys = {.keys = rows};
    place_init(&opened);
    assemble(&opened, (StenoAssembleOptions){.capture = place.output}, &keys);
    assert_int_equal(count_outputs(&opened, FALSE), 1);
    /* From the first key frame in it, at 2 s. */
    assert_int_equal(place_integer(place_stream(&opened, 0, 0), "frames"), 30);
    assert_int_equal(place_integer(place_stream(&opened, 0, 1), "frames"), 75);
    assert_string_equal(text_of(json_object_get(opened.manifest, "recording"), "end_reason"), "stopped");
    json_decref(keys.wanted);
    place_clear(&place);
    place_clear(&opened);
}

/* The first and the last one are sealed, and do not follow each other; or the last two, which do. */
static void test_outer_sections(void **state)
{
    (void)state;
    static const struct {
        guint sealed, tracks, gaps;
    } cases[] = {{1 << 1 | 1 << 3, 4, 1}, {1 << 2 | 1 << 3, 2, 0}};
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        Place place, opened;
        Sealer sealer = sealer_new(5, SEED);
        place_init(&place);
        rotate_sealed(place.capture, &sealer, cases[i].sealed);
        assemble_sections(&place, (StenoAssembleOptions){.sealed = TRUE});
        assert_int_equal(count_outputs(&place, TRUE), 8);
        g_autofree char *rows = sealer_key(&sealer, SEED, "17");
        Keys keys = {.keys = rows};
        place_init(&opened);
        assemble(&opened, (StenoAssembleOptions){.capture = place.output}, &keys);
        assert_int_equal(count_outputs(&opened, FALSE), 1);
        assert_int_equal(json_array_size(json_object_get(opened.manifest, "tracks")), cases[i].tracks);
        assert_int_equal(place_count_gaps(&opened, "recorder"), cases[i].gaps);
        assert_int_equal(place_integer(place_stream(&opened, 0, 1), "frames"), clip_opus()->frames->len - 75);
        json_decref(keys.wanted);
        place_clear(&place);
        place_clear(&opened);
    }
}

/* ---- what a crash leaves ----------------------------------------------------------------------------------------- */

static void test_cleans_up(void **state)
{
    (void)state;
    Place place;
    place_init(&place);
    Sealer sealer = sealer_new(5, SEED);
    const Stretch all[] = {{100 * SCENE_SECOND, &sealer}, {0, NULL}};
    make_capture(place.capture, "sframe", clip_opus(), NULL, all, NULL);
    g_autofree char *left = g_build_filename(place.output, ".steno-making-unsealed", "part-0001", NULL);
    g_autofree char *file = g_build_filename(left, "track-0001.0.mkv", NULL);
    g_autofree char *plain = g_build_filename(place.output, ".steno-making-Ann.webm", NULL);
    assert_int_equal(g_mkdir_with_parents(left, 0700), 0);
    assert_true(g_file_set_contents(file, "media", -1, NULL) && g_file_set_contents(plain, "media", -1, NULL));
    g_autofree char *rows = sealer_key(&sealer, SEED, "17");
    Keys keys = {.keys = rows};
    assemble(&place, (StenoAssembleOptions){0}, &keys); /* and verifies: nothing else is there */
    assert_int_equal(count_outputs(&place, FALSE), 1);
    json_decref(keys.wanted);

    StenoAssembleOptions options = {.capture = place.capture, .output = place.capture};
    g_autoptr(GError) error = NULL;
    assert_false(steno_assemble(&options, NULL, &error));
    assert_true(g_error_matches(error, STENO_ERROR, STENO_ERROR_USAGE));
    place_clear(&place);
}

/* ---- the program ------------------------------------------------------------------------------------------------- */

/* Runs steno-assemble with this on its standard input; its exit code, and what it said. */
static int run_program(Place *place, const char *option, const char *input, char **output)
{
    const char *argv[] = {STENO_ASSEMBLE_PROGRAM, "assemble", place->capture, "--output",
                          place->output,          "--json",   option,         NULL};
    g_autoptr(GError) error = NULL;
    g_autoptr(GSubprocess) process =
        g_subprocess_newv(argv, G_SUBPROCESS_FLAGS_STDIN_PIPE | G_SUBPROCESS_FLAGS_STDOUT_PIPE, &error);
    assert_non_null(process);
    assert_true(g_subprocess_communicate_utf8(process, input, NULL, output, NULL, NULL));
    assert_true(g_subprocess_get_if_exited(process));
    return g_subprocess_get_exit_status(process);
}

static void test_program(void **state)
{
    (void)state;
    Place place;
    place_init(&place);
    Sealer sealer = sealer_new(5, SEED);
    const Stretch all[] = {{100 * SCENE_SECOND, &sealer}, {0, NULL}};
    make_capture(place.capture, "sframe", clip_opus(), NULL, all, NULL);
    g_autofree char *right = sealer_key(&sealer, SEED, "17"), *wrong = sealer_key(&sealer, WRONG_SEED, "17");
    g_autofree char *right_set = g_strdup_printf("{\"suite\":4,\"keys\":[%s]}\n", right);
    g_autofree char *wrong_set = g_strdup_printf("{\"suite\":4,\"keys\":[%s]}\n", wrong);
    g_autofree char *long_set = g_strnfill(1024 * 1024 + 2, ' ');
    const struct {
        const char *option, *input;
        StenoError code;
        gboolean asks;
    } cases[] = {
        {"--keys", "", STENO_ERROR_NO_KEY, TRUE},
        {"--keys", wrong_set, STENO_ERROR_BAD_KEY, TRUE},
        {"--keys", "nonsense", STENO_ERROR_KEYS_INVALID, TRUE},
        {"--keys", long_set, STENO_ERROR_USAGE, TRUE},
        {"--join", "", STENO_ERROR_NO_KEY, FALSE},
        {"--sealed", "", STENO_ERROR_COUNT, FALSE},
        {"--keys", right_set, STENO_ERROR_COUNT, TRUE},
    };
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *output = NULL;
        g_autoptr(GError) error =
            cases[i].code == STENO_ERROR_COUNT ? NULL : g_error_new(STENO_ERROR, cases[i].code, "x");
        assert_int_equal(run_program(&place, cases[i].option, cases[i].input, &output), steno_error_exit_code(error));
        gboolean asked = strstr(output, "{\"keys_wanted\":[{\"participant\":\"17\",\"kid\":\"5\"}]}\n") != NULL;
        assert_int_equal(asked, cases[i].asks);
    }
    g_autofree char *file = g_build_filename(place.output, "Ann.webm", NULL);
    assert_true(g_file_test(file, G_FILE_TEST_EXISTS));
    place_clear(&place);
}

int main(void)
{
    av_log_set_level(AV_LOG_FATAL);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_later),          cmocka_unit_test(test_late_key),
        cmocka_unit_test(test_rotation),       cmocka_unit_test(test_packets),
        cmocka_unit_test(test_wrong_key),      cmocka_unit_test(test_one_without_key),
        cmocka_unit_test(test_changed_frame),  cmocka_unit_test(test_lost_frames),
        cmocka_unit_test(test_garbage),        cmocka_unit_test(test_not_asked),
        cmocka_unit_test(test_sections),       cmocka_unit_test(test_middle_section),
        cmocka_unit_test(test_outer_sections), cmocka_unit_test(test_cleans_up),
        cmocka_unit_test(test_program),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
