/*
 * Putting: a copy with a temporary name in the folder of the object, synced, read back through a fresh open, and only
 * then given its name.
 */
#include "digest.h"
#include "local.h"

#include "steno/base/error.h"
#include "steno/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

/* How much may be written until it is looked again whether min_free_bytes are still free: others write there, too. */
#define LOOK_EVERY_BYTES (64 * 1024 * 1024)

typedef struct {
    const StenoPut *put;
    const Local *local;
    Way way;
    int temporary_fd;
    char temporary[40];
    gint64 written_bytes, looked_bytes;
    GError *full; /* there is no room for it; what is there already needs none */
} Copy;

/* ---- the temporary file ------------------------------------------------------------------------------------------ */

/* Its name follows from the object's, so that what a crash leaves is taken up by the next attempt. */
static gboolean open_temporary(Copy *copy, GError **error)
{
    const char *key = copy->put->key, *root = copy->local->root;
    int folder_fd = local_way_end(&copy->way);
    g_autofree char *digest = g_compute_checksum_for_string(G_CHECKSUM_SHA256, local_way_name(&copy->way), -1);
    struct stat status;
    snprintf(copy->temporary, sizeof copy->temporary, LOCAL_TEMPORARY_PREFIX "%.16s" LOCAL_TEMPORARY_SUFFIX, digest);
    int fd = openat(folder_fd, copy->temporary, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, copy->local->mode);
    if (fd < 0)
        return local_fail(error, errno, "making %s in %s", key, root);
    if (flock(fd, LOCK_EX | LOCK_NB) != 0 || fstat(fd, &status) != 0 || status.st_nlink == 0) {
        close(fd);
        return steno_error_set(error, STENO_ERROR_STORAGE_FAILED, "%s in %s is being written by somebody else", key,
                               root);
    }
    copy->temporary_fd = fd;
    if (ftruncate(fd, 0) != 0)
        return local_fail(error, errno, "emptying %s in %s", key, root);
    return TRUE;
}

/* ---- copying ----------------------------------------------------------------------------------------------------- */

static gboolean write_piece(gpointer user, const guint8 *data, gsize bytes, GError **error)
{
    Copy *copy = user;
    const StenoPut *put = copy->put;
    if (!store_pace_wait(copy->local->store, bytes, put->cancellable, error))
        return FALSE;
    if (copy->written_bytes - copy->looked_bytes >= LOOK_EVERY_BYTES) {
        copy->looked_bytes = copy->written_bytes;
        if (!local_root_has_room(copy->local, copy->temporary_fd, put->bytes - copy->written_bytes, error))
            return FALSE;
    }
    int failed = steno_file_write(copy->temporary_fd, data, bytes) ? 0 : errno;
    if (failed)
        return local_fail(error, failed, "writing %s in %s", put->key, copy->local->root);
    copy->written_bytes += (gint64)bytes;
    if (put->progress)
        put->progress(put->user, copy->written_bytes, NULL);
    return TRUE;
}

