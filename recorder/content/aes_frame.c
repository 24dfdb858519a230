/*
 * The formats with the names of Agora's API, for channels that a plug-in bridges: the frame is ours, not Agora's, and
 * written down in docs/CHANNEL-AES.md.
 */
#include "aes_gcm.h"
#include "format.h"
#include "kdf.h"

#include "steno/base/error.h"
#include "steno/base/secret.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <string.h>

#define VERSION 1
#define ITERATIONS 100000
#define MASTER_BYTES 32
#define SALT_BYTES 32
#define KEY_MAX_BYTES 64 /* AES-256-XTS has two */
#define BLOCK_BYTES 16

/* Where things are in the header: version, mode, key id; then the IV (GCM), or length, number and check. */
#define MODE_AT 1
#define KID_AT 2
#define IV_AT 4
#define GCM_HEADER_BYTES (IV_AT + AES_GCM_IV_BYTES)
#define LENGTH_AT 4
#define NUMBER_AT 8
#define NUMBER_BYTES 8
#define CHECK_AT 16
#define CHECK_BYTES 8
#define HEADER_BYTES (CHECK_AT + CHECK_BYTES) /* of the formats that do not authenticate */

/* Of the modes that do not authenticate; GCM needs none of it but the key's length. */
typedef struct {
    const char *cipher; /* as OpenSSL calls it */
    gsize key_bytes;
    gboolean has_number; /* XTS: the data unit's number is the tweak */
} Mode;

/* By Agora's numbers. */
enum { XTS_128 = 1, ECB_128, XTS_256, SM4_ECB_128, GCM_128, GCM_256, GCM2_128, GCM2_256 };
static const Mode modes[] = {
    [XTS_128] = {"AES-128-XTS", 32, TRUE},   [ECB_128] = {"AES-128-ECB", 16, FALSE},
    [XTS_256] = {"AES-256-XTS", 64, TRUE},   [SM4_ECB_128] = {"SM4-ECB", 16, FALSE},
    [GCM_128] = {"AES-128-GCM", 16, FALSE},  [GCM_256] = {"AES-256-GCM", 32, FALSE},
    [GCM2_128] = {"AES-128-GCM", 16, FALSE}, [GCM2_256] = {"AES-256-GCM", 32, FALSE},
};

struct ContentCipher {
    guint mode;
    AesGcm *gcm;
    EVP_CIPHER_CTX *blocks; /* XTS, ECB */
    EVP_CIPHER_CTX *check;
};

/* ---- keys -------------------------------------------------------------------------------------------------------- */

/* Some builds of OpenSSL come without SM4, and a FIPS provider has none. */
static gboolean settle(const StenoContentFormat *format, ContentSettings *settings, GError **error)
{
    (void)settings;
    const char *name = modes[format->variant].cipher;
    EVP_CIPHER *cipher = EVP_CIPHER_fetch(NULL, name, NULL);
    if (!cipher)
        return steno_error_set(error, STENO_ERROR_KEYS_INVALID,
                               "the OpenSSL of this machine does not offer %s, which %s needs (no provider that is "
                               "loaded has it; `openssl list -cipher-algorithms` tells)",
                               name, format->name);
    EVP_CIPHER_free(cipher);
    return TRUE;
}

/* The header has two bytes for it. */
static guint64 max_kid(const ContentSettings *settings)
{
    (void)settings;
    return G_MAXUINT16;
}

static gboolean is_zero(const guint8 *data, gsize bytes)
{
    guint8 all = 0;
    for (gsize i = 0; i < bytes; i++)
        all |= data[i];
    return all == 0;
}

static gsize prepare(const StenoContentFormat *format, const ContentSettings *settings, const ContentKeyInput *key,
                     guint8 *material, GError **error)
{
    (void)settings;
    static const char unsalted[] = "Steno channel AES 1";
    const gboolean salted = (format->members & CONTENT_MEMBER_KEY_SALT) != 0;
    if (salted && (key->salt_bytes != SALT_BYTES || is_zero(key->salt, key->salt_bytes))) {
        steno_error_set(error, STENO_ERROR_KEYS_INVALID,
                        "\"salt\" must be there, %d bytes in base64, and not all of them zero", SALT_BYTES);
        return 0;
    }
    if (!content_pbkdf2(key->bytes, key->n_bytes, salted ? (const char *)key->salt : unsalted,
                        salted ? key->salt_bytes : sizeof unsalted - 1, ITERATIONS, material, MASTER_BYTES)) {
        steno_error_set(error, STENO_ERROR_KEYS_INVALID,
                        "OpenSSL derives no key from a \"secret\" of %" G_GSIZE_FORMAT
                        " bytes (a FIPS provider wants longer ones)",
                        key->n_bytes);
        return 0;
    }
    return MASTER_BYTES;
}

