/*
 * The Janus VideoRoom connector (Janus 1.x): joining, leaving, coming back. We are unseen: only subscriber handles, and
 * lists that are asked for. Neither shows up anywhere for the room's participants.
 */
#include "connectors.h"
#include "janus_private.h"

#include "steno/base/clock.h"
#include "steno/base/error.h"

#include <string.h>

#define TICK_MS 1000
#define BACKOFF_FIRST_MS 250
#define LEAVE_TIMEOUT_MS 2000

static void start_timer(JanusChannel *channel, guint delay_ms, GSourceFunc function);

/* ---- life -------------------------------------------------------------------------------------------------------- */

static void stop_timer(JanusChannel *channel)
{
    if (channel->timer) {
        g_source_destroy(channel->timer);
        g_clear_pointer(&channel->timer, g_source_unref);
    }
}

static void start_timer(JanusChannel *channel, guint delay_ms, GSourceFunc function)
{
    stop_timer(channel);
    channel->timer = g_timeout_source_new(delay_ms);
    g_source_set_callback(channel->timer, function, channel, NULL);
    g_source_attach(channel->timer, channel->context);
}

static void enter(gpointer user)
{
    ((JanusChannel *)user)->references++;
}

static void leave(gpointer user)
{
    JanusChannel *channel = user;
    if (--channel->references > 0)
        return;
    g_hash_table_unref(channel->subscribers);
    g_hash_table_unref(channel->participants);
    steno_http_free(channel->http);
    janus_credentials_free(channel->credentials);
    json_decref(channel->joined_with);
    g_clear_error(&channel->join_error);
    g_main_context_unref(channel->context);
    steno_log_free(channel->log);
    g_free(channel->self);
    g_free(channel->url);
    g_free(channel);
}

static void set_state(JanusChannel *channel, StenoChannelState state, const GError *error)
{
    channel->state = state;
    if (!channel->closed)
        channel->events.state(channel->user, state, error);
}

/* Forgets the session and all that hung on it; tells of the peers that are gone. */
static void drop_session(JanusChannel *channel)
{
    stop_timer(channel);
    janus_api_free(g_steal_pointer(&channel->api));
    steno_http_drop_all(channel->http);
    channel->control = 0;
    channel->listing = channel->showing = FALSE;
    channel->private_id = 0;
    g_clear_pointer(&channel->self, g_free);
    /* One by one, from the start each time: who is told of a closed peer may close the channel. */
    GHashTableIter iter;
    gpointer subscriber;
    while (g_hash_table_iter_init(&iter, channel->subscribers), g_hash_table_iter_next(&iter, &subscriber, NULL))
        janus_subscriber_drop(subscriber, FALSE);
}

static void end(JanusChannel *channel, const GError *error)
{
    if (channel->state == STENO_CHANNEL_ENDED)
        return;
    if (channel->api)
        janus_api_silence(channel->api);
    channel->ended_api = g_steal_pointer(&channel->api); /* close destroys the session, so that Janus need not wait */
    drop_session(channel);
    set_state(channel, STENO_CHANNEL_ENDED, error);
}

void janus_channel_ended(JanusChannel *channel)
{
    end(channel, NULL);
}

/* ---- coming back ------------------------------------------------------------------------------------------------- */

/* Those that time does not heal. A room that is missing may be made again after a restart: that is not one of them. */
static gboolean is_final(const GError *error)
{
    static const StenoError kinds[] = {STENO_ERROR_USAGE,       STENO_ERROR_TOKEN_REFUSED, STENO_ERROR_TOKEN_EXPIRED,
                                       STENO_ERROR_PIN_REFUSED, STENO_ERROR_NOT_SILENT,    STENO_ERROR_GEOFENCE,
                                       STENO_ERROR_END_TO_END};
    for (guint i = 0; i < G_N_ELEMENTS(kinds); i++) {
        if (g_error_matches(error, STENO_ERROR, (gint)kinds[i]))
            return TRUE;
    }
    return FALSE;
}

static void connect_session(JanusChannel *channel);

static gboolean on_reconnect(gpointer user)
{
    JanusChannel *channel = user;
    g_clear_pointer(&channel->timer, g_source_unref);
    connect_session(channel);
    return G_SOURCE_REMOVE;
}

/* 0.25 s, 0.5 s … 10 s, each less up to a half at random, so that many recorders do not come back at once. */
static guint backoff_ms(guint attempts)
{
    guint delay = BACKOFF_FIRST_MS << MIN(attempts, 10);
    delay = MIN(delay, STENO_CHANNEL_RECONNECT_BACKOFF_MAX_MS);
    return delay - (guint)g_random_int_range(0, (gint)(delay / 2));
}

