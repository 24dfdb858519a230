/*
 * track: the frames of a captured track, first as an index in memory with their place on the recording's time, then
 * again one by one with their payloads.
 */
#ifndef STENO_ASSEMBLE_TRACK_H
#define STENO_ASSEMBLE_TRACK_H

#include "model.h"

#include "steno/capture.h"

/* A frame further from the recording's zero than this has no believable time. */
#define TRACK_SPAN_MAX_US (G_GINT64_CONSTANT(31) * 86400 * 1000000)
/*
 * What an Opus encoder looks ahead (libopus at 48 kHz: 312 samples): decoded sound comes that much behind its RTP time,
 * so that packets are put earlier. All of WebRTC encodes with libopus.
 */
#define TRACK_OPUS_DELAY_US 6500

enum {
    FRAME_KEY = 1,
    FRAME_UNDECODABLE = 2, /* refers to a frame that is missing */
    FRAME_ENCRYPTED = 4,
    FRAME_STRETCH = 8, /* the sender's clock began anew here */
    FRAME_STEREO = 32,
    FRAME_BAD = 64, /* cannot be used: no time, or no lawful packet */
};

typedef struct {
    gint64 rtp_ts, wall_us, arrival_us;
    gint64 at_us; /* on the recording's time: 0 is where its files start counting */
    guint32 bytes;
    guint32 samples; /* audio: at the stream's rate (Opus 48000) */
    guint16 segment; /* index into TrackScan.segments */
    guint16 file;    /* index into TrackScan.track->files */
    guint8 flags;
} IndexFrame;

/* Frames of one format: of one file, or of those that rotations cut it into. */
typedef struct {
    guint number; /* of the file in its part; where parts are joined, as if they had been one */
    StenoCodec codec;
    guint width, height, channels, clock_hz;
    guint8 *parameters;
    gsize parameters_bytes;
} ScanSegment;

typedef struct {
    ModelTrack *track;
    GArray *frames;     /* of IndexFrame, in file order */
    GArray *segments;   /* of ScanSegment */
    guint segment_base; /* what numbers of files count from in the part that is joined; wraps around */
    guint64 bytes, decodable, undecodable;
    gboolean broken;          /* frames before the next key frame are missing from the file */
    gint64 first_us, last_us; /* wall; 0: no frame. last_us is the end of the last frame */
    double drift_ppm;
} TrackScan;

gboolean track_same_parameters(const ScanSegment *a, const ScanSegment *b);

/* Reads all of a track's files. Damaged files are told as problems. Never NULL. */
TrackScan *track_scan(Model *model, ModelTrack *track);
void track_scan_free(TrackScan *scan);

/*
 * Puts the frames on the recording's time, by the sender reports of all tracks of one participant and part, or by the
 * frames' own evidence. Gaps get their times by the same lines. All scans are of one participant.
 */
void track_place(Model *model, TrackScan *const *scans, guint n);

/* Reads the payloads again, in the order of the index. */
typedef struct {
    Model *model;
    const TrackScan *scan;
    StenoCaptureReader *reader;
    guint next; /* index of the frame that comes next */
    int file;   /* the one that is open, or -1 */
} TrackCursor;

void track_cursor_init(TrackCursor *cursor, Model *model, const TrackScan *scan);
void track_cursor_clear(TrackCursor *cursor);
/*
 * The frame with this index, which must not lie before the last one asked for. The payload is lent until the next call.
 * FALSE with CAPTURE_DAMAGED when the file is not what it was.
 */
gboolean track_cursor_read(TrackCursor *cursor, guint index, StenoCaptureFrame *frame, GError **error);

#endif
