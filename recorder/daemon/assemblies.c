/* At most limits.assemblies run at a time; whoever came first is first. */
#include "daemon_internal.h"

static void run_next(StenoDaemon *daemon)
{
    while (daemon->assemblies_running < (guint)daemon->config->limits.assemblies) {
        Recording *recording = g_queue_pop_head(&daemon->assemblies);
        if (!recording)
            return;
        recording->assembly = ASSEMBLY_RUNNING;
        daemon->assemblies_running++;
        steno_job_assemble_now(recording->job);
    }
}

/* Not at once: the job is in the middle of telling us, and may not be known to the recording yet. */
static gboolean on_turn(gpointer data)
{
    StenoDaemon *daemon = data;
    daemon->assemblies_source = 0;
    run_next(daemon);
    return G_SOURCE_REMOVE;
}

static void run_next_soon(StenoDaemon *daemon)
{
    if (!daemon->assemblies_source)
        daemon->assemblies_source = g_idle_add_full(G_PRIORITY_DEFAULT, on_turn, daemon, NULL);
}

void assemblies_want(Recording *recording)
{
    if (recording->assembly != ASSEMBLY_NONE)
        return;
    recording->assembly = ASSEMBLY_WAITING;
    g_queue_push_tail(&recording->daemon->assemblies, recording);
    run_next_soon(recording->daemon);
}

void assemblies_release(Recording *recording)
{
    StenoDaemon *daemon = recording->daemon;
    if (recording->assembly == ASSEMBLY_WAITING)
        g_queue_remove(&daemon->assemblies, recording);
    if (recording->assembly == ASSEMBLY_RUNNING) {
        daemon->assemblies_running--;
        run_next_soon(daemon);
    }
    recording->assembly = ASSEMBLY_NONE;
}
