/* Files that are encrypted for storage, read by openssl and ffmpeg. */
#include "place.h"

#include "steno/base/error.h"

#include <glib/gstdio.h>
#include <libavutil/log.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define KID "00112233445566778899aabbccddeeff"
#define KEY "000102030405060708090a0b0c0d0e0f"

static const char *text_of(const json_t *row, const char *name)
{
    const char *text = json_string_value(json_object_get(row, name));
    return text ? text : "";
}

/* Ann with sound and, when there is a clip, a picture; Bob with sound alone. */
static void make_capture(const char *folder, const Clip *audio, const Clip *video)
{
    Scene *scene = scene_open(folder, 1);
    scene_join(scene, 0, "17", "Ann");
    scene_join(scene, 0, "18", "Bob");
    scene_track(scene, 0, 1, "17", "0", audio);
    scene_play(scene, &(Play){.track = 1, .clip = audio});
    scene_track(scene, 0, 2, "18", "0", audio);
    scene_play(scene, &(Play){.track = 2, .clip = audio});
    if (video) {
        scene_track(scene, 0, 3, "17", "1", video);
        scene_play(scene, &(Play){.track = 3, .clip = video});
    }
    scene_close(scene, "ended");
}

static void make_place(Place *place, const Clip *audio, const Clip *video)
{
    place_init(place);
    make_capture(place->capture, audio, video);
}

static guint notes;

static void count_note(gpointer user, const char *file, const char *words)
{
    (void)user;
    assert_true(*file && *words);
    notes++;
}

/* The code of the error, 0: there was none. */
static int assemble(Place *place, StenoAssembleOptions options)
{
    g_autoptr(GError) error = NULL, fault = NULL;
    const StenoVerifyEvents events = {.fault = place_print_fault, .note = count_note};
    options.capture = place->capture;
    options.output = place->output;
    json_decref(place->manifest);
    place->manifest = NULL;
    if (!steno_assemble(&options, &place->manifest, &error)) {
        print_message("%s\n", error->message);
        return error->code;
    }
    notes = 0;
    if (!steno_verify(place->output, &events, NULL, &fault))
        fail_msg("%s", fault->message);
    return 0;
}

/* May a file of the folder hold these bytes? No. */
static void assert_hidden(const char *folder, const Clip *clip, gsize from)
{
    g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
    const char *name;
    while ((name = g_dir_read_name(dir))) {
        g_autofree char *path = g_build_filename(folder, name, NULL);
        g_autofree char *text = NULL;
        gsize bytes;
        assert_true(g_file_get_contents(path, &text, &bytes, NULL));
        for (guint i = 0; i < clip->frames->len; i++) {
            gsize frame_bytes;
            const guint8 *frame = g_bytes_get_data(clip->frames->pdata[i], &frame_bytes);
            for (gsize at = from; at + 24 <= frame_bytes; at += 24)
                if (memcmp(frame + at, frame + at + 1, 23) != 0 &&
                    memmem(text, bytes, frame + at, 24)) /* not of zeros */
                    fail_msg("%s holds bytes of frame %u at %zu", name, i, at);
        }
    }
}

/* ---- cms --------------------------------------------------------------------------------------------------------- */

