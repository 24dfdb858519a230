/*
 * The flow, read from top to bottom: transport → rtp → codec → capture. Where the channel has AES of its own, content
 * is between codec and capture, or between rtp and codec: decrypt.h. All of it runs on the network thread, once a tick.
 */
#include "decrypt.h"

#include "steno/base/clock.h"
#include "steno/base/error.h"

#include <string.h>

/* ---- 1. transport → rtp ------------------------------------------------------------------------------------------ */

static void on_transport_rtp(gpointer user, StenoPacket *packet)
{
    NetPeer *peer = user;
    (void)steno_rtp_receive(peer->rtp, packet);
}

static void on_transport_rtcp(gpointer user, const guint8 *data, gsize bytes, gint64 arrival_us)
{
    NetPeer *peer = user;
    (void)steno_rtp_receive_rtcp(peer->rtp, data, bytes, arrival_us);
}

static void on_rtp_send_rtcp(gpointer user, const guint8 *data, gsize bytes)
{
    NetPeer *peer = user;
    (void)steno_transport_send_rtcp(peer->transport, data, bytes);
}

/* ---- 2. rtp → codec ---------------------------------------------------------------------------------------------- */

static NetTrack *track_of(const NetPeer *peer, guint32 number)
{
    for (guint i = 0; i < peer->tracks->len; i++) {
        NetTrack *track = peer->tracks->pdata[i];
        if (track->number == number)
            return track;
    }
    return NULL;
}

/* A codec that cannot be put together while it is encrypted: told once. */
static void refuse_codec(NetTrack *track)
{
    g_autoptr(GError) error = NULL;
    if (!track->decryption || track->refused == track->codec)
        return;
    track->refused = track->codec;
    g_set_error(&error, STENO_ERROR, STENO_ERROR_MEDIA_INVALID,
                "track %u is %s under %s, which cannot be recorded: its packets hide where frames begin; let the "
                "participant send another codec",
                track->number, steno_codec_name(track->codec), track->peer->net->job->content);
    session_net_tell_refused(track, error);
}

/* The depacketizer for a payload type; a sender may change between the codecs that it offered. */
static gboolean take_codec(NetTrack *track, const StenoRtpPayload *payload)
{
    if (track->depacketizer && track->codec == payload->codec)
        return TRUE;
    session_wiring_break(track);
    guint i = 0;
    while (i + 1 < track->plan->rtp.n_payloads && track->plan->rtp.payloads[i].payload_type != payload->payload_type)
        i++;
    StenoDepacketizerConfig config = {
        .codec = payload->codec,
        .clock_hz = payload->clock_hz,
        .channels = track->plan->channels[i],
        .fmtp = track->plan->fmtp[i],
        .track = track->number,
    };
    track->codec = payload->codec;
    if (track->decryption)
        session_decrypt_set_codec(track->decryption, &config);
    track->depacketizer = steno_depacketizer_new(
        &config, track->peer->net->frames, track->decryption ? session_decrypt_frame : session_wiring_capture, track);
    if (!track->depacketizer)
        refuse_codec(track);
    return track->depacketizer != NULL;
}

static bool needs_keyframe(const NetTrack *track)
{
    return track->decryption ? session_decrypt_needs_keyframe(track)
                             : steno_depacketizer_needs_keyframe(track->depacketizer);
}

static void on_rtp_packet(gpointer user, guint32 number, const StenoRtpPayload *payload, StenoPacket *packet)
{
    NetPeer *peer = user;
    NetTrack *track = track_of(peer, number);
    gboolean taken = track && !peer->net->paused && !track->dropped;
    if (track && (!taken || take_codec(track, payload))) {
        track->last_arrival_us = packet->arrival_us;
        if (G_UNLIKELY(!track->flowing)) {
            track->flowing = TRUE;
            session_net_tell_flow(peer, number, TRUE, steno_clock_mono_to_wall_us(packet->arrival_us));
        }
        if (taken && track->decryption && session_decrypt_is_per_packet(track->decryption))
            session_decrypt_packet(track, g_steal_pointer(&packet));
        else if (taken)
            (void)steno_depacketizer_push(track->depacketizer, packet);
        if (taken && G_UNLIKELY(needs_keyframe(track)))
            steno_rtp_request_keyframe(peer->rtp, number);
    }
    steno_packet_free(packet);
}

