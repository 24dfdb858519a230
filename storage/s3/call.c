#include "call.h"

#include "steno/base/clock.h"

#include <string.h>

#define BACKOFF_BASE_US (G_USEC_PER_SEC / 2)
#define BACKOFF_CAP_US (60 * G_USEC_PER_SEC)
/* A server that tells us to come back is believed for so long at most. */
#define RETRY_AFTER_MAX_S 3600
/* A part whose bytes arrive damaged is read and sent again so often. */
#define READINGS_MAX 3
#define RENEWALS_MAX 2

void s3_call_begin(S3Call *call, S3 *s3, GCancellable *cancellable)
{
    memset(call, 0, sizeof *call);
    call->s3 = s3;
    call->session = s3_take_session(s3);
    call->cancellable = cancellable;
    call->succeeded_mono_us = g_get_monotonic_time();
}

void s3_call_end(S3Call *call)
{
    s3_give_session(call->s3, call->session);
    call->session = NULL;
}

void s3_tries_clear(S3Tries *tries)
{
    g_clear_pointer(&tries->keys, s3_keys_unref);
    g_clear_pointer(&tries->refused, s3_keys_unref);
}

static void forget(S3Tries *tries)
{
    s3_tries_clear(tries);
    memset(tries, 0, sizeof *tries);
}

static void tell(const S3Call *call, const GError *trouble)
{
    if (call->trouble)
        call->trouble(call->user, trouble);
}

/* ---- waiting ----------------------------------------------------------------------------------------------------- */

/* Full jitter. FALSE: patience, or the time for the call, is over. */
static gboolean plan_retry(const S3Call *call, S3Tries *tries, gint64 at_least_us, gint64 *wait_us)
{
    gint64 now_mono_us = g_get_monotonic_time();
    gint64 end_mono_us = call->succeeded_mono_us + STENO_STORAGE_PATIENCE_S * G_USEC_PER_SEC;
    if (call->deadline_mono_us)
        end_mono_us = MIN(end_mono_us, call->deadline_mono_us);
    gint64 ceiling_us = MIN((gint64)BACKOFF_BASE_US << MIN(tries->failures, 10), BACKOFF_CAP_US);
    tries->failures++;
    if (now_mono_us >= end_mono_us || now_mono_us + at_least_us >= end_mono_us)
        return FALSE;
    gint64 jitter_us = (gint64)(g_random_double() * (double)ceiling_us);
    *wait_us = MIN(MAX(jitter_us, at_least_us), end_mono_us - now_mono_us);
    return TRUE;
}

/* In seconds, or as a date. */
static gint64 retry_after_us(const S3Transfer *transfer)
{
    guint64 seconds;
    const char *text = s3_transfer_header(transfer, "retry-after");
    if (!text || !g_ascii_string_to_unsigned(text, 10, 0, RETRY_AFTER_MAX_S, &seconds, NULL))
        return 0;
    return (gint64)seconds * G_USEC_PER_SEC;
}

/* ---- signing anew ------------------------------------------------------------------------------------------------ */

/* The header Date tells what time it is there. */
static gboolean set_clock(S3 *s3, const S3Transfer *transfer, S3Tries *tries)
{
    const char *date = s3_transfer_header(transfer, "date");
    time_t theirs = date ? curl_getdate(date, NULL) : -1;
    if (tries->clock_set || theirs < 0)
        return FALSE;
    gint64 offset_us = (gint64)theirs * G_USEC_PER_SEC - steno_clock_wall_us();
    tries->clock_set = TRUE;
    s3_learn_clock(s3, offset_us);
    steno_warning(s3->log, "the server's clock is %" G_GINT64_FORMAT " s ahead of ours; requests are signed by it",
                  offset_us / G_USEC_PER_SEC);
    return TRUE;
}

