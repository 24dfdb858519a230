#include "source_buffer.h"

#include <string.h>
#include <sys/mman.h>

#define FIRST_ROOM_BYTES 4096

static void grow(SourceBuffer *buffer, gsize bytes)
{
    gsize room = MAX(buffer->room * 2, FIRST_ROOM_BYTES);
    while (room < bytes)
        room *= 2;
    char *data = g_malloc(room);
    /* Without the right to lock it still works, as in base/secret.h. */
    (void)mlock(data, room);
    if (buffer->bytes)
        memcpy(data, buffer->data, buffer->bytes);
    gsize filled = buffer->bytes;
    source_buffer_clear(buffer);
    buffer->data = data;
    buffer->bytes = filled;
    buffer->room = room;
}

gboolean source_buffer_append(SourceBuffer *buffer, const void *data, gsize bytes)
{
    if (bytes > buffer->max_bytes - buffer->bytes)
        return FALSE;
    if (buffer->bytes + bytes > buffer->room)
        grow(buffer, buffer->bytes + bytes);
    if (bytes)
        memcpy(buffer->data + buffer->bytes, data, bytes);
    buffer->bytes += bytes;
    return TRUE;
}

void source_buffer_clear(SourceBuffer *buffer)
{
    if (buffer->data) {
        steno_secret_wipe(buffer->data, buffer->room);
        (void)munlock(buffer->data, buffer->room);
        g_free(buffer->data);
    }
    buffer->data = NULL;
    buffer->bytes = buffer->room = 0;
}

StenoSecret *source_buffer_steal(SourceBuffer *buffer)
{
    StenoSecret *secret = steno_secret_new(buffer->data, buffer->bytes);
    source_buffer_clear(buffer);
    return secret;
}

void source_wipe_free(char *text)
{
    if (text)
        steno_secret_wipe(text, strlen(text));
    g_free(text);
}