static void come_back(JanusChannel *channel, const GError *error)
{
    gint64 now = steno_clock_mono_us();
    if (channel->state != STENO_CHANNEL_RECONNECTING) {
        channel->away_mono_us = now;
        channel->attempts = 0;
        set_state(channel, STENO_CHANNEL_RECONNECTING, error);
        if (channel->closed)
            return;
    }
    gint64 left_us = channel->away_mono_us + channel->job->reconnect_s * G_USEC_PER_SEC - now;
    if (left_us <= 0) {
        g_autoptr(GError) gone =
            g_error_new(STENO_ERROR, STENO_ERROR_CONNECTION_LOST,
                        "Janus went away and did not come back within %" G_GINT64_FORMAT " s (--reconnect-seconds): %s",
                        channel->job->reconnect_s, error->message);
        end(channel, gone);
        return;
    }
    guint delay_ms = backoff_ms(channel->attempts++);
    start_timer(channel, (guint)MIN((gint64)delay_ms, left_us / 1000 + 1), on_reconnect);
}

void janus_channel_lost(JanusChannel *channel, const GError *error)
{
    if (channel->closed || channel->state == STENO_CHANNEL_ENDED)
        return;
    g_autoptr(GError) why = g_error_copy(error); /* it may belong to what is dropped now */
    if (channel->state == STENO_CHANNEL_JOINING || is_final(why)) {
        end(channel, why);
        return;
    }
    drop_session(channel);
    if (!channel->closed)
        come_back(channel, why);
}

/* ---- what is said to a room -------------------------------------------------------------------------------------- */

json_t *janus_room_id(const JanusChannel *channel)
{
    if (channel->ids_are_strings)
        return json_string(channel->job->channel);
    return json_integer(g_ascii_strtoll(channel->job->channel, NULL, 10));
}

json_t *janus_room_request(const JanusChannel *channel, const char *request)
{
    return json_pack("{s:s, s:o}", "request", request, "room", janus_room_id(channel));
}

json_t *janus_join_request(JanusChannel *channel, const char *type)
{
    json_t *body = janus_room_request(channel, "join");
    json_object_set_new(body, "ptype", json_string(type));
    janus_set_secret(body, "token", janus_credentials_room(channel->credentials));
    janus_set_secret(body, "pin", janus_credentials_pin(channel->credentials));
    return body;
}

gboolean janus_is_private_id_error(const JanusReply *reply)
{
    return reply->code == VIDEOROOM_UNAUTHORIZED && reply->error && strstr(reply->error->message, "private_id");
}

gboolean janus_refuses_encrypted(const JanusChannel *channel)
{
    return g_strcmp0(channel->job->content, "none") == 0;
}

GError *janus_encrypted_error(const char *who, const char *mark)
{
    return g_error_new(STENO_ERROR, STENO_ERROR_END_TO_END,
                       "%s is end-to-end encrypted (%s), and nothing of it could be understood: pass --content with "
                       "its format, and its keys with --content-keys or --key-set; or --content-keys later, to record "
                       "it sealed and decrypt it where the keys are",
                       who, mark);
}

GError *janus_room_error(const JanusChannel *channel, const JanusReply *reply)
{
    const char *reason = reply->error ? reply->error->message : "";
    const char *room = channel->job->channel;
    gboolean of_pin = strstr(reason, "pin") != NULL;
    GError *error = NULL;
    if (reply->code == VIDEOROOM_NO_SUCH_ROOM)
        return g_error_new(STENO_ERROR, STENO_ERROR_NO_SUCH_CHANNEL,
                           "Janus has no room '%s' (%s): check --channel, or create the room first", room, reason);
    if (reply->code == VIDEOROOM_MISSING_ELEMENT && of_pin)
        return g_error_new(STENO_ERROR, STENO_ERROR_PIN_REFUSED, "room '%s' wants a pin (%s): pass --pin-file", room,
                           reason);
    if (reply->code == VIDEOROOM_UNAUTHORIZED && of_pin)
        return g_error_new(STENO_ERROR, STENO_ERROR_PIN_REFUSED,
                           "Janus refused the room's pin (%s): check the contents of --pin-file", reason);
    if (reply->code == VIDEOROOM_UNAUTHORIZED) {
        if (!janus_credentials_check(channel->credentials, &error))
            return error;
        return g_error_new(STENO_ERROR, STENO_ERROR_TOKEN_REFUSED,
                           "Janus refused the room's token (%s): pass --room-token or --token-secret-file", reason);
    }
    if (reply->code == VIDEOROOM_INVALID_ELEMENT)
        return g_error_new(STENO_ERROR, STENO_ERROR_NO_SUCH_CHANNEL,
                           "Janus has no room '%s': this server's rooms are numbers (%s)", room, reason);
    if (reply->error)
        return g_error_copy(reply->error);
    return g_error_new(STENO_ERROR, STENO_ERROR_PROTOCOL,
                       "Janus answered a request of room '%s' in a way we do not know", room);
}

