/* A recording's storages: what its deliveries tell becomes what is shown, and what webhooks are told. */
#include "daemon_internal.h"

#include "steno/base/clock.h"
#include "steno/base/error.h"

#include <string.h>

/* Trouble that has lasted so long will not be over in a moment: an orderly end does not wait for it. */
#define HELD_UP_US (30 * G_USEC_PER_SEC)

static const char *state_of(const Destination *destination)
{
    const char *state = json_string_value(json_object_get(destination->shown, "state"));
    return state ? state : "";
}

static gboolean is_in(const Destination *destination, const char *const *states)
{
    return g_strv_contains(states, state_of(destination));
}

static gboolean is_over(const Destination *destination)
{
    static const char *const states[] = {"stored", "skipped", "failed", "deleted", NULL};
    return is_in(destination, states);
}

#define EACH_DESTINATION(destination, recording)                                                                       \
    for (Destination *destination = (recording)->destinations;                                                         \
         destination < (recording)->destinations + STENO_JOB_STORES_MAX && destination->name; destination++)

/* ---- coming and going -------------------------------------------------------------------------------------------- */

static json_t *find_shown(json_t *storages, const char *name)
{
    size_t i;
    json_t *storage;
    json_array_foreach (storages, i, storage) {
        if (g_strcmp0(json_string_value(json_object_get(storage, "name")), name) == 0)
            return storage;
    }
    storage = recording_storage(name, "pending", NULL, 0);
    json_array_append_new(storages, storage);
    return storage;
}

static void begin_one(Recording *recording, Destination *destination, json_t *storages, const char *name)
{
    static const char *const passing[] = {"waiting", "storing", "retrying", NULL};
    destination->recording = recording;
    destination->name = g_strdup(name);
    destination->shown = find_shown(storages, name);
    json_object_update_missing_new(destination->shown, recording_storage(name, "pending", NULL, 0));
    /* Of deliveries of an earlier stenod. That it was blocked stays told until it is not any more. */
    if (is_in(destination, passing)) {
        json_object_set_new(destination->shown, "state", json_string("pending"));
        json_object_set_new(destination->shown, "since", json_null());
        json_object_set_new(destination->shown, "error", json_null());
    }
    if (json_is_string(json_object_get(destination->shown, "since")))
        (void)request_time(json_object_get(destination->shown, "since"), "", &destination->since_us, NULL);
}

void storing_begin(Recording *recording)
{
    StenoJournalRecording *row = recording->row;
    (void)recording_internal(row);
    json_t *storages = json_object_get(row->detail, "storages");
    if (!json_is_array(storages)) {
        storages = json_array();
        json_object_set_new(row->detail, "storages", storages);
    }
    for (guint i = 0; recording->request && recording->request->storages[i]; i++)
        begin_one(recording, &recording->destinations[i], storages, recording->request->storages[i]);
}

void storing_leave(Recording *recording)
{
    EACH_DESTINATION(destination, recording)
    uploads_release(destination);
}

void storing_clear(Recording *recording)
{
    EACH_DESTINATION(destination, recording)
    g_clear_pointer(&destination->name, g_free);
}

/* ---- blocked ----------------------------------------------------------------------------------------------------- */

/* Those that were told to be blocked, so that it is told once, also by the next stenod. */
static json_t *told_blocked(const Destination *destination)
{
    json_t *internal = recording_internal(destination->recording->row);
    json_t *told = json_object_get(internal, "blocked");
    if (!told) {
        told = json_object();
        json_object_set_new(internal, "blocked", told);
    }
    return told;
}

static void tell_blocked(Destination *destination)
{
    json_t *told = told_blocked(destination);
    if (json_object_get(told, destination->name))
        return;
    json_object_set_new(told, destination->name, json_true());
    outbox_event(destination->recording, "storing_blocked",
                 json_pack("{s:s, s:O, s:O}", "storage", destination->name, "error",
                           json_object_get(destination->shown, "error"), "since",
                           json_object_get(destination->shown, "since")));
}

static void tell_resumed(Destination *destination)
{
    json_t *told = told_blocked(destination);
    if (!json_object_get(told, destination->name))
        return;
    json_object_del(told, destination->name);
    outbox_event(destination->recording, "storing_resumed", json_pack("{s:s}", "storage", destination->name));
}

/* Nothing but storages can hold it up. */
static gboolean waits_for_storages(const Recording *recording)
{
    return !recording->ended && (recording->looking || strcmp(recording->row->state, "storing") == 0);
}

void storing_set_error(Recording *recording)
{
    StenoJournalRecording *row = recording->row;
    json_t *worst = NULL;
    if (!waits_for_storages(recording))
        return;
    EACH_DESTINATION(destination, recording)
    {
        json_t *error = json_object_get(destination->shown, "error");
        if (json_is_object(error) && (!worst || strcmp(state_of(destination), "blocked") == 0))
            worst = error;
    }
    json_decref(row->error);
    row->error = worst ? json_incref(worst) : NULL;
}

