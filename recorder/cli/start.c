/* steno start, steno update: what a recording is asked for. */
#include "client.h"

#include "steno/base/clock.h"

#include <stdio.h>
#include <string.h>

/* A scheduled time that lies this long back is a slip, not a slow crontab. */
#define PAST_MAX_US (60 * G_USEC_PER_SEC)

/* ---- the request ------------------------------------------------------------------------------------------------- */

static gboolean add_duration(CliCall *call, const char *name, json_t *request, const char *member, GError **error)
{
    const char *text = cli_text(call, name);
    gint64 seconds = 0;
    if (!text)
        return TRUE;
    g_autofree char *option = g_strconcat("--", name, NULL);
    if (!cli_parse_duration(option, text, &seconds, error))
        return FALSE;
    json_object_set_new(request, member, json_integer(seconds));
    return TRUE;
}

static gboolean add_labels(CliCall *call, json_t *request, GError **error)
{
    char **labels = cli_texts(call, "label");
    if (!labels[0])
        return TRUE;
    json_t *object = json_object();
    json_object_set_new(request, "labels", object);
    for (; *labels; labels++) {
        const char *equals = strchr(*labels, '=');
        if (!equals || equals == *labels || !g_utf8_validate(*labels, -1, NULL)) {
            g_set_error(error, STENO_ERROR, STENO_ERROR_USAGE, "--label is '%s', but must be NAME=VALUE, as in case=17",
                        *labels);
            return FALSE;
        }
        g_autofree char *name = g_strndup(*labels, (gsize)(equals - *labels));
        json_object_set_new(object, name, json_string(equals + 1));
    }
    return TRUE;
}

/* "all", "none" or names. NULL: nothing was given. */
static json_t *names_of(char **given)
{
    if (!given[0])
        return NULL;
    if (!given[1] && (strcmp(given[0], "all") == 0 || strcmp(given[0], "none") == 0))
        return json_string(given[0]);
    json_t *names = json_array();
    for (; *given; given++)
        json_array_append_new(names, json_string(*given));
    return names;
}

static void add_subscribe(CliCall *call, json_t *request)
{
    json_t *subscribe = json_object();
    json_t *audio = names_of(cli_texts(call, "audio-of")), *video = names_of(cli_texts(call, "video-of"));
    if (audio)
        json_object_set_new(subscribe, "audio", audio);
    if (video)
        json_object_set_new(subscribe, "video", video);
    if (cli_text(call, "max-height"))
        json_object_set_new(subscribe, "max_height", json_integer(cli_int(call, "max-height", 0)));
    if (json_object_size(subscribe) > 0)
        json_object_set(request, "subscribe", subscribe);
    json_decref(subscribe);
}

static gboolean add_token(CliCall *call, json_t *request, GError **error)
{
    const char *token = cli_text(call, "token");
    if (token) {
        g_autoptr(StenoSecret) secret = cli_read_secret(call, "--token", token, FALSE, error);
        if (!secret)
            return FALSE;
        json_object_set_new(request, "token",
                            json_pack("{s:s, s:s}", "source", "given", "value", steno_secret_text(secret)));
    }
    return TRUE;
}

static gboolean add_changeable(CliCall *call, json_t *request, GError **error)
{
    add_subscribe(call, request);
    return add_token(call, request, error) && add_duration(call, "for", request, "max_duration_s", error) &&
           add_duration(call, "max-idle", request, "max_idle_s", error) && add_labels(call, request, error);
}

static void add_text(CliCall *call, const char *name, json_t *request)
{
    const char *text = cli_text(call, name);
    if (text)
        json_object_set_new(request, name, json_string(text));
}

static void add_texts(CliCall *call, const char *name, json_t *request, const char *member)
{
    char **texts = cli_texts(call, name);
    json_t *list = json_array();
    for (; *texts; texts++)
        json_array_append_new(list, json_string(*texts));
    if (json_array_size(list) > 0)
        json_object_set(request, member, list);
    json_decref(list);
}

static gboolean add_time(CliCall *call, json_t *request, GError **error)
{
    const char *text = cli_text(call, "at");
    if (!text)
        return TRUE;
    gint64 now_us = steno_clock_wall_us();
    g_autoptr(GTimeZone) zone = g_time_zone_new_local();
    g_autofree char *utc = cli_parse_time("--at", text, now_us, zone, error);
    if (!utc)
        return FALSE;
    g_autoptr(GDateTime) time = g_date_time_new_from_iso8601(utc, NULL);
    if (g_date_time_to_unix(time) * G_USEC_PER_SEC < now_us - PAST_MAX_US) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_USAGE, "--at is '%s', which has passed", text);
        return FALSE;
    }
    json_object_set_new(request, "start_at", json_string(utc));
    return TRUE;
}

