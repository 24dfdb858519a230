#include "timeline.h"

#include <math.h>
#include <string.h>

/* A drift is believed when it moved the clock by more than this over the stretch. */
#define DRIFT_PROOF_US 3000.0
#define DRIFT_MIN_SPAN_S 30.0
/* A jump of the RTP clock against arrival; less is taken for delay, and does no harm. */
#define JUMP_US 400000
#define JUMP_WINDOW_US 2000000

typedef struct {
    double at_s, late_us;
} Residual;

static double rtp_seconds(gint64 rtp_ts, gint64 base, guint32 clock_hz)
{
    return ((double)rtp_ts - (double)base) / clock_hz;
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static int compare_residuals(const void *a, const void *b)
{
    double x = ((const Residual *)a)->at_s, y = ((const Residual *)b)->at_s;
    return (x > y) - (x < y);
}

/* The quantile of residuals[0 … n) after taking a slope off, and half the spread between its neighbours at ± 0.25. */
static double quantile_of(const Residual *residuals, gsize n, double slope, double quantile, double *spread)
{
    g_autofree double *values = g_new(double, n);
    for (gsize i = 0; i < n; i++)
        values[i] = residuals[i].late_us - slope * residuals[i].at_s;
    qsort(values, n, sizeof *values, compare_doubles);
    double position = quantile * (double)(n - 1);
    gsize low = (gsize)position;
    gsize high = MIN(low + 1, n - 1);
    if (spread) {
        gsize from = (gsize)(MAX(quantile - 0.25, 0.0) * (double)(n - 1));
        gsize until = (gsize)(MIN(quantile + 0.25, 1.0) * (double)(n - 1));
        *spread = (values[until] - values[from]) / 2;
    }
    return values[low] + (values[high] - values[low]) * (position - (double)low);
}

static double mean_time(const Residual *residuals, gsize n)
{
    double sum = 0;
    for (gsize i = 0; i < n; i++)
        sum += residuals[i].at_s;
    return sum / (double)n;
}

/* Drift between the first and the last third, or 0 when it is within what noise explains. */
static double proven_slope(const Residual *residuals, gsize n, double quantile)
{
    gsize third = n / 3;
    if (third < 2 || residuals[n - 1].at_s - residuals[0].at_s < DRIFT_MIN_SPAN_S)
        return 0;
    double early_spread, late_spread;
    const Residual *last = residuals + n - third;
    double early = quantile_of(residuals, third, 0, quantile, &early_spread);
    double late = quantile_of(last, third, 0, quantile, &late_spread);
    double span = mean_time(last, third) - mean_time(residuals, third);
    double slope = span > 0 ? (late - early) / span : 0;
    /* The spread of each third holds the drift within it; what the slope explains is not noise. */
    double noise = MAX(early_spread, late_spread) - fabs(slope) * span / 8;
    double proof = DRIFT_PROOF_US + 4 * MAX(noise, 0.0) / sqrt((double)third);
    if (fabs(late - early) < proof || fabs(slope) > TIMELINE_DRIFT_MAX_PPM)
        return 0;
    return slope;
}

/* Slow bends that a straight line does not follow: one knot a window, only where there are enough windows and bends. */
static GArray *bends(const Residual *residuals, gsize n, double slope, double offset, double quantile)
{
    if (residuals[n - 1].at_s - residuals[0].at_s < 3 * TIMELINE_WINDOW_S)
        return NULL;
    GArray *knots = g_array_new(FALSE, FALSE, sizeof(TimelineKnot));
    double worst = 0;
    for (gsize from = 0, until; from < n; from = until) {
        for (until = from + 1; until < n && residuals[until].at_s < residuals[from].at_s + TIMELINE_WINDOW_S; until++)
            ;
        if (until - from < 8) /* too few to say anything */
            continue;
        TimelineKnot knot = {
            .at_s = mean_time(residuals + from, until - from),
            .correction_us = quantile_of(residuals + from, until - from, slope, quantile, NULL) - offset,
        };
        worst = MAX(worst, fabs(knot.correction_us));
        g_array_append_val(knots, knot);
    }
    if (knots->len < 2 || worst < DRIFT_PROOF_US)
        g_clear_pointer(&knots, g_array_unref);
    return knots;
}

void timeline_fit(Timeline *timeline, const TimelinePoint *points, gsize n, guint32 clock_hz, double quantile)
{
    g_assert(n > 0 && clock_hz > 0);
    *timeline = (Timeline){.base_rtp = points[0].rtp_ts, .base_us = points[0].wall_us, .clock_hz = clock_hz};
    g_autofree Residual *residuals = g_new(Residual, n);
    for (gsize i = 0; i < n; i++) {
        double at = rtp_seconds(points[i].rtp_ts, timeline->base_rtp, clock_hz);
        residuals[i].at_s = at;
        residuals[i].late_us = (double)points[i].wall_us - (double)timeline->base_us - at * 1e6;
    }
    qsort(residuals, n, sizeof *residuals, compare_residuals);
    timeline->slope_us_per_s = proven_slope(residuals, n, quantile);
    timeline->offset_us = quantile_of(residuals, n, timeline->slope_us_per_s, quantile, NULL);
    timeline->knots = bends(residuals, n, timeline->slope_us_per_s, timeline->offset_us, quantile);
}

void timeline_clear(Timeline *timeline)
{
    g_clear_pointer(&timeline->knots, g_array_unref);
}

static double correction_at(const GArray *knots, double at)
{
    const TimelineKnot *knot = (const TimelineKnot *)(void *)knots->data;
    guint i = 1; /* before the first and after the last knot, the first and last pieces go on */
    while (i + 1 < knots->len && knot[i].at_s < at)
        i++;
    double part = (at - knot[i - 1].at_s) / (knot[i].at_s - knot[i - 1].at_s);
    return knot[i - 1].correction_us + part * (knot[i].correction_us - knot[i - 1].correction_us);
}

gint64 timeline_wall_us(const Timeline *timeline, gint64 rtp_ts)
{
    double at = rtp_seconds(rtp_ts, timeline->base_rtp, timeline->clock_hz);
    double us = at * (1e6 + timeline->slope_us_per_s) + timeline->offset_us;
    if (timeline->knots)
        us += correction_at(timeline->knots, at);
    double wall = (double)timeline->base_us + us;
    if (!(fabs(wall) < 9e15)) /* 285 years; also NaN */
        return wall < 0 ? -(gint64)9e15 : (gint64)9e15;
    return timeline->base_us + (gint64)llround(us);
}

double timeline_drift_ppm(const Timeline *timeline)
{
    return timeline->slope_us_per_s;
}

/* ---- jumps ------------------------------------------------------------------------------------------------------- */

static double lateness(const gint64 *rtp_ts, const gint64 *arrival_us, gsize i, guint32 clock_hz)
{
    return ((double)arrival_us[i] - (double)arrival_us[0]) - rtp_seconds(rtp_ts[i], rtp_ts[0], clock_hz) * 1e6;
}

static double least_lateness(const gint64 *rtp_ts, const gint64 *arrival_us, gsize n, guint32 clock_hz, gsize from,
                             int step)
{
    double least = lateness(rtp_ts, arrival_us, from, clock_hz);
    double window = (double)JUMP_WINDOW_US * clock_hz / 1e6;
    for (gsize i = from; i < n; i += (gsize)step) { /* stepping back ends by wrapping around */
        if (fabs((double)rtp_ts[i] - (double)rtp_ts[from]) > window)
            break;
        least = MIN(least, lateness(rtp_ts, arrival_us, i, clock_hz));
    }
    return least;
}

void timeline_find_jumps(const gint64 *rtp_ts, const gint64 *arrival_us, gsize n, guint32 clock_hz, GArray *starts)
{
    gsize stretch = 0;
    for (gsize i = 1; i < n; i++) {
        double step = lateness(rtp_ts, arrival_us, i, clock_hz) - lateness(rtp_ts, arrival_us, i - 1, clock_hz);
        if (fabs(step) < JUMP_US)
            continue;
        double before =
            least_lateness(rtp_ts + stretch, arrival_us + stretch, i - stretch, clock_hz, i - 1 - stretch, -1);
        double after = least_lateness(rtp_ts + stretch, arrival_us + stretch, n - stretch, clock_hz, i - stretch, 1);
        if (fabs(after - before) < JUMP_US)
            continue;
        guint start = (guint)i;
        g_array_append_val(starts, start);
        stretch = i;
    }
}
