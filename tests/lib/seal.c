#include "seal.h"

#include <gio/gio.h>
#include <jansson.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <string.h>

#define KEY_MAX 64

typedef struct {
    gint64 from_us;
    guint64 kid;
    guint8 key[KEY_MAX], salt[12], check[32];
} SealKey;

typedef struct Format Format;

struct Sealer {
    const Format *format;
    int suite;
    gsize key_bytes;
    gboolean plain_key; /* jitsi, externally managed */
    GArray *keys;       /* SealKey, by time */
    guint64 count;
};

struct Format {
    const char *name;
    gboolean per_packet;
    guint8 mode; /* of the aes-* formats, by Agora's numbers */
    const char *cipher;
    gsize key_bytes;
    gboolean (*derive)(const Sealer *sealer, const json_t *key, SealKey *derived, GError **error);
    void (*seal)(Sealer *sealer, const SealKey *key, const SealedFrame *frame, const guint8 *data, gsize bytes,
                 GByteArray *out);
};

/* ---- derivation -------------------------------------------------------------------------------------------------- */

static void hkdf(const char *digest, const guint8 *ikm, gsize ikm_bytes, const void *salt, gsize salt_bytes,
                 const void *info, gsize info_bytes, guint8 *out, gsize out_bytes)
{
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
    EVP_KDF_CTX *context = EVP_KDF_CTX_new(kdf);
    OSSL_PARAM params[5] = {
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)digest, 0),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)ikm, ikm_bytes),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, (void *)salt, salt_bytes),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (void *)info, info_bytes),
        OSSL_PARAM_construct_end(),
    };
    if (EVP_KDF_derive(context, out, out_bytes, params) != 1)
        g_error("HKDF failed");
    EVP_KDF_CTX_free(context);
    EVP_KDF_free(kdf);
}

/* What the key is made of: the text of a passphrase, or raw bytes. The caller's. */
static guint8 *material_of(const json_t *key, gsize *bytes)
{
    const char *passphrase = json_string_value(json_object_get(key, "passphrase"));
    const char *raw = json_string_value(json_object_get(key, "key"));
    if (passphrase) {
        *bytes = strlen(passphrase);
        return (guint8 *)g_strdup(passphrase);
    }
    return raw ? g_base64_decode(raw, bytes) : NULL;
}

static gint64 ratchet_of(const json_t *key)
{
    return json_integer_value(json_object_get(key, "ratchet"));
}

static gboolean no_material(GError **error)
{
    g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, "a key needs \"passphrase\" or \"key\"");
    return FALSE;
}

static void livekit_kdf(gboolean passphrase, const guint8 *material, gsize bytes, guint8 *out, gsize out_bytes)
{
    static const char salt[] = "LKFrameEncryptionKey";
    static const guint8 info[128] = {0};
    if (passphrase)
        PKCS5_PBKDF2_HMAC((const char *)material, (int)bytes, (const guint8 *)salt, sizeof salt - 1, 100000,
                          EVP_sha256(), (int)out_bytes, out);
    else
        hkdf("SHA256", material, bytes, salt, sizeof salt - 1, info, sizeof info, out, out_bytes);
}

static gboolean livekit_derive(const Sealer *sealer, const json_t *key, SealKey *derived, GError **error)
{
    gsize bytes;
    g_autofree guint8 *material = material_of(key, &bytes);
    gboolean passphrase = json_object_get(key, "passphrase") != NULL;
    guint8 next[32];
    if (!material)
        return no_material(error);
    for (gint64 i = 0; i < ratchet_of(key); i++) {
        livekit_kdf(passphrase, material, bytes, next, sizeof next);
        g_free(material);
        material = g_memdup2(next, bytes = sizeof next);
    }
    livekit_kdf(passphrase, material, bytes, derived->key, sealer->key_bytes);
    return TRUE;
}

static gboolean jitsi_derive(const Sealer *sealer, const json_t *key, SealKey *derived, GError **error)
{
    gsize bytes;
    g_autofree guint8 *material = material_of(key, &bytes);
    guint8 next[32];
    if (!material || bytes > KEY_MAX)
        return no_material(error);
    for (gint64 i = 0; i < ratchet_of(key); i++) {
        hkdf("SHA256", material, bytes, "JFrameRatchetKey", 16, "", 0, next, sizeof next);
        g_free(material);
        material = g_memdup2(next, bytes = sizeof next);
    }
    if (sealer->plain_key)
        memcpy(derived->key, material, bytes);
    else
        hkdf("SHA256", material, bytes, "JFrameEncryptionKey", 19, "", 0, derived->key, sealer->key_bytes);
    return TRUE;
}

