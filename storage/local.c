#include "digest.h"

#include "steno/base/error.h"
#include "steno/storage.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* One object on its way: the folder it lies in, its name there, and its name while it is not whole. */
typedef struct {
    const char *root, *key, *name;
    int folder_fd, temporary_fd;
    char temporary[40];
} Put;

static gboolean refuse(GError **error, StenoError code, const char *format, ...) G_GNUC_PRINTF(3, 4);
static gboolean refuse(GError **error, StenoError code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *message = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    g_set_error_literal(error, STENO_ERROR, code, message);
    return FALSE;
}

/* ---- the root ---------------------------------------------------------------------------------------------------- */

/*
 * Opens the root, and makes its last folder when it is missing. A symbolic link, or a folder where everybody may write,
 * is refused: somebody else could put the recordings elsewhere, or change them.
 */
static int open_root(const char *root, GError **error)
{
    struct stat status;
    if (mkdir(root, 0777) != 0 && errno != EEXIST) {
        steno_error_set_errno(error, errno, "making the storage folder %s", root);
        return -1;
    }
    if (lstat(root, &status) != 0) {
        steno_error_set_errno(error, errno, "looking at the storage folder %s", root);
        return -1;
    }
    if (!S_ISDIR(status.st_mode)) {
        refuse(error, STENO_ERROR_STORAGE_UNWRITABLE, "the storage folder %s is %s; name the folder itself", root,
               S_ISLNK(status.st_mode) ? "a symbolic link" : "not a folder");
        return -1;
    }
    if (status.st_mode & S_IWOTH) {
        refuse(error, STENO_ERROR_STORAGE_UNWRITABLE,
               "everybody may write to the storage folder %s; use a folder of its own, or: chmod o-w %s", root, root);
        return -1;
    }
    int fd = open(root, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        steno_error_set_errno(error, errno, "opening the storage folder %s", root);
    return fd;
}

/* ---- the key ----------------------------------------------------------------------------------------------------- */

static gboolean is_safe_key(const char *key)
{
    g_auto(GStrv) parts = g_strsplit(key, "/", -1);
    for (guint i = 0; parts[i]; i++)
        if (!parts[i][0] || strcmp(parts[i], ".") == 0 || strcmp(parts[i], "..") == 0)
            return FALSE;
    return parts[0] != NULL;
}

/* Makes and opens the folder `name` below *fd, which is replaced by it. */
static gboolean enter_folder(int *fd, const char *name, const Put *put, GError **error)
{
    if (mkdirat(*fd, name, 0777) == 0) {
        if (fsync(*fd) != 0)
            return steno_error_set_errno(error, errno, "writing the folder of %s in %s to disk", put->key, put->root);
    } else if (errno != EEXIST) {
        return steno_error_set_errno(error, errno, "making the folder of %s in %s", put->key, put->root);
    }
    int next = openat(*fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (next < 0)
        return steno_error_set_errno(error, errno, "opening the folder of %s in %s", put->key, put->root);
    close(*fd);
    *fd = next;
    return TRUE;
}

static gboolean open_key_folder(Put *put, GError **error)
{
    if (!is_safe_key(put->key))
        return refuse(error, STENO_ERROR_STORAGE_FAILED, "\"%s\" is not a name for an object", put->key);
    put->folder_fd = open_root(put->root, error);
    if (put->folder_fd < 0)
        return FALSE;
    g_auto(GStrv) parts = g_strsplit(put->key, "/", -1);
    for (guint i = 0; parts[i + 1]; i++)
        if (!enter_folder(&put->folder_fd, parts[i], put, error))
            return FALSE;
    put->name = strrchr(put->key, '/') ? strrchr(put->key, '/') + 1 : put->key;
    return TRUE;
}

/* ---- the object -------------------------------------------------------------------------------------------------- */

/* The temporary name follows from the key, so that what a crash leaves is taken up by the next attempt. */
static gboolean open_temporary(Put *put, GError **error)
{
    g_autofree char *digest = g_compute_checksum_for_string(G_CHECKSUM_SHA256, put->name, -1);
    struct stat status;
    snprintf(put->temporary, sizeof put->temporary, ".steno-%.16s.partial", digest);
    put->temporary_fd = openat(put->folder_fd, put->temporary, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0666);
    if (put->temporary_fd < 0)
        return steno_error_set_errno(error, errno, "making %s in %s", put->key, put->root);
    if (flock(put->temporary_fd, LOCK_EX | LOCK_NB) != 0 || fstat(put->temporary_fd, &status) != 0 ||
        status.st_nlink == 0)
        return refuse(error, STENO_ERROR_STORAGE_FAILED, "%s in %s is being written by another process", put->key,
                      put->root);
    if (ftruncate(put->temporary_fd, 0) != 0)
        return steno_error_set_errno(error, errno, "emptying %s in %s", put->key, put->root);
    return TRUE;
}

/* Copies source to the temporary file and makes it durable; hex and bytes are those of what was read. */
static gboolean copy(Put *put, const char *source, char *hex, gint64 *bytes, GError **error)
{
    gboolean writing = FALSE;
    int fd = open(source, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return refuse(error, STENO_ERROR_STORAGE_FAILED, "reading %s: %s", source, g_strerror(errno));
    int failed = steno_digest_fd(fd, put->temporary_fd, hex, bytes, &writing);
    close(fd);
    if (failed && !writing)
        return refuse(error, STENO_ERROR_STORAGE_FAILED, "reading %s: %s", source, g_strerror(failed));
    if (!failed && fsync(put->temporary_fd) != 0)
        failed = errno;
    if (failed)
        return steno_error_set_errno(error, failed, "writing %s in %s", put->key, put->root);
    return TRUE;
}

/* TRUE when `name` in the folder holds these bytes. Errors are a FALSE too: then it does not hold them. */
static gboolean holds(int folder_fd, const char *name, const char *hex, gint64 bytes)
{
    char read_hex[STENO_STORAGE_SHA256_HEX_BYTES];
    gint64 read_bytes = 0;
    gboolean writing;
    int fd = openat(folder_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return FALSE;
    (void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED); /* what is read shall come from the disk */
    int failed = steno_digest_fd(fd, -1, read_hex, &read_bytes, &writing);
    close(fd);
    return !failed && read_bytes == bytes && strcmp(read_hex, hex) == 0;
}

static gboolean exists(const Put *put)
{
    struct stat status;
    return fstatat(put->folder_fd, put->name, &status, AT_SYMLINK_NOFOLLOW) == 0;
}

/* Gives the object its name without ever taking one away. EEXIST when somebody was faster. */
static int rename_fresh(const Put *put)
{
    if (renameat2(put->folder_fd, put->temporary, put->folder_fd, put->name, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno != EINVAL && errno != ENOSYS)
        return errno;
    /* A file system that cannot (NFS): a hard link does not replace either. */
    if (linkat(put->folder_fd, put->temporary, put->folder_fd, put->name, 0) != 0)
        return errno;
    (void)unlinkat(put->folder_fd, put->temporary, 0);
    return 0;
}

static gboolean publish(Put *put, gboolean replace, GError **error)
{
    int failed = 0;
    if (!replace)
        failed = rename_fresh(put);
    else if (renameat(put->folder_fd, put->temporary, put->folder_fd, put->name) != 0)
        failed = errno;
    if (failed == EEXIST)
        return refuse(error, STENO_ERROR_STORAGE_FAILED, "%s in %s is there already, with other contents", put->key,
                      put->root);
    if (!failed && fsync(put->folder_fd) != 0)
        failed = errno;
    if (failed)
        return steno_error_set_errno(error, failed, "naming %s in %s", put->key, put->root);
    return TRUE;
}

/* The same object from an earlier attempt: make sure that it is on disk, and be done. */
static gboolean keep_existing(Put *put, const char *source, gboolean *kept, GError **error)
{
    char hex[STENO_STORAGE_SHA256_HEX_BYTES];
    gint64 bytes = 0;
    *kept = FALSE;
    if (!exists(put))
        return TRUE;
    if (!steno_storage_digest(source, hex, &bytes, error))
        return FALSE;
    if (!holds(put->folder_fd, put->name, hex, bytes))
        return TRUE;
    int fd = openat(put->folder_fd, put->name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    int failed = fd < 0 || fsync(fd) != 0 || fsync(put->folder_fd) != 0 ? errno : 0;
    if (fd >= 0)
        close(fd);
    *kept = !failed;
    return failed ? steno_error_set_errno(error, failed, "writing %s in %s to disk", put->key, put->root) : TRUE;
}

static gboolean put_object(Put *put, const char *source, gboolean replace, GError **error)
{
    char hex[STENO_STORAGE_SHA256_HEX_BYTES];
    gint64 bytes = 0;
    gboolean kept;
    if (!open_key_folder(put, error) || !keep_existing(put, source, &kept, error))
        return FALSE;
    if (kept)
        return TRUE;
    if (!replace && exists(put))
        return refuse(error, STENO_ERROR_STORAGE_FAILED, "%s in %s is there already, with other contents", put->key,
                      put->root);
    if (!open_temporary(put, error))
        return FALSE;
    gboolean stored = copy(put, source, hex, &bytes, error);
    if (stored && !holds(put->folder_fd, put->temporary, hex, bytes))
        stored = refuse(error, STENO_ERROR_STORAGE_FAILED,
                        "%s in %s does not read back as it was written; look at the disk", put->key, put->root);
    if (stored)
        stored = publish(put, replace, error);
    if (!stored)
        (void)unlinkat(put->folder_fd, put->temporary, 0);
    return stored;
}

static gboolean local_put(const char *root, const char *source, const char *key, gboolean replace, GError **error)
{
    Put put = {.root = root, .key = key, .folder_fd = -1, .temporary_fd = -1};
    gboolean stored = put_object(&put, source, replace, error);
    if (put.temporary_fd >= 0)
        close(put.temporary_fd);
    if (put.folder_fd >= 0)
        close(put.folder_fd);
    return stored;
}

/* Writes a block and takes it away again: nothing else tells read-only mounts, quotas and full disks alike. */
static gboolean local_check(const char *root, GError **error)
{
    static const char name[] = ".steno-check.partial";
    static const char block[4096];
    int folder_fd = open_root(root, error);
    if (folder_fd < 0)
        return FALSE;
    (void)unlinkat(folder_fd, name, 0);
    int fd = openat(folder_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    int failed = fd < 0 ? errno : 0;
    if (!failed) {
        ssize_t n = write(fd, block, sizeof block);
        failed = n < 0 || fsync(fd) != 0 ? errno : n < (ssize_t)sizeof block ? ENOSPC : 0;
        close(fd);
        (void)unlinkat(folder_fd, name, 0);
    }
    close(folder_fd);
    if (failed == EACCES || failed == EPERM)
        return steno_error_set_errno(error, failed,
                                     "writing to the storage folder %s as user %u (give it the right to)", root,
                                     (unsigned)geteuid());
    if (failed)
        return steno_error_set_errno(error, failed, "writing to the storage folder %s", root);
    return TRUE;
}

const StenoSink steno_sink_local = {.name = "local", .put = local_put, .check = local_check};
