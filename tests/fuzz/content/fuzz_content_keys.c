/*
 * Key files: the first byte chooses the format, the rest is the text. Derivation is left out, since PBKDF2 takes longer
 * than all the rest. What is taken, a ring takes as well.
 */
#include "format.h"

#include "steno/base/error.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static gsize prepare(const StenoContentFormat *format, const ContentSettings *settings, const ContentKeyInput *key,
                     guint8 *material, GError **error)
{
    (void)format, (void)settings;
    if (key->n_bytes == 0 || (key->salt && key->salt_bytes == 0))
        abort();
    if (key->n_bytes > CONTENT_MATERIAL_MAX_BYTES) {
        steno_error_set(error, STENO_ERROR_KEYS_INVALID, "too long");
        return 0;
    }
    memcpy(material, key->bytes, key->n_bytes);
    return key->n_bytes;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static const char *const names[] = {"sframe", "livekit", "jitsi", "aes-128-gcm2"};
    static StenoContentFormat formats[G_N_ELEMENTS(names)];
    if (bytes < 1)
        return 0;
    const guint which = data[0] % G_N_ELEMENTS(names);
    formats[which] = *steno_content_format(names[which]);
    formats[which].prepare = prepare;
    g_autoptr(GError) error = NULL;
    char *text = malloc(MAX(bytes - 1, 1)); /* exactly */
    memcpy(text, data + 1, bytes - 1);
    g_autoptr(StenoContentKeys) keys = steno_content_keys_parse(&formats[which], text, bytes - 1, "the fuzzer", &error);
    if (!keys != (error != NULL) || (error && !g_error_matches(error, STENO_ERROR, STENO_ERROR_KEYS_INVALID)))
        abort();
    free(text);
    if (!keys)
        return 0;
    const StenoContentRingConfig config = {.format = &formats[which]};
    g_autoptr(StenoContentRing) ring = steno_content_ring_new(&config);
    steno_content_ring_add(ring, keys);
    steno_content_ring_add(ring, keys);
    return 0;
}
