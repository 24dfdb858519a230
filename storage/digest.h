/* SHA-256 of what is read from a file descriptor. */
#ifndef STENO_STORAGE_DIGEST_H
#define STENO_STORAGE_DIGEST_H

#include "steno/storage.h"

/*
 * Reads `in` to its end and digests it; copies it to `out` when that is not -1. 0, or an errno; *writing tells whether
 * it was the write that failed.
 */
int steno_digest_fd(int in, int out, char hex[STENO_STORAGE_SHA256_HEX_BYTES], gint64 *bytes, gboolean *writing);

#endif
