/*
 * ICE + DTLS-SRTP over libnice.
 *
 * How packets are read. libnice wakes the loop for each datagram, and reads each with its own system call. We want that
 * for STUN and DTLS, which are rare and must be answered at once, but not for media. So as soon as the SRTP keys are
 * there, a second socket is bound to the address of libnice's, and a BPF program lets the kernel put RTP and RTCP into
 * it (steno_socket_split_media). Nobody polls that socket; steno_transport_drain() empties it with recvmmsg, straight
 * into pool packets. Where that cannot be (a TURN relay, a kernel without SO_REUSEPORT programs) libnice's own sources
 * are moved to a context of ours that only drain iterates: one system call a packet then, but still no wake-up a
 * packet.
 */
#include "ice.h"

#include "steno/base/error.h"

#include <nice/interfaces.h>
#include <string.h>
#include <unistd.h>

static gboolean start_gathering(StenoIce *ice, GError **error);

void steno_ice_fail(StenoIce *ice, const GError *error)
{
    steno_transport_timer_clear(&ice->deadline);
    steno_transport_set_state(&ice->common, STENO_TRANSPORT_FAILED, error);
}

void steno_ice_fail_with(StenoIce *ice, int code, const char *words)
{
    g_autoptr(GError) error = g_error_new_literal(STENO_ERROR, code, words);

    steno_ice_fail(ice, error);
}

/* ---- datagrams --------------------------------------------------------------------------------------------------- */

void steno_ice_add_remote_address(StenoIce *ice, const NiceAddress *address)
{
    struct sockaddr_storage socket_address;

    nice_address_copy_to_sockaddr(address, (struct sockaddr *)&socket_address);
    for (guint i = 0; i < ice->n_remotes; i++) {
        if (steno_address_equal((struct sockaddr *)&ice->remotes[i], (struct sockaddr *)&socket_address))
            return;
    }
    /* After many restarts the table is full of what was: anything but the one in use may go. */
    if (ice->n_remotes < REMOTES_MAX)
        ice->remotes[ice->n_remotes++] = socket_address;
    else
        ice->remotes[1 + ice->next_remote++ % (REMOTES_MAX - 1)] = socket_address;
}

static gboolean is_remote_address(StenoIce *ice, const struct sockaddr *from)
{
    for (guint i = 0; i < ice->n_remotes; i++) {
        if (!steno_address_equal((struct sockaddr *)&ice->remotes[i], from))
            continue;
        if (i > 0) {
            struct sockaddr_storage first = ice->remotes[0];
            ice->remotes[0] = ice->remotes[i];
            ice->remotes[i] = first;
        }
        return TRUE;
    }
    return FALSE;
}

static void on_media(gpointer user, StenoPacket *packet, const struct sockaddr *from)
{
    StenoIce *ice = user;
    StenoDatagramKind kind = steno_datagram_classify(packet->data, packet->bytes);

    if (is_remote_address(ice, from) && (kind == STENO_DATAGRAM_RTP || kind == STENO_DATAGRAM_RTCP)) {
        steno_transport_receive(&ice->common, packet, kind == STENO_DATAGRAM_RTCP);
        return;
    }
    ice->common.stats.strays++;
    steno_packet_free(packet);
}

/* What libnice read: not STUN, and from a candidate of the peer. */
static void on_nice_datagram(NiceAgent *agent, guint stream, guint component, guint bytes, char *data, gpointer user)
{
    StenoIce *ice = user;
    StenoTransportStats *stats = &ice->common.stats;
    StenoDatagramKind kind = steno_datagram_classify((guint8 *)data, bytes);

    (void)agent;
    (void)stream;
    (void)component;
    if (kind == STENO_DATAGRAM_DTLS) {
        steno_dtls_feed(ice->dtls, (guint8 *)data, bytes);
    } else if (kind != STENO_DATAGRAM_RTP && kind != STENO_DATAGRAM_RTCP) {
        stats->strays++;
    } else if (bytes > STENO_PACKET_MAX_BYTES) {
        stats->too_long++;
    } else {
        StenoPacket *packet = steno_packet_new(ice->common.pool);
        if (!packet) {
            stats->pool_refused++;
            return;
        }
        memcpy(packet->data, data, bytes);
        packet->bytes = bytes;
        packet->arrival_us = ice->now_us ? ice->now_us : g_get_monotonic_time();
        ice->drained++;
        steno_transport_receive(&ice->common, packet, kind == STENO_DATAGRAM_RTCP);
    }
}