static gboolean check_given(CliCall *call, GError **error)
{
    static const char *const needed[] = {"app", "platform", "channel"};
    for (guint i = 0; i < G_N_ELEMENTS(needed); i++) {
        const char *text = cli_text(call, needed[i]);
        if (!text || !text[0]) {
            g_set_error(error, STENO_ERROR, STENO_ERROR_USAGE, "--%s is missing; see `steno start --help`", needed[i]);
            return FALSE;
        }
    }
    if (cli_text(call, "token") && cli_flag(call, "no-token")) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_USAGE, "give --token or --no-token, not both");
        return FALSE;
    }
    return TRUE;
}

static json_t *make_request(CliCall *call, GError **error)
{
    json_t *request = json_object();
    add_text(call, "app", request);
    add_text(call, "platform", request);
    add_text(call, "channel", request);
    add_text(call, "profile", request);
    add_text(call, "webhook", request);
    if (cli_flag(call, "no-token"))
        json_object_set_new(request, "token", json_pack("{s:s}", "source", "none"));
    const char *outputs = cli_text(call, "outputs"), *audio = cli_text(call, "audio");
    if (outputs || audio)
        json_object_set_new(
            request, "outputs",
            json_pack("[{s:s, s:s}]", "type", outputs ? outputs : "participant", "audio", audio ? audio : "copy"));
    add_texts(call, "storage", request, "storages");
    add_text(call, "store", request);
    if (cli_flag(call, "rotate-join"))
        json_object_set_new(request, "rotate_join", json_true());
    if (add_changeable(call, request, error) && add_duration(call, "rotate", request, "rotate_s", error) &&
        cli_add_content(call, request, error) && add_time(call, request, error))
        return request;
    json_decref(request);
    return NULL;
}

/* ---- start ------------------------------------------------------------------------------------------------------- */

/*
 * Asks. With --unless-running, of two that ask at the same moment stenod's journal lets one through, and tells the
 * other which one it was. The Idempotency-Key is new each time (unless given), so that it only covers sending again:
 * one made from the time asked for would answer with a recording that was stopped long ago, and nothing would be
 * recorded.
 */
static json_t *ask(CliClient *client, CliCall *call, const json_t *request, GError **error)
{
    const char *given = cli_text(call, "idempotency-key");
    g_autofree char *made = steno_job_new_id();
    CliExchange exchange = {
        .method = "POST", .path = "/v1/recordings", .body = request, .idempotency_key = given ? given : made};
    json_t *recording = NULL;
    g_autoptr(GError) refused = NULL;
    if (!cli_client_exchange(client, &exchange, &recording, &refused)) {
        g_autofree char *running = g_strdup(cli_member(exchange.problem, "recording"));
        json_decref(exchange.problem);
        if (cli_flag(call, "unless-running") && running[0] &&
            g_error_matches(refused, STENO_ERROR, STENO_ERROR_ALREADY_RECORDING)) {
            g_autofree char *path = cli_path("recordings", running, NULL);
            return cli_client_ask(client, "GET", path, NULL, error);
        }
        g_prefix_error(&refused, "channel %s on %s is not being recorded%s: ", cli_text(call, "channel"),
                       cli_text(call, "platform"), running[0] ? " once more" : "");
        g_propagate_error(error, g_steal_pointer(&refused));
        return NULL;
    }
    if (!cli_member(recording, "id")[0]) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_PROTOCOL, "stenod answered without a recording's id");
        json_decref(recording);
        return NULL;
    }
    return recording;
}

static int run_start(CliCall *call, GError **error)
{
    if (!check_given(call, error))
        return 2;
    json_t *request = make_request(call, error);
    g_autoptr(CliClient) client = request ? cli_client_new(call, error) : NULL;
    json_t *recording = client ? ask(client, call, request, error) : NULL;
    json_decref(request);
    if (!recording)
        return 1;
    g_autofree char *id = g_strdup(cli_member(recording, "id"));
    if (!call->json) {
        puts(id);
        fflush(stdout);
    }
    if (cli_flag(call, "wait")) {
        json_decref(recording);
        recording = cli_wait_ended(client, id, error);
    }
    if (recording && call->json)
        cli_print_answer(recording);
    if (recording && cli_flag(call, "wait"))
        (void)cli_check_result(recording, error);
    json_decref(recording);
    return 0;
}

/* ---- update ------------------------------------------------------------------------------------------------------ */

static int run_update(CliCall *call, GError **error)
{
    json_t *request = json_object();
    json_t *recording = NULL;
    if (add_changeable(call, request, error)) {
        g_autofree char *path = cli_path("recordings", call->operands[0], NULL);
        g_autoptr(CliClient) client = NULL;
        if (json_object_size(request) == 0)
            g_set_error(error, STENO_ERROR, STENO_ERROR_USAGE,
                        "nothing to change was given; see `steno update --help`");
        else if ((client = cli_client_new(call, error)))
            recording = cli_client_ask(client, "PATCH", path, request, error);
    }
    json_decref(request);
    if (recording && call->json)
        cli_print_answer(recording);
    json_decref(recording);
    return recording ? 0 : 1;
}

/* ---- tables ------------------------------------------------------------------------------------------------------ */

