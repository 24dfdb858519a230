/*
 * One participant's media: a subscriber handle, which is one PeerConnection. Janus offers, we answer. Streams that a
 * participant drops come as a new offer; streams that it adds do not: they have to be looked for.
 */
#include "janus_private.h"

#include "steno/base/clock.h"
#include "steno/base/error.h"

#include <string.h>

#define FAILURE_FIRST_MS 250
#define NOTHING_TO_RECORD_RETRY_US (10 * G_USEC_PER_SEC)
#define UPDATING_MAX_US (5 * G_USEC_PER_SEC)

void janus_subscriber_free(JanusSubscriber *subscriber)
{
    if (subscriber->participant)
        subscriber->participant->subscriber = NULL;
    g_clear_pointer(&subscriber->offer, steno_sdp_free);
    g_ptr_array_unref(subscriber->streams);
    json_decref(subscriber->first_jsep);
    g_free(subscriber->duplicate);
    g_free(subscriber);
}

void janus_subscriber_drop(JanusSubscriber *subscriber, gboolean wait)
{
    JanusChannel *channel = subscriber->channel;
    JanusParticipant *participant = subscriber->participant;
    guint32 peer = subscriber->peer;
    if (participant && wait) {
        guint64 delay_ms = (guint64)FAILURE_FIRST_MS << MIN(participant->failures, 10);
        participant->failures++;
        participant->not_before_mono_us =
            steno_clock_mono_us() + (gint64)MIN(delay_ms, STENO_CHANNEL_RECONNECT_BACKOFF_MAX_MS) * 1000;
    }
    if (channel->api && !subscriber->handle) {
        /* The handle is on its way; it can be detached only when it has come. */
        if (participant)
            participant->subscriber = NULL;
        subscriber->participant = NULL;
        return;
    }
    if (channel->api) {
        janus_api_forget(channel->api, subscriber);
        janus_api_detach(channel->api, subscriber->handle);
    }
    g_hash_table_remove(channel->subscribers, subscriber);
    if (peer && !channel->closed)
        channel->events.peer_closed(channel->user, peer);
}

/* ---- what it sends ----------------------------------------------------------------------------------------------- */

/* The number of a mid that is one, else -1. */
static gint64 mid_number(const char *mid)
{
    gsize digits = mid ? strspn(mid, "0123456789") : 0;
    return digits > 0 && digits <= 9 && mid[digits] == '\0' ? g_ascii_strtoll(mid, NULL, 10) : -1;
}

/* Asks at most so far: browsers count up from what they have. */
static void note_mids(JanusSubscriber *subscriber)
{
    for (guint i = 0; i < subscriber->streams->len; i++) {
        const JanusStream *stream = subscriber->streams->pdata[i];
        subscriber->newest_mid = MAX(subscriber->newest_mid, mid_number(stream->feed_mid));
    }
}

static gboolean has_media(const JanusSubscriber *subscriber, const StenoSdp *offer)
{
    for (guint i = 0; i < offer->media->len; i++) {
        const StenoSdpMedia *media = g_ptr_array_index(offer->media, i);
        gboolean wanted = janus_wants(subscriber->channel, subscriber->participant, strcmp(media->kind, "video") == 0);
        for (guint j = 0; wanted && j < media->formats->len; j++) {
            const StenoSdpFormat *format = g_ptr_array_index(media->formats, j);
            if (format->codec != STENO_CODEC_UNKNOWN)
                return TRUE;
        }
    }
    return FALSE;
}

/* An offer that cannot be taken. The subscriber is gone when it returns. */
static void refuse_offer(JanusSubscriber *subscriber, const GError *error)
{
    JanusChannel *channel = subscriber->channel;
    const JanusParticipant *participant = subscriber->participant;
    steno_warning(channel->log, "participant %s: Janus' offer cannot be used: %s", participant->id, error->message);
    channel->events.participant_failed(channel->user, participant->id, error);
    janus_subscriber_drop(subscriber, TRUE);
}

