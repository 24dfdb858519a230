/*
 * A sender, a link that loses, delays, reorders and doubles packets both ways, and the room at its end. Time is
 * simulated; seeds are fixed. Whatever the link does, the numbers from the first to the last are each exactly one of:
 * put out, in a gap, or padding; what is put out grows and is what was sent.
 */
#include "harness.h"

#include <stdlib.h>
#include <string.h>

#define MEDIA_INTERVAL_US 3000 /* 333 packets a second */
#define MEDIA_END_US (60 * G_USEC_PER_SEC)
#define MAX_PACKETS 40000

typedef struct {
    guint seed;
    double loss, back_loss, duplicates, reorder, padding;
    gint64 delay_us, jitter_us;
    bool rtx, nack;
} LinkShape;

typedef struct {
    gint64 at_us;
    guint32 number; /* of the sender's */
    bool rtx;
    guint16 rtx_seq;
} Flight;

typedef struct {
    const LinkShape *shape;
    Bench *bench;
    GRand *random;
    GArray *flights; /* Flight, unsorted: few at a time */
    GArray *asked;   /* Flight: a NACK on its way back */
    guint32 sent;    /* packets so far; number n has seq first + n */
    guint16 first, rtx_seq;
    bool padding[MAX_PACKETS], arrived[MAX_PACKETS];
} Link;

static void launch(Link *link, guint32 number, bool rtx)
{
    const LinkShape *shape = link->shape;
    guint16 rtx_seq = rtx ? link->rtx_seq++ : 0;
    guint copies = 1 + (g_rand_double(link->random) < shape->duplicates);
    for (guint i = 0; i < copies; i++) {
        if (g_rand_double(link->random) < shape->loss)
            continue;
        Flight flight = {.at_us = link->bench->now_us + shape->delay_us +
                                  (gint64)(g_rand_double(link->random) * (double)shape->jitter_us),
                         .number = number,
                         .rtx = rtx,
                         .rtx_seq = rtx_seq};
        if (g_rand_double(link->random) < shape->reorder)
            flight.at_us += g_rand_int_range(link->random, 1, 60000);
        g_array_append_val(link->flights, flight);
    }
}

static void on_asked(gpointer user, guint32 ssrc, guint16 seq)
{
    Link *link = user;
    assert_int_equal(ssrc, VIDEO_SSRC);
    guint32 behind = (guint16)((guint16)(link->first + link->sent - 1) - seq);
    assert_true(behind < link->sent); /* never for what was not sent */
    if (g_rand_double(link->random) < link->shape->back_loss)
        return;
    Flight back = {.at_us = link->bench->now_us + link->shape->delay_us, .number = link->sent - 1 - behind};
    g_array_append_val(link->asked, back);
}

static void on_sent(gpointer user, const guint8 *data, gsize bytes)
{
    for (gsize at = 0; at + 4 <= bytes;) {
        gsize length = 4 * (get16(data + at + 2) + 1u);
        if (data[at + 1] == 205 && (data[at] & 0x1f) == 1)
            each_nack(data + at, length, on_asked, user);
        at += length;
    }
}

static int by_time(const void *a, const void *b)
{
    const Flight *left = a, *right = b;
    return left->at_us < right->at_us ? -1 : left->at_us > right->at_us;
}

static void arrive(Link *link, const Flight *flight)
{
    guint16 seq = (guint16)(link->first + flight->number);
    gint64 now_us = link->bench->now_us;
    link->bench->now_us = flight->at_us;
    link->arrived[flight->number] = true;
    (void)bench_receive(link->bench, (Made){.seq = seq,
                                            .ts = flight->number * 270,
                                            .tag = flight->number,
                                            .padding_only = link->padding[flight->number],
                                            .rtx = flight->rtx,
                                            .rtx_seq = flight->rtx_seq});
    link->bench->now_us = now_us;
}

