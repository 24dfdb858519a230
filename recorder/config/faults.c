#include "faults.h"

#include "steno/base/error.h"

#include <string.h>

/* Characters of a value that are repeated in a message. */
#define QUOTE_MAX_CHARACTERS 100

ConfigFaults *config_faults_new(void)
{
    ConfigFaults *faults = g_new0(ConfigFaults, 1);
    faults->lines = g_ptr_array_new_with_free_func(g_free);
    return faults;
}

void config_faults_free(ConfigFaults *faults)
{
    if (!faults)
        return;
    g_ptr_array_unref(faults->lines);
    g_free(faults);
}

void config_faults_add(ConfigFaults *faults, ConfigPlace place, const char *section, const char *key,
                       const char *format, ...)
{
    if (faults->count++ >= CONFIG_FAULTS_MAX)
        return;
    GString *line = g_string_new(place.file);
    if (place.line)
        g_string_append_printf(line, ":%u", place.line);
    g_string_append(line, ": ");
    if (section && section[0])
        g_string_append_printf(line, "%s%s", section, key ? "." : ": ");
    if (key)
        g_string_append_printf(line, "%s: ", key);
    va_list args;
    va_start(args, format);
    g_string_append_vprintf(line, format, args);
    va_end(args);
    g_ptr_array_add(faults->lines, g_string_free(line, FALSE));
}

gboolean config_faults_raise(const ConfigFaults *faults, GError **error)
{
    GString *message = g_string_new(NULL);
    for (guint i = 0; i < faults->lines->len; i++)
        g_string_append_printf(message, "%s%s", i ? "\n" : "", (const char *)g_ptr_array_index(faults->lines, i));
    if (faults->count > faults->lines->len)
        g_string_append_printf(message, "\n(and %u more)", faults->count - faults->lines->len);
    g_set_error_literal(error, STENO_ERROR, STENO_ERROR_CONFIG, message->str);
    g_string_free(message, TRUE);
    return FALSE;
}

char *config_quote(const char *text)
{
    g_autofree char *valid = g_utf8_make_valid(text, -1);
    GString *quoted = g_string_new("'");
    guint characters = 0;
    const char *p = valid;
    for (; *p && characters < QUOTE_MAX_CHARACTERS; p = g_utf8_next_char(p), characters++) {
        gunichar c = g_utf8_get_char(p);
        g_string_append_unichar(quoted, g_unichar_isprint(c) ? c : 0xFFFD);
    }
    g_string_append(quoted, *p ? "…'" : "'");
    return g_string_free(quoted, FALSE);
}