static void on_rtp_gap(gpointer user, guint32 number, gint64 first_seq, gint64 last_seq, gint64 rtp_ts,
                       gint64 until_rtp_ts, StenoGapCause cause)
{
    NetPeer *peer = user;
    NetTrack *track = track_of(peer, number);
    if (!track || peer->net->paused || track->dropped)
        return;
    gboolean told = session_decrypt_gap(track, first_seq, last_seq, rtp_ts, until_rtp_ts, cause);
    if (!told && !track->depacketizer)
        return;
    if (!told)
        steno_depacketizer_gap(track->depacketizer, first_seq, last_seq, (guint32)(last_seq - first_seq + 1), rtp_ts,
                               until_rtp_ts, cause);
    peer->net->last_loss_us = steno_clock_mono_us();
}

/* What is half put together comes to its end. */
static void flush(NetTrack *track)
{
    if (track->decryption)
        session_decrypt_flush(track);
    else if (track->depacketizer)
        steno_depacketizer_flush(track->depacketizer);
}

static void on_rtp_reset(gpointer user, guint32 number, guint32 ssrc)
{
    NetPeer *peer = user;
    NetTrack *track = track_of(peer, number);
    if (!track)
        return;
    flush(track);
    if (track->capture)
        steno_capture_event(track->capture, json_pack("{s:s, s:i, s:I}", "event", "source_changed", "track",
                                                      (int)number, "ssrc", (json_int_t)ssrc));
}

void session_wiring_tell_clock(const NetTrack *track, const StenoRtpClockSample *sample)
{
    if (!track->capture)
        return;
    steno_capture_measurement(track->capture,
                              json_pack("{s:s, s:i, s:I, s:I, s:I, s:I}", "event", "clock", "track", (int)track->number,
                                        "rtp_ts", (json_int_t)sample->rtp_ts, "ntp", (json_int_t)sample->ntp_wall_us,
                                        "arrival", (json_int_t)steno_clock_mono_to_wall_us(sample->arrival_us),
                                        "offset", (json_int_t)sample->offset_us));
}

static void on_rtp_clock(gpointer user, guint32 number, const StenoRtpClockSample *sample)
{
    NetTrack *track = track_of(user, number);
    if (!track)
        return;
    session_changeover_heard_clock(track, sample);
    session_wiring_tell_clock(track, sample);
}

static void on_rtp_bye(gpointer user, guint32 number)
{
    NetPeer *peer = user;
    steno_debug(peer->net->log, "peer=%u track=%u: the sender said goodbye", peer->number, number);
}

static const StenoRtpEvents rtp_events = {
    .packet = on_rtp_packet,
    .gap = on_rtp_gap,
    .reset = on_rtp_reset,
    .clock = on_rtp_clock,
    .bye = on_rtp_bye,
    .send_rtcp = on_rtp_send_rtcp,
};

/* ---- 3. codec, content → capture --------------------------------------------------------------------------------- */

gboolean session_wiring_tell_overflow(NetTrack *track, const StenoFrame *next)
{
    Net *net = track->peer->net;
    if (track->overflow_format && !session_changeover_repeat_format(track, track->ring, next->wall_us))
        return FALSE;
    track->overflow_format = FALSE;
    StenoFrame *gap = steno_frame_new(net->frames, STENO_FRAME_GAP, 0);
    if (!gap)
        return FALSE;
    gap->track = track->number;
    gap->codec = track->codec;
    gap->rtp_ts = track->overflow_rtp_ts;
    gap->wall_us = track->overflow_wall_us;
    gap->arrival_us = next->arrival_us;
    gap->gap.cause = STENO_GAP_OVERFLOW;
    gap->gap.first_seq = gap->gap.last_seq = -1;
    gap->gap.until_rtp_ts = next->rtp_ts;
    if (!steno_frame_ring_push(track->ring, gap)) {
        steno_frame_unref(gap);
        return FALSE;
    }
    track->overflow_frames = 0;
    return TRUE;
}

/* Arrival, when a source has just begun anew: its clock is not known yet. */
static gint64 wall_us_of(const NetTrack *track, gint64 rtp_ts)
{
    gint64 wall_us = steno_rtp_wall_us(track->peer->rtp, track->number, rtp_ts);
    return wall_us ? wall_us : steno_clock_mono_to_wall_us(track->last_arrival_us);
}

void session_wiring_overflowed(NetTrack *track, gint64 rtp_ts)
{
    if (track->overflow_frames++ > 0)
        return;
    track->overflow_rtp_ts = rtp_ts;
    track->overflow_wall_us = wall_us_of(track, rtp_ts);
}

static void drop(NetTrack *track, StenoFrame *frame)
{
    track->overflow_format |= frame->kind == STENO_FRAME_FORMAT;
    session_wiring_overflowed(track, frame->rtp_ts);
    steno_frame_unref(frame);
}

