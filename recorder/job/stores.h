/*
 * stores: is a recording in storage? For one whose capture is gone, or never was.
 */
#ifndef STENO_JOB_STORES_H
#define STENO_JOB_STORES_H

#include "capture_folder.h"

#include "steno/job.h"

typedef struct {
    guint found;                          /* the store whose manifest it is; G_MAXUINT: none has it */
    json_t *manifest;                     /* its manifest.json */
    char *folder;                         /* its folder in that store */
    GError *errors[STENO_JOB_STORES_MAX]; /* why a store could not tell; NULL: it is not there */
} StoresLook;

/*
 * Asks the stores in their order, until one has the recording's manifest. started_wall_us 0: it is looked for.
 * Blocking.
 */
void stores_look(StenoStore *const *stores, guint n_stores, const RecordingPlace *place, GCancellable *cancellable,
                 StoresLook *look);
void stores_look_clear(StoresLook *look);
/* Some store could not tell, and none has it. */
gboolean stores_look_failed(const StoresLook *look);

#endif
