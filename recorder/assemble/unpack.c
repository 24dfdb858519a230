/* Sealed outputs of a finished recording → a capture of them. */
#include "manifest.h"
#include "scratch.h"
#include "sealed.h"

#include "steno/assemble.h"
#include "steno/base/error.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    const char *folder, *capture;
    json_t *manifest;
    GArray *parts;  /* of guint: those of which something is sealed, in order */
    guint sections; /* that were told so far */
} Unpacking;

static json_t *read_manifest(const char *folder)
{
    g_autofree char *path = g_build_filename(folder, MANIFEST_FILE, NULL);
    g_autofree char *text = NULL;
    GStatBuf status;
    gsize bytes;
    if (g_stat(path, &status) != 0 || status.st_size > MANIFEST_MAX_BYTES ||
        !g_file_get_contents(path, &text, &bytes, NULL))
        return NULL;
    return steno_manifest_parse(text, bytes, NULL);
}

static gboolean damaged(const Unpacking *unpacking, const char *file, const char *words, GError **error)
{
    return steno_error_set(error, STENO_ERROR_CAPTURE_DAMAGED, "unpacking %s/%s: %s", unpacking->folder, file, words);
}

/* ---- recording.json ---------------------------------------------------------------------------------------------- */

static gboolean unpack_recording(const Unpacking *unpacking, const char *file, GError **error)
{
    g_autofree char *from = g_build_filename(unpacking->folder, file, NULL);
    g_autofree char *to = g_build_filename(unpacking->capture, "recording.json", NULL);
    if (g_file_test(to, G_FILE_TEST_EXISTS)) /* each section brings it */
        return TRUE;
    json_t *recording = json_load_file(from, 0, NULL);
    if (!json_is_object(recording)) {
        json_decref(recording);
        return damaged(unpacking, file, "is not what was written there", error);
    }
    json_object_set_new(recording, MODEL_PARTIAL, json_true());
    char *text = json_dumps(recording, JSON_INDENT(2) | JSON_SORT_KEYS);
    json_decref(recording);
    gboolean written = scratch_write(to, text, strlen(text), error);
    free(text);
    return written;
}

/* ---- events.jsonl ------------------------------------------------------------------------------------------------ */

/* Where the last line begins. */
static gsize last_line(const char *text, gsize bytes)
{
    gsize at = bytes > 0 ? bytes - 1 : 0;
    while (at > 0 && text[at - 1] != '\n')
        at--;
    return at;
}

/* The end of the last part that is there is the recording's. */
static json_t *end_of(const Unpacking *unpacking, const json_t *rotated)
{
    const json_t *recording = json_object_get(unpacking->manifest, "recording");
    return json_pack("{s:O, s:s, s:O, s:O}", "t", json_object_get(rotated, "t"), "event", "ended", "end_reason",
                     json_object_get(recording, "end_reason"), "error", json_object_get(recording, "error"));
}

/* What the part's last line becomes: sections are counted anew, since some may not be there. NULL: as it is. */
static json_t *new_last_line(Unpacking *unpacking, guint part, const char *line, gsize bytes)
{
    json_t *event = json_loadb(line, bytes, 0, NULL), *becomes = NULL;
    guint last_part = g_array_index(unpacking->parts, guint, unpacking->parts->len - 1);
    if (g_strcmp0(json_string_value(json_object_get(event, "event")), "rotated") == 0 &&
        json_is_integer(json_object_get(event, "t"))) {
        if (part == last_part) {
            becomes = end_of(unpacking, event);
        } else {
            becomes = json_incref(event);
            json_object_set_new(becomes, "section", json_integer(++unpacking->sections));
        }
    }
    json_decref(event);
    return becomes;
}

static gboolean unpack_events(Unpacking *unpacking, guint part, const char *file, GError **error)
{
    g_autofree char *from = g_build_filename(unpacking->folder, file, NULL);
    g_autofree char *to = g_strdup_printf("%s/part-%04u/events.jsonl", unpacking->capture, part);
    g_autofree char *text = NULL;
    gsize bytes = 0;
    g_autoptr(GError) cause = NULL;
    if (!g_file_get_contents(from, &text, &bytes, &cause))
        return damaged(unpacking, file, cause->message, error);
    gsize at = last_line(text, bytes);
    json_t *last = new_last_line(unpacking, part, text + at, bytes - at);
    if (!last)
        return scratch_write(to, text, bytes, error);
    char *line = json_dumps(last, JSON_COMPACT);
    json_decref(last);
    g_autoptr(GString) whole = g_string_new_len(text, (gssize)at);
    g_string_append_printf(whole, "%s\n", line);
    free(line);
    return scratch_write(to, whole->str, whole->len, error);
}

