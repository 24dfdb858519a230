/* Keys for an assembly: a desk that is asked once, in the caller's thread. */
#include "source_agent.h"
#include "source_desk.h"
#include "source_merge.h"

#include "steno/base/error.h"

#include <string.h>

typedef struct {
    GPtrArray *texts; /* of StenoSecret */
    GError *trouble;  /* the last */
    gboolean timed_out;
} Gathering;

static void on_found(gpointer user, StenoSecret *text, StenoContentKeys *keys)
{
    (void)keys;
    Gathering *gathering = user;
    g_ptr_array_add(gathering->texts, steno_secret_ref(text));
}

static void on_trouble(gpointer user, const GError *error)
{
    Gathering *gathering = user;
    g_clear_error(&gathering->trouble);
    gathering->trouble = g_error_copy(error);
}

static gboolean on_timeout(gpointer user)
{
    Gathering *gathering = user;
    gathering->timed_out = TRUE;
    return G_SOURCE_REMOVE;
}

static void ask_all(Gathering *gathering, const SourceKind *kind, const SourceSettings *settings,
                    const StenoContentWant *wants, guint n_wants, guint timeout_s)
{
    static const SourceDeskEvents events = {.found = on_found, .trouble = on_trouble};
    GMainContext *context = g_main_context_new();
    g_main_context_push_thread_default(context);
    GSource *timeout = g_timeout_source_new_seconds(timeout_s);
    g_source_set_callback(timeout, on_timeout, gathering, NULL);
    g_source_attach(timeout, context);
    SourceDesk *desk = source_desk_new(kind, settings, context, &events, gathering);
    for (guint i = 0; kind->by_key && i < n_wants; i++)
        (void)source_desk_want(desk, wants[i].participant, wants[i].kid);
    while (!gathering->timed_out && !source_desk_is_settled(desk))
        g_main_context_iteration(context, TRUE);
    source_desk_free(desk);
    g_source_destroy(timeout);
    g_source_unref(timeout);
    g_main_context_pop_thread_default(context);
    g_main_context_unref(context);
}

static void set_nothing(Gathering *gathering, const SourceKind *kind, guint timeout_s, GError **error)
{
    if (gathering->trouble)
        g_propagate_error(error, g_steal_pointer(&gathering->trouble));
    else if (gathering->timed_out)
        steno_error_set(error, STENO_ERROR_KEY_SOURCE, "the key source '%s' did not answer within %u s", kind->name,
                        timeout_s);
    else
        steno_error_set(error, STENO_ERROR_NO_KEY, "the key source '%s' has no content keys for this channel",
                        kind->name);
}

StenoSecret *steno_content_gather(const StenoJobSpec *job, int agent_fd, const StenoContentWant *wants, guint n_wants,
                                  guint timeout_s, const StenoLog *log, GError **error)
{
    g_autoptr(GError) why = NULL;
    const SourceKind *kind = source_kind_of_job(job, &why);
    if (why) {
        g_propagate_error(error, g_steal_pointer(&why));
        return NULL;
    }
    if (!kind || (kind == &source_inline && !job->key_set)) {
        steno_error_set(error, STENO_ERROR_NO_KEY, "the recording has no source of content keys (any more)");
        return NULL;
    }
    if (!steno_content_check_job(job, error))
        return NULL;
    g_autoptr(SourceSettings) settings = source_settings_new(job);
    const SourceKind asked = agent_fd >= 0 ? source_agent_kind(kind) : *kind;
    settings->agent_fd = agent_fd;
    g_autoptr(GPtrArray) texts = g_ptr_array_new_with_free_func((GDestroyNotify)steno_secret_unref);
    Gathering gathering = {.texts = texts};
    ask_all(&gathering, &asked, settings, wants, n_wants, timeout_s);
    if (texts->len == 0)
        set_nothing(&gathering, kind, timeout_s, error);
    else if (gathering.trouble)
        steno_warning(log, "not all content keys could be had: %s", gathering.trouble->message);
    g_clear_error(&gathering.trouble);
    return texts->len > 0 ? source_merge(texts, error) : NULL;
}
