/* SFrame (RFC 9605): the rows sframe and sframe-packet, which differ in nothing but what they take for a frame. */
#include "format.h"
#include "kdf.h"
#include "sframe_header.h"
#include "sframe_suite.h"

#include "steno/base/error.h"
#include "steno/base/secret.h"

#include <string.h>

/* Shorter base keys could be found by trying. */
#define BASE_KEY_MIN_BYTES 16
/* The key id has 64 bits; of more steps or epochs than these at once, nobody keeps keys. */
#define LOW_BITS_MAX 32

struct ContentCipher {
    SframeAead *aead;
    const SframeSuite *suite;
    guint8 salt[SFRAME_NONCE_BYTES];
    guint8 *metadata;
    gsize metadata_bytes;
};

/* ---- what a key set says ----------------------------------------------------------------------------------------- */

static gboolean settle(const StenoContentFormat *format, ContentSettings *settings, GError **error)
{
    (void)format;
    const char *words = NULL;
    if (!sframe_suite(settings->suite))
        words = "\"suite\" must be given, 1 to 5 (RFC 9605 section 8.1)";
    else if (settings->mls && settings->ratchet_bits > 0)
        words = "\"ratchet_bits\" and \"mls\" exclude each other: key ids are made in one way";
    else if (settings->ratchet_bits > LOW_BITS_MAX)
        words = "\"ratchet_bits\" must be 1 to 32";
    else if (settings->mls && (settings->epoch_bits < 1 || settings->epoch_bits > LOW_BITS_MAX))
        words = "\"epoch_bits\" of \"mls\" must be 1 to 32";
    else if (settings->mls && settings->sender_bits > LOW_BITS_MAX)
        words = "\"sender_bits\" of \"mls\" must be 0 to 32";
    else if (settings->has_ratchet_window && settings->ratchet_bits == 0)
        words = "\"ratchet_window\" is for keys that are ratcheted, with \"ratchet_bits\"";
    if (words)
        return steno_error_set(error, STENO_ERROR_KEYS_INVALID, "%s", words);
    return TRUE;
}

static gsize prepare(const StenoContentFormat *format, const ContentSettings *settings, const ContentKeyInput *key,
                     guint8 *material, GError **error)
{
    (void)format, (void)settings;
    if (key->n_bytes < BASE_KEY_MIN_BYTES || key->n_bytes > CONTENT_MATERIAL_MAX_BYTES) {
        steno_error_set(error, STENO_ERROR_KEYS_INVALID, "\"key\" must be %d to %d bytes, and is %" G_GSIZE_FORMAT,
                        BASE_KEY_MIN_BYTES, CONTENT_MATERIAL_MAX_BYTES, key->n_bytes);
        return 0;
    }
    memcpy(material, key->bytes, key->n_bytes);
    return key->n_bytes;
}

/* RFC 9605 §5.2: the epoch is the low bits; context and sender above it have one base key in common. */
static guint64 key_kid(const ContentSettings *settings, guint64 frame_kid)
{
    return settings->mls ? frame_kid & ((G_GUINT64_CONSTANT(1) << settings->epoch_bits) - 1) : frame_kid;
}

/* RFC 9605 §5.1. */
static guint64 told_steps(const ContentSettings *settings)
{
    return G_GUINT64_CONSTANT(1) << settings->ratchet_bits;
}

/* ---- keys -------------------------------------------------------------------------------------------------------- */

static gboolean extract(const SframeSuite *suite, const guint8 *base_key, gsize bytes, guint8 *secret)
{
    return content_hkdf(CONTENT_HKDF_EXTRACT, suite->hash, base_key, bytes, NULL, 0, NULL, 0, secret,
                        suite->hash_bytes);
}

/* RFC 9605 §4.4.2. */
static gboolean expand(const SframeSuite *suite, const guint8 *secret, const char *label, guint64 kid, guint8 *out,
                       gsize out_bytes)
{
    guint8 info[64];
    const gsize label_bytes = strlen(label);
    memcpy(info, label, label_bytes);
    memcpy(info + label_bytes, &(guint64){GUINT64_TO_BE(kid)}, 8);
    memcpy(info + label_bytes + 8, &(guint16){GUINT16_TO_BE((guint16)suite->id)}, 2);
    return content_hkdf(CONTENT_HKDF_EXPAND, suite->hash, secret, suite->hash_bytes, NULL, 0, info, label_bytes + 10,
                        out, out_bytes);
}

