/* steno show: a recording, for people. */
#include "client.h"

#include <stdio.h>
#include <string.h>

/* Green for what runs, red for what failed. */
static char *paint(const char *state, gboolean colour)
{
    static const char *const running[] = {"recording", "joining", "reconnecting", "paused", NULL};
    const char *code = strcmp(state, "failed") == 0 ? "31" : g_strv_contains(running, state) ? "32" : NULL;
    if (!colour || !code)
        return g_strdup(state);
    return g_strdup_printf("\033[%sm%s\033[0m", code, state);
}

static void print_line(const char *name, const char *value)
{
    g_autofree char *printable = cli_printable(value);
    if (printable[0])
        printf("%-14s %s\n", name, printable);
}

static void print_time(const char *name, const json_t *object, const char *member)
{
    g_autofree char *time = cli_local_time(cli_member(object, member));
    print_line(name, time);
}

static void print_labels(const json_t *recording)
{
    GString *text = g_string_new(NULL);
    const char *name = NULL;
    json_t *value = NULL;
    json_object_foreach (json_object_get(recording, "labels"), name, value)
        g_string_append_printf(text, "%s%s=%s", text->len ? ", " : "", name, json_string_value(value));
    print_line("labels", text->str);
    g_string_free(text, TRUE);
}

static void print_counts(const json_t *recording)
{
    const json_t *counts = json_object_get(recording, "counts");
    gint64 packets = cli_number(counts, "packets"), lost = cli_number(counts, "lost");
    g_autofree char *duration = cli_format_duration(cli_number(counts, "duration_ms"));
    g_autofree char *bytes = g_format_size((guint64)cli_number(counts, "bytes"));
    g_autofree char *size = g_strdup_printf("%s, %d participants, %d tracks", bytes,
                                            (int)cli_number(counts, "participants"), (int)cli_number(counts, "tracks"));
    g_autofree char *loss = g_strdup_printf("%.2f %% (%" G_GINT64_FORMAT " packets, %" G_GINT64_FORMAT " recovered)",
                                            packets + lost > 0 ? 100.0 * (double)lost / (double)(packets + lost) : 0.0,
                                            lost, cli_number(counts, "recovered"));
    print_line("duration", duration);
    print_line("captured", size);
    print_line("lost", loss);
}

static void print_content(const json_t *recording)
{
    g_autofree char *content = cli_describe_content(recording);
    print_line("encryption", content);
    size_t i = 0;
    const json_t *one = NULL;
    json_array_foreach (json_object_get(json_object_get(recording, "content"), "undecryptable"), i, one) {
        g_autofree char *words = cli_describe_undecryptable(recording, one);
        print_line("undecryptable", words);
    }
}

static void print_participants(const json_t *recording)
{
    static const char *const heads[] = {"PARTICIPANT", "NAME", "JOINED", "LEFT", NULL};
    CliTable *table = cli_table_new(heads, 1);
    size_t i = 0;
    json_t *one = NULL;
    json_array_foreach (json_object_get(recording, "participants"), i, one) {
        g_autofree char *joined = cli_local_time(cli_member(one, "joined_at"));
        g_autofree char *left = cli_local_time(cli_member(one, "left_at"));
        cli_table_add(table, cli_member(one, "id"), cli_member(one, "name"), joined, left);
    }
    if (i > 0)
        putchar('\n');
    cli_table_print(table, FALSE);
}

static void print_files(const json_t *recording)
{
    static const char *const heads[] = {"FILE", "SIZE", "TYPE", "PARTICIPANT", "ENCRYPTED", NULL};
    CliTable *table = cli_table_new(heads, 0);
    size_t i = 0;
    json_t *one = NULL;
    json_array_foreach (json_object_get(recording, "files"), i, one) {
        g_autofree char *size = g_format_size((guint64)cli_number(one, "bytes"));
        cli_table_add(table, cli_member(one, "name"), cli_member(one, "deleted_at")[0] ? "deleted" : size,
                      cli_member(one, "media_type"), cli_member(one, "participant"), cli_file_encryption(one));
    }
    if (i > 0)
        putchar('\n');
    cli_table_print(table, FALSE);
}

/* "archive: blocked since 2026-11-22 08:00:00, 1.0 MB of 2.0 MB: AccessDenied …"; "primary: stored s3://…/". */
static void print_storage(const json_t *storage)
{
    const char *state = cli_member(storage, "state");
    g_autofree char *since = cli_local_time(cli_member(storage, "since"));
    GString *text = g_string_new(NULL);
    g_string_append_printf(text, "%s: %s", cli_member(storage, "name"), state);
    if (since[0])
        g_string_append_printf(text, " since %s", since);
    gint64 bytes = cli_number(storage, "bytes"), total = cli_number(storage, "bytes_total");
    if (strcmp(state, "stored") != 0 && total > 0) {
        g_autofree char *have = g_format_size((guint64)bytes), *whole = g_format_size((guint64)total);
        g_string_append_printf(text, ", %s of %s", have, whole);
    }
    const char *words = cli_member(json_object_get(storage, "error"), "message");
    if (words[0])
        g_string_append_printf(text, ": %s", words);
    else
        g_string_append_printf(text, " %s", cli_member(storage, "uri"));
    print_line("storage", text->str);
    g_string_free(text, TRUE);
}

void cli_print_recording(const json_t *recording)
{
    const json_t *error = json_object_get(recording, "error"), *progress = json_object_get(recording, "progress");
    g_autofree char *state = paint(cli_member(recording, "state"), cli_colour());
    printf("%-14s %s\n", "state", state);
    print_line("id", cli_member(recording, "id"));
    print_line("app", cli_member(recording, "app"));
    print_line("platform", cli_member(recording, "platform"));
    print_line("channel", cli_member(recording, "channel"));
    if (strcmp(cli_member(recording, "profile"), "default") != 0)
        print_line("profile", cli_member(recording, "profile"));
    print_labels(recording);
    print_line("webhook", cli_member(recording, "webhook"));
    print_time("to start", recording, "start_at");
    print_time("started", recording, "started_at");
    print_time("ended", recording, "ended_at");
    print_line("ended by", cli_member(recording, "end_reason"));
    print_counts(recording);
    print_content(recording);
    if (json_is_number(progress)) {
        g_autofree char *percent = g_strdup_printf("%.0f %%", 100.0 * json_number_value(progress));
        print_line("assembled", percent);
    }
    print_line("error", cli_member(error, "message"));
    size_t i = 0;
    json_t *storage = NULL;
    json_array_foreach (json_object_get(recording, "storages"), i, storage) {
        print_storage(storage);
    }
    print_participants(recording);
    print_files(recording);
}

static int run_show(CliCall *call, GError **error)
{
    g_autoptr(CliClient) client = cli_client_new(call, error);
    g_autofree char *path = cli_path("recordings", call->operands[0], NULL);
    json_t *recording = client ? cli_client_ask(client, "GET", path, NULL, error) : NULL;
    if (!recording)
        return 1;
    if (call->json)
        cli_print_answer(recording);
    else
        cli_print_recording(recording);
    json_decref(recording);
    return 0;
}

const CliCommand cli_show = {
    .name = "show",
    .words = "show one recording",
    .operands = "ID",
    .operands_min = 1,
    .operands_max = 1,
    .summary = "Shows a recording: its state, who is in it, what was captured, its files, where they are stored (and "
               "since when\n"
               "and why they are not), why it ended.",
    .examples = "  steno show 01JD8Z…\n",
    .codes = "",
    .remote = TRUE,
    .run = run_show,
};
