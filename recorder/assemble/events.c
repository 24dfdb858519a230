/* events.jsonl → model: one small function an event, found in a table. */
#include "model.h"

#include <string.h>

/* Behind a rotation, no more sender reports of a track are told again. */
#define CLOCKS_REPEATED_MAX 64

typedef struct {
    Model *model;
    ModelPart *part;
    gint64 t_us;
    const json_t *event;
} Line;

/* An integer member within [minimum, maximum], or `otherwise`. */
static gint64 integer(const Line *line, const char *name, gint64 minimum, gint64 maximum, gint64 otherwise)
{
    const json_t *value = json_object_get(line->event, name);
    if (!json_is_integer(value))
        return otherwise;
    json_int_t number = json_integer_value(value);
    return number < minimum || number > maximum ? otherwise : number;
}

static const char *string(const Line *line, const char *name)
{
    const char *text = json_string_value(json_object_get(line->event, name));
    return text ? text : "";
}

static gint64 time_of(const Line *line, const char *name)
{
    return integer(line, name, 0, MODEL_TIME_MAX_US, 0);
}

static gint64 rtp_of(const Line *line, const char *name)
{
    return integer(line, name, -MODEL_RTP_MAX, MODEL_RTP_MAX, 0);
}

static ModelTrack *track_of(const Line *line)
{
    gint64 number = integer(line, "track", 1, G_MAXINT32, 0);
    return number ? model_track(line->model, line->part, (guint)number) : NULL;
}

static ModelParticipant *participant_of(const Line *line)
{
    const char *id = string(line, "participant");
    if (!*id)
        return NULL;
    ModelParticipant *participant = g_hash_table_lookup(line->model->participants_by_id, id);
    if (participant || line->model->participants->len >= MODEL_TRACKS_MAX)
        return participant;
    participant = g_new0(ModelParticipant, 1);
    participant->id = g_strdup(id);
    participant->name = g_strdup("");
    participant->present = g_array_new(FALSE, FALSE, sizeof(ModelInterval));
    participant->tracks = g_ptr_array_new();
    g_ptr_array_add(line->model->participants, participant);
    g_hash_table_insert(line->model->participants_by_id, participant->id, participant);
    return participant;
}

static ModelInterval *open_interval(GArray *present)
{
    if (present->len == 0)
        return NULL;
    ModelInterval *last = &g_array_index(present, ModelInterval, present->len - 1);
    return last->until_us == 0 ? last : NULL;
}

static gboolean participant_joined(const Line *line)
{
    ModelParticipant *participant = participant_of(line);
    if (!participant)
        return FALSE;
    const char *name = string(line, "name");
    if (*name) {
        g_free(participant->name);
        participant->name = g_strdup(name);
    }
    if (!open_interval(participant->present) && participant->present->len < MODEL_ROWS_MAX) {
        ModelInterval interval = {.from_us = line->t_us};
        g_array_append_val(participant->present, interval);
    }
    return TRUE;
}

static gboolean participant_left(const Line *line)
{
    ModelParticipant *participant = participant_of(line);
    ModelInterval *interval = participant ? open_interval(participant->present) : NULL;
    if (interval)
        interval->until_us = MAX(line->t_us, interval->from_us);
    return participant != NULL;
}

static gboolean track_added(const Line *line)
{
    ModelTrack *track = track_of(line);
    ModelParticipant *participant = participant_of(line);
    if (!track || !participant)
        return FALSE;
    if (!track->participant)
        track->participant = participant;
    g_free(track->mid);
    track->mid = g_strdup(string(line, "mid"));
    g_free(track->source);
    track->source = g_strdup(string(line, "source"));
    track->codec = steno_codec_from_name(string(line, "codec"));
    track->video = strcmp(string(line, "kind"), "video") == 0;
    track->clock_hz = (guint32)integer(line, "clock_hz", 1, 1000000, 0);
    track->ssrc = (guint32)integer(line, "ssrc", 0, G_MAXUINT32, 0);
    if (track->added_us == 0)
        track->added_us = line->t_us;
    return TRUE;
}

static gboolean track_removed(const Line *line)
{
    ModelTrack *track = track_of(line);
    if (track)
        track->removed_us = line->t_us;
    return track != NULL;
}

