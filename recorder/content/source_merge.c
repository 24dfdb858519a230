#include "source_merge.h"

#include "steno/base/error.h"
#include "steno/content.h"

#include <jansson.h>
#include <string.h>

static json_t *parse(const StenoSecret *text, GError **error)
{
    json_t *json = json_loadb(steno_secret_text(text), steno_secret_bytes(text), JSON_REJECT_DUPLICATES, NULL);
    if (json_is_object(json) && json_is_array(json_object_get(json, "keys")))
        return json;
    json_decref(json);
    steno_error_set(error, STENO_ERROR_KEYS_INVALID, "a key set is no JSON object with keys");
    return NULL;
}

/* As the same number may be written: 7, "7", "07". */
static guint64 number_of(const json_t *json)
{
    guint64 number = 0;
    if (json_is_integer(json))
        return (guint64)json_integer_value(json);
    if (json_is_string(json))
        (void)g_ascii_string_to_unsigned(json_string_value(json), 10, 0, G_MAXUINT64, &number, NULL);
    return number;
}

/* Whose key, and which. */
static char *slot_of(const json_t *key)
{
    const char *participant = json_string_value(json_object_get(key, "participant"));
    const json_t *epoch = json_object_get(key, "epoch");
    return g_strdup_printf("%c%" G_GUINT64_FORMAT " %c%s", epoch ? 'e' : 'k',
                           number_of(epoch ? epoch : json_object_get(key, "kid")), participant ? 'p' : '*',
                           participant ? participant : "");
}

/* What is said beside the keys; "format" only repeats what the job says. */
static gboolean agree(const json_t *all, const json_t *set, GError **error)
{
    const json_t *const both[][2] = {{all, set}, {set, all}};
    for (guint i = 0; i < G_N_ELEMENTS(both); i++) {
        const char *name;
        json_t *value;
        json_object_foreach ((json_t *)both[i][0], name, value) {
            const json_t *other = json_object_get(both[i][1], name);
            if (strcmp(name, "keys") == 0 || strcmp(name, "format") == 0 || (other && json_equal(value, other)))
                continue;
            return steno_error_set(error, STENO_ERROR_KEYS_INVALID,
                                   "the key source's answers disagree about '%s': keys of one channel share it", name);
        }
    }
    return TRUE;
}

/* slots: slot → its place in keys. */
static void add_keys(json_t *keys, GHashTable *slots, const json_t *set)
{
    size_t i;
    json_t *key;
    json_array_foreach (json_object_get(set, "keys"), i, key) {
        char *slot = slot_of(key);
        gpointer place;
        if (g_hash_table_lookup_extended(slots, slot, NULL, &place)) {
            json_array_set(keys, GPOINTER_TO_SIZE(place), key);
            g_free(slot);
        } else {
            g_hash_table_insert(slots, slot, GSIZE_TO_POINTER(json_array_size(keys)));
            json_array_append(keys, key);
        }
    }
}

static int dump_piece(const char *data, size_t bytes, void *user)
{
    return source_buffer_append(user, data, bytes) ? 0 : -1;
}

static StenoSecret *text_of(const json_t *json, GError **error)
{
    g_auto(SourceBuffer) buffer = {.max_bytes = STENO_CONTENT_KEYS_MAX_BYTES};
    if (json_array_size(json_object_get(json, "keys")) <= STENO_CONTENT_KEYS_MAX &&
        json_dump_callback(json, dump_piece, &buffer, JSON_COMPACT) == 0)
        return source_buffer_steal(&buffer);
    steno_error_set(error, STENO_ERROR_KEYS_INVALID, "the key source's answers are more than %d keys, or %d bytes",
                    STENO_CONTENT_KEYS_MAX, STENO_CONTENT_KEYS_MAX_BYTES);
    return NULL;
}

StenoSecret *source_merge(const GPtrArray *texts, GError **error)
{
    if (texts->len == 1)
        return steno_secret_ref(g_ptr_array_index(texts, 0));
    g_autoptr(GHashTable) slots = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    json_t *all = NULL, *keys = json_array();
    gboolean good = TRUE;
    for (guint i = 0; good && i < texts->len; i++) {
        json_t *set = parse(g_ptr_array_index(texts, i), error);
        good = set && (!all || agree(all, set, error));
        if (good)
            add_keys(keys, slots, set);
        if (good && !all)
            all = json_incref(set);
        json_decref(set);
    }
    StenoSecret *text = NULL;
    if (good) {
        json_object_set(all, "keys", keys);
        text = text_of(all, error);
    }
    json_decref(keys);
    json_decref(all);
    return text;
}
