#include "step.h"
#include "track.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define BASE_US G_GINT64_CONSTANT(1795000000000000)
#define BASE_RTP G_GINT64_CONSTANT(-123456789)

/* A number in [0, 1) that is the same in every run. */
static double noise(guint seed)
{
    guint64 x = seed * G_GUINT64_CONSTANT(6364136223846793005) + G_GUINT64_CONSTANT(1442695040888963407);
    x ^= x >> 33;
    x *= G_GUINT64_CONSTANT(0xff51afd7ed558ccd);
    return (double)(x >> 40) / (double)(1 << 24);
}

typedef struct {
    guint n;
    double period_s;
    double ppm;                    /* the sender's clock is so much too slow */
    double symmetric_us, delay_us; /* of the evidence */
    guint32 hz;
} Case;

static gint64 rtp_at(const Case *c, double s)
{
    return BASE_RTP + (gint64)llround(s * c->hz * (1 - c->ppm / 1e6));
}

static GArray *evidence(const Case *c)
{
    GArray *points = g_array_new(FALSE, FALSE, sizeof(TimelinePoint));
    for (guint i = 0; i < c->n; i++) {
        double s = i * c->period_s;
        double late = (noise(2 * i) - 0.5) * 2 * c->symmetric_us + noise(2 * i + 1) * noise(2 * i + 7) * c->delay_us;
        TimelinePoint point = {rtp_at(c, s), BASE_US + (gint64)llround(s * 1e6 + late)};
        g_array_append_val(points, point);
    }
    return points;
}

static double worst_error_us(const Case *c, double quantile, double *ppm)
{
    g_autoptr(GArray) points = evidence(c);
    Timeline line;
    double worst = 0;
    timeline_fit(&line, (TimelinePoint *)(void *)points->data, points->len, c->hz, quantile);
    for (double s = 0; s <= c->n * c->period_s; s += 1)
        worst = MAX(worst, fabs((double)(timeline_wall_us(&line, rtp_at(c, s)) - BASE_US) - s * 1e6));
    *ppm = timeline_drift_ppm(&line);
    timeline_clear(&line);
    return worst;
}

/* Own error stays below 5 ms, whatever the reports are like; no drift is seen where there is none. */
static void test_lines(void **state)
{
    (void)state;
    static const struct {
        Case c;
        double quantile, error_us;
    } cases[] = {
        {{1, 1, 0, 500, 0, 90000}, 0.25, 1000},          /* one report */
        {{3, 5, 0, 1000, 0, 48000}, 0.25, 1500},         /* 15 s of a browser's */
        {{60, 1, 0, 1000, 0, 90000}, 0.25, 1500},        /* trembling */
        {{60, 1, 80, 1000, 0, 90000}, 0.25, 4000},       /* 5 ms a minute: not yet proven */
        {{720, 5, 80, 1000, 0, 90000}, 0.25, 2500},      /* an hour of it: 288 ms */
        {{720, 5, -200, 1000, 3000, 48000}, 0.25, 4000}, /* and of the fast kind, with late reports */
        {{720, 5, 0, 1000, 3000, 48000}, 0.25, 4000},
        {{3000, 0.02, 0, 0, 40000, 48000}, 0.05, 4000}, /* a minute of arrivals over a bad network, no reports */
    };
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        double ppm;
        double worst = worst_error_us(&cases[i].c, cases[i].quantile, &ppm);
        if (worst > cases[i].error_us)
            fail_msg("case %u: %.0f us off", i, worst);
        if (cases[i].c.n >= 720 && fabs(ppm - cases[i].c.ppm) > 3)
            fail_msg("case %u: %f ppm", i, ppm);
        if (cases[i].c.ppm == 0 && ppm != 0)
            fail_msg("case %u: %f ppm where there is no drift", i, ppm);
    }
}

/* A crystal that warms up: the drift itself changes, over two hours, from 0 to 60 ppm. */
static void test_bend(void **state)
{
    (void)state;
    g_autoptr(GArray) points = g_array_new(FALSE, FALSE, sizeof(TimelinePoint));
    for (guint i = 0; i < 1440; i++) {
        double s = i * 5.0;
        double clock = s - 60e-6 * s * s / 2 / 7200;
        TimelinePoint point = {(gint64)llround(clock * 90000), BASE_US + (gint64)(s * 1e6 + (noise(i) - 0.5) * 2000)};
        g_array_append_val(points, point);
    }
    Timeline line;
    timeline_fit(&line, (TimelinePoint *)(void *)points->data, points->len, 90000, 0.25);
    gint64 before = 0;
    for (double s = 0; s < 7200; s += 0.1) {
        double clock = s - 60e-6 * s * s / 2 / 7200;
        gint64 wall_us = timeline_wall_us(&line, (gint64)llround(clock * 90000)) - BASE_US;
        if (fabs((double)wall_us - s * 1e6) > 5000)
            fail_msg("%f s: %f ms off", s, ((double)wall_us - s * 1e6) / 1000);
        if (s > 0 && llabs(wall_us - before - 100000) > 50) /* no step anywhere: 500 ppm */
            fail_msg("%f s: a step of %" G_GINT64_FORMAT, s, wall_us - before);
        before = wall_us;
    }
    timeline_clear(&line);
}

