#include "gather.h"

#include "steno/base/error.h"
#include "steno/base/file.h"
#include "steno/base/ipc.h"

#include <errno.h>
#include <jansson.h>
#include <string.h>
#include <unistd.h>

/* ---- the request ------------------------------------------------------------------------------------------------- */

static void want_clear(gpointer data)
{
    g_free(((StenoContentWant *)data)->participant);
}

void gather_request_free(GatherRequest *request)
{
    if (!request)
        return;
    steno_job_spec_free(request->job);
    g_array_unref(request->wants);
    g_free(request);
}

static gboolean read_want(const json_t *json, StenoContentWant *want)
{
    const char *participant = json_string_value(json_object_get(json, "participant"));
    const char *kid = json_string_value(json_object_get(json, "kid"));
    if (!participant || !kid || !g_ascii_string_to_unsigned(kid, 10, 0, G_MAXUINT64, &want->kid, NULL))
        return FALSE;
    want->participant = g_strdup(participant);
    return TRUE;
}

static gboolean read_wants(GatherRequest *request, const json_t *wanted)
{
    size_t i;
    const json_t *item;
    if (!json_is_array(wanted) || json_array_size(wanted) > GATHER_WANTS_MAX)
        return FALSE;
    json_array_foreach (wanted, i, item) {
        StenoContentWant want;
        if (!read_want(item, &want))
            return FALSE;
        g_array_append_val(request->wants, want);
    }
    return TRUE;
}

static gboolean fill(GatherRequest *request, const json_t *json, GError **error)
{
    const json_t *timeout = json_object_get(json, "timeout_s");
    gint64 timeout_s = json_integer_value(timeout);
    if (!json_is_object(json_object_get(json, "job")) || !json_is_integer(timeout) || timeout_s < 0 ||
        timeout_s > GATHER_TIMEOUT_MAX_S || !read_wants(request, json_object_get(json, "wanted")))
        return steno_error_set(
            error, STENO_ERROR_USAGE,
            "the request for keys needs a job (an object), wanted (at most %d of {participant, kid}, "
            "kid as decimal text) and timeout_s (0 to %d)",
            GATHER_WANTS_MAX, GATHER_TIMEOUT_MAX_S);
    request->timeout_s = (guint)timeout_s;
    request->job = steno_job_spec_from_json(json_object_get(json, "job"), error);
    return request->job && steno_content_check_job(request->job, error);
}

GatherRequest *gather_request_read(const char *text, gsize bytes, GError **error)
{
    json_error_t fault;
    json_t *json = json_loadb(text, bytes, 0, &fault);
    if (!json) { /* nothing of its text goes into the error: it holds secrets */
        (void)steno_error_set(error, STENO_ERROR_USAGE, "the request for keys is no JSON object (at byte %d)",
                              fault.position);
        return NULL;
    }
    g_autoptr(GatherRequest) request = g_new0(GatherRequest, 1);
    request->wants = g_array_new(FALSE, FALSE, sizeof(StenoContentWant));
    g_array_set_clear_func(request->wants, want_clear);
    gboolean whole = fill(request, json, error);
    json_decref(json);
    return whole ? g_steal_pointer(&request) : NULL;
}

/* ---- in and out -------------------------------------------------------------------------------------------------- */

gboolean gather(int in_fd, int out_fd, GatherConfine confine, gpointer user, GError **error)
{
    /* In locked memory: it holds the job's secrets. */
    g_autoptr(StenoSecret) text = steno_secret_new(NULL, STENO_IPC_LINE_MAX_BYTES);
    gssize bytes = steno_file_read(in_fd, steno_secret_buffer(text), STENO_IPC_LINE_MAX_BYTES);
    if (bytes < 0)
        return steno_error_set(error, STENO_ERROR_INTERNAL, "reading the request for keys: %s", g_strerror(errno));
    g_autoptr(GatherRequest) request = gather_request_read(steno_secret_text(text), (gsize)bytes, error);
    int keys_fd = -1;
    if (!request || (confine && !confine(user, request->job, &keys_fd, error)))
        return FALSE;
    StenoLog *log = steno_log_new(NULL, "rec=%s", request->job->id ? request->job->id : "");
    g_autoptr(StenoSecret) keys =
        steno_content_gather(request->job, keys_fd, (const StenoContentWant *)(gpointer)request->wants->data,
                             request->wants->len, request->timeout_s, log, error);
    steno_log_free(log);
    if (!keys)
        return FALSE;
    return steno_file_write(out_fd, steno_secret_data(keys), steno_secret_bytes(keys)) ||
           steno_error_set(error, STENO_ERROR_INTERNAL, "the keys could not be handed on: %s", g_strerror(errno));
}
