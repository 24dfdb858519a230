/*
 * unseal_track: the sealed files of one track, opened one block after the other.
 */
#ifndef STENO_ASSEMBLE_UNSEAL_TRACK_H
#define STENO_ASSEMBLE_UNSEAL_TRACK_H

#include "opened.h"
#include "unseal.h"

/* What the tracks share. */
typedef struct {
    Model *model;
    StenoContentUnit unit;
    const StenoContentFormat *format; /* NULL: not known, nothing can be opened */
    Opened *opened;
    Unsealed *unsealed;
    StenoPacketPool *packets;
} Unsealing;

typedef struct UnsealTrack UnsealTrack;

/* files: of SealedFile, all of the track, n > 0 in their order. ring NULL: there is no format. */
UnsealTrack *unseal_track_new(const Unsealing *unsealing, StenoContentRing *ring, SealedFile *files, guint n);
void unseal_track_free(UnsealTrack *track);

/* When its next block arrived; G_MAXINT64 when there is none. */
gint64 unseal_track_next_us(const UnsealTrack *track);
/* Opens the next block. */
void unseal_track_step(UnsealTrack *track);

#endif
