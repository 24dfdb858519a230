#include "unseal_reader.h"

#include "annexb.h"
#include "repacketize.h"

#include "steno/codec.h"

#include <string.h>

/* Packets of so many frames may be under way in a depacketizer. */
#define TIMES 8
/* What is further away from the last block is of another clock. */
#define FAR_S 3600

typedef struct {
    gint64 rtp_ts, wall_us;
} Time;

typedef struct {
    gint64 last, first;
} SeqGap;

struct UnsealReader {
    const Unsealing *unsealing;
    ModelTrack *track;
    const ModelPart *part;
    guint copy;
    StenoCodec codec;
    guint clock_hz;
    StenoInspector *inspector;
    StenoDepacketizer *depacketizer;
    gboolean muted;         /* what comes out is not of the copy: it was captured in the clear */
    StenoFrame *format;     /* the last one that came out */
    gboolean format_pushed; /* into this copy */

    gboolean begun;
    Time last;         /* of the last block */
    Time times[TIMES]; /* of the last frames: packets */
    guint next_time;
    gint64 high_rtp_ts; /* the latest of all */
    gint64 last_seq;    /* packets */
    gboolean has_seq;
    gboolean broken; /* something is missing before the next frame: */
    StenoGapCause broken_by;
    /* Gaps that the recorder told: where they end in RTP time, and which packets are missing; sorted. */
    GArray *losses;   /* of gint64; per packet: only those that do not tell packets */
    GArray *seq_gaps; /* of SeqGap; per packet */
};

/* ---- what comes out ---------------------------------------------------------------------------------------------- */

static gint64 wall_of(const UnsealReader *reader, gint64 rtp_ts)
{
    for (guint i = 0; i < TIMES; i++)
        if (reader->times[i].rtp_ts == rtp_ts && reader->times[i].wall_us > 0)
            return reader->times[i].wall_us;
    gint64 ticks = rtp_ts - reader->last.rtp_ts;
    if (reader->clock_hz == 0 || ABS(ticks) > (gint64)reader->clock_hz * FAR_S)
        return reader->last.wall_us;
    return CLAMP(reader->last.wall_us + ticks * 1000000 / reader->clock_hz, 0, MODEL_TIME_MAX_US);
}

static void push_format(UnsealReader *reader, gint64 wall_us)
{
    const StenoFrame *format = reader->format;
    StenoFrame *copy =
        steno_frame_new(opened_pool(reader->unsealing->opened), STENO_FRAME_FORMAT, format->payload_bytes);
    if (!copy)
        return;
    copy->codec = format->codec;
    copy->rtp_ts = format->rtp_ts;
    copy->wall_us = wall_us;
    copy->format = format->format;
    if (format->payload_bytes > 0)
        memcpy(copy->payload, format->payload, format->payload_bytes);
    copy->payload_bytes = format->payload_bytes;
    opened_push(reader->unsealing->opened, reader->copy, copy);
    reader->format_pushed = TRUE;
}

static void take_gap(UnsealReader *reader, const StenoFrame *frame)
{
    /* What is lost, and what could not be opened, is told already. */
    if (reader->muted || (frame->gap.cause != STENO_GAP_NO_KEYFRAME && frame->gap.cause != STENO_GAP_DAMAGED &&
                          frame->gap.cause != STENO_GAP_OVERFLOW))
        return;
    ModelGap gap = {
        .cause = frame->gap.cause,
        .first_seq = frame->gap.first_seq,
        .last_seq = frame->gap.last_seq,
        .packets = frame->gap.packets,
        .rtp_ts = frame->rtp_ts,
        .until_rtp_ts = MAX(frame->gap.until_rtp_ts, frame->rtp_ts),
        .from_us = wall_of(reader, frame->rtp_ts),
    };
    gap.until_us = MAX(wall_of(reader, frame->gap.until_rtp_ts), gap.from_us);
    if (reader->track->gaps->len < MODEL_ROWS_MAX)
        g_array_append_val(reader->track->gaps, gap);
}

static void on_frame(gpointer user, StenoFrame *frame)
{
    UnsealReader *reader = user;
    if (frame->kind == STENO_FRAME_FORMAT) {
        g_clear_pointer(&reader->format, steno_frame_unref);
        reader->format = steno_frame_ref(frame);
        reader->format_pushed = FALSE;
    } else if (frame->kind == STENO_FRAME_GAP) {
        take_gap(reader, frame);
    } else if (frame->kind == STENO_FRAME_MEDIA && !reader->muted && reader->format) {
        frame->wall_us = wall_of(reader, frame->rtp_ts);
        if (!reader->format_pushed)
            push_format(reader, frame->wall_us);
        opened_push(reader->unsealing->opened, reader->copy, frame);
        return;
    }
    steno_frame_unref(frame);
}