/* What can be changed later, too. */
#define CHANGEABLE                                                                                                     \
    {"token", 0, CLI_TEXT, "@FILE|-", "join token, from a file (mode 0600) or standard input"},                        \
        {"audio-of", 0, CLI_LIST, "PARTICIPANT", "record only these participants' sound: ids or names, all or none"},  \
        {"video-of", 0, CLI_LIST, "PARTICIPANT",                                                                       \
         "record only these participants' pictures: ids or names, all or none"},                                       \
        {"max-height", 0, CLI_INT, "PIXELS", "choose simulcast layers of at most this height (0: the best)", 0, 8640}, \
        {"for", 0, CLI_TEXT, "DURATION", "stop after this long: 1h, 90m, 30s, 1h30m (0: no limit)"},                   \
        {"max-idle", 0, CLI_TEXT, "DURATION", "stop after this long without media (0: never)"},                        \
    {                                                                                                                  \
        "label", 0, CLI_LIST, "NAME=VALUE", "label the recording, for filters and webhooks (repeatable)"               \
    }

static const CliOption start_options[] = {
    {"app", 0, CLI_TEXT, "NAME", "the app it belongs to"},
    {"platform", 0, CLI_TEXT, "NAME", "the platform, by its name in stenod's configuration"},
    {"channel", 0, CLI_TEXT, "CHANNEL", "the channel (room) to record"},
    {"profile", 0, CLI_TEXT, "NAME", "to record a channel twice, differently (default: default)"},
    {"no-token", 0, CLI_FLAG, NULL, "join without a token, also where one could be minted"},
    CHANGEABLE,
    {"outputs", 0, CLI_TEXT, "participant|track", "one file a participant, or a track"},
    {"audio", 0, CLI_TEXT, "copy|aac", "audio in the files: as sent, or AAC"},
    {"storage", 0, CLI_LIST, "NAME", "where the files go (repeatable; default: as the app's `store` says)"},
    {"store", 0, CLI_TEXT, "all|first", "of several storages all must have the files, or the first that takes them"},
    {"rotate", 0, CLI_TEXT, "DURATION",
     "begin new files after this long, and store the finished ones while it goes on (0: never; default: the app's)"},
    {"rotate-join", 0, CLI_FLAG, NULL, "join what was rotated into one file each at the end"},
    {"content", 0, CLI_TEXT, "FORMAT",
     "the channel's own encryption: none, sframe, livekit, jitsi, aes-128-gcm2 … (default: the app's)"},
    {"keys", 0, CLI_TEXT, "NAME|later|@FILE|-",
     "its keys: a key source's name, later (record sealed), or a key file (mode 0600) (default: the app's)"},
    {"fail-on-undecryptable", 0, CLI_TEXT, "DURATION",
     "end the recording when a track cannot be decrypted for so long (0: never; default: the app's)"},
    {"at", 0, CLI_TEXT, "TIME", "start then: 08:30 (the next one), \"2026-11-22 08:30\", 2026-11-22T08:30:00Z"},
    {"webhook", 0, CLI_TEXT, "NAME", "tell its events there (default: the app's)"},
    {"unless-running", 0, CLI_FLAG, NULL,
     "when the channel is being recorded already, print that one's id; it is no error"},
    {"wait", 0, CLI_FLAG, NULL, "wait until it has ended; its result is the exit code"},
    {"idempotency-key", 0, CLI_TEXT, "KEY", "the same key makes the same recording, however often it is sent"},
    {NULL},
};

static const CliOption update_options[] = {
    CHANGEABLE,
    {NULL},
};

const CliCommand cli_start = {
    .name = "start",
    .words = "have stenod record a channel",
    .operands = "",
    .summary =
        "Has stenod record a channel, now or at a time, and prints the recording's id. stenod goes on by itself: the\n"
        "command may end. For cron: nothing is printed on standard error when all is well, and of two commands with\n"
        "--unless-running at the same moment one starts a recording and both print its id.",
    .examples =
        "  steno start --app clinic --platform janus-1 --channel 1234 --for 1h --unless-running\n"
        "  steno start --app clinic --platform janus-1 --channel 1234 --at 08:30 --label case=17\n"
        "  steno start --app clinic --platform janus-1 --channel 1234 --storage primary --storage archive \\\n"
        "      --store all --rotate 30m\n"
        "  steno start --app clinic --platform janus-1 --channel 1234 --content livekit --keys @channel.keys.json\n",
    .codes = "already-recording conflict limit-reached disk-low idempotency-mismatch off-the-record keys-invalid",
    .code_words = "  10…44  with --wait: why the recording failed, as of `steno record`\n",
    .options = start_options,
    .remote = TRUE,
    .run = run_start,
};

const CliCommand cli_update = {
    .name = "update",
    .words = "change a recording that runs",
    .operands = "ID",
    .operands_min = 1,
    .operands_max = 1,
    .summary = "Changes what a running recording was asked for: whom it records, how long, its labels, its join token.",
    .examples = "  steno update 01JD8Z… --for 2h --label case=18\n"
                "  steno update 01JD8Z… --token @/run/secrets/join.token\n",
    .codes = "conflict",
    .options = update_options,
    .remote = TRUE,
    .run = run_update,
};
