/*
 * events.jsonl: lines from any thread, numbered in the order in which they stand there, told to the owner, and written
 * in batches by the writer thread.
 */
#ifndef STENO_CAPTURE_EVENTS_H
#define STENO_CAPTURE_EVENTS_H

#include <glib.h>
#include <jansson.h>

typedef struct {
    int fd;
    gboolean dirty; /* written, not yet synced */
    guint part;
    void (*told)(gpointer user, json_t *event);
    gpointer user;
    GMutex lock; /* for the rest */
    GString *waiting;
    GString *spare;
    guint waiting_lines;
    guint seq; /* of the last event that has one */
    guint64 dropped;
} StenoEvents;

/* told (may be NULL): steno_capture's; seq: of the last event of the part that was told before it began. */
gboolean steno_events_open(StenoEvents *events, int folder_fd, guint part, guint seq, GError **error);
void steno_events_clear(StenoEvents *events);

typedef enum {
    STENO_EVENTS_NUMBERED,    /* gets its part and seq, and is told */
    STENO_EVENTS_UNTOLD,      /* gets its part and seq; the caller tells it */
    STENO_EVENTS_MEASUREMENT, /* only written */
    STENO_EVENTS_AS_IT_IS,    /* has its number, and was told */
} StenoEventsKind;

/*
 * Any thread; takes the reference. Beyond STENO_CAPTURE_EVENTS_MAX lines that wait, the event is not written, and
 * counted; told it is in any case.
 */
void steno_events_add(StenoEvents *events, StenoEventsKind kind, json_t *event);
/* Tells an event that has its number; takes the reference. */
void steno_events_tell(StenoEvents *events, json_t *event);
guint64 steno_events_dropped(StenoEvents *events);

/* Writer thread: writes what waits with one write(). */
gboolean steno_events_write(StenoEvents *events, GError **error);

#endif
