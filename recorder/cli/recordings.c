/* steno list, stop, pause, resume, delete. */
#include "client.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* ---- list -------------------------------------------------------------------------------------------------------- */

static gboolean add_filter_time(CliCall *call, GString *path, const char *name, const char *query, GError **error)
{
    const char *text = cli_text(call, name);
    if (!text)
        return TRUE;
    g_autofree char *option = g_strconcat("--", name, NULL);
    g_autoptr(GTimeZone) zone = g_time_zone_new_local();
    /* The last midnight or hour is meant here, not the next one. */
    gint64 yesterday_us = g_get_real_time() - (gint64)86400 * G_USEC_PER_SEC;
    g_autofree char *utc = cli_parse_time(option, text, yesterday_us, zone, error);
    if (!utc)
        return FALSE;
    cli_query(path, query, utc);
    return TRUE;
}

static GString *list_path(CliCall *call, GError **error)
{
    static const char *const filters[] = {"app", "platform", "channel", "order"};
    GString *path = g_string_new("/v1/recordings");
    for (guint i = 0; i < G_N_ELEMENTS(filters); i++) {
        if (cli_text(call, filters[i]))
            cli_query(path, filters[i], cli_text(call, filters[i]));
    }
    g_autofree char *states = g_strjoinv(",", cli_texts(call, "state"));
    if (states[0])
        cli_query(path, "state", states);
    const char *label = cli_text(call, "label");
    if (label) {
        g_autofree char *query = g_strdup(label);
        char *equals = strchr(query, '=');
        if (equals)
            *equals = ':';
        cli_query(path, "label", query);
    }
    if (cli_text(call, "limit"))
        cli_query(path, "page_size", cli_text(call, "limit"));
    else if (cli_flag(call, "all"))
        cli_query(path, "page_size", "1000");
    if (add_filter_time(call, path, "from", "created_from", error) &&
        add_filter_time(call, path, "until", "created_until", error))
        return path;
    g_string_free(path, TRUE);
    return NULL;
}

static json_t *fetch_pages(CliClient *client, CliCall *call, const GString *first, GError **error)
{
    json_t *all = NULL;
    g_autofree char *token = g_strdup(cli_text(call, "page-token"));
    do {
        g_autoptr(GString) path = g_string_new(first->str);
        if (token)
            cli_query(path, "page_token", token);
        json_t *page = cli_client_ask(client, "GET", path->str, NULL, error);
        if (!page) {
            json_decref(all);
            return NULL;
        }
        g_free(token);
        token = g_strdup(json_string_value(json_object_get(page, "next_page_token")));
        if (all) {
            json_array_extend(json_object_get(all, "recordings"), json_object_get(page, "recordings"));
            json_object_set(all, "next_page_token", json_object_get(page, "next_page_token"));
            json_decref(page);
        } else {
            all = page;
        }
    } while (token && cli_flag(call, "all"));
    return all;
}

/* "storing (blocked)", "recording (undecryptable)": those are no states of their own. */
static char *state_of(const json_t *recording)
{
    size_t i = 0;
    json_t *storage = NULL;
    json_array_foreach (json_object_get(recording, "storages"), i, storage) {
        if (strcmp(cli_member(storage, "state"), "blocked") == 0)
            return g_strdup_printf("%s (blocked)", cli_member(recording, "state"));
    }
    if (cli_is_undecryptable(recording))
        return g_strdup_printf("%s (undecryptable)", cli_member(recording, "state"));
    return g_strdup(cli_member(recording, "state"));
}

static void add_recording(CliTable *table, const json_t *recording, gboolean plain)
{
    const json_t *counts = json_object_get(recording, "counts");
    const char *started = cli_member(recording, "started_at");
    if (!started[0])
        started = cli_member(recording, "start_at");
    g_autofree char *time = cli_time(started, plain), *bytes = cli_size(cli_number(counts, "bytes"), plain);
    g_autofree char *state = plain ? g_strdup(cli_member(recording, "state")) : state_of(recording);
    g_autofree char *duration = plain ? g_strdup_printf("%" G_GINT64_FORMAT, cli_number(counts, "duration_ms"))
                                      : cli_format_duration(cli_number(counts, "duration_ms"));
    cli_table_add(table, cli_member(recording, "id"), state, cli_member(recording, "app"),
                  cli_member(recording, "platform"), cli_member(recording, "channel"), time, duration, bytes,
                  cli_member(recording, "end_reason"));
}

