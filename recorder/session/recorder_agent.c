#include "recorder_agent.h"

#include "steno/base/error.h"
#include "steno/base/file.h"
#include "steno/base/ipc.h"
#include "steno/base/secret.h"
#include "steno/content.h"
#include "steno/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
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

/* FALSE: the recorder has gone. *job: NULL where the agent is for names alone. */
static gboolean read_job(int fd, StenoJobSpec **job)
{
    guint32 bytes;
    *job = NULL;
    if (steno_file_read(fd, &bytes, sizeof bytes) != (gssize)sizeof bytes || bytes > STENO_IPC_LINE_MAX_BYTES)
        return FALSE;
    if (bytes == 0)
        return TRUE;
    g_autoptr(StenoSecret) text = steno_secret_new(NULL, bytes);
    if (steno_file_read(fd, steno_secret_buffer(text), bytes) != (gssize)bytes)
        return FALSE;
    json_t *json = json_loadb(steno_secret_text(text), bytes, 0, NULL);
    *job = steno_job_spec_from_json(json, NULL);
    json_decref(json);
    return *job != NULL;
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

static G_NORETURN void be_agent(const int fds[N_FDS])
{
    StenoJobSpec *job;
    (void)prctl(PR_SET_NAME, PROGRAM_NAME);
    keep_only(fds);
    reset_signals();
    if (!read_job(fds[0], &job) || !confine(job ? steno_content_apart(job) : STENO_CONTENT_INSIDE))
        _exit(1);
    for (guint i = job ? 1 : 2; i < N_FDS; i++)
        g_thread_unref(g_thread_new("names", serve_names, GINT_TO_POINTER(fds[i])));
    if (job)
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

gboolean agent_start(Agent *agent, GError **error)
{
    Ends ends;
    pid_t child = make_sockets(&ends) ? fork() : -1;
    if (child == 0)
        be_agent(ends.theirs);
    int saved_errno = errno;
    close_all(ends.theirs);
    if (child < 0) {
        close_all(ends.ours);
        return steno_error_set(error, STENO_ERROR_INTERNAL, "cannot start the recorder's agent: %s",
                               g_strerror(saved_errno));
    }
    agent->keys = ends.ours[0];
    memcpy(agent->lanes, ends.ours + 1, sizeof agent->lanes);
    return TRUE;
}

static gboolean send_all(int fd, const void *data, gsize bytes)
{
    gssize sent = 0;
    for (gsize done = 0; done < bytes && sent >= 0; done += (gsize)MAX(sent, 0))
        sent = send(fd, (const guint8 *)data + done, bytes - done, MSG_NOSIGNAL);
    return sent >= 0;
}

static gboolean send_job(int fd, const StenoJobSpec *job)
{
    static const char *const secrets_of_others[] = {"token", "room_token", "token_secret", "api_secret",
                                                    "pin",   "output_key", "turn_password"};
    json_t *json = steno_job_spec_to_json(job, TRUE);
    for (guint i = 0; i < G_N_ELEMENTS(secrets_of_others); i++)
        (void)json_object_del(json, secrets_of_others[i]);
    char *text = json_dumps(json, JSON_COMPACT);
    guint32 bytes = (guint32)strlen(text);
    gboolean sent = send_all(fd, &bytes, sizeof bytes) && send_all(fd, text, bytes);
    steno_secret_wipe(text, bytes);
    free(text);
    json_decref(json);
    return sent;
}

gboolean agent_take_job(Agent *agent, const StenoJobSpec *job, int *keys_fd, GError **error)
{
    static const guint32 no_job = 0;
    gboolean has_source = steno_content_apart(job) != STENO_CONTENT_INSIDE;
    gboolean sent = has_source ? send_job(agent->keys, job) : send_all(agent->keys, &no_job, sizeof no_job);
    if (!sent)
        return steno_error_set(error, STENO_ERROR_INTERNAL, "the recorder's agent has ended: %s", g_strerror(errno));
    *keys_fd = has_source ? agent->keys : -1;
    names_ask(agent->lanes);
    return TRUE;
}
