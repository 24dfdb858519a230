/* From the root to an object, without following a link. */
#include "local.h"

#include "steno/base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static void close_folder(gpointer fd)
{
    close(*(int *)fd);
}

int local_way_end(const Way *way)
{
    return g_array_index(way->folder, int, way->folder->len - 1);
}

const char *local_way_name(const Way *way)
{
    return way->parts[way->folder->len - 1];
}

void local_way_clear(Way *way)
{
    g_strfreev(way->parts);
    if (way->folder)
        g_array_unref(way->folder);
}

gboolean local_way_missing(const Way *way, int failed, const char *doing, GError **error)
{
    const char *root = way->local->root;
    if (failed == ENOENT)
        return steno_error_set(error, STENO_ERROR_NOT_FOUND, "there is no %s in %s", way->key, root);
    if (failed == ELOOP || failed == ENOTDIR)
        return steno_error_set(error, STENO_ERROR_STORAGE_FAILED,
                               "the way to %s in %s leads over a symbolic link or a file", way->key, root);
    return local_fail(error, failed, "%s %s in %s", doing, way->key, root);
}

gboolean local_way_begin(Way *way, const Local *local, const char *key, gboolean make, GError **error)
{
    way->local = local;
    way->key = key;
    way->parts = g_strsplit(key, "/", -1);
    way->folder = g_array_new(FALSE, FALSE, sizeof(int));
    g_array_set_clear_func(way->folder, close_folder);
    int fd = local_root_open(local, make, error);
    if (fd < 0)
        return FALSE;
    g_array_append_val(way->folder, fd);
    return TRUE;
}

/* FALSE when it can't be; *made: it was not there. */
static gboolean make_folder(const Way *way, const char *name, gboolean *made, GError **error)
{
    const char *root = way->local->root;
    *made = mkdirat(local_way_end(way), name, way->local->folder_mode) == 0;
    if (!*made && errno != EEXIST)
        return local_fail(error, errno, "making the folder of %s in %s", way->key, root);
    if (*made && fsync(local_way_end(way)) != 0)
        return local_fail(error, errno, "writing the folder of %s in %s to disk", way->key, root);
    return TRUE;
}

gboolean local_way_go(Way *way, gboolean make, GError **error)
{
    for (guint i = 0; way->parts[i + 1]; i++) {
        gboolean made = FALSE;
        if (make && !make_folder(way, way->parts[i], &made, error))
            return FALSE;
        int fd = openat(local_way_end(way), way->parts[i], O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
            return local_way_missing(way, errno, "opening the folder of", error);
        g_array_append_val(way->folder, fd);
        if (made && !local_own(way->local, fd, TRUE, error))
            return FALSE;
    }
    return TRUE;
}

gboolean local_way_open(Way *way, const Local *local, const char *key, GError **error)
{
    return local_way_begin(way, local, key, FALSE, error) && local_way_go(way, FALSE, error);
}

/* O_NONBLOCK, for a FIFO in its place would wait for a writer. */
int local_way_open_object(const Way *way, struct stat *status, GError **error)
{
    int fd = openat(local_way_end(way), local_way_name(way), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 || fstat(fd, status) != 0)
        local_way_missing(way, errno, "opening", error);
    else if (!S_ISREG(status->st_mode))
        steno_error_set(error, STENO_ERROR_STORAGE_FAILED, "%s in %s is not a file", way->key, way->local->root);
    else
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}