/* ---- joining ----------------------------------------------------------------------------------------------------- */

static gboolean on_tick(gpointer user)
{
    JanusChannel *channel = user;
    GSource *timer = g_source_ref(channel->timer);
    enter(channel);
    janus_room_tick(channel);
    leave(channel);
    gboolean goes_on = !g_source_is_destroyed(timer);
    g_source_unref(timer);
    return goes_on ? G_SOURCE_CONTINUE : G_SOURCE_REMOVE;
}

static void joined(JanusChannel *channel)
{
    set_state(channel, STENO_CHANNEL_JOINED, NULL);
    if (channel->closed)
        return;
    start_timer(channel, TICK_MS, on_tick);
    json_t *participants = g_steal_pointer(&channel->joined_with);
    janus_room_update(channel, participants);
    json_decref(participants);
}

static void on_seen(gpointer user, const JanusReply *reply)
{
    JanusChannel *channel = user;
    json_t *id = json_object_get(reply->data, "id");
    channel->private_id = json_integer_value(json_object_get(reply->data, "private_id"));
    if (reply->error || channel->private_id == 0) {
        g_autoptr(GError) error = janus_room_error(channel, reply);
        janus_channel_lost(channel, error);
        return;
    }
    g_free(channel->self);
    channel->self = json_is_string(id) ? g_strdup(json_string_value(id))
                                       : g_strdup_printf("%" JSON_INTEGER_FORMAT, json_integer_value(id));
    steno_notice(channel->log, "joined visibly, as participant %s, since the room wants a private_id", channel->self);
    if (channel->state != STENO_CHANNEL_JOINED)
        joined(channel);
}

void janus_channel_need_private_id(JanusChannel *channel)
{
    if (!channel->job->allow_visible) {
        g_autoptr(GError) error =
            g_error_new(STENO_ERROR, STENO_ERROR_NOT_SILENT,
                        "room '%s' cannot be joined unseen: it wants a private_id of each subscriber (require_pvtid), "
                        "which only participants in its list have. Pass --allow-visible to join in sight of all",
                        channel->job->channel);
        janus_channel_lost(channel, error);
    } else if (!channel->showing) {
        channel->showing = TRUE;
        janus_api_message(channel->api, channel->control, janus_join_request(channel, "publisher"), NULL, on_seen,
                          channel);
    }
}

static void ask_room(JanusChannel *channel);

/* All that was asked is answered. */
static void decide(JanusChannel *channel)
{
    if (--channel->pending > 0)
        return;
    g_autoptr(GError) error = g_steal_pointer(&channel->join_error);
    if (channel->id_refused && !channel->ids_are_strings) {
        /* All digits, and yet a name: a server with string_ids. */
        channel->ids_are_strings = TRUE;
        ask_room(channel);
    } else if (error) {
        janus_channel_lost(channel, error);
    } else if (channel->requires_encryption && janus_refuses_encrypted(channel)) {
        g_autofree char *room = g_strdup_printf("room '%s'", channel->job->channel);
        g_autoptr(GError) refused = janus_encrypted_error(room, "require_e2ee");
        janus_channel_lost(channel, refused);
    } else if (channel->requires_private_id) {
        janus_channel_need_private_id(channel);
    } else {
        joined(channel);
    }
}

static void on_participants(gpointer user, const JanusReply *reply)
{
    JanusChannel *channel = user;
    json_t *participants = json_object_get(reply->data, "participants");
    g_clear_pointer(&channel->joined_with, json_decref);
    if (json_is_array(participants)) {
        channel->joined_with = json_incref(participants);
    } else {
        g_clear_error(&channel->join_error);
        channel->join_error = janus_room_error(channel, reply);
        channel->id_refused = reply->code == VIDEOROOM_INVALID_ELEMENT;
    }
    decide(channel);
}

/* Nobody has the feed that we asked for: 428 says that the room's token and pin, which are looked at before, are right.
 */
