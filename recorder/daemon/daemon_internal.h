/* What the sources of the daemon room share. All of it lives on the main thread. */
#ifndef STENO_DAEMON_INTERNAL_H
#define STENO_DAEMON_INTERNAL_H

#include "model.h"
#include "request.h"
#include "retention.h"
#include "stores.h"
#include "webhooks.h"

#include "steno/audit.h"
#include "steno/base/error.h"
#include "steno/daemon.h"
#include "steno/job.h"
#include "steno/proof.h"

#include <gio/gio.h>

#define DAEMON_SECOND_MS 1000
/* The lease of our rows, and how often it is renewed (reference: 15/5 s). */
#define DAEMON_LEASE_S 15
#define DAEMON_LEASE_RENEW_S 5

typedef struct Recording Recording;
typedef struct Prober Prober;
typedef struct Uploads Uploads;
typedef struct Streams Streams;
typedef struct Rebuild Rebuild;
typedef struct Orphans Orphans;

/* Counters for the metrics. */
typedef struct {
    guint64 started, completed, failed, recorder_restarts, journal_errors, events_dropped, audit_errors;
    guint64 packets, lost, bytes, sealed; /* of recordings that have ended; live ones are added */
    guint64 requests[STENO_COMMANDS][2];  /* by command; 0: done, 1: refused */
    guint64 logins_refused;
    guint64 upload_bytes, upload_failures;
} DaemonCounts;

/* What waits to be written to the journal (outbox.c). */
typedef struct {
    GQueue dirty; /* of Recording * */
    guint source, retry_timer, backoff_ms, pending_events;
    char *fault; /* why the journal can't be written; NULL: it can */
} Outbox;

struct StenoDaemon {
    StenoConfig *config;
    const StenoLog *log;
    const StenoDaemonEvents *events;
    gpointer user;
    int lock_fd;
    StenoJournal *journal;
    StenoAudit *audit;
    Webhooks *webhooks;
    Retention *retention;
    Stores *stores;
    StenoSigner *signer;
    StenoTimestampAuthority timestamps; /* strings of the configuration; url NULL: none */
    Prober *prober;
    Uploads *uploads;
    Streams *streams;
    Rebuild *rebuild; /* NULL: there is nothing to rebuild (any more) */
    Orphans *orphans;
    guint opening; /* files that are being looked for in their storages */
    const StenoDaemonWatch *watch;
    gpointer watch_user;
    GHashTable *recordings; /* char * → Recording *; those that have not ended */
    Outbox outbox;
    GQueue assemblies; /* of Recording *, whose turn has not come */
    guint assemblies_running, assemblies_source;
    gboolean finishing, finished_told;
    gboolean disk_finishing;
    guint second_timer;
    guint64 seconds;
    struct {
        GMutex lock;
        GQueue queue; /* of Ask * */
        GSource *source;
        gboolean closed;
    } inbox;
    GPtrArray *asks; /* of Ask *: taken, not answered */
    struct {
        gint64 minute;
        guint told, summed;
    } logins;
    DaemonCounts counts;
};

/* ---- ask.c: requests on their way to the main thread and back ---------------------------------------------------- */

typedef struct {
    StenoDaemon *daemon; /* NULL: it has been answered by the daemon's end */
    StenoDaemonRequest *request;
    StenoDaemonReplied replied;
    gpointer user;
    StenoDaemonReply *reply;
    gboolean audited;   /* the handler has written the audit entry */
    char *app, *target; /* for the audit */
} Ask;

void asks_init(StenoDaemon *daemon);
/* Answers all that waits with SHUTTING_DOWN. */
void asks_close(StenoDaemon *daemon);
/* Gives the reply to who asked, and frees the Ask. */
void ask_done(Ask *ask);
/* Takes the error. */
void ask_fail(Ask *ask, GError *error);
/* An argument as a string, or NULL. */
const char *ask_text(const Ask *ask, const char *name);

/* ---- commands.c -------------------------------------------------------------------------------------------------- */

