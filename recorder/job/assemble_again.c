/* What `steno assemble` and `steno verify` do: the assembler in the foreground. */
#include "assembler.h"
#include "capture_folder.h"
#include "deliver.h"
#include "programs.h"

#include "steno/base/error.h"
#include "steno/job.h"
#include "steno/storage.h"

#include <sys/wait.h>
#include <unistd.h>

typedef struct {
    GMainLoop *loop;
    GError *error;
} Foreground;

static void ignore_progress(gpointer user, double done)
{
    (void)user;
    (void)done;
}

static void on_done(gpointer user, const GError *error, gboolean crashed)
{
    Foreground *foreground = user;
    (void)crashed;
    foreground->error = error ? g_error_copy(error) : NULL;
    g_main_loop_quit(foreground->loop);
}

gboolean steno_job_assemble(const char *capture, const char *root, const char *work, const char *outputs,
                            const char *audio, char **folder, GError **error)
{
    static const AssemblerEvents events = {.progress = ignore_progress, .done = on_done};
    if (!steno_sink_local.check(root, error))
        return FALSE;
    g_autofree char *assembled = work ? g_strdup(work) : g_build_filename(capture, "out", NULL);
    g_autofree char *asked_outputs = outputs ? g_strdup(outputs) : job_capture_setting(capture, "outputs");
    g_autofree char *asked_audio = audio ? g_strdup(audio) : job_capture_setting(capture, "audio");
    Foreground foreground = {.loop = g_main_loop_new(NULL, FALSE)};
    gboolean done =
        job_assembler_run(capture, assembled, asked_outputs, asked_audio, &events, &foreground, error) != NULL;
    if (done) {
        g_main_loop_run(foreground.loop);
        done = !foreground.error;
        if (foreground.error)
            g_propagate_error(error, foreground.error);
    }
    g_main_loop_unref(foreground.loop);
    int lock_fd = done ? job_capture_lock(capture, error) : -1;
    done = lock_fd >= 0 && job_deliver(capture, assembled, root, NULL, folder, error);
    if (lock_fd >= 0)
        close(lock_fd);
    return done;
}

int steno_job_verify(const char *folder, gboolean json, GError **error)
{
    g_autofree char *program = job_program("steno-assemble");
    const char *argv[] = {program, "verify", folder, json ? "--json" : NULL, NULL};
    gint status = 0;
    g_autoptr(GError) why = NULL;
    if (!g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_CHILD_INHERITS_STDIN, NULL, NULL, NULL, NULL, &status, &why)) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_INTERNAL, "cannot start '%s': %s", program, why->message);
        return steno_error_exit_code(*error);
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