/* ---- what the job tells ------------------------------------------------------------------------------------------ */

static Destination *find_destination(Recording *recording, const char *name)
{
    EACH_DESTINATION(destination, recording)
    {
        if (g_strcmp0(destination->name, name) == 0)
            return destination;
    }
    return NULL;
}

static void count_bytes(Destination *destination, gint64 section, gint64 bytes)
{
    if (section != destination->section)
        destination->bytes = 0;
    destination->section = section;
    if (bytes > destination->bytes)
        destination->recording->daemon->counts.upload_bytes += (guint64)(bytes - destination->bytes);
    destination->bytes = bytes;
}

static void set_members(Destination *destination, const json_t *event, const char *state)
{
    static const char *const members[] = {"uri", "bytes", "bytes_total"};
    json_t *error = json_object_get(event, "error");
    for (guint i = 0; i < G_N_ELEMENTS(members); i++) {
        json_t *value = json_object_get(event, members[i]);
        if (value && !json_is_null(value))
            json_object_set(destination->shown, members[i], value);
    }
    json_object_set_new(destination->shown, "state", json_string(state));
    json_object_set_new(destination->shown, "since", recording_time(destination->since_us));
    json_object_set_new(destination->shown, "error", json_is_object(error) ? json_incref(error) : json_null());
}

/* What deliveries see spares the prober a look of its own. */
static void tell_prober(const Destination *destination, const char *state)
{
    const char *words = json_string_value(json_object_get(json_object_get(destination->shown, "error"), "message"));
    Prober *prober = destination->recording->daemon->prober;
    if (strcmp(state, "stored") == 0)
        prober_saw(prober, destination->name, NULL);
    else if (words && (strcmp(state, "blocked") == 0 || strcmp(state, "retrying") == 0))
        prober_saw(prober, destination->name, words);
}

void storing_on_storage(Recording *recording, const json_t *event)
{
    Destination *destination = find_destination(recording, json_string_value(json_object_get(event, "storage")));
    const char *state = json_string_value(json_object_get(event, "state"));
    gint64 section = json_integer_value(json_object_get(event, "section"));
    if (!destination || !state)
        return;
    gboolean done = strcmp(state, "stored") == 0 || strcmp(state, "skipped") == 0;
    gboolean blocked = strcmp(state, "blocked") == 0;
    gboolean failed = blocked || strcmp(state, "retrying") == 0;
    gint64 since_us = json_integer_value(json_object_get(event, "since_us"));
    gboolean was_in_trouble = destination->troubled;
    /* Each try of one that can't be stored to is no news: nothing of it goes to the journal. */
    gboolean news = done || (since_us > 0) != was_in_trouble;
    const char *before = state_of(destination);
    recording->daemon->counts.upload_failures += failed && strcmp(before, state) != 0;
    destination->since_us = since_us;
    destination->troubled = since_us > 0;
    if (strcmp(state, "stored") == 0)
        destination->stored = section;
    count_bytes(destination, section, json_integer_value(json_object_get(event, "bytes")));
    set_members(destination, event, done && section > 0 ? "pending" : state);
    tell_prober(destination, state);
    if (blocked)
        tell_blocked(destination);
    else if (done || (was_in_trouble && since_us == 0))
        tell_resumed(destination);
    storing_set_error(recording);
    if (news)
        outbox_dirty(recording, TRUE);
}

static const char *storage_of_section(const Recording *recording, gint64 section)
{
    EACH_DESTINATION(destination, (Recording *)recording)
    {
        if (destination->stored == section)
            return destination->name;
    }
    return recording->destinations[0].name ? recording->destinations[0].name : "";
}

void storing_on_section(Recording *recording, const json_t *event)
{
    StenoJournalRecording *row = recording->row;
    json_t *internal = recording_internal(row);
    gint64 section = json_integer_value(json_object_get(event, "section"));
    /* After a crash what is stored is told again. */
    if (section <= json_integer_value(json_object_get(internal, "sections")))
        return;
    json_t *files =
        recording_describe_files(row->id, storage_of_section(recording, section), json_object_get(event, "outputs"));
    size_t i;
    json_t *file;
    json_array_foreach (files, i, file)
        json_object_set_new(file, "section", json_integer(section));
    json_t *all = json_object_get(row->detail, "files");
    if (!all) {
        all = json_array();
        json_object_set_new(row->detail, "files", all);
    }
    json_array_extend(all, files);
    row->files_bytes = recording_files_bytes(all);
    json_object_set_new(internal, "sections", json_integer(section));
    outbox_event(recording, "part_stored", json_pack("{s:I, s:o}", "section", (json_int_t)section, "files", files));
}

/* ---- the end ----------------------------------------------------------------------------------------------------- */

