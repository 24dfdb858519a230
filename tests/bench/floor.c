/*
 * bench-floor: the least that a recorder must do: wait, recvmmsg, libsrtp, write the payloads to a file a participant.
 * No order, no loss, no frames, no container.
 */
#include "bench.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define BATCH 64
#define PACKET_BYTES 2048

typedef struct {
    srtp_t srtp;
    int file;
} Participant;

typedef struct {
    struct mmsghdr messages[BATCH];
    struct iovec in[BATCH], out[BATCH];
    guint8 packets[BATCH][PACKET_BYTES];
} Batch;

static guint header_bytes(const guint8 *packet, guint bytes)
{
    guint header = 12 + 4 * (packet[0] & 15);
    if (packet[0] & 0x10 && bytes >= header + 4)
        header += 4 + 4 * (guint)(packet[header + 2] << 8 | packet[header + 3]);
    return MIN(header, bytes);
}

/* Takes what waits on one socket. */
static void take(Batch *batch, Participant *participant, int fd, gboolean rtcp)
{
    int n;
    do {
        n = recvmmsg(fd, batch->messages, BATCH, MSG_DONTWAIT, NULL);
        int out = 0;
        for (int i = 0; i < n; i++) {
            guint8 *packet = batch->packets[i];
            int bytes = (int)batch->messages[i].msg_len;
            srtp_err_status_t status = rtcp ? srtp_unprotect_rtcp(participant->srtp, packet, &bytes)
                                            : srtp_unprotect(participant->srtp, packet, &bytes);
            if (status != srtp_err_status_ok || rtcp)
                continue;
            guint header = header_bytes(packet, (guint)bytes);
            batch->out[out++] = (struct iovec){packet + header, (size_t)bytes - header};
        }
        if (out > 0 && writev(participant->file, batch->out, out) < 0) {
            perror("bench-floor: writing");
            exit(1);
        }
    } while (n == BATCH);
}

static Batch *batch_new(void)
{
    Batch *batch = g_new0(Batch, 1);
    for (guint i = 0; i < BATCH; i++) {
        batch->in[i] = (struct iovec){batch->packets[i], PACKET_BYTES};
        batch->messages[i].msg_hdr.msg_iov = &batch->in[i];
        batch->messages[i].msg_hdr.msg_iovlen = 1;
    }
    return batch;
}

static void open_participant(Participant *participant, struct pollfd *fds, guint index, const char *folder)
{
    g_autofree char *path = g_strdup_printf("%s/floor-%d-%u", folder, bench_options.port, index);
    participant->srtp = bench_srtp(FALSE);
    participant->file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (participant->file < 0) {
        perror(path);
        exit(1);
    }
    for (guint i = 0; i < PORTS; i++)
        fds[i] =
            (struct pollfd){bench_socket((guint16)((guint)bench_options.port + index * PORTS + i), TRUE), POLLIN, 0};
}

int main(int argc, char **argv)
{
    gint tick_ms = 0;
    g_autofree char *folder = NULL;
    const GOptionEntry entries[] = {
        {"tick-ms", 0, 0, G_OPTION_ARG_INT, &tick_ms, "sleep so long between reads, instead of poll()", "MS"},
        {"out", 0, 0, G_OPTION_ARG_FILENAME, &folder, "folder of the files", "FOLDER"},
        {NULL}};
    bench_parse(&argc, &argv, entries);
    guint count = (guint)bench_options.count;
    Participant *participants = g_new0(Participant, count);
    struct pollfd *fds = g_new0(struct pollfd, count * PORTS);
    Batch *batch = batch_new();
    for (guint i = 0; i < count; i++)
        open_participant(&participants[i], fds + i * PORTS, i, folder ? folder : ".");
    for (;;) {
        if (tick_ms > 0)
            g_usleep((gulong)tick_ms * 1000);
        else if (poll(fds, count * PORTS, -1) < 0 && errno != EINTR)
            return 1;
        for (guint i = 0; i < count * PORTS; i++)
            if (tick_ms > 0 || fds[i].revents)
                take(batch, &participants[i / PORTS], fds[i].fd, i % PORTS & 1);
    }
}
