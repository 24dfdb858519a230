/* The room's door: packets in, ticks, tracks; undoes RTX. */
#include "steno/rtp.h"

#include "rtp_internal.h"

#include <errno.h>
#include <string.h>

#define REMB_DEFAULT_BPS 100000000
#define CLOCK_DEFAULT_HZ 90000
#define CLOCK_MAX_HZ 1000000 /* what 64-bit arithmetic on µs can bear; no payload format comes near */

static void no_packet(gpointer user, guint32 track, const StenoRtpPayload *payload, StenoPacket *packet)
{
    (void)user, (void)track, (void)payload;
    steno_packet_free(packet);
}

static void no_gap(gpointer user, guint32 track, gint64 first_seq, gint64 last_seq, gint64 rtp_ts, gint64 until_rtp_ts,
                   StenoGapCause cause)
{
    (void)user, (void)track, (void)first_seq, (void)last_seq, (void)rtp_ts, (void)until_rtp_ts, (void)cause;
}

static void no_reset(gpointer user, guint32 track, guint32 ssrc)
{
    (void)user, (void)track, (void)ssrc;
}

static void no_clock(gpointer user, guint32 track, const StenoRtpClockSample *sample)
{
    (void)user, (void)track, (void)sample;
}

static void no_bye(gpointer user, guint32 track)
{
    (void)user, (void)track;
}

StenoRtp *steno_rtp_new(const StenoRtpConfig *config, const StenoRtpEvents *events, gpointer user)
{
    StenoRtp *rtp = g_new0(StenoRtp, 1);
    rtp->config = *config;
    rtp->config.cname[sizeof rtp->config.cname - 1] = 0;
    if (rtp->config.remb_bps == 0)
        rtp->config.remb_bps = REMB_DEFAULT_BPS;
    if (rtp->config.reorder_us <= 0 || rtp->config.reorder_us > STENO_RTP_REORDER_MAX_US)
        rtp->config.reorder_us = STENO_RTP_REORDER_MAX_US;
    rtp->events = *events;
    rtp->events.packet = events->packet ? events->packet : no_packet;
    rtp->events.gap = events->gap ? events->gap : no_gap;
    rtp->events.reset = events->reset ? events->reset : no_reset;
    rtp->events.clock = events->clock ? events->clock : no_clock;
    rtp->events.bye = events->bye ? events->bye : no_bye;
    if (!events->send_rtcp)
        rtp->config.feedback = false;
    rtp->user = user;
    rtp->rtt_us = RTP_RTT_START_US;
    rtp->previous_tick_us = G_MININT64;
    return rtp;
}

static void track_free(RtpTrack *track)
{
    rtp_window_clear(track);
    rtp_clock_clear(track);
    if (track->suspect)
        steno_packet_free(track->suspect);
    g_free(track->window.slots);
    g_free(track);
}

void steno_rtp_free(StenoRtp *rtp)
{
    if (!rtp)
        return;
    for (guint i = 0; i < rtp->n_tracks; i++)
        track_free(rtp->tracks[i]);
    g_free(rtp->twcc.arrival_us);
    g_free(rtp);
}

static RtpTrack *find_track(const StenoRtp *rtp, guint32 number, guint *index)
{
    for (guint i = 0; i < rtp->n_tracks; i++) {
        if (rtp->numbers[i] == number) {
            if (index)
                *index = i;
            return rtp->tracks[i];
        }
    }
    return NULL;
}

static void sum_up_tracks(StenoRtp *rtp)
{
    rtp->transport_cc = false;
    for (guint i = 0; i < rtp->n_tracks; i++)
        rtp->transport_cc |= rtp->tracks[i]->config.transport_cc;
    rtp_demux_rebuild(rtp);
}

