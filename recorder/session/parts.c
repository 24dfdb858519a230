/* A part of the capture begins and ends, and with the last one the session. */
#include "session_internal.h"

#include "steno/base/clock.h"
#include "steno/base/error.h"

gboolean session_part_begin(StenoSession *session, GError **error)
{
    if (session->capture)
        return TRUE;
    if (session->zero_wall_us == 0)
        session->zero_wall_us = steno_clock_wall_us();
    const StenoCaptureConfig config = {
        .folder = session->folder,
        .part = session->part,
        .zero_wall_us = session->zero_wall_us,
        .recording = session->recording,
        .early = session->early,
        .early_seq = session->early_seq,
        .log = session->log,
        .told = session_told,
        .failed = session_capture_failed,
        .user = session,
    };
    session->capture = steno_capture_new(&config, error);
    if (!session->capture)
        return FALSE;
    session->has_parts = TRUE;
    json_array_clear(session->early);
    session->early_seq = 0;
    session_net_set_capture(session->net, session->capture);
    session_pause_begin_part(session);
    session_rotation_begin_part(session);
    return TRUE;
}

gboolean session_part_end(StenoSession *session, GError **error)
{
    session_rotation_interrupt(session);
    session_net_close_all(session->net);
    session_net_set_capture(session->net, NULL);
    session_pause_end_part(session, steno_clock_wall_us());
    g_ptr_array_set_size(session->tracks, 0);
    g_hash_table_remove_all(session->answered);
    gboolean settled = session_rotation_settle(session, error);
    StenoCapture *capture = g_steal_pointer(&session->capture);
    if (!capture)
        return settled;
    session->part = session_rotation_next_part(session);
    gboolean finished = steno_capture_finish(capture, settled ? error : NULL);
    return settled && finished;
}

/* ---- the end ----------------------------------------------------------------------------------------------------- */

/* Nothing came: was it for a reason that we know? */
static void explain_nothing(StenoSession *session)
{
    NetTotals totals;
    session_net_totals(session->net, &totals);
    if (session->end_error || totals.frames > 0 || session->later)
        return;
    if (session->last_failure)
        session->end_error = g_steal_pointer(&session->last_failure);
    else if (totals.invalid > 0)
        g_set_error(&session->end_error, STENO_ERROR, STENO_ERROR_MEDIA_INVALID,
                    "%" G_GUINT64_FORMAT " packets arrived, but none was valid media: check that the SRTP keys, the "
                    "payload types and the codecs are those of the session description",
                    totals.invalid);
    else if (session->was_paused)
        g_set_error(&session->end_error, STENO_ERROR, STENO_ERROR_NOTHING_RECORDED,
                    "nothing was recorded: it was paused, and nobody sent sound or pictures at other times (%u "
                    "participants seen)",
                    session->seen);
    else
        g_set_error(&session->end_error, STENO_ERROR, STENO_ERROR_NOTHING_RECORDED,
                    "nothing was recorded: nobody sent sound or pictures while we were there (%u participants seen)",
                    session->seen);
}

static void tell_ended(StenoSession *session)
{
    json_t *ended = session_telling_flush(session);
    /* What failed while it was closed came after that line. */
    json_object_set_new(ended, "error", steno_error_to_json(session->end_error));
    session->events->event(session->user, ended);
    json_decref(ended);
    session->events->ended(session->user, session->end_reason, session->end_error);
}

static gboolean end_now(gpointer data)
{
    StenoSession *session = data;
    session->end_timer = 0;
    if (session->second_timer)
        g_source_remove(session->second_timer);
    session->second_timer = 0;
    session_rotation_interrupt(session);
    session_net_close_all(session->net);
    explain_nothing(session);
    /* A capture always tells its ending in its last part: in one of its own when none is open. */
    if (session->has_parts)
        (void)session_part_begin(session, NULL);
    json_t *last = json_pack("{s:s, s:s, s:o}", "event", "ended", "end_reason", session->end_reason, "error",
                             steno_error_to_json(session->end_error));
    if (session->capture)
        steno_capture_set_last(session->capture, last);
    else
        session_tell(session, last);
    g_autoptr(GError) error = NULL;
    if (!session_part_end(session, &error) && !session->end_error)
        session->end_error = g_steal_pointer(&error);
    StenoChannel *channel = g_steal_pointer(&session->channel);
    if (channel)
        channel->connector->close(channel);
    tell_ended(session);
    return G_SOURCE_REMOVE;
}

/* Not at once: we may be called from within the channel, which is closed in the end. */
void session_end(StenoSession *session, const char *reason, const GError *error)
{
    if (session->end_reason)
        return;
    session->end_reason = g_strdup(reason);
    session->end_error = error ? g_error_copy(error) : NULL;
    session->end_timer = g_idle_add(end_now, session);
}
