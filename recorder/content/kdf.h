/* Key derivations by EVP_KDF, fetched with the default properties, so that an active FIPS provider does them. */
#ifndef STENO_CONTENT_KDF_H
#define STENO_CONTENT_KDF_H

#include <glib.h>

typedef enum { CONTENT_HKDF_EXTRACT_AND_EXPAND, CONTENT_HKDF_EXTRACT, CONTENT_HKDF_EXPAND } ContentHkdfMode;

/* PBKDF2-HMAC-SHA-256. FALSE when the provider refuses (FIPS: a passphrase or salt that is too short for it). */
gboolean content_pbkdf2(const void *passphrase, gsize passphrase_bytes, const void *salt, gsize salt_bytes,
                        guint iterations, guint8 *out, gsize out_bytes);

/*
 * HKDF (RFC 5869) with digest "SHA256" or "SHA512". EXTRACT: key is the IKM, info is not read, out_bytes is the
 * digest's. EXPAND: key is the PRK, salt is not read. FALSE when the provider refuses.
 */
gboolean content_hkdf(ContentHkdfMode mode, const char *digest, const void *key, gsize key_bytes, const void *salt,
                      gsize salt_bytes, const void *info, gsize info_bytes, guint8 *out, gsize out_bytes);

#endif