static const struct {
    gsize key_bytes, tag_bytes;
    const char *digest;
    gsize digest_bytes;
} suites[] = {{0},
              {48, 10, "SHA256", 32},
              {48, 8, "SHA256", 32},
              {48, 4, "SHA256", 32},
              {16, 16, "SHA256", 32},
              {32, 16, "SHA512", 64}};

static void put_be(guint8 *out, guint64 value, gsize bytes)
{
    for (gsize i = 0; i < bytes; i++)
        out[i] = (guint8)(value >> 8 * (bytes - 1 - i));
}

static gboolean sframe_derive(const Sealer *sealer, const json_t *key, SealKey *derived, GError **error)
{
    gsize bytes;
    g_autofree guint8 *material = material_of(key, &bytes);
    guint8 key_info[32], salt_info[33], next[64];
    if (!material)
        return no_material(error);
    for (gint64 i = 0; i < ratchet_of(key); i++) {
        hkdf(suites[sealer->suite].digest, material, bytes, "", 0, "SFrame 1.0 Ratchet", 18, next,
             suites[sealer->suite].digest_bytes);
        g_free(material);
        material = g_memdup2(next, bytes = suites[sealer->suite].digest_bytes);
    }
    memcpy(key_info, "SFrame 1.0 Secret key ", 22);
    put_be(key_info + 22, derived->kid, 8);
    put_be(key_info + 30, (guint64)sealer->suite, 2);
    hkdf(suites[sealer->suite].digest, material, bytes, "", 0, key_info, sizeof key_info, derived->key,
         suites[sealer->suite].key_bytes);
    memcpy(salt_info, "SFrame 1.0 Secret salt ", 23);
    put_be(salt_info + 23, derived->kid, 8);
    put_be(salt_info + 31, (guint64)sealer->suite, 2);
    hkdf(suites[sealer->suite].digest, material, bytes, "", 0, salt_info, sizeof salt_info, derived->salt, 12);
    return TRUE;
}

/* ---- sealing ----------------------------------------------------------------------------------------------------- */

static void gcm(const guint8 *key, gsize key_bytes, const guint8 *iv, const guint8 *aad, gsize aad_bytes,
                const guint8 *data, gsize bytes, GByteArray *out)
{
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    guint at = out->len;
    int n = 0;
    g_byte_array_set_size(out, (guint)(at + bytes + 16));
    EVP_EncryptInit_ex(context, key_bytes == 32 ? EVP_aes_256_gcm() : EVP_aes_128_gcm(), NULL, key, iv);
    if (aad_bytes)
        EVP_EncryptUpdate(context, NULL, &n, aad, (int)aad_bytes);
    EVP_EncryptUpdate(context, out->data + at, &n, data, (int)bytes);
    EVP_EncryptFinal_ex(context, out->data + at + n, &n);
    EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_GCM_GET_TAG, 16, out->data + at + bytes);
    EVP_CIPHER_CTX_free(context);
}

/* A frame in Annex B with 4-byte start codes only; *slice is where the first slice's NAL header is, or the end. */
static GByteArray *normalize(StenoCodec codec, const guint8 *data, gsize bytes, gsize *slice)
{
    GByteArray *out = g_byte_array_new();
    *slice = G_MAXSIZE;
    for (gsize at = 0; at < bytes;) {
        gboolean code = at + 3 < bytes && data[at] == 0 && data[at + 1] == 0 &&
                        (data[at + 2] == 1 || (data[at + 2] == 0 && at + 4 < bytes && data[at + 3] == 1));
        if (!code) {
            g_byte_array_append(out, data + at++, 1);
            continue;
        }
        at += data[at + 2] == 1 ? 3 : 4;
        g_byte_array_append(out, (const guint8 *)"\0\0\0\1", 4);
        guint type = codec == STENO_CODEC_H264 ? data[at] & 0x1f : data[at] >> 1 & 0x3f;
        gboolean is_slice = codec == STENO_CODEC_H264 ? type == 1 || type == 5 : type < 32;
        if (is_slice && *slice == G_MAXSIZE)
            *slice = out->len;
    }
    return out;
}

