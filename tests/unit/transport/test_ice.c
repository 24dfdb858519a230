/* ICE + DTLS-SRTP: two transports of ours against each other. What is checked against others is in test_dtls_peer.c. */
#include "pair.h"

#include <arpa/inet.h>
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

static int setup(void **state)
{
    Pair *pair = g_new0(Pair, 1);

    pair_init(pair);
    *state = pair;
    return 0;
}

static int teardown(void **state)
{
    pair_clear(*state);
    g_free(*state);
    return 0;
}

static void open_both(Pair *pair)
{
    StenoTransportConfig controlling = {.controlling = TRUE};

    endpoint_open(pair, &pair->a, &controlling);
    endpoint_open(pair, &pair->b, NULL);
}

static gboolean has_rtp(Pair *pair)
{
    return pair->a.n_rtp > 0 && pair->b.n_rtp > 0;
}

static gboolean has_rtcp(Pair *pair)
{
    return pair->a.n_rtcp > 0 && pair->b.n_rtcp > 0;
}

/* RTP and RTCP, both ways, come out as they went in. */
static void exchange(Pair *pair)
{
    guint8 rtp[1400], rtcp[64];
    gsize rtp_bytes = make_rtp(rtp, 1000, 0x5a, 1100), rtcp_bytes = make_rtcp(rtcp);

    pair->a.n_rtp = pair->b.n_rtp = pair->a.n_rtcp = pair->b.n_rtcp = 0;
    assert_true(steno_transport_send_rtp(pair->a.transport, rtp, rtp_bytes));
    assert_true(steno_transport_send_rtp(pair->b.transport, rtp, rtp_bytes));
    pair_run(pair, has_rtp);
    assert_int_equal(pair->a.last_rtp->len, rtp_bytes);
    assert_memory_equal(pair->a.last_rtp->data, rtp, rtp_bytes);
    assert_memory_equal(pair->b.last_rtp->data, rtp, rtp_bytes);

    assert_true(steno_transport_send_rtcp(pair->a.transport, rtcp, rtcp_bytes));
    assert_true(steno_transport_send_rtcp(pair->b.transport, rtcp, rtcp_bytes));
    pair_run(pair, has_rtcp);
    assert_memory_equal(pair->a.last_rtcp->data, rtcp, rtcp_bytes);
    assert_memory_equal(pair->b.last_rtcp->data, rtcp, rtcp_bytes);
}

static void connects_and_carries(void **state)
{
    Pair *pair = *state;
    gint64 start_us = g_get_monotonic_time();

    open_both(pair);
    pair_connect(pair);
    print_message("connected after %.1f ms\n", (double)(g_get_monotonic_time() - start_us) / 1000.0);
    exchange(pair);
    const StenoTransportStats *stats = steno_transport_stats(pair->a.transport);
    assert_string_equal(stats->srtp_profile, "AEAD_AES_128_GCM");
    assert_non_null(strstr(stats->dtls_cipher, "GCM"));
    assert_int_equal(stats->srtp_failures, 0);
    assert_int_equal(stats->strays, 0);
}

static void roles_may_be_swapped(void **state)
{
    Pair *pair = *state;

    open_both(pair);
    pair_run(pair, both_gathered);
    /* a is the DTLS server now */
    assert_true(pair_introduce(&pair->a, &pair->b, STENO_DTLS_PASSIVE, NULL, NULL));
    assert_true(pair_introduce(&pair->b, &pair->a, STENO_DTLS_ACTIVE, NULL, NULL));
    pair_run(pair, both_connected);
    exchange(pair);
}

static void a_passive_answer_is_possible(void **state)
{
    Pair *pair = *state;
    StenoTransportConfig controlling = {.controlling = TRUE}, passive = {.preferred_setup = STENO_DTLS_PASSIVE};

    endpoint_open(pair, &pair->a, &controlling);
    endpoint_open(pair, &pair->b, &passive);
    pair_run(pair, both_gathered);
    assert_int_equal(pair->b.local->setup, STENO_DTLS_PASSIVE);
    assert_true(pair_introduce(&pair->a, &pair->b, STENO_DTLS_ACTPASS, NULL, NULL));
    assert_true(pair_introduce(&pair->b, &pair->a, STENO_DTLS_PASSIVE, NULL, NULL));
    pair_run(pair, both_connected);
    exchange(pair);
}

