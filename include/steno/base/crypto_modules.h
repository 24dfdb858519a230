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
 * HMACs, hashes as OpenSSL would fetch them now. module and version are texts; fips: TRUE when the algorithm's
 * implementation is that of a FIPS provider. An algorithm that the active modules do not offer has module and version
 * null. What other libraries do is there too, without a version. SRTP is done elsewhere: steno_transport_srtp_module().
 * The caller owns it.
 */
json_t *steno_crypto_modules(void);
/* One such row; module NULL: there is none, version NULL: it does not say. The caller owns it. */
json_t *steno_crypto_module(const char *use, const char *algorithm, const char *module, const char *version,
                            gboolean fips);

#endif
