/*
 * Can the root be written to? Asked in a thread of its own: a network mount that is away holds who asks until it comes
 * back, which may be never, and the answer must be there in seconds.
 */
#include "local.h"

#include "steno/base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define PATIENCE_S 10
/* Threads that one mount may hold: each check that hangs has one, until the mount is back. */
#define HANGING_MAX 4
#define LOOK_EVERY_US (20 * G_TIME_SPAN_MILLISECOND)

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

static gboolean check_root(Local *local, GError **error)
{
    int folder_fd = local_root_open(local, TRUE, error);
    if (folder_fd < 0)
        return FALSE;
    gboolean good = check_in(local, folder_fd, error);
    close(folder_fd);
    return good;
}

/* ---- in a thread ------------------------------------------------------------------------------------------------- */

typedef struct {
    gatomicrefcount references;
    Local *local; /* its store is referenced */
    GMutex lock;
    GCond changed;
    gboolean done;
    GError *error;
} Check;

static Check *check_new(Local *local)
{
    Check *check = g_new0(Check, 1);
    g_atomic_ref_count_init(&check->references);
    g_mutex_init(&check->lock);
    g_cond_init(&check->changed);
    check->local = local;
    (void)steno_store_ref(local->store);
    return check;
}

static void check_unref(Check *check)
{
    if (!g_atomic_ref_count_dec(&check->references))
        return;
    steno_store_unref(check->local->store);
    g_clear_error(&check->error);
    g_mutex_clear(&check->lock);
    g_cond_clear(&check->changed);
    g_free(check);
}

static gpointer run(gpointer data)
{
    Check *check = data;
    GError *error = NULL;
    (void)check_root(check->local, &error);
    (void)g_atomic_int_dec_and_test(&check->local->checks);
    g_mutex_lock(&check->lock);
    check->error = error;
    check->done = TRUE;
    g_cond_signal(&check->changed);
    g_mutex_unlock(&check->lock);
    check_unref(check);
    return NULL;
}

/* A cancellable has no condition to wait for: it is looked at now and then. */
static gboolean wait_for(Check *check, GCancellable *cancellable, GError **error)
{
    gint64 until_us = g_get_monotonic_time() + PATIENCE_S * G_TIME_SPAN_SECOND, now_us = 0;
    g_mutex_lock(&check->lock);
    while (!check->done && !g_cancellable_is_cancelled(cancellable) && (now_us = g_get_monotonic_time()) < until_us)
        (void)g_cond_wait_until(&check->changed, &check->lock, MIN(until_us, now_us + LOOK_EVERY_US));
    gboolean done = check->done;
    if (done && check->error)
        g_propagate_error(error, g_steal_pointer(&check->error));
    g_mutex_unlock(&check->lock);
    return done;
}

/* FALSE: too many of them hang. */
static gboolean start(Check *check)
{
    gint before = g_atomic_int_add(&check->local->checks, 1);
    g_atomic_ref_count_inc(&check->references);
    GThread *thread = before < HANGING_MAX ? g_thread_try_new("storage-check", run, check, NULL) : NULL;
    if (thread) {
        g_thread_unref(thread);
        return TRUE;
    }
    (void)g_atomic_int_dec_and_test(&check->local->checks);
    check_unref(check);
    return FALSE;
}

gboolean local_check(gpointer state, GCancellable *cancellable, GError **error)
{
    Local *local = state;
    g_autoptr(GError) why = NULL;
    if (!store_goes_on(cancellable, error))
        return FALSE;
    Check *check = check_new(local);
    gboolean answered = start(check) && wait_for(check, cancellable, &why);
    check_unref(check);
    if (answered && !why)
        return TRUE;
    if (answered) {
        g_propagate_error(error, g_steal_pointer(&why));
        return FALSE;
    }
    return store_goes_on(cancellable, error) &&
           steno_error_set(error, STENO_ERROR_STORAGE_UNREACHABLE,
                           "the storage folder %s does not answer (a mount whose server is away?)", local->root);
}
