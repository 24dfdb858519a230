#include "timeline.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),    cmocka_unit_test(test_bend),  cmocka_unit_test(test_even),
        cmocka_unit_test(test_extremes), cmocka_unit_test(test_jumps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