static gboolean format(const Line *line)
{
    ModelTrack *track = track_of(line);
    if (!track || track->formats->len >= MODEL_ROWS_MAX)
        return FALSE;
    ModelFormat row = {
        .at_us = line->t_us,
        .segment = (guint)integer(line, "segment", 0, G_MAXINT32, 0),
        .codec = steno_codec_from_name(string(line, "codec")),
        .width = (guint)integer(line, "width", 0, G_MAXUINT16, 0),
        .height = (guint)integer(line, "height", 0, G_MAXUINT16, 0),
        .channels = (guint)integer(line, "channels", 0, G_MAXUINT8, 0),
    };
    g_array_append_val(track->formats, row);
    return TRUE;
}

/* A pause is of all tracks. */
static gboolean paused_gap(const Line *line, const char *cause)
{
    ModelPart *part = line->part;
    ModelInterval interval = {time_of(line, "from"), time_of(line, "until")};
    if (strcmp(cause, steno_gap_cause_name(STENO_GAP_PAUSED)) != 0 || interval.from_us == 0 ||
        interval.until_us < interval.from_us || part->pauses->len >= MODEL_ROWS_MAX)
        return FALSE;
    model_paused(part, interval.from_us, interval.until_us);
    part->pause_told = TRUE;
    return TRUE;
}

static gboolean gap(const Line *line)
{
    const char *cause = string(line, "cause");
    if (json_is_null(json_object_get(line->event, "track")))
        return paused_gap(line, cause);
    ModelTrack *track = track_of(line);
    if (!track || track->gaps->len >= MODEL_ROWS_MAX)
        return FALSE;
    ModelGap row = {
        .cause = STENO_GAP_CAUSES,
        .first_seq = integer(line, "first_seq", -MODEL_RTP_MAX, MODEL_RTP_MAX, 0),
        .last_seq = integer(line, "last_seq", -MODEL_RTP_MAX, MODEL_RTP_MAX, 0),
        .packets = (guint64)integer(line, "packets", 0, G_MAXUINT32, 0),
        .rtp_ts = rtp_of(line, "rtp_ts"),
        .until_rtp_ts = rtp_of(line, "until_rtp_ts"),
        .from_us = time_of(line, "from"),
        .until_us = time_of(line, "until"),
    };
    for (guint i = 0; i < STENO_GAP_CAUSES; i++)
        if (strcmp(cause, steno_gap_cause_name((StenoGapCause)i)) == 0)
            row.cause = (StenoGapCause)i;
    if (row.cause == STENO_GAP_CAUSES)
        return FALSE;
    if (row.from_us == 0)
        row.from_us = line->t_us;
    row.until_us = MAX(row.until_us, row.from_us);
    g_array_append_val(track->gaps, row);
    return TRUE;
}

/* Where parts are joined: the last reports before a rotation are told again behind it. */
static gboolean is_known(const GArray *clocks, const ModelClock *row)
{
    for (guint i = clocks->len, n = 0; i-- > 0 && n < CLOCKS_REPEATED_MAX; n++) {
        const ModelClock *other = &g_array_index(clocks, ModelClock, i);
        if (other->rtp_ts == row->rtp_ts && other->ntp_us == row->ntp_us)
            return TRUE;
    }
    return FALSE;
}

static gboolean sender_clock(const Line *line)
{
    ModelTrack *track = track_of(line);
    if (!track || track->clocks->len >= MODEL_ROWS_MAX)
        return FALSE;
    ModelClock row = {
        .rtp_ts = rtp_of(line, "rtp_ts"),
        .ntp_us = integer(line, "ntp", -MODEL_TIME_MAX_US, MODEL_TIME_MAX_US, 0),
        .arrival_us = time_of(line, "arrival"),
        .offset_us = integer(line, "offset", -MODEL_TIME_MAX_US, MODEL_TIME_MAX_US, 0),
    };
    if (!line->model->scope.join || !is_known(track->clocks, &row))
        g_array_append_val(track->clocks, row);
    return TRUE;
}

static gboolean muted(const Line *line)
{
    ModelTrack *track = track_of(line);
    if (!track || track->mutes->len >= MODEL_ROWS_MAX)
        return TRUE; /* the platform may mute what we never had a track of */
    ModelMute *last = track->mutes->len ? &g_array_index(track->mutes, ModelMute, track->mutes->len - 1) : NULL;
    gboolean by_platform = strcmp(string(line, "evidence"), "rtp") != 0;
    if (last && last->interval.until_us == 0) {
        last->by_platform |= by_platform; /* told twice: by the missing packets, then by the platform */
        return TRUE;
    }
    ModelMute row = {.interval.from_us = line->t_us, .by_platform = by_platform};
    g_array_append_val(track->mutes, row);
    return TRUE;
}

