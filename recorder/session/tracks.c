/* Participants' streams as the main thread sees them: numbered, told, and missed when they are cut off. */
#include "session_internal.h"

#include "steno/base/clock.h"

#include <string.h>

static void track_free(gpointer data)
{
    Track *track = data;
    g_free(track->participant);
    g_free(track->mid);
    json_decref(track->added);
    g_free(track);
}

static void away_free(gpointer data)
{
    Away *away = data;
    g_free(away->participant);
    g_free(away);
}

Track *session_track_find(const StenoSession *session, guint32 number)
{
    for (guint i = 0; i < session->tracks->len; i++) {
        Track *track = session->tracks->pdata[i];
        if (track->number == number)
            return track;
    }
    return NULL;
}

Track *session_track_at(const StenoSession *session, guint32 peer, const char *mid)
{
    for (guint i = 0; i < session->tracks->len; i++) {
        Track *track = session->tracks->pdata[i];
        if (track->peer == peer && strcmp(track->mid, mid) == 0)
            return track;
    }
    return NULL;
}

static const StenoSdpMedia *media_of(const StenoSdp *offer, const char *mid)
{
    for (guint i = 0; i < offer->media->len; i++) {
        const StenoSdpMedia *media = offer->media->pdata[i];
        if (g_strcmp0(media->mid ? media->mid : "", mid) == 0)
            return media;
    }
    return NULL;
}

static gboolean is_dropped(const StenoSession *session, const char *participant, gboolean video)
{
    const char *name = g_hash_table_lookup(session->participants, participant);
    return !steno_job_spec_wants(session->job, video, participant, name);
}

static Track *track_add(StenoSession *session, guint32 peer, const char *participant, const TrackPlan *plan,
                        const StenoSdp *offer)
{
    Track *track = g_new0(Track, 1);
    track->number = ++session->next_track;
    track->peer = peer;
    track->participant = g_strdup(participant);
    track->mid = g_strdup(plan->rtp.mid);
    track->video = plan->rtp.video;
    track->dropped = is_dropped(session, participant, track->video);
    g_ptr_array_add(session->tracks, track);
    const StenoSdpMedia *media = media_of(offer, track->mid);
    track->added = json_pack("{s:s, s:i, s:s, s:s, s:s, s:s, s:i, s:I, s:i, s:s}", "event", "track_added", "track",
                             (int)track->number, "participant", participant, "mid", track->mid, "kind",
                             track->video ? "video" : "audio", "codec", steno_codec_name(plan->rtp.payloads[0].codec),
                             "clock_hz", (int)plan->rtp.payloads[0].clock_hz, "ssrc", (json_int_t)plan->rtp.ssrc,
                             "peer", (int)peer, "source", media && media->msid_track ? media->msid_track : "");
    session_tell(session, json_copy(track->added));
    return track;
}

static gboolean plan_has(const PeerPlan *plan, guint32 number)
{
    for (guint i = 0; i < plan->tracks->len; i++) {
        const TrackPlan *track = plan->tracks->pdata[i];
        if (track->rtp.track == number)
            return TRUE;
    }
    return FALSE;
}

static void track_remove(StenoSession *session, guint index)
{
    Track *track = session->tracks->pdata[index];
    session_tell(session, json_pack("{s:s, s:i}", "event", "track_removed", "track", (int)track->number));
    g_ptr_array_remove_index(session->tracks, index);
}

void session_tracks_number(StenoSession *session, PeerPlan *plan, const char *participant, const StenoSdp *offer)
{
    for (guint i = 0; i < plan->tracks->len; i++) {
        TrackPlan *planned = plan->tracks->pdata[i];
        Track *track = session_track_at(session, plan->peer, planned->rtp.mid);
        if (!track || track->video != planned->rtp.video)
            track = track_add(session, plan->peer, participant, planned, offer);
        planned->rtp.track = track->number;
        planned->dropped = track->dropped;
    }
    for (guint i = session->tracks->len; i-- > 0;) {
        const Track *track = session->tracks->pdata[i];
        if (track->peer == plan->peer && !plan_has(plan, track->number))
            track_remove(session, i);
    }
}

static void announce(const StenoSession *session, json_t *event, gint64 wall_us)
{
    json_object_set_new(event, "t", json_integer(wall_us));
    steno_capture_measurement(session->capture, event);
}

