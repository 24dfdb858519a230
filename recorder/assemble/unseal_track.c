#include "unseal_track.h"

#include "unseal_reader.h"

#include <string.h>

struct UnsealTrack {
    const Unsealing *unsealing;
    SealedFile *files; /* of the track */
    guint n, next;     /* the file that comes after the open one */
    SealedFile *file;  /* the open one; NULL: none */
    StenoCaptureReader *capture;
    StenoCaptureFrame block; /* the one that comes next */
    SealedPacket packet;     /* what is in it */
    guint64 skipped;         /* of the open file, by the block */
    guint foreign;           /* blocks of it that are not what they should be */
    StenoContentOpener *opener;
    UnsealReader *reader; /* of what was opened */
    GByteArray *payload;
    gboolean failing; /* the last blocks could not be opened: */
    ModelGap failure;
    guint failures;
};

/* ---- gaps -------------------------------------------------------------------------------------------------------- */

static ModelTrack *model_of(const UnsealTrack *track)
{
    return track->files[0].track;
}

static void add_gap(UnsealTrack *track, const ModelGap *gap)
{
    GArray *gaps = model_of(track)->gaps;
    if (gaps->len < MODEL_ROWS_MAX)
        g_array_append_vals(gaps, gap, 1);
}

static void end_failure(UnsealTrack *track, gint64 until_rtp_ts, gint64 until_us)
{
    if (!track->failing)
        return;
    track->failing = FALSE;
    track->failure.until_rtp_ts = MAX(until_rtp_ts, track->failure.until_rtp_ts);
    track->failure.until_us = MAX(until_us, track->failure.until_us);
    add_gap(track, &track->failure);
}

static gboolean is_more_of_it(const UnsealTrack *track, StenoGapCause cause, const StenoContentOpened *opened)
{
    const ModelGap *failure = &track->failure;
    if (track->failing && track->failures > UNSEAL_GAPS_MAX)
        return TRUE;
    return track->failing && failure->cause == cause && failure->has_kid == opened->has_kid &&
           failure->kid == opened->kid;
}

static void fail(UnsealTrack *track, StenoContentOutcome outcome, const StenoContentOpened *opened)
{
    const StenoCaptureFrame *block = &track->block;
    gboolean packets = track->unsealing->unit == STENO_CONTENT_PER_PACKET;
    StenoGapCause cause = outcome == STENO_CONTENT_NO_KEY ? STENO_GAP_NO_KEY : STENO_GAP_BAD_KEY;
    gboolean same_frame = packets && track->failing && track->failure.until_rtp_ts == block->rtp_ts;
    if (!is_more_of_it(track, cause, opened)) {
        end_failure(track, block->rtp_ts, block->wall_us);
        track->failing = TRUE;
        track->failures++;
        track->failure = (ModelGap){
            .cause = cause,
            .rtp_ts = block->rtp_ts,
            .from_us = block->wall_us,
            .first_seq = packets ? track->packet.seq : 0,
            .has_kid = opened->has_kid,
            .kid = opened->kid,
        };
    }
    ModelGap *failure = &track->failure;
    failure->frames += !same_frame;
    failure->packets += packets;
    failure->last_seq = packets ? track->packet.seq : 0;
    failure->until_rtp_ts = block->rtp_ts;
    failure->until_us = MAX(failure->until_us, block->wall_us);
    track->file->kept = TRUE;
    track->unsealing->unsealed->failed++;
    track->unsealing->unsealed->bad_key |= cause == STENO_GAP_BAD_KEY;
    unseal_reader_missing(track->reader, block, packets ? &track->packet : NULL, cause);
}

/* Damage between two blocks, or behind the last one (block NULL). */
static void tell_damage(UnsealTrack *track, const StenoCaptureFrame *block)
{
    guint64 skipped = steno_capture_reader_skipped(track->capture);
    if (skipped == track->skipped)
        return;
    ModelGap gap = {.cause = STENO_GAP_DAMAGED};
    unseal_reader_last(track->reader, &gap.rtp_ts, &gap.from_us);
    gap.until_rtp_ts = block ? block->rtp_ts : gap.rtp_ts;
    gap.until_us = MAX(block ? block->wall_us : 0, gap.from_us);
    add_gap(track, &gap);
    unseal_reader_broken(track->reader);
    const ModelFile row = {.part = track->file->part, .number = track->file->number};
    g_autofree char *name = model_file_name(model_of(track), &row);
    model_problem(track->unsealing->model, "%s is damaged: %" G_GUINT64_FORMAT " bytes could not be read", name,
                  skipped - track->skipped);
    track->skipped = skipped;
}

/* ---- files ------------------------------------------------------------------------------------------------------- */

