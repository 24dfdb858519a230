/*
 * events.jsonl: lines from any thread, written in batches by the writer thread.
 */
#ifndef STENO_CAPTURE_EVENTS_H
#define STENO_CAPTURE_EVENTS_H

#include <glib.h>
#include <jansson.h>

typedef struct {
    int fd;
    gboolean dirty; /* written, not yet synced */
    GString *batch; /* the writer thread's own lines */
    GMutex lock;    /* for the rest */
    GString *waiting;
    GString *spare;
    guint waiting_lines;
    guint64 dropped;
} StenoEvents;

gboolean steno_events_open(StenoEvents *events, int folder_fd, GError **error);
void steno_events_clear(StenoEvents *events);

/* Any thread; takes the reference. Beyond STENO_CAPTURE_EVENTS_MAX lines that wait, the event is dropped and counted.
 */
void steno_events_add(StenoEvents *events, json_t *event);
guint64 steno_events_dropped(StenoEvents *events);

/* Writer thread: writes what waits with one write(). */
gboolean steno_events_write(StenoEvents *events, GError **error);

#endif
