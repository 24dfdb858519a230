/* Two transports of ours, each the other's peer, on one main context. */
#ifndef STENO_TEST_PAIR_H
#define STENO_TEST_PAIR_H

#include "steno/base/error.h"
#include "steno/transport.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
/* cmocka wants the four above first */
#include <cmocka.h>

/* Nothing in these tests takes this long unless it is broken. */
#define TEST_PATIENCE_S 30

typedef struct {
    StenoTransport *transport;
    StenoTransportLocal *local; /* what `gathered` said last */
    guint n_gathered;
    StenoTransportState state;
    GError *error; /* of FAILED */
    GByteArray *last_rtp, *last_rtcp;
    guint n_rtp, n_rtcp;
} Endpoint;

/* Events that fill an Endpoint, which is the user pointer. */
extern const StenoTransportEvents endpoint_events;

typedef struct {
    GMainContext *context;
    StenoPacketPool *pool;
    Endpoint a, b;
} Pair;

void pair_init(Pair *pair);
void pair_clear(Pair *pair);
/* An ICE transport on the loopback; config may be NULL. */
void endpoint_open(Pair *pair, Endpoint *endpoint, const StenoTransportConfig *config);
void endpoint_clear(Endpoint *endpoint);
/* Runs the context, draining both every 5 ms, until the condition holds. Fails the test when it never does. */
typedef gboolean (*Condition)(Pair *pair);
void pair_run(Pair *pair, Condition condition);
/* Tells `to` what `from` gathered. fingerprint NULL: the true one. */
gboolean pair_introduce(Endpoint *from, Endpoint *to, StenoDtlsSetup setup, const char *fingerprint, GError **error);
/* Both gathered, introduced and connected. */
void pair_connect(Pair *pair);

gboolean both_gathered(Pair *pair);
gboolean both_connected(Pair *pair);

/* A 12-byte RTP header and a payload of `bytes` times `fill`. */
gsize make_rtp(guint8 *out, guint16 seq, guint8 fill, gsize bytes);
/* An RTCP receiver report without blocks, and an empty SDES. */
gsize make_rtcp(guint8 *out);

#endif
