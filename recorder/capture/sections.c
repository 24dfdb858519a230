/* Sections: what lies between two rotations, as the parts' last lines and section-NNNN.json tell it. */
#include "steno/capture.h"

#include "files.h"

#include "steno/base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A longer last line is no "rotated". */
#define LAST_LINE_MAX_BYTES 4096
/* A rotation each five seconds for a year: what lies beyond is not ours. */
#define SECTIONS_MAX (365 * 24 * 720)

static gint compare_numbers(gconstpointer a, gconstpointer b)
{
    guint x = *(const guint *)a, y = *(const guint *)b;
    return (x > y) - (x < y);
}

/* "part-0001" of the format "part-%04u" is 1; 0: it is something else. */
static guint number_of(const char *name, const char *read_format, const char *write_format)
{
    guint number;
    if (sscanf(name, read_format, &number) != 1)
        return 0;
    char back[64];
    g_snprintf(back, sizeof back, write_format, number);
    return strcmp(back, name) == 0 ? number : 0;
}

static gboolean find_numbers(const char *capture, GArray *parts, GArray *stored, GError **error)
{
    g_autoptr(GError) cause = NULL;
    g_autoptr(GDir) dir = g_dir_open(capture, 0, &cause);
    if (!dir) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_CAPTURE_DAMAGED, "the capture cannot be opened: %s",
                    cause->message);
        return FALSE;
    }
    const char *name;
    while ((name = g_dir_read_name(dir))) {
        guint part = number_of(name, "part-%9u", "part-%04u");
        guint section = number_of(name, "section-%9u.json", "section-%04u.json");
        if (part)
            g_array_append_val(parts, part);
        if (section && section <= SECTIONS_MAX)
            g_array_append_val(stored, section);
    }
    g_array_sort(parts, compare_numbers);
    g_array_sort(stored, compare_numbers);
    return TRUE;
}

/* ---- what tells the seams ---------------------------------------------------------------------------------------- */

