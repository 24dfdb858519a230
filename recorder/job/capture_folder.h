/*
 * capture_folder: a capture on disk, from the outside: what is there, its ending, its removal. All blocking.
 */
#ifndef STENO_JOB_CAPTURE_FOLDER_H
#define STENO_JOB_CAPTURE_FOLDER_H

#include "steno/storage.h"

#include <jansson.h>

/* recording.json. CAPTURE_DAMAGED. The caller owns the reference. */
json_t *job_capture_recording(const char *capture, GError **error);
/* What the recording was asked for ("outputs", "audio"), or NULL. Caller frees. */
char *job_capture_setting(const char *capture, const char *name);
/* The same for what is true or false ("rotate_join"). */
gboolean job_capture_flag(const char *capture, const char *name);
/* The same for a list of texts ("output_recipients"); never NULL. */
char **job_capture_list(const char *capture, const char *name);
/* Is it no capture, but the folder of a finished recording? */
gboolean job_capture_is_finished(const char *folder);
/* The zero of a capture that exists, 0 else. */
gint64 job_capture_zero(const char *capture);

/* ---- parts and sections ------------------------------------------------------------------------------------------ */

/* The numbers of the parts that are there, ascending; never NULL. */
GArray *job_capture_part_numbers(const char *capture);
/* The highest number of a part that there is, or was in a section that is stored; 0: there was none. */
guint job_capture_parts(const char *capture);
/* section-NNNN.json: {"section", "first_part", "last_part", "manifest", …}; NULL: it is not stored. Caller unrefs. */
json_t *job_capture_stored_section(const char *capture, guint section);
/* All of them, in their order. */
void job_capture_stored_sections(const char *capture, void (*found)(gpointer user, const json_t *stored),
                                 gpointer user);
/* Where a section is assembled: CAPTURE/out-NNNN; 0: CAPTURE/out. Caller frees. */
char *job_capture_out(const char *capture, guint section);
/* Where large uploads to a store are remembered; it is made. NULL when it can't be. Caller frees. */
char *job_capture_memo_folder(const char *capture, const char *store);

/* ---- its place in storage ---------------------------------------------------------------------------------------- */

/* A StenoStorePlace that owns its texts. */
typedef struct {
    char *app, *channel, *id;
    gint64 started_wall_us;
} RecordingPlace;

/* By recording.json, or, of a finished recording's folder, by its manifest. CAPTURE_DAMAGED. */
gboolean job_capture_place(const char *capture, RecordingPlace *place, GError **error);
void recording_place_set(RecordingPlace *place, const char *app, const char *channel, const char *id,
                         gint64 started_wall_us);
void recording_place_clear(RecordingPlace *place);
/* Lends its texts. */
StenoStorePlace recording_place(const RecordingPlace *place);
/* The folder of its files in a store. Caller frees. */
char *recording_place_folder(const RecordingPlace *place, const StenoStore *store);

/* ---- who works on it --------------------------------------------------------------------------------------------- */

/*
 * Two that assemble or store one capture at a time would take each other's files away: who does either holds this lock,
 * on the folder itself, so that it can be had on a full disk. A descriptor; the lock ends when it and all its
 * duplicates are closed. -1 and CONFLICT, CAPTURE_DAMAGED.
 */
int job_capture_lock(const char *capture, GError **error);

/* ---- the ending -------------------------------------------------------------------------------------------------- */

#define ENDING "ending.json"
#define ENDING_NEW ".ending.json.tmp"

/*
 * The job's own decision that nothing more is recorded (CAPTURE/ending.json), made before the whole is assembled: from
 * then on, whoever comes assembles and stores. STORAGE_*.
 */
gboolean job_ending_write(const char *capture, const char *end_reason, const GError *cause, GError **error);
/* {"end_reason", "error", "assembled"}, or NULL. The caller owns the reference. */
json_t *job_ending_read(const char *capture);
/* out/manifest.json with this SHA-256 was made after the ending: it need not be made again. STORAGE_*. */
gboolean job_ending_assembled(const char *capture, const char *manifest_sha256, GError **error);
gboolean job_ending_is_assembled(const char *capture);

/* ---- removal.c --------------------------------------------------------------------------------------------------- */

#define UPLOADS "uploads"

/* What an earlier steno_job_capture_forget() left behind. */
void job_capture_forget_rest(const char *capture);
/* Removes a capture's own files, and the folder when it is empty then. STORAGE_*. */
gboolean job_capture_remove(const char *capture, GError **error);
/*
 * Removes these parts and the section's assembled files, which are proven in storage; each is renamed away first, so
 * that no half of it is ever taken for a part. out-NNNN goes last. STORAGE_*.
 */
gboolean job_capture_forget_section(const char *capture, guint section, guint first_part, guint last_part,
                                    GError **error);
/* Removes a folder of our own, with all that is in it. STORAGE_*. */
gboolean job_folder_remove(const char *folder, GError **error);
/* What was renamed there is on disk. STORAGE_*. */
gboolean job_sync_folder(const char *folder, GError **error);

#endif