static gboolean expand(const guint8 *master, gsize bytes, const char *label, guint mode, guint64 kid, guint8 *out,
                       gsize out_bytes)
{
    guint8 info[64];
    const gsize label_bytes = strlen(label);
    memcpy(info, label, label_bytes);
    info[label_bytes] = (guint8)mode;
    info[label_bytes + 1] = (guint8)(kid >> 8);
    info[label_bytes + 2] = (guint8)kid;
    return content_hkdf(CONTENT_HKDF_EXTRACT_AND_EXPAND, "SHA256", master, bytes, NULL, 0, info, label_bytes + 3, out,
                        out_bytes);
}

/* OpenSSL's encryption or decryption of whole blocks; NULL when it does not offer it. */
static EVP_CIPHER_CTX *blocks_new(const char *name, const guint8 *key, gboolean encrypt)
{
    EVP_CIPHER *cipher = EVP_CIPHER_fetch(NULL, name, NULL);
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    if (!cipher || !context || EVP_CipherInit_ex2(context, cipher, key, NULL, encrypt, NULL) != 1 ||
        EVP_CIPHER_CTX_set_padding(context, 0) != 1) {
        EVP_CIPHER_CTX_free(context);
        context = NULL;
    }
    EVP_CIPHER_free(cipher);
    return context;
}

static void free_cipher(ContentCipher *cipher)
{
    if (!cipher)
        return;
    aes_gcm_free(cipher->gcm);
    EVP_CIPHER_CTX_free(cipher->blocks);
    EVP_CIPHER_CTX_free(cipher->check);
    g_free(cipher);
}

static ContentCipher *derive(const StenoContentFormat *format, const ContentSettings *settings, const guint8 *material,
                             gsize bytes, guint64 kid)
{
    (void)settings;
    const Mode *mode = &modes[format->variant];
    guint8 key[KEY_MAX_BYTES], check[32];
    ContentCipher *cipher = g_new0(ContentCipher, 1);
    cipher->mode = format->variant;
    gboolean done = expand(material, bytes, "Steno channel AES 1 key ", format->variant, kid, key, mode->key_bytes);
    if (done && !format->insecure) {
        done = (cipher->gcm = aes_gcm_new(key, mode->key_bytes)) != NULL;
    } else if (done) {
        done = expand(material, bytes, "Steno channel AES 1 check ", format->variant, kid, check, sizeof check) &&
               (cipher->blocks = blocks_new(mode->cipher, key, FALSE)) != NULL &&
               (cipher->check = blocks_new("AES-256-ECB", check, TRUE)) != NULL;
    }
    steno_secret_wipe(key, sizeof key);
    steno_secret_wipe(check, sizeof check);
    if (!done)
        g_clear_pointer(&cipher, free_cipher);
    return cipher;
}

/* ---- frames ------------------------------------------------------------------------------------------------------ */

static StenoContentOutcome look(ContentFrame *frame)
{
    if (frame->bytes == 0)
        return STENO_CONTENT_CLEAR;
    if (frame->bytes < GCM_HEADER_BYTES || frame->data[0] != VERSION)
        return STENO_CONTENT_BAD_KEY;
    frame->kid = (guint64)frame->data[KID_AT] << 8 | frame->data[KID_AT + 1];
    return STENO_CONTENT_OPENED;
}

static StenoContentOutcome open_gcm(ContentCipher *cipher, const ContentFrame *frame, guint8 *out, gsize *bytes)
{
    const AesGcmFrame sealed = {.iv = frame->data + IV_AT,
                                .aad = {frame->data},
                                .aad_bytes = {GCM_HEADER_BYTES},
                                .data = frame->data + GCM_HEADER_BYTES,
                                .bytes = frame->bytes - GCM_HEADER_BYTES};
    if (frame->data[MODE_AT] != cipher->mode || !aes_gcm_open(cipher->gcm, &sealed, out))
        return STENO_CONTENT_BAD_KEY;
    *bytes = sealed.bytes - AES_GCM_TAG_BYTES;
    return STENO_CONTENT_OPENED;
}

