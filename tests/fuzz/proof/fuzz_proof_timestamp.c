/* An authority's answer of any bytes: it is told why it is no stamp of ours, and none is taken that was not seen made.
 */
#include "steno/base/error.h"
#include "steno/proof.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    /* What the stamp in the corpus is of; the others are not. */
    static const guint8 stamped[] = "steno\n";
    gint64 stamped_us = G_MININT64;
    g_autoptr(GError) error = NULL;
    gboolean good = steno_timestamp_verify(NULL, stamped, sizeof stamped - 1, data, bytes, &stamped_us, &error);
    if (good == !!error || good != (stamped_us != G_MININT64))
        abort();
    if (error && (error->domain != STENO_ERROR || error->code != STENO_ERROR_SIGNATURE ||
                  !g_utf8_validate(error->message, -1, NULL)))
        abort();
    return 0;
}
