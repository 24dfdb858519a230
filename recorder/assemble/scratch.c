#include "scratch.h"

#include "steno/base/error.h"
#include "steno/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* As the capture has it: other people on this machine do not read along. */
#define FILE_MODE 0640
/* Folders in folders; there are two. */
#define DEPTH_MAX 4
#define COPY_BYTES (256 * 1024)

static void remove_below(const char *path, guint depth)
{
    struct stat status;
    if (lstat(path, &status) != 0)
        return;
    if (!S_ISDIR(status.st_mode)) {
        (void)g_unlink(path);
        return;
    }
    g_autoptr(GDir) dir = depth < DEPTH_MAX ? g_dir_open(path, 0, NULL) : NULL;
    const char *name;
    while (dir && (name = g_dir_read_name(dir))) {
        g_autofree char *child = g_build_filename(path, name, NULL);
        remove_below(child, depth + 1);
    }
    (void)g_rmdir(path);
}

void scratch_remove(const char *path)
{
    remove_below(path, 0);
}

void scratch_clean(const char *folder)
{
    g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
    const char *name;
    while (dir && (name = g_dir_read_name(dir))) {
        if (!g_str_has_prefix(name, SCRATCH_PREFIX))
            continue;
        g_autofree char *path = g_build_filename(folder, name, NULL);
        scratch_remove(path);
    }
}

/* ---- files ------------------------------------------------------------------------------------------------------- */

/* Closes what was written, or takes it away; `sound` tells which, errno why. */
static gboolean finish_file(int fd, const char *path, gboolean sound, GError **error)
{
    sound = sound && fsync(fd) == 0;
    int saved = errno;
    if (close(fd) != 0 && sound) {
        sound = FALSE;
        saved = errno;
    }
    if (sound)
        return TRUE;
    (void)g_unlink(path);
    return steno_error_set_errno(error, saved, "writing %s", path);
}

static int create_file(const char *path, GError **error)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, FILE_MODE);
    if (fd < 0)
        steno_error_set_errno(error, errno, "creating %s", path);
    return fd;
}

gboolean scratch_write(const char *path, const void *data, gsize bytes, GError **error)
{
    int fd = create_file(path, error);
    return fd >= 0 && finish_file(fd, path, steno_file_write(fd, data, bytes), error);
}

static gboolean copy_bytes(int in, int out)
{
    g_autofree char *buffer = g_malloc(COPY_BYTES);
    for (;;) {
        ssize_t n = read(in, buffer, COPY_BYTES);
        if (n == 0)
            return TRUE;
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 || !steno_file_write(out, buffer, (gsize)n))
            return FALSE;
    }
}

gboolean scratch_link(const char *from, const char *to, GError **error)
{
    struct stat status;
    if (lstat(from, &status) == 0 && S_ISREG(status.st_mode) && link(from, to) == 0)
        return TRUE;
    int in = open(from, O_RDONLY | O_CLOEXEC);
    if (in < 0)
        return steno_error_set_errno(error, errno, "reading %s", from);
    int out = create_file(to, error);
    gboolean copied = out >= 0 && finish_file(out, to, copy_bytes(in, out), error);
    close(in);
    return copied;
}
