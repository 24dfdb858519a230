#include "publisher.h"
#include "steno/base/clock.h"

#include <glib-unix.h>
#include <stdio.h>
#include <string.h>

#define TICK_MS 5

typedef struct {
    Options options;
    Clip *video, *audio;
    Participant *participants;
    guint n;
    const OutputKind *kind;
    Output *output;
    GMainLoop *loop;
    gint64 end_us;
    gboolean lost;
} Publisher;

static gboolean parse(Options *options, int *argc, char ***argv, GError **error)
{
    options->count = 1;
    const GOptionEntry entries[] = {
        {"url", 0, 0, G_OPTION_ARG_STRING, &options->url, "Janus' HTTP address", "URL"},
        {"room", 0, 0, G_OPTION_ARG_INT64, &options->room, "room to publish in", "N"},
        {"token", 0, 0, G_OPTION_ARG_STRING, &options->token, "token of every request", "T"},
        {"api-secret", 0, 0, G_OPTION_ARG_STRING, &options->api_secret, "Janus' API secret", "S"},
        {"room-token", 0, 0, G_OPTION_ARG_STRING, &options->room_token, "token of the join", "T"},
        {"pin", 0, 0, G_OPTION_ARG_STRING, &options->pin, "pin of the room", "P"},
        {"ca-file", 0, 0, G_OPTION_ARG_FILENAME, &options->ca_file, "certificate authority of https", "FILE"},
        {"display", 0, 0, G_OPTION_ARG_STRING, &options->display, "display name; -1, -2 … is added to more than one",
         "NAME"},
        {"video", 0, 0, G_OPTION_ARG_FILENAME, &options->video, "clip with H.264, H.265, VP8, VP9 or AV1", "FILE"},
        {"audio", 0, 0, G_OPTION_ARG_FILENAME, &options->audio, "clip with Opus or G.711", "FILE"},
        {"loop", 0, 0, G_OPTION_ARG_NONE, &options->loop, "start again at the clip's end", NULL},
        {"count", 0, 0, G_OPTION_ARG_INT, &options->count, "participants (1)", "K"},
        {"seconds", 0, 0, G_OPTION_ARG_INT, &options->seconds, "stop after so long", "S"},
        {"mute-at", 0, 0, G_OPTION_ARG_STRING, &options->mute_at, "send no audio (or video) from A to B seconds",
         "[video:]A:B"},
        {"seal", 0, 0, G_OPTION_ARG_FILENAME, &options->seal, "encrypt frames or payloads as this description says",
         "FILE"},
        {"no-rtx", 0, 0, G_OPTION_ARG_NONE, &options->no_rtx, "answer NACKs by plain resends", NULL},
        {"no-extensions", 0, 0, G_OPTION_ARG_NONE, &options->no_extensions, "no RTP header extensions", NULL},
        {"sdp-out", 0, 0, G_OPTION_ARG_FILENAME, &options->sdp_out, "instead of Janus: plain RTP, told in this file",
         "FILE"},
        {"sdp-each", 0, 0, G_OPTION_ARG_NONE, &options->sdp_each, "one file a participant: FILE.0, FILE.1 …", NULL},
        {"to", 0, 0, G_OPTION_ARG_STRING, &options->to, "where plain RTP goes: 4 ports a participant", "HOST:PORT"},
        {"srtp", 0, 0, G_OPTION_ARG_STRING, &options->srtp, "SDES suite, or none", "SUITE"},
        {"delay-ms", 0, 0, G_OPTION_ARG_INT, &options->delay_ms, "plain RTP starts so long after its file is there",
         "MS"},
        {NULL}};
    g_autoptr(GOptionContext) context = g_option_context_new("- send clips to a Janus VideoRoom or as plain RTP");

    g_option_context_add_main_entries(context, entries, NULL);
    if (!g_option_context_parse(context, argc, argv, error))
        return FALSE;
    if (!options->display)
        options->display = g_strdup("publisher");
    if ((!options->video && !options->audio) || options->count < 1 || options->count > 1000 ||
        (options->sdp_out ? !options->to : !options->url || !options->room)) {
        g_set_error_literal(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                            "give --video or --audio, and --url with --room, or --sdp-out with --to");
        return FALSE;
    }
    return TRUE;
}

static void apply_mute(Participant *participant, const char *text)
{
    gboolean video = text && g_str_has_prefix(text, "video:");
    double from, to;

    if (!text || sscanf(video ? text + 6 : text, "%lf:%lf", &from, &to) != 2)
        return;
    for (guint i = 0; i < participant->n_tracks; i++) {
        Track *track = &participant->tracks[i];
        if (video == (track->clip->channels == 0)) {
            track->mute_from_us = (gint64)(from * G_USEC_PER_SEC);
            track->mute_to_us = (gint64)(to * G_USEC_PER_SEC);
        }
    }
}

