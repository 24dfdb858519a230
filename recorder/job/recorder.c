/* One recorder process from the outside: started with a listening socket, told its job, listened to. */
#include "job_internal.h"

#include "steno/base/error.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Where the child finds its listening socket. */
#define CHILD_SOCKET_FD 3

struct RecorderProcess {
    const StenoLog *log;
    const RecorderProcessEvents *events;
    gpointer user;
    GSubprocess *process;
    GCancellable *waiting;
    StenoIpc *ipc;
    char *socket_path;
    json_t *told; /* its "ended" message */
};

static void on_message(gpointer user, json_t *message)
{
    RecorderProcess *process = user;
    if (g_strcmp0(json_string_value(json_object_get(message, "event")), "ended") == 0) {
        json_decref(process->told);
        process->told = json_incref(message);
    } else {
        process->events->event(process->user, message);
    }
}

static void on_closed(gpointer user, const GError *error)
{
    RecorderProcess *process = user;
    if (error)
        steno_warning(process->log, "the connection to the recorder broke: %s", error->message);
}

static const StenoIpcEvents ipc_events = {.message = on_message, .closed = on_closed};

/* What a dead process left unread in the socket is read first: its last words. */
static void read_last_words(RecorderProcess *process)
{
    while (!process->told && g_main_context_iteration(NULL, FALSE))
        ;
}

static void on_exit_(GObject *source, GAsyncResult *result, gpointer user)
{
    g_autoptr(GError) error = NULL;
    gboolean waited = g_subprocess_wait_finish(G_SUBPROCESS(source), result, &error);
    if (!waited && g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
        return; /* the process was given up, and with it `user` */
    RecorderProcess *process = user;
    if (!process->told)
        read_last_words(process);
    g_autofree char *how = g_subprocess_get_if_signaled(process->process)
                               ? g_strdup_printf("signal %d", g_subprocess_get_term_sig(process->process))
                               : g_strdup_printf("exit code %d", g_subprocess_get_exit_status(process->process));
    process->events->exited(process->user, process->told, how);
}

/* A folder of our own for sockets: 0700, in the user's runtime folder. */
static char *socket_folder(GError **error)
{
    g_autofree char *folder = g_strdup_printf("%s/steno-%u", g_get_user_runtime_dir(), (unsigned)geteuid());
    struct stat status;
    if (g_mkdir_with_parents(folder, 0700) != 0 || lstat(folder, &status) != 0) {
        (void)steno_error_set_errno(error, errno, "cannot make the runtime folder '%s'", folder);
        return NULL;
    }
    if (!S_ISDIR(status.st_mode) || status.st_uid != geteuid() || (status.st_mode & 077)) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_STORAGE_UNWRITABLE,
                    "the runtime folder '%s' is not a folder of ours with mode 0700: remove it, or set XDG_RUNTIME_DIR",
                    folder);
        return NULL;
    }
    return g_steal_pointer(&folder);
}

static json_t *start_message(const StenoJobSpec *spec, const char *capture, guint part, gint64 zero_wall_us)
{
    return json_pack("{s:s, s:o, s:s, s:i, s:I, s:b}", "command", "start", "job", steno_job_spec_to_json(spec, TRUE),
                     "capture", capture, "part", (int)part, "zero_wall_us", (json_int_t)zero_wall_us,
                     "finish_when_alone", 1);
}

static GSubprocess *spawn(int listening_fd, GError **error)
{
    g_autofree char *program = job_program("steno-recorder");
    g_autofree char *fd_text = g_strdup_printf("%d", CHILD_SOCKET_FD);
    g_autoptr(GSubprocessLauncher) launcher = job_launcher_new(G_SUBPROCESS_FLAGS_NONE);
    g_subprocess_launcher_take_fd(launcher, listening_fd, CHILD_SOCKET_FD);
    g_autoptr(GError) why = NULL;
    GSubprocess *process = g_subprocess_launcher_spawn(launcher, &why, program, "--socket-fd", fd_text, NULL);
    if (!process)
        g_set_error(error, STENO_ERROR, STENO_ERROR_INTERNAL, "cannot start the recorder '%s': %s", program,
                    why->message);
    return process;
}

RecorderProcess *job_recorder_start(const StenoJobSpec *spec, const char *capture, guint part, gint64 zero_wall_us,
                                    const StenoLog *log, const RecorderProcessEvents *events, gpointer user,
                                    GError **error)
{
    g_autofree char *folder = socket_folder(error);
    g_autofree char *path = folder ? g_strdup_printf("%s/%s.sock", folder, spec->id) : NULL;
    int listening_fd = path ? steno_ipc_listen(path, error) : -1;
    if (listening_fd < 0)
        return NULL;
    /* Connected before the child runs: it finds us waiting, and nobody else was before us. */
    int fd = steno_ipc_connect(path, error);
    g_autoptr(GSubprocess) child = fd >= 0 ? spawn(listening_fd, error) : NULL;
    if (!child) {
        if (fd < 0)
            close(listening_fd);
        else
            close(fd);
        (void)unlink(path);
        return NULL;
    }
    RecorderProcess *process = g_new0(RecorderProcess, 1);
    process->log = log;
    process->events = events;
    process->user = user;
    process->socket_path = g_steal_pointer(&path);
    process->process = g_steal_pointer(&child);
    process->waiting = g_cancellable_new();
    process->ipc = steno_ipc_new(fd, NULL, &ipc_events, process);
    g_subprocess_wait_async(process->process, process->waiting, on_exit_, process);
    (void)steno_ipc_send(process->ipc, start_message(spec, capture, part, zero_wall_us));
    return process;
}

void job_recorder_stop(RecorderProcess *process, const char *end_reason)
{
    (void)steno_ipc_send(process->ipc, json_pack("{s:s, s:s}", "command", "stop", "end_reason", end_reason));
}

void job_recorder_free(RecorderProcess *process)
{
    if (!process)
        return;
    g_cancellable_cancel(process->waiting);
    g_subprocess_force_exit(process->process); /* nothing happens when it has exited */
    steno_ipc_free(process->ipc);
    (void)unlink(process->socket_path);
    g_object_unref(process->waiting);
    g_object_unref(process->process);
    g_free(process->socket_path);
    json_decref(process->told);
    g_free(process);
}
