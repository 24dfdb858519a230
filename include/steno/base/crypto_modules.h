/*
 * Which cryptographic module does what in this process, for `steno doctor --fips`: told by the library that was really
 * loaded, not by what was meant.
 */
#ifndef STENO_BASE_CRYPTO_MODULES_H
#define STENO_BASE_CRYPTO_MODULES_H

#include <glib.h>
#include <jansson.h>

/* Is OpenSSL's FIPS provider loaded and preferred (default properties fips=yes)? */
gboolean steno_crypto_is_fips(void);

/*
 * An array of {"use", "algorithm", "module", "version", "fips"}: content AES, key derivation, DTLS, signatures, token
 * HMACs, hashes as OpenSSL would fetch them now. fips: TRUE when the module is a FIPS provider. An algorithm that the
 * active modules do not offer has module null. The caller owns it.
 */
json_t *steno_crypto_modules(void);

#endif
