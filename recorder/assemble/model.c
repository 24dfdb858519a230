#include "model.h"

#include "steno/base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* A recording.json or events.jsonl larger than this is not ours. */
#define RECORDING_MAX_BYTES (1024 * 1024)

static void file_clear(gpointer data)
{
    g_free(((ModelFile *)data)->opened);
}

static void track_free(gpointer data)
{
    ModelTrack *track = data;
    g_free(track->mid);
    g_free(track->source);
    g_array_unref(track->formats);
    g_array_unref(track->clocks);
    g_array_unref(track->gaps);
    g_array_unref(track->mutes);
    g_array_unref(track->files);
    g_free(track);
}

static void part_free(gpointer data)
{
    ModelPart *part = data;
    g_ptr_array_unref(part->tracks);
    g_array_unref(part->pauses);
    g_free(part);
}

static void participant_free(gpointer data)
{
    ModelParticipant *participant = data;
    g_free(participant->id);
    g_free(participant->name);
    g_array_unref(participant->present);
    g_ptr_array_unref(participant->tracks);
    g_free(participant);
}

Model *model_new(void)
{
    Model *model = g_new0(Model, 1);
    model->recording = json_object();
    model->parts = g_ptr_array_new_with_free_func(part_free);
    model->participants = g_ptr_array_new_with_free_func(participant_free);
    model->tracks = g_ptr_array_new_with_free_func(track_free);
    model->problems = g_ptr_array_new_with_free_func(g_free);
    model->participants_by_id = g_hash_table_new(g_str_hash, g_str_equal);
    model->tracks_by_key = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
    return model;
}

void model_free(Model *model)
{
    if (!model)
        return;
    g_hash_table_unref(model->participants_by_id);
    g_hash_table_unref(model->tracks_by_key);
    g_ptr_array_unref(model->parts);
    g_ptr_array_unref(model->participants);
    g_ptr_array_unref(model->tracks);
    g_ptr_array_unref(model->problems);
    json_decref(model->recording);
    json_decref(model->end_error);
    g_free(model->end_reason);
    g_free(model->folder);
    g_free(model);
}

void model_problem(Model *model, const char *format, ...)
{
    if (model->problems->len >= MODEL_PROBLEMS_MAX) {
        model->problems_left_out++;
        return;
    }
    va_list arguments;
    va_start(arguments, format);
    g_ptr_array_add(model->problems, g_strdup_vprintf(format, arguments));
    va_end(arguments);
}

void model_part_saw(ModelPart *part, gint64 wall_us)
{
    if (wall_us <= 0 || wall_us > MODEL_TIME_MAX_US)
        return;
    if (part->first_us == 0 || wall_us < part->first_us)
        part->first_us = wall_us;
    part->last_us = MAX(part->last_us, wall_us);
}

ModelPart *model_part(Model *model, guint number)
{
    for (guint i = 0; i < model->parts->len; i++) {
        ModelPart *part = model->parts->pdata[i];
        if (part->number == number)
            return part;
    }
    ModelPart *part = g_new0(ModelPart, 1);
    part->number = number;
    part->tracks = g_ptr_array_new();
    part->pauses = g_array_new(FALSE, FALSE, sizeof(ModelInterval));
    g_ptr_array_add(model->parts, part);
    return part;
}

ModelTrack *model_track(Model *model, ModelPart *part, guint number)
{
    gint64 key = ((gint64)part->number << 32) | number;
    ModelTrack *track = g_hash_table_lookup(model->tracks_by_key, &key);
    if (track || model->tracks->len >= MODEL_TRACKS_MAX)
        return track;
    track = g_new0(ModelTrack, 1);
    track->part = part->number;
    track->number = number;
    track->formats = g_array_new(FALSE, FALSE, sizeof(ModelFormat));
    track->clocks = g_array_new(FALSE, FALSE, sizeof(ModelClock));
    track->gaps = g_array_new(FALSE, FALSE, sizeof(ModelGap));
    track->mutes = g_array_new(FALSE, FALSE, sizeof(ModelMute));
    track->files = g_array_new(FALSE, FALSE, sizeof(ModelFile));
    g_array_set_clear_func(track->files, file_clear);
    g_ptr_array_add(model->tracks, track);
    g_ptr_array_add(part->tracks, track);
    g_hash_table_insert(model->tracks_by_key, g_memdup2(&key, sizeof key), track);
    return track;
}

