/* A small file, written so that a crash leaves the old one or the new one. */
#ifndef STENO_PROOF_DURABLE_H
#define STENO_PROOF_DURABLE_H

#include <glib.h>
#include <sys/types.h>

/*
 * Beside it under a temporary name, fsync, into place, fsync of the folder. exclusive: one that is there stays, and
 * *lost is set (the function succeeds). STORAGE_*.
 */
gboolean durable_write(const char *path, mode_t mode, const void *data, gsize bytes, gboolean exclusive, gboolean *lost,
                       GError **error);

#endif
