/*
 * Opens one channel and tells what happens, for tests against real servers. Lines of JSON on standard input: first
 * {"job": …}; then {"answer": peer, "local": {…}}, {"fail": peer} or {"close": true}. Lines of JSON on standard output:
 * each event of the channel.
 */
#include "steno/base/clock.h"
#include "steno/base/error.h"
#include "steno/channel.h"

#include <gio/gunixinputstream.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

typedef struct {
    GMainLoop *loop;
    GDataInputStream *input;
    StenoJobSpec *job;
    StenoGeofence *geofence;
    StenoChannel *channel;
    int exit_code;
    gboolean close_when_joined, close_on_offer; /* from inside of the event */
} Probe;

static void tell(json_t *event)
{
    json_object_set_new(event, "at_us", json_integer(steno_clock_mono_us()));
    char *text = json_dumps(event, JSON_COMPACT);
    puts(text);
    fflush(stdout);
    free(text);
    json_decref(event);
}

static void close_channel(Probe *probe)
{
    if (!probe->channel)
        return;
    gint64 start = steno_clock_mono_us();
    StenoChannel *channel = g_steal_pointer(&probe->channel);
    channel->connector->close(channel);
    tell(json_pack("{s:s, s:I}", "event", "closed", "took_us", (json_int_t)(steno_clock_mono_us() - start)));
}

static void on_joined(gpointer user, const StenoParticipant *participant)
{
    (void)user;
    tell(json_pack("{s:s, s:s, s:s}", "event", "participant_joined", "id", participant->id, "name", participant->name));
}

static void on_left(gpointer user, const char *id)
{
    (void)user;
    tell(json_pack("{s:s, s:s}", "event", "participant_left", "id", id));
}

static void on_offer(gpointer user, guint32 peer, const char *participant_id, const StenoSdp *offer)
{
    Probe *probe = user;
    json_t *lines = json_array();
    for (guint i = 0; i < offer->media->len; i++) {
        const StenoSdpMedia *media = g_ptr_array_index(offer->media, i);
        const StenoSdpFormat *format = media->formats->len ? g_ptr_array_index(media->formats, 0) : NULL;
        json_array_append_new(lines, json_pack("{s:s, s:s?, s:s?, s:i, s:s?, s:s?, s:i}", "kind", media->kind, "mid",
                                               media->mid, "codec", format ? steno_codec_name(format->codec) : NULL,
                                               "direction", (int)media->direction, "ufrag", media->ufrag, "msid",
                                               media->msid_stream, "candidates", (int)media->candidates->len));
    }
    tell(json_pack("{s:s, s:i, s:s, s:o}", "event", "peer_offer", "peer", (int)peer, "participant", participant_id,
                   "media", lines));
    if (probe->close_on_offer)
        close_channel(probe);
}

static void on_peer_closed(gpointer user, guint32 peer)
{
    (void)user;
    tell(json_pack("{s:s, s:i}", "event", "peer_closed", "peer", (int)peer));
}

static void on_stream_event(gpointer user, guint32 peer, const char *mid, const char *type, json_t *detail)
{
    (void)user;
    tell(json_pack("{s:s, s:i, s:s?, s:s, s:O?}", "event", "stream_event", "peer", (int)peer, "mid", mid, "type", type,
                   "detail", detail));
}

static void on_state(gpointer user, StenoChannelState state, const GError *error)
{
    static const char *const names[] = {"joining", "joined", "reconnecting", "ended"};
    Probe *probe = user;
    tell(json_pack("{s:s, s:s, s:s?, s:s?}", "event", "state", "state", names[state], "error",
                   error ? steno_error_slug((StenoError)error->code) : NULL, "message", error ? error->message : NULL));
    probe->exit_code = steno_error_exit_code(error);
    if (state == STENO_CHANNEL_ENDED || (state == STENO_CHANNEL_JOINED && probe->close_when_joined))
        close_channel(probe);
}

static void on_failed(gpointer user, const char *participant_id, const GError *error)
{
    (void)user;
    tell(json_pack("{s:s, s:s, s:o}", "event", "participant_failed", "id", participant_id, "error",
                   steno_error_to_json(error)));
}