static void test_cms(void **state)
{
    (void)state;
    Place plain, place;
    make_place(&plain, clip_opus(), clip_vp8());
    assert_int_equal(assemble(&plain, (StenoAssembleOptions){0}), 0);
    assert_int_equal(notes, 0);
    make_place(&place, clip_opus(), clip_vp8());
    g_autofree char *keys = scene_folder();
    g_free(scene_run("sh -c 'cd %s && openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=archive "
                     "-keyout key.pem -out certificate.pem 2>/dev/null'",
                     keys));
    g_autofree char *certificate = g_build_filename(keys, "certificate.pem", NULL);
    const char *recipients[] = {certificate, NULL};
    const StenoAssembleOptions options = {.encryption = STENO_OUTPUT_CMS, .recipients = recipients};
    assert_int_equal(assemble(&place, options), 0);
    assert_int_equal(json_array_size(json_object_get(place.manifest, "outputs")), 2);
    assert_int_equal(notes, 2);
    assert_hidden(place.output, clip_vp8(), 16);
    for (guint i = 0; i < 2; i++) {
        const json_t *output = place_output(&place, i), *clear = place_output(&plain, i);
        const json_t *encryption = json_object_get(output, "encryption");
        g_autofree char *name = g_strconcat(text_of(clear, "file"), ".cms", NULL);
        assert_string_equal(text_of(output, "file"), name);
        assert_string_equal(text_of(encryption, "method"), "cms");
        assert_int_equal(json_array_size(json_object_get(encryption, "recipients")), 1);
        assert_string_equal(text_of(encryption, "plain_sha256"), text_of(clear, "sha256"));
        assert_int_equal(place_integer(encryption, "plain_size_bytes"), place_integer(clear, "size_bytes"));
        assert_int_equal(place_integer(output, "duration_us"), place_integer(clear, "duration_us"));
        g_autofree char *path = place_path(&place, i);
        g_autofree char *sha256 = scene_run(
            "sh -c 'openssl cms -decrypt -binary -inform DER -in %s -inkey %s/key.pem | sha256sum'", path, keys);
        assert_int_equal(strncmp(sha256, text_of(clear, "sha256"), 64), 0);
    }
    /* In the clear again: the sealed ones are gone. */
    assert_int_equal(assemble(&place, (StenoAssembleOptions){0}), 0);
    assert_true(json_equal(json_object_get(plain.manifest, "outputs"), json_object_get(place.manifest, "outputs")));
    scene_remove(keys);
    place_clear(&plain);
    place_clear(&place);
}

/* ---- cenc -------------------------------------------------------------------------------------------------------- */

typedef struct {
    StenoCodec codec;
    const char *encoder;
    StenoAudio audio;
    gsize from; /* bytes at a frame's beginning that stay in the clear: parameter sets */
} CencCase;

/* key: or nothing, about which ffmpeg complains. */
static char *frame_hashes(const char *path, const char *key)
{
    return scene_run("ffmpeg -nostdin -v %s -i %s -map 0 -c copy -f framemd5 -", *key ? key : "quiet", path);
}

/* The hash of each frame of the first stream, in order. */
static GPtrArray *picture_hashes(const char *hashes)
{
    GPtrArray *found = g_ptr_array_new_with_free_func(g_free);
    g_auto(GStrv) lines = g_strsplit(hashes, "\n", -1);
    for (char **line = lines; *line; line++)
        if (g_str_has_prefix(*line, "0,"))
            g_ptr_array_add(found, g_strdup(strrchr(*line, ',')));
    return found;
}

static void assert_same_pictures(const char *a, const char *b, guint n)
{
    g_autoptr(GPtrArray) x = picture_hashes(a), y = picture_hashes(b);
    assert_int_equal(x->len, n);
    assert_int_equal(y->len, n);
    for (guint i = 0; i < n; i++)
        assert_string_equal(x->pdata[i], y->pdata[i]);
}

