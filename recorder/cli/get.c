/* steno files, steno get. */
#include "download.h"

#include "steno/proof.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define MANIFEST "manifest.json"

/* ---- files ------------------------------------------------------------------------------------------------------- */

static void add_file(CliTable *table, const json_t *file, gboolean plain)
{
    g_autofree char *size = cli_size(cli_number(file, "bytes"), plain);
    cli_table_add(table, cli_member(file, "name"), cli_member(file, "deleted_at")[0] ? "deleted" : size,
                  cli_member(file, "media_type"), cli_member(file, "participant"), cli_member(file, "sha256"),
                  cli_file_encryption(file));
}

static int run_files(CliCall *call, GError **error)
{
    static const char *const heads[] = {"FILE", "SIZE", "TYPE", "PARTICIPANT", "SHA-256", "ENCRYPTED", NULL};
    static const CliListing listing = {"files", heads, 4, add_file};
    g_autofree char *path = cli_path("recordings", call->operands[0], "files", NULL);
    int exit_code = cli_list_answer(call, path, &listing, error);
    if (error && *error)
        g_prefix_error(error, "recording %s: ", call->operands[0]);
    return exit_code;
}

/* ---- get --------------------------------------------------------------------------------------------------------- */

static json_t *fetch_files(CliClient *client, const char *id, GError **error)
{
    g_autofree char *path = cli_path("recordings", id, "files", NULL);
    json_t *answer = cli_client_ask(client, "GET", path, NULL, error);
    if (!answer)
        g_prefix_error(error, "recording %s: ", id);
    return answer;
}

/* A name from elsewhere must not lead out of the folder, nor hide in it. */
static gboolean is_plain_name(const char *name)
{
    return name[0] && name[0] != '.' && !strchr(name, '/') && !strchr(name, '\\');
}

static gboolean get_one(CliClient *client, CliCall *call, const CliDownload *download, GError **error)
{
    gboolean fetched = FALSE;
    if (!is_plain_name(download->name)) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_PROTOCOL, "'%s' is no name of a file", download->name);
        return FALSE;
    }
    if (!cli_download(client, download, &fetched, error))
        return FALSE;
    g_autofree char *path = g_build_filename(download->folder, download->name, NULL);
    if (call->json)
        cli_print_json(json_pack("{s:s, s:s, s:b}", "name", download->name, "path", path, "fetched", fetched));
    else
        puts(path);
    fflush(stdout);
    return TRUE;
}

static gboolean is_wanted(char **names, const char *name)
{
    return !names[0] || g_strv_contains((const char *const *)names, name);
}

static const json_t *find_file(const json_t *files, const char *name)
{
    size_t i = 0;
    json_t *file = NULL;
    json_array_foreach (files, i, file) {
        if (strcmp(cli_member(file, "name"), name) == 0)
            return file;
    }
    return NULL;
}

/* Are all there that were named; is there anything? */
static gboolean check_names(CliClient *client, const char *id, char **names, const json_t *files, GError **error)
{
    for (char **name = names; *name; name++) {
        const json_t *file = find_file(files, *name);
        if (!file && !g_str_has_prefix(*name, MANIFEST)) {
            g_set_error(error, STENO_ERROR, STENO_ERROR_NOT_FOUND,
                        "recording %s has no file '%s'; `steno files %s` lists them", id, *name, id);
            return FALSE;
        }
        if (file && cli_member(file, "deleted_at")[0]) {
            g_set_error(error, STENO_ERROR, STENO_ERROR_NOT_FOUND, "the file '%s' of recording %s was deleted at %s",
                        *name, id, cli_member(file, "deleted_at"));
            return FALSE;
        }
    }
    if (names[0] || json_array_size(files) > 0)
        return TRUE;
    g_autofree char *path = cli_path("recordings", id, NULL);
    json_t *recording = cli_client_ask(client, "GET", path, NULL, error);
    if (!recording)
        return FALSE;
    g_set_error(error, STENO_ERROR, STENO_ERROR_NOT_FOUND, "recording %s has no files%s: it is %s", id,
                cli_has_ended(recording) ? "" : " yet", cli_member(recording, "state"));
    json_decref(recording);
    return FALSE;
}

static char *file_path(CliCall *call, const char *name)
{
    const char *id = call->operands[0];
    g_autofree char *own = strcmp(name, MANIFEST) == 0 ? cli_path("recordings", id, "manifest", NULL)
                                                       : cli_path("recordings", id, "files", name, NULL);
    return g_strconcat(own, cli_flag(call, "direct") ? "?via=redirect" : "?via=stream", NULL);
}

