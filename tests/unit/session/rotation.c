/* A rotation: where each frame goes, what the next part is told at its beginning, and in which order clients hear it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "session_internal.h"
#include "steno/base/clock.h"

#include <glib/gstdio.h>
#include <string.h>

#define SECOND_US G_GINT64_CONSTANT(1000000)
#define AUDIO 1
#define VIDEO 2

/* ---- a network thread without a thread --------------------------------------------------------------------------- */

typedef struct {
    char *folder;
    gint64 now_us, zero_us; /* wall */
    Net net;
    NetPeer peer;
    TrackPlan plans[2];
    NetTrack *audio, *video;
    StenoCapture *captures[2];
    guint changed_over;
} Scene;

static void note_changed_over(gpointer user)
{
    ((Scene *)user)->changed_over++;
}

static const NetEvents net_events = {.changed_over = note_changed_over};

static NetTrack *add_track(Scene *scene, guint number)
{
    TrackPlan *plan = &scene->plans[number - 1];
    NetTrack *track = g_new0(NetTrack, 1);
    plan->rtp.track = track->number = number;
    plan->rtp.video = number == VIDEO;
    plan->rtp.n_payloads = 1;
    plan->rtp.payloads[0].codec = track->codec = plan->rtp.video ? STENO_CODEC_VP8 : STENO_CODEC_OPUS;
    plan->rtp.payloads[0].clock_hz = plan->rtp.video ? 90000 : 48000;
    plan->rtp.payloads[0].rtx_of = -1;
    track->plan = plan;
    track->peer = &scene->peer;
    track->capture = scene->captures[0];
    track->ring = steno_capture_ring(track->capture);
    track->flowing = TRUE;
    assert_int_equal(steno_rtp_set_track(scene->peer.rtp, &plan->rtp), 0);
    g_ptr_array_add(scene->peer.tracks, track);
    return track;
}

static int setup(void **state)
{
    static const StenoRtpConfig rtp = {.local_ssrc = 1};
    static const StenoRtpEvents rtp_events = {0};
    Scene *scene = g_new0(Scene, 1);
    scene->folder = g_dir_make_tmp("steno-rotation-XXXXXX", NULL);
    scene->now_us = steno_clock_mono_to_wall_us(steno_clock_mono_us());
    scene->zero_us = scene->now_us - 100 * SECOND_US;
    for (guint i = 0; i < 2; i++) {
        StenoCaptureConfig config = {.folder = scene->folder, .part = i + 1, .zero_wall_us = scene->zero_us};
        scene->captures[i] = steno_capture_new(&config, NULL);
        assert_non_null(scene->captures[i]);
    }
    g_atomic_ref_count_init(&scene->net.references);
    scene->net.events = &net_events;
    scene->net.user = scene;
    scene->net.capture = scene->captures[0];
    scene->net.frames = steno_frame_pool_new(1024 * 1024);
    scene->net.peers = g_hash_table_new(NULL, NULL);
    scene->peer.net = &scene->net;
    scene->peer.rtp = steno_rtp_new(&rtp, &rtp_events, NULL);
    scene->peer.tracks = g_ptr_array_new_with_free_func(session_wiring_track_free);
    g_hash_table_insert(scene->net.peers, GUINT_TO_POINTER(1), &scene->peer);
    scene->audio = add_track(scene, AUDIO);
    scene->video = add_track(scene, VIDEO);
    *state = scene;
    return 0;
}

static void remove_folder(const char *folder)
{
    g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
    const char *name;
    while (dir && (name = g_dir_read_name(dir))) {
        g_autofree char *path = g_build_filename(folder, name, NULL);
        if (g_file_test(path, G_FILE_TEST_IS_DIR))
            remove_folder(path);
        else
            g_unlink(path);
    }
    g_rmdir(folder);
}

static void finish(Scene *scene)
{
    for (guint i = 0; i < 2; i++) {
        if (scene->captures[i])
            assert_true(steno_capture_finish(g_steal_pointer(&scene->captures[i]), NULL));
    }
}

static int teardown(void **state)
{
    Scene *scene = *state;
    finish(scene);
    g_ptr_array_unref(scene->peer.tracks);
    steno_rtp_free(scene->peer.rtp);
    g_hash_table_unref(scene->net.peers);
    steno_frame_pool_free(scene->net.frames);
    remove_folder(scene->folder);
    g_free(scene->folder);
    g_free(scene);
    return 0;
}

