#include "replay.h"

struct Replay {
    GQueue events; /* json_t * */
    guint most;
};

Replay *replay_new(guint most)
{
    Replay *replay = g_new0(Replay, 1);
    g_queue_init(&replay->events);
    replay->most = most;
    return replay;
}

void replay_free(Replay *replay)
{
    if (!replay)
        return;
    g_queue_clear_full(&replay->events, (GDestroyNotify)json_decref);
    g_free(replay);
}

void replay_add(Replay *replay, json_t *event)
{
    if (!json_is_integer(json_object_get(event, "seq")))
        return;
    g_queue_push_tail(&replay->events, json_incref(event));
    if (g_queue_get_length(&replay->events) > replay->most)
        json_decref(g_queue_pop_head(&replay->events));
}

static gboolean is_after(const json_t *event, guint part, guint seq)
{
    json_int_t its_part = json_integer_value(json_object_get(event, "part"));
    json_int_t its_seq = json_integer_value(json_object_get(event, "seq"));
    return its_part > part || (its_part == part && its_seq > seq);
}

void replay_after(const Replay *replay, guint part, guint seq, gboolean (*tell)(gpointer user, json_t *event),
                  gpointer user)
{
    for (GList *link = replay->events.head; link; link = link->next) {
        if (is_after(link->data, part, seq) && !tell(user, link->data))
            return;
    }
}
