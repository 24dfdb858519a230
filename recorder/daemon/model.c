#include "model.h"

#include "steno/base/clock.h"

#include <string.h>

/* The recorder's counters, in the order of `counts`; those that grow begin anew with each recorder process. */
static const struct {
    const char *name;
    gboolean grows;
} counters[] = {
    {"duration_ms", FALSE}, {"participants", FALSE}, {"tracks", FALSE},   {"frames", TRUE}, {"bytes", TRUE},
    {"packets", TRUE},      {"lost", TRUE},          {"recovered", TRUE}, {"sealed", TRUE},
};

struct Model {
    json_t *participants, *tracks; /* arrays, as shown */
    GHashTable *participant_by_id; /* char * → json_t *, lent */
    GHashTable *track_by_key;      /* gint64 * (part, track) → json_t *, lent */
    gint64 counts[G_N_ELEMENTS(counters)];
    gint64 base[G_N_ELEMENTS(counters)], last[G_N_ELEMENTS(counters)];
    guint parts;      /* that were opened */
    gint64 last_part; /* of the events; what is told between two parts has the next one's number */
    /* After a reconnect: who was there before and has not been told again. */
    GHashTable *missing; /* char * */
    gint64 missing_until_us;
    gint64 gap_minute;
    guint gaps_in_minute;
    json_t *undecryptable; /* array, as shown */
    gboolean sealed;       /* frames are encrypted still */
    gint64 undecryptable_minute;
    guint undecryptable_in_minute;
};

static gint64 number(const json_t *object, const char *name)
{
    return json_integer_value(json_object_get(object, name));
}

static const char *text(const json_t *object, const char *name)
{
    return json_string_value(json_object_get(object, name));
}

static json_t *time_of(gint64 wall_us)
{
    g_autofree char *formatted = wall_us > 0 ? steno_clock_format(wall_us) : NULL;
    return formatted ? json_string(formatted) : json_null();
}

static gint64 *track_key(gint64 part, gint64 track)
{
    gint64 *key = g_new(gint64, 1);
    *key = part << 32 | (track & G_MAXUINT32);
    return key;
}

static json_t *find_track(const Model *model, gint64 part, gint64 track)
{
    const gint64 key = part << 32 | (track & G_MAXUINT32);
    return g_hash_table_lookup(model->track_by_key, &key);
}

Model *model_new(const json_t *detail)
{
    Model *model = g_new0(Model, 1);
    json_t *participants = json_object_get(detail, "participants"), *tracks = json_object_get(detail, "tracks");
    model->participants = json_is_array(participants) ? json_deep_copy(participants) : json_array();
    model->tracks = json_is_array(tracks) ? json_deep_copy(tracks) : json_array();
    model->participant_by_id = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    model->track_by_key = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
    model->missing = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    model->parts = (guint)number(detail, "parts");
    model->last_part = model->parts;
    json_t *content = model_content(detail);
    model->undecryptable = json_incref(json_object_get(content, "undecryptable"));
    model->sealed = json_is_true(json_object_get(content, "sealed"));
    json_decref(content);
    size_t i;
    json_t *item;
    json_array_foreach (model->participants, i, item)
        if (text(item, "id"))
            g_hash_table_replace(model->participant_by_id, g_strdup(text(item, "id")), item);
    json_array_foreach (model->tracks, i, item)
        g_hash_table_replace(model->track_by_key, track_key(number(item, "part"), number(item, "track")), item);
    const json_t *counts = json_object_get(detail, "counts");
    const json_t *base = json_object_get(json_object_get(detail, "internal"), "counts_base");
    for (guint c = 0; c < G_N_ELEMENTS(counters); c++) {
        model->counts[c] = number(counts, counters[c].name);
        model->base[c] = number(base, counters[c].name);
        model->last[c] = model->counts[c] - model->base[c];
    }
    return model;
}

void model_free(Model *model)
{
    if (!model)
        return;
    g_hash_table_unref(model->participant_by_id);
    g_hash_table_unref(model->track_by_key);
    g_hash_table_unref(model->missing);
    json_decref(model->participants);
    json_decref(model->tracks);
    json_decref(model->undecryptable);
    g_free(model);
}

/* ---- participants ------------------------------------------------------------------------------------------------ */

