#include "source_file.h"

#include "steno/base/clock.h"
#include "steno/base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Who writes in place has not written all of it at the first event (GLib makes room for it first, full of zeros). */
#define SETTLE_MS 100
/* A file that was changed so lately may be changed again without a new time. */
#define SAME_MOMENT_US (2 * G_USEC_PER_SEC)
/* The folder, and the app's in it. */
#define WATCHES_MAX 2
#define WATCHED                                                                                                        \
    (IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_CREATE | IN_DELETE | IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF)

struct KeyFile {
    const SourceSettings *settings;
    const char *suffix;
    guint forbidden;
    int inotify_fd; /* -1: not to be had; asked again from time to time all the same */
    GSource *source;
    GSource *settling;        /* NULL: nothing has changed */
    int watches[WATCHES_MAX]; /* -1: none */
    GSourceFunc changed;
    gpointer user;
    struct stat seen;
    gboolean accepted, harmful;
};

/* ---- watching ---------------------------------------------------------------------------------------------------- */

static gboolean on_settled(gpointer user)
{
    KeyFile *file = user;
    g_clear_pointer(&file->settling, g_source_unref);
    (void)file->changed(file->user);
    return G_SOURCE_REMOVE;
}

static void settle(KeyFile *file)
{
    if (file->settling)
        return;
    file->settling = g_timeout_source_new(SETTLE_MS);
    g_source_set_callback(file->settling, on_settled, file, NULL);
    g_source_attach(file->settling, g_source_get_context(file->source));
}

static gboolean on_events(gint fd, GIOCondition condition, gpointer user)
{
    (void)condition;
    KeyFile *file = user;
    union {
        struct inotify_event event;
        char bytes[4096];
    } buffer;
    gboolean any = FALSE;
    gssize n;
    while ((n = read(fd, &buffer, sizeof buffer)) > 0) {
        for (const char *at = buffer.bytes; at < buffer.bytes + n;) {
            const struct inotify_event *event = (const struct inotify_event *)(const void *)at;
            /* A new file is empty: it is of interest when it has been written, or came by rename. */
            gboolean new_file = (event->mask & IN_CREATE) && !(event->mask & IN_ISDIR);
            any = any || !(new_file || (event->mask & IN_IGNORED));
            at += sizeof *event + event->len;
        }
    }
    if (any)
        settle(file);
    return G_SOURCE_CONTINUE;
}

/* The folder, or the next one above that is there: where it will appear. */
static int watch_nearest(const KeyFile *file, const char *path)
{
    g_autofree char *at = g_strdup(path);
    int watch;
    while ((watch = inotify_add_watch(file->inotify_fd, at, WATCHED | IN_ONLYDIR)) < 0 &&
           (errno == ENOENT || errno == ENOTDIR) && strcmp(at, "/") != 0 && strcmp(at, ".") != 0) {
        char *above = g_path_get_dirname(at);
        g_free(at);
        at = above;
    }
    return watch;
}

