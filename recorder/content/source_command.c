/* A program of the customer's: the question on its standard input, the key set on its standard output. */
#include "source_buffer.h"
#include "source_kind.h"

#include "steno/base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <jansson.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define PARALLEL 4
#define EXIT_ABSENT 3
#define WORDS_MAX_BYTES 200
/* A run of so many letters and digits may be a key. */
#define MASKED_RUN "[A-Za-z0-9+/=_-]{16,}"

typedef struct {
    const SourceSettings *settings;
    GMainContext *context;
    GQueue runs; /* of Run */
} Command;

typedef struct {
    Command *command;
    SourceAnswered answered; /* NULL: it was answered, and waits for its process to be gone */
    gpointer user;
    GPid pid;
    int out, err; /* -1: closed */
    GSource *on_out, *on_err, *on_exit, *on_time;
    SourceBuffer text;
    gboolean too_large;
    char line[WORDS_MAX_BYTES + 1]; /* the last of standard error that is not empty */
    gsize line_bytes;
    gboolean line_ended;
} Run;

/* ---- the end ----------------------------------------------------------------------------------------------------- */

static void drop(GSource **source)
{
    if (!*source)
        return;
    g_source_destroy(*source);
    g_clear_pointer(source, g_source_unref);
}

static void hang_up(int *fd, GSource **source)
{
    drop(source);
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static void run_free(Run *run)
{
    hang_up(&run->out, &run->on_out);
    hang_up(&run->err, &run->on_err);
    drop(&run->on_exit);
    drop(&run->on_time);
    source_buffer_clear(&run->text);
    g_queue_remove(&run->command->runs, run);
    g_free(run);
}

static void kill_group(const Run *run)
{
    /* It may not have come to make its group. */
    if (kill(-run->pid, SIGKILL) != 0)
        (void)kill(run->pid, SIGKILL);
}

static void tell(Run *run, const SourceAnswer *answer)
{
    SourceAnswered answered = run->answered;
    run->answered = NULL;
    answered(run->user, answer);
}

static void tell_trouble(Run *run, int code, const char *what)
{
    g_autoptr(GError) error = NULL;
    steno_error_set(&error, code, "the key command '%s' %s", run->command->settings->path, what);
    const SourceAnswer answer = {.outcome = SOURCE_TROUBLE, .error = error};
    tell(run, &answer);
}

/* ---- what it writes ---------------------------------------------------------------------------------------------- */

/* FALSE: there is no more. */
static gboolean read_out(Run *run)
{
    char piece[4096];
    gssize n;
    while ((n = read(run->out, piece, sizeof piece)) > 0)
        run->too_large = run->too_large || !source_buffer_append(&run->text, piece, (gsize)n);
    int saved_errno = errno;
    steno_secret_wipe(piece, sizeof piece);
    return n < 0 && (saved_errno == EAGAIN || saved_errno == EINTR);
}

static void keep_line(Run *run, char sign)
{
    if (sign == '\n') {
        run->line_ended = TRUE;
        return;
    }
    if (run->line_ended)
        run->line_bytes = 0;
    run->line_ended = FALSE;
    if (run->line_bytes < WORDS_MAX_BYTES)
        run->line[run->line_bytes++] = g_ascii_isprint(sign) ? sign : ' ';
}

static gboolean read_err(Run *run)
{
    char piece[4096];
    gssize n;
    while ((n = read(run->err, piece, sizeof piece)) > 0) {
        for (gssize i = 0; i < n; i++)
            keep_line(run, piece[i]);
    }
    int saved_errno = errno;
    steno_secret_wipe(piece, sizeof piece);
    return n < 0 && (saved_errno == EAGAIN || saved_errno == EINTR);
}

static gboolean on_out(gint fd, GIOCondition condition, gpointer user)
{
    (void)fd, (void)condition;
    Run *run = user;
    if (!read_out(run))
        hang_up(&run->out, &run->on_out);
    return G_SOURCE_CONTINUE;
}

static gboolean on_err(gint fd, GIOCondition condition, gpointer user)
{
    (void)fd, (void)condition;
    Run *run = user;
    if (!read_err(run))
        hang_up(&run->err, &run->on_err);
    return G_SOURCE_CONTINUE;
}

/* ---- what it meant ----------------------------------------------------------------------------------------------- */

static void tell_failed(Run *run, int status)
{
    run->line[run->line_bytes] = '\0';
    g_autoptr(GRegex) keys = g_regex_new(MASKED_RUN, 0, 0, NULL);
    g_autofree char *masked = steno_log_redact(g_strstrip(run->line));
    g_autofree char *words = g_regex_replace_literal(keys, masked, -1, 0, "***", 0, NULL);
    steno_secret_wipe(run->line, sizeof run->line);
    g_autofree char *what = WIFEXITED(status) ? g_strdup_printf("ended with exit code %d%s%s", WEXITSTATUS(status),
                                                                words[0] ? ": " : "", words)
                                              : g_strdup_printf("was killed by signal %d", WTERMSIG(status));
    tell_trouble(run, STENO_ERROR_KEY_SOURCE, what);
}

static void on_exit_of(GPid pid, gint status, gpointer user)
{
    (void)pid;
    Run *run = user;
    /* A child of its own may hold the other ends: what is there by now is what it said. */
    if (run->answered && run->out >= 0)
        (void)read_out(run);
    if (run->answered && run->err >= 0)
        (void)read_err(run);
    if (!run->answered) {
        run_free(run);
        return;
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_ABSENT) {
        const SourceAnswer answer = {.outcome = SOURCE_ABSENT};
        tell(run, &answer);
    } else if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        tell_failed(run, status);
    } else if (run->too_large) {
        tell_trouble(run, STENO_ERROR_KEYS_INVALID, "wrote more than a key set may have");
    } else {
        g_autoptr(StenoSecret) text = source_buffer_steal(&run->text);
        const SourceAnswer answer = {.outcome = SOURCE_FOUND, .text = text};
        tell(run, &answer);
    }
    run_free(run);
}