static void on_joined(Model *model, const json_t *event, ModelTold told, gpointer user)
{
    const char *id = text(event, "participant"), *name = text(event, "name");
    if (!id)
        return;
    name = name ? name : "";
    (void)g_hash_table_remove(model->missing, id);
    json_t *known = g_hash_table_lookup(model->participant_by_id, id);
    if (known && json_is_null(json_object_get(known, "left_at")))
        return; /* told again at the beginning of a part */
    if (!known && json_array_size(model->participants) < MODEL_PARTICIPANTS_MAX) {
        known = json_object();
        json_array_append_new(model->participants, known);
        g_hash_table_replace(model->participant_by_id, g_strdup(id), known);
        json_object_set_new(known, "id", json_string(id));
        json_object_set_new(known, "joined_at", time_of(number(event, "t")));
    }
    if (known) {
        json_object_set_new(known, "name", json_string(name));
        json_object_set_new(known, "left_at", json_null());
    }
    told(user, "participant_joined", json_pack("{s:s, s:s}", "participant", id, "name", name));
}

static void leave(Model *model, const char *id, gint64 wall_us, ModelTold told, gpointer user)
{
    json_t *known = g_hash_table_lookup(model->participant_by_id, id);
    if (known && !json_is_null(json_object_get(known, "left_at")))
        return;
    if (known)
        json_object_set_new(known, "left_at", time_of(wall_us));
    told(user, "participant_left", json_pack("{s:s}", "participant", id));
}

static void on_left(Model *model, const json_t *event, ModelTold told, gpointer user)
{
    const char *id = text(event, "participant");
    if (!id)
        return;
    (void)g_hash_table_remove(model->missing, id);
    leave(model, id, number(event, "t"), told, user);
}

/* Everybody who is there is told again soon. */
static void on_rejoined(Model *model, gint64 wall_us)
{
    size_t i;
    const json_t *participant;
    json_array_foreach (model->participants, i, participant) {
        if (json_is_null(json_object_get(participant, "left_at")))
            g_hash_table_add(model->missing, g_strdup(text(participant, "id")));
    }
    model->missing_until_us = wall_us + MODEL_REJOIN_US;
    /* So is what cannot be decrypted. */
    json_array_clear(model->undecryptable);
}

static void give_up_missing(Model *model, gint64 now_us, ModelTold told, gpointer user)
{
    if (g_hash_table_size(model->missing) == 0 || now_us < model->missing_until_us)
        return;
    GHashTableIter iter;
    const char *id;
    g_hash_table_iter_init(&iter, model->missing);
    while (g_hash_table_iter_next(&iter, (gpointer *)&id, NULL)) {
        leave(model, id, now_us, told, user);
        g_hash_table_iter_remove(&iter);
    }
}

/* ---- tracks ------------------------------------------------------------------------------------------------------ */

/* It can be decrypted now, or is over. */
static void forget_undecryptable(Model *model, gint64 track)
{
    for (size_t i = json_array_size(model->undecryptable); i-- > 0;) {
        if (number(json_array_get(model->undecryptable, i), "track") == track)
            json_array_remove(model->undecryptable, i);
    }
}

static void on_track_added(Model *model, const json_t *event)
{
    const char *participant = text(event, "participant"), *kind = text(event, "kind"), *codec = text(event, "codec");
    gint64 part = number(event, "part"), track = number(event, "track");
    if (find_track(model, part, track) || json_array_size(model->tracks) >= MODEL_TRACKS_MAX)
        return;
    json_t *added =
        json_pack("{s:I, s:I, s:s, s:s, s:s?, s:n, s:n, s:b, s:n, s:n}", "part", (json_int_t)part, "track",
                  (json_int_t)track, "participant", participant ? participant : "", "kind", kind ? kind : "audio",
                  "codec", codec, "width", "height", "muted", 0, "started_at", "ended_at");
    if (!added)
        return;
    json_array_append_new(model->tracks, added);
    g_hash_table_replace(model->track_by_key, track_key(part, track), added);
}

static void on_format(json_t *track, const json_t *event)
{
    static const char *const members[] = {"codec", "width", "height"};
    for (guint i = 0; i < G_N_ELEMENTS(members); i++) {
        json_t *value = json_object_get(event, members[i]);
        if (json_is_string(value) || json_integer_value(value) > 0)
            json_object_set(track, members[i], value);
    }
}

static void end_track(json_t *track, gint64 wall_us)
{
    if (json_is_null(json_object_get(track, "ended_at")))
        json_object_set_new(track, "ended_at", time_of(wall_us));
}

