/* The row of the local sink: a folder, or a mount. */
#include "local.h"

#include "steno/base/error.h"

#include <string.h>
#include <sys/statvfs.h>

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

/* ---- the row ------------------------------------------------------------------------------------------------------
 */

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