/* ---- what is missing --------------------------------------------------------------------------------------------- */

static void break_by(UnsealReader *reader, StenoGapCause cause)
{
    reader->broken = TRUE;
    reader->broken_by = cause;
}

void unseal_reader_broken(UnsealReader *reader)
{
    break_by(reader, STENO_GAP_LOST);
}

static gint compare_times(gconstpointer a, gconstpointer b)
{
    gint64 x = *(const gint64 *)a, y = *(const gint64 *)b;
    return (x > y) - (x < y);
}

static void find_losses(UnsealReader *reader)
{
    reader->losses = g_array_new(FALSE, FALSE, sizeof(gint64));
    reader->seq_gaps = g_array_new(FALSE, FALSE, sizeof(SeqGap));
    for (guint i = 0; i < reader->track->gaps->len; i++) {
        const ModelGap *gap = &g_array_index(reader->track->gaps, ModelGap, i);
        SeqGap seq = {.last = gap->last_seq, .first = gap->first_seq};
        if (gap->packets > 0 && reader->unsealing->unit == STENO_CONTENT_PER_PACKET)
            g_array_append_val(reader->seq_gaps, seq);
        else
            g_array_append_val(reader->losses, gap->until_rtp_ts);
    }
    /* Both begin with what they are sorted by. */
    g_array_sort(reader->losses, compare_times);
    g_array_sort(reader->seq_gaps, compare_times);
}

/* The first of the sorted rows whose key is greater; NULL: there is none. */
static gconstpointer first_behind(const GArray *rows, gint64 key)
{
    guint low = 0, high = rows->len, size = g_array_get_element_size((GArray *)rows);
    while (low < high) {
        guint middle = low + (high - low) / 2;
        if (*(const gint64 *)(const void *)(rows->data + (gsize)middle * size) <= key)
            low = middle + 1;
        else
            high = middle;
    }
    return low < rows->len ? rows->data + (gsize)low * size : NULL;
}

/* Did the recorder tell that something is missing behind the last block and before this one? */
static gboolean was_told(const UnsealReader *reader, const StenoCaptureFrame *block)
{
    const gint64 *until = first_behind(reader->losses, reader->high_rtp_ts);
    if (until && *until <= block->rtp_ts)
        return TRUE;
    for (guint i = 0; i < reader->part->pauses->len; i++) {
        const ModelInterval *pause = &g_array_index(reader->part->pauses, ModelInterval, i);
        if (pause->until_us > reader->last.wall_us && pause->from_us < block->wall_us)
            return TRUE;
    }
    return FALSE;
}

static void note_time(UnsealReader *reader, const StenoCaptureFrame *block)
{
    if (!reader->begun || reader->last.rtp_ts != block->rtp_ts) {
        reader->times[reader->next_time] = (Time){block->rtp_ts, block->wall_us};
        reader->next_time = (reader->next_time + 1) % TIMES;
    }
    reader->high_rtp_ts = reader->begun ? MAX(reader->high_rtp_ts, block->rtp_ts) : block->rtp_ts;
    reader->last = (Time){block->rtp_ts, block->wall_us};
    reader->begun = TRUE;
}

void unseal_reader_last(const UnsealReader *reader, gint64 *rtp_ts, gint64 *wall_us)
{
    *rtp_ts = reader->last.rtp_ts;
    *wall_us = reader->last.wall_us;
}

/* ---- frames ------------------------------------------------------------------------------------------------------ */

static void tell_inspector(UnsealReader *reader, gint64 until_rtp_ts)
{
    StenoFrame *gap = steno_frame_new(opened_pool(reader->unsealing->opened), STENO_FRAME_GAP, 0);
    if (!gap)
        return;
    gap->codec = reader->codec;
    gap->rtp_ts = reader->last.rtp_ts;
    gap->gap.first_seq = gap->gap.last_seq = -1;
    gap->gap.until_rtp_ts = MAX(until_rtp_ts, gap->rtp_ts);
    gap->gap.cause = reader->broken_by;
    steno_inspector_gap(reader->inspector, gap);
}