static void on_track_event(Model *model, const char *name, const json_t *event)
{
    json_t *track = find_track(model, number(event, "part"), number(event, "track"));
    if (strcmp(name, "format") == 0)
        model->sealed |= json_is_true(json_object_get(event, "sealed"));
    if (strcmp(name, "track_removed") == 0)
        forget_undecryptable(model, number(event, "track"));
    if (!track)
        return;
    if (strcmp(name, "track_started") == 0 && json_is_null(json_object_get(track, "started_at")))
        json_object_set_new(track, "started_at", time_of(number(event, "t")));
    else if (strcmp(name, "track_removed") == 0)
        end_track(track, number(event, "t"));
    else if (strcmp(name, "format") == 0)
        on_format(track, event);
    else if (strcmp(name, "muted") == 0 || strcmp(name, "unmuted") == 0)
        json_object_set_new(track, "muted", json_boolean(name[0] == 'm'));
}

/* A part's tracks end with it. */
static void on_part(Model *model, gint64 part, gint64 wall_us)
{
    size_t i;
    json_t *track;
    json_array_foreach (model->tracks, i, track)
        end_track(track, wall_us);
    model->last_part = part;
}

static void on_gap(Model *model, const json_t *event, ModelTold told, gpointer user)
{
    const char *cause = text(event, "cause");
    gint64 minute = number(event, "t") / (60 * G_USEC_PER_SEC);
    if (minute != model->gap_minute) {
        model->gap_minute = minute;
        model->gaps_in_minute = 0;
    }
    if (g_strcmp0(cause, "paused") == 0 || model->gaps_in_minute++ >= MODEL_GAPS_PER_MINUTE_MAX)
        return;
    const json_t *track = find_track(model, number(event, "part"), number(event, "track"));
    const char *participant = track ? text(track, "participant") : NULL;
    told(user, "gap",
         json_pack("{s:I, s:I, s:s?, s:s?, s:o, s:o, s:I}", "part", (json_int_t)number(event, "part"), "track",
                   (json_int_t)number(event, "track"), "participant", participant, "cause", cause, "from",
                   time_of(number(event, "from")), "until", time_of(number(event, "until")), "packets",
                   (json_int_t)number(event, "packets")));
}

/* ---- content
 * --------------------------------------------------------------------------------------------------------- */

/* One of a track and key id takes the place of what was told of them before: a key that was missing may be wrong now.
 */
static void show_undecryptable(Model *model, json_t *entry)
{
    size_t i;
    const json_t *known;
    json_array_foreach (model->undecryptable, i, known) {
        if (number(known, "track") == number(entry, "track") && g_strcmp0(text(known, "kid"), text(entry, "kid")) == 0)
            break;
    }
    if (i < json_array_size(model->undecryptable))
        json_array_set(model->undecryptable, i, entry);
    else if (i < MODEL_UNDECRYPTABLE_MAX)
        json_array_append(model->undecryptable, entry);
}

static const char *participant_of(const Model *model, const json_t *event)
{
    const json_t *track = find_track(model, number(event, "part"), number(event, "track"));
    const char *told = text(event, "participant");
    return told ? told : track ? text(track, "participant") : NULL;
}

static void on_undecryptable(Model *model, const json_t *event, ModelTold told, gpointer user)
{
    gint64 minute = number(event, "t") / (60 * G_USEC_PER_SEC);
    json_t *entry = json_pack("{s:s?, s:I, s:s?, s:s?, s:o}", "participant", participant_of(model, event), "track",
                              (json_int_t)number(event, "track"), "kid", text(event, "kid"), "cause",
                              text(event, "cause"), "since", time_of(number(event, "since")));
    if (minute != model->undecryptable_minute) {
        model->undecryptable_minute = minute;
        model->undecryptable_in_minute = 0;
    }
    model->sealed = TRUE;
    show_undecryptable(model, entry);
    if (model->undecryptable_in_minute++ < MODEL_UNDECRYPTABLE_PER_MINUTE_MAX)
        told(user, "undecryptable", entry);
    else
        json_decref(entry);
}

static void on_decryptable(Model *model, const json_t *event, ModelTold told, gpointer user)
{
    forget_undecryptable(model, number(event, "track"));
    told(user, "decryptable",
         json_pack("{s:s?, s:I, s:o, s:I}", "participant", participant_of(model, event), "track",
                   (json_int_t)number(event, "track"), "since", time_of(number(event, "since")), "frames",
                   (json_int_t)number(event, "frames")));
}

guint model_undecryptable_tracks(const Model *model)
{
    g_autoptr(GHashTable) tracks = g_hash_table_new(g_direct_hash, g_direct_equal);
    size_t i;
    const json_t *entry;
    json_array_foreach (model->undecryptable, i, entry)
        g_hash_table_add(tracks, GINT_TO_POINTER((gint)number(entry, "track")));
    return g_hash_table_size(tracks);
}

