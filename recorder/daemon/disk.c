/* Disks: what is free, and whether the storages can be written. A storage that hangs must not hang us. */
#include "daemon_internal.h"

#include "steno/base/clock.h"
#include "steno/storage.h"

#include <string.h>
#include <sys/statvfs.h>

#define PROBE_STUCK_US (30 * G_USEC_PER_SEC)

struct Prober {
    const StenoConfig *config;
    GPtrArray *seen; /* of ProbedStorage *, or NULL */
    GCancellable *looking;
    gint64 since_mono_us; /* of the look under way; 0: none */
};

gboolean disk_bytes(const char *folder, gint64 *free_bytes, gint64 *total_bytes)
{
    struct statvfs status;
    if (statvfs(folder, &status) != 0 || status.f_blocks == 0)
        return FALSE;
    *free_bytes = (gint64)status.f_bavail * (gint64)status.f_frsize;
    *total_bytes = (gint64)status.f_blocks * (gint64)status.f_frsize;
    return TRUE;
}

double disk_free_percent(const StenoDaemon *daemon)
{
    gint64 free_bytes, total_bytes;
    if (!disk_bytes(daemon->config->top.spool_dir, &free_bytes, &total_bytes))
        return 100;
    return 100.0 * (double)free_bytes / (double)total_bytes;
}

/* ---- looking, in a thread ---------------------------------------------------------------------------------------- */

static void probed_free(gpointer data)
{
    ProbedStorage *probed = data;
    g_free(probed->name);
    g_free(probed->root);
    g_free(probed->words);
    g_free(probed);
}

static void array_unref(gpointer array)
{
    g_ptr_array_unref(array);
}

static void look(GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
    GPtrArray *storages = data;
    (void)source;
    (void)cancellable;
    for (guint i = 0; i < storages->len; i++) {
        ProbedStorage *probed = storages->pdata[i];
        g_autoptr(GError) error = NULL;
        if (!steno_sink_local.check(probed->root, &error))
            probed->words = g_strdup(error->message);
        if (!disk_bytes(probed->root, &probed->free_bytes, &probed->total_bytes))
            probed->free_bytes = probed->total_bytes = -1;
    }
    g_task_return_pointer(task, g_ptr_array_ref(storages), array_unref);
}

static void on_looked(GObject *source, GAsyncResult *result, gpointer user)
{
    (void)source;
    g_autoptr(GPtrArray) seen = g_task_propagate_pointer(G_TASK(result), NULL);
    if (!seen)
        return; /* cancelled: the prober is gone */
    Prober *prober = user;
    g_clear_pointer(&prober->seen, g_ptr_array_unref);
    prober->seen = g_steal_pointer(&seen);
    prober->since_mono_us = 0;
}

void prober_look(Prober *prober)
{
    if (prober->since_mono_us > 0)
        return;
    prober->since_mono_us = steno_clock_mono_us();
    GPtrArray *storages = g_ptr_array_new_with_free_func(probed_free);
    for (guint i = 0; i < prober->config->storages->len; i++) {
        const StenoConfigStorage *storage = prober->config->storages->pdata[i];
        ProbedStorage *probed = g_new0(ProbedStorage, 1);
        probed->name = g_strdup(storage->name);
        probed->root = g_strdup(storage->root);
        g_ptr_array_add(storages, probed);
    }
    GTask *task = g_task_new(NULL, prober->looking, on_looked, prober);
    g_task_set_task_data(task, storages, array_unref);
    g_task_run_in_thread(task, look);
    g_object_unref(task);
}

Prober *prober_new(const StenoConfig *config)
{
    Prober *prober = g_new0(Prober, 1);
    prober->config = config;
    prober->looking = g_cancellable_new();
    prober_look(prober);
    return prober;
}

void prober_free(Prober *prober)
{
    if (!prober)
        return;
    g_cancellable_cancel(prober->looking);
    g_object_unref(prober->looking);
    if (prober->seen)
        g_ptr_array_unref(prober->seen);
    g_free(prober);
}

const ProbedStorage *prober_storage(const Prober *prober, const char *name)
{
    for (guint i = 0; prober->seen && i < prober->seen->len; i++) {
        const ProbedStorage *probed = prober->seen->pdata[i];
        if (strcmp(probed->name, name) == 0)
            return probed;
    }
    return NULL;
}

gboolean prober_stuck(const Prober *prober)
{
    return prober->since_mono_us > 0 && steno_clock_mono_us() - prober->since_mono_us > PROBE_STUCK_US;
}
