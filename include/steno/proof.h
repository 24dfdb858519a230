/*
 * proof: who wrote a manifest, and when. An Ed25519 signature beside it, and an RFC 3161 timestamp.
 *
 *   manifest.json.sig   64 bytes: the Ed25519 signature (RFC 8032) of manifest.json's bytes
 *   manifest.json.tsr   DER: the TimeStampResp (RFC 3161) whose message imprint is the SHA-256 of manifest.json.sig:
 *                       the signature was there at that time, and so was the manifest
 *
 * A third party checks both with openssl alone (docs/VERIFY.md). The private key lives in locked memory.
 */
#ifndef STENO_PROOF_H
#define STENO_PROOF_H

#include "steno/base/secret.h"

#include <glib.h>

#define STENO_PROOF_SIGNATURE_SUFFIX ".sig"
#define STENO_PROOF_TIMESTAMP_SUFFIX ".tsr"
#define STENO_PROOF_SIGNATURE_BYTES 64
/* A stamp with a chain of certificates has less. */
#define STENO_PROOF_TIMESTAMP_MAX_BYTES (64 * 1024)

typedef struct StenoSigner StenoSigner;

/* From a private key, PEM (PKCS#8, Ed25519, unencrypted). CONFIG saying what it is instead. */
StenoSigner *steno_signer_new(StenoSecret *pem, GError **error);
/* From a file; one that is missing is made first, 0600, with PATH's folder, durably. Its public half is published
 * beside it as `public.pem` (for a key that was there already: where that is possible). *made may be NULL. CONFIG,
 * STORAGE_*. */
StenoSigner *steno_signer_load_or_make(const char *path, gboolean *made, GError **error);
StenoSigner *steno_signer_ref(StenoSigner *signer);
void steno_signer_unref(StenoSigner *signer);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(StenoSigner, steno_signer_unref)
/* Lent, PEM. */
const char *steno_signer_public_pem(const StenoSigner *signer);
/* SHA-256 of the public key (DER SubjectPublicKeyInfo) in hex: how people name it. Lent. */
const char *steno_signer_fingerprint(const StenoSigner *signer);
/* Sees to it that the public half is in a PEM file, 0644, durably, before the keys of earlier times that are there
 * (their signatures stay checkable). STORAGE_*. */
gboolean steno_signer_publish(const StenoSigner *signer, const char *path, GError **error);

/* Signs PATH into PATH.sig, durably (temporary name, fsync, rename). Any thread. STORAGE_*. */
gboolean steno_signer_sign(const StenoSigner *signer, const char *path, GError **error);

/* Is signature that of data? public_pem: one or more public keys; one is enough. SIGNATURE, CONFIG (no key). */
gboolean steno_proof_verify(const char *public_pem, const guint8 *data, gsize bytes, const guint8 *signature,
                            gsize signature_bytes, GError **error);

typedef struct {
    const char *url;     /* http(s) */
    const char *ca_file; /* of the stamps, and of its TLS; NULL: not checked here, and the system's for TLS */
} StenoTimestampAuthority;

/*
 * Asks for a timestamp of PATH.sig and writes it to PATH.tsr (PATH is the signed file: manifest.json), durably, once it
 * has proven that it is of these bytes, of our nonce, and (ca_file) signed by whom it should be. Blocking, 20 s at
 * most; any thread. UNREACHABLE, SIGNATURE (it refused or answered something else), STORAGE_*, CONFIG (ca_file).
 */
gboolean steno_timestamp_fetch(const StenoTimestampAuthority *authority, const char *path, GError **error);
/*
 * Is stamp one of data (the signature's bytes), and whole? ca_pem_file: and was its signer certified by these when it
 * was made (NULL: not judged)? *stamped_us: when. SIGNATURE, CONFIG (ca_pem_file).
 */
gboolean steno_timestamp_verify(const char *ca_pem_file, const guint8 *data, gsize bytes, const guint8 *stamp,
                                gsize stamp_bytes, gint64 *stamped_us, GError **error);

#endif
