/* The agent's end: the source that the job names, asked over a socket until that is closed. */
#include "source_agent.h"

#include "steno/base/error.h"
#include "steno/base/file.h"

#include <errno.h>
#include <glib-unix.h>
#include <string.h>
#include <unistd.h>

typedef struct {
    int fd;
    const SourceKind *kind;
    gpointer opened;
    gboolean ended;
} Agent;

/* Freed when it is answered; what never is ends with the process. */
typedef struct {
    Agent *agent;
    AgentQuestion told;
    char name[AGENT_NAME_MAX_BYTES + 1];
} Request;

static void send_answer(Agent *agent, const AgentAnswer *answer, const void *body)
{
    agent->ended = agent->ended || !steno_file_write(agent->fd, answer, sizeof *answer) ||
                   !steno_file_write(agent->fd, body, answer->bytes);
}

static void on_answer(gpointer user, const SourceAnswer *answer)
{
    Request *request = user;
    AgentAnswer told = {
        .id = request->told.id, .outcome = (gint32)answer->outcome, .wait_s = answer->wait_s, .final = answer->final};
    const void *body = NULL;
    if (answer->outcome == SOURCE_FOUND) {
        body = steno_secret_data(answer->text);
        told.bytes = (guint32)steno_secret_bytes(answer->text);
    } else if (answer->outcome == SOURCE_TROUBLE) {
        body = answer->error->message;
        told.bytes = (guint32)strlen(answer->error->message);
        told.code = answer->error->code;
    }
    send_answer(request->agent, &told, body);
    g_free(request);
}

static gboolean on_changed(gpointer user)
{
    const AgentAnswer changed = {.id = 0};
    send_answer(user, &changed, NULL);
    return G_SOURCE_CONTINUE;
}

/* All of it comes at once: who asks writes it so. */
static gboolean on_question(gint fd, GIOCondition condition, gpointer user)
{
    (void)condition;
    Agent *agent = user;
    Request *request = g_new0(Request, 1);
    request->agent = agent;
    gsize bytes = sizeof request->told;
    gboolean whole = steno_file_read(fd, &request->told, bytes) == (gssize)bytes &&
                     request->told.name_bytes <= AGENT_NAME_MAX_BYTES &&
                     steno_file_read(fd, request->name, request->told.name_bytes) == (gssize)request->told.name_bytes;
    if (!whole) {
        agent->ended = TRUE;
        g_free(request);
        return G_SOURCE_REMOVE;
    }
    const SourceQuestion question = {request->told.has_name ? request->name : NULL, request->told.kid};
    agent->kind->ask(agent->opened, &question, on_answer, request);
    return G_SOURCE_CONTINUE;
}

void steno_content_agent_serve(const StenoJobSpec *job, int fd)
{
    const SourceKind *kind = source_kind_of_job(job, NULL);
    if (!kind)
        return;
    g_autoptr(SourceSettings) settings = source_settings_new(job);
    GMainContext *context = g_main_context_new();
    Agent agent = {.fd = fd, .kind = kind};
    g_main_context_push_thread_default(context);
    agent.opened = kind->open(settings, context, on_changed, &agent);
    GSource *questions = g_unix_fd_source_new(fd, G_IO_IN | G_IO_HUP | G_IO_ERR);
    g_source_set_callback(questions, G_SOURCE_FUNC(on_question), &agent, NULL);
    g_source_attach(questions, context);
    while (!agent.ended)
        g_main_context_iteration(context, TRUE);
    kind->close(agent.opened);
    g_source_destroy(questions);
    g_source_unref(questions);
    g_main_context_pop_thread_default(context);
    g_main_context_unref(context);
}
