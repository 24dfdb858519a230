/* What is there: the sink's functions but put(), with the contracts of sink.h; and requests that put() needs, too. */
#ifndef STENO_STORAGE_S3_OBJECTS_H
#define STENO_STORAGE_S3_OBJECTS_H

#include "call.h"

gboolean s3_check(gpointer state, GCancellable *cancellable, GError **error);
gboolean s3_verify(gpointer state, const char *key, gint64 bytes, const char *sha256_hex, StenoProof proof,
                   GCancellable *cancellable, GError **error);
GBytes *s3_read(gpointer state, const char *key, gsize max_bytes, GCancellable *cancellable, GError **error);
gboolean s3_fetch(gpointer state, const char *key, gint64 offset, gint64 length,
                  gboolean (*take)(gpointer user, const guint8 *data, gsize bytes, GError **error), gpointer user,
                  GCancellable *cancellable, GError **error);
gboolean s3_stat(gpointer state, const char *key, gint64 *bytes, gint64 *modified_us, GCancellable *cancellable,
                 GError **error);
gboolean s3_list(gpointer state, const char *prefix, gboolean (*found)(gpointer user, const char *key, gint64 bytes),
                 gpointer user, GCancellable *cancellable, GError **error);
gboolean s3_remove(gpointer state, const char *key, gboolean folders, GCancellable *cancellable, GError **error);
gboolean s3_abort_orphans(gpointer state, const char *prefix,
                          gboolean (*orphan)(gpointer user, const char *key, gint64 begun_us), gpointer user,
                          guint *aborted, GCancellable *cancellable, GError **error);
char *s3_presign(gpointer state, const char *key, const char *name, const char *media_type, GCancellable *cancellable,
                 GError **error);

/* ---- for put() and check() --------------------------------------------------------------------------------------- */

/* What HEAD tells of an object. */
typedef struct {
    gint64 bytes, modified_us;
    char *sha256_hex, *etag, *checksum; /* as far as it tells; checksum: of `kind` of s3_object_head() */
    gboolean retained, held;            /* now: by a retention, by a legal hold */
} S3Object;

void s3_object_clear(S3Object *object);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(S3Object, s3_object_clear)

/* NOT_FOUND. brief: a missing object is told in one request, and is not told from a missing bucket. */
gboolean s3_object_head(S3Call *call, const char *key, S3ChecksumKind kind, gboolean brief, S3Object *object,
                        GError **error);
/* Aborts an upload; one that is not there is success. */
gboolean s3_upload_abort(S3Call *call, const char *key, const char *upload_id, GError **error);
/* Removes an object without looking. */
gboolean s3_object_delete(S3Call *call, const char *key, GError **error);
/* Every upload whose key begins with prefix. found() returns FALSE with or without an error to end it. */
gboolean s3_uploads_list(S3Call *call, const char *prefix,
                         gboolean (*found)(gpointer user, const S3XmlEntry *upload, GError **error), gpointer user,
                         GError **error);

#endif
