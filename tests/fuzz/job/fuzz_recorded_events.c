/* events.jsonl of a capture, damaged in any way: what is read of it is in order, whole, and the same however it is cut.
 */
#include "recorded_events.h"

#include <glib/gstdio.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Longer inputs say nothing new, and take longer. */
#define INPUT_MAX_BYTES 2048

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

typedef struct {
    GChecksum *sum;
    guint lines;
} Seen;

static void take_line(gpointer user, const char *line, gsize bytes)
{
    Seen *seen = user;
    if (bytes == 0 || bytes > EVENT_LINE_MAX_BYTES || memchr(line, '\n', bytes))
        abort();
    g_checksum_update(seen->sum, (const guchar *)line, (gssize)bytes);
    g_checksum_update(seen->sum, (const guchar *)"\n", 1);
    seen->lines++;
}

/* What comes of the text when it is read in pieces of this size. Caller frees. */
static char *read_in_pieces(const uint8_t *data, size_t bytes, size_t step)
{
    Seen seen = {.sum = g_checksum_new(G_CHECKSUM_MD5)};
    EventLines lines;
    event_lines_init(&lines, take_line, &seen);
    for (size_t at = 0; at < bytes; at += step)
        event_lines_feed(&lines, (const char *)data + at, MIN(step, bytes - at));
    event_lines_clear(&lines);
    char *sum = g_strdup_printf("%u %s", seen.lines, g_checksum_get_string(seen.sum));
    g_checksum_free(seen.sum);
    return sum;
}

static void take_event(gpointer user, json_t *event)
{
    EventPosition *last = user, position;
    if (!json_is_string(json_object_get(event, "event")) || !event_position_of(event, &position) ||
        event_position_compare(position, *last) <= 0)
        abort();
    *last = position;
}

static const char *capture_of(const uint8_t *data, size_t bytes)
{
    static char *folder, *path;
    if (!folder) {
        folder = g_dir_make_tmp("steno-fuzz-XXXXXX", NULL);
        g_autofree char *part = g_build_filename(folder, "part-0003", NULL);
        path = g_build_filename(part, "events.jsonl", NULL);
        if (g_mkdir(part, 0700) != 0)
            abort();
    }
    FILE *file = fopen(path, "w");
    if (!file || fwrite(data, 1, bytes, file) != bytes || fclose(file) != 0)
        abort();
    return folder;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    if (bytes < 2 || bytes > INPUT_MAX_BYTES)
        return -1;
    size_t step = data[0] % 64 + 1;
    guint known = data[1];
    data += 2;
    bytes -= 2;
    g_autofree char *whole = read_in_pieces(data, bytes, bytes ? bytes : 1);
    g_autofree char *pieces = read_in_pieces(data, bytes, step);
    if (strcmp(whole, pieces) != 0)
        abort();
    const char *capture = capture_of(data, bytes);
    EventPosition last = {3, known};
    recorded_events_read(capture, last, (EventPosition){0, 0}, take_event, &last);
    if (last.part != 3 || last.seq < known)
        abort();
    json_t *ending = recorded_ending_read(capture);
    if (ending && strcmp(json_string_value(json_object_get(ending, "event")), "ended") != 0)
        abort();
    json_decref(ending);
    return 0;
}
