/* No recorder runs: what is to be done, by what is on disk, and when there is nothing, by what storage has. */
#include "job_internal.h"

#include "stores.h"

#include "steno/base/clock.h"
#include "steno/base/error.h"

#include <string.h>

/* ---- asking the stores ------------------------------------------------------------------------------------------- */

typedef struct {
    StenoStore *stores[STENO_JOB_STORES_MAX];
    guint n_stores;
    RecordingPlace place;
    StoresLook look;
} Asking;

static void asking_free(gpointer data)
{
    Asking *asking = data;
    for (guint i = 0; i < asking->n_stores; i++)
        steno_store_unref(asking->stores[i]);
    recording_place_clear(&asking->place);
    stores_look_clear(&asking->look);
    g_free(asking);
}

static void run(Worker *worker, gpointer data, GCancellable *cancellable)
{
    Asking *asking = data;
    (void)worker;
    stores_look(asking->stores, asking->n_stores, &asking->place, cancellable, &asking->look);
}

/* What a store that could not tell has to do with the recording is what one has that could not store it. */
static void tell_look(StenoJob *job, guint store, const GError *error)
{
    if (!error && !job->look_since_us[store])
        return;
    if (error && !job->look_since_us[store])
        job->look_since_us[store] = steno_clock_wall_us();
    if (!error)
        job->look_since_us[store] = 0;
    const StorageTold told = {
        .store = store,
        .state = !error                      ? "waiting"
                 : storing_is_blocked(error) ? "blocked"
                                             : "retrying",
        .since_us = job->look_since_us[store],
        .error = error,
    };
    job_tell_storage(job, &told);
}

static void ask_stores(StenoJob *job);

static void look_again(StenoJob *job, const StoresLook *look)
{
    const GError *gentlest = NULL;
    for (guint i = 0; i < job->n_stores; i++) {
        const GError *error = look->errors[i];
        tell_look(job, i, error);
        if (error && (!gentlest || !storing_is_blocked(error)))
            gentlest = error;
    }
    steno_warning(job->log, "whether it is stored already cannot be told: %s", gentlest->message);
    job->looks_again = TRUE;
    job_next(job, storing_delay_ms(gentlest, job->looks++), ask_stores);
}

static const char *reason_of(const StenoJob *job, const char *told)
{
    return told ? told : job->stop_reason ? job->stop_reason : "recorder-died";
}

/* The capture is let go only when every store has what it must have. */
static void tell_stored(StenoJob *job, const RecordingPlace *place, const StoresLook *look)
{
    RecordingPlace known = {0};
    json_int_t zero_us = json_integer_value(json_object_get(json_object_get(look->manifest, "recording"), "zero_us"));
    recording_place_set(&known, place->app, place->channel, place->id,
                        place->started_wall_us > 0 ? place->started_wall_us : zero_us);
    for (guint i = 0; i < job->n_stores; i++) {
        gboolean has = i == look->found, skipped = job->first && !has;
        g_autofree char *folder = has ? g_strdup(look->folder) : recording_place_folder(&known, job->stores[i].store);
        g_autofree char *uri = skipped ? NULL : steno_store_uri(job->stores[i].store, folder);
        const StorageTold told = {.store = i, .state = skipped ? "skipped" : "stored", .uri = uri};
        job_tell_storage(job, &told);
    }
    recording_place_clear(&known);
}

static void on_asked(gpointer user, gpointer data)
{
    StenoJob *job = user;
    const Asking *asking = data;
    const StoresLook *look = &asking->look;
    job->looking = NULL;
    if (look->found != G_MAXUINT) {
        Recovery recovery = {0};
        g_autofree char *uri = steno_store_uri(job->stores[look->found].store, look->folder);
        recovery_take_manifest(look->manifest, keys_job_is_later(job->spec), &recovery);
        tell_stored(job, &asking->place, look);
        g_free(job->end_reason);
        job->end_reason = g_strdup(reason_of(job, recovery.end_reason));
        if (recovery.error)
            job_set_error(job, g_steal_pointer(&recovery.error));
        recovery_clear(&recovery);
        job_finish(job, look->manifest, uri);
        return;
    }
    gboolean begun = job->started_wall_us > 0 || job->told.part > 0;
    if (stores_look_failed(look) && (begun || job->stopping)) {
        look_again(job, look);
        return;
    }
    for (guint i = 0; i < job->n_stores; i++)
        tell_look(job, i, NULL);
    if (job->stopping)
        job_end(job, reason_of(job, NULL), NULL);
    else
        job_record(job);
}

static void ask_stores(StenoJob *job)
{
    static const WorkerKind kind = {.run = run, .done = on_asked, .free = asking_free};
    Asking *asking = g_new0(Asking, 1);
    job->looks_again = FALSE;
    asking->n_stores = job->n_stores;
    for (guint i = 0; i < job->n_stores; i++)
        asking->stores[i] = steno_store_ref(job->stores[i].store);
    recording_place_set(&asking->place, job->spec->app, job->spec->channel, job->spec->id, job->started_wall_us);
    job->looking = worker_start(&kind, asking, job);
}

gboolean job_looks_retry(StenoJob *job, const char *store)
{
    gboolean meant = !store;
    for (guint i = 0; i < job->n_stores; i++)
        meant |= store && job->look_since_us[i] && strcmp(steno_store_name(job->stores[i].store), store) == 0;
    if (!job->looks_again || !meant)
        return FALSE;
    job_next(job, 0, ask_stores);
    return TRUE;
}

/* ---- looking at the disk ----------------------------------------------------------------------------------------- */

void job_look_at_disk(StenoJob *job)
{
    Recovery recovery;
    g_autoptr(GError) error = NULL;
    if (!recovery_look(job->capture, job->spec, !job->stopping, steno_clock_wall_us(), &recovery, &error)) {
        job_set_error(job, g_steal_pointer(&error));
        job_finish(job, NULL, NULL);
        return;
    }
    switch (recovery.step) {
    case RECOVERY_RECORD:
        job_record(job);
        break;
    case RECOVERY_ASSEMBLE:
        job_end(job, reason_of(job, recovery.end_reason), g_steal_pointer(&recovery.error));
        break;
    case RECOVERY_ASK:
        ask_stores(job);
        break;
    }
    recovery_clear(&recovery);
}
