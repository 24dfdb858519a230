/* The way of an assembly's files to one storage. */
#include "deliver.h"

#include "capture_folder.h"

#include "steno/base/error.h"
#include "steno/proof.h"

#include <string.h>
#include <sys/stat.h>

/* A manifest of an earlier assembly that is larger tells nothing: hours of a hundred participants fit. */
#define OLD_MANIFEST_MAX_BYTES (64 * 1024 * 1024)

static char *key_of(const char *folder, const char *name)
{
    return g_strdup_printf("%s/%s", folder, name);
}

/* ---- files of an earlier assembly -------------------------------------------------------------------------------- */

/* The manifest that is there now; NULL without an error when there is none, or it is the same one. */
static gboolean read_old(const DeliverConfig *config, json_t **old, GError **error)
{
    const ShipmentFile *manifest = shipment_manifest(config->shipment);
    g_autofree char *key = key_of(config->folder, manifest->name);
    g_autoptr(GError) why = NULL;
    g_autoptr(GBytes) bytes = steno_store_read(config->store, key, OLD_MANIFEST_MAX_BYTES, config->cancellable, &why);
    *old = NULL;
    if (!bytes) {
        if (g_error_matches(why, STENO_ERROR, STENO_ERROR_NOT_FOUND) ||
            g_error_matches(why, STENO_ERROR, STENO_ERROR_STORAGE_FAILED))
            return TRUE;
        g_propagate_error(error, g_steal_pointer(&why));
        return FALSE;
    }
    g_autofree char *sha256 = g_compute_checksum_for_bytes(G_CHECKSUM_SHA256, bytes);
    if (strcmp(sha256, manifest->sha256) != 0)
        *old = json_loadb(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes), JSON_REJECT_DUPLICATES, NULL);
    return TRUE;
}

/* A signature of another manifest must not lie beside this one, which has none. */
static void remove_proof(const DeliverConfig *config, const char *suffix)
{
    g_autofree char *name = g_strconcat(config->shipment->manifest_name, suffix, NULL);
    g_autofree char *key = key_of(config->folder, name);
    if (!shipment_has(config->shipment, name))
        (void)steno_store_remove(config->store, key, FALSE, config->cancellable, NULL);
}

/* Assembled anew in another way, a recording has other files: those that the old manifest alone knows are gone with it.
 */
static void remove_outdated(const DeliverConfig *config, const json_t *old)
{
    size_t i;
    const json_t *output;
    json_array_foreach (json_object_get(old, "outputs"), i, output) {
        const char *name = json_string_value(json_object_get(output, "file"));
        if (!shipment_is_name(name) || g_hash_table_contains(config->shipment->names, name))
            continue;
        g_autofree char *key = key_of(config->folder, name);
        (void)steno_store_remove(config->store, key, FALSE, config->cancellable, NULL);
    }
}

/* ---- delivering -------------------------------------------------------------------------------------------------- */

typedef struct {
    const DeliverConfig *config;
    gint64 done_bytes; /* of the files before this one */
} Way;

static void on_progress(gpointer user, gint64 bytes, const GError *trouble)
{
    const Way *way = user;
    if (way->config->progress)
        way->config->progress(way->config->user, way->done_bytes + bytes, trouble);
}

/* A source that cannot be looked at is the local disk's fault, which no storage will heal. */
static gboolean check_source(const char *path, const ShipmentFile *file, GError **error)
{
    struct stat status;
    if (lstat(path, &status) == 0 && S_ISREG(status.st_mode) && status.st_size == file->bytes)
        return TRUE;
    g_set_error(error, STENO_ERROR, STENO_ERROR_SOURCE_DAMAGED, "storing '%s': it is not what was assembled", path);
    return FALSE;
}

static gboolean put(Way *way, const ShipmentFile *file, const char *memo_folder, GError **error)
{
    const DeliverConfig *config = way->config;
    g_autofree char *source = g_build_filename(config->shipment->folder, file->name, NULL);
    g_autofree char *key = key_of(config->folder, file->name);
    const StenoPut what = {
        .source = source,
        .key = key,
        .bytes = file->bytes,
        .sha256_hex = file->sha256,
        /* Assembling again may make other files of the same recording: those are replaced, by themselves only. */
        .replace = TRUE,
        .memo_folder = memo_folder,
        .cancellable = config->cancellable,
        .progress = on_progress,
        .user = way,
    };
    if (!check_source(source, file, error) || !steno_store_put(config->store, &what, error))
        return FALSE;
    way->done_bytes += file->bytes;
    on_progress(way, 0, NULL);
    return TRUE;
}

gboolean job_deliver(const DeliverConfig *config, GError **error)
{
    const Shipment *shipment = config->shipment;
    Way way = {.config = config};
    json_t *old = NULL;
    g_autofree char *memo_folder = job_capture_memo_folder(config->capture, steno_store_name(config->store));
    if (!read_old(config, &old, error))
        return FALSE;
    gboolean delivered = TRUE;
    /* The manifest is the last one: where it is, everything is. */
    for (guint i = 0; i < shipment->files->len && delivered; i++) {
        if (i == shipment->files->len - 1 && old) {
            remove_proof(config, STENO_PROOF_TIMESTAMP_SUFFIX);
            remove_proof(config, STENO_PROOF_SIGNATURE_SUFFIX);
        }
        delivered = put(&way, shipment->files->pdata[i], memo_folder, error);
    }
    if (delivered)
        remove_outdated(config, old);
    json_decref(old);
    return delivered;
}

/* ---- undoing ----------------------------------------------------------------------------------------------------- */

static gboolean remove_one(StenoStore *store, const char *folder, const char *name, GCancellable *cancellable,
                           GError **error)
{
    g_autofree char *key = key_of(folder, name);
    g_autoptr(GError) why = NULL;
    if (steno_store_remove(store, key, FALSE, cancellable, &why) ||
        g_error_matches(why, STENO_ERROR, STENO_ERROR_NOT_FOUND))
        return TRUE;
    if (error && !*error)
        g_propagate_error(error, g_steal_pointer(&why));
    return FALSE;
}

gboolean job_deliver_undo(StenoStore *store, const char *folder, guint section, const json_t *manifest,
                          GCancellable *cancellable, GError **error)
{
    static const char *const suffixes[] = {STENO_PROOF_SIGNATURE_SUFFIX, STENO_PROOF_TIMESTAMP_SUFFIX, ""};
    g_autofree char *manifest_name = shipment_manifest_name(section);
    g_autoptr(GError) first = NULL;
    size_t i;
    const json_t *output;
    json_array_foreach (json_object_get(manifest, "outputs"), i, output) {
        const char *name = json_string_value(json_object_get(output, "file"));
        if (shipment_is_name(name) && !g_cancellable_is_cancelled(cancellable))
            (void)remove_one(store, folder, name, cancellable, &first);
    }
    /* The manifest last: as long as it is there, it tells what else may be. */
    for (i = 0; i < G_N_ELEMENTS(suffixes) && !first; i++) {
        g_autofree char *name = g_strconcat(manifest_name, suffixes[i], NULL);
        (void)remove_one(store, folder, name, cancellable, &first);
    }
    if (first)
        g_propagate_error(error, g_steal_pointer(&first));
    return !first;
}