static void configure(RtpTrack *track, const StenoRtpTrackConfig *config)
{
    guint32 announced_rtx = track->config.rtx_ssrc;
    track->config = *config;
    track->config.n_payloads = MIN(config->n_payloads, STENO_RTP_PAYLOAD_TYPES_MAX);
    track->config.mid[STENO_RTP_MID_MAX_BYTES] = 0;
    if (config->rtx_ssrc && config->rtx_ssrc != announced_rtx)
        track->rtx_ssrc = config->rtx_ssrc;
    memset(track->payload_index, -1, sizeof track->payload_index);
    for (guint i = 0; i < track->config.n_payloads; i++) {
        StenoRtpPayload *payload = &track->config.payloads[i];
        if (payload->clock_hz == 0 || payload->clock_hz > CLOCK_MAX_HZ)
            payload->clock_hz = CLOCK_DEFAULT_HZ;
        track->payload_index[payload->payload_type & 0x7f] = (gint8)i;
    }
}

int steno_rtp_set_track(StenoRtp *rtp, const StenoRtpTrackConfig *config)
{
    RtpTrack *track = find_track(rtp, config->track, NULL);
    if (!track) {
        if (rtp->n_tracks == STENO_RTP_TRACKS_MAX)
            return -ENOSPC;
        track = g_new0(RtpTrack, 1);
        track->fresh = true;
        rtp->numbers[rtp->n_tracks] = config->track;
        rtp->tracks[rtp->n_tracks++] = track;
    }
    configure(track, config);
    sum_up_tracks(rtp);
    return 0;
}

void steno_rtp_remove_track(StenoRtp *rtp, guint32 number)
{
    guint index;
    RtpTrack *track = find_track(rtp, number, &index);
    if (!track)
        return;
    rtp_window_drain(rtp, track);
    track_free(track);
    rtp->n_tracks--;
    rtp->tracks[index] = rtp->tracks[rtp->n_tracks];
    rtp->numbers[index] = rtp->numbers[rtp->n_tracks];
    sum_up_tracks(rtp);
}

/* A packet from another SSRC than the last. FALSE: it is a straggler of the source before. */
static bool change_source(StenoRtp *rtp, RtpTrack *track, guint32 ssrc, gint64 arrival_us)
{
    if (track->heard) {
        if (ssrc == track->previous_ssrc && arrival_us - track->switched_us < RTP_SOURCE_HOLDOFF_US)
            return false;
        track->previous_ssrc = track->ssrc;
        track->previous_rtx_ssrc = track->rtx_ssrc;
        track->switched_us = arrival_us;
        track->rtx_ssrc = track->config.ssrc == ssrc ? track->config.rtx_ssrc : 0;
        if (track->suspect) {
            steno_packet_free(track->suspect);
            track->suspect = NULL;
            track->stats.invalid++;
        }
    }
    rtp_sequence_restart(rtp, track, ssrc);
    rtp_demux_rebuild(rtp);
    return true;
}

static int drop(StenoPacket *packet, guint64 *counter, int result)
{
    (*counter)++;
    steno_packet_free(packet);
    return result;
}

/* RFC 4588 §4: makes it the packet that it was, in place, and hands it on. */
static int receive_rtx(StenoRtp *rtp, RtpTrack *track, StenoPacket *packet, RtpHeader *header, guint8 payload_type)
{
    if (!track->heard || (header->ssrc == track->previous_rtx_ssrc && header->ssrc != track->rtx_ssrc &&
                          packet->arrival_us - track->switched_us < RTP_SOURCE_HOLDOFF_US))
        return drop(packet, &track->stats.late, 0);
    if (header->ssrc != track->rtx_ssrc) {
        track->rtx_ssrc = header->ssrc;
        rtp_demux_rebuild(rtp);
    }
    if (packet->payload_bytes < 2) { /* padding, to probe for bandwidth */
        steno_packet_free(packet);
        return 0;
    }
    header->seq = rtp_read16(packet->data + packet->payload_offset);
    header->payload_type = payload_type;
    packet->data[1] = (guint8)((packet->data[1] & 0x80) | payload_type);
    rtp_write16(packet->data + 2, header->seq);
    packet->payload_offset += 2;
    packet->payload_bytes -= 2;
    rtp_sequence_receive(rtp, track, packet, header, true);
    return 0;
}

