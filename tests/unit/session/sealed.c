/* Encrypted tracks: what is sealed, what is clear, where that changes, and what is told and asked for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sealed_scene.h"

#include <string.h>

/* 16 bytes of 0x00 and of 0x11, base64. */
#define KEY_0 "AAAAAAAAAAAAAAAAAAAAAA=="
#define KEY_1 "EREREREREREREREREREREQ=="
/* The sender's second key is in use from its second 10 on. */
#define SENDER(format)                                                                                                 \
    "{\"format\":\"" format "\",\"suite\":4,\"keys\":[{\"from_s\":0,\"kid\":0,\"key\":\"" KEY_0                        \
    "\"},{\"from_s\":10,\"kid\":1,\"key\":\"" KEY_1 "\"}]}"
#define FIRST_KEY "{\"suite\":4,\"keys\":[{\"participant\":\"alice\",\"kid\":0,\"key\":\"" KEY_0 "\"}]}"
#define SECOND_KEY "{\"suite\":4,\"keys\":[{\"participant\":\"alice\",\"kid\":1,\"key\":\"" KEY_1 "\"}]}"
#define WRONG_KEY "{\"suite\":4,\"keys\":[{\"participant\":\"alice\",\"kid\":0,\"key\":\"" KEY_1 "\"}]}"
#define BOTH_KEYS "{\"suite\":4,\"keys\":[{\"kid\":0,\"key\":\"" KEY_0 "\"},{\"kid\":1,\"key\":\"" KEY_1 "\"}]}"

static int frames_setup(void **state)
{
    *state = scene_new("sframe", "folder", SENDER("sframe"));
    return 0;
}

static int packets_setup(void **state)
{
    *state = scene_new("sframe-packet", "folder", SENDER("sframe-packet"));
    return 0;
}

static int later_setup(void **state)
{
    *state = scene_new("sframe", "later", SENDER("sframe"));
    return 0;
}

static int livekit_setup(void **state)
{
    *state = scene_new("livekit", "folder", "{\"format\":\"livekit\",\"keys\":[{\"kid\":0,\"passphrase\":\"x\"}]}");
    return 0;
}

static int teardown(void **state)
{
    scene_free(*state);
    return 0;
}

static void assert_files(Scene *scene, guint part, guint track, const char *wanted)
{
    g_autofree char *files = scene_files(scene, part, track, BOTH_KEYS);
    assert_string_equal(files, wanted);
}

static void assert_told(Scene *scene, const char *wanted)
{
    assert_string_equal(scene->told->str, wanted);
    g_string_truncate(scene->told, 0);
}

static gboolean is_per_packet(const Scene *scene)
{
    return steno_content_format_unit(scene->net.content) == STENO_CONTENT_PER_PACKET;
}

/* n frames of both; a picture's first one is a key frame if so said. */
static void send_both(Scene *scene, guint n, double at_s, gboolean keyframe)
{
    for (guint i = 0; i < n; i++) {
        scene_send(scene, AUDIO, at_s, TRUE);
        scene_send(scene, VIDEO, at_s, keyframe && i == 0);
    }
}

/* ---- both units -------------------------------------------------------------------------------------------------- */

static void with_the_key_all_is_clear(void **state)
{
    Scene *scene = *state;
    scene_add_keys(scene, FIRST_KEY);
    send_both(scene, 10, 0, TRUE);
    assert_told(scene, "");
    assert_files(scene, 1, AUDIO, "c:0-9");
    assert_files(scene, 1, VIDEO, "c:0-9");
    assert_int_equal(scene->net.ticking.sealed, 0);
    assert_int_equal(scene_count_events(scene, 1, "decryptable"), 0);
}

/* A picture that comes before its first key frame is as useless as it would be in the clear. */
static void before_the_first_key_frame_nothing_is_sealed(void **state)
{
    Scene *scene = *state;
    scene_add_keys(scene, FIRST_KEY);
    send_both(scene, 5, 0, FALSE);
    assert_true(scene_asked_for_keyframe(scene));
    send_both(scene, 5, 0, TRUE);
    assert_files(scene, 1, VIDEO, "c:5-9");
    assert_int_equal(scene_count_events(scene, 1, "no-keyframe"), 1);
}