static const StenoChannelEvents channel_events = {.participant_failed = on_failed,
                                                  .participant_joined = on_joined,
                                                  .participant_left = on_left,
                                                  .peer_offer = on_offer,
                                                  .peer_closed = on_peer_closed,
                                                  .stream_event = on_stream_event,
                                                  .state = on_state};

static void open_channel(Probe *probe, json_t *message)
{
    g_autoptr(GError) error = NULL;
    probe->close_when_joined = json_is_true(json_object_get(message, "close_when_joined"));
    probe->close_on_offer = json_is_true(json_object_get(message, "close_on_offer"));
    probe->job = steno_job_spec_from_json(json_object_get(message, "job"), &error);
    if (probe->job)
        probe->geofence = steno_geofence_new((const char *const *)probe->job->allow_media_cidr, &error);
    const StenoConnector *connector = error ? NULL : steno_connector_find(probe->job->platform);
    if (connector)
        probe->channel = connector->open(probe->job, probe->geofence, NULL, &channel_events, probe, &error);
    if (!probe->channel)
        on_state(probe, STENO_CHANNEL_ENDED, error);
}

static void answer(Probe *probe, guint32 peer, json_t *local)
{
    StenoTransportLocal mine = {
        .ufrag = (char *)json_string_value(json_object_get(local, "ufrag")),
        .password = (char *)json_string_value(json_object_get(local, "password")),
        .fingerprint = (char *)json_string_value(json_object_get(local, "fingerprint")),
        .setup = STENO_DTLS_ACTIVE,
        .candidates = g_ptr_array_new(),
    };
    gsize i;
    json_t *candidate;
    json_array_foreach (json_object_get(local, "candidates"), i, candidate)
        g_ptr_array_add(mine.candidates, (gpointer)json_string_value(candidate));
    probe->channel->connector->answer(probe->channel, peer, &mine);
    g_ptr_array_unref(mine.candidates);
}

static void read_line(Probe *probe);

static void on_line(GObject *object, GAsyncResult *result, gpointer user)
{
    (void)object;
    Probe *probe = user;
    gsize bytes;
    char *line = g_data_input_stream_read_line_finish(probe->input, result, &bytes, NULL);
    json_t *message = line ? json_loadb(line, bytes, 0, NULL) : NULL;
    g_free(line);
    if (!message || json_object_get(message, "close")) {
        close_channel(probe);
        json_decref(message);
        g_main_loop_quit(probe->loop);
        return;
    }
    guint32 failed = (guint32)json_integer_value(json_object_get(message, "fail"));
    guint32 answered = (guint32)json_integer_value(json_object_get(message, "answer"));
    if (json_object_get(message, "job")) {
        open_channel(probe, message);
    } else if (answered && probe->channel) {
        answer(probe, answered, json_object_get(message, "local"));
    } else if (failed && probe->channel) {
        g_autoptr(GError) why = g_error_new(STENO_ERROR, STENO_ERROR_MEDIA_UNREACHABLE, "no path, says the test");
        probe->channel->connector->peer_failed(probe->channel, failed, why);
    }
    json_decref(message);
    read_line(probe);
}

static void read_line(Probe *probe)
{
    g_data_input_stream_read_line_async(probe->input, G_PRIORITY_DEFAULT, NULL, on_line, probe);
}

int main(int argc, char **argv)
{
    Probe probe = {.loop = g_main_loop_new(NULL, FALSE)};
    StenoLogLevel level;
    if (argc > 1 && steno_log_level_from_name(argv[1], &level))
        steno_log_set_level(level);
    g_autoptr(GInputStream) input = g_unix_input_stream_new(STDIN_FILENO, FALSE);
    probe.input = g_data_input_stream_new(input);
    read_line(&probe);
    g_main_loop_run(probe.loop);
    g_clear_pointer(&probe.job, steno_job_spec_free);
    g_clear_pointer(&probe.geofence, steno_geofence_unref);
    g_object_unref(probe.input);
    g_main_loop_unref(probe.loop);
    return probe.exit_code;
}
