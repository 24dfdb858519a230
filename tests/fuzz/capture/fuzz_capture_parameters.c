/* A FORMAT frame with any parameters: what comes back of them is the same when it goes in again. */
#include "parameters.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static GByteArray *there_and_back(StenoCodec codec, const guint8 *data, gsize bytes)
{
    StenoFrame frame = {.kind = STENO_FRAME_FORMAT, .codec = codec};
    g_autoptr(GByteArray) codec_private = g_byte_array_new();
    GByteArray *out = g_byte_array_new();
    frame.format.clock_hz = 90000;
    frame.payload = (guint8 *)data;
    frame.payload_bytes = (guint32)bytes;
    steno_parameters_to_private(&frame, codec_private);
    steno_parameters_from_private(codec, codec_private->data, codec_private->len, out);
    return out;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    if (bytes < 1)
        return 0;
    StenoCodec codec = (StenoCodec)(data[0] % STENO_CODEC_COUNT);
    g_autoptr(GByteArray) once = there_and_back(codec, data + 1, bytes - 1);
    g_autoptr(GByteArray) twice = there_and_back(codec, once->data, once->len);
    if (once->len != twice->len || (once->len && memcmp(once->data, twice->data, once->len) != 0))
        abort();
    /* And any bytes as a CodecPrivate. */
    g_autoptr(GByteArray) read = g_byte_array_new();
    steno_parameters_from_private(codec, data + 1, bytes - 1, read);
    return 0;
}
