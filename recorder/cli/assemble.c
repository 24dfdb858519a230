/* steno assemble, steno verify. */
#include "cli.h"

#include "steno/base/error.h"
#include "steno/job.h"

#include <stdio.h>

int cli_assemble(int argc, char **argv)
{
    CliCommon common = {0};
    g_autofree char *output = NULL, *outputs = NULL, *audio = NULL, *folder = NULL;
    g_autofree char *log_level = NULL, *work = NULL;
    const GOptionEntry entries[] = {
        {"output", 'o', 0, G_OPTION_ARG_FILENAME, &output, "folder for finished recordings (default: recordings)",
         "DIR"},
        {"outputs", 0, 0, G_OPTION_ARG_STRING, &outputs, "participant or track (default: as it was asked for)", "KIND"},
        {"audio", 0, 0, G_OPTION_ARG_STRING, &audio, "copy or aac (default: as it was asked for)", "HOW"},
        {"work", 0, 0, G_OPTION_ARG_FILENAME, &work,
         "make the files there first (default: CAPTURE/out); for a full disk", "DIR"},
        {"json", 0, 0, G_OPTION_ARG_NONE, &common.json, "tell the result as JSON on standard output", NULL},
        {"log-level", 0, 0, G_OPTION_ARG_STRING, &log_level, "error … trace", "LEVEL"},
        {NULL},
    };
    GOptionGroup *group = g_option_group_new("assemble", "", "", NULL, NULL);
    g_option_group_add_entries(group, entries);
    g_auto(GStrv) rest = NULL;
    g_autoptr(GError) error = NULL;
    int exit_code = cli_parse(
        "Makes the files of a capture, as often as you like, also of one that a crash cut short.", "CAPTURE",
        "Example:\n  steno assemble /srv/recordings/.spool/01J… --output /srv/recordings\n", group, argc, argv, &rest);
    if (exit_code >= 0)
        return exit_code;
    if (g_strv_length(rest) != 1)
        return cli_usage_error("give the folder of one capture; see `steno assemble --help`");
    common.log_level = log_level;
    if (!cli_apply_common(&common, &error) ||
        !steno_job_assemble(rest[0], output ? output : "recordings", work, outputs, audio, &folder, &error)) {
        if (common.json)
            cli_print_json(json_pack("{s:o}", "error", steno_error_to_json(error)));
        return cli_fail(error);
    }
    if (common.json)
        cli_print_json(json_pack("{s:s, s:s}", "event", "done", "folder", folder));
    else
        puts(folder);
    return 0;
}

int cli_verify(int argc, char **argv)
{
    gboolean json = FALSE;
    const GOptionEntry entries[] = {
        {"json", 0, 0, G_OPTION_ARG_NONE, &json, "tell each fault as a JSON line", NULL},
        {NULL},
    };
    GOptionGroup *group = g_option_group_new("verify", "", "", NULL, NULL);
    g_option_group_add_entries(group, entries);
    g_auto(GStrv) rest = NULL;
    g_autoptr(GError) error = NULL;
    int exit_code = cli_parse("Checks every file of a finished recording against its manifest.", "FOLDER",
                              "Example:\n  steno verify /srv/recordings/1234/20261121T195540Z_01J…\n"
                              "\nExit codes: 0 all is as the manifest says, 44 it is not.\n",
                              group, argc, argv, &rest);
    if (exit_code >= 0)
        return exit_code;
    if (g_strv_length(rest) != 1)
        return cli_usage_error("give the folder of one recording; see `steno verify --help`");
    exit_code = steno_job_verify(rest[0], json, &error);
    return error ? cli_fail(error) : exit_code;
}
