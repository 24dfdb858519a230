/* A section's files go to the stores: to all of them, each at its own pace, or to the first one that takes them. */
#include "job_internal.h"

#include "steno/base/clock.h"
#include "steno/base/error.h"

#include <fcntl.h>
#include <string.h>

/* Full jitter: anything up to 0.5 s, doubled with each attempt, up to a minute. */
#define DELAY_FIRST_MS 500
#define DELAY_MAX_MS 60000
/* Somebody must act; but a disk that was full for a moment is not worth a minute. Doubled with each attempt, too. */
#define BLOCKED_FIRST_MS 2000

gboolean storing_is_blocked(const GError *trouble)
{
    static const StenoError codes[] = {STENO_ERROR_STORAGE_DENIED, STENO_ERROR_STORAGE_UNWRITABLE,
                                       STENO_ERROR_STORAGE_FULL, STENO_ERROR_GEOFENCE};
    for (guint i = 0; i < G_N_ELEMENTS(codes); i++) {
        if (g_error_matches(trouble, STENO_ERROR, (gint)codes[i]))
            return TRUE;
    }
    return FALSE;
}

guint storing_delay_ms(const GError *trouble, guint attempts)
{
    if (storing_is_blocked(trouble))
        return MIN(BLOCKED_FIRST_MS << MIN(attempts, 10), DELAY_MAX_MS);
    return full_jitter_ms(DELAY_FIRST_MS, DELAY_MAX_MS, attempts, g_random_int());
}

/* ---- telling ----------------------------------------------------------------------------------------------------- */

static const char *state_of(const Storing *storing)
{
    if (storing->state == STORING_STORED)
        return "stored";
    if (storing->state == STORING_SKIPPED)
        return "skipped";
    if (storing->trouble)
        return storing_is_blocked(storing->trouble) ? "blocked" : "retrying";
    return storing->state == STORING_RUNNING ? "storing" : "waiting";
}

static void tell(Storing *storing)
{
    const Section *section = storing->section;
    StenoJob *job = section->job;
    StenoStore *store = job->stores[storing->store].store;
    g_autofree char *folder = recording_place_folder(&job->place, store);
    g_autofree char *uri = storing->state == STORING_STORED ? steno_store_uri(store, folder) : NULL;
    const StorageTold told = {
        .section = section->of.number,
        .store = storing->store,
        .state = state_of(storing),
        .since_us = storing->since_us,
        .uri = uri,
        .bytes = storing->bytes,
        .bytes_total = section->shipment ? section->shipment->bytes : 0,
        .error = storing->trouble,
    };
    g_autofree char *now = g_strdup_printf("%s %" G_GINT64_FORMAT " %" G_GINT64_FORMAT " %s", told.state, told.bytes,
                                           told.bytes_total, told.error ? told.error->message : "");
    if (g_strcmp0(now, storing->told) == 0)
        return;
    g_free(storing->told);
    storing->told = g_steal_pointer(&now);
    job_tell_storage(job, &told);
}

static void set_trouble(Storing *storing, const GError *error)
{
    if (error && !storing->trouble)
        storing->since_us = steno_clock_wall_us();
    if (!error)
        storing->since_us = 0;
    g_clear_error(&storing->trouble);
    storing->trouble = error ? g_error_copy(error) : NULL;
}

void section_set_trouble(Section *section, const GError *trouble)
{
    for (guint i = 0; i < section->job->n_stores; i++) {
        Storing *storing = &section->storings[i];
        if (storing->state != STORING_IDLE || (section->job->first && i > 0) || (!trouble && !storing->trouble))
            continue;
        set_trouble(storing, trouble);
        tell(storing);
    }
}

void section_begin_storing(Section *section)
{
    const char *sha256 = shipment_manifest(section->shipment)->sha256;
    /* Assembled again, it is the same again; where it is not, what is stored is not it. */
    gboolean changed = section->sha256[0] && strcmp(section->sha256, sha256) != 0;
    g_strlcpy(section->sha256, sha256, sizeof section->sha256);
    for (guint i = 0; changed && i < section->job->n_stores; i++) {
        if (section->storings[i].state == STORING_STORED)
            section->storings[i].state = STORING_IDLE;
    }
    section->stage = STAGE_STORING;
    section_set_trouble(section, NULL);
}

/* ---- the end of an attempt --------------------------------------------------------------------------------------- */

static gboolean is_running(const Section *section)
{
    for (guint i = 0; i < section->job->n_stores; i++) {
        if (section->storings[i].state == STORING_RUNNING)
            return TRUE;
    }
    return FALSE;
}

static gboolean on_rested(gpointer data)
{
    Storing *storing = data;
    storing->timer = 0;
    storing->state = STORING_IDLE;
    job_advance(storing->section->job);
    return G_SOURCE_REMOVE;
}

