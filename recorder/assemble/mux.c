#include "mux.h"

#include "feed.h"
#include "scratch.h"
#include "stream.h"

#include "steno/base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <libavutil/opt.h>
#include <unistd.h>

typedef struct {
    AVFormatContext *context;
    GPtrArray *feeds;   /* of Feed, one a stream */
    AVPacket **waiting; /* the next packet of each; size 0: the end */
    gint64 *last_dts;   /* of each, in the container's time base */
    char *path;
    const MuxCenc *cenc; /* or NULL */
    gboolean header;
} Mux;

static gboolean av_failed(int code, GError **error, const char *path, const char *doing)
{
    char words[AV_ERROR_MAX_STRING_SIZE];
    int number = AVUNERROR(code);
    if (number == ENOSPC || number == EDQUOT || number == EACCES || number == EPERM || number == EROFS ||
        number == EIO || number == ENOENT)
        return steno_error_set_errno(error, number, "%s %s", doing, path);
    av_strerror(code, words, sizeof words);
    g_set_error(error, STENO_ERROR, STENO_ERROR_INTERNAL, "%s %s: %s", doing, path, words);
    return FALSE;
}

static Feed *make_feed(Model *model, const PlanStream *plan, gint64 until_us, AVStream *stream, GError **error)
{
    if (plan->aac)
        return feed_aac_new(model, plan, until_us, stream->codecpar, error);
    return plan->video ? feed_video_new(model, plan) : feed_audio_new(model, plan, until_us);
}

/*
 * Sound goes on until the last picture of the participant; but not over a seam, behind which the sound of the next
 * section is, while some of this one's pictures may be.
 */
static gint64 end_of_sound(const Model *model, const PlanOutput *output)
{
    gint64 end_us = 0;
    for (guint i = 0; i < output->streams->len; i++) {
        const PlanStream *stream = output->streams->pdata[i];
        if (stream->video)
            end_us = MAX(end_us, stream->end_us);
    }
    return model->scope.end_us > 0 ? MIN(end_us, model->scope.end_us - model->begin_us) : end_us;
}

static gboolean add_streams(Mux *mux, Model *model, const PlanOutput *output, GError **error)
{
    for (guint i = 0; i < output->streams->len; i++) {
        const PlanStream *plan = output->streams->pdata[i];
        AVStream *stream = avformat_new_stream(mux->context, NULL);
        if (!plan->aac && !stream_describe(model, output, plan, stream, error))
            return FALSE;
        Feed *feed = make_feed(model, plan, end_of_sound(model, output), stream, error);
        if (!feed)
            return FALSE;
        g_ptr_array_add(mux->feeds, feed);
        stream->time_base = feed->time_base;
        stream->disposition = plan->is_default ? AV_DISPOSITION_DEFAULT : 0;
    }
    return TRUE;
}

static gboolean set_cenc(Mux *mux, GError **error)
{
    void *muxer = mux->context->priv_data;
    int code = av_opt_set(muxer, "encryption_scheme", "cenc-aes-ctr", 0);
    if (code >= 0)
        code = av_opt_set_bin(muxer, "encryption_key", mux->cenc->key, MUX_CENC_BYTES, 0);
    if (code >= 0)
        code = av_opt_set_bin(muxer, "encryption_kid", mux->cenc->kid, MUX_CENC_BYTES, 0);
    return code >= 0 || av_failed(code, error, mux->path, "encrypting");
}

static gboolean start(Mux *mux, const PlanOutput *output, GError **error)
{
    /* No dates, no random ids, no version: same capture in, same bytes out. Under a key it must not be so: a counter
     * that begins at zero in each file and stream is one keystream for all of them. */
    if (!mux->cenc)
        mux->context->flags |= AVFMT_FLAG_BITEXACT;
    else if (!set_cenc(mux, error))
        return FALSE;
    mux->context->url = av_strdup(mux->path); /* faststart opens it again to read */
    int code = avio_open(&mux->context->pb, mux->path, AVIO_FLAG_WRITE);
    if (code < 0)
        return av_failed(code, error, mux->path, "creating");
    AVDictionary *options = NULL;
    if (output->container == PLAN_MP4 || output->container == PLAN_M4A) {
        av_dict_set(&options, "movflags", "+faststart", 0);
        av_dict_set(&options, "video_track_timescale", "90000", 0);
        /* Edit lists are in this: in ms, a last packet of less than that lies outside, and players leave it out. */
        av_dict_set(&options, "movie_timescale", "90000", 0);
    } else {
        av_dict_set(&options, "cues_to_front", "1", 0);
    }
    code = avformat_write_header(mux->context, &options);
    av_dict_free(&options);
    if (code < 0)
        return av_failed(code, error, mux->path, "starting");
    mux->header = TRUE;
    return TRUE;
}

