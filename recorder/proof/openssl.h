/* What both halves of the room need of OpenSSL. */
#ifndef STENO_PROOF_OPENSSL_H
#define STENO_PROOF_OPENSSL_H

#include <glib.h>
#include <openssl/bio.h>
#include <openssl/evp.h>

G_DEFINE_AUTOPTR_CLEANUP_FUNC(EVP_PKEY, EVP_PKEY_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(EVP_MD_CTX, EVP_MD_CTX_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(BIO, BIO_free_all)

/* OpenSSL's newest reason in words, its queue emptied. Lent, never NULL. */
const char *openssl_reason(void);

#endif
