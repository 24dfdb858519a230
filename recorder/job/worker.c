#include "worker.h"

struct Worker {
    gatomicrefcount references; /* the thread's, until its end was told; and one a message on its way */
    const WorkerKind *kind;
    gpointer data, user;
    GCancellable *cancellable;
    gboolean left; /* the main thread's */
};

static void worker_unref(Worker *worker)
{
    if (!g_atomic_ref_count_dec(&worker->references))
        return;
    worker->kind->free(worker->data);
    g_object_unref(worker->cancellable);
    g_free(worker);
}

static gboolean on_done(gpointer user)
{
    Worker *worker = user;
    if (!worker->left)
        worker->kind->done(worker->user, worker->data);
    worker->left = TRUE;
    worker_unref(worker);
    return G_SOURCE_REMOVE;
}

static gboolean on_told(gpointer user)
{
    Worker *worker = user;
    if (!worker->left)
        worker->kind->told(worker->user, worker->data);
    worker_unref(worker);
    return G_SOURCE_REMOVE;
}

static gpointer run(gpointer user)
{
    Worker *worker = user;
    worker->kind->run(worker, worker->data, worker->cancellable);
    /* The same priority as that of what was told before: they come in their order. */
    g_idle_add_full(G_PRIORITY_DEFAULT, on_done, worker, NULL);
    return NULL;
}

Worker *worker_start(const WorkerKind *kind, gpointer data, gpointer user)
{
    Worker *worker = g_new0(Worker, 1);
    g_atomic_ref_count_init(&worker->references);
    worker->kind = kind;
    worker->data = data;
    worker->user = user;
    worker->cancellable = g_cancellable_new();
    g_thread_unref(g_thread_new("store", run, worker));
    return worker;
}

void worker_tell(Worker *worker)
{
    g_atomic_ref_count_inc(&worker->references);
    g_idle_add_full(G_PRIORITY_DEFAULT, on_told, worker, NULL);
}

void worker_stop(Worker *worker)
{
    g_cancellable_cancel(worker->cancellable);
}

void worker_leave(Worker *worker)
{
    if (!worker)
        return;
    worker->left = TRUE;
    worker_stop(worker);
}
