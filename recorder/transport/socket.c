#include "private.h"

#include <arpa/inet.h>
#include <linux/filter.h>
#include <string.h>
#include <unistd.h>

#define ACCEPT BPF_STMT(BPF_RET | BPF_K, 0xffffffff)
#define DROP BPF_STMT(BPF_RET | BPF_K, 0)

static guint32 word_of(const guint8 *bytes)
{
    return (guint32)bytes[0] << 24 | (guint32)bytes[1] << 16 | (guint32)bytes[2] << 8 | bytes[3];
}

/* The mask of the prefix bits that fall into a 32-bit word. */
static guint32 mask_of(guint bits, guint word)
{
    guint covered = bits > word * 32 ? MIN(bits - word * 32, 32) : 0;

    return covered == 0 ? 0 : G_MAXUINT32 << (32 - covered);
}

static void emit(GArray *program, struct sock_filter instruction)
{
    g_array_append_val(program, instruction);
}

/*
 * Accepts a packet whose source (words at offset behind the network header, of which the first is word `first` of the
 * network) lies in the network; else goes on behind.
 */
static void emit_network(GArray *program, const StenoNetwork *network, guint offset, guint first)
{
    guint words = 0;

    for (guint word = first; word < 4; word++)
        words += mask_of(network->bits, word) != 0;
    for (guint word = first, left = words; left > 0; word++, left--) {
        guint32 mask = mask_of(network->bits, word);
        emit(program, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
                                                   (guint32)SKF_NET_OFF + offset + 4 * (word - first)));
        emit(program, (struct sock_filter)BPF_STMT(BPF_ALU | BPF_AND | BPF_K, mask));
        emit(program,
             (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, word_of(network->prefix + 4 * word) & mask, 0,
                                          (guint8)(3 * (left - 1) + 1)));
    }
    emit(program, (struct sock_filter)ACCEPT);
}

static gboolean is_mapped(const StenoNetwork *network)
{
    static const guint8 prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

    return network->bits >= 96 && memcmp(network->prefix, prefix, sizeof prefix) == 0;
}

gboolean steno_socket_attach_geofence(int fd, const StenoGeofence *geofence)
{
    guint n_networks;
    const StenoNetwork *networks = steno_geofence_networks(geofence, &n_networks);

    if (n_networks == 0)
        return TRUE;
    g_autoptr(GArray) program = g_array_new(FALSE, FALSE, sizeof(struct sock_filter));
    /* IPv4: version 4 in the header, the source at byte 12. IPv6: the source at byte 8. */
    emit(program, (struct sock_filter)BPF_STMT(BPF_LD | BPF_B | BPF_ABS, (guint32)SKF_NET_OFF));
    emit(program, (struct sock_filter)BPF_STMT(BPF_ALU | BPF_RSH | BPF_K, 4));
    emit(program, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 4, 1, 0));
    guint jump_to_ipv6 = program->len;
    emit(program, (struct sock_filter)BPF_STMT(BPF_JMP | BPF_JA, 0));
    for (guint i = 0; i < n_networks; i++) {
        if (is_mapped(&networks[i]))
            emit_network(program, &networks[i], 12, 3);
    }
    emit(program, (struct sock_filter)DROP);
    g_array_index(program, struct sock_filter, jump_to_ipv6).k = program->len - jump_to_ipv6 - 1;
    for (guint i = 0; i < n_networks; i++) {
        if (!is_mapped(&networks[i]))
            emit_network(program, &networks[i], 8, 0);
    }
    emit(program, (struct sock_filter)DROP);

    struct sock_fprog filter = {(unsigned short)program->len, (struct sock_filter *)(gpointer)program->data};
    return program->len <= BPF_MAXINSNS && setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter) == 0;
}

void steno_socket_prepare(int fd, const StenoGeofence *geofence)
{
    int bytes = STENO_SOCKET_BUFFER_BYTES, on = 1;

    /* Without CAP_NET_ADMIN net.core.rmem_max bounds it; then that must do. */
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes) != 0)
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
    (void)setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on);
    (void)steno_socket_attach_geofence(fd, geofence);
}

/* Socket 1 of the group for RTP and RTCP (first byte 128–191), socket 0, which was there before, for all else. */
static gboolean attach_split(int fd)
{
    struct sock_filter program[] = {
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0),
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 128, 0, 2),
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 192, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, 1),
        BPF_STMT(BPF_RET | BPF_K, 0),
    };
    struct sock_fprog filter = {G_N_ELEMENTS(program), program};

    return setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &filter, sizeof filter) == 0;
}

int steno_socket_split_media(int fd)
{
    struct sockaddr_storage address;
    socklen_t bytes = sizeof address;
    int on = 1, v6only = 0;
    socklen_t v6only_bytes = sizeof v6only;

    if (getsockname(fd, (struct sockaddr *)&address, &bytes) != 0)
        return -1;
    int media = socket(address.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (media < 0)
        return -1;
    if (address.ss_family == AF_INET6 && getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6only, &v6only_bytes) == 0)
        (void)setsockopt(media, IPPROTO_IPV6, IPV6_V6ONLY, &v6only, sizeof v6only);
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) == 0 &&
        setsockopt(media, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) == 0 &&
        bind(media, (struct sockaddr *)&address, bytes) == 0 && attach_split(media))
        return media;
    close(media);
    return -1;
}

gboolean steno_address_equal(const struct sockaddr *a, const struct sockaddr *b)
{
    if (a->sa_family != b->sa_family)
        return FALSE;
    if (a->sa_family == AF_INET) {
        const struct sockaddr_in *a4 = (const struct sockaddr_in *)a, *b4 = (const struct sockaddr_in *)b;
        return a4->sin_port == b4->sin_port && a4->sin_addr.s_addr == b4->sin_addr.s_addr;
    }
    const struct sockaddr_in6 *a6 = (const struct sockaddr_in6 *)a, *b6 = (const struct sockaddr_in6 *)b;
    return a6->sin6_port == b6->sin6_port && memcmp(&a6->sin6_addr, &b6->sin6_addr, 16) == 0;
}

socklen_t steno_address_bytes(const struct sockaddr *address)
{
    return address->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
}

char *steno_address_text(const struct sockaddr *address)
{
    char text[INET6_ADDRSTRLEN] = "?";

    if (address->sa_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)address;
        inet_ntop(AF_INET, &v4->sin_addr, text, sizeof text);
        return g_strdup_printf("%s:%u", text, ntohs(v4->sin_port));
    }
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)address;
    inet_ntop(AF_INET6, &v6->sin6_addr, text, sizeof text);
    return g_strdup_printf("[%s]:%u", text, ntohs(v6->sin6_port));
}