/* ---- the whole --------------------------------------------------------------------------------------------------- */

static SealedName name_of(const json_t *output)
{
    const json_t *section = json_object_get(output, "section");
    if (!manifest_is_sealed(output))
        return (SealedName){.kind = SEALED_NONE};
    return sealed_name_read(json_string_value(json_object_get(output, "file")), (guint)json_integer_value(section));
}

static gint compare_numbers(gconstpointer a, gconstpointer b)
{
    guint x = *(const guint *)a, y = *(const guint *)b;
    return (x > y) - (x < y);
}

static gboolean make_parts(Unpacking *unpacking, const json_t *outputs, GError **error)
{
    size_t i;
    const json_t *output;
    json_array_foreach (outputs, i, output) {
        SealedName name = name_of(output);
        g_autofree char *path = g_strdup_printf("%s/part-%04u", unpacking->capture, name.part);
        if (name.kind != SEALED_TRACK || g_file_test(path, G_FILE_TEST_EXISTS))
            continue;
        if (g_mkdir_with_parents(path, 0750) != 0)
            return steno_error_set_errno(error, errno, "making the folder %s", path);
        g_array_append_val(unpacking->parts, name.part);
    }
    g_array_sort(unpacking->parts, compare_numbers);
    return TRUE;
}

static gboolean unpack_track(const Unpacking *unpacking, const SealedName *name, const char *file, GError **error)
{
    g_autofree char *from = g_build_filename(unpacking->folder, file, NULL);
    g_autofree char *to =
        g_strdup_printf("%s/part-%04u/track-%04u.%u.mkv", unpacking->capture, name->part, name->track, name->number);
    return scratch_link(from, to, error);
}

static gboolean unpack_output(Unpacking *unpacking, const json_t *output, GError **error)
{
    const char *file = json_string_value(json_object_get(output, "file"));
    SealedName name = name_of(output);
    g_autofree char *part = g_strdup_printf("%s/part-%04u", unpacking->capture, name.part);
    switch (name.kind) {
    case SEALED_RECORDING:
        return unpack_recording(unpacking, file, error);
    case SEALED_EVENTS:
        return !g_file_test(part, G_FILE_TEST_EXISTS) || unpack_events(unpacking, name.part, file, error);
    case SEALED_TRACK:
        return unpack_track(unpacking, &name, file, error);
    default:
        return !manifest_is_sealed(output) || damaged(unpacking, file, "has a name that is not ours", error);
    }
}

static gboolean unpack(Unpacking *unpacking, GError **error)
{
    const json_t *outputs = json_object_get(unpacking->manifest, "outputs");
    size_t i;
    const json_t *output;
    if (!make_parts(unpacking, outputs, error))
        return FALSE;
    /* Sections are in order, and so are their parts: the manifest has them so. */
    json_array_foreach (outputs, i, output)
        if (!unpack_output(unpacking, output, error))
            return FALSE;
    return TRUE;
}

static gboolean has_sealed(const json_t *outputs)
{
    size_t i;
    const json_t *output;
    json_array_foreach (outputs, i, output)
        if (manifest_is_sealed(output))
            return TRUE;
    return FALSE;
}

gboolean steno_assemble_unpack_sealed(const char *folder, const char *capture, GError **error)
{
    json_t *manifest = read_manifest(folder);
    gboolean done = has_sealed(json_object_get(manifest, "outputs"));
    if (done) {
        g_autoptr(GArray) parts = g_array_new(FALSE, FALSE, sizeof(guint));
        Unpacking unpacking = {.folder = folder, .capture = capture, .manifest = manifest, .parts = parts};
        done = unpack(&unpacking, error);
        if (!done)
            scratch_remove(capture);
    }
    json_decref(manifest);
    return done;
}
