/*
 * job: one recording from the outside. Starts its recorder, watches it, starts the next part when it dies, assembles,
 * stores. `steno record` runs one in the foreground; stenod will run many.
 */
#ifndef STENO_JOB_H
#define STENO_JOB_H

#include "steno/base/job.h"
#include "steno/base/log.h"

typedef struct StenoJob StenoJob;

/* States of a recording (DESIGN §7): "joining", "recording", "reconnecting", "assembling", "storing", "completed",
 * "failed". */
typedef struct {
    void (*state)(gpointer user, const char *state);
    /* Whatever the recorder or assembler tells, besides states: see session.h. Not owned by the callee. */
    void (*event)(gpointer user, json_t *event);
    /* The last one. folder: where the finished files are, or NULL; capture: where the capture is kept, or NULL. */
    void (*done)(gpointer user, const char *folder, const char *capture, const char *end_reason, const GError *error);
} StenoJobEvents;

typedef struct {
    const char *root;      /* the customer's folder */
    const char *spool;     /* captures; NULL: <root>/.spool */
    gboolean keep_capture; /* keep it after the files are stored and proven */
    guint restarts_max;    /* how often a dead recorder is started again in a minute without progress */
} StenoJobPlace;

/* In the default main context. STORAGE_* when the root can't be written, USAGE. job must outlive it. */
StenoJob *steno_job_start(const StenoJobSpec *spec, const StenoJobPlace *place, const StenoLog *log,
                          const StenoJobEvents *events, gpointer user, GError **error);
void steno_job_stop(StenoJob *job, const char *end_reason);
void steno_job_free(StenoJob *job);

/*
 * Assembles a capture (again), in the folder `work` (NULL: CAPTURE/out), and stores the files below root: what `steno
 * assemble` does. *folder is where they are; the caller frees it. Blocking. outputs and audio may be NULL: as the
 * recording was asked for.
 */
gboolean steno_job_assemble(const char *capture, const char *root, const char *work, const char *outputs,
                            const char *audio, char **folder, GError **error);
/* Runs the verifier over a finished recording; its faults go to standard output, or as JSON lines. Returns its exit
 * code. */
int steno_job_verify(const char *folder, gboolean json, GError **error);

#endif
