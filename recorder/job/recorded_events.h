/*
 * recorded_events: what recorders told, read from the events.jsonl of a capture; their order, and how far it is known.
 *
 * A line with "seq" is an event that a recorder tells; its part is that of its folder. A torn last line is lawful.
 */
#ifndef STENO_JOB_RECORDED_EVENTS_H
#define STENO_JOB_RECORDED_EVENTS_H

#include <glib.h>
#include <jansson.h>

/* A longer line is passed over: no lawful one is. */
#define EVENT_LINE_MAX_BYTES (256 * 1024)

/* ---- order ------------------------------------------------------------------------------------------------------- */

/* An event's place: its part, and its number in that. {0, 0} is before all. */
typedef struct {
    guint part, seq;
} EventPosition;

/* < 0, 0, > 0 as strcmp(). */
int event_position_compare(EventPosition a, EventPosition b);
/* FALSE when the event has none: it is a figure or a progress. */
gboolean event_position_of(const json_t *event, EventPosition *position);
/* May there be events between the two, that were not told? At a part's end nobody knows. */
gboolean event_position_has_hole(EventPosition told, EventPosition next);

/* ---- lines ------------------------------------------------------------------------------------------------------- */

/* Takes bytes as they come, gives whole lines (without the newline); holds at most EVENT_LINE_MAX_BYTES. */
typedef struct {
    GString *line;
    gboolean too_long;
    void (*take)(gpointer user, const char *line, gsize bytes);
    gpointer user;
} EventLines;

void event_lines_init(EventLines *lines, void (*take)(gpointer user, const char *line, gsize bytes), gpointer user);
void event_lines_feed(EventLines *lines, const char *data, gsize bytes);
/* What is left without a newline is torn, and dropped. */
void event_lines_clear(EventLines *lines);

/* The event of a line of the part's file, with "part" and "seq"; NULL when it is none that is told. Caller unrefs. */
json_t *event_line_parse(const char *line, gsize bytes, guint part);

/* ---- files ------------------------------------------------------------------------------------------------------- */

/* Calls back with each event of the capture behind `after` and before `until` ({0, 0}: all there are), in order. */
void recorded_events_read(const char *capture, EventPosition after, EventPosition until,
                          void (*event)(gpointer user, json_t *event), gpointer user);

/* The ending that the last part of a capture tells, {"end_reason", "error", "t", …}, or NULL. Caller unrefs. */
json_t *recorded_ending_read(const char *capture);

#endif
