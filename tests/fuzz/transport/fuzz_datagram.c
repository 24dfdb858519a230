/*
 * Datagrams from strangers: to a clear and an SRTP transport over a real socket, and into a DTLS handshake that has
 * just begun, as client or as server. The input is datagrams, each behind two bytes of length; the first byte chooses
 * the role.
 */
#include "dtls.h"

#include <arpa/inet.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

typedef struct {
    GMainContext *context;
    StenoPacketPool *pool;
    StenoTransport *clear, *protected;
    StenoDtls *dtls;
    int to_clear, to_protected;
    guint64 checksum; /* of all that came out, so that it is read */
} Fuzz;

static void on_rtp(gpointer user, StenoPacket *packet)
{
    for (guint32 i = 0; i < packet->bytes; i++)
        ((Fuzz *)user)->checksum += packet->data[i];
    steno_packet_free(packet);
}

static void on_rtcp(gpointer user, const guint8 *data, gsize bytes, gint64 arrival_us)
{
    (void)arrival_us;
    for (gsize i = 0; i < bytes; i++)
        ((Fuzz *)user)->checksum += data[i];
}

static void on_dtls_send(gpointer user, const guint8 *data, gsize bytes)
{
    ((Fuzz *)user)->checksum += data[bytes - 1];
}

static void on_dtls_connected(gpointer user, StenoSrtp *srtp, StenoSrtpProfile profile, const char *cipher)
{
    (void)user;
    (void)srtp;
    (void)profile;
    (void)cipher;
    g_error("a handshake without the right certificate");
}

static void on_dtls_closed(gpointer user)
{
    (void)user;
}

static void on_dtls_failed(gpointer user, const GError *error)
{
    ((Fuzz *)user)->checksum += strlen(error->message);
}

/* A transport on some free port, and a socket that sends to it. */
static StenoTransport *open_transport(Fuzz *fuzz, const StenoSdesKey *sdes, int *sender)
{
    static const StenoTransportEvents events = {on_rtp, on_rtcp, NULL, NULL};

    for (guint port = 20000 + (guint)getpid() % 20000; port < 60000; port++) {
        StenoPlainConfig config = {.address = "127.0.0.1", .port = (guint16)port, .pool = fuzz->pool, .sdes = sdes};
        StenoTransport *transport = steno_transport_new_plain(&config, fuzz->context, &events, fuzz, NULL);
        struct sockaddr_in to = {
            .sin_family = AF_INET, .sin_port = htons((guint16)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        *sender = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        if (transport && connect(*sender, (struct sockaddr *)&to, sizeof to) == 0)
            return transport;
        close(*sender);
    }
    g_error("no free port");
}

static Fuzz *start(void)
{
    static const StenoDtlsEvents events = {on_dtls_send, on_dtls_connected, on_dtls_closed, on_dtls_failed};
    Fuzz *fuzz = g_new0(Fuzz, 1);

    fuzz->context = g_main_context_new();
    fuzz->pool = steno_packet_pool_new(64);
    g_autoptr(StenoSecret) key = steno_secret_new("0123456789abcdef0123456789ab", 28);
    StenoSdesKey sdes = {"AEAD_AES_128_GCM", key};
    fuzz->clear = open_transport(fuzz, NULL, &fuzz->to_clear);
    fuzz->protected = open_transport(fuzz, &sdes, &fuzz->to_protected);
    fuzz->dtls = steno_dtls_new(TRUE, fuzz->context, &events, fuzz, NULL);
    return fuzz;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static const char *const fingerprints[] = {
        "sha-256 00:01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:10:11:12:13:14:15:16:17:"
        "18:19:1A:1B:1C:1D:1E:1F",
        NULL};
    static Fuzz *fuzz;
    gboolean prepared = FALSE;

    if (!fuzz)
        fuzz = start();
    if (bytes < 1)
        return 0;
    gboolean client = data[0] & 1;
    data++;
    bytes--;
    while (bytes >= 2) {
        gsize length = MIN((gsize)data[0] << 8 | data[1], bytes - 2);
        data += 2;
        bytes -= 2;
        if (steno_datagram_classify(data, length) == STENO_DATAGRAM_DTLS) {
            if (!prepared && !steno_dtls_prepare(fuzz->dtls, client, steno_fingerprints_new(fingerprints, NULL), NULL))
                g_error("cannot prepare");
            prepared = TRUE;
            steno_dtls_start(fuzz->dtls);
            steno_dtls_feed(fuzz->dtls, data, length);
        } else if (send(fuzz->to_clear, data, length, 0) == (gssize)length &&
                   send(fuzz->to_protected, data, length, 0) == (gssize)length) {
            steno_transport_drain(fuzz->clear, 0);
            steno_transport_drain(fuzz->protected, 0);
        }
        data += length;
        bytes -= length;
    }
    return 0;
}
