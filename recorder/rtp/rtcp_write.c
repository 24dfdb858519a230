/*
 * What we report: RR and SDES (RFC 3550 §6.4.2, §6.5), PLI (RFC 4585 §6.3.1), FIR (RFC 5104 §4.3.1) and REMB.
 *
 * Each track has compounds of its own, and each begins with the track's own report block, as browsers do it. Janus
 * takes the medium of a whole compound from its first report block: a NACK behind another track's block would be looked
 * up in that track's history, and a track that no report has named first has no history at all.
 */
#include "rtp_internal.h"

#include <string.h>

#define REPORT_BLOCK_BYTES 24
#define REMB_SSRCS_MAX 255

static void flush(RtpRtcpWriter *writer)
{
    StenoRtp *rtp = writer->rtp;
    if (writer->used > 0)
        rtp->events.send_rtcp(rtp->user, writer->data, writer->used);
    writer->used = 0;
}

static guint8 *append(RtpRtcpWriter *writer, guint8 type, guint8 count, guint bytes)
{
    guint8 *at = writer->data + writer->used;
    writer->used += bytes;
    at[0] = 0x80 | count;
    at[1] = type;
    rtp_write16(at + 2, (guint16)(bytes / 4 - 1));
    rtp_write32(at + 4, writer->rtp->config.local_ssrc);
    return at + 8;
}

static void append_description(RtpRtcpWriter *writer)
{
    const char *cname = writer->rtp->config.cname;
    guint length = (guint)strlen(cname);
    guint bytes = (8 + 2 + length + 4) & ~3u; /* at least one zero ends the chunk */
    guint8 *at = append(writer, 202, 1, bytes);
    memset(at, 0, bytes - 8);
    at[0] = 1; /* CNAME */
    at[1] = (guint8)length;
    memcpy(at + 2, cname, length);
}

/* RFC 3550 §6.4.1 and A.3. */
static void write_report_block(const StenoRtp *rtp, RtpTrack *track, guint8 *at)
{
    RtpReception *reception = &track->reception;
    guint64 expected = (guint64)(track->window.highest - reception->base_seq + 1);
    gint64 lost = (gint64)expected - (gint64)reception->received;
    gint64 expected_since = (gint64)(expected - reception->expected_prior);
    gint64 lost_since = expected_since - (gint64)(reception->received - reception->received_prior);
    guint fraction = expected_since > 0 && lost_since > 0 ? (guint)((lost_since << 8) / expected_since) : 0;
    reception->expected_prior = expected;
    reception->received_prior = reception->received;
    gint64 since_sr_us = reception->last_sr ? MAX(rtp->now_us - reception->last_sr_us, 0) : 0;
    rtp_write32(at, track->ssrc);
    rtp_write32(at + 4, MIN(fraction, 255) << 24 | ((guint32)CLAMP(lost, -0x800000, 0x7fffff) & 0xffffff));
    rtp_write32(at + 8, (guint32)track->window.highest);
    rtp_write32(at + 12, reception->jitter_q4 >> 4);
    rtp_write32(at + 16, reception->last_sr);
    rtp_write32(at + 20, (guint32)(since_sr_us * 65536 / G_USEC_PER_SEC));
}

/* RFC 3550 §6.1: a compound begins with a report, be it empty, and a CNAME. */
static void open_compound(RtpRtcpWriter *writer)
{
    RtpTrack *subject = writer->subject;
    guint8 *at = append(writer, 201, subject ? 1 : 0, 8 + (subject ? REPORT_BLOCK_BYTES : 0));
    if (subject) {
        write_report_block(writer->rtp, subject, at);
        subject->reported = true;
        subject->report_at_once = false;
        subject->reported_us = writer->rtp->now_us;
    }
    append_description(writer);
}

guint8 *rtp_rtcp_reserve(RtpRtcpWriter *writer, guint bytes)
{
    if (writer->used + bytes > sizeof writer->data)
        flush(writer);
    if (writer->used == 0 && (writer->subject || !writer->rtp->config.reduced_size))
        open_compound(writer);
    return writer->data + writer->used;
}