static gboolean unmuted(const Line *line)
{
    ModelTrack *track = track_of(line);
    ModelMute *last =
        track && track->mutes->len ? &g_array_index(track->mutes, ModelMute, track->mutes->len - 1) : NULL;
    if (last && last->interval.until_us == 0)
        last->interval.until_us = MAX(line->t_us, last->interval.from_us);
    return TRUE;
}

static gboolean stats(const Line *line)
{
    ModelTrack *track = track_of(line);
    if (!track)
        return FALSE;
    const struct {
        const char *name;
        guint64 *value, before;
    } members[] = {
        {"packets", &track->stats.packets, track->stats_before.packets},
        {"bytes", &track->stats.bytes, track->stats_before.bytes},
        {"lost", &track->stats.lost, track->stats_before.lost},
        {"recovered", &track->stats.recovered, track->stats_before.recovered},
        {"duplicates", &track->stats.duplicates, track->stats_before.duplicates},
        {"reordered", &track->stats.reordered, track->stats_before.reordered},
        {"late", &track->stats.late, track->stats_before.late},
        {"nacks", &track->stats.nacks, track->stats_before.nacks},
        {"plis", &track->stats.plis, track->stats_before.plis},
    };
    for (guint i = 0; i < G_N_ELEMENTS(members); i++)
        *members[i].value = members[i].before + (guint64)integer(line, members[i].name, 0, MODEL_TIME_MAX_US,
                                                                 (gint64)(*members[i].value - members[i].before));
    return TRUE;
}

static gboolean state(const Line *line)
{
    const char *name = string(line, "state");
    line->part->clean = strcmp(name, "reconnecting") == 0;
    /* How long it lasted is told when it is over; when that was never told, it lasted to the end. */
    gboolean paused = strcmp(name, "paused") == 0;
    if (paused && line->part->paused_us == 0)
        line->part->paused_us = line->t_us;
    line->part->pause_told &= paused;
    return *name != '\0';
}

/* The end of this part, but of nothing that it tells: the next one goes on. */
static gboolean rotated(const Line *line)
{
    line->part->clean = line->part->rotated = TRUE;
    return integer(line, "section", 1, G_MAXINT32, 0) > 0 && time_of(line, "seam") > 0;
}

static gboolean ended(const Line *line)
{
    line->part->clean = TRUE;
    g_free(line->model->end_reason);
    line->model->end_reason = g_strdup(string(line, "end_reason"));
    json_decref(line->model->end_error);
    json_t *error = json_object_get(line->event, "error");
    line->model->end_error = error && !json_is_null(error) ? json_incref(error) : NULL;
    return TRUE;
}

static const struct {
    const char *name;
    gboolean (*take)(const Line *line);
} takers[] = {
    {"participant_joined", participant_joined},
    {"participant_left", participant_left},
    {"track_added", track_added},
    {"track_removed", track_removed},
    {"format", format},
    {"gap", gap},
    {"clock", sender_clock},
    {"muted", muted},
    {"unmuted", unmuted},
    {"stats", stats},
    {"state", state},
    {"rotated", rotated},
    {"ended", ended},
};

static gboolean take_line(Model *model, ModelPart *part, const char *text, gsize bytes)
{
    if (bytes > MODEL_LINE_MAX_BYTES)
        return FALSE;
    json_t *event = json_loadb(text, bytes, 0, NULL);
    Line line = {.model = model, .part = part, .event = event};
    line.t_us = time_of(&line, "t");
    const char *name = string(&line, "event");
    gboolean lawful = line.t_us > 0 && *name;
    /* What was told before the part began says nothing of when it did. */
    if (lawful && !json_is_true(json_object_get(event, "early")))
        model_part_saw(part, line.t_us);
    for (guint i = 0; lawful && i < G_N_ELEMENTS(takers); i++)
        if (strcmp(takers[i].name, name) == 0) {
            lawful = takers[i].take(&line);
            break;
        }
    json_decref(event); /* events of other names are not needed here: lawful */
    return lawful;
}

void model_load_events(Model *model, ModelPart *part, const char *text, gsize bytes)
{
    guint garbage = 0;
    const char *end = text + bytes;
    while (text < end) {
        const char *line_end = memchr(text, '\n', (gsize)(end - text));
        if (!line_end)
            break; /* torn by a crash */
        if (line_end > text && !take_line(model, part, text, (gsize)(line_end - text)))
            garbage++;
        text = line_end + 1;
    }
    if (garbage)
        model_problem(model, "part %u: %u lines of events.jsonl make no sense", part->number, garbage);
}
