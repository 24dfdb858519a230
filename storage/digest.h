/* SHA-256 of what is read from a file descriptor. */
#ifndef STENO_STORAGE_DIGEST_H
#define STENO_STORAGE_DIGEST_H

#include "steno/storage.h"

/* FALSE with an error ends the reading. */
typedef gboolean (*DigestEach)(gpointer user, const guint8 *data, gsize bytes, GError **error);

/*
 * Reads `fd` to its end and digests it; each() (may be NULL) is told every piece, of at most 1 MiB. 0, the errno of a
 * read that failed, or -1: each() has set *error.
 */
int digest_fd(int fd, DigestEach each, gpointer user, char hex[STENO_STORAGE_SHA256_HEX_BYTES], gint64 *bytes,
              GError **error);

#endif
