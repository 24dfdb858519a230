/* steno: the command. */
#include "cli.h"

#include "steno/base/secret.h"

#include <locale.h>
#include <signal.h>

int main(int argc, char **argv)
{
    setlocale(LC_ALL, "");
    steno_secret_protect_process();
    (void)signal(SIGXFSZ, SIG_IGN); /* a file size limit is a full disk, not a death */
    return cli_main(argc, argv);
}