static void make_participants(Publisher *publisher)
{
    const Options *options = &publisher->options;

    publisher->n = (guint)options->count;
    publisher->participants = g_new0(Participant, publisher->n);
    for (guint i = 0; i < publisher->n; i++) {
        Participant *participant = &publisher->participants[i];
        participant->name =
            publisher->n == 1 ? g_strdup(options->display) : g_strdup_printf("%s-%u", options->display, i + 1);
        participant->cname = g_strdup_printf("%08x", g_random_int());
        participant->loop = options->loop;
        /* Spread, so that forty cameras do not send in the same millisecond. */
        participant->phase_us = (gint64)i * 33333 / publisher->n;
        if (publisher->audio)
            participant_add_track(participant, publisher->audio, FALSE);
        if (publisher->video)
            participant_add_track(participant, publisher->video, TRUE);
        apply_mute(participant, options->mute_at);
    }
}

/* One JSON object a line, on standard output. */
static void say(const Publisher *publisher, const char *event)
{
    json_t *participants = json_array();

    for (guint i = 0; i < publisher->n; i++)
        json_array_append_new(participants, participant_report(&publisher->participants[i]));
    json_t *line = json_pack("{s:s, s:I, s:b, s:o}", "event", event, "wall_us", (json_int_t)steno_clock_wall_us(),
                             "lost", publisher->lost, "participants", participants);
    char *text = json_dumps(line, JSON_COMPACT);
    puts(text);
    fflush(stdout);
    free(text);
    json_decref(line);
}

static void clear_options(Options *options)
{
    char *texts[] = {options->url,     options->token,   options->room_token, options->pin,     options->api_secret,
                     options->display, options->video,   options->audio,      options->sdp_out, options->to,
                     options->srtp,    options->ca_file, options->mute_at,    options->seal};

    for (guint i = 0; i < G_N_ELEMENTS(texts); i++)
        g_free(texts[i]);
}

static gboolean on_tick(gpointer user)
{
    Publisher *publisher = user;
    gint64 now_us = g_get_monotonic_time();
    gboolean all_done = TRUE;

    for (guint i = 0; i < publisher->n; i++) {
        participant_tick(&publisher->participants[i], now_us);
        all_done &= publisher->participants[i].done;
    }
    publisher->lost = !publisher->kind->tick(publisher->output, now_us);
    if (all_done || publisher->lost || (publisher->end_us && now_us >= publisher->end_us))
        g_main_loop_quit(publisher->loop);
    return G_SOURCE_CONTINUE;
}

static gboolean on_signal(gpointer user)
{
    g_main_loop_quit(((Publisher *)user)->loop);
    return G_SOURCE_CONTINUE;
}

static gboolean run(Publisher *publisher, GError **error)
{
    const Options *options = &publisher->options;

    if (options->video && !(publisher->video = clip_load(options->video, TRUE, options->seal, error)))
        return FALSE;
    if (options->audio && !(publisher->audio = clip_load(options->audio, FALSE, options->seal, error)))
        return FALSE;
    make_participants(publisher);
    publisher->kind = options->sdp_out ? &udp_output : &janus_output;
    publisher->output =
        publisher->kind->open(options, publisher->participants, publisher->n, g_main_context_default(), error);
    if (!publisher->output)
        return FALSE;
    say(publisher, "started");
    publisher->loop = g_main_loop_new(NULL, FALSE);
    if (options->seconds)
        publisher->end_us = g_get_monotonic_time() + options->seconds * G_USEC_PER_SEC;
    guint tick = g_timeout_add(TICK_MS, on_tick, publisher);
    guint term = g_unix_signal_add(SIGTERM, on_signal, publisher),
          interrupt = g_unix_signal_add(SIGINT, on_signal, publisher);
    g_main_loop_run(publisher->loop);
    g_source_remove(tick);
    g_source_remove(term);
    g_source_remove(interrupt);
    publisher->kind->close(publisher->output);
    say(publisher, "ended");
    g_main_loop_unref(publisher->loop);
    return TRUE;
}

int main(int argc, char **argv)
{
    Publisher publisher = {0};
    g_autoptr(GError) error = NULL;
    gboolean ok = parse(&publisher.options, &argc, &argv, &error) && run(&publisher, &error);

    if (!ok)
        g_printerr("steno-publisher: %s\n", error->message);
    for (guint i = 0; i < publisher.n; i++)
        participant_clear(&publisher.participants[i]);
    g_free(publisher.participants);
    clip_free(publisher.video);
    clip_free(publisher.audio);
    clear_options(&publisher.options);
    return ok ? (publisher.lost ? 3 : 0) : 1;
}
