#include "format.h"

/* The order in which help and errors name them. */
static const StenoContentFormat *const formats[] = {
    &content_sframe,       &content_sframe_packet, &content_aes_128_gcm, &content_aes_256_gcm, &content_aes_128_gcm2,
    &content_aes_256_gcm2, &content_aes_128_xts,   &content_aes_256_xts, &content_aes_128_ecb, &content_sm4_128_ecb,
};

const StenoContentFormat *steno_content_format(const char *name)
{
    for (guint i = 0; i < G_N_ELEMENTS(formats); i++)
        if (g_strcmp0(formats[i]->name, name) == 0)
            return formats[i];
    return NULL;
}
