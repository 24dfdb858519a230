/* Manifests of sections, and how they become that of the whole recording. */
#include "manifest.h"

#include "steno/assemble.h"
#include "steno/base/error.h"

#include <string.h>

/* A part that begins by this much after the one before was rotated did not go on from it. */
#define SEAM_SLACK_US 1000000
/* Who is gone and back within this never left: the two lists were made at the same seam. */
#define PRESENT_SLACK_US 1000000

static gint64 integer(const json_t *row, const char *name)
{
    return json_integer_value(json_object_get(row, name));
}

static const char *string(const json_t *row, const char *name)
{
    return json_string_value(json_object_get(row, name));
}

static json_t *section_row(const StenoCaptureSection *section, gint64 begin_us, gboolean beside)
{
    g_autofree char *name = beside ? steno_manifest_name(section->number) : NULL;
    json_t *row = json_pack("{s:i, s:s?, s:i, s:i}", "number", (int)section->number, "manifest", name, "first_part",
                            (int)section->first_part, "last_part", (int)section->last_part);
    manifest_set_interval(row, begin_us, section->end_wall_us);
    return row;
}

void manifest_set_section(json_t *manifest, const StenoCaptureSection *section)
{
    json_t *recording = json_object_get(manifest, "recording");
    gint64 begin_us = section->begin_wall_us ? section->begin_wall_us : integer(recording, "zero_us");
    json_object_set_new(recording, "section", section_row(section, begin_us, TRUE));
    json_object_set_new(recording, "state", json_string("completed")); /* nobody needs to have said anything */
    if (section->end_wall_us > 0)
        json_object_set_new(recording, "end_reason", json_string("rotated"));
}

/* ---- merging ----------------------------------------------------------------------------------------------------- */

/* Puts all of `earlier` in front of the array. */
static void put_before(json_t *whole, const char *name, json_t *earlier)
{
    json_t *array = json_object_get(whole, name);
    json_array_extend(earlier, array);
    json_object_set(whole, name, earlier);
}

static json_t *collect(const json_t *stored, const char *within, const char *name)
{
    json_t *all = json_array();
    size_t i;
    json_t *manifest;
    json_array_foreach (stored, i, manifest) {
        const json_t *object = within ? json_object_get(manifest, within) : manifest;
        json_array_extend(all, json_object_get(object, name));
    }
    return all;
}

/* Who was there at the end of one section and at the beginning of the next was there all the time. */
static void merge_present(json_t *present, const json_t *later)
{
    size_t i;
    json_t *interval;
    json_array_foreach (later, i, interval) {
        json_t *last = json_array_get(present, json_array_size(present) - 1); /* of none: NULL */
        if (i == 0 && last && integer(last, "until_us") > 0 &&
            integer(interval, "from_us") <= integer(last, "until_us") + PRESENT_SLACK_US)
            manifest_set_interval(last, MIN(integer(last, "from_us"), integer(interval, "from_us")),
                                  MAX(integer(last, "until_us"), integer(interval, "until_us")));
        else
            json_array_append(present, interval);
    }
}

static void merge_participants(json_t *participants, json_t *by_id, const json_t *later)
{
    size_t i;
    json_t *row;
    json_array_foreach (later, i, row) {
        json_t *known = json_object_get(by_id, string(row, "id"));
        if (!known) {
            json_object_set(by_id, string(row, "id"), row);
            json_array_append(participants, row);
            continue;
        }
        if (*string(row, "name"))
            json_object_set(known, "name", json_object_get(row, "name"));
        merge_present(json_object_get(known, "present"), json_object_get(row, "present"));
        json_array_extend(json_object_get(known, "tracks"), json_object_get(row, "tracks"));
    }
}

static json_t *whole_participants(const json_t *last, const json_t *stored)
{
    json_t *participants = json_array(), *by_id = json_object();
    size_t i;
    json_t *manifest;
    json_array_foreach (stored, i, manifest)
        merge_participants(participants, by_id, json_object_get(manifest, "participants"));
    merge_participants(participants, by_id, json_object_get(last, "participants"));
    json_decref(by_id);
    return participants;
}

static gboolean ends_section(const GArray *sections, gint64 part)
{
    for (guint i = 0; i + 1 < sections->len; i++)
        if (g_array_index(sections, StenoCaptureSection, i).last_part == part)
            return TRUE;
    return FALSE;
}

/* A recorder that died while it rotated leaves a hole between two sections, which none of both knows. */
static void add_seam_gaps(json_t *gaps, const json_t *parts, const GArray *sections)
{
    for (size_t i = 1; i < json_array_size(parts); i++) {
        const json_t *before = json_array_get(parts, i - 1), *part = json_array_get(parts, i);
        gint64 from_us = integer(before, "until_us"), until_us = integer(part, "from_us");
        if (from_us > 0 && until_us > from_us + SEAM_SLACK_US && ends_section(sections, integer(before, "number")))
            json_array_append_new(
                gaps, manifest_gap((guint)integer(before, "number"), STENO_GAP_RECORDER, from_us, until_us));
    }
}

