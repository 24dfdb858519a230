/*
 * steno-recorder: one process, one recording. Started by the job room with a listening socket as a file descriptor; the
 * first message on it is the job with its secrets. With --keys, it fetches the keys of a recording instead.
 */
#include "confine.h"
#include "control.h"
#include "gather.h"
#include "lock.h"
#include "replay.h"

#include "steno/base/crypto_modules.h"
#include "steno/base/error.h"
#include "steno/base/ipc.h"
#include "steno/base/job.h"
#include "steno/base/log.h"
#include "steno/base/secret.h"
#include "steno/base/version.h"
#include "steno/session.h"
#include "steno/transport.h"

#include <glib-unix.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* Who connects says within this time who it is, or loses the place: others may be waiting. */
#define FIRST_MESSAGE_MS 1000

typedef struct {
    GMainLoop *loop;
    int listening_fd;
    int lock_fd; /* 0: not yet */
    StenoIpc *client;
    guint first_message_timer;
    Control control;
    Replay *replay;
    StenoLog *log;
    StenoJobSpec *job;
    StenoSession *session;
    Agent agent;
    StenoSandboxState sandbox;
    gboolean finish_when_alone; /* who started us is gone: end the recording */
    int exit_code;
} Recorder;

/* ---- telling ----------------------------------------------------------------------------------------------------- */

static gboolean send_to_client(gpointer user, json_t *event)
{
    Recorder *recorder = user;
    return recorder->client && recorder->control.attached && steno_ipc_send(recorder->client, json_incref(event));
}

static void say_hello(Recorder *recorder, const char *state, guint part)
{
    json_t *hello = json_pack("{s:s, s:i, s:s, s:s, s:b, s:i, s:s, s:{s:b, s:i}}", "event", "hello", "pid",
                              (int)getpid(), "id", recorder->job->id ? recorder->job->id : "", "state", state, "paused",
                              recorder->job->paused, "part", (int)part, "version", STENO_VERSION, "sandbox", "seccomp",
                              recorder->sandbox.seccomp, "landlock_abi", (int)recorder->sandbox.landlock_abi);
    (void)send_to_client(recorder, hello);
    json_decref(hello);
}

static void on_session_event(gpointer user, json_t *event)
{
    Recorder *recorder = user;
    replay_add(recorder->replay, event);
    (void)send_to_client(recorder, event);
}

static void on_session_ended(gpointer user, const char *end_reason, const GError *error)
{
    Recorder *recorder = user;
    (void)end_reason;
    recorder->exit_code = steno_error_exit_code(error);
    if (recorder->client)
        steno_ipc_flush(recorder->client, 1000);
    g_main_loop_quit(recorder->loop);
}

static const StenoSessionEvents session_events = {.event = on_session_event, .ended = on_session_ended};

/* ---- commands ---------------------------------------------------------------------------------------------------- */

/* NULL: it has none in the file system. */
static char *socket_path(int fd)
{
    struct sockaddr_un address = {0};
    socklen_t bytes = sizeof address;
    if (getsockname(fd, (struct sockaddr *)&address, &bytes) != 0 || !address.sun_path[0])
        return NULL;
    return g_strdup(address.sun_path);
}

static gboolean confine_recorder(Recorder *recorder, const char *capture, int *keys_fd, GError **error)
{
    g_autofree char *path = socket_path(recorder->listening_fd);
    g_autofree char *folder = path ? g_path_get_dirname(path) : NULL;
    const ConfinePlaces places = {.capture = capture, .socket_folder = folder};
    return confine(recorder->job, &recorder->agent, &places, keys_fd, &recorder->sandbox, error);
}

static gboolean start_session(Recorder *recorder, const ControlStart *start, GError **error)
{
    StenoSessionPlace place = {start->capture, start->part, start->zero_wall_us, -1};
    recorder->job = steno_job_spec_from_json(start->job, error);
    if (!recorder->job || !steno_job_spec_check(recorder->job, error) || !steno_content_check_job(recorder->job, error))
        return FALSE;
    recorder->log = steno_log_new(NULL, "rec=%s", recorder->job->id);
    recorder->lock_fd = lock_capture(start->capture, error);
    if (recorder->lock_fd < 0 || !confine_recorder(recorder, start->capture, &place.keys_fd, error))
        return FALSE;
    say_hello(recorder, "joining", start->part);
    recorder->session = steno_session_start(recorder->job, &place, recorder->log, &session_events, recorder, error);
    return recorder->session != NULL;
}