static void a_late_key_opens_sound_at_once_and_a_picture_at_its_key_frame(void **state)
{
    Scene *scene = *state;
    send_both(scene, 10, 0, TRUE);
    assert_told(scene, "want alice 0;want alice 0;"); /* a track each: the main thread makes one of it */
    assert_false(scene_asked_for_keyframe(scene));
    scene_add_keys(scene, FIRST_KEY);
    send_both(scene, 5, 0, FALSE);
    assert_told(scene, "unwant alice 0;unwant alice 0;");
    scene_wait(scene, 0.6);
    assert_true(scene_asked_for_keyframe(scene));
    send_both(scene, 5, 0, TRUE);
    assert_files(scene, 1, AUDIO, "s:0-9 c:10-19");
    assert_files(scene, 1, VIDEO, "s:0-14 c:15-19");
    assert_int_equal(scene_count_events(scene, 1, "\"sealed\":true"), 2);
    assert_int_equal(scene_count_events(scene, 1, "gap"), 0);
    /* It came within a second: not worth a word. */
    assert_int_equal(scene_count_events(scene, 1, "decryptable"), 0);
}

static void a_missing_key_is_told_once_and_when_it_is_there(void **state)
{
    Scene *scene = *state;
    send_both(scene, 5, 0, TRUE);
    scene_wait(scene, 1.1);
    send_both(scene, 5, 0, TRUE);
    scene_wait(scene, 1.1);
    scene_add_keys(scene, FIRST_KEY);
    send_both(scene, 5, 0, TRUE);
    assert_files(scene, 1, VIDEO, "s:0-9 c:10-14");
    assert_int_equal(scene_count_events(scene, 1, "\"undecryptable\""), 2);
    assert_int_equal(scene_count_events(scene, 1, "\"cause\":\"no-key\""), 2);
    assert_int_equal(scene_count_events(scene, 1, "\"kid\":\"0\""), 2);
    assert_int_equal(scene_count_events(scene, 1, "\"decryptable\""), 2);
    assert_int_equal(scene_count_events(scene, 1, "\"frames\":10"), is_per_packet(scene) ? 1 : 2);
    assert_int_equal(scene_count_events(scene, 1, "\"frames\":30"), is_per_packet(scene) ? 1 : 0);
}

static void a_wrong_key_seals_everything(void **state)
{
    Scene *scene = *state;
    scene->job->fail_on_undecryptable_s = 5;
    scene_add_keys(scene, WRONG_KEY);
    send_both(scene, 5, 0, TRUE);
    assert_told(scene, "want alice 0;want alice 0;"); /* perhaps there is a newer one */
    scene_wait(scene, 1.1);
    assert_told(scene, "");
    scene->tracks[AUDIO]->decryption->failing_since_us -= 6 * SECOND_US;
    scene_wait(scene, 0.1);
    scene_wait(scene, 0.1);
    assert_told(scene, "undecryptable 1 bad-key 0;");
    assert_files(scene, 1, AUDIO, "s:0-4");
    assert_files(scene, 1, VIDEO, "s:0-4");
    assert_int_equal(scene_count_events(scene, 1, "\"cause\":\"bad-key\""), 2);
}

/* The new key is late: nothing is lost, and each frame is in one file. */
static void a_new_key_that_is_late_loses_nothing(void **state)
{
    Scene *scene = *state;
    scene_add_keys(scene, FIRST_KEY);
    send_both(scene, 10, 0, TRUE);
    send_both(scene, 10, 10, FALSE);
    assert_told(scene, "want alice 1;want alice 1;");
    scene_add_keys(scene, SECOND_KEY);
    send_both(scene, 3, 10, FALSE);
    send_both(scene, 7, 10, TRUE);
    assert_files(scene, 1, AUDIO, "c:0-9 s:10-19 c:20-29");
    assert_files(scene, 1, VIDEO, "c:0-9 s:10-22 c:23-29");
    assert_int_equal(scene_count_events(scene, 1, "gap"), 0);
}

static void a_new_key_that_is_there_changes_nothing(void **state)
{
    Scene *scene = *state;
    scene_add_keys(scene, BOTH_KEYS);
    send_both(scene, 5, 0, TRUE);
    send_both(scene, 5, 10, FALSE);
    assert_told(scene, "");
    assert_files(scene, 1, AUDIO, "c:0-9");
    assert_files(scene, 1, VIDEO, "c:0-9");
}

