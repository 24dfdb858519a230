#include "recorder_process.h"

#include "programs.h"
#include "recorder_lock.h"

#include "steno/base/clock.h"
#include "steno/base/error.h"
#include "steno/base/ipc.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Once its connection is closed a process is as good as dead: how often it is looked whether it is. */
#define GONE_CHECK_MS 10
/* One that told its ending has so long to leave; one that did not may have lost only the connection. */
#define LEAVE_MAX_US (10 * G_USEC_PER_SEC)
#define LOST_MAX_US (300 * 1000)
/* A lock that is held by somebody whom we may not kill is looked at so often. */
#define FOREIGN_CHECK_MS 1000
/* A connection that breaks so often is of no use: the recorder is killed. */
#define LOST_CONNECTIONS_MAX 3

struct RecorderProcess {
    char *id, *capture, *socket_path;
    gboolean outlive;
    const StenoLog *log;
    const RecorderProcessEvents *events;
    gpointer user;

    pid_t child; /* a child of this process, also by another image; 0: it is not */
    StenoIpc *ipc;
    gboolean attaching; /* no hello yet */
    EventPosition known;
    guint timer;
    gint64 gone_mono_us; /* since when its end is awaited */
    guint connections_lost;
    gboolean killed, foreign_told;
    json_t *told; /* its "ended" message */
    char *how;
};

static void set_timer(RecorderProcess *process, guint delay_ms, GSourceFunc function)
{
    if (process->timer)
        g_source_remove(process->timer);
    process->timer = function ? g_timeout_add(delay_ms, function, process) : 0;
}

/* ---- its end ----------------------------------------------------------------------------------------------------- */

static void attach(RecorderProcess *process);
static gboolean on_gone_check(gpointer data);

static void set_how(RecorderProcess *process, const char *words)
{
    if (!process->how)
        process->how = g_strdup(words);
}

/* Is it over? A child is reaped here, and nowhere else. */
static gboolean has_gone(RecorderProcess *process)
{
    int status = 0;
    if (process->child == 0)
        return !recorder_lock_held(process->capture);
    pid_t reaped = waitpid(process->child, &status, WNOHANG);
    if (reaped == 0)
        return FALSE;
    process->child = 0;
    g_autofree char *words = reaped < 0            ? g_strdup("it is gone")
                             : WIFSIGNALED(status) ? g_strdup_printf("signal %d", WTERMSIG(status))
                                                   : g_strdup_printf("exit code %d", WEXITSTATUS(status));
    set_how(process, words);
    return TRUE;
}

static void kill_now(RecorderProcess *process)
{
    if (process->killed)
        return;
    process->killed = process->child > 0 ? kill(process->child, SIGKILL) == 0 : recorder_lock_kill(process->capture);
    if (process->killed || process->foreign_told)
        return;
    process->foreign_told = TRUE;
    steno_error(process->log,
                "the capture '%s' is locked by process %d, which is no recorder of ours that could be ended: it is "
                "waited for",
                process->capture, (int)recorder_lock_pid(process->capture));
}

static void await_end(RecorderProcess *process)
{
    steno_ipc_free(g_steal_pointer(&process->ipc));
    process->attaching = FALSE;
    process->gone_mono_us = steno_clock_mono_us();
    set_timer(process, 0, on_gone_check);
}

static gboolean on_gone_check(gpointer data)
{
    RecorderProcess *process = data;
    process->timer = 0;
    if (has_gone(process)) {
        set_how(process, process->killed ? "it was killed" : "it is gone");
        process->events->exited(process->user, process->told, process->how);
        return G_SOURCE_REMOVE;
    }
    gint64 waited_us = steno_clock_mono_us() - process->gone_mono_us;
    gboolean late = waited_us >= (process->told ? LEAVE_MAX_US : LOST_MAX_US);
    if (late && !process->told && !process->killed && ++process->connections_lost < LOST_CONNECTIONS_MAX) {
        attach(process);
        return G_SOURCE_REMOVE;
    }
    if (late)
        kill_now(process);
    set_timer(process, process->foreign_told && !process->killed ? FOREIGN_CHECK_MS : GONE_CHECK_MS, on_gone_check);
    return G_SOURCE_REMOVE;
}

/* ---- its words --------------------------------------------------------------------------------------------------- */

static gboolean is_its_hello(const RecorderProcess *process, const json_t *message)
{
    return g_strcmp0(json_string_value(json_object_get(message, "id")), process->id) == 0;
}

static void take_hello(RecorderProcess *process, const json_t *hello)
{
    if (!is_its_hello(process, hello)) {
        steno_error(process->log, "the recorder at '%s' records something else, and is left alone",
                    process->socket_path);
        await_end(process);
        return;
    }
    if (process->attaching)
        set_timer(process, 0, NULL);
    process->attaching = FALSE;
    process->events->hello(process->user, hello);
}

static void on_message(gpointer user, json_t *message)
{
    RecorderProcess *process = user;
    const char *name = json_string_value(json_object_get(message, "event"));
    (void)event_position_of(message, &process->known);
    if (g_strcmp0(name, "hello") == 0) {
        take_hello(process, message);
        return;
    }
    if (g_strcmp0(name, "ended") == 0) {
        json_decref(process->told);
        process->told = json_incref(message);
    }
    process->events->event(process->user, message);
}

static void on_closed(gpointer user, const GError *error)
{
    RecorderProcess *process = user;
    if (error)
        steno_warning(process->log, "the connection to the recorder broke: %s", error->message);
    await_end(process);
}