static guint ice_drain(StenoTransport *transport, gint64 now_us)
{
    StenoIce *ice = (StenoIce *)transport;

    ice->now_us = now_us;
    ice->drained = 0;
    for (guint i = 0; i < ice->n_media; i++)
        ice->drained += steno_batch_drain(ice->batch, ice->media[i].fd, now_us, on_media, ice);
    while (ice->tick_context && g_main_context_iteration(ice->tick_context, FALSE))
        ;
    ice->now_us = 0;
    return ice->drained;
}

/* From now on media waits for the tick. */
static void open_media_path(StenoIce *ice)
{
    GSocket *base = nice_agent_get_selected_socket(ice->agent, ice->stream, COMPONENT);

    for (guint i = 0; base && i < ice->n_media; i++) {
        if (ice->media[i].base == base) {
            g_object_unref(base);
            return;
        }
    }
    int fd = base && ice->n_media < MEDIA_SOCKETS_MAX ? steno_socket_split_media(g_socket_get_fd(base)) : -1;
    if (fd >= 0) {
        steno_socket_prepare(fd, ice->common.geofence);
        ice->media[ice->n_media].base = base;
        ice->media[ice->n_media++].fd = fd;
        return;
    }
    g_clear_object(&base);
    if (ice->tick_context)
        return;
    steno_debug(ice->common.log, "media goes through libnice: its path is a relay or cannot be split by the kernel");
    ice->tick_context = g_main_context_new();
    nice_agent_attach_recv(ice->agent, ice->stream, COMPONENT, ice->tick_context, on_nice_datagram, ice);
}

static gboolean ice_send(StenoTransport *transport, gboolean rtcp, const guint8 *data, gsize bytes)
{
    StenoIce *ice = (StenoIce *)transport;

    (void)rtcp;
    return nice_agent_send(ice->agent, ice->stream, COMPONENT, (guint)bytes, (const char *)data) == (int)bytes;
}

/* ---- DTLS -------------------------------------------------------------------------------------------------------- */

static void on_dtls_send(gpointer user, const guint8 *data, gsize bytes)
{
    ice_send(user, FALSE, data, bytes);
}

static void on_dtls_connected(gpointer user, StenoSrtp *srtp, StenoSrtpProfile profile, const char *cipher)
{
    StenoIce *ice = user;
    StenoTransport *common = &ice->common;

    steno_transport_timer_clear(&ice->deadline);
    steno_srtp_free(common->srtp);
    common->srtp = srtp;
    common->stats.srtp_profile = steno_srtp_profile_info(profile)->name;
    common->stats.dtls_cipher = cipher;
    open_media_path(ice);
    steno_info(common->log, "connected: %s, %s", cipher, common->stats.srtp_profile);
    steno_transport_set_state(common, STENO_TRANSPORT_CONNECTED, NULL);
}

static void on_dtls_closed(gpointer user)
{
    StenoIce *ice = user;

    steno_transport_timer_clear(&ice->deadline);
    steno_transport_set_state(&ice->common, STENO_TRANSPORT_CLOSED, NULL);
}

static void on_dtls_failed(gpointer user, const GError *error)
{
    steno_ice_fail(user, error);
}

/* ---- libnice's signals ------------------------------------------------------------------------------------------- */

static void on_component_state(NiceAgent *agent, guint stream, guint component, guint state, gpointer user)
{
    StenoIce *ice = user;

    (void)agent;
    (void)stream;
    (void)component;
    if (state == NICE_COMPONENT_STATE_CONNECTED || state == NICE_COMPONENT_STATE_READY) {
        ice->path = TRUE;
        steno_dtls_start(ice->dtls);
    } else if (state == NICE_COMPONENT_STATE_FAILED) {
        steno_ice_fail_with(ice, STENO_ERROR_MEDIA_UNREACHABLE,
                            ice->common.state == STENO_TRANSPORT_CONNECTED
                                ? "ICE: the peer does not answer consent checks any more (RFC 7675)"
                                : "ICE: no candidate pair works; look at firewalls, or give a TURN server with --turn");
    }
}

