#include "retention_delete.h"

#include "steno/base/error.h"
#include "steno/base/safe_name.h"

#include <string.h>

#define MANIFEST "manifest.json"
#define SHA256_HEX_CHARACTERS 64

static gboolean refuse(GError **error, StenoError code, const char *format, ...) G_GNUC_PRINTF(3, 4);
static gboolean refuse(GError **error, StenoError code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *message = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    g_set_error_literal(error, STENO_ERROR, code, message);
    return FALSE;
}

/* ---- the place --------------------------------------------------------------------------------------------------- */

/* The part of `path` below `root`, or NULL. */
static const char *below(const char *path, const char *root)
{
    gsize bytes = strlen(root);
    while (bytes > 1 && root[bytes - 1] == '/')
        bytes--;
    if (strncmp(path, root, bytes) != 0 || path[bytes] != '/')
        return NULL;
    return path + bytes + 1;
}

/* <app>/<channel>/<utc>_<id>: three names, none of which leads elsewhere. */
static gboolean is_recording_key(const char *key, const char *app, const char *id)
{
    g_auto(GStrv) parts = g_strsplit(key, "/", -1);
    g_autofree char *safe_id = steno_safe_name(id);
    g_autofree char *ending = g_strconcat("_", safe_id, NULL);
    if (g_strv_length(parts) != 3 || strcmp(parts[0], app) != 0 || !g_str_has_suffix(parts[2], ending))
        return FALSE;
    for (guint i = 0; parts[i]; i++)
        if (!parts[i][0] || strcmp(parts[i], ".") == 0 || strcmp(parts[i], "..") == 0)
            return FALSE;
    return TRUE;
}

RetentionPlace *retention_place_new(const StenoSink *sink, const char *storage, const char *root, const char *app,
                                    const char *id, const char *uri, GError **error)
{
    g_autofree char *path = uri ? g_filename_from_uri(uri, NULL, NULL) : NULL;
    const char *key = path ? below(path, root) : NULL;
    if (!key || !is_recording_key(key, app, id)) {
        refuse(error, STENO_ERROR_VERIFY_FAILED,
               "%s is not the folder of recording %s in the storage %s (%s/%s/CHANNEL/TIME_%s); nothing is deleted",
               uri ? uri : "(no place)", id, storage, root, app, id);
        return NULL;
    }
    RetentionPlace *place = g_new0(RetentionPlace, 1);
    place->sink = sink;
    place->storage = g_strdup(storage);
    place->root = g_strdup(root);
    place->key = g_strdup(key);
    return place;
}

void retention_place_free(RetentionPlace *place)
{
    if (!place)
        return;
    g_free(place->storage);
    g_free(place->root);
    g_free(place->key);
    json_decref(place->files);
    g_free(place);
}

/* ---- verifying --------------------------------------------------------------------------------------------------- */

static json_t *read_manifest(const RetentionPlace *place, const char *id, GError **error)
{
    g_autofree char *key = g_strconcat(place->key, "/" MANIFEST, NULL);
    g_autoptr(GError) why = NULL;
    g_autoptr(GBytes) bytes = place->sink->read(place->root, key, RETENTION_MANIFEST_MAX_BYTES, &why);
    if (!bytes) {
        gboolean missing = g_error_matches(why, STENO_ERROR, STENO_ERROR_NOT_FOUND);
        refuse(error, missing ? STENO_ERROR_VERIFY_FAILED : (StenoError)why->code, "%s%s", why->message,
               missing ? ", without which no file can be proven (is the storage mounted?)" : "");
        return NULL;
    }
    gsize size;
    const char *text = g_bytes_get_data(bytes, &size);
    json_t *manifest = json_loadb(text, size, JSON_REJECT_DUPLICATES, NULL);
    const char *its_id = json_string_value(json_object_get(json_object_get(manifest, "recording"), "id"));
    if (its_id && strcmp(its_id, id) == 0 && json_is_array(json_object_get(manifest, "outputs")))
        return manifest;
    json_decref(manifest);
    refuse(error, STENO_ERROR_VERIFY_FAILED, "%s in %s is not the manifest of recording %s", key, place->root, id);
    return NULL;
}

static gboolean is_file_name(const char *name)
{
    return name && name[0] && name[0] != '.' && !strchr(name, '/') && strcmp(name, MANIFEST) != 0;
}

/* Adds an output of the manifest to place->files, when it is there and is what it should be. */
static gboolean verify_output(RetentionPlace *place, const json_t *output, GError **error)
{
    const char *name = json_string_value(json_object_get(output, "file"));
    const char *sha256 = json_string_value(json_object_get(output, "sha256"));
    const json_t *bytes = json_object_get(output, "size_bytes");
    if (!is_file_name(name) || !sha256 || strlen(sha256) != SHA256_HEX_CHARACTERS || !json_is_integer(bytes))
        return refuse(error, STENO_ERROR_VERIFY_FAILED, "the manifest in %s/%s names an impossible file", place->root,
                      place->key);
    g_autofree char *key = g_strdup_printf("%s/%s", place->key, name);
    g_autoptr(GError) why = NULL;
    if (place->sink->verify(place->root, key, json_integer_value(bytes), sha256, &why)) {
        json_array_append_new(place->files, json_pack("{s:s, s:I, s:s}", "name", name, "bytes",
                                                      json_integer_value(bytes), "sha256", sha256));
        return TRUE;
    }
    if (g_error_matches(why, STENO_ERROR, STENO_ERROR_NOT_FOUND))
        return TRUE;
    g_propagate_error(error, g_steal_pointer(&why));
    return FALSE;
}

static gboolean is_stopped(const gint *stop, GError **error)
{
    if (g_atomic_int_get(stop))
        refuse(error, STENO_ERROR_INTERRUPTED, "stenod is being stopped");
    return g_atomic_int_get(stop) != 0;
}

gboolean retention_place_verify(RetentionPlace *place, const char *id, const gint *stop, GError **error)
{
    json_t *manifest = read_manifest(place, id, error);
    if (!manifest)
        return FALSE;
    json_decref(place->files);
    place->files = json_array();
    gboolean good = TRUE;
    size_t i;
    const json_t *output;
    json_array_foreach (json_object_get(manifest, "outputs"), i, output) {
        good = !is_stopped(stop, error) && verify_output(place, output, error);
        if (!good)
            break;
    }
    json_decref(manifest);
    return good;
}

/* ---- removing ---------------------------------------------------------------------------------------------------- */

gboolean retention_place_remove(const RetentionPlace *place, const gint *stop, GError **error)
{
    size_t i;
    const json_t *file;
    json_array_foreach (place->files, i, file) {
        g_autofree char *key = g_strdup_printf("%s/%s", place->key, json_string_value(json_object_get(file, "name")));
        g_autoptr(GError) why = NULL;
        if (is_stopped(stop, error))
            return FALSE;
        if (place->sink->remove(place->root, key, FALSE, &why) ||
            g_error_matches(why, STENO_ERROR, STENO_ERROR_NOT_FOUND))
            continue;
        g_propagate_error(error, g_steal_pointer(&why));
        return FALSE;
    }
    return TRUE;
}