static void rest(Storing *storing, const GError *trouble)
{
    storing->state = STORING_RESTING;
    storing->timer = g_timeout_add(storing_delay_ms(trouble, storing->attempts++), on_rested, storing);
}

/* That of them which is over the soonest. */
static const GError *gentlest(const Section *section)
{
    const GError *found = NULL;
    for (guint i = 0; i < section->job->n_stores; i++) {
        const GError *trouble = section->storings[i].trouble;
        if (trouble && (!found || !storing_is_blocked(trouble)))
            found = trouble;
    }
    return found;
}

/* The next one at once; when all have failed, from the first one again, after a rest. */
static void try_next(Section *section)
{
    StenoJob *job = section->job;
    Storing *storing = &section->storings[section->turn];
    if (++section->turn < job->n_stores) {
        storing->state = STORING_IDLE;
        return;
    }
    section->turn = 0;
    storing->state = STORING_IDLE;
    if (job_is_patient(job))
        rest(&section->storings[0], gentlest(section));
    else
        section->storings[0].state = STORING_FAILED;
}

static gboolean is_interrupted(const GError *error)
{
    return g_error_matches(error, STENO_ERROR, STENO_ERROR_INTERRUPTED) ||
           g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
}

static void take_failure(Storing *storing, const GError *error)
{
    Section *section = storing->section;
    StenoJob *job = section->job;
    storing->state = STORING_IDLE;
    if (is_interrupted(error) && (storing->leaving || section->damaged))
        return;
    storing->best_bytes = MAX(storing->best_bytes, storing->bytes);
    /* Once, not each minute of a day. */
    gboolean known = storing->trouble && storing->trouble->code == error->code;
    steno_log(job->log, known ? STENO_LOG_DEBUG : STENO_LOG_WARNING, "storage %s: %s",
              steno_store_name(job->stores[storing->store].store), error->message);
    set_trouble(storing, error);
    if (g_error_matches(error, STENO_ERROR, STENO_ERROR_SOURCE_DAMAGED))
        section->damaged = TRUE;
    else if (job->first)
        try_next(section);
    else if (job_is_patient(job))
        rest(storing, error);
    else
        storing->state = STORING_FAILED;
}

static void skip_others(Section *section)
{
    for (guint i = 0; section->job->first && i < section->job->n_stores; i++) {
        Storing *storing = &section->storings[i];
        if (storing->state == STORING_STORED)
            continue;
        set_trouble(storing, NULL);
        storing->state = STORING_SKIPPED;
        tell(storing);
    }
}

/* Nobody reads its files any more. */
static void mend(Section *section)
{
    const GError *why = NULL;
    for (guint i = 0; i < section->job->n_stores; i++) {
        const Storing *storing = &section->storings[i];
        if (g_error_matches(storing->trouble, STENO_ERROR, STENO_ERROR_SOURCE_DAMAGED))
            why = storing->trouble;
    }
    section->turn = 0;
    section_assemble_again(section, why);
}

static void stop_others(Section *section)
{
    for (guint i = 0; i < section->job->n_stores; i++) {
        if (section->storings[i].state == STORING_RUNNING)
            delivery_stop(section->storings[i].delivery);
    }
}

static void on_delivered(gpointer user, const GError *error)
{
    Storing *storing = user;
    Section *section = storing->section;
    StenoJob *job = section->job;
    storing->delivery = NULL;
    if (error) {
        take_failure(storing, error);
    } else {
        set_trouble(storing, NULL);
        storing->state = STORING_STORED;
        storing->bytes = section->shipment->bytes;
    }
    storing->leaving = FALSE;
    tell(storing);
    if (!error)
        skip_others(section);
    if (section->damaged && is_running(section))
        stop_others(section);
    else if (section->damaged)
        mend(section);
    if (job->events->store_over)
        job->events->store_over(job->user, storing->store);
    job_advance(job);
}

/* Trouble is over when it gets further than before, and not when it only comes to the same place again. */
static void on_progress(gpointer user, gint64 bytes, const GError *trouble)
{
    Storing *storing = user;
    storing->bytes = bytes;
    if (trouble)
        set_trouble(storing, trouble);
    else if (bytes > storing->best_bytes)
        set_trouble(storing, NULL);
    if (trouble)
        storing->best_bytes = MAX(storing->best_bytes, bytes);
    tell(storing);
}

/* ---- its turn ---------------------------------------------------------------------------------------------------- */

