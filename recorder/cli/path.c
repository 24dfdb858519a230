/* Paths of the API. */
#include "client.h"

#include <string.h>

char *cli_path(const char *first, ...)
{
    GString *path = g_string_new("/v1");
    va_list args;
    va_start(args, first);
    for (const char *part = first; part; part = va_arg(args, const char *)) {
        g_autofree char *escaped = g_uri_escape_string(part, NULL, FALSE);
        /* "." and ".." would be taken away on the way. */
        if (part[0] && strspn(part, ".") == strlen(part)) {
            g_free(escaped);
            escaped = g_strdup(part[1] ? "%2E%2E" : "%2E");
        }
        g_string_append_printf(path, "/%s", escaped);
    }
    va_end(args);
    return g_string_free(path, FALSE);
}

void cli_query(GString *path, const char *name, const char *value)
{
    g_autofree char *escaped = g_uri_escape_string(value, NULL, FALSE);
    g_string_append_printf(path, "%c%s=%s", strchr(path->str, '?') ? '&' : '?', name, escaped);
}