/* Told, or known by the end alone: that of a recording that was stored before an earlier stenod died. */
static void end_one(Destination *destination, const char *uri)
{
    const Recording *recording = destination->recording;
    const StenoStore *store = stores_find(recording->daemon->stores, destination->name);
    g_autofree char *key = store && uri ? steno_store_key_of_uri(store, uri) : NULL;
    if (is_over(destination))
        return;
    if (key || (store && !recording->request->store_first)) {
        json_object_set_new(destination->shown, "state", json_string("stored"));
        if (key)
            json_object_set_new(destination->shown, "uri", json_string(uri));
    } else {
        json_object_set_new(destination->shown, "state", json_string(store ? "skipped" : "failed"));
    }
    json_object_set_new(destination->shown, "since", json_null());
    json_object_set_new(destination->shown, "error", json_null());
}

/* An URI that nobody told is where the template says. */
static void find_uri(Destination *destination)
{
    const Recording *recording = destination->recording;
    const StenoJournalRecording *row = recording->row;
    const StenoStore *store = stores_find(recording->daemon->stores, destination->name);
    if (!store || strcmp(state_of(destination), "stored") != 0 ||
        json_is_string(json_object_get(destination->shown, "uri")))
        return;
    const StenoStorePlace place = {row->app, row->channel, row->started_us, row->id};
    g_autofree char *folder = steno_store_folder(store, &place);
    g_autofree char *uri = steno_store_uri(store, folder);
    json_object_set_new(destination->shown, "uri", json_string(uri));
}

void storing_end(Recording *recording, const json_t *manifest, const char *uri)
{
    const char *stored = NULL;
    EACH_DESTINATION(destination, recording)
    {
        end_one(destination, uri);
        if (!stored && strcmp(state_of(destination), "stored") == 0)
            stored = destination->name;
    }
    recording_take_manifest(recording->row, recording->model, manifest, stored ? stored : "");
    EACH_DESTINATION(destination, recording)
    {
        find_uri(destination);
        tell_resumed(destination);
    }
}

void storing_fail(Recording *recording)
{
    EACH_DESTINATION(destination, recording)
    {
        if (!is_over(destination))
            json_object_set_new(destination->shown, "state", json_string("failed"));
    }
}

/* ---- how many ---------------------------------------------------------------------------------------------------- */

static void count_one(const Destination *destination, StoringCount *count)
{
    const char *state = state_of(destination);
    count->waiting += strcmp(state, "waiting") == 0;
    count->storing += strcmp(state, "storing") == 0;
    count->retrying += strcmp(state, "retrying") == 0;
    if (strcmp(state, "blocked") != 0)
        return;
    count->blocked++;
    if (count->blocked_since_us == 0 || destination->since_us < count->blocked_since_us) {
        count->blocked_since_us = destination->since_us;
        count->blocked_storage = destination->name;
        count->blocked_error = json_object_get(destination->shown, "error");
    }
}

void storing_count(const StenoDaemon *daemon, const char *storage, const char *app, StoringCount *count)
{
    GHashTableIter iter;
    Recording *recording;
    *count = (StoringCount){0};
    g_hash_table_iter_init(&iter, daemon->recordings);
    while (g_hash_table_iter_next(&iter, NULL, (gpointer *)&recording)) {
        if (recording->ended || (app && strcmp(recording->row->app, app) != 0))
            continue;
        EACH_DESTINATION(destination, recording)
        {
            if (!storage || strcmp(storage, destination->name) == 0)
                count_one(destination, count);
        }
    }
}

/* Somebody else waits for this storage to be well again. */
static gboolean is_storage_in_trouble(const StenoDaemon *daemon, const char *name)
{
    GHashTableIter iter;
    Recording *recording;
    gint64 now_us = steno_clock_wall_us();
    g_hash_table_iter_init(&iter, daemon->recordings);
    while (g_hash_table_iter_next(&iter, NULL, (gpointer *)&recording)) {
        EACH_DESTINATION(destination, recording)
        {
            if (strcmp(destination->name, name) == 0 && !is_over(destination) &&
                (strcmp(state_of(destination), "blocked") == 0 ||
                 (destination->since_us > 0 && now_us - destination->since_us > HELD_UP_US)))
                return TRUE;
        }
    }
    return FALSE;
}

gboolean storing_is_held_up(const Recording *recording)
{
    const StenoDaemon *daemon = recording->daemon;
    guint held_up = 0;
    if (!waits_for_storages(recording))
        return FALSE;
    for (guint i = 0; i < recording->n_placed; i++) {
        const Destination *destination = recording->placed[i];
        if (is_over(destination))
            continue;
        if (uploads_is_open(daemon->uploads, destination->name) && !is_storage_in_trouble(daemon, destination->name))
            return FALSE;
        held_up++;
    }
    return held_up > 0;
}
