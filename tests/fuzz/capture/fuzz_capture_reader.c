/* A track file of any bytes: the reader gives frames that lie within its bounds, and comes to an end. */
#include "steno/capture.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    g_autoptr(StenoCaptureReader) reader = steno_capture_reader_open_memory(data, bytes, NULL);
    StenoCaptureFrame frame;
    gsize total = 0, parameters_bytes;
    guint8 sum = 0;
    if (!reader)
        return 0;
    const guint8 *parameters = steno_capture_reader_parameters(reader, &parameters_bytes);
    for (gsize i = 0; i < parameters_bytes; i++)
        sum ^= parameters[i];
    while (steno_capture_reader_next(reader, &frame)) {
        for (gsize i = 0; i < frame.payload_bytes; i++)
            sum ^= frame.payload[i];
        total += frame.payload_bytes;
    }
    /* Used, so that the loops that touch every byte stay. */
    (void)*(volatile guint8 *)&sum;
    if (total + steno_capture_reader_skipped(reader) > bytes)
        abort();
    return 0;
}
