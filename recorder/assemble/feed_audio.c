/*
 * Sound, copied: packets as they came, holes filled with silent packets, so that a player that ignores the time stamps
 * and plays packet after packet stays in step as well.
 *
 * Two clocks run here. Time stamps follow the recording's time, and slide with the sender's drift. `played` is how many
 * samples have come out, which is where a player is that only counts. In an unbroken stretch both differ by the drift;
 * each hole is filled so that they meet again.
 */
#include "feed.h"
#include "opus.h"

#include <string.h>

/* Samples of G.711 that 20 ms of silence have. */
#define G711_SILENCE_MAX 160

typedef struct {
    gint64 from, until; /* time stamps */
    guint64 samples, done;
} Hole;

typedef struct {
    Feed feed;
    FeedReader reader;
    GArray *items;
    guint next;
    gboolean opus, stereo;
    /* At a seam, packets end and begin where they do: a hole of less than a packet there is none. */
    gboolean began_before, goes_on;
    guint unit;       /* samples that silence comes in multiples of */
    gint64 until;     /* silence goes on until there */
    gint64 played;    /* samples that have come out */
    gint64 last, end; /* time stamp and end of the last packet */
    guint8 silence;   /* of G.711 */
    gboolean closed;  /* the hole at the end has been opened */
    Hole hole;
} AudioFeed;

/* Does the packet begin where the one before it ended, by the sender's own clock? */
static gboolean follows(const AudioFeed *self, const FeedItem *before, const FeedItem *item)
{
    const IndexFrame *a = feed_frame(self->feed.stream, before), *b = feed_frame(self->feed.stream, item);
    return before->run == item->run && !(b->flags & FRAME_STRETCH) && a->rtp_ts + a->samples == b->rtp_ts;
}

static void open_hole(AudioFeed *self, gint64 until)
{
    gint64 length = until - self->end;
    if (length <= 0)
        return;
    gint64 units = (until - self->played + self->unit / 2) / self->unit;
    gint64 plain = (length + self->unit / 2) / self->unit;
    /* A short hole does not make up for a long drift at once: timestamps and samples may not part too much in it. */
    units = CLAMP(units, plain / 2, plain + plain / 2);
    if (units > 0)
        self->hole = (Hole){.from = self->end, .until = until, .samples = (guint64)(units * self->unit)};
}

static void count(AudioFeed *self, AVPacket *packet, gint64 pts, guint samples)
{
    packet->pts = packet->dts = pts;
    packet->duration = samples;
    packet->flags |= AV_PKT_FLAG_KEY;
    self->last = pts;
    self->end = pts + samples;
    self->played += samples;
    self->feed.packets++;
    self->feed.end_us = av_rescale_q(self->end, self->feed.time_base, (AVRational){1, 1000000});
}

static void put_silence(AudioFeed *self, AVPacket *packet)
{
    Hole *hole = &self->hole;
    guint8 opus[OPUS_SILENCE_BYTES];
    guint samples = self->opus ? opus_silence(opus, hole->samples - hole->done, self->stereo)
                               : (guint)MIN(hole->samples - hole->done, G711_SILENCE_MAX);
    if (av_new_packet(packet, self->opus ? OPUS_SILENCE_BYTES : (int)samples) < 0)
        g_error("out of memory");
    if (self->opus)
        memcpy(packet->data, opus, sizeof opus);
    else
        memset(packet->data, self->silence, samples);
    gint64 pts = hole->from + av_rescale(hole->until - hole->from, (gint64)hole->done, (gint64)hole->samples);
    count(self, packet, pts, samples);
    hole->done += samples;
    if (hole->done >= hole->samples) {
        self->end = hole->until;
        *hole = (Hole){0};
    }
    self->feed.silence_packets++;
}

static gboolean put_frame(AudioFeed *self, AVPacket *packet, GError **error)
{
    const FeedItem *item = &g_array_index(self->items, FeedItem, self->next);
    const IndexFrame *index = feed_frame(self->feed.stream, item);
    StenoCaptureFrame frame;
    if (!feed_reader_read(&self->reader, item, &frame, error))
        return FALSE;
    if (av_new_packet(packet, (int)frame.payload_bytes) < 0)
        g_error("out of memory");
    memcpy(packet->data, frame.payload, frame.payload_bytes);
    gint64 pts = MAX(item->pts, 0);
    if (self->feed.packets >
        0) /* an overlap (clocks of two tracks that differ) is made up for by and by, nothing is dropped */
        pts = MAX(pts, self->last + MAX((self->end - self->last) * 3 / 4, FEED_MIN_STEP));
    count(self, packet, pts, index->samples);
    if (self->feed.frames++ == 0)
        self->feed.first_us = av_rescale_q(pts, self->feed.time_base, (AVRational){1, 1000000});
    self->next++;
    return TRUE;
}

static gboolean audio_next(Feed *feed, AVPacket *packet, GError **error)
{
    AudioFeed *self = (AudioFeed *)feed;
    if (self->hole.samples == 0 && self->next < self->items->len) {
        const FeedItem *item = &g_array_index(self->items, FeedItem, self->next);
        if (self->next == 0 ? !self->began_before || item->pts >= feed_frame(self->feed.stream, item)->samples
                            : !follows(self, item - 1, item))
            open_hole(self, item->pts);
    } else if (self->hole.samples == 0 && !self->closed) {
        self->closed = TRUE;
        if (!self->goes_on || self->until - self->end >= self->end - self->last)
            open_hole(self, self->until);
    }
    if (self->hole.samples > 0) {
        put_silence(self, packet);
        return TRUE;
    }
    return self->next >= self->items->len || put_frame(self, packet, error);
}

static void audio_free(Feed *feed)
{
    AudioFeed *self = (AudioFeed *)feed;
    feed_reader_clear(&self->reader);
    g_array_unref(self->items);
    g_free(self);
}

Feed *feed_audio_new(Model *model, const PlanStream *stream, gint64 until_us)
{
    AudioFeed *self = g_new0(AudioFeed, 1);
    self->opus = stream->codec == STENO_CODEC_OPUS;
    self->feed.time_base = (AVRational){1, self->opus ? OPUS_HZ : (int)feed_run(stream, 0)->scan->track->clock_hz};
    self->feed.stream = stream;
    self->feed.next = audio_next;
    self->feed.free = audio_free;
    self->reader = (FeedReader){.model = model, .stream = stream};
    self->items = feed_items(stream, self->feed.time_base);
    self->began_before = model->scope.section > 1;
    self->goes_on = model->scope.end_us > 0;
    self->stereo = self->opus && feed_any(stream, FRAME_STEREO);
    self->unit = self->opus ? OPUS_UNIT_SAMPLES : 1;
    self->silence = stream->codec == STENO_CODEC_PCMA ? 0xd5 : 0xff;
    self->until = av_rescale_q(until_us, (AVRational){1, 1000000}, self->feed.time_base);
    return &self->feed;
}