static void free_cipher(ContentCipher *cipher)
{
    if (!cipher)
        return;
    sframe_aead_free(cipher->aead);
    steno_secret_wipe(cipher->salt, sizeof cipher->salt);
    g_free(cipher->metadata);
    g_free(cipher);
}

static ContentCipher *derive(const StenoContentFormat *format, const ContentSettings *settings, const guint8 *material,
                             gsize bytes, guint64 kid)
{
    (void)format;
    const SframeSuite *suite = sframe_suite(settings->suite);
    guint8 secret[SFRAME_HASH_MAX_BYTES], key[SFRAME_KEY_MAX_BYTES];
    ContentCipher *cipher = g_new0(ContentCipher, 1);
    cipher->suite = suite;
    cipher->metadata = g_memdup2(settings->metadata, settings->metadata_bytes);
    cipher->metadata_bytes = settings->metadata_bytes;
    if (extract(suite, material, bytes, secret) &&
        expand(suite, secret, "SFrame 1.0 Secret key ", kid, key, suite->key_bytes) &&
        expand(suite, secret, "SFrame 1.0 Secret salt ", kid, cipher->salt, sizeof cipher->salt))
        cipher->aead = sframe_aead_new(suite, key);
    steno_secret_wipe(secret, sizeof secret);
    steno_secret_wipe(key, sizeof key);
    if (!cipher->aead)
        g_clear_pointer(&cipher, free_cipher);
    return cipher;
}

/* RFC 9605 §5.1. */
static gsize ratchet(const StenoContentFormat *format, const ContentSettings *settings, const guint8 *material,
                     gsize bytes, guint8 *next)
{
    (void)format;
    static const char label[] = "SFrame 1.0 Ratchet";
    const SframeSuite *suite = sframe_suite(settings->suite);
    guint8 secret[SFRAME_HASH_MAX_BYTES];
    gboolean done = extract(suite, material, bytes, secret) &&
                    content_hkdf(CONTENT_HKDF_EXPAND, suite->hash, secret, suite->hash_bytes, NULL, 0, label,
                                 sizeof label - 1, next, suite->hash_bytes);
    steno_secret_wipe(secret, sizeof secret);
    return done ? suite->hash_bytes : 0;
}

/* ---- frames ------------------------------------------------------------------------------------------------------ */

static StenoContentOutcome look(ContentFrame *frame)
{
    SframeHeader header;
    if (frame->bytes == 0)
        return STENO_CONTENT_CLEAR;
    if (!sframe_header_read(frame->data, frame->bytes, &header))
        return STENO_CONTENT_BAD_KEY;
    frame->kid = header.kid;
    frame->counter = header.ctr;
    frame->header_bytes = header.bytes;
    return STENO_CONTENT_OPENED;
}

static StenoContentOutcome open_frame(ContentCipher *cipher, const ContentFrame *frame, guint8 *out, gsize *bytes)
{
    guint8 nonce[SFRAME_NONCE_BYTES];
    const AesGcmFrame sealed = {.iv = nonce,
                                .aad = {frame->data, cipher->metadata},
                                .aad_bytes = {frame->header_bytes, cipher->metadata_bytes},
                                .data = frame->data + frame->header_bytes,
                                .bytes = frame->bytes - frame->header_bytes};
    memcpy(nonce, cipher->salt, sizeof nonce);
    for (guint i = 0; i < 8; i++)
        nonce[sizeof nonce - 1 - i] ^= (guint8)(frame->counter >> 8 * i);
    if (!sframe_aead_open(cipher->aead, &sealed, out))
        return STENO_CONTENT_BAD_KEY;
    *bytes = sealed.bytes - cipher->suite->tag_bytes;
    return STENO_CONTENT_OPENED;
}

#define SFRAME_ROW(NAME, UNIT)                                                                                         \
    {                                                                                                                  \
        .name = (NAME), .unit = (UNIT),                                                                                \
        .members = CONTENT_MEMBER_SUITE | CONTENT_MEMBER_RATCHET_WINDOW | CONTENT_MEMBER_KEY, .settle = settle,        \
        .prepare = prepare, .look = look, .key_kid = key_kid, .told_steps = told_steps, .derive = derive,              \
        .free_cipher = free_cipher, .ratchet = ratchet, .open = open_frame,                                            \
    }

const StenoContentFormat content_sframe = SFRAME_ROW("sframe", STENO_CONTENT_PER_FRAME);
const StenoContentFormat content_sframe_packet = SFRAME_ROW("sframe-packet", STENO_CONTENT_PER_PACKET);