static void losses_are_told_in_both_states(void **state)
{
    Scene *scene = *state;
    for (guint i = 0; i < 30; i++) {
        if (i == 15)
            scene_add_keys(scene, FIRST_KEY);
        if (i % 10 == 5)
            scene->lost_packet = 2;
        scene_send(scene, VIDEO, 0, i % 10 == 0);
        scene_wait(scene, 0.1);
    }
    g_autofree char *files = scene_files(scene, 1, VIDEO, BOTH_KEYS);
    assert_int_equal(scene_count_events(scene, 1, "\"cause\":\"lost\""), 3);
    assert_string_equal(files, "s:0-4,6-14,16-19 c:20-24,26-29");
}

static void a_pause_ends_what_was_begun(void **state)
{
    Scene *scene = *state;
    send_both(scene, 5, 0, TRUE);
    session_wiring_break(scene->tracks[VIDEO]);
    session_wiring_break(scene->tracks[AUDIO]);
    send_both(scene, 5, 0, FALSE);
    scene_add_keys(scene, FIRST_KEY);
    send_both(scene, 5, 0, TRUE);
    session_wiring_break(scene->tracks[VIDEO]);
    session_wiring_break(scene->tracks[AUDIO]);
    send_both(scene, 5, 0, FALSE);
    send_both(scene, 5, 0, TRUE);
    assert_files(scene, 1, AUDIO, "s:0-9 c:10-24");
    assert_files(scene, 1, VIDEO, "s:0-9 c:10-14,20-24");
}

/* A sealed picture shows no key frame: it goes on in the next part where it is, under a FORMAT of its own. */
static void what_is_sealed_changes_over_at_once(void **state)
{
    Scene *scene = *state;
    send_both(scene, 5, 0, TRUE);
    session_changeover_begin(&scene->net, scene->captures[1], 0, G_MAXINT64);
    send_both(scene, 5, 0, FALSE);
    scene_add_keys(scene, FIRST_KEY);
    send_both(scene, 5, 0, TRUE);
    assert_files(scene, 1, VIDEO, "s:0-4");
    assert_files(scene, 2, VIDEO, "s:5-9 c:10-14");
    assert_files(scene, 2, AUDIO, "s:5-9 c:10-14");
}

/* A clear one waits for its key frame, also when it becomes sealed before it. */
static void a_clear_picture_changes_over_at_a_key_frame_or_when_it_is_sealed(void **state)
{
    Scene *scene = *state;
    scene_add_keys(scene, FIRST_KEY);
    scene_send(scene, VIDEO, 0, TRUE);
    session_changeover_begin(&scene->net, scene->captures[1], 0, G_MAXINT64);
    scene_send(scene, VIDEO, 0, FALSE);
    scene_send(scene, VIDEO, 0, FALSE);
    scene_send(scene, VIDEO, 10, FALSE);
    scene_send(scene, VIDEO, 10, FALSE);
    assert_files(scene, 1, VIDEO, "c:0-2");
    assert_files(scene, 2, VIDEO, "s:3-4");
}

/* One that goes back and forth stays sealed for longer and longer: a change costs a file. */
static void going_back_and_forth_is_slowed_down(void **state)
{
    Scene *scene = *state;
    scene_add_keys(scene, FIRST_KEY);
    for (guint i = 0; i < 100; i++)
        scene_send(scene, AUDIO, i % 2 ? 0 : 10, TRUE);
    const Decryption *decryption = scene->tracks[AUDIO]->decryption;
    assert_int_equal(decryption->n_changes, 2); /* for half a second after the second time, it stays as it is */
    g_autofree char *files = scene_files(scene, 1, AUDIO, BOTH_KEYS);
    assert_string_equal(files, "s:0 c:1 s:2-99");
}

static void after_many_changes_each_one_waits(void **state)
{
    Scene *scene = *state;
    Decryption *decryption = scene->tracks[AUDIO]->decryption;
    scene_add_keys(scene, FIRST_KEY);
    scene_send(scene, AUDIO, 0, TRUE);
    decryption->n_changes = SESSION_CHANGES_MAX;
    scene_send(scene, AUDIO, 10, TRUE);
    assert_int_equal(decryption->hold_us, SESSION_SEALED_HOLD_MAX_US);
    assert_true(decryption->clear_again_us > SESSION_SEALED_HOLD_MAX_US);
    assert_int_equal(session_decrypt_change_over(decryption), 1);
    assert_int_equal(decryption->n_changes, 0);
    assert_files(scene, 1, AUDIO, "c:0 s:1");
}

