/* manifest.json as anybody could have changed it. */
#include "steno/assemble.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    g_autoptr(GError) error = NULL;
    json_t *manifest = steno_manifest_parse((const char *)data, bytes, &error);
    if (!manifest == !error) /* exactly one of both */
        abort();
    json_decref(manifest);
    return 0;
}
