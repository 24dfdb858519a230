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

static void index_frame(TrackScan *scan, guint file, const StenoCaptureFrame *frame)
{
    const ScanSegment *segment = &g_array_index(scan->segments, ScanSegment, scan->segments->len - 1);
    IndexFrame row = {
        .rtp_ts = CLAMP(frame->rtp_ts, -MODEL_RTP_MAX, MODEL_RTP_MAX),
        .wall_us = CLAMP(frame->wall_us, 0, MODEL_TIME_MAX_US),
        .arrival_us = CLAMP(frame->arrival_us, 0, MODEL_TIME_MAX_US),
        .bytes = (guint32)frame->payload_bytes,
        .segment = (guint16)(scan->segments->len - 1),
        .file = (guint16)file,
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
    scan->broken &= video && !frame->keyframe;
    if (video && (!frame->decodable || scan->broken))
        row.flags |= FRAME_UNDECODABLE;
    if (row.flags & FRAME_UNDECODABLE)
        scan->undecodable++;
    else
        scan->decodable++;
    scan->bytes += frame->payload_bytes;
    g_array_append_val(scan->frames, row);
}

gboolean track_same_parameters(const ScanSegment *a, const ScanSegment *b)
{
    return a->parameters_bytes == b->parameters_bytes &&
           (a->parameters_bytes == 0 || memcmp(a->parameters, b->parameters, a->parameters_bytes) == 0);
}

static gboolean same_format(const ScanSegment *a, const ScanSegment *b)
{
    return a->codec == b->codec && a->width == b->width && a->height == b->height && a->channels == b->channels &&
           a->clock_hz == b->clock_hz && track_same_parameters(a, b);
}

/* Takes the segment. The first file of a part that is joined goes on where the one before ended. */
static void add_segment(TrackScan *scan, guint file, ScanSegment *segment)
{
    const ModelFile *files = (const ModelFile *)(void *)scan->track->files->data;
    if (file > 0 && files[file].part != files[file - 1].part && scan->segments->len > 0) {
        const ScanSegment *before = &g_array_index(scan->segments, ScanSegment, scan->segments->len - 1);
        if (same_format(before, segment)) {
            scan->segment_base = before->number - segment->number;
            segment_clear(segment);
            return;
        }
        scan->segment_base = before->number + 1 - segment->number;
    }
    segment->number += scan->segment_base;
    g_array_append_val(scan->segments, *segment);
}

/* Damage between two frames: what was there is a hole, and pictures that refer to it cannot be shown. */
static void tell_damage(TrackScan *scan, const IndexFrame *before, const StenoCaptureFrame *frame)
{
    ModelGap gap = {
        .cause = STENO_GAP_DAMAGED,
        .rtp_ts = before ? before->rtp_ts + before->samples : 0,
        .from_us = before ? before->wall_us : 0,
        .until_us = frame ? CLAMP(frame->wall_us, 0, MODEL_TIME_MAX_US) : 0,
    };
    gap.until_rtp_ts = frame && before ? CLAMP(frame->rtp_ts, -MODEL_RTP_MAX, MODEL_RTP_MAX) : gap.rtp_ts;
    scan->broken = TRUE;
    g_array_append_val(scan->track->gaps, gap);
}

/*
 * Bytes that cannot be read are told. The torn end of a part whose recorder died is none of these: what it had not
 * written to disk is missing anyway, and is told as the hole between two parts.
 */
static void read_frames(Model *model, TrackScan *scan, guint file, StenoCaptureReader *reader, const char *name)
{
    guint folder = g_array_index(scan->track->files, ModelFile, file).part;
    StenoCaptureFrame frame;
    guint64 skipped = 0, damaged = 0;
    while (steno_capture_reader_next(reader, &frame) == 1) {
        guint64 now = steno_capture_reader_skipped(reader);
        const IndexFrame *before =
            scan->frames->len ? &g_array_index(scan->frames, IndexFrame, scan->frames->len - 1) : NULL;
        if (now > skipped) {
            tell_damage(scan, before, &frame);
            damaged += now - skipped;
        }
        skipped = now;
        index_frame(scan, file, &frame);
    }
    guint64 rest = steno_capture_reader_skipped(reader) - skipped;
    const ModelPart *part = model_part(model, scan->track->part);
    if (rest > 0 && (part->clean || part->last_folder != folder)) {
        tell_damage(scan, scan->frames->len ? &g_array_index(scan->frames, IndexFrame, scan->frames->len - 1) : NULL,
                    NULL);
        damaged += rest;
    }
    if (damaged > 0)
        model_problem(model, "%s is damaged: %" G_GUINT64_FORMAT " bytes could not be read", name, damaged);
}

static void scan_file(Model *model, TrackScan *scan, guint index)
{
    const ModelTrack *track = scan->track;
    const ModelFile *file = &g_array_index(track->files, ModelFile, index);
    g_autofree char *path = model_file_path(model, track, file);
    g_autofree char *name = model_file_name(track, file);
    g_autoptr(StenoCaptureReader) reader = steno_capture_reader_open(path, NULL);
    if (!reader) {
        model_problem(model, "%s cannot be read", name);
        return;
    }
    ScanSegment segment;
    read_format(reader, file->number, &segment);
    if (segment.codec == STENO_CODEC_UNKNOWN || scan->segments->len > G_MAXUINT16 || index > G_MAXUINT16) {
        model_problem(model, "%s is of no codec we know", name);
        segment_clear(&segment);
        return;
    }
    add_segment(scan, index, &segment);
    read_frames(model, scan, index, reader, name);
}

TrackScan *track_scan(Model *model, ModelTrack *track)
{
    TrackScan *scan = g_new0(TrackScan, 1);
    scan->track = track;
    scan->frames = g_array_new(FALSE, FALSE, sizeof(IndexFrame));
    scan->segments = g_array_new(FALSE, FALSE, sizeof(ScanSegment));
    scan->broken = model->scope.section > 1; /* a picture that could not wait for a key frame at the seam */
    g_array_set_clear_func(scan->segments, segment_clear);
    for (guint i = 0; i < track->files->len; i++)
        scan_file(model, scan, i);
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
    *cursor = (TrackCursor){.model = model, .scan = scan, .file = -1};
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
        guint file = g_array_index(scan->frames, IndexFrame, cursor->next).file;
        if (cursor->file != (int)file) {
            track_cursor_clear(cursor);
            g_autofree char *path =
                model_file_path(cursor->model, scan->track, &g_array_index(scan->track->files, ModelFile, file));
            cursor->reader = steno_capture_reader_open(path, error);
            if (!cursor->reader)
                return FALSE;
            cursor->file = (int)file;
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
