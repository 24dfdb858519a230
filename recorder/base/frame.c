#include "steno/frame.h"

#include <stdlib.h>
#include <string.h>

static const char *const codec_names[STENO_CODEC_COUNT] = {"unknown", "opus", "pcmu", "pcma", "vp8",
                                                           "vp9",     "h264", "h265", "av1"};
static const char *const gap_cause_names[STENO_GAP_CAUSES] = {
    "lost", "no-keyframe", "damaged", "overflow", "disconnected", "recorder", "paused", "no-key", "bad-key"};

const char *steno_codec_name(StenoCodec codec)
{
    return codec_names[(unsigned)codec < STENO_CODEC_COUNT ? codec : STENO_CODEC_UNKNOWN];
}

StenoCodec steno_codec_from_name(const char *name)
{
    for (unsigned i = STENO_CODEC_OPUS; name && i < STENO_CODEC_COUNT; i++) {
        if (g_ascii_strcasecmp(name, codec_names[i]) == 0)
            return (StenoCodec)i;
    }
    return STENO_CODEC_UNKNOWN;
}

bool steno_codec_is_video(StenoCodec codec)
{
    return codec >= STENO_CODEC_VP8 && codec < STENO_CODEC_COUNT;
}

const char *steno_gap_cause_name(StenoGapCause cause)
{
    return gap_cause_names[(unsigned)cause < STENO_GAP_CAUSES ? cause : STENO_GAP_LOST];
}

/* ---- packets ----------------------------------------------------------------------------------------------------- */

struct StenoPacketPool {
    StenoPacket *free;
    guint living, max_packets;
    guint64 refused;
};

StenoPacketPool *steno_packet_pool_new(guint max_packets)
{
    StenoPacketPool *pool = g_new0(StenoPacketPool, 1);
    pool->max_packets = max_packets;
    return pool;
}

void steno_packet_pool_free(StenoPacketPool *pool)
{
    if (!pool)
        return;
    for (StenoPacket *next; pool->free; pool->free = next) {
        next = pool->free->next;
        g_free(pool->free);
        pool->living--;
    }
    g_assert(pool->living == 0);
    g_free(pool);
}

StenoPacket *steno_packet_new(StenoPacketPool *pool)
{
    StenoPacket *packet = pool->free;
    if (packet) {
        pool->free = packet->next;
        packet->next = NULL;
        return packet;
    }
    if (pool->living >= pool->max_packets) {
        pool->refused++;
        return NULL;
    }
    pool->living++;
    packet = g_malloc(sizeof *packet);
    packet->next = NULL;
    packet->pool = pool;
    return packet;
}

void steno_packet_free(StenoPacket *packet)
{
    if (!packet)
        return;
    /* Last in, first out: the next packet is written where the cache is warm. */
    packet->next = packet->pool->free;
    packet->pool->free = packet;
}

guint64 steno_packet_pool_refused(const StenoPacketPool *pool)
{
    return pool->refused;
}

/* ---- frames ------------------------------------------------------------------------------------------------------ */

/* Payload capacities are powers of two from 256 bytes; each size has a list of its own. */
#define SIZE_CLASS_MIN_SHIFT 8
#define SIZE_CLASSES 16 /* class 0: no payload; 1: 256 bytes … 16: 8 MiB */

struct StenoFramePool {
    StenoFrame *free[SIZE_CLASSES + 1]; /* producer only */
    _Atomic(StenoFrame *) returned;     /* pushed by any thread, taken whole by the producer */
    atomic_int holders;                 /* the producer and each living frame */
    gsize max_bytes, held_bytes;        /* of living and of pooled frames */
};

static unsigned size_class(gsize capacity)
{
    unsigned class = capacity ? 1 : 0;
    while (class && ((gsize)1 << (SIZE_CLASS_MIN_SHIFT + class - 1)) < capacity)
        class ++;
    return class;
}

static guint32 class_capacity(unsigned class)
{
    return class ? (guint32)1 << (SIZE_CLASS_MIN_SHIFT + class - 1) : 0;
}

StenoFramePool *steno_frame_pool_new(gsize max_bytes)
{
    StenoFramePool *pool = g_new0(StenoFramePool, 1);
    atomic_init(&pool->returned, NULL);
    atomic_init(&pool->holders, 1);
    pool->max_bytes = max_bytes;
    return pool;
}

static void frame_destroy(StenoFrame *frame)
{
    g_free(frame->payload);
    g_free(frame);
}

static void free_list(StenoFrame *list)
{
    for (StenoFrame *next; list; list = next) {
        next = list->next;
        frame_destroy(list);
    }
}

static void pool_release(StenoFramePool *pool)
{
    if (atomic_fetch_sub_explicit(&pool->holders, 1, memory_order_acq_rel) != 1)
        return;
    free_list(atomic_load(&pool->returned));
    g_free(pool);
}

void steno_frame_pool_free(StenoFramePool *pool)
{
    if (!pool)
        return;
    for (unsigned class = 0; class <= SIZE_CLASSES; class ++) {
        free_list(pool->free[class]);
        pool->free[class] = NULL;
    }
    pool_release(pool);
}

/* Sorts what other threads gave back into the producer's lists. */
static void collect_returned(StenoFramePool *pool)
{
    StenoFrame *list = atomic_exchange_explicit(&pool->returned, NULL, memory_order_acquire);
    for (StenoFrame *next; list; list = next) {
        next = list->next;
        unsigned class = size_class(list->payload_capacity);
        list->next = pool->free[class];
        pool->free[class] = list;
    }
}

static gsize frame_cost(guint32 capacity)
{
    return sizeof(StenoFrame) + capacity;
}