static gboolean fetch(Mux *mux, guint stream, GError **error)
{
    Feed *feed = mux->feeds->pdata[stream];
    av_packet_unref(mux->waiting[stream]);
    return feed->next(feed, mux->waiting[stream], error);
}

/* The stream whose packet comes first, or -1 when all are at their end. */
static int earliest(const Mux *mux)
{
    int best = -1;
    for (guint i = 0; i < mux->feeds->len; i++) {
        const Feed *feed = mux->feeds->pdata[i];
        if (mux->waiting[i]->size == 0)
            continue;
        if (best < 0 || av_compare_ts(mux->waiting[i]->dts, feed->time_base, mux->waiting[best]->dts,
                                      ((const Feed *)mux->feeds->pdata[best])->time_base) < 0)
            best = (int)i;
    }
    return best;
}

/*
 * Ticks of the container may be coarser than the feed's. Two packets of a stream never get the same one: an SFU gives
 * two frames one RTP time when it switches layers.
 */
static void rescale(Mux *mux, int stream, AVPacket *packet)
{
    const Feed *feed = mux->feeds->pdata[stream];
    av_packet_rescale_ts(packet, feed->time_base, mux->context->streams[stream]->time_base);
    if (packet->dts <= mux->last_dts[stream])
        packet->dts = mux->last_dts[stream] + 1;
    packet->pts = MAX(packet->pts, packet->dts);
    mux->last_dts[stream] = packet->dts;
}

static gboolean write_packets(Mux *mux, MuxProgress progress, gpointer user, GError **error)
{
    for (guint i = 0; i < mux->feeds->len; i++)
        if (!fetch(mux, i, error))
            return FALSE;
    int stream;
    while ((stream = earliest(mux)) >= 0) {
        AVPacket *packet = mux->waiting[stream];
        packet->stream_index = stream;
        rescale(mux, stream, packet);
        int code = av_write_frame(mux->context, packet);
        if (code >= 0 && mux->context->pb->error < 0)
            code = mux->context->pb->error;
        if (code < 0)
            return av_failed(code, error, mux->path, "writing");
        if (progress)
            progress(user, (gsize)packet->size);
        if (!fetch(mux, (guint)stream, error))
            return FALSE;
    }
    return TRUE;
}

static gboolean finish(Mux *mux, GError **error)
{
    int code = av_write_trailer(mux->context);
    mux->header = FALSE;
    if (code >= 0)
        code = mux->context->pb->error;
    int closed = avio_closep(&mux->context->pb);
    if (code >= 0)
        code = closed;
    if (code < 0)
        return av_failed(code, error, mux->path, "finishing");
    int fd = open(mux->path, O_RDONLY | O_CLOEXEC);
    gboolean synced = fd >= 0 && fsync(fd) == 0;
    int saved = errno;
    if (fd >= 0)
        close(fd);
    return synced || steno_error_set_errno(error, saved, "writing %s to disk", mux->path);
}

static void collect(const Mux *mux, MuxResult *result)
{
    result->n_streams = mux->feeds->len;
    result->streams = g_new0(MuxStreamResult, mux->feeds->len);
    for (guint i = 0; i < mux->feeds->len; i++) {
        const Feed *feed = mux->feeds->pdata[i];
        result->streams[i] = (MuxStreamResult){.frames = feed->frames,
                                               .packets = feed->packets,
                                               .silence_packets = feed->silence_packets,
                                               .first_us = feed->first_us,
                                               .end_us = feed->end_us};
        result->duration_us = MAX(result->duration_us, feed->end_us);
    }
}

