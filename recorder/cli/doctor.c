/* steno doctor: why does it not work, and what is to be done. */
#include "checks.h"

#include "steno/base/clock.h"
#include "steno/base/version.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define DAY_S 86400
/* Own certificates are made anew by hand: a month is time for it. */
#define CERTIFICATE_WARN_DAYS 30

/* ---- configuration ----------------------------------------------------------------------------------------------- */

static StenoConfig *check_config(CliChecks *checks, const char *path)
{
    g_autoptr(GError) error = NULL;
    if (access(path, R_OK) != 0 && errno == EACCES) {
        checks_add(checks, CHECK_WARNING, "configuration", "run this with sudo to have it checked", "%s: %s", path,
                   g_strerror(errno));
        return NULL;
    }
    StenoConfig *config = steno_config_load(path, &error);
    if (config)
        checks_add(checks, CHECK_GOOD, "configuration", NULL, "%s", path);
    else
        checks_add_error(checks, "configuration", "correct it; `steno check` tells whether it is good", error);
    return config;
}

/* ---- stenod ------------------------------------------------------------------------------------------------------ */

static void check_version(CliChecks *checks, CliClient *client)
{
    json_t *answer = cli_client_ask(client, "GET", "/version", NULL, NULL);
    const char *version = cli_member(answer, "version");
    if (version[0] && strcmp(version, STENO_VERSION) != 0)
        checks_add(checks, CHECK_WARNING, "version", "`systemctl reload stenod` goes over to the installed one",
                   "stenod is %s, and this command %s", version, STENO_VERSION);
    else if (version[0])
        checks_add(checks, CHECK_GOOD, "version", NULL, "%s", version);
    json_decref(answer);
}

/* "Not ready" is an answer with 503, and its checks are what we want. */
static void check_ready(CliChecks *checks, CliClient *client)
{
    g_autoptr(GError) error = NULL;
    CliExchange exchange = {.method = "GET", .path = "/readyz"};
    json_t *answer = NULL;
    if (cli_client_exchange(client, &exchange, &answer, &error) || exchange.problem) {
        checks_add_answer(checks, "ready:", NULL, answer ? answer : exchange.problem);
        if (!answer && !json_is_array(json_object_get(exchange.problem, "checks")))
            checks_add_error(checks, "ready", NULL, error);
    } else {
        checks_add_error(checks, "ready", NULL, error);
    }
    json_decref(answer);
    json_decref(exchange.problem);
}

static void check_each(CliChecks *checks, CliClient *client, const char *kind)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *path = cli_path(kind, NULL);
    json_t *answer = cli_client_ask(client, "GET", path, NULL, &error), *one = NULL;
    size_t i = 0;
    if (!answer)
        checks_add_error(checks, kind, NULL, error);
    json_array_foreach (json_object_get(answer, kind), i, one) {
        checks_ask(checks, client, kind, cli_member(one, "name"), NULL);
    }
    json_decref(answer);
}

static void check_webhooks(CliChecks *checks, CliClient *client)
{
    g_autoptr(GError) error = NULL;
    json_t *answer = cli_client_ask(client, "GET", "/v1/webhooks", NULL, &error), *one = NULL;
    size_t i = 0;
    if (!answer)
        checks_add_error(checks, "webhooks", NULL, error);
    json_array_foreach (json_object_get(answer, "webhooks"), i, one) {
        const char *state = cli_member(one, "state");
        g_autofree char *name = g_strdup_printf("webhook %s", cli_member(one, "name"));
        if (strcmp(state, "ok") == 0)
            checks_add(checks, CHECK_GOOD, name, NULL, "%d events wait", (int)cli_number(one, "waiting"));
        else
            checks_add(checks, CHECK_BAD, name,
                       strcmp(state, "disabled") == 0 ? "when the receiver is there again: `steno webhook enable`"
                                                      : "see to the receiver; stenod goes on trying",
                       "%s, %d events wait: %s", state, (int)cli_number(one, "waiting"), cli_member(one, "last_error"));
    }
    json_decref(answer);
}

/* What is not there yet on a new server is no fault. */
static void check_begun(CliChecks *checks, CliClient *client, const StenoConfig *config)
{
    json_t *answer = cli_client_ask(client, "GET", "/v1/keys", NULL, NULL);
    if (config && config->platforms->len == 0)
        checks_add(checks, CHECK_WARNING, "platforms", "describe one: `platforms` in `man steno.conf`",
                   "there is nothing to record from yet");
    if (config && config->storages->len == 0)
        checks_add(checks, CHECK_WARNING, "storages", "describe one: `storages` in `man steno.conf`",
                   "there is nowhere to store recordings yet");
    if (config && config->apps->len == 0)
        checks_add(checks, CHECK_WARNING, "apps", "describe one: `apps` in `man steno.conf`",
                   "there is no app that could record yet");
    if (answer && json_array_size(json_object_get(answer, "keys")) == 0)
        checks_add(checks, CHECK_WARNING, "API keys", "`steno key init`, where REST is to be used",
                   "there is none yet");
    json_decref(answer);
}