static int run_list(CliCall *call, GError **error)
{
    static const char *const heads[] = {"ID",      "STATE",    "APP",  "PLATFORM", "CHANNEL",
                                        "STARTED", "DURATION", "SIZE", "ENDED BY", NULL};
    g_autoptr(CliClient) client = NULL;
    GString *path = list_path(call, error);
    json_t *answer = path && (client = cli_client_new(call, error)) ? fetch_pages(client, call, path, error) : NULL;
    if (path)
        g_string_free(path, TRUE);
    if (!answer)
        return 1;
    const char *next = cli_member(answer, "next_page_token");
    if (call->json) {
        cli_print_answer(answer);
    } else {
        gboolean plain = cli_flag(call, "plain");
        CliTable *table = cli_table_new(heads, 4);
        size_t i = 0;
        json_t *recording = NULL;
        json_array_foreach (json_object_get(answer, "recordings"), i, recording) {
            add_recording(table, recording, plain);
        }
        cli_table_print(table, plain);
        if (next[0] && cli_terminal())
            fprintf(stderr, "steno: there are more: --all, or --page-token %s\n", next);
    }
    json_decref(answer);
    return 0;
}

/* ---- stop, pause, resume ----------------------------------------------------------------------------------------- */

static json_t *tell(CliClient *client, const char *id, const char *what, GError **error)
{
    g_autofree char *path = cli_path("recordings", id, what, NULL);
    json_t *recording = cli_client_ask(client, "POST", path, NULL, error);
    if (!recording)
        g_prefix_error(error, "recording %s: ", id);
    return recording;
}

/* Each of the operands; the first one that is refused ends it. */
static int tell_all(CliCall *call, const char *what, gboolean wait, GError **error)
{
    g_autoptr(CliClient) client = cli_client_new(call, error);
    if (!client)
        return 1;
    for (char **id = call->operands; *id; id++) {
        json_t *recording = tell(client, *id, what, error);
        if (!recording)
            return 1;
        if (call->json && !wait)
            cli_print_answer(recording);
        json_decref(recording);
    }
    for (char **id = call->operands; wait && *id; id++) {
        json_t *recording = cli_wait_ended(client, *id, error);
        gboolean good = recording && cli_check_result(recording, error);
        if (recording && call->json)
            cli_print_answer(recording);
        json_decref(recording);
        if (!good)
            return 1;
    }
    return 0;
}

static int run_stop(CliCall *call, GError **error)
{
    return tell_all(call, "stop", cli_flag(call, "wait"), error);
}

static int run_pause(CliCall *call, GError **error)
{
    return tell_all(call, "pause", FALSE, error);
}

static int run_resume(CliCall *call, GError **error)
{
    return tell_all(call, "resume", FALSE, error);
}

/* ---- delete ------------------------------------------------------------------------------------------------------ */

static gboolean confirm(CliCall *call, GError **error)
{
    if (cli_flag(call, "yes"))
        return TRUE;
    gboolean files = cli_flag(call, "files");
    if (!isatty(STDIN_FILENO) || !isatty(STDERR_FILENO)) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_USAGE,
                    "nobody can be asked whether %s may be deleted: give --yes when it is meant",
                    files ? "these recordings and their files" : "these recordings");
        return FALSE;
    }
    fprintf(stderr, "Forget %u recording%s%s? [y/N] ", g_strv_length(call->operands), call->operands[1] ? "s" : "",
            files ? " and delete the files in the storage" : " (the files stay)");
    char answer[8] = "";
    if (fgets(answer, sizeof answer, stdin) && (answer[0] == 'y' || answer[0] == 'Y'))
        return TRUE;
    g_set_error(error, STENO_ERROR, STENO_ERROR_INTERRUPTED, "nothing was deleted");
    return FALSE;
}

static int run_delete(CliCall *call, GError **error)
{
    g_autoptr(CliClient) client = cli_client_new(call, error);
    if (!client || !confirm(call, error))
        return 1;
    for (char **id = call->operands; *id; id++) {
        g_autofree char *own = cli_path("recordings", *id, NULL);
        g_autoptr(GString) path = g_string_new(own);
        if (cli_flag(call, "files"))
            cli_query(path, "files", "true");
        json_t *answer = cli_client_ask(client, "DELETE", path->str, NULL, error);
        if (!answer) {
            g_prefix_error(error, "recording %s: ", *id);
            return 1;
        }
        json_decref(answer);
        if (call->json)
            cli_print_json(json_pack("{s:s, s:b}", "deleted", *id, "files", cli_flag(call, "files")));
    }
    return 0;
}