/* A frame of the scene's 100 s and some, as wiring.c hands it over; its payload is its number. */
static void hand_over_as(Scene *scene, NetTrack *track, StenoFrameKind kind, double at_s, gboolean keyframe,
                         guint8 number)
{
    StenoFrame *frame = steno_frame_new(scene->net.frames, kind, 1);
    assert_non_null(frame);
    frame->track = track->number;
    frame->codec = track->codec;
    frame->wall_us = scene->zero_us + (gint64)(at_s * SECOND_US);
    frame->keyframe = keyframe;
    frame->decodable = true;
    if (kind == STENO_FRAME_FORMAT) {
        frame->format.clock_hz = track->plan->rtp.payloads[0].clock_hz;
        track->format = steno_frame_ref(frame);
    } else if (kind == STENO_FRAME_GAP) {
        frame->gap.first_seq = frame->gap.last_seq = number;
        frame->gap.packets = 1;
    } else {
        frame->payload[0] = number;
        frame->payload_bytes = 1;
    }
    session_changeover_frame(track, frame);
    track->begun = TRUE;
    while (!steno_frame_ring_push(track->ring, frame))
        g_usleep(100);
}

static void hand_over(Scene *scene, NetTrack *track, double at_s, gboolean keyframe, guint8 number)
{
    if (!track->format)
        hand_over_as(scene, track, STENO_FRAME_FORMAT, at_s, FALSE, 0);
    hand_over_as(scene, track, STENO_FRAME_MEDIA, at_s, keyframe, number);
}

/* The seam is 1 s in the past: 99 s after zero. */
static void rotate(Scene *scene, double give_up_s)
{
    session_changeover_begin(&scene->net, scene->captures[1], scene->zero_us + 99 * SECOND_US,
                             scene->zero_us + (gint64)(give_up_s * SECOND_US));
}

static void tick(Scene *scene)
{
    session_changeover_tick(&scene->net, steno_clock_mono_us());
    while (g_main_context_iteration(NULL, FALSE))
        ;
}

/* "1 2 5": the numbers of the frames of a track in a part. */
static void assert_frames(Scene *scene, guint part, guint track, const char *wanted)
{
    finish(scene);
    g_autofree char *path = g_strdup_printf("%s/part-%04u/track-%04u.0.mkv", scene->folder, part, track);
    g_autoptr(StenoCaptureReader) reader = steno_capture_reader_open(path, NULL);
    g_autoptr(GString) found = g_string_new(NULL);
    StenoCaptureFrame frame;
    while (reader && steno_capture_reader_next(reader, &frame))
        g_string_append_printf(found, "%s%u", found->len ? " " : "", frame.payload[0]);
    assert_string_equal(found->str, wanted);
}

/* Lines of a part's events.jsonl that hold this text. */
static guint count_lines(Scene *scene, guint part, const char *text)
{
    finish(scene);
    g_autofree char *path = g_strdup_printf("%s/part-%04u/events.jsonl", scene->folder, part);
    g_autofree char *events = NULL;
    assert_true(g_file_get_contents(path, &events, NULL, NULL));
    g_auto(GStrv) lines = g_strsplit(events, "\n", -1);
    guint count = 0;
    for (guint i = 0; lines[i]; i++)
        count += strstr(lines[i], text) != NULL;
    return count;
}

static void sound_changes_over_at_the_seam(void **state)
{
    Scene *scene = *state;
    hand_over(scene, scene->audio, 98.0, TRUE, 1);
    rotate(scene, 200);
    hand_over(scene, scene->audio, 98.98, TRUE, 2);
    hand_over_as(scene, scene->audio, STENO_FRAME_GAP, 99.0, FALSE, 3);
    hand_over(scene, scene->audio, 99.0, TRUE, 4);
    hand_over_as(scene, scene->audio, STENO_FRAME_GAP, 99.02, FALSE, 5);
    hand_over(scene, scene->audio, 98.9, TRUE, 6); /* a clock that was set back: never back to the old part */
    assert_frames(scene, 1, AUDIO, "1 2");
    assert_frames(scene, 2, AUDIO, "4 6");
    assert_int_equal(count_lines(scene, 1, "\"first_seq\":3"), 1);
    assert_int_equal(count_lines(scene, 2, "\"first_seq\":5"), 1);
    assert_int_equal(count_lines(scene, 2, "\"format\""), 1);
}

