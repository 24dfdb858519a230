/* Captures on disk, and the way of the assembled files to the customer's folder. */
#include "job_internal.h"

#include "steno/base/error.h"
#include "steno/storage.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <string.h>

#define MANIFEST "manifest.json"

static json_t *read_recording(const char *capture, GError **error)
{
    g_autofree char *path = g_build_filename(capture, "recording.json", NULL);
    json_error_t why;
    json_t *recording = json_load_file(path, JSON_REJECT_DUPLICATES, &why);
    if (!json_is_object(recording)) {
        json_decref(recording);
        g_set_error(error, STENO_ERROR, STENO_ERROR_CAPTURE_DAMAGED,
                    "'%s' is no capture: cannot read its recording.json (%s)", capture, why.text);
        return NULL;
    }
    return recording;
}

gint64 job_capture_zero(const char *capture)
{
    json_t *recording = read_recording(capture, NULL);
    gint64 zero_wall_us = json_integer_value(json_object_get(recording, "zero"));
    json_decref(recording);
    return zero_wall_us;
}

char *job_capture_setting(const char *capture, const char *name)
{
    json_t *recording = read_recording(capture, NULL);
    char *value = g_strdup(json_string_value(json_object_get(recording, name)));
    json_decref(recording);
    return value;
}

guint job_capture_parts(const char *capture)
{
    guint highest = 0;
    g_autoptr(GDir) dir = g_dir_open(capture, 0, NULL);
    const char *name;
    while (dir && (name = g_dir_read_name(dir))) {
        guint part;
        if (sscanf(name, "part-%u", &part) == 1)
            highest = MAX(highest, part);
    }
    return highest;
}

static char *recording_key(const char *capture, GError **error)
{
    json_t *recording = read_recording(capture, error);
    if (!recording)
        return NULL;
    const char *id = json_string_value(json_object_get(recording, "id"));
    const char *channel = json_string_value(json_object_get(recording, "channel"));
    gint64 zero_wall_us = json_integer_value(json_object_get(recording, "zero"));
    char *key = NULL;
    if (id && zero_wall_us > 0)
        key = steno_storage_recording_key(channel && channel[0] ? channel : "channel", zero_wall_us, id);
    else
        g_set_error(error, STENO_ERROR, STENO_ERROR_CAPTURE_DAMAGED, "the recording.json of '%s' lacks id or zero",
                    capture);
    json_decref(recording);
    return key;
}

static gboolean deliver_file(const char *assembled, const char *root, const char *key, const char *name, GError **error)
{
    g_autofree char *source = g_build_filename(assembled, name, NULL);
    g_autofree char *target = g_strdup_printf("%s/%s", key, name);
    /* Assembling again may make other files of the same recording: those are replaced, by themselves only. */
    return steno_sink_local.put(root, source, target, TRUE, error);
}

/* ---- files of an earlier assembly -------------------------------------------------------------------------------- */

static json_t *outputs_of(const char *folder)
{
    g_autofree char *path = g_build_filename(folder, MANIFEST, NULL);
    json_t *manifest = json_load_file(path, JSON_REJECT_DUPLICATES, NULL);
    json_t *outputs = json_incref(json_object_get(manifest, "outputs"));
    json_decref(manifest);
    return outputs;
}

/* Assembled anew in another way, a recording has other files: those that the old manifest alone knows are gone with it.
 */
static void remove_outdated(const char *folder, const char *assembled, const json_t *old_outputs)
{
    size_t i;
    const json_t *output;
    json_array_foreach (old_outputs, i, output) {
        const char *name = json_string_value(json_object_get(output, "file"));
        if (!name || strchr(name, '/') || name[0] == '.')
            continue;
        g_autofree char *made = g_build_filename(assembled, name, NULL);
        g_autofree char *outdated = g_build_filename(folder, name, NULL);
        if (!g_file_test(made, G_FILE_TEST_EXISTS))
            (void)g_unlink(outdated);
    }
}

/* ---- delivering -------------------------------------------------------------------------------------------------- */

static gboolean deliver_all(const char *assembled, const char *root, const char *key, GError **error)
{
    g_autoptr(GError) why = NULL;
    g_autoptr(GDir) dir = g_dir_open(assembled, 0, &why);
    if (!dir) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_STORAGE_FAILED, "cannot read '%s': %s", assembled, why->message);
        return FALSE;
    }
    const char *name;
    while ((name = g_dir_read_name(dir))) {
        if (strcmp(name, MANIFEST) != 0 && !deliver_file(assembled, root, key, name, error))
            return FALSE;
    }
    /* Last: where the manifest is, everything is. */
    return deliver_file(assembled, root, key, MANIFEST, error);
}

gboolean job_deliver(const char *capture, const char *assembled, const char *root, char **folder, GError **error)
{
    g_autofree char *key = recording_key(capture, error);
    if (!key)
        return FALSE;
    g_autofree char *target = g_build_filename(root, key, NULL);
    json_t *old_outputs = outputs_of(target);
    gboolean delivered = deliver_all(assembled, root, key, error);
    if (delivered) {
        remove_outdated(target, assembled, old_outputs);
        *folder = g_steal_pointer(&target);
    }
    json_decref(old_outputs);
    return delivered;
}

/* ---- removing ---------------------------------------------------------------------------------------------------- */

static gboolean is_capture_file(const char *name)
{
    return strcmp(name, "recording.json") == 0 || strcmp(name, "events.jsonl") == 0 || g_str_has_prefix(name, "track-");
}

static gboolean is_capture_folder(const char *name)
{
    return g_str_has_prefix(name, "part-") || strcmp(name, "out") == 0;
}

/* Removes the files of a folder, those that `lawful` knows, and the folder when it is empty then. */
static gboolean remove_folder(const char *path, gboolean everything, GError **error)
{
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    const char *name;
    while (dir && (name = g_dir_read_name(dir))) {
        g_autofree char *child = g_build_filename(path, name, NULL);
        gboolean is_folder = g_file_test(child, G_FILE_TEST_IS_DIR) && !g_file_test(child, G_FILE_TEST_IS_SYMLINK);
        if (is_folder && is_capture_folder(name)) {
            if (!remove_folder(child, strcmp(name, "out") == 0, error))
                return FALSE;
        } else if (!is_folder && (everything || is_capture_file(name)) && g_unlink(child) != 0) {
            return steno_error_set_errno(error, errno, "cannot remove '%s'", child);
        }
    }
    if (g_rmdir(path) != 0 && errno != ENOENT)
        return steno_error_set_errno(error, errno, "cannot remove the capture '%s'", path);
    return TRUE;
}

gboolean job_capture_remove(const char *capture, GError **error)
{
    return remove_folder(capture, FALSE, error);
}
