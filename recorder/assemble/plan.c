#include "plan.h"

#include <string.h>

static const IndexFrame *frame_at(const TrackScan *scan, guint index)
{
    return &g_array_index(scan->frames, IndexFrame, index);
}

static const ScanSegment *segment_of(const TrackScan *scan, guint frame)
{
    return &g_array_index(scan->segments, ScanSegment, frame_at(scan, frame)->segment);
}

gboolean plan_uses(const PlanRun *run, const IndexFrame *frame)
{
    if (frame->flags & (FRAME_ENCRYPTED | FRAME_BAD))
        return FALSE;
    return run->keep_undecodable || !(frame->flags & FRAME_UNDECODABLE);
}

/* What the source is called where the platform says so: "screen", "screen_share", "screenshare", "presentation". */
static gboolean is_screen(const ModelTrack *track)
{
    return track->source && (strstr(track->source, "screen") || strstr(track->source, "presentation"));
}

static void measure(PlanRun *run)
{
    run->frames = 0;
    for (guint i = run->from; i < run->until; i++) {
        const IndexFrame *frame = frame_at(run->scan, i);
        if (!plan_uses(run, frame))
            continue;
        gint64 length = frame->samples * (gint64)1000000 / MAX(run->scan->track->clock_hz, 1);
        if (run->frames++ == 0)
            run->start_us = frame->at_us;
        run->end_us = MAX(run->end_us, frame->at_us + length);
        run->start_us = MIN(run->start_us, frame->at_us);
    }
}

static void add_runs(GArray *runs, const TrackScan *scan)
{
    for (guint from = 0, until; from < scan->frames->len; from = until) {
        StenoCodec codec = segment_of(scan, from)->codec;
        for (until = from; until < scan->frames->len && segment_of(scan, until)->codec == codec; until++)
            ;
        PlanRun run = {.scan = scan, .from = from, .until = until, .codec = codec, .end_us = G_MININT64};
        measure(&run);
        if (run.frames == 0) {
            run.keep_undecodable = TRUE;
            measure(&run);
        }
        if (run.frames > 0)
            g_array_append_val(runs, run);
    }
}

static gint compare_runs(gconstpointer a, gconstpointer b)
{
    const PlanRun *x = a, *y = b;
    return (x->start_us > y->start_us) - (x->start_us < y->start_us); /* the sort is stable */
}

/* How well a run continues a stream; 0: not at all. */
static int fit(const PlanStream *stream, const PlanRun *run, StenoAudio audio)
{
    const PlanRun *last = &g_array_index(stream->runs, PlanRun, stream->runs->len - 1);
    const ModelTrack *before = last->scan->track, *track = run->scan->track;
    gboolean aac = audio == STENO_AUDIO_AAC && !stream->video;
    if (stream->video != steno_codec_is_video(run->codec) || stream->screen != is_screen(track))
        return 0;
    if ((stream->codec != run->codec && !aac) || stream->end_us > run->start_us + PLAN_OVERLAP_US)
        return 0;
    if (before == track)
        return 3;
    return g_strcmp0(before->mid, track->mid) == 0 ? 2 : 1;
}

static void append_run(PlanStream *stream, const PlanRun *run)
{
    g_array_append_vals(stream->runs, run, 1);
    stream->end_us = MAX(stream->end_us, run->end_us);
}

static void stream_free(gpointer data)
{
    PlanStream *stream = data;
    g_array_unref(stream->runs);
    g_free(stream);
}

static void assign(GPtrArray *streams, const PlanRun *run, StenoAudio audio)
{
    PlanStream *best = NULL;
    int best_fit = 0;
    for (guint i = 0; i < streams->len; i++) {
        int candidate = fit(streams->pdata[i], run, audio);
        if (candidate > best_fit) {
            best = streams->pdata[i];
            best_fit = candidate;
        }
    }
    if (!best) {
        best = g_new0(PlanStream, 1);
        best->video = steno_codec_is_video(run->codec);
        best->screen = is_screen(run->scan->track);
        best->aac = audio == STENO_AUDIO_AAC && !best->video;
        best->codec = run->codec;
        best->runs = g_array_new(FALSE, FALSE, sizeof(PlanRun));
        best->end_us = G_MININT64;
        g_ptr_array_add(streams, best);
    }
    append_run(best, run);
}

