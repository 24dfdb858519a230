/*
 * The header of an SFrame ciphertext (RFC 9605 §4.3): which key, and which nonce.
 */
#ifndef STENO_CONTENT_SFRAME_HEADER_H
#define STENO_CONTENT_SFRAME_HEADER_H

#include <glib.h>

/* The configuration byte, a key id of eight bytes, a counter of eight. */
#define SFRAME_HEADER_MAX_BYTES 17

typedef struct {
    guint64 kid; /* KID */
    guint64 ctr; /* CTR */
    guint bytes; /* of the header */
} SframeHeader;

/*
 * FALSE: there are not as many bytes as the first one says. Numbers that are longer than they need to be are read, too:
 * the header is authenticated as it came.
 */
gboolean sframe_header_read(const guint8 *data, gsize bytes, SframeHeader *header);

#endif