static void on_selected_pair(NiceAgent *agent, guint stream, guint component, NiceCandidate *local,
                             NiceCandidate *remote, gpointer user)
{
    StenoIce *ice = user;
    char address[NICE_ADDRESS_STRING_LEN];

    (void)agent;
    (void)stream;
    (void)component;
    nice_address_to_string(&remote->addr, address);
    if (!steno_geofence_allows(ice->common.geofence, address)) {
        g_autofree char *words =
            g_strdup_printf("ICE: the peer answers from %s, which lies outside of the allowed networks; "
                            "add it with --allow-media-cidr or do not record there",
                            address);
        steno_ice_fail_with(ice, STENO_ERROR_GEOFENCE, words);
        return;
    }
    steno_info(ice->common.log, "path: local %s, remote %s:%u",
               local->type == NICE_CANDIDATE_TYPE_RELAYED ? "relay" : "address", address,
               nice_address_get_port(&remote->addr));
    steno_ice_add_remote_address(ice, &remote->addr);
    if (ice->common.state == STENO_TRANSPORT_CONNECTED)
        open_media_path(ice);
}

/* A peer-reflexive one: the kernel has let it through the geofence already. */
static void on_remote_candidate(NiceAgent *agent, NiceCandidate *candidate, gpointer user)
{
    (void)agent;
    steno_ice_add_remote_address(user, &candidate->addr);
}

static StenoTransportLocal *describe(StenoIce *ice)
{
    StenoTransportLocal *local = g_new0(StenoTransportLocal, 1);
    GSList *candidates = nice_agent_get_local_candidates(ice->agent, ice->stream, COMPONENT);

    nice_agent_get_local_credentials(ice->agent, ice->stream, &local->ufrag, &local->password);
    local->fingerprint = g_strdup(steno_dtls_fingerprint(ice->dtls));
    local->setup = ice->setup == STENO_DTLS_ACTPASS ? ice->preferred_setup : ice->setup;
    local->candidates = g_ptr_array_new_with_free_func(g_free);
    for (GSList *item = candidates; item; item = item->next) {
        char *line = nice_agent_generate_local_candidate_sdp(ice->agent, item->data);
        g_ptr_array_add(local->candidates, g_strdup(g_str_has_prefix(line, "a=") ? line + 2 : line));
        g_free(line);
    }
    g_slist_free_full(candidates, (GDestroyNotify)nice_candidate_free);
    return local;
}

static gboolean on_announce(gpointer user)
{
    StenoIce *ice = user;
    g_autoptr(StenoTransportLocal) local = describe(ice);

    steno_transport_timer_clear(&ice->announce);
    if (ice->common.events.gathered)
        ice->common.events.gathered(ice->common.user, local);
    return G_SOURCE_REMOVE;
}

/* From the context, even when libnice is done at once. */
void steno_ice_announce(StenoIce *ice)
{
    if (ice->gathered && !ice->announce)
        ice->announce = steno_transport_timer(ice->common.context, 0, on_announce, ice);
}

static void on_gathering_done(NiceAgent *agent, guint stream, gpointer user)
{
    StenoIce *ice = user;

    (void)agent;
    (void)stream;
    ice->gathered = TRUE;
    steno_ice_announce(ice);
}

/* ---- gathering --------------------------------------------------------------------------------------------------- */

static void add_address(StenoIce *ice, const char *text)
{
    NiceAddress address;

    nice_address_init(&address);
    if (nice_address_set_from_string(&address, text))
        nice_agent_add_local_address(ice->agent, &address);
}

/* Real addresses; the loopback ones too when they are asked for, or when there is nothing else. */
static void add_addresses(StenoIce *ice, gboolean loopback)
{
    GList *own = nice_interfaces_get_local_ips(FALSE);

    if (loopback || !own) {
        for (GList *item = own; item; item = item->next)
            add_address(ice, item->data);
        add_address(ice, "127.0.0.1");
        add_address(ice, "::1");
    }
    g_list_free_full(own, g_free);
}

