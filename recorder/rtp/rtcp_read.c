/* What the sender reports: SR, SDES and BYE (RFC 3550 §6); everything else is skipped by its length. */
#include "rtp_internal.h"

#include <errno.h>

#define SR_BYTES 28
#define SDES_CNAME 1

static void read_sender_report(StenoRtp *rtp, const guint8 *data, gsize bytes, gint64 arrival_us)
{
    if (bytes < SR_BYTES)
        return;
    guint32 ssrc = rtp_read32(data + 4);
    RtpTrack *track = rtp_demux_ssrc(rtp, ssrc);
    if (!track || (track->heard ? ssrc != track->ssrc : ssrc != track->config.ssrc))
        return;
    guint64 ntp = (guint64)rtp_read32(data + 8) << 32 | rtp_read32(data + 12);
    /* The first one is answered at once: from our answer the sender learns the round trip time. */
    track->report_at_once |= track->reception.last_sr == 0;
    track->reception.last_sr = (guint32)(ntp >> 16);
    track->reception.last_sr_us = arrival_us;
    rtp_clock_report(rtp, track, ssrc, ntp, rtp_read32(data + 16), arrival_us);
}

/* One chunk; returns its bytes, 0 when it is malformed. */
static gsize read_chunk(StenoRtp *rtp, const guint8 *data, gsize bytes)
{
    if (bytes < 8)
        return 0;
    RtpTrack *track = rtp_demux_ssrc(rtp, rtp_read32(data));
    gsize at = 4;
    while (at < bytes && data[at] != 0) {
        if (at + 2 > bytes || at + 2 + data[at + 1] > bytes)
            return 0;
        if (data[at] == SDES_CNAME && track)
            rtp_clock_name(rtp, track, (const char *)data + at + 2, data[at + 1]);
        at += 2 + data[at + 1];
    }
    return at < bytes ? (at + 4) & ~(gsize)3 : 0; /* the terminating zero, to the next 32 bits */
}

static void read_description(StenoRtp *rtp, const guint8 *data, gsize bytes)
{
    gsize at = 4;
    for (guint chunks = data[0] & 0x1f; chunks > 0 && at < bytes; chunks--) {
        gsize used = read_chunk(rtp, data + at, bytes - at);
        if (used == 0)
            return;
        at += used;
    }
}

static void read_bye(StenoRtp *rtp, const guint8 *data, gsize bytes)
{
    guint sources = data[0] & 0x1f;
    for (guint i = 0; i < sources && 8 + 4 * (gsize)i <= bytes; i++) {
        guint32 ssrc = rtp_read32(data + 4 + 4 * (gsize)i);
        const RtpTrack *track = rtp_demux_ssrc(rtp, ssrc);
        if (track && track->heard && ssrc == track->ssrc)
            rtp->events.bye(rtp->user, track->config.track);
    }
}

int steno_rtp_receive_rtcp(StenoRtp *rtp, const guint8 *data, gsize bytes, gint64 arrival_us)
{
    gsize at = 0;
    while (at < bytes) {
        if (bytes - at < 4 || data[at] >> 6 != 2)
            return -EBADMSG;
        gsize length = 4 * ((gsize)rtp_read16(data + at + 2) + 1);
        if (length > bytes - at)
            return -EBADMSG;
        gsize padding = data[at] & 0x20 ? data[at + length - 1] : 0;
        if (padding > length - 4)
            return -EBADMSG;
        switch (data[at + 1]) {
        case 200:
            read_sender_report(rtp, data + at, length - padding, arrival_us);
            break;
        case 202:
            read_description(rtp, data + at, length - padding);
            break;
        case 203:
            read_bye(rtp, data + at, length - padding);
            break;
        default: /* RR, APP, feedback for senders, XR … */
            break;
        }
        at += length;
    }
    return bytes > 0 ? 0 : -EBADMSG;
}
