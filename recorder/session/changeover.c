/*
 * The network thread's half of a rotation: each track goes from one capture to the next between two frames, sound at
 * the seam, a picture where it can be seen from. What the next part needs of it goes over first; when there is no room
 * for that, the track stays where it is until there is.
 */
#include "decrypt.h"

#include "steno/base/clock.h"

#include <string.h>

static gboolean is_behind(const NetTrack *track)
{
    return track->capture != track->peer->net->capture;
}

gboolean session_changeover_repeat_format(const NetTrack *track, StenoFrameRing *ring, gint64 wall_us)
{
    const StenoFrame *old = track->format;
    if (!old)
        return TRUE;
    StenoFrame *format = steno_frame_new(track->peer->net->frames, STENO_FRAME_FORMAT, old->payload_bytes);
    if (!format)
        return FALSE;
    format->codec = old->codec;
    format->track = old->track;
    format->rtp_ts = old->rtp_ts;
    format->wall_us = wall_us;
    format->arrival_us = old->arrival_us;
    format->format = old->format;
    format->encrypted = old->encrypted;
    format->payload_bytes = old->payload_bytes;
    if (old->payload_bytes)
        memcpy(format->payload, old->payload, old->payload_bytes);
    if (steno_frame_ring_push(ring, format))
        return TRUE;
    steno_frame_unref(format);
    return FALSE;
}

/* Figures count from each part's beginning. */
static void count_anew(NetTrack *track)
{
    session_stats_tell_track(track);
    (void)steno_rtp_stats(track->peer->rtp, track->number, &track->rtp_before);
    session_stats_of_codec(track, &track->codec_before);
    if (track->decryption)
        track->sealed_before = session_decrypt_change_over(track->decryption);
}

static void repeat_clocks(const NetTrack *track)
{
    guint n = MIN(track->n_clocks, SESSION_CLOCKS_KEPT);
    for (guint i = track->n_clocks - n; i < track->n_clocks; i++)
        session_wiring_tell_clock(track, &track->clocks[i % SESSION_CLOCKS_KEPT]);
}

/* next: the frame that will be the first of the next part; NULL: whichever comes. */
static gboolean change_over(NetTrack *track, const StenoFrame *next)
{
    Net *net = track->peer->net;
    StenoFrameRing *ring = steno_capture_ring(net->capture);
    if (next && track->overflow_frames > 0 && !session_wiring_tell_overflow(track, next))
        return FALSE;
    /* The next part's file of the track begins with the format that is in force. */
    if (!session_changeover_repeat_format(track, ring, next ? next->wall_us : net->rotation.seam_wall_us))
        return FALSE;
    if (track->capture)
        count_anew(track);
    track->capture = net->capture;
    track->ring = ring;
    repeat_clocks(track);
    return TRUE;
}

void session_changeover_frame(NetTrack *track, const StenoFrame *frame)
{
    /* In a sealed picture no key frame can be seen: it goes on in the new file as it is. */
    gboolean key = frame->kind == STENO_FRAME_MEDIA && (frame->keyframe || frame->encrypted);
    if (is_behind(track) && frame->kind == STENO_FRAME_MEDIA &&
        frame->wall_us >= track->peer->net->rotation.seam_wall_us && (key || !track->plan->rtp.video))
        (void)change_over(track, frame);
    if (key)
        track->wants_keyframe = FALSE;
}

void session_changeover_break(NetTrack *track)
{
    const Net *net = track->peer->net;
    gint64 now_us = steno_clock_mono_to_wall_us(steno_clock_mono_us());
    if (net->rotation.running && now_us >= net->rotation.seam_wall_us && is_behind(track))
        (void)change_over(track, NULL);
}

void session_changeover_heard_clock(NetTrack *track, const StenoRtpClockSample *sample)
{
    track->clocks[track->n_clocks++ % SESSION_CLOCKS_KEPT] = *sample;
}

/* ---- the tick ---------------------------------------------------------------------------------------------------- */

/* A picture that goes on without a key frame can be seen in the new file from its next one on. */
static void cut(NetTrack *track)
{
    if (!change_over(track, NULL))
        return;
    track->wants_keyframe = TRUE;
    steno_notice(track->peer->net->log,
                 "track=%u: no key frame came in time for the rotation; in files of sections, its picture begins late",
                 track->number);
}

/* After the seam: those that nothing comes of change over, and those whose key frame does not come. TRUE: it is over.
 */
static gboolean move(NetTrack *track, gint64 wall_us)
{
    Net *net = track->peer->net;
    gboolean idle = !track->flowing || !track->begun || track->dropped || net->paused;
    if (idle && change_over(track, NULL))
        track->wants_keyframe = track->begun && track->plan->rtp.video;
    else if (!idle && wall_us >= net->rotation.give_up_wall_us)
        cut(track);
    return !is_behind(track);
}

static void request_keyframes(NetPeer *peer)
{
    for (guint i = 0; i < peer->tracks->len; i++) {
        const NetTrack *track = peer->tracks->pdata[i];
        if (track->flowing && !track->dropped && (track->wants_keyframe || is_behind(track)))
            session_wiring_want_keyframe(track);
    }
}

static gboolean move_all(NetPeer *peer, gint64 wall_us)
{
    gboolean all = TRUE;
    for (guint i = 0; i < peer->tracks->len; i++) {
        NetTrack *track = peer->tracks->pdata[i];
        all &= !is_behind(track) || move(track, wall_us);
    }
    return all;
}

void session_changeover_tick(Net *net, gint64 now_us)
{
    gint64 wall_us = steno_clock_mono_to_wall_us(now_us);
    GHashTableIter iter;
    NetPeer *peer;
    if (net->rotation.running && wall_us >= net->rotation.seam_wall_us) {
        gboolean all = TRUE;
        g_hash_table_iter_init(&iter, net->peers);
        while (g_hash_table_iter_next(&iter, NULL, (gpointer *)&peer))
            all &= move_all(peer, wall_us);
        net->rotation.running = !all;
        if (all)
            session_net_tell_changed_over(net);
    }
    if (net->paused || wall_us < net->rotation.seam_wall_us ||
        now_us - net->rotation.last_request_us < SESSION_KEYFRAME_AGAIN_US)
        return;
    net->rotation.last_request_us = now_us;
    g_hash_table_iter_init(&iter, net->peers);
    while (g_hash_table_iter_next(&iter, NULL, (gpointer *)&peer))
        request_keyframes(peer);
}

/* ---- beginning and taking back ----------------------------------------------------------------------------------- */

void session_changeover_begin(Net *net, StenoCapture *next, gint64 seam_wall_us, gint64 give_up_wall_us)
{
    net->capture = next;
    net->rotation.running = TRUE;
    net->rotation.seam_wall_us = seam_wall_us;
    net->rotation.give_up_wall_us = give_up_wall_us;
    net->rotation.last_request_us = 0;
}

gboolean session_changeover_cancel(Net *net, StenoCapture *old)
{
    GHashTableIter iter;
    NetPeer *peer;
    if (!net->rotation.running)
        return FALSE;
    g_hash_table_iter_init(&iter, net->peers);
    while (g_hash_table_iter_next(&iter, NULL, (gpointer *)&peer)) {
        for (guint i = 0; i < peer->tracks->len; i++) {
            if (!is_behind(peer->tracks->pdata[i]))
                return FALSE;
        }
    }
    net->capture = old;
    net->rotation.running = FALSE;
    return TRUE;
}
