/* The readers of text and bytes: geofence, candidates, fingerprints, server URLs, datagrams. */
#include "pair.h"

#include "private.h"
#include "servers.h"

#include <arpa/inet.h>
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

static void geofence_allows(void **state)
{
    static const struct {
        const char *cidr, *address;
        gboolean allowed;
    } rows[] = {
        {"10.0.0.0/8", "10.0.0.0", TRUE},
        {"10.0.0.0/8", "10.255.255.255", TRUE},
        {"10.0.0.0/8", "11.0.0.0", FALSE},
        {"10.0.0.0/8", "9.255.255.255", FALSE},
        {"10.1.2.3/8", "10.200.0.1", TRUE}, /* host bits are masked away */
        {"192.168.1.64/26", "192.168.1.127", TRUE},
        {"192.168.1.64/26", "192.168.1.128", FALSE},
        {"192.168.1.64/26", "192.168.1.63", FALSE},
        {"0.0.0.0/0", "203.0.113.7", TRUE},
        {"0.0.0.0/0", "2001:db8::1", FALSE}, /* all of IPv4 is not IPv6 */
        {"203.0.113.7", "203.0.113.7", TRUE},
        {"203.0.113.7", "203.0.113.8", FALSE},
        {"203.0.113.7/32", "::ffff:203.0.113.7", TRUE},
        {"::ffff:10.0.0.0/104", "10.9.9.9", TRUE},
        {"2001:db8::/32", "2001:db8:ffff::1", TRUE},
        {"2001:db8::/32", "2001:db9::1", FALSE},
        {"2001:db8::/33", "2001:db8:7fff::1", TRUE},
        {"2001:db8::/33", "2001:db8:8000::1", FALSE},
        {"::1", "::1", TRUE},
        {"::/0", "2001:db8::1", TRUE},
        {"::/0", "10.0.0.1", TRUE}, /* IPv4-mapped is inside of ::/0 */
        {"10.0.0.0/8", "", FALSE},
        {"10.0.0.0/8", "host.example", FALSE},
        {"fe80::/10", "fe80::1%eth0", FALSE}, /* a zone is not an address that we can judge */
    };

    (void)state;
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        const char *cidrs[] = {rows[i].cidr, NULL};
        g_autoptr(StenoGeofence) geofence = steno_geofence_new(cidrs, NULL);
        assert_non_null(geofence);
        if (steno_geofence_allows(geofence, rows[i].address) != rows[i].allowed)
            fail_msg("%s in %s", rows[i].address, rows[i].cidr);
    }
    const char *two[] = {"10.0.0.0/8", "2001:db8::/32", NULL};
    g_autoptr(StenoGeofence) geofence = steno_geofence_new(two, NULL);
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    inet_pton(AF_INET, "10.1.1.1", &v4.sin_addr);
    inet_pton(AF_INET6, "::ffff:10.1.1.1", &v6.sin6_addr);
    assert_true(steno_geofence_allows_address(geofence, (struct sockaddr *)&v4));
    assert_true(steno_geofence_allows_address(geofence, (struct sockaddr *)&v6));
    inet_pton(AF_INET6, "2001:db9::1", &v6.sin6_addr);
    assert_false(steno_geofence_allows_address(geofence, (struct sockaddr *)&v6));
    g_autoptr(StenoGeofence) empty = steno_geofence_new(NULL, NULL);
    assert_true(steno_geofence_allows(empty, "203.0.113.7"));
    assert_true(steno_geofence_allows(NULL, "203.0.113.7"));
}

