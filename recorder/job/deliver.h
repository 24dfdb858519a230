/*
 * deliver: a shipment's way to one storage.
 */
#ifndef STENO_JOB_DELIVER_H
#define STENO_JOB_DELIVER_H

#include "shipment.h"

typedef struct {
    StenoStore *store;
    const char *folder; /* of the recording, in the store */
    const Shipment *shipment;
    const char *capture;       /* remembers large uploads, in CAPTURE/uploads */
    GCancellable *cancellable; /* or NULL */
    /* On the caller's thread, now and then; may be NULL. bytes: of all files. trouble: see StenoPut. */
    void (*progress)(gpointer user, gint64 bytes, const GError *trouble);
    gpointer user;
} DeliverConfig;

/*
 * Stores every file and proves it, the manifest last; then takes away what only an earlier assembly of the same
 * recording had. Blocking. As steno_store_put().
 */
gboolean job_deliver(const DeliverConfig *config, GError **error);

/* Removes what was stored of a section: its outputs, timestamp, signature and manifest. What is not there is no fault.
 * Blocking. As steno_store_remove(): the first error, after the rest was tried as well. */
gboolean job_deliver_undo(StenoStore *store, const char *folder, guint section, const json_t *manifest,
                          GCancellable *cancellable, GError **error);

/* ---- in a thread of its own -------------------------------------------------------------------------------------- */

typedef struct Delivery Delivery;

typedef struct {
    StenoStore *store;
    const char *folder, *capture;
    Shipment *shipment;
    int lock_fd; /* taken: held until the thread has ended, also when nobody waits for it any more */
    /* On the main thread, at most once a second, but at once when trouble comes or goes. */
    void (*progress)(gpointer user, gint64 bytes, const GError *trouble);
    /* On the main thread, once. */
    void (*done)(gpointer user, const GError *error);
    gpointer user;
} DeliveryConfig;

/* Strings are copied, the rest is referenced. */
Delivery *delivery_start(const DeliveryConfig *config);
/* It ends soon: `done` comes, with INTERRUPTED unless it was done. */
void delivery_stop(Delivery *delivery);
/* The same, but nothing comes any more. NULL is nobody. */
void delivery_leave(Delivery *delivery);

#endif
