/*
 * feed: the packets of one stream of a file, in order, with their times. One kind each for pictures, copied sound and
 * AAC.
 */
#ifndef STENO_ASSEMBLE_FEED_H
#define STENO_ASSEMBLE_FEED_H

#include "plan.h"

#include <libavcodec/avcodec.h>

/* Two frames of a stream are never closer, in ticks of the feed's time base. */
#define FEED_MIN_STEP 1

typedef struct Feed Feed;
struct Feed {
    AVRational time_base;
    const PlanStream *stream;
    /* What has come out so far. */
    guint64 frames;          /* of the capture */
    guint64 packets;         /* of the file */
    guint64 silence_packets; /* of these, put into holes */
    gint64 first_us, end_us; /* on the recording's time */
    /*
     * The next packet (unreferenced before by the caller), in time_base. TRUE with packet->size 0 at the end; FALSE
     * with CAPTURE_DAMAGED or INTERNAL.
     */
    gboolean (*next)(Feed *feed, AVPacket *packet, GError **error);
    void (*free)(Feed *feed);
};

/* One captured frame that goes into a stream. */
typedef struct {
    guint run, index; /* the frame of the run's scan */
    gint64 pts, dts;  /* in the feed's time base */
} FeedItem;

/* All frames that go into a stream, in the order of the file; pts is the recording's time. */
GArray *feed_items(const PlanStream *stream, AVRational time_base);

/* Reads the payload of items one after the other, whatever tracks they are of. */
typedef struct {
    Model *model;
    const PlanStream *stream;
    TrackCursor cursor;
    guint run;
    gboolean open;
} FeedReader;

void feed_reader_clear(FeedReader *reader);
gboolean feed_reader_read(FeedReader *reader, const FeedItem *item, StenoCaptureFrame *frame, GError **error);

const PlanRun *feed_run(const PlanStream *stream, guint run);
const IndexFrame *feed_frame(const PlanStream *stream, const FeedItem *item);
const ScanSegment *feed_segment(const PlanStream *stream, const FeedItem *item);

Feed *feed_video_new(Model *model, const PlanStream *stream);
/* until_us: silence goes on until there. */
Feed *feed_audio_new(Model *model, const PlanStream *stream, gint64 until_us);
/* Decodes and encodes; *parameters are the encoder's, for the muxer. NULL with INTERNAL when a codec is not there. */
Feed *feed_aac_new(Model *model, const PlanStream *stream, gint64 until_us, AVCodecParameters *parameters,
                   GError **error);

/* Does any used frame of the stream have this flag? */
gboolean feed_any(const PlanStream *stream, guint8 flag);

#endif
