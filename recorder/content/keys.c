#include "keys.h"

#include "keys_text.h"

#include "steno/base/error.h"

#include <stdatomic.h>
#include <string.h>

/* Nobody is called so, in any channel. */
#define PARTICIPANT_MAX_BYTES 1024
/* Threads for a set's derivations, at most: other recordings want the machine as well. */
#define DERIVE_THREADS_MAX 4

struct StenoContentKeys {
    gatomicrefcount references;
    const StenoContentFormat *format;
    ContentSettings *settings;
    StenoSecret *material; /* CONTENT_MATERIAL_MAX_BYTES a key */
    ContentKey *keys;
    guint n;
};

StenoContentKeys *steno_content_keys_ref(StenoContentKeys *keys)
{
    g_atomic_ref_count_inc(&keys->references);
    return keys;
}

void steno_content_keys_unref(StenoContentKeys *keys)
{
    if (!keys || !g_atomic_ref_count_dec(&keys->references))
        return;
    for (guint i = 0; i < keys->n; i++)
        g_free(keys->keys[i].participant);
    g_free(keys->keys);
    steno_secret_unref(keys->material);
    g_clear_pointer(&keys->settings, content_settings_unref);
    g_free(keys);
}

guint steno_content_keys_count(const StenoContentKeys *keys)
{
    return keys->n;
}

const StenoContentFormat *content_keys_format(const StenoContentKeys *keys)
{
    return keys->format;
}

ContentSettings *content_keys_settings(const StenoContentKeys *keys)
{
    return keys->settings;
}

const ContentKey *content_keys_at(const StenoContentKeys *keys, guint index)
{
    return &keys->keys[index];
}

/* ---- what a key says --------------------------------------------------------------------------------------------- */

static gboolean check_members(const StenoContentKeys *keys, const json_t *json, GError **error)
{
    const StenoContentFormat *format = keys->format;
    const char *names[8] = {"participant", keys->settings->mls ? "epoch" : "kid"};
    guint n = 2;
    if (!json_is_object(json))
        return steno_error_set(error, STENO_ERROR_KEYS_INVALID, "must be an object");
    if (format->members & CONTENT_MEMBER_PASSPHRASE)
        names[n++] = "passphrase";
    if (format->members & CONTENT_MEMBER_KEY)
        names[n++] = "key";
    if (format->members & CONTENT_MEMBER_SECRET)
        names[n++] = "secret";
    if (format->members & CONTENT_MEMBER_KEY_SALT)
        names[n++] = "salt";
    g_autofree char *what = g_strdup_printf("a key of %s", format->name);
    if (!content_keys_only(json, names, what, error))
        return FALSE;
    const guint members = content_keys_members_of(json);
    if (members == 0 || (members & (members - 1)) != 0) {
        const gboolean salted = g_strcmp0(names[n - 1], "salt") == 0;
        g_autofree char *all = g_strjoinv("\", \"", (char **)names + 2);
        return steno_error_set(error, STENO_ERROR_KEYS_INVALID, "must have %s \"%s\"",
                               salted || n == 3 ? "a" : "exactly one of", all);
    }
    return TRUE;
}

/* Who is meant, and which of theirs. */
static gboolean read_name(const StenoContentKeys *keys, const json_t *json, ContentKey *key, GError **error)
{
    const char *kid_name = keys->settings->mls ? "epoch" : "kid";
    const json_t *participant = json_object_get(json, "participant"), *kid = json_object_get(json, kid_name);
    const gsize bytes = json_string_length(participant);
    const guint64 max_kid = keys->format->max_kid ? keys->format->max_kid(keys->settings) : G_MAXUINT64;
    if (participant && (!json_is_string(participant) || bytes == 0 || bytes > PARTICIPANT_MAX_BYTES))
        return steno_error_set(error, STENO_ERROR_KEYS_INVALID, "\"participant\" must be a text of 1 to %d bytes",
                               PARTICIPANT_MAX_BYTES);
    if (kid && (!content_json_to_u64(kid, &key->kid) || key->kid > max_kid))
        return steno_error_set(error, STENO_ERROR_KEYS_INVALID,
                               "\"%s\" must be a number, 0 to %" G_GUINT64_FORMAT ", or that as text", kid_name,
                               max_kid);
    key->participant = g_strdup(json_string_value(participant));
    return TRUE;
}

