/* Frames of one participant → the recording's time, by all evidence there is. */
#include "step.h"
#include "track.h"

/* Sender reports within this time vote together on the offset between the sender's clock and ours. */
#define OFFSET_WINDOW_US (150 * (gint64)1000000)
/* Reports that differ by more are not of the same clock. */
#define OFFSET_KIN_US 500000
/* A line through sender reports that lies further off than this from what was seen live is not believed. */
#define BELIEF_US 5000000
/* A report may lie this much outside of the frames of its stretch. */
#define CLOCK_SLACK_S 30
/* A clock that steps more often in one stretch is none: no more lines than that. */
#define STEPS_MAX 1000
/* Frames that vote where there are no reports. */
#define EVIDENCE_MAX 20000
/* Reports are late by what the sender or a server needed to make them; arrivals by all that the network did. */
#define REPORT_QUANTILE 0.25
#define ARRIVAL_QUANTILE 0.05

typedef struct {
    guint from, until; /* frames */
    Timeline line;
} Stretch;

static IndexFrame *frame_at(const TrackScan *scan, guint index)
{
    return &g_array_index(scan->frames, IndexFrame, index);
}

/* The recorder's clock minus the sender's around a report: the least delayed of all its neighbours. */
static gint64 offset_near(TrackScan *const *scans, guint n, guint part, const ModelClock *clock)
{
    gint64 offset = clock->offset_us;
    for (guint i = 0; i < n; i++) {
        const ModelTrack *track = scans[i]->track;
        for (guint c = 0; track->part == part && c < track->clocks->len; c++) {
            const ModelClock *other = &g_array_index(track->clocks, ModelClock, c);
            if (ABS(other->ntp_us - clock->ntp_us) <= OFFSET_WINDOW_US &&
                ABS(other->offset_us - clock->offset_us) <= OFFSET_KIN_US)
                offset = MIN(offset, other->offset_us);
        }
    }
    return offset;
}

/* The points of the reports that belong to the stretch, in the order in which they came. */
static GArray *report_points(TrackScan *const *scans, guint n, const TrackScan *scan, const Stretch *stretch)
{
    const ModelTrack *track = scan->track;
    GArray *points = g_array_new(FALSE, FALSE, sizeof(TimelinePoint));
    gint64 slack = (gint64)CLOCK_SLACK_S * track->clock_hz;
    gint64 first = frame_at(scan, stretch->from)->rtp_ts;
    gint64 last = frame_at(scan, stretch->until - 1)->rtp_ts;
    gint64 earliest = first - slack, latest = last + slack;
    if (stretch->from > 0) /* between two stretches, a report is of the nearer one */
        earliest = MAX(earliest, (frame_at(scan, stretch->from - 1)->rtp_ts + first) / 2);
    if (stretch->until < scan->frames->len)
        latest = MIN(latest, (last + frame_at(scan, stretch->until)->rtp_ts) / 2);
    for (guint c = 0; c < track->clocks->len; c++) {
        const ModelClock *clock = &g_array_index(track->clocks, ModelClock, c);
        if (clock->rtp_ts < earliest || clock->rtp_ts > latest)
            continue;
        TimelinePoint point = {clock->rtp_ts, clock->ntp_us + offset_near(scans, n, track->part, clock)};
        g_array_append_val(points, point);
    }
    return points;
}

static GArray *frame_points(const TrackScan *scan, const Stretch *stretch)
{
    GArray *points = g_array_new(FALSE, FALSE, sizeof(TimelinePoint));
    guint step = 1 + (stretch->until - stretch->from) / EVIDENCE_MAX;
    for (guint i = stretch->from; i < stretch->until; i += step) {
        TimelinePoint point = {frame_at(scan, i)->rtp_ts, frame_at(scan, i)->wall_us};
        g_array_append_val(points, point);
    }
    return points;
}

