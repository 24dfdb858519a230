#include "events.h"

#include "files.h"

#include "steno/base/clock.h"
#include "steno/capture.h"

#include <stdlib.h>
#include <unistd.h>

gboolean steno_events_open(StenoEvents *events, int folder_fd, guint part, guint seq, GError **error)
{
    events->fd = steno_files_create(folder_fd, EVENTS_FILE, error);
    if (events->fd < 0)
        return FALSE;
    g_mutex_init(&events->lock);
    events->part = part;
    events->seq = seq;
    events->waiting = g_string_sized_new(4096);
    events->spare = g_string_sized_new(4096);
    return TRUE;
}

void steno_events_clear(StenoEvents *events)
{
    if (!events->waiting)
        return;
    close(events->fd);
    g_string_free(g_steal_pointer(&events->waiting), TRUE);
    g_string_free(events->spare, TRUE);
    g_mutex_clear(&events->lock);
}

static void add_line(StenoEvents *events, const json_t *event)
{
    char *line = events->waiting_lines < STENO_CAPTURE_EVENTS_MAX ? json_dumps(event, JSON_COMPACT) : NULL;
    if (line) {
        g_string_append(events->waiting, line);
        g_string_append_c(events->waiting, '\n');
        events->waiting_lines++;
    } else {
        events->dropped++;
    }
    free(line);
}

void steno_events_add(StenoEvents *events, StenoEventsKind kind, json_t *event)
{
    if (!json_object_get(event, "t"))
        json_object_set_new(event, "t", json_integer(steno_clock_mono_to_wall_us(steno_clock_mono_us())));
    /* The number, the line and the telling under one lock: all three have the same order. */
    g_mutex_lock(&events->lock);
    if (kind == STENO_EVENTS_NUMBERED || kind == STENO_EVENTS_UNTOLD) {
        json_object_set_new(event, "part", json_integer(events->part));
        json_object_set_new(event, "seq", json_integer(++events->seq));
    }
    add_line(events, event);
    if (kind == STENO_EVENTS_NUMBERED && events->told)
        events->told(events->user, g_steal_pointer(&event));
    g_mutex_unlock(&events->lock);
    json_decref(event);
}

void steno_events_tell(StenoEvents *events, json_t *event)
{
    if (events->told)
        events->told(events->user, event);
    else
        json_decref(event);
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

    if (lines->len == 0)
        return TRUE;
    gboolean written = steno_files_write(events->fd, EVENTS_FILE, lines->str, lines->len, error);
    g_string_truncate(lines, 0);
    events->dirty = TRUE;
    return written;
}
