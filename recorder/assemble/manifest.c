#include "manifest.h"

#include "scratch.h"

#include "steno/assemble.h"
#include "steno/base/clock.h"
#include "steno/base/error.h"
#include "steno/base/file.h"
#include "steno/base/version.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

void manifest_set_time(json_t *object, const char *name, gint64 wall_us)
{
    g_autofree char *exact = g_strconcat(name, "_us", NULL);
    g_autofree char *words = wall_us > 0 ? steno_clock_format(wall_us) : NULL;
    json_object_set_new(object, name, words ? json_string(words) : json_null());
    json_object_set_new(object, exact, wall_us > 0 ? json_integer(wall_us) : json_null());
}

void manifest_set_interval(json_t *object, gint64 from_us, gint64 until_us)
{
    manifest_set_time(object, "from", from_us);
    manifest_set_time(object, "until", until_us);
}

static void set_integer(json_t *object, const char *name, guint64 value)
{
    json_object_set_new(object, name, json_integer((json_int_t)MIN(value, (guint64)MODEL_TIME_MAX_US)));
}

/* Text of others: made valid, and never the reason why there is no manifest. */
static void set_string(json_t *object, const char *name, const char *text)
{
    g_autofree char *valid = g_utf8_make_valid(text ? text : "", -1);
    json_object_set_new(object, name, json_string(valid));
}

static json_t *track_key(const ModelTrack *track)
{
    return json_pack("{s:i, s:i}", "part", (int)track->part, "track", (int)track->number);
}

/* ---- tracks ------------------------------------------------------------------------------------------------------ */

static json_t *formats_of(const TrackScan *scan)
{
    json_t *formats = json_array();
    for (guint i = 0; i < scan->segments->len; i++) {
        const ScanSegment *segment = &g_array_index(scan->segments, ScanSegment, i);
        gint64 at_us = 0;
        for (guint f = 0; f < scan->frames->len && at_us == 0; f++)
            if (g_array_index(scan->frames, IndexFrame, f).segment == i)
                at_us = g_array_index(scan->frames, IndexFrame, f).wall_us;
        json_t *format = json_object();
        set_integer(format, "segment", segment->number);
        manifest_set_time(format, "at", at_us);
        set_string(format, "codec", steno_codec_name(segment->codec));
        set_integer(format, "clock_hz", segment->clock_hz);
        if (steno_codec_is_video(segment->codec)) {
            set_integer(format, "width", segment->width);
            set_integer(format, "height", segment->height);
        } else {
            set_integer(format, "channels", segment->channels);
        }
        json_array_append_new(formats, format);
    }
    return formats;
}

static json_t *codecs_of(const TrackScan *scan)
{
    json_t *codecs = json_array();
    gboolean seen[STENO_CODEC_COUNT] = {FALSE};
    for (guint i = 0; i < scan->segments->len; i++) {
        StenoCodec codec = g_array_index(scan->segments, ScanSegment, i).codec;
        if (!seen[codec])
            json_array_append_new(codecs, json_string(steno_codec_name(codec)));
        seen[codec] = TRUE;
    }
    return codecs;
}

static json_t *mutes_of(const ModelTrack *track)
{
    json_t *mutes = json_array();
    for (guint i = 0; i < track->mutes->len; i++) {
        const ModelMute *mute = &g_array_index(track->mutes, ModelMute, i);
        json_t *row = json_object();
        manifest_set_interval(row, mute->interval.from_us, mute->interval.until_us);
        set_string(row, "evidence", mute->by_platform ? "platform" : "rtp");
        json_array_append_new(mutes, row);
    }
    return mutes;
}

json_t *manifest_track(const TrackScan *scan)
{
    const ModelTrack *track = scan->track;
    json_t *row = track_key(track);
    set_string(row, "participant", track->participant->id);
    set_string(row, "kind", track->video ? "video" : "audio");
    set_string(row, "mid", track->mid);
    set_string(row, "source", track->source);
    set_integer(row, "ssrc", track->ssrc);
    json_object_set_new(row, "codecs", codecs_of(scan));
    json_object_set_new(row, "formats", formats_of(scan));
    manifest_set_time(row, "added", track->added_us);
    manifest_set_time(row, "removed", track->removed_us);
    manifest_set_time(row, "first", scan->first_us);
    manifest_set_time(row, "last", scan->last_us);
    set_integer(row, "frames", scan->frames->len);
    set_integer(row, "decodable_frames", scan->decodable);
    set_integer(row, "size_bytes", scan->bytes);
    const ModelStats *stats = &track->stats;
    json_t *rtp = json_object();
    set_integer(rtp, "packets", stats->packets);
    set_integer(rtp, "size_bytes", stats->bytes);
    set_integer(rtp, "lost", stats->lost);
    set_integer(rtp, "recovered", stats->recovered);
    set_integer(rtp, "duplicates", stats->duplicates);
    set_integer(rtp, "reordered", stats->reordered);
    set_integer(rtp, "late", stats->late);
    set_integer(rtp, "nacks", stats->nacks);
    set_integer(rtp, "plis", stats->plis);
    json_object_set_new(row, "rtp", rtp);
    json_object_set_new(row, "drift_ppb", json_integer((json_int_t)(scan->drift_ppm * 1000)));
    json_object_set_new(row, "mutes", mutes_of(track));
    return row;
}