/* From `from` on, no two zeros are followed by a byte of at most 3 (H.264 §7.4.1). */
static void escape(GByteArray *frame, guint from)
{
    GByteArray *out = g_byte_array_new();
    guint zeros = 0;
    g_byte_array_append(out, frame->data, from);
    for (guint i = from; i < frame->len; i++) {
        if (zeros >= 2 && frame->data[i] <= 3) {
            g_byte_array_append(out, (const guint8 *)"\3", 1);
            zeros = 0;
        }
        g_byte_array_append(out, frame->data + i, 1);
        zeros = frame->data[i] == 0 ? zeros + 1 : 0;
    }
    g_byte_array_set_size(frame, 0);
    g_byte_array_append(frame, out->data, out->len);
    g_byte_array_unref(out);
}

static void trailer_seal(Sealer *sealer, const SealKey *key, const SealedFrame *frame, const guint8 *data, gsize bytes,
                         gsize clear, GByteArray *out)
{
    guint8 iv[12], trailer[2] = {12, (guint8)key->kid};
    put_be(iv, 0x5eed5eed, 4);
    put_be(iv + 4, frame->rtp_ts, 4);
    put_be(iv + 8, sealer->count++, 4);
    clear = MIN(clear, bytes);
    g_byte_array_append(out, data, (guint)clear);
    gcm(key->key, sealer->key_bytes, iv, data, clear, data + clear, bytes - clear, out);
    g_byte_array_append(out, iv, sizeof iv);
    g_byte_array_append(out, trailer, sizeof trailer);
}

static gsize vp8_clear(const SealedFrame *frame)
{
    return !steno_codec_is_video(frame->codec) ? 1 : frame->keyframe ? 10 : 3;
}

static void jitsi_seal(Sealer *sealer, const SealKey *key, const SealedFrame *frame, const guint8 *data, gsize bytes,
                       GByteArray *out)
{
    trailer_seal(sealer, key, frame, data, bytes, vp8_clear(frame), out);
}

static void livekit_seal(Sealer *sealer, const SealKey *key, const SealedFrame *frame, const guint8 *data, gsize bytes,
                         GByteArray *out)
{
    if (frame->codec == STENO_CODEC_H264 || frame->codec == STENO_CODEC_H265) {
        gsize slice;
        g_autoptr(GByteArray) annexb = normalize(frame->codec, data, bytes, &slice);
        gsize clear = slice == G_MAXSIZE ? vp8_clear(frame) : slice + 2;
        trailer_seal(sealer, key, frame, annexb->data, annexb->len, clear, out);
        escape(out, (guint)clear);
    } else {
        trailer_seal(sealer, key, frame, data, bytes, frame->codec == STENO_CODEC_VP9 ? 0 : vp8_clear(frame), out);
    }
}

static gsize minimal(guint64 value)
{
    gsize bytes = 1;
    while (bytes < 8 && value >> 8 * bytes)
        bytes++;
    return bytes;
}

/* RFC 9605 §4.3 */
static gsize sframe_header(guint64 kid, guint64 ctr, guint8 *out)
{
    gsize k = kid < 8 ? 0 : minimal(kid), c = ctr < 8 ? 0 : minimal(ctr);
    out[0] = (guint8)((k ? 0x80 | (k - 1) << 4 : kid << 4) | (c ? 0x08 | (c - 1) : ctr));
    put_be(out + 1, kid, k);
    put_be(out + 1 + k, ctr, c);
    return 1 + k + c;
}

/* RFC 9605 §4.5.1 */
static void ctr_hmac(const SealKey *key, gsize tag_bytes, const guint8 *nonce, const guint8 *aad, gsize aad_bytes,
                     const guint8 *data, gsize bytes, GByteArray *out)
{
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    guint8 counter[16] = {0}, lengths[24], tag[32];
    gsize tag_length = 0;
    guint at = out->len;
    int n = 0;
    memcpy(counter, nonce, 12);
    g_byte_array_set_size(out, (guint)(at + bytes));
    EVP_EncryptInit_ex(context, EVP_aes_128_ctr(), NULL, key->key, counter);
    EVP_EncryptUpdate(context, out->data + at, &n, data, (int)bytes);
    EVP_CIPHER_CTX_free(context);
    put_be(lengths, aad_bytes, 8);
    put_be(lengths + 8, bytes, 8);
    put_be(lengths + 16, tag_bytes, 8);
    g_autoptr(GByteArray) text = g_byte_array_new();
    g_byte_array_append(text, lengths, sizeof lengths);
    g_byte_array_append(text, nonce, 12);
    g_byte_array_append(text, aad, (guint)aad_bytes);
    g_byte_array_append(text, out->data + at, (guint)bytes);
    EVP_Q_mac(NULL, "HMAC", NULL, "SHA256", NULL, key->key + 16, 32, text->data, text->len, tag, sizeof tag,
              &tag_length);
    g_byte_array_append(out, tag, (guint)tag_bytes);
}