static void on_start(gpointer user, const ControlStart *start)
{
    Recorder *recorder = user;
    g_autoptr(GError) error = NULL;
    recorder->finish_when_alone = start->finish_when_alone;
    if (start_session(recorder, start, &error))
        return;
    json_t *ended = json_pack("{s:s, s:s, s:o}", "event", "ended", "end_reason", "join-failed", "error",
                              steno_error_to_json(error));
    (void)send_to_client(recorder, ended);
    json_decref(ended);
    on_session_ended(recorder, "join-failed", error);
}

static void on_attach(gpointer user, guint part, guint seq)
{
    Recorder *recorder = user;
    if (!recorder->session)
        return;
    say_hello(recorder, steno_session_state(recorder->session), steno_session_part(recorder->session));
    replay_after(recorder->replay, part, seq, send_to_client, recorder);
}

static void on_stop(gpointer user, const char *end_reason)
{
    Recorder *recorder = user;
    if (recorder->session)
        steno_session_stop(recorder->session, end_reason);
}

static void on_pause(gpointer user, gboolean paused)
{
    Recorder *recorder = user;
    recorder->job->paused = paused;
    if (recorder->session)
        steno_session_pause(recorder->session, paused);
}

static gboolean on_update(gpointer user, const json_t *changes, GError **error)
{
    Recorder *recorder = user;
    if (!recorder->session || !steno_job_spec_apply(recorder->job, changes, error))
        return FALSE;
    steno_session_update(recorder->session);
    return TRUE;
}

static const ControlCommands commands = {
    .start = on_start,
    .attach = on_attach,
    .stop = on_stop,
    .pause = on_pause,
    .update = on_update,
};

/* ---- the client -------------------------------------------------------------------------------------------------- */

static void listen_for_client(Recorder *recorder);

static void forget_timer(Recorder *recorder)
{
    if (recorder->first_message_timer)
        g_source_remove(recorder->first_message_timer);
    recorder->first_message_timer = 0;
}

static void client_gone(Recorder *recorder)
{
    gboolean was_attached = recorder->control.attached;
    forget_timer(recorder);
    steno_ipc_free(g_steal_pointer(&recorder->client));
    recorder->control.attached = FALSE;
    if (!recorder->session)
        g_main_loop_quit(recorder->loop);
    else if (recorder->finish_when_alone && was_attached)
        steno_session_stop(recorder->session, "orphaned");
    else
        listen_for_client(recorder);
}

static void on_message(gpointer user, json_t *message)
{
    Recorder *recorder = user;
    g_autoptr(GError) error = NULL;
    if (!control_message(&recorder->control, message, &error))
        steno_warning(recorder->log, "a message of the client was refused: %s", error->message);
    if (recorder->control.attached)
        forget_timer(recorder);
}

static void on_client_closed(gpointer user, const GError *error)
{
    Recorder *recorder = user;
    if (error)
        steno_warning(recorder->log, "the connection to the client broke: %s", error->message);
    client_gone(recorder);
}

static const StenoIpcEvents ipc_events = {.message = on_message, .closed = on_client_closed};

static gboolean on_silent_client(gpointer user)
{
    Recorder *recorder = user;
    recorder->first_message_timer = 0;
    steno_warning(recorder->log, "a client said nothing for %d ms, and was sent away", FIRST_MESSAGE_MS);
    client_gone(recorder);
    return G_SOURCE_REMOVE;
}

static gboolean on_connection(gint fd, GIOCondition condition, gpointer user)
{
    Recorder *recorder = user;
    (void)condition;
    int client_fd = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
    if (client_fd < 0)
        return G_SOURCE_CONTINUE;
    recorder->client = steno_ipc_new(client_fd, NULL, &ipc_events, recorder);
    /* The first one started us and takes its time. */
    if (recorder->session)
        recorder->first_message_timer = g_timeout_add(FIRST_MESSAGE_MS, on_silent_client, recorder);
    return G_SOURCE_REMOVE;
}

/* One client at a time: whoever else comes waits until it has gone, and takes nobody's place. */
static void listen_for_client(Recorder *recorder)
{
    g_unix_fd_add(recorder->listening_fd, G_IO_IN, on_connection, recorder);
}

/* ---- the process ------------------------------------------------------------------------------------------------- */

/* Not by GLib, which starts a thread for signals: that would not be confined. */
static gboolean on_signal(gint fd, GIOCondition condition, gpointer user)
{
    (void)condition;
    Recorder *recorder = user;
    struct signalfd_siginfo signal_info;
    if (read(fd, &signal_info, sizeof signal_info) != (gssize)sizeof signal_info)
        return G_SOURCE_CONTINUE;
    if (recorder->session)
        steno_session_stop(recorder->session, "stopped");
    else
        g_main_loop_quit(recorder->loop);
    return G_SOURCE_CONTINUE;
}