json_t *model_content(const json_t *detail)
{
    const json_t *kept = json_object_get(json_object_get(detail, "internal"), "content");
    json_t *undecryptable = json_object_get(kept, "undecryptable");
    return json_pack("{s:b, s:o}", "sealed", json_is_true(json_object_get(kept, "sealed")), "undecryptable",
                     json_is_array(undecryptable) ? json_deep_copy(undecryptable) : json_array());
}

/* ---- counts ------------------------------------------------------------------------------------------------------ */

static void on_stats(Model *model, const json_t *event)
{
    /* Another recorder counts from 0. */
    gboolean anew = FALSE;
    for (guint c = 0; c < G_N_ELEMENTS(counters); c++)
        anew |= counters[c].grows && number(event, counters[c].name) < model->last[c];
    for (guint c = 0; c < G_N_ELEMENTS(counters); c++) {
        gint64 now = number(event, counters[c].name);
        if (anew)
            model->base[c] = counters[c].grows ? model->counts[c] : 0;
        model->last[c] = now;
        model->counts[c] = model->base[c] + now;
    }
}

/* ---- all --------------------------------------------------------------------------------------------------------- */

void model_event(Model *model, const json_t *event, gint64 now_us, ModelTold told, gpointer user)
{
    const char *name = text(event, "event");
    gint64 part = number(event, "part");
    if (!name)
        return;
    if (strcmp(name, "stats") == 0 && !json_object_get(event, "track")) {
        on_stats(model, event);
        give_up_missing(model, now_us, told, user);
        return;
    }
    if (part > model->last_part && part <= G_MAXINT32)
        on_part(model, part, number(event, "t"));
    if (part > model->parts && part <= G_MAXINT32 && !json_is_true(json_object_get(event, "early")))
        model->parts = (guint)part;
    if (strcmp(name, "state") == 0 && g_strcmp0(text(event, "state"), "recording") == 0 && part > 1)
        on_rejoined(model, number(event, "t"));
    else if (strcmp(name, "participant_joined") == 0)
        on_joined(model, event, told, user);
    else if (strcmp(name, "participant_left") == 0)
        on_left(model, event, told, user);
    else if (strcmp(name, "track_added") == 0)
        on_track_added(model, event);
    else if (strcmp(name, "gap") == 0)
        on_gap(model, event, told, user);
    else if (strcmp(name, "undecryptable") == 0)
        on_undecryptable(model, event, told, user);
    else if (strcmp(name, "decryptable") == 0)
        on_decryptable(model, event, told, user);
    else if (strcmp(name, "ended") == 0)
        json_array_clear(model->undecryptable);
    else if (json_object_get(event, "track"))
        on_track_event(model, name, event);
}

void model_take_manifest(Model *model, const json_t *manifest)
{
    const json_t *recording = json_object_get(manifest, "recording");
    model->counts[0] = number(recording, "duration_us") / 1000;
    model->counts[1] = (gint64)json_array_size(json_object_get(manifest, "participants"));
    model->counts[2] = (gint64)json_array_size(json_object_get(manifest, "tracks"));
    model->parts = MAX(model->parts, (guint)json_array_size(json_object_get(recording, "parts")));
    /* The assembly may have had the keys. */
    model->sealed = json_is_true(json_object_get(json_object_get(manifest, "content"), "sealed"));
    json_array_clear(model->undecryptable);
}

void model_into_detail(const Model *model, json_t *detail)
{
    json_t *counts = json_object(), *base = json_object();
    for (guint c = 0; c < G_N_ELEMENTS(counters); c++) {
        json_object_set_new(counts, counters[c].name, json_integer(model->counts[c]));
        json_object_set_new(base, counters[c].name, json_integer(model->base[c]));
    }
    json_t *internal = json_object_get(detail, "internal");
    if (!internal) {
        internal = json_object();
        json_object_set_new(detail, "internal", internal);
    }
    json_object_set_new(internal, "counts_base", base);
    json_object_set_new(internal, "content",
                        json_pack("{s:b, s:O}", "sealed", model->sealed, "undecryptable", model->undecryptable));
    json_object_set(detail, "participants", model->participants);
    json_object_set(detail, "tracks", model->tracks);
    json_object_set_new(detail, "counts", counts);
    json_object_set_new(detail, "parts", json_integer(model->parts));
}

gint64 model_count(const Model *model, const char *name)
{
    for (guint c = 0; c < G_N_ELEMENTS(counters); c++) {
        if (strcmp(counters[c].name, name) == 0)
            return model->counts[c];
    }
    g_return_val_if_reached(0);
}
