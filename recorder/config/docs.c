/* steno-config-docs: writes conf/steno.conf and docs/man/steno.conf.5 out of the table of keys. Not installed. */
#include "steno/config.h"

#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
    g_autofree char *text = NULL;
    if (argc == 2 && strcmp(argv[1], "example") == 0)
        text = steno_config_print_example();
    else if (argc == 2 && strcmp(argv[1], "manual") == 0)
        text = steno_config_print_manual();
    if (!text) {
        fputs("usage: steno-config-docs example >conf/steno.conf\n"
              "       steno-config-docs manual >docs/man/steno.conf.5\n",
              stderr);
        return 2;
    }
    return fputs(text, stdout) < 0 || fflush(stdout) != 0;
}
