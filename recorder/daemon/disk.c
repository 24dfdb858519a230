/* Disks: what is free, and whether the storages can be written. A storage that hangs must not hang us. */
#include "daemon_internal.h"

#include "steno/base/clock.h"
#include "steno/storage.h"

#include <string.h>
#include <sys/statvfs.h>

#define PROBE_STUCK_US (30 * G_USEC_PER_SEC)
/* Each look at a bucket is a PUT and a DELETE, which are paid for. */
#define PROBE_REMOTE_US (60 * G_USEC_PER_SEC)

/* What is known of one storage. */
typedef struct {
    StenoStore *store; /* lent by the daemon's stores */
    gboolean remote;
    gboolean looked;
    char *words; /* why it can't be written; NULL: it can */
    gint64 free_bytes, total_bytes;
    gint64 seen_mono_us;  /* by the last look or delivery */
    gint64 since_mono_us; /* of the look under way; 0: none */
} Probed;

struct Prober {
    GArray *storages; /* of Probed; never grows */
    GCancellable *looking;
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

/* One look; its own copy of everything. */
typedef struct {
    Probed *probed; /* main thread only, and only while the prober lives */
    StenoStore *store;
    char *words;
    gint64 free_bytes, total_bytes;
} Look;

static void look_free(gpointer data)
{
    Look *look = data;
    steno_store_unref(look->store);
    g_free(look->words);
    g_free(look);
}

static void look(GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
    Look *look = data;
    g_autoptr(GError) error = NULL;
    (void)source;
    if (!steno_store_check(look->store, cancellable, &error))
        look->words = steno_log_redact(error->message);
    if (!steno_store_space(look->store, &look->free_bytes, &look->total_bytes))
        look->free_bytes = look->total_bytes = -1;
    g_task_return_boolean(task, TRUE);
}

static void take(Probed *probed, const char *words)
{
    g_free(probed->words);
    probed->words = g_strdup(words);
    probed->looked = TRUE;
    probed->seen_mono_us = steno_clock_mono_us();
}

static void on_looked(GObject *source, GAsyncResult *result, gpointer user)
{
    (void)source;
    (void)user;
    if (!g_task_propagate_boolean(G_TASK(result), NULL))
        return; /* cancelled: the prober is gone */
    const Look *look = g_task_get_task_data(G_TASK(result));
    Probed *probed = look->probed;
    /* A delivery that said something meanwhile knows better. */
    if (probed->seen_mono_us < probed->since_mono_us)
        take(probed, look->words);
    probed->free_bytes = look->free_bytes;
    probed->total_bytes = look->total_bytes;
    probed->since_mono_us = 0;
}

static void begin_look(const Prober *prober, Probed *probed)
{
    probed->since_mono_us = steno_clock_mono_us();
    Look *begun = g_new0(Look, 1);
    begun->probed = probed;
    begun->store = steno_store_ref(probed->store);
    GTask *task = g_task_new(NULL, prober->looking, on_looked, NULL);
    g_task_set_task_data(task, begun, look_free);
    g_task_run_in_thread(task, look);
    g_object_unref(task);
}

void prober_look(Prober *prober)
{
    gint64 now_us = steno_clock_mono_us();
    for (guint i = 0; i < prober->storages->len; i++) {
        Probed *probed = &g_array_index(prober->storages, Probed, i);
        gboolean due = !probed->looked || !probed->remote || now_us - probed->seen_mono_us >= PROBE_REMOTE_US;
        if (due && probed->since_mono_us == 0)
            begin_look(prober, probed);
    }
}

Prober *prober_new(const StenoConfig *config, const Stores *stores)
{
    Prober *prober = g_new0(Prober, 1);
    prober->storages = g_array_new(FALSE, TRUE, sizeof(Probed));
    for (guint i = 0; i < config->storages->len; i++) {
        const StenoConfigStorage *settings = config->storages->pdata[i];
        const Probed probed = {.store = stores_find(stores, settings->name),
                               .remote = strcmp(settings->type, "local") != 0,
                               .free_bytes = -1,
                               .total_bytes = -1};
        g_array_append_val(prober->storages, probed);
    }
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
    for (guint i = 0; i < prober->storages->len; i++)
        g_free(g_array_index(prober->storages, Probed, i).words);
    g_array_unref(prober->storages);
    g_free(prober);
}

static Probed *find(const Prober *prober, const char *name)
{
    for (guint i = 0; i < prober->storages->len; i++) {
        Probed *probed = &g_array_index(prober->storages, Probed, i);
        if (strcmp(steno_store_name(probed->store), name) == 0)
            return probed;
    }
    return NULL;
}

gboolean prober_storage(const Prober *prober, const char *name, ProbedStorage *shown)
{
    const Probed *probed = find(prober, name);
    if (!probed)
        return FALSE;
    gboolean stuck = probed->since_mono_us > 0 && steno_clock_mono_us() - probed->since_mono_us > PROBE_STUCK_US;
    *shown = (ProbedStorage){stuck ? "it does not answer" : probed->words, probed->looked, probed->free_bytes,
                             probed->total_bytes};
    return TRUE;
}

void prober_saw(Prober *prober, const char *name, const char *words)
{
    Probed *probed = find(prober, name);
    if (probed)
        take(probed, words);
}