guint8 *rtp_rtcp_feedback(RtpRtcpWriter *writer, guint8 type, guint8 format, guint32 media_ssrc, guint fci_bytes)
{
    (void)rtp_rtcp_reserve(writer, 12 + fci_bytes);
    guint8 *at = append(writer, type, format, 12 + fci_bytes);
    rtp_write32(at, media_ssrc);
    return at + 4;
}

/* draft-alvestrand-rmcat-remb-03 §2.2 */
static void write_remb(RtpRtcpWriter *writer)
{
    StenoRtp *rtp = writer->rtp;
    guint32 ssrcs[REMB_SSRCS_MAX];
    guint count = 0;
    for (guint i = 0; i < rtp->n_tracks && count < REMB_SSRCS_MAX; i++)
        if (rtp->tracks[i]->config.remb && rtp->tracks[i]->heard)
            ssrcs[count++] = rtp->tracks[i]->ssrc;
    if (count == 0)
        return;
    guint32 mantissa = rtp->config.remb_bps, exponent = 0;
    for (; mantissa >= 1u << 18; mantissa >>= 1)
        exponent++;
    guint8 *at = rtp_rtcp_feedback(writer, 206, 15, 0, 8 + 4 * count);
    memcpy(at, "REMB", 4);
    rtp_write32(at + 4, count << 24 | exponent << 18 | mantissa);
    for (guint i = 0; i < count; i++)
        rtp_write32(at + 8 + 4 * i, ssrcs[i]);
}

static void write_keyframe_request(RtpRtcpWriter *writer, RtpTrack *track)
{
    StenoRtp *rtp = writer->rtp;
    guint32 ssrc = track->heard ? track->ssrc : track->config.ssrc;
    if (!track->keyframe_wanted || ssrc == 0)
        return;
    if (track->keyframe_ever && rtp->now_us - track->keyframe_us < RTP_KEYFRAME_INTERVAL_US)
        return;
    track->keyframe_wanted = false;
    if (track->config.pli) {
        (void)rtp_rtcp_feedback(writer, 206, 1, ssrc, 0);
    } else if (track->config.fir) {
        guint8 *at = rtp_rtcp_feedback(writer, 206, 4, 0, 8);
        rtp_write32(at, ssrc);
        rtp_write32(at + 4, (guint32)track->fir_seq++ << 24);
    } else {
        return;
    }
    track->keyframe_ever = true;
    track->keyframe_us = rtp->now_us;
    track->stats.plis_sent++;
}

/* From the first packet on, then each interval in which something came. */
static bool report_is_due(const StenoRtp *rtp, const RtpTrack *track)
{
    if (!track->reported || track->report_at_once)
        return true;
    return rtp->now_us - track->reported_us >= RTP_REPORT_INTERVAL_US &&
           track->reception.received != track->reception.received_prior;
}

static void write_track(RtpRtcpWriter *writer, RtpTrack *track)
{
    bool heard = track->heard && !track->fresh;
    writer->subject = heard ? track : NULL;
    if (heard && report_is_due(writer->rtp, track))
        open_compound(writer);
    rtp_nack_write(writer, track);
    write_keyframe_request(writer, track);
    flush(writer);
}

void rtp_rtcp_write(StenoRtp *rtp)
{
    RtpRtcpWriter writer; /* not zeroed: it is large, and written before it is read */
    writer.rtp = rtp;
    writer.used = 0;
    for (guint i = 0; i < rtp->n_tracks; i++)
        write_track(&writer, rtp->tracks[i]);
    writer.subject = NULL;
    /* From the first packet on: the sender's estimate of what we can take is best told early. */
    if (rtp->any_packet && (!rtp->remb_sent || rtp->now_us - rtp->remb_us >= RTP_REPORT_INTERVAL_US)) {
        rtp->remb_sent = true;
        rtp->remb_us = rtp->now_us;
        write_remb(&writer);
    }
    rtp_twcc_write(&writer);
    flush(&writer);
}
