/*
 * encrypt: finished files, encrypted for storage: as a CMS envelope around any file (envelope.h), or within an MP4
 * (CENC, ISO/IEC 23001-7, cenc-aes-ctr, by libavformat).
 */
#ifndef STENO_ASSEMBLE_ENCRYPT_H
#define STENO_ASSEMBLE_ENCRYPT_H

#include "mux.h"

#include "steno/assemble.h"

typedef struct Encrypt Encrypt;

/*
 * What is asked for; NULL without an error: nothing. USAGE: a recipient's certificate, or the key, is not what it
 * should be.
 */
Encrypt *encrypt_new(const StenoAssembleOptions *options, GError **error);
void encrypt_free(Encrypt *encrypt);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Encrypt, encrypt_free)

/* What the muxer is to do; NULL: it writes in the clear. */
const MuxCenc *encrypt_cenc(const Encrypt *encrypt);
/* Is the file sealed when it is finished? Then what the muxer writes is only there for that. */
gboolean encrypt_is_envelope(const Encrypt *encrypt);

/* Makes the kind of file one that can be encrypted so. USAGE when there is none for its codecs. */
gboolean encrypt_plan(const Encrypt *encrypt, PlanOutput *output, GError **error);

/* Seals folder/plain into folder/name (which is replaced), and takes the plain one away in any case. */
gboolean encrypt_seal(const Encrypt *encrypt, const char *folder, const char *plain, const char *name,
                      MuxProgress progress, gpointer user, GError **error);

/* The member "encryption" of an output. plain_…: of the file that was sealed; not read for CENC. */
json_t *encrypt_describe(const Encrypt *encrypt, gint64 plain_bytes, const char *plain_sha256);

#endif
