/*
 * What LiveKit does with H.264 and H.265 frames in Annex B: it leaves all clear up to and with two bytes of the first
 * slice, and puts emulation prevention into what is encrypted, so that no start code appears in it.
 */
#ifndef STENO_CONTENT_RBSP_H
#define STENO_CONTENT_RBSP_H

#include "steno/frame.h"

/* Bytes up to and with the second one of the first slice's NAL unit; 0: there is no slice. codec: H264 or H265. */
gsize content_rbsp_clear_bytes(StenoCodec codec, const guint8 *data, gsize bytes);

/* Where the first byte of emulation prevention is (the 3 of 00 00 03); bytes: there is none. */
gsize content_rbsp_find_escape(const guint8 *data, gsize bytes);

/* Copies without the bytes of emulation prevention, the first of which is at `escape`; how many bytes are left. */
gsize content_rbsp_unescape(const guint8 *data, gsize bytes, gsize escape, guint8 *out);

#endif