/* ---- outputs ----------------------------------------------------------------------------------------------------- */

static json_t *stream_row(const PlanStream *plan, const MuxStreamResult *result, guint index)
{
    json_t *row = json_object();
    json_t *tracks = json_array();
    const ModelTrack *last = NULL;
    for (guint i = 0; i < plan->runs->len; i++) {
        const ModelTrack *track = g_array_index(plan->runs, PlanRun, i).scan->track;
        if (track != last)
            json_array_append_new(tracks, track_key(track));
        last = track;
    }
    set_integer(row, "index", index);
    set_string(row, "kind", plan->video ? "video" : "audio");
    set_string(row, "codec", plan->aac ? "aac" : steno_codec_name(plan->codec));
    json_object_set_new(row, "default", json_boolean(plan->is_default));
    json_object_set_new(row, "tracks", tracks);
    set_integer(row, "frames", result->frames);
    set_integer(row, "packets", result->packets);
    set_integer(row, "silence_packets", result->silence_packets);
    set_integer(row, "first_us", (guint64)MAX(result->first_us, 0));
    set_integer(row, "end_us", (guint64)MAX(result->end_us, 0));
    return row;
}

json_t *manifest_output(const Model *model, const PlanOutput *output, const MuxResult *result, const char *file,
                        gint64 bytes, const char *sha256)
{
    json_t *row = json_object();
    set_string(row, "file", file);
    set_string(row, "participant", output->participant->id);
    if (model->scope.section) {
        set_integer(row, "section", model->scope.section);
        manifest_set_time(row, "zero", model->begin_us);
    }
    set_string(row, "container", plan_extension(output->container));
    set_integer(row, "size_bytes", (guint64)bytes);
    set_string(row, "sha256", sha256);
    set_integer(row, "duration_us", (guint64)MAX(result->duration_us, 0));
    json_t *streams = json_array();
    for (guint i = 0; i < result->n_streams; i++)
        json_array_append_new(streams, stream_row(output->streams->pdata[i], &result->streams[i], i));
    json_object_set_new(row, "streams", streams);
    return row;
}

json_t *manifest_sealed_output(const char *file, guint section, gint64 bytes, const char *sha256)
{
    json_t *row = json_object();
    set_string(row, "file", file);
    set_string(row, "kind", MANIFEST_KIND_SEALED);
    if (section)
        set_integer(row, "section", section);
    set_integer(row, "size_bytes", (guint64)bytes);
    set_string(row, "sha256", sha256);
    return row;
}

gboolean manifest_is_sealed(const json_t *output)
{
    return json_object_get(output, "kind") != NULL;
}

gboolean manifest_has_media(const json_t *outputs)
{
    size_t i;
    const json_t *output;
    json_array_foreach (outputs, i, output)
        if (!manifest_is_sealed(output))
            return TRUE;
    return FALSE;
}

const char *manifest_state(const json_t *outputs, gboolean sealed_is_all)
{
    gboolean something = manifest_has_media(outputs) || (sealed_is_all && json_array_size(outputs) > 0);
    return something ? "completed" : "failed";
}

/* ---- the recording ----------------------------------------------------------------------------------------------- */

static json_t *parts_of(const Model *model)
{
    json_t *parts = json_array();
    for (guint i = 0; i < model->parts->len; i++) {
        const ModelPart *part = model->parts->pdata[i];
        json_t *row = json_object();
        set_integer(row, "number", part->number);
        manifest_set_interval(row, part->first_us, part->last_us);
        set_string(row, "end", part->clean ? "clean" : "torn");
        json_array_append_new(parts, row);
    }
    return parts;
}

static const char *recording_string(const Model *model, const char *name)
{
    return json_string_value(json_object_get(model->recording, name));
}

static json_t *error_of(const Model *model)
{
    const char *code = json_string_value(json_object_get(model->end_error, "code"));
    const char *message = json_string_value(json_object_get(model->end_error, "message"));
    if (!code && !message)
        return json_null();
    json_t *row = json_object();
    set_string(row, "code", code);
    set_string(row, "message", message);
    return row;
}

