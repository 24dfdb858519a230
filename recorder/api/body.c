#include "body.h"

#include "steno/api.h"
#include "steno/base/error.h"

#include <string.h>

gboolean body_depth_ok(const char *data, gsize bytes, guint max)
{
    guint depth = 0;
    gboolean in_string = FALSE;
    for (gsize i = 0; i < bytes; i++) {
        char c = data[i];
        if (in_string) {
            if (c == '\\')
                i++;
            else if (c == '"')
                in_string = FALSE;
        } else if (c == '"') {
            in_string = TRUE;
        } else if (c == '[' || c == '{') {
            if (++depth > max)
                return FALSE;
        } else if ((c == ']' || c == '}') && depth > 0) {
            depth--;
        }
    }
    return TRUE;
}

json_t *body_read(const char *data, gsize bytes, GError **error)
{
    if (!body_depth_ok(data, bytes, STENO_API_JSON_DEPTH_MAX)) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_USAGE, "the body nests deeper than %d arrays and objects",
                    STENO_API_JSON_DEPTH_MAX);
        return NULL;
    }
    json_error_t fault;
    json_t *json = json_loadb(data, bytes, JSON_REJECT_DUPLICATES, &fault);
    if (json)
        return json;
    /* The parser's own words quote the body, which may hold a token. */
    const char *words = "is not valid JSON";
    if (json_error_code(&fault) == json_error_duplicate_key)
        words = "has a member twice";
    else if (json_error_code(&fault) == json_error_invalid_utf8)
        words = "is not valid UTF-8";
    else if (json_error_code(&fault) == json_error_numeric_overflow)
        words = "has a number that is too large";
    g_set_error(error, STENO_ERROR, STENO_ERROR_USAGE, "the body %s (line %d, column %d)", words, fault.line,
                fault.column);
    return NULL;
}

gboolean body_type_ok(const char *content_type)
{
    if (!content_type)
        return FALSE;
    gsize bytes = strcspn(content_type, "; \t");
    return bytes == strlen("application/json") && g_ascii_strncasecmp(content_type, "application/json", bytes) == 0;
}
