/* The local sink, inside: its root, and the way from there to an object. */
#ifndef STENO_STORAGE_LOCAL_H
#define STENO_STORAGE_LOCAL_H

#include "sink.h"

#include <sys/stat.h>

/* Lies in the root of a configured storage once it was used: an empty mount point does not have it. */
#define LOCAL_MARKER ".steno-storage"
/* Objects that are not whole, and what a check writes. */
#define LOCAL_TEMPORARY_PREFIX ".steno-"
#define LOCAL_TEMPORARY_SUFFIX ".partial"

/* All but the last two is set once. */
typedef struct {
    StenoStore *store;
    const char *root;
    const char *group; /* NULL: the process's */
    gboolean has_mode; /* else the umask decides */
    mode_t mode, folder_mode;
    gint64 min_free_bytes;
    char *memory; /* where the state folder remembers that this root was used; NULL: nowhere */
    gint known;   /* atomic: the root has its marker, and that is remembered */
    gint checks;  /* atomic: that have not ended */
} Local;

/*
 * steno_error_set_errno() for what happens in a root: there EIO, too, is how a mount answers that went away. FALSE.
 */
gboolean local_fail(GError **error, int failed, const char *format, ...) G_GNUC_PRINTF(3, 4);

/* ---- the root ---------------------------------------------------------------------------------------------------- */

/*
 * A descriptor of the root; -1. A symbolic link, or a folder where everybody may write, is refused, and one without
 * marker that is known to have had it. `make`: its last folder is made when it is missing.
 */
int local_root_open(const Local *local, gboolean make, GError **error);
/* Marks the root as used, and remembers it: from now on one without marker is none. */
gboolean local_root_mark(Local *local, int root_fd, GError **error);
/* STORAGE_FULL when so many bytes would leave less than min_free_bytes. */
gboolean local_root_has_room(const Local *local, int root_fd, gint64 bytes, GError **error);
/* Group and mode of what we made. */
gboolean local_own(const Local *local, int fd, gboolean is_folder, GError **error);

/* ---- the way to an object ---------------------------------------------------------------------------------------- */

/* Its root, the folders on its key, each opened from the one before without following links. */
typedef struct {
    const Local *local;
    const char *key;
    char **parts;   /* of the key; the last one is the object's name */
    GArray *folder; /* of int; folder[i] holds parts[i] */
} Way;

/* Opens the root alone. The way is to be cleared in any case. */
gboolean local_way_begin(Way *way, const Local *local, const char *key, gboolean make, GError **error);
/* And goes to its end; `make`: folders that are missing are made. */
gboolean local_way_go(Way *way, gboolean make, GError **error);
/* Both, making nothing. */
gboolean local_way_open(Way *way, const Local *local, const char *key, GError **error);
void local_way_clear(Way *way);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Way, local_way_clear)

/* The folder that holds the object; lent. */
int local_way_end(const Way *way);
/* The object's name there; lent. */
const char *local_way_name(const Way *way);
/* Opens the object itself, which must be a file. -1. */
int local_way_open_object(const Way *way, struct stat *status, GError **error);
/* NOT_FOUND for ENOENT; a link on the way is told as such. FALSE. */
gboolean local_way_missing(const Way *way, int failed, const char *doing, GError **error);

/* ---- what the sink does ------------------------------------------------------------------------------------------ */

gboolean local_check(gpointer state, GCancellable *cancellable, GError **error);
gboolean local_put(gpointer state, const StenoPut *put, GError **error);
gboolean local_verify(gpointer state, const char *key, gint64 bytes, const char *sha256_hex, StenoProof proof,
                      GCancellable *cancellable, GError **error);
/* Does `name` in the folder hold these bytes? FALSE without an error: it does not, or cannot be read. */
gboolean local_holds(int folder_fd, const char *name, gint64 bytes, const char *sha256_hex, GCancellable *cancellable,
                     GError **error);
GBytes *local_read(gpointer state, const char *key, gsize max_bytes, GCancellable *cancellable, GError **error);
gboolean local_fetch(gpointer state, const char *key, gint64 offset, gint64 length,
                     gboolean (*take)(gpointer user, const guint8 *data, gsize bytes, GError **error), gpointer user,
                     GCancellable *cancellable, GError **error);
gboolean local_stat(gpointer state, const char *key, gint64 *bytes, gint64 *modified_us, GCancellable *cancellable,
                    GError **error);
int local_open_object(gpointer state, const char *key, GError **error);
gboolean local_remove(gpointer state, const char *key, gboolean folders, GCancellable *cancellable, GError **error);
gboolean local_list(gpointer state, const char *prefix, gboolean (*found)(gpointer user, const char *key, gint64 bytes),
                    gpointer user, GCancellable *cancellable, GError **error);
gboolean local_abort_orphans(gpointer state, const char *prefix,
                             gboolean (*orphan)(gpointer user, const char *key, gint64 begun_us), gpointer user,
                             guint *aborted, GCancellable *cancellable, GError **error);

#endif
