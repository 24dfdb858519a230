#include "shell.h"

#include <stdio.h>

gboolean shell(const char *folder, const char *command)
{
    const char *words[] = {"sh", "-ec", command, NULL};
    g_autofree char *out = NULL, *err = NULL;
    int status = -1;
    g_autoptr(GError) error = NULL;
    if (!g_spawn_sync(folder, (char **)words, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, &out, &err, &status, &error))
        fprintf(stderr, "cannot run sh: %s\n", error->message);
    else if (status != 0)
        fprintf(stderr, "$ %s\n%s%s", command, out, err);
    return status == 0;
}

char *folder_new(void)
{
    return g_dir_make_tmp("steno-proof-XXXXXX", NULL);
}

void folder_free(char *folder)
{
    shell(folder, "chmod -R u+rwX . && rm -rf \"$PWD\"");
    g_free(folder);
}

char *in_folder(const char *folder, const char *name)
{
    return g_build_filename(folder, name, NULL);
}
