#include "lock.h"

#include "steno/base/error.h"
#include "steno/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* The file may have been removed, with its capture, between being opened and locked: then it locks nothing. */
static gboolean is_at(int fd, const char *path)
{
    struct stat ours, there;
    return fstat(fd, &ours) == 0 && stat(path, &there) == 0 && ours.st_ino == there.st_ino &&
           ours.st_dev == there.st_dev;
}

static void set_conflict(GError **error, int fd, const char *capture)
{
    char pid[16] = "?";
    gssize bytes = pread(fd, pid, sizeof pid - 1, 0);
    pid[MAX(bytes, 0)] = '\0';
    g_set_error(error, STENO_ERROR, STENO_ERROR_CONFLICT,
                "another recorder (pid %s) is writing the capture '%s': stop it, or attach to it", g_strchomp(pid),
                capture);
}

int lock_capture(const char *capture, GError **error)
{
    g_autofree char *path = g_build_filename(capture, "recorder.lock", NULL);
    for (;;) {
        /* Here, where the recorder may still open what is outside of the capture. */
        int fd = g_mkdir_with_parents(capture, 0700) == 0 && steno_file_sync_parent(capture)
                     ? open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600)
                     : -1;
        if (fd < 0) {
            (void)steno_error_set_errno(error, errno, "cannot make the lock '%s'", path);
            return -1;
        }
        if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
            if (errno == EWOULDBLOCK)
                set_conflict(error, fd, capture);
            else
                (void)steno_error_set_errno(error, errno, "cannot lock '%s'", path);
            close(fd);
            return -1;
        }
        if (is_at(fd, path)) {
            /* For people; a full disk is told by what is captured. */
            (void)!ftruncate(fd, 0);
            (void)!dprintf(fd, "%d\n", (int)getpid());
            return fd;
        }
        close(fd);
    }
}
