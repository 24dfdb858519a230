/*
 * worker: something that blocks, on a thread of its own: hashing gigabytes or asking a storage keeps no main loop
 * waiting. Its end comes back to the default main context.
 */
#ifndef STENO_JOB_WORKER_H
#define STENO_JOB_WORKER_H

#include <gio/gio.h>

typedef struct Worker Worker;

typedef struct {
    /* In the thread. The main thread leaves `data` alone meanwhile. */
    void (*run)(Worker *worker, gpointer data, GCancellable *cancellable);
    /* On the main thread, after worker_tell(); may be NULL. What it reads of `data` is under a lock of that. */
    void (*told)(gpointer user, gpointer data);
    /* On the main thread, once, and never when it was left. The Worker and data are freed behind it. */
    void (*done)(gpointer user, gpointer data);
    void (*free)(gpointer data); /* on any thread */
} WorkerKind;

/* Takes data. `done` never comes before this returns. */
Worker *worker_start(const WorkerKind *kind, gpointer data, gpointer user);
/* From the thread: `told` comes soon, once for each call. */
void worker_tell(Worker *worker);
/* It is to end soon, by its cancellable; `done` comes all the same. */
void worker_stop(Worker *worker);
/* The same, but nothing comes any more. NULL is nobody. */
void worker_leave(Worker *worker);

#endif
