/* The API with a fake daemon, to be talked to. Usage: api_server CONFIG FOLDER-OF-FILES; SIGTERM stops it. */
#include "fake_daemon.h"

#include "steno/api.h"
#include "steno/base/clock.h"

#include <glib-unix.h>
#include <signal.h>
#include <stdio.h>

static gboolean on_signal(gpointer user)
{
    g_main_loop_quit(user);
    return G_SOURCE_REMOVE;
}

int main(int argc, char **argv)
{
    g_autoptr(GError) error = NULL;
    if (argc != 3)
        return 2;
    steno_log_set_level_from_environment();
    g_autoptr(StenoConfig) config = steno_config_load(argv[1], &error);
    StenoDaemon *daemon = fake_daemon_new(argv[2]);
    StenoApi *api = config ? steno_api_start(config, daemon, NULL, &error) : NULL;
    if (!api) {
        fprintf(stderr, "%s\n", error->message);
        fake_daemon_free(daemon);
        return 1;
    }
    (void)signal(SIGPIPE, SIG_IGN); /* as stenod */
    g_autoptr(GMainLoop) loop = g_main_loop_new(NULL, FALSE);
    g_unix_signal_add(SIGTERM, on_signal, loop);
    puts("ready");
    fflush(stdout);
    g_main_loop_run(loop);
    gint64 begun_us = steno_clock_mono_us();
    steno_api_stop(api);
    printf("stopped in %d ms\n", (int)((steno_clock_mono_us() - begun_us) / 1000));
    while (g_main_context_iteration(NULL, FALSE))
        ;
    fake_daemon_free(daemon);
    return 0;
}