/*
 * The participant's media is marked as encrypted by itself. When it is the first, the channel is taken for such a one;
 * those who come later cannot end what is recorded of others with that.
 */
static void refuse_encrypted(JanusSubscriber *subscriber)
{
    JanusChannel *channel = subscriber->channel;
    g_autofree char *who = g_strdup_printf("participant %s", subscriber->participant->id);
    g_autoptr(GError) error = janus_encrypted_error(who, "e2ee in its offer");
    if (channel->last_peer == 0)
        janus_channel_lost(channel, error);
    else
        refuse_offer(subscriber, error);
}

/* Gives an offer to the session. The subscriber may be gone when it returns. */
static void take_offer(JanusSubscriber *subscriber, json_t *jsep)
{
    JanusChannel *channel = subscriber->channel;
    JanusParticipant *participant = subscriber->participant;
    const char *text = json_string_value(json_object_get(jsep, "sdp"));
    if (json_is_true(json_object_get(jsep, "e2ee")) && janus_refuses_encrypted(channel)) {
        refuse_encrypted(subscriber);
        return;
    }
    g_autoptr(GError) error = NULL;
    StenoSdp *offer = text ? steno_sdp_parse(text, strlen(text), &error) : NULL;
    if (!offer) {
        if (!error)
            error = g_error_new_literal(STENO_ERROR, STENO_ERROR_PROTOCOL, "Janus' offer has no session description");
        refuse_offer(subscriber, error);
        return;
    }
    g_clear_pointer(&subscriber->offer, steno_sdp_free);
    subscriber->offer = offer;
    if (!subscriber->peer && !has_media(subscriber, offer)) {
        steno_info(channel->log, "participant %s sends nothing that can be recorded", participant->id);
        janus_subscriber_drop(subscriber, FALSE);
        participant->not_before_mono_us = steno_clock_mono_us() + NOTHING_TO_RECORD_RETRY_US;
        return;
    }
    janus_streams_silence(subscriber, offer);
    if (!subscriber->peer)
        subscriber->peer = ++channel->last_peer;
    subscriber->awaits_answer = TRUE;
    channel->events.peer_offer(channel->user, subscriber->peer, participant->id, offer);
}

static void on_unsubscribed(gpointer user, const JanusReply *reply);

/* Those that changed while nothing could be asked. */
static void tell_wishes(JanusSubscriber *subscriber)
{
    if (subscriber->wishes_wait)
        janus_subscriber_reconcile(subscriber);
}

/* A new offer or the news that streams have changed. The subscriber may be gone when it returns. */
static void take_update(JanusSubscriber *subscriber, json_t *data, json_t *jsep)
{
    JanusChannel *channel = subscriber->channel;
    JanusParticipant *participant = subscriber->participant;
    const json_t *streams = json_object_get(data, "streams");
    const char *duplicate = NULL;
    /* What was asked for was taken, and is told with the next offer, behind our answer to this one. */
    if (g_strcmp0(json_string_value(json_object_get(data, "videoroom")), "updating") == 0)
        subscriber->updating_until_mono_us = steno_clock_mono_us() + UPDATING_MAX_US;
    else if (json_is_array(streams))
        subscriber->updating_until_mono_us = 0;
    if (json_is_array(streams) && janus_streams_read(subscriber, streams, &duplicate) == 0) {
        /* It stopped publishing, or sends nothing that is wanted. What comes then is a new PeerConnection. */
        if (subscriber->streams->len > 0)
            participant->not_before_mono_us = steno_clock_mono_us() + NOTHING_TO_RECORD_RETRY_US;
        janus_subscriber_drop(subscriber, FALSE);
        return;
    }
    note_mids(subscriber);
    if (duplicate && !subscriber->duplicate) {
        subscriber->duplicate = g_strdup(duplicate);
        json_t *body = json_pack("{s:s, s:[{s:s}]}", "request", "unsubscribe", "streams", "sub_mid", duplicate);
        janus_api_message(channel->api, subscriber->handle, body, NULL, on_unsubscribed, subscriber);
    }
    if (jsep)
        take_offer(subscriber, jsep);
    else
        tell_wishes(subscriber);
}

