#include "assembler.h"

#include "programs.h"

#include "steno/base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

/* The child holds the capture's lock as this descriptor, which it does not know of: it ends with the child. */
#define CHILD_LOCK_FD 3
#define CHILD_OUTPUT_KEY_FD 4

struct Assembler {
    const AssemblerEvents *events; /* NULL: cancelled */
    gpointer user;
    GSubprocess *process;
    GDataInputStream *lines;
    Keys *keys;    /* NULL: it does not ask */
    GError *error; /* what it told */
    gboolean ended;
    char *how; /* it went, when it did not end as it should */
};

static void assembler_free(Assembler *assembler)
{
    g_clear_object(&assembler->process);
    g_clear_object(&assembler->lines);
    g_clear_error(&assembler->error);
    keys_free(assembler->keys);
    g_free(assembler->how);
    g_free(assembler);
}

/* ---- its end ----------------------------------------------------------------------------------------------------- */

static gboolean lacks_keys(const GError *error)
{
    return g_error_matches(error, STENO_ERROR, STENO_ERROR_NO_KEY) ||
           g_error_matches(error, STENO_ERROR, STENO_ERROR_BAD_KEY);
}

/* What is known of keys that did not come, and what came of it. TRUE: it may go better another time. */
static gboolean take_trouble_of_keys(Assembler *assembler)
{
    const char *trouble = assembler->keys ? keys_trouble(assembler->keys) : NULL;
    if (trouble && lacks_keys(assembler->error)) {
        GError *told = assembler->error;
        assembler->error = g_error_new(STENO_ERROR, told->code, "%s (%s)", told->message, trouble);
        g_error_free(told);
    }
    return assembler->keys && keys_are_cut(assembler->keys) &&
           g_error_matches(assembler->error, STENO_ERROR, STENO_ERROR_KEYS_INVALID);
}

static void end(gpointer user)
{
    Assembler *assembler = user;
    gboolean crashed = take_trouble_of_keys(assembler);
    if (assembler->how && !assembler->error) {
        crashed = TRUE;
        g_set_error(&assembler->error, STENO_ERROR, STENO_ERROR_INTERNAL,
                    "the assembly died (%s); the capture is kept: run `steno assemble` on it", assembler->how);
    }
    if (assembler->events)
        assembler->events->done(assembler->user, assembler->error, crashed);
    assembler_free(assembler);
}

static void on_exit_(GObject *source, GAsyncResult *result, gpointer user)
{
    Assembler *assembler = user;
    g_autoptr(GError) error = NULL;
    assembler->ended = TRUE;
    if (!g_subprocess_wait_check_finish(G_SUBPROCESS(source), result, &error))
        assembler->how = g_strdup(error->message);
    if (assembler->keys)
        keys_close(assembler->keys, end, assembler);
    else
        end(assembler);
}

/* ---- what it says ------------------------------------------------------------------------------------------------ */

static void take_line(Assembler *assembler, const char *line)
{
    json_t *message = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
    const json_t *progress = json_object_get(message, "progress");
    if (json_is_number(progress) && assembler->events)
        assembler->events->progress(assembler->user, json_number_value(progress));
    const json_t *wanted = json_object_get(message, "keys_wanted");
    if (json_is_array(wanted) && assembler->keys)
        keys_wanted(assembler->keys, wanted);
    if (!assembler->error)
        assembler->error = steno_error_from_json(json_object_get(message, "error"), "the assembly failed");
    json_decref(message);
}

static void on_line(GObject *source, GAsyncResult *result, gpointer user)
{
    Assembler *assembler = user;
    g_autofree char *line = g_data_input_stream_read_line_finish(G_DATA_INPUT_STREAM(source), result, NULL, NULL);
    if (!line) {
        g_subprocess_wait_check_async(assembler->process, NULL, on_exit_, assembler);
        return;
    }
    take_line(assembler, line);
    g_data_input_stream_read_line_async(assembler->lines, G_PRIORITY_DEFAULT, NULL, on_line, assembler);
}

/* ---- starting ---------------------------------------------------------------------------------------------------- */

static void add(GPtrArray *argv, const char *option, const char *value)
{
    g_ptr_array_add(argv, g_strdup(option));
    if (value)
        g_ptr_array_add(argv, g_strdup(value));
}