/* Everything up to now: what was sent, asked for and arrived; then the tick. */
static void step(Link *link, bool sending)
{
    Bench *bench = link->bench;
    gint64 end_us = bench->now_us + TICK_US;
    for (; sending && bench->now_us < end_us; bench->now_us += MEDIA_INTERVAL_US) {
        link->padding[link->sent] = link->sent > 0 && g_rand_double(link->random) < link->shape->padding;
        launch(link, link->sent++, false);
    }
    bench->now_us = end_us;
    for (guint i = 0; i < link->asked->len;) {
        Flight asked = g_array_index(link->asked, Flight, i);
        if (asked.at_us > end_us) {
            i++;
            continue;
        }
        g_array_remove_index_fast(link->asked, i);
        launch(link, asked.number, link->shape->rtx);
    }
    g_array_sort(link->flights, by_time);
    guint due = 0;
    while (due < link->flights->len && g_array_index(link->flights, Flight, due).at_us <= end_us)
        arrive(link, &g_array_index(link->flights, Flight, due++));
    if (due > 0)
        g_array_remove_range(link->flights, 0, due);
    steno_rtp_tick(bench->rtp, bench->now_us);
    g_ptr_array_set_size(bench->sent, 0);
}

static const LinkShape *shape_now; /* for edit(), which takes no user data */

static void edit(StenoRtpConfig *config, StenoRtpTrackConfig *video, StenoRtpTrackConfig *audio)
{
    (void)config, (void)audio;
    video->nack = shape_now->nack;
    if (!shape_now->rtx)
        video->rtx_ssrc = 0;
}

/* The partition, packet by packet. Returns how many were put out. */
static guint check(const Link *link)
{
    gint64 next = 0;
    bool any = false;
    guint put_out = 0, lost = 0;
    guint32 first_number = 0;
    for (guint i = 0; i < link->bench->out->len; i++) {
        const Out *out = &g_array_index(link->bench->out, Out, i);
        if (out->kind != OUT_PACKET && out->kind != OUT_GAP)
            continue;
        if (!any) {
            assert_int_equal(out->kind, OUT_PACKET); /* no gap at the start */
            first_number = out->tag;
            next = out->seq;
            any = true;
        }
        /* Between two outputs there is nothing but padding that came. */
        for (; next < out->seq; next++) {
            guint32 number = first_number + (guint32)(next - nth(link->bench, OUT_PACKET, 0)->seq);
            assert_true(link->padding[number] && link->arrived[number]);
        }
        assert_int_equal(out->seq, next);
        guint32 number = first_number + (guint32)(next - nth(link->bench, OUT_PACKET, 0)->seq);
        if (out->kind == OUT_PACKET) {
            assert_int_equal(out->tag, number);
            assert_int_equal(out->rtp_ts, (gint64)number * 270);
            assert_false(link->padding[number]);
            put_out++;
            next++;
        } else {
            assert_true(out->last_seq >= out->seq);
            lost += (guint)(out->last_seq - out->seq + 1);
            next = out->last_seq + 1;
        }
    }
    StenoRtpStats stats = stats_of(link->bench, VIDEO);
    assert_int_equal(stats.packets, put_out);
    assert_int_equal(stats.lost, lost);
    assert_int_equal(stats.held, 0);
    assert_int_equal(stats.resets, 0);
    assert_int_equal(stats.invalid, 0);
    return put_out;
}

