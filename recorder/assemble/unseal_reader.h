/*
 * unseal_reader: what was opened of one track, through codec, into copies of the sealed files.
 */
#ifndef STENO_ASSEMBLE_UNSEAL_READER_H
#define STENO_ASSEMBLE_UNSEAL_READER_H

#include "unseal_track.h"

typedef struct UnsealReader UnsealReader;

UnsealReader *unseal_reader_new(const Unsealing *unsealing, ModelTrack *track);
void unseal_reader_free(UnsealReader *reader);

/*
 * A sealed file begins: its copy is file->copy. When the one before it in the track is in the clear, pictures go on
 * from there.
 */
void unseal_reader_begin_file(UnsealReader *reader, const SealedFile *file, const StenoCaptureReader *sealed);
/* …and ends. goes_on: the next one of the track is sealed too, and follows immediately. */
void unseal_reader_end_file(UnsealReader *reader, gboolean goes_on);

/* A block, opened. packet: it is one of these; NULL: a frame. */
void unseal_reader_frame(UnsealReader *reader, const StenoCaptureFrame *block, const guint8 *data, gsize bytes,
                         const SealedPacket *packet);
/* A block that could not be opened. */
void unseal_reader_missing(UnsealReader *reader, const StenoCaptureFrame *block, const SealedPacket *packet,
                           StenoGapCause cause);
/* Blocks are missing here. */
void unseal_reader_broken(UnsealReader *reader);
/* Times of the last block; zeros when there was none. */
void unseal_reader_last(const UnsealReader *reader, gint64 *rtp_ts, gint64 *wall_us);

#endif
