#include "journal_internal.h"

#include "steno/base/clock.h"
#include "steno/base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

/*
 * A child that was forked but has not yet called exec holds its parent's lock. When the parent was killed just then,
 * the lock is free some milliseconds later.
 */
#define LOCK_PATIENCE_US (500 * 1000)
#define LOCK_AGAIN_US (10 * 1000)

static gboolean take(int fd)
{
    gint64 until_us = steno_clock_mono_us() + LOCK_PATIENCE_US;
    while (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK && errno != EINTR)
            return FALSE;
        if (steno_clock_mono_us() > until_us) {
            errno = EWOULDBLOCK;
            return FALSE;
        }
        g_usleep(LOCK_AGAIN_US);
    }
    return TRUE;
}

/* Who has it, from what that one wrote: "pid 17, owner ward-7". */
static void refuse(int fd, const char *path, GError **error)
{
    char text[256];
    ssize_t n = pread(fd, text, sizeof text - 1, 0);
    text[MAX(n, 0)] = 0;
    g_strchomp(text);
    g_autofree char *valid = g_utf8_make_valid(text, -1);
    g_set_error(error, STENO_ERROR, STENO_ERROR_JOURNAL,
                "opening the journal %s: it is in use by another process (%s): end that first", path,
                *valid ? valid : "which has not said who it is");
}

int journal_lock(const char *path, const char *owner, GError **error)
{
    g_autofree char *lock_path = g_strconcat(path, ".lock", NULL);
    int fd = open(lock_path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_JOURNAL,
                    "opening the journal's lock %s: %s: see that its folder is there and can be written", lock_path,
                    g_strerror(errno));
        return -1;
    }
    if (!take(fd)) {
        if (errno == EWOULDBLOCK)
            refuse(fd, path, error);
        else
            g_set_error(error, STENO_ERROR, STENO_ERROR_JOURNAL, "locking %s: %s", lock_path, g_strerror(errno));
        close(fd);
        return -1;
    }
    /* Only for who is refused: a full disk does not matter. */
    g_autofree char *text = g_strdup_printf("pid %d, owner %s\n", (int)getpid(), owner);
    if (ftruncate(fd, 0) != 0 || pwrite(fd, text, strlen(text), 0) < 0)
        errno = 0;
    return fd;
}
