#include "keys_text.h"

#include <string.h>

static gboolean hex_to_bytes(const char *text, gsize text_bytes, guint8 *out, gsize max_bytes, gsize *bytes)
{
    if (text_bytes == 0 || text_bytes % 2 != 0 || text_bytes / 2 > max_bytes)
        return FALSE;
    for (gsize i = 0; i < text_bytes; i++) {
        const gint digit = g_ascii_xdigit_value(text[i]);
        if (digit < 0)
            return FALSE;
        out[i / 2] = (guint8)(i % 2 ? out[i / 2] | digit : digit << 4);
    }
    *bytes = text_bytes / 2;
    return TRUE;
}

/* GLib's decoder skips what is no base64. */
static gint base64_value(char digit)
{
    if (g_ascii_isupper(digit))
        return digit - 'A';
    if (g_ascii_islower(digit))
        return digit - 'a' + 26;
    if (g_ascii_isdigit(digit))
        return digit - '0' + 52;
    return digit == '+' ? 62 : digit == '/' ? 63 : -1;
}

static gboolean base64_to_bytes(const char *text, gsize text_bytes, guint8 *out, gsize max_bytes, gsize *bytes)
{
    if (text_bytes == 0 || text_bytes % 4 != 0)
        return FALSE;
    const gsize padding = text[text_bytes - 1] != '=' ? 0 : text[text_bytes - 2] != '=' ? 1 : 2;
    const gsize decoded = text_bytes / 4 * 3 - padding;
    if (decoded > max_bytes)
        return FALSE;
    guint32 group = 0;
    for (gsize i = 0, filled = 0; i < text_bytes; i++) {
        const gint value = i < text_bytes - padding ? base64_value(text[i]) : 0;
        if (value < 0)
            return FALSE;
        group = group << 6 | (guint32)value;
        for (guint byte = 0; i % 4 == 3 && byte < 3 && filled < decoded; byte++)
            out[filled++] = (guint8)(group >> (16 - 8 * byte));
    }
    *bytes = decoded;
    return TRUE;
}

gboolean content_text_to_bytes(const char *text, gsize text_bytes, guint8 *out, gsize max_bytes, gsize *bytes)
{
    static const char hex[] = "hex:";
    const gsize hex_bytes = sizeof hex - 1;
    if (text_bytes >= hex_bytes && memcmp(text, hex, hex_bytes) == 0)
        return hex_to_bytes(text + hex_bytes, text_bytes - hex_bytes, out, max_bytes, bytes);
    return base64_to_bytes(text, text_bytes, out, max_bytes, bytes);
}

gboolean content_json_to_u64(const json_t *value, guint64 *number)
{
    if (json_is_integer(value) && json_integer_value(value) >= 0) {
        *number = (guint64)json_integer_value(value);
        return TRUE;
    }
    /* Digits only: GLib takes neither sign nor space here. */
    const char *text = json_string_value(value);
    return text && g_ascii_string_to_unsigned(text, 10, 0, G_MAXUINT64, number, NULL);
}
