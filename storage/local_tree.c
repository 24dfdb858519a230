/* What lies below a prefix: objects, and what was begun and never finished. */
#include "local.h"

#include "steno/base/error.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

typedef struct Walk Walk;

struct Walk {
    const Local *local;
    const char *prefix;
    GCancellable *cancellable;
    /* A file below the prefix. FALSE ends the walk, with an error or without. */
    gboolean (*file)(Walk *walk, int folder_fd, const char *name, const char *key, GError **error);
    gboolean (*found)(gpointer user, const char *key, gint64 bytes);
    gboolean (*orphan)(gpointer user, const char *key, gint64 begun_us);
    gpointer user;
    guint *aborted;
};

/* ---- walking ----------------------------------------------------------------------------------------------------- */

/* Can there be something below the prefix in this folder, or is it below itself? */
static gboolean is_on_the_way(const char *key, const char *prefix)
{
    gsize bytes = strlen(key);
    return g_str_has_prefix(key, prefix) || (strncmp(prefix, key, bytes) == 0 && prefix[bytes] == '/');
}

static gboolean walk_folder(Walk *walk, int fd, const char *folder, GError **error);

/* A folder that went away meanwhile has nothing to tell. */
static gboolean enter(Walk *walk, int folder_fd, const char *name, const char *key, GError **error)
{
    int fd = openat(folder_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0)
        return walk_folder(walk, fd, key, error);
    return errno == ENOENT || local_fail(error, errno, "reading the folder %s in %s", key, walk->local->root);
}

static gboolean walk_entry(Walk *walk, int folder_fd, const char *folder, const char *name, GError **error)
{
    struct stat status;
    g_autofree char *key = g_strdup_printf("%s%s%s", folder, folder[0] ? "/" : "", name);
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || !g_utf8_validate(name, -1, NULL) ||
        strlen(key) > STORE_KEY_MAX_BYTES || !is_on_the_way(key, walk->prefix) ||
        fstatat(folder_fd, name, &status, AT_SYMLINK_NOFOLLOW) != 0)
        return TRUE;
    if (S_ISDIR(status.st_mode))
        return enter(walk, folder_fd, name, key, error);
    return !S_ISREG(status.st_mode) || !g_str_has_prefix(key, walk->prefix) ||
           walk->file(walk, folder_fd, name, key, error);
}

/* Takes fd. */
static gboolean walk_folder(Walk *walk, int fd, const char *folder, GError **error)
{
    DIR *dir = fdopendir(fd);
    gboolean on = TRUE;
    if (!dir) {
        int failed = errno;
        close(fd);
        return local_fail(error, failed, "reading the folder %s in %s", folder, walk->local->root);
    }
    while (on && (on = store_goes_on(walk->cancellable, error))) {
        errno = 0;
        const struct dirent *entry = readdir(dir);
        if (!entry) {
            on = errno == 0 || local_fail(error, errno, "reading the folder %s in %s", folder, walk->local->root);
            break;
        }
        on = walk_entry(walk, fd, folder, entry->d_name, error);
    }
    (void)closedir(dir);
    return on;
}

static gboolean walk_all(Walk *walk, GError **error)
{
    g_autoptr(GError) why = NULL;
    int fd = local_root_open(walk->local, FALSE, error);
    if (fd < 0)
        return FALSE;
    if (walk_folder(walk, fd, "", &why) || !why)
        return TRUE;
    g_propagate_error(error, g_steal_pointer(&why));
    return FALSE;
}

static gboolean is_temporary(const char *name)
{
    return g_str_has_prefix(name, LOCAL_TEMPORARY_PREFIX) && g_str_has_suffix(name, LOCAL_TEMPORARY_SUFFIX);
}

/* ---- objects ----------------------------------------------------------------------------------------------------- */

static gboolean tell(Walk *walk, int folder_fd, const char *name, const char *key, GError **error)
{
    struct stat status;
    (void)error;
    if (is_temporary(name) || strcmp(key, LOCAL_MARKER) == 0 ||
        fstatat(folder_fd, name, &status, AT_SYMLINK_NOFOLLOW) != 0)
        return TRUE;
    return walk->found(walk->user, key, status.st_size);
}

gboolean local_list(gpointer state, const char *prefix, gboolean (*found)(gpointer user, const char *key, gint64 bytes),
                    gpointer user, GCancellable *cancellable, GError **error)
{
    Walk walk = {
        .local = state, .prefix = prefix, .cancellable = cancellable, .file = tell, .found = found, .user = user};
    return walk_all(&walk, error);
}

/* ---- orphans ----------------------------------------------------------------------------------------------------- */

/* Who writes one holds its lock. */
static gboolean abort_one(Walk *walk, int folder_fd, const char *name, const char *key, GError **error)
{
    struct stat status;
    if (!is_temporary(name))
        return TRUE;
    int fd = openat(folder_fd, name, O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT || local_fail(error, errno, "opening %s in %s", key, walk->local->root);
    int failed = 0;
    if (flock(fd, LOCK_EX | LOCK_NB) == 0 && fstat(fd, &status) == 0 &&
        walk->orphan(walk->user, key, (gint64)status.st_mtim.tv_sec * G_USEC_PER_SEC)) {
        failed = unlinkat(folder_fd, name, 0) != 0 ? errno : 0;
        *walk->aborted += failed == 0;
    }
    close(fd);
    return failed == 0 || failed == ENOENT || local_fail(error, failed, "removing %s in %s", key, walk->local->root);
}

gboolean local_abort_orphans(gpointer state, const char *prefix,
                             gboolean (*orphan)(gpointer user, const char *key, gint64 begun_us), gpointer user,
                             guint *aborted, GCancellable *cancellable, GError **error)
{
    Walk walk = {.local = state,
                 .prefix = prefix,
                 .cancellable = cancellable,
                 .file = abort_one,
                 .orphan = orphan,
                 .user = user,
                 .aborted = aborted};
    return walk_all(&walk, error);
}
