/* What the sources of the job room share. */
#ifndef STENO_JOB_INTERNAL_H
#define STENO_JOB_INTERNAL_H

#include "steno/base/ipc.h"
#include "steno/job.h"

#include <gio/gio.h>

/* ---- recorder.c: one recorder process ---------------------------------------------------------------------------- */

typedef struct RecorderProcess RecorderProcess;

typedef struct {
    void (*event)(gpointer user, json_t *event);
    /* The process has gone. `told` is its "ended" message, or NULL when it died without one. */
    void (*exited)(gpointer user, const json_t *told, const char *how);
} RecorderProcessEvents;

/* Starts a recorder and gives it the job. STORAGE_* or INTERNAL. */
RecorderProcess *job_recorder_start(const StenoJobSpec *spec, const char *capture, guint part, gint64 zero_wall_us,
                                    const StenoLog *log, const RecorderProcessEvents *events, gpointer user,
                                    GError **error);
void job_recorder_stop(RecorderProcess *process, const char *end_reason);
/* Kills it when it still runs. */
void job_recorder_free(RecorderProcess *process);

/* ---- assembler.c: steno-assemble as a child ---------------------------------------------------------------------- */

/* Calls back with the assembly's error (NULL: done). progress: 0.0–1.0. */
typedef struct {
    void (*progress)(gpointer user, double done);
    void (*done)(gpointer user, const GError *error);
} AssemblerEvents;

/* Runs it; events come from the default main context. FALSE when it can't be started. */
gboolean job_assembler_run(const char *capture, const char *output, const char *outputs, const char *audio,
                           const AssemblerEvents *events, gpointer user, GError **error);

/* ---- deliver.c: from the assembled files to the customer's folder ------------------------------------------------ */

/*
 * Stores every file of `assembled` below root and proves it, the manifest last. *folder is where they are. The caller
 * frees it.
 */
gboolean job_deliver(const char *capture, const char *assembled, const char *root, char **folder, GError **error);
/* Removes a capture (only what a capture is made of). */
gboolean job_capture_remove(const char *capture, GError **error);
/* The highest part number in a capture, 0 when there is none. */
guint job_capture_parts(const char *capture);
/* The zero of a capture that exists, 0 else. */
gint64 job_capture_zero(const char *capture);
/* What the recording was asked for ("outputs", "audio"), or NULL. Caller frees. */
char *job_capture_setting(const char *capture, const char *name);

/* ---- programs.c -------------------------------------------------------------------------------------------------- */

/* The path of one of our programs: beside this one, or in the libexec folder. Caller frees. */
char *job_program(const char *name);
/* Starts children that do not see the terminal's Ctrl-C. The caller unrefs it. */
GSubprocessLauncher *job_launcher_new(GSubprocessFlags flags);

#endif