static gboolean check_twice(const StenoContentKeys *keys, GError **error)
{
    g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    for (guint i = 0; i < keys->n; i++) {
        const ContentKey *key = &keys->keys[i];
        char *name = g_strdup_printf("%" G_GUINT64_FORMAT " %c%s", key->kid, key->participant ? '=' : '*',
                                     key->participant ? key->participant : "");
        gpointer first = NULL;
        if (g_hash_table_lookup_extended(seen, name, NULL, &first)) {
            g_free(name);
            return steno_error_set(error, STENO_ERROR_KEYS_INVALID,
                                   "keys[%u] has the same participant and key id as keys[%u]", i,
                                   GPOINTER_TO_UINT(first));
        }
        g_hash_table_insert(seen, name, GUINT_TO_POINTER(i));
    }
    return TRUE;
}

/* ---- deriving ---------------------------------------------------------------------------------------------------- */

/* A set's keys, prepared by several threads, since each may take tens of ms. */
typedef struct {
    StenoContentKeys *keys;
    const json_t *array;
    GError **errors; /* one a key */
    atomic_uint next;
    atomic_bool failed; /* the rest is not needed */
} Derivation;

static gboolean read_salt(const json_t *json, guint8 *salt, ContentKeyInput *input, GError **error)
{
    const json_t *value = json_object_get(json, "salt");
    if (!value)
        return TRUE;
    input->salt = salt;
    if (!json_is_string(value) || !content_text_to_bytes(json_string_value(value), json_string_length(value), salt,
                                                         CONTENT_MATERIAL_MAX_BYTES, &input->salt_bytes))
        return steno_error_set(error, STENO_ERROR_KEYS_INVALID, "\"salt\" must be base64, or hex after \"hex:\"");
    return TRUE;
}

/* Lends raw bytes in `raw` and texts where JSON has them. */
static gboolean read_input(const json_t *json, guint8 *raw, ContentKeyInput *input, GError **error)
{
    input->member = content_keys_members_of(json);
    const char *name = input->member == CONTENT_MEMBER_PASSPHRASE ? "passphrase"
                       : input->member == CONTENT_MEMBER_KEY      ? "key"
                                                                  : "secret";
    const json_t *value = json_object_get(json, name);
    const gsize bytes = json_string_length(value);
    if (!json_is_string(value) || bytes == 0 || bytes > CONTENT_KEY_MAX_BYTES)
        return steno_error_set(error, STENO_ERROR_KEYS_INVALID, "\"%s\" must be a text of 1 to %d bytes", name,
                               CONTENT_KEY_MAX_BYTES);
    input->bytes = (const guint8 *)json_string_value(value);
    input->n_bytes = bytes;
    if (input->member != CONTENT_MEMBER_KEY)
        return TRUE;
    input->bytes = raw;
    if (!content_text_to_bytes(json_string_value(value), bytes, raw, CONTENT_MATERIAL_MAX_BYTES, &input->n_bytes))
        return steno_error_set(error, STENO_ERROR_KEYS_INVALID,
                               "\"key\" must be base64, or hex after \"hex:\", of 1 to %d bytes",
                               CONTENT_MATERIAL_MAX_BYTES);
    return TRUE;
}

static gboolean prepare_key(StenoContentKeys *keys, const json_t *json, guint index, GError **error)
{
    ContentKey *key = &keys->keys[index];
    guint8 raw[CONTENT_MATERIAL_MAX_BYTES], salt[CONTENT_MATERIAL_MAX_BYTES];
    guint8 *material = steno_secret_buffer(keys->material) + (gsize)index * CONTENT_MATERIAL_MAX_BYTES;
    ContentKeyInput input = {0};
    if (read_input(json, raw, &input, error) && read_salt(json, salt, &input, error))
        key->material_bytes = keys->format->prepare(keys->format, keys->settings, &input, material, error);
    key->material = material;
    steno_secret_wipe(raw, sizeof raw);
    return key->material_bytes > 0;
}

static gpointer prepare_some(gpointer data)
{
    Derivation *derivation = data;
    guint i;
    while (!atomic_load(&derivation->failed) && (i = atomic_fetch_add(&derivation->next, 1)) < derivation->keys->n)
        if (!prepare_key(derivation->keys, json_array_get(derivation->array, i), i, &derivation->errors[i]))
            atomic_store(&derivation->failed, true);
    return NULL;
}

