/* RTP over UDP as SDP files have it: clear, with SDES, multicast, one port or two. */
#include "pair.h"

#include "srtp.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#define GROUP "239.255.71.7"

typedef struct {
    Pair pair;  /* a is the transport */
    int sender; /* sends to it */
    int port;   /* of the transport; the next one is free as well */
    struct sockaddr_in to;
} Fixture;

/* Two neighbouring free ports. */
static int free_ports(void)
{
    for (;;) {
        struct sockaddr_in one = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}, two;
        socklen_t bytes = sizeof one;
        int a = socket(AF_INET, SOCK_DGRAM, 0), b = socket(AF_INET, SOCK_DGRAM, 0);
        bind(a, (struct sockaddr *)&one, sizeof one);
        getsockname(a, (struct sockaddr *)&one, &bytes);
        two = one;
        two.sin_port = htons((guint16)(ntohs(one.sin_port) + 1));
        gboolean ok = bind(b, (struct sockaddr *)&two, sizeof two) == 0;
        close(a);
        close(b);
        if (ok)
            return ntohs(one.sin_port);
    }
}

static int setup(void **state)
{
    Fixture *fixture = g_new0(Fixture, 1);
    struct sockaddr_in own = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

    pair_init(&fixture->pair);
    fixture->port = free_ports();
    fixture->sender = socket(AF_INET, SOCK_DGRAM, 0);
    bind(fixture->sender, (struct sockaddr *)&own, sizeof own);
    fixture->to = own;
    fixture->to.sin_port = htons((guint16)fixture->port);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    Fixture *fixture = *state;

    close(fixture->sender);
    pair_clear(&fixture->pair);
    g_free(fixture);
    return 0;
}

static gboolean open_plain(Fixture *fixture, StenoPlainConfig config, GError **error)
{
    if (!config.address)
        config.address = "127.0.0.1";
    config.port = (guint16)fixture->port;
    config.pool = fixture->pair.pool;
    fixture->pair.a.transport =
        steno_transport_new_plain(&config, fixture->pair.context, &endpoint_events, &fixture->pair.a, error);
    return fixture->pair.a.transport != NULL;
}

static void send_datagram(Fixture *fixture, const guint8 *data, gsize bytes)
{
    assert_int_equal(sendto(fixture->sender, data, bytes, 0, (struct sockaddr *)&fixture->to, sizeof fixture->to),
                     bytes);
}

/* On the loopback what was sent is there: one drain must find it. */
static guint drain(Fixture *fixture)
{
    return steno_transport_drain(fixture->pair.a.transport, g_get_monotonic_time());
}

static const StenoTransportStats *stats(Fixture *fixture)
{
    return steno_transport_stats(fixture->pair.a.transport);
}

static gboolean a_connected(Pair *pair)
{
    return pair->a.state == STENO_TRANSPORT_CONNECTED;
}

static void clear_rtp_and_rtcp_on_one_port(void **state)
{
    Fixture *fixture = *state;
    guint8 packet[2048];

    assert_true(open_plain(fixture, (StenoPlainConfig){0}, NULL));
    pair_run(&fixture->pair, a_connected);
    for (guint16 i = 0; i < 100; i++)
        send_datagram(fixture, packet, make_rtp(packet, i, 3, 1000));
    send_datagram(fixture, packet, make_rtcp(packet));
    assert_int_equal(drain(fixture), 101);
    assert_int_equal(fixture->pair.a.n_rtp, 100);
    assert_int_equal(fixture->pair.a.n_rtcp, 1);
    assert_int_equal(fixture->pair.a.last_rtp->len, 1012);
    assert_int_equal(stats(fixture)->rtp_packets, 100);
    assert_int_equal(stats(fixture)->rtcp_packets, 1);
    assert_int_equal(stats(fixture)->bytes, 100 * 1012 + 20);
    assert_int_equal(drain(fixture), 0);
    /* It was not asked to answer. */
    assert_false(steno_transport_send_rtcp(fixture->pair.a.transport, packet, make_rtcp(packet)));
}

