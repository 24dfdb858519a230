/*
 * The frame that LiveKit and Jitsi have in common: | clear header | ciphertext, tag (16) | IV (12) | 0x0C | key index
 * |. The AAD is the clear header; how long that is, is the format's.
 */
#ifndef STENO_CONTENT_TRAILER_H
#define STENO_CONTENT_TRAILER_H

#include "format.h"

#define CONTENT_VP8_KEY_CLEAR_BYTES 10
#define CONTENT_VP8_DELTA_CLEAR_BYTES 3
#define CONTENT_AUDIO_CLEAR_BYTES 1

/* Clear bytes of a VP8 frame, which says in its first bit whether it is a key frame (RFC 6386 §9.1). */
gsize content_vp8_clear_bytes(const ContentFrame *frame);

/* A row's look(): empty frames (DTX) are CLEAR, the kid is the key index; BAD_KEY when the trailer is not lawful. */
StenoContentOutcome content_trailer_look(ContentFrame *frame);

/* Of an AES key of 16 or 32 bytes; rows' derive() and free_cipher(). */
ContentCipher *content_trailer_cipher_new(const guint8 *key, gsize key_bytes);
void content_trailer_cipher_free(ContentCipher *cipher);

/* Opens a frame that was looked at, of so many clear bytes, which are copied to out; data may be out. Otherwise as a
 * row's open(). */
StenoContentOutcome content_trailer_open(ContentCipher *cipher, const guint8 *data, gsize bytes, gsize clear_bytes,
                                         guint8 *out, gsize *out_bytes);

#endif
