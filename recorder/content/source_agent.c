/* The recorder's end: a kind that passes each question on. */
#include "source_agent.h"

#include "steno/base/error.h"

#include <errno.h>
#include <glib-unix.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

typedef struct {
    guint64 id;
    SourceAnswered answered;
    gpointer user;
} Asked;

typedef struct {
    int fd;
    GSource *source; /* NULL: the agent has gone */
    GSourceFunc changed;
    gpointer user;
    guint64 last_id;
    GQueue asked; /* of Asked */
    /* What is being read. */
    AgentAnswer answer;
    gsize answer_bytes, body_bytes;
    StenoSecret *body;
} Line;

/* ---- answers ----------------------------------------------------------------------------------------------------- */

static void tell(Asked *asked, const SourceAnswer *answer)
{
    asked->answered(asked->user, answer);
    g_free(asked);
}

static void tell_gone(Asked *asked)
{
    g_autoptr(GError) error = NULL;
    steno_error_set(&error, STENO_ERROR_KEY_SOURCE,
                    "the recorder's agent, which asks for content keys, has ended: what is encrypted with keys that "
                    "are not there yet is recorded sealed; the assembly asks again");
    const SourceAnswer answer = {.outcome = SOURCE_TROUBLE, .error = error, .final = TRUE};
    tell(asked, &answer);
}

static void hang_up(Line *line)
{
    if (!line->source)
        return;
    g_source_destroy(line->source);
    g_clear_pointer(&line->source, g_source_unref);
    Asked *asked;
    while ((asked = g_queue_pop_head(&line->asked)))
        tell_gone(asked);
}

static Asked *take_asked(Line *line, guint64 id)
{
    for (GList *at = line->asked.head; at; at = at->next) {
        Asked *asked = at->data;
        if (asked->id != id)
            continue;
        g_queue_delete_link(&line->asked, at);
        return asked;
    }
    return NULL;
}

static void take_answer(Line *line)
{
    const AgentAnswer told = line->answer;
    g_autoptr(StenoSecret) body = g_steal_pointer(&line->body);
    g_autoptr(GError) error = NULL;
    line->answer_bytes = line->body_bytes = 0;
    if (told.id == 0) {
        (void)line->changed(line->user);
        return;
    }
    Asked *asked = take_asked(line, told.id);
    if (!asked)
        return;
    if (told.outcome == SOURCE_TROUBLE)
        g_set_error_literal(&error, STENO_ERROR, told.code, steno_secret_text(body));
    const SourceAnswer answer = {.outcome = (SourceOutcome)told.outcome,
                                 .text = told.outcome == SOURCE_FOUND ? body : NULL,
                                 .error = error,
                                 .wait_s = told.wait_s,
                                 .final = told.final};
    tell(asked, &answer);
}

/* FALSE: there is no more. */
static gboolean read_into(Line *line, gpointer data, gsize room, gsize *filled)
{
    gssize n = read(line->fd, (guint8 *)data + *filled, room - *filled);
    if (n > 0)
        *filled += (gsize)n;
    return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
}

static gboolean on_bytes(gint fd, GIOCondition condition, gpointer user)
{
    (void)fd, (void)condition;
    Line *line = user;
    gboolean more;
    if (line->answer_bytes < sizeof line->answer) {
        more = read_into(line, &line->answer, sizeof line->answer, &line->answer_bytes);
        if (line->answer_bytes == sizeof line->answer) {
            more = more && line->answer.bytes <= STENO_CONTENT_KEYS_MAX_BYTES;
            line->body = more ? steno_secret_new(NULL, line->answer.bytes) : NULL;
        }
    } else {
        more = read_into(line, steno_secret_buffer(line->body), line->answer.bytes, &line->body_bytes);
    }
    if (!more)
        hang_up(line);
    else if (line->body && line->body_bytes == line->answer.bytes)
        take_answer(line);
    return G_SOURCE_CONTINUE;
}

/* ---- the kind ---------------------------------------------------------------------------------------------------- */

static void agent_ask(gpointer opened, const SourceQuestion *question, SourceAnswered answered, gpointer user)
{
    Line *line = opened;
    Asked *asked = g_new0(Asked, 1);
    *asked = (Asked){++line->last_id, answered, user};
    gsize name_bytes = question->participant ? strlen(question->participant) : 0;
    g_autofree char *message = g_malloc(sizeof(AgentQuestion) + name_bytes);
    const AgentQuestion told = {.id = asked->id,
                                .kid = question->kid,
                                .has_name = question->participant != NULL,
                                .name_bytes = (guint32)name_bytes};
    gsize bytes = sizeof told + name_bytes;
    memcpy(message, &told, sizeof told);
    if (name_bytes)
        memcpy(message + sizeof told, question->participant, name_bytes);
    gboolean sent = line->source && name_bytes <= AGENT_NAME_MAX_BYTES &&
                    send(line->fd, message, bytes, MSG_NOSIGNAL) == (gssize)bytes;
    if (sent)
        g_queue_push_tail(&line->asked, asked);
    else
        tell_gone(asked);
}

static gpointer agent_open(const SourceSettings *settings, GMainContext *context, GSourceFunc changed, gpointer user)
{
    Line *line = g_new0(Line, 1);
    line->fd = settings->agent_fd;
    line->changed = changed;
    line->user = user;
    line->source = g_unix_fd_source_new(line->fd, G_IO_IN | G_IO_HUP | G_IO_ERR);
    g_source_set_callback(line->source, G_SOURCE_FUNC(on_bytes), line, NULL);
    g_source_attach(line->source, context);
    return line;
}

static void agent_close(gpointer opened)
{
    Line *line = opened;
    if (line->source) {
        g_source_destroy(line->source);
        g_source_unref(line->source);
    }
    g_queue_clear_full(&line->asked, g_free);
    steno_secret_unref(line->body);
    close(line->fd);
    g_free(line);
}

SourceKind source_agent_kind(const SourceKind *kind)
{
    SourceKind asked = *kind;
    asked.open = agent_open;
    asked.close = agent_close;
    asked.ask = agent_ask;
    return asked;
}
