/*
 * Any bytes as the lines that a recorder's clients send. An empty line is a client that goes and another that comes.
 * Only what is lawful and comes at its time may reach the recorder, and a change that is refused changes nothing.
 */
#include "control.h"
#include "replay.h"

#include "steno/base/error.h"
#include "steno/base/job.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define EVENTS_MAX 8

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

typedef struct {
    Control control;
    StenoJobSpec *job; /* NULL: not started, or refused */
    Replay *replay;
    guint seq;
    gboolean started;
} Recorder;

static void require(gboolean holds)
{
    if (!holds)
        abort();
}

static gboolean count(gpointer user, json_t *event)
{
    (void)event;
    return ++*(guint *)user < EVENTS_MAX;
}

static void on_start(gpointer user, const ControlStart *start)
{
    Recorder *recorder = user;
    g_autoptr(GError) error = NULL;
    require(!recorder->started && recorder->control.attached);
    require(start->part >= 1 && start->part <= G_MAXINT32 && start->capture[0] && start->zero_wall_us >= 0);
    recorder->started = TRUE;
    recorder->job = steno_job_spec_from_json(start->job, &error);
    require((recorder->job == NULL) == (error != NULL));
    if (recorder->job && !steno_job_spec_check(recorder->job, &error))
        g_clear_pointer(&recorder->job, steno_job_spec_free);
}

static void on_attach(gpointer user, guint part, guint seq)
{
    Recorder *recorder = user;
    guint told = 0;
    require(recorder->started && recorder->control.attached);
    replay_after(recorder->replay, part, seq, count, &told);
    require(told <= EVENTS_MAX);
}

static void on_stop(gpointer user, const char *end_reason)
{
    Recorder *recorder = user;
    require(recorder->control.attached && end_reason[0] && g_utf8_validate(end_reason, -1, NULL));
}

static void on_pause(gpointer user, gboolean paused)
{
    Recorder *recorder = user;
    require(recorder->control.attached);
    json_t *event = json_pack("{s:b, s:i, s:i}", "paused", paused, "part", 1, "seq", (int)++recorder->seq);
    replay_add(recorder->replay, event);
    json_decref(event);
}

static gboolean on_update(gpointer user, const json_t *changes, GError **error)
{
    Recorder *recorder = user;
    require(recorder->control.attached);
    if (!recorder->job) {
        g_set_error_literal(error, STENO_ERROR, STENO_ERROR_CONFLICT, "nothing runs");
        return FALSE;
    }
    json_t *before = steno_job_spec_to_json(recorder->job, TRUE);
    gboolean applied = steno_job_spec_apply(recorder->job, changes, error);
    json_t *after = steno_job_spec_to_json(recorder->job, TRUE);
    require(applied ? steno_job_spec_check(recorder->job, NULL) : json_equal(before, after));
    json_decref(before);
    json_decref(after);
    return applied;
}

static const ControlCommands commands = {on_start, on_attach, on_stop, on_pause, on_update};

static void take_line(Recorder *recorder, const char *line, gsize bytes)
{
    g_autoptr(GError) error = NULL;
    json_t *message = json_loadb(line, bytes, JSON_REJECT_DUPLICATES, NULL);
    if (json_is_object(message)) {
        gboolean lawful = control_message(&recorder->control, message, &error);
        require(lawful == !error);
        require(!error || g_utf8_validate(error->message, -1, NULL));
    }
    json_decref(message);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    Recorder recorder = {.replay = replay_new(EVENTS_MAX)};
    recorder.control = (Control){.commands = &commands, .user = &recorder};
    const char *line = (const char *)data, *end = line + bytes;
    while (line < end) {
        const char *line_end = memchr(line, '\n', (gsize)(end - line));
        gsize length = line_end ? (gsize)(line_end - line) : (gsize)(end - line);
        if (length == 0)
            recorder.control.attached = FALSE;
        else
            take_line(&recorder, line, length);
        line += length + 1;
    }
    steno_job_spec_free(recorder.job);
    replay_free(recorder.replay);
    return 0;
}
