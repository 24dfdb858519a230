#include "pair.h"

static void on_rtp(gpointer user, StenoPacket *packet)
{
    Endpoint *endpoint = user;

    g_byte_array_set_size(endpoint->last_rtp, 0);
    g_byte_array_append(endpoint->last_rtp, packet->data, packet->bytes);
    endpoint->n_rtp++;
    gint64 now_us = g_get_monotonic_time();
    assert_true(packet->arrival_us <= now_us && packet->arrival_us > now_us - 5 * G_USEC_PER_SEC);
    steno_packet_free(packet);
}

static void on_rtcp(gpointer user, const guint8 *data, gsize bytes, gint64 arrival_us)
{
    Endpoint *endpoint = user;

    (void)arrival_us;
    g_byte_array_set_size(endpoint->last_rtcp, 0);
    g_byte_array_append(endpoint->last_rtcp, data, (guint)bytes);
    endpoint->n_rtcp++;
}

static void on_gathered(gpointer user, const StenoTransportLocal *local)
{
    Endpoint *endpoint = user;

    if (endpoint->local)
        steno_transport_local_free(endpoint->local);
    endpoint->local = g_new0(StenoTransportLocal, 1);
    endpoint->local->ufrag = g_strdup(local->ufrag);
    endpoint->local->password = g_strdup(local->password);
    endpoint->local->fingerprint = g_strdup(local->fingerprint);
    endpoint->local->setup = local->setup;
    endpoint->local->candidates = g_ptr_array_new_with_free_func(g_free);
    for (guint i = 0; i < local->candidates->len; i++)
        g_ptr_array_add(endpoint->local->candidates, g_strdup(g_ptr_array_index(local->candidates, i)));
    endpoint->n_gathered++;
}

static void on_state(gpointer user, StenoTransportState state, const GError *error)
{
    Endpoint *endpoint = user;

    endpoint->state = state;
    assert_true((error != NULL) == (state == STENO_TRANSPORT_FAILED));
    if (error)
        endpoint->error = g_error_copy(error);
}

const StenoTransportEvents endpoint_events = {on_rtp, on_rtcp, on_gathered, on_state};

void pair_init(Pair *pair)
{
    memset(pair, 0, sizeof *pair);
    pair->context = g_main_context_new();
    g_main_context_push_thread_default(pair->context);
    pair->pool = steno_packet_pool_new(256);
    pair->a.last_rtp = g_byte_array_new();
    pair->a.last_rtcp = g_byte_array_new();
    pair->b.last_rtp = g_byte_array_new();
    pair->b.last_rtcp = g_byte_array_new();
}

void endpoint_clear(Endpoint *endpoint)
{
    g_clear_pointer(&endpoint->transport, steno_transport_free);
    g_clear_pointer(&endpoint->local, steno_transport_local_free);
    g_clear_error(&endpoint->error);
}

void pair_clear(Pair *pair)
{
    endpoint_clear(&pair->a);
    endpoint_clear(&pair->b);
    g_byte_array_unref(pair->a.last_rtp);
    g_byte_array_unref(pair->a.last_rtcp);
    g_byte_array_unref(pair->b.last_rtp);
    g_byte_array_unref(pair->b.last_rtcp);
    while (g_main_context_iteration(pair->context, FALSE))
        ;
    steno_packet_pool_free(pair->pool);
    g_main_context_pop_thread_default(pair->context);
    g_main_context_unref(pair->context);
}

void endpoint_open(Pair *pair, Endpoint *endpoint, const StenoTransportConfig *config)
{
    StenoTransportConfig copy = config ? *config : (StenoTransportConfig){0};
    GError *error = NULL;

    copy.loopback = TRUE;
    copy.pool = pair->pool;
    endpoint->transport = steno_transport_new_ice(&copy, pair->context, &endpoint_events, endpoint, &error);
    if (error)
        fail_msg("%s", error->message);
    assert_non_null(endpoint->transport);
}

static gboolean on_tick(gpointer user)
{
    Pair *pair = user;
    gint64 now_us = g_get_monotonic_time();

    if (pair->a.transport)
        steno_transport_drain(pair->a.transport, now_us);
    if (pair->b.transport)
        steno_transport_drain(pair->b.transport, now_us);
    return G_SOURCE_CONTINUE;
}

void pair_run(Pair *pair, Condition condition)
{
    GSource *tick = g_timeout_source_new(5);
    gint64 deadline_us = g_get_monotonic_time() + TEST_PATIENCE_S * G_USEC_PER_SEC;

    g_source_set_callback(tick, on_tick, pair, NULL);
    g_source_attach(tick, pair->context);
    while (!condition(pair)) {
        if (g_get_monotonic_time() > deadline_us)
            fail_msg("nothing came in %d s; a: %s, b: %s", TEST_PATIENCE_S,
                     pair->a.error ? pair->a.error->message : "-", pair->b.error ? pair->b.error->message : "-");
        g_main_context_iteration(pair->context, TRUE);
    }
    g_source_destroy(tick);
    g_source_unref(tick);
}

gboolean pair_introduce(Endpoint *from, Endpoint *to, StenoDtlsSetup setup, const char *fingerprint, GError **error)
{
    const char *fingerprints[] = {fingerprint ? fingerprint : from->local->fingerprint, NULL};
    const char **candidates = g_new0(const char *, from->local->candidates->len + 1);

    for (guint i = 0; i < from->local->candidates->len; i++)
        candidates[i] = g_ptr_array_index(from->local->candidates, i);
    StenoTransportRemote remote = {.ufrag = from->local->ufrag,
                                   .password = from->local->password,
                                   .fingerprints = fingerprints,
                                   .setup = setup,
                                   .candidates = candidates,
                                   .end_of_candidates = TRUE};
    gboolean ok = steno_transport_set_remote(to->transport, &remote, error);
    g_free(candidates);
    return ok;
}

gboolean both_gathered(Pair *pair)
{
    return pair->a.n_gathered > 0 && pair->b.n_gathered > 0;
}

gboolean both_connected(Pair *pair)
{
    return pair->a.state == STENO_TRANSPORT_CONNECTED && pair->b.state == STENO_TRANSPORT_CONNECTED;
}

void pair_connect(Pair *pair)
{
    pair_run(pair, both_gathered);
    assert_true(pair_introduce(&pair->a, &pair->b, STENO_DTLS_ACTPASS, NULL, NULL));
    assert_true(pair_introduce(&pair->b, &pair->a, STENO_DTLS_ACTIVE, NULL, NULL));
    pair_run(pair, both_connected);
}

gsize make_rtp(guint8 *out, guint16 seq, guint8 fill, gsize bytes)
{
    static const guint8 header[12] = {0x80, 96, 0, 0, 0, 0, 0, 1, 0x11, 0x22, 0x33, 0x44};

    memcpy(out, header, sizeof header);
    out[2] = (guint8)(seq >> 8);
    out[3] = (guint8)seq;
    memset(out + sizeof header, fill, bytes);
    return sizeof header + bytes;
}

gsize make_rtcp(guint8 *out)
{
    static const guint8 report[] = {0x80, 201, 0,    1,    0x11, 0x22, 0x33, 0x44, 0x81, 202,
                                    0,    2,   0x11, 0x22, 0x33, 0x44, 0,    0,    0,    0};

    memcpy(out, report, sizeof report);
    return sizeof report;
}
