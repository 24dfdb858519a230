/*
 * LiveKit: what its SDKs' frame cryptors seal, in JavaScript and natively (docs/CHANNEL-AES.md).
 *
 * A step's material is which KDF it goes on with, and 32 bytes of that KDF's output: their beginning is the AES key,
 * and the whole is what the next step is derived from. So each step costs one derivation, where the SDKs make two.
 */
#include "kdf.h"
#include "rbsp.h"
#include "trailer.h"

#include "steno/base/error.h"

#include <string.h>

#define DEFAULT_SALT "LKFrameEncryptionKey"
#define DEFAULT_KEY_BITS 128
#define ITERATIONS 100000
#define STEP_BYTES 32
#define MATERIAL_BYTES (1 + STEP_BYTES)
#define RAW_KEY_MIN_BYTES 16
/* The largest key ring that its SDKs allow. */
#define MAX_KID 255
/* A step of PBKDF2 takes tens of ms. */
#define FAR_STEPS_PBKDF2 64

static gboolean settle(const StenoContentFormat *format, ContentSettings *settings, GError **error)
{
    (void)format;
    if (settings->kdf == CONTENT_KDF_NONE)
        return steno_error_set(error, STENO_ERROR_KEYS_INVALID, "\"kdf\" of LiveKit must be \"pbkdf2\" or \"hkdf\"");
    if (!settings->salt)
        settings->salt = g_strdup(DEFAULT_SALT);
    if (settings->key_bits == 0)
        settings->key_bits = DEFAULT_KEY_BITS;
    if (settings->kdf == CONTENT_KDF_PBKDF2 ||
        (settings->kdf == CONTENT_KDF_DEFAULT && settings->key_members & CONTENT_MEMBER_PASSPHRASE))
        settings->far_steps = FAR_STEPS_PBKDF2;
    return TRUE;
}

static guint64 max_kid(const ContentSettings *settings)
{
    (void)settings;
    return MAX_KID;
}

static gboolean derive_step(const ContentSettings *settings, ContentKdf kdf, const guint8 *from, gsize from_bytes,
                            guint8 *material)
{
    static const guint8 info[128];
    const gsize salt_bytes = strlen(settings->salt);
    material[0] = (guint8)kdf;
    if (kdf == CONTENT_KDF_PBKDF2)
        return content_pbkdf2(from, from_bytes, settings->salt, salt_bytes, ITERATIONS, material + 1, STEP_BYTES);
    return content_hkdf(CONTENT_HKDF_EXTRACT_AND_EXPAND, "SHA256", from, from_bytes, settings->salt, salt_bytes, info,
                        sizeof info, material + 1, STEP_BYTES);
}

static gsize prepare(const StenoContentFormat *format, const ContentSettings *settings, const ContentKeyInput *key,
                     guint8 *material, GError **error)
{
    (void)format;
    ContentKdf kdf = settings->kdf;
    if (kdf == CONTENT_KDF_DEFAULT)
        kdf = key->member == CONTENT_MEMBER_PASSPHRASE ? CONTENT_KDF_PBKDF2 : CONTENT_KDF_HKDF;
    if (key->member == CONTENT_MEMBER_KEY && key->n_bytes < RAW_KEY_MIN_BYTES)
        steno_error_set(error, STENO_ERROR_KEYS_INVALID, "\"key\" must be %d to %d bytes, and is %" G_GSIZE_FORMAT,
                        RAW_KEY_MIN_BYTES, CONTENT_MATERIAL_MAX_BYTES, key->n_bytes);
    else if (!derive_step(settings, kdf, key->bytes, key->n_bytes, material))
        steno_error_set(error, STENO_ERROR_KEYS_INVALID,
                        "OpenSSL refuses to derive a key from it with this \"kdf\" and \"salt\" (a FIPS provider "
                        "wants 14 bytes of passphrase and 16 of salt)");
    else
        return MATERIAL_BYTES;
    return 0;
}

static ContentCipher *derive(const StenoContentFormat *format, const ContentSettings *settings, const guint8 *material,
                             gsize bytes, guint64 kid)
{
    (void)format, (void)bytes, (void)kid;
    return content_trailer_cipher_new(material + 1, settings->key_bits / 8);
}

static gsize ratchet(const StenoContentFormat *format, const ContentSettings *settings, const guint8 *material,
                     gsize bytes, guint8 *next)
{
    (void)format;
    return derive_step(settings, material[0], material + 1, bytes - 1, next) ? MATERIAL_BYTES : 0;
}