static const StenoIpcEvents ipc_events = {.message = on_message, .closed = on_closed};

/* ---- taking over ------------------------------------------------------------------------------------------------- */

static gboolean on_no_answer(gpointer data)
{
    RecorderProcess *process = data;
    process->timer = 0;
    if (recorder_lock_held(process->capture)) {
        steno_warning(process->log, "the recorder did not answer within %d s, and is killed",
                      RECORDER_ANSWER_MS / 1000);
        set_how(process, "it did not answer");
        kill_now(process);
    }
    process->connections_lost = LOST_CONNECTIONS_MAX; /* it had its time */
    await_end(process);
    return G_SOURCE_REMOVE;
}

/* A child of what this process was before its exec() is a child of ours. */
static void find_child(RecorderProcess *process)
{
    int status;
    pid_t pid = recorder_lock_pid(process->capture);
    if (process->child > 0 || pid == 0 || !recorder_is_program(pid))
        return;
    pid_t reaped = waitpid(pid, &status, WNOHANG);
    if (reaped == 0 && recorder_lock_held(process->capture))
        process->child = pid;
}

static void attach(RecorderProcess *process)
{
    g_autoptr(GError) error = NULL;
    find_child(process);
    int fd = steno_ipc_connect(process->socket_path, &error);
    if (fd < 0) {
        /* Nobody listens: whoever holds the lock cannot be talked to. */
        set_timer(process, 0, on_no_answer);
        return;
    }
    process->attaching = TRUE;
    process->ipc = steno_ipc_new(fd, NULL, &ipc_events, process);
    set_timer(process, RECORDER_ANSWER_MS, on_no_answer);
    (void)steno_ipc_send(process->ipc, json_pack("{s:s, s:i, s:i}", "command", "attach", "part",
                                                 (int)process->known.part, "seq", (int)process->known.seq));
}

static RecorderProcess *process_new(const RecorderProcessConfig *config, char *socket_path)
{
    RecorderProcess *process = g_new0(RecorderProcess, 1);
    process->id = g_strdup(config->id);
    process->capture = g_strdup(config->capture);
    process->socket_path = socket_path;
    process->outlive = config->outlive;
    process->log = config->log;
    process->events = config->events;
    process->user = config->user;
    return process;
}

static gboolean on_attach(gpointer data)
{
    RecorderProcess *process = data;
    process->timer = 0;
    attach(process);
    return G_SOURCE_REMOVE;
}

RecorderProcess *recorder_process_attach(const RecorderProcessConfig *config, EventPosition known)
{
    RecorderProcess *process = process_new(config, job_socket_path(config->runtime_dir, config->id, NULL));
    process->known = known;
    set_timer(process, 0, process->socket_path ? on_attach : on_no_answer);
    return process;
}

/* ---- starting ---------------------------------------------------------------------------------------------------- */

RecorderProcess *recorder_process_start(const RecorderProcessConfig *config, json_t *job, guint part,
                                        gint64 zero_wall_us, GError **error)
{
    json_t *message =
        json_pack("{s:s, s:o, s:s, s:i, s:I, s:b}", "command", "start", "job", job, "capture", config->capture, "part",
                  (int)part, "zero_wall_us", (json_int_t)zero_wall_us, "finish_when_alone", !config->outlive);
    g_autofree char *path = job_socket_path(config->runtime_dir, config->id, error);
    int listening_fd = path ? steno_ipc_listen(path, error) : -1;
    /* Connected before the child runs: it finds us waiting, and nobody else was before us. */
    int fd = listening_fd >= 0 ? steno_ipc_connect(path, error) : -1;
    pid_t child = fd >= 0 ? job_spawn_recorder(listening_fd, error) : 0;
    if (listening_fd >= 0)
        close(listening_fd);
    if (child == 0) {
        if (fd >= 0)
            close(fd);
        if (path)
            (void)unlink(path);
        json_decref(message);
        return NULL;
    }
    RecorderProcess *process = process_new(config, g_steal_pointer(&path));
    process->child = child;
    process->ipc = steno_ipc_new(fd, NULL, &ipc_events, process);
    (void)steno_ipc_send(process->ipc, message);
    return process;
}

/* ---- the rest ---------------------------------------------------------------------------------------------------- */

void recorder_process_send(RecorderProcess *process, json_t *message)
{
    if (process->ipc)
        (void)steno_ipc_send(process->ipc, message);
    else
        json_decref(message);
}

void recorder_process_kill(RecorderProcess *process, const char *why)
{
    set_how(process, why);
    kill_now(process);
    await_end(process);
}

/* What was killed is gone at once, but for a process that hangs in a system call. */
static void reap(pid_t child)
{
    for (guint i = 0; i < 200 && waitpid(child, NULL, WNOHANG) == 0; i++)
        g_usleep(5000);
}

void recorder_process_free(RecorderProcess *process)
{
    if (!process)
        return;
    set_timer(process, 0, NULL);
    if (!process->outlive) {
        if (process->child > 0 && kill(process->child, SIGKILL) == 0)
            reap(process->child);
        if (process->socket_path)
            (void)unlink(process->socket_path);
    }
    steno_ipc_free(process->ipc);
    json_decref(process->told);
    g_free(process->how);
    g_free(process->id);
    g_free(process->capture);
    g_free(process->socket_path);
    g_free(process);
}
