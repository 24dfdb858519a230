/* steno key, steno webhook. */
#include "client.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* ---- keys -------------------------------------------------------------------------------------------------------- */

/* The one place where a secret is printed: nobody else has it, and it is never told again. */
static void print_new_key(const CliCall *call, const json_t *key)
{
    if (call->json)
        cli_print_answer(key);
    else
        printf("%s:%s\n", cli_member(key, "id"), cli_member(key, "secret"));
}

static int run_key_add(CliCall *call, GError **error)
{
    const char *role = cli_text(call, "role"), *app = cli_text(call, "app"), *label = cli_text(call, "label");
    if (!role)
        return cli_usage_error("--role is missing: admin, operator or viewer; see `steno key add --help`");
    g_autoptr(CliClient) client = cli_client_new(call, error);
    if (!client)
        return 1;
    json_t *request = json_pack("{s:s, s:s*, s:s*}", "role", role, "app", app, "label", label);
    json_t *key = cli_client_ask(client, "POST", "/v1/keys", request, error);
    json_decref(request);
    if (!key)
        return 1;
    print_new_key(call, key);
    json_decref(key);
    return 0;
}

static int run_key_init(CliCall *call, GError **error)
{
    g_autoptr(CliClient) client = cli_client_new(call, error);
    json_t *key = client ? cli_client_ask(client, "POST", "/v1/keys/init", NULL, error) : NULL;
    if (!key)
        return 1;
    print_new_key(call, key);
    if (isatty(STDERR_FILENO)) /* for people */
        fputs("steno: this is the first key (role admin, every app), and it is shown this once: keep it\n", stderr);
    json_decref(key);
    return 0;
}

static void add_key(CliTable *table, const json_t *key, gboolean plain)
{
    g_autofree char *made = cli_time(cli_member(key, "created_at"), plain);
    g_autofree char *revoked = cli_time(cli_member(key, "revoked_at"), plain);
    cli_table_add(table, cli_member(key, "id"), cli_member(key, "role"), cli_member(key, "app"),
                  cli_member(key, "label"), made, revoked);
}

static int run_key_list(CliCall *call, GError **error)
{
    static const char *const heads[] = {"KEY", "ROLE", "APP", "LABEL", "MADE", "REVOKED", NULL};
    static const CliListing listing = {"keys", heads, 3, add_key};
    return cli_list_answer(call, "/v1/keys", &listing, error);
}

static int run_key_revoke(CliCall *call, GError **error)
{
    g_autoptr(CliClient) client = cli_client_new(call, error);
    for (char **id = call->operands; client && *id; id++) {
        g_autofree char *path = cli_path("keys", *id, NULL);
        json_t *answer = cli_client_ask(client, "DELETE", path, NULL, error);
        if (!answer) {
            g_prefix_error(error, "key %s: ", *id);
            return 1;
        }
        if (call->json)
            cli_print_json(json_pack("{s:s}", "revoked", *id));
        json_decref(answer);
    }
    return 0;
}

/* ---- webhooks ---------------------------------------------------------------------------------------------------- */

static void add_webhook(CliTable *table, const json_t *webhook, gboolean plain)
{
    (void)plain;
    g_autofree char *waiting = g_strdup_printf("%" G_GINT64_FORMAT, cli_number(webhook, "waiting"));
    cli_table_add(table, cli_member(webhook, "name"), cli_member(webhook, "state"), waiting, cli_member(webhook, "url"),
                  cli_member(webhook, "last_error"));
}

static int run_webhook_list(CliCall *call, GError **error)
{
    static const char *const heads[] = {"WEBHOOK", "STATE", "WAITING", "URL", "LAST ERROR", NULL};
    static const CliListing listing = {"webhooks", heads, 4, add_webhook};
    return cli_list_answer(call, "/v1/webhooks", &listing, error);
}

static int run_webhook_enable(CliCall *call, GError **error)
{
    g_autoptr(CliClient) client = cli_client_new(call, error);
    for (char **name = call->operands; client && *name; name++) {
        g_autofree char *path = cli_path("webhooks", *name, "enable", NULL);
        json_t *answer = cli_client_ask(client, "POST", path, NULL, error);
        if (!answer) {
            g_prefix_error(error, "webhook %s: ", *name);
            return 1;
        }
        if (call->json)
            cli_print_answer(answer);
        json_decref(answer);
    }
    return 0;
}

/* ---- tables ------------------------------------------------------------------------------------------------------ */

static const CliOption plain_options[] = {
    {"plain", 0, CLI_FLAG, NULL, "tab separated, without heads"},
    {NULL},
};

static const CliOption key_add_options[] = {
    {"role", 0, CLI_TEXT, "viewer|operator|admin", "what the key may: look, record, everything"},
    {"app", 0, CLI_TEXT, "NAME", "only for this app; every other one does not exist for the key"},
    {"label", 0, CLI_TEXT, "WORDS", "what it is for, for `steno key list`"},
    {NULL},
};

const CliCommand cli_key_init = {
    .name = "key init",
    .words = "make the first API key",
    .operands = "",
    .summary =
        "Makes the first API key (role admin, every app) and prints it as key_id:secret, once. On the server itself, "
        "by root\n"
        "or a member of the group steno. When there is an admin key, it makes none, and says so.",
    .examples = "  (umask 077; sudo steno key init > admin.key)\n"
                "  steno list --server https://steno.example:8443 --key-file admin.key\n",
    .codes = "conflict",
    .remote = TRUE,
    .run = run_key_init,
};

const CliCommand cli_key_add = {
    .name = "key add",
    .words = "make an API key",
    .operands = "",
    .summary = "Makes an API key and prints it as key_id:secret, once: stenod keeps only a hash of the secret.",
    .examples = "  (umask 077; steno key add --role operator --app clinic --label ward-7 > clinic.key)\n"
                "  steno list --server https://steno.example:8443 --key-file clinic.key\n",
    .codes = "",
    .options = key_add_options,
    .remote = TRUE,
    .run = run_key_add,
};

const CliCommand cli_key_list = {
    .name = "key list",
    .words = "list API keys",
    .operands = "",
    .summary = "Lists the API keys, without their secrets.",
    .examples = "  steno key list\n",
    .codes = "",
    .options = plain_options,
    .remote = TRUE,
    .run = run_key_list,
};

const CliCommand cli_key_revoke = {
    .name = "key revoke",
    .words = "revoke API keys",
    .operands = "KEY…",
    .operands_min = 1,
    .operands_max = -1,
    .summary = "Revokes API keys: from now on nobody comes in with them.",
    .examples = "  steno key revoke key_01JD8Z…\n",
    .codes = "",
    .remote = TRUE,
    .run = run_key_revoke,
};

const CliCommand cli_webhook_list = {
    .name = "webhook list",
    .words = "list webhooks and how they do",
    .operands = "",
    .summary = "Lists the webhooks, how many events wait for each, and why the last delivery failed.",
    .examples = "  steno webhook list\n",
    .codes = "",
    .options = plain_options,
    .remote = TRUE,
    .run = run_webhook_list,
};

const CliCommand cli_webhook_enable = {
    .name = "webhook enable",
    .words = "send to a webhook again that said 410 Gone",
    .operands = "NAME…",
    .operands_min = 1,
    .operands_max = -1,
    .summary = "Sends to webhooks again that were disabled because they answered 410 Gone.",
    .examples = "  steno webhook enable ward-7\n",
    .codes = "",
    .remote = TRUE,
    .run = run_webhook_enable,
};
