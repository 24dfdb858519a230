/* steno token: mint join tokens. */
#include "cli.h"

#include "steno/base/clock.h"
#include "steno/base/error.h"
#include "steno/token.h"

#include <stdio.h>
#include <string.h>

#define VIDEOROOM "janus.plugin.videoroom"

static int token_janus(int argc, char **argv)
{
    g_autofree char *secret_file = NULL, *room = NULL;
    gint ttl_s = 3600;
    static char name[] = "token janus";
    argv[0] = name;
    const GOptionEntry entries[] = {
        {"secret-file", 0, 0, G_OPTION_ARG_FILENAME, &secret_file, "Janus' token_auth_secret (- is standard input)",
         "FILE"},
        {"room", 0, 0, G_OPTION_ARG_STRING, &room, "mint the token of this room (signed_tokens) instead of the API's",
         "ID"},
        {"ttl", 0, 0, G_OPTION_ARG_INT, &ttl_s, "validity (default: 3600)", "SECONDS"},
        {NULL},
    };
    GOptionGroup *group = g_option_group_new("token", "", "", NULL, NULL);
    g_option_group_add_entries(group, entries);
    g_auto(GStrv) rest = NULL;
    g_autoptr(GError) error = NULL;
    int exit_code = cli_parse("Mints a signed token of Janus and prints it.", "",
                              "Example:\n  steno token janus --secret-file janus.secret --ttl 600 > join.token\n",
                              group, argc, argv, &rest);
    if (exit_code >= 0)
        return exit_code;
    if (!secret_file)
        return cli_usage_error("--secret-file is missing; see `steno token janus --help`");
    if (ttl_s <= 0)
        return cli_usage_error("--ttl is %d, but must be at least 1", ttl_s);
    g_autoptr(StenoSecret) secret = cli_read_secret("--secret-file", secret_file, TRUE, &error);
    if (!secret)
        return cli_fail(error);
    g_autofree char *room_descriptor = room ? g_strdup_printf("room=%s", room) : NULL;
    const char *descriptors[] = {room ? room_descriptor : VIDEOROOM, NULL};
    gint64 expires_s = steno_clock_wall_us() / G_USEC_PER_SEC + ttl_s;
    g_autoptr(StenoSecret) token =
        steno_token_mint_janus(secret, room ? VIDEOROOM : "janus", descriptors, expires_s, &error);
    if (!token)
        return cli_fail(error);
    puts(steno_secret_text(token));
    return 0;
}

int cli_token(int argc, char **argv)
{
    if (argc >= 2 && strcmp(argv[1], "janus") == 0)
        return token_janus(argc - 1, argv + 1);
    if (argc >= 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        puts("Usage: steno token PLATFORM …\n\n"
             "Mints a join token and prints it. Platforms: janus\n\n"
             "Example:\n  steno token janus --secret-file janus.secret --ttl 600 > join.token");
        return 0;
    }
    return cli_usage_error("name the platform: `steno token janus …`");
}
