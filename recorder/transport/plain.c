/*
 * RTP over UDP as an SDP file describes it, in the clear or with SDES keys. Nobody polls the sockets: the session's
 * tick empties them.
 */
#include "private.h"
#include "steno/base/error.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netdb.h>
#include <string.h>
#include <unistd.h>

typedef struct {
    StenoTransport common;
    StenoBatch *batch;
    int rtp_fd, rtcp_fd; /* rtcp_fd -1: both on one port */
    gboolean reading_rtcp_port;
    gboolean send_feedback;
    gboolean has_source; /* accept only from `source`, whatever its port */
    struct sockaddr_storage source;
    struct sockaddr_storage rtp_peer, rtcp_peer; /* where feedback goes to; ss_family 0: not known yet */
    GSource *announce;
} StenoPlain;

/* ---- reading ----------------------------------------------------------------------------------------------------- */

static gboolean same_host(const struct sockaddr *a, const struct sockaddr *b)
{
    if (a->sa_family != b->sa_family)
        return FALSE;
    if (a->sa_family == AF_INET)
        return ((const struct sockaddr_in *)a)->sin_addr.s_addr == ((const struct sockaddr_in *)b)->sin_addr.s_addr;
    return memcmp(&((const struct sockaddr_in6 *)a)->sin6_addr, &((const struct sockaddr_in6 *)b)->sin6_addr, 16) == 0;
}

static gboolean accepts(const StenoPlain *plain, const struct sockaddr *from)
{
    return (!plain->has_source || same_host((const struct sockaddr *)&plain->source, from)) &&
           steno_geofence_allows_address(plain->common.geofence, from);
}

static void on_datagram(gpointer user, StenoPacket *packet, const struct sockaddr *from)
{
    StenoPlain *plain = user;
    StenoDatagramKind kind = steno_datagram_classify(packet->data, packet->bytes);
    /* With two ports the port decides, for payload types that look like RTCP (RFC 5761 §4). */
    gboolean rtcp = plain->rtcp_fd >= 0 ? plain->reading_rtcp_port : kind == STENO_DATAGRAM_RTCP;

    if ((kind != STENO_DATAGRAM_RTP && kind != STENO_DATAGRAM_RTCP) || (!rtcp && packet->bytes < 12) ||
        !accepts(plain, from)) {
        plain->common.stats.strays++;
        steno_packet_free(packet);
        return;
    }
    struct sockaddr_storage *peer = rtcp ? &plain->rtcp_peer : &plain->rtp_peer;
    /* Only what authenticates may say where feedback goes; in the clear there is nothing to tell by. */
    guint64 failures = plain->common.stats.srtp_failures + plain->common.stats.srtp_replays;
    steno_transport_receive(&plain->common, packet, rtcp);
    if (plain->send_feedback && failures == plain->common.stats.srtp_failures + plain->common.stats.srtp_replays)
        memcpy(peer, from, steno_address_bytes(from));
}

static guint plain_drain(StenoTransport *transport, gint64 now_us)
{
    StenoPlain *plain = (StenoPlain *)transport;
    guint read = 0;

    if (plain->rtcp_fd >= 0) {
        plain->reading_rtcp_port = TRUE;
        read = steno_batch_drain(plain->batch, plain->rtcp_fd, now_us, on_datagram, plain);
        plain->reading_rtcp_port = FALSE;
    }
    return read + steno_batch_drain(plain->batch, plain->rtp_fd, now_us, on_datagram, plain);
}

static void plus_one_port(struct sockaddr_storage *address)
{
    in_port_t *port = address->ss_family == AF_INET6 ? &((struct sockaddr_in6 *)address)->sin6_port
                                                     : &((struct sockaddr_in *)address)->sin_port;
    *port = htons((guint16)(ntohs(*port) + 1));
}

