/* The members of a request, one by one: each fault is told with the member's JSON pointer and what is allowed. */
#include "request.h"

#include "steno/base/error.h"

#include <string.h>

gboolean request_fault(GError **error, const char *pointer, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *words = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    g_set_error(error, STENO_ERROR, STENO_ERROR_USAGE, "%s: %s", pointer, words);
    return FALSE;
}

/* A member's name as a step of a JSON pointer. */
static char *pointer_to(const char *pointer, const char *name)
{
    GString *text = g_string_new(pointer);
    g_string_append_c(text, '/');
    for (; *name; name++) {
        if (*name == '~')
            g_string_append(text, "~0");
        else if (*name == '/')
            g_string_append(text, "~1");
        else
            g_string_append_c(text, *name);
    }
    return g_string_free(text, FALSE);
}

gboolean request_members(const json_t *object, const char *pointer, const char *const *allowed, GError **error)
{
    if (!json_is_object(object))
        return request_fault(error, pointer, "must be an object");
    const char *name;
    json_t *value;
    json_object_foreach ((json_t *)object, name, value) {
        if (g_strv_contains(allowed, name))
            continue;
        g_autofree char *at = pointer_to(pointer, name);
        g_autofree char *words = g_strjoinv(", ", (char **)allowed);
        return request_fault(error, at, "there is no such member; these are: %s", words);
    }
    return TRUE;
}

static gboolean has_control(const char *text)
{
    for (; *text; text++) {
        if ((guchar)*text < 0x20 || *text == 0x7f)
            return TRUE;
    }
    return FALSE;
}

gboolean request_text(const json_t *value, const char *pointer, gsize max_bytes, const char **text, GError **error)
{
    const char *string = json_string_value(value);
    if (!string)
        return request_fault(error, pointer, "must be a string");
    if (!string[0])
        return request_fault(error, pointer, "must not be empty");
    if (json_string_length(value) > max_bytes)
        return request_fault(error, pointer, "is %zu bytes long, but must be at most %zu", json_string_length(value),
                             max_bytes);
    if (json_string_length(value) != strlen(string) || has_control(string))
        return request_fault(error, pointer, "must not have control characters");
    *text = string;
    return TRUE;
}

static gboolean is_name(const char *text)
{
    for (; *text; text++) {
        if (!g_ascii_isalnum(*text) && !strchr("._-", *text))
            return FALSE;
    }
    return TRUE;
}

gboolean request_name(const json_t *value, const char *pointer, gsize max_bytes, const char **name, GError **error)
{
    const char *text;
    if (!request_text(value, pointer, max_bytes, &text, error))
        return FALSE;
    if (!is_name(text))
        return request_fault(error, pointer, "is '%s', but may have only letters, digits, '.', '_' and '-'", text);
    *name = text;
    return TRUE;
}

static const StenoJobField *field_named(const char *name)
{
    for (const StenoJobField *field = steno_job_fields(); field->name; field++) {
        if (strcmp(field->name, name) == 0)
            return field;
    }
    g_return_val_if_reached(NULL);
}

gboolean request_number(const json_t *value, const char *pointer, const char *field, gint64 *number, GError **error)
{
    const StenoJobField *row = field_named(field);
    if (!json_is_integer(value))
        return request_fault(error, pointer, "must be a whole number");
    gint64 given = json_integer_value(value);
    if (given < row->minimum || given > row->maximum)
        return request_fault(error, pointer,
                             "is %" G_GINT64_FORMAT ", but must lie between %" G_GINT64_FORMAT " and %" G_GINT64_FORMAT,
                             given, row->minimum, row->maximum);
    *number = given;
    return TRUE;
}

gboolean request_one_of(const json_t *value, const char *pointer, const char *const *allowed, const char **text,
                        GError **error)
{
    const char *string = json_string_value(value);
    if (string && g_strv_contains(allowed, string)) {
        *text = string;
        return TRUE;
    }
    g_autofree char *words = g_strjoinv(", ", (char **)allowed);
    /* What cannot be quoted in a line is not quoted. */
    if (!string || has_control(string) || strlen(string) > REQUEST_LABEL_VALUE_MAX_BYTES)
        return request_fault(error, pointer, "must be one of: %s", words);
    return request_fault(error, pointer, "is '%s', but must be one of: %s", string, words);
}

gboolean request_time(const json_t *value, const char *pointer, gint64 *wall_us, GError **error)
{
    const char *text;
    if (!request_text(value, pointer, 64, &text, error))
        return FALSE;
    g_autoptr(GDateTime) time = strchr(text, 'T') ? g_date_time_new_from_iso8601(text, NULL) : NULL;
    if (!time || g_date_time_to_unix(time) <= 0)
        return request_fault(error, pointer, "is '%s', but must be a time as in RFC 3339 (2026-11-22T08:00:00Z)", text);
    *wall_us = g_date_time_to_unix(time) * G_USEC_PER_SEC + g_date_time_get_microsecond(time);
    return TRUE;
}

