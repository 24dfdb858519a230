/* Pictures: as they came, on their times. A hole holds the last frame, which needs no packet. */
#include "annexb.h"
#include "feed.h"

#include <stdlib.h>
#include <string.h>

#define VIDEO_HZ 90000
/* What the last frame lasts when there is no other to compare with. */
#define LAST_FRAME_TICKS (VIDEO_HZ / 30)
/* A frame that is earlier than the one before by no more than this was reordered (B-frames); more is another clock. */
#define REORDER_MAX_TICKS VIDEO_HZ
/* With B-frames, at least one of so many steps goes back; at a layer switch one of hundreds does, by the SFU's guess.
 */
#define REORDER_ONE_OF 16

typedef struct {
    Feed feed;
    FeedReader reader;
    GArray *items;
    guint next;
    gint64 last_ticks; /* what the last frame lasts */
    const ScanSegment *segment;
} VideoFeed;

static int compare_times(const void *a, const void *b)
{
    gint64 x = *(const gint64 *)a, y = *(const gint64 *)b;
    return (x > y) - (x < y);
}

/* Does the encoder reorder? Else what goes back is a clock's fault, and pictures must stay in their order. */
static gboolean has_b_frames(const GArray *items, guint from, guint until)
{
    guint back = 0;
    for (guint i = from + 1; i < until; i++)
        back += g_array_index(items, FeedItem, i).pts < g_array_index(items, FeedItem, i - 1).pts;
    return back > (until - from) / REORDER_ONE_OF;
}

/*
 * Decode times for [from, until), one stretch: the presentation times in order, early enough for every frame. Without
 * B-frames that is the presentation time itself.
 */
static void derive_dts(GArray *items, guint from, guint until)
{
    g_autofree gint64 *sorted = g_new(gint64, until - from + 1);
    for (guint i = from; i < until; i++)
        sorted[i - from] = g_array_index(items, FeedItem, i).pts;
    qsort(sorted, until - from, sizeof *sorted, compare_times);
    gint64 delay = 0;
    for (guint i = from; i < until; i++)
        delay = MAX(delay, sorted[i - from] - g_array_index(items, FeedItem, i).pts);
    if (delay > REORDER_MAX_TICKS)
        return;
    for (guint i = from; i < until; i++)
        g_array_index(items, FeedItem, i).dts = sorted[i - from] - delay;
}

/* Decode times that only grow, and none after its presentation. */
static void make_monotonic(GArray *items)
{
    gint64 last = G_MININT64;
    for (guint i = 0; i < items->len; i++) {
        FeedItem *item = &g_array_index(items, FeedItem, i);
        if (item->pts < 0) { /* a clock estimated a little early */
            item->dts -= item->pts;
            item->pts = 0;
        }
        item->dts = MIN(item->dts, item->pts);
        if (last != G_MININT64)
            item->dts = MAX(item->dts, last + FEED_MIN_STEP);
        item->pts = MAX(item->pts, item->dts);
        last = item->dts;
    }
}

static void order(const PlanStream *stream, GArray *items)
{
    gboolean may_reorder = stream->codec == STENO_CODEC_H264 || stream->codec == STENO_CODEC_H265;
    for (guint from = 0, until; may_reorder && from < items->len; from = until) {
        guint run = g_array_index(items, FeedItem, from).run;
        for (until = from + 1; until < items->len; until++) {
            const FeedItem *item = &g_array_index(items, FeedItem, until);
            if (item->run != run || feed_frame(stream, item)->flags & FRAME_STRETCH)
                break;
        }
        if (has_b_frames(items, from, until))
            derive_dts(items, from, until);
    }
    make_monotonic(items);
}

static gint64 median_step(const GArray *items)
{
    if (items->len < 2)
        return LAST_FRAME_TICKS;
    g_autofree gint64 *steps = g_new(gint64, items->len - 1);
    for (guint i = 1; i < items->len; i++)
        steps[i - 1] = g_array_index(items, FeedItem, i).dts - g_array_index(items, FeedItem, i - 1).dts;
    qsort(steps, items->len - 1, sizeof *steps, compare_times);
    return steps[(items->len - 1) / 2];
}

/* The first frame after a change of parameter sets must bring them, also when they were told out of band. */
static gboolean fill_packet(VideoFeed *self, const ScanSegment *segment, const StenoCaptureFrame *frame,
                            AVPacket *packet)
{
    gsize before = 0;
    if (self->feed.stream->parameters_change && segment != self->segment &&
        !annexb_has_parameters(self->feed.stream->codec, frame->payload, frame->payload_bytes))
        before = segment->parameters_bytes;
    self->segment = segment;
    if (before + frame->payload_bytes > G_MAXINT32 || av_new_packet(packet, (int)(before + frame->payload_bytes)) < 0)
        return FALSE;
    if (before)
        memcpy(packet->data, segment->parameters, before);
    memcpy(packet->data + before, frame->payload, frame->payload_bytes);
    return TRUE;
}

static gboolean video_next(Feed *feed, AVPacket *packet, GError **error)
{
    VideoFeed *self = (VideoFeed *)feed;
    if (self->next >= self->items->len)
        return TRUE;
    const FeedItem *item = &g_array_index(self->items, FeedItem, self->next);
    const FeedItem *after = self->next + 1 < self->items->len ? item + 1 : NULL;
    StenoCaptureFrame frame;
    if (!feed_reader_read(&self->reader, item, &frame, error))
        return FALSE;
    if (!fill_packet(self, feed_segment(feed->stream, item), &frame, packet))
        g_error("out of memory");
    packet->pts = item->pts;
    packet->dts = item->dts;
    packet->duration = after ? after->dts - item->dts : self->last_ticks;
    if (frame.keyframe)
        packet->flags |= AV_PKT_FLAG_KEY;
    gint64 at_us = av_rescale_q(item->pts, feed->time_base, (AVRational){1, 1000000});
    gint64 end_us = av_rescale_q(item->pts + packet->duration, feed->time_base, (AVRational){1, 1000000});
    if (feed->frames == 0 || at_us < feed->first_us)
        feed->first_us = at_us;
    feed->end_us = MAX(feed->end_us, end_us);
    feed->frames++;
    feed->packets++;
    self->next++;
    return TRUE;
}

static void video_free(Feed *feed)
{
    VideoFeed *self = (VideoFeed *)feed;
    feed_reader_clear(&self->reader);
    g_array_unref(self->items);
    g_free(self);
}

Feed *feed_video_new(Model *model, const PlanStream *stream)
{
    VideoFeed *self = g_new0(VideoFeed, 1);
    self->feed.time_base = (AVRational){1, VIDEO_HZ};
    self->feed.stream = stream;
    self->feed.next = video_next;
    self->feed.free = video_free;
    self->reader = (FeedReader){.model = model, .stream = stream};
    self->items = feed_items(stream, self->feed.time_base);
    order(stream, self->items);
    self->last_ticks = median_step(self->items);
    return &self->feed;
}
