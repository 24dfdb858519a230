/*
 * SFrame headers and frames: the first byte chooses the suite, the second key ids and metadata, the rest is a frame. Of
 * the corpus some open under the first key; under the second one, with which nothing was ever sealed, nothing may.
 */
#include "format.h"
#include "sframe_header.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

#define SHORT_TAGS 3 /* the suite whose tags have 32 bits: those can be hit */

/* What was read is what stands there: written as short as possible, it is not longer, and is read again the same. */
static void check_header(const guint8 *frame, gsize bytes)
{
    SframeHeader header = {0}, again = {0};
    if (!sframe_header_read(frame, bytes, &header))
        return;
    if (header.bytes < 1 || header.bytes > SFRAME_HEADER_MAX_BYTES || header.bytes > bytes)
        abort();
    guint8 shortest[SFRAME_HEADER_MAX_BYTES] = {0}, n = 1;
    const guint64 numbers[2] = {header.kid, header.ctr};
    for (guint i = 0; i < 2; i++) {
        guint count = 1;
        while (count < 8 && numbers[i] >> 8 * count)
            count++;
        shortest[0] |= (guint8)((numbers[i] < 8 ? numbers[i] : 8 | (count - 1)) << (i == 0 ? 4 : 0));
        for (guint j = 0; numbers[i] >= 8 && j < count; j++)
            shortest[n++] = (guint8)(numbers[i] >> 8 * (count - 1 - j));
    }
    if (n > header.bytes || !sframe_header_read(shortest, n, &again) || again.kid != header.kid ||
        again.ctr != header.ctr || again.bytes != n)
        abort();
}

static StenoContentOutcome open_frame(const ContentSettings *settings, guint8 key, const guint8 *data, gsize bytes)
{
    const StenoContentFormat *format = &content_sframe;
    guint8 material[16];
    gsize opened = 0;
    ContentFrame frame = {.codec = STENO_CODEC_OPUS, .data = data, .bytes = bytes};
    StenoContentOutcome outcome = format->look(&frame);
    if (outcome != STENO_CONTENT_OPENED)
        return outcome;
    for (guint i = 0; i < sizeof material; i++)
        material[i] = (guint8)(key + i); /* key 0: the base key of RFC 9605's vectors */
    (void)format->key_kid(settings, frame.kid);
    ContentCipher *cipher = format->derive(format, settings, material, sizeof material, frame.kid);
    if (!cipher)
        abort();
    guint8 *out = malloc(bytes);
    outcome = format->open(cipher, &frame, out, &opened);
    if (outcome == STENO_CONTENT_OPENED && opened > bytes - frame.header_bytes)
        abort();
    free(out);
    format->free_cipher(cipher);
    return outcome;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static guint8 metadata[] = "IETF SFrame WG";
    if (bytes < 2)
        return 0;
    ContentSettings settings = {.suite = 1 + data[0] % 5, .epoch_bits = 1 + data[1] % 32, .mls = data[1] >> 7};
    if (data[1] & 1) {
        settings.metadata = metadata;
        settings.metadata_bytes = sizeof metadata - 1;
    }
    guint8 *frame = malloc(MAX(bytes - 2, 1)); /* exactly, so that a read past the end is seen */
    memcpy(frame, data + 2, bytes - 2);
    check_header(frame, bytes - 2);
    (void)open_frame(&settings, 0, frame, bytes - 2);
    if (open_frame(&settings, 1, frame, bytes - 2) == STENO_CONTENT_OPENED && settings.suite != SHORT_TAGS)
        abort();
    free(frame);
    return 0;
}
