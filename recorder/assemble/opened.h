/*
 * opened: frames that were sealed, and could be opened now, as track files in a folder of their own, written by the
 * capture room's own writer: so that they are read as if they had been captured in the clear.
 */
#ifndef STENO_ASSEMBLE_OPENED_H
#define STENO_ASSEMBLE_OPENED_H

#include "steno/capture.h"

typedef struct Opened Opened;

/* folder is made when there is something to be written. */
Opened *opened_new(const char *folder, gint64 zero_wall_us, const StenoLog *log);
/* Ends what is still being written. */
void opened_free(Opened *opened);

/* Where its frames come from. */
StenoFramePool *opened_pool(const Opened *opened);

/* Begins a copy of one sealed file; returns its number. */
guint opened_begin(Opened *opened);
/*
 * The next frame of a copy: FORMAT before the first MEDIA, and where it changes; takes it. Waits when the disk is
 * slower than we are. What goes wrong is told by opened_finish().
 */
void opened_push(Opened *opened, guint copy, StenoFrame *frame);
/* Ends all copies. STORAGE_*. */
gboolean opened_finish(Opened *opened, GError **error);

/* Path of the nth file of a copy, one for each of its formats; NULL when there are no more. After opened_finish(). */
char *opened_path(const Opened *opened, guint copy, guint nth);

#endif
