#include "private.h"
#include "steno/base/error.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <string.h>

typedef struct {
    const char *name; /* as in SDP, RFC 8122 §5 */
    const char *openssl;
    guint bytes;
} HashFunction;

/* What RFC 8122 allows and is still strong: sha-1, sha-224 and the MD family are not believed. */
static const HashFunction hashes[] = {
    {"sha-256", "SHA256", 32},
    {"sha-384", "SHA384", 48},
    {"sha-512", "SHA512", 64},
};

typedef struct {
    const HashFunction *hash;
    guint8 digest[64];
} Fingerprint;

struct StenoFingerprints {
    guint n_fingerprints;
    Fingerprint fingerprints[STENO_FINGERPRINTS_MAX];
};

static const HashFunction *find_hash(const char *name, gsize length)
{
    for (guint i = 0; i < G_N_ELEMENTS(hashes); i++) {
        if (strlen(hashes[i].name) == length && g_ascii_strncasecmp(hashes[i].name, name, length) == 0)
            return &hashes[i];
    }
    return NULL;
}

/* "AB:CD:…", exactly `bytes` of them. */
static gboolean parse_hex(const char *text, guint8 *out, guint bytes)
{
    for (guint i = 0; i < bytes; i++, text += 3) {
        if (!g_ascii_isxdigit(text[0]) || !g_ascii_isxdigit(text[1]) || text[2] != (i + 1 < bytes ? ':' : '\0'))
            return FALSE;
        out[i] = (guint8)(g_ascii_xdigit_value(text[0]) << 4 | g_ascii_xdigit_value(text[1]));
    }
    return TRUE;
}

/* Adds one of the texts. A hash that we do not believe is skipped, and named in `weak`. */
static gboolean add(StenoFingerprints *self, const char *text, GString *weak, GError **error)
{
    gsize name_length = strcspn(text, " ");
    const HashFunction *hash = find_hash(text, name_length);

    if (!hash) {
        g_string_append_printf(weak, "%s%.*s", weak->len ? ", " : "", (int)MIN(name_length, 32), text);
        return TRUE;
    }
    if (self->n_fingerprints == STENO_FINGERPRINTS_MAX)
        return TRUE;
    Fingerprint *fingerprint = &self->fingerprints[self->n_fingerprints];
    g_autofree char *hex = g_strstrip(g_strdup(text + name_length));
    if (!parse_hex(hex, fingerprint->digest, hash->bytes)) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_SDP_INVALID,
                    "reading the peer's fingerprint: it is not %u bytes of hexadecimal as %s has", hash->bytes,
                    hash->name);
        return FALSE;
    }
    fingerprint->hash = hash;
    self->n_fingerprints++;
    return TRUE;
}

StenoFingerprints *steno_fingerprints_new(const char *const *texts, GError **error)
{
    g_autoptr(GString) weak = g_string_new(NULL);
    StenoFingerprints *self = g_new0(StenoFingerprints, 1);

    for (guint i = 0; texts && texts[i]; i++) {
        if (!add(self, texts[i], weak, error)) {
            g_free(self);
            return NULL;
        }
    }
    if (self->n_fingerprints > 0)
        return self;
    g_free(self);
    if (weak->len)
        g_set_error(
            error, STENO_ERROR, STENO_ERROR_WEAK_CRYPTO,
            "checking the peer's fingerprints: only with %s, and that is too weak; the peer must offer sha-256, "
            "sha-384 or sha-512",
            weak->str);
    else
        g_set_error_literal(error, STENO_ERROR, STENO_ERROR_WEAK_CRYPTO,
                            "checking the peer's fingerprints: the description has none, so that media would not be "
                            "encrypted for sure; the peer must offer DTLS-SRTP");
    return NULL;
}

void steno_fingerprints_free(StenoFingerprints *fingerprints)
{
    g_free(fingerprints);
}

static gboolean digest(const HashFunction *hash, const guint8 *der, gsize bytes, guint8 out[EVP_MAX_MD_SIZE])
{
    guint length = 0;
    EVP_MD *md = EVP_MD_fetch(NULL, hash->openssl, NULL);
    gboolean ok = md && EVP_Digest(der, bytes, out, &length, md, NULL) == 1 && length == hash->bytes;

    EVP_MD_free(md);
    return ok;
}

gboolean steno_fingerprints_match(const StenoFingerprints *fingerprints, const guint8 *der, gsize bytes)
{
    gboolean matches = FALSE;

    for (guint i = 0; i < fingerprints->n_fingerprints; i++) {
        const Fingerprint *fingerprint = &fingerprints->fingerprints[i];
        guint8 actual[EVP_MAX_MD_SIZE];
        if (digest(fingerprint->hash, der, bytes, actual))
            matches |= CRYPTO_memcmp(actual, fingerprint->digest, fingerprint->hash->bytes) == 0;
    }
    return matches;
}

gboolean steno_fingerprints_equal(const StenoFingerprints *a, const StenoFingerprints *b)
{
    if (!a || !b || a->n_fingerprints != b->n_fingerprints)
        return FALSE;
    for (guint i = 0; i < a->n_fingerprints; i++) {
        if (a->fingerprints[i].hash != b->fingerprints[i].hash ||
            memcmp(a->fingerprints[i].digest, b->fingerprints[i].digest, a->fingerprints[i].hash->bytes) != 0)
            return FALSE;
    }
    return TRUE;
}

static void append_text(GString *text, const HashFunction *hash, const guint8 *bytes)
{
    g_string_append_printf(text, "%s%s ", text->len ? ", " : "", hash->name);
    for (guint i = 0; i < hash->bytes; i++)
        g_string_append_printf(text, "%s%02X", i ? ":" : "", bytes[i]);
}

char *steno_fingerprints_text(const StenoFingerprints *fingerprints)
{
    GString *text = g_string_new(NULL);

    for (guint i = 0; i < fingerprints->n_fingerprints; i++)
        append_text(text, fingerprints->fingerprints[i].hash, fingerprints->fingerprints[i].digest);
    return g_string_free(text, FALSE);
}

char *steno_fingerprint_of(const guint8 *der, gsize bytes)
{
    GString *text = g_string_new(NULL);
    guint8 actual[EVP_MAX_MD_SIZE];

    if (digest(&hashes[0], der, bytes, actual))
        append_text(text, &hashes[0], actual);
    return g_string_free(text, FALSE);
}