char *model_file_name(const ModelTrack *track, const ModelFile *file)
{
    return g_strdup_printf("part-%04u/track-%04u.%u.mkv", file->part, track->number, file->number);
}

char *model_file_path(const Model *model, const ModelTrack *track, const ModelFile *file)
{
    g_autofree char *name = model_file_name(track, file);
    return file->opened ? g_strdup(file->opened) : g_build_filename(model->folder, name, NULL);
}

/* ---- the folders ------------------------------------------------------------------------------------------------- */

/* The numbers in a name such as "track-0001.0.mkv", only when the name is written exactly so. */
static gboolean track_file_numbers(const char *name, guint *number, guint *segment)
{
    if (sscanf(name, "track-%9u.%9u.mkv", number, segment) != 2 || *number == 0)
        return FALSE;
    g_autofree char *back = g_strdup_printf("track-%04u.%u.mkv", *number, *segment);
    return strcmp(back, name) == 0;
}

static gint compare_guints(gconstpointer a, gconstpointer b)
{
    guint x = *(const guint *)a, y = *(const guint *)b;
    return (x > y) - (x < y);
}

static gint compare_files(gconstpointer a, gconstpointer b)
{
    const ModelFile *x = a, *y = b;
    return x->part != y->part ? (x->part > y->part) - (x->part < y->part)
                              : (x->number > y->number) - (x->number < y->number);
}

static gboolean load_part_folder(Model *model, ModelPart *part, guint number, const char *path, GError **error)
{
    g_autoptr(GDir) dir = g_dir_open(path, 0, error);
    if (!dir)
        return FALSE;
    const char *name;
    while ((name = g_dir_read_name(dir))) {
        guint track_number;
        ModelFile file = {.part = number};
        if (!track_file_numbers(name, &track_number, &file.number))
            continue;
        ModelTrack *track = model_track(model, part, track_number);
        if (track)
            g_array_append_val(track->files, file);
    }
    for (guint i = 0; i < part->tracks->len; i++) {
        ModelTrack *track = part->tracks->pdata[i];
        g_array_sort(track->files, compare_files);
    }
    return TRUE;
}

/* Does the text begin with what was told before the part was open? Then a recorder came anew into the channel. */
static gboolean begins_early(const char *text, gsize bytes)
{
    const char *end = memchr(text, '\n', MIN(bytes, MODEL_LINE_MAX_BYTES));
    json_t *event = end ? json_loadb(text, (size_t)(end - text), 0, NULL) : NULL;
    gboolean early = json_is_true(json_object_get(event, "early"));
    json_decref(event);
    return early;
}

/* A capture that was put together of what stayed sealed: parts of which nothing did are not there. */
static gboolean is_partial(const Model *model)
{
    return json_is_true(json_object_get(model->recording, MODEL_PARTIAL));
}

/*
 * The part that this one is told as: where parts are joined, the one before goes on when only a rotation lies between
 * them, and the rotations leave no hole in the numbers, so that all is as if there had been none.
 */
static ModelPart *part_told(Model *model, guint number, const char *text, gsize bytes)
{
    ModelPart *before = model->parts->len ? model->parts->pdata[model->parts->len - 1] : NULL;
    if (!model->scope.join)
        return model_part(model, number);
    gboolean follows = before && before->rotated && (!is_partial(model) || number == before->last_folder + 1);
    if (!follows || begins_early(text, bytes))
        return model_part(model, number - model->rotations);
    model->rotations++;
    before->clean = before->rotated = FALSE;
    for (guint i = 0; i < before->tracks->len; i++) {
        ModelTrack *track = before->tracks->pdata[i];
        track->stats_before = track->stats; /* they count from each part's beginning */
    }
    return before;
}

