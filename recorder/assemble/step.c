#include "step.h"

#include <math.h>
#include <stdlib.h>

/* Two reports that lie this near each other confirm each other. */
#define AGREE_US 20000.0
/* What two clocks part by in the time between two reports. */
#define DRIFT_US_PER_S 200.0
/* A line is where its last reports are. */
#define LEVEL_REPORTS 3
/* Lateness that goes away within this was delay. */
#define DELAY_MAX_S 10.0
#define DELAY_REPORTS_MAX 32
/* A server may make a report of a time between two frames: the step is looked for this far outside of the reports. */
#define MARGIN_S 1
/* Frames on each side that tell how late they usually are. */
#define LEVEL_FRAMES 100
/* A frame that far behind the later report ends the search for it. */
#define SEARCH_S 10

typedef struct {
    double at_s, late_us;
} Row;

typedef struct {
    double late_us[LEVEL_REPORTS]; /* of the last reports on the line */
    guint n, next;
    double at_s; /* of the last one */
} Level;

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, gsize n)
{
    qsort(values, n, sizeof *values, compare_doubles);
    return values[n / 2];
}

static double drift_us(double from_s, double until_s)
{
    return DRIFT_US_PER_S * fabs(until_s - from_s);
}

static void level_take(Level *level, const Row *row)
{
    level->late_us[level->next] = row->late_us;
    level->next = (level->next + 1) % LEVEL_REPORTS;
    level->n = MIN(level->n + 1, LEVEL_REPORTS);
    level->at_s = row->at_s;
}

/* How far a report is above (late) or below the line. */
static double off_level(const Level *level, const Row *row)
{
    double values[LEVEL_REPORTS];
    for (guint i = 0; i < level->n; i++)
        values[i] = level->late_us[i];
    return row->late_us - median(values, level->n);
}

static gboolean on_level(const Level *level, const Row *row)
{
    return fabs(off_level(level, row)) <= STEP_LEAST_US + drift_us(level->at_s, row->at_s);
}

static gboolean agree(const Row *rows, gsize i, gsize n)
{
    return i + 1 < n &&
           fabs(rows[i + 1].late_us - rows[i].late_us) <= AGREE_US + drift_us(rows[i].at_s, rows[i + 1].at_s);
}

/* Do the reports come back to the line soon, after having been late? */
static gboolean was_delay(const Level *level, const Row *rows, gsize i, gsize n)
{
    if (off_level(level, &rows[i]) < 0)
        return FALSE;
    gsize until = MIN(n, i + DELAY_REPORTS_MAX);
    for (gsize j = i + 1; j < until && rows[j].at_s - rows[i].at_s <= DELAY_MAX_S; j++)
        if (on_level(level, &rows[j]) && (j + 1 == n || on_level(level, &rows[j + 1])))
            return TRUE;
    return FALSE;
}

guint step_sort_reports(const TimelinePoint *reports, gsize n, guint32 clock_hz, gint *line_of)
{
    g_autofree Row *rows = g_new(Row, n);
    for (gsize i = 0; i < n; i++) {
        rows[i].at_s = ((double)reports[i].rtp_ts - (double)reports[0].rtp_ts) / clock_hz;
        rows[i].late_us = (double)reports[i].wall_us - (double)reports[0].wall_us - rows[i].at_s * 1e6;
    }
    Level level = {.n = 0};
    guint lines = 0;
    for (gsize i = 0; i < n; i++) {
        line_of[i] = STEP_ASTRAY;
        if (level.n == 0 || !on_level(&level, &rows[i])) {
            if (!agree(rows, i, n) || (level.n > 0 && was_delay(&level, rows, i, n)))
                continue;
            level = (Level){.n = 0};
            lines++;
        }
        line_of[i] = (gint)lines - 1;
        level_take(&level, &rows[i]);
    }
    return lines;
}

double step_between(const TimelinePoint *before, const TimelinePoint *after, guint32 clock_hz)
{
    return (double)after->wall_us - (double)before->wall_us -
           ((double)after->rtp_ts - (double)before->rtp_ts) / clock_hz * 1e6;
}

static double lateness(const StepFrames *frames, guint i)
{
    return (double)frames->arrival_us[i] - (double)frames->arrival_us[0] -
           ((double)frames->rtp_ts[i] - (double)frames->rtp_ts[0]) / frames->clock_hz * 1e6;
}

static double usual_lateness(const StepFrames *frames, guint from, guint until)
{
    double values[LEVEL_FRAMES];
    gsize n = MIN(until - from, LEVEL_FRAMES);
    for (gsize i = 0; i < n; i++)
        values[i] = lateness(frames, from + (guint)i);
    return median(values, n);
}

/* The first frame of [from, n) that is later than the report, and one after the last that is not. RTP time may go back.
 */
static guint first_after(const StepFrames *frames, guint from, gint64 rtp_ts)
{
    while (from < frames->n && frames->rtp_ts[from] <= rtp_ts)
        from++;
    return from;
}

static guint last_until(const StepFrames *frames, guint from, gint64 rtp_ts)
{
    gint64 far = rtp_ts + (gint64)SEARCH_S * frames->clock_hz;
    guint end = from;
    for (guint i = from; i < frames->n && frames->rtp_ts[i] <= far; i++)
        if (frames->rtp_ts[i] <= rtp_ts)
            end = i + 1;
    return end;
}

gboolean step_locate(const StepFrames *frames, guint from, const TimelinePoint *before, const TimelinePoint *after,
                     guint *first)
{
    double step = step_between(before, after, frames->clock_hz);
    if (frames->n < from + 2 || fabs(step) < STEP_LEAST_US / 2)
        return FALSE;
    gint64 margin = (gint64)MARGIN_S * frames->clock_hz;
    guint begin = CLAMP(first_after(frames, from, before->rtp_ts - margin), from + 1, frames->n - 1);
    guint old = CLAMP(first_after(frames, begin, before->rtp_ts), begin, frames->n - 1);
    guint new = CLAMP(last_until(frames, begin, after->rtp_ts), begin, frames->n - 1);
    guint end = CLAMP(last_until(frames, new, after->rtp_ts + margin), new, frames->n - 1);
    double early = usual_lateness(frames, old - from > LEVEL_FRAMES ? old - LEVEL_FRAMES : from, old);
    double late = usual_lateness(frames, new, frames->n);
    /* Delay changes too, but not by chance just when the clock stepped, as far and the other way. */
    if ((late - early) / step < 0.5)
        return FALSE;
    /* The split that leaves the least distance to both sides' usual lateness. */
    double sum = 0, least = 0;
    *first = begin;
    for (guint i = begin; i < end; i++) {
        double at = lateness(frames, i);
        sum += fabs(at - early) - fabs(at - late);
        if (sum < least) {
            least = sum;
            *first = i + 1;
        }
    }
    return TRUE;
}
