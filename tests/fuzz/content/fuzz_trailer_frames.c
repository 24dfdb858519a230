/*
 * Frames of LiveKit and Jitsi, through ring and opener: the first byte chooses the format and the codec, the rest is a
 * frame. The corpus is of tests/vectors/livekit.json, so that some open; under a key with which nothing was ever
 * sealed, nothing may.
 */
#include "rbsp.h"

#include "steno/content.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

#define SIF_TRAILER "sif-trailer"
#define KEY "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define OTHER_KEY "ff0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

static StenoContentOpener *opener_new(const char *format, const char *key)
{
    const StenoContentRingConfig config = {.format = steno_content_format(format), .sif_trailer = SIF_TRAILER};
    StenoContentRing *ring = steno_content_ring_new(&config);
    GError *error = NULL;
    for (guint kid = 0; kid < 4; kid++) {
        /* No window: it would be searched for each frame that does not open. */
        g_autofree char *json =
            g_strdup_printf("{\"ratchet_window\": 0, \"keys\": [{\"kid\": %u, \"key\": \"hex:%s\"}]}", kid, key);
        g_autoptr(StenoContentKeys) keys =
            steno_content_keys_parse(config.format, json, strlen(json), "the fuzzer", &error);
        if (!keys)
            abort();
        steno_content_ring_add(ring, keys);
    }
    return steno_content_opener_new(ring, "alice");
}

static void check_rbsp(StenoCodec codec, const guint8 *frame, gsize bytes)
{
    const gsize clear_bytes = content_rbsp_clear_bytes(codec, frame, bytes);
    if (clear_bytes > bytes || (clear_bytes > 0 && clear_bytes < 5))
        abort();
    const gsize escape = content_rbsp_find_escape(frame, bytes);
    if (escape > bytes || (escape < bytes && (escape < 2 || frame[escape] != 3 || frame[escape - 1] != 0)))
        abort();
    guint8 *out = malloc(MAX(bytes, 1));
    const gsize unescaped = content_rbsp_unescape(frame, bytes, escape, out);
    if (unescaped > bytes || (escape == bytes) != (unescaped == bytes) || memcmp(out, frame, escape) != 0)
        abort();
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static StenoContentOpener *openers[2][2];
    if (!openers[0][0]) {
        openers[0][0] = opener_new("livekit", KEY);
        openers[0][1] = opener_new("livekit", OTHER_KEY);
        openers[1][0] = opener_new("jitsi", KEY);
        openers[1][1] = opener_new("jitsi", OTHER_KEY);
    }
    if (bytes < 1)
        return 0;
    const StenoCodec codec = (StenoCodec)((data[0] >> 1) % STENO_CODEC_COUNT);
    const gsize frame_bytes = bytes - 1;
    guint8 *frame = malloc(MAX(frame_bytes, 1)), *out = malloc(MAX(frame_bytes, 1)); /* exactly */
    memcpy(frame, data + 1, frame_bytes);
    check_rbsp(data[0] & 2 ? STENO_CODEC_H264 : STENO_CODEC_H265, frame, frame_bytes);
    for (guint other = 0; other < 2; other++) {
        StenoContentOpened opened;
        const StenoContentOutcome outcome =
            steno_content_open(openers[data[0] & 1][other], codec, frame, frame_bytes, out, &opened);
        if (opened.bytes > frame_bytes || (other && outcome == STENO_CONTENT_OPENED) ||
            memcmp(frame, data + 1, frame_bytes) != 0)
            abort();
    }
    free(frame);
    free(out);
    return 0;
}
