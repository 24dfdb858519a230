/* A recording in a bucket, read where it is: every object against the manifests. */
#include "verify.h"

#include "steno/config.h"
#include "steno/proof.h"

#include <string.h>
#include <unistd.h>

/* ---- whose bucket ------------------------------------------------------------------------------------------------ */

/* What every key of the storage begins with, before the first {…} of its template. */
static gboolean may_have(const StenoConfigStorage *settings, const char *key)
{
    if (!settings->key)
        return TRUE;
    gsize fixed = strcspn(settings->key, "{");
    return strncmp(settings->key, key, fixed) == 0;
}

static const StenoConfigStorage *find_settings(const CliCall *call, const StenoConfig *config, const char *bucket,
                                               const char *key, GError **error)
{
    const char *name = cli_text(call, "storage");
    if (name) {
        const StenoConfigStorage *named = steno_config_storage(config, name);
        if (!named || g_strcmp0(named->bucket, bucket) != 0) {
            g_set_error(error, STENO_ERROR, STENO_ERROR_USAGE, "the configuration has no storage '%s' with bucket '%s'",
                        name, bucket);
            return NULL;
        }
        return named;
    }
    for (guint i = 0; i < config->storages->len; i++) {
        const StenoConfigStorage *one = config->storages->pdata[i];
        if (strcmp(one->type, "s3") == 0 && g_strcmp0(one->bucket, bucket) == 0 && may_have(one, key))
            return one;
    }
    return NULL;
}

/* As an administrator would write it; credentials of the environment or the profile. */
static StenoStore *open_made(const CliCall *call, const char *bucket, GError **error)
{
    StenoConfigStorage *settings = NULL;
    g_autoptr(StenoConfig) config = steno_config_with_storage("verify", "s3", &settings);
    settings->bucket = g_strdup(bucket);
    settings->endpoint = g_strdup(cli_text(call, "endpoint"));
    if (cli_text(call, "region")) {
        g_free(settings->region);
        settings->region = g_strdup(cli_text(call, "region"));
    }
    settings->ca_file = g_strdup(cli_text(call, "ca-file"));
    settings->allow_http = cli_flag(call, "allow-http");
    return steno_store_open(config, settings, error);
}

static StenoStore *open_found(const CliCall *call, const char *bucket, const char *key, GError **error)
{
    const char *given = cli_text(call, "config");
    gboolean made = cli_text(call, "endpoint") || cli_text(call, "region");
    if (made && (given || cli_text(call, "storage"))) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_USAGE,
                    "give --endpoint and --region, or --config and --storage: not both");
        return NULL;
    }
    g_autoptr(GError) why = NULL;
    g_autoptr(StenoConfig) config = made ? NULL : steno_config_load(given ? given : STENO_CONFIG_DEFAULT_PATH, &why);
    if (!config && (given || cli_text(call, "storage"))) {
        g_propagate_error(error, g_steal_pointer(&why));
        return NULL;
    }
    const StenoConfigStorage *settings = config ? find_settings(call, config, bucket, key, &why) : NULL;
    if (settings)
        return steno_store_open(config, settings, error);
    if (config && why) {
        g_propagate_error(error, g_steal_pointer(&why));
        return NULL;
    }
    if (given) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_NOT_FOUND, "there is no storage with bucket '%s' in %s", bucket,
                    given);
        return NULL;
    }
    return open_made(call, bucket, error);
}

StenoStore *verify_find_store(const CliCall *call, const char *uri, char **key, GError **error)
{
    g_autofree char *clear = g_uri_unescape_string(uri + strlen("s3://"), NULL);
    char *slash = clear ? strchr(clear, '/') : NULL;
    if (!slash || slash == clear || !slash[1]) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_USAGE,
                    "'%s' is no recording's folder: it must be s3://BUCKET/KEY, as `steno show` tells it", uri);
        return NULL;
    }
    *slash = '\0';
    g_autoptr(StenoStore) store = open_found(call, clear, slash + 1, error);
    if (!store)
        return NULL;
    *key = steno_store_key_of_uri(store, uri);
    if (*key && (*key)[0])
        return g_steal_pointer(&store);
    g_set_error(error, STENO_ERROR, STENO_ERROR_USAGE, "'%s' is no key of an object", slash + 1);
    return NULL;
}

