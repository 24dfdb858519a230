/*
 * Which number is it: extends the 16 bits on the wire, and tells loss and reordering from a source that began anew
 * (RFC 3550 A.1, with timestamps as a second witness).
 */
#include "rtp_internal.h"

#include <stdlib.h>
#include <string.h>

static void drop(StenoPacket *packet, guint64 *counter)
{
    (*counter)++;
    steno_packet_free(packet);
}

/* RFC 3550 A.8 */
static void measure_jitter(RtpTrack *track, const StenoPacket *packet, const RtpHeader *header)
{
    const StenoRtpPayload *payload = rtp_track_payload(track, header->payload_type);
    RtpReception *reception = &track->reception;
    if (!payload)
        return;
    guint32 transit = (guint32)(packet->arrival_us * payload->clock_hz / G_USEC_PER_SEC) - header->timestamp;
    if (reception->has_transit) {
        gint64 distance = llabs((gint64)(gint32)(transit - reception->transit));
        /* A step of the timestamps is no jitter. */
        if (distance < payload->clock_hz)
            reception->jitter_q4 += (guint32)distance - ((reception->jitter_q4 + 8) >> 4);
    }
    reception->transit = transit;
    reception->has_transit = true;
}

static void measure(RtpTrack *track, const StenoPacket *packet, const RtpHeader *header)
{
    track->reception.received++;
    track->last_arrival_us = packet->arrival_us;
    measure_jitter(track, packet, header);
}

void rtp_sequence_restart(StenoRtp *rtp, RtpTrack *track, guint32 ssrc)
{
    rtp_window_drain(rtp, track);
    rtp_window_clear(track);
    track->ssrc = ssrc;
    track->heard = track->fresh = true;
    track->started = false;
    track->timestamps.restart = true;
    memset(&track->reception, 0, sizeof track->reception);
    memset(track->given_up, 0, sizeof track->given_up);
    rtp_clock_restart(track);
    if (track->any_out) {
        track->stats.resets++;
        rtp->events.reset(rtp->user, track->config.track, ssrc);
    }
}

static void start(StenoRtp *rtp, RtpTrack *track, StenoPacket *packet, gint64 seq)
{
    track->fresh = false;
    track->first_us = track->progress_us = packet->arrival_us;
    track->reception.base_seq = seq;
    rtp_window_start(track, seq);
    rtp_window_insert(rtp, track, packet, seq, false);
}

/* Timestamp distance from what was put out last, less the time that went by since: 0 when the source just goes on. */
static gint64 timestamp_error(const RtpTrack *track, const StenoPacket *packet)
{
    const RtpTimestamps *last = &track->timestamps;
    gint64 ticks = (gint32)((guint32)packet->rtp_ts - last->wire);
    return ticks * G_USEC_PER_SEC / last->clock_hz - (packet->arrival_us - last->arrival_us);
}

/* A large step forward: what an outage of the network leaves behind, or another source? */
static bool is_outage(const RtpTrack *track, const StenoPacket *packet)
{
    return track->started && track->timestamps.known && !track->timestamps.restart &&
           packet->arrival_us - track->progress_us >= RTP_OUTAGE_MIN_US &&
           llabs(timestamp_error(track, packet)) < G_USEC_PER_SEC;
}

/* A packet from behind the window: a duplicate or too late, or from a source that began anew there? */
static bool fits_behind(const RtpTrack *track, const StenoPacket *packet, gint64 step)
{
    const RtpTimestamps *last = &track->timestamps;
    if (step < -RTP_DROPOUT_MAX)
        return false;
    if (!last->known || last->restart)
        return true;
    gint64 ticks = (gint32)((guint32)packet->rtp_ts - last->wire);
    if (ticks > last->clock_hz)
        return false;
    /* As old as its number says, or older: a replay, as long as the source goes on. */
    return ticks >= -(gint64)RTP_TIMESTAMP_JUMP_S * last->clock_hz ||
           packet->arrival_us - track->progress_us < RTP_SOURCE_HOLDOFF_US;
}