static gboolean is_folder(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

static void watch_again(KeyFile *file)
{
    if (file->inotify_fd < 0)
        return;
    int watches[WATCHES_MAX] = {-1, -1};
    const char *path = file->settings->path;
    g_autofree char *app = file->settings->app ? g_build_filename(path, file->settings->app, NULL) : NULL;
    g_autofree char *above = g_path_get_dirname(path);
    if (is_folder(path)) {
        watches[0] = watch_nearest(file, path);
        if (app)
            watches[1] = watch_nearest(file, app);
    } else {
        watches[0] = watch_nearest(file, above);
    }
    for (guint i = 0; i < WATCHES_MAX; i++) {
        int old = file->watches[i];
        if (old >= 0 && old != watches[0] && old != watches[1])
            (void)inotify_rm_watch(file->inotify_fd, old);
    }
    memcpy(file->watches, watches, sizeof watches);
}

/* ---- opening ----------------------------------------------------------------------------------------------------- */

/* Without openat2: no symbolic link on the way at all. */
static int open_plain(int folder, const char *app, const char *name)
{
    int at = app ? openat(folder, app, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) : dup(folder);
    if (at < 0)
        return -1;
    int fd = openat(at, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    int saved_errno = errno;
    close(at);
    errno = saved_errno;
    return fd;
}

/* A symbolic link must not lead out of the folder: who may write in it would else have us read any file. */
static int open_below(int folder, const char *app, const char *name)
{
    g_autofree char *path = app ? g_build_filename(app, name, NULL) : g_strdup(name);
    struct open_how how = {.flags = O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC,
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
    int fd = (int)syscall(SYS_openat2, folder, path, &how, sizeof how);
    if (fd < 0 && (errno == ENOSYS || errno == EPERM))
        fd = open_plain(folder, app, name);
    return fd;
}

/* -1: *outcome says why. *shown is its path, for words. */
static int open_file(const KeyFile *file, char **shown, SourceOutcome *outcome, GError **error)
{
    const SourceSettings *settings = file->settings;
    *outcome = SOURCE_TROUBLE;
    *shown = g_strdup(settings->path);
    int fd = open(settings->path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    struct stat status;
    if (fd >= 0 && fstat(fd, &status) == 0 && S_ISDIR(status.st_mode)) {
        int folder = fd;
        if (!source_check_names(settings->app, settings->channel, error)) {
            close(folder);
            return -1;
        }
        g_autofree char *name = g_strconcat(settings->channel, file->suffix, NULL);
        g_free(*shown);
        *shown = settings->app ? g_build_filename(settings->path, settings->app, name, NULL)
                               : g_build_filename(settings->path, name, NULL);
        fd = open_below(folder, settings->app, name);
        int saved_errno = errno;
        close(folder);
        errno = saved_errno;
    }
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
        *outcome = SOURCE_ABSENT;
    else if (fd < 0)
        steno_error_set(error, STENO_ERROR_KEY_SOURCE, "cannot open the key file '%s': %s", *shown,
                        errno == EXDEV || errno == ELOOP ? "a symbolic link leads out of the folder"
                                                         : g_strerror(errno));
    return fd;
}

static gboolean judge(const KeyFile *file, const char *path, const struct stat *status, GError **error)
{
    if (!S_ISREG(status->st_mode))
        return steno_error_set(error, STENO_ERROR_KEY_SOURCE, "the key file '%s' is no regular file", path);
    if (status->st_uid != geteuid() && status->st_uid != 0)
        return steno_error_set(error, STENO_ERROR_KEY_SOURCE,
                               "the key file '%s' belongs to user %u: it must be ours (user %u) or root's; chown it",
                               path, (guint)status->st_uid, (guint)geteuid());
    if (status->st_mode & file->forbidden)
        return steno_error_set(
            error, STENO_ERROR_KEY_SOURCE, "the key file '%s' can be %s by others (mode %04o): chmod 0400 it", path,
            status->st_mode & file->forbidden & 0044 ? "read" : "changed", (guint)status->st_mode & 07777);
    return TRUE;
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

static gboolean same_time(struct timespec a, struct timespec b)
{
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static gboolean is_unchanged(const KeyFile *file, const struct stat *now)
{
    const struct stat *seen = &file->seen;
    gint64 changed_wall_us = (gint64)now->st_ctim.tv_sec * G_USEC_PER_SEC + now->st_ctim.tv_nsec / 1000;
    return file->accepted && seen->st_dev == now->st_dev && seen->st_ino == now->st_ino &&
           seen->st_size == now->st_size && same_time(seen->st_mtim, now->st_mtim) &&
           same_time(seen->st_ctim, now->st_ctim) &&
           (file->harmful || steno_clock_wall_us() - changed_wall_us > SAME_MOMENT_US);
}

static gboolean read_all(int fd, const char *path, SourceBuffer *buffer, GError **error)
{
    char piece[4096];
    gssize n;
    gboolean fits = TRUE;
    while (fits && ((n = read(fd, piece, sizeof piece)) > 0 || (n < 0 && errno == EINTR)))
        fits = n < 0 || source_buffer_append(buffer, piece, (gsize)n);
    int saved_errno = errno;
    steno_secret_wipe(piece, sizeof piece);
    if (!fits)
        return steno_error_set(error, STENO_ERROR_KEYS_INVALID,
                               "the key file '%s' is larger than %" G_GSIZE_FORMAT " bytes", path, buffer->max_bytes);
    if (n < 0)
        return steno_error_set(error, STENO_ERROR_KEY_SOURCE, "cannot read the key file '%s': %s", path,
                               g_strerror(saved_errno));
    return TRUE;
}

SourceOutcome key_file_read(KeyFile *file, SourceBuffer *buffer, GError **error)
{
    SourceOutcome outcome;
    g_autofree char *path = NULL;
    /* First: what changes between reading and watching would never be noticed. */
    watch_again(file);
    int fd = open_file(file, &path, &outcome, error);
    if (fd < 0) {
        file->accepted = FALSE;
        return outcome;
    }
    struct stat status;
    if (fstat(fd, &status) != 0) {
        steno_error_set(error, STENO_ERROR_KEY_SOURCE, "cannot look at the key file '%s': %s", path, g_strerror(errno));
    } else if (is_unchanged(file, &status)) {
        outcome = SOURCE_UNCHANGED;
    } else {
        file->seen = status;
        file->accepted = FALSE;
        if (judge(file, path, &status, error) && read_all(fd, path, buffer, error))
            /* An empty one is about to be written. */
            outcome = buffer->bytes > 0 ? SOURCE_FOUND : SOURCE_ABSENT;
    }
    close(fd);
    return outcome;
}

void key_file_accept(KeyFile *file, gboolean harmful)
{
    file->accepted = TRUE;
    file->harmful = harmful;
}

/* ---- the file ---------------------------------------------------------------------------------------------------- */

KeyFile *key_file_new(const SourceSettings *settings, const char *suffix, guint forbidden, GMainContext *context,
                      GSourceFunc changed, gpointer user)
{
    KeyFile *file = g_new0(KeyFile, 1);
    file->settings = settings;
    file->suffix = suffix;
    file->forbidden = forbidden;
    file->changed = changed;
    file->user = user;
    for (guint i = 0; i < WATCHES_MAX; i++)
        file->watches[i] = -1;
    file->inotify_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (file->inotify_fd >= 0) {
        file->source = g_unix_fd_source_new(file->inotify_fd, G_IO_IN);
        g_source_set_callback(file->source, G_SOURCE_FUNC(on_events), file, NULL);
        g_source_attach(file->source, context);
    }
    return file;
}

void key_file_free(KeyFile *file)
{
    if (file->settling) {
        g_source_destroy(file->settling);
        g_source_unref(file->settling);
    }
    if (file->source) {
        g_source_destroy(file->source);
        g_source_unref(file->source);
        close(file->inotify_fd);
    }
    g_free(file);
}

gboolean key_file_check(const StenoJobSpec *job, GError **error)
{
    if (!job->key_path || !job->key_path[0])
        return steno_error_set(error, STENO_ERROR_USAGE, "key_path is missing: where are the content keys?");
    return !is_folder(job->key_path) || source_check_names(job->app, job->channel, error);
}
