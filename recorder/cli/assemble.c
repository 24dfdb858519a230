/* steno assemble. */
#include "destination.h"

#include "steno/job.h"

#include <stdio.h>

static int run_assemble(CliCall *call, GError **error)
{
    g_autofree char *uri = NULL, *folder = NULL;
    g_autoptr(StenoStore) store = destination_open(call, error);
    g_autoptr(StenoSigner) signer = NULL;
    if (!store || !destination_signer(call, &signer, error) ||
        !steno_job_assemble(call->operands[0], store, signer, cli_text(call, "work"), cli_text(call, "outputs"),
                            cli_text(call, "audio"), &uri, error))
        return 1;
    folder = destination_shown(uri);
    if (call->json)
        cli_print_json(json_pack("{s:s, s:s, s:s}", "event", "done", "folder", folder, "uri", uri));
    else
        puts(folder);
    return 0;
}

static const CliOption assemble_options[] = {
    DESTINATION_OPTIONS,
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
    .examples = "  steno assemble /srv/recordings/.spool/01J… --output /srv/recordings\n"
                "  sudo -u steno steno assemble /var/lib/steno/spool/01J… --storage archive\n",
    .codes = "not-found nothing-recorded storage-unwritable storage-full storage-failed storage-denied "
             "storage-unreachable geofence config source-damaged conflict capture-damaged interrupted",
    .options = assemble_options,
    .run = run_assemble,
};
