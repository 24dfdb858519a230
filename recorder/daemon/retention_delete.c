#include "retention_delete.h"

#include "manifest_name.h"

#include "steno/base/error.h"
#include "steno/base/safe_name.h"

#include <string.h>

#define SHA256_HEX_CHARACTERS 64

/* ---- the place --------------------------------------------------------------------------------------------------- */

/* Has the name the recording's id in it, as a word of its own? */
static gboolean has_id(const char *name, const char *id)
{
    gsize bytes = strlen(id);
    for (const char *at = name; (at = strstr(at, id)) != NULL; at++)
        if ((at == name || !g_ascii_isalnum(at[-1])) && !g_ascii_isalnum(at[bytes]))
            return TRUE;
    return FALSE;
}

static gboolean is_recording_key(const char *key, const char *id)
{
    g_auto(GStrv) steps = g_strsplit(key, "/", -1);
    g_autofree char *safe_id = steno_safe_name(id);
    for (guint i = 0; steps[i]; i++)
        if (has_id(steps[i], safe_id))
            return TRUE;
    return FALSE;
}

RetentionPlace *retention_place_new(StenoStore *store, const char *id, const char *uri, gboolean complete,
                                    GError **error)
{
    g_autofree char *key = uri ? steno_store_key_of_uri(store, uri) : NULL;
    if (!key || !is_recording_key(key, id)) {
        g_autofree char *root = steno_store_uri(store, "");
        steno_error_set(error, STENO_ERROR_VERIFY_FAILED,
                        "%s is not the folder of recording %s in the storage %s (%s); nothing is deleted",
                        uri ? uri : "(no place)", id, steno_store_name(store), root);
        return NULL;
    }
    RetentionPlace *place = g_new0(RetentionPlace, 1);
    place->store = steno_store_ref(store);
    place->key = g_steal_pointer(&key);
    place->complete = complete;
    return place;
}

void retention_place_free(RetentionPlace *place)
{
    if (!place)
        return;
    steno_store_unref(place->store);
    g_free(place->key);
    json_decref(place->files);
    g_free(place);
}

/* ---- manifests --------------------------------------------------------------------------------------------------- */

static gboolean is_manifest_of(const json_t *manifest, const char *app, const char *id)
{
    const json_t *recording = json_object_get(manifest, "recording");
    const char *its_id = json_string_value(json_object_get(recording, "id"));
    const char *its_app = json_string_value(json_object_get(recording, "app"));
    return its_id && strcmp(its_id, id) == 0 && (!its_app || strcmp(its_app, app) == 0) &&
           json_is_array(json_object_get(manifest, "outputs"));
}

static json_t *read_manifest(const RetentionPlace *place, const char *app, const char *id, const char *key,
                             GCancellable *cancellable, GError **error)
{
    g_autoptr(GBytes) bytes = steno_store_read(place->store, key, RETENTION_MANIFEST_MAX_BYTES, cancellable, error);
    if (!bytes)
        return NULL;
    gsize size;
    const char *text = g_bytes_get_data(bytes, &size);
    json_t *manifest = json_loadb(text, size, JSON_REJECT_DUPLICATES, NULL);
    if (is_manifest_of(manifest, app, id))
        return manifest;
    json_decref(manifest);
    steno_error_set(error, STENO_ERROR_VERIFY_FAILED, "%s in storage %s is not the manifest of recording %s", key,
                    steno_store_name(place->store), id);
    return NULL;
}

typedef struct {
    gsize folder_bytes;
    GPtrArray *keys;
} Manifests;

static gboolean on_object(gpointer user, const char *key, gint64 bytes)
{
    Manifests *manifests = user;
    (void)bytes;
    if (manifest_name_is_section(key + manifests->folder_bytes))
        g_ptr_array_add(manifests->keys, g_strdup(key));
    return TRUE;
}