static void inspect(UnsealReader *reader, const StenoCaptureFrame *block, const guint8 *data, gsize bytes)
{
    StenoFrame *frame = steno_frame_new(opened_pool(reader->unsealing->opened), STENO_FRAME_MEDIA, bytes);
    if (!frame)
        return;
    frame->codec = reader->codec;
    frame->rtp_ts = block->rtp_ts;
    frame->wall_us = block->wall_us;
    frame->arrival_us = block->arrival_us;
    memcpy(frame->payload, data, bytes);
    frame->payload_bytes = (guint32)bytes;
    (void)steno_inspector_frame(reader->inspector, frame);
}

static void take_frame(UnsealReader *reader, const StenoCaptureFrame *block, const guint8 *data, gsize bytes)
{
    if (reader->begun && was_told(reader, block))
        unseal_reader_broken(reader);
    if (reader->broken && steno_codec_is_video(reader->codec) && reader->inspector)
        tell_inspector(reader, block->rtp_ts);
    reader->broken = FALSE;
    note_time(reader, block);
    if (bytes > 0 && reader->inspector)
        inspect(reader, block, data, bytes);
}

/* ---- packets ----------------------------------------------------------------------------------------------------- */

/*
 * Tells the depacketizer what is missing before this packet. Numbers that were left out are no proof: packets of
 * padding are not kept.
 */
static void take_seq(UnsealReader *reader, const StenoCaptureFrame *block, const SealedPacket *packet)
{
    const SeqGap *gap = reader->has_seq ? first_behind(reader->seq_gaps, reader->last_seq) : NULL;
    gboolean lost = gap && gap->first < packet->seq;
    if (lost || reader->broken || (reader->begun && was_told(reader, block))) {
        gint64 first = reader->has_seq ? MIN(reader->last_seq + 1, packet->seq - 1) : packet->seq - 1;
        steno_depacketizer_gap(reader->depacketizer, first, packet->seq - 1,
                               (guint32)MIN(packet->seq - first, G_MAXINT32), reader->last.rtp_ts, block->rtp_ts,
                               STENO_GAP_LOST);
    }
    reader->broken = FALSE;
    reader->last_seq = packet->seq;
    reader->has_seq = TRUE;
}

static void push_packet(UnsealReader *reader, const StenoCaptureFrame *block, gint64 seq, gboolean marker,
                        const guint8 *data, gsize bytes)
{
    StenoPacket *packet = steno_packet_new(reader->unsealing->packets);
    if (packet && bytes <= sizeof packet->data) {
        packet->seq = seq;
        packet->rtp_ts = block->rtp_ts;
        packet->arrival_us = block->arrival_us;
        packet->marker = marker;
        packet->payload_offset = 0;
        packet->payload_bytes = (guint16)bytes;
        packet->bytes = (guint32)bytes;
        memcpy(packet->data, data, bytes);
        (void)steno_depacketizer_push(reader->depacketizer, packet);
    }
    if (packet)
        steno_packet_free(packet);
}

static void take_packet(UnsealReader *reader, const StenoCaptureFrame *block, const guint8 *data, gsize bytes,
                        const SealedPacket *packet)
{
    take_seq(reader, block, packet);
    note_time(reader, block);
    push_packet(reader, block, packet->seq, packet->marker, data, bytes);
}

/* ---- the public face --------------------------------------------------------------------------------------------- */

void unseal_reader_frame(UnsealReader *reader, const StenoCaptureFrame *block, const guint8 *data, gsize bytes,
                         const SealedPacket *packet)
{
    if (!packet)
        take_frame(reader, block, data, bytes);
    else if (reader->depacketizer)
        take_packet(reader, block, data, bytes, packet);
}

void unseal_reader_missing(UnsealReader *reader, const StenoCaptureFrame *block, const SealedPacket *packet,
                           StenoGapCause cause)
{
    if (packet && reader->depacketizer) {
        take_seq(reader, block, packet);
        steno_depacketizer_gap(reader->depacketizer, packet->seq, packet->seq, 1, block->rtp_ts, block->rtp_ts + 1,
                               cause);
    }
    note_time(reader, block);
    if (!packet)
        break_by(reader, cause);
}

typedef struct {
    UnsealReader *reader;
    const StenoCaptureFrame *block;
} Again;

static void push_again(gpointer user, const guint8 *payload, gsize bytes, gboolean last)
{
    const Again *again = user;
    push_packet(again->reader, again->block, -1, last, payload, bytes);
}

static void take_again(UnsealReader *reader, const StenoCaptureFrame *block, const GByteArray *whole)
{
    Again again = {reader, block};
    if (reader->inspector)
        inspect(reader, block, whole->data, whole->len);
    else
        repacketize(reader->codec, whole->data, whole->len, push_again, &again);
}

