/*
 * storage: put a file where the customer wants it, and prove that it is there. A const table of sinks.
 */
#ifndef STENO_STORAGE_H
#define STENO_STORAGE_H

#include <glib.h>

#define STENO_STORAGE_SHA256_HEX_BYTES 65

typedef struct {
    const char *name; /* "local" */
    /*
     * Stores `source` as `key` (a relative path, '/'-separated, safe names) below `root` and reads it back: when it
     * returns TRUE, an object of the same size and SHA-256 is durably there. An object that is there already with the
     * same contents is success; with others it is refused (STORAGE_FAILED), never overwritten, unless replace.
     */
    gboolean (*put)(const char *root, const char *source, const char *key, gboolean replace, GError **error);
    /*
     * Can the root be written? STORAGE_UNWRITABLE or STORAGE_FULL saying what to do. A missing local root is made when
     * its parent is there; one that is a symbolic link, or that everybody may write to, is refused.
     */
    gboolean (*check)(const char *root, GError **error);
    /* Is the object there, of this size and SHA-256? NOT_FOUND, VERIFY_FAILED (what differs), STORAGE_*. */
    gboolean (*verify)(const char *root, const char *key, gint64 bytes, const char *sha256_hex, GError **error);
    /* A small object as a whole. NOT_FOUND, STORAGE_FAILED when it is larger than max_bytes, STORAGE_*. */
    GBytes *(*read)(const char *root, const char *key, gsize max_bytes, GError **error);
    /*
     * Removes the object, and when this returns TRUE that is durable. With `folders` also those folders on its way that
     * are empty then, never the root. NOT_FOUND, STORAGE_*.
     */
    gboolean (*remove)(const char *root, const char *key, gboolean folders, GError **error);
} StenoSink;

extern const StenoSink steno_sink_local;
const StenoSink *steno_sink_find(const char *name);

/* SHA-256 of a file in hex, and its size. STORAGE_FAILED. */
gboolean steno_storage_digest(const char *path, char hex[STENO_STORAGE_SHA256_HEX_BYTES], gint64 *bytes,
                              GError **error);

/* <channel>/<utc compact>_<id>, made of safe names: the folder of a recording below the root. Caller frees. */
char *steno_storage_recording_key(const char *channel, gint64 started_wall_us, const char *id);

#endif
