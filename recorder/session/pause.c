/*
 * Pausing: the recorder keeps its place, and media is dropped at the edge, before it is put together. The network
 * thread knows the moment; here it is told, as a state and, when it is over, as one gap of all tracks.
 */
#include "session_internal.h"

#include "steno/base/clock.h"

void session_pause_begin_part(StenoSession *session)
{
    if (session->paused)
        session->paused_wall_us = steno_clock_wall_us();
}

static void tell_gap(StenoSession *session, gint64 until_us)
{
    session_tell(session, json_pack("{s:s, s:n, s:s, s:i, s:I, s:I}", "event", "gap", "track", "cause",
                                    steno_gap_cause_name(STENO_GAP_PAUSED), "packets", 0, "from",
                                    (json_int_t)session->paused_wall_us, "until", (json_int_t)until_us));
}

void session_pause_end_part(StenoSession *session, gint64 wall_us)
{
    if (!session->paused || !session->capture)
        return;
    tell_gap(session, wall_us);
    session->paused_wall_us = wall_us;
}

void steno_session_pause(StenoSession *session, gboolean paused)
{
    if (session->paused == paused || session->end_reason)
        return;
    gint64 wall_us = session_net_pause(session->net, paused);
    session->paused = paused;
    session->was_paused = TRUE;
    if (!paused)
        session->resumed_mono_us = steno_clock_mono_us();
    if (!session->capture)
        return; /* told when the channel is joined */
    if (paused)
        session->paused_wall_us = wall_us;
    else
        tell_gap(session, wall_us);
    session_tell_state(session, paused ? "paused" : "recording", NULL);
}