/* Opens what was written and counts, before anybody is told that it is there. */
static gboolean prove(const Mux *mux, const MuxResult *result, GError **error)
{
    AVFormatContext *input = NULL;
    int code = avformat_open_input(&input, mux->path, NULL, NULL);
    if (code < 0)
        return av_failed(code, error, mux->path, "reading back");
    g_autofree guint64 *packets = g_new0(guint64, result->n_streams + 1);
    guint64 clear = 0;
    AVPacket *packet = av_packet_alloc();
    while ((code = av_read_frame(input, packet)) >= 0) {
        packets[MIN((guint)packet->stream_index, result->n_streams)]++;
        clear += !av_packet_get_side_data(packet, AV_PKT_DATA_ENCRYPTION_INFO, NULL);
        av_packet_unref(packet);
    }
    av_packet_free(&packet);
    avformat_close_input(&input);
    for (guint i = 0; i < result->n_streams; i++)
        if (code != AVERROR_EOF || packets[i] != result->streams[i].packets) {
            g_set_error(error, STENO_ERROR, STENO_ERROR_INTERNAL,
                        "reading back %s: stream %u has %" G_GUINT64_FORMAT " packets, %" G_GUINT64_FORMAT
                        " were written",
                        mux->path, i, packets[i], result->streams[i].packets);
            return FALSE;
        }
    if (mux->cenc && clear > 0) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_INTERNAL,
                    "reading back %s: %" G_GUINT64_FORMAT " packets are not encrypted", mux->path, clear);
        return FALSE;
    }
    return TRUE;
}

static void feed_free(gpointer feed)
{
    ((Feed *)feed)->free(feed);
}

static void mux_clear(Mux *mux, guint n_streams)
{
    if (mux->header)
        (void)av_write_trailer(mux->context); /* frees what the muxer holds */
    if (mux->context && mux->context->pb)
        avio_closep(&mux->context->pb);
    avformat_free_context(mux->context);
    for (guint i = 0; i < n_streams; i++)
        av_packet_free(&mux->waiting[i]);
    g_free(mux->waiting);
    g_free(mux->last_dts);
    g_ptr_array_unref(mux->feeds);
    g_free(mux->path);
}

gboolean mux_write(Model *model, const PlanOutput *output, const MuxCenc *cenc, const char *folder, const char *name,
                   MuxProgress progress, gpointer user, MuxResult *result, GError **error)
{
    guint n = output->streams->len;
    Mux mux = {.cenc = cenc,
               .feeds = g_ptr_array_new_with_free_func(feed_free),
               .waiting = g_new0(AVPacket *, n),
               .last_dts = g_new(gint64, n)};
    g_autofree char *temporary = g_strconcat(SCRATCH_PREFIX, name, NULL);
    g_autofree char *path = g_build_filename(folder, name, NULL);
    mux.path = g_build_filename(folder, temporary, NULL);
    for (guint i = 0; i < n; i++) {
        mux.waiting[i] = av_packet_alloc();
        mux.last_dts[i] = G_MININT64;
    }
    *result = (MuxResult){0};
    gboolean done = avformat_alloc_output_context2(&mux.context, NULL, plan_muxer(output->container), NULL) >= 0;
    if (!done)
        g_set_error(error, STENO_ERROR, STENO_ERROR_INTERNAL, "libavformat has no muxer %s",
                    plan_muxer(output->container));
    done = done && add_streams(&mux, model, output, error) && start(&mux, output, error) &&
           write_packets(&mux, progress, user, error) && finish(&mux, error);
    if (done) {
        collect(&mux, result);
        done = prove(&mux, result, error);
    }
    if (done && g_rename(mux.path, path) != 0)
        done = steno_error_set_errno(error, errno, "renaming %s", mux.path);
    if (!done) {
        (void)g_unlink(mux.path);
        mux_result_clear(result);
    }
    mux_clear(&mux, n);
    return done;
}

void mux_result_clear(MuxResult *result)
{
    g_clear_pointer(&result->streams, g_free);
}
