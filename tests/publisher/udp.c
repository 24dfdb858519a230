/* Plain RTP, or SRTP with SDES keys, to consecutive ports, told in an SDP file. Many packets with one system call. */
#include "publisher.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/rand.h>
#include <srtp2/srtp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BATCH 64
#define FEEDBACK_INTERVAL_US 20000 /* how often NACKs are looked for */
#define PACKET_MAX (STENO_PACKET_MAX_BYTES + SRTP_MAX_TRAILER_LEN + 4)

typedef struct {
    Output *output;
    Participant *participant;
    guint16 port;
    int fds[TRACKS_MAX];
    guint8 key[64];
    srtp_t outbound, inbound; /* NULL: clear */
} Peer;

struct Output {
    Peer *peers;
    guint n_peers, n_queued;
    gint64 next_feedback_us;
    guint64 refused; /* packets the kernel did not take */
    int queue_fd;
    struct mmsghdr messages[BATCH];
    struct iovec vectors[BATCH];
    guint8 buffers[BATCH][PACKET_MAX];
};

static const struct {
    const char *name;
    guint key_bytes;
    void (*policy)(srtp_crypto_policy_t *policy);
} suites[] = {
    {"AES_CM_128_HMAC_SHA1_80", 30, srtp_crypto_policy_set_rtp_default},
    {"AEAD_AES_128_GCM", 28, srtp_crypto_policy_set_aes_gcm_128_16_auth},
    {"AEAD_AES_256_GCM", 44, srtp_crypto_policy_set_aes_gcm_256_16_auth},
};

static void flush(Output *output)
{
    for (guint sent = 0; sent < output->n_queued;) {
        int n = sendmmsg(output->queue_fd, output->messages + sent, output->n_queued - sent, 0);
        if (n <= 0) {
            if (n < 0 && errno == EINTR)
                continue;
            output->refused++; /* ECONNREFUSED: nobody listens yet; goes on with the next packet */
            n = 1;
        }
        sent += (guint)n;
    }
    output->n_queued = 0;
}

static void on_send(Participant *participant, guint track, gboolean rtcp, const guint8 *data, gsize bytes)
{
    Peer *peer = participant->user;
    Output *output = peer->output;
    int length = (int)bytes;

    if (output->n_queued == BATCH || (output->n_queued > 0 && output->queue_fd != peer->fds[track]))
        flush(output);
    output->queue_fd = peer->fds[track];
    guint8 *buffer = output->buffers[output->n_queued];
    memcpy(buffer, data, bytes);
    if (peer->outbound && (rtcp ? srtp_protect_rtcp(peer->outbound, buffer, &length)
                                : srtp_protect(peer->outbound, buffer, &length)) != srtp_err_status_ok)
        return;
    output->vectors[output->n_queued++].iov_len = (size_t)length;
}

static void take_feedback(Peer *peer, int fd)
{
    guint8 buffer[STENO_PACKET_MAX_BYTES];
    int length;

    while ((length = (int)recv(fd, buffer, sizeof buffer, MSG_DONTWAIT)) > 0) {
        if (peer->inbound && srtp_unprotect_rtcp(peer->inbound, buffer, &length) != srtp_err_status_ok)
            continue;
        participant_take_rtcp(peer->participant, buffer, (gsize)length);
    }
}

static gboolean udp_tick(Output *output, gint64 mono_us)
{
    if (mono_us >= output->next_feedback_us) {
        output->next_feedback_us = mono_us + FEEDBACK_INTERVAL_US;
        for (guint i = 0; i < output->n_peers; i++) {
            for (guint t = 0; t < output->peers[i].participant->n_tracks; t++)
                take_feedback(&output->peers[i], output->peers[i].fds[t]);
        }
    }
    flush(output);
    return TRUE;
}