static gboolean check_stenod(CliChecks *checks, CliClient *client)
{
    g_autoptr(GError) error = NULL;
    json_t *answer = cli_client_ask(client, "GET", "/livez", NULL, &error);
    if (!answer) {
        checks_add_error(checks, "stenod", "`systemctl status stenod`; what needs stenod was not checked", error);
        return FALSE;
    }
    json_decref(answer);
    checks_add(checks, CHECK_GOOD, "stenod", NULL, "runs and answers");
    return TRUE;
}

/* ---- certificate ------------------------------------------------------------------------------------------------- */

static void check_certificate(CliChecks *checks, const char *address)
{
    g_autofree char *words = NULL, *name = g_strdup_printf("HTTPS on %s", address);
    gint64 until_s = cli_client_certificate(address, &words);
    gint64 days = (until_s - steno_clock_wall_us() / G_USEC_PER_SEC) / DAY_S;
    const char *advice = "renew it; then `systemctl reload stenod`. One of stenod's own making is made anew when "
                         "tls/cert.pem is moved away";
    if (until_s == 0)
        checks_add(checks, CHECK_BAD, name, "see `journalctl -u stenod`", "%s", words);
    else if (days < 0)
        checks_add(checks, CHECK_BAD, name, advice, "the certificate has expired");
    else
        checks_add(checks, days < CERTIFICATE_WARN_DAYS ? CHECK_WARNING : CHECK_GOOD, name, advice,
                   "the certificate is valid for %d days", (int)days);
}

/* "0.0.0.0:8443" and "[::]:8443" are spoken to on this machine. */
static char *reachable_address(const char *listen)
{
    if (g_str_has_prefix(listen, "0.0.0.0:"))
        return g_strconcat("127.0.0.1", listen + strlen("0.0.0.0"), NULL);
    if (g_str_has_prefix(listen, "[::]:"))
        return g_strconcat("[::1]", listen + strlen("[::]"), NULL);
    return g_strdup(listen);
}

static void check_certificates(CliChecks *checks, const StenoConfig *config)
{
    for (char **listen = config ? config->api.listen : NULL; listen && *listen; listen++) {
        g_autofree char *address = reachable_address(*listen);
        check_certificate(checks, address);
    }
}

/* ---- the command ------------------------------------------------------------------------------------------------- */

static int run_doctor(CliCall *call, GError **error)
{
    const char *path = cli_text(call, "config") ? cli_text(call, "config") : STENO_CONFIG_DEFAULT_PATH;
    if (cli_flag(call, "fips"))
        return doctor_fips(call->json, error);
    g_autoptr(CliClient) client = cli_client_new(call, error);
    if (!client)
        return 1;
    gboolean here = !cli_client_is_remote(client);
    cli_client_set_patience(client, 0);
    CliChecks *checks = checks_new();
    g_autoptr(StenoConfig) config = here ? check_config(checks, path) : NULL;
    if (here) {
        doctor_clock(checks);
        doctor_disks(checks, config);
        doctor_signing(checks, config);
        doctor_limits(checks, config, cli_client_peer(client));
        doctor_sandbox(checks);
        doctor_names(checks, config);
        doctor_key_sources(checks, config);
    }
    if (check_stenod(checks, client)) {
        check_version(checks, client);
        check_ready(checks, client);
        check_begun(checks, client, config);
        check_certificates(checks, config);
        check_each(checks, client, "platforms");
        check_each(checks, client, "storages");
        check_webhooks(checks, client);
    }
    return checks_print(checks, call->json);
}

static const CliOption doctor_options[] = {
    {"config", 'c', CLI_TEXT, "FILE", "stenod's configuration (default: /etc/steno/steno.conf)"},
    {"fips", 0, CLI_FLAG, NULL,
     "instead: which cryptographic module does what here, and which of them is no FIPS module"},
    {NULL},
};

const CliCommand cli_doctor = {
    .name = "doctor",
    .words = "find out why it does not work",
    .operands = "",
    .summary =
        "Checks what recordings need: the configuration, the clock, disks, limits, names, the signing key, stenod and "
        "its\n"
        "certificate, every platform and its token, every storage (a small file is put, got and deleted), what waits\n"
        "for them, key sources, the webhooks; and tells what to do. Works without stenod, too. With --server only what "
        "stenod there "
        "can tell is checked.",
    .examples = "  sudo steno doctor\n"
                "  steno doctor --json | jq '.checks[] | select(.ok | not)'\n"
                "  steno doctor --fips\n",
    .codes = "",
    .code_words =
        "   1  something is wrong (lines with ✗; those with ! are worth a look); with --fips: an algorithm is done\n"
        "      by something else than a FIPS module\n",
    .options = doctor_options,
    .remote = TRUE,
    .run = run_doctor,
};