/* ---- frames ------------------------------------------------------------------------------------------------------ */

static void one_forged_frame_is_sealed_and_told(void **state)
{
    static const guint8 forged[40] = {0x00, 0x78};
    Scene *scene = *state;
    scene_add_keys(scene, FIRST_KEY);
    scene_send(scene, AUDIO, 0, TRUE);
    scene_send_raw(scene, AUDIO, forged, sizeof forged, TRUE);
    scene_send(scene, AUDIO, 0, TRUE);
    assert_told(scene, "want alice 0;unwant alice 0;");
    assert_int_equal(scene->net.ticking.sealed, 1);
    assert_int_equal(scene_count_events(scene, 1, "\"undecryptable\""), 1);
    assert_int_equal(scene_count_events(scene, 1, "\"bad-key\""), 1);
    assert_int_equal(scene_count_events(scene, 1, "\"frames\":1"), 1);
}

static void what_is_later_is_sealed_without_a_word(void **state)
{
    Scene *scene = *state;
    scene->job->fail_on_undecryptable_s = 1;
    send_both(scene, 10, 0, TRUE);
    scene_wait(scene, 2);
    send_both(scene, 10, 0, TRUE);
    scene_wait(scene, 2);
    assert_told(scene, "");
    assert_false(scene_asked_for_keyframe(scene));
    assert_files(scene, 1, AUDIO, "s:0-19");
    assert_files(scene, 1, VIDEO, "s:0-19");
    assert_int_equal(scene_count_events(scene, 1, "decryptable"), 0);
    assert_int_equal(scene->net.ticking.sealed, 40);
}

/* Keys that nobody heard of for long are not waited for; a flood of key ids is bounded. */
static void what_is_asked_for_is_bounded(void **state)
{
    Scene *scene = *state;
    Decryption *decryption = scene->tracks[AUDIO]->decryption;
    StenoContentOpened opened = {.has_kid = TRUE};
    for (opened.kid = 0; opened.kid < 1000; opened.kid++)
        session_trouble_note(decryption, STENO_CONTENT_NO_KEY, &opened, SECOND_US);
    assert_int_equal(decryption->n_troubles, SESSION_TROUBLES_MAX);
    scene_wait(scene, 0);
    g_auto(GStrv) wants = g_strsplit(scene->told->str, ";", -1);
    assert_int_equal(g_strv_length(wants), SESSION_TROUBLES_MAX + 1 + SESSION_TROUBLES_MAX); /* long ago */
    g_string_truncate(scene->told, 0);
    opened.kid = 5000;
    session_trouble_note(decryption, STENO_CONTENT_NO_KEY, &opened, SECOND_US + SESSION_UNWANTED_AFTER_US);
    assert_int_equal(decryption->n_troubles, SESSION_TROUBLES_MAX);
    g_string_truncate(scene->told, 0);
    session_trouble_end(decryption);
    assert_int_equal(decryption->n_troubles, 0);
}

/* A frame whose key cannot be told is not asked for, and told without one. */
static void what_is_no_sframe_has_no_key(void **state)
{
    static const guint8 rubbish[3] = {0xff, 0xff, 0xff};
    Scene *scene = *state;
    scene_add_keys(scene, FIRST_KEY);
    scene_send_raw(scene, AUDIO, rubbish, sizeof rubbish, TRUE);
    scene_wait(scene, 1.5);
    assert_told(scene, "");
    assert_int_equal(scene_count_events(scene, 1, "\"kid\":null"), 1);
}

/* Its packets cannot be put together without a look into them. */
static void a_codec_that_hides_its_frames_is_refused_once(void **state)
{
    static const guint8 obus[30] = {0x10};
    Scene *scene = *state;
    TrackPlan *plan = scene->tracks[VIDEO]->plan;
    plan->rtp.payloads[0].codec = STENO_CODEC_AV1;
    assert_int_equal(steno_rtp_set_track(scene->peer->rtp, &plan->rtp), 0);
    for (guint i = 0; i < 3; i++)
        scene_send_raw(scene, VIDEO, obus, sizeof obus, TRUE);
    assert_told(scene, "refused 2;");
    assert_files(scene, 1, VIDEO, "");
}

