/* The main thread's half: what the channel and the network thread say becomes tracks and events. */
#include "session_internal.h"

#include "steno/base/clock.h"
#include "steno/base/error.h"
#include "steno/base/version.h"

#include <string.h>

static const NetEvents net_events;

static void tell_participant(StenoSession *session, const char *id, const char *name)
{
    session_tell(session, json_pack("{s:s, s:s, s:s}", "event", "participant_joined", "participant", id, "name", name));
}

/* ---- what the channel says --------------------------------------------------------------------------------------- */

static void on_participant_joined(gpointer user, const StenoParticipant *participant)
{
    StenoSession *session = user;
    session->seen++;
    g_hash_table_replace(session->participants, g_strdup(participant->id), g_strdup(participant->name));
    if (session->capture)
        tell_participant(session, participant->id, participant->name);
}

static void on_participant_left(gpointer user, const char *participant_id)
{
    StenoSession *session = user;
    session_tell(session, json_pack("{s:s, s:s}", "event", "participant_left", "participant", participant_id));
    session_tracks_forgive(session, participant_id);
    g_hash_table_remove(session->participants, participant_id);
}

/* Why somebody's media did not come: the reason of the whole, when nobody's does. */
static void remember_failure(StenoSession *session, const GError *error)
{
    g_clear_error(&session->last_failure);
    session->last_failure = g_error_copy(error);
}

static void on_participant_failed(gpointer user, const char *participant_id, const GError *error)
{
    StenoSession *session = user;
    remember_failure(session, error);
    session_tell(session, json_pack("{s:s, s:s, s:o}", "event", "participant_failed", "participant", participant_id,
                                    "error", steno_error_to_json(error)));
}

static void on_peer_offer(gpointer user, guint32 peer, const char *participant_id, const StenoSdp *offer)
{
    StenoSession *session = user;
    g_autoptr(GError) error = NULL;
    PeerPlan *plan = session->capture ? session_plan_new(peer, offer, &error) : NULL;
    if (!plan) {
        if (error)
            net_events.peer_failed(session, peer, error);
        return;
    }
    plan->capture = session->capture;
    plan->participant = g_strdup(participant_id);
    session_tracks_number(session, plan, participant_id, offer);
    if (!plan->plain)
        g_hash_table_add(session->answered, GUINT_TO_POINTER(peer));
    session_net_apply(session->net, plan);
}

static void on_peer_closed(gpointer user, guint32 peer)
{
    StenoSession *session = user;
    session_net_close_peer(session->net, peer);
    g_hash_table_remove(session->answered, GUINT_TO_POINTER(peer));
    session_tracks_lose(session, peer);
}

static void on_stream_event(gpointer user, guint32 peer, const char *mid, const char *type, json_t *detail)
{
    StenoSession *session = user;
    const Track *track = session_track_at(session, peer, mid ? mid : "");
    session_tracks_heard(session, peer, mid, type);
    json_t *event = json_pack("{s:s, s:s, s:i}", "event", type, "evidence", "platform", "peer", (int)peer);
    if (track)
        json_object_set_new(event, "track", json_integer(track->number));
    if (detail)
        json_object_update_missing(event, detail);
    session_tell(session, event);
}

static void on_joined(StenoSession *session)
{
    g_autoptr(GError) error = NULL;
    if (!session_part_begin(session, &error)) {
        session_end(session, "storage", error);
        return;
    }
    if (session->came_mono_us == 0)
        session->came_mono_us = steno_clock_mono_us();
    if (session->joined_mono_us == 0)
        session->joined_mono_us = steno_clock_mono_us() - (steno_clock_wall_us() - session->zero_wall_us);
    session->state = session->paused ? "paused" : "recording";
    session_tell(session, json_pack("{s:s, s:s, s:I}", "event", "state", "state", session->state, "zero_wall_us",
                                    (json_int_t)session->zero_wall_us));
    GHashTableIter iter;
    const char *id, *name;
    g_hash_table_iter_init(&iter, session->participants);
    while (g_hash_table_iter_next(&iter, (gpointer *)&id, (gpointer *)&name))
        tell_participant(session, id, name);
}

