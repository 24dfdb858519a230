/*
 * step: where the sender's RTP clock stepped against its reports' clock (a sound card that stood still, a pipeline that
 * was drained, another source). The reports before and after lie on two lines; one line through both would be wrong on
 * each side. Reports say that and how far, arrivals of frames say where.
 */
#ifndef STENO_ASSEMBLE_STEP_H
#define STENO_ASSEMBLE_STEP_H

#include "timeline.h"

/* Further off the line than that is a step, or a bad report; reports of servers tremble by a few milliseconds. */
#define STEP_LEAST_US 40000.0
/* A report that lies on no line. */
#define STEP_ASTRAY (-1)

/*
 * Sorts reports, in the order in which they came, by the line they lie on: line_of[i] becomes 0, 1, … or STEP_ASTRAY.
 * Two reports in a row make a line, so that a bad one never does. What is late for some seconds and then is not any
 * more was delay, and is astray. Returns how many lines there are; 0 when no two reports agree.
 */
guint step_sort_reports(const TimelinePoint *reports, gsize n, guint32 clock_hz, gint *line_of);

/* Frames of one stretch, in the order of the file. */
typedef struct {
    const gint64 *rtp_ts, *arrival_us;
    guint n;
    guint32 clock_hz;
} StepFrames;

/* How late a report is against one at the same RTP time but on the other's line, in µs: what the clock stepped by. */
double step_between(const TimelinePoint *before, const TimelinePoint *after, guint32 clock_hz);

/*
 * The first frame after the step that lies between two reports, among the frames [from, n). FALSE when the arrivals
 * know nothing of it: then it was not the RTP clock that stepped, but the clock that the reports are made by.
 */
gboolean step_locate(const StepFrames *frames, guint from, const TimelinePoint *before, const TimelinePoint *after,
                     guint *first);

#endif