static void limits_are_counted(void **state)
{
    Fixture *fixture = *state;
    guint8 packet[4000];

    assert_true(open_plain(fixture, (StenoPlainConfig){0}, NULL));
    send_datagram(fixture, packet, make_rtp(packet, 1, 3, STENO_PACKET_MAX_BYTES - 12));
    send_datagram(fixture, packet, make_rtp(packet, 2, 3, STENO_PACKET_MAX_BYTES - 11));
    send_datagram(fixture, (const guint8 *)"", 0);
    send_datagram(fixture, (const guint8 *)"\x80", 1);
    send_datagram(fixture, (const guint8 *)"\x16\xfe\xfd\0\0\0\0\0\0\0\0\0\0\0", 14); /* DTLS is not for us */
    drain(fixture);
    assert_int_equal(fixture->pair.a.n_rtp, 1);
    assert_int_equal(fixture->pair.a.last_rtp->len, STENO_PACKET_MAX_BYTES);
    assert_int_equal(stats(fixture)->too_long, 1);
    assert_int_equal(stats(fixture)->strays, 3);

    /* Somebody holds the whole pool: what comes is dropped, and the next can be read again. */
    StenoPacket *held[256];
    for (guint i = 0; i < 256; i++)
        assert_non_null(held[i] = steno_packet_new(fixture->pair.pool));
    for (guint16 i = 0; i < 10; i++)
        send_datagram(fixture, packet, make_rtp(packet, (guint16)(10 + i), 3, 100));
    assert_int_equal(drain(fixture), 0);
    assert_int_equal(stats(fixture)->pool_refused, 10);
    for (guint i = 0; i < 256; i++)
        steno_packet_free(held[i]);
    send_datagram(fixture, packet, make_rtp(packet, 30, 3, 100));
    assert_int_equal(drain(fixture), 1);
}

static void each_sdes_suite(void **state)
{
    for (guint i = 0; i < STENO_SRTP_PROFILES; i++) {
        Fixture *fixture = *state;
        const StenoSrtpProfileInfo *info = steno_srtp_profile_info(i);
        guint8 key[64], packet[400], again[400], rtcp[400];
        for (guint k = 0; k < sizeof key; k++)
            key[k] = (guint8)(k + i);
        g_autoptr(StenoSecret) secret = steno_secret_new(key, info->key_bytes + info->salt_bytes);
        StenoSdesKey sdes = {info->sdes_name, secret};
        assert_true(open_plain(fixture, (StenoPlainConfig){.sdes = &sdes, .send_feedback = TRUE}, NULL));
        pair_run(&fixture->pair, a_connected);
        StenoSrtp *sender = steno_srtp_new(i, key, key, NULL);
        guint32 bytes = (guint32)make_rtp(packet, 1, 7, 100);
        assert_true(steno_srtp_protect(sender, FALSE, packet, &bytes));
        memcpy(again, packet, bytes);
        send_datagram(fixture, packet, bytes);
        send_datagram(fixture, again, bytes); /* a replay */
        again[30] ^= 1;
        again[3] ^= 2; /* a forgery */
        send_datagram(fixture, again, bytes);
        send_datagram(fixture, packet, make_rtp(packet, 9, 7, 100)); /* clear where SRTP was agreed on */
        bytes = (guint32)make_rtcp(rtcp);
        assert_true(steno_srtp_protect(sender, TRUE, rtcp, &bytes));
        send_datagram(fixture, rtcp, bytes);
        drain(fixture);
        assert_int_equal(fixture->pair.a.n_rtp, 1);
        assert_int_equal(fixture->pair.a.last_rtp->len, 112);
        assert_int_equal(fixture->pair.a.last_rtp->data[40], 7);
        assert_int_equal(fixture->pair.a.n_rtcp, 1);
        assert_int_equal(stats(fixture)->srtp_replays, 1);
        assert_int_equal(stats(fixture)->srtp_failures, 2);
        assert_string_equal(stats(fixture)->srtp_profile, info->name);

        /* Our feedback comes back protected. */
        guint8 report[20] = {0x80, 201, 0, 1, 0x99, 0x88, 0x77, 0x66}, answer[400];
        assert_true(steno_transport_send_rtcp(fixture->pair.a.transport, report, 8));
        guint32 length = (guint32)recv(fixture->sender, answer, sizeof answer, 0);
        assert_true(length > 8);
        assert_int_equal(steno_srtp_unprotect(sender, TRUE, answer, &length), STENO_SRTP_OK);
        assert_memory_equal(answer, report, 8);
        steno_srtp_free(sender);
        endpoint_clear(&fixture->pair.a);
        fixture->pair.a.n_rtp = fixture->pair.a.n_rtcp = 0;
        fixture->pair.a.state = STENO_TRANSPORT_NEW;
    }
}