/* Where there is no memory to open a frame, it is kept as it came. */
static void without_room_frames_are_sealed(void **state)
{
    Scene *scene = *state;
    scene_add_keys(scene, FIRST_KEY);
    scene_send(scene, AUDIO, 0, TRUE);
    StenoFrame *frame = steno_frame_new(scene->net.frames, STENO_FRAME_MEDIA, 300);
    StenoFrame *format = steno_frame_new(scene->net.frames, STENO_FRAME_FORMAT, 0);
    steno_frame_unref(format); /* the last one that there is */
    GPtrArray *hoard = g_ptr_array_new_with_free_func((GDestroyNotify)steno_frame_unref);
    for (gsize bytes = STENO_FRAME_MAX_BYTES; bytes >= 256; bytes /= 2) {
        for (StenoFrame *other; (other = steno_frame_new(scene->net.frames, STENO_FRAME_MEDIA, bytes));)
            g_ptr_array_add(hoard, other);
    }
    frame->codec = STENO_CODEC_OPUS;
    frame->track = AUDIO;
    frame->payload_bytes = 300;
    frame->rtp_ts = 960;
    session_decrypt_frame(scene->tracks[AUDIO], frame);
    g_ptr_array_unref(hoard);
    assert_true(scene->tracks[AUDIO]->decryption->sealed);
    assert_int_equal(scene->net.ticking.sealed, 1);
    assert_told(scene, "");
}

/* What the server puts in on its own is not the participant's: it is left out, and counted. */
static void what_the_server_injects_is_left_out(void **state)
{
    static const guint8 silence[] = {0xf8, 0xff, 0xfe, 'T', 'r', 'a', 'i', 'l'};
    Scene *scene = *state;
    const StenoContentRingConfig config = {.format = scene->net.content, .live = TRUE, .sif_trailer = "Trail"};
    for (guint i = AUDIO; i <= VIDEO; i++)
        session_decrypt_free(g_steal_pointer(&scene->tracks[i]->decryption));
    steno_content_ring_free(scene->net.ring);
    scene->net.ring = steno_content_ring_new(&config);
    for (guint i = AUDIO; i <= VIDEO; i++)
        session_decrypt_begin(scene->tracks[i], "alice");
    scene_send_raw(scene, AUDIO, silence, sizeof silence, TRUE);
    scene_send(scene, AUDIO, 0, TRUE);
    assert_int_equal(scene->net.ticking.injected, 1);
    assert_int_equal(scene->net.ticking.frames, 1);
    assert_true(scene->tracks[AUDIO]->decryption->sealed); /* there is no key */
}

/* A participant's tracks wait for the same key: it is asked for once, until none of them does. */
static void a_key_is_asked_for_once(void **state)
{
    (void)state;
    g_autoptr(GError) error = NULL;
    g_autoptr(StenoJobSpec) job = steno_job_spec_new();
    StenoSession session = {.job = job};
    g_free(job->content);
    g_free(job->content_keys);
    job->content = g_strdup("sframe");
    job->content_keys = g_strdup("inline");
    job->key_set = steno_secret_new(FIRST_KEY, strlen(FIRST_KEY));
    if (!session_keys_open(&session, &error))
        fail_msg("%s", error->message);
    session_keys_want(&session, "alice", 7, TRUE);
    session_keys_want(&session, "alice", 7, TRUE);
    session_keys_want(&session, "alice", 8, TRUE);
    session_keys_want(&session, "bob", 7, TRUE);
    assert_int_equal(g_hash_table_size(session.wants), 3);
    session_keys_want(&session, "alice", 7, FALSE);
    assert_int_equal(g_hash_table_size(session.wants), 3);
    session_keys_want(&session, "alice", 7, FALSE);
    session_keys_want(&session, "alice", 7, FALSE); /* of nobody */
    assert_int_equal(g_hash_table_size(session.wants), 2);
    session_keys_close(&session);
}

/* ---- packets ----------------------------------------------------------------------------------------------------- */

/* The key changes within a frame: its first packets, which opened, are sealed with the others. */
static void a_frame_that_opens_in_half_is_sealed_as_a_whole(void **state)
{
    Scene *scene = *state;
    scene_add_keys(scene, FIRST_KEY);
    scene_send(scene, VIDEO, 0, TRUE);
    assert_int_equal(scene->packets, 3);
    scene->change_key_at = 2; /* its second packet is under the second key */
    scene_send(scene, VIDEO, 0, FALSE);
    scene_send(scene, VIDEO, 0, FALSE);
    scene_send(scene, VIDEO, 0, TRUE);
    scene_send(scene, VIDEO, 0, FALSE);
    assert_files(scene, 1, VIDEO, "c:0 s:1-2 c:3-4");
    assert_int_equal(scene_count_events(scene, 1, "\"gap\""), 0);
}