static gint64 get_integer(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

/* The zero, or 0 when recording.json cannot be read. */
static gint64 read_zero(const char *capture)
{
    g_autofree char *path = g_build_filename(capture, "recording.json", NULL);
    json_t *recording = json_load_file(path, 0, NULL);
    gint64 zero_wall_us = MAX(get_integer(recording, "zero"), 0);
    json_decref(recording);
    return zero_wall_us;
}

static gboolean read_stored(const char *capture, guint number, StenoCaptureSection *section, GError **error)
{
    g_autofree char *path = g_strdup_printf("%s/section-%04u.json", capture, number);
    json_error_t fault;
    json_t *json = json_load_file(path, JSON_REJECT_DUPLICATES, &fault);
    gint64 first = get_integer(json, "first_part"), last = get_integer(json, "last_part");
    *section = (StenoCaptureSection){
        .number = number,
        .first_part = (guint)CLAMP(first, 0, G_MAXINT),
        .last_part = (guint)CLAMP(last, 0, G_MAXINT),
        .begin_wall_us = get_integer(json, "begin"),
        .end_wall_us = get_integer(json, "seam"),
        .stored = TRUE,
    };
    gboolean lawful = get_integer(json, "section") == number && first >= 1 && last >= first && last <= G_MAXINT &&
                      section->begin_wall_us >= 0 && section->end_wall_us > section->begin_wall_us;
    if (!lawful)
        g_set_error(error, STENO_ERROR, STENO_ERROR_CAPTURE_DAMAGED, "%s is not what was written there%s%s", path,
                    json ? "" : ": ", json ? "" : fault.text);
    json_decref(json);
    return lawful;
}

/* The part's last line, when it is whole and short. Only the file's end is read. */
static char *read_last_line(const char *capture, guint part)
{
    g_autofree char *path = g_strdup_printf("%s/part-%04u/" EVENTS_FILE, capture, part);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return NULL;
    char tail[LAST_LINE_MAX_BYTES + 1];
    off_t end = lseek(fd, 0, SEEK_END);
    off_t from = MAX(end - LAST_LINE_MAX_BYTES, 0);
    ssize_t bytes = pread(fd, tail, LAST_LINE_MAX_BYTES, from);
    close(fd);
    if (bytes <= 0 || tail[bytes - 1] != '\n')
        return NULL; /* torn */
    tail[bytes - 1] = '\0';
    const char *line = memrchr(tail, '\n', (size_t)bytes - 1);
    if (!line && from > 0)
        return NULL;
    return g_strdup(line ? line + 1 : tail);
}

/* TRUE when the part is the last one of its section; else the numbers are left as they are. */
static gboolean read_rotated(const char *capture, guint part, guint *section, gint64 *seam_wall_us)
{
    g_autofree char *line = read_last_line(capture, part);
    json_t *event = line ? json_loads(line, 0, NULL) : NULL;
    gint64 number = get_integer(event, "section"), seam = get_integer(event, "seam");
    gboolean rotated = g_strcmp0(json_string_value(json_object_get(event, "event")), "rotated") == 0 && number >= 1 &&
                       number <= SECTIONS_MAX && seam > 0;
    json_decref(event);
    if (rotated) {
        *section = (guint)number;
        *seam_wall_us = seam;
    }
    return rotated;
}

/* ---- putting them together --------------------------------------------------------------------------------------- */

typedef struct {
    const char *capture;
    GArray *parts, *stored; /* numbers, sorted */
    guint part_at, stored_at;
} Scan;

static gboolean disorder(const Scan *scan, guint number, GError **error)
{
    g_set_error(error, STENO_ERROR, STENO_ERROR_CAPTURE_DAMAGED,
                "the capture %s does not tell where its section %u begins and ends", scan->capture, number);
    return FALSE;
}

static gboolean is_stored(const Scan *scan, guint number)
{
    return scan->stored_at < scan->stored->len && g_array_index(scan->stored, guint, scan->stored_at) == number;
}

/* Takes the parts up to the one that ends the section, or up to the last one. FALSE: there is none. */
static gboolean take_parts(Scan *scan, StenoCaptureSection *section, guint *told)
{
    gboolean rotated = FALSE;
    section->first_part = 0;
    while (scan->part_at < scan->parts->len && !rotated) {
        guint part = g_array_index(scan->parts, guint, scan->part_at++);
        if (part <= section->last_part)
            continue; /* of a section that is stored: not taken away yet */
        if (!section->first_part)
            section->first_part = part;
        section->last_part = part;
        rotated = read_rotated(scan->capture, part, told, &section->end_wall_us);
    }
    return section->first_part != 0;
}

/* The section after this one; FALSE without an error when there is none. */
static gboolean next_section(Scan *scan, StenoCaptureSection *section, GError **error)
{
    StenoCaptureSection before = *section;
    guint number = before.number + 1, told = number;
    *section =
        (StenoCaptureSection){.number = number, .last_part = before.last_part, .begin_wall_us = before.end_wall_us};
    if (is_stored(scan, number)) {
        scan->stored_at++;
        if (!read_stored(scan->capture, number, section, error))
            return FALSE;
        return section->first_part > before.last_part || disorder(scan, number, error);
    }
    if (!take_parts(scan, section, &told))
        return scan->stored_at < scan->stored->len ? disorder(scan, number, error) : FALSE;
    gboolean is_last = section->end_wall_us == 0;
    if (told != number ||
        (is_last ? scan->stored_at < scan->stored->len : section->end_wall_us < section->begin_wall_us))
        return disorder(scan, number, error);
    return TRUE;
}

GArray *steno_capture_sections(const char *capture, GError **error)
{
    g_autoptr(GArray) parts = g_array_new(FALSE, FALSE, sizeof(guint));
    g_autoptr(GArray) stored = g_array_new(FALSE, FALSE, sizeof(guint));
    g_autoptr(GArray) sections = g_array_new(FALSE, FALSE, sizeof(StenoCaptureSection));
    if (!find_numbers(capture, parts, stored, error))
        return NULL;
    Scan scan = {.capture = capture, .parts = parts, .stored = stored};
    StenoCaptureSection section = {.end_wall_us = read_zero(capture)};
    GError *fault = NULL;
    while (next_section(&scan, &section, &fault))
        g_array_append_val(sections, section);
    if (fault) {
        g_propagate_error(error, fault);
        return NULL;
    }
    return g_steal_pointer(&sections);
}

gboolean steno_capture_section_stored(const char *capture, const StenoCaptureSection *section, json_t *manifest,
                                      GError **error)
{
    json_t *json =
        json_pack("{s:i, s:i, s:i, s:I, s:I, s:o}", "section", (int)section->number, "first_part",
                  (int)section->first_part, "last_part", (int)section->last_part, "begin",
                  (json_int_t)section->begin_wall_us, "seam", (json_int_t)section->end_wall_us, "manifest", manifest);
    char *text = json_dumps(json, JSON_COMPACT);
    json_decref(json);
    int folder_fd = steno_files_open_folder(capture, FALSE, error);
    if (folder_fd < 0) {
        free(text);
        return FALSE;
    }
    char name[32];
    g_snprintf(name, sizeof name, "section-%04u.json", section->number);
    gboolean written = steno_files_replace(folder_fd, name, text, error);
    close(folder_fd);
    free(text);
    return written;
}