/* The keys of the manifests that tell what is there. NULL: an error. */
static GPtrArray *find_manifests(const RetentionPlace *place, GCancellable *cancellable, GError **error)
{
    g_autoptr(GPtrArray) keys = g_ptr_array_new_with_free_func(g_free);
    g_autofree char *whole = g_strconcat(place->key, "/" MANIFEST_NAME, NULL);
    g_autofree char *prefix = g_strconcat(place->key, "/manifest.", NULL);
    g_autoptr(GError) why = NULL;
    gint64 bytes, modified_us;
    Manifests manifests = {.folder_bytes = strlen(place->key) + 1, .keys = keys};
    if (steno_store_stat(place->store, whole, &bytes, &modified_us, cancellable, &why)) {
        g_ptr_array_add(keys, g_steal_pointer(&whole));
        return g_steal_pointer(&keys);
    }
    if (!g_error_matches(why, STENO_ERROR, STENO_ERROR_NOT_FOUND)) {
        g_propagate_error(error, g_steal_pointer(&why));
        return NULL;
    }
    if (!steno_store_list(place->store, prefix, on_object, &manifests, cancellable, error))
        return NULL;
    if (keys->len > 0 || !place->complete)
        return g_steal_pointer(&keys);
    steno_error_set(error, STENO_ERROR_VERIFY_FAILED,
                    "there is no %s in storage %s, without which no file can be proven (is the storage mounted?)",
                    whole, steno_store_name(place->store));
    return NULL;
}

/* ---- verifying --------------------------------------------------------------------------------------------------- */

/* Of media: what tells and proves what there was stays. */
static gboolean is_file_name(const char *name)
{
    return name && name[0] && name[0] != '.' && !strchr(name, '/') && !manifest_name_media_type(name);
}

/* Adds an output of the manifest to place->files, when it is there and is what it should be. */
static gboolean verify_output(RetentionPlace *place, const json_t *output, GCancellable *cancellable, GError **error)
{
    const char *name = json_string_value(json_object_get(output, "file"));
    const char *sha256 = json_string_value(json_object_get(output, "sha256"));
    const json_t *bytes = json_object_get(output, "size_bytes");
    if (!is_file_name(name) || !sha256 || strlen(sha256) != SHA256_HEX_CHARACTERS || !json_is_integer(bytes) ||
        json_integer_value(bytes) < 0)
        return steno_error_set(error, STENO_ERROR_VERIFY_FAILED,
                               "the manifest in %s of storage %s names an impossible file", place->key,
                               steno_store_name(place->store));
    g_autofree char *key = g_strdup_printf("%s/%s", place->key, name);
    g_autoptr(GError) why = NULL;
    /* Of a local file that is every byte of it. */
    if (steno_store_verify(place->store, key, json_integer_value(bytes), sha256, STENO_PROOF_STORED, cancellable,
                           &why)) {
        json_array_append_new(place->files, json_pack("{s:s, s:I, s:s}", "name", name, "bytes",
                                                      json_integer_value(bytes), "sha256", sha256));
        return TRUE;
    }
    if (g_error_matches(why, STENO_ERROR, STENO_ERROR_NOT_FOUND))
        return TRUE;
    g_propagate_error(error, g_steal_pointer(&why));
    return FALSE;
}

static gboolean verify_manifest(RetentionPlace *place, const char *app, const char *id, const char *key,
                                GCancellable *cancellable, GError **error)
{
    json_t *manifest = read_manifest(place, app, id, key, cancellable, error);
    gboolean good = manifest != NULL;
    size_t i;
    const json_t *output;
    json_array_foreach (json_object_get(manifest, "outputs"), i, output)
        good = good && verify_output(place, output, cancellable, error);
    json_decref(manifest);
    return good;
}

gboolean retention_place_verify(RetentionPlace *place, const char *app, const char *id, GCancellable *cancellable,
                                GError **error)
{
    g_autoptr(GPtrArray) keys = find_manifests(place, cancellable, error);
    if (!keys)
        return FALSE;
    json_decref(place->files);
    place->files = json_array();
    for (guint i = 0; i < keys->len; i++)
        if (!verify_manifest(place, app, id, g_ptr_array_index(keys, i), cancellable, error))
            return FALSE;
    return TRUE;
}

/* ---- removing ---------------------------------------------------------------------------------------------------- */

gboolean retention_place_remove(const RetentionPlace *place, GCancellable *cancellable, GError **error)
{
    size_t i;
    const json_t *file;
    json_array_foreach (place->files, i, file) {
        g_autofree char *key = g_strdup_printf("%s/%s", place->key, json_string_value(json_object_get(file, "name")));
        g_autoptr(GError) why = NULL;
        if (steno_store_remove(place->store, key, FALSE, cancellable, &why) ||
            g_error_matches(why, STENO_ERROR, STENO_ERROR_NOT_FOUND))
            continue;
        g_propagate_error(error, g_steal_pointer(&why));
        return FALSE;
    }
    return TRUE;
}
