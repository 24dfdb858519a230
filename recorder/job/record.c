/* Recorders: started, watched, started again, until nothing more is recorded. */
#include "job_internal.h"

#include "recorder_lock.h"

#include "steno/base/clock.h"
#include "steno/base/error.h"

/* A recorder closes its files in less; one that does not is killed, and they are as a crash leaves them. */
#define STOP_MAX_S 60
/* A disk that fails again within this time has failed all the while. */
#define DISK_WELL_US (10 * G_USEC_PER_SEC)
/* A recorder that finds another one, again and again: somebody else records into this spool. */
#define CONFLICTS_MAX 5

/* ---- watching ---------------------------------------------------------------------------------------------------- */

static void stop_timers(StenoJob *job)
{
    if (job->watch_timer)
        g_source_remove(job->watch_timer);
    if (job->stop_timer)
        g_source_remove(job->stop_timer);
    job->watch_timer = job->stop_timer = 0;
}

static gboolean on_watch(gpointer data)
{
    StenoJob *job = data;
    Stall stall = stall_watch_check(&job->watch, steno_clock_mono_us());
    if (stall == STALL_NONE)
        return G_SOURCE_CONTINUE;
    job->watch_timer = 0;
    g_clear_error(&job->stalled);
    job->stalled = g_error_new_literal(STENO_ERROR, STENO_ERROR_STALLED,
                                       stall == STALL_SILENT
                                           ? "the recorder tells no figures any more: another one goes on"
                                           : "media is announced, but the recorder captures none of it: another one "
                                             "goes on");
    recorder_process_kill(job->recorder, "it stalled");
    return G_SOURCE_REMOVE;
}

static void begin_watch(StenoJob *job)
{
    job->captured = FALSE;
    job->started_mono_us = steno_clock_mono_us();
    stall_watch_begin(&job->watch, job->started_mono_us);
    if (!job->watch_timer)
        job->watch_timer = g_timeout_add_seconds(1, on_watch, job);
}

static void take_stats(StenoJob *job, const json_t *stats)
{
    gint64 announced = json_integer_value(json_object_get(stats, "announced"));
    gint64 frames = json_integer_value(json_object_get(stats, "frames"));
    job->captured |= frames > 0;
    job->frames_told = MAX(job->frames_told, (guint64)MAX(frames, 0));
    stall_watch_stats(&job->watch, steno_clock_mono_us(), (guint64)MAX(announced, 0), (guint64)MAX(frames, 0),
                      job->paused);
}

/* ---- telling the recorder ---------------------------------------------------------------------------------------- */

static gboolean can_be_told(const StenoJob *job)
{
    return job->recorder && (job->answered || !job->taken_over);
}

void job_send_pause(StenoJob *job)
{
    if (can_be_told(job))
        recorder_process_send(job->recorder, json_pack("{s:s}", "command", job->paused ? "pause" : "resume"));
}

void job_send_update(StenoJob *job)
{
    static const char *const members[] = {"max_duration_s",  "max_idle_s", "subscribe_audio",
                                          "subscribe_video", "max_height", "token"};
    if (!can_be_told(job))
        return;
    json_t *all = steno_job_spec_to_json(job->spec, TRUE), *changes = json_object();
    for (guint i = 0; i < G_N_ELEMENTS(members); i++) {
        json_t *value = json_object_get(all, members[i]);
        if (value)
            json_object_set(changes, members[i], value);
    }
    json_decref(all);
    recorder_process_send(job->recorder, json_pack("{s:s, s:o}", "command", "update", "job", changes));
}

static gboolean on_not_stopped(gpointer data)
{
    StenoJob *job = data;
    job->stop_timer = 0;
    steno_warning(job->log, "the recorder did not end within %d s, and is killed", STOP_MAX_S);
    recorder_process_kill(job->recorder, "it did not end");
    return G_SOURCE_REMOVE;
}

static const char *stop_reason(const StenoJob *job)
{
    return job->stop_reason ? job->stop_reason : "stopped";
}

static void end_stopped(StenoJob *job)
{
    job_end(job, stop_reason(job), NULL);
}

void job_stop_recording(StenoJob *job)
{
    if (can_be_told(job)) {
        recorder_process_send(job->recorder,
                              json_pack("{s:s, s:s}", "command", "stop", "end_reason", stop_reason(job)));
        if (job->stop_timer)
            g_source_remove(job->stop_timer);
        job->stop_timer = g_timeout_add_seconds(STOP_MAX_S, on_not_stopped, job);
    } else if (job->phase == PHASE_WAITING) {
        job_next(job, 0, end_stopped);
    }
}

