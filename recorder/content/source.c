/* A thread around a desk: what it finds is told in the context of the source's maker. */
#include "source_agent.h"
#include "source_desk.h"

#include "steno/base/error.h"

/* A source that hangs in a token or in a resolver is left behind; what it finds is told to nobody. */
#define FREE_WAIT_US (300 * 1000)

struct StenoContentSource {
    gatomicrefcount references; /* of the maker, the thread, and each message between them */
    const StenoContentSourceEvents *events;
    gpointer user;
    gboolean freed; /* the maker's thread only */
    GMainContext *home;
    StenoLog *log;
    SourceKind kind; /* of the table, or as it is asked over an agent */
    SourceSettings *settings;
    gboolean told_full;

    GThread *thread; /* NULL for inline keys */
    GMainContext *context;
    SourceDesk *desk; /* the thread's only */
    GMutex lock;
    GCond changed;
    gboolean stopping, ended; /* under the lock */
};

static StenoContentSource *source_ref(StenoContentSource *source)
{
    g_atomic_ref_count_inc(&source->references);
    return source;
}

static void source_unref(StenoContentSource *source)
{
    if (!g_atomic_ref_count_dec(&source->references))
        return;
    source_settings_free(source->settings);
    g_main_context_unref(source->home);
    g_main_context_unref(source->context);
    g_mutex_clear(&source->lock);
    g_cond_clear(&source->changed);
    steno_log_free(source->log);
    g_free(source);
}

/* ---- messages ---------------------------------------------------------------------------------------------------- */

typedef struct {
    StenoContentSource *source;
    /* Home: either of them. */
    StenoContentKeys *keys;
    GError *error;
    /* To the thread. */
    char *participant;
    guint64 kid;
    gboolean wanted;
} Message;

static void message_free(gpointer data)
{
    Message *message = data;
    steno_content_keys_unref(message->keys);
    g_clear_error(&message->error);
    g_free(message->participant);
    source_unref(message->source);
    g_free(message);
}

static Message *message_new(StenoContentSource *source)
{
    Message *message = g_new0(Message, 1);
    message->source = source_ref(source);
    return message;
}

static void post(Message *message, GMainContext *context, GSourceFunc handle)
{
    GSource *idle = g_idle_source_new();
    g_source_set_priority(idle, G_PRIORITY_DEFAULT);
    g_source_set_callback(idle, handle, message, message_free);
    g_source_attach(idle, context);
    g_source_unref(idle);
}

static gboolean at_home(gpointer user)
{
    Message *message = user;
    StenoContentSource *source = message->source;
    if (source->freed)
        return G_SOURCE_REMOVE;
    if (message->keys)
        source->events->keys(source->user, g_steal_pointer(&message->keys));
    else
        source->events->trouble(source->user, message->error);
    return G_SOURCE_REMOVE;
}

static void on_found(gpointer user, StenoSecret *text, StenoContentKeys *keys)
{
    (void)text;
    StenoContentSource *source = user;
    Message *message = message_new(source);
    message->keys = steno_content_keys_ref(keys);
    steno_info(source->log, "%u content keys came from %s", steno_content_keys_count(keys), source->kind.name);
    post(message, source->home, at_home);
}

static void on_trouble(gpointer user, const GError *error)
{
    StenoContentSource *source = user;
    Message *message = message_new(source);
    message->error = g_error_copy(error);
    post(message, source->home, at_home);
}

static const SourceDeskEvents desk_events = {.found = on_found, .trouble = on_trouble};

/* ---- the thread -------------------------------------------------------------------------------------------------- */

static gboolean is_stopping(StenoContentSource *source)
{
    g_mutex_lock(&source->lock);
    gboolean stopping = source->stopping;
    g_mutex_unlock(&source->lock);
    return stopping;
}

static gpointer run(gpointer user)
{
    StenoContentSource *source = user;
    g_main_context_push_thread_default(source->context);
    source->desk = source_desk_new(&source->kind, source->settings, source->context, &desk_events, source);
    while (!is_stopping(source))
        g_main_context_iteration(source->context, TRUE);
    g_clear_pointer(&source->desk, source_desk_free);
    /* Messages that came too late hold the source, too. */
    while (g_main_context_iteration(source->context, FALSE))
        continue;
    g_main_context_pop_thread_default(source->context);
    g_mutex_lock(&source->lock);
    source->ended = TRUE;
    g_cond_signal(&source->changed);
    g_mutex_unlock(&source->lock);
    source_unref(source);
    return NULL;
}