static void geofence_refuses_nonsense(void **state)
{
    static const char *const rows[] = {
        "",          "10.0.0.0/33", "10.0.0.0/-1",
        "10.0.0.0/", "10.0.0/8",    "::/129",
        "host/8",    "10.0.0.0/8x", "/8",
        " 10.0.0.1", "10.0.0.1 ",   "1.2.3.4.5",
        "fe80::1%1", "10.0.0.0/+8", "1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb:cccc:dddd"};

    (void)state;
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        const char *cidrs[] = {rows[i], NULL};
        g_autoptr(GError) error = NULL;
        if (steno_geofence_new(cidrs, &error))
            fail_msg("\"%s\" was taken", rows[i]);
        assert_true(g_error_matches(error, STENO_ERROR, STENO_ERROR_USAGE));
    }
    g_autoptr(GPtrArray) many = g_ptr_array_new();
    for (guint i = 0; i < 257; i++)
        g_ptr_array_add(many, "10.0.0.1");
    g_ptr_array_add(many, NULL);
    assert_null(steno_geofence_new((const char *const *)many->pdata, NULL));
}

/* Does a datagram from `source` to a socket with the geofence in the kernel arrive? */
static gboolean kernel_lets_through(const char *const *cidrs, int family, const char *source)
{
    g_autoptr(StenoGeofence) geofence = steno_geofence_new(cidrs, NULL);
    struct sockaddr_storage to = {.ss_family = (sa_family_t)family}, from = {.ss_family = (sa_family_t)family};
    socklen_t bytes = sizeof to;
    char byte = 0;

    assert_non_null(geofence);
    if (family == AF_INET) {
        inet_pton(AF_INET, "127.0.0.1", &((struct sockaddr_in *)&to)->sin_addr);
        inet_pton(AF_INET, source, &((struct sockaddr_in *)&from)->sin_addr);
    } else {
        inet_pton(AF_INET6, "::1", &((struct sockaddr_in6 *)&to)->sin6_addr);
        inet_pton(AF_INET6, source, &((struct sockaddr_in6 *)&from)->sin6_addr);
    }
    int receiver = socket(family, SOCK_DGRAM, 0), sender = socket(family, SOCK_DGRAM, 0);
    assert_int_equal(bind(receiver, (struct sockaddr *)&to, steno_address_bytes((struct sockaddr *)&to)), 0);
    assert_int_equal(getsockname(receiver, (struct sockaddr *)&to, &bytes), 0);
    assert_true(steno_socket_attach_geofence(receiver, geofence));
    assert_int_equal(bind(sender, (struct sockaddr *)&from, steno_address_bytes((struct sockaddr *)&from)), 0);
    assert_int_equal(sendto(sender, "x", 1, 0, (struct sockaddr *)&to, bytes), 1);
    /* On the loopback a datagram is there when sendto returns. */
    gboolean came = recv(receiver, &byte, 1, MSG_DONTWAIT) == 1;
    close(sender);
    close(receiver);
    return came;
}

static void geofence_holds_in_the_kernel(void **state)
{
    static const char *const v4[] = {"192.0.2.0/24", "127.0.0.8/29", "2001:db8::/32", NULL};
    static const char *const one[] = {"127.0.0.1", NULL};
    static const char *const any[] = {"0.0.0.0/0", NULL};
    static const char *const v6_only[] = {"2001:db8::/33", "::1/128", NULL};
    static const char *const not_v6[] = {"10.0.0.0/8", "2001:db8:1:2:3:4:5:0/113", "::/127", NULL};
    g_autoptr(GPtrArray) many = g_ptr_array_new();

    (void)state;
    assert_true(kernel_lets_through(v4, AF_INET, "127.0.0.8"));
    assert_true(kernel_lets_through(v4, AF_INET, "127.0.0.15"));
    assert_false(kernel_lets_through(v4, AF_INET, "127.0.0.16"));
    assert_false(kernel_lets_through(v4, AF_INET, "127.0.0.7"));
    assert_true(kernel_lets_through(one, AF_INET, "127.0.0.1"));
    assert_false(kernel_lets_through(one, AF_INET, "127.0.0.2"));
    assert_true(kernel_lets_through(any, AF_INET, "127.0.0.2"));
    assert_false(kernel_lets_through(v6_only, AF_INET, "127.0.0.1"));
    int probe = socket(AF_INET6, SOCK_DGRAM, 0);
    struct sockaddr_in6 loopback = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    gboolean has_ipv6 = probe >= 0 && bind(probe, (struct sockaddr *)&loopback, sizeof loopback) == 0;
    if (probe >= 0)
        close(probe);
    if (has_ipv6) {
        assert_true(kernel_lets_through(v6_only, AF_INET6, "::1"));
        assert_true(kernel_lets_through(not_v6, AF_INET6, "::1"));
        assert_false(kernel_lets_through(v4, AF_INET6, "::1"));
        assert_false(kernel_lets_through(any, AF_INET6, "::1"));
    }
    /* The most there may be, of the longest kind, with the right one last: jumps must reach. */
    for (guint i = 0; i < 255; i++)
        g_ptr_array_add(many, i % 2 ? "2001:db8:1:2:3:4:5:6" : "10.1.2.3");
    g_ptr_array_add(many, "127.0.0.0/8");
    g_ptr_array_add(many, NULL);
    assert_true(kernel_lets_through((const char *const *)many->pdata, AF_INET, "127.0.0.1"));
    if (has_ipv6)
        assert_false(kernel_lets_through((const char *const *)many->pdata, AF_INET6, "::1"));
}