static GPtrArray *words_of(const AssemblyConfig *config, const char *program)
{
    GPtrArray *argv = g_ptr_array_new_with_free_func(g_free);
    g_autofree char *section = g_strdup_printf("%u", config->section);
    g_autofree char *key_fd = g_strdup_printf("%d", CHILD_OUTPUT_KEY_FD);
    gboolean encrypted = config->encryption && strcmp(config->encryption, "none") != 0;
    add(argv, program, "assemble");
    add(argv, config->capture, NULL);
    add(argv, "--output", config->output);
    add(argv, "--json", NULL);
    if (config->section)
        add(argv, "--section", section);
    if (config->join && !config->section)
        add(argv, "--join", NULL);
    if (config->outputs)
        add(argv, "--outputs", config->outputs);
    if (config->audio)
        add(argv, "--audio", config->audio);
    if (config->ask)
        add(argv, "--keys", NULL);
    if (config->sealed)
        add(argv, "--sealed", NULL);
    if (encrypted)
        add(argv, "--encrypt", config->encryption);
    for (char *const *recipient = config->recipients; encrypted && recipient && *recipient; recipient++)
        add(argv, "--recipient", *recipient);
    if (encrypted && config->output_key)
        add(argv, "--output-key-fd", key_fd);
    g_ptr_array_add(argv, NULL);
    return argv;
}

/* A pipe with the key in it: it fits, so that nobody needs to read yet. -1 with an error. */
static int key_pipe(const StenoSecret *key, GError **error)
{
    int fds[2];
    gsize bytes = steno_secret_bytes(key);
    if (bytes > PIPE_BUF || pipe2(fds, O_CLOEXEC) != 0) {
        (void)steno_error_set(error, STENO_ERROR_USAGE, "the key that outputs are to be encrypted with: %s",
                              bytes > PIPE_BUF ? "it is too long for KID:KEY" : g_strerror(errno));
        return -1;
    }
    gboolean written = write(fds[1], steno_secret_data(key), bytes) == (gssize)bytes;
    close(fds[1]);
    if (written)
        return fds[0];
    close(fds[0]);
    (void)steno_error_set(error, STENO_ERROR_INTERNAL,
                          "cannot hand over the key that outputs are to be encrypted with");
    return -1;
}

/* The lock, which ends with the child; the key of its outputs. */
static gboolean take_descriptors(GSubprocessLauncher *launcher, const AssemblyConfig *config, GError **error)
{
    int lock_fd = fcntl(config->lock_fd, F_DUPFD_CLOEXEC, 0);
    if (lock_fd < 0)
        return steno_error_set(error, STENO_ERROR_INTERNAL, "cannot start an assembly: %s", g_strerror(errno));
    g_subprocess_launcher_take_fd(launcher, lock_fd, CHILD_LOCK_FD);
    if (!config->output_key)
        return TRUE;
    int key_fd = key_pipe(config->output_key, error);
    if (key_fd >= 0)
        g_subprocess_launcher_take_fd(launcher, key_fd, CHILD_OUTPUT_KEY_FD);
    return key_fd >= 0;
}

static gboolean spawn(Assembler *assembler, const AssemblyConfig *config, GError **error)
{
    g_autofree char *program = job_program("steno-assemble");
    g_autoptr(GPtrArray) argv = words_of(config, program);
    g_autoptr(GSubprocessLauncher) launcher = job_assembler_launcher(G_SUBPROCESS_FLAGS_STDOUT_PIPE);
    g_autoptr(GError) why = NULL;
    int keys_fd;
    if (!take_descriptors(launcher, config, error))
        return FALSE;
    if (config->ask) {
        assembler->keys = keys_new(&config->keys, &keys_fd, error);
        if (!assembler->keys)
            return FALSE;
        g_subprocess_launcher_take_stdin_fd(launcher, keys_fd);
    }
    assembler->process = g_subprocess_launcher_spawnv(launcher, (const char *const *)argv->pdata, &why);
    return assembler->process ||
           steno_error_set(error, STENO_ERROR_INTERNAL, "cannot start '%s': %s", program, why->message);
}

Assembler *job_assembler_run(const AssemblyConfig *config, const AssemblerEvents *events, gpointer user, GError **error)
{
    Assembler *assembler = g_new0(Assembler, 1);
    if (!spawn(assembler, config, error)) {
        assembler_free(assembler);
        return NULL;
    }
    assembler->events = events;
    assembler->user = user;
    assembler->lines = g_data_input_stream_new(g_subprocess_get_stdout_pipe(assembler->process));
    g_data_input_stream_read_line_async(assembler->lines, G_PRIORITY_DEFAULT, NULL, on_line, assembler);
    return assembler;
}

void job_assembler_cancel(Assembler *assembler)
{
    assembler->events = NULL;
    g_clear_pointer(&assembler->keys, keys_free);
    if (assembler->ended)
        assembler_free(assembler);
    else
        g_subprocess_force_exit(assembler->process);
}
