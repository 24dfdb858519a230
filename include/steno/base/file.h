/*
 * What read(2) and write(2) leave to everybody: go on after a signal, and until all of it is done.
 */
#ifndef STENO_BASE_FILE_H
#define STENO_BASE_FILE_H

#include <glib.h>

/* Reads until the end, or until `room` bytes are there. How many it were; -1 with errno. Blocking. */
gssize steno_file_read(int fd, void *data, gsize room);
/* Writes all of it. FALSE with errno; some of it may have been written. Blocking. */
gboolean steno_file_write(int fd, const void *data, gsize bytes);
/* Writes a folder to disk: only then are new names in it there. FALSE with errno. */
gboolean steno_file_sync_folder(const char *folder);
/* The same for the folder that holds path. */
gboolean steno_file_sync_parent(const char *path);

#endif
