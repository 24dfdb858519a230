/*
 * The cipher suites of SFrame (RFC 9605 §4.5): 1–3 are AES-128-CTR with a truncated HMAC-SHA256, 4 and 5 are AES-GCM.
 */
#ifndef STENO_CONTENT_SFRAME_SUITE_H
#define STENO_CONTENT_SFRAME_SUITE_H

#include "aes_gcm.h"

/* Of all suites: Nk of 1–3 (AES key and HMAC key), Nh of 5, Nn. */
#define SFRAME_KEY_MAX_BYTES 48
#define SFRAME_HASH_MAX_BYTES 64
#define SFRAME_NONCE_BYTES 12

typedef struct {
    guint id;
    const char *hash; /* of HKDF, as OpenSSL calls it */
    guint hash_bytes; /* Nh */
    guint key_bytes;  /* Nk */
    guint aes_bytes;  /* Nka: of the key's bytes, so many are the AES key, the rest is for HMAC; GCM: all */
    guint tag_bytes;  /* Nt */
} SframeSuite;

/* NULL: there is no such suite. Static. */
const SframeSuite *sframe_suite(guint id);

/* The AEAD of one suite with one key. */
typedef struct SframeAead SframeAead;

/* key: suite->key_bytes of it. NULL: OpenSSL does not offer what the suite needs. */
SframeAead *sframe_aead_new(const SframeSuite *suite, const guint8 *key);
void sframe_aead_free(SframeAead *aead);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SframeAead, sframe_aead_free)

/*
 * As aes_gcm_open(), with the suite's own tag length: out has room for frame->bytes - suite->tag_bytes. Suites 1–3
 * write nothing to out unless the tag was right.
 */
gboolean sframe_aead_open(SframeAead *aead, const AesGcmFrame *frame, guint8 *out);

#endif
