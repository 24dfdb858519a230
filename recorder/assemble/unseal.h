/*
 * unseal: opens what a capture holds sealed, with the keys that are there now, before anything else is done with it.
 * Afterwards the model reads as if these frames had been captured in the clear; what could not be opened are gaps.
 *
 * Frames are opened in the order in which they came, all tracks of a participant together, since keys go on (ratchets)
 * and it is one key for all of them. What was opened goes through codec as the recorder would have had it done: an
 * inspector for frames, a depacketizer for packets.
 */
#ifndef STENO_ASSEMBLE_UNSEAL_H
#define STENO_ASSEMBLE_UNSEAL_H

#include "sealed.h"

#include "steno/assemble.h"

/* A track has no more gaps for frames that could not be opened; what comes then is one. */
#define UNSEAL_GAPS_MAX 10000

typedef struct {
    GArray *files;          /* of SealedFile; `kept` tells which stay sealed */
    guint64 frames, failed; /* blocks of them, and those that could not be opened */
    gboolean bad_key;       /* a key was there for some of these, and was wrong */
} Unsealed;

/*
 * scratch: a folder that this may make, and that is needed as long as the model is. Errors as steno_assemble().
 * unsealed_clear() it, also after a failure.
 */
gboolean unseal(Model *model, const StenoAssembleOptions *options, const char *scratch, Unsealed *unsealed,
                GError **error);
void unsealed_clear(Unsealed *unsealed);

#endif
