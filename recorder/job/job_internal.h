/* The state machine of one recording, which its sources share: record.c → finish.c, told by told.c, begun in job.c. */
#ifndef STENO_JOB_INTERNAL_H
#define STENO_JOB_INTERNAL_H

#include "assembler.h"
#include "deliver.h"
#include "recorded_events.h"
#include "recorder_process.h"
#include "recovery.h"
#include "watch.h"

#include "steno/job.h"

typedef enum {
    PHASE_LOOKING,   /* resumed: who records, what is on disk? */
    PHASE_RECORDING, /* there is a recorder process */
    PHASE_WAITING,   /* for the next attempt, or a token */
    PHASE_ENDED,     /* assembling, storing, done */
} JobPhase;

struct StenoJob {
    const StenoJobSpec *spec;
    const StenoLog *log;
    const StenoJobEvents *events;
    gpointer user;
    char *root, *capture, *assembled, *runtime_dir;
    gboolean keep_capture, outlive;
    guint restarts_max;

    JobPhase phase;
    guint timer; /* the next step */
    void (*step)(StenoJob *job);

    /* told.c */
    char *state;
    EventPosition told;

    /* record.c */
    gboolean resumed;
    RecorderProcess *recorder;
    gboolean taken_over, answered, later; /* of this recorder; later: there was one before it */
    gboolean captured;                    /* it captured something */
    gint64 started_mono_us;
    Deaths deaths;
    guint conflicts; /* recorders in a row that found another one */
    StallWatch watch;
    guint watch_timer, stop_timer;
    GError *stalled;     /* why it was killed */
    gint64 lost_mono_us; /* since when nothing is recorded; 0: it is */
    guint rejoins;
    gboolean awaiting_token, disk_failed;
    gboolean paused; /* as its owner wants it */
    gboolean stopping;
    char *stop_reason; /* NULL: a resumed one that is not to record, without a reason */

    /* finish.c */
    gboolean assembly_wanted; /* and not allowed yet */
    Assembler *assembler;
    Delivery *delivery;
    guint attempts, crashes;
    char *end_reason;
    GError *error;
};

/* ---- job.c ------------------------------------------------------------------------------------------------------- */

/* From the main loop, instead of any step that is waited for. */
void job_next(StenoJob *job, guint delay_ms, void (*step)(StenoJob *job));
/* Keeps the first; takes it. */
void job_set_error(StenoJob *job, GError *error);

/* ---- told.c: what the owner hears -------------------------------------------------------------------------------- */

/* Once each. */
void job_tell_state(StenoJob *job, const char *state);
/* The state, and an event that tells why. */
void job_tell_reconnecting(StenoJob *job, const GError *error);
/* An event of the job's own, {"event": name, "error": …}. */
void job_tell_error(StenoJob *job, const char *name, const GError *error);
/* An event of a recorder: passed on in its order, none twice, those before it first. */
void job_take_event(StenoJob *job, json_t *event);
/* What is in the capture, and was not told yet. */
void job_tell_recorded(StenoJob *job);

/* ---- record.c: recorders, until nothing more is recorded --------------------------------------------------------- */

gboolean job_start_recorder(StenoJob *job, GError **error);
/* Takes over a recorder that runs; where none does, goes on by what is on disk. */
void job_look(StenoJob *job);
void job_record(StenoJob *job);
void job_stop_recording(StenoJob *job);
void job_send_pause(StenoJob *job);
void job_send_update(StenoJob *job);

/* ---- finish.c: assembling and storing ---------------------------------------------------------------------------- */

/* Nothing more is recorded; takes the error. */
void job_end(StenoJob *job, const char *end_reason, GError *error);
void job_assemble(StenoJob *job);
void job_store(StenoJob *job);
void job_finish(StenoJob *job, const char *folder);

#endif