static void on_unsubscribed(gpointer user, const JanusReply *reply)
{
    JanusSubscriber *subscriber = user;
    g_clear_pointer(&subscriber->duplicate, g_free);
    if (reply->error) {
        steno_debug(subscriber->channel->log, "peer %u: %s", subscriber->peer, reply->error->message);
        tell_wishes(subscriber);
    } else {
        take_update(subscriber, reply->data, reply->jsep);
    }
}

/* ---- subscribing ------------------------------------------------------------------------------------------------- */

static void join_refused(JanusSubscriber *subscriber, const JanusReply *reply)
{
    JanusChannel *channel = subscriber->channel;
    if (janus_is_private_id_error(reply)) {
        janus_subscriber_drop(subscriber, TRUE);
        if (!channel->closed)
            janus_channel_need_private_id(channel);
        return;
    }
    if (reply->code == VIDEOROOM_UNAUTHORIZED || reply->code == VIDEOROOM_MISSING_ELEMENT) {
        g_autoptr(GError) error = janus_room_error(channel, reply);
        janus_channel_lost(channel, error);
        return;
    }
    /* It left, or has not yet begun, in the meantime: the next list will tell. */
    gboolean wait = reply->code != VIDEOROOM_NO_SUCH_FEED && reply->code != VIDEOROOM_NO_SUCH_ROOM;
    if (wait)
        steno_warning(channel->log, "cannot subscribe to participant %s: %s", subscriber->participant->id,
                      reply->error ? reply->error->message : "no offer came");
    janus_subscriber_drop(subscriber, wait);
}

static void on_first_unsubscribed(gpointer user, const JanusReply *reply)
{
    JanusSubscriber *subscriber = user;
    json_t *first = g_steal_pointer(&subscriber->first_jsep);
    if (reply->error)
        janus_subscriber_drop(subscriber, TRUE);
    else
        take_update(subscriber, reply->data, reply->jsep ? reply->jsep : first);
    json_decref(first);
}

static void on_joined(gpointer user, const JanusReply *reply)
{
    JanusSubscriber *subscriber = user;
    const char *duplicate = NULL;
    if (reply->error || !reply->jsep) {
        join_refused(subscriber, reply);
        return;
    }
    (void)janus_streams_read(subscriber, json_object_get(reply->data, "streams"), &duplicate);
    json_t *unsubscribe = janus_streams_unsubscribe(subscriber);
    if (!unsubscribe) {
        take_update(subscriber, reply->data, reply->jsep);
        return;
    }
    /* Before anything flows. Janus makes another offer only when this one is answered. */
    note_mids(subscriber);
    subscriber->first_jsep = json_incref(reply->jsep);
    janus_api_message(subscriber->channel->api, subscriber->handle, unsubscribe, NULL, on_first_unsubscribed,
                      subscriber);
}

static void on_attached(gpointer user, const JanusReply *reply)
{
    JanusSubscriber *subscriber = user;
    JanusChannel *channel = subscriber->channel;
    subscriber->handle = json_integer_value(json_object_get(reply->data, "id"));
    if (!subscriber->handle) {
        steno_warning(channel->log, "cannot attach to Janus' VideoRoom: %s",
                      reply->error ? reply->error->message : "no handle came");
        if (subscriber->participant)
            subscriber->participant->not_before_mono_us = steno_clock_mono_us() + G_USEC_PER_SEC;
        g_hash_table_remove(channel->subscribers, subscriber);
        return;
    }
    if (!subscriber->participant) {
        janus_subscriber_drop(subscriber, FALSE);
        return;
    }
    json_t *body = janus_join_request(channel, "subscriber");
    json_object_set_new(body, "use_msid", json_true());
    json_object_set_new(body, "autoupdate", json_true());
    json_object_set_new(body, "streams", json_pack("[o]", janus_stream_request(subscriber, NULL)));
    if (channel->private_id)
        json_object_set_new(body, "private_id", json_integer(channel->private_id));
    janus_api_message(channel->api, subscriber->handle, body, NULL, on_joined, subscriber);
}

