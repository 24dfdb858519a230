/* steno watch: events as they come. */
#include "client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    CliCall *call;
    CliClient *client;
    const char *id; /* or NULL: every recording */
    char *path;     /* of id */
    json_t *recording;
    GError *error;
} Watch;

/* What an event tells, in words: its data without what stands on the line already. */
static char *describe(const json_t *data)
{
    static const char *const shown[] = {"recording", "app", "platform", "channel", "labels", NULL};
    GString *words = g_string_new(NULL);
    const char *name = NULL;
    json_t *value = NULL;
    json_object_foreach ((json_t *)data, name, value) {
        if (g_strv_contains(shown, name) || json_is_null(value))
            continue;
        if (json_is_array(value)) {
            g_string_append_printf(words, " %s=%" G_GSIZE_FORMAT, name, json_array_size(value));
            continue;
        }
        const char *text = json_is_object(value) ? cli_member(value, "message") : json_string_value(value);
        char *dumped = text ? NULL : json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
        g_string_append_printf(words, " %s=%s", name, text ? text : dumped);
        free(dumped);
    }
    return g_string_free(words, FALSE);
}

static void print_event(const char *type, const json_t *event)
{
    const json_t *data = json_object_get(event, "data");
    g_autofree char *time = cli_local_time(cli_member(event, "timestamp"));
    g_autofree char *words = describe(data);
    g_autofree char *line = g_strdup_printf("%s %s %s channel %s%s", time, cli_member(data, "recording"),
                                            g_str_has_prefix(type, "recording.") ? type + strlen("recording.") : type,
                                            cli_member(data, "channel"), words);
    g_autofree char *printable = cli_printable(line);
    puts(printable);
    fflush(stdout);
}

/* Looks whether it has ended already, or while nobody listened. */
static gboolean look(gpointer user, GError **error)
{
    Watch *watch = user;
    json_t *recording = cli_client_ask(watch->client, "GET", watch->path, NULL, error);
    if (recording && !cli_has_ended(recording)) {
        json_decref(recording);
        return TRUE;
    }
    watch->recording = recording;
    return FALSE;
}

static gboolean on_event(gpointer user, const char *type, const char *line, GError **error)
{
    Watch *watch = user;
    json_t *event = json_loads(line, 0, NULL);
    if (watch->call->json) {
        puts(line);
        fflush(stdout);
    } else if (event) {
        print_event(type, event);
    }
    json_decref(event);
    return !watch->id || !cli_is_end(type) || look(watch, error);
}

static int run_watch(CliCall *call, GError **error)
{
    const char *after = cli_text(call, "after");
    /* Who asks for past events has its end among them. */
    const CliFollow follow = {.opened = call->operands[0] && !after ? look : NULL, .event = on_event};
    g_autoptr(CliClient) client = cli_client_new(call, error);
    if (!client)
        return 1;
    Watch watch = {.call = call, .client = client, .id = call->operands[0]};
    g_autoptr(GString) path = g_string_new("/v1/events");
    if (watch.id) {
        watch.path = cli_path("recordings", watch.id, NULL);
        cli_query(path, "recording", watch.id);
    }
    if (cli_text(call, "app"))
        cli_query(path, "app", cli_text(call, "app"));
    gboolean good = cli_client_follow(client, path->str, after, &follow, &watch, error);
    if (good && watch.recording && cli_check_result(watch.recording, error) && !call->json)
        printf("%s %s: %s\n", watch.id, cli_member(watch.recording, "state"),
               cli_member(watch.recording, "end_reason"));
    json_decref(watch.recording);
    g_free(watch.path);
    return good ? 0 : 1;
}

static const CliOption watch_options[] = {
    {"app", 0, CLI_TEXT, "NAME", "only of this app"},
    {"after", 0, CLI_INT, "SEQ", "begin with the events after the one with this seq", 0, G_MAXINT64},
    {NULL},
};

const CliCommand cli_watch = {
    .name = "watch",
    .words = "follow events as they happen",
    .operands = "[ID]",
    .operands_max = 1,
    .summary = "Follows the events of all recordings, one a line, or those of one recording until it has ended; the "
               "exit code\n"
               "is then its result. Goes on by itself when stenod is restarted. Ctrl-C ends it.",
    .examples = "  steno watch\n"
                "  steno watch --json 01JD8Z… | jq -r .type\n",
    .codes = "",
    .code_words = "  10…44  of a recording that was watched: why it failed, as of `steno record`\n",
    .options = watch_options,
    .remote = TRUE,
    .run = run_watch,
};