/* Share of the media packets that were put out. */
static double run(const LinkShape *shape, StenoRtpStats *stats)
{
    shape_now = shape;
    Link *link = g_new0(Link, 1);
    link->shape = shape;
    link->bench = bench_start(edit);
    link->bench->on_sent = on_sent;
    link->bench->on_sent_user = link;
    link->random = g_rand_new_with_seed(shape->seed);
    link->flights = g_array_new(FALSE, FALSE, sizeof(Flight));
    link->asked = g_array_new(FALSE, FALSE, sizeof(Flight));
    link->first = (guint16)(65000 + shape->seed);
    link->rtx_seq = 65500;
    gint64 end_us = link->bench->now_us + MEDIA_END_US;
    while (link->bench->now_us < end_us)
        step(link, true);
    end_us += 3 * G_USEC_PER_SEC;
    while (link->bench->now_us < end_us)
        step(link, false);
    steno_rtp_drain(link->bench->rtp);
    guint put_out = check(link), media = 0;
    for (guint i = 0; i < link->sent; i++)
        media += !link->padding[i];
    *stats = stats_of(link->bench, VIDEO);
    double share = (double)put_out / media;
    print_message("loss %2.0f/%2.0f %% delay %3" G_GINT64_FORMAT " ms %s: %.4f %% of %u, recovered %" G_GUINT64_FORMAT
                  ", lost %" G_GUINT64_FORMAT ", duplicates %" G_GUINT64_FORMAT ", late %" G_GUINT64_FORMAT
                  ", nacks %" G_GUINT64_FORMAT "\n",
                  100 * shape->loss, 100 * shape->back_loss, shape->delay_us / 1000, shape->rtx ? "rtx  " : "plain",
                  100 * share, media, stats->recovered, stats->lost, stats->duplicates, stats->late, stats->nacks_sent);
    bench_free(link->bench);
    g_rand_free(link->random);
    g_array_unref(link->flights);
    g_array_unref(link->asked);
    g_free(link);
    return share;
}

static void test_recovery_at_10_percent(void **state)
{
    (void)state;
    StenoRtpStats stats;
    for (guint seed = 1; seed <= 4; seed++) {
        LinkShape shape = {.seed = seed,
                           .loss = 0.1,
                           .back_loss = seed % 2 ? 0.1 : 0,
                           .duplicates = 0.01,
                           .reorder = 0.05,
                           .padding = 0.02,
                           .delay_us = seed * 20000,
                           .jitter_us = 10000,
                           .rtx = seed > 2,
                           .nack = true};
        assert_true(run(&shape, &stats) >= 0.9999);
        assert_true(stats.recovered > 1500);
    }
}

static void test_recovery_at_20_percent(void **state)
{
    (void)state;
    StenoRtpStats stats;
    for (guint seed = 5; seed <= 8; seed++) {
        LinkShape shape = {.seed = seed,
                           .loss = 0.2,
                           .back_loss = 0.2,
                           .reorder = 0.02,
                           .delay_us = (seed - 4) * 25000,
                           .jitter_us = 5000,
                           .rtx = seed % 2,
                           .nack = true};
        assert_true(run(&shape, &stats) >= 0.999);
        assert_true(stats.duplicates < 5000); /* it learns how long an answer takes, and does not ask too early */
    }
}

static void test_long_delay(void **state)
{
    (void)state;
    StenoRtpStats stats;
    LinkShape shape = {
        .seed = 9, .loss = 0.1, .back_loss = 0.1, .delay_us = 200000, .jitter_us = 20000, .rtx = true, .nack = true};
    assert_true(run(&shape, &stats) >= 0.999);
}

static void test_accounting_without_recovery(void **state)
{
    (void)state;
    StenoRtpStats stats;
    for (guint seed = 10; seed < 16; seed++) {
        LinkShape shape = {.seed = seed,
                           .loss = 0.05 * (seed - 9),
                           .duplicates = 0.05,
                           .reorder = 0.1,
                           .padding = 0.1,
                           .delay_us = 30000,
                           .jitter_us = 30000};
        double share = run(&shape, &stats);
        assert_true(share < 1 - shape.loss * 0.8 && share > 1 - shape.loss * 1.2);
        assert_int_equal(stats.recovered, 0);
        assert_int_equal(stats.nacks_sent, 0);
    }
}

static void test_no_loss_asks_little(void **state)
{
    (void)state;
    StenoRtpStats stats;
    LinkShape shape = {.seed = 20, .delay_us = 20000, .jitter_us = 2000, .nack = true};
    assert_true(run(&shape, &stats) == 1.0);
    assert_int_equal(stats.nacks_sent, 0);
    assert_int_equal(stats.lost + stats.duplicates + stats.recovered, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_recovery_at_10_percent),
        cmocka_unit_test(test_recovery_at_20_percent),
        cmocka_unit_test(test_long_delay),
        cmocka_unit_test(test_accounting_without_recovery),
        cmocka_unit_test(test_no_loss_asks_little),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
