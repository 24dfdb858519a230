/*
 * stenod: the daemon and its API in one process, until it is told to end (SIGTERM: recordings are finished) or to begin
 * anew (SIGHUP: it executes itself in place, recordings go on).
 *
 * Crash-only: whatever else ends it, the next start goes on from what is on disk.
 */
#include "notify.h"

#include "steno/api.h"
#include "steno/base/clock.h"
#include "steno/base/error.h"
#include "steno/base/log.h"
#include "steno/base/secret.h"
#include "steno/base/version.h"
#include "steno/config.h"
#include "steno/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define STATUS_S 5
/* systemd waits so much longer each time while recordings are finished. */
#define EXTEND_S 60
/* Children that were there before we executed ourselves. */
#define INHERITED_MAX 10000

typedef struct {
    char *config_file;
    gboolean check_only, print_version;
    char **argv;   /* as given, for executing ourselves */
    char *program; /* resolved at the start: later the file may be another build, which is what is wanted */

    GMainLoop *loop;
    StenoConfig *config;
    StenoDaemon *daemon;
    StenoApi *api;
    GArray *inherited; /* of pid_t */
    guint signals;
    gboolean finishing, execute;
    int exit_code;
} Stenod;

static int fail(const GError *error)
{
    g_autofree char *message = steno_log_redact(error->message);
    fprintf(stderr, "stenod: %s\n", message);
    return steno_error_exit_code(error);
}

/* ---- the process ------------------------------------------------------------------------------------------------- */

static char *own_path(void)
{
    char *path = g_file_read_link("/proc/self/exe", NULL);
    if (path && g_str_has_suffix(path, " (deleted)"))
        path[strlen(path) - strlen(" (deleted)")] = '\0';
    return path;
}

/* A connection, a recorder's socket, a file being sent: each is a descriptor. */
static void raise_files(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max)
        return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
}

/* Recorders of the process image before this one are still our children: whoever does not wait for them keeps zombies.
 */
static GArray *inherited_children(void)
{
    GArray *pids = g_array_new(FALSE, FALSE, sizeof(pid_t));
    g_autofree char *path = g_strdup_printf("/proc/self/task/%d/children", (int)getpid());
    g_autofree char *text = NULL;
    if (!g_file_get_contents(path, &text, NULL, NULL))
        return pids;
    g_auto(GStrv) words = g_strsplit(text, " ", INHERITED_MAX);
    for (char **word = words; *word; word++) {
        pid_t pid = (pid_t)g_ascii_strtoll(*word, NULL, 10);
        if (pid > 0)
            g_array_append_val(pids, pid);
    }
    return pids;
}

static void reap_inherited(Stenod *stenod)
{
    for (guint i = stenod->inherited->len; i-- > 0;) {
        pid_t pid = g_array_index(stenod->inherited, pid_t, i);
        if (waitpid(pid, NULL, WNOHANG) != 0)
            g_array_remove_index_fast(stenod->inherited, i);
    }
}

/* ---- what happens ------------------------------------------------------------------------------------------------ */

static void on_finished(gpointer user)
{
    Stenod *stenod = user;
    g_main_loop_quit(stenod->loop);
}

static const StenoDaemonEvents daemon_events = {.finished = on_finished};

static gboolean on_status(gpointer user)
{
    Stenod *stenod = user;
    g_autofree char *status = steno_daemon_status(stenod->daemon);
    reap_inherited(stenod);
    notify("STATUS=%s", status);
    if (stenod->finishing)
        notify("EXTEND_TIMEOUT_USEC=%" G_GINT64_FORMAT, (gint64)EXTEND_S * G_USEC_PER_SEC);
    return G_SOURCE_CONTINUE;
}

static gboolean on_watchdog(gpointer user)
{
    (void)user;
    notify("WATCHDOG=1");
    return G_SOURCE_CONTINUE;
}

