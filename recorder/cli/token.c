/* steno token: mint join tokens. */
#include "cli.h"

#include "steno/base/clock.h"
#include "steno/token.h"

#include <stdio.h>
#include <string.h>

#define VIDEOROOM "janus.plugin.videoroom"

static int run_token_janus(CliCall *call, GError **error)
{
    const char *secret_file = cli_text(call, "secret-file"), *room = cli_text(call, "room");
    gint64 ttl_s = cli_int(call, "ttl", 3600);
    if (!secret_file)
        return cli_usage_error("--secret-file is missing; see `steno token janus --help`");
    g_autoptr(StenoSecret) secret = cli_read_secret(call, "--secret-file", secret_file, TRUE, error);
    if (!secret)
        return 2;
    g_autofree char *room_descriptor = room ? g_strdup_printf("room=%s", room) : NULL;
    const char *descriptors[] = {room ? room_descriptor : VIDEOROOM, NULL};
    gint64 expires_s = steno_clock_wall_us() / G_USEC_PER_SEC + ttl_s;
    g_autoptr(StenoSecret) token =
        steno_token_mint_janus(secret, room ? VIDEOROOM : "janus", descriptors, expires_s, error);
    if (!token)
        return 1;
    if (call->json) {
        json_t *answer = json_pack("{s:s, s:I}", "token", steno_secret_text(token), "expires_s", (json_int_t)expires_s);
        cli_print_answer(answer);
        json_decref(answer);
    } else {
        puts(steno_secret_text(token));
    }
    return 0;
}

static const CliOption janus_options[] = {
    {"secret-file", 0, CLI_TEXT, "FILE", "Janus' token_auth_secret (- is standard input)"},
    {"room", 0, CLI_TEXT, "ID", "mint the token of this room (signed_tokens) instead of the API's"},
    {"ttl", 0, CLI_INT, "SECONDS", "validity (default: 3600)", 1, G_MAXINT32},
    {NULL},
};

const CliCommand cli_token_janus = {
    .name = "token janus",
    .words = "mint a join token of Janus",
    .operands = "",
    .summary = "Mints a signed token of Janus and prints it.",
    .examples = "  steno token janus --secret-file janus.secret --ttl 600 > join.token\n",
    .codes = "",
    .options = janus_options,
    .run = run_token_janus,
};
