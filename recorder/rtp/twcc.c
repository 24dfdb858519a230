/*
 * Transport-wide congestion control feedback (draft-holmer-rmcat-transport-wide-cc-extensions-01): when each packet of
 * the transport arrived, so that the sender's estimate does not starve us.
 */
#include "rtp_internal.h"

#include <string.h>

#define DELTA_US 250
#define REFERENCE_US 64000
#define PACKETS_MAX 450 /* statuses a feedback: fits RTP_RTCP_MAX_BYTES with two bytes a delta */
#define RUN_MAX 8191

enum { NOT_RECEIVED, SMALL_DELTA, LARGE_DELTA };

static gint64 *slot_of(RtpTwcc *twcc, gint64 seq)
{
    return &twcc->arrival_us[(guint64)seq % RTP_TWCC_WINDOW];
}

static void record_first(RtpTwcc *twcc, guint16 seq)
{
    if (!twcc->arrival_us)
        twcc->arrival_us = g_new0(gint64, RTP_TWCC_WINDOW);
    else
        memset(twcc->arrival_us, 0, RTP_TWCC_WINDOW * sizeof *twcc->arrival_us);
    twcc->report_from = seq;
    twcc->highest = (gint64)seq - 1;
}

void rtp_twcc_record(StenoRtp *rtp, guint16 seq, guint32 ssrc, gint64 arrival_us)
{
    RtpTwcc *twcc = &rtp->twcc;
    if (!twcc->arrival_us)
        record_first(twcc, seq);
    gint64 step = (gint16)(guint16)(seq - (guint16)twcc->highest);
    gint64 extended = twcc->highest + step;
    if (step >= RTP_TWCC_WINDOW || step <= -RTP_TWCC_WINDOW) {
        record_first(twcc, seq);
        extended = seq;
        step = 1;
    }
    if (step > 0) {
        for (gint64 between = twcc->highest + 1; between < extended; between++)
            *slot_of(twcc, between) = 0;
        twcc->highest = extended;
        twcc->report_from = MAX(twcc->report_from, extended - RTP_TWCC_WINDOW + 1);
    } else if (step < -RTP_TWCC_BACK_MAX || *slot_of(twcc, extended) != 0) {
        return;
    } else {
        twcc->report_from = MIN(twcc->report_from, extended);
    }
    *slot_of(twcc, extended) = MAX(arrival_us, 1);
    twcc->media_ssrc = ssrc;
    twcc->pending = true;
}

/* One feedback packet in the making. */
typedef struct {
    gint64 base_seq, reference_us, previous_us;
    guint count, delta_bytes;
    guint8 status[PACKETS_MAX];
    guint8 deltas[2 * PACKETS_MAX];
} Feedback;

static void begin(Feedback *feedback, gint64 seq, gint64 arrival_us)
{
    feedback->base_seq = seq;
    feedback->reference_us = feedback->previous_us = arrival_us - arrival_us % REFERENCE_US;
    feedback->count = feedback->delta_bytes = 0;
}

/* FALSE when the packet does not fit this feedback any more. */
static bool add(Feedback *feedback, gint64 arrival_us)
{
    if (feedback->count == PACKETS_MAX)
        return false;
    if (arrival_us == 0) {
        feedback->status[feedback->count++] = NOT_RECEIVED;
        return true;
    }
    gint64 distance_us = arrival_us - feedback->previous_us;
    gint64 delta = (distance_us + (distance_us < 0 ? -DELTA_US / 2 : DELTA_US / 2)) / DELTA_US;
    if (delta < G_MININT16 || delta > G_MAXINT16)
        return false;
    if (delta >= 0 && delta <= G_MAXUINT8) {
        feedback->status[feedback->count++] = SMALL_DELTA;
        feedback->deltas[feedback->delta_bytes++] = (guint8)delta;
    } else {
        feedback->status[feedback->count++] = LARGE_DELTA;
        rtp_write16(&feedback->deltas[feedback->delta_bytes], (guint16)(gint16)delta);
        feedback->delta_bytes += 2;
    }
    feedback->previous_us += delta * DELTA_US; /* so that rounding does not add up */
    return true;
}

/* One status chunk (§3.1.1–3.1.4) for what starts at `from`; returns how many statuses it tells. */
static guint make_chunk(const Feedback *feedback, guint from, guint16 *chunk)
{
    const guint8 *status = feedback->status + from;
    guint left = feedback->count - from, run = 1, highest = 0;
    while (run < left && run < RUN_MAX && status[run] == status[0])
        run++;
    guint one_bit = MIN(left, 14), two_bit = MIN(left, 7);
    for (guint i = 0; i < one_bit; i++)
        highest = MAX(highest, status[i]);
    if (run >= 14 || run == left || (run >= 7 && highest > SMALL_DELTA)) {
        *chunk = (guint16)(status[0] << 13 | run);
        return run;
    }
    if (highest <= SMALL_DELTA) {
        *chunk = 0x8000;
        for (guint i = 0; i < one_bit; i++)
            *chunk |= (guint16)(status[i] << (13 - i));
        return one_bit;
    }
    *chunk = 0xc000;
    for (guint i = 0; i < two_bit; i++)
        *chunk |= (guint16)(status[i] << (12 - 2 * i));
    return two_bit;
}

static void write_feedback(RtpRtcpWriter *writer, const Feedback *feedback)
{
    RtpTwcc *twcc = &writer->rtp->twcc;
    guint16 chunks[PACKETS_MAX / 7 + 2];
    guint n_chunks = 0;
    for (guint from = 0; from < feedback->count;)
        from += make_chunk(feedback, from, &chunks[n_chunks++]);
    guint bytes = 8 + 2 * n_chunks + feedback->delta_bytes;
    guint padded = (bytes + 3) & ~3u;
    guint8 *at = rtp_rtcp_feedback(writer, 205, 15, twcc->media_ssrc, padded);
    rtp_write16(at, (guint16)feedback->base_seq);
    rtp_write16(at + 2, (guint16)feedback->count);
    rtp_write32(at + 4, (guint32)(feedback->reference_us / REFERENCE_US) << 8 | twcc->feedback_count++);
    at += 8;
    for (guint i = 0; i < n_chunks; i++, at += 2)
        rtp_write16(at, chunks[i]);
    memcpy(at, feedback->deltas, feedback->delta_bytes);
    memset(at + feedback->delta_bytes, 0, padded - bytes);
}

void rtp_twcc_write(RtpRtcpWriter *writer)
{
    StenoRtp *rtp = writer->rtp;
    RtpTwcc *twcc = &rtp->twcc;
    if (!twcc->pending || rtp->now_us - twcc->sent_us < RTP_TWCC_INTERVAL_US)
        return;
    Feedback feedback;
    feedback.count = 0;
    for (gint64 seq = twcc->report_from; seq <= twcc->highest; seq++) {
        gint64 arrival_us = *slot_of(twcc, seq);
        if (feedback.count > 0 && !add(&feedback, arrival_us)) {
            write_feedback(writer, &feedback);
            feedback.count = 0;
        }
        if (feedback.count == 0) {
            /* The reference is the arrival of the first packet that came. */
            gint64 first = seq;
            while (first < twcc->highest && *slot_of(twcc, first) == 0)
                first++;
            begin(&feedback, seq, *slot_of(twcc, first));
            (void)add(&feedback, arrival_us);
        }
    }
    if (feedback.count > 0)
        write_feedback(writer, &feedback);
    twcc->report_from = twcc->highest + 1;
    twcc->pending = false;
    twcc->sent_us = rtp->now_us;
}
