/* Janus' signed tokens: "<expiry>,<realm>[,<descriptor>…]:<base64 HMAC-SHA1 of what is before the colon>" (its auth.c).
 */
#include "steno/token.h"

#include "steno/base/clock.h"
#include "steno/base/error.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <string.h>

#define SHA1_BYTES 20
#define SIGNATURE_TEXT_BYTES 28 /* base64 of 20 bytes, padded */
#define EXPIRY_DIGITS_MAX 18    /* any of them fit into 63 bits */

/* OpenSSL's one HMAC that is not deprecated in 3.0; the digest Janus wants is SHA-1, as a MAC still sound. */
static gboolean hmac_sha1(const StenoSecret *secret, const char *text, gsize bytes, guint8 mac[SHA1_BYTES])
{
    gboolean ok = FALSE;
    gsize length = 0;
    OSSL_PARAM parameters[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)"SHA1", 0),
                               OSSL_PARAM_construct_end()};
    EVP_MAC *algorithm = EVP_MAC_fetch(NULL, "HMAC", NULL);
    EVP_MAC_CTX *context = algorithm ? EVP_MAC_CTX_new(algorithm) : NULL;
    if (context && EVP_MAC_init(context, steno_secret_data(secret), steno_secret_bytes(secret), parameters) &&
        EVP_MAC_update(context, (const guint8 *)text, bytes) && EVP_MAC_final(context, mac, &length, SHA1_BYTES))
        ok = length == SHA1_BYTES;
    EVP_MAC_CTX_free(context);
    EVP_MAC_free(algorithm);
    return ok;
}

static gboolean sign(const StenoSecret *secret, const char *text, gsize bytes, char signature[SIGNATURE_TEXT_BYTES + 1],
                     GError **error)
{
    guint8 mac[SHA1_BYTES];
    if (!hmac_sha1(secret, text, bytes, mac))
        return steno_error_set(
            error, STENO_ERROR_INTERNAL,
            "cannot sign a Janus token: OpenSSL has no HMAC-SHA1 (is a provider that forbids it loaded?)");
    EVP_EncodeBlock((guint8 *)signature, mac, SHA1_BYTES);
    steno_secret_wipe(mac, sizeof mac);
    return TRUE;
}

static gboolean check_part(const char *what, const char *part, GError **error)
{
    if (part && part[0] != '\0' && !strpbrk(part, ",:"))
        return TRUE;
    return steno_error_set(error, STENO_ERROR_USAGE, "cannot mint a Janus token: the %s '%s' %s", what,
                           part ? part : "",
                           part && part[0] ? "holds ',' or ':', which separate a token's parts" : "is empty");
}

StenoSecret *steno_token_mint_janus(const StenoSecret *secret, const char *realm, const char *const *descriptors,
                                    gint64 expires_s, GError **error)
{
    if (expires_s <= 0) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_USAGE,
                    "cannot mint a Janus token: its expiry, %" G_GINT64_FORMAT ", is not after 1970", expires_s);
        return NULL;
    }
    if (!check_part("realm", realm, error))
        return NULL;

    g_autoptr(GString) text = g_string_new(NULL);
    g_string_printf(text, "%" G_GINT64_FORMAT ",%s", expires_s, realm);
    for (guint i = 0; descriptors && descriptors[i]; i++) {
        if (i >= STENO_TOKEN_DESCRIPTORS_MAX) {
            g_set_error(error, STENO_ERROR, STENO_ERROR_USAGE, "cannot mint a Janus token: more than %d descriptors",
                        STENO_TOKEN_DESCRIPTORS_MAX);
            return NULL;
        }
        if (!check_part("descriptor", descriptors[i], error))
            return NULL;
        g_string_append_printf(text, ",%s", descriptors[i]);
    }
    if (text->len + 1 + SIGNATURE_TEXT_BYTES > STENO_TOKEN_MAX_BYTES) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_USAGE,
                    "cannot mint a Janus token: it would be longer than %d bytes", STENO_TOKEN_MAX_BYTES);
        return NULL;
    }

    char signature[SIGNATURE_TEXT_BYTES + 1];
    if (!sign(secret, text->str, text->len, signature, error))
        return NULL;
    /* Room first: growing would leave a copy of the token behind in freed memory. */
    char token[STENO_TOKEN_MAX_BYTES + 1];
    g_snprintf(token, sizeof token, "%s:%s", text->str, signature);
    StenoSecret *minted = steno_secret_new(token, strlen(token));
    steno_secret_wipe(token, sizeof token);
    steno_secret_wipe(signature, sizeof signature);
    return minted;
}