/* Checks role and arguments, runs it; calls ask_done() now or later. */
void command_run(Ask *ask);
/* Counts and audits the reply, just before it goes. */
void command_finish(Ask *ask);

/* A handler returns TRUE when the reply is complete, FALSE when it will call ask_done() itself. */
typedef gboolean (*CommandHandler)(StenoDaemon *daemon, Ask *ask);
gboolean command_recording_start(StenoDaemon *daemon, Ask *ask);
gboolean command_recording_list(StenoDaemon *daemon, Ask *ask);
gboolean command_recording_get(StenoDaemon *daemon, Ask *ask);
gboolean command_recording_update(StenoDaemon *daemon, Ask *ask);
gboolean command_recording_forget(StenoDaemon *daemon, Ask *ask);
gboolean command_recording_pause(StenoDaemon *daemon, Ask *ask);
gboolean command_recording_resume(StenoDaemon *daemon, Ask *ask);
gboolean command_recording_stop(StenoDaemon *daemon, Ask *ask);
gboolean command_file_list(StenoDaemon *daemon, Ask *ask);
gboolean command_file_open(StenoDaemon *daemon, Ask *ask);
gboolean command_manifest(StenoDaemon *daemon, Ask *ask);
gboolean command_events(StenoDaemon *daemon, Ask *ask);
gboolean command_platform_list(StenoDaemon *daemon, Ask *ask);
gboolean command_platform_check(StenoDaemon *daemon, Ask *ask);
gboolean command_storage_list(StenoDaemon *daemon, Ask *ask);
gboolean command_storage_check(StenoDaemon *daemon, Ask *ask);
gboolean command_storage_retry(StenoDaemon *daemon, Ask *ask);
gboolean command_key_list(StenoDaemon *daemon, Ask *ask);
gboolean command_key_add(StenoDaemon *daemon, Ask *ask);
gboolean command_key_init(StenoDaemon *daemon, Ask *ask);
gboolean command_key_revoke(StenoDaemon *daemon, Ask *ask);
gboolean command_webhook_list(StenoDaemon *daemon, Ask *ask);
gboolean command_webhook_enable(StenoDaemon *daemon, Ask *ask);
gboolean command_live(StenoDaemon *daemon, Ask *ask);
gboolean command_ready(StenoDaemon *daemon, Ask *ask);
gboolean command_metrics(StenoDaemon *daemon, Ask *ask);
gboolean command_version(StenoDaemon *daemon, Ask *ask);
gboolean command_login_refused(StenoDaemon *daemon, Ask *ask);

/* The recording of the argument "id", when it is there for who asks: live, or else its row (the caller's). FALSE: the
 * reply has the error. */
gboolean command_find(StenoDaemon *daemon, Ask *ask, Recording **recording, StenoJournalRecording **row);
/* Sets the reply's error; returns TRUE, for `return`. */
gboolean command_refuse(Ask *ask, StenoError code, const char *format, ...) G_GNUC_PRINTF(3, 4);

/* ---- commands_server.c, commands_storages.c ---------------------------------------------------------------------- */

/*
 * What the app of who asks may use, by that list of its configuration; with no app, or one that the configuration lost,
 * everything or nothing.
 */
gboolean command_may_see(const StenoDaemon *daemon, const Ask *ask, gsize list_offset, gboolean all_when_empty,
                         const char *name);
/* Those of the argument "name", when they are there for who asks; NULL: the reply has the error. */
const StenoConfigPlatform *command_platform(StenoDaemon *daemon, Ask *ask);
const StenoConfigStorage *command_storage(StenoDaemon *daemon, Ask *ask);

/* ---- audit_trail.c ----------------------------------------------------------------------------------------------- */

/* The entry of a command, by its reply. FALSE when it could not be written (logged). */
gboolean audit_ask(Ask *ask, const GError *result);
/* An entry of stenod itself. */
void audit_own(StenoDaemon *daemon, const char *action, const char *app, const char *target, const char *result,
               json_t *detail);
/* A second has passed: refused logins that were not told one by one. */
void audit_tick(StenoDaemon *daemon);
/* For ordinary logs, by mask_participants. Caller frees. */
char *mask_address(const StenoDaemon *daemon, const char *address);

