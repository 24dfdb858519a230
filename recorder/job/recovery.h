/*
 * recovery: what is to be done with a recording, by what is on disk alone. See the README for the steps and their
 * order.
 */
#ifndef STENO_JOB_RECOVERY_H
#define STENO_JOB_RECOVERY_H

#include "steno/base/job.h"

#include <jansson.h>

typedef enum {
    RECOVERY_RECORD,   /* a recorder is to be started, for the next part */
    RECOVERY_ASSEMBLE, /* nothing more is recorded: assemble (again) and store, unless nothing was captured */
    RECOVERY_ASK,      /* there is no capture: it never began, or it is stored and let go, as storage can tell */
} RecoveryStep;

typedef struct {
    RecoveryStep step;
    char *end_reason; /* when it is known */
    GError *error;    /* the recording's own, as it was told */
} Recovery;

/*
 * Looks at the disk; changes nothing but for the rest of a capture that was being forgotten. No recorder may live.
 * record: it is not to end yet. now_wall_us decides whether it is still time to join again. STORAGE_UNWRITABLE when
 * the spool is not there: then nothing can be said.
 */
gboolean recovery_look(const char *capture, const StenoJobSpec *spec, gboolean record, gint64 now_wall_us,
                       Recovery *recovery, GError **error);
/* The ending as the stored manifest tells it. later: what is sealed was to stay so. */
void recovery_take_manifest(const json_t *manifest, gboolean later, Recovery *recovery);
void recovery_clear(Recovery *recovery);

typedef enum {
    REJOIN_NEVER,
    REJOIN_AGAIN,      /* time may heal it */
    REJOIN_WITH_TOKEN, /* a new token may, which its owner brings */
} Rejoin;

/* A recorder that goes on where another was before ended in this way: may the next one try, within reconnect_s? */
Rejoin recovery_rejoin(const StenoJobSpec *spec, const char *end_reason, const GError *error);

#endif