static void sframe_seal(Sealer *sealer, const SealKey *key, const SealedFrame *frame, const guint8 *data, gsize bytes,
                        GByteArray *out)
{
    (void)frame;
    guint8 header[17], nonce[12] = {0};
    guint64 ctr = sealer->count++;
    gsize head = sframe_header(key->kid, ctr, header);
    put_be(nonce + 4, ctr, 8);
    for (gsize i = 0; i < sizeof nonce; i++)
        nonce[i] ^= key->salt[i];
    g_byte_array_append(out, header, (guint)head);
    if (sealer->suite <= 3)
        ctr_hmac(key, suites[sealer->suite].tag_bytes, nonce, header, head, data, bytes, out);
    else
        gcm(key->key, suites[sealer->suite].key_bytes, nonce, header, head, data, bytes, out);
}

/* ---- the aes formats (docs/CHANNEL-AES.md) ----------------------------------------------------------------------- */

static void aes_expand(const Sealer *sealer, const guint8 *master, const char *label, guint64 kid, guint8 *out,
                       gsize bytes)
{
    guint8 info[64];
    gsize n = strlen(label);
    memcpy(info, label, n);
    info[n] = sealer->format->mode;
    put_be(info + n + 1, kid, 2);
    hkdf("SHA256", master, 32, "", 0, info, n + 3, out, bytes);
}

static gboolean aes_derive(const Sealer *sealer, const json_t *key, SealKey *derived, GError **error)
{
    const char *secret = json_string_value(json_object_get(key, "secret"));
    const char *given = json_string_value(json_object_get(key, "salt"));
    gsize salt_bytes = 0;
    g_autofree guint8 *salt = given ? g_base64_decode(given, &salt_bytes) : NULL;
    guint8 master[32];
    if (!secret)
        return no_material(error);
    PKCS5_PBKDF2_HMAC(secret, (int)strlen(secret), salt ? salt : (const guint8 *)"Steno channel AES 1",
                      salt ? (int)salt_bytes : 19, 100000, EVP_sha256(), sizeof master, master);
    aes_expand(sealer, master, "Steno channel AES 1 key ", derived->kid, derived->key, sealer->format->key_bytes);
    aes_expand(sealer, master, "Steno channel AES 1 check ", derived->kid, derived->check, sizeof derived->check);
    return TRUE;
}

static void aes_blocks(const char *name, const guint8 *key, const guint8 *tweak, const guint8 *data, gsize bytes,
                       guint8 *out)
{
    EVP_CIPHER *cipher = EVP_CIPHER_fetch(NULL, name, NULL);
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    int n = 0;
    EVP_EncryptInit_ex2(context, cipher, key, tweak, NULL);
    EVP_CIPHER_CTX_set_padding(context, 0);
    EVP_EncryptUpdate(context, out, &n, data, (int)bytes);
    EVP_CIPHER_CTX_free(context);
    EVP_CIPHER_free(cipher);
}

static void aes_seal(Sealer *sealer, const SealKey *key, const SealedFrame *frame, const guint8 *data, gsize bytes,
                     GByteArray *out)
{
    (void)frame;
    const Format *format = sealer->format;
    guint8 header[24] = {1, format->mode}, tweak[16] = {0}, check[16];
    put_be(header + 2, key->kid, 2);
    if (strstr(format->name, "gcm")) {
        put_be(header + 4, 0x5eed5eed, 4);
        put_be(header + 8, sealer->count++, 8);
        g_byte_array_append(out, header, 16);
        gcm(key->key, format->key_bytes, header + 4, header, 16, data, bytes, out);
        return;
    }
    gboolean xts = strstr(format->name, "xts") != NULL;
    gsize padded = xts ? MAX(bytes, 16) : MAX((bytes + 15) / 16, 1) * 16;
    g_autofree guint8 *plain = g_malloc0(padded), *sealed = g_malloc0(padded);
    memcpy(plain, data, bytes);
    put_be(header + 4, bytes, 4);
    put_be(header + 8, sealer->count++, 8);
    memcpy(tweak, header + 8, 8);
    aes_blocks("AES-256-ECB", key->check, NULL, header, 16, check);
    memcpy(header + 16, check, 8);
    aes_blocks(format->cipher, key->key, xts ? tweak : NULL, plain, padded, sealed);
    g_byte_array_append(out, header, sizeof header);
    g_byte_array_append(out, sealed, (guint)padded);
}

