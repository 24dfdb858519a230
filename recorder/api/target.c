#include "target.h"

#include "steno/base/error.h"

#include <string.h>

/* Decoded text, or NULL when an escape is broken or means a byte that has no place in a name. */
static char *decode(const char *text, gsize bytes, gboolean plus_is_space, gboolean slash)
{
    g_autoptr(GString) out = g_string_sized_new(bytes);
    for (gsize i = 0; i < bytes; i++) {
        guchar c = (guchar)text[i];
        if (c == '%') {
            if (bytes - i < 3 || !g_ascii_isxdigit(text[i + 1]) || !g_ascii_isxdigit(text[i + 2]))
                return NULL;
            c = (guchar)(g_ascii_xdigit_value(text[i + 1]) * 16 + g_ascii_xdigit_value(text[i + 2]));
            i += 2;
            if (c == '/' && !slash)
                return NULL;
        } else if (c == '+' && plus_is_space) {
            c = ' ';
        }
        if (c < ' ' || c == 0x7f)
            return NULL;
        g_string_append_c(out, (char)c);
    }
    if (!g_utf8_validate(out->str, (gssize)out->len, NULL))
        return NULL;
    return g_string_free(g_steal_pointer(&out), FALSE);
}

static gboolean read_segments(const char *path, Target *target, GError **error)
{
    g_autoptr(GPtrArray) segments = g_ptr_array_new_with_free_func(g_free);
    for (const char *at = path + 1; at; at = strchr(at, '/') ? strchr(at, '/') + 1 : NULL) {
        gsize bytes = strcspn(at, "/");
        g_autofree char *segment = decode(at, bytes, FALSE, FALSE);
        if (!segment)
            return steno_error_set(error, STENO_ERROR_USAGE,
                                   "the path cannot be read: a name in it is wrongly percent-encoded, or has a control "
                                   "character or a slash");
        if (bytes == 0 || strcmp(segment, ".") == 0 || strcmp(segment, "..") == 0 ||
            strlen(segment) > TARGET_SEGMENT_MAX_BYTES || segments->len == TARGET_SEGMENTS_MAX)
            return steno_error_set(error, STENO_ERROR_NOT_FOUND, "there is nothing at this path");
        g_ptr_array_add(segments, g_steal_pointer(&segment));
    }
    g_ptr_array_add(segments, NULL);
    target->segments = (char **)g_ptr_array_free(g_steal_pointer(&segments), FALSE);
    return TRUE;
}

static gboolean read_parameter(const char *text, json_t *query, GError **error)
{
    const char *equals = strchr(text, '=');
    gsize name_bytes = equals ? (gsize)(equals - text) : strlen(text);
    const char *value_text = equals ? equals + 1 : "";
    g_autofree char *name = decode(text, name_bytes, TRUE, TRUE);
    g_autofree char *value = decode(value_text, strlen(value_text), TRUE, TRUE);
    if (!name || !name[0] || !value)
        return steno_error_set(error, STENO_ERROR_USAGE,
                               "the query cannot be read: it is wrongly percent-encoded, has a control character, or a "
                               "parameter without a name");
    if (json_object_get(query, name))
        return steno_error_set(error, STENO_ERROR_USAGE, "?%s: was given twice", name);
    json_object_set_new(query, name, json_string(value));
    return TRUE;
}

static gboolean read_query(const char *text, json_t *query, GError **error)
{
    g_auto(GStrv) parts = g_strsplit(text, "&", -1);
    if (g_strv_length(parts) > TARGET_PARAMETERS_MAX)
        return steno_error_set(error, STENO_ERROR_USAGE, "the query has more than %d parameters",
                               TARGET_PARAMETERS_MAX);
    for (gsize i = 0; parts[i]; i++) {
        if (parts[i][0] && !read_parameter(parts[i], query, error))
            return FALSE;
    }
    return TRUE;
}

gboolean target_read(const char *text, Target *target, GError **error)
{
    *target = (Target){0};
    const char *mark = strchr(text, '?');
    target->path = mark ? g_strndup(text, (gsize)(mark - text)) : g_strdup(text);
    target->query = json_object();
    if (target->path[0] != '/')
        return steno_error_set(error, STENO_ERROR_NOT_FOUND, "there is nothing at this path");
    return read_segments(target->path, target, error) && (!mark || read_query(mark + 1, target->query, error));
}

void target_clear(Target *target)
{
    g_free(target->path);
    g_strfreev(target->segments);
    json_decref(target->query);
    *target = (Target){0};
}