/* Without proof of drift, intervals are those of the RTP clock to the microsecond. */
static void test_even(void **state)
{
    (void)state;
    const Case c = {30, 1, 0, 1000, 5000, 90000};
    g_autoptr(GArray) points = evidence(&c);
    Timeline line;
    timeline_fit(&line, (TimelinePoint *)(void *)points->data, points->len, c.hz, 0.25);
    for (gint64 i = 0; i < 900; i++) {
        gint64 step = timeline_wall_us(&line, BASE_RTP + (i + 1) * 3000) - timeline_wall_us(&line, BASE_RTP + i * 3000);
        assert_in_range(step, 33333, 33334);
    }
    timeline_clear(&line);
}

static void test_extremes(void **state)
{
    (void)state;
    const TimelinePoint points[] = {{G_MININT64 / 4, 0}, {G_MAXINT64 / 4, G_MAXINT64 / 4}, {0, -5}};
    Timeline line;
    timeline_fit(&line, points, G_N_ELEMENTS(points), 1, 0.5);
    assert_true(timeline_wall_us(&line, G_MAXINT64) <= (gint64)9e15);
    assert_true(timeline_wall_us(&line, G_MININT64) >= -(gint64)9e15);
    timeline_clear(&line);
}

static guint count_jumps(const gint64 *rtp_ts, const gint64 *arrival_us, guint n, guint *first)
{
    g_autoptr(GArray) starts = g_array_new(FALSE, FALSE, sizeof(guint));
    timeline_find_jumps(rtp_ts, arrival_us, n, 90000, starts);
    *first = starts->len ? g_array_index(starts, guint, 0) : 0;
    return starts->len;
}

static void test_jumps(void **state)
{
    (void)state;
    enum { N = 600 };
    gint64 rtp_ts[N], arrival_us[N];
    guint first;
    for (guint i = 0; i < N; i++) {
        rtp_ts[i] = i * 3000;
        arrival_us[i] = (gint64)i * 33333 + (gint64)(noise(i) * 60000);
    }
    assert_int_equal(count_jumps(rtp_ts, arrival_us, N, &first), 0);
    /* The network stands still for 1.5 s, then all comes at once: no jump. */
    for (guint i = 300; i < 345; i++)
        arrival_us[i] = 345 * 33333;
    assert_int_equal(count_jumps(rtp_ts, arrival_us, N, &first), 0);
    /* No frames for 5 s, by both clocks: no jump. */
    for (guint i = 450; i < N; i++) {
        rtp_ts[i] += 5 * 90000;
        arrival_us[i] += 5000000;
    }
    assert_int_equal(count_jumps(rtp_ts, arrival_us, N, &first), 0);
    /* The sender's clock stood still for 3 s, and another source begins 20 minutes on. */
    for (guint i = 200; i < N; i++)
        arrival_us[i] += 3000000;
    for (guint i = 500; i < N; i++)
        rtp_ts[i] += 1200 * 90000;
    assert_int_equal(count_jumps(rtp_ts, arrival_us, N, &first), 2);
    assert_int_equal(first, 200);
}

/* ---- steps of the sender's clock, through all of track_place() ----------------------------------------------------
 */

#define HZ 48000
#define STEPS_MAX 3
#define FRAME_S 0.02
#define OWN_ERROR_US 5000

/* What stepped, at a time of the true clock in s; by so much more or less the RTP clock is behind from then on. */
typedef struct {
    double at_s, by_s;
} ClockStep;

typedef struct {
    const char *name;
    double length_s, ppm, reports_s; /* between two reports */
    ClockStep steps[STEPS_MAX];
    ClockStep bad_report, late_reports, sender_clock; /* by_s: one is off, all of 6 s are, the reports' clock steps */
    guint stretches;
} StepCase;

/* The sender's RTP time at a true time. */
static gint64 stepped_rtp(const StepCase *c, double s)
{
    double behind = 0;
    for (guint i = 0; i < STEPS_MAX; i++)
        if (c->steps[i].by_s != 0 && s >= c->steps[i].at_s)
            behind += c->steps[i].by_s;
    return BASE_RTP + (gint64)llround((s * (1 - c->ppm / 1e6) - behind) * HZ);
}

