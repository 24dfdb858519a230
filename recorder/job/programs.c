#include "programs.h"

#include "steno/base/error.h"
#include "steno/job.h"

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* Where a recorder finds its listening socket. */
#define CHILD_SOCKET_FD 3
#define ASSEMBLER_NICE 10
/* ioprio_set(2): best effort, the lowest of its eight levels. */
#define IOPRIO_WHO_PROCESS 1
#define IOPRIO_BEST_EFFORT_LOWEST ((2 << 13) | 7)

char *job_program(const char *name)
{
    g_autofree char *self = g_file_read_link("/proc/self/exe", NULL);
    g_autofree char *folder = self ? g_path_get_dirname(self) : NULL;
    g_autofree char *beside = folder ? g_build_filename(folder, name, NULL) : NULL;
    if (beside && g_file_test(beside, G_FILE_TEST_IS_EXECUTABLE))
        return g_steal_pointer(&beside);
    return g_build_filename(STENO_LIBEXEC_DIR, name, NULL);
}

/* ---- sockets ----------------------------------------------------------------------------------------------------- */

char *job_socket_path(const char *runtime_dir, const char *id, GError **error)
{
    g_autofree char *folder = runtime_dir
                                  ? g_build_filename(runtime_dir, "recordings", NULL)
                                  : g_strdup_printf("%s/steno-%u", g_get_user_runtime_dir(), (unsigned)geteuid());
    struct stat status;
    if (g_mkdir_with_parents(folder, 0700) != 0 || lstat(folder, &status) != 0) {
        (void)steno_error_set_errno(error, errno, "cannot make the runtime folder '%s'", folder);
        return NULL;
    }
    if (!S_ISDIR(status.st_mode) || status.st_uid != geteuid() || (status.st_mode & 077)) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_STORAGE_UNWRITABLE,
                    "the runtime folder '%s' is not a folder of ours with mode 0700: remove it, or set %s", folder,
                    runtime_dir ? "another runtime_dir" : "XDG_RUNTIME_DIR");
        return NULL;
    }
    return g_strdup_printf("%s/%s.sock", folder, id);
}

/* ---- recorders --------------------------------------------------------------------------------------------------- */

/* Away from the terminal and its Ctrl-C, which is ours to answer, and from the group that a service manager ends. */
static void lead_session(gpointer user)
{
    (void)user;
    (void)setsid();
}

pid_t job_spawn_recorder(int listening_fd, GError **error)
{
    g_autofree char *program = job_program("steno-recorder");
    g_autofree char *fd_text = g_strdup_printf("%d", CHILD_SOCKET_FD);
    const gchar *argv[] = {program, "--socket-fd", fd_text, NULL};
    const gint source_fds[] = {listening_fd}, target_fds[] = {CHILD_SOCKET_FD};
    GPid pid = 0;
    g_autoptr(GError) why = NULL;
    if (!g_spawn_async_with_pipes_and_fds(NULL, argv, NULL, G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_STDOUT_TO_DEV_NULL,
                                          lead_session, NULL, -1, -1, -1, source_fds, target_fds, 1, &pid, NULL, NULL,
                                          NULL, &why)) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_INTERNAL, "cannot start the recorder '%s': %s", program,
                    why->message);
        return 0;
    }
    return pid;
}

/* ---- assemblers -------------------------------------------------------------------------------------------------- */

/* Between fork() and exec(): only what is safe there. */
static void give_way(gpointer user)
{
    pid_t parent = GPOINTER_TO_INT(user);
    (void)setpgid(0, 0);
    (void)setpriority(PRIO_PROCESS, 0, ASSEMBLER_NICE);
    (void)syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, IOPRIO_BEST_EFFORT_LOWEST);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1); /* it died before we asked to be told */
}

GSubprocessLauncher *job_assembler_launcher(GSubprocessFlags flags)
{
    GSubprocessLauncher *launcher = g_subprocess_launcher_new(flags);
    g_subprocess_launcher_set_child_setup(launcher, give_way, GINT_TO_POINTER((gint)getpid()), NULL);
    return launcher;
}

/* ---- what a recorder would do it with ---------------------------------------------------------------------------- */

json_t *steno_job_modules(GError **error)
{
    g_autofree char *program = job_program("steno-recorder"), *told = NULL;
    const char *argv[] = {program, "--modules", NULL};
    gint status = 0;
    g_autoptr(GError) why = NULL;
    if (!g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_DEFAULT, NULL, NULL, &told, NULL, &status, &why)) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_INTERNAL, "cannot start '%s': %s", program, why->message);
        return NULL;
    }
    json_t *modules = told ? json_loads(told, 0, NULL) : NULL;
    if (json_is_array(modules) && WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return modules;
    json_decref(modules);
    g_set_error(error, STENO_ERROR, STENO_ERROR_INTERNAL,
                "'%s --modules' does not tell which modules it has: is it of this version?", program);
    return NULL;
}
