#include "stores.h"

#include "steno/base/error.h"

#include <string.h>

#define MANIFEST_MAX_BYTES (64 * 1024 * 1024)

/* NULL without an error: it is not there, or another recording's. */
static json_t *read_manifest(StenoStore *store, const char *folder, const char *id, GCancellable *cancellable,
                             GError **error)
{
    g_autofree char *key = g_strconcat(folder, "/manifest.json", NULL);
    g_autoptr(GBytes) bytes = steno_store_read(store, key, MANIFEST_MAX_BYTES, cancellable, error);
    if (!bytes)
        return NULL;
    json_t *manifest = json_loadb(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes), JSON_REJECT_DUPLICATES, NULL);
    const char *told = json_string_value(json_object_get(json_object_get(manifest, "recording"), "id"));
    if (g_strcmp0(told, id) == 0)
        return manifest;
    json_decref(manifest);
    return NULL;
}

static gboolean look_at(StenoStore *store, const RecordingPlace *place, GCancellable *cancellable, StoresLook *look,
                        GError **error)
{
    const StenoStorePlace where = recording_place(place);
    g_autofree char *folder = place->started_wall_us > 0 ? steno_store_folder(store, &where)
                                                         : steno_store_find(store, &where, cancellable, error);
    look->manifest = folder ? read_manifest(store, folder, place->id, cancellable, error) : NULL;
    if (look->manifest)
        look->folder = g_steal_pointer(&folder);
    return look->manifest != NULL;
}

void stores_look(StenoStore *const *stores, guint n_stores, const RecordingPlace *place, GCancellable *cancellable,
                 StoresLook *look)
{
    *look = (StoresLook){.found = G_MAXUINT};
    for (guint i = 0; i < n_stores && look->found == G_MAXUINT; i++) {
        if (look_at(stores[i], place, cancellable, look, &look->errors[i]))
            look->found = i;
        else if (g_error_matches(look->errors[i], STENO_ERROR, STENO_ERROR_NOT_FOUND))
            g_clear_error(&look->errors[i]);
    }
}

gboolean stores_look_failed(const StoresLook *look)
{
    gboolean failed = FALSE;
    for (guint i = 0; i < G_N_ELEMENTS(look->errors); i++)
        failed |= look->errors[i] != NULL;
    return failed && look->found == G_MAXUINT;
}

void stores_look_clear(StoresLook *look)
{
    for (guint i = 0; i < G_N_ELEMENTS(look->errors); i++)
        g_clear_error(&look->errors[i]);
    g_clear_pointer(&look->manifest, json_decref);
    g_clear_pointer(&look->folder, g_free);
}