static gint64 late_us(const StepCase *c, double s)
{
    return s >= c->late_reports.at_s && s < c->late_reports.at_s + 6 ? (gint64)(c->late_reports.by_s * 1e6) : 0;
}

/* Reports as Janus makes them: a few milliseconds off; a step's first one is held back (it may be a bad one). */
static void add_reports(const StepCase *c, ModelTrack *track)
{
    guint bad = (guint)(c->bad_report.at_s / c->reports_s);
    double last_s = 0;
    for (guint i = 0; i * c->reports_s < c->length_s; i++) {
        double s = i * c->reports_s + 0.007;
        gboolean stepped = FALSE;
        for (guint j = 0; j < STEPS_MAX; j++)
            stepped |= c->steps[j].by_s != 0 && last_s < c->steps[j].at_s && s >= c->steps[j].at_s;
        last_s = s;
        if (stepped)
            continue;
        gint64 error_us = (gint64)((noise(3 * i) - 0.5) * 8000) + late_us(c, s);
        if (c->bad_report.by_s != 0 && i == bad)
            error_us += (gint64)(c->bad_report.by_s * 1e6);
        if (c->sender_clock.by_s != 0 && s >= c->sender_clock.at_s)
            error_us += (gint64)(c->sender_clock.by_s * 1e6);
        gint64 true_us = BASE_US + (gint64)llround(s * 1e6);
        ModelClock clock = {.rtp_ts = stepped_rtp(c, s), .ntp_us = true_us + error_us, .arrival_us = true_us};
        g_array_append_val(track->clocks, clock);
    }
}

/* Frames with 15 ms of jitter, and none while the RTP clock stands still. */
static GArray *add_frames(const StepCase *c, TrackScan *scan)
{
    GArray *true_us = g_array_new(FALSE, FALSE, sizeof(gint64));
    double next_s = 0;
    for (guint i = 0; next_s < c->length_s; i++) {
        double s = next_s;
        next_s += FRAME_S;
        for (guint j = 0; j < STEPS_MAX; j++)
            if (c->steps[j].by_s > 0 && s < c->steps[j].at_s && next_s >= c->steps[j].at_s)
                next_s += c->steps[j].by_s;
        gint64 at_us = (gint64)llround(s * 1e6);
        gint64 arrival_us = at_us + (gint64)(noise(7 * i) * 15000) + late_us(c, s);
        IndexFrame frame = {.rtp_ts = stepped_rtp(c, s),
                            .wall_us = BASE_US + arrival_us,
                            .arrival_us = arrival_us,
                            .bytes = 10,
                            .samples = 960};
        g_array_append_val(scan->frames, frame);
        g_array_append_val(true_us, at_us);
    }
    return true_us;
}

static void check_steps(const StepCase *c)
{
    Model *model = model_new();
    model->zero_us = BASE_US;
    ModelTrack *track = model_track(model, model_part(model, 1), 1);
    track->clock_hz = HZ;
    track->codec = STENO_CODEC_PCMU; /* without Opus' delay */
    TrackScan *scan = g_new0(TrackScan, 1);
    scan->track = track;
    scan->frames = g_array_new(FALSE, FALSE, sizeof(IndexFrame));
    scan->segments = g_array_new(FALSE, FALSE, sizeof(ScanSegment));
    add_reports(c, track);
    g_autoptr(GArray) true_us = add_frames(c, scan);
    track_place(model, &scan, 1);
    guint stretches = 1;
    double worst_us = 0, at_s = 0;
    for (guint i = 0; i < scan->frames->len; i++) {
        const IndexFrame *frame = &g_array_index(scan->frames, IndexFrame, i);
        gint64 happened_us = g_array_index(true_us, gint64, i);
        stretches += (frame->flags & FRAME_STRETCH) != 0;
        if (fabs((double)(frame->at_us - happened_us)) > worst_us) {
            worst_us = fabs((double)(frame->at_us - happened_us));
            at_s = (double)happened_us / 1e6;
        }
    }
    if (worst_us > OWN_ERROR_US || stretches != c->stretches)
        fail_msg("%s: %.0f us off at %.2f s, %u stretches", c->name, worst_us, at_s, stretches);
    track_scan_free(scan);
    model_free(model);
}