static void a_picture_changes_over_at_a_key_frame(void **state)
{
    Scene *scene = *state;
    hand_over(scene, scene->video, 97.0, TRUE, 1);
    rotate(scene, 200);
    hand_over(scene, scene->video, 98.5, TRUE, 2); /* before the seam */
    hand_over(scene, scene->video, 99.0, FALSE, 3);
    tick(scene);
    assert_int_equal(scene->changed_over, 0);
    hand_over(scene, scene->video, 99.1, FALSE, 4);
    hand_over(scene, scene->video, 99.2, TRUE, 5);
    hand_over(scene, scene->video, 99.3, FALSE, 6);
    tick(scene);
    assert_int_equal(scene->changed_over, 1); /* the sound never came: it did not hold it up */
    tick(scene);
    assert_int_equal(scene->changed_over, 1);
    assert_frames(scene, 1, VIDEO, "1 2 3 4");
    assert_frames(scene, 2, VIDEO, "5 6");
}

/* Nothing changes over before the seam, whoever is idle. */
static void the_seam_is_waited_for(void **state)
{
    Scene *scene = *state;
    rotate(scene, 200);
    scene->net.rotation.seam_wall_us = scene->now_us + 3600 * SECOND_US;
    scene->audio->flowing = FALSE;
    tick(scene);
    session_changeover_break(scene->video);
    hand_over(scene, scene->video, 99.5, TRUE, 1);
    assert_ptr_equal(scene->audio->capture, scene->captures[0]);
    assert_ptr_equal(scene->video->capture, scene->captures[0]);
    assert_int_equal(scene->changed_over, 0);
    assert_true(session_changeover_cancel(&scene->net, scene->captures[0]));
    assert_ptr_equal(scene->net.capture, scene->captures[0]);
}

static void what_is_idle_changes_over_at_once(void **state)
{
    Scene *scene = *state;
    hand_over(scene, scene->audio, 98.0, TRUE, 1);
    hand_over(scene, scene->video, 98.0, TRUE, 1);
    scene->audio->flowing = FALSE;
    rotate(scene, 200);
    tick(scene);
    assert_ptr_equal(scene->audio->capture, scene->captures[1]);
    assert_ptr_equal(scene->video->capture, scene->captures[0]);
    assert_false(session_changeover_cancel(&scene->net, scene->captures[0]));
    scene->net.paused = TRUE;
    tick(scene);
    assert_ptr_equal(scene->video->capture, scene->captures[1]);
    assert_false(scene->audio->wants_keyframe);
    assert_int_equal(scene->changed_over, 1);
    hand_over(scene, scene->audio, 99.5, TRUE, 2);
    assert_frames(scene, 2, AUDIO, "2");
}

/* A picture whose key frame does not come goes on without: none of its frames is lost. */
static void a_picture_without_key_frames_is_cut_in_the_end(void **state)
{
    Scene *scene = *state;
    hand_over(scene, scene->video, 98.0, TRUE, 1);
    rotate(scene, 99.5);
    hand_over(scene, scene->video, 99.1, FALSE, 2);
    tick(scene);
    assert_true(scene->video->wants_keyframe);
    hand_over(scene, scene->video, 99.6, FALSE, 3);
    assert_true(scene->video->wants_keyframe);
    hand_over(scene, scene->video, 99.7, TRUE, 4);
    assert_false(scene->video->wants_keyframe);
    assert_int_equal(scene->changed_over, 1);
    assert_frames(scene, 1, VIDEO, "1 2");
    assert_frames(scene, 2, VIDEO, "3 4");
}

