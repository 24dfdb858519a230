/* Seals frames as senders do, by OpenSSL's other direction, and opens them through ring and opener. */
#ifndef STENO_TESTS_CONTENT_SEAL_H
#define STENO_TESTS_CONTENT_SEAL_H

#include "steno/content.h"

/* The AES key of a raw LiveKit key (HKDF) after so many ratchet steps. */
void seal_livekit_key(const guint8 *key, gsize bytes, guint step, guint8 aes[16]);
/* An Opus frame of so many bytes as LiveKit seals it, each under another IV. */
GBytes *seal_livekit(const guint8 aes[16], guint8 kid, guint number, gsize bytes);
/* What was in it. */
GBytes *seal_plain(guint number, gsize bytes);
/* The SFrame of suite 4 (RFC 9605) under a base key of 16 bytes, ratcheted so many times. */
GBytes *seal_sframe(const guint8 *base_key, guint steps, guint64 kid, guint64 ctr, guint number, gsize bytes);

/* A key set of the format, which must be good. */
StenoContentKeys *seal_keys(const char *format, const char *json);
/* Opens; OPENED only when what comes out is `plain` (NULL: whatever). While it is being derived, it is waited for when
 * `wait` is set. */
StenoContentOutcome seal_open(StenoContentOpener *opener, StenoCodec codec, GBytes *frame, GBytes *plain,
                              gboolean wait);

#endif