static gboolean load_part(Model *model, guint number, GError **error)
{
    g_autofree char *folder = g_strdup_printf("%s/part-%04u", model->folder, number);
    g_autofree char *path = g_build_filename(folder, "events.jsonl", NULL);
    g_autoptr(GMappedFile) events = g_mapped_file_new(path, FALSE, NULL);
    const char *text = events ? g_mapped_file_get_contents(events) : NULL; /* NULL as well when it is empty */
    gsize bytes = text ? g_mapped_file_get_length(events) : 0;
    ModelPart *part = part_told(model, number, text ? text : "", bytes);
    part->last_folder = number;
    if (bytes > 0)
        model_load_events(model, part, text, bytes);
    if (!events)
        model_problem(model, "part %u: events.jsonl cannot be read", number);
    return load_part_folder(model, part, number, folder, error);
}

static void load_recording(Model *model)
{
    g_autofree char *path = g_build_filename(model->folder, "recording.json", NULL);
    g_autofree char *text = NULL;
    gsize bytes;
    json_t *recording = NULL;
    if (g_file_get_contents(path, &text, &bytes, NULL) && bytes <= RECORDING_MAX_BYTES)
        recording = json_loadb(text, bytes, 0, NULL);
    if (json_is_object(recording)) {
        json_decref(model->recording);
        model->recording = recording;
        return;
    }
    json_decref(recording);
    model_problem(model, "recording.json cannot be read");
}

static gboolean find_parts(Model *model, GArray *numbers, GError **error)
{
    g_autoptr(GError) cause = NULL;
    g_autoptr(GDir) dir = g_dir_open(model->folder, 0, &cause);
    if (!dir) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_CAPTURE_DAMAGED, "the capture cannot be opened: %s",
                    cause->message);
        return FALSE;
    }
    const char *name;
    while ((name = g_dir_read_name(dir))) {
        guint number;
        if (sscanf(name, "part-%9u", &number) != 1 || number == 0)
            continue;
        g_autofree char *back = g_strdup_printf("part-%04u", number);
        if (strcmp(back, name) == 0 && number >= model->scope.first_part && number <= model->scope.last_part &&
            numbers->len < MODEL_PARTS_MAX)
            g_array_append_val(numbers, number);
    }
    g_array_sort(numbers, compare_guints);
    return TRUE;
}

Model *model_load(const char *folder, const ModelScope *scope, GError **error)
{
    g_autoptr(Model) model = model_new();
    model->folder = g_strdup(folder);
    model->scope = *scope;
    g_autoptr(GArray) numbers = g_array_new(FALSE, FALSE, sizeof(guint));
    if (!find_parts(model, numbers, error))
        return NULL;
    load_recording(model);
    for (guint i = 0; i < numbers->len; i++) {
        g_autoptr(GError) cause = NULL;
        if (!load_part(model, g_array_index(numbers, guint, i), &cause)) {
            g_set_error(error, STENO_ERROR, STENO_ERROR_STORAGE_FAILED, "reading the capture: %s", cause->message);
            return NULL;
        }
    }
    model_settle(model);
    return g_steal_pointer(&model);
}

/* ---- settling ---------------------------------------------------------------------------------------------------- */

static gint compare_tracks(gconstpointer a, gconstpointer b)
{
    const ModelTrack *x = *(ModelTrack *const *)a, *y = *(ModelTrack *const *)b;
    return x->part != y->part ? (x->part > y->part) - (x->part < y->part)
                              : (x->number > y->number) - (x->number < y->number);
}