static void on_probed(gpointer user, const JanusReply *reply)
{
    JanusChannel *channel = user;
    if (reply->error && reply->code != VIDEOROOM_NO_SUCH_FEED && !channel->join_error)
        channel->join_error = janus_room_error(channel, reply);
    decide(channel);
}

static void on_rooms(gpointer user, const JanusReply *reply)
{
    JanusChannel *channel = user;
    json_t *wanted = janus_room_id(channel), *room;
    gsize i;
    channel->requires_private_id = channel->requires_encryption = FALSE;
    /* Private rooms are not in the list: those tell it when the first participant is subscribed to. */
    json_array_foreach (json_object_get(reply->data, "list"), i, room) {
        if (!json_equal(json_object_get(room, "room"), wanted))
            continue;
        channel->requires_private_id = json_is_true(json_object_get(room, "require_pvtid"));
        channel->requires_encryption = json_is_true(json_object_get(room, "require_e2ee"));
    }
    json_decref(wanted);
    decide(channel);
}

static void ask_room(JanusChannel *channel)
{
    /* In one go, since each is a round trip: is it there, may we subscribe, does it want to see us? */
    json_t *nobody = channel->ids_are_strings ? json_string("steno-nobody") : json_integer(0);
    json_t *probe = janus_join_request(channel, "subscriber");
    json_object_set_new(probe, "streams", json_pack("[{s:o}]", "feed", nobody));
    channel->pending = 3;
    channel->id_refused = FALSE;
    janus_api_message(channel->api, channel->control, janus_room_request(channel, "listparticipants"), NULL,
                      on_participants, channel);
    janus_api_message(channel->api, channel->control, probe, NULL, on_probed, channel);
    janus_api_message(channel->api, channel->control, json_pack("{s:s}", "request", "list"), NULL, on_rooms, channel);
}

static void on_attached(gpointer user, const JanusReply *reply)
{
    JanusChannel *channel = user;
    if (reply->error) {
        janus_channel_lost(channel, reply->error);
        return;
    }
    channel->control = json_integer_value(json_object_get(reply->data, "id"));
    ask_room(channel);
}

static void on_created(gpointer user)
{
    JanusChannel *channel = user;
    janus_api_attach(channel->api, on_attached, channel);
}

static void on_event(gpointer user, gint64 handle, json_t *event)
{
    JanusChannel *channel = user;
    const char *kind = json_string_value(json_object_get(event, "janus"));
    json_t *data = json_object_get(json_object_get(event, "plugindata"), "data");
    if (handle == channel->control) {
        if (g_strcmp0(json_string_value(json_object_get(data, "videoroom")), "destroyed") == 0)
            janus_channel_ended(channel);
        else
            steno_debug(channel->log, "control handle: %s", kind ? kind : "?");
        return;
    }
    GHashTableIter iter;
    gpointer subscriber;
    g_hash_table_iter_init(&iter, channel->subscribers);
    while (g_hash_table_iter_next(&iter, &subscriber, NULL)) {
        if (((JanusSubscriber *)subscriber)->handle == handle) {
            janus_subscriber_event(subscriber, event);
            return;
        }
    }
}

static void on_lost(gpointer user, int code, const GError *error)
{
    (void)code;
    janus_channel_lost(user, error);
}

static const JanusApiEvents api_events = {
    .enter = enter, .leave = leave, .created = on_created, .event = on_event, .lost = on_lost};

static void connect_session(JanusChannel *channel)
{
    enter(channel);
    g_autoptr(GError) error = NULL;
    if (janus_credentials_check(channel->credentials, &error))
        channel->api = janus_api_new(channel->http, channel->context, channel->url, channel->credentials, channel->log,
                                     &api_events, channel);
    else
        janus_channel_lost(channel, error);
    leave(channel);
}

/* ---- the connector ----------------------------------------------------------------------------------------------- */

static char *read_url(const char *url, GError **error)
{
    gboolean http =
        url && (g_ascii_strncasecmp(url, "http://", 7) == 0 || g_ascii_strncasecmp(url, "https://", 8) == 0);
    if (!http || strpbrk(url, "?#@ ")) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_USAGE,
                    "--url of a Janus must look like http(s)://host[:port]/janus, without user, query or fragment");
        return NULL;
    }
    char *copy = g_strdup(url);
    for (gsize bytes = strlen(copy); bytes > 0 && copy[bytes - 1] == '/'; bytes--)
        copy[bytes - 1] = '\0';
    return copy;
}