/* ---- tables ------------------------------------------------------------------------------------------------------ */

static const CliOption list_options[] = {
    {"app", 0, CLI_TEXT, "NAME", "only of this app"},
    {"state", 0, CLI_LIST, "queued|joining|recording|paused|reconnecting|assembling|storing|completed|failed",
     "only in this state (repeatable)"},
    {"platform", 0, CLI_TEXT, "NAME", "only of this platform"},
    {"channel", 0, CLI_TEXT, "CHANNEL", "only of this channel"},
    {"label", 0, CLI_TEXT, "NAME=VALUE", "only with this label"},
    {"from", 0, CLI_TEXT, "TIME", "only made at or after this time: 08:30, \"2026-11-22 08:30\" (local) or RFC 3339"},
    {"until", 0, CLI_TEXT, "TIME", "only made before this time"},
    {"order", 0, CLI_TEXT, "newest|oldest", "which come first (default: newest)"},
    {"limit", 'n', CLI_INT, "NUMBER", "at most so many, or so many a page (default: 50)", 1, 1000},
    {"all", 'a', CLI_FLAG, NULL, "every page"},
    {"page-token", 0, CLI_TEXT, "TOKEN", "go on where an earlier list ended"},
    {"plain", 0, CLI_FLAG, NULL, "tab separated, without heads: times in UTC, duration in ms, size in bytes"},
    {NULL},
};

const CliCommand cli_list = {
    .name = "list",
    .words = "list recordings",
    .operands = "",
    .summary = "Lists recordings, those that run and those that have ended.",
    .examples = "  steno list --state recording\n"
                "  steno list --all --from 00:00 --json | jq '.recordings[].id'\n",
    .codes = "",
    .options = list_options,
    .remote = TRUE,
    .run = run_list,
};

static const CliOption stop_options[] = {
    {"wait", 0, CLI_FLAG, NULL, "wait until the files are stored; the recording's result is the exit code"},
    {NULL},
};

const CliCommand cli_stop = {
    .name = "stop",
    .words = "stop recordings",
    .operands = "ID…",
    .operands_min = 1,
    .operands_max = -1,
    .summary = "Stops recordings. Their files are then assembled and stored.",
    .examples = "  steno stop --wait 01JD8Z… && steno get 01JD8Z…\n",
    .codes = "conflict",
    .code_words = "  10…44  with --wait: why the recording failed, as of `steno record`\n",
    .options = stop_options,
    .remote = TRUE,
    .run = run_stop,
};

const CliCommand cli_pause = {
    .name = "pause",
    .words = "pause recordings",
    .operands = "ID…",
    .operands_min = 1,
    .operands_max = -1,
    .summary = "Pauses recordings: they keep their place in the channel, and nothing of it is captured.",
    .examples = "  steno pause 01JD8Z…\n",
    .codes = "conflict",
    .remote = TRUE,
    .run = run_pause,
};

const CliCommand cli_resume = {
    .name = "resume",
    .words = "go on with paused recordings",
    .operands = "ID…",
    .operands_min = 1,
    .operands_max = -1,
    .summary = "Goes on with paused recordings.",
    .examples = "  steno resume 01JD8Z…\n",
    .codes = "conflict",
    .remote = TRUE,
    .run = run_resume,
};

static const CliOption delete_options[] = {
    {"files", 0, CLI_FLAG, NULL, "delete the files in the storage as well, where retention allows it"},
    {"yes", 'y', CLI_FLAG, NULL, "don't ask"},
    {NULL},
};

const CliCommand cli_delete = {
    .name = "delete",
    .words = "forget recordings that have ended",
    .operands = "ID…",
    .operands_min = 1,
    .operands_max = -1,
    .summary = "Forgets recordings that have ended. Their files stay in the storage, unless --files is given.",
    .examples = "  steno delete --files --yes 01JD8Z…\n",
    .codes = "conflict legal-hold interrupted storage-failed",
    .options = delete_options,
    .remote = TRUE,
    .run = run_delete,
};
