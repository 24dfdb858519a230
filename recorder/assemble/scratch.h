/*
 * scratch: files and folders that are in the output folder only while it is worked at. What a crash left of them (it
 * may be media in the clear) is taken away by the next assembly there.
 */
#ifndef STENO_ASSEMBLE_SCRATCH_H
#define STENO_ASSEMBLE_SCRATCH_H

#include <glib.h>

/* Their names begin so. */
#define SCRATCH_PREFIX ".steno-making-"

/* Takes all away whose name begins so. */
void scratch_clean(const char *folder);
/* Takes away a file, or a folder with all that is in it; follows no link. What is not there is fine. */
void scratch_remove(const char *path);

/* A second name for the file, which nobody changes any more; a copy where the file system has no such thing. `to` must
 * not exist. STORAGE_*. */
gboolean scratch_link(const char *from, const char *to, GError **error);
/* A new file that holds this, on disk. STORAGE_*. */
gboolean scratch_write(const char *path, const void *data, gsize bytes, GError **error);

#endif
