/* Following events, across restarts of stenod; waiting for a recording's end. */
#include "client.h"

#include "steno/base/clock.h"

#include <string.h>

/* stenod writes a comment more often than this; a connection without one is dead. */
#define SILENCE_S 90
/* A stenod that is not there for so long is not just being replaced. */
#define AWAY_MAX_US (60 * G_USEC_PER_SEC)
#define AGAIN_US (500 * 1000)

typedef struct {
    const CliFollow *follow;
    gpointer user;
    CliSse *sse;
    char *last_id;
    gboolean ended, was_open;
    GError *error;
} Following;

static gboolean on_opened(gpointer user, long status)
{
    Following *following = user;
    (void)status;
    following->was_open = TRUE;
    following->ended = following->follow->opened && !following->follow->opened(following->user, &following->error);
    return !following->ended;
}

static gboolean on_data(gpointer user, const char *bytes, gsize count)
{
    Following *following = user;
    if (cli_sse_feed(following->sse, bytes, count))
        return TRUE;
    if (!following->ended)
        g_set_error(&following->error, STENO_ERROR, STENO_ERROR_PROTOCOL, "stenod sent an event of more than %d bytes",
                    CLI_SSE_LINE_MAX_BYTES);
    following->ended = TRUE;
    return FALSE;
}

static gboolean on_event(gpointer user, const char *id, const char *type, const char *data)
{
    Following *following = user;
    if (id && id[0]) {
        g_free(following->last_id);
        following->last_id = g_strdup(id);
    }
    following->ended = !following->follow->event(following->user, type, data, &following->error);
    return !following->ended;
}

static gboolean follow_once(CliClient *client, const char *path, Following *following, GError **error)
{
    g_autofree char *last = g_strconcat("Last-Event-ID: ", following->last_id, NULL);
    char accept[] = "Accept: text/event-stream";
    char *headers[] = {accept, following->last_id ? last : NULL, NULL};
    CliExchange exchange = {
        .method = "GET",
        .path = path,
        .headers = headers,
        .silence_s = SILENCE_S,
        .opened = on_opened,
        .data = on_data,
        .user = following,
    };
    following->was_open = FALSE;
    following->sse = cli_sse_new(on_event, following);
    gboolean good = cli_client_exchange(client, &exchange, NULL, error);
    g_clear_pointer(&following->sse, cli_sse_free);
    json_decref(exchange.problem);
    return good;
}

gboolean cli_client_follow(CliClient *client, const char *path, const char *after, const CliFollow *follow,
                           gpointer user, GError **error)
{
    Following following = {.follow = follow, .user = user, .last_id = g_strdup(after)};
    gint64 away_since_us = 0;
    g_autoptr(GError) lost = NULL;
    for (;;) {
        g_clear_error(&lost);
        gboolean good = follow_once(client, path, &following, &lost);
        if (following.ended)
            break;
        gint64 now_us = steno_clock_mono_us();
        if (following.was_open || away_since_us == 0)
            away_since_us = now_us;
        gboolean gone = lost && g_error_matches(lost, STENO_ERROR, STENO_ERROR_DAEMON_UNREACHABLE);
        if ((!good && !gone && !following.was_open) || now_us - away_since_us > AWAY_MAX_US) {
            following.error = g_steal_pointer(&lost);
            break;
        }
        g_usleep(AGAIN_US);
    }
    g_free(following.last_id);
    if (!following.error)
        return TRUE;
    g_propagate_error(error, following.error);
    return FALSE;
}

/* ---- waiting ----------------------------------------------------------------------------------------------------- */

gboolean cli_has_ended(const json_t *recording)
{
    const char *state = cli_member(recording, "state");
    return strcmp(state, "completed") == 0 || strcmp(state, "failed") == 0;
}

gboolean cli_is_end(const char *type)
{
    return strcmp(type, "recording.completed") == 0 || strcmp(type, "recording.failed") == 0;
}

typedef struct {
    CliClient *client;
    char *path;
    json_t *recording; /* when it has ended */
} Wait;

/* Looks itself: what happened before the stream was open is not in it. */
static gboolean look(gpointer user, GError **error)
{
    Wait *wait = user;
    json_t *recording = cli_client_ask(wait->client, "GET", wait->path, NULL, error);
    if (recording && !cli_has_ended(recording)) {
        json_decref(recording);
        return TRUE;
    }
    wait->recording = recording;
    return FALSE;
}

static gboolean on_wait_event(gpointer user, const char *type, const char *line, GError **error)
{
    (void)line;
    return !cli_is_end(type) || look(user, error);
}

json_t *cli_wait_ended(CliClient *client, const char *id, GError **error)
{
    static const CliFollow follow = {.opened = look, .event = on_wait_event};
    g_autofree char *path = cli_path("recordings", id, NULL);
    g_autoptr(GString) events = g_string_new("/v1/events");
    cli_query(events, "recording", id);
    Wait wait = {.client = client, .path = path};
    if (cli_client_follow(client, events->str, NULL, &follow, &wait, error))
        return wait.recording;
    json_decref(wait.recording);
    return NULL;
}

gboolean cli_check_result(const json_t *recording, GError **error)
{
    const json_t *told = json_object_get(recording, "error");
    gboolean failed = strcmp(cli_member(recording, "state"), "failed") == 0;
    if (!json_is_object(told) && !failed)
        return TRUE;
    const char *reason = cli_member(recording, "end_reason");
    GError *why = steno_error_from_json(told, "without a reason");
    if (!why)
        why = g_error_new_literal(STENO_ERROR, STENO_ERROR_INTERNAL, "it failed without a reason");
    g_prefix_error(&why, "recording %s of channel %s on %s %s%s%s: ", cli_member(recording, "id"),
                   cli_member(recording, "channel"), cli_member(recording, "platform"),
                   failed ? "failed" : "ended with an error", reason[0] ? ", " : "", reason);
    g_propagate_error(error, why);
    return FALSE;
}
