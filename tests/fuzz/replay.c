/* Runs a fuzz target over every file of the folders named on the command line: the corpus as a unit test. */
#include <glib.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static unsigned replay_file(const char *path)
{
    g_autofree char *data = NULL;
    gsize bytes = 0;
    g_autoptr(GError) error = NULL;
    if (!g_file_get_contents(path, &data, &bytes, &error)) {
        g_printerr("cannot read %s: %s\n", path, error->message);
        exit(1);
    }
    /* An exact-size heap copy, so that a read past the end is seen (g_file_get_contents adds a NUL). */
    uint8_t *exact = malloc(bytes ? bytes : 1);
    memcpy(exact, data, bytes);
    (void)LLVMFuzzerTestOneInput(exact, bytes);
    free(exact);
    return 1;
}

static unsigned replay_folder(const char *folder)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GDir) dir = g_dir_open(folder, 0, &error);
    if (!dir) {
        g_printerr("cannot open corpus %s: %s\n", folder, error->message);
        exit(1);
    }
    unsigned count = 0;
    const char *name;
    while ((name = g_dir_read_name(dir))) {
        g_autofree char *path = g_build_filename(folder, name, NULL);
        if (g_file_test(path, G_FILE_TEST_IS_REGULAR))
            count += replay_file(path);
    }
    return count;
}

int main(int argc, char **argv)
{
    unsigned count = 0;
    for (int i = 1; i < argc; i++)
        count += replay_folder(argv[i]);
    g_print("%u inputs replayed\n", count);
    return count > 0 ? 0 : 1;
}