static void on_reconnecting(StenoSession *session, const GError *why)
{
    session_tell_state(session, "reconnecting", why);
    session_tracks_forgive(session, NULL); /* the hole between two parts is told by the parts */
    g_hash_table_remove_all(session->participants);
    g_autoptr(GError) error = NULL;
    if (!session_part_end(session, &error))
        session_end(session, "storage", error);
}

static void on_channel_state(gpointer user, StenoChannelState state, const GError *error)
{
    StenoSession *session = user;
    switch (state) {
    case STENO_CHANNEL_JOINING:
        break; /* told at the start */
    case STENO_CHANNEL_JOINED:
        on_joined(session);
        break;
    case STENO_CHANNEL_RECONNECTING:
        on_reconnecting(session, error);
        break;
    case STENO_CHANNEL_ENDED:
        session_end(session,
                    !error                         ? "channel-ended"
                    : session->joined_mono_us == 0 ? "join-failed"
                                                   : "connection-lost",
                    error);
        break;
    }
}

static const StenoChannelEvents channel_events = {
    .participant_joined = on_participant_joined,
    .participant_left = on_participant_left,
    .peer_offer = on_peer_offer,
    .participant_failed = on_participant_failed,
    .peer_closed = on_peer_closed,
    .stream_event = on_stream_event,
    .state = on_channel_state,
};

/* ---- what the network thread says -------------------------------------------------------------------------------- */

static void on_net_gathered(gpointer user, guint32 peer, StenoTransportLocal *local)
{
    StenoSession *session = user;
    if (session->channel && g_hash_table_remove(session->answered, GUINT_TO_POINTER(peer)))
        session->channel->connector->answer(session->channel, peer, local);
    steno_transport_local_free(local);
}

static void on_net_connected(gpointer user, guint32 peer, const char *srtp_profile, const char *dtls_cipher)
{
    StenoSession *session = user;
    steno_info(session->log, "peer=%u: media path is up (%s, %s)", peer, srtp_profile ? srtp_profile : "clear RTP",
               dtls_cipher ? dtls_cipher : "no DTLS");
}

/* A fault that trying again does not mend: the peer is not who signalling says, or wants no real encryption. */
static gboolean is_hopeless(const GError *error)
{
    return g_error_matches(error, STENO_ERROR, STENO_ERROR_FINGERPRINT) ||
           g_error_matches(error, STENO_ERROR, STENO_ERROR_WEAK_CRYPTO) ||
           g_error_matches(error, STENO_ERROR, STENO_ERROR_GEOFENCE) ||
           g_error_matches(error, STENO_ERROR, STENO_ERROR_SDP_INVALID);
}

static void on_net_failed(gpointer user, guint32 peer, const GError *error)
{
    StenoSession *session = user;
    steno_warning(session->log, "peer=%u: media path failed: %s", peer, error ? error->message : "closed by the peer");
    json_t *event = json_pack("{s:s, s:i}", "event", "peer_failed", "peer", (int)peer);
    if (error) {
        remember_failure(session, error);
        json_object_set_new(event, "error", steno_error_to_json(error));
    }
    session_tell(session, event);
    /* What fails before anything was recorded is an end with its reason; later, the others' media matter more. */
    NetTotals totals;
    session_net_totals(session->net, &totals);
    if (is_hopeless(error) && totals.frames == 0)
        session_end(session, "join-failed", error);
    else if (session->channel)
        session->channel->connector->peer_failed(session->channel, peer, error);
}

static void on_net_flow(gpointer user, guint32 number, gboolean flowing, gint64 wall_us)
{
    StenoSession *session = user;
    Track *track = session_track_find(session, number);
    if (!track)
        return;
    gboolean first = flowing && !track->started;
    track->flowing = flowing;
    track->started = TRUE;
    if (first)
        session_tracks_tell_back(session, track, wall_us);
    session_tell(session,
                 json_pack("{s:s, s:i, s:s, s:I}", "event", flowing ? first ? "track_started" : "unmuted" : "muted",
                           "track", (int)number, "evidence", "rtp", "t", (json_int_t)wall_us));
}

static void on_net_changed_over(gpointer user)
{
    session_rotation_changed_over(user);
}

static void on_net_key_wanted(gpointer user, const char *participant, guint64 kid, gboolean wanted)
{
    session_keys_want(user, participant, kid, wanted);
}

static void on_net_undecryptable(gpointer user, guint32 track, StenoContentOutcome cause, const char *kid)
{
    session_keys_give_up(user, track, cause, kid);
}