static gboolean on_terminate(gpointer user)
{
    Stenod *stenod = user;
    if (stenod->signals++ > 0) {
        steno_warning(NULL, "told to end a second time: leaves at once, recordings go on without stenod");
        g_main_loop_quit(stenod->loop);
        return G_SOURCE_CONTINUE;
    }
    steno_notice(NULL, "ends: recordings are finished; a second signal leaves at once");
    stenod->finishing = TRUE;
    notify("STOPPING=1");
    (void)on_status(stenod);
    steno_daemon_finish(stenod->daemon);
    return G_SOURCE_CONTINUE;
}

static gboolean on_reload(gpointer user)
{
    Stenod *stenod = user;
    g_autoptr(GError) error = NULL;
    if (stenod->finishing)
        return G_SOURCE_CONTINUE;
    notify("RELOADING=1\nMONOTONIC_USEC=%" G_GINT64_FORMAT, steno_clock_mono_us());
    g_autoptr(StenoConfig) config = steno_config_load(stenod->config_file, &error);
    if (!config) {
        steno_error(NULL, "the configuration was not loaded, the one before stays: %s", error->message);
        notify("READY=1");
        return G_SOURCE_CONTINUE;
    }
    steno_notice(NULL, "begins anew; recordings go on");
    stenod->execute = TRUE;
    g_main_loop_quit(stenod->loop);
    return G_SOURCE_CONTINUE;
}

/* ---- start and end ----------------------------------------------------------------------------------------------- */

/* Allowed, but hardly meant. */
static void tell_notes(const StenoConfig *config)
{
    for (guint i = 0; i < config->notes->len; i++)
        steno_warning(NULL, "%s", (const char *)config->notes->pdata[i]);
}

static gboolean start(Stenod *stenod, GError **error)
{
    StenoLogLevel level;
    stenod->config = steno_config_load(stenod->config_file, error);
    if (!stenod->config)
        return FALSE;
    if (steno_log_level_from_name(stenod->config->top.log_level, &level))
        steno_log_set_level(level);
    tell_notes(stenod->config);
    g_setenv("STENO_LOG_LEVEL", stenod->config->top.log_level, TRUE); /* for recorders and assemblies */
    stenod->daemon = steno_daemon_start(stenod->config, NULL, &daemon_events, stenod, error);
    if (!stenod->daemon)
        return FALSE;
    stenod->api = steno_api_start(stenod->config, stenod->daemon, NULL, error);
    return stenod->api != NULL;
}

static void stop(Stenod *stenod)
{
    if (stenod->api)
        steno_api_stop(g_steal_pointer(&stenod->api));
    steno_daemon_free(g_steal_pointer(&stenod->daemon));
    g_clear_pointer(&stenod->config, steno_config_unref);
}

/* Nothing of ours is left open for the next image but what systemd and the shell gave us. */
static void close_on_execute(void)
{
    long most = sysconf(_SC_OPEN_MAX);
    for (int fd = 3; fd < MIN(most, 65536); fd++) {
        int flags = fcntl(fd, F_GETFD);
        if (flags >= 0)
            (void)fcntl(fd, F_SETFD, flags | FD_CLOEXEC);
    }
}

/* Between two images nobody handles signals: one that comes then waits, and is neither lost nor the end. */
static void hold_signals(int how)
{
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    (void)sigprocmask(how, &signals, NULL);
}

static int execute(const Stenod *stenod)
{
    close_on_execute();
    execv(stenod->program, stenod->argv);
    fprintf(stderr, "stenod: cannot execute '%s': %s\n", stenod->program, g_strerror(errno));
    return 1;
}

static int run(Stenod *stenod)
{
    g_autoptr(GError) error = NULL;
    stenod->loop = g_main_loop_new(NULL, FALSE);
    guint sources[6] = {0};
    sources[0] = g_unix_signal_add(SIGTERM, on_terminate, stenod);
    sources[1] = g_unix_signal_add(SIGINT, on_terminate, stenod);
    sources[2] = g_unix_signal_add(SIGHUP, on_reload, stenod);
    hold_signals(SIG_UNBLOCK);
    if (start(stenod, &error)) {
        guint watchdog_ms = notify_watchdog_ms();
        sources[3] = g_timeout_add_seconds(STATUS_S, on_status, stenod);
        sources[4] = watchdog_ms > 0 ? g_timeout_add(watchdog_ms, on_watchdog, stenod) : 0;
        steno_notice(NULL, "stenod " STENO_VERSION " is ready");
        /* A watchdog counts on over a reload: with several in a row its timer would never come to the first word. */
        notify("READY=1\nWATCHDOG=1");
        (void)on_status(stenod);
        g_main_loop_run(stenod->loop);
    } else {
        stenod->exit_code = fail(error);
        notify("STATUS=%s", error->message);
    }
    if (stenod->execute)
        hold_signals(SIG_BLOCK);
    stop(stenod);
    for (guint i = 0; i < G_N_ELEMENTS(sources); i++) {
        if (sources[i])
            g_source_remove(sources[i]);
    }
    g_main_loop_unref(stenod->loop);
    return stenod->execute ? execute(stenod) : stenod->exit_code;
}

