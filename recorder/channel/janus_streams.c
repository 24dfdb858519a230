/*
 * The streams of a subscription: which there are, which are wanted, and in which size. What is not wanted is
 * unsubscribed; what is wanted again is subscribed to by its mid.
 */
#include "janus_private.h"

#include <string.h>

#define BEST_LAYER (JANUS_LAYERS - 1)

void janus_stream_free(gpointer data)
{
    JanusStream *stream = data;
    g_free(stream->mid);
    g_free(stream->feed_mid);
    g_free(stream);
}

gboolean janus_wants(const JanusChannel *channel, const JanusParticipant *participant, gboolean video)
{
    return steno_job_spec_wants(channel->job, video, participant->id, participant->name);
}

static JanusStream *find_stream(const JanusSubscriber *subscriber, const char *feed_mid)
{
    for (guint i = 0; i < subscriber->streams->len; i++) {
        JanusStream *stream = subscriber->streams->pdata[i];
        if (strcmp(stream->feed_mid, feed_mid) == 0)
            return stream;
    }
    return NULL;
}

/* With a ceiling the lowest layer comes first: what is above it is never recorded. */
static guint first_layer(const JanusSubscriber *subscriber)
{
    return subscriber->channel->job->max_height > 0 ? 0 : BEST_LAYER;
}

static JanusStream *add_stream(JanusSubscriber *subscriber, const char *feed_mid)
{
    JanusStream *stream = g_new0(JanusStream, 1);
    stream->feed_mid = g_strdup(feed_mid);
    stream->wanted_layer = stream->asked_layer = first_layer(subscriber);
    stream->layer = -1;
    g_ptr_array_add(subscriber->streams, stream);
    return stream;
}

/* Of an active stream of the list. FALSE when another has the same feed mid. */
static gboolean take_stream(JanusSubscriber *subscriber, const json_t *listed, const char *feed_mid)
{
    const char *mid = json_string_value(json_object_get(listed, "mid"));
    JanusStream *stream = find_stream(subscriber, feed_mid);
    if (stream && stream->active)
        return FALSE;
    if (!stream && subscriber->streams->len >= STENO_SDP_MEDIA_MAX)
        return TRUE;
    if (!stream)
        stream = add_stream(subscriber, feed_mid);
    stream->active = TRUE;
    if (!subscriber->asking) /* else the list may be older than what was asked for */
        stream->given_up = FALSE;
    stream->video = g_strcmp0(json_string_value(json_object_get(listed, "type")), "video") == 0;
    g_free(stream->mid);
    stream->mid = g_strdup(mid ? mid : "");
    return TRUE;
}

guint janus_streams_read(JanusSubscriber *subscriber, const json_t *list, const char **duplicate)
{
    guint active = 0;
    gsize i;
    const json_t *listed;
    for (i = 0; i < subscriber->streams->len; i++)
        ((JanusStream *)subscriber->streams->pdata[i])->active = FALSE;
    json_array_foreach (list, i, listed) {
        if (!json_is_true(json_object_get(listed, "active")))
            continue;
        active++;
        const char *mid = json_string_value(json_object_get(listed, "mid"));
        const char *feed_mid = json_string_value(json_object_get(listed, "feed_mid"));
        if (subscriber->duplicate && g_strcmp0(mid, subscriber->duplicate) == 0)
            continue;
        if (feed_mid && !take_stream(subscriber, listed, feed_mid))
            *duplicate = mid;
    }
    janus_streams_forget_lost(subscriber);
    return active;
}

/* Those that are away, and not by our will, are away for good: under that mid nothing comes again. */
void janus_streams_forget_lost(JanusSubscriber *subscriber)
{
    for (guint i = subscriber->streams->len; i-- > 0;) {
        const JanusStream *stream = subscriber->streams->pdata[i];
        if (!stream->active && !stream->given_up)
            g_ptr_array_remove_index(subscriber->streams, i);
    }
}

void janus_streams_silence(JanusSubscriber *subscriber, StenoSdp *offer)
{
    for (guint i = 0; i < offer->media->len; i++) {
        StenoSdpMedia *media = g_ptr_array_index(offer->media, i);
        gboolean wanted = janus_wants(subscriber->channel, subscriber->participant, strcmp(media->kind, "video") == 0);
        if (!wanted)
            media->direction = STENO_SDP_INACTIVE;
        for (guint s = 0; s < subscriber->streams->len; s++) {
            JanusStream *stream = subscriber->streams->pdata[s];
            if (g_strcmp0(stream->mid, media->mid) == 0)
                stream->silenced = !wanted;
        }
    }
}

/* ---- asking ------------------------------------------------------------------------------------------------------ */

json_t *janus_stream_request(const JanusSubscriber *subscriber, const char *feed_mid)
{
    int layer = (int)first_layer(subscriber);
    json_t *request = json_pack("{s:O, s:i, s:i, s:i, s:i}", "feed", subscriber->participant->feed, "substream", layer,
                                "temporal", 2, "spatial_layer", layer, "temporal_layer", 2);
    if (feed_mid)
        json_object_set_new(request, "mid", json_string(feed_mid));
    return request;
}

static gboolean is_wanted(const JanusSubscriber *subscriber, const JanusStream *stream)
{
    return janus_wants(subscriber->channel, subscriber->participant, stream->video);
}

json_t *janus_streams_unsubscribe(JanusSubscriber *subscriber)
{
    json_t *list = json_array();
    for (guint i = 0; i < subscriber->streams->len; i++) {
        JanusStream *stream = subscriber->streams->pdata[i];
        /* What sleeps in our answer, and is wanted since, is woken up by being subscribed to anew. */
        if (!stream->active || (is_wanted(subscriber, stream) && !stream->silenced))
            continue;
        stream->given_up = TRUE;
        json_array_append_new(list, json_pack("{s:s}", "sub_mid", stream->mid));
    }
    if (json_array_size(list) > 0)
        return json_pack("{s:s, s:o}", "request", "unsubscribe", "streams", list);
    json_decref(list);
    return NULL;
}

