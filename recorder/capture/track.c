#include "track.h"

#include "files.h"
#include "parameters.h"

#include "steno/base/error.h"
#include "steno/capture.h"

#include <string.h>
#include <unistd.h>

/* A cluster is written early when it holds this much, so that a track's memory does not follow its bit rate. */
#define CLUSTER_MAX_BYTES (256 * 1024)

StenoTrack *steno_track_new(guint32 number)
{
    StenoTrack *track = g_new0(StenoTrack, 1);
    track->number = number;
    track->fd = -1;
    return track;
}

void steno_track_free(StenoTrack *track)
{
    if (!track)
        return;
    if (track->fd >= 0)
        close(track->fd);
    g_clear_pointer(&track->format, steno_frame_unref);
    g_free(track->cluster.data);
    g_free(track);
}

/* ---- gaps -------------------------------------------------------------------------------------------------------- */

static gint64 gap_until_us(const StenoTrack *track, const StenoFrame *frame)
{
    gint64 clock_hz = track->format                        ? track->format->format.clock_hz
                      : steno_codec_is_video(frame->codec) ? 90000
                                                           : 48000;
    gint64 ticks = frame->gap.until_rtp_ts - frame->rtp_ts;
    /* An hour at the most: what lies beyond is a jump of the timestamp and no length. */
    if (clock_hz <= 0 || ticks <= 0 || ticks > clock_hz * 3600)
        return frame->wall_us;
    return frame->wall_us + ticks * G_USEC_PER_SEC / clock_hz;
}

static void tell_gap(StenoPart *part, StenoTrack *track)
{
    if (!track->gap.open)
        return;
    json_t *event =
        json_pack("{s:I, s:s, s:i, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "t", (json_int_t)track->gap.from_us,
                  "event", "gap", "track", (int)track->number, "cause", steno_gap_cause_name(track->gap.cause),
                  "first_seq", (json_int_t)track->gap.first_seq, "last_seq", (json_int_t)track->gap.last_seq, "packets",
                  (json_int_t)track->gap.packets, "rtp_ts", (json_int_t)track->gap.rtp_ts, "until_rtp_ts",
                  (json_int_t)track->gap.until_rtp_ts, "from", (json_int_t)track->gap.from_us, "until",
                  (json_int_t)track->gap.until_us);
    steno_events_add(&part->events, STENO_EVENTS_NUMBERED, event);
    track->gap.open = FALSE;
}

/* A gap that goes on where the last one ended, for the same reason, makes that one longer. */
static void take_gap(StenoPart *part, StenoTrack *track, const StenoFrame *frame)
{
    gint64 until_us = gap_until_us(track, frame);
    gboolean goes_on = track->gap.open && track->gap.cause == frame->gap.cause &&
                       frame->gap.first_seq <= track->gap.last_seq + 1 && frame->gap.last_seq >= track->gap.last_seq;
    if (goes_on) {
        track->gap.last_seq = frame->gap.last_seq;
        track->gap.packets += frame->gap.packets;
        track->gap.until_rtp_ts = MAX(track->gap.until_rtp_ts, frame->gap.until_rtp_ts);
        track->gap.until_us = MAX(track->gap.until_us, until_us);
        return;
    }
    tell_gap(part, track);
    track->gap.open = TRUE;
    track->gap.cause = frame->gap.cause;
    track->gap.first_seq = frame->gap.first_seq;
    track->gap.last_seq = frame->gap.last_seq;
    track->gap.packets = frame->gap.packets;
    track->gap.rtp_ts = frame->rtp_ts;
    track->gap.until_rtp_ts = frame->gap.until_rtp_ts;
    track->gap.from_us = frame->wall_us;
    track->gap.until_us = until_us;
    track->gap.mono_us = part->since_mono_us;
}

/* ---- files ------------------------------------------------------------------------------------------------------- */

static gboolean write_cluster(StenoPart *part, StenoTrack *track, GError **error)
{
    if (track->cluster.bytes == 0)
        return TRUE;
    steno_cluster_seal(&track->cluster, &part->crc32);
    gboolean written = steno_files_write(track->fd, "a track file", track->cluster.data, track->cluster.bytes, error);
    part->bytes += written ? track->cluster.bytes : 0;
    track->dirty = TRUE;
    steno_cluster_clear(&track->cluster);
    return written;
}

static gboolean close_file(StenoPart *part, StenoTrack *track, GError **error)
{
    if (track->fd < 0)
        return TRUE;
    gboolean written = write_cluster(part, track, error);
    g_array_append_val(part->closing, track->fd);
    track->fd = -1;
    track->dirty = FALSE;
    return written;
}

