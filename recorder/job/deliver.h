/*
 * deliver: the assembled files' way to storage.
 */
#ifndef STENO_JOB_DELIVER_H
#define STENO_JOB_DELIVER_H

#include <gio/gio.h>

/*
 * Stores every file of `assembled` below root and proves it, the manifest last. *folder is where they are; the caller
 * frees it. Blocking. cancellable (or NULL) is looked at between two files. CAPTURE_DAMAGED, STORAGE_*.
 */
gboolean job_deliver(const char *capture, const char *assembled, const char *root, GCancellable *cancellable,
                     char **folder, GError **error);

/* ---- in a thread of its own -------------------------------------------------------------------------------------- */

typedef struct Delivery Delivery;

typedef struct {
    const char *capture, *assembled, *root;
    gboolean keep_capture; /* else it is let go once all is proven */
    /* On the main thread, once. folder: where the files are. warning: the capture could not be removed, or NULL. */
    void (*done)(gpointer user, const char *folder, const GError *error, const GError *warning);
    gpointer user;
} DeliveryConfig;

/* Strings are copied. */
Delivery *delivery_start(const DeliveryConfig *config);
/* `done` will not come any more. The thread ends by itself, after the file that it is at. */
void delivery_cancel(Delivery *delivery);

#endif
