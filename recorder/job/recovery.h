/*
 * recovery: what is to be done with a recording, by what is on disk alone. See the README for the steps and their
 * order.
 */
#ifndef STENO_JOB_RECOVERY_H
#define STENO_JOB_RECOVERY_H

#include "steno/base/job.h"

#include <glib.h>

typedef enum {
    RECOVERY_RECORD,    /* a recorder is to be started, for the first or the next part */
    RECOVERY_ASSEMBLE,  /* nothing more is recorded: assemble (again) and store */
    RECOVERY_DELIVERED, /* all is in storage: verify, then forget the capture */
    RECOVERY_DONE,      /* the capture is gone, its files are there */
    RECOVERY_NOTHING,   /* neither a capture nor files */
} RecoveryStep;

typedef struct {
    RecoveryStep step;
    char *folder;     /* DONE: where the files are */
    char *end_reason; /* when it is known */
    GError *error;    /* the recording's own, as it was told */
} Recovery;

/*
 * Looks at the disk; changes nothing but for the rest of a capture that was being forgotten. No recorder may live.
 * record: it is not to end yet. now_wall_us decides whether it is still time to join again. STORAGE_UNWRITABLE when
 * the spool is not there: then nothing can be said.
 */
gboolean recovery_look(const char *capture, const char *root, const StenoJobSpec *spec, gboolean record,
                       gint64 now_wall_us, Recovery *recovery, GError **error);
void recovery_clear(Recovery *recovery);

typedef enum {
    REJOIN_NEVER,
    REJOIN_AGAIN,      /* time may heal it */
    REJOIN_WITH_TOKEN, /* a new token may, which its owner brings */
} Rejoin;

/* A recorder that goes on where another was before ended in this way: may the next one try, within reconnect_s? */
Rejoin recovery_rejoin(const StenoJobSpec *spec, const char *end_reason, const GError *error);

#endif
