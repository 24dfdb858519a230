/*
 * envelope: a finished file, encrypted for those who may read it: CMS AuthEnvelopedData (RFC 5083) with AES-256-GCM
 * (RFC 5084), one recipient for each X.509 certificate (RSA key transport with OAEP, or ECDH). DER, written as a
 * stream, in memory that does not grow with the file. `openssl cms -decrypt -inform DER -inkey KEY` reads it.
 */
#ifndef STENO_ENVELOPE_H
#define STENO_ENVELOPE_H

#include <glib.h>

/* What is put behind the name of an encrypted file. */
#define STENO_ENVELOPE_SUFFIX ".cms"

typedef struct StenoEnvelope StenoEnvelope;

/* Reads the recipients' certificates (paths of PEM files, NULL-terminated). USAGE, naming the file: not there, not
 * readable, no certificate, not valid now, a key that CMS cannot use or below 2048 bits (RSA). */
StenoEnvelope *steno_envelope_new(const char *const *recipients, GError **error);
void steno_envelope_free(StenoEnvelope *envelope);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(StenoEnvelope, steno_envelope_free)

/* Subjects and serial numbers of the recipients, for the manifest: NULL-terminated, owned by the envelope. */
const char *const *steno_envelope_recipients(const StenoEnvelope *envelope);

/* Encrypts the file `in` into the file `out` (created 0600, must not exist; fsynced). On failure there is no `out`.
 * Blocking. STORAGE_*, INTERNAL (OpenSSL, with its words). progress (may be NULL): so many more bytes of `in` are done.
 */
gboolean steno_envelope_seal(const StenoEnvelope *envelope, const char *in, const char *out,
                             void (*progress)(gpointer user, gsize bytes), gpointer user, GError **error);

#endif
