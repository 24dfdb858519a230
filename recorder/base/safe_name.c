#include "steno/base/safe_name.h"

#include <string.h>

static gboolean is_safe(gunichar c)
{
    if (c < 0x20 || c == 0x7f || c == 0xFFFD || (c < 0x80 && strchr("/\\:*?\"<>|", (int)c)))
        return FALSE;
    switch (g_unichar_type(c)) {
    case G_UNICODE_CONTROL:
    case G_UNICODE_FORMAT: /* would turn the direction of text, or not be seen */
    case G_UNICODE_UNASSIGNED:
    case G_UNICODE_PRIVATE_USE:
    case G_UNICODE_SURROGATE:
    case G_UNICODE_LINE_SEPARATOR:
    case G_UNICODE_PARAGRAPH_SEPARATOR:
        return FALSE;
    default:
        return TRUE;
    }
}

/* CON, NUL, COM1 …, also with an extension: a Windows share would take them for devices. */
static gboolean is_device(const char *name)
{
    static const char *const devices[] = {"con", "prn", "aux", "nul", NULL};
    gsize stem = strcspn(name, ".");
    for (guint i = 0; devices[i]; i++)
        if (stem == 3 && g_ascii_strncasecmp(name, devices[i], 3) == 0)
            return TRUE;
    return stem == 4 && (g_ascii_strncasecmp(name, "com", 3) == 0 || g_ascii_strncasecmp(name, "lpt", 3) == 0) &&
           g_ascii_isdigit(name[3]);
}

char *steno_safe_name(const char *name)
{
    g_autofree char *valid = g_utf8_make_valid(name, -1);
    g_autofree char *composed = g_utf8_normalize(valid, -1, G_NORMALIZE_NFC);
    GString *safe = g_string_new(NULL);
    for (const char *p = composed ? composed : ""; *p; p = g_utf8_next_char(p)) {
        gunichar c = g_utf8_get_char(p);
        if (safe->len == 0 && (c == '.' || c == '-' || c == ' '))
            continue;
        char utf8[6];
        int bytes = is_safe(c) ? g_unichar_to_utf8(c, utf8) : 0;
        if (safe->len + MAX(bytes, 1) > STENO_SAFE_NAME_MAX_BYTES - 1) /* one for the '_' below */
            break;
        if (bytes)
            g_string_append_len(safe, utf8, bytes);
        else
            g_string_append_c(safe, '_');
    }
    while (safe->len > 0 && strchr(". ", safe->str[safe->len - 1]))
        g_string_truncate(safe, safe->len - 1);
    if (safe->len == 0)
        g_string_assign(safe, "unnamed");
    else if (is_device(safe->str))
        g_string_prepend_c(safe, '_');
    return g_string_free(safe, FALSE);
}
