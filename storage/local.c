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
 * A symbolic link, or a folder where everybody may write, is refused: somebody else could put the recordings elsewhere,
 * or change them.
 */
static int open_root(const char *root, GError **error)
{
    struct stat status;
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

/* The same, and makes its last folder when it is missing. */
static int make_root(const char *root, GError **error)
{
    if (mkdir(root, 0777) != 0 && errno != EEXIST) {
        steno_error_set_errno(error, errno, "making the storage folder %s", root);
        return -1;
    }
    return open_root(root, error);
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
    put->folder_fd = make_root(put->root, error);
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
    int folder_fd = make_root(root, error);
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

/* ---- what is there ----------------------------------------------------------------------------------------------- */

/* The way to an object: its root, the folders on its key, each opened from the one before without following links. */
typedef struct {
    const char *root, *key;
    char **parts;   /* of the key; the last one is the object's name */
    GArray *folder; /* of int; folder[i] holds parts[i] */
} Way;

static void close_folder(gpointer fd)
{
    close(*(int *)fd);
}

static int way_end(const Way *way)
{
    return g_array_index(way->folder, int, way->folder->len - 1);
}

static const char *way_name(const Way *way)
{
    return way->parts[way->folder->len - 1];
}

static void way_clear(Way *way)
{
    g_strfreev(way->parts);
    g_array_unref(way->folder);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Way, way_clear)

static gboolean set_missing(const Way *way, int failed, const char *doing, GError **error)
{
    if (failed == ENOENT)
        return refuse(error, STENO_ERROR_NOT_FOUND, "there is no %s in %s", way->key, way->root);
    if (failed == ELOOP || failed == ENOTDIR)
        return refuse(error, STENO_ERROR_STORAGE_FAILED, "the way to %s in %s leads over a symbolic link or a file",
                      way->key, way->root);
    return steno_error_set_errno(error, failed, "%s %s in %s", doing, way->key, way->root);
}

static gboolean way_open(Way *way, const char *root, const char *key, GError **error)
{
    way->root = root;
    way->key = key;
    way->parts = g_strsplit(key, "/", -1);
    way->folder = g_array_new(FALSE, FALSE, sizeof(int));
    g_array_set_clear_func(way->folder, close_folder);
    if (!is_safe_key(key))
        return refuse(error, STENO_ERROR_STORAGE_FAILED, "\"%s\" is not a name for an object", key);
    int fd = open_root(root, error);
    if (fd < 0)
        return FALSE;
    g_array_append_val(way->folder, fd);
    for (guint i = 0; way->parts[i + 1]; i++) {
        fd = openat(fd, way->parts[i], O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
            return set_missing(way, errno, "opening the folder of", error);
        g_array_append_val(way->folder, fd);
    }
    return TRUE;
}

/* Opens the object itself; O_NONBLOCK, for a FIFO in its place would wait for a writer. */
static int way_open_object(const Way *way, gint64 *bytes, GError **error)
{
    struct stat status;
    int fd = openat(way_end(way), way_name(way), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &status) != 0) {
        set_missing(way, errno, "opening", error);
    } else if (!S_ISREG(status.st_mode)) {
        refuse(error, STENO_ERROR_STORAGE_FAILED, "%s in %s is not a file", way->key, way->root);
    } else {
        *bytes = status.st_size;
        return fd;
    }
    if (fd >= 0)
        close(fd);
    return -1;
}

static gboolean verify_object(const Way *way, int fd, gint64 there_bytes, gint64 bytes, const char *sha256_hex,
                              GError **error)
{
    char hex[STENO_STORAGE_SHA256_HEX_BYTES];
    gboolean writing;
    if (there_bytes != bytes)
        return refuse(error, STENO_ERROR_VERIFY_FAILED,
                      "%s in %s has %" G_GINT64_FORMAT " bytes, but should have %" G_GINT64_FORMAT, way->key, way->root,
                      there_bytes, bytes);
    (void)posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    int failed = steno_digest_fd(fd, -1, hex, &there_bytes, &writing);
    if (failed)
        return refuse(error, STENO_ERROR_STORAGE_FAILED, "reading %s in %s: %s", way->key, way->root,
                      g_strerror(failed));
    if (there_bytes != bytes || g_ascii_strcasecmp(hex, sha256_hex) != 0)
        return refuse(error, STENO_ERROR_VERIFY_FAILED,
                      "%s in %s has other contents than it should (SHA-256 %s, not %s)", way->key, way->root, hex,
                      sha256_hex);
    return TRUE;
}

static gboolean local_verify(const char *root, const char *key, gint64 bytes, const char *sha256_hex, GError **error)
{
    g_auto(Way) way = {0};
    gint64 there_bytes = 0;
    if (!way_open(&way, root, key, error))
        return FALSE;
    int fd = way_open_object(&way, &there_bytes, error);
    if (fd < 0)
        return FALSE;
    gboolean same = verify_object(&way, fd, there_bytes, bytes, sha256_hex, error);
    close(fd);
    return same;
}

/* Up to `bytes` of it; less when it ends before. -1: errno. */
static gssize read_up_to(int fd, guint8 *buffer, gsize bytes)
{
    gsize filled = 0;
    while (filled < bytes) {
        ssize_t n = read(fd, buffer + filled, bytes - filled);
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

static GBytes *local_read(const char *root, const char *key, gsize max_bytes, GError **error)
{
    g_auto(Way) way = {0};
    gint64 bytes = 0;
    if (!way_open(&way, root, key, error))
        return NULL;
    int fd = way_open_object(&way, &bytes, error);
    if (fd < 0)
        return NULL;
    /* One byte more than it had tells one that grows. */
    gsize room = (gsize)MIN(bytes, (gint64)max_bytes) + 1;
    g_autofree guint8 *buffer = g_malloc(room);
    gssize filled = read_up_to(fd, buffer, room);
    int failed = errno;
    close(fd);
    if (filled < 0)
        refuse(error, STENO_ERROR_STORAGE_FAILED, "reading %s in %s: %s", key, root, g_strerror(failed));
    else if ((gsize)filled > max_bytes)
        refuse(error, STENO_ERROR_STORAGE_FAILED, "%s in %s has more than %" G_GSIZE_FORMAT " bytes", key, root,
               max_bytes);
    else if (filled != bytes)
        refuse(error, STENO_ERROR_STORAGE_FAILED, "%s in %s changed while it was read", key, root);
    else
        return g_bytes_new_take(g_steal_pointer(&buffer), (gsize)filled);
    return NULL;
}

/* ---- removing ---------------------------------------------------------------------------------------------------- */

/* The folders of the key, deepest first, as long as they are empty. */
static gboolean remove_empty_folders(const Way *way, GError **error)
{
    for (guint i = way->folder->len - 1; i > 0; i--) {
        int parent = g_array_index(way->folder, int, i - 1);
        if (unlinkat(parent, way->parts[i - 1], AT_REMOVEDIR) != 0) {
            if (errno == ENOTEMPTY || errno == EEXIST)
                return TRUE;
            if (errno != ENOENT)
                return steno_error_set_errno(error, errno, "removing the empty folder of %s in %s", way->key,
                                             way->root);
        }
        if (fsync(parent) != 0)
            return steno_error_set_errno(error, errno, "writing the folder of %s in %s to disk", way->key, way->root);
    }
    return TRUE;
}

static gboolean local_remove(const char *root, const char *key, gboolean folders, GError **error)
{
    g_auto(Way) way = {0};
    if (!way_open(&way, root, key, error))
        return FALSE;
    int failed = unlinkat(way_end(&way), way_name(&way), 0) != 0 ? errno : 0;
    if (failed && failed != ENOENT)
        return steno_error_set_errno(error, failed, "removing %s in %s", key, root);
    /* Also where it is not there: an earlier attempt may have failed right here. */
    if (fsync(way_end(&way)) != 0)
        return steno_error_set_errno(error, errno, "writing the folder of %s in %s to disk", key, root);
    if (folders && !remove_empty_folders(&way, error))
        return FALSE;
    return failed ? set_missing(&way, failed, "removing", error) : TRUE;
}

const StenoSink steno_sink_local = {
    .name = "local",
    .put = local_put,
    .check = local_check,
    .verify = local_verify,
    .read = local_read,
    .remove = local_remove,
};
