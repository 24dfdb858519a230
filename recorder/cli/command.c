/* The commands, and which one is meant. */
#include "cli.h"

#include "steno/base/version.h"

#include <stdio.h>
#include <string.h>

const CliCommand *const *cli_commands(void)
{
    static const CliCommand *const commands[] = {
        &cli_start,
        &cli_list,
        &cli_show,
        &cli_watch,
        &cli_stop,
        &cli_pause,
        &cli_resume,
        &cli_update,
        &cli_files,
        &cli_get,
        &cli_delete,
        &cli_record,
        &cli_assemble,
        &cli_verify,
        &cli_key_init,
        &cli_key_add,
        &cli_key_list,
        &cli_key_revoke,
        &cli_webhook_list,
        &cli_webhook_enable,
        &cli_storage_list,
        &cli_storage_retry,
        &cli_audit_verify,
        &cli_backup,
        &cli_check,
        &cli_doctor,
        &cli_token_janus,
        &cli_completion,
        NULL,
    };
    return commands;
}

/* ---- exit codes -------------------------------------------------------------------------------------------------- */

/* What can happen to every command, and to every one that talks to stenod. */
static const char local_codes[] = "internal usage";
static const char remote_codes[] =
    "not-found unauthenticated forbidden too-many-requests tls daemon-unreachable journal "
    "shutting-down";

static gboolean has_word(const char *words, const char *word)
{
    g_auto(GStrv) list = g_strsplit(words, " ", -1);
    return g_strv_contains((const char *const *)list, word);
}

static gboolean is_likely(const CliCommand *command, const char *slug)
{
    return !command || !command->codes || has_word(command->codes, slug) || has_word(local_codes, slug) ||
           (command->remote && has_word(remote_codes, slug));
}

char *cli_describe_exit_codes(const CliCommand *command)
{
    GString *text = g_string_new("   0  it is done\n");
    for (int code = 1; code < 128; code++) {
        for (unsigned i = 0; i < STENO_ERROR_COUNT; i++) {
            GError error = {.domain = STENO_ERROR, .code = (gint)i};
            if (steno_error_exit_code(&error) == code && is_likely(command, steno_error_slug((StenoError)i)))
                g_string_append_printf(text, "  %2d  %s\n", code, steno_error_words((StenoError)i));
        }
    }
    if (command && command->code_words)
        g_string_append(text, command->code_words);
    return g_string_free(text, FALSE);
}

/* ---- help -------------------------------------------------------------------------------------------------------- */

static void print_commands(FILE *stream, const char *group)
{
    gsize bytes = group ? strlen(group) : 0;
    for (const CliCommand *const *command = cli_commands(); *command; command++) {
        if (!group || (strncmp((*command)->name, group, bytes) == 0 && (*command)->name[bytes] == ' '))
            fprintf(stream, "  %-16s %s\n", (*command)->name, (*command)->words);
    }
}

static void print_help(FILE *stream)
{
    fputs("Usage: steno COMMAND …\n"
          "\n"
          "Steno records real-time channels silently and writes finished files to your own storage.\n"
          "\n"
          "Commands:\n",
          stream);
    print_commands(stream, NULL);
    fputs("\n"
          "`steno COMMAND --help` tells more, and so does steno(1). For example:\n"
          "  steno start --app clinic --platform janus-1 --channel 1234 --for 1h\n"
          "  steno record --platform janus --url https://sfu.example/janus --channel 1234 \\\n"
          "      --token-secret-file /etc/steno/janus.secret --output /srv/recordings\n",
          stream);
}

/* ---- finding ----------------------------------------------------------------------------------------------------- */

