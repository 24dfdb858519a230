/*
 * repacketize: a whole frame as RTP payloads again, as plain as their payload format allows: for a depacketizer that is
 * to go on from a frame that another one put together.
 */
#ifndef STENO_ASSEMBLE_REPACKETIZE_H
#define STENO_ASSEMBLE_REPACKETIZE_H

#include "steno/frame.h"

/* The payload is lent. last: of the frame. */
typedef void (*RepacketizeSink)(gpointer user, const guint8 *payload, gsize bytes, gboolean last);

/* Video alone; what is no frame of the codec may come out as something else that is none. */
void repacketize(StenoCodec codec, const guint8 *data, gsize bytes, RepacketizeSink sink, gpointer user);

#endif