static StenoChannel *janus_open(const StenoJobSpec *job, const StenoGeofence *geofence, const StenoLog *log,
                                const StenoChannelEvents *events, gpointer user, GError **error)
{
    if (!job->channel || job->channel[0] == '\0') {
        g_set_error(error, STENO_ERROR, STENO_ERROR_USAGE, "--channel, the room of the Janus, is missing");
        return NULL;
    }
    char *url = read_url(job->url, error);
    if (!url)
        return NULL;
    JanusChannel *channel = g_new0(JanusChannel, 1);
    channel->base.connector = &steno_connector_janus;
    channel->references = 1;
    channel->job = job;
    channel->log = steno_log_new(log, "janus");
    channel->events = *events;
    channel->user = user;
    channel->context = g_main_context_ref_thread_default();
    channel->url = url;
    channel->credentials = janus_credentials_new(job);
    const char *ca_file = job->ca_file && job->ca_file[0] ? job->ca_file : NULL;
    channel->http = steno_http_new(channel->context, ca_file, (StenoGeofence *)geofence, channel->log);
    /* 15 digits: what a JSON number, and Janus, keep exactly. */
    gsize digits = strspn(job->channel, "0123456789");
    channel->ids_are_strings = job->channel[digits] != '\0' || digits > 15;
    channel->participants =
        g_hash_table_new_full(g_str_hash, g_str_equal, NULL, (GDestroyNotify)janus_participant_free);
    channel->subscribers = g_hash_table_new_full(NULL, NULL, (GDestroyNotify)janus_subscriber_free, NULL);
    start_timer(channel, 0, on_reconnect);
    return &channel->base;
}

static JanusSubscriber *find_peer(JanusChannel *channel, guint32 peer)
{
    GHashTableIter iter;
    gpointer subscriber;
    g_hash_table_iter_init(&iter, channel->subscribers);
    while (g_hash_table_iter_next(&iter, &subscriber, NULL)) {
        if (((JanusSubscriber *)subscriber)->peer == peer)
            return subscriber;
    }
    return NULL;
}

static void janus_answer(StenoChannel *base, guint32 peer, const StenoTransportLocal *local)
{
    JanusSubscriber *subscriber = find_peer((JanusChannel *)base, peer);
    if (subscriber)
        janus_subscriber_answer(subscriber, local);
}

static void janus_peer_failed(StenoChannel *base, guint32 peer, const GError *why)
{
    JanusChannel *channel = (JanusChannel *)base;
    JanusSubscriber *subscriber = find_peer(channel, peer);
    enter(channel);
    if (subscriber)
        janus_subscriber_failed(subscriber, why);
    leave(channel);
}

static void janus_update(StenoChannel *base)
{
    JanusChannel *channel = (JanusChannel *)base;
    GHashTableIter iter;
    gpointer participant, subscriber;
    g_hash_table_iter_init(&iter, channel->participants);
    while (g_hash_table_iter_next(&iter, NULL, &participant))
        ((JanusParticipant *)participant)->not_before_mono_us = 0;
    /* Who is not wanted at all any more, or is again, is dealt with when the next list of participants comes. */
    g_hash_table_iter_init(&iter, channel->subscribers);
    while (g_hash_table_iter_next(&iter, &subscriber, NULL)) {
        janus_streams_choose(subscriber);
        janus_subscriber_reconcile(subscriber);
    }
}

static void janus_picture(StenoChannel *base, guint32 peer, const char *mid, guint width, guint height)
{
    JanusSubscriber *subscriber = find_peer((JanusChannel *)base, peer);
    (void)width;
    if (!subscriber)
        return;
    janus_streams_picture(subscriber, mid, height);
    janus_subscriber_reconcile(subscriber);
}

static void janus_close(StenoChannel *base)
{
    JanusChannel *channel = (JanusChannel *)base;
    channel->closed = TRUE;
    stop_timer(channel);
    steno_http_drop_all(channel->http);
    JanusApi *api = channel->api ? channel->api : channel->ended_api;
    if (api)
        janus_api_destroy(api, LEAVE_TIMEOUT_MS);
    drop_session(channel);
    janus_api_free(g_steal_pointer(&channel->ended_api));
    leave(channel);
}

const StenoConnector steno_connector_janus = {
    .platform = "janus",
    .words = "Janus VideoRoom (1.x) over its HTTP API",
    .open = janus_open,
    .answer = janus_answer,
    .peer_failed = janus_peer_failed,
    .update = janus_update,
    .picture = janus_picture,
    .close = janus_close,
};