static json_t *labels_of(const Model *model)
{
    json_t *row = json_object();
    const char *name;
    json_t *value;
    json_object_foreach (json_object_get(model->recording, "labels"), name, value)
        if (json_is_string(value))
            set_string(row, name, json_string_value(value));
    return row;
}

static json_t *recording_of(const Model *model, const char *state)
{
    gint64 ended_us = model->zero_us;
    for (guint i = 0; i < model->parts->len; i++)
        ended_us = MAX(ended_us, ((const ModelPart *)model->parts->pdata[i])->last_us);
    json_t *row = json_object();
    set_string(row, "id", recording_string(model, "id"));
    set_string(row, "platform", recording_string(model, "platform"));
    set_string(row, "channel", recording_string(model, "channel"));
    set_string(row, "app", recording_string(model, "app"));
    set_string(row, "platform_name", recording_string(model, "platform_name"));
    json_object_set_new(row, "labels", labels_of(model));
    manifest_set_time(row, "zero", model->zero_us);
    manifest_set_time(row, "ended", ended_us);
    set_integer(row, "duration_us", (guint64)(ended_us - model->zero_us));
    set_string(row, "state", state);
    set_string(row, "end_reason", model->end_reason && *model->end_reason ? model->end_reason : "recorder-lost");
    json_object_set_new(row, "error", error_of(model));
    json_object_set_new(row, "parts", parts_of(model));
    return row;
}

static json_t *participants_of(const Model *model)
{
    json_t *participants = json_array();
    for (guint i = 0; i < model->participants->len; i++) {
        const ModelParticipant *participant = model->participants->pdata[i];
        json_t *row = json_object(), *present = json_array(), *tracks = json_array();
        set_string(row, "id", participant->id);
        set_string(row, "name", participant->name);
        for (guint p = 0; p < participant->present->len; p++) {
            const ModelInterval *interval = &g_array_index(participant->present, ModelInterval, p);
            json_t *from = json_object();
            manifest_set_interval(from, interval->from_us, interval->until_us);
            json_array_append_new(present, from);
        }
        for (guint t = 0; t < participant->tracks->len; t++)
            json_array_append_new(tracks, track_key(participant->tracks->pdata[t]));
        json_object_set_new(row, "present", present);
        json_object_set_new(row, "tracks", tracks);
        json_array_append_new(participants, row);
    }
    return participants;
}

/* ---- gaps -------------------------------------------------------------------------------------------------------- */

static json_t *gap_row(guint part, const ModelTrack *track, const ModelGap *gap)
{
    json_t *row = json_object();
    set_integer(row, "part", part);
    json_object_set_new(row, "track", track ? json_integer(track->number) : json_null());
    set_string(row, "cause", steno_gap_cause_name(gap->cause));
    manifest_set_interval(row, gap->from_us, gap->until_us);
    set_integer(row, "packets", gap->packets);
    set_integer(row, "frames", gap->frames);
    if (gap->packets > 0) {
        json_object_set_new(row, "first_seq", json_integer(gap->first_seq));
        json_object_set_new(row, "last_seq", json_integer(gap->last_seq));
    }
    if (track && (gap->cause == STENO_GAP_NO_KEY || gap->cause == STENO_GAP_BAD_KEY)) {
        set_string(row, "participant", track->participant->id);
        json_object_set_new(row, "kid", gap->has_kid ? json_sprintf("%" G_GUINT64_FORMAT, gap->kid) : json_null());
    }
    return row;
}

json_t *manifest_gap(guint part, StenoGapCause cause, gint64 from_us, gint64 until_us)
{
    ModelGap gap = {.cause = cause, .from_us = from_us, .until_us = until_us};
    return gap_row(part, NULL, &gap);
}

/* The time of a part's last frame, by the rows of its tracks; 0 when it has none. */
static gint64 last_frame_us(const json_t *tracks, guint part)
{
    size_t i;
    const json_t *track;
    gint64 last_us = 0;
    json_array_foreach (tracks, i, track) {
        if (json_integer_value(json_object_get(track, "part")) == part)
            last_us = MAX(last_us, json_integer_value(json_object_get(track, "last_us")));
    }
    return last_us;
}