/* Candidates one by one, after the description, and the description before we have gathered. */
static void candidates_may_trickle(void **state)
{
    Pair *pair = *state;

    open_both(pair);
    pair_run(pair, both_gathered);
    for (guint i = 0; i < 2; i++) {
        Endpoint *from = i ? &pair->b : &pair->a, *to = i ? &pair->a : &pair->b;
        const char *fingerprints[] = {from->local->fingerprint, NULL};
        StenoTransportRemote remote = {.ufrag = from->local->ufrag,
                                       .password = from->local->password,
                                       .fingerprints = fingerprints,
                                       .setup = i ? STENO_DTLS_ACTIVE : STENO_DTLS_ACTPASS};
        assert_true(steno_transport_set_remote(to->transport, &remote, NULL));
        steno_transport_add_candidate(to->transport, "candidate:x");
        steno_transport_add_candidate(to->transport, "candidate:1 1 udp 2113937151 no-such-name.local 5000 typ host");
        steno_transport_add_candidate(to->transport,
                                      "candidate:1 1 TCP 2113937151 127.0.0.1 9 typ host tcptype active");
        for (guint c = 0; c < from->local->candidates->len; c++)
            steno_transport_add_candidate(to->transport, g_ptr_array_index(from->local->candidates, c));
        steno_transport_add_candidate(to->transport, NULL);
    }
    pair_run(pair, both_connected);
    exchange(pair);
}

static gboolean a_gathered_again(Pair *pair)
{
    return pair->a.n_gathered > 1 && pair->b.n_gathered > 1;
}

static gboolean a_heard_three(Pair *pair)
{
    return pair->a.n_rtp >= 3;
}

static void ice_restarts(void **state)
{
    Pair *pair = *state;
    guint8 rtp[200];

    open_both(pair);
    pair_connect(pair);
    g_autofree char *ufrag = g_strdup(pair->a.local->ufrag);
    g_autofree char *fingerprint = g_strdup(pair->a.local->fingerprint);
    /* a restarts and says so; b hears new credentials, and restarts by itself. */
    assert_true(steno_transport_restart(pair->a.transport, NULL));
    while (pair->a.n_gathered < 2)
        g_main_context_iteration(pair->context, TRUE);
    assert_string_not_equal(ufrag, pair->a.local->ufrag);
    assert_string_equal(fingerprint, pair->a.local->fingerprint);
    assert_true(pair_introduce(&pair->a, &pair->b, STENO_DTLS_ACTPASS, NULL, NULL));
    pair_run(pair, a_gathered_again);
    assert_true(pair_introduce(&pair->b, &pair->a, STENO_DTLS_ACTIVE, NULL, NULL));
    /* Media goes on all the while, with the keys of before. */
    pair->a.n_rtp = 0;
    for (guint16 i = 0; i < 3; i++) {
        assert_true(steno_transport_send_rtp(pair->b.transport, rtp, make_rtp(rtp, (guint16)(2000 + i), 1, 100)));
        g_main_context_iteration(pair->context, FALSE);
    }
    pair_run(pair, a_heard_three);
    exchange(pair);
    assert_int_equal(pair->a.state, STENO_TRANSPORT_CONNECTED);
    assert_int_equal(pair->b.state, STENO_TRANSPORT_CONNECTED);
}

static gboolean b_closed(Pair *pair)
{
    return pair->b.state == STENO_TRANSPORT_CLOSED;
}

static void closing_is_told(void **state)
{
    Pair *pair = *state;

    open_both(pair);
    pair_connect(pair);
    g_clear_pointer(&pair->a.transport, steno_transport_free);
    pair_run(pair, b_closed);
    assert_null(pair->b.error);
}

static gboolean b_failed(Pair *pair)
{
    return pair->b.state == STENO_TRANSPORT_FAILED;
}

static void another_certificate_fails(void **state)
{
    static const char wrong[] =
        "sha-256 00:01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:10:11:12:13:14:15:16:17:18:19:1A:1B:"
        "1C:1D:1E:1F";
    Pair *pair = *state;

    open_both(pair);
    pair_run(pair, both_gathered);
    assert_true(pair_introduce(&pair->a, &pair->b, STENO_DTLS_ACTPASS, wrong, NULL));
    assert_true(pair_introduce(&pair->b, &pair->a, STENO_DTLS_ACTIVE, NULL, NULL));
    pair_run(pair, b_failed);
    assert_true(g_error_matches(pair->b.error, STENO_ERROR, STENO_ERROR_FINGERPRINT));
    guint8 rtp[100];
    assert_false(steno_transport_send_rtp(pair->b.transport, rtp, make_rtp(rtp, 1, 1, 20)));
}

static void expect_refused(Pair *pair, const char *fingerprint, const char *ufrag, const char *candidate, int code)
{
    const char *fingerprints[] = {fingerprint, NULL}, *candidates[] = {candidate, NULL};
    StenoTransportRemote remote = {.ufrag = ufrag,
                                   .password = "0123456789abcdef0123456789",
                                   .fingerprints = fingerprints,
                                   .candidates = candidates};
    g_autoptr(GError) error = NULL;

    assert_false(steno_transport_set_remote(pair->a.transport, &remote, &error));
    assert_true(g_error_matches(error, STENO_ERROR, code));
    assert_int_equal(pair->a.state, STENO_TRANSPORT_NEW);
}

