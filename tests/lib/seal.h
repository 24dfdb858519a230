/*
 * seal: encodes the channel's own AES as senders do: LiveKit, Jitsi, SFrame (all suites), and the aes-* formats of
 * docs/CHANNEL-AES.md. For the test publisher; written against the specifications with OpenSSL alone, and nothing of
 * the content room in it.
 *
 * The description is JSON: {"format": "livekit", "suite": 4, "kdf": "pbkdf2", "key_bits": 128, "keys": [{"from_s": 0,
 * "kid": 0, "passphrase": "…" | "key": base64 | "secret", "salt": …, "ratchet": 0}, …]}. A key is in use from its
 * from_s on (in the clip's time), ratcheted so many steps on.
 */
#ifndef STENO_TESTS_SEAL_H
#define STENO_TESTS_SEAL_H

#include "steno/frame.h"

typedef struct Sealer Sealer;

Sealer *sealer_new(const char *path, GError **error);
void sealer_free(Sealer *sealer);
/* The format seals RTP payloads, not frames. */
gboolean sealer_is_per_packet(const Sealer *sealer);

typedef struct {
    StenoCodec codec;
    gboolean keyframe;
    gint64 time_us; /* in the clip */
    guint32 rtp_ts;
} SealedFrame;

/* The sealed bytes, the caller's. Counters go on from call to call: no IV is used twice. */
GByteArray *sealer_seal(Sealer *sealer, const SealedFrame *frame, const guint8 *data, gsize bytes);

#endif