static gboolean learn_region(S3 *s3, const S3Verdict *verdict, S3Tries *tries, gboolean *forbidden)
{
    g_autofree char *region = s3_region(s3);
    *forbidden = FALSE;
    if (tries->region_learned || !verdict->region || !verdict->region[0])
        return FALSE;
    *forbidden = !s3_guard_allows_region(s3->guard, verdict->region);
    if (*forbidden || strcmp(region, verdict->region) == 0)
        return FALSE;
    tries->region_learned = TRUE;
    s3_learn_region(s3, verdict->region);
    steno_warning(s3->log, "the bucket is in region %s, not in %s; set region", verdict->region, region);
    return TRUE;
}

/* The next attempt asks for others than those that were refused. */
static gboolean renew_keys(S3Tries *tries)
{
    if (tries->renewals == RENEWALS_MAX || !tries->keys)
        return FALSE;
    tries->renewals++;
    g_clear_pointer(&tries->refused, s3_keys_unref);
    tries->refused = g_steal_pointer(&tries->keys);
    return TRUE;
}

static gboolean same_keys(const S3Keys *a, const S3Keys *b)
{
    const char *token_a = a->session_token ? steno_secret_text(a->session_token) : "";
    const char *token_b = b->session_token ? steno_secret_text(b->session_token) : "";
    return strcmp(a->access_key_id, b->access_key_id) == 0 && strcmp(token_a, token_b) == 0 &&
           strcmp(steno_secret_text(a->secret_access_key), steno_secret_text(b->secret_access_key)) == 0;
}

/* ---- attempts ---------------------------------------------------------------------------------------------------- */

S3Transfer *s3_call_start(S3Call *call, const S3Request *request, S3Tries *tries, gpointer owner, GError **error)
{
    for (;;) {
        g_autoptr(GError) failed = NULL;
        gint64 wait_us = 0;
        g_clear_pointer(&tries->keys, s3_keys_unref);
        tries->keys = s3_credentials_get(call->s3->credentials, tries->refused, call->cancellable, &failed);
        if (tries->keys)
            break;
        if (!g_error_matches(failed, STENO_ERROR, STENO_ERROR_STORAGE_UNREACHABLE) ||
            !plan_retry(call, tries, 0, &wait_us)) {
            g_propagate_error(error, g_steal_pointer(&failed));
            return NULL;
        }
        tell(call, failed);
        if (!store_wait(wait_us, call->cancellable, error))
            return NULL;
    }
    return s3_request_start(call->s3, call->session, request, tries->keys, call->deadline_mono_us, owner);
}

/* Is there a reason to send it again at once, signed anew? */
static gboolean sign_anew(S3Call *call, const S3Transfer *transfer, S3Tries *tries, const S3Verdict *verdict,
                          gboolean *forbidden)
{
    *forbidden = FALSE;
    switch (verdict->action) {
    case S3_SET_CLOCK:
        return set_clock(call->s3, transfer, tries);
    case S3_LEARN_REGION:
        return learn_region(call->s3, verdict, tries, forbidden);
    case S3_RENEW_KEYS: {
        if (!renew_keys(tries))
            return FALSE;
        g_autoptr(S3Keys) keys = s3_credentials_get(call->s3->credentials, tries->refused, call->cancellable, NULL);
        if (keys && !same_keys(keys, tries->refused))
            return TRUE;
        return FALSE;
    }
    default:
        return FALSE;
    }
}

