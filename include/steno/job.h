/*
 * job: one recording from the outside. Starts its recorder, watches it, starts the next part when it dies, assembles,
 * stores. `steno record` runs one in the foreground; stenod will run many.
 */
#ifndef STENO_JOB_H
#define STENO_JOB_H

#include "steno/base/job.h"
#include "steno/base/log.h"
#include "steno/proof.h"
#include "steno/storage.h"

typedef struct StenoJob StenoJob;

/* How a recording ended. All of it is lent. */
typedef struct {
    const json_t *manifest; /* as it lies in storage; NULL: nothing is stored */
    const char *uri;        /* where: the first store's that has it; NULL */
    const char *capture;    /* where the capture is kept, or NULL */
    const char *end_reason;
    const GError *error;
} StenoJobResult;

/* The destinations of a recording; more are a typing error. */
#define STENO_JOB_STORES_MAX 8

/* States of a recording (DESIGN §7): "joining", "recording", "paused", "reconnecting", "assembling", "storing",
 * "completed", "failed". */
typedef struct {
    void (*state)(gpointer user, const char *state);
    /*
     * Whatever the recorder or assembler tells (session.h), not owned by the callee. Events of the capture have "part"
     * and "seq", come in their order and none twice; those that a recorder told while nobody listened come as well,
     * also when it is dead. Without either come "stats" (each second), "assembly" {section, progress: 0.0–1.0}, and
     * what the job itself has to tell: "state" {state: "reconnecting", error} when there is no recorder that could,
     * "stalled" {error} before it, "assembling_blocked" {error} when that is tried again,
     *   "storage" {section, storage, state, since_us, uri, bytes, bytes_total, error}   each time one of these changes,
     *             bytes at most once a second. section: 0 is the whole or last one. state: "waiting" (for its turn),
     *             "storing", "retrying" (error: trouble that will pass), "blocked" (error: somebody must act),
     *             "stored", "skipped" (`first`: another one has it). since_us: since when it is not stored for trouble,
     *             0: it has none
     *   "section_stored" {section, outputs, manifest}   all of a rotated section is proven in storage; told again by
     *             the next job when this one went before its parts were removed
     *   "timestamp_missing" {section, error}   it is stored without the timestamp that was to be asked for
     * The ending is told by done() alone.
     */
    void (*event)(gpointer user, json_t *event);
    /* A section of the capture, or all of it, is closed and may be assembled: the callee calls steno_job_assemble_now()
     * when it is its turn. NULL: it is at once. One at a time. */
    void (*assembly_wanted)(gpointer user);
    /* …and has ended, well or not, or waits to be tried again (and is wanted again then). May be NULL. */
    void (*assembly_over)(gpointer user);
    /* The same for storing at place.stores[store]: steno_job_store_now(). NULL: it is at once. One a store at a time.
     */
    void (*store_wanted)(gpointer user, guint store);
    void (*store_over)(gpointer user, guint store);
    /* The last one; of all these, only here the job may be freed. */
    void (*done)(gpointer user, const StenoJobResult *result);
} StenoJobEvents;

typedef struct {
    const char *spool;         /* captures; NULL: <root of the first store, a local one>/.spool */
    const char *runtime_dir;   /* sockets: <runtime_dir>/recordings/<id>.sock; NULL: one of the user's */
    StenoStore *const *stores; /* referenced; at most STENO_JOB_STORES_MAX */
    guint n_stores;
    gboolean first;      /* the first one that takes the files is enough, in this order; else all of them must */
    StenoSigner *signer; /* signs manifests; referenced; NULL: nobody does */
    const StenoTimestampAuthority *timestamps; /* must outlive it; NULL: none */
    gboolean timestamp_required;
    gboolean keep_capture; /* keep it after the files are stored and proven */
    gboolean outlive;      /* the recorder goes on when this process or the job goes; else it finishes. Storage that
                            * fails is tried again for ever; else the job fails, and the capture is kept */
    guint restarts_max;    /* how often a dead recorder is started again in a minute without progress */
    guint stall_s;         /* announced media, none captured for so long: the recorder is started anew; 0: never */
    guint event_part, event_seq; /* resume: events up to this one are known */
    gint64 started_wall_us;      /* resume: the recording's zero as far as it is known; 0: it is not */
    guint64 frames;              /* resume: as many as recorders told of; with some, a capture without media is kept */
} StenoJobPlace;

