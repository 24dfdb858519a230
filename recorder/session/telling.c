/*
 * What is told: each event gets its number where it gets its line (capture), or, while no part is open, here; then all
 * go over one queue to the main thread, so that whoever listens has them in the order of their numbers.
 */
#include "session_internal.h"

#include "steno/base/clock.h"
#include "steno/base/error.h"

#include <string.h>

static gboolean on_wake(gpointer data)
{
    StenoSession *session = data;
    g_mutex_lock(&session->told_lock);
    g_autoptr(GError) failure = g_steal_pointer(&session->failure);
    g_mutex_unlock(&session->told_lock);
    if (failure)
        session_end(session, "storage", failure);
    /* Nobody is told of the end here: it is taken by who closes the capture. */
    json_decref(session_telling_flush(session));
    return G_SOURCE_CONTINUE;
}

static gboolean wake_dispatch(GSource *source, GSourceFunc callback, gpointer data)
{
    g_source_set_ready_time(source, -1);
    return callback(data);
}

static GSourceFuncs wake_functions = {.dispatch = wake_dispatch};

void session_telling_init(StenoSession *session)
{
    g_mutex_init(&session->told_lock);
    g_queue_init(&session->told);
    g_queue_init(&session->held);
    session->early = json_array();
    session->state = "joining";
    session->wake = g_source_new(&wake_functions, sizeof(GSource));
    g_source_set_callback(session->wake, on_wake, session, NULL);
    g_source_attach(session->wake, NULL);
}

void session_telling_clear(StenoSession *session)
{
    g_source_destroy(session->wake);
    g_source_unref(session->wake);
    g_queue_clear_full(&session->told, (GDestroyNotify)json_decref);
    g_queue_clear_full(&session->held, (GDestroyNotify)json_decref);
    g_mutex_clear(&session->told_lock);
    g_clear_error(&session->failure);
    json_decref(session->early);
}

/* With the lock. */
static void release(StenoSession *session)
{
    json_t *event;
    while ((event = g_queue_pop_head(&session->held)))
        g_queue_push_tail(&session->told, event);
    session->held_part = 0;
}

void session_telling_hold(StenoSession *session, guint part)
{
    g_mutex_lock(&session->told_lock);
    session->held_part = part;
    g_mutex_unlock(&session->told_lock);
}

void session_telling_release(StenoSession *session)
{
    g_mutex_lock(&session->told_lock);
    release(session);
    guint dropped = session->held_dropped;
    session->held_dropped = 0;
    g_mutex_unlock(&session->told_lock);
    if (dropped)
        steno_warning(session->log,
                      "the part before took so long to close that %u events were not told; they are in the capture",
                      dropped);
    g_source_set_ready_time(session->wake, 0);
}

static gboolean is_held(const StenoSession *session, const json_t *event)
{
    return session->held_part > 0 && json_integer_value(json_object_get(event, "part")) >= session->held_part;
}

void session_told(gpointer user, json_t *event)
{
    StenoSession *session = user;
    g_mutex_lock(&session->told_lock);
    if (!is_held(session, event)) {
        g_queue_push_tail(&session->told, event);
        if (g_strcmp0(json_string_value(json_object_get(event, "event")), "rotated") == 0)
            release(session);
    } else if (g_queue_get_length(&session->held) < SESSION_HELD_MAX) {
        g_queue_push_tail(&session->held, event);
    } else {
        session->held_dropped++;
        json_decref(event);
    }
    g_mutex_unlock(&session->told_lock);
    g_source_set_ready_time(session->wake, 0);
}

void session_capture_failed(gpointer user, const GError *error)
{
    StenoSession *session = user;
    g_mutex_lock(&session->told_lock);
    if (!session->failure)
        session->failure = g_error_copy(error);
    g_mutex_unlock(&session->told_lock);
    g_source_set_ready_time(session->wake, 0);
}

json_t *session_telling_flush(StenoSession *session)
{
    json_t *ended = NULL, *event;
    do {
        g_mutex_lock(&session->told_lock);
        event = g_queue_pop_head(&session->told);
        g_mutex_unlock(&session->told_lock);
        const char *name = json_string_value(json_object_get(event, "event"));
        if (g_strcmp0(name, "ended") == 0) {
            json_decref(ended);
            ended = event;
        } else if (event) {
            if (strcmp(name, "format") == 0)
                session_heard_format(session, event);
            session->events->event(session->user, event);
            json_decref(event);
        }
    } while (event);
    return ended;
}

void session_tell(StenoSession *session, json_t *event)
{
    if (session->capture) {
        steno_capture_event(session->capture, event);
        return;
    }
    json_object_set_new(event, "t", json_integer(steno_clock_wall_us()));
    json_object_set_new(event, "part", json_integer(session->part));
    json_object_set_new(event, "seq", json_integer(++session->early_seq));
    json_object_set_new(event, "early", json_true());
    if (json_array_size(session->early) < SESSION_EARLY_MAX)
        json_array_append(session->early, event);
    session_told(session, event);
}

void session_tell_state(StenoSession *session, const char *state, const GError *error)
{
    session->state = g_intern_string(state);
    json_t *event = json_pack("{s:s, s:s}", "event", "state", "state", state);
    if (error)
        json_object_set_new(event, "error", steno_error_to_json(error));
    session_tell(session, event);
}