/* Copies the source to the temporary file and makes it durable. */
static gboolean copy_source(Copy *copy, int source_fd, GError **error)
{
    const StenoPut *put = copy->put;
    char hex[STENO_STORAGE_SHA256_HEX_BYTES];
    gint64 bytes;
    (void)posix_fadvise(source_fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    int failed = digest_fd(source_fd, write_piece, copy, hex, &bytes, error);
    if (failed > 0)
        steno_error_set(error, STENO_ERROR_STORAGE_FAILED, "reading %s: %s", put->source, g_strerror(failed));
    if (failed || !store_source_is(put, bytes, hex, error) || !local_own(copy->local, copy->temporary_fd, FALSE, error))
        return FALSE;
    if (fsync(copy->temporary_fd) != 0)
        return local_fail(error, errno, "writing %s in %s", put->key, copy->local->root);
    return TRUE;
}

static gboolean fill_temporary(Copy *copy, GError **error)
{
    const StenoPut *put = copy->put;
    int source_fd = store_source_open(put, error);
    if (source_fd < 0)
        return FALSE;
    gboolean copied = open_temporary(copy, error) && copy_source(copy, source_fd, error);
    close(source_fd);
    if (!copied ||
        local_holds(local_way_end(&copy->way), copy->temporary, put->bytes, put->sha256_hex, put->cancellable, NULL))
        return copied;
    return store_goes_on(put->cancellable, error) &&
           steno_error_set(error, STENO_ERROR_STORAGE_FAILED,
                           "%s in %s does not read back as it was written; look at the disk", put->key,
                           copy->local->root);
}

/* ---- naming ------------------------------------------------------------------------------------------------------ */

static gboolean is_there(const Copy *copy, gint64 *bytes)
{
    struct stat status;
    if (fstatat(local_way_end(&copy->way), local_way_name(&copy->way), &status, AT_SYMLINK_NOFOLLOW) != 0)
        return FALSE;
    *bytes = S_ISREG(status.st_mode) ? (gint64)status.st_size : -1;
    return TRUE;
}

static gboolean refuse_other(const Copy *copy, GError **error)
{
    return steno_error_set(error, STENO_ERROR_STORAGE_FAILED, "%s in %s is there already, with other contents",
                           copy->put->key, copy->local->root);
}

/* Gives the object its name without ever taking one away. EEXIST when somebody was faster. */
static int rename_fresh(const Copy *copy)
{
    int folder_fd = local_way_end(&copy->way);
    const char *name = local_way_name(&copy->way);
    if (renameat2(folder_fd, copy->temporary, folder_fd, name, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno != EINVAL && errno != ENOSYS)
        return errno;
    /* A file system that cannot (NFS): a hard link does not replace either. */
    if (linkat(folder_fd, copy->temporary, folder_fd, name, 0) != 0)
        return errno;
    (void)unlinkat(folder_fd, copy->temporary, 0);
    return 0;
}

static gboolean publish(const Copy *copy, GError **error)
{
    int failed = 0, folder_fd = local_way_end(&copy->way);
    if (!copy->put->replace)
        failed = rename_fresh(copy);
    else if (renameat(folder_fd, copy->temporary, folder_fd, local_way_name(&copy->way)) != 0)
        failed = errno;
    if (failed == EEXIST)
        return refuse_other(copy, error);
    if (!failed && fsync(folder_fd) != 0)
        failed = errno;
    return !failed || local_fail(error, failed, "naming %s in %s", copy->put->key, copy->local->root);
}

/* ---- the whole --------------------------------------------------------------------------------------------------- */

/* The same object from an earlier attempt: makes sure that it is on disk. */
static gboolean sync_existing(const Copy *copy, GError **error)
{
    int folder_fd = local_way_end(&copy->way);
    int fd = openat(folder_fd, local_way_name(&copy->way), O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    int failed = fd < 0 || fsync(fd) != 0 || fsync(folder_fd) != 0 ? errno : 0;
    if (fd >= 0)
        close(fd);
    return !failed || local_fail(error, failed, "writing %s in %s to disk", copy->put->key, copy->local->root);
}

static gboolean put_object(Copy *copy, GError **error)
{
    const StenoPut *put = copy->put;
    gint64 there_bytes = -1;
    gboolean exists = is_there(copy, &there_bytes);
    if (there_bytes == put->bytes && local_holds(local_way_end(&copy->way), local_way_name(&copy->way), put->bytes,
                                                 put->sha256_hex, put->cancellable, NULL))
        return sync_existing(copy, error);
    if (!store_goes_on(put->cancellable, error))
        return FALSE;
    if (exists && !put->replace)
        return refuse_other(copy, error);
    if (copy->full) {
        g_propagate_error(error, g_steal_pointer(&copy->full));
        return FALSE;
    }
    gboolean stored = fill_temporary(copy, error) && publish(copy, error);
    if (!stored && copy->temporary_fd >= 0)
        (void)unlinkat(local_way_end(&copy->way), copy->temporary, 0);
    if (copy->temporary_fd >= 0)
        close(copy->temporary_fd);
    return stored;
}

static gboolean go(Copy *copy, GError **error)
{
    if (local_root_has_room(copy->local, local_way_end(&copy->way), copy->put->bytes, &copy->full))
        return local_way_go(&copy->way, TRUE, error);
    if (local_way_go(&copy->way, FALSE, NULL))
        return TRUE;
    g_propagate_error(error, g_steal_pointer(&copy->full));
    return FALSE;
}

gboolean local_put(gpointer state, const StenoPut *put, GError **error)
{
    Local *local = state;
    Copy copy = {.put = put, .local = local, .temporary_fd = -1};
    gboolean stored = local_way_begin(&copy.way, local, put->key, TRUE, error) && go(&copy, error) &&
                      put_object(&copy, error) && local_root_mark(local, g_array_index(copy.way.folder, int, 0), error);
    local_way_clear(&copy.way);
    g_clear_error(&copy.full);
    return stored;
}