static void on_net_track_refused(gpointer user, guint32 number, const GError *error)
{
    const Track *track = session_track_find(user, number);
    if (track)
        on_participant_failed(user, track->participant, error);
}

static const NetEvents net_events = {
    .gathered = on_net_gathered,
    .peer_connected = on_net_connected,
    .peer_failed = on_net_failed,
    .track_flow = on_net_flow,
    .changed_over = on_net_changed_over,
    .key_wanted = on_net_key_wanted,
    .undecryptable = on_net_undecryptable,
    .track_refused = on_net_track_refused,
};

/* ---- time -------------------------------------------------------------------------------------------------------- */

static void tell_stats(StenoSession *session, const NetTotals *totals, gint64 now_us)
{
    guint live = 0;
    for (guint i = 0; i < session->tracks->len; i++)
        live += ((const Track *)session->tracks->pdata[i])->started;
    json_t *event =
        json_pack("{s:s, s:I, s:i, s:i, s:i, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "event", "stats", "duration_ms",
                  (json_int_t)((now_us - session->joined_mono_us) / 1000), "participants",
                  (int)g_hash_table_size(session->participants), "tracks", (int)live, "announced",
                  (int)session_tracks_announced(session), "frames", (json_int_t)totals->frames, "bytes",
                  (json_int_t)totals->bytes, "packets", (json_int_t)totals->packets, "lost", (json_int_t)totals->lost,
                  "recovered", (json_int_t)totals->recovered, "invalid", (json_int_t)totals->invalid, "sealed",
                  (json_int_t)totals->sealed, "injected", (json_int_t)totals->injected);
    session->events->event(session->user, event);
    json_decref(event);
}

static gboolean on_second(gpointer data)
{
    StenoSession *session = data;
    gint64 now_us = steno_clock_mono_us();
    NetTotals totals;
    session_net_totals(session->net, &totals);
    if (session->joined_mono_us == 0)
        return G_SOURCE_CONTINUE;
    tell_stats(session, &totals, now_us);
    gint64 busy_us = MAX(MAX(session->came_mono_us, session->resumed_mono_us), totals.last_media_mono_us);
    if (session->job->max_duration_s > 0 &&
        now_us - session->joined_mono_us >= session->job->max_duration_s * G_USEC_PER_SEC)
        session_end(session, "max-duration", NULL);
    else if (session->job->max_idle_s > 0 && !session->paused &&
             now_us - busy_us >= session->job->max_idle_s * G_USEC_PER_SEC)
        session_end(session, "max-idle", NULL);
    return G_SOURCE_CONTINUE;
}

const char *steno_session_state(const StenoSession *session)
{
    return session->state;
}

guint steno_session_part(const StenoSession *session)
{
    return session_rotation_told_part(session);
}

static json_t *strings(char *const *list)
{
    json_t *array = json_array();
    for (; *list; list++)
        json_array_append_new(array, json_string(*list));
    return array;
}

void steno_session_update(StenoSession *session)
{
    const StenoJobSpec *job = session->job;
    if (session->end_reason)
        return;
    session_tell(session, json_pack("{s:s, s:I, s:I, s:o, s:o, s:I}", "event", "updated", "max_duration_s",
                                    (json_int_t)job->max_duration_s, "max_idle_s", (json_int_t)job->max_idle_s,
                                    "subscribe_audio", strings(job->subscribe_audio), "subscribe_video",
                                    strings(job->subscribe_video), "max_height", (json_int_t)job->max_height));
    session_tracks_update(session);
    if (session->channel)
        session->channel->connector->update(session->channel);
}

/* The size of a track's pictures has changed: the connector may have others to choose from. */
void session_heard_format(StenoSession *session, const json_t *event)
{
    const Track *track = session_track_find(session, (guint32)json_integer_value(json_object_get(event, "track")));
    gint64 width = json_integer_value(json_object_get(event, "width"));
    gint64 height = json_integer_value(json_object_get(event, "height"));
    if (track && track->video && session->channel && height > 0)
        session->channel->connector->picture(session->channel, track->peer, track->mid, (guint)width, (guint)height);
}

void steno_session_stop(StenoSession *session, const char *end_reason)
{
    session_end(session, end_reason, NULL);
}

/* ---- the beginning ----------------------------------------------------------------------------------------------- */

