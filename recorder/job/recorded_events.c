#include "recorded_events.h"

#include "capture_folder.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* ---- order ------------------------------------------------------------------------------------------------------- */

int event_position_compare(EventPosition a, EventPosition b)
{
    if (a.part != b.part)
        return a.part < b.part ? -1 : 1;
    return a.seq < b.seq ? -1 : a.seq > b.seq;
}

gboolean event_position_of(const json_t *event, EventPosition *position)
{
    const json_t *part = json_object_get(event, "part"), *seq = json_object_get(event, "seq");
    json_int_t part_number = json_integer_value(part), seq_number = json_integer_value(seq);
    if (part_number < 1 || part_number > G_MAXUINT || seq_number < 1 || seq_number > G_MAXUINT)
        return FALSE;
    *position = (EventPosition){(guint)part_number, (guint)seq_number};
    return TRUE;
}

gboolean event_position_has_hole(EventPosition told, EventPosition next)
{
    if (told.part == next.part)
        return next.seq > told.seq && next.seq - told.seq > 1;
    return !(told.part == 0 && next.part == 1 && next.seq == 1);
}

/* ---- lines ------------------------------------------------------------------------------------------------------- */

void event_lines_init(EventLines *lines, void (*take)(gpointer user, const char *line, gsize bytes), gpointer user)
{
    lines->line = g_string_sized_new(4096);
    lines->too_long = FALSE;
    lines->take = take;
    lines->user = user;
}

static void end_line(EventLines *lines)
{
    if (!lines->too_long && lines->line->len > 0)
        lines->take(lines->user, lines->line->str, lines->line->len);
    g_string_truncate(lines->line, 0);
    lines->too_long = FALSE;
}

void event_lines_feed(EventLines *lines, const char *data, gsize bytes)
{
    while (bytes > 0) {
        const char *newline = memchr(data, '\n', bytes);
        gsize n = newline ? (gsize)(newline - data) : bytes;
        if (lines->too_long || lines->line->len + n > EVENT_LINE_MAX_BYTES)
            lines->too_long = TRUE;
        else
            g_string_append_len(lines->line, data, (gssize)n);
        if (!newline)
            return;
        end_line(lines);
        data += n + 1;
        bytes -= n + 1;
    }
}

void event_lines_clear(EventLines *lines)
{
    g_string_free(lines->line, TRUE);
    lines->line = NULL;
}

json_t *event_line_parse(const char *line, gsize bytes, guint part)
{
    /* Most lines are measurements, which nobody is told. */
    if (!g_strstr_len(line, (gssize)bytes, "\"seq\""))
        return NULL;
    json_t *event = json_loadb(line, bytes, JSON_REJECT_DUPLICATES, NULL);
    if (json_is_string(json_object_get(event, "event")) && json_is_integer(json_object_get(event, "seq"))) {
        EventPosition position;
        json_object_set_new(event, "part", json_integer(part));
        if (event_position_of(event, &position))
            return event;
    }
    json_decref(event);
    return NULL;
}

/* ---- files ------------------------------------------------------------------------------------------------------- */

/* A file that is missing or cannot be read has no events. */
static void read_file(const char *capture, guint part, EventLines *lines)
{
    g_autofree char *path = g_strdup_printf("%s/part-%04u/events.jsonl", capture, part);
    g_autofree char *block = g_malloc(65536);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    ssize_t n;
    while (fd >= 0 && ((n = read(fd, block, 65536)) > 0 || (n < 0 && errno == EINTR))) {
        if (n > 0)
            event_lines_feed(lines, block, (gsize)n);
    }
    if (fd >= 0)
        close(fd);
}

typedef struct {
    guint part;
    EventPosition after, until;
    void (*event)(gpointer user, json_t *event);
    gpointer user;
} Reading;

static void take_event_line(gpointer user, const char *line, gsize bytes)
{
    Reading *reading = user;
    EventPosition position;
    json_t *event = event_line_parse(line, bytes, reading->part);
    if (event && event_position_of(event, &position) && event_position_compare(position, reading->after) > 0 &&
        (reading->until.part == 0 || event_position_compare(position, reading->until) < 0)) {
        reading->after = position;
        reading->event(reading->user, event);
    }
    json_decref(event);
}

void recorded_events_read(const char *capture, EventPosition after, EventPosition until,
                          void (*event)(gpointer user, json_t *event), gpointer user)
{
    Reading reading = {.after = after, .until = until, .event = event, .user = user};
    g_autoptr(GArray) parts = job_capture_part_numbers(capture);
    for (guint i = 0; i < parts->len; i++) {
        reading.part = g_array_index(parts, guint, i);
        if (reading.part < after.part || (until.part > 0 && reading.part > until.part))
            continue;
        EventLines lines;
        event_lines_init(&lines, take_event_line, &reading);
        read_file(capture, reading.part, &lines);
        event_lines_clear(&lines);
    }
}

/* Most lines are about media: only those that may be the ending are parsed. */
static void take_ending_line(gpointer user, const char *line, gsize bytes)
{
    json_t **ending = user;
    if (!g_strstr_len(line, (gssize)bytes, "\"ended\""))
        return;
    json_t *event = json_loadb(line, bytes, JSON_REJECT_DUPLICATES, NULL);
    if (g_strcmp0(json_string_value(json_object_get(event, "event")), "ended") == 0) {
        json_decref(*ending);
        *ending = json_incref(event);
    }
    json_decref(event);
}

json_t *recorded_ending_read(const char *capture)
{
    json_t *ending = NULL;
    EventLines lines;
    event_lines_init(&lines, take_ending_line, &ending);
    read_file(capture, job_capture_parts(capture), &lines);
    event_lines_clear(&lines);
    return ending;
}
