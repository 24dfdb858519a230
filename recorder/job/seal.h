/*
 * seal: who wrote a manifest, and when. Signed once, in the folder where it was made: every storage and every later
 * attempt gets the same signature.
 */
#ifndef STENO_JOB_SEAL_H
#define STENO_JOB_SEAL_H

#include "steno/proof.h"

#include <gio/gio.h>

typedef struct {
    StenoSigner *signer;                       /* NULL: nobody signs, and nothing is stamped */
    const StenoTimestampAuthority *timestamps; /* NULL: none */
    gboolean required;                         /* of a timestamp; else it is done without after SEAL_STAMP_MAX_S */
} Sealing;

#define SEAL_STAMP_MAX_S 30
#define SEAL_STAMP_ATTEMPTS 3

/*
 * Signs PATH (PATH.sig) and has the signature stamped (PATH.tsr); what is there already and holds is kept. *stamped:
 * is there a timestamp? *unstamped: why there is none, though one was asked for (the caller frees it): an error only
 * when it is required. Blocking. STORAGE_*.
 */
gboolean job_seal(const char *path, const Sealing *sealing, GCancellable *cancellable, gboolean *stamped,
                  GError **unstamped, GError **error);

#endif
