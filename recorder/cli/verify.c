/* steno verify. */
#include "verify.h"

#include "steno/job.h"

#include <stdio.h>
#include <string.h>

/* ---- telling ----------------------------------------------------------------------------------------------------- */

static void tell(const VerifyReport *report, const char *kind, const char *file, const char *words)
{
    if (report->call->json) {
        cli_print_json(json_pack("{s:{s:s, s:s}}", kind, "file", file, "message", words));
        return;
    }
    g_autofree char *name = cli_printable(file), *redacted = steno_log_redact(words);
    printf("%s: %s\n", name, redacted);
    fflush(stdout);
}

void verify_fault(VerifyReport *report, const char *file, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *words = g_strdup_vprintf(format, args);
    va_end(args);
    report->faults++;
    tell(report, "fault", file, words);
}

void verify_note(VerifyReport *report, const char *file, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *words = g_strdup_vprintf(format, args);
    va_end(args);
    tell(report, "note", file, words);
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

gboolean verify_is_manifest(const char *name)
{
    if (strcmp(name, "manifest.json") == 0)
        return TRUE;
    const char *digits = name + strlen("manifest.");
    if (!g_str_has_prefix(name, "manifest."))
        return FALSE;
    gsize count = strspn(digits, "0123456789");
    return count >= 3 && strcmp(digits + count, ".json") == 0;
}

static gboolean read_local(const VerifyPlace *place, const char *name, gsize max_bytes, GBytes **bytes, GError **error)
{
    g_autofree char *path = g_build_filename(place->folder, name, NULL);
    g_autoptr(GMappedFile) file = NULL;
    g_autoptr(GError) why = NULL;
    *bytes = NULL;
    file = g_mapped_file_new(path, FALSE, &why);
    if (!file && g_error_matches(why, G_FILE_ERROR, G_FILE_ERROR_NOENT))
        return TRUE;
    if (!file || g_mapped_file_get_length(file) > max_bytes) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_STORAGE_FAILED, "cannot read %s: %s", path,
                    why ? why->message : "it is larger than such a file can be");
        return FALSE;
    }
    *bytes = g_bytes_new(g_mapped_file_get_contents(file), g_mapped_file_get_length(file));
    return TRUE;
}

gboolean verify_read(const VerifyPlace *place, const char *name, gsize max_bytes, GBytes **bytes, GError **error)
{
    if (place->folder)
        return read_local(place, name, max_bytes, bytes, error);
    g_autofree char *key = g_strconcat(place->key, "/", name, NULL);
    g_autoptr(GError) why = NULL;
    *bytes = steno_store_read(place->store, key, max_bytes, NULL, &why);
    if (*bytes || g_error_matches(why, STENO_ERROR, STENO_ERROR_NOT_FOUND))
        return TRUE;
    g_propagate_error(error, g_steal_pointer(&why));
    return FALSE;
}

/* ---- a folder ---------------------------------------------------------------------------------------------------- */

static gint by_name(gconstpointer a, gconstpointer b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static gboolean check_local_proofs(const VerifyKeys *keys, const VerifyPlace *place, VerifyReport *report,
                                   GError **error)
{
    g_autoptr(GDir) folder = g_dir_open(place->folder, 0, NULL);
    g_autoptr(GPtrArray) manifests = g_ptr_array_new_with_free_func(g_free);
    const char *name;
    while (folder && (name = g_dir_read_name(folder))) {
        if (verify_is_manifest(name))
            g_ptr_array_add(manifests, g_strdup(name));
    }
    g_ptr_array_sort(manifests, by_name);
    for (guint i = 0; i < manifests->len; i++) {
        g_autoptr(GBytes) contents = NULL;
        if (!verify_read(place, manifests->pdata[i], VERIFY_MANIFEST_MAX_BYTES, &contents, error) ||
            (contents && !verify_proofs(keys, place, manifests->pdata[i], contents, report, error)))
            return FALSE;
    }
    return TRUE;
}

static int verify_folder(const char *folder, const VerifyKeys *keys, VerifyReport *report, GError **error)
{
    const VerifyPlace place = {.folder = folder};
    if (!check_local_proofs(keys, &place, report, error))
        return 1;
    return steno_job_verify(folder, report->call->json, error);
}

/* ---- a store ----------------------------------------------------------------------------------------------------- */

static int verify_address(CliCall *call, const char *uri, const VerifyKeys *keys, VerifyReport *report, GError **error)
{
    g_autofree char *key = NULL;
    g_autoptr(StenoStore) store = verify_find_store(call, uri, &key, error);
    if (!store)
        return 1;
    const VerifyPlace place = {.store = store, .key = key};
    if (!verify_store(keys, &place, report, error))
        return 1;
    if (report->faults > report->proof_faults) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_VERIFY_FAILED, "%s is not what its manifest says: %u faults", uri,
                    report->faults - report->proof_faults);
        return 1;
    }
    if (call->json && !report->faults)
        cli_print_json(json_pack("{s:b}", "done", TRUE));
    else if (!report->faults)
        printf("%s: every file is as the manifest says\n", uri);
    return 0;
}