/*
 * Frames that end with the room's trailer were put in by the server. The SDKs play those of them that hold one of the
 * server's known blank pictures or silence, and drop all others; to a recording, neither belongs.
 */
static StenoContentOutcome look(ContentFrame *frame)
{
    if (frame->sif_trailer && frame->bytes >= frame->sif_trailer_bytes &&
        memcmp(frame->data + frame->bytes - frame->sif_trailer_bytes, frame->sif_trailer, frame->sif_trailer_bytes) ==
            0)
        return STENO_CONTENT_INJECTED;
    return content_trailer_look(frame);
}

/* One reading of a frame: so many clear bytes, and emulation prevention in the rest or not. */
static StenoContentOutcome open_as(ContentCipher *cipher, const ContentFrame *frame, gsize clear_bytes,
                                   gboolean escaped, guint8 *out, gsize *bytes)
{
    const guint8 *sealed = frame->data + clear_bytes;
    if (clear_bytes > frame->bytes)
        return STENO_CONTENT_BAD_KEY;
    const gsize sealed_bytes = frame->bytes - clear_bytes;
    const gsize escape = escaped ? content_rbsp_find_escape(sealed, sealed_bytes) : sealed_bytes;
    if (escape == sealed_bytes)
        return content_trailer_open(cipher, frame->data, frame->bytes, clear_bytes, out, bytes);
    memcpy(out, frame->data, clear_bytes);
    const gsize unescaped = content_rbsp_unescape(sealed, sealed_bytes, escape, out + clear_bytes);
    return content_trailer_open(cipher, out, clear_bytes + unescaped, clear_bytes, out, bytes);
}

/*
 * H.264 and H.265. Where there is no slice, JavaScript does as with VP8 (and knows whether it is a key frame, which is
 * not seen from here), and the native SDKs leave nothing clear; older ones do so with all of H.265, and without
 * emulation prevention.
 *
 * The native SDKs count clear bytes in eight bits. With more than 253 bytes of parameter sets and SEI before the slice,
 * what they leave clear ends before it, so that nobody sees where: their own receivers cannot open such frames either.
 */
static StenoContentOutcome open_nal(ContentCipher *cipher, const ContentFrame *frame, guint8 *out, gsize *bytes)
{
    static const struct {
        gsize clear_bytes;
        gboolean escaped;
    } without_slice[] = {{CONTENT_VP8_DELTA_CLEAR_BYTES, FALSE}, {CONTENT_VP8_KEY_CLEAR_BYTES, FALSE}, {0, TRUE}};
    const gsize clear_bytes = content_rbsp_clear_bytes(frame->codec, frame->data, frame->bytes);
    StenoContentOutcome outcome = STENO_CONTENT_BAD_KEY;
    if (clear_bytes > 0)
        outcome = open_as(cipher, frame, clear_bytes, TRUE, out, bytes);
    for (guint i = 0; clear_bytes == 0 && i < G_N_ELEMENTS(without_slice) && outcome != STENO_CONTENT_OPENED; i++)
        outcome = open_as(cipher, frame, without_slice[i].clear_bytes, without_slice[i].escaped, out, bytes);
    if (outcome != STENO_CONTENT_OPENED && frame->codec == STENO_CODEC_H265)
        outcome = open_as(cipher, frame, 0, FALSE, out, bytes);
    return outcome;
}

static StenoContentOutcome open_frame(ContentCipher *cipher, const ContentFrame *frame, guint8 *out, gsize *bytes)
{
    switch (frame->codec) {
    case STENO_CODEC_H264:
    case STENO_CODEC_H265:
        return open_nal(cipher, frame, out, bytes);
    case STENO_CODEC_VP8:
        return open_as(cipher, frame, content_vp8_clear_bytes(frame), FALSE, out, bytes);
    default:
        return open_as(cipher, frame, steno_codec_is_video(frame->codec) ? 0 /* VP9, AV1 */ : CONTENT_AUDIO_CLEAR_BYTES,
                       FALSE, out, bytes);
    }
}

const StenoContentFormat content_livekit = {
    .name = "livekit",
    .unit = STENO_CONTENT_PER_FRAME,
    .members = CONTENT_MEMBER_KDF | CONTENT_MEMBER_SALT | CONTENT_MEMBER_KEY_BITS | CONTENT_MEMBER_RATCHET_WINDOW |
               CONTENT_MEMBER_PASSPHRASE | CONTENT_MEMBER_KEY,
    .settle = settle,
    .max_kid = max_kid,
    .prepare = prepare,
    .look = look,
    .derive = derive,
    .free_cipher = content_trailer_cipher_free,
    .ratchet = ratchet,
    .open = open_frame,
};
