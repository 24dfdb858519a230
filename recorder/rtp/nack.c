/*
 * Asking again: generic NACK (RFC 4585 §6.2.1). Each missing packet is asked for as soon as it is more than reordered,
 * and then each time an answer should have come, in growing steps, as long as the window waits for it: at 20 % loss of
 * both ways one try in three fails, so that ten tries leave one packet in 25 000.
 */
#include "rtp_internal.h"

#define FCI_MAX ((RTP_RTCP_MAX_BYTES - 200) / 4) /* a tick; the rest is due at the next */

/* When an answer should have come, with some room for jitter. */
static guint32 first_interval_us(const StenoRtp *rtp)
{
    gint64 most = MAX(rtp->config.reorder_us / 10, RTP_NACK_INTERVAL_MIN_US);
    return (guint32)CLAMP(rtp->rtt_us * 5 / 4, RTP_NACK_INTERVAL_MIN_US, most);
}

static bool is_due(const StenoRtp *rtp, const RtpWindow *window, const RtpSlot *slot, gint64 seq)
{
    if (slot->tries == 0)
        return window->highest - seq >= RTP_NACK_REORDER_PACKETS || slot->missing_since_us <= rtp->previous_tick_us;
    return rtp->now_us - slot->nack_us >= slot->nack_interval_us && slot->tries < G_MAXUINT8;
}

static void note_try(const StenoRtp *rtp, RtpSlot *slot)
{
    guint32 most = (guint32)MAX(rtp->config.reorder_us / 10, RTP_NACK_INTERVAL_MIN_US);
    slot->nack_interval_us =
        slot->tries == 0 ? first_interval_us(rtp) : MIN(slot->nack_interval_us + slot->nack_interval_us / 4, most);
    slot->nack_us = rtp->now_us;
    slot->tries++;
}

/* Packet id and bitmask of the 16 that follow it; returns how many were filled. */
static guint collect(StenoRtp *rtp, RtpTrack *track, guint32 *fci)
{
    RtpWindow *window = &track->window;
    guint count = 0;
    gint64 first = G_MININT64;
    for (gint64 seq = window->next; seq < window->highest; seq++) {
        RtpSlot *slot = rtp_window_slot(window, seq);
        if (slot->packet || !is_due(rtp, window, slot, seq))
            continue;
        if (count > 0 && seq - first <= 16) {
            fci[count - 1] |= 1u << (seq - first - 1);
        } else {
            if (count == FCI_MAX)
                break;
            fci[count++] = (guint32)(guint16)seq << 16;
            first = seq;
        }
        note_try(rtp, slot);
    }
    return count;
}

void rtp_nack_write(RtpRtcpWriter *writer, RtpTrack *track)
{
    if (!track->config.nack || track->window.missing == 0)
        return;
    guint32 fci[FCI_MAX];
    guint count = collect(writer->rtp, track, fci);
    if (count == 0)
        return;
    guint8 *at = rtp_rtcp_feedback(writer, 205, 1, track->ssrc, 4 * count);
    for (guint i = 0; i < count; i++)
        rtp_write32(at + 4 * i, fci[i]);
    track->stats.nacks_sent++;
}

void rtp_nack_answered(StenoRtp *rtp, const RtpTrack *track, const RtpSlot *slot, gint64 arrival_us, bool resent)
{
    if (track->rtx_ssrc && !resent)
        return; /* the original, late */
    gint64 sample_us = MAX(arrival_us - slot->nack_us, 0);
    if (slot->tries > 1) {
        /* Which try was answered? Too soon for the last one, it was that before; else nobody knows (Karn). */
        if (sample_us >= rtp->rtt_us * 3 / 4)
            return;
        sample_us += slot->nack_interval_us * 4 / 5;
    }
    sample_us = MIN(sample_us, rtp->config.reorder_us);
    rtp->rtt_us += (sample_us - rtp->rtt_us) / 8;
}