/* Under pressure pooled frames of other sizes go back to the system. */
static bool make_room(StenoFramePool *pool, gsize bytes)
{
    for (unsigned class = SIZE_CLASSES + 1; class -- > 0 && pool->held_bytes + bytes > pool->max_bytes;) {
        while (pool->free[class] && pool->held_bytes + bytes > pool->max_bytes) {
            StenoFrame *frame = pool->free[class];
            pool->free[class] = frame->next;
            pool->held_bytes -= frame_cost(frame->payload_capacity);
            frame_destroy(frame);
        }
    }
    return pool->held_bytes + bytes <= pool->max_bytes;
}

static StenoFrame *pool_take(StenoFramePool *pool, unsigned class)
{
    if (!pool->free[class])
        collect_returned(pool);
    StenoFrame *frame = pool->free[class];
    if (frame) {
        pool->free[class] = frame->next;
        return frame;
    }
    guint32 capacity = class_capacity(class);
    if (!make_room(pool, frame_cost(capacity)))
        return NULL;
    pool->held_bytes += frame_cost(capacity);
    frame = g_new0(StenoFrame, 1);
    frame->payload_capacity = capacity;
    frame->payload = capacity ? g_malloc(capacity) : NULL;
    return frame;
}

StenoFrame *steno_frame_new(StenoFramePool *pool, StenoFrameKind kind, gsize capacity)
{
    if (capacity > STENO_FRAME_MAX_BYTES)
        return NULL;
    StenoFrame *frame = pool_take(pool, size_class(capacity));
    if (!frame)
        return NULL;
    guint8 *payload = frame->payload;
    guint32 payload_capacity = frame->payload_capacity;
    memset(frame, 0, sizeof *frame);
    frame->payload = payload;
    frame->payload_capacity = payload_capacity;
    frame->pool = pool;
    frame->kind = kind;
    atomic_init(&frame->references, 1);
    atomic_fetch_add_explicit(&pool->holders, 1, memory_order_relaxed);
    return frame;
}

bool steno_frame_reserve(StenoFrame *frame, gsize capacity)
{
    if (capacity <= frame->payload_capacity)
        return true;
    if (capacity > STENO_FRAME_MAX_BYTES)
        return false;
    /* Swaps buffers with a pooled frame of the right size, so that growing costs no allocation once warm. */
    StenoFrame *larger = pool_take(frame->pool, size_class(capacity));
    if (!larger)
        return false;
    if (frame->payload_bytes)
        memcpy(larger->payload, frame->payload, frame->payload_bytes);
    guint8 *payload = larger->payload;
    guint32 payload_capacity = larger->payload_capacity;
    larger->payload = frame->payload;
    larger->payload_capacity = frame->payload_capacity;
    frame->payload = payload;
    frame->payload_capacity = payload_capacity;
    unsigned class = size_class(larger->payload_capacity);
    larger->next = frame->pool->free[class];
    frame->pool->free[class] = larger;
    return true;
}

StenoFrame *steno_frame_ref(StenoFrame *frame)
{
    atomic_fetch_add_explicit(&frame->references, 1, memory_order_relaxed);
    return frame;
}

void steno_frame_unref(StenoFrame *frame)
{
    if (!frame || atomic_fetch_sub_explicit(&frame->references, 1, memory_order_acq_rel) != 1)
        return;
    StenoFramePool *pool = frame->pool;
    StenoFrame *head = atomic_load_explicit(&pool->returned, memory_order_relaxed);
    do
        frame->next = head;
    while (!atomic_compare_exchange_weak_explicit(&pool->returned, &head, frame, memory_order_release,
                                                  memory_order_relaxed));
    pool_release(pool);
}

/* ---- ring -------------------------------------------------------------------------------------------------------- */

struct StenoFrameRing {
    guint mask;
    /* On lines of their own: each side writes one of them. */
    _Alignas(64) atomic_uint head; /* next to pop */
    _Alignas(64) atomic_uint tail; /* next to push */
    StenoFrame *slots[];
};

StenoFrameRing *steno_frame_ring_new(guint slots)
{
    guint size = 1;
    while (size < slots)
        size <<= 1;
    gsize bytes = sizeof(StenoFrameRing) + size * sizeof(StenoFrame *);
    StenoFrameRing *ring = aligned_alloc(64, (bytes + 63) / 64 * 64);
    if (!ring)
        g_error("out of memory for a ring of %u frames", size);
    memset(ring, 0, bytes);
    ring->mask = size - 1;
    return ring;
}

void steno_frame_ring_free(StenoFrameRing *ring)
{
    if (!ring)
        return;
    StenoFrame *frame;
    while ((frame = steno_frame_ring_pop(ring)))
        steno_frame_unref(frame);
    free(ring);
}

bool steno_frame_ring_push(StenoFrameRing *ring, StenoFrame *frame)
{
    guint tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    if (tail - atomic_load_explicit(&ring->head, memory_order_acquire) > ring->mask)
        return false;
    ring->slots[tail & ring->mask] = frame;
    atomic_store_explicit(&ring->tail, tail + 1, memory_order_release);
    return true;
}

StenoFrame *steno_frame_ring_pop(StenoFrameRing *ring)
{
    guint head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    if (head == atomic_load_explicit(&ring->tail, memory_order_acquire))
        return NULL;
    StenoFrame *frame = ring->slots[head & ring->mask];
    atomic_store_explicit(&ring->head, head + 1, memory_order_release);
    return frame;
}

guint steno_frame_ring_length(const StenoFrameRing *ring)
{
    return atomic_load_explicit(&ring->tail, memory_order_acquire) -
           atomic_load_explicit(&ring->head, memory_order_acquire);
}
