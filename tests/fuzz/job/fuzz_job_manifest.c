/* A manifest, damaged or malicious: what is to be stored of it are plain names beside it, of the size that it tells. */
#include "recovery.h"
#include "shipment.h"

#include <glib/gstdio.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Longer inputs say nothing new, and take longer. */
#define INPUT_MAX_BYTES 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static const char *folder_with(const uint8_t *data, size_t bytes)
{
    static char *folder;
    if (!folder) {
        folder = g_dir_make_tmp("steno-fuzz-XXXXXX", NULL);
        g_autofree char *media = g_build_filename(folder, "alice.webm", NULL);
        g_autofree char *secret = g_build_filename(folder, ".hidden", NULL);
        if (!g_file_set_contents(media, "media", 5, NULL) || !g_file_set_contents(secret, "media", 5, NULL))
            abort();
    }
    g_autofree char *path = g_build_filename(folder, "manifest.json", NULL);
    FILE *file = fopen(path, "w");
    if (!file || fwrite(data, 1, bytes, file) != bytes || fclose(file) != 0)
        abort();
    return folder;
}

static void check(const Shipment *shipment, size_t bytes)
{
    gint64 sum = 0;
    for (guint i = 0; i < shipment->files->len; i++) {
        const ShipmentFile *file = shipment->files->pdata[i];
        if (!shipment_is_name(file->name) || strlen(file->sha256) != STENO_STORAGE_SHA256_HEX_BYTES - 1)
            abort();
        sum += file->bytes;
    }
    if (sum != shipment->bytes || strcmp(shipment_manifest(shipment)->name, "manifest.json") != 0 ||
        shipment_manifest(shipment)->bytes != (gint64)bytes)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    if (bytes > INPUT_MAX_BYTES)
        return -1;
    g_autoptr(GError) error = NULL;
    g_autoptr(Shipment) shipment = shipment_load(folder_with(data, bytes), 0, NULL, FALSE, FALSE, &error);
    if ((shipment == NULL) != (error != NULL))
        abort();
    if (shipment)
        check(shipment, bytes);
    Recovery recovery = {0};
    json_t *manifest = json_loadb((const char *)data, bytes, JSON_REJECT_DUPLICATES, NULL);
    recovery_take_manifest(manifest, FALSE, &recovery);
    recovery_clear(&recovery);
    json_decref(manifest);
    return 0;
}
