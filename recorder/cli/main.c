/* steno: the command. */
#include "cli.h"

#include "steno/base/secret.h"

#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

static const CliCommand commands[] = {
    {"record", "record a channel, from token to finished files", cli_record},
    {"assemble", "make the files of a capture (again)", cli_assemble},
    {"verify", "check a finished recording against its manifest", cli_verify},
    {"token", "mint a join token", cli_token},
};

static void print_help(FILE *stream)
{
    fputs("Usage: steno COMMAND …\n"
          "\n"
          "Steno records real-time channels silently and writes finished files to your own storage.\n"
          "\n"
          "Commands:\n",
          stream);
    for (gsize i = 0; i < G_N_ELEMENTS(commands); i++)
        fprintf(stream, "  %-10s %s\n", commands[i].name, commands[i].words);
    fputs("\n"
          "`steno COMMAND --help` tells more. For example:\n"
          "  steno record --platform janus --url https://sfu.example/janus --channel 1234 \\\n"
          "      --token-secret-file /etc/steno/janus.secret --output /srv/recordings\n",
          stream);
}

int main(int argc, char **argv)
{
    setlocale(LC_ALL, "");
    steno_secret_protect_process();
    (void)signal(SIGXFSZ, SIG_IGN); /* a file size limit is a full disk, not a death */
    if (argc < 2) {
        print_help(stderr);
        return 2;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0) {
        print_help(stdout);
        return 0;
    }
    if (strcmp(argv[1], "--version") == 0) {
        puts("steno " STENO_VERSION);
        return 0;
    }
    for (gsize i = 0; i < G_N_ELEMENTS(commands); i++) {
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    }
    return cli_usage_error("there is no command '%s'; `steno --help` lists them", argv[1]);
}
