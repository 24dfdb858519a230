/*
 * steno-recorder: one process, one recording. Started by the job room with a listening socket as a file descriptor; the
 * first message on it is the job with its secrets.
 */
#include "steno/base/clock.h"
#include "steno/base/error.h"
#include "steno/base/ipc.h"
#include "steno/base/job.h"
#include "steno/base/log.h"
#include "steno/base/secret.h"
#include "steno/session.h"

#include <glib-unix.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

typedef struct {
    GMainLoop *loop;
    int listening_fd;
    StenoIpc *client;
    StenoLog *log;
    StenoJobSpec *job;
    StenoSession *session;
    gboolean finish_when_alone; /* who started us is gone: end the recording */
    json_t *ended;              /* the last message, for a client that comes back */
    int exit_code;
} Recorder;

static void send_event(Recorder *recorder, json_t *event)
{
    if (recorder->client)
        (void)steno_ipc_send(recorder->client, json_incref(event));
}

static void on_session_event(gpointer user, json_t *event)
{
    send_event(user, event);
}

static void on_session_ended(gpointer user, const char *end_reason, const GError *error)
{
    Recorder *recorder = user;
    recorder->exit_code = steno_error_exit_code(error);
    recorder->ended =
        json_pack("{s:s, s:s, s:o}", "event", "ended", "end_reason", end_reason, "error", steno_error_to_json(error));
    send_event(recorder, recorder->ended);
    if (recorder->client)
        steno_ipc_flush(recorder->client, 1000);
    g_main_loop_quit(recorder->loop);
}

static const StenoSessionEvents session_events = {.event = on_session_event, .ended = on_session_ended};

static gboolean start(Recorder *recorder, const json_t *message, GError **error)
{
    StenoSessionPlace place = {
        .capture = json_string_value(json_object_get(message, "capture")),
        .first_part = (guint)json_integer_value(json_object_get(message, "part")),
        .zero_wall_us = json_integer_value(json_object_get(message, "zero_wall_us")),
    };
    if (!place.capture || place.first_part == 0) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_USAGE, "the start message names no capture folder or part");
        return FALSE;
    }
    recorder->job = steno_job_spec_from_json(json_object_get(message, "job"), error);
    if (!recorder->job || !steno_job_spec_check(recorder->job, error))
        return FALSE;
    recorder->finish_when_alone = json_is_true(json_object_get(message, "finish_when_alone"));
    recorder->log = steno_log_new(NULL, "rec=%s", recorder->job->id);
    recorder->session = steno_session_start(recorder->job, &place, recorder->log, &session_events, recorder, error);
    return recorder->session != NULL;
}

static void on_message(gpointer user, json_t *message)
{
    Recorder *recorder = user;
    const char *command = json_string_value(json_object_get(message, "command"));
    g_autoptr(GError) error = NULL;
    if (g_strcmp0(command, "start") == 0 && !recorder->job) {
        if (!start(recorder, message, &error))
            on_session_ended(recorder, "join-failed", error);
    } else if (g_strcmp0(command, "stop") == 0 && recorder->session) {
        const char *reason = json_string_value(json_object_get(message, "end_reason"));
        steno_session_stop(recorder->session, reason ? reason : "stopped");
    } else {
        steno_warning(recorder->log, "an unknown command was ignored: %s", command ? command : "(none)");
    }
}

static void listen_for_client(Recorder *recorder);

static void on_client_closed(gpointer user, const GError *error)
{
    Recorder *recorder = user;
    if (error)
        steno_warning(recorder->log, "the connection to who started this recorder broke: %s", error->message);
    steno_ipc_free(g_steal_pointer(&recorder->client));
    if (!recorder->session)
        g_main_loop_quit(recorder->loop);
    else if (recorder->finish_when_alone)
        steno_session_stop(recorder->session, "orphaned");
    else
        listen_for_client(recorder);
}

static const StenoIpcEvents ipc_events = {.message = on_message, .closed = on_client_closed};

static gboolean on_connection(gint fd, GIOCondition condition, gpointer user)
{
    Recorder *recorder = user;
    (void)condition;
    int client_fd = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
    if (client_fd < 0)
        return G_SOURCE_CONTINUE;
    recorder->client = steno_ipc_new(client_fd, NULL, &ipc_events, recorder);
    return G_SOURCE_REMOVE;
}

/* One client at a time: whoever else comes waits until it has gone, and takes nobody's place. */
static void listen_for_client(Recorder *recorder)
{
    g_unix_fd_add(recorder->listening_fd, G_IO_IN, on_connection, recorder);
}

static gboolean on_signal(gpointer user)
{
    Recorder *recorder = user;
    if (recorder->session)
        steno_session_stop(recorder->session, "stopped");
    else
        g_main_loop_quit(recorder->loop);
    return G_SOURCE_CONTINUE;
}

static gboolean ignore_signal(gpointer user)
{
    (void)user;
    return G_SOURCE_CONTINUE;
}

static int usage(FILE *stream, int exit_code)
{
    fprintf(stream,
            "Usage: steno-recorder --socket-fd N [--log-level LEVEL]\n"
            "\n"
            "One recording, told over the listening Unix socket N. It is started by `steno record` and stenod, not by\n"
            "hand: try `steno record --help`.\n");
    return exit_code;
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
    struct sockaddr_un address = {0};
    socklen_t bytes = sizeof address;
    if (getsockname(fd, (struct sockaddr *)&address, &bytes) == 0 && address.sun_path[0])
        (void)unlink(address.sun_path);
    close(fd);
}

int main(int argc, char **argv)
{
    steno_secret_protect_process();
    steno_log_set_level_from_environment();
    (void)signal(SIGXFSZ, SIG_IGN); /* a file size limit is a full disk, not a death */
    Recorder recorder = {0};
    int exit_code = parse(argc, argv, &recorder);
    if (exit_code >= 0)
        return exit_code;
    recorder.loop = g_main_loop_new(NULL, FALSE);
    listen_for_client(&recorder);
    g_unix_signal_add(SIGTERM, on_signal, &recorder);
    /* Ctrl-C goes to the whole foreground group: `steno record` decides, and tells us over the socket. */
    g_unix_signal_add(SIGINT, ignore_signal, &recorder);
    g_main_loop_run(recorder.loop);
    steno_session_free(recorder.session);
    steno_ipc_free(recorder.client);
    steno_job_spec_free(recorder.job);
    json_decref(recorder.ended);
    steno_log_free(recorder.log);
    g_main_loop_unref(recorder.loop);
    remove_socket(recorder.listening_fd);
    return recorder.exit_code;
}