static void attend_signals(Recorder *recorder)
{
    sigset_t end;
    sigemptyset(&end);
    sigaddset(&end, SIGTERM);
    (void)sigprocmask(SIG_BLOCK, &end, NULL);
    g_unix_fd_add(signalfd(-1, &end, SFD_CLOEXEC | SFD_NONBLOCK), G_IO_IN, on_signal, recorder);
    /* Ctrl-C goes to the whole foreground group: `steno record` decides, and tells us over the socket. */
    (void)signal(SIGINT, SIG_IGN);
}

static int usage(FILE *stream, int exit_code)
{
    fprintf(stream,
            "Usage: steno-recorder --socket-fd N [--log-level LEVEL]\n"
            "       steno-recorder --keys | --modules\n"
            "\n"
            "One recording, told over the listening Unix socket N. It is started by `steno record` and stenod, not by\n"
            "hand: try `steno record --help`. With --keys: the content keys of one, for its assembly; with --modules:\n"
            "which cryptographic module does what, as JSON.\n");
    return exit_code;
}

static gboolean confine_gathering(gpointer agent, StenoJobSpec *job, int *keys_fd, GError **error)
{
    return confine(job, agent, &(ConfinePlaces){NULL, NULL}, keys_fd, NULL, error);
}

static int gather_keys(void)
{
    g_autoptr(GError) error = NULL;
    Agent agent;
    if (!agent_start(&agent, &error) || !gather(STDIN_FILENO, STDOUT_FILENO, confine_gathering, &agent, &error))
        fprintf(stderr, "steno-recorder: %s\n", error->message);
    return steno_error_exit_code(error);
}

static int print_modules(void)
{
    json_t *modules = steno_crypto_modules();
    json_array_append_new(modules, steno_transport_srtp_module());
    char *text = json_dumps(modules, JSON_INDENT(2));
    gboolean printed = puts(text) != EOF && fflush(stdout) == 0;
    free(text);
    json_decref(modules);
    return printed ? 0 : 1;
}

static int parse(int argc, char **argv, Recorder *recorder)
{
    StenoLogLevel level;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0)
            return usage(stdout, 0);
        if (strcmp(argv[i], "--version") == 0) {
            puts("steno-recorder " STENO_VERSION);
            return 0;
        }
        if (strcmp(argv[i], "--keys") == 0)
            return gather_keys();
        if (strcmp(argv[i], "--modules") == 0)
            return print_modules();
        if (strcmp(argv[i], "--socket-fd") == 0 && i + 1 < argc)
            recorder->listening_fd = atoi(argv[++i]);
        else if (strcmp(argv[i], "--log-level") == 0 && i + 1 < argc && steno_log_level_from_name(argv[i + 1], &level))
            steno_log_set_level((i++, level));
        else
            return usage(stderr, 2);
    }
    return recorder->listening_fd > 2 ? -1 : usage(stderr, 2);
}

/* Nobody else may be left to take it away. */
static void remove_socket(int fd)
{
    g_autofree char *path = socket_path(fd);
    if (path)
        (void)unlink(path);
    close(fd);
}

int main(int argc, char **argv)
{
    steno_secret_protect_process();
    steno_log_set_level_from_environment();
    (void)signal(SIGXFSZ, SIG_IGN); /* a file size limit is a full disk, not a death */
    Recorder recorder = {.replay = replay_new(STENO_SESSION_REPLAY_MAX)};
    recorder.control = (Control){.commands = &commands, .user = &recorder};
    int exit_code = parse(argc, argv, &recorder);
    if (exit_code >= 0)
        return exit_code;
    g_autoptr(GError) error = NULL;
    if (!agent_start(&recorder.agent, &error)) { /* first: it has no thread, and no secret */
        fprintf(stderr, "steno-recorder: %s\n", error->message);
        return steno_error_exit_code(error);
    }
    recorder.loop = g_main_loop_new(NULL, FALSE);
    listen_for_client(&recorder);
    attend_signals(&recorder);
    g_main_loop_run(recorder.loop);
    forget_timer(&recorder);
    steno_session_free(recorder.session);
    steno_ipc_free(recorder.client);
    steno_job_spec_free(recorder.job);
    replay_free(recorder.replay);
    steno_log_free(recorder.log);
    g_main_loop_unref(recorder.loop);
    remove_socket(recorder.listening_fd);
    if (recorder.lock_fd > 0)
        close(recorder.lock_fd);
    return recorder.exit_code;
}