static gboolean in_thread(gpointer user)
{
    Message *message = user;
    StenoContentSource *source = message->source;
    if (!source->desk)
        return G_SOURCE_REMOVE;
    if (!message->wanted) {
        source_desk_unwant(source->desk, message->participant, message->kid);
    } else if (!source_desk_want(source->desk, message->participant, message->kid) && !source->told_full) {
        source->told_full = TRUE;
        steno_warning(source->log,
                      "more than %d content keys are waited for at once: somebody makes up key ids; keys "
                      "beyond that are not asked for",
                      STENO_CONTENT_KEYS_MAX);
    }
    return G_SOURCE_REMOVE;
}

static void tell_thread(StenoContentSource *source, const char *participant, guint64 kid, gboolean wanted)
{
    if (!source->thread)
        return;
    Message *message = message_new(source);
    message->participant = g_strdup(participant);
    message->kid = kid;
    message->wanted = wanted;
    post(message, source->context, in_thread);
}

/* ---- the source -------------------------------------------------------------------------------------------------- */

static StenoContentSource *source_alloc(const StenoJobSpec *job, const SourceKind *kind, int agent_fd,
                                        const StenoLog *log, const StenoContentSourceEvents *events, gpointer user)
{
    StenoContentSource *source = g_new0(StenoContentSource, 1);
    g_atomic_ref_count_init(&source->references);
    source->events = events;
    source->user = user;
    source->home = g_main_context_ref_thread_default();
    source->log = steno_log_new(log, "keys=%s", kind->name);
    source->kind = agent_fd >= 0 ? source_agent_kind(kind) : *kind;
    source->settings = source_settings_new(job);
    source->settings->agent_fd = agent_fd;
    source->context = g_main_context_new();
    g_mutex_init(&source->lock);
    g_cond_init(&source->changed);
    return source;
}

/* There is nothing to fetch: read at once, and told when the maker is ready to hear it. */
static gboolean take_inline(StenoContentSource *source, GError **error)
{
    const StenoSecret *text = source->settings->key_set;
    g_autoptr(StenoContentKeys) keys = steno_content_keys_parse(source->settings->format, steno_secret_text(text),
                                                                steno_secret_bytes(text), "the given key set", error);
    if (!keys)
        return FALSE;
    on_found(source, NULL, keys);
    return TRUE;
}

StenoContentSource *steno_content_source_new(const StenoJobSpec *job, int agent_fd, const StenoLog *log,
                                             const StenoContentSourceEvents *events, gpointer user, GError **error)
{
    g_autoptr(GError) why = NULL;
    const SourceKind *kind = source_kind_of_job(job, &why);
    if (why) {
        g_propagate_error(error, g_steal_pointer(&why));
        return NULL;
    }
    if (!kind)
        return NULL;
    if (kind == &source_inline && !job->key_set) {
        steno_warning(log, "the content keys that were given with the start request are not there any more: what is "
                           "encrypted is recorded sealed");
        return NULL;
    }
    if (!steno_content_check_job(job, error))
        return NULL;
    StenoContentSource *source = source_alloc(job, kind, agent_fd, log, events, user);
    if (kind == &source_inline) {
        if (take_inline(source, error))
            return source;
        g_clear_pointer(&source, source_unref);
        return NULL;
    }
    source->thread = g_thread_new("keys", run, source_ref(source));
    return source;
}

/* Ended or left behind. */
static void stop_thread(StenoContentSource *source)
{
    g_mutex_lock(&source->lock);
    source->stopping = TRUE;
    g_main_context_wakeup(source->context);
    gint64 until_mono_us = g_get_monotonic_time() + FREE_WAIT_US;
    while (!source->ended && g_cond_wait_until(&source->changed, &source->lock, until_mono_us))
        continue;
    gboolean ended = source->ended;
    g_mutex_unlock(&source->lock);
    if (ended)
        g_thread_join(source->thread);
    else
        g_thread_unref(source->thread);
}

void steno_content_source_free(StenoContentSource *source)
{
    if (!source)
        return;
    source->freed = TRUE;
    if (source->thread)
        stop_thread(source);
    source_unref(source);
}

void steno_content_source_want(StenoContentSource *source, const char *participant, guint64 kid)
{
    tell_thread(source, participant, kid, TRUE);
}

void steno_content_source_unwant(StenoContentSource *source, const char *participant, guint64 kid)
{
    tell_thread(source, participant, kid, FALSE);
}