static gboolean open_file(StenoPart *part, StenoTrack *track, GError **error)
{
    const StenoFrame *format = track->format;
    g_autoptr(GByteArray) codec_private = g_byte_array_new();
    steno_parameters_to_private(format, codec_private);
    StenoMatroskaTrack head = {
        .codec = format->codec,
        .track = track->number,
        .zero_wall_us = part->zero_wall_us,
        .width = format->format.width,
        .height = format->format.height,
        .channels = format->format.channels,
        .clock_hz = format->format.clock_hz,
        .codec_private = codec_private->data,
        .codec_private_bytes = codec_private->len,
        .sealed = format->encrypted,
    };
    g_byte_array_set_size(part->scratch, 0);
    steno_matroska_header(part->scratch, &head, &part->crc32);

    g_autofree char *name = g_strdup_printf("track-%04u.%u.mkv", track->number, track->segment);
    track->fd = steno_files_create(part->folder_fd, name, error);
    if (track->fd < 0)
        return FALSE;
    json_t *event = json_pack("{s:I, s:s, s:i, s:i, s:s, s:i, s:i, s:i, s:i, s:b}", "t", (json_int_t)format->wall_us,
                              "event", "format", "track", (int)track->number, "segment", (int)track->segment, "codec",
                              steno_codec_name(format->codec), "clock_hz", (int)format->format.clock_hz, "width",
                              (int)format->format.width, "height", (int)format->format.height, "channels",
                              (int)format->format.channels, "sealed", format->encrypted);
    steno_events_add(&part->events, STENO_EVENTS_NUMBERED, event);
    track->segment++;
    track->frames = 0;
    track->dirty = part->folder_dirty = TRUE;
    part->bytes += part->scratch->len;
    return steno_files_write(track->fd, name, part->scratch->data, part->scratch->len, error);
}

/* ---- frames ------------------------------------------------------------------------------------------------------ */

static gboolean same_format(const StenoFrame *a, const StenoFrame *b)
{
    return a && a->codec == b->codec && a->encrypted == b->encrypted && a->format.clock_hz == b->format.clock_hz &&
           a->format.width == b->format.width && a->format.height == b->format.height &&
           a->format.channels == b->format.channels && a->payload_bytes == b->payload_bytes &&
           (a->payload_bytes == 0 || memcmp(a->payload, b->payload, a->payload_bytes) == 0);
}

static gboolean take_format(StenoPart *part, StenoTrack *track, StenoFrame *frame, GError **error)
{
    if (same_format(track->format, frame))
        return TRUE;
    if (!close_file(part, track, error))
        return FALSE;
    g_clear_pointer(&track->format, steno_frame_unref);
    if (steno_matroska_codec_id(frame->codec))
        track->format = steno_frame_ref(frame);
    return TRUE;
}

static gboolean take_media(StenoPart *part, StenoTrack *track, const StenoFrame *frame, GError **error)
{
    tell_gap(part, track);
    /* A file is sealed as a whole or not at all. */
    if (!track->format || track->format->encrypted != frame->encrypted ||
        (track->fd < 0 && track->segment >= STENO_CAPTURE_SEGMENTS_MAX)) {
        part->frames_dropped++;
        return TRUE;
    }
    if (track->fd < 0 && !open_file(part, track, error))
        return FALSE;

    /* The file's own time never goes back and never stands still; the record has what it really was. */
    gint64 pts_ms = MAX((frame->wall_us - part->zero_wall_us) / 1000, 0);
    if (track->segment > 1 || track->frames > 0)
        pts_ms = MAX(pts_ms, track->last_pts_ms + 1);
    StenoCluster *cluster = &track->cluster;
    if (cluster->bytes > 0 && (pts_ms - cluster->start_ms >= STENO_CAPTURE_CLUSTER_MS ||
                               cluster->bytes + steno_cluster_frame_bytes(frame->payload_bytes) > CLUSTER_MAX_BYTES)) {
        if (!write_cluster(part, track, error))
            return FALSE;
    }
    if (cluster->bytes == 0)
        track->cluster_mono_us = part->since_mono_us;

    StenoRecord record = {
        .version = RECORD_VERSION,
        .flags = (frame->keyframe ? RECORD_KEYFRAME : 0) | (frame->decodable ? RECORD_DECODABLE : 0) |
                 (frame->encrypted ? RECORD_ENCRYPTED : 0),
        .number = track->frames,
        .rtp_ts = frame->rtp_ts,
        .wall_us = frame->wall_us,
        .arrival_us = frame->arrival_us,
    };
    gboolean annexb = !frame->encrypted && (frame->codec == STENO_CODEC_H264 || frame->codec == STENO_CODEC_H265);
    if (frame->encrypted)
        record.flags |= RECORD_RAW;
    steno_cluster_append(cluster, pts_ms, steno_codec_is_video(frame->codec) && !frame->keyframe, annexb, &record,
                         frame->payload, frame->payload_bytes);
    track->last_pts_ms = pts_ms;
    track->frames++;
    part->frames++;
    return TRUE;
}

gboolean steno_track_frame(StenoPart *part, StenoTrack *track, StenoFrame *frame, GError **error)
{
    switch (frame->kind) {
    case STENO_FRAME_MEDIA:
        return take_media(part, track, frame, error);
    case STENO_FRAME_GAP:
        take_gap(part, track, frame);
        return TRUE;
    case STENO_FRAME_FORMAT:
        return take_format(part, track, frame, error);
    case STENO_FRAME_END: {
        tell_gap(part, track);
        gboolean closed = close_file(part, track, error);
        g_clear_pointer(&track->format, steno_frame_unref);
        g_clear_pointer(&track->cluster.data, g_free);
        steno_cluster_clear(&track->cluster);
        return closed;
    }
    default:
        return TRUE;
    }
}

gboolean steno_track_flush(StenoPart *part, StenoTrack *track, gboolean all, GError **error)
{
    gint64 before_us = part->now_mono_us - STENO_CAPTURE_CLUSTER_MS * 1000;
    if (track->gap.open && (all || track->gap.mono_us <= before_us))
        tell_gap(part, track);
    if (track->cluster.bytes > 0 && (all || track->cluster_mono_us <= before_us))
        return write_cluster(part, track, error);
    return TRUE;
}