/* A track whose track_added was lost in a crash: it gets a participant of its own. */
static void adopt(Model *model, ModelTrack *track)
{
    if (!track->participant) {
        ModelParticipant *participant = g_new0(ModelParticipant, 1);
        participant->id = g_strdup_printf("unknown-%u-%u", track->part, track->number);
        participant->name = g_strdup("");
        participant->present = g_array_new(FALSE, FALSE, sizeof(ModelInterval));
        participant->tracks = g_ptr_array_new();
        g_ptr_array_add(model->participants, participant);
        g_hash_table_insert(model->participants_by_id, participant->id, participant);
        track->participant = participant;
        model_problem(model, "part %u, track %u: no event tells whose it is", track->part, track->number);
    }
    g_ptr_array_add(track->participant->tracks, track);
}

static void close_open_ends(ModelTrack *track, gint64 last_us)
{
    for (guint i = 0; i < track->mutes->len; i++) {
        ModelInterval *interval = &g_array_index(track->mutes, ModelMute, i).interval;
        if (interval->until_us == 0)
            interval->until_us = MAX(last_us, interval->from_us);
    }
}

void model_paused(ModelPart *part, gint64 from_us, gint64 until_us)
{
    ModelInterval interval = {from_us, until_us};
    ModelInterval *last = part->pauses->len ? &g_array_index(part->pauses, ModelInterval, part->pauses->len - 1) : NULL;
    if (last && part->pause_told && from_us >= last->from_us)
        last->until_us = MAX(last->until_us, until_us);
    else
        g_array_append_val(part->pauses, interval);
    part->paused_us = 0;
}

/* The recorder died while it was paused. */
static void close_pause(ModelPart *part)
{
    if (part->paused_us > 0)
        model_paused(part, part->paused_us, MAX(part->last_us, part->paused_us));
}

static guint64 first_track(const ModelParticipant *participant)
{
    const ModelTrack *track = participant->tracks->len ? participant->tracks->pdata[0] : NULL;
    return track ? (guint64)track->part << 32 | track->number : G_MAXUINT64;
}

static gint compare_participants(gconstpointer a, gconstpointer b)
{
    guint64 x = first_track(*(ModelParticipant *const *)a), y = first_track(*(ModelParticipant *const *)b);
    return (x > y) - (x < y); /* the sort is stable */
}

void model_settle(Model *model)
{
    gint64 first_us = 0, last_us = 0;
    for (guint i = 0; i < model->parts->len; i++) {
        ModelPart *part = model->parts->pdata[i];
        if (part->first_us && (first_us == 0 || part->first_us < first_us))
            first_us = part->first_us;
        last_us = MAX(last_us, part->last_us);
        close_pause(part);
        for (guint t = 0; t < part->tracks->len; t++)
            close_open_ends(part->tracks->pdata[t], part->last_us);
    }
    g_ptr_array_sort(model->tracks, compare_tracks);
    for (guint i = 0; i < model->tracks->len; i++)
        adopt(model, model->tracks->pdata[i]);
    /* Behind a seam all are told anew, in no order: tracks keep their numbers, and so two of one name their files'. */
    if (model->scope.section > 1)
        g_ptr_array_sort(model->participants, compare_participants);
    for (guint i = 0; i < model->participants->len; i++) {
        ModelParticipant *participant = model->participants->pdata[i];
        for (guint p = 0; p < participant->present->len; p++) {
            ModelInterval *interval = &g_array_index(participant->present, ModelInterval, p);
            if (interval->until_us == 0)
                interval->until_us = MAX(last_us, interval->from_us);
        }
    }
    json_int_t zero = json_integer_value(json_object_get(model->recording, "zero"));
    if (zero > 0 && zero <= MODEL_TIME_MAX_US)
        model->zero_us = zero;
    else
        model->zero_us = first_us; /* may still be 0: then the first frame says it */
    model->begin_us = model->scope.begin_us > 0 ? model->scope.begin_us : model->zero_us;
}
