/* The way of the assembled files to the customer's folder. */
#include "deliver.h"

#include "capture_folder.h"

#include "steno/base/error.h"
#include "steno/storage.h"

#include <glib/gstdio.h>
#include <string.h>

#define MANIFEST "manifest.json"

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

static gboolean is_listed(const json_t *outputs, const char *name)
{
    size_t i;
    const json_t *output;
    json_array_foreach (outputs, i, output) {
        if (g_strcmp0(json_string_value(json_object_get(output, "file")), name) == 0)
            return TRUE;
    }
    return FALSE;
}

/* Assembled anew in another way, a recording has other files: those that the old manifest alone knows are gone with it.
 */
static void remove_outdated(const char *folder, const json_t *old_outputs, const json_t *new_outputs)
{
    size_t i;
    const json_t *output;
    if (!json_is_array(new_outputs))
        return;
    json_array_foreach (old_outputs, i, output) {
        const char *name = json_string_value(json_object_get(output, "file"));
        if (!name || strchr(name, '/') || name[0] == '.' || is_listed(new_outputs, name))
            continue;
        g_autofree char *outdated = g_build_filename(folder, name, NULL);
        (void)g_unlink(outdated);
    }
}

/* ---- delivering -------------------------------------------------------------------------------------------------- */

static gboolean deliver_all(const char *assembled, const char *root, const char *key, GCancellable *cancellable,
                            GError **error)
{
    g_autoptr(GError) why = NULL;
    g_autoptr(GDir) dir = g_dir_open(assembled, 0, &why);
    if (!dir) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_STORAGE_FAILED, "cannot read '%s': %s", assembled, why->message);
        return FALSE;
    }
    const char *name;
    while ((name = g_dir_read_name(dir))) {
        if (g_cancellable_set_error_if_cancelled(cancellable, error))
            return FALSE;
        if (strcmp(name, MANIFEST) != 0 && !deliver_file(assembled, root, key, name, error))
            return FALSE;
    }
    /* Last: where the manifest is, everything is. */
    return deliver_file(assembled, root, key, MANIFEST, error);
}

gboolean job_deliver(const char *capture, const char *assembled, const char *root, GCancellable *cancellable,
                     char **folder, GError **error)
{
    g_autofree char *key = job_capture_key(capture, error);
    if (!key)
        return FALSE;
    g_autofree char *target = g_build_filename(root, key, NULL);
    json_t *old_outputs = outputs_of(target), *new_outputs = outputs_of(assembled);
    gboolean delivered = deliver_all(assembled, root, key, cancellable, error);
    if (delivered) {
        remove_outdated(target, old_outputs, new_outputs);
        *folder = g_steal_pointer(&target);
    }
    json_decref(old_outputs);
    json_decref(new_outputs);
    return delivered;
}
