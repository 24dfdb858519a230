#include "steno/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

gssize steno_file_read(int fd, void *data, gsize room)
{
    gsize filled = 0;
    while (filled < room) {
        gssize n = read(fd, (guint8 *)data + filled, room - filled);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        if (n == 0)
            break;
        filled += (gsize)n;
    }
    return (gssize)filled;
}

gboolean steno_file_write(int fd, const void *data, gsize bytes)
{
    for (gsize done = 0; done < bytes;) {
        gssize n = write(fd, (const guint8 *)data + done, bytes - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return FALSE;
        done += (gsize)n;
    }
    return TRUE;
}

gboolean steno_file_sync_folder(const char *folder)
{
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    gboolean synced = fd >= 0 && fsync(fd) == 0;
    int saved_errno = errno;
    if (fd >= 0)
        close(fd);
    errno = saved_errno;
    return synced;
}

gboolean steno_file_sync_parent(const char *path)
{
    g_autofree char *parent = g_path_get_dirname(path);
    return steno_file_sync_folder(parent);
}
