/*
 * The state machine of one recording, which its sources share: recorders (record.c, resume.c), and what goes to storage
 * of what they captured (sections.c → assembling.c → storing.c → closing.c → finish.c); told by told.c, begun in job.c.
 */
#ifndef STENO_JOB_INTERNAL_H
#define STENO_JOB_INTERNAL_H

#include "assembler.h"
#include "capture_folder.h"
#include "deliver.h"
#include "recorded_events.h"
#include "recorder_process.h"
#include "recovery.h"
#include "seal.h"
#include "verdict.h"
#include "watch.h"
#include "worker.h"

#include "steno/capture.h"
#include "steno/job.h"

typedef enum {
    PHASE_LOOKING,   /* resumed: who records, what is on disk? */
    PHASE_RECORDING, /* there is a recorder process */
    PHASE_WAITING,   /* for the next attempt, or a token */
    PHASE_ENDED,     /* nothing more is recorded */
} JobPhase;

/* ---- what is stored ---------------------------------------------------------------------------------------------- */

typedef enum {
    STAGE_CLOSED, /* to be assembled */
    STAGE_ASSEMBLING,
    STAGE_SEALING, /* to be signed and stamped */
    STAGE_STORING,
    STAGE_CLOSING, /* proven: to be marked as stored, and its captured parts to be removed */
} Stage;

typedef enum {
    STORING_IDLE, /* waits for its turn, or for an earlier section */
    STORING_RUNNING,
    STORING_RESTING, /* failed; its timer runs */
    STORING_STORED,  /* proven */
    STORING_SKIPPED, /* another store has it */
    STORING_FAILED,  /* given up */
} StoringState;

typedef struct Section Section;

/* A section's way to one store. */
typedef struct {
    Section *section;
    guint store;
    StoringState state;
    Delivery *delivery;
    gboolean leaving; /* stopped: it is wanted again */
    guint timer, attempts;
    GError *trouble;   /* why it is not stored; NULL: it has none */
    gint64 since_us;   /* since when */
    gint64 bytes;      /* stored so far */
    gint64 best_bytes; /* the most it came to: who only comes to it again has not got on */
    char *told;        /* what the owner was told last */
} Storing;

/* What lies between two rotations; number 0 is what is left for the end. */
struct Section {
    StenoJob *job;
    StenoCaptureSection of; /* of.number 0: the rest is not used */
    Stage stage;
    gboolean stored_before; /* it was proven by an earlier job: only to be told and removed */
    gboolean damaged;       /* a file is not what it was: it goes back to be assembled, once nobody reads it */
    char *folder;
    Worker *worker;
    guint timer, attempts, crashes;
    GError *lacking; /* what the assembler did not find: media, or keys */
    Shipment *shipment;
    char sha256[STENO_STORAGE_SHA256_HEX_BYTES]; /* of the manifest that was stored last, or is */
    Storing storings[STENO_JOB_STORES_MAX];
    guint turn; /* `first`: which store is tried */
};

typedef struct {
    StenoStore *store;
    gboolean wanted; /* the owner was asked for a turn */
} JobStore;

/* ---- the job ----------------------------------------------------------------------------------------------------- */

struct StenoJob {
    const StenoJobSpec *spec;
    const StenoLog *log;
    const StenoJobEvents *events;
    gpointer user;
    char *capture, *runtime_dir;
    JobStore stores[STENO_JOB_STORES_MAX];
    guint n_stores;
    gboolean first, keep_capture, outlive;
    Sealing sealing;
    StenoTimestampAuthority timestamps; /* its texts are ours */
    gint64 started_wall_us;
    guint restarts_max;

    JobPhase phase;
    guint timer; /* the next step of recording */
    void (*step)(StenoJob *job);

    /* told.c */
    char *state;
    EventPosition told;
    guint64 frames_told; /* by any recorder */

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

    /* resume.c */
    Worker *looking;
    gint64 look_since_us[STENO_JOB_STORES_MAX]; /* since when a store can't tell; 0: it can */
    gboolean looks_again;                       /* the timer runs */
    guint looks;

    /* sections.c */
    GQueue sections; /* of Section, in their order */
    guint work_source, stock_timer, stock_attempts;
    gboolean stock_wanted;
    int lock_fd; /* of the capture, as long as there is work; -1 */
    RecordingPlace place;

    /* assembling.c */
    gboolean assembly_wanted; /* and not allowed yet */
    Assembler *assembler;
    Section *assembling;

    /* finish.c */
    char *end_reason;
    GError *error;
    gboolean finishing; /* only done() is still to come */
    json_t *manifest;   /* for it */
    char *uri;
};

/* ---- job.c ------------------------------------------------------------------------------------------------------- */

/* From the main loop, instead of any step of recording that is waited for. */
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
/* Another one; takes it. */
void job_tell_event(StenoJob *job, json_t *event);

typedef struct {
    guint section, store;
    const char *state;
    gint64 since_us;
    const char *uri;
    gint64 bytes, bytes_total;
    const GError *error;
} StorageTold;
void job_tell_storage(StenoJob *job, const StorageTold *told);

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

/* ---- resume.c: no recorder runs: what is to be done, by what is there? ------------------------------------------- */

void job_look_at_disk(StenoJob *job);
gboolean job_looks_retry(StenoJob *job, const char *store);

/* ---- sections.c: what is to be stored, in its order -------------------------------------------------------------- */

/* There may be something new to store: looks for it soon. */
void job_take_stock(StenoJob *job);
/* Something got on: goes on from there, soon. */
void job_advance(StenoJob *job);
/* The section is over and done with. */
void job_section_remove(Section *section);
void job_sections_clear(StenoJob *job);
/* Is trouble to be tried again, and for ever? In the foreground only while it is recorded. */
gboolean job_is_patient(const StenoJob *job);
gboolean section_is_head(const Section *section);
/* The section's way to a store on which the earlier ones wait. */
Section *section_before(const Section *section);

/* ---- assembling.c: a section becomes files, signed and stamped --------------------------------------------------- */

void section_want_assembly(Section *section);
void section_seal(Section *section);
/* Back to the beginning, as its files are not what they were. */
void section_assemble_again(Section *section, const GError *error);

/* ---- storing.c: its files go to the stores ----------------------------------------------------------------------- */

void section_storing_init(Section *section);
void section_storing_clear(Section *section);
void section_store(Section *section);
/* All that must have it have it. */
gboolean section_is_stored(const Section *section);
/* Its shipment is made. */
void section_begin_storing(Section *section);
/* The trouble of all, or NULL: none any more. */
void section_set_trouble(Section *section, const GError *trouble);
gboolean section_retry(Section *section, const char *store);
/* How long trouble at a store is rested. */
guint storing_delay_ms(const GError *trouble, guint attempts);
gboolean storing_is_blocked(const GError *trouble);

/* ---- closing.c: what was captured may go ------------------------------------------------------------------------- */

void section_close(Section *section);

/* ---- finish.c: the end ------------------------------------------------------------------------------------------- */

/* Nothing more is recorded; takes the error. */
void job_end(StenoJob *job, const char *end_reason, GError *error);
/* It can't be done; takes the error. */
void job_fail(StenoJob *job, GError *error);
/* The last step: the job may be gone behind it. */
void job_finish(StenoJob *job, const json_t *manifest, const char *uri);

#endif