gboolean request_boolean(const json_t *value, const char *pointer, gboolean *is, GError **error)
{
    if (!json_is_boolean(value))
        return request_fault(error, pointer, "must be true or false");
    *is = json_is_true(value);
    return TRUE;
}

gboolean request_storages(const json_t *value, char ***storages, GError **error)
{
    size_t n = json_array_size(value);
    if (n < 1 || n > STENO_JOB_STORES_MAX)
        return request_fault(error, "/storages", "must be a list of 1 to %d storages' names", STENO_JOB_STORES_MAX);
    g_auto(GStrv) names = g_new0(char *, n + 1);
    for (size_t i = 0; i < n; i++) {
        g_autofree char *at = g_strdup_printf("/storages/%zu", i);
        const char *name;
        if (!request_name(json_array_get(value, i), at, STENO_CONFIG_NAME_MAX_BYTES, &name, error))
            return FALSE;
        if (g_strv_contains((const char *const *)names, name))
            return request_fault(error, at, "'%s' is named twice", name);
        names[i] = g_strdup(name);
    }
    g_strfreev(*storages);
    *storages = g_steal_pointer(&names);
    return TRUE;
}

gboolean request_subscription(const json_t *value, const char *pointer, char ***participants, GError **error)
{
    const char *word = json_string_value(value);
    if (!json_is_array(value) && g_strcmp0(word, "all") != 0 && g_strcmp0(word, "none") != 0)
        return request_fault(error, pointer, "must be \"all\", \"none\" or a list of participants' ids or names");
    if (json_array_size(value) > REQUEST_SUBSCRIBED_MAX)
        return request_fault(error, pointer, "names %zu participants, but at most %d can be named",
                             json_array_size(value), REQUEST_SUBSCRIBED_MAX);
    g_autoptr(GPtrArray) list = g_ptr_array_new_with_free_func(g_free);
    size_t i;
    const json_t *item;
    json_array_foreach (value, i, item) {
        g_autofree char *at = g_strdup_printf("%s/%zu", pointer, i);
        const char *participant;
        if (!request_text(item, at, REQUEST_SUBSCRIBED_MAX_BYTES, &participant, error))
            return FALSE;
        g_ptr_array_add(list, g_strdup(participant));
    }
    g_strfreev(*participants);
    *participants = NULL;
    if (g_strcmp0(word, "all") != 0) {
        g_ptr_array_add(list, NULL);
        *participants = (char **)g_ptr_array_free(g_steal_pointer(&list), FALSE);
    }
    return TRUE;
}

static gboolean check_label(const char *name, const json_t *value, GError **error)
{
    g_autofree char *at = pointer_to("/labels", name);
    const char *text;
    if (!name[0] || strlen(name) > REQUEST_LABEL_NAME_MAX_BYTES || !is_name(name))
        return request_fault(error, at, "a label's name must be 1 to %d letters, digits, '.', '_' and '-'",
                             REQUEST_LABEL_NAME_MAX_BYTES);
    if (json_is_string(value) && json_string_length(value) == 0)
        return TRUE;
    return request_text(value, at, REQUEST_LABEL_VALUE_MAX_BYTES, &text, error);
}

gboolean request_labels(const json_t *value, json_t **labels, GError **error)
{
    if (!json_is_object(value))
        return request_fault(error, "/labels", "must be an object of strings");
    if (json_object_size(value) > REQUEST_LABELS_MAX)
        return request_fault(error, "/labels", "are %zu, but there can be at most %d", json_object_size(value),
                             REQUEST_LABELS_MAX);
    const char *name;
    json_t *item;
    json_object_foreach ((json_t *)value, name, item) {
        if (!check_label(name, item, error))
            return FALSE;
    }
    json_decref(*labels);
    *labels = json_deep_copy(value);
    return TRUE;
}

gboolean request_token(const json_t *value, RequestToken *source, StenoSecret **token, GError **error)
{
    static const char *const members[] = {"source", "value", NULL};
    static const char *const sources[] = {"mint", "given", "none", NULL};
    const char *word;
    if (!request_members(value, "/token", members, error) ||
        !request_one_of(json_object_get(value, "source"), "/token/source", sources, &word, error))
        return FALSE;
    const json_t *text = json_object_get(value, "value");
    *source = word[0] == 'm' ? REQUEST_TOKEN_MINT : word[0] == 'g' ? REQUEST_TOKEN_GIVEN : REQUEST_TOKEN_NONE;
    if (*source != REQUEST_TOKEN_GIVEN)
        return text ? request_fault(error, "/token/value", "belongs to the source \"given\" only") : TRUE;
    const char *given = NULL;
    if (!text)
        return TRUE;
    if (!request_text(text, "/token/value", REQUEST_TOKEN_MAX_BYTES, &given, error))
        return FALSE;
    *token = steno_secret_new(given, strlen(given));
    return TRUE;
}