static void candidates_are_read(void **state)
{
    static const char *const good[] = {
        "candidate:1 1 UDP 2130706431 10.0.1.1 8998 typ host",
        "a=candidate:842163049 1 udp 1677729535 203.0.113.7 51234 typ srflx raddr 10.0.1.1 rport 8998 generation 0",
        "candidate:0 1 udp 1 2001:db8::1 1 typ relay raddr :: rport 0 ufrag x network-cost 999\r\n",
        "candidate:1 1 udp 2113937151 6c1a3f2a-0d3d-4d4e-8a2e-1.local 50000 typ host",
        "candidate:1 2 TCP 1 10.0.0.1 9 typ host tcptype active",
    };
    static const char *const bad[] = {
        "",
        "candidate:",
        "candidate:1",
        "candidate:1 1 udp",
        "candidate:1 0 udp 1 10.0.0.1 1 typ host",
        "candidate:1 257 udp 1 10.0.0.1 1 typ host",
        "candidate:1 1 udp 4294967296 10.0.0.1 1 typ host",
        "candidate:1 1 udp -1 10.0.0.1 1 typ host",
        "candidate:1 1 udp 1 10.0.0.1 65536 typ host",
        "candidate:1 1 udp 1 10.0.0.1 1 type host",
        "candidate:1 1 udp 1 10.0.0.1 1 typ",
        "candidate:1 1 udp 1 10.0.0.1 1 typ guest",
        "candidate:123456789012345678901234567890123 1 udp 1 10.0.0.1 1 typ host",
        "candidate:1 1 udp 1 1234567890123456789012345678901234567890123456789012345678901234 1 typ host",
        "ice-ufrag:x",
    };
    StenoCandidate candidate;

    (void)state;
    for (guint i = 0; i < G_N_ELEMENTS(good); i++)
        assert_true(steno_candidate_parse(good[i], &candidate));
    for (guint i = 0; i < G_N_ELEMENTS(bad); i++) {
        if (steno_candidate_parse(bad[i], &candidate))
            fail_msg("\"%s\" was taken", bad[i]);
    }
    assert_true(steno_candidate_parse(good[1], &candidate));
    assert_string_equal(candidate.foundation, "842163049");
    assert_string_equal(candidate.address, "203.0.113.7");
    assert_int_equal(candidate.priority, 1677729535);
    assert_int_equal(candidate.port, 51234);
    assert_int_equal(candidate.type, STENO_CANDIDATE_SRFLX);
    assert_true(candidate.udp);
}

#define HEX32 "00:01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:10:11:12:13:14:15:16:17:18:19:1A:1B:1C:1D:1E:1F"