/* Between two parts everything is missing: from the last frame of one, or its end, until the recorder was back. */
static void add_part_gaps(const Model *model, const json_t *tracks, json_t *gaps)
{
    for (guint i = 1; i < model->parts->len; i++) {
        const ModelPart *before = model->parts->pdata[i - 1], *part = model->parts->pdata[i];
        gint64 last_us = last_frame_us(tracks, before->number);
        if (before->pauses->len > 0) /* a pause until the end tells of itself what is missing until there */
            last_us = MAX(last_us, g_array_index(before->pauses, ModelInterval, before->pauses->len - 1).until_us);
        gint64 from_us = last_us ? last_us : before->last_us;
        StenoGapCause cause = before->clean && !before->rotated ? STENO_GAP_DISCONNECTED : STENO_GAP_RECORDER;
        if (from_us > 0)
            json_array_append_new(gaps, manifest_gap(before->number, cause, from_us, MAX(part->first_us, from_us)));
    }
}

static void add_pauses(const Model *model, json_t *gaps)
{
    for (guint i = 0; i < model->parts->len; i++) {
        const ModelPart *part = model->parts->pdata[i];
        for (guint p = 0; p < part->pauses->len; p++) {
            const ModelInterval *pause = &g_array_index(part->pauses, ModelInterval, p);
            json_array_append_new(gaps, manifest_gap(part->number, STENO_GAP_PAUSED, pause->from_us, pause->until_us));
        }
    }
}

static json_t *gaps_of(const Model *model, const json_t *tracks)
{
    json_t *gaps = json_array();
    add_part_gaps(model, tracks, gaps);
    add_pauses(model, gaps);
    for (guint t = 0; t < model->tracks->len; t++) {
        const ModelTrack *track = model->tracks->pdata[t];
        for (guint g = 0; g < track->gaps->len; g++)
            json_array_append_new(gaps, gap_row(track->part, track, &g_array_index(track->gaps, ModelGap, g)));
    }
    return gaps;
}

/* How the channel was encrypted; null: it was not. */
static json_t *content_of(const Model *model, const json_t *outputs)
{
    const json_t *content = json_object_get(model->recording, "content");
    const char *format = json_string_value(json_object_get(content, "format"));
    const char *unit = json_string_value(json_object_get(content, "unit"));
    if (!format)
        return json_null();
    gboolean sealed = FALSE;
    size_t i;
    const json_t *output;
    json_array_foreach (outputs, i, output)
        sealed |= manifest_is_sealed(output);
    json_t *row = json_object();
    set_string(row, "format", format);
    set_string(row, "unit", g_strcmp0(unit, "packet") == 0 ? "packet" : "frame");
    json_object_set_new(row, "sealed", json_boolean(sealed));
    return row;
}

json_t *manifest_build(const Model *model, json_t *tracks, json_t *outputs, gboolean sealed_is_all)
{
    json_t *manifest = json_object();
    set_integer(manifest, "schema_version", MANIFEST_SCHEMA_VERSION);
    json_object_set_new(manifest, "program", json_pack("{s:s, s:s}", "name", "steno", "version", STENO_VERSION));
    json_object_set_new(manifest, "recording", recording_of(model, manifest_state(outputs, sealed_is_all)));
    json_object_set_new(manifest, "content", content_of(model, outputs));
    json_object_set_new(manifest, "participants", participants_of(model));
    json_object_set_new(manifest, "tracks", tracks);
    json_object_set_new(manifest, "gaps", gaps_of(model, tracks));
    json_object_set_new(manifest, "outputs", outputs);
    json_t *problems = json_array();
    for (guint i = 0; i < model->problems->len; i++)
        json_array_append_new(problems, json_string(model->problems->pdata[i]));
    if (model->problems_left_out > 0)
        json_array_append_new(problems, json_sprintf("%u more problems are not listed", model->problems_left_out));
    json_object_set_new(manifest, "problems", problems);
    return manifest;
}

char *steno_manifest_name(guint section)
{
    return section ? g_strdup_printf("manifest.%03u.json", section) : g_strdup(MANIFEST_FILE);
}

gboolean manifest_write(const char *folder, const char *name, const json_t *manifest, GError **error)
{
    g_autofree char *path = g_build_filename(folder, name, NULL);
    g_autofree char *temporary = g_strdup_printf("%s/%s%s", folder, SCRATCH_PREFIX, name);
    char *text = json_dumps(manifest, JSON_INDENT(2));
    g_autofree char *whole = g_strconcat(text, "\n", NULL);
    free(text);
    int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0)
        return steno_error_set_errno(error, errno, "creating %s", temporary);
    gboolean sound = steno_file_write(fd, whole, strlen(whole)) && fsync(fd) == 0;
    int saved = errno;
    if (close(fd) != 0 && sound) {
        sound = FALSE;
        saved = errno;
    }
    if (sound && g_rename(temporary, path) != 0) {
        sound = FALSE;
        saved = errno;
    }
    if (!sound)
        (void)g_unlink(temporary);
    return sound || steno_error_set_errno(error, saved, "writing %s", path);
}