/* In the default main context. STORAGE_* when the spool, or the root of a local store that is the only one, can't be
 * written; USAGE. spec must outlive it. */
StenoJob *steno_job_start(const StenoJobSpec *spec, const StenoJobPlace *place, const StenoLog *log,
                          const StenoJobEvents *events, gpointer user, GError **error);
/*
 * Goes on with a recording that an earlier process began, by what is there: a recorder that runs is taken over (one
 * that does not answer within 3 s is killed); a capture without an ending goes on as the next part, when `record`; one
 * with an ending, or all when not `record`, is assembled (again) and stored; without a capture it starts anew, when
 * `record`, and else ends with NOTHING_RECORDED. No two recorders ever write one capture: each holds a lock in its
 * folder. Paused is what spec says, also for one that is taken over. The root need not be writable yet, but the spool
 * must be there (STORAGE_UNWRITABLE). spec may lack the token (it was known to processes that are dead): where it is
 * needed to go on, the state is "reconnecting" with TOKEN_NEEDED, until steno_job_update() brings one or reconnect_s
 * has passed.
 */
StenoJob *steno_job_resume(const StenoJobSpec *spec, gboolean record, const StenoJobPlace *place, const StenoLog *log,
                           const StenoJobEvents *events, gpointer user, GError **error);

void steno_job_stop(StenoJob *job, const char *end_reason);
/* The recorder keeps its place in the channel; media is dropped. "paused" and "recording" follow as states. */
void steno_job_pause(StenoJob *job, gboolean paused);
/* spec was changed by its owner (max_duration_s, max_idle_s, subscribe_*, max_height, token): tells the recorder. */
void steno_job_update(StenoJob *job);
void steno_job_assemble_now(StenoJob *job);
void steno_job_store_now(StenoJob *job, guint store);
/* Leaves storing for now (its hours are over): what is under way ends soon, and is wanted again. */
void steno_job_store_leave(StenoJob *job, guint store);
/* What waits to be tried again at a store (name; NULL: at any) is tried now. Returns whether anything did. */
gboolean steno_job_store_retry(StenoJob *job, const char *store);
/* Ends a recorder that runs, unless `outlive`: it then goes on, and steno_job_resume() finds it. */
void steno_job_free(StenoJob *job);

/* ---- what is on disk --------------------------------------------------------------------------------------------- */

/* The captures below a spool: folders with a recording.json. Calls back with each path and recording.json. */
void steno_job_captures(const char *spool, void (*found)(gpointer user, const char *capture, const json_t *recording),
                        gpointer user);
/*
 * Removes a capture whose recording has ended: its files are proven in storage, or nobody wants them. It is renamed
 * away first, in one step, so that no half of it is ever taken for a recording. STORAGE_*.
 */
gboolean steno_job_capture_forget(const char *capture, GError **error);

typedef struct {
    const char *capture; /* the folder of a capture, or of a finished recording with sealed outputs */
    StenoStore *store;
    StenoSigner *signer;         /* may be NULL */
    const char *work;            /* the folder it works in; NULL: CAPTURE/out */
    const char *outputs, *audio; /* NULL: as the recording was asked for */
    const StenoSecret *keys;     /* content keys for what is sealed, the text of a key set; NULL: none */
    /* "none", "cms" or "cenc"; NULL: as the recording was asked for */
    const char *output_encryption;
    char *const *recipients;       /* cms: NULL-terminated */
    const StenoSecret *output_key; /* cenc */
} StenoJobAssembly;

/*
 * Assembles a capture (again), and stores the files: what `steno assemble` does. *uri is where they are; the caller
 * frees it. Blocking. NO_KEY, BAD_KEY: nothing could be decrypted; what is sealed is stored all the same.
 */
gboolean steno_job_assemble(const StenoJobAssembly *assembly, char **uri, GError **error);
/* Runs the verifier over a finished recording; its faults go to standard output, or as JSON lines. Returns its exit
 * code. */
int steno_job_verify(const char *folder, gboolean json, GError **error);
/* Which cryptographic module does what in a recorder: the array of rows that `steno-recorder --modules` prints
 * (session.h). The caller owns it. INTERNAL. */
json_t *steno_job_modules(GError **error);

#endif
