/* Key files of any bytes: a private key, public keys, or words that say what is wrong with them. */
#include "steno/base/error.h"
#include "steno/proof.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void public_keys(const char *pem, const guint8 *signature)
{
    g_autoptr(GError) error = NULL;
    gboolean good = steno_proof_verify(pem, (const guint8 *)"steno", 5, signature, STENO_PROOF_SIGNATURE_BYTES, &error);
    if (good == !!error || (error && error->domain != STENO_ERROR))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static const guint8 signature[STENO_PROOF_SIGNATURE_BYTES];
    g_autofree char *text = g_strndup((const char *)data, bytes);
    public_keys(text, signature);
    g_autoptr(StenoSecret) pem = steno_secret_new(data, bytes);
    g_autoptr(GError) error = NULL;
    g_autoptr(StenoSigner) signer = steno_signer_new(pem, &error);
    if (!signer != !!error || (error && !g_error_matches(error, STENO_ERROR, STENO_ERROR_CONFIG)))
        abort();
    if (signer && (strlen(steno_signer_fingerprint(signer)) != 64 ||
                   !g_str_has_prefix(steno_signer_public_pem(signer), "-----BEGIN PUBLIC KEY-----\n")))
        abort();
    return 0;
}
