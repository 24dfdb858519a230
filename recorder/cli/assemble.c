/* steno assemble. */
#include "destination.h"

#include "steno/job.h"

#include <stdio.h>

typedef struct {
    StenoStore *store;
    StenoSigner *signer; /* or NULL */
    StenoSecret *keys, *output_key;
} Given;

/* TRUE as well when it was not given. */
static gboolean read_file(CliCall *call, const char *name, StenoSecret **secret, GError **error)
{
    const char *path = cli_text(call, name);
    g_autofree char *option = g_strconcat("--", name, NULL);
    *secret = path ? cli_read_secret(call, option, path, TRUE, error) : NULL;
    return !path || *secret;
}

static gboolean assemble(CliCall *call, const Given *given, char **uri, GError **error)
{
    const StenoJobAssembly assembly = {
        .capture = call->operands[0],
        .store = given->store,
        .signer = given->signer,
        .work = cli_text(call, "work"),
        .outputs = cli_text(call, "outputs"),
        .audio = cli_text(call, "audio"),
        .keys = given->keys,
        .output_encryption = cli_text(call, "encrypt"),
        .recipients = cli_texts(call, "recipient"),
        .output_key = given->output_key,
    };
    return steno_job_assemble(&assembly, uri, error);
}

static void print_done(const CliCall *call, const char *uri)
{
    g_autofree char *folder = destination_shown(uri);
    if (call->json)
        cli_print_json(json_pack("{s:s, s:s, s:s}", "event", "done", "folder", folder, "uri", uri));
    else
        puts(folder);
}

static int run_assemble(CliCall *call, GError **error)
{
    Given given = {0};
    g_autofree char *uri = NULL;
    gboolean done = read_file(call, "keys", &given.keys, error) &&
                    read_file(call, "output-key-file", &given.output_key, error) &&
                    (given.store = destination_open(call, error)) && destination_signer(call, &given.signer, error) &&
                    assemble(call, &given, &uri, error);
    if (done)
        print_done(call, uri);
    if (given.store)
        steno_store_unref(given.store);
    steno_signer_unref(given.signer);
    steno_secret_unref(given.keys);
    steno_secret_unref(given.output_key);
    return done ? 0 : 1;
}

static const CliOption assemble_options[] = {
    DESTINATION_OPTIONS,
    {"outputs", 0, CLI_TEXT, "participant|track", "one file a participant, or a track (default: as it was asked for)"},
    {"audio", 0, CLI_TEXT, "copy|aac", "audio in the files (default: as it was asked for)"},
    {"keys", 0, CLI_TEXT, "FILE", "decrypt what is sealed with these content keys (docs/CHANNEL-AES.md)"},
    {"encrypt", 0, CLI_TEXT, "none|cms|cenc", "encrypt the files (default: as it was asked for)"},
    {"recipient", 0, CLI_LIST, "FILE", "with cms: X.509 certificate of who may read the files, PEM (repeatable)"},
    {"output-key-file", 0, CLI_TEXT, "FILE", "with cenc: key id and key, 32 hex digits each, as in KID:KEY"},
    {"work", 0, CLI_TEXT, "DIR", "make the files there first (default: CAPTURE/out); for a full disk"},
    {NULL},
};

const CliCommand cli_assemble = {
    .name = "assemble",
    .words = "make the files of a capture (again)",
    .operands = "CAPTURE|FOLDER",
    .operands_min = 1,
    .operands_max = 1,
    .summary =
        "Makes the files of a capture, as often as you like, also of one that a crash cut short. Of the folder of a\n"
        "finished recording with sealed files (as `steno get` brings it), and with the keys, it makes what could\n"
        "not be decrypted when it was recorded; those files go to a folder beside the recording's, `…-unsealed`.",
    .examples = "  steno assemble /srv/recordings/.spool/01J… --output /srv/recordings\n"
                "  sudo -u steno steno assemble /var/lib/steno/spool/01J… --storage archive\n"
                "  steno assemble ./01J… --keys channel-keys.json --output /srv/unsealed\n"
                "  steno assemble ./01J… --keys - --encrypt cms --recipient court.pem < channel-keys.json\n",
    .codes = "not-found nothing-recorded storage-unwritable storage-full storage-failed storage-denied "
             "storage-unreachable geofence config source-damaged conflict capture-damaged interrupted "
             "no-key bad-key keys-invalid",
    .options = assemble_options,
    .run = run_assemble,
};
