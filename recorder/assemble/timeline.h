/*
 * timeline: RTP timestamps of one continuous stretch of a track → the recorder's wall clock.
 *
 * The live mapping (frames' wall_us) jumps when the first sender report comes and trembles with each. Here all evidence
 * is there at once, so that one smooth line is laid through it: intervals between frames stay as even as the sender's
 * clock.
 *
 * Where the sender's clock jumped (seen by arrivals, below) or stepped (seen by reports, step.h), one stretch ends and
 * the next begins with a line of its own: no frame pays for what happened after it. A step that leaves a hole in the
 * recording's time is filled by the feeds: silence, or the last picture. One that goes back would put frames onto time
 * that is already taken. Nothing is dropped for it and no packet passes another: sound slides, each packet as near to
 * its time as a quarter of the one before it allows, until it has caught up (0.3 s in 1.2 s; AAC, where samples are
 * squeezed below what is heard, 25 ms a second); pictures are on time as soon as theirs comes.
 */
#ifndef STENO_ASSEMBLE_TIMELINE_H
#define STENO_ASSEMBLE_TIMELINE_H

#include <glib.h>

/* Crystals are within 100 ppm; what is 20 times as far off is no clock. */
#define TIMELINE_DRIFT_MAX_PPM 2000.0
/* A window of the slow corrections to the line: temperature moves a crystal over minutes. */
#define TIMELINE_WINDOW_S 300.0

/* One piece of evidence: at this RTP time it was that late. Delay only ever adds to wall_us. */
typedef struct {
    gint64 rtp_ts;  /* extended */
    gint64 wall_us; /* recorder's wall clock */
} TimelinePoint;

typedef struct {
    double at_s, correction_us;
} TimelineKnot;

typedef struct {
    gint64 base_rtp, base_us;
    guint32 clock_hz;
    double offset_us;      /* at base_rtp */
    double slope_us_per_s; /* drift: 0 when the evidence does not prove any */
    GArray *knots;         /* of TimelineKnot, or NULL */
} Timeline;

/*
 * Lays the line through the points; n ≥ 1. quantile (0–1) says which part of the points lies on the line: less than a
 * half where delay pollutes them. The caller frees with timeline_clear().
 */
void timeline_fit(Timeline *timeline, const TimelinePoint *points, gsize n, guint32 clock_hz, double quantile);
void timeline_clear(Timeline *timeline);

/* Wall-clock time of an RTP timestamp, in µs. Saturates where the arithmetic would overflow. */
gint64 timeline_wall_us(const Timeline *timeline, gint64 rtp_ts);
double timeline_drift_ppm(const Timeline *timeline);

/*
 * Finds where the sender's RTP clock began anew (other source, jump): the arrival moves against the RTP time for good,
 * and not only until a queue has drained. Appends to `starts` (of guint) the index of the first frame of each stretch
 * but the first one.
 */
void timeline_find_jumps(const gint64 *rtp_ts, const gint64 *arrival_us, gsize n, guint32 clock_hz, GArray *starts);

#endif
