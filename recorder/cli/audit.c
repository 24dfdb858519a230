/* steno audit verify, steno check: what lies on this disk, without stenod. */
#include "checks.h"

#include "steno/audit.h"

#include <stdio.h>
#include <string.h>

/* ---- audit verify ------------------------------------------------------------------------------------------------ */

/* Where the configuration has it; the default place when that can't be read. */
static char *audit_path(const char *given)
{
    if (given)
        return g_strdup(given);
    g_autoptr(StenoConfig) config = steno_config_load(STENO_CONFIG_DEFAULT_PATH, NULL);
    return g_build_filename(config ? config->top.state_dir : "/var/lib/steno", "audit.jsonl", NULL);
}

static int run_audit_verify(CliCall *call, GError **error)
{
    g_autofree char *path = audit_path(call->operands[0]), *hash = NULL;
    guint64 entries = 0;
    if (!steno_audit_verify(path, &entries, &hash, error))
        return 1;
    if (call->json)
        cli_print_json(json_pack("{s:s, s:I, s:s?}", "file", path, "entries", (json_int_t)entries, "hash", hash));
    else
        printf("%" G_GUINT64_FORMAT " entries, unchanged; hash of the last one: %s\n", entries, hash ? hash : "none");
    return 0;
}

const CliCommand cli_audit_verify = {
    .name = "audit verify",
    .words = "check that the audit log was not changed",
    .operands = "[FILE]",
    .operands_max = 1,
    .summary =
        "Checks the chain of hashes of the audit log (default: the one of /etc/steno/steno.conf), and prints how many\n"
        "entries it has and the hash of the last one. Keep that hash elsewhere: whoever has it can prove that nothing\n"
        "before it was changed or cut off.",
    .examples = "  sudo steno audit verify\n"
                "  steno audit verify /srv/backup/audit.jsonl\n",
    .codes = "audit-damaged not-found storage-unwritable storage-failed",
    .run = run_audit_verify,
};

/* ---- check ------------------------------------------------------------------------------------------------------- */

static int check_remote(CliCall *call, GError **error)
{
    g_autoptr(CliClient) client = cli_client_new(call, error);
    if (!client)
        return 1;
    CliChecks *checks = checks_new();
    for (char **name = cli_texts(call, "platform"); *name; name++)
        checks_ask(checks, client, "platforms", *name, cli_text(call, "channel"));
    for (char **name = cli_texts(call, "storage"); *name; name++)
        checks_ask(checks, client, "storages", *name, NULL);
    return checks_print(checks, call->json);
}

static int run_check(CliCall *call, GError **error)
{
    const char *path = call->operands[0] ? call->operands[0] : STENO_CONFIG_DEFAULT_PATH;
    if (cli_texts(call, "platform")[0] || cli_texts(call, "storage")[0])
        return check_remote(call, error);
    g_autoptr(StenoConfig) config = steno_config_load(path, error);
    if (!config)
        return 1;
    if (call->json)
        cli_print_json(json_pack("{s:s, s:b}", "file", path, "ok", TRUE));
    else
        printf("%s is good: %u apps, %u platforms, %u storages, %u webhooks, %u key sources\n", path, config->apps->len,
               config->platforms->len, config->storages->len, config->webhooks->len, config->key_sources->len);
    return 0;
}

static const CliOption check_options[] = {
    {"platform", 0, CLI_LIST, "NAME",
     "ask stenod whether this platform can be reached and takes its token (repeatable)"},
    {"channel", 0, CLI_TEXT, "CHANNEL", "with --platform: whether this channel is there, too"},
    {"storage", 0, CLI_LIST, "NAME", "have stenod put, get and delete a file in this storage (repeatable)"},
    {NULL},
};

const CliCommand cli_check = {
    .name = "check",
    .words = "check a configuration, a platform or a storage",
    .operands = "[FILE]",
    .operands_max = 1,
    .summary = "Checks a configuration (default: /etc/steno/steno.conf) as stenod would, without stenod; or has stenod "
               "check a\n"
               "platform or a storage.",
    .examples = "  steno check && sudo systemctl reload stenod\n"
                "  steno check --platform janus-1 --channel 1234 --storage primary\n",
    .codes = "config",
    .code_words = "   1  with --platform, --storage: a check failed\n",
    .options = check_options,
    .remote = TRUE,
    .run = run_check,
};