static void test_cenc(void **state)
{
    (void)state;
    static const CencCase cases[] = {
        {STENO_CODEC_H264, SCENE_X264, STENO_AUDIO_COPY, 1200},
        {STENO_CODEC_H265,
         "-pix_fmt yuv420p -c:v libx265 -preset ultrafast -tune zerolatency -x265-params log-level=none:info=0",
         STENO_AUDIO_AAC, 400},
        {STENO_CODEC_VP9, "-c:v libvpx-vp9 -b:v 500k -g 30 -deadline realtime -cpu-used 8", STENO_AUDIO_COPY, 0},
    };
    g_autoptr(StenoSecret) key = steno_secret_new(KID ":" KEY "\n", 66);
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        const Clip *video = clip_make(cases[i].codec, SCENE_PICTURES, cases[i].encoder);
        Place place;
        make_place(&place, clip_opus(), video);
        const StenoAssembleOptions options = {
            .encryption = STENO_OUTPUT_CENC, .output_key = key, .audio = cases[i].audio};
        assert_int_equal(assemble(&place, options), 0);
        assert_int_equal(notes, 2);
        assert_hidden(place.output, video, cases[i].from);
        if (cases[i].audio == STENO_AUDIO_COPY)
            assert_hidden(place.output, clip_opus(), 0);
        g_autofree char *first = place_path(&place, 0), *sound = place_path(&place, 1);
        assert_true(g_str_has_suffix(first, ".mp4") && g_str_has_suffix(sound, ".m4a"));
        const json_t *encryption = json_object_get(place_output(&place, 0), "encryption");
        assert_string_equal(text_of(encryption, "method"), "cenc");
        assert_string_equal(text_of(encryption, "kid"), KID);
        g_autofree char *opened = frame_hashes(first, "error -decryption_key " KEY);
        g_autofree char *closed = frame_hashes(first, "");
        assert_string_not_equal(opened, closed);
        g_free(scene_run("ffmpeg -nostdin -v error -decryption_key " KEY " -i %s -fps_mode passthrough "
                         "-copyts -f null -",
                         first));
        g_free(scene_run("ffmpeg -nostdin -v error -decryption_key " KEY " -i %s -f null -", sound));
        char *text;
        gsize bytes;
        assert_true(g_file_get_contents(first, &text, &bytes, NULL));
        /* Not one keystream for all: the same again is something else. */
        assert_int_equal(assemble(&place, options), 0);
        char *again;
        gsize again_bytes;
        assert_true(g_file_get_contents(first, &again, &again_bytes, NULL));
        assert_int_equal(bytes, again_bytes);
        assert_int_not_equal(memcmp(text, again, bytes), 0);
        g_autofree char *opened_again = frame_hashes(first, "error -decryption_key " KEY);
        assert_string_equal(opened, opened_again);
        g_free(text);
        g_free(again);
        /* Frame for frame what is in the file in the clear; its times, where that is an MP4 too. */
        assert_int_equal(assemble(&place, (StenoAssembleOptions){.audio = cases[i].audio}), 0);
        g_autofree char *clear = place_path(&place, 0);
        g_autofree char *plain = frame_hashes(clear, "error");
        if (g_str_has_suffix(clear, ".mp4"))
            assert_string_equal(opened, plain);
        assert_same_pictures(opened, plain, video->frames->len);
        place_clear(&place);
    }
}

/* What cannot be encrypted so is refused before it lies there in the clear. */
static void test_cenc_refuses(void **state)
{
    (void)state;
    g_autoptr(StenoSecret) key = steno_secret_new(KID ":" KEY, 65);
    const Clip *clips[] = {
        clip_vp8(),
        clip_make(STENO_CODEC_AV1, SCENE_PICTURES,
                  "-pix_fmt yuv420p -c:v libaom-av1 -usage realtime -cpu-used 8 -g 30"),
    };
    for (guint i = 0; i < G_N_ELEMENTS(clips); i++) {
        Place place;
        make_place(&place, clip_opus(), clips[i]);
        assert_int_equal(assemble(&place, (StenoAssembleOptions){.encryption = STENO_OUTPUT_CENC, .output_key = key}),
                         STENO_ERROR_USAGE);
        assert_hidden(place.output, clips[i], 16);
        place_clear(&place);
    }
    Place place;
    make_place(&place, clip_make(STENO_CODEC_PCMU, "sine=f=440:d=1:r=8000", "-ac 1 -c:a pcm_mulaw"), NULL);
    StenoAssembleOptions options = {.encryption = STENO_OUTPUT_CENC, .output_key = key};
    assert_int_equal(assemble(&place, options), STENO_ERROR_USAGE);
    options.audio = STENO_AUDIO_AAC;
    assert_int_equal(assemble(&place, options), 0);
    static const char *const bad[] = {"",
                                      KID,
                                      KID ":",
                                      KID KEY "0",
                                      KID ":" KEY "00",
                                      KID ":g" KEY,
                                      KID ":0001020304050607"
                                          "08090a0b0c0d0e0g"};
    for (guint i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(StenoSecret) wrong = steno_secret_new(bad[i], strlen(bad[i]));
        options.output_key = wrong;
        assert_int_equal(assemble(&place, options), STENO_ERROR_USAGE);
    }
    options.output_key = NULL;
    assert_int_equal(assemble(&place, options), STENO_ERROR_USAGE);
    options.encryption = STENO_OUTPUT_CMS;
    assert_int_equal(assemble(&place, options), STENO_ERROR_USAGE);
    const char *recipients[] = {"/nowhere", NULL};
    options.recipients = recipients;
    assert_int_equal(assemble(&place, options), STENO_ERROR_USAGE);
    place_clear(&place);
}

int main(void)
{
    av_log_set_level(AV_LOG_FATAL);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cms),
        cmocka_unit_test(test_cenc),
        cmocka_unit_test(test_cenc_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