static void keep_format(NetTrack *track, StenoFrame *format)
{
    if (track->format)
        steno_frame_unref(track->format);
    track->format = steno_frame_ref(format);
}

void session_wiring_capture(gpointer user, StenoFrame *frame)
{
    NetTrack *track = user;
    Net *net = track->peer->net;
    if (!track->ring) {
        steno_frame_unref(frame);
        return;
    }
    frame->wall_us = wall_us_of(track, frame->rtp_ts);
    session_changeover_frame(track, frame);
    track->begun = TRUE;
    if (frame->kind == STENO_FRAME_FORMAT)
        keep_format(track, frame);
    if (frame->kind == STENO_FRAME_MEDIA) {
        net->ticking.frames++;
        net->ticking.bytes += frame->payload_bytes;
        net->ticking.last_media_mono_us = frame->arrival_us;
    }
    if (track->overflow_frames > 0 && !session_wiring_tell_overflow(track, frame))
        drop(track, frame);
    else if (!steno_frame_ring_push(track->ring, frame))
        drop(track, frame);
}

/* ---- the tick ---------------------------------------------------------------------------------------------------- */

void session_wiring_drain(NetPeer *peer, gint64 now_us)
{
    (void)steno_transport_drain(peer->transport, now_us);
}

void session_wiring_tick(NetPeer *peer, gint64 now_us)
{
    steno_rtp_tick(peer->rtp, now_us);
    if (steno_rtp_is_recovering(peer->rtp))
        peer->net->last_loss_us = now_us;
    session_stats_add_totals(peer);
    for (guint i = 0; peer->net->content && i < peer->tracks->len; i++)
        session_trouble_tick(((NetTrack *)peer->tracks->pdata[i])->decryption, now_us);
}

void session_wiring_check_flow(NetPeer *peer, gint64 now_us)
{
    for (guint i = 0; i < peer->tracks->len; i++) {
        NetTrack *track = peer->tracks->pdata[i];
        StenoRtpStats stats;
        if (!track->flowing || now_us - track->last_arrival_us < SESSION_MUTED_AFTER_US)
            continue;
        /* Packets that wait for one before them are no silence. */
        if (steno_rtp_stats(peer->rtp, track->number, &stats) && stats.held > 0)
            continue;
        track->flowing = FALSE;
        session_net_tell_flow(peer, track->number, FALSE, steno_clock_mono_to_wall_us(track->last_arrival_us));
    }
}

/* ---- dropping ---------------------------------------------------------------------------------------------------- */

void session_wiring_empty(NetPeer *peer, gint64 now_us)
{
    if (peer->connected)
        session_wiring_drain(peer, now_us);
    steno_rtp_drain(peer->rtp);
}

void session_wiring_end_codec(NetTrack *track)
{
    session_stats_end_codec(track);
    steno_depacketizer_free(g_steal_pointer(&track->depacketizer));
}

void session_wiring_break(NetTrack *track)
{
    flush(track);
    if (track->decryption)
        session_decrypt_break(track);
    /* A new one keeps nothing before the first key frame. */
    session_wiring_end_codec(track);
}

void session_wiring_want_keyframe(const NetTrack *track)
{
    if (track->plan->rtp.video)
        steno_rtp_request_keyframe(track->peer->rtp, track->number);
}

/* ---- opening, renegotiating, closing ----------------------------------------------------------------------------- */

static void on_transport_gathered(gpointer user, const StenoTransportLocal *local)
{
    NetPeer *peer = user;
    session_net_tell_gathered(peer, local);
}

static void on_transport_state(gpointer user, StenoTransportState state, const GError *error)
{
    NetPeer *peer = user;
    peer->connected = state == STENO_TRANSPORT_CONNECTED;
    if (state == STENO_TRANSPORT_CONNECTED)
        session_net_tell_connected(peer);
    else if (state == STENO_TRANSPORT_FAILED || state == STENO_TRANSPORT_CLOSED)
        session_net_tell_failed(peer, error);
}

static const StenoTransportEvents transport_events = {
    .rtp = on_transport_rtp,
    .rtcp = on_transport_rtcp,
    .gathered = on_transport_gathered,
    .state = on_transport_state,
};