static void announce_track(const StenoSession *session, const Track *track, gint64 wall_us)
{
    announce(session, json_copy(track->added), wall_us);
    if (track->started)
        announce(session, json_pack("{s:s, s:i}", "event", "track_started", "track", (int)track->number), wall_us);
    gboolean silent = track->started && !track->flowing;
    if (silent || track->muted)
        announce(session,
                 json_pack("{s:s, s:i, s:s}", "event", "muted", "track", (int)track->number, "evidence",
                           track->muted ? "platform" : "rtp"),
                 wall_us);
    if (track->talking)
        announce(session,
                 json_pack("{s:s, s:s, s:i, s:i}", "event", "talking", "evidence", "platform", "peer", (int)track->peer,
                           "track", (int)track->number),
                 wall_us);
}

void session_tracks_announce(const StenoSession *session, gint64 wall_us)
{
    GHashTableIter iter;
    const char *id, *name;
    g_hash_table_iter_init(&iter, session->participants);
    while (g_hash_table_iter_next(&iter, (gpointer *)&id, (gpointer *)&name))
        announce(session, json_pack("{s:s, s:s, s:s}", "event", "participant_joined", "participant", id, "name", name),
                 wall_us);
    for (guint i = 0; i < session->tracks->len; i++)
        announce_track(session, session->tracks->pdata[i], wall_us);
}

void session_tracks_lose(StenoSession *session, guint32 peer)
{
    for (guint i = session->tracks->len; i-- > 0;) {
        const Track *track = session->tracks->pdata[i];
        if (track->peer != peer)
            continue;
        /* What is given up since nobody wants it is not missed. */
        if (!track->dropped) {
            Away *away = g_new(Away, 1);
            *away = (Away){g_strdup(track->participant), track->video, steno_clock_wall_us()};
            g_ptr_array_add(session->away, away);
        }
        track_remove(session, i);
    }
}

void session_tracks_forgive(StenoSession *session, const char *participant)
{
    for (guint i = session->away->len; i-- > 0;) {
        const Away *away = session->away->pdata[i];
        if (!participant || strcmp(away->participant, participant) == 0)
            g_ptr_array_remove_index(session->away, i);
    }
}

void session_tracks_tell_back(StenoSession *session, const Track *track, gint64 wall_us)
{
    for (guint i = session->away->len; i-- > 0;) {
        const Away *away = session->away->pdata[i];
        if (away->video != track->video || strcmp(away->participant, track->participant) != 0)
            continue;
        session_tell(session, json_pack("{s:s, s:i, s:s, s:i, s:I, s:I}", "event", "gap", "track", (int)track->number,
                                        "cause", steno_gap_cause_name(STENO_GAP_DISCONNECTED), "packets", 0, "from",
                                        (json_int_t)away->from_wall_us, "until", (json_int_t)wall_us));
        g_ptr_array_remove_index(session->away, i);
        return;
    }
}

void session_tracks_update(StenoSession *session)
{
    for (guint i = 0; i < session->tracks->len; i++) {
        Track *track = session->tracks->pdata[i];
        gboolean dropped = is_dropped(session, track->participant, track->video);
        if (dropped != track->dropped)
            session_net_drop(session->net, track->number, dropped);
        track->dropped = dropped;
    }
    for (guint i = session->away->len; i-- > 0;) {
        const Away *away = session->away->pdata[i];
        if (is_dropped(session, away->participant, away->video))
            g_ptr_array_remove_index(session->away, i);
    }
}

guint session_tracks_announced(const StenoSession *session)
{
    guint announced = 0;
    for (guint i = 0; i < session->tracks->len && !session->paused; i++) {
        const Track *track = session->tracks->pdata[i];
        announced += !track->muted && !track->dropped && (track->flowing || (track->talking && !track->video));
    }
    return announced;
}

void session_tracks_heard(StenoSession *session, guint32 peer, const char *mid, const char *type)
{
    for (guint i = 0; i < session->tracks->len; i++) {
        Track *track = session->tracks->pdata[i];
        if (track->peer != peer || (mid && strcmp(track->mid, mid) != 0))
            continue;
        if (strcmp(type, "muted") == 0 || strcmp(type, "unmuted") == 0)
            track->muted = type[0] == 'm';
        else if (strcmp(type, "talking") == 0 || strcmp(type, "silent") == 0)
            track->talking = type[0] == 't';
    }
}

void session_tracks_init(StenoSession *session)
{
    session->tracks = g_ptr_array_new_with_free_func(track_free);
    session->away = g_ptr_array_new_with_free_func(away_free);
}

void session_tracks_clear(StenoSession *session)
{
    g_ptr_array_unref(session->tracks);
    g_ptr_array_unref(session->away);
}
