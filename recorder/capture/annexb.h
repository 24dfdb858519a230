/*
 * Annex B (start codes) and length-prefixed NAL units. Both codes take four bytes here, so that either turns into the
 * other in place and without loss.
 */
#ifndef STENO_CAPTURE_ANNEXB_H
#define STENO_CAPTURE_ANNEXB_H

#include <glib.h>

/* Offset of the next 00 00 00 01 at or after `from`, or `bytes`. */
gsize steno_annexb_find(const guint8 *data, gsize bytes, gsize from);
/* FALSE, with data untouched, when it does not begin with a 4-byte start code. */
gboolean steno_annexb_to_lengths(guint8 *data, gsize bytes);
/* The inverse. FALSE when the lengths do not fit the data; what was turned by then stays turned. */
gboolean steno_annexb_from_lengths(guint8 *data, gsize bytes);

#endif
