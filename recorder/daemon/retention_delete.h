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
    StenoStore *store;
    char *key;         /* of the recording's folder */
    gboolean complete; /* the journal says that all of it is there: its manifest must be */
    json_t *files;     /* [{"name", "bytes", "sha256"}], those of the manifests that are there; NULL before the look */
} RetentionPlace;

/*
 * Where the `uri` leads to in the store (referenced); it must be a folder with the recording's id in its name.
 * VERIFY_FAILED when it is not.
 */
RetentionPlace *retention_place_new(StenoStore *store, const char *id, const char *uri, gboolean complete,
                                    GError **error);
void retention_place_free(RetentionPlace *place);

/*
 * Sets place->files: those that manifest.json names, or, where a recording never came that far, the manifests of its
 * sections. VERIFY_FAILED: no manifest, one of another recording or app, or a file that differs. A file that is not
 * there is no fault: an earlier deletion that was cut short, or a section that another storage took.
 */
gboolean retention_place_verify(RetentionPlace *place, const char *app, const char *id, GCancellable *cancellable,
                                GError **error);
/* Removes place->files. One that is gone already is success. LEGAL_HOLD: a lock of the storage's forbids it. */
gboolean retention_place_remove(const RetentionPlace *place, GCancellable *cancellable, GError **error);

#endif