static gboolean parameters_change(const PlanStream *stream)
{
    if (stream->codec != STENO_CODEC_H264 && stream->codec != STENO_CODEC_H265)
        return FALSE;
    const ScanSegment *first = NULL;
    for (guint r = 0; r < stream->runs->len; r++) {
        const PlanRun *run = &g_array_index(stream->runs, PlanRun, r);
        for (guint i = run->from; i < run->until; i++) {
            const ScanSegment *segment = segment_of(run->scan, i);
            if (!first)
                first = segment;
            if (!track_same_parameters(segment, first))
                return TRUE;
        }
    }
    return FALSE;
}

static gint compare_streams(gconstpointer a, gconstpointer b)
{
    const PlanStream *x = *(PlanStream *const *)a, *y = *(PlanStream *const *)b;
    if (x->video != y->video)
        return y->video - x->video;
    return x->screen - y->screen; /* the sort is stable: else in order of time */
}

static PlanContainer choose(const GPtrArray *streams)
{
    gboolean video = FALSE, webm = TRUE, mp4 = TRUE, aac = FALSE;
    for (guint i = 0; i < streams->len; i++) {
        const PlanStream *stream = streams->pdata[i];
        video |= stream->video;
        aac |= stream->aac;
        gboolean opus = !stream->aac && stream->codec == STENO_CODEC_OPUS;
        webm &= opus || stream->codec == STENO_CODEC_VP8 || stream->codec == STENO_CODEC_VP9;
        mp4 &= opus || stream->aac || stream->codec == STENO_CODEC_H264 || stream->codec == STENO_CODEC_H265 ||
               stream->codec == STENO_CODEC_AV1;
    }
    if (webm && !aac)
        return PLAN_WEBM;
    if (mp4)
        return video ? PLAN_MP4 : PLAN_M4A;
    return video ? PLAN_MATROSKA : PLAN_MKA;
}

PlanOutput *plan_output(const ModelParticipant *participant, TrackScan *const *scans, guint n, StenoAudio audio)
{
    g_autoptr(GArray) runs = g_array_new(FALSE, FALSE, sizeof(PlanRun));
    for (guint i = 0; i < n; i++)
        add_runs(runs, scans[i]);
    if (runs->len == 0)
        return NULL;
    g_array_sort(runs, compare_runs);
    PlanOutput *output = g_new0(PlanOutput, 1);
    output->participant = participant;
    output->streams = g_ptr_array_new_with_free_func(stream_free);
    for (guint i = 0; i < runs->len; i++)
        assign(output->streams, &g_array_index(runs, PlanRun, i), audio);
    g_ptr_array_sort(output->streams, compare_streams);
    for (guint i = 0; i < output->streams->len; i++) {
        PlanStream *stream = output->streams->pdata[i];
        const PlanStream *before = i ? output->streams->pdata[i - 1] : NULL;
        stream->is_default = !before || before->video != stream->video;
        stream->parameters_change = parameters_change(stream);
    }
    output->container = choose(output->streams);
    return output;
}

void plan_output_free(PlanOutput *output)
{
    if (!output)
        return;
    g_ptr_array_unref(output->streams);
    g_free(output);
}

static const struct {
    const char *extension, *muxer;
} containers[] = {
    [PLAN_WEBM] = {"webm", "webm"},        [PLAN_MP4] = {"mp4", "mp4"},      [PLAN_M4A] = {"m4a", "mp4"},
    [PLAN_MATROSKA] = {"mkv", "matroska"}, [PLAN_MKA] = {"mka", "matroska"},
};

const char *plan_extension(PlanContainer container)
{
    return containers[container].extension;
}

const char *plan_muxer(PlanContainer container)
{
    return containers[container].muxer;
}