/* How many bytes of ciphertext there are of so many in the clear: XTS has no less than a block, ECB whole ones. */
static guint64 padded(const Mode *mode, guint64 length)
{
    if (mode->has_number)
        return MAX(length, BLOCK_BYTES);
    return MAX((length + BLOCK_BYTES - 1) / BLOCK_BYTES, 1) * BLOCK_BYTES;
}

/*
 * Nothing tells that the ciphertext was changed; but the check, which covers the header with the length, is wrong when
 * the key is another one, the header was changed, or bytes are missing or too many.
 */
static StenoContentOutcome open_blocks(ContentCipher *cipher, const ContentFrame *frame, guint8 *out, gsize *bytes)
{
    const Mode *mode = &modes[cipher->mode];
    guint8 check[BLOCK_BYTES], tweak[BLOCK_BYTES] = {0};
    guint32 length;
    int written = 0;
    if (frame->bytes < HEADER_BYTES || frame->data[MODE_AT] != cipher->mode)
        return STENO_CONTENT_BAD_KEY;
    const gsize sealed_bytes = frame->bytes - HEADER_BYTES;
    memcpy(&length, frame->data + LENGTH_AT, sizeof length);
    length = GUINT32_FROM_BE(length);
    if (sealed_bytes != padded(mode, length) ||
        EVP_CipherUpdate(cipher->check, check, &written, frame->data, BLOCK_BYTES) != 1 ||
        CRYPTO_memcmp(check, frame->data + CHECK_AT, CHECK_BYTES) != 0)
        return STENO_CONTENT_BAD_KEY;
    memcpy(tweak, frame->data + NUMBER_AT, NUMBER_BYTES);
    if (EVP_CipherInit_ex2(cipher->blocks, NULL, NULL, mode->has_number ? tweak : NULL, -1, NULL) != 1 ||
        EVP_CipherUpdate(cipher->blocks, out, &written, frame->data + HEADER_BYTES, (int)sealed_bytes) != 1 ||
        !is_zero(out + length, sealed_bytes - length))
        return STENO_CONTENT_BAD_KEY;
    *bytes = length;
    return STENO_CONTENT_OPENED;
}

/* ---- rows -------------------------------------------------------------------------------------------------------- */

#define AES_ROW(NAME, VARIANT, MEMBERS, INSECURE, OPEN)                                                                \
    {                                                                                                                  \
        .name = (NAME), .unit = STENO_CONTENT_PER_FRAME, .insecure = (INSECURE), .variant = (VARIANT),                 \
        .members = CONTENT_MEMBER_SECRET | (MEMBERS), .settle = settle, .max_kid = max_kid, .prepare = prepare,        \
        .look = look, .derive = derive, .free_cipher = free_cipher, .open = (OPEN),                                    \
    }

const StenoContentFormat content_aes_128_gcm = AES_ROW("aes-128-gcm", GCM_128, 0, FALSE, open_gcm);
const StenoContentFormat content_aes_256_gcm = AES_ROW("aes-256-gcm", GCM_256, 0, FALSE, open_gcm);
const StenoContentFormat content_aes_128_gcm2 =
    AES_ROW("aes-128-gcm2", GCM2_128, CONTENT_MEMBER_KEY_SALT, FALSE, open_gcm);
const StenoContentFormat content_aes_256_gcm2 =
    AES_ROW("aes-256-gcm2", GCM2_256, CONTENT_MEMBER_KEY_SALT, FALSE, open_gcm);
const StenoContentFormat content_aes_128_xts = AES_ROW("aes-128-xts", XTS_128, 0, TRUE, open_blocks);
const StenoContentFormat content_aes_256_xts = AES_ROW("aes-256-xts", XTS_256, 0, TRUE, open_blocks);
const StenoContentFormat content_aes_128_ecb = AES_ROW("aes-128-ecb", ECB_128, 0, TRUE, open_blocks);
const StenoContentFormat content_sm4_128_ecb = AES_ROW("sm4-128-ecb", SM4_ECB_128, 0, TRUE, open_blocks);