static gboolean on_time(gpointer user)
{
    Run *run = user;
    kill_group(run);
    hang_up(&run->out, &run->on_out);
    hang_up(&run->err, &run->on_err);
    drop(&run->on_time);
    tell_trouble(run, STENO_ERROR_KEY_SOURCE, "did not end in time, and was killed");
    return G_SOURCE_REMOVE;
}

/* ---- the start --------------------------------------------------------------------------------------------------- */

/* In the child, before the program: what we ignore or block is nothing to it, and all that it starts is one group. */
static void prepare(gpointer user)
{
    (void)user;
    sigset_t none;
    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)signal(SIGPIPE, SIG_DFL);
    (void)setsid();
}

/* A file without a name, not a pipe: a program that does not read it does no harm. */
static int question_fd(const SourceSettings *settings, const SourceQuestion *question)
{
    char *text = source_question_text(settings, question);
    int fd = memfd_create("question", MFD_CLOEXEC);
    gsize bytes = strlen(text);
    if (fd >= 0 && (write(fd, text, bytes) != (gssize)bytes || lseek(fd, 0, SEEK_SET) != 0)) {
        close(fd);
        fd = -1;
    }
    free(text);
    return fd;
}

static gboolean is_ours(const char *path, GError **error)
{
    struct stat status;
    if (stat(path, &status) != 0)
        return steno_error_set(error, STENO_ERROR_KEY_SOURCE, "cannot start the key command '%s': %s", path,
                               g_strerror(errno));
    if (!S_ISREG(status.st_mode) || (status.st_mode & 0022) || (status.st_uid != geteuid() && status.st_uid != 0))
        return steno_error_set(error, STENO_ERROR_KEY_SOURCE,
                               "the key command '%s' is not run: it must be a file of ours or root's that others "
                               "cannot change (mode %04o): chmod 0755 it",
                               path, (guint)status.st_mode & 07777);
    return TRUE;
}