static bool fits(const RtpTrack *track, const StenoPacket *packet, gint64 seq, gint64 step)
{
    if (step > 0)
        return step <= RTP_DROPOUT_MAX || is_outage(track, packet);
    if (seq >= track->window.next)
        return true;
    if (!track->started)
        return step > -RTP_START_WINDOW;
    return fits_behind(track, packet, step);
}

/* Holds what does not fit until a second one near it says that the source began anew; then both are its first. */
static void suspect(StenoRtp *rtp, RtpTrack *track, StenoPacket *packet, guint16 seq)
{
    StenoPacket *first = track->suspect;
    packet->seq = seq;
    if (!first) {
        track->suspect = packet;
        return;
    }
    gint16 distance = (gint16)(guint16)(seq - (guint16)first->seq);
    if (distance == 0) {
        drop(packet, &track->stats.duplicates);
        return;
    }
    track->suspect = NULL;
    if (abs(distance) > RTP_SUSPECT_NEAR || packet->arrival_us - first->arrival_us > RTP_SOURCE_HOLDOFF_US) {
        drop(first, &track->stats.invalid);
        track->suspect = packet;
        return;
    }
    rtp_sequence_restart(rtp, track, track->ssrc);
    track->reception.received = 2;
    if (distance < 0) {
        StenoPacket *later = first;
        first = packet;
        packet = later;
    }
    gint64 base = first->seq;
    start(rtp, track, first, base);
    rtp_window_insert(rtp, track, packet, base + abs(distance), false);
}

static void place(StenoRtp *rtp, RtpTrack *track, StenoPacket *packet, gint64 seq, bool resent)
{
    RtpWindow *window = &track->window;
    if (seq > window->highest + RTP_DROPOUT_MAX) {
        rtp_window_drain(rtp, track);
        rtp_window_skip(track, seq);
    }
    if (seq < window->next && track->started) {
        bool late = window->next - seq > RTP_HISTORY_PACKETS || rtp_history_given_up(track, seq);
        if (late && window->next - seq <= RTP_HISTORY_PACKETS)
            rtp_history_set(track, seq, false); /* once more it is a duplicate */
        drop(packet, late ? &track->stats.late : &track->stats.duplicates);
        return;
    }
    rtp_window_make_room(rtp, track, seq);
    rtp_window_insert(rtp, track, packet, seq, resent);
    if (seq < track->reception.base_seq)
        track->reception.base_seq = seq;
    if (track->started || window->highest - window->next >= RTP_START_WINDOW)
        rtp_window_flush(rtp, track);
}

void rtp_sequence_receive(StenoRtp *rtp, RtpTrack *track, StenoPacket *packet, const RtpHeader *header, bool resent)
{
    RtpWindow *window = &track->window;
    packet->rtp_ts = header->timestamp;
    if (!resent)
        measure(track, packet, header);
    if (track->fresh) {
        if (resent)
            drop(packet, &track->stats.late);
        else
            start(rtp, track, packet, header->seq);
        return;
    }
    gint64 step = (gint16)(guint16)(header->seq - (guint16)window->highest);
    gint64 seq = window->highest + step;
    if (step == 1 && window->held == 0 && track->started) {
        window->highest = seq;
        window->next = seq + 1;
        packet->seq = seq;
        track->progress_us = packet->arrival_us;
        rtp_output(rtp, track, packet);
        return;
    }
    if (!resent && !fits(track, packet, seq, step)) {
        suspect(rtp, track, packet, header->seq);
        return;
    }
    /* A retransmission may overtake the last few packets (senders probe with them), but says nothing of a new source.
     */
    if (resent && (step > RTP_SUSPECT_NEAR || (seq < window->next && !track->started)))
        drop(packet, &track->stats.late);
    else
        place(rtp, track, packet, seq, resent);
}