/* ---- recording.c: one that has not ended ------------------------------------------------------------------------- */

/* One of the storages that a recording goes to. */
typedef struct {
    Recording *recording;
    guint place;       /* index in StenoJobPlace.stores */
    char *name;        /* NULL: there is no such destination */
    json_t *shown;     /* lent: its object in detail.storages */
    gint64 since_us;   /* since when it is not stored for trouble; 0: it has none */
    gboolean troubled; /* the job, not the journal, told of it */
    gint64 section;    /* that the job told of last */
    gint64 bytes;      /* of it */
    gint64 stored;     /* the last section that is there */
    enum { UPLOAD_NONE, UPLOAD_WAITING, UPLOAD_RUNNING } upload;
} Destination;

struct Recording {
    StenoDaemon *daemon;
    StenoJournalRecording *row;
    Request *request; /* NULL: what is in the journal can't be read any more */
    StenoJobSpec *spec;
    StenoLog *log;
    StenoJob *job;
    Model *model;
    double progress; /* of the assembly; < 0: there is none */
    gboolean paused;
    guint timer; /* start_at, or the next look at what was not there */
    guint looks;
    gboolean record_later; /* what that look is for */
    gboolean looking;      /* its job was resumed, and has told nothing yet but of its storages */
    enum { ASSEMBLY_NONE, ASSEMBLY_WAITING, ASSEMBLY_RUNNING } assembly;
    Destination destinations[STENO_JOB_STORES_MAX];
    Destination *placed[STENO_JOB_STORES_MAX]; /* by index in StenoJobPlace.stores */
    guint n_placed;
    /* What is to be written, in order. */
    GQueue pending; /* of PendingEvent * */
    gboolean dirty, urgent;
    /* The end is known, but not in the journal yet: until then it is shown as it was before. */
    gboolean ended;
    json_t *shown;
    guint free_source;
};

/* Takes row and request; in daemon->recordings from now on. */
Recording *recording_new(StenoDaemon *daemon, StenoJournalRecording *row, Request *request);
void recording_free(gpointer recording);
Recording *recording_find(const StenoDaemon *daemon, const char *id);
void recording_stop(Recording *recording, const char *end_reason);
void recording_pause(Recording *recording, gboolean paused);
/* Its request was changed. */
void recording_changed(Recording *recording);
/* The row is in the journal as it has ended. */
void recording_end_written(Recording *recording);
/* It runs (state neither queued nor later than reconnecting). */
gboolean recording_records(const Recording *recording);
/* event (may be NULL) tells why. */
void recording_set_state(Recording *recording, const char *state, const json_t *event);
/* result: what is stored, or why nothing is. There is nothing more to do but to write it down. */
void recording_end(Recording *recording, const StenoJobResult *result);
void recording_fail(Recording *recording, const char *end_reason, const GError *error);

/* ---- recording_job.c --------------------------------------------------------------------------------------------- */

/* What recording.c listens to. */
extern const StenoJobEvents recording_job_events;
/* Starts its job now. On failure it has ended with the error (which is told as well). */
gboolean recording_start(Recording *recording, GError **error);
/* At its time (row->start_at_us). */
void recording_schedule(Recording *recording);
/* Goes on with what an earlier stenod began. */
void recording_resume(Recording *recording, gboolean record);
void recording_drop_job(Recording *recording);

/* ---- storing.c: what a recording's deliveries tell --------------------------------------------------------------- */

/* The objects of detail.storages for each of the names, with every member. */
void storing_begin(Recording *recording);
void storing_clear(Recording *recording);
/* It wants no turn any more. */
void storing_leave(Recording *recording);
/* "storage", "section_stored" (job.h). */
void storing_on_storage(Recording *recording, const json_t *event);
void storing_on_section(Recording *recording, const json_t *event);
/* The row's error, from what the storages say, while it is storing. */
void storing_set_error(Recording *recording);
/* All is stored as the manifest says, with the folder's URI in one of the storages. */
void storing_end(Recording *recording, const json_t *manifest, const char *uri);
/* It will not be stored. */
void storing_fail(Recording *recording);
/* Nothing that it waits for will come soon: it can be left to the next start. */
gboolean storing_is_held_up(const Recording *recording);