/* The manifest, and what proves it, where there is such a thing. */
static gboolean get_manifest(CliClient *client, CliCall *call, CliDownload *download, const json_t *files,
                             GError **error)
{
    static const char *const names[] = {MANIFEST STENO_PROOF_TIMESTAMP_SUFFIX, MANIFEST STENO_PROOF_SIGNATURE_SUFFIX,
                                        MANIFEST};
    for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
        if (find_file(files, names[i]) || !is_wanted(call->operands + 1, names[i]))
            continue;
        g_autofree char *path = file_path(call, names[i]);
        g_autoptr(GError) refused = NULL;
        download->path = path;
        download->name = names[i];
        download->bytes = -1;
        download->sha256 = "";
        if (get_one(client, call, download, &refused))
            continue;
        if (strcmp(names[i], MANIFEST) != 0 && g_error_matches(refused, STENO_ERROR, STENO_ERROR_NOT_FOUND))
            continue;
        g_propagate_error(error, g_steal_pointer(&refused));
        return FALSE;
    }
    return TRUE;
}

static gboolean get_all(CliClient *client, CliCall *call, const char *folder, const json_t *files, GError **error)
{
    char **names = call->operands + 1;
    CliDownload download = {
        .folder = folder,
        .force = cli_flag(call, "force"),
        .progress = !call->json && isatty(STDERR_FILENO),
        .direct = cli_flag(call, "direct"),
        .storage_ca = cli_text(call, "storage-ca"),
    };
    size_t i = 0;
    json_t *file = NULL;
    json_array_foreach (files, i, file) {
        download.name = cli_member(file, "name");
        if (!is_wanted(names, download.name) || cli_member(file, "deleted_at")[0])
            continue;
        g_autofree char *path = file_path(call, download.name);
        download.path = path;
        download.bytes = json_is_integer(json_object_get(file, "bytes")) ? cli_number(file, "bytes") : -1;
        download.sha256 = cli_member(file, "sha256");
        if (!get_one(client, call, &download, error))
            return FALSE;
    }
    return get_manifest(client, call, &download, files, error);
}

static int run_get(CliCall *call, GError **error)
{
    const char *id = call->operands[0], *folder = cli_text(call, "output") ? cli_text(call, "output") : id;
    g_autoptr(CliClient) client = cli_client_new(call, error);
    if (client && !cli_text(call, "output") && !is_plain_name(id)) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_USAGE, "'%s' is no recording's id", id);
        return 2;
    }
    json_t *answer = client ? fetch_files(client, id, error) : NULL;
    if (!answer)
        return 1;
    const json_t *files = json_object_get(answer, "files");
    gboolean good = check_names(client, id, call->operands + 1, files, error);
    if (good && g_mkdir_with_parents(folder, 0700) != 0)
        good = steno_error_set_errno(error, errno, "making the folder '%s'", folder);
    if (good)
        good = get_all(client, call, folder, files, error);
    json_decref(answer);
    return good ? 0 : 1;
}

/* ---- tables ------------------------------------------------------------------------------------------------------ */

static const CliOption files_options[] = {
    {"plain", 0, CLI_FLAG, NULL, "tab separated, without heads; sizes in bytes"},
    {NULL},
};

const CliCommand cli_files = {
    .name = "files",
    .words = "list a recording's files",
    .operands = "ID",
    .operands_min = 1,
    .operands_max = 1,
    .summary = "Lists the finished files of a recording.",
    .examples = "  steno files 01JD8Z…\n",
    .codes = "",
    .options = files_options,
    .remote = TRUE,
    .run = run_files,
};

static const CliOption get_options[] = {
    {"output", 'o', CLI_TEXT, "DIR", "folder for the files (default: one named as the recording)"},
    {"force", 'f', CLI_FLAG, NULL, "replace other files of the same names"},
    {"direct", 0, CLI_FLAG, NULL, "fetch from the storage itself, at a signed address, rather than through stenod"},
    {"storage-ca", 0, CLI_TEXT, "FILE", "with --direct: trust these certificates (PEM) for the storage's TLS"},
    {NULL},
};

const CliCommand cli_get = {
    .name = "get",
    .words = "fetch a recording's files",
    .operands = "ID [FILE…]",
    .operands_min = 1,
    .operands_max = -1,
    .summary =
        "Fetches the files of a recording (of all its sections), its manifest and what proves it, or those that are\n"
        "named, and prints their paths. What was begun goes on where it ended (FILE.part), what is there already is\n"
        "not fetched again, and every file is checked against its SHA-256 before it gets its name. Files in an S3\n"
        "storage come through stenod, or with --direct from there: then neither API key nor anything else of ours is\n"
        "told to the storage, and media does not pass stenod.",
    .examples = "  steno get 01JD8Z…\n"
                "  steno get 01JD8Z… alice.mkv bob.mkv -o /mnt/archive\n"
                "  steno get 01JD8Z… --direct --storage-ca /etc/ssl/minio.pem\n",
    .codes = "storage-unwritable storage-full storage-failed storage-denied storage-unreachable verify-failed protocol",
    .options = get_options,
    .remote = TRUE,
    .run = run_get,
};
