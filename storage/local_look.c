/* What is there: proving, reading and removing one object. */
#include "digest.h"
#include "local.h"

#include "steno/base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define PIECE_BYTES (256 * 1024)

static gboolean goes_on(gpointer user, const guint8 *data, gsize bytes, GError **error)
{
    (void)data;
    (void)bytes;
    return store_goes_on(user, error);
}

/* ---- proving ----------------------------------------------------------------------------------------------------- */

gboolean local_holds(int folder_fd, const char *name, gint64 bytes, const char *sha256_hex, GCancellable *cancellable,
                     GError **error)
{
    char hex[STENO_STORAGE_SHA256_HEX_BYTES];
    gint64 read_bytes = 0;
    int fd = openat(folder_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return FALSE;
    (void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED); /* what is read shall come from the disk */
    int failed = digest_fd(fd, goes_on, cancellable, hex, &read_bytes, error);
    close(fd);
    return !failed && read_bytes == bytes && strcmp(hex, sha256_hex) == 0;
}

static gboolean verify_object(const Way *way, int fd, gint64 there_bytes, gint64 bytes, const char *sha256_hex,
                              GCancellable *cancellable, GError **error)
{
    char hex[STENO_STORAGE_SHA256_HEX_BYTES];
    const char *root = way->local->root;
    if (there_bytes != bytes)
        return steno_error_set(error, STENO_ERROR_VERIFY_FAILED,
                               "%s in %s has %" G_GINT64_FORMAT " bytes, but should have %" G_GINT64_FORMAT, way->key,
                               root, there_bytes, bytes);
    (void)posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    int failed = digest_fd(fd, goes_on, cancellable, hex, &there_bytes, error);
    if (failed)
        return failed > 0 && local_fail(error, failed, "reading %s in %s", way->key, root);
    if (there_bytes != bytes || strcmp(hex, sha256_hex) != 0)
        return steno_error_set(error, STENO_ERROR_VERIFY_FAILED,
                               "%s in %s has other contents than it should (SHA-256 %s, not %s)", way->key, root, hex,
                               sha256_hex);
    return TRUE;
}

/* There is no cheap proof on a disk: its size says nothing of what it holds. */
gboolean local_verify(gpointer state, const char *key, gint64 bytes, const char *sha256_hex, StenoProof proof,
                      GCancellable *cancellable, GError **error)
{
    g_auto(Way) way = {0};
    struct stat status;
    (void)proof;
    if (!local_way_open(&way, state, key, error))
        return FALSE;
    int fd = local_way_open_object(&way, &status, error);
    if (fd < 0)
        return FALSE;
    gboolean same = verify_object(&way, fd, status.st_size, bytes, sha256_hex, cancellable, error);
    close(fd);
    return same;
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

int local_open_object(gpointer state, const char *key, GError **error)
{
    g_auto(Way) way = {0};
    struct stat status;
    return local_way_open(&way, state, key, error) ? local_way_open_object(&way, &status, error) : -1;
}

gboolean local_stat(gpointer state, const char *key, gint64 *bytes, gint64 *modified_us, GCancellable *cancellable,
                    GError **error)
{
    g_auto(Way) way = {0};
    struct stat status;
    if (!store_goes_on(cancellable, error) || !local_way_open(&way, state, key, error))
        return FALSE;
    int fd = local_way_open_object(&way, &status, error);
    if (fd < 0)
        return FALSE;
    close(fd);
    *bytes = status.st_size;
    *modified_us = (gint64)status.st_mtim.tv_sec * G_USEC_PER_SEC + status.st_mtim.tv_nsec / 1000;
    return TRUE;
}

/* From offset to end; an object that is shorter meanwhile has changed. */
static gboolean read_range(const Way *way, int fd, gint64 offset, gint64 end,
                           gboolean (*take)(gpointer user, const guint8 *data, gsize bytes, GError **error),
                           gpointer user, GCancellable *cancellable, GError **error)
{
    g_autofree guint8 *piece = g_malloc(PIECE_BYTES);
    while (offset < end) {
        if (!store_goes_on(cancellable, error))
            return FALSE;
        ssize_t n = pread(fd, piece, (size_t)MIN(end - offset, PIECE_BYTES), (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return local_fail(error, errno, "reading %s in %s", way->key, way->local->root);
        if (n == 0)
            return steno_error_set(error, STENO_ERROR_STORAGE_FAILED, "%s in %s changed while it was read", way->key,
                                   way->local->root);
        if (!take(user, piece, (gsize)n, error))
            return FALSE;
        offset += n;
    }
    return TRUE;
}

gboolean local_fetch(gpointer state, const char *key, gint64 offset, gint64 length,
                     gboolean (*take)(gpointer user, const guint8 *data, gsize bytes, GError **error), gpointer user,
                     GCancellable *cancellable, GError **error)
{
    g_auto(Way) way = {0};
    struct stat status;
    if (!local_way_open(&way, state, key, error))
        return FALSE;
    int fd = local_way_open_object(&way, &status, error);
    if (fd < 0)
        return FALSE;
    gint64 left = (gint64)status.st_size - offset, end = offset + (length < 0 ? left : MIN(length, left));
    gboolean fetched = left < 0
                           ? steno_error_set(error, STENO_ERROR_STORAGE_FAILED,
                                             "%s in %s has %" G_GINT64_FORMAT " bytes, and none at %" G_GINT64_FORMAT,
                                             key, way.local->root, (gint64)status.st_size, offset)
                           : read_range(&way, fd, offset, end, take, user, cancellable, error);
    close(fd);
    return fetched;
}

static gboolean append(gpointer user, const guint8 *data, gsize bytes, GError **error)
{
    (void)error;
    g_byte_array_append(user, data, (guint)bytes);
    return TRUE;
}

GBytes *local_read(gpointer state, const char *key, gsize max_bytes, GCancellable *cancellable, GError **error)
{
    g_auto(Way) way = {0};
    struct stat status;
    if (!local_way_open(&way, state, key, error))
        return NULL;
    int fd = local_way_open_object(&way, &status, error);
    if (fd < 0)
        return NULL;
    g_autoptr(GByteArray) bytes = g_byte_array_new();
    gboolean good = FALSE;
    if ((guint64)status.st_size > MIN(max_bytes, G_MAXINT32))
        steno_error_set(error, STENO_ERROR_STORAGE_FAILED, "%s in %s has more than %" G_GSIZE_FORMAT " bytes", key,
                        way.local->root, max_bytes);
    else
        good = read_range(&way, fd, 0, status.st_size, append, bytes, cancellable, error);
    close(fd);
    return good ? g_byte_array_free_to_bytes(g_steal_pointer(&bytes)) : NULL;
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
                return local_fail(error, errno, "removing the empty folder of %s in %s", way->key, way->local->root);
        }
        if (fsync(parent) != 0)
            return local_fail(error, errno, "writing the folder of %s in %s to disk", way->key, way->local->root);
    }
    return TRUE;
}

gboolean local_remove(gpointer state, const char *key, gboolean folders, GCancellable *cancellable, GError **error)
{
    const Local *local = state;
    g_auto(Way) way = {0};
    if (!store_goes_on(cancellable, error) || !local_way_open(&way, local, key, error))
        return FALSE;
    int failed = unlinkat(local_way_end(&way), local_way_name(&way), 0) != 0 ? errno : 0;
    if (failed && failed != ENOENT)
        return local_fail(error, failed, "removing %s in %s", key, local->root);
    /* Also where it is not there: an earlier attempt may have failed right here. */
    if (fsync(local_way_end(&way)) != 0)
        return local_fail(error, errno, "writing the folder of %s in %s to disk", key, local->root);
    if (folders && !remove_empty_folders(&way, error))
        return FALSE;
    return failed ? local_way_missing(&way, failed, "removing", error) : TRUE;
}
