/*
 * storage: put a file where the customer wants it, and prove that it is there. A const table of sinks: local, s3.
 *
 * A store is one `storages` entry of the configuration, opened: a sink and its settings. It may be used by several
 * threads at a time. Every function that takes a store and a GError blocks until it is done or the cancellable fires
 * (INTERRUPTED): none is for the main thread, but those that say so.
 *
 * Keys are '/'-separated paths of UTF-8 names below the store's root or bucket, without "." and ".." as a name, and,
 * but for S3 and not at its ends, without "".
 *
 * Errors, for who decides what to do next (steno_error_is_storage() is TRUE for all of STORAGE_*):
 *   STORAGE_DENIED       credentials, bucket, region, permission, TLS name: somebody must act
 *   STORAGE_UNWRITABLE   a folder that is not there, a link, read-only: somebody must act
 *   STORAGE_FULL         no space, quota: somebody must act
 *   GEOFENCE             the endpoint's address or region is not allowed
 *   STORAGE_UNREACHABLE  it does not answer, or answers that it can't now: it will pass
 *   STORAGE_FAILED       anything else
 *   NOT_FOUND, VERIFY_FAILED (what differs), SOURCE_DAMAGED (the local file is not what it was), INTERRUPTED
 */
#ifndef STENO_STORAGE_H
#define STENO_STORAGE_H

#include "steno/config.h"

#include <gio/gio.h>

#define STENO_STORAGE_SHA256_HEX_BYTES 65
/* Trouble that will pass is waited for so long within a call, as long as nothing succeeds meanwhile. */
#define STENO_STORAGE_PATIENCE_S 30

typedef struct StenoStore StenoStore;

/*
 * config is referenced, settings are one of its storages. CONFIG when they make no sense together. Touches neither disk
 * nor network; any thread.
 */
StenoStore *steno_store_open(StenoConfig *config, const StenoConfigStorage *settings, GError **error);
/* A local one without configuration: what `steno record` and `steno assemble` write to; root may be relative. Never
 * NULL. Any thread. */
StenoStore *steno_store_open_local(const char *root);
StenoStore *steno_store_ref(StenoStore *store);
void steno_store_unref(StenoStore *store);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(StenoStore, steno_store_unref)

/* As in the configuration; of open_local: "local". Any thread. */
const char *steno_store_name(const StenoStore *store);
/* "file:///srv/recordings/KEY", "s3://BUCKET/KEY" (percent-encoded). key "" is the root. Any thread; caller frees. */
char *steno_store_uri(const StenoStore *store, const char *key);
/* The key of such an URI; NULL when it is not of this store. Any thread; caller frees. */
char *steno_store_key_of_uri(const StenoStore *store, const char *uri);

/* ---- where a recording's files lie ------------------------------------------------------------------------------- */

typedef struct {
    const char *app; /* NULL or "": none, then its step of the template is left out */
    const char *channel;
    gint64 started_wall_us; /* the recording's zero */
    const char *id;
} StenoStorePlace;

/* The folder of a recording's files by the store's key template, made of safe names. Any thread; caller frees. */
char *steno_store_folder(const StenoStore *store, const StenoStorePlace *place);
/* The same for one whose start nobody knows any more: looks for its manifest.json. NOT_FOUND. Caller frees. */
char *steno_store_find(StenoStore *store, const StenoStorePlace *place, GCancellable *cancellable, GError **error);

/* ---- putting ----------------------------------------------------------------------------------------------------- */

typedef struct {
    const char *source; /* path of the local file */
    const char *key;
    /* What the source must be (SOURCE_DAMAGED: it is something else, and nothing was stored under the key).
     * sha256_hex NULL: whatever it is; it is read once more then. */
    gint64 bytes;
    const char *sha256_hex;
    gboolean replace; /* an object with other contents gives way; else STORAGE_FAILED */
    /* An existing folder in which a large upload is remembered, so that it goes on after a crash; NULL: nowhere. */
    const char *memo_folder;
    GCancellable *cancellable; /* or NULL */
    /* On the caller's thread, now and then. trouble: why it does not get on, though it is tried again; NULL: it does.
     */
    void (*progress)(gpointer user, gint64 bytes_stored, const GError *trouble);
    gpointer user;
} StenoPut;