/* ---- going on ---------------------------------------------------------------------------------------------------- */

static void wait_for(StenoJob *job, guint delay_ms, void (*step)(StenoJob *job))
{
    job->phase = PHASE_WAITING;
    if (job->lost_mono_us == 0)
        job->lost_mono_us = steno_clock_mono_us();
    job_next(job, delay_ms, step);
}

static void recorder_died(StenoJob *job, const char *how)
{
    if (job->stopping) {
        end_stopped(job);
        return;
    }
    g_autoptr(GError) why = g_steal_pointer(&job->stalled);
    if (why)
        job_tell_error(job, "stalled", why);
    else
        why = g_error_new(STENO_ERROR, STENO_ERROR_INTERNAL, "the recorder died (%s)", how);
    gint delay_ms =
        deaths_add(&job->deaths, steno_clock_mono_us() - job->started_mono_us, job->captured, job->restarts_max);
    steno_warning(job->log, "%s; what it captured is kept", why->message);
    if (delay_ms < 0) {
        job_end(job, "recorder-died",
                g_error_new(STENO_ERROR, STENO_ERROR_INTERNAL, "the recorder died %u times in a row, last by %s",
                            job->deaths.in_vain + 1, how));
        return;
    }
    wait_for(job, (guint)delay_ms, job_record);
    job_tell_reconnecting(job, why);
}

static void token_did_not_come(StenoJob *job)
{
    job_end(job, "connection-lost",
            g_error_new(STENO_ERROR, STENO_ERROR_TOKEN_NEEDED,
                        "no join token came within %" G_GINT64_FORMAT " s; the one that was given is lost with the "
                        "processes that knew it, or is not valid any more",
                        job->spec->reconnect_s));
}

/* How long there is still to come back. */
static guint left_ms(const StenoJob *job)
{
    gint64 lost_us = job->lost_mono_us ? steno_clock_mono_us() - job->lost_mono_us : 0;
    gint64 left_us = job->spec->reconnect_s * G_USEC_PER_SEC - lost_us;
    return (guint)CLAMP(left_us / 1000, 0, G_MAXINT32);
}

static void await_token(StenoJob *job, const GError *refused)
{
    g_autoptr(GError) why = g_error_new(STENO_ERROR, STENO_ERROR_TOKEN_NEEDED,
                                        "a new join token is needed to go on recording: %s", refused->message);
    steno_warning(job->log, "%s", why->message);
    job->awaiting_token = TRUE;
    wait_for(job, left_ms(job), token_did_not_come);
    job_tell_reconnecting(job, why);
}

/* Not the end yet: what it could not do, the next one may. */
static gboolean goes_on(StenoJob *job, const char *end_reason, const GError *error)
{
    /* A disk that fails for a moment ends nothing, where somebody will see to it that it does not fail for long. */
    gboolean storage = steno_error_is_storage(error);
    gboolean before = storage ? job->outlive : job->later || job->resumed;
    job->disk_failed |= storage;
    if (job->stopping || !before || left_ms(job) == 0)
        return FALSE;
    switch (recovery_rejoin(job->spec, end_reason, error)) {
    case REJOIN_NEVER:
        return FALSE;
    case REJOIN_WITH_TOKEN:
        if (job->outlive) /* there is somebody who may bring one */
            await_token(job, error);
        return job->outlive;
    case REJOIN_AGAIN:
        wait_for(job, MIN(rejoin_delay_ms(job->rejoins++, g_random_int()), left_ms(job) + 1), job_record);
        job_tell_reconnecting(job, error);
        return TRUE;
    }
    return FALSE;
}

static gboolean found_another(StenoJob *job, const json_t *told, const GError *error)
{
    if (json_object_get(told, "seq") || !g_error_matches(error, STENO_ERROR, STENO_ERROR_CONFLICT) ||
        ++job->conflicts > CONFLICTS_MAX)
        return FALSE;
    steno_warning(job->log, "%s; it is taken over", error->message);
    wait_for(job, 0, job_look);
    return TRUE;
}

static void recorder_ended(StenoJob *job, const json_t *told)
{
    const char *reason = json_string_value(json_object_get(told, "end_reason"));
    g_autoptr(GError) error = steno_error_from_json(json_object_get(told, "error"), "the recorder failed");
    if (!found_another(job, told, error) && !goes_on(job, reason, error))
        job_end(job, reason ? reason : "stopped", g_steal_pointer(&error));
}

/* ---- what it says ------------------------------------------------------------------------------------------------ */