S3Next s3_call_next(S3Call *call, const S3Request *request, const S3Transfer *transfer, S3Tries *tries,
                    const S3Verdict *verdict, gint64 *wait_us, GError **error)
{
    *wait_us = 0;
    if (verdict->action == S3_ACCEPT) {
        call->succeeded_mono_us = g_get_monotonic_time();
        forget(tries);
        return S3_ACCEPTED;
    }
    gboolean forbidden;
    g_autoptr(GError) trouble = NULL;
    s3_verdict_set_error(call->s3, request, transfer, tries->keys, verdict, &trouble);
    gboolean again = sign_anew(call, transfer, tries, verdict, &forbidden);
    if (forbidden && call->s3->settings->allow_regions[0])
        trouble->code = STENO_ERROR_GEOFENCE;
    if (verdict->action == S3_RETRY_NOW && !tries->at_once)
        again = tries->at_once = TRUE;
    else if (verdict->action == S3_RETRY || verdict->action == S3_SLOW_DOWN || verdict->action == S3_RETRY_NOW ||
             (verdict->action == S3_READ_AGAIN && tries->readings++ < READINGS_MAX))
        again = plan_retry(call, tries, retry_after_us(transfer), wait_us);
    if (again) {
        call->attempts_again++;
        tell(call, trouble);
        return S3_AGAIN;
    }
    g_propagate_error(error, g_steal_pointer(&trouble));
    return S3_OVER;
}

/* ---- one request ------------------------------------------------------------------------------------------------- */

static gboolean take_nothing(gpointer user, const S3Transfer *transfer, const guint8 *data, gsize bytes)
{
    (void)user, (void)transfer, (void)data, (void)bytes;
    return FALSE;
}

/* The answer of a HEAD has no body that tells why: ask for one byte. NULL: there is no reason, or no answer. */
static S3Transfer *ask_why(S3Call *call, const S3Request *head, S3Tries *tries)
{
    g_autoptr(S3Request) request = s3_request_new(head->doing, head->right, "GET", head->key);
    s3_pairs_free(request->headers);
    request->headers = s3_pairs_copy(head->headers);
    s3_pairs_add(request->headers, "range", "bytes=0-0");
    request->take = take_nothing;
    g_autoptr(S3Transfer) transfer = s3_call_start(call, request, tries, NULL, NULL);
    gboolean ended = transfer && s3_session_await(call->session, transfer, call->cancellable);
    return ended && transfer->outcome == S3_SENT && transfer->status >= 300 ? g_steal_pointer(&transfer) : NULL;
}

static S3Transfer *run_once(S3Call *call, const S3Request *request, gboolean missing_is_fine, S3Tries *tries,
                            S3Verdict *verdict, GError **error)
{
    S3Transfer *transfer = s3_call_start(call, request, tries, NULL, error);
    if (!transfer)
        return NULL;
    if (!s3_session_await(call->session, transfer, call->cancellable)) {
        s3_transfer_free(transfer);
        g_set_error(error, STENO_ERROR, STENO_ERROR_INTERRUPTED, "interrupted");
        return NULL;
    }
    if (transfer->outcome == S3_SENT && transfer->status >= 300 && transfer->status < 500 &&
        strcmp(request->method, "HEAD") == 0 && request->key && !(missing_is_fine && transfer->status == 404)) {
        S3Transfer *why = ask_why(call, request, tries);
        if (why) {
            s3_transfer_free(transfer);
            transfer = why;
        }
    }
    s3_judge(transfer, verdict);
    return transfer;
}

S3Transfer *s3_call_run(S3Call *call, const S3Request *request, gboolean missing_is_fine, S3Verdict *verdict,
                        GError **error)
{
    g_auto(S3Tries) tries = {0};
    for (;;) {
        g_auto(S3Verdict) judged = {.action = S3_GIVE_UP};
        gint64 wait_us;
        g_autoptr(S3Transfer) transfer = run_once(call, request, missing_is_fine, &tries, &judged, error);
        S3Next next = transfer ? s3_call_next(call, request, transfer, &tries, &judged, &wait_us, error) : S3_OVER;
        if (next != S3_AGAIN && verdict) {
            *verdict = judged;
            memset(&judged, 0, sizeof judged);
        }
        if (next == S3_ACCEPTED)
            return g_steal_pointer(&transfer);
        if (next == S3_OVER)
            return NULL;
        if (!store_wait(wait_us, call->cancellable, error)) {
            if (verdict)
                verdict->action = S3_GIVE_UP;
            return NULL;
        }
    }
}