/* What the assembly has to know of what is sealed; its keys are nobody's business here. */
static json_t *describe_content(const StenoJobSpec *job)
{
    const StenoContentFormat *format = steno_content_format(job->content);
    if (!format)
        return json_null();
    gboolean per_packet = steno_content_format_unit(format) == STENO_CONTENT_PER_PACKET;
    return json_pack("{s:s, s:s}", "format", steno_content_format_name(format), "unit",
                     per_packet ? "packet" : "frame");
}

/* Who assembles it by hand does it in the same way: what was to be encrypted is not left in the clear. */
static void describe_files(const StenoJobSpec *job, json_t *recording)
{
    json_t *recipients = json_array();
    for (char **path = job->output_recipients; *path; path++)
        json_array_append_new(recipients, json_string(*path));
    json_object_set_new(recording, "output_encryption", json_string(job->output_encryption));
    json_object_set_new(recording, "output_recipients", recipients);
    json_object_set_new(recording, "content_keys", json_string(job->content_keys ? job->content_keys : ""));
}

static json_t *describe_recording(const StenoJobSpec *job)
{
    g_autofree char *url = steno_log_redact(job->url);
    json_t *labels = job->labels ? json_loads(job->labels, 0, NULL) : NULL;
    json_t *recording = json_pack(
        "{s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:b, s:s, s:s, s:s, s:o, s:o}", "id", job->id, "platform", job->platform,
        "url", url, "channel", job->channel ? job->channel : "", "outputs", job->outputs, "audio", job->audio,
        "rotate_s", (json_int_t)job->rotate_s, "rotate_join", job->rotate_join, "version", STENO_VERSION, "app",
        job->app ? job->app : "", "platform_name", job->platform_name ? job->platform_name : "", "labels",
        labels ? labels : json_object(), "content", describe_content(job));
    describe_files(job, recording);
    return recording;
}

StenoSession *steno_session_start(const StenoJobSpec *job, const StenoSessionPlace *place, const StenoLog *log,
                                  const StenoSessionEvents *events, gpointer user, GError **error)
{
    const StenoConnector *connector = steno_connector_find(job->platform);
    if (!connector) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_USAGE, "there is no platform '%s'", job->platform);
        return NULL;
    }
    StenoSession *session = g_new0(StenoSession, 1);
    session->job = job;
    session->log = log;
    session->events = events;
    session->user = user;
    session->folder = g_strdup(place->capture);
    session->part = place->first_part;
    session->later = session->has_parts = place->first_part > 1;
    session->zero_wall_us = place->zero_wall_us;
    session->keys_fd = place->keys_fd;
    session->recording = describe_recording(job);
    session->paused = session->was_paused = job->paused;
    session->participants = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    session_tracks_init(session);
    session->answered = g_hash_table_new(NULL, NULL);
    session_telling_init(session);
    session_rotation_init(session);
    if (job->allow_media_cidr[0])
        session->geofence = steno_geofence_new((const char *const *)job->allow_media_cidr, error);
    if (!job->allow_media_cidr[0] || session->geofence) {
        session->net = session_net_new(job, session->geofence, log, &net_events, session);
        session->second_timer = g_timeout_add_seconds(1, on_second, session);
        if (session_keys_open(session, error))
            session->channel = connector->open(job, session->geofence, log, &channel_events, session, error);
    }
    if (session->channel) {
        session_tell_state(session, "joining", NULL);
        return session;
    }
    steno_session_free(session);
    return NULL;
}

void steno_session_free(StenoSession *session)
{
    if (!session)
        return;
    if (session->end_timer)
        g_source_remove(session->end_timer);
    if (session->second_timer)
        g_source_remove(session->second_timer);
    if (session->channel)
        session->channel->connector->close(session->channel);
    session_keys_close(session);
    if (session->net)
        (void)session_part_end(session, NULL);
    session_net_free(session->net);
    session_rotation_clear(session);
    session_telling_clear(session);
    steno_geofence_unref(session->geofence);
    g_hash_table_unref(session->participants);
    session_tracks_clear(session);
    g_hash_table_unref(session->answered);
    json_decref(session->recording);
    g_clear_error(&session->last_failure);
    g_clear_error(&session->end_error);
    g_free(session->end_reason);
    g_free(session->folder);
    g_free(session);
}
