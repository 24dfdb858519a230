/* steno storage: how the storages do, and trying again. */
#include "client.h"

#include <stdio.h>

/* "2 blocked, 1 storing"; "" for none. */
static char *uploads_of(const json_t *storage)
{
    static const char *const names[] = {"blocked", "retrying", "storing", "waiting"};
    const json_t *uploads = json_object_get(storage, "uploads");
    GString *text = g_string_new(NULL);
    for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
        gint64 count = cli_number(uploads, names[i]);
        if (count > 0)
            g_string_append_printf(text, "%s%" G_GINT64_FORMAT " %s", text->len ? ", " : "", count, names[i]);
    }
    return g_string_free(text, FALSE);
}

static void add_storage(CliTable *table, const json_t *storage, gboolean plain)
{
    const json_t *blocked = json_object_get(storage, "blocked");
    const char *state = json_is_object(blocked)                                           ? "blocked"
                        : cli_number(json_object_get(storage, "uploads"), "retrying") > 0 ? "retrying"
                                                                                          : "ok";
    g_autofree char *since = cli_time(cli_member(blocked, "since"), plain), *uploads = uploads_of(storage);
    gboolean known = json_is_integer(json_object_get(storage, "free_bytes"));
    g_autofree char *room = known ? cli_size(cli_number(storage, "free_bytes"), plain) : g_strdup("");
    cli_table_add(table, cli_member(storage, "name"), state, cli_member(storage, "type"), cli_member(storage, "uri"),
                  room, uploads, since, cli_member(json_object_get(blocked, "error"), "message"));
}

static int run_storage_list(CliCall *call, GError **error)
{
    static const char *const heads[] = {"STORAGE", "STATE", "TYPE", "WHERE", "FREE", "STORING", "SINCE", "WHY", NULL};
    static const CliListing listing = {"storages", heads, 7, add_storage};
    return cli_list_answer(call, "/v1/storages", &listing, error);
}

static int run_storage_retry(CliCall *call, GError **error)
{
    g_autoptr(CliClient) client = cli_client_new(call, error);
    for (char **name = call->operands; client && *name; name++) {
        g_autofree char *path = cli_path("storages", *name, "retry", NULL);
        json_t *answer = cli_client_ask(client, "POST", path, NULL, error);
        if (!answer) {
            g_prefix_error(error, "storage %s: ", *name);
            return 1;
        }
        if (call->json)
            cli_print_answer(answer);
        else
            printf("%s: %" G_GINT64_FORMAT " recordings are tried again\n", *name, cli_number(answer, "retried"));
        json_decref(answer);
    }
    return 0;
}

static const CliOption list_options[] = {
    {"plain", 0, CLI_FLAG, NULL, "tab separated, without heads: times in UTC, sizes in bytes"},
    {NULL},
};

const CliCommand cli_storage_list = {
    .name = "storage list",
    .words = "list storages and how they do",
    .operands = "",
    .summary =
        "Lists the storages: where they are, how much is free, what is being stored there, and since when and why it\n"
        "does not get on. `steno check --storage NAME` tries one out.",
    .examples = "  steno storage list\n"
                "  steno storage list --json | jq '.storages[] | select(.blocked)'\n",
    .codes = "",
    .options = list_options,
    .remote = TRUE,
    .run = run_storage_list,
};

const CliCommand cli_storage_retry = {
    .name = "storage retry",
    .words = "try again now what waits for a storage",
    .operands = "NAME…",
    .operands_min = 1,
    .operands_max = -1,
    .summary =
        "Tries at once what is blocked, or waits for its next try: after credentials, permissions or room were put\n"
        "right. Without it that is tried once a minute.",
    .examples = "  sudo systemctl reload stenod && steno storage retry archive\n",
    .codes = "",
    .remote = TRUE,
    .run = run_storage_retry,
};