static gboolean make_srtp(Peer *peer, const char *suite, GError **error)
{
    for (guint i = 0; i < G_N_ELEMENTS(suites); i++) {
        if (strcmp(suites[i].name, suite) != 0)
            continue;
        srtp_policy_t policy;
        memset(&policy, 0, sizeof policy);
        suites[i].policy(&policy.rtp);
        suites[i].policy(&policy.rtcp);
        policy.key = peer->key;
        policy.window_size = 4096;
        policy.allow_repeat_tx = 1;
        policy.ssrc.type = ssrc_any_outbound;
        if (RAND_bytes(peer->key, (int)suites[i].key_bytes) != 1 ||
            srtp_create(&peer->outbound, &policy) != srtp_err_status_ok)
            break;
        policy.ssrc.type = ssrc_any_inbound;
        if (srtp_create(&peer->inbound, &policy) == srtp_err_status_ok)
            return TRUE;
    }
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED, "SRTP suite %s is not supported", suite);
    return FALSE;
}

static int open_socket(const char *host, guint16 port, GError **error)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), bytes = 4 * 1024 * 1024;

    (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
    if (inet_pton(AF_INET, host, &to.sin_addr) == 1 && connect(fd, (struct sockaddr *)&to, sizeof to) == 0)
        return fd;
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED, "cannot send to %s port %u", host, port);
    close(fd);
    return -1;
}

/* ---- the SDP file ------------------------------------------------------------------------------------------------ */

static const char *header = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=publisher\r\nt=0 0\r\n";

static void append_media(GString *sdp, const Peer *peer, guint index, const Options *options, const char *host)
{
    static const char *const names[STENO_CODEC_COUNT] = {
        [STENO_CODEC_OPUS] = "opus/48000/2", [STENO_CODEC_PCMU] = "PCMU/8000", [STENO_CODEC_PCMA] = "PCMA/8000",
        [STENO_CODEC_VP8] = "VP8/90000",     [STENO_CODEC_VP9] = "VP9/90000",  [STENO_CODEC_H264] = "H264/90000",
        [STENO_CODEC_H265] = "H265/90000",   [STENO_CODEC_AV1] = "AV1/90000"};
    const Track *track = &peer->participant->tracks[index];
    guint type = track->payload_type;

    g_string_append_printf(sdp, "m=%s %u RTP/%s %u\r\nc=IN IP4 %s\r\na=rtpmap:%u %s\r\n", track->kind,
                           peer->port + 2 * index, peer->outbound ? "SAVPF" : "AVPF", type, host, type,
                           names[track->clip->codec]);
    if (track->clip->codec == STENO_CODEC_H264)
        g_string_append_printf(sdp, "a=fmtp:%u packetization-mode=1;profile-level-id=%02x%02x%02x\r\n", type,
                               track->clip->h264_profile[0], track->clip->h264_profile[1],
                               track->clip->h264_profile[2]);
    if (track->clip->codec == STENO_CODEC_OPUS && track->clip->channels == 2)
        g_string_append_printf(sdp, "a=fmtp:%u sprop-stereo=1\r\n", type);
    if (track->clip->channels == 0)
        g_string_append_printf(sdp, "a=rtcp-fb:%u nack\r\na=rtcp-fb:%u nack pli\r\n", type, type);
    if (peer->outbound) {
        guint bytes = 30;
        for (guint i = 0; i < G_N_ELEMENTS(suites); i++)
            bytes = strcmp(suites[i].name, options->srtp) == 0 ? suites[i].key_bytes : bytes;
        g_autofree char *key = g_base64_encode(peer->key, bytes);
        g_string_append_printf(sdp, "a=crypto:1 %s inline:%s\r\n", options->srtp, key);
    }
    g_string_append_printf(sdp, "a=rtcp-mux\r\na=sendonly\r\na=mid:%s%c\r\na=msid:%s %s\r\na=ssrc:%u cname:%s\r\n",
                           peer->participant->name, track->mid, peer->participant->name, track->kind, track->ssrc,
                           peer->participant->cname);
}

