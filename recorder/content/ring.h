/* The ring's keys, for the openers. All on the ring's thread. */
#ifndef STENO_CONTENT_RING_H
#define STENO_CONTENT_RING_H

#include "deriver.h"

/* Keys of one participant and kid that others have replaced, and that are tried when those say no: a sender changes
 * over when it likes. */
#define CONTENT_RING_OLDER_MAX 8
/* Participants and kids. The one that was added first has to go. */
#define CONTENT_RING_KEYS_MAX (2 * STENO_CONTENT_KEYS_MAX)
/* Chains of one key: with MLS, each sender of an epoch has its own. */
#define CONTENT_RING_CHAINS_MAX 1024

typedef struct ContentRingKey ContentRingKey;
struct ContentRingKey {
    ContentRingKey *older; /* the one that it replaced */
    StenoContentKeys *keys;
    const ContentKey *key;
    guint64 home;      /* content_chain_home() of its kid */
    GPtrArray *chains; /* by their head; mostly one */
};

struct StenoContentRing {
    const StenoContentFormat *format;
    gboolean live;
    guint8 *sif_trailer;
    gsize sif_trailer_bytes;
    const StenoLog *log;
    GHashTable *people;   /* participant → GPtrArray of ContentRingKey */
    GPtrArray *everybody; /* of ContentRingKey */
    GQueue order;         /* of ContentRingKey, the one that was added first first */
    guint64 generation;   /* what was found in here before it changed is not to be used */
    gboolean told_full;
    ContentDeriver *deriver; /* NULL until something ratchets, or not live */
};

/* The key that a participant's frame of this kid is under: the participant's own, or else everybody's. */
ContentRingKey *content_ring_find(StenoContentRing *ring, const char *participant, guint64 kid);
/* The chain of this kid's frames; made when there is none. */
ContentChain *content_ring_chain(StenoContentRing *ring, ContentRingKey *key, guint64 kid);

#endif
