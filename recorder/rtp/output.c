/* The end of the way: extends the timestamp, says the gap before the packet, and hands it on. */
#include "rtp_internal.h"

#include <stdlib.h>

static gint64 ticks_of(gint64 us, guint32 clock_hz)
{
    return us * clock_hz / G_USEC_PER_SEC;
}

/*
 * The extended timestamp of a packet. The distance from the last one is that of the 32 bits on the wire, plus as many
 * turns of them as bring it nearest to the time that went by; when the two still disagree, the source began anew and
 * goes on by our clock.
 */
static gint64 extend(const RtpTrack *track, const StenoPacket *packet, guint32 clock_hz, bool *restarted)
{
    const RtpTimestamps *last = &track->timestamps;
    guint32 wire = (guint32)packet->rtp_ts;
    *restarted = false;
    if (!last->known)
        return wire;
    gint64 expected = ticks_of(packet->arrival_us - last->arrival_us, clock_hz);
    gint64 distance = expected + (gint32)(wire - last->wire - (guint32)expected);
    if (last->restart || clock_hz != last->clock_hz ||
        llabs(distance - expected) > (gint64)RTP_TIMESTAMP_JUMP_S * clock_hz) {
        *restarted = true;
        distance = MAX(expected, 1);
    }
    return last->extended + distance;
}

static void say_gap(StenoRtp *rtp, RtpTrack *track, gint64 until_rtp_ts)
{
    track->gap.waiting = false;
    rtp->events.gap(rtp->user, track->config.track, track->gap.first_seq, track->gap.last_seq,
                    track->timestamps.extended, until_rtp_ts, track->gap.cause);
}

void rtp_output_gap(RtpTrack *track, gint64 first, gint64 last, StenoGapCause cause)
{
    track->gap.waiting = true;
    track->gap.first_seq = first + track->seq_shift;
    track->gap.last_seq = last + track->seq_shift;
    track->gap.cause = cause;
    track->stats.lost += (guint64)(last - first + 1);
    if (track->config.video)
        track->keyframe_wanted = true;
}

/* Padding and payload types of nobody take a number, and that is all. */
static void swallow(StenoRtp *rtp, RtpTrack *track, StenoPacket *packet)
{
    if (track->gap.waiting) {
        bool restarted;
        say_gap(rtp, track, extend(track, packet, track->timestamps.clock_hz, &restarted));
    }
    if (packet->payload_bytes > 0)
        track->stats.invalid++;
    steno_packet_free(packet);
}

void rtp_output(StenoRtp *rtp, RtpTrack *track, StenoPacket *packet)
{
    const StenoRtpPayload *payload = rtp_track_payload(track, packet->data[1]);
    RtpTimestamps *last = &track->timestamps;
    rtp_history_set(track, packet->seq, false);
    packet->seq += track->seq_shift;
    track->last_out_seq = packet->seq;
    track->any_out = true;
    if (!payload || packet->payload_bytes == 0) {
        swallow(rtp, track, packet);
        return;
    }
    bool restarted;
    gint64 extended = extend(track, packet, payload->clock_hz, &restarted);
    if (track->gap.waiting)
        say_gap(rtp, track, extended);
    if (restarted && !last->restart) { /* else it was said when the source changed */
        track->stats.resets++;
        rtp_clock_restart(track);
        rtp->events.reset(rtp->user, track->config.track, track->ssrc);
    }
    last->restart = false;
    last->wire = (guint32)packet->rtp_ts;
    last->extended = packet->rtp_ts = extended;
    last->clock_hz = payload->clock_hz;
    last->arrival_us = packet->arrival_us;
    if (G_UNLIKELY(!last->known || !track->clock.has_anchor)) {
        last->known = true;
        rtp_clock_anchor(rtp, track, extended, packet->arrival_us);
    }
    track->stats.packets++;
    track->stats.bytes += packet->payload_bytes;
    rtp->events.packet(rtp->user, track->config.track, payload, packet);
}