static gboolean plain_send(StenoTransport *transport, gboolean rtcp, const guint8 *data, gsize bytes)
{
    StenoPlain *plain = (StenoPlain *)transport;
    gboolean two_ports = plain->rtcp_fd >= 0;
    struct sockaddr_storage to = rtcp && two_ports && plain->rtcp_peer.ss_family ? plain->rtcp_peer : plain->rtp_peer;

    if (!plain->send_feedback || to.ss_family == 0)
        return FALSE;
    if (rtcp && two_ports && !plain->rtcp_peer.ss_family)
        plus_one_port(&to); /* RFC 3550 §11, until an RTCP packet tells better */
    return sendto(rtcp && two_ports ? plain->rtcp_fd : plain->rtp_fd, data, bytes, MSG_DONTWAIT | MSG_NOSIGNAL,
                  (struct sockaddr *)&to, steno_address_bytes((struct sockaddr *)&to)) == (gssize)bytes;
}

/* ---- opening ----------------------------------------------------------------------------------------------------- */

static gboolean parse_literal(const char *text, guint16 port, struct sockaddr_storage *address)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *)address;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)address;

    memset(address, 0, sizeof *address);
    if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons(port);
        return TRUE;
    }
    if (inet_pton(AF_INET6, text, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons(port);
        return TRUE;
    }
    return FALSE;
}

static gboolean is_multicast(const struct sockaddr_storage *address)
{
    if (address->ss_family == AF_INET)
        return IN_MULTICAST(ntohl(((const struct sockaddr_in *)address)->sin_addr.s_addr));
    return IN6_IS_ADDR_MULTICAST(&((const struct sockaddr_in6 *)address)->sin6_addr);
}

/* RFC 3678: any-source, or with a=source-filter source-specific. */
static gboolean join(int fd, const struct sockaddr_storage *group, const StenoPlain *plain, guint interface_index)
{
    int level = group->ss_family == AF_INET6 ? IPPROTO_IPV6 : IPPROTO_IP;

    if (plain->has_source) {
        struct group_source_req request = {
            .gsr_interface = interface_index, .gsr_group = *group, .gsr_source = plain->source};
        return setsockopt(fd, level, MCAST_JOIN_SOURCE_GROUP, &request, sizeof request) == 0;
    }
    struct group_req request = {.gr_interface = interface_index, .gr_group = *group};
    return setsockopt(fd, level, MCAST_JOIN_GROUP, &request, sizeof request) == 0;
}

/* One bound socket, or -1 with errno. */
static int open_socket(const StenoPlain *plain, const struct sockaddr_storage *address, guint interface_index)
{
    int fd = socket(address->ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int on = 1, off = 0;

    if (fd < 0)
        return -1;
    steno_socket_prepare(fd, plain->common.geofence);
    /* Others may listen to the same group; and of groups on one port, only what this socket joined is for us. */
    gboolean ok = TRUE;
    if (is_multicast(address)) {
        ok = setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0;
        if (address->ss_family == AF_INET)
            (void)setsockopt(fd, IPPROTO_IP, IP_MULTICAST_ALL, &off, sizeof off);
    }
    ok = ok && bind(fd, (const struct sockaddr *)address, steno_address_bytes((const struct sockaddr *)address)) == 0 &&
         (!is_multicast(address) || join(fd, address, plain, interface_index));
    if (ok)
        return fd;
    int saved = errno;
    close(fd);
    errno = saved;
    return -1;
}

static gboolean open_sockets(StenoPlain *plain, const StenoPlainConfig *config, GError **error)
{
    struct sockaddr_storage address;
    guint interface_index = config->interface ? if_nametoindex(config->interface) : 0;

    if (!parse_literal(config->address, config->port, &address) ||
        (config->source && !parse_literal(config->source, 0, &plain->source))) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_SDP_INVALID, "listening for RTP: \"%s\" is not a literal address",
                    plain->source.ss_family || !config->source ? config->address : config->source);
        return FALSE;
    }
    plain->has_source = config->source != NULL;
    if (plain->has_source && plain->source.ss_family != address.ss_family) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_SDP_INVALID,
                    "listening for RTP: %s and its source %s are of two kinds", config->address, config->source);
        return FALSE;
    }
    if (config->source && !steno_geofence_allows(config->geofence, config->source)) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_GEOFENCE,
                    "listening for RTP: the source %s lies outside of the allowed networks", config->source);
        return FALSE;
    }
    if (config->interface && interface_index == 0) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_MEDIA_UNREACHABLE,
                    "listening for RTP: there is no interface \"%s\"", config->interface);
        return FALSE;
    }
    guint16 port = config->port;
    plain->rtp_fd = open_socket(plain, &address, interface_index);
    if (plain->rtp_fd >= 0 && config->rtcp_port != 0 && config->rtcp_port != config->port) {
        port = config->rtcp_port;
        parse_literal(config->address, port, &address);
        plain->rtcp_fd = open_socket(plain, &address, interface_index);
        if (plain->rtcp_fd >= 0)
            return TRUE;
    } else if (plain->rtp_fd >= 0) {
        return TRUE;
    }
    g_set_error(error, STENO_ERROR, STENO_ERROR_MEDIA_UNREACHABLE, "listening for RTP at %s port %u: %s%s",
                config->address, port, g_strerror(errno), errno == EADDRINUSE ? "; another program listens there" : "");
    return FALSE;
}

