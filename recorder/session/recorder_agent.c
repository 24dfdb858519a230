#include "recorder_agent.h"

#include "steno/base/error.h"
#include "steno/content.h"
#include "steno/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define PROGRAM_NAME "steno-agent"
/* What it has started is ended within this time, when nobody is left to serve. */
#define LEAVE_US (2 * G_USEC_PER_SEC)

/* The keys' socket, and the lanes. */
#define N_FDS (1 + NAMES_LANES)

typedef struct {
    int ours[N_FDS], theirs[N_FDS];
} Ends;

/* ---- the agent --------------------------------------------------------------------------------------------------- */

static int compare_fds(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

/* The recorder's sockets, its lock, its input and output: who waits for their end would wait for us. */
static void keep_only(const int fds[N_FDS])
{
    int sorted[N_FDS], null = open("/dev/null", O_RDWR | O_CLOEXEC);
    (void)dup2(null, STDIN_FILENO);
    (void)dup2(null, STDOUT_FILENO);
    memcpy(sorted, fds, sizeof sorted);
    qsort(sorted, N_FDS, sizeof sorted[0], compare_fds);
    guint first = STDERR_FILENO + 1;
    for (guint i = 0; i < N_FDS; i++) {
        if (sorted[i] > (int)first)
            (void)close_range(first, (guint)sorted[i] - 1, 0);
        first = MAX(first, (guint)(sorted[i] + 1));
    }
    (void)close_range(first, G_MAXUINT, 0);
}

static void reset_signals(void)
{
    sigset_t none;
    sigemptyset(&none);
    (void)signal(SIGINT, SIG_IGN); /* of a terminal: for who started the recorder */
    (void)signal(SIGPIPE, SIG_IGN);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Locked memory is not inherited: secrets that are needed are copied into pages that are locked, others are wiped. */
static StenoJobSpec *take_job(StenoJobSpec *job, gboolean with_secrets)
{
    json_t *json = steno_job_spec_to_json(job, with_secrets);
    StenoJobSpec *copy = steno_job_spec_from_json(json, NULL);
    json_decref(json);
    steno_job_spec_free(job);
    return copy;
}

static gpointer serve_names(gpointer user)
{
    names_serve(GPOINTER_TO_INT(user));
    /* The recorder has gone. A source that hangs in a token must not keep us. */
    g_usleep(LEAVE_US);
    _exit(0);
    return NULL;
}

static gboolean confine(StenoContentApart apart)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(StenoSandbox) sandbox = steno_sandbox_new(STENO_SANDBOX_AGENT);
    if (apart == STENO_CONTENT_UNCONFINED || steno_sandbox_enter(sandbox, NULL, &error))
        return TRUE;
    steno_error(NULL, "%s", error->message);
    return FALSE;
}

static G_NORETURN void be_agent(StenoJobSpec *inherited, const int fds[N_FDS])
{
    StenoContentApart apart = steno_content_apart(inherited);
    (void)prctl(PR_SET_NAME, PROGRAM_NAME);
    keep_only(fds);
    reset_signals();
    StenoJobSpec *job = take_job(inherited, apart != STENO_CONTENT_INSIDE);
    if (!job || !confine(apart))
        _exit(1);
    gboolean has_source = apart != STENO_CONTENT_INSIDE;
    for (guint i = has_source ? 1 : 2; i < N_FDS; i++)
        g_thread_unref(g_thread_new("names", serve_names, GINT_TO_POINTER(fds[i])));
    if (has_source)
        steno_content_agent_serve(job, fds[0]);
    else
        names_serve(fds[1]);
    steno_job_spec_free(job);
    _exit(0);
}

/* ---- the recorder ------------------------------------------------------------------------------------------------ */

static void close_all(const int fds[N_FDS])
{
    for (guint i = 0; i < N_FDS; i++) {
        if (fds[i] >= 0)
            close(fds[i]);
    }
}

static gboolean make_sockets(Ends *ends)
{
    memset(ends, -1, sizeof *ends);
    for (guint i = 0; i < N_FDS; i++) {
        int pair[2];
        if (socketpair(AF_UNIX, (i == 0 ? SOCK_STREAM : SOCK_SEQPACKET) | SOCK_CLOEXEC, 0, pair) != 0)
            return FALSE;
        ends->ours[i] = pair[0];
        ends->theirs[i] = pair[1];
    }
    return TRUE;
}

gboolean agent_start(StenoJobSpec *job, Agent *agent, GError **error)
{
    Ends ends;
    pid_t child = make_sockets(&ends) ? fork() : -1;
    if (child == 0)
        be_agent(job, ends.theirs);
    int saved_errno = errno;
    close_all(ends.theirs);
    if (child < 0) {
        close_all(ends.ours);
        return steno_error_set(error, STENO_ERROR_INTERNAL, "cannot start the recorder's agent: %s",
                               g_strerror(saved_errno));
    }
    agent->keys = ends.ours[0];
    if (steno_content_apart(job) == STENO_CONTENT_INSIDE) {
        close(agent->keys);
        agent->keys = -1;
    }
    memcpy(agent->lanes, ends.ours + 1, sizeof agent->lanes);
    names_ask(agent->lanes);
    return TRUE;
}
