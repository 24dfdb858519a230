#include "job_internal.h"

#include <unistd.h>

char *job_program(const char *name)
{
    g_autofree char *self = g_file_read_link("/proc/self/exe", NULL);
    g_autofree char *folder = self ? g_path_get_dirname(self) : NULL;
    g_autofree char *beside = folder ? g_build_filename(folder, name, NULL) : NULL;
    if (beside && g_file_test(beside, G_FILE_TEST_IS_EXECUTABLE))
        return g_steal_pointer(&beside);
    return g_build_filename(STENO_LIBEXEC_DIR, name, NULL);
}

/* Out of the terminal's foreground group: Ctrl-C is ours to answer, and ends no child in the middle of its work. */
static void leave_group(gpointer user)
{
    (void)user;
    (void)setpgid(0, 0);
}

GSubprocessLauncher *job_launcher_new(GSubprocessFlags flags)
{
    GSubprocessLauncher *launcher = g_subprocess_launcher_new(flags);
    g_subprocess_launcher_set_child_setup(launcher, leave_group, NULL, NULL);
    return launcher;
}
