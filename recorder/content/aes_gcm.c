#include "aes_gcm.h"

#include <openssl/evp.h>

AesGcm *aes_gcm_new(const guint8 *key, gsize key_bytes)
{
    EVP_CIPHER *cipher = EVP_CIPHER_fetch(NULL, key_bytes == 16 ? "AES-128-GCM" : "AES-256-GCM", NULL);
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    /* The IV's length is 12 unless told otherwise; the IV itself comes with each frame. */
    if (!cipher || !context || EVP_DecryptInit_ex2(context, cipher, key, NULL, NULL) != 1) {
        EVP_CIPHER_CTX_free(context);
        context = NULL;
    }
    EVP_CIPHER_free(cipher);
    return context;
}

void aes_gcm_free(AesGcm *gcm)
{
    EVP_CIPHER_CTX_free(gcm);
}

gboolean aes_gcm_open(AesGcm *gcm, const AesGcmFrame *frame, guint8 *out)
{
    int written = 0;
    if (frame->bytes < AES_GCM_TAG_BYTES)
        return FALSE;
    gsize bytes = frame->bytes - AES_GCM_TAG_BYTES;
    if (EVP_DecryptInit_ex2(gcm, NULL, NULL, frame->iv, NULL) != 1)
        return FALSE;
    for (guint i = 0; i < G_N_ELEMENTS(frame->aad); i++)
        if (frame->aad_bytes[i] > 0 &&
            EVP_DecryptUpdate(gcm, NULL, &written, frame->aad[i], (int)frame->aad_bytes[i]) != 1)
            return FALSE;
    if (bytes > 0 && EVP_DecryptUpdate(gcm, out, &written, frame->data, (int)bytes) != 1)
        return FALSE;
    /* Const for no other reason than OpenSSL's interface: it copies the tag. */
    return EVP_CIPHER_CTX_ctrl(gcm, EVP_CTRL_AEAD_SET_TAG, AES_GCM_TAG_BYTES, (void *)(frame->data + bytes)) == 1 &&
           EVP_DecryptFinal_ex(gcm, out + bytes, &written) == 1;
}
