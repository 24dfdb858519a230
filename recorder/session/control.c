#include "control.h"

#include "steno/base/error.h"

#include <string.h>

/* Reasons are words of ours ("max-duration"): they end up in the manifest. */
#define REASON_MAX_BYTES 64

static gboolean number(const json_t *message, const char *name, gint64 minimum, gint64 maximum, gint64 *value)
{
    const json_t *member = json_object_get(message, name);
    if (!json_is_integer(member))
        return FALSE;
    *value = json_integer_value(member);
    return *value >= minimum && *value <= maximum;
}

static gboolean take_start(Control *control, const json_t *message, GError **error)
{
    gint64 part = 0;
    ControlStart start = {
        .job = json_object_get(message, "job"),
        .capture = json_string_value(json_object_get(message, "capture")),
        .finish_when_alone = json_is_true(json_object_get(message, "finish_when_alone")),
    };
    if (control->started)
        return steno_error_set(error, STENO_ERROR_CONFLICT, "this recorder has been started already: attach to it");
    if (!json_is_object(start.job) || !start.capture || !start.capture[0] ||
        !number(message, "part", 1, G_MAXINT32, &part))
        return steno_error_set(error, STENO_ERROR_USAGE,
                               "the start message needs a job (an object), a capture (a folder) and a part (from 1)");
    if (json_object_get(message, "zero_wall_us") &&
        !number(message, "zero_wall_us", 0, G_GINT64_CONSTANT(1) << 52, &start.zero_wall_us))
        return steno_error_set(error, STENO_ERROR_USAGE, "zero_wall_us must be microseconds since 1970, or 0 for now");
    start.part = (guint)part;
    control->started = control->attached = TRUE;
    control->commands->start(control->user, &start);
    return TRUE;
}

static gboolean take_attach(Control *control, const json_t *message, GError **error)
{
    gint64 part, seq;
    if (!control->started)
        return steno_error_set(error, STENO_ERROR_CONFLICT,
                               "this recorder has not been started: there is nothing to attach to");
    if (!number(message, "part", 0, G_MAXINT32, &part) || !number(message, "seq", 0, G_MAXINT32, &seq))
        return steno_error_set(error, STENO_ERROR_USAGE,
                               "the attach message needs part and seq: the last event that is known");
    control->attached = TRUE;
    control->commands->attach(control->user, (guint)part, (guint)seq);
    return TRUE;
}

static gboolean take_stop(Control *control, const json_t *message, GError **error)
{
    const json_t *member = json_object_get(message, "end_reason");
    const char *reason = member ? json_string_value(member) : "stopped";
    if (!reason || !reason[0] || strlen(reason) > REASON_MAX_BYTES ||
        strspn(reason, "abcdefghijklmnopqrstuvwxyz-") != strlen(reason))
        return steno_error_set(error, STENO_ERROR_USAGE, "end_reason must be a word of a-z and -");
    control->commands->stop(control->user, reason);
    return TRUE;
}

static gboolean take_pause(Control *control, const json_t *message, GError **error)
{
    (void)message;
    (void)error;
    control->commands->pause(control->user, TRUE);
    return TRUE;
}

static gboolean take_resume(Control *control, const json_t *message, GError **error)
{
    (void)message;
    (void)error;
    control->commands->pause(control->user, FALSE);
    return TRUE;
}

static gboolean take_update(Control *control, const json_t *message, GError **error)
{
    const json_t *job = json_object_get(message, "job");
    if (!json_is_object(job))
        return steno_error_set(error, STENO_ERROR_USAGE,
                               "the update message needs a job: an object of changed settings");
    return control->commands->update(control->user, job, error);
}

static const struct {
    const char *name;
    gboolean first; /* it may come from a client that has not said who it is */
    gboolean (*take)(Control *control, const json_t *message, GError **error);
} takers[] = {
    {"start", TRUE, take_start},  {"attach", TRUE, take_attach},  {"stop", FALSE, take_stop},
    {"pause", FALSE, take_pause}, {"resume", FALSE, take_resume}, {"update", FALSE, take_update},
};

gboolean control_message(Control *control, const json_t *message, GError **error)
{
    const char *command = json_string_value(json_object_get(message, "command"));
    for (guint i = 0; command && i < G_N_ELEMENTS(takers); i++) {
        if (strcmp(takers[i].name, command) != 0)
            continue;
        if (takers[i].first == control->attached)
            return steno_error_set(error, STENO_ERROR_CONFLICT,
                                   control->attached ? "start and attach can only be a client's first message"
                                                     : "a client's first message must be start or attach");
        return takers[i].take(control, message, error);
    }
    g_autofree char *shown = g_strescape(command ? command : "", NULL);
    return steno_error_set(error, STENO_ERROR_USAGE, "there is no command '%.64s'", shown);
}
