/*
 * manifest: manifest.json, from the model and from what was written. Its schema is docs/manifest.schema.json;
 * manifest_check holds the same rules as a table.
 */
#ifndef STENO_ASSEMBLE_MANIFEST_H
#define STENO_ASSEMBLE_MANIFEST_H

#include "mux.h"

#include "steno/capture.h"

#define MANIFEST_FILE "manifest.json"
#define MANIFEST_SCHEMA_VERSION 1
#define MANIFEST_SHA256_BYTES 65 /* in hex, with its NUL */
#define MANIFEST_KIND_SEALED "sealed"
#define MANIFEST_MAX_BYTES (256 * 1024 * 1024)

/* One object of "tracks": what was captured. */
json_t *manifest_track(const TrackScan *scan);

/* One object of "outputs": what was written. */
json_t *manifest_output(const Model *model, const PlanOutput *output, const MuxResult *result, const char *file,
                        gint64 bytes, const char *sha256);
/* …and what stayed sealed. */
json_t *manifest_sealed_output(const char *file, guint section, gint64 bytes, const char *sha256);
/* Is it one of the latter? */
gboolean manifest_is_sealed(const json_t *output);
gboolean manifest_has_media(const json_t *outputs);

/* The whole; takes the references to tracks and outputs (arrays). sealed_is_all: outputs that are sealed are all that
 * is wanted, and no failure. */
json_t *manifest_build(const Model *model, json_t *tracks, json_t *outputs, gboolean sealed_is_all);

/* A wall-clock time, twice: for people, and exact. Null where it is not known (0). */
void manifest_set_time(json_t *object, const char *name, gint64 wall_us);
/* Both ends in words and exact; 0: not known. */
void manifest_set_interval(json_t *object, gint64 from_us, gint64 until_us);

/* One object of "gaps", of all tracks. */
json_t *manifest_gap(guint part, StenoGapCause cause, gint64 from_us, gint64 until_us);

/* Writes folder/name: temporary name, fsync, rename. STORAGE_*. */
gboolean manifest_write(const char *folder, const char *name, const json_t *manifest, GError **error);

/* Does it keep the rules of docs/manifest.schema.json? VERIFY_FAILED. */
gboolean manifest_check(const json_t *manifest, GError **error);

/* SHA-256 of a file in hex, and its size. STORAGE_FAILED. */
gboolean manifest_digest(const char *path, char sha256[MANIFEST_SHA256_BYTES], gint64 *bytes, GError **error);

/* ---- sections: manifest_sections.c ------------------------------------------------------------------------------- */

/* Says that the manifest is of this section alone. */
void manifest_set_section(json_t *manifest, const StenoCaptureSection *section);

/*
 * Makes the last section's manifest (one without outputs and tracks, when nothing of it is left to be assembled) that
 * of the whole. stored: those of the sections before, in order. sections: all, of StenoCaptureSection.
 */
void manifest_merge(json_t *last, const json_t *stored, const GArray *sections, gboolean sealed_is_all);

/* "completed" or "failed". Static. */
const char *manifest_state(const json_t *outputs, gboolean sealed_is_all);

/* Does the whole say all that the section's manifest says? VERIFY_FAILED. */
gboolean manifest_agrees(const json_t *whole, const json_t *section, GError **error);

#endif
