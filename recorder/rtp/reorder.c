/*
 * The window of a track: packets that came before one that is missing. Nothing is in it while packets come in order; it
 * grows on demand and never shrinks, so that a track that has seen its worst allocates no more.
 */
#include "rtp_internal.h"

void rtp_window_start(RtpTrack *track, gint64 seq)
{
    track->window.next = seq;
    track->window.highest = seq - 1;
}

/* Numbers from … to must have slots of their own. */
static void reserve(RtpWindow *window, gint64 from, gint64 to)
{
    guint capacity = MAX(window->capacity, RTP_WINDOW_MIN_SLOTS);
    while (to - from >= capacity)
        capacity *= 2;
    if (capacity == window->capacity)
        return;
    RtpSlot *slots = g_new0(RtpSlot, capacity);
    for (gint64 seq = window->next; seq <= window->highest; seq++)
        slots[(guint64)seq & (capacity - 1)] = *rtp_window_slot(window, seq);
    g_free(window->slots);
    window->slots = slots;
    window->capacity = capacity;
}

static void mark_missing(RtpWindow *window, gint64 from, gint64 to, gint64 arrival_us)
{
    for (gint64 seq = from; seq <= to; seq++) {
        *rtp_window_slot(window, seq) = (RtpSlot){.missing_since_us = arrival_us};
        window->missing++;
    }
}

void rtp_window_insert(StenoRtp *rtp, RtpTrack *track, StenoPacket *packet, gint64 seq, bool resent)
{
    RtpWindow *window = &track->window;
    reserve(window, MIN(seq, window->next), MAX(seq, window->highest));
    RtpSlot *slot = rtp_window_slot(window, seq);
    if (seq > window->highest) {
        mark_missing(window, window->highest + 1, seq - 1, packet->arrival_us);
        window->highest = seq;
    } else if (seq < window->next) {
        mark_missing(window, seq + 1, window->next - 1, packet->arrival_us);
        window->next = seq;
        track->stats.reordered++;
    } else if (slot->packet) {
        track->stats.duplicates++;
        steno_packet_free(packet);
        return;
    } else {
        window->missing--;
        if (slot->tries > 0) {
            track->stats.recovered++;
            rtp_nack_answered(rtp, track, slot, packet->arrival_us, resent);
        } else {
            track->stats.reordered++;
        }
    }
    *slot = (RtpSlot){.packet = packet};
    packet->seq = seq;
    track->progress_us = packet->arrival_us;
    window->held++;
}

static void put_out(StenoRtp *rtp, RtpTrack *track)
{
    RtpWindow *window = &track->window;
    RtpSlot *slot = rtp_window_slot(window, window->next++);
    StenoPacket *packet = slot->packet;
    slot->packet = NULL;
    window->held--;
    rtp_output(rtp, track, packet);
}

/* The hole at next, up to the packet that follows it. */
static void give_up(RtpTrack *track, StenoGapCause cause)
{
    RtpWindow *window = &track->window;
    gint64 first = window->next;
    while (window->next <= window->highest && !rtp_window_slot(window, window->next)->packet) {
        rtp_history_set(track, window->next++, true);
        window->missing--;
    }
    rtp_output_gap(track, first, window->next - 1, cause);
}

/* From here on the source's numbers are known not to begin earlier: they go on where the one before ended. */
static void ensure_started(RtpTrack *track)
{
    if (track->started || track->fresh)
        return;
    track->started = true;
    track->seq_shift = track->any_out ? track->last_out_seq + 1 - track->window.next : 0;
}

void rtp_window_flush(StenoRtp *rtp, RtpTrack *track)
{
    RtpWindow *window = &track->window;
    ensure_started(track);
    while (window->held > 0 && rtp_window_slot(window, window->next)->packet)
        put_out(rtp, track);
}

void rtp_window_expire(StenoRtp *rtp, RtpTrack *track, gint64 since_us)
{
    RtpWindow *window = &track->window;
    rtp_window_flush(rtp, track);
    while (window->held > 0 && rtp_window_slot(window, window->next)->missing_since_us <= since_us) {
        give_up(track, STENO_GAP_LOST);
        rtp_window_flush(rtp, track);
    }
}

void rtp_window_make_room(StenoRtp *rtp, RtpTrack *track, gint64 seq)
{
    RtpWindow *window = &track->window;
    if (seq - window->next < STENO_RTP_REORDER_MAX_PACKETS)
        return;
    ensure_started(track);
    while (window->held > 0 && seq - window->next >= STENO_RTP_REORDER_MAX_PACKETS) {
        if (rtp_window_slot(window, window->next)->packet)
            put_out(rtp, track);
        else
            give_up(track, STENO_GAP_OVERFLOW);
    }
    rtp_window_flush(rtp, track);
}

void rtp_window_drain(StenoRtp *rtp, RtpTrack *track)
{
    rtp_window_expire(rtp, track, G_MAXINT64);
}

void rtp_window_skip(RtpTrack *track, gint64 before)
{
    RtpWindow *window = &track->window;
    gint64 first = window->next;
    for (gint64 seq = MAX(first, before - RTP_HISTORY_PACKETS); seq < before; seq++)
        rtp_history_set(track, seq, true);
    rtp_output_gap(track, first, before - 1, STENO_GAP_LOST);
    window->next = before;
    window->highest = before - 1;
}

void rtp_window_clear(RtpTrack *track)
{
    RtpWindow *window = &track->window;
    for (gint64 seq = window->next; window->held > 0 && seq <= window->highest; seq++) {
        RtpSlot *slot = rtp_window_slot(window, seq);
        if (slot->packet) {
            steno_packet_free(slot->packet);
            slot->packet = NULL;
            window->held--;
        }
    }
    window->missing = 0;
    window->next = window->highest + 1;
}
