/* Which streams of a Janus participant are asked for, given up and taken up again, and in which size. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "janus_private.h"

#include <string.h>

typedef struct {
    StenoJobSpec *job;
    JanusChannel channel;
    JanusParticipant participant;
    JanusSubscriber subscriber;
} Fixture;

static int setup(void **state)
{
    Fixture *fixture = g_new0(Fixture, 1);
    fixture->job = steno_job_spec_new();
    fixture->channel.job = fixture->job;
    fixture->participant = (JanusParticipant){.id = (char *)"7", .name = (char *)"Ada", .feed = json_integer(7)};
    fixture->subscriber = (JanusSubscriber){.channel = &fixture->channel,
                                            .participant = &fixture->participant,
                                            .streams = g_ptr_array_new_with_free_func(janus_stream_free)};
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    Fixture *fixture = *state;
    g_ptr_array_unref(fixture->subscriber.streams);
    json_decref(fixture->participant.feed);
    steno_job_spec_free(fixture->job);
    g_free(fixture);
    return 0;
}

/* Streams as Janus lists them: "mid:feed mid:type", with "-" for a feed mid of one that is not active. */
static guint listed(Fixture *fixture, const char *rows)
{
    g_auto(GStrv) each = g_strsplit(rows, " ", -1);
    json_t *list = json_array();
    const char *duplicate = NULL;
    for (char **row = each; *row && **row; row++) {
        g_auto(GStrv) words = g_strsplit(*row, ":", 3);
        json_t *stream = json_pack("{s:s, s:s, s:b}", "mid", words[0], "type", words[2], "active", words[1][0] != '-');
        if (words[1][0] != '-')
            json_object_set_new(stream, "feed_mid", json_string(words[1]));
        json_array_append_new(list, stream);
    }
    guint active = janus_streams_read(&fixture->subscriber, list, &duplicate);
    json_decref(list);
    return active;
}

static void wants(Fixture *fixture, const char *audio, const char *video)
{
    json_t *changes = json_pack("{s:o, s:o}", "subscribe_audio", audio ? json_pack("[s]", audio) : json_array(),
                                "subscribe_video", video ? json_pack("[s]", video) : json_array());
    json_t *settings = json_pack("{s:s, s:s}", "platform", "sdp", "url", "x");
    (void)json_object_update(settings, changes);
    StenoJobSpec *job = steno_job_spec_from_json(settings, NULL);
    job->max_height = fixture->job->max_height;
    steno_job_spec_free(fixture->job);
    fixture->channel.job = fixture->job = job;
    json_decref(changes);
    json_decref(settings);
}

/* The next request, in few words. */
static void asks(Fixture *fixture, const char *wanted)
{
    g_autoptr(GString) words = g_string_new(NULL);
    json_t *request = janus_streams_next_request(&fixture->subscriber), *stream;
    size_t i;
    g_string_append(words, request ? json_string_value(json_object_get(request, "request")) : "");
    json_array_foreach (json_object_get(request, "streams"), i, stream) {
        const char *of = json_string_value(json_object_get(stream, "sub_mid"));
        of = of ? of : json_string_value(json_object_get(stream, "mid"));
        g_string_append_printf(words, " %s", of);
        if (json_object_get(stream, "substream"))
            g_string_append_printf(words, "/%d", (int)json_integer_value(json_object_get(stream, "substream")));
    }
    json_decref(request);
    assert_string_equal(words->str, wanted);
}

static void what_is_not_wanted_is_given_up_and_taken_up_again(void **state)
{
    Fixture *fixture = *state;
    assert_int_equal(listed(fixture, "0:0:audio 1:1:video 2:2:video"), 3);
    asks(fixture, "");
    wants(fixture, NULL, "Bob");
    asks(fixture, "unsubscribe 1 2");
    assert_int_equal(listed(fixture, "0:0:audio 1:-:video 2:-:video"), 1);
    asks(fixture, "");
    wants(fixture, "none", "Ada");
    asks(fixture, "unsubscribe 0");
    assert_int_equal(listed(fixture, "0:-:audio 1:-:video 2:-:video"), 0);
    asks(fixture, "subscribe 1/2 2/2");
    /* One came, in another place; the other is no more, and is not asked for again. */
    assert_int_equal(listed(fixture, "0:-:audio 1:2:video 2:-:video"), 1);
    asks(fixture, "");
    wants(fixture, NULL, NULL);
    asks(fixture, "subscribe 0/2");
    janus_streams_forget_lost(&fixture->subscriber); /* it was refused */
    asks(fixture, "");
}

static void a_duplicate_that_goes_takes_nothing_with_it(void **state)
{
    Fixture *fixture = *state;
    assert_int_equal(listed(fixture, "0:0:audio 1:1:video 2:1:video"), 3);
    fixture->subscriber.duplicate = (char *)"2"; /* it is unsubscribed */
    wants(fixture, NULL, "Bob");
    asks(fixture, "unsubscribe 1");
    assert_int_equal(listed(fixture, "0:0:audio 1:-:video 2:1:video"), 2);
    asks(fixture, "");
    fixture->subscriber.duplicate = NULL;
    assert_int_equal(listed(fixture, "0:0:audio 1:-:video 2:-:video"), 1);
    wants(fixture, NULL, NULL);
    asks(fixture, "subscribe 1/2");
}