static void on_hello(gpointer user, const json_t *hello)
{
    StenoJob *job = user;
    const char *state = json_string_value(json_object_get(hello, "state"));
    gboolean its_pause = json_is_true(json_object_get(hello, "paused"));
    gboolean first = !job->answered;
    job->answered = TRUE;
    if (job->taken_over && first)
        begin_watch(job);
    stall_watch_heard(&job->watch, steno_clock_mono_us());
    if (state && !job->stopping)
        job_tell_state(job, state);
    if (!job->taken_over || !first)
        return;
    /* What was asked for while nobody could be told. */
    if (job->paused != its_pause)
        job_send_pause(job);
    job_send_update(job);
    if (job->stopping)
        job_stop_recording(job);
}

/* It records; and where a disk failed, not only until that fails again. */
static gboolean is_well(const StenoJob *job)
{
    gboolean records = g_strcmp0(job->state, "recording") == 0 || g_strcmp0(job->state, "paused") == 0;
    return records && (!job->disk_failed || steno_clock_mono_us() - job->started_mono_us >= DISK_WELL_US);
}

static void on_event(gpointer user, json_t *event)
{
    StenoJob *job = user;
    const char *name = json_string_value(json_object_get(event, "event"));
    stall_watch_heard(&job->watch, steno_clock_mono_us());
    if (g_strcmp0(name, "stats") == 0 && !json_object_get(event, "seq"))
        take_stats(job, event);
    job_take_event(job, event);
    if (is_well(job)) {
        job->lost_mono_us = 0;
        job->rejoins = job->conflicts = 0;
        job->disk_failed = FALSE;
    }
}

static void on_exited(gpointer user, const json_t *told, const char *how)
{
    StenoJob *job = user;
    json_t *ended = told ? json_incref((json_t *)told) : NULL;
    g_autofree char *words = g_strdup(how);
    gboolean answered = job->answered;
    recorder_process_free(g_steal_pointer(&job->recorder));
    stop_timers(job);
    job_tell_recorded(job);
    if (ended)
        recorder_ended(job, ended);
    else if (job->taken_over && !answered)
        job_look_at_disk(job);
    else
        recorder_died(job, words);
    json_decref(ended);
}

static const RecorderProcessEvents recorder_events = {.hello = on_hello, .event = on_event, .exited = on_exited};

static RecorderProcessConfig process_config(StenoJob *job)
{
    return (RecorderProcessConfig){
        .id = job->spec->id,
        .capture = job->capture,
        .runtime_dir = job->runtime_dir,
        .outlive = job->outlive,
        .log = job->log,
        .events = &recorder_events,
        .user = job,
    };
}

/* ---- starting ---------------------------------------------------------------------------------------------------- */

/* Keys that were given with the job may be gone when a recorder takes another one's place: then it records sealed. */
static json_t *spec_for(const StenoJob *job, guint part)
{
    json_t *spec = steno_job_spec_to_json(job->spec, TRUE);
    gboolean handed_out = job->spec->key_once && part > 1;
    json_object_set_new(spec, "paused", json_boolean(job->paused));
    if (!keys_job_is_inline(job->spec) || (part == 1 && !job->resumed) || (job->spec->key_set && !handed_out))
        return spec;
    json_object_del(spec, "key_set");
    json_object_set_new(spec, "content_keys", json_string("later"));
    return spec;
}

gboolean job_start_recorder(StenoJob *job, GError **error)
{
    RecorderProcessConfig config = process_config(job);
    /* A part that was told, but did not come to the disk before its recorder died, has used up its numbers. */
    guint part = MAX(job_capture_parts(job->capture), job->told.part) + 1;
    json_t *spec = spec_for(job, part);
    job->phase = PHASE_RECORDING;
    job->taken_over = job->answered = job->awaiting_token = FALSE;
    job->later = part > 1;
    job->recorder = recorder_process_start(&config, spec, part, job_capture_zero(job->capture), error);
    if (job->recorder)
        begin_watch(job);
    return job->recorder != NULL;
}

void job_record(StenoJob *job)
{
    g_autoptr(GError) error = NULL;
    if (recorder_lock_held(job->capture)) {
        job_look(job);
        return;
    }
    job->captured = FALSE;
    job->started_mono_us = steno_clock_mono_us();
    if (!job_start_recorder(job, &error))
        recorder_died(job, error->message);
}

/* ---- resuming ---------------------------------------------------------------------------------------------------- */

void job_look(StenoJob *job)
{
    RecorderProcessConfig config = process_config(job);
    job_tell_recorded(job);
    job_take_stock(job);
    job->phase = PHASE_LOOKING;
    job->taken_over = TRUE;
    job->answered = FALSE;
    job->recorder = recorder_process_attach(&config, job->told);
}
