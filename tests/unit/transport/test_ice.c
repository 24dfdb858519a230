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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(connects_and_carries, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
