/*
 * AES-GCM of one key, made once and used for each frame: SFrame's suites 4 and 5 and the aes-*-gcm formats.
 */
#ifndef STENO_CONTENT_AES_GCM_H
#define STENO_CONTENT_AES_GCM_H

#include <glib.h>

#define AES_GCM_IV_BYTES 12
#define AES_GCM_TAG_BYTES 16

/* OpenSSL's context; what it holds of the key, it cleanses when it is freed. */
typedef struct evp_cipher_ctx_st AesGcm;

/* key_bytes: 16 or 32. NULL: OpenSSL has no AES-GCM, or refuses. */
AesGcm *aes_gcm_new(const guint8 *key, gsize key_bytes);
void aes_gcm_free(AesGcm *gcm);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(AesGcm, aes_gcm_free)

/* What one frame consists of; all of it is lent. */
typedef struct {
    const guint8 *iv; /* AES_GCM_IV_BYTES */
    const guint8 *aad[2];
    gsize aad_bytes[2];
    const guint8 *data; /* ciphertext, and the tag behind it */
    gsize bytes;        /* of both */
} AesGcmFrame;

/*
 * FALSE: the tag is wrong, or there is none. out has room for bytes - AES_GCM_TAG_BYTES, and holds nothing that may be
 * used when it was FALSE. Allocates nothing.
 */
gboolean aes_gcm_open(AesGcm *gcm, const AesGcmFrame *frame, guint8 *out);

#endif
