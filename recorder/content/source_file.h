/* A key file, or the file of a channel in a folder of them: found, judged, read, and watched. */
#ifndef CONTENT_SOURCE_FILE_H
#define CONTENT_SOURCE_FILE_H

#include "source_buffer.h"
#include "source_kind.h"

typedef struct KeyFile KeyFile;

/*
 * settings->path is a file, or a folder of <app>/<channel><suffix> (<channel><suffix> without an app). A file with one
 * of the forbidden mode bits is refused, as is one of another owner than root or us.
 */
KeyFile *key_file_new(const SourceSettings *settings, const char *suffix, guint forbidden, GMainContext *context,
                      GSourceFunc changed, gpointer user);
void key_file_free(KeyFile *file);

/* FOUND: its bytes are in the (empty) buffer, which has its ceiling. UNCHANGED: as when it was accepted. */
SourceOutcome key_file_read(KeyFile *file, SourceBuffer *buffer, GError **error);
/*
 * What was read is settled: to be read again only when it has changed. A file that was written a moment ago is read
 * again all the same, since it may be written again without its times telling; not so when that would do harm.
 */
void key_file_accept(KeyFile *file, gboolean harmful);

/* As of a job: the path is given, and the names fit when it is a folder. USAGE. */
gboolean key_file_check(const StenoJobSpec *job, GError **error);

#endif