/* ---- what is there ----------------------------------------------------------------------------------------------- */

typedef struct {
    gint64 bytes;
    gboolean known; /* a manifest told of it, or it is one, or proves one */
} Object;

typedef struct {
    const VerifyPlace *place;
    VerifyReport *report;
    GHashTable *objects; /* name in the folder → Object * */
    GHashTable *told;    /* name → SHA-256, of the outputs that are checked */
    gboolean progress;
} Check;

static gboolean on_found(gpointer user, const char *key, gint64 bytes)
{
    Check *check = user;
    Object *object = g_new0(Object, 1);
    object->bytes = bytes;
    g_hash_table_insert(check->objects, g_strdup(key + strlen(check->place->key) + 1), object);
    return TRUE;
}

static void set_known(const Check *check, const char *name, const char *suffix)
{
    g_autofree char *whole = g_strconcat(name, suffix, NULL);
    Object *object = g_hash_table_lookup(check->objects, whole);
    if (object)
        object->known = TRUE;
}

/* ---- one object -------------------------------------------------------------------------------------------------- */

typedef struct {
    const Check *check;
    const char *name;
    GChecksum *sum;
    gint64 bytes, whole, told_us;
} Reading;

static gboolean on_bytes(gpointer user, const guint8 *data, gsize bytes, GError **error)
{
    (void)error;
    Reading *reading = user;
    g_checksum_update(reading->sum, data, (gssize)bytes);
    reading->bytes += (gint64)bytes;
    if (reading->check->progress)
        cli_progress(reading->name, reading->bytes, reading->whole, &reading->told_us);
    return TRUE;
}

/* FALSE: the storage does not let us. */
static gboolean check_contents(const Check *check, const char *name, gint64 bytes, const char *sha256, GError **error)
{
    g_autofree char *key = g_strconcat(check->place->key, "/", name, NULL);
    g_autoptr(GChecksum) sum = g_checksum_new(G_CHECKSUM_SHA256);
    g_autoptr(GError) why = NULL;
    Reading reading = {.check = check, .name = name, .sum = sum, .whole = bytes};
    gboolean read = steno_store_fetch(check->place->store, key, 0, -1, on_bytes, &reading, NULL, &why);
    if (check->progress)
        cli_progress_end();
    if (!read && g_error_matches(why, STENO_ERROR, STENO_ERROR_NOT_FOUND)) {
        verify_fault(check->report, name, "is missing");
        return TRUE;
    }
    if (!read) {
        g_propagate_error(error, g_steal_pointer(&why));
        return FALSE;
    }
    if (reading.bytes != bytes)
        verify_fault(check->report, name, "has %" G_GINT64_FORMAT " bytes instead of %" G_GINT64_FORMAT, reading.bytes,
                     bytes);
    else if (strcmp(g_checksum_get_string(sum), sha256) != 0)
        verify_fault(check->report, name, "its contents were changed: SHA-256 is %s instead of %s",
                     g_checksum_get_string(sum), sha256);
    return TRUE;
}