static void fit(const TrackScan *scan, const GArray *reports, Stretch *stretch)
{
    guint32 hz = scan->track->clock_hz;
    const IndexFrame *first = frame_at(scan, stretch->from);
    if (reports->len > 0) {
        timeline_fit(&stretch->line, (TimelinePoint *)(void *)reports->data, reports->len, hz, REPORT_QUANTILE);
        if (ABS(timeline_wall_us(&stretch->line, first->rtp_ts) - first->wall_us) <= BELIEF_US)
            return;
        timeline_clear(&stretch->line);
    }
    g_autoptr(GArray) frames = frame_points(scan, stretch);
    timeline_fit(&stretch->line, (TimelinePoint *)(void *)frames->data, frames->len, hz, ARRIVAL_QUANTILE);
}

static void stretch_clear(gpointer data)
{
    timeline_clear(&((Stretch *)data)->line);
}

static void add_stretch(const TrackScan *scan, guint from, guint until, const GArray *reports, GArray *stretches)
{
    Stretch stretch = {.from = from, .until = until};
    fit(scan, reports, &stretch);
    g_array_append_val(stretches, stretch);
}

/*
 * One stretch by the arrivals; by the reports it may be more: each line that they lie on is one, so that a step of the
 * sender's clock moves only what comes after it.
 */
static void add_by_lines(const TrackScan *scan, const StepFrames *frames, guint from, const GArray *reports,
                         GArray *stretches)
{
    const TimelinePoint *points = (const TimelinePoint *)(void *)reports->data;
    g_autofree gint *line_of = g_new(gint, reports->len);
    if (reports->len == 0 || step_sort_reports(points, reports->len, frames->clock_hz, line_of) == 0) {
        add_stretch(scan, from, frames->n, reports, stretches);
        return;
    }
    g_autoptr(GArray) line = g_array_new(FALSE, FALSE, sizeof(TimelinePoint));
    gint number = STEP_ASTRAY;
    for (guint i = 0, steps = 0; i < reports->len; i++) {
        guint first;
        if (line_of[i] == STEP_ASTRAY)
            continue;
        if (number != line_of[i] && line->len > 0 && steps < STEPS_MAX) {
            steps++;
            if (step_locate(frames, from, &g_array_index(line, TimelinePoint, line->len - 1), &points[i], &first)) {
                add_stretch(scan, from, first, line, stretches);
                g_array_set_size(line, 0);
                from = first;
            }
        }
        number = line_of[i];
        g_array_append_val(line, points[i]);
    }
    add_stretch(scan, from, frames->n, line, stretches);
}

static GArray *find_stretches(TrackScan *const *scans, guint n_scans, const TrackScan *scan)
{
    guint n = scan->frames->len;
    g_autofree gint64 *rtp_ts = g_new(gint64, n);
    g_autofree gint64 *arrival_us = g_new(gint64, n);
    for (guint i = 0; i < n; i++) {
        rtp_ts[i] = frame_at(scan, i)->rtp_ts;
        arrival_us[i] = frame_at(scan, i)->arrival_us;
    }
    g_autoptr(GArray) starts = g_array_new(FALSE, FALSE, sizeof(guint));
    timeline_find_jumps(rtp_ts, arrival_us, n, scan->track->clock_hz, starts);
    GArray *stretches = g_array_new(FALSE, TRUE, sizeof(Stretch));
    g_array_set_clear_func(stretches, stretch_clear);
    for (guint i = 0; i <= starts->len && n > 0; i++) {
        Stretch stretch = {
            .from = i ? g_array_index(starts, guint, i - 1) : 0,
            .until = i < starts->len ? g_array_index(starts, guint, i) : n,
        };
        StepFrames frames = {rtp_ts, arrival_us, stretch.until, scan->track->clock_hz};
        g_autoptr(GArray) reports = report_points(scans, n_scans, scan, &stretch);
        add_by_lines(scan, &frames, stretch.from, reports, stretches);
    }
    return stretches;
}

/* How far a gap lies outside of the frames of a stretch, in ticks. */
static gint64 ticks_outside(const TrackScan *scan, const ModelGap *gap, const Stretch *stretch)
{
    gint64 before = frame_at(scan, stretch->from)->rtp_ts - gap->rtp_ts;
    gint64 after = gap->until_rtp_ts - frame_at(scan, stretch->until - 1)->rtp_ts;
    return MAX(MAX(before, after), 0);
}

