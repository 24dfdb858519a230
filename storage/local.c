/* The row of the local sink: a folder, or a mount. */
#include "local.h"

#include "steno/base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* ---- opening ----------------------------------------------------------------------------------------------------- */

static char *local_root_uri(const StenoConfigStorage *settings)
{
    const char *root = settings->root ? settings->root : "";
    g_autofree char *encoded = g_uri_escape_string(root, G_URI_RESERVED_CHARS_ALLOWED_IN_PATH, FALSE);
    return g_strconcat("file://", strcmp(root, "/") == 0 ? "" : encoded, NULL);
}

/* Folders get x where files have r. */
static mode_t folder_mode_of(mode_t mode)
{
    return mode | ((mode & 0444) >> 2);
}

static gpointer local_open(StenoStore *store, GError **error)
{
    const StenoConfigStorage *settings = store_settings(store);
    if (!settings->root || !g_path_is_absolute(settings->root)) {
        steno_error_set(error, STENO_ERROR_CONFIG, "storage %s has no root, which must be the path of a folder",
                        settings->name);
        return NULL;
    }
    Local *local = g_new0(Local, 1);
    local->store = store;
    local->root = settings->root;
    local->group = settings->group;
    local->has_mode = settings->mode != NULL;
    local->mode = settings->mode ? (mode_t)g_ascii_strtoull(settings->mode, NULL, 8) : 0666;
    local->folder_mode = folder_mode_of(local->mode);
    local->min_free_bytes = settings->min_free_bytes;
    const char *state_dir = store_config(store)->top.state_dir;
    local->memory = state_dir ? g_build_filename(state_dir, "storages", settings->name, NULL) : NULL;
    return local;
}

static void local_close(gpointer state)
{
    Local *local = state;
    g_free(local->memory);
    g_free(local);
}

/* ---- check ------------------------------------------------------------------------------------------------------- */

/* Writes a block and takes it away again: nothing else tells read-only mounts, quotas and full disks alike. */
static int write_block(int folder_fd)
{
    static const char block[4096];
    g_autofree char *name = g_strdup_printf(LOCAL_TEMPORARY_PREFIX "check-%08x" LOCAL_TEMPORARY_SUFFIX, g_random_int());
    int fd = openat(folder_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return errno;
    ssize_t n = write(fd, block, sizeof block);
    int failed = n < 0 || fsync(fd) != 0 ? errno : n < (ssize_t)sizeof block ? ENOSPC : 0;
    close(fd);
    (void)unlinkat(folder_fd, name, 0);
    return failed;
}

static gboolean check_in(Local *local, int folder_fd, GError **error)
{
    if (!local_root_has_room(local, folder_fd, 0, error))
        return FALSE;
    int failed = write_block(folder_fd);
    if (failed == EACCES || failed == EPERM)
        return local_fail(error, failed, "writing to the storage folder %s as user %u (give it the right to)",
                          local->root, (unsigned)geteuid());
    if (failed)
        return local_fail(error, failed, "writing to the storage folder %s", local->root);
    return local_root_mark(local, folder_fd, error);
}

static gboolean local_check(gpointer state, GCancellable *cancellable, GError **error)
{
    Local *local = state;
    if (!store_goes_on(cancellable, error))
        return FALSE;
    int folder_fd = local_root_open(local, TRUE, error);
    if (folder_fd < 0)
        return FALSE;
    gboolean good = check_in(local, folder_fd, error);
    close(folder_fd);
    return good;
}

static gboolean local_space(gpointer state, gint64 *free_bytes, gint64 *total_bytes)
{
    const Local *local = state;
    struct statvfs space;
    if (statvfs(local->root, &space) != 0)
        return FALSE;
    *free_bytes = (gint64)space.f_bavail * (gint64)space.f_frsize;
    *total_bytes = (gint64)space.f_blocks * (gint64)space.f_frsize;
    return TRUE;
}

const StenoSink steno_sink_local = {
    .name = "local",
    .key_template = "{app}/{channel}/{time}_{recording}/{file}",
    .root_uri = local_root_uri,
    .open = local_open,
    .close = local_close,
    .put = local_put,
    .check = local_check,
    .verify = local_verify,
    .read = local_read,
    .fetch = local_fetch,
    .stat = local_stat,
    .list = local_list,
    .remove = local_remove,
    .abort_orphans = local_abort_orphans,
    .space = local_space,
    .open_object = local_open_object,
};
