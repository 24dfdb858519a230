/*
 * capture_folder: a capture on disk, from the outside: what is there, its ending, its removal. All blocking.
 */
#ifndef STENO_JOB_CAPTURE_FOLDER_H
#define STENO_JOB_CAPTURE_FOLDER_H

#include <glib.h>
#include <jansson.h>

/* recording.json. CAPTURE_DAMAGED. The caller owns the reference. */
json_t *job_capture_recording(const char *capture, GError **error);
/* The numbers of its parts, ascending; never NULL. */
GArray *job_capture_part_numbers(const char *capture);
/* The highest of them, 0 when there is none. */
guint job_capture_parts(const char *capture);
/* The zero of a capture that exists, 0 else. */
gint64 job_capture_zero(const char *capture);
/* What the recording was asked for ("outputs", "audio"), or NULL. Caller frees. */
char *job_capture_setting(const char *capture, const char *name);
/* The folder of its files below a root: <channel>/<utc>_<id>. CAPTURE_DAMAGED. Caller frees. */
char *job_capture_key(const char *capture, GError **error);

/*
 * Two that assemble or store one capture at a time would take each other's files away: who does either holds this lock,
 * on the folder itself, so that it can be had on a full disk. A descriptor, whose closing ends it, or -1 and CONFLICT,
 * CAPTURE_DAMAGED.
 */
int job_capture_lock(const char *capture, GError **error);

/*
 * The job's own decision that nothing more is recorded (CAPTURE/ending.json), made before anything is assembled: from
 * then on, whoever comes assembles and stores. STORAGE_*.
 */
gboolean job_ending_write(const char *capture, const char *end_reason, const GError *cause, GError **error);
/* {"end_reason", "error"}, or NULL. The caller owns the reference. */
json_t *job_ending_read(const char *capture);

/* What an earlier steno_job_capture_forget() left behind. */
void job_capture_forget_rest(const char *capture);
/* Removes a capture's own files, and the folder when it is empty then. STORAGE_*. */
gboolean job_capture_remove(const char *capture, GError **error);

#endif