static gboolean prepare_all(StenoContentKeys *keys, const json_t *array, GError **error)
{
    g_autofree GError **errors = g_new0(GError *, keys->n);
    Derivation derivation = {.keys = keys, .array = array, .errors = errors};
    GThread *threads[DERIVE_THREADS_MAX - 1];
    guint n_threads = 0;
    const gboolean slow = keys->settings->kdf == CONTENT_KDF_PBKDF2 ||
                          keys->settings->key_members & (CONTENT_MEMBER_PASSPHRASE | CONTENT_MEMBER_SECRET);
    const guint wanted = slow ? MIN(MIN(keys->n, g_get_num_processors()), DERIVE_THREADS_MAX) : 1;
    while (n_threads + 1 < wanted)
        threads[n_threads++] = g_thread_new("derive", prepare_some, &derivation);
    prepare_some(&derivation);
    while (n_threads > 0)
        g_thread_join(threads[--n_threads]);
    GError *first = NULL;
    for (guint i = 0; i < keys->n; i++) {
        if (errors[i] && !first)
            g_propagate_prefixed_error(&first, g_steal_pointer(&errors[i]), "keys[%u]: ", i);
        g_clear_error(&errors[i]);
    }
    if (first)
        g_propagate_error(error, first);
    return !first;
}

/* ---- sets -------------------------------------------------------------------------------------------------------- */

static gboolean read_keys(StenoContentKeys *keys, const json_t *set, GError **error)
{
    const json_t *array = json_object_get(set, "keys");
    const gsize n = json_array_size(array);
    if (!json_is_array(array) || n == 0 || n > STENO_CONTENT_KEYS_MAX)
        return steno_error_set(error, STENO_ERROR_KEYS_INVALID, "\"keys\" must be a list of 1 to %d keys",
                               STENO_CONTENT_KEYS_MAX);
    keys->keys = g_new0(ContentKey, n);
    keys->n = (guint)n;
    keys->material = steno_secret_new(NULL, n * CONTENT_MATERIAL_MAX_BYTES);
    for (guint i = 0; i < keys->n; i++) {
        const json_t *key = json_array_get(array, i);
        if (!check_members(keys, key, error) || !read_name(keys, key, &keys->keys[i], error)) {
            g_prefix_error(error, "keys[%u]: ", i);
            return FALSE;
        }
    }
    return check_twice(keys, error) && prepare_all(keys, array, error);
}

/* Jansson's own words would quote the text, and a key with it. */
static json_t *load(const char *text, gsize bytes, GError **error)
{
    json_error_t why;
    if (bytes > STENO_CONTENT_KEYS_MAX_BYTES) {
        steno_error_set(error, STENO_ERROR_KEYS_INVALID, "longer than %d bytes", STENO_CONTENT_KEYS_MAX_BYTES);
        return NULL;
    }
    json_t *set = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &why);
    if (!set)
        steno_error_set(error, STENO_ERROR_KEYS_INVALID,
                        json_error_code(&why) == json_error_numeric_overflow
                            ? "a number is too large (line %d, column %d): write a key id beyond 2^63 - 1 as text"
                        : json_error_code(&why) == json_error_duplicate_key
                            ? "a member is there twice (line %d, column %d)"
                            : "not valid JSON (line %d, column %d)",
                        why.line, why.column);
    else if (!json_is_object(set))
        steno_error_set(error, STENO_ERROR_KEYS_INVALID, "must be a JSON object with \"keys\"");
    else
        return set;
    json_decref(set);
    return NULL;
}

StenoContentKeys *steno_content_keys_parse(const StenoContentFormat *format, const char *text, gsize bytes,
                                           const char *where, GError **error)
{
    g_autoptr(StenoContentKeys) keys = g_new0(StenoContentKeys, 1);
    g_atomic_ref_count_init(&keys->references);
    keys->format = format;
    json_t *set = load(text, bytes, error);
    if (set)
        keys->settings = content_keys_read_settings(format, set, error);
    const gboolean read = keys->settings && read_keys(keys, set, error);
    json_decref(set);
    if (!read) {
        g_prefix_error(error, "cannot use the content keys of %s: ", where);
        return NULL;
    }
    return g_steal_pointer(&keys);
}