static void merge_recording(json_t *recording, const json_t *stored, const GArray *sections, const char *state)
{
    gint64 zero_us = integer(recording, "zero_us"), ended_us = integer(recording, "ended_us");
    size_t i;
    json_t *manifest, *rows = json_array();
    json_array_foreach (stored, i, manifest)
        ended_us = MAX(ended_us, integer(json_object_get(manifest, "recording"), "ended_us"));
    manifest_set_time(recording, "ended", ended_us);
    json_object_set_new(recording, "duration_us", json_integer(MAX(ended_us - zero_us, 0)));
    json_object_set_new(recording, "state", json_string(state));
    for (guint s = 0; s < sections->len; s++) {
        const StenoCaptureSection *section = &g_array_index(sections, StenoCaptureSection, s);
        gint64 begin_us = section->begin_wall_us ? section->begin_wall_us : zero_us;
        json_array_append_new(rows, section_row(section, begin_us, s < json_array_size(stored)));
    }
    json_object_set_new(recording, "sections", rows);
}

/* Some of the whole is sealed when some of a section is. */
static void merge_content(json_t *last, const json_t *stored)
{
    json_t *content = json_object_get(last, "content");
    size_t i;
    json_t *manifest;
    json_array_foreach (stored, i, manifest)
        if (json_is_object(content) && json_is_true(json_object_get(json_object_get(manifest, "content"), "sealed")))
            json_object_set_new(content, "sealed", json_true());
}

void manifest_merge(json_t *last, const json_t *stored, const GArray *sections, gboolean sealed_is_all)
{
    json_t *recording = json_object_get(last, "recording");
    json_t *participants = whole_participants(last, stored);
    json_object_set_new(last, "participants", participants);
    static const char *const arrays[] = {"tracks", "gaps", "outputs", "problems"};
    for (guint i = 0; i < G_N_ELEMENTS(arrays); i++) {
        json_t *all = collect(stored, NULL, arrays[i]);
        put_before(last, arrays[i], all);
        json_decref(all);
    }
    json_t *parts = collect(stored, "recording", "parts");
    put_before(recording, "parts", parts);
    json_decref(parts);
    add_seam_gaps(json_object_get(last, "gaps"), json_object_get(recording, "parts"), sections);
    merge_content(last, stored);
    merge_recording(recording, stored, sections, manifest_state(json_object_get(last, "outputs"), sealed_is_all));
}

/* ---- agreeing ---------------------------------------------------------------------------------------------------- */

/* Are all rows of `some` in `all`, in their order? */
static gboolean holds(const json_t *all, const json_t *some)
{
    size_t next = 0;
    for (size_t i = 0; i < json_array_size(all) && next < json_array_size(some); i++)
        next += json_equal(json_array_get(all, i), json_array_get(some, next)) != 0;
    return next == json_array_size(some);
}

static gboolean differs(const char *what, GError **error)
{
    g_set_error(error, STENO_ERROR, STENO_ERROR_VERIFY_FAILED, "tells other %s than " MANIFEST_FILE, what);
    return FALSE;
}

static guint count_outputs(const json_t *outputs, gint64 section)
{
    guint count = 0;
    size_t i;
    json_t *output;
    json_array_foreach (outputs, i, output)
        count += integer(output, "section") == section;
    return count;
}

gboolean manifest_agrees(const json_t *whole, const json_t *section, GError **error)
{
    const json_t *a = json_object_get(whole, "recording"), *b = json_object_get(section, "recording");
    static const char *const members[] = {"id", "platform", "channel", "app", "platform_name", "labels", "zero_us"};
    for (guint i = 0; i < G_N_ELEMENTS(members); i++)
        if (!json_equal(json_object_get(a, members[i]), json_object_get(b, members[i])))
            return differs(members[i], error);
    if (!holds(json_object_get(a, "parts"), json_object_get(b, "parts")))
        return differs("parts", error);
    static const char *const arrays[] = {"tracks", "gaps", "outputs", "problems"};
    for (guint i = 0; i < G_N_ELEMENTS(arrays); i++)
        if (!holds(json_object_get(whole, arrays[i]), json_object_get(section, arrays[i])))
            return differs(arrays[i], error);
    gint64 number = integer(json_object_get(b, "section"), "number");
    if (count_outputs(json_object_get(whole, "outputs"), number) !=
        json_array_size(json_object_get(section, "outputs")))
        return differs("outputs", error);
    return TRUE;
}