static void use_servers(StenoIce *ice, const StenoIceServer *servers, guint n_servers)
{
    for (guint i = 0; i < n_servers; i++) {
        const StenoIceServer *server = &servers[i];
        if (!server->address)
            continue;
        if (server->kind == STENO_ICE_STUN)
            g_object_set(ice->agent, "stun-server", server->address, "stun-server-port", (guint)server->port, NULL);
        else
            nice_agent_set_relay_info(
                ice->agent, ice->stream, COMPONENT, server->address, server->port, server->user ? server->user : "",
                server->password ? steno_secret_text(server->password) : "",
                server->kind == STENO_ICE_TURN_UDP ? NICE_RELAY_TYPE_TURN_UDP : NICE_RELAY_TYPE_TURN_TCP);
    }
}

static void on_servers(gpointer user, const StenoIceServer *servers, guint n_servers, const GError *error)
{
    StenoIce *ice = user;
    g_autoptr(GError) own_error = NULL;

    if (error) {
        steno_ice_fail(ice, error);
        return;
    }
    use_servers(ice, servers, n_servers);
    if (!start_gathering(ice, &own_error))
        steno_ice_fail(ice, own_error);
}

/* The geofence goes into the kernel, so that libnice learns no address outside of it from whoever knows our password.
 */
static void prepare_sockets(StenoIce *ice)
{
    GPtrArray *sockets = nice_agent_get_sockets(ice->agent, ice->stream, COMPONENT);

    for (guint i = 0; sockets && i < sockets->len; i++) {
        GSocket *socket = g_ptr_array_index(sockets, i);
        if (g_socket_get_socket_type(socket) == G_SOCKET_TYPE_DATAGRAM)
            steno_socket_prepare(g_socket_get_fd(socket), ice->common.geofence);
    }
    if (sockets)
        g_ptr_array_unref(sockets);
}

static gboolean start_gathering(StenoIce *ice, GError **error)
{
    if (!nice_agent_gather_candidates(ice->agent, ice->stream)) {
        g_set_error_literal(error, STENO_ERROR, STENO_ERROR_MEDIA_UNREACHABLE,
                            "ICE: this machine has no network address that media could come to");
        return FALSE;
    }
    ice->gathering = TRUE;
    prepare_sockets(ice);
    if (ice->waiting) {
        nice_agent_set_remote_candidates(ice->agent, ice->stream, COMPONENT, ice->waiting);
        g_slist_free_full(g_steal_pointer(&ice->waiting), (GDestroyNotify)nice_candidate_free);
    }
    return TRUE;
}

/* ---- life -------------------------------------------------------------------------------------------------------- */

/* Not NULL: libnice would leave datagrams unread then, and the loop would spin on them. */
static void on_late_datagram(NiceAgent *agent, guint stream, guint component, guint bytes, char *data, gpointer user)
{
    (void)agent;
    (void)stream;
    (void)component;
    (void)bytes;
    (void)data;
    (void)user;
}

/* With a relay the agent lives on, without us, until the TURN server has let go of it; so the context must run on. */
static void release_agent(StenoIce *ice)
{
    g_signal_handlers_disconnect_by_data(ice->agent, ice);
    if (ice->stream) {
        nice_agent_attach_recv(ice->agent, ice->stream, COMPONENT, ice->common.context, on_late_datagram, NULL);
        if (ice->servers) {
            g_main_context_push_thread_default(ice->common.context);
            nice_agent_close_async(ice->agent, NULL, NULL);
            g_main_context_pop_thread_default(ice->common.context);
        } else {
            nice_agent_remove_stream(ice->agent, ice->stream);
        }
    }
    g_object_unref(ice->agent);
}

static void ice_free(StenoTransport *transport)
{
    StenoIce *ice = (StenoIce *)transport;

    steno_transport_timer_clear(&ice->deadline);
    steno_transport_timer_clear(&ice->announce);
    if (ice->dtls && ice->agent)
        steno_dtls_close(ice->dtls);
    if (ice->agent)
        release_agent(ice);
    steno_ice_servers_free(ice->servers);
    steno_dtls_free(ice->dtls);
    for (guint i = 0; i < ice->n_media; i++) {
        close(ice->media[i].fd);
        g_object_unref(ice->media[i].base);
    }
    if (ice->tick_context)
        g_main_context_unref(ice->tick_context);
    steno_batch_free(ice->batch);
    g_slist_free_full(ice->waiting, (GDestroyNotify)nice_candidate_free);
    g_free(ice->remote_ufrag);
    g_free(ice->remote_password);
    steno_transport_clear(transport);
}

