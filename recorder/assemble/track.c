#include "track.h"

#include "opus.h"

#include "steno/base/error.h"

#include <string.h>

static void segment_clear(gpointer data)
{
    g_free(((ScanSegment *)data)->parameters);
}

static void read_format(const StenoCaptureReader *reader, guint number, ScanSegment *segment)
{
    *segment = (ScanSegment){.number = number, .codec = steno_capture_reader_codec(reader)};
    steno_capture_reader_format(reader, &segment->width, &segment->height, &segment->channels, &segment->clock_hz);
    const guint8 *parameters = steno_capture_reader_parameters(reader, &segment->parameters_bytes);
    segment->parameters = g_memdup2(parameters, segment->parameters_bytes);
    if (segment->clock_hz == 0)
        segment->clock_hz = steno_codec_is_video(segment->codec) ? 90000
                            : segment->codec == STENO_CODEC_OPUS ? OPUS_HZ
                                                                 : 8000;
}

static void index_frame(TrackScan *scan, const ScanSegment *segment, const StenoCaptureFrame *frame)
{
    IndexFrame row = {
        .rtp_ts = CLAMP(frame->rtp_ts, -MODEL_RTP_MAX, MODEL_RTP_MAX),
        .wall_us = CLAMP(frame->wall_us, 0, MODEL_TIME_MAX_US),
        .arrival_us = CLAMP(frame->arrival_us, 0, MODEL_TIME_MAX_US),
        .bytes = (guint32)frame->payload_bytes,
        .segment = (guint16)(scan->segments->len - 1),
        .flags = frame->keyframe ? FRAME_KEY : 0,
    };
    gboolean video = steno_codec_is_video(segment->codec);
    if (frame->encrypted)
        row.flags |= FRAME_ENCRYPTED;
    else if (segment->codec == STENO_CODEC_OPUS) {
        row.samples = opus_packet_samples(frame->payload, frame->payload_bytes);
        if (row.samples == 0)
            row.flags |= FRAME_BAD;
        if (opus_packet_is_stereo(frame->payload, frame->payload_bytes))
            row.flags |= FRAME_STEREO;
    } else if (!video)
        row.samples = (guint32)(frame->payload_bytes / MAX(segment->channels, 1));
    if (frame->payload_bytes == 0)
        row.flags |= FRAME_BAD;
    if (video && !frame->decodable)
        row.flags |= FRAME_UNDECODABLE;
    if (row.flags & FRAME_UNDECODABLE)
        scan->undecodable++;
    else
        scan->decodable++;
    scan->bytes += frame->payload_bytes;
    g_array_append_val(scan->frames, row);
}

static void scan_file(Model *model, TrackScan *scan, guint number)
{
    const ModelTrack *track = scan->track;
    g_autofree char *path = model_track_path(model, track, number);
    g_autoptr(GError) error = NULL;
    g_autoptr(StenoCaptureReader) reader = steno_capture_reader_open(path, &error);
    if (!reader) {
        model_problem(model, "part %u, track %u: file %u cannot be read", track->part, track->number, number);
        return;
    }
    ScanSegment segment;
    read_format(reader, number, &segment);
    if (segment.codec == STENO_CODEC_UNKNOWN || scan->segments->len > G_MAXUINT16) {
        model_problem(model, "part %u, track %u: file %u is of no codec we know", track->part, track->number, number);
        segment_clear(&segment);
        return;
    }
    g_array_append_val(scan->segments, segment);
    StenoCaptureFrame frame;
    while (steno_capture_reader_next(reader, &frame) == 1)
        index_frame(scan, &segment, &frame);
}

TrackScan *track_scan(Model *model, ModelTrack *track)
{
    TrackScan *scan = g_new0(TrackScan, 1);
    scan->track = track;
    scan->frames = g_array_new(FALSE, FALSE, sizeof(IndexFrame));
    scan->segments = g_array_new(FALSE, FALSE, sizeof(ScanSegment));
    g_array_set_clear_func(scan->segments, segment_clear);
    for (guint i = 0; i < track->segments->len; i++)
        scan_file(model, scan, g_array_index(track->segments, guint, i));
    if (scan->segments->len > 0) { /* what the file is beats what an event said */
        const ScanSegment *first = &g_array_index(scan->segments, ScanSegment, 0);
        track->codec = first->codec;
        track->video = steno_codec_is_video(first->codec);
        track->clock_hz = first->clock_hz;
    }
    return scan;
}

void track_scan_free(TrackScan *scan)
{
    g_array_unref(scan->frames);
    g_array_unref(scan->segments);
    g_free(scan);
}

/* ---- cursor ------------------------------------------------------------------------------------------------------ */

void track_cursor_init(TrackCursor *cursor, Model *model, const TrackScan *scan)
{
    *cursor = (TrackCursor){.model = model, .scan = scan, .segment = -1};
}

void track_cursor_clear(TrackCursor *cursor)
{
    g_clear_pointer(&cursor->reader, steno_capture_reader_free);
}

gboolean track_cursor_read(TrackCursor *cursor, guint index, StenoCaptureFrame *frame, GError **error)
{
    const TrackScan *scan = cursor->scan;
    const IndexFrame *wanted = &g_array_index(scan->frames, IndexFrame, index);
    for (; cursor->next <= index; cursor->next++) {
        guint segment = g_array_index(scan->frames, IndexFrame, cursor->next).segment;
        if (cursor->segment != (int)segment) {
            track_cursor_clear(cursor);
            g_autofree char *path = model_track_path(cursor->model, scan->track,
                                                     g_array_index(scan->segments, ScanSegment, segment).number);
            cursor->reader = steno_capture_reader_open(path, error);
            if (!cursor->reader)
                return FALSE;
            cursor->segment = (int)segment;
        }
        if (steno_capture_reader_next(cursor->reader, frame) != 1)
            goto changed;
    }
    if (frame->payload_bytes == wanted->bytes)
        return TRUE;
changed:
    g_set_error(error, STENO_ERROR, STENO_ERROR_CAPTURE_DAMAGED,
                "part %u, track %u changed while it was read: is a recorder still writing it?", scan->track->part,
                scan->track->number);
    return FALSE;
}
