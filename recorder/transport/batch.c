#include "private.h"
#include "steno/base/clock.h"

#include <string.h>
#include <time.h>

/* A flood may not hold the network thread for longer than this many calls; the rest waits for the next tick. */
#define ROUNDS_MAX 64

/* An arrival that lies further back than this says that the wall clock was set, not that the packet waited. */
#define ARRIVAL_AGE_MAX_US (10 * G_USEC_PER_SEC)

typedef struct {
    _Alignas(struct cmsghdr) guint8 bytes[CMSG_SPACE(sizeof(struct timespec))];
} Control;

struct StenoBatch {
    StenoPacketPool *pool;
    StenoTransportStats *stats;
    StenoPacket *packets[STENO_BATCH_PACKETS];
    struct mmsghdr messages[STENO_BATCH_PACKETS];
    struct iovec vectors[STENO_BATCH_PACKETS];
    struct sockaddr_storage addresses[STENO_BATCH_PACKETS];
    Control controls[STENO_BATCH_PACKETS];
};

StenoBatch *steno_batch_new(StenoPacketPool *pool, StenoTransportStats *stats)
{
    StenoBatch *batch = g_new0(StenoBatch, 1);

    batch->pool = pool;
    batch->stats = stats;
    for (guint i = 0; i < STENO_BATCH_PACKETS; i++) {
        struct msghdr *header = &batch->messages[i].msg_hdr;
        header->msg_iov = &batch->vectors[i];
        header->msg_iovlen = 1;
        header->msg_name = &batch->addresses[i];
        header->msg_control = &batch->controls[i];
    }
    return batch;
}

/* Packets go back between two reads, so that what is held is what is used. */
static void release(StenoBatch *batch)
{
    for (guint i = 0; i < STENO_BATCH_PACKETS; i++) {
        if (batch->packets[i])
            steno_packet_free(batch->packets[i]);
        batch->packets[i] = NULL;
    }
}

void steno_batch_free(StenoBatch *batch)
{
    g_free(batch);
}

/* Gives every slot a packet and resets what the kernel wrote. Returns how many slots have one. */
static guint refill(StenoBatch *batch)
{
    guint ready = 0;

    for (; ready < STENO_BATCH_PACKETS; ready++) {
        struct msghdr *header = &batch->messages[ready].msg_hdr;
        if (!batch->packets[ready])
            batch->packets[ready] = steno_packet_new(batch->pool);
        if (!batch->packets[ready])
            break;
        batch->vectors[ready].iov_base = batch->packets[ready]->data;
        batch->vectors[ready].iov_len = STENO_PACKET_MAX_BYTES;
        header->msg_namelen = sizeof batch->addresses[ready];
        header->msg_controllen = sizeof batch->controls[ready];
    }
    return ready;
}

/* Empties the socket when there is no packet to read into: what is old is worth less than what comes next. */
static void discard(StenoBatch *batch, int fd)
{
    guint8 byte;

    for (guint i = 0; i < ROUNDS_MAX * STENO_BATCH_PACKETS && recv(fd, &byte, 1, MSG_DONTWAIT) >= 0; i++)
        batch->stats->pool_refused++;
}

/* The kernel's time stamp, moved to the monotonic clock; now_us where there is none. */
static gint64 arrival(struct msghdr *header, gint64 wall_to_mono_us, gint64 now_us)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c; c = CMSG_NXTHDR(header, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_TIMESTAMPNS)
            continue;
        struct timespec stamp;
        memcpy(&stamp, CMSG_DATA(c), sizeof stamp);
        gint64 time_us = (gint64)stamp.tv_sec * G_USEC_PER_SEC + stamp.tv_nsec / 1000 + wall_to_mono_us;
        return time_us <= now_us && time_us > now_us - ARRIVAL_AGE_MAX_US ? time_us : now_us;
    }
    return now_us;
}

static gint64 wall_to_mono_us(gint64 *mono_us)
{
    struct timespec wall;

    clock_gettime(CLOCK_REALTIME, &wall);
    *mono_us = g_get_monotonic_time();
    return *mono_us - ((gint64)wall.tv_sec * G_USEC_PER_SEC + wall.tv_nsec / 1000);
}

guint steno_batch_drain(StenoBatch *batch, int fd, gint64 now_us, StenoBatchFunc function, gpointer user)
{
    guint handed = 0;

    for (guint round = 0; round < ROUNDS_MAX; round++) {
        guint ready = refill(batch);
        if (ready == 0) {
            discard(batch, fd);
            break;
        }
        int got = recvmmsg(fd, batch->messages, ready, MSG_DONTWAIT, NULL);
        if (got <= 0)
            break;
        gint64 mono_us;
        gint64 offset_us = wall_to_mono_us(&mono_us);
        mono_us = MAX(mono_us, now_us);
        for (int i = 0; i < got; i++) {
            struct msghdr *header = &batch->messages[i].msg_hdr;
            if (header->msg_flags & MSG_TRUNC) {
                batch->stats->too_long++;
                continue;
            }
            StenoPacket *packet = g_steal_pointer(&batch->packets[i]);
            packet->bytes = batch->messages[i].msg_len;
            packet->arrival_us = arrival(header, offset_us, mono_us);
            function(user, packet, (const struct sockaddr *)&batch->addresses[i]);
            handed++;
        }
        if ((guint)got < ready)
            break;
    }
    release(batch);
    return handed;
}