/* ---- options ----------------------------------------------------------------------------------------------------- */

static int check_config(const Stenod *stenod)
{
    g_autoptr(GError) error = NULL;
    /* Not the service itself, also as its ExecReload=: systemd 252 lets the main process alone read credentials. */
    g_unsetenv("NOTIFY_SOCKET");
    g_unsetenv("CREDENTIALS_DIRECTORY");
    g_autoptr(StenoConfig) config = steno_config_load(stenod->config_file, &error);
    if (!config)
        return fail(error);
    tell_notes(config);
    printf("%s: is right\n", stenod->config_file);
    return 0;
}

static gboolean parse(Stenod *stenod, int argc, char **argv)
{
    const GOptionEntry entries[] = {
        {"config", 'c', 0, G_OPTION_ARG_FILENAME, &stenod->config_file,
         "configuration (default: " STENO_CONFIG_DEFAULT_PATH ")", "FILE"},
        {"check-config", 0, 0, G_OPTION_ARG_NONE, &stenod->check_only,
         "say whether the configuration is right, and end", NULL},
        {"version", 0, 0, G_OPTION_ARG_NONE, &stenod->print_version, "print the version", NULL},
        {NULL},
    };
    g_autoptr(GOptionContext) context = g_option_context_new("");
    g_autoptr(GError) error = NULL;
    g_option_context_set_summary(context, "Records channels of real-time platforms: the daemon, with its REST API.");
    g_option_context_set_description(
        context, "Example:\n"
                 "  stenod --check-config && stenod --config /etc/steno/steno.conf\n"
                 "\n"
                 "Signals:\n"
                 "  SIGTERM  finish all recordings, then end (a second one: end now, recordings go on)\n"
                 "  SIGHUP   load the configuration, and execute the program anew in place; recordings go on\n"
                 "\n"
                 "Exit codes: 0 ended in order, 2 wrong usage, 40-43 storage, 53 journal, 54 wrong configuration,\n"
                 "58 damaged audit log, 1 anything else.\n");
    g_option_context_add_main_entries(context, entries, NULL);
    if (!g_option_context_parse(context, &argc, &argv, &error)) {
        fprintf(stderr, "stenod: %s (see stenod --help)\n", error->message);
        return FALSE;
    }
    if (argc > 1) {
        fprintf(stderr, "stenod: '%s' was not expected (see stenod --help)\n", argv[1]);
        return FALSE;
    }
    return TRUE;
}

int main(int argc, char **argv)
{
    Stenod stenod = {.program = own_path(), .inherited = inherited_children()};
    stenod.argv = g_strdupv(argv);
    steno_secret_protect_process();
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGXFSZ, SIG_IGN); /* a file size limit is a full disk, not a death */
    raise_files();
    int exit_code = 2;
    if (parse(&stenod, argc, argv)) {
        if (!stenod.config_file)
            stenod.config_file = g_strdup(STENO_CONFIG_DEFAULT_PATH);
        if (stenod.print_version)
            exit_code = printf("stenod " STENO_VERSION "\n") > 0 ? 0 : 1;
        else
            exit_code = stenod.check_only ? check_config(&stenod) : run(&stenod);
    }
    g_array_unref(stenod.inherited);
    g_strfreev(stenod.argv);
    g_free(stenod.program);
    g_free(stenod.config_file);
    return exit_code;
}
