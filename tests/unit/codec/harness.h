/* A depacketizer with a sink that keeps what comes out, and packets made by hand. */
#ifndef STENO_TESTS_CODEC_HARNESS_H
#define STENO_TESTS_CODEC_HARNESS_H

#include "steno/codec.h"

#define HARNESS_FIRST_SEQ 65530 /* the first packet; extended numbers go on over the wrap */

typedef struct {
    StenoFramePool *pool;
    StenoDepacketizer *depacketizer;
    GPtrArray *frames;  /* StenoFrame *, in order */
    guint at;           /* the next frame that harness_next() gives */
    gint64 seq, rtp_ts; /* of the next packet */
} Harness;

void harness_init(Harness *harness, StenoCodec codec, const char *fmtp);
/* The same with a pool of so many bytes. */
void harness_init_pool(Harness *harness, StenoCodec codec, const char *fmtp, gsize pool_bytes);
/* The same for a stream under the channel's own AES. */
void harness_init_opaque(Harness *harness, StenoCodec codec, const char *fmtp);
void harness_clear(Harness *harness);

/* Pushes a payload; what steno_depacketizer_push() says. */
int harness_push(Harness *harness, const void *payload, gsize bytes, bool marker);
/* The next packets have this timestamp more. */
void harness_tick(Harness *harness, gint64 ticks);
/* So many packets are lost here; the next one comes `ticks` later than the last. */
void harness_lose(Harness *harness, guint packets, gint64 ticks);
void harness_flush(Harness *harness);

/* The next frame that came out, or NULL. Lent. */
const StenoFrame *harness_next(Harness *harness);

#define PUSH(harness, marker, ...)                                                                                     \
    harness_push(harness, (const guint8[]){__VA_ARGS__}, sizeof((const guint8[]){__VA_ARGS__}), marker)

#endif