/* Every frame on each side of a step is within 5 ms of when it happened. */
static void test_steps(void **state)
{
    (void)state;
    static const StepCase cases[] = {
        {"no step", 60, 0, 1, .stretches = 1},
        {"half a second of sound is missing", 60, 0, 1, {{30.31, 0.5}}, .stretches = 2},
        {"300 ms of it", 60, 0, 1, {{30.31, 0.3}}, .stretches = 2},
        {"RTP time leaps 300 ms", 60, 0, 1, {{30.31, -0.3}}, .stretches = 2},
        {"reports each 5 s", 120, 0, 5, {{61.93, 0.3}}, .stretches = 2},
        {"soon after the beginning", 60, 0, 1, {{2.6, 0.3}}, .stretches = 2},
        {"three steps", 90, 0, 1, {{20.21, 0.2}, {45.55, -0.35}, {70.01, 0.08}}, .stretches = 4},
        {"with drift", 1200, 150, 5, {{600.31, -0.3}}, .stretches = 2},
        {"drift alone", 1200, -150, 5, .stretches = 1},
        {"a bad report, early", 60, 0, 1, .bad_report = {33, -0.5}, .stretches = 1},
        {"a bad report, late", 60, 0, 1, .bad_report = {33, 3}, .stretches = 1},
        {"the first report is bad", 60, 0, 1, .bad_report = {0, -0.5}, .stretches = 1},
        {"the last report is bad", 8, 0, 1, .bad_report = {7, -0.5}, .stretches = 1},
        {"a bad report before a step", 60, 0, 1, {{30.31, 0.3}}, .bad_report = {30, -0.2}, .stretches = 2},
        {"a bad report after a step", 60, 0, 1, {{30.31, 0.3}}, .bad_report = {33, 0.9}, .stretches = 2},
    };
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++)
        check_steps(&cases[i]);
}

/* The line of each report of "0 0 0 9 9 9" and the like: a digit is how late it is, in units of 100 ms. */
static void check_lines(const char *late, const char *lines)
{
    TimelinePoint reports[32] = {{0}};
    gint line_of[32];
    guint n = (guint)strlen(late);
    g_assert(n <= G_N_ELEMENTS(reports));
    for (guint i = 0; i < n; i++)
        reports[i] = (TimelinePoint){i * HZ, BASE_US + i * (gint64)1000000 + (late[i] - '5') * (gint64)100000};
    step_sort_reports(reports, n, HZ, line_of);
    for (guint i = 0; i < n; i++)
        if (line_of[i] != (lines[i] == '-' ? STEP_ASTRAY : lines[i] - '0'))
            fail_msg("%s: report %u lies on line %d", late, i, line_of[i]);
}

static void test_report_lines(void **state)
{
    (void)state;
    check_lines("555555", "000000");
    check_lines("555666666666", "000111111111");
    check_lines("555444", "000111");
    check_lines("555955", "000-00"); /* a bad one */
    check_lines("855555", "-00000");
    check_lines("555559", "00000-");
    check_lines("555976666666666666",
                "000--1111111111111");       /* two bad ones in a row, of which neither confirms the other */
    check_lines("5556777655", "000-----00"); /* a queue that grows and drains is delay */
    check_lines("5556666666666666655", "0001111111111111122"); /* but not for that long */
    check_lines("1", "-");
    check_lines("19", "--");
    check_lines("1919", "----");
}

/* The sender's wall clock is set: reports step, arrivals do not, and nothing is torn. */
static void test_sender_sets_its_clock(void **state)
{
    (void)state;
    const StepCase c = {"set", 60, 0, 1, .sender_clock = {30, 0.004}, .stretches = 1};
    check_steps(&c);
    gint64 rtp_ts[3000], arrival_us[3000];
    for (guint i = 0; i < G_N_ELEMENTS(rtp_ts); i++) {
        rtp_ts[i] = i * 960;
        arrival_us[i] = (gint64)i * 20000 + (gint64)(noise(i) * 15000);
    }
    const StepFrames frames = {rtp_ts, arrival_us, G_N_ELEMENTS(rtp_ts), HZ};
    const TimelinePoint before = {29 * HZ, 29000000}, early = {31 * HZ, 30700000}, late = {31 * HZ, 31300000};
    guint first;
    assert_false(step_locate(&frames, 0, &before, &early, &first));
    assert_false(step_locate(&frames, 0, &before, &late, &first));
    for (guint i = 1520; i < G_N_ELEMENTS(rtp_ts); i++)
        arrival_us[i] += 300000;
    assert_false(step_locate(&frames, 0, &before, &early, &first));
    assert_true(step_locate(&frames, 0, &before, &late, &first));
    assert_int_equal(first, 1520);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),        cmocka_unit_test(test_bend),
        cmocka_unit_test(test_even),         cmocka_unit_test(test_extremes),
        cmocka_unit_test(test_jumps),        cmocka_unit_test(test_steps),
        cmocka_unit_test(test_report_lines), cmocka_unit_test(test_sender_sets_its_clock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