static void expect_fingerprints(const char *const *texts, int code)
{
    g_autoptr(GError) error = NULL;
    StenoFingerprints *fingerprints = steno_fingerprints_new(texts, &error);

    if (code < 0)
        assert_non_null(fingerprints);
    else if (!g_error_matches(error, STENO_ERROR, code))
        fail_msg("%s: %s", texts && texts[0] ? texts[0] : "none", error ? error->message : "taken");
    steno_fingerprints_free(fingerprints);
}

static void fingerprints_are_read(void **state)
{
    static const struct {
        const char *texts[3];
        int code; /* -1: taken */
    } rows[] = {
        {{"sha-256 " HEX32}, -1},
        {{"SHA-256   " HEX32 " "}, -1},
        {{"sha-1 00:01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:10:11:12:13", "sha-256 " HEX32}, -1},
        {{NULL}, STENO_ERROR_WEAK_CRYPTO},
        {{"sha-1 00:01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:10:11:12:13"}, STENO_ERROR_WEAK_CRYPTO},
        {{"md5 00:01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F"}, STENO_ERROR_WEAK_CRYPTO},
        {{""}, STENO_ERROR_WEAK_CRYPTO},
        {{"sha-256"}, STENO_ERROR_SDP_INVALID},
        {{"sha-256 00:01"}, STENO_ERROR_SDP_INVALID},
        {{"sha-256 " HEX32 ":20"}, STENO_ERROR_SDP_INVALID},
        {{"sha-384 " HEX32}, STENO_ERROR_SDP_INVALID},
        {{"sha-256 0001:" HEX32}, STENO_ERROR_SDP_INVALID},
    };

    (void)state;
    expect_fingerprints(NULL, STENO_ERROR_WEAK_CRYPTO);
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++)
        expect_fingerprints(rows[i].texts, rows[i].code);
}

static void fingerprints_match_bytes(void **state)
{
    /* sha-256, sha-384 and sha-512 of "abc" (FIPS 180-4's examples) */
    static const char *const right[] = {
        "sha-256 BA:78:16:BF:8F:01:CF:EA:41:41:40:DE:5D:AE:22:23:B0:03:61:A3:96:17:7A:9C:B4:10:FF:61:F2:00:15:AD",
        "sha-384 CB:00:75:3F:45:A3:5E:8B:B5:A0:3D:69:9A:C6:50:07:27:2C:32:AB:0E:DE:D1:63:1A:8B:60:5A:43:FF:5B:ED:"
        "80:86:07:2B:A1:E7:CC:23:58:BA:EC:A1:34:C8:25:A7",
        "sha-512 DD:AF:35:A1:93:61:7A:BA:CC:41:73:49:AE:20:41:31:12:E6:FA:4E:89:A9:7E:A2:0A:9E:EE:E6:4B:55:D3:9A:"
        "21:92:99:2A:27:4F:C1:A8:36:BA:3C:23:A3:FE:EB:BD:45:4D:44:23:64:3C:E8:0E:2A:9A:C9:4F:A5:4C:A4:9F"};

    (void)state;
    for (guint i = 0; i < G_N_ELEMENTS(right); i++) {
        const char *alone[] = {right[i], NULL}, *second[] = {"sha-256 " HEX32, right[i], NULL};
        StenoFingerprints *a = steno_fingerprints_new(alone, NULL), *b = steno_fingerprints_new(second, NULL);
        assert_true(steno_fingerprints_match(a, (const guint8 *)"abc", 3));
        assert_true(steno_fingerprints_match(b, (const guint8 *)"abc", 3));
        assert_false(steno_fingerprints_match(a, (const guint8 *)"abd", 3));
        assert_false(steno_fingerprints_equal(a, b));
        assert_true(steno_fingerprints_equal(a, a));
        g_autofree char *text = steno_fingerprints_text(a);
        assert_string_equal(text, right[i]);
        steno_fingerprints_free(a);
        steno_fingerprints_free(b);
    }
    g_autofree char *own = steno_fingerprint_of((const guint8 *)"abc", 3);
    assert_string_equal(own, right[0]);
}

