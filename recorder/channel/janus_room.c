/*
 * Who is in the room. Participants are told of others by events; the unseen are not, and have to ask once a second. The
 * list says who publishes, but not what.
 */
#include "janus_private.h"

#include "steno/base/clock.h"
#include "steno/base/error.h"

#define PROBE_TICKS 2 /* how often each participant is asked for a stream that we do not know */

void janus_participant_free(JanusParticipant *participant)
{
    json_decref(participant->feed);
    g_free(participant->id);
    g_free(participant->name);
    g_free(participant);
}

static char *id_of(json_t *feed)
{
    if (json_is_string(feed))
        return g_strdup(json_string_value(feed));
    return json_is_integer(feed) ? g_strdup_printf("%" JSON_INTEGER_FORMAT, json_integer_value(feed)) : NULL;
}

/* The one who entry is about, told to the session when new; NULL when it is not one to record. */
static JanusParticipant *find_or_add(JanusChannel *channel, json_t *entry)
{
    json_t *feed = json_object_get(entry, "id");
    g_autofree char *id = id_of(feed);
    /* A dummy only holds m-lines for others; self is us, where the room had to see us. */
    if (!id || json_is_true(json_object_get(entry, "dummy")) || g_strcmp0(id, channel->self) == 0)
        return NULL;
    JanusParticipant *participant = g_hash_table_lookup(channel->participants, id);
    if (participant)
        return participant;
    const char *name = json_string_value(json_object_get(entry, "display"));
    participant = g_new0(JanusParticipant, 1);
    participant->feed = json_incref(feed);
    participant->id = g_steal_pointer(&id);
    participant->name = g_strdup(name ? name : "");
    participant->recorded = g_hash_table_size(channel->participants) < STENO_CHANNEL_PARTICIPANTS_MAX;
    g_hash_table_insert(channel->participants, participant->id, participant);
    if (!participant->recorded)
        steno_warning(channel->log, "participant %s is not recorded: there are more than %d", participant->id,
                      STENO_CHANNEL_PARTICIPANTS_MAX);
    StenoParticipant told = {.id = participant->id, .name = participant->name};
    channel->events.participant_joined(channel->user, &told);
    return participant;
}

static void update_one(JanusChannel *channel, JanusParticipant *participant, json_t *entry)
{
    gboolean publishes = json_is_true(json_object_get(entry, "publisher"));
    gboolean talking = json_is_true(json_object_get(entry, "talking"));
    gboolean wanted = janus_wants(channel, participant, FALSE) || janus_wants(channel, participant, TRUE);
    JanusSubscriber *subscriber = participant->subscriber;
    if ((!publishes || !wanted) && subscriber) {
        janus_subscriber_drop(subscriber, FALSE);
    } else if (publishes && wanted && !subscriber && participant->recorded &&
               steno_clock_mono_us() >= participant->not_before_mono_us) {
        janus_subscriber_new(channel, participant);
    } else if (subscriber && subscriber->peer && talking != participant->talking) {
        participant->talking = talking;
        channel->events.stream_event(channel->user, subscriber->peer, NULL, talking ? "talking" : "silent", NULL);
    }
}

/* Whoever was not in the list; NULL when all were. */
static JanusParticipant *find_gone(JanusChannel *channel)
{
    GHashTableIter iter;
    gpointer participant;
    g_hash_table_iter_init(&iter, channel->participants);
    while (g_hash_table_iter_next(&iter, NULL, &participant)) {
        if (!((JanusParticipant *)participant)->seen)
            return participant;
    }
    return NULL;
}

static void remove_gone(JanusChannel *channel)
{
    JanusParticipant *gone;
    while (!channel->closed && (gone = find_gone(channel))) {
        if (gone->subscriber)
            janus_subscriber_drop(gone->subscriber, FALSE);
        g_hash_table_steal(channel->participants, gone->id);
        if (!channel->closed)
            channel->events.participant_left(channel->user, gone->id);
        janus_participant_free(gone);
    }
}

void janus_room_update(JanusChannel *channel, json_t *participants)
{
    GHashTableIter iter;
    gpointer participant;
    g_hash_table_iter_init(&iter, channel->participants);
    while (g_hash_table_iter_next(&iter, NULL, &participant))
        ((JanusParticipant *)participant)->seen = FALSE;

    gsize i;
    json_t *entry;
    json_array_foreach (participants, i, entry) {
        JanusParticipant *listed = find_or_add(channel, entry);
        if (channel->closed)
            return;
        if (!listed)
            continue;
        listed->seen = TRUE;
        update_one(channel, listed, entry);
        if (channel->closed)
            return;
    }
    remove_gone(channel);
}

static void on_list(gpointer user, const JanusReply *reply)
{
    JanusChannel *channel = user;
    json_t *participants = json_object_get(reply->data, "participants");
    channel->listing = FALSE;
    if (channel->state != STENO_CHANNEL_JOINED)
        return;
    if (json_is_array(participants))
        janus_room_update(channel, participants);
    else if (reply->code == VIDEOROOM_NO_SUCH_ROOM)
        janus_channel_ended(channel);
    else if (reply->code != 0 && reply->error)
        janus_channel_lost(channel, reply->error);
    /* Otherwise it did not arrive: the long poll tells whether Janus is still there. */
}

void janus_room_tick(JanusChannel *channel)
{
    janus_api_tick(channel->api);
    if (channel->closed || channel->state != STENO_CHANNEL_JOINED || !channel->api)
        return;
    channel->ticks++;
    if (!channel->listing) {
        channel->listing = TRUE;
        janus_api_message(channel->api, channel->control, janus_room_request(channel, "listparticipants"), NULL,
                          on_list, channel);
    }
    GHashTableIter iter;
    gpointer subscriber;
    g_hash_table_iter_init(&iter, channel->subscribers);
    while (g_hash_table_iter_next(&iter, &subscriber, NULL)) {
        if ((((JanusSubscriber *)subscriber)->peer + channel->ticks) % PROBE_TICKS == 0)
            janus_subscriber_probe(subscriber);
    }
}
