/*
 * Secret memory: bytes that are locked (mlock), kept out of core dumps (MADV_DONTDUMP) and zeroed when freed.
 */
#ifndef STENO_BASE_SECRET_H
#define STENO_BASE_SECRET_H

#include <glib.h>

typedef struct StenoSecret StenoSecret;

/* A secret file larger than this is refused: it is not a secret. The largest ones are key sets (content.h). */
#define STENO_SECRET_FILE_MAX_BYTES (1024 * 1024)

/* Copies bytes into locked memory; the caller should wipe its own copy. A NUL is put behind them. data NULL: zeros. */
StenoSecret *steno_secret_new(const void *data, gsize bytes);
StenoSecret *steno_secret_ref(StenoSecret *secret);
void steno_secret_unref(StenoSecret *secret);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(StenoSecret, steno_secret_unref)

/* The bytes, valid as long as the secret; as a string when it holds no NUL. */
const char *steno_secret_text(const StenoSecret *secret);
const guint8 *steno_secret_data(const StenoSecret *secret);
gsize steno_secret_bytes(const StenoSecret *secret);
/* The bytes for writing, by who made it and as long as nobody else has it. */
guint8 *steno_secret_buffer(StenoSecret *secret);

/*
 * Reads a secret from a file ("-" is standard input), without the line end at its end, and hides it from the log.
 * Errors: USAGE when it is missing, unreadable, empty, too large, or readable for others (mode & 077 other than group
 * read), saying which and what to do.
 */
StenoSecret *steno_secret_read_file(const char *path, GError **error);

/* Overwrites bytes in a way the compiler does not remove. */
void steno_secret_wipe(void *data, gsize bytes);

/* Equal, in a time that depends on the length only. */
gboolean steno_secret_equal(const guint8 *a, const guint8 *b, gsize bytes);

/*
 * For processes that hold secrets, first thing in main(): PR_SET_DUMPABLE 0, no core files, and JSON values wiped when
 * they are freed.
 */
void steno_secret_protect_process(void);

#endif
