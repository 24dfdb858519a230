/*
 * Jitsi Meet's end-to-end encryption: VP8 and audio. A step's material is the HKDF's input, or the AES key itself where
 * keys are managed outside of Jitsi ("kdf": "none").
 */
#include "kdf.h"
#include "trailer.h"

#include "steno/base/error.h"
#include "steno/base/secret.h"

#include <string.h>

#define MANAGED_KEY_BYTES 32
#define AES_BYTES 16
/* Its key ring has 16 places. */
#define MAX_KID 15

static gboolean settle(const StenoContentFormat *format, ContentSettings *settings, GError **error)
{
    (void)format;
    if (settings->kdf == CONTENT_KDF_PBKDF2)
        return steno_error_set(error, STENO_ERROR_KEYS_INVALID, "\"kdf\" of Jitsi must be \"hkdf\" or \"none\"");
    if (settings->kdf == CONTENT_KDF_NONE && settings->has_ratchet_window && settings->ratchet_window > 0)
        return steno_error_set(error, STENO_ERROR_KEYS_INVALID,
                               "\"ratchet_window\" must be 0 with \"kdf\" \"none\": such keys do not ratchet");
    if (settings->kdf == CONTENT_KDF_NONE)
        settings->ratchet_window = 0;
    return TRUE;
}

static guint64 max_kid(const ContentSettings *settings)
{
    (void)settings;
    return MAX_KID;
}

static gsize prepare(const StenoContentFormat *format, const ContentSettings *settings, const ContentKeyInput *key,
                     guint8 *material, GError **error)
{
    (void)format;
    if (settings->kdf == CONTENT_KDF_NONE ? key->n_bytes != 16 && key->n_bytes != 32
                                          : key->n_bytes != MANAGED_KEY_BYTES) {
        steno_error_set(error, STENO_ERROR_KEYS_INVALID, "\"key\" must be %s, and is %" G_GSIZE_FORMAT,
                        settings->kdf == CONTENT_KDF_NONE ? "16 or 32 bytes" : "32 bytes", key->n_bytes);
        return 0;
    }
    memcpy(material, key->bytes, key->n_bytes);
    return key->n_bytes;
}

static gboolean hkdf(const guint8 *material, gsize bytes, const char *salt, guint8 *out, gsize out_bytes)
{
    return content_hkdf(CONTENT_HKDF_EXTRACT_AND_EXPAND, "SHA256", material, bytes, salt, strlen(salt), NULL, 0, out,
                        out_bytes);
}

static ContentCipher *derive(const StenoContentFormat *format, const ContentSettings *settings, const guint8 *material,
                             gsize bytes, guint64 kid)
{
    (void)format, (void)kid;
    guint8 key[AES_BYTES];
    if (settings->kdf == CONTENT_KDF_NONE)
        return content_trailer_cipher_new(material, bytes);
    ContentCipher *cipher = NULL;
    if (hkdf(material, bytes, "JFrameEncryptionKey", key, sizeof key))
        cipher = content_trailer_cipher_new(key, sizeof key);
    steno_secret_wipe(key, sizeof key);
    return cipher;
}

static gsize ratchet(const StenoContentFormat *format, const ContentSettings *settings, const guint8 *material,
                     gsize bytes, guint8 *next)
{
    (void)format, (void)settings;
    return hkdf(material, bytes, "JFrameRatchetKey", next, MANAGED_KEY_BYTES) ? MANAGED_KEY_BYTES : 0;
}

/* The codec's frame type is not known here but for VP8, which is the only one that Jitsi encrypts. */
static StenoContentOutcome open_frame(ContentCipher *cipher, const ContentFrame *frame, guint8 *out, gsize *bytes)
{
    gsize clear_bytes = steno_codec_is_video(frame->codec) ? content_vp8_clear_bytes(frame) : CONTENT_AUDIO_CLEAR_BYTES;
    return content_trailer_open(cipher, frame->data, frame->bytes, clear_bytes, out, bytes);
}

const StenoContentFormat content_jitsi = {
    .name = "jitsi",
    .unit = STENO_CONTENT_PER_FRAME,
    .members = CONTENT_MEMBER_KDF | CONTENT_MEMBER_RATCHET_WINDOW | CONTENT_MEMBER_KEY,
    .settle = settle,
    .max_kid = max_kid,
    .prepare = prepare,
    .look = content_trailer_look,
    .derive = derive,
    .free_cipher = content_trailer_cipher_free,
    .ratchet = ratchet,
    .open = open_frame,
};
