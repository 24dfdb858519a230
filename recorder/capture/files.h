/* File helpers of the writer: whole writes, durable small files. All give STORAGE_* errors. */
#ifndef STENO_CAPTURE_FILES_H
#define STENO_CAPTURE_FILES_H

#include <glib.h>

/* Captures are the customer's conversations: nobody else on the machine reads them. */
#define CAPTURE_FOLDER_MODE 0750
#define CAPTURE_FILE_MODE 0640

#define EVENTS_FILE "events.jsonl"

/* Opens a new file below the folder for appending; an old one of that name is an error. -1 on failure. */
int steno_files_create(int folder_fd, const char *name, GError **error);
/* Writes everything. `name` is for the message only. */
gboolean steno_files_write(int fd, const char *name, const void *data, gsize bytes, GError **error);
/* Temporary name, fsync, rename, fsync of the folder. */
gboolean steno_files_replace(int folder_fd, const char *name, const char *text, GError **error);
/* Makes the folder (and its parents) durably and opens it; -1 on failure. fresh: it must not exist. */
int steno_files_open_folder(const char *path, gboolean fresh, GError **error);

/* Takes away the folder of a part that holds nothing but events.jsonl. */
void steno_files_remove_part(const char *path);

#endif
