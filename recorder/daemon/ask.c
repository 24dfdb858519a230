/* Requests of other threads: into a queue, one turn of the main loop, and a reply for each, whatever happens. */
#include "daemon_internal.h"

#include "steno/base/error.h"

#include <string.h>
#include <unistd.h>

/* Requests answered in one turn of the main loop: recorders and timers are heard in between. */
#define ASKS_A_TURN 16

StenoDaemonRequest *steno_daemon_request_new(StenoCommand command)
{
    StenoDaemonRequest *request = g_new0(StenoDaemonRequest, 1);
    request->command = command;
    request->arguments = json_object();
    return request;
}

void steno_daemon_request_free(StenoDaemonRequest *request)
{
    if (!request)
        return;
    g_free(request->actor.id);
    g_free(request->actor.app);
    g_free(request->actor.address);
    json_decref(request->arguments);
    g_free(request);
}

static StenoDaemonReply *reply_new(void)
{
    StenoDaemonReply *reply = g_new0(StenoDaemonReply, 1);
    reply->fd = -1;
    return reply;
}

void steno_daemon_reply_free(StenoDaemonReply *reply)
{
    if (!reply)
        return;
    g_clear_error(&reply->error);
    json_decref(reply->problem);
    json_decref(reply->body);
    g_free(reply->text);
    g_free(reply->location);
    if (reply->redirect_url)
        steno_secret_wipe(reply->redirect_url, strlen(reply->redirect_url));
    g_free(reply->redirect_url);
    stream_free(reply->stream);
    if (reply->fd >= 0)
        close(reply->fd);
    g_free(reply->file_name);
    g_free(reply->file_media_type);
    g_free(reply->file_sha256_hex);
    g_free(reply);
}

/* ---- one ask ----------------------------------------------------------------------------------------------------- */

static void ask_free(Ask *ask)
{
    steno_daemon_request_free(ask->request);
    steno_daemon_reply_free(ask->reply);
    g_free(ask->app);
    g_free(ask->target);
    g_free(ask);
}

/* The reply is theirs now. */
static void give_reply(Ask *ask)
{
    StenoDaemonReply *reply = g_steal_pointer(&ask->reply);
    ask->replied(ask->user, reply);
}

void ask_done(Ask *ask)
{
    StenoDaemon *daemon = ask->daemon;
    if (daemon) {
        g_ptr_array_remove_fast(daemon->asks, ask);
        command_finish(ask);
        give_reply(ask);
    }
    ask_free(ask);
}

void ask_fail(Ask *ask, GError *error)
{
    if (ask->reply && !ask->reply->error)
        ask->reply->error = error;
    else
        g_error_free(error);
    ask_done(ask);
}

const char *ask_text(const Ask *ask, const char *name)
{
    return json_string_value(json_object_get(ask->request->arguments, name));
}

/* ---- the queue --------------------------------------------------------------------------------------------------- */

static void refuse_closed(Ask *ask)
{
    ask->reply->error =
        g_error_new_literal(STENO_ERROR, STENO_ERROR_SHUTTING_DOWN, "stenod is being stopped; try again in a minute");
}

void steno_daemon_ask(StenoDaemon *daemon, StenoDaemonRequest *request, StenoDaemonReplied replied, gpointer user)
{
    Ask *ask = g_new0(Ask, 1);
    ask->daemon = daemon;
    ask->request = request;
    ask->replied = replied;
    ask->user = user;
    ask->reply = reply_new();
    g_mutex_lock(&daemon->inbox.lock);
    gboolean closed = daemon->inbox.closed;
    if (!closed)
        g_queue_push_tail(&daemon->inbox.queue, ask);
    g_mutex_unlock(&daemon->inbox.lock);
    if (!closed) {
        g_source_set_ready_time(daemon->inbox.source, 0);
        return;
    }
    refuse_closed(ask);
    give_reply(ask);
    ask_free(ask);
}

static Ask *take_ask(StenoDaemon *daemon)
{
    g_mutex_lock(&daemon->inbox.lock);
    Ask *ask = g_queue_pop_head(&daemon->inbox.queue);
    if (!ask)
        g_source_set_ready_time(daemon->inbox.source, -1);
    g_mutex_unlock(&daemon->inbox.lock);
    return ask;
}

static gboolean on_asked(gpointer data)
{
    StenoDaemon *daemon = data;
    Ask *ask;
    for (guint i = 0; i < ASKS_A_TURN && (ask = take_ask(daemon)); i++) {
        g_ptr_array_add(daemon->asks, ask);
        command_run(ask);
    }
    return G_SOURCE_CONTINUE;
}

static gboolean inbox_dispatch(GSource *source, GSourceFunc callback, gpointer data)
{
    (void)source;
    return callback(data);
}

static GSourceFuncs inbox_functions = {.dispatch = inbox_dispatch};

void asks_init(StenoDaemon *daemon)
{
    g_mutex_init(&daemon->inbox.lock);
    g_queue_init(&daemon->inbox.queue);
    daemon->asks = g_ptr_array_new();
    daemon->inbox.source = g_source_new(&inbox_functions, sizeof(GSource));
    g_source_set_callback(daemon->inbox.source, on_asked, daemon, NULL);
    g_source_attach(daemon->inbox.source, NULL);
}

void asks_close(StenoDaemon *daemon)
{
    g_mutex_lock(&daemon->inbox.lock);
    daemon->inbox.closed = TRUE;
    g_mutex_unlock(&daemon->inbox.lock);
    Ask *ask;
    while ((ask = take_ask(daemon))) {
        refuse_closed(ask);
        give_reply(ask);
        ask_free(ask);
    }
    /* Who works on these finds them answered, and frees them. */
    for (guint i = 0; i < daemon->asks->len; i++) {
        ask = daemon->asks->pdata[i];
        refuse_closed(ask);
        ask->daemon = NULL;
        give_reply(ask);
    }
    g_ptr_array_unref(daemon->asks);
    g_source_destroy(daemon->inbox.source);
    g_source_unref(daemon->inbox.source);
    g_mutex_clear(&daemon->inbox.lock);
}
