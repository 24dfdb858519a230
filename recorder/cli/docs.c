/* steno-docs: writes docs/man/steno.1 out of the commands' tables. Not installed. */
#include "cli.h"

#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
    g_autofree char *text = NULL;
    if (argc == 2 && strcmp(argv[1], "manual") == 0)
        text = cli_print_manual();
    if (!text) {
        fputs("usage: steno-docs manual >docs/man/steno.1\n", stderr);
        return 2;
    }
    return fputs(text, stdout) < 0 || fflush(stdout) != 0;
}
