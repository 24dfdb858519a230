/* manifest.json as anybody could have changed it; what is lawful is merged with itself, which must be lawful again. */
#include "manifest.h"

#include "steno/assemble.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void merge(const json_t *manifest)
{
    const StenoCaptureSection sections[] = {
        {.number = 1, .first_part = 1, .last_part = 1, .end_wall_us = 5, .stored = TRUE},
        {.number = 2, .first_part = 2, .last_part = 3, .begin_wall_us = 5},
    };
    g_autoptr(GArray) rows = g_array_new(FALSE, FALSE, sizeof(StenoCaptureSection));
    g_array_append_vals(rows, sections, G_N_ELEMENTS(sections));
    json_t *last = json_deep_copy(manifest), *stored = json_pack("[o]", json_deep_copy(manifest));
    manifest_merge(last, stored, rows, FALSE);
    if (!manifest_check(last, NULL))
        abort();
    json_decref(last);
    json_decref(stored);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    g_autoptr(GError) error = NULL;
    json_t *manifest = steno_manifest_parse((const char *)data, bytes, &error);
    if (!manifest == !error) /* exactly one of both */
        abort();
    if (manifest) {
        merge(manifest);
        (void)manifest_agrees(manifest, manifest, NULL);
    }
    json_decref(manifest);
    return 0;
}
