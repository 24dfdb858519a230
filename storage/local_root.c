/* The folder that the customer gave us, and the way from there to an object. */
#include "local.h"

#include "steno/base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <grp.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

gboolean local_fail(GError **error, int failed, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *doing = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    if (failed == EIO)
        return steno_error_set(error, STENO_ERROR_STORAGE_UNREACHABLE,
                               "%s: %s (a mount that went away, or a disk that fails: see dmesg)", doing,
                               g_strerror(failed));
    const char *advice = steno_error_service_advice(failed);
    if (advice)
        return steno_error_set(error, STENO_ERROR_STORAGE_UNWRITABLE, "%s: %s (%s)", doing, g_strerror(failed), advice);
    return steno_error_set_errno(error, failed, "%s", doing);
}

/* ---- the marker -------------------------------------------------------------------------------------------------- */

/*
 * A folder whose mount is away is an empty folder on another disk, and looks like any other. So a root gets a marker
 * when it is first used, and the state folder remembers that.
 */
static gboolean is_remembered(const Local *local)
{
    g_autofree char *root = NULL;
    return local->memory && g_file_get_contents(local->memory, &root, NULL, NULL) && strcmp(root, local->root) == 0;
}

static gboolean has_marker(int root_fd)
{
    struct stat status;
    return fstatat(root_fd, LOCAL_MARKER, &status, AT_SYMLINK_NOFOLLOW) == 0;
}

static gboolean check_marker(const Local *local, int root_fd, GError **error)
{
    if (has_marker(root_fd) || !is_remembered(local))
        return TRUE;
    return steno_error_set(error, STENO_ERROR_STORAGE_UNWRITABLE,
                           "the storage folder %s is not the one that was used before: it has no " LOCAL_MARKER
                           " (is it mounted? if it is a new one: touch %s/" LOCAL_MARKER ")",
                           local->root, local->root);
}

/* Only the daemon's own state folder: what another user's program put there could not be changed by the daemon. */
static void remember(const Local *local)
{
    g_autofree char *folder = local->memory ? g_path_get_dirname(local->memory) : NULL;
    g_autofree char *state_dir = folder ? g_path_get_dirname(folder) : NULL;
    struct stat status;
    if (!state_dir || stat(state_dir, &status) != 0 || status.st_uid != geteuid())
        return;
    (void)g_mkdir(folder, 0700);
    (void)g_file_set_contents(local->memory, local->root, -1, NULL);
}

gboolean local_root_mark(Local *local, int root_fd, GError **error)
{
    if (!local->memory || g_atomic_int_get(&local->known))
        return TRUE;
    int fd = openat(root_fd, LOCAL_MARKER, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (fd < 0)
        return local_fail(error, errno, "making %s/" LOCAL_MARKER, local->root);
    close(fd);
    if (fsync(root_fd) != 0)
        return local_fail(error, errno, "writing the storage folder %s to disk", local->root);
    if (!is_remembered(local))
        remember(local);
    g_atomic_int_set(&local->known, TRUE);
    return TRUE;
}

/* ---- the root ---------------------------------------------------------------------------------------------------- */

/* Somebody else could put the recordings elsewhere, or change them. */
static gboolean check_root(const char *root, GError **error)
{
    struct stat status;
    if (lstat(root, &status) != 0)
        return local_fail(error, errno, "looking at the storage folder %s", root);
    if (!S_ISDIR(status.st_mode))
        return steno_error_set(error, STENO_ERROR_STORAGE_UNWRITABLE,
                               "the storage folder %s is %s; name the folder itself", root,
                               S_ISLNK(status.st_mode) ? "a symbolic link" : "not a folder");
    if (status.st_mode & S_IWOTH)
        return steno_error_set(
            error, STENO_ERROR_STORAGE_UNWRITABLE,
            "everybody may write to the storage folder %s; use a folder of its own, or: chmod o-w %s", root, root);
    return TRUE;
}

/* TRUE: it is there now; *made: by us. */
static gboolean make_root(const Local *local, gboolean *made, GError **error)
{
    *made = FALSE;
    if (g_mkdir(local->root, (int)local->folder_mode) == 0)
        *made = TRUE;
    else if (errno != EEXIST)
        return local_fail(error, errno, "making the storage folder %s", local->root);
    return TRUE;
}

int local_root_open(const Local *local, gboolean make, GError **error)
{
    gboolean made = FALSE;
    if ((make && !make_root(local, &made, error)) || !check_root(local->root, error))
        return -1;
    int fd = open(local->root, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) {
        local_fail(error, errno, "opening the storage folder %s", local->root);
        return -1;
    }
    if (check_marker(local, fd, error) && (!made || local_own(local, fd, TRUE, error)))
        return fd;
    close(fd);
    return -1;
}

gboolean local_root_has_room(const Local *local, int root_fd, gint64 bytes, GError **error)
{
    struct statvfs space;
    if (local->min_free_bytes == 0)
        return TRUE;
    if (fstatvfs(root_fd, &space) != 0)
        return local_fail(error, errno, "looking how much is free in the storage folder %s", local->root);
    gint64 free_bytes = (gint64)space.f_bavail * (gint64)space.f_frsize;
    if (free_bytes - bytes >= local->min_free_bytes)
        return TRUE;
    return steno_error_set(error, STENO_ERROR_STORAGE_FULL,
                           "%" G_GINT64_FORMAT " bytes more in the storage folder %s would leave less than its "
                           "min_free_bytes: %" G_GINT64_FORMAT " bytes are free, and %" G_GINT64_FORMAT " must stay so",
                           bytes, local->root, free_bytes, local->min_free_bytes);
}

/* ---- who may read it --------------------------------------------------------------------------------------------- */

static gboolean group_id(const char *name, gid_t *id)
{
    struct group group, *found = NULL;
    g_autofree char *buffer = NULL;
    gsize bytes = 16384;
    int failed;
    do {
        g_free(buffer);
        buffer = g_malloc(bytes *= 2);
        failed = getgrnam_r(name, &group, buffer, bytes, &found);
    } while (failed == ERANGE && bytes < 1024 * 1024);
    if (found)
        *id = found->gr_gid;
    return found != NULL;
}

static gboolean set_group(const Local *local, int fd, GError **error)
{
    gid_t id;
    struct stat status;
    if (!group_id(local->group, &id))
        return steno_error_set(error, STENO_ERROR_STORAGE_UNWRITABLE,
                               "there is no group '%s', which files in the storage folder %s are to have", local->group,
                               local->root);
    if (fstat(fd, &status) == 0 && status.st_gid == id)
        return TRUE;
    if (fchown(fd, (uid_t)-1, id) != 0)
        return local_fail(error, errno, "giving a file in the storage folder %s to the group %s (be a member of it)",
                          local->root, local->group);
    return TRUE;
}

gboolean local_own(const Local *local, int fd, gboolean is_folder, GError **error)
{
    if (local->group && !set_group(local, fd, error))
        return FALSE;
    if (!local->has_mode || fchmod(fd, is_folder ? local->folder_mode : local->mode) == 0)
        return TRUE;
    /* CIFS, FAT and such have no modes of files: their mount says who may do what. */
    if (errno == EPERM || errno == ENOSYS || errno == EOPNOTSUPP)
        return TRUE;
    return local_fail(error, errno, "setting the mode of a file in the storage folder %s", local->root);
}
