/* The `sdp` connector: who and what it tells of for files that media servers and tools write, and what it refuses. */
#include "steno/base/error.h"
#include "steno/channel.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <glib/gstdio.h>
#include <string.h>

typedef struct {
    GString *told; /* one word an event */
    StenoChannel *channel;
    gboolean close_when_joined;
} Told;

static void on_joined(gpointer user, const StenoParticipant *participant)
{
    g_string_append_printf(((Told *)user)->told, "joined(%s,%s) ", participant->id, participant->name);
}

static void on_offer(gpointer user, guint32 peer, const char *participant_id, const StenoSdp *offer)
{
    assert_int_equal(offer->media->len, 1);
    const StenoSdpMedia *media = g_ptr_array_index(offer->media, 0);
    const StenoSdpFormat *format = g_ptr_array_index(media->formats, 0);
    g_string_append_printf(((Told *)user)->told, "offer(%u,%s,%s:%u%s) ", peer, participant_id,
                           steno_codec_name(format->codec), media->port, media->sdes_suite ? ",sdes" : "");
}

static void on_state(gpointer user, StenoChannelState state, const GError *error)
{
    Told *told = user;
    assert_null(error);
    assert_int_equal(state, STENO_CHANNEL_JOINED);
    g_string_append(told->told, "JOINED ");
    if (told->close_when_joined) {
        StenoChannel *channel = g_steal_pointer(&told->channel);
        channel->connector->close(channel);
    }
}

static const StenoChannelEvents channel_events = {
    .participant_joined = on_joined, .peer_offer = on_offer, .state = on_state};

static StenoChannel *open_file(const char *path, Told *told, StenoJobSpec *job, GError **error)
{
    g_free(job->url);
    job->url = g_strdup(path);
    const StenoConnector *connector = steno_connector_find("sdp");
    assert_non_null(connector);
    return connector->open(job, NULL, NULL, &channel_events, told, error);
}

static void expect_told(const char *path, const char *expected)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(StenoJobSpec) job = steno_job_spec_new();
    Told told = {.told = g_string_new(NULL)};
    told.channel = open_file(path, &told, job, &error);
    if (error)
        fail_msg("%s", error->message);
    assert_string_equal(told.told->str, ""); /* nothing before the caller has its channel */
    while (g_main_context_iteration(NULL, FALSE))
        ;
    told.channel->connector->close(told.channel);
    assert_string_equal(told.told->str, expected);
    g_string_free(told.told, TRUE);
}

static void tells_of_real_files(void **state)
{
    (void)state;
    static const char *const files[][2] = {
        {"ffmpeg_vp8.sdp", "JOINED joined(sdp,sdp) offer(1,sdp,vp8:5004) "},
        {"ffmpeg_srtp.sdp", "JOINED joined(sdp,sdp) offer(1,sdp,h264:5008,sdes) "},
        {"broadcast.sdp", "JOINED joined(Studio A,Studio A) offer(1,Studio A,h265:6000) offer(2,Studio A,pcmu:6010) "},
        {"rtpengine_sdes.sdp",
         "JOINED joined(call 4711,call 4711) offer(1,call 4711,pcma:30032,sdes) offer(2,call 4711,opus:30034,sdes) "},
    };
    for (guint i = 0; i < G_N_ELEMENTS(files); i++) {
        g_autofree char *path = g_build_filename(STENO_TEST_DIR, "fuzz/channel/corpus/sdp", files[i][0], NULL);
        expect_told(path, files[i][1]);
    }
}

/* A file with this text; its path is the caller's. */
static char *write_file(const char *text)
{
    char *path = NULL;
    int fd = g_file_open_tmp("steno-sdp-XXXXXX", &path, NULL);
    assert_true(fd >= 0);
    assert_true(g_close(fd, NULL));
    assert_true(g_file_set_contents(path, text, -1, NULL));
    return path;
}

static void makes_a_participant_of_each_stream(void **state)
{
    (void)state;
    g_autofree char *path =
        write_file("v=0\ns=show\n"
                   "m=audio 5000 RTP/AVP 0\na=msid:ann a\nm=video 5002 RTP/AVP 96\na=rtpmap:96 VP8/90000\n"
                   "a=msid:bob v\nm=audio 5004 RTP/AVP 8\na=msid:ann b\nm=audio 0 RTP/AVP 8\n"
                   "m=audio 5006 RTP/AVP 8\na=inactive\nm=audio 5008 RTP/AVP 9\n");
    expect_told(path, "JOINED joined(ann,) offer(1,ann,pcmu:5000) joined(bob,) offer(2,bob,vp8:5002) "
                      "offer(3,ann,pcma:5004) ");
    g_unlink(path);
}

static void may_be_closed_from_inside(void **state)
{
    (void)state;
    g_autofree char *path = write_file("v=0\nm=audio 5000 RTP/AVP 0\n");
    g_autoptr(StenoJobSpec) job = steno_job_spec_new();
    Told told = {.told = g_string_new(NULL), .close_when_joined = TRUE};
    told.channel = open_file(path, &told, job, NULL);
    assert_non_null(told.channel);
    while (g_main_context_iteration(NULL, FALSE))
        ;
    assert_string_equal(told.told->str, "JOINED ");
    g_string_free(told.told, TRUE);
    g_unlink(path);
}

static void refuses(void **state)
{
    (void)state;
    static const struct {
        const char *text, *words;
        StenoError code;
    } cases[] = {
        {NULL, "cannot read the session description", STENO_ERROR_USAGE},
        {"", "it is empty", STENO_ERROR_SDP_INVALID},
        {"v=0\n", "no m= line", STENO_ERROR_SDP_INVALID},
        {"v=0\nm=audio 0 RTP/AVP 0\n", "no m= line", STENO_ERROR_SDP_INVALID},
        {"v=0\nm=audio 5000 RTP/AVP 9\n", "no m= line", STENO_ERROR_SDP_INVALID},
        {"v=0\nm=audio 5000 UDP/TLS/RTP/SAVPF 0\n", "needs an answer", STENO_ERROR_SDP_INVALID},
        {"v=0\nm=audio 5000 RTP/SAVP 0\n", "protected", STENO_ERROR_SDP_INVALID},
        {"v=0\nm=audio 5000 RTP/AVP 0\na=crypto:1 F8_128_HMAC_SHA1_80 inline:x\n", "protected",
         STENO_ERROR_SDP_INVALID},
    };
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(StenoJobSpec) job = steno_job_spec_new();
        Told told = {0};
        g_autofree char *path = cases[i].text ? write_file(cases[i].text) : g_strdup("/nonexistent/file.sdp");
        assert_null(open_file(path, &told, job, &error));
        if (!g_error_matches(error, STENO_ERROR, (gint)cases[i].code) || !strstr(error->message, cases[i].words))
            fail_msg("case %u: %s", i, error->message);
        if (cases[i].text)
            g_unlink(path);
    }
}

static void finds_connectors(void **state)
{
    (void)state;
    assert_non_null(steno_connector_find("janus"));
    assert_null(steno_connector_find("nothing"));
    assert_null(steno_connector_find(NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tells_of_real_files),       cmocka_unit_test(makes_a_participant_of_each_stream),
        cmocka_unit_test(may_be_closed_from_inside), cmocka_unit_test(refuses),
        cmocka_unit_test(finds_connectors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