static void record_arrival(StenoRtp *rtp, const StenoPacket *packet, const RtpHeader *header)
{
    guint bytes = 0;
    const guint8 *at = rtp_header_extension(header, rtp->config.transport_cc_extension, &bytes);
    if (at && bytes >= 2)
        rtp_twcc_record(rtp, rtp_read16(at), header->ssrc, packet->arrival_us);
}

int steno_rtp_receive(StenoRtp *rtp, StenoPacket *packet)
{
    RtpHeader header;
    if (packet->bytes > sizeof packet->data || rtp_header_parse(&header, packet->data, packet->bytes) < 0)
        return drop(packet, &rtp->unmatched, -EBADMSG);
    packet->payload_offset = header.payload_offset;
    packet->payload_bytes = header.payload_bytes;
    packet->marker = header.marker;
    rtp->any_packet = true;
    if (rtp->transport_cc && rtp->config.feedback)
        record_arrival(rtp, packet, &header);
    RtpTrack *track = rtp_demux(rtp, &header, packet->arrival_us);
    if (!track)
        return drop(packet, &rtp->unmatched, -ENOENT);
    gint8 index = track->payload_index[header.payload_type];
    if (index >= 0 && track->config.payloads[index].rtx_of >= 0)
        return receive_rtx(rtp, track, packet, &header, (guint8)(track->config.payloads[index].rtx_of & 0x7f));
    if (G_UNLIKELY(!track->heard || header.ssrc != track->ssrc)) {
        if (index < 0 || (track->heard && header.ssrc == track->rtx_ssrc))
            return drop(packet, &track->stats.invalid, -ENOENT);
        if (!change_source(rtp, track, header.ssrc, packet->arrival_us))
            return drop(packet, &track->stats.late, 0);
    }
    rtp_sequence_receive(rtp, track, packet, &header, false);
    return 0;
}

void steno_rtp_tick(StenoRtp *rtp, gint64 now_us)
{
    rtp->now_us = MAX(rtp->now_us, now_us);
    for (guint i = 0; i < rtp->n_tracks; i++) {
        RtpTrack *track = rtp->tracks[i];
        if (track->window.held > 0 && (track->started || rtp->now_us - track->first_us >= RTP_START_HOLD_US))
            rtp_window_expire(rtp, track, rtp->now_us - rtp->config.reorder_us);
    }
    if (rtp->config.feedback)
        rtp_rtcp_write(rtp);
    rtp->previous_tick_us = rtp->now_us;
}

bool steno_rtp_is_recovering(const StenoRtp *rtp)
{
    for (guint i = 0; i < rtp->n_tracks; i++)
        if (rtp->tracks[i]->window.held > 0)
            return true;
    return false;
}

void steno_rtp_drain(StenoRtp *rtp)
{
    for (guint i = 0; i < rtp->n_tracks; i++)
        rtp_window_drain(rtp, rtp->tracks[i]);
}

void steno_rtp_request_keyframe(StenoRtp *rtp, guint32 number)
{
    RtpTrack *track = find_track(rtp, number, NULL);
    if (track)
        track->keyframe_wanted = true;
}

gint64 steno_rtp_wall_us(const StenoRtp *rtp, guint32 number, gint64 rtp_ts)
{
    const RtpTrack *track =
        rtp->last_track && rtp->last_track->config.track == number ? rtp->last_track : find_track(rtp, number, NULL);
    return track ? rtp_clock_wall_us(track, rtp_ts) : 0;
}

bool steno_rtp_stats(const StenoRtp *rtp, guint32 number, StenoRtpStats *stats)
{
    const RtpTrack *track = find_track(rtp, number, NULL);
    if (!track)
        return false;
    *stats = track->stats;
    stats->held = track->window.held;
    if (track->timestamps.clock_hz)
        stats->jitter_us =
            (guint32)((guint64)(track->reception.jitter_q4 >> 4) * G_USEC_PER_SEC / track->timestamps.clock_hz);
    return true;
}

guint64 steno_rtp_unmatched(const StenoRtp *rtp)
{
    return rtp->unmatched;
}