/* ---- the command ------------------------------------------------------------------------------------------------- */

static int run_verify(CliCall *call, GError **error)
{
    const char *what = call->operands[0];
    VerifyReport report = {.call = call};
    g_autoptr(VerifyKeys) keys = NULL;
    g_autofree char *path = g_filename_from_uri(what, NULL, NULL);
    if (!verify_keys_load(call, &keys, error))
        return 2;
    int exit_code = g_str_has_prefix(what, "s3://") ? verify_address(call, what, keys, &report, error)
                                                    : verify_folder(path ? path : what, keys, &report, error);
    if (exit_code == 0 && report.proof_faults > 0)
        g_set_error(error, STENO_ERROR, STENO_ERROR_SIGNATURE, "%s: signatures or timestamps are missing or wrong: %u",
                    what, report.proof_faults);
    return exit_code;
}

static const CliOption verify_options[] = {
    {"key", 'k', CLI_LIST, "FILE",
     "the manifest must be signed with one of these public keys, PEM (repeatable; default: this machine's stenod's)"},
    {"timestamp-ca", 0, CLI_TEXT, "FILE", "the signature must have a timestamp of these authorities, PEM"},
    {"config", 'c', CLI_TEXT, "FILE", "stenod's configuration (default: /etc/steno/steno.conf)"},
    {"storage", 0, CLI_TEXT, "NAME", "s3: the storage of the configuration (default: the one of the bucket)"},
    {"endpoint", 0, CLI_TEXT, "URL", "s3: https://HOST[:PORT], without a configuration (default: Amazon's)"},
    {"region", 0, CLI_TEXT, "NAME", "s3: the bucket's region, without a configuration"},
    {"ca-file", 0, CLI_TEXT, "FILE", "s3: trust these certificates (PEM), without a configuration"},
    {"allow-http", 0, CLI_FLAG, NULL, "s3: an --endpoint without TLS is lawful"},
    {NULL},
};

const CliCommand cli_verify = {
    .name = "verify",
    .words = "check a finished recording against its manifest",
    .operands = "DIR|s3://BUCKET/KEY",
    .operands_min = 1,
    .operands_max = 1,
    .summary =
        "Checks every file of a finished recording against its manifest, and the manifest's signature and timestamp.\n"
        "Files on this disk are opened, too; those in a bucket are read where they are, without a copy, and their\n"
        "bytes are compared (size and SHA-256). A bucket that is in no configuration is reached with credentials of\n"
        "the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY) or the shared credentials file. Without a key\n"
        "the signature is not checked, which is told.",
    .examples =
        "  steno verify /srv/recordings/1234/20261121T195540Z_01J…\n"
        "  sudo steno verify s3://ward-recordings/clinic/1234/2026-11-21/01J…\n"
        "  steno verify s3://ward-recordings/clinic/1234/2026-11-21/01J… --endpoint https://minio.example:9000 \\\n"
        "      --ca-file minio.pem --key steno-public.pem --timestamp-ca tsa.pem\n",
    .codes = "not-found verify-failed signature storage-failed storage-denied storage-unreachable geofence config",
    .options = verify_options,
    .run = run_verify,
};