static void server_urls_are_read(void **state)
{
    static const struct {
        const char *url, *host;
        StenoIceServerKind kind;
        guint16 port;
    } good[] = {
        {"10.0.0.1:3479", "10.0.0.1", STENO_ICE_STUN, 3479},
        {"stun:stun.example", "stun.example", STENO_ICE_STUN, 3478},
        {"[2001:db8::1]:99", "2001:db8::1", STENO_ICE_STUN, 99},
        {"turn:t.example", "t.example", STENO_ICE_TURN_UDP, 3478},
        {"turn:t.example:80?transport=tcp", "t.example", STENO_ICE_TURN_TCP, 80},
        {"turn:t.example?transport=udp", "t.example", STENO_ICE_TURN_UDP, 3478},
        {"turns:t.example", "t.example", STENO_ICE_TURN_TLS, 5349},
        {"turns:[::1]:443?transport=tcp", "::1", STENO_ICE_TURN_TLS, 443},
    };
    static const char *const bad[] = {"",
                                      ":1",
                                      "turn:",
                                      "turn::3478",
                                      "host:0",
                                      "host:65536",
                                      "host:12x",
                                      "[::1",
                                      "[::1]x",
                                      "stun:h?transport=tcp",
                                      "turn:h?x",
                                      "turns:h?transport=udp",
                                      "turn:h?transport=tcp&x"};

    (void)state;
    for (guint i = 0; i < G_N_ELEMENTS(good); i++) {
        StenoIceServerKind kind;
        guint16 port;
        g_autofree char *host = NULL;
        if (!steno_ice_server_parse(good[i].url, &kind, &host, &port))
            fail_msg("%s was refused", good[i].url);
        assert_string_equal(host, good[i].host);
        assert_int_equal(kind, good[i].kind);
        assert_int_equal(port, good[i].port);
    }
    for (guint i = 0; i < G_N_ELEMENTS(bad); i++) {
        StenoIceServerKind kind;
        guint16 port;
        char *host = NULL;
        if (steno_ice_server_parse(bad[i], &kind, &host, &port))
            fail_msg("\"%s\" was taken as %s", bad[i], host);
    }
}

static void datagrams_are_told_apart(void **state)
{
    guint8 data[32] = {0};

    (void)state;
    assert_int_equal(steno_datagram_classify(data, 0), STENO_DATAGRAM_STRAY);
    for (guint first = 0; first < 256; first++) {
        for (guint second = 0; second < 256; second++) {
            StenoDatagramKind expected = first <= 3                       ? STENO_DATAGRAM_STUN
                                         : first >= 20 && first <= 63     ? STENO_DATAGRAM_DTLS
                                         : first < 128 || first > 191     ? STENO_DATAGRAM_STRAY
                                         : second >= 192 && second <= 223 ? STENO_DATAGRAM_RTCP
                                                                          : STENO_DATAGRAM_RTP;
            data[0] = (guint8)first;
            data[1] = (guint8)second;
            assert_int_equal(steno_datagram_classify(data, sizeof data), expected);
            assert_int_equal(steno_datagram_classify(data, 7), STENO_DATAGRAM_STRAY);
        }
    }
    data[0] = 0x80;
    data[1] = 96;
    assert_int_equal(steno_datagram_classify(data, 11), STENO_DATAGRAM_STRAY);
    assert_int_equal(steno_datagram_classify(data, 12), STENO_DATAGRAM_RTP);
    data[1] = 201;
    assert_int_equal(steno_datagram_classify(data, 8), STENO_DATAGRAM_RTCP);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(geofence_allows),
        cmocka_unit_test(geofence_refuses_nonsense),
        cmocka_unit_test(geofence_holds_in_the_kernel),
        cmocka_unit_test(candidates_are_read),
        cmocka_unit_test(fingerprints_are_read),
        cmocka_unit_test(fingerprints_match_bytes),
        cmocka_unit_test(server_urls_are_read),
        cmocka_unit_test(datagrams_are_told_apart),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
