/* Bytes that grow and hold secrets: locked and wiped wherever they have been. */
#ifndef CONTENT_SOURCE_BUFFER_H
#define CONTENT_SOURCE_BUFFER_H

#include "steno/base/secret.h"

typedef struct {
    char *data; /* may be NULL when empty */
    gsize bytes, room;
    gsize max_bytes;
} SourceBuffer;

/* FALSE, with nothing appended, when there would be more than max_bytes. */
gboolean source_buffer_append(SourceBuffer *buffer, const void *data, gsize bytes);
void source_buffer_clear(SourceBuffer *buffer);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(SourceBuffer, source_buffer_clear)

/* What is in it, as a secret of the caller; the buffer is empty afterwards. */
StenoSecret *source_buffer_steal(SourceBuffer *buffer);

/* Frees a string that held a secret. NULL is nothing. */
void source_wipe_free(char *text);

#endif