static const Format formats[] = {
    {"livekit", .derive = livekit_derive, .seal = livekit_seal},
    {"jitsi", .derive = jitsi_derive, .seal = jitsi_seal},
    {"sframe", .derive = sframe_derive, .seal = sframe_seal},
    {"sframe-packet", TRUE, .derive = sframe_derive, .seal = sframe_seal},
    {"aes-128-xts", FALSE, 1, "AES-128-XTS", 32, aes_derive, aes_seal},
    {"aes-128-ecb", FALSE, 2, "AES-128-ECB", 16, aes_derive, aes_seal},
    {"aes-256-xts", FALSE, 3, "AES-256-XTS", 64, aes_derive, aes_seal},
    {"sm4-128-ecb", FALSE, 4, "SM4-ECB", 16, aes_derive, aes_seal},
    {"aes-128-gcm", FALSE, 5, "AES-128-GCM", 16, aes_derive, aes_seal},
    {"aes-256-gcm", FALSE, 6, "AES-256-GCM", 32, aes_derive, aes_seal},
    {"aes-128-gcm2", FALSE, 7, "AES-128-GCM", 16, aes_derive, aes_seal},
    {"aes-256-gcm2", FALSE, 8, "AES-256-GCM", 32, aes_derive, aes_seal},
};

/* ---- the description --------------------------------------------------------------------------------------------- */

static gboolean add_keys(Sealer *sealer, const json_t *keys, GError **error)
{
    gsize i;
    json_t *key;
    json_array_foreach (keys, i, key) {
        SealKey derived = {
            .from_us = (gint64)(json_number_value(json_object_get(key, "from_s")) * G_USEC_PER_SEC),
            .kid = (guint64)json_integer_value(json_object_get(key, "kid")),
        };
        if (!sealer->format->derive(sealer, key, &derived, error))
            return FALSE;
        g_array_append_val(sealer->keys, derived);
    }
    return sealer->keys->len > 0 || no_material(error);
}

static gboolean read_description(Sealer *sealer, const json_t *text, GError **error)
{
    const char *name = json_string_value(json_object_get(text, "format"));
    for (gsize i = 0; name && i < G_N_ELEMENTS(formats); i++) {
        if (strcmp(formats[i].name, name) == 0)
            sealer->format = &formats[i];
    }
    const json_t *suite = json_object_get(text, "suite"), *bits = json_object_get(text, "key_bits");
    const char *kdf = json_string_value(json_object_get(text, "kdf"));
    sealer->suite = suite ? (int)json_integer_value(suite) : 4;
    sealer->key_bytes = bits ? (gsize)json_integer_value(bits) / 8 : 16;
    sealer->plain_key = kdf && strcmp(kdf, "none") == 0;
    if (!sealer->format || sealer->suite < 1 || sealer->suite > 5) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, "no such format or suite: %s", name ? name : "(none)");
        return FALSE;
    }
    return add_keys(sealer, json_object_get(text, "keys"), error);
}

Sealer *sealer_new(const char *path, GError **error)
{
    json_error_t why;
    json_t *text = json_load_file(path, 0, &why);
    if (!text) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, "%s: %s", path, why.text);
        return NULL;
    }
    Sealer *sealer = g_new0(Sealer, 1);
    sealer->keys = g_array_new(FALSE, FALSE, sizeof(SealKey));
    gboolean read = read_description(sealer, text, error);
    json_decref(text);
    if (read)
        return sealer;
    sealer_free(sealer);
    return NULL;
}

void sealer_free(Sealer *sealer)
{
    if (!sealer)
        return;
    g_array_unref(sealer->keys);
    g_free(sealer);
}

gboolean sealer_is_per_packet(const Sealer *sealer)
{
    return sealer->format->per_packet;
}

GByteArray *sealer_seal(Sealer *sealer, const SealedFrame *frame, const guint8 *data, gsize bytes)
{
    const SealKey *key = &g_array_index(sealer->keys, SealKey, 0);
    for (guint i = 1; i < sealer->keys->len; i++) {
        const SealKey *next = &g_array_index(sealer->keys, SealKey, i);
        if (next->from_us <= frame->time_us)
            key = next;
    }
    GByteArray *out = g_byte_array_new();
    sealer->format->seal(sealer, key, frame, data, bytes, out);
    return out;
}
