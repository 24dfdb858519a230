/*
 * recorder_process: one recorder process: started, or found running and taken over; told and listened to (the protocol
 * is that of steno/session.h); its end awaited, whether it is a child of ours, of what this process was before an
 * exec(), or of a process that is dead.
 */
#ifndef STENO_JOB_RECORDER_PROCESS_H
#define STENO_JOB_RECORDER_PROCESS_H

#include "recorded_events.h"

#include "steno/base/job.h"
#include "steno/base/log.h"

typedef struct RecorderProcess RecorderProcess;

typedef struct {
    /* It answered: {"state", "paused", "part", …}. */
    void (*hello)(gpointer user, const json_t *hello);
    void (*event)(gpointer user, json_t *event);
    /* Nobody writes the capture any more. `told` is its "ended" message, or NULL when there was none. `how` it went, in
     * words. The callee frees the RecorderProcess. */
    void (*exited)(gpointer user, const json_t *told, const char *how);
} RecorderProcessEvents;

typedef struct {
    const char *id, *capture; /* capture: an absolute path */
    const char *runtime_dir;  /* or NULL */
    gboolean outlive;         /* it goes on when we go */
    const StenoLog *log;
    const RecorderProcessEvents *events;
    gpointer user;
} RecorderProcessConfig;

/* Starts a recorder and gives it the job; job is taken. STORAGE_* or INTERNAL. Strings of config are copied. */
RecorderProcess *recorder_process_start(const RecorderProcessConfig *config, json_t *job, guint part,
                                        gint64 zero_wall_us, GError **error);
/*
 * Takes over whoever records into the capture: it answers within RECORDER_ANSWER_MS, or is killed. When there is
 * nobody, `exited` comes all the same, never before this returns.
 */
#define RECORDER_ANSWER_MS 3000
RecorderProcess *recorder_process_attach(const RecorderProcessConfig *config, EventPosition known);

/* Queues a message; takes it. Nothing happens when the recorder is gone. */
void recorder_process_send(RecorderProcess *process, json_t *message);
/* kill -9; `exited` follows. */
void recorder_process_kill(RecorderProcess *process, const char *why);
/* Kills it when it still runs, unless `outlive`. */
void recorder_process_free(RecorderProcess *process);

#endif