static gboolean check_output(Check *check, const char *manifest, const json_t *output, GError **error)
{
    const char *name = cli_member(output, "file"), *sha256 = cli_member(output, "sha256");
    gint64 bytes = cli_number(output, "size_bytes");
    if (!name[0] || strchr(name, '/') || strlen(sha256) != 64 ||
        !json_is_integer(json_object_get(output, "size_bytes"))) {
        verify_fault(check->report, manifest, "an output has no file, size_bytes or sha256");
        return TRUE;
    }
    /* A section's file stands in its own manifest, and in that of the whole. */
    const char *earlier = g_hash_table_lookup(check->told, name);
    if (earlier) {
        if (strcmp(earlier, sha256) != 0)
            verify_fault(check->report, manifest, "says of %s what another manifest does not", name);
        return TRUE;
    }
    g_hash_table_insert(check->told, g_strdup(name), g_strdup(sha256));
    set_known(check, name, "");
    const Object *object = g_hash_table_lookup(check->objects, name);
    if (!object)
        verify_fault(check->report, name, "is missing");
    else if (object->bytes != bytes)
        verify_fault(check->report, name, "has %" G_GINT64_FORMAT " bytes instead of %" G_GINT64_FORMAT, object->bytes,
                     bytes);
    else
        return check_contents(check, name, bytes, sha256, error);
    return TRUE;
}

/* ---- the folder -------------------------------------------------------------------------------------------------- */

static gboolean check_manifest(Check *check, const VerifyKeys *keys, const char *name, GError **error)
{
    g_autoptr(GBytes) contents = NULL;
    if (!verify_read(check->place, name, VERIFY_MANIFEST_MAX_BYTES, &contents, error))
        return FALSE;
    set_known(check, name, "");
    set_known(check, name, STENO_PROOF_SIGNATURE_SUFFIX);
    set_known(check, name, STENO_PROOF_TIMESTAMP_SUFFIX);
    if (!contents) {
        verify_fault(check->report, name, "is missing");
        return TRUE;
    }
    if (!verify_proofs(keys, check->place, name, contents, check->report, error))
        return FALSE;
    gsize bytes = 0;
    const char *text = g_bytes_get_data(contents, &bytes);
    json_t *manifest = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, NULL), *outputs = NULL, *output = NULL;
    outputs = json_object_get(manifest, "outputs");
    if (!json_is_array(outputs))
        verify_fault(check->report, name, "is no manifest");
    size_t i = 0;
    gboolean good = TRUE;
    json_array_foreach (outputs, i, output) {
        good = good && check_output(check, name, output, error);
    }
    const json_t *problem;
    json_array_foreach (json_object_get(manifest, "problems"), i, problem)
        verify_note(check->report, name, "problem: %s", json_string_value(problem));
    json_decref(manifest);
    return good;
}

static gint by_name(gconstpointer a, gconstpointer b)
{
    return strcmp(a, b);
}

static gboolean check_all(Check *check, const VerifyKeys *keys, GError **error)
{
    g_autoptr(GList) names = g_list_sort(g_hash_table_get_keys(check->objects), by_name);
    guint manifests = 0;
    for (GList *name = names; name; name = name->next) {
        if (!verify_is_manifest(name->data))
            continue;
        manifests++;
        if (!check_manifest(check, keys, name->data, error))
            return FALSE;
    }
    if (!g_hash_table_contains(check->objects, "manifest.json")) {
        g_autofree char *uri = steno_store_uri(check->place->store, check->place->key);
        if (!manifests) {
            g_set_error(error, STENO_ERROR, STENO_ERROR_NOT_FOUND, "there is no manifest.json in %s", uri);
            return FALSE;
        }
        verify_note(check->report, "manifest.json", "is not there yet: only finished sections were checked");
    }
    for (GList *name = names; name; name = name->next) {
        if (!((const Object *)g_hash_table_lookup(check->objects, name->data))->known)
            verify_fault(check->report, name->data, "no manifest tells of it");
    }
    return TRUE;
}

gboolean verify_store(const VerifyKeys *keys, const VerifyPlace *place, VerifyReport *report, GError **error)
{
    g_autofree char *prefix = g_strconcat(place->key, "/", NULL);
    Check check = {
        .place = place,
        .report = report,
        .objects = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free),
        .told = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free),
        .progress = !report->call->json && isatty(STDERR_FILENO),
    };
    gboolean good =
        steno_store_list(place->store, prefix, on_found, &check, NULL, error) && check_all(&check, keys, error);
    g_hash_table_unref(check.objects);
    g_hash_table_unref(check.told);
    return good;
}