static void two_ports(void **state)
{
    Fixture *fixture = *state;
    guint8 packet[400], answer[400];

    assert_true(open_plain(fixture,
                           (StenoPlainConfig){.rtcp_port = (guint16)(fixture->port + 1), .send_feedback = TRUE}, NULL));
    pair_run(&fixture->pair, a_connected);
    gsize bytes = make_rtp(packet, 1, 3, 100);
    packet[1] = 0x80 | 72; /* a payload type that looks like RTCP where ports do not tell */
    send_datagram(fixture, packet, bytes);
    drain(fixture);
    assert_int_equal(fixture->pair.a.n_rtp, 1);
    fixture->to.sin_port = htons((guint16)(fixture->port + 1));
    send_datagram(fixture, packet, make_rtcp(packet));
    drain(fixture);
    assert_int_equal(fixture->pair.a.n_rtcp, 1);
    assert_true(steno_transport_send_rtcp(fixture->pair.a.transport, packet, make_rtcp(packet)));
    struct sockaddr_in from;
    socklen_t from_bytes = sizeof from;
    assert_int_equal(recvfrom(fixture->sender, answer, sizeof answer, 0, (struct sockaddr *)&from, &from_bytes), 20);
    assert_int_equal(ntohs(from.sin_port), fixture->port + 1);
}

static void sources_are_filtered(void **state)
{
    Fixture *fixture = *state;
    static const char *const elsewhere[] = {"127.0.0.77", NULL};
    guint8 packet[400];
    gsize bytes = make_rtp(packet, 1, 3, 100);

    assert_true(open_plain(fixture, (StenoPlainConfig){.source = "127.0.0.9"}, NULL));
    send_datagram(fixture, packet, bytes);
    drain(fixture);
    assert_int_equal(fixture->pair.a.n_rtp, 0);
    assert_int_equal(stats(fixture)->strays, 1);
    endpoint_clear(&fixture->pair.a);

    assert_true(open_plain(fixture, (StenoPlainConfig){.source = "127.0.0.1"}, NULL));
    send_datagram(fixture, packet, bytes);
    drain(fixture);
    assert_int_equal(fixture->pair.a.n_rtp, 1);
    endpoint_clear(&fixture->pair.a);

    g_autoptr(StenoGeofence) geofence = steno_geofence_new(elsewhere, NULL);
    assert_true(open_plain(fixture, (StenoPlainConfig){.geofence = geofence}, NULL));
    send_datagram(fixture, packet, bytes);
    drain(fixture);
    assert_int_equal(fixture->pair.a.n_rtp, 1);
    endpoint_clear(&fixture->pair.a);
    g_autoptr(GError) error = NULL;
    assert_false(open_plain(fixture, (StenoPlainConfig){.geofence = geofence, .source = "127.0.0.1"}, &error));
    assert_true(g_error_matches(error, STENO_ERROR, STENO_ERROR_GEOFENCE));
}

static void expect_no_transport(Fixture *fixture, StenoPlainConfig config, int code)
{
    g_autoptr(GError) error = NULL;

    assert_false(open_plain(fixture, config, &error));
    if (!g_error_matches(error, STENO_ERROR, code))
        fail_msg("%s", error->message);
}

static void impossible_configurations_are_refused(void **state)
{
    Fixture *fixture = *state;
    g_autoptr(StenoSecret) secret = steno_secret_new("short", 5);
    StenoSdesKey unknown = {"F8_128_HMAC_SHA1_80", secret}, short_key = {"AES_CM_128_HMAC_SHA1_80", secret};

    expect_no_transport(fixture, (StenoPlainConfig){.sdes = &unknown}, STENO_ERROR_WEAK_CRYPTO);
    expect_no_transport(fixture, (StenoPlainConfig){.sdes = &short_key}, STENO_ERROR_SDP_INVALID);
    expect_no_transport(fixture, (StenoPlainConfig){.address = "host.example"}, STENO_ERROR_SDP_INVALID);
    expect_no_transport(fixture, (StenoPlainConfig){.source = "host.example"}, STENO_ERROR_SDP_INVALID);
    expect_no_transport(fixture, (StenoPlainConfig){.source = "::1"}, STENO_ERROR_SDP_INVALID);
    expect_no_transport(fixture, (StenoPlainConfig){.interface = "nosuch0"}, STENO_ERROR_MEDIA_UNREACHABLE);
    expect_no_transport(fixture, (StenoPlainConfig){.address = "192.0.2.1"}, STENO_ERROR_MEDIA_UNREACHABLE);
    /* Taken: by the sender's own port. */
    struct sockaddr_in own;
    socklen_t bytes = sizeof own;
    getsockname(fixture->sender, (struct sockaddr *)&own, &bytes);
    fixture->port = ntohs(own.sin_port);
    expect_no_transport(fixture, (StenoPlainConfig){0}, STENO_ERROR_MEDIA_UNREACHABLE);
}