static gboolean spawn(Run *run, int question, GError **error)
{
    char *argv[] = {run->command->settings->path, NULL};
    char *environment[] = {(char *)"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                           (char *)"LANG=C.UTF-8", NULL};
    g_autoptr(GError) why = NULL;
    if (g_spawn_async_with_pipes_and_fds("/", (const gchar *const *)argv, (const gchar *const *)environment,
                                         G_SPAWN_DO_NOT_REAP_CHILD, prepare, NULL, question, -1, -1, NULL, NULL, 0,
                                         &run->pid, NULL, &run->out, &run->err, &why))
        return TRUE;
    return steno_error_set(error, STENO_ERROR_KEY_SOURCE, "cannot start the key command '%s': %s", argv[0],
                           why->message);
}

static GSource *watch(const Run *run, int fd, GUnixFDSourceFunc ready)
{
    (void)g_unix_set_fd_nonblocking(fd, TRUE, NULL);
    GSource *source = g_unix_fd_source_new(fd, G_IO_IN | G_IO_HUP | G_IO_ERR);
    g_source_set_callback(source, G_SOURCE_FUNC(ready), (gpointer)run, NULL);
    g_source_attach(source, run->command->context);
    return source;
}

static void attend(Run *run)
{
    run->on_out = watch(run, run->out, on_out);
    run->on_err = watch(run, run->err, on_err);
    run->on_exit = g_child_watch_source_new(run->pid);
    g_source_set_callback(run->on_exit, G_SOURCE_FUNC(on_exit_of), run, NULL);
    g_source_attach(run->on_exit, run->command->context);
    run->on_time = g_timeout_source_new(run->command->settings->command_timeout_ms);
    g_source_set_callback(run->on_time, on_time, run, NULL);
    g_source_attach(run->on_time, run->command->context);
}

static void command_ask(gpointer opened, const SourceQuestion *question, SourceAnswered answered, gpointer user)
{
    Command *command = opened;
    Run *run = g_new0(Run, 1);
    run->command = command;
    run->answered = answered;
    run->user = user;
    run->out = run->err = -1;
    run->text.max_bytes = STENO_CONTENT_KEYS_MAX_BYTES;
    g_queue_push_tail(&command->runs, run);
    g_autoptr(GError) error = NULL;
    int fd = is_ours(command->settings->path, &error) ? question_fd(command->settings, question) : -1;
    if (fd < 0 && !error)
        steno_error_set(&error, STENO_ERROR_INTERNAL, "cannot write the question of a key command: %s",
                        g_strerror(errno));
    gboolean started = fd >= 0 && spawn(run, fd, &error);
    if (fd >= 0)
        close(fd);
    if (started) {
        attend(run);
        return;
    }
    const SourceAnswer answer = {.outcome = SOURCE_TROUBLE, .error = error};
    tell(run, &answer);
    run_free(run);
}

/* ---- the command ------------------------------------------------------------------------------------------------- */

static gpointer command_open(const SourceSettings *settings, GMainContext *context, GSourceFunc changed, gpointer user)
{
    (void)changed, (void)user;
    Command *command = g_new0(Command, 1);
    command->settings = settings;
    command->context = context;
    return command;
}

static void command_close(gpointer opened)
{
    Command *command = opened;
    Run *run;
    while ((run = g_queue_peek_head(&command->runs))) {
        kill_group(run);
        drop(&run->on_exit);
        (void)waitpid(run->pid, NULL, 0);
        run_free(run);
    }
    g_free(command);
}

static gboolean command_check(const StenoJobSpec *job, GError **error)
{
    if (job->key_path && g_path_is_absolute(job->key_path))
        return TRUE;
    return steno_error_set(error, STENO_ERROR_USAGE,
                           "key_path must be the program that tells content keys, as an absolute path");
}

const SourceKind source_command = {.name = "command",
                                   .by_key = TRUE,
                                   .apart = STENO_CONTENT_UNCONFINED,
                                   .parallel = PARALLEL,
                                   .open = command_open,
                                   .close = command_close,
                                   .ask = command_ask,
                                   .check = command_check};
