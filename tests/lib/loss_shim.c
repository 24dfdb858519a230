/*
 * A bad link, for LD_PRELOAD: RTP and RTCP datagrams that the recorder reads are lost, delayed behind later ones or
 * duplicated at random, below everything that could repair it. ICE and DTLS stay untouched, and so do all processes
 * whose name is not STENO_SHIM_COMM (default steno-recorder).
 *
 *   STENO_SHIM_ANSWER   ms that a report of ours is on its way
 *   STENO_SHIM_LOSS, STENO_SHIM_REORDER, STENO_SHIM_DUP   probabilities 0–1 a datagram
 *   STENO_SHIM_AFTER    seconds after the first of them until which the link is good (default 0)
 *   STENO_SHIM_SEED     the same seed, the same fate of the n-th datagram
 *   STENO_SHIM_REPORT   file for the counters (JSON), written every 100 datagrams and at exit
 *   STENO_SHIM_LOG      file for a line a lost RTP packet: "<pid> <ssrc> <seq> <payload type> <bytes>"
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define FDS 4096
#define BYTES_MAX 2048
#define BEHIND_MAX 12 /* datagrams that may overtake a delayed one */

typedef struct Held {
    struct Held *next;
    int after; /* datagrams that go first */
    size_t bytes, control_bytes;
    socklen_t name_bytes;
    struct sockaddr_storage name;
    unsigned char control[256];
    unsigned char data[BYTES_MAX];
} Held;

typedef ssize_t (*RecvmsgFunction)(int, struct msghdr *, int);
typedef int (*CloseFunction)(int);
typedef ssize_t (*SendmsgFunction)(int, const struct msghdr *, int);
typedef ssize_t (*SendtoFunction)(int, const void *, size_t, int, const struct sockaddr *, socklen_t);

/* A preloaded library has nobody to be passed around by: its state is global, under one lock. */
static struct {
    pthread_once_t once;
    pthread_mutex_t lock;
    RecvmsgFunction recvmsg;
    CloseFunction close;
    SendmsgFunction sendmsg;
    SendtoFunction sendto;
    int active;
    double loss, reorder, duplicate, after, answer_ms;
    struct timespec first;
    uint64_t random;
    int report, log; /* opened at the start: a confined program opens nothing later */
    unsigned long seen, lost_rtp, lost_rtcp, delayed, duplicated;
    Held *held[FDS];
    signed char kind[FDS]; /* 0 unknown, 1 UDP, -1 something else */
} shim = {.once = PTHREAD_ONCE_INIT, .lock = PTHREAD_MUTEX_INITIALIZER, .report = -1, .log = -1};

static double number(const char *name)
{
    const char *text = getenv(name);
    return text ? atof(text) : 0.0;
}

static void report(void)
{
    if (!shim.active || shim.report < 0)
        return;
    char text[256];
    int bytes =
        snprintf(text, sizeof text,
                 "{\"seen\": %lu, \"lost_rtp\": %lu, \"lost_rtcp\": %lu, \"delayed\": %lu, \"duplicated\": %lu}\n",
                 shim.seen, shim.lost_rtp, shim.lost_rtcp, shim.delayed, shim.duplicated);
    /* Its numbers only grow, and so does the text. */
    if (pwrite(shim.report, text, (size_t)bytes, 0) < 0)
        shim.report = -1;
}

static void set_up(void)
{
    *(void **)&shim.recvmsg = dlsym(RTLD_NEXT, "recvmsg");
    *(void **)&shim.close = dlsym(RTLD_NEXT, "close");
    *(void **)&shim.sendmsg = dlsym(RTLD_NEXT, "sendmsg");
    *(void **)&shim.sendto = dlsym(RTLD_NEXT, "sendto");
    char comm[32] = "";
    int fd = open("/proc/self/comm", O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        ssize_t bytes = read(fd, comm, sizeof comm - 1);
        comm[bytes > 0 ? strcspn(comm, "\n") : 0] = '\0';
        shim.close(fd);
    }
    const char *wanted = getenv("STENO_SHIM_COMM");
    shim.active = strncmp(comm, wanted ? wanted : "steno-recorder", 15) == 0;
    if (!shim.active)
        return;
    shim.loss = number("STENO_SHIM_LOSS");
    shim.reorder = number("STENO_SHIM_REORDER");
    shim.answer_ms = number("STENO_SHIM_ANSWER");
    shim.duplicate = number("STENO_SHIM_DUP");
    shim.after = number("STENO_SHIM_AFTER");
    shim.random = (uint64_t)number("STENO_SHIM_SEED") * 2654435761u + 88172645463325252u;
    const char *file = getenv("STENO_SHIM_REPORT");
    if (file)
        shim.report = open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    file = getenv("STENO_SHIM_LOG");
    if (file)
        shim.log = open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    report();
}

__attribute__((constructor)) static void begin(void)
{
    pthread_once(&shim.once, set_up);
}

__attribute__((destructor)) static void end(void)
{
    report();
}

