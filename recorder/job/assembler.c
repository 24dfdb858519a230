/* steno-assemble as a child process: its progress lines read, its error taken over. */
#include "job_internal.h"

#include "steno/base/error.h"

#include <string.h>

typedef struct {
    const AssemblerEvents *events;
    gpointer user;
    GSubprocess *process;
    GDataInputStream *lines;
    GError *error; /* what it told */
} Assembler;

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
    if (!clean && !assembler->error)
        g_set_error(&assembler->error, STENO_ERROR, STENO_ERROR_INTERNAL,
                    "the assembly died (%s); the capture is kept: run `steno assemble` on it", error->message);
    assembler->events->done(assembler->user, assembler->error);
    assembler_free(assembler);
}

static void take_line(Assembler *assembler, const char *line)
{
    json_t *message = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
    const json_t *progress = json_object_get(message, "progress");
    if (json_is_number(progress))
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

gboolean job_assembler_run(const char *capture, const char *output, const char *outputs, const char *audio,
                           const AssemblerEvents *events, gpointer user, GError **error)
{
    g_autofree char *program = job_program("steno-assemble");
    g_autoptr(GPtrArray) argv = g_ptr_array_new();
    const char *const fixed[] = {program, "assemble", capture, "--output", output, "--json"};
    for (guint i = 0; i < G_N_ELEMENTS(fixed); i++)
        g_ptr_array_add(argv, (gpointer)fixed[i]);
    if (outputs) {
        g_ptr_array_add(argv, (gpointer) "--outputs");
        g_ptr_array_add(argv, (gpointer)outputs);
    }
    if (audio) {
        g_ptr_array_add(argv, (gpointer) "--audio");
        g_ptr_array_add(argv, (gpointer)audio);
    }
    g_ptr_array_add(argv, NULL);
    g_autoptr(GError) why = NULL;
    g_autoptr(GSubprocessLauncher) launcher = job_launcher_new(G_SUBPROCESS_FLAGS_STDOUT_PIPE);
    GSubprocess *process = g_subprocess_launcher_spawnv(launcher, (const gchar *const *)argv->pdata, &why);
    if (!process) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_INTERNAL, "cannot start '%s': %s", program, why->message);
        return FALSE;
    }
    Assembler *assembler = g_new0(Assembler, 1);
    assembler->events = events;
    assembler->user = user;
    assembler->process = process;
    assembler->lines = g_data_input_stream_new(g_subprocess_get_stdout_pipe(process));
    g_data_input_stream_read_line_async(assembler->lines, G_PRIORITY_DEFAULT, NULL, on_line, assembler);
    return TRUE;
}