static const StenoTransportKind ice_kind = {
    .free = ice_free,
    .set_remote = steno_ice_set_remote,
    .add_candidate = steno_ice_add_candidate,
    .restart = steno_ice_restart,
    .drain = ice_drain,
    .send = ice_send,
};

static gboolean create_agent(StenoIce *ice, const StenoTransportConfig *config, GError **error)
{
    ice->agent = nice_agent_new_full(ice->common.context, NICE_COMPATIBILITY_RFC5245,
                                     NICE_AGENT_OPTION_ICE_TRICKLE | NICE_AGENT_OPTION_CONSENT_FRESHNESS |
                                         NICE_AGENT_OPTION_SUPPORT_RENOMINATION);
    /* No UPnP: a recorder opens no doors. No ICE-TCP: it would listen on TCP ports. */
    g_object_set(ice->agent, "controlling-mode", config->controlling, "upnp", FALSE, "ice-tcp", FALSE,
                 "keepalive-conncheck", TRUE, "stun-pacing-timer", CHECK_PACING_MS, NULL);
    ice->stream = nice_agent_add_stream(ice->agent, 1);
    if (ice->stream == 0) {
        g_set_error_literal(error, STENO_ERROR, STENO_ERROR_INTERNAL, "libnice refuses to make a stream");
        return FALSE;
    }
    g_signal_connect(ice->agent, "candidate-gathering-done", G_CALLBACK(on_gathering_done), ice);
    g_signal_connect(ice->agent, "component-state-changed", G_CALLBACK(on_component_state), ice);
    g_signal_connect(ice->agent, "new-selected-pair-full", G_CALLBACK(on_selected_pair), ice);
    g_signal_connect(ice->agent, "new-remote-candidate-full", G_CALLBACK(on_remote_candidate), ice);
    nice_agent_attach_recv(ice->agent, ice->stream, COMPONENT, ice->common.context, on_nice_datagram, ice);
    add_addresses(ice, config->loopback);
    return TRUE;
}

static gboolean begin(StenoIce *ice, const StenoTransportConfig *config, GError **error)
{
    if (!config->stun && config->n_turn == 0)
        return start_gathering(ice, error);
    ice->servers = steno_ice_servers_new(config->stun, config->turn, config->n_turn, ice->common.geofence,
                                         ice->common.log, ice->common.context, on_servers, ice, error);
    return ice->servers != NULL;
}

StenoTransport *steno_transport_new_ice(const StenoTransportConfig *config, GMainContext *context,
                                        const StenoTransportEvents *events, gpointer user, GError **error)
{
    static const StenoDtlsEvents dtls_events = {on_dtls_send, on_dtls_connected, on_dtls_closed, on_dtls_failed};
    StenoIce *ice = g_new0(StenoIce, 1);

    steno_transport_init(&ice->common, &ice_kind, context, events, user, config->geofence, config->pool, config->log,
                         "ice");
    ice->preferred_setup = config->preferred_setup == STENO_DTLS_PASSIVE ? STENO_DTLS_PASSIVE : STENO_DTLS_ACTIVE;
    ice->batch = steno_batch_new(config->pool, &ice->common.stats);
    ice->dtls = steno_dtls_new(config->legacy_suites, ice->common.context, &dtls_events, ice, error);
    if (ice->dtls && create_agent(ice, config, error) && begin(ice, config, error))
        return &ice->common;
    ice_free(&ice->common);
    return NULL;
}

void steno_transport_local_free(StenoTransportLocal *local)
{
    if (!local)
        return;
    g_free(local->ufrag);
    g_free(local->password);
    g_free(local->fingerprint);
    if (local->candidates)
        g_ptr_array_unref(local->candidates);
    g_free(local);
}
