#include "feed.h"

const PlanRun *feed_run(const PlanStream *stream, guint run)
{
    return &g_array_index(stream->runs, PlanRun, run);
}

const IndexFrame *feed_frame(const PlanStream *stream, const FeedItem *item)
{
    return &g_array_index(feed_run(stream, item->run)->scan->frames, IndexFrame, item->index);
}

const ScanSegment *feed_segment(const PlanStream *stream, const FeedItem *item)
{
    return &g_array_index(feed_run(stream, item->run)->scan->segments, ScanSegment, feed_frame(stream, item)->segment);
}

GArray *feed_items(const PlanStream *stream, AVRational time_base)
{
    GArray *items = g_array_new(FALSE, FALSE, sizeof(FeedItem));
    for (guint r = 0; r < stream->runs->len; r++) {
        const PlanRun *run = feed_run(stream, r);
        for (guint i = run->from; i < run->until; i++) {
            const IndexFrame *frame = &g_array_index(run->scan->frames, IndexFrame, i);
            if (!plan_uses(run, frame))
                continue;
            FeedItem item = {.run = r, .index = i};
            item.pts = item.dts = av_rescale_q(frame->at_us, (AVRational){1, 1000000}, time_base);
            g_array_append_val(items, item);
        }
    }
    return items;
}

gboolean feed_any(const PlanStream *stream, guint8 flag)
{
    for (guint r = 0; r < stream->runs->len; r++) {
        const PlanRun *run = feed_run(stream, r);
        for (guint i = run->from; i < run->until; i++) {
            const IndexFrame *frame = &g_array_index(run->scan->frames, IndexFrame, i);
            if (plan_uses(run, frame) && (frame->flags & flag))
                return TRUE;
        }
    }
    return FALSE;
}

void feed_reader_clear(FeedReader *reader)
{
    if (reader->open)
        track_cursor_clear(&reader->cursor);
    reader->open = FALSE;
}

gboolean feed_reader_read(FeedReader *reader, const FeedItem *item, StenoCaptureFrame *frame, GError **error)
{
    if (!reader->open || reader->run != item->run) {
        feed_reader_clear(reader);
        track_cursor_init(&reader->cursor, reader->model, feed_run(reader->stream, item->run)->scan);
        reader->open = TRUE;
        reader->run = item->run;
    }
    return track_cursor_read(&reader->cursor, item->index, frame, error);
}