/* The clear file before: its first frame tells codec what the picture is like, its last one whether it goes on.
 */
static void go_on_from(UnsealReader *reader, const char *path)
{
    g_autoptr(StenoCaptureReader) before = steno_capture_reader_open(path, NULL);
    if (!before || steno_capture_reader_codec(before) != reader->codec)
        return;
    gsize parameters_bytes;
    const guint8 *parameters = steno_capture_reader_parameters(before, &parameters_bytes);
    StenoCaptureFrame frame;
    gboolean first = TRUE, decodable = FALSE;
    reader->muted = TRUE;
    while (steno_capture_reader_next(before, &frame) == 1) {
        if (frame.encrypted)
            continue;
        frame.rtp_ts = CLAMP(frame.rtp_ts, -MODEL_RTP_MAX, MODEL_RTP_MAX);
        frame.wall_us = CLAMP(frame.wall_us, 0, MODEL_TIME_MAX_US);
        note_time(reader, &frame);
        decodable = frame.decodable;
        if (first && frame.payload_bytes > 0) {
            g_autoptr(GByteArray) whole = g_byte_array_new();
            if (parameters && !annexb_has_parameters(reader->codec, frame.payload, frame.payload_bytes))
                g_byte_array_append(whole, parameters, (guint)parameters_bytes);
            g_byte_array_append(whole, frame.payload, (guint)frame.payload_bytes);
            take_again(reader, &frame, whole);
        }
        first = FALSE;
    }
    reader->muted = FALSE;
    if (!decodable)
        unseal_reader_broken(reader);
}

static void make_codec(UnsealReader *reader, const StenoCaptureReader *sealed)
{
    guint width, height, channels;
    steno_capture_reader_format(sealed, &width, &height, &channels, &reader->clock_hz);
    const StenoDepacketizerConfig config = {
        .codec = reader->codec,
        .clock_hz = reader->clock_hz,
        .channels = (guint8)MIN(channels, G_MAXUINT8),
        .track = reader->track->number,
    };
    g_clear_pointer(&reader->inspector, steno_inspector_free);
    g_clear_pointer(&reader->depacketizer, steno_depacketizer_free);
    g_clear_pointer(&reader->format, steno_frame_unref);
    StenoFramePool *pool = opened_pool(reader->unsealing->opened);
    if (reader->unsealing->unit == STENO_CONTENT_PER_PACKET)
        reader->depacketizer = steno_depacketizer_new(&config, pool, on_frame, reader);
    else
        reader->inspector = steno_inspector_new(&config, pool, on_frame, reader);
}

void unseal_reader_begin_file(UnsealReader *reader, const SealedFile *file, const StenoCaptureReader *sealed)
{
    StenoCodec codec = steno_capture_reader_codec(sealed);
    gboolean made = reader->inspector || reader->depacketizer;
    reader->copy = file->copy;
    reader->format_pushed = FALSE;
    if (made && codec == reader->codec)
        return;
    reader->codec = codec;
    make_codec(reader, sealed);
    if (file->index == 0 || !(reader->inspector || reader->depacketizer) || !steno_codec_is_video(codec))
        return;
    const ModelFile *before = &g_array_index(reader->track->files, ModelFile, file->index - 1);
    g_autofree char *path = model_file_path(reader->unsealing->model, reader->track, before);
    go_on_from(reader, path);
}

void unseal_reader_end_file(UnsealReader *reader, gboolean goes_on)
{
    if (goes_on)
        return;
    if (reader->depacketizer)
        steno_depacketizer_flush(reader->depacketizer);
    if (reader->inspector)
        steno_inspector_flush(reader->inspector);
    /* What comes behind a file in the clear begins from that one. */
    g_clear_pointer(&reader->inspector, steno_inspector_free);
    g_clear_pointer(&reader->depacketizer, steno_depacketizer_free);
    reader->has_seq = FALSE;
}

UnsealReader *unseal_reader_new(const Unsealing *unsealing, ModelTrack *track)
{
    UnsealReader *reader = g_new0(UnsealReader, 1);
    reader->unsealing = unsealing;
    reader->track = track;
    reader->part = model_part(unsealing->model, track->part);
    find_losses(reader);
    return reader;
}

void unseal_reader_free(UnsealReader *reader)
{
    g_clear_pointer(&reader->inspector, steno_inspector_free);
    g_clear_pointer(&reader->depacketizer, steno_depacketizer_free);
    g_clear_pointer(&reader->format, steno_frame_unref);
    g_array_unref(reader->losses);
    g_array_unref(reader->seq_gaps);
    g_free(reader);
}