void janus_subscriber_new(JanusChannel *channel, JanusParticipant *participant)
{
    JanusSubscriber *subscriber = g_new0(JanusSubscriber, 1);
    subscriber->channel = channel;
    subscriber->participant = participant;
    subscriber->newest_mid = -1;
    subscriber->streams = g_ptr_array_new_with_free_func(janus_stream_free);
    participant->subscriber = subscriber;
    g_hash_table_add(channel->subscribers, subscriber);
    janus_api_attach(channel->api, on_attached, subscriber);
}

static void on_started(gpointer user, const JanusReply *reply)
{
    JanusSubscriber *subscriber = user;
    if (!reply->error) {
        subscriber->started = TRUE;
        janus_subscriber_reconcile(subscriber);
        return;
    }
    steno_warning(subscriber->channel->log, "peer %u: Janus did not take our answer: %s", subscriber->peer,
                  reply->error->message);
    janus_subscriber_drop(subscriber, TRUE);
}

void janus_subscriber_answer(JanusSubscriber *subscriber, const StenoTransportLocal *local)
{
    JanusChannel *channel = subscriber->channel;
    if (!channel->api || !subscriber->awaits_answer)
        return;
    subscriber->awaits_answer = subscriber->started = FALSE;
    g_autofree char *sdp = steno_sdp_answer(subscriber->offer, local);
    json_t *jsep = json_pack("{s:s, s:s, s:b}", "type", "answer", "sdp", sdp, "trickle", 0);
    janus_api_message(channel->api, subscriber->handle, json_pack("{s:s}", "request", "start"), jsep, on_started,
                      subscriber);
}

/* ---- changed wishes ---------------------------------------------------------------------------------------------- */

static gboolean can_ask(const JanusSubscriber *subscriber)
{
    return subscriber->participant && subscriber->channel->api && subscriber->started && !subscriber->awaits_answer &&
           !subscriber->probing && !subscriber->asking && !subscriber->duplicate &&
           steno_clock_mono_us() >= subscriber->updating_until_mono_us;
}

static void on_asked(gpointer user, const JanusReply *reply)
{
    JanusSubscriber *subscriber = user;
    subscriber->asking = FALSE;
    if (reply->error) {
        steno_info(subscriber->channel->log, "peer %u: the subscription cannot be changed: %s", subscriber->peer,
                   reply->error->message);
        janus_streams_forget_lost(subscriber);
        tell_wishes(subscriber);
    } else {
        take_update(subscriber, reply->data, reply->jsep);
    }
}

void janus_subscriber_reconcile(JanusSubscriber *subscriber)
{
    subscriber->wishes_wait = !can_ask(subscriber);
    json_t *request = subscriber->wishes_wait ? NULL : janus_streams_next_request(subscriber);
    if (!request)
        return;
    subscriber->asking = TRUE;
    janus_api_message(subscriber->channel->api, subscriber->handle, request, NULL, on_asked, subscriber);
}

/* ---- new streams ------------------------------------------------------------------------------------------------- */

static void on_probed(gpointer user, const JanusReply *reply)
{
    JanusSubscriber *subscriber = user;
    subscriber->probing = FALSE;
    if (reply->error)
        tell_wishes(subscriber);
    else
        take_update(subscriber, reply->data, reply->jsep);
}

/*
 * Nobody tells an unseen subscriber of a new stream. But browsers count mids up: asking for the next one fails with "no
 * such mid", without an effect on anybody, until it is there; then that was the subscription. Each fourth time one
 * further on is tried, since mids that were rolled back leave holes.
 */