static void start(Storing *storing)
{
    Section *section = storing->section;
    StenoJob *job = section->job;
    StenoStore *store = job->stores[storing->store].store;
    g_autofree char *folder = recording_place_folder(&job->place, store);
    const DeliveryConfig config = {
        .store = store,
        .folder = folder,
        .capture = job->capture,
        .shipment = section->shipment,
        .lock_fd = fcntl(job->lock_fd, F_DUPFD_CLOEXEC, 0),
        .progress = on_progress,
        .done = on_delivered,
        .user = storing,
    };
    storing->bytes = 0;
    storing->state = STORING_RUNNING;
    storing->delivery = delivery_start(&config);
    tell(storing);
}

/* Earlier sections first: their manifests are then there in their order. */
static gboolean is_due(const Storing *storing)
{
    const Section *section = storing->section, *before = section_before(section);
    if (section->stage != STAGE_STORING || section->damaged || storing->state != STORING_IDLE)
        return FALSE;
    if (section->job->first)
        return !before && section->turn == storing->store && !is_running(section);
    return !before || before->stored_before || before->storings[storing->store].state == STORING_STORED;
}

void steno_job_store_now(StenoJob *job, guint store)
{
    if (store >= job->n_stores || !job->stores[store].wanted)
        return;
    job->stores[store].wanted = FALSE;
    for (GList *link = job->sections.head; link; link = link->next) {
        Storing *storing = &((Section *)link->data)->storings[store];
        if (is_due(storing)) {
            start(storing);
            return;
        }
    }
    if (job->events->store_over)
        job->events->store_over(job->user, store);
}

static void want(Storing *storing)
{
    StenoJob *job = storing->section->job;
    JobStore *store = &job->stores[storing->store];
    tell(storing);
    if (store->wanted)
        return;
    store->wanted = TRUE;
    if (job->events->store_wanted)
        job->events->store_wanted(job->user, storing->store);
    else
        steno_job_store_now(job, storing->store);
}

gboolean section_is_stored(const Section *section)
{
    for (guint i = 0; i < section->job->n_stores; i++) {
        gboolean stored = section->storings[i].state == STORING_STORED;
        if (stored == section->job->first)
            return stored;
    }
    return !section->job->first;
}

/* One store has failed for good, and the others have come to their end. */
static const Storing *find_failed(const Section *section)
{
    const Storing *failed = NULL;
    for (guint i = 0; i < section->job->n_stores; i++) {
        const Storing *storing = &section->storings[i];
        if (storing->state == STORING_FAILED)
            failed = storing;
        else if (storing->state != STORING_STORED && !section->job->first)
            return NULL;
    }
    return failed;
}

void section_store(Section *section)
{
    StenoJob *job = section->job;
    for (guint i = 0; i < job->n_stores; i++) {
        if (is_due(&section->storings[i]))
            want(&section->storings[i]);
    }
    const Storing *failed = find_failed(section);
    if (failed)
        job_fail(job, g_error_copy(failed->trouble));
    if (section_is_stored(section) && section_is_head(section)) {
        section->stage = STAGE_CLOSING;
        job_advance(job);
    }
}

void steno_job_store_leave(StenoJob *job, guint store)
{
    for (GList *link = job->sections.head; link && store < job->n_stores; link = link->next) {
        Storing *storing = &((Section *)link->data)->storings[store];
        if (storing->state == STORING_RUNNING) {
            storing->leaving = TRUE;
            delivery_stop(storing->delivery);
        }
    }
}

/* ---- again, now -------------------------------------------------------------------------------------------------- */

gboolean section_retry(Section *section, const char *store)
{
    StenoJob *job = section->job;
    gboolean any = FALSE;
    for (guint i = 0; i < job->n_stores; i++) {
        Storing *storing = &section->storings[i];
        gboolean meant = !store || job->first || strcmp(steno_store_name(job->stores[i].store), store) == 0;
        gboolean rests = storing->state == STORING_RESTING;
        if (!meant || (!rests && !(storing->trouble && section->timer)))
            continue;
        any = TRUE;
        if (!rests)
            continue;
        g_source_remove(storing->timer);
        (void)on_rested(storing);
    }
    /* A timestamp that is waited for is all stores' trouble. */
    if (any && section->timer) {
        g_source_remove(section->timer);
        section->timer = 0;
        job_advance(job);
    }
    return any;
}

/* ---- beginning and end ------------------------------------------------------------------------------------------- */

void section_storing_init(Section *section)
{
    for (guint i = 0; i < section->job->n_stores; i++)
        section->storings[i] = (Storing){.section = section, .store = i};
}

void section_storing_clear(Section *section)
{
    for (guint i = 0; i < section->job->n_stores; i++) {
        Storing *storing = &section->storings[i];
        if (storing->timer)
            g_source_remove(storing->timer);
        delivery_leave(storing->delivery);
        g_clear_error(&storing->trouble);
        g_clear_pointer(&storing->told, g_free);
    }
}
