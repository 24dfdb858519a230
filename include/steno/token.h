/*
 * token: join tokens. Mint, read, say when one expires. Tokens and secrets are StenoSecret from end to end.
 *
 * Janus (janus-gateway 1.x auth.c): "<expiry>,<realm>[,<descriptor>…]:<base64 HMAC-SHA1>".
 */
#ifndef STENO_TOKEN_H
#define STENO_TOKEN_H

#include "steno/base/secret.h"

#define STENO_TOKEN_DESCRIPTORS_MAX 16
#define STENO_TOKEN_MAX_BYTES 4096

/*
 * Mints a signed Janus token. realm: "janus" for the API, or a plug-in's package for its own rooms; descriptors:
 * NULL-terminated ("janus.plugin.videoroom", "room=1234"); expires_s: seconds since 1970. USAGE when a part holds ','
 * or
 * ':' or is empty.
 */
StenoSecret *steno_token_mint_janus(const StenoSecret *secret, const char *realm, const char *const *descriptors,
                                    gint64 expires_s, GError **error);

/* The expiry of a signed Janus token, seconds since 1970; -1 when the text is not one (a stored token: opaque). */
gint64 steno_token_janus_expiry(const char *token);

/*
 * Verifies a signed Janus token: signature (constant time), realm, all of descriptors present, not expired at now_s.
 * TOKEN_REFUSED or TOKEN_EXPIRED with the reason.
 */
gboolean steno_token_verify_janus(const StenoSecret *secret, const char *token, const char *realm,
                                  const char *const *descriptors, gint64 now_s, GError **error);

#endif