/* A group joined on the loopback interface; source-specific, only its source is heard. */
static void multicast(void **state)
{
    Fixture *fixture = *state;
    struct ip_mreqn out = {.imr_address.s_addr = htonl(INADDR_LOOPBACK), .imr_ifindex = (int)if_nametoindex("lo")};
    guint8 packet[400];
    gsize bytes = make_rtp(packet, 1, 3, 100);

    assert_int_equal(setsockopt(fixture->sender, IPPROTO_IP, IP_MULTICAST_IF, &out, sizeof out), 0);
    inet_pton(AF_INET, GROUP, &fixture->to.sin_addr);
    static const char *const sources[] = {NULL, "127.0.0.1", "127.0.0.9"};
    for (guint i = 0; i < G_N_ELEMENTS(sources); i++) {
        g_autoptr(GError) error = NULL;
        if (!open_plain(fixture, (StenoPlainConfig){.address = GROUP, .interface = "lo", .source = sources[i]}, &error))
            fail_msg("%s", error->message);
        fixture->pair.a.n_rtp = 0;
        send_datagram(fixture, packet, bytes);
        drain(fixture);
        assert_int_equal(fixture->pair.a.n_rtp, i < 2);
        endpoint_clear(&fixture->pair.a);
    }
}

static gboolean a_heard_fifty(Pair *pair)
{
    return pair->a.n_rtp >= 50 && pair->a.n_rtcp >= 1;
}

/* Somebody else's SRTP: ffmpeg's. */
static void ffmpeg_sends_srtp(void **state)
{
    Fixture *fixture = *state;
    guint8 key[30];
    for (guint i = 0; i < sizeof key; i++)
        key[i] = (guint8)(i * 5);
    g_autofree char *key_text = g_base64_encode(key, sizeof key);
    g_autofree char *url = g_strdup_printf("srtp://127.0.0.1:%d?rtcpport=%d", fixture->port, fixture->port);
    g_autoptr(StenoSecret) secret = steno_secret_new(key, sizeof key);
    StenoSdesKey sdes = {"AES_CM_128_HMAC_SHA1_80", secret};
    const char *argv[] = {"ffmpeg",
                          "-nostdin",
                          "-v",
                          "quiet",
                          "-re",
                          "-f",
                          "lavfi",
                          "-i",
                          "sine=duration=2",
                          "-c:a",
                          "pcm_mulaw",
                          "-ar",
                          "8000",
                          "-f",
                          "rtp",
                          "-srtp_out_suite",
                          "AES_CM_128_HMAC_SHA1_80",
                          "-srtp_out_params",
                          key_text,
                          url,
                          NULL};
    GPid pid;
    g_autofree char *program = g_find_program_in_path("ffmpeg");

    if (!program) {
        assert_null(g_getenv("CI"));
        print_message("skipped: no ffmpeg\n");
        skip();
    }
    assert_true(open_plain(fixture, (StenoPlainConfig){.sdes = &sdes}, NULL));
    assert_true(g_spawn_async(NULL, (char **)argv, NULL,
                              G_SPAWN_SEARCH_PATH | G_SPAWN_STDOUT_TO_DEV_NULL | G_SPAWN_STDERR_TO_DEV_NULL, NULL, NULL,
                              &pid, NULL));
    pair_run(&fixture->pair, a_heard_fifty);
    assert_int_equal(stats(fixture)->srtp_failures, 0);
    g_spawn_close_pid(pid);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(clear_rtp_and_rtcp_on_one_port, setup, teardown),
        cmocka_unit_test_setup_teardown(limits_are_counted, setup, teardown),
        cmocka_unit_test_setup_teardown(each_sdes_suite, setup, teardown),
        cmocka_unit_test_setup_teardown(two_ports, setup, teardown),
        cmocka_unit_test_setup_teardown(sources_are_filtered, setup, teardown),
        cmocka_unit_test_setup_teardown(impossible_configurations_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(multicast, setup, teardown),
        cmocka_unit_test_setup_teardown(ffmpeg_sends_srtp, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
