#include "keys.h"
#include "keys_text.h"

#include "steno/base/error.h"

#include <string.h>

#define RATCHET_WINDOW_DEFAULT 8
#define RATCHET_WINDOW_MAX 256
/* Longer ones are no salt and no metadata, but a mistake. */
#define SALT_MAX_BYTES 256
#define METADATA_MAX_BYTES 4096

guint content_keys_members_of(const json_t *key)
{
    return (json_object_get(key, "passphrase") ? CONTENT_MEMBER_PASSPHRASE : 0) |
           (json_object_get(key, "key") ? CONTENT_MEMBER_KEY : 0) |
           (json_object_get(key, "secret") ? CONTENT_MEMBER_SECRET : 0);
}

gboolean content_keys_only(const json_t *object, const char *const *names, const char *what, GError **error)
{
    const char *name;
    json_t *value;
    json_object_foreach ((json_t *)object, name, value) {
        if (!g_strv_contains(names, name)) {
            g_autofree char *all = g_strjoinv(", ", (char **)names);
            return steno_error_set(error, STENO_ERROR_KEYS_INVALID, "\"%s\" is no member of %s, which has: %s", name,
                                   what, all);
        }
    }
    return TRUE;
}

static gboolean only_known_members(const StenoContentFormat *format, const json_t *set, GError **error)
{
    static const struct {
        guint member;
        const char *name;
    } members[] = {
        {CONTENT_MEMBER_KDF, "kdf"},           {CONTENT_MEMBER_SALT, "salt"},
        {CONTENT_MEMBER_KEY_BITS, "key_bits"}, {CONTENT_MEMBER_RATCHET_WINDOW, "ratchet_window"},
        {CONTENT_MEMBER_SUITE, "suite"},       {CONTENT_MEMBER_SUITE, "ratchet_bits"},
        {CONTENT_MEMBER_SUITE, "mls"},         {CONTENT_MEMBER_SUITE, "metadata"},
    };
    const char *names[G_N_ELEMENTS(members) + 3] = {"format", "keys"};
    guint n = 2;
    for (guint i = 0; i < G_N_ELEMENTS(members); i++)
        if (format->members & members[i].member)
            names[n++] = members[i].name;
    g_autofree char *what = g_strdup_printf("a key set of %s", format->name);
    return content_keys_only(set, names, what, error);
}

/* An integer member, left as it is when it is absent. */
static gboolean read_number(const json_t *object, const char *name, guint minimum, guint maximum, guint *number,
                            GError **error)
{
    const json_t *value = json_object_get(object, name);
    if (!value)
        return TRUE;
    if (!json_is_integer(value) || json_integer_value(value) < (json_int_t)minimum ||
        json_integer_value(value) > (json_int_t)maximum)
        return steno_error_set(error, STENO_ERROR_KEYS_INVALID, "\"%s\" must be a number, %u to %u", name, minimum,
                               maximum);
    *number = (guint)json_integer_value(value);
    return TRUE;
}

static gboolean read_kdf(const json_t *set, ContentSettings *settings, GError **error)
{
    static const char *const names[] = {
        [CONTENT_KDF_PBKDF2] = "pbkdf2", [CONTENT_KDF_HKDF] = "hkdf", [CONTENT_KDF_NONE] = "none"};
    const json_t *value = json_object_get(set, "kdf");
    for (guint i = CONTENT_KDF_PBKDF2; value && i <= CONTENT_KDF_NONE; i++)
        if (g_strcmp0(json_string_value(value), names[i]) == 0)
            settings->kdf = (ContentKdf)i;
    if (value && settings->kdf == CONTENT_KDF_DEFAULT)
        return steno_error_set(error, STENO_ERROR_KEYS_INVALID, "\"kdf\" must be \"pbkdf2\", \"hkdf\" or \"none\"");
    return TRUE;
}