static StenoSdp *offer(const char *text)
{
    GError *error = NULL;
    StenoSdp *sdp = steno_sdp_parse(text, strlen(text), &error);
    if (!sdp)
        fail_msg("%s", error->message);
    return sdp;
}

static void what_slept_in_an_answer_is_woken_up(void **state)
{
    Fixture *fixture = *state;
    static const char text[] = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n"
                               "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\na=sendonly\r\n"
                               "a=rtpmap:111 opus/48000/2\r\n"
                               "m=video 9 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\na=mid:1\r\na=sendonly\r\n"
                               "a=rtpmap:96 VP8/90000\r\n";
    assert_int_equal(listed(fixture, "0:0:audio 1:1:video"), 2);
    wants(fixture, NULL, "none");
    g_autoptr(StenoSdp) first = offer(text);
    janus_streams_silence(&fixture->subscriber, first);
    assert_int_equal(((StenoSdpMedia *)first->media->pdata[0])->direction, STENO_SDP_SENDONLY);
    assert_int_equal(((StenoSdpMedia *)first->media->pdata[1])->direction, STENO_SDP_INACTIVE);
    /* Wanted again before Janus was even asked to stop: it sends to an m-line that sleeps. */
    wants(fixture, NULL, NULL);
    asks(fixture, "unsubscribe 1");
    listed(fixture, "0:0:audio 1:-:video");
    asks(fixture, "subscribe 1/2");
    listed(fixture, "0:0:audio 1:1:video");
    g_autoptr(StenoSdp) second = offer(text);
    janus_streams_silence(&fixture->subscriber, second);
    assert_int_equal(((StenoSdpMedia *)second->media->pdata[1])->direction, STENO_SDP_SENDONLY);
    asks(fixture, "");
}

static void ceiling(Fixture *fixture, gint64 max_height)
{
    fixture->job->max_height = max_height;
    janus_streams_choose(&fixture->subscriber);
}

/* Janus sends this layer, and its pictures have this height. */
static void comes(Fixture *fixture, int layer, guint height)
{
    if (layer >= 0)
        janus_streams_layer(&fixture->subscriber, "1", layer);
    janus_streams_picture(&fixture->subscriber, "1", height);
}

static void the_highest_layer_below_the_ceiling(void **state)
{
    Fixture *fixture = *state;
    fixture->job->max_height = 720;
    json_t *request = janus_stream_request(&fixture->subscriber, NULL);
    assert_int_equal(json_integer_value(json_object_get(request, "substream")), 0);
    json_decref(request);
    listed(fixture, "0:0:audio 1:1:video");
    asks(fixture, "");
    /* From below: 270, 540, and 1080 would be too high. */
    comes(fixture, 0, 270);
    asks(fixture, "configure 1/1");
    comes(fixture, 1, 540);
    asks(fixture, "");
    ceiling(fixture, 0);
    asks(fixture, "configure 1/2");
    comes(fixture, 2, 1080);
    asks(fixture, "");
    ceiling(fixture, 1079);
    asks(fixture, "configure 1/1");
    comes(fixture, 1, 540);
    ceiling(fixture, 100);
    asks(fixture, "configure 1/0");
    comes(fixture, 0, 270); /* nothing is lower */
    asks(fixture, "");
    /* The camera changes: what was known of the others is void. */
    ceiling(fixture, 360);
    asks(fixture, "");
    comes(fixture, 0, 90);
    asks(fixture, "configure 1/2");
}

static void other_numbers_of_layers_and_other_orders(void **state)
{
    Fixture *fixture = *state;
    fixture->job->max_height = 200;
    listed(fixture, "1:1:video");
    /* The layer that was asked for is not sent: another comes, too high; the one between has what is wanted. */
    comes(fixture, 2, 360);
    asks(fixture, "configure 1/1");
    comes(fixture, 1, 180);
    asks(fixture, "");
    /* From the highest: what is asked for first is the highest; the next ones are looked at. */
    g_ptr_array_set_size(fixture->subscriber.streams, 0);
    listed(fixture, "1:1:video");
    comes(fixture, 0, 720);
    asks(fixture, "configure 1/1");
    comes(fixture, 1, 360);
    asks(fixture, "configure 1/2");
    comes(fixture, 2, 180);
    asks(fixture, "");
    ceiling(fixture, 0);
    asks(fixture, "configure 1/0");
    /* No layers at all: nothing comes of asking, and it is not done again and again. */
    g_ptr_array_set_size(fixture->subscriber.streams, 0);
    fixture->job->max_height = 200;
    listed(fixture, "1:1:video");
    comes(fixture, -1, 720);
    asks(fixture, "");
    comes(fixture, -1, 720);
    asks(fixture, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(what_is_not_wanted_is_given_up_and_taken_up_again),
        TEST(a_duplicate_that_goes_takes_nothing_with_it),
        TEST(what_slept_in_an_answer_is_woken_up),
        TEST(the_highest_layer_below_the_ceiling),
        TEST(other_numbers_of_layers_and_other_orders),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
