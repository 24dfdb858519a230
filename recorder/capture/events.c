#include "events.h"

#include "files.h"

#include "steno/base/clock.h"
#include "steno/capture.h"

#include <stdlib.h>
#include <unistd.h>

#define EVENTS_FILE "events.jsonl"

gboolean steno_events_open(StenoEvents *events, int folder_fd, GError **error)
{
    events->fd = steno_files_create(folder_fd, EVENTS_FILE, error);
    if (events->fd < 0)
        return FALSE;
    g_mutex_init(&events->lock);
    events->batch = g_string_sized_new(4096);
    events->waiting = g_string_sized_new(4096);
    events->spare = g_string_sized_new(4096);
    return TRUE;
}

void steno_events_clear(StenoEvents *events)
{
    if (!events->batch)
        return;
    close(events->fd);
    g_string_free(g_steal_pointer(&events->batch), TRUE);
    g_string_free(events->waiting, TRUE);
    g_string_free(events->spare, TRUE);
    g_mutex_clear(&events->lock);
}

void steno_events_add(StenoEvents *events, json_t *event)
{
    if (!json_object_get(event, "t"))
        json_object_set_new(event, "t", json_integer(steno_clock_mono_to_wall_us(steno_clock_mono_us())));
    char *line = json_dumps(event, JSON_COMPACT);
    json_decref(event);

    g_mutex_lock(&events->lock);
    if (line && events->waiting_lines < STENO_CAPTURE_EVENTS_MAX) {
        g_string_append(events->waiting, line);
        g_string_append_c(events->waiting, '\n');
        events->waiting_lines++;
    } else {
        events->dropped++;
    }
    g_mutex_unlock(&events->lock);
    free(line);
}

guint64 steno_events_dropped(StenoEvents *events)
{
    g_mutex_lock(&events->lock);
    guint64 dropped = events->dropped;
    g_mutex_unlock(&events->lock);
    return dropped;
}

gboolean steno_events_write(StenoEvents *events, GError **error)
{
    g_mutex_lock(&events->lock);
    GString *lines = events->waiting;
    events->waiting = events->spare;
    events->spare = lines;
    events->waiting_lines = 0;
    g_mutex_unlock(&events->lock);

    g_string_append_len(events->batch, lines->str, (gssize)lines->len);
    g_string_truncate(lines, 0);
    if (events->batch->len == 0)
        return TRUE;
    gboolean written = steno_files_write(events->fd, EVENTS_FILE, events->batch->str, events->batch->len, error);
    g_string_truncate(events->batch, 0);
    events->dirty = TRUE;
    return written;
}
