#include "shipment.h"

#include "steno/base/error.h"
#include "steno/proof.h"

#include <string.h>
#include <sys/stat.h>

char *shipment_manifest_name(guint section)
{
    return section ? g_strdup_printf("manifest.%03u.json", section) : g_strdup("manifest.json");
}

gboolean shipment_is_name(const char *name)
{
    return name && name[0] && name[0] != '.' && !strchr(name, '/');
}

static void file_free(gpointer data)
{
    ShipmentFile *file = data;
    g_free(file->name);
    g_free(file);
}

static void shipment_clear(gpointer data)
{
    Shipment *shipment = data;
    g_free(shipment->folder);
    g_free(shipment->manifest_name);
    g_ptr_array_unref(shipment->files);
    g_hash_table_unref(shipment->names);
    json_decref(shipment->manifest);
}

Shipment *shipment_ref(Shipment *shipment)
{
    return g_atomic_rc_box_acquire(shipment);
}

void shipment_unref(Shipment *shipment)
{
    if (shipment)
        g_atomic_rc_box_release_full(shipment, shipment_clear);
}

const ShipmentFile *shipment_manifest(const Shipment *shipment)
{
    return shipment->files->pdata[shipment->files->len - 1];
}

gboolean shipment_has(const Shipment *shipment, const char *name)
{
    for (guint i = 0; i < shipment->files->len; i++) {
        const ShipmentFile *file = shipment->files->pdata[i];
        if (strcmp(file->name, name) == 0)
            return TRUE;
    }
    return FALSE;
}

/* ---- making ------------------------------------------------------------------------------------------------------ */

static gboolean damaged(GError **error, const char *folder, const char *name, const char *words)
{
    g_set_error(error, STENO_ERROR, STENO_ERROR_SOURCE_DAMAGED, "'%s' in '%s' %s: it is assembled again", name, folder,
                words);
    return FALSE;
}

static void add(Shipment *shipment, const char *name, gint64 bytes, const char *sha256)
{
    ShipmentFile *file = g_new0(ShipmentFile, 1);
    file->name = g_strdup(name);
    file->bytes = bytes;
    g_strlcpy(file->sha256, sha256, sizeof file->sha256);
    shipment->bytes += bytes;
    g_ptr_array_add(shipment->files, file);
}

static gboolean add_output(Shipment *shipment, const json_t *output, GHashTable *stored, GError **error)
{
    const char *name = json_string_value(json_object_get(output, "file"));
    const char *sha256 = json_string_value(json_object_get(output, "sha256"));
    const json_t *size = json_object_get(output, "size_bytes");
    if (!shipment_is_name(name) || !sha256 || strlen(sha256) + 1 != STENO_STORAGE_SHA256_HEX_BYTES ||
        !json_is_integer(size))
        return damaged(error, shipment->folder, shipment->manifest_name, "lists something that is no file");
    g_autofree char *path = g_build_filename(shipment->folder, name, NULL);
    struct stat status;
    g_hash_table_add(shipment->names, g_strdup(name));
    if (lstat(path, &status) != 0)
        return (stored && g_hash_table_contains(stored, name)) ||
               damaged(error, shipment->folder, name, "is not there any more");
    if (!S_ISREG(status.st_mode) || status.st_size != json_integer_value(size))
        return damaged(error, shipment->folder, name, "has not the size that its manifest tells");
    add(shipment, name, status.st_size, sha256);
    return TRUE;
}

/* Small, and made by ourselves just now: it is what it is. */
static gboolean add_proof(Shipment *shipment, const char *suffix, GError **error)
{
    g_autofree char *name = g_strconcat(shipment->manifest_name, suffix, NULL);
    g_autofree char *path = g_build_filename(shipment->folder, name, NULL);
    char sha256[STENO_STORAGE_SHA256_HEX_BYTES];
    gint64 bytes;
    if (!steno_storage_digest(path, sha256, &bytes, error))
        return FALSE;
    add(shipment, name, bytes, sha256);
    return TRUE;
}

static gboolean add_all(Shipment *shipment, const char *text, gsize bytes, GHashTable *stored, gboolean sealed,
                        gboolean stamped, GError **error)
{
    const json_t *outputs = json_object_get(shipment->manifest, "outputs");
    const json_t *output;
    size_t i;
    if (!json_is_array(outputs))
        return damaged(error, shipment->folder, shipment->manifest_name, "is no manifest");
    json_array_foreach (outputs, i, output) {
        if (!add_output(shipment, output, stored, error))
            return FALSE;
    }
    if ((stamped && !add_proof(shipment, STENO_PROOF_TIMESTAMP_SUFFIX, error)) ||
        (sealed && !add_proof(shipment, STENO_PROOF_SIGNATURE_SUFFIX, error)))
        return FALSE;
    g_autofree char *sha256 = g_compute_checksum_for_data(G_CHECKSUM_SHA256, (const guchar *)text, bytes);
    add(shipment, shipment->manifest_name, (gint64)bytes, sha256);
    return TRUE;
}

Shipment *shipment_load(const char *folder, guint section, GHashTable *stored, gboolean sealed, gboolean stamped,
                        GError **error)
{
    g_autoptr(Shipment) shipment = g_atomic_rc_box_new0(Shipment);
    shipment->folder = g_strdup(folder);
    shipment->manifest_name = shipment_manifest_name(section);
    shipment->files = g_ptr_array_new_with_free_func(file_free);
    shipment->names = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_autofree char *path = g_build_filename(folder, shipment->manifest_name, NULL), *text = NULL;
    gsize bytes;
    if (!g_file_get_contents(path, &text, &bytes, NULL)) {
        (void)damaged(error, folder, shipment->manifest_name, "is not there any more");
        return NULL;
    }
    shipment->manifest = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, NULL);
    if (!add_all(shipment, text, bytes, stored, sealed, stamped, error))
        return NULL;
    return g_steal_pointer(&shipment);
}
