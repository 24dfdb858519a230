/* steno assemble, steno verify. */
#include "cli.h"

#include "steno/job.h"

#include <stdio.h>

static int run_assemble(CliCall *call, GError **error)
{
    g_autofree char *folder = NULL;
    const char *output = cli_text(call, "output");
    if (!steno_job_assemble(call->operands[0], output ? output : "recordings", cli_text(call, "work"),
                            cli_text(call, "outputs"), cli_text(call, "audio"), &folder, error))
        return 1;
    if (call->json)
        cli_print_json(json_pack("{s:s, s:s}", "event", "done", "folder", folder));
    else
        puts(folder);
    return 0;
}

static int run_verify(CliCall *call, GError **error)
{
    return steno_job_verify(call->operands[0], call->json, error);
}

static const CliOption assemble_options[] = {
    {"output", 'o', CLI_TEXT, "DIR", "folder for finished recordings (default: recordings)"},
    {"outputs", 0, CLI_TEXT, "participant|track", "one file a participant, or a track (default: as it was asked for)"},
    {"audio", 0, CLI_TEXT, "copy|aac", "audio in the files (default: as it was asked for)"},
    {"work", 0, CLI_TEXT, "DIR", "make the files there first (default: CAPTURE/out); for a full disk"},
    {NULL},
};

const CliCommand cli_assemble = {
    .name = "assemble",
    .words = "make the files of a capture (again)",
    .operands = "CAPTURE",
    .operands_min = 1,
    .operands_max = 1,
    .summary = "Makes the files of a capture, as often as you like, also of one that a crash cut short.",
    .examples = "  steno assemble /srv/recordings/.spool/01J… --output /srv/recordings\n",
    .codes = "not-found nothing-recorded storage-unwritable storage-full storage-failed capture-damaged interrupted",
    .options = assemble_options,
    .run = run_assemble,
};

const CliCommand cli_verify = {
    .name = "verify",
    .words = "check a finished recording against its manifest",
    .operands = "FOLDER",
    .operands_min = 1,
    .operands_max = 1,
    .summary = "Checks every file of a finished recording against its manifest.",
    .examples = "  steno verify /srv/recordings/1234/20261121T195540Z_01J…\n",
    .codes = "verify-failed storage-failed",
    .run = run_verify,
};