/* How many letters are to be changed, put in or taken out (Levenshtein), or two neighbours swapped. */
static guint distance(const char *a, const char *b)
{
    gsize n = strlen(a), m = strlen(b);
    if (n > 32 || m > 32)
        return G_MAXUINT;
    guint cost[33][33];
    for (gsize i = 0; i <= n; i++) {
        for (gsize j = 0; j <= m; j++) {
            if (i == 0 || j == 0) {
                cost[i][j] = (guint)(i + j);
                continue;
            }
            guint best = MIN(cost[i - 1][j], cost[i][j - 1]) + 1;
            best = MIN(best, cost[i - 1][j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                best = MIN(best, cost[i - 2][j - 2] + 1);
            cost[i][j] = best;
        }
    }
    return cost[n][m];
}

static int unknown_command(const char *given)
{
    const char *nearest = NULL;
    guint least = 3; /* more than two slips are another word */
    for (const CliCommand *const *command = cli_commands(); *command; command++) {
        g_autofree char *first = g_strndup((*command)->name, strcspn((*command)->name, " "));
        guint slips = MIN(distance(given, (*command)->name), distance(given, first));
        if (slips < least && slips < strlen(given)) {
            least = slips;
            nearest = (*command)->name;
        }
    }
    if (nearest)
        return cli_usage_error("there is no command '%s'; did you mean `steno %s`? `steno --help` lists them", given,
                               nearest);
    return cli_usage_error("there is no command '%s'; `steno --help` lists them", given);
}

static gboolean is_group(const char *name)
{
    gsize bytes = strlen(name);
    for (const CliCommand *const *command = cli_commands(); *command; command++) {
        if (strncmp((*command)->name, name, bytes) == 0 && (*command)->name[bytes] == ' ')
            return TRUE;
    }
    return FALSE;
}

/* *words: how many of argv name it. */
static const CliCommand *find_command(int argc, char **argv, int *words)
{
    g_autofree char *two = argc > 2 ? g_strdup_printf("%s %s", argv[1], argv[2]) : NULL;
    for (const CliCommand *const *command = cli_commands(); *command; command++) {
        if (strcmp((*command)->name, argv[1]) == 0) {
            *words = 1;
            return *command;
        }
        if (two && strcmp((*command)->name, two) == 0) {
            *words = 2;
            return *command;
        }
    }
    return NULL;
}

static gboolean is_help(const char *word)
{
    return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || strcmp(word, "help") == 0;
}

static int group_usage(int argc, char **argv)
{
    gboolean asked = argc > 2 && is_help(argv[2]);
    FILE *stream = asked ? stdout : stderr;
    if (argc > 2 && !asked)
        fprintf(stream, "steno: there is no command '%s %s'\n", argv[1], argv[2]);
    fprintf(stream, "Usage: steno %s COMMAND …\n\nCommands:\n", argv[1]);
    print_commands(stream, argv[1]);
    return asked ? 0 : 2;
}

static int run(const CliCommand *command, int argc, char **argv)
{
    CliCall call = {0};
    g_autoptr(GError) error = NULL;
    int exit_code = cli_parse(command, argc, argv, &call);
    if (exit_code < 0) {
        exit_code = command->run(&call, &error);
        if (error && call.json)
            cli_print_json(json_pack("{s:o}", "error", steno_error_to_json(error)));
        if (error)
            exit_code = cli_fail(error);
    }
    cli_call_clear(&call);
    return exit_code;
}

int cli_main(int argc, char **argv)
{
    if (argc < 2) {
        print_help(stderr);
        return 2;
    }
    if (is_help(argv[1]) && argc == 2) {
        print_help(stdout);
        return 0;
    }
    if (strcmp(argv[1], "--version") == 0) {
        puts("steno " STENO_VERSION);
        return 0;
    }
    int words = 0;
    const CliCommand *command = is_help(argv[1]) ? find_command(argc - 1, argv + 1, &words) : NULL;
    if (command) {
        char help[] = "--help", *asked[] = {argv[0], help, NULL};
        return run(command, 2, asked);
    }
    command = find_command(argc, argv, &words);
    if (command)
        return run(command, argc - words, argv + words);
    return is_group(argv[1]) ? group_usage(argc, argv) : unknown_command(argv[1]);
}