/* Where there is no memory for the next part's FORMAT, a track stays in the old one. */
static void without_room_it_is_tried_again(void **state)
{
    Scene *scene = *state;
    GPtrArray *frames = g_ptr_array_new_with_free_func((GDestroyNotify)steno_frame_unref);
    hand_over(scene, scene->video, 98.0, TRUE, 1);
    rotate(scene, 200);
    StenoFrame key = {.kind = STENO_FRAME_MEDIA,
                      .track = VIDEO,
                      .codec = STENO_CODEC_VP8,
                      .keyframe = true,
                      .wall_us = scene->zero_us + 99 * SECOND_US};
    for (StenoFrame *frame; (frame = steno_frame_new(scene->net.frames, STENO_FRAME_MEDIA, 64 * 1024));)
        g_ptr_array_add(frames, frame);
    for (StenoFrame *frame; (frame = steno_frame_new(scene->net.frames, STENO_FRAME_MEDIA, 0));)
        g_ptr_array_add(frames, frame);
    session_changeover_frame(scene->video, &key);
    assert_ptr_equal(scene->video->capture, scene->captures[0]);
    g_ptr_array_unref(frames);
    session_changeover_frame(scene->video, &key);
    assert_ptr_equal(scene->video->capture, scene->captures[1]);
}

static void the_last_reports_are_repeated(void **state)
{
    Scene *scene = *state;
    for (gint64 i = 0; i < SESSION_CLOCKS_KEPT + 4; i++) {
        const StenoRtpClockSample sample = {.rtp_ts = 1000 + i};
        session_changeover_heard_clock(scene->audio, &sample);
    }
    rotate(scene, 200);
    tick(scene); /* its first frame has not come: idle */
    assert_int_equal(count_lines(scene, 2, "\"clock\""), SESSION_CLOCKS_KEPT);
    assert_int_equal(count_lines(scene, 2, "\"rtp_ts\":1003"), 0);
    assert_int_equal(count_lines(scene, 2, "\"rtp_ts\":1004"), 1);
    assert_int_equal(count_lines(scene, 2, "\"rtp_ts\":1019"), 1);
}

/* ---- telling ----------------------------------------------------------------------------------------------------- */

static void note_event(gpointer user, json_t *event)
{
    g_string_append_printf(user, "%d.%d ", (int)json_integer_value(json_object_get(event, "part")),
                           (int)json_integer_value(json_object_get(event, "seq")));
}

static const StenoSessionEvents session_events = {.event = note_event};

static void tell(StenoSession *session, int part, int seq, const char *name)
{
    session_told(session, json_pack("{s:i, s:i, s:s}", "part", part, "seq", seq, "event", name));
}

static void assert_told(StenoSession *session, const char *wanted)
{
    GString *text = session->user;
    assert_null(session_telling_flush(session));
    assert_string_equal(text->str, wanted);
    g_string_truncate(text, 0);
}

static void the_next_part_is_told_after_the_old_one(void **state)
{
    (void)state;
    g_autoptr(GString) text = g_string_new(NULL);
    StenoSession session = {.events = &session_events, .user = text};
    session_telling_init(&session);
    session_telling_hold(&session, 2);
    tell(&session, 1, 1, "muted");
    tell(&session, 2, 1, "gap");
    tell(&session, 1, 2, "gap");
    tell(&session, 2, 2, "muted");
    assert_told(&session, "1.1 1.2 ");
    tell(&session, 1, 3, "rotated");
    tell(&session, 2, 3, "gap");
    assert_told(&session, "1.3 2.1 2.2 2.3 ");

    /* An old part that could not tell its end holds nobody up, and what waits is bounded. */
    session_telling_hold(&session, 3);
    for (int i = 1; i <= SESSION_HELD_MAX + 10; i++)
        tell(&session, 3, i, "gap");
    assert_told(&session, "");
    assert_int_equal(session.held_dropped, 10);
    session_telling_release(&session);
    assert_int_equal(g_queue_get_length(&session.told), SESSION_HELD_MAX);
    session_telling_clear(&session);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(sound_changes_over_at_the_seam),
        TEST(a_picture_changes_over_at_a_key_frame),
        TEST(the_seam_is_waited_for),
        TEST(what_is_idle_changes_over_at_once),
        TEST(a_picture_without_key_frames_is_cut_in_the_end),
        TEST(without_room_it_is_tried_again),
        TEST(the_last_reports_are_repeated),
        cmocka_unit_test(the_next_part_is_told_after_the_old_one),
    };
    return cmocka_run_group_tests_name("session_rotation", tests, NULL, NULL);
}