/*
 * When it returns TRUE, an object of the same size and SHA-256 is durably there, and that was proven: local by reading
 * it back, S3 by a HEAD whose size and checksum (or stored SHA-256) are right. One that is there already with the same
 * contents is success.
 */
gboolean steno_store_put(StenoStore *store, const StenoPut *put, GError **error);

/* ---- what is there ----------------------------------------------------------------------------------------------- */

/* Can it be written to? Writes something small and takes it away again. A missing local root is made when its parent is
 * there. Within 10 s. */
gboolean steno_store_check(StenoStore *store, GCancellable *cancellable, GError **error);
/* Free and all bytes; FALSE without an error where nobody can tell. */
gboolean steno_store_space(StenoStore *store, gint64 *free_bytes, gint64 *total_bytes);

typedef enum {
    STENO_PROOF_STORED,  /* what put() proves, again: cheap */
    STENO_PROOF_CONTENTS /* reads every byte */
} StenoProof;
gboolean steno_store_verify(StenoStore *store, const char *key, gint64 bytes, const char *sha256_hex, StenoProof proof,
                            GCancellable *cancellable, GError **error);

/* A small object as a whole. STORAGE_FAILED when it is larger than max_bytes. */
GBytes *steno_store_read(StenoStore *store, const char *key, gsize max_bytes, GCancellable *cancellable,
                         GError **error);
/* Bytes from offset on, length of them (-1: to the end), in pieces. take() returns FALSE with an error to end it. */
gboolean steno_store_fetch(StenoStore *store, const char *key, gint64 offset, gint64 length,
                           gboolean (*take)(gpointer user, const guint8 *data, gsize bytes, GError **error),
                           gpointer user, GCancellable *cancellable, GError **error);
/* Size and time of change (0: not told). */
gboolean steno_store_stat(StenoStore *store, const char *key, gint64 *bytes, gint64 *modified_us,
                          GCancellable *cancellable, GError **error);
/* A descriptor of a local object, whose last step is no link; -1 without an error: this sink has none. Caller closes.
 */
int steno_store_open_object(StenoStore *store, const char *key, GError **error);
/*
 * An address from which anybody may fetch the object for so long; the browser calls it `name`. NULL without an error:
 * this store has none (local, SSE-C, `downloads = "stream"`). It is a secret: never logged. May have to fetch
 * credentials. Caller frees.
 */
char *steno_store_presign(StenoStore *store, const char *key, const char *name, const char *media_type,
                          GCancellable *cancellable, GError **error);
/* Every object whose key begins with prefix, in any order. found() returns FALSE to end it. */
gboolean steno_store_list(StenoStore *store, const char *prefix,
                          gboolean (*found)(gpointer user, const char *key, gint64 bytes), gpointer user,
                          GCancellable *cancellable, GError **error);

/* ---- taking away ------------------------------------------------------------------------------------------------- */

/*
 * Removes the object, and when this returns TRUE that is durable. With `folders` also those local folders on its way
 * that are empty then, never the root. NOT_FOUND; LEGAL_HOLD when a lock forbids it.
 */
gboolean steno_store_remove(StenoStore *store, const char *key, gboolean folders, GCancellable *cancellable,
                            GError **error);
/*
 * What was begun and not finished below prefix: aborts every multipart upload (local: removes every temporary file that
 * nobody writes) whose key orphan() says TRUE for. *aborted (may be NULL) is how many.
 */
gboolean steno_store_abort_orphans(StenoStore *store, const char *prefix,
                                   gboolean (*orphan)(gpointer user, const char *key, gint64 begun_us), gpointer user,
                                   guint *aborted, GCancellable *cancellable, GError **error);

/* ---- files ------------------------------------------------------------------------------------------------------- */

/* SHA-256 of a local file in hex, and its size. STORAGE_FAILED. */
gboolean steno_storage_digest(const char *path, char hex[STENO_STORAGE_SHA256_HEX_BYTES], gint64 *bytes,
                              GError **error);

#endif
