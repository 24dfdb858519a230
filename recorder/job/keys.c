#include "keys.h"

#include "feed.h"
#include "programs.h"

#include "steno/base/error.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A sixth of the time is for its start and its words: the source gives up before it is given up. */
#define SOURCE_TIMEOUT_S(timeout_s) ((timeout_s)-MAX((timeout_s) / 6, 1))

/* `steno-recorder --keys`. It lives until it is reaped, also when nobody waits for it any more. */
typedef struct {
    Keys *keys; /* NULL: left */
    GSubprocess *process;
    Feed *request;
} Source;

struct Keys {
    KeysConfig config;
    int fd; /* the assembler reads it; -1: it is closed, or somebody else's to write to */
    Feed *feed;
    Source *source;
    guint timer;
    gboolean asked, cut;
    char *trouble;
    void (*closed)(gpointer user); /* NULL: the assembler runs */
    gpointer user;
};

/* ---- what a job says --------------------------------------------------------------------------------------------- */

gboolean keys_job_is_encrypted(const StenoJobSpec *job)
{
    return job->content && job->content[0] && strcmp(job->content, "none") != 0;
}

gboolean keys_job_is_later(const StenoJobSpec *job)
{
    return keys_job_is_encrypted(job) && g_strcmp0(job->content_keys, "later") == 0;
}

gboolean keys_job_is_inline(const StenoJobSpec *job)
{
    return keys_job_is_encrypted(job) &&
           (!job->content_keys || !job->content_keys[0] || strcmp(job->content_keys, "inline") == 0);
}

/* ---- the source -------------------------------------------------------------------------------------------------- */

/* What its exit code means, by the table of errors. */
static char *exit_words(GSubprocess *process)
{
    if (!g_subprocess_get_if_exited(process))
        return g_strdup_printf("asking for content keys was ended by signal %d", g_subprocess_get_term_sig(process));
    int exit_code = g_subprocess_get_exit_status(process);
    for (guint code = 0; code < STENO_ERROR_COUNT; code++) {
        g_autoptr(GError) error = g_error_new_literal(STENO_ERROR, (gint)code, steno_error_words((StenoError)code));
        if (steno_error_exit_code(error) == exit_code)
            return g_strdup(error->message);
    }
    return g_strdup_printf("asking for content keys ended with exit code %d", exit_code);
}

static void stop_timer(Keys *keys)
{
    if (keys->timer)
        g_source_remove(keys->timer);
    keys->timer = 0;
}

static void on_exit_(GObject *object, GAsyncResult *result, gpointer user)
{
    Source *source = user;
    Keys *keys = source->keys;
    gboolean clean = g_subprocess_wait_check_finish(G_SUBPROCESS(object), result, NULL);
    if (keys) {
        stop_timer(keys);
        keys->source = NULL;
        keys->cut = !g_subprocess_get_if_exited(source->process);
        if (!clean && !keys->trouble)
            keys->trouble = exit_words(source->process);
        if (!clean)
            steno_warning(keys->config.log, "content keys for the assembly: %s", keys->trouble);
    }
    feed_free(source->request);
    g_object_unref(source->process);
    g_free(source);
    if (keys && keys->closed)
        keys->closed(keys->user);
}

static gboolean on_timeout(gpointer user)
{
    Keys *keys = user;
    keys->timer = 0;
    keys->trouble = g_strdup_printf("the source of content keys did not answer within %u s", keys->config.timeout_s);
    g_subprocess_force_exit(keys->source->process);
    return G_SOURCE_REMOVE;
}

static StenoSecret *request_text(const KeysConfig *config, const json_t *wanted)
{
    json_t *request = json_pack("{s:o, s:O, s:i}", "job", steno_job_spec_to_json(config->job, TRUE), "wanted", wanted,
                                "timeout_s", (int)SOURCE_TIMEOUT_S(config->timeout_s));
    char *text = json_dumps(request, JSON_COMPACT);
    gsize bytes = strlen(text);
    StenoSecret *secret = steno_secret_new(text, bytes);
    steno_secret_wipe(text, bytes);
    free(text);
    json_decref(request);
    return secret;
}

/* The assembler's input is its output: whoever starts it does not see what passes there. */
static GSubprocess *spawn(int input_fd, int output_fd, GError **error)
{
    g_autofree char *program = job_program("steno-recorder");
    const char *const argv[] = {program, "--keys", NULL};
    g_autoptr(GSubprocessLauncher) launcher = job_assembler_launcher(G_SUBPROCESS_FLAGS_NONE);
    g_subprocess_launcher_take_stdin_fd(launcher, input_fd);
    g_subprocess_launcher_take_stdout_fd(launcher, output_fd);
    g_autoptr(GError) why = NULL;
    GSubprocess *process = g_subprocess_launcher_spawnv(launcher, argv, &why);
    if (!process)
        (void)steno_error_set(error, STENO_ERROR_INTERNAL, "cannot start '%s': %s", program, why->message);
    return process;
}

static gboolean ask_source(Keys *keys, const json_t *wanted, GError **error)
{
    int ours, theirs;
    if (!feed_socket(&ours, &theirs, error))
        return FALSE;
    GSubprocess *process = spawn(theirs, keys->fd, error);
    keys->fd = -1;
    if (!process) {
        close(ours);
        return FALSE;
    }
    g_autoptr(StenoSecret) request = request_text(&keys->config, wanted);
    Source *source = g_new0(Source, 1);
    source->keys = keys;
    source->process = process;
    source->request = feed_start(ours, request);
    keys->source = source;
    keys->timer = g_timeout_add_seconds(keys->config.timeout_s, on_timeout, keys);
    g_subprocess_wait_async(process, NULL, on_exit_, source);
    return TRUE;
}

/* ---- the keys ---------------------------------------------------------------------------------------------------- */

Keys *keys_new(const KeysConfig *config, int *child_fd, GError **error)
{
    int ours;
    if (!feed_socket(&ours, child_fd, error))
        return NULL;
    Keys *keys = g_new0(Keys, 1);
    keys->config = *config;
    (void)steno_secret_ref(config->key_set);
    keys->fd = ours;
    return keys;
}

void keys_wanted(Keys *keys, const json_t *wanted)
{
    g_autoptr(GError) error = NULL;
    if (keys->asked)
        return;
    keys->asked = TRUE;
    if (keys->config.key_set) {
        keys->feed = feed_start(keys->fd, keys->config.key_set);
        keys->fd = -1;
    } else if (!ask_source(keys, wanted, &error)) {
        keys->trouble = g_strdup(error->message);
        steno_warning(keys->config.log, "content keys for the assembly: %s", error->message);
        if (keys->fd >= 0)
            close(keys->fd);
        keys->fd = -1;
    }
}

void keys_close(Keys *keys, void (*closed)(gpointer user), gpointer user)
{
    keys->closed = closed;
    keys->user = user;
    if (keys->source)
        g_subprocess_force_exit(keys->source->process); /* one that has ended stays as it has */
    else
        closed(user);
}

const char *keys_trouble(const Keys *keys)
{
    return keys->trouble;
}

gboolean keys_are_cut(const Keys *keys)
{
    return keys->cut;
}

void keys_free(Keys *keys)
{
    if (!keys)
        return;
    stop_timer(keys);
    feed_free(keys->feed);
    if (keys->source) {
        keys->source->keys = NULL;
        g_subprocess_force_exit(keys->source->process);
    }
    if (keys->fd >= 0)
        close(keys->fd);
    steno_secret_unref(keys->config.key_set);
    g_free(keys->trouble);
    g_free(keys);
}