/* One key for both ways: SSRCs differ, and they are part of every nonce (RFC 3711 §4.1.1, RFC 7714 §8.1). */
static gboolean load_sdes(StenoPlain *plain, const StenoSdesKey *sdes, GError **error)
{
    StenoSrtpProfile profile;

    if (!steno_srtp_profile_from_sdes(sdes->suite, &profile)) {
        g_set_error(
            error, STENO_ERROR, STENO_ERROR_WEAK_CRYPTO,
            "SDES: the suite \"%s\" is not supported; AEAD_AES_128_GCM, AEAD_AES_256_GCM, AES_CM_128_HMAC_SHA1_80 "
            "and AES_CM_128_HMAC_SHA1_32 are",
            sdes->suite ? sdes->suite : "");
        return FALSE;
    }
    const StenoSrtpProfileInfo *info = steno_srtp_profile_info(profile);
    if (!sdes->key_salt || steno_secret_bytes(sdes->key_salt) != info->key_bytes + info->salt_bytes) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_SDP_INVALID, "SDES: the key of %s must be %u bytes long",
                    sdes->suite, info->key_bytes + info->salt_bytes);
        return FALSE;
    }
    const guint8 *key = steno_secret_data(sdes->key_salt);
    plain->common.srtp = steno_srtp_new(profile, key, key, error);
    plain->common.stats.srtp_profile = info->name;
    return plain->common.srtp != NULL;
}

static gboolean on_announce(gpointer user)
{
    StenoPlain *plain = user;

    steno_transport_timer_clear(&plain->announce);
    if (plain->common.events.state)
        plain->common.events.state(plain->common.user, STENO_TRANSPORT_CONNECTED, NULL);
    return G_SOURCE_REMOVE;
}

static void plain_free(StenoTransport *transport)
{
    StenoPlain *plain = (StenoPlain *)transport;

    steno_transport_timer_clear(&plain->announce);
    if (plain->rtp_fd >= 0)
        close(plain->rtp_fd);
    if (plain->rtcp_fd >= 0)
        close(plain->rtcp_fd);
    steno_batch_free(plain->batch);
    steno_transport_clear(transport);
}

static const StenoTransportKind plain_kind = {.free = plain_free, .drain = plain_drain, .send = plain_send};

StenoTransport *steno_transport_new_plain(const StenoPlainConfig *config, GMainContext *context,
                                          const StenoTransportEvents *events, gpointer user, GError **error)
{
    StenoPlain *plain = g_new0(StenoPlain, 1);

    steno_transport_init(&plain->common, &plain_kind, context, events, user, config->geofence, config->pool,
                         config->log, "rtp");
    plain->rtp_fd = plain->rtcp_fd = -1;
    plain->batch = steno_batch_new(config->pool, &plain->common.stats);
    plain->send_feedback = config->send_feedback;
    plain->common.clear = config->sdes == NULL;
    if ((config->sdes && !load_sdes(plain, config->sdes, error)) || !open_sockets(plain, config, error)) {
        plain_free(&plain->common);
        return NULL;
    }
    plain->common.state = STENO_TRANSPORT_CONNECTED;
    plain->announce = steno_transport_timer(plain->common.context, 0, on_announce, plain);
    return &plain->common;
}
