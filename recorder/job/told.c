/* What the owner of a job hears: states once each, events in their order and none twice. */
#include "job_internal.h"

#include "steno/base/error.h"

#include <string.h>

void job_tell_state(StenoJob *job, const char *state)
{
    if (g_strcmp0(job->state, state) == 0)
        return;
    g_free(job->state);
    job->state = g_strdup(state);
    job->events->state(job->user, state);
}

void job_tell_event(StenoJob *job, json_t *event)
{
    job->events->event(job->user, event);
    json_decref(event);
}

void job_tell_reconnecting(StenoJob *job, const GError *error)
{
    job_tell_event(job, json_pack("{s:s, s:s, s:o}", "event", "state", "state", "reconnecting", "error",
                                  steno_error_to_json(error)));
    job_tell_state(job, "reconnecting");
}

void job_tell_error(StenoJob *job, const char *name, const GError *error)
{
    job_tell_event(job, json_pack("{s:s, s:o}", "event", name, "error", steno_error_to_json(error)));
}

void job_tell_storage(StenoJob *job, const StorageTold *told)
{
    job_tell_event(job, json_pack("{s:s, s:i, s:s, s:s, s:I, s:s?, s:I, s:I, s:o}", "event", "storage", "section",
                                  (int)told->section, "storage", steno_store_name(job->stores[told->store].store),
                                  "state", told->state, "since_us", (json_int_t)told->since_us, "uri", told->uri,
                                  "bytes", (json_int_t)told->bytes, "bytes_total", (json_int_t)told->bytes_total,
                                  "error", steno_error_to_json(told->error)));
}

static gboolean is_recorders_state(const char *state)
{
    static const char *const states[] = {"joining", "recording", "paused", "reconnecting"};
    for (guint i = 0; state && i < G_N_ELEMENTS(states); i++) {
        if (strcmp(states[i], state) == 0)
            return TRUE;
    }
    return FALSE;
}

/* The ending is told by done(). */
static void pass_on(StenoJob *job, json_t *event)
{
    const char *name = json_string_value(json_object_get(event, "event"));
    const char *state = json_string_value(json_object_get(event, "state"));
    if (g_strcmp0(name, "ended") == 0)
        return;
    job->events->event(job->user, event);
    if (g_strcmp0(name, "state") == 0 && is_recorders_state(state))
        job_tell_state(job, state);
    if (g_strcmp0(name, "rotated") == 0)
        job_take_stock(job);
}

static void on_recorded(gpointer user, json_t *event)
{
    StenoJob *job = user;
    (void)event_position_of(event, &job->told);
    pass_on(job, event);
}

void job_take_event(StenoJob *job, json_t *event)
{
    EventPosition position;
    if (!event_position_of(event, &position)) {
        pass_on(job, event);
        return;
    }
    if (event_position_compare(position, job->told) <= 0)
        return;
    if (event_position_has_hole(job->told, position))
        recorded_events_read(job->capture, job->told, position, on_recorded, job);
    job->told = position;
    pass_on(job, event);
}

void job_tell_recorded(StenoJob *job)
{
    const EventPosition all = {0, 0};
    recorded_events_read(job->capture, job->told, all, on_recorded, job);
}
