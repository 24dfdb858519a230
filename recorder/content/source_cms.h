/* A key file that is encrypted for a private key, which may be in a token. */
#ifndef CONTENT_SOURCE_CMS_H
#define CONTENT_SOURCE_CMS_H

#include "source_buffer.h"

typedef struct KeyToken KeyToken;

/* uri: of the private key (RFC 7512, or file:), pin NULL: there is none. Both are lent. Opens nothing yet. */
KeyToken *key_token_new(const char *uri, const StenoSecret *pin);
void key_token_free(KeyToken *token);

/*
 * Decrypts CMS EnvelopedData or AuthEnvelopedData (DER or PEM) with it. NULL: KEY_SOURCE when the private key cannot be
 * had, KEYS_INVALID when the message is no such thing or for another key. *pin_refused: the token was given its PIN,
 * and gave no key; again would bring it closer to being locked.
 */
StenoSecret *key_token_decrypt(KeyToken *token, const SourceBuffer *message, gboolean *pin_refused, GError **error);

#endif
