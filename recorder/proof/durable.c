#include "durable.h"

#include "steno/base/error.h"
#include "steno/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* link() never replaces anything, rename() always does. */
static int place(const char *beside, const char *path, gboolean exclusive, gboolean *lost)
{
    if (!exclusive)
        return rename(beside, path) == 0 ? 0 : errno;
    int failed = link(beside, path) == 0 ? 0 : errno;
    *lost = failed == EEXIST;
    unlink(beside);
    return *lost ? 0 : failed;
}

gboolean durable_write(const char *path, mode_t mode, const void *data, gsize bytes, gboolean exclusive, gboolean *lost,
                       GError **error)
{
    g_autofree char *beside = g_strdup_printf("%s.XXXXXX", path);
    int fd = g_mkstemp_full(beside, O_WRONLY | O_CLOEXEC, (int)mode);
    if (fd < 0)
        return steno_error_set_errno(error, errno, "cannot make %s", path);
    int failed = fchmod(fd, mode) != 0 || !steno_file_write(fd, data, bytes) ? errno : 0;
    if (!failed && fsync(fd) != 0)
        failed = errno;
    if (close(fd) != 0 && !failed)
        failed = errno;
    if (!failed)
        failed = place(beside, path, exclusive, lost);
    if (failed)
        unlink(beside);
    else if (!steno_file_sync_parent(path))
        failed = errno;
    return !failed || steno_error_set_errno(error, failed, "cannot write %s", path);
}