static json_t *subscribe_again(JanusSubscriber *subscriber)
{
    json_t *list = json_array();
    for (guint i = 0; i < subscriber->streams->len; i++) {
        JanusStream *stream = subscriber->streams->pdata[i];
        if (stream->active || !is_wanted(subscriber, stream))
            continue;
        stream->given_up = FALSE; /* asked for once: when it does not come, it is no more */
        stream->wanted_layer = stream->asked_layer = first_layer(subscriber);
        stream->layer = -1;
        json_array_append_new(list, janus_stream_request(subscriber, stream->feed_mid));
    }
    if (json_array_size(list) > 0)
        return json_pack("{s:s, s:o}", "request", "subscribe", "streams", list);
    json_decref(list);
    return NULL;
}

static json_t *choose_layers(JanusSubscriber *subscriber)
{
    json_t *list = json_array();
    for (guint i = 0; i < subscriber->streams->len; i++) {
        JanusStream *stream = subscriber->streams->pdata[i];
        if (!stream->active || stream->wanted_layer == stream->asked_layer)
            continue;
        stream->asked_layer = stream->wanted_layer;
        int layer = (int)stream->wanted_layer;
        json_array_append_new(
            list, json_pack("{s:s, s:i, s:i}", "mid", stream->mid, "substream", layer, "spatial_layer", layer));
    }
    if (json_array_size(list) > 0)
        return json_pack("{s:s, s:o}", "request", "configure", "streams", list);
    json_decref(list);
    return NULL;
}

json_t *janus_streams_next_request(JanusSubscriber *subscriber)
{
    json_t *request = janus_streams_unsubscribe(subscriber);
    if (!request)
        request = subscribe_again(subscriber);
    return request ? request : choose_layers(subscriber);
}

/* ---- sizes ------------------------------------------------------------------------------------------------------- */

/*
 * What has not been seen is taken for twice, or half, as high as its neighbour: so senders make them. Janus counts from
 * the lowest when the sender names its layers from the highest, as Janus wants it; the other way round when it does
 * not.
 */
static guint estimate(const JanusStream *stream, guint layer)
{
    guint nearest = JANUS_LAYERS;
    gboolean descending = FALSE;
    for (guint i = 0; i < JANUS_LAYERS; i++) {
        if (stream->heights[i] == 0)
            continue;
        for (guint above = i + 1; above < JANUS_LAYERS; above++)
            descending |= stream->heights[above] > 0 && stream->heights[above] < stream->heights[i];
        if (nearest == JANUS_LAYERS || ABS((int)i - (int)layer) < ABS((int)nearest - (int)layer))
            nearest = i;
    }
    if (nearest == JANUS_LAYERS)
        return 0;
    gboolean higher = (layer > nearest) != descending;
    guint steps = (guint)ABS((int)layer - (int)nearest);
    return higher || steps == 0 ? stream->heights[nearest] << steps : MAX(stream->heights[nearest] >> steps, 1);
}

static void choose_layer(JanusStream *stream, gint64 max_height)
{
    guint best = stream->wanted_layer, best_height = 0, lowest = stream->wanted_layer, lowest_height = G_MAXUINT;
    for (guint layer = 0; layer < JANUS_LAYERS; layer++) {
        guint height = estimate(stream, layer);
        if (height == 0)
            return; /* nothing is known yet */
        if (height > best_height && (max_height == 0 || height <= max_height)) {
            best = layer;
            best_height = height;
        }
        if (height < lowest_height) {
            lowest = layer;
            lowest_height = height;
        }
    }
    if (best_height > 0) {
        stream->wanted_layer = best;
        return;
    }
    /* All seem too high: the lowest, or, when even that one has been seen to be, one that has not been seen. */
    stream->wanted_layer = lowest;
    for (guint layer = 0; stream->layer >= 0 && stream->heights[lowest] > 0 && layer < JANUS_LAYERS; layer++) {
        if (stream->heights[layer] == 0) {
            stream->wanted_layer = layer;
            return;
        }
    }
}

void janus_streams_picture(JanusSubscriber *subscriber, const char *mid, guint height)
{
    for (guint i = 0; i < subscriber->streams->len; i++) {
        JanusStream *stream = subscriber->streams->pdata[i];
        if (!stream->active || !stream->video || strcmp(stream->mid, mid) != 0)
            continue;
        guint layer = stream->layer >= 0 ? (guint)stream->layer : stream->wanted_layer;
        if (stream->heights[layer] != height && stream->heights[layer] != 0)
            memset(stream->heights, 0, sizeof stream->heights); /* the camera has another size now */
        stream->heights[layer] = MIN(height, G_MAXUINT16);
        choose_layer(stream, subscriber->channel->job->max_height);
    }
}

void janus_streams_layer(JanusSubscriber *subscriber, const char *mid, gint64 layer)
{
    for (guint i = 0; mid && layer >= 0 && layer < JANUS_LAYERS && i < subscriber->streams->len; i++) {
        JanusStream *stream = subscriber->streams->pdata[i];
        if (stream->active && strcmp(stream->mid, mid) == 0)
            stream->layer = (int)layer;
    }
}

void janus_streams_choose(JanusSubscriber *subscriber)
{
    for (guint i = 0; i < subscriber->streams->len; i++) {
        JanusStream *stream = subscriber->streams->pdata[i];
        if (stream->video)
            choose_layer(stream, subscriber->channel->job->max_height);
    }
}
