#include "trailer.h"

#include "aes_gcm.h"

#include <string.h>

/* IV, its length, key index. */
#define TRAILER_BYTES (AES_GCM_IV_BYTES + 2)

struct ContentCipher {
    AesGcm *gcm;
};

gsize content_vp8_clear_bytes(const ContentFrame *frame)
{
    return frame->data[0] & 1 ? CONTENT_VP8_DELTA_CLEAR_BYTES : CONTENT_VP8_KEY_CLEAR_BYTES;
}

/* Also where emulation prevention is: nothing is ever inserted into the last two bytes, since 0x0C needs no escape and
 * ends every run of zeros. */
StenoContentOutcome content_trailer_look(ContentFrame *frame)
{
    if (frame->bytes == 0)
        return STENO_CONTENT_CLEAR;
    if (frame->bytes < AES_GCM_TAG_BYTES + TRAILER_BYTES || frame->data[frame->bytes - 2] != AES_GCM_IV_BYTES)
        return STENO_CONTENT_BAD_KEY;
    frame->kid = frame->data[frame->bytes - 1];
    return STENO_CONTENT_OPENED;
}

ContentCipher *content_trailer_cipher_new(const guint8 *key, gsize key_bytes)
{
    AesGcm *gcm = aes_gcm_new(key, key_bytes);
    if (!gcm)
        return NULL;
    ContentCipher *cipher = g_new(ContentCipher, 1);
    cipher->gcm = gcm;
    return cipher;
}

void content_trailer_cipher_free(ContentCipher *cipher)
{
    if (!cipher)
        return;
    aes_gcm_free(cipher->gcm);
    g_free(cipher);
}

StenoContentOutcome content_trailer_open(ContentCipher *cipher, const guint8 *data, gsize bytes, gsize clear_bytes,
                                         guint8 *out, gsize *out_bytes)
{
    if (bytes < clear_bytes + AES_GCM_TAG_BYTES + TRAILER_BYTES)
        return STENO_CONTENT_BAD_KEY;
    const AesGcmFrame frame = {
        .iv = data + bytes - TRAILER_BYTES,
        .aad = {data},
        .aad_bytes = {clear_bytes},
        .data = data + clear_bytes,
        .bytes = bytes - clear_bytes - TRAILER_BYTES,
    };
    if (!aes_gcm_open(cipher->gcm, &frame, out + clear_bytes))
        return STENO_CONTENT_BAD_KEY;
    if (out != data)
        memcpy(out, data, clear_bytes);
    *out_bytes = clear_bytes + frame.bytes - AES_GCM_TAG_BYTES;
    return STENO_CONTENT_OPENED;
}
