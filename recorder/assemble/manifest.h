/*
 * manifest: manifest.json, from the model and from what was written. Its schema is docs/manifest.schema.json;
 * manifest_check holds the same rules as a table.
 */
#ifndef STENO_ASSEMBLE_MANIFEST_H
#define STENO_ASSEMBLE_MANIFEST_H

#include "mux.h"

#define MANIFEST_FILE "manifest.json"
#define MANIFEST_SCHEMA_VERSION 1
#define MANIFEST_SHA256_BYTES 65 /* in hex, with its NUL */
#define MANIFEST_MAX_BYTES (256 * 1024 * 1024)

/* One object of "tracks": what was captured. */
json_t *manifest_track(const TrackScan *scan);

/* One object of "outputs": what was written. */
json_t *manifest_output(const PlanOutput *output, const MuxResult *result, const char *file, gint64 bytes,
                        const char *sha256);

/* The whole; takes the references to tracks and outputs (arrays). */
json_t *manifest_build(const Model *model, json_t *tracks, json_t *outputs);

/* Writes folder/manifest.json: temporary name, fsync, rename. STORAGE_*. */
gboolean manifest_write(const char *folder, const json_t *manifest, GError **error);

/* SHA-256 of a file in hex, and its size. STORAGE_FAILED. */
gboolean manifest_digest(const char *path, char sha256[MANIFEST_SHA256_BYTES], gint64 *bytes, GError **error);

#endif
