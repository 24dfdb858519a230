/* Texts of a key set: bytes in base64 or hex, and numbers of 64 bits. None of it says a value in an error. */
#ifndef STENO_CONTENT_KEYS_TEXT_H
#define STENO_CONTENT_KEYS_TEXT_H

#include <glib.h>
#include <jansson.h>

/*
 * Base64 (RFC 4648 §4, padded) or "hex:" and pairs of digits. FALSE when it is neither or not 1 to max_bytes; out (of
 * max_bytes) may then hold a part of it, for the caller to wipe.
 */
gboolean content_text_to_bytes(const char *text, gsize text_bytes, guint8 *out, gsize max_bytes, gsize *bytes);

/* A number that is not negative, or one in decimal text, for those beyond what JSON libraries keep exact. */
gboolean content_json_to_u64(const json_t *value, guint64 *number);

#endif