/* xorshift64*: 0 ≤ x < 1. */
static double chance(void)
{
    shim.random ^= shim.random >> 12;
    shim.random ^= shim.random << 25;
    shim.random ^= shim.random >> 27;
    return (double)((shim.random * 2685821657736338717u) >> 11) / 9007199254740992.0;
}

static int is_udp(int fd)
{
    if (fd < 0 || fd >= FDS)
        return 0;
    if (shim.kind[fd] == 0) {
        int type = 0, domain = 0;
        socklen_t bytes = sizeof type;
        int ok = getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &bytes) == 0;
        bytes = sizeof domain;
        ok = ok && getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &bytes) == 0;
        shim.kind[fd] = ok && type == SOCK_DGRAM && (domain == AF_INET || domain == AF_INET6) ? 1 : -1;
    }
    return shim.kind[fd] == 1;
}

static void hold(int fd, const struct msghdr *msg, size_t bytes, int after)
{
    Held *held = calloc(1, sizeof *held);
    if (!held || bytes > BYTES_MAX) {
        free(held);
        return;
    }
    held->after = after;
    for (size_t i = 0; i < msg->msg_iovlen && held->bytes < bytes; i++) {
        size_t part = msg->msg_iov[i].iov_len < bytes - held->bytes ? msg->msg_iov[i].iov_len : bytes - held->bytes;
        memcpy(held->data + held->bytes, msg->msg_iov[i].iov_base, part);
        held->bytes += part;
    }
    if (msg->msg_name && msg->msg_namelen <= sizeof held->name) {
        memcpy(&held->name, msg->msg_name, msg->msg_namelen);
        held->name_bytes = msg->msg_namelen;
    }
    if (msg->msg_control && msg->msg_controllen <= sizeof held->control) {
        memcpy(held->control, msg->msg_control, msg->msg_controllen);
        held->control_bytes = msg->msg_controllen;
    }
    Held **last = &shim.held[fd];
    while (*last)
        last = &(*last)->next;
    *last = held;
}

/* A held datagram whose time has come, into msg; its length, or -1 when there is none. */
static ssize_t give(int fd, struct msghdr *msg)
{
    for (Held **link = &shim.held[fd]; *link; link = &(*link)->next) {
        Held *held = *link;
        if (held->after > 0)
            continue;
        *link = held->next;
        size_t done = 0;
        for (size_t i = 0; i < msg->msg_iovlen && done < held->bytes; i++) {
            size_t part = msg->msg_iov[i].iov_len < held->bytes - done ? msg->msg_iov[i].iov_len : held->bytes - done;
            memcpy(msg->msg_iov[i].iov_base, held->data + done, part);
            done += part;
        }
        if (msg->msg_name) {
            memcpy(msg->msg_name, &held->name,
                   held->name_bytes < msg->msg_namelen ? held->name_bytes : msg->msg_namelen);
            msg->msg_namelen = held->name_bytes;
        }
        size_t room = msg->msg_control ? msg->msg_controllen : 0;
        msg->msg_controllen = held->control_bytes <= room ? held->control_bytes : 0;
        memcpy(msg->msg_control ? msg->msg_control : held->control, held->control, msg->msg_controllen);
        msg->msg_flags = 0;
        free(held);
        return (ssize_t)done;
    }
    return -1;
}

static void byte_at(const struct msghdr *msg, size_t bytes, unsigned char head[12])
{
    size_t done = 0;
    for (size_t i = 0; i < msg->msg_iovlen && done < 12 && done < bytes; i++) {
        size_t part = msg->msg_iov[i].iov_len < 12 - done ? msg->msg_iov[i].iov_len : 12 - done;
        memcpy(head + done, msg->msg_iov[i].iov_base, part);
        done += part;
    }
}

static void lose(const unsigned char head[12], int rtcp, ssize_t bytes)
{
    if (rtcp) {
        shim.lost_rtcp++;
        return;
    }
    shim.lost_rtp++;
    if (shim.log >= 0)
        dprintf(shim.log, "%d %u %u %u %zd\n", (int)getpid(),
                (unsigned)head[8] << 24 | (unsigned)head[9] << 16 | (unsigned)head[10] << 8 | head[11],
                (unsigned)head[2] << 8 | head[3], head[1] & 127u, bytes);
}

static int still_good(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (shim.first.tv_sec == 0)
        shim.first = now;
    double since = (double)(now.tv_sec - shim.first.tv_sec) + (double)(now.tv_nsec - shim.first.tv_nsec) / 1e9;
    return since < shim.after;
}

/* What the link does to a datagram that was just read: 1 it is gone, 0 it goes on. */
static int suffer(int fd, const struct msghdr *msg, ssize_t bytes)
{
    unsigned char head[12] = {0};
    byte_at(msg, (size_t)bytes, head);
    if (bytes < 12 || head[0] < 128 || head[0] > 191)
        return 0;
    if (shim.after > 0 && still_good())
        return 0;
    int rtcp = head[1] >= 192 && head[1] <= 223;
    if (++shim.seen % 100 == 0)
        report();
    for (Held *held = shim.held[fd]; held; held = held->next)
        held->after--;
    if (chance() < shim.loss) {
        lose(head, rtcp, bytes);
        return 1;
    }
    if (chance() < shim.reorder) {
        shim.delayed++;
        hold(fd, msg, (size_t)bytes, 1 + (int)(chance() * BEHIND_MAX));
        return 1;
    }
    if (chance() < shim.duplicate) {
        shim.duplicated++;
        hold(fd, msg, (size_t)bytes, (int)(chance() * 3));
    }
    return 0;
}