static gboolean read_salt(const json_t *set, ContentSettings *settings, GError **error)
{
    const json_t *value = json_object_get(set, "salt");
    if (!value)
        return TRUE;
    const gsize bytes = json_string_length(value);
    if (!json_is_string(value) || bytes == 0 || bytes > SALT_MAX_BYTES)
        return steno_error_set(error, STENO_ERROR_KEYS_INVALID, "\"salt\" must be a text of 1 to %d bytes",
                               SALT_MAX_BYTES);
    settings->salt = g_strndup(json_string_value(value), bytes);
    return TRUE;
}

static gboolean read_mls(const json_t *set, ContentSettings *settings, GError **error)
{
    static const char *const names[] = {"epoch_bits", "sender_bits", NULL};
    const json_t *mls = json_object_get(set, "mls");
    if (!mls)
        return TRUE;
    if (!json_is_object(mls) || json_object_size(mls) != 2)
        return steno_error_set(error, STENO_ERROR_KEYS_INVALID,
                               "\"mls\" must be an object with \"epoch_bits\" and \"sender_bits\"");
    settings->mls = TRUE;
    return content_keys_only(mls, names, "\"mls\"", error) &&
           read_number(mls, "epoch_bits", 1, 63, &settings->epoch_bits, error) &&
           read_number(mls, "sender_bits", 0, 63, &settings->sender_bits, error);
}

static gboolean read_metadata(const json_t *set, ContentSettings *settings, GError **error)
{
    const json_t *value = json_object_get(set, "metadata");
    if (!value)
        return TRUE;
    settings->metadata = g_malloc(METADATA_MAX_BYTES);
    if (!json_is_string(value) ||
        !content_text_to_bytes(json_string_value(value), json_string_length(value), settings->metadata,
                               METADATA_MAX_BYTES, &settings->metadata_bytes))
        return steno_error_set(error, STENO_ERROR_KEYS_INVALID, "\"metadata\" must be base64 of 1 to %d bytes",
                               METADATA_MAX_BYTES);
    return TRUE;
}

static gboolean read_numbers(const json_t *set, ContentSettings *settings, GError **error)
{
    settings->ratchet_window = RATCHET_WINDOW_DEFAULT;
    settings->has_ratchet_window = json_object_get(set, "ratchet_window") != NULL;
    if (!read_number(set, "key_bits", 128, 256, &settings->key_bits, error) ||
        !read_number(set, "ratchet_window", 0, RATCHET_WINDOW_MAX, &settings->ratchet_window, error) ||
        !read_number(set, "suite", 1, 5, &settings->suite, error) ||
        !read_number(set, "ratchet_bits", 0, 32, &settings->ratchet_bits, error))
        return FALSE;
    if (settings->key_bits != 0 && settings->key_bits != 128 && settings->key_bits != 256)
        return steno_error_set(error, STENO_ERROR_KEYS_INVALID, "\"key_bits\" must be 128 or 256");
    return TRUE;
}

static gboolean read_format(const StenoContentFormat *format, const json_t *set, GError **error)
{
    const json_t *name = json_object_get(set, "format");
    if (name && g_strcmp0(json_string_value(name), format->name) != 0)
        return steno_error_set(error, STENO_ERROR_KEYS_INVALID, "\"format\" must be \"%s\", which the channel has",
                               format->name);
    return TRUE;
}

ContentSettings *content_keys_read_settings(const StenoContentFormat *format, const json_t *set, GError **error)
{
    ContentSettings *settings = g_atomic_rc_box_new0(ContentSettings);
    gsize i;
    json_t *key;
    json_array_foreach (json_object_get(set, "keys"), i, key)
        settings->key_members |= content_keys_members_of(key);
    if (!only_known_members(format, set, error) || !read_format(format, set, error) ||
        !read_kdf(set, settings, error) || !read_salt(set, settings, error) || !read_numbers(set, settings, error) ||
        !read_mls(set, settings, error) || !read_metadata(set, settings, error) ||
        (format->settle && !format->settle(format, settings, error)))
        g_clear_pointer(&settings, content_settings_unref);
    return settings;
}

static void clear_settings(gpointer data)
{
    ContentSettings *settings = data;
    g_free(settings->salt);
    g_free(settings->metadata);
}

void content_settings_unref(ContentSettings *settings)
{
    g_atomic_rc_box_release_full(settings, clear_settings);
}
