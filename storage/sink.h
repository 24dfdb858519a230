/*
 * What a sink is to a store: a row of functions, and the state that they share. store.c has the table of sinks, judges
 * what callers give, and calls the sink.
 *
 * Every function but open(), close() and root_uri() may run on several threads at a time, blocks, and fails with the
 * errors of storage.h. Keys are lawful already (store.c sees to it), and so are numbers. In every function but put(),
 * cancellable may be NULL; when it fires, the function ends soon with INTERRUPTED.
 */
#ifndef STENO_STORAGE_SINK_H
#define STENO_STORAGE_SINK_H

#include "steno/storage.h"

/* As long as a key of S3 may be, in bytes. */
#define STORE_KEY_MAX_BYTES 1024

typedef struct {
    const char *name;         /* `type` in the configuration */
    const char *key_template; /* where `key` is not given */
    gboolean empty_names;     /* "a//b" is a key, and another one than "a/b" */
    /* "file:///srv/recordings", "s3://bucket", percent-encoded, without a '/' at its end. Caller frees. */
    char *(*root_uri)(const StenoConfigStorage *settings);
    /*
     * The state; NULL: CONFIG, when the settings make no sense together. store is not referenced: it lives longer.
     * Touches neither disk nor network. close() comes when nobody uses the store any more.
     */
    gpointer (*open)(StenoStore *store, GError **error);
    void (*close)(gpointer state);

    /* put->sha256_hex is never NULL, and in lower case. */
    gboolean (*put)(gpointer state, const StenoPut *put, GError **error);
    gboolean (*check)(gpointer state, GCancellable *cancellable, GError **error);
    gboolean (*verify)(gpointer state, const char *key, gint64 bytes, const char *sha256_hex, StenoProof proof,
                       GCancellable *cancellable, GError **error);
    GBytes *(*read)(gpointer state, const char *key, gsize max_bytes, GCancellable *cancellable, GError **error);
    gboolean (*fetch)(gpointer state, const char *key, gint64 offset, gint64 length,
                      gboolean (*take)(gpointer user, const guint8 *data, gsize bytes, GError **error), gpointer user,
                      GCancellable *cancellable, GError **error);
    gboolean (*stat)(gpointer state, const char *key, gint64 *bytes, gint64 *modified_us, GCancellable *cancellable,
                     GError **error);
    /* prefix may be "", and may end within a name; found() is told no temporary file. */
    gboolean (*list)(gpointer state, const char *prefix,
                     gboolean (*found)(gpointer user, const char *key, gint64 bytes), gpointer user,
                     GCancellable *cancellable, GError **error);
    gboolean (*remove)(gpointer state, const char *key, gboolean folders, GCancellable *cancellable, GError **error);
    /* *aborted is 0 before. */
    gboolean (*abort_orphans)(gpointer state, const char *prefix,
                              gboolean (*orphan)(gpointer user, const char *key, gint64 begun_us), gpointer user,
                              guint *aborted, GCancellable *cancellable, GError **error);

    /* What a sink does not have is NULL. */
    gboolean (*space)(gpointer state, gint64 *free_bytes, gint64 *total_bytes);
    int (*open_object)(gpointer state, const char *key, GError **error);
    char *(*presign)(gpointer state, const char *key, const char *name, const char *media_type,
                     GCancellable *cancellable, GError **error);
} StenoSink;

extern const StenoSink steno_sink_local;
extern const StenoSink steno_sink_s3;

/* A store of a sink that is not looked up by its name: how a test puts a sink of its own under a store. */
StenoStore *store_open_sink(const StenoSink *sink, StenoConfig *config, const StenoConfigStorage *settings,
                            GError **error);

/* Both live as long as the store. */
StenoConfig *store_config(const StenoStore *store);
const StenoConfigStorage *store_settings(const StenoStore *store);
const char *store_key_template(const StenoStore *store);

/*
 * Opens put->source. -1; SOURCE_DAMAGED when it is not there any more, or has another size than it should: then it can
 * be made again, which reading it again does not help.
 */
int store_source_open(const StenoPut *put, GError **error);
/* Is what was read of it what it should be? sha256_hex in lower case; NULL: not known. SOURCE_DAMAGED. */
gboolean store_source_is(const StenoPut *put, gint64 bytes, const char *sha256_hex, GError **error);

/*
 * Takes so many bytes out of max_bytes_per_s, which all uploads of a store share: µs to wait before they may be sent;
 * 0 where there is no limit. Pieces of at most 1 MiB keep it even. Any thread.
 */
gint64 store_pace(StenoStore *store, gsize bytes);
/* The same, and waits. FALSE: INTERRUPTED. */
gboolean store_pace_wait(StenoStore *store, gsize bytes, GCancellable *cancellable, GError **error);

/* Waits; FALSE: INTERRUPTED. cancellable may be NULL. */
gboolean store_wait(gint64 wait_us, GCancellable *cancellable, GError **error);
/* FALSE: INTERRUPTED. */
gboolean store_goes_on(GCancellable *cancellable, GError **error);

#endif