static StenoTransport *open_plain(NetPeer *peer, const PeerPlan *plan, GError **error)
{
    const Net *net = peer->net;
    const StenoSdesKey sdes = {.suite = plan->sdes_suite, .key_salt = plan->sdes_key};
    const StenoPlainConfig config = {
        .address = plan->address,
        .port = plan->port,
        .rtcp_port = plan->rtcp_port,
        .source = plan->source,
        .sdes = plan->sdes_suite ? &sdes : NULL,
        .send_feedback = plan->rtp.feedback,
        .geofence = net->geofence,
        .pool = net->packets,
        .log = net->log,
    };
    return steno_transport_new_plain(&config, net->context, &transport_events, peer, error);
}

static StenoTransport *open_ice(NetPeer *peer, GError **error)
{
    const Net *net = peer->net;
    guint n_turn = g_strv_length(net->job->turn);
    g_autofree StenoTurnServer *turn = g_new0(StenoTurnServer, n_turn + 1);
    for (guint i = 0; i < n_turn; i++)
        turn[i] = (StenoTurnServer){net->job->turn[i], net->job->turn_user, net->job->turn_password};
    const StenoTransportConfig config = {
        .stun = net->job->stun,
        .turn = turn,
        .n_turn = n_turn,
        .geofence = net->geofence,
        .legacy_suites = net->job->dtls_legacy_suites,
        .preferred_setup = STENO_DTLS_ACTIVE,
        .loopback = net->job->loopback,
        .pool = net->packets,
        .log = net->log,
    };
    return steno_transport_new_ice(&config, net->context, &transport_events, peer, error);
}

gboolean session_wiring_open(NetPeer *peer, const PeerPlan *plan, GError **error)
{
    peer->rtp = steno_rtp_new(&plan->rtp, &rtp_events, peer);
    peer->transport = plan->plain ? open_plain(peer, plan, error) : open_ice(peer, error);
    return peer->transport != NULL;
}

static void end_track(NetTrack *track)
{
    Net *net = track->peer->net;
    session_stats_tell_track(track);
    steno_rtp_remove_track(track->peer->rtp, track->number);
    flush(track);
    if (track->decryption)
        session_decrypt_end(track);
    if (!track->begun)
        return;
    StenoFrame *end = steno_frame_new(net->frames, STENO_FRAME_END, 0);
    if (end) {
        end->track = track->number;
        end->codec = track->codec;
        end->arrival_us = track->last_arrival_us;
        session_wiring_capture(track, end);
    }
}

static TrackPlan *plan_of(const PeerPlan *plan, guint32 number)
{
    for (guint i = 0; i < plan->tracks->len; i++) {
        TrackPlan *track = plan->tracks->pdata[i];
        if (track->rtp.track == number)
            return track;
    }
    return NULL;
}

void session_wiring_track_free(gpointer data)
{
    NetTrack *track = data;
    steno_depacketizer_free(track->depacketizer);
    session_decrypt_free(track->decryption);
    if (track->format)
        steno_frame_unref(track->format);
    g_free(track);
}

/* The tracks are now those of the plan, and the plan the peer's: tracks borrow from it. */
void session_wiring_set_tracks(NetPeer *peer, PeerPlan *plan)
{
    const Net *net = peer->net;
    for (guint i = peer->tracks->len; i-- > 0;) {
        NetTrack *track = peer->tracks->pdata[i];
        if (plan_of(plan, track->number))
            continue;
        end_track(track);
        g_ptr_array_remove_index(peer->tracks, i);
    }
    for (guint i = 0; i < plan->tracks->len; i++) {
        TrackPlan *planned = plan->tracks->pdata[i];
        NetTrack *track = track_of(peer, planned->rtp.track);
        if (!track) {
            track = g_new0(NetTrack, 1);
            track->peer = peer;
            track->number = planned->rtp.track;
            track->dropped = planned->dropped;
            /* Where it was announced; it changes over as the others do, or is already told of in the next part. */
            track->capture = net->rotation.running ? plan->capture : net->capture;
            track->ring = track->capture ? steno_capture_ring(track->capture) : NULL;
            if (net->content)
                session_decrypt_begin(track, plan->participant);
            g_ptr_array_add(peer->tracks, track);
        }
        track->plan = planned;
        (void)steno_rtp_set_track(peer->rtp, &planned->rtp);
    }
}

void session_wiring_close(NetPeer *peer)
{
    if (peer->transport && peer->rtp)
        session_wiring_empty(peer, steno_clock_mono_us());
    if (peer->transport && peer->rtp)
        session_stats_add_totals(peer);
    for (guint i = 0; i < peer->tracks->len; i++)
        end_track(peer->tracks->pdata[i]);
    g_ptr_array_set_size(peer->tracks, 0);
}