typedef struct {
    guint waiting, storing, retrying, blocked;
    gint64 blocked_since_us;     /* of the one that is longest; 0: none */
    const char *blocked_storage; /* lent, as is */
    const json_t *blocked_error; /* … this */
} StoringCount;
/* Deliveries of an app (NULL: every) to a storage (NULL: each). */
void storing_count(const StenoDaemon *daemon, const char *storage, const char *app, StoringCount *count);

/* ---- uploads.c: whose turn it is at a storage -------------------------------------------------------------------- */

Uploads *uploads_new(StenoDaemon *daemon);
void uploads_free(Uploads *uploads);
void uploads_want(Destination *destination);
void uploads_release(Destination *destination);
/* A second has passed: upload windows open and close. */
void uploads_tick(Uploads *uploads);
/* It is within the storage's hours. */
gboolean uploads_is_open(const Uploads *uploads, const char *storage);

/* ---- recording_json.c -------------------------------------------------------------------------------------------- */

/* As GET shows it; recording NULL for one that has ended. The caller owns it, and nobody else has any part of it. */
json_t *recording_to_json(const StenoJournalRecording *row, const Recording *recording);
/* Its files as GET shows them; the caller owns them. */
json_t *recording_files(const StenoJournalRecording *row, const Recording *recording);
/* Members of every event of a recording. */
json_t *recording_event_data(const StenoJournalRecording *row);
/* The "internal" object of detail, made when it is missing. */
json_t *recording_internal(StenoJournalRecording *row);
void recording_set_text(char **member, const char *text);
/* A storage's object in detail.storages. The caller owns it. */
json_t *recording_storage(const char *name, const char *state, const char *uri, gint64 bytes);
/* RFC 3339, or null for 0. */
json_t *recording_time(gint64 wall_us);

/* ---- recording_files.c ------------------------------------------------------------------------------------------- */

/* A manifest of 10,000 tracks has less. */
#define MANIFEST_MAX_BYTES (64 * 1024 * 1024)

/* The files of a manifest's outputs, as they are shown, with the storage that they are fetched from first. The caller
 * owns them. */
json_t *recording_describe_files(const char *id, const char *storage, const json_t *outputs);
gint64 recording_files_bytes(const json_t *files);
/* Of one that is stored: it has files, and it did not end for want of its keys (then they may be sealed, all of them).
 */
gboolean recording_is_complete(const StenoJournalRecording *row);
/* Takes files, times and counts of a stored recording from its manifest; what is known of files already stays. */
void recording_take_manifest(StenoJournalRecording *row, Model *model, const json_t *manifest, const char *storage);

/* ---- outbox.c: what is to be written to the journal -------------------------------------------------------------- */

/* Events that may wait in memory for a journal that can't be written: hours of a hundred recordings. */
#define OUTBOX_EVENTS_MAX 100000

/* data (taken) gets the recording's own members. Written with the row, soon. */
void outbox_event(Recording *recording, const char *type, json_t *data);
/* The row was changed. urgent: soon; else within DAEMON_LEASE_RENEW_S. */
void outbox_dirty(Recording *recording, gboolean urgent);
/* Writes all that waits now. FALSE when the journal can't be written. */
gboolean outbox_flush(StenoDaemon *daemon, gboolean all);
/*
 * The journal's answer to a call: remembers and logs a fault, counts it. Returns `done`. By pointer, since the call
 * that sets it is often an argument beside it.
 */
gboolean outbox_judge(StenoDaemon *daemon, gboolean done, GError *const *why);
/* The same for one that only reads. */
void outbox_judge_read(StenoDaemon *daemon, GError *const *why);
void outbox_told(StenoDaemon *daemon, const StenoJournalEvent *event);
void outbox_forget(Recording *recording);
void outbox_clear(StenoDaemon *daemon);

