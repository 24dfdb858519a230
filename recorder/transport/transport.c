#include "private.h"
#include "steno/base/error.h"

#include <string.h>

void steno_transport_init(StenoTransport *transport, const StenoTransportKind *kind, GMainContext *context,
                          const StenoTransportEvents *events, gpointer user, const StenoGeofence *geofence,
                          StenoPacketPool *pool, const StenoLog *log, const char *name)
{
    steno_transport_prepare(); /* not in the middle of a handshake */
    transport->kind = kind;
    transport->context = g_main_context_ref(context ? context : g_main_context_default());
    transport->events = *events;
    transport->user = user;
    transport->geofence = steno_geofence_ref((StenoGeofence *)geofence);
    transport->pool = pool;
    transport->log = steno_log_new(log, "%s", name);
}

void steno_transport_clear(StenoTransport *transport)
{
    steno_srtp_free(transport->srtp);
    steno_geofence_unref(transport->geofence);
    steno_log_free(transport->log);
    g_main_context_unref(transport->context);
    g_free(transport);
}

void steno_transport_set_state(StenoTransport *transport, StenoTransportState state, const GError *error)
{
    if (transport->state == state || transport->state == STENO_TRANSPORT_FAILED ||
        transport->state == STENO_TRANSPORT_CLOSED)
        return;
    transport->state = state;
    if (transport->events.state)
        transport->events.state(transport->user, state, error);
}

GSource *steno_transport_timer(GMainContext *context, guint delay_ms, GSourceFunc function, gpointer user)
{
    GSource *source = g_timeout_source_new(delay_ms);

    g_source_set_callback(source, function, user, NULL);
    g_source_attach(source, context);
    return source;
}

void steno_transport_timer_clear(GSource **source)
{
    if (!*source)
        return;
    g_source_destroy(*source);
    g_source_unref(*source);
    *source = NULL;
}

void steno_transport_receive(StenoTransport *transport, StenoPacket *packet, gboolean rtcp)
{
    StenoTransportStats *stats = &transport->stats;

    stats->bytes += packet->bytes;
    *(rtcp ? &stats->rtcp_packets : &stats->rtp_packets) += 1;
    if (transport->srtp) {
        switch (steno_srtp_unprotect(transport->srtp, rtcp, packet->data, &packet->bytes)) {
        case STENO_SRTP_OK:
            break;
        case STENO_SRTP_REPLAY:
            stats->srtp_replays++;
            steno_packet_free(packet);
            return;
        case STENO_SRTP_FAILURE:
            stats->srtp_failures++;
            steno_packet_free(packet);
            return;
        }
    } else if (!transport->clear) {
        stats->strays++; /* came before its keys did */
        steno_packet_free(packet);
        return;
    }
    if (!rtcp) {
        transport->events.rtp(transport->user, packet);
        return;
    }
    if (transport->events.rtcp)
        transport->events.rtcp(transport->user, packet->data, packet->bytes, packet->arrival_us);
    steno_packet_free(packet);
}

/* ---- the public face --------------------------------------------------------------------------------------------- */

void steno_transport_prepare(void)
{
    (void)steno_srtp_load();
}

void steno_transport_free(StenoTransport *transport)
{
    if (transport)
        transport->kind->free(transport);
}

gboolean steno_transport_set_remote(StenoTransport *transport, const StenoTransportRemote *remote, GError **error)
{
    if (transport->kind->set_remote)
        return transport->kind->set_remote(transport, remote, error);
    g_set_error_literal(error, STENO_ERROR, STENO_ERROR_INTERNAL,
                        "a plain RTP transport has no ICE description to set");
    return FALSE;
}

void steno_transport_add_candidate(StenoTransport *transport, const char *candidate)
{
    if (transport->kind->add_candidate)
        transport->kind->add_candidate(transport, candidate);
}

gboolean steno_transport_restart(StenoTransport *transport, GError **error)
{
    if (transport->kind->restart)
        return transport->kind->restart(transport, error);
    g_set_error_literal(error, STENO_ERROR, STENO_ERROR_INTERNAL, "a plain RTP transport has no ICE to restart");
    return FALSE;
}

guint steno_transport_drain(StenoTransport *transport, gint64 now_us)
{
    return transport->kind->drain(transport, now_us);
}

static gboolean send_protected(StenoTransport *transport, gboolean rtcp, const guint8 *data, gsize bytes)
{
    guint8 buffer[STENO_PACKET_MAX_BYTES + STENO_SRTP_TRAILER_MAX];
    guint32 length = (guint32)bytes;

    if (transport->state != STENO_TRANSPORT_CONNECTED || bytes < 8 || bytes > STENO_PACKET_MAX_BYTES)
        return FALSE;
    if (!transport->srtp)
        return transport->clear && transport->kind->send(transport, rtcp, data, bytes);
    memcpy(buffer, data, bytes);
    return steno_srtp_protect(transport->srtp, rtcp, buffer, &length) &&
           transport->kind->send(transport, rtcp, buffer, length);
}

gboolean steno_transport_send_rtcp(StenoTransport *transport, const guint8 *data, gsize bytes)
{
    return send_protected(transport, TRUE, data, bytes);
}

gboolean steno_transport_send_rtp(StenoTransport *transport, const guint8 *data, gsize bytes)
{
    return send_protected(transport, FALSE, data, bytes);
}

const StenoTransportStats *steno_transport_stats(const StenoTransport *transport)
{
    return &transport->stats;
}