static void bad_descriptions_are_refused(void **state)
{
    static const char *const inside[] = {"127.0.0.0/8", NULL};
    static const char good[] =
        "sha-256 00:01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:10:11:12:13:14:15:16:17:18:19:1A:1B:"
        "1C:1D:1E:1F";
    static const char sha1[] = "sha-1 00:01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:10:11:12:13";
    static const char outside[] = "candidate:1 1 udp 1 10.0.0.1 5000 typ host";
    Pair *pair = *state;
    g_autoptr(StenoGeofence) geofence = steno_geofence_new(inside, NULL);
    StenoTransportConfig config = {.geofence = geofence};

    endpoint_open(pair, &pair->a, &config);
    expect_refused(pair, sha1, "ufrag", NULL, STENO_ERROR_WEAK_CRYPTO);
    expect_refused(pair, NULL, "ufrag", NULL, STENO_ERROR_WEAK_CRYPTO);
    expect_refused(pair, good, "abc", NULL, STENO_ERROR_SDP_INVALID);
    expect_refused(pair, good, NULL, NULL, STENO_ERROR_SDP_INVALID);
    expect_refused(pair, good, "uf rag", NULL, STENO_ERROR_SDP_INVALID);
    expect_refused(pair, good, "ufrag", "candidate:1", STENO_ERROR_SDP_INVALID);
    expect_refused(pair, good, "ufrag", outside, STENO_ERROR_GEOFENCE);
}

/* A peer that only learns us by our checks, from an address outside: the kernel drops what it sends. */
static gboolean a_failed(Pair *pair)
{
    return pair->a.state == STENO_TRANSPORT_FAILED;
}

static void strangers_do_not_get_in(void **state)
{
    static const char *const elsewhere[] = {"127.0.0.2/32", "10.254.0.0/16", NULL};
    Pair *pair = *state;
    g_autoptr(StenoGeofence) geofence = steno_geofence_new(elsewhere, NULL);
    StenoTransportConfig fenced = {.geofence = geofence, .controlling = TRUE};

    endpoint_open(pair, &pair->a, &fenced);
    endpoint_open(pair, &pair->b, NULL);
    pair_run(pair, both_gathered);
    /* b knows all of a; a is told of no candidate of b, and could only learn one from b's checks. */
    assert_true(pair_introduce(&pair->a, &pair->b, STENO_DTLS_ACTPASS, NULL, NULL));
    g_ptr_array_set_size(pair->b.local->candidates, 0);
    assert_true(pair_introduce(&pair->b, &pair->a, STENO_DTLS_ACTIVE, NULL, NULL));
    pair_run(pair, b_failed);
    assert_int_not_equal(pair->a.state, STENO_TRANSPORT_CONNECTED);
}

/* To every address where the endpoint listens, whichever was selected. */
static void send_to_all(int fd4, int fd6, const Endpoint *endpoint, const guint8 *data, gsize bytes)
{
    for (guint i = 0; i < endpoint->local->candidates->len; i++) {
        g_auto(GStrv) words = g_strsplit(g_ptr_array_index(endpoint->local->candidates, i), " ", -1);
        in_port_t port = htons((guint16)atoi(words[5]));
        struct sockaddr_in to4 = {.sin_family = AF_INET, .sin_port = port};
        struct sockaddr_in6 to6 = {.sin6_family = AF_INET6, .sin6_port = port};
        if (inet_pton(AF_INET, words[4], &to4.sin_addr) == 1)
            (void)sendto(fd4, data, bytes, 0, (struct sockaddr *)&to4, sizeof to4);
        else if (inet_pton(AF_INET6, words[4], &to6.sin6_addr) == 1)
            (void)sendto(fd6, data, bytes, 0, (struct sockaddr *)&to6, sizeof to6);
    }
}

static gboolean a_counted_strays(Pair *pair)
{
    return steno_transport_stats(pair->a.transport)->strays >= 100;
}

static void garbage_is_counted(void **state)
{
    Pair *pair = *state;
    guint8 junk[1500];

    open_both(pair);
    pair_connect(pair);
    int fd = socket(AF_INET, SOCK_DGRAM, 0), fd6 = socket(AF_INET6, SOCK_DGRAM, 0);
    for (guint i = 0; i < 400; i++) {
        gsize bytes = 1 + g_random_int() % sizeof junk;
        for (guint k = 0; k < bytes; k++)
            junk[k] = (guint8)g_random_int();
        if (i < 100) { /* well-formed RTP, from a stranger */
            make_rtp(junk, (guint16)i, 1, 100);
            bytes = 112;
        }
        send_to_all(fd, fd6, &pair->a, junk, bytes);
    }
    close(fd);
    close(fd6);
    pair_run(pair, a_counted_strays);
    assert_int_equal(pair->a.n_rtp, 0);
    exchange(pair);
}