ssize_t recvmsg(int fd, struct msghdr *msg, int flags)
{
    pthread_once(&shim.once, set_up);
    if (!shim.active || (flags & (MSG_PEEK | MSG_ERRQUEUE)))
        return shim.recvmsg(fd, msg, flags);
    pthread_mutex_lock(&shim.lock);
    int udp = is_udp(fd);
    ssize_t bytes = udp ? give(fd, msg) : -1;
    pthread_mutex_unlock(&shim.lock);
    if (bytes >= 0)
        return bytes;
    socklen_t name_room = msg->msg_namelen;
    size_t control_room = msg->msg_controllen;
    for (;;) {
        bytes = shim.recvmsg(fd, msg, flags);
        if (!udp || bytes <= 0)
            return bytes;
        pthread_mutex_lock(&shim.lock);
        int gone = suffer(fd, msg, bytes);
        pthread_mutex_unlock(&shim.lock);
        if (!gone)
            return bytes;
        msg->msg_namelen = name_room;
        msg->msg_controllen = control_room;
    }
}

int recvmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags, struct timespec *timeout)
{
    (void)timeout;
    unsigned done = 0;
    for (; done < count; done++) {
        int wait = done == 0 ? flags & ~MSG_WAITFORONE : (flags & ~MSG_WAITFORONE) | MSG_DONTWAIT;
        ssize_t bytes = recvmsg(fd, &messages[done].msg_hdr, wait);
        if (bytes < 0)
            return done ? (int)done : -1;
        messages[done].msg_len = (unsigned)bytes;
    }
    return (int)done;
}

ssize_t recvfrom(int fd, void *buffer, size_t room, int flags, struct sockaddr *name, socklen_t *name_bytes)
{
    struct iovec part = {buffer, room};
    struct msghdr msg = {
        .msg_name = name, .msg_namelen = name && name_bytes ? *name_bytes : 0, .msg_iov = &part, .msg_iovlen = 1};
    ssize_t bytes = recvmsg(fd, &msg, flags);
    if (bytes >= 0 && name_bytes)
        *name_bytes = msg.msg_namelen;
    return bytes;
}

ssize_t recv(int fd, void *buffer, size_t room, int flags)
{
    return recvfrom(fd, buffer, room, flags, NULL, NULL);
}

/* What _FORTIFY_SOURCE makes of the two above. */
ssize_t __recvfrom_chk(int fd, void *buffer, size_t room, size_t have, int flags, struct sockaddr *name,
                       socklen_t *name_bytes);
ssize_t __recv_chk(int fd, void *buffer, size_t room, size_t have, int flags);

ssize_t __recvfrom_chk(int fd, void *buffer, size_t room, size_t have, int flags, struct sockaddr *name,
                       socklen_t *name_bytes)
{
    return recvfrom(fd, buffer, room < have ? room : have, flags, name, name_bytes);
}

ssize_t __recv_chk(int fd, void *buffer, size_t room, size_t have, int flags)
{
    return recvfrom(fd, buffer, room < have ? room : have, flags, NULL, NULL);
}

/* Reports take a while: on loopback the round trip is under 1 ms, which Janus takes for "not known". */
static void take_a_while(const unsigned char *data, size_t bytes)
{
    if (shim.active && shim.answer_ms > 0 && bytes >= 8 && data[0] >= 128 && data[0] <= 191 && data[1] >= 192 &&
        data[1] <= 223)
        usleep((useconds_t)(shim.answer_ms * 1000));
}

ssize_t sendmsg(int fd, const struct msghdr *msg, int flags)
{
    pthread_once(&shim.once, set_up);
    if (msg->msg_iovlen > 0)
        take_a_while(msg->msg_iov[0].iov_base, msg->msg_iov[0].iov_len);
    return shim.sendmsg(fd, msg, flags);
}

ssize_t sendto(int fd, const void *data, size_t bytes, int flags, const struct sockaddr *to, socklen_t to_bytes)
{
    pthread_once(&shim.once, set_up);
    take_a_while(data, bytes);
    return shim.sendto(fd, data, bytes, flags, to, to_bytes);
}

int close(int fd)
{
    pthread_once(&shim.once, set_up);
    if (shim.active && fd >= 0 && fd < FDS) {
        pthread_mutex_lock(&shim.lock);
        while (shim.held[fd]) {
            Held *held = shim.held[fd];
            shim.held[fd] = held->next;
            /* What should have overtaken it never came: it is lost after all. */
            lose(held->data, held->data[1] >= 192 && held->data[1] <= 223, (ssize_t)held->bytes);
            free(held);
        }
        shim.kind[fd] = 0;
        pthread_mutex_unlock(&shim.lock);
    }
    return shim.close(fd);
}
