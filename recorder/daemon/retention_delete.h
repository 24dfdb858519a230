/*
 * retention_delete: what is done in the thread: reads the manifest beside a recording's files, holds each file against
 * it, removes them. Knows neither journal nor configuration.
 */
#ifndef STENO_DAEMON_RETENTION_DELETE_H
#define STENO_DAEMON_RETENTION_DELETE_H

#include "steno/storage.h"

#include <jansson.h>

/* A manifest is some hundred bytes a track and gap; this one would be of a week of bad network. */
#define RETENTION_MANIFEST_MAX_BYTES (64 * 1024 * 1024)

/* The files of one recording in one storage. */
typedef struct {
    const StenoSink *sink;
    char *storage; /* its name */
    char *root, *key;
    json_t *files; /* [{"name", "bytes", "sha256"}], those of the manifest that are there; NULL before the look */
} RetentionPlace;

/*
 * Where the storage's `uri` leads to; it must be a recording's own folder: <root>/<app>/<anything>/<anything>_<id>.
 * VERIFY_FAILED when it is not.
 */
RetentionPlace *retention_place_new(const StenoSink *sink, const char *storage, const char *root, const char *app,
                                    const char *id, const char *uri, GError **error);
void retention_place_free(RetentionPlace *place);

/*
 * Sets place->files. VERIFY_FAILED: no manifest, one of another recording, or a file that differs. A file that is not
 * there any more is no fault: an earlier deletion that was cut short. *stop (atomic) set: INTERRUPTED.
 */
gboolean retention_place_verify(RetentionPlace *place, const char *id, const gint *stop, GError **error);
/* Removes place->files. One that is gone already is success. */
gboolean retention_place_remove(const RetentionPlace *place, const gint *stop, GError **error);

#endif
