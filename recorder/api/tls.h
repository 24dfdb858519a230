/* TLS of the HTTPS listeners: what is spoken, and with which certificate. */
#ifndef STENO_API_TLS_H
#define STENO_API_TLS_H

#include "steno/config.h"

#include <openssl/ssl.h>

/*
 * Sets up a server's context: TLS 1.2 and 1.3, ECDHE with AEAD only, no renegotiation, no compression, no resumption.
 * client_ca_file (or NULL): only clients with a certificate of these authorities. CONFIG, saying which file.
 */
gboolean tls_set_up(SSL_CTX *context, const char *certificate_file, const char *private_key_file,
                    const char *client_ca_file, GError **error);
/* After lws has put its own things into the context: takes them out again that we don't want. */
void tls_finish(SSL_CTX *context);

#endif
