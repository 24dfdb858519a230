/*
 * RTP time → wall clock. Two steps: a line through the last sender reports of the track gives the sender's clock (and
 * so follows the drift of its sampling clock), and the least delay seen between the sender's clock and ours gives the
 * rest. The second is shared by all tracks with one CNAME, so that they stay in sync whatever the network does to one
 * of them.
 */
#include "rtp_internal.h"

#include "steno/base/clock.h"

#include <stdlib.h>
#include <string.h>

#define FIT_US 40000                       /* a report this near the line belongs to it */
#define PLAUSIBLE_US (10 * G_USEC_PER_SEC) /* a report must fit the arrival of the packets it speaks of */
#define STEP_US G_USEC_PER_SEC             /* more than delay: somebody set a clock */
#define DRIFT_MAX 500e-6                   /* of the sender's sampling clock; more is a fault of the reports */
#define DRIFT_MIN_POINTS 4
#define DRIFT_MIN_US (10 * G_USEC_PER_SEC)
#define FORGET_US_PER_S 200 /* the least delay may grow so fast: above the drift of any two clocks */

static void sender_unref(RtpSenderClock *sender)
{
    if (sender && --sender->references == 0) {
        g_free(sender->cname);
        g_free(sender);
    }
}

static RtpSenderClock *sender_new(const char *cname, gsize bytes)
{
    RtpSenderClock *sender = g_new0(RtpSenderClock, 1);
    sender->references = 1;
    sender->cname = cname ? g_strndup(cname, bytes) : NULL;
    return sender;
}

void rtp_clock_restart(RtpTrack *track)
{
    RtpTrackClock *clock = &track->clock;
    clock->n_points = 0;
    clock->has_suspect = false;
    clock->has_anchor = false;
}

void rtp_clock_clear(RtpTrack *track)
{
    sender_unref(track->clock.sender);
    track->clock.sender = NULL;
}

static gint64 sender_us(const RtpTrackClock *clock, gint64 rtp_ts)
{
    return clock->base_ntp_us + (gint64)((double)(rtp_ts - clock->base_rtp_ts) * clock->us_per_tick);
}

/* Least squares through the points; the nominal rate until they tell more. */
static void draw_line(RtpTrackClock *clock, guint32 clock_hz)
{
    const RtpClockPoint *newest = &clock->points[clock->newest];
    double x = 0, y = 0, xx = 0, xy = 0, n = clock->n_points;
    gint64 oldest_ntp_us = newest->ntp_us;
    for (guint i = 0; i < clock->n_points; i++) {
        x += (double)(clock->points[i].rtp_ts - newest->rtp_ts) / n;
        y += (double)(clock->points[i].ntp_us - newest->ntp_us) / n;
        oldest_ntp_us = MIN(oldest_ntp_us, clock->points[i].ntp_us);
    }
    for (guint i = 0; i < clock->n_points; i++) {
        double dx = (double)(clock->points[i].rtp_ts - newest->rtp_ts) - x;
        xx += dx * dx;
        xy += dx * ((double)(clock->points[i].ntp_us - newest->ntp_us) - y);
    }
    double nominal = (double)G_USEC_PER_SEC / clock_hz;
    double slope = xx > 0 ? xy / xx : nominal;
    double drift = slope / nominal - 1;
    if (clock->n_points < DRIFT_MIN_POINTS || newest->ntp_us - oldest_ntp_us < DRIFT_MIN_US || drift > DRIFT_MAX ||
        drift < -DRIFT_MAX)
        slope = nominal;
    clock->us_per_tick = slope;
    clock->base_rtp_ts = newest->rtp_ts;
    clock->base_ntp_us = newest->ntp_us + (gint64)(y - slope * x);
}

static void add_point(RtpTrackClock *clock, RtpClockPoint point, guint32 clock_hz)
{
    clock->newest = clock->n_points == 0 ? 0 : (clock->newest + 1) % RTP_CLOCK_REPORTS;
    clock->points[clock->newest] = point;
    clock->n_points = MIN(clock->n_points + 1, RTP_CLOCK_REPORTS);
    draw_line(clock, clock_hz);
}

/* TRUE when the point was taken: it is on the line, or a second one confirms that the line is another now. */
static bool take_point(RtpTrackClock *clock, RtpClockPoint point, guint32 clock_hz)
{
    if (clock->n_points == 0 || llabs(sender_us(clock, point.rtp_ts) - point.ntp_us) <= FIT_US) {
        clock->has_suspect = false;
        if (clock->n_points > 0 && point.ntp_us <= clock->points[clock->newest].ntp_us)
            return false; /* out of order or said twice */
        add_point(clock, point, clock_hz);
        return true;
    }
    bool confirmed = false;
    if (clock->has_suspect && point.ntp_us > clock->suspect.ntp_us) {
        gint64 rtp_us = (point.rtp_ts - clock->suspect.rtp_ts) * G_USEC_PER_SEC / clock_hz;
        confirmed = llabs(point.ntp_us - clock->suspect.ntp_us - rtp_us) <= FIT_US;
    }
    if (!confirmed) {
        clock->has_suspect = true;
        clock->suspect = point;
        return false;
    }
    clock->has_suspect = false;
    clock->n_points = 0;
    add_point(clock, clock->suspect, clock_hz);
    add_point(clock, point, clock_hz);
    return true;
}

/* A track whose delay is seconds away from that of its CNAME has another clock: some servers give all the same CNAME.
 */
static void leave_sender(RtpTrackClock *clock)
{
    sender_unref(clock->sender);
    clock->sender = sender_new(NULL, 0);
    clock->stranger = true;
}