/* All in one file; with sdp_each in FILE.0, FILE.1 … one a participant. */
static gboolean write_sdp(Output *output, const Options *options, const char *host, GError **error)
{
    g_autoptr(GString) all = g_string_new(header);

    for (guint i = 0; i < output->n_peers; i++) {
        g_autoptr(GString) one = g_string_new(header);
        for (guint t = 0; t < output->peers[i].participant->n_tracks; t++)
            append_media(options->sdp_each ? one : all, &output->peers[i], t, options, host);
        g_autofree char *path = g_strdup_printf("%s.%u", options->sdp_out, i);
        if (options->sdp_each && !g_file_set_contents(path, one->str, (gssize)one->len, error))
            return FALSE;
    }
    return options->sdp_each || g_file_set_contents(options->sdp_out, all->str, (gssize)all->len, error);
}

/* ---- life -------------------------------------------------------------------------------------------------------- */

static void udp_close(Output *output)
{
    for (guint i = 0; i < output->n_peers; i++) {
        Peer *peer = &output->peers[i];
        participant_send_bye(peer->participant);
        flush(output);
        for (guint t = 0; t < peer->participant->n_tracks; t++) {
            if (peer->fds[t] > 0)
                close(peer->fds[t]);
        }
        if (peer->outbound)
            srtp_dealloc(peer->outbound);
        if (peer->inbound)
            srtp_dealloc(peer->inbound);
    }
    g_free(output->peers);
    g_free(output);
}

static gboolean open_peer(Output *output, Peer *peer, const Options *options, const char *host, GError **error)
{
    Participant *participant = peer->participant;

    peer->output = output;
    participant->user = peer;
    participant->send = on_send;
    for (guint t = 0; t < participant->n_tracks; t++) {
        static const guint8 static_types[STENO_CODEC_COUNT] = {[STENO_CODEC_PCMU] = 1, [STENO_CODEC_PCMA] = 9};
        guint8 fixed = static_types[participant->tracks[t].clip->codec];
        participant->tracks[t].payload_type = fixed ? (guint8)(fixed - 1) : (guint8)(96 + t);
        peer->fds[t] = open_socket(host, (guint16)(peer->port + 2 * t), error);
        if (peer->fds[t] < 0)
            return FALSE;
    }
    return !options->srtp || strcmp(options->srtp, "none") == 0 || make_srtp(peer, options->srtp, error);
}

static Output *udp_open(const Options *options, Participant *participants, guint n, GMainContext *context,
                        GError **error)
{
    g_auto(GStrv) to = g_strsplit(options->to, ":", 2);
    Output *output = g_new0(Output, 1);
    gboolean ok = to[0] && to[1];

    (void)context;
    srtp_init();
    output->peers = g_new0(Peer, n);
    for (guint i = 0; i < BATCH; i++) {
        output->vectors[i].iov_base = output->buffers[i];
        output->messages[i].msg_hdr.msg_iov = &output->vectors[i];
        output->messages[i].msg_hdr.msg_iovlen = 1;
    }
    guint16 port = ok ? (guint16)g_ascii_strtoull(to[1], NULL, 10) : 0;
    for (guint i = 0; i < n && ok; i++, port = (guint16)(port + 2 * TRACKS_MAX)) {
        Peer *peer = &output->peers[output->n_peers++];
        peer->participant = &participants[i];
        peer->port = port;
        ok = open_peer(output, peer, options, to[0], error);
    }
    if (ok && write_sdp(output, options, to[0], error)) {
        for (guint i = 0; i < n; i++)
            participant_start(&participants[i], g_get_monotonic_time(), options->delay_ms * 1000);
        return output;
    }
    if (error && !*error)
        g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT, "--to wants HOST:PORT");
    udp_close(output);
    return NULL;
}

const OutputKind udp_output = {udp_open, udp_tick, udp_close};