void janus_subscriber_probe(JanusSubscriber *subscriber)
{
    JanusChannel *channel = subscriber->channel;
    tell_wishes(subscriber);
    if (!can_ask(subscriber) || subscriber->newest_mid < 0)
        return;
    guint count = subscriber->probes++;
    gint64 ahead = count % 4 == 3 ? 2 + count / 4 % 3 : 1;
    g_autofree char *mid = g_strdup_printf("%" G_GINT64_FORMAT, subscriber->newest_mid + ahead);
    json_t *body = json_pack("{s:s, s:[o]}", "request", "subscribe", "streams", janus_stream_request(subscriber, mid));
    subscriber->probing = TRUE;
    janus_api_message(channel->api, subscriber->handle, body, NULL, on_probed, subscriber);
}

/* ---- events ------------------------------------------------------------------------------------------------------ */

static void tell_layer(JanusSubscriber *subscriber, json_t *data)
{
    static const char *const names[] = {"substream", "temporal", "spatial_layer", "temporal_layer"};
    JanusChannel *channel = subscriber->channel;
    json_t *detail = json_object();
    for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
        json_t *value = json_object_get(data, names[i]);
        if (json_is_integer(value))
            json_object_set(detail, names[i], value);
    }
    const char *mid = json_string_value(json_object_get(data, "mid"));
    json_t *layer = json_object_get(detail, "substream");
    layer = layer ? layer : json_object_get(detail, "spatial_layer");
    if (layer)
        janus_streams_layer(subscriber, mid, json_integer_value(layer));
    if (json_object_size(detail) > 0 && subscriber->peer)
        channel->events.stream_event(channel->user, subscriber->peer, mid, "layer", detail);
    json_decref(detail);
}

void janus_subscriber_event(JanusSubscriber *subscriber, json_t *event)
{
    JanusChannel *channel = subscriber->channel;
    const char *kind = json_string_value(json_object_get(event, "janus"));
    json_t *data = json_object_get(json_object_get(event, "plugindata"), "data");
    if (!subscriber->participant)
        return;
    if (g_strcmp0(kind, "event") == 0) {
        if (g_strcmp0(json_string_value(json_object_get(data, "videoroom")), "updated") == 0)
            take_update(subscriber, data, json_object_get(event, "jsep"));
        else
            tell_layer(subscriber, data);
    } else if (g_strcmp0(kind, "webrtcup") == 0) {
        subscriber->up = TRUE;
        subscriber->restarted = FALSE;
        subscriber->participant->failures = 0;
    } else if (g_strcmp0(kind, "hangup") == 0 || g_strcmp0(kind, "detached") == 0) {
        const char *reason = json_string_value(json_object_get(event, "reason"));
        steno_info(channel->log, "peer %u: Janus hung up (%s)", subscriber->peer, reason ? reason : kind);
        janus_subscriber_drop(subscriber, TRUE);
    } else {
        steno_debug(channel->log, "peer %u: %s", subscriber->peer, kind ? kind : "?");
    }
}

static void on_restarted(gpointer user, const JanusReply *reply)
{
    JanusSubscriber *subscriber = user;
    if (reply->error || !reply->jsep)
        janus_subscriber_drop(subscriber, TRUE);
    else
        take_offer(subscriber, reply->jsep);
}

void janus_subscriber_failed(JanusSubscriber *subscriber, const GError *why)
{
    JanusChannel *channel = subscriber->channel;
    gboolean path = !why || g_error_matches(why, STENO_ERROR, STENO_ERROR_MEDIA_UNREACHABLE);
    /* New candidates may find another path; that does not help against a wrong certificate, nor twice. */
    if (channel->api && path && subscriber->up && !subscriber->restarted && !subscriber->awaits_answer) {
        subscriber->restarted = TRUE;
        json_t *body = json_pack("{s:s, s:b}", "request", "configure", "restart", 1);
        janus_api_message(channel->api, subscriber->handle, body, NULL, on_restarted, subscriber);
        return;
    }
    steno_info(channel->log, "peer %u failed, subscribing anew: %s", subscriber->peer, why ? why->message : "");
    janus_subscriber_drop(subscriber, TRUE);
}