/* …and so is a key frame that would have been the first clear one. */
static void a_key_frame_that_opens_in_half_stays_sealed(void **state)
{
    Scene *scene = *state;
    scene_send(scene, VIDEO, 0, TRUE);
    scene_add_keys(scene, FIRST_KEY);
    scene->change_key_at = 3;
    scene_send(scene, VIDEO, 0, TRUE);
    scene_send(scene, VIDEO, 0, FALSE);
    scene_send(scene, VIDEO, 0, TRUE);
    assert_files(scene, 1, VIDEO, "s:0-2 c:3");
}

/* Its marker is lost: the next frame shows that it was whole. */
static void without_a_marker_the_next_frame_ends_it(void **state)
{
    Scene *scene = *state;
    scene_send(scene, VIDEO, 0, TRUE);
    scene_add_keys(scene, FIRST_KEY);
    scene->no_marker = TRUE;
    scene_send(scene, VIDEO, 0, TRUE);
    scene_send(scene, VIDEO, 0, FALSE);
    scene_send(scene, VIDEO, 10, FALSE);
    assert_files(scene, 1, VIDEO, "s:0 c:1 s:2-3");
}

static void a_frame_of_too_many_packets_is_sealed(void **state)
{
    Scene *scene = *state;
    scene_add_keys(scene, FIRST_KEY);
    scene_send(scene, VIDEO, 0, TRUE);
    scene_send_sized(scene, VIDEO, 0, FALSE, (SESSION_KEPT_PACKETS_MAX - 10) * 980);
    assert_false(scene->tracks[VIDEO]->decryption->sealed);
    scene_send_sized(scene, VIDEO, 0, FALSE, (SESSION_KEPT_PACKETS_MAX + 10) * 1000);
    assert_true(scene->tracks[VIDEO]->decryption->sealed);
    scene_send(scene, VIDEO, 0, FALSE);
    scene_send(scene, VIDEO, 0, TRUE);
    assert_files(scene, 1, VIDEO, "c:0-1 s:2-3 c:4");
}

int main(void)
{
#define FRAMES(name) cmocka_unit_test_setup_teardown(name, frames_setup, teardown)
#define PACKETS(name) cmocka_unit_test_setup_teardown(name, packets_setup, teardown)
#define BOTH(name) FRAMES(name), PACKETS(name)
    const struct CMUnitTest tests[] = {
        BOTH(with_the_key_all_is_clear),
        BOTH(before_the_first_key_frame_nothing_is_sealed),
        BOTH(a_late_key_opens_sound_at_once_and_a_picture_at_its_key_frame),
        BOTH(a_missing_key_is_told_once_and_when_it_is_there),
        BOTH(a_wrong_key_seals_everything),
        BOTH(a_new_key_that_is_late_loses_nothing),
        BOTH(a_new_key_that_is_there_changes_nothing),
        BOTH(losses_are_told_in_both_states),
        BOTH(a_pause_ends_what_was_begun),
        BOTH(what_is_sealed_changes_over_at_once),
        BOTH(a_clear_picture_changes_over_at_a_key_frame_or_when_it_is_sealed),
        BOTH(going_back_and_forth_is_slowed_down),
        BOTH(after_many_changes_each_one_waits),
        FRAMES(one_forged_frame_is_sealed_and_told),
        FRAMES(what_is_asked_for_is_bounded),
        FRAMES(what_is_no_sframe_has_no_key),
        FRAMES(a_codec_that_hides_its_frames_is_refused_once),
        FRAMES(without_room_frames_are_sealed),
        cmocka_unit_test_setup_teardown(what_the_server_injects_is_left_out, livekit_setup, teardown),
        cmocka_unit_test(a_key_is_asked_for_once),
        cmocka_unit_test_setup_teardown(what_is_later_is_sealed_without_a_word, later_setup, teardown),
        PACKETS(a_frame_that_opens_in_half_is_sealed_as_a_whole),
        PACKETS(a_key_frame_that_opens_in_half_stays_sealed),
        PACKETS(without_a_marker_the_next_frame_ends_it),
        PACKETS(a_frame_of_too_many_packets_is_sealed),
    };
    return cmocka_run_group_tests_name("session_sealed", tests, NULL, NULL);
}