static void place_gaps(const TrackScan *scan, const GArray *stretches)
{
    for (guint g = 0; g < scan->track->gaps->len; g++) {
        ModelGap *gap = &g_array_index(scan->track->gaps, ModelGap, g);
        if (gap->until_rtp_ts <= gap->rtp_ts)
            continue;
        const Stretch *nearest = NULL;
        gint64 least = scan->track->clock_hz; /* further away it has no place here */
        for (guint s = 0; s < stretches->len; s++) {
            const Stretch *stretch = &g_array_index(stretches, Stretch, s);
            gint64 outside = ticks_outside(scan, gap, stretch);
            if (outside < least || (!nearest && outside == least)) {
                nearest = stretch;
                least = outside;
            }
        }
        if (nearest) {
            gap->from_us = timeline_wall_us(&nearest->line, gap->rtp_ts);
            gap->until_us = timeline_wall_us(&nearest->line, gap->until_rtp_ts);
        }
    }
}

/* Each run of frames that refer to something missing is a hole in the picture. */
static void tell_undecodable(const TrackScan *scan)
{
    ModelGap gap = {.cause = STENO_GAP_NO_KEYFRAME};
    for (guint i = 0; i < scan->frames->len; i++) {
        const IndexFrame *frame = frame_at(scan, i);
        if (gap.frames > 0)
            gap.until_us = MAX(frame->wall_us, gap.from_us);
        if (frame->flags & FRAME_UNDECODABLE) {
            if (gap.frames++ == 0)
                gap.from_us = gap.until_us = frame->wall_us;
        } else if (gap.frames > 0) {
            g_array_append_val(scan->track->gaps, gap);
            gap.frames = 0;
        }
    }
    if (gap.frames > 0)
        g_array_append_val(scan->track->gaps, gap);
}

static gint compare_gaps(gconstpointer a, gconstpointer b)
{
    const ModelGap *x = a, *y = b;
    if (x->from_us != y->from_us)
        return (x->from_us > y->from_us) - (x->from_us < y->from_us);
    return (x->first_seq > y->first_seq) - (x->first_seq < y->first_seq);
}

static void place_frames(Model *model, TrackScan *scan, const GArray *stretches)
{
    gint64 delay = scan->track->codec == STENO_CODEC_OPUS ? TRACK_OPUS_DELAY_US : 0;
    guint unbelievable = 0, longest = 0;
    for (guint s = 0; s < stretches->len; s++) {
        const Stretch *stretch = &g_array_index(stretches, Stretch, s);
        if (stretch->until - stretch->from > longest) {
            longest = stretch->until - stretch->from;
            scan->drift_ppm = timeline_drift_ppm(&stretch->line);
        }
        if (s > 0)
            frame_at(scan, stretch->from)->flags |= FRAME_STRETCH;
        for (guint i = stretch->from; i < stretch->until; i++) {
            IndexFrame *frame = frame_at(scan, i);
            frame->wall_us = timeline_wall_us(&stretch->line, frame->rtp_ts);
            if (model->zero_us == 0)
                model->zero_us = frame->wall_us;
            if (model->begin_us == 0)
                model->begin_us = model->zero_us;
            frame->at_us = frame->wall_us - model->begin_us - delay;
            if (ABS(frame->at_us) > TRACK_SPAN_MAX_US) {
                frame->flags |= FRAME_BAD;
                unbelievable++;
                continue;
            }
            if (scan->first_us == 0 || frame->wall_us < scan->first_us)
                scan->first_us = frame->wall_us;
            scan->last_us = MAX(scan->last_us, frame->wall_us);
        }
    }
    if (unbelievable > 0)
        model_problem(model, "part %u, track %u: %u frames left out, their time cannot be", scan->track->part,
                      scan->track->number, unbelievable);
}

void track_place(Model *model, TrackScan *const *scans, guint n)
{
    for (guint i = 0; i < n; i++) {
        TrackScan *scan = scans[i];
        g_autoptr(GArray) stretches = find_stretches(scans, n, scan);
        place_frames(model, scan, stretches);
        place_gaps(scan, stretches);
        tell_undecodable(scan);
        g_array_sort(scan->track->gaps, compare_gaps);
    }
}
