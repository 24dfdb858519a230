#include "recorder_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define PROGRAM "steno-recorder"

static int open_lock(const char *capture)
{
    g_autofree char *path = g_build_filename(capture, "recorder.lock", NULL);
    return open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
}

gboolean recorder_lock_held(const char *capture)
{
    int fd = open_lock(capture);
    if (fd < 0)
        return FALSE;
    gboolean held = flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    close(fd);
    return held;
}

/* What was written there last, by a recorder that may be long dead: on a full disk the next one could not write. */
static pid_t written_pid(int fd)
{
    char text[24] = "";
    gssize bytes = pread(fd, text, sizeof text - 1, 0);
    gint64 pid = bytes > 0 ? g_ascii_strtoll(text, NULL, 10) : 0;
    return pid > 1 && pid <= G_MAXINT32 ? (pid_t)pid : 0;
}

/* Who holds it, as the kernel tells: a line of /proc/locks. 0: it does not tell (a file system with numbers of its
 * own).
 */
static pid_t holder_pid(int fd)
{
    struct stat status;
    g_autofree char *locks = NULL;
    if (fstat(fd, &status) != 0 || !g_file_get_contents("/proc/locks", &locks, NULL, NULL))
        return 0;
    g_auto(GStrv) lines = g_strsplit(locks, "\n", -1);
    for (guint i = 0; lines[i]; i++) {
        unsigned major_number, minor_number;
        unsigned long long inode;
        int pid;
        if (sscanf(lines[i], "%*d: FLOCK %*s %*s %d %x:%x:%llu", &pid, &major_number, &minor_number, &inode) == 4 &&
            inode == status.st_ino && major_number == major(status.st_dev) && minor_number == minor(status.st_dev))
            return MAX(pid, 0);
    }
    return 0;
}

pid_t recorder_lock_pid(const char *capture)
{
    int fd = open_lock(capture);
    if (fd < 0)
        return 0;
    pid_t holder = holder_pid(fd);
    pid_t pid = holder > 0 ? holder : written_pid(fd);
    close(fd);
    return pid;
}

/* By its executable, also when an upgrade has replaced that; by its short name where a process that hides its memory
 * (PR_SET_DUMPABLE) does not let us see that. */
gboolean recorder_is_program(pid_t pid)
{
    g_autofree char *folder = g_strdup_printf("/proc/%d", (int)pid);
    g_autofree char *link = g_build_filename(folder, "exe", NULL);
    g_autofree char *target = g_file_read_link(link, NULL);
    if (target) {
        g_autofree char *name = g_path_get_basename(target);
        return strcmp(name, PROGRAM) == 0 || strcmp(name, PROGRAM " (deleted)") == 0;
    }
    g_autofree char *file = g_build_filename(folder, "comm", NULL);
    g_autofree char *comm = NULL;
    return g_file_get_contents(file, &comm, NULL, NULL) && strcmp(g_strchomp(comm), PROGRAM) == 0;
}

/* The effective user of the process: its folder in /proc is root's when it hides its memory. */
static gboolean is_ours(pid_t pid)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/status", (int)pid);
    g_autofree char *status = NULL;
    if (!g_file_get_contents(path, &status, NULL, NULL))
        return FALSE;
    const char *line = strstr(status, "\nUid:");
    unsigned real, effective;
    return line && sscanf(line, "\nUid: %u %u", &real, &effective) == 2 && effective == geteuid();
}

/* What is checked through the descriptor is what is killed: its pid cannot be given to another in between. */
gboolean recorder_lock_kill(const char *capture)
{
    pid_t pid = recorder_lock_pid(capture);
    if (pid == 0 || pid == getpid())
        return FALSE;
    int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (pidfd < 0 && errno == ESRCH)
        return FALSE;
    gboolean killed = FALSE;
    if (is_ours(pid) && recorder_is_program(pid) && recorder_lock_held(capture) && recorder_lock_pid(capture) == pid)
        killed = (pidfd >= 0 ? (int)syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0) : kill(pid, SIGKILL)) == 0;
    if (pidfd >= 0)
        close(pidfd);
    return killed;
}
