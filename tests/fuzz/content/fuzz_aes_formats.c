/*
 * Frames of the formats with Agora's names: the first byte chooses the format, the rest is a frame. Of the corpus some
 * open under the first key; under the second one, with which nothing was ever sealed, nothing may.
 */
#include "format.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static StenoContentOutcome open_frame(const StenoContentFormat *format, guint8 key, const guint8 *data, gsize bytes)
{
    const ContentSettings settings = {0};
    guint8 material[32];
    gsize opened = 0;
    ContentFrame frame = {.codec = STENO_CODEC_OPUS, .data = data, .bytes = bytes};
    StenoContentOutcome outcome = format->look(&frame);
    if (outcome != STENO_CONTENT_OPENED)
        return outcome;
    memset(material, key, sizeof material);
    ContentCipher *cipher = format->derive(format, &settings, material, sizeof material, frame.kid);
    if (!cipher)
        return STENO_CONTENT_BAD_KEY; /* SM4, where OpenSSL has none */
    guint8 *out = malloc(bytes);
    outcome = format->open(cipher, &frame, out, &opened);
    if (outcome == STENO_CONTENT_OPENED && opened > bytes)
        abort();
    free(out);
    format->free_cipher(cipher);
    return outcome;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static const StenoContentFormat *const rows[] = {
        &content_aes_128_gcm, &content_aes_256_gcm, &content_aes_128_gcm2, &content_aes_256_gcm2,
        &content_aes_128_xts, &content_aes_256_xts, &content_aes_128_ecb,  &content_sm4_128_ecb,
    };
    if (bytes < 1)
        return 0;
    const StenoContentFormat *format = rows[data[0] % G_N_ELEMENTS(rows)];
    guint8 *frame = malloc(MAX(bytes - 1, 1)); /* exactly, so that a read past the end is seen */
    memcpy(frame, data + 1, bytes - 1);
    (void)open_frame(format, 1, frame, bytes - 1);
    if (open_frame(format, 2, frame, bytes - 1) == STENO_CONTENT_OPENED)
        abort();
    free(frame);
    return 0;
}