/* One more sample of arrival − sender's clock; the least is that with the least delay in it. */
static void sample_offset(RtpTrackClock *clock, gint64 sample_us, gint64 arrival_us, bool anew)
{
    if (!clock->sender)
        clock->sender = sender_new(NULL, 0);
    RtpSenderClock *sender = clock->sender;
    bool step = sender->known && llabs(sample_us - sender->offset_us) > STEP_US;
    if (step && anew && sender->references > 1 && clock->generation != sender->generation) {
        leave_sender(clock);
        sender = clock->sender;
        step = false;
    }
    if (!sender->known || (step && (anew || sample_us < sender->offset_us))) {
        sender->known = true;
        sender->generation++;
        sender->offset_us = sample_us;
    } else if (sample_us <= sender->offset_us) {
        sender->offset_us = sample_us;
    } else {
        gint64 rise_us = MAX(arrival_us - sender->updated_us, 0) * FORGET_US_PER_S / G_USEC_PER_SEC;
        sender->offset_us += MIN(sample_us - sender->offset_us, rise_us);
    }
    sender->updated_us = arrival_us;
    clock->generation = sender->generation;
}

void rtp_clock_report(StenoRtp *rtp, RtpTrack *track, guint32 ssrc, guint64 ntp, guint32 rtp_ts, gint64 arrival_us)
{
    RtpTrackClock *clock = &track->clock;
    const RtpTimestamps *last = &track->timestamps;
    if (ntp == 0)
        return; /* RFC 3550 §6.4.1: a sender without a clock */
    if (!last->known || last->restart) {
        clock->early.waiting = true;
        clock->early.ssrc = ssrc;
        clock->early.rtp_ts = rtp_ts;
        clock->early.ntp = ntp;
        clock->early.arrival_us = arrival_us;
        return;
    }
    gint64 distance = (gint32)(rtp_ts - last->wire);
    gint64 expected_us = arrival_us - last->arrival_us;
    if (llabs(distance * G_USEC_PER_SEC / last->clock_hz - expected_us) > PLAUSIBLE_US)
        return;
    RtpClockPoint point = {.rtp_ts = last->extended + distance, .ntp_us = steno_clock_ntp_to_wall_us(ntp)};
    guint before = clock->n_points;
    if (!take_point(clock, point, last->clock_hz))
        return;
    gint64 sample_us = steno_clock_mono_to_wall_us(arrival_us) - point.ntp_us;
    sample_offset(clock, sample_us, arrival_us, before == 0 || clock->n_points < before);
    clock->offset_us = clock->sender->offset_us;
    StenoRtpClockSample sample = {
        .rtp_ts = point.rtp_ts, .ntp_wall_us = point.ntp_us, .arrival_us = arrival_us, .offset_us = clock->offset_us};
    rtp->events.clock(rtp->user, track->config.track, &sample);
}

void rtp_clock_anchor(StenoRtp *rtp, RtpTrack *track, gint64 rtp_ts, gint64 arrival_us)
{
    RtpTrackClock *clock = &track->clock;
    clock->has_anchor = true;
    clock->anchor_rtp_ts = rtp_ts;
    clock->anchor_wall_us = steno_clock_mono_to_wall_us(arrival_us);
    if (clock->early.waiting && clock->early.ssrc == track->ssrc)
        rtp_clock_report(rtp, track, track->ssrc, clock->early.ntp, clock->early.rtp_ts, clock->early.arrival_us);
    clock->early.waiting = false;
}

void rtp_clock_name(StenoRtp *rtp, RtpTrack *track, const char *cname, gsize bytes)
{
    RtpTrackClock *clock = &track->clock;
    RtpSenderClock *sender = clock->sender;
    if (clock->stranger || bytes == 0)
        return;
    if (sender && sender->cname && strlen(sender->cname) == bytes && memcmp(sender->cname, cname, bytes) == 0)
        return;
    RtpSenderClock *shared = NULL;
    for (guint i = 0; i < rtp->n_tracks && !shared; i++) {
        RtpSenderClock *other = rtp->tracks[i]->clock.sender;
        if (other && other->cname && strlen(other->cname) == bytes && memcmp(other->cname, cname, bytes) == 0)
            shared = other;
    }
    if (shared && sender && sender->known && shared->known && llabs(sender->offset_us - shared->offset_us) > STEP_US) {
        clock->stranger = true;
        return;
    }
    if (!shared) {
        shared = sender_new(cname, bytes);
        if (sender) {
            shared->known = sender->known;
            shared->generation = sender->generation;
            shared->offset_us = sender->offset_us;
            shared->updated_us = sender->updated_us;
        }
    } else {
        shared->references++;
        if (shared->known && clock->n_points > 0)
            clock->generation = shared->generation;
        if (shared->known && sender && sender->known)
            shared->offset_us = MIN(shared->offset_us, sender->offset_us);
    }
    sender_unref(sender);
    clock->sender = shared;
}

gint64 rtp_clock_wall_us(const RtpTrack *track, gint64 rtp_ts)
{
    const RtpTrackClock *clock = &track->clock;
    if (clock->n_points > 0) {
        bool current = clock->sender && clock->sender->known && clock->sender->generation == clock->generation;
        return sender_us(clock, rtp_ts) + (current ? clock->sender->offset_us : clock->offset_us);
    }
    if (!clock->has_anchor || track->timestamps.clock_hz == 0)
        return 0;
    return clock->anchor_wall_us +
           (rtp_ts - clock->anchor_rtp_ts) * G_USEC_PER_SEC / (gint64)track->timestamps.clock_hz;
}