/* The bytes before the one colon, or NULL when the text is not a signed token by its form. */
static const char *signed_part(const char *token, gsize *bytes, gint64 *expires_s)
{
    if (!token || strnlen(token, STENO_TOKEN_MAX_BYTES + 1) > STENO_TOKEN_MAX_BYTES)
        return NULL;
    const char *colon = strchr(token, ':');
    if (!colon || strchr(colon + 1, ':') || colon[1] == '\0')
        return NULL;
    gsize digits = strspn(token, "0123456789");
    if (digits == 0 || digits > EXPIRY_DIGITS_MAX || token[digits] != ',' || token + digits > colon)
        return NULL;
    *expires_s = g_ascii_strtoll(token, NULL, 10);
    *bytes = (gsize)(colon - token);
    return colon + 1;
}

gint64 steno_token_janus_expiry(const char *token)
{
    gsize bytes;
    gint64 expires_s;
    return signed_part(token, &bytes, &expires_s) ? expires_s : -1;
}

static gboolean refuse(GError **error, const char *why)
{
    return steno_error_set(error, STENO_ERROR_TOKEN_REFUSED, "the Janus token is refused: %s", why);
}

static gboolean has_parts(const char *text, gsize bytes, const char *realm, const char *const *descriptors,
                          GError **error)
{
    g_autofree char *copy = g_strndup(text, bytes);
    g_auto(GStrv) parts = g_strsplit(copy, ",", STENO_TOKEN_DESCRIPTORS_MAX + 3);
    if (g_strv_length(parts) > STENO_TOKEN_DESCRIPTORS_MAX + 2)
        return refuse(error, "it has too many descriptors");
    if (g_strcmp0(parts[1], realm) != 0) {
        g_autofree char *why = g_strdup_printf("it is not for the realm '%s'", realm);
        return refuse(error, why);
    }
    for (guint i = 0; descriptors && descriptors[i]; i++) {
        if (!g_strv_contains((const char *const *)parts + 2, descriptors[i])) {
            g_autofree char *why = g_strdup_printf("it has no descriptor '%s'", descriptors[i]);
            return refuse(error, why);
        }
    }
    return TRUE;
}

gboolean steno_token_verify_janus(const StenoSecret *secret, const char *token, const char *realm,
                                  const char *const *descriptors, gint64 now_s, GError **error)
{
    gsize bytes;
    gint64 expires_s;
    const char *given = signed_part(token, &bytes, &expires_s);
    if (!given)
        return refuse(error, "it is not of the form 'expiry,realm,descriptors:signature'");

    char signature[SIGNATURE_TEXT_BYTES + 1];
    if (!sign(secret, token, bytes, signature, error))
        return FALSE;
    gboolean equal = strlen(given) == SIGNATURE_TEXT_BYTES &&
                     steno_secret_equal((const guint8 *)given, (const guint8 *)signature, SIGNATURE_TEXT_BYTES);
    steno_secret_wipe(signature, sizeof signature);
    if (!equal)
        return refuse(error, "its signature was not made with this secret");
    if (!has_parts(token, bytes, realm, descriptors, error))
        return FALSE;
    /* Janus lets the last second in: it compares with '>'. */
    if (now_s > expires_s) {
        g_autofree char *when = steno_clock_format(expires_s * G_USEC_PER_SEC);
        return steno_error_set(error, STENO_ERROR_TOKEN_EXPIRED, "the Janus token expired at %s", when);
    }
    return TRUE;
}