/* ---- admit.c ----------------------------------------------------------------------------------------------------- */

/*
 * Is its channel free? ALREADY_RECORDING (message: the other's id). The journal would refuse it as well; asked before
 * the limits, so that who wants the channel recorded learns that it is.
 */
gboolean admit_only_one(const StenoDaemon *daemon, const Request *request, GError **error);
/* May the request be started now? LIMIT_REACHED, DISK_LOW, SHUTTING_DOWN. */
gboolean admit_check(StenoDaemon *daemon, const Request *request, GError **error);
/* Adds its row, with the idempotency key (may be NULL) and the audit entry, in one transaction. */
gboolean admit_write(Ask *ask, StenoJournalRecording *row, const char *key, const char *digest, GError **error);

/* ---- assemblies.c ------------------------------------------------------------------------------------------------ */

void assemblies_want(Recording *recording);
void assemblies_release(Recording *recording);

/* ---- recover.c --------------------------------------------------------------------------------------------------- */

gboolean recover_all(StenoDaemon *daemon, GError **error);
/* A row of what is told of a recording by its recording.json or manifest, content apart (NULL or null: none): as asked
 * for, as far as it is known. NULL when that makes no sense. Any thread. storages and first are where it goes. */
StenoJournalRecording *recover_row(const StenoConfig *config, const char *id, const json_t *recording,
                                   const json_t *content, const char *app, char *const *storages, gboolean first,
                                   gint64 zero_us);
gboolean recover_is_id(const char *id);
/* When an id (recover_is_id) was made, µs of the wall clock. */
gint64 recover_id_us(const char *id);
/* The id of a recording in a key of its files, or NULL. Caller frees. */
char *recover_id_of_key(const char *key);

/* ---- rebuild.c: a journal that is new learns from the manifests -------------------------------------------------- */

/* Begins in the background. NULL without an error: the journal is whole. migrated: it is of an earlier version, and was
 * whole. */
Rebuild *rebuild_begin(StenoDaemon *daemon, gboolean migrated, GError **error);
void rebuild_free(Rebuild *rebuild);

/* ---- orphans.c: what was begun in a storage and never finished --------------------------------------------------- */

Orphans *orphans_new(StenoDaemon *daemon);
void orphans_free(Orphans *orphans);
/* A second has passed. */
void orphans_tick(Orphans *orphans);

/* ---- streams.c: contents on their way from a storage ------------------------------------------------------------- */

/* Threads that fetch, and what waits to be begun; beyond that a caller is told to come again. */
#define STREAMS_MAX 64

Streams *streams_new(void);
/* What is under way ends soon. */
void streams_free(Streams *streams);
/* Of an object; NULL: there are too many. */
StenoDaemonStream *stream_new(Streams *streams, StenoStore *store, const char *key);
void stream_free(StenoDaemonStream *stream);

/* ---- disk.c: what takes long to look at is looked at in a thread ------------------------------------------------- */

typedef struct {
    const char *words;              /* why it can't be written; NULL: it can */
    gboolean looked;                /* else nothing is known yet */
    gint64 free_bytes, total_bytes; /* -1: not known */
} ProbedStorage;

Prober *prober_new(const StenoConfig *config, const Stores *stores);
void prober_free(Prober *prober);
/* Begins what is due, and not under way. */
void prober_look(Prober *prober);
/* What was seen last; FALSE: there is no such storage. Lent until the main loop's next turn. */
gboolean prober_storage(const Prober *prober, const char *name, ProbedStorage *probed);
/* What a delivery saw: words NULL: it was written to. */
void prober_saw(Prober *prober, const char *name, const char *words);
/* Free and all bytes of a folder's file system; FALSE when it can't be told. */
gboolean disk_bytes(const char *folder, gint64 *free_bytes, gint64 *total_bytes);
/* Percent of the spool's disk that is free; 100 when it can't be told. */
double disk_free_percent(const StenoDaemon *daemon);

/* ---- keys.c ------------------------------------------------------------------------------------------------------ */

void keys_tell(StenoDaemon *daemon);

#endif