static void close_file(UnsealTrack *track)
{
    const SealedFile *file = track->file;
    Model *model = track->unsealing->model;
    const ModelPart *part = model_part(model, model_of(track)->part);
    /* What a recorder that died had not written is missing anyway. */
    if (part->clean || part->last_folder != file->part)
        tell_damage(track, NULL);
    end_failure(track, 0, 0);
    if (track->foreign > 0)
        model_problem(model, "part %u, track %u: %u blocks of a sealed file make no sense", file->part,
                      model_of(track)->number, track->foreign);
    gboolean goes_on = track->next < track->n && track->files[track->next].index == file->index + 1;
    unseal_reader_end_file(track->reader, goes_on);
    g_clear_pointer(&track->capture, steno_capture_reader_free);
    track->file = NULL;
}

static gboolean open_file(UnsealTrack *track)
{
    SealedFile *file = &track->files[track->next++];
    g_autofree char *path = sealed_path(track->unsealing->model, file);
    track->capture = steno_capture_reader_open(path, NULL);
    if (!track->capture)
        return FALSE;
    track->file = file;
    track->skipped = 0;
    track->foreign = 0;
    file->copy = opened_begin(track->unsealing->opened);
    unseal_reader_begin_file(track->reader, file, track->capture);
    return TRUE;
}

static gboolean is_lawful(UnsealTrack *track)
{
    StenoCaptureFrame *block = &track->block;
    block->rtp_ts = CLAMP(block->rtp_ts, -MODEL_RTP_MAX, MODEL_RTP_MAX);
    block->wall_us = CLAMP(block->wall_us, 0, MODEL_TIME_MAX_US);
    block->arrival_us = CLAMP(block->arrival_us, 0, MODEL_TIME_MAX_US);
    track->packet = (SealedPacket){.payload = block->payload, .payload_bytes = block->payload_bytes};
    return block->encrypted && (track->unsealing->unit == STENO_CONTENT_PER_FRAME ||
                                sealed_packet(block->payload, block->payload_bytes, &track->packet));
}

/* Goes to the next lawful block, of this file or one that comes after it. */
static void advance(UnsealTrack *track)
{
    while (track->file || track->next < track->n) {
        if (!track->file && !open_file(track))
            continue;
        while (steno_capture_reader_next(track->capture, &track->block) == 1) {
            if (is_lawful(track)) {
                tell_damage(track, &track->block);
                return;
            }
            track->foreign++;
        }
        close_file(track);
    }
}

/* ---- the public face --------------------------------------------------------------------------------------------- */

UnsealTrack *unseal_track_new(const Unsealing *unsealing, StenoContentRing *ring, SealedFile *files, guint n)
{
    UnsealTrack *track = g_new0(UnsealTrack, 1);
    track->unsealing = unsealing;
    track->files = files;
    track->n = n;
    track->opener = ring ? steno_content_opener_new(ring, files[0].track->participant->id) : NULL;
    track->reader = unseal_reader_new(unsealing, files[0].track);
    track->payload = g_byte_array_new();
    g_byte_array_set_size(track->payload, 1);
    return track;
}

void unseal_track_free(UnsealTrack *track)
{
    g_clear_pointer(&track->capture, steno_capture_reader_free);
    g_clear_pointer(&track->opener, steno_content_opener_free);
    unseal_reader_free(track->reader);
    g_byte_array_unref(track->payload);
    g_free(track);
}

gint64 unseal_track_next_us(const UnsealTrack *track)
{
    if (track->file)
        return track->block.arrival_us;
    return track->next < track->n ? MIN(track->files[track->next].first_arrival_us, G_MAXINT64 - 1) : G_MAXINT64;
}

void unseal_track_step(UnsealTrack *track)
{
    if (!track->file) { /* a file is open only while its blocks are due */
        advance(track);
        return;
    }
    const SealedPacket *packet = &track->packet;
    StenoContentOpened opened = {0};
    StenoContentOutcome outcome = STENO_CONTENT_NO_KEY;
    if (track->payload->len < packet->payload_bytes)
        g_byte_array_set_size(track->payload, (guint)packet->payload_bytes);
    if (track->opener)
        outcome = sealed_open(track->opener, steno_capture_reader_codec(track->capture), track->unsealing->unit, packet,
                              track->payload->data, &opened);
    track->unsealing->unsealed->frames++;
    if (outcome == STENO_CONTENT_NO_KEY || outcome == STENO_CONTENT_BAD_KEY) {
        fail(track, outcome, &opened);
    } else if (outcome != STENO_CONTENT_INJECTED && opened.bytes > 0) { /* nothing: DTX, which no key is needed for */
        end_failure(track, track->block.rtp_ts, track->block.wall_us);
        unseal_reader_frame(track->reader, &track->block, track->payload->data, opened.bytes,
                            track->unsealing->unit == STENO_CONTENT_PER_PACKET ? packet : NULL);
    }
    advance(track);
}
