#include "assembler.h"

#include "programs.h"

#include "steno/base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>

/* The child holds the capture's lock as this descriptor, which it does not know of: it ends with the child. */
#define CHILD_LOCK_FD 3

struct Assembler {
    const AssemblerEvents *events; /* NULL: cancelled */
    gpointer user;
    GSubprocess *process;
    GDataInputStream *lines;
    GError *error; /* what it told */
};

static void assembler_free(Assembler *assembler)
{
    g_clear_object(&assembler->process);
    g_clear_object(&assembler->lines);
    g_clear_error(&assembler->error);
    g_free(assembler);
}

static void on_exit_(GObject *source, GAsyncResult *result, gpointer user)
{
    Assembler *assembler = user;
    g_autoptr(GError) error = NULL;
    gboolean clean = g_subprocess_wait_check_finish(G_SUBPROCESS(source), result, &error);
    gboolean crashed = !clean && !assembler->error;
    if (crashed)
        g_set_error(&assembler->error, STENO_ERROR, STENO_ERROR_INTERNAL,
                    "the assembly died (%s); the capture is kept: run `steno assemble` on it", error->message);
    if (assembler->events)
        assembler->events->done(assembler->user, assembler->error, crashed);
    assembler_free(assembler);
}

static void take_line(Assembler *assembler, const char *line)
{
    json_t *message = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
    const json_t *progress = json_object_get(message, "progress");
    if (json_is_number(progress) && assembler->events)
        assembler->events->progress(assembler->user, json_number_value(progress));
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

static GSubprocess *spawn(const AssemblyConfig *config, GError **error)
{
    g_autofree char *program = job_program("steno-assemble");
    g_autofree char *section = g_strdup_printf("%u", config->section);
    const char *argv[16] = {program, "assemble", config->capture, "--output", config->output, "--json"};
    guint n = 6;
    if (config->section) {
        argv[n++] = "--section";
        argv[n++] = section;
    }
    if (config->join && !config->section)
        argv[n++] = "--join";
    if (config->outputs) {
        argv[n++] = "--outputs";
        argv[n++] = config->outputs;
    }
    if (config->audio) {
        argv[n++] = "--audio";
        argv[n++] = config->audio;
    }
    g_autoptr(GError) why = NULL;
    g_autoptr(GSubprocessLauncher) launcher = job_assembler_launcher(G_SUBPROCESS_FLAGS_STDOUT_PIPE);
    int lock_fd = fcntl(config->lock_fd, F_DUPFD_CLOEXEC, 0);
    if (lock_fd < 0) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_INTERNAL, "cannot start '%s': %s", program, g_strerror(errno));
        return NULL;
    }
    g_subprocess_launcher_take_fd(launcher, lock_fd, CHILD_LOCK_FD);
    GSubprocess *process = g_subprocess_launcher_spawnv(launcher, argv, &why);
    if (!process)
        g_set_error(error, STENO_ERROR, STENO_ERROR_INTERNAL, "cannot start '%s': %s", program, why->message);
    return process;
}

Assembler *job_assembler_run(const AssemblyConfig *config, const AssemblerEvents *events, gpointer user, GError **error)
{
    GSubprocess *process = spawn(config, error);
    if (!process)
        return NULL;
    Assembler *assembler = g_new0(Assembler, 1);
    assembler->events = events;
    assembler->user = user;
    assembler->process = process;
    assembler->lines = g_data_input_stream_new(g_subprocess_get_stdout_pipe(process));
    g_data_input_stream_read_line_async(assembler->lines, G_PRIORITY_DEFAULT, NULL, on_line, assembler);
    return assembler;
}

void job_assembler_cancel(Assembler *assembler)
{
    assembler->events = NULL;
    g_subprocess_force_exit(assembler->process);
}