static void nobody_answers(void **state)
{
    static const char good[] =
        "sha-256 00:01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:10:11:12:13:14:15:16:17:18:19:1A:1B:"
        "1C:1D:1E:1F";
    Pair *pair = *state;
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof address;

    bind(fd, (struct sockaddr *)&address, bytes);
    getsockname(fd, (struct sockaddr *)&address, &bytes);
    g_autofree char *line =
        g_strdup_printf("candidate:1 1 udp 2113937151 127.0.0.1 %u typ host", ntohs(address.sin_port));
    const char *fingerprints[] = {good, NULL}, *candidates[] = {line, NULL};
    StenoTransportRemote remote = {.ufrag = "ufrag",
                                   .password = "0123456789abcdef0123456789",
                                   .fingerprints = fingerprints,
                                   .candidates = candidates,
                                   .end_of_candidates = TRUE};

    endpoint_open(pair, &pair->a, NULL);
    assert_true(steno_transport_set_remote(pair->a.transport, &remote, NULL));
    pair_run(pair, a_failed);
    assert_true(g_error_matches(pair->a.error, STENO_ERROR, STENO_ERROR_MEDIA_UNREACHABLE));
    close(fd);
}

static void servers_outside_are_refused(void **state)
{
    static const char *const inside[] = {"127.0.0.1", "::1", NULL};
    Pair *pair = *state;
    g_autoptr(StenoGeofence) geofence = steno_geofence_new(inside, NULL);
    g_autoptr(GError) error = NULL;
    StenoTurnServer turn = {.url = (char *)"turn:192.0.2.1:3478"};
    StenoTransportConfig config = {
        .geofence = geofence, .stun = "192.0.2.1:3478", .pool = pair->pool, .loopback = TRUE};

    assert_null(steno_transport_new_ice(&config, pair->context, &endpoint_events, &pair->a, &error));
    assert_true(g_error_matches(error, STENO_ERROR, STENO_ERROR_GEOFENCE));
    g_clear_error(&error);
    config.stun = NULL;
    config.turn = &turn;
    config.n_turn = 1;
    assert_null(steno_transport_new_ice(&config, pair->context, &endpoint_events, &pair->a, &error));
    assert_true(g_error_matches(error, STENO_ERROR, STENO_ERROR_GEOFENCE));
    g_clear_error(&error);
    turn.url = (char *)"turns:127.0.0.1"; /* libnice would send it in the clear */
    assert_null(steno_transport_new_ice(&config, pair->context, &endpoint_events, &pair->a, &error));
    assert_true(g_error_matches(error, STENO_ERROR, STENO_ERROR_USAGE));
    g_clear_error(&error);
    turn.url = (char *)"turn:";
    assert_null(steno_transport_new_ice(&config, pair->context, &endpoint_events, &pair->a, &error));
    assert_true(g_error_matches(error, STENO_ERROR, STENO_ERROR_USAGE));
    /* A name is resolved first: this one is 127.0.0.1, and then it is not allowed. */
    static const char *const only_lan[] = {"10.0.0.0/8", NULL};
    g_autoptr(StenoGeofence) lan = steno_geofence_new(only_lan, NULL);
    turn.url = (char *)"turn:localhost:3478";
    config.geofence = lan;
    pair->a.transport = steno_transport_new_ice(&config, pair->context, &endpoint_events, &pair->a, NULL);
    assert_non_null(pair->a.transport);
    pair_run(pair, a_failed);
    assert_true(g_error_matches(pair->a.error, STENO_ERROR, STENO_ERROR_GEOFENCE));
}
int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(connects_and_carries, setup, teardown),
        cmocka_unit_test_setup_teardown(roles_may_be_swapped, setup, teardown),
        cmocka_unit_test_setup_teardown(a_passive_answer_is_possible, setup, teardown),
        cmocka_unit_test_setup_teardown(candidates_may_trickle, setup, teardown),
        cmocka_unit_test_setup_teardown(ice_restarts, setup, teardown),
        cmocka_unit_test_setup_teardown(closing_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(another_certificate_fails, setup, teardown),
        cmocka_unit_test_setup_teardown(bad_descriptions_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(strangers_do_not_get_in, setup, teardown),
        cmocka_unit_test_setup_teardown(garbage_is_counted, setup, teardown),
        cmocka_unit_test_setup_teardown(nobody_answers, setup, teardown),
        cmocka_unit_test_setup_teardown(servers_outside_are_refused, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
