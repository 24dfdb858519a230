#include "recovery.h"

#include "capture_folder.h"
#include "recorded_events.h"
#include "verdict.h"

#include "steno/base/error.h"

void recovery_clear(Recovery *recovery)
{
    g_clear_pointer(&recovery->end_reason, g_free);
    g_clear_error(&recovery->error);
}

static gboolean is_one_of(const GError *error, const StenoError *codes, guint n)
{
    for (guint i = 0; i < n; i++) {
        if (g_error_matches(error, STENO_ERROR, (gint)codes[i]))
            return TRUE;
    }
    return FALSE;
}

Rejoin recovery_rejoin(const StenoJobSpec *spec, const char *end_reason, const GError *error)
{
    static const StenoError healing[] = {STENO_ERROR_UNREACHABLE,       STENO_ERROR_TLS,
                                         STENO_ERROR_NO_SUCH_CHANNEL,   STENO_ERROR_PROTOCOL,
                                         STENO_ERROR_MEDIA_UNREACHABLE, STENO_ERROR_CONNECTION_LOST};
    static const StenoError refusing[] = {STENO_ERROR_TOKEN_REFUSED, STENO_ERROR_TOKEN_EXPIRED};
    if (steno_error_is_storage(error))
        return REJOIN_AGAIN;
    if (g_strcmp0(end_reason, "join-failed") != 0)
        return REJOIN_NEVER;
    if (is_one_of(error, healing, G_N_ELEMENTS(healing)))
        return REJOIN_AGAIN;
    if (!spec->token_secret && is_one_of(error, refusing, G_N_ELEMENTS(refusing)))
        return REJOIN_WITH_TOKEN;
    return REJOIN_NEVER;
}

void recovery_take_manifest(const json_t *manifest, gboolean later, Recovery *recovery)
{
    const json_t *row = json_object_get(manifest, "recording");
    const char *reason = json_string_value(json_object_get(row, "end_reason"));
    recovery->end_reason = g_strdup(g_strcmp0(reason, "recorder-lost") == 0 ? "recorder-died" : reason);
    recovery->error = steno_error_from_json(json_object_get(row, "error"), "the recording failed");
    if (!recovery->error)
        recovery->error = verdict_of(manifest, later, NULL);
}

/* ---- what the capture has ---------------------------------------------------------------------------------------- */

/* Is the ending only that of a recorder which could not come back, with time left to try? */
static gboolean is_still_time(const Recovery *recovery, const json_t *ended, guint parts, const StenoJobSpec *spec,
                              gint64 now_wall_us)
{
    gint64 t_us = json_integer_value(json_object_get(ended, "t"));
    return (parts > 1 || steno_error_is_storage(recovery->error)) &&
           recovery_rejoin(spec, recovery->end_reason, recovery->error) != REJOIN_NEVER &&
           now_wall_us - t_us < spec->reconnect_s * G_USEC_PER_SEC;
}

static void take_ending(const json_t *ending, Recovery *recovery)
{
    g_free(recovery->end_reason);
    g_clear_error(&recovery->error);
    recovery->end_reason = g_strdup(json_string_value(json_object_get(ending, "end_reason")));
    recovery->error = steno_error_from_json(json_object_get(ending, "error"), "the recorder failed");
}

static void look_at_capture(const char *capture, guint parts, const StenoJobSpec *spec, gboolean record,
                            gint64 now_wall_us, Recovery *recovery)
{
    json_t *ending = job_ending_read(capture), *ended = recorded_ending_read(capture);
    recovery->step = RECOVERY_ASSEMBLE;
    if (ending) {
        take_ending(ending, recovery);
    } else if (ended) {
        take_ending(ended, recovery);
        if (record && is_still_time(recovery, ended, parts, spec, now_wall_us))
            recovery->step = RECOVERY_RECORD;
    } else if (record) {
        recovery->step = RECOVERY_RECORD;
    }
    if (recovery->step == RECOVERY_RECORD) {
        g_clear_pointer(&recovery->end_reason, g_free);
        g_clear_error(&recovery->error);
    }
    json_decref(ending);
    json_decref(ended);
}

gboolean recovery_look(const char *capture, const StenoJobSpec *spec, gboolean record, gint64 now_wall_us,
                       Recovery *recovery, GError **error)
{
    *recovery = (Recovery){0};
    g_autofree char *spool = g_path_get_dirname(capture);
    if (!g_file_test(spool, G_FILE_TEST_IS_DIR)) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_STORAGE_UNWRITABLE,
                    "looking for the capture of %s: the spool folder '%s' is not there (is it mounted?)", spec->id,
                    spool);
        return FALSE;
    }
    job_capture_forget_rest(capture);
    guint parts = job_capture_parts(capture);
    json_t *ending = job_ending_read(capture);
    /* With an ending and nothing captured, the job ends with nothing recorded. */
    if (parts > 0 || ending)
        look_at_capture(capture, parts, spec, record, now_wall_us, recovery);
    else
        recovery->step = RECOVERY_ASK;
    json_decref(ending);
    return TRUE;
}
